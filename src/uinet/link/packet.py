"""AF_PACKET: an existing interface, every frame that it receives, whoever it is for; see packet(7).

The kernel's own stack sees the same frames: an address must belong to one of the two only. Offload state
travels in virtio-net headers (PACKET_VNET_HDR), in both directions: a kernel peer's 64 KiB frames arrive
whole.

Linux strips the outermost VLAN tag of whatever it receives and tells it beside the frame (PACKET_AUXDATA);
here it is put back, so that frames look as they did on the wire.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence

from uinet.errors import DeviceError, DeviceGone, DeviceURLError
from uinet.link import interface, vnet
from uinet.link.constants import TCP
from uinet.link.device import ETHERNET_HEADER
from uinet.link.offload import locate
from uinet.link.writing import WritingDevice
from uinet.units import MILLISECOND
from uinet.wire.addresses import Mac
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_VALID, Frame

ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_STATISTICS = 6
PACKET_AUXDATA = 8
PACKET_VNET_HDR = 15
PACKET_FANOUT = 18
PACKET_IGNORE_OUTGOING = 23
PACKET_MR_PROMISC = 1
PACKET_FANOUT_HASH = 0
PACKET_OUTGOING = 4  # sockaddr_ll.sll_pkttype
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33

TP_STATUS_CSUMNOTREADY = 1 << 3
TP_STATUS_VLAN_VALID = 1 << 4
TP_STATUS_VLAN_TPID_VALID = 1 << 6
TP_STATUS_CSUM_VALID = 1 << 7

_AUXDATA = struct.Struct("=IIIHHHH")  # status, len, snaplen, mac, net, vlan_tci, vlan_tpid
_AUXDATA_SPACE = socket.CMSG_SPACE(_AUXDATA.size) if hasattr(socket, "CMSG_SPACE") else 0
_ADDRESSES = 12  # bytes of the two MACs, behind which the VLAN tag stands

LARGEST = vnet.SIZE + 65535 + ETHERNET_HEADER + 16 * 4
BUFFER = 8 << 20  # bytes: a frame of 64 KiB may count as more than 100 KiB
RECHECK = 100 * MILLISECOND  # how often an interface that is down is looked at
TRANSPORTS = {interface.ARPHRD_ETHER: 2, interface.ARPHRD_LOOPBACK: 2, interface.ARPHRD_NONE: 3}


class PacketDevice(WritingDevice):
    """All traffic of the interface `name`.

    `promisc`: frames for other MACs too. `mtu`: None for the interface's own. `offload`: False to have the
    kernel hand over, and get, nothing but what is whole, as far as it can. `fanout`: sockets with the same
    number, in any processes, share the interface's flows. `buffer`: of the kernel, in bytes, each way.

    A train of UDP datagrams that the kernel hands over as one frame counts as one against the limit of
    `recv`. While the interface is set down nothing arrives and frames to send are dropped, counted as
    tx_down; deleted, it raises DeviceGone. Raises DeviceURLError (bad name), PermissionDenied, DeviceError.
    """

    def __init__(
        self,
        name: str,
        *,
        mtu: int | None = None,
        mac: Mac | None = None,
        promisc: bool = True,
        offload: bool = True,
        fanout: int | None = None,
        buffer: int = BUFFER,
    ) -> None:
        interface.require_linux("AF_PACKET")
        interface.check_name(name)
        if fanout is not None and not 0 <= fanout <= 0xFFFF:
            raise DeviceURLError(f"fanout {fanout}: want 0 to 65535")
        # protocol 0: nothing is received, from any interface, until bind says from which
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        except PermissionError:
            raise interface.missing_capability(f"packet:{name}", "CAP_NET_RAW") from None
        try:
            index = interface.index(self._socket, name)
            kind, self.interface_mac = interface.hardware(self._socket, name)
            if kind not in TRANSPORTS:
                raise DeviceError(f"interface {name} carries neither Ethernet nor IP (ARPHRD {kind})")
            if mtu is None:
                mtu = min(interface.mtu(self._socket, name), 65535)
            super().__init__(f"packet:{name}", layer=TRANSPORTS[kind], mtu=mtu, mac=mac)
            self._socket.setblocking(False)
            self._set_options(index, promisc, offload, buffer)
            self._socket.bind((name, ETH_P_ALL))
            if fanout is not None:
                self._socket.setsockopt(SOL_PACKET, PACKET_FANOUT, fanout | PACKET_FANOUT_HASH << 16)
        except OSError as error:
            self._socket.close()
            if isinstance(error, DeviceError):
                raise
            raise DeviceError(f"packet:{name}: {error.strerror}") from None
        except BaseException:
            self._socket.close()
            raise
        self._index = index
        self._down = False
        self._recheck_at = 0

    def _set_options(self, index: int, promisc: bool, offload: bool, buffer: int) -> None:
        sock = self._socket
        sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.offload = offload and _try_option(sock, SOL_PACKET, PACKET_VNET_HDR, 1)
        _try_option(sock, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)  # since Linux 4.20; recv checks anyway
        for force, ordinary in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
            if not _try_option(sock, socket.SOL_SOCKET, force, buffer):
                sock.setsockopt(socket.SOL_SOCKET, ordinary, buffer)
        if promisc:
            membership = struct.pack("iHH8x", index, PACKET_MR_PROMISC, 0)
            sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)

    # in

    def recv(self, limit: int = 64) -> list[Frame]:
        self.require_open()
        frames: list[Frame] = []
        recvmsg = self._socket.recvmsg
        for _ in range(limit):
            try:
                data, control, flags, address = recvmsg(LARGEST, _AUXDATA_SPACE)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.EINVAL:
                    self.count("rx_unsupported")  # an offload that the header can't tell: dropped
                    continue
                self._notice_down(error)
                break
            if address[2] == PACKET_OUTGOING:
                continue
            if flags & socket.MSG_TRUNC:
                self.count("rx_truncated")
                continue
            status, tag = _auxdata(control)
            if self.offload:
                if not tag and data.startswith(vnet.PLAIN):
                    frames.append(Frame(data[vnet.SIZE :]))
                else:
                    frames += self._decode(data[: vnet.SIZE], data[vnet.SIZE :], tag)
            else:
                frames.append(self._plain(data, status, tag))
        self.counters["rx_frames"] += len(frames)
        self.counters["rx_bytes"] += sum(len(frame.data) for frame in frames)
        return frames

    def _decode(self, header: bytes, data: bytes, tag: bytes) -> list[Frame]:
        """The frames behind a virtio-net header, whose offsets do not count the tag that was taken out."""
        frames = [Frame(data)] if header == vnet.PLAIN else vnet.decode(header, data, self.layer)
        if not frames:
            self.count("rx_unsupported")
        if tag:
            for frame in frames:
                frame.data = _with_tag(frame.data, tag)
        return frames

    def _plain(self, data: bytes, status: int, tag: bytes) -> Frame:
        """A frame whose offload state is known from the auxiliary data alone."""
        frame = Frame(data)
        if status & TP_STATUS_CSUMNOTREADY:
            frame.checksum = CHECKSUM_NEEDED
            frame.gso_size = self._guess_gso_size(data)
        elif status & TP_STATUS_CSUM_VALID:
            frame.checksum = CHECKSUM_VALID
        if tag:
            frame.data = _with_tag(data, tag)
        return frame

    def _guess_gso_size(self, data: bytes) -> int:
        """The segment size of a frame too large for the link, which without a header nobody tells."""
        found = locate(data, self.layer)
        if found is None or found[2] - found[0] <= self.mtu:
            return 0
        l3, l4, _, protocol = found
        header = (data[l4 + 12] >> 4) * 4 if protocol == TCP else 8
        return max(1, self.mtu - (l4 - l3) - header)

    # out

    def write(self, packet: bytes) -> bool:
        return self._write(vnet.PLAIN, packet)

    def write_unfinished(self, frame: Frame) -> bool:
        if self.offload:
            encoded = vnet.encode(frame, self.layer)
            if encoded is not None:
                return self._write(*encoded)
        return super().write_unfinished(frame)

    def _write(self, header: bytes, packet: bytes) -> bool:
        try:
            if self.offload:
                self._socket.sendmsg((header, packet))
            else:
                self._socket.send(packet)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in (errno.ENOBUFS, errno.ENOMEM):
                return False
            if error.errno == errno.EMSGSIZE:
                self.count("tx_oversize")
            elif error.errno in (errno.ENETDOWN, errno.ENXIO, errno.ENODEV):
                self._notice_down(error)
                self.count("tx_down")
            else:
                self.count("tx_refused")
            return True
        self.sent(len(packet))
        return True

    # the interface's own fate

    def _notice_down(self, error: OSError) -> None:
        """The interface is down, or on its way out: the kernel says both in the same words, and only once."""
        if not interface.current_name(self._socket, self._index):
            raise DeviceGone(f"{self.name} was deleted") from None
        if error.errno != errno.ENETDOWN:
            raise DeviceGone(f"{self.name}: {error.strerror}") from None
        self._down = True
        self._recheck_at = 0

    def deadline(self) -> int | None:
        return self._recheck_at if self._down else None

    def poll(self, now: int) -> None:
        if not self._down or now < self._recheck_at or self.closed:
            return
        name = interface.current_name(self._socket, self._index)
        if not name:
            raise DeviceGone(f"{self.name} was deleted")
        try:
            self._down = not interface.is_up(self._socket, name)
        except OSError:
            raise DeviceGone(f"{self.name} was deleted") from None
        self._recheck_at = now + RECHECK

    def fileno(self) -> int:
        return -1 if self.closed else self._socket.fileno()

    def statistics(self) -> dict[str, int]:
        if not self.closed:
            self._collect_drops()
        return super().statistics()

    def _collect_drops(self) -> None:
        """Adds what the kernel has dropped since the last call: reading its counters sets them to zero."""
        _, drops = struct.unpack("=II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self.count("rx_missed", drops)

    def close(self) -> None:
        if not self.closed:
            self._collect_drops()
            super().close()
            self._socket.close()


def _try_option(sock: socket.socket, level: int, option: int, value: int) -> bool:
    """Sets a socket option that this kernel, or this user, may not have; whether it worked."""
    try:
        sock.setsockopt(level, option, value)
    except OSError:
        return False
    return True


def _auxdata(control: Sequence[tuple[int, int, bytes]]) -> tuple[int, bytes]:
    """(status, the VLAN tag that the kernel has taken out or b"") of a frame's auxiliary data."""
    for level, kind, value in control:
        if level == SOL_PACKET and kind == PACKET_AUXDATA and len(value) >= _AUXDATA.size:
            status, _, _, _, _, tci, tpid = _AUXDATA.unpack_from(value)
            if not status & TP_STATUS_VLAN_VALID:
                return status, b""
            if not status & TP_STATUS_VLAN_TPID_VALID:
                tpid = 0x8100
            return status, struct.pack(">HH", tpid, tci)
    return 0, b""


def _with_tag(data: bytes, tag: bytes) -> bytes:
    return data[:_ADDRESSES] + tag + data[_ADDRESSES:]
