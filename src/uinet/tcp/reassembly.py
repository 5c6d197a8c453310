"""Out-of-order data: islands of bytes beyond RCV.NXT, and the SACK blocks that tell the peer of them (RFC 2018).

What arrived first stays: of a segment that overlaps an island only the bytes that are not held yet are taken. Islands
are few (`Settings.out_of_order_islands`) and each is a `ByteQueue`, so a peer can't make us keep an object for every
byte it sends (CVE-2018-5390).
"""

from __future__ import annotations

from uinet.seq import seq_diff, seq_geq, seq_leq, seq_lt
from uinet.tcp.buffer import ByteQueue

ISLAND_COST = 1024  # bytes: the objects of an island, and the least block


class Island:
    """Contiguous bytes from `start` to `end` (sequence numbers)."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self.data = ByteQueue()


class Reassembly:
    """The islands of one connection in order of sequence; `recent` has them latest first, as SACK wants them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.length = 0
        self.islands: list[Island] = []
        self.recent: list[Island] = []
        self.twice = 0  # where the first octets began of the last segment that were held already, and how many
        self.twice_length = 0

    def add(self, seq: int, data: bytes, offset: int, length: int) -> int:
        """Keeps the bytes of [seq, seq + length) that are new; how many, or -1 if a limit says no.

        The bytes are `length` of `data` at `offset`.
        """
        index = self._first_reaching(seq)
        taken = 0
        self.twice_length = 0
        island: Island | None = None
        while length > 0:
            island = self.islands[index] if index < len(self.islands) else None
            if island is not None and seq_leq(island.start, seq) and seq_geq(island.end, seq):
                # the segment begins in this island or right at its end: skip what is held, extend it with the rest
                held = seq_diff(island.end, seq)
                if held and self.twice_length == 0:
                    self.twice = seq
                    self.twice_length = held if held < length else length
                if held >= length:
                    break
                seq = island.end
                offset += held
                length -= held
                room = length
                if index + 1 < len(self.islands):
                    gap = seq_diff(self.islands[index + 1].start, seq)
                    if gap < room:
                        room = gap
                island.data.append(data, offset, room)
                island.end = (seq + room) & 0xFFFFFFFF
            else:
                # before the next island: a new one, as long as the gap allows
                if len(self.islands) >= self.limit:
                    return taken if taken else -1
                room = length
                if island is not None:
                    gap = seq_diff(island.start, seq)
                    if gap < room:
                        room = gap
                island = Island(seq)
                island.data.append(data, offset, room)
                island.end = (seq + room) & 0xFFFFFFFF
                self.islands.insert(index, island)
            seq = island.end
            offset += room
            length -= room
            taken += room
            self.length += room
            self._join_next(index)
        if island is not None:
            self._touch(island if index < len(self.islands) and self.islands[index] is island else self.islands[index])
        return taken

    def charge(self) -> int:
        """Bytes of memory that all this takes, about."""
        return self.length + ISLAND_COST * len(self.islands)

    def _first_reaching(self, seq: int) -> int:
        """Index of the first island that ends at or after `seq` (binary search)."""
        low = 0
        high = len(self.islands)
        while low < high:
            middle = (low + high) // 2
            if seq_lt(self.islands[middle].end, seq):
                low = middle + 1
            else:
                high = middle
        return low

    def _join_next(self, index: int) -> None:
        """Joins the island at `index` with the next one if they touch."""
        if index + 1 >= len(self.islands):
            return
        island = self.islands[index]
        following = self.islands[index + 1]
        if island.end != following.start:
            return
        following.data.move(island.data, following.data.length)
        island.end = following.end
        del self.islands[index + 1]
        if following in self.recent:
            self.recent.remove(following)

    def _touch(self, island: Island) -> None:
        """Makes `island` the latest."""
        if self.recent and self.recent[0] is island:
            return
        if island in self.recent:
            self.recent.remove(island)
        self.recent.insert(0, island)
        if len(self.recent) > 8:
            self.recent.pop()

    def deliver(self, seq: int, into: ByteQueue) -> int:
        """Moves what is contiguous from `seq` on into `into`; the sequence number after it."""
        while self.islands:
            island = self.islands[0]
            if seq_lt(seq, island.start):
                break
            held = island.data.length
            spare = seq_diff(seq, island.start)
            self.length -= held
            if spare < held:
                if spare > 0:
                    island.data.drop(spare)
                island.data.move(into, held - spare)
                seq = island.end
            del self.islands[0]
            if island in self.recent:
                self.recent.remove(island)
        return seq

    def gap_after(self, seq: int) -> int:
        """Bytes from `seq`, which is before all islands, to the first of them; 2**31 - 1 if there is none."""
        return seq_diff(self.islands[0].start, seq) if self.islands else 0x7FFFFFFF

    def overlap(self, end: int) -> int:
        """Bytes of the first island that a segment has as well which reaches into it and ends at `end`."""
        island = self.islands[0]
        if seq_lt(island.end, end):
            end = island.end
        return seq_diff(end, island.start)

    def blocks(self, limit: int) -> list[tuple[int, int]]:
        """Up to `limit` SACK blocks, the island of the latest segment first (RFC 2018, 4)."""
        return [(island.start, island.end) for island in self.recent[:limit]]
