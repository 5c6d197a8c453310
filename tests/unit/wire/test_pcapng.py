from __future__ import annotations

import struct
from typing import Literal

import pytest

from uinet.errors import CaptureError, InvalidArgument
from uinet.wire.capture import INBOUND, LINKTYPE_ETHERNET, LINKTYPE_RAW, MAX_RECORD, OUTBOUND, Record
from uinet.wire.pcap import PcapngWriter, Reader, read

TIME = 1_700_000_000_123_456_789
Order = Literal["little", "big"]
ORDERS: tuple[Order, ...] = ("little", "big")


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    length = 12 + len(body)
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(options: bytes = b"", link_type: int = 1, snap_length: int = 0, order: str = "<") -> bytes:
    return block(1, struct.pack(order + "HHI", link_type, 0, snap_length) + options, order)


def enhanced(number: int, ticks: int, data: bytes, options: bytes = b"", order: str = "<") -> bytes:
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(6, head + data + bytes(-len(data) % 4) + options, order)


@pytest.mark.parametrize("order", ORDERS)
def test_read_what_was_written_is_the_same(order: Order) -> None:
    writer = PcapngWriter(order)
    data = writer.header("test", "a capture") + writer.interface("eth0", description="left")
    data += writer.packet(b"one", TIME, direction=INBOUND, comment="first")
    data += writer.interface("tun0", LINKTYPE_RAW)
    data += writer.packet(b"twotwo", TIME + 1, 1, direction=OUTBOUND, original_length=99)
    data += writer.packet(b"", TIME + 2)
    reader = Reader()
    reader.feed(data)
    reader.finish()
    assert list(reader) == [
        Record(0, TIME, b"one", 3, LINKTYPE_ETHERNET, INBOUND, ("first",)),
        Record(1, TIME + 1, b"twotwo", 99, LINKTYPE_RAW, OUTBOUND),
        Record(0, TIME + 2, b"", 0, LINKTYPE_ETHERNET),
    ]
    assert reader.format == "pcapng"
    assert [(i.name, i.description, i.link_type, i.ticks) for i in reader.interfaces] == [
        ("eth0", "left", LINKTYPE_ETHERNET, 10**9), ("tun0", "", LINKTYPE_RAW, 10**9),
    ]


def test_record_direction_is_the_low_bits_of_its_flags() -> None:
    flags = option(2, struct.pack("<I", 0xFFFF0001))
    record = read(section() + interface() + enhanced(0, 1, b"x", flags))[0]
    assert (record.direction, record.flags) == (INBOUND, 0xFFFF0001)


@pytest.mark.parametrize(("resolution", "ticks", "time"), [
    (None, 5, 5_000), (b"\x06", 5, 5_000), (b"\x09", 5, 5), (b"\x03", 5, 5_000_000),
    (b"\x00", 5, 5_000_000_000), (b"\x8a", 1024, 1_000_000_000), (b"\x8a", 1, 976_562),
    (b"\x0c", 5999, 5), (b"\x7f", 5, 0), (b"\xff", 5, 0),
])
def test_read_clock_of_any_resolution_gives_nanoseconds(
    resolution: bytes | None, ticks: int, time: int
) -> None:
    options = b"" if resolution is None else option(9, resolution)
    assert read(section() + interface(options) + enhanced(0, ticks, b"x"))[0].time == time


def test_read_clock_offset_is_added() -> None:
    options = option(9, b"\x09") + option(14, struct.pack("<q", 1_000))
    assert read(section() + interface(options) + enhanced(0, 7, b"x"))[0].time == 1_000_000_000_007
    options = option(14, struct.pack("<q", -1))
    assert read(section() + interface(options) + enhanced(0, 0, b"x"))[0].time == -1_000_000_000


@pytest.mark.parametrize("order", ["<", ">"])
def test_read_simple_packets_are_of_the_first_interface(order: str) -> None:
    data = section(order) + interface(b"", LINKTYPE_RAW, 4, order) + interface(b"", 1, 0, order)
    data += block(3, struct.pack(order + "I", 3) + b"abc\0", order)
    data += block(3, struct.pack(order + "I", 9) + b"abcd", order)
    assert read(data) == [Record(0, 0, b"abc", 3, LINKTYPE_RAW), Record(0, 0, b"abcd", 9, LINKTYPE_RAW)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_read_obsolete_packet_block_is_a_packet(order: str) -> None:
    body = struct.pack(order + "HHIIII", 1, 7, 1, 2, 3, 100) + b"abc\0" + option(1, b"old", order)
    data = section(order) + interface(order=order) + interface(order=order) + block(2, body, order)
    time = ((1 << 32) + 2) * 1000
    assert read(data) == [Record(1, time, b"abc", 100, LINKTYPE_ETHERNET, 0, ("old",))]


def test_read_sections_of_both_byte_orders_have_interfaces_of_their_own() -> None:
    data = section("<") + interface() + enhanced(0, 1, b"a")
    data += section(">") + interface(b"", LINKTYPE_RAW, 0, ">") + enhanced(0, 2, b"b", b"", ">")
    assert read(data) == [
        Record(0, 1_000, b"a", 1, LINKTYPE_ETHERNET), Record(1, 2_000, b"b", 1, LINKTYPE_RAW),
    ]
    with pytest.raises(CaptureError, match="interface 0, which is not described"):
        read(data + section() + enhanced(0, 1, b"c"))


def test_read_unknown_blocks_are_skipped_however_long() -> None:
    unknown = block(0xBAD, bytes(3_000_000))
    data = section() + unknown + interface() + block(5, bytes(24)) + enhanced(0, 1, b"x")
    reader = Reader()
    held = 0
    for at in range(0, len(data), 65536):
        reader.feed(data[at : at + 65536])
        held = max(held, len(reader._buffer))
    reader.finish()
    assert [record.data for record in reader] == [b"x"]
    assert held < 100_000


def test_read_unknown_options_and_several_comments_are_taken() -> None:
    options = option(0x8000, b"vendor") + option(1, b"one") + option(1, "zwölf".encode()) + option(0, b"")
    record = read(section() + interface() + enhanced(0, 1, b"x", options + b"junk"))[0]
    assert record.comments == ("one", "zwölf")
    assert read(section() + interface() + enhanced(0, 1, b"x", option(1, b"\xff")))[0].comments == ("\ufffd",)


def test_finish_capture_cut_anywhere_says_so() -> None:
    first = section() + interface(option(2, b"eth0"))
    data = first + enhanced(0, 1, b"x") + block(5, bytes(24))
    boundaries = {len(section()), len(first), len(data) - 36, len(data)}
    for length in range(4, len(data) + 1):
        reader = Reader()
        reader.feed(data[:length])
        records = list(reader)
        assert len(records) == (length >= len(data) - 36)
        if length in boundaries:
            reader.finish()
        else:
            with pytest.raises(CaptureError, match=r"cut off after packet \d"):
                reader.finish()


def damage(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


GOOD = section() + interface() + enhanced(0, 1, b"x")
AT = len(section() + interface())


@pytest.mark.parametrize(("data", "message"), [
    (damage(GOOD, AT + 4, b"\x0b\0\0\0"), "cannot be 11 bytes"),
    (damage(GOOD, AT + 4, b"\x08\0\0\0"), "cannot be 8 bytes"),
    (damage(GOOD, AT + 4, b"\x21\0\0\0"), "cannot be 33 bytes"),
    (damage(GOOD, AT + 4, b"\xfc\xff\xff\xff"), "is over"),
    (damage(GOOD, len(GOOD) - 4, b"\0\0\0\0"), "lengths differ"),
    (damage(GOOD, AT + 8, b"\x01\0\0\0"), "interface 1, which is not described"),
    (damage(GOOD, AT + 20, b"\xff\xff\xff\xff"), "does not fit"),
    (damage(GOOD, AT + 20, b"\x05\0\0\0"), "does not fit"),
    (damage(GOOD, 8, b"\0\0\0\0"), "no byte order"),
    (damage(GOOD, 12, b"\x02"), "version 2"),
    (GOOD + block(6, b"short"[:4]), "shorter than its kind"),
    (GOOD + block(1, b""), "shorter than its kind"),
    (GOOD + block(3, b""), "shorter than its kind"),
    (GOOD + block(3, b"\xff\0\0\0"), "does not fit"),
    (GOOD + enhanced(0, 1, b"x", b"\1\0\xff\0abcd"), "option runs past"),
    (section() + block(3, b"\1\0\0\0aaaa"), "interface 0, which is not described"),
])
def test_read_damage_is_one_line_that_says_where(data: bytes, message: str) -> None:
    with pytest.raises(CaptureError, match=message) as caught:
        read(data)
    assert str(caught.value).startswith("damaged capture after packet ") and "\n" not in str(caught.value)


def test_read_more_interfaces_than_the_limit_is_damage() -> None:
    reader = Reader()
    reader.feed(section())
    many = interface() * 4096
    for _ in range(16):
        reader.feed(many)
    assert not reader.damaged and len(reader.interfaces) == 65536
    reader.feed(interface())
    with pytest.raises(CaptureError, match="more than 65536 interfaces"):
        reader.finish()


def test_writer_snap_length_cuts_and_keeps_the_original_length() -> None:
    writer = PcapngWriter()
    data = writer.header() + writer.interface("a", snap_length=4) + writer.packet(b"abcdefgh", TIME)
    record = read(data)[0]
    assert (record.data, record.original_length) == (b"abcd", 8)


def test_writer_impossible_packet_raises() -> None:
    writer = PcapngWriter()
    writer.header()
    with pytest.raises(InvalidArgument, match="interface 0 has not been described"):
        writer.packet(b"", 0)
    writer.interface()
    with pytest.raises(InvalidArgument, match="interface -1"):
        writer.packet(b"", 0, -1)
    with pytest.raises(InvalidArgument, match="at most"):
        writer.packet(bytes(MAX_RECORD + 1), 0)


def test_writer_new_section_forgets_interfaces() -> None:
    writer = PcapngWriter()
    data = writer.header() + writer.interface("a") + writer.packet(b"1", 0)
    data += writer.header()
    with pytest.raises(InvalidArgument):
        writer.packet(b"", 0)
    data += writer.interface("b") + writer.packet(b"2", 0)
    assert [(record.interface, record.data) for record in read(data)] == [(0, b"1"), (1, b"2")]


def test_writer_long_comment_is_cut_and_the_file_stays_whole() -> None:
    writer = PcapngWriter()
    data = writer.header() + writer.interface() + writer.packet(b"x", 0, comment="c" * 70_000)
    assert read(data)[0].comments == ("c" * 65_535,)
