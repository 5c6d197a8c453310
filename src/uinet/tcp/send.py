"""Segments out: what may be sent now (RFC 9293, 3.8).

`output` is called once for a connection after a batch of input or calls, so that one ACK answers the batch and small
writes share segments.
"""

from __future__ import annotations

from uinet.seq import seq_diff, seq_geq, seq_gt, seq_leq
from uinet.tcp.fast_open import put_cookie, syn_payload
from uinet.tcp.layout import begin, headers_length, mss_to_offer, put_syn_options, put_timestamps, transmit
from uinet.tcp.recovery import hole_end, next_lost, window_room
from uinet.tcp.state import ESTABLISHED, LAST_ACK, SYN_RECEIVED, SYN_SENT
from uinet.tcp.tcb import Tcb
from uinet.tcp.timers import rearm, start_persist, start_retransmit, stop_persist
from uinet.units import MASK32
from uinet.wire.constants import ACK, FIN, PSH, RST, SYN
from uinet.wire.kernels import (
    store_u8,
    store_u16,
    store_u32,
)

TS_TICK = 1_000_000  # ns: the timestamp clock ticks every millisecond (RFC 7323, 5.4)
EMPTY = b""


def timestamp_now(tcb: Tcb) -> int:
    """TSval for now."""
    return (tcb.context.now // TS_TICK + tcb.ts_offset) & MASK32


def sack_length(tcb: Tcb) -> int:
    """Bytes of SACK option that go into the next segment."""
    if not tcb.sack_ok or tcb.reassembly is None or not tcb.reassembly.islands:
        return 0
    count = len(tcb.reassembly.recent)
    most = 3 if tcb.ts_ok else 4
    if tcb.auth is not None:
        most = (36 - (12 if tcb.ts_ok else 0) - tcb.auth.overhead) // 8  # none beside timestamps and an MD5 signature
        if most == 0:
            return 0
    return 4 + 8 * (count if count < most else most)


def put_sack(tcb: Tcb, scratch: bytearray, at: int) -> int:
    """Writes the SACK option (RFC 2018, 3) with two NOPs before it; its length."""
    length = sack_length(tcb)
    if length == 0 or tcb.reassembly is None:
        return 0
    count = (length - 4) // 8
    store_u16(scratch, at, 0x0101)
    store_u8(scratch, at + 2, 5)
    store_u8(scratch, at + 3, 2 + 8 * count)
    at += 4
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


def emit(tcb: Tcb, seq: int, flags: int, position: int, length: int) -> None:
    """Sends a segment of a synchronized connection: `length` bytes of the send buffer at `position`, `flags` | ACK."""
    context = tcb.context
    at = begin(context, tcb)
    window = window_field(tcb)
    tcb.ack_now = False
    tcb.delack_at = 0
    if at < 0:
        return
    scratch = context.scratch
    options = at + headers_length(tcb)
    size = 0
    if tcb.ts_ok:
        size = put_timestamps(scratch, options, timestamp_now(tcb), tcb.ts_recent)
    if tcb.reassembly is not None:
        size += put_sack(tcb, scratch, options + size)
    tcb.last_ack_sent = tcb.rcv_nxt
    tcb.segments_out += 1
    if length and tcb.snd_buf is not None:
        tcb.snd_buf.locate(position, length)
        transmit(
            context, tcb, at, seq, tcb.rcv_nxt, flags | ACK, window, size, tcb.snd_buf.source,
            tcb.snd_buf.source_offset, length,
        )
    else:
        transmit(context, tcb, at, seq, tcb.rcv_nxt, flags | ACK, window, size, EMPTY, 0, 0)


def send_ack(tcb: Tcb) -> None:
    """Sends a bare ACK now. While a probe's octet lies beyond the peer's window SND.NXT does so too, and would not be
    acceptable."""
    emit(tcb, tcb.snd_una if tcb.persisting and tcb.snd_wnd == 0 else tcb.snd_nxt, 0, 0, 0)


def challenge_ack(tcb: Tcb) -> None:
    """Sends a challenge ACK (RFC 5961), at most one an interval for each connection (no limit is shared)."""
    context = tcb.context
    if context.now < tcb.challenge_after:
        context.stats.count("tcp_challenge_ack_limited")
        return
    interval = context.settings.challenge_ack_interval
    tcb.challenge_after = context.now + interval // 2 + context.network.random.below(interval)
    context.stats.count("tcp_challenge_ack")
    send_ack(tcb)


def send_rst(tcb: Tcb) -> None:
    """Sends <SEQ=SND.NXT><CTL=RST,ACK>."""
    context = tcb.context
    at = begin(context, tcb)
    if at < 0:
        return
    context.stats.count("tcp_rst_out")
    transmit(context, tcb, at, tcb.snd_nxt, tcb.rcv_nxt, RST | ACK, 0, 0, EMPTY, 0, 0)


def send_syn(tcb: Tcb) -> None:
    """Sends or retransmits our SYN: bare in SYN-SENT, with ACK in SYN-RECEIVED."""
    context = tcb.context
    at = begin(context, tcb)
    if at < 0:
        return
    settings = context.settings
    scratch = context.scratch
    options = at + headers_length(tcb)
    offer_ts = settings.timestamps
    offer_sack = settings.sack
    wscale = tcb.rcv_scale if settings.window_scaling else -1
    flags = SYN
    ack = 0
    if tcb.state == SYN_RECEIVED:
        flags = SYN | ACK
        ack = tcb.rcv_nxt
        offer_ts = tcb.ts_ok
        offer_sack = tcb.sack_ok
        wscale = tcb.rcv_scale if tcb.rcv_scale or tcb.snd_scale else -1
    size = put_syn_options(
        scratch, options, mss_to_offer(tcb), wscale, offer_sack, offer_ts, timestamp_now(tcb), tcb.ts_recent
    )
    window = tcb.rcv_limit if tcb.rcv_limit < 0xFFFF else 0xFFFF
    tcb.segments_out += 1
    if tcb.fast_open is not None:
        send_fast_syn(tcb, at, ack, flags, size)
        return
    transmit(context, tcb, at, tcb.iss, ack, flags, window, size, EMPTY, 0, 0)


def send_fast_syn(tcb: Tcb, at: int, ack: int, flags: int, size: int) -> None:
    """The rest of `send_syn` with Fast Open (RFC 7413): the cookie goes behind `size` bytes of options, and in a
    client's first SYN data behind them. The window allows for what a server's connection holds already."""
    context = tcb.context
    fast = tcb.fast_open
    if fast.offers:
        size += put_cookie(context.scratch, at + headers_length(tcb) + size, fast.cookie)
    held = tcb.rcv_buf.length if tcb.rcv_buf is not None else 0
    window = max(0, min(tcb.rcv_limit - held, 0xFFFF))
    edge = (tcb.rcv_nxt + window) & MASK32
    if flags & ACK and seq_gt(edge, tcb.rcv_adv):
        tcb.rcv_adv = edge
    tcb.last_ack_sent = ack
    length = syn_payload(tcb, size) if not flags & ACK else 0
    if length == 0 or tcb.snd_buf is None:
        transmit(context, tcb, at, tcb.iss, ack, flags, window, size, EMPTY, 0, 0)
        return
    fast.sent = length
    tcb.bytes_out += length
    tcb.snd_nxt = (tcb.iss + 1 + length) & MASK32
    tcb.snd_buf.locate(0, length)
    transmit(
        context, tcb, at, tcb.iss, ack, flags, window, size, tcb.snd_buf.source, tcb.snd_buf.source_offset, length
    )


def begin_opening(tcb: Tcb) -> None:
    """Sends the first SYN of an active open."""
    if tcb.fast_open is not None:
        tcb.fast_open.waiting = False
    tcb.snd_nxt = (tcb.iss + 1) & MASK32
    tcb.timing = True
    tcb.timed_seq = tcb.snd_nxt
    tcb.timed_at = tcb.context.now
    start_retransmit(tcb)
    send_syn(tcb)
    rearm(tcb)


def output_early(tcb: Tcb) -> None:
    """What goes out before a connection is established: a SYN,ACK that is due, and where Fast Open allows it a first
    SYN that has waited for data, or a server's data behind its SYN,ACK (RFC 7413, 4.2.2)."""
    if tcb.state == SYN_RECEIVED and tcb.ack_now:
        tcb.ack_now = False
        send_syn(tcb)
    fast = tcb.fast_open
    if fast is None:
        return
    if fast.waiting and tcb.state == SYN_SENT:
        if not fast.held or tcb.snd_buf is not None or tcb.closing:
            begin_opening(tcb)
    elif fast.listener is not None and tcb.state == SYN_RECEIVED and tcb.snd_buf is not None:
        closing = tcb.closing
        tcb.closing = False  # FIN waits until the connection is established (RFC 9293 3.10.4)
        tcb.snd_una = (tcb.iss + 1) & MASK32  # where the send buffer begins; but the SYN is not acknowledged
        send_new(tcb)
        tcb.snd_una = tcb.iss
        tcb.closing = closing
        rearm(tcb)


def wants_output(tcb: Tcb) -> None:
    """Notes that the connection may have something to send when the batch is done."""
    context = tcb.context
    if not tcb.pending_queued:
        tcb.pending_queued = True
        context.pending.append(tcb)
        if not context.busy and context.on_pending is not None:
            context.on_pending()


def output(tcb: Tcb) -> None:
    """Sends all that may be sent now, and at least the ACK that is due."""
    state = tcb.state
    if state < ESTABLISHED or state > LAST_ACK:
        output_early(tcb)
        return
    sent = False
    if tcb.recovering:
        sent = retransmit(tcb)
    if not tcb.fin_sent and (tcb.snd_buf is not None or tcb.closing):
        sent = send_new(tcb) or sent
    if not sent and (tcb.ack_now or window_opened(tcb)):
        send_ack(tcb)
    rearm(tcb)


def window_opened(tcb: Tcb) -> bool:
    """Whether the user has read so much that the peer should be told (RFC 9293 3.8.6.2.2)."""
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


def send_new(tcb: Tcb) -> bool:
    """Sends data that was never sent, then FIN if it is time; whether a segment went out."""
    held = tcb.snd_buf.length if tcb.snd_buf is not None else 0
    full = tcb.mss - sack_length(tcb)
    sent = False
    if tcb.persisting:
        if window_allows(tcb, held if held < full else full, tcb.snd_wnd, full) == 0:
            return False
        stop_persist(tcb)
        if tcb.snd_nxt != tcb.snd_una:
            resend(tcb, tcb.snd_una, tcb.snd_nxt)  # the probe's octet was not taken, or its ACK is still on the way
            sent = True
    offset = seq_diff(tcb.snd_nxt, tcb.snd_una)
    available = held - offset
    room = window_room(tcb)
    while available > 0:
        length = window_allows(tcb, full if available > full else available, tcb.snd_wnd - offset, full)
        if length == 0:
            if offset == 0:
                start_persist(tcb)
            return sent
        if length > room and (offset > 0 or sent):
            return sent
        last = length == available
        if last and length < full and not may_send_small(tcb, offset):
            return sent
        flags = 0
        if last:
            flags = PSH
            if tcb.closing:
                flags = PSH | FIN
        send_segment(tcb, flags, offset, length)
        sent = True
        offset += length
        available -= length
        room -= length
    if tcb.closing and not tcb.fin_sent:
        send_segment(tcb, FIN, offset, 0)
        sent = True
    return sent


def window_allows(tcb: Tcb, wanted: int, usable: int, full: int) -> int:
    """How much of a segment of `wanted` bytes to send into `usable` bytes of window: no silly pieces (RFC 9293
    3.8.6.2.1)."""
    if wanted <= usable:
        return wanted
    if usable > 0 and (usable >= full or usable * 2 >= tcb.max_snd_wnd):
        return usable
    return 0


def may_send_small(tcb: Tcb, offset: int) -> bool:
    """Nagle's rule (RFC 9293 3.7.4) as Minshall put it: one small segment in flight, not more."""
    if tcb.cork:
        return tcb.closing
    if tcb.no_delay or tcb.closing or offset == 0:
        return True
    return seq_leq(tcb.small_sent, tcb.snd_una)


def send_segment(tcb: Tcb, flags: int, offset: int, length: int) -> None:
    """Sends the next new segment and advances SND.NXT."""
    seq = tcb.snd_nxt
    emit(tcb, seq, flags, offset, length)
    end = (seq + length) & MASK32
    if flags & FIN:
        tcb.fin_sent = True
        end = (end + 1) & MASK32
    if length < tcb.mss:
        tcb.small_sent = end
    tcb.snd_nxt = end
    tcb.bytes_out += length
    if not tcb.timing:
        tcb.timing = True
        tcb.timed_seq = end
        tcb.timed_at = tcb.context.now
    if tcb.rexmt_at == 0:
        start_retransmit(tcb)


def retransmit(tcb: Tcb) -> bool:
    """Sends again what counts as lost, as far as the congestion window allows; whether a segment went out."""
    sent = False
    while True:
        seq = next_lost(tcb)
        if seq_geq(seq, tcb.lost_edge) or seq_geq(seq, tcb.snd_nxt):
            return sent
        first = seq == tcb.snd_una and seq_leq(tcb.high_rxt, tcb.snd_una)
        if not first and window_room(tcb) < tcb.mss:
            return sent
        end = hole_end(tcb, seq)
        resend(tcb, seq, end)
        sent = True


def resend(tcb: Tcb, seq: int, end: int) -> None:
    """Sends one segment of [seq, end) again."""
    context = tcb.context
    held = tcb.snd_buf.length if tcb.snd_buf is not None else 0
    position = seq_diff(seq, tcb.snd_una)
    length = seq_diff(end, seq)
    full = tcb.mss - sack_length(tcb)
    if length > full:
        length = full
    flags = 0
    if position + length >= held:
        length = held - position
        flags = PSH if length else 0
        if tcb.fin_sent:
            flags |= FIN
    emit(tcb, seq, flags, position, length)
    if flags & FIN:
        length += 1
    tcb.high_rxt = (seq + length) & MASK32
    tcb.timing = False  # Karn's rule (RFC 6298, 3)
    tcb.retransmits += 1
    context.stats.count("tcp_retransmit")
    if tcb.rexmt_at == 0:
        start_retransmit(tcb)


def send_probe(tcb: Tcb) -> None:
    """A zero-window probe: one octet beyond the window, the same one until it is taken (RFC 9293 3.8.6.1)."""
    held = tcb.snd_buf.length if tcb.snd_buf is not None else 0
    if tcb.snd_wnd > 0:
        send_override(tcb, held)
    elif held > 0:
        tcb.context.stats.count("tcp_persist_probe")
        emit(tcb, tcb.snd_una, PSH if held == 1 else 0, 0, 1)
        if tcb.snd_nxt == tcb.snd_una:
            tcb.snd_nxt = (tcb.snd_una + 1) & MASK32
            tcb.timing = False


def send_override(tcb: Tcb, held: int) -> None:
    """Silly window avoidance has waited long enough: sends what the small window takes (RFC 9293 3.8.6.2.1)."""
    stop_persist(tcb)
    if tcb.snd_nxt != tcb.snd_una:
        resend(tcb, tcb.snd_una, tcb.snd_nxt)
        return
    length = tcb.mss - sack_length(tcb)
    if length > tcb.snd_wnd:
        length = tcb.snd_wnd
    if length > held:
        length = held
    if length > 0:
        send_segment(tcb, PSH if length == held else 0, 0, length)


def send_keepalive(tcb: Tcb) -> None:
    """A keepalive probe: an empty segment before the window (RFC 9293 3.8.4)."""
    tcb.context.stats.count("tcp_keepalive_probe")
    emit(tcb, (tcb.snd_una - 1) & MASK32, 0, 0, 0)
