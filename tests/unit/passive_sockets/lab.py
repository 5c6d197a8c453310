"""A stack that watches, and the two ends of a connection, whose segments the test puts on the wire by hand."""

from __future__ import annotations

from typing import Any

from tests.unit.promiscuous.lab import CLIENT, CLIENT6, SECOND, SERVER, SERVER6, Lab, l2
from uinet import ANY, PassiveSocket, Socket
from uinet.ip.interface import Interface
from uinet.wire import build
from uinet.wire.frame import Frame


class Silent(Lab):
    """A lab whose stack must never send anything: every frame that comes out of any interface fails the test, but what
    `bridged` takes.
    """

    def __init__(self, domains: int = 1, *, bridge: bool = False, **options: Any) -> None:
        super().__init__(domains, bridge=bridge, **options)
        self.bridging = bridge

    def feed(self, *frames: bytes | Frame, port: Interface | None = None) -> None:
        """Frames in, in one batch; a stack that bridges hands them on, any other says nothing."""
        port = port or self.p1
        given = [frame if isinstance(frame, Frame) else Frame(frame) for frame in frames]
        self.stack.input(port, given, self.now)
        for interface in self.ports:
            out = self.stack.output(interface)
            assert out == (given if self.bridging and interface is port.bridge else []), interface

    def watch(self, ip: Any = ANY, port: Any = ANY, **options: Any) -> Socket:
        """A passive listener, for everything unless told otherwise."""
        return self.listen(ip, port, passive=True, **options)

    def pause(self, time: int = 10 * SECOND) -> None:
        """Lets time pass, silently."""
        assert self.wait(time) == []
        for interface in self.ports:
            assert self.stack.output(interface) == []


class End:
    """One end of a connection. `seq`: what it sends next; near 2**32 in the beginning."""

    def __init__(self, talk: Talk, src: str, dst: str, sport: int, dport: int, link: Any, seq: int) -> None:
        self.talk = talk
        self.place = (src, dst, sport, dport)
        self.link = link
        self.isn = seq
        self.seq = seq
        self.acked = 0  # what it has acknowledged

    def frame(
        self, flags: str, payload: bytes = b"", *, seq: int | None = None, ack: int | None = None, options: Any = (),
        window: int = 65535,
    ) -> bytes:
        """A segment with the next sequence number, or with `seq`; it acknowledges all that the other end has sent."""
        if ack is None:
            ack = self.other.seq if "." in flags else 0
        if "." in flags:
            self.acked = ack
        where = self.seq if seq is None else seq
        if seq is None:
            self.seq = (self.seq + len(payload) + ("S" in flags) + ("F" in flags)) & 0xFFFFFFFF
        return build.tcp(
            *self.place, flags, where, ack, window, options, payload, self.link, layer=self.talk.port.layer
        )

    def send(self, flags: str, payload: bytes = b"", **options: Any) -> None:
        """Puts a segment on the wire."""
        self.talk.lab.feed(self.frame(flags, payload, **options), port=self.talk.port)

    def lose(self, flags: str, payload: bytes = b"", **options: Any) -> None:
        """A segment that its receiver gets and the copy does not have."""
        self.frame(flags, payload, **options)

    @property
    def other(self) -> End:
        return self.talk.server if self is self.talk.client else self.talk.client


class Talk:
    """A connection of others."""

    def __init__(
        self, lab: Silent, *, v6: bool = False, vlans: Any = (), sport: int = 4000, dport: int = 80,
        port: Interface | None = None, seq: int = 0xFFFFFFF0,
    ) -> None:
        client, server = (CLIENT6, SERVER6) if v6 else (CLIENT, SERVER)
        self.lab = lab
        self.port = port or lab.p1
        link = l2(vlans)
        self.client = End(self, client, server, sport, dport, link, seq)
        self.server = End(self, server, client, dport, sport, link.reversed(), (seq + 0x7FFFFFFA) & 0xFFFFFFFF)

    def shake(self) -> None:
        """The handshake."""
        self.client.send("S")
        self.server.send("S.")
        self.client.send(".")

    def finish(self) -> None:
        """Both FINs, and their ACKs."""
        self.client.send("F.")
        self.server.send("F.")
        self.client.send(".")


def watched(lab: Silent, talk: Talk, **options: Any) -> tuple[PassiveSocket, PassiveSocket]:
    """A connection that was just established: its primary socket, and its peer."""
    listener = lab.watch(**options)
    talk.shake()
    return both(listener)


def both(listener: Socket) -> tuple[PassiveSocket, PassiveSocket]:
    """The next connection that waits."""
    primary = listener.accept()
    assert isinstance(primary, PassiveSocket)
    return primary, primary.get_passive_peer()
