from __future__ import annotations

from dataclasses import replace

import pytest

from uinet.errors import InvalidArgument
from uinet.wire import tcp, tcp_options
from uinet.wire.addresses import pack_address

A4, B4 = pack_address("10.0.0.1"), pack_address("10.0.0.2")
A6, B6 = pack_address("2001:db8::1"), pack_address("2001:db8::2")
HEADER = tcp.TcpHeader(1000, 80, 0xFFFFFFF0, 7, tcp.SYN | tcp.ACK, 1024, 9, (tcp_options.Mss(1460),), 0, 0xA)


def test_emit_segment_gives_the_bytes_of_the_rfc() -> None:
    data = tcp.emit(HEADER, b"hi", keep=True)
    assert data.hex() == (
        "03e8" "0050" "fffffff0" "00000007" "6a" "12" "0400" "0000" "0009" "020405b4" "6869"
    )


def test_emit_checksum_covers_addresses_and_payload() -> None:
    for a, b in ((A4, B4), (A6, B6)):
        data = tcp.emit(HEADER, b"odd", a, b)
        assert tcp.checksum_ok(data, a, b)
        assert not tcp.checksum_ok(data, a, a)
        assert not tcp.checksum_ok(data[:-1] + b"!", a, b)


def test_getters_tell_every_field() -> None:
    data = b"\xee" * 3 + tcp.emit(HEADER, b"hi", A4, B4)
    assert (tcp.source_port(data, 3), tcp.destination_port(data, 3)) == (1000, 80)
    assert (tcp.seq(data, 3), tcp.ack(data, 3), tcp.flags(data, 3)) == (0xFFFFFFF0, 7, 0x12)
    assert (tcp.window(data, 3), tcp.urgent_pointer(data, 3), tcp.header_length(data, 3)) == (1024, 9, 24)
    assert tcp.options(data, 3) == b"\x02\x04\x05\xb4"
    assert tcp.parse(data, 3) == replace(HEADER, checksum=tcp.checksum(data, 3))


# Threat 40
@pytest.mark.parametrize(("offset_byte", "whole"), [
    (0x00, False), (0x40, False), (0x50, True), (0x60, True), (0x70, False),
])
def test_check_data_offset_must_lie_between_header_and_segment(offset_byte: int, whole: bool) -> None:
    data = bytearray(24)
    data[tcp.DATA_OFFSET] = offset_byte
    assert tcp.check(bytes(data)) is whole
    assert not tcp.check(bytes(data), 0, 19)
    assert tcp.check(bytes(data), 0, 20) is (offset_byte == 0x50)


def test_check_short_segment_is_refused() -> None:
    for length in range(20):
        assert not tcp.check(b"\x50" * length)
        with pytest.raises(InvalidArgument):
            tcp.parse(b"\x50" * length)


def test_emit_sequence_numbers_wrap() -> None:
    data = tcp.emit(tcp.TcpHeader(1, 2, 0x1_0000_0005, -1), b"", A4, B4)
    assert (tcp.seq(data), tcp.ack(data)) == (5, 0xFFFFFFFF)


@pytest.mark.parametrize("header", [
    tcp.TcpHeader(65536, 1), tcp.TcpHeader(1, 1, window=65536), tcp.TcpHeader(1, 1, flags=256),
    tcp.TcpHeader(1, 1, reserved=16), tcp.TcpHeader(1, 1, options=(tcp_options.Timestamps(1, 2),) * 5),
])
def test_emit_impossible_header_raises(header: tcp.TcpHeader) -> None:
    with pytest.raises(InvalidArgument):
        tcp.emit(header, b"", A4, B4)


@pytest.mark.parametrize(("bits", "text"), [
    (0, "none"), (tcp.SYN, "S"), (tcp.SYN | tcp.ACK, "S."), (tcp.ACK, "."),
    (tcp.FIN | tcp.PSH | tcp.ACK, "FP."),
    (tcp.RST, "R"), (0xFF, "FSRP.UEW"),
])
def test_format_flags_writes_as_tcpdump(bits: int, text: str) -> None:
    assert tcp.format_flags(bits) == text
    if bits:
        assert tcp.parse_flags(text) == bits


def test_parse_flags_takes_letters_in_any_order() -> None:
    assert tcp.parse_flags("SA") == tcp.parse_flags(".S") == tcp.SYN | tcp.ACK
    assert tcp.parse_flags("") == 0
    assert tcp.parse_flags("SEC") == tcp.SYN | tcp.ECE | tcp.CWR
    with pytest.raises(InvalidArgument):
        tcp.parse_flags("X")
