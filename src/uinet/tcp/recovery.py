"""Loss recovery: what an ACK, or a timeout, does to the state of recovery and to the congestion window.

Read first: RFC 8985 (what is lost: `rack`), RFC 6675 and RFC 6582 (recovery with SACK and without), RFC 9937
(proportional rate reduction), RFC 5682 (F-RTO), RFC 5681. What may be sent is what fits between the *pipe*, that
which is believed to be in the network, and cwnd.
"""

from __future__ import annotations

from uinet.seq import seq_diff, seq_geq, seq_gt
from uinet.tcp.constants import DUP_THRESH, FAST, NO_FRTO, OPEN, REDUCING, RESENT, TIMEOUT
from uinet.tcp.discovery import probe_lost
from uinet.tcp.flight import Flight
from uinet.tcp.rack import mark_on_timeout, recovered
from uinet.tcp.sent import Ack
from uinet.tcp.tcb import Tcb
from uinet.tcp.undo import arm, undo_fast, undo_late, undo_timeout


def pipe(tcb: Tcb) -> int:
    """Bytes believed to be in the network (RFC 6675, 4)."""
    outstanding = seq_diff(tcb.snd_nxt, tcb.snd_una)
    flight = tcb.flight
    if flight is None:
        return outstanding
    outstanding -= flight.sacked + flight.lost
    if tcb.dup_acks and not tcb.sack_ok and tcb.recovering:
        outstanding -= duplicates_gone(tcb)
    return outstanding if outstanding > 0 else 0


def duplicates_gone(tcb: Tcb) -> int:
    """Without SACK: bytes that duplicate ACKs tell to have left the network, not more than there were (RFC 5681,
    3.2)."""
    gone = tcb.dup_acks * tcb.mss
    most = seq_diff(tcb.recover, tcb.snd_una) - tcb.mss
    if most < 0:
        return 0
    return gone if gone < most else most


def window_room(tcb: Tcb) -> int:
    """Bytes that the congestion window lets out now; may be negative."""
    room = tcb.cwnd - pipe(tcb)
    if tcb.dup_acks and not tcb.recovering and not tcb.sack_ok:
        room += (tcb.dup_acks if tcb.dup_acks < 2 else 2) * tcb.mss  # limited transmit (RFC 3042)
    return room


def on_duplicate(tcb: Tcb, flight: Flight, ack: Ack) -> None:
    """A duplicate ACK came on a connection without SACK (RFC 5681, 3.2)."""
    tcb.context.stats.count("tcp_dup_ack_in")
    outstanding = seq_diff(tcb.snd_nxt, tcb.snd_una)
    if (tcb.dup_acks + 1) * tcb.mss < outstanding + tcb.mss:
        flight.delivered += tcb.mss
        ack.delivered += tcb.mss
    tcb.dup_acks += 1
    if tcb.dup_acks >= DUP_THRESH and (tcb.recovering == OPEN or tcb.recovering == REDUCING):
        flight.mark_head(tcb.mss, ack)


def on_partial(tcb: Tcb, flight: Flight, ack: Ack) -> None:
    """Without SACK: SND.UNA has moved during recovery, but not to its end: the next segment is lost as well (RFC 6582
    3.2, step 5)."""
    gone = ack.acked // tcb.mss
    tcb.dup_acks = tcb.dup_acks - gone if tcb.dup_acks > gone else 0
    flight.mark_head(tcb.mss, ack)


def step(tcb: Tcb, flight: Flight, ack: Ack) -> None:
    """Moves the state of recovery on by what `ack` has told; SND.UNA and the runs are up to date."""
    state = tcb.recovering
    if state == TIMEOUT:
        after_timeout(tcb, flight, ack)
    elif state != OPEN:
        in_recovery(tcb, flight, ack)
    elif flight.undo:
        undo_late(tcb, flight, ack)
    if tcb.recovering == OPEN or tcb.recovering == REDUCING:
        if flight.lost:
            if tcb.path is None or not probe_lost(tcb, flight, ack):
                enter(tcb, flight, ack)
        elif ack.acked:
            tcb.dup_acks = 0
    if flight.owns_window:
        tell_losses(tcb, flight)
    elif tcb.recovering == FAST or tcb.recovering == REDUCING:
        reduce_window(tcb, flight, ack)


def tell_losses(tcb: Tcb, flight: Flight) -> None:
    """Tells a congestion control that owns the window of each loss."""
    notes = flight.lost_notes
    congestion = tcb.congestion
    if not notes or congestion is None:
        return
    flight.lost_notes = []
    for start, length, in_flight, lost, app_limited in notes:
        congestion.on_lost(tcb, start, length, in_flight, lost, app_limited)


def in_recovery(tcb: Tcb, flight: Flight, ack: Ack) -> None:
    """FAST or REDUCING: is it over, was it needed?"""
    if tcb.recovering == FAST and undo_fast(tcb, flight, ack):
        return
    if seq_geq(tcb.snd_una, tcb.recover):
        leave(tcb, flight)
    elif ack.acked and not tcb.sack_ok and tcb.recovering == FAST:
        on_partial(tcb, flight, ack)


def enter(tcb: Tcb, flight: Flight, ack: Ack) -> None:
    """Begins fast recovery: something counts as lost."""
    tcb.context.stats.count("tcp_fast_retransmit")
    before = tcb.recovering
    arm(tcb, flight)
    flight.frto = NO_FRTO
    if before != REDUCING:
        begin_reduction(tcb, flight, ack, False)
    tcb.recovering = FAST
    tcb.recover = tcb.snd_nxt


def begin_reduction(tcb: Tcb, flight: Flight, ack: Ack, marked: bool) -> None:
    """Asks congestion control for ssthresh, and starts to bring cwnd down to it (RFC 9937)."""
    congestion = tcb.congestion
    if congestion is not None:
        if marked:
            congestion.on_mark(tcb, ack)
        else:
            congestion.on_loss(tcb, ack)
    flight.prr_delivered = 0
    flight.prr_out = 0
    outstanding = seq_diff(tcb.snd_nxt, tcb.snd_una)
    flight.recover_fs = outstanding - flight.sacked + ack.delivered
    if flight.recover_fs < 1:
        flight.recover_fs = 1
    flight.reduced = True
    tcb.ecn_reduced = True  # whatever it was that reduced the window (RFC 3168, 6.1.2)


def on_mark(tcb: Tcb, flight: Flight, ack: Ack) -> None:
    """The network has marked a packet (RFC 3168, 6.1.2): reduces cwnd, once for a window of data."""
    if tcb.recovering != OPEN:
        return
    begin_reduction(tcb, flight, ack, True)
    tcb.recovering = REDUCING
    tcb.recover = tcb.snd_nxt


def on_repaired(tcb: Tcb, flight: Flight, ack: Ack) -> None:
    """A tail loss probe has repaired a loss: the window comes down as for any other (RFC 8985, 7.4.2)."""
    tcb.context.stats.count("tcp_probe_recovery")
    if tcb.recovering == OPEN:
        begin_reduction(tcb, flight, ack, False)
        tcb.recovering = REDUCING
        tcb.recover = tcb.snd_nxt


def reduce_window(tcb: Tcb, flight: Flight, ack: Ack) -> None:
    """Proportional rate reduction (RFC 9937, 6.1)."""
    if ack.delivered == 0 and flight.prr_delivered:
        return
    flight.prr_delivered += ack.delivered
    in_flight = pipe(tcb)
    if in_flight > tcb.ssthresh:
        share = (flight.prr_delivered * tcb.ssthresh + flight.recover_fs - 1) // flight.recover_fs
        allowed = share - flight.prr_out
    else:
        allowed = flight.prr_delivered - flight.prr_out
        if allowed < ack.delivered:
            allowed = ack.delivered
        if ack.acked and ack.lost == 0:
            allowed += tcb.mss  # slow start part: SND.UNA moves, and nothing new is lost
        if allowed > tcb.ssthresh - in_flight:
            allowed = tcb.ssthresh - in_flight
    if allowed < 0:
        allowed = 0
    forced = flight.prr_out == 0 or (ack.acked != 0 and not tcb.sack_ok)
    if forced and tcb.recovering == FAST and allowed < tcb.mss:
        allowed = tcb.mss  # the fast retransmit, and without SACK one for each partial ACK (RFC 6582 3.2, step 5)
    tcb.cwnd = in_flight + allowed


def leave(tcb: Tcb, flight: Flight) -> None:
    """All that was outstanding when recovery or reduction began has arrived."""
    if not flight.owns_window and flight.reduced:
        tcb.cwnd = tcb.ssthresh
        if not tcb.sack_ok and tcb.recovering == FAST:
            outstanding = seq_diff(tcb.snd_nxt, tcb.snd_una)
            calm = (outstanding if outstanding > tcb.mss else tcb.mss) + tcb.mss
            if calm < tcb.cwnd:
                tcb.cwnd = calm  # RFC 6582 3.2, step 3: no burst
    if tcb.recovering == FAST:
        recovered(flight)
    end(tcb, flight)


def end(tcb: Tcb, flight: Flight) -> None:
    """Back to the open state."""
    tcb.recovering = OPEN
    tcb.dup_acks = 0
    flight.frto = NO_FRTO
    flight.reduced = False
    if tcb.congestion is not None:
        tcb.congestion.on_recovered(tcb)


def on_timeout(tcb: Tcb) -> None:
    """The retransmission timer fired (RFC 6298, 5.4; RFC 8985, 6.3)."""
    flight = tcb.flight
    if flight is None:
        return
    if flight.head_sacked():
        tcb.context.stats.count("tcp_sack_reneged")
        flight.renege()
    again = tcb.recovering in (FAST, TIMEOUT) and seq_gt(tcb.recover, tcb.snd_una)
    flight.frto = NO_FRTO
    if not again:
        arm(tcb, flight)
        if flight.undo and tcb.context.settings.frto:
            flight.frto = RESENT
    if tcb.congestion is not None:
        tcb.congestion.on_timeout(tcb, not again)  # RFC 5681 3.1: ssthresh not again for the same data
    if tcb.sack_ok and flight.rack_sent_at:
        mark_on_timeout(tcb, flight)
    else:
        flight.mark_all(None)
    tcb.recovering = TIMEOUT
    tcb.recover = tcb.snd_nxt
    tcb.dup_acks = 0
    flight.probed = False
    tcb.ecn_reduced = True
    if flight.owns_window:
        tell_losses(tcb, flight)
    tcb.cwnd = pipe(tcb) + tcb.mss


def after_timeout(tcb: Tcb, flight: Flight, ack: Ack) -> None:
    """TIMEOUT: slow start until all that was outstanding has arrived; or was the timer wrong?"""
    if undo_timeout(tcb, flight, ack):
        return
    if seq_geq(tcb.snd_una, tcb.recover):
        recovered(flight)
        end(tcb, flight)


def send_all_again(tcb: Tcb) -> None:
    """What is outstanding went in segments that the path does not carry: it is sent again, which is no congestion."""
    flight = tcb.flight
    if flight is None or tcb.snd_una == tcb.snd_nxt:
        return
    flight.mark_all(None)
    if flight.owns_window:
        flight.lost_notes = []
    flight.undo = False
    flight.frto = NO_FRTO
    if tcb.recovering != FAST and tcb.recovering != TIMEOUT:
        tcb.recovering = TIMEOUT
    tcb.recover = tcb.snd_nxt
