"""How connections begin in a copy: handshakes of every shape and with any packet missing, and streams without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.passive.codes import SUM_UNKNOWN
from uinet.passive.connection import Connection
from uinet.passive.constants import (
    BASE,
    CLOSED,
    DELIVERED,
    DOUBT,
    GUESSED,
    MIDSTREAM,
    OPEN,
    OPENED,
    SETTLING,
    SIGNED,
    SYN_SEEN,
    TIMESTAMPS,
    WAITING,
)
from uinet.passive.gap import Gap, Piece
from uinet.passive.half import Half
from uinet.passive.stream import acknowledged, drop_first, drop_gap, ended, reaches, rebase, resolve, settle
from uinet.seq import seq_diff
from uinet.units import MASK32
from uinet.wire.constants import ACK, NO_WSCALE, RST
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.passive.core import Core

NEAR = 1 << 24  # a sequence number this close to another belongs to the same connection
APART = 1 << 20  # one this far from where a closed connection ended does not
CANDIDATES = 4


def syn_arrives(
    core: Core, conn: Connection, half: Half, other: Half, from_client: bool, seg: Segment, data: bytes, captured: int,
    signed: bool,
) -> bool:
    """A SYN or SYN|ACK; whether it goes on as an ordinary segment (its ACK, its data)."""
    base = (seg.seq + 1) & MASK32
    answer = seg.flags & ACK != 0
    if conn.state == CLOSED or not is_its_own(conn, half, base):
        if conn.state == CLOSED and half.flags & BASE and base == half.base:
            core.tally.count("stragglers")
            return False
        return other_syn(core, conn, half, other, from_client, seg, data, captured, signed)
    if half.flags & SYN_SEEN:
        if answer:
            refused_data(core, other, seg)
        return True
    if answer and other.flags & SYN_SEEN and not 0 <= seq_diff(seg.ack, other.base) <= 0xFFFF:
        return other_syn(core, conn, half, other, from_client, seg, data, captured, signed)
    if conn.state == WAITING and not joins(core, conn, half, base):
        core.renew(conn, from_client != answer, from_client, seg, data, captured, signed)
        return False
    if not conn.flags & OPENED and from_client == answer:
        conn.swap()  # who sends the SYN is the client, who answers it the server
    conn.state = OPEN
    core.open(conn)
    take_syn(core, conn, half, seg, base)
    if signed:
        conn.flags |= SIGNED
    if answer and not other.flags & BASE:
        set_base(core, conn, other, seg.ack)
    scales(half, other)
    if not other.flags & BASE:
        other.flags &= ~SETTLING & MASK32  # its first byte will be told by its SYN|ACK, or by the ACK of that
    if answer:
        refused_data(core, other, seg)
        resolve(core, conn, other, 0)
    resolve(core, conn, half, 0)
    return True


def is_its_own(conn: Connection, half: Half, base: int) -> bool:
    """Whether a SYN may be that of the stream, as far as its beginning is known.

    A SYN|ACK, or the first byte that came, tells it too, save for data on the SYN.
    """
    if half.flags & SYN_SEEN:
        return base == half.base
    if conn.state != OPEN or not half.flags & BASE or half.flags & SETTLING:
        return True
    return base == half.base or (0 <= seq_diff(half.base, base) <= 0xFFFF and not half.flags & DELIVERED)


def joins(core: Core, conn: Connection, half: Half, base: int) -> bool:
    """Whether what is held of a connection without handshake belongs to this SYN, which only came late."""
    if not half.flags & BASE or half.gap is None:
        return True
    gap = half.gap
    first = gap.first()
    distance = seq_diff((half.base + (first.off if first is not None else 0)) & MASK32, base)
    return -1 <= distance < NEAR


def take_syn(core: Core, conn: Connection, half: Half, seg: Segment, base: int) -> None:
    """What the SYN says of its sender's stream."""
    set_base(core, conn, half, base)
    half.flags = (half.flags | SYN_SEEN) & ~SETTLING & MASK32
    half.scale = seg.wscale
    if seg.has_timestamps:
        half.flags |= TIMESTAMPS
        half.ts_recent = seg.tsval


def set_base(core: Core, conn: Connection, half: Half, base: int) -> None:
    """The stream begins with sequence number `base`: what was seen of it before now has its place."""
    seen = 0
    if half.flags & (BASE | GUESSED):
        by = seq_diff(base, half.base)
        if by and not half.flags & DELIVERED:
            rebase(half, by)
            if half.flags & BASE:
                seen = -by
    else:
        half.base = base
    half.flags = (half.flags | BASE) & ~(GUESSED | SETTLING) & MASK32
    if seen > half.nxt:
        reaches(core, conn, half, seen)
    if half.acked > half.nxt:
        acknowledged(core, conn, half)


def scales(half: Half, other: Half) -> None:
    """Window scaling is on if both SYNs have the option (RFC 7323 2.2)."""
    if half.flags & other.flags & SYN_SEEN and (half.scale == NO_WSCALE or other.scale == NO_WSCALE):
        half.scale = other.scale = 0


def refused_data(core: Core, half: Half, seg: Segment) -> None:
    """A SYN|ACK says how much of the data on the SYN was taken (RFC 7413 4.2.2): the rest will come again."""
    gap = half.gap
    if gap is None or half.nxt:
        return
    first = gap.first()
    if first is None or first.off != 0 or not first.flags & DOUBT:
        return
    taken = seq_diff(seg.ack, half.base)
    if taken >= first.end:
        return
    kept: Piece | None = first.part(0, taken) if taken > 0 else None
    drop_first(core, half, gap)
    if kept is not None:
        put_back(core, gap, kept)


def put_back(core: Core, gap: Gap, piece: Piece) -> None:
    """Holds a piece of one that was held."""
    before = gap.size
    gap.insert(piece)
    core.held += gap.size - before
    core.link(gap)


def other_syn(
    core: Core, conn: Connection, half: Half, other: Half, from_client: bool, seg: Segment, data: bytes, captured: int,
    signed: bool,
) -> bool:
    """A SYN that does not belong to the connection as it is: another connection on the same tuple, or a fake."""
    extra = conn.extra
    answer = seg.flags & ACK != 0
    if answer and extra is not None and extra.syn_pending and extra.syn_from_client != from_client and (
        not extra.syn_answer
    ):
        if seg.ack == extra.syn_base:
            begin(core, conn, seg, data, captured, from_client, signed)
            return False
    if conn.state == CLOSED or over_soon(conn, half, other, answer):
        core.renew(conn, from_client != answer, from_client, seg, data, captured, signed)
        return False
    tale = half.told()
    tale.ignored += 1
    core.tally.count("syn_ignored")
    asides = conn.asides()
    if answer and half.nxt == 0 and half.packets and other.acked == 0:
        if len(asides.candidates) < CANDIDATES:
            asides.candidates.append((seg.seq + 1) & MASK32)
        return False
    if answer and asides.syn_pending:
        return False
    asides.syn_pending = True
    asides.syn_answer = answer
    asides.syn_base = seg.ack if answer else (seg.seq + 1) & MASK32
    asides.answer_base = (seg.seq + 1) & MASK32
    asides.syn_stamp = core.stamp
    asides.syn_scale = seg.wscale
    asides.syn_timestamps = seg.has_timestamps
    asides.syn_from_client = from_client != answer
    return False


def over_soon(conn: Connection, half: Half, other: Half, answer: bool) -> bool:
    """Whether a new SYN needs no confirmation: the connection is ending, or was never answered."""
    extra = conn.extra
    if ended(half) and ended(other):
        return True
    if extra is not None and extra.rst_at:
        return True
    return not answer and other.packets == 0 and not half.flags & DELIVERED


def begins_anew(
    core: Core, conn: Connection, half: Half, from_client: bool, seg: Segment, data: bytes, captured: int, doubt: int,
    signed: bool,
) -> bool:
    """Whether a segment belongs to the connection that an unanswered SYN opened; it is handed on then."""
    extra = conn.extra
    assert extra is not None
    if seg.flags & RST:
        return False
    if extra.syn_from_client == from_client:
        base = extra.syn_base
    elif extra.syn_answer:
        base = extra.answer_base
    else:
        return False
    if not 0 <= seq_diff(seg.seq, base) < APART:
        return False
    off = half.nxt + seq_diff(seg.seq, (half.base + half.nxt) & MASK32)
    if half.nxt - APART < off < half.nxt + APART:
        return False
    begin(core, conn, seg, data, captured, from_client, signed)
    return True


def begin(
    core: Core, conn: Connection, seg: Segment, data: bytes, captured: int, from_client: bool, signed: bool
) -> None:
    """The connection of the SYN that was noted takes the place of `conn`; `seg` is its next segment."""
    extra = conn.extra
    assert extra is not None
    new = core.replace(conn, extra.syn_from_client)
    new.start = extra.syn_stamp
    half = new.client
    new.state = OPEN
    core.open(new)
    set_base(core, new, half, extra.syn_base)
    if extra.syn_answer:
        half = new.server
        set_base(core, new, half, extra.answer_base)
    half.flags |= SYN_SEEN | (TIMESTAMPS if extra.syn_timestamps else 0)
    half.scale = extra.syn_scale
    half.packets = 1
    core.segment(new, from_client == extra.syn_from_client, seg, data, captured, SUM_UNKNOWN, signed)


def learn(core: Core, conn: Connection, half: Half, other: Half, seg: Segment) -> None:
    """Takes the beginning of a stream whose SYN is missing from what there is.

    Its own sequence numbers first; the other side's ACKs, until it is seen itself: the lower of the two, as the ACK of
    a lost SYN|ACK names the first byte exactly.
    """
    if not half.flags & BASE:
        if half.flags & GUESSED:
            by = seq_diff(seg.seq, half.base)
            if not half.flags & DELIVERED and (by < 0 or half.flags & SETTLING):
                rebase(half, by)
        else:
            half.base = seg.seq
            half.flags |= SETTLING
        half.flags = (half.flags | BASE) & ~GUESSED & MASK32
    elif half.flags & SETTLING and half.gap is None and seq_diff(seg.seq, half.base) < 0:
        half.base = seg.seq
    if seg.flags & ACK and not other.flags & BASE:
        if not other.flags & GUESSED:
            other.base = seg.ack
            other.flags |= GUESSED
        elif not other.flags & DELIVERED and seq_diff(seg.ack, other.base) < 0:
            rebase(other, seq_diff(seg.ack, other.base))


def chosen(conn: Connection, half: Half, base: int) -> None:
    """Of several SYN|ACKs the client has acknowledged this one."""
    extra = conn.extra
    assert extra is not None
    if not half.flags & DELIVERED:
        rebase(half, seq_diff(base, half.base))
    extra.candidates = []


def settle_down(core: Core, conn: Connection, half: Half) -> None:
    """Enough has been seen of a stream without beginning: it begins with its lowest byte."""
    if conn.state == WAITING:
        if not core.midstream:
            return
        conn.state = OPEN
        conn.flags |= MIDSTREAM
        core.open(conn)
    settle(core, conn, half)


def straggler(
    core: Core, conn: Connection, half: Half, from_client: bool, seg: Segment, data: bytes, captured: int, doubt: int,
    signed: bool,
) -> bool:
    """A segment after the end: late, or of a connection whose beginning is missing or comes later."""
    if half.flags & BASE and seg.flags & ACK and not seg.flags & RST:
        off = half.nxt + seq_diff(seg.seq, (half.base + half.nxt) & MASK32)
        if not half.nxt - APART < off < half.nxt + APART:
            core.renew(conn, True, from_client, seg, data, captured, signed)
            return False
    core.tally.count("stragglers")
    return False


def give_up_waiting(core: Core, conn: Connection) -> None:
    """No SYN has come: follow from the middle, or not at all."""
    if core.midstream:
        for half in (conn.client, conn.server):
            if half.flags & SETTLING:
                settle_down(core, conn, half)
        return
    for half in (conn.client, conn.server):
        drop_gap(core, half)
    core.ignore(conn)
