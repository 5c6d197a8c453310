"""Urgent data (RFC 9293 3.8.5, RFC 6093): read in line; the pointer says up to where it reaches.

The urgent pointer points behind the last urgent octet (MUST-62). Nothing is taken out of the stream on either side.
"""

from __future__ import annotations

from uinet.events import EV_URGENT
from uinet.seq import seq_diff, seq_geq, seq_gt, seq_leq
from uinet.tcp.notify import notify
from uinet.tcp.state import ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2
from uinet.tcp.tcb import Tcb
from uinet.units import MASK32
from uinet.wire.segment import Segment


def sixth_check_urg(tcb: Tcb, seg: Segment) -> None:
    """Takes the urgent pointer (RFC 9293 3.10.7.4, sixth step). The user is told when it advances (MUST-32)."""
    state = tcb.state
    if state != ESTABLISHED and state != FIN_WAIT_1 and state != FIN_WAIT_2:
        return
    pointer = (seg.seq + seg.urgent) & MASK32
    if urgent_left(tcb) and seq_leq(pointer, tcb.rcv_up):
        return
    if not seq_gt(pointer, next_to_read(tcb)):
        return
    tcb.rcv_up = pointer
    tcb.urgent_in = True
    notify(tcb, EV_URGENT)


def next_to_read(tcb: Tcb) -> int:
    """The sequence number of the octet that the user reads next."""
    unread = tcb.rcv_buf.length if tcb.rcv_buf is not None else 0
    if tcb.fin_received:
        unread += 1
    return (tcb.rcv_nxt - unread) & MASK32


def urgent_left(tcb: Tcb) -> int:
    """Bytes from the next one to read to the end of the urgent data, arrived or not (MUST-33); 0: there is none."""
    if not tcb.urgent_in:
        return 0
    left = seq_diff(tcb.rcv_up, next_to_read(tcb))
    if tcb.fin_received:
        unread = tcb.rcv_buf.length if tcb.rcv_buf is not None else 0
        if left > unread:
            left = unread  # the pointer was beyond the end
    if left <= 0:
        tcb.urgent_in = False
        return 0
    return left


def mark_urgent(tcb: Tcb) -> None:
    """What is queued for sending is urgent, up to its last octet."""
    held = tcb.snd_buf.length if tcb.snd_buf is not None else 0
    tcb.snd_up = (tcb.snd_una + held) & MASK32
    tcb.urgent_out = True


def urgent_pointer(tcb: Tcb, seq: int) -> int:
    """The urgent pointer of a segment that begins at `seq`; 0: it is not urgent. What is acknowledged no longer is."""
    if seq_geq(tcb.snd_una, tcb.snd_up):
        tcb.urgent_out = False
        return 0
    ahead = seq_diff(tcb.snd_up, seq)
    if ahead <= 0:
        return 0
    return ahead if ahead < 0xFFFF else 0xFFFF
