"""Where streams wait to be read: in memory up to a limit, beyond it in one temporary file that has no name."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator
from typing import IO, NamedTuple

from uinet.errors import SpoolError
from uinet.passive import holes
from uinet.passive.holes import REASONS

MEMORY = 64 << 20
ENTRY = struct.Struct("<QQqBQ")  # offset, length, time, kind, place in the file
CHUNK_OVERHEAD = 33 + 33 + 8 + 12  # of a chunk in memory: its entry, the bytes object, its place in a list, and spare
STREAM_OVERHEAD = 400
IN_MEMORY, IN_FILE, HOLE = 0, 1, 2  # kinds; a hole's is HOLE and its reason
OVERRUN = REASONS[holes.OVERRUN]
SMALLEST = 9  # 2**9: the smallest piece of the file that is given to a chunk


class Chunk(NamedTuple):
    """A piece of a stream: its bytes, or the hole that is in their place.

    `hole`: None, or why the bytes are missing, and then `data` is empty. `time`: seconds since 1970, of the packet
    that brought its first byte, or of when the hole was declared.
    """

    offset: int
    data: bytes
    hole: str | None
    time: float
    length: int


class Spool:
    """The place of all streams' chunks. `memory`: how many bytes stay in memory; `limit`: of the file, None for none.

    The file is made when it is needed, in `directory` (default: the system's place for temporary files), has no name,
    and is gone with the process. What is given back is used again; when nothing is left the file is cut to nothing.
    """

    def __init__(self, memory: int = MEMORY, limit: int | None = None, directory: str | None = None) -> None:
        self._file: IO[bytes] | None = None
        self.memory = memory
        self.limit = limit
        self.directory = directory
        self.in_memory = 0
        self.in_file = 0
        self.end = 0  # of the file
        self._free: dict[int, list[int]] = {}  # places of the file, by the power of two that is their size

    def put(self, data: bytes) -> bytes | int | None:
        """Keeps a chunk's bytes: themselves, or their place in the file; None if both are full. SpoolError."""
        charge = len(data) + CHUNK_OVERHEAD
        if self.in_memory + charge <= self.memory:
            self.in_memory += charge
            return data
        return self._write(data)

    def get(self, kept: bytes | int, length: int) -> bytes:
        """The bytes that `put` has kept."""
        if isinstance(kept, bytes):
            return kept
        assert self._file is not None
        data = self._pread(kept, length)
        if len(data) != length:
            raise SpoolError("the temporary file for streams has been cut short")
        return data

    def drop(self, kept: bytes | int, length: int) -> None:
        """Gives back what `put` has kept."""
        if isinstance(kept, bytes):
            self.in_memory -= length + CHUNK_OVERHEAD
            return
        self.in_memory -= ENTRY.size
        size = size_class(length)
        self._free.setdefault(size, []).append(kept)
        self.in_file -= 1 << size
        if self.in_file == 0 and self._file is not None:
            self._free.clear()
            self.end = 0
            os.ftruncate(self._file.fileno(), 0)

    def close(self) -> None:
        """Forgets everything; the file is gone."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        self.close()

    def _write(self, data: bytes) -> int | None:
        size = size_class(len(data))
        free = self._free.get(size)
        if free:
            place = free.pop()
        else:
            place = self.end
            if self.limit is not None and place + (1 << size) > self.limit:
                return None
            self.end += 1 << size
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(  # noqa: SIM115 - closed by close
                    buffering=0, dir=self.directory, prefix="uinet-"
                )
            written = 0
            while written < len(data):
                written += os.pwrite(self._file.fileno(), data[written:] if written else data, place + written)
        except OSError as error:
            where = self.directory or tempfile.gettempdir()
            raise SpoolError(f"{where}: no room for streams that wait to be read: {error.strerror}") from error
        self.in_file += 1 << size
        self.in_memory += ENTRY.size
        return place

    def _pread(self, place: int, length: int) -> bytes:
        assert self._file is not None
        try:
            return os.pread(self._file.fileno(), length, place)
        except OSError as error:
            raise SpoolError(f"the temporary file for streams: {error.strerror}") from error


def size_class(length: int) -> int:
    """The power of two that a chunk of that length takes of the file."""
    return max(SMALLEST, (length - 1).bit_length())


class Kept:
    """One stream's chunks and holes in a spool. They are given back when this object goes.

    What describes a chunk or a hole is 33 bytes of `index`, which stay in memory.
    """

    __slots__ = ("index", "overruns", "pieces", "spool")

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.index = bytearray()
        self.pieces: list[bytes] = []  # those that are in memory, in their order
        self.overruns: list[tuple[int, int, str]] = []
        spool.in_memory += STREAM_OVERHEAD

    def add(self, offset: int, data: bytes, time: int) -> None:
        """Keeps a chunk; where there is no room for it, that it was there: a hole, "overrun"."""
        kept = self.spool.put(data)
        if kept is None:
            self.overruns.append((offset, len(data), OVERRUN))
            if len(self.overruns) > 1 and sum(self.overruns[-2][:2]) == offset:
                first, length, _ = self.overruns[-2]
                self.overruns[-2:] = [(first, length + len(data), OVERRUN)]
            self.add_hole(offset, len(data), OVERRUN, time)
        elif isinstance(kept, bytes):
            self.pieces.append(kept)
            self.index += ENTRY.pack(offset, len(data), time, IN_MEMORY, 0)
        else:
            self.index += ENTRY.pack(offset, len(data), time, IN_FILE, kept)

    def add_hole(self, offset: int, length: int, reason: str, time: int) -> None:
        """Keeps a hole; one that goes on where the last one of the same reason ended is the same."""
        kind = HOLE + REASONS.index(reason)
        if self.index:
            start, before, when, what, _ = ENTRY.unpack_from(self.index, len(self.index) - ENTRY.size)
            if what == kind and start + before == offset:
                ENTRY.pack_into(self.index, len(self.index) - ENTRY.size, start, before + length, when, kind, 0)
                return
        self.index += ENTRY.pack(offset, length, time, kind, 0)

    def __iter__(self) -> Iterator[Chunk]:
        pieces = iter(self.pieces)
        for offset, length, time, kind, place in ENTRY.iter_unpack(self.index):
            if kind >= HOLE:
                yield Chunk(offset, b"", REASONS[kind - HOLE], time / 1e9, length)
            else:
                data = next(pieces) if kind == IN_MEMORY else self.spool.get(place, length)
                yield Chunk(offset, data, None, time / 1e9, length)

    def clear(self) -> None:
        """Gives everything back."""
        for piece in self.pieces:
            self.spool.drop(piece, len(piece))
        for _, length, _, kind, place in ENTRY.iter_unpack(self.index):
            if kind == IN_FILE:
                self.spool.drop(place, length)
        self.pieces.clear()
        self.index = bytearray()

    def __del__(self) -> None:
        self.clear()
        self.spool.in_memory -= STREAM_OVERHEAD
