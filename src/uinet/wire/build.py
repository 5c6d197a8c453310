"""Whole frames by hand, for tests, tools and curious people; `dissect` takes them apart again.

Every builder takes addresses as text, ipaddress objects or packed bytes, of either family, and computes all
lengths and checksums. `layer=2` gives an Ethernet frame, `layer=3` the bare IP packet. The link header is
`l2`; without it, MACs of two stations that never were, and the tags of `vlans`.
"""

from __future__ import annotations

from collections.abc import Iterable

from uinet.errors import InvalidArgument
from uinet.wire import (
    arp,
    ethernet,
    icmp,
    icmpv6,
    ipv4,
    ipv6,
    ipv6_extensions,
    nd,
    tcp_options,
)
from uinet.wire import tcp as tcp_wire
from uinet.wire import udp as udp_wire
from uinet.wire.addresses import (
    BROADCAST_MAC,
    AddressLike,
    L2Info,
    Mac,
    MacLike,
    VlanTag,
    link_header,
    pack_address,
    parse_vlans,
)
from uinet.wire.dissection import Dissected as Dissected
from uinet.wire.dissection import dissect as dissect

SOURCE_MAC = Mac("02:00:00:00:00:01")
DESTINATION_MAC = Mac("02:00:00:00:00:02")

Vlans = int | VlanTag | Iterable[int | VlanTag]


def frame(packet: bytes, l2: L2Info | None = None, vlans: Vlans = (), *, layer: int = 2) -> bytes:
    """`packet`, an IP packet, behind a link header; as it is if `layer` is 3."""
    if layer == 3:
        return packet
    ethertype = ethernet.IPV6 if packet[:1] and packet[0] >> 4 == 6 else ethernet.IPV4
    return link_header(_l2(l2, vlans), ethertype) + packet


def _l2(l2: L2Info | None, vlans: Vlans, destination: Mac = DESTINATION_MAC) -> L2Info:
    tags = parse_vlans(vlans)
    if l2 is None:
        return L2Info(SOURCE_MAC, destination, tags)
    if tags and l2.vlans:
        raise InvalidArgument("VLANs are either in l2 or in vlans, not in both")
    return l2._replace(vlans=tags) if tags else l2


def ip(
    src: AddressLike, dst: AddressLike, protocol: int, payload: bytes, *, ttl: int = 64, tos: int = 0,
    identification: int = 0, flags: int = ipv4.FLAG_DF, flow_label: int = 0, options: bytes = b"",
    extensions: Iterable[ipv6_extensions.Extension] = (),
) -> bytes:
    """An IP packet: IPv4 with `options`, `identification`, `flags`; IPv6 with `flow_label`, `extensions`.

    The next headers of extensions are set to make a chain that ends in `protocol`.
    """
    source, destination = pack_address(src), pack_address(dst)
    if len(source) != len(destination):
        raise InvalidArgument("source and destination are of different families")
    if len(source) == 4:
        return ipv4.emit(ipv4.Ipv4Header(
            source, destination, protocol, ttl, tos, identification, flags, options=options,
        ), payload)
    following = protocol
    for extension in reversed(tuple(extensions)):
        payload = following.to_bytes(1, "big") + ipv6_extensions.emit(extension)[1:] + payload
        following = extension.kind
    return ipv6.emit(ipv6.Ipv6Header(source, destination, following, ttl, tos, flow_label), payload)


def tcp(
    src: AddressLike, dst: AddressLike, sport: int, dport: int, flags: str | int = "S", seq: int = 0,
    ack: int = 0, window: int = 65535, options: bytes | Iterable[tcp_options.Option] = (),
    payload: bytes = b"", l2: L2Info | None = None, vlans: Vlans = (), ttl: int = 64,
    *, tos: int = 0, urgent_pointer: int = 0, layer: int = 2,
) -> bytes:
    """A TCP segment; `flags` in letters (``"S."``, ``"SA"``) or as bits, `options` as values or bytes."""
    source, destination = pack_address(src), pack_address(dst)
    bits = tcp_wire.parse_flags(flags) if isinstance(flags, str) else flags
    area = tcp_options.parse(options) if isinstance(options, bytes) else tuple(options)
    header = tcp_wire.TcpHeader(sport, dport, seq, ack, bits, window, urgent_pointer, area)
    segment = tcp_wire.emit(header, payload, source, destination)
    return frame(ip(source, destination, ipv4.TCP, segment, ttl=ttl, tos=tos), l2, vlans, layer=layer)


def udp(
    src: AddressLike, dst: AddressLike, sport: int, dport: int, payload: bytes = b"",
    l2: L2Info | None = None, vlans: Vlans = (), ttl: int = 64, *, tos: int = 0, layer: int = 2,
) -> bytes:
    """A UDP datagram."""
    source, destination = pack_address(src), pack_address(dst)
    datagram = udp_wire.emit(udp_wire.UdpHeader(sport, dport), payload, source, destination)
    return frame(ip(source, destination, ipv4.UDP, datagram, ttl=ttl, tos=tos), l2, vlans, layer=layer)


def icmp_echo(
    src: AddressLike, dst: AddressLike, identifier: int = 1, sequence: int = 1, payload: bytes = b"",
    l2: L2Info | None = None, vlans: Vlans = (), ttl: int = 64, *, reply: bool = False, layer: int = 2,
) -> bytes:
    """An echo request, or its reply, of ICMP or ICMPv6."""
    kind = {(4, False): 8, (4, True): 0, (16, False): 128, (16, True): 129}[len(pack_address(src)), reply]
    info = (identifier & 0xFFFF) << 16 | sequence & 0xFFFF
    return icmp_message(src, dst, kind, 0, info, payload, l2, vlans, ttl, layer=layer)


def icmp_message(
    src: AddressLike, dst: AddressLike, kind: int, code: int = 0, info: int = 0, payload: bytes = b"",
    l2: L2Info | None = None, vlans: Vlans = (), ttl: int = 64, *, layer: int = 2,
) -> bytes:
    """Any ICMP or ICMPv6 message; an error's `payload` is the IP packet that it is about."""
    source, destination = pack_address(src), pack_address(dst)
    if len(source) == 4:
        message = icmp.emit(icmp.IcmpMessage(kind, code, info, payload))
        packet = ip(source, destination, ipv4.ICMP, message, ttl=ttl)
    else:
        message = icmpv6.emit(icmpv6.Icmpv6Message(kind, code, info, payload), source, destination)
        packet = ip(source, destination, ipv4.ICMPV6, message, ttl=ttl)
    return frame(packet, l2, vlans, layer=layer)


def nd_message(
    src: AddressLike, dst: AddressLike, message: nd.Message, l2: L2Info | None = None, vlans: Vlans = (),
    ttl: int = nd.HOP_LIMIT, *, layer: int = 2,
) -> bytes:
    """A neighbour discovery message."""
    source, destination = pack_address(src), pack_address(dst)
    packet = ip(source, destination, ipv4.ICMPV6, nd.emit(message, source, destination), ttl=ttl)
    return frame(packet, l2, vlans, layer=layer)


def arp_request(
    sender_ip: AddressLike, target_ip: AddressLike, sender_mac: MacLike | None = None,
    l2: L2Info | None = None, vlans: Vlans = (),
) -> bytes:
    """Who has `target_ip`? Broadcast; `sender_mac` is that of the link header unless it is given."""
    link = _l2(l2, vlans, BROADCAST_MAC)
    mac = link.source if sender_mac is None else Mac(sender_mac)
    packet = arp.request(mac, pack_address(sender_ip), pack_address(target_ip))
    return link_header(link, ethernet.ARP) + arp.emit(packet)


def arp_reply(
    sender_ip: AddressLike, target_ip: AddressLike, sender_mac: MacLike | None = None,
    target_mac: MacLike | None = None, l2: L2Info | None = None, vlans: Vlans = (),
) -> bytes:
    """`sender_ip` is at `sender_mac`; the MACs are those of the link header unless they are given."""
    link = _l2(l2, vlans)
    packet = arp.reply(
        link.source if sender_mac is None else Mac(sender_mac), pack_address(sender_ip),
        link.destination if target_mac is None else Mac(target_mac), pack_address(target_ip),
    )
    return link_header(link, ethernet.ARP) + arp.emit(packet)


def fragments(packet: bytes, size: int, identification: int = 1) -> list[bytes]:
    """An IP packet without options or extension headers, cut into fragments of `size` payload bytes."""
    if size <= 0 or size % 8:
        raise InvalidArgument(f"a fragment's payload is a multiple of 8 bytes, not {size}")
    pieces = []
    if packet[0] >> 4 == 4:
        header = ipv4.parse(packet)
        body = packet[ipv4.MIN_HEADER_LENGTH :]
        for at in range(0, len(body), size):
            more = ipv4.FLAG_MF if at + size < len(body) else 0
            piece = ipv4.Ipv4Header(
                header.source, header.destination, header.protocol, header.ttl, header.tos, identification,
                more, at,
            )
            pieces.append(ipv4.emit(piece, body[at : at + size]))
        return pieces
    head = ipv6.parse(packet)
    body = packet[ipv6.HEADER_LENGTH :]
    for at in range(0, len(body), size):
        more_follow = at + size < len(body)
        extension = ipv6_extensions.FragmentHeader(head.next_header, at, more_follow, identification)
        pieces.append(ip(
            head.source, head.destination, head.next_header, body[at : at + size], ttl=head.hop_limit,
            tos=head.traffic_class, flow_label=head.flow_label, extensions=(extension,),
        ))
    return pieces
