"""Watched connections: those of passive sockets. Their segments are read and never answered.

A copy of a connection's packets holds both directions. Each direction's key is an entry of the stack's one table
(design decision D7): a :class:`Reception`, which is also the stream that the endpoint at its end receives. The two of
a connection share one `Connection` of :mod:`uinet.passive`, whose rules rebuild the streams; the stack's time is the
packet time, and the stack's wheel has the timers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uinet.events import EV_ACCEPT
from uinet.passive.arrive import arrives
from uinet.passive.codes import SUM_GOOD
from uinet.passive.connection import Connection, Path
from uinet.passive.constants import BASE, CLOSE_RST, CLOSE_TIMEOUT, CLOSED, ENDED, OPENED, REUSED
from uinet.passive.ending import as_it_stands, end_of_copy, over
from uinet.passive.engine import Engine
from uinet.passive.stream import drop_gap
from uinet.tcp.constants import COPIED
from uinet.tcp.context import Context
from uinet.tcp.offer import Offer
from uinet.tcp.reception import Buffers, Reception, delivered, failure, header_of
from uinet.units import MASK32
from uinet.wire.constants import ACK, ETHERTYPE_IPV4, RST, SYN
from uinet.wire.frame import CHECKSUM_VALID, Frame
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.tcp.listener import Listener
    from uinet.tcp.protocol import Tcp
    from uinet.tcp.syn import Syn

MAX_OFFERS = 4096  # kept to be shared
MAX_PATHS = 256


class Watch(Engine):
    """The watched connections of one stack. A connection's `user` is its primary :class:`Reception` until it is
    forgotten. `embryos`: those of which only SYNs were seen.
    """

    def __init__(self, tcp: Tcp) -> None:
        super().__init__(Buffers(), tcp.settings.passive, tcp.wheel)
        self.midstream = False  # a listener's connections begin with a SYN or its answer
        self.tcp = tcp
        self.context: Context = tcp
        self.embryos = 0
        self.packet: Packet | None = None  # under work
        self.consumed = False
        self.ending: Reception | None = None  # of a connection that another is about to replace
        self.interned = tcp.interned
        self.offers: dict[tuple[Any, ...], Offer] = {}
        self.paths: dict[tuple[int, int, int], Path] = {}

    def tick(self) -> None:
        """Learns the time. It is the stack's: it never goes back, and no packet has another."""
        now = self.context.now
        self.now = now if now > 0 else 1  # 0 is "not yet" in many places
        self.stamp = self.now

    # beginning

    def start(self, listener: Listener, packet: Packet, seg: Segment, syn: Syn | None) -> bool:
        """Watches the connection of a SYN, or of a SYN|ACK whose SYN is missing in the copy; False if there is no room.

        `syn`: what the listener's filter has seen of it.
        """
        why = self.full(listener)
        if why:
            self.context.stats.count("passive_overflow")
        elif not self.admitted(listener, packet, seg, syn):
            why = "evicted"
            self.context.stats.count("tcp_syn_dropped")
        if why and syn is not None:
            self.tcp.tell_gone(syn, why)
        return not why

    def full(self, listener: Listener) -> str:
        """Why there is no room for one more connection, or ""."""
        if not listener.open:
            return "closed"
        if len(listener.accepted) >= listener.backlog or self.count >= self.limit_connections:
            return "evicted"
        if self.embryos >= self.context.settings.syn_cache_limit:
            if not listener.embryos:
                return "evicted"
            oldest: Reception = next(iter(listener.embryos))
            self.context.stats.count("passive_evicted")
            self.abandon(oldest, "evicted")
        return ""

    def admitted(self, listener: Listener, packet: Packet, seg: Segment, syn: Syn | None) -> bool:
        """Makes the connection and takes its first segment; False if its tuple is taken."""
        self.tick()
        conn = self.begin(self.path_of(listener.config))
        answer = seg.flags & ACK != 0
        conn.client_hi, conn.client_lo, conn.client_port = packet.src_hi, packet.src_lo, seg.source_port
        conn.server_hi, conn.server_lo, conn.server_port = packet.dst_hi, packet.dst_lo, seg.destination_port
        if answer:
            conn.swap()
        vids = self.interned.one(packet.vids)
        cdom: int = packet.interface.cdom
        header = self.interned.one(packet.reply_header() if answer else packet.link_header)
        if not self.attach(conn, listener, cdom, vids, header):
            self.forget(conn)
            return False
        primary: Reception = conn.user
        primary.user_context = syn
        if syn is not None and syn.active_after:
            self.tcp.wait_for_answer(listener, primary, syn)
        first = primary.other if answer else primary
        assert first is not None
        copies = self.context.copies
        if copies is not None and copies.begin(listener.config, primary) is not None:
            assert primary.other is not None
            copies.share(primary, primary.other)
            copies.came(first, packet)
        self.receive(first, packet, seg)
        return True

    def attach(
        self, conn: Connection, listener: Listener, cdom: int, vids: bytes, client_header: bytes
    ) -> bool:
        """Gives a connection its two receptions; False if the tuple of either is taken."""
        table = self.context.table
        primary = Reception(self.context, True)
        other = Reception(self.context, False)
        table.set_key(
            primary, cdom, vids, conn.server_hi, conn.server_lo, conn.server_port, conn.client_hi, conn.client_lo,
            conn.client_port,
        )
        table.set_key(
            other, cdom, vids, conn.client_hi, conn.client_lo, conn.client_port, conn.server_hi, conn.server_lo,
            conn.server_port,
        )
        if self.taken(primary) or self.taken(other):
            return False
        primary.link_header = client_header
        primary.conn = other.conn = conn
        primary.other, other.other = other, primary
        primary.limit = other.limit = listener.owner.watched_buffer
        primary.owner = listener
        primary.embryo = True
        listener.watch(primary)
        self.embryos += 1
        conn.user = primary
        table.insert(primary)
        table.insert(other)
        return True

    def taken(self, reception: Reception) -> bool:
        """Whether another entry has this key."""
        found = self.context.table.find(
            reception.cdom, reception.vids, reception.laddr_hi, reception.laddr_lo, reception.lport,
            reception.raddr_hi, reception.raddr_lo, reception.rport,
        )
        return found is not None

    def one_offer(self, offer: Offer) -> Offer:
        """`offer`, the same object for all connections that have offered the same."""
        key = offer.key
        known = self.offers.get(key)
        if known is None:
            if len(self.offers) >= MAX_OFFERS:
                self.offers.clear()
            known = self.offers[key] = offer
        return known

    def path_of(self, config: Any) -> Path:
        """What connections of a listener with this configuration share."""
        return self.path_for(config.reassembly_deadline, config.reassembly_deadline, self.idle_of(config))

    def idle_of(self, config: Any) -> int:
        """After how much silence a connection is over, ns: as its keepalives would find out, if it has them."""
        settings = self.context.settings
        if not config.keepalive:
            return self.idle
        first: int = config.keep_idle or settings.keepalive_idle
        interval: int = config.keep_interval or settings.keepalive_interval
        count: int = config.keep_count or settings.keepalive_count
        return first + interval * count

    def path_for(self, client_deadline: int, server_deadline: int, idle: int) -> Path:
        """The path with these times."""
        key = (client_deadline, server_deadline, idle)
        path = self.paths.get(key)
        if path is None:
            if len(self.paths) >= MAX_PATHS:
                self.paths.clear()
            path = self.paths[key] = Path(self, b"", b"")
            path.client_deadline = client_deadline
            path.server_deadline = server_deadline
            path.deadline = max(client_deadline, server_deadline)
            path.idle = idle
        return path

    # segments

    def input(self, entry: Reception, packet: Packet, seg: Segment) -> bool:
        """A segment of a watched connection. True: consumed; where there is a bridge it passes on, always."""
        conn = entry.conn
        assert conn is not None
        if conn.state == CLOSED and seg.flags & SYN and not seg.flags & RST and begins_anew(conn, entry, seg):
            self.forget(conn)
            return self.tcp.without_connection(packet, seg, -1)
        self.consumed = packet.interface.bridge is None
        self.receive(entry, packet, seg)
        return self.consumed

    def receive(self, entry: Reception, packet: Packet, seg: Segment) -> None:
        """Gives a segment to its connection, which may be known by it, or over."""
        conn = entry.conn
        assert conn is not None
        primary = entry if entry.primary else entry.other
        assert primary is not None
        self.tick()
        self.packet = packet
        self.ttl = packet.ttl
        if seg.flags & SYN:
            entry.offer = self.one_offer(Offer(packet.data, seg))
        if not entry.heard:
            entry.heard = True
            entry.interface = packet.interface
            if entry.other is not None and entry.other.link_header != packet.reply_header():
                entry.link_header = self.interned.one(packet.link_header)
        arrives(self, conn, entry.primary, seg, packet.data, seg.length, SUM_GOOD, seg.signed)
        if primary.embryo and not seg.flags & RST and (not seg.flags & SYN or delivered(primary)):
            self.announce(primary)

    def replay(self, interface: Any, frame: Frame) -> None:
        """Takes in a frame that was kept while its SYN was deferred."""
        found = self.parsed(interface, frame)
        if found is None:
            return
        packet, seg = found
        entry = self.context.table.find(
            interface.cdom, packet.vids, packet.dst_hi, packet.dst_lo, seg.destination_port, packet.src_hi,
            packet.src_lo, seg.source_port,
        )
        if isinstance(entry, Reception):
            self.receive(entry, packet, seg)

    def parsed(self, interface: Any, frame: Frame) -> tuple[Packet, Segment] | None:
        """A frame taken apart once more, None if that can't be."""
        packet = Packet()
        seg = Segment()
        packet.interface = interface
        if packet.parse_link(frame, interface.layer):
            return None
        if packet.parse_ipv4() if packet.ethertype == ETHERTYPE_IPV4 else packet.parse_ipv6():
            return None
        packet.checksum = CHECKSUM_VALID
        if packet.version == 6:
            self.context.network.extensions.walk(packet)
        return None if seg.parse(packet) else (packet, seg)

    def announce(self, primary: Reception) -> None:
        """More than SYNs was seen: the connection waits to be accepted."""
        listener: Listener = primary.owner
        if len(listener.accepted) >= listener.backlog:
            self.context.stats.count("passive_overflow")
            self.abandon(primary, "evicted")
            return
        self.hatch(primary)
        syn: Syn | None = primary.user_context
        if syn is not None:
            primary.user_context = syn.context
            syn.on_gone = None
        listener.queue(primary)
        listener.owner.mark(EV_ACCEPT)
        self.context.stats.count("passive_watched")

    def hatch(self, primary: Reception) -> None:
        """No embryo any more."""
        primary.embryo = False
        syn: Syn | None = primary.user_context
        if syn is not None and syn.patience is not None:
            self.wheel.disarm(syn.patience)
            syn.patience = None
        primary.owner.forget(primary)
        self.embryos -= 1

    # ending

    def close(self, conn: Connection) -> None:
        """The connection is over: both ends of it learn how."""
        self.closes += 1
        primary: Reception | None = conn.user
        if primary is None:
            return
        other = primary.other
        assert other is not None
        for reception, half in ((primary, conn.client), (other, conn.server)):
            if half.flags & ENDED:
                reception.finished = True
            reception.over = True
            reception.conclude(failure(reception) is not None)
        if primary.marks & COPIED:
            self.end_copy(primary)
        if primary.embryo:
            self.miscarried(primary, "reset" if conn.closing == CLOSE_RST else "timeout")

    def end_copy(self, primary: Reception) -> None:
        """The packets of a connection are copied no more."""
        self.context.copies.end(primary)
        if primary.other is not None:
            self.context.copies.end(primary.other)

    def miscarried(self, primary: Reception, why: str) -> None:
        """Nobody hears of a connection of which only SYNs were seen, but its filter."""
        syn: Syn | None = primary.user_context
        self.hatch(primary)
        primary.owner = primary.user_context = None
        if syn is not None:
            self.tcp.tell_gone(syn, why)

    def abandon(self, reception: Reception, why: str) -> None:
        """Stops watching a connection that nobody wants (any more)."""
        conn = reception.conn
        if conn is None or conn.user is None:
            return
        primary: Reception = conn.user
        other = primary.other
        assert other is not None
        primary.discard()
        other.discard()
        if primary.embryo:
            self.miscarried(primary, why)
        primary.owner = other.owner = None
        if conn.state == CLOSED:
            return  # it is kept to recognize stragglers
        for half in (conn.client, conn.server):
            drop_gap(self, half)
            self.recall.release(half)
        conn.state = CLOSED
        self.forget(conn)

    def renew(
        self, conn: Connection, keep: bool, from_client: bool, seg: Segment, data: bytes, captured: int, signed: bool
    ) -> None:
        """Another connection begins on the addresses and ports of `conn`: it is the listener's to decide on."""
        how = as_it_stands(conn, CLOSE_TIMEOUT)
        if how == CLOSE_TIMEOUT and conn.flags & OPENED and not conn.closing:
            conn.flags |= REUSED
            self.tally.count("reused")
        over(self, conn, how)
        self.forget(conn)
        assert self.packet is not None
        self.consumed = self.tcp.without_connection(self.packet, seg, -1)

    def replace(self, conn: Connection, keep: bool) -> Connection:
        """A new connection in the place of `conn`, which ends: it was begun by a SYN that was not believed then."""
        self.ending = conn.user
        new = Engine.replace(self, conn, keep)
        self.ending = None
        return new

    def admit(self, conn: Connection) -> None:
        """Gives a connection that replaces another its receptions, if somebody listens who would watch it."""
        ending = self.ending
        if ending is None or ending.other is None:
            return
        listener: Listener | None = self.tcp.listeners.find(
            ending.cdom, ending.vids, conn.server_hi, conn.server_lo, conn.server_port
        )
        if listener is None or not (listener.passive or listener.syn_filter is not None) or self.full(listener):
            return
        conn.path = self.path_of(listener.config)
        same = conn.client_lo == ending.raddr_lo and conn.client_port == ending.rport
        header = header_of(ending if same else ending.other)
        self.attach(conn, listener, ending.cdom, ending.vids, header)

    def segment(
        self, conn: Connection, from_client: bool, seg: Segment, data: bytes, captured: int, sum_state: int,
        signed: bool,
    ) -> None:
        """The segment by which a connection that replaces another is known."""
        primary: Reception | None = conn.user
        if primary is None:
            self.forget(conn)  # nobody listens
            return
        arrives(self, conn, from_client, seg, data, captured, sum_state, signed)
        if primary.embryo and not seg.flags & RST and (not seg.flags & SYN or delivered(primary)):
            self.announce(primary)

    def dismiss(self, conn: Connection) -> None:
        """Takes a connection out of the table, and its cycles apart."""
        primary: Reception | None = conn.user
        conn.user = None
        conn.extra = None
        if primary is not None and primary.marks & COPIED:
            self.end_copy(primary)
        if primary is not None and primary.other is not None:
            self.context.table.remove(primary)
            self.context.table.remove(primary.other)
            if primary.other.link_header is None:
                primary.other.link_header = header_of(primary.other)
            primary.other.other = None

    def open(self, conn: Connection) -> None:
        """The connection gets its number, of all connections of the stack."""
        if not conn.flags & OPENED:
            conn.flags |= OPENED
            self.context.serial += 1
            conn.serial = self.context.serial
            self.serial += 1
            primary: Reception | None = conn.user
            if primary is not None and primary.marks & COPIED:
                self.context.copies.named(primary, conn.serial, True)
            self.arm(conn, self.now + self.embryonic)

    def due(self, conn: Connection, now: int) -> None:
        self.tick()
        Engine.due(self, conn, now)

    def shut_down(self, primary: Reception) -> None:
        """The stack is closed: so is this connection."""
        conn = primary.conn
        if conn is not None and conn.user is not None:
            self.tick()
            end_of_copy(self, conn)
            self.forget(conn)


def begins_anew(conn: Connection, entry: Reception, seg: Segment) -> bool:
    """Whether a SYN to a connection that is over is another connection's."""
    half = conn.client if entry.primary else conn.server
    return not half.flags & BASE or half.base != (seg.seq + 1) & MASK32
