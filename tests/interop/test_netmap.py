"""netmap on an interface of the kernel that goes down, comes back and is deleted; the rings are played."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest

from tests.interop.netns import PATIENCE, Namespace, namespace, veth, wait_for
from tests.unit.link.netmap_kernel import FakePort, Kernel, Region
from uinet.errors import DeviceError, DeviceGone
from uinet.link import NetmapDevice, conformance, open_device
from uinet.wire.frame import Frame

pytestmark = pytest.mark.interop


@pytest.fixture
def left() -> Iterator[Namespace]:
    with namespace("left", ipv6=False) as left, namespace("right", ipv6=False) as right, veth(left, "l0", right, "r0"):
        yield left


def opened(left: Namespace, **options: int) -> tuple[NetmapDevice, FakePort, Kernel]:
    port = FakePort("l0", Region(1))
    kernel = Kernel(port)
    kernel.real = True
    with left.entered():
        return NetmapDevice("l0", system=kernel, **options), port, kernel


def test_interface_that_is_down_is_left_alone_until_it_is_up(left: Namespace) -> None:
    """netmap's own calls would not come back meanwhile."""
    left.run("ip link set l0 mtu 1400")
    device, port, kernel = opened(left)
    with device:
        assert device.mtu == 1400
        assert "promiscuity 1" in left.run("ip -d link show l0")
        data = conformance.frame(device, 1)
        port.deliver(data)
        kernel.signal()
        assert select.select([device.fileno()], [], [], PATIENCE)[0]
        assert [frame.data for frame in device.recv()] == [data]
        left.run("ip link set l0 down")
        assert select.select([device.fileno()], [], [], PATIENCE)[0]
        assert device.recv() == []
        assert device.down
        before = port.syncs
        port.deliver(data)
        kernel.signal()
        assert not select.select([device.fileno()], [], [], 0.05)[0]
        assert (device.recv(), device.send([Frame(data)])) == ([], 1)
        assert device.statistics()["tx_down"] == 1
        assert port.syncs == before
        left.run("ip link set l0 up")
        device.poll(1)
        assert not device.down
        assert select.select([device.fileno()], [], [], PATIENCE)[0]
        assert [frame.data for frame in device.recv()] == [data]
        assert device.send([Frame(data)]) == 1
        assert port.sent == [data]
        left.run("ip link del l0")

        def gone() -> bool:
            try:
                device.recv()
                device.poll(1 << 60)
            except DeviceGone:
                return True
            return False

        wait_for(gone, "the device to notice that its interface is gone")


def test_full_ring_is_announced_by_the_devices_own_descriptor(left: Namespace) -> None:
    device, port, _ = opened(left)
    told: list[bool] = []
    device.on_writable = lambda: told.append(True)
    with device:
        transmit, port.transmit_sync = port.transmit_sync, lambda: None  # type: ignore[method-assign]
        frames = [Frame(conformance.frame(device, n)) for n in range(20)]
        taken = device.send(frames)
        assert taken == 15
        device.recv()
        assert told == []
        port.transmit_sync = transmit  # type: ignore[method-assign]
        assert select.select([device.fileno()], [], [], PATIENCE)[0]  # there is room, says an eventfd at all times
        device.recv()
        assert told == [True]
        assert device.send(frames[taken:]) == 5


def test_wrong_interfaces_are_one_clear_line(left: Namespace) -> None:
    with left.entered():
        with pytest.raises(DeviceError, match="there is no netmap here"):
            open_device("netmap:l0")
        kernel = Kernel(FakePort("nope", Region(1)))
        kernel.real = True
        with pytest.raises(DeviceError, match=r"no interface 'nope' here \(there are: l0, lo\)|no netmap here"):
            NetmapDevice("nope", system=kernel)
