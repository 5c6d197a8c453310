"""MLD and IGMP messages."""

from __future__ import annotations

import pytest

from uinet.errors import InvalidArgument
from uinet.wire import icmpv6, igmp, mld

GROUP6 = bytes.fromhex("ff050000000000000000000000001234")
GROUP4 = b"\xef\1\2\3"


def bytes_of(message: icmpv6.Icmpv6Message) -> bytes:
    return icmpv6.emit(message, bytes(16), GROUP6)


@pytest.mark.parametrize("bits", [8, 16])
def test_codes_and_values_round_down_to_what_can_be_said(bits: int) -> None:
    for value in (0, 1, 127, 128, 129, 1000, 32767, 32768, 40000, 100000):
        said = mld.value_of(mld.code_of(value, bits), bits)
        largest = mld.value_of((1 << bits) - 1, bits)
        assert said <= value and (value > largest or value - said <= value // 8)
    assert [mld.value_of(code, 8) for code in (0x7F, 0x80, 0x8F, 0xFF)] == [127, 128, 248, 31744]


@pytest.mark.parametrize(
    "query",
    [
        mld.Query(), mld.Query(GROUP6, 1000, 2, 7, 60, (b"\x20" * 16, b"\x21" * 16), True),
        mld.Query(GROUP6, 5000, 1, 0, 0),
    ],
)
def test_mld_queries(query: mld.Query) -> None:
    assert mld.parse_query(bytes_of(mld.query(query))) == query


@pytest.mark.parametrize(
    "query",
    [
        mld.Query(bytes(4), 10_000, 3), mld.Query(GROUP4, 1000, 3, 7, 60, (b"\x0a\0\0\1",), True),
        mld.Query(GROUP4, 5000, 2, 0, 0), mld.Query(bytes(4), 10_000, 1, 0, 0),
    ],
)
def test_igmp_queries(query: mld.Query) -> None:
    data = igmp.query(query)
    assert igmp.check(data) and igmp.parse_query(data) == query


RECORDS = (
    (mld.MODE_IS_EXCLUDE, ()), (mld.CHANGE_TO_EXCLUDE, ()), (mld.MODE_IS_INCLUDE, (1, 2)), (9, (1,)),
)


def test_reports_of_both_families() -> None:
    six = tuple(mld.Record(kind, GROUP6, tuple(bytes([n]) * 16 for n in sources)) for kind, sources in RECORDS)
    assert mld.parse_report(bytes_of(mld.report(six))) == six
    four = tuple(mld.Record(kind, GROUP4, tuple(bytes([n]) * 4 for n in sources)) for kind, sources in RECORDS)
    data = igmp.report(four)
    assert igmp.check(data) and igmp.parse_report(data) == four


def test_every_cut_of_a_report_is_malformed_or_fewer_records() -> None:
    whole = bytes_of(mld.report([mld.Record(2, GROUP6, (GROUP6,))]))
    for size in range(8, len(whole)):
        with pytest.raises(InvalidArgument):
            mld.parse_report(whole[:size])
    whole = igmp.report([mld.Record(2, GROUP4, (GROUP4,))])
    for size in range(len(whole)):
        with pytest.raises(InvalidArgument):
            igmp.parse_report(whole[:size])


@pytest.mark.parametrize("robustness", [-1, 8])
def test_robustness_that_does_not_fit(robustness: int) -> None:
    with pytest.raises(InvalidArgument):
        mld.query(mld.Query(robustness=robustness))
    with pytest.raises(InvalidArgument):
        igmp.query(mld.Query(GROUP4, robustness=robustness))


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("3a00050200000100", True), ("3a00010005020000", True), ("3a00010005020001", False),
        ("3a00000005020000", True), ("3a00010205020000", False), ("3a00000000000000", False),
        ("3a01010005020000" + "0100010001000100", True), ("3a000502", False), ("3a00000000000502", False),
    ],
)
def test_router_alert(header: str, found: bool) -> None:
    packet = b"\x60" + bytes(6) + b"\1" + bytes(32) + bytes.fromhex(header)
    assert mld.has_router_alert(packet, 0, len(packet)) == found
    other = packet[:6] + b"\x3a" + packet[7:]
    assert not mld.has_router_alert(other, 0, len(other))
