"""Holes: what a stream had and its copy does not, and why we say so."""

from __future__ import annotations

LOST = 1  # the receiver acknowledged the bytes, later data came, and the copy never had them
SNAPLEN = 2  # the capture cut the packet
BUDGET = 3  # a limit of memory: what was waited for longest was given up
DEADLINE = 4  # the deadline passed, without the receiver's word
OVERRUN = 5  # the reader was too slow, its buffer was full
END = 6  # the connection or its capture ended before it could be decided
URGENT = 7  # an urgent byte, which the receiver takes out of the stream

REASONS = ("", "lost", "snaplen", "budget", "deadline", "overrun", "end", "urgent")
