"""SYN cookies (RFC 4987, 3.6): answers to SYNs of which nothing is kept, as fast as a flood can bring them.

What a listener offers is looked up ten times a second, not for each SYN.
"""

from __future__ import annotations

from uinet.ip.interface import DEFAULT_HOP_LIMIT
from uinet.tcp.context import Context
from uinet.tcp.layout import begin, headers_length, is_v4, mss_within, put_syn_options, transmit
from uinet.tcp.listener import Listener
from uinet.tcp.negotiate import scale_for
from uinet.tcp.table import Entry
from uinet.units import MASK32, MILLISECOND, MINUTE
from uinet.wire.constants import ACK, NO_WSCALE, SYN
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

COOKIE_GRACE = 2 * MINUTE  # cookies are believed for this long after the last overflow
OFFER_TIME = 100 * MILLISECOND
EMPTY = b""


def flooded(context: Context, listener: Listener) -> bool:
    """Whether there is no room for another half-open connection, and cookies may take its place."""
    settings = context.settings
    if len(listener.half_open) < listener.backlog and context.syn_count < settings.syn_cache_limit:
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
    entry.link_header = packet.reply_header() if interface.promiscuous else None
    look_up_offer(context, listener)
    ttl = listener.offer_ttl
    if ttl == DEFAULT_HOP_LIMIT and packet.version == 6:
        ttl = interface.hop_limit
    entry.ttl = ttl
    entry.tos = listener.offer_tos
    send_cookie(
        context, listener, entry, seg.seq, seg.mss, seg.wscale, seg.sack_permitted, seg.has_timestamps, seg.tsval
    )


def look_up_offer(context: Context, listener: Listener) -> None:
    """Sees that what the listener offers was looked up not long ago."""
    if context.now < listener.offer_until:
        return
    owner = listener.owner
    listener.offer_until = context.now + OFFER_TIME
    listener.offer_scale = scale_for(owner.receive_buffer_max)
    listener.offer_window = min(owner.receive_window, 0xFFFF)
    listener.offer_segment = owner.config.max_segment
    listener.offer_ttl = owner.config.ttl
    listener.offer_tos = owner.config.tos & ~3  # the ECN field is TCP's own


def send_cookie(
    context: Context, listener: Listener, entry: Entry, irs: int, peer_mss: int, wscale: int, sack: bool,
    timestamps: bool, tsecr: int,
) -> None:
    """Sends the SYN,ACK whose sequence number says what there is to know of a SYN; what the SYN offers comes as
    arguments."""
    context.stats.count("tcp_syncookie_sent")
    look_up_offer(context, listener)
    settings = context.settings
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
    size = put_syn_options(
        context.scratch, options, mss_within(entry, listener.offer_segment),
        listener.offer_scale if wscale != NO_WSCALE else -1, sack, timestamps, tsval, tsecr,
    )
    if peer_mss == 0:
        peer_mss = 536 if is_v4(entry) else 1220
    cookie = context.secrets.cookie(entry, irs, peer_mss, now)
    if entry.auth is not None:
        entry.auth.begin(cookie, irs)
    transmit(
        context, entry, at, cookie, (irs + 1) & MASK32, SYN | ACK, listener.offer_window, size, EMPTY, 0, 0
    )
