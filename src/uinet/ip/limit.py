"""Token buckets: how much a stack says on its own account, to one host and in all.

A limit that everybody shares tells whoever probes it what the stack has said to others (CVE-2020-25705), so
the shared bucket pays a random price, and each destination has a bucket of its own that is asked first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.units import SECOND

if TYPE_CHECKING:
    from uinet.ip.randomness import Random


class TokenBucket:
    """Holds at most `burst` tokens and gets `rate` a second."""

    __slots__ = ("burst", "filled", "rate", "tokens")

    def __init__(self, rate: int, burst: int, now: int) -> None:
        self.rate = rate
        self.burst = burst * SECOND  # tokens are counted in billionths
        self.tokens = self.burst
        self.filled = now

    def take(self, now: int, price: int = 1) -> bool:
        """Takes `price` tokens, if there are as many."""
        if now > self.filled:
            self.tokens = min(self.burst, self.tokens + (now - self.filled) * self.rate)
            self.filled = now
        if self.tokens < price * SECOND:
            return False
        self.tokens -= price * SECOND
        return True


class RateLimit:
    """A bucket for each destination, for `destinations` of them, and one for all."""

    def __init__(
        self,
        random: Random,
        *,
        rate: int,
        burst: int,
        destination_rate: int,
        destination_burst: int,
        destinations: int,
        now: int,
    ) -> None:
        self.random = random
        self.shared = TokenBucket(rate, burst, now)
        self.destination_rate = destination_rate
        self.destination_burst = destination_burst
        self.destinations = destinations
        self.buckets: dict[bytes, TokenBucket] = {}  # the longest unused first

    def allow(self, destination: bytes, now: int) -> bool:
        """Whether one more message may go to `destination`."""
        bucket = self.buckets.pop(destination, None)
        if bucket is None:
            bucket = TokenBucket(self.destination_rate, self.destination_burst, now)
            if len(self.buckets) >= self.destinations:
                del self.buckets[next(iter(self.buckets))]
        self.buckets[destination] = bucket
        return bucket.take(now) and self.shared.take(now, 1 + self.random.below(3))
