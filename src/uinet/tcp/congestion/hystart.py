"""HyStart++ (RFC 9406): leaves slow start before it overshoots, when round trips grow longer.

One object for the first slow start of a connection. Rounds end when what was SND.NXT at their beginning is
acknowledged.
"""

from __future__ import annotations

from uinet.seq import seq_geq, seq_gt
from uinet.tcp.congestion.growth import slow_start
from uinet.tcp.sent import Ack
from uinet.tcp.tcb import Tcb
from uinet.units import MILLISECOND

# RFC 9406, 4.3
MIN_RTT_THRESH = 4 * MILLISECOND
MAX_RTT_THRESH = 16 * MILLISECOND
MIN_RTT_DIVISOR = 8
N_RTT_SAMPLE = 8
CSS_GROWTH_DIVISOR = 4
CSS_ROUNDS = 5

TRAIN_GAP = 2 * MILLISECOND  # ACKs no further apart belong to one train
GAPS = 32  # or no further than this part of a round trip: where segments are late the train has pauses
TRAIN_ROUNDS = 1  # of conservative slow start after one: the path is between half full and full
TRAIN_WINDOW = 16  # segments of cwnd from which on a train tells something

FAR = 1 << 62


class HyStart:
    """Slow start, and the conservative slow start (CSS) that tries whether the delay was there to stay."""

    def __init__(self, tcb: Tcb) -> None:
        self.blank(tcb)

    def blank(self, tcb: Tcb) -> None:
        """What a new one is."""
        self.window_end = tcb.snd_nxt
        self.last_round_min_rtt = FAR
        self.current_round_min_rtt = FAR
        self.samples = 0
        self.css = False
        self.css_baseline_min_rtt = FAR
        self.css_rounds = 0
        self.rest = 0
        self.train_end = tcb.snd_nxt
        self.train_start = 0
        self.last_ack = 0

    def on_ack(self, tcb: Tcb, ack: Ack) -> int:
        """Grows cwnd for an ACK in slow start; bytes of it that are left over for congestion avoidance."""
        if seq_geq(tcb.snd_una, self.window_end):
            self.end_round(tcb)
        if not self.css and tcb.context.settings.hystart_train and self.train_is_long(tcb):
            self.enter_css(0, CSS_ROUNDS - TRAIN_ROUNDS)  # no round trip is shorter: it ends slow start for sure
        if ack.rtt >= 0:
            if ack.rtt < self.current_round_min_rtt:
                self.current_round_min_rtt = ack.rtt
            self.samples += 1
        if not self.css:
            left = slow_start(tcb, ack.acked)
            self.look_for_delay()
            return left
        self.rest += ack.acked
        grow = self.rest // CSS_GROWTH_DIVISOR
        self.rest -= grow * CSS_GROWTH_DIVISOR
        left = slow_start(tcb, grow)
        if self.samples >= N_RTT_SAMPLE and self.current_round_min_rtt < self.css_baseline_min_rtt:
            self.css = False  # the delay was a passing one
            self.css_baseline_min_rtt = FAR
        return left

    def enter_css(self, baseline: int, rounds: int) -> None:
        """Conservative slow start from now on, unless round trips become shorter than `baseline`; `rounds` of its five
        count as done."""
        self.css = True
        self.css_baseline_min_rtt = baseline
        self.css_rounds = rounds
        self.rest = 0

    def train_is_long(self, tcb: Tcb) -> bool:
        """Whether the ACKs of this round have come without a pause for half a round trip: the path is half full.

        This is the other half of the first HyStart (Ha and Rhee, 2011; RFC 9406 has only the delay): without it a
        queue as long as the path takes several hundred packets too many, and half of them are lost.
        """
        now = tcb.context.now
        if seq_gt(tcb.snd_una, self.train_end):
            # the first ACK of what was sent after the last train's first: trains begin where rounds may not
            self.train_end = tcb.snd_nxt
            self.train_start = self.last_ack = now
        flight = tcb.flight
        if flight is None:
            return False
        gap = flight.min_rtt // GAPS
        if now - self.last_ack > (gap if gap > TRAIN_GAP else TRAIN_GAP):
            return False
        self.last_ack = now
        if tcb.cwnd < TRAIN_WINDOW * tcb.mss or flight.min_rtt <= 4 * TRAIN_GAP:
            return False  # on a short path two or three ACKs would be a train
        return now - self.train_start > flight.min_rtt // 2

    def look_for_delay(self) -> None:
        """Enters CSS if this round's shortest round trip is notably longer than the last one's."""
        last = self.last_round_min_rtt
        if self.samples < N_RTT_SAMPLE or last == FAR:
            return
        threshold = last // MIN_RTT_DIVISOR
        if threshold > MAX_RTT_THRESH:
            threshold = MAX_RTT_THRESH
        if threshold < MIN_RTT_THRESH:
            threshold = MIN_RTT_THRESH
        if self.current_round_min_rtt >= last + threshold:
            self.enter_css(self.current_round_min_rtt, 0)

    def end_round(self, tcb: Tcb) -> None:
        """A round is over; after five of CSS so is slow start."""
        self.window_end = tcb.snd_nxt
        self.last_round_min_rtt = self.current_round_min_rtt
        self.current_round_min_rtt = FAR
        self.samples = 0
        if self.css:
            self.css_rounds += 1
            if self.css_rounds >= CSS_ROUNDS:
                tcb.ssthresh = tcb.cwnd


def new_hystart(tcb: Tcb) -> HyStart:
    """For a slow start that begins."""
    made = HyStart.__new__(HyStart)
    made.blank(tcb)
    return made
