"""Nonsense still prints, and no capture file, however damaged, raises anything but CaptureError."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uinet.errors import CaptureError
from uinet.wire import build, checksums, nd
from uinet.wire import ipv6_extensions as ext
from uinet.wire.addresses import L2Info, Mac, link_header, pack_address
from uinet.wire.capture import Record, decapsulate
from uinet.wire.pcap import PcapngWriter, PcapWriter, Reader
from uinet.wire.show import show
from uinet.wire.tcp_options import Mss, Sack, SackPermitted, Timestamps

SETTINGS = settings(max_examples=150, deadline=None)
FEWER = settings(max_examples=60, deadline=None)

A4, B4 = "10.0.0.1", "10.0.0.2"
A6, B6 = "fe80::1", "fe80::2"
MAC = Mac("02:00:00:00:00:0a")
FRAMES = [
    build.tcp(A4, B4, 1, 2, options=(Mss(1460), SackPermitted(), Timestamps(1, 2)), vlans=(5, 6)),
    build.tcp(A6, B6, 1, 2, "P.", payload=b"data", options=(Sack(((1, 2), (3, 4))),)),
    build.udp(A4, B4, 1, 2, b"data"),
    build.icmp_message(A4, B4, 3, 4, 1400, build.tcp(A4, B4, 1, 2, layer=3)),
    build.icmp_message(A6, B6, 1, 4, 0, build.udp(A6, B6, 1, 2, layer=3)),
    build.nd_message(A6, B6, nd.RouterAdvertisement(64, 0, 1, 2, 3, (
        nd.link_layer_option(1, MAC), nd.mtu_option(1500),
        nd.PrefixInformation(pack_address(A6), 64).option(),
    ))),
    build.nd_message(A6, B6, nd.NeighborAdvertisement(pack_address(A6), 0, (nd.link_layer_option(2, MAC),))),
    build.arp_request(A4, B4),
    build.frame(build.ip(A6, B6, 17, bytes(16), extensions=(
        ext.OptionsHeader(0, 0, (ext.Option(5, b"\0\0"),)), ext.RoutingHeader(0, 0),
        ext.FragmentHeader(0, 0, True, 1),
        ext.OptionsHeader(60, 0, (ext.Option(0x3E, b"abc"),)),
    ))),
    build.frame(build.ip(A4, B4, 6, bytes(24), options=b"\x83\x07\x04\x0a\0\0\1\0")),
]


@st.composite
def mutated(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """One of `originals` with a few bytes changed and perhaps an end cut off."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


def prints(frame: bytes) -> None:
    for layer in (2, 3):
        line = show(frame, layer, 5, macs=True)
        assert line and "\n" not in line and line.isprintable()
        seen = build.dissect(frame, layer)
        assert len(seen.payload) + len(seen.padding) <= len(frame)
        checksums.verify_packet(seen.packet)


@SETTINGS
@given(st.binary(max_size=200))
def test_show_and_dissect_of_random_bytes_never_raise(frame: bytes) -> None:
    prints(frame)


@SETTINGS
@given(st.sampled_from([0x0800, 0x0806, 0x86DD, 0x8100]), st.sampled_from([b"\x45", b"\x4f", b"\x60", b""]),
       st.binary(max_size=120))
def test_show_and_dissect_of_random_packets_never_raise(ethertype: int, start: bytes, rest: bytes) -> None:
    prints(link_header(L2Info(MAC, MAC), ethertype) + start + rest)


@settings(max_examples=400, deadline=None)
@given(mutated(FRAMES))
def test_show_and_dissect_of_mutated_frames_never_raise(frame: bytes) -> None:
    prints(frame)


def capture(pcapng: bool) -> bytes:
    if not pcapng:
        writer = PcapWriter()
        return writer.header() + b"".join(writer.packet(frame, 5) for frame in FRAMES)
    ng = PcapngWriter()
    data = ng.header(comment="comment") + ng.interface("eth0") + ng.interface("eth1")
    for at, frame in enumerate(FRAMES):
        data += ng.packet(frame, 5, at % 2, direction=1 + at % 2)
    return data


CAPTURES = [capture(False), capture(True)]


def read_in_pieces(data: bytes, cuts: list[int]) -> tuple[list[Record], str]:
    """The records, and the error or an empty string."""
    reader = Reader()
    records = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, stop in pairwise(edges):
        reader.feed(data[start:stop])
        records += list(reader)
    try:
        reader.finish()
    except CaptureError as error:
        assert "\n" not in str(error)
        return records, str(error)
    return records, ""


@FEWER
@given(st.sampled_from(CAPTURES), st.lists(st.integers(0, 10_000), max_size=20))
def test_reader_fed_in_any_pieces_reads_the_same(data: bytes, cuts: list[int]) -> None:
    records, error = read_in_pieces(data, cuts)
    assert error == "" and [record.data for record in records] == FRAMES


@SETTINGS
@given(mutated(CAPTURES), st.lists(st.integers(0, 10_000), max_size=5))
def test_reader_of_a_damaged_capture_never_raises_but_at_its_end(data: bytes, cuts: list[int]) -> None:
    records, error = read_in_pieces(data, cuts)
    assert (records, error) == read_in_pieces(data, [])
    for record in records:
        decapsulate(record.link_type, record.data)


@FEWER
@given(
    st.binary(max_size=100),
    st.sampled_from([b"", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\x0a\x0d\x0d\x0a"]),
)
def test_reader_of_random_bytes_never_raises_but_at_its_end(data: bytes, magic: bytes) -> None:
    read_in_pieces(magic + data, [7, 30])


packets = st.tuples(
    st.binary(max_size=40), st.integers(0, 2**32 * 10**9 - 1), st.integers(0, 2), st.integers(0, 2),
    st.integers(0, 2**32 - 1),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10),
)


@FEWER
@given(st.lists(packets, max_size=8), st.sampled_from(["little", "big"]))
def test_pcapng_records_survive_the_round_trip(
    items: list[tuple[bytes, int, int, int, int, str]], order: str
) -> None:
    writer = PcapngWriter("big" if order == "big" else "little")
    data = writer.header() + b"".join(writer.interface(f"if{number}", number) for number in range(3))
    for packet, time, interface, direction, length, comment in items:
        data += writer.packet(
            packet, time, interface, direction=direction, original_length=length, comment=comment
        )
    records, error = read_in_pieces(data, [])
    assert error == ""
    assert records == [
        Record(interface, time, packet, length, interface, direction, (comment,) if comment else ())
        for packet, time, interface, direction, length, comment in items
    ]


@FEWER
@given(st.lists(packets, max_size=8), st.sampled_from(["little", "big"]), st.booleans())
def test_pcap_records_survive_the_round_trip(
    items: list[tuple[bytes, int, int, int, int, str]], order: str, nanoseconds: bool
) -> None:
    writer = PcapWriter(nanoseconds=nanoseconds, byte_order="big" if order == "big" else "little")
    unit = 1 if nanoseconds else 1000
    data = writer.header()
    data += b"".join(writer.packet(item[0], item[1], original_length=item[4]) for item in items)
    records, error = read_in_pieces(data, [])
    assert error == ""
    assert records == [Record(0, item[1] // unit * unit, item[0], item[4], 1) for item in items]


@pytest.mark.parametrize("frame", FRAMES, ids=range(len(FRAMES)))
def test_show_frame_cut_anywhere_prints(frame: bytes) -> None:
    for length in range(len(frame) + 1):
        prints(frame[:length])
