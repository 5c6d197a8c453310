"""What the endpoints of watched connections receive: bytes and holes, until they are read."""

from __future__ import annotations

from typing import Any

from uinet.errors import ConnectionAborted, ConnectionReset, TimedOut
from uinet.events import EV_CLOSED, EV_EOF, EV_ERROR, EV_READABLE
from uinet.passive.connection import Connection
from uinet.passive.constants import CLOSE_END, CLOSE_FIN, CLOSE_RST, REUSED
from uinet.passive.half import Half
from uinet.passive.holes import OVERRUN
from uinet.passive.sink import Sink
from uinet.tcp.buffer import ByteQueue
from uinet.tcp.context import Context
from uinet.tcp.offer import Offer
from uinet.tcp.table import Entry
from uinet.wire.kernels import take, untrack

HOLE_COST = 128  # what an unread hole takes of the receive buffer
ZEROS = 65536  # bytes of holes that one read fills with zeros, at most


class Reception(Entry):
    """What one endpoint of a watched connection receives. Its key is that of the segments sent to it.

    `primary`: it is the endpoint that got the SYN. `other`: what the other endpoint receives; None for the one that
    is not primary once the connection is forgotten. `owner`: its socket, while there is one to be told of events; of a
    primary one that is not `accepted` yet, the listener. `embryo`: nothing but SYNs was seen so far. `link_header`: of
    the frames sent to it, from the first of them on (`heard`); None if it is that of the other side turned round.

    Offsets count stream bytes. `position`: the next to be read; `end`: behind the last that is known. Between them is
    what `queue` holds, and the `holes`: (offset, length, reason) each, the first of them read in part, maybe.
    """

    def __init__(self, context: Context, primary: bool) -> None:
        super().__init__()
        self.context = context
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
        context = self.context
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
        context = self.context
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
        self.context.received_bytes -= self.charge()
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
            self.context.received_bytes -= taken
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
            self.context.received_bytes -= self.charge()
        self.queue = None
        self.holes = None
        self.position = self.end


class Buffers(Sink):
    """Takes the streams of watched connections to their receptions."""

    def data(self, conn: Connection, half: Half, offset: int, data: bytes, start: int, length: int, time: int) -> None:
        reception_of(conn, half).add(data, start, length)

    def hole(self, conn: Connection, half: Half, offset: int, length: int, reason: int, time: int) -> None:
        reception = reception_of(conn, half)
        reception.context.stats.count("passive_hole_bytes", length)
        reception.add_hole(length, reason)

    def conflict(self, conn: Connection, half: Half, offset: int, length: int, time: int) -> None:
        reception_of(conn, half).context.stats.count("passive_conflicts")

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


def delivered(primary: Reception) -> bool:
    """Whether either end has received something."""
    return primary.end != 0 or (primary.other is not None and primary.other.end != 0)


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
