"""Threats 41 to 46, malformations that have crashed stacks; the comments say which."""

from __future__ import annotations

import pytest

from uinet.errors import InvalidArgument
from uinet.wire.tcp_options import (
    End,
    FastOpen,
    Malformed,
    Mss,
    Nop,
    Option,
    Sack,
    SackPermitted,
    Timestamps,
    Unknown,
    WindowScale,
    emit,
    emit_one,
    find,
    parse,
)

LINUX_SYN = "020405b4 0402 080a 00000001 00000000 01 030307"


def test_parse_syn_of_linux_tells_all_options() -> None:
    assert parse(bytes.fromhex(LINUX_SYN)) == (
        Mss(1460), SackPermitted(), Timestamps(1, 0), Nop(), WindowScale(7)
    )
    assert emit(parse(bytes.fromhex(LINUX_SYN))) == bytes.fromhex(LINUX_SYN)


@pytest.mark.parametrize(("area", "options"), [
    # 41: lengths 0 and 1, over the rest, kind as last byte, only NOPs, EOL and garbage
    ("0200", (Malformed(b"\x02\x00"),)),
    ("0201ffff", (Malformed(b"\x02\x01\xff\xff"),)),
    ("0205ffff", (Malformed(b"\x02\x05\xff\xff"),)),
    ("08ff", (Malformed(b"\x08\xff"),)),
    ("010102", (Nop(), Nop(), Malformed(b"\x02"))),
    ("fe", (Malformed(b"\xfe"),)),
    ("01" * 40, (Nop(),) * 40),
    ("0000", (End(b"\0"),)),
    ("01000204dead", (Nop(), End(b"\x02\x04\xde\xad"))),
    ("020405b40200", (Mss(1460), Malformed(b"\x02\x00"))),
    # 42: MSS
    ("0203ff", (Unknown(2, b"\xff"),)),
    ("0202", (Unknown(2),)),
    ("0205ffffff", (Unknown(2, b"\xff\xff\xff"),)),
    ("02040000", (Mss(0),)),
    ("0204ffff", (Mss(65535),)),
    ("0204000102040002", (Mss(1), Mss(2))),
    # 43: window scale
    ("03030f", (WindowScale(15),)),
    ("0303ff", (WindowScale(255),)),
    ("0302", (Unknown(3),)),
    ("03040101", (Unknown(3, b"\1\1"),)),
    # 44: timestamps
    ("080900000001000000", (Unknown(8, bytes.fromhex("00000001000000")),)),
    ("0802", (Unknown(8),)),
    # 45: SACK-permitted and SACK
    ("0403ff", (Unknown(4, b"\xff"),)),
    ("0502", (Unknown(5),)),
    ("050900000001000000", (Unknown(5, bytes.fromhex("00000001000000")),)),
    ("050a0000000100000002", (Sack(((1, 2),)),)),
    ("052a" + "00" * 40, (Unknown(5, bytes(40)),)),
    # 46: experimental and unknown kinds, Fast Open, MD5, AO
    ("2202", (FastOpen(),)),
    ("220401ff", (Unknown(34, b"\x01\xff"),)),
    ("2206deadbeef", (FastOpen(b"\xde\xad\xbe\xef"),)),
    ("2207deadbeef00", (Unknown(34, b"\xde\xad\xbe\xef\0"),)),
    ("2214" + "11" * 18, (Unknown(34, b"\x11" * 18),)),
    ("1312" + "22" * 16, (Unknown(19, b"\x22" * 16),)),
    ("1d0401ff", (Unknown(29, b"\x01\xff"),)),
    ("fd04f989", (Unknown(253, b"\xf9\x89"),)),
    ("4528", (Malformed(b"\x45\x28"),)),
])
def test_parse_any_malformation_ends_and_loses_nothing(area: str, options: tuple[Option, ...]) -> None:
    data = bytes.fromhex(area)
    assert parse(data) == options
    assert b"".join(emit_one(option) for option in options) == data


def test_emit_pads_with_zeros_to_words() -> None:
    assert emit(()) == b""
    assert emit((WindowScale(7),)) == b"\x03\x03\x07\0"
    assert emit((Mss(1460),)) == b"\x02\x04\x05\xb4"
    assert emit((SackPermitted(), WindowScale(1))) == b"\x04\x02\x03\x03\x01\0\0\0"


def test_emit_over_forty_bytes_raises() -> None:
    assert len(emit((Sack(((1, 2),) * 4), SackPermitted(), Mss(1)))) == 40
    with pytest.raises(InvalidArgument):
        emit((Sack(((1, 2),) * 4), SackPermitted(), Mss(1), Nop()))


@pytest.mark.parametrize("option", [
    Mss(65536), Mss(-1), WindowScale(256), Unknown(256), Unknown(9, bytes(254)),
])
def test_emit_value_that_its_field_cannot_hold_raises(option: Option) -> None:
    with pytest.raises(InvalidArgument):
        emit((option,))


def test_emit_sequence_numbers_and_timestamps_wrap() -> None:
    assert parse(emit((Sack(((0xFFFFFFFF, 0x1_0000_0003),)),))) == (Sack(((0xFFFFFFFF, 3),)), End(b"\0"))
    assert find(parse(emit((Timestamps(1 << 32, -1),))), Timestamps) == Timestamps(0, 0xFFFFFFFF)


def test_find_the_last_of_several_counts() -> None:
    options = (Mss(1), Nop(), Mss(2), WindowScale(3))
    assert find(options, Mss) == Mss(2)
    assert find(options, WindowScale) == WindowScale(3)
    assert find(options, SackPermitted) is None
