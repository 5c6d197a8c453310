"""Queues of bytes: whatever is put in comes out in order, and what is kept by reference is what should be."""

from __future__ import annotations

import random
import sys

import pytest

from uinet.tcp.buffer import ByteQueue


def kept(queue: ByteQueue, data: bytes, offset: int, length: int) -> bool:
    """Appends, and says whether the queue refers to `data` afterwards."""
    before = sys.getrefcount(data)
    queue.append(data, offset, length)
    return sys.getrefcount(data) > before


@pytest.mark.parametrize(
    ("whole", "offset", "length", "refers"),
    [(100, 0, 100, True), (166, 66, 100, True), (300, 66, 1, False), (257, 256, 1, True), (4160, 64, 4096, True),
     (8192, 0, 4096, True), (8193, 0, 4096, False), (65226, 66, 65160, True)],
)
def test_piece_that_is_alone_is_referred_to_unless_it_keeps_much_alive(
    whole: int, offset: int, length: int, refers: bool
) -> None:
    data = random.Random(whole).randbytes(whole)
    queue = ByteQueue()
    before = sys.getrefcount(data)
    assert kept(queue, data, offset, length) is refers
    assert queue.read(1 << 20) == data[offset : offset + length]
    assert sys.getrefcount(data) == before  # nothing refers to it any more


def test_small_pieces_behind_another_are_copied() -> None:
    queue = ByteQueue()
    pieces = [bytes([number]) * 10 for number in range(100)]
    assert [kept(queue, piece, 0, 10) for piece in pieces] == [True] + [False] * 99
    assert queue.read(1 << 20) == b"".join(pieces)


def test_lone_piece_is_read_as_the_object_it_is() -> None:
    data = random.Random(1).randbytes(500)
    queue = ByteQueue()
    queue.append(data, 0, len(data))
    assert queue.read_piece(1000) is data
    assert queue.length == 0


def test_bytearray_is_copied() -> None:
    data = bytearray(b"changes")
    queue = ByteQueue()
    queue.append(data, 0, len(data))
    data[:] = b"CHANGED"
    assert queue.read(10) == b"changes"


@pytest.mark.parametrize("seed", range(40))
def test_comes_out_as_it_went_in(seed: int) -> None:
    rng = random.Random(seed)
    queues, models = [ByteQueue(), ByteQueue()], [bytearray(), bytearray()]
    for _ in range(300):
        at = rng.randrange(2)
        queue, model = queues[at], models[at]
        assert queue.length == len(model)
        what = rng.randrange(7)
        count = rng.randint(0, len(model))
        if what < 2:
            data = rng.randbytes(rng.choice((1, 10, 100, 600, 5000, 20000)))
            offset = rng.randint(0, len(data))
            queue.append(data if rng.random() < 0.8 else bytearray(data), offset, len(data) - offset)
            model += data[offset:]
        elif what == 2:
            queue.drop(count)
            del model[:count]
        elif what == 3 and model:
            position = rng.randrange(len(model))
            length = rng.randint(1, len(model) - position)
            queue.locate(position, length)
            found = queue.source[queue.source_offset : queue.source_offset + length]
            assert found == model[position : position + length] == b"".join(queue.pieces(position, length))
        elif what == 4:
            read = queue.read(count) if rng.random() < 0.5 else queue.read_piece(count)
            assert read == model[: len(read)]
            assert len(read) == count or 0 < len(read) < count
            del model[: len(read)]
        elif what == 5:
            target = bytearray(count)
            assert queue.read_into(memoryview(target)) == count
            assert target == model[:count]
            del model[:count]
        else:
            queue.move(queues[1 - at], count)
            models[1 - at] += model[:count]
            del model[:count]
    for queue, model in zip(queues, models, strict=True):
        assert queue.read(1 << 30) == model
