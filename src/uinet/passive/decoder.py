"""From one captured packet to its TCP segment, in place: nothing is copied, except to make fragments whole.

A packet is ``data[start:start + captured]`` of a block of a capture file, and had `length` bytes on the wire: a snap
length may have cut it. Offsets are those of `data`; each read stands behind a check against the packet's end. What is
missing of a packet is no damage: the segment says how much payload it had (`Segment.length`) and how much of that is
there (`Decoder.captured`).

Checksums. A copy that is taken on a sending host sees packets before the network card finishes them, and one whose
addresses were made anonymous has every sum wrong, so a wrong sum says little before one knows the capture. Therefore
this module only reports, with ``checksums="auto"``: a segment whose IPv4 header has a wrong sum is SUM_BAD whatever its
own sum says, and fragments with a wrong header sum are kept apart from the others, for they may have been sent to be
believed by nobody else. A header's sum of 0 is one that the card was to compute: taken as it is, and counted. An
attacker gains little from it, as such a packet gets no further than the first router. ``"verify"`` drops packets that
have a wrong header sum, 0 included, and those longer than their frame, as a host would; ``"ignore"`` takes any sum.

Lengths. A packet that says to be longer than its frame was cut by whoever made the copy, without a note of it: it is
taken to the frame's end, and the bytes behind that are not spoken of, as if they had not been sent.

Read first: RFC 791, RFC 8200, RFC 9293 section 3.1; the layers below IP are in :mod:`uinet.passive.layers`, fragments
in :mod:`uinet.passive.fragments`.
"""

from __future__ import annotations

from uinet.passive.codes import (
    BAD,
    BROKEN,
    FOUND,
    HELD,
    NOTHING,
    OTHER,
    SEGMENT,
    SUM_BAD,
    SUM_GOOD,
    SUM_UNFINISHED,
    SUM_UNKNOWN,
    TOO_DEEP,
    TOO_SHORT,
    WHOLE,
)
from uinet.passive.constants import MANY_VIDS, ONE_VID, TWO_VIDS
from uinet.passive.fragments import Fragments
from uinet.passive.layers import Layers
from uinet.passive.options import Options
from uinet.stats import Stats
from uinet.wire.capture import LINKTYPE_ETHERNET
from uinet.wire.constants import (
    ALIGNED_TIMESTAMPS,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    MORE_FRAGMENTS,
    OFFSET_MASK,
    PROTO_TCP,
    SYN,
    V4_MAPPED,
)
from uinet.wire.ipv6_extensions import DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING
from uinet.wire.kernels import checksum, load_u8, load_u16, load_u32, load_u64, store_u8, store_u16, take
from uinet.wire.packet import Packet, is_mapped, is_tpid
from uinet.wire.segment import Segment

AUTHENTICATION = 51  # RFC 4302: its length field counts units of 4 bytes, less 2
TAGGED_LENGTH = 42  # Ethernet, two tags, IPv4
IPV4_LENGTH = 20
IPV6_LENGTH = 40
TCP_LENGTH = 20
TCP_NEEDED = 16  # bytes of a TCP header without which nothing can be said: up to the window
GOOD_SUM = 0xFFFF
MASK32 = 0xFFFFFFFF
MORE_V6 = 1
PLACE_V6 = 0xFFF8
ROUTING_TYPE = 2
SEGMENTS_LEFT = 3
SOURCE_ROUTE = 0  # RFC 2460; deprecated by RFC 5095
MOBILE = 2  # RFC 6275
SEGMENT_ROUTE = 4  # RFC 8754


def fold(total: int) -> int:
    """A sum of 16-bit words, of less than 2**36, as 16 bits (RFC 1071)."""
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16)


def words(half: int) -> int:
    """The sum of the four 16-bit words of a 64-bit half of an address."""
    return (half >> 48) + (half >> 32 & 0xFFFF) + (half >> 16 & 0xFFFF) + (half & 0xFFFF)



class Decoder:
    """Decodes packets one after another into one `packet` and one `seg`, scratch objects like the decoder itself.

    After SEGMENT `packet.data` is the block given, or the whole datagram as bytes of its own where the packet was the
    last fragment of it: its Ethernet header with tags, IP header and payload. `packet.end` is the end of what is there
    of the IP packet, padding trimmed; `seg.offset` may lie behind it in a packet that is cut.

    `captured`: bytes of the payload that are there, at `seg.offset`. `sum`: one of the SUM constants.
    `signed`: carries an MD5 or authentication option. `link_start`, `link_length`: as in `Layers`, in `packet.data`.
    `conflict`: the datagram was made whole of fragments that overlap with different bytes.
    `unfinished`: set by a live source before `decode` where the kernel says that the packet's checksum is not computed
    yet; good for one packet.
    `verifying`: whether TCP's sums are taken at all; may be changed between packets.
    """

    def __init__(self, options: Options, stats: Stats) -> None:
        self.options = options
        self.stats = stats
        self.packet = Packet()
        self.seg = Segment()
        self.captured = 0
        self.sum = SUM_UNKNOWN
        self.signed = False
        self.conflict = False
        self.unfinished = False
        self.link_start = 0
        self.link_length = 0
        self.verifying = options.checksums != "ignore"
        self.fragments = Fragments(options, stats)
        self._layers = Layers()
        self._ignoring = options.checksums == "ignore"
        self._strict = options.checksums == "verify"
        self._ignoring_vlans = options.ignore_vlans
        self.code = NOTHING  # what its user keeps with the packet: the answer of `decode`,
        self.frame = 0  # its number,
        self.time = 0
        self.key = 0  # and the hash of its connection
        self.mark = 0  # the packet's VLAN stack in 32 bits
        self._unnamed = False
        self._room = 0
        self._size = 0
        self._partial = False  # `unfinished` of the packet under way
        self._unsure = False  # no telling what its sum should be: cut unsaid, or routed in a way unknown here
        self._spoiled = False  # its IPv4 header has a wrong sum
        self._whole = False  # the packet under way was made of fragments

    def decode(self, link_type: int, data: bytes, start: int, captured: int, length: int, time: int) -> int:
        """Reads the packet of `captured` bytes at `start` of `data`; SEGMENT, HELD, OTHER or BAD."""
        packet = self.packet
        self._partial = self.unfinished
        self.unfinished = False
        self.conflict = False
        self._whole = False
        self._unsure = False
        self._spoiled = False
        if start < 0 or captured < 0 or start > len(data) or captured > len(data) - start:
            return self._bad("record_bounds")
        if length < captured:
            length = captured
        packet.now = time
        if packet.data is not data:
            packet.data = data
        if link_type == LINKTYPE_ETHERNET and captured >= TAGGED_LENGTH and is_tpid(load_u16(data, start + 12)):
            return self._tagged(data, start, start + captured, start + length)
        if link_type == LINKTYPE_ETHERNET and captured >= 34 and load_u16(data, start + 12) == ETHERTYPE_IPV4:
            if packet.tags or self._unnamed:
                packet.tags = 0
                packet.vids = b""
                self._unnamed = False
            self.mark = 0
            self.link_start = start
            self.link_length = 14
            return self._ipv4(data, start + 14, start + captured, start + length)
        return self._layered(link_type, data, start, start + captured, start + length)

    def _tagged(self, data: bytes, start: int, end: int, wire: int) -> int:
        """An Ethernet frame with tags: IPv4 behind one or two of them is found here, all else layer by layer."""
        layers = self._layers
        packet = self.packet
        word = load_u32(data, start + 14)
        stack = word >> 16 & 0xFFF
        named = 1
        at = start + 18
        if stack and is_tpid(word & 0xFFFF):
            word = load_u32(data, at)
            named = 2
            at += 4
            if word >> 16 & 0xFFF:
                stack = stack << 16 | (word >> 16 & 0xFFF)
            else:
                stack = 0
        if stack == 0 or word & 0xFFFF != ETHERTYPE_IPV4:
            return self._layered(LINKTYPE_ETHERNET, data, start, end, wire)
        layers.stack = stack
        layers.named = named
        packet.tags = named
        self.mark = layers.mark()
        self._unnamed = True
        self.link_start = start
        self.link_length = at - start
        return self._ipv4(data, at, end, wire)

    def name_stack(self) -> None:
        """Sets `packet.vids`, which `decode` leaves to whoever wants it: `mark` is enough for most."""
        if self._unnamed:
            self._unnamed = False
            self._layers.name_stack()
            self.packet.vids = self._layers.vids

    def finish(self) -> None:
        """The capture ends: counts and forgets the datagrams that are not whole."""
        self.fragments.finish()

    def _layered(self, link_type: int, data: bytes, start: int, end: int, wire: int) -> int:
        """All that is not IPv4 right behind an Ethernet header. `wire`: where the packet ended on the wire."""
        layers = self._layers
        packet = self.packet
        found = layers.walk(link_type, data, start, end, wire)
        if found != FOUND:
            if found == TOO_SHORT:
                return self._short("link_short", end, wire)
            if found == TOO_DEEP:
                return self._bad("link_too_deep")
            self.stats.count("link_other")
            return OTHER
        packet.tags = layers.tags
        self.mark = layers.mark()
        self._unnamed = True
        self.link_start = layers.link_start
        self.link_length = layers.link_length
        wire = layers.wire
        if end > wire:
            end = wire
        if layers.version == 4:
            return self._ipv4(data, layers.l3, end, wire)
        return self._ipv6(data, layers.l3, end, wire)

    def _bad(self, name: str) -> int:
        self.stats.count(name)
        return BAD

    def _short(self, name: str, end: int, wire: int) -> int:
        """A header goes beyond `end`: cut by the snap length if the packet went on to `wire`, else damaged."""
        return self._bad("headers_cut" if end < wire else name)

    # IPv4

    def _ipv4(self, data: bytes, l3: int, end: int, wire: int) -> int:
        packet = self.packet
        if end - l3 < IPV4_LENGTH:
            return self._short("ip_short", end, wire)
        first = load_u64(data, l3)
        second = load_u64(data, l3 + 8)
        destination = load_u32(data, l3 + 16)
        if first >> 60 != 4:
            return self._bad("ip_bad_version")
        header_length = (first >> 56 & 15) * 4
        if header_length < IPV4_LENGTH:
            return self._bad("ip_bad_header_length")
        l4 = l3 + header_length
        if l4 > end:
            return self._short("ip_bad_header_length", end, wire)
        total_length = first >> 32 & 0xFFFF
        if total_length < header_length or total_length > wire - l3:
            if self._refuse_length(total_length, header_length, first & (MORE_FRAGMENTS | OFFSET_MASK) != 0):
                return self._bad("ip_bad_length")
            total_length = wire - l3
        if header_length == IPV4_LENGTH:
            total = (first >> 32) + (first & MASK32) + (second >> 32) + (second & MASK32) + destination
            if fold(total) != GOOD_SUM and not self._accept_header(second >> 32 & 0xFFFF):
                return BAD
        elif checksum(data, l3, header_length, 0) != GOOD_SUM and not self._accept_header(second >> 32 & 0xFFFF):
            return BAD
        packet.ethertype = ETHERTYPE_IPV4
        packet.version = 4
        packet.l3 = l3
        packet.l4 = l4
        packet.end = l3 + total_length if l3 + total_length < end else end
        packet.tos = first >> 48 & 0xFF
        packet.ttl = second >> 56
        packet.proto = second >> 48 & 0xFF
        packet.options = header_length > IPV4_LENGTH
        packet.fragment = first & (MORE_FRAGMENTS | OFFSET_MASK)
        packet.src_hi = 0
        packet.src_lo = V4_MAPPED | (second & MASK32)
        packet.dst_hi = 0
        packet.dst_lo = V4_MAPPED | destination
        if packet.fragment:
            return self._fragment4(data, l3 + total_length, first >> 16 & 0xFFFF)
        if packet.proto != PROTO_TCP:
            return self._chain(data, l4, l3 + total_length, packet.proto)
        return self._tcp(data, l4, l3 + total_length)

    def _refuse_length(self, total_length: int, header_length: int, fragment: bool) -> bool:
        """Whether a packet is damaged whose IPv4 length is less than its header's or more than its frame's.

        What is not damaged goes to its frame's end: a length of 0 is left for the network card, which makes several
        packets of this one, each with its own.
        """
        if fragment:
            return True
        if total_length == 0:
            self.stats.count("ip_no_length")
            return False
        if total_length < header_length or self._strict:
            return True
        self.stats.count("ip_overlong")
        self._unsure = True
        return False

    def _accept_header(self, field: int) -> bool:
        """Whether an IPv4 header whose sum is wrong is good enough; counts it either way."""
        if self._ignoring:
            return True
        if field == 0 and not self._strict:
            self.stats.count("ip_no_checksum")
            return True
        self.stats.count("ip_bad_checksum")
        self._spoiled = True
        return not self._strict

    def _fragment4(self, data: bytes, stop: int, identification: int) -> int:
        """A fragment whose payload ended at `stop` on the wire."""
        packet = self.packet
        if packet.proto != PROTO_TCP and packet.proto != AUTHENTICATION:
            self.stats.count("ip_other")
            return OTHER
        offset = (packet.fragment & OFFSET_MASK) * 8
        key = take(data, packet.l3 + 12, 8) + bytes(
            (identification >> 8, identification & 0xFF, packet.proto, self._spoiled),
        )
        room = 0xFFFF - (packet.l4 - packet.l3)
        return self._fragment(
            key, offset, packet.fragment & MORE_FRAGMENTS != 0, packet.l4, stop, room,
            b"" if offset else self._link_header() + take(data, packet.l3, packet.l4 - packet.l3),
        )

    # IPv6

    def _ipv6(self, data: bytes, l3: int, end: int, wire: int) -> int:
        packet = self.packet
        if end - l3 < IPV6_LENGTH:
            return self._short("ip_short", end, wire)
        first = load_u64(data, l3)
        if first >> 60 != 6:
            return self._bad("ip_bad_version")
        stop = l3 + IPV6_LENGTH + (first >> 16 & 0xFFFF)
        if stop > wire:
            if self._strict:
                return self._bad("ip_bad_length")
            self.stats.count("ip_overlong")
            self._unsure = True
            stop = wire
        elif stop == l3 + IPV6_LENGTH and wire > stop:
            self.stats.count("ip_no_length")  # a jumbogram (RFC 2675), or segmentation left to the network card
            stop = wire
        packet.ethertype = ETHERTYPE_IPV6
        packet.version = 6
        packet.l3 = l3
        packet.l4 = l3 + IPV6_LENGTH
        packet.end = stop if stop < end else end
        packet.tos = first >> 52 & 0xFF
        packet.proto = first >> 8 & 0xFF
        packet.ttl = first & 0xFF
        packet.options = False
        packet.fragment = 0
        packet.src_hi = load_u64(data, l3 + 8)
        packet.src_lo = load_u64(data, l3 + 16)
        packet.dst_hi = load_u64(data, l3 + 24)
        packet.dst_lo = load_u64(data, l3 + 32)
        if is_mapped(packet.src_hi, packet.src_lo) or is_mapped(packet.dst_hi, packet.dst_lo):
            return self._bad("ip_martian_source")  # would pass for IPv4 in every table (RFC 4291, 2.5.5.2)
        if packet.proto != PROTO_TCP:
            return self._chain(data, l3 + IPV6_LENGTH, stop, packet.proto)
        return self._tcp(data, l3 + IPV6_LENGTH, stop)

    def _chain(self, data: bytes, at: int, stop: int, kind: int) -> int:
        """Walks the headers between IP's at the front and TCP's; `kind` is that of the one at `at`.

        Each turn goes on by at least 8 bytes, so the bytes there are bound the walk. Options are not looked at.
        """
        packet = self.packet
        end = packet.end
        named_at = packet.l3 + 6
        while kind != PROTO_TCP:
            if kind != AUTHENTICATION and (packet.version == 4 or not is_extension(kind)):
                self.stats.count("ip_other")
                return OTHER
            if end - at < 8:
                return self._short("ip_bad_extensions", end, stop)
            length = 8
            if kind == FRAGMENT:
                word = load_u16(data, at + 2)
                if word & (PLACE_V6 | MORE_V6):
                    return self._fragment6(data, at, stop, named_at)
                self.stats.count("frag_atomic")
            elif kind == AUTHENTICATION:
                length = (load_u8(data, at + 1) + 2) * 4
            else:
                length += load_u8(data, at + 1) * 8
            if length > end - at:
                return self._bad("ip_bad_extensions") if length > stop - at else self._bad("headers_cut")
            if kind == ROUTING and load_u8(data, at + SEGMENTS_LEFT):
                self._route(data, at, length)
            kind = load_u8(data, at)
            named_at = at
            at += length
        packet.proto = PROTO_TCP
        packet.options = True
        packet.l4 = at
        return self._tcp(data, at, stop)

    def _route(self, data: bytes, at: int, length: int) -> None:
        """The packet is still on its way: its destination, for its sum and its connection, is the route's end."""
        packet = self.packet
        kind = load_u8(data, at + ROUTING_TYPE)
        last = at + 8  # a segment route is listed from its end
        if kind == SOURCE_ROUTE:
            last = at + length - 16
        if length < 24 or (kind != SOURCE_ROUTE and kind != MOBILE and kind != SEGMENT_ROUTE):
            self._unsure = True
            return
        packet.dst_hi = load_u64(data, last)
        packet.dst_lo = load_u64(data, last + 8)

    def _fragment6(self, data: bytes, at: int, stop: int, named_at: int) -> int:
        """A fragment whose fragment header is at `at`, named by the byte at `named_at`."""
        packet = self.packet
        if self._whole:
            return self._bad("ip_bad_extensions")  # fragments of fragments: no sender makes them (RFC 8200, 4.5)
        if stop - packet.l3 - IPV6_LENGTH != load_u16(data, packet.l3 + 4):
            return self._bad("ip_bad_length")
        packet.fragment = load_u16(data, at + 2) & (PLACE_V6 | MORE_V6)
        offset = packet.fragment & PLACE_V6
        head = b""
        if offset == 0:
            header = bytearray(take(data, packet.l3, at - packet.l3))
            store_u8(header, named_at - packet.l3, load_u8(data, at))
            head = self._link_header() + header
        room = 0xFFFF - (at - packet.l3 - IPV6_LENGTH)
        key = take(data, packet.l3 + 8, 32) + take(data, at + 4, 4) + b"6"
        return self._fragment(key, offset, packet.fragment & MORE_V6 != 0, at + 8, stop, room, head)

    # Fragments of both

    def _link_header(self) -> bytes:
        return take(self.packet.data, self.link_start, self.link_length)

    def _fragment(self, key: bytes, offset: int, more: bool, at: int, stop: int, room: int, head: bytes) -> int:
        """Keeps the fragment whose payload is at `at` and ended at `stop` on the wire; goes on with a datagram that
        is whole now. `room`: the most payload that such a datagram can have; `head`: the headers of a first fragment.
        """
        packet = self.packet
        fragments = self.fragments
        if at > packet.end:
            return self._short("frag_bad", packet.end, stop)
        self.name_stack()
        if not self._ignoring_vlans:
            key += packet.vids
        payload = take(packet.data, at, packet.end - at)
        code = fragments.add(
            key, packet.version == 6, packet.now, offset, more, payload, stop - at, room, head,
            self.link_length, packet.vids, packet.tags,
        )
        if code != WHOLE:
            return BAD if code == BROKEN else HELD
        return self._datagram()

    def _datagram(self) -> int:
        """Decodes the datagram that `fragments` has made whole."""
        fragments = self.fragments
        packet = self.packet
        l3 = fragments.link_length
        head = bytearray(fragments.head)
        wire = len(head) + fragments.total
        if wire - l3 > 0xFFFF + (0 if packet.version == 4 else IPV6_LENGTH):
            return self._bad("frag_bad")  # the first fragment had more headers than the others
        if packet.version == 4:
            store_u16(head, l3 + 2, wire - l3)
            store_u16(head, l3 + 6, load_u16(fragments.head, l3 + 6) & 0x4000)  # only DF stays
            store_u16(head, l3 + 10, 0)
            store_u16(head, l3 + 10, checksum(head, l3, len(head) - l3, 0) ^ 0xFFFF)
        else:
            store_u16(head, l3 + 4, wire - l3 - IPV6_LENGTH)
        data = bytes(head) + fragments.payload
        packet.data = data
        packet.vids = fragments.vids
        packet.tags = fragments.tags
        self.mark = mark_of(fragments.vids)
        self.link_start = 0
        self.link_length = l3
        self.conflict = fragments.conflict
        self._whole = True
        self._unsure = False
        if packet.version == 4:
            return self._ipv4(data, l3, len(data), wire)
        return self._ipv6(data, l3, len(data), wire)

    # TCP

    def _tcp(self, data: bytes, l4: int, stop: int) -> int:
        """Fills `seg` from the header at `l4` of a segment that ended at `stop` on the wire."""
        packet = self.packet
        seg = self.seg
        size = stop - l4
        room = packet.end - l4
        if size < TCP_LENGTH:
            return self._bad("tcp_short")
        if room < TCP_NEEDED:
            return self._bad("headers_cut")
        first = load_u64(data, l4)
        second = load_u64(data, l4 + 8)
        header_length = (second >> 28 & 15) * 4
        if header_length < TCP_LENGTH or header_length > size:
            return self._bad("tcp_short")
        seg.source_port = first >> 48
        seg.destination_port = first >> 32 & 0xFFFF
        seg.seq = first & MASK32
        seg.ack = second >> 32
        seg.flags = second >> 16 & 0xFF
        seg.window = second & 0xFFFF
        seg.urgent = load_u16(data, l4 + 18) if room >= TCP_LENGTH else 0
        seg.offset = l4 + header_length
        seg.length = size - header_length
        seg.options_offset = l4 + TCP_LENGTH
        seg.options_end = seg.offset if header_length <= room else packet.end if room > TCP_LENGTH else l4 + TCP_LENGTH
        self.captured = room - header_length if room > header_length else 0
        if (header_length == 32 and room >= 32 and load_u32(data, l4 + 20) == ALIGNED_TIMESTAMPS
                and not seg.flags & SYN):
            seg.sack_count = 0
            seg.signed = False
            seg.has_timestamps = True
            seg.tsval = load_u32(data, l4 + 24)
            seg.tsecr = load_u32(data, l4 + 28)
        else:
            seg.read_options(data, l4 + TCP_LENGTH, seg.options_end)
        self.signed = seg.signed
        self._room = room
        self._size = size
        return SEGMENT

    def verify(self) -> None:
        """Finds `sum` of the segment that `decode` has found. Apart, so that a caller can do other things before."""
        packet = self.packet
        room = self._room
        size = self._size
        if not self.verifying:
            self.sum = SUM_UNKNOWN
        elif self._spoiled:
            self.sum = SUM_BAD
        elif room < size or self._unsure:
            self.sum = SUM_UNKNOWN
        elif self._partial and not self._whole:
            self.sum = SUM_UNFINISHED
        else:
            self.sum = self._judge(packet.data, packet.l4, size)

    def _judge(self, data: bytes, l4: int, size: int) -> int:
        """What the checksum of a segment that is all there says.

        A sender that leaves the sum to its card puts the pseudo header's there, not inverted: Linux with the length,
        drivers that have the card cut segments without it, as each will have its own.
        """
        packet = self.packet
        pseudo = PROTO_TCP + words(packet.src_lo) + words(packet.dst_lo)
        if packet.version == 4:
            pseudo -= 2 * 0xFFFF  # of the mapped addresses' prefixes
        else:
            pseudo += words(packet.src_hi) + words(packet.dst_hi)
        with_length = pseudo + (size >> 16) + (size & 0xFFFF)
        if checksum(data, l4, size, with_length) == GOOD_SUM:
            return SUM_GOOD
        field = load_u16(data, l4 + 16)
        if field == fold(with_length) or field == fold(pseudo):
            return SUM_UNFINISHED
        return SUM_BAD


def mark_of(vids: bytes) -> int:
    """A VLAN stack in 32 bits; MANY_VIDS where it does not fit."""
    size = len(vids)
    if size == 0:
        return 0
    if size == 2:
        return ONE_VID | load_u16(vids, 0)
    if size == 4:
        return TWO_VIDS | load_u16(vids, 0) << 12 | load_u16(vids, 2)
    return MANY_VIDS


def is_extension(kind: int) -> bool:
    """Whether a next header number is an IPv6 extension header that is stepped over."""
    return kind in (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS)
