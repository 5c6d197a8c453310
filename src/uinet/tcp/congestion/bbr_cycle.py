"""BBR's cycle of bandwidth probing: DOWN, CRUISE, REFILL, UP (draft-ietf-ccwg-bbr, 5.3.3 and 5.5.10.2).

Most of a long connection's life goes by here: it tries for more for a few round trips, gives way to what queue that has
made, and then cruises for two to three seconds, or as long as Reno would take to grow by as much.
"""

from __future__ import annotations

from uinet.tcp.congestion.base import CongestionControl
from uinet.tcp.congestion.bbr_constants import (
    ACKS_INIT,
    ACKS_PROBE_FEEDBACK,
    ACKS_PROBE_STARTING,
    ACKS_PROBE_STOPPING,
    ACKS_REFILLING,
    BETA,
    CRUISE,
    CWND_GAINS,
    DOWN,
    LOSS_THRESH,
    MIN_PIPE_SEGMENTS,
    MOST_UP_ROUNDS,
    NO_LIMIT,
    NO_STATE,
    OFFLOAD_QUANTA,
    PACING_GAINS,
    PROBE_WAIT,
    REFILL,
    RENO_ROUNDS,
    STARTUP,
    UP,
)
from uinet.tcp.congestion.bbr_model import PathModel
from uinet.tcp.sent import Ack
from uinet.tcp.tcb import Tcb
from uinet.units import MILLISECOND


class BbrCycle(CongestionControl):
    """The states of ProbeBW, and what all states share. `inflight`: C.inflight after the ACK at hand."""

    def __init__(self) -> None:
        self.model = PathModel(0, 0)
        self.state = STARTUP
        self.pacing_gain = PACING_GAINS[STARTUP]
        self.cwnd_gain = CWND_GAINS[STARTUP]
        self.inflight = 0
        self.send_quantum = 0.0
        self.ack_phase = ACKS_INIT
        self.is_bw_probe_sample = False
        self.bw_probe_up_rounds = 0
        self.bw_probe_up_acked = 0.0
        self.probe_up_acked_per_inc = NO_LIMIT
        self.prev_probe_too_high = False
        self.prev_probe_precautionary = False
        self.bw_probe_wait = 0
        self.cycle_stamp = 0
        self.undo_state = NO_STATE

    def enter_state(self, state: int) -> None:
        """The state and its gains."""
        self.state = state
        self.pacing_gain = PACING_GAINS[state]
        self.cwnd_gain = CWND_GAINS[state]

    def in_probe_bw(self) -> bool:
        """IsInAProbeBWState."""
        return self.state >= DOWN and self.state <= UP

    def is_probing(self) -> bool:
        """IsProbingBW: tries for more, so that losses say something about what it tries."""
        return self.state == STARTUP or self.state == REFILL or self.state == UP

    # what may be in flight

    def bdp_multiple(self, tcb: Tcb, bw: float, gain: float) -> float:
        """BDPMultiple."""
        bdp = self.model.bdp(bw)
        return gain * bdp if bdp > 0.0 else self.initial_cwnd(tcb)

    def initial_cwnd(self, tcb: Tcb) -> float:
        """C.InitialCwnd."""
        return float(tcb.context.settings.initial_window_segments * tcb.mss)

    def quantized(self, tcb: Tcb, volume: float) -> float:
        """QuantizationBudget: no less than the segments that are on the way inside the hosts."""
        least = OFFLOAD_QUANTA * self.send_quantum
        if volume < least:
            volume = least
        least = float(MIN_PIPE_SEGMENTS * tcb.mss)
        if volume < least:
            volume = least
        if self.state == UP:
            volume += 2 * tcb.mss
        return volume

    def target_inflight(self, tcb: Tcb) -> float:
        """TargetInflight: the estimated BDP, unless congestion has cut cwnd."""
        bdp = self.model.bdp(self.model.bw)
        return bdp if bdp < tcb.cwnd else float(tcb.cwnd)

    # the states

    def start_down(self, tcb: Tcb) -> None:
        """StartProbeBW_DOWN: drains what probing has queued."""
        model = self.model
        model.reset_congestion_signals()
        self.probe_up_acked_per_inc = NO_LIMIT
        random = tcb.context.network.random
        model.rounds_since_probe_up = random.below(2)
        self.bw_probe_wait = PROBE_WAIT + MILLISECOND * random.below(1000)
        self.cycle_stamp = tcb.context.now
        self.ack_phase = ACKS_PROBE_STOPPING
        self.start_round(tcb)
        self.enter_state(DOWN)

    def start_refill(self, tcb: Tcb) -> None:
        """StartProbeBW_REFILL: a round trip at the estimated bandwidth, so that the pipe is full."""
        self.model.reset_short_term()
        self.bw_probe_up_rounds = 0
        self.bw_probe_up_acked = 0.0
        self.prev_probe_precautionary = False
        self.ack_phase = ACKS_REFILLING
        self.start_round(tcb)
        self.enter_state(REFILL)

    def start_up(self, tcb: Tcb, ack: Ack) -> None:
        """StartProbeBW_UP: tries for more."""
        self.ack_phase = ACKS_PROBE_STARTING
        self.start_round(tcb)
        self.model.reset_full_bw()
        self.model.full_bw = float(ack.rate)
        self.enter_state(UP)
        self.raise_slope(tcb)

    def start_round(self, tcb: Tcb) -> None:
        """StartRound."""
        if tcb.flight is not None:
            self.model.start_round(tcb.flight.delivered)

    # what an ACK moves

    def update_cycle(self, tcb: Tcb, ack: Ack) -> None:
        """UpdateProbeBWCyclePhase."""
        if not self.model.full_bw_reached or self.adapt_long_term(tcb, ack):
            return
        state = self.state
        if state == DOWN:
            if not self.is_time_to_probe(tcb) and self.is_time_to_cruise(tcb):
                self.enter_state(CRUISE)
        elif state == CRUISE:
            self.is_time_to_probe(tcb)
        elif state == REFILL:
            if self.model.round_start:
                self.is_bw_probe_sample = True
                self.start_up(tcb, ack)
        elif state == UP and self.is_time_to_go_down(tcb, ack):
            self.prev_probe_too_high = False
            self.start_down(tcb)

    def is_time_to_probe(self, tcb: Tcb) -> bool:
        """IsTimeToProbeBW; REFILL has begun then."""
        rounds = self.target_inflight(tcb) / tcb.mss
        if rounds > RENO_ROUNDS:
            rounds = float(RENO_ROUNDS)
        if tcb.context.now <= self.cycle_stamp + self.bw_probe_wait and self.model.rounds_since_probe_up < rounds:
            return False
        self.start_refill(tcb)
        return True

    def is_time_to_cruise(self, tcb: Tcb) -> bool:
        """IsTimeToCruise: the queue is gone, and there is room for others."""
        if self.inflight > self.model.inflight_with_headroom(tcb.mss):
            return False
        return self.inflight <= self.quantized(tcb, self.bdp_multiple(tcb, self.model.max_bw, 1.0))

    def is_time_to_go_down(self, tcb: Tcb, ack: Ack) -> bool:
        """IsTimeToGoDown."""
        model = self.model
        if self.prev_probe_too_high and ack.prior_in_flight + tcb.mss > model.inflight_longterm:
            self.prev_probe_precautionary = True
            return True
        if self.at_longterm(tcb):
            model.reset_full_bw()  # the bound limits, not the path
            model.full_bw = float(ack.rate)
            return False
        return model.full_bw_now

    def at_longterm(self, tcb: Tcb) -> bool:
        """Whether inflight_longterm is what limits: C.is_cwnd_limited while cwnd is at the bound. The bound has a
        fraction, cwnd has none."""
        flight = tcb.flight
        return flight is not None and flight.cwnd_limited and tcb.cwnd + 1 > self.model.inflight_longterm

    def raise_slope(self, tcb: Tcb) -> None:
        """RaiseInflightLongtermSlope: twice as fast as in the last round."""
        growth = 1 << self.bw_probe_up_rounds
        if self.bw_probe_up_rounds < MOST_UP_ROUNDS:
            self.bw_probe_up_rounds += 1
        per = float(tcb.cwnd) / growth
        self.probe_up_acked_per_inc = per if per > tcb.mss else float(tcb.mss)

    def probe_upward(self, tcb: Tcb, ack: Ack) -> None:
        """ProbeInflightLongtermUpward."""
        model = self.model
        if not self.at_longterm(tcb):
            return
        self.bw_probe_up_acked += ack.delivered
        if self.bw_probe_up_acked >= self.probe_up_acked_per_inc:
            steps = int(self.bw_probe_up_acked / self.probe_up_acked_per_inc)
            self.bw_probe_up_acked -= steps * self.probe_up_acked_per_inc
            model.inflight_longterm += steps * tcb.mss
        if model.round_start:
            self.raise_slope(tcb)

    def adapt_long_term(self, tcb: Tcb, ack: Ack) -> bool:
        """AdaptLongTermModel; whether it has decided the next state."""
        model = self.model
        if model.round_start:
            if self.ack_phase == ACKS_PROBE_STARTING:
                self.ack_phase = ACKS_PROBE_FEEDBACK
            elif self.ack_phase == ACKS_PROBE_STOPPING:
                self.is_bw_probe_sample = False
                self.ack_phase = ACKS_INIT
                if self.in_probe_bw():
                    if not ack.app_limited:
                        model.advance_max_bw_filter()
                    if self.prev_probe_precautionary and not self.prev_probe_too_high:
                        self.start_refill(tcb)
                        return True
        if not self.is_inflight_too_high(tcb, ack.lost_since, ack.in_flight) and model.inflight_longterm != NO_LIMIT:
            if ack.in_flight > model.inflight_longterm:
                model.inflight_longterm = float(ack.in_flight)
            if self.state == UP:
                self.probe_upward(tcb, ack)
        return False

    # losses while probing

    def is_inflight_too_high(self, tcb: Tcb, lost: int, in_flight: int) -> bool:
        """IsInflightTooHigh: `lost` of `in_flight` bytes."""
        return lost > in_flight * LOSS_THRESH or (lost > 0 and not tcb.sack_ok)

    def handle_inflight_too_high(self, tcb: Tcb, in_flight: float, app_limited: bool) -> None:
        """HandleInflightTooHigh: once a probe."""
        self.prev_probe_too_high = True
        self.is_bw_probe_sample = False
        if not app_limited:
            least = self.target_inflight(tcb) * BETA
            self.model.inflight_longterm = in_flight if in_flight > least else least
        if self.state == UP:
            self.undo_state = UP
            self.start_down(tcb)

    def inflight_at_loss(self, length: int, in_flight: int, lost: int) -> float:
        """InflightAtLoss: at what prefix of what was sent together losses became too many."""
        inflight_prev = float(in_flight - length)
        lost_prev = float(lost - length)
        prefix = (LOSS_THRESH * inflight_prev - lost_prev) / (1.0 - LOSS_THRESH)
        return inflight_prev + prefix
