from __future__ import annotations

import struct
from typing import Literal

import pytest

from uinet.errors import CaptureError, InvalidArgument
from uinet.wire.capture import (
    INBOUND,
    LINKTYPE_ETHERNET,
    LINKTYPE_LINUX_SLL,
    LINKTYPE_LINUX_SLL2,
    LINKTYPE_LOOP,
    LINKTYPE_NULL,
    LINKTYPE_RAW,
    MAX_RECORD,
    CaptureInterface,
    Record,
    decapsulate,
)
from uinet.wire.pcap import PcapWriter, Reader, read

TIME = 1_700_000_000_123_456_789
ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")


def capture(*packets: bytes, order: Literal["little", "big"] = "little", nanoseconds: bool = True) -> bytes:
    writer = PcapWriter(nanoseconds=nanoseconds, byte_order=order)
    return writer.header() + b"".join(writer.packet(packet, TIME + at) for at, packet in enumerate(packets))


@pytest.mark.parametrize("order", ORDERS)
def test_read_nanosecond_capture_keeps_every_nanosecond(order: Literal["little", "big"]) -> None:
    assert read(capture(b"one", b"", b"three", order=order)) == [
        Record(0, TIME, b"one", 3, LINKTYPE_ETHERNET),
        Record(0, TIME + 1, b"", 0, LINKTYPE_ETHERNET),
        Record(0, TIME + 2, b"three", 5, LINKTYPE_ETHERNET),
    ]


@pytest.mark.parametrize("order", ORDERS)
def test_read_microsecond_capture_rounds_down(order: Literal["little", "big"]) -> None:
    data = capture(b"one", order=order, nanoseconds=False)
    assert data[:4] == (b"\xa1\xb2\xc3\xd4" if order == "big" else b"\xd4\xc3\xb2\xa1")
    assert [record.time for record in read(data)] == [TIME // 1000 * 1000]


def test_reader_interface_tells_link_type_and_snap_length() -> None:
    reader = Reader()
    reader.feed(PcapWriter(LINKTYPE_RAW, 96).header())
    reader.finish()
    assert reader.format == "pcap"
    assert reader.interfaces == [CaptureInterface(LINKTYPE_RAW, 96, ticks=1_000_000_000)]


def test_reader_link_type_with_fcs_bits_is_still_known() -> None:
    data = bytearray(capture(b"x"))
    data[20:24] = struct.pack("<I", 0x5400_0001)
    assert read(bytes(data))[0].link_type == LINKTYPE_ETHERNET


def test_reader_fed_byte_by_byte_gives_each_record_as_it_is_whole() -> None:
    data = capture(b"one", b"three")
    reader = Reader()
    arrived = []
    for at in range(len(data)):
        reader.feed(data[at : at + 1])
        arrived += [(at + 1, record.data) for record in reader]
    reader.finish()
    assert arrived == [(24 + 16 + 3, b"one"), (len(data), b"three")]
    assert reader.count == 2


def test_finish_capture_cut_anywhere_says_so_and_keeps_what_came_before() -> None:
    data = capture(b"one", b"three")
    whole = {24: 0, 43: 1, len(data): 2}
    for length in range(len(data) + 1):
        reader = Reader()
        reader.feed(data[:length])
        records = list(reader)
        if length in whole:
            reader.finish()
            assert len(records) == whole[length]
        else:
            with pytest.raises(CaptureError) as caught:
                reader.finish()
            assert "\n" not in str(caught.value)
            assert len(records) == (1 if length > 43 else 0)


@pytest.mark.parametrize(("data", "message"), [
    (b"", "an empty file is no capture"),
    (b"\xa1\xb2", "not a capture file"),
    (b"GET / HTTP/1.1", "not a capture file: it begins with 47455420"),
    (b"\x1f\x8b\x08\x00", "a compressed capture: decompress it first"),
    (b"\x28\xb5\x2f\xfd", "a compressed capture: decompress it first"),
])
def test_read_what_is_no_capture_says_what_it_is(data: bytes, message: str) -> None:
    with pytest.raises(CaptureError) as caught:
        read(data)
    assert str(caught.value) == message


def test_read_unknown_version_is_refused() -> None:
    data = bytearray(capture(b"one"))
    data[4] = 3
    with pytest.raises(CaptureError, match=r"pcap version 3\.4 is not known"):
        read(bytes(data))


@pytest.mark.parametrize("length", [MAX_RECORD + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_reader_impossible_record_length_is_damage_at_once(length: int) -> None:
    reader = Reader()
    reader.feed(capture(b"one") + struct.pack("<IIII", 1, 2, length, length))
    assert reader.damaged
    assert [record.data for record in reader] == [b"one"]
    reader.feed(bytes(1000))
    assert list(reader) == []
    with pytest.raises(CaptureError, match=f"after packet 1, at byte 43: a packet of {length} bytes"):
        reader.finish()


def test_reader_longest_record_is_read() -> None:
    packet = bytes(MAX_RECORD)
    assert read(capture(packet))[0].data == packet


def test_writer_snap_length_cuts_and_keeps_the_original_length() -> None:
    writer = PcapWriter(snap_length=4)
    record = read(writer.header() + writer.packet(b"abcdefgh", TIME))[0]
    assert (record.data, record.original_length, record.truncated) == (b"abcd", 8, True)
    record = read(writer.header() + writer.packet(b"ab", TIME, original_length=99))[0]
    assert (record.data, record.original_length) == (b"ab", 99)


def test_writer_what_the_format_cannot_hold_raises() -> None:
    writer = PcapWriter()
    for data, time in ((bytes(MAX_RECORD + 1), 0), (b"", -1), (b"", (1 << 32) * 1_000_000_000)):
        with pytest.raises(InvalidArgument):
            writer.packet(data, time)


def test_writer_takes_what_pcapng_takes_and_loses_it() -> None:
    writer = PcapWriter()
    data = writer.header() + writer.packet(b"x", TIME, 3, direction=INBOUND, comment="lost")
    assert read(data) == [Record(0, TIME, b"x", 1, LINKTYPE_ETHERNET)]


IPV4 = b"\x45" + bytes(19)
IPV6 = b"\x60" + bytes(39)


@pytest.mark.parametrize(("link_type", "data", "expected"), [
    (LINKTYPE_ETHERNET, b"frame", (2, b"frame")),
    (LINKTYPE_RAW, IPV4, (3, IPV4)),
    (12, IPV6, (3, IPV6)),
    (LINKTYPE_RAW, b"\x55junk", None),
    (LINKTYPE_RAW, b"", None),
    (LINKTYPE_NULL, b"\x02\0\0\0" + IPV4, (3, IPV4)),
    (LINKTYPE_LOOP, b"\0\0\0\x1e" + IPV6, (3, IPV6)),
    (LINKTYPE_NULL, b"\x02\0", None),
    (LINKTYPE_LINUX_SLL, bytes(14) + b"\x08\x00" + IPV4, (3, IPV4)),
    (LINKTYPE_LINUX_SLL, bytes(14) + b"\x86\xdd" + IPV6, (3, IPV6)),
    (LINKTYPE_LINUX_SLL, bytes(14) + b"\x08\x06" + IPV4, None),
    (LINKTYPE_LINUX_SLL, bytes(15), None),
    (LINKTYPE_LINUX_SLL2, b"\x08\x00" + bytes(18) + IPV4, (3, IPV4)),
    (LINKTYPE_LINUX_SLL2, bytes(19), None),
    (105, IPV4, None),
])
def test_decapsulate_finds_the_packet_or_says_none(
    link_type: int, data: bytes, expected: tuple[int, bytes] | None
) -> None:
    assert decapsulate(link_type, data) == expected
