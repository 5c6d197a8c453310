"""Receive offload in software: TCP segments of one flow that came in one batch become one large packet.

What network cards and Linux (GRO) do, for devices that do neither: a stack then sees, acknowledges and hands over up to
64 KiB at once. Segments are put together only where nothing is lost by it: next in sequence, of one size but for the
last, with the same headers, options included, no flag but ACK and a last PSH, no congestion mark, and sound checksums,
as the packet that they become has none of its own. Of ACKs without payload that differ in nothing but what they
acknowledge and the window the last stands for all, as in Linux's backlog: it says what they said, and a sender of small
packets gets one for every two. ACKs that repeat a number all count, but for one that the next goes beyond, and so do
those with other options: SACK blocks, a later timestamp. All else passes as it came; of each flow the order stays.
Nothing here raises for any bytes.
"""

from __future__ import annotations

from uinet.link.constants import ACK, CE, FIXED_IPV4, PSH, TCP
from uinet.link.device import ETHERNET_HEADER
from uinet.link.offload import locate_tcp, pseudo_sum
from uinet.seq import seq_gt
from uinet.units import MASK32
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID, Frame, SplitFrame, split_frame
from uinet.wire.kernels import checksum, collect, equal, load_u8, load_u16, load_u32, load_u64, store_u8, store_u16

RUNS = 8  # flows of a batch that are looked for at a time
LARGEST = 0xFFFF  # bytes of an IP packet
NONE: list[bytes] = []


class Run:
    """Segments of one flow, each the next of the one before, or ACKs without payload, of which the last is kept.

    `first`: the first segment or the last ACK, number `place` of the batch as it is kept; `l4`, `head`: where its TCP
    header and its payload begin. `each`: payload bytes of every segment but the last, 0 of ACKs. `total`: of all.
    `seq`: what is next. `pieces`: the segments.
    """

    def __init__(self, first: Frame, place: int, l4: int, head: int, each: int) -> None:
        self.first = first
        self.place = place
        self.l4 = l4
        self.head = head
        self.each = each
        self.total = each
        self.seq = (load_u32(first.data, l4 + 4) + each) & MASK32
        self.pieces = [first.data] if each else NONE


class Coalescer:
    """Puts together what one device receives; `layer`: its own. `verifies`: whether checksums are to be right."""

    def __init__(self, layer: int, verifies: bool = True) -> None:
        self.l3 = ETHERNET_HEADER if layer == 2 else 0
        self.layer = layer
        self.verifies = verifies
        self.runs: list[Run] = []
        self.kept: list[Frame] = []

    def coalesce(self, frames: list[Frame]) -> list[Frame]:
        """The batch, with a SplitFrame in the place of the first of those that it stands for."""
        if len(frames) < 2:
            return frames
        self.kept = kept = []
        for frame in frames:
            if not self.absorb(frame):
                kept.append(frame)  # noqa: PERF401 (`absorb` reads what is kept so far)
        while self.runs:
            self.close(self.runs.pop())
        self.kept = []
        return kept

    def absorb(self, frame: Frame) -> bool:
        """Whether the frame continues a run, and needs no place of its own; if not, one may begin with it."""
        if frame.gso_size or frame.checksum == CHECKSUM_NEEDED or isinstance(frame, SplitFrame):
            while self.runs:  # whatever it is, it is not to be overtaken
                self.close(self.runs.pop())
            return False
        data = frame.data
        l4 = locate_tcp(data, self.layer)
        if l4 < 0:
            return False
        run = self.find(data, l4)
        head = l4 + (load_u8(data, l4 + 12) >> 4) * 4
        length = self.payload(data, l4, head)
        if run is not None:
            if length == 0 and self.renews(run, data, head) and self.sound(frame, l4, head):
                run.first = self.kept[run.place] = frame
                return True
            if 0 < length <= run.each and self.continues(run, data, head, length):
                if self.sound(frame, l4, head + length):
                    self.extend(run, data, length)
                    return True
            self.runs.remove(run)
            self.close(run)
        if length == 0 or (length > 0 and not load_u8(data, l4 + 13) & PSH and self.sound(frame, l4, head + length)):
            if len(self.runs) == RUNS:
                self.close(self.runs.pop(0))
            self.runs.append(Run(frame, len(self.kept), l4, head, length))
        return False

    def extend(self, run: Run, data: bytes, length: int) -> None:
        """The next segment of a run, with so many bytes of payload; a short one, or one with PSH, is its last."""
        run.pieces.append(data)
        run.total += length
        run.seq = (run.seq + length) & MASK32
        if length < run.each or load_u8(data, run.l4 + 13) & PSH:
            self.runs.remove(run)
            self.close(run)

    def find(self, data: bytes, l4: int) -> Run | None:
        """The run of the flow that a segment belongs to."""
        l3 = self.l3
        for run in self.runs:
            first = run.first.data
            if run.l4 != l4 or load_u32(first, l4) != load_u32(data, l4):
                continue
            if l4 - l3 == FIXED_IPV4:
                if load_u64(first, l3 + 12) == load_u64(data, l3 + 12):
                    return run
            elif equal(first, l3 + 8, data, l3 + 8, l4 - l3 - 8):
                return run
        return None

    def payload(self, data: bytes, l4: int, head: int) -> int:
        """The length of the payload of a segment that may be one of several, 0 of a mere ACK; -1 of all others."""
        l3 = self.l3
        if load_u8(data, l3) == 0x45:
            end = l3 + load_u16(data, l3 + 2)
            marks = load_u8(data, l3 + 1)
        elif load_u8(data, l3) >> 4 == 6:
            end = l4 + load_u16(data, l3 + 4)
            marks = load_u16(data, l3) >> 4
        else:
            return -1
        if head < l4 + 20 or head > end or end > len(data):
            return -1
        if load_u8(data, l4 + 13) & ~PSH != ACK or marks & 3 == CE:
            return -1
        return end - head

    def continues(self, run: Run, data: bytes, head: int, length: int) -> bool:
        """Whether a segment of the same flow is the next of `run`, and has the same headers otherwise."""
        l4 = run.l4
        first = run.first.data
        return (
            head - self.l3 + run.total + length <= LARGEST
            and self.alike(run, data, head)
            and load_u32(first, l4 + 8) == load_u32(data, l4 + 8)  # the acknowledgment
            and load_u16(first, l4 + 14) == load_u16(data, l4 + 14)
        )

    def renews(self, run: Run, data: bytes, head: int) -> bool:
        """Whether an ACK of the same flow says what the one of `run` says, and acknowledges more."""
        l4 = run.l4
        if run.each or not self.alike(run, data, head):
            return False
        return seq_gt(load_u32(data, l4 + 8), load_u32(run.first.data, l4 + 8))

    def alike(self, run: Run, data: bytes, head: int) -> bool:
        """Whether a segment has the sequence number that is next in `run`, and the same headers, but for what is
        another thing in each packet, the acknowledgment and the window."""
        l3 = self.l3
        l4 = run.l4
        first = run.first.data
        if head != run.head or load_u32(data, l4 + 4) != run.seq:
            return False
        if l3 and (load_u64(first, 0) != load_u64(data, 0) or load_u32(first, 8) != load_u32(data, 8)):
            return False
        if l4 - l3 == FIXED_IPV4:
            # type of service; flags, lifetime and protocol: not the length, the identification and the checksum
            if load_u16(first, l3) != load_u16(data, l3) or load_u32(first, l3 + 6) != load_u32(data, l3 + 6):
                return False
        elif load_u32(first, l3) != load_u32(data, l3) or load_u16(first, l3 + 6) != load_u16(data, l3 + 6):
            return False
        if load_u8(first, l4 + 12) != load_u8(data, l4 + 12):
            return False
        return equal(first, l4 + 18, data, l4 + 18, head - l4 - 18)  # the urgent pointer, the options

    def sound(self, frame: Frame, l4: int, end: int) -> bool:
        """Whether the checksums of a frame are right; they need not be looked at again then."""
        data = frame.data
        l3 = self.l3
        if l4 - l3 == FIXED_IPV4 and checksum(data, l3, FIXED_IPV4, 0) != 0xFFFF:
            return False
        if frame.checksum == CHECKSUM_UNKNOWN and self.verifies:
            if checksum(data, l4, end - l4, pseudo_sum(data, l3, l4, TCP, end - l4)) != 0xFFFF:
                return False
            frame.checksum = CHECKSUM_VALID
        return True

    def close(self, run: Run) -> None:
        """Puts the packet that a run has become into the place of its first segment."""
        if len(run.pieces) < 2:
            return
        l3 = self.l3
        first = run.first.data
        header = bytearray(first[: run.head])
        last = run.pieces[len(run.pieces) - 1]
        store_u8(header, run.l4 + 13, load_u8(last, run.l4 + 13))
        if run.l4 - l3 == FIXED_IPV4:
            store_u16(header, l3 + 2, run.head - l3 + run.total)
            store_u16(header, l3 + 10, 0)
            store_u16(header, l3 + 10, ~checksum(header, l3, FIXED_IPV4, 0) & 0xFFFF)
        else:
            store_u16(header, l3 + 4, run.head - run.l4 + run.total)
        whole = split_frame(
            bytes(header), collect(run.pieces, run.head, run.each, run.total), CHECKSUM_VALID, run.each
        )
        whole.time = run.first.time
        self.kept[run.place] = whole
