"""The sender's scoreboard: what the peer says it holds beyond SND.UNA (RFC 2018, RFC 6675).

Ranges are kept in order and merged; there are at most `LIMIT` of them, and a peer that reports more is believed about
the lowest ones only, so the work for an ACK is bounded (CVE-2018-5390's sibling, SACK slowness).
"""

from __future__ import annotations

from uinet.seq import seq_diff, seq_geq, seq_gt, seq_leq, seq_lt

LIMIT = 256
DUP_THRESH = 3


class Scoreboard:
    """SACKed ranges [left, right), as two lists in order. `sacked`: bytes in them."""

    def __init__(self) -> None:
        self.lefts: list[int] = []
        self.rights: list[int] = []
        self.sacked = 0

    def clear(self) -> None:
        """Forgets everything: after a timeout, as the peer may have reneged (RFC 2018, 8)."""
        self.lefts = []
        self.rights = []
        self.sacked = 0

    def add(self, left: int, right: int, snd_una: int, snd_nxt: int) -> bool:
        """Notes the block [left, right); whether it said anything new. A block that can't be true is ignored."""
        if not (seq_lt(left, right) and seq_leq(snd_una, left) and seq_leq(right, snd_nxt)):
            return False
        lefts = self.lefts
        rights = self.rights
        low = 0
        while low < len(lefts) and seq_lt(rights[low], left):
            low += 1
        high = low
        held = 0
        while high < len(lefts) and seq_leq(lefts[high], right):
            if seq_lt(lefts[high], left):
                left = lefts[high]
            if seq_gt(rights[high], right):
                right = rights[high]
            held += seq_diff(rights[high], lefts[high])
            high += 1
        gained = seq_diff(right, left) - held
        if gained == 0:
            return False
        if high == low and len(lefts) >= LIMIT:
            return False
        lefts[low:high] = [left]
        rights[low:high] = [right]
        self.sacked += gained
        return True

    def advance(self, snd_una: int) -> None:
        """Forgets what is acknowledged cumulatively."""
        while self.lefts:
            left = self.lefts[0]
            right = self.rights[0]
            if seq_leq(right, snd_una):
                self.sacked -= seq_diff(right, left)
                del self.lefts[0]
                del self.rights[0]
            elif seq_lt(left, snd_una):
                self.sacked -= seq_diff(snd_una, left)
                self.lefts[0] = snd_una
                return
            else:
                return

    def lost_edge(self, snd_una: int, mss: int) -> int:
        """The right end of the last hole that counts as lost: DupThresh ranges, or more than (DupThresh - 1) * SMSS
        bytes, lie SACKed above it (RFC 6675, 4: IsLost). `snd_una` if none does."""
        count = 0
        held = 0
        for index in range(len(self.lefts) - 1, -1, -1):
            count += 1
            held += seq_diff(self.rights[index], self.lefts[index])
            if count >= DUP_THRESH or held > (DUP_THRESH - 1) * mss:
                return self.lefts[index]
        return snd_una

    def highest(self, snd_una: int) -> int:
        """The right edge of the highest range; `snd_una` if there is none."""
        return self.rights[-1] if self.rights else snd_una

    def next_hole(self, seq: int) -> int:
        """The first sequence number at or after `seq` that is not SACKed."""
        for index in range(len(self.lefts)):
            if seq_lt(seq, self.lefts[index]):
                return seq
            if seq_lt(seq, self.rights[index]):
                seq = self.rights[index]
        return seq

    def hole_end(self, seq: int, limit: int) -> int:
        """Where the hole that `seq` lies in ends: the next range's left edge, or `limit`."""
        for index in range(len(self.lefts)):
            if seq_gt(self.lefts[index], seq):
                return self.lefts[index] if seq_lt(self.lefts[index], limit) else limit
        return limit

    def unsacked(self, low: int, high: int) -> int:
        """Bytes of [low, high) that are not SACKed."""
        if seq_geq(low, high):
            return 0
        total = seq_diff(high, low)
        for index in range(len(self.lefts)):
            left = self.lefts[index]
            right = self.rights[index]
            if seq_lt(left, low):
                left = low
            if seq_gt(right, high):
                right = high
            if seq_lt(left, right):
                total -= seq_diff(right, left)
        return total
