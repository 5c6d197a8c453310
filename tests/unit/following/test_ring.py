"""The blocks of a packet ring, made by hand."""

from __future__ import annotations

import struct
import sys

import pytest

from tests.unit.following.recorder import Got, Recorder
from tests.unit.following.test_filtering import needs_libpcap
from uinet.following.filtering import Filter
from uinet.following.ring import RingWalk

CSUM, VLAN, TPID = 8, 16, 64
FRAME = b"\xff" * 6 + b"\x02\0\0\0\0\1" + b"\x08\x00" + b"payload"
HEADER = 48


def packet(
    data: bytes, *, following: int | None = None, time: tuple[int, int] = (5, 7), length: int | None = None,
    status: int = 0, tci: int = 0, tpid: int = 0, kind: int = 0, mac: int = 82, captured: int | None = None,
) -> bytes:
    """A packet with its header; `following`: where the next one is, if not behind this one."""
    here = bytes(mac - 68) + data
    here += bytes(-len(here) % 16)
    head = struct.pack(
        "=IIIIIIHHIIHHQ", 68 + len(here) if following is None else following, *time,
        len(data) if captured is None else captured, len(data) if length is None else length, status, mac, mac + 14, 0,
        tci, tpid, 0, 0,
    )
    return head + struct.pack("=HHiHBB8s", 17, 0x300, 3, 1, kind, 6, bytes(8)) + here


def block(*packets: bytes, count: int | None = None, first: int = HEADER) -> bytes:
    body = b"".join(packets)
    number = len(packets) if count is None else count
    return struct.pack("=IIIIIIQQQ", 3, 48, 1, number, first, HEADER + len(body), 1, 0, 0) + body


def walked(data: bytes, *, loopback: bool = False, filter: Filter | None = None) -> tuple[Recorder, RingWalk]:
    recorder, walk = Recorder(), RingWalk(1, filter, loopback)
    walk.walk(recorder, data)
    assert walk.passed == len(recorder.got)
    return recorder, walk


def test_packets_lie_in_the_block() -> None:
    data = block(packet(FRAME), packet(b"x" * 99, time=(1_700_000_000, 999_999_999), length=1514), packet(b""))
    recorder, walk = walked(data)
    assert recorder.got == [
        Got(1, FRAME, 21, 5_000_000_007), Got(1, b"x" * 99, 1514, 1_700_000_000_999_999_999),
        Got(1, b"", 0, 5_000_000_007),
    ]
    assert all(held is data for held in recorder.lay_in)
    assert (walk.count, walk.total, walk.unfinished, walk.time) == (3, 120, 0, 5_000_000_007)


@pytest.mark.parametrize(("status", "tci", "tpid", "tag"), [
    (VLAN, 100, 0, b"\x81\x00\x00\x64"), (VLAN, 0xFFFF, 0x88A8, b"\x81\x00\xff\xff"),
    (VLAN | TPID, 0xE001, 0x88A8, b"\x88\xa8\xe0\x01"), (VLAN | TPID, 0, 0x9100, b"\x91\x00\x00\x00"),
    (TPID, 5, 0x88A8, b""), (0, 5, 0x8100, b""),
])
def test_the_tag_that_was_taken_out_is_put_back(status: int, tci: int, tpid: int, tag: bytes) -> None:
    data = block(packet(FRAME, status=status, tci=tci, tpid=tpid, length=1500), packet(FRAME))
    recorder, walk = walked(data)
    whole = FRAME[:12] + tag + FRAME[12:]
    assert recorder.got == [Got(1, whole, 1500 + len(tag), 5_000_000_007), Got(1, FRAME, 21, 5_000_000_007)]
    assert len(recorder.lay_in[0]) == len(whole) if tag else recorder.lay_in[0] is data
    assert walk.total == len(whole) + len(FRAME)


def test_a_tag_of_a_packet_too_short_for_one_is_left_out() -> None:
    recorder, _ = walked(block(packet(FRAME[:11], status=VLAN, tci=5), packet(FRAME[:12], status=VLAN, tci=5)))
    assert recorder.packets == [FRAME[:11], FRAME[:12] + b"\x81\0\0\5"]


def test_unfinished_checksums_are_counted() -> None:
    _, walk = walked(block(packet(FRAME, status=CSUM), packet(FRAME, status=CSUM | VLAN, tci=3), packet(FRAME)))
    assert walk.unfinished == 2


def test_what_goes_out_is_passed_over_on_the_loopback_only() -> None:
    data = block(packet(b"out", kind=4), packet(b"in", kind=0), packet(b"broadcast", kind=1))
    assert walked(data)[0].packets == [b"out", b"in", b"broadcast"]
    recorder, walk = walked(data, loopback=True)
    assert recorder.packets == [b"in", b"broadcast"]
    assert walk.count == 2


@pytest.mark.parametrize(("data", "count"), [
    (block(), 0),
    (block(packet(FRAME), packet(FRAME), count=9), 2),
    (block(packet(FRAME), packet(FRAME), count=1), 1),
    (block(packet(FRAME, following=0), packet(FRAME)), 1),
    (block(packet(FRAME, following=0xFFFFFFFF), packet(FRAME)), 1),
    (block(packet(FRAME), packet(FRAME, captured=99)), 1),
    (block(packet(FRAME), packet(FRAME, captured=0xFFFFFFFF)), 1),
    (block(packet(FRAME), packet(FRAME, mac=0xFF00)[:100]), 1),
    (block(packet(FRAME), first=0), 0),
    (block(packet(FRAME), first=0xFFFFFFFF), 0),
    (block(packet(FRAME), packet(FRAME)[:60]), 1),
])
def test_a_block_that_no_kernel_writes_is_left_where_it_is_wrong(data: bytes, count: int) -> None:
    assert len(walked(data)[0].got) == count


@needs_libpcap
def test_filter_sees_the_packet_as_it_was_on_the_wire() -> None:
    data = block(packet(FRAME, status=VLAN, tci=100), packet(FRAME), packet(FRAME, status=VLAN, tci=101))
    recorder, walk = walked(data, filter=Filter("vlan 100"))
    assert recorder.packets == [FRAME[:12] + b"\x81\0\0\x64" + FRAME[12:]]
    assert recorder.frames == walk.count == 3


def test_the_test_writes_in_this_machines_order() -> None:
    assert struct.pack("=I", 1) == (b"\1\0\0\0" if sys.byteorder == "little" else b"\0\0\0\1")
