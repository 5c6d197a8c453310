"""RFC 8200 and RFC 4443: IPv6 and ICMPv6 as a host has to speak them."""

from __future__ import annotations

import pytest

import uinet
from tests.conformance.ip.lan import (
    OURS6,
    OUTSIDE6,
    PEER6,
    TO_ALL,
    TO_US,
    Lan,
    frame_of,
    header_of,
    icmp_of,
    p,
    packet_of,
    to_group,
)
from uinet.wire import build, icmpv6, nd
from uinet.wire.ipv6_extensions import FragmentHeader, Option, OptionsHeader, RoutingHeader

HELLO = build.udp(PEER6, OURS6, 1234, 7000, b"hello", l2=TO_US)
DATAGRAM = bytes(packet_of(HELLO))[40:]


@pytest.fixture
def lan() -> Lan:
    return Lan()


def with_headers(*extensions: OptionsHeader | RoutingHeader | FragmentHeader, to: str = OURS6) -> bytes:
    body = bytes(packet_of(build.udp(PEER6, to, 1234, 7000, b"hello")))[40:]
    link = to_group(to) if to.startswith("ff") else TO_US
    return frame_of(build.ip(PEER6, to, 17, body, extensions=extensions), link)


def options(kind: int, *, header: int = 60) -> OptionsHeader:
    return OptionsHeader(header, 17, (Option(kind, b"ab"),))


# the header


@pytest.mark.rfc("8200", "3", "a packet of another version, or longer than what came, is dropped")
@pytest.mark.parametrize(("at", "value", "counter"), [(0, 0x50, "ip_bad_version"), (4, 0xFF, "ip_bad_length")])
def test_impossible_headers_are_dropped(lan: Lan, at: int, value: int, counter: str) -> None:
    sock = lan.udp()
    packet = packet_of(HELLO)
    packet[at] = value
    assert lan.feed(HELLO[:14] + bytes(packet)) == [] and not sock.readable and lan.stats[counter] == 1


@pytest.mark.rfc("8200", "3", "a destination does not discard a packet for a hop limit of 0")
@pytest.mark.parametrize("limit", [0, 1])
def test_small_hop_limits_are_taken(lan: Lan, limit: int) -> None:
    sock = lan.udp()
    packet = packet_of(HELLO)
    packet[7] = limit
    lan.feed(frame_of(packet))
    assert sock.recv(10) == b"hello"


@pytest.mark.rfc("8200", "6", "flow labels that are not supported are 0 when sent and ignored when received")
def test_flow_labels(lan: Lan) -> None:
    sock = lan.udp()
    lan.feed(frame_of(build.ip(PEER6, OURS6, 17, DATAGRAM, flow_label=0xABCDE)))
    assert sock.recv(10) == b"hello"
    sock.sendto(b"x", (PEER6, 9))
    assert lan.sent()[0].ipv6.flow_label == 0


@pytest.mark.rfc("8200", "7", "the upper layer chooses the traffic class, 0 by default")
def test_traffic_class_and_hop_limit_are_the_sockets(lan: Lan) -> None:
    sock = lan.udp()
    sock.sendto(b"x", (PEER6, 9))
    sock.setsockopt(uinet.IPPROTO_IPV6, uinet.IPV6_TCLASS, 0xB8)
    sock.setsockopt(uinet.IPPROTO_IPV6, uinet.IPV6_UNICAST_HOPS, 9)
    sock.sendto(b"x", (PEER6, 9))
    first, second = lan.sent()
    assert (first.ipv6.traffic_class, first.ipv6.hop_limit) == (0, 64)
    assert (second.ipv6.traffic_class, second.ipv6.hop_limit) == (0xB8, 9)


@pytest.mark.rfc("4291", "2.5", "what a packet may not come from: groups, ::1, ourselves, :: but for ICMPv6")
@pytest.mark.threat(85)
@pytest.mark.parametrize("source", ["::", "::1", "ff02::1", OURS6, "::ffff:10.0.0.1"])
def test_impossible_sources_are_dropped(lan: Lan, source: str) -> None:
    sock = lan.udp()
    packet = packet_of(HELLO)
    packet[8:24] = p(source) if ":" in source else p("::")
    if source.startswith("::ffff"):
        packet[8:24] = bytes(10) + b"\xff\xff\x0a\0\0\1"
    assert lan.feed(frame_of(packet)) == [] and not sock.readable and lan.stats["ip_martian_source"] == 1


@pytest.mark.rfc("8200", "4.4", "a host does not forward")
@pytest.mark.parametrize("destination", ["2001:db8::3", OUTSIDE6, "::1", "ff05::99", "fe80::99"])
def test_what_is_not_for_us_is_dropped(lan: Lan, destination: str) -> None:
    sock = lan.udp()
    packet = packet_of(build.udp(PEER6, destination, 1, 7000, b"hello"))
    assert lan.feed(frame_of(packet)) == [] and not sock.readable and lan.stats["ip_not_ours"] == 1


# extension headers, in whole


@pytest.mark.rfc("8200", "4.2", "action 00: an unknown option is skipped")
@pytest.mark.rfc("8200", "4.1", "headers are taken in any order, destination options more than once")
def test_packets_with_known_and_skippable_headers_are_delivered(lan: Lan) -> None:
    sock = lan.udp()
    chains: list[tuple[OptionsHeader | RoutingHeader, ...]] = [
        (OptionsHeader(0, 17, (Option(5, b"\0\0"),)),), (options(0x1E),), (options(0x1E, header=0),),
        (RoutingHeader(17, 0, 0, bytes(4)),), (RoutingHeader(17, 200, 0, bytes(4)),),
        (options(0x1E), RoutingHeader(17, 0, 0, bytes(4)), options(0x3E)),
    ]
    for chain in chains:
        assert lan.feed(with_headers(*chain)) == []
        assert sock.recv(10) == b"hello"


@pytest.mark.rfc("8200", "4.2", "actions 01, 10 and 11 of unknown options, to us and to a group")
@pytest.mark.parametrize(
    ("kind", "to", "answer"),
    [
        (0x5E, OURS6, []), (0x9E, OURS6, [(4, 2)]), (0xDE, OURS6, [(4, 2)]), (0x5E, "ff02::1", []),
        (0x9E, "ff02::1", [(4, 2)]), (0xDE, "ff02::1", []),
    ],
)
@pytest.mark.parametrize("header", [0, 60])
def test_unknown_options_do_what_their_type_says(
    lan: Lan, kind: int, to: str, answer: list[tuple[int, int]], header: int
) -> None:
    sock = lan.udp()
    out = lan.feed(with_headers(options(kind, header=header), to=to))
    assert icmp_of(out) == answer and not sock.readable
    if answer:
        assert out[0].icmpv6.pointer == 42 and out[0].source == p(OURS6)


@pytest.mark.threat(80)
@pytest.mark.rfc("8200", "4.4", "an unrecognized routing type with segments left: parameter problem code 0 at the type")
@pytest.mark.rfc("5095", "3", "MUST treat routing type 0 as unrecognized")
@pytest.mark.parametrize("kind", [0, 3, 200])
def test_routing_headers_with_segments_left_are_refused(lan: Lan, kind: int) -> None:
    sock = lan.udp()
    (answer,) = lan.feed(with_headers(RoutingHeader(17, kind, 1, bytes(4) + p(PEER6))))
    assert icmp_of([answer]) == [(4, 0)] and answer.icmpv6.pointer == 42 and not sock.readable


@pytest.mark.rfc("8200", "4", "an unrecognized next header: parameter problem code 1 at the byte that names it")
@pytest.mark.rfc("8200", "4.3", "a hop-by-hop header elsewhere than first is unrecognized")
def test_unrecognized_next_headers_are_refused(lan: Lan) -> None:
    (first,) = lan.feed(frame_of(build.ip(PEER6, OURS6, 199, bytes(8))))
    (second,) = lan.feed(with_headers(options(0x1E), options(0x1E, header=0)))
    assert icmp_of([first, second]) == [(4, 1), (4, 1)]
    assert (first.icmpv6.pointer, second.icmpv6.pointer) == (6, 40)


@pytest.mark.rfc("8200", "4.7", "no next header: what follows is ignored, in silence")
def test_no_next_header_is_silent(lan: Lan) -> None:
    assert lan.feed(frame_of(build.ip(PEER6, OURS6, 59, b"anything"))) == []


@pytest.mark.threat(80)
@pytest.mark.rfc("8504", "5.3", "a node MAY limit the headers and options that it takes")
def test_chains_without_end_are_dropped(lan: Lan) -> None:
    sock = lan.udp()
    assert lan.feed(with_headers(*[OptionsHeader(60, 17) for _ in range(100)])) == []
    assert not sock.readable and lan.stats["ip_bad_options"] == 1


# fragments


@pytest.mark.rfc("8200", "5", "MUST accept a fragmented packet of 1500 bytes when reassembled, MAY a larger one")
@pytest.mark.rfc("8200", "4.5", "fragments come in any order; the payload is whole")
@pytest.mark.parametrize("size", [1452, 3000, 60000])
def test_fragmented_packets_are_reassembled(lan: Lan, size: int) -> None:
    sock = lan.udp()
    pieces = build.fragments(build.udp(PEER6, OURS6, 1, 7000, bytes(size), layer=3), 1000)
    for piece in reversed(pieces):
        assert lan.feed(frame_of(piece)) == []
    assert sock.recv(70000) == bytes(size)


@pytest.mark.rfc("8200", "4.5", "60 s after the first fragment has come the rest is discarded: time exceeded code 1")
def test_incomplete_packets_are_discarded_after_60_seconds(lan: Lan) -> None:
    first, *_ = build.fragments(build.udp(PEER6, OURS6, 1, 7000, bytes(3000), layer=3), 1000)
    lan.feed(frame_of(first))
    assert lan.advance(59.5) == [] and icmp_of(lan.advance(1)) == [(3, 1)]


@pytest.mark.threat(77)
@pytest.mark.rfc("8200", "4.5", "overlapping fragments: all are silently discarded")
def test_overlapping_fragments_are_discarded_in_silence(lan: Lan) -> None:
    sock = lan.udp()
    packet = build.udp(PEER6, OURS6, 1, 7000, bytes(2000), layer=3)
    for piece in (*build.fragments(packet, 1000)[:1], *build.fragments(packet, 904)):
        assert lan.feed(frame_of(piece)) == []
    assert not sock.readable and lan.stats["frag_overlap"] > 0
    assert lan.advance(70) == []


@pytest.mark.rfc(
    "8200", "4.5",
    "what is sent in fragments: multiples of 8, none above the path MTU, one identification",
)
def test_large_datagrams_are_sent_in_fragments(lan: Lan) -> None:
    lan.udp().sendto(bytes(4000), (PEER6, 9))
    frames = lan.sent()
    headers = [frame.get(FragmentHeader) for frame in frames]
    assert all(len(frame.packet) <= 1500 for frame in frames)
    assert len({header.identification for header in headers if header is not None}) == 1
    assert [header.more_fragments for header in headers if header is not None] == [True, True, False]
    assert all(header is not None and header.fragment_offset % 8 == 0 for header in headers)


# the upper layers


@pytest.mark.rfc("8200", "8.1", "MUST discard UDP without a checksum, and what fails it; MUST send one")
def test_udp_checksum_is_required(lan: Lan) -> None:
    sock = lan.udp()
    packet = packet_of(HELLO)
    packet[46:48] = bytes(2)
    lan.feed(frame_of(packet))
    packet[46:48] = b"\1\1"
    lan.feed(frame_of(packet))
    assert not sock.readable and lan.stats["udp_bad_checksum"] == 2
    sock.sendto(b"x", (PEER6, 9))
    assert lan.sent()[0].checksums_ok


@pytest.mark.rfc("8200", "8.3", "the MSS is computed from the link's MTU less 60 bytes")
def test_mss_is_that_of_ipv6(lan: Lan) -> None:
    lan.stack.connect((PEER6, 80))
    (syn,) = lan.sent()
    assert b"\x02\x04\x05\xa0" in syn.packet[60:]


# RFC 4443


@pytest.mark.rfc("4443", "2.2", "an answer comes from the address that the message was sent to")
def test_echo_reply_comes_from_the_address_that_was_asked(lan: Lan) -> None:
    lan.eth0.add_address("2001:db8::22/64")
    (reply,) = lan.feed(build.icmp_echo(PEER6, "2001:db8::22", 7, 9, b"data", l2=TO_US))
    assert reply.source == p("2001:db8::22") and reply.icmpv6.type == 129 and reply.checksums_ok
    assert (reply.icmpv6.identifier, reply.icmpv6.sequence, reply.icmpv6.payload) == (7, 9, b"data")


@pytest.mark.rfc(
    "4443", "4.2", "SHOULD answer an echo request to a multicast address",
    deviation="they are ignored: every host of the link would answer one stranger",
)
def test_echo_request_to_a_group_is_ignored(lan: Lan) -> None:
    assert lan.feed(build.icmp_echo(PEER6, "ff02::1", l2=to_group("ff02::1"))) == []


@pytest.mark.rfc("4443", "2.4", "(e.6) no error about a packet whose source is not one node")
@pytest.mark.rfc("4443", "2.4", "(e.3) (e.4) no error about a packet to a group, nor in a link-layer broadcast")
def test_what_gets_no_error(lan: Lan) -> None:
    body = bytes(packet_of(build.udp(PEER6, "ff02::1", 1, 7001, b"x")))
    assert lan.feed(frame_of(body, to_group("ff02::1"))) == []
    assert lan.feed(build.udp(PEER6, OURS6, 1, 7001, b"x", l2=TO_ALL)) == []
    assert icmp_of(lan.feed(build.udp(PEER6, OURS6, 1, 7001, b"x", l2=TO_US))) == [(1, 4)]


@pytest.mark.rfc("4443", "2.4", "(e.1) (e.2) no error about an error, nor about a redirect")
def test_errors_about_errors_are_not_sent(lan: Lan) -> None:
    for kind in (1, 3, 100, 137):
        body = icmpv6.emit(icmpv6.Icmpv6Message(kind, 0, 0, bytes(40)), p(PEER6), p(OURS6))
        packet = build.ip(PEER6, OURS6, 58, body, extensions=(options(0x9E),))
        assert lan.feed(frame_of(packet)) == []
    echo = icmpv6.emit(icmpv6.echo(128, 1, 1), p(PEER6), p(OURS6))
    assert icmp_of(lan.feed(frame_of(build.ip(PEER6, OURS6, 58, echo, extensions=(options(0x9E),))))) == [(4, 2)]


@pytest.mark.rfc("4443", "2.4", "(c) as much as fits 1280 bytes is quoted")
def test_errors_fit_the_minimum_mtu(lan: Lan) -> None:
    (error,) = lan.feed(build.udp(PEER6, OURS6, 1, 7001, bytes(1400), l2=TO_US))
    assert len(error.packet) == 1280 and error.checksums_ok and header_of(error).destination == p(PEER6)


@pytest.mark.rfc("4443", "2.4", "(f) the rate of errors MUST be limited")
def test_errors_are_limited(lan: Lan) -> None:
    count = sum(len(lan.feed(build.udp(PEER6, OURS6, n, 7001, b"x", l2=TO_US))) for n in range(1, 200))
    assert 1 <= count <= 10 and lan.stats["icmp_rate_limited"] >= 180


@pytest.mark.rfc(
    "4443", "3.1",
    "address unreachable (code 3) is what the sender learns of a neighbour that does not answer",
)
def test_neighbour_that_does_not_answer_is_an_error_for_the_sender() -> None:
    lan = Lan(known=False)
    sock = lan.udp()
    sock.connect((PEER6, 9))
    sock.send(b"x")
    frames = lan.sent() + lan.advance(4)
    assert len([frame for frame in frames if nd.NeighborSolicitation in frame]) == 3
    with pytest.raises(uinet.HostUnreachable):
        sock.recv(10)


@pytest.mark.threat(34)
@pytest.mark.rfc("8201", "4", "MUST lower the path MTU by a Packet Too Big, never below 1280")
@pytest.mark.parametrize(("mtu", "path"), [(1400, 1400), (1280, 1280), (1279, 1500), (68, 1500), (1600, 1500)])
def test_packet_too_big_lowers_the_path_mtu(lan: Lan, mtu: int, path: int) -> None:
    sock = lan.udp()
    sock.sendto(bytes(1452), (OUTSIDE6, 9))
    (frame,) = lan.sent()
    assert len(frame.packet) == 1500
    lan.feed(build.icmp_message("2001:db8::fe", OURS6, 2, 0, mtu, frame.packet[:1232], l2=TO_US))
    assert lan.stack.network.route(p(OUTSIDE6)).mtu == path


@pytest.mark.threat(83)
@pytest.mark.parametrize("size", range(8))
def test_short_icmpv6_messages_are_dropped(lan: Lan, size: int) -> None:
    assert lan.feed(frame_of(build.ip(PEER6, OURS6, 58, bytes(size)))) == [] and lan.stats["icmp_short"] == 1


@pytest.mark.rfc("8200", "5", "IPv6 requires that every link has an MTU of 1280 or more")
def test_ipv6_on_a_smaller_link_is_refused(lan: Lan) -> None:
    small = lan.stack.add_interface("small", mtu=1279)
    small.add_address("10.1.0.2/24")
    with pytest.raises(uinet.InvalidArgument, match="IPv6 needs an MTU of at least 1280: small has 1279"):
        small.add_address("2001:db8:7::1/64")
    with pytest.raises(uinet.InvalidArgument, match="at least 1280"):
        small.autoconfigure()
    lan.stack.add_interface("least", mtu=1280).add_address("2001:db8:7::1/64")
