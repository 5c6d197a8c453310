"""The coalescing sink: chunks as large as they may be, never more waiting than allowed, digests with holes as zeros."""

from __future__ import annotations

import weakref
from hashlib import sha256
from random import Random

import pytest

from tests.unit.following.talk import Talk
from uinet.errors import InvalidArgument
from uinet.following import streams
from uinet.following.budget import split
from uinet.following.streams import EMPTY, ZEROS, Coalescer, Handler
from uinet.passive.connection import Connection
from uinet.passive.follower import Follower
from uinet.passive.half import Half
from uinet.passive.holes import LOST
from uinet.passive.options import Limits
from uinet.passive.sink import Sink
from uinet.wire.capture import LINKTYPE_ETHERNET

CHUNK = len(ZEROS)  # the constant itself is not to be seen in the compiled build


class Ended(Sink):
    """Keeps the connections that have ended."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []

    def closed(self, conn: Connection) -> None:
        self.connections.append(conn)


def connections(number: int) -> list[Connection]:
    """Connections without data, for a sink to be told things of."""
    sink = Ended()
    follower = Follower(sink)
    for serial in range(number):
        (time, frame), *_ = Talk(client=("10.0.0.1", 1000 + serial)).opened().packets
        follower.packet(LINKTYPE_ETHERNET, frame, 0, len(frame), len(frame), time)
    follower.finish()
    return sink.connections


def connection() -> Connection:
    (conn,) = connections(1)
    return conn


class Log:
    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []

    def chunk(self, conn: Connection, half: Half, offset: int, data: bytes, time: int) -> None:
        self.said.append((conn.serial, "cs"[half is conn.server], offset, data, time))

    def hole(self, conn: Connection, half: Half, offset: int, length: int, reason: str, time: int) -> None:
        self.said.append((conn.serial, "cs"[half is conn.server], offset, length, reason))


def test_segments_of_a_stream_become_chunks_of_64_kib_at_most() -> None:
    log, conn, random = Log(), connection(), Random(3)
    sink = Coalescer(log)
    sent = b""
    while len(sent) < 1_000_000:
        data = random.randbytes(random.choice((1, 1448, 9000, 65536)))
        sink.data(conn, conn.client, len(sent), b"..." + data + b"...", 3, len(data), len(sent))
        sent += data
    assert sink.held < CHUNK + 50_000
    sink.closed(conn)
    assert sink.held == 0
    chunks = [said[3] for said in log.said]
    assert b"".join(chunks) == sent  # type: ignore[arg-type]
    assert max(map(len, chunks)) <= CHUNK  # type: ignore[arg-type]
    assert len(chunks) < 40
    assert [said[2] for said in log.said] == [said[4] for said in log.said]  # times are those of the first segments
    assert conn.user is None


def test_a_chunk_that_is_full_does_not_wait_for_more() -> None:
    log, conn = Log(), connection()
    sink = Coalescer(log)
    sink.data(conn, conn.client, 0, bytes(CHUNK - 1), 0, CHUNK - 1, 0)
    assert log.said == []
    sink.data(conn, conn.client, CHUNK - 1, b"x", 0, 1, 0)
    assert len(log.said) == 1


def test_hole_and_fin_and_flush_end_a_chunk() -> None:
    log, conn = Log(), connection()
    sink = Coalescer(log)
    sink.data(conn, conn.client, 0, b"a", 0, 1, 1)
    sink.data(conn, conn.server, 0, b"b", 0, 1, 2)
    sink.hole(conn, conn.client, 1, 5, LOST, 3)
    assert log.said == [(0, "c", 0, b"a", 1), (0, "c", 1, 5, "lost")]
    sink.finished(conn, conn.server, 4)
    assert log.said[2:] == [(0, "s", 0, b"b", 2)]
    sink.data(conn, conn.client, 6, b"c", 0, 1, 5)
    sink.flush()
    assert log.said[3:] == [(0, "c", 6, b"c", 5)]


def test_what_waits_is_bounded_and_the_oldest_goes_first() -> None:
    log = Log()
    sink = Coalescer(log, pending=100_000)
    conns = connections(1000)
    for turn in range(3):
        for conn in conns:
            sink.data(conn, conn.server, turn, b"x" * 1, 0, 1, turn)
            assert sink.held <= 100_000
    told = [said[0] for said in log.said]
    assert told[:1000] == list(range(1000))
    assert len(told) > 2000
    sink.flush()
    assert sum(len(said[3]) for said in log.said) == 3000  # type: ignore[arg-type]
    assert all(conn.user is None for conn in conns)  # an idle stream costs nothing


def test_digests_are_over_the_stream_with_zeros_for_holes() -> None:
    digests: list[str | None] = []

    class Closed:
        def closed(self, conn: Connection) -> None:
            digests.extend((sink.digest(conn, conn.client), sink.digest(conn, conn.server)))

    sink = Coalescer(Closed(), digests=True, pending=500)
    conns = connections(4)
    for at in range(0, 3000, 3):
        for conn in conns[:2]:
            sink.data(conn, conn.client, at, b"abc", 0, 3, 0)
    sink.hole(conns[0], conns[0].client, 3000, 200_000, LOST, 0)
    sink.hole(conns[2], conns[2].server, 0, 7, LOST, 0)
    for conn in conns:
        sink.closed(conn)
    assert digests == [
        sha256(b"abc" * 1000 + bytes(200_000)).hexdigest(), EMPTY, sha256(b"abc" * 1000).hexdigest(), EMPTY,
        EMPTY, sha256(bytes(7)).hexdigest(), EMPTY, EMPTY,
    ]


def test_too_many_zeros_are_not_hashed() -> None:
    digests: list[str | None] = []

    class Closed:
        def closed(self, conn: Connection) -> None:
            digests.append(sink.digest(conn, conn.client))

    sink = Coalescer(Closed(), digests=True)
    conn = connection()
    sink.data(conn, conn.client, 0, b"abc", 0, 3, 0)
    sink.hole(conn, conn.client, 3, 1 << 40, LOST, 0)
    sink.data(conn, conn.client, 3 + (1 << 40), b"abc", 0, 3, 0)
    sink.closed(conn)
    assert digests == [None]
    assert streams.ZEROS_ALLOWED < 1 << 40


def test_nothing_is_told_after_an_error() -> None:
    class Fails(Log):
        def chunk(self, conn: Connection, half: Half, offset: int, data: bytes, time: int) -> None:
            super().chunk(conn, half, offset, data, time)
            raise KeyError("first")

    log, conn = Fails(), connection()
    sink = Coalescer(log)
    for at in range(3):
        sink.data(conn, conn.client, at, b"x", 0, 1, 0)
        sink.flush()
        sink.hole(conn, conn.server, at, 1, LOST, 0)
    sink.closed(conn)
    assert len(log.said) == 1
    assert sink.failed()
    assert isinstance(sink.error, KeyError)


def test_muted_sink_tells_nothing_and_keeps_nothing() -> None:
    log, conn = Log(), connection()
    sink = Coalescer(log, digests=True)
    sink.data(conn, conn.client, 0, b"x", 0, 1, 0)
    gone = weakref.ref(log)
    sink.mute()
    sink.data(conn, conn.client, 1, b"x", 0, 1, 0)
    sink.hole(conn, conn.client, 2, 1, LOST, 0)
    sink.closed(conn)
    assert (log.said, sink.held, conn.user) == ([], 0, None)
    del log
    assert gone() is None


def test_methods_that_only_the_base_class_has_cost_no_call() -> None:
    conn = connection()
    sink = Coalescer(Handler())
    assert not sink.wanted
    sink.opened(conn)
    sink.data(conn, conn.client, 0, b"x", 0, 1, 0)
    assert sink.held == 0
    with pytest.raises(TypeError, match="not callable"):
        Coalescer(type("Bad", (), {"chunk": 5})())


@pytest.mark.parametrize("size", [8 << 20, 100 << 20, 512 << 20, 1 << 40])
def test_limits_add_up_to_what_is_given(size: int) -> None:
    limits, pending = split(size)
    default = Limits()
    assert limits.connections * 640 + limits.held + limits.fragments + limits.recall + pending <= size
    assert limits.held_connection <= limits.held
    for name in ("connections", "held", "held_connection", "fragments", "recall", "holes"):
        assert 1 <= getattr(limits, name) <= getattr(default, name)


def test_too_little_memory_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at least 8 MiB"):
        split((8 << 20) - 1)
