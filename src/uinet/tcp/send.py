"""Segments out: what may be sent now (RFC 9293, 3.8).

`output` is called once for a connection after a batch of input or calls, so that one ACK answers the batch and small
writes share segments.
"""

from __future__ import annotations

from uinet.seq import seq_diff, seq_gt, seq_leq
from uinet.tcp.constants import ECN_ACCURATE, ECN_ASK, ECT_0, PROBING, TIMESTAMPS_LENGTH
from uinet.tcp.cork import held_long_enough
from uinet.tcp.discovery import probe_length, probe_sent, route_changed
from uinet.tcp.fast_open import put_cookie, syn_payload
from uinet.tcp.feedback import feedback_flags, put_option, syn_ack_flags
from uinet.tcp.flight import Flight
from uinet.tcp.layout import (
    begin,
    headers_length,
    mss_within,
    put_syn_options,
    put_timestamps,
    transmit,
    transmit_large,
)
from uinet.tcp.rack import schedule_probe
from uinet.tcp.recovery import pipe, window_room
from uinet.tcp.state import ESTABLISHED, LAST_ACK, SYN_RECEIVED, SYN_SENT
from uinet.tcp.tcb import Tcb
from uinet.tcp.telling import put_sack, sack_length, tells_of_twice, timestamp_now, update_due, window_field
from uinet.tcp.timers import rearm, restart_after_probe, start_persist, start_retransmit, stop_persist
from uinet.tcp.undo import note_again
from uinet.tcp.urgent import urgent_pointer
from uinet.tcp.user_timeout import advertised, put_user_timeout
from uinet.tcp.window import after_idle, begin_flight, validate
from uinet.units import MASK32
from uinet.wire.constants import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG

EMPTY = b""
ECN_TRIES = 2  # SYNs that ask for ECN, before others are tried
LARGEST_PACKET = 65535  # bytes, with the IP header
MOST_OPTIONS = 40
BURSTS_A_SECOND = 1000  # of a paced connection on a device that cuts segments
PACING_SLACK = 1_000_000  # ns: what a late timer has missed may be made up for, up to this


def emit(tcb: Tcb, seq: int, flags: int, position: int, length: int, segment: int = 0) -> None:
    """Sends a segment of a synchronized connection: `length` bytes of the send buffer at `position`, `flags` | ACK.
    `segment`: not 0 if the device is to cut it into segments of so many bytes."""
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
    if tcb.reassembly is not None or tells_of_twice(tcb):
        size += put_sack(tcb, scratch, options + size)
    if tcb.accecn is not None:
        accurate = tcb.accecn
        sacks = size > (TIMESTAMPS_LENGTH if tcb.ts_ok else 0)
        flags |= feedback_flags(tcb, accurate, seq, length, sacks)
        if accurate.changed and accurate.offer:
            size += put_option(tcb, accurate, scratch, options + size, size, length)
    elif tcb.ecn_ok:
        flags |= ecn_flags(tcb, seq, length)
    if tcb.urgent_out:
        context.urgent = urgent_pointer(tcb, seq)
        if context.urgent:
            flags |= URG
    tcb.last_ack_sent = tcb.rcv_nxt
    tcb.segments_out += 1 if segment == 0 else (length + segment - 1) // segment
    if segment and tcb.snd_buf is not None:
        pieces = tcb.snd_buf.pieces(position, length)
        transmit_large(
            context, tcb, at, seq, tcb.rcv_nxt, flags | ACK, window, size, pieces, length, segment
        )
    elif length and tcb.snd_buf is not None:
        tcb.snd_buf.locate(position, length)
        transmit(
            context, tcb, at, seq, tcb.rcv_nxt, flags | ACK, window, size, tcb.snd_buf.source,
            tcb.snd_buf.source_offset, length,
        )
    else:
        transmit(context, tcb, at, seq, tcb.rcv_nxt, flags | ACK, window, size, EMPTY, 0, 0)
    context.urgent = 0


def ecn_flags(tcb: Tcb, seq: int, length: int) -> int:
    """ECE and CWR for a segment, and whether its packet may be marked: only new data may (RFC 3168, 6.1.5, 6.1.6)."""
    flags = ECE if tcb.ecn_echo else 0
    tcb.ecn = 0
    if length and seq == tcb.snd_nxt and not tcb.persisting:
        tcb.ecn = ECT_0
        if tcb.ecn_reduced:
            tcb.ecn_reduced = False
            flags |= CWR
    return flags


def send_ack(tcb: Tcb) -> None:
    """Sends a bare ACK now. While a probe's octet lies beyond the peer's window SND.NXT does so too, and would not be
    acceptable; nor would it be where the peer has more than was sent from here (`takeover`)."""
    seq = tcb.snd_una if tcb.persisting and tcb.snd_wnd == 0 else tcb.snd_nxt
    extras = tcb.extras
    if extras is not None and extras.passed and seq_gt(extras.passed_ack, tcb.snd_nxt):
        seq = extras.passed_ack
    emit(tcb, seq, 0, 0, 0)


def challenge_ack(tcb: Tcb) -> None:
    """Sends a challenge ACK (RFC 5961), at most one an interval for each connection (no limit is shared)."""
    context = tcb.context
    if context.now < tcb.challenge_after:
        context.stats.count("tcp_challenge_ack_limited")
        return
    interval = context.settings.challenge_ack_interval
    if interval > 0:
        tcb.challenge_after = context.now + interval // 2 + context.network.random.below(interval)
    context.stats.count("tcp_challenge_ack")
    send_ack(tcb)


def send_rst(tcb: Tcb) -> None:
    """Sends <SEQ=SND.NXT><CTL=RST,ACK>, with timestamps where they are in use (RFC 7323, 3.2)."""
    context = tcb.context
    at = begin(context, tcb)
    if at < 0:
        return
    size = 0
    if tcb.ts_ok:
        size = put_timestamps(context.scratch, at + headers_length(tcb), timestamp_now(tcb), tcb.ts_recent)
    context.stats.count("tcp_rst_out")
    tcb.ecn = 0
    transmit(context, tcb, at, tcb.snd_nxt, tcb.rcv_nxt, RST | ACK, 0, size, EMPTY, 0, 0)


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
    if tcb.backoff < ECN_TRIES:  # a path that swallows such SYNs gets others after a while
        if settings.ecn == ECN_ASK:
            flags |= ECE | CWR  # RFC 3168, 6.1.1
        elif settings.ecn == ECN_ACCURATE:
            flags |= ECE | CWR | AE  # RFC 9768, 3.1.1
    tcb.ecn = 0
    ack = 0
    if tcb.state == SYN_RECEIVED:
        flags = SYN | ACK | syn_ack_flags(tcb)
        ack = tcb.rcv_nxt
        offer_ts = tcb.ts_ok
        offer_sack = tcb.sack_ok
        wscale = tcb.rcv_scale if tcb.rcv_scale or tcb.snd_scale else -1
    mss = mss_within(tcb, tcb.extras.max_segment if tcb.extras is not None else 0)
    size = put_syn_options(
        scratch, options, mss, wscale, offer_sack, offer_ts, timestamp_now(tcb), tcb.ts_recent
    )
    window = tcb.rcv_limit if tcb.rcv_limit < 0xFFFF else 0xFFFF
    tcb.segments_out += 1
    size += syn_user_timeout(tcb, options + size)
    if tcb.extras is not None and tcb.extras.fast_open is not None:
        send_fast_syn(tcb, at, ack, flags, size)
        return
    transmit(context, tcb, at, tcb.iss, ack, flags, window, size, EMPTY, 0, 0)


def syn_user_timeout(tcb: Tcb, at: int) -> int:
    """Writes the user timeout option of a SYN if the socket has asked for it and there is room; its length."""
    config = tcb.owner.config if tcb.owner is not None and tcb.state == SYN_SENT else None
    if config is None or not config.user_timeout_option or tcb.auth is not None or tcb.fast_open is not None:
        return 0
    context = tcb.context
    return put_user_timeout(context.scratch, at, advertised(config, context.settings.user_timeout))


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
    if tcb.extras is not None and tcb.extras.fast_open is not None:
        tcb.fast_open.waiting = False
    tcb.snd_nxt = (tcb.iss + 1) & MASK32
    tcb.timing = True
    start_retransmit(tcb)
    send_syn(tcb)
    rearm(tcb)


def output_early(tcb: Tcb) -> None:
    """What goes out before a connection is established: a SYN,ACK that is due, and where Fast Open allows it a first
    SYN that has waited for data, or a server's data behind its SYN,ACK (RFC 7413, 4.2.2)."""
    if tcb.state == SYN_RECEIVED and tcb.ack_now:
        tcb.ack_now = False
        send_syn(tcb)
    fast = tcb.extras.fast_open if tcb.extras is not None else None
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
    if tcb.generation != tcb.context.network.generation and tcb.link_header is None:
        route_changed(tcb)
    flight = tcb.flight
    if flight is not None and flight.lost and flight.frto != PROBING:
        sent = retransmit(tcb, flight)
    if not tcb.fin_sent and (tcb.snd_buf is not None or tcb.closing):
        sent = send_new(tcb) or sent
    if not sent and (tcb.ack_now or update_due(tcb)):
        send_ack(tcb)
    rearm(tcb)


def send_new(tcb: Tcb) -> bool:
    """Sends data that was never sent, then FIN if it is time; whether a segment went out."""
    held = tcb.snd_buf.length if tcb.snd_buf is not None else 0
    full = tcb.mss - sack_length(tcb)
    flight = tcb.flight
    if flight is None:
        flight = begin_flight(tcb)
    sent = False
    if tcb.persisting:
        if window_allows(tcb, held if held < full else full, tcb.snd_wnd, full) == 0:
            return False
        stop_persist(tcb)
        if tcb.snd_nxt != tcb.snd_una:
            resend(tcb, flight, tcb.snd_una, tcb.snd_nxt)  # the probe's octet was not taken, or its ACK is on the way
            sent = True
    offset = seq_diff(tcb.snd_nxt, tcb.snd_una)
    available = held - offset
    if offset == 0 and available > 0:
        after_idle(tcb, flight)
    limited = False
    room = window_room(tcb)
    if flight.owns_window and available > 0 and tcb.congestion is not None:
        tcb.congestion.on_send(tcb, tcb.cwnd - room)
    if available > full and tcb.extras is not None and tcb.extras.path is not None:
        length = send_larger(tcb, flight, offset, available, room)
        if length < 0:
            return sent
        full = tcb.mss - sack_length(tcb)
        if length:
            sent = True
            offset += length
            available -= length
            room -= length
    most = most_at_once(tcb, full)
    while available > 0:
        length = window_allows(tcb, full if available > full else available, tcb.snd_wnd - offset, full)
        if most > full and available > full and length == full:
            length = several(tcb, full, most, available, tcb.snd_wnd - offset, room, offset)
        if length == 0:
            if offset == 0:
                start_persist(tcb)
            break
        if length > room and (offset > 0 or sent):
            limited = True
            break
        last = length == available
        if last and length < full and not may_send_small(tcb, offset):
            break
        if tcb.pacing_rate and must_wait(tcb, flight):
            limited = room < full
            break
        flags = 0
        if last:
            flags = PSH
            if tcb.closing:
                flags = PSH | FIN
        send_segment(tcb, flight, flags, offset, length, full if length > full else 0)
        sent = True
        offset += length
        available -= length
        room -= length
    if available < full and room > 0 and flight.lost == 0:
        in_flight = pipe(tcb)
        flight.app_limited = flight.delivered + (in_flight if in_flight else 1)
    if tcb.closing and not tcb.fin_sent and available == 0:
        send_segment(tcb, flight, FIN, offset, 0)
        sent = True
    if sent:
        validate(tcb, flight, limited)
        schedule_probe(tcb, flight)
    return sent


def most_at_once(tcb: Tcb, full: int) -> int:
    """Bytes of payload that one frame may have: several segments' where the device cuts them, and nothing forbids it.

    With pacing it is a millisecond's worth, so that what the device sends in one go stays short. Signatures are for
    each segment; so is accurate ECN's counter, in a bit that devices take for CWR; the urgent pointer is in one only.
    """
    interface = tcb.interface
    if interface is None or not interface.gathers or tcb.auth is not None or tcb.accecn is not None or tcb.urgent_out:
        return full
    most = LARGEST_PACKET - headers_length(tcb) - MOST_OPTIONS
    if tcb.pacing_rate:
        burst = tcb.pacing_rate // BURSTS_A_SECOND
        if burst < 2 * full:
            burst = 2 * full
        if burst < most:
            most = burst
    return most - most % full


def several(tcb: Tcb, full: int, most: int, available: int, usable: int, room: int, offset: int) -> int:
    """How much to send in one frame, which is at least one full segment: whole segments, as many as both windows take;
    and the last bytes with them, if these may go out as a small segment."""
    length = most
    if length > usable:
        length = usable
    if length > room:
        length = room
    if length < full:
        return full
    if length >= available:
        rest = available % full
        return available if rest == 0 or may_send_small(tcb, offset) else available - rest
    return length - length % full


def send_larger(tcb: Tcb, flight: Flight, offset: int, available: int, room: int) -> int:
    """Sends a probe of the path's MTU with the next bytes, if it is time for one (RFC 4821, 7.5); how many bytes, -1 if
    one is about to be sent and nothing else before it."""
    sack = sack_length(tcb)
    length = probe_length(tcb, available, room, tcb.snd_wnd - offset, sack)
    if length > 0:
        seq = tcb.snd_nxt
        send_segment(tcb, flight, 0, offset, length)
        probe_sent(tcb, seq, tcb.snd_nxt)
    return length


def must_wait(tcb: Tcb, flight: Flight) -> bool:
    """Whether pacing says to wait before the next segment; a timer sends it then."""
    tcb.pacing = flight.paced_until > tcb.context.now
    return tcb.pacing


def pace(tcb: Tcb, flight: Flight, length: int) -> None:
    """`length` bytes go out: the next not before their time at the pacing rate has passed."""
    earliest = tcb.context.now - PACING_SLACK
    if flight.paced_until < earliest:
        flight.paced_until = earliest
    flight.paced_until += length * 1_000_000_000 // tcb.pacing_rate


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
        return tcb.closing or held_long_enough(tcb)
    if tcb.no_delay or tcb.closing or offset == 0 or tcb.urgent_out:
        return True
    return seq_leq(tcb.small_sent, tcb.snd_una)


def send_segment(tcb: Tcb, flight: Flight, flags: int, offset: int, length: int, segment: int = 0) -> None:
    """Sends the next new segment, or `length` bytes in segments of `segment`, and advances SND.NXT."""
    seq = tcb.snd_nxt
    emit(tcb, seq, flags, offset, length, segment)
    end = (seq + length) & MASK32
    if flags & FIN:
        tcb.fin_sent = True
        end = (end + 1) & MASK32
    if length < tcb.mss or (segment and length % segment):
        tcb.small_sent = end
    elif flight.full == 0:
        flight.full = 1
        flight.full_end = end
    tcb.snd_nxt = end
    tcb.bytes_out += length
    now = tcb.context.now
    flight.sent_at = now
    flight.add(seq, end, now, pipe(tcb))
    if tcb.recovering:
        flight.prr_out += length
    if tcb.pacing_rate:
        pace(tcb, flight, length)
    if tcb.rexmt_at == 0:
        start_retransmit(tcb)


def retransmit(tcb: Tcb, flight: Flight) -> bool:
    """Sends again what counts as lost, as far as the congestion window allows; whether a segment went out."""
    sent = False
    while True:
        run = flight.next_lost()
        if run is None:
            return sent
        full = tcb.mss - sack_length(tcb)
        seq = run.start
        length = seq_diff(flight.lost_end(run, full), seq)
        if length > full:
            length = full
        if window_room(tcb) < length or (tcb.pacing_rate and must_wait(tcb, flight)):
            return sent
        resend(tcb, flight, seq, (seq + length) & MASK32)
        sent = True


def resend(tcb: Tcb, flight: Flight, seq: int, end: int) -> None:
    """Sends [seq, end) again, or as much of it as a segment takes; none of it is SACKed."""
    context = tcb.context
    held = tcb.snd_buf.length if tcb.snd_buf is not None else 0
    position = seq_diff(seq, tcb.snd_una)
    length = seq_diff(end, seq)
    full = tcb.mss - sack_length(tcb)
    if length > full:
        length = full
    covered = length
    flags = 0
    if position + length >= held:
        flags = PSH
        if position + length > held:  # the FIN is the octet behind the data
            flags = FIN if position == held else PSH | FIN
            length = held - position
    emit(tcb, seq, flags, position, length)
    in_flight = pipe(tcb)
    flight.resent(seq, (seq + covered) & MASK32, context.now, in_flight + covered if flight.lost else in_flight)
    note_again(tcb, flight, seq, covered)
    if tcb.recovering:
        flight.prr_out += covered
    if tcb.pacing_rate:
        pace(tcb, flight, length)
    tcb.retransmits += 1
    context.stats.count("tcp_retransmit")
    if tcb.rexmt_at == 0:
        start_retransmit(tcb)


def send_tail_probe(tcb: Tcb, flight: Flight) -> None:
    """A tail loss probe: the next new segment if there is one, else the last one again (RFC 8985, 7.3)."""
    tcb.context.stats.count("tcp_tail_probe")
    held = tcb.snd_buf.length if tcb.snd_buf is not None else 0
    outstanding = seq_diff(tcb.snd_nxt, tcb.snd_una)
    length = held - outstanding
    full = tcb.mss - sack_length(tcb)
    if length > full:
        length = full
    flight.probe_again = length <= 0 or tcb.snd_wnd < outstanding + length or tcb.fin_sent
    if flight.probe_again:
        seq = flight.last_piece(full)
        resend(tcb, flight, seq, tcb.snd_nxt)
    else:
        last = outstanding + length == held
        flags = PSH if last else 0
        send_segment(tcb, flight, flags | FIN if last and tcb.closing else flags, outstanding, length)
    flight.probed = True
    flight.probe_end = tcb.snd_nxt
    restart_after_probe(tcb)


def send_probe(tcb: Tcb) -> None:
    """A zero-window probe: one octet beyond the window, the same one until it is taken (RFC 9293 3.8.6.1)."""
    held = tcb.snd_buf.length if tcb.snd_buf is not None else 0
    if tcb.snd_wnd > 0:
        send_override(tcb, held)
    elif held > 0:
        tcb.context.stats.count("tcp_persist_probe")
        emit(tcb, tcb.snd_una, PSH if held == 1 else 0, 0, 1)
        flight = tcb.flight
        if tcb.snd_nxt == tcb.snd_una and flight is not None:
            tcb.snd_nxt = (tcb.snd_una + 1) & MASK32
            flight.add(tcb.snd_una, tcb.snd_nxt, tcb.context.now, 1)
        elif flight is not None:
            flight.resent(tcb.snd_una, (tcb.snd_una + 1) & MASK32, tcb.context.now, 1)


def send_override(tcb: Tcb, held: int) -> None:
    """Silly window avoidance has waited long enough: sends what the small window takes (RFC 9293 3.8.6.2.1)."""
    stop_persist(tcb)
    flight = tcb.flight
    if flight is None:
        return
    if tcb.snd_nxt != tcb.snd_una:
        resend(tcb, flight, tcb.snd_una, tcb.snd_nxt)
        return
    length = tcb.mss - sack_length(tcb)
    if length > tcb.snd_wnd:
        length = tcb.snd_wnd
    if length > held:
        length = held
    if length > 0:
        send_segment(tcb, flight, PSH if length == held else 0, 0, length)


def send_keepalive(tcb: Tcb) -> None:
    """A keepalive probe: an empty segment before the window (RFC 9293 3.8.4)."""
    tcb.context.stats.count("tcp_keepalive_probe")
    emit(tcb, (tcb.snd_una - 1) & MASK32, 0, 0, 0)
