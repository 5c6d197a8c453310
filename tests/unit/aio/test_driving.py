from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tests.unit.fakes import BrokenDevice, DescriptorDevice, FakeInterface, FakeStack, as_any
from uinet.driving import LoopDriver
from uinet.link.device import Device
from uinet.link.memory import MemoryDevice
from uinet.pump import BATCH
from uinet.sim.clock import START, Clock
from uinet.sim.loop import VirtualLoop
from uinet.wire.frame import Frame

MILLISECOND = 1_000_000
LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [
    asyncio.new_event_loop, uvloop.new_event_loop, lambda: VirtualLoop(Clock()),
]


class Rig:
    def __init__(self) -> None:
        self.stack = FakeStack()
        self.driver = LoopDriver(as_any(self.stack), asyncio.get_running_loop())

    def add(self, device: Device, name: str = "eth0") -> FakeInterface:
        interface = FakeInterface(name)
        self.driver.add(device, as_any(interface))
        return interface


def run(main: Coroutine[Any, Any, None], factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


def virtual() -> VirtualLoop:
    return VirtualLoop(Clock())


async def until(condition: Callable[[], object], turns: int = 10_000) -> None:
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not happen")


@pytest.mark.parametrize("factory", LOOPS)
def test_frames_go_in_and_answers_go_out(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        rig = Rig()
        near, far = MemoryDevice.pair()
        rig.add(near)
        rig.stack.answer = lambda data: [data + b"!"]
        far.send([Frame(b"ping")])
        await until(lambda: rig.stack.inputs)
        assert [frame.data for frame in far.recv()] == [b"ping!"]
        rig.driver.close()

    run(main(), factory)


@pytest.mark.parametrize("factory", LOOPS[:2])
def test_a_descriptor_wakes_the_loop(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        rig = Rig()
        device = DescriptorDevice()
        rig.add(device)
        rig.stack.answer = lambda data: [data.upper()]
        device.other.send(b"hello")
        await until(lambda: rig.stack.inputs)
        assert device.drain() == [b"HELLO"]
        rig.driver.close()
        device.other.close()

    run(main(), factory)


@pytest.mark.parametrize("factory", LOOPS[:2])
def test_a_full_descriptor_is_awaited_and_the_order_kept(
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> None:
        rig = Rig()
        device = DescriptorDevice()
        interface = rig.add(device)
        await until(lambda: rig.stack.polls)
        before = device.fill()
        wanted = [Frame(i.to_bytes(4, "big")) for i in range(before + 50)]
        interface.queue = list(wanted)
        rig.driver.wake()
        await until(lambda: rig.driver.pumps[0].blocked)
        received: list[bytes] = []

        def drained() -> bool:
            received.extend(device.drain())
            return len(received) == before + len(wanted)

        await until(drained)
        assert received[before:] == [frame.data for frame in wanted]
        await until(lambda: not rig.driver.pumps[0].blocked)
        rig.driver.close()
        device.other.close()

    run(main(), factory)


def test_a_flood_leaves_every_other_task_its_turn() -> None:
    async def main() -> None:
        rig = Rig()
        near, far = MemoryDevice.pair(queue=100 * BATCH)
        rig.add(near)
        far.send([Frame(b"x")] * (20 * BATCH))
        turns = 0
        while len(rig.stack.received()) < 20 * BATCH and turns < 1000:
            await asyncio.sleep(0)
            turns += 1
        assert 20 <= turns < 1000
        assert max(len(batch) for _, batch, _ in rig.stack.inputs) == BATCH
        rig.driver.close()

    run(main(), virtual)


def test_many_calls_are_one_flush() -> None:
    async def main() -> None:
        rig = Rig()
        assert rig.stack.on_pending is not None
        for _ in range(10):
            rig.stack.on_pending()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(rig.stack.polls) == 1
        rig.driver.close()

    run(main(), virtual)


def test_the_deadline_is_kept_to_the_nanosecond_on_virtual_time() -> None:
    async def main() -> None:
        rig = Rig()
        rig.stack.timer = START + 123_456_789
        rig.driver.wake()
        await asyncio.sleep(1)
        assert rig.stack.fired == [START + 123_456_789]
        rig.driver.close()

    run(main(), virtual)


def test_an_earlier_deadline_moves_the_timer_and_a_later_one_costs_no_poll() -> None:
    async def main() -> None:
        rig = Rig()
        rig.stack.timer = START + 500 * MILLISECOND
        rig.driver.wake()
        await asyncio.sleep(0.1)
        rig.stack.timer = START + 200 * MILLISECOND
        rig.driver.wake()
        await asyncio.sleep(0.05)
        rig.stack.timer = START + 400 * MILLISECOND
        rig.driver.wake()
        await asyncio.sleep(0.1)  # past 200 ms
        polls = len(rig.stack.polls)
        assert rig.stack.fired == []
        assert polls == 3
        await asyncio.sleep(1)
        assert rig.stack.fired == [START + 400 * MILLISECOND]
        rig.driver.close()

    run(main(), virtual)


def test_a_deadline_in_the_past_does_not_starve_the_loop() -> None:
    async def main() -> None:
        rig = Rig()

        class Restless(FakeStack):
            def poll(self, now: int) -> int | None:
                self.polls.append(now)
                return now - 1

        stack = Restless()
        driver = LoopDriver(as_any(stack), asyncio.get_running_loop())
        driver.wake()
        for _ in range(100):
            await asyncio.sleep(0)
        driver.close()
        rig.driver.close()

    run(main(), virtual)


def test_two_stacks_in_one_loop_talk_through_memory() -> None:
    async def main() -> None:
        one, two = Rig(), Rig()
        near, far = MemoryDevice.pair()
        sender = one.add(near)
        two.add(far)
        two.stack.answer = lambda data: [data + b" back"]
        sender.queue = [Frame(b"there and")]
        one.driver.wake()
        await until(lambda: one.stack.inputs)
        assert one.stack.received() == [b"there and back"]
        one.driver.close()
        two.driver.close()

    run(main(), virtual)


@pytest.mark.parametrize("factory", LOOPS[:2])
def test_a_device_that_vanishes_is_logged_once_and_told(
    factory: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        rig = Rig()
        told: list[object] = []
        rig.driver.on_gone = lambda pump: told.append(pump.interface)
        device = DescriptorDevice()
        interface = rig.add(device, "lost")
        await until(lambda: rig.stack.polls)
        device.other.close()
        await until(lambda: told)
        for _ in range(10):
            await asyncio.sleep(0)
        assert told == [interface]
        assert not interface.up
        assert rig.stack.stats["link_device_gone"] == 1
        rig.driver.close()

    with caplog.at_level(logging.ERROR, "uinet"):
        run(main(), factory)
    assert [record.getMessage() for record in caplog.records] == ["lost is down: the other end is gone"]


def test_a_broken_device_does_not_break_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        rig = Rig()
        rig.add(BrokenDevice("broken"))
        await until(lambda: rig.stack.stats["link_device_gone"])
        assert rig.driver.pumps == []
        rig.driver.close()

    run(main(), virtual)
    assert "broken" in caplog.text


def test_closing_sends_what_is_queued_and_nothing_runs_afterwards() -> None:
    async def main() -> None:
        rig = Rig()
        near, far = MemoryDevice.pair()
        interface = rig.add(near)
        await asyncio.sleep(0)
        interface.queue = [Frame(b"goodbye")]
        rig.stack.timer = START + MILLISECOND
        rig.driver.wake()
        rig.driver.close()
        rig.driver.close()
        assert [frame.data for frame in far.recv()] == [b"goodbye"]
        assert near.closed
        assert rig.stack.on_pending is None
        polls = len(rig.stack.polls)
        await asyncio.sleep(1)
        assert len(rig.stack.polls) == polls

    run(main(), virtual)
