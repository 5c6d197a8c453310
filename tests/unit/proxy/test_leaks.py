"""Nothing is left of a connection that is over, without any help of the cyclic collector, which sees no TCBs."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import uinet
from uinet.proxy.connection import Connection
from uinet.proxy.demo import Demo
from uinet.socket import Socket
from uinet.splicing import Splice
from uinet.tcp.syn import Syn

KINDS = (Connection, Socket, Splice, Syn)


def alive() -> Counter[str]:
    """The objects of connections, by class."""
    return Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, KINDS))


@pytest.fixture
def no_collector() -> Any:
    gc.collect()
    gc.disable()
    yield None
    gc.enable()


def test_demo_leaves_only_its_listeners(no_collector: None) -> None:
    before = alive()
    demo = Demo(60, 2000)
    demo.run()
    demo.network.run(timeout=200.0)  # TIME-WAIT
    assert demo.differences() == []
    demo.client_sides.clear()
    demo.server_sides.clear()
    # its listeners, which the collector of the compiled build sees as little as TCBs
    assert alive() - before == (Counter() if uinet.compiled() else Counter({"Socket": 3}))


@pytest.mark.parametrize("end", ["closed", "refused", "silent", "client-gone", "reset", "handshake", "shutdown"])
def test_connection_leaves_nothing_however_it_ends(
    no_collector: None, make_world: Callable[..., Any], end: str
) -> None:
    world = make_world()
    before = alive()
    client, server = world.client, world.server
    client.send("S")
    server.expect("S")
    if end == "refused":
        server.send("R.")
    elif end == "client-gone":
        client.send("R")
    elif end == "shutdown":
        world.proxy.abort()
    elif end != "silent":
        server.send("S.")
        client.expect("S.")
        server.expect(".")
    if end in ("closed", "reset"):
        client.send(".")
        world.run(0.1)
        client.send("F." if end == "closed" else "R.")
        world.run(0.1)
    if end == "closed":
        server.expect("F.")
        server.send("F.")
        world.run(0.1)
        client.rcv_nxt = (client.rcv_nxt + 1) % 2**32
        client.send(".")
    world.run(300.0)
    assert world.outcome == end
    assert world.proxy.active == {}
    assert not alive() - before
