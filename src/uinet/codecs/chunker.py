"""Cuts a stream into chunks where its content says so, so that equal runs of bytes become equal chunks wherever they
are in a stream (content-defined chunking).

A gear hash (Xia and others, "Ddelta", 2014) of the last 64 bytes decides: a chunk ends where its high bits are zero;
more bits count before the wanted size than behind it, which keeps sizes close to it ("FastCDC", 2016). The table is
part of the protocol: both ends, and every version, cut alike.
"""

from __future__ import annotations

from array import array

from uinet.codecs.constants import LEAST, MOST, WANTED

MASK64 = 0xFFFFFFFFFFFFFFFF
WINDOW = 64  # bytes that the hash remembers
STRICT = 0xFFFE000000000000  # 15 bits, below WANTED
LOOSE = 0xFFE0000000000000  # 11 bits, behind it


def gear_table() -> array[int]:
    """256 numbers of 64 bits that look random: splitmix64 from 0."""
    numbers = []
    state = 0
    for _ in range(256):
        state = (state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        value = state
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        numbers.append(value ^ (value >> 31))
    return array("Q", numbers)


GEAR = gear_table()


class Chunker:
    """Where chunks end in a stream that comes piece by piece. `length`: bytes of the chunk under way."""

    def __init__(self) -> None:
        self.length = 0
        self.value = 0
        self.gear = GEAR

    def cut(self, data: bytes, start: int) -> int:
        """Goes on at `start` of `data`: where the chunk ends there (the next begins there), or -1 if it does not."""
        gear = self.gear
        size = len(data)
        at = start
        length = self.length
        value = self.value
        if length < LEAST - WINDOW:  # no byte before matters
            skip = LEAST - WINDOW - length
            if skip > size - at:
                self.length = length + size - at
                return -1
            at += skip
            length = LEAST - WINDOW
            value = 0
        stop = min(size, at + LEAST - length) if length < LEAST else at
        length += stop - at
        while at < stop:
            value = ((value << 1) + gear[data[at]]) & MASK64
            at += 1
        stop = min(size, at + WANTED - length) if length < WANTED else at
        while at < stop:
            if not value & STRICT:
                self.length = self.value = 0
                return at
            value = ((value << 1) + gear[data[at]]) & MASK64
            at += 1
            length += 1
        stop = min(size, at + MOST - length)
        while at < stop:
            if not value & LOOSE:
                self.length = self.value = 0
                return at
            value = ((value << 1) + gear[data[at]]) & MASK64
            at += 1
            length += 1
        if length >= MOST:
            self.length = self.value = 0
            return at
        self.length = length
        self.value = value
        return -1

    def reset(self) -> None:
        """Begins a new chunk."""
        self.length = 0
        self.value = 0
