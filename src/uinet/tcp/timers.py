"""A connection's timers: several deadlines, one node in the wheel that holds the earliest (design decision D8).

Arming is here; what happens when one is due is in `timeout`.
"""

from __future__ import annotations

from uinet.tcp.state import ESTABLISHED
from uinet.tcp.tcb import Tcb

FAR = 1 << 62
RTO_AFTER_LOST_SYN = 3 * 1_000_000_000  # ns: the least timeout to begin with if the SYN was sent again (RFC 6298, 5.7)


def rearm(tcb: Tcb) -> None:
    """Files the connection under its earliest deadline; a later one than before costs nothing."""
    deadline = FAR
    if tcb.rexmt_at and tcb.rexmt_at < deadline:
        deadline = tcb.rexmt_at
    if tcb.delack_at and tcb.delack_at < deadline:
        deadline = tcb.delack_at
    if tcb.keep_at and tcb.keep_at < deadline:
        deadline = tcb.keep_at
    if tcb.loss_at and tcb.loss_at < deadline:
        deadline = tcb.loss_at
    extras = tcb.extras
    if extras is not None and extras.close_at and extras.close_at < deadline:
        deadline = extras.close_at
    if tcb.pacing and tcb.flight is not None and tcb.flight.paced_until < deadline:
        deadline = tcb.flight.paced_until
    if deadline == FAR:
        tcb.deadline = 0  # a node that is filed stays where it is, and is dropped when its slot is opened
    elif deadline != tcb.deadline:
        tcb.context.wheel.arm(tcb, deadline)


def timeout_now(tcb: Tcb) -> int:
    """The retransmission timeout with its exponential backoff (RFC 6298, 5.5)."""
    settings = tcb.context.settings
    shift = tcb.backoff
    if shift > 12:
        shift = 12
    rto = tcb.rto << shift
    if rto > settings.rto_max:
        rto = settings.rto_max
    return rto


def patience(tcb: Tcb) -> int:
    """How long, in ns, nothing may be answered before the connection is given up (RFC 9293 3.8.3: R2)."""
    if tcb.extras is not None and tcb.extras.user_timeout:
        return tcb.extras.user_timeout
    settings = tcb.context.settings
    return settings.connect_timeout if tcb.state < ESTABLISHED else settings.user_timeout


def start_retransmit(tcb: Tcb) -> None:
    """Starts the retransmission timer (RFC 6298, 5.1)."""
    now = tcb.context.now
    if tcb.unanswered_since == 0:
        tcb.unanswered_since = now
    at = now + timeout_now(tcb)
    end = tcb.unanswered_since + patience(tcb)
    if at > end:
        at = end if end > now else now + 1  # the last one: whoever gives up does so in time
    tcb.rexmt_at = at


def restart_retransmit(tcb: Tcb) -> None:
    """New data was acknowledged: starts the timer anew, or stops it if nothing is outstanding (RFC 6298, 5.2, 5.3).

    Without a sample the timeout stays as far backed off as it is (Karn's algorithm; a sample sets `backoff` to 0).
    """
    if tcb.extras is not None:
        tcb.extras.soft_error = None
    if tcb.backoff:
        tcb.rto = timeout_now(tcb)
        tcb.backoff = 0
    if tcb.snd_una == tcb.snd_nxt:
        tcb.rexmt_at = 0
        tcb.unanswered_since = 0
    else:
        tcb.rexmt_at = tcb.context.now + tcb.rto
        tcb.unanswered_since = tcb.context.now


def restart_after_probe(tcb: Tcb) -> None:
    """A tail loss probe went out: the retransmission timer gives it its time (RFC 8985, 7.3)."""
    if tcb.rexmt_at:
        tcb.rexmt_at = tcb.context.now + timeout_now(tcb)


def start_persist(tcb: Tcb) -> None:
    """The window is shut and nothing is outstanding: probes it from now on (RFC 9293 3.8.6.1)."""
    tcb.persisting = True
    tcb.backoff = 0
    start_retransmit(tcb)


def stop_persist(tcb: Tcb) -> None:
    """The window has opened."""
    tcb.persisting = False
    tcb.backoff = 0
    tcb.rexmt_at = 0
    tcb.unanswered_since = 0


def wait_for_fin(tcb: Tcb) -> None:
    """FIN-WAIT-2 of a connection whose user has let go: the peer's FIN has so long to come."""
    extras = tcb.more()
    extras.close_at = tcb.context.now + (extras.fin_wait_2 or tcb.context.settings.fin_wait_2_timeout)


def start_keepalive(tcb: Tcb) -> None:
    """Starts or stops the keepalive timer, as the user has asked."""
    tcb.keep_probes = 0
    if tcb.keepalive:
        idle = tcb.keep_idle if tcb.keep_idle else tcb.context.settings.keepalive_idle
        tcb.keep_at = tcb.context.now + idle
    else:
        tcb.keep_at = 0
