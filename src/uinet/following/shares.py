"""Following many files on many machines: what runs there.

A connection whose packets are all in one file is followed where that file is read. The others are shared: their frames
are set apart, and followed together, a part of all keys by one worker. For the same records to come out as from one
process, a follower of a part of the packets is told what one of all of them would know: what time it was with each
packet (:class:`uinet.passive.clock.PacketClock`), its number, how far checksums had been right. Timers run at their
own ticks, so that it does not matter which packets go by meanwhile.

::

    scan      file  -> which keys it has, what its clock does                 every file, on any worker
    overlap   keys of all files -> those in more than one                     every part
    split     file  -> records; frames of shared keys, by part                every file
    join      frames of all files in order -> records                         every part

What is large stays on the disk of the worker that made it, in a scratch directory, and is asked for in pieces.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from uinet.errors import CaptureError, Error
from uinet.following.inputs import Sources
from uinet.following.records import Record, exact_record
from uinet.following.scan import FRAME, ONLY_TIME, Scanner, Splitter, Timed
from uinet.following.streams import Coalescer
from uinet.passive.clock import PacketClock
from uinet.passive.constants import LEAP
from uinet.passive.follower import Follower
from uinet.passive.options import Options
from uinet.passive.sink import Sink
from uinet.version import __version__
from uinet.wire.kernels import take

if TYPE_CHECKING:
    from uinet.passive.connection import Connection

PIECE = 1 << 20  # bytes that are moved at once
ORDER = Struct(">qBqqQI")  # of a record: when its connection was opened, see Records; place and length in the file
SIZE = Struct("<I")

AT_TIMER, AT_PACKET, AT_END = range(3)


class ClusterError(Error):
    """The cluster can't be reached, or has failed."""


@dataclass(frozen=True)
class Job:
    """What all tasks of a run know. `name` is its own; `parts`: into how many the shared connections are divided."""

    name: str
    options: Options
    filter: str | None
    seed: bytes
    parts: int
    digests: bool
    pending: int


@dataclass(frozen=True)
class Scan:
    """What a file has. `keys`: of each part; `error`: the damage that ends it. Time stamps: as in `Scanner`."""

    frames: int
    keys: list[bytes]
    pairs: frozenset[int]
    fragmented: frozenset[int]
    good: int
    bad: int
    head: list[int]
    rest: tuple[int, int, int] | None
    steady: bool
    error: str

    def without_keys(self) -> Scan:
        """What the client has to know."""
        return Scan(
            self.frames, [], frozenset(), self.fragmented, self.good, self.bad, self.head, self.rest, self.steady,
            self.error,
        )


@dataclass(frozen=True)
class Begin:
    """Where one follower of all files would be at the beginning of one of them. `decisions`: time and shift of its
    clock whenever in the file before it had been in doubt, and was no longer."""

    frames: int = 0
    good: int = 0
    bad: int = 0
    now: int = 0
    shift: int = 0
    strange: int = 0
    decisions: tuple[tuple[int, int], ...] = ()


@dataclass
class Scratch:
    """A file on a worker's disk; `pieces`: place and length of each, and for records the order of its first one."""

    worker: str
    path: str
    pieces: list[tuple[int, int, bytes]] = field(default_factory=list)


@dataclass
class Done:
    """What a task has made: records, shared frames by part, counters."""

    records: Scratch
    shared: list[Scratch]
    stats: dict[str, int]


# tasks


def look(paths: list[str]) -> tuple[str, list[str | int]]:
    """Our version, and of each file its size, or why it can't be read."""
    found: list[str | int] = []
    for path in paths:
        try:
            if not os.path.isfile(path):
                os.stat(path)
                found.append("not a file")
                continue
            with open(path, "rb") as file:
                found.append(os.fstat(file.fileno()).st_size)
        except OSError as error:
            found.append(error.strerror or str(error))
    return __version__, found


def scan(job: Job, path: str) -> Scan:
    """Reads a file for the first time."""
    scanner = Scanner(job.options, seed=job.seed)
    error = pump(path, job, scanner)
    keys = [array("Q") for _ in range(job.parts)]
    for key in scanner.keys:
        keys[key % job.parts].append(key)
    rest = (scanner.first, scanner.least, scanner.most) if scanner.most >= scanner.least else None
    return Scan(
        scanner.frames, [part.tobytes() for part in keys], frozenset(scanner.pairs), frozenset(scanner.fragmented),
        scanner.good, scanner.bad, scanner.head, rest, scanner.steady, error,
    )


def summary(found: Scan) -> Scan:
    """A scan without what is large."""
    return found.without_keys()


def keys_of(found: Scan, part: int) -> bytes:
    """A file's keys of one part."""
    return found.keys[part]


def pairs_of(found: Scan, wanted: frozenset[int]) -> frozenset[int]:
    """Which of these address pairs a file has."""
    return found.pairs & wanted


def overlap(keys: list[bytes]) -> list[bytes]:
    """Of each file those of its keys that another one has too."""
    where: dict[int, int] = {}
    shared: set[int] = set()
    tables = [array("Q", one) for one in keys]
    for number, table in enumerate(tables):
        for key in table:
            if where.setdefault(key, number) != number:
                shared.add(key)
    where.clear()
    return [array("Q", [key for key in table if key in shared]).tobytes() for table in tables]


def item(values: list[Any], index: int) -> Any:
    """One of several results."""
    return values[index]


def clock_after(job: Job, path: str, begin: Begin) -> Begin:
    """The clock at the end of a file with which it leaps: read for that alone."""
    ticker = Ticker(job.options, Decided(begin))
    pump(path, job, ticker)
    return ticker.own.begin()


def split(
    job: Job, path: str, number: int, keys: list[bytes], pairs: frozenset[int], begin: Begin, later: list[Begin]
) -> Done:
    """Follows what only this file has, and sets apart what others have too. `later`: where each file after this one
    begins, and at last where all end."""
    shared: set[int] = set()
    for one in keys:
        shared.update(array("Q", one))
    records = Records(job, f"records-{number}")
    follower = records.follower
    restore(follower, begin)
    parts = [Writer(job, f"frames-{number}-{part}") for part in range(job.parts)]
    splitter = Splitter(
        follower, job.options, job.seed, shared, set(pairs), job.parts, lambda part, data: parts[part].add(data)
    )
    pump(path, job, splitter)
    follower.frames += splitter.frames
    splitter.flush()
    stats = records.finish(later, begin.frames)
    return Done(records.sorted(), [part.close() for part in parts], stats)


def join(job: Job, part: int, files: list[Scratch], end: Begin) -> Done:
    """Follows the shared connections of one part, their frames in the order of the files. `end`: where all end."""
    from distributed import worker_client

    records = Records(job, f"joined-{part}")
    follower = records.follower
    with worker_client() as client:
        for data in pieces(client, files):
            for head, frame in frames(data):
                time, now, shift, number, good, bad, link_type, captured, length, strange = head
                if link_type == ONLY_TIME:
                    decide(follower, now, shift)
                    continue
                clock = follower.clock
                # the tick of this packet makes of these what they were with it
                clock.now, clock.shift = now, shift
                clock.strange = strange - 1 if strange else 0
                follower.frames = number - 1
                follower.good_sums, follower.bad_sums = good, bad
                follower.packet(link_type, frame, 0, captured, length, time)
    stats = records.finish([end], 0)
    stats["packets"] = 0  # they have been counted where they were read
    return Done(records.sorted(), [], stats)


def read(path: str, place: int, length: int) -> bytes:
    """A piece of a scratch file of this worker."""
    with open(path, "rb") as file:
        return os.pread(file.fileno(), length, place)


def clean(name: str, dask_worker: Any = None) -> None:
    """Removes what a run has left on this worker; its name is how `Client.run` hands it over."""
    shutil.rmtree(directory(name, dask_worker), ignore_errors=True)


# what tasks are made of


class Decided:
    """A clock, and its decisions."""

    def __init__(self, begin: Begin) -> None:
        self.clock = PacketClock()
        self.clock.now, self.clock.shift, self.clock.strange = begin.now, begin.shift, begin.strange
        self.decisions: list[tuple[int, int]] = []

    def tick(self, stamp: int) -> None:
        """A packet with this time stamp."""
        clock = self.clock
        before = clock.strange
        clock.tick(stamp)
        if before and not clock.strange:
            self.decisions.append((clock.now, clock.shift))

    def begin(self) -> Begin:
        """Where that leads."""
        clock = self.clock
        return Begin(now=clock.now, shift=clock.shift, strange=clock.strange, decisions=tuple(self.decisions))


class Ticker(Follower):
    """Only the clock."""

    def __init__(self, chosen: Options, own: Decided) -> None:
        super().__init__(Sink(), chosen)
        self.own = own

    def enqueue(self, link_type: int, data: bytes, start: int, captured: int, length: int, time: int) -> None:
        """One packet."""
        self.own.tick(time)


class Records:
    """Writes the exact records of what `follower` follows, with what puts them in order.

    A serial number says when the sink heard of a connection: with a packet, by a timer, at the end. Where the packets
    are apart the order is that of the clock then; a timer that is due at the time of a packet runs before it. Of one
    tick's timers those come first that were set first.
    """

    def __init__(self, job: Job, name: str) -> None:
        self.sink = Coalescer(self, digests=job.digests, pending=job.pending)
        self.follower = Timed(self.sink, job.options, seed=job.seed)
        self.ending = False
        self.written = 0
        self.job = job
        self.name = name
        self._opened: dict[int, tuple[int, int, int]] = {}
        self._order: list[bytes] = []
        self._path = directory(job.name, make=True) / f"{name}-{uuid4().hex}"
        self._file = self._path.open("w+b")

    def opened(self, connection: Connection) -> None:
        """A connection has its number."""
        follower = self.follower
        if self.ending and not follower.expiring:
            self._opened[connection.serial] = (follower.now, AT_END, connection.frame)
        elif follower.expiring:
            self._opened[connection.serial] = (follower.now, AT_TIMER, connection.frame)
        else:
            self._opened[connection.serial] = (follower.now, AT_PACKET, follower.frame)

    def closed(self, connection: Connection) -> None:
        """Writes its record."""
        digest = self.sink.digest
        found = exact_record(connection, digest(connection, connection.client), digest(connection, connection.server))
        data = json.dumps(found).encode()
        opened = self._opened.pop(connection.serial)
        self._order.append(ORDER.pack(*opened, connection.serial, self.written, len(data)))
        self._file.write(data)
        self.written += len(data)

    def finish(self, later: list[Begin], before: int) -> dict[str, int]:
        """All files have been read, not only ours: what is live ends then. The counters."""
        follower = self.follower
        frames = follower.frames
        follower.flush()
        if follower.now:
            # ours are the decisions up to where the next file begins; from there on it is the others'
            for begin in later[1:]:
                for now, shift in begin.decisions:
                    decide(follower, now, shift)
            clock, end = follower.clock, later[-1]
            if end.now > clock.now:
                clock.now = end.now
                follower.now = end.now
                follower.wheel.advance(end.now)
        self.ending = True
        follower.finish()
        if self.sink.error is not None:
            raise self.sink.error
        return {**follower.stats, "packets": frames - before}

    def sorted(self) -> Scratch:
        """The records in order."""
        self._file.flush()
        self._order.sort()
        writer = Writer(self.job, self.name, compress=True)
        number = self._file.fileno()
        for entry in self._order:
            *_, place, length = ORDER.unpack(entry)
            writer.add(entry[:25] + os.pread(number, length, place), entry[:25])
        self._file.close()
        self._path.unlink()
        return writer.close()


class Writer:
    """Writes entries into a scratch file, in pieces that are read alone. A piece is entries, each behind its length."""

    def __init__(self, job: Job, name: str, *, compress: bool = False) -> None:
        from distributed import get_worker

        self.path = directory(job.name, make=True) / f"{name}-{uuid4().hex}"
        self.scratch = Scratch(get_worker().address, str(self.path))
        self.compress = compress
        self._waiting = bytearray()
        self._first = b""
        self._place = 0

    def add(self, data: bytes, order: bytes = b"") -> None:
        """An entry; `order`: what it is merged by."""
        if not self._waiting:
            self._first = order
        self._waiting += SIZE.pack(len(data))
        self._waiting += data
        if len(self._waiting) >= PIECE:
            self._write()

    def close(self) -> Scratch:
        """Where it all is."""
        if self._waiting:
            self._write()
        return self.scratch

    def _write(self) -> None:
        data = zlib.compress(self._waiting, 1) if self.compress else bytes(self._waiting)
        with self.path.open("ab") as file:  # open only now and then: there may be many of them
            file.write(data)
        self.scratch.pieces.append((self._place, len(data), self._first))
        self._place += len(data)
        self._waiting.clear()


def directory(name: str, worker: Any = None, *, make: bool = False) -> Path:
    """The scratch directory of a run on a worker, that of the running task if none is given."""
    from distributed import get_worker

    path = Path((worker if worker is not None else get_worker()).local_directory) / f"uinet-{name}"
    if make:
        path.mkdir(parents=True, exist_ok=True)
    return path


def pump(path: str, job: Job, follower: Follower) -> str:
    """Feeds a file; the damage that ends it, or ""."""
    sources = Sources(path, job.filter)
    try:
        while sources.pump(follower):
            pass
    except CaptureError as error:
        return str(error)
    finally:
        sources.close()
    return ""


def restore(follower: Follower, begin: Begin) -> None:
    """Puts a follower where one of all files would be."""
    follower.frames = begin.frames
    follower.good_sums, follower.bad_sums = begin.good, begin.bad
    clock = follower.clock
    clock.now, clock.shift, clock.strange = begin.now, begin.shift, begin.strange


def decide(follower: Follower, now: int, shift: int) -> None:
    """The follower's clock is in doubt no longer: it is `now`, and time stamps are shifted so."""
    clock = follower.clock
    if follower.now and shift != clock.shift:  # time stood still: what was due before then, was by the old clock
        follower.now = now
        follower.wheel.advance(now)
    clock.now, clock.shift, clock.strange = now, shift, 0
    follower.at(now - shift)


def after(begin: Begin, found: Scan) -> Begin | None:
    """Where a follower is at the end of a file, from a scan of it; None if that does not tell what its clock does."""
    decided = Decided(begin)
    clock = decided.clock
    for stamp in found.head:
        decided.tick(stamp)
    if found.rest is not None:
        first, least, most = (stamp + clock.shift for stamp in found.rest)
        if clock.strange or not found.steady or first - clock.now > LEAP or clock.now - least > LEAP:
            return None
        clock.now = max(clock.now, most)
    return sum_up(begin, found, decided.begin())


def sum_up(begin: Begin, found: Scan, clock: Begin) -> Begin:
    """Where a file ends that begins there; `clock`: as far as the clock is concerned."""
    return replace(
        clock, frames=begin.frames + found.frames, good=begin.good + found.good, bad=begin.bad + found.bad
    )


def entries(piece: bytes) -> Iterator[bytes]:
    """The entries of a piece."""
    at = 0
    while at < len(piece):
        (length,) = SIZE.unpack_from(piece, at)
        at += SIZE.size
        yield take(piece, at, length)
        at += length


def frames(piece: bytes) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """The frames of a piece, and what was known when each came."""
    for entry in entries(piece):
        yield FRAME.unpack_from(entry), entry[FRAME.size :]


def pieces(client: Any, files: Iterable[Scratch]) -> Iterator[bytes]:
    """The pieces of scratch files, one after another; one is on its way while the one before is worked on."""
    ahead: tuple[Any, str] | None = None
    for scratch in files:
        for place, length, _ in scratch.pieces:
            coming = fetch(client, scratch, place, length), scratch.worker
            if ahead is not None:
                yield arrived(client, *ahead)
            ahead = coming
    if ahead is not None:
        yield arrived(client, *ahead)


def fetch(client: Any, scratch: Scratch, place: int, length: int) -> Any:
    """Asks for a piece: the future of it."""
    return client.submit(
        read, scratch.path, place, length, workers=[scratch.worker], allow_other_workers=False, pure=False, priority=10,
    )


def arrived(client: Any, future: Any, worker: str) -> bytes:
    """Waits for a piece; ClusterError if the worker that has it is gone."""
    while True:
        try:
            data: bytes = future.result(timeout=10)
            return data
        except TimeoutError:
            if worker not in client.nthreads():
                raise ClusterError(f"the worker {worker} has left, and what it had of this run with it") from None


def expand(piece: bytes) -> bytes:
    """A compressed piece, as it was."""
    return zlib.decompress(piece)


def told(entry: bytes) -> tuple[bytes, Record]:
    """Order and record of an entry."""
    return entry[:25], json.loads(entry[25:])
