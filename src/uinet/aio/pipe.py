"""A device whose other end is the program, on an event loop: the `send` function may be ``async``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uinet.aio.filters import tasks_of
from uinet.link import pipe
from uinet.sending import AsyncSender, SendFunction
from uinet.wire.addresses import Mac

if TYPE_CHECKING:
    from uinet.ip.interface import Interface

__all__ = ["Pipe", "SendFunction"]


class Pipe(pipe.Pipe):
    """Packets of one interface, moved by the program; for the thread of its event loop. Made by
    `Host.add_pipe`.

    Out: `send`, plain or ``async``, is called with each packet; if it raises, the pipe is broken and its
    interface down. In: `feed` and `feed_many`; `writable` and `drain` say when the stack has caught up.
    """

    interface: Interface

    def __init__(
        self,
        send: SendFunction,
        loop: asyncio.AbstractEventLoop,
        *,
        layer: int = 3,
        mtu: int = 1500,
        mac: Mac | None = None,
        checksums: bool = True,
        name: str = "pipe",
    ) -> None:
        self.loop = loop
        self.outgoing = AsyncSender(send, tasks_of(loop, "uinet pipe"))
        super().__init__(
            layer=layer, mtu=mtu, mac=mac, checksums=checksums, name=name, sender=self.outgoing
        )
        self.on_drained = self._wake_feeders
        self._feeders: list[asyncio.Future[None]] = []

    async def drain(self) -> None:
        """Waits until the pipe is `writable`; DeviceGone once it is closed."""
        while not self.writable:
            waiter = self.loop.create_future()
            self._feeders.append(waiter)
            await waiter
        self.require_open()

    async def wait_sent(self) -> None:
        """Waits until an async `send` has been given every packet that the pipe holds."""
        while not self.outgoing.idle:
            idle = asyncio.Event()
            self.outgoing.on_idle = idle.set
            await idle.wait()

    def _wake_feeders(self) -> None:
        feeders, self._feeders = self._feeders, []
        for waiter in feeders:
            if not waiter.done():
                waiter.set_result(None)
