"""Makes IPv4 and IPv6 datagrams whole from their fragments, as a host would that one only overhears.

Read first: RFC 791 section 3.2, RFC 815, RFC 8200 section 4.5, RFC 5722; Novak, "Target-Based Fragmentation
Reassembly" (2005).

IPv4 hosts differ in which of two overlapping fragments they believe, so a policy says it, as for segments
(:mod:`uinet.passive.overlap`); in IPv6 an overlap condemns the datagram. A fragment that contradicts what is known of
its datagram's end is dropped alone: what is there may still become whole.

All is bounded: bytes held, with what it costs to hold them, and datagrams. The oldest gives way. Time is that of the
packets: a datagram's rest has 30 s, and a clock that jumps back as far ends that too.
"""

from __future__ import annotations

from bisect import bisect_right

from uinet.passive.codes import BROKEN, KEPT, WHOLE
from uinet.passive.options import Options
from uinet.passive.overlap import POLICIES, new_wins
from uinet.stats import Stats
from uinet.units import SECOND

TIMEOUT = 30 * SECOND
MAX_DATAGRAMS = 16_384  # incomplete at once
DATAGRAM_COST = 480  # bytes of memory that a datagram takes, beside its headers and pieces
PIECE_COST = 180  # the same of a piece, beside its payload
MAX_RECENT = 64  # whole datagrams remembered
RECENT_SHARE = 4  # of the budget they may take one part in so many

class Piece:
    """What counts of a fragment: ``[start, end)`` of the datagram. The fragment was ``[first, last)``; `data` begins
    at `first` and, if the snap length cut it, ends before `last`.
    """

    __slots__ = ("data", "end", "first", "last", "start")

    def __init__(self, start: int, end: int, first: int, last: int, data: bytes) -> None:
        self.start = start
        self.end = end
        self.first = first
        self.last = last
        self.data = data

    def part(self, start: int, end: int) -> Piece:
        """The piece that is left of this one between `start` and `end`."""
        return Piece(start, end, self.first, self.last, self.data)

    def there(self, start: int, end: int) -> bytes:
        """The bytes of ``[start, end)`` that are there, up to a cut."""
        return self.data[start - self.first : end - self.first]


class Datagram:
    """What has arrived of one datagram."""

    def __init__(self, time: int) -> None:
        self.time = time  # of its first fragment
        self.pieces: list[Piece] = []  # ascending, none over another
        self.starts: list[int] = []  # of the pieces
        self.covered = 0  # bytes that the pieces cover
        self.reach = 0  # the furthest end of a fragment
        self.total = -1  # bytes in all; -1: the last fragment is not here yet
        self.head = b""  # the headers of its first fragment
        self.link_length = 0
        self.vids = b""
        self.tags = 0
        self.cost = 0
        self.conflict = False
        self.condemned = False


class Fragments:
    """All incomplete datagrams. After WHOLE these tell of the one made whole, and keep it until the next `add`:

    `head`: the link and network headers of its first fragment, the link header `link_length` long; `vids`, `tags`:
    its VLANs. `payload`: what is there, up to the first byte that a snap length cut, of `total` bytes.
    `conflict`: fragments overlapped with different bytes.
    """

    def __init__(self, options: Options, stats: Stats) -> None:
        self.stats = stats
        self.limit = options.limits.fragments
        self.policy = POLICIES[options.overlap]
        self.datagrams: dict[bytes, Datagram] = {}  # oldest first
        self.cost = 0
        # Whole ones of late: in a copy that has each packet twice, the second of a last fragment must not wait for
        # a rest that came before it, and be taken for a part of a later datagram with the same identification
        self.recent: dict[bytes, Datagram] = {}
        self.recent_cost = 0
        self.head = b""
        self.link_length = 0
        self.vids = b""
        self.tags = 0
        self.payload = b""
        self.total = 0
        self.conflict = False

    def add(
        self, key: bytes, strict: bool, now: int, offset: int, more: bool, payload: bytes, length: int, room: int,
        head: bytes, link_length: int, vids: bytes, tags: int,
    ) -> int:
        """Takes the fragment at `offset` of the datagram `key`; KEPT, WHOLE, or BROKEN.

        Of its `length` bytes on the wire `payload` is there. `strict`: an overlap condemns the datagram.
        `room`: the most bytes that the datagram can have. `head` and what follows: of a first fragment.
        """
        self.stats.count("frag_received")
        self._expire(now)
        end = offset + length
        if length == 0 or end > room or (more and length % 8 != 0):
            return self._broken("frag_bad")
        datagram = self.datagrams.get(key)
        if datagram is None:
            if key in self.recent and self._seen(key, offset, end, more, payload):
                self.stats.count("frag_duplicate")
                return KEPT
            datagram = self._begin(key, now)
        if datagram.condemned:
            return self._broken("frag_dropped")
        if contradicts(datagram, end, more):
            return self._broken("frag_bad")
        if not self._insert(datagram, Piece(offset, end, offset, end, payload), strict):
            return self._broken("frag_dropped")
        if not more:
            datagram.total = end
        if end > datagram.reach:
            datagram.reach = end
        if offset == 0 and not datagram.head:
            datagram.head = head
            datagram.link_length = link_length
            datagram.vids = vids
            datagram.tags = tags
            self._charge(datagram, len(head))
        if datagram.covered == datagram.total:
            self._complete(key, datagram)
            return WHOLE
        self._shrink()
        return KEPT

    def finish(self) -> None:
        """The capture ends: what is not whole is counted and forgotten."""
        for key in list(self.datagrams):
            self._forget(key, "frag_end")

    def _broken(self, name: str) -> int:
        self.stats.count(name)
        return BROKEN

    def _begin(self, key: bytes, now: int) -> Datagram:
        datagram = Datagram(now)
        self.datagrams[key] = datagram
        self._charge(datagram, DATAGRAM_COST)
        return datagram

    def _charge(self, datagram: Datagram, cost: int) -> None:
        datagram.cost += cost
        self.cost += cost

    def _insert(self, datagram: Datagram, new: Piece, strict: bool) -> bool:
        """Puts a fragment among the pieces; False if that condemns the datagram."""
        pieces = datagram.pieces
        starts = datagram.starts
        at = bisect_right(starts, new.start)
        if at and pieces[at - 1].end > new.start:
            at -= 1
        stop = at
        while stop < len(pieces) and pieces[stop].start < new.end:
            stop += 1
        if at == stop:
            parts = [new]
            datagram.covered += new.end - new.start
        else:
            touched = pieces[at:stop]
            if len(touched) == 1 and repeats(new, touched[0]):
                self.stats.count("frag_duplicate")
                return True
            self.stats.count("frag_overlap")
            if conflicts(new, touched):
                self.stats.count("frag_conflict")
                datagram.conflict = True
            if strict:
                self._condemn(datagram)
                return False
            before = sum([piece.end - piece.start for piece in touched])
            parts = merge(new, touched, self.policy)
            datagram.covered += sum([piece.end - piece.start for piece in parts]) - before
        pieces[at:stop] = parts
        starts[at:stop] = [piece.start for piece in parts]
        self._charge(datagram, len(new.data) + PIECE_COST * (len(parts) - (stop - at)))
        return True

    def _condemn(self, datagram: Datagram) -> None:
        """Forgets what there is of a datagram, but not that the rest of it is unwanted (RFC 5722, 4)."""
        datagram.condemned = True
        datagram.pieces = []
        datagram.starts = []
        datagram.head = b""
        self._charge(datagram, DATAGRAM_COST - datagram.cost)

    def _expire(self, now: int) -> None:
        """Gives up what has waited too long. The oldest are first, so this looks at one more than it gives up."""
        while self.datagrams:
            key = next(iter(self.datagrams))
            if abs(now - self.datagrams[key].time) <= TIMEOUT:
                return
            self._forget(key, "frag_timeout")

    def _shrink(self) -> None:
        while self.cost + self.recent_cost > self.limit or len(self.datagrams) > MAX_DATAGRAMS:
            self._forget(next(iter(self.datagrams)), "frag_evicted")

    def _forget(self, key: bytes, name: str) -> None:
        datagram = self.datagrams.pop(key)
        self.cost -= datagram.cost
        if not datagram.condemned:  # that one has been counted
            self.stats.count(name)

    def _complete(self, key: bytes, datagram: Datagram) -> None:
        """Tells of a datagram that is whole, and moves it to those that were of late."""
        del self.datagrams[key]
        self.cost -= datagram.cost
        there = []
        for piece in datagram.pieces:
            part = piece.there(piece.start, piece.end)
            there.append(part)
            if len(part) < piece.end - piece.start:
                self.stats.count("frag_cut")
                break
        self.payload = b"".join(there)
        self.head = datagram.head
        self.link_length = datagram.link_length
        self.vids = datagram.vids
        self.tags = datagram.tags
        self.total = datagram.total
        self.conflict = datagram.conflict
        self.stats.count("frag_reassembled")
        if not datagram.conflict:
            self._remember(key, datagram)

    def _remember(self, key: bytes, datagram: Datagram) -> None:
        self._drop_recent(key)
        datagram.pieces = [Piece(0, datagram.total, 0, datagram.total, self.payload)]
        datagram.cost = DATAGRAM_COST + PIECE_COST + len(self.payload) + len(self.head)
        self.recent[key] = datagram
        self.recent_cost += datagram.cost
        while len(self.recent) > MAX_RECENT or self.recent_cost > self.limit // RECENT_SHARE:
            self._drop_recent(next(iter(self.recent)))

    def _drop_recent(self, key: bytes) -> None:
        datagram = self.recent.pop(key, None)
        if datagram is not None:
            self.recent_cost -= datagram.cost

    def _seen(self, key: bytes, offset: int, end: int, more: bool, payload: bytes) -> bool:
        """Whether a fragment is one of a whole datagram of late, once more; forgets that one if it is not."""
        datagram = self.recent[key]
        piece = datagram.pieces[0]
        known = piece.there(offset, end)
        common = min(len(known), len(payload))
        if end <= datagram.total and more == (end != datagram.total) and known[:common] == payload[:common]:
            return True
        self._drop_recent(key)
        return False


def contradicts(datagram: Datagram, end: int, more: bool) -> bool:
    """Whether a fragment that ends at `end` can't be of this datagram: it has another end, or one before its end."""
    if datagram.total >= 0:
        return end > datagram.total if more else end != datagram.total
    return not more and end < datagram.reach


def repeats(new: Piece, old: Piece) -> bool:
    """Whether a fragment is one that is held, once more."""
    return new.start == old.start and new.end == old.end and old.start == old.first and (
        old.end == old.last and new.data == old.data
    )


def conflicts(new: Piece, touched: list[Piece]) -> bool:
    """Whether a fragment has other bytes than pieces that it overlaps, as far as both are there."""
    for old in touched:
        start = max(new.start, old.start)
        end = min(new.end, old.end)
        ours = new.there(start, end)
        theirs = old.there(start, end)
        common = min(len(ours), len(theirs))
        if ours[:common] != theirs[:common]:
            return True
    return False


def merge(new: Piece, touched: list[Piece], policy: int) -> list[Piece]:
    """The pieces that stand for `new` and for those that it overlaps, by a policy."""
    parts: list[Piece] = []
    at = new.start  # of the new one everything before this has been seen to
    for old in touched:
        if old.start > at:
            parts.append(new.part(at, old.start))
        start = max(new.start, old.start)
        end = min(new.end, old.end)
        at = end
        if not new_wins(policy, old.first, old.last, new.first, new.last):
            parts.append(old)
            continue
        if old.start < start:
            parts.append(old.part(old.start, start))
        parts.append(new.part(start, end))
        if end < old.end:
            parts.append(old.part(end, old.end))
    if at < new.end:
        parts.append(new.part(at, new.end))
    return parts
