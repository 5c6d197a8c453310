"""AF_XDP in copy mode on veth, against the host's kernel: native and generic XDP."""

from __future__ import annotations

import asyncio
import hashlib
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import uinet
from tests.interop.netns import PATIENCE, Namespace, namespace, require, veth, wait_for
from tests.interop.test_devices import STACKS, gone, opened, raw_frame, receive
from tests.interop.test_host import command, run
from tests.unit.link.packets import Seen, packet, tcp_header
from uinet.errors import DeviceError
from uinet.link import open_device, open_shares
from uinet.link.xdp import XdpDevice
from uinet.wire.frame import CHECKSUM_NEEDED, Frame

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

MODES = ["native", "generic"]


@pytest.fixture
def left() -> Iterator[Namespace]:
    require("ethtool")
    with namespace("left", ipv6=False) as made:
        yield made


@pytest.fixture
def right() -> Iterator[Namespace]:
    with namespace("right", ipv6=False) as made:
        yield made


@contextmanager
def several_queues(left: Namespace, right: Namespace, number: int) -> Iterator[None]:
    """As `veth`, with so many queues at each end."""
    left.run(
        f"ip link add l0 numrxqueues {number} numtxqueues {number} type veth "
        f"peer name r0 netns {right.name} numrxqueues {number} numtxqueues {number}"
    )
    try:
        for space, name in ((left, "l0"), (right, "r0")):
            space.run(f"ip link set {name} up")
        yield
    finally:
        left.run("ip link del l0", check=False)


@pytest.mark.parametrize("mode", MODES)
def test_frames_go_both_ways_with_all_their_tags(left: Namespace, right: Namespace, mode: str) -> None:
    with (
        veth(left, "l0", right, "r0", mtu=1508), opened(right, "packet:r0") as peer,
        opened(left, f"xdp:l0?mode={mode}") as device,
    ):
        assert isinstance(device, XdpDevice)
        assert (device.native, device.zero_copy, device.layer, device.mtu) == (mode == "native", False, 2, 1508)
        frames = [Frame(raw_frame(stack, bytes([n]) * 60)) for n, stack in enumerate(STACKS * 50)]
        assert peer.send(frames) == 150
        got = receive(device, lambda frames: len(frames) >= 150, "frames in")
        assert [frame.data for frame in got] == [frame.data for frame in frames]
        assert device.send(frames) == 150
        got = receive(peer, lambda frames: len(frames) >= 150, "frames out")
        assert [frame.data for frame in got] == [frame.data for frame in frames]
        counters = device.statistics()
        assert (counters["rx_frames"], counters["tx_frames"]) == (150, 150)
        assert counters["rx_bytes"] == counters["tx_bytes"] == sum(len(frame) for frame in frames)


def test_large_frames_are_cut_and_too_long_ones_counted(left: Namespace, right: Namespace) -> None:
    payload = os.urandom(10_000)
    large = Frame(packet(tcp_header(), payload, state="partial"), CHECKSUM_NEEDED, 1400)
    with (
        veth(left, "l0", right, "r0"), opened(right, "packet:r0") as peer, opened(left, "xdp:l0") as device,
    ):
        crumbs = Frame(packet(tcp_header(), bytes(5000), state="partial"), CHECKSUM_NEEDED, 1)
        assert device.send([crumbs, Frame(bytes(5000)), Frame(b"short"), large]) == 4
        got = receive(peer, lambda frames: len(frames) >= 8, "the segments")
        assert b"".join(Seen(frame.data).payload for frame in got) == payload
        assert (device.statistics()["tx_oversize"], device.statistics()["tx_refused"]) == (1, 2)


def test_more_than_the_ring_holds_is_sent_in_the_end(left: Namespace, right: Namespace) -> None:
    with (
        veth(left, "l0", right, "r0"), opened(right, "packet:r0?buffer=64M") as peer, opened(left, "xdp:l0") as device,
    ):
        frames = [Frame(raw_frame(payload=n.to_bytes(4, "big") + bytes(60))) for n in range(10_000)]
        taken, now, got = 0, 0, 0
        while taken < len(frames):
            taken += device.send(frames[taken : taken + 5000])
            if device.deadline() is not None:
                now += 1
                device.poll(now)
            while arrived := peer.recv():
                got += len(arrived)

        def all_there() -> bool:
            nonlocal got
            got += len(peer.recv())
            return got + peer.statistics().get("rx_missed", 0) == len(frames)

        wait_for(all_there, "all frames")
        assert device.statistics()["tx_frames"] == len(frames)


def test_frames_without_a_reader_are_counted_as_missed(left: Namespace, right: Namespace) -> None:
    with (
        veth(left, "l0", right, "r0"), right.packet_socket("r0") as wire, opened(left, "xdp:l0") as device,
    ):
        for _ in range(5000):
            wire.send(raw_frame())
        received = 0

        def all_told() -> bool:
            nonlocal received
            received += len(device.recv())
            return received + device.statistics().get("rx_missed", 0) >= 4900  # the backlog may drop some as well

        wait_for(all_told, "5000 frames")
        assert 1000 < received < 5000


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", ["recv", "send"])
def test_interface_deleted_while_open(left: Namespace, right: Namespace, mode: str, way: str) -> None:
    with veth(left, "l0", right, "r0"), opened(left, f"xdp:l0?mode={mode}") as device:
        device.recv()
        left.run("ip link del l0")
        poll = select.poll()
        poll.register(device.fileno(), select.POLLIN)
        assert poll.poll(1000 * PATIENCE)
        gone(device, device.recv if way == "recv" else lambda: device.send([Frame(raw_frame())]))


def test_interface_set_down_and_up_again(left: Namespace, right: Namespace) -> None:
    with (
        veth(left, "l0", right, "r0"), right.packet_socket("r0") as wire, opened(left, "xdp:l0") as device,
    ):
        left.run("ip link set l0 down")
        assert device.send([Frame(raw_frame())]) == 1
        assert device.deadline() == 0
        assert device.send([Frame(raw_frame())]) == 1
        assert device.statistics()["tx_down"] == 1
        left.run("ip link set l0 up")
        device.poll(10**9)
        assert device.deadline() is None
        wire.send(raw_frame())
        assert receive(device, bool, "a frame")[0].data == raw_frame()


def test_queues_are_told_apart(left: Namespace, right: Namespace) -> None:
    with several_queues(left, right, 2):
        with pytest.raises(DeviceError, match="interface l0 has no queue 2: there are 2, from 0"):
            opened(left, "xdp:l0?queue=2")
        with opened(left, "xdp:l0?queue=1"), pytest.raises(DeviceError, match="another program has an XDP program"):
            opened(left, "xdp:l0?queue=0")
        with opened(left, "xdp:l0") as device, opened(right, "packet:r0") as peer:  # closing has taken it off
            frames = [Frame(packet(tcp_header(sport=n), b"x")) for n in range(1, 201)]
            assert peer.send(frames) == 200
            got = receive(device, lambda frames: len(frames) >= 200, "the frames of both queues")
            assert {frame.data for frame in got} == {frame.data for frame in frames}
            assert device.send(frames) == 200
            receive(peer, lambda frames: len(frames) >= 200, "frames out")


def test_what_cannot_be_is_said_in_a_line(left: Namespace, right: Namespace) -> None:
    with veth(left, "l0", right, "r0"):
        with pytest.raises(DeviceError, match="no interface 'nope' here"):
            opened(left, "xdp:nope")
        with pytest.raises(DeviceError, match="carries packets of at most"):
            opened(left, "xdp:l0?mtu=9000")


@pytest.mark.parametrize("mode", MODES)
def test_ping_and_curl_against_the_kernel(mode: str) -> None:
    require("ping", "curl", "ethtool")
    data = os.urandom(1 << 20) * 4
    digest = hashlib.sha256(data).hexdigest()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(data))
        writer.write(data)
        await writer.drain()
        writer.close()

    async def work(left: Namespace, right: Namespace) -> None:
        with left.entered():
            device = open_device(f"xdp:l0?mode={mode}")
        async with uinet.Host() as host:
            await host.add_device(device, addresses=["10.51.0.2/24"])
            await host.start_server(serve, None, 80)
            status, output, _ = await command(right, "ping", "-c", "3", "-i", "0.1", "-W", "10", "10.51.0.2")
            assert status == 0 and b" 0% packet loss" in output, output
            assert await host.ping("10.51.0.1", count=2, timeout=PATIENCE)
            status, output, errors = await command(right, "curl", "-sS", "http://10.51.0.2/")
            assert status == 0, errors
            assert hashlib.sha256(output).hexdigest() == digest

    with namespace("left") as left, namespace("right") as right, veth(left, "l0", right, "r0"):
        right.run("ip addr add 10.51.0.1/24 dev r0")
        right.run("ethtool -K r0 tx off tso off gso off")
        run(work(left, right))


def test_workers_get_a_queue_each(left: Namespace, right: Namespace) -> None:
    with several_queues(left, right, 2):
        with left.entered(), pytest.raises(DeviceError, match="xdp:l0 has 2 queues: want as many workers"):
            open_shares("xdp:l0", 3)
        with left.entered():
            devices = open_shares("xdp:l0", 2)
        try:
            for device in devices:
                device.begin()
            with opened(right, "packet:r0") as peer:
                frames = [Frame(packet(tcp_header(sport=n), b"x")) for n in range(1, 201)]
                assert peer.send(frames) == 200
                got: set[bytes] = set()

                def all_there() -> bool:
                    for device in devices:
                        got.update(frame.data for frame in device.recv())
                    return len(got) == 200

                wait_for(all_there, "the frames of both queues")
                devices[0].forget()  # as the process does that leaves it to another
                assert devices[1].send(frames[:1]) == 1
                receive(peer, bool, "a frame of the other")
        finally:
            for device in devices:
                device.close()
        with opened(left, "xdp:l0"):
            pass  # the program is off again


def test_busy_polling_hosts_answer(left: Namespace, right: Namespace) -> None:
    async def work() -> None:
        with left.entered():
            device = open_device("packet:l0?busy_poll=200us")
        async with uinet.Host() as host:
            await host.add_device(device, addresses=["10.51.0.2/24"])
            status, output, _ = await command(right, "ping", "-c", "20", "-i", "0.01", "-W", "10", "10.51.0.2")
            assert status == 0 and b" 0% packet loss" in output, output

    with veth(left, "l0", right, "r0"):
        right.run("ip addr add 10.51.0.1/24 dev r0")
        run(work())
