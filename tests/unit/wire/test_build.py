from __future__ import annotations

import pytest

from uinet.errors import InvalidArgument
from uinet.wire import build, ethernet, ipv6_extensions, nd, tcp, udp
from uinet.wire.addresses import BROADCAST_MAC, L2Info, Mac, VlanTag, pack_address
from uinet.wire.arp import ArpPacket
from uinet.wire.ipv4 import FLAG_DF, Ipv4Header
from uinet.wire.ipv6 import Ipv6Header
from uinet.wire.tcp_options import Mss, Nop, WindowScale

A4, B4 = "10.0.0.1", "10.0.0.2"
A6, B6 = "2001:db8::1", "2001:db8::2"
FAMILIES = [(A4, B4), (A6, B6)]
L2 = L2Info.make("02:00:00:00:00:0a", "02:00:00:00:00:0b", (7,))


@pytest.mark.parametrize(("a", "b"), FAMILIES)
def test_tcp_segment_comes_out_as_it_was_asked_for(a: str, b: str) -> None:
    frame = build.tcp(
        a, b, 1000, 80, "SA", seq=5, ack=6, window=7, options=(Mss(1460), Nop(), WindowScale(7)),
        payload=b"hi", vlans=(100, VlanTag(200, 3)), ttl=9, tos=4, urgent_pointer=8,
    )
    seen = build.dissect(frame)
    assert seen.checksums_ok is True
    assert (seen.flags, seen.payload, seen.padding) == ("S.", b"hi", b"")
    assert seen.l2info == L2Info(build.SOURCE_MAC, build.DESTINATION_MAC, (VlanTag(100), VlanTag(200, 3)))
    assert (seen.source, seen.destination) == (pack_address(a), pack_address(b))
    header = seen.tcp
    assert (header.source_port, header.destination_port, header.seq, header.ack) == (1000, 80, 5, 6)
    assert (header.window, header.urgent_pointer) == (7, 8)
    assert header.options == (Mss(1460), Nop(), WindowScale(7))
    if isinstance(seen.ip, Ipv4Header):
        assert (seen.ipv4.ttl, seen.ipv4.tos, seen.ipv4.flags) == (9, 4, FLAG_DF)
    else:
        assert (seen.ipv6.hop_limit, seen.ipv6.traffic_class) == (9, 4)


def test_tcp_flags_as_bits_and_options_as_bytes_are_taken() -> None:
    seen = build.dissect(build.tcp(A4, B4, 1, 2, tcp.FIN | tcp.ACK, options=b"\x02\x00"))
    assert seen.flags == "F."
    assert tcp.options(seen.packet, 20) == b"\x02\x00\0\0"


@pytest.mark.parametrize(("a", "b"), FAMILIES)
def test_udp_and_echo_come_out_as_they_were_asked_for(a: str, b: str) -> None:
    seen = build.dissect(build.udp(a, b, 1, 2, b"data", l2=L2))
    assert seen.checksums_ok is True and seen.payload == b"data" and seen.l2info == L2
    assert (seen.udp.source_port, seen.udp.destination_port, seen.udp.length) == (1, 2, 12)
    for reply in (False, True):
        seen = build.dissect(build.icmp_echo(a, b, 7, 8, b"data", reply=reply))
        message = seen.icmp if a == A4 else seen.icmpv6
        assert message.type == ({False: 8, True: 0} if a == A4 else {False: 128, True: 129})[reply]
        assert (message.identifier, message.sequence, message.payload) == (7, 8, b"data")
        assert seen.checksums_ok is True


def test_layer_3_has_no_link_header() -> None:
    for a, b in FAMILIES:
        frame = build.udp(a, b, 1, 2, b"x")
        packet = build.udp(a, b, 1, 2, b"x", layer=3)
        assert frame[14:] == packet
        assert build.dissect(packet, layer=3).packet == packet
        assert ethernet.EthernetHeader not in build.dissect(packet, layer=3)


def test_l2_takes_vlans_from_either_place_but_not_from_both() -> None:
    bare = L2._replace(vlans=())
    seen = build.dissect(build.udp(A4, B4, 1, 2, l2=bare, vlans=5))
    assert seen.l2info == bare._replace(vlans=(VlanTag(5),))
    with pytest.raises(InvalidArgument):
        build.udp(A4, B4, 1, 2, l2=L2, vlans=5)


def test_mixed_families_raise() -> None:
    with pytest.raises(InvalidArgument):
        build.tcp(A4, B6, 1, 2)


def test_arp_request_and_reply_come_out_as_they_were_asked_for() -> None:
    seen = build.dissect(build.arp_request(A4, B4, vlans=5).ljust(64, b"\0"))
    assert seen.ethernet.destination == BROADCAST_MAC and seen.ethernet.vlans == (VlanTag(5),)
    assert seen.arp.op == 1 and seen.arp.sha == build.SOURCE_MAC and seen.arp.tpa == pack_address(B4)
    assert seen.padding == bytes(64 - 46)
    seen = build.dissect(build.arp_reply(A4, B4, "02:00:00:00:00:0c", l2=L2))
    assert (seen.arp.sha, seen.arp.tha) == (Mac("02:00:00:00:00:0c"), L2.destination)
    assert ArpPacket in seen


def test_nd_message_comes_out_as_it_was_asked_for() -> None:
    message = nd.NeighborSolicitation(pack_address(B6))
    seen = build.dissect(build.nd_message(A6, nd.solicited_node(pack_address(B6)), message))
    assert seen.nd == message and seen.ipv6.hop_limit == 255 and seen.checksums_ok is True
    with pytest.raises(InvalidArgument):
        _ = build.dissect(build.udp(A6, B6, 1, 2)).nd


@pytest.mark.parametrize(("a", "b"), FAMILIES)
def test_fragments_together_are_the_packet(a: str, b: str) -> None:
    packet = build.udp(a, b, 1, 2, bytes(range(200)), layer=3)
    pieces = [build.dissect(piece, layer=3) for piece in build.fragments(packet, 64, 9)]
    assert len(pieces) == 4
    header = 20 if a == A4 else 40
    body = b"".join(piece.packet[header + (0 if a == A4 else 8) :] for piece in pieces)
    assert body == packet[header:]
    for index, piece in enumerate(pieces):
        fragment = piece.ipv4 if a == A4 else piece.get(ipv6_extensions.FragmentHeader)
        assert fragment is not None and fragment.fragment_offset == index * 64
        assert fragment.identification == 9 and fragment.more_fragments is (index < 3)
        assert index == 0 or udp.UdpHeader not in piece
    with pytest.raises(InvalidArgument):
        build.fragments(packet, 12)


def test_ip_extensions_form_a_chain() -> None:
    kinds = ipv6_extensions.HOP_BY_HOP, ipv6_extensions.DESTINATION_OPTIONS
    extensions = [ipv6_extensions.OptionsHeader(kind, 99) for kind in kinds]
    datagram = udp.emit(udp.UdpHeader(1, 2), b"x", pack_address(A6), pack_address(B6))
    seen = build.dissect(build.ip(A6, B6, 17, datagram, extensions=extensions), layer=3)
    assert seen.ipv6.next_header == 0 and seen.payload == b"x" and seen.checksums_ok is True
    headers = [layer for layer in seen.layers if isinstance(layer, ipv6_extensions.OptionsHeader)]
    assert [(header.kind, header.next_header) for header in headers] == [(0, 60), (60, 17)]


def test_dissect_padding_is_no_payload() -> None:
    seen = build.dissect(build.tcp(A4, B4, 1, 2).ljust(60, b"\xee"))
    assert seen.payload == b"" and seen.padding == b"\xee" * 6 and seen.checksums_ok is True


def test_dissect_stops_at_the_first_layer_that_is_not_whole() -> None:
    frame = build.tcp(A4, B4, 1, 2)
    assert build.dissect(frame[:10]).layers == ()
    assert [type(layer) for layer in build.dissect(frame[:50]).layers] == [ethernet.EthernetHeader]
    assert build.dissect(frame[:50]).payload == frame[14:50]
    broken = bytearray(frame)
    broken[46] = 0xF0
    seen = build.dissect(bytes(broken))
    assert seen.get(Ipv4Header) is not None and seen.get(tcp.TcpHeader) is None
    assert seen.payload == bytes(broken[34:])


def test_dissected_missing_layer_raises_one_line_that_names_what_is_there() -> None:
    seen = build.dissect(build.udp(A4, B4, 1, 2))
    with pytest.raises(InvalidArgument, match=r"no TcpHeader .* EthernetHeader, Ipv4Header, UdpHeader"):
        _ = seen.tcp
    for name in ("arp", "ipv6", "icmp", "icmpv6", "nd", "flags"):
        with pytest.raises(InvalidArgument):
            getattr(seen, name)
    assert Ipv6Header not in seen


def test_dissect_unknown_ethertype_is_payload() -> None:
    frame = ethernet.emit(ethernet.EthernetHeader(L2.source, L2.destination, 0x88CC)) + b"lldp"
    assert build.dissect(frame).payload == b"lldp"
