"""One direction of a connection: how far its stream has been rebuilt."""

from __future__ import annotations

from typing import Any

from uinet.passive.constants import FINISHED
from uinet.passive.gap import Gap
from uinet.passive.holes import REASONS
from uinet.wire.constants import NO_WSCALE
from uinet.wire.kernels import untrack

COUNTERS = (
    "retransmitted", "overlapped", "conflicts", "out_of_order", "ignored", "beyond_fin", "doubtful", "keepalives",
    "rst_ignored", "holes_unlisted", "probes", "ttl_outliers",
)


class Tale:
    """What only streams with a story have: their holes and counters."""

    def __init__(self) -> None:
        self.holes: list[int] = []  # offset, length, reason of each in turn
        self.hole_count = 0
        self.retransmitted = 0  # bytes that had been delivered before
        self.overlapped = 0  # bytes held twice
        self.conflicts = 0  # segments that had other bytes for the same place
        self.out_of_order = 0  # segments held
        self.ignored = 0  # segments that a receiver drops: out of window, no ACK, unsigned, bad checksum
        self.beyond_fin = 0  # bytes behind the FIN
        self.doubtful = 0  # segments held until the other side's ACK or the deadline
        self.keepalives = 0
        self.rst_ignored = 0
        self.holes_unlisted = 0
        self.probes = 0  # single bytes sent into a closed window
        self.ttl_outliers = 0  # segments with a much lower TTL than the first: they may not have reached the receiver
        untrack(self)


class Half:
    """The stream that one side sent, and what the copy shows of its acknowledgment.

    Offsets count stream bytes from 0, in 64 bits. `nxt`: the next byte to be delivered. `acked`: the highest offset
    that the other side acknowledged (a FIN counts one). `edge`: how far that side's window reached at most, -1 while
    unknown. `base`: the sequence number of offset 0. `scale`: this side's window scale, in what it sends.
    """

    def __init__(self) -> None:
        self.nxt = 0
        self.acked = 0
        self.edge = -1
        self.base = 0
        self.flags = 0
        self.ts_recent = 0
        self.slot = 0
        self.packets = 0
        self.scale = NO_WSCALE
        self.good = 0  # checksums, both counts saturate
        self.bad = 0
        self.ttl = 0  # of its first packet
        self.gap: Gap | None = None
        self.hole_bytes = 0
        self.tale: Tale | None = None
        untrack(self)

    def told(self) -> Tale:
        """The tale, begun if need be."""
        tale = self.tale
        if tale is None:
            tale = self.tale = Tale()
        return tale

    def add_hole(self, offset: int, length: int, reason: int, limit: int) -> bool:
        """Notes a hole; neighbours of one reason are one. Whether the list has become longer."""
        tale = self.told()
        self.hole_bytes += length
        holes = tale.holes
        if holes and holes[-1] == reason and holes[-3] + holes[-2] == offset:
            holes[-2] += length
            return False
        tale.hole_count += 1
        if len(holes) >= 3 * limit:
            tale.holes_unlisted += 1
            return False
        holes.extend((offset, length, reason))
        return True

    def listed(self) -> int:
        """How many holes are listed."""
        return len(self.tale.holes) // 3 if self.tale is not None else 0

    @property
    def length(self) -> int:
        """Bytes of the stream so far, holes included."""
        return self.nxt

    @property
    def fin(self) -> bool:
        """Whether its end was seen: its FIN came after all its bytes."""
        return self.flags & FINISHED != 0

    @property
    def hole_count(self) -> int:
        """How many holes there are, those beyond `Limits.holes` included."""
        return self.tale.hole_count if self.tale is not None else 0

    @property
    def holes(self) -> list[tuple[int, int, str]]:
        """(offset, length, reason) of each hole, up to `Limits.holes`."""
        if self.tale is None:
            return []
        flat = self.tale.holes
        return [(flat[i], flat[i + 1], REASONS[flat[i + 2]]) for i in range(0, len(flat), 3)]

    @property
    def counters(self) -> dict[str, int]:
        """What else happened, by name, as far as it did."""
        tale: Any = self.tale
        if tale is None:
            return {}
        return {name: value for name in COUNTERS if (value := getattr(tale, name))}
