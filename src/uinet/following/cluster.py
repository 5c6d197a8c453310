"""Following many files on many machines: what the client of a Dask cluster does (:mod:`uinet.following.shares` runs
on its workers).
"""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from uinet.errors import CaptureError, DeviceError, Error, InvalidArgument
from uinet.following import shares
from uinet.following.records import EXACT, NO_DIGEST, Hole, Record
from uinet.following.shares import Begin, ClusterError, Done, Job, Scan, Scratch, after, entries, pieces, sum_up, told
from uinet.following.streams import PENDING
from uinet.passive.options import Options
from uinet.version import __version__

if TYPE_CHECKING:
    from uinet.wire.addresses import IPAddress

NEEDS = "a cluster needs the package distributed: pip install 'uinet[dask]'"
MOST_PARTS = 64
CONNECT = 10  # seconds

Progress = Callable[[str, int, int], object]


class Tag(NamedTuple):
    """A VLAN tag of which only the VID is left."""

    vid: int


class RecordedHalf:
    """A stream of which only the record is left, in the words of :class:`uinet.passive.half.Half`."""

    def __init__(self, side: Record, exact: Sequence[Any]) -> None:
        self.length: int = side["bytes"]
        self.holes: list[Hole] = [(offset, length, reason) for offset, length, reason in side["holes"]]
        self.hole_bytes, self.hole_count, self.packets, self.fin = exact
        named = ("ip", "port", "mac", "bytes", "holes", "sha256", "hole_bytes")
        self.counters: dict[str, int] = {name: value for name, value in side.items() if name not in named}


class Recorded:
    """A connection of which only the record is left: `record`, an exact one, and what summaries ask a
    :class:`uinet.passive.connection.Connection` for."""

    def __init__(self, found: Record) -> None:
        exact = found[EXACT]
        self.record = found
        self.serial: int = found["serial"]
        self.vlans = tuple(Tag(vid) for vid in found["vlans"])
        self.vids = exact["tagged"]
        self.start: int = exact["start"]
        self.end: int = exact["end"]
        self.close: str = found["close"]
        self.midstream: bool = found["midstream"]
        self.notes: list[str] = [note for note in found.get("notes", []) if note != NO_DIGEST]
        self.client = RecordedHalf(found["client"], exact["client"])
        self.server = RecordedHalf(found["server"], exact["server"])

    @property
    def client_address(self) -> tuple[IPAddress, int]:
        """The client's address and port."""
        return ip_address(self.record["client"]["ip"]), self.record["client"]["port"]

    @property
    def server_address(self) -> tuple[IPAddress, int]:
        """The server's address and port."""
        return ip_address(self.record["server"]["ip"]), self.record["server"]["port"]


class Cluster:
    """The connections of capture files, as the workers of a Dask cluster find them: iterate once, in a ``with``.

    They come in order of their numbers, and are those that one process would find in the same files, read one after
    another, as long as no limit of memory bites: each worker has its own. The workers read the files themselves, by
    the same paths. `digests`: whether the records have them. `progress` is called with what is being done, how much of
    it has been done, and of how much.

    While iterating: ClusterError, InvalidArgument, CaptureError of a damaged file after the connections of all before,
    as in one process: what comes after the damage is not read.
    """

    def __init__(
        self, address: str, paths: Sequence[str | os.PathLike[str]], chosen: Options, *, filter: str | None = None,
        digests: bool = True, seed: bytes | None = None, pending: int = PENDING, progress: Progress | None = None,
    ) -> None:
        try:
            distributed: Any = import_module("distributed")
        except ImportError:
            raise InvalidArgument(NEEDS) from None
        self.paths = [os.path.abspath(path) for path in paths]
        self.stats: Counter[str] = Counter()
        self._progress = progress if progress is not None else (lambda what, done, of: None)
        self._waited = distributed.as_completed
        try:
            self._client: Any = distributed.Client(address, timeout=CONNECT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(f"no Dask cluster at {address}: {error}") from None
        threads = self._client.nthreads()
        self._job = Job(
            uuid4().hex, chosen, filter, (seed if seed is not None else os.urandom(16)),
            max(1, min(MOST_PARTS, sum(threads.values()))), digests, pending,
        )

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops what is running, and removes what has been left on the workers."""
        if self._client is None:
            return
        client, self._client = self._client, None
        try:
            client.run(shares.clean, self._job.name, on_error="ignore")
        except Exception:  # the cluster is gone: then so is what was there
            self.stats["scratch_left"] += 1
        client.close()

    def __iter__(self) -> Iterator[Recorded]:
        try:
            yield from self._follow()
        except (Error, GeneratorExit, KeyboardInterrupt):
            raise
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            raise ClusterError(f"the cluster has failed: {text}") from error

    def _follow(self) -> Iterator[Recorded]:
        self._check()
        scans, found = self._scan()
        damage = next((one.error for one in found if one.error), "")
        if damage:
            found = found[: [bool(one.error) for one in found].index(True) + 1]
            scans = scans[: len(found)]
        begins = self._begins(found)
        keys, pairs = self._overlap(scans, found)
        done = self._split(begins, keys, pairs)
        done += self._join(done, begins[-1])
        for one in done:
            self.stats.update(one.stats)
        yield from self._merged([one.records for one in done])
        if damage:
            raise CaptureError(damage)

    # the stages

    def _check(self) -> None:
        """Whether all workers can read all files, and are of our version."""
        answers = self._client.run(shares.look, self.paths, on_error="return")
        if not answers:
            raise ClusterError("the cluster has no worker")
        sizes: list[int | str] | None = None
        for worker, answer in answers.items():
            if isinstance(answer, BaseException):
                raise ClusterError(f"worker {worker} can't run uinet {__version__}: {answer}")
            version, files = answer
            if version != __version__:
                raise ClusterError(f"worker {worker} has uinet {version}, not {__version__}")
            for path, size in zip(self.paths, files, strict=True):
                if isinstance(size, str):
                    raise DeviceError(f"{path}: {size} (worker {worker})")
            if sizes is not None and files != sizes:
                raise ClusterError(f"worker {worker} has other files of these names than other workers")
            sizes = files

    def _scan(self) -> tuple[list[Any], list[Scan]]:
        scans = [self._submit(shares.scan, self._job, path) for path in self.paths]
        self._wait("reading files", scans)
        return scans, self._client.gather([self._submit(shares.summary, scan) for scan in scans])

    def _begins(self, found: list[Scan]) -> list[Begin]:
        """Where each file begins, and where all of them end."""
        begins = [Begin()]
        for path, one in zip(self.paths, found, strict=False):
            begin = begins[-1]
            end = after(begin, one)
            if end is None:
                clock: Begin = self._submit(shares.clock_after, self._job, path, begin).result()
                end = sum_up(begin, one, clock)
            begins.append(end)
        return begins

    def _overlap(self, scans: list[Any], found: list[Scan]) -> tuple[list[list[Any]], frozenset[int]]:
        """Of each file the keys that other files have too, as futures of parts; the address pairs whose frames all go
        elsewhere: those with fragments, in more than one file."""
        if len(scans) < 2:
            return [[] for _ in scans], frozenset()
        parts = range(self._job.parts)
        overlaps = [
            self._submit(shares.overlap, [self._submit(shares.keys_of, scan, part) for scan in scans]) for part in parts
        ]
        self._wait("comparing files", overlaps)
        keys = [
            [self._submit(shares.item, one, number) for one in overlaps] for number in range(len(scans))
        ]
        fragmented = frozenset().union(*(one.fragmented for one in found))
        shared: Counter[int] = Counter()
        if fragmented:
            for pairs in self._client.gather([self._submit(shares.pairs_of, scan, fragmented) for scan in scans]):
                shared.update(pairs)
        return keys, frozenset(pair for pair, files in shared.items() if files > 1)

    def _split(self, begins: list[Begin], keys: list[list[Any]], pairs: frozenset[int]) -> list[Done]:
        tasks = [
            self._submit(shares.split, self._job, path, number, own, pairs, begins[number], begins[number + 1 :])
            for number, (path, own) in enumerate(zip(self.paths, keys, strict=False))
        ]
        self._wait("following", tasks)
        done: list[Done] = self._client.gather(tasks)
        return done

    def _join(self, done: list[Done], end: Begin) -> list[Done]:
        """Follows what is shared."""
        tasks = []
        for part in range(self._job.parts):
            files = [one.shared[part] for one in done if one.shared[part].pieces]
            if files:
                tasks.append(self._submit(shares.join, self._job, part, files, end))
        self._wait("following what several files have", tasks)
        joined: list[Done] = self._client.gather(tasks)
        return joined

    def _merged(self, files: list[Scratch]) -> Iterator[Recorded]:
        """The records of all in order. A file of them is begun when it is its turn."""
        heap: list[tuple[bytes, int, Iterator[bytes] | None, Record]] = []
        for number, scratch in enumerate(files):
            if scratch.pieces:
                heap.append((scratch.pieces[0][2], number, None, {}))
        heapq.heapify(heap)
        serial = 0
        while heap:
            _, number, rest, found = heap[0]
            if rest is None:
                rest = self._entries(files[number])
            else:
                found["serial"] = serial
                serial += 1
                yield Recorded(found)
            entry = next(rest, None)
            if entry is None:
                heapq.heappop(heap)
            else:
                order, following = told(entry)
                heapq.heapreplace(heap, (order, number, rest, following))

    def _entries(self, scratch: Scratch) -> Iterator[bytes]:
        for piece in pieces(self._client, [scratch]):
            yield from entries(shares.expand(piece))

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._client.submit(function, *arguments, pure=False)

    def _wait(self, what: str, tasks: list[Any]) -> None:
        """Waits for all; raises what the first of them that fails has raised."""
        self._progress(what, 0, len(tasks))
        for number, task in enumerate(self._waited(tasks, loop=self._client.loop), 1):
            task.result()
            self._progress(what, number, len(tasks))


__all__ = ["Cluster", "ClusterError", "Recorded"]
