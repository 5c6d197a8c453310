"""Two ends of a pair, without I/O: whatever a stream is, however it is split, and whatever a store has lost."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uinet.codecs import encoders
from uinet.codecs.constants import CREDIT, LEAST, MOST, PIECE
from uinet.codecs.session import Session
from uinet.codecs.store import MemoryStore, Store, digest_of
from uinet.codecs.wire import (
    CHUNK,
    CREDIT_FRAME,
    DATA,
    END,
    HELLO,
    NEED,
    PART,
    REFS,
    REPAIR,
    ZSTD_DATA,
    CodecError,
    frame,
    hello,
    reference,
)

CODECS = ("plain", "zstd", "dedup")
LIMIT = 64 << 20


def store() -> MemoryStore:
    return MemoryStore(LIMIT)


class Pair:
    """Ends `a` and `b`; what each reads is in `got`."""

    def __init__(self, codec: str = "dedup", stores: tuple[Store, Store] | None = None, back: str = "") -> None:
        first, second = stores if stores is not None else (store(), store())
        self.a = Session(codec, first)
        self.b = Session(back or codec, second)
        self.got: dict[Session, bytearray] = {self.a: bytearray(), self.b: bytearray()}

    def move(self, *, read: bool = True, sizes: Iterator[int] | None = None) -> int:
        """Moves bytes until there are none; how many went from a to b."""
        total = 0
        while True:
            there, back = self.a.take(), self.b.take()
            total += len(there)
            for data, to in ((there, self.b), (back, self.a)):
                at = 0
                while at < len(data):
                    size = next(sizes) if sizes is not None else len(data)
                    to.receive(data[at : at + size])
                    at += size
            seen = False
            for end in (self.a, self.b) if read else ():
                while end.readable:
                    self.got[end] += end.read()
                    seen = True
            if not seen and not there and not back:
                return total

    def transfer(self, data: bytes, piece: int = PIECE, *, read: bool = True) -> int:
        """Sends `data` from a to b; how many bytes went that way."""
        total = 0
        at = 0
        while at < len(data):
            taken = self.a.send(data[at : at + piece])
            total += self.move(read=read)
            at += taken
        return total

    def end(self) -> None:
        """Ends both streams."""
        self.a.end()
        self.b.end()
        self.move()
        assert self.a.finished and self.b.finished


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("codec", CODECS)
@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 3), st.booleans()), max_size=12),
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=10), seed=st.integers(0, 3),
)
def test_any_stream_in_any_pieces_arrives(
    codec: str, pieces: list[tuple[int, int, bool]], sizes: list[int], seed: int
) -> None:
    pair = Pair(codec)
    rng = random.Random(seed)
    cycle = iter(lambda: rng.choice(sizes), None)
    sent = bytearray()
    for size, kind, flush in pieces:
        data = bytes(size) if kind == 0 else noise(size, kind)
        assert pair.a.send(data) == size
        sent += data
        if flush:
            pair.a.flush()
            pair.move(sizes=cycle)
            assert pair.got[pair.b] == sent  # nothing is held back
    pair.end()
    assert pair.got[pair.b] == sent and pair.got[pair.a] == b""


@pytest.mark.parametrize("codec", CODECS)
def test_both_directions_and_their_ends_are_apart(codec: str) -> None:
    pair = Pair(codec)
    pair.a.send(b"question")
    pair.a.end()
    pair.move()
    assert pair.b.at_end and pair.got[pair.b] == b"question" and not pair.b.finished and not pair.a.finished
    pair.b.send(b"answer" * 1000)
    pair.b.end()
    pair.move()
    assert pair.got[pair.a] == b"answer" * 1000 and pair.a.finished and pair.b.finished


def test_ends_may_use_different_codecs() -> None:
    pair = Pair("dedup", back="zstd")
    pair.a.send(b"x" * 30000)
    pair.b.send(b"y" * 30000)
    pair.end()
    assert pair.got == {pair.a: b"y" * 30000, pair.b: b"x" * 30000}


def test_zstd_saves() -> None:
    pair = Pair("zstd")
    assert pair.transfer(b"some text that repeats itself\n" * 10000) < 3000


def test_compressor_that_is_used_again_knows_nothing_of_before() -> None:
    secret = noise(5000)
    sizes = []
    for _ in range(3):
        pair = Pair("zstd")
        sizes.append(pair.transfer(secret))
        pair.end()
        assert pair.got[pair.b] == secret
        for end in (pair.a, pair.b):
            end.close()
    assert encoders.SPARE[3] and len(set(sizes)) == 1 and sizes[0] > 5000


@pytest.mark.slow
def test_second_time_costs_little() -> None:
    stores = store(), store()
    data = noise(3 << 20)
    assert 0.97 * len(data) < Pair(stores=stores).transfer(data) < 1.01 * len(data)
    for piece in (PIECE, 1000, 12345):
        pair = Pair(stores=stores)
        assert pair.transfer(data, piece) < 0.02 * len(data)
        pair.end()
        assert pair.got[pair.b] == data


def test_what_is_inserted_moves_nothing_else() -> None:
    stores = store(), store()
    data = noise(2 << 20)
    Pair(stores=stores).transfer(data)
    changed = data[: 1 << 20] + b"inserted" + data[1 << 20 :]
    pair = Pair(stores=stores)
    assert pair.transfer(changed) < 0.06 * len(data)
    pair.end()
    assert pair.got[pair.b] == changed


def test_what_one_direction_brought_the_other_refers_to() -> None:
    pair = Pair()
    data = noise(1 << 20)
    pair.transfer(data)
    pair.b.send(data)
    pair.move()
    pair.end()
    assert pair.got[pair.a] == data and pair.b.tally.wire_out < 0.02 * len(data) + 200


@pytest.mark.parametrize("lost", [1, 2, 5])
def test_lost_chunks_are_repaired(lost: int) -> None:
    ours, theirs = store(), store()
    data = noise(1 << 20)
    Pair(stores=(ours, theirs)).transfer(data)
    for digest in list(theirs.chunks)[::lost]:
        theirs.size -= len(theirs.chunks.pop(digest)[1])
    pair = Pair(stores=(ours, theirs))
    pair.transfer(data)
    pair.end()
    assert pair.got[pair.b] == data and pair.b.tally.needed == pair.a.tally.repaired > 0
    again = Pair(stores=(ours, theirs))
    assert again.transfer(data) < 0.02 * len(data) and again.b.tally.needed == 0


def test_peer_with_another_store_is_not_referred_to_what_it_never_had() -> None:
    ours = store()
    data = noise(1 << 20)
    Pair(stores=(ours, store())).transfer(data)
    pair = Pair(stores=(ours, store()))
    pair.move()  # the hellos
    assert pair.transfer(data) > 0.97 * len(data)
    assert pair.b.tally.needed == 0
    pair.end()
    assert pair.got[pair.b] == data


def test_same_chunk_many_times_is_asked_for_once() -> None:
    ours, theirs = store(), store()
    data = noise(40000)
    Pair(stores=(ours, theirs)).transfer(data * 3)
    theirs.chunks.clear()
    pair = Pair(stores=(ours, theirs))
    pair.transfer(data * 20)
    pair.end()
    assert pair.got[pair.b] == data * 20 and pair.b.tally.needed < 20


@pytest.mark.parametrize("codec", CODECS)
def test_whoever_does_not_read_stops_the_sender(codec: str) -> None:
    pair = Pair(codec)
    data = noise(2 * CREDIT)
    sent = 0
    while taken := pair.a.send(data[sent : sent + PIECE]):
        sent += taken
        pair.move(read=False)
    assert sent == CREDIT and pair.a.room == 0
    pair.move()
    assert pair.a.room >= CREDIT * 3 // 4
    while sent < len(data):
        taken = pair.a.send(data[sent : sent + PIECE])
        sent += taken
        pair.move()
    pair.end()
    assert pair.got[pair.b] == data


def test_one_byte_pieces_do_not_take_forty_each() -> None:
    pair = Pair("plain")
    for _ in range(20000):
        pair.a.send(b"x")
    pair.move(read=False)
    assert pair.b.decoder is not None and len(pair.b.decoder.ready) < 10


def test_repairs_pass_while_nobody_reads() -> None:
    ours, theirs = store(), store()
    data = noise(1 << 20)
    Pair(stores=(ours, theirs)).transfer(data)
    theirs.chunks.clear()
    pair = Pair(stores=(ours, theirs))
    pair.b.send(noise(CREDIT, 5))
    pair.transfer(data, read=False)
    assert pair.b.decoder is not None and sum(map(len, pair.b.decoder.ready)) > len(data) - MOST
    pair.move()
    pair.end()
    assert pair.got[pair.b] == data


# what no sound peer sends

GREETED = hello(2, bytes(16))
CHUNK_BYTES = noise(5000)
CHUNK_DIGEST = digest_of(CHUNK_BYTES)
BAD: list[tuple[str, bytes, str]] = [
    ("HTTP", b"HTTP/1.1 400 Bad Request\r\n", "speaks no codec protocol"),
    ("version", b"uinetC\x02\x00" + bytes(16), "speaks version 2"),
    ("codec", b"uinetC\x01\x09" + bytes(16), "uses codec 9"),
    ("kind", GREETED + b"\x63\x00\x00\x00", "of kind 99"),
    ("length", GREETED + b"\x04\xff\xff\xff", "is the most"),
    ("other codec's", GREETED + frame(DATA, b"x"), "has none of"),
    ("empty part", GREETED + frame(PART, b""), "of 0 bytes"),
    ("empty chunk", GREETED + frame(CHUNK, b""), "of 0 bytes"),
    ("large chunk", GREETED + frame(PART, bytes(PIECE)) + frame(CHUNK, b"x"), "65537 bytes"),
    ("behind the last", GREETED + frame(CHUNK, b"short") + frame(CHUNK, b"x"), "the last one"),
    ("references cut", GREETED + frame(REFS, b"x" * 20), "no multiple"),
    ("reference of 0", GREETED + frame(REFS, reference(bytes(16), 0)), "0 bytes"),
    ("large reference", GREETED + frame(REFS, reference(bytes(16), MOST + 1)), "65537 bytes"),
    ("short references", GREETED + frame(REFS, reference(bytes(16), 1) * 2), "the last one"),
    ("reference in a chunk", GREETED + frame(PART, b"x") + frame(REFS, reference(bytes(16), 9999)), "in the middle"),
    ("wrong length", GREETED + frame(CHUNK, CHUNK_BYTES) + frame(REFS, reference(CHUNK_DIGEST, 4000)), "5000"),
    ("repair unasked", GREETED + frame(REPAIR, b"x"), "not asked for"),
    ("need unasked", GREETED + frame(NEED, bytes(16)), "never referred to"),
    ("need cut", GREETED + frame(NEED, bytes(15)), "no multiple"),
    ("credit", GREETED + frame(CREDIT_FRAME, b"\0\0\0\1"), "never sent"),
    ("credit cut", GREETED + frame(CREDIT_FRAME, b"\0\0\1"), "3 bytes"),
    ("end in a chunk", GREETED + frame(PART, b"x") + frame(END, bytes(16)), "middle of a chunk"),
    ("end wrong", GREETED + frame(END, bytes(16)), "digest"),
    ("refusal", GREETED + frame(10, b"I don't\x1b[31m like you"), "refuses: I don't?[31m"),
    ("plain end wrong", hello(0, bytes(16)) + frame(DATA, b"x") + frame(END, bytes(16)), "digest"),
    ("plain empty", hello(0, bytes(16)) + frame(DATA, b""), "empty"),
    ("zstd nonsense", hello(1, bytes(16)) + frame(ZSTD_DATA, b"\0\0\5nonsense"), "no zstd stream"),
    ("zstd length", hello(1, bytes(16)) + frame(ZSTD_DATA, b"\xff\xff\xff" + bytes(10)), "65536 are allowed"),
]


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data, _ in BAD])
@pytest.mark.parametrize("whole", [True, False])
def test_what_no_sound_peer_sends_is_refused_in_one_line(data: bytes, whole: bool) -> None:
    says = next(says for _, bad, says in BAD if bad is data)
    session = Session("dedup", store())
    session.take()
    with pytest.raises(CodecError) as caught:
        for piece in [data] if whole else [bytes((byte,)) for byte in data]:
            session.receive(piece)
    assert says in str(caught.value) and "\n" not in str(caught.value)
    tally = session.tally
    assert tally.foreign + tally.version + tally.broken + tally.refused == 1
    assert len(session.take()) < 300  # the refusal, if any


def test_missing_chunk_that_comes_otherwise_is_refused() -> None:
    session = Session("dedup", store())
    session.receive(GREETED + frame(REFS, reference(digest_of(b"x" * 3000), 3000)))
    with pytest.raises(CodecError, match="not asked for"):
        session.receive(frame(REPAIR, b"y" * 3000))


def test_more_than_the_credit_is_refused() -> None:
    session = Session("plain")
    session.receive(hello(0, bytes(16)))
    with pytest.raises(CodecError, match="more than it was allowed"):
        for _ in range(CREDIT // PIECE + 1):
            session.receive(frame(DATA, bytes(PIECE)))


def test_references_without_a_store_are_refused() -> None:
    session = Session("plain")
    with pytest.raises(CodecError, match="want --codec dedup"):
        session.receive(GREETED)


def test_bomb_is_refused_before_it_is_unpacked() -> None:
    zstandard = pytest.importorskip("zstandard")
    packer = zstandard.ZstdCompressor(level=3).compressobj()
    packed = packer.compress(bytes(512 << 20)) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    assert len(packed) < PIECE
    session = Session("zstd")
    session.receive(hello(1, bytes(16)))
    with pytest.raises(CodecError, match="no sound compressor"):
        session.receive(frame(ZSTD_DATA, PIECE.to_bytes(3, "big") + packed))


def test_window_that_takes_too_much_memory_is_refused() -> None:
    zstandard = pytest.importorskip("zstandard")
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=24, write_content_size=False)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(noise(1000)) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    session = Session("zstd")
    session.receive(hello(1, bytes(16)))
    with pytest.raises(CodecError, match="too much memory"):
        session.receive(frame(ZSTD_DATA, (1000).to_bytes(3, "big") + packed))


def test_stream_that_stops_is_truncated() -> None:
    session = Session("plain")
    session.receive(hello(0, bytes(16)) + frame(DATA, b"x"))
    with pytest.raises(CodecError, match="in the middle"):
        session.receive_eof()
    assert session.tally.truncated == 1


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("codec", CODECS)
def test_corrupted_streams_never_pass_for_others(codec: str, data: Any) -> None:
    sender = Session(codec, store())
    plain = noise(data.draw(st.integers(1, 30000)), 7)
    sender.send(plain)
    sender.end()
    wire = bytearray(sender.take())
    at = data.draw(st.integers(HELLO, len(wire) - 1))
    wire[at] ^= data.draw(st.integers(1, 255))
    receiver = Session(codec, store())
    got = b""
    try:
        receiver.receive(bytes(wire))
        while receiver.readable:
            got += receiver.read()
        done = receiver.at_end
        receiver.receive_eof()
    except CodecError:
        return
    assert not done or got == plain


@given(st.binary(max_size=200))
def test_nonsense_is_refused_or_waits(data: bytes) -> None:
    session = Session("dedup", store())
    try:
        session.receive(GREETED + data)
    except CodecError as error:
        assert "\n" not in str(error)
    assert len(session.reader.held) < HELLO + len(data) + 1


def test_short_chunk_is_the_last() -> None:
    pair = Pair()
    pair.a.send(noise(LEAST - 1))
    pair.end()
    assert len(pair.got[pair.b]) == LEAST - 1
