"""parse and emit are inverse to each other, for every protocol, and check never lets parse fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uinet.errors import InvalidArgument
from uinet.wire import (
    addresses,
    arp,
    checksums,
    ethernet,
    icmp,
    icmpv6,
    ipv4,
    ipv6,
    ipv6_extensions,
    nd,
    tcp,
    tcp_options,
    udp,
)

settings.register_profile("wire", max_examples=60, deadline=None)
SETTINGS = settings.get_profile("wire")

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
macs = st.binary(min_size=6, max_size=6).map(addresses.Mac)
v4 = st.binary(min_size=4, max_size=4)
v6 = st.binary(min_size=16, max_size=16)
payloads = st.binary(max_size=64)
tags = st.builds(
    addresses.VlanTag, st.integers(0, 4095), st.integers(0, 7), st.integers(0, 1),
    st.sampled_from(addresses.TPIDS),
)


def words(maximum: int) -> st.SearchStrategy[bytes]:
    """Bytes of whole 4-byte words."""
    return st.integers(0, maximum // 4).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n))


ethernet_headers = st.builds(
    ethernet.EthernetHeader, macs, macs, u16.filter(lambda value: value not in addresses.TPIDS),
    st.lists(tags, max_size=16).map(tuple),
)
arp_packets = st.builds(arp.ArpPacket, u16, macs.map(bytes), v4, macs.map(bytes), v4) | st.builds(
    lambda op, sha, spa, hrd, pro: arp.ArpPacket(op, sha, spa, sha[::-1], spa[::-1], hrd, pro),
    u16, st.binary(max_size=20), st.binary(max_size=16), u16, u16,
)
ipv4_headers = st.builds(
    ipv4.Ipv4Header, v4, v4, u8, u8, u8, u16, st.integers(0, 7), st.integers(0, 0x1FFF).map(lambda n: n * 8),
    words(40), u16, u16,
)
ipv6_headers = st.builds(ipv6.Ipv6Header, v6, v6, u8, u8, u8, st.integers(0, 0xFFFFF), u16)
tcp_option_areas = words(40)
tcp_headers = st.builds(
    tcp.TcpHeader, u16, u16, u32, u32, u8, u16, u16, tcp_option_areas.map(tcp_options.parse), u16,
    st.integers(0, 15),
)
udp_headers = st.builds(udp.UdpHeader, u16, u16, u16, u16)
icmp_messages = st.builds(icmp.IcmpMessage, u8, u8, u32, payloads, u16)
icmpv6_messages = st.builds(icmpv6.Icmpv6Message, u8, u8, u32, payloads, u16)
nd_options = st.lists(
    st.builds(
        nd.Option, u8, st.integers(1, 4).flatmap(lambda n: st.binary(min_size=8 * n - 2, max_size=8 * n - 2))
    ),
    max_size=4,
).map(tuple)
nd_messages = st.one_of(
    st.builds(nd.RouterSolicitation, nd_options, u32),
    st.builds(nd.RouterAdvertisement, u8, u8, u16, u32, u32, nd_options),
    st.builds(nd.NeighborSolicitation, v6, nd_options, u32),
    st.builds(nd.NeighborAdvertisement, v6, u32, nd_options),
    st.builds(nd.Redirect, v6, v6, nd_options, u32),
)
extension_bytes = st.tuples(
    st.sampled_from(ipv6_extensions.EXTENSIONS), u8, st.integers(0, 3), st.binary(min_size=30, max_size=30)
).map(lambda parts: (
    parts[0],
    bytes((parts[1], parts[2])) + parts[3][: 6 if parts[0] == ipv6_extensions.FRAGMENT else 6 + 8 * parts[2]],
))


@SETTINGS
@given(ethernet_headers, payloads)
def test_ethernet_header_survives_the_round_trip(header: ethernet.EthernetHeader, payload: bytes) -> None:
    frame = ethernet.emit(header) + payload
    assert ethernet.check(frame)
    assert ethernet.parse(frame) == header
    assert frame[ethernet.header_length(frame) :] == payload


@SETTINGS
@given(arp_packets, payloads)
def test_arp_packet_survives_the_round_trip(packet: arp.ArpPacket, padding: bytes) -> None:
    data = b"\xee" * 14 + arp.emit(packet) + padding
    assert arp.check(data, 14)
    assert arp.parse(data, 14) == packet
    assert arp.is_ethernet_ipv4(data, 14) == packet.is_ethernet_ipv4


@SETTINGS
@given(ipv4_headers, payloads)
def test_ipv4_header_kept_survives_the_round_trip(header: ipv4.Ipv4Header, payload: bytes) -> None:
    assert ipv4.parse(b"\xee" + ipv4.emit(header, payload, keep=True), 1) == header


@SETTINGS
@given(ipv4_headers, payloads)
def test_ipv4_header_computed_is_whole_and_right(header: ipv4.Ipv4Header, payload: bytes) -> None:
    packet = ipv4.emit(header, payload)
    assert ipv4.check(packet) and ipv4.checksum_ok(packet)
    assert ipv4.total_length(packet) == len(packet)
    assert ipv4.emit(ipv4.parse(packet), payload, keep=True) == packet
    assert ipv4.emit(ipv4.parse(packet), payload) == packet


@SETTINGS
@given(ipv6_headers, payloads)
def test_ipv6_header_survives_the_round_trip(header: ipv6.Ipv6Header, payload: bytes) -> None:
    assert ipv6.parse(b"\xee" + ipv6.emit(header, payload, keep=True), 1) == header
    packet = ipv6.emit(header, payload)
    assert ipv6.check(packet) and ipv6.payload_length(packet) == len(payload)


@SETTINGS
@given(extension_bytes)
def test_extension_header_survives_the_round_trip(kind_and_data: tuple[int, bytes]) -> None:
    kind, data = kind_and_data
    if not ipv6_extensions.check(data, 0, None, kind):
        with pytest.raises(InvalidArgument):
            ipv6_extensions.parse(data, 0, None, kind)
        return
    value = ipv6_extensions.parse(data, 0, None, kind)
    assert ipv6_extensions.emit(value) == data
    assert ipv6_extensions.parse(ipv6_extensions.emit(value), 0, None, kind) == value


@SETTINGS
@given(tcp_option_areas)
def test_tcp_options_of_any_bytes_survive_the_round_trip(area: bytes) -> None:
    options = tcp_options.parse(area)
    assert tcp_options.emit(options) == area
    assert tcp_options.parse(tcp_options.emit(options)) == options


@SETTINGS
@given(st.binary(max_size=60))
def test_tcp_options_of_any_length_lose_no_byte(area: bytes) -> None:
    assert b"".join(tcp_options.emit_one(option) for option in tcp_options.parse(area)) == area


@SETTINGS
@given(tcp_headers, payloads, v4, v4)
def test_tcp_header_survives_the_round_trip(
    header: tcp.TcpHeader, payload: bytes, a: bytes, b: bytes
) -> None:
    segment = tcp.emit(header, payload, keep=True)
    assert tcp.parse(b"\xee" + segment, 1) == header
    assert segment[tcp.header_length(segment) :] == payload
    assert tcp.checksum_ok(tcp.emit(header, payload, a, b), a, b)


@SETTINGS
@given(udp_headers, payloads, v6, v6)
def test_udp_header_survives_the_round_trip(
    header: udp.UdpHeader, payload: bytes, a: bytes, b: bytes
) -> None:
    assert udp.parse(b"\xee" + udp.emit(header, payload, keep=True), 1) == header
    datagram = udp.emit(header, payload, a, b)
    assert udp.check(datagram) and udp.checksum_ok(datagram, a, b) and udp.checksum(datagram) != 0


@SETTINGS
@given(icmp_messages)
def test_icmp_message_survives_the_round_trip(message: icmp.IcmpMessage) -> None:
    assert icmp.parse(icmp.emit(message, keep=True)) == message
    assert icmp.checksum_ok(icmp.emit(message))


@SETTINGS
@given(icmpv6_messages, v6, v6)
def test_icmpv6_message_survives_the_round_trip(message: icmpv6.Icmpv6Message, a: bytes, b: bytes) -> None:
    assert icmpv6.parse(icmpv6.emit(message, keep=True)) == message
    assert icmpv6.checksum_ok(icmpv6.emit(message, a, b), a, b)


@SETTINGS
@given(nd_messages, v6, v6)
def test_nd_message_survives_the_round_trip(message: nd.Message, a: bytes, b: bytes) -> None:
    data = b"\xee" + nd.emit(message, a, b)
    assert nd.check(data, 1)
    assert nd.parse(data, 1) == message
    nd.valid(message, a, b, nd.HOP_LIMIT)
    nd.prefixes(message.options)
    nd.recursive_dns_servers(message.options)
    nd.mtu(message.options)
    nd.link_layer(message.options, nd.SOURCE_LINK_LAYER)


@SETTINGS
@given(st.builds(nd.PrefixInformation, v6, st.integers(0, 128), u8, u32, u32))
def test_nd_prefix_information_survives_the_round_trip(prefix: nd.PrefixInformation) -> None:
    assert nd.prefixes([prefix.option()]) == [prefix]


Module = Any


@pytest.mark.parametrize(
    "module", [arp, ipv4, ipv6, icmp, icmpv6, nd, udp, tcp], ids=lambda module: module.__name__[11:]
)
def test_parse_of_any_bytes_gives_a_value_exactly_if_check_says_so(module: Module) -> None:
    whole: Callable[..., bool] = getattr(module, "check_header", module.check)

    @SETTINGS
    @given(st.binary(max_size=80), st.integers(0, 4), st.none() | st.integers(0, 90))
    def run(data: bytes, offset: int, end: int | None) -> None:
        if whole(data, offset, end):
            module.parse(data, offset, end)
        elif module is not udp:  # whose parse tells a header whose length lies
            with pytest.raises(InvalidArgument):
                module.parse(data, offset, end)

    run()


@SETTINGS
@given(st.binary(max_size=120))
def test_walkers_of_any_bytes_end(data: bytes) -> None:
    ipv4.walk_options(data)
    icmp.parse_quote(data)
    icmpv6.parse_quote(data)
    if ipv6.check_header(data):
        chain = ipv6_extensions.walk(data)
        assert chain.offset >= ipv6.HEADER_LENGTH and chain.next_header_at < chain.offset


@SETTINGS
@given(
    st.lists(st.sampled_from(ipv6_extensions.EXTENSIONS), max_size=24), st.binary(min_size=8, max_size=400)
)
def test_chain_of_any_headers_stays_within_the_packet(kinds: list[int], data: bytes) -> None:
    body = bytearray(data)
    for index in range(min(len(kinds), len(body) // 8)):
        body[index * 8 : index * 8 + 2] = bytes((kinds[index], 0))
    packet = ipv6.emit(ipv6.Ipv6Header(bytes(16), bytes(16), kinds[0] if kinds else 6), bytes(body))
    chain = ipv6_extensions.walk(packet)
    assert chain.problem or chain.offset <= len(packet)
    assert 0 <= chain.pointer < len(packet) + 1
    if chain.problem == ipv6_extensions.OK and chain.fragment < 0:
        assert packet[chain.next_header_at] == chain.next_header not in ipv6_extensions.EXTENSIONS


def reference_checksum(data: bytes) -> int:
    """RFC 1071, section 4.1, as it stands there."""
    total = sum(int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


@SETTINGS
@given(v4, v4, u8.filter(lambda protocol: protocol != ipv4.ICMP), payloads)
def test_transport_checksum_v4_is_that_of_the_rfc(a: bytes, b: bytes, protocol: int, data: bytes) -> None:
    pseudo = a + b + bytes((0, protocol)) + len(data).to_bytes(2, "big")
    expected = reference_checksum(pseudo + data)
    assert checksums.transport(a, b, protocol, data) % 0xFFFF == expected % 0xFFFF


@SETTINGS
@given(v6, v6, u8.filter(lambda protocol: protocol != ipv4.ICMP), payloads)
def test_transport_checksum_v6_is_that_of_the_rfc(a: bytes, b: bytes, protocol: int, data: bytes) -> None:
    pseudo = a + b + len(data).to_bytes(4, "big") + bytes((0, 0, 0, protocol))
    expected = reference_checksum(pseudo + data)
    assert checksums.transport(a, b, protocol, data) % 0xFFFF == expected % 0xFFFF


@SETTINGS
@given(v4 | v6)
def test_split_and_join_are_inverse_except_for_mapped_addresses(packed: bytes) -> None:
    hi, lo = addresses.split(packed)
    assert 0 <= hi < 1 << 64 and 0 <= lo < 1 << 64
    joined = addresses.join(hi, lo)
    mapped = len(packed) == 16 and packed[:12] == bytes(10) + b"\xff\xff"
    assert joined == (packed[12:] if mapped else packed)
