"""System calls in batches, and the ring that AF_PACKET fills: the interpreted twin of ``calls.pyx``.

Both of the classes give what comes in as a list of frames and of tuples. A frame needs nothing more; a tuple
``(header, data, tag, status)`` is one that somebody has to look at: its virtio-net header (10 bytes, or b"" on a socket
without), the bytes behind it, the VLAN tag that the kernel has taken out of them (4 bytes, or b""), and the kernel's
status (TP_STATUS). In a frame the tag is in its place again. What this host itself has sent is left out.

After each `receive`: `error` is the errno that ended it (0: there is no more, or the limit was reached), `specials` the
number of tuples, `octets` the bytes of the frames. `truncated` counts packets that were cut short, for good. With
`stamps` set, frames have the time that the kernel, or the hardware below it, says (ns since 1970), and `times` has
those of the tuples, in their order; without, they are 0.

Read first: packet(7); Documentation/networking/packet_mmap.rst of Linux; linux/if_packet.h. A block of the ring is a
header, then packets, each with its own. All numbers are in the order of this machine::

    block:   version, offset to private, status, packets, offset to the first, bytes used (4 each), sequence (8), times
    packet:  offset to the next, seconds, nanoseconds, captured, length, status (4 each), MAC header, network header
             (2 each), hash (4), VLAN TCI (4), VLAN TPID (2), 10 unused, then a sockaddr_ll
"""

from __future__ import annotations

import errno
import mmap
import socket
import struct

from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID, Frame

Special = tuple[bytes, bytes, bytes, int]

BATCH = 64
VNET = 10
SLOT = 65535 + 14 + 64
ADDRESSES = 12
OUTGOING = 4
SOL_PACKET = 263
PACKET_AUXDATA = 8
SCM_TIMESTAMPNS = 35
SCM_TIMESTAMPING = 37
SECOND = 1_000_000_000
CSUM_NOT_READY = 1 << 3
VLAN_VALID = 1 << 4
VLAN_TPID_VALID = 1 << 6
CSUM_VALID = 1 << 7
STATUS_USER = 1
DEFAULT_TPID = 0x8100
PLAIN = bytes(VNET)
DATA_VALID = b"\x02" + bytes(VNET - 1)

BLOCK_STATUS = 8
BLOCK_HEADER = 48
PACKET_HEADER = 48
PACKET_WHOLE = 68
_BLOCK = struct.Struct("=IIII")  # status, packets, offset to the first, bytes used
_PACKET = struct.Struct("=IIIIIIHHIIH")
_WORD = struct.Struct("=I")
_AUXDATA = struct.Struct("=IIIHHHH")  # status, len, snaplen, mac, net, vlan_tci, vlan_tpid
_TIME = struct.Struct("@2l")  # struct timespec: seconds and ns
_TIMES = struct.Struct(f"@{2 * _TIME.size}x2l")  # three of them, the third of the hardware
_CONTROL = (
    sum(map(socket.CMSG_SPACE, (_AUXDATA.size, _TIME.size, _TIMES.size))) if hasattr(socket, "CMSG_SPACE") else 0
)


def _tag(status: int, tci: int, tpid: int) -> bytes:
    """The VLAN tag that the kernel has taken out; b"" if there was none."""
    if not status & VLAN_VALID:
        return b""
    if not status & VLAN_TPID_VALID:
        tpid = DEFAULT_TPID
    return struct.pack(">HH", tpid, tci & 0xFFFF)


def _state(header: bytes, status: int) -> int | None:
    """The checksum state of a frame that has nothing else to say; None if it has."""
    if not header:
        if status & CSUM_NOT_READY:
            return None
        return CHECKSUM_VALID if status & CSUM_VALID else CHECKSUM_UNKNOWN
    return CHECKSUM_UNKNOWN if header == PLAIN else CHECKSUM_VALID if header == DATA_VALID else None


class _Taker:
    """What both sources do with a packet, and what they tell."""

    def __init__(self) -> None:
        self.error = 0
        self.specials = 0
        self.octets = 0
        self.truncated = 0
        self.stamps = False
        self.times: list[int] = []

    def _take(
        self, found: list[Frame | Special], header: bytes, data: bytes, tag: bytes, status: int, time: int
    ) -> None:
        state = _state(header, status)
        if not self.stamps:
            time = 0
        if state is None:
            self.specials += 1
            self.times.append(time)
            found.append((header, data, tag, status))
            return
        if tag and len(data) >= ADDRESSES:
            data = data[:ADDRESSES] + tag + data[ADDRESSES:]
        self.octets += len(data)
        found.append(Frame(data, state, 0, time))


class Batches(_Taker):
    """Receives from and sends to a packet socket in batches; compiled, with one system call each.

    `sock`: non-blocking, with PACKET_AUXDATA. `headers`: it has PACKET_VNET_HDR.
    """

    def __init__(self, sock: socket.socket, headers: bool) -> None:
        super().__init__()
        self.sock = sock
        self.headers = headers

    def receive(self, limit: int) -> list[Frame | Special]:
        """At most `limit` messages, as frames and tuples."""
        found: list[Frame | Special] = []
        self.error = self.specials = self.octets = 0
        self.times = []
        recvmsg = self.sock.recvmsg
        skip = VNET if self.headers else 0
        for _ in range(limit):
            try:
                data, control, flags, address = recvmsg(skip + SLOT, _CONTROL)
            except BlockingIOError:
                break
            except OSError as error:
                self.error = error.errno or errno.EIO
                break
            if address and len(address) > 2 and address[2] == OUTGOING:
                continue
            if flags & socket.MSG_TRUNC or len(data) < skip:
                self.truncated += 1
                continue
            status, tci, tpid, time = 0, 0, 0, 0
            for level, kind, value in control:
                if level == SOL_PACKET and kind == PACKET_AUXDATA and len(value) >= _AUXDATA.size:
                    status, _, _, _, _, tci, tpid = _AUXDATA.unpack_from(value)
                elif level == socket.SOL_SOCKET and kind == SCM_TIMESTAMPING and len(value) >= _TIMES.size:
                    seconds, beside = _TIMES.unpack_from(value)
                    time = seconds * SECOND + beside or time
                elif level == socket.SOL_SOCKET and kind == SCM_TIMESTAMPNS and len(value) >= _TIME.size:
                    seconds, beside = _TIME.unpack_from(value)
                    time = time or seconds * SECOND + beside
            self._take(found, data[:skip], data[skip:], _tag(status, tci, tpid), status, time)
        return found

    def send(self, headers: list[bytes] | None, packets: list[bytes], start: int) -> int:
        """Sends up to 64 of `packets` from `start` on, each behind its header if there are any.

        How many went; minus the errno if none did: it is the first one's. IndexError if there are not as many headers.
        """
        if start < 0 or (headers is not None and len(headers) != len(packets)):
            raise IndexError(f"from {start} of {len(packets)} packets")
        sent = 0
        for index in range(start, min(start + BATCH, len(packets))):
            try:
                if headers is not None:
                    self.sock.sendmsg((headers[index], packets[index]))
                else:
                    self.sock.send(packets[index])
            except OSError as error:
                return sent or -(error.errno or errno.EAGAIN)
            sent += 1
        return sent


    def send_frames(self, frames: list[Frame], start: int) -> int:
        """Sends up to 64 of `frames` from `start` on, up to the first that is not finished: a frame of several
        segments, or without its checksum.

        How many went, of `octets` bytes together; 0 if the first is not finished; minus the errno if none went.
        """
        if start < 0 or start > len(frames):
            raise IndexError(f"frame {start} of {len(frames)}")
        packets: list[bytes] = []
        for frame in frames[start : start + BATCH]:
            if frame.gso_size or frame.checksum == CHECKSUM_NEEDED:
                break
            packets.append(frame.data)
        sent = self.send([PLAIN] * len(packets) if self.headers else None, packets, 0)
        self.octets = sum(map(len, packets[: max(0, sent)]))
        return sent


class BlockRing(_Taker):
    """The ring of blocks in `memory` that AF_PACKET fills (TPACKET_V3).

    A block is the kernel's, or ours to read, in turn. `headers`: a virtio-net header stands before each packet. The
    status of a block is read before the rest of it, and written after: the compiled twin has the barriers for it, here
    there are hundreds of instructions in between. IndexError if the memory is smaller than its blocks.
    """

    def __init__(self, memory: bytearray | mmap.mmap, block_size: int, blocks: int, headers: bool) -> None:
        super().__init__()
        if block_size < 4096 or block_size % 4096 or blocks < 1 or len(memory) // block_size < blocks:
            raise IndexError(f"{blocks} blocks of {block_size} bytes in {len(memory)}")
        self._memory: bytearray | mmap.mmap | None = memory
        self._block_size = block_size
        self._blocks = blocks
        self._headers = headers
        self._block = 0  # the one that is read, or that the kernel hands over next
        self._begun = False
        self._at = self._used = self._left = 0

    def release(self) -> None:
        """Lets go of the memory; nothing is received any more."""
        self._memory = None
        self._begun = False

    def receive(self, limit: int) -> list[Frame | Special]:
        """At most `limit` packets, as frames and tuples."""
        found: list[Frame | Special] = []
        self.error = self.specials = self.octets = 0
        self.times = []
        while limit > 0:
            if not self._begun and not self._begin():
                break
            while limit > 0 and self._left:
                limit -= 1
                self._packet(found)
            if not self._left:
                self._finish()
        return found

    def take_block(self) -> bytes | None:
        """A copy of the next block, which goes back to the kernel at once; None if the kernel still has it."""
        if not self._begun and not self._begin():
            return None
        assert self._memory is not None
        start = self._block * self._block_size
        block = bytes(self._memory[start : start + self._used])
        self._finish()
        return block

    def _begin(self) -> bool:
        """Opens the next block, if the kernel has handed it over."""
        if self._memory is None:
            return False
        status, packets, first, used = _BLOCK.unpack_from(self._memory, self._block * self._block_size + BLOCK_STATUS)
        if not status & STATUS_USER:
            return False
        self._used = min(used, self._block_size)
        self._left = packets
        self._at = first
        self._begun = True
        return True

    def _finish(self) -> None:
        """Gives the block back to the kernel."""
        if self._memory is not None:
            _WORD.pack_into(self._memory, self._block * self._block_size + BLOCK_STATUS, 0)
        self._block = (self._block + 1) % self._blocks
        self._begun = False
        self._left = 0

    def _packet(self, found: list[Frame | Special]) -> None:
        """Appends what the packet at `_at` is, and goes on to the next."""
        at, used, memory = self._at, self._used, self._memory
        self._left -= 1
        if memory is None or at < BLOCK_HEADER or at > used - PACKET_WHOLE:
            self._left = 0  # no kernel writes that
            return
        base = self._block * self._block_size
        fields = _PACKET.unpack_from(memory, base + at)
        following, seconds, beside, captured, length, status, offset, _, _, tci, tpid = fields
        start = at + offset
        if captured > used - start or (self._headers and start - VNET < at + PACKET_HEADER):
            self._left = 0
            return
        if following:
            self._at = at + following
        else:
            self._left = 0
        if memory[base + at + PACKET_HEADER + 10] == OUTGOING:
            return
        if captured < length:
            self.truncated += 1
            return
        header = bytes(memory[base + start - VNET : base + start]) if self._headers else b""
        data = bytes(memory[base + start : base + start + captured])
        self._take(found, header, data, _tag(status, tci, tpid), status, seconds * SECOND + beside)
