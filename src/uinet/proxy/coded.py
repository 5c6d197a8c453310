"""Connections of which one side leads to the other proxy of a pair: a codec's session there, the stream here.

What a splice does is done here as well: the end of a stream passes on and leaves the other direction open, a reset of
one side resets the other, and whoever does not read makes whoever writes wait.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uinet.codecs.link import Link, LinkWriter, feed
from uinet.codecs.wire import CodecError
from uinet.errors import ConnectionReset
from uinet.proxy.coding import Coding, coded_record
from uinet.proxy.policy import Policy, PolicyError, Rewrite
from uinet.proxy.streams import CHUNK, Leg, StreamJoint, copy

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from uinet.proxy.connection import Connection
    from uinet.socket import Socket

NOTHING = Policy()
REFUSAL_TIME = 0.05  # s that the other proxy gets to hear why, before it is reset


class CodedJoint(StreamJoint):
    """As `StreamJoint`, with a session of `coding` on one side. `record`: what the connection's record says of it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, policy: Policy | None, coding: Coding, connection: Connection,
        client: Socket, server: Socket,
    ) -> None:
        self.policy = policy or NOTHING
        self.coding = coding
        self.connection = connection
        self.done = False
        self.error = None
        self.on_done = None
        self.reason: CodecError | None = None  # it is going to end for that
        self.session = coding.session(connection)
        self.client = Leg(loop, client, self._lost)
        self.server = Leg(loop, server, self._lost)
        towards = (self.policy.client_to_server, self.policy.server_to_client)
        if (coding.peer == "server") != connection.from_server:  # who connects may be on either side
            self.peer, self.plain = self.server, self.client
            out, back = towards
        else:
            self.peer, self.plain = self.client, self.server
            back, out = towards
        self.link = Link(self.session, self.peer.reader, self.peer.writer)
        self.tasks = [
            loop.create_task(self._guarded(work)) for work in (self.link.run(), self._out(out), self._back(back))
        ]

    @property
    def record(self) -> dict[str, Any]:
        """What was saved."""
        return coded_record(self.session)

    @property
    def bytes_ab(self) -> int:
        """Bytes that the client sent."""
        return self.plain.received if self.plain is self.client else self.session.tally.plain_in

    @property
    def bytes_ba(self) -> int:
        """Bytes that the server sent."""
        return self.plain.received if self.plain is self.server else self.session.tally.plain_in

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """One of the tasks: what it raises ends the connection."""
        try:
            await work
        except BaseException as error:
            if isinstance(error, CodecError):
                self.coding.failed(error, self.connection)
                self.reason = error
                await asyncio.sleep(REFUSAL_TIME)
                self._break(error)
            elif not (self.peer.lost or self.plain.lost) and self.link.error is None:
                self._break(error if self.policy is NOTHING else PolicyError(self.policy.describe(error)))
            if not isinstance(error, Exception | SystemExit):
                raise
        else:
            self._flow_ended()

    async def _out(self, function: Rewrite | None) -> None:
        """The stream from here to the other proxy."""
        writer = LinkWriter(self.link)
        work: Rewrite = function or copy
        await work(self.plain.reader, writer, self.connection)
        await writer.drain()
        await self.link.end()
        while await self.plain.reader.read(CHUNK):
            pass  # the function wanted no more; its sender may end its stream in peace

    async def _back(self, function: Rewrite | None) -> None:
        """The stream from the other proxy to here."""
        writer = self.plain.writer
        if function is None:
            while data := await self.link.read():
                writer.write(data)
                await writer.drain()
        else:
            reader = asyncio.StreamReader(limit=CHUNK)
            feeding = asyncio.get_running_loop().create_task(feed(self.link, reader))
            try:
                await function(reader, writer, self.connection)
                while await reader.read(CHUNK):
                    pass
                await feeding
            finally:
                feeding.cancel()
        writer.write_eof()
        await writer.drain()

    def _lost(self, leg: Leg, error: BaseException | None) -> None:
        """A side is gone: in peace if both directions have ended; else the other side gets a RST."""
        if self.done:
            return
        if error is not None:
            self._break(error)
        elif not (self.session.finished and self.plain.writer.ended):
            self._break(ConnectionReset("the connection was closed in the middle"))
        elif self.client.lost and self.server.lost:
            self._end(None)

    def _end(self, error: BaseException | None) -> None:
        self.coding.over(self.session)
        super()._end(self.reason or error)

    def abort(self) -> None:
        """Resets both sides; nobody is told."""
        self.coding.over(self.session)
        super().abort()
