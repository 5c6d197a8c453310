"""Round-trip times and the retransmission timeout (RFC 6298)."""

from __future__ import annotations

from uinet.tcp.tcb import Tcb
from uinet.units import MASK32, MILLISECOND

GRANULARITY = MILLISECOND


def sample(tcb: Tcb, rtt: int) -> None:
    """Takes a measured round trip, in ns, into SRTT, RTTVAR and RTO (RFC 6298, 2.2 and 2.3)."""
    if rtt < 1:
        rtt = 1
    if tcb.srtt == 0:
        tcb.srtt = rtt
        tcb.rttvar = rtt // 2
    else:
        error = tcb.srtt - rtt
        if error < 0:
            error = -error
        tcb.rttvar = (3 * tcb.rttvar + error) // 4
        tcb.srtt = (7 * tcb.srtt + rtt) // 8
        if tcb.srtt < 1:
            tcb.srtt = 1
    spread = 4 * tcb.rttvar
    if spread < GRANULARITY:
        spread = GRANULARITY
    settings = tcb.context.settings
    rto = tcb.srtt + spread
    if rto < settings.rto_min:
        rto = settings.rto_min
    if rto > settings.rto_max:
        rto = settings.rto_max
    tcb.rto = rto
    tcb.backoff = 0  # a round trip that is known for sure ends the backoff (RFC 6298, 5.7)


def from_timestamp(tcb: Tcb, tsecr: int) -> None:
    """A sample from an echoed timestamp, for an ACK of new data (RFC 7323, 4.1).

    An echo of what was never sent (from the future, or minutes old) says nothing and is ignored.
    """
    now = (tcb.context.now // MILLISECOND + tcb.ts_offset) & MASK32
    elapsed = (now - tsecr) & MASK32
    if elapsed < 120_000:
        sample(tcb, elapsed * MILLISECOND if elapsed else GRANULARITY // 2)
