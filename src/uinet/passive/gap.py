"""What is held of one stream because something before it is missing.

Pieces don't overlap and are kept in order, in blocks of a few hundred, so that an insertion anywhere costs about the
same: neither a window of one-byte segments in descending order nor one in random order makes it slow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uinet.passive.constants import NO_FIN, PIECE_COST, VOID
from uinet.wire.kernels import take, untrack

if TYPE_CHECKING:
    from uinet.passive.connection import Connection
    from uinet.passive.half import Half

BLOCK = 256
LARGEST = 65_536  # of what pieces are joined to


class Piece:
    """Stream bytes [off, end), held: those of `data` from `start` on.

    `time`: its packet's time stamp; `arrived`: the packet clock then. `reason`: of a VOID.
    """

    def __init__(self, off: int, end: int, data: bytes, start: int, flags: int, time: int, arrived: int) -> None:
        self.off = off
        self.end = end
        self.data = data
        self.start = start
        self.flags = flags
        self.reason = 0
        self.time = time
        self.arrived = arrived

    def part(self, off: int, end: int) -> Piece:
        """The piece's bytes [off, end), which it has; those of a small part are copied, lest they keep all the rest."""
        size = end - off
        data = self.data
        start = self.start + (off - self.off)
        if len(data) > 2 * size + PIECE_COST:
            data = take(data, start, size)
            start = 0
        piece = Piece(off, end, data, start, self.flags, self.time, self.arrived)
        piece.reason = self.reason
        return piece


def joined(found: list[Any]) -> list[Any]:
    """`found`, in order, with neighbours of one kind made one piece, of up to `LARGEST` bytes."""
    out: list[Any] = []
    run: list[Any] = []
    begin = end = 0
    for item in found:
        piece: Piece = item
        if run:
            first: Piece = run[0]
            if piece.off == end and piece.flags == first.flags and piece.reason == first.reason:
                if piece.end - begin <= LARGEST:
                    run.append(piece)
                    end = piece.end
                    continue
            out.append(_one_of(run))
        run = [piece]
        begin = piece.off
        end = piece.end
    if run:
        out.append(_one_of(run))
    return out


def _one_of(run: list[Any]) -> Piece:
    """Pieces that follow each other as one; its time is that of the first."""
    first: Piece = run[0]
    if len(run) == 1:
        return first
    parts = []
    end = first.end
    for item in run:
        piece: Piece = item
        if not piece.flags & VOID:
            parts.append(take(piece.data, piece.start, piece.end - piece.off))
        end = piece.end
    one = Piece(first.off, end, b"".join(parts), 0, first.flags, first.time, first.arrived)
    one.reason = first.reason
    return one


class Gap:
    """One stream's missing bytes and what waits behind them; times are the packet clock's.

    `since`: when the first gap was noticed. `evidence`: when it was first seen that the other side has acknowledged
    all of the gap, 0 while it has not. `last_ack`: when that side's acknowledgment last moved. `mark`: where the
    stream was when a wait without held pieces began. `end_seen`: how far this side's own sequence numbers show the
    stream to reach. `fin_at`: the offset of a FIN that is ahead, or NO_FIN; `fin_doubt`: of one that
    its receiver may have refused. `crowded`: segments for which very many held pieces had to be looked at. `size`:
    bytes charged to the budgets; nothing while nothing is held, as it could not be given up.
    """

    def __init__(self, conn: Connection, half: Half, now: int) -> None:
        self.conn: Connection | None = conn
        self.half: Half | None = half
        self.older: Gap | None = None
        self.newer: Gap | None = None
        self.since = now
        self.evidence = 0
        self.last_ack = 0
        self.mark = half.nxt
        self.end_seen = 0
        self.fin_at = NO_FIN
        self.fin_doubt = NO_FIN
        self.size = 0
        self.count = 0
        self.crowded = 0
        self.blocks: list[Any] = []
        untrack(self)

    def first(self) -> Piece | None:
        """The piece with the lowest offset."""
        if self.count == 0:
            return None
        piece: Piece = self.blocks[0][0]
        return piece

    def pop_first(self) -> Piece:
        """Takes out the piece with the lowest offset; there is one."""
        block: list[Any] = self.blocks[0]
        piece: Piece = block[0]
        del block[0]
        if not block:
            del self.blocks[0]
        self.count -= 1
        self.size -= PIECE_COST + (piece.end - piece.off if not piece.flags & VOID else 0)
        return piece

    def insert(self, piece: Piece) -> None:
        """Adds a piece that overlaps none."""
        self.count += 1
        self.size += PIECE_COST + (piece.end - piece.off if not piece.flags & VOID else 0)
        if not self.blocks:
            self.blocks.append(untrack([piece]))
            return
        index = self._block_of(piece.off)
        block: list[Any] = self.blocks[index]
        at = _place_in(block, piece.off)
        if at == len(block):
            block.append(piece)
        else:
            block.insert(at, piece)
        if len(block) > BLOCK:
            half = len(block) // 2
            self.blocks.insert(index + 1, untrack(block[half:]))
            del block[half:]

    def cut(self, start: int, end: int) -> list[Any]:
        """Takes out all pieces that overlap [start, end), in order."""
        found: list[Any] = []
        if self.count == 0:
            return found
        index = self._block_of(start)
        if index > 0:
            index -= 1  # the piece before may reach in
        while index < len(self.blocks):
            block: list[Any] = self.blocks[index]
            low = _place_in(block, start)
            if low > 0:
                before: Piece = block[low - 1]
                if before.end > start:
                    low -= 1
            high = low
            while high < len(block):
                piece: Piece = block[high]
                if piece.off >= end:
                    break
                self.count -= 1
                self.size -= PIECE_COST + (piece.end - piece.off if not piece.flags & VOID else 0)
                found.append(piece)
                high += 1
            over = high < len(block)
            del block[low:high]
            if not block:
                del self.blocks[index]
            else:
                index += 1
            if over:
                break
        return found

    def _block_of(self, off: int) -> int:
        """The index of the block where a piece at `off` belongs; there are blocks."""
        low = 0
        high = len(self.blocks) - 1
        while low < high:
            middle = (low + high + 1) >> 1
            block: list[Any] = self.blocks[middle]
            piece: Piece = block[0]
            if piece.off <= off:
                low = middle
            else:
                high = middle - 1
        return low

    def shift(self, by: int) -> None:
        """Moves all offsets by `by`: the stream's first byte turned out to be another one."""
        for block in self.blocks:
            for piece in block:
                piece.off += by
                piece.end += by
        self.end_seen += by
        self.mark += by
        if self.fin_at != NO_FIN:
            self.fin_at += by
        if self.fin_doubt != NO_FIN:
            self.fin_doubt += by


def _place_in(block: list[Any], off: int) -> int:
    """How many pieces of `block` begin before `off`."""
    low = 0
    high = len(block)
    if high:
        last: Piece = block[high - 1]
        if last.off < off:
            return high
    while low < high:
        middle = (low + high) >> 1
        piece: Piece = block[middle]
        if piece.off < off:
            low = middle + 1
        else:
            high = middle
    return low
