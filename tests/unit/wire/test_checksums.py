from __future__ import annotations

import pytest

from uinet.errors import InvalidArgument
from uinet.wire import build, checksums, icmp, ipv4, ipv6_extensions, udp

A4, B4 = "10.0.0.1", "10.0.0.2"
A6, B6 = "2001:db8::1", "2001:db8::2"
PACKETS = [
    build.tcp(A4, B4, 1, 2, payload=b"odd", layer=3),
    build.tcp(A6, B6, 1, 2, payload=b"odd", layer=3),
    build.udp(A4, B4, 1, 2, b"even", layer=3),
    build.udp(A6, B6, 1, 2, b"even", layer=3),
    build.icmp_echo(A4, B4, payload=b"abc", layer=3),
    build.icmp_echo(A6, B6, payload=b"abc", layer=3),
    build.ip(A6, B6, 17, udp.emit(udp.UdpHeader(1, 2), b"x", bytes(16), bytes(16)), extensions=(
        ipv6_extensions.OptionsHeader(ipv6_extensions.HOP_BY_HOP, 0),
        ipv6_extensions.FragmentHeader(0, 0, False, 1),
    )),
]


@pytest.mark.parametrize("packet", PACKETS[:6])
def test_verify_packet_any_changed_payload_bit_is_found(packet: bytes) -> None:
    assert checksums.verify_packet(packet) is True
    assert checksums.verify_packet(packet + b"link padding") is True
    assert checksums.verify_packet(packet[:-1] + bytes((packet[-1] ^ 4,))) is False


def test_verify_packet_wrong_ipv4_header_checksum_is_found() -> None:
    packet = bytearray(PACKETS[0])
    packet[ipv4.TTL] -= 1
    assert checksums.verify_packet(bytes(packet)) is False


@pytest.mark.parametrize("packet", PACKETS)
def test_fill_packet_wrong_checksums_become_right(packet: bytes) -> None:
    damaged = bytearray(packet)
    if damaged[0] >> 4 == 4:
        damaged[10:12] = b"\xde\xad"
    damaged[-1] ^= 0xFF
    filled = checksums.fill_packet(bytes(damaged))
    assert checksums.verify_packet(filled) is True
    assert len(filled) == len(packet)


@pytest.mark.parametrize("packet", PACKETS[:6])
def test_fill_packet_right_one_stays_as_it_is(packet: bytes) -> None:
    assert checksums.fill_packet(packet) == packet


@pytest.mark.parametrize("packet", [
    b"", bytes(40), build.ip(A4, B4, 99, b"what"), build.ip(A6, B6, 59, b""), PACKETS[0][:-1],
    build.ip(A4, B4, 6, bytes(19)), build.fragments(PACKETS[2], 8)[0], build.fragments(PACKETS[3], 8)[0],
])
def test_verify_packet_nothing_to_verify_is_none(packet: bytes) -> None:
    assert checksums.verify_packet(packet) is None


def test_fill_packet_what_is_no_packet_stays_as_it_is() -> None:
    for data in (b"", b"abc", bytes(100), PACKETS[1][:30]):
        assert checksums.fill_packet(data) == data


def test_pseudo_header_of_icmp_is_nothing() -> None:
    assert checksums.pseudo_header(bytes(4), bytes(4), ipv4.ICMP, 99) == 0
    assert icmp.checksum_ok(icmp.emit(icmp.echo(8, 1, 2)))


def test_pseudo_header_of_two_families_raises() -> None:
    for a, b in ((bytes(4), bytes(16)), (b"", b""), (b"12345", b"12345")):
        with pytest.raises(InvalidArgument):
            checksums.pseudo_header(a, b, 6, 20)


def test_pseudo_header_length_over_64k_counts_both_halves() -> None:
    assert checksums.pseudo_header(bytes(16), bytes(16), 6, 0x10000) == 7
