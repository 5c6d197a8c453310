from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from uinet.sim.lateness import Lateness, sharp_sleep


@pytest.mark.parametrize("seed", range(3))
def test_percentiles_are_at_most_a_sixteenth_too_high(seed: int) -> None:
    chance = random.Random(seed)
    times = sorted(round(chance.lognormvariate(9, 3)) for _ in range(1000))
    late = Lateness()
    for time in times:
        late.add(time)
    for percent in (1, 50, 90, 99, 100):
        exact = times[max(0, round(len(times) * percent / 100) - 1)]
        assert exact <= late.percentile(percent) <= exact + exact // 16 + 1
    assert late.maximum == times[-1]


def test_small_times_are_counted_exactly() -> None:
    late = Lateness()
    for time in range(32):
        late.add(time)
    assert [late.percentile((time + 1) * 100 / 32) for time in range(32)] == list(range(32))


def test_what_is_early_counts_as_on_time() -> None:
    late = Lateness()
    late.add(-5)
    assert (late.maximum, late.percentile(100), late.count) == (0, 0, 1)


def test_nothing_counted_is_all_zero() -> None:
    assert Lateness().summary() == {"p50": 0, "p99": 0, "p99.9": 0, "max": 0, "frames": 0}


@pytest.mark.skipif(sys.platform != "linux", reason="timer slack is Linux's")
def test_sharp_sleep_gives_the_slack_back() -> None:
    slack = Path("/proc/self/timerslack_ns")
    before = slack.read_text()
    with sharp_sleep():
        assert slack.read_text() == "1\n"
    assert slack.read_text() == before
