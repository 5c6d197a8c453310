"""What every part of one stack's TCP shares: the network below, clock, timers, counters, tables and queues of work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uinet.ip.network import Network
from uinet.stats import Stats
from uinet.tcp.isn import Secrets
from uinet.tcp.sent import Ack
from uinet.tcp.settings import Settings
from uinet.tcp.table import Entry, Table
from uinet.wheel import Timer, Wheel
from uinet.wire.kernels import load_u64


class Context:
    """Shared state of one stack's TCP.

    `pending`: connections that may have something to send once the batch is eaten. `ready`: connections (or sockets)
    whose events wait to be delivered. `received_bytes`: unread and out-of-order bytes of all open connections,
    `queued_bytes`: those that they have to send and that are not acknowledged.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.wheel: Wheel = network.wheel
        self.stats: Stats = network.stats
        self.settings = Settings()
        key = network.random.secret("tcp table")
        self.table = Table(load_u64(key, 0), load_u64(key, 8))
        self.secrets = Secrets(network.random.secret("tcp isn"))
        self.probe = Entry()  # a scratch object: the key and path of a peer of which nothing is kept
        self.now = 0
        self.ack = Ack()
        self.pending: list[Any] = []
        self.ready: list[Any] = []
        self.scratch = bytearray(256)
        self.urgent = 0  # the urgent pointer of the segment that is being sent
        self.received_bytes = 0
        self.queued_bytes = 0
        self.segments_out = 0
        # counters that nearly every connection counts, as plain integers (`Stack` gives them to `stats`)
        self.cookies_sent = 0
        self.entries_added = 0
        self.accepted = 0
        self.ended = 0
        self.rst_limit: Any = None  # a reset.RstLimit
        self.fast_server: Any = None  # a fast_open.ServerCookies
        self.fast_client: Any = None  # a fast_open.ClientCookies
        self.copies: Any = None  # a copying.Copies, once flows are copied
        self.syn_events: list[Any] | None = None  # what has happened to SYNs (`syn_events`); None: nobody asks
        self.trace: Callable[..., None] | None = None
        self.on_pending: Callable[[], None] | None = None
        self.clock: Callable[[], int] | None = None
        self.busy = False  # inside input or poll, which flush at their end
        self.closed_down = False  # the stack is closed
        self.serial = 0
        self.time_waits = 0
        self.states = [0] * 11  # connections in each state of `tcp.state`
        self.syn_count = 0

    def refresh(self) -> None:
        """Learns the time for a call made outside input and poll: the timers that it sets begin then."""
        if self.clock is not None and not self.busy:
            now = self.clock()
            if now > self.now:
                self.now = now
                self.network.now = now

    def timeout(self, timer: Timer, now: int) -> None:
        """A TCB's or SYN cache entry's deadline has come; `Tcp` says what happens."""

    def begin_time_wait(self, entry: Entry) -> None:
        """A connection has entered TIME-WAIT; `Tcp` keeps no more of it than that needs."""

    def closed(self, entry: Entry) -> None:
        """A connection is gone; `Tcp` takes it out of its tables."""
