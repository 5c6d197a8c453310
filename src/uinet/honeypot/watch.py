"""What looks at every frame before the stack does: lets only frames for our prefixes pass, remembers SYNs, counts
sources.

A SYN flood is answered with cookies, of which the stack keeps nothing; so what a SYN looked like is remembered here,
for the connections that come of it, and who sent how many. All of it is bounded: `remember` SYNs in each of two
generations, the older of which is forgotten when the newer is full; `sources` senders, the others are counted as one.
"""

from __future__ import annotations

from uinet.wire.addresses import parse_prefix, split
from uinet.wire.constants import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_TCP,
    PROTO_UDP,
)
from uinet.wire.frame import Frame
from uinet.wire.kernels import join, load_u8, load_u16, take
from uinet.wire.packet import Packet

SYN_BITS = 0x02
ACK_BITS = 0x10
RST_BITS = 0x04
FIRST_ETHERNET = 2  # the layer that has MACs
LONGEST_SYN = 256  # bytes of a SYN's frame that are kept: all headers there can be, behind a few tags
SAMPLES = 64  # ports and addresses of a source that are told one by one
ECHO_V4 = 8
ECHO_V6 = 128
NEIGHBOR_SOLICITATION = 135
ALL_BITS = (1 << 64) - 1


class Prefix:
    """A prefix as two halves of an address and of a mask; IPv4 mapped."""

    def __init__(self, text: str) -> None:
        packed, length = parse_prefix(text)
        bits = length + (96 if len(packed) == 4 else 0)
        mask = (1 << 128) - (1 << (128 - bits))
        hi, lo = split(packed)
        self.mask_hi = mask >> 64
        self.mask_lo = mask & ALL_BITS
        self.hi = hi & self.mask_hi
        self.lo = lo & self.mask_lo


class Source:
    """What one sender, in one VLAN stack, did since the last report. Times in ns.

    `address`: packed, b"" for all that found no place of their own; `first_frame`: the beginning of its first frame,
    or SYN. `syns`: retransmissions included; `connections`: those that came of them. `odd`: segments without SYN, ACK
    and RST, which only scanners send. `ports`, `hosts`: the first SAMPLES of those that were tried.
    """

    def __init__(self) -> None:
        self.address = b""
        self.vids = b""
        self.first_frame = b""
        self.first = 0
        self.last = 0
        self.syns = 0
        self.connections = 0
        self.datagrams = 0
        self.echoes = 0
        self.odd = 0
        self.others = 0
        self.ports: set[int] = set()
        self.hosts: set[bytes] = set()


class Watch:
    """See the module. `mac`: frames to other hosts' MACs are dropped; b"" takes all (layer 3 has none).

    Counters: `passed` frames, `elsewhere` (to other MACs or addresses), `unreadable`, `syns`, `unlisted` (of sources
    that found no place of their own).
    """

    def __init__(
        self, prefixes: list[str], *, mac: bytes = b"", layer: int = 2, remember: int = 65536, sources: int = 8192
    ) -> None:
        self.prefixes = [Prefix(text) for text in prefixes]
        self.mac = bytes(mac)
        self.layer = layer
        self.remember = remember
        self.most_sources = sources
        self.packet = Packet()
        self.young: dict[bytes, bytes] = {}
        self.old: dict[bytes, bytes] = {}
        self.sources: dict[bytes, Source] = {}
        self.rest = Source()
        self.passed = 0
        self.elsewhere = 0
        self.unreadable = 0
        self.syns = 0
        self.unlisted = 0

    def sift(self, frames: list[Frame], now: int) -> list[Frame]:
        """Those of `frames` that the stack is to see; notes what they are."""
        wanted = []
        for frame in frames:
            if self.look(frame, now):
                wanted.append(frame)  # noqa: PERF401 - compiled, a loop is no slower
        self.passed += len(wanted)
        return wanted

    def look(self, frame: Frame, now: int) -> bool:
        """Whether the stack is to see `frame`."""
        packet = self.packet
        if packet.parse_link(frame, self.layer):
            self.unreadable += 1
            return False
        if self.layer == FIRST_ETHERNET and self.mac and not packet.for_me(self.mac):
            self.elsewhere += 1
            return False
        if packet.ethertype == ETHERTYPE_IPV4:
            if packet.parse_ipv4():
                self.unreadable += 1
                return False
            if packet.group:
                self.elsewhere += 1
                return False
        elif packet.ethertype == ETHERTYPE_IPV6:
            if packet.parse_ipv6():
                self.unreadable += 1
                return False
            if packet.dst_hi >> 56 == 0xFF:
                return self.solicits(packet)
        else:
            return packet.ethertype == ETHERTYPE_ARP
        if not self.ours(packet.dst_hi, packet.dst_lo):
            self.elsewhere += 1
            return False
        self.note(packet, now)
        return True

    def solicits(self, packet: Packet) -> bool:
        """Whether an IPv6 packet to a group asks for a neighbour; nothing else to groups is for us."""
        if packet.proto == PROTO_ICMPV6 and packet.end > packet.l4:
            if load_u8(packet.data, packet.l4) == NEIGHBOR_SOLICITATION:
                return True
        self.elsewhere += 1
        return False

    def ours(self, hi: int, lo: int) -> bool:
        """Whether an address is in one of the prefixes."""
        for prefix in self.prefixes:  # noqa: SIM110 - compiled functions have no generators
            if hi & prefix.mask_hi == prefix.hi and lo & prefix.mask_lo == prefix.lo:
                return True
        return False

    def note(self, packet: Packet, now: int) -> None:
        """Counts a packet for its source; remembers it if it is a SYN."""
        data = packet.data
        l4 = packet.l4
        room = packet.end - l4
        source = self.source_of(packet, now)
        source.last = now
        if packet.fragment:
            source.others += 1
        elif packet.proto == PROTO_TCP and room >= 20:
            flags = load_u8(data, l4 + 13)
            if flags & SYN_BITS and not flags & ACK_BITS:
                self.syns += 1
                if source.syns == 0:
                    source.first_frame = take(data, 0, min(LONGEST_SYN, len(data)))
                source.syns += 1
                self.remember_syn(packet)
                self.sample(source, packet, load_u16(data, l4 + 2))
            elif not flags & (SYN_BITS | ACK_BITS | RST_BITS):
                source.odd += 1
                self.sample(source, packet, load_u16(data, l4 + 2))
        elif packet.proto == PROTO_UDP and room >= 8:
            source.datagrams += 1
            self.sample(source, packet, load_u16(data, l4 + 2))
        elif (packet.proto == PROTO_ICMP and room >= 8 and load_u8(data, l4) == ECHO_V4) or (
            packet.proto == PROTO_ICMPV6 and room >= 8 and load_u8(data, l4) == ECHO_V6
        ):
            source.echoes += 1
            self.sample(source, packet, -1)
        else:
            source.others += 1

    def sample(self, source: Source, packet: Packet, port: int) -> None:
        """Notes the port (-1: none) and address that a source has tried."""
        if port >= 0 and len(source.ports) < SAMPLES:
            source.ports.add(port)
        if len(source.hosts) < SAMPLES:
            source.hosts.add(join(packet.dst_hi, packet.dst_lo))

    def source_of(self, packet: Packet, now: int) -> Source:
        """The sender of a packet; that of all others if there is no room for another one."""
        address = join(packet.src_hi, packet.src_lo)
        key = address + packet.vids if packet.tags else address
        source = self.sources.get(key)
        if source is not None:
            return source
        if len(self.sources) >= self.most_sources:
            self.unlisted += 1
            source = self.rest
            if source.first == 0:
                source.first = now
            return source
        source = Source()
        source.address = address
        source.vids = packet.vids
        source.first = now
        source.first_frame = take(packet.data, 0, min(LONGEST_SYN, len(packet.data)))
        self.sources[key] = source
        return source

    def remember_syn(self, packet: Packet) -> None:
        """Keeps the headers of a SYN."""
        data = packet.data
        if packet.version == 4:
            key = take(data, packet.l3 + 12, 8) + take(data, packet.l4, 4)
        else:
            key = take(data, packet.l3 + 8, 32) + take(data, packet.l4, 4)
        if packet.tags:
            key += packet.vids
        if len(self.young) >= self.remember:
            self.old = self.young
            self.young = {}
        self.young[key] = data if len(data) <= LONGEST_SYN else take(data, 0, LONGEST_SYN)

    def recall(self, key: bytes) -> bytes:
        """The SYN's frame of a connection: packed source and destination address, both ports (two bytes each), VIDs.
        b"" if it is not remembered."""
        found = self.young.get(key)
        if found is None:
            found = self.old.get(key, b"")
        return found

    def connected(self, key: bytes) -> None:
        """A source's SYN came to a connection; `key`: its packed address and VIDs."""
        source = self.sources.get(key)
        if source is None:
            source = self.rest
        source.connections += 1

    def report(self) -> list[Source]:
        """What the sources did since the last report, those without place of their own last; begins anew."""
        found = list(self.sources.values())
        if self.rest.first:
            found.append(self.rest)
        self.sources = {}
        self.rest = Source()
        return found
