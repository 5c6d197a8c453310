"""Bulk transfers over a path that changes the order of segments."""

from __future__ import annotations

import itertools

import pytest

from tests.sim.bottleneck import Bottleneck


@pytest.mark.rfc("7323", "5.4", "a clock that ticks slowly where segments are late: PAWS drops few of them")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_loss_among_late_segments_is_no_cascade(seed: int) -> None:
    world = Bottleneck(rate=100e6, delay=0.05, reorder=(0.05, 0.0), queue=826, seed=seed)
    world.flow("cubic")
    world.run(1.5)
    world.link.set(lose_every=(4000, 0))
    (rate,) = world.run(1.5)
    world.link.set(lose_every=(0, 0))
    (after,) = world.run(2.0)
    assert after > 0.5 * 100e6
    assert world.b.stack.stats["tcp_paws"] < 100
    assert rate > 0.25 * 100e6


def test_the_averages_of_round_trips_see_a_queue_although_few_acks_move_una() -> None:
    world = Bottleneck(rate=100e6, delay=0.05, reorder=(0.05, 0.0), queue=826)
    flow = world.flow("cubic")
    world.run(6.0)
    queue = world.mean_queue * 1514 * 8 / 100e6
    assert flow.tcb.srtt > (0.1 + 0.7 * queue) * 1e9


def test_timestamps_never_go_back_and_tick_slowly_after_reordering() -> None:
    world = Bottleneck(rate=100e6, delay=0.02, reorder=(0.05, 0.0), queue=400)
    world.flow("cubic")
    seen: list[tuple[int, int]] = []

    def note(frame: object) -> bool:
        data = frame.data  # type: ignore[attr-defined]
        if len(data) > 1000:
            seen.append((world.net.now, int.from_bytes(data[58:62], "big")))
        return False

    world.link.ab.drop = note
    world.run(4.0)
    values = [value for _, value in seen]
    assert all((later - earlier) & 0xFFFFFFFF < 1 << 31 for earlier, later in itertools.pairwise(values))
    assert len({value for at, value in seen if at > seen[0][0] + 2_000_000_000}) <= 6
    assert (values[-1] - values[0]) & 0xFFFFFFFF == pytest.approx((seen[-1][0] - seen[0][0]) / 1e6, abs=501)
