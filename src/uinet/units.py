"""Units and plain constants. Time is in nanoseconds as ``int``: every `now`, deadline and duration of the engine."""

from __future__ import annotations

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND

TICK_SHIFT = 18  # a tick of the timing wheel is 2**18 ns

MASK32 = 0xFFFFFFFF
HALF32 = 0x80000000


def seconds(duration: float) -> int:
    """`duration` in seconds as nanoseconds, rounded."""
    return round(duration * 1e9)
