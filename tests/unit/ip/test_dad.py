"""Duplicate address detection: RFC 4862 section 5.4, RFC 7527; RFC 5227 for IPv4."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.unit.ip.links import OURS, Lan, arp_packet, p
from uinet.errors import AddressError
from uinet.ip import notice
from uinet.wire import arp, nd
from uinet.wire.addresses import Mac
from uinet.wire.build import Dissected, nd_message

PEER = Mac("02:00:00:00:00:01")
ADDRESS = "2001:db8::7"
GROUP = "ff02::1:ff00:7"


@pytest.fixture
def lan() -> Lan:
    made = Lan()
    made.eth0.add_address("fe80::aa/64")
    made.sent()
    return made


def probes(lan: Lan) -> list[Dissected]:
    return [frame for frame in lan.solicitations() if frame.source == bytes(16)]


@pytest.mark.rfc(
    "4862", "5.4.2",
    "MUST listen to the solicited-node group of a tentative address before a probe is sent",
)
@pytest.mark.rfc("4862", "5.4.2", "SHOULD delay the first probe by a random time of up to MAX_RTR_SOLICITATION_DELAY")
@pytest.mark.rfc("4862", "5.4", "MUST perform duplicate address detection before an address is assigned")
def test_tentative_address_is_probed_and_then_ours(lan: Lan) -> None:
    lan.eth0.add_address(f"{ADDRESS}/64", probe=True)
    assert p(GROUP) in lan.eth0.groups and p(ADDRESS) in lan.eth0.tentative
    assert not lan.network.is_local(p(ADDRESS))
    lan.advance(1.0)
    (probe,) = probes(lan)
    assert probe.destination == p(GROUP) and probe.ipv6.hop_limit == 255 and probe.checksums_ok
    assert isinstance(probe.nd, nd.NeighborSolicitation) and probe.nd.target == p(ADDRESS)
    assert nd.link_layer(probe.nd.options, nd.SOURCE_LINK_LAYER) is None and len(nd.nonce(probe.nd.options)) == 6
    lan.advance(1.1)
    assert lan.network.is_local(p(ADDRESS)) and lan.eth0.tentative == {}
    assert lan.kinds == [notice.ADDRESS_ADDED] and probes(lan) == []


@pytest.mark.rfc("4862", "5.1", "DupAddrDetectTransmits: that many probes, RetransTimer apart; 0 turns detection off")
@pytest.mark.parametrize("count", [0, 1, 3])
def test_as_many_probes_as_are_set(lan: Lan, count: int) -> None:
    lan.network.settings.dad_transmits = count
    lan.eth0.add_address(f"{ADDRESS}/64", probe=True)
    assert lan.network.is_local(p(ADDRESS)) == (count == 0)
    lan.advance(6)
    assert len(probes(lan)) == count and lan.network.is_local(p(ADDRESS))


def duplicate(lan: Lan) -> bool:
    return (
        lan.eth0.tentative == {} and not lan.network.is_local(p(ADDRESS)) and p(GROUP) not in lan.eth0.groups
        and lan.kinds == [notice.ADDRESS_DUPLICATE] and lan.stats["dad_duplicate"] == 1
    )


@pytest.mark.rfc("4862", "5.4.4", "a tentative address that is advertised is not unique")
@pytest.mark.parametrize("wait", [0.0, 1.0, 1.3])
def test_advertisement_of_a_tentative_address_is_a_duplicate(lan: Lan, wait: float) -> None:
    lan.eth0.add_address(f"{ADDRESS}/64", probe=True)
    lan.advance(wait)
    option = nd.link_layer_option(nd.TARGET_LINK_LAYER, PEER)
    lan.receive(nd_message(ADDRESS, "ff02::1", nd.NeighborAdvertisement(p(ADDRESS), nd.FLAG_OVERRIDE, (option,))))
    assert duplicate(lan)
    lan.sent()
    lan.advance(5)
    assert probes(lan) == [] and not lan.network.is_local(p(ADDRESS))


@pytest.mark.rfc("4862", "5.4.3", "a probe of another node for a tentative address: it is a duplicate")
@pytest.mark.rfc("7527", "4.3", "a nonce that is not ours, or none, is another node's")
@pytest.mark.parametrize("options", [(), (nd.nonce_option(b"\1\2\3\4\5\6"),)])
def test_probe_of_another_host_for_a_tentative_address_is_a_duplicate(
    lan: Lan, options: tuple[nd.Option, ...]
) -> None:
    lan.eth0.add_address(f"{ADDRESS}/64", probe=True)
    lan.advance(1.0)
    lan.receive(nd_message("::", GROUP, nd.NeighborSolicitation(p(ADDRESS), options)))
    assert duplicate(lan)


@pytest.mark.rfc("4862", "5.4.3", "a solicitation from a unicast source for a tentative address is silently ignored")
@pytest.mark.rfc("4861", "7.2.3", "MUST NOT answer for a tentative target")
def test_question_about_a_tentative_address_is_not_answered(lan: Lan) -> None:
    lan.eth0.add_address(f"{ADDRESS}/64", probe=True)
    lan.advance(1.0)
    lan.sent()
    option = nd.link_layer_option(nd.SOURCE_LINK_LAYER, PEER)
    lan.receive(nd_message("2001:db8::1", GROUP, nd.NeighborSolicitation(p(ADDRESS), (option,))))
    assert lan.sent() == [] and p(ADDRESS) in lan.eth0.tentative


@pytest.mark.rfc("7527", "4.3", "a probe of ours that is looped back is no duplicate, and more probes follow")
def test_own_probe_looped_back_is_no_duplicate(lan: Lan) -> None:
    lan.eth0.add_address(f"{ADDRESS}/64", probe=True)
    lan.advance(1.0)
    (probe,) = probes(lan)
    assert isinstance(probe.nd, nd.NeighborSolicitation)
    lan.receive(nd_message("::", GROUP, probe.nd))
    assert p(ADDRESS) in lan.eth0.tentative and lan.stats["dad_looped_back"] == 1
    lan.advance(5)
    assert len(probes(lan)) == 3 and lan.network.is_local(p(ADDRESS))


@pytest.mark.rfc("4862", "5.4.1", "link-local addresses are tested as well")
def test_probing_the_first_address_tests_the_link_local_one_too() -> None:
    lan = Lan()
    lan.eth0.add_address(f"{ADDRESS}/64", probe=True)
    assert set(lan.eth0.tentative) == {p("fe80::ff:fe00:2"), p(ADDRESS)}
    lan.advance(2.5)
    assert [entry.address for entry in lan.eth0.addresses if entry.origin == "link-local"] == [p("fe80::ff:fe00:2")]


def test_address_under_test_is_not_added_twice_and_can_be_removed(lan: Lan) -> None:
    lan.eth0.add_address(f"{ADDRESS}/64", probe=True)
    with pytest.raises(AddressError, match="already has"):
        lan.eth0.add_address(f"{ADDRESS}/64")
    lan.eth0.remove_address(ADDRESS)
    assert lan.eth0.tentative == {} and p(GROUP) not in lan.eth0.groups
    lan.advance(5)
    assert not lan.network.is_local(p(ADDRESS)) and probes(lan) == []


def test_layer_3_has_nobody_to_ask() -> None:
    lan = Lan()
    tun = lan.network.add_interface("tun", layer=3)
    tun.add_address(f"{ADDRESS}/64", probe=True)
    tun.add_address("10.1.0.1/24", probe=True)
    assert lan.network.is_local(p(ADDRESS)) and lan.network.is_local(p("10.1.0.1"))
    assert lan.sent(tun) == []


def test_removed_interface_ends_its_tests(lan: Lan) -> None:
    lan.eth0.add_address(f"{ADDRESS}/64", probe=True)
    lan.eth0.add_address("10.0.0.7/24", probe=True)
    lan.network.remove_interface(lan.eth0)
    lan.advance(10)
    assert lan.eth0.addresses == [] and lan.network.wheel.count == 0


# IPv4


def arps(lan: Lan) -> list[arp.ArpPacket]:
    return [frame.arp for frame in lan.sent() if arp.ArpPacket in frame]


@pytest.mark.rfc("5227", "2.1.1", "MUST probe before an address is used: 0.0.0.0 asks, PROBE_NUM times")
@pytest.mark.rfc("5227", "2.3", "MUST announce an address that was probed for: twice, ANNOUNCE_INTERVAL apart")
def test_ipv4_address_is_probed_three_times_and_announced_twice(lan: Lan) -> None:
    lan.eth0.add_address("10.0.0.7/24", probe=True)
    seen: list[tuple[float, arp.ArpPacket]] = []
    for step in range(120):
        lan.advance(0.1)
        seen += [(step / 10, message) for message in arps(lan)]
    times = [when for when, _ in seen]
    messages = [message for _, message in seen]
    probe = arp.request(Mac(OURS), bytes(4), p("10.0.0.7"))
    announcement = arp.request(Mac(OURS), p("10.0.0.7"), p("10.0.0.7"))
    assert messages == [probe] * 3 + [announcement] * 2
    assert times[0] <= 1 and all(1 <= b - a <= 2.1 for a, b in pairwise(times[:3]))
    assert times[3] - times[2] == pytest.approx(2, abs=0.11) and times[4] - times[3] == pytest.approx(2, abs=0.11)
    assert lan.network.is_local(p("10.0.0.7")) and lan.kinds == [notice.ADDRESS_ADDED]


@pytest.mark.rfc("5227", "2.1.1", "any ARP packet from the address, or another host's probe for it, is a conflict")
@pytest.mark.parametrize(
    "message",
    [
        arp.reply(PEER, p("10.0.0.7"), Mac(OURS), bytes(4)),
        arp.request(PEER, p("10.0.0.7"), p("10.0.0.1")),
        arp.request(PEER, bytes(4), p("10.0.0.7")),
    ],
)
def test_ipv4_address_that_another_host_has_or_tests_is_a_duplicate(lan: Lan, message: arp.ArpPacket) -> None:
    lan.eth0.add_address("10.0.0.7/24", probe=True)
    lan.advance(1.0)
    lan.receive(arp_packet(message))
    assert lan.kinds == [notice.ADDRESS_DUPLICATE] and not lan.network.is_local(p("10.0.0.7"))
    lan.sent()
    lan.advance(20)
    assert arps(lan) == []


@pytest.mark.rfc("5227", "2.1.1", "our own probe that comes back is no conflict; questions of others are none")
def test_ipv4_own_probe_and_other_questions_are_no_conflict(lan: Lan) -> None:
    lan.eth0.add_address("10.0.0.7/24", probe=True)
    lan.advance(1.0)
    lan.receive(arp_packet(arp.request(Mac(OURS), bytes(4), p("10.0.0.7"))))
    lan.receive(arp_packet(arp.request(PEER, p("10.0.0.1"), p("10.0.0.7"))))
    lan.receive(arp_packet(arp.request(PEER, bytes(4), p("10.0.0.9"))))
    lan.sent()
    lan.receive(arp_packet(arp.request(PEER, p("10.0.0.1"), p("10.0.0.7"))))
    assert arps(lan) == []  # and a tentative address is not answered for
    lan.advance(10)
    assert lan.network.is_local(p("10.0.0.7"))
