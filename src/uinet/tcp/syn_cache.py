"""The SYN cache (RFC 4987, 3.3): half-open connections, how they come into it and leave it.

Until the handshake's last ACK a connection is a :class:`SynEntry`, small and bounded in number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.seq import seq_lt
from uinet.tcp.config import Config, first_window, largest_buffer
from uinet.tcp.constants import COPIED, FRAGMENTS, MODE_NONE, PINNED, TRIVIAL_ISN
from uinet.tcp.context import Context
from uinet.tcp.cookies import flooded, send_cookie
from uinet.tcp.feedback import mode_of_syn
from uinet.tcp.listener import Listed, Listener
from uinet.tcp.negotiate import scale_for
from uinet.tcp.path import DISCOVER_DONT
from uinet.tcp.syn import Syn
from uinet.tcp.syn_events import BACKLOG, note_entry
from uinet.tcp.table import Entry
from uinet.wire.constants import ACE_SHIFT, NO_WSCALE
from uinet.wire.frame import Frame
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.tcp.protocol import Tcp

KEPT_SEGMENTS = 8  # of a connection whose SYN is deferred, and that may be watched
KEPT_BYTES = 4 << 20  # the same, of all of them


class SynEntry(Listed):
    """One half-open connection of the SYN cache. `deferred`: it waits for its filter's verdict, nothing was sent."""

    def __init__(self, context: Context, listener: Listener, seg: Segment) -> None:
        self.blank(context, listener, seg)

    def blank(self, context: Context, listener: Listener, seg: Segment) -> None:
        """What a new one is, for a SYN of which no more is taken than its numbers and options."""
        self.blank_listed()
        self.context = context
        self.listener: Listener | None = listener
        self.syn: Syn | None = None
        self.deferred = False
        self.irs = seg.seq
        self.iss = 0
        self.ts_offset = 0
        self.peer_mss = seg.mss
        self.peer_wscale = seg.wscale
        self.peer_window = seg.window
        self.sack = seg.sack_permitted
        self.timestamps = seg.has_timestamps
        self.tsval = seg.tsval
        self.ecn_mode = mode_of_syn(seg.flags, context.settings.ecn) if seg.flags >> ACE_SHIFT else MODE_NONE
        self.syn_ecn = seg.ecn
        self.not_ect = False  # a SYN or SYN,ACK without ECN has passed as well: nothing may be ECN-capable
        self.rcv_scale = 0
        self.retries = 0
        self.sent_at = 0
        self.challenged_at = 0
        self.kept: list[Frame] | None = None  # segments that came while it was deferred
        self.deferred_until = 0  # TCP_DEFER_ACCEPT: a bare ACK does not complete the handshake before
        self.user_timeout = seg.user_timeout
        self.gives_cookie = False  # the SYN,ACK brings a Fast Open cookie

    def expire(self, now: int) -> None:
        """Time to send the SYN,ACK again, or to give up."""
        self.context.timeout(self, now)


def new_entry(context: Context, listener: Listener, seg: Segment) -> SynEntry:
    """An entry without a key yet."""
    entry = SynEntry.__new__(SynEntry)
    entry.blank(context, listener, seg)
    return entry


def mark_entry(config: Config, entry: Entry) -> None:
    """Gives the answers to a SYN what the listener's user has chosen for them."""
    if config.tx_interface is not None:
        entry.interface = config.tx_interface
        entry.marks |= PINNED
    if config.trivial_isn:
        entry.marks |= TRIVIAL_ISN
    if config.mtu_discover == DISCOVER_DONT:
        entry.marks |= FRAGMENTS


def file(tcp: Tcp, entry: SynEntry) -> None:
    """Puts a prepared entry into the SYN cache."""
    assert entry.listener is not None
    tcp.table.insert(entry)
    tcp.syn_count += 1
    entry.listener.begin(entry)
    tcp.entries_added += 1


def make_room(tcp: Tcp, listener: Listener, entry: SynEntry) -> bool:
    """Sees that the SYN cache stays bounded; False if `entry` can't be kept (it was answered with a cookie if that
    can be).
    """
    if listener.half_open < listener.backlog and tcp.syn_count < tcp.settings.syn_cache_limit:
        return True
    if flooded(tcp, listener):
        send_cookie(
            tcp, listener, entry, entry.irs, entry.peer_mss, entry.peer_wscale, entry.sack, entry.timestamps,
            entry.tsval,
        )
        return False
    oldest = listener.oldest
    if oldest is not None:
        tcp.stats.count("tcp_syncache_evicted")
        drop(tcp, oldest, "evicted")  # type: ignore[arg-type]  # nothing else is in that list
        return True
    tcp.stats.count("tcp_listen_overflow")  # others fill the cache
    note_entry(tcp, BACKLOG, entry)
    if entry.syn is not None:
        tcp.tell_gone(entry.syn, "evicted")
    return False


def prepare(tcp: Tcp, entry: SynEntry, floor: int) -> None:
    """Chooses our side's numbers."""
    entry.iss = tcp.secrets.isn(entry, tcp.now)
    if floor >= 0 and seq_lt(entry.iss, floor):
        entry.iss = floor
    if entry.auth is not None:
        entry.auth.begin(entry.iss, entry.irs)
    entry.ts_offset = tcp.secrets.timestamp_offset(entry)
    settings = tcp.settings
    entry.sack = entry.sack and settings.sack
    entry.timestamps = entry.timestamps and settings.timestamps
    if not settings.window_scaling:
        entry.peer_wscale = NO_WSCALE
    entry.rcv_scale = scale_for(receive_most(tcp, entry)) if entry.peer_wscale != NO_WSCALE else 0


def receive_most(tcp: Tcp, entry: SynEntry) -> int:
    """The largest receive buffer that the connection may come to have."""
    listener = entry.listener
    return largest_buffer(listener.config, tcp.settings) if listener is not None else receive_limit(tcp, entry)


def segment_limit(entry: SynEntry) -> int:
    """The listener's limit of segments (TCP_MAXSEG)."""
    listener = entry.listener
    return listener.config.max_segment if listener is not None else 0


def receive_limit(tcp: Tcp, entry: SynEntry) -> int:
    """The receive buffer that the connection will begin with."""
    listener = entry.listener
    return first_window(listener.config) if listener is not None else tcp.settings.receive_buffer


def keep(tcp: Tcp, entry: SynEntry, packet: Packet) -> None:
    """Keeps a segment of a connection whose SYN is deferred: should it be watched, this is the beginning.

    Where the SYN itself was held back, no others follow it that could count.
    """
    listener = entry.listener
    if listener is None or (packet.interface.bridge is not None and not listener.passive):
        return
    if entry.kept is None:
        entry.kept = []
    size = len(packet.data)
    if len(entry.kept) >= KEPT_SEGMENTS or tcp.kept + size > KEPT_BYTES:
        tcp.stats.count("passive_not_kept")
        return
    entry.kept.append(packet.frame)
    tcp.kept += size


def unfile(tcp: Tcp, entry: SynEntry) -> None:
    """Takes an entry out of the SYN cache."""
    tcp.wheel.disarm(entry)
    listener = entry.listener
    if tcp.table.remove(entry) and not entry.deferred:
        tcp.syn_count -= 1
    if listener is not None:
        listener.forget_entry(entry)
    if entry.deferred:
        entry.deferred = False
        tcp.deferred -= 1
    if entry.kept is not None:
        for frame in entry.kept:
            tcp.kept -= len(frame.data)
        entry.kept = None
    entry.listener = None


def drop(tcp: Tcp, entry: SynEntry, why: str) -> None:
    """Forgets a half-open connection and tells its filter why."""
    if tcp.syn_events is not None:
        note_entry(tcp, why, entry)
    unfile(tcp, entry)
    if entry.marks & COPIED:
        tcp.copies.end(entry)
    syn = entry.syn
    if syn is not None:
        entry.syn = None
        syn.entry = None
        tcp.tell_gone(syn, why)
