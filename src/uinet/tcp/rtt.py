"""Round-trip times and the retransmission timeout (RFC 6298)."""

from __future__ import annotations

from uinet.seq import seq_diff
from uinet.tcp.tcb import Tcb
from uinet.units import MASK32, MILLISECOND

GRANULARITY = MILLISECOND


def sample(tcb: Tcb, rtt: int, acked: int) -> None:
    """Takes a round trip, in ns, that an ACK of `acked` bytes has told into SRTT, RTTVAR and RTO (RFC 6298, 2.2 and
    2.3).

    With a sample for each ACK the gains are smaller, so that the averages remember as many round trips as with one
    sample each (RFC 7323, appendix G); where segments are late, few ACKs acknowledge much each. The spread is at least
    the setting `rto_min`, as the timeouts of others are: a path whose round trips hardly vary would otherwise time out
    at the first that does.
    """
    if rtt < 1:
        rtt = 1
    if tcb.srtt == 0:
        tcb.srtt = rtt
        tcb.rttvar = rtt // 2
    else:
        expected = 1  # ACKs like this one in a round trip
        if acked > 0:
            expected += seq_diff(tcb.snd_nxt, tcb.snd_una) // acked
        error = tcb.srtt - rtt
        if error < 0:
            error = -error
        tcb.rttvar = ((4 * expected - 1) * tcb.rttvar + error) // (4 * expected)
        tcb.srtt = ((8 * expected - 1) * tcb.srtt + rtt) // (8 * expected)
        if tcb.srtt < 1:
            tcb.srtt = 1
    settings = tcb.context.settings
    spread = 4 * tcb.rttvar
    if spread < settings.rto_min:
        spread = settings.rto_min
    rto = tcb.srtt + spread
    if rto > settings.rto_max:
        rto = settings.rto_max
    tcb.rto = rto
    tcb.backoff = 0  # a round trip that is known for sure ends the backoff (RFC 6298, 5.7)


def echo_age(tcb: Tcb, tsecr: int) -> int:
    """How long ago, in ns, the timestamp was sent that the peer echoes; -1 if it was never (from the future, or minutes
    old). Exact to a millisecond."""
    now = (tcb.context.now // MILLISECOND + tcb.ts_offset) & MASK32
    elapsed = (now - tsecr) & MASK32
    return elapsed * MILLISECOND if elapsed < 120_000 else -1


def from_timestamp(tcb: Tcb, tsecr: int, acked: int) -> None:
    """A sample from an echoed timestamp, for an ACK of `acked` bytes of new data (RFC 7323, 4.1)."""
    age = echo_age(tcb, tsecr)
    if age >= 0:
        sample(tcb, age if age else GRANULARITY // 2, acked)
