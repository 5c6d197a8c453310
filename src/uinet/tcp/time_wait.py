"""TIME-WAIT: what is left of a connection for 2 MSL after its end (RFC 9293 3.10.7.4; RFC 1337; RFC 6191)."""

from __future__ import annotations

from uinet.seq import seq_diff, seq_gt, seq_lt
from uinet.tcp.constants import ALWAYS
from uinet.tcp.context import Context
from uinet.tcp.layout import begin, headers_length, put_timestamps, transmit
from uinet.tcp.table import Entry
from uinet.tcp.tcb import Tcb
from uinet.units import MASK32, MILLISECOND
from uinet.wire.constants import ACK, FIN, RST, SYN
from uinet.wire.segment import Segment

EMPTY = b""


class TimeWait(Entry):
    """A connection in TIME-WAIT: its key and path, and the numbers that an ACK needs."""

    def __init__(self, tcb: Tcb) -> None:
        self.blank(tcb)

    def blank(self, tcb: Tcb) -> None:
        """What is left of `tcb`."""
        self.blank_entry()
        self.context: Context = tcb.context
        self.copy_key(tcb)
        self.snd_nxt = tcb.snd_nxt
        self.rcv_nxt = tcb.rcv_nxt
        self.ts_ok = tcb.ts_ok
        self.ts_recent = tcb.ts_recent
        self.ts_offset = tcb.ts_offset
        offered = (tcb.rcv_adv - tcb.rcv_nxt) & MASK32  # the peer's FIN may have been the last octet of the window
        self.space = offered
        self.window = (offered + (1 << tcb.rcv_scale) - 1) >> tcb.rcv_scale
        self.challenge_after = 0

    def expire(self, now: int) -> None:
        """2 MSL are over."""
        self.context.timeout(self, now)


def remains_of(tcb: Tcb) -> TimeWait:
    """What TIME-WAIT keeps of a connection."""
    entry = TimeWait.__new__(TimeWait)
    entry.blank(tcb)
    return entry


def segment_for(entry: TimeWait, seg: Segment, wanted: bool) -> bool:
    """A segment for a connection in TIME-WAIT; True if it is a SYN for which the entry may give way, as somebody wants
    it (`wanted`: there is a listener)."""
    context = entry.context
    if seg.flags & SYN and seg.flags & FIN and context.settings.drop_syn_fin == ALWAYS:
        context.stats.count("tcp_syn_dropped")
        return False
    if seg.flags & RST:
        return False  # RFC 1337: TIME-WAIT is not assassinated
    if not seg.flags & (SYN | ACK) and in_space(entry, seg):
        context.stats.count("tcp_no_ack")  # RFC 9293 3.10.7.4, fifth
        return False
    if seg.flags & (SYN | ACK) == SYN and wanted and gives_way(entry, seg):
        return True
    if entry.ts_ok and seg.has_timestamps and seq_lt(seg.tsval, entry.ts_recent):
        context.stats.count("tcp_paws")
    if seg.flags & FIN:
        context.wheel.arm(entry, context.now + 2 * context.settings.msl)
    if seg.length or seg.flags & (SYN | FIN):
        acknowledge(entry)
    elif seg.seq != entry.rcv_nxt and context.now >= entry.challenge_after:
        # a bare ACK out of step: answered, but two such ends must not storm (RFC 5961, 7)
        entry.challenge_after = context.now + context.settings.challenge_ack_interval
        acknowledge(entry)
    return False


def in_space(entry: TimeWait, seg: Segment) -> bool:
    """Whether a segment begins in what was left of the window."""
    ahead = seq_diff(seg.seq, entry.rcv_nxt)
    space = entry.space if entry.space > 1 else 1
    return 0 <= ahead < space


def gives_way(entry: TimeWait, seg: Segment) -> bool:
    """Whether a SYN can't be an old one, so that a new connection may begin with it (RFC 6191, 2)."""
    if seg.has_timestamps and entry.context.settings.timestamps:
        if not entry.ts_ok:
            return True  # what is still on its way of the old connection has no timestamp, and will not be taken
        if seg.tsval != entry.ts_recent:
            return seq_gt(seg.tsval, entry.ts_recent)
    return seq_gt(seg.seq, entry.rcv_nxt)


def acknowledge(entry: TimeWait) -> None:
    """Sends <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>."""
    context = entry.context
    at = begin(context, entry)
    if at < 0:
        return
    size = 0
    if entry.ts_ok:
        options = at + headers_length(entry)
        tsval = (context.now // MILLISECOND + entry.ts_offset) & MASK32
        size = put_timestamps(context.scratch, options, tsval, entry.ts_recent)
    transmit(context, entry, at, entry.snd_nxt, entry.rcv_nxt, ACK, entry.window, size, EMPTY, 0, 0)
