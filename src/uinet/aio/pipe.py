"""A device whose other end is the program, on an event loop: the `send` function may be ``async``."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from uinet.link import pipe
from uinet.link.pipe import Sender
from uinet.wire.addresses import Mac

if TYPE_CHECKING:
    from uinet.ip.interface import Interface

OUTBOX_LIMIT = 64  # packets that wait for an async `send`; the stack keeps those beyond

SendFunction = Callable[[bytes], Awaitable[object]] | Callable[[bytes], object]


class LoopSender(Sender):
    """Calls a plain function at once; awaits an ``async`` one packet by packet, in order.

    The task that awaits lives only while there are packets. An error breaks the pipe: `send` raises it from
    then on.
    """

    def __init__(self, function: SendFunction, loop: asyncio.AbstractEventLoop) -> None:
        self.function: Callable[[bytes], object] = function
        self.pipe = None
        self.loop = loop
        self.error: Exception | None = None
        self._async = is_async(function)
        self._waiting: deque[bytes] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._full = False

    def send(self, packet: bytes) -> bool:
        """Hands one packet over, or queues it: True. False while there is no room."""
        if self.error is not None:
            raise self.error
        if not self._async:
            try:
                result = self.function(packet)
            except BlockingIOError:
                return False
            if result is None or not inspect.isawaitable(result):
                return True
            self._async = True  # a plain function that returns a coroutine: a lambda
            self._worker = self.loop.create_task(self._work(result), name="uinet pipe")
            return True
        if len(self._waiting) >= OUTBOX_LIMIT:
            self._full = True
            return False
        self._waiting.append(packet)
        if self._worker is None or self._worker.done():
            self._worker = self.loop.create_task(self._work(), name="uinet pipe")
        return True

    def close(self) -> None:
        """Drops what waits and cancels the call that is under way."""
        self._waiting.clear()
        if self._worker is not None:
            self._worker.cancel()

    async def wait_sent(self) -> None:
        """Waits until the function has been given every packet that is queued here."""
        while self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])

    async def _work(self, begun: Awaitable[object] | None = None) -> None:
        try:
            if begun is not None:
                await begun
            while self._waiting:
                result = self.function(self._waiting.popleft())
                if self._full and len(self._waiting) <= OUTBOX_LIMIT // 2:
                    self._make_room()
                if inspect.isawaitable(result):
                    await result
        except Exception as error:
            self.error = error
            self._waiting.clear()
            self._make_room()  # so that the device learns of it

    def _make_room(self) -> None:
        self._full = False
        if self.pipe is not None:
            self.pipe.resume()


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
        self.outgoing = LoopSender(send, loop)
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
        await self.outgoing.wait_sent()

    def _wake_feeders(self) -> None:
        feeders, self._feeders = self._feeders, []
        for waiter in feeders:
            if not waiter.done():
                waiter.set_result(None)


def is_async(function: object) -> bool:
    """Whether calling `function` gives a coroutine: it is ``async``, or its ``__call__`` is."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - its value is wanted, not whether it is callable
    )
