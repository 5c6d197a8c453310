"""IPv6 extension headers: section 8, items 11 to 14, of what an IP layer survives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from uinet.wire import icmpv6
from uinet.wire.build import frame, ip
from uinet.wire.ipv6_extensions import Extension, FragmentHeader, Option, OptionsHeader, RoutingHeader

if TYPE_CHECKING:
    from tests.unit.ip.conftest import Bench

HOP_BY_HOP, DESTINATION = 0, 60


def options(kind: int, *types: int) -> OptionsHeader:
    return OptionsHeader(kind, 0, tuple(Option(option, b"ab") for option in types))


def packet(*extensions: Extension, proto: int = 99, payload: bytes = b"payload.", to: str = "2001:db8::2") -> bytes:
    return frame(ip("2001:db8::1", to, proto, payload, extensions=extensions))


@pytest.mark.rfc("8200", "4.1", "MUST accept extension headers in any order and number, but for hop-by-hop")
@pytest.mark.rfc("8200", "4.4", "an unrecognized routing type without segments left is ignored")
@pytest.mark.parametrize(
    "extensions",
    [
        (),
        (options(HOP_BY_HOP),),
        (options(HOP_BY_HOP, 5),),  # router alert
        (options(HOP_BY_HOP, 0x1E),),  # unknown, action 00: skip
        (options(DESTINATION, 0x1E, 0x3F), options(DESTINATION)),
        (RoutingHeader(0, 0),),  # no segments left: ignored (RFC 5095)
        (RoutingHeader(0, 4),),
        (options(HOP_BY_HOP), options(DESTINATION), RoutingHeader(0, 2), FragmentHeader(0, 0, False, 1)),
    ],
)
def test_chain_that_leads_to_a_transport_is_taken(ready: Bench, extensions: tuple[Extension, ...]) -> None:
    transport = ready.handler(99)
    ready.receive(packet(*extensions))
    assert transport.segments == [b"payload."] and ready.sent() == []


@pytest.mark.threat(80)
@pytest.mark.rfc("8200", "4.2", "unknown options of action 10 and 11: discard and answer with parameter problem code 2")
@pytest.mark.rfc("8200", "4.4", "an unrecognized routing type with segments left: discard, parameter problem code 0")
@pytest.mark.rfc("8200", "4.3", "a hop-by-hop header that is not first: parameter problem code 1")
@pytest.mark.parametrize(
    ("extensions", "code", "pointer"),
    [
        ((options(DESTINATION), options(HOP_BY_HOP)), 1, 40),  # hop-by-hop not first
        ((options(HOP_BY_HOP), options(HOP_BY_HOP)), 1, 40),  # and twice
        ((options(HOP_BY_HOP, 0x9E),), 2, 42),  # action 10
        ((options(DESTINATION, 0x1E, 0xDE),), 2, 46),  # action 11
        ((RoutingHeader(0, 0, 1),), 0, 42),  # RH0 with a segment left
        ((RoutingHeader(0, 77, 1),), 0, 42),
    ],
)
def test_chain_with_a_problem_is_dropped_and_answered(
    ready: Bench, extensions: tuple[Extension, ...], code: int, pointer: int
) -> None:
    transport = ready.handler(99)
    data = packet(*extensions)
    ready.receive(data)
    (sent,) = ready.sent()
    assert transport.segments == [] and ready.stats["ip_bad_options"] == 1
    assert (sent.icmpv6.type, sent.icmpv6.code, sent.icmpv6.pointer) == (icmpv6.PARAMETER_PROBLEM, code, pointer)
    assert sent.icmpv6.payload == data[14:] and sent.checksums_ok


@pytest.mark.parametrize("extension", [options(DESTINATION, 0x9E), options(HOP_BY_HOP, 0xDE), RoutingHeader(0, 77, 1)])
def test_blackhole_is_silent_about_headers(ready: Bench, extension: Extension) -> None:
    ready.network.settings.protocol_blackhole = True
    ready.receive(packet(extension))
    assert ready.sent() == []
    assert ready.stats["ip_bad_options"] == ready.stats["ip_blackholed"] == 1


@pytest.mark.rfc("8200", "4.2", "unknown options of action 01: discard")
@pytest.mark.parametrize(
    "extensions",
    [
        (options(HOP_BY_HOP, 0x5E),),  # action 01: discard
        (OptionsHeader(DESTINATION, 0, (), b"\x1e\x20abcd"),),  # an option longer than its header
        tuple(options(DESTINATION) for _ in range(100)),  # threat: a chain of 100 headers
        (FragmentHeader(0, 0, False, 1), FragmentHeader(0, 0, False, 1)),  # threat 80: nested
    ],
)
def test_chain_that_asks_for_silence_is_dropped_and_counted(
    ready: Bench, extensions: tuple[Extension, ...]
) -> None:
    transport = ready.handler(99)
    ready.receive(packet(*extensions))
    assert transport.segments == [] and ready.sent() == [] and ready.stats["ip_bad_options"] == 1


def test_chain_cut_off_is_dropped(ready: Bench) -> None:
    ready.receive(frame(ip("2001:db8::1", "2001:db8::2", 60, b"\x63\x05\x01\x04\0\0\0\0")))
    assert ready.sent() == [] and ready.stats["ip_bad_options"] == 1


@pytest.mark.rfc("8200", "4.2", "action 11 is not answered if the destination was a multicast address")
@pytest.mark.parametrize(("option", "answered"), [(0x9E, True), (0xDE, False)])
def test_unknown_option_sent_to_a_group_is_answered_for_action_10_alone(
    ready: Bench, option: int, answered: bool
) -> None:
    ready.receive(packet(options(DESTINATION, option), to="ff02::1"))
    sent = ready.sent()
    assert len(sent) == answered
    if answered:
        assert sent[0].source == ready.network.route(sent[0].destination).source


@pytest.mark.rfc(
    "8200", "4.5",
    "a first fragment without all headers SHOULD be discarded with parameter problem code 3",
)
def test_first_fragment_without_the_whole_chain_is_answered_with_code_3(ready: Bench) -> None:
    ready.receive(packet(FragmentHeader(6, 0, True, 1), proto=6, payload=bytes(16)))  # a TCP header has 20
    (sent,) = ready.sent()
    assert (sent.icmpv6.type, sent.icmpv6.code, sent.icmpv6.pointer) == (icmpv6.PARAMETER_PROBLEM, 3, 0)
    assert ready.network.reassembler.datagrams == {}


def test_problem_on_a_promiscuous_interface_is_silent(ready: Bench) -> None:
    wire = ready.network.add_interface("wire", cdom=1)
    ready.receive(packet(RoutingHeader(0, 0, 1)), wire)
    assert ready.sent(wire) == [] and ready.stats["ip_bad_options"] == 1
