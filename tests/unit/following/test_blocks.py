"""Captures read in place: both formats, every order and clock, every chunk boundary, every kind of damage."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.following.recorder import Got, Recorder
from uinet.errors import CaptureError
from uinet.following.blocks import Blocks
from uinet.wire.capture import LINKTYPE_ETHERNET, LINKTYPE_LINUX_SLL, LINKTYPE_RAW, MAX_RECORD
from uinet.wire.pcap import PcapngWriter, PcapWriter, Reader

TIME = 1_700_000_000_123_456_789
Order = Literal["little", "big"]
ORDERS: tuple[Order, ...] = ("little", "big")
orders = pytest.mark.parametrize("order", ORDERS)
SIGN = {"little": "<", "big": ">"}
LATEST = (1 << 62) - 1


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def read(data: bytes, size: int = 1 << 20, whole: bool = True) -> Recorder:
    """What a capture holds, fed in pieces of `size`; `whole`: it has to end well."""
    recorder, blocks = Recorder(), Blocks()
    for piece in pieces(data, size):
        blocks.feed(recorder, piece)
    if whole:
        blocks.finish()
        assert blocks.position == len(data)
    assert blocks.count == blocks.passed == len(recorder.got)
    return recorder


def damage(data: bytes, size: int = 1 << 20) -> tuple[Recorder, str]:
    """What is delivered of a damaged capture, and what is said of it."""
    recorder, blocks = Recorder(), Blocks()
    with pytest.raises(CaptureError) as caught:
        for piece in pieces(data, size):
            blocks.feed(recorder, piece)
        blocks.finish()
    said = str(caught.value)
    assert "\n" not in said
    return recorder, said


def pcap(*packets: bytes, order: Order = "little", nanoseconds: bool = True, link_type: int = 1) -> bytes:
    writer = PcapWriter(link_type, nanoseconds=nanoseconds, byte_order=order)
    return writer.header() + b"".join(writer.packet(packet, TIME + at) for at, packet in enumerate(packets))


def block(kind: int, body: bytes, order: Order = "little") -> bytes:
    length = 12 + len(body)
    return struct.pack(SIGN[order] + "II", kind, length) + body + struct.pack(SIGN[order] + "I", length)


def section(order: Order = "little", major: int = 1) -> bytes:
    return block(0x0A0D0D0A, struct.pack(SIGN[order] + "IHHq", 0x1A2B3C4D, major, 0, -1), order)


def option(code: int, value: bytes, order: Order = "little") -> bytes:
    return struct.pack(SIGN[order] + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def interface(link_type: int = 1, snap: int = 0, options: bytes = b"", order: Order = "little") -> bytes:
    return block(1, struct.pack(SIGN[order] + "HHI", link_type, 0, snap) + options, order)


def enhanced(
    data: bytes, ticks: int = 0, number: int = 0, order: Order = "little", original: int | None = None,
    options: bytes = b"",
) -> bytes:
    length = len(data) if original is None else original
    head = struct.pack(SIGN[order] + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), length)
    return block(6, head + data + bytes(-len(data) % 4) + options, order)


def old(data: bytes, ticks: int = 0, number: int = 0, order: Order = "little") -> bytes:
    head = struct.pack(SIGN[order] + "HHIIII", number, 7, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(2, head + data + bytes(-len(data) % 4), order)


def simple(data: bytes, original: int | None = None, order: Order = "little") -> bytes:
    length = len(data) if original is None else original
    return block(3, struct.pack(SIGN[order] + "I", length) + data + bytes(-len(data) % 4), order)


# pcap


@orders
def test_nanosecond_pcap_keeps_every_nanosecond(order: Order) -> None:
    assert read(pcap(b"one", b"", b"three", order=order)).got == [
        Got(1, b"one", 3, TIME), Got(1, b"", 0, TIME + 1), Got(1, b"three", 5, TIME + 2),
    ]


@orders
def test_microsecond_pcap(order: Order) -> None:
    assert read(pcap(b"one", order=order, nanoseconds=False)).got == [Got(1, b"one", 3, TIME // 1000 * 1000)]


@orders
def test_modified_pcap_has_longer_record_headers(order: Order) -> None:
    sign = SIGN[order]
    data = struct.pack(sign + "IHHIIII", 0xA1B2CD34, 2, 4, 0, 0, 65535, 1)
    for payload in (b"one", b"three"):
        data += struct.pack(sign + "IIIIIHBB", 5, 7, len(payload), 60, 2, 0x0800, 0, 0) + payload
    for size in (1, 7, 1 << 20):
        assert read(data, size).got == [Got(1, b"one", 60, 5_000_007_000), Got(1, b"three", 60, 5_000_007_000)]


def test_latest_time_of_a_pcap_is_2106() -> None:
    data = pcap()[:24] + struct.pack("<IIII", 0xFFFFFFFF, 999_999_999, 0, 0)
    assert read(data).got[0].time == 4_294_967_295_999_999_999


@pytest.mark.parametrize("link_type", [0, 1, 101, 113, 276, 0xFFFF])
@orders
def test_link_type_of_a_pcap(link_type: int, order: Order) -> None:
    data = bytearray(pcap(b"x", order=order, link_type=link_type))
    at = 22 if order == "little" else 20
    data[at : at + 2] = b"\x54\x54"  # the length of a frame check sequence is no part of it
    assert read(bytes(data)).got[0].link_type == link_type


@orders
def test_record_that_is_cut_or_longer_than_it_says_it_was(order: Order) -> None:
    data = pcap(order=order)
    for captured, original in ((4, 1514), (4, 0), (4, 3), (0, 1514), (4, 0xFFFFFFFF)):
        data += struct.pack(SIGN[order] + "IIII", 1, 2, captured, original) + b"abcd"[:captured]
    assert [(got.data, got.length) for got in read(data).got] == [
        (b"abcd", 1514), (b"abcd", 4), (b"abcd", 4), (b"", 1514), (b"abcd", 0xFFFFFFFF),
    ]


# pcapng

RESOLUTIONS: list[tuple[bytes, int, int]] = [  # if_tsresol, ticks, ns
    (b"\x00", 1_700_000_000, 1_700_000_000 * 10**9),
    *[(bytes([digits]), 1_700_000_000 * 10**digits + 1, (1_700_000_000 * 10**digits + 1) * 10 ** (9 - digits))
      for digits in range(1, 10)],
    (b"\x0a", 17_000_000_000_000_000_019, 1_700_000_000_000_000_001),
    (b"\x0c", 18_000_000_000_000_001_999, 18_000_000_000_000_001),
    (b"\x13", 2**64 - 1, (2**64 - 1) // 10**10),
    (b"\x7f", 2**64 - 1, 0),
    (b"\x80", 1_700_000_000, 1_700_000_000 * 10**9),
    (b"\x81", 3_400_000_001, 1_700_000_000_500_000_000),
    (b"\x8a", 1_700_000_000 * 1024 + 1, 1_700_000_000 * 10**9 + 976_562),
    (b"\x94", (1 << 20) * 1_700_000_000 + 3, 1_700_000_000 * 10**9 + 2861),
    (b"\x9e", (1 << 30) * 1_700_000_000 + 3, 1_700_000_000 * 10**9 + 2),
    (b"\xa0", (1 << 32) * 1_700_000_000 + 0xFFFFFFFF, 1_700_000_000 * 10**9 + 999_999_999),
    (b"\xc0", 2**64 - 1, 999_999_999),
    (b"\xff", 2**64 - 1, 0),
    (b"\x06", 2**64 - 1, LATEST),
    (b"\x00", 2**64 - 1, LATEST),
    (b"\x09", 2**64 - 1, LATEST),
    (b"\x09", LATEST, LATEST),
    (b"\x09", LATEST - 1, LATEST - 1),
    (b"\x06", LATEST // 1000, LATEST // 1000 * 1000),
    (b"\x06", LATEST // 1000 + 1, LATEST),
]


@pytest.mark.parametrize(("resolution", "ticks", "time"), RESOLUTIONS)
@orders
def test_every_resolution_of_a_clock(resolution: bytes, ticks: int, time: int, order: Order) -> None:
    data = section(order) + interface(options=option(9, resolution, order), order=order)
    assert read(data + enhanced(b"x", ticks, order=order)).got == [Got(1, b"x", 1, time)]


@pytest.mark.parametrize(("offset", "time"), [
    (5, 6_000_001_000), (-1, 1000), (-2, 0), (-(1 << 63), 0), ((1 << 63) - 1, LATEST),
    (1_700_000_000, 1_700_000_001_000_001_000),
])
@orders
def test_offset_of_a_clock_is_added_in_seconds(offset: int, time: int, order: Order) -> None:
    options = option(2, b"eth0", order) + option(14, offset.to_bytes(8, order, signed=True), order) + bytes(4)
    data = section(order) + interface(options=options, order=order)
    assert read(data + enhanced(b"x", 1_000_001, order=order)).got[0].time == time


@orders
def test_options_of_a_wrong_size_and_those_behind_the_end_are_ignored(order: Order) -> None:
    options = option(9, b"\x09\x09", order) + option(14, b"\1", order) + bytes(4) + option(9, b"\x00", order)
    data = section(order) + interface(options=options, order=order) + enhanced(b"x", 5, order=order)
    assert read(data).got[0].time == 5000


@orders
def test_all_kinds_of_packet_blocks(order: Order) -> None:
    data = (
        section(order) + interface(LINKTYPE_ETHERNET, 4, option(9, b"\x09", order), order)
        + interface(LINKTYPE_RAW, order=order) + simple(b"abcd", 100, order)
        + enhanced(b"enhanced", (1 << 40) + 5, order=order, original=1514, options=option(1, b"comment", order))
        + simple(b"ab", order=order) + old(b"older", 5, 1, order) + enhanced(b"", 9, order=order)
        + simple(b"abcd", 0xFFFFFFFF, order)
    )
    for size in (1, 3, 1 << 20):
        assert read(data, size).got == [
            Got(1, b"abcd", 100, 0), Got(1, b"enhanced", 1514, (1 << 40) + 5), Got(1, b"ab", 2, (1 << 40) + 5),
            Got(LINKTYPE_RAW, b"older", 5, 5000), Got(1, b"", 0, 9), Got(1, b"abcd", 0xFFFFFFFF, 9),
        ]


def test_interfaces_of_different_kinds_and_clocks() -> None:
    data = section() + interface(LINKTYPE_ETHERNET) + interface(LINKTYPE_LINUX_SLL, 0, option(9, b"\x03"))
    data += b"".join(enhanced(b"x", 7, number) for number in (1, 0, 1, 0))
    assert [(got.link_type, got.time) for got in read(data).got] == [(113, 7_000_000), (1, 7000)] * 2


def test_sections_of_both_orders_number_their_interfaces_anew() -> None:
    data = b""
    for order, link_type in (("little", 1), ("big", 101), ("big", 113), ("little", 0)):
        data += section(order) + interface(link_type, order=order) + enhanced(b"x", 1, order=order)  # type: ignore[arg-type]
    for size in (1, 5, 1 << 20):
        assert [got.link_type for got in read(data, size).got] == [1, 101, 113, 0]
    recorder, said = damage(section() + interface() + section("big") + enhanced(b"x", order="big"))
    assert not recorder.got
    assert "a packet of interface 0, which is not described" in said


@pytest.mark.parametrize("body", [b"", bytes(4), bytes(1000), bytes(600_000)])
def test_unknown_blocks_are_skipped_however_long(body: bytes) -> None:
    data = section() + block(0xBAD, body) + interface() + block(5, body) + enhanced(b"one") + block(9, body)
    data += enhanced(b"two") + block(0x80000001, body)
    for size in (1000, 4096, 1 << 20) if len(body) > 1000 else (1, 2, 13, 1 << 20):
        assert read(data, size).packets == [b"one", b"two"]


# chunks


CAPTURES = {
    "pcap": pcap(b"a" * 60, b"", b"b" * 100, b"c" * 61),
    "pcap, big": pcap(b"a" * 60, b"", b"b" * 100, b"c" * 61, order="big", nanoseconds=False),
    "pcapng": section() + interface() + enhanced(b"a" * 60, 1) + block(99, bytes(40)) + enhanced(b"", 2)
    + old(b"b" * 99, 3) + section("big") + interface(101, order="big") + simple(b"c" * 33, order="big"),
}


@pytest.mark.parametrize("name", CAPTURES)
def test_every_size_of_chunks_gives_the_same(name: str) -> None:
    data = CAPTURES[name]
    whole = read(data).got
    assert len(whole) == 4
    for size in range(1, len(data)):
        assert read(data, size).got == whole


@pytest.mark.parametrize("name", CAPTURES)
def test_a_cut_anywhere_gives_what_came_before_and_says_where(name: str) -> None:
    data = CAPTURES[name]
    reader = Reader()
    for length in range(len(data)):
        part = data[:length]
        reader = Reader()
        reader.feed(part)
        expected = [record.data for record in reader]
        try:
            reader.finish()
        except CaptureError as error:
            said = str(error)
        else:
            assert read(part).packets == expected
            continue
        for size in (1, 7, 1 << 20):
            recorder, ours = damage(part, size)
            assert recorder.packets == expected
            assert ours.split(", at byte")[0] == said.split(", at byte")[0]
            if "at byte" in ours:
                assert int(ours.rpartition(" ")[2]) <= length


@pytest.mark.parametrize("name", CAPTURES)
def test_packets_lie_in_the_chunk_and_only_the_one_across_two_is_copied(name: str) -> None:
    data = CAPTURES[name]
    chunks = [bytes(memoryview(data)[:-20]), bytes(memoryview(data)[-20:])]
    recorder, blocks = Recorder(), Blocks()
    for chunk in chunks:
        blocks.feed(recorder, chunk)
    blocks.finish()
    assert [held is chunks[0] for held in recorder.lay_in] == [True, True, True, False]
    assert len(recorder.lay_in[3]) < 110


def test_longest_record() -> None:
    packet = bytes(range(256)) * (MAX_RECORD // 256)
    for data in (pcap(packet, b"next"), section() + interface() + enhanced(packet) + enhanced(b"next")):
        for size in (1000, 65536, 1 << 20):
            assert read(data, size).packets == [packet, b"next"]


@settings(max_examples=60, deadline=None)
@given(
    packets=st.lists(st.tuples(st.binary(max_size=80), st.integers(0, (1 << 60) - 1)), max_size=12),
    order=st.sampled_from(ORDERS), cuts=st.lists(st.integers(1, 60), min_size=1, max_size=8), ng=st.booleans(),
)
def test_what_the_writers_write_is_read(
    packets: list[tuple[bytes, int]], order: Order, cuts: list[int], ng: bool
) -> None:
    writer = PcapngWriter(order) if ng else PcapWriter(byte_order=order)
    data = writer.header()
    if isinstance(writer, PcapngWriter):
        data += writer.interface("eth0")
    data += b"".join(writer.packet(packet, time, comment="x" * (time % 5)) for packet, time in packets)
    recorder, blocks, at = Recorder(), Blocks(), 0
    while at < len(data):
        for cut in cuts:
            blocks.feed(recorder, data[at : at + cut])
            at += cut
    blocks.finish()
    assert recorder.got == [Got(1, packet, len(packet), time) for packet, time in packets]


# damage

IMPOSSIBLE = [MAX_RECORD + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


@pytest.mark.parametrize("length", IMPOSSIBLE)
@orders
def test_impossible_record_length_of_a_pcap(length: int, order: Order) -> None:
    data = pcap(b"one", order=order) + struct.pack(SIGN[order] + "IIII", 1, 2, length, length) + bytes(100)
    for size in (1, 1 << 20):
        recorder, said = damage(data, size)
        assert recorder.packets == [b"one"]
        assert said == f"damaged capture after packet 1, at byte 43: a packet of {length} bytes is over {MAX_RECORD}"


START = section() + interface() + enhanced(b"one")


def patched(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + struct.pack("<I", value) + data[at + 4 :]


LAST = enhanced(b"two!")
DAMAGED = [
    (patched(LAST, 4, 0), "a block cannot be 0 bytes long"),
    (patched(LAST, 4, 8), "a block cannot be 8 bytes long"),
    (patched(LAST, 4, 37), "a block cannot be 37 bytes long"),
    (patched(LAST, 4, 0xFFFFFFFC), "a block of 4294967292 bytes is over 393216"),
    (patched(LAST, 4, 393220), "a block of 393220 bytes is over 393216"),
    (patched(LAST, 4, 32), "a block's two lengths differ"),
    (patched(LAST, 32, 40), "a block's two lengths differ"),
    (patched(LAST, 8, 1), "a packet of interface 1, which is not described"),
    (patched(LAST, 8, 0xFFFFFFFF), "a packet of interface 4294967295, which is not described"),
    (patched(LAST, 20, 5), "a packet of 5 bytes does not fit in its block"),
    (patched(LAST, 20, 0xFFFFFFFF), "a packet of 4294967295 bytes does not fit in its block"),
    (patched(LAST, 20, 0x80000000), "a packet of 2147483648 bytes does not fit in its block"),
    (block(6, bytes(16)), "a block is shorter than its kind has to be"),
    (block(2, bytes(16)), "a block is shorter than its kind has to be"),
    (block(3, b""), "a block is shorter than its kind has to be"),
    (block(3, b"\5\0\0\0abcd"), "a packet of 5 bytes does not fit in its block"),
    (block(3, b"\xff\xff\xff\xff"), "a packet of 4294967295 bytes does not fit in its block"),
    (block(1, bytes(4)), "a block is shorter than its kind has to be"),
    (interface(options=b"\x09\0\x05\0abcd"), "an option runs past the end of its block"),
    (interface(options=b"\x09\0\xff\xff"), "an option runs past the end of its block"),
    (patched(section(), 8, 0), "a section header has no byte order"),
    (section(major=2), "pcapng version 2.0 is not known"),
    (block(0x0A0D0D0A, b"\x4d\x3c\x2b\x1a"), "a block is shorter than its kind has to be"),
    (old(b"x", number=9), "a packet of interface 9, which is not described"),
    (bytes(40), "a block cannot be 0 bytes long"),
]


@pytest.mark.parametrize(("last", "message"), DAMAGED)
def test_damaged_block(last: bytes, message: str) -> None:
    for size in (1, 1 << 20):
        recorder, said = damage(START + last + bytes(100), size)
        assert recorder.packets == [b"one"]
        assert said == f"damaged capture after packet 1, at byte {len(START)}: {message}"


def test_simple_packet_without_an_interface() -> None:
    assert "a packet of interface 0, which is not described" in damage(section() + simple(b"x"))[1]


def test_more_interfaces_than_anybody_has() -> None:
    recorder, said = damage(section() + interface() * 65537)
    assert not recorder.got
    assert said.endswith("more than 65536 interfaces")


@pytest.mark.parametrize(("data", "message"), [
    (b"", "an empty file is no capture"),
    (b"\xa1\xb2", "not a capture file"),
    (b"GET / HTTP/1.1", "not a capture file: it begins with 47455420"),
    (b"\0" * 30, "not a capture file: it begins with 00000000"),
    (b"\x0a\x0d\x0d\x0a", "capture cut off after packet 0, at byte 0"),
    (pcap()[:23], "capture cut off after packet 0, at byte 0"),
    (pcap()[:24] + bytes(15), "capture cut off after packet 0, at byte 24"),
    (pcap()[:4] + b"\3" + pcap()[5:], "damaged capture after packet 0, at byte 0: pcap version 3.4 is not known"),
    (START + block(99, bytes(100))[:50], f"capture cut off after packet 1, at byte {len(START) + 50}"),
])
def test_what_is_no_capture_or_hardly_one(data: bytes, message: str) -> None:
    for size in (1, 3, 1 << 20):
        assert damage(data, size)[1] == message


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(CAPTURES)), at=st.integers(0, 400), junk=st.binary(max_size=12),
    size=st.integers(1, 500),
)
def test_junk_is_never_more_than_one_error_and_depends_on_no_chunk(name: str, at: int, junk: bytes, size: int) -> None:
    data = CAPTURES[name]
    data = data[:at] + junk + data[at + len(junk) :]

    def outcome(size: int) -> tuple[list[Got], str]:
        recorder, blocks = Recorder(), Blocks()
        try:
            for piece in pieces(data, size):
                blocks.feed(recorder, piece)
            blocks.finish()
        except CaptureError as error:
            return recorder.got, str(error)
        return recorder.got, ""

    assert outcome(size) == outcome(1 << 20)
