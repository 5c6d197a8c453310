"""``uinet.aio.follow``: the same connections, while other tasks run, and an end in good order."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

import uinet
from tests.unit.following.talk import EPOCH, Talk, capture, whole
from uinet.aio.devices import memory_of
from uinet.errors import CaptureError, DeviceError, InvalidArgument

MANY = capture(*(
    whole(b"%d asks" % n, b"%d answers" % n * 1000, client=("10.0.0.1", 1024 + n), start=EPOCH + n * 100)
    for n in range(50)
))


def test_connections_are_those_of_the_iterator() -> None:
    async def main() -> list[dict[str, object]]:
        return [conn.as_dict() async for conn in uinet.aio.follow(MANY)]

    assert asyncio.run(main()) == [conn.as_dict() for conn in uinet.follow(MANY)]


def test_other_tasks_run_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "many.pcap"
    path.write_bytes(MANY)
    size = path.stat().st_size

    async def main() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(count())
        async with uinet.aio.follow([path] * 3) as following:
            async for _ in following:
                pass
            assert following.position == following.size == 3 * size
            assert following.stats["packets"] > 0
            assert following.dropped == 0
        task.cancel()
        return turns

    assert asyncio.run(main()) > 3 * size // (256 << 10)


def test_damage_and_nonsense_raise_what_the_iterator_raises() -> None:
    async def main() -> None:
        with pytest.raises(InvalidArgument, match="overlap"):
            uinet.aio.follow(MANY, overlap="x")
        with pytest.raises(DeviceError, match="No such file"):
            uinet.aio.follow("/nowhere")
        found = 0
        with pytest.raises(CaptureError, match="damaged"):
            async for _ in uinet.aio.follow(MANY + b"\xff" * 40):
                found += 1
        assert found == 50

    asyncio.run(main())


def test_pipe_is_waited_for_without_holding_the_loop() -> None:
    read, write = os.pipe()

    async def main() -> bytes:
        with open(read, "rb", buffering=0) as file:
            async with uinet.aio.follow(file) as following:
                waiting = asyncio.ensure_future(anext(following))
                for at in range(0, len(MANY), 30_000):
                    await asyncio.to_thread(os.write, write, MANY[at : at + 30_000])
                os.close(write)
                first = await waiting
                rest = [conn async for conn in following]
                assert len(rest) == 49
                return first.client.read()

    assert asyncio.run(main()).endswith(b" asks")


def test_cancelled_task_closes_its_source() -> None:
    async def main() -> None:
        async with uinet.Host() as host:
            await host.add_device("memory:watched")
            device = memory_of(asyncio.get_running_loop()).open("watched")
            following = uinet.aio.follow(device)
            task = asyncio.ensure_future(anext(following))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(StopAsyncIteration):
                await anext(following)

    asyncio.run(main())


def test_close_ends_the_iteration() -> None:
    async def main() -> int:
        following = uinet.aio.follow(capture(Talk().opened()))
        await following.close()
        await following.close()
        return len([conn async for conn in following])

    assert asyncio.run(main()) == 0
