"""Packets in: from the frame to the transport protocol, or to the bridge (the hot path of every packet received)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from uinet.errors import InvalidArgument
from uinet.ip.address import is_one_host
from uinet.ip.arp import answers_for
from uinet.ip.extension import FRAGMENT, TRANSPORT
from uinet.ip.interface import Interface
from uinet.ip.network import Network
from uinet.ip.reassembly import Reassembled
from uinet.wire.addresses import is_multicast
from uinet.wire.constants import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    MORE_FRAGMENTS,
    OFFSET_MASK,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_TCP,
    PROTO_UDP,
)
from uinet.wire.dhcp import CLIENT_PORT, SERVER_PORT
from uinet.wire.frame import CHECKSUM_UNKNOWN, CHECKSUM_VALID, Frame, SplitFrame, gathered, new_frame
from uinet.wire.ipv4 import has_source_route, walk_options
from uinet.wire.kernels import join, load_u8, load_u16, take
from uinet.wire.packet import DROP_COUNTERS, Packet

NO_NEXT_HEADER = 59
LOOPBACK_V6 = bytes(15) + b"\x01"


class SegmentInput:
    """What takes TCP packets: the transport above, seen from here."""

    def segment(self, packet: Packet) -> bool:
        """Takes the packet; False if nobody wants it and it was not answered."""
        return False


class Receiver:
    """The way in of one stack. The last addresses that were found to be in order are remembered (`seen_*`)."""

    def __init__(self, network: Network, tcp: SegmentInput) -> None:
        self.network = network
        self.tcp = tcp
        self.udp: Any = None  # what takes datagrams and says beforehand whether it would
        self.packet = Packet()
        self.frames = 0
        self.octets = 0
        self.seen_interface: Interface | None = None
        self.seen_generation = 0
        self.seen_src_hi = 0
        self.seen_src_lo = 0
        self.seen_dst_hi = 0
        self.seen_dst_lo = 0

    def receive_all(self, interface: Interface, frames: Iterable[Frame | bytes], now: int) -> None:
        """Takes a batch, after those who look at it first, if there are any."""
        hooks = interface.hooks
        if hooks is not None and interface.up:
            frames = hooks.incoming([as_frame(item) for item in frames], now)
            interface.rx_frames += hooks.taken
            interface.rx_bytes += hooks.taken_bytes
            self.frames += hooks.taken
            self.octets += hooks.taken_bytes
        self.receive_each(interface, frames, now)

    def receive_each(self, interface: Interface, frames: Iterable[Frame | bytes], now: int) -> None:
        """Takes a batch that nobody looks at before. What comes by an interface that is down, be it since a frame of
        this batch, is counted."""
        for item in frames:
            frame = as_frame(item)
            if interface.up:
                self.receive(interface, frame, now)
            else:
                self.network.stats.count("link_down")

    def receive(self, interface: Interface, frame: Frame, now: int) -> None:
        """Takes one frame from the device of `interface`."""
        if isinstance(frame, SplitFrame):
            if self.receive_split(interface, frame, now):
                return
            frame = gathered(frame)
        packet = self.packet
        packet.interface = interface
        packet.now = now
        size = len(frame.data)
        interface.rx_frames += 1
        interface.rx_bytes += size
        self.frames += 1
        self.octets += size
        code = packet.parse_link(frame, interface.layer)
        if code:
            self.unreadable(interface, frame, code)
        elif interface.promiscuous:
            self.promiscuous(interface, packet)
        elif packet.tags:
            self.network.stats.count("eth_vlan_unexpected")
        elif interface.layer == 2 and not packet.for_me(interface.mac):
            self.network.stats.count("eth_other_host")
        elif packet.ethertype == ETHERTYPE_IPV4:
            code = packet.parse_ipv4()
            if code:
                self.unreadable(interface, frame, code)
            else:
                self.routed(interface, packet)
        elif packet.ethertype == ETHERTYPE_IPV6:
            code = packet.parse_ipv6()
            if code:
                self.unreadable(interface, frame, code)
            else:
                self.routed(interface, packet)
        elif packet.ethertype == ETHERTYPE_ARP and interface.layer == 2:
            if interface.relay is not None:
                interface.relay(frame)
            self.network.arp.input(packet)
        else:
            self.network.stats.count("eth_unknown_type")

    def receive_split(self, interface: Interface, frame: SplitFrame, now: int) -> bool:
        """Takes a frame whose payload lies apart, if it is what nearly all of them are: a TCP packet for this host."""
        packet = self.packet
        if interface.promiscuous or not packet.parse_split(frame, interface.layer):
            return False
        if interface.layer == 2 and not packet.for_me(interface.mac):
            return False
        packet.interface = interface
        packet.now = now
        size = packet.end
        interface.rx_frames += 1
        interface.rx_bytes += size
        self.frames += 1
        self.octets += size
        if self.seen(interface, packet) or self.for_us(interface, packet):
            self.tcp.segment(packet)
        return True

    def unreadable(self, interface: Interface, frame: Frame, code: int) -> None:
        """Counts a frame that can't be read; a bridge passes it on all the same."""
        self.network.stats.count(DROP_COUNTERS[code])
        if interface.bridge is not None:
            self.bridge(interface, frame)

    def bridge(self, interface: Interface, frame: Frame) -> None:
        """Hands a frame, untouched, to the other side."""
        if interface.bridge is not None:
            self.network.stats.count("link_bridged")
            interface.bridge.transmit(frame)

    # the routed domain

    def routed(self, interface: Interface, packet: Packet) -> None:
        """An IP packet on an ordinary interface; its header is sound."""
        if not interface.checksums:
            packet.checksum = CHECKSUM_VALID
        if packet.proto == PROTO_TCP and not packet.fragment and not packet.options:
            if self.seen(interface, packet) or self.for_us(interface, packet):
                self.tcp.segment(packet)
            return
        if packet.version == 4:
            if packet.options and not self.options_ok(packet):
                return
            if not self.for_us(interface, packet):
                return
            if packet.fragment:
                self.fragment_v4(interface, packet)
                return
        else:
            if not self.for_us(interface, packet):
                return
            walked = self.network.extensions.walk(packet)
            if walked == FRAGMENT:
                self.fragment_v6(interface, packet)
            if walked != TRANSPORT:
                return
        self.deliver(packet)

    def seen(self, interface: Interface, packet: Packet) -> bool:
        """Whether these addresses are those of the packet before, which were in order."""
        return (
            self.seen_src_lo == packet.src_lo and self.seen_dst_lo == packet.dst_lo
            and self.seen_src_hi == packet.src_hi and self.seen_dst_hi == packet.dst_hi
            and self.seen_interface is interface and self.seen_generation == self.network.generation
        )

    def for_us(self, interface: Interface, packet: Packet) -> bool:
        """Whether the packet is for this stack and comes from where a packet may come from."""
        network = self.network
        source = join(packet.src_hi, packet.src_lo)
        if not interface.loopback and (
            not is_sender(source, packet.proto) or network.is_broadcast(source, interface) or network.is_local(source)
        ):
            network.stats.count("ip_martian_source")
            return False
        if not network.is_ours(join(packet.dst_hi, packet.dst_lo), interface):
            if interface.asks and is_offer(packet):
                return True
            network.stats.count("ip_not_ours")
            return False
        self.seen_interface = interface
        self.seen_generation = network.generation
        self.seen_src_hi = packet.src_hi
        self.seen_src_lo = packet.src_lo
        self.seen_dst_hi = packet.dst_hi
        self.seen_dst_lo = packet.dst_lo
        return True

    def options_ok(self, packet: Packet) -> bool:
        """IPv4 options: unknown ones are ignored (MUST-50), source routes dropped (RFC 7126), malformed ones too."""
        area = take(packet.data, packet.l3 + 20, packet.l4 - packet.l3 - 20)
        sound = walk_options(area)[1]
        if sound and not has_source_route(area):
            return True
        self.network.stats.count("ip_bad_options" if not sound else "ip_source_route")
        return False

    def deliver(self, packet: Packet) -> None:
        """Hands a whole packet to its transport protocol."""
        network = self.network
        if packet.proto == PROTO_TCP:
            self.tcp.segment(packet)
            return
        handler = network.handlers.get(packet.proto)
        if handler is None:
            network.stats.count("ip_unknown_protocol")
            if network.settings.protocol_blackhole:
                network.stats.count("ip_blackholed")
            elif packet.proto != NO_NEXT_HEADER or packet.version == 4:
                network.icmp.protocol_unreachable(packet)
            return
        handler.input(packet)

    # fragments

    def fragment_v4(self, interface: Interface, packet: Packet) -> None:
        """An IPv4 fragment: kept until its datagram is whole."""
        ident = load_u16(packet.data, packet.l3 + 4)
        offset = (packet.fragment & OFFSET_MASK) * 8
        more = (packet.fragment & MORE_FRAGMENTS) != 0
        whole = self.network.reassembler.add(packet, ident, offset, more, packet.l4, packet.end, packet.proto)
        if whole is not None:
            self.again(interface, whole)

    def fragment_v6(self, interface: Interface, packet: Packet) -> None:
        """An IPv6 fragment, as the extension walker has left it."""
        walked = self.network.extensions
        whole = self.network.reassembler.add(
            packet, walked.ident, walked.offset, walked.more, walked.payload_offset, packet.end, walked.proto
        )
        if whole is not None:
            self.again(interface, whole)

    def again(self, interface: Interface, whole: Reassembled) -> None:
        """Takes in a datagram that was put together. If nobody wants it a bridge passes on its fragments."""
        packet = Packet()
        packet.interface = interface
        packet.now = self.packet.now
        packet.parse_link(Frame(whole.data), interface.layer)
        if not interface.checksums:
            packet.checksum = CHECKSUM_VALID
        code = packet.parse_ipv4() if packet.ethertype == ETHERTYPE_IPV4 else packet.parse_ipv6()
        wanted = False
        if packet.version == 6:
            packet.fragment = MORE_FRAGMENTS  # it came in pieces: RFC 6980
        if code:
            self.network.stats.count(DROP_COUNTERS[code])
        elif packet.version == 4 or self.network.extensions.walk(packet) == TRANSPORT:
            if interface.promiscuous:
                wanted = self.wanted(interface, packet)
            else:
                self.deliver(packet)
        if interface.promiscuous and not wanted:
            for frame in whole.frames:
                self.bridge(interface, frame)

    # promiscuous domains

    def promiscuous(self, interface: Interface, packet: Packet) -> None:
        """Any frame on a promiscuous interface: what no socket wants is bridged, if there is a bridge."""
        frame = packet.frame
        if packet.ethertype == ETHERTYPE_IPV4:
            code = packet.parse_ipv4()
        elif packet.ethertype == ETHERTYPE_IPV6:
            code = packet.parse_ipv6()
        else:
            if packet.ethertype == ETHERTYPE_ARP and interface.answer_any and self.network.arp.input(packet):
                return
            self.bridge(interface, frame)
            return
        if code:
            self.unreadable(interface, frame, code)
            return
        if not interface.checksums:
            packet.checksum = CHECKSUM_VALID
        if packet.proto == PROTO_TCP and not packet.fragment and not packet.options:
            if interface.flows is not None and interface.flows.segment(interface, packet):
                return
            if not self.tcp.segment(packet):
                if interface.flows is not None:
                    interface.flows.stranger(interface, packet)
                self.bridge(interface, frame)
            return
        self.promiscuous_slowly(interface, packet)

    def promiscuous_slowly(self, interface: Interface, packet: Packet) -> None:
        """Fragments, options, extension headers, and all that is not TCP."""
        frame = packet.frame
        if packet.version == 4:
            if packet.fragment:
                if packet.proto == PROTO_TCP or interface.bridge is None:
                    self.fragment_v4(interface, packet)
                else:
                    self.bridge(interface, frame)
                return
            if packet.options and interface.bridge is None and not self.options_ok(packet):
                return
        elif packet.proto not in (PROTO_TCP, PROTO_UDP, PROTO_ICMPV6):
            walked = self.network.extensions.walk(packet)
            if walked == FRAGMENT and (self.network.extensions.proto == PROTO_TCP or interface.bridge is None):
                self.fragment_v6(interface, packet)
                return
            if walked != TRANSPORT:
                self.bridge(interface, frame)
                return
        if not self.wanted(interface, packet):
            self.bridge(interface, frame)

    def wanted(self, interface: Interface, packet: Packet) -> bool:
        """Offers a whole packet to the sockets of the domain; whether it was for them alone."""
        network = self.network
        if packet.proto == PROTO_TCP:
            if interface.flows is not None and interface.flows.segment(interface, packet):
                return True
            return self.tcp.segment(packet)
        if packet.proto == PROTO_UDP:
            if self.udp is None or not self.udp.wanted(packet):
                return False
            self.udp.input(packet)
            return True
        if packet.proto == PROTO_ICMP or packet.proto == PROTO_ICMPV6:
            if is_icmp_error(packet):  # may be about a connection here, and about one that is bridged as well
                if interface.flows is not None and interface.flows.icmp_error(interface, packet):
                    return True
                network.icmp.input(packet)
                return interface.bridge is None
            destination = packet.dst
            if interface.answer_any and (is_multicast(destination) or answers_for(interface, destination)):
                answers = interface.tx_frames
                network.icmp.input(packet)
                return interface.bridge is None or interface.tx_frames != answers
        return False


def is_offer(packet: Packet) -> bool:
    """Whether a packet is for a DHCP client: servers may answer to the address that they offer, whatever the client has
    asked for (RFC 2131, 4.1)."""
    return (
        packet.version == 4 and packet.proto == PROTO_UDP and not packet.fragment and packet.end >= packet.l4 + 8
        and load_u16(packet.data, packet.l4) == SERVER_PORT and load_u16(packet.data, packet.l4 + 2) == CLIENT_PORT
    )


def as_frame(frame: Frame | bytes) -> Frame:
    """`frame` itself, or its bytes as one; InvalidArgument for what is neither."""
    if type(frame) is bytes:
        return new_frame(frame, CHECKSUM_UNKNOWN)
    if isinstance(frame, Frame):
        whole: Frame = frame
        if type(whole.data) is not bytes:
            raise InvalidArgument(f"the data of a frame is bytes, not {type(whole.data).__name__}")
        return whole
    if not isinstance(frame, (bytes, bytearray, memoryview)):
        raise InvalidArgument(f"a frame is a Frame or bytes, not {type(frame).__name__}")
    return new_frame(bytes(frame), CHECKSUM_UNKNOWN)


def is_sender(source: bytes, proto: int) -> bool:
    """Whether a packet may come from `source`: one host that is not ourselves.

    The unspecified IPv6 address asks for neighbours (RFC 4861, 7.2.2: duplicate address detection).
    """
    if len(source) == 16 and not any(source):
        return proto == PROTO_ICMPV6
    return is_one_host(source) and not is_loopback(source)


def is_loopback(address: bytes) -> bool:
    """Whether `address` is in 127/8 or ::1: never seen on a wire (RFC 1122 3.2.1.3, RFC 4291 2.5.3)."""
    if len(address) == 4:
        return address[0] == 127
    return address == LOOPBACK_V6


def is_icmp_error(packet: Packet) -> bool:
    """Whether an ICMP packet is an error message."""
    if packet.end - packet.l4 < 8:
        return False
    kind = load_u8(packet.data, packet.l4)
    if packet.version == 6:
        return kind < 128
    return kind in (3, 11, 12)
