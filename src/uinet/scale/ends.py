"""The two ends: servers that answer, clients that open connections and exchange with them.

What a connection still has to do is a small integer, its socket's `user_context`: a million of them need no objects of
their own. Every byte is looked at: what arrives has to be what the other end sends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from uinet.errors import Error, InvalidArgument, WouldBlock
from uinet.events import EV_CLOSED, EV_CONNECTED, EV_EOF, EV_ERROR, EV_READABLE, EV_WRITABLE
from uinet.scale.plan import Plan
from uinet.socket import Socket
from uinet.sockopt import IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_NODELAY
from uinet.stack import Stack
from uinet.wire.addresses import ANY

DOMAIN = 1
READ = 1 << 16
MOST_PAYLOAD = 1 << 24
WAITING, BYTE, DONE = 1, 2, 4 * MOST_PAYLOAD  # parts of a client's number: see Client
BLOCK = bytes(range(251)) * 1050  # payload repeats it; 251 is prime, so that a byte at a wrong place is seen


@dataclass(frozen=True)
class Exchange:
    """What a client does with a connection: `request` bytes, upon which the server sends `response` bytes; `count`
    times. `close`: it closes the connection after the last, else that stays open. `keepalive`: both ends set it."""

    request: int = 64
    response: int = 64
    count: int = 1
    close: bool = False
    keepalive: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.request <= MOST_PAYLOAD and 0 <= self.response <= MOST_PAYLOAD):
            raise InvalidArgument(f"payloads have up to {MOST_PAYLOAD} bytes")
        if self.count and self.request < 1:
            raise InvalidArgument("an exchange begins with a request of 1 byte or more")


def payload(offset: int, length: int) -> bytes:
    """`length` bytes, at most READ, of what every stream carries, from `offset` of the message on."""
    at = offset % 251
    return BLOCK[at : at + length]


class End:
    """What servers and clients share. `counts`: what has happened, by name."""

    def __init__(self, stack: Stack, plan: Plan, exchange: Exchange) -> None:
        self.stack = stack
        self.plan = plan
        self.exchange = exchange
        self.counts: Counter[str] = Counter()
        self.unsent: dict[Socket, tuple[int, int]] = {}  # socket -> offset and length of a message not queued yet

    def say(self, sock: Socket, offset: int, length: int) -> None:
        """Queues `length` bytes of a message from `offset` on; what finds no room waits for EV_WRITABLE."""
        while length:
            piece = payload(offset, min(length, READ))
            try:
                sent = sock.send(piece)
            except WouldBlock:
                self.unsent[sock] = offset, length
                return
            self.counts["bytes_out"] += sent
            offset += sent
            length -= sent
        self.unsent.pop(sock, None)

    def go_on(self, sock: Socket) -> None:
        """There is room again."""
        waiting = self.unsent.get(sock)
        if waiting is not None:
            self.say(sock, *waiting)

    def take(self, sock: Socket, held: int, wanted: int) -> int:
        """Reads more of a message of `wanted` bytes of which `held` have come; how many bytes, 0 at the stream's end.
        WouldBlock, and what has ended the connection."""
        data = sock.recv(min(READ, wanted - held) or READ)
        size = len(data)
        self.counts["bytes_in"] += size
        if size and data != payload(held, size):
            self.counts["corrupt"] += 1
        return size

    def prepare(self, sock: Socket) -> None:
        """Sets the options of a socket."""
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, True)
        if self.exchange.keepalive:
            sock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, True)


class Server(End):
    """Listens, and answers each request. `user_context` of a connection: bytes of its request that have come."""

    def __init__(self, stack: Stack, plan: Plan, exchange: Exchange) -> None:
        super().__init__(stack, plan, exchange)
        self.listeners: list[Socket] = []
        self._on_accept = self._accept
        self._on_event = self._serve

    def listen_any(self, backlog: int = 65536) -> None:
        """One listener for every address, port and VLAN stack."""
        sock = self.stack.listen((ANY, ANY), vlans=ANY, cdom=DOMAIN, promiscuous=True, backlog=backlog)
        self._add(sock)

    def listen_each(self, count: int) -> Iterator[int]:
        """A listener for each of the first `count` services; yields after some, with how many there are."""
        for number in range(count):
            stack, endpoint = self.plan.service(number)
            self._add(self.stack.listen(endpoint, vlans=stack, cdom=DOMAIN, promiscuous=True, backlog=4))
            if number % 256 == 255:
                yield number + 1
        yield count

    def _add(self, sock: Socket) -> None:
        self.prepare(sock)  # accepted ones begin with their listener's options
        sock.on_event = self._on_accept
        self.listeners.append(sock)
        self.counts["listeners"] += 1

    def _accept(self, listener: Socket, events: int) -> None:
        while listener.readable:
            sock = listener.accept()
            self.counts["accepted"] += 1
            sock.user_context = 0
            sock.on_event = self._on_event

    def _serve(self, sock: Socket, events: int) -> None:
        if events & (EV_ERROR | EV_CLOSED):
            self.counts["failed" if sock.error is not None else "closed"] += 1
            self.unsent.pop(sock, None)
            sock.close()
            return
        if events & EV_WRITABLE:
            self.go_on(sock)
        if not events & (EV_READABLE | EV_EOF):
            return
        wanted = self.exchange.request
        held = sock.user_context
        try:
            while True:
                size = self.take(sock, held, wanted)
                if size == 0:
                    sock.close()
                    break
                held += size
                if held >= wanted:  # one request at a time is outstanding
                    held -= wanted
                    self.counts["exchanges"] += 1
                    self.say(sock, 0, self.exchange.response)
        except WouldBlock:
            pass
        except Error:
            self.counts["failed"] += 1
            sock.close()
        sock.user_context = held


class Client(End):
    """Opens connections and exchanges. `user_context` of a connection: WAITING while a handshake or a response is
    awaited, bytes of the response that have come * BYTE, exchanges done * DONE."""

    def __init__(self, stack: Stack, plan: Plan, exchange: Exchange) -> None:
        super().__init__(stack, plan, exchange)
        self.sockets: list[Socket] = []  # established ones that stay open
        self.opened = 0
        self.outstanding = 0  # connections that wait for their handshake, or for a response
        self._on_event = self._happens

    def open(self) -> None:
        """Begins the next connection of the plan."""
        l2, source, destination = self.plan.connection(self.opened)
        self.opened += 1
        sock = self.stack.connect(destination, source=source, l2=l2, cdom=DOMAIN)
        self.prepare(sock)
        sock.user_context = WAITING
        sock.on_event = self._on_event
        self.outstanding += 1

    def ask(self, sock: Socket) -> None:
        """Begins an exchange on an open connection that waits for none."""
        self.outstanding += 1
        sock.user_context += WAITING
        try:
            self.say(sock, 0, self.exchange.request)
        except Error:
            self._failed(sock)
            return
        if not self.exchange.response:
            self._exchanged(sock)

    @property
    def established(self) -> int:
        """Connections whose handshake is done, ended ones too."""
        return self.counts["established"]

    @property
    def failed(self) -> int:
        """Connections that were refused, reset or not answered."""
        return self.counts["failed"]

    def _happens(self, sock: Socket, events: int) -> None:
        if events & (EV_ERROR | EV_CLOSED):
            self._ended(sock)
            return
        if events & EV_CONNECTED:
            self.counts["established"] += 1
            self.outstanding -= 1
            sock.user_context -= WAITING
            if self.exchange.count and self.exchange.close:
                self.ask(sock)
            elif self.exchange.close:
                sock.close()
            else:
                self.sockets.append(sock)
        if events & EV_WRITABLE:
            self.go_on(sock)
        if events & (EV_READABLE | EV_EOF):
            self._read(sock)

    def _read(self, sock: Socket) -> None:
        wanted = self.exchange.response
        try:
            while True:
                held = sock.user_context % DONE // BYTE
                size = self.take(sock, held, wanted)
                if size == 0:
                    sock.close()
                    return
                sock.user_context += size * BYTE
                if held + size >= wanted:
                    sock.user_context -= wanted * BYTE
                    self._exchanged(sock)
        except WouldBlock:
            pass
        except Error:
            self._ended(sock)

    def _exchanged(self, sock: Socket) -> None:
        self.counts["exchanges"] += 1
        self.outstanding -= 1
        sock.user_context += DONE - WAITING
        if not self.exchange.close:
            return
        if sock.user_context // DONE < self.exchange.count:
            self.ask(sock)
        else:
            sock.close()
            self.counts["closed"] += 1

    def _ended(self, sock: Socket) -> None:
        if sock.closed:
            return
        if sock.error is not None:
            self._failed(sock)
        else:
            sock.close()

    def _failed(self, sock: Socket) -> None:
        self.counts["failed"] += 1
        self.outstanding -= sock.user_context & WAITING
        sock.user_context = 0
        self.unsent.pop(sock, None)
        sock.close()
