"""What every segment tells of our receiving side: the window, what came out of order or twice, and the time.

RFC 9293, 3.8.6.2.2 (the window, and when to tell it), RFC 2018 and 2883 (SACK), RFC 7323 (timestamps).
"""

from __future__ import annotations

from uinet.seq import seq_diff, seq_gt
from uinet.tcp.layout import mss_to_offer
from uinet.tcp.tcb import Tcb
from uinet.units import MASK32
from uinet.wire.kernels import store_u8, store_u16, store_u32

TS_TICK = 1_000_000  # ns: the timestamp clock ticks every millisecond (RFC 7323, 5.4)


def timestamp_now(tcb: Tcb) -> int:
    """TSval for now. The clock ticks every millisecond, and slowly where the network changes the order of segments: a
    retransmission that moves SND.UNA takes the peer's TS.Recent with it, and its PAWS drops every older segment that is
    still on its way (docs/decisions/0022)."""
    now = tcb.context.now
    flight = tcb.flight
    if flight is not None and flight.slow_clock:
        now = flight.tick(now)
    return (now // TS_TICK + tcb.ts_offset) & MASK32


def tells_of_twice(tcb: Tcb) -> bool:
    """Whether the next ACK has a duplicate to tell of."""
    return tcb.extras is not None and tcb.extras.dsack_left != tcb.extras.dsack_right


def sack_length(tcb: Tcb) -> int:
    """Bytes of SACK option that go into the next segment."""
    count = 0
    if tcb.reassembly is not None:
        count = len(tcb.reassembly.recent)
    if tells_of_twice(tcb):
        count += 1
    if count == 0 or not tcb.sack_ok:
        return 0
    most = 3 if tcb.ts_ok else 4
    if tcb.auth is not None:
        most = (36 - (12 if tcb.ts_ok else 0) - tcb.auth.overhead) // 8  # none beside timestamps and an MD5 signature
        if most == 0:
            return 0
    return 4 + 8 * (count if count < most else most)


def put_sack(tcb: Tcb, scratch: bytearray, at: int) -> int:
    """Writes the SACK option (RFC 2018, 3) with two NOPs before it; its length. What came twice is told first, and once
    (RFC 2883, 4)."""
    length = sack_length(tcb)
    if length == 0:
        return 0
    count = (length - 4) // 8
    store_u16(scratch, at, 0x0101)
    store_u8(scratch, at + 2, 5)
    store_u8(scratch, at + 3, 2 + 8 * count)
    at += 4
    if tells_of_twice(tcb):
        extras = tcb.more()
        store_u32(scratch, at, extras.dsack_left)
        store_u32(scratch, at + 4, extras.dsack_right)
        extras.dsack_left = extras.dsack_right
        at += 8
        count -= 1
    if tcb.reassembly is not None:
        for left, right in tcb.reassembly.blocks(count):
            store_u32(scratch, at, left)
            store_u32(scratch, at + 4, right)
            at += 8
    return length


def window_free(tcb: Tcb) -> int:
    """The window that could be advertised now: the room in the receive buffer, as far as the field can tell it."""
    context = tcb.context
    free = tcb.rcv_limit - (tcb.rcv_buf.length if tcb.rcv_buf is not None else 0)
    if free < 0 or context.received_bytes >= context.settings.receive_memory:
        return 0
    most = 0xFFFF << tcb.rcv_scale
    return free if free < most else most


def window_step(tcb: Tcb) -> int:
    """By how much the window has to open before the peer is told (RFC 9293 3.8.6.2.2)."""
    step = tcb.rcv_limit // 2
    return step if step < tcb.rcv_mss else tcb.rcv_mss


def window_field(tcb: Tcb) -> int:
    """The window to advertise, unscaled; moves RCV.ADV (RFC 9293 3.8.6.2.2: no silly windows, no shrinking)."""
    free = window_free(tcb)
    offered = seq_diff(tcb.rcv_adv, tcb.rcv_nxt)
    if offered < 0:
        offered = 0
    if free - offered >= window_step(tcb):
        offered = free
    # rounded up, so that the right edge does not move left by the scale's granularity; but a peer that sends in small
    # pieces gets only so far with that (RFC 7323, 2.4)
    field = (offered + (1 << tcb.rcv_scale) - 1) >> tcb.rcv_scale
    held = tcb.rcv_buf.length if tcb.rcv_buf is not None else 0
    if held + (field << tcb.rcv_scale) > tcb.rcv_limit + (tcb.rcv_limit >> 2):
        field = offered >> tcb.rcv_scale
    if field > 0xFFFF:
        field = 0xFFFF
    edge = (tcb.rcv_nxt + (field << tcb.rcv_scale)) & MASK32
    if seq_gt(edge, tcb.rcv_adv):
        tcb.rcv_adv = edge
    return field


def update_due(tcb: Tcb) -> bool:
    """Whether the user has read so much that the peer should be told at once (RFC 9293 3.8.6.2.2).

    Not while an ACK is due soon, which tells it, unless the window is nearly shut: the window of a SYN,ACK is small,
    and the first bytes that are read would cost a packet of their own, though an answer to them may be about to go.
    """
    if tcb.delack_at and seq_diff(tcb.rcv_adv, tcb.rcv_nxt) >= 2 * mss_to_offer(tcb):
        return False
    return window_opened(tcb)


def window_opened(tcb: Tcb) -> bool:
    """Whether the window is worth telling, as it is much larger than the peer knows."""
    if tcb.fin_received:
        return False
    free = window_free(tcb)
    offered = seq_diff(tcb.rcv_adv, tcb.rcv_nxt)
    if offered < 0:
        offered = 0
    gain = free - offered
    if gain < window_step(tcb) or gain <= 0:
        return False
    # told now if it has opened by a lot or was nearly shut, else with the next ACK
    return gain >= free // 2 or gain >= tcb.rcv_limit // 4 or offered < 2 * tcb.rcv_mss
