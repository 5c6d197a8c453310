"""Where a socket belongs: the pattern that a listener matches, the key and the path of a connection that opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.errors import AddressError, AddressNotAvailable, InvalidArgument, NetworkUnreachable
from uinet.ip.interface import Interface, hop_limit
from uinet.sockopt import Config
from uinet.tcp.constants import IP_ANY, IP_EXACT, IP_FAMILY, PINNED
from uinet.tcp.tcb import Tcb
from uinet.wire.addresses import L2Info, Mac, link_header, split, unpack_address, vids
from uinet.wire.constants import ETHERTYPE_IPV4, ETHERTYPE_IPV6, V4_MAPPED

if TYPE_CHECKING:
    from uinet.stack import Stack

Bound = tuple[bytes | None, int]  # packed address (all zeros: any of its family; None: any), port (0: any)


def check_domain(stack: Stack, config: Config) -> None:
    """Whether the options say a domain that there is and that goes with the others; InvalidArgument."""
    if config.promiscuous and config.cdom == 0:
        raise InvalidArgument("a promiscuous socket needs a connection domain above 0 (SO_SETFIB)")
    if config.cdom and stack.network.interface_of_domain(config.cdom) is None:
        raise InvalidArgument(f"connection domain {config.cdom} has no interface")
    if config.cdom == 0 and config.vlans != ():
        raise InvalidArgument("VLAN stacks belong to promiscuous sockets in a connection domain above 0")


def pattern_of(packed: bytes | None) -> tuple[int, tuple[int, int]]:
    """The kind of address pattern that a bound address makes, and its two halves."""
    if packed is None:
        return IP_ANY, (0, 0)
    if not any(packed):
        return IP_FAMILY, (0, V4_MAPPED if len(packed) == 4 else 0)
    return IP_EXACT, split(packed)


def free_port(stack: Stack, cdom: int, halves: tuple[int, int]) -> int:
    """An ephemeral port that no listener has, at this address or at any; AddressNotAvailable."""
    settings = stack.tcp.settings
    listeners = stack.tcp.listeners
    count = settings.port_high - settings.port_low + 1
    start = stack.network.random.below(count)
    for step in range(count):
        port = settings.port_low + (start + step) % count
        if (
            listeners.find(cdom, b"", *halves, port) is None and listeners.find(cdom, b"", 0, 0, port) is None
            and listeners.find(cdom, b"", 0, V4_MAPPED, port) is None
        ):
            return port
    raise AddressNotAvailable("no port is free")


def tx_interface(stack: Stack, config: Config, value: object) -> Interface | None:
    """The interface that IP_TXIF asks for: an :class:`Interface`, its name, or None. InvalidArgument."""
    if value is None:
        return None
    found = stack.network.interface_named(value) if isinstance(value, str) else value
    if not isinstance(found, Interface) or found not in stack.interfaces:
        raise InvalidArgument(f"IP_TXIF is {value!r}: want an interface of this stack, its name, or None")
    own = stack.network.interface_of_domain(config.cdom) if config.cdom else None
    if found.promiscuous != bool(config.cdom) or (own is not None and own.layer != found.layer):
        kind = "a promiscuous interface of its own layer" if config.cdom else "an interface of domain 0"
        raise InvalidArgument(f"this socket can't send by {found.name}: want {kind}")
    return found


def pin(tcb: Tcb, config: Config) -> None:
    """Has a connection send by the interface that its user has chosen, or by whichever routes say again."""
    chosen = config.tx_interface
    if chosen is None:
        tcb.marks &= ~PINNED
        if tcb.cdom:
            tcb.interface = tcb.context.network.interface_of_domain(tcb.cdom)
    else:
        tcb.marks |= PINNED
        tcb.interface = chosen
    tcb.next_hop = None


def place_routed(
    stack: Stack, tcb: Tcb, bound: Bound | None, remote: bytes, port: int, chosen: Interface | None = None
) -> None:
    """Gives `tcb` its key and its first hop to `remote` in domain 0, by the interface that is `chosen` if there is one.
    AddressError, AddressNotAvailable, NetworkUnreachable.
    """
    local, local_port = bound if bound is not None else (None, 0)
    if local is not None and not any(local):
        local = None
    network = stack.network
    route = network.route(remote, local, chosen)
    if chosen is not None:
        tcb.marks |= PINNED
    if network.is_broadcast(remote, route.interface):
        raise AddressError(f"{unpack_address(remote)} is a broadcast address")
    source = split(route.source)
    target = split(remote)
    tcb.interface = route.interface
    tcb.next_hop = route.next_hop
    tcb.generation = network.generation
    tcb.ttl = hop_limit(tcb.ttl, route.interface, len(remote) == 16)
    stack.tcp.table.set_key(tcb, 0, b"", source[0], source[1], local_port, target[0], target[1], port)


def place_promiscuous(
    stack: Stack, tcb: Tcb, config: Config, l2: L2Info | None, bound: Bound | None, remote: bytes, port: int
) -> None:
    """Gives `tcb` its key and its verbatim link header in a domain above 0. AddressError, InvalidArgument,
    NetworkUnreachable.
    """
    interface = stack.network.interface_of_domain(config.cdom)
    if interface is None:
        raise NetworkUnreachable(f"connection domain {config.cdom} has no interface")
    local, local_port = bound if bound is not None else (None, 0)
    if not local or not any(local) or len(local) != len(remote):
        raise AddressError("a promiscuous connection needs a local address of the peer's family: source= or bind")
    tags = b""
    header = b""
    if interface.layer == 2:
        if l2 is None:
            raise InvalidArgument("a promiscuous connection needs MACs and VLANs: l2= or SO_L2INFO")
        if Mac(l2.destination).is_group:
            raise InvalidArgument(f"no TCP connection can go to {l2.destination}: that is a group's MAC")
        header = stack.tcp.interned.one(link_header(l2, ETHERTYPE_IPV4 if len(remote) == 4 else ETHERTYPE_IPV6))
        tags = stack.tcp.interned.one(vids(l2.vlans))
    source = split(local)
    target = split(remote)
    tcb.interface = config.tx_interface or interface
    tcb.link_header = header
    stack.tcp.table.set_key(
        tcb, config.cdom, tags, source[0], source[1], local_port, target[0], target[1], port
    )
