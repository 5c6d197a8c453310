from __future__ import annotations

import pytest

from uinet.ip.randomness import Random


def test_random_same_seed_gives_the_same_numbers() -> None:
    first, second, other = Random(b"seed"), Random(b"seed"), Random(b"seed2")
    assert [first.u32() for _ in range(100)] == [second.u32() for _ in range(100)]
    assert Random(b"seed").bytes(32) != other.bytes(32)


def test_random_pieces_are_the_stream_whatever_their_sizes() -> None:
    whole = Random(b"seed").bytes(500)
    pieces = Random(b"seed")
    assert b"".join(pieces.bytes(n) for n in (0, 1, 2, 61, 64, 65, 128, 179)) == whole
    assert len({whole[at : at + 64] for at in range(0, 448, 64)}) == 7


def test_random_numbers_have_their_sizes() -> None:
    random = Random(b"seed")
    for _ in range(200):
        assert 0 <= random.u16() < 1 << 16 and 0 <= random.u32() < 1 << 32 and 0 <= random.u64() < 1 << 64


@pytest.mark.parametrize("n", [1, 2, 7, 1000, 1 << 63, (1 << 64) - 1, 1 << 64])
def test_random_below_stays_below(n: int) -> None:
    random = Random(b"seed")
    assert all(0 <= random.below(n) < n for _ in range(50))


def test_random_below_is_even() -> None:
    random = Random(b"seed")
    counts = [0] * 10
    for _ in range(20_000):
        counts[random.below(10)] += 1
    assert sum((count - 2000) ** 2 / 2000 for count in counts) < 27.9  # chi square, 9 degrees, p = 0.001


def test_secret_depends_on_label_and_seed_alone() -> None:
    random = Random(b"seed")
    secret = random.secret("isn")
    random.bytes(1000)
    assert random.secret("isn") == secret == Random(b"seed").secret("isn")
    assert len({secret, random.secret("port"), Random(b"x").secret("isn")}) == 3 and len(secret) == 32
    assert random.secret_pair("isn") == (int.from_bytes(secret[:8], "big"), int.from_bytes(secret[8:16], "big"))
