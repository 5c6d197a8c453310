"""AF_PACKET: an existing interface, every frame that it receives, whoever it is for; see packet(7).

The kernel's own stack sees the same frames: an address must belong to one of the two only. Offload state
travels in virtio-net headers (PACKET_VNET_HDR), in both directions: a kernel peer's 64 KiB frames arrive
whole.

Frames come and go in batches, one system call each (:mod:`uinet.link.calls`), or come through a ring that the kernel
fills (TPACKET_V3), with no system call at all, but up to 2 ms later.

Linux strips the outermost VLAN tag of whatever it receives and tells it beside the frame (PACKET_AUXDATA);
here it is put back, so that frames look as they did on the wire.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from uinet.errors import DeviceError, DeviceURLError
from uinet.link import calls, interface, stamping, steering, vnet
from uinet.link.constants import TCP
from uinet.link.fate import InterfaceDevice
from uinet.link.offload import finish, locate
from uinet.link.ring import MIN_BLOCK, Ring
from uinet.link.sockets import NOTHING, SOL_PACKET, attach, hear_everything, try_option
from uinet.units import MICROSECOND
from uinet.wire.addresses import Mac
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_VALID, Frame, LargeFrame, gathered

if TYPE_CHECKING:
    from uinet.link.calls import Special
    from uinet.link.sharing import Share

ETH_P_ALL = 0x0003
PACKET_STATISTICS = 6
PACKET_AUXDATA = 8
PACKET_VNET_HDR = 15
PACKET_FANOUT = 18
PACKET_IGNORE_OUTGOING = 23
PACKET_FANOUT_DATA = 22
PACKET_FANOUT_HASH = 0
PACKET_FANOUT_CBPF = 6
PACKET_FANOUT_FLAG_UNIQUEID = 0x2000
SO_DETACH_FILTER = 27
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
SO_BUSY_POLL = 46

TP_STATUS_CSUMNOTREADY = 1 << 3
TP_STATUS_CSUM_VALID = 1 << 7

ADDRESSES = 12  # bytes of the two MACs, behind which the VLAN tag stands
BATCH = 64  # frames that are made ready before they are offered to the kernel

BUFFER = 8 << 20  # bytes: a frame of 64 KiB may count as more than 100 KiB
RETIRE = 1  # ms that a block of a ring stays open
TRANSPORTS = {interface.ARPHRD_ETHER: 2, interface.ARPHRD_LOOPBACK: 2, interface.ARPHRD_NONE: 3}
_FULL = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)


class PacketDevice(InterfaceDevice):
    """All traffic of the interface `name`.

    `promisc`: frames for other MACs too. `mtu`: None for the interface's own. `offload`: False to have the
    kernel hand over, and get, nothing but what is whole, as far as it can. `fanout`: sockets with the same
    number, in any processes, share the interface's flows. `buffer`: of the kernel, in bytes, each way.
    `ring`: bytes of memory shared with the kernel, through which frames come in: less work, and up to 2 ms later;
    0 for none. `busy_poll`: see Device. `timestamps`: "hardware" or "software", who tells when frames came; where the
    hardware can't, or this user may not ask it to, the kernel does (see `Device.timestamps`). `share`: it is one
    worker's; nothing is received before `begin`.

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
        ring: int = 0,
        busy_poll: int = 0,
        timestamps: str = "",
        share: Share | None = None,
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
        self._ring: Ring | None = None
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
            self._set_busy_poll(busy_poll)
            if timestamps:
                self.timestamps = stamping.ask(self._socket, name, timestamps, ring=bool(ring))
            if ring:
                self._ring = Ring(self._socket, ring, retire=RETIRE, headers=self.offload, block=MIN_BLOCK)
            if share is not None:
                attach(self._socket, NOTHING)
            self._socket.bind((name, ETH_P_ALL))
            if share is not None:
                self._join(share)
            elif fanout is not None:
                self._socket.setsockopt(SOL_PACKET, PACKET_FANOUT, fanout | PACKET_FANOUT_HASH << 16)
        except OSError as error:
            self._release()
            if isinstance(error, DeviceError):
                raise
            raise DeviceError(f"packet:{name}: {error.strerror}") from None
        except BaseException:
            self._release()
            raise
        self._io = calls.Batches(self._socket, self.offload)
        self._source = self._io if self._ring is None else self._ring.blocks
        self._source.stamps = bool(self.timestamps)
        self._begun: Frame | None = None  # the frame of which the first `_written` packets are out, and not all
        self._written = 0
        self.watch(self._socket, index)

    def _set_options(self, index: int, promisc: bool, offload: bool, buffer: int) -> None:
        sock = self._socket
        sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.offload = offload and try_option(sock, SOL_PACKET, PACKET_VNET_HDR, 1)
        self.gathers = self.offload
        try_option(sock, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)  # since Linux 4.20; recv checks anyway
        for force, ordinary in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
            if not try_option(sock, socket.SOL_SOCKET, force, buffer):
                sock.setsockopt(socket.SOL_SOCKET, ordinary, buffer)
        if promisc:
            hear_everything(sock, index)

    def _set_busy_poll(self, busy_poll: int) -> None:
        self.busy_poll = busy_poll
        if busy_poll:
            try_option(self._socket, socket.SOL_SOCKET, SO_BUSY_POLL, -(-busy_poll // MICROSECOND))

    def _join(self, share: Share) -> None:
        """Joins the socket to those of the other workers, whose order is that in which they join."""
        if share.group is None:
            mode = PACKET_FANOUT_CBPF | PACKET_FANOUT_FLAG_UNIQUEID
            self._socket.setsockopt(SOL_PACKET, PACKET_FANOUT, mode << 16)
            share.group = self._socket.getsockopt(SOL_PACKET, PACKET_FANOUT) & 0xFFFF
            attach(self._socket, steering.program(ethernet=False), SOL_PACKET, PACKET_FANOUT_DATA)
        else:
            self._socket.setsockopt(SOL_PACKET, PACKET_FANOUT, share.group | PACKET_FANOUT_CBPF << 16)

    def begin(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)

    def forget(self) -> None:
        super().close()
        self._release()

    # in

    def recv(self, limit: int = 64) -> list[Frame]:
        self.require_open()
        source = self._source
        frames: list[Frame] = []
        octets = 0
        while limit > 0:
            found = source.receive(limit)
            limit -= len(found)
            octets += source.octets
            if source.specials:
                octets += self._expand(found, frames)
            else:
                frames += found  # type: ignore[arg-type]  # no specials: nothing but frames
            if source.error != errno.EINVAL:
                break
            self.count("rx_unsupported")  # an offload that the header can't tell: dropped
            limit -= 1
        if source.error and source.error != errno.EINVAL:
            self.notice_down(source.error)
        elif not frames and self._ring is not None:
            self.look()  # a ring says nothing of an interface that is down or gone: its socket does
        self.counters["rx_frames"] += len(frames)
        self.counters["rx_bytes"] += octets
        self.counters["rx_truncated"] = source.truncated
        return frames

    def _expand(self, found: list[Frame | Special], frames: list[Frame]) -> int:
        """Adds to `frames` what came, with what had to be looked at; the bytes of the latter."""
        octets = 0
        times = iter(self._source.times)
        for item in found:
            if isinstance(item, tuple):
                header, data, tag, status = item
                made = self._decode(header, data, tag) if header else [self._plain(data, status, tag)]
                time = next(times)
                for frame in made:
                    frame.time = time
                octets += sum(len(frame.data) for frame in made)
                frames += made
            else:
                frames.append(item)
        return octets

    def _decode(self, header: bytes, data: bytes, tag: bytes) -> list[Frame]:
        """The frames behind a virtio-net header, whose offsets do not count the tag that was taken out."""
        frames = vnet.decode(header, data, self.layer)
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

    def send(self, frames: Sequence[Frame]) -> int:
        self.require_open()
        frames = frames if isinstance(frames, list) else list(frames)
        io = self._io
        taken = 0
        while taken < len(frames):
            done = io.send_frames(frames, taken) if self._begun is None else 0
            if done > 0:
                self.counters["tx_frames"] += done
                self.counters["tx_bytes"] += io.octets
                taken += done
            elif done == 0:  # one that is not finished
                batch = frames[taken : taken + BATCH]
                done = self._send_batch(batch)
                taken += done
                if done < len(batch):
                    break
            elif -done in _FULL:
                break
            else:
                self._refused(-done)
                taken += 1
        return taken

    def _send_batch(self, frames: Sequence[Frame]) -> int:
        """How many of the frames are taken. One that is only sent in part is not, and goes on where it stopped."""
        headers: list[bytes] | None = [] if self.offload else None
        packets: list[bytes] = []
        ends: list[int] = []  # of each frame, the number of packets up to its end
        for frame in frames:
            self._make_ready(frame, headers, packets)
            ends.append(len(packets))
        before = self._written if frames[0] is self._begun else 0
        self._begun = None
        sent = self._send_packets(headers, packets, before)
        if sent == len(packets):
            return len(frames)
        taken = 0
        while ends[taken] <= sent:
            taken += 1
        within = sent - (ends[taken - 1] if taken else 0)
        if within:
            self._begun, self._written = frames[taken], within
        return taken

    def _make_ready(self, frame: Frame, headers: list[bytes] | None, packets: list[bytes]) -> None:
        """Adds the packets that carry a frame: one, or its segments where the kernel can't cut it."""
        if not frame.gso_size and frame.checksum != CHECKSUM_NEEDED:
            packets.append(frame.data)
            if headers is not None:
                headers.append(vnet.PLAIN)
            return
        if headers is not None and isinstance(frame, LargeFrame):
            headers.append(vnet.segments(frame.data, frame.l3, frame.l4, len(frame.data), frame.gso_size))
            packets.append(gathered(frame).data)
            return
        if headers is not None:
            encoded = vnet.encode(frame, self.layer)
            if encoded is not None:
                headers.append(encoded[0])
                packets.append(encoded[1])
                return
        for segment in finish(gathered(frame), self.layer, checksums=self.checksums):
            packets.append(segment.data)
            if headers is not None:
                headers.append(vnet.PLAIN)

    def _send_packets(self, headers: list[bytes] | None, packets: list[bytes], at: int) -> int:
        """Sends, or drops and counts, packets from `at` on; where it had to stop because the kernel is full."""
        send = self._io.send
        while at < len(packets):
            done = send(headers, packets, at)
            if done > 0:
                self.counters["tx_frames"] += done
                self.counters["tx_bytes"] += sum(map(len, packets[at : at + done]))
                at += done
                continue
            if -done in _FULL:
                break
            self._refused(-done)
            at += 1
        return at

    def _refused(self, code: int) -> None:
        if code == errno.EMSGSIZE:
            self.count("tx_oversize")
        elif code in (errno.ENETDOWN, errno.ENXIO, errno.ENODEV):
            self.notice_down(code)
            self.count("tx_down")
        else:
            self.count("tx_refused")

    # what the device holds

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
            self._release()

    def _release(self) -> None:
        if self._ring is not None:
            self._ring.close()
        self._socket.close()


def _with_tag(data: bytes, tag: bytes) -> bytes:
    return data[:ADDRESSES] + tag + data[ADDRESSES:]
