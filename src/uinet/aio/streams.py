"""Stream handlers: ``async def handle(reader, writer)``, with asyncio's own readers and writers."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger("uinet")
LIMIT = 64 * 1024

StreamHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]


def protocol_factory(
    handler: StreamHandler, loop: asyncio.AbstractEventLoop, limit: int = LIMIT
) -> Callable[[], asyncio.BaseProtocol]:
    """What makes the protocol that runs `handler` for one connection."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await run_handler(handler, reader, writer)

    def factory() -> asyncio.BaseProtocol:
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        return asyncio.StreamReaderProtocol(reader, guarded, loop=loop)

    return factory


async def run_handler(
    handler: StreamHandler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Runs `handler`; one that raises or is cancelled resets its connection: the peer must not wait."""
    try:
        result = handler(reader, writer)
        if inspect.isawaitable(result):
            await result
    except asyncio.CancelledError:
        writer.transport.abort()
        raise
    except Exception:
        peer = writer.get_extra_info("peername")
        logger.exception("handler of the connection from %s raised; the connection is reset", peer)
        writer.transport.abort()
