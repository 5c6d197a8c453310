"""``uinet scale``: ranges, both ends in one process, and one end on a device."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from uinet.cli import main
from uinet.errors import InvalidArgument
from uinet.link.url import open_device
from uinet.scale.ends import MOST_PAYLOAD, Exchange, payload
from uinet.scale.plan import Plan, Ranges
from uinet.scale.ranges import Addresses, Macs, Stacks
from uinet.scale.running import Load, both_ends, one_end


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """What the command prints and its exit status."""
    status = main(["scale", "--json", "--seed", "1", *arguments])
    return status, json.loads(capsys.readouterr().out)


def test_stacks_are_numbered_through_all_specifications() -> None:
    stacks = Stacks(["none", "7", "1:10-12:100-101"])
    found = [tuple(tag.vid for tag in stacks[number]) for number in range(len(stacks))]
    assert found == [
        (), (7,), (1, 10, 100), (1, 10, 101), (1, 11, 100), (1, 11, 101), (1, 12, 100), (1, 12, 101),
    ]


def test_addresses_are_numbered() -> None:
    assert len(Addresses("10.0.0.0/12")) == 1 << 20
    assert Addresses("10.0.0.0/12")[(1 << 20) - 1] == bytes([10, 15, 255, 255])
    assert Addresses("10.0.0.250-10.0.1.3")[7] == bytes([10, 0, 1, 1])
    assert len(Addresses("2001:db8::1")) == 1
    assert len(Addresses("2001::/16")) == 1 << 62
    assert str(Macs("02:00:00:00:00:ff+2")[1]) == "02:00:00:00:01:00"


@pytest.mark.parametrize("text", ["", "x", "10.0.0.9-10.0.0.1", "10.0.0.1-::1", "224.0.0.0/8", "10.0.0.0/33"])
def test_what_is_no_range_of_addresses_is_told(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Addresses(text)


@pytest.mark.parametrize("text", ["", "0", "4095", "1:", "5-3", "-3", "1-2-3", ":".join(["1"] * 17), "1:x"])
def test_what_is_no_range_of_stacks_is_told(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Stacks([text])


@pytest.mark.parametrize("text", ["", "02:00:00:00:00:01+0", "01:00:00:00:00:01", "ff:ff:ff:ff:ff:ff+2", "02:00+x"])
def test_what_is_no_range_of_macs_is_told(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Macs(text)


def test_no_two_connections_are_the_same() -> None:
    plan = Plan(Ranges(["none", "1-3"], "10.1.0.0/30", "80-82", "10.2.0.1-10.2.0.3", "1024-1026"))
    assert plan.services == 4 * 4 * 3
    assert plan.clients == 9
    seen = {plan.connection(number) for number in range(plan.capacity)}
    assert len(seen) == plan.capacity == 48 * 9
    services = [plan.service(number) for number in range(plan.services)]
    assert [plan.connection(number)[2] for number in range(48)] == [endpoint for _, endpoint in services]


def test_payload_tells_where_it_belongs() -> None:
    assert payload(0, 600) == payload(0, 300) + payload(300, 300)
    assert payload(0, 100) != payload(1, 100)


@pytest.mark.parametrize("wrong", [{"request": -1}, {"response": MOST_PAYLOAD + 1}, {"request": 0, "count": 1}])
def test_impossible_exchanges_are_told(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument):
        Exchange(**wrong)


@pytest.mark.parametrize(
    "ranges", [
        ("--server-ip", "10.128.0.0/9"), ("--vlan", "1-5:1-5:1-5"), ("--vlan", "none", "--vlan", "1-9:5-20"),
        ("--server-ip", "2001:db8::/64", "--client-ip", "2001:db8:1::/64"),
        ("--client-mac", "02:00:00:00:01:00+50", "--server-mac", "02:00:00:00:02:00+50"),
    ], ids=["addresses", "stacks", "mixture", "IPv6", "MACs"],
)
def test_both_ends_exchange_with_a_listener_for_each(capsys: pytest.CaptureFixture[str], ranges: tuple[str]) -> None:
    status, found = run(capsys, "-n", "100", "--listeners", "100", "--exchanges", "2", *ranges)
    assert status == 0 and found["ok"], found
    assert found["server"]["listeners"] == found["server"]["accepted"] == found["client"]["established"] == 100
    assert found["server"]["exchanges"] == found["client"]["exchanges"] == 200
    assert found["client"]["bytes_in"] == found["client"]["bytes_out"] == 200 * 64


@pytest.mark.parametrize(
    "request_size, response", [(1, 1), (64, 100_000), (100_000, 1), (3_000_000, 3_000_000), (500, 0)],
)
def test_connections_that_close_have_said_everything(
    capsys: pytest.CaptureFixture[str], request_size: int, response: int
) -> None:
    status, found = run(
        capsys, "-n", "20", "--close", "--exchanges", "3", "--request", str(request_size), "--response", str(response)
    )
    assert status == 0 and found["ok"], found
    assert found["client"]["closed"] == 20
    assert found["server"]["bytes_in"] == 60 * request_size
    if response:
        assert found["client"]["bytes_in"] == 60 * response


def test_idle_connections_are_held(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = run(capsys, "-n", "30", "--exchanges", "0", "--keepalive", "--hold", "0.2")
    assert status == 0
    assert found["client"]["established"] == 30
    assert found["seconds"]["hold"] >= 0.2


def test_rate_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = run(capsys, "-n", "21", "--rate", "100")
    assert status == 0
    assert found["seconds"]["connect"] >= 0.2


@pytest.mark.parametrize(
    "arguments", [
        ("-n", "10", "--server-ip", "10.0.0.1", "--client-ip", "10.0.0.2", "--client-port", "5-7"),
        ("-n", "10", "--server-ip", "10.0.0.1", "--listeners", "2"), ("--server",), ("--device", "memory:x"),
        ("--server", "--client", "--device", "memory:x"), ("--client", "--device", "nonsense"), ("--vlan", "5000"),
        ("--server-ip", "::1"), ("--client-port", "0"), ("--request", "0"), ("--rate", "nan"),
        ("--server-ip", "0.0.0.0/8"), ("--client-ip", "200.0.0.0-250.0.0.0"), ("--client-ip", "255.255.255.0/24"),
    ],
)
def test_usage_errors_are_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    assert main(["scale", *arguments]) == 2
    told = capsys.readouterr().err
    assert told.startswith("uinet") and told.count("\n") == 1


def test_servers_in_one_process_and_clients_in_another_meet_on_a_device(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plan = Plan(Ranges(["1:2-9"]))
    load = Load(200, Exchange(count=2), listeners=200, duration=10.0)
    server = one_end(load, plan, b"s", open_device(f"unix:{tmp_path / 'link'}?listen=1"), True, False)
    ended = threading.Event()

    def serve() -> None:
        server.medium.turn(0.0)
        for _ in server._listen():
            pass
        while not ended.is_set():
            server.medium.turn(0.01)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        status, found = run(
            capsys, "--client", "-d", f"unix:{tmp_path / 'link'}", "-n", "200", "--exchanges", "2", "--vlan", "1:2-9"
        )
    finally:
        ended.set()
        thread.join(20)
        server.medium.close()
    assert status == 0 and found["ok"], found
    assert server.server is not None
    assert server.server.counts["accepted"] == 200 and server.server.counts["exchanges"] == 400


def test_live_table_tells_what_happens(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scale", "-n", "10", "--seed", "1"]) == 0
    told = capsys.readouterr().out
    assert "of 10 connections established" in told
    assert "longest turn" in told


def test_nothing_is_left_when_it_is_over() -> None:
    work = both_ends(Load(50, Exchange(count=1, close=True), listeners=50), Plan(Ranges(["1-5"])), b"x")
    work.run()
    assert work.ok
    assert [stack.tcp.connections for stack in work.medium.stacks] == [0, 0]
    work.medium.close()
