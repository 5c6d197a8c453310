"""How late things happen on a real machine: a histogram of nanoseconds, and sleeping without the kernel's slack."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator

SUB_BITS = 4  # 16 buckets to a factor of two: percentiles are at most 6 % too high
PR_SET_TIMERSLACK, PR_GET_TIMERSLACK = 29, 30


class Lateness:
    """A histogram of times in ns, each bucket 1/16 wide of its value; it takes no more memory as it counts more."""

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.count = 0
        self.maximum = 0

    def add(self, time: int) -> None:
        """Counts one; what is early counts as 0."""
        time = max(0, time)
        shift = max(0, time.bit_length() - SUB_BITS - 1)
        bucket = (shift << SUB_BITS) + (time >> shift)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.count += 1
        self.maximum = max(self.maximum, time)

    def percentile(self, percent: float) -> int:
        """The time, in ns, that `percent` of all do not exceed; 0 where nothing was counted."""
        wanted = self.count * percent / 100
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                shift = max(0, (bucket >> SUB_BITS) - 1)
                low = (bucket - (shift << SUB_BITS)) << shift
                return min(low + (1 << shift) - 1, self.maximum)
        return self.maximum

    def summary(self) -> dict[str, float]:
        """Microseconds: p50, p99, p99.9 and the maximum; and how many were counted."""
        marks = {f"p{percent:g}": self.percentile(percent) / 1000 for percent in (50, 99, 99.9)}
        return {**marks, "max": self.maximum / 1000, "frames": self.count}


@contextlib.contextmanager
def sharp_sleep() -> Iterator[None]:
    """This thread's sleeps end when they should: Linux lets them last 50 us longer unless told otherwise.

    Elsewhere nothing is changed.
    """
    if sys.platform != "linux":
        yield
        return
    prctl = ctypes.CDLL(None).prctl
    before = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0)
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    try:
        yield
    finally:
        if before > 0:
            prctl(PR_SET_TIMERSLACK, before, 0, 0, 0)
