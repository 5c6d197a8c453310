"""``uinet emulate`` between two kernels: its delay, its rate and its losses are what it was told."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import uinet
from tests.interop.netns import PATIENCE, Namespace, namespace, require, wait_for

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

LEFT, RIGHT = "10.53.0.1", "10.53.0.2"
ENVIRONMENT = {"PYTHONPATH": str(Path(uinet.__file__).parents[1]), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


@contextmanager
def joined(*options: str) -> Iterator[tuple[Namespace, Namespace, subprocess.Popen[str]]]:
    """Two namespaces and the emulator between them; no ARP on the link."""
    require("ping", "iperf3", "chrt")
    with namespace("left", ipv6=False) as left, namespace("right", ipv6=False) as right:
        words = [sys.executable, "-m", "uinet.cli", "emulate", "tap:e0", "tap:e1", *options, "--realtime", "--json"]
        process = subprocess.Popen(
            ["ip", "netns", "exec", left.name, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=ENVIRONMENT,
        )
        try:
            wait_for(lambda: "e1" in left.run("ip -br link"), "the emulator's TAPs")
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
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    found: dict[str, dict[str, float]] = json.loads(output)
    return found


def test_pings_take_the_delay_both_ways_and_every_fifth_is_lost() -> None:
    medians: list[float] = []
    with joined("--delay", "10ms,20ms", "--lose-every", "5,1000") as (left, _, process):
        # a busy machine adds to a round trip and never takes away: the best of a few rounds is held to the millisecond,
        # and ping as well as the emulator comes before what else runs here
        while len(medians) < 5 and (not medians or min(medians) >= 31.0):
            text = left.run(f"chrt -f 1 ping -n -c 50 -i 0.02 -W 5 {RIGHT}")
            times = [float(time) for time in re.findall(r"time=([\d.]+) ms", text)]
            lost = sorted(set(range(1, 51)) - {int(number) for number in re.findall(r"icmp_seq=(\d+)", text)})
            assert lost == list(range(5, 51, 5))
            assert min(times) >= 30.0
            medians.append(sorted(times)[len(times) // 2])
        assert min(medians) < 31.0
        found = end(process)
        assert (found["ab"]["lost"], found["ba"]["lost"]) == (10 * len(medians), 0)
        assert found["lateness_us"]["frames"] == (40 + 40) * len(medians)


RATE = 50e6  # bit/s
FRAME = 1514  # bytes


class Counter:
    """The bytes that have come to an interface, as its kernel counts them."""

    def __init__(self, space: Namespace, device: str) -> None:
        self.device = device
        with space.entered():
            self.table = os.open("/proc/thread-self/net/dev", os.O_RDONLY)

    def read(self) -> tuple[int, float, float]:
        """The bytes, and the time before they were counted, and after."""
        before = time.monotonic()
        text = os.pread(self.table, 1 << 16, 0).decode()
        after = time.monotonic()
        return int(text.partition(f"{self.device}:")[2].split()[0]), before, after

    def close(self) -> None:
        os.close(self.table)


def test_a_stream_gets_the_rate_and_no_more() -> None:
    """Never more in any second, but for what was late; and in one of them nearly all, as others may need the
    processors in the rest."""
    found: list[tuple[float, float]] = []  # bits that came, and the seconds that this took at most
    with (
        joined("--rate", "50mbit", "--delay", "2ms", "--queue", "50") as (left, right, process),
        closing(Counter(right, "e1")) as counter, right.popen(f"iperf3 -s -1 -B {RIGHT}"),
    ):
        wait_for(lambda: "5201" in right.run("ss -ltn"), "iperf3's server")
        with left.popen(f"iperf3 -c {RIGHT} -t 40 -C cubic"):
            wait_for(lambda: counter.read()[0] > 1000 * FRAME, "the stream")
            while len(found) < 30 and (len(found) < 3 or max(bits / seconds for bits, seconds in found) < 0.89 * RATE):
                first, begin, _ = counter.read()
                time.sleep(1)
                last, _, finish = counter.read()
                found.append(((last - first) * 8, finish - begin))
        statistics = end(process)
    late = statistics["lateness_us"]["max"] / 1e6
    assert max(bits / seconds for bits, seconds in found) > 0.89 * RATE, found
    assert all(bits <= RATE * (seconds + late) + 8 * FRAME for bits, seconds in found), (found, late)
    assert statistics["ab"]["delivered"] > 10_000
