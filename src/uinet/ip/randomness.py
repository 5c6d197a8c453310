"""Deterministic randomness: everything unpredictable that a stack sends comes from the seed it was given.

A seed that nobody can guess makes numbers that nobody can guess; the same seed makes the same run. Blocks are
BLAKE2b (RFC 7693) under a key made from the seed, over a counter.
"""

from __future__ import annotations

from hashlib import blake2b

Bytes = bytes  # `bytes` is a method below

BLOCK = 64


class Random:
    """A stream of random numbers, and secrets by name. One a stack."""

    def __init__(self, seed: Bytes) -> None:
        self.key = blake2b(seed, digest_size=32, person=b"uinet stack seed").digest()
        self.counter = 0
        self.block = b""
        self.used = BLOCK

    def bytes(self, n: int) -> Bytes:
        """The next `n` random bytes."""
        pieces = []
        while n > 0:
            if self.used == BLOCK:
                self.block = blake2b(
                    self.counter.to_bytes(16, "big"), digest_size=BLOCK, key=self.key, person=b"uinet stream"
                ).digest()
                self.counter += 1
                self.used = 0
            piece = self.block[self.used : self.used + n]
            self.used += len(piece)
            n -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def u16(self) -> int:
        """A number of 16 random bits."""
        return int.from_bytes(self.bytes(2), "big")

    def u32(self) -> int:
        """A number of 32 random bits."""
        return int.from_bytes(self.bytes(4), "big")

    def u64(self) -> int:
        """A number of 64 random bits."""
        return int.from_bytes(self.bytes(8), "big")

    def below(self, n: int) -> int:
        """A number from 0 to n - 1, each as likely; 1 <= n <= 2**64."""
        fair = (1 << 64) - (1 << 64) % n  # above it some numbers would come once more than others
        while True:
            value = self.u64()
            if value < fair:
                return value % n

    def secret(self, label: str) -> Bytes:
        """32 secret bytes for one purpose: the same each time, whatever else has been drawn."""
        return blake2b(label.encode(), digest_size=32, key=self.key, person=b"uinet secret").digest()

    def secret_pair(self, label: str) -> tuple[int, int]:
        """A secret as the two 64-bit halves of a SipHash key (`kernels.hash5`)."""
        value = self.secret(label)
        return int.from_bytes(value[:8], "big"), int.from_bytes(value[8:16], "big")
