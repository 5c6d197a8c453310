from __future__ import annotations

from dataclasses import replace

import pytest

from uinet.errors import InvalidArgument
from uinet.wire import ipv4

# The example of RFC 1071's many explanations: its checksum is b861
EXAMPLE = bytes.fromhex("45000073000040004011b861c0a80001c0a800c7")
HEADER = ipv4.Ipv4Header(b"\xc0\xa8\0\1", b"\xc0\xa8\0\xc7", ipv4.UDP, flags=ipv4.FLAG_DF)


def test_emit_known_header_has_the_known_checksum() -> None:
    packet = ipv4.emit(HEADER, bytes(0x73 - 20))
    assert packet[:20] == EXAMPLE
    assert ipv4.checksum_ok(packet)


def test_parse_known_header_tells_every_field() -> None:
    header = ipv4.parse(EXAMPLE)
    assert header == replace(HEADER, total_length=0x73, header_checksum=0xB861)
    assert header.dont_fragment and not header.more_fragments
    assert not ipv4.is_fragment(EXAMPLE)


def test_checksum_ok_any_changed_bit_is_wrong() -> None:
    for bit in range(160):
        data = bytearray(EXAMPLE)
        data[bit // 8] ^= 1 << bit % 8
        if ipv4.check_header(bytes(data)):
            assert not ipv4.checksum_ok(bytes(data))


@pytest.mark.parametrize(("first_byte", "why"), [
    (0x55, "version 5"), (0x65, "version 6"), (0x05, "version 0"), (0x44, "IHL 4"), (0x40, "IHL 0"),
    (0x46, "IHL 6 of 20"),
])
def test_check_impossible_first_byte_is_refused(first_byte: int, why: str) -> None:
    data = bytes((first_byte,)) + EXAMPLE[1:]
    assert not ipv4.check_header(data), why
    assert not ipv4.check(data), why


@pytest.mark.parametrize("length", range(20))
def test_check_short_header_is_refused(length: int) -> None:
    assert not ipv4.check_header(EXAMPLE[:length])
    with pytest.raises(InvalidArgument):
        ipv4.parse(EXAMPLE[:length])


@pytest.mark.parametrize(("total", "whole"), [
    (0, False), (19, False), (20, True), (25, True), (26, False), (65535, False),
])
def test_check_total_length_must_lie_between_header_and_frame(total: int, whole: bool) -> None:
    data = ipv4.emit(replace(HEADER, total_length=total), bytes(5), keep=True)
    assert ipv4.check_header(data)
    assert ipv4.check(data) is whole


def test_check_end_limits_what_is_there() -> None:
    data = ipv4.emit(HEADER, bytes(5))
    assert ipv4.check(data, 0, 25) and ipv4.check(data, 0, 99) and not ipv4.check(data, 0, 24)


@pytest.mark.parametrize(("flags", "offset", "fragment"), [
    (0, 0, False), (ipv4.FLAG_DF, 0, False), (ipv4.FLAG_RESERVED, 0, False),
    (ipv4.FLAG_MF, 0, True), (0, 8, True), (0, 65528, True),
])
def test_is_fragment_more_or_offset_makes_a_fragment(flags: int, offset: int, fragment: bool) -> None:
    data = ipv4.emit(replace(HEADER, flags=flags, fragment_offset=offset))
    assert ipv4.is_fragment(data) is fragment
    assert ipv4.fragment_offset(data) == offset and ipv4.flags(data) == flags


def test_emit_options_are_padded_with_zeros() -> None:
    packet = ipv4.emit(replace(HEADER, options=b"\x94\x04\0\0\x01"), b"x")
    assert ipv4.header_length(packet) == 28
    assert ipv4.options(packet) == b"\x94\x04\0\0\x01\0\0\0"
    assert ipv4.check(packet) and ipv4.checksum_ok(packet) and packet[28:] == b"x"


@pytest.mark.parametrize("header", [
    replace(HEADER, options=bytes(41)), replace(HEADER, source=b"123"),
    replace(HEADER, destination=bytes(16)),
    replace(HEADER, fragment_offset=4), replace(HEADER, ttl=256), replace(HEADER, identification=-1),
])
def test_emit_impossible_header_raises_one_line(header: ipv4.Ipv4Header) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ipv4.emit(header)
    assert "\n" not in str(caught.value)


def test_emit_packet_over_64k_raises() -> None:
    assert len(ipv4.emit(HEADER, bytes(65515))) == 65535
    with pytest.raises(InvalidArgument):
        ipv4.emit(HEADER, bytes(65516))


# Threat 81
@pytest.mark.threat(81)
@pytest.mark.parametrize(("area", "found", "well_formed"), [
    ("", [], True),
    ("01010100", [], True),
    ("00ffffff", [], True),
    ("94040000", [(148, "0000")], True),
    ("0194040000", [(148, "0000")], True),
    ("83070400000000", [(131, "0400000000")], True),
    ("94000000", [], False),
    ("94010000", [], False),
    ("9405 0000", [], False),
    ("94", [], False),
    ("830300", [], False),
    ("8302", [], False),
    ("440404", [], False),
    ("44040400", [], False),
    ("44040500", [(68, "0500")], True),
    ("9404000089ff", [(148, "0000")], False),
])
def test_walk_options_of_every_malformation_ends(
    area: str, found: list[tuple[int, str]], well_formed: bool
) -> None:
    options, fine = ipv4.walk_options(bytes.fromhex(area))
    assert [(kind, data.hex()) for kind, data in options] == found
    assert fine is well_formed


def test_has_source_route_finds_loose_and_strict() -> None:
    assert ipv4.has_source_route(bytes.fromhex("01830704 0a000001"))
    assert ipv4.has_source_route(bytes.fromhex("890704 0a00000100"))
    assert not ipv4.has_source_route(bytes.fromhex("94040000 070704 0a00000100"))
