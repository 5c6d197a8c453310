from __future__ import annotations

import asyncio

import pytest

from uinet.errors import TimedOut
from uinet.sim.clock import START, Clock, SimulationError
from uinet.sim.loop import VirtualLoop
from uinet.units import MILLISECOND, SECOND


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_sleeping_takes_virtual_time_only(clock: Clock) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await asyncio.sleep(3600.0)
        return loop.time() - start

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        assert runner.run(main()) == 3600.0
    assert clock.now == START + 3600 * SECOND


def test_timers_and_events_interleave_in_order_of_time(clock: Clock) -> None:
    seen: list[str] = []
    clock.after(15 * MILLISECOND, seen.append, "event 15")
    clock.after(5 * MILLISECOND, seen.append, "event 5")

    async def main() -> None:
        await asyncio.sleep(0.010)
        seen.append("timer 10")
        await asyncio.sleep(0.010)
        seen.append("timer 20")

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        runner.run(main())
    assert seen == ["event 5", "timer 10", "event 15", "timer 20"]


def test_an_event_wakes_a_task_at_its_own_time(clock: Clock) -> None:
    async def main() -> int:
        future = asyncio.get_running_loop().create_future()
        clock.after(7, lambda: future.set_result(None))
        await future
        return clock.now - START

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        assert runner.run(main()) == 7


def test_run_until_complete_and_wait_for(clock: Clock) -> None:
    async def main() -> None:
        await asyncio.wait_for(asyncio.Event().wait(), 2.5)

    loop = VirtualLoop(clock)
    try:
        with pytest.raises(TimeoutError):
            loop.run_until_complete(main())
        assert loop.time_ns() - START == 5 * SECOND // 2
    finally:
        loop.close()


def test_deadlock_is_an_error_that_names_who_waits(clock: Clock) -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.create_task(stuck(), name="left behind")

    waits = r"deadlock.*left behind \(test_deadlock.*stuck, line \d+\)"
    runner = asyncio.Runner(loop_factory=lambda: VirtualLoop(clock))
    with runner, pytest.raises(SimulationError, match=waits):
        runner.run(main())


def test_the_loop_goes_on_after_a_deadlock(clock: Clock) -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    async def fine() -> str:
        await asyncio.sleep(1)
        return "fine"

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        with pytest.raises(SimulationError):
            runner.run(stuck())
        assert runner.run(fine()) == "fine"


def test_endless_programs_meet_the_limit(clock: Clock) -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(1.0)

    runner = asyncio.Runner(loop_factory=lambda: VirtualLoop(clock, limit=100.0))
    with runner, pytest.raises(TimedOut, match="not ended after 100 s of virtual time"):
        runner.run(main())
    assert clock.now == START + 100 * SECOND


def test_ready_callbacks_are_not_starved_by_events_without_end(clock: Clock) -> None:
    def again() -> None:
        clock.after(0, again)

    again()

    async def main() -> int:
        turns = 0
        for _ in range(10):
            await asyncio.sleep(0)
            turns += 1
        return turns

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        assert runner.run(main()) == 10


def test_events_are_not_starved_by_callbacks_that_are_always_ready(clock: Clock) -> None:
    seen: list[int] = []
    clock.after(0, seen.append, 1)

    async def main() -> int:
        turns = 0
        while not seen:
            await asyncio.sleep(0)
            turns += 1
        return turns

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        assert runner.run(main()) < 10


def test_executors_run_in_place(clock: Clock) -> None:
    async def main() -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(lambda x: x + 1, 41)

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        assert runner.run(main()) == 42
