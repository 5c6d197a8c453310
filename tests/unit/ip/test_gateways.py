"""Gateways that do not answer, and redirects."""

from __future__ import annotations

import pytest

from tests.unit.ip.links import ROUTER, ROUTER2, ROUTER_MAC, Lan, arp_packet, p
from uinet.ip import notice
from uinet.ip.neighbors import PROBE, REACHABLE
from uinet.wire import arp, icmp, ipv4, nd
from uinet.wire.addresses import Mac
from uinet.wire.build import icmp_message, nd_message

OUTSIDE = p("2001:db8:99::1")
MAC2 = Mac("02:00:00:00:00:03")


@pytest.fixture
def lan() -> Lan:
    """Two routers that have advertised themselves, the first preferred, and an address."""
    made = Lan().up()
    made.prefix(flags=0x40, source=ROUTER, mac=ROUTER_MAC, router_lifetime=9000)
    made.advertise(source=ROUTER2, mac=MAC2, flags=nd.preference_flags(nd.LOW), router_lifetime=9000)
    made.advance(3)
    made.sent()
    return made


def gateway(lan: Lan, destination: bytes = OUTSIDE) -> bytes:
    return lan.network.route(destination).next_hop.address


def say(lan: Lan, destination: bytes = OUTSIDE) -> None:
    lan.network.send_ip(None, destination, 99, b"x")


@pytest.mark.rfc("4861", "7.3.3", "an unreachable router is given up after DELAY and MAX_UNICAST_SOLICIT probes")
@pytest.mark.rfc("4861", "6.3.6", "routers that are reachable, or may be, are preferred to those that are not")
@pytest.mark.rfc("1122", "3.3.1.5", "a dead gateway MUST be noticed, and another default gateway chosen")
def test_dead_router_is_replaced_by_the_other(lan: Lan) -> None:
    say(lan)
    assert gateway(lan) == p(ROUTER)
    lan.advance(5 + 3 + 0.5)
    assert gateway(lan) == p(ROUTER2) and lan.stats["router_unreachable"] == 1
    assert lan.kinds[-1] == notice.ROUTER_UNREACHABLE
    lan.sent()
    say(lan)
    assert [frame.ethernet.destination for frame in lan.sent() if frame.ipv6.next_header == 99] == [MAC2]


@pytest.mark.rfc(
    "4191", "3.2",
    "a router that was unreachable is probed at most once a minute, and used again if it answers",
)
def test_dead_router_that_answers_again_is_used_again(lan: Lan) -> None:
    say(lan)
    lan.advance(8.5)
    assert gateway(lan) == p(ROUTER2)
    lan.sent()
    lan.advance(50)
    assert [frame for frame in lan.solicitations() if frame.nd.target == p(ROUTER)] == []  # type: ignore[union-attr]
    lan.advance(10.5)
    asked = [frame for frame in lan.solicitations() if frame.nd.target == p(ROUTER)]  # type: ignore[union-attr]
    assert len(asked) == 1
    lan.answer_for(ROUTER)
    assert gateway(lan) == p(ROUTER) and lan.kinds[-1] == notice.ROUTER_REACHABLE


def test_advertisement_of_a_dead_router_has_it_probed_not_believed(lan: Lan) -> None:
    say(lan)
    lan.advance(8.5)
    lan.sent()
    lan.advertise(source=ROUTER, mac=ROUTER_MAC)
    assert gateway(lan) == p(ROUTER2) and len(lan.solicitations()) == 1
    hop = lan.network.neighbors.get(lan.eth0, p(ROUTER))
    assert hop is not None and hop.state == PROBE
    lan.answer_for(ROUTER)
    assert gateway(lan) == p(ROUTER) and hop.state == REACHABLE


@pytest.mark.rfc("4861", "6.3.6", "with no router reachable they are tried in turn")
def test_all_routers_dead_are_tried_in_turn(lan: Lan) -> None:
    seen = []
    for _ in range(4):
        seen.append(gateway(lan))
        say(lan)
        lan.advance(9)
    assert seen == [p(ROUTER), p(ROUTER2), p(ROUTER), p(ROUTER2)]


def test_packets_that_wait_for_a_dead_gateway_go_by_another() -> None:
    lan = Lan()
    lan.eth0.add_address("10.0.0.2/24")
    lan.network.routes.add("0.0.0.0/0", via="10.0.0.1")
    lan.network.routes.add("0.0.0.0/0", via="10.0.0.3", metric=5)
    lan.network.neighbors.add("10.0.0.3", MAC2)
    say(lan, p("192.0.2.1"))
    assert lan.sent()[0].arp.tpa == p("10.0.0.1")
    lan.advance(3.5)
    (sent,) = [frame for frame in lan.sent() if ipv4.Ipv4Header in frame]
    assert sent.ethernet.destination == MAC2 and lan.stats["neighbor_unreachable"] == 0
    assert gateway(lan, p("192.0.2.9")) == p("10.0.0.3")
    lan.receive(arp_packet(arp.ArpPacket(arp.REPLY, bytes(6), p("10.0.0.9"), lan.eth0.mac, p("10.0.0.2"))))
    lan.advance(60)
    lan.receive(arp_packet(arp.reply(ROUTER_MAC, p("10.0.0.1"), lan.eth0.mac, p("10.0.0.2"))))
    assert gateway(lan, p("192.0.2.9")) == p("10.0.0.1")


def test_host_that_does_not_answer_is_no_gateway(lan: Lan) -> None:
    lan.eth0.add_address("2001:db8:5::2/64")
    say(lan, p("2001:db8:5::9"))
    lan.advance(4)
    assert lan.stats["neighbor_unreachable"] == 1 and lan.stats["router_unreachable"] == 0


def test_suspects_are_forgotten_with_their_routes(lan: Lan) -> None:
    say(lan)
    lan.advance(8.5)
    lan.advertise(source=ROUTER, router_lifetime=0)
    assert lan.network.gateways.suspects == {}
    lan.advertise(source=ROUTER)
    assert gateway(lan) == p(ROUTER)


# redirects


def redirect(lan: Lan, target: str, destination: bytes = OUTSIDE, source: str = ROUTER, mac: Mac | None = None) -> None:
    options = (nd.link_layer_option(nd.TARGET_LINK_LAYER, mac),) if mac is not None else ()
    lan.receive(nd_message(source, "2001:db8:1::2", nd.Redirect(p(target), destination, options)))


@pytest.fixture
def trusting(lan: Lan) -> Lan:
    lan.eth0.accept_redirects = True
    return lan


@pytest.mark.threat(35)
def test_threat_35_redirects_are_ignored_by_default(lan: Lan) -> None:
    redirect(lan, ROUTER2)
    assert gateway(lan) == p(ROUTER) and lan.stats["redirect_ignored"] == 1 and lan.stats["nd_ignored"] == 1


@pytest.mark.rfc("4861", "8.3", "SHOULD use the redirect's target as the next hop from then on")
def test_redirect_to_another_router_is_followed_for_ten_minutes(trusting: Lan) -> None:
    redirect(trusting, "fe80::9", mac=Mac("02:00:00:00:00:09"))
    assert gateway(trusting) == p("fe80::9") and gateway(trusting, p("2001:db8:99::2")) == p(ROUTER)
    say(trusting)
    assert trusting.sent()[0].ethernet.destination == Mac("02:00:00:00:00:09")
    trusting.answer_for("fe80::9")
    trusting.advance(601)
    assert gateway(trusting) == p(ROUTER)


@pytest.mark.rfc("4861", "8.3", "a target that is the destination: it is on the link")
def test_redirect_to_the_destination_itself_makes_it_a_neighbour(trusting: Lan) -> None:
    redirect(trusting, "2001:db8:99::1", mac=Mac("02:00:00:00:00:09"))
    assert gateway(trusting) == OUTSIDE
    say(trusting)
    assert trusting.sent()[0].ethernet.destination == Mac("02:00:00:00:00:09")


@pytest.mark.rfc("4861", "8.1", "MUST discard a redirect that is not from the current first hop, or to no neighbour")
@pytest.mark.parametrize(
    ("target", "destination", "source"),
    [
        ("fe80::9", OUTSIDE, ROUTER2),  # not the first hop
        ("2001:db8:5::9", OUTSIDE, ROUTER),  # neither link-local nor the destination
        ("fe80::9", p("ff02::1"), ROUTER),
        ("fe80::9", p("fe80::77"), ROUTER),  # on the link: it has no first hop
        ("ff02::2", OUTSIDE, ROUTER),
    ],
)
def test_redirects_that_are_not_believed(trusting: Lan, target: str, destination: bytes, source: str) -> None:
    before = len(list(trusting.network.routes))
    redirect(trusting, target, destination, source)
    assert len(list(trusting.network.routes)) == before and trusting.network.redirects.table == {}


def test_redirect_to_ourselves_is_not_believed(trusting: Lan) -> None:
    own = trusting.eth0.link_local()
    assert own is not None
    trusting.receive(nd_message(ROUTER, "2001:db8:1::2", nd.Redirect(own, OUTSIDE)))
    assert trusting.network.redirects.table == {} and trusting.stats["redirect_ignored"] == 1


@pytest.mark.rfc("4861", "7.3.3", "a redirect whose target does not answer is forgotten")
def test_redirect_to_a_dead_router_is_forgotten(trusting: Lan) -> None:
    redirect(trusting, "fe80::9")
    say(trusting)
    trusting.advance(3.5)
    assert gateway(trusting) == p(ROUTER) and trusting.network.redirects.table == {}


def test_redirects_are_bounded(trusting: Lan) -> None:
    limit = trusting.network.settings.redirect_limit
    for number in range(limit + 40):
        redirect(trusting, "fe80::9", p(f"2001:db8:98::{number:x}"))
    assert len(trusting.network.redirects.table) == limit
    assert gateway(trusting, p("2001:db8:98::1")) == p(ROUTER)
    assert gateway(trusting, p(f"2001:db8:98::{limit + 39:x}")) == p("fe80::9")
    trusting.network.remove_interface(trusting.eth0)
    assert trusting.network.redirects.table == {} and trusting.network.wheel.count == 0


def v4() -> Lan:
    lan = Lan()
    lan.eth0.add_address("10.0.0.2/24")
    lan.network.routes.add("0.0.0.0/0", via="10.0.0.1")
    lan.eth0.accept_redirects = True
    return lan


def redirect_v4(
    lan: Lan, new: str, source: str = "10.0.0.1", quoted: str = "10.0.0.2", code: int = 1, to: str = "192.0.2.1"
) -> None:
    packet = ipv4.emit(ipv4.Ipv4Header(p(quoted), p(to), 99), bytes(8))
    gateway = int.from_bytes(p(new), "big")
    lan.receive(icmp_message(source, "10.0.0.2", icmp.REDIRECT, code, gateway, packet))


@pytest.mark.rfc(
    "1122", "3.2.2.2",
    "a redirect updates the route to its destination; one for a network is one for the host",
)
@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_icmp_redirect_is_followed_where_it_is_accepted(code: int) -> None:
    lan = v4()
    redirect_v4(lan, "10.0.0.9", code=code)
    assert gateway(lan, p("192.0.2.1")) == p("10.0.0.9") and gateway(lan, p("192.0.2.2")) == p("10.0.0.1")


@pytest.mark.rfc("1122", "3.2.2.2", "SHOULD discard a redirect to another network, or not from the first hop")
@pytest.mark.parametrize(
    "fields",
    [
        {"new": "10.0.1.9"}, {"new": "10.0.0.9", "source": "10.0.0.7"}, {"new": "10.0.0.9", "quoted": "10.0.0.3"},
        {"new": "10.0.0.9", "code": 4}, {"new": "10.0.0.2"}, {"new": "10.0.0.255"}, {"new": "0.0.0.0"},
        {"new": "10.0.0.9", "to": "10.0.0.5"},
    ],
)
def test_icmp_redirects_that_are_not_believed(fields: dict[str, str]) -> None:
    lan = v4()
    redirect_v4(lan, **fields)  # type: ignore[arg-type]
    assert lan.network.redirects.table == {} and lan.stats["icmp_ignored"] == 1


def test_icmp_redirect_is_ignored_by_default_and_when_short() -> None:
    lan = v4()
    lan.receive(icmp_message("10.0.0.1", "10.0.0.2", icmp.REDIRECT, 1, 0x0A000009, bytes(10)))
    assert lan.stats["icmp_ignored"] == 1
    lan.eth0.accept_redirects = False
    redirect_v4(lan, "10.0.0.9")
    assert gateway(lan, p("192.0.2.1")) == p("10.0.0.1") and lan.stats["redirect_ignored"] == 1
