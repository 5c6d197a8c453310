from __future__ import annotations

from uinet.ip.limit import RateLimit, TokenBucket
from uinet.ip.randomness import Random
from uinet.units import MILLISECOND, SECOND


def test_bucket_gives_its_burst_then_its_rate() -> None:
    bucket = TokenBucket(10, 3, SECOND)
    assert [bucket.take(SECOND) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(SECOND + 99 * MILLISECOND)
    assert bucket.take(SECOND + 100 * MILLISECOND)
    assert [bucket.take(100 * SECOND) for _ in range(4)] == [True, True, True, False]


def test_bucket_time_that_does_not_move_gives_nothing() -> None:
    bucket = TokenBucket(10, 1, SECOND)
    assert bucket.take(SECOND) and not bucket.take(SECOND // 2) and not bucket.take(SECOND)


def test_bucket_pays_a_price_all_or_nothing() -> None:
    bucket = TokenBucket(1, 5, 0)
    assert bucket.take(0, 3) and not bucket.take(0, 3) and bucket.take(0, 2)


def test_limit_of_one_destination_leaves_the_others_and_the_shared_bucket_alone() -> None:
    limit = RateLimit(
        Random(b"s"), rate=1, burst=30, destination_rate=1, destination_burst=2, destinations=8, now=0
    )
    assert [limit.allow(b"a", 0) for _ in range(100)].count(True) == 2
    assert limit.allow(b"b", 0) and limit.allow(b"c", 0)
    assert limit.shared.tokens >= 18 * SECOND  # what a was refused has cost nothing


def test_limit_forgets_the_destination_that_was_longest_unused() -> None:
    limit = RateLimit(
        Random(b"s"), rate=1000, burst=1000, destination_rate=1, destination_burst=1, destinations=2, now=0
    )
    for destination in (b"a", b"b", b"a", b"c"):
        limit.allow(destination, 0)
    assert list(limit.buckets) == [b"a", b"c"]
