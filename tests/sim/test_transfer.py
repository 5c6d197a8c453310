"""Two stacks, one link, everything that can go wrong on it: every byte arrives, or the test fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sim.programs import Conversation, pattern, run_conversation
from uinet.sim.network import Network
from uinet.wire.pcap import read

SIZE = 300_000


def network(seed: int, v6: bool = False, **conditions: Any) -> tuple[Network, Conversation]:
    net = Network(seed=seed)
    one, two = ("fd00::1/64", "fd00::2/64") if v6 else ("10.0.0.1/24", "10.0.0.2/24")
    a, b = net.host(one), net.host(two)
    net.link(a, b, **conditions)
    return net, Conversation(a, b, two.split("/")[0], pattern(SIZE, 1), pattern(SIZE, 2))


CONDITIONS: dict[str, dict[str, Any]] = {
    "perfect": {},
    "slow": {"rate": 5e6, "delay": 0.02},
    "loss": {"rate": 20e6, "delay": 0.01, "loss": 0.03},
    "loss of data only": {"rate": 20e6, "delay": 0.01, "loss": (0.05, 0.0)},
    "loss of acks only": {"rate": 20e6, "delay": 0.01, "loss": (0.0, 0.2)},
    "reorder": {"rate": 20e6, "delay": 0.01, "reorder": 0.2},
    "duplicate": {"rate": 20e6, "delay": 0.01, "duplicate": 0.3},
    "corrupt": {"rate": 20e6, "delay": 0.01, "corrupt": 0.03},
    "short queue": {"rate": 20e6, "delay": 0.01, "queue": 8},
    "jitter": {"rate": 20e6, "delay": 0.01, "jitter": 0.02},
    "everything": {
        "rate": 20e6, "delay": 0.01, "loss": 0.03, "reorder": 0.1, "duplicate": 0.1, "corrupt": 0.03,
        "jitter": 0.005, "queue": 50,
    },
}


@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("name", CONDITIONS)
def test_every_byte_arrives_both_ways(name: str, v6: bool) -> None:
    net, talk = network(7, v6, **CONDITIONS[name])
    run_conversation(net, talk)


@pytest.mark.parametrize("seed", range(10))
def test_every_byte_arrives_through_heavy_weather(seed: int) -> None:
    net, talk = network(
        seed, rate=50e6, delay=0.005, loss=0.08, reorder=0.2, duplicate=0.1, corrupt=0.05, jitter=0.002, queue=30
    )
    run_conversation(net, talk)


def test_faults_that_are_asked_for_happen() -> None:
    net, talk = network(7, **CONDITIONS["everything"])
    run_conversation(net, talk)
    for direction in net.statistics().values():
        assert direction["lost"]
        assert direction["reordered"]
        assert direction["duplicated"]
        assert direction["corrupted"]


def test_a_link_without_faults_needs_no_retransmission() -> None:
    net, talk = network(7, rate=20e6, delay=0.01)
    run_conversation(net, talk)
    for host in net.hosts:
        assert host.stack.stats["tcp_retransmit"] == 0


def test_the_rate_is_what_bounds_a_transfer() -> None:
    net, talk = network(7, rate=10e6, delay=0.001)
    start = net.now
    run_conversation(net, talk)
    seconds = (net.now - start) / 1e9
    assert SIZE * 8 / 10e6 < seconds < SIZE * 8 / 10e6 * 1.25


def capture(path: Path, seed: int) -> bytes:
    with Network(seed=seed) as net:
        a, b = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
        net.link(
            a, b, rate=20e6, delay=0.01, loss=0.02, reorder=0.1, duplicate=0.1, corrupt=0.02, capture=path
        )
        talk = Conversation(a, b, "10.0.0.2", pattern(100_000, 1), pattern(100_000, 2))
        run_conversation(net, talk)
    return path.read_bytes()


def test_the_same_seed_gives_the_same_capture_to_the_byte(tmp_path: Path) -> None:
    first = capture(tmp_path / "one.pcapng", 7)
    assert capture(tmp_path / "two.pcapng", 7) == first
    assert capture(tmp_path / "three.pcapng", 8) != first


def test_a_capture_has_the_virtual_time_of_each_frame(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    with Network(seed=1) as net:
        a, b = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
        net.link(a, b, delay=0.010, capture=path)
        run_conversation(net, Conversation(a, b, "10.0.0.2", b"there", b"back"))
    records = read(path.read_bytes())
    start = records[0].time
    assert records[0].data[12:14] == b"\x08\x06"  # who has 10.0.0.2?
    assert records[1].time - start == 20_000_000  # the answer, a round trip later
    assert [record.time for record in records] == sorted(record.time for record in records)
    assert {record.flags for record in records} == {1, 2}


def test_both_ends_of_a_link_can_be_captured(tmp_path: Path) -> None:
    paths = tmp_path / "a.pcapng", tmp_path / "b.pcapng"
    with Network(seed=1) as net:
        a, b = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
        net.link(a, b, delay=0.010, capture=paths)
        run_conversation(net, Conversation(a, b, "10.0.0.2", b"there", b"back"))
        net.run(timeout=1.0)
    one, two = (read(path.read_bytes()) for path in paths)
    assert sorted(record.data for record in one) == sorted(record.data for record in two)
    assert [record.time for record in one] != [record.time for record in two]
