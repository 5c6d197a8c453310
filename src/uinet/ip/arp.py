"""ARP (RFC 826, RFC 1122 section 2.3.2, RFC 5227).

Only what was asked for is learned: replies to our questions, and news of neighbours that are in the table
already. A promiscuous interface takes no part, unless it is told to answer for everybody
(`Interface.answer_any`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.ip.address import LIMITED_BROADCAST, in_prefix
from uinet.ip.neighbors import INCOMPLETE, PROBE
from uinet.ip.notice import ADDRESS_CONFLICT
from uinet.wire import arp as wire
from uinet.wire.addresses import BROADCAST_MAC, is_multicast
from uinet.wire.frame import Frame

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.ip.neighbors import NextHop
    from uinet.ip.network import Network
    from uinet.wire.packet import Packet

ETHERTYPE = b"\x08\x06"
UNSPECIFIED = bytes(4)


class Arp:
    """ARP of one stack."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.defended: dict[tuple[int, bytes], int] = {}  # interface's index, address -> when it was last defended

    def input(self, packet: Packet) -> bool:
        """Takes an ARP packet, which begins at `packet.l3`; whether it was of any use here."""
        data = packet.data
        if not wire.check(data, packet.l3) or not wire.is_ethernet_ipv4(data, packet.l3):
            self.network.stats.count("arp_malformed")
            return False
        message = wire.parse(data, packet.l3)
        if message.sha[0] & 1 or is_multicast(message.spa) or message.spa == LIMITED_BROADCAST:
            self.network.stats.count("arp_malformed")
            return False
        if message.op == wire.REQUEST:
            self.network.stats.count("arp_requests_in")
        elif message.op == wire.REPLY:
            self.network.stats.count("arp_replies_in")
        else:
            self.network.stats.count("arp_malformed")
            return False
        if packet.interface.promiscuous:
            useful = self._answer_any(packet, message)
        else:
            useful = self._take(packet.interface, message)
        if not useful:
            self.network.stats.count("arp_ignored")
        return useful

    def _take(self, interface: Interface, message: wire.ArpPacket) -> bool:
        if message.sha == interface.mac:
            return False  # our own, come back
        if interface.tentative and self._tested(interface, message):
            return True
        if interface.owns(message.spa):
            self._conflict(interface, message.spa)
            return True
        useful = self._learn(interface, message)
        if message.op == wire.REQUEST and interface.owns(message.tpa):
            if not interface.quiet:
                self._reply(interface, message)
            return True
        return useful

    def _tested(self, interface: Interface, message: wire.ArpPacket) -> bool:
        """Whether another host uses, or tests, what we test (RFC 5227, section 2.1.1)."""
        address = message.spa
        if message.op == wire.REQUEST and not any(address):
            address = message.tpa
        return self.network.detector.conflict(interface, address)

    def _learn(self, interface: Interface, message: wire.ArpPacket) -> bool:
        hop = self.network.neighbors.get(interface, message.spa)
        if hop is None and message.op == wire.REQUEST and interface.owns(message.tpa):
            # who asks for us is about to talk to us: RFC 826 learns from that, if it is of this link
            if interface.on_link(message.spa):
                hop = self.network.neighbors.lookup(interface, message.spa)
        if hop is None or not any(message.spa):
            return False
        if message.op == wire.REQUEST:
            return self.network.neighbors.heard(hop, message.sha)
        asked = hop.state in (INCOMPLETE, PROBE) and interface.owns(message.tpa)
        return self.network.neighbors.answered(hop, message.sha, solicited=asked, override=True)

    def _conflict(self, interface: Interface, address: bytes) -> None:
        """Another host claims `address`: RFC 5227, section 2.4. It is defended, once in a while (c); of an address that
        somebody gave to us that one decides what comes of a second claim (b).
        """
        self.network.stats.count("arp_conflict")
        self.network.tell(interface, ADDRESS_CONFLICT, address)
        if interface.quiet:
            return
        now = self.network.now
        for key, when in list(self.defended.items()):
            if now - when >= self.network.settings.defend_interval:
                del self.defended[key]
        entry = interface.owned[address]
        key = (interface.index, address)
        if key not in self.defended:
            self.defended[key] = now
            self.announce(interface, address)
        elif entry.owner is not None and not entry.owner.conflict(entry):
            del self.defended[key]  # given up

    def _reply(self, interface: Interface, message: wire.ArpPacket) -> None:
        answer = wire.reply(interface.mac, message.tpa, message.sha, message.spa)
        self.network.stats.count("arp_replies_out")
        self._send(interface, message.sha, answer)

    def _answer_any(self, packet: Packet, message: wire.ArpPacket) -> bool:
        """Answers a question for anybody but the asker, who may also be trying out an address (RFC 5227,
        2.1.1).
        """
        interface = packet.interface
        target = message.tpa
        if not interface.answer_any or message.op != wire.REQUEST:
            return False
        if not any(message.spa) or target == message.spa or not any(target):
            return False
        if is_multicast(target) or target == LIMITED_BROADCAST or not answers_for(interface, target):
            return False
        answer = wire.emit(wire.reply(interface.mac, target, message.sha, message.spa))
        tags_and_type = packet.data[12 : packet.l3]
        self.network.stats.count("arp_replies_out")
        interface.transmit(Frame(packet.data[6:12] + interface.mac + tags_and_type + answer))
        return True

    def solicit(self, hop: NextHop) -> None:
        """Asks who has the address of `hop`: everybody, or in PROBE the neighbour itself."""
        interface = hop.interface
        source = self._source(interface, hop.address)
        mac = hop.mac if hop.state == PROBE else None
        self.network.stats.count("arp_requests_out")
        self._send(interface, mac or BROADCAST_MAC, wire.request(interface.mac, source, hop.address))

    def _source(self, interface: Interface, target: bytes) -> bytes:
        """The address to ask from: one on the target's link, or any; 0.0.0.0 as in a probe without one."""
        found = UNSPECIFIED
        for entry in interface.addresses:
            if len(entry.address) != 4:
                continue
            if in_prefix(target, entry.address, entry.prefix_length):
                return entry.address
            if found == UNSPECIFIED:
                found = entry.address
        return found

    def probe(self, interface: Interface, address: bytes) -> None:
        """Asks whether anybody has `address`, without saying that it may be ours (RFC 5227, section 2.1.1)."""
        if interface.quiet:
            return
        self.network.stats.count("arp_requests_out")
        self._send(interface, BROADCAST_MAC, wire.request(interface.mac, UNSPECIFIED, address))

    def announce(self, interface: Interface, address: bytes) -> None:
        """Tells everybody that `address` is at this interface (RFC 5227, section 2.3)."""
        if interface.quiet:
            return
        self.network.stats.count("arp_requests_out")
        self._send(interface, BROADCAST_MAC, wire.request(interface.mac, address, address))

    def _send(self, interface: Interface, destination: bytes, message: wire.ArpPacket) -> None:
        interface.transmit(Frame(bytes(destination) + interface.mac + ETHERTYPE + wire.emit(message)))


def answers_for(interface: Interface, target: bytes) -> bool:
    """Whether `target` is in the prefixes that a promiscuous interface answers for."""
    if not interface.answer_prefixes:
        return True
    return any(in_prefix(target, prefix, length) for prefix, length in interface.answer_prefixes)
