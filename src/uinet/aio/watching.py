"""Watched connections on an event loop: a transport, or a reader, for each of their two directions.

Nothing is ever sent. Reading may be paused as anywhere; the socket's receive buffer fills then, and what comes after
that is a hole, since nobody can be asked to wait.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from uinet.aio.channel import Channel
from uinet.aio.transport import Transport
from uinet.errors import NotSupported
from uinet.events import EV_CLOSED, EV_EOF, EV_ERROR, EV_READABLE
from uinet.passive_socket import Hole, PassiveSocket
from uinet.sockopt import IPPROTO_TCP, MSG_HOLE_BREAK, TCP_HOLE

logger = logging.getLogger("uinet")
MOST = 256 * 1024  # bytes of one read
MAX_HOLES = 4096  # that a reader remembers

WatchHandler = Callable[["WatchedReader", "WatchedReader"], Awaitable[None] | None]


class PassiveChannel(Channel):
    """One direction of a watched connection and its protocol."""

    sock: PassiveSocket

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Lets another protocol take over."""
        super().set_protocol(protocol)
        self.hole_received: Callable[[Hole], None] | None = getattr(protocol, "hole_received", None)
        self.note_holes: Callable[[list[Hole]], None] | None = getattr(protocol, "note_holes", None)

    def on_event(self, sock: Any, events: int) -> None:
        """What the socket calls."""
        if not self.lost and events & (EV_READABLE | EV_EOF | EV_ERROR | EV_CLOSED):
            self.read()

    def catch_up(self) -> None:
        """Reads what came while nobody listened."""
        if not self.lost:
            self.read()

    def readable(self) -> bool:
        """Whether the socket has something to say."""
        return self.sock.readable

    def read_once(self) -> bool:
        """Reads once; whether the stream has ended."""
        if self.pass_hole():
            return False
        if self.note_holes is not None:
            data, ancillary, _, _ = self.sock.recvmsg(MOST)
            holes = [hole for level, name, hole in ancillary if (level, name) == (IPPROTO_TCP, TCP_HOLE)]
            if holes:
                self.note_holes(holes)
        else:
            data = self.sock.recv(MOST, MSG_HOLE_BREAK if self.hole_received is not None else 0)
        return self.hand_over(data)

    def read_into_buffer(self) -> bool:
        """Reads once into the buffer of a BufferedProtocol; whether the stream has ended."""
        return False if self.pass_hole() else super().read_into_buffer()

    def receive_into(self, buffer: Any) -> int:
        """Reads from the socket into `buffer`; how many bytes."""
        return self.sock.recv_into(buffer, 0, MSG_HOLE_BREAK if self.hole_received is not None else 0)

    def pass_hole(self) -> bool:
        """Tells a protocol that wants to hear of it of a hole that comes next; whether there was one."""
        if self.hole_received is None:
            return False
        hole = self.sock.skip_hole()
        if hole is None:
            return False
        try:
            self.hole_received(hole)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.fatal(error, "protocol.hole_received() failed")
        return True

    def receive_eof(self) -> None:
        """The stream has ended."""
        self.read_eof = True
        try:
            keep_open = self.protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.fatal(error, "protocol.eof_received() failed")
            return
        if not keep_open and not self.lost:
            why = self.sock.error
            self.sock.close()
            self.lose(why)

    def call_connection_lost(self, error: BaseException | None) -> None:
        """The last word to the protocol."""
        try:
            super().call_connection_lost(error)
        finally:
            self.hole_received = self.note_holes = None


class PassiveTransport(Transport):
    """One direction of a watched connection, for one protocol; it can only be read.

    A protocol with a method ``hole_received(hole)`` is told of each :class:`uinet.Hole` there; without it holes are
    zeros in its data. `peer`: the transport of the other direction, also ``get_extra_info("passive_peer")``. At the
    end of the stream `eof_received` is called, then `connection_lost`, with the error if there was no FIN.
    """

    sock: PassiveSocket
    peer: PassiveTransport | None = None
    _channel_class = PassiveChannel

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As of any transport, and `passive_peer`."""
        if name == "passive_peer":
            return self.peer
        return super().get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """NotSupported."""
        raise NotSupported("a watched connection can't be written to")

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """NotSupported."""
        raise NotSupported("a watched connection can't be written to")

    def write_eof(self) -> None:
        """NotSupported."""
        raise NotSupported("a watched connection can't be written to")

    def can_write_eof(self) -> bool:
        """False."""
        return False


class WatchedReader(asyncio.StreamReader):
    """What one side of a watched connection sent; holes read as zeros.

    `holes`: the latest of them, (offset, length, reason) each, as far as they have come into this reader; `hole_bytes`:
    of all. `peer`: the reader of the other direction.
    """

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=limit, loop=loop)
        self.holes: deque[Hole] = deque(maxlen=MAX_HOLES)
        self.hole_bytes = 0
        self.peer: WatchedReader = self
        self.transport: PassiveTransport | None = None

    @property
    def error(self) -> BaseException | None:
        """Why the stream ended without a FIN, if it did."""
        return self.transport.sock.error if self.transport is not None else None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As of a transport: peername (who sent this), sockname (to whom), l2info, cdom, serialno, socket."""
        return default if self.transport is None else self.transport.get_extra_info(name, default)

    def close(self) -> None:
        """Reads no more: what comes is not kept."""
        if self.transport is not None:
            self.transport.close()

    def note_holes(self, holes: list[Hole]) -> None:
        """Remembers holes that the next data have; pieces of one are put together."""
        for hole in holes:
            self.hole_bytes += hole.length
            last = self.holes[-1] if self.holes else None
            if last is not None and last.offset + last.length == hole.offset and last.reason == hole.reason:
                self.holes[-1] = last._replace(length=last.length + hole.length)
            else:
                self.holes.append(hole)


class WatchedProtocol(asyncio.Protocol):
    """Feeds a reader."""

    def __init__(self, reader: WatchedReader) -> None:
        self.reader = reader
        self.note_holes = reader.note_holes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, PassiveTransport)
        self.reader.transport = transport
        self.reader.set_transport(transport)

    def data_received(self, data: bytes) -> None:
        self.reader.feed_data(data)

    def eof_received(self) -> bool:
        self.reader.feed_eof()
        return True  # the handler closes it

    def connection_lost(self, error: Exception | None) -> None:
        if not self.reader.at_eof():
            self.reader.feed_eof()


class WatchedPairs:
    """What makes the two protocols of each watched connection, and runs ``handler(reader, peer)`` for it."""

    def __init__(self, handler: WatchHandler, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self.handler = handler
        self.loop = loop
        self.limit = limit
        self.tasks: set[asyncio.Task[None]] = set()

    def __call__(self) -> tuple[asyncio.BaseProtocol, asyncio.BaseProtocol]:
        """The protocols of the primary direction and of the other."""
        reader, peer = WatchedReader(self.limit, self.loop), WatchedReader(self.limit, self.loop)
        reader.peer, peer.peer = peer, reader
        return WatchedProtocol(reader), WatchedProtocol(peer)

    def started(self, transport: PassiveTransport) -> None:
        """Both directions have their transports; this is the primary's."""
        protocol = transport.get_protocol()
        if isinstance(protocol, WatchedProtocol):
            task = self.loop.create_task(self._run(protocol.reader))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _run(self, reader: WatchedReader) -> None:
        try:
            result = self.handler(reader, reader.peer)
            if inspect.isawaitable(result):
                await result
        except Exception:
            logger.exception("handler of the watched connection from %s raised", reader.get_extra_info("peername"))
        finally:
            reader.close()
            reader.peer.close()
