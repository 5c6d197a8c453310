"""Neighbour discovery (RFC 4861): solicitations and advertisements.

As with ARP only what was asked for is learned, and who on the link asks for us. Router advertisements go to
`ip/autoconf.py` where that runs and are ignored elsewhere; redirects to `ip/redirect.py`, duplicate address
detection to `ip/dad.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.ip.address import ALL_NODES_LINK, in_prefix
from uinet.ip.arp import answers_for
from uinet.ip.fragment import ipv6_header
from uinet.ip.neighbors import INCOMPLETE, PROBE
from uinet.ip.notice import ADDRESS_CONFLICT
from uinet.wire import nd as wire
from uinet.wire.addresses import Mac, multicast_mac
from uinet.wire.frame import Frame
from uinet.wire.icmpv6 import (
    NEIGHBOR_ADVERTISEMENT,
    NEIGHBOR_SOLICITATION,
    ROUTER_ADVERTISEMENT,
)
from uinet.wire.kernels import load_u8
from uinet.wire.nd import is_link_local, solicited_node

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.ip.neighbors import NextHop
    from uinet.ip.network import Network
    from uinet.wire.packet import Packet

ETHERTYPE = b"\x86\xdd"
ICMPV6 = 58
UNSPECIFIED = bytes(16)
COUNTERS = {
    NEIGHBOR_SOLICITATION: "nd_ns_in", NEIGHBOR_ADVERTISEMENT: "nd_na_in", ROUTER_ADVERTISEMENT: "nd_ra_in",
}


class Nd:
    """Neighbour discovery of one stack."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def input(self, packet: Packet) -> bool:
        """Takes an ND message at `packet.l4`, its checksum verified; whether it was of any use here."""
        counter = COUNTERS.get(load_u8(packet.data, packet.l4))
        if counter is not None:
            self.network.stats.count(counter)
        if packet.interface.layer != 2:
            self.network.stats.count("nd_ignored")
            return False
        if packet.fragment or not wire.check(packet.data, packet.l4, packet.end):  # RFC 6980: never in fragments
            self.network.stats.count("nd_malformed")
            return False
        message = wire.parse(packet.data, packet.l4, packet.end)
        if not wire.valid(message, packet.src, packet.dst, packet.ttl):
            self.network.stats.count("nd_malformed")
            return False
        useful = False
        if isinstance(message, wire.NeighborSolicitation):
            useful = self._solicited(packet, message)
        elif packet.interface.promiscuous:
            pass
        elif isinstance(message, wire.NeighborAdvertisement):
            useful = self._advertised(packet.interface, message)
        elif isinstance(message, wire.RouterAdvertisement):
            autoconf = packet.interface.autoconf
            useful = autoconf is not None and autoconf.advertised(packet, message)
        elif isinstance(message, wire.Redirect):
            useful = self.network.redirects.input_v6(packet, message)
        if not useful:
            self.network.stats.count("nd_ignored")
        return useful

    def _solicited(self, packet: Packet, message: wire.NeighborSolicitation) -> bool:
        """RFC 4861, section 7.2.3 and 7.2.4."""
        interface = packet.interface
        source = packet.src
        mac = wire.link_layer(message.options, wire.SOURCE_LINK_LAYER)
        if mac is not None and mac.is_group:
            self.network.stats.count("nd_malformed")
            return False
        if interface.promiscuous:
            return self._answer_any(packet, source, message.target)
        if message.target in interface.tentative:
            if source != UNSPECIFIED:
                return False  # RFC 4862, section 5.4.3: somebody looks for the address, not for whether it is free
            return self.network.detector.solicited(interface, message.target, wire.nonce(message.options))
        if mac is not None:
            hop = self.network.neighbors.get(interface, source)
            if hop is None and interface.owns(message.target) and interface.on_link(source):
                hop = self.network.neighbors.lookup(interface, source)  # RFC 4861, section 7.2.3
            if hop is not None:
                self.network.neighbors.heard(hop, mac)
        if not interface.owns(message.target):
            return False
        if interface.quiet:
            return True
        if source == UNSPECIFIED:
            # somebody detects whether the address is free: RFC 4861 section 7.2.4 tells it to all
            answer = self._advertisement(interface, message.target, ALL_NODES_LINK, wire.FLAG_OVERRIDE)
            self._send(interface, multicast_mac(ALL_NODES_LINK), answer)
        else:
            flags = wire.FLAG_SOLICITED | wire.FLAG_OVERRIDE
            answer = self._advertisement(interface, message.target, source, flags)
            self._send(interface, mac if mac is not None else packet.data[6:12], answer)
        return True

    def _answer_any(self, packet: Packet, source: bytes, target: bytes) -> bool:
        """Answers a question for anybody but the asker, who may also be trying out an address."""
        interface = packet.interface
        if not interface.answer_any or source in (UNSPECIFIED, target) or not answers_for(interface, target):
            return False
        answer = self._advertisement(interface, target, source, wire.FLAG_SOLICITED)
        interface.transmit(Frame(packet.data[6:12] + interface.mac + packet.data[12 : packet.l3] + answer))
        return True

    def _advertised(self, interface: Interface, message: wire.NeighborAdvertisement) -> bool:
        """RFC 4861, section 7.2.5."""
        mac = wire.link_layer(message.options, wire.TARGET_LINK_LAYER)
        if self.network.detector.conflict(interface, message.target):
            return True
        if interface.owns(message.target):
            if mac != interface.mac:
                self.network.stats.count("nd_conflict")
                self.network.tell(interface, ADDRESS_CONFLICT, message.target, f"also at {mac}")
            return False
        if mac is not None and mac.is_group:
            self.network.stats.count("nd_malformed")
            return False
        hop = self.network.neighbors.get(interface, message.target)
        if hop is None:
            return False
        if not message.router and interface.autoconf is not None:
            interface.autoconf.no_router(message.target)
        # an advertisement that says it answers a question of ours, when there was none, proves nothing
        asked = message.solicited and (hop.state in (INCOMPLETE, PROBE))
        return self.network.neighbors.answered(hop, mac, solicited=asked, override=message.override)

    def _advertisement(self, interface: Interface, target: bytes, destination: bytes, flags: int) -> bytes:
        """An advertisement from `target` itself, as an IP packet."""
        option = wire.link_layer_option(wire.TARGET_LINK_LAYER, interface.mac)
        self.network.stats.count("nd_na_out")
        return ip_packet(wire.NeighborAdvertisement(target, flags, (option,)), target, destination)

    def solicit(self, hop: NextHop) -> None:
        """Asks who has the address of `hop`: its solicited-node group, or in PROBE the neighbour itself."""
        interface = hop.interface
        source = self._asking(hop)
        options: tuple[wire.Option, ...] = ()
        if source != UNSPECIFIED:
            options = (wire.link_layer_option(wire.SOURCE_LINK_LAYER, interface.mac),)
        mac = hop.mac if hop.state == PROBE else None
        destination = hop.address if mac is not None else solicited_node(hop.address)
        packet = ip_packet(wire.NeighborSolicitation(hop.address, options), source, destination)
        self.network.stats.count("nd_ns_out")
        self._send(interface, mac if mac is not None else multicast_mac(destination), packet)

    def _asking(self, hop: NextHop) -> bytes:
        """RFC 4861, section 7.2.2: the question comes from where the packet does that it is asked for."""
        if hop.queue:
            source = hop.queue[-1][0][8:24]
            if hop.interface.owns(source):
                return source
        return self._source(hop.interface, hop.address)

    def _source(self, interface: Interface, target: bytes) -> bytes:
        """The address to ask from: one on the target's link, else the link-local one, else any."""
        found = UNSPECIFIED
        for entry in interface.addresses:
            if len(entry.address) != 16:
                continue
            if in_prefix(target, entry.address, entry.prefix_length):
                return entry.address
            if found == UNSPECIFIED or is_link_local(entry.address):
                found = entry.address
        return found

    def announce(self, interface: Interface, address: bytes) -> None:
        """Tells all nodes that `address` is at this interface (RFC 4861, section 7.2.6)."""
        if interface.quiet:
            return
        packet = self._advertisement(interface, address, ALL_NODES_LINK, wire.FLAG_OVERRIDE)
        self._send(interface, multicast_mac(ALL_NODES_LINK), packet)

    def probe(self, interface: Interface, target: bytes, nonce: bytes) -> None:
        """Asks whether anybody has `target` (RFC 4862, section 5.4.2; the nonce is RFC 7527's)."""
        self.network.stats.count("nd_ns_out")
        message = wire.NeighborSolicitation(target, (wire.nonce_option(nonce),))
        self.send(interface, message, UNSPECIFIED, solicited_node(target))

    def send(self, interface: Interface, message: wire.Message, source: bytes, group: bytes) -> None:
        """Sends `message` to a group."""
        if interface.quiet:
            return
        self._send(interface, multicast_mac(group), ip_packet(message, source, group))

    def _send(self, interface: Interface, mac: bytes | Mac, packet: bytes) -> None:
        interface.transmit(Frame(bytes(mac) + interface.mac + ETHERTYPE + packet))


def ip_packet(message: wire.Message, source: bytes, destination: bytes) -> bytes:
    """`message` in an IPv6 packet with the hop limit that proves it was not forwarded."""
    body = wire.emit(message, source, destination)
    return ipv6_header(source, destination, ICMPV6, len(body), wire.HOP_LIMIT, 0) + body
