"""Segments for half-open connections, up to the ACK that completes the handshake, with a cookie or without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.seq import seq_diff, seq_lt
from uinet.tcp.constants import ALWAYS, MODE_ACCURATE, MODE_NONE
from uinet.tcp.feedback import is_mixed, mode_of_syn
from uinet.tcp.listener import NO_QUEUE, Listener
from uinet.tcp.negotiate import scale_for
from uinet.tcp.reset import path_back, send_reset
from uinet.tcp.signing import GOOD, UNKNOWN
from uinet.tcp.syn_answer import challenge, send_syn_ack
from uinet.tcp.syn_cache import SynEntry, drop, keep, mark_entry, new_entry, receive_limit, receive_most
from uinet.tcp.syn_events import BACKLOG, BAD_ACK, COOKIE_ACCEPTED, COOKIE_BAD, note_entry
from uinet.units import MASK32
from uinet.wire.constants import ACK, FIN, NO_WSCALE, RST, SYN
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.tcp.protocol import Tcp


def entry_from_cookie(tcp: Tcp, listener: Listener, packet: Packet, seg: Segment) -> SynEntry | None:
    """The half-open connection that an ACK's cookie stands for; None if there is no good cookie in it."""
    if tcp.now >= listener.cookies_until or listener.syn_filter is not None or seg.flags & RST:
        return None
    if len(listener.accepted) >= listener.backlog:
        tcp.stats.count("tcp_listen_overflow")
        return None
    entry = new_entry(tcp, listener, seg)
    path_back(tcp, entry, packet, seg)
    mark_entry(listener.config, entry)
    entry.irs = (seg.seq - 1) & MASK32
    entry.iss = (seg.ack - 1) & MASK32
    entry.peer_mss = tcp.secrets.check_cookie(entry, entry.irs, entry.iss, tcp.now)
    if entry.peer_mss == 0:
        tcp.stats.count("tcp_syncookie_bad")
        note_entry(tcp, COOKIE_BAD, entry)
        return None
    entry.auth = listener.config.keys.signer(entry.raddr_hi, entry.raddr_lo, entry.rport)
    if entry.auth is not None:
        entry.auth.begin(entry.iss, entry.irs)
        answer = entry.auth.check(entry, packet, seg)
        if answer != GOOD or not entry.auth.accept(packet.data, seg):
            if not entry.auth.stateless:  # else it is counted where it is not answered
                tcp.stats.count(entry.auth.counters[answer or UNKNOWN])
            return None
    entry.sack = False
    entry.ecn_mode = MODE_NONE
    entry.user_timeout = -1
    entry.peer_wscale = NO_WSCALE
    entry.timestamps = seg.has_timestamps
    if seg.has_timestamps:
        wscale = seg.tsecr & 15
        entry.sack = (seg.tsecr >> 5) & 1 == 1
        entry.peer_wscale = wscale if wscale < 15 else NO_WSCALE
        entry.rcv_scale = scale_for(receive_most(tcp, entry)) if wscale < 15 else 0
        entry.ts_offset = tcp.secrets.timestamp_offset(entry)
    tcp.stats.count("tcp_syncookie_ok")
    note_entry(tcp, COOKIE_ACCEPTED, entry)
    if tcp.copies is not None and tcp.copies.begin(listener.config, entry) is not None:
        tcp.copies.came(entry, packet)  # what came before it was not kept
    return entry


def segment_for_entry(tcp: Tcp, entry: SynEntry, packet: Packet, seg: Segment) -> bool:
    """A segment for a half-open connection; True if it completes the handshake (the caller makes the TCB)."""
    stats = tcp.stats
    if seg.flags & RST:
        inside = not entry.deferred and in_window_of(tcp, entry, seg)
        if (
            seg.seq == (entry.irs + 1) & MASK32 or (entry.deferred and seg.seq == entry.irs)
            or (inside and tcp.settings.insecure_rst)
        ):
            stats.count("tcp_rst_in")
            stats.count("tcp_syncache_reset")
            drop(tcp, entry, "reset")
        elif inside:
            challenge(tcp, entry)  # RFC 9293 3.10.7.4, RFC 5961 3.2
        else:
            stats.count("tcp_rst_out_of_window")
        return False
    if seg.flags & SYN:
        if seg.flags & FIN and tcp.settings.drop_syn_fin == ALWAYS:
            stats.count("tcp_syn_dropped")
            return False
        if seg.has_timestamps and seg.seq == entry.irs and not seg.flags & ACK and seq_lt(entry.tsval, seg.tsval):
            entry.tsval = seg.tsval  # the answer echoes the SYN that it answers (RFC 7323, 4.3): the peer times by it
        if entry.deferred:
            stats.count("tcp_syn_deferred_again")
        elif not seg.flags & ACK and seg.seq == entry.irs:
            if take_ecn_again(tcp, entry, seg):
                send_syn_ack(tcp, entry)
        else:
            # another SYN on the same tuple: the peer is asked; if it has forgotten the first it resets it
            challenge(tcp, entry)
        return False
    if entry.deferred:
        keep(tcp, entry, packet)
        return False
    if not seg.flags & ACK:
        stats.count("tcp_no_ack")
        return False
    if seg.ack != (entry.iss + 1) & MASK32:
        stats.count("tcp_ack_too_new")
        note_entry(tcp, BAD_ACK, entry)
        if tcp.rst_limit.allow(tcp):
            send_reset(tcp, entry, seg)
        return False
    offset = offset_in_window(entry, seg)
    if offset < 0 or offset > receive_limit(tcp, entry):
        stats.count("tcp_out_of_window")
        note_entry(tcp, BAD_ACK, entry)
        challenge(tcp, entry)
        return False
    if entry.timestamps and seg.has_timestamps and seq_lt(seg.tsval, entry.tsval):
        stats.count("tcp_paws")
        challenge(tcp, entry)
        return False
    listener = entry.listener
    if listener is None or (listener.accepted is not NO_QUEUE and len(listener.accepted) >= listener.backlog):
        stats.count("tcp_listen_overflow")  # the peer sends again; meanwhile somebody may accept
        note_entry(tcp, BACKLOG, entry)
        return False
    return not waits_for_data(tcp, entry, listener, seg)


def waits_for_data(tcp: Tcp, entry: SynEntry, listener: Listener, seg: Segment) -> bool:
    """TCP_DEFER_ACCEPT: whether the connection has to bring data first. If none comes in time the SYN,ACK goes again,
    and what answers it completes the handshake."""
    wait = listener.config.defer_accept
    if wait == 0 or seg.length or seg.flags & FIN:
        return False
    if entry.deferred_until == 0:
        entry.deferred_until = tcp.now + wait
        tcp.wheel.arm(entry, entry.deferred_until)
    if tcp.now >= entry.deferred_until:
        return False
    tcp.stats.count("tcp_accept_deferred")
    return True


def in_window_of(tcp: Tcp, entry: SynEntry, seg: Segment) -> bool:
    """Whether a segment begins in the window of a SYN,ACK."""
    return 0 <= offset_in_window(entry, seg) < min(receive_limit(tcp, entry), 0xFFFF)


def offset_in_window(entry: SynEntry, seg: Segment) -> int:
    """How far a segment begins behind RCV.NXT."""
    return seq_diff(seg.seq, (entry.irs + 1) & MASK32)


def take_ecn_again(tcp: Tcp, entry: SynEntry, seg: Segment) -> bool:
    """The ECN of a SYN that came again (RFC 9768, 3.1.5); False if the connection was reset for it."""
    if is_mixed(entry.ecn_mode, seg.flags, tcp.settings.ecn):
        tcp.stats.count("tcp_ecn_mixed")
        if tcp.rst_limit.allow(tcp):
            send_reset(tcp, entry, seg)
        drop(tcp, entry, "reset")
        return False
    entry.syn_ecn = seg.ecn
    if entry.ecn_mode == MODE_ACCURATE and mode_of_syn(seg.flags, tcp.settings.ecn) == MODE_NONE:
        entry.not_ect = True
    return True
