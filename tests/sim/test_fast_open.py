"""TCP Fast Open between two stacks on virtual time: what it saves, and that loss does no harm."""

from __future__ import annotations

import asyncio

import pytest

from tests.sim.programs import pattern, sha
from tests.sim.worlds import CLIENT, SERVER, World, echo, run
from uinet.errors import InvalidArgument


async def once(world: World, request: bytes) -> float:
    """One request and its echo on a connection of its own; the seconds that it took."""
    start = asyncio.get_running_loop().time()
    reader, writer = await world.client.open_connection(SERVER, 7, fast_open=request)
    assert await reader.readexactly(len(request)) == request
    took = asyncio.get_running_loop().time() - start
    writer.close()
    await writer.wait_closed()
    return took


@pytest.mark.rfc("7413", "1", "the second connection saves a round trip")
def test_second_connection_answers_within_one_round_trip() -> None:
    async def program(world: World) -> None:
        await world.server.start_server(echo, SERVER, 7, fast_open=16)
        await world.client.ping(SERVER)
        assert await once(world, b"first") == pytest.approx(0.020, abs=0.001)  # two round trips of 10 ms
        assert await once(world, b"second") == pytest.approx(0.010, abs=0.001)
        assert world.server.stack.stats["tcp_fastopen_passive"] == 1
        assert world.client.stack.stats["tcp_fastopen_active"] == 1

    run(program)


def test_listener_that_has_not_asked_serves_the_same_bytes() -> None:
    async def program(world: World) -> None:
        await world.server.start_server(echo, SERVER, 7)
        for _ in range(3):
            await once(world, b"request")
        assert world.client.stack.stats["tcp_fastopen_active"] == 0

    run(program)


@pytest.mark.parametrize("seed", range(6))
def test_loss_and_duplicates_leave_every_stream_whole(seed: int) -> None:
    async def program(world: World) -> None:
        await world.server.start_server(echo, SERVER, 7, fast_open=64)

        async def client(number: int) -> None:
            data = pattern(3000 + number)
            reader, writer = await world.client.open_connection(SERVER, 7, fast_open=data)
            writer.write(data)
            writer.write_eof()
            assert sha(await reader.read()) == sha(data + data)
            writer.close()
            await writer.wait_closed()

        for number in range(20):
            await client(number)
        assert world.client.stack.stats["tcp_fastopen_active"] > 0

    run(program, seed=seed, loss=0.05, duplicate=0.1, reorder=0.1, rate=50e6)


def test_fast_open_and_tls_do_not_go_together() -> None:
    async def program(world: World) -> None:
        with pytest.raises(InvalidArgument):
            await world.client.open_connection(SERVER, 7, ssl=True, fast_open=b"x")
        assert CLIENT != SERVER

    run(program)
