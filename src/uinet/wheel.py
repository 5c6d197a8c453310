"""A hierarchical timing wheel: timers that cost nothing while they wait.

Read first: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987). Four levels of 256 slots; a tick is
2**18 ns (262 us), so the wheel spans 13 days; later deadlines wait in the last slot and are put in anew.

A :class:`Timer` is a node of its slot's list. Whoever owns one moves its deadline *later* for free, by `deadline`
alone: the node stays where it is, and when its slot comes up it is put where it belongs (lazy re-arming). Only an
earlier deadline moves the node.

No call takes long: one `advance` looks at no more than BUDGET nodes. If more come up at once, as when a million were
armed within a second, the rest waits for the next call, which `next_deadline` asks for at once.
"""

from __future__ import annotations

from typing import Any

from uinet.units import TICK_SHIFT

TICK = 1 << TICK_SHIFT
SLOT_BITS = 8
SLOTS = 256
SLOT_MASK = 255
LEVELS = 4
SPAN = (1 << 32) - 1  # ticks
NEVER = 1 << 62
BUDGET = 4096  # nodes handed down or fired in one call


class Timer:
    """One entry of a wheel; subclasses say in `expire` what happens.

    `deadline`: ns at which `expire` is due; 0 if it is off. `slot`: the tick this node is filed under; -1 if it is
    in no wheel. `mark` is for who owns the timer: it lies where alignment would leave a gap.
    """

    def __init__(self) -> None:
        self.blank_timer()

    def blank_timer(self) -> None:
        """What a new one is: off, and in no wheel. Where there are many of a subclass they are made with `__new__` and
        the `blank` of their class, which costs a fifth of what a constructor costs that calls those of its bases."""
        self.deadline = 0
        self.slot = -1
        self.level = 0
        self.mark = 0
        self.wheel_next: Timer | None = None
        self.wheel_previous: Timer | None = None

    def expire(self, now: int) -> None:
        """Called once when `now` >= deadline; `deadline` is 0 then, and may be set anew with `Wheel.arm`."""


class Wheel:
    """The timers of one stack. Time moves only in `advance`."""

    def __init__(self, now: int = 0) -> None:
        self.current = now >> TICK_SHIFT  # every slot before this tick has been emptied
        self.count = 0  # nodes filed
        self.soonest = NEVER  # no node is filed before this tick
        self.advancing = False
        self.budget = 0  # what is left of it in this call
        self.spill = Timer()  # nodes of a slot whose time has come, not looked at yet
        self._empty(self.spill)
        self.heads: list[Timer] = [Timer() for _ in range(LEVELS * SLOTS)]
        self.filed: list[int] = [0] * LEVELS  # nodes a level
        for head in self.heads:
            self._empty(head)

    def _empty(self, head: Timer) -> None:
        head.wheel_next = head
        head.wheel_previous = head

    def arm(self, timer: Timer, deadline: int) -> None:
        """Makes `timer` due at `deadline` (> 0), sooner or later than it was."""
        timer.deadline = deadline
        tick = (deadline + TICK - 1) >> TICK_SHIFT
        if timer.slot >= 0:
            if tick >= timer.slot:
                return
            self._unlink(timer)
        self._file(timer, tick)

    def disarm(self, timer: Timer) -> None:
        """Turns `timer` off and takes it out of the wheel, so that nothing here refers to it."""
        timer.deadline = 0
        if timer.slot >= 0:
            self._unlink(timer)

    def _file(self, timer: Timer, tick: int) -> None:
        current = self.current
        if self.advancing and tick <= current:
            tick = current + 1  # what expires now and asks for now again waits a tick: no endless loop
        elif tick < current:
            tick = current
        elif tick - current > SPAN:
            tick = current + SPAN
        differs = tick ^ current
        if differs < (1 << SLOT_BITS):
            level = 0
        elif differs < (1 << (2 * SLOT_BITS)):
            level = 1
        elif differs < (1 << (3 * SLOT_BITS)):
            level = 2
        else:
            level = 3
        timer.slot = tick
        timer.level = level
        head = self.heads[level * SLOTS + ((tick >> (level * SLOT_BITS)) & SLOT_MASK)]
        last = head.wheel_previous
        assert last is not None
        timer.wheel_next = head
        timer.wheel_previous = last
        last.wheel_next = timer
        head.wheel_previous = timer
        self.count += 1
        self.filed[level] = self.filed[level] + 1
        tick = (tick >> (level * SLOT_BITS)) << (level * SLOT_BITS)
        if tick < self.soonest:
            self.soonest = tick

    def clear(self) -> None:
        """Takes all timers out, one after the other as they lie."""
        for head in [*self.heads, self.spill]:
            timer = head.wheel_next
            while timer is not head and timer is not None:
                following = timer.wheel_next
                timer.wheel_next = None
                timer.wheel_previous = None
                timer.slot = -1
                timer.deadline = 0
                timer = following
            self._empty(head)
        self.filed = [0] * LEVELS
        self.count = 0
        self.soonest = NEVER

    def _unlink(self, timer: Timer) -> None:
        before = timer.wheel_previous
        after = timer.wheel_next
        assert before is not None and after is not None
        before.wheel_next = after
        after.wheel_previous = before
        timer.wheel_next = None
        timer.wheel_previous = None
        timer.slot = -1
        self.count -= 1
        self.filed[timer.level] = self.filed[timer.level] - 1

    def _next_filled(self) -> int:
        """The first tick at which a slot has to be opened, fired (level 0) or handed down; NEVER if there is none."""
        for level in range(LEVELS):
            if self.filed[level] == 0:
                continue
            shift = level * SLOT_BITS
            base = (self.current >> (shift + SLOT_BITS)) << (shift + SLOT_BITS)
            here = (self.current >> shift) & SLOT_MASK
            first = here if level == 0 else here + 1
            for index in range(first, SLOTS):
                head = self.heads[level * SLOTS + index]
                if head.wheel_next is not head:
                    return base + (index << shift)
            for index in range(first):  # the last level is a circle
                head = self.heads[level * SLOTS + index]
                if head.wheel_next is not head:
                    return base + ((SLOTS + index) << shift)
        return NEVER

    def _pour(self, head: Timer) -> None:
        """Puts the nodes of a slot behind those that wait to be handed down."""
        first = head.wheel_next
        last = head.wheel_previous
        end = self.spill.wheel_previous
        assert first is not None and last is not None and end is not None
        if first is head:
            return
        end.wheel_next = first
        first.wheel_previous = end
        last.wheel_next = self.spill
        self.spill.wheel_previous = last
        self._empty(head)

    def _hand_down(self) -> None:
        """Files what waits for that anew, as far as the budget goes."""
        spill = self.spill
        while self.budget > 0:
            timer = spill.wheel_next
            if timer is spill or timer is None:
                break
            self.budget -= 1
            self._unlink(timer)
            if timer.deadline:
                self._refile(timer)

    def _open(self, tick: int, now: int) -> None:
        """Empties the slots that begin at `tick`: hands down what is later, fires what is due."""
        for level in range(LEVELS - 1, 0, -1):
            shift = level * SLOT_BITS
            if not tick & ((1 << shift) - 1):
                self._pour(self.heads[level * SLOTS + ((tick >> shift) & SLOT_MASK)])
        self._hand_down()
        head = self.heads[tick & SLOT_MASK]
        self.advancing = True
        try:
            while self.budget > 0:
                timer = head.wheel_next
                if timer is head or timer is None:
                    break
                self.budget -= 1
                self._unlink(timer)
                if timer.deadline == 0:
                    continue
                if timer.deadline > now:
                    self._refile(timer)
                else:
                    timer.deadline = 0
                    timer.expire(now)
        finally:
            self.advancing = False

    def _refile(self, timer: Timer) -> None:
        self._file(timer, (timer.deadline + TICK - 1) >> TICK_SHIFT)

    def advance(self, now: int) -> None:
        """Moves time to `now` and fires what is due, in order of deadline (to a tick); what is beyond the budget waits
        for the next call."""
        target = now >> TICK_SHIFT
        if self.soonest > target:
            if target > self.current:
                self.current = target
            return
        self.budget = BUDGET
        self._hand_down()
        while self.budget > 0:
            tick = self._next_filled()
            if tick > target:
                break
            self.current = tick
            self._open(tick, now)
        if self.budget <= 0:
            self.soonest = self.current
            return
        if target > self.current:
            self.current = target
        self.soonest = self._next_filled()

    def waiting(self, limit: int) -> list[Any]:
        """Up to `limit` timers, those that are due next first, as far as their slots tell."""
        found: list[Any] = []
        spilt = self.spill.wheel_next
        while spilt is not self.spill and spilt is not None and len(found) < limit:
            found.append(spilt)
            spilt = spilt.wheel_next
        for level in range(LEVELS):
            if self.filed[level] == 0:
                continue
            here = (self.current >> (level * SLOT_BITS)) & SLOT_MASK
            for step in range(SLOTS):
                head = self.heads[level * SLOTS + ((here + step) & SLOT_MASK)]
                timer = head.wheel_next
                while timer is not head and timer is not None:
                    if len(found) >= limit:
                        return found
                    found.append(timer)
                    timer = timer.wheel_next
        return found

    def next_deadline(self) -> int:
        """The time, in ns, at which `advance` has something to do; -1 if nothing waits."""
        if self.count == 0:
            return -1
        return self.soonest << TICK_SHIFT
