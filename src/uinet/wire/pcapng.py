"""pcapng (draft-ietf-opsawg-pcapng), reading and writing, bytes in and bytes out.

A file is a row of blocks; a section header block begins a section, and says the byte order of all of it::

    +---------------------------------------------------------------+
    |                          Block Type                           |
    +---------------------------------------------------------------+
    |                      Block Total Length                       |
    +---------------------------------------------------------------+
    |  Block Body, a multiple of 4 bytes                            |
    +---------------------------------------------------------------+
    |                      Block Total Length                       |
    +---------------------------------------------------------------+

Options, at the end of a body, are (code, length, value padded to 4 bytes) up to a code 0.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Literal

from uinet.errors import CaptureError, InvalidArgument
from uinet.wire.capture import (
    DIRECTION_UNKNOWN,
    LINKTYPE_ETHERNET,
    MAX_RECORD,
    CaptureInterface,
    Record,
)

SECTION_HEADER = 0x0A0D0D0A
INTERFACE_DESCRIPTION = 1
PACKET = 2  # obsolete, still met
SIMPLE_PACKET = 3
ENHANCED_PACKET = 6
BYTE_ORDER_MAGIC = 0x1A2B3C4D

OPTION_END = 0
OPTION_COMMENT = 1
SHB_HARDWARE = 2
SHB_USERAPPL = 4
IF_NAME = 2
IF_DESCRIPTION = 3
IF_TSRESOL = 9
IF_TSOFFSET = 14
EPB_FLAGS = 2

MAX_BLOCK = MAX_RECORD + 0x20000  # a packet and room for its options; only blocks that are read count
MAX_INTERFACES = 65536

Options = list[tuple[int, bytes]]


class PcapngDecoder:
    """Decodes blocks. `records` and `interfaces` grow; `step` says how far it has come."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.interfaces: list[CaptureInterface] = []
        self.need = 12  # bytes that the next step must be given
        self._order = "<"
        self._section_start = 0  # index of this section's first interface
        self._handlers: dict[int, Callable[[bytes], None]] = {
            SECTION_HEADER: self._section_header,
            INTERFACE_DESCRIPTION: self._interface_description,
            PACKET: self._packet,
            SIMPLE_PACKET: self._simple_packet,
            ENHANCED_PACKET: self._enhanced_packet,
        }

    def step(self, data: bytes, at: int) -> int:
        """Decodes the block at `at`, where `need` bytes are; its end, or `at` if it needs more.

        A block of no interest may end behind the data: nobody reads it. CaptureError if the block is damaged.
        """
        kind, length = self._head(data, at)
        if length < 12 or length % 4:
            raise CaptureError(f"a block cannot be {length} bytes long")
        if kind not in self._handlers:
            return at + length
        if length > MAX_BLOCK:
            raise CaptureError(f"a block of {length} bytes is over {MAX_BLOCK}")
        if at + length > len(data):
            self.need = length
            return at
        if self._unpack("I", data, at + length - 4)[0] != length:
            raise CaptureError("a block's two lengths differ")
        self._handlers[kind](data[at + 8 : at + length - 4])
        self.need = 12
        return at + length

    def _head(self, data: bytes, at: int) -> tuple[int, int]:
        """Type and length of the block at `at`; a section header sets the byte order first."""
        if data[at : at + 4] == b"\x0a\x0d\x0d\x0a":
            for order in "<>":
                if struct.unpack_from(order + "I", data, at + 8)[0] == BYTE_ORDER_MAGIC:
                    self._order = order
                    break
            else:
                raise CaptureError("a section header has no byte order")
        kind, length = self._unpack("II", data, at)
        return kind, length

    def _unpack(self, layout: str, data: bytes, at: int) -> tuple[int, ...]:
        """Unpacks in the section's byte order; CaptureError if the block is too short for that."""
        try:
            return struct.unpack_from(self._order + layout, data, at)
        except struct.error:
            raise CaptureError("a block is shorter than its kind has to be") from None

    def _options(self, body: bytes, at: int) -> Options:
        found: Options = []
        while at < len(body):
            code, length = self._unpack("HH", body, at)
            if code == OPTION_END:
                break
            if at + 4 + length > len(body):
                raise CaptureError("an option runs past the end of its block")
            found.append((code, body[at + 4 : at + 4 + length]))
            at += 4 + length + -length % 4
        return found

    def _section_header(self, body: bytes) -> None:
        magic, major, _minor = self._unpack("IHH", body, 0)
        if magic != BYTE_ORDER_MAGIC or major != 1:
            raise CaptureError(f"pcapng version {major} is not known")
        self._section_start = len(self.interfaces)

    def _interface_description(self, body: bytes) -> None:
        link_type, _reserved, snap_length = self._unpack("HHI", body, 0)
        if len(self.interfaces) >= MAX_INTERFACES:
            raise CaptureError(f"more than {MAX_INTERFACES} interfaces")
        name = description = ""
        ticks, offset = 1_000_000, 0
        for code, value in self._options(body, 8):
            if code == IF_NAME:
                name = _text(value)
            elif code == IF_DESCRIPTION:
                description = _text(value)
            elif code == IF_TSRESOL and len(value) == 1:
                ticks = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
            elif code == IF_TSOFFSET and len(value) == 8:
                offset = self._unpack("q", value, 0)[0]
        self.interfaces.append(CaptureInterface(link_type, snap_length, name, description, ticks, offset))

    def _interface(self, number: int) -> tuple[int, CaptureInterface]:
        """Index and description of the section's interface `number`."""
        index = self._section_start + number
        if index >= len(self.interfaces):
            raise CaptureError(f"a packet of interface {number}, which is not described")
        return index, self.interfaces[index]

    def _enhanced_packet(self, body: bytes) -> None:
        number, high, low, captured, original = self._unpack("IIIII", body, 0)
        self._add(number, high << 32 | low, body, 20, captured, original)

    def _packet(self, body: bytes) -> None:
        number, _drops, high, low, captured, original = self._unpack("HHIIII", body, 0)
        self._add(number, high << 32 | low, body, 20, captured, original)

    def _add(self, number: int, ticks: int, body: bytes, at: int, captured: int, original: int) -> None:
        index, interface = self._interface(number)
        if captured > MAX_RECORD or at + captured > len(body):
            raise CaptureError(f"a packet of {captured} bytes does not fit in its block")
        flags, comments = 0, []
        for code, value in self._options(body, at + captured + -captured % 4):
            if code == EPB_FLAGS and len(value) == 4:
                flags = self._unpack("I", value, 0)[0]
            elif code == OPTION_COMMENT:
                comments.append(_text(value))
        self.records.append(Record(
            index, ticks * 1_000_000_000 // interface.ticks + interface.offset * 1_000_000_000,
            body[at : at + captured], original, interface.link_type, flags, tuple(comments),
        ))

    def _simple_packet(self, body: bytes) -> None:
        original = self._unpack("I", body, 0)[0]
        index, interface = self._interface(0)
        captured = min(original, interface.snap_length) if interface.snap_length else original
        if captured > MAX_RECORD or 4 + captured > len(body):
            raise CaptureError(f"a packet of {captured} bytes does not fit in its block")
        self.records.append(Record(index, 0, body[4 : 4 + captured], original, interface.link_type))


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")


class PcapngWriter:
    """Writes a capture: each method returns bytes to append to the file.

    `header` first, then `interface` for each interface (they are numbered from 0 as they come), then packets;
    further interfaces may follow between packets. Times have nanosecond resolution.
    """

    def __init__(self, byte_order: Literal["little", "big"] = "little") -> None:
        self._order = ">" if byte_order == "big" else "<"
        self._snap_lengths: list[int] = []

    def header(self, application: str = "uinet", comment: str = "") -> bytes:
        """The section header block. Interfaces of an earlier section are forgotten."""
        self._snap_lengths.clear()
        options = (
            self._option(OPTION_COMMENT, comment.encode()) + self._option(SHB_USERAPPL, application.encode())
        )
        body = self._pack("IHHq", BYTE_ORDER_MAGIC, 1, 0, -1) + self._end(options)
        return self._block(SECTION_HEADER, body)

    def interface(
        self, name: str = "", link_type: int = LINKTYPE_ETHERNET, snap_length: int = 0, description: str = ""
    ) -> bytes:
        """An interface description block. Packets are cut to `snap_length` if it is not 0."""
        self._snap_lengths.append(snap_length)
        options = (
            self._option(IF_NAME, name.encode())
            + self._option(IF_DESCRIPTION, description.encode())
            + self._option(IF_TSRESOL, b"\x09")
        )
        body = self._pack("HHI", link_type, 0, snap_length) + self._end(options)
        return self._block(INTERFACE_DESCRIPTION, body)

    def packet(
        self, data: bytes, time: int, interface: int = 0, *, direction: int = DIRECTION_UNKNOWN,
        original_length: int | None = None, comment: str = "",
    ) -> bytes:
        """An enhanced packet block; `time` in nanoseconds, `original_length` that of `data` unless given.

        InvalidArgument if the interface has not been described, or the packet is over 256 KiB.
        """
        if not 0 <= interface < len(self._snap_lengths):
            raise InvalidArgument(f"capture interface {interface} has not been described")
        if len(data) > MAX_RECORD:
            raise InvalidArgument(f"a captured packet has at most {MAX_RECORD} bytes, not {len(data)}")
        original = len(data) if original_length is None else original_length
        if self._snap_lengths[interface]:
            data = data[: self._snap_lengths[interface]]
        options = self._option(OPTION_COMMENT, comment.encode())
        if direction:
            options += self._option(EPB_FLAGS, self._pack("I", direction))
        high, low = time >> 32 & 0xFFFFFFFF, time & 0xFFFFFFFF
        head = self._pack("IIIII", interface, high, low, len(data), original)
        return self._block(ENHANCED_PACKET, head + data + bytes(-len(data) % 4) + self._end(options))

    def _pack(self, layout: str, *values: int) -> bytes:
        return struct.pack(self._order + layout, *values)

    def _option(self, code: int, value: bytes) -> bytes:
        """One option; nothing if its value is empty."""
        value = value[:0xFFFF]
        return self._pack("HH", code, len(value)) + value + bytes(-len(value) % 4) if value else b""

    def _end(self, options: bytes) -> bytes:
        return options + bytes(4) if options else b""

    def _block(self, kind: int, body: bytes) -> bytes:
        length = 12 + len(body)
        return self._pack("II", kind, length) + body + self._pack("I", length)
