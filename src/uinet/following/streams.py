"""Streams in larger pieces: the sink between the follower, which tells of every segment, and a Python handler.

Segments of a stream are gathered into chunks of up to 64 KiB, so that Python runs once a chunk. A chunk ends where a
hole begins, at the stream's end, and when too much waits in all: then the stream that has waited longest goes first.
The digests of streams are made here too.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from uinet.passive.connection import Connection
from uinet.passive.half import Half
from uinet.passive.holes import REASONS
from uinet.passive.sink import Sink
from uinet.wire.kernels import take

CHUNK = 65536
PENDING = 16 << 20
PIECE_OVERHEAD = 48  # what the object of a segment's bytes takes
STREAM_OVERHEAD = 256  # what a stream that waits takes
ZEROS = bytes(CHUNK)
ZEROS_ALLOWED = 4 << 30
ZEROS_PER_BYTE = 64
EMPTY = sha256(b"").hexdigest()


class Handler:
    """What `deliver` tells a program. Subclass it, or write a class with those of these methods that you want.

    Called while packets are being read: a method may not touch the source or the follower. `connection` and `half` are
    those of `uinet.passive`: ``half is connection.client`` for what the client sent. What you want to remember of a
    connection until it closes: under its `serial`, in a dict of yours.
    What a method raises ends the delivery, and comes out of `deliver`.
    """

    def opened(self, connection: Connection) -> None:
        """A connection has begun; its addresses, ports and roles are known."""

    def chunk(self, connection: Connection, half: Half, offset: int, data: bytes, time: int) -> None:
        """The bytes at `offset` of a stream: in order, each once; `time` is that of the first packet, in ns."""

    def hole(
        self, connection: Connection, half: Half, offset: int, length: int, reason: str, time: int
    ) -> None:
        """In its place between the chunks: these bytes were not seen, and why."""

    def conflict(self, connection: Connection, half: Half, offset: int, length: int, time: int) -> None:
        """Of these bytes, told or yet to be told, two versions were seen: somebody may be evading."""

    def closed(self, connection: Connection) -> None:
        """The last that is said of a connection; ``connection.close`` says why."""


class Gathered:
    """One stream's bytes that wait to be a chunk, and what is kept for the stream until it ends.

    `conn` and `half` are set while bytes wait, and only then: they lead back here.
    """

    __slots__ = (
        "after", "before", "conn", "data", "digest", "half", "offset", "size", "store", "time", "undigested", "waiting",
    )

    def __init__(self) -> None:
        self.conn: Connection | None = None
        self.half: Half | None = None
        self.data: bytes | None = None  # the first piece
        self.waiting: list[bytes] | None = None  # all of them, from the second on
        self.offset = 0
        self.size = 0
        self.time = 0
        self.digest: Any = None
        self.undigested = False
        self.store: Any = None  # the handler's own
        self.before: Gathered | None = None  # of those that wait, in the order in which they began to
        self.after: Gathered | None = None


class Pair:
    """What a connection's `user` is: both its streams, as far as there is something to keep of them."""

    __slots__ = ("client", "server", "store")

    def __init__(self) -> None:
        self.client: Gathered | None = None
        self.server: Gathered | None = None
        self.store: Any = None  # the handler's own


class Coalescer(Sink):
    """Gathers segments into chunks for `handler`, of whose methods (see Handler) any may be missing.

    `digests`: whether `digest` will be asked. `pending`: how many bytes may wait in all, overhead included.
    `error`: what a method of the handler has raised; nothing is told any more after that.
    """

    def __init__(self, handler: object = None, *, digests: bool = False, pending: int = PENDING) -> None:
        self.on_opened: Callable[..., Any] | None = method(handler, "opened")
        self.on_chunk: Callable[..., Any] | None = method(handler, "chunk")
        self.on_hole: Callable[..., Any] | None = method(handler, "hole")
        self.on_conflict: Callable[..., Any] | None = method(handler, "conflict")
        self.on_closed: Callable[..., Any] | None = method(handler, "closed")
        self.digests = digests
        self.wanted = digests or self.on_chunk is not None
        self.pending = pending
        self.held = 0
        self.first: Gathered | None = None
        self.last: Gathered | None = None
        self.zeros = ZEROS_ALLOWED
        self.error: BaseException | None = None

    # the sink

    def opened(self, conn: Connection) -> None:
        if self.on_opened is not None and self.error is None:
            try:
                self.on_opened(conn)
            except BaseException as error:
                self.error = error

    def data(
        self, conn: Connection, half: Half, offset: int, data: bytes, start: int, length: int, time: int
    ) -> None:
        if not self.wanted or self.error is not None or length == 0:
            return
        gathered = self.of(conn, half)
        if gathered.size != 0 and gathered.size + length > CHUNK:
            self._flush(gathered)
            gathered = self.of(conn, half)
        piece = take(data, start, length)
        if gathered.size == 0:
            gathered.conn = conn
            gathered.half = half
            gathered.offset = offset
            gathered.time = time
            gathered.data = piece
            self._link(gathered)
            self.held += STREAM_OVERHEAD
        elif gathered.waiting is None:
            assert gathered.data is not None
            gathered.waiting = [gathered.data, piece]
        else:
            gathered.waiting.append(piece)
        gathered.size += length
        self.held += length + PIECE_OVERHEAD
        if gathered.size >= CHUNK:
            self._flush(gathered)
        while self.held > self.pending and self.first is not None:
            self._flush(self.first)

    def hole(self, conn: Connection, half: Half, offset: int, length: int, reason: int, time: int) -> None:
        gathered = self.find(conn, half)
        if gathered is not None:
            self._flush(gathered)
        if self.error is not None:
            return
        if self.digests:
            self._digest_zeros(self.of(conn, half), length)
        if self.on_hole is not None:
            try:
                self.on_hole(conn, half, offset, length, REASONS[reason], time)
            except BaseException as error:
                self.error = error

    def conflict(self, conn: Connection, half: Half, offset: int, length: int, time: int) -> None:
        if self.on_conflict is not None and self.error is None:
            try:
                self.on_conflict(conn, half, offset, length, time)
            except BaseException as error:
                self.error = error

    def finished(self, conn: Connection, half: Half, time: int) -> None:
        gathered = self.find(conn, half)
        if gathered is not None:
            self._flush(gathered)

    def closed(self, conn: Connection) -> None:
        self.finished(conn, conn.client, 0)
        self.finished(conn, conn.server, 0)
        if self.on_closed is not None and self.error is None:
            try:
                self.on_closed(conn)
            except BaseException as error:
                self.error = error
        conn.user = None

    # for handlers, and for who runs the follower

    def pair(self, conn: Connection) -> Pair:
        """Both streams of a connection; `store` there is the handler's own, until the connection closes."""
        pair: Pair | None = conn.user
        if pair is None:
            pair = conn.user = Pair()
        return pair

    def of(self, conn: Connection, half: Half) -> Gathered:
        """What is gathered for a stream; `store` there is the handler's own, until the connection closes."""
        pair = self.pair(conn)
        if half is conn.client:
            gathered = pair.client
            if gathered is None:
                gathered = pair.client = Gathered()
        else:
            gathered = pair.server
            if gathered is None:
                gathered = pair.server = Gathered()
        return gathered

    def find(self, conn: Connection, half: Half) -> Gathered | None:
        """As `of`, None if there is nothing."""
        pair: Pair | None = conn.user
        if pair is None:
            return None
        return pair.client if half is conn.client else pair.server

    def digest(self, conn: Connection, half: Half) -> str | None:
        """In `closed`: the SHA-256 of a stream with zeros for its holes; None if that would be too many zeros."""
        gathered = self.find(conn, half)
        if gathered is None:
            return EMPTY
        if gathered.undigested:
            return None
        if gathered.digest is None:
            return EMPTY
        digest: str = gathered.digest.hexdigest()
        return digest

    def flush(self) -> None:
        """Hands over all that waits, for a reader who should see what there is now."""
        while self.first is not None:
            self._flush(self.first)

    def mute(self) -> None:
        """Tells nobody anything any more, and forgets all that waits: what is still to come is not wanted."""
        self.on_opened = self.on_chunk = self.on_hole = self.on_conflict = self.on_closed = None
        self.wanted = self.digests = False
        while self.first is not None:
            self._take(self.first)

    def failed(self) -> bool:
        """Whether there is an `error`."""
        return self.error is not None

    # inside

    def _flush(self, gathered: Gathered) -> None:
        if gathered.size == 0:
            return
        conn, half = gathered.conn, gathered.half
        assert conn is not None and half is not None
        data = self._take(gathered)
        if self.digests and not gathered.undigested:
            self._digest(gathered, data)
        if self.on_chunk is not None and self.error is None:
            try:
                self.on_chunk(conn, half, gathered.offset, data, gathered.time)
            except BaseException as error:
                self.error = error
        if gathered.digest is None and gathered.store is None and not gathered.undigested:
            self._forget(conn, half)

    def _take(self, gathered: Gathered) -> bytes:
        """The bytes that wait for a stream; then none do."""
        self._unlink(gathered)
        if gathered.waiting is None:
            data = gathered.data
            self.held -= gathered.size + PIECE_OVERHEAD + STREAM_OVERHEAD
        else:
            data = b"".join(gathered.waiting)
            self.held -= gathered.size + len(gathered.waiting) * PIECE_OVERHEAD + STREAM_OVERHEAD
        gathered.conn = None
        gathered.half = None
        gathered.data = None
        gathered.waiting = None
        gathered.size = 0
        assert data is not None
        return data

    def _forget(self, conn: Connection, half: Half) -> None:
        """Nothing to keep of a stream: a million idle ones cost nothing here."""
        pair: Pair | None = conn.user
        if pair is None:
            return
        if half is conn.client:
            pair.client = None
        else:
            pair.server = None
        if pair.client is None and pair.server is None and pair.store is None:
            conn.user = None

    def _digest(self, gathered: Gathered, data: bytes) -> None:
        if gathered.digest is None:
            gathered.digest = sha256(data)
        else:
            gathered.digest.update(data)
        self.zeros += ZEROS_PER_BYTE * len(data)

    def _digest_zeros(self, gathered: Gathered, length: int) -> None:
        if gathered.undigested:
            return
        if length > self.zeros:
            gathered.undigested = True
            gathered.digest = None
            return
        self.zeros -= length
        if gathered.digest is None:
            gathered.digest = sha256()
        while length >= CHUNK:
            gathered.digest.update(ZEROS)
            length -= CHUNK
        gathered.digest.update(ZEROS[:length])

    def _link(self, gathered: Gathered) -> None:
        gathered.before = self.last
        if self.last is None:
            self.first = gathered
        else:
            self.last.after = gathered
        self.last = gathered

    def _unlink(self, gathered: Gathered) -> None:
        before, after = gathered.before, gathered.after
        if before is None:
            self.first = after
        else:
            before.after = after
        if after is None:
            self.last = before
        else:
            after.before = before
        gathered.before = None
        gathered.after = None


def method(handler: object, name: str) -> Callable[..., Any] | None:
    """The handler's method of that name; None if it has none, or only Handler's, which does nothing."""
    found = getattr(handler, name, None)
    if found is None or getattr(found, "__func__", None) is getattr(Handler, name):
        return None
    if not callable(found):
        raise TypeError(f"{name} of {handler!r} is not callable")
    result: Callable[..., Any] = found
    return result
