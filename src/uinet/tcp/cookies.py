"""SYN cookies (RFC 4987, 3.6): answers to SYNs of which nothing is kept, as fast as a flood can bring them."""

from __future__ import annotations

from uinet.ip.interface import hop_limit
from uinet.tcp.config import first_window, largest_buffer
from uinet.tcp.constants import PINNED
from uinet.tcp.context import Context
from uinet.tcp.layout import begin, headers_length, is_v4, mss_within, put_syn_options, transmit
from uinet.tcp.listener import Listener
from uinet.tcp.negotiate import scale_for
from uinet.tcp.syn_events import COOKIE_SENT, note_entry
from uinet.tcp.table import Entry
from uinet.units import MASK32, MILLISECOND, MINUTE
from uinet.wire.constants import ACK, NO_WSCALE, SYN
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

COOKIE_GRACE = 2 * MINUTE  # cookies are believed for this long after the last overflow
EMPTY = b""


def flooded(context: Context, listener: Listener) -> bool:
    """Whether there is no room for another half-open connection, and cookies may take its place."""
    settings = context.settings
    if listener.half_open < listener.backlog and context.syn_count < settings.syn_cache_limit:
        return False
    return bool(settings.syn_cookies) and listener.syn_filter is None


def answer_flood(context: Context, listener: Listener, packet: Packet, seg: Segment) -> None:
    """Answers one SYN of a flood with a cookie. The listener has no keys; the SYN may come from where it says."""
    entry = context.probe
    interface = packet.interface
    context.table.set_key(
        entry, interface.cdom, packet.vids, packet.dst_hi, packet.dst_lo, seg.destination_port, packet.src_hi,
        packet.src_lo, seg.source_port,
    )
    entry.interface = interface
    entry.next_hop = None
    entry.marks = 0
    if listener.config.tx_interface is not None:
        entry.interface = listener.config.tx_interface
        entry.marks = PINNED
    entry.link_header = packet.reply_header() if interface.promiscuous else None
    config = listener.config
    entry.ttl = hop_limit(config.ttl, interface, packet.version == 6)
    entry.tos = config.tos & ~3  # the ECN field is TCP's own
    send_cookie(
        context, listener, entry, seg.seq, seg.mss, seg.wscale, seg.sack_permitted, seg.has_timestamps, seg.tsval
    )


def send_cookie(
    context: Context, listener: Listener, entry: Entry, irs: int, peer_mss: int, wscale: int, sack: bool,
    timestamps: bool, tsecr: int,
) -> None:
    """Sends the SYN,ACK whose sequence number says what there is to know of a SYN; what the SYN offers comes as
    arguments."""
    context.cookies_sent += 1
    if context.syn_events is not None:
        note_entry(context, COOKIE_SENT, entry)
    settings = context.settings
    config = listener.config
    now = context.now
    listener.cookies_until = now + COOKIE_GRACE
    at = begin(context, entry)
    if at < 0:
        return
    timestamps = timestamps and settings.timestamps
    sack = sack and settings.sack and timestamps
    if not settings.window_scaling or not timestamps:
        wscale = NO_WSCALE
    tsval = 0
    if timestamps:
        # the low bits of TSval carry what the cookie has no room for, as the echo brings them back
        # (a little in the past, so that our clock does not seem to go back afterwards)
        offset = context.secrets.timestamp_offset(entry)
        tsval = (now // MILLISECOND + offset - 64) & MASK32 & ~63
        tsval |= (1 << 5 if sack else 0) | (wscale if wscale < 15 else 15)
    options = at + headers_length(entry)
    scale = scale_for(largest_buffer(config, settings)) if wscale != NO_WSCALE else -1
    size = put_syn_options(
        context.scratch, options, mss_within(entry, config.max_segment), scale, sack, timestamps, tsval, tsecr
    )
    if peer_mss == 0:
        peer_mss = 536 if is_v4(entry) else 1220
    cookie = context.secrets.cookie(entry, irs, peer_mss, now)
    if entry.auth is not None:
        entry.auth.begin(cookie, irs)
    window = first_window(config)
    if window > 0xFFFF:
        window = 0xFFFF
    transmit(context, entry, at, cookie, (irs + 1) & MASK32, SYN | ACK, window, size, EMPTY, 0, 0)
