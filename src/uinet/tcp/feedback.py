"""ECN in the handshake, and accurate feedback of marks (RFC 9768; RFC 3168, 6.1.1).

The three flags AE, CWR and ECE negotiate in SYN and SYN,ACK; afterwards they are one counter, ACE, of the packets that
came marked. An option tells of bytes as well, where it passes and has room.
"""

from __future__ import annotations

from uinet.tcp.accecn import FIRST_CEP, HANDSHAKE_ACE, MASK24, AccEcn
from uinet.tcp.constants import (
    CE,
    ECN_ACCURATE,
    ECN_ASK,
    ECN_NEVER,
    ECT_0,
    MODE_ACCURATE,
    MODE_CLASSIC,
    MODE_NONE,
    TIMESTAMPS_LENGTH,
)
from uinet.tcp.sent import Ack
from uinet.tcp.tcb import Tcb
from uinet.wire.constants import ACE_SHIFT, ACK, ECE, KIND_ACCECN0, KIND_ACCECN1
from uinet.wire.kernels import store_u8, store_u16
from uinet.wire.segment import Segment

MOST_OPTIONS = 40
LONG_STRETCH = 32  # four packets an ACK, in eighths: where ACKs are as rare as that, no ACK looks like a lost one


# the handshake


def mode_of_syn(flags: int, setting: int) -> int:
    """The mode that a server enters by a SYN's flags (RFC 9768, table 2 and 3.1.3; RFC 3168, 6.1.1)."""
    ace = (flags >> ACE_SHIFT) & 7
    if setting == ECN_NEVER or ace == 0:
        return MODE_NONE
    if setting == ECN_ACCURATE and ace != 0b011:
        return MODE_ACCURATE
    return MODE_CLASSIC if ace & 0b011 == 0b011 else MODE_NONE


def mode_of_syn_ack(flags: int, setting: int) -> int:
    """The mode that a client enters by the flags of the first SYN,ACK (RFC 9768, table 2)."""
    ace = (flags >> ACE_SHIFT) & 7
    if setting == ECN_ACCURATE:
        if ace == 0 or ace == 0b111:  # 0b111: the server sends back what it was sent
            return MODE_NONE
        return MODE_CLASSIC if ace == 0b001 else MODE_ACCURATE
    return MODE_CLASSIC if setting == ECN_ASK and ace & 0b011 == 0b001 else MODE_NONE


def agree_on_ecn(tcb: Tcb, seg: Segment) -> None:
    """ECN, by the flags of the peer's SYN or SYN,ACK, where ours came first."""
    setting = tcb.context.settings.ecn
    if not seg.flags & ACK:
        enter(tcb, mode_of_syn(seg.flags, setting), seg.ecn)
        return
    enter(tcb, mode_of_syn_ack(seg.flags, setting), 0)
    if tcb.accecn is not None:
        take_syn_ack(tcb.accecn, seg)


def enter(tcb: Tcb, mode: int, syn_ecn: int) -> None:
    """Sets the feedback mode, once for a connection. `syn_ecn`: the ECN field of the peer's SYN."""
    tcb.ecn_ok = mode != MODE_NONE
    if mode == MODE_ACCURATE:
        tcb.accecn = AccEcn(syn_ecn)
        tcb.ace_in = (FIRST_CEP & 7) << ACE_SHIFT


def take_syn_ack(accurate: AccEcn, seg: Segment) -> None:
    """What the first SYN,ACK tells a client (RFC 9768, 3.2.2.2 and 3.2.2.3): how its SYN arrived, which was not
    ECN-capable. A field that was changed on the way may be changed again: nothing is ECN-capable then."""
    ace = (seg.flags >> ACE_SHIFT) & 7
    accurate.handshake = seg.ecn
    if seg.ecn == CE:
        accurate.r_cep = FIRST_CEP + 1
    accurate.ect = ace == 0b010 or ace == 0b101
    accurate.ce_on_syn = ace == 0b110
    accurate.options = seg.accecn_length >= 0 and not zeroed(seg)


def take_last_ack(tcb: Tcb, accurate: AccEcn, seg: Segment) -> None:
    """The handshake's last ACK tells a server how its SYN,ACK arrived (RFC 9768, table 4)."""
    accurate.options = seg.accecn_length >= 0 and not zeroed(seg)
    if seg.length or seg.sack_count:
        return
    ace = (seg.flags >> ACE_SHIFT) & 7
    if ace == 0:
        accurate.ect = False
        accurate.respond = False
    elif ace == 0b110:
        accurate.s_cep = FIRST_CEP + 1
        accurate.ce_on_syn = True
        accurate.ect = False  # our SYN,ACK was not ECN-capable
    elif ace == 0b011 or ace == 0b100:
        accurate.ect = False
    tcb.ace_in = (accurate.s_cep & 7) << ACE_SHIFT
    seg.flags = (seg.flags & ~(7 << ACE_SHIFT)) | tcb.ace_in  # it was no counter


def repeat_handshake(tcb: Tcb, seg: Segment) -> None:
    """A SYN,ACK that came again: the ACK of it tells how it arrived (RFC 9768, 3.2.2.1)."""
    accurate = tcb.accecn
    if accurate is not None and seg.flags & ACK and seg.seq == tcb.irs and not tcb.passive_open:
        if mode_of_syn_ack(seg.flags, ECN_ACCURATE) == MODE_ACCURATE:
            accurate.handshake = seg.ecn
            if seg.ecn == CE and accurate.r_cep == FIRST_CEP:
                accurate.r_cep = FIRST_CEP + 1


def syn_ack_flags(tcb: Tcb) -> int:
    """The flags of our SYN,ACK, for a connection that has a TCB already."""
    if tcb.accecn is not None:
        return HANDSHAKE_ACE[tcb.accecn.syn_ecn] << ACE_SHIFT
    return ECE if tcb.ecn_ok else 0


# the receiver's side


def note_received(tcb: Tcb, accurate: AccEcn, ecn: int, length: int) -> None:
    """Counts an acceptable packet, and says when that has to be told at once (RFC 9768, 3.2 and 3.2.2.5.1)."""
    if ecn == CE:
        tcb.context.stats.count("tcp_ce_in")
        accurate.r_cep += 1
        accurate.ce_unacked += 1
        if (length and not accurate.last_ce) or accurate.ce_unacked >= (2 if length or tcb.delack_at else 3):
            tcb.ack_now = True
    accurate.last_ce = ecn == CE
    if length and ecn:
        accurate.changed = True
        if ecn == CE:
            accurate.r_ceb += length
        elif ecn == ECT_0:
            accurate.r_e0b += length
        else:
            accurate.r_e1b += length


def feedback_flags(tcb: Tcb, accurate: AccEcn, seq: int, length: int, sacks: bool) -> int:
    """The ACE field of a segment that goes out, as flags; decides whether its packet is ECN-capable, which only new
    data is."""
    tcb.ecn = ECT_0 if accurate.ect and length and seq == tcb.snd_nxt and not tcb.persisting else 0
    accurate.ce_unacked = 0
    if accurate.handshake >= 0 and length == 0 and not sacks:
        ace = HANDSHAKE_ACE[accurate.handshake]
        accurate.handshake = -1
        return ace << ACE_SHIFT
    return (accurate.r_cep & 7) << ACE_SHIFT


def put_option(tcb: Tcb, accurate: AccEcn, scratch: bytearray, at: int, used: int, length: int) -> int:
    """Writes the AccECN option at `at`, behind `used` bytes of options, if there is something to tell and room beside
    `length` bytes of payload; its length, with NOPs before it (RFC 9768, 3.2.3.3)."""
    second = accurate.r_e1b > 1 and accurate.r_e0b == 1  # order 1
    fields = 1
    if accurate.r_ceb:
        fields = 2
    if accurate.r_e1b > 1 and accurate.r_e0b > 1:
        fields = 3
    size = 2 + 3 * fields
    padded = (size + 3) & ~3
    room = tcb.mss + (TIMESTAMPS_LENGTH if tcb.ts_ok else 0) - used - length
    if used + padded > MOST_OPTIONS or tcb.auth is not None or (length and padded > room):
        return 0
    for _ in range(padded - size):
        store_u8(scratch, at, 1)
        at += 1
    store_u8(scratch, at, KIND_ACCECN1 if second else KIND_ACCECN0)
    store_u8(scratch, at + 1, size)
    put_counter(scratch, at + 2, accurate.r_e1b if second else accurate.r_e0b)
    if fields > 1:
        put_counter(scratch, at + 5, accurate.r_ceb)
    if fields > 2:
        put_counter(scratch, at + 8, accurate.r_e1b)
    accurate.changed = False
    return padded


def put_counter(scratch: bytearray, at: int, value: int) -> None:
    """The low 24 bits of a counter."""
    store_u8(scratch, at, (value >> 16) & 0xFF)
    store_u16(scratch, at + 1, value & 0xFFFF)


def put_first_option(scratch: bytearray, at: int) -> int:
    """The option of a SYN,ACK: the counters as they begin; its length, a NOP included."""
    store_u8(scratch, at, 1)
    store_u8(scratch, at + 1, KIND_ACCECN0)
    store_u8(scratch, at + 2, 11)
    put_counter(scratch, at + 3, 1)
    put_counter(scratch, at + 6, 0)
    put_counter(scratch, at + 9, 1)
    return 12


# the sender's side


def zeroed(seg: Segment) -> bool:
    """Whether something on the way has set a counter to zero that never is (RFC 9768, 3.2.3.2.4)."""
    return seg.accecn_first == 0 or (seg.accecn_length >= 9 and seg.accecn_third == 0)


def take_option(accurate: AccEcn, seg: Segment) -> int:
    """Takes the option's counters; newly marked bytes, or -1 if it says nothing of them."""
    first = seg.accecn_first
    third = seg.accecn_third
    if seg.accecn_kind == KIND_ACCECN1:
        first, third = third, first
    if first >= 0:
        accurate.s_e0b += (first - accurate.s_e0b) & MASK24
    if third >= 0:
        accurate.s_e1b += (third - accurate.s_e1b) & MASK24
    marked = seg.accecn_second
    if marked < 0:
        # a field is left out only while it has never changed
        return 0 if accurate.s_ceb == 0 and seg.accecn_length else -1
    news = (marked - accurate.s_ceb) & MASK24
    accurate.s_ceb += news
    return news


def decode(tcb: Tcb, accurate: AccEcn, seg: Segment, ack: Ack) -> None:
    """What an ACK that acknowledges something new tells of marks (RFC 9768, 3.2.2.2, A.2)."""
    ace = (seg.flags >> ACE_SHIFT) & 7
    if not accurate.checked:
        accurate.checked = True
        if ace == 0:  # RFC 9768, 3.2.2.4
            accurate.ect = False
            accurate.respond = False
    news = (ace - accurate.s_cep) & 7
    packets = (ack.delivered + tcb.mss - 1) // tcb.mss
    marked = -1
    if seg.accecn_length >= 0 and not zeroed(seg):
        accurate.options = True  # even if the handshake's was lost (3.2.3.2.3)
        marked = take_option(accurate, seg)
    safe = wrapped(tcb, accurate, news, packets, marked)
    accurate.stretch += packets - accurate.stretch // 8
    accurate.s_cep += safe
    tcb.ace_in = (accurate.s_cep & 7) << ACE_SHIFT
    if marked > 0 and safe == 0 and packets < 8:
        accurate.ect = False  # the option tells of marks, the flags of none: something changes them (3.2.3.2.5)
    if safe and accurate.respond:
        ack.ece = True
        ack.marked = marked if marked > 0 else safe * tcb.mss


def wrapped(tcb: Tcb, accurate: AccEcn, news: int, packets: int, marked: int) -> int:
    """How many packets were marked, if ACE has grown by `news` modulo 8 while `packets` were acknowledged: after lost
    ACKs the most that can have been, unless `marked` bytes (-1: not known) say otherwise, or ACKs are always rare."""
    if packets <= news:
        return news
    safe = packets - ((packets - news) & 7)
    if safe <= news:
        return news
    if marked >= 0:
        return news if marked <= tcb.mss * news and 2 * marked < tcb.mss * safe else safe
    return news if accurate.stretch >= LONG_STRETCH else safe


def is_mixed(mode: int, flags: int, setting: int) -> bool:
    """Whether a SYN that came again asks for another kind of ECN than the first: nobody knows then which of them the
    peer goes by, and the connection has to be reset (RFC 9768, 3.1.5)."""
    again = mode_of_syn(flags, setting)
    return (mode == MODE_ACCURATE and again == MODE_CLASSIC) or (mode == MODE_CLASSIC and again == MODE_ACCURATE)
