from __future__ import annotations

from dataclasses import replace

import pytest

from uinet.errors import InvalidArgument
from uinet.wire import build, ipv6
from uinet.wire import ipv6_extensions as ext
from uinet.wire.addresses import pack_address
from uinet.wire.ipv6_extensions import FragmentHeader, Option, OptionsHeader, RoutingHeader

A, B = pack_address("2001:db8::1"), pack_address("2001:db8::2")
HEADER = ipv6.Ipv6Header(A, B, 17, 64, 0xB8, 0x12345)


def packet(*extensions: ext.Extension, protocol: int = 17, payload: bytes = bytes(20)) -> bytes:
    return build.ip(A, B, protocol, payload, extensions=extensions)


def hop_by_hop(*options: Option) -> OptionsHeader:
    return OptionsHeader(ext.HOP_BY_HOP, 0, options)


def destination_options(*options: Option, trailer: bytes = b"") -> OptionsHeader:
    return OptionsHeader(ext.DESTINATION_OPTIONS, 0, options, trailer)


def test_emit_header_gives_the_bytes_of_the_rfc() -> None:
    data = ipv6.emit(HEADER, b"hello")
    assert data[:8].hex() == "6b812345" "0005" "11" "40"
    assert data[8:24] == A and data[24:40] == B and data[40:] == b"hello"
    assert ipv6.parse(data) == replace(HEADER, payload_length=5)


@pytest.mark.parametrize("length", range(0, 40, 3))
def test_check_short_header_is_refused(length: int) -> None:
    assert not ipv6.check_header(ipv6.emit(HEADER)[:length])
    with pytest.raises(InvalidArgument):
        ipv6.parse(ipv6.emit(HEADER)[:length])


def test_check_other_version_is_refused() -> None:
    assert not ipv6.check_header(b"\x40" + ipv6.emit(HEADER)[1:])


def test_check_payload_length_must_fit() -> None:
    data = ipv6.emit(HEADER, bytes(8))
    assert ipv6.check(data) and ipv6.check(data + b"padding") and not ipv6.check(data[:-1])


@pytest.mark.parametrize("header", [
    replace(HEADER, source=b"1234"), replace(HEADER, flow_label=1 << 20), replace(HEADER, traffic_class=256),
    replace(HEADER, hop_limit=256), replace(HEADER, next_header=-1),
])
def test_emit_impossible_header_raises(header: ipv6.Ipv6Header) -> None:
    with pytest.raises(InvalidArgument):
        ipv6.emit(header)


def test_walk_no_extensions_arrives_at_once() -> None:
    assert ext.walk(packet()) == ext.Chain(17, 40, 6)


def test_walk_all_four_extensions_arrives_behind_them() -> None:
    data = packet(
        hop_by_hop(Option(ext.ROUTER_ALERT, b"\0\0")), destination_options(), RoutingHeader(0, 0),
        FragmentHeader(0, 0, False, 7), destination_options(Option(0x1E, b"12345678")),
    )
    chain = ext.walk(data)
    assert chain == ext.Chain(17, 40 + 8 * 4 + 16, 40 + 8 * 4, 40 + 8 * 3)
    assert data[chain.next_header_at] == 17 and ext.is_atomic(data, chain.fragment)


def test_walk_packet_at_an_offset_gives_absolute_offsets_and_a_relative_pointer() -> None:
    data = b"\xee" * 14 + packet(destination_options(Option(0x80)))
    chain = ext.walk(data, 14)
    assert (chain.problem, chain.pointer) == (ext.UNKNOWN_OPTION, 42)
    assert ext.walk(b"\xee" * 14 + packet(hop_by_hop()), 14).offset == 14 + 48


@pytest.mark.parametrize(("kind", "problem"), [
    (0x1E, ext.OK), (0x3F, ext.OK), (0x5E, ext.DISCARD), (0x7F, ext.DISCARD), (0x9E, ext.UNKNOWN_OPTION),
    (0xBF, ext.UNKNOWN_OPTION), (0xC2, ext.UNKNOWN_OPTION_UNICAST), (0xFF, ext.UNKNOWN_OPTION_UNICAST),
])
@pytest.mark.parametrize("header", [hop_by_hop, destination_options])
def test_walk_unknown_option_does_what_its_top_bits_say(header: object, kind: int, problem: int) -> None:
    make = hop_by_hop if header is hop_by_hop else destination_options
    chain = ext.walk(packet(make(Option(ext.PADN, b""), Option(kind, b"ab"))))
    assert chain.problem == problem
    assert chain.pointer == (44 if problem else 0)


def test_walk_hop_by_hop_behind_another_header_is_a_bad_next_header() -> None:
    chain = ext.walk(packet(destination_options(), hop_by_hop()))
    assert (chain.problem, chain.pointer) == (ext.BAD_NEXT_HEADER, 40)
    chain = ext.walk(packet(hop_by_hop(), hop_by_hop()))
    assert (chain.problem, chain.pointer) == (ext.BAD_NEXT_HEADER, 40)


@pytest.mark.parametrize("routing_type", [0, 2, 4, 253])
def test_walk_routing_header_with_segments_left_is_a_bad_field(routing_type: int) -> None:
    chain = ext.walk(packet(RoutingHeader(0, routing_type, 1)))
    assert (chain.problem, chain.pointer) == (ext.BAD_FIELD, 42)
    assert ext.walk(packet(RoutingHeader(0, routing_type, 0))).problem == ext.OK


def test_walk_later_fragment_stops_behind_the_fragment_header() -> None:
    chain = ext.walk(packet(FragmentHeader(0, 8, True, 7), protocol=60, payload=b"\xff" * 16))
    assert chain == ext.Chain(60, 48, 40, 40)


def test_walk_first_fragment_without_the_whole_chain_is_incomplete() -> None:
    first = FragmentHeader(0, 0, True, 7)
    assert ext.walk(packet(first, payload=bytes(8))).problem == ext.OK
    assert ext.walk(packet(first, payload=bytes(7))).problem == ext.INCOMPLETE_CHAIN
    assert ext.walk(packet(first, protocol=6, payload=bytes(19))).problem == ext.INCOMPLETE_CHAIN
    cut = packet(first, protocol=60, payload=b"\x11\x01" + bytes(6))
    assert ext.walk(cut).problem == ext.INCOMPLETE_CHAIN
    whole = packet(FragmentHeader(0, 0, False, 7), protocol=6, payload=bytes(19))
    assert ext.walk(whole).problem == ext.OK


def test_walk_second_fragment_header_is_malformed() -> None:
    atomic = FragmentHeader(0, 0, False, 7)
    assert ext.walk(packet(atomic, atomic)).problem == ext.MALFORMED


def test_walk_chain_of_over_a_hundred_headers_hits_the_limit() -> None:
    assert ext.walk(packet(*[destination_options()] * 120)).problem == ext.LIMIT
    assert ext.walk(packet(*[destination_options()] * ext.MAX_EXTENSIONS)).problem == ext.OK
    assert ext.walk(packet(*[destination_options()] * (ext.MAX_EXTENSIONS + 1))).problem == ext.LIMIT


def test_walk_too_many_options_hits_the_limit() -> None:
    assert ext.walk(packet(destination_options(*[Option(ext.PAD1)] * 62))).problem == ext.OK
    assert ext.walk(packet(destination_options(*[Option(ext.PAD1)] * 70))).problem == ext.LIMIT


def test_walk_header_longer_than_the_packet_is_malformed() -> None:
    data = packet(destination_options())
    assert ext.walk(data[:41] + b"\xff" + data[42:]).problem == ext.MALFORMED
    for end in range(40, 48):
        assert ext.walk(data, 0, end).problem == ext.MALFORMED


@pytest.mark.parametrize("trailer", ["1e05", "1eff00000000", "0001ff", "1e"])
def test_walk_option_longer_than_its_header_is_malformed(trailer: str) -> None:
    data = packet(destination_options(trailer=bytes.fromhex(trailer).rjust(6, b"\0")))
    assert ext.walk(data).problem == ext.MALFORMED


def test_walk_no_next_header_is_the_end() -> None:
    assert ext.walk(packet(hop_by_hop(), protocol=ext.NO_NEXT_HEADER, payload=b"")).next_header == 59


@pytest.mark.parametrize(("options", "data"), [
    ((), "0000 010400000000"),
    ((Option(5, b"\0\0"),), "0000 05020000 0100"),
    ((Option(0x1E, b"abc"),), "0000 1e03616263 00"),
    ((Option(0x1E, b"abcd"),), "0000 1e0461626364"),
])
def test_emit_options_header_is_padded_to_eight(options: tuple[Option, ...], data: str) -> None:
    assert ext.emit(hop_by_hop(*options)) == bytes.fromhex(data)


def test_option_action_is_its_top_two_bits() -> None:
    assert [Option(kind).action for kind in (0x05, 0x45, 0x85, 0xC5)] == [
        ext.ACTION_SKIP, ext.ACTION_DISCARD, ext.ACTION_DISCARD_ICMP, ext.ACTION_DISCARD_ICMP_UNICAST
    ]


def test_emit_impossible_extension_raises() -> None:
    bad = RoutingHeader(0, 0, 0, b"123"), FragmentHeader(0, 4, False, 0), FragmentHeader(0, 0, False, 0, 0, 4)
    for header in bad:
        with pytest.raises(InvalidArgument):
            ext.emit(header)


def test_check_transport_protocol_is_no_extension() -> None:
    assert not ext.check(bytes(64), 0, None, 6)
    with pytest.raises(InvalidArgument):
        ext.parse(bytes(64), 0, None, 6)
