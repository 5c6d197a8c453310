"""Flows taken over and let go at random moments of random connections: both streams arrive whole, nobody is reset, and
nothing is left. A seed gives one run."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.unit.bridging.worlds import World

SEEDS = range(30)


class Isn:
    """ISNs where a test wants them; everything else as before."""

    def __init__(self, inner: Any, at: int) -> None:
        self.inner = inner
        self.at = at & 0xFFFFFFFF

    def isn(self, entry: Any, now: int) -> int:
        return self.at

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def settings(random: Random) -> dict[str, Any]:
    """What one end offers. The largest buffer decides its window scale: 0 to 14."""
    most = random.choice([65535, 1 << 17, 1 << 20, 1 << 24, 1 << 30])
    least = 8192 if most < 1 << 25 else 1 << 18
    return {
        "timestamps": random.random() < 0.8, "sack": random.random() < 0.8, "window_scaling": random.random() < 0.85,
        "receive_buffer": max(least, random.choice([8192, 20000, 65535, 262144, 1 << 20])),
        "receive_buffer_max": most, "ecn": random.choice([0, 1, 2, 2, 2, 3]),
    }


def make(random: Random, seed: int) -> World:
    link = {
        "delay": random.choice([0.0005, 0.005, 0.02]), "rate": random.choice([2e6, 1e7, 1e8]),
        "loss": random.choice([0, 0, 0.01, 0.03]), "reorder": random.choice([0, 0, 0.02]),
        "duplicate": random.choice([0, 0, 0.02]), "reorder_delay": 0.003,
    }
    way = random.choice(["track", "track", "pass", "intercept"])
    world = World(
        seed, version=random.choice([4, 6]), vlans=random.random() < 0.4, way=way, client=settings(random),
        server=settings(random), link=link,
    )
    for host in world.hosts:
        at = random.choice([0, -5, -1000, -100_000, 1 << 31])
        host.stack.tcp.secrets = Isn(host.stack.tcp.secrets, at)
    return world


@pytest.mark.parametrize("seed", SEEDS)
def test_streams_are_whole_whatever_state_a_flow_comes_to(seed: int) -> None:
    random = Random(seed)
    up, down = (random.randbytes(random.choice([0, 1, 1000, 50_000, 300_000])) for _ in range(2))
    world = make(random, seed)
    world.start(up, down, server_last=random.random() < 0.4, slow=random.choice([0, 0, 0, 3000]))
    step = random.choice([0.003, 0.02, 0.1])
    for _ in range(3000):
        if world.finished():
            break
        if random.random() < 0.3 and world.proxy.connections() and not world.connection.wanted:
            world.change(random.choice(["intercept", "intercept", "track", "pass"]), random.choice([0.0, 30.0]))
        world.run(random.random() * step)
    else:
        world.net.run(until=world.finished, timeout=3000)
    world.check()
