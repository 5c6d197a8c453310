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
