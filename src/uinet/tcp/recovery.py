"""Loss recovery: fast retransmit and recovery with SACK (RFC 6675) and without (NewReno, RFC 6582), and the slow start
after a timeout (RFC 5681).

One model serves all three. Of [SND.UNA, SND.NXT), what is SACKed has arrived. Of the rest, what is before `lost_edge`
counts as lost; of that, what is before `high_rxt` has been sent again. What is then believed to be in the network is
the *pipe* (RFC 6675, 4), and sending is allowed while it is below cwnd.
"""

from __future__ import annotations

from uinet.seq import seq_diff, seq_gt, seq_lt
from uinet.tcp.sack import DUP_THRESH
from uinet.tcp.tcb import Tcb
from uinet.units import MASK32

FAST = 1
TIMEOUT = 2


def pipe(tcb: Tcb) -> int:
    """Bytes believed to be in the network."""
    outstanding = seq_diff(tcb.snd_nxt, tcb.snd_una)
    board = tcb.scoreboard
    if not tcb.recovering:
        return outstanding - (board.sacked if board is not None else 0)
    rxt = tcb.high_rxt if seq_lt(tcb.high_rxt, tcb.lost_edge) else tcb.lost_edge
    if board is not None:
        total = board.unsacked(tcb.lost_edge, tcb.snd_nxt)
        if seq_gt(rxt, tcb.snd_una):
            total += board.unsacked(tcb.snd_una, rxt)
        return total
    total = seq_diff(tcb.snd_nxt, tcb.lost_edge)
    if seq_gt(rxt, tcb.snd_una):
        total += seq_diff(rxt, tcb.snd_una)
    # each duplicate ACK tells of a segment that has left the network; forged ones of no more than there were (RFC 5681,
    # 3.2)
    gone = tcb.dup_acks * tcb.mss
    most = seq_diff(tcb.recover, tcb.snd_una)
    total -= gone if gone < most else most
    return total if total > 0 else 0


def window_room(tcb: Tcb) -> int:
    """Bytes that the congestion window lets out now; may be negative."""
    room = tcb.cwnd - pipe(tcb)
    if tcb.dup_acks and not tcb.recovering and tcb.scoreboard is None:
        room += (tcb.dup_acks if tcb.dup_acks < 2 else 2) * tcb.mss  # limited transmit (RFC 3042)
    return room


def next_lost(tcb: Tcb) -> int:
    """The first lost octet that was not sent again yet; SND.NXT or LOST_EDGE or beyond if there is none."""
    seq = tcb.high_rxt
    if seq_lt(seq, tcb.snd_una):
        seq = tcb.snd_una
    if tcb.scoreboard is not None:
        seq = tcb.scoreboard.next_hole(seq)
    return seq


def hole_end(tcb: Tcb, seq: int) -> int:
    """Where the lost stretch at `seq` ends."""
    if tcb.scoreboard is not None:
        return tcb.scoreboard.hole_end(seq, tcb.lost_edge)
    return tcb.lost_edge


def on_duplicate(tcb: Tcb) -> None:
    """A duplicate ACK came, or one with news in its SACK blocks (RFC 5681 3.2, RFC 6675 5)."""
    tcb.dup_acks += 1
    tcb.context.stats.count("tcp_dup_ack_in")
    if tcb.recovering == TIMEOUT:
        return
    board = tcb.scoreboard
    edge = board.lost_edge(tcb.snd_una, tcb.mss) if board is not None else tcb.snd_una
    if tcb.recovering == FAST:
        if seq_gt(edge, tcb.lost_edge):
            tcb.lost_edge = edge
        return
    if tcb.dup_acks >= DUP_THRESH or seq_gt(edge, tcb.snd_una):
        enter(tcb, edge)


def enter(tcb: Tcb, edge: int) -> None:
    """Begins fast recovery; what is not SACKed before `edge`, and at least the first segment, is lost."""
    tcb.context.stats.count("tcp_fast_retransmit")
    flight = seq_diff(tcb.snd_nxt, tcb.snd_una)
    if tcb.congestion is not None:
        tcb.congestion.on_loss(tcb, flight)
    tcb.recovering = FAST
    tcb.recover = tcb.snd_nxt
    tcb.high_rxt = tcb.snd_una
    tcb.lost_edge = edge
    first_is_lost(tcb)


def first_is_lost(tcb: Tcb) -> None:
    """Counts at least the first outstanding segment as lost."""
    first = (tcb.snd_una + tcb.mss) & MASK32
    if seq_gt(first, tcb.snd_nxt):
        first = tcb.snd_nxt
    if seq_lt(tcb.lost_edge, first):
        tcb.lost_edge = first


def on_advance(tcb: Tcb, acked: int) -> None:
    """SND.UNA has moved by `acked` during recovery (RFC 6675 5, RFC 6582 3.2)."""
    if not seq_lt(tcb.snd_una, tcb.recover):
        leave(tcb)
        return
    if tcb.recovering == TIMEOUT:
        return
    board = tcb.scoreboard
    if board is not None:
        edge = board.lost_edge(tcb.snd_una, tcb.mss)
        if seq_gt(edge, tcb.lost_edge):
            tcb.lost_edge = edge
    else:
        # a partial ACK: the next segment is lost as well
        tcb.high_rxt = tcb.snd_una
        gone = acked // tcb.mss
        tcb.dup_acks = tcb.dup_acks - gone if tcb.dup_acks > gone else 0
    if seq_lt(tcb.high_rxt, tcb.snd_una):
        tcb.high_rxt = tcb.snd_una
    if board is None or board.sacked == 0:
        first_is_lost(tcb)


def leave(tcb: Tcb) -> None:
    """All that was outstanding when recovery began has arrived."""
    if tcb.recovering == FAST:
        flight = seq_diff(tcb.snd_nxt, tcb.snd_una)
        calm = (flight if flight > tcb.mss else tcb.mss) + tcb.mss  # RFC 6582 3.2, step 3: no burst
        tcb.cwnd = tcb.ssthresh if tcb.ssthresh < calm else calm
    tcb.recovering = 0
    tcb.dup_acks = 0
    tcb.high_rxt = tcb.snd_una
    tcb.lost_edge = tcb.snd_una


def on_timeout(tcb: Tcb) -> None:
    """The retransmission timer fired: everything outstanding counts as lost, SACKs may have been withdrawn."""
    flight = seq_diff(tcb.snd_nxt, tcb.snd_una)
    if tcb.congestion is not None:
        tcb.congestion.on_timeout(tcb, flight)
    tcb.recovering = TIMEOUT
    tcb.recover = tcb.snd_nxt
    tcb.lost_edge = tcb.snd_nxt
    tcb.high_rxt = tcb.snd_una
    tcb.dup_acks = 0
    tcb.timing = False
    if tcb.scoreboard is not None:
        tcb.scoreboard.clear()
