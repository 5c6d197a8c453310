"""virtio-net headers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.link.packets import TCP, UDP, Seen, csum, packet, pseudo, tags, tcp_header
from uinet.link import vnet
from uinet.link.offload import finish
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID, Frame

QINQ = tags((0x88A8, 1), (0x8100, 2))


def udp(payload: bytes) -> bytes:
    return struct.pack(">HHHH", 53, 1025, 8 + len(payload), 0)


def header(
    flags: int = 0, gso_type: int = 0, length: int = 0, size: int = 0, start: int = 0, offset: int = 0
) -> bytes:
    return struct.pack("=BBHHHH", flags, gso_type, length, size, start, offset)


def test_finished_frame_has_an_empty_header() -> None:
    data = packet(tcp_header(), b"x")
    assert vnet.encode(Frame(data, CHECKSUM_VALID), 2) == (bytes(10), data)
    (frame,) = vnet.decode(bytes(10), data, 2)
    assert (frame.data, frame.checksum, frame.gso_size) == (data, CHECKSUM_UNKNOWN, 0)


@pytest.mark.parametrize("vlans", [b"", QINQ], ids=["untagged", "QinQ"])
@pytest.mark.parametrize(("version", "gso_type", "ip"), [(4, 1, 20), (6, 4, 40)])
def test_large_frame_round_trip(version: int, gso_type: int, ip: int, vlans: bytes) -> None:
    data = packet(tcp_header(), bytes(5000), version=version, vlans=vlans, state="partial")
    encoded = vnet.encode(Frame(data, CHECKSUM_NEEDED, 1448), 2)
    l4 = 14 + len(vlans) + ip
    assert encoded == (header(1, gso_type, l4 + 20, 1448, l4, 16), data)
    (frame,) = vnet.decode(*encoded, 2)
    assert (frame.data, frame.checksum, frame.gso_size) == (data, CHECKSUM_NEEDED, 1448)


def test_congestion_window_reduced_is_told() -> None:
    data = packet(tcp_header(flags=0x90), bytes(5000), state="partial")
    encoded = vnet.encode(Frame(data, CHECKSUM_NEEDED, 1448), 2)
    assert encoded is not None
    assert encoded[0][1] == 0x81
    (frame,) = vnet.decode(*encoded, 2)
    assert frame.gso_size == 1448


def test_frame_of_one_segment_asks_for_a_checksum_only() -> None:
    data = packet(tcp_header(), bytes(100), layer=3, state="partial")
    assert vnet.encode(Frame(data, CHECKSUM_NEEDED, 1448), 3) == (header(1, 0, 40, 0, 20, 16), data)


def test_verified_large_frame_goes_back_to_an_unfinished_checksum() -> None:
    whole = packet(tcp_header(), bytes(5000))
    encoded = vnet.encode(Frame(whole, CHECKSUM_VALID, 1448), 2)
    assert encoded == (header(1, 1, 54, 1448, 34, 16), packet(tcp_header(), bytes(5000), state="partial"))


def test_padding_is_not_sent_along_where_the_kernel_would_sum_it() -> None:
    data = packet(tcp_header(), b"", state="partial")
    assert vnet.encode(Frame(data + b"\xaa" * 6, CHECKSUM_NEEDED), 2) == (header(1, 0, 54, 0, 34, 16), data)


def test_udp_datagram_asks_for_its_checksum() -> None:
    data = packet(udp(b"x"), b"x", version=6, protocol=UDP, state="partial")
    assert vnet.encode(Frame(data, CHECKSUM_NEEDED), 2) == (header(1, 0, 0, 0, 54, 6), data)
    (frame,) = vnet.decode(header(1, 0, 0, 0, 54, 6), data, 2)
    assert frame.checksum == CHECKSUM_NEEDED


@pytest.mark.parametrize(
    "frame",
    [
        Frame(packet(udp(bytes(3000)), bytes(3000), protocol=UDP, state="partial"), CHECKSUM_NEEDED, 1000),
        Frame(b"\xff" * 60, CHECKSUM_NEEDED),
        Frame(b"", CHECKSUM_NEEDED, 5),
    ],
    ids=["UDP train", "no IP", "empty"],
)
def test_what_a_header_cannot_say_is_left_to_software(frame: Frame) -> None:
    assert vnet.encode(frame, 2) is None


def test_train_of_datagrams_is_cut() -> None:
    payload = bytes(range(250)) * 10
    data = packet(udp(payload), payload, protocol=UDP, state="partial")
    frames = vnet.decode(header(1, 5, 42, 1000, 34, 6), data, 2)
    pieces = [Seen(frame.data).payload for frame in frames]
    assert pieces == [payload[:1000], payload[1000:2000], payload[2000:]]


def test_train_of_more_datagrams_than_anybody_sends_is_dropped() -> None:
    data = packet(udp(bytes(3000)), bytes(3000), protocol=UDP, state="partial")
    assert vnet.decode(header(1, 5, 42, 1, 34, 6), data, 2) == []
    assert vnet.decode(header(1, 5, 42, 0, 34, 6), data, 2) == []


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=10, max_size=10), st.binary(max_size=100), st.sampled_from([2, 3]), st.booleans())
def test_no_header_makes_it_raise(head: bytes, tail: bytes, layer: int, real: bool) -> None:
    data = packet(tcp_header(), tail, layer=layer) if real else tail
    for frame in vnet.decode(head, data, layer):
        vnet.encode(frame, layer)


def test_checksum_inside_a_tunnel_is_completed_at_once() -> None:
    inner = packet(tcp_header(), b"inside", layer=3, state="partial")
    outer = packet(b"", inner, protocol=4, state="zero")  # IP in IP
    (frame,) = vnet.decode(header(1, 0, 0, 0, 54, 16), outer, 2)
    assert frame.checksum == CHECKSUM_UNKNOWN
    assert Seen(frame.data[34:], 3).payload == b"inside"


def test_checksum_beyond_the_end_is_left_alone() -> None:
    data = packet(tcp_header(), b"")
    (frame,) = vnet.decode(header(1, 0, 0, 0, 60, 16), data, 2)
    assert (frame.data, frame.checksum) == (data, CHECKSUM_UNKNOWN)


def test_verified_by_the_card() -> None:
    (frame,) = vnet.decode(header(2), packet(tcp_header(), b""), 2)
    assert frame.checksum == CHECKSUM_VALID
    (merged,) = vnet.decode(header(0, 1, 54, 1448), packet(tcp_header(), bytes(3000)), 2)
    assert (merged.checksum, merged.gso_size) == (CHECKSUM_VALID, 1448)


def test_partial_sum_of_a_verified_frame_is_that_of_its_pseudo_header() -> None:
    source, destination = bytes([10, 7, 0, 1]), bytes([10, 7, 0, 2])
    encoded = vnet.encode(Frame(packet(tcp_header(), bytes(5000)), CHECKSUM_VALID, 1448), 2)
    assert encoded is not None
    assert encoded[1][50:52] == struct.pack(">H", csum(pseudo(source, destination, TCP, 5020)))
    segments = finish(Frame(encoded[1], CHECKSUM_NEEDED, 1448), 2)
    assert sum(len(Seen(segment.data).payload) for segment in segments) == 5000
