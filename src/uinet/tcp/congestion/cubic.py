"""CUBIC (RFC 9438): after a loss cwnd follows a cubic of the time since, flat near the window where the loss was.

Windows are counted in bytes, as everywhere here; the RFC's are in segments, hence each C * SMSS.
"""

from __future__ import annotations

from uinet.tcp.congestion.base import CongestionControl
from uinet.tcp.congestion.growth import slow_start
from uinet.tcp.congestion.hystart import HyStart, new_hystart
from uinet.tcp.constants import MAX_CWND
from uinet.tcp.sent import Ack
from uinet.tcp.tcb import Tcb

C = 0.4  # segments / s**3 (RFC 9438, 5.1)
BETA = 0.7  # RFC 9438, 4.6
ALPHA = 3.0 * (1.0 - BETA) / (1.0 + BETA)  # RFC 9438, 4.3
SECONDS = 1e-9


class Cubic(CongestionControl):
    """The algorithm of most senders; the default here. Slow start is HyStart++ (RFC 9406)."""

    name = "cubic"

    def __init__(self) -> None:
        self.hystart: HyStart | None = None
        self.first = True  # no slow start has ended yet
        self.epoch_start = 0  # 0: a new stage of congestion avoidance begins with the next ACK
        self.w_max = 0.0
        self.w_est = 0.0
        self.k = 0.0  # seconds
        self.cwnd_prior = 0.0
        self.cwnd = 0.0  # with its fraction
        # for a false alarm
        self.before_w_max = 0.0
        self.before_epoch = 0
        self.before_k = 0.0
        self.before_hystart: HyStart | None = None

    def start(self, tcb: Tcb) -> None:
        connection = tcb
        if self.first and connection.context.settings.hystart:
            self.hystart = new_hystart(connection)

    def on_ack(self, tcb: Tcb, ack: Ack) -> None:
        connection = tcb
        told = ack
        acked = told.acked
        if connection.cwnd < connection.ssthresh:
            if self.hystart is not None:
                acked = self.hystart.on_ack(connection, told)
            else:
                acked = slow_start(connection, acked)
            if connection.cwnd < connection.ssthresh or acked == 0:
                return
        self.avoid_congestion(connection, acked)

    def avoid_congestion(self, tcb: Tcb, acked: int) -> None:
        """RFC 9438, 4.2 to 4.5."""
        now = tcb.context.now
        cwnd = float(tcb.cwnd)
        if self.epoch_start == 0:
            self.begin_epoch(tcb, now, cwnd)
        elif self.cwnd - cwnd < 1.0 and self.cwnd > cwnd:
            cwnd = self.cwnd
        mss = float(tcb.mss)
        elapsed = (now - self.epoch_start) * SECONDS
        offset = elapsed - self.k
        cubic = C * mss * offset * offset * offset + self.w_max
        # as fast as Reno, at least (4.3)
        alpha = ALPHA if self.w_est < self.cwnd_prior else 1.0
        self.w_est += alpha * mss * acked / cwnd
        if cubic < self.w_est:
            grown = self.w_est if self.w_est > cwnd else cwnd
        else:
            offset = elapsed + tcb.srtt * SECONDS - self.k
            target = C * mss * offset * offset * offset + self.w_max
            if target > 1.5 * cwnd:
                target = 1.5 * cwnd
            grown = cwnd
            if target > cwnd:
                grown += (target - cwnd) * acked / cwnd
        if grown > MAX_CWND:
            grown = float(MAX_CWND)
        self.cwnd = grown
        tcb.cwnd = int(grown)

    def begin_epoch(self, tcb: Tcb, now: int, cwnd: float) -> None:
        """A stage of congestion avoidance begins (4.2)."""
        self.epoch_start = now
        self.cwnd = cwnd
        self.w_est = cwnd
        if self.w_max > cwnd:
            self.k = ((self.w_max - cwnd) / (C * tcb.mss)) ** (1.0 / 3.0)
        else:
            self.k = 0.0
            self.w_max = cwnd

    def reduce(self, tcb: Tcb) -> None:
        """4.6 and 4.7: the new ssthresh, and where the loss was."""
        self.before_w_max = self.w_max
        self.before_epoch = self.epoch_start
        self.before_k = self.k
        self.before_hystart = self.hystart
        cwnd = float(tcb.cwnd)
        self.cwnd_prior = cwnd
        # fast convergence: who loses below the last maximum makes room for others
        self.w_max = cwnd * (1.0 + BETA) / 2.0 if cwnd < self.w_max else cwnd
        self.epoch_start = 0
        ssthresh = int(cwnd * BETA)
        tcb.ssthresh = ssthresh if ssthresh > 2 * tcb.mss else 2 * tcb.mss
        self.leave_first()

    def leave_first(self) -> None:
        """HyStart++ is for the first slow start only (RFC 9406, 4.2)."""
        self.first = False
        self.hystart = None

    def on_loss(self, tcb: Tcb, ack: Ack) -> None:
        self.reduce(tcb)

    def on_timeout(self, tcb: Tcb, first: bool) -> None:
        if first:
            self.reduce(tcb)
        self.epoch_start = 0
        self.w_max = 0.0  # 4.8: the next stage begins where slow start ends

    def on_undo(self, tcb: Tcb) -> None:
        self.w_max = self.before_w_max
        self.epoch_start = self.before_epoch
        self.k = self.before_k
        self.hystart = self.before_hystart  # slow start may go on, and has to end somewhere
        self.first = self.hystart is not None

    def on_idle(self, tcb: Tcb, idle: int) -> None:
        if self.epoch_start:
            self.epoch_start += idle  # the time in which nothing was sent does not count (4.2.1)
