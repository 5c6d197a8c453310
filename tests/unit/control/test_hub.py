"""One control socket for several workers."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.control.helpers import Pair
from uinet import Host
from uinet import crew as crews
from uinet.control.hub import Hub
from uinet.control.joining import add
from uinet.control.protocol import OUTPUT_LIMIT, REQUEST_LIMIT
from uinet.control.server import Server
from uinet.control.tables import STATISTICS, Counted, Table

WORKERS = 3


class Crew:
    """Three stacks with 3, 4 and 5 connections, each with its control socket, and what joins these up."""

    def __init__(self, folder: Path) -> None:
        self.pairs = [Pair(seed) for seed in range(WORKERS)]
        for number, pair in enumerate(self.pairs):
            pair.connect(3 + number)
        paths = [str(folder / f"control.{number}") for number in range(WORKERS)]
        self.servers = [
            Server(pair.stack, path, clock=lambda: 0) for pair, path in zip(self.pairs, paths, strict=True)
        ]
        self.path = str(folder / "control")
        self.hub = Hub(self.path, paths, clock=lambda: 0)
        self.client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.client.connect(self.path)
        self.client.setblocking(False)

    def close(self) -> None:
        self.client.close()
        for door in (self.hub, *self.servers):
            door.close()

    def serve(self, rounds: int = 6) -> None:
        for _ in range(rounds):
            self.hub.serve(0)
            for server in self.servers:
                server.serve(0)

    def lines(self, command: str, **arguments: Any) -> list[dict[str, Any]]:
        """All lines of an answer."""
        self.client.send(json.dumps({"id": 7, "command": command, **arguments}).encode() + b"\n")
        data = b""
        for _ in range(500):
            self.serve(1)
            with contextlib.suppress(BlockingIOError):
                data += self.client.recv(1 << 20)
            found = [json.loads(line) for line in data.splitlines()] if data.endswith(b"\n") else []
            if found and "row" not in found[-1]:
                assert all(line["id"] == 7 for line in found)
                return found
        raise AssertionError(f"no answer: {data[-200:]!r}")

    def rows(self, command: str, **arguments: Any) -> list[dict[str, Any]]:
        *rows, end = self.lines(command, **arguments)
        assert end == {"id": 7, "end": {"rows": len(rows)}}, end
        return [line["row"] for line in rows]


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    crew = Crew(tmp_path)
    yield crew
    crew.close()


def test_totals_are_added_up(crew: Crew) -> None:
    (found,) = crew.rows("totals")
    assert found["connections"] == 12 and found["states"] == {"ESTABLISHED": 12} and found["workers"] == 3
    assert found["counters"]["tcp_accepted"] == 12
    assert found["traffic"]["eth0"]["rx_frames"] == sum(pair.stack.interfaces[0].rx_frames for pair in crew.pairs)
    assert found["uptime"] == 0.0
    crew.servers[1].served.began -= 3_000_000_000
    assert crew.rows("totals")[0]["uptime"] == 3.0


def test_rows_say_whose_they_are(crew: Crew) -> None:
    rows = crew.rows("stat", what="connections")
    assert sorted(row["worker"] for row in rows) == [0] * 3 + [1] * 4 + [2] * 5
    assert all(row["state"] == "ESTABLISHED" for row in rows)
    assert len(crew.rows("stat", what="connections", filter=["serial=5"])) == 1


def test_a_condition_says_which_workers_are_asked(crew: Crew) -> None:
    def asked(*conditions: str) -> list[int]:
        return sorted({row["worker"] for row in crew.rows("stat", what="connections", filter=list(conditions))})

    assert asked("worker=1") == [1]
    assert asked("worker=0|2", "serial=3") == [0, 2]
    assert asked("worker!=0", "worker!=2") == [1]
    assert [row["worker"] for row in crew.rows("stat", what="connections", filter=["serial=1", "worker=2"])] == [2]
    for wrong, says in (("worker=3", "no such worker: want 0 to 2"), ("worker=x", "no field worker"),
                        ("worker>0", "no field worker")):
        (line,) = crew.lines("stat", what="connections", filter=[wrong])
        assert says in line["error"]
    assert len(crew.rows("stat", what="connections", filter=[])) == 12


def test_counters_and_memory_are_added_up_by_name(crew: Crew) -> None:
    rows = {row["name"]: row for row in crew.rows("stat", what="counters")}
    assert rows["tcp_accepted"]["value"] == 12 and rows["tcp_accepted"]["help"] == "connections accepted"
    for number, server in enumerate(crew.servers):
        files = Counted("files", number + 1, "files written")
        server.add_table("captures", Table(STATISTICS, lambda served, files=files: iter([[files]]), "captures"))
    assert crew.rows("stat", what="captures") == [{"name": "files", "value": 6, "help": "files written"}]
    rows = {row["name"]: row for row in crew.rows("stat", what="memory")}
    assert rows["half_open"]["limit"] == 3 * crew.pairs[0].stack.tcp.settings.syn_cache_limit


def test_limits_and_order_are_over_all_of_them(crew: Crew) -> None:
    rows = crew.rows("stat", what="connections", sort="-serial", limit=4, fields=["rport"])
    assert [list(row) for row in rows] == [["worker", "rport"]] * 4
    assert {row["worker"] for row in rows[:1]} == {2}
    rows = crew.rows("stat", what="connections", sort="serial", limit=5)
    assert [row["serial"] for row in rows] == [1, 1, 1, 2, 2]
    assert len(crew.rows("stat", what="connections", limit=7)) == 7
    assert crew.hub.deadline() is None and all(server.deadline() is None for server in crew.servers)


def test_settings_are_told_once_where_they_are_the_same_and_set_everywhere(crew: Crew) -> None:
    (row,) = crew.rows("sysctl", name="net.inet.tcp.msl")
    assert row["value"] == 30.0 and "worker" not in row
    (row,) = crew.rows("sysctl-set", name="net.inet.tcp.msl", value="5s")
    assert row["text"] == "5s" and "worker" not in row
    assert [pair.stack.tcp.settings.msl for pair in crew.pairs] == [5_000_000_000] * 3
    crew.pairs[1].stack.sysctl["net.inet.tcp.msl"] = 7
    rows = crew.rows("sysctl", name="net.inet.tcp.msl")
    assert [(row["worker"], row["value"]) for row in rows] == [(0, 5.0), (1, 7.0), (2, 5.0)]


@pytest.mark.parametrize(("command", "arguments", "why"), [
    ("sysctl-set", {"name": "net.inet.tcp.msl", "value": "1000h"}, "out of range: want 1ms to 10min"),
    ("stat", {"what": "nothing"}, "there is no table nothing"),
    ("stat", {"what": "connections", "sort": "colour", "limit": 3}, "there is no field colour"),
    ("stat", {"what": "connections", "limit": -1}, '"limit" is a number'),
    ("explode", {}, "there is no command explode"),
])
def test_what_workers_refuse_is_refused_once_and_the_next_is_answered(
    crew: Crew, command: str, arguments: dict[str, Any], why: str
) -> None:
    (line,) = crew.lines(command, **arguments)
    assert why in line["error"]
    assert len(crew.rows("hello")) == 1


def test_a_worker_that_is_gone_is_told(crew: Crew) -> None:
    crew.servers[1].close()
    (line,) = crew.lines("totals")
    assert line["error"].startswith("worker 1 does not answer")


def test_a_worker_that_hangs_up_in_the_middle_is_told(crew: Crew) -> None:
    def endless(served: object, request: dict[str, object]) -> Any:
        while True:
            yield []

    for server in crew.servers:
        server.add_command("endless", endless)
        server.clock = iter(range(0, 1 << 60, 100_000)).__next__
    crew.client.send(b'{"command":"endless"}\n')
    for now in range(0, 100_000_000, 10_000_000):
        for door in (crew.hub, *crew.servers):
            door.serve(now)
    crew.servers[2].close()
    crew.hub.serve(1 << 40)
    crew.hub.serve(1 << 41)
    assert json.loads(crew.client.recv(1 << 16))["error"] == "worker 2 has hung up"


@pytest.mark.parametrize("rubbish", [b"hello\n", b"[]\n", b"x" * (REQUEST_LIMIT + 1), b'{"command":1}\n'])
def test_rubbish_ends_the_conversation(crew: Crew, rubbish: bytes) -> None:
    crew.client.send(rubbish)
    crew.serve(12)
    assert "error" in json.loads(crew.client.recv(1 << 16).splitlines()[-1])
    assert crew.client.recv(1) == b"" and crew.hub.clients == []


def test_while_nobody_reads_nothing_piles_up_and_nobody_spins(crew: Crew) -> None:
    def many(served: object, request: dict[str, object]) -> Any:
        for _ in range(20_000):
            yield [{"x": "y" * 200}]

    for server in crew.servers:
        server.add_command("many", many)
    crew.client.send(b'{"command":"many"}\n')
    for _ in range(50):
        crew.serve(1)
    (client,) = crew.hub.clients
    assert len(client.talk.output) < OUTPUT_LIMIT + 64 * 1024
    assert crew.hub.deadline() is None
    crew.hub.serve(0)
    import select

    assert select.select([crew.hub], [], [], 0)[0] == []
    data = b""
    for _ in range(5000):
        with contextlib.suppress(BlockingIOError):
            data += crew.client.recv(1 << 20)
        if data.endswith(b'{"end":{"rows":60000}}\n'):
            break
        crew.serve(1)
    assert data.count(b"\n") == 60_001


def test_a_client_that_goes_takes_its_connections_along(crew: Crew) -> None:
    crew.client.send(b'{"command":"stat","what":"connections"}\n')
    crew.hub.serve(0)
    crew.client.close()
    crew.serve()
    assert crew.hub.clients == [] and all(server.clients == [] for server in crew.servers)


def test_numbers_of_records_are_added_up() -> None:
    joined: dict[str, Any] = {}
    add(joined, {"a": 1, "b": {"c": 2}, "d": "x", "e": True})
    add(joined, {"a": 2, "b": {"c": 3, "f": 1.5}, "d": "y", "e": True})
    assert joined == {"a": 3, "b": {"c": 5, "f": 1.5}, "d": "x", "e": True}
    assert crews.add is add


# the socket of a crew, in processes of their own


def work(worker: Any) -> int:
    """A worker whose stack has a control socket, and that serves it until it is told to stop."""
    import asyncio

    async def serve() -> int:
        async with Host(seed=b"worker") as host:
            host.control(worker.control)
            worker.report({"ready": 1})
            await worker.told_to_stop()
        return int(worker.index)

    return asyncio.run(serve())


@pytest.mark.parametrize("threads", [False, True])
def test_a_crew_serves_one_socket_for_all_its_workers(tmp_path: Path, threads: bool) -> None:
    from uinet.control.client import Client
    from uinet.crew import Crew as RealCrew

    path = str(tmp_path / "crew")
    with RealCrew(work, 2, threads=threads, control=path) as crew:
        while crew.total().get("ready") != 2:
            crew.wait(5.0)
        with Client(path) as client:
            client.connection.sendall(b'{"id":1,"command":"totals"}\n')
            client.connection.setblocking(False)
            data = b""
            for _ in range(200):
                crew.wait(0.01)
                with contextlib.suppress(BlockingIOError):
                    data += client.connection.recv(1 << 20)
                if data.endswith(b'{"id":1,"end":{"rows":1}}\n'):
                    break
        assert json.loads(data.splitlines()[0])["row"]["workers"] == 2
    assert crew.results == [0, 1] and not Path(path).exists() and not Path(f"{path}.0").exists()
