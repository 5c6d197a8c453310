from __future__ import annotations

import pytest

from uinet.errors import InvalidArgument
from uinet.wire import build, icmp, icmpv6, ipv4, ipv6_extensions
from uinet.wire.addresses import pack_address

A4, B4 = pack_address("10.0.0.1"), pack_address("10.0.0.2")
A6, B6 = pack_address("2001:db8::1"), pack_address("2001:db8::2")


def test_emit_echo_has_the_known_checksum() -> None:
    data = icmp.emit(icmp.echo(icmp.ECHO_REQUEST, 0x1234, 5, b"abc"))
    assert data.hex() == "0800" "2164" "12340005" "616263"
    assert icmp.checksum_ok(data) and not icmp.checksum_ok(data[:-1] + b"d")
    message = icmp.parse(data)
    assert (message.identifier, message.sequence, message.payload) == (0x1234, 5, b"abc")


def test_message_info_is_read_by_type() -> None:
    assert icmp.IcmpMessage(3, 4, 1400).mtu == 1400
    assert icmp.IcmpMessage(12, 0, 9 << 24).pointer == 9
    assert icmp.IcmpMessage(5, 1, 0x0A000001).gateway == A4
    assert icmpv6.Icmpv6Message(2, 0, 70000).mtu == 70000
    assert icmpv6.Icmpv6Message(4, 0, 42).pointer == 42


@pytest.mark.parametrize("length", range(8))
def test_check_short_message_is_refused(length: int) -> None:
    assert not icmp.check(bytes(length)) and not icmpv6.check(bytes(length))
    with pytest.raises(InvalidArgument):
        icmp.parse(bytes(length))
    with pytest.raises(InvalidArgument):
        icmpv6.parse(bytes(length))


def test_is_error_tells_reports_from_questions() -> None:
    assert [kind for kind in range(20) if icmp.is_error(kind)] == [3, 4, 5, 11, 12]
    assert icmpv6.is_error(1) and icmpv6.is_error(100) and not icmpv6.is_error(128)


def test_icmpv6_checksum_covers_the_addresses() -> None:
    data = icmpv6.emit(icmpv6.echo(icmpv6.ECHO_REQUEST, 1, 2, b"x"), A6, B6)
    assert icmpv6.checksum_ok(data, A6, B6) and not icmpv6.checksum_ok(data, A6, A6)
    assert icmpv6.parse(data).sequence == 2


def test_parse_quote_tells_the_flow_and_the_quoted_transport() -> None:
    packet = build.tcp(A4, B4, 1000, 80, layer=3)
    assert icmp.parse_quote(packet) == icmp.Quote(A4, B4, ipv4.TCP, packet[20:])
    assert icmp.parse_quote(packet[:28]) == icmp.Quote(A4, B4, ipv4.TCP, packet[20:28])
    assert icmp.parse_quote(packet + b"extension") == icmp.Quote(A4, B4, ipv4.TCP, packet[20:])
    packet = build.tcp(A6, B6, 1000, 80, layer=3)
    assert icmpv6.parse_quote(packet[:48]) == icmp.Quote(A6, B6, ipv4.TCP, packet[40:48])
    assert icmpv6.parse_quote(packet + b"more") == icmp.Quote(A6, B6, ipv4.TCP, packet[40:])


def test_parse_quote_of_ipv6_with_extensions_finds_the_transport() -> None:
    extension = ipv6_extensions.OptionsHeader(ipv6_extensions.DESTINATION_OPTIONS, 0)
    packet = build.ip(A6, B6, ipv4.UDP, b"12345678", extensions=(extension,))
    assert icmpv6.parse_quote(packet) == icmp.Quote(A6, B6, ipv4.UDP, b"12345678")


@pytest.mark.parametrize("payload", [b"", b"E", bytes(40), b"\x45" + bytes(18), b"\x60" + bytes(38)])
def test_parse_quote_of_nonsense_is_none(payload: bytes) -> None:
    assert icmp.parse_quote(payload) is None
    assert icmpv6.parse_quote(payload) is None


def test_parse_quote_of_a_later_fragment_is_none() -> None:
    for a, b, parse in ((A4, B4, icmp.parse_quote), (A6, B6, icmpv6.parse_quote)):
        first, second = build.fragments(build.udp(a, b, 1, 2, bytes(100), layer=3), 64)
        assert parse(second) is None
        quote = parse(first)
        assert quote is not None and quote.transport[:4] == b"\0\1\0\2"
