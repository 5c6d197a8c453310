"""What is measured of a connection that receives much (see `autotune`)."""

from __future__ import annotations


class Tuning:
    """What is measured of a connection that receives. Made when it has received much: others have none.

    `rtt`: the least round trip in ns, 0: not known; `recent`: the least since `renewed_at`. `mark`: the sequence number
    that RCV.NXT has to pass for the next sample, set at `marked_at`. `taken`: what the user had read in all when this
    period began, `until`: the time when it may end. `most`: the most that was read in one period.
    """

    def __init__(self, mark: int, now: int, taken: int, most: int) -> None:
        self.rtt = 0
        self.recent = 0
        self.renewed_at = now
        self.mark = mark
        self.marked_at = now
        self.taken = taken
        self.until = now
        self.most = most
