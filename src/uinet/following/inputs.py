"""What may be followed: names, devices, files, bytes, and lists of them that are one capture."""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, BinaryIO

from uinet.errors import DeviceError, InvalidArgument
from uinet.following.source import Source, open_source
from uinet.link.device import Device

if TYPE_CHECKING:
    from uinet.passive.follower import Follower

Buffer = bytes | bytearray | memoryview
One = str | os.PathLike[str] | Device | BinaryIO | Buffer | Source
Input = One | Sequence[One]


class Sources:
    """One source or several, read one after another as one. The first is opened at once, the others when it is time.

    `position`, `size`: bytes read, and of all; size is None if nobody knows. `dropped`: packets lost by the kernel.
    `live`: whether the present one has to be waited for: a device, a pipe. `shared`: whether it is a device
    that belongs to this thread's program, so that no other thread may read it: one in memory.
    """

    def __init__(self, source: Input, filter: str | None = None) -> None:
        self.filter = filter
        self.rest: list[One] = [source] if is_one(source) else list(source)  # type: ignore[arg-type, list-item]
        if not self.rest:
            raise InvalidArgument("nothing to follow")
        self.done = 0  # bytes of those before the present one
        self.lost = 0
        self.known = known_size(self.rest)
        self.current: Source | None = None
        self.shared = False
        self._next()

    def pump(self, follower: Follower, stop: Callable[[], bool] | None = None) -> bool:
        """Feeds the follower some packets; False at the end of the last source. OSError as the source says."""
        if self.current is None:
            return False
        if self.current.pump(follower, stop):
            return True
        self._leave()
        if not self.rest:
            return False
        self._next()
        return True

    @property
    def live(self) -> bool:
        """Whether the present source has to be waited for."""
        return self.current is not None and self.current.size is None

    @property
    def dropped(self) -> int:
        """Packets lost by the kernel."""
        return self.lost + (self.current.dropped if self.current is not None else 0)

    @property
    def position(self) -> int:
        """Bytes read of all sources."""
        return self.done + (self.current.position if self.current is not None else 0)

    @property
    def size(self) -> int | None:
        """Bytes of all sources, None if nobody knows."""
        if self.known is not None or self.done or self.rest or self.current is None:
            return self.known
        return self.current.size

    def close(self) -> None:
        """Closes what is open, and opens nothing more."""
        self.rest.clear()
        if self.current is not None:
            self._leave()

    def _next(self) -> None:
        source = self.rest.pop(0)
        self.shared = isinstance(source, Device) and source.fileno() < 0
        self.current = open_one(source, self.filter)

    def _leave(self) -> None:
        assert self.current is not None
        self.done += self.current.position
        self.lost += self.current.dropped
        self.current.close()
        self.current = None


def is_one(source: object) -> bool:
    """Whether that is one source, not a sequence of them."""
    kinds = (str, os.PathLike, Device, bytes, bytearray, memoryview, Source)
    return isinstance(source, kinds) or hasattr(source, "read")


def open_one(source: One, filter: str | None) -> Source:
    """The source, open. Errors as of `open_source`."""
    if isinstance(source, Source):
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        opened = open_source(io.BytesIO(source), filter=filter)
        opened.size = len(bytes(source))
        return opened
    opened = open_source(source, filter=filter)
    if opened.size is None and not isinstance(source, (str, os.PathLike, Device)):
        opened.size = regular_size(source)
    return opened


def regular_size(file: BinaryIO) -> int | None:
    """The size of an open file that is one on a disk, None of all others."""
    try:
        found = os.fstat(file.fileno())
    except (OSError, AttributeError):  # a file of Python's making has no descriptor
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def known_size(sources: list[One]) -> int | None:
    """Bytes of all of several, if all are files with names. DeviceError if one is not there: better now than late."""
    if len(sources) < 2:
        return None
    total: int | None = 0
    for source in sources:
        size = None
        if isinstance(source, (str, os.PathLike)) and not is_no_path(source):
            try:
                found = os.stat(source)
            except OSError as error:
                raise DeviceError(f"{os.fspath(source)}: {error.strerror}") from None
            if stat.S_ISREG(found.st_mode):
                size = found.st_size
        total = total + size if total is not None and size is not None else None
    return total


def is_no_path(source: str | os.PathLike[str]) -> bool:
    """Whether a name is one of a device, or of standard input."""
    return isinstance(source, str) and (source == "-" or re.match(r"[a-z]+:", source) is not None)
