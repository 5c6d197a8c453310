"""Small programs on bare stacks, for tests of whole networks."""

from __future__ import annotations

import hashlib
from typing import Any

from uinet.errors import WouldBlock
from uinet.events import EV_ERROR
from uinet.sim.network import Network
from uinet.sim.nodes import Host

PORT = 80
PIECE = 64 * 1024


def pattern(size: int, seed: int = 1) -> bytes:
    """`size` bytes in which no two places look alike."""
    blocks = range(-(-size // 64))
    return b"".join(hashlib.blake2b(f"{seed} {block}".encode()).digest() for block in blocks)[:size]


def sha(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


class Talker:
    """One end of a connection: sends all of `data`, then FIN; collects what comes until the peer's FIN."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sent = 0
        self.received = bytearray()
        self.ended = False
        self.error: BaseException | None = None
        self.sock: Any = None
        self.finished = False

    @property
    def done(self) -> bool:
        return self.error is not None or (self.ended and self.finished)

    def attach(self, sock: Any) -> None:
        self.sock = sock
        sock.on_event = self.on_event

    def on_event(self, sock: Any, events: int) -> None:
        if events & EV_ERROR:
            self.error = sock.error
            return
        self.read()
        self.write()
        if self.ended and self.finished:
            sock.close()

    def read(self) -> None:
        try:
            while not self.ended:
                data = self.sock.recv(PIECE)
                self.received += data
                self.ended = not data
        except WouldBlock:
            pass

    def write(self) -> None:
        try:
            while self.sent < len(self.data):
                self.sent += self.sock.send(self.data[self.sent : self.sent + PIECE])
        except WouldBlock:
            return
        if not self.finished:
            self.finished = True
            self.sock.shutdown(1)


class Conversation:
    """`client` connects to `server`; each sends its data to the other."""

    def __init__(self, client: Host, server: Host, address: str, there: bytes, back: bytes) -> None:
        self.client = Talker(there)
        self.server = Talker(back)
        self.accepted = 0
        listener = server.stack.listen((address, PORT))

        def accept(sock: Any, events: int) -> None:
            self.accepted += 1
            self.server.attach(sock.accept())

        listener.on_event = accept
        self.client.attach(client.stack.connect((address, PORT)))

    @property
    def done(self) -> bool:
        return self.client.done and self.server.done

    def check(self) -> None:
        """Every byte has arrived, both ways."""
        assert self.client.error is None
        assert self.server.error is None
        assert self.accepted == 1
        assert sha(self.server.received) == sha(self.client.data)
        assert sha(self.client.received) == sha(self.server.data)


def run_conversation(net: Network, talk: Conversation, timeout: float = 600.0) -> None:
    """Runs until both sides are through, and a little longer, so that the last ACKs arrive."""
    net.run(lambda: talk.done, timeout)
    talk.check()
