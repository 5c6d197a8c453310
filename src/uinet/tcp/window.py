"""Whether the congestion window is what limits, and what it is worth if it is not (RFC 2861, as RFC 7661 refers to
it)."""

from __future__ import annotations

from uinet.seq import seq_diff, seq_geq
from uinet.tcp.congestion.choice import make
from uinet.tcp.congestion.growth import initial_window
from uinet.tcp.flight import Flight, new_flight
from uinet.tcp.tcb import Tcb

PACING_SLOW_START = 200  # percent of cwnd / srtt
PACING_AVOIDANCE = 120


def begin_flight(tcb: Tcb) -> Flight:
    """There is something to send for the first time: makes what keeps track of it, and congestion control."""
    context = tcb.context
    flight = new_flight(context.now)
    flight.usage_seq = tcb.snd_nxt
    if tcb.srtt:
        flight.note_rtt(tcb.srtt, context.now)  # that of the handshake
    tcb.flight = flight
    algorithm = tcb.extras.algorithm if tcb.extras is not None else None
    use(tcb, algorithm if algorithm is not None else context.settings._congestion)
    return flight


def use(tcb: Tcb, algorithm: object) -> None:
    """Gives the connection, which has a flight, another congestion control; a name or a factory."""
    congestion = make(algorithm)  # type: ignore[arg-type]
    tcb.congestion = congestion
    tcb.pacing_rate = 0
    flight = tcb.flight
    if flight is not None:
        if flight.owns_window:
            flight.reduced = False  # whoever owned the window has set no ssthresh for it to come down to
        flight.owns_window = congestion.owns_window
        flight.lost_notes = [] if congestion.owns_window else None
        flight.paces = congestion.paces
    congestion.start(tcb)
    if flight is not None:
        set_pacing(tcb, flight)


def set_pacing(tcb: Tcb, flight: Flight) -> None:
    """After each ACK: the pacing rate, in bytes a second, that cwnd gives if congestion control leaves that to the
    setting `pacing`; and SO_MAX_PACING_RATE, which bounds any."""
    if not flight.paces:
        tcb.pacing_rate = window_rate(tcb) if tcb.context.settings.pacing and tcb.srtt else 0
    most = tcb.extras.max_pacing_rate if tcb.extras is not None else 0
    if most and (tcb.pacing_rate == 0 or tcb.pacing_rate > most):
        tcb.pacing_rate = most


def window_rate(tcb: Tcb) -> int:
    """A window in half a round trip while slow start will double it in the next, else in five sixths of one."""
    outstanding = seq_diff(tcb.snd_nxt, tcb.snd_una)
    window = tcb.cwnd if tcb.cwnd > outstanding else outstanding
    percent = PACING_SLOW_START if tcb.cwnd < tcb.ssthresh // 2 else PACING_AVOIDANCE
    rate = window * percent * 10_000_000 // tcb.srtt
    return rate if rate else 1


def restart_window(tcb: Tcb) -> int:
    """What a connection that was idle may start with."""
    window = initial_window(tcb.mss, tcb.context.settings.initial_window_segments)
    return window if window < tcb.cwnd else tcb.cwnd


def cwnd_was_full(tcb: Tcb, flight: Flight) -> bool:
    """Whether cwnd was in use; if not, ACKs say nothing about a larger one. In slow start half of it is enough, as it
    doubles in a round trip."""
    if flight.cwnd_limited:
        return True
    return tcb.cwnd < tcb.ssthresh and tcb.cwnd < 2 * flight.max_flight


def validate(tcb: Tcb, flight: Flight, limited: bool) -> None:
    """After sending: notes whether cwnd was what stopped it; a window that was not used for a timeout's time shrinks
    towards what was (RFC 2861, 3.2)."""
    outstanding = seq_diff(tcb.snd_nxt, tcb.snd_una)
    if limited or seq_geq(tcb.snd_una, flight.usage_seq) or (
        not flight.cwnd_limited and outstanding > flight.max_flight
    ):
        flight.cwnd_limited = limited
        flight.max_flight = outstanding
        flight.usage_seq = tcb.snd_nxt
    now = tcb.context.now
    if cwnd_was_full(tcb, flight):
        flight.cwnd_used = 0
        flight.cwnd_stamp = now
        return
    if outstanding > flight.cwnd_used:
        flight.cwnd_used = outstanding
    if now - flight.cwnd_stamp >= tcb.rto and not tcb.recovering and not flight.owns_window:
        shrink_unused(tcb, flight)


def shrink_unused(tcb: Tcb, flight: Flight) -> None:
    """The application has not filled cwnd for a while."""
    used = restart_window(tcb)
    if flight.cwnd_used > used:
        used = flight.cwnd_used
    if used < tcb.cwnd:
        keep_threshold(tcb)
        tcb.cwnd = (tcb.cwnd + used) // 2
    flight.cwnd_used = 0
    flight.cwnd_stamp = tcb.context.now


def keep_threshold(tcb: Tcb) -> None:
    """What cwnd was is remembered in ssthresh: slow start leads back to it."""
    most = tcb.cwnd - (tcb.cwnd >> 2)
    if tcb.ssthresh < most:
        tcb.ssthresh = most


def after_idle(tcb: Tcb, flight: Flight) -> None:
    """Data is to be sent while nothing is in flight. After an idle time cwnd is halved for each timeout that has
    passed, down to the restart window (RFC 2861 3.1; RFC 5681 4.1 would go there at once)."""
    now = tcb.context.now
    idle = now - flight.sent_at
    if flight.sent_at == 0 or idle < tcb.rto:
        return
    if not flight.owns_window and tcb.context.settings.slow_start_after_idle:
        least = restart_window(tcb)
        keep_threshold(tcb)
        left = idle
        while left >= tcb.rto and tcb.cwnd > least:
            left -= tcb.rto
            tcb.cwnd >>= 1
        if tcb.cwnd < least:
            tcb.cwnd = least
    flight.cwnd_used = 0
    flight.cwnd_stamp = now
    if tcb.congestion is not None:
        tcb.congestion.on_idle(tcb, idle)
