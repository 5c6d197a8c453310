"""TAP and TUN with a played kernel: a socket pair for the device, and ioctls that are answered here."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator

import pytest

from tests.unit.link.packets import Seen, packet, tcp_header
from uinet.errors import AddressError, DeviceError, DeviceGone, PermissionDenied
from uinet.link import interface, tap
from uinet.wire.frame import (
    CHECKSUM_NEEDED,
    CHECKSUM_UNKNOWN,
    CHECKSUM_VALID,
    Frame,
    LargeFrame,
    SplitFrame,
    gathered,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux interfaces")

NOT_PERMITTED = (
    r"making tap device lab0 needs CAP_NET_ADMIN: run as root, or: sudo setcap cap_net_admin\+ep .*python.*; "
    r"or let root make the device: ip tuntap add dev lab0 mode tap user \$USER"
)

FRAME = packet(tcp_header(), b"hello")


class Kernel:
    """Answers the ioctls of one interface."""

    def __init__(self) -> None:
        self.left, self.right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.left.setblocking(False)
        self.right.setblocking(False)
        self.calls: list[int] = []
        self.errors: dict[int, int] = {}  # request -> errno
        self.mtu = 1500
        self.up = False
        self.flags = 0

    def ioctl(self, fd: object, request: int, argument: object = 0) -> bytes:
        self.calls.append(request)
        if request in self.errors:
            code = self.errors[request]
            raise OSError(code, os.strerror(code))
        if not isinstance(argument, bytes):
            return b""
        name, value = argument[:16], argument[16:]
        if request == tap.TUNSETIFF:
            (self.flags,) = struct.unpack_from("H", value)
            name = name.replace(b"%d", b"0\0")[:16]
        elif request == interface.SIOCSIFMTU:
            (self.mtu,) = struct.unpack_from("i", value)
        elif request == interface.SIOCGIFMTU:
            value = struct.pack("i20x", self.mtu)
        elif request == interface.SIOCGIFFLAGS:
            value = struct.pack("H22x", self.up)
        elif request == interface.SIOCSIFFLAGS:
            self.up = bool(struct.unpack_from("H", value)[0] & interface.IFF_UP)
        return name + value


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    made = Kernel()
    monkeypatch.setattr(tap, "_open_clone_device", lambda name: os.dup(made.left.fileno()))
    monkeypatch.setattr(tap.fcntl, "ioctl", made.ioctl)
    yield made
    made.left.close()
    made.right.close()


def test_tap_is_made_up_with_offload(kernel: Kernel) -> None:
    with tap.TapDevice("lab%d", mtu=1400) as device:
        assert (device.name, device.interface, device.layer, device.mtu) == ("tap:lab0", "lab0", 2, 1400)
        assert device.offload
        assert kernel.flags == tap.IFF_TAP | tap.IFF_NO_PI | tap.IFF_VNET_HDR
        assert (kernel.up, kernel.mtu) == (True, 1400)
        assert device.fileno() >= 0
    assert device.fileno() == -1
    device.close()


def test_tun_without_offload_left_down(kernel: Kernel) -> None:
    with tap.TapDevice("lab0", layer=3, up=False, offload=False) as device:
        assert (device.name, device.layer, device.mtu, device.offload) == ("tun:lab0", 3, 1500, False)
        assert kernel.flags == tap.IFF_TUN | tap.IFF_NO_PI
        assert not kernel.up
        assert interface.SIOCSIFMTU not in kernel.calls


def test_plain_frames_both_ways(kernel: Kernel) -> None:
    with tap.TapDevice("lab0", offload=False) as device:
        kernel.right.send(FRAME)
        kernel.right.send(b"x" * 60)
        assert [frame.data for frame in device.recv(1)] == [FRAME]
        assert [frame.data for frame in device.recv()] == [b"x" * 60]
        assert device.recv() == []
        large = Frame(packet(tcp_header(), bytes(2000), state="partial"), CHECKSUM_NEEDED, 1460)
        assert device.send([Frame(FRAME), large]) == 2
        assert kernel.right.recv(2000) == FRAME
        assert len(Seen(kernel.right.recv(2000)).payload) == 1460
        assert len(Seen(kernel.right.recv(2000)).payload) == 540
        assert device.statistics() == {
            "rx_frames": 2, "rx_bytes": len(FRAME) + 60, "tx_frames": 3, "tx_bytes": len(FRAME) + 2108
        }  # fmt: skip


def test_frame_that_does_not_fit_is_not_delivered_in_part(kernel: Kernel) -> None:
    with tap.TapDevice("lab0", offload=False) as device:
        kernel.right.send(bytes(3000))
        kernel.right.send(FRAME)
        assert [frame.data for frame in device.recv()] == [FRAME]
        assert device.statistics()["rx_truncated"] == 1


def test_large_frames_go_through_whole(kernel: Kernel) -> None:
    with tap.TapDevice("lab0") as device:
        data = packet(tcp_header(), bytes(20000), state="partial")
        header = struct.pack("=BBHHHH", 1, 1, 54, 1448, 34, 16)
        kernel.right.send(header + data)
        kernel.right.send(bytes(10) + FRAME)
        large, plain = device.recv()
        assert (large.data, large.checksum, large.gso_size) == (data, CHECKSUM_NEEDED, 1448)
        assert (plain.data, plain.checksum, plain.gso_size) == (FRAME, CHECKSUM_UNKNOWN, 0)
        assert device.statistics()["rx_bytes"] == len(data) + len(FRAME)
        assert device.send([large, plain]) == 2
        assert kernel.right.recv(70000) == header + data
        assert kernel.right.recv(70000) == bytes(10) + FRAME


@pytest.mark.parametrize("version", [4, 6])
def test_large_segments_are_split_behind_their_headers_if_that_is_wanted(kernel: Kernel, version: int) -> None:
    def give(options: bytes, **more: int) -> bytes:
        data = packet(tcp_header(options=options), bytes(20000), state="partial", version=version, **more)
        start = 14 + (20 if version == 4 else 40)
        kind = 1 if version == 4 else 4
        kernel.right.send(struct.pack("=BBHHHH", 1, kind, start + 20 + len(options), 1448, start, 16) + data)
        return data

    with tap.TapDevice("lab0") as device:
        for options in (b"", b"", bytes(12), bytes(12)):  # nothing is known of the first, and the third is another
            data = give(options)
            (whole,) = device.recv()
            assert not isinstance(whole, SplitFrame) and whole.data == data
        device.splits = True
        for options, apart in ((b"", False), (b"", True), (bytes(12), False), (bytes(12), True)):
            data = give(options)
            (frame,) = device.recv()
            assert isinstance(frame, SplitFrame) is apart
            assert gathered(frame).data == data
            assert (frame.checksum, frame.gso_size) == (CHECKSUM_NEEDED, 1448)
            if isinstance(frame, SplitFrame):
                assert frame.payload == bytes(20000)
        header = struct.pack("=BBHHHH", 0, 1, 66, 1448, 0, 0)
        kernel.right.send(header + data)
        (frame,) = device.recv()
        assert isinstance(frame, SplitFrame) and frame.checksum == CHECKSUM_VALID  # merged by a card
        kernel.right.send(struct.pack("=BBHHHH", 1, 1, 66, 1448, 35, 16) + data)  # the checksum of something else
        (frame,) = device.recv()
        assert not isinstance(frame, SplitFrame) and len(frame.data) == len(data)
        device.splits = False
        give(bytes(12))
        assert not isinstance(device.recv()[0], SplitFrame)


def test_unfinished_frame_that_no_header_describes_is_sent_all_the_same(kernel: Kernel) -> None:
    with tap.TapDevice("lab0") as device:
        assert device.send([Frame(b"\xff" * 60, CHECKSUM_NEEDED)]) == 1
        assert kernel.right.recv(2000) == bytes(10) + b"\xff" * 60


def test_full_kernel_queue_takes_fewer(kernel: Kernel) -> None:
    with tap.TapDevice("lab0") as device:
        frames = [Frame(FRAME)] * 5000
        taken = device.send(frames)
        assert 0 < taken < 5000
        assert device.statistics()["tx_frames"] == taken


def test_pieces_are_gathered_into_one_packet(kernel: Kernel) -> None:
    payload = bytes(range(256)) * 80
    whole = packet(tcp_header(), payload, state="partial")
    pieces = [memoryview(payload)[:7], memoryview(bytearray(payload))[7:]]
    frame = LargeFrame(whole[:54], 1448, pieces, 14, 34)
    assert len(frame) == len(whole)
    with tap.TapDevice("lab0") as device:
        assert device.gathers
        assert device.send([frame]) == 1
        assert kernel.right.recv(70000) == struct.pack("=BBHHHH", 1, 1, 54, 1448, 34, 16) + whole
        assert device.statistics()["tx_bytes"] == len(whole)
    with tap.TapDevice("lab0", offload=False) as device:
        assert not device.gathers


class Refusing:
    """A tunnel whose every call fails with the error `code`."""

    packets = octets = truncated = oversize = 0

    def __init__(self, code: int) -> None:
        self.error = code

    def recv(self, limit: int) -> list[Frame]:
        return []

    def send(self, frames: list[Frame], index: int) -> int:
        return index


@pytest.mark.parametrize(
    ("code", "counter"),
    [(errno.EIO, "tx_down"), (errno.EINVAL, "tx_refused"), (errno.EPERM, "tx_refused")],
)
def test_frame_that_the_kernel_refuses_is_counted(kernel: Kernel, code: int, counter: str) -> None:
    with tap.TapDevice("lab0") as device:
        device._tunnel = Refusing(code)
        assert device.send([Frame(FRAME), Frame(FRAME)]) == 2
        assert device.statistics()[counter] == 2
        assert device.statistics()["tx_frames"] == 0


def test_no_memory_in_the_kernel_is_back_pressure(kernel: Kernel) -> None:
    with tap.TapDevice("lab0") as device:
        device._tunnel = Refusing(errno.ENOBUFS)
        assert device.send([Frame(FRAME)]) == 0


def test_deleted_interface_is_gone(kernel: Kernel) -> None:
    with tap.TapDevice("lab0") as device:
        device._tunnel = Refusing(errno.EBADFD)
        with pytest.raises(DeviceGone, match="tap:lab0 was deleted"):
            device.recv()
        with pytest.raises(DeviceGone, match="tap:lab0 was deleted"):
            device.send([Frame(FRAME)])
    with pytest.raises(DeviceGone, match="tap:lab0 is closed"):
        device.recv()


def test_longer_than_the_link_is_dropped(kernel: Kernel) -> None:
    with tap.TapDevice("lab0", mtu=1000) as device:
        assert device.send([Frame(bytes(1000 + 14 + 64 + 1)), Frame(bytes(1000 + 14 + 64))]) == 2
        assert device.statistics()["tx_oversize"] == 1
        assert device.statistics()["tx_frames"] == 1


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (errno.EPERM, PermissionDenied, NOT_PERMITTED),
        (errno.EBUSY, DeviceError, "tap device lab0 is in use by another program"),
        (errno.EINVAL, DeviceError, "interface lab0 exists and is no tap device, or one with several queues"),
        (errno.ENOMEM, DeviceError, "tap device lab0: Cannot allocate memory"),
    ],
)
def test_attach_errors(kernel: Kernel, code: int, kind: type[Exception], message: str) -> None:
    kernel.errors[tap.TUNSETIFF] = code
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(kind, match=message) as caught:
        tap.TapDevice("lab0")
    assert "\n" not in str(caught.value)
    assert len(os.listdir("/proc/self/fd")) == before


def test_setting_up_needs_no_permission_but_an_mtu_or_address_does(kernel: Kernel) -> None:
    kernel.errors = dict.fromkeys(
        (interface.SIOCSIFFLAGS, interface.SIOCSIFMTU, interface.SIOCSIFADDR), errno.EPERM
    )
    tap.TapDevice("lab0").close()
    tap.TapDevice("lab0", mtu=1500).close()  # it has that already
    for options in ({"mtu": 1400}, {"addresses": ["10.7.0.1/24"]}):
        with pytest.raises(PermissionDenied, match="an MTU or an address of lab0 needs CAP_NET_ADMIN"):
            tap.TapDevice("lab0", **options)  # type: ignore[arg-type]
    kernel.errors = {interface.SIOCSIFMTU: errno.EINVAL}
    with pytest.raises(DeviceError, match="tap:lab0: Invalid argument"):
        tap.TapDevice("lab0", mtu=68)
    with pytest.raises(AddressError, match="not an IP address"):
        tap.TapDevice("lab0", addresses=["nonsense/24"])


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (errno.ENOENT, DeviceError, r"this system has no /dev/net/tun: load the tun module \(modprobe tun\)"),
        (errno.EACCES, PermissionDenied, "/dev/net/tun can't be opened: run as root, or let root allow it"),
        (errno.EMFILE, DeviceError, "/dev/net/tun: Too many open files"),
    ],
)
def test_clone_device_errors(
    monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception], message: str
) -> None:
    def refuse(path: str, flags: int) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(kind, match=message):
        tap.TapDevice("lab0")


def test_other_systems_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(DeviceError, match="TAP and TUN devices exist on Linux only"):
        tap.TapDevice("lab0")
