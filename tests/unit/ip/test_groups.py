"""Groups told to routers and switches: MLD (RFC 3810, 2710) and IGMP (RFC 3376, 2236, 1112)."""

from __future__ import annotations

import pytest

from tests.unit.ip.links import ROUTER, Lan, p
from uinet.units import SECOND
from uinet.wire import icmpv6, igmp, ipv4, ipv6_extensions, mld
from uinet.wire.addresses import L2Info, multicast_mac, pack_address
from uinet.wire.build import Dissected, frame, ip
from uinet.wire.kernels import checksum

GROUP6 = "ff05::1234"
GROUP4 = "239.1.2.3"
OWN = "fe80::aa"
QUERIER = "10.0.0.254"


@pytest.fixture
def lan() -> Lan:
    """An interface that has addresses of both families and has told of the groups that this took."""
    made = Lan()
    made.eth0.add_address(f"{OWN}/64")
    made.eth0.add_address("10.0.0.2/24")
    made.eth0.announce_groups()
    made.advance(3)
    made.sent()
    return made


# MLD


def reports(lan: Lan) -> list[tuple[Dissected, tuple[mld.Record, ...]]]:
    """MLDv2 reports that were sent, each sound in its headers."""
    found = []
    for sent in lan.sent():
        if icmpv6.Icmpv6Message not in sent or sent.icmpv6.type != icmpv6.MLDV2_REPORT:
            continue
        assert sent.ipv6.hop_limit == 1 and sent.checksums_ok and sent.destination == p("ff02::16")
        assert mld.has_router_alert(sent.packet, 0, len(sent.packet))
        assert sent.ethernet.destination == multicast_mac(p("ff02::16"))
        found.append((sent, mld.parse_report(icmpv6.emit(sent.icmpv6, sent.source, sent.destination))))
    return found


def records(lan: Lan) -> list[mld.Record]:
    return [record for _, found in reports(lan) for record in found]


def mld_frame(
    message: icmpv6.Icmpv6Message, source: str = ROUTER, to: str = "ff02::1", *, ttl: int = 1, alert: bool = True
) -> bytes:
    body = icmpv6.emit(message, p(source), p(to))
    options = (ipv6_extensions.Option(ipv6_extensions.ROUTER_ALERT, b"\0\0"),) if alert else ()
    header = ipv6_extensions.OptionsHeader(ipv6_extensions.HOP_BY_HOP, 58, options)
    packet = ip(source, to, 58, body, ttl=ttl, extensions=(header,))
    return frame(packet, L2Info.make("02:00:00:00:00:01", multicast_mac(p(to))))


def ask(lan: Lan, group: str = "::", *, to: str = "ff02::1", **fields: object) -> None:
    query = mld.Query(pack_address(group), **fields)  # type: ignore[arg-type]
    lan.receive(mld_frame(mld.query(query), to=to))


@pytest.mark.rfc("3810", "6.1", "a change is reported at once, and Robustness - 1 times more within a second")
@pytest.mark.rfc("3810", "5.2.13", "reports come from a link-local address, with hop limit 1 and a Router Alert")
@pytest.mark.rfc("4861", "7.2.1", "joining the solicited-node group is done by MLD")
def test_joined_and_left_groups_are_reported_twice(lan: Lan) -> None:
    lan.eth0.add_address("2001:db8::99/64")
    solicited = p("ff02::1:ff00:99")
    ((sent, first),) = reports(lan)
    assert sent.source == p(OWN) and first == (mld.Record(mld.CHANGE_TO_EXCLUDE, solicited),)
    lan.advance(1.1)
    assert records(lan) == [mld.Record(mld.CHANGE_TO_EXCLUDE, solicited)]
    lan.advance(20)
    assert records(lan) == []
    lan.eth0.remove_address("2001:db8::99")
    assert records(lan) == [mld.Record(mld.CHANGE_TO_INCLUDE, solicited)]
    lan.advance(1.1)
    assert records(lan) == [mld.Record(mld.CHANGE_TO_INCLUDE, solicited)]


@pytest.mark.rfc("3810", "6", "all-nodes and groups of a scope under link-local are never reported")
def test_groups_that_nobody_needs_to_know_are_not_reported(lan: Lan) -> None:
    for group in ("ff02::1", "ff01::5", "ff00::1"):
        lan.eth0.join(p(group))
    lan.eth0.join(p("224.0.0.1"))
    ask(lan)
    lan.advance(11)
    assert {record.group for record in records(lan)} == {p("ff02::1:ff00:aa")}


@pytest.mark.rfc("3590", "4", "reports without a link-local address come from ::, and are repeated once there is one")
def test_reports_while_the_link_local_address_is_tentative_are_repeated() -> None:
    lan = Lan()
    lan.eth0.autoconfigure()
    ((sent, _),) = reports(lan)
    assert sent.source == bytes(16)
    lan.advance(4)
    assert reports(lan)[-1][0].source == lan.eth0.link_local()


@pytest.mark.rfc("3810", "6.2", "a general query is answered with all groups, after a random part of the response time")
def test_general_query_is_answered_once_in_time(lan: Lan) -> None:
    lan.eth0.join(p(GROUP6))
    lan.advance(2)
    lan.sent()
    for _ in range(50):
        ask(lan, response=5000)
    assert records(lan) == []
    lan.advance(5.1)
    assert sorted((record.kind, record.group) for record in records(lan)) == sorted(
        (mld.MODE_IS_EXCLUDE, group) for group in (p("ff02::1:ff00:aa"), p(GROUP6))
    )
    lan.advance(20)
    assert records(lan) == []


@pytest.mark.rfc("3810", "6.2", "a query for a group is answered for that group; with sources for those")
def test_specific_queries_are_answered(lan: Lan) -> None:
    lan.eth0.join(p(GROUP6))
    lan.advance(2)
    lan.sent()
    ask(lan, GROUP6, to=GROUP6, response=1000)
    lan.advance(1.1)
    assert records(lan) == [mld.Record(mld.MODE_IS_EXCLUDE, p(GROUP6))]
    sources = (p("2001:db8::1"), p("2001:db8::2"))
    ask(lan, GROUP6, to=GROUP6, response=1000, sources=sources)
    lan.advance(1.1)
    assert records(lan) == [mld.Record(mld.MODE_IS_INCLUDE, p(GROUP6), sources)]
    ask(lan, "ff05::9", response=1000)
    lan.advance(2)
    assert records(lan) == []


def test_sources_of_queries_are_bounded(lan: Lan) -> None:
    lan.eth0.join(p(GROUP6))
    lan.advance(2)
    lan.sent()
    for start in (0, 40, 80, 120):
        sources = tuple(p(f"2001:db8::{n + start:x}") for n in range(40))
        ask(lan, GROUP6, to=GROUP6, response=10_000, sources=sources)
    lan.advance(11)
    (record,) = records(lan)
    assert len(record.sources) == 64


def test_many_groups_go_in_several_reports_that_fit_the_link(lan: Lan) -> None:
    for number in range(200):
        lan.eth0.join(p(f"ff05::{number:x}:1"))
    lan.advance(2)
    lan.sent()
    ask(lan, response=1000)
    lan.advance(1.1)
    found = reports(lan)
    assert len(found) > 1 and all(len(sent.packet) <= 1280 for sent, _ in found)
    assert len({record.group for _, some in found for record in some}) == 201


@pytest.mark.rfc(
    "3810", "6.2",
    "MUST ignore messages that are not from a link-local address with hop limit 1 and Router Alert",
)
@pytest.mark.parametrize("wrong", [{"source": "2001:db8::1"}, {"ttl": 2}, {"alert": False}, {"source": "::"}])
def test_queries_that_are_not_of_the_link_are_dropped(lan: Lan, wrong: dict[str, object]) -> None:
    lan.receive(mld_frame(mld.query(mld.Query(response=1000)), **wrong))  # type: ignore[arg-type]
    lan.advance(2)
    assert records(lan) == [] and lan.stats["mld_malformed"] == 1 and lan.stats["icmp_ignored"] == 1


@pytest.mark.parametrize("payload", [b"", bytes(15), bytes(17), bytes(16) + b"\2\x7d\0\1", p("2001:db8::1")])
@pytest.mark.threat(83)
def test_threat_83_malformed_mld_is_dropped(lan: Lan, payload: bytes) -> None:
    lan.receive(mld_frame(icmpv6.Icmpv6Message(130, 0, 1000 << 16, payload)))
    lan.receive(mld_frame(icmpv6.Icmpv6Message(131, 0, 0, payload[:15])))
    assert lan.stats["mld_malformed"] == 2
    lan.advance(2)
    assert records(lan) == []


def older(lan: Lan) -> list[tuple[int, bytes, bytes]]:
    """(type, group, destination) of MLDv1 messages sent."""
    found = []
    for sent in lan.sent():
        if icmpv6.Icmpv6Message in sent and sent.icmpv6.type in (icmpv6.MLD_REPORT, icmpv6.MLD_DONE):
            assert sent.ipv6.hop_limit == 1 and sent.checksums_ok
            found.append((sent.icmpv6.type, sent.icmpv6.payload, sent.destination))
    return found


@pytest.mark.rfc("3810", "8.2.1", "an MLDv1 querier is answered in MLDv1 until it has not been heard for a while")
@pytest.mark.rfc("2710", "4", "a report goes to the group; done goes to all routers if we were the last to report")
def test_mldv1_querier_is_spoken_to_in_mldv1(lan: Lan) -> None:
    ask(lan, version=1, response=1000)
    lan.advance(1.1)
    solicited = p("ff02::1:ff00:aa")
    assert older(lan) == [(icmpv6.MLD_REPORT, solicited, solicited)]
    lan.eth0.join(p(GROUP6))
    assert older(lan) == [(icmpv6.MLD_REPORT, p(GROUP6), p(GROUP6))]
    lan.eth0.leave(p(GROUP6))
    assert older(lan) == [(icmpv6.MLD_DONE, p(GROUP6), p("ff02::2"))]
    lan.advance(2 * 125 + 11)
    lan.eth0.join(p(GROUP6))
    assert [record.kind for record in records(lan)] == [mld.CHANGE_TO_EXCLUDE]


@pytest.mark.rfc("2710", "4", "a report of another host makes ours unnecessary, and then we say no done")
def test_mldv1_report_of_another_host_suppresses_ours(lan: Lan) -> None:
    lan.eth0.join(p(GROUP6))
    lan.advance(2)
    lan.sent()
    ask(lan, GROUP6, to=GROUP6, version=1, response=10_000)
    lan.receive(mld_frame(mld.report_v1(p(GROUP6)), source="fe80::77", to=GROUP6))
    lan.advance(11)
    assert older(lan) == []
    lan.eth0.leave(p(GROUP6))
    assert older(lan) == []


@pytest.mark.rfc("2710", "4", "who has left before answering an older querier has still been the last to report")
def test_leaving_between_a_version_1_query_and_its_answer_is_told(lan: Lan) -> None:
    lan.eth0.join(p(GROUP6))
    lan.advance(2)
    lan.sent()  # reported in version 2
    ask(lan, version=1, response=10_000)
    lan.eth0.leave(p(GROUP6))
    assert (icmpv6.MLD_DONE, p(GROUP6), p("ff02::2")) in older(lan)


def test_interface_that_does_not_report_still_answers_queries() -> None:
    lan = Lan()
    lan.eth0.add_address(f"{OWN}/64")
    assert reports(lan) == []
    ask(lan, response=1000)
    lan.advance(1.1)
    assert [record.group for record in records(lan)] == [p("ff02::1:ff00:aa")]


def test_removed_interface_leaves_nothing(lan: Lan) -> None:
    ask(lan)
    igmp_ask(lan)
    lan.network.remove_interface(lan.eth0)
    assert lan.network.groups.memberships == {} and lan.network.wheel.count == 0


# IGMP


def igmp_frame(message: bytes, source: str = QUERIER, to: str = "224.0.0.1", *, alert: bool = True) -> bytes:
    packet = ip(source, to, igmp.PROTOCOL, message, ttl=1, options=igmp.ROUTER_ALERT if alert else b"")
    return frame(packet, L2Info.make("02:00:00:00:00:01", multicast_mac(p(to))))


def igmp_ask(lan: Lan, group: str = "0.0.0.0", *, to: str = "224.0.0.1", **fields: object) -> None:
    query = mld.Query(p(group), **{"version": 3, **fields})  # type: ignore[arg-type]
    lan.receive(igmp_frame(igmp.query(query), to=to, alert=query.version > 1))


def igmp_sent(lan: Lan) -> list[tuple[int, bytes, bytes]]:
    """(type, rest, destination) of IGMP messages sent, each sound in its headers."""
    found = []
    for sent in lan.sent():
        if ipv4.Ipv4Header in sent and sent.ipv4.protocol == igmp.PROTOCOL:
            assert sent.ipv4.ttl == 1 and sent.ipv4.options == igmp.ROUTER_ALERT
            assert checksum(sent.packet, 0, 24, 0) == 0xFFFF
            assert igmp.check(sent.payload) and sent.ethernet.destination == multicast_mac(sent.destination)
            assert sent.source == p("10.0.0.2")
            found.append((sent.payload[0], sent.payload[4:], sent.destination))
    return found


def igmp_records(lan: Lan) -> list[mld.Record]:
    found: list[mld.Record] = []
    for kind, rest, destination in igmp_sent(lan):
        assert kind == igmp.V3_REPORT and destination == p("224.0.0.22")
        found += igmp.parse_report(bytes((kind, 0, 0, 0)) + rest)
    return found


@pytest.mark.rfc("3376", "5.1", "a change is reported at once, and Robustness - 1 times more within a second")
@pytest.mark.rfc("3376", "4", "IGMP is sent with TTL 1 and a Router Alert")
def test_igmp_joined_and_left_groups_are_reported_twice(lan: Lan) -> None:
    lan.eth0.join(p(GROUP4))
    assert igmp_records(lan) == [mld.Record(mld.CHANGE_TO_EXCLUDE, p(GROUP4))]
    lan.advance(1.1)
    assert igmp_records(lan) == [mld.Record(mld.CHANGE_TO_EXCLUDE, p(GROUP4))]
    lan.eth0.leave(p(GROUP4))
    lan.advance(1.1)
    assert igmp_records(lan) == [mld.Record(mld.CHANGE_TO_INCLUDE, p(GROUP4))] * 2


@pytest.mark.rfc("3376", "5.2", "queries are answered after a random part of the response time")
def test_igmp_queries_are_answered(lan: Lan) -> None:
    lan.eth0.join(p(GROUP4))
    lan.advance(2)
    lan.sent()
    igmp_ask(lan, response=5000)
    lan.advance(5.1)
    assert igmp_records(lan) == [mld.Record(mld.MODE_IS_EXCLUDE, p(GROUP4))]
    igmp_ask(lan, GROUP4, to=GROUP4, response=1000, sources=(p("10.0.0.7"),))
    lan.advance(1.1)
    assert igmp_records(lan) == [mld.Record(mld.MODE_IS_INCLUDE, p(GROUP4), (p("10.0.0.7"),))]


@pytest.mark.rfc("3376", "7.2.1", "an IGMPv2 querier is answered in version 2, until it has not been heard for a while")
@pytest.mark.rfc("2236", "3", "reports go to the group; leaving to all routers if we were the last to report")
def test_igmpv2_querier_is_spoken_to_in_version_2(lan: Lan) -> None:
    lan.eth0.join(p(GROUP4))
    lan.advance(2)
    lan.sent()
    igmp_ask(lan, version=2, response=1000)
    lan.advance(1.1)
    assert igmp_sent(lan) == [(igmp.V2_REPORT, p(GROUP4), p(GROUP4))]
    lan.eth0.leave(p(GROUP4))
    assert igmp_sent(lan) == [(igmp.LEAVE, p(GROUP4), p("224.0.0.2"))]
    lan.advance(2 * 125 + 11)
    lan.eth0.join(p(GROUP4))
    assert [record.kind for record in igmp_records(lan)] == [mld.CHANGE_TO_EXCLUDE]


@pytest.mark.rfc("3376", "7.2.1", "an IGMPv1 querier is answered in version 1, which has no leaving")
@pytest.mark.rfc("2236", "4", "a version 1 querier means a response time of 10 s, and counts as present for 400 s")
def test_igmpv1_querier_is_spoken_to_in_version_1(lan: Lan) -> None:
    lan.eth0.join(p(GROUP4))
    lan.advance(2)
    lan.sent()
    igmp_ask(lan, version=1)
    lan.advance(10.1)
    assert igmp_sent(lan) == [(igmp.V1_REPORT, p(GROUP4), p(GROUP4))]
    lan.eth0.leave(p(GROUP4))
    assert igmp_sent(lan) == []
    lan.advance(380)
    assert lan.network.groups.membership(lan.eth0, 4).version == 1
    lan.advance(15)
    assert lan.network.groups.membership(lan.eth0, 4).version == 3


@pytest.mark.rfc("2236", "3", "a report of another host makes ours unnecessary")
def test_igmp_report_of_another_host_suppresses_ours(lan: Lan) -> None:
    lan.eth0.join(p(GROUP4))
    lan.advance(2)
    lan.sent()
    igmp_ask(lan, GROUP4, to=GROUP4, version=2, response=10_000)
    lan.receive(igmp_frame(igmp.about(igmp.V2_REPORT, p(GROUP4)), source="10.0.0.9", to=GROUP4))
    lan.advance(11)
    assert igmp_sent(lan) == []


@pytest.mark.parametrize(
    "message",
    [
        b"", b"\x11\x64\xee", b"\x11\x64\0\0\0\0\0\0", igmp.query(mld.Query(bytes(4), version=3))[:9],
        igmp.query(mld.Query(p("10.0.0.1"), version=2)),
    ],
)
@pytest.mark.threat(83)
def test_threat_83_malformed_igmp_is_dropped(lan: Lan, message: bytes) -> None:
    lan.receive(igmp_frame(message))
    assert lan.stats["igmp_malformed"] == 1 and lan.network.groups.membership(lan.eth0, 4).general_at == 0


@pytest.mark.rfc("3376", "9.1", "a version 3 query without a Router Alert is ignored")
def test_version_3_query_without_router_alert_is_dropped(lan: Lan) -> None:
    lan.receive(igmp_frame(igmp.query(mld.Query(bytes(4), version=3)), alert=False))
    assert lan.stats["igmp_malformed"] == 1


def test_robustness_and_interval_are_the_queriers(lan: Lan) -> None:
    igmp_ask(lan, robustness=4, interval=60)
    membership = lan.network.groups.membership(lan.eth0, 4)
    assert membership.robustness == 4 and membership.query_interval == 60 * SECOND
    lan.eth0.join(p(GROUP4))
    lan.advance(4)
    assert len([record for record in igmp_records(lan) if record.kind == mld.CHANGE_TO_EXCLUDE]) == 4
