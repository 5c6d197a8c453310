"""How an event system hands a pipe's packets to the program's function, which may be ``async``."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from uinet.link.pipe import Sender

if TYPE_CHECKING:
    from uinet.filters import Begin, Cancel

OUTBOX_LIMIT = 64  # packets that wait for an async `send`; the stack keeps those beyond

SendFunction = Callable[[bytes], Awaitable[object]] | Callable[[bytes], object]


class AsyncSender(Sender):
    """Calls a plain function at once; awaits an ``async`` one packet by packet, in order.

    `begin`: runs a coroutine as a task, see `uinet.filters`; the task that awaits lives only while there are packets.
    An error breaks the pipe: `send` raises it from then on. `on_idle`: None, or called when the task has ended.
    """

    def __init__(self, function: SendFunction, begin: Begin) -> None:
        self.function: Callable[[bytes], object] = function
        self.pipe = None
        self.begin = begin
        self.error: Exception | None = None
        self.on_idle: Callable[[], object] | None = None
        self._async = is_async(function)
        self._waiting: deque[bytes] = deque()
        self._cancel: Cancel | None = None
        self._full = False

    @property
    def idle(self) -> bool:
        """Whether the function has been given every packet that was sent, and has returned."""
        return self._cancel is None

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
            self._cancel = self.begin(self._work(result), self._ended)
            return True
        if len(self._waiting) >= OUTBOX_LIMIT:
            self._full = True
            return False
        self._waiting.append(packet)
        if self._cancel is None:
            self._cancel = self.begin(self._work(), self._ended)
        return True

    def close(self) -> None:
        """Drops what waits and cancels the call that is under way."""
        self._waiting.clear()
        if self._cancel is not None:
            self._cancel()

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

    def _ended(self) -> None:
        self._cancel = None
        if self._waiting and self.error is None:  # they came while the task was ending
            self._cancel = self.begin(self._work(), self._ended)
        elif self.on_idle is not None:
            self.on_idle()

    def _make_room(self) -> None:
        self._full = False
        if self.pipe is not None:
            self.pipe.resume()


def is_async(function: object) -> bool:
    """Whether calling `function` gives a coroutine: it is ``async``, or its ``__call__`` is."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - its value is wanted, not whether it is callable
    )
