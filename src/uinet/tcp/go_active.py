"""From watching to taking part: an endpoint of a watched connection is played from now on.

A passive socket that is written to goes on as the endpoint whose reception it was (`step_in`); a SYN that nobody has
answered in time is answered in the place of whom it asks for (`Patience`). What a live connection needs to know was
learned by watching, and is installed as at a takeover on a bridge (`takeover`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uinet.errors import Unsafe
from uinet.ip.interface import hop_limit
from uinet.passive.constants import BASE, CLOSE_FIN, CLOSED, FINISHED, NO_FIN, OPEN, SYN_SEEN, VOID, WEAK
from uinet.passive.half import Half
from uinet.passive.stream import drop_gap
from uinet.tcp.buffer import ByteQueue
from uinet.tcp.config import Config
from uinet.tcp.layout import begin, transmit
from uinet.tcp.offer import strange_options, uses_ecn
from uinet.tcp.passive import Watch
from uinet.tcp.reassembly import Reassembly
from uinet.tcp.reception import Reception, header_of
from uinet.tcp.reset import path_back
from uinet.tcp.syn_answer import send_syn_ack
from uinet.tcp.syn_cache import file, make_room, new_entry, prepare
from uinet.tcp.syn_filter import still_wanted
from uinet.tcp.table import Entry
from uinet.tcp.takeover import Learned, establish
from uinet.units import MASK32
from uinet.wheel import Timer
from uinet.wire.constants import ACK, RST

if TYPE_CHECKING:
    from uinet.tcp.listener import Listener
    from uinet.tcp.protocol import Tcp
    from uinet.tcp.syn import Syn
    from uinet.tcp.tcb import Tcb

ISLANDS = 256


def step_in(watch: Watch, reception: Reception, config: Config, reset: bool) -> Tcb:
    """Goes on as the endpoint of `reception`; the connection is not watched any more. `reset`: the endpoint that is
    played gets a RST, as if from its peer; else it is left to its own devices, and may go on talking.

    Unsafe, with the reason; then nothing has happened.
    """
    learned = learn(watch, reception)
    conn = reception.conn
    assert conn is not None
    theirs, mine = halves(reception)
    words = [at(theirs, theirs.acked), at(theirs, theirs.nxt)] if reset else []
    farewell = goodbye(watch, reception) if reset else None
    queue = stop_watching(watch, reception)
    context = watch.context
    tcb = establish(watch.tcp, learned, config)
    context.stats.count("passive_gone_active")
    if queue is not None and queue.length:
        tcb.rcv_buf = queue
        context.received_bytes += queue.length
    if farewell is not None:
        for seq in sorted(set(words)):  # RFC 5961: only the exact number resets, and ACKs may be under way
            send_goodbye(watch, farewell, seq, at(mine, mine.nxt))
    return tcb


def halves(reception: Reception) -> tuple[Half, Half]:
    """The stream that the endpoint receives, and the one that it sends."""
    conn = reception.conn
    assert conn is not None
    return (conn.client, conn.server) if reception.primary else (conn.server, conn.client)


def at(half: Half, offset: int) -> int:
    """The sequence number of an offset."""
    return (half.base + offset) & MASK32


def learn(watch: Watch, reception: Reception) -> Learned:
    """What the endpoint of `reception` knows. Unsafe."""
    conn, other = reception.conn, reception.other
    if conn is None or other is None or reception.over or conn.state != OPEN:
        raise Unsafe("the connection is over, or forgotten")
    theirs, mine = halves(reception)
    why = why_not(watch, reception, other, theirs, mine)
    if why:
        raise Unsafe(why)
    assert reception.offer is not None and other.offer is not None
    found = Learned()
    found.una = at(mine, mine.acked)
    found.nxt = found.passed = at(mine, max(mine.nxt, mine.acked))
    pending = mine.nxt - mine.acked
    if pending > 0:
        found.unacked = ByteQueue()
        found.unacked.append(watch.recall.last(mine, pending), 0, pending)
    found.rcv_nxt = at(theirs, theirs.nxt)
    found.acked = at(theirs, theirs.acked)
    found.edge = at(theirs, theirs.edge)
    take_gap(found, theirs)
    found.window = max(0, mine.edge - mine.acked)
    found.wl1, found.wl2 = found.rcv_nxt, found.una
    found.peer_mss = reception.offer.mss
    found.scale, found.peer_scale = mine.scale, theirs.scale
    found.sack = reception.offer.sack and other.offer.sack
    found.timestamps = reception.offer.timestamps and other.offer.timestamps
    client, server = (reception, other) if reception.primary else (other, reception)
    assert client.offer is not None and server.offer is not None
    found.ecn = uses_ecn(client.offer, server.offer)
    found.tsval, found.tsval_at = mine.ts_recent, watch.context.now
    found.ts_recent = theirs.ts_recent
    found.ttl = mine.ttl
    found.interface = reception.interface
    found.vids = reception.vids
    found.link_header = header_of(other)
    found.local = (reception.laddr_hi, reception.laddr_lo, reception.lport)
    found.remote = (reception.raddr_hi, reception.raddr_lo, reception.rport)
    return found


def why_not(watch: Watch, reception: Reception, other: Reception, theirs: Half, mine: Half) -> str:
    """Why the endpoint can't be played now; "" if it can."""
    both = theirs.flags & mine.flags
    if not both & SYN_SEEN or not both & BASE or reception.offer is None or other.offer is None:
        return "its SYNs were not seen: window scale and options are unknown"
    first, second = (reception.offer, other.offer) if reception.primary else (other.offer, reception.offer)
    why = strange_options(first, second)
    if why:
        return why
    if theirs.edge < 0 or mine.edge < 0 or reception.interface is None:
        return "its windows are unknown: wait for a segment of each side"
    if mine.flags & FINISHED or (mine.gap is not None and mine.gap.fin_at != NO_FIN):
        return "the end of its stream was sent already"
    if mine.gap is not None and mine.gap.count:
        return "bytes that it has sent are missing in the copy"
    if theirs.acked > theirs.nxt + (1 if theirs.flags & FINISHED else 0):
        return "bytes that it has received are missing in the copy"
    if reception.holes:
        return "there is a hole in what was not read yet: read or skip it first"
    pending = mine.nxt - mine.acked
    if pending > 0 and not watch.recall.last(mine, pending):
        return "bytes in flight were not kept: wait until they are acknowledged"
    return ""


def take_gap(found: Learned, theirs: Half) -> None:
    """What the peer has sent behind a gap, and its FIN."""
    found.peer_fin = theirs.flags & FINISHED != 0
    gap = theirs.gap
    if gap is None:
        return
    if gap.fin_at != NO_FIN:
        found.peer_fin_at = at(theirs, gap.fin_at)
    islands = Reassembly(ISLANDS)
    for block in gap.blocks:
        for piece in block:
            if not piece.flags & (VOID | WEAK) and piece.end > theirs.nxt:
                islands.add(at(theirs, piece.off), piece.data, piece.start, piece.end - piece.off)
    if islands.length:
        found.islands = islands


def stop_watching(watch: Watch, reception: Reception) -> ByteQueue | None:
    """Both receptions leave the table. What is unread of this one is answered; the other direction's stays readable,
    and ends there."""
    conn, other = reception.conn, reception.other
    assert conn is not None and other is not None
    conn.closing = CLOSE_FIN
    other.finished = other.over = True
    other.conclude(False)
    queue = reception.queue
    watch.context.received_bytes -= reception.charge()
    reception.queue = None
    reception.over = True
    reception.owner = None
    for half in (conn.client, conn.server):
        drop_gap(watch, half)
        watch.recall.release(half)
    conn.state = CLOSED
    watch.forget(conn)
    return queue


def goodbye(watch: Watch, reception: Reception) -> Entry:
    """How the endpoint that is played is reached, as its peer."""
    entry = Entry()
    other = reception.other
    watch.context.table.set_key(
        entry, reception.cdom, reception.vids, reception.raddr_hi, reception.raddr_lo, reception.rport,
        reception.laddr_hi, reception.laddr_lo, reception.lport,
    )
    entry.interface = other.interface if other is not None and other.interface is not None else reception.interface
    entry.link_header = header_of(reception)
    return entry


def send_goodbye(watch: Watch, entry: Entry, seq: int, ack: int) -> None:
    """A RST to the endpoint that is played."""
    context = watch.context
    where = begin(context, entry)
    if where >= 0:
        context.stats.count("tcp_rst_out")
        transmit(context, entry, where, seq, ack, RST | ACK, 0, 0, b"", 0, 0)


class Patience(Timer):
    """How long a watched SYN may go unanswered before it is answered here."""

    def __init__(self, tcp: Tcp, listener: Listener, primary: Reception, syn: Syn) -> None:
        super().__init__()
        self.tcp = tcp
        self.listener = listener
        self.primary = primary
        self.syn = syn

    def expire(self, now: int) -> None:
        """The time is over."""
        primary, syn = self.primary, self.syn
        syn.patience = None
        if primary.embryo and primary.other is not None and not primary.other.heard:
            answer_in_place(self.tcp, self.listener, primary, syn)


def answer_in_place(tcp: Tcp, listener: Listener, primary: Reception, syn: Syn) -> None:
    """Answers a watched SYN as an ordinary listener does."""
    watch = tcp.watching()
    found = watch.parsed(syn.interface, syn.original)
    primary.user_context = None
    watch.abandon(primary, "active")
    if found is None or not listener.open or len(listener.accepted) >= listener.backlog:
        tcp.tell_gone(syn, "evicted" if listener.open else "closed")
        return
    packet, seg = found
    entry = new_entry(tcp, listener, seg)
    path_back(tcp, entry, packet, seg)
    entry.ttl = hop_limit(listener.config.ttl, entry.interface, packet.version == 6)
    entry.tos = listener.config.tos & ~3
    entry.syn = syn
    if still_wanted(tcp, entry) and make_room(tcp, listener, entry):
        tcp.stats.count("passive_gone_active")
        prepare(tcp, entry, -1)
        file(tcp, entry)
        send_syn_ack(tcp, entry)


def wait_for_answer(tcp: Tcp, listener: Any, primary: Reception, syn: Syn) -> None:
    """Starts the patience of a SYN whose filter has asked for it."""
    syn.patience = Patience(tcp, listener, primary, syn)
    tcp.wheel.arm(syn.patience, tcp.now + syn.active_after)
