"""Standard input for asyncio, whatever it is: a terminal, a pipe, or a file, which no loop can wait for."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Protocol

CHUNK = 65536


class Stdio(Protocol):
    """What is read from and written to: standard input and output, or what a test puts in their place."""

    async def read(self) -> bytes:
        """The next bytes; b"" at the end."""

    async def write(self, data: bytes) -> None:
        """Writes all of `data`."""


class Standard:
    """Standard input and output of this process."""

    def __init__(self) -> None:
        self.input = Input(sys.stdin.fileno())
        self.read = self.input.read

    async def write(self, data: bytes) -> None:
        """Writes all of `data`, off the event loop: whoever reads it may be slow."""

        def write() -> None:
            view = memoryview(data)
            while view:
                view = view[os.write(sys.stdout.fileno(), view) :]

        await asyncio.get_running_loop().run_in_executor(None, write)


class Input:
    """Reads a descriptor in a thread of its own, a chunk ahead and no more: back-pressure for whoever writes.

    The thread is a daemon: one that waits for a terminal doesn't keep the program from ending.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.loop = asyncio.get_running_loop()
        self.chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue()
        self.wanted = threading.Semaphore(2)
        self.ended = False
        threading.Thread(target=self._read_all, name="standard input", daemon=True).start()

    def _read_all(self) -> None:
        data: bytes | OSError = b"first"
        while data and not isinstance(data, OSError):
            self.wanted.acquire()
            try:
                data = os.read(self.descriptor, CHUNK)
            except OSError as error:
                data = error
            try:
                self.loop.call_soon_threadsafe(self.chunks.put_nowait, data)
            except RuntimeError:
                return  # the loop is closed: nobody wants it any more

    async def read(self) -> bytes:
        """The next bytes; b"" at the end, and ever after. OSError if reading fails."""
        if self.ended:
            return b""
        data = await self.chunks.get()
        self.wanted.release()
        self.ended = not data or isinstance(data, OSError)
        if isinstance(data, OSError):
            raise data
        return data
