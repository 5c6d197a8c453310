"""Listeners, and the index that finds the one for a SYN.

Patterns, most specific first (the order of precedence of promiscuous sockets): exactly these VLAN tags before any tags;
within each (ip, port), (*, port), (ip, *), (*, *), a wildcard of one address family before one of both. Each class of
patterns that has members costs one probe of a keyed table; empty classes cost nothing. Among equals the newest wins.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from uinet.errors import AddressInUse
from uinet.tcp.config import Config
from uinet.tcp.constants import IP_ANY, IP_EXACT, IP_FAMILY
from uinet.tcp.table import Entry, Table
from uinet.wire.constants import V4_MAPPED
from uinet.wire.packet import is_mapped

# (kind of address pattern, any port), in order of precedence
ORDER = (
    (IP_EXACT, False), (IP_FAMILY, False), (IP_ANY, False), (IP_EXACT, True), (IP_FAMILY, True), (IP_ANY, True),
)
KINDS = 3  # of address patterns
WITH_TAGS = len(ORDER)  # patterns with exactly these tags come first, then those with any
CLASSES = 2 * WITH_TAGS
CATCH_ALL = CLASSES  # the pattern of one that takes all there is in its domain, and before any other
NO_TAGS = b""

NO_QUEUE: deque[Any] = deque(maxlen=0)  # these stay empty
NO_ENTRIES: OrderedDict[Any, None] = OrderedDict()


class Listed(Entry):
    """What a listener has in its list of half-open connections: `before` and `behind` are its neighbours there."""

    def blank_listed(self) -> None:
        """What a new one is (see `Timer.blank_timer`)."""
        self.blank_entry()
        self.listed = False
        self.before: Listed | None = None
        self.behind: Listed | None = None


class Listener(Entry):
    """A listening socket's half of TCP.

    `owner`: the Socket, `config`: its options. `accepted`: connections (TCBs) that wait to be accepted, at most
    `backlog`. `half_open`: how many entries of the SYN cache have had their SYN,ACK, `oldest` and `newest` are the ends
    of their list; `deferred`: those that wait for a verdict. `passive`: it watches connections, and sends nothing;
    `embryos`: watched ones of which only SYNs were seen. These hold shared, empty containers while nothing is in them,
    as there may be a million listeners: what changes them are the methods here.
    `catch_all`: it takes every SYN of its domain, and no other is looked for.
    `older`: the listener with the same pattern that this one hides. `fast_pending`: connections that Fast Open has made
    and whose handshake is not complete; `fast_resets`: until when (ns) those that a RST has ended count as well.
    """

    def __init__(self, owner: Any, config: Config, backlog: int) -> None:
        self.blank_entry()
        self.owner = owner
        self.config = config
        self.backlog = backlog
        self.pattern = 0
        self.older: Listener | None = None
        self.accepted = NO_QUEUE
        self.half_open = 0
        self.oldest: Listed | None = None
        self.newest: Listed | None = None
        self.deferred = NO_ENTRIES
        self.embryos = NO_ENTRIES
        self.passive = False
        self.syn_filter: Callable[[Any], Any] | None = None
        self.cookies_until = 0
        self.quiet_until = 0
        self.fast_pending = 0
        self.fast_resets = NO_QUEUE
        self.reuse = False
        self.catch_all = False
        self.open = True

    def queue(self, connection: Any) -> None:
        """A connection waits to be accepted."""
        if self.accepted is NO_QUEUE:
            self.accepted = deque()
        self.accepted.append(connection)

    def take(self) -> Any:
        """The oldest connection that waits to be accepted; there must be one."""
        connection = self.accepted.popleft()
        if not self.accepted:
            self.accepted = NO_QUEUE
        return connection

    def begin(self, entry: Listed) -> None:
        """An entry of the SYN cache is ours, and has its SYN,ACK."""
        newest = self.newest
        entry.listed = True
        entry.before = newest
        if newest is None:
            self.oldest = entry
        else:
            newest.behind = entry
        self.newest = entry
        self.half_open += 1

    def _unlist(self, entry: Listed) -> None:
        before = entry.before
        behind = entry.behind
        if before is None:
            self.oldest = behind
        else:
            before.behind = behind
        if behind is None:
            self.newest = before
        else:
            behind.before = before
        entry.before = None
        entry.behind = None
        entry.listed = False
        self.half_open -= 1

    def defer(self, entry: Any) -> None:
        """An entry waits for its verdict."""
        if self.deferred is NO_ENTRIES:
            self.deferred = OrderedDict()
        self.deferred[entry] = None

    def watch(self, reception: Any) -> None:
        """A watched connection begins."""
        if self.embryos is NO_ENTRIES:
            self.embryos = OrderedDict()
        self.embryos[reception] = None

    def forget_entry(self, entry: Listed) -> None:
        """An entry of the SYN cache is no longer one, or no longer deferred; again: nothing."""
        if entry.listed:
            self._unlist(entry)
        elif self.deferred is not NO_ENTRIES:
            self.forget(entry)

    def forget(self, item: Any) -> None:
        """A deferred entry, or the beginning of a watched connection, is no longer one; again: nothing."""
        if self.deferred is not NO_ENTRIES:
            self.deferred.pop(item, None)
            if not self.deferred:
                self.deferred = NO_ENTRIES
        if self.embryos is not NO_ENTRIES:
            self.embryos.pop(item, None)
            if not self.embryos:
                self.embryos = NO_ENTRIES

    def note_reset(self, until: int) -> None:
        """A Fast Open connection was ended by a RST before its handshake: it counts until then (ns)."""
        if self.fast_resets is NO_QUEUE:
            self.fast_resets = deque()
        self.fast_resets.append(until)

    def recent_resets(self, now: int) -> int:
        """How many such connections count now."""
        while self.fast_resets and self.fast_resets[0] <= now:
            self.fast_resets.popleft()
        return len(self.fast_resets)


class Listeners:
    """The index of one stack's listeners."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.counts = [0] * (CLASSES + 1)
        self.present = 0  # a bit for each class that has members
        self.passive = 0  # how many of them are passive
        self.count = 0

    def add(
        self, listener: Listener, cdom: int, vids: bytes | None, ip_kind: int, ip_hi: int, ip_lo: int, port: int
    ) -> None:
        """Adds a listener for `port` (0: any) of the address (or family, or any, by `ip_kind`).

        `vids` None: any VLAN stack. AddressInUse if its pattern is taken, unless both have `reuse`.
        """
        order = ORDER.index((ip_kind, port == 0))
        pattern = order + (0 if vids is not None else len(ORDER))
        if listener.catch_all:
            pattern = CATCH_ALL
            vids = None
        if ip_kind == IP_ANY:
            ip_hi = ip_lo = 0
        listener.pattern = pattern
        self.table.set_key(listener, cdom, vids or b"", ip_hi, ip_lo, port, 0, pattern, 0)
        there = self._find(pattern, cdom, vids or b"", ip_hi, ip_lo, port)
        if there is None:
            self.table.insert(listener)
        else:
            if not (listener.reuse and there.reuse):
                raise AddressInUse()
            listener.older = there
            self.table.replace(there, listener)
        self.counts[pattern] += 1
        self.present |= 1 << pattern
        self.count += 1
        if listener.passive:
            self.passive += 1

    def remove(self, listener: Listener) -> None:
        """Takes a listener out; the one that it hid, if any, listens again."""
        there = self._find(
            listener.pattern, listener.cdom, listener.vids, listener.laddr_hi, listener.laddr_lo, listener.lport
        )
        if there is listener:
            if listener.older is not None:
                self.table.replace(listener, listener.older)
            else:
                self.table.remove(listener)
        else:
            while there is not None and there.older is not listener:
                there = there.older
            if there is not None:
                there.older = listener.older
        listener.older = None
        self.counts[listener.pattern] -= 1
        if self.counts[listener.pattern] == 0:
            self.present &= ~(1 << listener.pattern)
        self.count -= 1
        if listener.passive:
            self.passive -= 1

    def _find(self, pattern: int, cdom: int, vids: bytes, ip_hi: int, ip_lo: int, port: int) -> Listener | None:
        found = self.table.find(cdom, vids, ip_hi, ip_lo, port, 0, pattern, 0)
        return found if isinstance(found, Listener) else None

    def find(self, cdom: int, vids: bytes, ip_hi: int, ip_lo: int, port: int) -> Listener | None:
        """The listener for a SYN to that address and port with those tags, or None."""
        if self.count == 0:
            return None
        if self.present >> CATCH_ALL:
            found = self._find(CATCH_ALL, cdom, NO_TAGS, 0, 0, 0)
            if found is not None:
                return found
        family = V4_MAPPED if is_mapped(ip_hi, ip_lo) else 0
        for pattern in range(CLASSES):
            if not self.present & (1 << pattern):
                continue
            place = pattern % WITH_TAGS  # in ORDER
            ip_kind = place % KINDS
            tags = vids if pattern < WITH_TAGS else NO_TAGS
            want = 0 if place >= KINDS else port
            if ip_kind == IP_EXACT:
                found = self._find(pattern, cdom, tags, ip_hi, ip_lo, want)
            elif ip_kind == IP_FAMILY:
                found = self._find(pattern, cdom, tags, 0, family, want)
            else:
                found = self._find(pattern, cdom, tags, 0, 0, want)
            if found is not None:
                return found
        return None
