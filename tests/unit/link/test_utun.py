"""utun, with macOS played by a datagram socket."""

from __future__ import annotations

import errno
import os
import select
import socket
import sys

import pytest

from tests.unit.link.packets import packet, tcp_header
from tests.unit.link.subjects import FakeMac
from uinet.errors import DeviceError, DeviceGone, DeviceURLError, PermissionDenied
from uinet.link import UtunDevice, open_device
from uinet.link.utun import CTL_INFO, IFREQ
from uinet.wire.frame import Frame

IPV4 = packet(tcp_header(), b"hello")[14:]
IPV6 = b"\x60" + bytes(59)


def opened(name: str = "utun5", mtu: int | None = None) -> tuple[UtunDevice, FakeMac, socket.socket]:
    system = FakeMac()
    device = UtunDevice(name, mtu=mtu, system=system)
    assert system.kernel is not None
    return device, system, system.kernel


def test_structures_have_the_sizes_of_the_headers() -> None:
    assert CTL_INFO.size == 100  # of the ioctl's own number, 0x64
    assert IFREQ.size == 32


@pytest.mark.parametrize(("name", "unit", "interface"), [
    ("utun5", 6, "utun5"), ("0", 1, "utun0"), ("auto", 0, "utun4"),
])  # fmt: skip
def test_names_say_which_unit_is_wanted(name: str, unit: int, interface: str) -> None:
    device, system, kernel = opened(name)
    with device, kernel:
        assert (system.unit, device.interface, device.name) == (unit, interface, f"utun:{interface}")
        assert (device.layer, device.mtu) == (3, 1500)


def test_packets_stand_behind_their_family() -> None:
    device, _, kernel = opened()
    with device, kernel:
        assert device.send([Frame(IPV4), Frame(IPV6), Frame(b"\x20" + bytes(40)), Frame(b"")]) == 4
        assert kernel.recv(2000) == b"\0\0\0\x02" + IPV4
        assert kernel.recv(2000) == b"\0\0\0\x1e" + IPV6
        assert device.statistics()["tx_refused"] == 2
        for data in (b"\0\0\0\x02" + IPV4, b"\0\0\0\x1e" + IPV6, b"\0\0\0\x10" + IPV4, b"\0\0\0"):
            kernel.send(data)
        assert select.select([device.fileno()], [], [], 0)[0]
        assert [frame.data for frame in device.recv()] == [IPV4, IPV6]
        counters = device.statistics()
        assert (counters["rx_unsupported"], counters["rx_short"]) == (1, 1)


def test_mtu_is_set_on_the_interface() -> None:
    device, system, kernel = opened(mtu=1280)
    with device, kernel:
        assert (system.length, device.mtu) == (1280, 1280)
        assert device.send([Frame(b"\x45" + bytes(1280))]) == 1
        assert device.statistics()["tx_oversize"] == 1


def test_interface_that_goes_away_is_reported() -> None:
    device, _, kernel = opened()
    with device:
        kernel.close()
        with pytest.raises(DeviceGone, match="utun:utun5 was deleted"):
            device.recv()
        with pytest.raises(DeviceGone, match="utun:utun5 was deleted"):
            device.send([Frame(IPV4)])


def test_errors_are_one_clear_line() -> None:
    with pytest.raises(DeviceURLError, match="utun:eth0: want utun and a number, or auto"):
        UtunDevice("eth0", system=FakeMac())
    for code, kind, text in (
        (errno.EPERM, PermissionDenied, "utun:utun5 needs root: run it with sudo"),
        (errno.EBUSY, DeviceError, "utun:utun5 is in use by another program; utun:auto takes the first free one"),
        (errno.ENXIO, DeviceError, "utun:utun5: No such device or address"),
    ):
        system = FakeMac()
        system.open = lambda unit, code=code: (_ for _ in ()).throw(OSError(code, os.strerror(code)))  # type: ignore[method-assign]
        with pytest.raises(kind, match=text):
            UtunDevice("utun5", system=system)


@pytest.mark.skipif(sys.platform == "darwin", reason="there it would be made")
def test_other_systems_have_none() -> None:
    with pytest.raises(DeviceError, match="utun devices exist on macOS only; on Linux use tun:NAME"):
        open_device("utun:utun5")
