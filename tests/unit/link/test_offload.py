"""Software offload: completing checksums and cutting large frames."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.link.packets import TCP, UDP, Seen, packet, tags, tcp_header
from uinet.link.offload import complete, finish, locate
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID, Frame

SIXTEEN = tags(*[(0x88A8, 1)] + [(0x8100, 0x6000 | n) for n in range(2, 17)])
QINQ = tags((0x88A8, 1), (0x8100, 2))
STACKS = {"untagged": b"", "one tag": tags((0x8100, 100)), "QinQ": QINQ, "16": SIXTEEN}


def udp(payload: bytes) -> bytes:
    return struct.pack(">HHHH", 53, 1025, 8 + len(payload), 0)


@pytest.mark.parametrize("vlans", STACKS.values(), ids=STACKS.keys())
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("payload", [b"", b"odd", b"even"])
def test_tcp_checksum_needed_is_completed(version: int, vlans: bytes, payload: bytes) -> None:
    unfinished = packet(tcp_header(), payload, version=version, vlans=vlans, state="partial")
    (done,) = finish(Frame(unfinished, CHECKSUM_NEEDED, time=5), 2)
    assert done.data == packet(tcp_header(), payload, version=version, vlans=vlans)
    assert (done.checksum, done.gso_size, done.time) == (CHECKSUM_VALID, 0, 5)


@pytest.mark.parametrize("version", [4, 6])
def test_udp_checksum_needed_is_completed_on_layer_3(version: int) -> None:
    unfinished = packet(udp(b"query"), b"query", version=version, protocol=UDP, layer=3, state="partial")
    (done,) = finish(Frame(unfinished, CHECKSUM_NEEDED), 3)
    assert Seen(done.data, 3).payload == b"query"


def test_udp_checksum_of_zero_is_sent_as_ones() -> None:
    for word in range(0x10000):  # exactly one payload word (two, for the two zeros) makes the sum all ones
        payload = struct.pack(">H", word)
        whole = packet(udp(payload), payload, protocol=UDP, state="complete")
        if whole[14 + 20 + 6 : 14 + 20 + 8] == b"\xff\xff":
            break
    else:
        pytest.fail("no payload with that sum")
    unfinished = packet(udp(payload), payload, protocol=UDP, state="partial")
    assert finish(Frame(unfinished, CHECKSUM_NEEDED), 2)[0].data == whole


def test_checksum_skips_ipv6_extension_headers() -> None:
    chain = bytes([60, 1]) + bytes(14) + bytes([TCP, 0]) + bytes(6)  # hop-by-hop, then destination options
    unfinished = packet(tcp_header(), b"data", version=6, extensions=chain, next_header=0, state="partial")
    (done,) = finish(Frame(unfinished, CHECKSUM_NEEDED), 2)
    assert Seen(done.data).payload == b"data"


def test_ethernet_padding_is_not_summed() -> None:
    unfinished = packet(tcp_header(), b"", state="partial") + b"\xaa" * 6
    (done,) = finish(Frame(unfinished, CHECKSUM_NEEDED), 2)
    assert Seen(done.data).padding == b"\xaa" * 6


@pytest.mark.parametrize("state", [CHECKSUM_UNKNOWN, CHECKSUM_VALID])
def test_finished_frame_comes_back_itself(state: int) -> None:
    frame = Frame(packet(tcp_header(), b"x"), state)
    assert finish(frame, 2) == [frame]
    assert complete(frame, 2) is frame


@pytest.mark.parametrize("vlans", STACKS.values(), ids=STACKS.keys())
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("options", [b"", b"\x01\x01\x08\x0a" + bytes(8)], ids=["no options", "timestamps"])
def test_gso_frame_is_cut_into_segments(version: int, vlans: bytes, options: bytes) -> None:
    payload = random.Random(1).randbytes(10 * 1448 + 77)
    header = tcp_header(flags=0x80 | 0x10 | 0x08 | 0x01, options=options)  # CWR ACK PSH FIN
    whole = packet(header, payload, version=version, vlans=vlans, state="partial")
    frames = finish(Frame(whole, CHECKSUM_NEEDED, 1448, 99), 2)
    seen = [Seen(frame.data) for frame in frames]
    assert [len(one.payload) for one in seen] == [1448] * 10 + [77]
    assert b"".join(one.payload for one in seen) == payload
    assert [one.seq for one in seen] == [(0xFFFFFF00 + n * 1448) % 2**32 for n in range(11)]
    assert [one.flags for one in seen] == [0x90] + [0x10] * 9 + [0x19]
    assert {one.options for one in seen} == {options}
    assert {one.link for one in seen} == {whole[: len(seen[0].link)]}
    assert all(one.padding == b"" for one in seen)
    assert {(frame.checksum, frame.gso_size, frame.time) for frame in frames} == {(CHECKSUM_VALID, 0, 99)}
    if version == 4:
        assert [one.identification for one in seen] == [(0xFFFE + n) % 65536 for n in range(11)]


@pytest.mark.parametrize("version", [4, 6])
def test_gso_frame_with_a_verified_checksum_is_cut(version: int) -> None:
    payload = bytes(range(256)) * 20
    whole = packet(tcp_header(), payload, version=version, state="complete")
    seen = [Seen(frame.data) for frame in finish(Frame(whole, CHECKSUM_VALID, 1000), 2)]
    assert b"".join(one.payload for one in seen) == payload


def test_gso_frame_of_one_segment_is_only_completed() -> None:
    unfinished = packet(tcp_header(flags=0x99), b"z" * 1000, state="partial")
    (done,) = finish(Frame(unfinished, CHECKSUM_NEEDED, 1000), 2)
    assert (Seen(done.data).flags, done.gso_size) == (0x99, 0)


def test_udp_gso_frame_is_cut_into_datagrams() -> None:
    payload = random.Random(2).randbytes(3500)
    whole = packet(udp(payload), payload, protocol=UDP, state="partial")
    seen = [Seen(frame.data) for frame in finish(Frame(whole, CHECKSUM_NEEDED, 1200), 2)]
    assert [one.payload for one in seen] == [payload[:1200], payload[1200:2400], payload[2400:]]


def test_link_without_checksums_gets_segments_without() -> None:
    unfinished = packet(tcp_header(), bytes(3000), layer=3, state="partial")
    frames = finish(Frame(unfinished, CHECKSUM_NEEDED, 1400), 3, checksums=False)
    assert [len(frame.data) for frame in frames] == [1440, 1440, 240]
    assert {frame.checksum for frame in frames} == {CHECKSUM_NEEDED}
    # each still carries its own pseudo header's sum, so that it can be completed elsewhere
    assert all(Seen(complete(frame, 3).data, 3) for frame in frames)
    single = Frame(unfinished, CHECKSUM_NEEDED)
    assert finish(single, 3, checksums=False) == [single]


def test_complete_keeps_a_large_frame_whole() -> None:
    unfinished = packet(tcp_header(), bytes(40000), state="partial")
    done = complete(Frame(unfinished, CHECKSUM_NEEDED, 1448, 3), 2)
    assert len(Seen(done.data).payload) == 40000
    assert (done.checksum, done.gso_size, done.time) == (CHECKSUM_VALID, 1448, 3)


GOOD = packet(tcp_header(), b"payload", state="partial")


def chained(extensions: bytes, next_header: int) -> bytes:
    return packet(tcp_header(), b"", version=6, extensions=extensions, next_header=next_header)


MALFORMED = {
    "empty": b"",
    "MACs only": GOOD[:12],
    "Ethernet header only": GOOD[:14],
    "ARP": GOOD[:12] + b"\x08\x06" + bytes(28),
    "17 tags": packet(tcp_header(), b"", vlans=SIXTEEN + tags((0x8100, 17))),
    "tag without end": GOOD[:12] + b"\x81\x00\x00",
    "IPv4 header cut": GOOD[:30],
    "IP version 5": GOOD[:14] + b"\x55" + GOOD[15:],
    "IHL 4": GOOD[:14] + b"\x44" + GOOD[15:],
    "IHL beyond the end": GOOD[:14] + b"\x4f" + GOOD[15:17] + b"\x20" + GOOD[18:46],
    "total length beyond the end": GOOD[:-1],
    "fragment": packet(tcp_header(), b"payload", fragment=0x2000),
    "later fragment": packet(tcp_header(), b"payload", fragment=185),
    "TCP header cut": packet(b"\0" * 12, b"", protocol=TCP, state="zero"),
    "TCP offset 4": packet(tcp_header()[:12] + b"\x40" + tcp_header()[13:], b"", state="zero"),
    "TCP offset beyond the end": packet(tcp_header()[:12] + b"\xf0" + tcp_header()[13:], b"", state="zero"),
    "UDP header cut": packet(b"\0" * 4, b"", protocol=UDP, state="zero"),
    "ICMP": packet(b"\x08\0\0\0", b"ping", protocol=1, state="zero"),
    "IPv6 cut": packet(tcp_header(), b"", version=6)[:50],
    "IPv6 payload beyond the end": packet(tcp_header(), b"xy", version=6)[:-1],
    "IPv6 fragment": chained(b"\x06\0" + bytes(6), 44),
    "IPv6 extension beyond the end": chained(b"\x06\xff" + bytes(6), 0),
    "IPv6 endless extensions": chained(bytes(8) * 100, 0),
    "no next header": packet(b"", b"", version=6, protocol=59, state="zero"),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_or_foreign_frame_comes_back_as_it_is(data: bytes) -> None:
    frame = Frame(data, CHECKSUM_NEEDED, 3)
    assert finish(frame, 2) == [frame]
    assert complete(frame, 2) is frame


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([4, 6]),
    st.sampled_from(list(STACKS.values())),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=6),
    st.integers(0, 200),
    st.integers(1, 70),
    st.sampled_from([CHECKSUM_UNKNOWN, CHECKSUM_VALID, CHECKSUM_NEEDED]),
)
def test_no_damage_makes_it_raise(
    version: int, vlans: bytes, damage: list[tuple[int, int]], length: int, size: int, state: int
) -> None:
    data = bytearray(packet(tcp_header(), bytes(60), version=version, vlans=vlans))
    for where, value in damage:
        data[where % len(data)] = value
    frame = Frame(bytes(data[:length]), state, size)
    for layer in (2, 3):
        pieces = finish(frame, layer)
        assert pieces
        assert sum(len(piece.data) for piece in pieces) >= (len(frame.data) if len(pieces) == 1 else 0)
        complete(frame, layer)


def test_locate_tells_the_offsets() -> None:
    data = packet(tcp_header(), b"payload", vlans=QINQ) + bytes(9)
    assert locate(data, 2) == (22, 42, len(data) - 9, TCP)
    assert locate(packet(udp(b""), b"", version=6, protocol=UDP, layer=3), 3) == (0, 40, 48, UDP)


def test_length_zero_means_to_the_end_of_a_big_frame() -> None:
    header = tcp_header()
    data = bytearray(packet(header, bytes(100), layer=3, state="partial"))
    data[2:4] = b"\0\0"
    assert locate(bytes(data), 3) == (0, 20, 140, TCP)
