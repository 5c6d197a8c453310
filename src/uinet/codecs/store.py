"""Chunks that have passed, by digest: what a reference stands for. In memory; `disk` keeps them over a restart.

A store is bounded: of more than `limit` bytes the oldest go. It may lose any chunk at any time: whoever needs it asks
for a repair. Chunks are numbered as they come, and for each peer's store we know from which number on it probably has
what we have.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from hashlib import blake2b
from typing import Protocol

from uinet.codecs.constants import DIGEST
from uinet.errors import InvalidArgument

LEAST_LIMIT = 1 << 20
COST = 250  # bytes of memory that an entry takes beside its chunk
PARTNERS = 64

COUNTERS: dict[str, str] = {
    "chunks": "chunks in the store",
    "bytes": "bytes that they take",
    "evicted": "chunks that had to go for others",
    "corrupt": "chunks found changed on the disk, and left out",
    "failed": "chunks that could not be written to the disk",
}


def digest_of(chunk: bytes) -> bytes:
    """The name of a chunk."""
    return blake2b(chunk, digest_size=DIGEST).digest()


class Store(Protocol):
    """`name`: 16 bytes, another one for every store. `serial`: the number of the next chunk."""

    name: bytes
    serial: int

    def put(self, digest: bytes, chunk: bytes) -> None:
        """Keeps a chunk; one that is there becomes the newest."""

    def get(self, digest: bytes) -> bytes | None:
        """The chunk of that digest, verified; None if it is not there, or no longer what it was."""

    def number_of(self, digest: bytes) -> int:
        """The number of a chunk; -1 if it is not there."""

    def believe_from(self, partner: bytes, serial: int) -> int:
        """From which number on the store of that name has what we have: `serial` if it is a new one, and not the first.
        It is remembered."""

    def statistics(self) -> dict[str, int]:
        """Counters, by name."""

    def close(self) -> None:
        """Gives everything back."""


class Partners:
    """For each peer's store the number of our first chunk that it may have; of more than PARTNERS the oldest go."""

    def __init__(self, known: dict[bytes, int] | None = None) -> None:
        self.known: OrderedDict[bytes, int] = OrderedDict(known or {})

    def believe_from(self, partner: bytes, serial: int) -> tuple[int, bool]:
        """See `Store.believe_from`; and whether it is a new one. The first partner ever has all that is here."""
        if partner in self.known:
            self.known.move_to_end(partner)
            return self.known[partner], False
        first = serial if self.known else 0
        self.known[partner] = first
        while len(self.known) > PARTNERS:
            self.known.popitem(last=False)
        return first, True


class MemoryStore:
    """Chunks in memory, up to `limit` bytes."""

    def __init__(self, limit: int) -> None:
        if limit < LEAST_LIMIT:
            raise InvalidArgument(f"a store of {limit} bytes: want {LEAST_LIMIT} or more")
        self.limit = limit
        self.name = os.urandom(16)
        self.serial = 0
        self.size = 0
        self.evicted = 0
        self.partners = Partners()
        self.chunks: OrderedDict[bytes, tuple[int, bytes]] = OrderedDict()  # the oldest first

    def put(self, digest: bytes, chunk: bytes) -> None:
        """See `Store`."""
        before = self.chunks.pop(digest, None)
        if before is None:
            self.size += len(chunk) + COST
        self.chunks[digest] = self.serial, chunk
        self.serial += 1
        while self.size > self.limit and self.chunks:
            _, (_, gone) = self.chunks.popitem(last=False)
            self.size -= len(gone) + COST
            self.evicted += 1

    def get(self, digest: bytes) -> bytes | None:
        """See `Store`."""
        found = self.chunks.get(digest)
        if found is None:
            return None
        self.chunks.move_to_end(digest)
        return found[1]

    def number_of(self, digest: bytes) -> int:
        """See `Store`."""
        found = self.chunks.get(digest)
        return found[0] if found is not None else -1

    def believe_from(self, partner: bytes, serial: int) -> int:
        """See `Store`."""
        return self.partners.believe_from(partner, serial)[0]

    def statistics(self) -> dict[str, int]:
        """See `Store`."""
        return {"chunks": len(self.chunks), "bytes": self.size, "evicted": self.evicted, "corrupt": 0, "failed": 0}

    def close(self) -> None:
        """See `Store`."""
        self.chunks.clear()
        self.size = 0
