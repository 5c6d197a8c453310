"""Streams into files: one file for each direction of each connection."""

from __future__ import annotations

import errno
import os
import resource
from collections import OrderedDict
from typing import TYPE_CHECKING

from uinet.errors import InvalidArgument
from uinet.following.streams import PENDING, Coalescer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from uinet.passive.connection import Connection
    from uinet.passive.half import Half

MOST_OPEN = 1024
SIDES = ("client", "server")


class Names:
    """The files of one connection, the client's and the server's: what they are called, and which have been made."""

    __slots__ = ("full", "made", "names")

    def __init__(self, stem: str) -> None:
        self.names = (f"{stem}.{SIDES[0]}", f"{stem}.{SIDES[1]}")
        self.made = [False, False]
        self.full = [False, False]  # as large as files can be


class StreamFiles:
    """A handler (see :mod:`uinet.following.streams`) that writes streams into the directory `path`.

    A file is called ``10.0.0.1.1234-10.0.0.2.80.client`` after the client's address and port, the server's, and who
    sent its bytes; with a VLAN stack ``v100.200-`` stands before that, and behind it, if the same two have met before,
    ``-2``, ``-3`` (``10.0.0.1.1234-10.0.0.2.80-2.client``). Holes are zeros, and take no room on disks that can leave
    them out. A stream without bytes has no file.

    The directory is made if it is not there, and has to be empty: InvalidArgument. No name is followed out of it.
    OSError, with the file's name, if one can't be written. A stream longer than files can be, which one can pretend
    with a few packets and the holes between them, ends at that length in its file, and the others go on: `too_large` is
    then that error, of the first one. `closed`: what else is to be told of a connection's end.
    """

    def __init__(
        self, path: Path, closed: Callable[[Connection], object] | None = None, *, digests: bool = False,
        pending: int = PENDING,
    ) -> None:
        self.path = path
        self.also_closed = closed
        self.sink = Coalescer(self, digests=digests, pending=pending)
        self.written = 0
        self.files = 0
        self.too_large: OSError | None = None
        self._suffixes: dict[str, int] = {}  # the last number, of names that came more than once
        self._open: OrderedDict[str, int] = OrderedDict()  # those used least recently first
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = MOST_OPEN if soft == resource.RLIM_INFINITY else max(1, min(MOST_OPEN, soft // 2))
        path.mkdir(parents=True, exist_ok=True)
        self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        if os.listdir(self._directory):
            os.close(self._directory)
            raise InvalidArgument(f"{path} is not empty: streams go into a directory of their own")

    def chunk(self, connection: Connection, half: Half, offset: int, data: bytes, time: int) -> None:
        """Writes the bytes to their place."""
        names, side = self._names(connection), int(half is not connection.client)
        if names.full[side]:
            return
        try:
            descriptor = self._descriptor(names, side)
            done = os.pwrite(descriptor, data, offset)
            while done < len(data):
                done += os.pwrite(descriptor, data[done:], offset + done)
        except OSError as error:
            self._full(error, names, side)
            return
        self.written += len(data)

    def hole(
        self, connection: Connection, half: Half, offset: int, length: int, reason: str, time: int
    ) -> None:
        """Makes the file as long as if the bytes were there."""
        names, side = self._names(connection), int(half is not connection.client)
        if names.full[side]:
            return
        try:
            os.ftruncate(self._descriptor(names, side), offset + length)
        except OSError as error:
            self._full(error, names, side)

    def closed(self, connection: Connection) -> None:
        """Closes the connection's files."""
        for name in self.names(connection):
            descriptor = self._open.pop(name, None)
            if descriptor is not None:
                self._close(name, descriptor)
        if self.also_closed is not None:
            self.also_closed(connection)

    def names(self, connection: Connection) -> tuple[str, ...]:
        """Of a connection that has not been closed: the names of its two files, of which one may not be there; () if
        neither is."""
        names = self.sink.pair(connection).store
        return names.names if names is not None else ()

    def close(self) -> None:
        """Closes whatever is open."""
        while self._open:
            self._close(*self._open.popitem())
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def _names(self, connection: Connection) -> Names:
        pair = self.sink.pair(connection)
        if pair.store is None:
            pair.store = Names(self._free_stem(stem_of(connection)))
        names: Names = pair.store
        return names

    def _free_stem(self, stem: str) -> str:
        """`stem`, or with the first number of which there is neither file: the two of a connection belong together."""
        number = self._suffixes.get(stem, 1)
        while True:
            found = stem if number == 1 else f"{stem}-{number}"
            if not any(self._exists(f"{found}.{side}") for side in SIDES):
                break
            number += 1
        if number > 1:
            self._suffixes[stem] = number
        return found

    def _exists(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._named(error, name) from None
        return True

    def _descriptor(self, names: Names, side: int) -> int:
        name = names.names[side]
        descriptor = self._open.get(name)
        if descriptor is not None:
            self._open.move_to_end(name)
            return descriptor
        while len(self._open) >= self._most:
            self._close(*self._open.popitem(last=False))
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        if not names.made[side]:
            flags |= os.O_CREAT | os.O_EXCL
        descriptor = os.open(name, flags, 0o666, dir_fd=self._directory)
        self.files += not names.made[side]
        names.made[side] = True
        self._open[name] = descriptor
        return descriptor

    def _close(self, name: str, descriptor: int) -> None:
        try:
            os.close(descriptor)
        except OSError as error:  # some file systems say only here that the disk is full
            raise self._named(error, name) from None

    def _full(self, error: OSError, names: Names, side: int) -> None:
        """No more can be written to a file; that ends all, unless it is only the file that is too large."""
        named = self._named(error, names.names[side])
        if error.errno != errno.EFBIG:
            raise named from None
        names.full[side] = True
        if self.too_large is None:
            self.too_large = named

    def _named(self, error: OSError, name: str) -> OSError:
        """The error, which says which file it is about."""
        error.filename = str(self.path / name)
        return error


def stem_of(connection: Connection) -> str:
    """``v100.200-10.0.0.1.1234-10.0.0.2.80``: a name without slashes, of at most 200 letters."""
    (client, cport), (server, sport) = connection.client_address, connection.server_address
    stem = f"{client}.{cport}-{server}.{sport}"
    vids = ".".join(str(tag.vid) for tag in connection.vlans)
    return f"v{vids}-{stem}" if vids else stem
