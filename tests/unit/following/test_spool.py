"""The spool: what does not fit in memory goes to a file, comes back unchanged, and its room is used again."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from uinet.errors import SpoolError
from uinet.following.spool import CHUNK_OVERHEAD, Kept, Spool, size_class

KIB = 1024


def test_streams_come_back_whole_from_memory_and_from_the_file() -> None:
    random = Random(1)
    spool = Spool(memory=8 * KIB)
    streams = [Kept(spool) for _ in range(5)]
    sent = [b""] * 5
    for _ in range(200):
        number = random.randrange(5)
        data = random.randbytes(random.choice((1, 100, 512, 513, 4000)))
        streams[number].add(len(sent[number]), data, 1_500_000_000)
        sent[number] += data
    assert spool.in_file > 0
    for kept, expected in zip(streams, sent, strict=True):
        for _ in range(2):  # any number of times
            chunks = list(kept)
            assert b"".join(chunk.data for chunk in chunks) == expected
            assert all(chunk.length == len(chunk.data) and chunk.hole is None for chunk in chunks)
            lengths = [chunk.length for chunk in chunks]
            assert [chunk.offset for chunk in chunks] == [sum(lengths[:i]) for i in range(len(chunks))]
            assert {chunk.time for chunk in chunks} == {1.5}


def test_memory_stays_below_its_limit_and_all_of_it_is_given_back() -> None:
    spool = Spool(memory=64 * KIB)
    kept = [Kept(spool) for _ in range(10)]
    for turn in range(100):
        for stream in kept:
            stream.add(turn * KIB, bytes(KIB), 0)
    assert spool.in_memory <= 64 * KIB + 1000 * 33  # what describes the chunks stays
    assert sum(len(piece) + CHUNK_OVERHEAD for stream in kept for piece in stream.pieces) <= 64 * KIB
    del stream
    kept.clear()
    assert (spool.in_memory, spool.in_file, spool.end) == (0, 0, 0)


def test_room_of_dropped_streams_is_used_again_and_an_empty_file_has_no_size() -> None:
    spool = Spool(memory=0)
    first, second = Kept(spool), Kept(spool)
    for turn in range(10):
        first.add(turn * 4096, b"1" * 4096, 0)
        second.add(turn * 4096, b"2" * 4096, 0)
    end = spool.end
    assert end == 20 * 4096
    del first
    third = Kept(spool)
    for turn in range(10):
        third.add(turn * 4000, b"3" * 4000, 0)
    assert spool.end == end
    assert b"".join(chunk.data for chunk in second) == b"2" * 40960
    assert b"".join(chunk.data for chunk in third) == b"3" * 40000
    del second, third
    assert spool._file is not None
    assert os.fstat(spool._file.fileno()).st_size == 0


def test_file_has_no_name(tmp_path: Path) -> None:
    spool = Spool(memory=0, directory=str(tmp_path))
    kept = Kept(spool)
    kept.add(0, b"x", 0)
    assert spool.in_file == 512
    assert list(tmp_path.iterdir()) == []
    assert [chunk.data for chunk in kept] == [b"x"]


def test_what_is_over_the_limit_is_a_hole_that_says_overrun() -> None:
    spool = Spool(memory=0, limit=1024)
    kept = Kept(spool)
    kept.add(0, b"a" * 512, 10)
    kept.add(512, b"b" * 512, 20)
    kept.add(1024, b"c" * 100, 30)
    kept.add(1124, b"d" * 100, 40)
    kept.add_hole(1224, 10, "lost", 50)
    assert [(chunk.offset, chunk.length, chunk.hole) for chunk in kept] == [
        (0, 512, None), (512, 512, None), (1024, 200, "overrun"), (1224, 10, "lost"),
    ]
    assert kept.overruns == [(1024, 200, "overrun")]


def test_overruns_that_are_apart_are_two() -> None:
    spool = Spool(memory=0, limit=512)
    kept, other = Kept(spool), Kept(spool)
    other.add(0, b"o", 0)
    kept.add(0, b"a", 0)
    del other
    kept.add(1, b"b", 0)
    kept.add(2, b"c", 0)
    assert kept.overruns == [(0, 1, "overrun"), (2, 1, "overrun")]
    assert [chunk.data for chunk in kept] == [b"", b"b", b""]


def test_holes_of_one_reason_side_by_side_are_one() -> None:
    kept = Kept(Spool())
    kept.add_hole(0, 5, "lost", 1)
    kept.add_hole(5, 5, "lost", 2)
    kept.add_hole(10, 5, "end", 3)
    kept.add_hole(1 << 40, 1 << 41, "end", 4)
    assert [(chunk.offset, chunk.length, chunk.hole) for chunk in kept] == [
        (0, 10, "lost"), (10, 5, "end"), (1 << 40, 1 << 41, "end"),
    ]


def test_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes, place: int) -> int:
        raise OSError(28, "No space left on device")

    kept = Kept(Spool(memory=0, directory=str(tmp_path)))
    monkeypatch.setattr("uinet.following.spool.os.pwrite", full)
    with pytest.raises(SpoolError) as caught:
        kept.add(0, b"x", 0)
    assert str(caught.value) == f"{tmp_path}: no room for streams that wait to be read: No space left on device"


def test_writes_that_stop_short_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = os.pwrite
    monkeypatch.setattr(
        "uinet.following.spool.os.pwrite", lambda descriptor, data, place: really(descriptor, data[:100], place)
    )
    kept = Kept(Spool(memory=0, directory=str(tmp_path)))
    data = Random(2).randbytes(1000)
    kept.add(0, data, 0)
    assert [chunk.data for chunk in kept] == [data]


@pytest.mark.parametrize(("length", "size"), [(1, 512), (512, 512), (513, 1024), (65536, 65536), (65537, 131072)])
def test_pieces_of_the_file_are_powers_of_two(length: int, size: int) -> None:
    assert 1 << size_class(length) == size
