"""What Linux tells of its interfaces and of the times of frames, each test in network namespaces of its own."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.interop.netns import PATIENCE, namespace, veth, wait_for
from uinet import AF_INET, SO_TIMESTAMPNS, SOCK_DGRAM, SOL_SOCKET, Driver, LinkEvent, Stack
from uinet.aio import Host
from uinet.link import Device, PacketDevice, TapDevice, open_device
from uinet.wire.pcap import read

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


@pytest.mark.parametrize("loop", ["asyncio", "driver"])
def test_link_events_of_a_packet_socket_and_the_mtu_follows(loop: str) -> None:
    with namespace("here", ipv6=False) as here, namespace("there", ipv6=False) as there, veth(here, "e0", there, "e1"):
        with here.entered():
            device = open_device("packet:e0")
        steps = [
            ("ip link set e1 mtu 1600", ""), ("ip link set e0 mtu 1400", "mtu-changed"),
            ("ip addr add 10.9.0.1/24 dev e0", "kernel-address-added"),
            ("ip addr del 10.9.0.1/24 dev e0", "kernel-address-removed"),
            ("ip link set e0 down", "link-down"), ("ip link set e0 up", "link-up"),
        ]
        events: list[LinkEvent] = []

        def take(kind: str) -> bool:
            return any(event.kind == kind for event in events)

        if loop == "driver":
            stack = Stack(b"links")
            stack.on_link_event = events.append
            interface = stack.add_interface("e0", mtu=device.mtu)
            with Driver(stack) as driver:
                driver.add_device(device, interface)
                for command, kind in steps:
                    here.run(command) if " e0" in command else there.run(command)
                    if kind:
                        assert driver.run_until(lambda kind=kind: take(kind), PATIENCE), kind
        else:

            async def main() -> int:
                async with Host() as host:
                    host.on_link_event = events.append
                    interface = await host.add_device(device)
                    for command, kind in steps:
                        await asyncio.to_thread((here if " e0" in command else there).run, command)
                        async with asyncio.timeout(PATIENCE):
                            while kind and not take(kind):
                                await asyncio.sleep(0.01)
                    return interface.mtu

            assert asyncio.run(main()) == 1400
        told = [event.kind for event in events]
        assert told.count("mtu-changed") == 1, "of its own interface, not of the peer's"
        assert "carrier-down" in told and "carrier-up" in told
        assert str(next(event for event in events if event.kind == "kernel-address-removed").address) == "10.9.0.1"
        assert device.mtu == 1400
        assert device.closed and device.link_watch is not None and device.link_watch.fileno() == -1


def test_a_taps_interface_is_listened_to_as_well() -> None:
    with namespace("here", ipv6=False) as here:
        with here.entered():
            device = TapDevice("t0")
        watch = device.link_watch
        assert watch is not None and watch.up
        here.run("ip link set t0 mtu 1300")
        here.run("ip link set t0 down")
        kinds: list[str] = []

        def told() -> bool:
            kinds.extend(change.kind for change in watch.read())
            return "link-down" in kinds

        wait_for(told, "news of the TAP")
        assert "mtu-changed" in kinds
        device.close()


@pytest.mark.parametrize("query", ["", "&ring=1M", "&offload=0"])
def test_frames_have_the_kernels_times_in_datagrams_and_captures(tmp_path: Path, query: str) -> None:
    """Hardware is asked for; a veth has none, so the kernel tells."""
    with namespace("here", ipv6=False) as here, namespace("there", ipv6=False) as there, veth(here, "e0", there, "e1"):
        there.run("ip addr add 10.9.0.2/24 dev e1")
        path = tmp_path / "seen.pcapng"
        with here.entered():
            device = open_device(f"packet:e0?timestamps=hardware{query}&capture={path}")
        assert device.timestamps == "software"
        stack = Stack(b"times")
        interface = stack.add_interface("e0")
        interface.add_address("10.9.0.1/24")
        sock = stack.socket(AF_INET, SOCK_DGRAM)
        sock.bind(("10.9.0.1", 7))
        sock.setsockopt(SOL_SOCKET, SO_TIMESTAMPNS, True)
        begun = time.time_ns()
        with Driver(stack) as driver, there.open_socket(kind=2) as sender:
            driver.add_device(device, interface)
            sender.sendto(b"when?", ("10.9.0.1", 7))
            assert driver.run_until(lambda: sock.readable, PATIENCE)
            data, ancillary, _, _ = sock.recvmsg(100)
        (stamp,) = [value for level, name, value in ancillary if (level, name) == (SOL_SOCKET, SO_TIMESTAMPNS)]
        assert data == b"when?"
        assert begun < stamp < time.time_ns()
        assert [record.time for record in read(path.read_bytes()) if b"when?" in record.data] == [stamp]


def test_large_frames_have_times_too() -> None:
    with namespace("here", ipv6=False) as here, namespace("there", ipv6=False) as there, veth(here, "e0", there, "e1"):
        there.run("ip addr add 10.9.0.2/24 dev e1")
        with here.entered():
            device: Device = PacketDevice("e0", timestamps="software")
        stack = Stack(b"times")
        interface = stack.add_interface("e0")
        interface.add_address("10.9.0.1/24")
        times: list[int] = []
        interface.first_look = lambda batch: times.extend(frame.time for frame in batch.frames if frame.gso_size)
        begun = time.time_ns()
        listener = stack.listen(("10.9.0.1", 80))
        with Driver(stack) as driver, there.open_socket() as client:
            driver.add_device(device, interface)
            client.setblocking(False)
            client.connect_ex(("10.9.0.1", 80))
            assert driver.run_until(lambda: listener.readable, PATIENCE)
            client.send(b"x" * 30_000)
            assert driver.run_until(lambda: times, PATIENCE)
        assert all(begun < when < time.time_ns() for when in times)
