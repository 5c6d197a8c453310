"""ICMP and ICMPv6: echo, and errors in both directions (RFC 792, RFC 1122 section 3.2.2, RFC 4443).

Errors that come in prove nothing: they have to quote a packet that a flow here may have sent, and each
transport checks that before it believes one (RFC 5927). Errors that go out answer only what RFC 1122 section
3.2.2 and RFC 4443 section 2.4 (e) allow, and only at a limited rate. Source quench, timestamps and address
masks are ignored, redirects unless an interface accepts them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from uinet.errors import (
    ConnectionRefused,
    Error,
    HostUnreachable,
    MessageTooLong,
    NetworkUnreachable,
    ProtocolUnreachable,
)
from uinet.ip import output
from uinet.ip.address import LIMITED_BROADCAST, is_one_host
from uinet.ip.limit import RateLimit
from uinet.ip.pmtu import FLOOR_V4, FLOOR_V6, plateau_below
from uinet.wire import icmp as v4
from uinet.wire import icmpv6 as v6
from uinet.wire import ipv4, ipv6, ipv6_extensions
from uinet.wire.addresses import is_multicast
from uinet.wire.kernels import load_u8

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.ip.network import Network
    from uinet.wire.packet import Packet

ICMP = 1
ICMPV6 = 58

# kinds of error, the same for both families
NET_UNREACHABLE = 1
HOST_UNREACHABLE = 2
PROTOCOL_UNREACHABLE = 3
PORT_UNREACHABLE = 4
PROHIBITED = 5
TOO_BIG = 6
TIME_EXCEEDED = 7
PARAMETER_PROBLEM = 8

EXCEPTIONS: dict[int, type[Error]] = {
    NET_UNREACHABLE: NetworkUnreachable,
    HOST_UNREACHABLE: HostUnreachable,
    PROTOCOL_UNREACHABLE: ProtocolUnreachable,
    PORT_UNREACHABLE: ConnectionRefused,
    PROHIBITED: HostUnreachable,
    TOO_BIG: MessageTooLong,
    TIME_EXCEEDED: HostUnreachable,
    PARAMETER_PROBLEM: ProtocolUnreachable,
}

# RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1; by code
UNREACHABLE_V4 = (
    NET_UNREACHABLE, HOST_UNREACHABLE, PROTOCOL_UNREACHABLE, PORT_UNREACHABLE, TOO_BIG, HOST_UNREACHABLE,
    NET_UNREACHABLE, HOST_UNREACHABLE, HOST_UNREACHABLE, PROHIBITED, PROHIBITED, NET_UNREACHABLE,
    HOST_UNREACHABLE, PROHIBITED, PROHIBITED, PROHIBITED,
)
# RFC 4443, section 3.1
UNREACHABLE_V6 = (
    NET_UNREACHABLE, PROHIBITED, NET_UNREACHABLE, HOST_UNREACHABLE, PORT_UNREACHABLE, PROHIBITED, PROHIBITED,
)

QUOTE_V4 = 576 - 28  # RFC 1812, section 4.3.2.3: as much as fits into 576 bytes
QUOTE_V6 = 1280 - 48  # RFC 4443, section 2.4 (c)

# about these an error may be sent; all other types are errors themselves, or nobody knows
QUERIES_V4 = (v4.ECHO_REPLY, v4.ECHO_REQUEST, v4.TIMESTAMP_REQUEST, v4.TIMESTAMP_REPLY)

# errors sent, in all and to one host: as Linux
RATE, BURST = 1000, 50  # a second
HOST_RATE, HOST_BURST = 1, 6
HOSTS = 1024


class EchoWaiter(Protocol):
    """Whoever pings, as `Icmp.waiters` knows it by identifier."""

    def echo_reply(self, packet: Packet, sequence: int, payload: bytes) -> None:
        """An echo reply has come."""

    def echo_error(self, kind: int, code: int, info: int, destination: bytes, sequence: int) -> None:
        """An error about an echo request to `destination`; the first three as for a `TransportHandler`."""


class Icmp:
    """ICMP of one stack, both families."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.waiters: dict[int, EchoWaiter] = {}
        self.limit = RateLimit(
            network.random, rate=RATE, burst=BURST, destination_rate=HOST_RATE, destination_burst=HOST_BURST,
            destinations=HOSTS, now=network.now,
        )

    # in

    def input(self, packet: Packet) -> None:
        """Takes an ICMP or ICMPv6 message. On a promiscuous interface an echo is answered under its own
        addresses.
        """
        stats = self.network.stats
        stats.count("icmp_rx")
        if packet.end - packet.l4 < v4.HEADER_LENGTH:
            stats.count("icmp_short")
            return
        if packet.version == 4 and packet.proto == ICMP:
            if not v4.checksum_ok(packet.data, packet.l4, packet.end):
                stats.count("icmp_bad_checksum")
                return
            self._input_v4(packet)
        elif packet.version == 6 and packet.proto == ICMPV6:
            if not v6.checksum_ok(packet.data, packet.src, packet.dst, packet.l4, packet.end):
                stats.count("icmp_bad_checksum")
                return
            self._input_v6(packet)
        else:
            stats.count("icmp_ignored")

    def _input_v4(self, packet: Packet) -> None:
        kind = load_u8(packet.data, packet.l4)
        if kind == v4.ECHO_REQUEST:
            self._echo(packet, v4.ECHO_REPLY)
        elif kind == v4.ECHO_REPLY:
            self._echo_reply(packet)
        elif kind in (v4.DESTINATION_UNREACHABLE, v4.TIME_EXCEEDED, v4.PARAMETER_PROBLEM):
            self._error_v4(packet, v4.parse(packet.data, packet.l4, packet.end))
        elif kind == v4.REDIRECT:
            self._redirect_v4(packet, v4.parse(packet.data, packet.l4, packet.end))
        else:
            self.network.stats.count("icmp_ignored")

    def _input_v6(self, packet: Packet) -> None:
        kind = load_u8(packet.data, packet.l4)
        if kind == v6.ECHO_REQUEST:
            self._echo(packet, v6.ECHO_REPLY)
        elif kind == v6.ECHO_REPLY:
            self._echo_reply(packet)
        elif v6.is_error(kind):
            self._error_v6(packet, v6.parse(packet.data, packet.l4, packet.end))
        elif v6.ROUTER_SOLICITATION <= kind <= v6.REDIRECT:
            if packet.interface.relay is not None:
                packet.interface.relay(packet.frame)
            self.network.nd.input(packet)
        elif v6.MLD_QUERY <= kind <= v6.MLD_DONE:
            if not self.network.groups.input_v6(packet):
                self.network.stats.count("icmp_ignored")
        else:
            self.network.stats.count("icmp_ignored")

    def _redirect_v4(self, packet: Packet, message: v4.IcmpMessage) -> None:
        """RFC 1122, section 3.2.2.2; it has to quote a packet of ours."""
        quote = v4.parse_quote(message.payload)
        believed = False
        if message.code <= 3 and not packet.interface.promiscuous:
            if quote is not None and self.network.is_local(quote.source):
                believed = self.network.redirects.input_v4(packet, message.gateway, quote.destination)
        if not believed:
            self.network.stats.count("icmp_ignored")

    # echo

    def _echo(self, packet: Packet, reply: int) -> None:
        """Answers an echo request with what it carried; never one to a group, nor one that no single host has
        sent.
        """
        source, destination = packet.src, packet.dst
        if packet.l2_broadcast or is_multicast(destination) or not self._answerable(packet.interface, source):
            self.network.stats.count("icmp_ignored")
            return
        if self.network.is_broadcast(destination, packet.interface):
            self.network.stats.count("icmp_ignored")
            return
        message = v4.parse(packet.data, packet.l4, packet.end)
        if reply == v4.ECHO_REPLY:
            proto, answer = ICMP, v4.emit(v4.IcmpMessage(reply, 0, message.info, message.payload))
        else:
            proto = ICMPV6
            answer = v6.emit(v6.Icmpv6Message(reply, 0, message.info, message.payload), destination, source)
        link_header = packet.reply_header() if packet.interface.promiscuous else None
        self._send(packet.interface, link_header, destination, source, proto, answer, packet.tos)

    def _echo_reply(self, packet: Packet) -> None:
        message = v4.parse(packet.data, packet.l4, packet.end)
        waiter = self.waiters.get(message.identifier)
        if waiter is None:
            self.network.stats.count("icmp_ignored")
            return
        waiter.echo_reply(packet, message.sequence, message.payload)

    def send_echo(
        self,
        destination: bytes,
        identifier: int,
        sequence: int,
        payload: bytes,
        *,
        source: bytes | None = None,
        interface: Interface | None = None,
        ttl: int | None = None,
        dont_fragment: bool = False,
    ) -> None:
        """Sends an echo request; what comes of it goes to the waiter for `identifier`.

        NetworkUnreachable, AddressNotAvailable, MessageTooLong.
        """
        route = self.network.route(destination, source, interface)
        if len(destination) == 4:
            proto, message = ICMP, v4.emit(v4.echo(v4.ECHO_REQUEST, identifier, sequence, payload))
        else:
            proto = ICMPV6
            echo = v6.echo(v6.ECHO_REQUEST, identifier, sequence, payload)
            message = v6.emit(echo, route.source, destination)
        output.send(self.network, route, proto, message, ttl=ttl, dont_fragment=dont_fragment)
        self.network.stats.count("icmp_tx")

    # errors in

    def _error_v4(self, packet: Packet, message: v4.IcmpMessage) -> None:
        quote = v4.parse_quote(message.payload)
        info = 0
        if message.type == v4.TIME_EXCEEDED:
            kind = TIME_EXCEEDED
        elif message.type == v4.PARAMETER_PROBLEM:
            kind, info = PARAMETER_PROBLEM, message.pointer
        elif message.code < len(UNREACHABLE_V4):
            kind = UNREACHABLE_V4[message.code]
        else:
            self.network.stats.count("icmp_ignored")
            return
        if kind == TOO_BIG and quote is not None:
            size = ipv4.total_length(message.payload)
            info = message.mtu or plateau_below(size)  # RFC 1191, section 5
            if info >= size:
                quote = None  # RFC 5927, section 7.2: that packet would have fitted
            info = max(info, FLOOR_V4)
        self._report(packet, kind, message.code, info, quote)

    def _error_v6(self, packet: Packet, message: v6.Icmpv6Message) -> None:
        quote = v6.parse_quote(message.payload)
        info = 0
        if message.type == v6.TIME_EXCEEDED or not v6.DESTINATION_UNREACHABLE <= message.type <= v6.PARAMETER_PROBLEM:
            kind = TIME_EXCEEDED  # errors of types that nobody knows go to the transport too (2.4 (a)): as transient
        elif message.type == v6.PARAMETER_PROBLEM:
            kind, info = PARAMETER_PROBLEM, message.pointer
            if message.code == v6.UNRECOGNIZED_NEXT_HEADER:
                kind = PROTOCOL_UNREACHABLE
        elif message.type == v6.PACKET_TOO_BIG:
            kind, info = TOO_BIG, message.mtu
            if info < FLOOR_V6:
                quote = None  # RFC 8201, section 4: discard
            elif quote is not None and info >= ipv6.HEADER_LENGTH + ipv6.payload_length(message.payload):
                quote = None
        elif message.code < len(UNREACHABLE_V6):
            kind = UNREACHABLE_V6[message.code]
        else:
            self.network.stats.count("icmp_ignored")
            return
        self._report(packet, kind, message.code, info, quote)

    def _report(self, packet: Packet, kind: int, code: int, info: int, quote: v4.Quote | None) -> None:
        """Hands an error to the transport that it is about, which says whether it believes it."""
        if (
            quote is None
            or len(quote.transport) < v4.MIN_QUOTE
            or not (packet.interface.promiscuous or self.network.is_local(quote.source))
        ):
            self.network.stats.count("icmp_bad_quote")
            return
        handler = self.network.handlers.get(quote.protocol)
        believed = 0
        if handler is not None:
            believed = handler.icmp_error(
                kind, code, info, quote.source, quote.destination, quote.transport, packet
            )
        if not believed:
            self.network.stats.count("icmp_bad_quote")
            return
        if kind == TOO_BIG and believed == 1 and not packet.interface.promiscuous:
            self.network.pmtu.update(quote.destination, info)

    def icmp_error(
        self,
        kind: int,
        code: int,
        info: int,
        quoted_source: bytes,
        quoted_destination: bytes,
        quoted_transport: bytes,
        packet: Packet | None,
    ) -> bool:
        """An error about an echo request of ours (this is a `TransportHandler` too)."""
        message = v4.parse(quoted_transport)
        if message.type != (v4.ECHO_REQUEST if len(quoted_source) == 4 else v6.ECHO_REQUEST):
            return False
        waiter = self.waiters.get(message.identifier)
        if waiter is None:
            return False
        waiter.echo_error(kind, code, info, quoted_destination, message.sequence)
        return True

    def undeliverable(self, packet: bytes) -> None:
        """`packet`, one of ours from its IP header on, waited for a neighbour that does not answer."""
        if packet[0] >> 4 == 4:
            quote, code = v4.parse_quote(packet), v4.HOST_UNREACHABLE
        else:
            quote, code = v6.parse_quote(packet), v6.ADDRESS_UNREACHABLE
        if quote is None or len(quote.transport) < v4.MIN_QUOTE:
            return  # a fragment that is not the first: its first says it
        handler = self.network.handlers.get(quote.protocol)
        if handler is not None:
            handler.icmp_error(
                HOST_UNREACHABLE, code, 0, quote.source, quote.destination, quote.transport, None
            )

    # errors out

    def port_unreachable(self, packet: Packet) -> bool:
        """Nobody listens on the port of `packet`. Like all of these: whether an error was sent."""
        if packet.version == 4:
            return self._refuse(packet, v4.DESTINATION_UNREACHABLE, v4.PORT_UNREACHABLE)
        return self._refuse(packet, v6.DESTINATION_UNREACHABLE, v6.PORT_UNREACHABLE)

    def protocol_unreachable(self, packet: Packet) -> bool:
        """There is no such transport protocol here (RFC 1122 section 3.2.2.1, RFC 4443 section 3.4)."""
        if packet.version == 4:
            return self._refuse(packet, v4.DESTINATION_UNREACHABLE, v4.PROTOCOL_UNREACHABLE)
        chain = ipv6_extensions.walk(packet.data, packet.l3, packet.end)
        return self.parameter_problem(packet, v6.UNRECOGNIZED_NEXT_HEADER, chain.next_header_at - packet.l3)

    def host_unreachable(self, packet: Packet) -> bool:
        """The host that `packet` is for does not answer."""
        if packet.version == 4:
            return self._refuse(packet, v4.DESTINATION_UNREACHABLE, v4.HOST_UNREACHABLE)
        return self._refuse(packet, v6.DESTINATION_UNREACHABLE, v6.ADDRESS_UNREACHABLE)

    def net_unreachable(self, packet: Packet) -> bool:
        """There is no route to where `packet` goes."""
        if packet.version == 4:
            return self._refuse(packet, v4.DESTINATION_UNREACHABLE, v4.NETWORK_UNREACHABLE)
        return self._refuse(packet, v6.DESTINATION_UNREACHABLE, v6.NO_ROUTE)

    def prohibited(self, packet: Packet) -> bool:
        """A policy forbids `packet`."""
        if packet.version == 4:
            return self._refuse(packet, v4.DESTINATION_UNREACHABLE, v4.ADMINISTRATIVELY_PROHIBITED)
        return self._refuse(packet, v6.DESTINATION_UNREACHABLE, v6.ADMINISTRATIVELY_PROHIBITED)

    def time_exceeded(self, packet: Packet) -> bool:
        """The hop limit of `packet` is used up."""
        if packet.version == 4:
            return self._refuse(packet, v4.TIME_EXCEEDED, v4.TTL_EXCEEDED)
        return self._refuse(packet, v6.TIME_EXCEEDED, v6.HOP_LIMIT_EXCEEDED)

    def too_big(self, packet: Packet, mtu: int) -> bool:
        """`packet` does not fit into `mtu` and may not be fragmented."""
        if packet.version == 4:
            return self._refuse(packet, v4.DESTINATION_UNREACHABLE, v4.FRAGMENTATION_NEEDED, min(mtu, 0xFFFF))
        return self._refuse(packet, v6.PACKET_TOO_BIG, 0, mtu, to_group=True)

    def parameter_problem(self, packet: Packet, code: int, pointer: int, *, to_group: bool = False) -> bool:
        """The byte at `pointer`, from the IP header on, is wrong. `to_group`: even if a multicast address got
        it.
        """
        if self.network.settings.protocol_blackhole:
            self.network.stats.count("ip_blackholed")
            return False
        if packet.version == 4:
            return self._refuse(packet, v4.PARAMETER_PROBLEM, code, (pointer & 0xFF) << 24)
        return self._refuse(packet, v6.PARAMETER_PROBLEM, code, pointer, to_group=to_group)

    def reassembly_timed_out(self, interface: Interface, quote: bytes, group: bool) -> bool:
        """Fragments are missing; `quote` is the first, from its IP header on; `group`: it came in a group
        frame.
        """
        if self.network.settings.protocol_blackhole:
            self.network.stats.count("ip_blackholed")
            return False
        if quote[0] >> 4 == 4:
            kind, code = v4.TIME_EXCEEDED, v4.REASSEMBLY_TIME_EXCEEDED
        else:
            kind, code = v6.TIME_EXCEEDED, v6.REASSEMBLY_TIME_EXCEEDED
        return self._error(interface, None, quote, group, kind, code, 0)

    def _refuse(self, packet: Packet, kind: int, code: int, info: int = 0, *, to_group: bool = False) -> bool:
        link_header = packet.reply_header() if packet.interface.promiscuous else None
        original = packet.data[packet.l3 : packet.end]
        return self._error(
            packet.interface, link_header, original, packet.l2_broadcast, kind, code, info, to_group=to_group
        )

    def _error(
        self,
        interface: Interface,
        link_header: bytes | None,
        original: bytes,
        group: bool,
        kind: int,
        code: int,
        info: int,
        *,
        to_group: bool = False,
    ) -> bool:
        """Sends an error about `original`, unless it is of those that get none, or the rate is used up."""
        if original[0] >> 4 == 4:
            source, destination = ipv4.source(original), ipv4.destination(original)
            allowed = not ipv4.fragment_offset(original) and not is_icmp_error_v4(original)
        else:
            source, destination = ipv6.source(original), ipv6.destination(original)
            allowed = not is_icmp_error_v6(original)
        if not to_group and (group or is_multicast(destination)):
            allowed = False
        if len(destination) == 4 and self.network.is_broadcast(destination, interface):
            allowed = False
        if not allowed or not self._answerable(interface, source):
            return False
        if not interface.loopback and not self.limit.allow(source, self.network.now):
            self.network.stats.count("icmp_rate_limited")
            return False
        sender = destination
        if link_header is None and not self.network.is_local(destination):
            chosen = self._own_address(source, interface)
            if chosen is None:
                return False
            sender = chosen
        if len(source) == 4:
            proto, message = ICMP, v4.emit(v4.IcmpMessage(kind, code, info, original[:QUOTE_V4]))
        else:
            proto = ICMPV6
            message = v6.emit(v6.Icmpv6Message(kind, code, info, original[:QUOTE_V6]), sender, source)
        return self._send(interface, link_header, sender, source, proto, message, 0)

    def _own_address(self, destination: bytes, interface: Interface) -> bytes | None:
        try:
            return self.network.select_source(destination, interface, destination)
        except Error:
            return None  # no address of the family: nothing to say it from

    def _answerable(self, interface: Interface, source: bytes) -> bool:
        return interface.loopback or (
            is_one_host(source)
            and source != LIMITED_BROADCAST
            and not self.network.is_broadcast(source, interface)
        )

    def _send(
        self,
        interface: Interface,
        link_header: bytes | None,
        source: bytes,
        destination: bytes,
        proto: int,
        message: bytes,
        tos: int,
    ) -> bool:
        """Sends an answer: verbatim under `link_header`, or routed; whether it could be."""
        if link_header is not None:
            output.send_verbatim(
                self.network, interface, link_header, source, destination, proto, message, tos=tos
            )
        else:
            scoped = interface if len(destination) == 16 and ipv6_link_local(destination) else None
            try:
                self.network.send_ip(source, destination, proto, message, tos=tos, interface=scoped)
            except Error:
                return False  # no way back: counted where it was looked for
        self.network.stats.count("icmp_tx")
        return True


def exception_of(kind: int) -> Error:
    """The exception that tells a user of the error `kind`."""
    return EXCEPTIONS[kind]()


def ipv6_link_local(address: bytes) -> bool:
    """Whether `address` needs an interface to mean something."""
    return address[0] == 0xFE and address[1] & 0xC0 == 0x80


def is_icmp_error_v4(original: bytes) -> bool:
    """Whether an IPv4 packet carries an ICMP error, or what may be one."""
    if ipv4.protocol(original) != ICMP:
        return False
    at = ipv4.header_length(original)
    return at >= len(original) or load_u8(original, at) not in QUERIES_V4


def is_icmp_error_v6(original: bytes) -> bool:
    """Whether an IPv6 packet carries an ICMPv6 error or redirect, or what may be one (RFC 4443, section 2.4
    (e)).
    """
    protocol, at = ipv6_extensions.upper_layer(original)
    if protocol != ICMPV6:
        return False
    if at >= len(original):
        return True
    kind = load_u8(original, at)
    return v6.is_error(kind) or kind == v6.REDIRECT
