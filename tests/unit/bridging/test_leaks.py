"""Nothing is left of a flow that is over, without any help of the cyclic collector."""

from __future__ import annotations

import gc
from collections import Counter
from random import Random
from typing import Any

import pytest

from tests.unit.bridging.worlds import World
from uinet.bridging.flow import BridgedFlow
from uinet.bridging.track import Side, Track
from uinet.bridging.translate import Translation
from uinet.proxy.connection import Connection
from uinet.splicing import Splice
from uinet.tcp.syn import Syn

KINDS = (BridgedFlow, Track, Side, Translation, Connection, Splice, Syn)
UP, DOWN = Random(1).randbytes(400_000), Random(2).randbytes(400_000)


def alive() -> Counter[str]:
    return Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, KINDS))


@pytest.fixture
def no_collector() -> Any:
    gc.collect()
    gc.disable()
    yield None
    gc.enable()


@pytest.mark.parametrize("way", ["pass", "track", "intercept", "hold"])
def test_a_flow_leaves_nothing_whatever_states_it_came_to(no_collector: None, way: str) -> None:
    world = World(way=way, link={"delay": 0.005, "rate": 1e7})
    before = alive()
    world.start(UP, DOWN)
    for state in ("intercept", "track", "intercept", "pass", "track"):
        world.run(0.1)
        if world.proxy.connections():
            world.change(state)
            world.net.run(until=lambda: not world.proxy.connections() or not world.connection.wanted, timeout=60)
    world.net.run(until=world.finished, timeout=100)
    world.check()
    assert not alive() - before
