from __future__ import annotations

import pytest

from uinet.wire import build, icmpv6, nd
from uinet.wire import ipv6_extensions as ext
from uinet.wire.addresses import L2Info, Mac, VlanTag, link_header, pack_address
from uinet.wire.show import show
from uinet.wire.tcp_options import (
    FastOpen,
    Mss,
    Nop,
    Option,
    Sack,
    SackPermitted,
    Timestamps,
    Unknown,
    WindowScale,
)

A4, B4 = "10.0.0.1", "10.0.0.2"
A6, B6 = "fe80::1", "fe80::2"
MAC = Mac("02:00:00:00:00:0a")
SLLA = nd.link_layer_option(nd.SOURCE_LINK_LAYER, MAC)
TLLA = nd.link_layer_option(nd.TARGET_LINK_LAYER, MAC)
SYN_OPTIONS = (Mss(1460), SackPermitted(), Timestamps(1, 2), Nop(), WindowScale(7))
QUOTED4 = build.udp(A4, B4, 5, 53, layer=3)
QUOTED6 = build.udp(A6, B6, 5, 53, layer=3)
LINK = L2Info(MAC, MAC)


@pytest.mark.parametrize(("frame", "line"), [
    (build.tcp(A4, B4, 1, 2, options=SYN_OPTIONS),
     "IP 10.0.0.1.1 > 10.0.0.2.2: Flags [S], seq 0, win 65535, "
     "options [mss 1460,sackOK,TS val 1 ecr 2,nop,wscale 7], length 0"),
    (build.tcp(A6, B6, 1, 2, "P.", 0xFFFFFFF0, 5, 9, payload=bytes(100)),
     "IP6 fe80::1.1 > fe80::2.2: Flags [P.], seq 4294967280:84, ack 5, win 9, length 100"),
    (build.tcp(A4, B4, 1, 2, 0, urgent_pointer=3),
     "IP 10.0.0.1.1 > 10.0.0.2.2: Flags [none], seq 0, win 65535, length 0"),
    (build.tcp(A4, B4, 1, 2, "U", urgent_pointer=3),
     "IP 10.0.0.1.1 > 10.0.0.2.2: Flags [U], seq 0, win 65535, urg 3, length 0"),
    (build.udp(A4, B4, 1, 2, b"xyz"), "IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 3"),
    (build.icmp_echo(A4, B4, 7, 8), "IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 7, seq 8, length 8"),
    (build.icmp_echo(A6, B6, 7, 8, reply=True),
     "IP6 fe80::1 > fe80::2: ICMP6, echo reply, id 7, seq 8, length 8"),
    (build.icmp_message(A4, B4, 3, 3, 0, QUOTED4),
     "IP 10.0.0.1 > 10.0.0.2: ICMP unreachable - port for UDP 10.0.0.1.5 > 10.0.0.2.53, length 36"),
    (build.icmp_message(A4, B4, 3, 4, 1400, QUOTED4),
     "IP 10.0.0.1 > 10.0.0.2: ICMP unreachable - need to frag (mtu 1400) "
     "for UDP 10.0.0.1.5 > 10.0.0.2.53, length 36"),
    (build.icmp_message(A4, B4, 3, 77), "IP 10.0.0.1 > 10.0.0.2: ICMP unreachable - code 77, length 8"),
    (build.icmp_message(A4, B4, 5, 1, 0x0A000009),
     "IP 10.0.0.1 > 10.0.0.2: ICMP redirect to 10.0.0.9, length 8"),
    (build.icmp_message(A4, B4, 11, 1), "IP 10.0.0.1 > 10.0.0.2: ICMP time exceeded code 1, length 8"),
    (build.icmp_message(A4, B4, 99), "IP 10.0.0.1 > 10.0.0.2: ICMP type 99, length 8"),
    (build.icmp_message(A6, B6, 1, 4, 0, QUOTED6),
     "IP6 fe80::1 > fe80::2: ICMP6, unreachable - port for UDP fe80::1.5 > fe80::2.53, length 56"),
    (build.icmp_message(A6, B6, 2, 0, 1280),
     "IP6 fe80::1 > fe80::2: ICMP6, packet too big, mtu 1280, length 8"),
    (build.icmp_message(A6, B6, 4, 2, 9), "IP6 fe80::1 > fe80::2: ICMP6, parameter problem code 2, length 8"),
    (build.nd_message(A6, B6, nd.NeighborSolicitation(pack_address(B6), (SLLA,))),
     "IP6 fe80::1 > fe80::2: ICMP6, neighbor solicitation, "
     "who has fe80::2 (from 02:00:00:00:00:0a), length 32"),
    (build.nd_message(A6, B6, nd.NeighborAdvertisement(
        pack_address(B6), nd.FLAG_SOLICITED | nd.FLAG_OVERRIDE, (TLLA,))),
     "IP6 fe80::1 > fe80::2: ICMP6, neighbor advertisement, tgt is fe80::2 at 02:00:00:00:00:0a, "
     "Flags [solicited, override], length 32"),
    (build.nd_message(A6, B6, nd.RouterSolicitation((SLLA,))),
     "IP6 fe80::1 > fe80::2: ICMP6, router solicitation (from 02:00:00:00:00:0a), length 16"),
    (build.nd_message(A6, B6, nd.RouterAdvertisement(
        64, 0, 1800, 0, 0, (nd.PrefixInformation(pack_address("2001:db8::"), 64).option(),))),
     "IP6 fe80::1 > fe80::2: ICMP6, router advertisement, lifetime 1800s, prefix 2001:db8::/64, length 48"),
    (build.nd_message(A6, B6, nd.Redirect(pack_address(A6), pack_address("2001:db8::5"))),
     "IP6 fe80::1 > fe80::2: ICMP6, redirect, 2001:db8::5 to fe80::1, length 40"),
    (build.arp_request(A4, B4), "ARP, Request who-has 10.0.0.2 tell 10.0.0.1, length 28"),
    (build.arp_reply(A4, B4, MAC), "ARP, Reply 10.0.0.1 is-at 02:00:00:00:00:0a, length 28"),
    (build.frame(build.ip(A4, B4, 47, b"gre!")), "IP 10.0.0.1 > 10.0.0.2: GRE, length 4"),
    (build.frame(build.ip(A4, B4, 250, b"?", options=b"\x94\4\0\0")),
     "IP 10.0.0.1 > 10.0.0.2: options [94040000], ip-proto-250, length 1"),
    (link_header(LINK, 0x88CC) + b"lldp", "LLDP, length 4"),
    (link_header(LINK, 0x1234), "ethertype 0x1234, length 0"),
    (link_header(LINK, 100), "802.3, length 100"),
])
def test_show_sound_frame_prints_as_tcpdump_does(frame: bytes, line: str) -> None:
    assert show(frame) == line


@pytest.mark.parametrize(("options", "text"), [
    ((Sack(((1, 2), (3, 4))), Nop(), Nop()), "sack 2 {1:2}{3:4},nop,nop"),
    ((FastOpen(), Nop(), Nop()), "tfo cookiereq,nop,nop"),
    ((FastOpen(b"\xde\xad\xbe\xef"), Nop(), Nop()), "tfo cookie deadbeef,nop,nop"),
    ((Unknown(19, b"\xab\xcd"),), "md5 0xabcd"),
    ((Unknown(29, b"\xab\xcd"),), "ao 0xabcd"),
    ((Unknown(77), Nop()), "unknown-77,nop,eol"),
])
def test_show_rarer_options_are_named(options: tuple[Option, ...], text: str) -> None:
    assert f"options [{text}], length 0" in show(build.tcp(A4, B4, 1, 2, options=options))


def test_show_vlans_tell_what_is_not_plain() -> None:
    frame = build.udp(A4, B4, 1, 2, vlans=(5, VlanTag(6, 3, 1, 0x88A8)))
    assert show(frame) == "vlan 5, 0x88a8 vlan 6, p 3, DEI, IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 0"
    assert show(frame, macs=True).startswith("02:00:00:00:00:01 > 02:00:00:00:00:02, vlan 5, ")


def test_show_layer_3_takes_bare_packets() -> None:
    assert show(QUOTED4, layer=3) == "IP 10.0.0.1.5 > 10.0.0.2.53: UDP, length 0"
    assert show(QUOTED6, 3) == "IP6 fe80::1.5 > fe80::2.53: UDP, length 0"


@pytest.mark.parametrize(("time", "relative", "stamp"), [
    (1_700_000_000_123_456_789, None, "22:13:20.123456 "),
    (0, None, "00:00:00.000000 "),
    (1_500_000_000, 1_000_000_000, "0.500000 "),
    (1_000_000_000, 1_500_000_999, "-0.500000 "),
])
def test_show_time_is_of_day_or_relative(time: int, relative: int | None, stamp: str) -> None:
    assert show(QUOTED4, 3, time, relative) == stamp + show(QUOTED4, 3)


@pytest.mark.parametrize(("family", "fragment_lines"), [
    ((A4, B4), ["UDP fragment, id 1, offset 0+, length 64", "UDP fragment, id 1, offset 64, length 44"]),
    ((A6, B6), ["UDP fragment, id 1, offset 0+, length 64", "UDP fragment, id 1, offset 64, length 44"]),
])
def test_show_fragments_tell_their_place(family: tuple[str, str], fragment_lines: list[str]) -> None:
    pieces = build.fragments(build.udp(*family, 1, 2, bytes(100), layer=3), 64)
    assert [show(piece, 3).split(": ")[1] for piece in pieces] == fragment_lines


@pytest.mark.parametrize(("extensions", "text"), [
    ((ext.OptionsHeader(0, 0), ext.OptionsHeader(60, 0), ext.RoutingHeader(0, 0)),
     "HBH DSTOPT RT UDP, length 4"),
    ((ext.FragmentHeader(0, 0, False, 1),), "UDP, length 4"),
    ((ext.RoutingHeader(0, 0, 1),), "RT [extension headers: source route]"),
    ((ext.OptionsHeader(60, 0), ext.OptionsHeader(0, 0)),
     "DSTOPT HBH [extension headers: hop-by-hop not first]"),
])
def test_show_extension_headers_are_named(extensions: tuple[ext.Extension, ...], text: str) -> None:
    datagram = b"\0\1\0\2\0\x0c\0\0data"
    assert show(build.ip(A6, B6, 17, datagram, extensions=extensions), 3).endswith(text)


def changed(frame: bytes, at: int, value: int) -> bytes:
    return frame[:at] + bytes((value,)) + frame[at + 1 :]


TCP = build.tcp(A4, B4, 1, 2)
UDP = build.udp(A4, B4, 1, 2, b"xyz")


@pytest.mark.parametrize(("frame", "line"), [
    (b"", "[|ether] 0 bytes: "),
    (b"abc", "[|ether] 3 bytes: 616263"),
    (link_header(L2Info(MAC, MAC, (VlanTag(1),) * 16), 0x8100) + b"\0\1\x08\0",
     "more than 16 VLAN tags, length 82"),
    (link_header(LINK, 0x0800), "IP [bad version 0] length 0"),
    (link_header(LINK, 0x0800) + b"\x60", "IP [bad version 6] length 1"),
    (link_header(LINK, 0x86DD) + b"\x45", "IP6 [bad version 4] length 1"),
    (TCP[:30], "IP [|ip]"),
    (build.tcp(A6, B6, 1, 2)[:50], "IP6 [|ip6]"),
    (changed(TCP, 17, 10), "IP 10.0.0.1 > 10.0.0.2: [bad total length 10]"),
    (TCP[:36], "IP 10.0.0.1 > 10.0.0.2: [|tcp]"),
    (TCP[:45], "IP 10.0.0.1.1 > 10.0.0.2.2: [|tcp]"),
    (changed(TCP, 46, 0x40), "IP 10.0.0.1.1 > 10.0.0.2.2: [|tcp]"),
    (UDP[:36], "IP 10.0.0.1 > 10.0.0.2: [|udp]"),
    (UDP[:40], "IP 10.0.0.1.1 > 10.0.0.2.2: [|udp]"),
    (changed(UDP, 39, 7), "IP 10.0.0.1.1 > 10.0.0.2.2: UDP, [bad length 7 of 11]"),
    (changed(UDP, 39, 12), "IP 10.0.0.1.1 > 10.0.0.2.2: UDP, [bad length 12 of 11]"),
    (build.icmp_echo(A4, B4)[:40], "IP 10.0.0.1 > 10.0.0.2: [|icmp]"),
    (build.icmp_echo(A6, B6)[:60], "IP6 fe80::1 > fe80::2: [|icmp6]"),
    (build.arp_request(A4, B4)[:30], "[|arp]"),
    (changed(build.arp_request(A4, B4), 15, 6), "ARP, operation 1 for hardware 6 and protocol 0x0800"),
    (changed(build.arp_request(A4, B4), 21, 9), "ARP, operation 9, 10.0.0.1 to 10.0.0.2, length 28"),
])
def test_show_broken_frame_says_what_is_wrong(frame: bytes, line: str) -> None:
    assert show(frame) == line


def test_show_capture_that_kept_less_tells_the_real_length() -> None:
    kept = build.tcp(A4, B4, 1, 2, "P.", payload=bytes(1000))[:60]
    assert show(kept).endswith("seq 0:1000, ack 0, win 65535, length 1000")


def test_show_frame_before_segmentation_has_the_length_of_its_bytes() -> None:
    frame = bytearray(build.tcp(A4, B4, 1, 2, ".", payload=bytes(1000)))
    frame[16:18] = b"\0\0"
    assert show(bytes(frame)).endswith("length 1000")


@pytest.mark.parametrize("data", [b"", b"\x55", bytes(20)])
def test_show_layer_3_nonsense_prints(data: bytes) -> None:
    assert show(data, 3) in ("[|ip]", "IP [bad version 5] length 1", "IP [bad version 0] length 20")


def test_show_malformed_nd_prints_its_type() -> None:
    message = icmpv6.Icmpv6Message(icmpv6.NEIGHBOR_SOLICITATION, 0, 0, b"short")
    data = icmpv6.emit(message, pack_address(A6), pack_address(B6))
    assert show(build.ip(A6, B6, 58, data), 3).endswith("ICMP6, neighbor solicitation, length 13")
