"""Capture files, pcap and pcapng: a reader that is fed bytes, and writers that return bytes.

Read first: draft-ietf-opsawg-pcap; for pcapng, :mod:`uinet.wire.pcapng`.

A pcap file is this header, then records, all in the byte order that the magic number shows::

    +---------------------------------------------------------------+
    |      Magic Number: a1b2c3d4 microseconds, a1b23c4d nanoseconds |
    +-------------------------------+-------------------------------+
    |         Major Version         |         Minor Version         |
    +-------------------------------+-------------------------------+
    |             two words that nobody uses (8 bytes)              |
    +---------------------------------------------------------------+
    |                            SnapLen                            |
    +---------------------------------------------------------------+
    |        FCS length and flags        |         LinkType         |
    +---------------------------------------------------------------+

    record: seconds, fraction, captured length, original length (4 bytes each), data
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from typing import Literal, Protocol

from uinet.errors import CaptureError, InvalidArgument
from uinet.wire.capture import (
    DIRECTION_UNKNOWN,
    LINKTYPE_ETHERNET,
    MAX_RECORD,
    CaptureInterface,
    Record,
)
from uinet.wire.pcapng import PcapngDecoder
from uinet.wire.pcapng import PcapngWriter as PcapngWriter

MAGIC_MICROSECONDS = 0xA1B2C3D4
MAGIC_NANOSECONDS = 0xA1B23C4D
HEADER_LENGTH = 24
RECORD_HEADER_LENGTH = 16
_PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"


class _Decoder(Protocol):
    """What the reader asks of a format."""

    records: list[Record]
    interfaces: list[CaptureInterface]
    need: int  # bytes that the next step must be given

    def step(self, data: bytes, at: int) -> int:
        """Decodes what is at `at`; its end (behind the data: to be skipped), or `at` if it needs more."""


class PcapDecoder:
    """Decodes the records of a pcap file whose magic number has been seen."""

    def __init__(self, order: str, nanoseconds: bool) -> None:
        self.records: list[Record] = []
        self.interfaces: list[CaptureInterface] = []
        self.need = HEADER_LENGTH
        self._order = order
        self._nanoseconds = nanoseconds
        self._record = struct.Struct(order + "IIII")

    def step(self, data: bytes, at: int) -> int:
        """Decodes the header or record at `at`, where `need` bytes are; its end, or `at` to get more.

        CaptureError if it is damaged.
        """
        if not self.interfaces:
            return self._header(data, at)
        captured: int
        seconds, fraction, captured, original = self._record.unpack_from(data, at)
        if captured > MAX_RECORD:
            raise CaptureError(f"a packet of {captured} bytes is over {MAX_RECORD}")
        end = at + RECORD_HEADER_LENGTH + captured
        if end > len(data):
            self.need = RECORD_HEADER_LENGTH + captured
            return at
        self.need = RECORD_HEADER_LENGTH
        time = seconds * 1_000_000_000 + (fraction if self._nanoseconds else fraction * 1000)
        packet = data[at + RECORD_HEADER_LENGTH : end]
        self.records.append(Record(0, time, packet, original, self.interfaces[0].link_type))
        return end

    def _header(self, data: bytes, at: int) -> int:
        head = struct.unpack_from(self._order + "IHHIIII", data, at)
        _, major, minor, _, _, snap_length, link_type = head
        if major != 2:
            raise CaptureError(f"pcap version {major}.{minor} is not known")
        ticks = 1_000_000_000 if self._nanoseconds else 1_000_000
        self.interfaces.append(CaptureInterface(link_type & 0xFFFF, snap_length, ticks=ticks))
        self.need = RECORD_HEADER_LENGTH
        return at + HEADER_LENGTH


class Reader:
    """Reads a capture of either format from the bytes it is fed.

    ``feed`` any piece, then iterate: the iterator gives the records that are whole by now. At the end of the
    file ``finish`` raises CaptureError, one line, if it is cut off or damaged; what came before is good.
    Holds at most one packet or block besides what has been fed and not yet been iterated.
    """

    def __init__(self) -> None:
        self.format: Literal["", "pcap", "pcapng"] = ""
        self.count = 0  # records decoded
        self._decoder: _Decoder | None = None
        self._buffer = bytearray()
        self._position = 0  # in the file: where the next step begins
        self._skip = 0  # bytes to come that belong to a block of no interest
        self._ready: deque[Record] = deque()
        self._damage: CaptureError | None = None

    @property
    def interfaces(self) -> list[CaptureInterface]:
        """The interfaces that have been described so far."""
        return self._decoder.interfaces if self._decoder else []

    @property
    def damaged(self) -> bool:
        """Whether the file is known to be damaged: no more records will come, and `finish` will say why."""
        return self._damage is not None

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the file; does nothing once the file is known to be damaged."""
        if self._damage:
            return
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        self._buffer += data[skipped:]
        try:
            self._decode()
        except CaptureError as error:
            where = f" after packet {self.count}, at byte {self._position}" if self._decoder else ""
            self._damage = CaptureError(f"damaged capture{where}: {error}" if where else str(error))
            self._buffer.clear()

    def __iter__(self) -> Iterator[Record]:
        while self._ready:
            yield self._ready.popleft()

    def finish(self) -> None:
        """Says that the file has ended: CaptureError if it is damaged, cut off, or no capture at all."""
        if self._damage:
            raise self._damage
        if self._decoder is None:
            raise CaptureError("not a capture file" if self._buffer else "an empty file is no capture")
        if self._buffer or self._skip or (self.format == "pcap" and not self.interfaces):
            raise CaptureError(f"capture cut off after packet {self.count}, at byte {self._position}")

    def _decode(self) -> None:
        """Decodes all that is whole; leaves the rest in the buffer."""
        if self._decoder is None:
            self._decoder = self._recognize()
        decoder = self._decoder
        if decoder is None or len(self._buffer) < decoder.need:
            return
        data, base, at = bytes(self._buffer), self._position, 0
        while len(data) - at >= decoder.need:
            reached = decoder.step(data, at)
            if reached == at:
                break
            at = reached
            self._position = base + at
            self._ready.extend(decoder.records)
            self.count += len(decoder.records)
            decoder.records.clear()
        self._skip = max(at - len(data), 0)
        del self._buffer[:at]

    def _recognize(self) -> _Decoder | None:
        """The decoder for the magic number; None if that has not come yet. CaptureError if it is none."""
        if len(self._buffer) < 4:
            return None
        magic = bytes(self._buffer[:4])
        if magic == _PCAPNG_MAGIC:
            self.format = "pcapng"
            return PcapngDecoder()
        for order in "<>":
            value = struct.unpack(order + "I", magic)[0]
            if value in (MAGIC_MICROSECONDS, MAGIC_NANOSECONDS):
                self.format = "pcap"
                return PcapDecoder(order, value == MAGIC_NANOSECONDS)
        if magic.startswith(b"\x1f\x8b") or magic == b"\x28\xb5\x2f\xfd":
            raise CaptureError("a compressed capture: decompress it first")
        raise CaptureError(f"not a capture file: it begins with {magic.hex()}")


def read(data: bytes) -> list[Record]:
    """All records of a whole capture file; CaptureError if it is damaged or cut off."""
    reader = Reader()
    reader.feed(data)
    reader.finish()
    return list(reader)


class PcapWriter:
    """Writes a pcap file: each method returns bytes to append to it. `header` first, then packets.

    The format knows one link type, and neither interfaces nor directions nor comments.
    """

    def __init__(
        self, link_type: int = LINKTYPE_ETHERNET, snap_length: int = MAX_RECORD, *, nanoseconds: bool = True,
        byte_order: Literal["little", "big"] = "little",
    ) -> None:
        self._link_type = link_type
        self._snap_length = snap_length
        self._nanoseconds = nanoseconds
        self._order = ">" if byte_order == "big" else "<"

    def header(self) -> bytes:
        """The file header."""
        magic = MAGIC_NANOSECONDS if self._nanoseconds else MAGIC_MICROSECONDS
        return struct.pack(self._order + "IHHIIII", magic, 2, 4, 0, 0, self._snap_length, self._link_type)

    def packet(
        self, data: bytes, time: int, interface: int = 0, *, direction: int = DIRECTION_UNKNOWN,
        original_length: int | None = None, comment: str = "",
    ) -> bytes:
        """One record; `time` in nanoseconds since 1970, at most until 2106; data is cut to the snap length.

        Takes what :class:`PcapngWriter` takes; interface, direction and comment are lost. InvalidArgument if
        the packet is over 256 KiB or the time out of range.
        """
        if len(data) > MAX_RECORD:
            raise InvalidArgument(f"a captured packet has at most {MAX_RECORD} bytes, not {len(data)}")
        seconds, fraction = divmod(time, 1_000_000_000)
        if seconds >> 32:
            raise InvalidArgument(f"pcap holds times from 1970 to 2106, not {seconds} s")
        if not self._nanoseconds:
            fraction //= 1000
        original = len(data) if original_length is None else original_length
        data = data[: self._snap_length]
        return struct.pack(self._order + "IIII", seconds, fraction, len(data), original) + data
