"""Stacks on virtual time, and what their control sockets say."""

from __future__ import annotations

import json
from typing import Any

import uinet
from uinet.control.server import Server
from uinet.control.session import Session

PORT = 80


class Pair:
    """Two hosts on a link; the second listens on port 80. `server`: a control server of the second, or the given one of
    another stack, without a path."""

    def __init__(self, seed: int = 7, server: Server | None = None) -> None:
        self.network = uinet.sim.Network(seed=seed)
        self.near = self.network.host("10.0.0.1/24")
        self.far = self.network.host("10.0.0.2/24")
        self.network.link(self.near, self.far, rate=100e6, delay=0.010)
        self.stack = self.far.stack
        self.listener = self.stack.listen(("10.0.0.2", PORT), backlog=1024)
        self.server = server if server is not None else Server(self.stack)
        self.sockets: list[uinet.Socket] = []

    def connect(self, count: int) -> None:
        """Opens so many connections more to the second host, which accepts them."""
        wanted = self.stack.tcp.connections + count
        self.sockets += [self.near.stack.connect(("10.0.0.2", PORT)) for _ in range(count)]
        self.network.run(until=lambda: self.stack.tcp.connections == wanted)

    def close(self) -> None:
        self.server.close()

    def session(self) -> Session:
        """A client's session."""
        found = self.server.talk()
        assert isinstance(found, Session)
        return found

    def ask(self, command: str, **arguments: Any) -> list[dict[str, Any]]:
        """The rows of the answer; AssertionError, with what it says, for an error."""
        lines = answer(self.session(), command, **arguments)
        assert "error" not in lines[-1], lines[-1]["error"]
        assert lines[-1] == {"id": 1, "end": {"rows": len(lines) - 1}}
        return [line["row"] for line in lines[:-1]]

    def refused(self, command: str, **arguments: Any) -> str:
        """Why a request is refused."""
        lines = answer(self.session(), command, **arguments)
        assert list(lines[-1]) == ["id", "error"] and len(lines) == 1
        return str(lines[-1]["error"])


def answer(session: Session, command: str, **arguments: Any) -> list[dict[str, Any]]:
    """All lines of an answer."""
    session.receive(json.dumps({"id": 1, "command": command, **arguments}).encode() + b"\n")
    taken = b""
    while session.working:
        session.step()
        taken += take(session)
    return [line for line in map(json.loads, taken.splitlines()) if "wait" not in line]


def take(session: Session) -> bytes:
    """What a session has to say so far."""
    taken = bytes(session.output)
    del session.output[:]
    return taken
