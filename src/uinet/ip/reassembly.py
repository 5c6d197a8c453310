"""Reassembly of fragments (RFC 791 section 3.2, RFC 815, RFC 8200 section 4.5).

Fragments that overlap condemn their whole datagram, in IPv6 as RFC 5722 says and in IPv4 just so: no honest
host sends them. A condemned datagram is remembered until its time is up, so that what else arrives of it is
dropped as well. Everything is bounded: fragments a datagram, bytes a source, bytes in all; where a bound is
hit the oldest goes.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from uinet.units import SECOND
from uinet.wheel import Timer
from uinet.wire import ipv6
from uinet.wire.frame import Frame
from uinet.wire.ipv6_extensions import FRAGMENT_LENGTH, FRAGMENT_OFFSET
from uinet.wire.kernels import checksum, load_u16, store_u8, store_u16

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.ip.network import Network
    from uinet.wire.packet import Packet

MAX_FRAGMENTS = 64  # a datagram
MEMORY_LIMIT = 4 << 20  # bytes in all, with the cost of keeping them
SOURCE_LIMIT = 1 << 20  # bytes a source on one link
TIMEOUT_V4 = 30 * SECOND  # as Linux: the 60 to 120 of RFC 1122, section 3.3.2, serve mostly attackers
TIMEOUT_V6 = 60 * SECOND  # RFC 8200, section 4.5
MAX_LENGTH = 65535
FRAGMENT_COST = 200  # bytes of memory that a fragment takes beside its payload
DATAGRAM_COST = 600
QUOTE_LIMIT = 1280  # bytes of the first fragment kept for the ICMP error of a timeout

# interface's index, VIDs, source, destination, protocol (IPv4 only), identification
Key = tuple[int, bytes, bytes, bytes, int, int]


class Reassembled:
    """A datagram made whole. `data`: the frame that would have carried it; `frames`: those that did, in order
    of arrival, kept only where the interface has a bridge peer.
    """

    __slots__ = ("data", "frames")

    def __init__(self, data: bytes, frames: list[Frame]) -> None:
        self.data = data
        self.frames = frames


class Datagram(Timer):
    """What has arrived of one datagram. Its timer is the time that is left for the rest."""

    def __init__(self, reassembler: Reassembler, key: Key, interface: Interface) -> None:
        super().__init__()
        self.reassembler = reassembler
        self.key = key
        self.interface = interface
        self.starts: list[int] = []  # offsets of the pieces, ascending; `pieces` is in the same order
        self.pieces: list[bytes] = []
        self.received = 0  # payload bytes
        self.total = -1  # payload bytes of the datagram; -1 until the last fragment has come
        self.head = b""  # link and IP header of the first fragment, as they will be
        self.l3 = 0  # where the IP header begins in `head`
        self.quote = b""  # the first fragment, for an ICMP error
        self.group = False  # the first fragment came in a group frame
        self.poisoned = False
        self.cost = 0
        self.frames: list[Frame] = []

    def expire(self, now: int) -> None:
        self.reassembler.timed_out(self)


class Reassembler:
    """All incomplete datagrams of a stack."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.datagrams: dict[Key, Datagram] = {}  # oldest first
        self.sources: dict[tuple[int, bytes], dict[Key, Datagram]] = {}
        self.source_costs: dict[tuple[int, bytes], int] = {}
        self.cost = 0
        self.memory_limit = MEMORY_LIMIT
        self.source_limit = SOURCE_LIMIT

    def add(
        self,
        packet: Packet,
        ident: int,
        offset: int,
        more: bool,
        payload_offset: int,
        payload_end: int,
        proto: int,
    ) -> Reassembled | None:
        """Takes one fragment; the datagram if it is whole now.

        `offset`: bytes, of the payload in the datagram; `payload_offset`, `payload_end`: of the payload in
        `packet.data`; `proto`: the protocol, or the next header of the fragment header, behind which the
        payload begins. Drops are counted, and answered in IPv6 where RFC 8200 says so.
        """
        self.network.stats.count("frag_rx")
        length = payload_end - payload_offset
        if not self._fits(packet, offset, more, length, payload_offset):
            return None
        part = proto if packet.version == 4 else 0
        key = (packet.interface.index, packet.vids, packet.src, packet.dst, part, ident)
        datagram = self.datagrams.get(key)
        if datagram is None:
            datagram = self._begin(key, packet)
        if datagram.poisoned:
            self.network.stats.count("frag_overlap")
            return None
        if not self._insert(datagram, packet, offset, more, payload_offset, length):
            return None
        if datagram.received == datagram.total:
            self._remove(datagram)
            return self._assemble(datagram)
        self._shrink(datagram)
        return None

    def _fits(self, packet: Packet, offset: int, more: bool, length: int, payload_offset: int) -> bool:
        """Whether a piece is in units of 8 bytes, not empty, and within the largest packet."""
        problem = 0
        if more and length % 8 != 0:
            problem = 4  # the payload length field
        elif offset + length > MAX_LENGTH - (packet.l4 - packet.l3 if packet.version == 4 else 0):
            # the fragment offset field
            problem = payload_offset - packet.l3 - FRAGMENT_LENGTH + FRAGMENT_OFFSET
        elif length > 0:
            return True
        self.network.stats.count("frag_bad")
        if problem and packet.version == 6 and not packet.interface.promiscuous:
            self.network.icmp.parameter_problem(packet, 0, problem)
        return False

    def _begin(self, key: Key, packet: Packet) -> Datagram:
        datagram = Datagram(self, key, packet.interface)
        self.datagrams[key] = datagram
        source = (key[0], key[2])
        self.sources.setdefault(source, {})[key] = datagram
        self._charge(datagram, DATAGRAM_COST)
        timeout = TIMEOUT_V4 if packet.version == 4 else TIMEOUT_V6
        self.network.wheel.arm(datagram, self.network.now + timeout)
        return datagram

    def _charge(self, datagram: Datagram, cost: int) -> None:
        """Adds to what `datagram` costs its source and the stack."""
        datagram.cost += cost
        source = (datagram.key[0], datagram.key[2])
        self.cost += cost
        self.source_costs[source] = self.source_costs.get(source, 0) + cost

    def _insert(
        self, datagram: Datagram, packet: Packet, offset: int, more: bool, payload_offset: int, length: int
    ) -> bool:
        end = offset + length
        index = bisect_left(datagram.starts, offset)
        if index < len(datagram.starts) and datagram.starts[index] == offset:
            same = datagram.pieces[index] == packet.data[payload_offset : payload_offset + length]
            if same and more == (end != datagram.total):
                return False  # the same once more: RFC 8200 section 4.5 allows to keep the others
        if self._overlaps(datagram, index, offset, end, more):
            self.network.stats.count("frag_overlap")
            self._poison(datagram)
            return False
        if len(datagram.starts) >= MAX_FRAGMENTS:
            self.network.stats.count("frag_too_many")
            self._poison(datagram)
            return False
        if not more:
            datagram.total = end
        datagram.starts.insert(index, offset)
        datagram.pieces.insert(index, packet.data[payload_offset : payload_offset + length])
        datagram.received += length
        cost = FRAGMENT_COST + length
        if offset == 0:
            datagram.head = unfragmented_head(packet, payload_offset)
            datagram.l3 = packet.l3
            datagram.quote = packet.data[packet.l3 : min(packet.end, packet.l3 + QUOTE_LIMIT)]
            datagram.group = packet.l2_broadcast
            cost += len(datagram.head) + len(datagram.quote)
        if packet.interface.bridge is not None:
            datagram.frames.append(packet.frame)
            cost += len(packet.data)
        self._charge(datagram, cost)
        return True

    def _overlaps(self, datagram: Datagram, index: int, offset: int, end: int, more: bool) -> bool:
        """Whether a piece collides with its neighbours, or with the end that another one has set."""
        starts = datagram.starts
        if index > 0 and starts[index - 1] + len(datagram.pieces[index - 1]) > offset:
            return True
        if index < len(starts) and starts[index] < end:
            return True
        if datagram.total >= 0:
            return end > datagram.total or not more
        return not more and index < len(starts)  # something lies behind what says it is the last

    def _poison(self, datagram: Datagram) -> None:
        """Forgets what there is of a datagram, but not that nothing more of it is wanted."""
        datagram.poisoned = True
        datagram.starts = []
        datagram.pieces = []
        datagram.frames = []
        datagram.head = b""
        datagram.quote = b""
        self._charge(datagram, DATAGRAM_COST - datagram.cost)

    def _shrink(self, newest: Datagram) -> None:
        """Evicts the oldest datagrams of a greedy source, then the oldest of all."""
        source = (newest.key[0], newest.key[2])
        while self.source_costs.get(source, 0) > self.source_limit:
            self._evict(next(iter(self.sources[source].values())))
        while self.cost > self.memory_limit:
            self._evict(next(iter(self.datagrams.values())))

    def _evict(self, datagram: Datagram) -> None:
        self._remove(datagram)
        self.network.stats.count("frag_evicted")

    def _remove(self, datagram: Datagram) -> None:
        self.network.wheel.disarm(datagram)
        del self.datagrams[datagram.key]
        source = (datagram.key[0], datagram.key[2])
        del self.sources[source][datagram.key]
        self.cost -= datagram.cost
        self.source_costs[source] -= datagram.cost
        if not self.sources[source]:
            del self.sources[source]
            del self.source_costs[source]

    def timed_out(self, datagram: Datagram) -> None:
        """The rest did not come in time: RFC 1122 section 3.3.2, RFC 8200 section 4.5."""
        self._remove(datagram)
        if datagram.poisoned:
            return
        self.network.stats.count("frag_timeout")
        if datagram.quote and not datagram.interface.promiscuous:
            self.network.icmp.reassembly_timed_out(datagram.interface, datagram.quote, datagram.group)

    def remove_interface(self, interface: Interface) -> None:
        """Forgets what came in by `interface`."""
        for datagram in list(self.datagrams.values()):
            if datagram.interface is interface:
                self._remove(datagram)

    def _assemble(self, datagram: Datagram) -> Reassembled | None:
        head = bytearray(datagram.head)
        l3 = datagram.l3
        if head[l3] >> 4 == 4:
            header_length = len(head) - l3
            if header_length + datagram.total > MAX_LENGTH:
                self.network.stats.count("frag_bad")
                return None
            store_u16(head, l3 + 2, header_length + datagram.total)
            store_u16(head, l3 + 10, checksum(head, l3, header_length, 0) ^ 0xFFFF)
        else:
            length = len(head) - l3 - ipv6.HEADER_LENGTH + datagram.total
            if length > MAX_LENGTH:
                self.network.stats.count("frag_bad")
                return None
            store_u16(head, l3 + 4, length)
        self.network.stats.count("frag_reassembled")
        return Reassembled(bytes(head) + b"".join(datagram.pieces), datagram.frames)


def unfragmented_head(packet: Packet, payload_offset: int) -> bytes:
    """The headers of a first fragment as those of the whole datagram, lengths and checksum not yet set."""
    data = packet.data
    if packet.version == 4:
        head = bytearray(data[:payload_offset])
        store_u16(head, packet.l3 + 6, load_u16(data, packet.l3 + 6) & 0x4000)  # only DF stays
        store_u16(head, packet.l3 + 10, 0)
        return bytes(head)
    fragment = payload_offset - FRAGMENT_LENGTH
    head = bytearray(data[:fragment])
    named_at = packet.l3 + ipv6.NEXT_HEADER
    offset = packet.l3 + ipv6.HEADER_LENGTH
    while offset < fragment:
        named_at = offset
        offset += 8 + data[offset + 1] * 8
    store_u8(head, named_at, data[fragment])
    return bytes(head)
