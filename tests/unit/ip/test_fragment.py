from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uinet.errors import MessageTooLong
from uinet.ip.fragment import Identifications, ipv4_packets, ipv6_packets
from uinet.ip.randomness import Random
from uinet.wire import ipv4, ipv6, ipv6_extensions
from uinet.wire.addresses import L2Info, pack_address

if TYPE_CHECKING:
    from tests.unit.ip.conftest import Bench

A4, B4 = pack_address("10.0.0.1"), pack_address("10.0.0.2")
A6, B6 = pack_address("2001:db8::1"), pack_address("2001:db8::2")


def v4(payload: bytes, mtu: int, *, df: bool = False, ids: Identifications | None = None) -> list[bytes]:
    made = ids or Identifications(Random(b"s"))
    return ipv4_packets(made, A4, B4, 99, payload, mtu=mtu, ttl=9, tos=4, dont_fragment=df)


def v6(payload: bytes, mtu: int, *, df: bool = False) -> list[bytes]:
    return ipv6_packets(
        Identifications(Random(b"s")), A6, B6, 99, payload, mtu=mtu, ttl=9, tos=4, dont_fragment=df
    )


@pytest.mark.rfc("6864", "4.1", "an atomic datagram's identification has no meaning")
def test_ipv4_may_not_be_fragmented_has_df_and_identification_0() -> None:
    (packet,) = v4(b"x", 1500, df=True)
    header = ipv4.parse(packet)
    assert header.dont_fragment and header.identification == 0 and ipv4.checksum_ok(packet)


def test_ipv4_exactly_the_mtu_is_one_packet() -> None:
    assert len(v4(bytes(80), 100)) == 1
    assert len(v4(bytes(80), 100, df=True)) == 1
    assert [len(packet) for packet in v4(bytes(81), 100)] == [100, 21]
    with pytest.raises(MessageTooLong):
        v4(bytes(81), 100, df=True)


def test_ipv6_exactly_the_mtu_is_one_packet() -> None:
    assert len(v6(bytes(1240), 1280)) == 1
    assert [len(packet) for packet in v6(bytes(1241), 1280)] == [1280, 57]
    with pytest.raises(MessageTooLong):
        v6(bytes(1241), 1280, df=True)


@given(st.binary(max_size=5000), st.integers(68, 1600))
def test_ipv4_fragments_are_whole_and_make_the_payload(payload: bytes, mtu: int) -> None:
    rebuilt = bytearray(len(payload))
    packets = v4(payload, mtu)
    for packet in packets:
        header = ipv4.parse(packet)
        assert len(packet) <= mtu and ipv4.check(packet) and ipv4.checksum_ok(packet)
        assert (header.ttl, header.tos, header.protocol) == (9, 4, 99)
        assert header.more_fragments == (packet is not packets[-1])
        rebuilt[header.fragment_offset : header.fragment_offset + len(packet) - 20] = packet[20:]
    assert rebuilt == payload


@given(st.binary(max_size=5000), st.integers(1280, 1600))
def test_ipv6_fragments_are_whole_and_make_the_payload(payload: bytes, mtu: int) -> None:
    rebuilt = bytearray(len(payload))
    packets = v6(payload, mtu)
    for packet in packets:
        assert len(packet) <= mtu and ipv6.check(packet)
        chain = ipv6_extensions.walk(packet)
        offset = ipv6_extensions.fragment_offset(packet, 40) if chain.fragment >= 0 else 0
        if chain.fragment >= 0:
            assert ipv6_extensions.more_fragments(packet, 40) == (packet is not packets[-1])
        body = packet[48:] if chain.fragment >= 0 else packet[40:]
        rebuilt[offset : offset + len(body)] = body
    assert rebuilt == payload


@pytest.mark.threat(31)
def test_threat_31_identifications_of_one_flow_do_not_repeat_soon() -> None:
    ids = Identifications(Random(b"s"))
    seen = [ids.next(A4, B4, 17) & 0xFFFF for _ in range(5000)]
    assert len(set(seen)) == 5000


@pytest.mark.rfc("7739", "5", "fragment identifications are not predictable")
@pytest.mark.threat(31)
def test_threat_31_identifications_depend_on_secret_addresses_and_protocol() -> None:
    firsts = {
        Identifications(Random(seed)).next(source, destination, proto)
        for seed in (b"1", b"2")
        for source, destination, proto in ((A4, B4, 17), (A4, B4, 1), (B4, A4, 17), (A6, B6, 17))
    }
    assert len(firsts) == 8


@pytest.mark.threat(31)
def test_threat_31_steps_between_identifications_vary() -> None:
    ids = Identifications(Random(b"s"))
    seen = [ids.next(A6, B6, 17) for _ in range(200)]
    steps = {(after - before) & 0xFFFFFFFF for before, after in pairwise(seen)}
    assert steps == set(range(1, 9))


def test_verbatim_is_fragmented_at_the_links_mtu_under_the_same_link_header(bench: Bench) -> None:
    from uinet.ip import output
    from uinet.wire.addresses import link_header

    wire = bench.network.add_interface("wire", cdom=1, mtu=600)
    link = L2Info.make("02:00:00:00:00:0a", "02:00:00:00:00:0b", (7, 8))
    output.send_verbatim(
        bench.network, wire, link_header(link, 0x0800), B4, A4, 99, bytes(1000), ttl=3, tos=8
    )
    frames = bench.sent(wire)
    assert [frame.l2info for frame in frames] == [link] * 2
    assert [(frame.source, frame.destination, frame.ipv4.ttl) for frame in frames] == [(B4, A4, 3)] * 2
    assert [len(frame.packet) for frame in frames] == [596, 444]
