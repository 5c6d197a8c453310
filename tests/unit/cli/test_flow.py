"""``uinet flow``: states of a proxy's flows, changed from a command line."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.unit.bridging.worlds import World
from tests.unit.cli.test_inside import run, served
from uinet.control.server import Server
from uinet.proxy.tables import serve

DATA = Random(1).randbytes(2_000_000)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A tracked flow in its middle, on a control socket that commands find in the environment."""
    path = str(tmp_path / "control")
    monkeypatch.setenv("UINET_CONTROL", path)
    world = World(way="track", link={"delay": 0.005, "rate": 2e7})
    world.start(DATA, b"")
    world.run(0.1)
    with contextlib.closing(Server(world.stack, path, clock=lambda: 0)) as server:
        serve(server, world.proxy)
        with served(server):
            yield world


def test_a_flow_is_taken_over_and_let_go(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "flow", "intercept", "-f", "server_port=80", "--json")
    assert status == 0
    assert json.loads(out) == {"serial": 1, "before": "track", "state": "intercept"}
    assert world.connection.state == "intercept"
    status, out, _ = run(capsys, "stat", "flows")
    assert "intercept" in out and "10.0.0.1" in out
    # the time of the stack stands still, so nothing drains
    status, out, _ = run(capsys, "flow", "pass", "-f", "state=intercept", "--wait", "0")
    assert status == 1 and "drain first" in out
    assert world.connection.state == "intercept"


def test_flows_that_are_not_there(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "flow", "pass", "-f", "serial=7", "-f", "vlans=5")
    assert (status, out) == (1, "") and err.startswith("uinet: no flow meets serial=7 and vlans=5")
    status, _, err = run(capsys, "flow", "pass", "-f", "nothing=7")
    assert status == 1 and "nothing" in err
    assert run(capsys, "flow", "proxy", "-f", "serial=1")[0] == 2
    assert run(capsys, "flow", "pass")[0] == 2
