"""What holds of every TCP connection whatever happens to it, asserted on a trace of its segments.

A `Watch` is told of the segments of both ends as they pass, and raises Violation on the first of ours that breaks one:

- the right edge of the window that was advertised never moves left; an ACK never goes back, nor beyond what was sent to
  us (RFC 9293, 3.8.6, MUST-34 and 3.4)
- no byte is sent beyond the peer's window but a single one, as a probe (RFC 9293, 3.8.6.1)
- what is sent again has the bytes that it had
- options of SYNs are on SYNs only, none is malformed, padding is zeros, a SYN has an MSS (RFC 9293, 3.1, 3.7.1)
- SACK blocks are beyond the ACK and within the window that was advertised (RFC 2018, section 3), but for a first one
  that tells of a duplicate (RFC 2883)
- checksums are right
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from uinet.seq import seq_diff, seq_geq, seq_gt, seq_leq, seq_lt
from uinet.units import MASK32
from uinet.wire.dissection import Dissected
from uinet.wire.tcp_options import End, Malformed, Mss, Option, Sack, SackPermitted, WindowScale

LETTERS = {1: "F", 2: "S", 4: "R", 8: "P", 16: ".", 32: "U", 64: "E", 128: "W"}


class Violation(AssertionError):
    """A segment breaks what holds of every connection."""


class Segment(NamedTuple):
    """A segment that a stack has sent. `flags`: in letters. `frame`: all of it, taken apart."""

    time: int
    flags: str
    seq: int
    ack: int
    window: int
    data: bytes
    options: tuple[Option, ...]
    frame: Dissected

    def option(self, kind: type[Any]) -> Any:
        """The first option of a class, or None."""
        for option in self.options:
            if isinstance(option, kind):
                return option
        return None

    @property
    def end(self) -> int:
        """The sequence number after this segment."""
        return (self.seq + len(self.data) + self.flags.count("S") + self.flags.count("F")) & MASK32


def letters(bits: int) -> str:
    """The flags of a segment in letters: ``S.``."""
    return "".join(letter for bit, letter in LETTERS.items() if bits & bit)


def segment_of(frame: Dissected, time: int) -> Segment:
    """A frame that holds a TCP segment, as a Watch takes it."""
    header = frame.tcp
    return Segment(
        time, letters(header.flags), header.seq, header.ack, header.window, frame.payload, header.options, frame
    )


def require(holds: bool, what: str) -> None:
    """Raises Violation with `what` unless it holds."""
    if not holds:
        raise Violation(what)


def is_dsack(blocks: list[tuple[int, int]]) -> bool:
    """Whether the first block tells of a duplicate that the second covers (RFC 2883, 4.2)."""
    return len(blocks) > 1 and seq_geq(blocks[0][0], blocks[1][0]) and seq_leq(blocks[0][1], blocks[1][1])


class Watch:
    """The invariants of one connection's trace. Our end is the stack, the other the peer."""

    def __init__(self) -> None:
        self.edge: int | None = None  # right edge that the stack has advertised
        self.acked: int | None = None  # highest ACK of the stack
        self.peer_isn: int | None = None
        self.sent_end: int | None = None  # what the peer has sent, at most
        self.limit: int | None = None  # right edge that the peer has advertised, at most
        self.stack_scale = 0
        self.peer_scale = 0
        self.stack_offers = -1
        self.peer_offers = -1
        self.bytes: dict[int, int] = {}
        self.next: int | None = None  # the stack's ISN and one
        self.syn: tuple[str, int, int, int, int, tuple[Option, ...]] | None = None  # the peer's, maybe of a new one

    def agree(self) -> None:
        """Sets the scales of both windows from what both SYNs have offered."""
        scaled = self.stack_offers >= 0 and self.peer_offers >= 0
        self.stack_scale = self.stack_offers if scaled else 0
        self.peer_scale = min(14, self.peer_offers) if scaled else 0

    def from_peer(self, flags: str, seq: int, ack: int, window: int, length: int, options: Iterable[Option]) -> None:
        """Notes a segment of the peer. A SYN in a connection counts once it is answered with a SYN."""
        if "S" in flags and self.acked is not None:
            self.syn = (flags, seq, ack, window, length, tuple(options))
            return
        if "S" in flags:
            scale = [option.shift for option in options if isinstance(option, WindowScale)]
            self.peer_offers = scale[0] if scale else -1
            self.agree()
        end = (seq + length + flags.count("S") + flags.count("F")) & MASK32
        another = "S" in flags and seq != self.peer_isn  # a SYN may come again without the data that it had
        if self.sent_end is None or another or seq_gt(end, self.sent_end):
            self.sent_end = end
        if "S" in flags:
            self.peer_isn = seq
        if "." in flags:
            edge = (ack + (window << (0 if "S" in flags else self.peer_scale))) & MASK32
            if self.limit is None or "S" in flags or seq_gt(edge, self.limit):
                self.limit = edge

    def from_stack(self, seg: Segment) -> None:
        """Checks a segment of the stack. Violation."""
        require(bool(seg.frame.checksums_ok), "checksum")
        for option in seg.options:
            require(not isinstance(option, Malformed), f"a malformed option: {option}")
            if isinstance(option, End):
                require(not any(option.padding), "padding that is not zero")
            if isinstance(option, (Mss, WindowScale, SackPermitted)):
                require("S" in seg.flags, "an option of SYNs on another segment")
        if "R" in seg.flags:
            return
        if "S" in seg.flags:
            self._begin(seg)
            scale = seg.option(WindowScale)
            self.stack_offers = scale.shift if scale else -1
            self.agree()
            require(seg.option(Mss) is not None, "a SYN without MSS")
        if "." in seg.flags:
            self._check_ack(seg)
        self._check_data(seg)

    def _begin(self, seg: Segment) -> None:
        """The stack has sent a SYN: that of a new connection, unless it is the old one again."""
        if self.next is not None and (seg.seq + 1) & MASK32 != self.next:
            self.bytes.clear()
            self.edge = None
        self.next = (seg.seq + 1) & MASK32
        if self.syn is not None and "." in seg.flags:
            syn, self.syn, self.acked = self.syn, None, None
            self.from_peer(*syn)

    def _check_ack(self, seg: Segment) -> None:
        require(self.sent_end is not None and seq_leq(seg.ack, self.sent_end), "acknowledges what was never sent")
        if "S" not in seg.flags and self.acked is not None:
            require(seq_geq(seg.ack, self.acked), "an ACK goes back")
        self.acked = seg.ack
        edge = (seg.ack + (seg.window << (0 if "S" in seg.flags else self.stack_scale))) & MASK32
        if self.edge is not None and "S" not in seg.flags:
            require(seq_geq(edge, self.edge), f"the right edge goes back by {seq_diff(self.edge, edge)}")
        self.edge = edge
        sack = seg.option(Sack)
        blocks = list(sack.blocks) if sack else []
        if blocks and (seq_leq(blocks[0][1], seg.ack) or is_dsack(blocks)):
            left, right = blocks.pop(0)
            require(seq_lt(left, right), "a D-SACK of nothing")
        for left, right in blocks:
            require(seq_gt(left, seg.ack) and seq_lt(left, right), "a SACK block not beyond the ACK")
            require(seq_leq(right, edge), "a SACK block beyond the window")

    def _check_data(self, seg: Segment) -> None:
        first = seg.seq + seg.flags.count("S")
        for index, octet in enumerate(seg.data):
            at = (first + index) & MASK32
            require(self.bytes.setdefault(at, octet) == octet, "a retransmission with other bytes")
        if seg.data and self.limit is not None and "S" not in seg.flags:
            over = seq_diff((seg.seq + len(seg.data)) & MASK32, self.limit)
            require(over <= 0 or len(seg.data) == 1, f"{over} bytes beyond the window")
