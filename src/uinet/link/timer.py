"""A timer that is a descriptor (Linux's timerfd): event loops sleep in milliseconds, and TCP wants better.

A reordering window on a LAN, a tail loss probe and above all pacing are matters of a few hundred microseconds; a loop
that rounds up twice makes two milliseconds of them.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

CLOCK_MONOTONIC = 1
TFD_NONBLOCK = 0o4000
TFD_CLOEXEC = 0o2000000
TFD_TIMER_ABSTIME = 1
BILLION = 1_000_000_000


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class _Itimerspec(ctypes.Structure):
    _fields_ = [("interval", _Timespec), ("value", _Timespec)]


class TimerFd:
    """A descriptor that becomes readable when a time of the monotonic clock has come. OSError where there is none."""

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise OSError("only Linux has timer descriptors")
        self._libc: Any = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._libc.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = _Itimerspec()
        self._reference = ctypes.byref(self._spec)
        self._at = 0  # 0: not armed

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def arm(self, when: int) -> None:
        """Makes it readable at `when`, in ns of the monotonic clock; at once if that is past. Replaces what was set."""
        self._spec.value.seconds, self._spec.value.nanoseconds = divmod(max(1, when), BILLION)
        if self._libc.timerfd_settime(self._fd, TFD_TIMER_ABSTIME, self._reference, None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        self._at = when

    def arm_before(self, when: int) -> None:
        """Makes it readable at `when` unless it will be earlier: one that is too early costs a look at the clock."""
        if not 0 < self._at <= when:
            self.arm(when)

    def clear(self) -> None:
        """Makes it unreadable again after its time has come."""
        self._at = 0
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # it was armed anew since

    def close(self) -> None:
        """Lets go of the descriptor; again: nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def timer_fd() -> TimerFd | None:
    """A timer descriptor, or None where the platform has none."""
    try:
        return TimerFd()
    except (OSError, AttributeError):
        return None
