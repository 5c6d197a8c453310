"""Recoveries that were needed are not undone, whatever the part of a millisecond in which things happen."""

from __future__ import annotations

import pytest

from tests.sim.programs import Conversation, pattern, run_conversation
from uinet.sim.network import Network
from uinet.wire.frame import Frame


@pytest.mark.parametrize("phase", range(0, 1000, 90))
def test_one_real_loss_is_one_recovery_that_stays(phase: int) -> None:
    net = Network(seed=phase)
    a, b = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
    link = net.link(a, b, rate=100e6, delay=0.010 + phase * 1e-6)
    large = 0

    def drop(frame: Frame) -> bool:
        nonlocal large
        large += len(frame.data) > 1000
        return large == 30 and len(frame.data) > 1000

    link.ab.drop = drop
    run_conversation(net, Conversation(a, b, "10.0.0.2", pattern(200_000), b""))
    assert link.ab.counters["dropped"] == 1
    assert a.stack.stats["tcp_retransmit"] == 1
    assert a.stack.stats["tcp_fast_retransmit"] == 1
    assert a.stack.stats["tcp_spurious_recovery"] == 0
