"""What all followed connections share: options, packet time, timers, budgets, and whom to tell."""

from __future__ import annotations

from typing import Any

from uinet.passive.clock import PacketClock
from uinet.passive.connection import Connection
from uinet.passive.constants import BSD, GAP_COST, IGNORED, LINUX, OLD_LINUX, OPENED
from uinet.passive.gap import Gap
from uinet.passive.options import Options
from uinet.passive.overlap import POLICIES
from uinet.passive.recall import Recall
from uinet.passive.sink import Sink
from uinet.passive.tally import NAMES
from uinet.stats import Stats
from uinet.units import SECOND
from uinet.wheel import Wheel
from uinet.wire.segment import Segment

# how long a connection is kept of which only one side was seen, and no data
EMBRYONIC = 60 * SECOND
LISTS = 16  # of how many streams full lists of holes are kept at once, beside one hole for each connection


class Core:
    """The state that functions which treat one connection share; :class:`uinet.passive.engine.Engine` adds the rest.

    `now`: the packet clock; `stamp`: the time stamp of the packet under work. ns.
    """

    def __init__(self, sink: Sink, options: Options, wheel: Wheel | None = None) -> None:
        limits = options.limits
        self.sink = sink
        self.options = options
        self.deadline = options.deadline
        self.skew = options.skew
        self.idle = options.idle
        self.embryonic = min(options.idle, EMBRYONIC)
        self.midstream = options.midstream
        self.policy = POLICIES[options.overlap]
        self.policy_refuses_acks = self.policy in (BSD, LINUX, OLD_LINUX)
        self.strict_sums = options.checksums == "verify"
        self.urgent_holes = options.urgent == "hole"
        self.limit_connections = limits.connections
        self.limit_held = limits.held
        self.limit_held_connection = limits.held_connection
        self.limit_holes = limits.holes
        self.limit_listed = LISTS * limits.holes + limits.connections
        self.recall = Recall(limits.recall)
        self.recalling = limits.recall > 0
        self.tally = Stats(NAMES)
        self.clock = PacketClock()
        self.wheel = wheel if wheel is not None else Wheel()
        self.now = 0
        self.stamp = 0
        self.frames = 0
        self.frame = 0  # the number of the packet under work
        self.serial = 0  # connections that the sink was told of
        self.closes = 0
        self.count = 0  # connections in the table, those closed a moment ago included
        self.held = 0
        self.listed = 0  # holes, of all connections in the table
        self.delivered = 0
        self.missing = 0
        self.good_sums = 0
        self.bad_sums = 0
        self.ttl = 0  # of the packet under work
        self.doubted: list[Any] = []  # connections that had packets whose time stamps are not believed yet
        self.oldest: Gap | None = None
        self.newest: Gap | None = None

    # time

    def at(self, stamp: int) -> None:
        """A packet with this time stamp has come: runs what is due."""
        now = self.clock.tick(stamp)
        if self.now == 0:
            self.wheel = Wheel(now)
        self.now = now
        self.stamp = stamp
        if self.doubted and not self.clock.strange:
            self.undoubted()
        self.wheel.advance(now)
        self.stamp = stamp

    def undoubted(self) -> None:
        """The clock has been decided on: connections that had packets meanwhile had them now."""
        for conn in self.doubted:
            conn.last = self.now
            for half in (conn.client, conn.server):
                if half.gap is not None:
                    half.gap.since = self.now
        self.doubted.clear()

    def arm(self, conn: Connection, when: int) -> None:
        """`conn` wants to be looked at, at `when` or before."""
        if conn.deadline == 0 or when < conn.deadline:
            self.wheel.arm(conn, when if when > 0 else 1)

    # connections

    def open(self, conn: Connection) -> None:
        """It is known who is client and who server: the sink hears of the connection."""
        if not conn.flags & OPENED:
            conn.flags |= OPENED
            conn.serial = self.serial
            self.serial += 1
            self.arm(conn, self.now + self.embryonic)
            self.sink.opened(conn)

    def close(self, conn: Connection) -> None:
        """The connection is over: the sink hears of it."""
        self.closes += 1
        self.sink.closed(conn)
        conn.user = None

    def ignore(self, conn: Connection) -> None:
        """A connection that is not followed."""
        conn.state = IGNORED
        self.tally.count("midstream_ignored")
        self.arm(conn, self.now + self.skew)

    # what the engine adds (uinet.passive.engine)

    def segment(
        self, conn: Connection, from_client: bool, seg: Segment, data: bytes, captured: int, sum_state: int,
        signed: bool,
    ) -> None:
        """A segment of `conn`, see :func:`uinet.passive.arrive.arrives`."""
        raise NotImplementedError

    def due(self, conn: Connection, now: int) -> None:
        """The timer of `conn`."""
        raise NotImplementedError

    def waited(self, conn: Connection) -> None:
        """No SYN has come for a connection that began without."""
        raise NotImplementedError

    def renew(
        self, conn: Connection, keep: bool, from_client: bool, seg: Segment, data: bytes, captured: int, signed: bool
    ) -> None:
        """Another connection begins on the addresses and ports of `conn`, with this segment.

        `keep`: client and server are who they were.
        """
        raise NotImplementedError

    def replace(self, conn: Connection, keep: bool) -> Connection:
        """A new connection in the place of `conn`, which ends."""
        raise NotImplementedError

    # what a table adds

    def admit(self, conn: Connection) -> None:
        """Puts a connection into the table. For subclasses."""

    def dismiss(self, conn: Connection) -> None:
        """Takes a connection out of the table. For subclasses."""

    def forget(self, conn: Connection) -> None:
        """Keeps nothing of a connection that is over."""
        self.wheel.disarm(conn)
        self.count -= 1
        self.listed -= conn.client.listed() + conn.server.listed()
        self.dismiss(conn)

    # what is held

    def link(self, gap: Gap) -> None:
        """`gap` holds something: it may have to give it up."""
        if gap.newer is not None or gap.older is not None or self.newest is gap:
            return
        gap.size += GAP_COST
        self.held += GAP_COST
        gap.older = self.newest
        if self.newest is not None:
            self.newest.newer = gap
        else:
            self.oldest = gap
        self.newest = gap

    def unlink(self, gap: Gap) -> None:
        """`gap` holds nothing."""
        if gap.older is None and gap.newer is None and self.newest is not gap:
            return
        gap.size -= GAP_COST
        self.held -= GAP_COST
        if gap.older is not None:
            gap.older.newer = gap.newer
        else:
            self.oldest = gap.newer
        if gap.newer is not None:
            gap.newer.older = gap.older
        else:
            self.newest = gap.older
        gap.older = gap.newer = None
