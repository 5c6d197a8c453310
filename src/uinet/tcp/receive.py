"""Data in: from the segment to the receive buffer (RFC 9293 3.10.7.4, seventh step), and when to acknowledge it."""

from __future__ import annotations

from uinet.events import EV_EOF, EV_READABLE
from uinet.seq import seq_diff, seq_gt, seq_lt
from uinet.tcp.buffer import ByteQueue
from uinet.tcp.layout import mss_to_offer
from uinet.tcp.notify import notify
from uinet.tcp.reassembly import Reassembly
from uinet.tcp.send import send_ack
from uinet.tcp.state import (
    CLOSE_WAIT,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    SYN_RECEIVED,
    TIME_WAIT,
    change,
)
from uinet.tcp.tcb import Tcb
from uinet.tcp.telling import tells_of_twice
from uinet.units import MASK32

ROOM_OF_ISLAND = 2048  # bytes of receive buffer for each piece of out-of-order data: every other segment may be lost
FIN_HASTE = 16  # a part like this of the delay of ACKs


def take_data(tcb: Tcb, seq: int, data: bytes, offset: int, length: int) -> None:
    """Takes in `length` bytes (> 0) of `data` at `offset`, which begin at `seq`; the window check has passed.

    What is left of the window is kept; bytes before RCV.NXT are skipped, bytes beyond the window cut.
    """
    skip = seq_diff(tcb.rcv_nxt, seq)
    if skip > 0:
        came_twice(tcb, seq, length if skip >= length else skip)
        if skip >= length:
            tcb.context.stats.count("tcp_duplicate")
            tcb.ack_now = True
            return
        seq = tcb.rcv_nxt
        offset += skip
        length -= skip
    room = seq_diff(tcb.rcv_adv, seq)
    if length > room:
        length = room
        tcb.ack_now = True
        if length <= 0:
            return
    if seq != tcb.rcv_nxt:
        keep_out_of_order(tcb, seq, data, offset, length)
        return
    if tcb.rcv_buf is None:
        tcb.rcv_buf = ByteQueue()
    elif no_room(tcb):
        return
    before = tcb.rcv_buf.length
    end = (seq + length) & MASK32
    if tcb.reassembly is not None:
        gap = tcb.reassembly.gap_after(seq)
        if gap < length:
            if not tells_of_twice(tcb):  # the first of a segment's duplicates is told
                came_twice(tcb, (seq + gap) & MASK32, tcb.reassembly.overlap(end))
            length = gap  # what is held already came first, and stays
    tcb.rcv_buf.append(data, offset, length)
    tcb.rcv_nxt = (seq + length) & MASK32
    if tcb.reassembly is not None and tcb.reassembly.length:
        fill_hole(tcb)
    else:
        acknowledge_later(tcb, length)
    tcb.context.received_bytes += tcb.rcv_buf.length - before
    tcb.bytes_in += tcb.rcv_buf.length - before
    notify(tcb, EV_READABLE)
    if seq_gt(end, tcb.rcv_nxt):
        length = seq_diff(end, tcb.rcv_nxt)  # the rest, beyond what was held
        take_data(tcb, tcb.rcv_nxt, data, offset + seq_diff(tcb.rcv_nxt, seq), length)
    elif tcb.fin_held:
        fin_reached(tcb)


def no_room(tcb: Tcb) -> bool:
    """Whether all connections' memory is taken: what comes is dropped, and comes again, though it is in the window, as
    a window that was offered is not taken back. (Who holds nothing may have a segment: everybody goes on.)"""
    context = tcb.context
    if context.received_bytes < context.settings.receive_memory:
        return False
    context.stats.count("tcp_memory_full")
    tcb.ack_now = True
    return True


def came_twice(tcb: Tcb, seq: int, length: int) -> None:
    """`length` octets at `seq` were here already: the next ACK tells (RFC 2883, 4)."""
    if tcb.sack_ok and tcb.context.settings.dsack:
        tcb.ack_now = True
        extras = tcb.more()
        extras.dsack_left = seq
        extras.dsack_right = (seq + length) & MASK32


def fin_reached(tcb: Tcb) -> None:
    """RCV.NXT has moved: takes the FIN that waits, if all before it is here."""
    if tcb.rcv_nxt == tcb.fin_at:
        tcb.fin_held = False
        take_fin(tcb, tcb.fin_at)
    elif seq_gt(tcb.rcv_nxt, tcb.fin_at):
        tcb.fin_held = False  # the peer has sent data beyond it: it was none of its


def acknowledge_later(tcb: Tcb, length: int) -> None:
    """RFC 9293 3.8.6.3: at least every second full-sized segment is acknowledged, the rest within the delay.

    A device may have coalesced several segments into one: none of them was larger than what we offered.
    """
    if length > tcb.rcv_mss:
        most = mss_to_offer(tcb)
        tcb.rcv_mss = length if length < most else most
    if tcb.quick_ack or seq_diff(tcb.rcv_nxt, tcb.last_ack_sent) >= 2 * tcb.rcv_mss:
        tcb.ack_now = True
    elif tcb.delack_at == 0:
        tcb.delack_at = tcb.context.now + tcb.context.settings.delayed_ack


def fill_hole(tcb: Tcb) -> None:
    """A hole was filled, at least in part: moves what follows it, and acknowledges at once (RFC 5681, 4.2)."""
    assert tcb.reassembly is not None and tcb.rcv_buf is not None
    held = tcb.reassembly.charge()
    tcb.rcv_nxt = tcb.reassembly.deliver(tcb.rcv_nxt, tcb.rcv_buf)
    tcb.context.received_bytes -= held - tcb.reassembly.charge()
    if tcb.reassembly.length == 0:
        tcb.reassembly = None
    tcb.ack_now = True


def keep_out_of_order(tcb: Tcb, seq: int, data: bytes, offset: int, length: int) -> None:
    """Keeps data beyond a hole, and sends a duplicate ACK at once, with SACK if agreed (RFC 5681, 4.2)."""
    context = tcb.context
    context.stats.count("tcp_out_of_order")
    if tcb.reassembly is None:
        tcb.reassembly = Reassembly(context.settings.out_of_order_islands)
    if tcb.reassembly.limit < tcb.rcv_limit // ROOM_OF_ISLAND:
        tcb.reassembly.limit = tcb.rcv_limit // ROOM_OF_ISLAND
    taken = -1
    if context.received_bytes < context.settings.receive_memory:
        before = tcb.reassembly.charge()
        taken = tcb.reassembly.add(seq, data, offset, length)
        context.received_bytes += tcb.reassembly.charge() - before
    if taken < 0:
        context.stats.count("tcp_ooo_full")
    elif tcb.reassembly.twice_length:
        came_twice(tcb, tcb.reassembly.twice, tcb.reassembly.twice_length)
    send_ack(tcb)


def take_fin(tcb: Tcb, fin_seq: int) -> None:
    """The peer's FIN at `fin_seq` (RFC 9293 3.10.7.4, eighth step); waits until all before it is here."""
    if tcb.fin_received:
        tcb.ack_now = True
        return
    if fin_seq != tcb.rcv_nxt:
        # a hole before it: kept, if it lies in the window
        tcb.ack_now = True
        if seq_gt(fin_seq, tcb.rcv_nxt) and seq_lt(fin_seq, tcb.rcv_adv):
            tcb.fin_held = True
            tcb.fin_at = fin_seq
        return
    tcb.fin_received = True
    tcb.rcv_nxt = (tcb.rcv_nxt + 1) & MASK32
    if seq_lt(tcb.rcv_adv, tcb.rcv_nxt):
        tcb.rcv_adv = tcb.rcv_nxt
    state = tcb.state
    if state == ESTABLISHED and tcb.bytes_out and tcb.last_ack_sent == fin_seq and not tcb.quick_ack:
        # who has asked, and been answered, hangs up: our own FIN is likely to follow soon, and to carry the ACK; but
        # the peer waits for nothing else, and is let go after a moment
        if tcb.delack_at == 0:
            tcb.delack_at = tcb.context.now + tcb.context.settings.delayed_ack // FIN_HASTE
    else:
        tcb.ack_now = True
    if state in (SYN_RECEIVED, ESTABLISHED):
        change(tcb, CLOSE_WAIT)
    elif state == FIN_WAIT_1:
        # our FIN is not acknowledged, or the state would be FIN-WAIT-2 by now
        change(tcb, CLOSING)
    elif state == FIN_WAIT_2:
        change(tcb, TIME_WAIT)
    notify(tcb, EV_READABLE | EV_EOF)


def window_left(tcb: Tcb) -> int:
    """The receive window as the peer knows it: bytes from RCV.NXT to its right edge."""
    if seq_gt(tcb.rcv_adv, tcb.rcv_nxt):
        return seq_diff(tcb.rcv_adv, tcb.rcv_nxt)
    return 0
