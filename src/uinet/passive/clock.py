"""Packet time that only goes forward, made of time stamps that may do anything."""

from __future__ import annotations

from uinet.passive.constants import LEAP

AGREE = 8  # packets in a row that say the same are
LIMIT = 3 << 61  # time stands still there: what is armed later than that must fit in 64 bits too


class PacketClock:
    """The time of a capture, ns.

    The latest time stamp seen counts: packets that are late (two taps, several queues) don't turn time back. One time
    stamp more than a day off is a damaged one and is passed over; when eight in a row agree, it is the clock that was
    set: forward, time leaps with it; back, time stands still there and goes on from where it was.
    """

    def __init__(self) -> None:
        self.now = 0
        self.shift = 0  # what is added to time stamps, since a clock was set back
        self.strange = 0  # time stamps in a row that were not believed
        self.leaps = 0

    def tick(self, stamp: int) -> int:
        """The time, a packet with this time stamp having come."""
        if stamp < 0:
            stamp = 0
        time = stamp + self.shift if stamp < LIMIT - self.shift else LIMIT
        if self.now == 0:
            self.now = time if time > 0 else 1
            return self.now
        if time - self.now > LEAP or self.now - time > LEAP:
            return self._doubt(stamp, time)
        self.strange = 0
        if time > self.now:
            self.now = time
        return self.now

    def _doubt(self, stamp: int, time: int) -> int:
        self.strange += 1
        if self.strange >= AGREE:
            self.strange = 0
            self.leaps += 1
            if time > self.now:
                self.now = time
            else:
                self.shift = self.now - stamp
        return self.now
