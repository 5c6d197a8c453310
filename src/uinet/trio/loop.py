"""trio as an event loop of callbacks: what moves a stack's frames and time, as tasks of one nursery."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from uinet.link.memory import MemoryRegistry

_registry: trio.lowlevel.RunVar[MemoryRegistry] = trio.lowlevel.RunVar("uinet_memory")

Start = Callable[..., Any]  # start_soon of a nursery, or of anyio's task group on trio


def memory_of_run() -> MemoryRegistry:
    """Where the ends of ``memory:NAME`` meet: those of all hosts of one ``trio.run``."""
    try:
        return _registry.get()
    except LookupError:
        registry = MemoryRegistry()
        _registry.set(registry)
        return registry


class Timer:
    """One call at a time of trio's clock."""

    def __init__(self, when: float, callback: Callable[[], Any]) -> None:
        self.when = when
        self.callback = callback
        self.scope = trio.CancelScope()

    def cancel(self) -> None:
        """The call will not be made."""
        self.scope.cancel()

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """The task that waits for the time."""
        with self.scope:
            await trio.sleep_until(self.when)
        if not self.scope.cancel_called:
            self.callback()


class TrioLoop:
    """Callbacks on the trio run that is going on; `start` begins tasks, which end when their nursery is cancelled.

    A callback that raises is the failure of its task, and so of the nursery. Control-C interrupts the program's own
    tasks, not these: the engine would be left in the middle of a batch.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self._calls: deque[Callable[[], Any]] = deque()
        self._parked: trio.lowlevel.Task | None = None
        self._reading: dict[int, trio.CancelScope] = {}
        self._writing: dict[int, trio.CancelScope] = {}
        start(self._run, name="uinet calls")

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        """Calls ``callback(*args)`` from the task that makes these calls. For trio's own thread."""
        self._calls.append(partial(callback, *args) if args else callback)
        if self._parked is not None:
            task, self._parked = self._parked, None
            trio.lowlevel.reschedule(task)

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Calls ``callback(*args)`` after `delay` seconds of trio's clock."""
        timer = Timer(trio.current_time() + delay, partial(callback, *args))
        self._start(timer.run, name="uinet timer")
        return timer

    def add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        """Calls ``callback(*args)`` whenever `fd` is readable."""
        self._watch(self._reading, trio.lowlevel.wait_readable, fd, partial(callback, *args))

    def add_writer(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        """Calls ``callback(*args)`` whenever `fd` is writable."""
        self._watch(self._writing, trio.lowlevel.wait_writable, fd, partial(callback, *args))

    def remove_reader(self, fd: int) -> bool:
        """Undoes `add_reader`; whether there was one."""
        return _cancel(self._reading.pop(fd, None))

    def remove_writer(self, fd: int) -> bool:
        """Undoes `add_writer`; whether there was one."""
        return _cancel(self._writing.pop(fd, None))

    @trio.lowlevel.enable_ki_protection
    async def _run(self) -> None:
        while True:
            for _ in range(len(self._calls)):
                self._calls.popleft()()
            if self._calls:
                await trio.lowlevel.checkpoint()
            else:
                self._parked = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._unpark)

    def _unpark(self, raise_cancel: Any) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _watch(
        self, watched: dict[int, trio.CancelScope], wait: Callable[[int], Awaitable[None]], fd: int,
        callback: Callable[[], Any],
    ) -> None:
        _cancel(watched.pop(fd, None))
        scope = watched[fd] = trio.CancelScope()

        @trio.lowlevel.enable_ki_protection
        async def watch() -> None:
            with scope:
                while not scope.cancel_called:
                    await wait(fd)
                    if not scope.cancel_called:
                        callback()

        self._start(watch, name=f"uinet descriptor {fd}")


class ClockedTrioLoop(TrioLoop):
    """On a clock that is not the system's (``trio.testing.MockClock``): the stack's time is that clock's."""

    def time_ns(self) -> int:
        """The time of trio's clock, ns."""
        return round(trio.current_time() * 1e9)


def make_loop(start: Start) -> TrioLoop:
    """The loop for the trio run that is going on."""
    clock = type(trio.lowlevel.current_clock())
    system = clock.__name__ == "SystemClock" and clock.__module__.partition(".")[0] == "trio"
    return TrioLoop(start) if system else ClockedTrioLoop(start)


def _cancel(scope: trio.CancelScope | None) -> bool:
    if scope is None:
        return False
    scope.cancel()
    return True
