"""The same program on every event system, over devices in memory."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.loops.program import client, datagrams, serve_all
from tests.unit.loops.worlds import WORLDS
from uinet.link.memory import MemoryDevice

HERE, THERE = "10.0.0.1", "10.0.0.2"


@pytest.mark.parametrize("kind", WORLDS, ids=[getattr(kind, "backend", kind.__name__) for kind in WORLDS])
def test_program_runs_on(kind: Any) -> None:
    world = kind()
    done = []

    async def main() -> None:
        ends = MemoryDevice.pair()
        async with world.host(ends[0], f"{HERE}/24") as here, world.host(ends[1], f"{THERE}/24") as there:
            servers = await serve_all(world, there, THERE)
            await client(world, here, THERE)
            await datagrams(world, here, HERE, there, THERE)
            for close in servers:
                await close()
            with pytest.raises(ConnectionRefusedError):
                await world.connect(here, THERE, 7001)
            done.append(True)

    world.run(main)
    assert done
