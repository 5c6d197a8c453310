"""States of flows on a bridge, and other numbers. Plain integers of a module that is never compiled."""

from __future__ import annotations

PASS = 0
TRACK = 1
HOLD = 2
INTERCEPT = 3

STATES = ("pass", "track", "hold", "intercept")
"""Their words: passed on untouched; passed on and read; its SYN waits for a decision; proxied."""

CLIENT_FIN = 1
SERVER_FIN = 2
RESET = 4
ENDED = 8  # the timer is that of the end

SECOND = 1_000_000_000
IDLE = 7440 * SECOND  # a flow is forgotten after that much silence (RFC 5382, 5: 2 hours and 4 minutes at least)
LINGER = 60 * SECOND  # and that long after its end: what still comes of it is passed on as before
ROUNDS = 64  # flows that are looked at to find one that gives way to another
