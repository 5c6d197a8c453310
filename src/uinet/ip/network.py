"""The network layer of one stack: its interfaces and addresses, and the way out for every packet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from uinet.errors import AddressNotAvailable, InvalidArgument, NetworkUnreachable
from uinet.ip import output
from uinet.ip import source as sources
from uinet.ip.address import LIMITED_BROADCAST
from uinet.ip.arp import Arp
from uinet.ip.dad import Detector
from uinet.ip.extension import Extensions
from uinet.ip.fragment import Identifications
from uinet.ip.gateways import Gateways
from uinet.ip.groups import Groups
from uinet.ip.icmp import Icmp
from uinet.ip.interface import Interface, InterfaceAddress
from uinet.ip.names import NameServers
from uinet.ip.nd import Nd
from uinet.ip.neighbors import Neighbors, NextHop
from uinet.ip.notice import LinkEvent
from uinet.ip.pmtu import Pmtu
from uinet.ip.randomness import Random
from uinet.ip.reassembly import Reassembler
from uinet.ip.redirect import Redirects
from uinet.ip.routes import Routes
from uinet.ip.settings import IpSettings
from uinet.stats import Stats
from uinet.wheel import Wheel
from uinet.wire.addresses import BROADCAST_MAC, Mac, is_multicast, multicast_mac, unpack_address
from uinet.wire.kernels import join
from uinet.wire.nd import is_link_local

if TYPE_CHECKING:
    from collections.abc import Callable

    from uinet.ip.hooks import PacketFilter
    from uinet.wire.packet import Packet

LOOPBACK_MTU = 65535
ROUTE_CACHE_LIMIT = 4096  # routes; one more and all are looked up anew
RECENT = 256
MIN_MTU = 68  # RFC 791
MAX_DOMAIN = 0xFFFFFFFF


class TransportHandler(Protocol):
    """A transport protocol, as `Network.handlers` knows it."""

    def input(self, packet: Packet) -> object:
        """Takes a packet that is whole and for this stack; nothing of `packet` may be kept."""

    def icmp_error(
        self,
        kind: int,
        code: int,
        info: int,
        quoted_source: bytes,
        quoted_destination: bytes,
        quoted_transport: bytes,
        packet: Packet | None,
    ) -> int:
        """An ICMP error about a packet that this stack may have sent; 0 if no flow here believes it, 1 if one does,
        2 if one will, perhaps, later: the path MTU of a TOO_BIG is its own business then.

        `kind`: one of the kinds of `uinet.ip.icmp`; `code`: as on the wire; `info`: the MTU of a TOO_BIG, the
        pointer of a PARAMETER_PROBLEM, else 0. `quoted_transport`: at least 8 bytes, from the transport
        header on. `packet`: None if this stack found out itself, because a neighbour does not answer.
        """


class Route:
    """How to reach a destination. Stale once `Network.generation` is no longer `generation`.

    `source`: the address to send from. `mtu`: the path MTU as known, bytes of IP packet. `destination_hi` to
    `source_lo`: the halves of both, of one that `Network.route_between` remembers.
    """

    __slots__ = (
        "destination", "destination_hi", "destination_lo", "generation", "interface", "mtu", "next_hop", "source",
        "source_hi", "source_lo",
    )

    def __init__(
        self,
        destination: bytes,
        next_hop: NextHop,
        source: bytes,
        interface: Interface,
        mtu: int,
        generation: int,
    ) -> None:
        self.destination = destination
        self.next_hop = next_hop
        self.source = source
        self.interface = interface
        self.mtu = mtu
        self.generation = generation
        self.destination_hi = 0
        self.destination_lo = 0
        self.source_hi = 0
        self.source_lo = 0


class Network:
    """Everything of a stack below its transport protocols.

    `now`: set by the engine before anything else is called. `settings`: see :class:`IpSettings`. `on_link_event`:
    told what happens to addresses, routers and links. `filters`: packet filters of all interfaces. `epoch`: what to add
    to the stack's times to get the time of day, ns since 1970; 0 if nobody has said. `on_kick`: called when a call made
    between batches leaves something for a poll to do. `owns`: of several workers that share interfaces, whether the
    packets between a local address and port and a remote address and port come to this one; None without workers.
    `generation`: changes when addresses, routes or path MTUs do. `loopback`: packets to ourselves, each with the
    software loopback interface and beginning with its IP header; they are trusted: their transport checksum may not be
    computed.
    """

    def __init__(
        self, seed: bytes, wheel: Wheel | None = None, stats: Stats | None = None, now: int = 0
    ) -> None:
        self.now = now
        self.wheel = wheel if wheel is not None else Wheel(now)
        self.stats = stats if stats is not None else Stats()
        self.random = Random(seed)
        self.settings = IpSettings()
        self.on_link_event: Callable[[LinkEvent], None] | None = None
        self.owner: Any = None  # a weak reference to the stack
        self.on_kick: Callable[[], None] | None = None
        self.on_refresh: Callable[[], None] | None = None
        self.owns: Callable[[bytes, int, bytes, int], bool] | None = None
        self.filters: list[PacketFilter] = []
        self.epoch = 0
        self.identifications = Identifications(self.random)
        self.generation = 1
        self.interfaces: list[Interface] = []
        self.local: dict[bytes, Interface] = {}
        self.handlers: dict[int, TransportHandler] = {}
        self.loopback: list[tuple[Interface, bytes]] = []
        self.next_index = 1
        self.route_cache: dict[tuple[bytes, bytes | None, Interface | None], Route] = {}
        self.route_cache_generation = 0
        self.recent: list[Route | None] = [None] * RECENT  # of the cache, by a few bits of the addresses
        self.gateways = Gateways(self)
        self.routes = Routes(self)
        self.neighbors = Neighbors(self)
        self.arp = Arp(self)
        self.nd = Nd(self)
        self.detector = Detector(self)
        self.redirects = Redirects(self)
        self.name_servers = NameServers(self)
        self.groups = Groups(self)
        self.pmtu = Pmtu(self)
        self.reassembler = Reassembler(self)
        self.extensions = Extensions(self)
        self.icmp = Icmp(self)
        self.handlers[1] = self.icmp
        self.handlers[2] = self.groups
        self.handlers[58] = self.icmp
        self.loopback_interface = Interface(self, "lo", 0, b"", mtu=LOOPBACK_MTU, layer=3, checksums=False)
        self.loopback_interface.loopback = True
        self.loopback_interface.add_address("127.0.0.1/8")
        self.loopback_interface.add_address("::1/128")

    # interfaces and addresses

    def add_interface(
        self,
        name: str,
        *,
        mac: str | bytes | None = None,
        mtu: int = 1500,
        layer: int = 2,
        cdom: int = 0,
        promiscuous: bool = False,
        checksums: bool = True,
    ) -> Interface:
        """Adds a link; InvalidArgument if the name is taken, or its domain above 0 already has one."""
        if layer not in (2, 3):
            raise InvalidArgument("layer is 2 or 3")
        if not isinstance(cdom, int) or not 0 <= cdom <= MAX_DOMAIN:
            raise InvalidArgument(f"a connection domain is an integer from 0 to {MAX_DOMAIN}, not {cdom!r}")
        if promiscuous and cdom == 0:
            raise InvalidArgument("a promiscuous interface needs a connection domain above 0")
        if not MIN_MTU <= mtu <= 65535:
            raise InvalidArgument(f"MTU {mtu} is not between {MIN_MTU} and 65535")
        for other in self.interfaces:
            if other.name == name:
                raise InvalidArgument(f"there already is an interface {name}")
            if cdom and other.cdom == cdom:
                raise InvalidArgument(f"connection domain {cdom} already has its interface, {other.name}")
        index = self.next_index
        self.next_index += 1
        interface = Interface(
            self, name, index, self._mac(mac) if layer == 2 else b"",
            mtu=mtu, layer=layer, cdom=cdom, promiscuous=cdom > 0, checksums=checksums,
        )
        self.interfaces.append(interface)
        if self.filters:
            interface.looked_at()
        return interface

    def _mac(self, mac: str | bytes | None) -> bytes:
        if mac is None:
            return b"\x02" + self.random.bytes(5)  # locally administered, unicast
        value = bytes(Mac(mac))
        if value[0] & 1:
            raise InvalidArgument("the MAC of an interface is a unicast MAC")
        return value

    def remove_interface(self, interface: Interface) -> None:
        """Takes a link away, with its addresses, routes, neighbours and waiting frames."""
        if interface not in self.interfaces:
            raise InvalidArgument(f"{interface.name} is no interface of this stack")
        if interface.autoconf is not None:
            interface.autoconf.stop()
        interface.remove_all_addresses()
        self.redirects.remove_interface(interface)
        self.groups.remove_interface(interface)
        self.name_servers.remove_interface(interface)
        self.routes.remove_interface(interface)
        self.neighbors.remove_interface(interface)
        self.reassembler.remove_interface(interface)
        self.interfaces.remove(interface)
        for other in self.interfaces:
            if other.bridge is interface:
                other.bridge = None
        interface.bridge = None
        interface.up = False
        interface.output = []
        self.changed()

    def interface_named(self, name: str) -> Interface | None:
        """The interface of that name."""
        for interface in self.interfaces:
            if interface.name == name:
                return interface
        return None

    def interface_of_domain(self, cdom: int) -> Interface | None:
        """The one interface of a connection domain above 0."""
        for interface in self.interfaces:
            if interface.cdom == cdom:
                return interface
        return None

    def address_added(self, interface: Interface, entry: InterfaceAddress) -> None:
        """Called by the interface: `entry` is one of its addresses now."""
        self.local.setdefault(entry.address, interface)
        if entry.on_link:
            self.routes.add_connected(interface, entry)
        self.changed()

    def address_removed(self, interface: Interface, entry: InterfaceAddress) -> None:
        """Called by the interface: `entry` no longer is one of its addresses."""
        self.detector.cancel(interface, entry.address)
        if entry.on_link:
            self.routes.remove_connected(interface, entry)
        if self.local.get(entry.address) is interface:
            del self.local[entry.address]
            for other in self.interfaces:
                if other.owns(entry.address):
                    self.local[entry.address] = other
        self.changed()

    def announce(self, interface: Interface, address: bytes) -> None:
        """Tells the link that `address` is ours (RFC 5227 section 2.3, RFC 4861 section 7.2.6)."""
        if interface.layer == 2:
            if len(address) == 4:
                self.arp.announce(interface, address)
            else:
                self.nd.announce(interface, address)

    def tell(self, interface: Interface, kind: str, address: bytes | None = None, detail: str = "") -> None:
        """Something has happened to a link that its user may want to know."""
        if self.on_link_event is not None:
            packed = unpack_address(address) if address else None
            self.on_link_event(LinkEvent(interface, kind, packed, detail))

    def kick(self) -> None:
        """A call made between batches has left something for a poll to do."""
        if self.on_kick is not None:
            self.on_kick()

    def refresh(self) -> None:
        """A call made between batches is about to set timers: brings `now` up to date."""
        if self.on_refresh is not None:
            self.on_refresh()

    def changed(self) -> None:
        """Makes every route that somebody has looked up stale."""
        self.generation += 1

    def is_local(self, packed: bytes) -> bool:
        """Whether `packed` is a unicast address of ours."""
        return packed in self.local

    def is_broadcast(self, packed: bytes, interface: Interface) -> bool:
        """Whether `packed` is the limited broadcast, or one of the directed ones on `interface`."""
        return packed == LIMITED_BROADCAST or packed in interface.broadcasts

    def is_ours(self, packed: bytes, interface: Interface) -> bool:
        """Whether a packet to `packed` that came in by `interface` is for this stack.

        Any address of domain 0 will do on any of its interfaces (the weak model of RFC 1122, section
        3.3.4.2), but link-local and loopback ones only on their own. Never on a promiscuous interface: there
        sockets decide.
        """
        if interface.promiscuous:
            return False
        if is_multicast(packed):
            return interface.in_group(packed)
        owner = self.local.get(packed)
        if owner is None:
            return interface.loopback or self.is_broadcast(packed, interface)
        if interface.loopback:
            return True
        if is_link_local(packed):
            return interface.owns(packed)
        return not owner.loopback

    # the way out

    def route(
        self, destination: bytes, source: bytes | None = None, interface: Interface | None = None
    ) -> Route:
        """How to reach `destination`, from `source` (None or the unspecified address: choose), by
        `interface`.

        NetworkUnreachable if there is no way, AddressNotAvailable if `source` is none of our addresses or
        none is fit.
        """
        if self.route_cache_generation != self.generation or len(self.route_cache) >= ROUTE_CACHE_LIMIT:
            self.route_cache.clear()
            self.route_cache_generation = self.generation
        key = (destination, source, interface)
        found = self.route_cache.get(key)
        if found is None:
            found = self._route(destination, source, interface)
            self.route_cache[key] = found
        return found

    def route_between(self, destination_hi: int, destination_lo: int, source_hi: int, source_lo: int) -> Route:
        """As `route`, for addresses in halves."""
        place = (destination_lo ^ (destination_lo >> 8) ^ source_lo) & (RECENT - 1)
        found = self.recent[place]
        if (
            found is not None and found.generation == self.generation and found.destination_lo == destination_lo
            and found.source_lo == source_lo and found.destination_hi == destination_hi
            and found.source_hi == source_hi
        ):
            return found
        found = self.route(join(destination_hi, destination_lo), join(source_hi, source_lo))
        found.destination_hi = destination_hi
        found.destination_lo = destination_lo
        found.source_hi = source_hi
        found.source_lo = source_lo
        self.recent[place] = found
        return found

    def _route(self, destination: bytes, source: bytes | None, interface: Interface | None) -> Route:
        if source is not None and not any(source):
            source = None
        if source is not None and (source not in self.local or len(source) != len(destination)):
            raise AddressNotAvailable
        if interface is not None and interface.promiscuous:
            raise NetworkUnreachable(f"{interface.name} is promiscuous: nothing is routed there")
        if destination in self.local:
            return self._loopback_route(destination, source)
        if is_multicast(destination) or destination == LIMITED_BROADCAST:
            link = interface if interface is not None else self._group_interface(destination, source)
            hop = self.neighbors.fixed(
                link, destination, multicast_mac(destination) if is_multicast(destination) else BROADCAST_MAC
            )
            return self._finish(destination, source, link, hop, destination)
        entry = self.routes.lookup(destination, interface) if any(destination) else None
        if entry is None:
            self.stats.count("ip_no_route")
            raise NetworkUnreachable
        link = entry.interface
        if destination in link.broadcasts:
            return self._finish(
                destination, source, link, self.neighbors.fixed(link, destination, BROADCAST_MAC), destination
            )
        gateway = entry.via if entry.via is not None else destination
        return self._finish(destination, source, link, self.neighbors.lookup(link, gateway), gateway)

    def _loopback_route(self, destination: bytes, source: bytes | None) -> Route:
        link = self.loopback_interface
        hop = self.neighbors.lookup(link, destination)
        return Route(
            destination, hop, source if source is not None else destination, link, link.mtu, self.generation
        )

    def _group_interface(self, destination: bytes, source: bytes | None) -> Interface:
        """The link for a multicast or broadcast: that of the source, of the route, or the first that has the
        family.
        """
        if source is not None:
            return self.local[source]
        entry = self.routes.lookup(destination)
        if entry is not None:
            return entry.interface
        for interface in self.interfaces:
            if not interface.promiscuous:
                for owned in interface.addresses:
                    if len(owned.address) == len(destination):
                        return interface
        self.stats.count("ip_no_route")
        raise NetworkUnreachable

    def _finish(
        self, destination: bytes, source: bytes | None, interface: Interface, hop: NextHop, gateway: bytes
    ) -> Route:
        if source is None:
            source = self.select_source(destination, interface, gateway)
        largest = interface.mtu
        said = interface.mtu_v6 if len(destination) == 16 else interface.mtu_v4
        if 0 < said < largest:
            largest = said
        mtu = self.pmtu.get(destination)
        if mtu == 0 or mtu > largest:
            mtu = largest
        return Route(destination, hop, source, interface, mtu, self.generation)

    def select_source(self, destination: bytes, interface: Interface, gateway: bytes) -> bytes:
        """The address to send to `destination` from by `interface` through `gateway`; AddressNotAvailable."""
        return sources.select(
            destination, interface, gateway, self.interfaces, self.settings.temporary_addresses
        )

    def send_ip(
        self,
        source: bytes | None,
        destination: bytes,
        proto: int,
        payload: bytes,
        *,
        ttl: int | None = None,
        tos: int = 0,
        interface: Interface | None = None,
        dont_fragment: bool = False,
    ) -> None:
        """Sends `payload`, a whole transport segment with its checksum, in as many fragments as it takes.

        `source`: None to choose it (only for protocols without a pseudo header). `ttl`: None for the default,
        64; 1 for IPv4 multicast. NetworkUnreachable, AddressNotAvailable; MessageTooLong if it may not be
        fragmented and is larger than the path's MTU, or than any packet.
        """
        route = self.route(destination, source, interface)
        output.send(self, route, proto, payload, ttl=ttl, tos=tos, dont_fragment=dont_fragment)
