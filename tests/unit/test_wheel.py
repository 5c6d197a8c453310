"""The timing wheel against a list of deadlines."""

from __future__ import annotations

import random

import pytest

from uinet.units import SECOND
from uinet.wheel import Timer, Wheel

TICK = 1 << 18  # ns
SPAN = (1 << 32) - 1  # ticks that the wheel spans


class Note(Timer):
    """A timer that remembers when it was due."""

    def __init__(self, wheel: Wheel) -> None:
        super().__init__()
        self.wheel = wheel
        self.fired: list[int] = []
        self.again = 0

    def expire(self, now: int) -> None:
        self.fired.append(now)
        if self.again:
            self.wheel.arm(self, now + self.again)


@pytest.mark.parametrize("start", [0, 1, 123_456_789, (1 << 40) - 1, (255 << 26) + 5, 10**18])
@pytest.mark.parametrize("delay", [1, TICK - 1, TICK, 255 * TICK, 256 * TICK, 65_536 * TICK, 1 << 42, 3600 * SECOND])
def test_timer_fires_at_its_tick_and_not_before(start: int, delay: int) -> None:
    wheel = Wheel(start)
    timer = Note(wheel)
    wheel.arm(timer, start + delay)
    assert wheel.count == 1
    wheel.advance(start + delay - TICK)
    wheel.advance(start + delay - 1)
    early = [now for now in timer.fired if now < start + delay]
    assert not early
    wheel.advance(start + delay + TICK)
    assert len(timer.fired) == 1 and timer.deadline == 0
    assert wheel.count == 0 and wheel.next_deadline() == -1


def test_deadline_can_be_put_off_and_brought_forward() -> None:
    wheel = Wheel(0)
    timer = Note(wheel)
    wheel.arm(timer, 10 * SECOND)
    due = wheel.next_deadline()
    wheel.arm(timer, 20 * SECOND)
    assert wheel.next_deadline() == due
    wheel.advance(15 * SECOND)
    assert not timer.fired
    wheel.arm(timer, 16 * SECOND)
    assert wheel.next_deadline() <= 16 * SECOND + TICK
    wheel.advance(17 * SECOND)
    assert timer.fired == [17 * SECOND]


def test_turned_off_timer_leaves_the_wheel() -> None:
    wheel = Wheel(0)
    timer = Note(wheel)
    wheel.arm(timer, SECOND)
    wheel.disarm(timer)
    wheel.disarm(timer)
    assert wheel.count == 0 and timer.deadline == 0
    wheel.advance(2 * SECOND)
    assert not timer.fired


def test_deadline_of_zero_is_dropped_when_its_slot_comes() -> None:
    wheel = Wheel(0)
    timer = Note(wheel)
    wheel.arm(timer, SECOND)
    timer.deadline = 0
    wheel.advance(2 * SECOND)
    assert not timer.fired and wheel.count == 0


def test_timer_that_asks_for_now_again_does_not_loop() -> None:
    wheel = Wheel(0)
    timer = Note(wheel)
    timer.again = 1
    wheel.arm(timer, SECOND)
    wheel.advance(SECOND + 100 * TICK)
    assert 1 <= len(timer.fired) <= 102


def test_deadline_beyond_the_span_is_kept() -> None:
    wheel = Wheel(5 * SECOND)
    timer = Note(wheel)
    due = 5 * SECOND + (SPAN + 1000) * TICK
    wheel.arm(timer, due)
    wheel.advance(due - 500 * TICK)
    assert not timer.fired and wheel.count == 1
    wheel.advance(due + TICK)
    assert len(timer.fired) == 1


@pytest.mark.parametrize("seed", range(30))
def test_wheel_agrees_with_a_list(seed: int) -> None:
    chance = random.Random(seed)
    now = chance.choice((0, 10**9, (1 << 50) - 7 * TICK, chance.randrange(1 << 60)))
    wheel = Wheel(now)
    timers = [Note(wheel) for _ in range(20)]
    due: dict[int, int] = {}
    for _ in range(300):
        index = chance.randrange(20)
        action = chance.random()
        if action < 0.5:
            span = chance.choice((5 * TICK, SECOND, 1 << chance.randrange(1, 50)))
            due[index] = now + 1 + chance.randrange(span)
            wheel.arm(timers[index], due[index])
        elif action < 0.6:
            due.pop(index, None)
            wheel.disarm(timers[index])
        else:
            promised = wheel.next_deadline()
            assert (promised == -1) == (wheel.count == 0)
            if due:
                assert promised <= min(due.values()) + TICK
            now += chance.choice((1, TICK, chance.randrange(SECOND), chance.randrange(1 << chance.randrange(1, 50))))
            wheel.advance(now)
            for index, deadline in list(due.items()):
                fired = bool(timers[index].fired)
                if deadline <= now - TICK:
                    assert fired, (deadline, now)
                if fired:
                    assert deadline <= now
                    del due[index]
                    timers[index].fired.clear()
            assert not any(timer.fired for timer in timers)
            assert wheel.count == len(due)


@pytest.mark.parametrize("delay", [TICK, 300 * TICK, 70_000 * TICK, (1 << 24) * TICK + 5])
def test_many_timers_due_at_once_are_fired_in_several_calls(delay: int) -> None:
    wheel = Wheel()
    timers = [Note(wheel) for _ in range(20_000)]
    for timer in timers:
        wheel.arm(timer, delay)
    calls, most, before = 0, 0, 0
    while wheel.count:
        wheel.advance(max(delay, wheel.next_deadline()))
        fired = sum(len(timer.fired) for timer in timers)
        most = max(most, fired - before)
        before = fired
        calls += 1
    assert before == 20_000
    assert most <= 4096
    assert calls <= 16
    assert all(len(timer.fired) == 1 and delay <= timer.fired[0] <= delay + TICK for timer in timers)
    assert wheel.next_deadline() == -1


def test_what_waits_to_be_handed_down_can_be_moved_and_taken_out() -> None:
    wheel = Wheel()
    slot = 1 << 24  # ticks: the first slot of the last level
    timers = [Note(wheel) for _ in range(10_000)]
    for number, timer in enumerate(timers):
        wheel.arm(timer, (slot + 1000 + number % 7) * TICK)
    wheel.advance(slot * TICK)
    assert wheel.next_deadline() == slot * TICK, "the rest waits"
    assert len(wheel.waiting(100_000)) == wheel.count == 10_000
    assert len(wheel.waiting(9_000)) == 9_000
    assert len(wheel.waiting(100)) == 100
    for timer in timers[::2]:
        wheel.disarm(timer)
    for timer in timers[1::4]:
        wheel.arm(timer, (slot + 2) * TICK)  # earlier
    while wheel.count:
        wheel.advance(max((slot + 2) * TICK, wheel.next_deadline()))
    assert not any(timer.fired for timer in timers[::2])
    assert all(len(timer.fired) == 1 for timer in timers[1::2])
    wheel.arm(timers[0], (3 * slot) * TICK)
    wheel.clear()
    assert wheel.count == 0
    assert wheel.next_deadline() == -1
