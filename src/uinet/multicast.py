"""Multicast options of datagram sockets: groups to join, and how to send to groups (RFC 1112 section 6, RFC 3493
section 5.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uinet import sockopt
from uinet.errors import AddressError, AddressNotAvailable, InvalidArgument, NetworkUnreachable, NotSupported
from uinet.ip.interface import Interface
from uinet.sockopt import IPPROTO_IP, IPPROTO_IPV6
from uinet.wire.addresses import is_multicast, pack_address

if TYPE_CHECKING:
    from uinet.socket import Socket

JOIN = {(IPPROTO_IP, sockopt.IP_ADD_MEMBERSHIP): 4, (IPPROTO_IPV6, sockopt.IPV6_JOIN_GROUP): 16}
LEAVE = {(IPPROTO_IP, sockopt.IP_DROP_MEMBERSHIP): 4, (IPPROTO_IPV6, sockopt.IPV6_LEAVE_GROUP): 16}
SEND_BY = {(IPPROTO_IP, sockopt.IP_MULTICAST_IF), (IPPROTO_IPV6, sockopt.IPV6_MULTICAST_IF)}
HOPS = {(IPPROTO_IP, sockopt.IP_MULTICAST_TTL), (IPPROTO_IPV6, sockopt.IPV6_MULTICAST_HOPS)}
LOOP = {(IPPROTO_IP, sockopt.IP_MULTICAST_LOOP), (IPPROTO_IPV6, sockopt.IPV6_MULTICAST_LOOP)}
OPTIONS = {*JOIN, *LEAVE, *SEND_BY, *HOPS, *LOOP}

MEMBERSHIPS = 64  # of one socket


def set_option(sock: Socket, level: int, name: int, value: Any) -> None:
    """Sets one of `OPTIONS`. InvalidArgument, AddressError, AddressNotAvailable, NetworkUnreachable, NotSupported.

    To join and leave: a group, or (group, interface). An interface is its name, the `Interface`, or an address of it.
    """
    endpoint = sock.endpoint
    if endpoint is None or endpoint.cdom:
        raise NotSupported("multicast options belong to datagram sockets in connection domain 0")
    option = (level, name)
    if option in JOIN:
        group, interface = membership(sock, value, JOIN[option])
        if len(endpoint.groups) >= MEMBERSHIPS:
            raise InvalidArgument(f"a socket is in at most {MEMBERSHIPS} groups")
        endpoint.join(group, interface)
    elif option in LEAVE:
        endpoint.leave(*membership(sock, value, LEAVE[option]))
    elif option in SEND_BY:
        endpoint.multicast_interface = None if value is None else interface_of(sock, value)
    elif option in HOPS:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
            raise InvalidArgument(f"a multicast TTL is {value!r}: want an integer from 0 to 255")
        endpoint.multicast_ttl = value
    else:
        endpoint.multicast_loop = bool(value)
    sock.stack.kick()


def get_option(sock: Socket, level: int, name: int) -> Any:
    """The value of one of `OPTIONS`; of a membership option the groups, each with its interface."""
    endpoint = sock.endpoint
    if endpoint is None:
        raise NotSupported("multicast options belong to datagram sockets")
    option = (level, name)
    if option in SEND_BY:
        return endpoint.multicast_interface
    if option in HOPS:
        return endpoint.multicast_ttl
    if option in LOOP:
        return int(endpoint.multicast_loop)
    size = JOIN.get(option) or LEAVE[option]
    return [(group, interface) for group, interface in endpoint.groups if len(group) == size]


def membership(sock: Socket, value: Any, size: int) -> tuple[bytes, Interface]:
    """The group and the interface that `value` says; without one, where a route leads, or the first that there is."""
    group, where = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, None)
    packed = pack_address(group)
    if len(packed) != size or not is_multicast(packed):
        raise AddressError(f"{group} is no {'IPv4' if size == 4 else 'IPv6'} multicast address")
    if where is not None:
        return packed, interface_of(sock, where)
    entry = sock.stack.routes.lookup(packed)
    if entry is not None:
        return packed, entry.interface
    for interface in sock.stack.interfaces:
        if not interface.promiscuous:
            return packed, interface
    raise NetworkUnreachable("there is no interface to join a group on")


def interface_of(sock: Socket, value: Any) -> Interface:
    """The interface with that name or address; AddressNotAvailable."""
    network = sock.stack.network
    found: Interface | None = None
    if isinstance(value, Interface):
        found = value if value in network.interfaces else None
    elif isinstance(value, str) and network.interface_named(value) is not None:
        found = network.interface_named(value)
    else:
        try:
            found = network.local.get(pack_address(value))
        except AddressError:
            raise AddressNotAvailable(f"{value!r} is no interface of this stack") from None
    if found is None or found.promiscuous or found.loopback:
        raise AddressNotAvailable(f"{value!r} is no interface of this stack that has groups")
    return found
