"""A TCP segment under parse (RFC 9293, 3.1), options included: a scratch object, filled again for each segment.

::

    |          Source Port          |       Destination Port        |
    |                        Sequence Number                        |
    |                    Acknowledgment Number                      |
    | Offset| Rsrvd |C|E|U|A|P|R|S|F|            Window             |
    |           Checksum            |         Urgent Pointer        |
    |  Options ...                                                  |
"""

from __future__ import annotations

from uinet.wire.constants import (
    ACK,
    ALIGNED_TIMESTAMPS,
    KIND_ACCECN0,
    KIND_ACCECN1,
    KIND_AO,
    KIND_FAST_OPEN,
    KIND_MD5,
    KIND_MSS,
    KIND_SACK,
    KIND_SACK_PERMITTED,
    KIND_TIMESTAMPS,
    KIND_USER_TIMEOUT,
    KIND_WSCALE,
    NO_WSCALE,
    SYN,
)
from uinet.wire.frame import CHECKSUM_UNKNOWN
from uinet.wire.kernels import checksum, load_u8, load_u16, load_u32, next_option
from uinet.wire.packet import Packet

OK = 0
SHORT = 1
BAD_CHECKSUM = 2

SEGMENT_DROPS = ("", "tcp_short", "tcp_bad_checksum")  # the counter of each code that `parse` answers

MAX_WSCALE = 14


class Segment:
    """The header of one segment and what its options say.

    `length` counts payload bytes, at `offset` of the frame's data; SYN and FIN are not counted. An option that is
    malformed, or in a segment where it may not be, reads as absent. `mss` is 0 and `wscale` is NO_WSCALE if absent.
    `sacks` holds left and right edges in turn, `sack_count` says how many blocks. `signed`: carries an MD5 or an
    authentication option (RFC 2385, RFC 5925), the first of them of `signature_kind` at `signature_at`, with
    `signature_length` bytes, its own head included; `signatures` counts them. Of a SYN, `cookie_length` bytes of Fast
    Open cookie are at `cookie_at` (RFC 7413; 0: one is asked for, -1: no such option). `user_timeout`: the field of
    that option (RFC 5482) with its granularity bit, -1 if absent. `accecn_length`: bytes of counters in the AccECN
    option (RFC 9768), -1 without one; `accecn_first` to `accecn_third`: the counters, each -1 if it is left out; their
    order is `accecn_kind`'s. `flags` are nine bits, with AE. `ecn`: the IP header's ECN field.
    """

    def __init__(self) -> None:
        self.source_port = 0
        self.destination_port = 0
        self.seq = 0
        self.ack = 0
        self.flags = 0
        self.window = 0
        self.urgent = 0
        self.offset = 0
        self.length = 0
        self.mss = 0
        self.wscale = NO_WSCALE
        self.sack_permitted = False
        self.has_timestamps = False
        self.tsval = 0
        self.tsecr = 0
        self.sack_count = 0
        self.sacks: list[int] = []
        self.signed = False
        self.signatures = 0
        self.signature_kind = 0
        self.signature_at = 0
        self.signature_length = 0
        self.cookie_at = 0
        self.cookie_length = -1
        self.user_timeout = -1
        self.accecn_kind = 0
        self.accecn_length = -1
        self.accecn_first = -1
        self.accecn_second = -1
        self.accecn_third = -1
        self.ecn = 0
        self.options_offset = 0
        self.options_end = 0

    def parse(self, packet: Packet) -> int:
        """Reads and verifies the segment at `packet.l4`; OK, SHORT or BAD_CHECKSUM."""
        data = packet.data
        l4 = packet.l4
        size = packet.end - l4
        if size < 20:
            return SHORT
        word = load_u32(data, l4 + 12)
        header_length = (word >> 28) * 4
        if header_length < 20 or header_length > size:
            return SHORT
        if packet.checksum == CHECKSUM_UNKNOWN:
            if checksum(data, l4, size, packet.pseudo_sum(size)) != 0xFFFF:
                return BAD_CHECKSUM
        self.source_port = load_u16(data, l4)
        self.destination_port = load_u16(data, l4 + 2)
        self.seq = load_u32(data, l4 + 4)
        self.ack = load_u32(data, l4 + 8)
        self.flags = (word >> 16) & 0x1FF
        self.ecn = packet.tos & 3
        self.window = word & 0xFFFF
        self.urgent = load_u16(data, l4 + 18)
        self.offset = l4 + header_length
        self.length = size - header_length
        self.options_offset = l4 + 20
        self.options_end = self.offset
        self.sack_count = 0
        self.signed = False
        self.accecn_length = -1
        if header_length == 32 and load_u32(data, l4 + 20) == ALIGNED_TIMESTAMPS and not self.flags & SYN:
            self.has_timestamps = True
            self.tsval = load_u32(data, l4 + 24)
            self.tsecr = load_u32(data, l4 + 28)
            return OK
        self.read_options(data, l4 + 20, self.offset)
        return OK

    def read_options(self, data: bytes, at: int, end: int) -> None:
        """Reads the options between `at` and `end`, which `data` has; what is not among them reads as absent."""
        self.has_timestamps = False
        self.mss = 0
        self.wscale = NO_WSCALE
        self.sack_permitted = False
        self.sack_count = 0
        self.signed = False
        self.signatures = 0
        self.cookie_length = -1
        self.user_timeout = -1
        self.accecn_length = -1
        if at < end:
            self._parse_options(data, at, end)

    def _parse_options(self, data: bytes, at: int, end: int) -> None:
        """Walks the options (RFC 9293 3.2); stops at the first that is malformed, as nothing after it can be read."""
        option = next_option(data, at, end)
        while option:
            at = option >> 16
            length = option & 0xFF
            self._parse_option(data, at, (option >> 8) & 0xFF, length)
            option = next_option(data, at + length, end)

    def _parse_option(self, data: bytes, at: int, kind: int, length: int) -> None:
        if kind == KIND_TIMESTAMPS:
            if length == 10 and not self.has_timestamps:
                self.has_timestamps = True
                self.tsval = load_u32(data, at + 2)
                self.tsecr = load_u32(data, at + 6)
        elif kind == KIND_SACK:
            # edges in pairs of 4 bytes; at most 4 blocks fit 40 bytes of options (RFC 2018, 3)
            if length >= 10 and (length - 2) % 8 == 0 and self.sack_count == 0:
                self.sack_count = (length - 2) // 8
                self.sacks = [load_u32(data, at + 2 + 4 * i) for i in range(2 * self.sack_count)]
        elif kind in (KIND_MD5, KIND_AO):
            if not self.signatures:
                self.signed = True
                self.signature_kind = kind
                self.signature_at = at
                self.signature_length = length
            self.signatures += 1
        elif kind in (KIND_ACCECN0, KIND_ACCECN1):
            if self.accecn_length < 0 and (self.flags & (SYN | ACK)) != SYN:  # in a SYN it is ignored (RFC 9768)
                self.accecn_kind = kind
                self.accecn_length = length - 2
                self.accecn_first = self._counter(data, at + 2, at + length)
                self.accecn_second = self._counter(data, at + 5, at + length)
                self.accecn_third = self._counter(data, at + 8, at + length)
        elif kind == KIND_USER_TIMEOUT:
            if length == 4:
                self.user_timeout = load_u16(data, at + 2)
        elif self.flags & SYN:
            if kind == KIND_MSS:
                if length == 4 and self.mss == 0:
                    self.mss = load_u16(data, at + 2)
            elif kind == KIND_WSCALE:
                if length == 3 and self.wscale == NO_WSCALE:
                    shift = load_u8(data, at + 2)
                    self.wscale = shift if shift <= MAX_WSCALE else MAX_WSCALE  # RFC 7323 2.3
            elif kind == KIND_SACK_PERMITTED:
                self.sack_permitted = self.sack_permitted or length == 2
            elif kind == KIND_FAST_OPEN and self.cookie_length < 0:
                if length == 2 or (6 <= length <= 18 and length % 2 == 0):  # RFC 7413, 4.1.1
                    self.cookie_at = at + 2
                    self.cookie_length = length - 2

    def _counter(self, data: bytes, at: int, end: int) -> int:
        """A counter of 24 bits in an AccECN option that ends at `end`; -1 if it has none there."""
        if at + 3 > end:
            return -1
        return (load_u8(data, at) << 16) | load_u16(data, at + 1)
