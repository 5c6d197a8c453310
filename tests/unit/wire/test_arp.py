from __future__ import annotations

import pytest

from uinet.errors import InvalidArgument
from uinet.wire import arp
from uinet.wire.addresses import Mac

A = Mac("02:00:00:00:00:0a")
B = Mac("02:00:00:00:00:0b")
IP_A, IP_B = b"\x0a\0\0\1", b"\x0a\0\0\2"


def test_emit_request_gives_the_bytes_of_the_rfc() -> None:
    assert arp.emit(arp.request(A, IP_A, IP_B)).hex() == (
        "0001" "0800" "06" "04" "0001" "02000000000a" "0a000001" "000000000000" "0a000002"
    )


def test_emit_reply_gives_the_bytes_of_the_rfc() -> None:
    assert arp.emit(arp.reply(B, IP_B, A, IP_A)).hex() == (
        "0001" "0800" "06" "04" "0002" "02000000000b" "0a000002" "02000000000a" "0a000001"
    )


def test_parse_padded_packet_ignores_the_padding() -> None:
    packet = arp.request(A, IP_A, IP_B)
    assert arp.parse(arp.emit(packet).ljust(46, b"\0")) == packet


def test_check_cut_packet_is_not_whole() -> None:
    data = arp.emit(arp.request(A, IP_A, IP_B))
    for length in range(len(data)):
        assert not arp.check(data[:length])
        assert not arp.check(data, 0, length)
        with pytest.raises(InvalidArgument):
            arp.parse(data[:length])


@pytest.mark.parametrize(("at", "value"), [(1, 6), (2, 0x86), (4, 8), (5, 16)])
def test_is_ethernet_ipv4_other_kinds_are_told_apart(at: int, value: int) -> None:
    data = bytearray(arp.emit(arp.request(A, IP_A, IP_B)) + bytes(40))
    assert arp.is_ethernet_ipv4(bytes(data))
    data[at] = value
    assert arp.check(bytes(data))
    assert not arp.is_ethernet_ipv4(bytes(data))
    assert not arp.parse(bytes(data)).is_ethernet_ipv4


def test_check_lengths_of_255_reach_behind_the_packet_is_not_whole() -> None:
    data = bytearray(arp.emit(arp.request(A, IP_A, IP_B)))
    data[4] = data[5] = 255
    assert not arp.check(bytes(data))


def test_emit_addresses_of_different_lengths_raises() -> None:
    with pytest.raises(InvalidArgument):
        arp.emit(arp.ArpPacket(1, A, IP_A, b"", IP_B))
