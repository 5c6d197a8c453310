"""Recoveries that were not needed: found out and undone.

Read first: RFC 3522 and RFC 4015 (Eifel, by timestamps), RFC 3708 (D-SACK), RFC 5682 (F-RTO, by what arrives after a
timeout). A segment that was late, not lost, makes the sender slow for nothing: when that turns out, cwnd and ssthresh
are what they were, and the reordering window knows better.
"""

from __future__ import annotations

from uinet.seq import seq_diff, seq_gt, seq_leq, seq_lt
from uinet.tcp.constants import NO_FRTO, OPEN, PROBING, RESENT
from uinet.tcp.flight import Flight
from uinet.tcp.sent import Ack
from uinet.tcp.tcb import Tcb
from uinet.units import MILLISECOND


def arm(tcb: Tcb, flight: Flight) -> None:
    """A recovery begins: remembers what it may have to restore. What a congestion mark has reduced stays so."""
    flight.undo = tcb.recovering == OPEN
    flight.undo_retrans = 0
    flight.again_at = 0
    if flight.undo:
        flight.prior_cwnd = tcb.cwnd
        flight.prior_ssthresh = tcb.ssthresh


def note_again(tcb: Tcb, flight: Flight, seq: int, length: int) -> None:
    """`length` octets from `seq` on were sent again."""
    flight.undo_retrans += length
    if flight.again_at == 0:
        flight.again_seq = seq
        flight.again_at = flight.ticked_at if flight.slow_clock else tcb.context.now


def note_duplicate(flight: Flight, length: int) -> None:
    """A D-SACK tells of `length` octets that came twice."""
    if flight.undo and flight.undo_retrans > 0:
        flight.undo_retrans -= length
        if flight.undo_retrans < 0:
            flight.undo_retrans = 0


def echoed_before(tcb: Tcb, flight: Flight, ack: Ack) -> bool:
    """Eifel: the ACK echoes a timestamp from before the first retransmission, so the original has arrived (RFC 3522,
    3.2, step 6). Timestamps are compared as they were sent, in whole milliseconds: what was sent in the same one as the
    retransmission says nothing. Nor does an ACK that ends before it: what an earlier recovery has sent again may still
    be on its way."""
    if flight.again_at == 0 or ack.tsecr_age < 0 or ack.acked == 0 or seq_leq(tcb.snd_una, flight.again_seq):
        return False
    return (tcb.context.now - ack.tsecr_age) // MILLISECOND < flight.again_at // MILLISECOND


def all_came_twice(flight: Flight) -> bool:
    """D-SACKs have told of all that was sent again (RFC 3708)."""
    return flight.again_at != 0 and flight.undo_retrans == 0


def undo_fast(tcb: Tcb, flight: Flight, ack: Ack) -> bool:
    """Whether fast recovery was unneeded; it is undone then. Where one segment was late and others were lost, what was
    sent again of these is still on its way, and the recovery stands."""
    late = flight.again_out == 0 and echoed_before(tcb, flight, ack)
    if not flight.undo or not (late or (ack.dsack and all_came_twice(flight))):
        return False
    restore(tcb, flight)
    return True


def undo_late(tcb: Tcb, flight: Flight, ack: Ack) -> None:
    """After a recovery: D-SACKs may still tell that it was unneeded."""
    if ack.dsack and all_came_twice(flight):
        restore(tcb, flight)
    elif ack.acked and seq_gt(tcb.snd_una, tcb.recover) and seq_diff(tcb.snd_una, tcb.recover) > tcb.cwnd:
        flight.undo = False  # a window later they would have come


def undo_timeout(tcb: Tcb, flight: Flight, ack: Ack) -> bool:
    """Whether the timeout was spurious; it is undone then."""
    if flight.undo and (echoed_before(tcb, flight, ack) or (ack.dsack and all_came_twice(flight))):
        restore(tcb, flight)
        return True
    if flight.frto != NO_FRTO:
        return by_frto(tcb, flight, ack)
    return False


def by_frto(tcb: Tcb, flight: Flight, ack: Ack) -> bool:
    """F-RTO (RFC 5682, 2.1 and 3.1): whether what arrives after the timeout is what was sent before it."""
    if ack.original and flight.undo and (tcb.sack_ok or flight.frto == PROBING):
        restore(tcb, flight)  # step 3b
        return True
    step = flight.frto
    flight.frto = NO_FRTO
    if step == RESENT and ack.acked and seq_lt(tcb.snd_una, tcb.recover) and has_new(tcb):
        tcb.recover = tcb.snd_nxt
        flight.frto = PROBING  # step 2b: new data goes out before any other retransmission
    elif step == PROBING and ack.delivered == 0:
        flight.frto = PROBING
    return False


def has_new(tcb: Tcb) -> bool:
    """Whether there is data that was never sent, and window for it."""
    outstanding = seq_diff(tcb.snd_nxt, tcb.snd_una)
    held = tcb.snd_buf.length if tcb.snd_buf is not None else 0
    return held >= outstanding + tcb.mss and tcb.snd_wnd >= outstanding + tcb.mss


def restore(tcb: Tcb, flight: Flight) -> None:
    """Nothing was lost: windows and state are what they were (RFC 4015, 3.2)."""
    tcb.context.stats.count("tcp_spurious_recovery")
    flight.unmark()
    if tcb.cwnd < flight.prior_cwnd:
        tcb.cwnd = flight.prior_cwnd
    if tcb.ssthresh < flight.prior_ssthresh:
        tcb.ssthresh = flight.prior_ssthresh
    flight.reordered = True
    flight.undo = False
    flight.frto = NO_FRTO
    flight.reduced = False
    tcb.recovering = OPEN
    tcb.dup_acks = 0
    if tcb.congestion is not None:
        tcb.congestion.on_undo(tcb)
