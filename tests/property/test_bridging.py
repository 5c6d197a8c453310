"""Flows taken over and let go at random moments of random connections: both streams arrive whole, nobody is reset, and
nothing is left. A seed gives one run."""

from __future__ import annotations

from ipaddress import ip_address
from random import Random
from typing import Any

import pytest

from tests.unit.bridging.worlds import ADDRESSES, World
from uinet.tcp.table import Entry
from uinet.wire.addresses import split

SEEDS = range(30)
ISN_TICK = 4000  # ns


def wait_for_isn(world: World, host: int, at: int) -> None:
    """Lets time pass until the connection's ISN at the client (0) or the server (2) will be about `at`: it grows with
    time (RFC 6528)."""
    tcp = world.hosts[host].stack.tcp
    here, there = (split(ip_address(text).packed) for text in ADDRESSES[world.version])
    entry = Entry()
    ends = (*here, 4000, *there, 80) if host == 0 else (*there, 80, *here, 4000)
    tags = world.l2.vlans
    tcp.table.set_key(entry, 1, b"".join(tag.vid.to_bytes(2, "big") for tag in tags), *ends)
    left = (at - tcp.secrets.isn(entry, world.net.now)) & 0xFFFFFFFF
    world.run(left * ISN_TICK / 1e9)


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
    wait_for_isn(world, random.choice([0, 2]), random.choice([0, -5, -1000, -100_000, 1 << 31]))
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
