"""A short memory of delivered bytes, so that a retransmission which differs is noticed.

Bytes once delivered are final; but that somebody sent others for the same place is how injected data look (one of the
two came from elsewhere). Each of the streams that moved most recently has a ring of its last `SLOT` bytes; there is a
fixed number of rings, and a new stream takes the one that was given out longest ago.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uinet.wire.kernels import equal, store_bytes, take, untrack

if TYPE_CHECKING:
    from uinet.passive.half import Half

SLOT = 16384


class Ring:
    """The last bytes of `half`: stream offsets [first, half.nxt), at most SLOT of them."""

    def __init__(self) -> None:
        self.half: Half | None = None
        self.first = 0
        self.data = bytearray(SLOT)
        untrack(self)


class Recall:
    """The rings, within `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit // SLOT
        self.rings: list[Any] = []
        self.hand = 0

    def remember(self, half: Half, data: bytes, start: int, length: int) -> None:
        """The stream's next `length` bytes are those of `data` at `start`; `half.nxt` is still where they begin."""
        if half.slot == 0 and not self._take_ring(half):
            return
        ring: Ring = self.rings[half.slot - 1]
        off = half.nxt
        if length > SLOT:
            start += length - SLOT
            off += length - SLOT
            length = SLOT
        at = off % SLOT
        room = SLOT - at
        if length <= room:
            store_bytes(ring.data, at, data, start, length)
        else:
            store_bytes(ring.data, at, data, start, room)
            store_bytes(ring.data, 0, data, start + room, length - room)

    def differs(self, half: Half, off: int, data: bytes, start: int, length: int) -> bool:
        """Whether the stream is remembered to have other bytes at [off, off + length) than `data` at `start`."""
        if half.slot == 0:
            return False
        ring: Ring = self.rings[half.slot - 1]
        first = half.nxt - SLOT
        if ring.first > first:
            first = ring.first
        end = off + length
        if end > half.nxt:
            end = half.nxt
        if off < first:
            start += first - off
            off = first
        if off >= end:
            return False
        at = off % SLOT
        count = end - off
        room = SLOT - at
        if count <= room:
            return not equal(ring.data, at, data, start, count)
        return not equal(ring.data, at, data, start, room) or not equal(
            ring.data, 0, data, start + room, count - room
        )

    def skip(self, half: Half) -> None:
        """The stream has come to `half.nxt` over bytes that nobody knows."""
        if half.slot:
            ring: Ring = self.rings[half.slot - 1]
            ring.first = half.nxt

    def last(self, half: Half, count: int) -> bytes:
        """The stream's last `count` bytes; b"" if not all of them are remembered."""
        if half.slot == 0 or count <= 0:
            return b""
        ring: Ring = self.rings[half.slot - 1]
        if count > SLOT or ring.first > half.nxt - count:
            return b""
        at = (half.nxt - count) % SLOT
        room = SLOT - at
        if count <= room:
            return take(ring.data, at, count)
        return take(ring.data, at, room) + take(ring.data, 0, count - room)

    def release(self, half: Half) -> None:
        """The stream is over."""
        if half.slot:
            ring: Ring = self.rings[half.slot - 1]
            ring.half = None
            half.slot = 0

    def _take_ring(self, half: Half) -> bool:
        if self.limit == 0:
            return False
        if len(self.rings) < self.limit:
            self.rings.append(Ring())
            self.hand = len(self.rings) - 1
        else:
            self.hand += 1
            if self.hand >= len(self.rings):
                self.hand = 0
        ring: Ring = self.rings[self.hand]
        if ring.half is not None:
            ring.half.slot = 0
        ring.half = half
        ring.first = half.nxt
        half.slot = self.hand + 1
        return True
