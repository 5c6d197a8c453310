"""Reading a bridged connection passively: all that an endpoint of it would know, so that one can be taken over.

Numbers are those of the link of the flow's *near* side: of a flow that was let go the two links differ, and what comes
from the far side is looked at as it is translated. Nothing here sends or holds anything back. Where a receiver would
refuse a segment (beyond the window, a bad checksum) it is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable

from uinet.seq import seq_diff, seq_geq, seq_gt, seq_leq, seq_lt
from uinet.tcp.buffer import ByteQueue
from uinet.tcp.offer import Offer, strange_options
from uinet.tcp.reassembly import Reassembly
from uinet.units import MASK32, MILLISECOND, SECOND
from uinet.wire.constants import ACK, FIN, NO_WSCALE, RST, SYN
from uinet.wire.kernels import take
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

REACH = 1 << 30  # no window is larger (RFC 7323 2.3)
NEAR = 16 << 20  # bytes: how far beyond what was seen a segment may be while the window is not known
STREAM_LIMIT = 8 << 20  # bytes in flight that are kept of one direction
ISLANDS = 256
SETTLED = 2 * SECOND
LATE = 20 * MILLISECOND  # what was sent before tracking began may come so much later, overtaken by what came before

Reader = Callable[[bytes], None]


class Budget:
    """Bytes that all tracked flows of a bridge may keep, and keep."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0


class Side:
    """One endpoint of a tracked flow, and the stream that it sends. `offer`: its SYN's, None if that was not seen.

    `una`: what the other side has acknowledged; `queue`: the bytes [base, nxt), of which those before `una` are
    dropped: all that is in flight is kept once `base` is `una`. `high`: the end of what was seen. `islands`: what was
    seen behind a gap. `edge`: how far the other side's window has reached. `window`, `wl1`, `wl2`: the other side's
    window now. `scale`: this side's shift count. `tsval`: its last timestamp, `tsecr`: the last that it has echoed.
    `settle`: of one that is tracked from its middle on, how far what was in flight then may reach. `acked_at`: when the
    other side was heard last to acknowledge this stream, ns.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.offer: Offer | None = None
        self.begun = False
        self.midstream = False
        self.settle = 0
        self.una = 0
        self.acked_seen = False
        self.acked_at = 0
        self.base = 0
        self.nxt = 0
        self.high = 0
        self.queue = ByteQueue()
        self.islands: Reassembly | None = None
        self.fin = False
        self.fin_at = 0
        self.fin_acked = False
        self.window_known = False
        self.window = 0
        self.max_window = 0
        self.wl1 = 0
        self.wl2 = 0
        self.edge = 0
        self.scale = NO_WSCALE
        self.tsval_known = False
        self.tsval = 0
        self.tsval_at = 0
        self.tsecr_known = False
        self.tsecr = 0
        self.sacks: list[int] = []
        self.syn_at = 0
        self.rtt = 0
        self.ttl = 0
        self.header = b""
        self.octets = 0  # of the stream, as far as they were seen in order
        self.reader: Reader | None = None

    def begin(self, seq: int, midstream: bool) -> None:
        """The stream's first byte that matters is at `seq`."""
        self.begun = True
        self.midstream = midstream
        if self.fin and seq == (self.fin_at + 1) & MASK32:
            seq = self.fin_at
        self.una = self.base = self.nxt = self.high = seq

    def note_fin(self, at: int) -> None:
        """Its FIN, at `at`, has passed before it was tracked; -1: none has."""
        self.fin = at >= 0
        self.fin_at = max(0, at)

    def release(self) -> None:
        """Forgets the bytes."""
        self.budget.held -= self.charge()
        self.queue = ByteQueue()
        self.islands = None

    def charge(self) -> int:
        """Bytes of memory."""
        return self.queue.length + (self.islands.charge() if self.islands is not None else 0)

    def take(self, seq: int, data: bytes, offset: int, length: int) -> None:
        """The payload of a segment: `length` bytes of `data` at `offset`, which begin at `seq`."""
        end = (seq + length) & MASK32
        # one octet beyond the window is a probe, which may be taken
        if self.window_known and seq_gt(end, self.edge) and not (length == 1 and seq == self.edge):
            return
        reach = REACH if self.window_known else NEAR
        if not -reach < seq_diff(seq, self.nxt) < reach:
            return
        if seq_gt(end, self.high):
            self.high = end
        before = self.charge()
        self._take(seq, data, offset, length)
        gained = self.charge() - before
        self.budget.held += gained
        if self.queue.length > STREAM_LIMIT or self.budget.held > self.budget.limit:
            self._give_up()

    def _take(self, seq: int, data: bytes, offset: int, length: int) -> None:
        while length > 0:
            skip = seq_diff(self.nxt, seq)
            if skip >= length:
                return
            if skip > 0:
                seq = self.nxt
                offset += skip
                length -= skip
            if seq != self.nxt:
                if self.islands is None:
                    self.islands = Reassembly(ISLANDS)
                if self.islands.add(seq, data, offset, length) < 0:
                    self._give_up()
                return
            count = length
            if self.islands is not None:
                gap = self.islands.gap_after(seq)
                if gap < count:
                    count = gap
            self.queue.append(data, offset, count)
            self.nxt = (seq + count) & MASK32
            self.octets += count
            if self.reader is not None and count:
                self.reader(take(data, offset, count))
            if self.islands is not None:
                self._join()
            seq = (seq + count) & MASK32
            offset += count
            length -= count

    def _join(self) -> None:
        """Moves what is behind a gap that has closed."""
        islands = self.islands
        assert islands is not None
        before = self.queue.length
        self.nxt = islands.deliver(self.nxt, self.queue)
        moved = self.queue.length - before
        if moved:
            self.octets += moved
            if self.reader is not None:
                self.queue.locate(before, moved)
                self.reader(take(self.queue.source, self.queue.source_offset, moved))
        if islands.length == 0:
            self.islands = None

    def _give_up(self) -> None:
        """Too much to keep: takeover has to wait until all of this is acknowledged."""
        self.release()
        self.octets += max(0, seq_diff(self.high, self.nxt))
        self.base = self.nxt = self.high

    def acknowledged(self, ack: int) -> None:
        """The other side has acknowledged what is before `ack`, which was seen."""
        if self.fin and ack == (self.fin_at + 1) & MASK32:
            self.fin_acked = True
            ack = self.fin_at
        if not self.acked_seen:
            self.acked_seen = True
            self.una = ack
        elif not seq_gt(ack, self.una):
            return
        self.una = ack
        if seq_leq(ack, self.base):
            return
        before = self.charge()
        if seq_leq(ack, self.nxt):
            self.queue.drop(seq_diff(ack, self.base))
        else:  # bytes that were not seen here have reached it all the same
            self.octets += seq_diff(ack, self.nxt)
            self.queue = ByteQueue()
            self.nxt = ack
            if self.islands is not None:
                self._join()
        self.base = ack
        self.budget.held += self.charge() - before

    @property
    def header_known(self) -> bool:
        """Whether a segment of this side was seen."""
        return self.ttl != 0

    @property
    def complete(self) -> bool:
        """Whether all that is in flight is kept."""
        return seq_leq(self.base, self.una)


class Track:
    """What is known of a flow: of the side that opened it, `client`, and of the other, `server`. `since`: when tracking
    began, ns; 0: not yet."""

    def __init__(self, budget: Budget, client: Offer | None = None, server: Offer | None = None) -> None:
        self.client = Side(budget)
        self.server = Side(budget)
        self.client.offer = client
        self.server.offer = server
        self.reset_seen = False
        self.since = 0
        self.agree()

    def agree(self) -> None:
        """Sets what both SYNs have agreed on, as far as they were seen."""
        client, server = self.client.offer, self.server.offer
        if client is not None and server is not None:
            scaled = client.scale != NO_WSCALE and server.scale != NO_WSCALE
            self.client.scale = client.scale if scaled else NO_WSCALE
            self.server.scale = server.scale if scaled else NO_WSCALE

    @property
    def agreed(self) -> bool:
        """Whether both SYNs were seen."""
        return self.client.offer is not None and self.server.offer is not None

    def release(self) -> None:
        """Forgets the bytes, and who reads them."""
        for side in (self.client, self.server):
            side.release()
            side.reader = None

    def segment(self, from_client: bool, packet: Packet, seg: Segment) -> None:
        """One segment of a good checksum, its numbers as the near side sees them."""
        side, other = (self.client, self.server) if from_client else (self.server, self.client)
        now: int = packet.now
        flags = seg.flags
        seq = seg.seq
        if not self.since:
            self.since = now
        if flags & RST:
            if side.begun and seq_geq(seq, side.una):
                self.reset_seen = True
            return
        side.ttl = packet.ttl
        side.header = packet.link_header
        if flags & SYN:
            self._syn(side, other, packet, seg)
            seq = (seq + 1) & MASK32
        elif not side.begun:
            side.begin(seq, True)
        if flags & ACK:
            if not other.begun:
                other.begin(seg.ack, True)
            self._ack(side, other, seg, now)
        if seg.has_timestamps:
            self._stamps(side, seg.tsval, seg.tsecr, flags, now)
        if seg.length:
            side.take(seq, packet.text, seg.offset - packet.text_start, seg.length)
        if flags & FIN and not side.fin:
            at = (seq + seg.length) & MASK32
            if (not side.begun or seq_geq(at, side.una)) and -REACH < seq_diff(at, side.nxt) < REACH:
                side.fin = True
                side.fin_at = at

    def _syn(self, side: Side, other: Side, packet: Packet, seg: Segment) -> None:
        first = (seg.seq + 1) & MASK32
        if side.begun and not (side.offer is not None and side.nxt == first and side.una == first):
            return
        side.syn_at = 0 if side.begun else packet.now  # of one that is sent again nothing tells the round trip
        side.begin(first, False)
        side.offer = Offer(packet.data, seg)
        self.agree()
        if seg.flags & ACK and other.syn_at and other.nxt == seg.ack:
            other.rtt = packet.now - other.syn_at  # between here and this side
            other.syn_at = 0

    def _ack(self, side: Side, other: Side, seg: Segment, now: int) -> None:
        """`side` acknowledges what `other` has sent, and tells its window."""
        seq = seg.seq
        ack = seg.ack
        most = other.high
        if other.fin and seq_geq(other.fin_at, most):
            most = (other.fin_at + 1) & MASK32
        if other.syn_at and not seg.flags & SYN:
            other.rtt = now - other.syn_at
            other.syn_at = 0
        if seq_gt(ack, most):
            # of what was sent before this began: its sender hears this too, and will not send it again
            within = seq_leq(ack, other.edge) if other.window_known else 0 < seq_diff(ack, most) < NEAR
            if not (other.midstream and within):
                return
            other.high = ack
        other.acked_at = now
        other.acknowledged(ack)
        window = seg.window
        if not seg.flags & SYN and side.scale != NO_WSCALE:
            window <<= side.scale
        edge = (ack + window) & MASK32
        if not other.window_known:
            if not self.agreed:
                return
            other.window_known = True
            other.edge = other.settle = edge
            other.wl1, other.wl2, other.window = seq, ack, window
        elif seq_gt(edge, other.edge):
            other.edge = edge
        if seq_lt(other.wl1, seq) or (other.wl1 == seq and seq_leq(other.wl2, ack)):
            other.wl1, other.wl2, other.window = seq, ack, window
        if window > other.max_window:
            other.max_window = window
        other.sacks = list(seg.sacks[: 2 * seg.sack_count]) if seg.sack_count else []

    def _stamps(self, side: Side, tsval: int, tsecr: int, flags: int, now: int) -> None:
        if not side.tsval_known or seq_gt(tsval, side.tsval):
            side.tsval_known = True
            side.tsval = tsval
            side.tsval_at = now
        if flags & ACK and (not side.tsecr_known or seq_gt(tsecr, side.tsecr)):
            side.tsecr_known = True
            side.tsecr = tsecr


def why_not(track: Track, exact: bool, now: int) -> str:
    """Why a flow can't be taken over at `now`; "" if it can. `exact`: its streams will be rewritten, so that nothing
    may have passed out of order."""
    client, server = track.client, track.server
    if track.reset_seen:
        return "it was reset"
    if client.offer is not None and server.offer is None:
        return "its SYN was not answered: wait for that"
    if client.offer is None or server.offer is None:
        return "its SYNs were not seen: window scale and options are unknown"
    why = strange_options(client.offer, server.offer)
    if why:
        return why
    if client.fin and server.fin:
        return "both ends have closed it: it is about to end"
    for side in (client, server):
        if not (side.begun and side.acked_seen and side.window_known and side.header_known):
            return "too little was seen of it: wait for a segment of each side"
        if side.offer is not None and side.offer.timestamps and not side.tsval_known:
            return "too little was seen of it: wait for a segment of each side"
        if side.midstream and side.acked_at - track.since < LATE:
            # if its first segments and ACKs were old ones, its stream is further: nobody sends what is between
            return "what was seen of it may have come late: wait for a segment of each side"
    for side in (client, server):
        if not side.complete:
            return "bytes in flight were not seen: wait until they are acknowledged"
        if exact and not is_settled(side, track.since, now):
            return "bytes have passed out of order: wait until what is missing before them has come"
    return ""


def is_settled(side: Side, since: int, now: int) -> bool:
    """Whether nothing of a stream can have passed beyond what was seen in order."""
    if side.islands is not None or side.nxt != side.high or (side.fin and side.nxt != side.fin_at):
        return False
    if not side.midstream or seq_geq(side.una, side.settle):
        return True
    return side.una == side.high and now - since >= SETTLED
