"""ICMP errors that go out: RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e), threats 36 and 85."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from uinet.ip import icmp
from uinet.wire import icmpv6 as v6
from uinet.wire.addresses import L2Info, pack_address
from uinet.wire.build import fragments, frame, icmp_echo, icmp_message, ip, nd_message, udp
from uinet.wire.ipv6_extensions import Option, OptionsHeader
from uinet.wire.nd import Redirect
from uinet.wire.packet import Packet

if TYPE_CHECKING:
    from tests.unit.ip.conftest import Bench

A4, B4, A6, B6 = "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"


def p(address: str) -> bytes:
    return pack_address(address)


KINDS: list[tuple[str, Callable[[icmp.Icmp, Packet], bool], tuple[int, int, int], tuple[int, int, int]]] = [
    ("port", icmp.Icmp.port_unreachable, (3, 3, 0), (1, 4, 0)),
    ("protocol", icmp.Icmp.protocol_unreachable, (3, 2, 0), (4, 1, 6)),
    ("host", icmp.Icmp.host_unreachable, (3, 1, 0), (1, 3, 0)),
    ("net", icmp.Icmp.net_unreachable, (3, 0, 0), (1, 0, 0)),
    ("prohibited", icmp.Icmp.prohibited, (3, 13, 0), (1, 1, 0)),
    ("time", icmp.Icmp.time_exceeded, (11, 0, 0), (3, 0, 0)),
    ("big", lambda self, packet: self.too_big(packet, 1300), (3, 4, 1300), (2, 0, 1300)),
    ("parameter", lambda self, packet: self.parameter_problem(packet, 0, 7), (12, 0, 7 << 24), (4, 0, 7)),
]


@pytest.mark.rfc("1122", "3.2.2", "an error MUST quote the IP header and at least 8 bytes of what it is about")
@pytest.mark.rfc("4443", "3.1", "port unreachable SHOULD be sent where nobody listens, with code 4")
@pytest.mark.parametrize(("say", "four", "six"), [kind[1:] for kind in KINDS], ids=[kind[0] for kind in KINDS])
def test_error_has_its_type_code_and_quote(
    ready: Bench, say: Callable[[icmp.Icmp, Packet], bool], four: tuple[int, int, int], six: tuple[int, int, int]
) -> None:
    for source, destination, expected in ((A4, B4, four), (A6, B6, six)):
        data = udp(source, destination, 1000, 2000, b"hello") + b"padding"
        assert say(ready.network.icmp, ready.parse(data))
        (sent,) = ready.sent()
        message = sent.icmp if len(p(source)) == 4 else sent.icmpv6
        assert (message.type, message.code, message.info) == expected
        assert message.payload == data[14:-7]
        assert (sent.source, sent.destination, sent.checksums_ok) == (p(destination), p(source), True)
    assert ready.stats["icmp_tx"] == 2


@pytest.mark.rfc("4443", "2.4", "(c) as much of the packet as fits the minimum IPv6 MTU")
@pytest.mark.parametrize(("source", "destination", "size"), [(A4, B4, 576), (A6, B6, 1280)])
def test_quote_is_as_large_as_is_allowed(ready: Bench, source: str, destination: str, size: int) -> None:
    data = udp(source, destination, 1000, 2000, bytes(1400))
    ready.network.icmp.port_unreachable(ready.parse(data))
    (sent,) = ready.sent()
    headers = 28 if size == 576 else 48
    assert len(sent.packet) == size and sent.packet[headers:] == data[14 : 14 + size - headers]


@pytest.mark.rfc(
    "8200", "4",
    "an unrecognized next header: parameter problem code 1, pointing to it, and the packet is discarded",
)
@pytest.mark.rfc("4443", "3.4", "the pointer identifies the offending octet")
def test_ipv6_pointer_of_an_unknown_protocol_is_the_byte_that_names_it(ready: Bench) -> None:
    extensions = (OptionsHeader(60, 0, (Option(1, bytes(4)),)),)
    ready.receive(frame(ip(A6, B6, 99, b"what is this", extensions=extensions)))
    (sent,) = ready.sent()
    assert (sent.icmpv6.type, sent.icmpv6.code, sent.icmpv6.pointer) == (4, 1, 40)


@pytest.mark.rfc("1122", "3.2.2.1", "SHOULD send protocol unreachable where there is no such transport")
def test_unknown_protocol_is_answered(ready: Bench) -> None:
    ready.receive(frame(ip(A4, B4, 99, b"what is this")))
    assert (ready.sent()[0].icmp.type, ready.stats["icmp_tx"]) == (3, 1)


L2_BROADCAST = L2Info.make("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff")


@pytest.mark.threat(85)
@pytest.mark.rfc(
    "1122", "3.2.2",
    "MUST NOT send an error about an error, a broadcast, a later fragment, or a packet from no single host",
)
@pytest.mark.rfc(
    "4443", "2.4",
    "(e) no errors about errors, redirects, groups, link-layer broadcasts, or packets from no single node",
)
@pytest.mark.parametrize(
    "data",
    [
        icmp_message(A4, B4, 3, 3, 0, udp(B4, A4, 1, 2, layer=3)),  # about an error (threat 85)
        icmp_message(A4, B4, 5, 0, 0, udp(B4, A4, 1, 2, layer=3)),
        icmp_message(A4, B4, 11, 1, 0, udp(B4, A4, 1, 2, layer=3)),
        icmp_message(A4, B4, 77),  # nobody knows whether it is one
        frame(ip(A4, B4, 1, b"")),
        udp(A4, "10.0.0.255", 1, 2),  # to a group
        udp(A4, "255.255.255.255", 1, 2),
        udp(A4, "224.0.0.1", 1, 2),
        udp(A4, B4, 1, 2, l2=L2_BROADCAST),
        udp("0.0.0.0", B4, 1, 2),  # from no host
        udp("127.0.0.1", B4, 1, 2),
        udp("224.0.0.5", B4, 1, 2),
        udp("255.255.255.255", B4, 1, 2),
        udp("10.0.0.255", B4, 1, 2),
        frame(fragments(ip(A4, B4, 17, bytes(64)), 32)[1]),  # not the first piece
        icmp_message(A6, B6, 1, 4, 0, udp(B6, A6, 1, 2, layer=3)),
        icmp_message(A6, B6, 100, 0, 0),
        nd_message("fe80::1", B6, Redirect(p("fe80::9"), p("2001:db8:9::1"))),
        udp(A6, "ff02::1", 1, 2),
        udp("::", B6, 1, 2),
        udp("ff02::7", B6, 1, 2),
        udp("::1", B6, 1, 2),
        udp(A6, B6, 1, 2, l2=L2_BROADCAST),
    ],
)  # fmt: skip
def test_threat_17_what_gets_no_error(ready: Bench, data: bytes) -> None:
    packet = ready.parse(data)
    assert not ready.network.icmp.port_unreachable(packet)
    assert ready.sent() == [] and ready.stats["icmp_tx"] == 0


def test_echo_request_may_get_an_error(ready: Bench) -> None:
    assert ready.network.icmp.time_exceeded(ready.parse(icmp_echo(A4, B4)))
    assert ready.network.icmp.time_exceeded(ready.parse(icmp_echo(A6, B6)))
    assert len(ready.sent()) == 2


@pytest.mark.rfc("4443", "2.4", "(e.3) but for Packet Too Big and unknown options of action 10")
def test_packet_too_big_is_sent_even_about_a_group(ready: Bench) -> None:
    """RFC 4443, section 2.4 (e.3): path MTU discovery of multicast needs it; IPv4 has no such exception."""
    assert ready.network.icmp.too_big(ready.parse(udp(A6, "ff02::1", 1, 2)), 1280)
    (sent,) = ready.sent()
    assert sent.source == p(B6) and sent.icmpv6.type == v6.PACKET_TOO_BIG
    assert not ready.network.icmp.too_big(ready.parse(udp(A4, "224.0.0.1", 1, 2)), 1280)


@pytest.mark.rfc("4443", "2.2", "the source of an error is an address of this node")
def test_error_about_a_packet_not_to_us_comes_from_our_address(ready: Bench) -> None:
    ready.network.neighbors.add("fe80::1", "02:00:00:00:00:01", ready.eth0)
    ready.network.icmp.time_exceeded(ready.parse(udp(A4, "192.0.2.1", 1, 2)))
    ready.network.icmp.time_exceeded(ready.parse(udp("fe80::1", "2001:db8:9::9", 1, 2)))
    assert [frame.source for frame in ready.sent()] == [p(B4), p("fe80::ff:fe00:2")]


def test_error_without_an_address_of_the_family_is_not_sent(ready: Bench) -> None:
    tun = ready.network.add_interface("tun", layer=3)
    ready.eth0.remove_all_addresses()
    tun.add_address("2001:db8:5::1/64")
    assert not ready.network.icmp.host_unreachable(ready.parse(udp(A4, "192.0.2.1", 1, 2, layer=3), tun))


def test_error_without_a_way_back_is_not_sent(ready: Bench) -> None:
    ready.network.routes.remove("0.0.0.0/0")
    assert not ready.network.icmp.port_unreachable(ready.parse(udp("8.8.8.8", B4, 1, 2)))
    assert ready.stats["ip_no_route"] == 1 and ready.stats["icmp_tx"] == 0


def test_error_on_a_promiscuous_interface_is_sent_as_the_host_that_was_asked(ready: Bench) -> None:
    wire = ready.network.add_interface("wire", cdom=1)
    link = L2Info.make("02:00:00:00:00:0a", "02:00:00:00:00:0b", (100, 200))
    assert ready.network.icmp.port_unreachable(ready.parse(udp("192.0.2.1", "192.0.2.2", 1, 2, l2=link), wire))
    (sent,) = ready.sent(wire)
    assert sent.l2info == link.reversed()
    assert (sent.source, sent.destination) == (p("192.0.2.2"), p("192.0.2.1"))


# rate


@pytest.mark.rfc("4443", "2.4", "(f) MUST limit the rate of errors")
def test_errors_to_one_host_are_limited_to_a_burst_and_one_a_second(ready: Bench) -> None:
    packet = ready.parse(udp(A4, B4, 1, 2))
    sent = sum(ready.network.icmp.port_unreachable(packet) for _ in range(100))
    assert sent == icmp.HOST_BURST and ready.stats["icmp_rate_limited"] == 100 - sent
    ready.advance(3)
    assert sum(ready.network.icmp.port_unreachable(packet) for _ in range(100)) == 3


@pytest.mark.threat(36)
def test_threat_36_errors_to_all_hosts_are_limited_at_a_price_that_varies(ready: Bench) -> None:
    bursts = []
    for second in range(20):
        ready.advance(1)
        sent = 0
        for host in range(1, 200):
            packet = ready.parse(udp(f"10.0.0.{host}" if host != 2 else "10.0.0.201", B4, 1, 2))
            sent += ready.network.icmp.port_unreachable(packet)
        bursts.append(sent)
        ready.sent()
        assert ready.stats["icmp_rate_limited"] > 0, second
    assert all(icmp.BURST // 3 <= sent <= icmp.BURST for sent in bursts)
    assert len(set(bursts)) > 4  # whoever counts them learns little


def test_errors_to_ourselves_are_not_limited(bench: Bench) -> None:
    network = bench.network
    lo = network.loopback_interface
    packet = bench.parse(udp("127.0.0.1", "127.0.0.1", 1, 2, layer=3), lo)
    assert all(network.icmp.port_unreachable(packet) for _ in range(50))


@pytest.mark.threat(14)
def test_threat_14_limits_of_many_hosts_take_bounded_memory(ready: Bench) -> None:
    for number in range(3000):
        source = f"11.0.{number >> 8}.{number & 255}"
        ready.network.icmp.port_unreachable(ready.parse(udp(source, B4, 1, 2)))
    assert len(ready.network.icmp.limit.buckets) <= icmp.HOSTS


def test_empty_icmpv6_message_gets_no_error(ready: Bench) -> None:
    assert not ready.network.icmp.time_exceeded(ready.parse(frame(ip(A6, B6, 58, b""))))
