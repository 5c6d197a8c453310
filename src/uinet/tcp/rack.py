"""RACK-TLP (RFC 8985): losses found by time, and a probe where the tail of a flight may be lost.

What was sent before something that has arrived, by more than the reordering window, is lost.
"""

from __future__ import annotations

from uinet.seq import seq_diff, seq_geq, seq_gt
from uinet.tcp.constants import DUP_THRESH
from uinet.tcp.flight import Flight
from uinet.tcp.sent import Ack, Sent
from uinet.tcp.tcb import Tcb
from uinet.units import MILLISECOND

PERSIST = 16  # recoveries without D-SACK after which the reordering window is small again (RFC 8985, 6.2, step 4)
MOST_MULT = 64
LEAST_WINDOW = MILLISECOND  # ns: on a LAN a quarter of a round trip is less than a scheduler's whim
ACK_DELAY = 200 * MILLISECOND  # ns: how long a peer may delay the ACK of a single segment (RFC 8985, 7.2)
PROBE_SLACK = 2 * MILLISECOND  # ns beyond two round trips: timers tick, and a LAN's round trip is nothing
PROBE_UNKNOWN = 1000 * MILLISECOND  # ns, without a round trip to go by


def reordering_window(tcb: Tcb, flight: Flight) -> int:
    """How much later than its successors a segment may arrive, in ns (RFC 8985 6.2, step 4)."""
    if not flight.reordered:
        if tcb.recovering or flight.sacked > (DUP_THRESH - 1) * tcb.mss or flight.ranges >= DUP_THRESH:
            return 0
    window = flight.reo_wnd_mult * flight.min_rtt // 4
    if window > tcb.srtt:
        window = tcb.srtt
    return window if window > LEAST_WINDOW else LEAST_WINDOW


def note_dsack(tcb: Tcb, flight: Flight) -> None:
    """A D-SACK came: something was sent again that was only late. The window grows once a round trip."""
    if not flight.in_dsack_round:
        flight.in_dsack_round = True
        flight.slow_clock = flight.reordered
        flight.dsack_round = tcb.snd_nxt
        if flight.reo_wnd_mult < MOST_MULT:
            flight.reo_wnd_mult += 1
        flight.reo_wnd_persist = PERSIST


def end_dsack_round(tcb: Tcb, flight: Flight) -> None:
    """SND.UNA has moved: the round trip in which a D-SACK came may be over."""
    if flight.in_dsack_round and seq_geq(tcb.snd_una, flight.dsack_round):
        flight.in_dsack_round = False


def recovered(flight: Flight) -> None:
    """A recovery is over, which none or which a D-SACK has told to be unneeded."""
    if not flight.in_dsack_round and flight.reo_wnd_mult > 1:
        flight.reo_wnd_persist -= 1
        if flight.reo_wnd_persist == 0:
            flight.reo_wnd_mult = 1
            flight.reo_wnd_persist = PERSIST


def detect_losses(tcb: Tcb, flight: Flight, ack: Ack | None) -> None:
    """RFC 8985 6.2, step 5: marks what is lost, and arms the timer for what may turn out to be."""
    if flight.rack_sent_at == 0:
        return
    now = tcb.context.now
    patience = flight.rack_rtt + reordering_window(tcb, flight)
    run: Sent | None = flight.oldest
    wait = False
    while run is not None and run.sent_at <= flight.rack_sent_at:
        following = run.newer
        if run.sent_at < flight.rack_sent_at or seq_gt(flight.rack_end, run.end):
            if run.sent_at + patience <= now:
                flight.mark_lost(run, ack)
            else:
                wait = True
                break
        run = following
    if wait:
        tcb.loss_at = flight.rack_sent_at + patience
        flight.probe_timer = False
    elif tcb.loss_at and not flight.probe_timer:
        tcb.loss_at = 0


def mark_on_timeout(tcb: Tcb, flight: Flight) -> None:
    """RFC 8985 6.3: after a timeout the first segment is lost, and what was sent as long ago as it may be."""
    flight.mark_head(seq_diff(tcb.snd_nxt, tcb.snd_una), None)
    patience = flight.rack_rtt + reordering_window(tcb, flight)
    now = tcb.context.now
    run: Sent | None = flight.oldest
    while run is not None:
        following = run.newer
        if run.sent_at + patience > now:
            break
        flight.mark_lost(run, None)
        run = following


def schedule_probe(tcb: Tcb, flight: Flight) -> None:
    """Arms the tail loss probe, if one may be sent (RFC 8985, 7.2), after new data or an ACK of some."""
    if (
        tcb.recovering or not tcb.sack_ok or flight.sacked or flight.probed or tcb.persisting
        or tcb.snd_una == tcb.snd_nxt or not tcb.rexmt_at
    ):
        if flight.probe_timer:
            flight.probe_timer = False
            tcb.loss_at = 0
        return
    if tcb.loss_at and not flight.probe_timer:
        return  # the reordering window's timer comes first
    wait = PROBE_UNKNOWN
    if tcb.srtt:
        wait = 2 * tcb.srtt + PROBE_SLACK
        if seq_diff(tcb.snd_nxt, tcb.snd_una) <= tcb.mss:
            wait += ACK_DELAY
    at = tcb.context.now + wait
    if at >= tcb.rexmt_at:
        flight.probe_timer = False
        tcb.loss_at = 0  # the timeout is as soon
        return
    flight.probe_timer = True
    tcb.loss_at = at


def probe_acknowledged(tcb: Tcb, flight: Flight, ack: Ack, duplicate: bool) -> bool:
    """An ACK reaches the end of a probe (RFC 8985, 7.4.2): whether the probe has repaired a loss, that nothing else
    will tell congestion control of."""
    if not flight.probed or seq_gt(flight.probe_end, tcb.snd_una):
        return False
    if not flight.probe_again:
        flight.probed = False
        return False
    if ack.dsack or (duplicate and tcb.snd_una == flight.probe_end):
        flight.probed = False  # original and probe have arrived both
        return False
    if seq_gt(tcb.snd_una, flight.probe_end):
        flight.probed = False
        return True
    return False
