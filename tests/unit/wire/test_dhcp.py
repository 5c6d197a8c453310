"""DHCP messages and their options."""

from __future__ import annotations

import pytest

from uinet.errors import InvalidArgument
from uinet.wire import dhcp

MESSAGE = dhcp.DhcpMessage(
    dhcp.BOOTREPLY, 0x12345678, {dhcp.MESSAGE_TYPE: b"\5", dhcp.LEASE_TIME: b"\0\0\x0e\x10", 224: b"x" * 600, 80: b""},
    secs=3, flags=dhcp.BROADCAST, ciaddr=b"\1\2\3\4", yiaddr=b"\5\6\7\x08", siaddr=b"\x09\0\0\1", giaddr=b"\0\0\0\2",
    chaddr=b"\2\0\0\0\0\1", hops=1,
)


def test_emit_and_parse_are_inverse() -> None:
    assert dhcp.parse(dhcp.emit(MESSAGE)) == MESSAGE
    short = dhcp.emit(dhcp.DhcpMessage(dhcp.BOOTREQUEST, 1, {dhcp.MESSAGE_TYPE: b"\1"}))
    assert len(short) == 300 and short[240:243] == b"\x35\x01\x01"


def test_long_options_are_split_and_joined() -> None:
    data = dhcp.emit(MESSAGE)
    assert data.count(b"\xe0\xffxxx") == 2 and dhcp.parse(data).options[224] == b"x" * 600


@pytest.mark.parametrize("overload", [1, 2, 3])
def test_overloaded_fields_hold_options(overload: int) -> None:
    data = bytearray(dhcp.emit(dhcp.DhcpMessage(dhcp.BOOTREPLY, 1, {dhcp.MESSAGE_TYPE: b"\2"})))
    data[240:] = b"\x35\x01\x02" + b"\x34\x01" + bytes([overload]) + b"\xff"
    data[108:116] = b"\x03\x04\1\1\1\1\xff\x09"
    data[44:51] = b"\0\x06\x03\2\2\2\xff"
    options = dhcp.parse(bytes(data)).options
    assert (dhcp.ROUTER in options) == bool(overload & 1) and (dhcp.DNS_SERVERS in options) == bool(overload & 2)
    assert dhcp.OVERLOAD not in options


@pytest.mark.parametrize("tail", [b"\x35", b"\x35\x02\x01", b"\x35\x01\x01\x33\x04\0\0", b"\x34\x02\1\1"])
def test_options_that_run_out_are_malformed(tail: bytes) -> None:
    data = dhcp.emit(dhcp.DhcpMessage(dhcp.BOOTREPLY, 1))[:240] + tail
    with pytest.raises(InvalidArgument, match="DHCP"):
        dhcp.parse(data)


def test_options_may_end_without_an_end() -> None:
    data = dhcp.emit(dhcp.DhcpMessage(dhcp.BOOTREPLY, 1))[:240]
    assert dhcp.parse(data + b"\0\0\x35\x01\x05").type == dhcp.ACK and dhcp.parse(data).type == 0


@pytest.mark.parametrize("data", [b"", bytes(240), bytes(239)])
def test_no_dhcp_message(data: bytes) -> None:
    assert not dhcp.check(data)
    with pytest.raises(InvalidArgument):
        dhcp.parse(data)


def test_hardware_address_longer_than_its_field_is_malformed() -> None:
    data = bytearray(dhcp.emit(MESSAGE))
    data[2] = 17
    with pytest.raises(InvalidArgument):
        dhcp.parse(bytes(data))


@pytest.mark.parametrize(
    "bad", [{"chaddr": bytes(17)}, {"options": {0: b""}}, {"options": {255: b""}}, {"options": {52: b"\1"}}]
)
def test_what_does_not_fit_is_not_emitted(bad: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        dhcp.emit(dhcp.DhcpMessage(dhcp.BOOTREPLY, 1, **bad))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mask", "length"),
    [("ffffff00", 24), ("ffffffff", 32), ("00000000", 0), ("80000000", 1), ("ff00ff00", None), ("00ffffff", None)],
)
def test_prefix_lengths(mask: str, length: int | None) -> None:
    assert dhcp.prefix_length(bytes.fromhex(mask)) == length


def test_classless_routes_by_the_examples_of_rfc_3442() -> None:
    data = bytes.fromhex("00 01020304 08 0a 01020304 18 0a0000 01020304 19 0a000080 00000000 20 0a000001 01020304")
    routes = dhcp.parse_routes(data)
    assert routes is not None and [length for _, length, _ in routes] == [0, 8, 24, 25, 32]
    assert routes[3] == (b"\x0a\0\0\x80", 25, bytes(4)) and dhcp.emit_routes(routes) == data


def test_search_list_of_rfc_3397() -> None:
    data = b"\3eng\5apple\3com\0\x09marketing\xc0\x04"
    assert dhcp.parse_search(data) == ["eng.apple.com", "marketing.apple.com"]


@pytest.mark.parametrize(
    "data",
    [
        b"\3eng", b"\xc0\x00", b"\xc0", b"\1a\xc0\x00", b"\x40abc\0", b"\1 \0", b"\0", b"\1a\xc0\x05\1b\0",
        b"\1a\0\xc0",
    ],
)
def test_malformed_search_lists_give_nothing(data: bytes) -> None:
    assert dhcp.parse_search(data) == []


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"example.org", "example.org"), (b"h\0", "h"), (b"", ""), (b"\0", ""), (b"a b", ""), (b"\xff", ""),
        (b"x" * 255, ""),
    ],
)
def test_host_names(value: bytes, name: str) -> None:
    assert dhcp.host_name(value) == name
