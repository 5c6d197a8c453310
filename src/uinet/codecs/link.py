"""A session on an asyncio reader and writer: the connection to the other proxy of a pair.

`Link.run` takes what comes for as long as the connection lasts, whether or not anybody reads: that is bounded by the
protocol. What is held back because more may come is sent when nothing has come for FLUSH_DELAY.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uinet.codecs.session import Session
from uinet.codecs.wire import CodecError
from uinet.errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterable

READ = 65536
FLUSH_DELAY = 0.003  # s; a stream that pauses for less is in the middle of something


class Link:
    """`session` over `reader` and `writer`, which are the connection to the other proxy."""

    def __init__(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.session = session
        self.loop = asyncio.get_running_loop()
        self.reader = reader
        self.writer = writer
        self.error: BaseException | None = None
        self.changed = asyncio.Event()  # something may be read, or sent, or it is over
        self.timer: asyncio.TimerHandle | None = None
        self.wrote = 0.0
        self.closed = False  # for writing

    async def run(self) -> None:
        """Takes what comes until both streams are over, both ends know, and the other has closed its side of the
        connection; ours is closed as soon as both know. CodecError, and what ends the connection."""
        session = self.session
        self._push()
        try:
            while data := await self.reader.read(READ):
                session.receive(data)
                self._push()
                self._wake()
            session.receive_eof()
        except BaseException as error:
            self.error = error
            if isinstance(error, CodecError):
                self._push()  # the refusal
            raise
        finally:
            self._stop_timer()
            self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def _push(self) -> None:
        data = self.session.take()
        if data:
            self.writer.write(data)
        if self.session.finished and not self.closed:
            self.closed = True
            self.writer.write_eof()

    def _check(self) -> None:
        if self.error is not None:
            raise ConnectionResetError("the connection to the other proxy is gone") from self.error

    async def read(self) -> bytes:
        """Some bytes of the peer's stream, b"" at its end."""
        while True:
            data = self.session.read()
            if data:
                self._push()  # there may be credit
                return data
            if self.session.at_end:
                self._push()
                return b""
            self._check()
            await self.changed.wait()

    async def write(self, data: bytes) -> None:
        """Sends bytes of our stream; waits while the other end, or the connection, has no room."""
        while data:
            self._check()
            taken = self.session.send(data)
            if taken:
                self._push()
                data = data[taken:]
                await self.writer.drain()
            else:
                await self.changed.wait()
        self.wrote = self.loop.time()
        if self.session.holds and self.timer is None:
            self.timer = self.loop.call_later(FLUSH_DELAY, self._idle)

    def _idle(self) -> None:
        """Sends what is held back, unless more has come meanwhile or the connection has enough to do."""
        self.timer = None
        if not self.session.holds or self.error is not None:
            return
        left = self.wrote + FLUSH_DELAY - self.loop.time()
        if left > 1e-6 or self.writer.transport.get_write_buffer_size():
            self.timer = self.loop.call_later(max(left, FLUSH_DELAY / 4), self._idle)
            return
        self.session.flush()
        self._push()

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    async def end(self) -> None:
        """Our stream is over."""
        self._check()
        self.session.end()
        self._stop_timer()
        self._push()
        await self.writer.drain()


class LinkWriter:
    """What a link sends, as those who know asyncio's writers use it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.waiting: list[bytes] = []
        self.ended = False

    @property
    def transport(self) -> asyncio.WriteTransport:
        """That of the connection to the other proxy."""
        return self.link.writer.transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keeps bytes for the next `drain`."""
        if self.ended:
            raise Error("the stream has been ended")
        self.waiting.append(bytes(data))

    def writelines(self, data: Iterable[bytes]) -> None:
        """See `write`."""
        self.waiting += map(bytes, data)

    async def drain(self) -> None:
        """Sends what was written, and waits until there is room again."""
        while self.waiting:
            data = b"".join(self.waiting)
            self.waiting.clear()
            await self.link.write(data)

    def can_write_eof(self) -> bool:
        """True."""
        return True

    def write_eof(self) -> None:
        """No more will be written; what was is sent by whoever has called the function that wrote it."""
        self.ended = True

    close = write_eof

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self.ended or self.link.error is not None

    async def wait_closed(self) -> None:
        """See `drain`."""
        await self.drain()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of the connection to the other proxy."""
        return self.link.writer.get_extra_info(name, default)


class Brake(asyncio.Transport):
    """What a reader that has enough pauses."""

    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Event()
        self.free.set()

    def pause_reading(self) -> None:
        """Nothing more for now."""
        self.free.clear()

    def resume_reading(self) -> None:
        """More, please."""
        self.free.set()


async def feed(link: Link, reader: asyncio.StreamReader) -> None:
    """Gives `reader` the peer's stream, as it has room."""
    brake = Brake()
    reader.set_transport(brake)
    try:
        while data := await link.read():
            reader.feed_data(data)
            await brake.free.wait()
    except Exception as error:
        reader.set_exception(error)
        raise
    reader.feed_eof()
