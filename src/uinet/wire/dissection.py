"""A frame taken apart into the values of its layers: how tests look at what comes out of a stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from uinet.errors import InvalidArgument
from uinet.wire import arp, checksums, ethernet, icmp, icmpv6, ipv4, ipv6, ipv6_extensions, nd, tcp, udp
from uinet.wire.addresses import L2Info
from uinet.wire.arp import ArpPacket
from uinet.wire.ethernet import EthernetHeader
from uinet.wire.icmp import IcmpMessage
from uinet.wire.icmpv6 import Icmpv6Message
from uinet.wire.ipv4 import Ipv4Header
from uinet.wire.ipv6 import Ipv6Header
from uinet.wire.ipv6_extensions import Extension, FragmentHeader
from uinet.wire.nd import Message
from uinet.wire.tcp import TcpHeader
from uinet.wire.udp import UdpHeader

Layer = (
    EthernetHeader | ArpPacket | Ipv4Header | Ipv6Header | Extension | IcmpMessage | Icmpv6Message | Message
    | UdpHeader | TcpHeader
)
LayerT = TypeVar("LayerT", bound=Layer)


@dataclass(frozen=True, slots=True)
class Dissected:
    """A frame taken apart: the values of its layers, outermost first, as far as they are whole.

    `payload` is what is behind the last of them, `packet` the IP packet, `padding` what follows that.
    The properties raise InvalidArgument where there is no such layer; `get` and ``in`` ask.
    """

    layers: tuple[Layer, ...]
    payload: bytes
    padding: bytes = b""
    packet: bytes = b""

    def get(self, kind: type[LayerT]) -> LayerT | None:
        """The first layer of a class, or None."""
        for layer in self.layers:
            if isinstance(layer, kind):
                return layer
        return None

    def __contains__(self, kind: type[Layer]) -> bool:
        return self.get(kind) is not None

    def _need(self, kind: type[LayerT]) -> LayerT:
        layer = self.get(kind)
        if layer is None:
            found = ", ".join(type(layer).__name__ for layer in self.layers) or "nothing"
            raise InvalidArgument(f"no {kind.__name__} in this frame, which has {found}")
        return layer

    @property
    def ethernet(self) -> EthernetHeader:
        """The link header."""
        return self._need(EthernetHeader)

    @property
    def l2info(self) -> L2Info:
        """MACs and VLAN stack."""
        return self.ethernet.l2info

    @property
    def arp(self) -> ArpPacket:
        """The ARP packet."""
        return self._need(ArpPacket)

    @property
    def ipv4(self) -> Ipv4Header:
        """The IPv4 header."""
        return self._need(Ipv4Header)

    @property
    def ipv6(self) -> Ipv6Header:
        """The IPv6 header."""
        return self._need(Ipv6Header)

    @property
    def ip(self) -> Ipv4Header | Ipv6Header:
        """The IP header, of either version."""
        return self.get(Ipv4Header) or self._need(Ipv6Header)

    @property
    def source(self) -> bytes:
        """The packed source address."""
        return self.ip.source

    @property
    def destination(self) -> bytes:
        """The packed destination address."""
        return self.ip.destination

    @property
    def icmp(self) -> IcmpMessage:
        """The ICMP message."""
        return self._need(IcmpMessage)

    @property
    def icmpv6(self) -> Icmpv6Message:
        """The ICMPv6 message."""
        return self._need(Icmpv6Message)

    @property
    def nd(self) -> Message:
        """The neighbour discovery message."""
        for layer in self.layers:
            if isinstance(layer, Message):
                return layer
        raise InvalidArgument("no neighbour discovery message in this frame")

    @property
    def udp(self) -> UdpHeader:
        """The UDP header."""
        return self._need(UdpHeader)

    @property
    def tcp(self) -> TcpHeader:
        """The TCP header."""
        return self._need(TcpHeader)

    @property
    def flags(self) -> str:
        """The TCP flags as tcpdump writes them: ``S``, ``S.``, ``FP.``."""
        return tcp.format_flags(self.tcp.flags)

    @property
    def checksums_ok(self) -> bool | None:
        """Whether the IP packet's checksums are right; None if there are none to look at."""
        return checksums.verify_packet(self.packet)


def dissect(data: bytes, layer: int = 2) -> Dissected:
    """A frame (a bare IP packet if `layer` is 3) taken apart as far as its layers are whole; never raises."""
    layers: list[Layer] = []
    at = 0
    if layer == 2:
        if not ethernet.check(data):
            return Dissected((), data)
        header = ethernet.parse(data)
        layers.append(header)
        at = ethernet.header_length(data)
        if header.ethertype == ethernet.ARP and arp.check(data, at):
            layers.append(arp.parse(data, at))
            length = len(arp.emit(arp.parse(data, at)))
            return Dissected(tuple(layers), b"", data[at + length :])
        if header.ethertype not in (ethernet.IPV4, ethernet.IPV6):
            return Dissected(tuple(layers), data[at:])
    return _dissect_ip(data[at:], layers)


def _dissect_ip(data: bytes, layers: list[Layer]) -> Dissected:
    if ipv4.check(data):
        layers.append(ipv4.parse(data))
        packet = data[: ipv4.total_length(data)]
        at, protocol, first = ipv4.header_length(data), ipv4.protocol(data), ipv4.fragment_offset(data) == 0
    elif ipv6.check(data):
        layers.append(ipv6.parse(data))
        packet = data[: ipv6.HEADER_LENGTH + ipv6.payload_length(data)]
        at, protocol, first = _dissect_extensions(packet, layers)
    else:
        return Dissected(tuple(layers), data)
    padding = data[len(packet) :]
    payload = _dissect_transport(packet, at, protocol, layers) if first else packet[at:]
    return Dissected(tuple(layers), payload, padding, packet)


def _dissect_extensions(packet: bytes, layers: list[Layer]) -> tuple[int, int, bool]:
    """Appends the extension headers; where they end, what follows, and whether that is a transport header."""
    at, kind = ipv6.HEADER_LENGTH, ipv6.next_header(packet)
    for _ in range(ipv6_extensions.MAX_EXTENSIONS):
        if not ipv6_extensions.check(packet, at, None, kind):
            break
        extension = ipv6_extensions.parse(packet, at, None, kind)
        layers.append(extension)
        at += ipv6_extensions.header_length(packet, at, len(packet), kind)
        kind = extension.next_header
        if isinstance(extension, FragmentHeader) and extension.fragment_offset:
            return at, kind, False
    return at, kind, True


def _dissect_transport(packet: bytes, at: int, protocol: int, layers: list[Layer]) -> bytes:
    """Appends the transport header at `at`; the payload behind it."""
    if protocol == ipv4.TCP and tcp.check(packet, at):
        layers.append(tcp.parse(packet, at))
        return packet[at + tcp.header_length(packet, at) :]
    if protocol == ipv4.UDP and udp.check(packet, at):
        layers.append(udp.parse(packet, at))
        return packet[at + udp.HEADER_LENGTH : at + udp.length(packet, at)]
    if protocol == ipv4.ICMP and icmp.check(packet, at):
        layers.append(icmp.parse(packet, at))
        return packet[at + icmp.HEADER_LENGTH :]
    if protocol == ipv4.ICMPV6 and icmpv6.check(packet, at):
        layers.append(icmpv6.parse(packet, at))
        if nd.check(packet, at):
            layers.append(nd.parse(packet, at))
            return b""
        return packet[at + icmpv6.HEADER_LENGTH :]
    return packet[at:]
