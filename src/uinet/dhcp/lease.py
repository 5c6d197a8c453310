"""What a DHCP server has given: an address for a while, and what goes with it."""

from __future__ import annotations

from dataclasses import dataclass

from uinet.ip.address import is_one_host
from uinet.units import SECOND
from uinet.wire import dhcp
from uinet.wire.addresses import IPAddress, unpack_address

INFINITE = 0xFFFFFFFF  # seconds
LONGEST = 10**9  # seconds; what is longer is for ever
MAX_ROUTERS = 4
MAX_ROUTES = 32

Route = tuple[bytes, int, bytes]  # prefix, its length, gateway (0.0.0.0: on the link)


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as the server's ACK says it. Addresses are packed; `seconds`, `renew`, `rebind` count from the request.

    `seconds` 0 is for ever. `routes`: what there is to be routed, the default route among them.
    """

    address: bytes
    prefix_length: int
    server: bytes
    seconds: int
    renew: int
    rebind: int
    routes: tuple[Route, ...] = ()
    name_servers: tuple[bytes, ...] = ()
    domains: tuple[str, ...] = ()
    mtu: int = 0

    @property
    def ip(self) -> IPAddress:
        """The address."""
        return unpack_address(self.address)

    @property
    def gateways(self) -> list[IPAddress]:
        """The gateways of default routes, the first preferred."""
        return [unpack_address(gateway) for _, length, gateway in self.routes if length == 0 and any(gateway)]

    def ends(self, since: int) -> int:
        """When it is over, ns, if it was asked for at `since`; 0 if never."""
        return since + self.seconds * SECOND if self.seconds else 0


def lease_of(message: dhcp.DhcpMessage) -> Lease | None:
    """The lease that an OFFER or ACK gives; None if it can't be used."""
    address, server = message.yiaddr, message.address(dhcp.SERVER_ID)
    seconds = message.number(dhcp.LEASE_TIME, 4)
    if not is_one_host(address) or not server or not is_one_host(server) or not seconds:
        return None
    length = _prefix_length(message, address)
    if length is None:
        return None
    if seconds > LONGEST:
        seconds = 0
    renew, rebind = _times(message, seconds)
    domain = dhcp.host_name(message.options.get(dhcp.DOMAIN_NAME, b""))
    domains = dhcp.parse_search(message.options.get(dhcp.DOMAIN_SEARCH, b"")) or ([domain] if domain else [])
    return Lease(
        address, length, server, seconds, renew, rebind,
        routes=_routes(message),
        name_servers=tuple(server for server in message.addresses(dhcp.DNS_SERVERS) if is_one_host(server)),
        domains=tuple(domains),
        mtu=message.number(dhcp.INTERFACE_MTU, 2) or 0,
    )


def _prefix_length(message: dhcp.DhcpMessage, address: bytes) -> int | None:
    """From the mask, or without one from the address's class."""
    if dhcp.SUBNET_MASK not in message.options:
        return 8 if address[0] < 128 else 16 if address[0] < 192 else 24
    length = dhcp.prefix_length(message.options[dhcp.SUBNET_MASK])
    return length if length else None


def _times(message: dhcp.DhcpMessage, seconds: int) -> tuple[int, int]:
    """T1 and T2 (RFC 2131, section 4.4.5): the server's if they make sense."""
    if seconds == 0:
        return 0, 0
    renew = message.number(dhcp.RENEWAL_TIME, 4) or seconds // 2
    rebind = message.number(dhcp.REBINDING_TIME, 4) or seconds * 7 // 8
    if not renew < rebind < seconds:
        renew, rebind = seconds // 2, seconds * 7 // 8
    return renew, rebind


def _routes(message: dhcp.DhcpMessage) -> tuple[Route, ...]:
    """Classless routes, which replace the routers if they are there (RFC 3442)."""
    value = message.options.get(dhcp.CLASSLESS_ROUTES)
    routes = dhcp.parse_routes(value) if value else None
    if routes is None:
        routers = message.addresses(dhcp.ROUTER)[:MAX_ROUTERS]
        routes = [(bytes(4), 0, router) for router in routers]
    return tuple(route for route in routes[:MAX_ROUTES] if is_one_host(route[2]) or (route[1] and not any(route[2])))
