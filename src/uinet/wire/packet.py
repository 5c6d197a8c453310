"""The frame under parse: where its headers are and what its network header says.

One `Packet` is a scratch object, filled again for each frame: copy what has to outlive the next one. Nothing here is
trusted: each parse step checks every length before it reads a byte, and answers with a code, 0 for success, whose
counter's name is in `DROP_COUNTERS`.

Ethernet II, with VLAN tags (IEEE 802.1Q, 802.1ad)::

     0               6              12      14      16
    +---------------+---------------+-------+-------+-------+----
    |  destination  |    source     | TPID  |  TCI  | TPID or type ...
    +---------------+---------------+-------+-------+-------+----

IPv4 (RFC 791, 3.1)::

    |Version|  IHL  |Type of Service|          Total Length         |
    |         Identification        |Flags|      Fragment Offset    |
    |  Time to Live |    Protocol   |         Header Checksum       |
    |                       Source Address                          |
    |                    Destination Address                        |

IPv6 (RFC 8200, 3)::

    |Version| Traffic Class |           Flow Label                  |
    |         Payload Length        |  Next Header  |   Hop Limit   |
    |                     Source, 16 octets                         |
    |                  Destination, 16 octets                       |
"""

from __future__ import annotations

from typing import Any

from uinet.wire.addresses import L2Info, Mac, VlanTag
from uinet.wire.constants import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    MAX_TAGS,
    MORE_FRAGMENTS,
    OFFSET_MASK,
    PROTO_TCP,
    V4_MAPPED,
)
from uinet.wire.frame import CHECKSUM_UNKNOWN, Frame, SplitFrame, gathered
from uinet.wire.kernels import checksum, join, load_u8, load_u16, load_u32, load_u64, take, turned, vids

OK = 0
SHORT = 1
TOO_DEEP = 2
IP_SHORT = 3
BAD_VERSION = 4
BAD_HEADER_LENGTH = 5
BAD_LENGTH = 6
BAD_CHECKSUM = 7
MAPPED = 8

DROP_COUNTERS = (
    "", "eth_short", "eth_vlan_too_deep", "ip_short", "ip_bad_version", "ip_bad_header_length", "ip_bad_length",
    "ip_bad_checksum", "ip_martian_source",
)


def is_tpid(ethertype: int) -> bool:
    """Whether an Ethernet type announces a VLAN tag."""
    return (
        ethertype == 0x8100 or ethertype == 0x88A8 or ethertype == 0x9100 or ethertype == 0x9200
        or ethertype == 0x9300
    )


def is_mapped(high: int, low: int) -> bool:
    """Whether two halves are an IPv4-mapped address."""
    return high == 0 and low >> 32 == 0xFFFF


class Packet:
    """One frame under parse.

    `l3`, `l4`, `end`: offsets of the network header, of the transport header and of the packet's end (link padding
    trimmed). `src_hi, src_lo, dst_hi, dst_lo`: the addresses as two 64-bit halves, IPv4 mapped (::ffff:a.b.c.d).
    `vids`: two bytes for each VLAN tag whose VID is not 0; `tags`: number of tags. `group`: sent to a group MAC.
    `fragment`: the IPv4 flags and offset field, without DF (0: not a fragment). `text`: what has the packet's last
    bytes, its payload among them: `data`, unless that is another object (SplitFrame); its first byte is number
    `text_start` of the packet, and it has `beyond` bytes that are not in `data`.
    """

    def __init__(self) -> None:
        self.frame: Frame = Frame(b"")
        self.data = b""
        self.text = b""
        self.text_start = 0
        self.beyond = 0
        self.interface: Any = None
        self.now = 0
        self.ethertype = 0
        self.l3 = 0
        self.l4 = 0
        self.end = 0
        self.version = 0
        self.proto = 0
        self.ttl = 0
        self.tos = 0
        self.fragment = 0
        self.options = False
        self.tags = 0
        self.vids = b""
        self.group = False
        self.checksum = 0
        self.src_hi = 0
        self.src_lo = 0
        self.dst_hi = 0
        self.dst_lo = 0

    def parse_link(self, frame: Frame, layer: int) -> int:
        """Reads the link header of `frame` (`layer` 2), or looks at the IP version (`layer` 3)."""
        data = frame.data
        size = len(data)
        self.frame = frame
        self.data = data
        self.text = data
        self.text_start = 0
        self.beyond = 0
        self.checksum = frame.checksum
        self.tags = 0
        self.vids = b""
        self.group = False
        if layer == 3:
            self.l3 = 0
            if size < 1:
                return SHORT
            version = load_u8(data, 0) >> 4
            self.ethertype = ETHERTYPE_IPV4 if version == 4 else ETHERTYPE_IPV6 if version == 6 else 0
            return OK
        if size < 14:
            return SHORT
        self.group = (load_u8(data, 0) & 1) != 0
        offset = 12
        ethertype = load_u16(data, 12)
        tags = 0
        while is_tpid(ethertype):
            if tags == MAX_TAGS:
                return TOO_DEEP
            if size < offset + 6:
                return SHORT
            tags += 1
            offset += 4
            ethertype = load_u16(data, offset)
        self.ethertype = ethertype
        self.l3 = offset + 2
        if tags:
            self.tags = tags
            self.vids = vids(data, tags)
        return OK

    def parse_ipv4(self) -> int:
        """Reads the IPv4 header at `l3`."""
        data = self.data
        l3 = self.l3
        room = len(data) - l3 + self.beyond
        if room < 20:
            return IP_SHORT
        first = load_u32(data, l3)
        if first >> 28 != 4:
            return BAD_VERSION
        header_length = ((first >> 24) & 15) * 4
        if header_length < 20 or header_length > room:
            return BAD_HEADER_LENGTH
        total_length = first & 0xFFFF
        if total_length < header_length or total_length > room:
            return BAD_LENGTH
        if checksum(data, l3, header_length, 0) != 0xFFFF:
            return BAD_CHECKSUM
        self.version = 4
        self.tos = (first >> 16) & 0xFF
        self.fragment = load_u16(data, l3 + 6) & (MORE_FRAGMENTS | OFFSET_MASK)
        self.ttl = load_u8(data, l3 + 8)
        self.proto = load_u8(data, l3 + 9)
        self.options = header_length > 20
        self.src_hi = 0
        self.src_lo = V4_MAPPED | load_u32(data, l3 + 12)
        self.dst_hi = 0
        self.dst_lo = V4_MAPPED | load_u32(data, l3 + 16)
        self.l4 = l3 + header_length
        self.end = l3 + total_length
        return OK

    def parse_ipv6(self) -> int:
        """Reads the IPv6 header at `l3`. `proto` is its next header; extension headers are not walked here."""
        data = self.data
        l3 = self.l3
        room = len(data) - l3 + self.beyond
        if room < 40:
            return IP_SHORT
        first = load_u32(data, l3)
        if first >> 28 != 6:
            return BAD_VERSION
        length = load_u16(data, l3 + 4)
        if length > room - 40:
            return BAD_LENGTH
        self.version = 6
        self.tos = (first >> 20) & 0xFF
        self.fragment = 0
        self.options = False
        self.proto = load_u8(data, l3 + 6)
        self.ttl = load_u8(data, l3 + 7)
        self.src_hi = load_u64(data, l3 + 8)
        self.src_lo = load_u64(data, l3 + 16)
        self.dst_hi = load_u64(data, l3 + 24)
        self.dst_lo = load_u64(data, l3 + 32)
        self.l4 = l3 + 40
        self.end = l3 + 40 + length
        if is_mapped(self.src_hi, self.src_lo) or is_mapped(self.dst_hi, self.dst_lo):
            return MAPPED  # never on a wire (RFC 4291 2.5.5.2), and here it would pass for IPv4
        return OK

    def parse_split(self, frame: SplitFrame, layer: int) -> bool:
        """Reads the headers of a packet that is in two places; False if they are not what they should be, or there is
        anything about them that is out of the ordinary: it has to be gathered, and read as any other, then."""
        data = frame.data
        size = len(data)
        if self.parse_link(frame, layer) or self.tags or frame.checksum == CHECKSUM_UNKNOWN:
            return False
        l3 = self.l3
        self.beyond = len(frame.payload)
        if self.ethertype == ETHERTYPE_IPV4:
            if size < l3 + 40 or load_u8(data, l3) != 0x45 or self.parse_ipv4() or self.fragment:
                return False
        elif self.ethertype != ETHERTYPE_IPV6 or size < l3 + 60 or self.parse_ipv6():
            return False
        if self.proto != PROTO_TCP or self.end != size + self.beyond:
            return False
        if self.l4 + (load_u8(data, self.l4 + 12) >> 4) * 4 != size:
            return False
        self.text = frame.payload
        self.text_start = size
        return True

    def gather(self) -> None:
        """Brings a packet that is in two places into one."""
        if self.beyond:
            self.frame = gathered(self.frame)
            self.data = self.text = self.frame.data
            self.text_start = self.beyond = 0

    def pseudo_sum(self, length: int) -> int:
        """The sum of the pseudo header (RFC 9293 3.1, RFC 8200 8.1) for `length` bytes of `proto`."""
        if self.version == 4:
            return checksum(self.data, self.l3 + 12, 8, self.proto + length)
        return checksum(self.data, self.l3 + 8, 32, self.proto + (length >> 16) + (length & 0xFFFF))

    def for_me(self, mac: bytes) -> bool:
        """Whether the frame is addressed to `mac` or to a group."""
        return self.group or (
            load_u32(self.data, 0) == load_u32(mac, 0) and load_u16(self.data, 4) == load_u16(mac, 4)
        )

    def reply_header(self) -> bytes:
        """The link header of an answer: MACs exchanged, the same tags and type, verbatim. Empty on layer 3."""
        if self.l3 < 14:
            return b""
        return turned(self.data, self.l3)

    @property
    def link_header(self) -> bytes:
        """The link header, verbatim. Empty on layer 3."""
        return take(self.data, 0, self.l3)

    @property
    def src(self) -> bytes:
        """The source address, packed."""
        return join(self.src_hi, self.src_lo)

    @property
    def dst(self) -> bytes:
        """The destination address, packed."""
        return join(self.dst_hi, self.dst_lo)

    @property
    def l2_broadcast(self) -> bool:
        """Whether the frame was sent to a group MAC."""
        return self.group

    @property
    def l2info(self) -> L2Info | None:
        """MACs and VLAN stack of the frame; None on layer 3."""
        return l2info_of(self.link_header)


def l2info_of(header: bytes) -> L2Info | None:
    """MACs and VLAN stack of a verbatim link header; None if it is empty (layer 3)."""
    if len(header) < 14:
        return None
    tags = []
    for offset in range(12, len(header) - 2, 4):
        tpid = load_u16(header, offset)
        tci = load_u16(header, offset + 2)
        tags.append(VlanTag(tci & 0x0FFF, tci >> 13, (tci >> 12) & 1, tpid))
    return L2Info(Mac(header[6:12]), Mac(header[0:6]), tuple(tags))
