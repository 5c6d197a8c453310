"""Captures, pcap and pcapng, read in place: records are found in the chunks of a file and handed on where they lie.

Read first: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng; :mod:`uinet.wire.pcap` and :mod:`uinet.wire.pcapng` have
the formats drawn and are the readers for those who want records. Here no packet becomes an object: a follower is told
where in the chunk it is. Only a record that lies across two chunks is copied.
"""

from __future__ import annotations

from uinet.errors import CaptureError
from uinet.following.filtering import Filter
from uinet.passive.follower import Follower
from uinet.units import SECOND
from uinet.wire.capture import MAX_RECORD
from uinet.wire.kernels import extend, load_u16, load_u16_le, load_u32, load_u32_le, take
from uinet.wire.pcap import HEADER_LENGTH, MAGIC_MICROSECONDS, MAGIC_NANOSECONDS, RECORD_HEADER_LENGTH
from uinet.wire.pcapng import (
    BYTE_ORDER_MAGIC,
    ENHANCED_PACKET,
    IF_TSOFFSET,
    IF_TSRESOL,
    INTERFACE_DESCRIPTION,
    MAX_BLOCK,
    MAX_INTERFACES,
    OPTION_END,
    PACKET,
    SECTION_HEADER,
    SIMPLE_PACKET,
)

MAGIC_MODIFIED = 0xA1B2CD34  # Alexey Kuznetzov's: microseconds, and 8 more bytes a record
MODIFIED_HEADER_LENGTH = 24
PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
HEAD = 12  # bytes of a block without a body; a section header's order is within them
PACKET_HEAD = 28  # up to the data of an enhanced packet, and of an old one
MASK16 = 0xFFFF
LATEST = (1 << 62) - 1  # times are from 1970 to 2116: what a damaged one says beyond is cut to that

# of a magic number in the file's order: the ticks of its clock in a second, the length of a record's header
_PCAP_KINDS = {
    MAGIC_MICROSECONDS: (1_000_000, RECORD_HEADER_LENGTH),
    MAGIC_NANOSECONDS: (SECOND, RECORD_HEADER_LENGTH),
    MAGIC_MODIFIED: (1_000_000, MODIFIED_HEADER_LENGTH),
}


def word(little: bool, data: bytes, at: int) -> int:
    """The 32-bit integer at `at` in the given byte order."""
    return load_u32_le(data, at) if little else load_u32(data, at)


def half(little: bool, data: bytes, at: int) -> int:
    """The 16-bit integer at `at` in the given byte order."""
    return load_u16_le(data, at) if little else load_u16(data, at)


class Interface:
    """One interface of a capture: its link type, and how its clock is read.

    `ticks` of its clock make a second, `offset` is added, in seconds. Times come out in ns since 1970.
    """

    def __init__(self, link_type: int, snap_length: int, ticks: int, offset: int) -> None:
        self.link_type = link_type
        self.snap_length = snap_length
        self.ticks = ticks
        self.offset = offset
        self.multiplier = 0  # ns a tick, if that is all there is to a time; else 0
        self.safe = 0  # the high word of a tick count that can't be out of range
        if ticks <= SECOND and SECOND % ticks == 0 and offset == 0:
            self.multiplier = SECOND // ticks
            self.safe = (LATEST // self.multiplier) >> 32

    def time(self, high: int, low: int) -> int:
        """The time of a tick count of two words."""
        if self.multiplier and high < self.safe:
            return ((high << 32) | low) * self.multiplier
        return self.any_time(high, low)

    def any_time(self, high: int, low: int) -> int:
        """As `time`, for every clock and count: in Python's numbers, slowly."""
        time = (high * 2**32 + low) * 10**9 // self.ticks + self.offset * 10**9
        if time < 0:
            return 0
        return LATEST if time > LATEST else time


class Blocks:
    """Finds the packets of a capture of either format in the chunks that it is fed.

    `count`: packets found, `passed`: those that the filter let through. At the end of the capture `finish` says whether
    it is whole.
    """

    def __init__(self, filter: Filter | None = None) -> None:
        self.format = ""
        self.count = 0
        self.passed = 0
        self.filter = filter
        self.little = False
        self.position = 0  # in the capture: where the next record or block begins
        self.rest = bytearray()  # the beginning of a record whose end has not come
        self.need = 4  # bytes that `scan` has to see
        self.skip = 0  # bytes to come that belong to a block of no interest
        self.header = 0  # pcap: of a record; 0 until the file's has been read
        self.interfaces: list[Interface] = []
        self.interface: Interface | None = None  # pcap: the only one
        self.time = 0  # of the packet before

    def feed(self, follower: Follower, data: bytes) -> None:
        """Takes the next bytes, and hands the follower each packet that is whole now.

        CaptureError, one line, behind the last packet before the damage; nothing more may be fed then.
        """
        at = 0
        size = len(data)
        if self.skip:
            at = min(self.skip, size)
            self.skip -= at
        try:
            while self.rest and at < size:
                at = self.continue_rest(follower, data, at)
            if at < size:
                end = self.scan(follower, data, at)
                if end > size:
                    self.skip = end - size
                elif end < size:
                    extend(self.rest, data, end, size - end)
        except CaptureError as error:
            if not self.format:
                raise
            raise CaptureError(f"damaged capture after packet {self.count}, at byte {self.position}: {error}") from None
        finally:
            follower.flush()

    def continue_rest(self, follower: Follower, data: bytes, at: int) -> int:
        """Adds to the record that has begun in an earlier chunk what it lacks; the place behind that."""
        wanted = min(self.need - len(self.rest), len(data) - at)
        if wanted > 0:
            extend(self.rest, data, at, wanted)
            at += wanted
        if len(self.rest) < self.need:
            return at
        piece = bytes(self.rest)
        end = self.scan(follower, piece, 0)
        del self.rest[:end]
        if end > len(piece):  # a block of no interest
            self.skip = end - len(piece)
            wanted = min(self.skip, len(data) - at)
            self.skip -= wanted
            at += wanted
        return at

    def scan(self, follower: Follower, data: bytes, at: int) -> int:
        """Reads what is whole from `at` on; where that ends, or beyond the data if it ends in a block to skip.

        `need` is then what has to be there from that place on.
        """
        if not self.format:
            at = self.recognize(data, at)
        if self.format == "pcap":
            return self.scan_pcap(follower, data, at)
        if self.format:
            return self.scan_pcapng(follower, data, at)
        return at

    def finish(self) -> None:
        """Says that the capture has ended: CaptureError, one line, if it is cut off, or was none."""
        if not self.format:
            raise CaptureError("not a capture file" if self.rest else "an empty file is no capture")
        if self.rest or self.skip or (self.format == "pcap" and self.header == 0):
            at = self.position - self.skip
            raise CaptureError(f"capture cut off after packet {self.count}, at byte {at}")

    def recognize(self, data: bytes, at: int) -> int:
        """Looks at the magic number. CaptureError if it is none."""
        if len(data) - at < 4:
            return at
        magic = take(data, at, 4)
        if magic == PCAPNG_MAGIC:
            self.format = "pcapng"
            self.need = HEAD
            return at
        for little in (True, False):
            if word(little, data, at) in _PCAP_KINDS:
                self.format = "pcap"
                self.little = little
                self.need = HEADER_LENGTH
                return at
        raise CaptureError(f"not a capture file: it begins with {magic.hex()}")

    def found(
        self, follower: Follower, link_type: int, data: bytes, start: int, captured: int, length: int, time: int
    ) -> None:
        """One packet: the follower gets it, unless the filter is against it."""
        self.count += 1
        self.time = time
        if length < captured:
            length = captured  # what is there was there
        if self.filter is None or self.filter.accepts(link_type, data, start, captured, length):
            self.passed += 1
            follower.enqueue(link_type, data, start, captured, length, time)
        else:
            follower.frames += 1  # its number in the capture is not given to another

    # pcap

    def scan_pcap(self, follower: Follower, data: bytes, at: int) -> int:
        """`scan` of a pcap file: what is not whole at the end stays. CaptureError."""
        base = self.position - at
        size = len(data)
        if self.header == 0:
            if size - at < HEADER_LENGTH:
                return at
            at = self.file_header(data, at)
        header = self.header
        little = self.little
        interface = self.interface
        assert interface is not None
        link_type = interface.link_type
        multiplier = interface.multiplier
        self.need = header
        while size - at >= header:
            captured = word(little, data, at + 8)
            if captured > MAX_RECORD:
                self.position = base + at
                raise CaptureError(f"a packet of {captured} bytes is over {MAX_RECORD}")
            start = at + header
            end = start + captured
            if end > size:
                self.need = header + captured
                break
            time = word(little, data, at) * SECOND + word(little, data, at + 4) * multiplier
            self.found(follower, link_type, data, start, captured, word(little, data, at + 12), time)
            at = end
        self.position = base + at
        return at

    def file_header(self, data: bytes, at: int) -> int:
        """Reads the header of a pcap file; its end."""
        major = half(self.little, data, at + 4)
        if major != 2:
            raise CaptureError(f"pcap version {major}.{half(self.little, data, at + 6)} is not known")
        ticks, self.header = _PCAP_KINDS[word(self.little, data, at)]
        link_type = word(self.little, data, at + 20) & MASK16
        self.interface = Interface(link_type, word(self.little, data, at + 16), ticks, 0)
        self.interfaces.append(self.interface)
        return at + HEADER_LENGTH

    # pcapng

    def scan_pcapng(self, follower: Follower, data: bytes, at: int) -> int:
        """`scan` of a pcapng file: what is not whole at the end stays. CaptureError."""
        base = self.position - at
        size = len(data)
        self.need = HEAD
        while size - at >= HEAD:
            self.position = base + at
            kind = word(self.little, data, at)
            if kind == SECTION_HEADER:  # the same in both orders
                self.byte_order(data, at)
            length = word(self.little, data, at + 4)
            if length < HEAD or length % 4:
                raise CaptureError(f"a block cannot be {length} bytes long")
            end = at + length
            if kind == ENHANCED_PACKET or kind in (SECTION_HEADER, INTERFACE_DESCRIPTION, SIMPLE_PACKET, PACKET):
                if length > MAX_BLOCK:
                    raise CaptureError(f"a block of {length} bytes is over {MAX_BLOCK}")
                if end > size:
                    self.need = length
                    break
                if word(self.little, data, end - 4) != length:
                    raise CaptureError("a block's two lengths differ")
                if kind == ENHANCED_PACKET:
                    self.enhanced_packet(follower, data, at, length)
                else:
                    self.other_block(follower, kind, data, at, length)
            at = end
        self.position = base + at
        return at

    def enhanced_packet(self, follower: Follower, data: bytes, at: int, length: int) -> None:
        """A packet block of the usual kind."""
        require(length, PACKET_HEAD + 4)
        self.timed_packet(follower, word(self.little, data, at + 8), data, at, length)

    def timed_packet(self, follower: Follower, number: int, data: bytes, at: int, length: int) -> None:
        """A packet of interface `number`; time and lengths are where both kinds of packet blocks have them."""
        little = self.little
        if number >= len(self.interfaces):
            raise CaptureError(f"a packet of interface {number}, which is not described")
        interface = self.interfaces[number]
        captured = word(little, data, at + 20)
        if captured > MAX_RECORD or captured > length - PACKET_HEAD - 4:
            raise CaptureError(f"a packet of {captured} bytes does not fit in its block")
        time = interface.time(word(little, data, at + 12), word(little, data, at + 16))
        original = word(little, data, at + 24)
        self.found(follower, interface.link_type, data, at + PACKET_HEAD, captured, original, time)

    def other_block(self, follower: Follower, kind: int, data: bytes, at: int, length: int) -> None:
        """A block of another kind that is read."""
        if kind == SECTION_HEADER:
            require(length, 28)
            major = half(self.little, data, at + 12)
            if major != 1:
                raise CaptureError(f"pcapng version {major}.{half(self.little, data, at + 14)} is not known")
            self.interfaces.clear()
        elif kind == INTERFACE_DESCRIPTION:
            self.interface_description(data, at, at + length - 4)
        elif kind == SIMPLE_PACKET:
            self.simple_packet(follower, data, at, length)
        else:
            require(length, PACKET_HEAD + 4)
            self.timed_packet(follower, half(self.little, data, at + 8), data, at, length)

    def simple_packet(self, follower: Follower, data: bytes, at: int, length: int) -> None:
        """A packet without a time: it gets that of the one before. It is cut where its interface cuts."""
        require(length, 16)
        if not self.interfaces:
            raise CaptureError("a packet of interface 0, which is not described")
        interface = self.interfaces[0]
        original = word(self.little, data, at + 8)
        captured = min(original, interface.snap_length) if interface.snap_length else original
        if captured > MAX_RECORD or captured > length - 16:
            raise CaptureError(f"a packet of {captured} bytes does not fit in its block")
        self.found(follower, interface.link_type, data, at + 12, captured, original, self.time)

    def byte_order(self, data: bytes, at: int) -> None:
        """The order of the section that begins at `at`."""
        if load_u32_le(data, at + 8) == BYTE_ORDER_MAGIC:
            self.little = True
        elif load_u32(data, at + 8) == BYTE_ORDER_MAGIC:
            self.little = False
        else:
            raise CaptureError("a section header has no byte order")

    def interface_description(self, data: bytes, at: int, end: int) -> None:
        """An interface, numbered from 0 in its section."""
        require(end + 4 - at, 20)
        if len(self.interfaces) >= MAX_INTERFACES:
            raise CaptureError(f"more than {MAX_INTERFACES} interfaces")
        little = self.little
        link_type = half(little, data, at + 8)
        snap_length = word(little, data, at + 12)
        ticks, offset = 1_000_000, 0
        at += 16
        while at < end:
            if end - at < 4:
                raise CaptureError("a block is shorter than its kind has to be")
            code = half(little, data, at)
            size = half(little, data, at + 2)
            if code == OPTION_END:
                break
            if at + 4 + size > end:
                raise CaptureError("an option runs past the end of its block")
            value = take(data, at + 4, size)
            if code == IF_TSRESOL and size == 1:
                power = value[0]
                ticks = 2 ** (power & 0x7F) if power & 0x80 else 10**power
            elif code == IF_TSOFFSET and size == 8:
                offset = int.from_bytes(value, "little" if little else "big", signed=True)
            at += 4 + (size + 3) // 4 * 4  # not -size % 4: in C that is negative
        self.interfaces.append(Interface(link_type, snap_length, ticks, offset))


def require(length: int, least: int) -> None:
    """CaptureError unless a block is as long as its kind has to be."""
    if length < least:
        raise CaptureError("a block is shorter than its kind has to be")
