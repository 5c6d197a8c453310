"""BBRv3 on paths whose bandwidth, round trip and losses are known (draft-ietf-ccwg-bbr; its appendix has most of
these cases)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.sim.bottleneck import Bottleneck, Flow
from uinet.sockopt import SO_MAX_PACING_RATE, SOL_SOCKET
from uinet.tcp.congestion.bbr_constants import (
    CRUISE,
    DOWN,
    DRAIN,
    NAMES,
    NO_LIMIT,
    PROBE_RTT,
    REFILL,
    STARTUP,
    UP,
)
from uinet.units import MILLISECOND


def history(flow: Flow) -> tuple[list[str], Callable[[], None]]:
    """The states that the flow goes through, and what has to look at it."""
    seen: list[str] = []

    def look() -> None:
        control = flow.control
        if control is not None and (not seen or seen[-1] != NAMES[control.state]):
            seen.append(NAMES[control.state])

    return seen, look


def bandwidth(flow: Flow) -> float:
    """What the flow takes for the bandwidth, in bit/s."""
    return float(flow.control.model.max_bw) * 8


def test_startup_finds_the_bandwidth_and_drains_its_queue() -> None:
    world = Bottleneck(rate=20e6, delay=0.02, queue=1000)
    flow = world.flow("bbr")
    seen, look = history(flow)
    world.run(1.5, 0.002, look)
    assert [name for name in seen if name != NAMES[DOWN]] == [NAMES[STARTUP], NAMES[DRAIN], NAMES[CRUISE]]
    assert bandwidth(flow) == pytest.approx(20e6 * 1448 / 1514, rel=0.02)  # payload's share of a frame
    assert flow.control.model.min_rtt == pytest.approx(40 * MILLISECOND, rel=0.03)
    assert flow.control.model.inflight_longterm == NO_LIMIT
    assert flow.tcb.retransmits == 0
    world.run(0.5, 0.01)
    assert max(world.queues) <= 4


def test_the_cycle_probes_every_two_to_three_seconds_and_keeps_the_queue_low() -> None:
    world = Bottleneck(rate=20e6, delay=0.02, queue=1000)
    flow = world.flow("bbr")
    world.run(1.0)
    seen, look = history(flow)
    (rate,) = world.run(9.0, 0.005, look)
    assert rate > 0.9 * 20e6
    names = " ".join(seen)
    cycle = " ".join((NAMES[CRUISE], NAMES[REFILL], NAMES[UP], NAMES[DOWN], NAMES[CRUISE]))
    assert cycle in names
    assert 2 <= seen.count(NAMES[UP]) <= 4
    assert world.mean_queue * 1514 < 0.25 * world.bdp
    assert max(world.queues) * 1514 < 1.5 * world.bdp


def test_one_percent_of_loss_costs_a_long_fast_path_hardly_more_than_that() -> None:
    world = Bottleneck(rate=100e6, delay=0.02, loss=(0.01, 0.0), queue=2000)
    flow = world.flow("bbr")
    world.run(1.0)
    (rate,) = world.run(6.0)
    assert rate > 0.86 * 100e6  # 91 without loss, of which 1 % is lost
    assert flow.tcb.retransmits > 200
    assert world.a.stack.stats["tcp_rto"] == 0
    assert world.a.stack.stats["tcp_spurious_recovery"] == 0


def test_cubic_on_the_same_path_gets_a_fraction_of_that() -> None:
    world = Bottleneck(rate=100e6, delay=0.02, loss=(0.01, 0.0), queue=2000)
    world.flow("cubic")
    (rate,) = world.run(5.0)
    assert rate < 0.2 * 100e6


def test_probe_rtt_comes_after_five_seconds_and_shrinks_what_is_in_flight() -> None:
    world = Bottleneck(rate=10e6, delay=0.02, queue=1000)
    flow = world.flow("bbr")
    least: list[int] = []
    times: list[int] = []

    def look() -> None:
        if flow.control is not None and flow.control.state == PROBE_RTT:
            times.append(world.net.now)
            least.append(flow.control.inflight)

    world.run(7.0, 0.01, look)
    assert 4.9 < (times[0] - 10**9) / 1e9 < 5.6
    assert 0.2 <= (times[-1] - times[0]) / 1e9 < 0.5
    assert min(least) <= max(0.55 * world.bdp, 4 * 1448)
    assert flow.control.state != PROBE_RTT


def test_a_longer_path_is_found_out_within_the_filter_s_ten_seconds() -> None:
    world = Bottleneck(rate=10e6, delay=0.02, queue=1000)
    flow = world.flow("bbr")
    world.run(3.0)
    assert flow.control.model.min_rtt == pytest.approx(40 * MILLISECOND, rel=0.05)
    world.link.set(delay=0.05)
    world.run(16.0)
    assert flow.control.model.min_rtt == pytest.approx(100 * MILLISECOND, rel=0.05)
    (rate,) = world.run(4.0)
    assert rate > 0.85 * 10e6


def test_a_shorter_path_is_found_out_at_once() -> None:
    world = Bottleneck(rate=10e6, delay=0.05, queue=1000)
    flow = world.flow("bbr")
    world.run(3.0)
    world.link.set(delay=0.01)
    world.run(1.0)
    assert flow.control.model.min_rtt == pytest.approx(20 * MILLISECOND, rel=0.1)


def test_ten_times_the_bandwidth_is_found_within_a_few_probes() -> None:
    world = Bottleneck(rate=4e6, delay=0.02, queue=1000)
    flow = world.flow("bbr")
    world.run(3.0)
    assert bandwidth(flow) == pytest.approx(4e6, rel=0.1)
    world.link.ab.set(rate=40e6)
    world.run(10.0)
    assert bandwidth(flow) > 0.85 * 40e6


@pytest.mark.parametrize("queue", [100, 400])
def test_a_tenth_of_the_bandwidth_is_adapted_to(queue: int) -> None:
    world = Bottleneck(rate=40e6, delay=0.02, queue=queue)
    flow = world.flow("bbr")
    world.run(2.0)
    world.link.ab.set(rate=4e6)
    world.run(12.0)
    assert bandwidth(flow) < 1.3 * 4e6
    (rate,) = world.run(3.0)
    assert rate > 0.85 * 4e6
    assert world.mean_queue * 1514 < 2 * 4e6 / 8 * 0.04 + 10 * 1514


def test_an_application_that_sends_little_does_not_ruin_the_estimate() -> None:
    world = Bottleneck(rate=20e6, delay=0.02, queue=1000)
    flow = world.flow("bbr")
    world.run(2.0)
    before = bandwidth(flow)
    flow.endless = False
    world.run(3.0)  # what was queued drains, and then nothing comes

    def feed() -> None:
        flow.feed(2000)

    world.run(8.0, 0.02, feed)  # 0.8 Mbit/s
    assert bandwidth(flow) > 0.9 * before
    assert flow.control.state != PROBE_RTT
    flow.endless = True
    flow._write(flow.sock, 0)
    (rate,) = world.run(1.0)
    assert rate > 0.8 * 20e6


def test_from_idle_it_starts_at_the_bandwidth_without_a_burst() -> None:
    world = Bottleneck(rate=20e6, delay=0.02, queue=1000)
    flow = world.flow("bbr")
    world.run(2.0)
    flow.endless = False
    world.run(4.0)
    times = world.departures()
    flow.feed(200_000)
    world.run(0.2, 0.002)
    assert max(world.queues) <= 4
    span = (times[-1][0] - times[0][0]) / 1e9
    assert sum(size for _, size in times) * 8 / span == pytest.approx(20e6, rel=0.15)


def test_a_short_queue_loses_little_and_is_learnt() -> None:
    world = Bottleneck(rate=20e6, delay=0.02, queue=14)  # a fifth of the BDP
    flow = world.flow("bbr")
    world.run(3.0)
    lost = world.link.statistics()["ab"]["queue_full"]
    sent = world.link.statistics()["ab"]["sent"]
    (rate,) = world.run(8.0)
    assert rate > 0.75 * 20e6
    stats = world.link.statistics()["ab"]
    assert (stats["queue_full"] - lost) / (stats["sent"] - sent) < 0.02
    assert flow.control.model.inflight_longterm < 2 * world.bdp


def shares(first: str, second: str, **link: Any) -> list[float]:
    world = Bottleneck(rate=20e6, delay=0.02, **link)
    world.flow(first)
    world.run(1.0)
    world.flow(second)
    world.run(10.0)
    return world.run(12.0)


def test_it_shares_with_cubic() -> None:
    bbr, cubic = shares("bbr", "cubic", queue=100)  # one and a half BDP
    assert bbr + cubic > 0.9 * 20e6
    assert min(bbr, cubic) > 0.1 * 20e6


def test_it_shares_with_another_of_its_kind() -> None:
    one, two = shares("bbr", "bbr", queue=200)
    assert one + two > 0.85 * 20e6
    assert min(one, two) > 0.25 * 20e6


@pytest.mark.parametrize("flows", [2, 4])
def test_flows_that_began_one_after_the_other_share_evenly_in_the_end(flows: int) -> None:
    world = Bottleneck(rate=50e6, delay=0.01, queue=83)
    for _ in range(flows):
        world.flow("bbr")
        world.run(0.1)
    world.run(12.0)
    shares = world.run(10.0)
    assert sum(shares) > 0.9 * 50e6
    assert sum(shares) ** 2 / (flows * sum(share**2 for share in shares)) > 0.9


def bursts(times: list[tuple[int, int]]) -> int:
    """The most bytes that left with less than 0.1 ms between them."""
    most = sent = 0
    last = times[0][0]
    for at, size in times:
        if at - last >= 100_000:  # ns
            sent = 0
        sent += size
        last = at
        most = max(most, sent)
    return most


@pytest.mark.parametrize("rate", [1e6, 20e6, 200e6])
def test_pacing_sends_no_more_than_a_millisecond_s_worth_at_once(rate: float) -> None:
    world = Bottleneck(rate=rate, delay=0.01, queue=10_000)
    flow = world.flow("bbr")
    times = world.departures()
    world.run(1.5 if rate < 100e6 else 0.7)
    assert flow.control.state in (DOWN, CRUISE, REFILL, UP)
    most = 2.77 * rate / 8  # while Startup doubled it
    assert bursts(times[20:]) <= most / 1000 + 2 * 1514


@pytest.mark.parametrize("rate", [100_000, 1_000_000, 10_000_000])
def test_pacing_keeps_the_rate_that_it_was_given(rate: int) -> None:
    world = Bottleneck(rate=200e6, delay=0.005, queue=10_000)
    flow = world.flow("bbr")
    flow.sock.setsockopt(SOL_SOCKET, SO_MAX_PACING_RATE, rate)
    world.run(0.5)
    times = world.departures()
    world.run(1.0 if rate < 10_000_000 else 0.2)
    span = times[-1][0] - times[0][0]
    payload = sum(size - 66 for _, size in times[:-1] if size > 1000)
    assert payload / (span / 1e9) == pytest.approx(rate, rel=0.01)
    assert bursts(times) <= rate / 1000 + 2 * 1514
