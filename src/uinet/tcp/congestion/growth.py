"""How windows begin and grow, for all algorithms."""

from __future__ import annotations

from uinet.tcp.constants import MAX_CWND
from uinet.tcp.tcb import Tcb


def initial_window(mss: int, segments: int) -> int:
    """The initial window (RFC 6928, 2), in bytes."""
    window = segments * mss
    most = 2 * mss if 2 * mss > 14600 else 14600
    return window if window < most else most


def slow_start(tcb: Tcb, acked: int) -> int:
    """Grows cwnd by what was acknowledged, up to ssthresh (RFC 5681, 3.1); bytes of `acked` that are left over.

    What a stretch ACK acknowledges counts in full (RFC 3465 would stop at two segments): with receive offload in the
    peer there is one ACK for dozens of segments.
    """
    room = tcb.ssthresh - tcb.cwnd
    grow = acked if acked < room else room
    if tcb.cwnd + grow > MAX_CWND:
        grow = MAX_CWND - tcb.cwnd
    if grow > 0:
        tcb.cwnd += grow
        return acked - grow
    return acked
