"""Damaged captures through the follower, see `copies`: what it promises its sink holds for any input at all."""

from __future__ import annotations

import gc
import sys
import tracemalloc

import pytest

import uinet
from tests.fuzz.copies import LATEST, SECOND, attack, shared
from tests.unit.passive.copy import EPOCH, Copy, Recorder, Tally, pattern
from uinet.following import Handler, deliver
from uinet.following.budget import CONNECTION, split
from uinet.passive.clock import PacketClock
from uinet.wire import build
from uinet.wire.pcap import PcapWriter


@pytest.mark.parametrize("begin", range(0, 800, 100))
def test_any_damage_is_told_of_in_order(begin: int) -> None:
    files = shared()
    for seed in range(begin, begin + 100):
        attack(seed, files)


@pytest.mark.parametrize("seed", range(0, 40, 4))
def test_the_same_capture_gives_the_same_calls(seed: int) -> None:
    assert attack(seed, [], every=50) == attack(seed, [], every=50)


def test_nothing_is_left_of_what_has_been_followed() -> None:
    def run() -> None:
        for seed in range(60):
            attack(seed, [], every=1000)

    run()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(3):
        run()
    gc.collect()
    assert sys.getallocatedblocks() - before < 60  # less than one for three captures


def small_capture() -> bytes:
    writer = PcapWriter()
    frames = [build.tcp("10.0.0.1", "10.0.0.2", 1000 + n, 80, flags, seq, 0, payload=data)
              for n in range(50) for flags, seq, data in (("S", 9, b""), ("A", 10, b"abc"))]
    return writer.header() + b"".join(writer.packet(frame, 10**9 + n) for n, frame in enumerate(frames))


class Fails(Handler):
    def chunk(self, *_: object) -> None:
        raise LookupError


def test_nothing_is_left_of_a_capture_whose_handler_failed() -> None:
    capture = small_capture()

    def run() -> None:
        with pytest.raises(LookupError):
            deliver(capture, Fails())
        next(iter(uinet.follow(capture)))

    def many() -> int:
        for _ in range(20):
            run()
        for _ in range(3):
            gc.collect()
        return sys.getallocatedblocks()

    many()
    before = many()
    assert many() - before < 200


# what was found so


@pytest.mark.parametrize("midstream", [False, True])
def test_what_a_stream_without_a_beginning_holds_is_within_the_budget(midstream: bool) -> None:
    """All at one time stamp: no deadline helps."""
    sink = Recorder()
    copy = Copy(sink=sink, held=20_000, midstream=midstream, step=0)
    for number in range(500):
        copy.client(bytes(1000), at=2000 * number)
        assert copy.wire.follower.held <= 20_000
    copy.finish()


def test_urgent_bytes_that_wait_are_within_the_budget() -> None:
    copy = Copy(held=20_000, urgent="hole").handshake()
    for number in range(500):
        copy.client(b"x", at=10 + 2 * number, urgent=1, flags="U.")
        assert copy.wire.follower.held <= 20_000
    copy.finish()
    assert "budget" in copy.one.notes


def held_pieces(copy: Copy) -> int:
    gap = copy.all[0].conn.client.gap
    return 0 if gap is None else gap.count


def test_segments_over_many_held_ones_make_them_one() -> None:
    """Else each of them would cost as much as thousands of others."""
    copy = Copy().handshake()
    text = pattern(3000)
    for at in range(1, 1461, 2):
        copy.client(text[at : at + 1], at=at)
    assert held_pieces(copy) == 730
    for _ in range(2):
        copy.client(text[1:1461], at=1)
    assert held_pieces(copy) == 1
    copy.client(text[:1], at=0)
    copy.client(text[1461:], at=1461)
    copy.server_ack()
    copy.goodbye().whole(text)


@pytest.mark.parametrize("overlap", ["first", "last", "linux"])
def test_pieces_that_never_become_one_are_not_waited_with_for_ever(overlap: str) -> None:
    """Every second byte is there, what is between them the snap length has cut."""
    copy = Copy(overlap=overlap).handshake()
    for at in range(1, 1461, 2):
        copy.client(b"x", at=at)
    for _ in range(20):
        copy.client(b"", at=1, cut=1460, forged=True)
    assert held_pieces(copy) < 10
    copy.finish()
    assert copy.one.client.present == b"x" * 730
    assert copy.one.client.holes[0] == (0, 1, "budget")


@pytest.mark.parametrize(("overlap", "step"), [("first", 1), ("last", 1), ("linux", -1)])
def test_a_small_part_of_a_segment_does_not_keep_all_of_it(overlap: str, step: int) -> None:
    """Each segment is one byte further: of all but one of them one byte counts."""
    tracemalloc.start()
    try:
        copy = Copy(overlap=overlap, sink=Tally(), deadline=1000).handshake()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1000):
            copy.client(bytes(8000), at=2000 + step * number)
        kept = tracemalloc.get_traced_memory()[0] - before
        assert kept < copy.wire.follower.held * 3 + 200_000
    finally:
        tracemalloc.stop()


def test_the_holes_of_many_streams_are_bounded() -> None:
    copy = Copy(holes=4, connections=30)
    for number in range(29):
        other = copy.other(cport=50_000 + number).handshake()
        for at in range(5):
            other.client(b"x", at=1 + 2 * at)
        other.wait(6)
    follower = copy.wire.follower
    records = [record.conn.client for record in copy.all]
    assert follower.listed == sum(len(half.holes) for half in records) == 16 * 4 + 30
    assert records[-1].hole_count > len(records[-1].holes)
    copy.finish()
    assert follower.listed == 0


def test_an_urgent_byte_before_the_beginning_is_known_waits() -> None:
    copy = Copy(urgent="hole", midstream=True, cisn=99)
    copy.client(b"!def", at=3, urgent=1, flags="U.")
    copy.client(b"abc", at=0)
    copy.finish()
    assert copy.one.client.events == [("data", 0, b"abc"), ("hole", 3, 1, "urgent"), ("data", 4, b"def")]


def test_gaps_that_hold_nothing_leave_the_budget_to_others() -> None:
    copy = Copy(held=10_000)
    for number in range(60):
        other = copy.other(cport=50_000 + number).handshake()
        other.client(bytes(10), missed=True)
        other.server_ack()  # ahead of what the copy has
    copy.c.port += 1000
    copy.handshake()
    copy.client(b"abc", missed=True)
    copy.client(b"def")
    copy.client(b"abc", at=0)
    copy.finish()
    assert copy.all[-1].client.data == b"abcdef"
    assert copy.all[-1].client.holes == []


def test_a_conflict_of_nobodys_is_not_told() -> None:
    told = []

    class Sink(Recorder):
        def conflict(self, conn: object, half: object, offset: int, length: int, time: int) -> None:
            told.append(conn)

    copy = Copy(sink=Sink())
    copy.client(b"abc", at=5)
    copy.client(b"xyz", at=5)
    copy.pause(1)
    copy.finish()
    assert told == [] and copy.all == []
    assert copy.stats["conflicts"] == 1


def test_the_clock_stays_within_64_bits() -> None:
    clock = PacketClock()
    before = clock.tick(EPOCH)
    for stamp in (LATEST, 0, LATEST, -LATEST, LATEST, EPOCH):
        for _ in range(8):
            now = clock.tick(stamp)
            assert before <= now < (1 << 63) - 2 * 10**9 * SECOND
            before = now


def test_what_was_not_believed_at_the_end_is_forgotten() -> None:
    copy = Copy().handshake()
    copy.client(b"abc", time=10.0**9)
    copy.finish()
    assert copy.wire.follower.doubted == []


def test_connections_whose_streams_are_digested_are_fewer_for_the_same_memory() -> None:
    plain, digested = split(64 << 20).limits, split(64 << 20, digests=True).limits
    assert plain.connections == (32 << 20) // CONNECTION
    assert digested.connections == (32 << 20) // (CONNECTION + 768)
