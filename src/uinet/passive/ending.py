"""How connections end in a copy: FINs, RSTs that count and RSTs that don't, silence, the end of the capture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.passive.connection import Connection
from uinet.passive.constants import (
    BASE,
    CLOSE_END,
    CLOSE_FIN,
    CLOSE_RST,
    CLOSE_TIMEOUT,
    CLOSED,
    DELIVERED,
    ENDED,
    FAR,
    FINISHED,
    GUESSED,
    LOST_END,
    MIDSTREAM,
    NO_FIN,
    OPEN,
    OPENED,
    RST_IGNORED,
    SETTLING,
    WAITING,
)
from uinet.passive.gap import Gap
from uinet.passive.half import Half
from uinet.passive.holes import END, LOST
from uinet.passive.stream import (
    believable,
    drop_first,
    drop_gap,
    emit,
    ended,
    finish,
    patience,
    rebase,
    resolve,
    settle,
    skip,
)
from uinet.seq import seq_diff
from uinet.units import MASK32, SECOND
from uinet.wire.constants import ACK
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.passive.core import Core

LINGER = 15 * SECOND  # how long a closed connection is kept at least, to recognize stragglers
LINGER_AT_MOST = 60 * SECOND  # a timer that is due by then is left as it is
UNKNOWN_WINDOW = 1 << 16


def reset(core: Core, conn: Connection, half: Half, other: Half, from_client: bool, seg: Segment) -> None:
    """A RST. One at exactly the next byte ends the connection, if its sender is silent from then on.

    One elsewhere in the window does not (RFC 5961 3.2), but it is how the connection ended if nothing follows: the
    copy may lack the bytes before it. Its payload is not stream data.
    """
    half.packets += 1
    conn.last = core.now
    if half.flags & (BASE | GUESSED):
        off = half.nxt + seq_diff(seg.seq, (half.base + half.nxt) & MASK32)
        gap = half.gap
        exact = off == half.nxt or off == half.acked or (gap is not None and off == gap.end_seen)
        if half.flags & FINISHED and off == half.nxt + 1:
            exact = True
        edge = half.edge if half.edge >= 0 else half.nxt + UNKNOWN_WINDOW
        within = half.nxt <= off <= edge
    else:
        # an answer to a SYN: its ACK has to be the SYN's (RFC 9293 3.10.7.3)
        distance = seq_diff(seg.ack, (other.base + other.nxt) & MASK32)
        exact = seg.flags & ACK != 0 and 0 <= distance <= UNKNOWN_WINDOW
        within = exact
    if seg.has_timestamps and half.ts_recent and seq_diff(half.ts_recent, seg.tsval) > 1:
        exact = within = False
    if not exact and not within:
        tale = half.told()
        tale.rst_ignored += 1
        core.tally.count("rst_ignored")
        return
    extra = conn.asides()
    if extra.rst_at == 0 or exact:
        extra.rst_at = core.now
        extra.rst_from_client = from_client
        extra.rst_exact = exact
    if exact:
        core.arm(conn, core.now + conn.path.deadline)


def both_ended(core: Core, conn: Connection) -> None:
    """Whether the connection is over: both FINs have come, or are known to have, and their ACKs."""
    client = conn.client
    server = conn.server
    if not (client.flags & (FINISHED | ENDED) and server.flags & (FINISHED | ENDED)):
        return
    if client.flags & server.flags & FINISHED and client.acked > client.nxt and server.acked > server.nxt:
        over(core, conn, CLOSE_FIN)
    else:
        core.arm(conn, core.now + conn.path.deadline)


def due(core: Core, conn: Connection, now: int) -> None:
    """The connection's timer: gaps that have waited long enough, silence, the end of lingering."""
    if conn.state == WAITING:
        core.waited(conn)
        if conn.state == WAITING or conn.state == OPEN:
            core.arm(conn, conn.last + conn.path.idle)
        return
    if conn.state != OPEN:
        limit = conn.last + LINGER
        if now >= limit:
            core.forget(conn)
        else:
            core.arm(conn, limit)
        return
    for half in (conn.client, conn.server):
        if half.flags & SETTLING and (half.gap is None or now >= half.gap.since + patience(conn, half)):
            settle(core, conn, half)
        resolve(core, conn, half, 0)
    extra = conn.extra
    how = CLOSE_TIMEOUT
    limit = conn.last + conn.path.idle
    if conn.client.flags & (FINISHED | ENDED) and conn.server.flags & (FINISHED | ENDED):
        how = CLOSE_FIN
        limit = conn.last + conn.path.deadline
    elif extra is not None and extra.rst_at:
        how = CLOSE_RST
        if extra.rst_exact:
            limit = conn.last + conn.path.deadline
    elif conn.client.packets == 0 or conn.server.packets == 0:
        if not (conn.client.flags | conn.server.flags) & DELIVERED:
            limit = conn.last + core.embryonic
    if now >= limit:
        over(core, conn, how)
    else:
        core.arm(conn, limit)


def end_of_copy(core: Core, conn: Connection) -> None:
    """The capture is over, and with it the connection."""
    if conn.state == WAITING:
        core.waited(conn)
    if conn.state == OPEN:
        over(core, conn, as_it_stands(conn, CLOSE_END))


def as_it_stands(conn: Connection, otherwise: int) -> int:
    """How a connection has ended, if nothing more is to come of it."""
    extra = conn.extra
    if ended(conn.client) and ended(conn.server):
        return CLOSE_FIN
    if extra is not None and extra.rst_at:
        return CLOSE_RST
    return otherwise


def over(core: Core, conn: Connection, how: int) -> None:
    """The connection ends: what is held is delivered behind its holes, and the sink is told."""
    if conn.state == CLOSED:
        return
    if not conn.flags & OPENED:
        for half in (conn.client, conn.server):
            drop_gap(core, half)
        core.ignore(conn)
        return
    client = conn.client
    server = conn.server
    client_closing = is_closing(client, server)
    server_closing = is_closing(server, client)
    flush(core, conn, client, server_closing)
    flush(core, conn, server, client_closing)
    if how != CLOSE_RST and client.flags & (FINISHED | ENDED) and server.flags & (FINISHED | ENDED):
        how = CLOSE_FIN
    if how != CLOSE_RST:
        outlived(core, conn)
    for half in (client, server):
        core.recall.release(half)
        if half.flags & (FINISHED | ENDED) == ENDED:
            conn.flags |= LOST_END
    conn.closing = how
    conn.state = CLOSED
    core.close(conn)
    conn.extra = None
    if conn.deadline > core.now + LINGER_AT_MOST or conn.deadline == 0:
        core.arm(conn, core.now + LINGER)


def is_closing(half: Half, other: Half) -> bool:
    """Whether there is a sign that this side sent its FIN, so that the other's last octet may have been one too."""
    if half.flags & (FINISHED | ENDED):
        return True
    gap = half.gap
    if gap is not None and (gap.fin_at != NO_FIN or gap.fin_doubt != NO_FIN):
        return True
    # one octet of each side that was acknowledged, and that nothing came after: two FINs
    return half.acked == half.nxt + 1 and (other.acked == other.nxt + 1 or other.flags & (FINISHED | ENDED) != 0)


def outlived(core: Core, conn: Connection) -> None:
    """A connection that did not end with a RST: one that was seen is noted."""
    extra = conn.extra
    if extra is not None and extra.rst_at:
        half = conn.client if extra.rst_from_client else conn.server
        tale = half.told()
        tale.rst_ignored += 1
        core.tally.count("rst_ignored")
    for half in (conn.client, conn.server):
        if half.tale is not None and half.tale.rst_ignored:
            conn.flags |= RST_IGNORED


def flush(core: Core, conn: Connection, half: Half, closing: bool) -> None:
    """Delivers all that is held of a stream whose connection is over.

    `closing`: the other side's FIN was seen, so that a last octet of which only numbers tell was a FIN too.
    """
    if half.flags & SETTLING:
        half.flags &= ~SETTLING & MASK32
        if half.gap is not None:
            first = half.gap.first()
            if first is not None and first.off:
                rebase(half, first.off)
    while True:
        gap = half.gap
        if gap is None:
            return
        if gap.fin_at >= 0 and gap.fin_at <= half.nxt:
            finish(core, conn, half)
            return
        first = gap.first()
        if first is None:
            break
        if first.off <= half.nxt:
            emit(core, conn, half, gap)
            continue
        target = first.off
        if gap.fin_at >= 0 and gap.fin_at < target:
            target = gap.fin_at
        if first.flags & FAR and not believable(half, gap, first):
            drop_first(core, half, gap)
            continue
        skip(core, conn, half, target - half.nxt, LOST if half.acked >= target else END)
    flush_tail(core, conn, half, gap, closing)


def flush_tail(core: Core, conn: Connection, half: Half, gap: Gap, closing: bool) -> None:
    """What only sequence and ACK numbers tell of a stream's end."""
    target = half.acked if half.acked > gap.end_seen else gap.end_seen
    if gap.fin_at < 0 and gap.fin_doubt >= half.nxt:
        gap.fin_at = gap.fin_doubt
    if gap.fin_at >= 0:
        target = gap.fin_at
    elif target > half.nxt and (closing or (conn.flags & MIDSTREAM and target == half.nxt + 1)):
        target -= 1
        if half.acked > target:
            half.flags |= ENDED
    if target > half.nxt:
        skip(core, conn, half, target - half.nxt, LOST if half.acked >= target else END)
    if gap.fin_at >= 0:
        finish(core, conn, half)
    else:
        drop_gap(core, half)
