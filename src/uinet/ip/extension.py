"""The extension headers of a received IPv6 packet: what a host does about each (RFC 8200, section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.wire import ipv6_extensions as wire

if TYPE_CHECKING:
    from uinet.ip.network import Network
    from uinet.wire.packet import Packet

TRANSPORT = 0  # the packet is whole: its `l4` and `proto` say where and what
FRAGMENT = 1  # it is a fragment: the walker's own fields describe it
DROPPED = 2  # counted, and answered where RFC 8200 wants an answer

PARAMETER_PROBLEM_CODES = {
    wire.BAD_FIELD: 0,
    wire.BAD_NEXT_HEADER: 1,
    wire.UNKNOWN_OPTION: 2,
    wire.UNKNOWN_OPTION_UNICAST: 2,
    wire.INCOMPLETE_CHAIN: 3,
}


class Extensions:
    """Walks header chains.

    After FRAGMENT: `ident`, `offset` (bytes), `more`, `payload_offset` (in the frame), `proto` (next header).
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.ident = 0
        self.offset = 0
        self.more = False
        self.payload_offset = 0
        self.proto = 0

    def walk(self, packet: Packet) -> int:
        """Walks the chain of `packet`; TRANSPORT, FRAGMENT or DROPPED. An atomic fragment is no fragment (RFC
        6946); its `packet.fragment` is not 0 then.
        """
        data = packet.data
        chain = wire.walk(data, packet.l3, packet.end)
        if chain.problem != wire.OK:
            return self._problem(packet, chain)
        if chain.fragment >= 0 and not wire.is_atomic(data, chain.fragment):
            self.ident = wire.identification(data, chain.fragment)
            self.offset = wire.fragment_offset(data, chain.fragment)
            self.more = wire.more_fragments(data, chain.fragment)
            self.payload_offset = chain.fragment + wire.FRAGMENT_LENGTH
            self.proto = data[chain.fragment]
            return FRAGMENT
        if chain.fragment >= 0:
            packet.fragment = chain.fragment  # known to have been one: neighbour discovery wants none (RFC 6980)
        packet.proto = chain.next_header
        packet.l4 = chain.offset
        return TRANSPORT

    def _problem(self, packet: Packet, chain: wire.Chain) -> int:
        self.network.stats.count("ip_bad_options")
        code = PARAMETER_PROBLEM_CODES.get(chain.problem)
        if code is not None and not packet.interface.promiscuous:
            pointer = 0 if chain.problem == wire.INCOMPLETE_CHAIN else chain.pointer  # RFC 7112, section 5
            to_group = chain.problem == wire.UNKNOWN_OPTION
            self.network.icmp.parameter_problem(packet, code, pointer, to_group=to_group)
        return DROPPED
