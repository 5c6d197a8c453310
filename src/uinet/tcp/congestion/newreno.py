"""NewReno: slow start, congestion avoidance, halving (RFC 5681), with appropriate byte counting (RFC 3465)."""

from __future__ import annotations

from uinet.seq import seq_diff
from uinet.tcp.congestion.base import CongestionControl
from uinet.tcp.congestion.growth import slow_start
from uinet.tcp.constants import MAX_CWND
from uinet.tcp.sent import Ack
from uinet.tcp.tcb import Tcb


def half_of_flight(tcb: Tcb, acked: int) -> int:
    """ssthresh after a loss (RFC 5681 3.1, equation 4), of which an ACK of `acked` bytes has told: FlightSize is what
    was outstanding before it, without what limited transmit has added."""
    outstanding = seq_diff(tcb.snd_nxt, tcb.snd_una) + acked
    if outstanding > tcb.cwnd:
        outstanding = tcb.cwnd
    half = outstanding // 2
    return half if half > 2 * tcb.mss else 2 * tcb.mss


class NewReno(CongestionControl):
    """The standard algorithm."""

    name = "newreno"

    def __init__(self) -> None:
        self.credit = 0  # bytes acknowledged in congestion avoidance, towards the next segment of cwnd

    def on_ack(self, tcb: Tcb, ack: Ack) -> None:
        connection = tcb
        told = ack
        acked = told.acked
        if connection.recovering and acked > connection.mss:
            # after a timeout L is 1 (RFC 3465, 2.3): an ACK may tell of much that had arrived before
            acked = connection.mss
        if connection.cwnd < connection.ssthresh:
            acked = slow_start(connection, acked)
        if acked:
            # a segment for each window of bytes, in however many ACKs they come (RFC 3465 2.1)
            self.credit += acked
            if self.credit >= connection.cwnd:
                self.credit -= connection.cwnd
                if connection.cwnd + connection.mss <= MAX_CWND:
                    connection.cwnd += connection.mss

    def on_loss(self, tcb: Tcb, ack: Ack) -> None:
        tcb.ssthresh = half_of_flight(tcb, ack.acked)
        self.credit = 0

    def on_timeout(self, tcb: Tcb, first: bool) -> None:
        if first:
            tcb.ssthresh = half_of_flight(tcb, 0)
        self.credit = 0
