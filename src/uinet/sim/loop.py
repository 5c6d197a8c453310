"""An asyncio event loop whose time is a simulation's.

Ready callbacks run as ever. Where an ordinary loop would sleep until a timer or a descriptor, this one lets
the simulation's next event happen, or jumps to the timer, whichever comes first. It never waits, and it has
no descriptors: what a program awaits comes from stacks in the simulation or from other tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

from uinet.errors import TimedOut
from uinet.sim.clock import Clock, SimulationError
from uinet.units import SECOND, seconds

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
SHOWN_TASKS = 5


class _Selector:
    """What the base class takes for a selector: its sleep is the simulation's progress."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self.loop._progress(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop on the time of `clock`; `time` is in virtual seconds.

    Where nothing is left to happen and the program still waits, it raises SimulationError and names the tasks
    that wait; TimedOut once `limit` virtual seconds have passed. `run_in_executor` runs its function at once,
    in this thread: a simulation has no other.
    """

    def __init__(self, clock: Clock, limit: float = 86_400.0) -> None:
        super().__init__()
        self.clock = clock
        self.limit = limit
        self._end = clock.now + seconds(limit)
        self._clock_resolution = 1e-9
        self._selector = _Selector(self)

    def time(self) -> float:
        """Virtual time in seconds."""
        return self.clock.now / SECOND

    def time_ns(self) -> int:
        """Virtual time in nanoseconds: the clock for whoever needs it exactly."""
        return self.clock.now

    def _progress(self, timeout: float | None) -> None:
        """At most one event of the simulation; `timeout`: seconds to the loop's next timer, None without."""
        clock = self.clock
        upcoming = clock.next_time()
        if timeout is None:
            if upcoming is None:
                raise SimulationError(self._deadlock())
            wake = upcoming
        elif timeout > 0:
            timer = clock.now + max(1, seconds(timeout))  # exact: the loop takes a timer within 1 ns
            wake = timer if upcoming is None else min(timer, upcoming)
        else:
            wake = clock.now
        if wake > self._end:
            clock.advance(self._end)
            raise TimedOut(f"the program has not ended after {self.limit:g} s of virtual time")
        if upcoming is not None and upcoming <= wake:
            clock.step()
        else:
            clock.advance(wake)

    def _deadlock(self) -> str:
        waiting = [task for task in asyncio.all_tasks(self) if not task.done()]
        names = sorted(f"{task.get_name()} ({_where(task)})" for task in waiting)
        shown = ", ".join(names[:SHOWN_TASKS]) + (", ..." if len(names) > SHOWN_TASKS else "")
        return (
            f"deadlock at {self.time():.6f} s of virtual time: nothing is left to happen, "
            f"and the program waits in {shown or 'no task'}"
        )

    def run_in_executor(
        self, executor: Any, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Runs ``func(*args)`` at once and returns its outcome as a future that is done."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    # what the base class asks of those who implement a selector

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none: events run inside of `_progress`."""

    def _write_to_self(self) -> None:
        """Wakes a sleeping loop; this one never sleeps."""


def _where(task: asyncio.Task[Any]) -> str:
    """The place in the program at which `task` waits."""
    frames = task.get_stack(limit=1)
    if not frames:
        return "not started"
    code = frames[-1].f_code
    return f"{code.co_qualname}, line {frames[-1].f_lineno}"
