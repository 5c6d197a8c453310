"""What no socket wants passes a bridge untouched; what one wants does not. And interfaces that answer for everybody."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import uinet
from tests.unit.promiscuous.lab import CLIENT, CLIENT6, SECOND, SERVER, SERVER6, Lab, Log, connected, l2
from uinet import ANY, L2Info, VlanTag
from uinet.wire import build, icmp, icmpv6, nd
from uinet.wire.addresses import pack_address
from uinet.wire.build import dissect
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_VALID, Frame

ECHO = {CLIENT: SERVER, CLIENT6: SERVER6}


def bridged(lab: Lab, *frames: Frame) -> None:
    """These very frames, in this order, come out of p2, and nothing of p1."""
    lab.stack.input(lab.p1, frames, lab.now)
    out = lab.stack.output(lab.p2)
    assert len(out) == len(frames)
    assert all(got is sent for got, sent in zip(out, frames, strict=True))
    assert lab.stack.output(lab.p1) == []


def bridge(listen: bool = True) -> Lab:
    lab = Lab(2, bridge=True)
    if listen:
        lab.listen(SERVER, 80)
        lab.listen(SERVER6, 80)
    return lab


def mld_report() -> bytes:
    """An MLDv2 report behind a hop-by-hop header with a router alert, as every IPv6 host sends them."""
    source, group = pack_address("fe80::1"), pack_address("ff02::16")
    body = icmpv6.emit(icmpv6.Icmpv6Message(143, 0, 0, b""), source, group)
    hop_by_hop = bytes((58, 0, 5, 2, 0, 0, 1, 0))
    packet = build.ip(source, group, 0, hop_by_hop + body, ttl=1)
    return build.frame(packet, l2(destination="33:33:00:00:00:16"))


NOT_OURS: dict[str, Callable[[], bytes]] = {
    "arp request": lambda: build.arp_request(CLIENT, SERVER),
    "arp request, tagged": lambda: build.arp_request(CLIENT, SERVER, vlans=(5, 6)),
    "arp reply": lambda: build.arp_reply(SERVER, CLIENT),
    "ns": lambda: build.nd_message(CLIENT6, "ff02::1:ff00:9", nd.NeighborSolicitation(pack_address(SERVER6))),
    "na": lambda: build.nd_message(SERVER6, CLIENT6, nd.NeighborAdvertisement(pack_address(SERVER6), 0)),
    "echo": lambda: build.icmp_echo(CLIENT, SERVER),
    "echo6": lambda: build.icmp_echo(CLIENT6, SERVER6),
    "echo reply": lambda: build.icmp_echo(CLIENT, SERVER, reply=True),
    "udp": lambda: build.udp(CLIENT, SERVER, 53, 53, b"query", vlans=9),
    "udp6": lambda: build.udp(CLIENT6, SERVER6, 53, 53, b"query"),
    "multicast": lambda: build.udp(CLIENT, "224.0.0.251", 5353, 5353, b"mdns"),
    "mld": mld_report,
    "broadcast": lambda: build.udp(CLIENT, "255.255.255.255", 68, 67, b"dhcp"),
    "tcp elsewhere": lambda: build.tcp(CLIENT, SERVER, 1, 81, "S"),
    "tcp without connection": lambda: build.tcp(CLIENT, SERVER, 1, 80, ".", 1, 1),
    "syn,ack": lambda: build.tcp(CLIENT, SERVER, 1, 80, "S.", 1, 1),
    "rst": lambda: build.tcp(CLIENT, SERVER, 1, 80, "R", 1),
    "sctp": lambda: build.frame(build.ip(CLIENT, SERVER, 132, b"sctp")),
    "esp6": lambda: build.frame(build.ip(CLIENT6, SERVER6, 50, b"esp")),
    "no next header": lambda: build.frame(build.ip(CLIENT6, SERVER6, 59, b"")),
    "unknown ethertype": lambda: bytes(12) + b"\x88\xcc" + b"lldp",
    "short": lambda: b"\1\2\3",
    "empty": lambda: b"",
    "just a link header": lambda: bytes(12) + b"\x08\0",
    "cut tag": lambda: bytes(12) + b"\x81\0\0",
    "17 tags": lambda: bytes(12) + b"\x81\0\0\5" * 17 + b"\x08\0",
    "bad ip checksum": lambda: build.udp(CLIENT, SERVER, 1, 1)[:24] + b"\xff\xff" + bytes(16),
    "ip version 7": lambda: bytes(12) + b"\x08\0" + b"\x75" + bytes(30),
    "cut ipv6": lambda: build.udp(CLIENT6, SERVER6, 1, 1)[:40],
    "bad extension": lambda: build.frame(build.ip(CLIENT6, SERVER6, 60, b"\x06\xff")),
    "tcp, bad checksum": lambda: build.tcp(CLIENT, SERVER, 1, 80, "S")[:-4] + b"\x12\x34\0\0",
    "tcp, cut": lambda: build.frame(build.ip(CLIENT, SERVER, 6, b"\0\1\0\x50")),
    "padding": lambda: build.tcp(CLIENT, SERVER, 1, 81, "S") + b"pad",
    "source route": lambda: build.frame(build.ip(CLIENT, SERVER, 17, bytes(8), options=b"\x83\x07\x04\1\2\3\4\0")),
}


@pytest.mark.parametrize("what", NOT_OURS)
def test_what_is_not_ours_passes(what: str) -> None:
    bridged(bridge(), Frame(NOT_OURS[what]()))


def test_a_bridge_answers_nothing_and_keeps_nothing() -> None:
    lab = bridge()
    bridged(lab, *(Frame(make()) for make in NOT_OURS.values()))
    assert lab.wait(200 * SECOND) == []
    assert lab.out(lab.p2) == []
    assert len(lab.stack.tcp.table) == 0
    assert lab.stack.wheel.count == 0


def test_unfinished_and_large_frames_pass_as_they_are() -> None:
    large = Frame(build.tcp(CLIENT, SERVER, 1, 81, ".", payload=bytes(30_000)), CHECKSUM_NEEDED, 1448)
    bridged(bridge(), large, Frame(build.udp(CLIENT, SERVER, 1, 1, bytes(9000)), CHECKSUM_VALID, 1400, 77))
    assert (large.checksum, large.gso_size) == (CHECKSUM_NEEDED, 1448)


def test_both_ways() -> None:
    lab = bridge(listen=False)
    frame = Frame(build.udp(SERVER, CLIENT, 1, 1))
    lab.stack.input(lab.p2, [frame], lab.now)
    assert lab.stack.output(lab.p1) == [frame]


def fragments(packet: bytes, size: int = 24, vlans: int = 0) -> list[Frame]:
    return [
        Frame(build.frame(piece, l2(vlans) if vlans else None)) for piece in build.fragments(packet, size)
    ]


@pytest.mark.parametrize("client, server", ECHO.items())
def test_fragments_of_udp_pass_at_once(client: str, server: str) -> None:
    packet = dissect(build.udp(client, server, 1, 1, bytes(200))).packet
    pieces = fragments(packet)
    lab = bridge()
    for piece in pieces:
        bridged(lab, piece)


@pytest.mark.parametrize("client, server", ECHO.items())
def test_fragments_of_unmatched_tcp_pass_in_order(client: str, server: str) -> None:
    packet = dissect(build.tcp(client, server, 1, 81, ".", payload=bytes(200))).packet
    pieces = fragments(packet)
    shuffled = [pieces[2], pieces[0], *pieces[3:], pieces[1]]
    bridged(bridge(), *shuffled)


@pytest.mark.parametrize("client, server", ECHO.items())
@pytest.mark.parametrize("with_bridge", [True, False])
def test_fragments_of_a_connection_are_put_together(client: str, server: str, with_bridge: bool) -> None:
    lab = Lab(2, bridge=with_bridge)
    listener = lab.listen(vlans=(7,))
    peer = lab.peer(src=client, dst=server, vlans=7)
    peer.connect()
    sock = listener.accept()
    data = bytes(range(200))
    packet = dissect(peer.segment("P.", data)).packet
    pieces = fragments(packet, vlans=7)
    lab.put(*pieces[::-1])
    assert sock.recv(1000) == data
    assert lab.out(lab.p2) == []


def test_fragments_are_put_together_for_each_vlan() -> None:
    lab = Lab()
    listener = lab.listen()
    peers = [lab.peer(vlans=7), lab.peer(vlans=8)]
    for peer in peers:
        peer.connect()
    socks = [listener.accept() for _ in peers]
    parts = [
        fragments(dissect(peer.segment("P.", bytes([65 + n]) * 100)).packet, vlans=7 + n)
        for n, peer in enumerate(peers)
    ]
    lab.put(*(piece for pair in zip(*parts, strict=True) for piece in pair))
    assert [sock.recv(1000) for sock in socks] == [b"A" * 100, b"B" * 100]


def test_fragments_on_a_link_without_checksums() -> None:
    lab = Lab(checksums=False)
    listener = lab.listen()
    peer = lab.peer()
    peer.lab.stack.input(lab.p1, [peer.segment("S")], lab.now)
    (answer,) = lab.stack.output(lab.p1)
    peer.ack = (dissect(answer.data).tcp.seq + 1) & 0xFFFFFFFF
    peer.seq = (peer.seq + 1) & 0xFFFFFFFF
    packet = bytearray(dissect(peer.segment("P.", b"x" * 100)).packet)
    packet[36:38] = b"\0\0"
    lab.stack.input(lab.p1, fragments(bytes(packet)), lab.now)
    assert listener.accept().recv(1000) == b"x" * 100


def quote(kind: int, code: int, packet: bytes, info: int = 0, **options: object) -> bytes:
    six = packet[0] >> 4 == 6
    source, target = (SERVER6, CLIENT6) if six else ("10.99.0.1", CLIENT)
    return build.icmp_message(source, target, kind, code, info, packet, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("client, server", ECHO.items())
def test_icmp_errors_about_a_proxied_connection_are_believed_and_pass(client: str, server: str) -> None:
    lab = Lab(2, bridge=True)
    log = Log()
    sock = lab.stack.connect((server, 80), source=(client, 5), l2=l2(6), cdom=2)
    sock.on_event = log
    (syn,) = lab.out(lab.p2)
    kind, code = (3, icmp.PORT_UNREACHABLE) if "." in client else (1, icmpv6.PORT_UNREACHABLE)
    error = Frame(quote(kind, code, syn.packet, vlans=6))
    lab.stack.input(lab.p2, [error], lab.now)
    assert lab.stack.output(lab.p1) == [error]
    assert isinstance(sock.error, ConnectionRefusedError)
    assert log.all & uinet.EV_ERROR


def test_an_icmp_error_from_another_vlan_is_not_believed_and_passes() -> None:
    lab = Lab(2, bridge=True)
    sock = lab.stack.connect((SERVER, 80), source=(CLIENT, 5), l2=l2(6), cdom=2)
    (syn,) = lab.out(lab.p2)
    error = Frame(quote(3, 3, syn.packet, vlans=7))
    lab.stack.input(lab.p2, [error], lab.now)
    assert lab.stack.output(lab.p1) == [error]
    assert sock.error is None


def test_too_big_makes_segments_smaller_and_passes() -> None:
    lab = Lab(2, bridge=True)
    peer = lab.peer(vlans=6)
    sock = connected(lab, peer)
    lab.stack.poll(lab.now)
    peer.send(".", options=())
    sock.send(bytes(5000))
    before = lab.out()
    largest = max(before, key=lambda frame: len(frame.packet))
    assert len(largest.packet) > 560
    error = Frame(quote(3, 4, largest.packet, 560, vlans=6))
    lab.stack.input(lab.p1, [error], lab.now)
    assert lab.stack.output(lab.p2) == [error]
    again = lab.out()
    assert again
    assert max(len(frame.packet) for frame in again) <= 560


# interfaces that answer for everybody

STATION = "02:00:00:00:00:77"


def honeypot() -> Lab:
    return Lab(answer_any=True)


@pytest.mark.parametrize("vlans", [(), (5,), (VlanTag(5, 3, 1, 0x88A8), VlanTag(6))])
def test_arp_is_answered_for_every_address(vlans: tuple[VlanTag, ...]) -> None:
    lab = honeypot()
    for target in (SERVER, "192.0.2.200"):
        (answer,) = lab.put(
            build.arp_request(CLIENT, target, l2=L2Info.make(STATION, "ff:ff:ff:ff:ff:ff", vlans))
        )
        assert answer.l2info == L2Info.make(lab.p1.mac, STATION, vlans)
        assert answer.arp.op == 2
        assert (answer.arp.spa, answer.arp.sha) == (pack_address(target), lab.p1.mac)
        assert (answer.arp.tpa, answer.arp.tha) == (pack_address(CLIENT), uinet.Mac(STATION))


def test_arp_probes_announcements_and_replies_are_not_answered() -> None:
    lab = honeypot()
    assert lab.put(
        build.arp_request("0.0.0.0", SERVER), build.arp_request(SERVER, SERVER), build.arp_reply(SERVER, CLIENT),
        build.arp_request(CLIENT, "224.0.0.1"), build.arp_request(CLIENT, "255.255.255.255"),
    ) == []


def test_arp_is_not_answered_unless_asked_for() -> None:
    lab = Lab()
    assert lab.put(build.arp_request(CLIENT, SERVER)) == []


@pytest.mark.parametrize("vlans", [(), (5, 6)])
def test_nd_is_answered_for_every_address(vlans: tuple[int, ...]) -> None:
    lab = honeypot()
    link = L2Info.make(STATION, "33:33:ff:00:00:09", tuple(VlanTag(vid) for vid in vlans))
    (answer,) = lab.put(build.nd_message(
        CLIENT6, "ff02::1:ff00:9", nd.NeighborSolicitation(pack_address(SERVER6)), link,
    ))
    assert answer.l2info == L2Info.make(lab.p1.mac, STATION, vlans)
    assert isinstance(answer.nd, nd.NeighborAdvertisement)
    assert answer.nd.target == pack_address(SERVER6)
    assert (answer.source, answer.destination) == (pack_address(SERVER6), pack_address(CLIENT6))
    assert lab.put(build.nd_message("::", "ff02::1:ff00:9", nd.NeighborSolicitation(pack_address(SERVER6)))) == []


@pytest.mark.parametrize("client, server", ECHO.items())
def test_ping_is_answered_under_every_address(client: str, server: str) -> None:
    lab = honeypot()
    link = L2Info.make(STATION, lab.p1.mac, (VlanTag(9, 2),))
    (answer,) = lab.put(build.icmp_echo(client, server, 7, 3, b"payload", link))
    assert answer.l2info == link.reversed()
    assert (answer.source, answer.destination) == (pack_address(server), pack_address(client))
    message = answer.icmp if "." in client else answer.icmpv6
    assert (message.type, message.identifier, message.sequence) == (0 if "." in client else 129, 7, 3)
    assert Lab().put(build.icmp_echo(client, server, 7, 3, b"payload", link)) == []


def test_only_the_prefixes_that_were_asked_for_are_answered() -> None:
    lab = honeypot()
    lab.p1.answer_prefixes = [(pack_address("10.2.0.0"), 16), (pack_address("2001:db8:2::"), 48)]
    ns = nd.NeighborSolicitation
    inside = [
        build.arp_request(CLIENT, SERVER), build.icmp_echo(CLIENT, SERVER), build.icmp_echo(CLIENT6, SERVER6),
        build.nd_message(CLIENT6, "ff02::1:ff00:9", ns(pack_address(SERVER6))),
    ]
    outside = [
        build.arp_request(CLIENT, "10.3.0.1"), build.icmp_echo(CLIENT, "10.3.0.1"),
        build.icmp_echo(CLIENT6, "2001:db8:3::1"),
        build.nd_message(CLIENT6, "ff02::1:ff00:9", ns(pack_address("2001:db8:3::9"))),
    ]
    assert len(lab.put(*inside)) == len(inside)
    assert lab.put(*outside) == []


def test_on_a_bridge_what_is_answered_does_not_pass_and_the_rest_does() -> None:
    lab = Lab(2, bridge=True, answer_any=True)
    lab.p1.answer_prefixes = [(pack_address("10.2.0.0"), 16), (pack_address("2001:db8:2::"), 48)]
    ns = nd.NeighborSolicitation
    answered = [
        build.arp_request(CLIENT, SERVER), build.icmp_echo(CLIENT, SERVER), build.icmp_echo(CLIENT6, SERVER6),
        build.nd_message(CLIENT6, "ff02::1:ff00:9", ns(pack_address(SERVER6))),
    ]
    assert len(lab.put(*answered)) == len(answered)
    assert lab.out(lab.p2) == []
    bridged(
        lab,
        Frame(build.arp_request(CLIENT, "10.3.0.1")),
        Frame(build.icmp_echo(CLIENT, "10.3.0.1")),
        Frame(build.icmp_echo(CLIENT, SERVER, reply=True)),
        Frame(build.icmp_echo(CLIENT6, "2001:db8:3::1")),
        Frame(build.nd_message(CLIENT6, "ff02::1:ff00:9", ns(pack_address("2001:db8:3::9")))),
        Frame(build.nd_message(SERVER6, CLIENT6, nd.NeighborAdvertisement(pack_address(SERVER6), 0))),
        Frame(build.icmp_message(CLIENT, SERVER, 13)),
    )


def test_an_honest_connection_through_a_honeypot() -> None:
    lab = honeypot()
    listener = lab.listen(ANY, 22)
    link = L2Info.make(STATION, lab.p1.mac, (VlanTag(3),))
    lab.peer(dst="10.77.1.2", dport=22, link=link).connect()
    assert str(listener.accept().getsockname()[0]) == "10.77.1.2"
    (rst,) = lab.peer(dst="10.77.1.2", dport=23, link=link).send("S")
    assert rst.flags == "R."
