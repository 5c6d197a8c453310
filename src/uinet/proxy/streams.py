"""Connections whose streams pass through a policy's functions: asyncio streams instead of a splice.

What a splice does is done here as well: the end of a stream passes on as a FIN and leaves the other direction
open, a reset of one side resets the other, and whoever does not read makes whoever writes wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from uinet.aio.transport import Transport
from uinet.errors import ConnectionAborted, ConnectionReset
from uinet.proxy.connection import Connection
from uinet.proxy.policy import Policy, PolicyError, Rewrite

if TYPE_CHECKING:
    from uinet.socket import Socket

CHUNK = 65536


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Connection) -> None:
    """A direction for which the policy has no function."""
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()


class Writer(asyncio.StreamWriter):
    """A writer that ends its own direction only: its `close` is `write_eof`."""

    ended = False

    def write_eof(self) -> None:
        """Ends the stream, after all that was written."""
        if not self.ended:
            self.ended = True
            super().write_eof()

    def close(self) -> None:
        """The same as `write_eof`."""
        self.write_eof()

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self.ended or super().is_closing()

    async def wait_closed(self) -> None:
        """Waits until the stream has been handed over."""
        await self.drain()


class Leg(asyncio.StreamReaderProtocol):
    """One side of a connection: its socket, as a reader and a writer."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: Socket,
        on_lost: Callable[[Leg, BaseException | None], None],
    ) -> None:
        self.reader = asyncio.StreamReader(limit=CHUNK, loop=loop)
        super().__init__(self.reader, loop=loop)
        self.received = 0
        self.lost = False
        self.on_lost = on_lost
        self.leg_transport = Transport(loop, sock, self, lambda transport: None)
        self.leg_transport.start()
        self.writer = Writer(self.leg_transport, self, self.reader, loop)

    def data_received(self, data: bytes) -> None:
        """Counts what comes."""
        self.received += len(data)
        super().data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Tells whoever reads or writes, and the joint."""
        super().connection_lost(error)
        self.lost = True
        self.on_lost(self, error)


class StreamJoint:
    """Joins two sockets through the functions of a policy; what the engine's splice is otherwise.

    `bytes_ab`, `bytes_ba`: what came from the client and from the server, before any rewriting. `error`:
    None, the connection error that ended it, or a PolicyError, one line, if a function raised.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        policy: Policy,
        connection: Connection,
        client: Socket,
        server: Socket,
    ) -> None:
        self.policy = policy
        self.connection = connection
        self.done = False
        self.error: BaseException | None = None
        self.on_done: Callable[[StreamJoint], None] | None = None
        self.client = Leg(loop, client, self._lost)
        self.server = Leg(loop, server, self._lost)
        flows = (
            (policy.client_to_server, self.client, self.server),
            (policy.server_to_client, self.server, self.client),
        )
        self.tasks = [loop.create_task(self._flow(function or copy, *legs)) for function, *legs in flows]

    @property
    def bytes_ab(self) -> int:
        """Bytes that the client sent."""
        return self.client.received

    @property
    def bytes_ba(self) -> int:
        """Bytes that the server sent."""
        return self.server.received

    async def _flow(self, function: Rewrite, source: Leg, sink: Leg) -> None:
        """One direction, until the source's stream has ended and the sink's been ended."""
        try:
            await function(source.reader, sink.writer, self.connection)
            sink.writer.write_eof()
            await sink.writer.drain()
            while await source.reader.read(CHUNK):
                pass  # the function wanted no more; the source may still end its stream in peace
        except BaseException as error:
            # (where a side is lost it is how the function took the connection's end, and where we are done it was
            # cancelled by us; else what was cancelled is something that it awaits)
            if not (source.lost or sink.lost):
                self._break(PolicyError(self.policy.describe(error)))
            if not isinstance(error, Exception | SystemExit):
                raise
        else:
            self._flow_ended()

    def _flow_ended(self) -> None:
        current = asyncio.current_task()
        if all(task.done() or task is current for task in self.tasks) and not self.done:
            self.client.leg_transport.close()
            self.server.leg_transport.close()

    def _lost(self, leg: Leg, error: BaseException | None) -> None:
        """A side is gone: in peace if both directions have ended; else the other side gets a RST."""
        if self.done:
            return
        if error is not None:
            self._break(error)
        elif not (self.client.writer.ended and self.server.writer.ended):
            self._break(ConnectionReset("the connection was closed in the middle"))
        elif self.client.lost and self.server.lost:
            self._end(None)

    def _break(self, error: BaseException) -> None:
        if not self.done:
            self._cut()
            self._end(error)

    def _cut(self) -> None:
        """Resets both sides and stops the functions."""
        self.done = True
        for leg in (self.client, self.server):
            leg.leg_transport.abort()
        for task in self.tasks:
            task.cancel()

    def _end(self, error: BaseException | None) -> None:
        self.done = True
        self.error = error
        if self.on_done is not None:
            self.on_done(self)

    def abort(self) -> None:
        """Resets both sides; nobody is told."""
        self.on_done = None
        if not self.done:
            self.error = ConnectionAborted()
            self._cut()
