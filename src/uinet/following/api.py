"""``uinet.follow``: the connections of a capture, one after another, with both their streams.

:class:`Follow` pulls: it reads packets while it is asked for the next connection, and keeps streams until then (see
:mod:`uinet.following.spool`). :func:`deliver` pushes: a handler is told of every chunk, and nothing is kept.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

from uinet.errors import InvalidArgument
from uinet.following.inputs import Input, Sources
from uinet.following.records import Hole, Record, all_holes, record
from uinet.following.spool import MEMORY, Chunk, Kept, Spool
from uinet.following.streams import EMPTY, ZEROS, Coalescer
from uinet.passive.follower import Follower
from uinet.passive.options import Limits, Options
from uinet.units import seconds

if TYPE_CHECKING:
    from hashlib import _Hash
    from types import TracebackType

    from uinet.passive.connection import Connection
    from uinet.passive.half import Half
    from uinet.wire.addresses import IPAddress, Mac, VlanTag

LARGEST_READ = 1 << 30
MOST_ZEROS = 4 << 30  # that the digest of one stream is computed over


def options(
    *,
    deadline: float = 5.0,
    midstream: bool = False,
    overlap: str = "first",
    limits: Limits | None = None,
    skew: float = 0.05,
    idle: float = 600.0,
    checksums: str = "auto",
    urgent: str = "inline",
    ignore_vlans: bool = False,
) -> Options:
    """The follower's options, from those of `follow`; InvalidArgument says which is wrong."""
    for name, value in (("deadline", deadline), ("skew", skew), ("idle", idle)):
        if not 0 <= value < 1e9:
            raise InvalidArgument(f"{name}={value!r}: want seconds")
    return Options(
        deadline=seconds(deadline), skew=seconds(skew), idle=seconds(idle), midstream=midstream, overlap=overlap,
        checksums=checksums, urgent=urgent, ignore_vlans=ignore_vlans,
        limits=limits if limits is not None else Limits(),
    )


class Stream:
    """What one side of a connection sent: iterate over it for its chunks and holes, as often as you like.

    `endpoint`: (ip, port) of who sent it; `mac`: its MAC, None if the link has none. `bytes`: the stream's length,
    holes included. `holes`: (offset, length, reason) of each; `hole_bytes`: of all. `fin`: whether its end was seen.
    `counters`: what was notable, by name.
    """

    __slots__ = ("_connection", "_digest", "_half", "_kept")

    def __init__(self, connection: Connection, half: Half, kept: Kept | None) -> None:
        self._connection = connection
        self._half = half
        self._kept = kept
        self._digest: str | None = ""

    @property
    def endpoint(self) -> tuple[IPAddress, int]:
        """IP address and port of who sent it."""
        connection = self._connection
        return connection.client_address if self._half is connection.client else connection.server_address

    @property
    def mac(self) -> Mac | None:
        """The MAC of who sent it, in the connection's first packet; None if the link has none."""
        connection = self._connection
        return connection.client_mac if self._half is connection.client else connection.server_mac

    @property
    def bytes(self) -> int:
        """The stream's length, holes included."""
        return self._half.length

    @property
    def overruns(self) -> list[Hole]:
        """Those of the holes for which the packets were there, and no room for their bytes: see `spool_limit`."""
        return self._kept.overruns if self._kept is not None else []

    @property
    def holes(self) -> list[Hole]:
        """(offset, length, reason) of each, those told of by `overruns` among them."""
        return all_holes(self._half, self.overruns)

    @property
    def hole_bytes(self) -> int:
        """Bytes in holes, those of holes that are not listed too."""
        return self._half.hole_bytes + sum(length for _, length, _ in self.overruns)

    @property
    def fin(self) -> bool:
        """Whether its end was seen: its FIN came after all its bytes."""
        return self._half.fin

    @property
    def counters(self) -> dict[str, int]:
        """What was notable, by name, as in docs/rebuilding.md; those that are not zero."""
        return self._half.counters

    @property
    def sha256(self) -> str | None:
        """Of the stream, holes as zeros; None if more than 4 GiB are holes. Computed when it is first asked for."""
        if self._digest == "":
            self._digest = self._compute() if self.hole_bytes <= MOST_ZEROS else None
        return self._digest

    def _compute(self) -> str:
        from hashlib import sha256

        if self._kept is None:
            return EMPTY
        digest = sha256()
        for chunk in self:
            if chunk.hole is None:
                digest.update(chunk.data)
            else:
                update_zeros(digest, chunk.length)
        return digest.hexdigest()

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self._kept if self._kept is not None else ())

    def read(self, limit: int = LARGEST_READ) -> bytes_:
        """The whole stream, holes as zeros; InvalidArgument if it is longer than `limit` bytes."""
        if self.bytes > limit:
            raise InvalidArgument(f"a stream of {self.bytes} bytes is more than {limit}: iterate, or read(limit=...)")
        return b"".join(chunk.data if chunk.hole is None else bytes_(chunk.length) for chunk in self)

    def __repr__(self) -> str:
        ip, port = self.endpoint
        return f"<Stream of {ip} port {port}, {self.bytes} bytes>"


bytes_ = bytes  # inside Stream, `bytes` is a property


def update_zeros(digest: _Hash, length: int) -> None:
    """Adds `length` zeros."""
    while length >= len(ZEROS):
        digest.update(ZEROS)
        length -= len(ZEROS)
    digest.update(ZEROS[:length])


class Followed:
    """A connection that has ended, or whose capture has.

    `serial`: its number, from 0, in the order of first packets. `client`, `server`: the streams that they sent.
    `vlans`: the tags, outermost first. `close_reason`: "fin", "rst", "timeout" or "end". `start`, `end`: seconds since
    1970, of the first packet and of the last. `midstream`: whether its beginning was not seen. `notes`: why this record
    is not plain, words of the table in docs/follow.md.

    Memory, and room in the spool, are given back when this object and its streams are dropped.
    """

    __slots__ = ("_connection", "client", "server")

    def __init__(self, connection: Connection, client: Kept | None = None, server: Kept | None = None) -> None:
        self._connection = connection
        self.client = Stream(connection, connection.client, client)
        self.server = Stream(connection, connection.server, server)

    @property
    def serial(self) -> int:
        """Its number, from 0, in the order of first packets."""
        return self._connection.serial

    @property
    def vlans(self) -> tuple[VlanTag, ...]:
        """The VLAN tags of its first packet, outermost first."""
        return self._connection.vlans

    @property
    def close_reason(self) -> str:
        """How it ended: "fin", "rst", "timeout", "end" (of the capture)."""
        return self._connection.close

    @property
    def start(self) -> float:
        """The time stamp of its first packet, seconds since 1970."""
        return self._connection.start / 1e9

    @property
    def end(self) -> float:
        """The time stamp of its last packet, seconds since 1970."""
        return self._connection.end / 1e9

    @property
    def midstream(self) -> bool:
        """Whether its beginning was not seen."""
        return self._connection.midstream

    @property
    def notes(self) -> list[str]:
        """Why this record is not plain, as in docs/follow.md."""
        return self._connection.notes

    def as_dict(self) -> Record:
        """The record, as ``uinet follow --json`` prints it."""
        overruns = (self.client.overruns, self.server.overruns)
        return record(self._connection, self.client.sha256, self.server.sha256, overruns)

    def __repr__(self) -> str:
        (client, cport), (server, sport) = self.client.endpoint, self.server.endpoint
        return f"<Followed {self.serial}: {client} port {cport} to {server} port {sport}, {self.close_reason}>"


class Keeper:
    """The handler of `Follow`: keeps all streams in the spool, and who has ended in `ended`."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.ended: deque[tuple[Connection, Kept | None, Kept | None]] = deque()
        self.sink = Coalescer(self)

    def kept(self, connection: Connection, half: Half) -> Kept:
        """Where the stream's chunks are."""
        gathered = self.sink.of(connection, half)
        if gathered.store is None:
            gathered.store = Kept(self.spool)
        found: Kept = gathered.store
        return found

    def chunk(self, connection: Connection, half: Half, offset: int, data: bytes, time: int) -> None:
        self.kept(connection, half).add(offset, data, time)

    def hole(
        self, connection: Connection, half: Half, offset: int, length: int, reason: str, time: int
    ) -> None:
        self.kept(connection, half).add_hole(offset, length, reason, time)

    def closed(self, connection: Connection) -> None:
        self.ended.append(
            (connection, self._done(connection, connection.client), self._done(connection, connection.server))
        )

    def _done(self, connection: Connection, half: Half) -> Kept | None:
        gathered = self.sink.find(connection, half)
        return None if gathered is None else gathered.store


class Follow:
    """An iterator over the connections of a source, in the order in which they end. Close it, or leave its ``with``.

    `stats`: the follower's counters. `dropped`: packets that the kernel had no room for. `position`, `size`: how far
    the source has been read, in bytes; size is None if nobody knows.
    """

    def __init__(
        self, sources: Sources, chosen: Options, *, memory: int = MEMORY, spool_limit: int | None = None,
        directory: str | None = None,
    ) -> None:
        self.sources = sources
        self._keeper = Keeper(Spool(memory, spool_limit, directory))
        self._run = Run(sources, self._keeper.sink, chosen)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Followed:
        while (found := self.ready()) is None:
            if not self.pump():
                raise StopIteration
        return found

    def ready(self) -> Followed | None:
        """The next connection if it has ended already; reads nothing."""
        return Followed(*self._keeper.ended.popleft()) if self._keeper.ended else None

    def pump(self) -> bool:
        """Reads some packets, for `ready` to have more; False if nothing will come.

        Errors of the source come from here, when everything before them has been given out.
        """
        return bool(self._run.step() or self._keeper.ended)

    @property
    def stats(self) -> dict[str, int]:
        """Counters by name, so far: docs/counters.md, Of a follower."""
        return self._run.follower.stats

    @property
    def dropped(self) -> int:
        """Packets that the kernel had no room for (live)."""
        return self.sources.dropped

    @property
    def position(self) -> int:
        """Bytes read of all sources; of compressed ones as they lie in their files."""
        return self.sources.position

    @property
    def size(self) -> int | None:
        """Bytes of all sources, None if nobody knows."""
        return self.sources.size

    def stop(self) -> None:
        """The capture ends here: what is live has ended, and can still be had."""
        self._run.stop()

    def close(self) -> None:
        """Stops reading. What has been given out stays readable."""
        self._run.abandon()
        self._keeper.ended.clear()
        self.sources.close()

    def __del__(self) -> None:
        if hasattr(self, "_run"):
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Run:
    """A follower being fed from sources, step by step, to its orderly end."""

    def __init__(self, sources: Sources, sink: Coalescer, chosen: Options, *, seed: bytes | None = None) -> None:
        self.sources = sources
        self.sink = sink
        self.follower = Follower(sink, chosen, seed=seed if seed is not None else os.urandom(16))
        self.ended = False
        self.stopped = False
        self.error: BaseException | None = None

    def step(self) -> bool:
        """Feeds some packets; False if that was the end, and all connections have been closed.

        An error of the source ends the capture where it is, and is raised by the step after that one.
        """
        if self.ended:
            if self.error is not None:
                error, self.error = self.error, None
                raise error
            return False
        more = False
        try:
            more = self.sources.pump(self.follower, self.interrupted) and not self.stopped
        except OSError as error:
            self.error = error
        if not more or self.sink.error is not None:
            self.ended = True
            self.follower.finish()
            self.error = self.sink.error or self.error
            self.sink.error = None  # its traceback has connections, and these lead back here unseen by the collector
        return True

    def interrupted(self) -> bool:
        """Whether a source should not go on."""
        return self.stopped or self.sink.failed()

    def stop(self) -> None:
        """The capture ends here."""
        self.stopped = True

    def abandon(self) -> None:
        """Nothing more is wanted, of what is live neither."""
        self.error = self.sink.error = None
        self.sink.mute()
        if not self.ended:
            self.ended = True
            self.follower.finish()  # live connections are not seen by the collector of cycles


def follow(
    source: Input,
    *,
    deadline: float = 5.0,
    midstream: bool = False,
    overlap: str = "first",
    limits: Limits | None = None,
    filter: str | None = None,
    skew: float = 0.05,
    idle: float = 600.0,
    checksums: str = "auto",
    urgent: str = "inline",
    ignore_vlans: bool = False,
    memory: int = MEMORY,
    spool_limit: int | None = None,
) -> Follow:
    """The connections of `source`, each as it ends: an iterator over `Followed`.

    `source`: the path of a capture ("-": standard input), a device or its URL, a binary file, bytes, or a list of these
    that is one capture after another. The options are those of `uinet.passive.options.Options`, times in seconds.
    `filter`: BPF text, as tcpdump takes it.

    Streams of live connections, and of those that have ended and were not asked for, are kept: up to `memory` bytes
    in memory, more than that in a temporary file. It is as large as it has to be: of a connection that never ends, as
    large as the disk. `spool_limit` bounds it, and what does not fit then is a hole, "overrun".

    Raises InvalidArgument, CaptureError, DeviceError; while iterating CaptureError at the place of the damage, after
    all that came before; SpoolError if the disk is full.
    """
    chosen = options(
        deadline=deadline, midstream=midstream, overlap=overlap, limits=limits, skew=skew, idle=idle,
        checksums=checksums, urgent=urgent, ignore_vlans=ignore_vlans,
    )
    return Follow(Sources(source, filter), chosen, memory=memory, spool_limit=spool_limit)


def deliver(source: Input, handler: object, *, filter: str | None = None, **chosen: Any) -> dict[str, int]:
    """Tells `handler` of every byte of every connection, in chunks, until `source` ends; answers the counters.

    `handler` has methods of :class:`uinet.following.Handler`. `source` and the options are those of `follow`. Nothing
    is kept: this is the fast way to have all bytes pass through a program. Of a live source, chunks come as soon as the
    packets that have arrived are read; of a file, when they are full (64 KiB), or at a hole or the stream's end.

    Raises what `follow` does, and what a method of the handler raises.
    """
    sink = Coalescer(handler)
    sources = Sources(source, filter)
    with contextlib.closing(sources):
        run = Run(sources, sink, options(**chosen))
        try:
            while run.step():
                if sources.live:
                    sink.flush()
        finally:
            run.abandon()
        return run.follower.stats


__all__ = ["Chunk", "Follow", "Followed", "Stream", "deliver", "follow", "options"]
