"""What a control socket shows of a proxy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.control.helpers import Pair
from uinet.control.server import Server
from uinet.link.flow_files import COUNTERS as COUNTS
from uinet.link.flow_files import FlowFiles
from uinet.metrics import families
from uinet.proxy.connection import OUTCOMES
from uinet.proxy.engine import COUNTERS
from uinet.proxy.policy import Policy
from uinet.proxy.tables import serve, tables
from uinet.wire.tcp_options import Mss


@pytest.fixture
def shown(world: Any) -> Any:
    """A control server with the proxy's tables, to ask."""
    server = Server(world.stack)
    for name, table in tables(world.proxy).items():
        server.add_table(name, table)
    pair = Pair(server=server)
    yield pair
    pair.close()


def test_captures_of_connections_are_counted_and_their_numbers_listed(world: Any, tmp_path: Path) -> None:
    files = FlowFiles(tmp_path)
    world.stack.copy_flows(files)
    server = Server(world.stack)
    for name, table in tables(world.proxy, files).items():
        server.add_table(name, table)
    pair = Pair(server=server)
    world.client.send("S")
    world.server.expect("S")
    world.server.send("S.")
    world.client.expect("S.")
    world.client.send(".")
    world.server.expect(".")
    world.run(0.1)
    (row,) = pair.ask("stat", what="flows", fields="all")
    assert (row["client_serial"], row["server_serial"]) == (2, 1)
    rows = {row["serial"]: row for row in pair.ask("stat", what="connections", fields="all")}
    assert {serial: one["copy"] for serial, one in rows.items()} == {1: "on", 2: "on"}
    assert all(one["copied"] > 0 for one in rows.values())
    files.flush()
    counts = {row["name"]: row["value"] for row in pair.ask("stat", what="captures")}
    assert counts["files"] == 2 and counts["packets"] == 6 and counts["lost"] == 0
    assert counts.keys() == COUNTS.keys()
    pair.close()
    files.close()


def test_a_connection_is_listed_from_its_syn_to_its_end(world: Any, shown: Pair) -> None:
    world.client.send("S")
    world.server.expect("S")
    (row,) = shown.ask("stat", what="flows", fields="all")
    assert (row["phase"], row["vlans"], row["client"], row["client_port"], row["server"], row["server_port"]) == (
        "connecting", "100:200", "10.0.0.1", 40000, "10.0.0.2", 80
    )
    world.server.send("S.")
    world.client.expect("S.")
    world.client.send(".")
    world.server.expect(".")
    world.client.send(".", b"hello")
    world.run(0.1)
    (row,) = shown.ask("stat", what="flows", filter=["phase=open", "client=10.0.0.0/8", "client_bytes>0"])
    assert row["client_bytes"] == 5 and row["server_bytes"] == 0 and 0 < row["age"] < 10
    world.client.send("R")
    world.run(1.0)
    assert shown.ask("stat", what="flows") == []
    counts = {row["name"]: row for row in shown.ask("stat", what="proxy")}
    assert counts["opened"]["value"] == counts["reset"]["value"] == 1 and counts["closed"]["value"] == 0
    assert counts.keys() == {*COUNTERS, *OUTCOMES}
    assert counts["reset"]["help"] == OUTCOMES["reset"]
    (totals,) = shown.ask("totals")
    assert totals["more"] == {"proxy": {name: row["value"] for name, row in counts.items()}}
    pytest.importorskip("prometheus_client")
    samples = {sample.name: sample.value for family in families(totals) for sample in family.samples}
    assert samples["uinet_proxy_opened_total"] == 1 and samples["uinet_proxy_policy_error_total"] == 0


# the states of flows


@pytest.fixture
def tracked(make_world: Any) -> Any:
    """A world whose flows are tracked, and a control server to change that."""
    world = make_world(policy=Policy(decide=lambda syn: "track"))
    server = Server(world.stack)
    serve(server, world.proxy)
    pair = Pair(server=server)
    yield world, pair
    pair.close()


def test_a_flow_is_shown_and_taken_over_by_command(tracked: Any) -> None:
    world, pair = tracked
    world.client.send("S", options=[Mss(1460)])
    world.server.expect("S")
    world.server.send("S.", options=[Mss(1460)])
    world.client.expect("S.")
    world.client.send(".")
    world.server.expect(".")
    world.client.send(".", b"hello")
    world.server.expect(".", b"hello")
    (row,) = pair.ask("stat", what="flows")
    assert (row["state"], row["phase"], row["client_bytes"]) == ("track", "bridged", 5)
    (row,) = pair.ask("flow", state="intercept", filter=["server_port=80"])
    assert (row["before"], row["state"]) == ("track", "intercept")
    got = world.client.expect(".")  # the proxy acknowledges what the server has not yet
    assert got.tcp.ack == world.client.snd_nxt
    world.server.send(".")
    world.run(0.1)
    (row,) = pair.ask("flow", state="pass", filter=["state=intercept"])
    assert row["state"] == "pass"
    assert pair.ask("stat", what="flows", filter=["state=intercept"]) == []


def test_what_a_command_can_not_be(tracked: Any) -> None:
    world, pair = tracked
    for request, why in (
        ({"state": "proxy", "filter": ["serial=1"]}, "state"),
        ({"state": "pass"}, "filter"),
        ({"state": "pass", "filter": ["serial=1"], "wait": -1}, "wait"),
        ({"state": "pass", "filter": ["nothing=1"]}, "nothing"),
    ):
        with pytest.raises(AssertionError, match=why):
            pair.ask("flow", **request)
    assert pair.ask("flow", state="pass", filter=["serial=1"]) == []
    world.client.send("S")
    world.server.expect("S")
    (row,) = pair.ask("flow", state="hold", filter=["serial=1"])
    assert row["state"] == "track" and "only a SYN" in row["why"]
