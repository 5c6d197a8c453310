"""`uinet.bridge`: two interfaces bridged, flow by flow as a function decides, and what it reads of them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

import uinet
from tests.unit.bridging.worlds import World
from uinet.errors import InvalidArgument
from uinet.proxy import Policy

UP, DOWN = Random(1).randbytes(300_000), Random(2).randbytes(300_000)


def test_streams_of_tracked_flows_are_read_as_they_pass() -> None:
    read = {True: bytearray(), False: bytearray()}

    def tracked(data: bytes, from_client: bool, connection: Any) -> None:
        read[from_client] += data

    world = World(
        policy=Policy(decide=lambda syn: "track", tracked=tracked),
        link={"delay": 0.005, "rate": 2e7, "loss": 0.01, "reorder": 0.01},
    )
    world.start(UP, DOWN)
    world.net.run(until=world.finished, timeout=100)
    world.check()
    assert (bytes(read[True]), bytes(read[False])) == (UP, DOWN)


def test_a_reader_that_raises_is_told_of_once_and_the_flow_passes() -> None:
    errors: list[str] = []

    def tracked(data: bytes, from_client: bool, connection: Any) -> None:
        raise ValueError("no")

    world = World(policy=Policy(decide=lambda syn: "track", tracked=tracked), on_error=errors.append)
    world.start(UP, DOWN)
    world.net.run(until=world.finished, timeout=100)
    world.check()
    assert len(errors) == 1 and "ValueError: no" in errors[0]


def test_bridge_classifies_each_flow() -> None:
    net = uinet.sim.Network(seed=1)
    client, middle, server = (net.host(promiscuous=True) for _ in range(3))
    net.link(client, middle, delay=0.001)
    net.link(middle, server, delay=0.001)
    words = {80: "intercept", 81: "track", 82: None, 83: "reset"}
    bridged = uinet.bridge(*middle.interfaces, classify=lambda syn: words[syn.destination[1]])
    listener = server.stack.listen((uinet.ANY, uinet.ANY), vlans=uinet.ANY, cdom=1)
    l2 = uinet.L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02")
    socks = [
        client.stack.connect(("192.0.2.80", port), source=("10.1.2.3", 4567), l2=l2, cdom=1) for port in words
    ]
    net.run(timeout=1)
    assert [connection.state for connection in bridged.connections()] == ["intercept", "track", "pass"]
    assert [sock.state for sock in socks] == ["ESTABLISHED"] * 3 + ["CLOSED"]
    accepted = [listener.accept() for _ in range(3)]
    for connection in bridged.connections():
        if connection.state == "track":
            assert connection.change("intercept", 0) == ""
    net.run(timeout=1)
    assert len(bridged.active) == 2
    assert all(sock.state == "ESTABLISHED" for sock in accepted)


def test_bridge_refuses_what_it_can_not_join() -> None:
    net = uinet.sim.Network(seed=1)
    a, b = (net.host(promiscuous=True) for _ in range(2))
    for pair in ((a.interface, a.interface), (a.interface, b.interface), (a.interface, "eth0")):
        with pytest.raises(InvalidArgument):
            uinet.bridge(*pair)  # type: ignore[arg-type]
