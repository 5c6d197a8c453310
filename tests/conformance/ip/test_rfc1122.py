"""RFC 1122, sections 2 to 4.1: what a host's link layer, IP, ICMP and UDP have to do."""

from __future__ import annotations

import pytest

import uinet
from tests.conformance.ip.lan import (
    GATEWAY,
    MAC,
    OURS,
    OUTSIDE,
    PEER,
    TO_ALL,
    TO_US,
    Lan,
    frame_of,
    icmp_of,
    p,
    packet_of,
    resum,
    to_group,
)
from uinet.wire import arp, build, icmp, ipv4
from uinet.wire.addresses import BROADCAST_MAC


@pytest.fixture
def lan() -> Lan:
    return Lan()


HELLO = build.udp(PEER, OURS, 1234, 7000, b"hello", l2=TO_US)


def ipv4_packet(lan: Lan, source: str, destination: str = OURS, l2: object = TO_US) -> bytes:
    return build.udp(source, destination, 1234, 7000, b"hello", l2=l2)  # type: ignore[arg-type]


# the link


@pytest.mark.rfc("1122", "2.3.3", "MUST send and receive packets in RFC 894 encapsulation")
def test_ethernet_ii_is_spoken(lan: Lan) -> None:
    sock = lan.udp()
    assert lan.feed(HELLO) == [] and sock.recv(10) == b"hello"
    sock.sendto(b"x", (PEER, 9))
    assert lan.sent()[0].ethernet.ethertype == 0x0800


@pytest.mark.rfc(
    "1122", "2.3.3", "SHOULD receive packets in RFC 1042 encapsulation",
    deviation="802.3 frames with LLC and SNAP are dropped: nobody sends IP so",
)
def test_ieee_802_frames_are_dropped(lan: Lan) -> None:
    sock = lan.udp()
    packet = bytes(packet_of(HELLO))
    snap = b"\xaa\xaa\x03\0\0\0\x08\0" + packet
    lan.feed(HELLO[:12] + len(snap).to_bytes(2, "big") + snap)
    assert not sock.readable and lan.stats["eth_unknown_type"] == 1


@pytest.mark.rfc(
    "1122", "2.4",
    "the link layer MUST NOT report an unreachable ARP target before a packet was sent, and keeps it",
)
def test_packet_waits_for_its_neighbour() -> None:
    lan = Lan(known=False)
    sock = lan.udp()
    sock.sendto(b"x", (PEER, 9))
    (request,) = lan.sent()
    assert request.arp.tpa == p(PEER)
    reply = bytes(MAC) + b"\x02\0\0\0\0\x01\x08\x06" + arp.emit(arp.reply(b"\x02\0\0\0\0\x01", p(PEER), MAC, p(OURS)))
    assert [frame.payload for frame in lan.feed(reply)] == [b"x"]


# the IP header


@pytest.mark.rfc("1122", "3.2.1.1", "MUST silently discard a datagram of another version than 4")
@pytest.mark.parametrize("version", [0, 5, 6, 15])
def test_other_versions_are_dropped(lan: Lan, version: int) -> None:
    sock = lan.udp()
    packet = packet_of(HELLO)
    packet[0] = version << 4 | 5
    assert lan.feed(HELLO[:14] + bytes(packet)) == []
    assert not sock.readable and lan.stats["ip_bad_version"] == 1


@pytest.mark.rfc("1122", "3.2.1.2", "MUST verify the header checksum and silently discard what fails")
def test_bad_header_checksum_is_dropped(lan: Lan) -> None:
    sock = lan.udp()
    packet = packet_of(HELLO)
    packet[10] ^= 1
    assert lan.feed(frame_of(packet)) == [] and not sock.readable and lan.stats["ip_bad_checksum"] == 1


@pytest.mark.rfc("791", "3.1", "a header length under 5, or a total length that can't be, is malformed")
@pytest.mark.parametrize(("at", "value"), [(0, 0x44), (0, 0x4F), (3, 19), (3, 34), (2, 1)])
def test_impossible_lengths_are_dropped(lan: Lan, at: int, value: int) -> None:
    sock = lan.udp()
    packet = packet_of(HELLO)
    packet[at] = value
    assert lan.feed(frame_of(resum(packet))) == [] and not sock.readable
    assert lan.stats["ip_bad_header_length"] + lan.stats["ip_bad_length"] == 1


@pytest.mark.rfc("894", "-", "padding behind the datagram is no part of it")
def test_padding_of_the_link_is_trimmed(lan: Lan) -> None:
    sock = lan.udp()
    lan.feed(HELLO + bytes(20))
    assert sock.recv(100) == b"hello"


@pytest.mark.threat(85)
@pytest.mark.rfc("1122", "3.2.1.3", "MUST silently discard a datagram whose source address can't be one host's")
@pytest.mark.parametrize(
    "source",
    [
        "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.1.2.3", "224.0.0.1", "240.0.0.1", "255.255.255.255", "10.0.0.255",
        OURS,
    ],
)
def test_impossible_sources_are_dropped(lan: Lan, source: str) -> None:
    sock = lan.udp()
    assert lan.feed(ipv4_packet(lan, source)) == [] and not sock.readable and lan.stats["ip_martian_source"] == 1


@pytest.mark.rfc("1122", "3.2.1.3", "MUST silently discard a datagram that is not for this host")
@pytest.mark.rfc("1122", "3.3.5", "a host that is no gateway MUST NOT forward")
@pytest.mark.parametrize("destination", ["10.0.0.3", "192.0.2.1", "127.0.0.1", "127.1.2.3", "239.1.1.1", "0.0.0.0"])
def test_what_is_not_for_us_is_dropped_and_never_forwarded(lan: Lan, destination: str) -> None:
    sock = lan.udp()
    assert lan.feed(ipv4_packet(lan, PEER, destination)) == [] and not sock.readable
    assert lan.stats["ip_not_ours"] == 1


@pytest.mark.rfc("1122", "3.2.1.3", "MUST NOT send from an address that is not its own, nor to the outside from 127/8")
@pytest.mark.parametrize("source", ["10.0.0.3", "10.0.0.255", "224.0.0.1", "255.255.255.255"])
def test_nothing_is_sent_from_other_addresses(lan: Lan, source: str) -> None:
    with pytest.raises(uinet.AddressNotAvailable):
        lan.stack.network.send_ip(p(source), p(PEER), 99, b"x")
    assert lan.sent() == []


@pytest.mark.rfc("1122", "3.2.1.6", "MUST let the transport set the type of service")
@pytest.mark.rfc("1122", "3.2.1.7", "MUST let the transport set the TTL; a fixed one MUST be configurable")
def test_transports_choose_tos_and_ttl(lan: Lan) -> None:
    sock = lan.udp()
    sock.setsockopt(uinet.IPPROTO_IP, uinet.IP_TOS, 0xB8)
    sock.setsockopt(uinet.IPPROTO_IP, uinet.IP_TTL, 9)
    sock.sendto(b"x", (PEER, 9))
    (frame,) = lan.sent()
    assert (frame.ipv4.tos, frame.ipv4.ttl) == (0xB8, 9)


@pytest.mark.rfc("1122", "3.2.1.7", "MUST NOT send a datagram with a TTL of 0")
def test_ttl_0_is_refused(lan: Lan) -> None:
    with pytest.raises(uinet.InvalidArgument):
        lan.udp().setsockopt(uinet.IPPROTO_IP, uinet.IP_TTL, 0)


@pytest.mark.rfc("1122", "3.2.1.7", "MUST NOT discard a datagram for its TTL being less than 2")
@pytest.mark.parametrize("ttl", [0, 1])
def test_small_ttls_are_taken(lan: Lan, ttl: int) -> None:
    sock = lan.udp()
    packet = packet_of(HELLO)
    packet[8] = ttl
    lan.feed(frame_of(resum(packet)))
    assert sock.recv(10) == b"hello"


def with_options(options: bytes) -> bytes:
    body = bytes(packet_of(HELLO))[20:]
    return frame_of(build.ip(PEER, OURS, 17, body, options=options))


@pytest.mark.rfc("1122", "3.2.1.8", "MUST silently ignore options that it does not know, and take the datagram")
@pytest.mark.parametrize(
    "options",
    [b"\x01" * 4, b"\x07\x07\x04\0\0\0\0\0", b"\x44\x08\x05\0\0\0\0\0", b"\x82\x0b" + bytes(10), b"\x5e\x04\0\0"],
    ids=["nop", "record-route", "timestamp", "security", "unknown"],
)
def test_options_are_ignored(lan: Lan, options: bytes) -> None:
    sock = lan.udp()
    assert lan.feed(with_options(options)) == [] and sock.recv(10) == b"hello"


@pytest.mark.threat(81)
@pytest.mark.rfc(
    "1122", "3.2.1.8", "(c) MUST support originating and terminating source routes",
    deviation="datagrams with a source route are dropped (RFC 7126)",
)
@pytest.mark.parametrize("options", [b"\x83\x07\x04\x0a\0\0\x03\0", b"\x89\x07\x08\x0a\0\0\x03\0"])
def test_source_routes_are_dropped(lan: Lan, options: bytes) -> None:
    sock = lan.udp()
    assert lan.feed(with_options(options)) == [] and not sock.readable and lan.stats["ip_source_route"] == 1


@pytest.mark.threat(81)
@pytest.mark.rfc("791", "3.1", "options that run out are malformed")
@pytest.mark.parametrize("options", [b"\x07\x00\0\0", b"\x07\x01\0\0", b"\x01\x01\x01\x07", b"\x07\x20\0\0"])
def test_malformed_options_are_dropped(lan: Lan, options: bytes) -> None:
    sock = lan.udp()
    assert lan.feed(with_options(options)) == [] and not sock.readable and lan.stats["ip_bad_options"] == 1


# ICMP


@pytest.mark.rfc(
    "1122", "3.2.2",
    "an error SHOULD be sent with type of service 0, and from the address that the datagram was sent to",
)
@pytest.mark.rfc("1122", "4.1.3.1", "UDP SHOULD send port unreachable")
def test_port_unreachable_has_tos_0_and_our_address(lan: Lan) -> None:
    lan.eth0.add_address("10.0.0.22/24")
    frame = build.ip(PEER, "10.0.0.22", 17, bytes(packet_of(HELLO))[20:], tos=0xFC)
    packet = bytearray(frame)
    packet[26:28] = bytes(2)  # UDP without a checksum
    (error,) = lan.feed(frame_of(packet))
    assert (error.icmp.type, error.icmp.code) == (3, 3) and error.ipv4.tos == 0 and error.ipv4.ttl == 64
    assert error.source == p("10.0.0.22") and error.icmp.payload == bytes(packet)


@pytest.mark.rfc("1122", "3.2.2.6", "the source of an echo reply is the specific destination of the request")
@pytest.mark.parametrize("address", [OURS, "10.0.0.22", "10.9.9.9"])
def test_echo_reply_comes_from_the_address_that_was_asked(lan: Lan, address: str) -> None:
    lan.eth0.add_address("10.0.0.22/24")
    lan.eth0.add_address("10.9.9.9/16")
    (reply,) = lan.feed(build.icmp_echo(PEER, address, payload=b"data", l2=TO_US))
    assert reply.source == p(address) and reply.icmp.type == icmp.ECHO_REPLY and reply.icmp.payload == b"data"


@pytest.mark.threat(81)
@pytest.mark.rfc(
    "1122", "3.2.2.6", "SHOULD return record route and timestamp options of an echo request",
    deviation="replies carry no options: what a stranger wrote is not copied (CVE-2021-31344)",
)
def test_echo_reply_has_no_options(lan: Lan) -> None:
    echo = bytes(packet_of(build.icmp_echo(PEER, OURS, payload=b"data")))[20:]
    (reply,) = lan.feed(frame_of(build.ip(PEER, OURS, 1, echo, options=b"\x07\x07\x04\0\0\0\0\0")))
    assert reply.ipv4.options == b"" and reply.icmp.payload == b"data"


@pytest.mark.rfc("1122", "3.2.2.2", "a host SHOULD NOT send redirects")
@pytest.mark.rfc(
    "1122", "3.2.2.2",
    "MUST accept redirects", deviation="only where Interface.accept_redirects (RFC 7126)",
)
def test_redirects_are_neither_sent_nor_by_default_taken(lan: Lan) -> None:
    quoted = bytes(packet_of(build.udp(OURS, OUTSIDE, 5, 6)))
    redirect = build.icmp_message(GATEWAY, OURS, 5, 1, int.from_bytes(p("10.0.0.7"), "big"), quoted, l2=TO_US)
    assert lan.feed(redirect) == [] and lan.feed(ipv4_packet(lan, PEER, OUTSIDE)) == []
    assert lan.stack.network.route(p(OUTSIDE)).next_hop.address == p(GATEWAY)


@pytest.mark.rfc("1122", "3.2.2.3", "source quench", deviation="ignored (RFC 6633)")
@pytest.mark.rfc("6633", "3", "MUST silently discard source quench")
def test_source_quench_is_ignored(lan: Lan) -> None:
    sock = lan.udp()
    sock.connect((PEER, 9))
    sock.send(b"x")
    (frame,) = lan.sent()
    assert lan.feed(build.icmp_message(PEER, OURS, 4, 0, 0, frame.packet, l2=TO_US)) == []
    sock.send(b"y")
    assert len(lan.sent()) == 1 and lan.stats["icmp_ignored"] == 1


@pytest.mark.rfc("1122", "3.2.2.8", "timestamps MAY be answered", deviation="they are not: they tell the clock")
@pytest.mark.rfc("1122", "3.2.2.9", "MUST NOT answer address mask requests")
@pytest.mark.parametrize("kind", [13, 15, 17])
def test_timestamp_information_and_mask_requests_are_not_answered(lan: Lan, kind: int) -> None:
    assert lan.feed(build.icmp_message(PEER, OURS, kind, 0, 1 << 16, bytes(12), l2=TO_US)) == []


# routing


@pytest.mark.rfc("1122", "3.3.1.2", "MUST support several default gateways, with an order of preference")
@pytest.mark.rfc("1122", "3.3.1.6", "addresses, masks and gateways MUST be configurable")
def test_default_gateways_have_an_order(lan: Lan) -> None:
    lan.stack.routes.add("0.0.0.0/0", via="10.0.0.253", metric=5)
    assert lan.stack.network.route(p(OUTSIDE)).next_hop.address == p(GATEWAY)
    lan.stack.routes.remove("0.0.0.0/0", via=GATEWAY)
    assert lan.stack.network.route(p(OUTSIDE)).next_hop.address == p("10.0.0.253")


@pytest.mark.rfc("1122", "3.3.1.3", "SHOULD support routes to single hosts and to networks, the most specific first")
def test_most_specific_route_wins(lan: Lan) -> None:
    lan.stack.routes.add("192.0.2.0/24", via="10.0.0.7")
    lan.stack.routes.add("192.0.2.9/32", via="10.0.0.8")
    hops = [lan.stack.network.route(p(to)).next_hop.address for to in ("192.0.2.9", "192.0.2.8", "198.51.100.1")]
    assert hops == [p("10.0.0.8"), p("10.0.0.7"), p(GATEWAY)]


@pytest.mark.rfc("1122", "3.3.1.4", "MUST detect dead gateways; MUST NOT ping them all the time")
@pytest.mark.rfc("1122", "3.3.1.5", "MUST choose another default gateway when one is dead")
def test_dead_gateway_is_replaced_and_asked_once_a_minute() -> None:
    lan = Lan(known=False)
    lan.stack.routes.add("0.0.0.0/0", via="10.0.0.253", metric=5)
    lan.stack.neighbors.add("10.0.0.253", "02:00:00:00:00:fd")
    sock = lan.udp()
    sock.sendto(b"x", (OUTSIDE, 9))
    frames = lan.sent() + lan.advance(4)
    assert [frame.arp.tpa for frame in frames if arp.ArpPacket in frame] == [p(GATEWAY)] * 3
    assert [frame.payload for frame in frames if ipv4.Ipv4Header in frame] == [b"x"]  # what waited goes the other way
    sock.sendto(b"y", (OUTSIDE, 9))
    (frame,) = lan.sent()
    assert str(frame.ethernet.destination) == "02:00:00:00:00:fd"
    asked = [frame for frame in lan.advance(300) if arp.ArpPacket in frame and frame.arp.tpa == p(GATEWAY)]
    assert 4 * 3 <= len(asked) <= 5 * 3


@pytest.mark.rfc("1122", "3.3.1.1", "a destination that no route leads to is an error for who sends")
def test_no_route_is_an_error(lan: Lan) -> None:
    lan.stack.routes.remove("0.0.0.0/0")
    with pytest.raises(uinet.NetworkUnreachable):
        lan.udp().sendto(b"x", (OUTSIDE, 9))


# fragments


@pytest.mark.rfc("1122", "3.3.2", "MUST reassemble datagrams of at least 576 bytes, SHOULD of any size")
@pytest.mark.parametrize("size", [548, 1472, 8000, 65507])
def test_datagrams_of_any_size_are_reassembled(lan: Lan, size: int) -> None:
    sock = lan.udp()
    packet = build.udp(PEER, OURS, 1, 7000, bytes(size), layer=3)
    for piece in build.fragments(packet, 1480) if size > 1472 else [packet]:
        lan.feed(frame_of(piece))
    assert sock.recv(70000) == bytes(size)


@pytest.mark.rfc(
    "1122", "3.3.2", "the reassembly timeout SHOULD be from 60 to 120 s",
    deviation="30 s, as Linux: longer ones serve mostly attackers",
)
def test_reassembly_waits_30_seconds(lan: Lan) -> None:
    first, *_ = build.fragments(build.udp(PEER, OURS, 1, 7000, bytes(3000), layer=3), 1480)
    lan.feed(frame_of(first))
    assert lan.advance(29.5) == []
    assert icmp_of(lan.advance(1)) == [(11, 1)]


@pytest.mark.rfc(
    "1122", "3.3.3",
    "SHOULD fragment what is larger than the MTU; MUST be able to tell the transport what fits",
)
def test_large_datagrams_are_fragmented_to_the_mtu(lan: Lan) -> None:
    lan.udp().sendto(bytes(4000), (PEER, 9))
    frames = lan.sent()
    assert len(frames) == 3 and all(len(frame.packet) <= 1500 for frame in frames)
    assert lan.stack.network.route(p(PEER)).mtu == 1500


# several addresses, broadcasts, groups


@pytest.mark.rfc("1122", "3.3.4.2", "MAY take datagrams to the address of another interface (weak model)")
def test_address_of_another_interface_is_ours_too(lan: Lan) -> None:
    lan.stack.add_interface("eth1").add_address("10.5.0.2/24")
    sock = lan.udp()
    lan.feed(ipv4_packet(lan, PEER, "10.5.0.2"))
    assert sock.recv(10) == b"hello"


@pytest.mark.rfc("1122", "3.3.6", "MUST recognize limited and directed broadcasts")
@pytest.mark.parametrize("destination", ["255.255.255.255", "10.0.0.255"])
def test_broadcasts_are_received(lan: Lan, destination: str) -> None:
    sock = lan.udp()
    lan.feed(ipv4_packet(lan, PEER, destination, TO_ALL))
    assert sock.recv(10) == b"hello"


@pytest.mark.rfc("1122", "3.3.6", "SHOULD silently discard a unicast datagram in a link-layer broadcast")
@pytest.mark.parametrize("proto", ["udp", "tcp", "echo"])
def test_unicast_datagram_in_a_broadcast_frame_is_dropped(lan: Lan, proto: str) -> None:
    sock = lan.udp()
    lan.stack.listen((OURS, 80))
    frame = {
        "udp": ipv4_packet(lan, PEER, OURS, TO_ALL), "tcp": build.tcp(PEER, OURS, 1234, 80, "S", 1, l2=TO_ALL),
        "echo": build.icmp_echo(PEER, OURS, l2=TO_ALL),
    }[proto]
    assert lan.feed(frame) == [] and not sock.readable


@pytest.mark.rfc("1122", "3.3.6", "broadcasts go to the link's broadcast address, and only where that was asked for")
@pytest.mark.parametrize("destination", ["255.255.255.255", "10.0.0.255"])
def test_broadcasts_are_sent_on_request(lan: Lan, destination: str) -> None:
    sock = lan.udp()
    with pytest.raises(uinet.PermissionDenied):
        sock.sendto(b"x", (destination, 9))
    sock.setsockopt(uinet.SOL_SOCKET, uinet.SO_BROADCAST, 1)
    sock.sendto(b"x", (destination, 9))
    (frame,) = lan.sent()
    assert frame.ethernet.destination == BROADCAST_MAC and frame.source == p(OURS)


@pytest.mark.rfc("1122", "3.3.7", "SHOULD support multicast: join, receive, leave; 224.0.0.1 is always joined")
def test_groups_are_received_when_joined(lan: Lan) -> None:
    sock = lan.udp()
    lan.feed(ipv4_packet(lan, PEER, "239.1.1.1", to_group("239.1.1.1")))
    assert not sock.readable
    lan.feed(ipv4_packet(lan, PEER, "224.0.0.1", to_group("224.0.0.1")))
    assert sock.recv(10) == b"hello"
    sock.setsockopt(uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, ("239.1.1.1", "eth0"))
    lan.feed(ipv4_packet(lan, PEER, "239.1.1.1", to_group("239.1.1.1")))
    assert sock.recv(10) == b"hello"


# UDP


@pytest.mark.rfc("1122", "4.1.3.1", "MUST NOT send port unreachable about broadcasts and multicasts")
@pytest.mark.parametrize("destination", ["255.255.255.255", "10.0.0.255", "224.0.0.1"])
def test_nobody_is_told_about_closed_ports_of_broadcasts(lan: Lan, destination: str) -> None:
    assert lan.feed(ipv4_packet(lan, PEER, destination, TO_ALL)) == [] and lan.stats["udp_no_port"] == 1


@pytest.mark.rfc("1122", "4.1.3.3", "MUST pass ICMP errors to the application")
def test_icmp_errors_reach_a_connected_socket(lan: Lan) -> None:
    sock = lan.udp()
    sock.connect((PEER, 9))
    sock.send(b"x")
    (frame,) = lan.sent()
    lan.feed(build.icmp_message(PEER, OURS, 3, 3, 0, frame.packet, l2=TO_US))
    with pytest.raises(ConnectionRefusedError):
        sock.recv(10)


@pytest.mark.threat(38)
@pytest.mark.rfc("1122", "4.1.3.3", "errors that match no socket are dropped")
def test_icmp_errors_about_datagrams_never_sent_are_dropped(lan: Lan) -> None:
    sock = lan.udp()
    sock.connect((PEER, 9))
    for quoted in (build.udp(OURS, PEER, 7000, 10, b"", layer=3), build.udp("10.0.0.3", PEER, 7000, 9, b"", layer=3)):
        lan.feed(build.icmp_message(PEER, OURS, 3, 3, 0, quoted, l2=TO_US))
    assert not sock.readable and lan.stats["icmp_bad_quote"] == 2


@pytest.mark.rfc("1122", "4.1.3.4", "MUST compute and verify checksums; a datagram without one is taken")
def test_udp_checksums(lan: Lan) -> None:
    sock = lan.udp()
    packet = packet_of(HELLO)
    packet[26] ^= 1
    lan.feed(frame_of(packet))
    assert not sock.readable and lan.stats["udp_bad_checksum"] == 1
    packet[26:28] = bytes(2)
    lan.feed(frame_of(packet))
    assert sock.recv(10) == b"hello"
    sock.sendto(b"x", (PEER, 9))
    assert lan.sent()[0].checksums_ok


@pytest.mark.rfc("1122", "4.1.3.5", "MUST tell the application the specific destination, and let it choose the source")
def test_destination_is_told_and_the_source_chosen(lan: Lan) -> None:
    lan.eth0.add_address("10.0.0.22/24")
    sock = lan.udp()
    lan.feed(ipv4_packet(lan, PEER, "10.0.0.22"))
    _, ancillary, _, address = sock.recvmsg(10)
    (told,) = [value for level, name, value in ancillary if (level, name) == (uinet.IPPROTO_IP, uinet.IP_ORIGDSTADDR)]
    assert (str(told[0]), told[1]) == ("10.0.0.22", 7000)
    sock.sendmsg([b"x"], [(uinet.IPPROTO_IP, uinet.IP_ORIGDSTADDR, told)], 0, address)
    assert lan.sent()[0].source == p("10.0.0.22")


@pytest.mark.rfc("768", "-", "a length that is not between 8 and what is there is malformed")
@pytest.mark.parametrize("length", [0, 7, 14, 65535])
def test_udp_lengths_that_lie_are_dropped(lan: Lan, length: int) -> None:
    sock = lan.udp()
    packet = packet_of(HELLO)
    packet[24:26] = length.to_bytes(2, "big")
    packet[26:28] = bytes(2)
    assert lan.feed(frame_of(packet)) == [] and not sock.readable and lan.stats["udp_short"] == 1


@pytest.mark.rfc("768", "-", "a length shorter than the IP payload ends the datagram")
def test_udp_length_shorter_than_the_packet_ends_the_data(lan: Lan) -> None:
    sock = lan.udp()
    packet = packet_of(HELLO)
    packet[24:26] = (8 + 3).to_bytes(2, "big")
    packet[26:28] = bytes(2)
    lan.feed(frame_of(packet))
    assert sock.recv(10) == b"hel"


@pytest.mark.rfc("1122", "3.2.2.1", "packets in packets (IP in IP, GRE) are protocols that are not there")
@pytest.mark.parametrize("protocol", [4, 41, 47])
def test_tunnels_are_not_unpacked(lan: Lan, protocol: int) -> None:
    sock = lan.udp()
    inner = bytes(packet_of(HELLO))
    packet = build.ip(PEER, OURS, protocol, inner)
    assert icmp_of(lan.feed(frame_of(packet))) == [(3, 2)] and not sock.readable
