"""One number for all limits of memory."""

from __future__ import annotations

from typing import NamedTuple

from uinet.errors import InvalidArgument
from uinet.passive.options import Limits

CONNECTION = 720  # bytes that a connection without data takes: itself, its table slot, its timer
DIGESTS = 768  # the same of both its streams' digests, from their first byte on
LEAST = 8 << 20
DEFAULT = Limits()


class Budget(NamedTuple):
    """The follower's limits, and how many bytes may wait to be chunks."""

    limits: Limits
    pending: int


def split(memory: int, *, digests: bool = False) -> Budget:
    """Limits that add up to `memory` bytes, at least 8 MiB: half for connections, a quarter for data out of order, the
    rest for what remains; none larger than by default. With `digests` a connection takes more. The interpreter and the
    code, some 40 MB, are not counted."""
    if memory < LEAST:
        raise InvalidArgument(f"{memory} bytes are too few: at least {LEAST >> 20} MiB")
    held = min(memory // 4, DEFAULT.held)
    limits = Limits(
        connections=min(memory // 2 // (CONNECTION + DIGESTS * digests), DEFAULT.connections),
        held=held,
        held_connection=min(held // 2, DEFAULT.held_connection),
        fragments=min(memory // 16, DEFAULT.fragments),
        recall=min(memory // 32, DEFAULT.recall),
    )
    return Budget(limits, min(memory // 16, 16 << 20))
