from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from uinet.ip.neighbors import STALE
from uinet.wire import nd
from uinet.wire.addresses import L2Info, Mac, VlanTag, pack_address
from uinet.wire.build import Dissected, icmp_message, nd_message

if TYPE_CHECKING:
    from tests.unit.ip.conftest import Bench

PEER = Mac("02:00:00:00:00:01")
OURS = Mac("02:00:00:00:00:02")
SLLA = (nd.link_layer_option(nd.SOURCE_LINK_LAYER, PEER),)


def p(address: str) -> bytes:
    return pack_address(address)


def solicitation(target: str = "2001:db8::2", options: tuple[nd.Option, ...] = SLLA) -> nd.NeighborSolicitation:
    return nd.NeighborSolicitation(p(target), options)


def is_answer(frame: Dissected, flags: int, destination: str, target: str = "2001:db8::2") -> bool:
    """Whether a frame is an advertisement of ours, correct in every field."""
    assert frame.ipv6.hop_limit == 255 and frame.checksums_ok
    return frame.nd == nd.NeighborAdvertisement(
        p(target), flags, (nd.link_layer_option(nd.TARGET_LINK_LAYER, OURS),)
    ) and (frame.source, frame.destination) == (p(target), p(destination))


@pytest.mark.rfc(
    "4861", "7.2.4",
    "a solicitation is answered to its source, solicited and override set, with the target link-layer address",
)
@pytest.mark.rfc("4861", "7.2.3", "SHOULD make an entry for the source of a solicitation for us, STALE")
def test_solicitation_for_our_address_is_answered_to_the_asker(bench: Bench) -> None:
    bench.receive(nd_message("2001:db8::1", "ff02::1:ff00:2", solicitation()))
    (frame,) = bench.sent()
    assert is_answer(frame, nd.FLAG_SOLICITED | nd.FLAG_OVERRIDE, "2001:db8::1")
    assert frame.ethernet.destination == PEER
    assert bench.stats["nd_ns_in"] == 1 and bench.stats["nd_na_out"] == 1
    (hop,) = bench.network.neighbors  # who asks is about to talk to us: RFC 4861, section 7.2.3
    assert hop.address == p("2001:db8::1") and hop.state == STALE


def test_solicitation_for_the_link_local_address_is_answered(bench: Bench) -> None:
    bench.receive(nd_message("fe80::1", "ff02::1:ff00:2", solicitation("fe80::ff:fe00:2")))
    (frame,) = bench.sent()
    assert is_answer(frame, nd.FLAG_SOLICITED | nd.FLAG_OVERRIDE, "fe80::1", "fe80::ff:fe00:2")


def test_solicitation_without_a_mac_is_answered_to_the_frames_sender(bench: Bench) -> None:
    bench.receive(nd_message("2001:db8::1", "2001:db8::2", solicitation(options=()), L2Info.make(PEER, OURS)))
    (frame,) = bench.sent()
    assert frame.ethernet.destination == PEER


@pytest.mark.rfc("4861", "7.2.4", "a solicitation from :: is answered to all nodes, solicited clear")
def test_solicitation_of_address_detection_is_answered_to_all_nodes(bench: Bench) -> None:
    bench.receive(nd_message("::", "ff02::1:ff00:2", solicitation(options=())))
    (frame,) = bench.sent()
    assert is_answer(frame, nd.FLAG_OVERRIDE, "ff02::1")
    assert str(frame.ethernet.destination) == "33:33:00:00:00:01"


@pytest.mark.rfc("4861", "7.2.3", "MUST silently discard solicitations for targets that are not ours")
def test_solicitation_for_another_address_is_ignored(bench: Bench) -> None:
    bench.receive(nd_message("2001:db8::1", "ff02::1:ff00:2", solicitation("2001:db8::9")))
    assert bench.sent() == [] and bench.stats["nd_ignored"] == 1


@pytest.mark.threat(86)
@pytest.mark.rfc("4861", "7.1.1", "MUST silently discard solicitations that are not valid")
@pytest.mark.rfc("4861", "7.1.2", "MUST silently discard advertisements that are not valid")
@pytest.mark.parametrize(
    ("source", "destination", "message", "ttl"),
    [
        ("2001:db8::1", "2001:db8::2", solicitation(), 254),
        ("2001:db8::1", "2001:db8::2", solicitation("ff02::1"), 255),
        ("::", "ff02::1:ff00:2", solicitation(), 255),  # address detection that says a MAC
        ("::", "2001:db8::2", solicitation(options=()), 255),  # and to no solicited-node group
        ("2001:db8::1", "2001:db8::2", nd.NeighborAdvertisement(p("2001:db8::1")), 64),
        ("2001:db8::1", "ff02::1", nd.NeighborAdvertisement(p("2001:db8::1"), nd.FLAG_SOLICITED), 255),
        ("2001:db8::1", "2001:db8::2", nd.NeighborAdvertisement(p("ff02::1")), 255),
        ("2001:db8::1", "ff02::1", nd.RouterAdvertisement(), 255),  # not from a link-local address
        (
            "2001:db8::1", "2001:db8::2",
            solicitation(options=(nd.link_layer_option(nd.SOURCE_LINK_LAYER, Mac("03:00:00:00:00:01")),)), 255,
        ),
    ],
)
def test_invalid_is_dropped_and_counted(
    bench: Bench, source: str, destination: str, message: nd.Message, ttl: int
) -> None:
    bench.receive(nd_message(source, destination, message, ttl=ttl))
    assert bench.sent() == [] and bench.stats["nd_malformed"] == 1


@pytest.mark.rfc("4861", "4.6", "MUST silently discard packets with an option of length 0")
@pytest.mark.parametrize(
    ("code", "tail"),
    [(1, b""), (0, b"\x01"), (0, b"\x01\x00" + bytes(6)), (0, b"\x01\x02" + bytes(6)), (0, b"\x19\x00" * 4)],
)
def test_malformed_is_dropped_and_counted(bench: Bench, code: int, tail: bytes) -> None:
    bench.receive(icmp_message("2001:db8::1", "2001:db8::2", 135, code, 0, p("2001:db8::2") + tail, ttl=255))
    assert bench.sent() == [] and bench.stats["nd_malformed"] == 1


def test_truncated_solicitation_is_malformed(bench: Bench) -> None:
    bench.receive(icmp_message("2001:db8::1", "2001:db8::2", 135, 0, 0, p("2001:db8::2")[:-1], ttl=255))
    assert bench.stats["nd_malformed"] == 1


@pytest.mark.rfc("4861", "7.2.5", "SHOULD silently discard an advertisement without an entry")
def test_advertisement_of_an_unknown_host_is_ignored(bench: Bench) -> None:
    bench.receive(nd_message("2001:db8::1", "ff02::1", nd.NeighborAdvertisement(p("2001:db8::1"), nd.FLAG_OVERRIDE)))
    assert list(bench.network.neighbors) == [] and bench.stats["nd_ignored"] == 1
    assert bench.stats["nd_na_in"] == 1


def test_advertisement_of_our_address_is_a_conflict(bench: Bench) -> None:
    options = (nd.link_layer_option(nd.TARGET_LINK_LAYER, PEER),)
    bench.receive(nd_message("2001:db8::2", "ff02::1", nd.NeighborAdvertisement(p("2001:db8::2"), 0, options)))
    assert bench.stats["nd_conflict"] == 1
    assert bench.network.is_local(p("2001:db8::2"))


@pytest.mark.parametrize(
    "message",
    [
        nd.RouterAdvertisement(64, 0, 1800, options=(nd.PrefixInformation(p("2001:db8:9::"), 64).option(),)),
        nd.RouterSolicitation(),
        nd.Redirect(p("fe80::9"), p("2001:db8:9::1")),
    ],
)
@pytest.mark.threat(35)
def test_threat_35_routers_words_are_ignored(bench: Bench, message: nd.Message) -> None:
    routes = [str(route) for route in bench.network.routes]
    bench.receive(nd_message("fe80::1", "ff02::1", message))
    assert bench.stats["nd_ignored"] == 1 and [str(route) for route in bench.network.routes] == routes


def test_nd_on_a_layer_3_link_is_ignored(bench: Bench) -> None:
    tun = bench.network.add_interface("tun", layer=3)
    tun.add_address("2001:db8:3::1/64")
    message = solicitation("2001:db8:3::1")
    bench.receive(nd_message("2001:db8:3::2", "2001:db8:3::1", message, layer=3), tun)
    assert bench.sent(tun) == [] and bench.stats["nd_ignored"] == 1


@pytest.mark.rfc("4861", "7.2.6", "unsolicited advertisements to all nodes")
def test_add_address_announces_when_asked(bench: Bench) -> None:
    bench.eth0.add_address("2001:db8::7/64", announce=True)
    (frame,) = bench.sent()
    assert is_answer(frame, nd.FLAG_OVERRIDE, "ff02::1", "2001:db8::7")


@pytest.mark.rfc(
    "4861", "7.2.2",
    "multicast solicitations go to the solicited-node group and say the source's link-layer address",
)
def test_question_comes_from_the_address_on_the_targets_link(bench: Bench) -> None:
    bench.network.send_ip(None, p("2001:db8::9"), 99, b"x")
    (frame,) = bench.sent()
    assert (frame.source, frame.destination) == (p("2001:db8::2"), p("ff02::1:ff00:9"))
    assert frame.ipv6.hop_limit == 255 and frame.checksums_ok
    assert nd.link_layer(frame.nd.options, nd.SOURCE_LINK_LAYER) == OURS
    assert str(frame.ethernet.destination) == "33:33:ff:00:00:09"


def test_question_about_another_prefix_comes_from_the_packets_source(bench: Bench) -> None:
    bench.network.routes.add("2001:db8:7::/64", interface=bench.eth0)
    bench.network.send_ip(None, p("2001:db8:7::9"), 99, b"x")
    assert bench.sent()[0].source == p("2001:db8::2")


def test_question_without_a_packet_comes_from_the_link_local_address(bench: Bench) -> None:
    bench.network.routes.add("2001:db8:7::/64", interface=bench.eth0)
    neighbors = bench.network.neighbors
    neighbors.probe(neighbors.lookup(bench.eth0, p("2001:db8:7::9")))
    assert bench.sent()[0].source == p("fe80::ff:fe00:2")


# promiscuous


TAGS = (VlanTag(100, 3, 0, 0x88A8), VlanTag(5))


def promiscuous(bench: Bench, *, answer: bool = True) -> None:
    wire = bench.network.add_interface("wire", mac=str(OURS), cdom=1)
    wire.answer_any = answer
    bench.eth0 = wire


def test_answer_any_answers_for_everybody_under_the_same_tags(bench: Bench) -> None:
    promiscuous(bench)
    link = L2Info.make(PEER, "33:33:ff:00:00:55", TAGS)
    bench.receive(nd_message("2001:db8::1", "ff02::1:ff00:55", solicitation("2001:db8:7::55"), link))
    (frame,) = bench.sent()
    assert frame.l2info == L2Info.make(OURS, PEER, TAGS)
    assert is_answer(frame, nd.FLAG_SOLICITED, "2001:db8::1", "2001:db8:7::55")


@pytest.mark.parametrize(
    ("source", "target", "options"),
    [("::", "2001:db8::55", ()), ("2001:db8::55", "2001:db8::55", SLLA), ("2001:db8::1", "2001:db9::55", SLLA)],
)
def test_answer_any_leaves_the_asker_its_own_address_and_keeps_to_its_prefixes(
    bench: Bench, source: str, target: str, options: tuple[nd.Option, ...]
) -> None:
    promiscuous(bench)
    bench.eth0.answer_prefixes = [(p("2001:db8::"), 32)]
    bench.receive(nd_message(source, "ff02::1:ff00:55", solicitation(target, options)))
    assert bench.sent() == [] and bench.stats["nd_ignored"] == 1


def test_promiscuous_takes_no_part_unless_it_is_told_to(bench: Bench) -> None:
    promiscuous(bench, answer=False)
    bench.receive(nd_message("2001:db8::1", "ff02::1:ff00:2", solicitation()))
    assert bench.sent() == [] and bench.stats["nd_ignored"] == 1


def test_advertisement_of_a_group_mac_is_dropped(bench: Bench) -> None:
    bench.network.send_ip(None, p("2001:db8::9"), 99, b"x")
    options = (nd.link_layer_option(nd.TARGET_LINK_LAYER, Mac("33:33:00:00:00:01")),)
    bench.receive(nd_message("2001:db8::9", "2001:db8::2", nd.NeighborAdvertisement(p("2001:db8::9"), 0, options)))
    assert bench.stats["nd_malformed"] == 1
    assert bench.network.neighbors.lookup(bench.eth0, p("2001:db8::9")).link_header is None
