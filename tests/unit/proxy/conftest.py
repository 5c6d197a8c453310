"""A proxy between two links in a simulated network, and hand-made peers at their far ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from uinet.proxy import Proxy
from uinet.sim.network import Network
from uinet.sim.nodes import Tap
from uinet.wire import build
from uinet.wire.addresses import L2Info, VlanTag
from uinet.wire.build import Dissected, dissect
from uinet.wire.tcp import TcpHeader

CLIENT, SERVER = ("10.0.0.1", 40000), ("10.0.0.2", 80)
CLIENT6, SERVER6 = ("fd00::1", 40000), ("fd00::2", 80)
L2 = L2Info.make(
    "02:00:00:00:00:01", "02:00:00:00:00:02", (VlanTag(100, pcp=5, tpid=0x88A8), VlanTag(200, pcp=3, dei=1))
)
ISN = 0xFFFFFFF0  # every stream wraps


class Peer:
    """One end of a TCP connection, by hand: it counts sequence numbers and does nothing of its own accord."""

    def __init__(
        self, net: Network, tap: Tap, me: tuple[str, int], other: tuple[str, int], l2: L2Info = L2
    ) -> None:
        self.net = net
        self.tap = tap
        self.me = me
        self.other = other
        self.l2 = l2
        self.snd_nxt = ISN
        self.rcv_nxt = 0
        self.window = 65535

    def send(self, flags: str, payload: bytes = b"", *, advance: bool = True, **fields: Any) -> bytes:
        """Sends a segment with the numbers that are due; answers its frame."""
        ack = self.rcv_nxt if "." in flags else 0
        fields = {"seq": self.snd_nxt, "ack": ack, "window": self.window, **fields}
        frame = build.tcp(
            self.me[0], self.other[0], self.me[1], self.other[1], flags, payload=payload, l2=self.l2, **fields
        )
        self.tap.send(frame)
        if advance:
            self.snd_nxt = (self.snd_nxt + len(payload) + ("S" in flags) + ("F" in flags)) % 2**32
        return frame

    def expect(self, flags: str, payload: bytes | None = None, timeout: float = 5.0) -> Dissected:
        """The next frame, whose flags (PSH aside) must be these; takes what it carries as received."""
        self.net.run(until=lambda: self.tap.frames, timeout=timeout)
        got = dissect(self.tap.frames.pop(0).data)
        assert got.flags.replace("P", "") == flags, got
        assert got.checksums_ok
        assert got.l2info == self.l2.reversed()
        assert (got.tcp.source_port, got.tcp.destination_port) == (self.other[1], self.me[1])
        if payload is not None:
            assert got.payload == payload
        self.rcv_nxt = (got.tcp.seq + len(got.payload) + ("S" in flags) + ("F" in flags)) % 2**32
        return got

    def quiet(self, seconds: float = 1.0) -> None:
        """Nothing may arrive for a while."""
        self.net.run(timeout=seconds)
        assert [dissect(frame.data) for frame in self.tap.frames] == []

    def skip(self, keep: Callable[[TcpHeader, bytes], bool]) -> list[Dissected]:
        """What has arrived, without the frames that `keep` refuses."""
        all_of_them = [dissect(frame.data) for frame in self.tap.take()]
        return [each for each in all_of_them if keep(each.tcp, each.payload)]


class World:
    """client tap ---- proxy ---- server tap."""

    def __init__(self, **options: Any) -> None:
        self.net = Network(seed=3)
        self.finished: list[dict[str, Any]] = []
        self.errors: list[str] = []
        middle = self.net.host(name="proxy", promiscuous=True)
        self.client_tap, self.server_tap = self.net.tap("client"), self.net.tap("server")
        self.net.link(self.client_tap, middle, delay=0.001)
        self.net.link(middle, self.server_tap, delay=0.001)
        self.stack = middle.stack
        self.interfaces = middle.interfaces
        self.proxy = Proxy(
            middle.stack, *middle.interfaces, on_event=self._event, on_error=self.errors.append, **options
        )
        self.client = Peer(self.net, self.client_tap, CLIENT, SERVER)
        self.server = Peer(self.net, self.server_tap, SERVER, CLIENT, L2.reversed())

    def _event(self, what: str, connection: Any) -> None:
        if what == "finished":
            self.finished.append(connection.as_dict())

    @property
    def outcome(self) -> str:
        """How the only connection ended."""
        assert len(self.finished) == 1, self.finished
        return str(self.finished[0]["outcome"])

    def run(self, seconds: float) -> None:
        """Lets virtual time pass."""
        self.net.run(timeout=seconds)

    def establish(self) -> None:
        """Both handshakes."""
        self.begin()
        self.client.send(".")
        self.server.expect(".")
        self.run(0.01)

    def begin(self) -> None:
        """Both handshakes, but for the client's last ACK."""
        self.client.send("S")
        self.server.expect("S")
        self.server.send("S.")
        self.client.expect("S.")

    def establish6(self) -> None:
        """The same over IPv6."""
        self.client = Peer(self.net, self.client_tap, CLIENT6, SERVER6)
        self.server = Peer(self.net, self.server_tap, SERVER6, CLIENT6, L2.reversed())
        self.establish()

    def is_clean(self) -> bool:
        """Whether nothing of any connection is left, once what waits has timed out."""
        self.run(200.0)
        return not self.proxy.active and not self.stack.connections()


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    """Makes worlds; the arguments are those of Proxy."""
    worlds: list[World] = []

    def make(**options: Any) -> World:
        worlds.append(World(**options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.net.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """One with the proxy's defaults."""
    return make_world()
