"""Chunks on disk: a folder of segments, to which chunks are appended; of more than the limit the oldest segment goes.

::

    FOLDER/name          16 bytes as hexadecimal digits: the store's name
    FOLDER/partners      a line each: a peer store's name, and from which number on it has what we have
    FOLDER/lock          locked while a process uses the folder
    FOLDER/00000012.seg  chunks: "UCHK" (4), length (4), digest (16), the chunk; the file's name is that of its turn

A segment that ends in the middle of a chunk, as after a crash, is cut there; a chunk that is not what its digest says
is left out when it is asked for.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

from uinet.codecs.constants import DIGEST, MOST
from uinet.codecs.store import LEAST_LIMIT, Partners, digest_of
from uinet.errors import DeviceError, InvalidArgument

try:
    import fcntl
except ImportError:  # not Unix
    fcntl = None  # type: ignore[assignment]

RECORD = struct.Struct(f">4sI{DIGEST}s")
MAGIC = b"UCHK"
SEGMENTS = 16  # that a full store has
SUFFIX = ".seg"


class StoreError(DeviceError):
    """The folder of a store can't be used."""


class Segment:
    """One file of chunks. `digests`: what it has."""

    def __init__(self, path: Path, number: int) -> None:
        self.path = path
        self.number = number
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        self.size = os.fstat(self.fd).st_size
        self.digests: set[bytes] = set()

    def close(self) -> None:
        """Closes the file."""
        os.close(self.fd)


class DiskStore:
    """Chunks in the folder `path`, up to `limit` bytes; StoreError if it can't be used. A chunk that can't be written
    is not kept, and counted; see `Store` for the rest."""

    def __init__(self, path: str, limit: int) -> None:
        if limit < LEAST_LIMIT:
            raise InvalidArgument(f"a store of {limit} bytes: want {LEAST_LIMIT} or more")
        if fcntl is None:
            raise StoreError("a store on disk needs a Unix: leave the folder out for one in memory")
        self.folder = Path(path)
        self.limit = limit
        self.segment_size = max(LEAST_LIMIT // 4, limit // SEGMENTS)
        self.index: dict[bytes, tuple[Segment, int, int, int]] = {}  # segment, offset, length, number
        self.segments: list[Segment] = []
        self.serial = 0
        self.size = 0
        self.evicted = self.corrupt = self.failed = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.lock = self._lock()
            self.name = self._read_name()
            self.partners = Partners(self._read_partners())
            for file in sorted(self.folder.glob(f"*{SUFFIX}")):
                if file.stem.isdigit():
                    self._load(Segment(file, int(file.stem)))
        except OSError as error:
            self._forget()
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"{path}: {error.strerror or error}: name a folder that can be written") from None
        self._trim()

    def _lock(self) -> int:
        fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise StoreError(f"{self.folder} is in use by another process: give each a folder of its own") from None
        return fd

    def _read_name(self) -> bytes:
        file = self.folder / "name"
        with contextlib.suppress(FileNotFoundError, ValueError):
            name = bytes.fromhex(file.read_text().strip())
            if len(name) == 16:
                return name
        name = os.urandom(16)
        file.write_text(name.hex() + "\n")
        return name

    def _read_partners(self) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        with contextlib.suppress(FileNotFoundError, ValueError):
            for line in (self.folder / "partners").read_text().splitlines():
                name, _, number = line.partition(" ")
                found[bytes.fromhex(name)] = int(number)
        return found

    def _write_partners(self) -> None:
        text = "".join(f"{name.hex()} {number}\n" for name, number in self.partners.known.items())
        try:
            (self.folder / "partners").write_text(text)
        except OSError:
            self.failed += 1

    def _load(self, segment: Segment) -> None:
        """Reads the headers of a segment's chunks; cuts it behind the last whole one."""
        at = 0
        while at < segment.size:
            head = os.pread(segment.fd, RECORD.size, at)
            if len(head) < RECORD.size:
                break
            magic, length, digest = RECORD.unpack(head)
            if magic != MAGIC or not 0 < length <= MOST or at + RECORD.size + length > segment.size:
                break
            self._note(segment, at + RECORD.size, length, digest)
            at += RECORD.size + length
        if at < segment.size:
            os.ftruncate(segment.fd, at)
            segment.size = at
        self.segments.append(segment)
        self.size += segment.size

    def _note(self, segment: Segment, offset: int, length: int, digest: bytes) -> None:
        self.index[digest] = segment, offset, length, self.serial
        segment.digests.add(digest)
        self.serial += 1

    def put(self, digest: bytes, chunk: bytes) -> None:
        """See `Store`. One that is there, and not in the older half, stays where it is."""
        known = self.index.get(digest)
        if known is not None and known[0].number >= self.segments[-1].number - SEGMENTS // 2:
            self.index[digest] = (*known[:3], self.serial)
            self.serial += 1
            return
        try:
            if not self.segments or self.segments[-1].size >= self.segment_size:
                number = self.segments[-1].number + 1 if self.segments else 0
                self.segments.append(Segment(self.folder / f"{number:08d}{SUFFIX}", number))
            segment = self.segments[-1]
            record = RECORD.pack(MAGIC, len(chunk), digest) + chunk
            if os.pwrite(segment.fd, record, segment.size) != len(record):
                os.ftruncate(segment.fd, segment.size)
                self.failed += 1
                return
        except OSError:
            self.failed += 1
            return
        self._note(segment, segment.size + RECORD.size, len(chunk), digest)
        segment.size += len(record)
        self.size += len(record)
        self._trim()

    def _trim(self) -> None:
        while self.size > self.limit and len(self.segments) > 1:
            oldest = self.segments.pop(0)
            for digest in oldest.digests:
                entry = self.index.get(digest)
                if entry is not None and entry[0] is oldest:
                    del self.index[digest]
                    self.evicted += 1
            self.size -= oldest.size
            oldest.close()
            with contextlib.suppress(OSError):
                oldest.path.unlink()

    def get(self, digest: bytes) -> bytes | None:
        """See `Store`."""
        entry = self.index.get(digest)
        if entry is None:
            return None
        segment, offset, length, _ = entry
        try:
            chunk = os.pread(segment.fd, length, offset)
        except OSError:
            chunk = b""
        if digest_of(chunk) == digest:
            return chunk
        self.corrupt += 1
        del self.index[digest]
        return None

    def number_of(self, digest: bytes) -> int:
        """See `Store`."""
        entry = self.index.get(digest)
        return entry[3] if entry is not None else -1

    def believe_from(self, partner: bytes, serial: int) -> int:
        """See `Store`. After a restart chunks are numbered anew, in the same order and no higher than before."""
        first, new = self.partners.believe_from(partner, serial)
        if new:
            self._write_partners()
        return first

    def statistics(self) -> dict[str, int]:
        """See `Store`."""
        return {
            "chunks": len(self.index), "bytes": self.size, "evicted": self.evicted, "corrupt": self.corrupt,
            "failed": self.failed,
        }

    def _forget(self) -> None:
        for segment in self.segments:
            segment.close()
        self.segments = []
        self.index.clear()
        lock = getattr(self, "lock", -1)
        if lock >= 0:
            os.close(lock)
            self.lock = -1

    def close(self) -> None:
        """See `Store`."""
        self._forget()

