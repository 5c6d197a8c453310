"""Bytes that had passed a bridge before the connection was taken over there, behind a gap: the peer may acknowledge
them as soon as the gap is closed, before they are sent from here, or are here at all."""

from __future__ import annotations

from uinet.seq import seq_diff, seq_gt, seq_leq
from uinet.tcp.tcb import Tcb
from uinet.tcp.window import begin_flight
from uinet.units import MASK32
from uinet.wire.segment import Segment


def passed_on(tcb: Tcb, seg: Segment) -> bool:
    """An ACK beyond SND.NXT: whether it is for what had passed. It counts as far as that is here by now, and SND.NXT
    moves up to it; of the rest, `passed_ack` remembers.
    """
    extras = tcb.more()
    if seq_gt(seg.ack, extras.passed_end):
        return False
    if seq_gt(seg.ack, extras.passed_ack):
        extras.passed_ack = seg.ack
    count_as_sent(tcb, seg.ack)
    seg.ack = tcb.snd_nxt
    return True


def count_as_sent(tcb: Tcb, ack: int) -> bool:
    """What is here to be sent, up to `ack`, counts as sent: the peer has it. Whether there was any."""
    held = (tcb.snd_una + (tcb.snd_buf.length if tcb.snd_buf is not None else 0)) & MASK32
    end = ack if seq_leq(ack, held) else held
    if tcb.closing and not tcb.fin_sent and seq_gt(ack, held):
        end = (held + 1) & MASK32
        tcb.fin_sent = True
    if seq_leq(end, tcb.snd_nxt):
        return False
    flight = tcb.flight
    if flight is None:
        flight = begin_flight(tcb)
    flight.add(tcb.snd_nxt, end, tcb.context.now, seq_diff(end, tcb.snd_una))
    tcb.snd_nxt = end
    return True
