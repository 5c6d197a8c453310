"""IPv6 autoconfiguration of one interface: a link-local address, router solicitations, what routers advertise.

Read first: RFC 4862 (addresses), RFC 4861 section 6.3 (routers, prefixes, parameters), RFC 7559 (solicitations).
`ip/slaac.py` makes the addresses of advertised prefixes, `ip/dad.py` tests them. One timer serves everything that ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from uinet.ip import iid
from uinet.ip.address import ALL_ROUTERS_LINK, LINK_LOCAL_PREFIX, in_prefix
from uinet.ip.interface import LINK_LOCAL, InterfaceAddress
from uinet.ip.names import ROUTER as NAMES_ROUTER
from uinet.ip.notice import AUTOCONF_FAILED, ROUTER_ADDED, ROUTER_REMOVED
from uinet.ip.routes import ROUTER, RouteEntry
from uinet.ip.settings import NEVER
from uinet.ip.slaac import Slaac
from uinet.units import MILLISECOND, SECOND
from uinet.wheel import Timer
from uinet.wire import nd
from uinet.wire.addresses import is_multicast, network_of
from uinet.wire.nd import is_link_local

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.wire.packet import Packet

K = TypeVar("K")

LONGEST = 10**9  # seconds; what is longer is for ever too
MIN_MTU = 1280
MAX_OPTIONS = 32  # of a kind, of one advertisement
MAX_REACHABLE_TIME = 3_600_000  # ms (RFC 4861, section 6.2.1)
METRICS = {nd.HIGH: 1000, nd.MEDIUM: 1024, nd.LOW: 1048}  # of routes, by preference; configured routes come before


class Router:
    """A router on the link. `until`: ns, when it stops to be a default router; 0 if it is none."""

    def __init__(self, address: bytes) -> None:
        self.address = address
        self.until = 0
        self.preference = nd.MEDIUM
        self.route: RouteEntry | None = None


class Learned:
    """A route to a prefix, on the link or through a router, until `until` (ns, 0: for ever)."""

    def __init__(self, route: RouteEntry, until: int) -> None:
        self.route = route
        self.until = until


class Autoconf(Timer):
    """Autoconfiguration of `interface`, from `start` to `stop`.

    `routers`: those that have advertised themselves. `heard`: a router advertisement has come. `failed`: no link-local
    address was free, so that there is nothing to configure from.
    """

    def __init__(self, interface: Interface) -> None:
        super().__init__()
        self.interface = interface
        self.network = interface.network
        self.routers: dict[bytes, Router] = {}
        self.on_link: dict[tuple[bytes, int], Learned] = {}
        self.routes: dict[tuple[bytes, int, bytes], Learned] = {}  # RFC 4191: prefix, length, router
        self.slaac = Slaac(self)
        self.heard = False
        self.failed = False
        self.stopped = False
        self.tries = 0
        self.solicit_at = 0  # ns; 0: not again
        self.solicit_wait = 0

    # the link-local address and solicitations

    def start(self) -> None:
        """Makes the link-local address (RFC 4862, section 5.3), and then looks for routers."""
        if self.interface.has_link_local():
            self._solicit_first(delay=True)
            return
        identifier = self._identifier(LINK_LOCAL_PREFIX, self.tries)
        entry = InterfaceAddress(LINK_LOCAL_PREFIX[:8] + identifier, 64, origin=LINK_LOCAL)
        self.network.detector.start(self.interface, entry, self._tested)

    def _identifier(self, prefix: bytes, counter: int) -> bytes:
        if self.network.settings.interface_identifier == iid.EUI64:
            return iid.eui64(self.interface.mac)
        return iid.stable(self.interface, prefix, counter)

    def _tested(self, entry: InterfaceAddress, free: bool) -> None:
        if self.stopped:
            return
        if free:
            self._solicit_first(delay=False)
            return
        self.tries += 1
        settings = self.network.settings
        if settings.interface_identifier == iid.EUI64 or self.tries > settings.dad_retries:
            self.failed = True  # RFC 4862, section 5.4.5: the MAC is somebody else's too
            self.network.tell(self.interface, AUTOCONF_FAILED, entry.address, "no link-local address is free")
            return
        self.start()

    def _solicit_first(self, *, delay: bool) -> None:
        """RFC 4861, section 6.3.7: the first solicitation waits, unless duplicate address detection has."""
        wait = self.network.random.below(self.network.settings.solicitation_delay // MILLISECOND + 1) if delay else 0
        self.solicit_at = self.network.now + wait * MILLISECOND
        if delay:
            self.rearm()
        else:
            self._solicit(self.network.now)
            self.rearm()

    def _solicit(self, now: int) -> None:
        """Sends a router solicitation, and sets the time of the next (RFC 7559, section 2.1: RT, as RFC 8415, 15)."""
        settings = self.network.settings
        source = self.interface.link_local() or bytes(16)
        options: tuple[nd.Option, ...] = ()
        if any(source):
            options = (nd.link_layer_option(nd.SOURCE_LINK_LAYER, self.interface.mac),)
        self.network.stats.count("nd_rs_out")
        self.network.nd.send(self.interface, nd.RouterSolicitation(options), source, ALL_ROUTERS_LINK)
        self.solicit_wait = self.solicit_wait * 2 if self.solicit_wait else settings.solicitation_interval
        self.solicit_wait = min(self.solicit_wait, settings.solicitation_max)
        tenth = self.solicit_wait // 10
        self.solicit_wait += (self.network.random.below(2001) - 1000) * tenth // 1000
        self.solicit_at = now + self.solicit_wait

    def stop(self, *, keep: bool = False) -> None:
        """Ends autoconfiguration and takes back what it has made, unless `keep`."""
        self.stopped = True
        self.network.wheel.disarm(self)
        self.interface.autoconf = None
        if keep:
            return
        self.slaac.stop()
        for router in list(self.routers.values()):
            self._remove_router(router)
        for learned in (*self.on_link.values(), *self.routes.values()):
            self.network.routes.forget(learned.route)
        self.on_link.clear()
        self.routes.clear()
        self.network.name_servers.forget(self.interface, NAMES_ROUTER)
        self.interface.mtu_v6 = 0

    # router advertisements

    def advertised(self, packet: Packet, message: nd.RouterAdvertisement) -> bool:
        """Takes a valid router advertisement (RFC 4861, section 6.3.4)."""
        now = self.network.now
        self.heard = True
        self._parameters(message)
        mac = nd.link_layer(message.options, nd.SOURCE_LINK_LAYER)
        if mac is not None and not mac.is_group:
            self.network.neighbors.heard(self.network.neighbors.lookup(self.interface, packet.src), mac)
        self._default_router(packet.src, message, now)
        self.network.gateways.probe((self.interface.index, packet.src))
        for info in nd.prefixes(message.options)[:MAX_OPTIONS]:
            if is_link_local(info.prefix) or is_multicast(info.prefix):
                continue
            if info.on_link:
                self._on_link(info, now)
            if info.autonomous:
                self.slaac.advertised(info, packet.src, now)
        for route in nd.route_informations(message.options)[:MAX_OPTIONS]:
            self._route(route, packet.src, now)
        self._names(message, now)
        if message.router_lifetime:
            self.solicit_at = 0
        self.rearm()
        return True

    def _parameters(self, message: nd.RouterAdvertisement) -> None:
        interface, settings = self.interface, self.network.settings
        if message.cur_hop_limit >= settings.min_hop_limit:
            interface.hop_limit = message.cur_hop_limit
        elif message.cur_hop_limit:
            self.network.stats.count("nd_ra_refused")
        if 0 < message.reachable_time <= MAX_REACHABLE_TIME:
            interface.base_reachable_time = message.reachable_time * MILLISECOND
        if message.retrans_timer:
            wanted = message.retrans_timer * MILLISECOND
            interface.retrans_time = max(settings.min_retrans_time, min(wanted, settings.max_retrans_time))
        mtu = nd.mtu(message.options)
        if mtu is not None:
            if MIN_MTU <= mtu <= interface.mtu:
                if mtu != interface.mtu_v6:
                    interface.mtu_v6 = mtu
                    self.network.changed()
            else:
                self.network.stats.count("nd_ra_refused")

    def _default_router(self, address: bytes, message: nd.RouterAdvertisement, now: int) -> None:
        router = self.routers.get(address)
        if message.router_lifetime == 0:
            if router is not None:
                self._remove_router(router)
            return
        if router is None:
            if len(self.routers) >= self.network.settings.router_limit:
                self.network.stats.count("nd_router_limit")
                return
            router = self.routers[address] = Router(address)
            self.network.tell(self.interface, ROUTER_ADDED, address)
        router.until = now + message.router_lifetime * SECOND
        if router.route is not None and router.preference != message.preference:
            self.network.routes.forget(router.route)
            router.route = None
        router.preference = message.preference
        if router.route is None:
            metric = METRICS[router.preference]
            router.route = self.network.routes.learn(bytes(16), 0, address, self.interface, metric, ROUTER)

    def _remove_router(self, router: Router) -> None:
        del self.routers[router.address]
        if router.route is not None:
            self.network.routes.forget(router.route)
            router.route = None
        self.network.tell(self.interface, ROUTER_REMOVED, router.address)

    def no_router(self, address: bytes) -> None:
        """A neighbour says that it is no router any more (RFC 4861, section 7.2.5)."""
        router = self.routers.get(address)
        if router is not None:
            self._remove_router(router)
        for key, learned in list(self.routes.items()):
            if key[2] == address:
                self.network.routes.forget(learned.route)
                del self.routes[key]

    def _on_link(self, info: nd.PrefixInformation, now: int) -> None:
        """A prefix is on the link, or with a lifetime of 0 no longer (RFC 4861, section 6.3.4)."""
        key = (network_of(info.prefix, info.prefix_length), info.prefix_length)
        known = self.on_link.get(key)
        if info.valid_lifetime == 0:
            if known is not None:
                self.network.routes.forget(known.route)
                del self.on_link[key]
            return
        until = end_of(info.valid_lifetime, now)
        if known is not None:
            known.until = until
        elif len(self.on_link) >= self.network.settings.prefix_limit:
            self.network.stats.count("nd_prefix_limit")
        else:
            route = self.network.routes.learn(*key, None, self.interface, METRICS[nd.MEDIUM], ROUTER)
            self.on_link[key] = Learned(route, until)

    def is_on_link(self, address: bytes) -> bool:
        """Whether routers say that the packed `address` is a neighbour's."""
        return any(in_prefix(address, prefix, length) for prefix, length in self.on_link)

    def _route(self, info: nd.RouteInformation, router: bytes, now: int) -> None:
        """A route through `router` to a prefix (RFC 4191, section 3.1, host type C). That to ::/0 is its lifetime."""
        if info.prefix_length == 0:
            return
        key = (network_of(info.prefix, info.prefix_length), info.prefix_length, router)
        known = self.routes.pop(key, None)
        if known is not None:
            self.network.routes.forget(known.route)
        if info.lifetime == 0:
            return
        if len(self.routes) >= self.network.settings.prefix_limit:
            self.network.stats.count("nd_prefix_limit")
            return
        route = self.network.routes.learn(*key, self.interface, METRICS[info.preference], ROUTER)
        self.routes[key] = Learned(route, end_of(info.lifetime, now))

    def _names(self, message: nd.RouterAdvertisement, now: int) -> None:
        """RFC 8106, section 5.3.1."""
        known = self.network.name_servers
        for server, lifetime in nd.recursive_dns_servers(message.options)[:MAX_OPTIONS]:
            known.learn(self.interface, NAMES_ROUTER, server, end_of(lifetime, now))
        for domain, lifetime in nd.dns_search_list(message.options)[:MAX_OPTIONS]:
            known.learn(self.interface, NAMES_ROUTER, domain, end_of(lifetime, now))

    # time

    def expire(self, now: int) -> None:
        """Does what is due, and sets the timer for what is due next."""
        if self.solicit_at and self.solicit_at <= now:
            self._solicit(now)
        for router in list(self.routers.values()):
            if router.until <= now:
                self._remove_router(router)
        self._expire(self.on_link, now)
        self._expire(self.routes, now)
        self.slaac.expire(now)
        self.rearm()

    def _expire(self, table: dict[K, Learned], now: int) -> None:
        for key, learned in list(table.items()):
            if learned.until and learned.until <= now:
                self.network.routes.forget(learned.route)
                del table[key]

    def rearm(self) -> None:
        """Sets the timer for the earliest end."""
        soonest = min(
            self.solicit_at or NEVER,
            min((router.until for router in self.routers.values()), default=NEVER),
            min((learned.until or NEVER for learned in self.on_link.values()), default=NEVER),
            min((learned.until or NEVER for learned in self.routes.values()), default=NEVER),
            self.slaac.next_end(),
        )
        if self.stopped or soonest >= NEVER:
            self.network.wheel.disarm(self)
        else:
            self.network.wheel.arm(self, max(soonest, self.network.now + 1))


def end_of(lifetime: int, now: int) -> int:
    """When a lifetime in seconds is over, ns; 0 if never. One of 0 seconds is over now."""
    return 0 if lifetime > LONGEST else now + lifetime * SECOND
