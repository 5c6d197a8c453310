"""BBRv3 (draft-ietf-ccwg-bbr): sends at the rate that the path has delivered at, and keeps no more in flight than that
rate and the shortest round trip explain.

`bbr_model` is what it knows of the path, `bbr_cycle` how it tries for more bandwidth; here are the states before and
beside that cycle, losses, and what follows for pacing rate and window. Method names are the draft's, in lower case.

Where the draft leaves something open: a congestion mark (RFC 3168) is taken for a loss that shows too much to be in
flight, so it ends Startup or a probe, or lowers the short-term bounds. State is saved for undo when a recovery begins
(the draft also does so at the first loss of each later round, and would then restore what it has lowered itself). A
probe that ProbeRTT cuts short has its place in the bandwidth's filter as one that ends by itself; otherwise a path
whose queue lasts a second would never be found to have become slower.
"""

from __future__ import annotations

from uinet.tcp.congestion.bbr_constants import (
    ACKS_PROBE_FEEDBACK,
    ACKS_PROBE_STOPPING,
    CRUISE,
    DRAIN,
    DRAIN_ROUNDS,
    MIN_PIPE_SEGMENTS,
    MOST_RATE,
    NO_LIMIT,
    NO_STATE,
    PACED,
    PACING_GAINS,
    PROBE_RTT,
    PROBE_RTT_CWND_GAIN,
    PROBE_RTT_DURATION,
    QUANTUM_MOST,
    QUANTUM_TIME,
    STARTUP,
    STARTUP_FULL_LOSSES,
    UP,
)
from uinet.tcp.congestion.bbr_cycle import BbrCycle
from uinet.tcp.congestion.bbr_model import PathModel
from uinet.tcp.constants import FAST, MAX_CWND, TIMEOUT
from uinet.tcp.flight import Flight
from uinet.tcp.recovery import pipe
from uinet.tcp.sent import Ack
from uinet.tcp.tcb import Tcb
from uinet.units import MASK32, MILLISECOND, SECOND


class Bbr(BbrCycle):
    """Congestion control by a model of the path."""

    name = "bbr"
    owns_window = True
    paces = True

    def __init__(self) -> None:
        super().__init__()
        self.drain_start_round = 0
        self.probe_rtt_done_stamp = 0
        self.probe_rtt_round_done = False
        self.prior_cwnd = 0
        self.idle_restart = False
        self.seen_rtt = False
        self.loss_ranges = 0
        self.last_lost_end = 0
        self.undo_bw_shortterm = NO_LIMIT
        self.undo_inflight_shortterm = NO_LIMIT
        self.undo_inflight_longterm = NO_LIMIT

    def start(self, tcb: Tcb) -> None:
        """OnInit."""
        connection = tcb
        self.model = PathModel(connection.context.now, connection.srtt)
        self.init_pacing_rate(connection)
        self.enter_state(STARTUP)

    # each ACK

    def on_ack(self, tcb: Tcb, ack: Ack) -> None:
        """UpdateOnACK."""
        connection = tcb
        told = ack
        flight = connection.flight
        if told.delivered == 0 or flight is None:
            return
        self.inflight = pipe(connection)
        if told.sampled:
            self.update_model_and_state(connection, flight, told)
        if not self.seen_rtt and connection.srtt:
            self.init_pacing_rate(connection)
        self.set_pacing_rate(connection, self.pacing_gain)
        self.set_send_quantum(connection)
        self.set_cwnd(connection, flight, told)

    def update_model_and_state(self, tcb: Tcb, flight: Flight, ack: Ack) -> None:
        """UpdateModelAndState."""
        model = self.model
        now = tcb.context.now
        delivered = flight.delivered
        model.update_latest_delivery_signals(ack, delivered)
        model.update_round(ack, delivered)
        model.update_max_bw(ack)
        if model.loss_round_start:
            if model.is_loss_in_round and not self.is_probing():
                model.lower_bounds(tcb.cwnd, ack)
            model.is_loss_in_round = False
        model.update_ack_aggregation(ack.delivered, tcb.cwnd, now)
        model.check_full_bw_reached(ack)
        self.check_startup_done(tcb, ack)
        self.check_drain_done(tcb)
        self.update_cycle(tcb, ack)
        model.update_min_rtt(ack.rtt, now)
        self.check_probe_rtt(tcb, flight, ack)
        model.advance_latest_delivery_signals(ack)
        model.bound_bw()

    # Startup and Drain

    def check_startup_done(self, tcb: Tcb, ack: Ack) -> None:
        """CheckStartupDone."""
        self.check_startup_high_loss(tcb, ack)
        if self.state == STARTUP and self.model.full_bw_reached:
            self.enter_state(DRAIN)
            self.drain_start_round = self.model.round_count

    def check_startup_high_loss(self, tcb: Tcb, ack: Ack) -> None:
        """CheckStartupHighLoss: a round trip of recovery with losses here and there (5.3.1.3)."""
        if not self.model.loss_round_start:
            return
        ranges = self.loss_ranges
        self.loss_ranges = 0
        if self.model.full_bw_reached or tcb.recovering != FAST:
            return
        if (ranges >= STARTUP_FULL_LOSSES or not tcb.sack_ok) and self.is_inflight_too_high(
            tcb, ack.lost_since, ack.in_flight
        ):
            self.startup_too_high(tcb)

    def startup_too_high(self, tcb: Tcb) -> None:
        """Startup has put too much in flight: it is over."""
        model = self.model
        self.undo_state = STARTUP
        model.full_bw_reached = True
        bdp = model.bdp(model.bw)
        model.inflight_longterm = bdp if bdp > model.inflight_latest else model.inflight_latest

    def check_drain_done(self, tcb: Tcb) -> None:
        """CheckDrainDone."""
        if self.state != DRAIN:
            return
        target = self.quantized(tcb, self.bdp_multiple(tcb, self.model.bw, 1.0))
        if self.inflight <= target or self.model.round_count > self.drain_start_round + DRAIN_ROUNDS:
            self.start_down(tcb)

    # ProbeRTT

    def check_probe_rtt(self, tcb: Tcb, flight: Flight, ack: Ack) -> None:
        """CheckProbeRTT."""
        if self.state != PROBE_RTT and self.model.probe_rtt_expired and not self.idle_restart:
            self.save_cwnd(tcb)
            if self.state == UP and self.ack_phase == ACKS_PROBE_FEEDBACK:
                self.model.advance_max_bw_filter()
            self.enter_state(PROBE_RTT)
            self.probe_rtt_done_stamp = 0
            self.ack_phase = ACKS_PROBE_STOPPING
            self.start_round(tcb)
        if self.state == PROBE_RTT:
            self.handle_probe_rtt(tcb, flight)
        if ack.rate_delivered > 0:
            self.idle_restart = False

    def handle_probe_rtt(self, tcb: Tcb, flight: Flight) -> None:
        """HandleProbeRTT: what is measured now says nothing about the bandwidth."""
        limited = flight.delivered + self.inflight
        flight.app_limited = limited if limited > 0 else 1
        if self.probe_rtt_done_stamp == 0:
            if self.inflight <= self.probe_rtt_cwnd(tcb):
                self.probe_rtt_done_stamp = tcb.context.now + PROBE_RTT_DURATION
                self.probe_rtt_round_done = False
                self.start_round(tcb)
            return
        if self.model.round_start:
            self.probe_rtt_round_done = True
        if self.probe_rtt_round_done:
            self.check_probe_rtt_done(tcb)

    def check_probe_rtt_done(self, tcb: Tcb) -> None:
        """CheckProbeRTTDone and ExitProbeRTT."""
        now = tcb.context.now
        if self.probe_rtt_done_stamp == 0 or now <= self.probe_rtt_done_stamp:
            return
        self.model.probe_rtt_min_stamp = now
        self.restore_cwnd(tcb)
        self.model.reset_short_term()
        if self.model.full_bw_reached:
            self.start_down(tcb)
            self.enter_state(CRUISE)
        else:
            self.enter_state(STARTUP)

    def probe_rtt_cwnd(self, tcb: Tcb) -> float:
        """ProbeRTTCwnd."""
        cwnd = self.bdp_multiple(tcb, self.model.bw, PROBE_RTT_CWND_GAIN)
        least = float(MIN_PIPE_SEGMENTS * tcb.mss)
        return cwnd if cwnd > least else least

    def on_send(self, tcb: Tcb, in_flight: int) -> None:
        """HandleRestartFromIdle."""
        connection = tcb
        flight = connection.flight
        if in_flight != 0 or flight is None or flight.app_limited == 0:
            return
        self.idle_restart = True
        self.model.extra_acked_start = connection.context.now
        if self.in_probe_bw():
            self.set_pacing_rate(connection, 1.0)
        elif self.state == PROBE_RTT:
            self.check_probe_rtt_done(connection)

    # losses

    def on_lost(self, tcb: Tcb, start: int, length: int, in_flight: int, lost: int, app_limited: bool) -> None:
        """HandleLostPacket."""
        connection = tcb
        self.note_loss(connection)
        if start != self.last_lost_end or self.loss_ranges == 0:
            self.loss_ranges += 1
        self.last_lost_end = (start + length) & MASK32
        if self.is_bw_probe_sample and self.is_inflight_too_high(connection, lost, in_flight):
            self.handle_inflight_too_high(connection, self.inflight_at_loss(length, in_flight, lost), app_limited)

    def note_loss(self, tcb: Tcb) -> None:
        """NoteLoss: the first of a round begins one of its own."""
        model = self.model
        if not model.is_loss_in_round and tcb.flight is not None:
            model.loss_round_delivered = tcb.flight.delivered
        model.is_loss_in_round = True

    def on_mark(self, tcb: Tcb, ack: Ack) -> None:
        connection = tcb
        told = ack
        self.save_cwnd(connection)
        self.note_loss(connection)
        if not self.model.full_bw_reached:
            self.startup_too_high(connection)
        elif self.is_bw_probe_sample:
            self.handle_inflight_too_high(connection, float(told.in_flight), told.app_limited)

    def on_loss(self, tcb: Tcb, ack: Ack) -> None:
        """OnEnterFastRecovery; also of a loss that a tail loss probe has repaired."""
        connection = tcb
        self.save_cwnd(connection)
        self.save_state(connection)
        self.note_loss(connection)

    def on_timeout(self, tcb: Tcb, first: bool) -> None:
        """OnEnterRTO."""
        connection = tcb
        self.save_cwnd(connection)
        if first:
            self.save_state(connection)

    def save_state(self, tcb: Tcb) -> None:
        """SaveStateUponLoss."""
        model = self.model
        self.undo_state = NO_STATE
        self.undo_bw_shortterm = model.bw_shortterm
        self.undo_inflight_shortterm = model.inflight_shortterm
        self.undo_inflight_longterm = model.inflight_longterm

    def on_recovered(self, tcb: Tcb) -> None:
        connection = tcb
        self.restore_cwnd(connection)

    def on_undo(self, tcb: Tcb) -> None:
        """HandleSpuriousLossDetection."""
        connection = tcb
        model = self.model
        self.restore_cwnd(connection)
        model.is_loss_in_round = False
        model.reset_full_bw()
        if model.bw_shortterm < self.undo_bw_shortterm:
            model.bw_shortterm = self.undo_bw_shortterm
        if model.inflight_shortterm < self.undo_inflight_shortterm:
            model.inflight_shortterm = self.undo_inflight_shortterm
        if model.inflight_longterm < self.undo_inflight_longterm:
            model.inflight_longterm = self.undo_inflight_longterm
        undo, self.undo_state = self.undo_state, NO_STATE
        if undo == STARTUP and self.state != STARTUP:
            model.full_bw_reached = False
            if self.state != PROBE_RTT:
                self.enter_state(STARTUP)
        elif undo == UP and self.state != UP and self.state != PROBE_RTT:
            self.start_refill(connection)

    def save_cwnd(self, tcb: Tcb) -> None:
        """SaveCwnd: the last window that neither recovery nor ProbeRTT has cut."""
        recovering = tcb.recovering == FAST or tcb.recovering == TIMEOUT
        if (not recovering and self.state != PROBE_RTT) or tcb.cwnd > self.prior_cwnd:
            self.prior_cwnd = tcb.cwnd

    def restore_cwnd(self, tcb: Tcb) -> None:
        """RestoreCwnd."""
        if tcb.cwnd < self.prior_cwnd:
            tcb.cwnd = self.prior_cwnd

    # what follows: rate, quantum, window (5.6)

    def init_pacing_rate(self, tcb: Tcb) -> None:
        """InitPacingRate: the initial window in a round trip, or in a millisecond while that is not known."""
        self.seen_rtt = tcb.srtt > 0
        rtt = tcb.srtt if self.seen_rtt else MILLISECOND
        rate = PACING_GAINS[STARTUP] * tcb.cwnd * SECOND / rtt
        tcb.pacing_rate = int(rate if rate < MOST_RATE else MOST_RATE)
        self.set_send_quantum(tcb)

    def set_pacing_rate(self, tcb: Tcb, gain: float) -> None:
        """SetPacingRateWithGain: not less than before until the pipe was full once."""
        rate = gain * self.model.bw * PACED
        if rate > MOST_RATE:
            rate = MOST_RATE
        if self.model.full_bw_reached or rate > tcb.pacing_rate:
            tcb.pacing_rate = int(rate) if rate > 1.0 else 1

    def set_send_quantum(self, tcb: Tcb) -> None:
        """SetSendQuantum."""
        quantum = float(tcb.pacing_rate) / QUANTUM_TIME
        if quantum > QUANTUM_MOST:
            quantum = QUANTUM_MOST
        least = float(2 * tcb.mss)
        self.send_quantum = quantum if quantum > least else least

    def set_cwnd(self, tcb: Tcb, flight: Flight, ack: Ack) -> None:
        """SetCwnd."""
        model = self.model
        most = self.quantized(tcb, self.bdp_multiple(tcb, model.bw, self.cwnd_gain) + model.extra_acked)
        cwnd = float(tcb.cwnd)
        if model.full_bw_reached:
            cwnd += ack.delivered
            if cwnd > most:
                cwnd = most
        elif cwnd < most or flight.delivered < self.initial_cwnd(tcb):
            cwnd += ack.delivered
        least = float(MIN_PIPE_SEGMENTS * tcb.mss)
        if cwnd < least:
            cwnd = least
        if self.state == PROBE_RTT:
            most = self.probe_rtt_cwnd(tcb)
            if cwnd > most:
                cwnd = most
        most = self.cap(tcb)
        if most < least:
            most = least
        if cwnd > most:
            cwnd = most
        if cwnd > MAX_CWND:
            cwnd = float(MAX_CWND)
        tcb.cwnd = int(cwnd)

    def cap(self, tcb: Tcb) -> float:
        """The bound of BoundCwndForModel."""
        most = NO_LIMIT
        if self.state == PROBE_RTT or self.state == CRUISE:
            most = self.model.inflight_with_headroom(tcb.mss)
        elif self.in_probe_bw():
            most = self.model.inflight_longterm
        bound = self.model.inflight_shortterm
        return bound if bound < most else most
