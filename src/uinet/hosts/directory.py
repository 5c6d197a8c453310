"""Who a frame is for: hosts by VLAN stack and MAC, or address where somebody asks for one (ARP, neighbour
solicitations).

Other frames to groups are for nobody: hosts here have been told all that others learn of the link.
"""

from __future__ import annotations

from collections.abc import Iterable

from uinet.errors import InvalidArgument
from uinet.hosts.plan import HostPlan
from uinet.wire.addresses import unpack_address
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
from uinet.wire.kernels import load_u8, load_u16
from uinet.wire.packet import Packet

TCP_HEADER, UDP_HEADER = 20, 8
ARP_LENGTH = 28
ARP_TARGET = 24
NEIGHBOR_SOLICITATION = 135
ECHO = {PROTO_ICMP: 8, PROTO_ICMPV6: 128}

COUNTERS: dict[str, str] = {
    "frames": "frames for our hosts",
    "unknown": "frames dropped: for nobody here",
    "unreadable": "frames dropped: malformed",
    "filtered": "frames dropped: the host is told to say nothing to them",
}


class Directory:
    """The hosts of a plan. InvalidArgument if two have a MAC or an address in common, in one VLAN stack."""

    def __init__(self, hosts: Iterable[HostPlan]) -> None:
        self.by_mac: dict[bytes, HostPlan] = {}
        self.by_address: dict[bytes, HostPlan] = {}
        self.stacks: set[bytes] = set()
        self.packet = Packet()
        self.counts: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        for host in hosts:
            tags = host.vids
            self.stacks.add(tags)
            self._add(self.by_mac, tags + host.mac, host, "MAC " + host.mac.hex(":"))
            for address in host.reachable():
                self._add(self.by_address, tags + address, host, str(unpack_address(address)))

    @staticmethod
    def _add(table: dict[bytes, HostPlan], key: bytes, host: HostPlan, what: str) -> None:
        other = table.setdefault(key, host)
        if other is not host:
            raise InvalidArgument(
                f"{other.name} and {host.name} both have {what} in one VLAN: begin one group elsewhere, or use per-vlan"
            )

    def __len__(self) -> int:
        return len(self.by_mac)

    def find(self, frame: Frame) -> HostPlan | None:
        """The host that is to see `frame`; None for nobody. Counts it."""
        packet = self.packet
        if packet.parse_link(frame, 2):
            self.counts["unreadable"] += 1
            return None
        if packet.group:
            host = self._asked(packet)
        else:
            host = self.by_mac.get(packet.vids + packet.data[:6])
        if host is None:
            self.counts["unknown"] += 1
            return None
        if packet.ethertype in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
            if packet.parse_ipv4() if packet.ethertype == ETHERTYPE_IPV4 else packet.parse_ipv6():
                self.counts["unreadable"] += 1
                return None
            if not self._admitted(host, packet):
                self.counts["filtered"] += 1
                return None
        self.counts["frames"] += 1
        return host

    def _asked(self, packet: Packet) -> HostPlan | None:
        """Whom an ARP request or a neighbour solicitation asks for."""
        data, l3 = packet.data, packet.l3
        if packet.ethertype == ETHERTYPE_ARP:
            if len(data) < l3 + ARP_LENGTH:
                return None
            return self.by_address.get(packet.vids + data[l3 + ARP_TARGET : l3 + ARP_LENGTH])
        if packet.ethertype != ETHERTYPE_IPV6 or packet.parse_ipv6() or packet.proto != PROTO_ICMPV6:
            return None
        if packet.end < packet.l4 + 24 or load_u8(data, packet.l4) != NEIGHBOR_SOLICITATION:
            return None
        return self.by_address.get(packet.vids + data[packet.l4 + 8 : packet.l4 + 24])

    def _admitted(self, host: HostPlan, packet: Packet) -> bool:
        """Whether the host does not ignore such an IP packet."""
        group = host.group
        data, l4, proto = packet.data, packet.l4, packet.proto
        room = packet.end - l4
        if proto in ECHO:
            return group.ping or room < 1 or load_u8(data, l4) != ECHO[proto]
        if proto == PROTO_TCP and room >= TCP_HEADER:
            service = group.tcp.get(load_u16(data, l4 + 2))
            return service.kind != "filtered" if service is not None else not group.quiet
        if proto == PROTO_UDP and room >= UDP_HEADER:
            service = group.udp.get(load_u16(data, l4 + 2))
            return service.kind != "filtered" if service is not None else not group.quiet
        return True
