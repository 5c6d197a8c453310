"""SEGMENT ARRIVES (RFC 9293, 3.10.7): the steps in the RFC's order, one function each.

`segment_arrives` begins with what nearly all segments are, the next data or an ACK of an established connection where
nothing is out of the ordinary (Van Jacobson's header prediction), and leaves the rest to the full procedure.
"""

from __future__ import annotations

from uinet.errors import ConnectionRefused, ConnectionReset
from uinet.events import EV_CONNECTED, EV_WRITABLE
from uinet.seq import seq_diff, seq_geq, seq_gt, seq_leq, seq_lt
from uinet.tcp.acknowledge import acknowledge
from uinet.tcp.autotune import take_round_trip
from uinet.tcp.close import abort, finish
from uinet.tcp.constants import ALWAYS, CE
from uinet.tcp.extras import Extras
from uinet.tcp.fast_open import handshake_done, syn_acknowledged
from uinet.tcp.feedback import agree_on_ecn, note_received, repeat_handshake, take_last_ack
from uinet.tcp.negotiate import agree_on_options, established
from uinet.tcp.notify import notify
from uinet.tcp.passed import passed_on
from uinet.tcp.receive import came_twice, fin_reached, take_data, take_fin, window_left
from uinet.tcp.reset import reset_for
from uinet.tcp.rtt import from_timestamp, sample
from uinet.tcp.send import challenge_ack, send_ack, wants_output
from uinet.tcp.signing import admitted
from uinet.tcp.state import (
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
    change,
)
from uinet.tcp.tcb import Tcb
from uinet.tcp.timers import RTO_AFTER_LOST_SYN, rearm, start_retransmit, wait_for_fin
from uinet.tcp.urgent import sixth_check_urg
from uinet.tcp.window import begin_flight
from uinet.units import MASK32
from uinet.wire.constants import ACK, CWR, FIN, PSH, RST, SYN, URG
from uinet.wire.kernels import take
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

PAWS_IDLE = 24 * 86_400 * 1_000_000_000  # RFC 7323 5.5: after 24 days a timestamp says nothing


def segment_arrives(tcb: Tcb, packet: Packet, seg: Segment) -> None:
    """One segment for a connection."""
    if tcb.auth is not None and not admitted(tcb.context, tcb, packet, seg):
        return
    now = tcb.context.now
    tcb.segments_in += 1
    tcb.last_heard = now
    if tcb.keep_at:
        tcb.keep_probes = 0
    if (
        tcb.state == ESTABLISHED and seg.seq == tcb.rcv_nxt and (seg.flags & ~PSH) == ACK | tcb.ace_in
        and seg.has_timestamps == tcb.ts_ok and seg.length <= window_left(tcb) and not tcb.recovering
        and seg.sack_count == 0 and seq_leq(tcb.snd_una, seg.ack) and seq_leq(seg.ack, tcb.snd_nxt)
        and (not tcb.ts_ok or seq_geq(seg.tsval, tcb.ts_recent)) and not tcb.persisting and not tcb.receive_shut
        and (seg.ecn != CE or not tcb.ecn_ok)
    ):
        predicted(tcb, packet, seg)
    elif seg.flags & SYN and seg.flags & FIN and tcb.context.settings.drop_syn_fin == ALWAYS:
        tcb.context.stats.count("tcp_syn_dropped")
    elif tcb.state == SYN_SENT:
        in_syn_sent(tcb, packet, seg)
    else:
        otherwise(tcb, packet, seg)
    if tcb.state == TIME_WAIT:
        if tcb.ack_now:  # the peer's FIN; an ACK of ours (CLOSING) is not answered
            send_ack(tcb)
        tcb.context.begin_time_wait(tcb)
    elif tcb.state:
        if tcb.ack_now or tcb.snd_buf is not None or tcb.closing:
            wants_output(tcb)
        rearm(tcb)


def predicted(tcb: Tcb, packet: Packet, seg: Segment) -> None:
    """The segment that was expected: next in sequence, in the window, an acceptable ACK, no flags but ACK and PSH."""
    if tcb.ts_ok and seq_leq(seg.seq, tcb.last_ack_sent):
        tcb.ts_recent = seg.tsval
        tcb.ts_recent_age = tcb.context.now
    if tcb.accecn is not None:
        note_received(tcb, tcb.accecn, seg.ecn, seg.length)
    window = seg.window << tcb.snd_scale
    if seg.ack != tcb.snd_una:
        acknowledge(tcb, seg, False)
    elif tcb.snd_una != tcb.snd_nxt and seg.length == 0 and window == tcb.snd_wnd:
        acknowledge(tcb, seg, True)
    if window != tcb.snd_wnd or seg.ack != tcb.snd_wl2:
        update_window(tcb, seg, window)
    if seg.length:
        take_data(tcb, seg.seq, packet.text, seg.offset - packet.text_start, seg.length)
        if tcb.tuning is not None and seq_gt(tcb.rcv_nxt, tcb.tuning.mark):
            take_round_trip(tcb, seg)


def otherwise(tcb: Tcb, packet: Packet, seg: Segment) -> None:
    """RFC 9293 3.10.7.4: any state but LISTEN and SYN-SENT, step by step."""
    if not first_check_sequence(tcb, seg):
        return
    if seg.flags & RST:
        second_check_rst(tcb, seg)
        return
    if seg.flags & SYN:
        fourth_check_syn(tcb, seg)
        return
    if not seg.flags & ACK:
        tcb.context.stats.count("tcp_no_ack")
        return
    if not fifth_check_ack(tcb, packet, seg):
        return
    if tcb.accecn is not None:
        note_received(tcb, tcb.accecn, seg.ecn, seg.length)
    elif tcb.ecn_ok:
        take_ecn(tcb, seg)
    if seg.flags & URG:
        sixth_check_urg(tcb, seg)
    sent = tcb.segments_out
    if seg.length:
        seventh_process_text(tcb, packet, seg)
    if seg.flags & FIN and tcb.state >= ESTABLISHED:
        take_fin(tcb, (seg.seq + seg.length) & MASK32)
        if tcb.fin_held and tcb.segments_out != sent:
            tcb.ack_now = False  # its data lies beyond a hole, and was answered: one duplicate ACK for each segment


def take_ecn(tcb: Tcb, seg: Segment) -> None:
    """Congestion marks and their answers on the receiving side (RFC 3168, 6.1.3)."""
    if seg.flags & CWR:
        tcb.ecn_echo = False
    if seg.ecn == CE:
        tcb.context.stats.count("tcp_ce_in")
        tcb.ecn_echo = True
        tcb.ack_now = True


def in_syn_sent(tcb: Tcb, packet: Packet, seg: Segment) -> None:
    """RFC 9293 3.10.7.3."""
    context = tcb.context
    acceptable = False
    if seg.flags & ACK:
        acceptable = seq_lt(tcb.snd_una, seg.ack) and seq_leq(seg.ack, tcb.snd_nxt)
        if not acceptable:
            if not seg.flags & RST:
                reset_for(context, packet, seg, tcb.auth)
            return
    if seg.flags & RST:
        context.stats.count("tcp_rst_in")
        if acceptable:
            finish(tcb, ConnectionRefused())
        return
    if not seg.flags & SYN:
        context.stats.count("tcp_syn_dropped")
        return
    tcb.irs = seg.seq
    tcb.rcv_nxt = (seg.seq + 1) & MASK32
    tcb.rcv_adv = (tcb.rcv_nxt + (tcb.rcv_limit if tcb.rcv_limit < 0xFFFF else 0xFFFF)) & MASK32
    tcb.last_ack_sent = tcb.rcv_nxt
    agree_on_options(tcb, seg)
    agree_on_ecn(tcb, seg)
    # the window of a SYN is never scaled (RFC 7323, 2.2)
    tcb.snd_wnd = seg.window
    tcb.max_snd_wnd = seg.window
    tcb.snd_wl1 = seg.seq
    tcb.snd_wl2 = seg.ack
    if acceptable:
        if tcb.extras is not None and tcb.extras.fast_open is not None:
            syn_acknowledged(tcb, packet, seg)
        tcb.snd_una = seg.ack
        time_of_syn(tcb, seg)
        tcb.rexmt_at = 0
        tcb.unanswered_since = 0
        if tcb.ack_held:
            tcb.delack_at = context.now + context.settings.delayed_ack
        else:
            tcb.ack_now = True
        change(tcb, ESTABLISHED)
        established(tcb)
        context.stats.count("tcp_connected")
        notify(tcb, EV_CONNECTED | EV_WRITABLE)
        if seg.length:
            take_data(tcb, tcb.rcv_nxt, packet.text, seg.offset - packet.text_start, seg.length)
        if seg.flags & FIN:
            take_fin(tcb, (seg.seq + 1 + seg.length) & MASK32)
        if tcb.accecn is not None:
            send_ack(tcb)  # a bare one, as only that can tell how the SYN,ACK came (RFC 9768, 3.2.2.1)
        wants_output(tcb)
    else:
        # simultaneous open (RFC 9293 3.5, figure 8); text waits until the connection is established
        change(tcb, SYN_RECEIVED)
        if seg.length:
            tcb.more().early = take(packet.text, seg.offset - packet.text_start, seg.length)
        tcb.ack_now = True
        start_retransmit(tcb)
        wants_output(tcb)


def time_of_syn(tcb: Tcb, seg: Segment) -> None:
    """The first round trip, of our SYN. If the SYN was sent again only a timestamp can tell it; without one the
    timeout begins at 3 s (RFC 6298, 5.7)."""
    if tcb.timing:
        tcb.timing = False
        sample(tcb, tcb.context.now - tcb.unanswered_since, 0)
    elif tcb.ts_ok and seg.has_timestamps:
        from_timestamp(tcb, seg.tsecr, 0)
    if tcb.backoff and tcb.rto < RTO_AFTER_LOST_SYN:
        tcb.rto = RTO_AFTER_LOST_SYN
    tcb.backoff = 0


def first_check_sequence(tcb: Tcb, seg: Segment) -> bool:
    """Whether the segment is acceptable: PAWS (RFC 7323 5.3, R1), then the window (RFC 9293 3.10.7.4, first step)."""
    context = tcb.context
    if tcb.ts_ok and not seg.flags & RST:
        if not seg.has_timestamps:
            if not seg.flags & SYN:
                context.stats.count("tcp_timestamp_missing")
                return False
        elif seq_lt(seg.tsval, tcb.ts_recent) and not seg.flags & SYN:
            if context.now - tcb.ts_recent_age < PAWS_IDLE:
                context.stats.count("tcp_paws")
                challenge_ack(tcb)
                return False
            tcb.ts_recent = seg.tsval
    window = window_left(tcb)
    length = seg.length
    if seg.flags & SYN:
        length += 1
    if seg.flags & FIN:
        length += 1
    if not in_window(tcb, seg.seq, length, window):
        unacceptable(tcb, seg, length)
        return False
    if tcb.ts_ok and seg.has_timestamps and seq_leq(seg.seq, tcb.last_ack_sent) and not seg.flags & (SYN | RST):
        # (a segment that acknowledges what was never sent is nobody's, and would poison what honest ones are held to)
        if seq_geq(seg.tsval, tcb.ts_recent) and seq_leq(seg.ack, tcb.snd_nxt):
            tcb.ts_recent = seg.tsval
            tcb.ts_recent_age = context.now
    return True


def in_window(tcb: Tcb, seq: int, length: int, window: int) -> bool:
    """The four cases of RFC 9293's table 6."""
    first = seq_diff(seq, tcb.rcv_nxt)
    if length == 0:
        return first == 0 if window == 0 else 0 <= first < window
    if window == 0:
        return False
    last = first + length - 1
    return 0 <= first < window or 0 <= last < window


def unacceptable(tcb: Tcb, seg: Segment, length: int) -> None:
    """Answers a segment outside the window: with an ACK, but not a RST, and not endlessly (RFC 5961, 7)."""
    context = tcb.context
    if seg.flags & RST:
        if tcb.state >= SYN_RECEIVED and seg.seq == tcb.rcv_nxt:
            second_check_rst(tcb, seg)  # with a zero window RST is still taken (MUST-66)
            return
        context.stats.count("tcp_rst_out_of_window")
        return
    context.stats.count("tcp_out_of_window")
    if seg.flags & SYN:
        fourth_check_syn(tcb, seg)
        return
    if seg.flags & ACK and tcb.state >= ESTABLISHED and is_probe(tcb, seg):
        note_ack_of_probe(tcb, seg)
        if tcb.state == CLOSED:
            return
        if seg.flags & URG:
            sixth_check_urg(tcb, seg)  # with a zero window too (MUST-66)
    if length == 0:
        challenge_ack(tcb)  # a bare ACK, which may be the answer to one of ours: two ends out of step must not storm
        return
    # a probe, or what came before: our ACK was lost, or somebody asks if we live
    if seg.length and seq_lt(seg.seq, tcb.rcv_nxt):
        came_twice(tcb, seg.seq, seg.length)
    tcb.ack_now = True
    wants_output(tcb)


def is_probe(tcb: Tcb, seg: Segment) -> bool:
    """Whether an unacceptable segment is a window probe, or the ACK of an end that probes: its ACK counts (RFC 9293
    3.10.7.4: "special allowance" for valid ACKs).

    Where both ends probe, the octet of each may have been taken without the other's knowing: it then writes the number
    before our RCV.NXT on all that it sends, and only its ACK can end our own probing.
    """
    if seg.seq == tcb.rcv_nxt:
        return window_left(tcb) == 0
    return tcb.persisting and seq_diff(tcb.rcv_nxt, seg.seq) == 1


def note_ack_of_probe(tcb: Tcb, seg: Segment) -> None:
    """Takes the ACK and window of a segment whose data can't be taken, as the window is shut."""
    if seq_lt(tcb.snd_una, seg.ack) and seq_leq(seg.ack, tcb.snd_nxt):
        acknowledge(tcb, seg, False)
    if seg.ack == tcb.snd_una:
        update_window(tcb, seg, seg.window << tcb.snd_scale)
    closing_states(tcb)


def second_check_rst(tcb: Tcb, seg: Segment) -> None:
    """RST: only at exactly RCV.NXT does it reset; elsewhere in the window it is asked about (RFC 5961, 3.2)."""
    context = tcb.context
    if seg.seq != tcb.rcv_nxt and not context.settings.insecure_rst:
        challenge_ack(tcb)
        return
    context.stats.count("tcp_rst_in")
    if tcb.state == SYN_RECEIVED:
        if tcb.extras is not None and tcb.extras.fast_open is not None:
            tcb.fast_open.was_reset = True
        finish(tcb, ConnectionReset() if tcb.passive_open else ConnectionRefused())
    elif tcb.state in (CLOSING, LAST_ACK, TIME_WAIT):
        finish(tcb, None)
    else:
        finish(tcb, ConnectionReset())


def fourth_check_syn(tcb: Tcb, seg: Segment) -> None:
    """SYN in a synchronized state: a challenge ACK, whatever its number (RFC 5961, 4.2). With `insecure_syn` one in the
    window resets the connection (RFC 793, page 71).

    A repeated SYN,ACK, as in a simultaneous open or when our ACK was lost, is acknowledged likewise.
    """
    if tcb.state == SYN_RECEIVED and seg.flags & ACK and seg.ack == tcb.snd_nxt and seg.seq == tcb.irs:
        become_established(tcb, seg)
        tcb.ack_now = True
        wants_output(tcb)
        return
    if tcb.state == SYN_RECEIVED and seg.seq == tcb.irs:
        tcb.ack_now = True
        wants_output(tcb)
        return
    if tcb.context.settings.insecure_syn and in_window(tcb, seg.seq, 1, window_left(tcb)):
        abort(tcb, ConnectionReset())
        return
    if tcb.accecn is not None:
        repeat_handshake(tcb, seg)
    challenge_ack(tcb)
    if tcb.accecn is not None:
        tcb.accecn.handshake = -1


def become_established(tcb: Tcb, seg: Segment) -> None:
    """SYN-RECEIVED: our SYN is acknowledged. Data that Fast Open has sent behind it is left to the ACK's own step."""
    tcb.snd_una = (tcb.iss + 1) & MASK32
    tcb.snd_wnd = seg.window << tcb.snd_scale if not seg.flags & SYN else seg.window
    tcb.max_snd_wnd = tcb.snd_wnd
    tcb.snd_wl1 = seg.seq
    tcb.snd_wl2 = seg.ack
    time_of_syn(tcb, seg)
    tcb.rexmt_at = 0
    tcb.unanswered_since = 0
    if tcb.extras is not None and tcb.extras.fast_open is not None:
        handshake_done(tcb)
    if tcb.accecn is not None and not seg.flags & SYN:
        take_last_ack(tcb, tcb.accecn, seg)
    change(tcb, ESTABLISHED)
    established(tcb)
    if tcb.snd_nxt != tcb.snd_una:
        if tcb.flight is None:  # the data of a Fast Open SYN, in a simultaneous open
            begin_flight(tcb).add(tcb.snd_una, tcb.snd_nxt, tcb.context.now, seq_diff(tcb.snd_nxt, tcb.snd_una))
        start_retransmit(tcb)
    tcb.context.stats.count("tcp_connected")
    notify(tcb, EV_CONNECTED | EV_WRITABLE)
    if tcb.extras is not None and tcb.extras.early:
        take_early(tcb, tcb.extras)


def take_early(tcb: Tcb, extras: Extras) -> None:
    """The text of the peer's SYN, in a simultaneous open (RFC 9293 3.10.7.3: queued until ESTABLISHED). Where nobody
    will read it, it is left to be sent again, as what is not acknowledged is, and meets what other data meets."""
    text = extras.early
    extras.early = b""
    if not tcb.orphan and not tcb.receive_shut:
        take_data(tcb, tcb.rcv_nxt, text, 0, len(text))


def fifth_check_ack(tcb: Tcb, packet: Packet, seg: Segment) -> bool:
    """The ACK field (RFC 9293 3.10.7.4, fifth step); whether the segment is processed further."""
    context = tcb.context
    if tcb.state == SYN_RECEIVED:
        if not (seq_lt(tcb.snd_una, seg.ack) and seq_leq(seg.ack, tcb.snd_nxt)):
            reset_for(context, packet, seg, tcb.auth)
            return False
        become_established(tcb, seg)
    if seq_gt(seg.ack, tcb.snd_nxt) and not (tcb.extras is not None and tcb.extras.passed and passed_on(tcb, seg)):
        context.stats.count("tcp_ack_too_new")
        challenge_ack(tcb)
        return False
    if seq_lt(seg.ack, (tcb.snd_una - tcb.max_snd_wnd) & MASK32):
        context.stats.count("tcp_ack_too_old")  # RFC 5961 5.2
        challenge_ack(tcb)
        return False
    window = seg.window << tcb.snd_scale
    if seq_gt(seg.ack, tcb.snd_una):
        acknowledge(tcb, seg, False)
    elif tcb.snd_una != tcb.snd_nxt and not tcb.persisting:
        plain = seg.ack == tcb.snd_una and seg.length == 0 and window == tcb.snd_wnd and not seg.flags & FIN
        acknowledge(tcb, seg, plain)
    elif seg.sack_count:
        acknowledge(tcb, seg, False)  # a D-SACK, perhaps, of what was sent last
    if seg.ack == tcb.snd_una and (
        seq_lt(tcb.snd_wl1, seg.seq) or (tcb.snd_wl1 == seg.seq and seq_leq(tcb.snd_wl2, seg.ack))
    ):
        update_window(tcb, seg, window)
    wants_output(tcb)
    return closing_states(tcb)


def closing_states(tcb: Tcb) -> bool:
    """What the ACK of our FIN does; whether the connection goes on."""
    if not tcb.fin_acked:
        return True
    state = tcb.state
    if state == FIN_WAIT_1:
        change(tcb, FIN_WAIT_2)
        if tcb.orphan:
            wait_for_fin(tcb)
    elif state == CLOSING:
        change(tcb, TIME_WAIT)
    elif state == LAST_ACK:
        finish(tcb, None)
        return False
    return True


def update_window(tcb: Tcb, seg: Segment, window: int) -> None:
    """Takes the peer's window (RFC 9293 3.10.7.4: SND.WND, SND.WL1, SND.WL2)."""
    tcb.snd_wl1 = seg.seq
    tcb.snd_wl2 = seg.ack
    if (tcb.persisting or window == 0) and tcb.unanswered_since and not tcb.orphan:
        # the peer is alive: it may keep its window shut for as long as it likes (RFC 9293 3.8.6.1, MUST-37)
        tcb.unanswered_since = tcb.context.now
    if window == tcb.snd_wnd:
        return
    tcb.snd_wnd = window
    if window > tcb.max_snd_wnd:
        tcb.max_snd_wnd = window
    wants_output(tcb)


def seventh_process_text(tcb: Tcb, packet: Packet, seg: Segment) -> None:
    """Segment text, in the states that take it; data for a socket that was closed resets (RFC 9293 3.6.1, SHLD-3)."""
    state = tcb.state
    if state != ESTABLISHED and state != FIN_WAIT_1 and state != FIN_WAIT_2:
        return
    if tcb.orphan:
        tcb.context.stats.count("tcp_after_close")
        if seq_gt((seg.seq + seg.length) & MASK32, tcb.rcv_nxt):
            abort(tcb, ConnectionReset())  # nobody will ever read it: a RST says so
        return
    if tcb.receive_shut:
        skip_data(tcb, seg)
        return
    take_data(tcb, seg.seq, packet.text, seg.offset - packet.text_start, seg.length)
    if tcb.tuning is not None and seq_gt(tcb.rcv_nxt, tcb.tuning.mark):
        take_round_trip(tcb, seg)


def skip_data(tcb: Tcb, seg: Segment) -> None:
    """The user has shut the receiving side: what comes is acknowledged and thrown away."""
    end = (seg.seq + seg.length) & MASK32
    if seq_gt(end, tcb.rcv_adv):
        end = tcb.rcv_adv
    if seq_leq(seg.seq, tcb.rcv_nxt) and seq_gt(end, tcb.rcv_nxt):
        tcb.rcv_nxt = end
        if tcb.fin_held:
            fin_reached(tcb)
    tcb.ack_now = True

