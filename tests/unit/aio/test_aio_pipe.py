from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from uinet.aio.pipe import Pipe
from uinet.errors import DeviceGone
from uinet.link.pipe import QUEUE
from uinet.sending import OUTBOX_LIMIT
from uinet.sim.clock import Clock
from uinet.sim.loop import VirtualLoop
from uinet.wire.frame import CHECKSUM_UNKNOWN, CHECKSUM_VALID, Frame


def run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(Clock())) as runner:
        runner.run(main)


def pipe(send: Callable[[bytes], object], **options: Any) -> Pipe:
    return Pipe(send, asyncio.get_running_loop(), **options)


def packets(count: int) -> list[Frame]:
    return [Frame(b"\x45" + i.to_bytes(4, "big")) for i in range(count)]


def test_plain_send_gets_each_packet_at_once() -> None:
    async def main() -> None:
        sent: list[bytes] = []
        device = pipe(sent.append)
        assert device.send(packets(200)) == 200
        assert sent == [frame.data for frame in packets(200)]
        device.close()

    run(main())


class Slow:
    """An object whose ``__call__`` is a coroutine function."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.at_once = 0

    async def __call__(self, packet: bytes) -> None:
        self.at_once += 1
        assert self.at_once == 1, "packets are awaited one by one"
        await asyncio.sleep(0.001)
        self.sent.append(packet)
        self.at_once -= 1


@pytest.mark.parametrize(
    "wrap",
    [
        lambda slow: slow, lambda slow: slow.__call__, lambda slow: partial(slow.__call__),
        lambda slow: lambda packet: slow(packet),
    ],
    ids=["object", "method", "partial", "lambda"],
)
def test_a_slow_async_send_pushes_back_and_loses_nothing(
    wrap: Callable[[Slow], Callable[[bytes], Awaitable[None]]],
) -> None:
    async def main() -> None:
        slow = Slow()
        device = pipe(wrap(slow))
        room = asyncio.Event()
        device.on_writable = room.set
        waiting = packets(500)
        while waiting:
            taken = device.send(waiting)
            waiting = waiting[taken:]
            if waiting:
                assert taken <= OUTBOX_LIMIT + 1
                await room.wait()
                room.clear()
        await device.wait_sent()
        assert slow.sent == [frame.data for frame in packets(500)]
        device.close()

    run(main())


def test_a_send_that_raises_breaks_the_pipe() -> None:
    async def main() -> None:
        async def send(packet: bytes) -> None:
            raise ValueError("tunnel closed")

        device = pipe(send, name="tunnel")
        room: list[int] = []
        device.on_writable = lambda: room.append(1)
        assert device.send(packets(3)) == 3
        await device.wait_sent()
        assert room  # whoever drives the device is told to look
        with pytest.raises(DeviceGone, match=r"tunnel.*tunnel closed"):
            device.send(packets(1))
        device.close()

    run(main())


def test_fed_packets_come_out_in_order_with_one_wakeup() -> None:
    async def main() -> None:
        device = pipe(lambda packet: None)
        woken: list[int] = []
        device.on_readable = lambda: woken.append(1)
        device.feed_many([b"\x45one", bytearray(b"\x45two"), memoryview(b"\x45three")])
        assert woken == [1]
        frames = device.recv()
        assert [frame.data for frame in frames] == [b"\x45one", b"\x45two", b"\x45three"]
        assert {frame.checksum for frame in frames} == {CHECKSUM_UNKNOWN}
        device.close()

    run(main())


def test_a_link_without_checksums_says_so_of_each_frame() -> None:
    async def main() -> None:
        device = pipe(lambda packet: None, checksums=False)
        device.feed(b"\x45")
        assert device.recv()[0].checksum == CHECKSUM_VALID
        device.close()

    run(main())


def test_drain_waits_for_the_stack_to_catch_up() -> None:
    async def main() -> None:
        device = pipe(lambda packet: None)
        device.feed_many([b"\x45"] * QUEUE)
        assert not device.writable
        feeder = asyncio.create_task(device.drain())
        await asyncio.sleep(0)
        while not device.writable:
            assert not feeder.done()
            assert device.recv()
        await feeder
        device.close()

    run(main())


def test_closing_ends_the_wait_and_the_work() -> None:
    async def main() -> None:
        slow = Slow()
        device = pipe(slow)
        device.send(packets(10))
        device.feed_many([b"\x45"] * QUEUE)
        feeder = asyncio.create_task(device.drain())
        await asyncio.sleep(0.0025)
        device.close()
        with pytest.raises(DeviceGone):
            await feeder
        await asyncio.sleep(1)
        assert len(slow.sent) == 2
        with pytest.raises(DeviceGone):
            device.feed(b"\x45")

    run(main())
