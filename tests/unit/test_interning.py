"""Equal bytes are one object."""

from __future__ import annotations

from uinet.interning import MOST, Interned


def test_equal_bytes_become_one_object() -> None:
    interned = Interned()
    first = interned.one(bytes([1, 2, 3]))
    assert interned.one(bytes([1, 2, 3])) is first
    assert interned.one(bytes([1, 2, 4])) is not first


def test_no_more_than_a_few_thousand_are_remembered() -> None:
    interned = Interned()
    for number in range(3 * MOST):
        value = number.to_bytes(4, "big")
        assert interned.one(value) == value
    assert 0 < len(interned) <= MOST
