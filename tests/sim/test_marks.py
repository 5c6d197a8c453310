"""A bottleneck that marks packets instead of dropping them: both kinds of ECN, under each congestion control."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.bottleneck import Bottleneck
from uinet.errors import InvalidArgument
from uinet.sim.link import Conditions, marked_copy
from uinet.tcp.tcb import Tcb
from uinet.wire import build
from uinet.wire.frame import Frame


def marking(algorithm: str, ecn: int, **link: Any) -> tuple[Bottleneck, float]:
    """Ten seconds of a flow through 10 Mbit/s with marks from 20 packets on."""
    world = Bottleneck(rate=10e6, delay=0.01, queue=400, mark=(20, None), settings={"ecn": ecn}, **link)
    world.flow(algorithm)
    world.run(1.0)
    (rate,) = world.run(9.0)
    return world, rate


@pytest.mark.parametrize("ecn", [1, 3])
@pytest.mark.parametrize("algorithm", ["cubic", "newreno", "bbr"])
def test_marks_keep_the_queue_short_and_nothing_is_lost(algorithm: str, ecn: int) -> None:
    world, rate = marking(algorithm, ecn)
    tcb: Tcb = world.flows[0].tcb
    assert tcb.ecn_ok and (tcb.accecn is not None) == (ecn == 3)
    stats = world.link.statistics()["ab"]
    assert stats["marked"] > 5 and stats["queue_full"] == 0
    assert world.b.stack.stats["tcp_ce_in"] == stats["marked"]
    assert tcb.retransmits == 0
    assert world.mean_queue < 40
    assert rate > 0.8 * 10e6


def test_without_ecn_nothing_is_marked_and_the_queue_grows() -> None:
    world, _ = marking("newreno", 0)
    assert world.link.statistics()["ab"]["marked"] == 0
    assert max(world.queues) > 100


def test_accurate_feedback_counts_every_mark_though_acks_are_lost() -> None:
    world = Bottleneck(rate=10e6, delay=0.01, queue=400, mark=(20, None), settings={"ecn": 3})
    world.flow("cubic")
    world.run(0.2)
    world.link.ba.set(loss=0.3)
    world.run(6.0)
    tcb = world.flows[0].tcb
    assert tcb.accecn is not None
    marked = world.link.statistics()["ab"]["marked"]
    assert tcb.accecn.options
    assert marked <= tcb.accecn.s_cep - 5 + 8 and tcb.accecn.s_cep - 5 <= 1.5 * marked + 8
    assert tcb.accecn.s_ceb == pytest.approx(marked * 1448, abs=4 * 1448)


@pytest.mark.parametrize(("source", "destination"), [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")])
def test_marked_copy_is_a_good_packet(source: str, destination: str) -> None:
    for tos, marked in ((0x00, None), (0x01, 0x03), (0xB9, 0xBB), (0xBA, 0xBB), (0xBB, 0xBB)):
        frame = Frame(build.tcp(source, destination, 1, 2, "P.", payload=b"data", tos=tos))
        copy = marked_copy(frame, 2)
        if marked is None:
            assert copy is None
            continue
        assert copy is not None
        taken = build.dissect(copy.data)
        assert taken.checksums_ok and taken.payload == b"data"
        header: Any = taken.ip
        assert getattr(header, "tos", None) == marked or getattr(header, "traffic_class", None) == marked
    assert marked_copy(Frame(bytes(60)), 2) is None


def test_a_link_s_mark_is_a_number_of_frames() -> None:
    with pytest.raises(InvalidArgument):
        Conditions(mark=-1)
