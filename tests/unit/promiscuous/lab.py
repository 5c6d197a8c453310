"""A stack with promiscuous interfaces on virtual time, and peers whose every segment the test makes by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uinet import ANY, L2Info, Socket, Stack, Verdict, VlanTag
from uinet.ip.interface import Interface
from uinet.wire import build
from uinet.wire.build import Dissected, dissect
from uinet.wire.frame import Frame

MILLISECOND = 1_000_000
SECOND = 1_000_000_000

CLIENT = "10.1.0.5"
SERVER = "10.2.0.9"
CLIENT6 = "2001:db8:1::5"
SERVER6 = "2001:db8:2::9"
CLIENT_MAC = "02:00:00:00:00:c1"
SERVER_MAC = "02:00:00:00:00:5e"
L2 = L2Info.make(CLIENT_MAC, SERVER_MAC)

Tags = int | VlanTag | tuple[int | VlanTag, ...]


def l2(vlans: Tags = (), source: str = CLIENT_MAC, destination: str = SERVER_MAC) -> L2Info:
    """The link header of a frame from the client to the server."""
    return L2Info.make(source, destination, vlans)


class Lab:
    """One stack with promiscuous interfaces `p1`, `p2`, ... in the connection domains of these numbers."""

    def __init__(self, domains: int = 1, *, bridge: bool = False, **options: Any) -> None:
        self.now = 10 * SECOND
        self.stack = Stack(b"promiscuous", now=self.now)
        self.ports: list[Interface] = []
        for cdom in range(1, domains + 1):
            self.ports.append(
                self.stack.add_interface(f"p{cdom}", mac=f"02:aa:00:00:00:{cdom:02x}", cdom=cdom, **options)
            )
        if bridge:
            self.ports[0].bridge, self.ports[1].bridge = self.ports[1], self.ports[0]

    @property
    def p1(self) -> Interface:
        return self.ports[0]

    @property
    def p2(self) -> Interface:
        return self.ports[1]

    def count(self, name: str) -> int:
        return self.stack.stats[name]

    def put(self, *frames: bytes | Frame, port: Interface | None = None) -> list[Dissected]:
        """Frames in by `port` (p1), in one batch; what comes out there, taken apart and checked."""
        port = port or self.p1
        self.stack.input(port, frames, self.now)
        return self.out(port)

    def out(self, port: Interface | None = None) -> list[Dissected]:
        """What `port` (p1) has to send, taken apart; every checksum is looked at."""
        port = port or self.p1
        return [checked(frame, port.layer) for frame in self.stack.output(port)]

    def wait(self, time: int) -> list[Dissected]:
        """Lets time pass, deadline by deadline; what comes out of p1."""
        end = self.now + time
        found: list[Dissected] = []
        while True:
            deadline = self.stack.next_deadline()
            if deadline is None or deadline > end:
                break
            self.now = max(self.now, deadline)
            self.stack.poll(self.now)
            found += self.out()
        self.now = end
        self.stack.poll(end)
        return found + self.out()

    def listen(self, ip: Any = ANY, port: Any = ANY, *, cdom: int = 1, vlans: Any = ANY, **options: Any) -> Socket:
        return self.stack.listen((ip, port), cdom=cdom, promiscuous=True, vlans=vlans, **options)

    def peer(self, **options: Any) -> Peer:
        return Peer(self, **options)


def checked(frame: Frame, layer: int = 2) -> Dissected:
    seen = dissect(frame.data, layer)
    assert seen.checksums_ok is not False, frame.data.hex()
    return seen


class Peer:
    """The other end of a TCP connection. Sequence numbers start near 2**32; `seq` is what it sends next, `ack` what
    it expects.
    """

    def __init__(
        self, lab: Lab, *, src: str = CLIENT, dst: str = SERVER, sport: int = 4000, dport: int = 80,
        vlans: Tags = (), link: L2Info | None = None, port: Interface | None = None, seq: int = 0xFFFFFFF0,
    ) -> None:
        self.lab = lab
        self.src, self.dst, self.sport, self.dport = src, dst, sport, dport
        self.link = link if link is not None else l2(vlans)
        self.port = port or lab.p1
        self.seq = seq
        self.ack = 0

    def segment(
        self, flags: str, payload: bytes = b"", *, seq: int | None = None, ack: int | None = None, window: int = 65535,
        link: L2Info | None = None, options: Any = (),
    ) -> bytes:
        """One segment from here; `seq` and `ack` are the next ones unless they are given."""
        return build.tcp(
            self.src, self.dst, self.sport, self.dport, flags, self.seq if seq is None else seq,
            (self.ack if ack is None else ack) if "." in flags else 0, window, options, payload, link or self.link,
            layer=self.port.layer,
        )

    def send(self, flags: str, payload: bytes = b"", **options: Any) -> list[Dissected]:
        """Sends a segment and counts what it takes of the sequence space; the stack's answers."""
        frame = self.segment(flags, payload, **options)
        if "seq" not in options:
            self.seq = (self.seq + len(payload) + ("S" in flags) + ("F" in flags)) & 0xFFFFFFFF
        return self.hear(self.lab.put(frame, port=self.port))

    def hear(self, answers: list[Dissected]) -> list[Dissected]:
        """Takes in the sequence numbers of the stack's segments."""
        for answer in answers:
            if answer.get(type(answer.tcp)) is not None and "R" not in answer.flags:
                self.ack = (
                    answer.tcp.seq + len(answer.payload) + ("S" in answer.flags) + ("F" in answer.flags)
                ) & 0xFFFFFFFF
        return answers

    def connect(self, **options: Any) -> Dissected:
        """SYN, SYN|ACK, ACK; the SYN|ACK."""
        (answer,) = self.send("S", **options)
        assert answer.flags == "S.", answer.flags
        self.send(".")
        return answer

    def accept(self, syn: Dissected, **options: Any) -> list[Dissected]:
        """Answers the stack's SYN with SYN|ACK; what the stack says to that."""
        self.ack = (syn.tcp.seq + 1) & 0xFFFFFFFF
        return self.send("S.", **options)


def serve(lab: Lab, peer: Peer, **options: Any) -> Socket:
    """A connection of `peer` to a listener that takes everything; the accepted socket."""
    listener = lab.listen(**options)
    peer.connect()
    return listener.accept()


def connected(lab: Lab, peer: Peer, **options: Any) -> Socket:
    """An active connection of the stack, as `peer.dst`, to `peer`, which answers."""
    sock = lab.stack.connect(
        (peer.src, peer.sport), source=(peer.dst, peer.dport), l2=peer.link.reversed(), cdom=peer.port.cdom, **options
    )
    (syn,) = lab.out(peer.port)
    peer.accept(syn)
    return sock


class Log:
    """An upcall that writes down what it is told."""

    def __init__(self, then: Callable[[Socket, int], None] | None = None) -> None:
        self.calls: list[int] = []
        self.then = then

    def __call__(self, sock: Socket, events: int) -> None:
        self.calls.append(events)
        if self.then is not None:
            self.then(sock, events)

    @property
    def all(self) -> int:
        mask = 0
        for events in self.calls:
            mask |= events
        return mask


class Filter:
    """A SYN filter with a fixed answer that keeps what it has seen."""

    def __init__(self, verdict: Any = Verdict.ACCEPT, context: Any = None) -> None:
        self.verdict = verdict
        self.context = context
        self.syns: list[Any] = []
        self.gone: list[str] = []

    def __call__(self, syn: Any) -> Any:
        self.syns.append(syn)
        syn.context = self.context
        syn.on_gone = lambda _, why: self.gone.append(why)
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict
