"""Watched connections: those of passive sockets. Their segments are read and never answered.

A copy of a connection's packets holds both directions. Each direction's key is an entry of the stack's one table
(design decision D7): a :class:`Reception`, which is also the stream that the endpoint at its end receives. The two of
a connection share one `Connection` of :mod:`uinet.passive`, whose rules rebuild the streams; the stack's time is the
packet time, and the stack's wheel has the timers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uinet.errors import ConnectionAborted, ConnectionReset, TimedOut
from uinet.events import EV_ACCEPT, EV_CLOSED, EV_EOF, EV_ERROR, EV_READABLE
from uinet.passive.arrive import arrives
from uinet.passive.codes import SUM_GOOD
from uinet.passive.connection import Connection, Path
from uinet.passive.constants import (
    BASE,
    CLOSE_END,
    CLOSE_FIN,
    CLOSE_RST,
    CLOSE_TIMEOUT,
    CLOSED,
    ENDED,
    OPENED,
    REUSED,
)
from uinet.passive.ending import as_it_stands, end_of_copy, over
from uinet.passive.engine import Engine
from uinet.passive.half import Half
from uinet.passive.holes import OVERRUN
from uinet.passive.sink import Sink
from uinet.passive.stream import drop_gap
from uinet.tcp.buffer import ByteQueue
from uinet.tcp.constants import COPIED
from uinet.tcp.context import Context
from uinet.tcp.offer import Offer
from uinet.tcp.table import Entry
from uinet.units import MASK32
from uinet.wire.constants import ACK, ETHERTYPE_IPV4, RST, SYN
from uinet.wire.frame import CHECKSUM_VALID, Frame
from uinet.wire.kernels import take, untrack
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.tcp.listener import Listener
    from uinet.tcp.protocol import Tcp
    from uinet.tcp.syn import Syn

HOLE_COST = 128  # what an unread hole takes of the receive buffer
ZEROS = 65536  # bytes of holes that one read fills with zeros, at most
MAX_SHARED = 4096  # link headers and VLAN stacks kept to be shared
MAX_PATHS = 256


class Reception(Entry):
    """What one endpoint of a watched connection receives. Its key is that of the segments sent to it.

    `primary`: it is the endpoint that got the SYN. `other`: what the other endpoint receives; None for the one that
    is not primary once the connection is forgotten. `owner`: its socket, while there is one to be told of events; of a
    primary one that is not `accepted` yet, the listener. `embryo`: nothing but SYNs was seen so far. `link_header`: of
    the frames sent to it, from the first of them on (`heard`); None if it is that of the other side turned round.

    Offsets count stream bytes. `position`: the next to be read; `end`: behind the last that is known. Between them is
    what `queue` holds, and the `holes`: (offset, length, reason) each, the first of them read in part, maybe.
    """

    def __init__(self, watch: Watch, primary: bool) -> None:
        super().__init__()
        self.watch = watch
        self.primary = primary
        self.conn: Connection | None = None
        self.other: Reception | None = None
        self.owner: Any = None
        self.user_context: Any = None
        self.queue: ByteQueue | None = None
        self.holes: list[Any] | None = None
        self.limit = 0
        self.position = 0
        self.end = 0
        self.overrun = 0  # bytes that came while the buffer was full
        self.accepted = False
        self.embryo = False
        self.heard = False
        self.finished = False  # the stream has ended, in sequence
        self.over = False  # the connection has
        self.shut = False  # nobody wants to read it
        self.offer: Offer | None = None  # what the SYN of its sender has offered
        untrack(self)

    # what comes

    def charge(self) -> int:
        """What is taken of the receive buffer."""
        size = self.queue.length if self.queue is not None else 0
        return size if self.holes is None else size + HOLE_COST * len(self.holes)

    def add(self, data: bytes, start: int, length: int) -> None:
        """The stream's next bytes. Those that there is no room for become a hole."""
        if self.shut:
            self.end += length
            self.position = self.end
            return
        context = self.watch.context
        room = self.limit - self.charge()
        free = context.settings.receive_memory - context.received_bytes
        if free < room:
            room = free
        count = length if length < room else room
        if count > 0:
            if self.queue is None:
                self.queue = ByteQueue()
            self.queue.append(data, start, count)
            context.received_bytes += count
            self.end += count
            length -= count
        if length > 0:
            self.overrun += length
            context.stats.count("passive_overrun_bytes", length)
            self.add_hole(length, OVERRUN)
        else:
            self.tell(EV_READABLE)

    def add_hole(self, length: int, reason: int) -> None:
        """The stream's next bytes are missing. While there is no room, neighbouring holes are one."""
        if self.shut:
            self.end += length
            self.position = self.end
            return
        if self.holes is None:
            self.holes = []
        context = self.watch.context
        free = context.settings.receive_memory - context.received_bytes
        if self.limit - self.charge() < HOLE_COST or free < HOLE_COST:
            reason = OVERRUN
        if self.holes:
            at, size, why = self.holes[-1]
            if why == reason and at + size == self.end:
                self.holes[-1] = (at, size + length, why)
                self.end += length
                self.tell(EV_READABLE)
                return
        self.holes.append((self.end, length, reason))
        context.received_bytes += HOLE_COST
        self.end += length
        self.tell(EV_READABLE)

    def tell(self, events: int) -> None:
        """Marks events for the socket."""
        if self.accepted and self.owner is not None:
            self.owner.mark(events)

    def conclude(self, failed: bool) -> None:
        """The connection is over. What is unread stays, and is the user's from now on, who may forget it."""
        self.watch.context.received_bytes -= self.charge()
        events = EV_READABLE | EV_EOF | EV_CLOSED
        if failed:
            events |= EV_ERROR
        self.tell(events)
        if self.accepted:
            self.owner = None  # the last word: stream and socket would keep each other alive

    # what is read

    def read(self, limit: int, stop: bool, keep: bool, found: list[Any] | None) -> bytes:
        """Up to `limit` bytes, holes as zeros; what of holes is in them goes to `found`: (offset, length, reason).

        `stop`: stops before a hole, or behind the one that it begins with. `keep`: does not take them out.
        """
        parts: list[bytes] = []
        holes = self.holes
        count = len(holes) if holes is not None else 0
        zeros = ZEROS
        position = self.position
        index = 0
        taken = 0
        while limit > 0 and position < self.end:
            at = edge = self.end
            reason = 0
            if holes is not None and index < count:
                at, size, reason = holes[index]
                edge = at + size
            if at > position:
                length = at - position if at - position < limit else limit
                parts.append(self._bytes(taken, length, keep))
                taken += length
            else:
                length = edge - position if edge - position < limit else limit
                if length > zeros:
                    length = zeros
                if length == 0 or (stop and parts):
                    break
                parts.append(bytes(length))
                zeros -= length
                if found is not None:
                    found.append((position, length, reason))
                if position + length == edge:
                    index += 1
            position += length
            limit -= length
            if stop and at <= self.position:
                break
        if not keep:
            self._passed(position, index, taken)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _bytes(self, skip: int, length: int, keep: bool) -> bytes:
        """`length` bytes of the queue, `skip` bytes into it if those before them were kept."""
        queue = self.queue
        assert queue is not None
        if not keep:
            return queue.read(length)
        queue.locate(skip, length)
        return take(queue.source, queue.source_offset, length)

    def _passed(self, position: int, holes: int, taken: int) -> None:
        """Reading has come to `position`, past so many holes and bytes."""
        self.position = position
        if holes and self.holes is not None:
            del self.holes[:holes]
            taken += HOLE_COST * holes
            if not self.holes:
                self.holes = None
        if not self.over:
            self.watch.context.received_bytes -= taken
        if self.queue is not None and self.queue.length == 0:
            self.queue = None

    def read_into(self, target: memoryview) -> int:
        """Reads into a buffer of bytes, holes as zeros; how many."""
        if self.holes is not None or self.queue is None:
            data = self.read(len(target), False, False, None)
            target[: len(data)] = data
            return len(data)
        count = self.queue.read_into(target)
        self._passed(self.position + count, 0, count)
        return count

    def next_hole(self) -> Any:
        """What is left of the hole that the next byte is in, (offset, length, reason), or None."""
        if self.holes is None:
            return None
        at, size, reason = self.holes[0]
        if at > self.position:
            return None
        return self.position, at + size - self.position, reason

    def skip_hole(self) -> None:
        """Passes the hole that the next byte is in."""
        if self.holes is not None:
            at, size, _ = self.holes[0]
            self._passed(at + size, 1, 0)

    def at_end(self) -> bool:
        """Whether nothing more will ever be read."""
        return self.position == self.end and (self.finished or self.over or self.shut)

    def discard(self) -> None:
        """Nobody wants to read it: forgets what there is, and all that comes."""
        self.shut = True
        if not self.over:
            self.watch.context.received_bytes -= self.charge()
        self.queue = None
        self.holes = None
        self.position = self.end


class Buffers(Sink):
    """Takes the streams of watched connections to their receptions."""

    def data(self, conn: Connection, half: Half, offset: int, data: bytes, start: int, length: int, time: int) -> None:
        reception_of(conn, half).add(data, start, length)

    def hole(self, conn: Connection, half: Half, offset: int, length: int, reason: int, time: int) -> None:
        reception = reception_of(conn, half)
        reception.watch.context.stats.count("passive_hole_bytes", length)
        reception.add_hole(length, reason)

    def conflict(self, conn: Connection, half: Half, offset: int, length: int, time: int) -> None:
        reception_of(conn, half).watch.context.stats.count("passive_conflicts")

    def finished(self, conn: Connection, half: Half, time: int) -> None:
        reception = reception_of(conn, half)
        reception.finished = True
        reception.tell(EV_READABLE | EV_EOF)


def reception_of(conn: Connection, half: Half) -> Reception:
    """Who receives what `half` sends."""
    primary: Reception = conn.user
    if half is conn.client:
        return primary
    other = primary.other
    assert other is not None
    return other


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
        self.shared: dict[bytes, bytes] = {}
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
        vids = self.one(packet.vids)
        cdom: int = packet.interface.cdom
        header = self.one(packet.reply_header() if answer else packet.link_header)
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
        primary = Reception(self, True)
        other = Reception(self, False)
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

    def one(self, data: bytes) -> bytes:
        """`data`, the same object for all connections that have the same."""
        known = self.shared.get(data)
        if known is None:
            if len(self.shared) >= MAX_SHARED:
                self.shared.clear()
            known = self.shared[data] = data
        return known

    def one_offer(self, offer: Offer) -> Offer:
        """`offer`, the same object for all connections that have offered the same."""
        key = offer.key
        known = self.offers.get(key)
        if known is None:
            if len(self.offers) >= MAX_SHARED:
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
                entry.link_header = self.one(packet.link_header)
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


def delivered(primary: Reception) -> bool:
    """Whether either end has received something."""
    return primary.end != 0 or (primary.other is not None and primary.other.end != 0)


def begins_anew(conn: Connection, entry: Reception, seg: Segment) -> bool:
    """Whether a SYN to a connection that is over is another connection's."""
    half = conn.client if entry.primary else conn.server
    return not half.flags & BASE or half.base != (seg.seq + 1) & MASK32


def header_of(reception: Reception) -> bytes:
    """The link header of frames sent to an endpoint; empty on layer 3."""
    header = reception.link_header
    if header is None:
        other = reception.other
        header = other.link_header if other is not None else None
        return b"" if header is None else header[6:12] + header[:6] + header[12:]
    return header


def failure(reception: Reception) -> BaseException | None:
    """Why a stream has ended without a FIN; None if it has not, or the connection's other signs are those of a FIN."""
    conn = reception.conn
    if conn is None or not reception.over or reception.finished or conn.closing == CLOSE_FIN:
        return None
    if conn.closing == CLOSE_RST:
        return ConnectionReset("the watched connection was reset")
    if conn.closing == CLOSE_END:
        return ConnectionAborted("the stack is closed")
    if conn.flags & REUSED:
        return TimedOut("the watched connection's end was not seen: another began on its addresses and ports")
    return TimedOut("the watched connection's end was not seen: it was silent for too long")
