"""Sequence numbers: arithmetic modulo 2**32 (RFC 9293, section 3.4).

A number `a` is before `b` if going from a to b forwards is less than half the circle.
"""

from __future__ import annotations

from uinet.units import HALF32 as HALF
from uinet.units import MASK32

CIRCLE = 1 << 32


def seq_lt(a: int, b: int) -> bool:
    """a < b on the circle."""
    return ((a - b) & MASK32) >= HALF


def seq_leq(a: int, b: int) -> bool:
    """a <= b on the circle."""
    return ((b - a) & MASK32) < HALF


def seq_gt(a: int, b: int) -> bool:
    """a > b on the circle."""
    return ((b - a) & MASK32) >= HALF


def seq_geq(a: int, b: int) -> bool:
    """a >= b on the circle."""
    return ((a - b) & MASK32) < HALF


def seq_add(a: int, n: int) -> int:
    """The number n places after a."""
    return (a + n) & MASK32


def seq_diff(a: int, b: int) -> int:
    """How far a is after b: a signed distance, -2**31 to 2**31 - 1."""
    distance = (a - b) & MASK32
    return distance - CIRCLE if distance >= HALF else distance


def seq_between(low: int, a: int, high: int) -> bool:
    """low <= a <= high on the circle."""
    return ((a - low) & MASK32) <= ((high - low) & MASK32)
