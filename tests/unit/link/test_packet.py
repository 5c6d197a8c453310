"""AF_PACKET with a played kernel: what recvmsg brings and how sendmsg fails is decided here."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys

import pytest

from tests.unit.link.packets import MACS, Seen, packet, tags, tcp_header
from tests.unit.link.twins import interpreted
from uinet.errors import DeviceError, DeviceGone, PermissionDenied
from uinet.link import calls, interface
from uinet.link import packet as packet_module
from uinet.link.fate import RECHECK
from uinet.link.packet import PacketDevice
from uinet.wire.addresses import Mac
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID, Frame

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux interfaces")

FRAME = packet(tcp_header(), b"hello")
HOST, OUTGOING = 0, 4
VLAN_VALID, TPID_VALID, NOT_READY, CSUM_VALID = 1 << 4, 1 << 6, 1 << 3, 1 << 7


def failure(code: int) -> OSError:
    return OSError(code, os.strerror(code))


class FakeSocket:
    """Stands for an AF_PACKET socket."""

    AF_PACKET = socket.AF_PACKET

    def __init__(self) -> None:
        self.inbox: list[tuple[bytes, list[tuple[int, int, bytes]], int, tuple[str, int, int]] | OSError] = []
        self.sent: list[bytes] = []
        self.send_errors: list[OSError] = []
        self.options: list[tuple[int, int, object]] = []
        self.unknown: set[int] = set()
        self.calls: list[str] = []
        self.drops = 0

    def deliver(
        self, data: bytes, *, status: int = 0, tci: int = 0, tpid: int = 0, kind: int = HOST, flags: int = 0
    ) -> None:
        auxdata = struct.pack("=IIIHHHH", status, len(data), len(data), 0, 0, tci, tpid)
        self.inbox.append((data, [(263, 8, auxdata)], flags, ("eth0", 0x0800, kind)))

    def recvmsg(self, size: int, space: int) -> object:
        if not self.inbox:
            raise BlockingIOError
        item = self.inbox.pop(0)
        if isinstance(item, OSError):
            raise item
        return item

    def sendmsg(self, buffers: tuple[bytes, bytes]) -> int:
        return self.send(b"".join(buffers))

    def send(self, data: bytes) -> int:
        if self.send_errors:
            raise self.send_errors.pop(0)
        self.sent.append(data)
        return len(data)

    def setsockopt(self, level: int, option: int, value: object) -> None:
        if option in self.unknown:
            raise failure(errno.ENOPROTOOPT)
        self.options.append((level, option, value))
        self.calls.append(f"option {option}")

    def getsockopt(self, level: int, option: int, length: int) -> bytes:
        drops, self.drops = self.drops, 0
        return struct.pack("=II", 0, drops)

    def bind(self, address: tuple[str, int]) -> None:
        self.calls.append("bind")

    def setblocking(self, flag: bool) -> None:
        self.calls.append(f"blocking {flag}")

    def fileno(self) -> int:
        return 99

    def close(self) -> None:
        self.calls.append("close")


class Kernel:
    """Answers the ioctls of eth0."""

    def __init__(self) -> None:
        self.kind = 1
        self.exists = True
        self.up = True

    def ioctl(self, sock: object, request: int, argument: bytes) -> bytes:
        if not self.exists:
            raise failure(errno.ENODEV)
        value = {
            interface.SIOCGIFINDEX: struct.pack("i20x", 7),
            interface.SIOCGIFMTU: struct.pack("i20x", 1500),
            interface.SIOCGIFHWADDR: struct.pack("H6s16x", self.kind, b"\x02\0\0\0\0\x63"),
            interface.SIOCGIFFLAGS: struct.pack("H22x", self.up),
        }.get(request, bytes(24))
        return b"eth0".ljust(16, b"\0") + value


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(interface.fcntl, "ioctl", made.ioctl)
    return made


@pytest.fixture
def sock(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> FakeSocket:
    made = FakeSocket()
    monkeypatch.setattr(packet_module.socket, "socket", lambda family, kind, protocol: made)
    monkeypatch.setattr(packet_module, "calls", interpreted(calls))  # compiled it asks the kernel, not a fake
    monkeypatch.setattr("uinet.link.fate.watch_link", lambda index: None)
    return made


def test_nothing_is_received_before_everything_is_set(sock: FakeSocket) -> None:
    with PacketDevice("eth0") as device:
        assert sock.calls.index("bind") == len(sock.calls) - 1
        assert (device.name, device.layer, device.mtu, device.offload) == ("packet:eth0", 2, 1500, True)
        assert (device.mac, device.interface_mac, device.fileno()) == (None, Mac("02:00:00:00:00:63"), 99)
        assert (263, 1, struct.pack("iHH8x", 7, 1, 0)) in sock.options  # promiscuous
    assert sock.calls[-1] == "close"
    assert device.fileno() == -1


def test_options_can_be_turned_off(sock: FakeSocket) -> None:
    mac = Mac("02:00:00:00:00:01")
    with PacketDevice("eth0", promisc=False, offload=False, fanout=5, mtu=1400, mac=mac) as device:
        assert not device.offload
        assert {option for _, option, _ in sock.options} & {1, 15} == set()
        assert sock.options[-1] == (263, 18, 5)
        assert (device.mtu, device.mac) == (1400, mac)


def test_interface_without_ethernet_is_layer_3(sock: FakeSocket, kernel: Kernel) -> None:
    kernel.kind = interface.ARPHRD_NONE
    assert PacketDevice("eth0").layer == 3
    kernel.kind = 801
    with pytest.raises(DeviceError, match=r"interface eth0 carries neither Ethernet nor IP \(ARPHRD 801\)"):
        PacketDevice("eth0")
    assert sock.calls[-1] == "close"


@pytest.mark.parametrize("offload", [True, False])
def test_outermost_tag_is_put_back(sock: FakeSocket, offload: bool) -> None:
    head = bytes(10) if offload else b""
    inner = packet(tcp_header(), b"x", vlans=tags((0x8100, 2)))
    with PacketDevice("eth0", offload=offload) as device:
        sock.deliver(head + FRAME, status=VLAN_VALID | TPID_VALID, tci=0x6064, tpid=0x8100)
        sock.deliver(head + inner, status=VLAN_VALID | TPID_VALID, tci=1, tpid=0x88A8)
        sock.deliver(head + FRAME, status=VLAN_VALID)  # VID 0, and a kernel that does not tell the TPID
        sock.deliver(head + FRAME, tci=5, tpid=0x8100)  # not valid
        assert [frame.data for frame in device.recv()] == [
            packet(tcp_header(), b"hello", vlans=tags((0x8100, 0x6064))),
            packet(tcp_header(), b"x", vlans=tags((0x88A8, 1), (0x8100, 2))),
            packet(tcp_header(), b"hello", vlans=tags((0x8100, 0))),
            FRAME,
        ]


def test_large_frame_with_tag_keeps_its_state(sock: FakeSocket) -> None:
    header = struct.pack("=BBHHHH", 1, 1, 54, 1448, 34, 16)  # offsets without the tag, as the kernel counts
    with PacketDevice("eth0") as device:
        bare = packet(tcp_header(), bytes(9000), state="partial")
        sock.deliver(header + bare, status=VLAN_VALID | TPID_VALID, tci=9, tpid=0x8100)
        (frame,) = device.recv()
        assert frame.data == packet(tcp_header(), bytes(9000), state="partial", vlans=tags((0x8100, 9)))
        assert (frame.checksum, frame.gso_size) == (CHECKSUM_NEEDED, 1448)


def test_without_headers_the_auxiliary_data_tell_the_checksum(sock: FakeSocket) -> None:
    sock.unknown = {15}
    with PacketDevice("eth0") as device:
        assert not device.offload
        sock.deliver(FRAME)
        sock.deliver(FRAME, status=CSUM_VALID)
        sock.deliver(packet(tcp_header(), b"x", state="partial"), status=NOT_READY)
        sock.deliver(packet(tcp_header(), bytes(5000), state="partial"), status=NOT_READY)
        frames = device.recv()
        assert [(frame.checksum, frame.gso_size) for frame in frames] == [
            (CHECKSUM_UNKNOWN, 0), (CHECKSUM_VALID, 0), (CHECKSUM_NEEDED, 0), (CHECKSUM_NEEDED, 1460)
        ]  # fmt: skip


def test_own_frames_and_cut_ones_are_left_out(sock: FakeSocket) -> None:
    with PacketDevice("eth0") as device:
        sock.deliver(bytes(10) + FRAME, kind=OUTGOING)
        sock.deliver(bytes(10) + FRAME, flags=socket.MSG_TRUNC)
        sock.inbox.append(failure(errno.EINVAL))
        sock.deliver(struct.pack("=BBHHHH", 1, 5, 42, 1, 34, 6) + bytes(2000))  # 2000 datagrams of a byte
        sock.deliver(bytes(10) + FRAME)
        assert [frame.data for frame in device.recv()] == [FRAME]
        counters = device.statistics()
        assert (counters["rx_frames"], counters["rx_truncated"], counters["rx_unsupported"]) == (1, 1, 2)


def test_kernel_drops_are_summed_up(sock: FakeSocket) -> None:
    device = PacketDevice("eth0")
    sock.drops = 5
    assert device.statistics()["rx_missed"] == 5
    sock.drops = 2
    device.close()
    device.close()
    assert device.statistics()["rx_missed"] == 7


def test_frames_are_sent_behind_their_header(sock: FakeSocket) -> None:
    large = packet(tcp_header(), bytes(9000), state="partial")
    with PacketDevice("eth0") as device:
        assert device.send([Frame(FRAME), Frame(large, CHECKSUM_NEEDED, 1448)]) == 2
    assert sock.sent == [bytes(10) + FRAME, struct.pack("=BBHHHH", 1, 1, 54, 1448, 34, 16) + large]


def test_frames_are_finished_where_headers_are_missing(sock: FakeSocket) -> None:
    with PacketDevice("eth0", offload=False) as device:
        large = Frame(packet(tcp_header(), bytes(3000), state="partial"), CHECKSUM_NEEDED, 1460)
        assert device.send([Frame(FRAME), large]) == 2
    assert [len(Seen(data).payload) for data in sock.sent] == [5, 1460, 1460, 80]


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM])
def test_full_queue_takes_fewer(sock: FakeSocket, code: int) -> None:
    with PacketDevice("eth0") as device:
        sock.send_errors = [failure(code)]
        assert device.send([Frame(FRAME)] * 3) == 0
        assert device.send([Frame(FRAME)] * 3) == 3


@pytest.mark.parametrize(
    ("code", "counter"),
    [(errno.EMSGSIZE, "tx_oversize"), (errno.EINVAL, "tx_refused"), (errno.EPERM, "tx_refused")],
)
def test_frame_that_the_kernel_refuses_is_counted(sock: FakeSocket, code: int, counter: str) -> None:
    with PacketDevice("eth0") as device:
        sock.send_errors = [failure(code)]
        assert device.send([Frame(FRAME)] * 3) == 3
        assert device.statistics()[counter] == 1
        assert len(sock.sent) == 2


def test_interface_set_down_comes_back(sock: FakeSocket, kernel: Kernel) -> None:
    with PacketDevice("eth0") as device:
        assert device.deadline() is None
        kernel.up = False
        sock.deliver(bytes(10) + FRAME)
        sock.inbox.append(failure(errno.ENETDOWN))
        assert [frame.data for frame in device.recv()] == [FRAME]
        assert device.deadline() == 0
        sock.send_errors = [failure(errno.ENETDOWN)]
        assert device.send([Frame(FRAME)]) == 1
        assert device.statistics()["tx_down"] == 1
        device.poll(1000)
        assert device.deadline() == 1000 + RECHECK
        kernel.up = True
        device.poll(1001)
        assert device.deadline() == 1000 + RECHECK  # not yet time to look
        device.poll(1000 + RECHECK)
        assert device.deadline() is None


@pytest.mark.parametrize("code", [errno.ENETDOWN, errno.ENXIO, errno.ENODEV])
def test_deleted_interface_is_gone(sock: FakeSocket, kernel: Kernel, code: int) -> None:
    with PacketDevice("eth0") as device:
        kernel.exists = False
        sock.inbox.append(failure(code))
        with pytest.raises(DeviceGone, match="packet:eth0 was deleted"):
            device.recv()
        sock.send_errors = [failure(code)]
        with pytest.raises(DeviceGone, match="packet:eth0 was deleted"):
            device.send([Frame(FRAME)])
    with pytest.raises(DeviceGone, match="packet:eth0 is closed"):
        device.recv()


def test_interface_deleted_after_it_was_set_down_is_found_out(sock: FakeSocket, kernel: Kernel) -> None:
    with PacketDevice("eth0") as device:
        sock.inbox.append(failure(errno.ENETDOWN))
        assert device.recv() == []  # deleting begins like that
        kernel.exists = False
        with pytest.raises(DeviceGone, match="packet:eth0 was deleted"):
            device.poll(1)


def test_other_errors_of_the_socket_are_told(sock: FakeSocket) -> None:
    with PacketDevice("eth0") as device:
        sock.inbox.append(failure(errno.EBADF))
        with pytest.raises(DeviceGone, match="packet:eth0: Bad file descriptor"):
            device.recv()


def test_missing_interface_is_named(
    sock: FakeSocket, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.exists = False
    monkeypatch.setattr(packet_module.socket, "if_nameindex", lambda: [(1, "lo"), (2, "enp1s0")])
    with pytest.raises(DeviceError, match=r"no interface 'eth9' here \(there are: enp1s0, lo\)"):
        PacketDevice("eth9")
    assert sock.calls == ["close"]


def test_missing_capability_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> object:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(packet_module.socket, "socket", refuse)
    message = r"packet:eth0 needs CAP_NET_RAW: run as root, or: sudo setcap cap_net_raw\+ep .*python"
    with pytest.raises(PermissionDenied, match=message) as caught:
        PacketDevice("eth0")
    assert "\n" not in str(caught.value)


def test_padding_and_short_frames_survive(sock: FakeSocket) -> None:
    with PacketDevice("eth0") as device:
        sock.deliver(bytes(10) + MACS)
        sock.deliver(bytes(10))
        assert [frame.data for frame in device.recv()] == [MACS, b""]
