"""Rebuilding one stream: what arrives in its place is delivered, what comes early is held, what is missing is a hole.

A gap is waited for, in packet time: `deadline`, or `skew` once the other side has acknowledged all of it and later
data are there. An ACK alone, without later data, shortens nothing: two taps are never in step, and an ACK that runs
ahead of its data is the ordinary case where they are not. What has been delivered is final.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.passive.connection import Connection
from uinet.passive.constants import BUDGET as NOTE_BUDGET
from uinet.passive.constants import (
    CONFLICT,
    DELIVERED,
    DOUBT,
    DOUBTFUL,
    ENDED,
    FAR,
    FINISHED,
    FIRST,
    IGNORED,
    NO_FIN,
    OPENED,
    PIECE_COST,
    SETTLING,
    VOID,
    WAITING,
    WEAK,
)
from uinet.passive.gap import Gap, Piece, joined
from uinet.passive.half import Half
from uinet.passive.holes import BUDGET, DEADLINE, LOST, SNAPLEN
from uinet.passive.overlap import new_wins
from uinet.units import MASK32
from uinet.wire.kernels import equal, take

if TYPE_CHECKING:
    from uinet.passive.core import Core

MANY = 32  # pieces that one segment overlaps: more are joined where they can be
CROWD = 256  # more than that, joined, make work for nothing:
CROWDS = 8  # after so many such segments no more is waited for what is missing before them
CLAIMS = 3  # segments beyond the window that say the same are believed where the other side is not seen


def patience(conn: Connection, half: Half) -> int:
    """How long a gap in this stream is waited for, ns."""
    path = conn.path
    return path.client_deadline if half is conn.client else path.server_deadline


def deliver(core: Core, conn: Connection, half: Half, data: bytes, start: int, length: int, time: int) -> None:
    """Hands over the stream's next bytes."""
    if core.recalling:
        core.recall.remember(half, data, start, length)
    half.flags |= DELIVERED
    core.sink.data(conn, half, half.nxt, data, start, length, time)
    half.nxt += length
    core.delivered += length


def skip(core: Core, conn: Connection, half: Half, length: int, reason: int) -> None:
    """The stream's next bytes are a hole."""
    if half.add_hole(half.nxt, length, reason, core.limit_holes if core.listed < core.limit_listed else 0):
        core.listed += 1
    half.flags |= DELIVERED
    core.sink.hole(conn, half, half.nxt, length, reason, core.stamp)
    half.nxt += length
    core.missing += length
    core.recall.skip(half)


def take_in(
    core: Core, conn: Connection, half: Half, off: int, length: int, data: bytes, start: int, captured: int, doubt: int,
) -> None:
    """A segment's payload: `length` stream bytes at `off`, of which `captured` are there, at `start` of `data`.

    `doubt`: DOUBT if its receiver may have refused it, or 0.
    """
    end = off + length
    gap = half.gap
    if half.flags & (FINISHED | SETTLING):
        if half.flags & SETTLING:
            if conn.state != IGNORED:
                hold(core, conn, half, off, end, data, start, captured, doubt)
                within_budget(core, conn)
            return
        if end > half.nxt:
            tale = half.told()
            tale.beyond_fin += end - (off if off > half.nxt else half.nxt)
            if off >= half.nxt:
                return
    if end <= half.nxt:
        repeated(core, conn, half, off, length, data, start, captured)
        return
    if off < half.nxt:
        front = half.nxt - off
        known = front if front < captured else captured
        repeated(core, conn, half, off, front, data, start, known)
        if half.flags & FINISHED:
            return
        start += known
        captured -= known
        off = half.nxt
        length = end - off
    if gap is not None and gap.fin_at >= 0 and end > gap.fin_at and not takes_fin(core, gap, off, end):
        tale = half.told()
        tale.beyond_fin += end - (off if off > gap.fin_at else gap.fin_at)
        if off >= gap.fin_at:
            return
        end = gap.fin_at
        length = end - off
        if captured > length:
            captured = length
    if off == half.nxt and doubt == 0 and (gap is None or gap.count == 0):
        if captured:
            deliver(core, conn, half, data, start, captured, core.stamp)
        if length > captured:
            skip(core, conn, half, length - captured, SNAPLEN)
        if gap is not None:
            catch_up(core, conn, half, gap)
        return
    hold(core, conn, half, off, end, data, start, captured, doubt)
    resolve(core, conn, half, 0)
    within_budget(core, conn)


def takes_fin(core: Core, gap: Gap, off: int, end: int) -> bool:
    """Whether a segment replaces the held one that carries the FIN, and the FIN with it, as Linux has it."""
    if core.policy == FIRST or off >= gap.fin_at:
        return False
    found = gap.cut(gap.fin_at - 1, gap.fin_at)
    if not found:
        return False
    old: Piece = found[0]
    gap.insert(old)
    if old.end != gap.fin_at or not new_wins(core.policy, old.off, old.end, off, end):
        return False
    gap.fin_at = NO_FIN
    core.tally.count("fin_replaced")
    return True


def repeated(
    core: Core, conn: Connection, half: Half, off: int, length: int, data: bytes, start: int, captured: int
) -> None:
    """Bytes for a place that has been passed: a retransmission, a keepalive, or somebody else's version."""
    tale = half.told()
    if length == 1 and off == half.nxt - 1 and half.acked >= half.nxt:
        tale.keepalives += 1  # RFC 1122 4.2.3.6: one garbage octet
        return
    tale.retransmitted += captured
    if captured and core.recalling and core.recall.differs(half, off, data, start, captured):
        conflict(core, conn, half, off, captured)


def conflict(core: Core, conn: Connection, half: Half, off: int, length: int) -> None:
    """Two versions of the same bytes."""
    tale = half.told()
    tale.conflicts += 1
    conn.flags |= CONFLICT
    core.tally.count("conflicts")
    if conn.flags & OPENED:  # of one that may never be, nobody has heard
        core.sink.conflict(conn, half, off, length, core.stamp)


def gap_of(core: Core, conn: Connection, half: Half) -> Gap:
    """The stream's gap, begun now if there was none."""
    gap = half.gap
    if gap is None:
        gap = half.gap = Gap(conn, half, core.now)
    return gap


def drop_gap(core: Core, half: Half) -> None:
    """Nothing is missing any more, or nobody wants it: forgets what is held."""
    gap = half.gap
    if gap is not None:
        core.unlink(gap)
        core.held -= gap.size
        gap.conn = None
        gap.half = None
        half.gap = None


def hold(
    core: Core, conn: Connection, half: Half, off: int, end: int, data: bytes, start: int, captured: int, flags: int
) -> None:
    """Keeps a segment that can't be delivered yet; where it overlaps held ones, the policy says whose bytes stay."""
    gap = gap_of(core, conn, half)
    before = gap.size
    if half.edge >= 0 and end > half.edge and not half.flags & SETTLING:
        other = conn.server if half is conn.client else conn.client
        if other.packets > 2:  # of a side that is hardly seen the window is not known
            flags |= FAR
    tale = half.told()
    tale.out_of_order += 1
    if flags & DOUBT:
        tale.doubtful += 1
    if gap.count == 0:
        gap.since = core.now
        gap.evidence = 0
    if captured:
        piece = Piece(off, off + captured, take(data, start, captured), 0, flags, core.stamp, core.now)
        settle_overlaps(core, conn, half, gap, piece)
    if off + captured < end:
        piece = Piece(off + captured, end, b"", 0, flags | VOID, core.stamp, core.now)
        piece.reason = SNAPLEN
        settle_overlaps(core, conn, half, gap, piece)
    core.held += gap.size - before
    if gap.count:
        core.link(gap)


def settle_overlaps(core: Core, conn: Connection, half: Half, gap: Gap, new: Piece) -> None:
    """Inserts `new`; of what it overlaps, the policy decides pair by pair which bytes stay."""
    found = gap.cut(new.off, new.end)
    if not found:
        gap.insert(new)
        return
    if len(found) > MANY:
        found = joined(found)  # as hosts do; many small ones would be looked at for each segment that repeats them
        if len(found) > CROWD:
            gap.crowded += 1
    at = new.off  # what of `new` has been decided: all before
    for item in found:
        old: Piece = item
        low = new.off if new.off > old.off else old.off
        high = new.end if new.end < old.end else old.end
        if not (old.flags | new.flags) & VOID:
            tale = half.told()
            tale.overlapped += high - low
            if not equal(old.data, old.start + (low - old.off), new.data, new.start + (low - new.off), high - low):
                if not (old.flags ^ new.flags) & DOUBT:
                    conflict(core, conn, half, low, high - low)
        if beats(core.policy, old, new):
            if old.off < low:
                gap.insert(old.part(old.off, low))
            if high < old.end:
                gap.insert(old.part(high, old.end))
        else:
            gap.insert(old)
            if at < low:
                gap.insert(new.part(at, low))
            at = high
    if at < new.end:
        gap.insert(new.part(at, new.end))


def beats(policy: int, old: Piece, new: Piece) -> bool:
    """Whether the bytes that both have are those of `new`: real ones before none, sound ones before doubtful ones."""
    if (old.flags ^ new.flags) & VOID:
        return old.flags & VOID != 0
    if (old.flags & WEAK != 0) != (new.flags & WEAK != 0):
        return old.flags & WEAK != 0
    return new_wins(policy, old.off, old.end, new.off, new.end)


def resolve(core: Core, conn: Connection, half: Half, forced: int) -> None:
    """Delivers what can be, declares the holes that are due, and arms the timer for the next.

    `forced`: a reason to declare the first gap a hole at once, or 0.
    """
    while True:
        gap = half.gap
        if gap is None:
            return
        if half.flags & SETTLING:
            core.arm(conn, gap.since + patience(conn, half))
            return
        if gap.fin_doubt != NO_FIN and half.acked > gap.fin_doubt:
            gap.fin_at = gap.fin_doubt
            gap.fin_doubt = NO_FIN
        if gap.fin_at >= 0 and gap.fin_at <= half.nxt:
            finish(core, conn, half)
            return
        first = gap.first()
        if first is None:
            if resolve_bare(core, conn, half, gap, forced):
                continue
            return
        if first.off <= half.nxt:
            if first.flags & DOUBT and half.acked < first.end and not forced:
                if core.now < first.arrived + patience(conn, half):
                    core.arm(conn, first.arrived + patience(conn, half))
                    return
            forced = 0
            emit(core, conn, half, gap)
            continue
        target = first.off
        if gap.fin_at >= 0 and gap.fin_at < target:
            target = gap.fin_at
        if gap.evidence == 0 and half.acked >= target:
            gap.evidence = core.now
        due = gap.since + patience(conn, half)
        if gap.evidence and gap.evidence + core.skew < due:
            due = gap.evidence + core.skew
        if not forced and core.now < due:
            core.arm(conn, due)
            return
        if first.flags & FAR and not believable(half, gap, first):
            drop_first(core, half, gap)
            continue
        gap.mark = half.nxt
        skip(core, conn, half, target - half.nxt, forced or (LOST if half.acked >= target else DEADLINE))
        gap.mark = half.nxt
        forced = 0


def emit(core: Core, conn: Connection, half: Half, gap: Gap) -> None:
    """Delivers the first held piece, whose place has come."""
    piece = gap.pop_first()
    core.held -= PIECE_COST + (0 if piece.flags & VOID else piece.end - piece.off)
    behind = half.nxt - piece.off
    if piece.end > half.nxt:
        if piece.flags & VOID:
            skip(core, conn, half, piece.end - half.nxt, piece.reason)
        else:
            if piece.flags & DOUBT and half.acked < piece.end:
                conn.flags |= DOUBTFUL
            deliver(core, conn, half, piece.data, piece.start + behind, piece.end - half.nxt, piece.time)
    following = gap.first()
    if following is None:
        core.unlink(gap)
        catch_up(core, conn, half, gap)
    elif following.off > half.nxt:
        # the next gap: known since the first piece behind it came; its evidence can't be older than the last ACK
        core.unlink(gap)
        core.link(gap)
        gap.since = following.arrived
        gap.evidence = 0
        if half.acked >= following.off:
            gap.evidence = gap.last_ack if gap.last_ack > following.arrived else following.arrived


def drop_first(core: Core, half: Half, gap: Gap) -> None:
    """Forgets the first held piece: it was never in the stream."""
    piece = gap.pop_first()
    core.held -= PIECE_COST + (0 if piece.flags & VOID else piece.end - piece.off)
    tale = half.told()
    tale.ignored += 1
    core.tally.count("out_of_window")
    if gap.count == 0:
        core.unlink(gap)


def believable(half: Half, gap: Gap, piece: Piece) -> bool:
    """Whether a segment beyond the window that was seen is real: the ACKs that opened the window may be missing."""
    if half.acked >= piece.off or half.edge >= piece.end:
        return True
    if half.nxt > gap.mark:
        return False  # the stream went on without it
    return gap.last_ack == 0 and gap.count >= CLAIMS


def resolve_bare(core: Core, conn: Connection, half: Half, gap: Gap, forced: int) -> bool:
    """Bytes are known to be missing only by sequence or ACK numbers; True if the stream has moved.

    Of a sequence number alone, its last octet may have been a FIN: it is left open until the connection ends.
    """
    if half.nxt != gap.mark:
        gap.mark = half.nxt
        gap.since = core.now
        gap.evidence = 0
    most = half.acked if half.acked > gap.end_seen else gap.end_seen
    least = half.acked if half.acked < gap.end_seen else gap.end_seen
    if gap.fin_at >= 0:
        target = gap.fin_at
        sure = half.acked >= target
    elif least > half.nxt and least < most:
        target = least
        sure = True
    else:
        target = most - 1
        sure = least == most
    due = gap.since + patience(conn, half)
    if target <= half.nxt:
        if (most <= half.nxt and gap.fin_doubt < half.nxt) or core.now >= due or forced:
            if gap.fin_doubt == half.nxt:
                finish(core, conn, half)
                return False
            if most > half.nxt and not forced and not (other_ended(conn, half) and half.acked > half.nxt):
                return False  # that last octet: what the connection's end says of it
            if most > half.nxt and half.acked > half.nxt:
                half.flags |= ENDED
            drop_gap(core, half)
        else:
            core.arm(conn, due)
        return False
    if sure:
        if gap.evidence == 0:
            gap.evidence = core.now
        if gap.evidence + core.skew < due:
            due = gap.evidence + core.skew
    if not forced and core.now < due:
        core.arm(conn, due)
        return False
    skip(core, conn, half, target - half.nxt, forced or (LOST if half.acked >= target else DEADLINE))
    return True


def other_ended(conn: Connection, half: Half) -> bool:
    """Whether the other side has ended its stream."""
    other = conn.server if half is conn.client else conn.client
    return other.flags & (FINISHED | ENDED) != 0


def catch_up(core: Core, conn: Connection, half: Half, gap: Gap) -> None:
    """The stream has moved and nothing is held: is there still something to wait for?"""
    if gap.fin_at >= 0:
        if half.nxt >= gap.fin_at:
            finish(core, conn, half)
    elif half.nxt >= gap.end_seen and half.nxt >= half.acked and gap.fin_doubt == NO_FIN:
        drop_gap(core, half)


def finish(core: Core, conn: Connection, half: Half) -> None:
    """The stream has reached its FIN."""
    gap = half.gap
    if gap is not None:
        for block in gap.blocks:
            for piece in block:
                tale = half.told()
                tale.beyond_fin += piece.end - piece.off
        drop_gap(core, half)
    half.flags |= FINISHED
    core.recall.release(half)
    core.sink.finished(conn, half, core.stamp)


def ended(half: Half) -> bool:
    """Whether the stream is over: its FIN was seen, or all that is missing at its end is one acknowledged octet."""
    if half.flags & (FINISHED | ENDED):
        return True
    gap = half.gap
    if gap is not None and (gap.count or gap.fin_at != NO_FIN):
        return gap.fin_at != NO_FIN
    return half.acked == half.nxt + 1


def settle(core: Core, conn: Connection, half: Half) -> None:
    """A stream that was met in its middle begins with the lowest byte that has come by now."""
    half.flags &= ~SETTLING & MASK32
    gap = half.gap
    if gap is None:
        return
    first = gap.first()
    if first is not None and first.off != 0:
        rebase(half, first.off)
    resolve(core, conn, half, 0)


def rebase(half: Half, by: int) -> None:
    """Makes what was offset `by` the stream's offset 0; nothing has been delivered."""
    half.base = (half.base + by) & MASK32
    half.acked -= by
    if half.edge >= 0:
        half.edge -= by
    if half.gap is not None:
        half.gap.shift(-by)


def acknowledged(core: Core, conn: Connection, half: Half) -> None:
    """The other side's ACK has moved, beyond what was delivered or while something is held."""
    gap = half.gap
    if half.acked > half.nxt:
        if half.flags & FINISHED:
            return
        gap = gap_of(core, conn, half)
    elif gap is None:
        return
    gap.last_ack = core.now
    resolve(core, conn, half, 0)


def reaches(core: Core, conn: Connection, half: Half, off: int) -> None:
    """This side's own sequence numbers show that the stream reaches to `off`, beyond what was delivered."""
    if half.flags & FINISHED:
        return
    gap = gap_of(core, conn, half)
    if off > gap.end_seen:
        gap.end_seen = off
        resolve(core, conn, half, 0)


def within_budget(core: Core, conn: Connection) -> None:
    """Gives up what has been waited for longest until what is held is within its limits."""
    while True:
        size = 0
        client = conn.client.gap
        server = conn.server.gap
        if client is not None:
            size += client.size
        if server is not None:
            size += server.size
        if client is not None and client.crowded > CROWDS:
            client.crowded = 0
            give_up(core, client)
            continue
        if server is not None and server.crowded > CROWDS:
            server.crowded = 0
            give_up(core, server)
            continue
        if size <= core.limit_held_connection:
            break
        if client is not None and client.count and (server is None or not server.count or client.since <= server.since):
            give_up(core, client)
        elif server is not None and server.count:
            give_up(core, server)
        else:
            break
    while core.held > core.limit_held and core.oldest is not None:
        give_up(core, core.oldest)


def give_up(core: Core, gap: Gap) -> None:
    """Declares the first gap a hole, for want of memory; what is behind it is delivered."""
    conn = gap.conn
    half = gap.half
    assert conn is not None and half is not None
    conn.flags |= NOTE_BUDGET
    core.tally.count("held_given_up")
    core.unlink(gap)
    if conn.state == WAITING:
        core.waited(conn)
    elif half.flags & SETTLING:
        settle(core, conn, half)
    else:
        resolve(core, conn, half, BUDGET)
    if half.gap is gap and gap.count:
        core.link(gap)
