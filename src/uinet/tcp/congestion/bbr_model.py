"""BBR's model of the path: how fast it delivers, how long it is, how much it holds (draft-ietf-ccwg-bbr, 5.5).

What one ACK tells is taken in here; what is done about it is in `bbr` and `bbr_cycle`. Rates are bytes a second,
volumes bytes, both as doubles; times ns.
"""

from __future__ import annotations

from uinet.tcp.congestion.bbr_constants import (
    BETA,
    EXTRA_ACKED_ROUNDS,
    FOREVER,
    FULL_BW_GROWTH,
    FULL_BW_ROUNDS,
    HEADROOM,
    LOSS_THRESH,
    MIN_PIPE_SEGMENTS,
    MIN_RTT_FILTER,
    NANO,
    NO_LIMIT,
    PACED,
    PROBE_RTT_INTERVAL,
)
from uinet.tcp.sent import Ack


class WindowedMax:
    """The maximum of what came within the last `window` units of time, with three samples kept (Kathleen Nichols'
    way): the best, the best after it, the best after that."""

    def __init__(self) -> None:
        self.value = 0.0
        self.at = 0
        self.value2 = 0.0
        self.at2 = 0
        self.value3 = 0.0
        self.at3 = 0

    def restart(self, value: float, at: int) -> None:
        """Forgets everything but `value`."""
        self.value = value
        self.value2 = value
        self.value3 = value
        self.at = at
        self.at2 = at
        self.at3 = at

    def update(self, value: float, at: int, window: int) -> float:
        """Takes in `value`, measured at `at`; the maximum of the window."""
        if value >= self.value or at - self.at3 > window:
            self.restart(value, at)
            return value
        if value >= self.value2:
            self.value2 = value
            self.value3 = value
            self.at2 = at
            self.at3 = at
        elif value >= self.value3:
            self.value3 = value
            self.at3 = at
        self.age(value, at, window)
        return self.value

    def age(self, value: float, at: int, window: int) -> None:
        """Lets go of what is too old; after a quarter and a half of the window, sees that there is a successor."""
        elapsed = at - self.at
        if elapsed > window:
            self.shift(value, at)
            if at - self.at > window:
                self.shift(value, at)
        elif self.at2 == self.at and elapsed > window // 4:
            self.value2 = value
            self.value3 = value
            self.at2 = at
            self.at3 = at
        elif self.at3 == self.at2 and elapsed > window // 2:
            self.value3 = value
            self.at3 = at

    def shift(self, value: float, at: int) -> None:
        """The best has passed: its successors move up."""
        self.value = self.value2
        self.at = self.at2
        self.value2 = self.value3
        self.at2 = self.at3
        self.value3 = value
        self.at3 = at


class PathModel:
    """What a connection's ACKs have taught about its path; the draft's `BBR.` variables under their names.

    `round_start`: the ACK has ended a round trip; `loss_round_start`: one that began with the first loss of a round.
    """

    def __init__(self, now: int, srtt: int) -> None:
        # rounds (5.5.1)
        self.next_round_delivered = 0
        self.round_start = False
        self.round_count = 0
        self.rounds_since_probe_up = 0
        # bandwidth: the maxima of this ProbeBW cycle and the last (5.5.2)
        self.max_bw = 0.0
        self.cycle_bw = 0.0
        self.last_cycle_bw = 0.0
        self.bw_shortterm = NO_LIMIT
        self.bw = 0.0
        # round trips (5.5.7)
        self.min_rtt = srtt if srtt else FOREVER
        self.min_rtt_stamp = now
        self.probe_rtt_min_delay = self.min_rtt
        self.probe_rtt_min_stamp = now
        self.probe_rtt_expired = False
        # aggregation (5.5.9)
        self.extra_acked_start = now
        self.extra_acked_delivered = 0.0
        self.extra_acked = 0.0
        self.extra_acked_filter = WindowedMax()
        # congestion in the last round (5.5.10.3)
        self.inflight_shortterm = NO_LIMIT
        self.inflight_longterm = NO_LIMIT
        self.bw_latest = 0.0
        self.inflight_latest = 0.0
        self.loss_round_delivered = 0
        self.loss_round_start = False
        self.is_loss_in_round = False
        # is the pipe full? (5.3.1.2)
        self.full_bw = 0.0
        self.full_bw_count = 0
        self.full_bw_now = False
        self.full_bw_reached = False

    # rounds and bandwidth

    def start_round(self, delivered: int) -> None:
        """StartRound: a round begins with what is sent now."""
        self.next_round_delivered = delivered

    def update_round(self, ack: Ack, delivered: int) -> None:
        """UpdateRound: whether the ACK's packet was sent in this round."""
        self.round_start = ack.prior_delivered >= self.next_round_delivered
        if self.round_start:
            self.next_round_delivered = delivered
            self.round_count += 1
            self.rounds_since_probe_up += 1

    def update_max_bw(self, ack: Ack) -> None:
        """UpdateMaxBw: samples that the application has limited count only if they are above all others."""
        rate = float(ack.rate)
        if rate > 0.0 and (rate >= self.max_bw or not ack.app_limited):
            if rate > self.cycle_bw:
                self.cycle_bw = rate
            self.max_bw = self.cycle_bw if self.cycle_bw > self.last_cycle_bw else self.last_cycle_bw

    def advance_max_bw_filter(self) -> None:
        """AdvanceMaxBwFilter: a cycle is over. One without a sample does not count."""
        if self.cycle_bw > 0.0:
            self.last_cycle_bw = self.cycle_bw
            self.cycle_bw = 0.0
            self.max_bw = self.last_cycle_bw

    def bound_bw(self) -> None:
        """BoundBWForModel."""
        self.bw = self.max_bw if self.max_bw < self.bw_shortterm else self.bw_shortterm

    def bdp(self, bw: float) -> float:
        """What is in flight at `bw` when no queue is; 0 while the round trip is not known."""
        if self.min_rtt == FOREVER:
            return 0.0
        return bw * self.min_rtt * NANO

    # signals of the last round

    def update_latest_delivery_signals(self, ack: Ack, delivered: int) -> None:
        """UpdateLatestDeliverySignals."""
        self.loss_round_start = False
        rate = float(ack.rate)
        if rate > self.bw_latest:
            self.bw_latest = rate
        volume = float(ack.rate_delivered)
        if volume > self.inflight_latest:
            self.inflight_latest = volume
        if ack.prior_delivered >= self.loss_round_delivered:
            self.loss_round_delivered = delivered
            self.loss_round_start = True

    def advance_latest_delivery_signals(self, ack: Ack) -> None:
        """AdvanceLatestDeliverySignals."""
        if self.loss_round_start:
            self.bw_latest = float(ack.rate)
            self.inflight_latest = float(ack.rate_delivered)

    def reset_congestion_signals(self) -> None:
        """ResetCongestionSignals."""
        self.is_loss_in_round = False
        self.bw_latest = 0.0
        self.inflight_latest = 0.0

    def reset_short_term(self) -> None:
        """ResetShortTermModel: the bounds of a congestion that may be over."""
        self.bw_shortterm = NO_LIMIT
        self.inflight_shortterm = NO_LIMIT

    def lower_bounds(self, cwnd: int, ack: Ack) -> None:
        """InitLowerBounds and LossLowerBounds: once a round with losses, down to what was delivered, by no more than
        CUBIC. The draft forgets here that it paces a little below the bandwidth: that little is not lost. And as a
        probe does not mind losses below LossThresh, they count as delivered: a path that loses a packet now and then
        would otherwise become slower with each round, 62 times until the next probe."""
        if self.bw_shortterm == NO_LIMIT:
            self.bw_shortterm = self.max_bw
        if self.inflight_shortterm == NO_LIMIT:
            self.inflight_shortterm = float(cwnd)
        lost = float(ack.lost_since)
        sent = lost + ack.rate_delivered
        share = lost / sent if sent > 0.0 else 0.0
        got = 1.0 - share if share < LOSS_THRESH else 1.0
        least = BETA * self.bw_shortterm
        latest = self.bw_latest / (PACED * got)
        self.bw_shortterm = latest if latest > least else least
        least = BETA * self.inflight_shortterm
        latest = self.inflight_latest / got
        self.inflight_shortterm = latest if latest > least else least

    # round trips, aggregation, the full pipe

    def update_min_rtt(self, rtt: int, now: int) -> None:
        """UpdateMinRTT; `rtt` -1: no sample."""
        self.probe_rtt_expired = now > self.probe_rtt_min_stamp + PROBE_RTT_INTERVAL
        if rtt >= 0 and (rtt < self.probe_rtt_min_delay or self.probe_rtt_expired):
            self.probe_rtt_min_delay = rtt if rtt else 1
            self.probe_rtt_min_stamp = now
        if self.probe_rtt_min_delay < self.min_rtt or now > self.min_rtt_stamp + MIN_RTT_FILTER:
            self.min_rtt = self.probe_rtt_min_delay
            self.min_rtt_stamp = self.probe_rtt_min_stamp

    def update_ack_aggregation(self, newly_acked: int, cwnd: int, now: int) -> None:
        """UpdateACKAggregation: what was acknowledged beyond what the bandwidth explains."""
        expected = self.bw * (now - self.extra_acked_start) * NANO
        if self.extra_acked_delivered <= expected:
            self.extra_acked_delivered = 0.0
            self.extra_acked_start = now
            expected = 0.0
        self.extra_acked_delivered += newly_acked
        extra = self.extra_acked_delivered - expected
        if extra > cwnd:
            extra = float(cwnd)
        window = EXTRA_ACKED_ROUNDS if self.full_bw_reached else 1
        self.extra_acked = self.extra_acked_filter.update(extra, self.round_count, window)

    def reset_full_bw(self) -> None:
        """ResetFullBW: looks for a full pipe anew."""
        self.full_bw = 0.0
        self.full_bw_count = 0
        self.full_bw_now = False

    def check_full_bw_reached(self, ack: Ack) -> None:
        """CheckFullBWReached: three rounds that try for more, and bring hardly more."""
        if self.full_bw_now or not self.round_start or ack.app_limited:
            return
        rate = float(ack.rate)
        if rate >= self.full_bw * FULL_BW_GROWTH:
            self.reset_full_bw()
            self.full_bw = rate
            return
        self.full_bw_count += 1
        if self.full_bw_count >= FULL_BW_ROUNDS:
            self.full_bw_now = True
            self.full_bw_reached = True

    # bounds of what may be in flight

    def inflight_with_headroom(self, mss: int) -> float:
        """InflightWithHeadroom: leaves others some room below what was too much."""
        if self.inflight_longterm == NO_LIMIT:
            return NO_LIMIT
        room = HEADROOM * self.inflight_longterm
        if room < mss:
            room = float(mss)
        least = float(MIN_PIPE_SEGMENTS * mss)
        left = self.inflight_longterm - room
        return left if left > least else least
