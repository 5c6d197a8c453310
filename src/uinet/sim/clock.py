"""Virtual time: an ordered list of things that will happen.

Nothing here waits. The clock stands still while an event runs and jumps to the next one's time, so a
simulated hour costs what its events cost. Events of one instant run in the order in which they were
scheduled: the same program gives the same run, always.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

from uinet.errors import Error
from uinet.units import SECOND

START = SECOND  # virtual time begins here: a time of 0 means "never" in many places
SAME_INSTANT_LIMIT = 1_000_000


class SimulationError(Error):
    """A simulation can't go on."""


class Event:
    """Something that will happen: `time`, in ns, and what; `cancel` takes it back."""

    __slots__ = ("arguments", "call", "clock", "time")

    def __init__(
        self, clock: Clock, time: int, call: Callable[..., object], arguments: tuple[Any, ...]
    ) -> None:
        self.clock = clock
        self.time = time
        self.call: Callable[..., object] | None = call
        self.arguments = arguments

    def cancel(self) -> None:
        """Makes it not happen. Harmless once it has happened."""
        if self.call is not None:
            self.call = None
            self.arguments = ()
            self.clock._forget_one()

    def __repr__(self) -> str:
        call = self.call
        what = "cancelled or past" if call is None else getattr(call, "__qualname__", repr(call))
        return f"<Event at {self.time} ns: {what}>"


class Clock:
    """Virtual time in nanoseconds, from `START` on, and the events that wait for it."""

    def __init__(self, now: int = START) -> None:
        self.now = now
        self._heap: list[tuple[int, int, Event]] = []
        self._order = 0
        self._cancelled = 0
        self._same_instant = 0

    def __len__(self) -> int:
        """How many events wait."""
        return len(self._heap) - self._cancelled

    def at(self, time: int, call: Callable[..., object], *arguments: Any) -> Event:
        """Schedules ``call(*arguments)`` for `time`; a time that has passed means now, after what is due."""
        return self._schedule(time, call, arguments)

    def after(self, delay: int, call: Callable[..., object], *arguments: Any) -> Event:
        """Schedules ``call(*arguments)`` for `delay` ns from now."""
        return self._schedule(self.now + delay, call, arguments)

    def _schedule(self, time: int, call: Callable[..., object], arguments: tuple[Any, ...]) -> Event:
        event = Event(self, time if time > self.now else self.now, call, arguments)
        self._order += 1
        heappush(self._heap, (event.time, self._order, event))
        return event

    def next_time(self) -> int | None:
        """When the next event happens; None if none waits."""
        event = self._first()
        return None if event is None else event.time

    def _first(self) -> Event | None:
        """The next event that is not cancelled."""
        heap = self._heap
        while heap:
            event = heap[0][2]
            if event.call is not None:
                return event
            heappop(heap)
            self._cancelled -= 1
        return None

    def step(self) -> bool:
        """Jumps to the next event and runs it; False if none waits.

        SimulationError when a million events have run and time has not moved: somebody answers somebody for
        ever over a link without delay.
        """
        event = self._first()
        if event is None:
            return False
        if event.time > self.now:
            self.now = event.time
            self._same_instant = 0
        self._same_instant += 1
        if self._same_instant > SAME_INSTANT_LIMIT:
            raise SimulationError(f"virtual time stands still at {self.now / SECOND:.6f} s: endless events")
        heappop(self._heap)
        call, arguments = event.call, event.arguments
        event.call, event.arguments = None, ()
        assert call is not None
        call(*arguments)
        return True

    def advance(self, time: int) -> None:
        """Moves the clock to `time` without running anything; SimulationError if an event waits before it."""
        following = self.next_time()
        if following is not None and following < time:
            raise SimulationError(f"can't skip the event at {following} ns on the way to {time} ns")
        if time > self.now:
            self.now = time
            self._same_instant = 0

    def _forget_one(self) -> None:
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].call is not None]
            heapify(self._heap)
            self._cancelled = 0
