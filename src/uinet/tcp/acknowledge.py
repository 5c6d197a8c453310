"""What the ACK field and the SACK blocks of a segment do (RFC 9293 3.10.7.4, fifth step, for an acceptable ACK).

In this order: the scoreboard and SND.UNA, round trips, what is lost, the state of recovery, the congestion window,
timers.
"""

from __future__ import annotations

from uinet.events import EV_WRITABLE
from uinet.ip.neighbors import STATIC
from uinet.seq import seq_diff, seq_geq, seq_gt, seq_leq, seq_lt
from uinet.tcp.autotune import may_write
from uinet.tcp.constants import OPEN, TIMEOUT
from uinet.tcp.discovery import progressed
from uinet.tcp.feedback import decode
from uinet.tcp.flight import Flight
from uinet.tcp.notify import notify
from uinet.tcp.rack import (
    detect_losses,
    end_dsack_round,
    note_dsack,
    probe_acknowledged,
    schedule_probe,
)
from uinet.tcp.recovery import on_duplicate, on_mark, on_repaired, pipe, step
from uinet.tcp.rtt import echo_age, from_timestamp, sample
from uinet.tcp.sent import Ack
from uinet.tcp.tcb import Tcb
from uinet.tcp.timers import restart_retransmit, stop_persist
from uinet.tcp.undo import note_duplicate
from uinet.tcp.window import cwnd_was_full, set_pacing
from uinet.units import MILLISECOND
from uinet.wire.constants import ECE, SYN
from uinet.wire.segment import Segment

CONFIRM_BEFORE = 10 * 1_000_000_000  # ns before its time is up a neighbour is confirmed anew (RFC 4861, 7.3.1)
RENEGE_PATIENCE = 10 * MILLISECOND  # ns, at least, before a peer that seems to have reneged is taken at its word


def acknowledge(tcb: Tcb, seg: Segment, duplicate: bool) -> None:
    """Takes SEG.ACK, which is between SND.UNA and SND.NXT. `duplicate`: a bare ACK that says nothing new, while data is
    outstanding (RFC 5681, 2)."""
    context = tcb.context
    flight = tcb.flight
    acked = seq_diff(seg.ack, tcb.snd_una)
    if flight is None:
        return
    if acked < 0:
        acked = 0  # an ACK from before, whose SACK blocks may still be news
    ack = context.ack
    ack.begin(acked, pipe(tcb))
    flight.fack_before = flight.fack
    flight.fack_before_known = flight.fack_known
    ack.recovering = tcb.recovering == TIMEOUT
    ack.recover = tcb.recover
    if tcb.ts_ok and seg.has_timestamps:
        ack.tsecr_age = echo_age(tcb, seg.tsecr)
    if seg.sack_count and tcb.sack_ok:
        take_sacks(tcb, flight, seg, ack)
    if acked:
        advance_una(tcb, flight, seg, ack)
    elif duplicate and not tcb.sack_ok:
        on_duplicate(tcb, flight, ack)
    elif ack.delivered:
        context.stats.count("tcp_dup_ack_in")
    if tcb.ecn_ok and not seg.flags & SYN:
        if tcb.accecn is None:
            ack.ece = seg.flags & ECE != 0
        elif acked or (ack.delivered and seg.ack == tcb.snd_una):  # one that was overtaken says nothing (RFC 9768, A.1)
            decode(tcb, tcb.accecn, seg, ack)
    if acked or ack.delivered or ack.dsack or tcb.recovering or ack.ece:
        digest(tcb, flight, seg, ack, duplicate)


def digest(tcb: Tcb, flight: Flight, seg: Segment, ack: Ack, duplicate: bool) -> None:
    """An ACK with news: round trip, losses, recovery, congestion window and timers."""
    now = tcb.context.now
    if ack.first_rtt >= 0:
        flight.note_rtt(ack.rtt, now)
        if ack.acked:
            sample(tcb, ack.first_rtt, ack.acked)
    elif ack.acked and ack.tsecr_age >= 0:
        from_timestamp(tcb, seg.tsecr, ack.acked)
    if tcb.sack_ok:
        if ack.acked:
            end_dsack_round(tcb, flight)
        detect_losses(tcb, flight, ack)
    flight.finish(ack, now)
    if ack.ece:
        on_mark(tcb, flight, ack)
    if flight.probed and probe_acknowledged(tcb, flight, ack, duplicate):
        on_repaired(tcb, flight, ack)
    before = tcb.recovering
    step(tcb, flight, ack)
    control(tcb, flight, ack, before)
    if ack.acked:
        restart_retransmit(tcb)
        if flight.ranges and flight.head_sacked():
            hurry_timeout(tcb)
        schedule_probe(tcb, flight)


def control(tcb: Tcb, flight: Flight, ack: Ack, before: int) -> None:
    """Lets congestion control see the ACK, which came in the state of recovery `before`."""
    congestion = tcb.congestion
    if congestion is None:
        return
    wanted = flight.owns_window
    if not ack.acked and ack.delivered and tcb.recovering == OPEN and tcb.cwnd < tcb.ssthresh:
        wanted = True  # out of order: the window does not grow, but HyStart++ sees the delay
    elif ack.acked and not wanted:
        wanted = tcb.recovering == TIMEOUT or (tcb.recovering == before == OPEN and cwnd_was_full(tcb, flight))
    if wanted:
        congestion.on_ack(tcb, ack)
    if tcb.pacing_rate or tcb.context.settings.pacing:
        set_pacing(tcb, flight)


def take_sacks(tcb: Tcb, flight: Flight, seg: Segment, ack: Ack) -> None:
    """Takes in the SACK blocks; the first may be a D-SACK (RFC 2883, 4). Blocks that can't be true are ignored."""
    una = tcb.snd_una
    if seq_gt(seg.ack, una):
        una = seg.ack
    now = tcb.context.now
    for index in range(seg.sack_count):
        left = seg.sacks[2 * index]
        right = seg.sacks[2 * index + 1]
        if not seq_lt(left, right) or not seq_leq(right, tcb.snd_nxt):
            continue
        if index == 0 and is_dsack(tcb, seg, left, right):
            take_dsack(tcb, flight, left, right, ack)
        elif seq_leq(una, left):
            flight.sack(left, right, now, ack)


def is_dsack(tcb: Tcb, seg: Segment, left: int, right: int) -> bool:
    """Whether the first block reports a duplicate: it is covered by the ACK, or by the second block (RFC 2883, 4)."""
    if seq_leq(right, seg.ack):
        return seq_diff(tcb.snd_una, left) <= tcb.max_snd_wnd  # of something sent not long ago
    if seg.sack_count < 2:
        return False
    return seq_leq(seg.sacks[2], left) and seq_leq(right, seg.sacks[3]) and seq_lt(seg.ack, left)


def take_dsack(tcb: Tcb, flight: Flight, left: int, right: int, ack: Ack) -> None:
    """[left, right) has reached the peer twice: something was sent again without need."""
    tcb.context.stats.count("tcp_dsack_in")
    ack.dsack = True
    note_dsack(tcb, flight)
    note_duplicate(flight, seq_diff(right, left))


def advance_una(tcb: Tcb, flight: Flight, seg: Segment, ack: Ack) -> None:
    """New data is acknowledged: moves SND.UNA, frees the send buffer, and tells the user."""
    context = tcb.context
    tcb.snd_una = seg.ack
    flight.acknowledge(seg.ack, context.now, ack)
    if flight.full == 1 and seq_geq(seg.ack, flight.full_end):
        flight.full = 2
    if tcb.extras is not None and tcb.extras.path is not None:
        progressed(tcb)
    if not tcb.sack_ok and tcb.dup_acks:
        eat_duplicates(tcb, flight, ack)
    octets = ack.acked
    if tcb.fin_sent and seg.ack == tcb.snd_nxt:
        tcb.fin_acked = True
        octets -= 1
    if tcb.snd_buf is not None:
        free_acknowledged(tcb, octets)
    if tcb.persisting:
        stop_persist(tcb)
    if tcb.orphan and tcb.close_at and not tcb.fin_acked and not tcb.lingering:
        tcb.close_at = context.now + context.settings.orphan_timeout
    hop = tcb.next_hop
    if hop is not None and hop.state != STATIC and hop.reachable_until < context.now + CONFIRM_BEFORE:
        context.network.neighbors.confirm(hop, context.now)


def eat_duplicates(tcb: Tcb, flight: Flight, ack: Ack) -> None:
    """Without SACK: what duplicate ACKs have told of is not delivered again when it is acknowledged."""
    told = tcb.dup_acks * tcb.mss
    most = ack.acked - tcb.mss
    if told > most:
        told = most
    if told > 0:
        if told > ack.delivered:
            told = ack.delivered
        flight.delivered -= told
        ack.delivered -= told


def free_acknowledged(tcb: Tcb, octets: int) -> None:
    """Frees acknowledged bytes of the send buffer; who waits for room hears of it when that is worth it."""
    queue = tcb.snd_buf
    if queue is None:
        return
    if octets > queue.length:
        octets = queue.length
    queue.drop(octets)
    tcb.context.queued_bytes -= octets
    if tcb.wants_write and may_write(tcb):
        tcb.wants_write = False
        notify(tcb, EV_WRITABLE)
    if queue.length == 0:
        tcb.snd_buf = None


def hurry_timeout(tcb: Tcb) -> None:
    """What comes next is SACKed, and yet not acknowledged: the peer has reneged, or this ACK was overtaken. If nothing
    says otherwise soon, the timeout takes the peer at its word (RFC 2018, 8)."""
    wait = tcb.srtt // 2
    if wait < RENEGE_PATIENCE:
        wait = RENEGE_PATIENCE
    at = tcb.context.now + wait
    if tcb.rexmt_at and at < tcb.rexmt_at:
        tcb.rexmt_at = at
