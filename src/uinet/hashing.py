"""A hash table that grows by small steps (design decision D7).

Linear hashing (Litwin 1980): an insertion over the load factor splits a few buckets, a removal under it joins a few, so
there is never a pause to rehash. There are two buckets for a node, as each node that is passed on the way to the right
one is a cache miss. They are in lists of a thousand: one list of millions would be copied now and then as it grows.
Whoever uses a table hashes keys with a secret (`hash5`, SipHash), so that nobody who chooses addresses and ports can
make them collide, and finds a node by walking its bucket's chain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from uinet.wheel import Timer
from uinet.wire.kernels import prefetch, prefetch_slot, untrack

MINIMUM = 64
PIECE_BITS = 10
PIECE = 1 << PIECE_BITS  # buckets in a list
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
        self.size = MINIMUM  # buckets that there are
        self.pieces: list[list[Any]] = untrack([untrack([None] * MINIMUM)])  # each of PIECE but the last

    @property
    def heads(self) -> list[Any]:
        """The first node of each bucket, or None."""
        return [head for piece in self.pieces for head in piece]

    def head(self, bucket: int) -> Any:
        """The first node of a bucket, or None."""
        piece = self.pieces[bucket >> PIECE_BITS]
        return piece[bucket & (PIECE - 1)]

    def set_head(self, bucket: int, node: Any) -> None:
        """Makes `node`, or None, the first of a bucket."""
        piece = self.pieces[bucket >> PIECE_BITS]
        piece[bucket & (PIECE - 1)] = node

    def warm_slot(self, bucket: int) -> int:
        """Has the processor fetch where a bucket begins, which is wanted soon."""
        piece = self.pieces[bucket >> PIECE_BITS]
        return prefetch_slot(piece, bucket & (PIECE - 1))

    def warm_head(self, bucket: int) -> int:
        """Has the processor fetch the first node of a bucket, which is wanted soon."""
        piece = self.pieces[bucket >> PIECE_BITS]
        return prefetch(piece, bucket & (PIECE - 1))

    def bucket(self, key: int) -> int:
        """The index of the bucket of hash `key`."""
        bucket = key & (2 * self.base - 1)
        if bucket >= self.size:
            bucket &= self.base - 1
        return bucket

    def insert(self, node: Node) -> None:
        """Adds `node`, whose hash is set and which is not in the table."""
        bucket = self.bucket(node.hash)
        node.hash_next = self.head(bucket)
        self.set_head(bucket, node)
        self.count += 1
        left = SPLITS
        while left and self.count * 2 > self.size:
            left -= 1
            self._split()

    def remove(self, node: Node) -> bool:
        """Takes `node` out; False if it is not in the table."""
        bucket = self.bucket(node.hash)
        at: Node | None = self.head(bucket)
        before: Node | None = None
        while at is not None and at is not node:
            before = at
            at = at.hash_next
        if at is None:
            return False
        if before is None:
            self.set_head(bucket, node.hash_next)
        else:
            before.hash_next = node.hash_next
        node.hash_next = None
        self.count -= 1
        left = JOINS
        while left and self.count * 8 < self.size and self.size > MINIMUM:
            left -= 1
            self._join()
        return True

    def replace(self, old: Node, new: Node) -> None:
        """Puts `new`, which has the same key, where `old` was."""
        self.remove(old)
        self.insert(new)

    def _split(self) -> None:
        """Splits one bucket in two."""
        new = self.size
        old = new - self.base
        mask = 2 * self.base - 1
        node: Node | None = self.head(old)
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
        self.set_head(old, stays)
        self._append(goes)
        if new + 1 == 2 * self.base:
            self.base *= 2
        self.warm_head(self.size - self.base + SPLITS)  # will be split soon

    def _append(self, head: Node | None) -> None:
        """Adds a bucket behind the last."""
        if self.size & (PIECE - 1) == 0:
            self.pieces.append(untrack([]))
        piece = self.pieces[self.size >> PIECE_BITS]
        piece.append(head)
        self.size += 1

    def _pop(self) -> Any:
        """Takes the last bucket away; its first node, or None."""
        self.size -= 1
        piece = self.pieces[self.size >> PIECE_BITS]
        head = piece.pop()
        if self.size & (PIECE - 1) == 0:
            self.pieces.pop()
        return head

    def _join(self) -> None:
        """Joins the last bucket to the one that it was split from."""
        last = self.size - 1
        if last < self.base:
            self.base //= 2
        node: Node | None = self._pop()
        bucket = last - self.base
        while node is not None:
            following = node.hash_next
            node.hash_next = self.head(bucket)
            self.set_head(bucket, node)
            node = following

    def nodes(self) -> list[Any]:
        """Every node, in no order."""
        found: list[Any] = []
        for piece in self.pieces:
            for head in piece:
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
            if bucket >= size or bucket + size < table.size:
                size *= 2
            node = table.head(bucket)
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
