"""Waiting for a connection attempt, as a coroutine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uinet.errors import ConnectionAborted
from uinet.events import EV_CLOSED, EV_CONNECTED, EV_ERROR

if TYPE_CHECKING:
    from uinet.socket import Socket


async def connected(loop: asyncio.AbstractEventLoop, sock: Socket) -> None:
    """Waits until the attempt that `sock` has begun succeeds; raises its error if it fails.

    Who is cancelled meanwhile takes the attempt back: nothing of it stays; a peer that has answered is reset.
    """
    waiter: asyncio.Future[None] = loop.create_future()

    def on_event(sock: Socket, events: int) -> None:
        if waiter.done():
            return
        if events & EV_CONNECTED:  # an error right behind it is found when the transport starts
            waiter.set_result(None)
        elif events & (EV_ERROR | EV_CLOSED):
            waiter.set_exception(sock.error or ConnectionAborted())

    sock.on_event = on_event
    try:
        await waiter
    except BaseException:
        sock.on_event = None
        sock.abort()
        raise
    sock.on_event = None
