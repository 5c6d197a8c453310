"""Frames of flows that are only passed on, from one device's buffer straight to the other device."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from tests.unit.bridging.worlds import ADDRESSES, TAGS
from uinet.link.tunnel import Tunnel
from uinet.proxy import Policy, Proxy
from uinet.stack import Stack
from uinet.wire import build
from uinet.wire.addresses import L2Info
from uinet.wire.kernels import load_u8

SECOND = 1_000_000_000
PLAIN = bytes(10)
GSO = b"\x01\x01\x36\x00\xa8\x05\x22\x00\x10\x00"  # checksum needed, TCPv4, gso_size 1448


class Cable:
    """Two tunnels, the far ends of which are the test's, with a bridge between them whose flows have one state."""

    def __init__(self, way: str = "pass", vnet: bool = True) -> None:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
        self.ends = [pair[0] for pair in pairs]
        self.ours = [pair[1] for pair in pairs]
        for sock in (*self.ends, *self.ours):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.vnet = vnet
        self.tunnels = [Tunnel(sock.fileno(), 2, vnet, 65600, 1582) for sock in self.ours]
        self.stack = Stack(b"cable", SECOND)
        sides = [self.stack.add_interface(f"eth{cdom}", cdom=cdom) for cdom in (1, 2)]
        self.sides = sides
        self.proxy = Proxy(self.stack, *sides, policy=Policy(decide=lambda syn: way))
        self.now = SECOND

    def close(self) -> None:
        for sock in (*self.ends, *self.ours):
            sock.close()

    def put(self, end: int, *frames: bytes, header: bytes = PLAIN) -> None:
        for frame in frames:
            self.ends[end].send((header if self.vnet else b"") + frame)

    def step(self, side: int) -> tuple[int, int]:
        """One batch from a side: how many frames were passed on at once, and how many went by the stack."""
        table = self.proxy.flows
        assert table is not None
        self.now += 1000
        tunnel, other = self.tunnels[side], self.tunnels[1 - side]
        frames = tunnel.pass_on(64, other, table, self.sides[side], self.now)
        table.passed(self.sides[side], tunnel.passed, tunnel.passed_octets)
        passed = tunnel.passed
        self.stack.input(self.sides[side], frames, self.now)
        for index, interface in enumerate(self.sides):
            out = self.stack.output(interface)
            assert self.tunnels[index].send(out, 0) == len(out)
        return passed, len(frames)

    def got(self, end: int) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self.ends[end].recv(70000))
            except BlockingIOError:
                return found


@pytest.fixture
def make() -> Iterator[Any]:
    made: list[Cable] = []

    def cable(*arguments: Any, **options: Any) -> Cable:
        made.append(Cable(*arguments, **options))
        return made[-1]

    yield cable
    for each in made:
        each.close()


def segments(version: int, vlans: bool = False) -> tuple[Any, Any]:
    """What makes frames of both directions."""
    here, there = ADDRESSES[version]
    l2 = L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02", TAGS if vlans else ())

    def client(flags: str, **options: Any) -> bytes:
        return build.tcp(here, there, 4000, 80, flags, l2=l2, **options)

    def server(flags: str, **options: Any) -> bytes:
        return build.tcp(there, here, 80, 4000, flags, l2=l2.reversed(), **options)

    return client, server


@pytest.mark.parametrize("vnet", [True, False])
@pytest.mark.parametrize("vlans", [False, True])
@pytest.mark.parametrize("version", [4, 6])
def test_data_of_a_passed_flow_takes_the_short_way(make: Any, version: int, vlans: bool, vnet: bool) -> None:
    cable = make(vnet=vnet)
    client, server = segments(version, vlans)
    head = PLAIN if vnet else b""
    cable.put(0, client("S", seq=1))
    assert cable.step(0) == (0, 1)
    cable.put(1, server("S.", seq=9, ack=2))
    assert cable.step(1) == (0, 1)
    frames = [client(".", seq=2 + i * 100, ack=10, payload=bytes(100)) for i in range(20)]
    cable.put(0, *frames)
    cable.got(1)
    assert cable.step(0) == (20, 0)
    assert cable.got(1) == [head + frame for frame in frames]
    cable.put(1, server(".", seq=10, ack=2002))
    assert cable.step(1) == (1, 0)
    (flow,) = cable.proxy.flows.table.nodes()
    assert (flow.client_frames, flow.server_frames) == (22 - 1, 2)
    assert flow.last == cable.now
    assert cable.stack.stats["link_bridged"] == 23
    assert cable.sides[0].rx_frames == cable.sides[1].tx_frames == 21


def test_a_fin_and_all_behind_it_take_the_long_way_in_their_order(make: Any) -> None:
    cable = make()
    client, server = segments(4)
    cable.put(0, client("S", seq=1))
    cable.step(0)
    cable.put(1, server("S.", seq=9, ack=2))
    cable.step(1)
    cable.got(1)
    frames = [
        client(".", seq=2, ack=10, payload=b"a"), client("F.", seq=3, ack=10), client(".", seq=4, ack=11),
    ]
    cable.put(0, *frames)
    assert cable.step(0) == (1, 2)
    assert cable.got(1) == [PLAIN + frame for frame in frames]
    (flow,) = cable.proxy.flows.table.nodes()
    assert flow.client_fin == 3


def test_large_frames_pass_with_their_headers_and_too_long_ones_do_not(make: Any) -> None:
    cable = make()
    client, server = segments(4)
    cable.put(0, client("S", seq=1))
    cable.step(0)
    cable.put(1, server("S.", seq=9, ack=2))
    cable.step(1)
    cable.got(1)
    large = client(".", seq=2, ack=10, payload=bytes(20_000))
    cable.put(0, large, header=GSO)
    assert cable.step(0) == (1, 0)
    assert cable.got(1) == [GSO + large]
    cable.put(0, large)  # not to be cut: no link takes it
    assert cable.step(0) == (0, 1)
    assert cable.got(1) == []
    assert cable.tunnels[1].oversize == 1


@pytest.mark.parametrize("way", ["track", "intercept"])
def test_what_is_tracked_or_intercepted_takes_the_long_way(make: Any, way: str) -> None:
    cable = make(way)
    client, server = segments(4)
    cable.put(0, client("S", seq=1))
    cable.step(0)
    cable.put(1, server("S.", seq=9, ack=2))
    cable.step(1)
    cable.put(0, client(".", seq=2, ack=10, payload=b"x"))
    assert cable.step(0) == (0, 1)


def test_frames_that_say_little_are_nobodys(make: Any) -> None:
    """Cut short at every length, and with every byte changed: the judge never reads beyond, and never takes what is no
    data of the flow from its side."""
    cable = make()
    client, server = segments(4, True)
    table = cable.proxy.flows
    assert table is not None
    cable.put(0, client("S", seq=1))
    cable.step(0)
    whole = client(".", seq=2, ack=10, payload=b"data")
    sides = cable.sides
    assert table.passes(sides[0], whole, len(whole), 2, cable.now)
    assert not table.passes(sides[1], whole, len(whole), 2, cable.now)
    reply = server(".", seq=10, ack=2)
    assert table.passes(sides[1], reply, len(reply), 2, cable.now)
    assert not table.passes(sides[0], reply, len(reply), 2, cable.now)
    for size in range(len(whole)):
        if table.passes(sides[0], whole[:size], size, 2, cable.now):
            assert size >= len(whole) - 4
    random = Random(1)
    for at in range(len(whole)):
        for _ in range(8):
            other = whole[:at] + bytes([random.getrandbits(8)]) + whole[at + 1 :]
            table.passes(sides[0], other, len(other), 2, cable.now)
            for size in (at, at + 1):
                table.passes(sides[0], other[:size], size, 2, cable.now)
    assert load_u8(whole, 0) == 2
