"""The way out: IP headers, fragments, and on to the neighbour; or verbatim for promiscuous sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.ip.fragment import ipv4_packets, ipv6_packets
from uinet.wire.addresses import is_multicast
from uinet.wire.frame import CHECKSUM_UNKNOWN, Frame

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.ip.network import Network, Route

DEFAULT_TTL = 64  # RFC 1700 and everybody; of IPv6 routers may say another (`Interface.hop_limit`)
MULTICAST_TTL = 1  # RFC 1112 section 6.1, RFC 3493 section 5.2


def packets(
    network: Network,
    source: bytes,
    destination: bytes,
    proto: int,
    payload: bytes,
    *,
    mtu: int,
    ttl: int | None = None,
    tos: int = 0,
    dont_fragment: bool = False,
) -> list[bytes]:
    """The IP packets that carry `payload`; MessageTooLong if there can't be any."""
    if ttl is None:
        ttl = MULTICAST_TTL if is_multicast(destination) else DEFAULT_TTL
    build = ipv4_packets if len(destination) == 4 else ipv6_packets
    made = build(
        network.identifications, source, destination, proto, payload,
        mtu=mtu, ttl=ttl, tos=tos, dont_fragment=dont_fragment,
    )
    if len(made) > 1:
        network.stats.count("ip_tx_fragments", len(made))
    return made


def send(
    network: Network,
    route: Route,
    proto: int,
    payload: bytes,
    *,
    ttl: int | None = None,
    tos: int = 0,
    dont_fragment: bool = False,
    mtu: int = 0,
) -> None:
    """Sends `payload`, a whole transport segment, along `route`; MessageTooLong. `mtu`: 0 for the route's."""
    if ttl is None and len(route.destination) == 16 and not is_multicast(route.destination):
        ttl = route.interface.hop_limit
    for packet in packets(
        network, route.source, route.destination, proto, payload,
        mtu=mtu or route.mtu, ttl=ttl, tos=tos, dont_fragment=dont_fragment,
    ):
        network.neighbors.send(route.next_hop, packet, CHECKSUM_UNKNOWN, 0)


def send_verbatim(
    network: Network,
    interface: Interface,
    link_header: bytes,
    source: bytes,
    destination: bytes,
    proto: int,
    payload: bytes,
    *,
    ttl: int | None = None,
    tos: int = 0,
    dont_fragment: bool = False,
) -> None:
    """Sends `payload` by `interface` under exactly `link_header` and those addresses: nothing is routed or
    resolved.
    """
    for packet in packets(
        network, source, destination, proto, payload,
        mtu=interface.mtu, ttl=ttl, tos=tos, dont_fragment=dont_fragment,
    ):
        interface.transmit(Frame(link_header + packet, CHECKSUM_UNKNOWN, 0))
