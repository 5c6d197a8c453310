from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from uinet.ip.neighbors import STALE
from uinet.wire import arp
from uinet.wire.addresses import L2Info, Mac, VlanTag, pack_address
from uinet.wire.build import arp_reply, arp_request

if TYPE_CHECKING:
    from tests.unit.ip.conftest import Bench

PEER = "02:00:00:00:00:01"
OURS = bytes.fromhex("020000000002")


def p(address: str) -> bytes:
    return pack_address(address)


@pytest.mark.rfc("826", "-", "a request for our address is answered to who asked")
def test_request_for_our_address_is_answered_to_the_asker(bench: Bench) -> None:
    bench.receive(arp_request("10.0.0.1", "10.0.0.2", PEER))
    (frame,) = bench.sent()
    assert str(frame.ethernet.destination) == PEER and frame.ethernet.source == OURS
    assert frame.arp == arp.reply(OURS, p("10.0.0.2"), bytes.fromhex("020000000001"), p("10.0.0.1"))
    assert bench.stats["arp_requests_in"] == 1 and bench.stats["arp_replies_out"] == 1


def test_request_for_our_address_tells_of_the_asker(bench: Bench) -> None:
    bench.receive(arp_request("10.0.0.1", "10.0.0.2", PEER))
    (hop,) = bench.network.neighbors
    assert hop.address == p("10.0.0.1") and hop.mac == Mac.parse(PEER) and hop.state == STALE


@pytest.mark.parametrize(("source", "target"), [("10.0.0.1", "10.0.0.3"), ("192.168.9.9", "10.0.0.2")])
def test_request_for_others_or_from_elsewhere_makes_no_entry(bench: Bench, source: str, target: str) -> None:
    bench.receive(arp_request(source, target, PEER))
    assert list(bench.network.neighbors) == []


@pytest.mark.parametrize("target", ["10.0.0.3", "10.0.0.255", "127.0.0.1", "224.0.0.1", "0.0.0.0"])
def test_request_for_another_address_is_ignored(bench: Bench, target: str) -> None:
    bench.receive(arp_request("10.0.0.1", target, PEER))
    assert bench.sent() == [] and bench.stats["arp_ignored"] == 1


def test_request_for_an_address_of_another_interface_is_ignored(bench: Bench) -> None:
    bench.network.add_interface("eth1").add_address("10.9.0.1/24")
    bench.receive(arp_request("10.0.0.1", "10.9.0.1", PEER))
    assert bench.sent() == []


@pytest.mark.rfc("5227", "2.5", "a probe for an address in use is answered")
def test_probe_of_our_address_is_answered(bench: Bench) -> None:
    bench.receive(arp_request("0.0.0.0", "10.0.0.2", PEER))
    (frame,) = bench.sent()
    assert frame.arp.op == arp.REPLY and frame.arp.tpa == bytes(4)


@pytest.mark.rfc("826", "-", "what was not asked for makes no entry")
def test_unsolicited_reply_of_an_unknown_host_is_ignored(bench: Bench) -> None:
    bench.receive(arp_reply("10.0.0.1", "10.0.0.2", PEER))
    assert list(bench.network.neighbors) == [] and bench.stats["arp_ignored"] == 1
    assert bench.stats["arp_replies_in"] == 1


def test_own_request_come_back_is_ignored(bench: Bench) -> None:
    bench.receive(arp_request("10.0.0.2", "10.0.0.2", "02:00:00:00:00:02"))
    assert bench.stats["arp_ignored"] == 1 and bench.stats["arp_conflict"] == 0


@pytest.mark.rfc("5227", "2.4", "(c) an address is defended, at most once in DEFEND_INTERVAL")
def test_conflict_is_counted_and_defended_once_in_ten_seconds(bench: Bench) -> None:
    for _ in range(3):
        bench.receive(arp_request("10.0.0.2", "10.0.0.2", PEER))
    (frame,) = bench.sent()
    assert frame.arp == arp.request(OURS, p("10.0.0.2"), p("10.0.0.2"))
    assert bench.stats["arp_conflict"] == 3
    bench.advance(10)
    bench.receive(arp_reply("10.0.0.2", "10.0.0.9", PEER))
    assert len(bench.sent()) == 1


def test_add_address_announces_when_asked(bench: Bench) -> None:
    bench.eth0.add_address("10.0.0.5/24", announce=True)
    (frame,) = bench.sent()
    assert str(frame.ethernet.destination) == "ff:ff:ff:ff:ff:ff"
    assert frame.arp == arp.request(OURS, p("10.0.0.5"), p("10.0.0.5"))
    bench.eth0.add_address("10.0.0.6/24")
    assert bench.sent() == []


GOOD = bytes.fromhex(
    "ffffffffffff020000000001" "0806" "0001080006040001" "020000000001" "0a000001" "000000000000" "0a000002"
)


@pytest.mark.parametrize(
    "data",
    [
        GOOD[:-1],
        GOOD[:20],
        GOOD[:14] + b"\x00\x06" + GOOD[16:],  # hardware type
        GOOD[:16] + b"\x08\x01" + GOOD[18:],  # protocol type
        GOOD[:18] + b"\x08" + GOOD[19:] + bytes(8),  # hardware address length
        GOOD[:20] + b"\x00\x03" + GOOD[22:],  # operation
        GOOD[:22] + b"\x03" + GOOD[23:],  # the sender's MAC is a group
        GOOD[:28] + b"\xe0" + GOOD[29:],  # the sender's address is a group
        GOOD[:28] + b"\xff\xff\xff\xff" + GOOD[32:],
    ],
)
def test_malformed_is_dropped_and_counted(bench: Bench, data: bytes) -> None:
    bench.receive(GOOD)
    assert len(bench.sent()) == 1
    bench.receive(data)
    assert bench.sent() == [] and bench.stats["arp_malformed"] == 1


def test_every_truncation_and_flip_is_survived(bench: Bench) -> None:
    for length in range(14, len(GOOD)):
        bench.receive(GOOD[:length])
    for at in range(14, len(GOOD)):
        for bit in range(8):
            bench.receive(GOOD[:at] + bytes([GOOD[at] ^ 1 << bit]) + GOOD[at + 1 :])
    # what is still a request for us from an address of this link is one flip from 10.0.0.1, in its last byte
    assert {hop.address[:3] for hop in bench.network.neighbors} == {p("10.0.0.1")[:3]}
    assert len(bench.network.neighbors.table) <= 9


# promiscuous


TAGS = (VlanTag(100, 3, 0, 0x88A8), VlanTag(5))
ASKER = L2Info.make(PEER, "ff:ff:ff:ff:ff:ff", TAGS)


def promiscuous(bench: Bench, *, answer: bool = True) -> None:
    wire = bench.network.add_interface("wire", mac="02:00:00:00:00:77", cdom=1)
    wire.answer_any = answer
    bench.eth0 = wire


def test_answer_any_answers_for_everybody_under_the_same_tags(bench: Bench) -> None:
    promiscuous(bench)
    bench.receive(arp_request("10.0.0.1", "192.0.2.55", PEER, ASKER))
    (frame,) = bench.sent()
    assert frame.l2info == L2Info.make("02:00:00:00:00:77", PEER, TAGS)
    assert (frame.arp.sha.hex(), frame.arp.spa, frame.arp.tpa) == ("020000000077", p("192.0.2.55"), p("10.0.0.1"))


@pytest.mark.parametrize(
    ("sender", "target"),
    [
        ("0.0.0.0", "192.0.2.5"),  # a probe (RFC 5227): the address must stay free
        ("192.0.2.5", "192.0.2.5"),  # an announcement
        ("10.0.0.1", "0.0.0.0"),
        ("10.0.0.1", "224.0.0.5"),
        ("10.0.0.1", "255.255.255.255"),
    ],
)
def test_answer_any_leaves_the_asker_its_own_address(bench: Bench, sender: str, target: str) -> None:
    promiscuous(bench)
    bench.receive(arp_request(sender, target, PEER))
    assert bench.sent() == [] and bench.stats["arp_ignored"] == 1


def test_answer_any_keeps_to_its_prefixes(bench: Bench) -> None:
    promiscuous(bench)
    bench.eth0.answer_prefixes = [(p("192.0.2.0"), 24), (p("2001:db8::"), 32)]
    bench.receive(arp_request("10.0.0.1", "192.0.3.5", PEER))
    assert bench.sent() == []
    bench.receive(arp_request("10.0.0.1", "192.0.2.5", PEER))
    assert len(bench.sent()) == 1


def test_promiscuous_takes_no_part_unless_it_is_told_to(bench: Bench) -> None:
    promiscuous(bench, answer=False)
    bench.receive(arp_request("10.0.0.1", "192.0.2.55", PEER))
    bench.receive(arp_request("10.0.0.1", "10.0.0.2", PEER))
    assert bench.sent() == [] and bench.stats["arp_ignored"] == 2


def test_answer_any_ignores_replies(bench: Bench) -> None:
    promiscuous(bench)
    bench.receive(arp_reply("10.0.0.1", "192.0.2.55", PEER))
    assert bench.sent() == [] and bench.stats["arp_ignored"] == 1


def test_question_about_another_prefix_comes_from_any_address_or_none(bench: Bench) -> None:
    bench.network.routes.add("172.16.0.0/16", interface=bench.eth0)
    bench.network.send_ip(None, p("172.16.0.9"), 99, b"x")
    assert bench.sent()[0].arp.spa == p("10.0.0.2")
    bench.network.add_interface("eth1").add_address("10.9.0.1/24")
    bench.eth0.remove_address("10.0.0.2")
    bench.network.send_ip(None, p("172.16.0.8"), 99, b"x")
    assert bench.sent()[0].arp == arp.request(OURS, bytes(4), p("172.16.0.8"))
