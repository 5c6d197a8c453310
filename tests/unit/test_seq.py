"""Sequence numbers on their circle."""

from __future__ import annotations

import pytest

from uinet.seq import seq_add, seq_between, seq_diff, seq_geq, seq_gt, seq_leq, seq_lt
from uinet.units import HALF32, MASK32

BASES = [0, 1, 1000, HALF32 - 1, HALF32, HALF32 + 1, MASK32 - 1, MASK32]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("step", [0, 1, 2, 65535, HALF32 - 1])
def test_order_goes_round(base: int, step: int) -> None:
    later = seq_add(base, step)
    assert seq_leq(base, later) and seq_geq(later, base)
    assert seq_lt(base, later) == seq_gt(later, base) == (step > 0)
    assert not seq_lt(later, base) and not seq_gt(base, later)
    assert seq_diff(later, base) == step and seq_diff(base, later) == -step
    assert seq_between(base, later, seq_add(base, step))


@pytest.mark.parametrize("base", BASES)
def test_opposite_points_have_an_order_of_sorts(base: int) -> None:
    other = seq_add(base, HALF32)
    assert seq_diff(other, base) == seq_diff(base, other) == -HALF32
    assert seq_lt(base, other) and seq_gt(base, other) and not seq_leq(base, other)


@pytest.mark.parametrize("base", BASES)
def test_between_excludes_what_is_outside(base: int) -> None:
    high = seq_add(base, 100)
    assert seq_between(base, seq_add(base, 100), high)
    assert not seq_between(base, seq_add(base, 101), high)
    assert not seq_between(base, seq_add(base, MASK32), high)
