"""A hash table that grows by small steps (design decision D7).

Linear hashing (Litwin 1980): an insertion over the load factor splits a few buckets, a removal under it joins a few, so
there is never a pause to rehash. There are two buckets for a node, as each node that is passed on the way to the right
one is a cache miss. Whoever uses it hashes keys with a secret (`hash5`, SipHash), so that nobody who chooses addresses
and ports can make them collide, and finds a node by walking its bucket's chain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from uinet.wheel import Timer
from uinet.wire.kernels import prefetch, untrack

MINIMUM = 64
MASK32 = 0xFFFFFFFF
MASK64 = 0xFFFFFFFF_FFFFFFFF
EVERY_1 = 0x55555555_55555555  # every other bit, pair, ... of 64
EVERY_2 = 0x33333333_33333333
EVERY_4 = 0x0F0F0F0F_0F0F0F0F
EVERY_8 = 0x00FF00FF_00FF00FF
EVERY_16 = 0x0000FFFF_0000FFFF
SPLITS = 3  # at most, for an insertion
JOINS = 8  # buckets joined for a removal: the table shrinks as fast as it empties


class Node(Timer):
    """What is in a table: `hash` of its key, and the next node of its bucket. It has a timer, too."""

    def __init__(self) -> None:
        self.blank_node()

    def blank_node(self) -> None:
        """What a new one is: in no table (see `Timer.blank_timer`)."""
        self.blank_timer()
        self.hash = 0
        self.hash_next: Any = None  # a Node, of the class that its table holds


class Buckets:
    """The buckets of a table: nodes by hash."""

    def __init__(self, k0: int, k1: int) -> None:
        self.k0 = k0
        self.k1 = k1
        self.base = MINIMUM
        self.count = 0
        self.heads: list[Any] = untrack([None] * MINIMUM)

    def bucket(self, key: int) -> int:
        """The index of the bucket of hash `key`."""
        bucket = key & (2 * self.base - 1)
        if bucket >= len(self.heads):
            bucket &= self.base - 1
        return bucket

    def insert(self, node: Node) -> None:
        """Adds `node`, whose hash is set and which is not in the table."""
        bucket = self.bucket(node.hash)
        node.hash_next = self.heads[bucket]
        self.heads[bucket] = node
        self.count += 1
        left = SPLITS
        while left and self.count * 2 > len(self.heads):
            left -= 1
            self._split()

    def remove(self, node: Node) -> bool:
        """Takes `node` out; False if it is not in the table."""
        bucket = self.bucket(node.hash)
        at = self.heads[bucket]
        before: Node | None = None
        while at is not None and at is not node:
            before = at
            at = at.hash_next
        if at is None:
            return False
        if before is None:
            self.heads[bucket] = node.hash_next
        else:
            before.hash_next = node.hash_next
        node.hash_next = None
        self.count -= 1
        left = JOINS
        while left and self.count * 8 < len(self.heads) and len(self.heads) > MINIMUM:
            left -= 1
            self._join()
        return True

    def replace(self, old: Node, new: Node) -> None:
        """Puts `new`, which has the same key, where `old` was."""
        self.remove(old)
        self.insert(new)

    def _split(self) -> None:
        """Splits one bucket in two."""
        new = len(self.heads)
        old = new - self.base
        mask = 2 * self.base - 1
        node = self.heads[old]
        stays: Node | None = None
        goes: Node | None = None
        while node is not None:
            following = node.hash_next
            if node.hash & mask == new:
                node.hash_next = goes
                goes = node
            else:
                node.hash_next = stays
                stays = node
            node = following
        self.heads[old] = stays
        self.heads.append(goes)
        if new + 1 == 2 * self.base:
            self.base *= 2
        prefetch(self.heads, len(self.heads) - self.base + SPLITS)  # will be split soon

    def _join(self) -> None:
        """Joins the last bucket to the one that it was split from."""
        last = len(self.heads) - 1
        if last < self.base:
            self.base //= 2
        node = self.heads.pop()
        bucket = last - self.base
        while node is not None:
            following = node.hash_next
            node.hash_next = self.heads[bucket]
            self.heads[bucket] = node
            node = following

    def nodes(self) -> list[Any]:
        """Every node, in no order."""
        found: list[Any] = []
        for head in self.heads:
            node = head
            while node is not None:
                found.append(node)
                node = node.hash_next
        return found

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        """Every node, in no order, as they are now."""
        return iter(self.nodes())


class Walk:
    """A walk over a table in steps, between which nodes come and go and the table grows and shrinks: a node that is
    there from the first step to the last is met exactly once, one that comes or goes meanwhile at most once.

    A bucket is all hashes that end in the same bits. Put in the order of their *reversed* bits, these are an interval:
    a split cuts it in two halves, a join makes one of two neighbours. So a place in that order is a place in the table
    whatever size that has, and `position` is all there is to remember.
    """

    def __init__(self, table: Buckets) -> None:
        self.table = table
        self.position = 0  # reversed hashes below it are done
        self.done = False

    def step(self, buckets: int) -> list[Any]:
        """The nodes of so many buckets more; there may be none. `done` after the last."""
        found: list[Any] = []
        table = self.table
        position = self.position
        while buckets > 0 and not self.done:
            buckets -= 1
            bucket = table.bucket(reverse(position))
            size = table.base  # how many buckets there would be if all were as wide as this one
            if bucket >= size or bucket + size < len(table.heads):
                size *= 2
            node = table.heads[bucket]
            while node is not None:
                if reverse(node.hash) >= position:  # the rest was met before its bucket was joined to this one
                    found.append(node)
                node = node.hash_next
            last = position | (MASK64 // size)  # of the interval, which is a power of 2 wide
            if last == MASK64:
                self.done = True
            else:
                position = last + 1
        self.position = position
        return found


def reverse(bits: int) -> int:
    """64 bits in reversed order."""
    bits = ((bits >> 1) & EVERY_1) | ((bits & EVERY_1) << 1)
    bits = ((bits >> 2) & EVERY_2) | ((bits & EVERY_2) << 2)
    bits = ((bits >> 4) & EVERY_4) | ((bits & EVERY_4) << 4)
    bits = ((bits >> 8) & EVERY_8) | ((bits & EVERY_8) << 8)
    bits = ((bits >> 16) & EVERY_16) | ((bits & EVERY_16) << 16)
    return (bits >> 32) | ((bits & MASK32) << 32)
