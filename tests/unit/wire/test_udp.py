from __future__ import annotations

import pytest

from uinet.errors import InvalidArgument
from uinet.wire import udp
from uinet.wire.addresses import pack_address

A4, B4 = pack_address("10.0.0.1"), pack_address("10.0.0.2")
A6, B6 = pack_address("2001:db8::1"), pack_address("2001:db8::2")


def test_emit_datagram_has_the_known_checksum() -> None:
    data = udp.emit(udp.UdpHeader(1000, 53), b"hi", A4, B4)
    assert data.hex() == "03e8" "0035" "000a" "7f51" "6869"
    assert udp.checksum_ok(data, A4, B4)


def test_emit_checksum_of_zero_is_sent_as_all_ones() -> None:
    port = next(
        port for port in range(65536)
        if udp.checksum(udp.emit(udp.UdpHeader(port, 1), b"", A4, B4)) == 0xFFFF
    )
    data = udp.emit(udp.UdpHeader(port, 1), b"", A4, B4)
    assert udp.checksum_ok(data, A4, B4)


def test_checksum_ok_none_is_right_over_ipv4_only() -> None:
    data = udp.emit(udp.UdpHeader(1, 2, 9, 0), b"x", keep=True)
    assert udp.checksum_ok(data, A4, B4)
    assert not udp.checksum_ok(data, A6, B6)


def test_checksum_ok_padding_behind_the_datagram_does_not_count() -> None:
    data = udp.emit(udp.UdpHeader(1, 2), b"x", A6, B6)
    assert udp.checksum_ok(data + b"junk", A6, B6)


@pytest.mark.parametrize(("length", "whole"), [
    (0, False), (7, False), (8, True), (13, True), (14, False), (65535, False),
])
def test_check_length_must_lie_between_header_and_packet(length: int, whole: bool) -> None:
    assert udp.check(udp.emit(udp.UdpHeader(1, 2, length), b"12345", keep=True)) is whole


def test_check_short_header_is_refused() -> None:
    for length in range(8):
        assert not udp.check(bytes(length))
        with pytest.raises(InvalidArgument):
            udp.parse(bytes(length))


@pytest.mark.parametrize("header", [udp.UdpHeader(65536, 1), udp.UdpHeader(1, -1)])
def test_emit_impossible_port_raises(header: udp.UdpHeader) -> None:
    with pytest.raises(InvalidArgument):
        udp.emit(header, b"", A4, B4)


def test_emit_too_long_or_mixed_families_raises() -> None:
    with pytest.raises(InvalidArgument):
        udp.emit(udp.UdpHeader(1, 2), bytes(65528), A4, B4)
    with pytest.raises(InvalidArgument):
        udp.emit(udp.UdpHeader(1, 2), b"", A4, B6)
