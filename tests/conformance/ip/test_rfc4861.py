"""RFC 4861 and RFC 4862, as a host: what the unit tests of neighbour discovery and autoconfiguration leave."""

from __future__ import annotations

import pytest

import uinet
from tests.conformance.ip.lan import GATEWAY6, MAC, OURS6, OUTSIDE6, PEER6, PEER_MAC, TO_US, Lan, p, to_group
from uinet.wire import build, nd
from uinet.wire.ipv6_extensions import FragmentHeader

OWN = "fe80::ff:fe00:2"
SLLA = (nd.link_layer_option(nd.SOURCE_LINK_LAYER, PEER_MAC),)


@pytest.fixture
def lan() -> Lan:
    return Lan(known=False)


def solicitations(frames: list[build.Dissected]) -> list[build.Dissected]:
    return [frame for frame in frames if nd.NeighborSolicitation in frame]


def answer(lan: Lan, address: str = PEER6, flags: int = nd.FLAG_SOLICITED | nd.FLAG_OVERRIDE) -> list[build.Dissected]:
    option = nd.link_layer_option(nd.TARGET_LINK_LAYER, PEER_MAC)
    return lan.feed(build.nd_message(address, OURS6, nd.NeighborAdvertisement(p(address), flags, (option,)), TO_US))


@pytest.mark.rfc("4861", "5.2", "a destination on the link is its own next hop; any other goes to a default router")
def test_next_hops(lan: Lan) -> None:
    assert lan.stack.network.route(p(PEER6)).next_hop.address == p(PEER6)
    assert lan.stack.network.route(p(OUTSIDE6)).next_hop.address == p(GATEWAY6)
    assert lan.stack.network.route(p("fe80::9")).next_hop.address == p("fe80::9")


@pytest.mark.rfc("4861", "5.2", "multicast is always on the link: nobody is asked")
def test_multicast_needs_no_resolution(lan: Lan) -> None:
    lan.udp().sendto(b"x", ("ff02::fb", 5353))
    (frame,) = lan.sent()
    assert str(frame.ethernet.destination) == "33:33:00:00:00:fb"


@pytest.mark.rfc("4861", "5.2", "without a default router destinations off the link are unreachable")
@pytest.mark.rfc("5942", "4", "they are not taken to be on the link")
def test_no_router_no_way(lan: Lan) -> None:
    lan.stack.routes.remove("::/0")
    with pytest.raises(uinet.NetworkUnreachable):
        lan.udp().sendto(b"x", (OUTSIDE6, 9))
    assert lan.sent() == []


@pytest.mark.rfc("4861", "6.1.1", "a host MUST silently discard router solicitations")
@pytest.mark.rfc("4861", "6.2.1", "a host MUST NOT send router advertisements")
def test_router_solicitations_are_not_answered(lan: Lan) -> None:
    message = nd.RouterSolicitation(SLLA)
    assert lan.feed(build.nd_message("fe80::9", "ff02::1", message, to_group("ff02::1"))) == []
    assert lan.feed(build.nd_message("fe80::9", OWN, message, TO_US)) == []


@pytest.mark.rfc(
    "4861", "7.2.2",
    "SHOULD ask from the source address of the packet that it is asked for, if that is its own",
)
def test_question_comes_from_the_packets_source(lan: Lan) -> None:
    lan.eth0.add_address("2001:db8::22/64")
    sock = lan.udp(address="2001:db8::22")
    sock.sendto(b"x", (PEER6, 9))
    (asked,) = solicitations(lan.sent())
    assert asked.source == p("2001:db8::22")


@pytest.mark.rfc(
    "4861", "7.2.2",
    "the solicitation is sent again every RetransTimer, and what waited goes when it is answered",
)
def test_resolution_from_the_first_question_to_the_packet(lan: Lan) -> None:
    sock = lan.udp()
    sock.sendto(b"one", (PEER6, 9))
    sock.sendto(b"two", (PEER6, 9))
    assert len(solicitations(lan.sent())) == 1
    assert len(solicitations(lan.advance(1.05))) == 1
    assert [frame.payload for frame in answer(lan)] == [b"one", b"two"]
    assert lan.advance(20) == []


@pytest.mark.rfc("4861", "7.2.4", "advertisements of a host have the router flag clear")
@pytest.mark.rfc("4861", "7.2.4", "they come from an address of the interface, with hop limit 255")
def test_our_advertisements(lan: Lan) -> None:
    asked = nd.NeighborSolicitation(p(OURS6), SLLA)
    (frame,) = lan.feed(build.nd_message(PEER6, nd.solicited_node(p(OURS6)), asked, to_group("ff02::1:ff00:2")))
    message = frame.get(nd.NeighborAdvertisement)
    assert message is not None and not message.router and message.solicited and message.override
    assert frame.ipv6.hop_limit == 255 and frame.source == p(OURS6) and frame.checksums_ok
    assert nd.link_layer(message.options, nd.TARGET_LINK_LAYER) == MAC


@pytest.mark.rfc("4861", "7.2.3", "a solicitation with another link-layer address updates the entry, STALE")
def test_solicitation_with_another_mac_updates_the_entry(lan: Lan) -> None:
    sock = lan.udp()
    sock.sendto(b"x", (PEER6, 9))
    answer(lan)
    lan.sent()
    moved = (nd.link_layer_option(nd.SOURCE_LINK_LAYER, b"\x02\0\0\0\0\x09"),)
    asked = nd.NeighborSolicitation(p(OURS6), moved)
    lan.feed(build.nd_message(PEER6, nd.solicited_node(p(OURS6)), asked, to_group("ff02::1:ff00:2")))
    sock.sendto(b"y", (PEER6, 9))
    (frame,) = [frame for frame in lan.sent() if frame.payload == b"y"]
    assert str(frame.ethernet.destination) == "02:00:00:00:00:09"
    assert len(solicitations(lan.advance(5.5))) == 1  # it was STALE: DELAY, then PROBE


@pytest.mark.rfc("4861", "7.3.1", "reachability is confirmed by TCP's progress, so that no probe is sent")
def test_progress_of_tcp_confirms_the_neighbour(lan: Lan) -> None:
    server = lan.stack.listen((OURS6, 80))
    port = 5000
    lan.feed(build.tcp(PEER6, OURS6, port, 80, "S", 100, l2=TO_US))
    frames = answer(lan)
    (syn_ack,) = [frame for frame in frames if frame.ipv6.next_header == 6]
    seq, ack = 101, (syn_ack.tcp.seq + 1) & 0xFFFFFFFF
    lan.feed(build.tcp(PEER6, OURS6, port, 80, "A", seq, ack, l2=TO_US))
    conn = server.accept()
    asked = 0
    for _ in range(40):
        conn.send(b"x")
        lan.sent()
        ack = (ack + 1) & 0xFFFFFFFF
        asked += len(solicitations(lan.feed(build.tcp(PEER6, OURS6, port, 80, "A", seq, ack, l2=TO_US))))
        asked += len(solicitations(lan.advance(2)))
    assert asked == 0


@pytest.mark.rfc("4861", "8.2", "a host MUST NOT send redirects")
def test_no_redirect_is_ever_sent(lan: Lan) -> None:
    assert lan.feed(build.udp(PEER6, OUTSIDE6, 1, 2, b"x", l2=TO_US)) == []


@pytest.mark.threat(86)
@pytest.mark.rfc(
    "4861", "8.1",
    "MUST silently discard redirects with a hop limit under 255 or not from a link-local address",
)
@pytest.mark.parametrize(("source", "ttl"), [("fe80::1", 254), ("2001:db8::fe", 255)])
def test_redirects_that_are_not_of_the_link_are_dropped(lan: Lan, source: str, ttl: int) -> None:
    lan.eth0.accept_redirects = True
    lan.stack.routes.remove("::/0")
    lan.stack.routes.add("::/0", via=source, interface=lan.eth0)
    message = nd.Redirect(p("fe80::7"), p(OUTSIDE6))
    lan.feed(build.nd_message(source, OURS6, message, TO_US, ttl=ttl))
    assert lan.stack.network.route(p(OUTSIDE6)).next_hop.address == p(source) and lan.stats["nd_malformed"] == 1


@pytest.mark.threat(15)
@pytest.mark.rfc("6583", "4", "a flood of questions about unknown neighbours is bounded in entries and packets")
def test_flood_of_destinations_is_bounded(lan: Lan) -> None:
    sock = lan.udp()
    for number in range(3000):
        sock.sendto(b"x", (f"2001:db8::1:{number:x}", 9))
        sock.sendto(b"x", (f"2001:db8::1:{number:x}", 9))
    table = lan.stack.network.neighbors.table
    assert len(table) <= 1024 and sum(len(hop.queue) for hop in table.values()) <= 3 * 1024
    assert lan.stats["neighbor_evicted"] > 0


# RFC 4862


@pytest.mark.rfc("4862", "5.4", "a tentative address is neither answered for, nor sent from, nor received at")
def test_tentative_address_is_not_used() -> None:
    lan = Lan()
    lan.eth0.add_address("2001:db8:5::5/64", probe=True)
    assert lan.stack.network.route(p("2001:db8:5::9")).source != p("2001:db8:5::5")
    with pytest.raises(uinet.AddressNotAvailable):
        lan.udp(address="2001:db8:5::5")
    asked = nd.NeighborSolicitation(p("2001:db8:5::5"), SLLA)
    assert lan.feed(build.nd_message(PEER6, "ff02::1:ff00:5", asked, to_group("ff02::1:ff00:5"))) == []
    assert lan.feed(build.icmp_echo(PEER6, "2001:db8:5::5", l2=TO_US)) == [] and lan.stats["ip_not_ours"] == 1


@pytest.mark.rfc("4862", "5.5.2", "without routers the link-local address still works")
def test_link_local_address_works_without_routers() -> None:
    lan = Lan(known=False)
    bare = uinet.Stack(seed=b"bare", now=lan.stack.now)
    eth0 = bare.add_interface("eth0", mac=str(MAC))
    eth0.autoconfigure()
    now = bare.now
    for _ in range(1200):
        now += 100_000_000
        bare.poll(now)
    bare.output(eth0)
    own = eth0.link_local()
    assert own is not None and [entry.address for entry in eth0.addresses] == [own]
    bare.input(eth0, [build.icmp_echo("fe80::9", own, payload=b"x", l2=TO_US)], now)
    frames = [build.dissect(frame.data) for frame in bare.output(eth0)]
    assert any(nd.NeighborSolicitation in frame for frame in frames)


@pytest.mark.rfc("4862", "5.4.4", "an advertisement of an address in use is told, and changes nothing")
def test_duplicate_of_an_address_in_use_is_told() -> None:
    lan = Lan()
    events = []
    lan.stack.on_link_event = events.append
    option = nd.link_layer_option(nd.TARGET_LINK_LAYER, PEER_MAC)
    message = nd.NeighborAdvertisement(p(OURS6), nd.FLAG_OVERRIDE, (option,))
    lan.feed(build.nd_message(OURS6, "ff02::1", message, to_group("ff02::1")))
    assert events == [] and lan.stats["ip_martian_source"] == 1  # from our own address: nothing honest does that
    lan.feed(build.nd_message(PEER6, "ff02::1", message, to_group("ff02::1")))
    (event,) = events
    assert event.kind == "address-conflict" and str(event) == f"eth0: address-conflict {OURS6}: also at {PEER_MAC}"
    assert lan.stack.network.is_local(p(OURS6))


def advertised(lan: Lan, *options: nd.Option, **fields: int) -> None:
    """A router advertisement that the autoconfigured eth0 takes."""
    lan.eth0.autoconfigure()
    message = nd.RouterAdvertisement(options=options, **fields)
    lan.feed(build.nd_message("fe80::1", "ff02::1", message, to_group("ff02::1")))


@pytest.mark.rfc("4861", "6.3.2", "CurHopLimit is the default hop limit of unicast packets, TCP's and UDP's")
def test_hop_limit_of_routers_reaches_the_transports() -> None:
    lan = Lan()
    lan.stack.listen((OURS6, 80))
    advertised(lan, cur_hop_limit=77)
    lan.stack.connect((PEER6, 81))
    chosen = lan.udp()
    chosen.setsockopt(uinet.IPPROTO_IPV6, uinet.IPV6_UNICAST_HOPS, 9)
    lan.udp(7001).sendto(b"x", (PEER6, 9))
    chosen.sendto(b"y", (PEER6, 9))
    lan.udp(7002).sendto(b"z", ("10.0.0.1", 9))
    frames = lan.sent() + lan.feed(build.tcp(PEER6, OURS6, 5000, 80, "S", 1, l2=TO_US))
    limits = [frame.ipv6.hop_limit for frame in frames if frame.ethernet.ethertype == 0x86DD]
    assert sorted(limit for limit in limits if limit not in (1, 255)) == [9, 77, 77, 77]
    (four,) = [frame for frame in frames if frame.ethernet.ethertype == 0x0800]
    assert four.ipv4.ttl == 64


@pytest.mark.rfc("4861", "6.3.4", "LinkMTU limits what is sent, and the MSS that is offered")
def test_mtu_of_routers_limits_what_is_sent_and_offered() -> None:
    lan = Lan()
    advertised(lan, nd.mtu_option(1300))
    lan.stack.connect((PEER6, 81))
    lan.udp().sendto(bytes(2000), (PEER6, 9))
    lan.stack.connect(("10.0.0.1", 81))
    frames = [frame for frame in lan.sent() if frame.get(nd.NeighborSolicitation) is None]
    six = [frame for frame in frames if frame.ethernet.ethertype == 0x86DD and frame.ipv6.hop_limit == 64]
    assert all(len(frame.packet) <= 1300 for frame in six) and len(six) == 3
    assert b"\x02\x04" + (1300 - 60).to_bytes(2, "big") in six[0].packet
    (four,) = [frame for frame in frames if frame.ethernet.ethertype == 0x0800]
    assert b"\x02\x04\x05\xb4" in four.packet


@pytest.mark.threat(79)
@pytest.mark.rfc("6980", "5", "MUST silently ignore neighbour discovery in fragments, an atomic one included")
@pytest.mark.parametrize("size", [0, 16])
def test_neighbour_discovery_in_fragments_is_ignored(lan: Lan, size: int) -> None:
    asked = nd.NeighborSolicitation(p(OURS6), SLLA)
    whole = build.nd_message(PEER6, OURS6, asked, layer=3)
    assert len(lan.feed(build.frame(whole, TO_US))) == 1
    if size:
        pieces = build.fragments(whole, size)
        assert len(pieces) > 1
    else:
        body = whole[40:]
        pieces = [build.ip(PEER6, OURS6, 58, body, ttl=255, extensions=(FragmentHeader(58, 0, False, 7),))]
    for piece in pieces:
        assert lan.feed(build.frame(piece, TO_US)) == []
    assert lan.stats["nd_malformed"] == 1


def test_echo_in_fragments_is_still_answered(lan: Lan) -> None:
    for piece in build.fragments(build.icmp_echo(PEER6, OURS6, payload=bytes(100), layer=3), 48):
        frames = lan.feed(build.frame(piece, TO_US))
    assert len(solicitations(frames)) == 1  # to where the reply goes
