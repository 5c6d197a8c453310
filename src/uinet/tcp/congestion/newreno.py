"""NewReno: slow start, congestion avoidance, halving (RFC 5681), with appropriate byte counting (RFC 3465)."""

from __future__ import annotations

from uinet.tcp.congestion.base import CongestionControl
from uinet.tcp.tcb import Tcb

MAX_CWND = 1 << 30


class NewReno(CongestionControl):
    """The standard algorithm. Has no state of its own."""

    name = "newreno"

    def start(self, tcb: Tcb) -> None:
        segments = tcb.context.settings.initial_window_segments
        tcb.cwnd = min(segments * tcb.mss, max(2 * tcb.mss, 14600))  # RFC 6928, 2
        tcb.ssthresh = MAX_CWND

    def on_ack(self, tcb: Tcb, acked: int) -> None:
        connection = tcb
        mss = connection.mss
        cwnd = connection.cwnd
        if cwnd < connection.ssthresh:
            # RFC 3465 2.2 with L: what stretch ACKs acknowledge counts, up to the window itself
            grow = acked if acked < cwnd else cwnd
            if connection.recovering and grow > mss:
                grow = mss  # after a timeout L is 1 (RFC 3465, 2.3): an ACK may tell of much that had arrived before
        else:
            # a segment for each window of bytes, in however many ACKs they come (RFC 3465 2.1)
            credit = connection.bytes_acked + acked
            grow = credit // cwnd * mss
            connection.bytes_acked = credit % cwnd
        if cwnd + grow < MAX_CWND:
            connection.cwnd = cwnd + grow

    def on_loss(self, tcb: Tcb, flight: int) -> None:
        tcb.ssthresh = max(flight // 2, 2 * tcb.mss)
        tcb.cwnd = tcb.ssthresh

    def on_timeout(self, tcb: Tcb, flight: int) -> None:
        if tcb.backoff <= 1:  # RFC 5681 3.1: not again for the same data
            tcb.ssthresh = max(flight // 2, 2 * tcb.mss)
        tcb.cwnd = tcb.mss

    def on_idle(self, tcb: Tcb) -> None:
        segments = tcb.context.settings.initial_window_segments
        restart = min(segments * tcb.mss, max(2 * tcb.mss, 14600))
        if tcb.cwnd > restart:
            tcb.cwnd = restart
