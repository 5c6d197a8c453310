"""The bytes of captures: from files, pipes and file objects, a chunk at a time."""

from __future__ import annotations

import io
import os
import select
import stat
from typing import BinaryIO, Protocol

from uinet.errors import CaptureError, DeviceError, InvalidArgument

CHUNK = 256 * 1024  # stays in a core's cache between reading and parsing, and is memory that malloc keeps
WAIT = 100  # ms that a reader waits for a pipe, so that it can be told to stop


class Input(Protocol):
    """Bytes that come one after another. `size`: of all of them, if that is known; `position`: read so far."""

    name: str
    size: int | None
    position: int

    def ready(self) -> bool:
        """Whether `read` has something to say at once; waits 0.1 s for that."""

    def read(self) -> bytes:
        """The next bytes, at least one, at most about a chunk; b"" at the end. CaptureError."""

    def close(self) -> None:
        """Closes what was opened here."""


class DescriptorInput:
    """A file descriptor: a file, a pipe, a terminal. `owned`: closed by `close`."""

    def __init__(self, name: str, descriptor: int, *, owned: bool = False) -> None:
        self.name = name
        self.size: int | None = None
        self.position = 0
        self._descriptor = descriptor
        self._owned = owned
        self._poll: select.poll | None = None
        try:
            status = os.fstat(descriptor)
        except OSError as error:
            raise DeviceError(f"{name}: {error.strerror}") from None
        if stat.S_ISREG(status.st_mode):
            self.size = status.st_size
        elif hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLIN)

    def ready(self) -> bool:
        return self._poll is None or bool(self._poll.poll(WAIT))

    def read(self) -> bytes:
        try:
            data = os.read(self._descriptor, CHUNK)
        except OSError as error:
            raise CaptureError(f"can't be read: {error.strerror}") from None
        self.position += len(data)
        return data

    def close(self) -> None:
        if self._owned:
            self._owned = False
            os.close(self._descriptor)


class ObjectInput:
    """An open binary file of Python's, read from where it is; it stays open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        name = getattr(file, "name", "")
        self.name = name if name and isinstance(name, str) else "capture"
        self.position = 0
        self.size: int | None = None
        if isinstance(file, io.TextIOBase):
            raise InvalidArgument(f"{self.name}: a capture is read from a file that is open in binary mode")
        # some objects give less than is asked for at once (read1), which suits pipes
        self._read = getattr(file, "read1", file.read)

    def ready(self) -> bool:
        return True

    def read(self) -> bytes:
        try:
            data = self._read(CHUNK)
        except (OSError, ValueError) as error:
            raise CaptureError(f"can't be read: {error}") from None
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise CaptureError(f"can't be read: it gives {type(data).__name__}, not bytes")
        self.position += len(data)
        return bytes(data)

    def close(self) -> None:
        """The file is its owner's."""


def open_path(path: str) -> DescriptorInput:
    """The file at a path, a FIFO perhaps: opening that waits for its writer. DeviceError, one line."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise DeviceError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        return DescriptorInput(path, descriptor, owned=True)
    except BaseException:
        os.close(descriptor)
        raise
