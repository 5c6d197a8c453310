"""CUBIC, HyStart++ and NewReno against numbers worked out by hand from the formulas of their RFCs.

Segments are of 1000 bytes, so a window of 70 segments is 70,000 and thousandths of a segment can be seen.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.tcp.peer import Peer
from uinet.tcp.congestion.cubic import Cubic
from uinet.tcp.congestion.hystart import HyStart
from uinet.tcp.congestion.newreno import NewReno
from uinet.tcp.constants import TIMEOUT
from uinet.tcp.sent import Ack
from uinet.tcp.tcb import Tcb
from uinet.units import MASK32, MILLISECOND, SECOND

MSS = 1000
INFINITE = 0x7FFFFFFF


class Bench:
    """A connection whose congestion control is called by hand."""

    def __init__(self, control: Any = None, cwnd: int = 100 * MSS) -> None:
        self.peer = Peer()
        sock = self.peer.passive()
        assert sock.tcb is not None
        self.sock = sock
        self.tcb: Tcb = sock.tcb
        self.tcb.mss = MSS
        self.tcb.cwnd = cwnd
        self.tcb.ssthresh = INFINITE
        self.tcb.srtt = 100 * MILLISECOND
        self.control = control
        self.scratch = Ack()
        if control is not None:
            control.start(self.tcb)

    def ack(self, acked: int, rtt: int = -1) -> int:
        """An ACK of `acked` bytes; cwnd afterwards."""
        self.scratch.begin(acked, 0)
        self.scratch.rtt = rtt
        self.control.on_ack(self.tcb, self.scratch)
        return int(self.tcb.cwnd)

    def wait(self, seconds: float) -> None:
        self.tcb.context.now += round(seconds * SECOND)

    def outstanding(self, size: int) -> None:
        self.tcb.snd_nxt = (self.tcb.snd_una + size) & MASK32


def after_loss(cwnd: int = 100 * MSS) -> Bench:
    """A CUBIC that has lost something at `cwnd`, and is at the beginning of congestion avoidance."""
    bench = Bench(Cubic(), cwnd)
    bench.control.on_loss(bench.tcb, bench.scratch)
    bench.tcb.cwnd = bench.tcb.ssthresh
    bench.ack(MSS)  # begins the stage
    bench.tcb.cwnd = bench.tcb.ssthresh
    return bench


# CUBIC


@pytest.mark.rfc("9438", "4.6", "ssthresh is 0.7 of the window at a loss, and no less than two segments")
@pytest.mark.parametrize(("cwnd", "ssthresh"), [(100_000, 70_000), (10_000, 7_000), (2_500, 2_000), (1_000, 2_000)])
def test_cubic_loss_sets_ssthresh(cwnd: int, ssthresh: int) -> None:
    bench = Bench(Cubic(), cwnd)
    bench.control.on_loss(bench.tcb, bench.scratch)
    assert bench.tcb.ssthresh == ssthresh


@pytest.mark.rfc("9438", "4.2", "K is the cube root of (W_max - cwnd_epoch) / C")
def test_cubic_k_is_the_time_to_the_old_maximum() -> None:
    bench = after_loss()
    assert bench.control.w_max == 100_000
    assert bench.control.k == pytest.approx(4.217163, abs=1e-5)  # (30 / 0.4) ** (1 / 3)


@pytest.mark.rfc("9438", "4.4", "in the concave region cwnd grows by (W_cubic(t + RTT) - cwnd) / cwnd a segment")
def test_cubic_concave_growth_two_seconds_after_a_loss() -> None:
    bench = after_loss()
    bench.wait(2.0)
    # W(2.1 s) = 0.4 * (2.1 - 4.217163)**3 + 100 = 96.2040 segments; (96.2040 - 70) / 70 = 0.37434
    assert bench.ack(MSS) == 70_374


@pytest.mark.rfc("9438", "4.5", "in the convex region the same formula leads beyond the old maximum")
def test_cubic_convex_growth_beyond_the_old_maximum() -> None:
    bench = after_loss()
    bench.tcb.cwnd = 101_000
    bench.wait(6.0)
    # W(6.1 s) = 0.4 * 1.882837**3 + 100 = 102.6699; (102.6699 - 101) / 101 = 0.016534
    assert bench.ack(MSS) == 101_016


@pytest.mark.rfc("9438", "4.2", "the target is at most 1.5 cwnd")
def test_cubic_target_is_bounded() -> None:
    bench = after_loss()
    bench.wait(20.0)  # W(20.1 s) would be 1702 segments
    assert bench.ack(MSS) == 70_500  # (105 - 70) / 70


@pytest.mark.rfc("9438", "4.3", "W_est grows by 3 (1 - beta) / (1 + beta) segments a window, and is the least")
def test_cubic_reno_friendly_region() -> None:
    bench = after_loss()
    bench.control.w_est = 70_000.0
    # 0.9 / 1.7 = 0.529412 for a window's worth of ACKs; W_cubic(0) is 70
    assert bench.ack(70_000) == 70_529
    bench.control.w_est = 100_000.0  # where the loss was: from here on as Reno, one segment
    bench.tcb.cwnd = 100_000
    bench.control.cwnd = 0.0
    assert bench.ack(100_000) == 101_000


@pytest.mark.rfc("9438", "4.7", "fast convergence: who loses below the last maximum remembers less than its window")
def test_cubic_fast_convergence() -> None:
    bench = after_loss()
    bench.tcb.cwnd = 80_000
    bench.control.on_loss(bench.tcb, bench.scratch)
    assert bench.control.w_max == pytest.approx(68_000)  # 80 * (1 + 0.7) / 2
    assert bench.tcb.ssthresh == 56_000
    bench.tcb.cwnd = 90_000
    bench.control.on_loss(bench.tcb, bench.scratch)
    assert bench.control.w_max == 90_000, "above the last maximum the window itself"


@pytest.mark.rfc("9438", "4.8", "after a timeout the next stage begins with K = 0 and W_max = cwnd")
def test_cubic_timeout() -> None:
    bench = after_loss()
    bench.tcb.cwnd = 50_000
    bench.control.on_timeout(bench.tcb, True)
    assert bench.tcb.ssthresh == 35_000
    bench.tcb.cwnd = 1_000
    assert bench.ack(MSS) == 2_000  # slow start
    bench.tcb.cwnd = 35_000
    bench.ack(MSS)
    assert (bench.control.k, bench.control.w_max) == (0.0, 35_000.0)
    bench.control.on_timeout(bench.tcb, False)
    assert bench.tcb.ssthresh == 35_000, "not again for the same data (RFC 5681, 3.1)"


@pytest.mark.rfc("9438", "4.2", "time in which nothing was sent does not count in t")
def test_cubic_idle_time_does_not_count() -> None:
    bench = after_loss()
    bench.wait(1.0)
    bench.wait(30.0)
    bench.control.on_idle(bench.tcb, 30 * SECOND)
    bench.wait(1.0)
    assert bench.ack(MSS) == 70_374, "as two seconds after the loss"


@pytest.mark.rfc("9438", "4.9", "a false alarm restores what the loss has changed")
def test_cubic_undo() -> None:
    bench = after_loss()
    before = bench.control.w_max, bench.control.k, bench.control.epoch_start
    bench.tcb.cwnd = 90_000
    bench.control.on_loss(bench.tcb, bench.scratch)
    bench.control.on_undo(bench.tcb)
    assert (bench.control.w_max, bench.control.k, bench.control.epoch_start) == before


def test_cubic_fractions_of_bytes_add_up() -> None:
    bench = after_loss(4_000_000)
    bench.wait(0.1)
    start = bench.control.cwnd
    for _ in range(100):
        bench.ack(MSS)
    assert bench.control.cwnd > start
    assert int(bench.control.cwnd) == bench.tcb.cwnd


# HyStart++


class Start:
    """HyStart++ by hand: round after round, each of `samples` ACKs of a segment with the same round trip."""

    def __init__(self) -> None:
        self.bench = Bench(None, 10 * MSS)
        self.tcb = self.bench.tcb
        self.bench.outstanding(10 * MSS)
        self.hystart = HyStart(self.tcb)

    def ack(self, rtt: float, acked: int = MSS) -> int:
        """An ACK within a round, `rtt` in ms; how much cwnd has grown."""
        before = self.tcb.cwnd
        self.bench.scratch.begin(acked, 0)
        self.bench.scratch.rtt = round(rtt * MILLISECOND)
        self.hystart.on_ack(self.tcb, self.bench.scratch)
        return int(self.tcb.cwnd - before)

    def round(self, rtt: float, samples: int = 8) -> None:
        """A whole round, which ends with the next one's first ACK."""
        for _ in range(samples):
            self.ack(rtt)
        self.tcb.snd_una = self.tcb.snd_nxt
        self.tcb.snd_nxt = (self.tcb.snd_una + 20 * MSS) & MASK32


@pytest.mark.rfc("9406", "4.2", "RttThresh is an eighth of the last round's minimum, from 4 to 16 ms")
@pytest.mark.parametrize(("last", "threshold"), [(40, 5), (20, 4), (32, 4), (100, 12.5), (128, 16), (400, 16)])
def test_hystart_threshold(last: float, threshold: float) -> None:
    for grown, css in ((threshold - 0.1, False), (threshold, True)):
        start = Start()
        start.round(last)
        for _ in range(8):
            start.ack(last + grown)
        assert start.hystart.css is css


@pytest.mark.rfc("9406", "4.2", "at least 8 samples in a round before its minimum says anything")
def test_hystart_needs_eight_samples() -> None:
    start = Start()
    start.round(40)
    for _ in range(7):
        start.ack(60)
    assert not start.hystart.css
    start.ack(60)
    assert start.hystart.css


@pytest.mark.rfc("9406", "4.2", "in CSS cwnd grows by a quarter of what slow start would add")
def test_hystart_css_grows_a_quarter() -> None:
    start = Start()
    start.round(40)
    assert start.ack(50) == MSS
    for _ in range(7):
        start.ack(50)
    assert start.hystart.css
    assert [start.ack(50) for _ in range(4)] == [250] * 4
    assert sum(start.ack(50, 1) for _ in range(8)) == 2, "what does not make a byte is kept"


@pytest.mark.rfc("9406", "4.2", "a round in CSS that is faster than its baseline resumes slow start")
def test_hystart_resumes_when_the_delay_has_passed() -> None:
    start = Start()
    start.round(40)
    for _ in range(8):
        start.ack(50)
    start.round(50, 0)
    for _ in range(7):
        start.ack(41)
    assert start.hystart.css
    start.ack(41)
    assert not start.hystart.css
    assert start.ack(41) == MSS
    assert start.tcb.ssthresh == INFINITE


@pytest.mark.rfc("9406", "4.2", "after five rounds of CSS ssthresh is cwnd; a partial round counts")
def test_hystart_leaves_slow_start_after_five_rounds() -> None:
    start = Start()
    start.round(40)
    start.round(50)
    assert start.hystart.css
    for number in range(1, 6):
        assert start.tcb.ssthresh == INFINITE
        window = start.tcb.cwnd
        start.ack(50)  # ends a round of CSS; the first was the one that it began in
        assert start.hystart.css_rounds == number
        start.round(50, 7)
    assert start.tcb.ssthresh == window


@pytest.mark.rfc("9406", "4.2", "HyStart++ is for the first slow start of a connection")
def test_hystart_only_before_the_first_loss() -> None:
    bench = Bench(Cubic(), 10 * MSS)
    assert bench.control.hystart is not None
    bench.control.on_loss(bench.tcb, bench.scratch)
    assert bench.control.hystart is None
    bench.peer.stack.tcp.settings.hystart = False
    other = Cubic()
    other.start(bench.tcb)
    assert other.hystart is None


# NewReno


@pytest.mark.rfc("5681", "3.1", "ssthresh is half of what is in flight, and no less than two segments")
@pytest.mark.parametrize(("flight", "ssthresh"), [(40_000, 20_000), (5_000, 2_500), (3_000, 2_000), (0, 2_000)])
def test_newreno_loss_halves_what_is_in_flight(flight: int, ssthresh: int) -> None:
    bench = Bench(NewReno())
    bench.outstanding(flight)
    bench.control.on_loss(bench.tcb, bench.scratch)
    assert bench.tcb.ssthresh == ssthresh


def test_newreno_limited_transmit_does_not_count_as_flight() -> None:
    bench = Bench(NewReno(), 10_000)
    bench.outstanding(12_000)
    bench.control.on_loss(bench.tcb, bench.scratch)
    assert bench.tcb.ssthresh == 5_000


@pytest.mark.rfc("5681", "3.1", "slow start: cwnd grows by what is acknowledged, up to ssthresh")
def test_newreno_slow_start() -> None:
    bench = Bench(NewReno(), 10_000)
    bench.tcb.ssthresh = 12_500
    assert [bench.ack(MSS), bench.ack(MSS)] == [11_000, 12_000]
    assert bench.ack(MSS) == 12_500
    assert bench.control.credit == 500, "the rest counts in congestion avoidance"


@pytest.mark.rfc("5681", "3.1", "congestion avoidance: a segment for each window of bytes acknowledged")
def test_newreno_congestion_avoidance() -> None:
    bench = Bench(NewReno(), 10_000)
    bench.tcb.ssthresh = 10_000
    assert [bench.ack(MSS) for _ in range(9)] == [10_000] * 9
    assert bench.ack(MSS) == 11_000
    assert [bench.ack(MSS) for _ in range(11)] == [11_000] * 10 + [12_000]


@pytest.mark.rfc("3465", "2.3", "after a timeout an ACK counts for one segment at most")
def test_newreno_counts_one_segment_after_a_timeout() -> None:
    bench = Bench(NewReno(), 1_000)
    bench.tcb.ssthresh = 20_000
    bench.tcb.recovering = TIMEOUT
    assert bench.ack(8_000) == 2_000
    bench.tcb.recovering = 0
    assert bench.ack(8_000) == 10_000


@pytest.mark.rfc("5681", "3.1", "after a timeout ssthresh is half of what was in flight, once for the same data")
def test_newreno_timeout() -> None:
    bench = Bench(NewReno())
    bench.outstanding(40_000)
    bench.control.on_timeout(bench.tcb, True)
    assert bench.tcb.ssthresh == 20_000
    bench.outstanding(4_000)
    bench.control.on_timeout(bench.tcb, False)
    assert bench.tcb.ssthresh == 20_000
