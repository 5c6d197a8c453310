"""What one segment of a copy does.

The order is that of a host (RFC 9293 3.10.7.4) as far as a listener can follow it: is the segment to be believed, what
does its SYN or RST do, what does its ACK tell of the other stream, where in its own stream do its bytes belong, has the
stream ended. Where a host would refuse a segment for a reason that a copy can't judge with certainty (a bad checksum,
an old time stamp), its bytes are held in doubt: the receiver's ACK confirms them, a better version replaces them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uinet.passive.codes import SUM_BAD, SUM_GOOD, SUM_UNFINISHED
from uinet.passive.connection import Connection
from uinet.passive.constants import (
    BASE,
    CLOSED,
    DOUBT,
    FINISHED,
    GUESSED,
    IGNORED,
    NO_FIN,
    OPEN,
    RST_IGNORED,
    SETTLING,
    SIGNED,
    SYN_SEEN,
    TIMESTAMPS,
    UNFINISHED,
    VOID,
)
from uinet.passive.ending import both_ended, reset
from uinet.passive.gap import Piece
from uinet.passive.half import Half
from uinet.passive.holes import URGENT
from uinet.passive.opening import begins_anew, chosen, learn, settle_down, straggler, syn_arrives
from uinet.passive.stream import (
    acknowledged,
    finish,
    gap_of,
    reaches,
    resolve,
    settle_overlaps,
    skip,
    take_in,
    within_budget,
)
from uinet.seq import seq_diff
from uinet.units import MASK32
from uinet.wire.constants import ACK, FIN, RST, SYN, URG
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.passive.core import Core

REACH = 1 << 30  # no window is larger (RFC 7323 2.3): what is further away is not of this stream
ACK_SLACK = 1 << 20  # how far an ACK may run ahead of the window that was seen
SETTLE_PACKETS = 8
TTL_SPREAD = 4  # hops by which paths of one connection may differ
LARGE = 1500  # payload of a segment that an offload made: its checksum says nothing

BELIEVED = 0
DOUBTED = 1
REFUSED = 2


def arrives(
    core: Core, conn: Connection, from_client: bool, seg: Segment, data: bytes, captured: int, sum_state: int,
    signed: bool,
) -> None:
    """A segment of `conn`, at `core.now`; its payload's first `captured` bytes are in `data` at `seg.offset`."""
    if from_client:
        half = conn.client
        other = conn.server
    else:
        half = conn.server
        other = conn.client
    doubt = 0
    if sum_state != SUM_GOOD or half.good < 255:
        verdict = judge(core, conn, half, seg, sum_state)
        if verdict == REFUSED:
            tale = half.told()
            tale.ignored += 1
            return
        if verdict == DOUBTED:
            doubt = DOUBT
    if signed and conn.state == OPEN and not conn.flags & SIGNED and half.flags & SYN_SEEN:
        tale = half.told()
        tale.ignored += 1  # RFC 2385, as Linux: an option that was not agreed on
        core.tally.count("unexpected_signature")
        return
    if seg.flags & (SYN | RST) or conn.state != OPEN:
        if not special(core, conn, half, other, from_client, seg, data, captured, doubt, signed):
            return
    half.packets += 1
    conn.last = core.now
    if core.ttl != half.ttl:
        other_ttl(core, half)
    if conn.extra is not None:
        open_questions(core, conn, other, from_client, seg)
    if not half.flags & BASE or not other.flags & BASE:
        learn(core, conn, half, other, seg)
    established(core, conn, half, other, seg, data, captured, doubt)


def other_ttl(core: Core, half: Half) -> None:
    """Insertion attacks let segments die on their way (Ptacek and Newsham 1998): a copy can only count them."""
    if half.ttl == 0:
        half.ttl = core.ttl
    elif core.ttl + TTL_SPREAD < half.ttl:
        tale = half.told()
        tale.ttl_outliers += 1


def judge(core: Core, conn: Connection, half: Half, seg: Segment, sum_state: int) -> int:
    """What the checksum says: in a capture where checksums are otherwise right, a wrong one counts."""
    if sum_state == SUM_GOOD:
        if half.good < 255:
            half.good += 1
        core.good_sums += 1
        return BELIEVED
    if sum_state == SUM_UNFINISHED:
        conn.flags |= UNFINISHED
        return BELIEVED
    if sum_state != SUM_BAD:
        return BELIEVED
    core.tally.count("bad_checksum")
    core.bad_sums += 1
    if core.strict_sums:
        return REFUSED
    if seg.length > LARGE:
        return BELIEVED
    if half.good == 0 and half.bad == 0:
        trusted = core.good_sums >= 8 and core.bad_sums * 16 <= core.good_sums
    else:
        trusted = half.good > 0 and half.bad * 4 <= half.good
    if half.bad < 255:
        half.bad += 1
    if not trusted:
        return BELIEVED
    return DOUBTED if not seg.flags & (SYN | FIN | RST) else REFUSED


def special(
    core: Core, conn: Connection, half: Half, other: Half, from_client: bool, seg: Segment, data: bytes,
    captured: int, doubt: int, signed: bool,
) -> bool:
    """SYN, RST, or a connection that is not open; whether the segment goes on as an ordinary one."""
    flags = seg.flags
    if flags & SYN:
        if flags & (FIN | RST):
            tale = half.told()
            tale.ignored += 1
            core.tally.count("nonsense_flags")
            return False
        return syn_arrives(core, conn, half, other, from_client, seg, data, captured, signed)
    if conn.state == CLOSED:
        return straggler(core, conn, half, from_client, seg, data, captured, doubt, signed)
    if conn.state == IGNORED:
        conn.last = core.now
        core.tally.count("ignored_midstream")
        return False
    extra = conn.extra
    if extra is not None and extra.syn_pending and begins_anew(
        core, conn, half, from_client, seg, data, captured, doubt, signed
    ):
        return False
    if flags & RST:
        reset(core, conn, half, other, from_client, seg)
        return False
    return True


def open_questions(core: Core, conn: Connection, other: Half, from_client: bool, seg: Segment) -> None:
    """What a segment tells of a RST or of several SYN|ACKs before it."""
    extra = conn.extra
    assert extra is not None
    if extra.rst_at and extra.rst_from_client == from_client and core.now > extra.rst_at + core.skew:
        extra.rst_at = 0  # who goes on did not send the RST
        half = conn.client if from_client else conn.server
        tale = half.told()
        tale.rst_ignored += 1
        conn.flags |= RST_IGNORED
        core.tally.count("rst_ignored")
    if extra.candidates and seg.flags & ACK and seg.ack in extra.candidates:
        chosen(conn, other, seg.ack)


def established(
    core: Core, conn: Connection, half: Half, other: Half, seg: Segment, data: bytes, captured: int, doubt: int
) -> None:
    """The ordinary segment: ACK, payload, FIN."""
    flags = seg.flags
    if not flags & ACK and not flags & SYN:
        if seg.length or flags & FIN:
            tale = half.told()
            tale.ignored += 1  # RFC 9293 3.10.7.4, fifth: no ACK, drop
            core.tally.count("no_ack")
        return
    off = half.nxt + seq_diff(seg.seq, (half.base + half.nxt) & MASK32)
    if flags & SYN:
        off += 1
        doubt = DOUBT  # data on a SYN count if they are acknowledged (RFC 7413)
    length = seg.length
    if off > half.nxt + REACH or off + length < half.nxt - REACH:
        tale = half.told()
        tale.ignored += 1
        core.tally.count("out_of_window")
        return
    if seg.has_timestamps and half.flags & TIMESTAMPS and other.flags & TIMESTAMPS:
        if seq_diff(half.ts_recent, seg.tsval) > 1:
            doubt = DOUBT  # RFC 7323 5.3, with Linux's tolerance of one tick
        elif off <= half.nxt and (off + length > half.nxt or (off == half.nxt and not length)):
            half.ts_recent = seg.tsval
    if flags & ACK and not acks(core, conn, half, other, seg) and core.policy_refuses_acks:
        tale = half.told()
        tale.ignored += 1
        return
    if length:
        if length == 1 and half.edge >= 0 and off >= half.edge:
            tale = half.told()
            tale.probes += 1
        if flags & URG and core.urgent_holes and seg.urgent:
            take_urgent(core, conn, half, off, length, data, seg.offset, captured, doubt, seg.urgent)
        else:
            take_in(core, conn, half, off, length, data, seg.offset, captured, doubt)
    elif off > half.nxt and not flags & (FIN | SYN) and not doubt:
        reaches(core, conn, half, off)
    if flags & FIN:
        fin(core, conn, half, off + length, doubt)
    if half.flags & SETTLING and half.packets >= SETTLE_PACKETS:
        settle_down(core, conn, half)
    if half.flags & FINISHED or other.flags & FINISHED:
        both_ended(core, conn)


def acks(core: Core, conn: Connection, half: Half, other: Half, seg: Segment) -> bool:
    """What the ACK field tells of the other stream; False if no host would believe it."""
    if not other.flags & (BASE | GUESSED):
        return True
    acked = other.nxt + seq_diff(seg.ack, (other.base + other.nxt) & MASK32)
    known = other.nxt if other.nxt > other.acked else other.acked
    if other.edge > known:
        known = other.edge
    if acked > known + ACK_SLACK and (other.edge >= 0 or acked > known + REACH) and acked > shown_end(other):
        core.tally.count("bad_ack")  # RFC 9293 3.10.7.4, fifth: it acknowledges what was never sent
        return False
    if acked < other.acked and other.edge >= 0 and other.acked - acked > other.edge - other.acked + ACK_SLACK:
        core.tally.count("bad_ack")  # as Linux: older than any window
        return False
    if half.flags & other.flags & SYN_SEEN:
        edge = acked + (seg.window if seg.flags & SYN else seg.window << half.scale)
        if edge > other.edge:
            other.edge = edge
    if acked > other.acked:
        other.acked = acked
        if acked > other.nxt or other.gap is not None:
            acknowledged(core, conn, other)
    return True


def shown_end(half: Half) -> int:
    """How far the segments seen of the stream reach, held ones included."""
    gap = half.gap
    if gap is None or gap.count == 0:
        return half.nxt
    block: list[Any] = gap.blocks[len(gap.blocks) - 1]
    last: Piece = block[len(block) - 1]
    return last.end


def fin(core: Core, conn: Connection, half: Half, at: int, doubt: int) -> None:
    """A FIN behind the stream's byte `at` - 1; one in doubt counts when it is acknowledged."""
    if half.flags & FINISHED or (at < half.nxt and not half.flags & SETTLING) or conn.state == IGNORED:
        return
    if half.nxt == at and half.gap is None and not half.flags & SETTLING and not doubt:
        finish(core, conn, half)
        return
    gap = gap_of(core, conn, half)
    if doubt and half.acked <= at:
        if gap.fin_doubt == NO_FIN or at < gap.fin_doubt:
            gap.fin_doubt = at
    elif gap.fin_at == NO_FIN or at < gap.fin_at:
        gap.fin_at = at
    resolve(core, conn, half, 0)


def take_urgent(
    core: Core, conn: Connection, half: Half, off: int, length: int, data: bytes, start: int, captured: int,
    doubt: int, urgent: int,
) -> None:
    """A payload with an urgent octet, the one before the urgent pointer (RFC 6093 3.1), that is not in the stream."""
    at = urgent - 1
    if at >= length:
        take_in(core, conn, half, off, length, data, start, captured, doubt)
        return
    if at:
        take_in(core, conn, half, off, at, data, start, captured if captured < at else at, doubt)
    if off + at >= half.nxt and not half.flags & FINISHED and conn.state != IGNORED:
        if off + at == half.nxt and half.gap is None and not half.flags & SETTLING and not doubt:
            skip(core, conn, half, 1, URGENT)
        else:
            gap = gap_of(core, conn, half)
            before = gap.size
            piece = Piece(off + at, off + at + 1, b"", 0, VOID | doubt, core.stamp, core.now)
            piece.reason = URGENT
            settle_overlaps(core, conn, half, gap, piece)
            core.held += gap.size - before
            core.link(gap)
            resolve(core, conn, half, 0)
            within_budget(core, conn)
    if at + 1 < length:
        left = captured - at - 1
        take_in(core, conn, half, off + at + 1, length - at - 1, data, start + at + 1, left if left > 0 else 0, doubt)
