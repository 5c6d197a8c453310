"""``uinet emulate`` between two kernels: its delay, its rate and its losses are what it was told."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import uinet
from tests.interop.netns import Namespace, namespace, require, wait_for

pytestmark = [pytest.mark.interop, pytest.mark.timeout(60)]

LEFT, RIGHT = "10.53.0.1", "10.53.0.2"
ENVIRONMENT = {"PYTHONPATH": str(Path(uinet.__file__).parents[1]), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


@contextmanager
def joined(*options: str) -> Iterator[tuple[Namespace, Namespace, subprocess.Popen[str]]]:
    """Two namespaces and the emulator between them; no ARP on the link."""
    require("ping", "iperf3")
    with namespace("left", ipv6=False) as left, namespace("right", ipv6=False) as right:
        words = [sys.executable, "-m", "uinet.cli", "emulate", "tap:e0", "tap:e1", *options, "--realtime", "--json"]
        process = subprocess.Popen(
            ["ip", "netns", "exec", left.name, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=ENVIRONMENT,
        )
        try:
            wait_for(lambda: "e1" in left.run("ip -br link"), "the emulator's TAPs", timeout=20)
            left.run(f"ip link set e1 netns {right.name}")
            for space, device, own, other in ((left, "e0", LEFT, RIGHT), (right, "e1", RIGHT, LEFT)):
                mac, their = (f"02:00:00:00:53:0{address[-1]}" for address in (own, other))
                space.run(f"ip link set {device} address {mac}")
                space.run(f"ip link set {device} txqueuelen 10000 up")
                space.run(f"ip addr add {own}/24 dev {device}")
                space.run(f"ip neigh replace {other} lladdr {their} dev {device} nud permanent")
            yield left, right, process
        finally:
            process.kill()
            process.communicate(timeout=10)


def end(process: subprocess.Popen[str]) -> dict[str, dict[str, float]]:
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    found: dict[str, dict[str, float]] = json.loads(output)
    return found


def test_pings_take_the_delay_both_ways_and_every_fifth_is_lost() -> None:
    medians: list[float] = []
    with joined("--delay", "10ms,20ms", "--lose-every", "5,1000") as (left, _, process):
        # a busy machine adds to a round trip and never takes away: the best of a few rounds is held to the millisecond
        while len(medians) < 5 and (not medians or min(medians) >= 31.0):
            text = left.run(f"ping -n -c 50 -i 0.02 -W 1 {RIGHT}", timeout=20)
            times = [float(time) for time in re.findall(r"time=([\d.]+) ms", text)]
            lost = sorted(set(range(1, 51)) - {int(number) for number in re.findall(r"icmp_seq=(\d+)", text)})
            assert lost == list(range(5, 51, 5))
            assert min(times) >= 30.0
            medians.append(sorted(times)[len(times) // 2])
        assert min(medians) < 31.0
        found = end(process)
        assert (found["ab"]["lost"], found["ba"]["lost"]) == (10 * len(medians), 0)
        assert found["lateness_us"]["frames"] == (40 + 40) * len(medians)


def test_a_stream_gets_the_rate_and_no_more() -> None:
    with joined("--rate", "50mbit", "--delay", "2ms", "--queue", "50") as (left, right, process):
        with right.popen(f"iperf3 -s -1 -B {RIGHT}"):
            wait_for(lambda: "5201" in right.run("ss -ltn"), "iperf3's server")
            report = json.loads(left.run(f"iperf3 -c {RIGHT} -t 3 -C cubic -J", timeout=20))
        rate = report["end"]["sum_received"]["bits_per_second"]
        assert 0.85 * 50e6 < rate < 50e6 * 1448 / 1514 * 1.01
        assert end(process)["ab"]["delivered"] > 10_000
