"""Connections without a table: a follower of captures and the passive sockets of a stack each bring their own."""

from __future__ import annotations

from typing import Any

from uinet.passive.arrive import arrives
from uinet.passive.connection import Connection, Path
from uinet.passive.constants import CLOSE_TIMEOUT, CLOSED, LIMIT, OPENED, REUSED, REVERSED, SETTLING, WAITING
from uinet.passive.core import Core
from uinet.passive.ending import as_it_stands, due, end_of_copy, over
from uinet.passive.opening import give_up_waiting
from uinet.units import TICK_SHIFT
from uinet.wire.segment import Segment

SAMPLE = 64  # of the connections that would time out next, how many are looked at for one to give up


class Engine(Core):
    """What happens to connections: they begin, take segments, wait, give way to others, end."""

    def begin(self, path: Path) -> Connection:
        """A new connection, in no table yet; makes room for it if there are too many."""
        if self.count >= self.limit_connections:
            self.make_room()
        conn = Connection(path)
        conn.frame = self.frame
        conn.start = self.stamp
        conn.last = self.now
        conn.client.flags = SETTLING
        conn.server.flags = SETTLING
        self.count += 1
        return conn

    def begun(self, conn: Connection) -> None:
        """The first segment of `conn` has been taken in; if that was no SYN, how long to wait for one."""
        if conn.deadline == 0:
            self.arm(conn, self.now + (self.deadline if self.midstream else self.skew))

    def segment(
        self, conn: Connection, from_client: bool, seg: Segment, data: bytes, captured: int, sum_state: int,
        signed: bool,
    ) -> None:
        """A segment of `conn`, see :func:`uinet.passive.arrive.arrives`."""
        arrives(self, conn, from_client, seg, data, captured, sum_state, signed)

    def due(self, conn: Connection, now: int) -> None:
        """The timer of `conn`, at its own tick: what it decides must not depend on when some other connection's next
        packet came, which is what moves time."""
        self.now = self.wheel.current << TICK_SHIFT
        self.stamp = self.now - self.clock.shift
        due(self, conn, self.now)
        self.now = now

    def waited(self, conn: Connection) -> None:
        """No SYN has come for a connection that began without."""
        give_up_waiting(self, conn)

    def renew(
        self, conn: Connection, keep: bool, from_client: bool, seg: Segment, data: bytes, captured: int, signed: bool
    ) -> None:
        """Another connection begins on the addresses and ports of `conn`, with this segment.

        `keep`: client and server are who they were.
        """
        new = self.replace(conn, keep)
        self.segment(new, from_client == keep, seg, data, captured, 0, signed)
        self.begun(new)

    def replace(self, conn: Connection, keep: bool) -> Connection:
        """A new connection in the place of `conn`, which ends."""
        if conn.state == WAITING and self.midstream:
            self.waited(conn)
        how = as_it_stands(conn, CLOSE_TIMEOUT)
        if conn.flags & OPENED and not conn.closing and how == CLOSE_TIMEOUT:
            conn.flags |= REUSED
            self.tally.count("reused")
        over(self, conn, how)
        self.forget(conn)
        new = self.begin(conn.path)
        new.client_hi, new.client_lo, new.client_port = conn.client_hi, conn.client_lo, conn.client_port
        new.server_hi, new.server_lo, new.server_port = conn.server_hi, conn.server_lo, conn.server_port
        new.flags |= conn.flags & REVERSED
        if not keep:
            new.swap()
        new.client.good, new.client.bad = conn.client.good, conn.client.bad
        new.hash = conn.hash
        new.mark = conn.mark
        self.admit(new)
        return new

    def make_room(self) -> None:
        """There are too many connections: the one that has been silent longest, of those that would end next, ends."""
        oldest: Connection | None = None
        for conn in self.wheel.waiting(SAMPLE):
            if oldest is None or conn.last < oldest.last:
                oldest = conn
        if oldest is not None:
            self.tally.count("connections_given_up")
            if not oldest.closing:
                oldest.flags |= LIMIT
            over(self, oldest, CLOSE_TIMEOUT)
            self.forget(oldest)

    def end_all(self, conns: list[Any]) -> None:
        """The copy is over: every connection ends, in order of first packets. The caller empties its table."""
        self.stamp = self.now - self.clock.shift
        going = [conn for conn in conns if conn.state != CLOSED]
        going.sort(key=_frame)
        for conn in going:
            end_of_copy(self, conn)
        self.wheel.clear()
        self.doubted.clear()
        self.count = 0
        self.listed = 0


def _frame(conn: Connection) -> int:
    return conn.frame
