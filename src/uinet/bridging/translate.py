"""Translating the segments of a flow that was let go: its two ends have agreed on other numbers than each other's.

The *near* side is the client's. What the proxy had put between the two sides stays between them, as differences: of
sequence numbers for each stream, of timestamps for each clock, and of window scales for each receiver.
"""

from __future__ import annotations

from uinet.units import MASK32
from uinet.wire.constants import ACK, KIND_NOP, KIND_SACK, KIND_TIMESTAMPS
from uinet.wire.frame import CHECKSUM_NEEDED, Frame
from uinet.wire.kernels import (
    checksum,
    join2,
    load_u16,
    load_u32,
    next_option,
    store_bytes,
    store_u8,
    store_u16,
    store_u32,
)
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

TCP_CHECKSUM = 16


class Translation:
    """Near to far: a number of the client's stream plus `client_seq` is what the server sees; one of the server's
    stream as the server sends it plus `server_seq` is what the client sees. `client_ts`, `server_ts`: the same of their
    timestamps. `client_scale`: the shift count of windows that the client sends, `client_told` what the server believes
    it to be; `server_scale`, `server_told` the other way round. `sack`: whether both ends have agreed on SACK."""

    def __init__(self) -> None:
        self.client_seq = 0
        self.server_seq = 0
        self.client_ts = 0
        self.server_ts = 0
        self.client_scale = 0
        self.client_told = 0
        self.server_scale = 0
        self.server_told = 0
        self.sack = True

    @property
    def trivial(self) -> bool:
        """Whether nothing has to be changed."""
        return not (
            self.client_seq or self.server_seq or self.client_ts or self.server_ts
            or self.client_scale != self.client_told or self.server_scale != self.server_told
        ) and self.sack

    def window(self, from_client: bool, field: int) -> int:
        """The field that the receiver is told, for the one that was sent: never more than was offered, and 0 only for a
        window of less than one unit."""
        if from_client:
            wide = field << self.client_scale
            told = wide >> self.client_told
        else:
            wide = field << self.server_scale
            told = wide >> self.server_told
        return told if told < 0xFFFF else 0xFFFF

    def nearer(self, seg: Segment) -> None:
        """Changes a parsed segment that the server has sent into what the client sees of it."""
        seg.seq = (seg.seq + self.server_seq) & MASK32
        seg.ack = (seg.ack - self.client_seq) & MASK32
        if not seg.flags & 2:
            seg.window = self.window(False, seg.window)
        seg.tsval = (seg.tsval + self.server_ts) & MASK32
        seg.tsecr = (seg.tsecr - self.client_ts) & MASK32
        if seg.sack_count:
            seg.sacks = [(edge - self.client_seq) & MASK32 for edge in seg.sacks]

    def frame(self, packet: Packet, seg: Segment, from_client: bool) -> Frame:
        """The frame of a segment as the other side is to see it."""
        data = packet.data
        l4 = packet.l4
        size = seg.options_end - l4
        header = bytearray(seg.options_end)
        store_bytes(header, 0, data, 0, seg.options_end)
        seq = self.client_seq if from_client else self.server_seq
        ack = self.server_seq if from_client else self.client_seq
        store_u32(header, l4 + 4, (load_u32(data, l4 + 4) + seq) & MASK32)
        if seg.flags & ACK:
            store_u32(header, l4 + 8, (load_u32(data, l4 + 8) - ack) & MASK32)
        if not seg.flags & 2:
            store_u16(header, l4 + 14, self.window(from_client, load_u16(data, l4 + 14)))
        self._options(header, data, seg.options_offset, seg.options_end, from_client)
        frame = packet.frame
        if frame.checksum != CHECKSUM_NEEDED:
            # the difference of both headers' sums is that of the checksums (RFC 1624), which both sums include
            old = checksum(data, l4, size, 0)
            new = checksum(header, l4, size, 0)
            field = load_u16(data, l4 + TCP_CHECKSUM) ^ 0xFFFF
            store_u16(header, l4 + TCP_CHECKSUM, folded(field + (old ^ 0xFFFF) + new) ^ 0xFFFF)
        rest = len(data) - seg.options_end
        out = join2(header, seg.options_end, data, seg.options_end, rest)
        return Frame(out, frame.checksum, frame.gso_size, frame.time)

    def _options(self, header: bytearray, data: bytes, at: int, end: int, from_client: bool) -> None:
        """Timestamps and SACK blocks."""
        clock = self.client_ts if from_client else self.server_ts
        echo = self.server_ts if from_client else self.client_ts
        ack = self.server_seq if from_client else self.client_seq
        option = next_option(data, at, end)
        while option:
            at = option >> 16
            kind = (option >> 8) & 0xFF
            length = option & 0xFF
            if kind == KIND_TIMESTAMPS and length == 10:
                store_u32(header, at + 2, (load_u32(data, at + 2) + clock) & MASK32)
                store_u32(header, at + 6, (load_u32(data, at + 6) - echo) & MASK32)
            elif kind == KIND_SACK and (length - 2) % 8 == 0:
                if not self.sack:
                    for place in range(at, at + length):
                        store_u8(header, place, KIND_NOP)
                else:
                    for place in range(at + 2, at + length, 4):
                        store_u32(header, place, (load_u32(data, place) - ack) & MASK32)
            option = next_option(data, at + length, end)


def folded(total: int) -> int:
    """A sum of 16-bit words as one."""
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total
