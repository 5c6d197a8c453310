"""Neighbours: where packets go on their link, and whether it still answers.

Read first: RFC 4861, section 7.3 (neighbour unreachability detection), whose state machine serves ARP as
well, and RFC 826. A :class:`NextHop` is one neighbour; who sends keeps a reference and, while it is fresh,
uses its link header without asking here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uinet.errors import AddressNotAvailable, InvalidArgument, NetworkUnreachable
from uinet.units import MILLISECOND, SECOND
from uinet.wheel import Timer
from uinet.wire.addresses import AddressLike, Mac, MacLike, pack_address
from uinet.wire.frame import Frame

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.ip.network import Network

INCOMPLETE = 0  # no MAC known; being asked for if its timer runs
REACHABLE = 1  # answered lately: until `reachable_until`
STALE = 2  # a MAC is known, not whether it still answers
DELAY = 3  # used while stale: forward progress may confirm it before it is probed
PROBE = 4  # being asked with unicast
STATIC = 5  # configured, a group, or a link without addresses: never asked
LOOPBACK = 6  # this stack itself

# RFC 4861, section 10
REACHABLE_TIME = 30 * SECOND  # times a random factor of 0.5 to 1.5; routers may say another (`Interface`)
RETRANS_TIMER = 1000 * MILLISECOND
DELAY_FIRST_PROBE_TIME = 5 * SECOND
MAX_MULTICAST_SOLICIT = 3
MAX_UNICAST_SOLICIT = 3

QUEUE_LIMIT = 3  # packets that wait for one neighbour
TABLE_LIMIT = 1024  # neighbours, those configured not counted
SECOND_CHANCES = 64  # neighbours passed over, at most, to find one to forget
LOOPBACK_LIMIT = 1024  # packets to ourselves that wait


def link_header_for(interface: Interface, mac: bytes, address: bytes) -> bytes:
    """The Ethernet header of a packet of the family of `address` to `mac`."""
    return mac + interface.mac + (b"\x08\x00" if len(address) == 4 else b"\x86\xdd")


class NextHop(Timer):
    """A neighbour.

    `link_header`: 14 bytes on layer 2, b"" on layer 3, None while the MAC is not known. Usable as it is while
    `state` is STATIC or now < `reachable_until`; anything else is for `Neighbors.send`.
    """

    def __init__(self, neighbors: Neighbors, interface: Interface, address: bytes) -> None:
        super().__init__()
        self.neighbors = neighbors
        self.interface = interface
        self.address = address
        self.link_header: bytes | None = None
        self.state = INCOMPLETE
        self.reachable_until = 0
        self.probes = 0  # sent since the timer was started
        self.queue: list[tuple[bytes, int, int]] = []  # (packet, checksum state, gso size)

    def expire(self, now: int) -> None:
        self.neighbors.expired(self, now)

    @property
    def mac(self) -> bytes | None:
        """The neighbour's MAC; None while unknown and on layer 3."""
        return self.link_header[:6] if self.link_header else None


class Neighbors:
    """All neighbours of a stack."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.table: dict[tuple[int, bytes], NextHop] = {}  # (interface's index, address); oldest first
        self.static_count = 0
        self.limit = TABLE_LIMIT

    # finding

    def get(self, interface: Interface, address: bytes) -> NextHop | None:
        """The neighbour, if it is known or being asked for."""
        return self.table.get((interface.index, address))

    def lookup(self, interface: Interface, address: bytes) -> NextHop:
        """The neighbour with that address on that link; a new one if need be. Sends nothing."""
        if interface.loopback or interface.layer == 3:
            return self.fixed(interface, address, b"")
        found = self.table.get((interface.index, address))
        return found if found is not None else self._listed(NextHop(self, interface, address))

    def fixed(self, interface: Interface, address: bytes, mac: bytes) -> NextHop:
        """A next hop that needs no resolution: a group, a broadcast, a link without MACs. Not in the table."""
        hop = NextHop(self, interface, address)
        if interface.loopback:
            hop.state = LOOPBACK
            return hop
        hop.state = STATIC
        hop.link_header = link_header_for(interface, mac, address) if interface.layer == 2 else b""
        return hop

    # configuration

    def add(self, address: AddressLike, mac: MacLike, interface: Interface | None = None) -> None:
        """Configures a neighbour for good; NetworkUnreachable if no link has its address."""
        packed = pack_address(address)
        link = interface if interface is not None else self._link_of(packed)
        if link.layer != 2 or link.promiscuous:
            raise InvalidArgument(f"{link.name} has no neighbours")
        hop = self.lookup(link, packed)
        if hop.state != STATIC:
            self.static_count += 1
        self._use(hop, Mac(mac))
        hop.state = STATIC
        self.network.wheel.disarm(hop)
        self._flush(hop)

    def remove(self, address: AddressLike, interface: Interface | None = None) -> None:
        """Forgets a neighbour, configured or learned; AddressNotAvailable if there is none."""
        packed = pack_address(address)
        link = interface if interface is not None else self._link_of(packed)
        hop = self.table.get((link.index, packed))
        if hop is None:
            raise AddressNotAvailable("no such neighbour")
        self._forget(hop)

    def remove_interface(self, interface: Interface) -> None:
        """Forgets the neighbours on a link."""
        for hop in list(self.table.values()):
            if hop.interface is interface:
                self._forget(hop)

    def __iter__(self) -> Iterator[NextHop]:
        return iter(list(self.table.values()))

    def _link_of(self, address: bytes) -> Interface:
        entry = self.network.routes.lookup(address)
        if entry is None or entry.via is not None:
            raise NetworkUnreachable("no link has that address")
        return entry.interface

    # sending

    def send(self, hop: NextHop, packet: bytes, checksum: int, gso_size: int) -> None:
        """Sends `packet`, which begins with its IP header, at once or when the neighbour has answered."""
        if hop.state == LOOPBACK:
            self._loop(hop, packet)
            return
        if hop.link_header is None:
            listed = self._listed(hop)
            if listed is not hop:
                self.network.changed()  # `hop` was evicted, another took its place: its holder shall find it
                hop = listed
        header = hop.link_header
        if header is None:
            self._queue(hop, packet, checksum, gso_size)
            return
        if hop.state == STALE or (hop.state == REACHABLE and self.network.now >= hop.reachable_until):
            hop.state = DELAY  # RFC 4861, section 7.3.3
            self.network.wheel.arm(hop, self.network.now + DELAY_FIRST_PROBE_TIME)
        hop.interface.transmit(Frame(header + packet, checksum, gso_size))

    def _loop(self, hop: NextHop, packet: bytes) -> None:
        waiting = self.network.loopback
        if len(waiting) >= LOOPBACK_LIMIT:
            self.network.stats.count("loopback_full")
            return
        waiting.append((hop.interface, packet))

    def _listed(self, hop: NextHop) -> NextHop:
        """The table's entry for `hop`; `hop` becomes it if there is none (it may have been evicted)."""
        key = (hop.interface.index, hop.address)
        listed = self.table.get(key)
        if listed is not None:
            return listed
        if len(self.table) - self.static_count >= self.limit:
            self._evict()
        self.table[key] = hop
        return hop

    def _evict(self) -> None:
        """Forgets the oldest that nobody has confirmed lately; those that it passes over count as young again."""
        for chance in range(SECOND_CHANCES):
            key = next(iter(self.table))
            hop = self.table[key]
            confirmed = hop.state == REACHABLE and self.network.now < hop.reachable_until
            if hop.state == STATIC or (confirmed and chance < SECOND_CHANCES // 2):
                del self.table[key]
                self.table[key] = hop
            else:
                self._forget(hop)
                self.network.stats.count("neighbor_evicted")
                return

    def _forget(self, hop: NextHop) -> None:
        del self.table[(hop.interface.index, hop.address)]
        if hop.state == STATIC:
            self.static_count -= 1
        self._reset(hop)

    def _reset(self, hop: NextHop) -> None:
        self.network.wheel.disarm(hop)
        hop.state = INCOMPLETE
        hop.link_header = None
        hop.reachable_until = 0
        hop.probes = 0
        hop.queue = []

    def _queue(self, hop: NextHop, packet: bytes, checksum: int, gso_size: int) -> None:
        """RFC 4861, section 7.2.2: where the queue overflows the new packet replaces the oldest."""
        if len(hop.queue) >= QUEUE_LIMIT:
            del hop.queue[0]
            self.network.stats.count("neighbor_queue_full")
        hop.queue.append((packet, checksum, gso_size))
        if hop.deadline == 0:
            hop.probes = 0
            self._solicit(hop)

    def _flush(self, hop: NextHop) -> None:
        header = hop.link_header
        waiting = hop.queue
        hop.queue = []
        if header is None:
            return
        for packet, checksum, gso_size in waiting:
            hop.interface.transmit(Frame(header + packet, checksum, gso_size))

    # the state machine

    def _solicit(self, hop: NextHop) -> None:
        """Asks for the neighbour: everybody while INCOMPLETE, itself in PROBE."""
        hop.probes += 1
        self.network.wheel.arm(hop, self.network.now + hop.interface.retrans_time)
        if len(hop.address) == 4:
            self.network.arp.solicit(hop)
        else:
            self.network.nd.solicit(hop)

    def expired(self, hop: NextHop, now: int) -> None:
        """The timer of `hop` has run out."""
        if hop.state == DELAY:
            hop.state = PROBE
            hop.probes = 0
            self._solicit(hop)
        elif hop.probes < (MAX_UNICAST_SOLICIT if hop.state == PROBE else MAX_MULTICAST_SOLICIT):
            self._solicit(hop)
        else:
            self._failed(hop)

    def _failed(self, hop: NextHop) -> None:
        """Back to knowing nothing; what waited is answered with 'host unreachable' (RFC 4861, section 7.2.2).

        The entry stays, idle: whoever holds it will ask anew with its next packet.
        """
        waiting = hop.queue
        self._reset(hop)
        self.network.redirects.failed(hop)
        self.network.gateways.failed(hop)
        for packet, checksum, gso_size in waiting:
            if not self._detour(hop, packet, checksum, gso_size):
                self.network.stats.count("neighbor_unreachable")
                self.network.icmp.undeliverable(packet)

    def _detour(self, hop: NextHop, packet: bytes, checksum: int, gso_size: int) -> bool:
        """Sends a packet that waited for a dead gateway by another one; whether there is one."""
        destination = packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]
        if destination == hop.address:
            return False
        entry = self.network.routes.lookup(destination, hop.interface)
        if entry is None or entry.suspect or entry.via is None or entry.via == hop.address:
            return False
        self.send(self.lookup(entry.interface, entry.via), packet, checksum, gso_size)
        return True

    def probe(self, hop: NextHop) -> None:
        """Finds out whether `hop` answers, though nothing is to be sent to it."""
        if hop.state >= STATIC or hop.state == PROBE or (hop.state == INCOMPLETE and hop.deadline):
            return
        if hop.link_header is not None:
            hop.state = PROBE
        hop.probes = 0
        self._solicit(hop)

    def confirm(self, hop: NextHop, now: int) -> None:
        """Forward progress: the neighbour has received what was sent (RFC 4861, section 7.3.1)."""
        if hop.link_header is None or hop.state >= STATIC:
            return
        self._reachable(hop, now)

    def doubt(self, hop: NextHop) -> None:
        """Negative advice: what was sent is not answered. The next packet makes the neighbour be asked whether it is
        still there (RFC 1122, section 3.3.1.4; RFC 4861, section 7.3.3)."""
        if hop.state == REACHABLE:
            hop.state = STALE
            hop.reachable_until = 0

    def _reachable(self, hop: NextHop, now: int) -> None:
        hop.state = REACHABLE
        hop.probes = 0
        base = hop.interface.base_reachable_time
        spread = self.network.random.below(base // MILLISECOND + 1) * MILLISECOND
        hop.reachable_until = now + base // 2 + spread
        self.network.wheel.disarm(hop)
        if self.network.gateways.suspects:
            self.network.gateways.answered(hop)

    def _use(self, hop: NextHop, mac: bytes) -> None:
        hop.link_header = link_header_for(hop.interface, mac, hop.address)

    def answered(self, hop: NextHop, mac: bytes | None, solicited: bool, override: bool) -> bool:
        """A neighbour advertisement (RFC 4861, section 7.2.5) or ARP reply of `hop`; whether it was news.

        `mac`: None if it does not say one. `solicited`: it answers a question of ours. `override`: the MAC in
        it replaces another one.
        """
        now = self.network.now
        if hop.state >= STATIC:
            return False
        if hop.link_header is None:
            if mac is None:
                return False
            self._use(hop, mac)
            if solicited:
                self._reachable(hop, now)
            else:
                self._stale(hop)
            self._flush(hop)
            return True
        differs = mac is not None and mac != hop.link_header[:6]
        if differs and not override:
            if hop.state != REACHABLE:
                return False
            self._stale(hop)
            return True
        if differs and mac is not None:
            self._use(hop, mac)
        if solicited:
            self._reachable(hop, now)
        elif differs:
            self._stale(hop)
        return solicited or differs

    def heard(self, hop: NextHop, mac: bytes) -> bool:
        """`hop` asked us something and said its MAC: known now, not confirmed (RFC 4861, section 7.2.3)."""
        if hop.state >= STATIC:
            return False
        if hop.link_header is not None and hop.link_header[:6] == mac:
            return False
        self._use(hop, mac)
        self._stale(hop)
        self._flush(hop)
        return True

    def _stale(self, hop: NextHop) -> None:
        hop.state = STALE
        hop.reachable_until = 0
        hop.probes = 0
        self.network.wheel.disarm(hop)
