"""What happens when a connection's timer is due (RFC 9293 3.10.8)."""

from __future__ import annotations

from uinet.errors import TimedOut
from uinet.tcp.close import abort, finish
from uinet.tcp.discovery import timed_out
from uinet.tcp.fast_open import silence, syn_lost
from uinet.tcp.notify import note_soft_error
from uinet.tcp.rack import detect_losses
from uinet.tcp.recovery import on_timeout, pipe, step
from uinet.tcp.send import output, send_ack, send_keepalive, send_probe, send_syn, send_tail_probe
from uinet.tcp.state import CLOSED, ESTABLISHED, FIN_WAIT_2, SYN_SENT
from uinet.tcp.tcb import Tcb
from uinet.tcp.timers import patience, rearm, start_keepalive, start_retransmit

R1 = 3  # retransmissions after which there is said to be trouble (RFC 9293 3.8.3, SHLD-10)


def expire(tcb: Tcb, now: int) -> None:
    """Handles every timer of `tcb` that is due at `now`."""
    if tcb.extras is not None and tcb.extras.close_at and now >= tcb.extras.close_at:
        close_due(tcb)
    if tcb.state != CLOSED and tcb.rexmt_at and now >= tcb.rexmt_at:
        retransmission_due(tcb, now)
    if tcb.state != CLOSED and tcb.loss_at and now >= tcb.loss_at:
        loss_due(tcb)
    if tcb.state != CLOSED and tcb.pacing and tcb.flight is not None and now >= tcb.flight.paced_until:
        tcb.pacing = False
        output(tcb)
    if tcb.state != CLOSED and tcb.keep_at and now >= tcb.keep_at:
        keepalive_due(tcb, now)
    if tcb.state != CLOSED and tcb.delack_at and now >= tcb.delack_at:
        tcb.delack_at = 0
        send_ack(tcb)
    if tcb.state != CLOSED:
        rearm(tcb)


def close_due(tcb: Tcb) -> None:
    """FIN-WAIT-2 has lasted long enough, or an orphan could not deliver what it holds."""
    tcb.close_at = 0
    tcb.context.stats.count("tcp_timed_out")
    if tcb.state == FIN_WAIT_2:
        finish(tcb, None)
    else:
        abort(tcb, TimedOut())


def retransmission_due(tcb: Tcb, now: int) -> None:
    """The retransmission timer (RFC 6298, 5.4 to 5.7) or the persist timer."""
    context = tcb.context
    tcb.rexmt_at = 0
    if tcb.unanswered_since and now - tcb.unanswered_since >= patience(tcb):
        context.stats.count("tcp_timed_out")
        if tcb.state == SYN_SENT:
            finish(tcb, soft_or_timeout(tcb))
        else:
            abort(tcb, soft_or_timeout(tcb))
        return
    if tcb.backoff < 30:
        tcb.backoff += 1
    if tcb.backoff == R1 + 1 and not tcb.persisting:
        excessive(tcb)
    if tcb.persisting:
        send_probe(tcb)
        if tcb.persisting:
            start_retransmit(tcb)
        return
    context.stats.count("tcp_rto")
    start_retransmit(tcb)
    if tcb.state < ESTABLISHED:
        if tcb.fast_open is not None and not syn_lost(tcb):
            context.stats.count("tcp_timed_out")
            finish(tcb, soft_or_timeout(tcb))
            return
        tcb.timing = False
        context.stats.count("tcp_retransmit")
        send_syn(tcb)
        return
    tcb.loss_at = 0
    if tcb.fast_open is not None:
        silence(tcb)
    if tcb.flight is not None:
        timed_out(tcb, tcb.flight)
    on_timeout(tcb)
    output(tcb)


def loss_due(tcb: Tcb) -> None:
    """The reordering window has passed, or it is time for a tail loss probe (RFC 8985, 6.3 and 7.3)."""
    tcb.loss_at = 0
    flight = tcb.flight
    if flight is None or tcb.snd_una == tcb.snd_nxt:
        return
    if flight.probe_timer:
        flight.probe_timer = False
        send_tail_probe(tcb, flight)
        return
    ack = tcb.context.ack
    ack.begin(0, pipe(tcb))
    detect_losses(tcb, flight, ack)
    step(tcb, flight, ack)
    output(tcb)


def excessive(tcb: Tcb) -> None:
    """R1 retransmissions were not answered (RFC 9293 3.8.3): tells the user (SHLD-9), and the network layer that the
    first hop may be gone (RFC 1122 3.3.1.4)."""
    tcb.context.stats.count("tcp_r1")
    if tcb.soft_error is None:
        note_soft_error(tcb, TimedOut(f"{R1} retransmissions were not answered"))
    if tcb.next_hop is not None:
        tcb.context.network.neighbors.doubt(tcb.next_hop)


def soft_or_timeout(tcb: Tcb) -> BaseException:
    """Why nothing was answered: the last ICMP error, if one came, says it better (RFC 1122 4.2.3.9)."""
    reported = tcb.soft_error
    return reported if reported is not None and not isinstance(reported, TimedOut) else TimedOut()


def keepalive_due(tcb: Tcb, now: int) -> None:
    """The connection was silent for the keepalive time (RFC 9293 3.8.4)."""
    settings = tcb.context.settings
    idle = tcb.keep_idle if tcb.keep_idle else settings.keepalive_idle
    interval = tcb.keep_interval if tcb.keep_interval else settings.keepalive_interval
    count = tcb.keep_count if tcb.keep_count else settings.keepalive_count
    silent = now - tcb.last_heard
    if tcb.state < ESTABLISHED or tcb.snd_una != tcb.snd_nxt or silent < idle:
        probes = tcb.keep_probes
        start_keepalive(tcb)
        if silent < idle:
            tcb.keep_at = tcb.last_heard + idle
        elif tcb.snd_una == tcb.snd_nxt:
            tcb.keep_probes = probes
        return
    if tcb.keep_probes >= count:
        tcb.context.stats.count("tcp_timed_out")
        abort(tcb, TimedOut())
        return
    tcb.keep_probes += 1
    tcb.keep_at = now + interval
    send_keepalive(tcb)
