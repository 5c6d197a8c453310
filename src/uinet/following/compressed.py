"""Compressed captures: gzip, zstd, bzip2 and xz, known by how they begin, expanded piece by piece.

Read first: RFC 1952 (gzip), RFC 8878 (zstd). A file may be several compressed streams one after another, as parallel
compressors write them. However much a piece stands for, at most `CHUNK` bytes of it exist at a time.
"""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from uinet.errors import CaptureError
from uinet.following.magic import MAGIC_LENGTH, ZSTD_SKIPPABLE, kind_of

CHUNK = 256 * 1024
NO_ZSTD = "a zstd-compressed capture needs Python 3.14 or the package zstandard: pip install 'uinet[follow]'"
NO_LZ4 = "an lz4-compressed capture can't be read: decompress it first"


class Decompressor(Protocol):
    """One compressed stream, in the words of Python's own modules (bz2, lzma, compression.zstd)."""

    @property
    def eof(self) -> bool:
        """Whether the stream's end has been reached."""

    @property
    def needs_input(self) -> bool:
        """Whether `decompress` can do nothing without more data."""

    @property
    def unused_data(self) -> bytes:
        """What came behind the stream's end."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Takes data; at most about `max_length` bytes that they stand for. The rest comes with the next call."""


class Expander:
    """The data of compressed streams of one kind, one behind the other.

    `feed` it, then `read` until that gives nothing; `finish` at the end of the input.
    """

    def __init__(self, kind: str, make: Callable[[], Decompressor]) -> None:
        self.kind = kind
        self._make = make
        self._stream: Decompressor | None = make()
        self._pending = b""

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the file."""
        self._pending += data

    def read(self) -> bytes:
        """The next expanded bytes, b"" if more have to be fed. CaptureError, one line, if the file is damaged."""
        while True:
            if self._stream is None and not self._next_stream():
                return b""
            stream = self._stream
            assert stream is not None
            if not self._pending and stream.needs_input:
                return b""
            data, self._pending = self._pending, b""
            try:
                expanded = stream.decompress(data, CHUNK)
            except _errors() as error:
                raise CaptureError(f"damaged {self.kind} data: {' '.join(str(error).split())}") from None
            if stream.eof:
                self._pending = stream.unused_data
                self._stream = None
            if expanded:
                return expanded

    def _next_stream(self) -> bool:
        """Begins the stream behind the last one, if there is one; padding with zeros is allowed."""
        self._pending = self._pending.lstrip(b"\0")
        if len(self._pending) < MAGIC_LENGTH:
            return False
        if kind_of(self._pending) != self.kind:
            raise CaptureError(f"something else follows the {self.kind} data")
        self._stream = self._make()
        return True

    def finish(self) -> None:
        """Says that the file has ended: CaptureError, one line, if a stream has not."""
        if self._stream is not None or self._pending:
            raise CaptureError(f"{self.kind} data cut off")


def expander(kind: str) -> Expander:
    """What expands files of a kind. CaptureError, one line, where this Python can't."""
    if kind == "zstd":
        return Expander(kind, _zstd())
    if kind == "lz4":
        raise CaptureError(NO_LZ4)
    makers: dict[str, Callable[[], Decompressor]] = {
        "gzip": _Gzip, "bzip2": bz2.BZ2Decompressor, "xz": lzma.LZMADecompressor,
    }
    return Expander(kind, makers[kind])


class _Gzip:
    """zlib in the words of the others."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        tail = self._inflate.unconsumed_tail
        expanded = self._inflate.decompress(tail + data if tail else data, max_length)
        self.needs_input = not self._inflate.unconsumed_tail and len(expanded) < max_length
        return expanded


def _module(name: str) -> Any:
    """A module that may not be here, or None."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _zstd() -> Callable[[], Decompressor]:
    module = _module("compression.zstd")
    if module is not None:
        make: Callable[[], Decompressor] = module.ZstdDecompressor
        return make
    package = _module("zstandard")
    if package is None:
        raise CaptureError(NO_ZSTD)
    return lambda: ZstdFrame(package.ZstdDecompressor().decompressobj())


def _errors() -> tuple[type[Exception], ...]:
    """What decompressors raise for damaged data."""
    modules = [_module("compression.zstd"), _module("zstandard")]
    zstd: list[type[Exception]] = [module.ZstdError for module in modules if module is not None]
    return (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, *zstd)


class ZstdFrame:
    """One frame for the package zstandard, in the words of the others.

    Its own decompressor expands whatever it is given at once, so it is given one block at a time: a block stands for
    128 KiB at most (RFC 8878, 3.1.1.2)::

        magic (4) | descriptor (1) | window (0, 1) | dictionary (0, 1, 2, 4) | content size (0, 1, 2, 4, 8)
        block: last (1 bit), type (2 bits), size (21 bits); data
        checksum (0, 4)
    """

    def __init__(self, inner: Any) -> None:
        self.eof = False
        self.needs_input = True
        self.unused_data = b""
        self._inner = inner
        self._data = b""
        self._at = 0
        self._part = "header"  # what comes next: header, block, checksum, or skipped
        self._skip = 0  # bytes of a skippable frame to come
        self._has_checksum = False
        self._last = False

    def decompress(self, data: bytes, max_length: int) -> bytes:
        self._data = self._data[self._at :] + data
        self._at = 0
        while not self.eof:
            if self._part == "skipped":
                self._skip_frame()
                break
            length = self._length()
            end = self._at + length
            if not length or end > len(self._data):
                break
            expanded = self._take(end)
            if expanded:
                self.needs_input = False
                return expanded
        self.needs_input = True
        return b""

    def _length(self) -> int:
        """The length of the part that comes next; 0 if that can't be told yet."""
        here = self._data[self._at : self._at + 8]
        if self._part == "header":
            return _header_length(here) if len(here) == 8 else 0
        if self._part == "checksum":
            return 4
        if len(here) < 3:
            return 0
        head = int.from_bytes(here[:3], "little")
        return 4 if head >> 1 & 3 == 1 else 3 + (head >> 3)  # type 1: one byte, repeated

    def _take(self, end: int) -> bytes:
        """What the part up to `end` expands to."""
        part = self._data[self._at : end]
        self._at = end
        if self._part == "header":
            if part[1:4] == ZSTD_SKIPPABLE:
                self._part = "skipped"
                self._skip = int.from_bytes(part[4:8], "little")
                return b""
            self._has_checksum = bool(part[4] & 4)
        elif self._part == "block":
            self._last = bool(part[0] & 1)
        expanded: bytes = self._inner.decompress(part)
        if not self._last:
            self._part = "block"
        elif self._has_checksum and self._part == "block":
            self._part = "checksum"
        else:
            self._end()
        return expanded

    def _skip_frame(self) -> None:
        skipped = min(self._skip, len(self._data) - self._at)
        self._skip -= skipped
        self._at += skipped
        if not self._skip:
            self._end()

    def _end(self) -> None:
        self.eof = True
        self.unused_data = self._data[self._at :]


def _header_length(head: bytes) -> int:
    """The length of a frame's header, of which these are the first eight bytes; all there is of a skippable one."""
    if head[1:4] == ZSTD_SKIPPABLE:
        return 8
    descriptor = head[4]
    single = descriptor >> 5 & 1
    content_size = (single, 2, 4, 8)[descriptor >> 6]
    return 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3] + content_size
