"""SYNs of strangers: filter, deferral, SYN cache and SYN cookies (RFC 4987), up to the connection.

Until the handshake's last ACK a connection is a :class:`SynEntry`, small and bounded in number; only then is there a
TCB, and only a listener whose user accepts gets one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from uinet.ip.interface import Interface, hop_limit
from uinet.seq import seq_diff, seq_lt
from uinet.tcp.accecn import HANDSHAKE_ACE
from uinet.tcp.config import Config, first_window, largest_buffer
from uinet.tcp.constants import (
    ALWAYS,
    COPIED,
    FRAGMENTS,
    MODE_ACCURATE,
    MODE_CLASSIC,
    MODE_NONE,
    PINNED,
    TRIVIAL_ISN,
)
from uinet.tcp.context import Context
from uinet.tcp.cookies import flooded, send_cookie
from uinet.tcp.fast_listen import may_open_early
from uinet.tcp.fast_open import put_cookie
from uinet.tcp.feedback import is_mixed, mode_of_syn, put_first_option
from uinet.tcp.keys import NO_KEYS
from uinet.tcp.layout import begin, headers_length, mss_within, put_syn_options, transmit
from uinet.tcp.listener import NO_QUEUE, Listed, Listener
from uinet.tcp.negotiate import scale_for
from uinet.tcp.path import DISCOVER_DONT
from uinet.tcp.reset import path_back, send_reset
from uinet.tcp.signing import GOOD, UNKNOWN, admitted
from uinet.tcp.sound import source_is_sound
from uinet.tcp.syn import Syn, Verdict
from uinet.tcp.syn_events import (
    BACKLOG,
    BAD_ACK,
    COOKIE_ACCEPTED,
    COOKIE_BAD,
    DEFERRED_FULL,
    FILTERED,
    FILTERED_RESET,
    RATE,
    SIGNATURE,
    UNREACHABLE,
    UNSOUND,
    note_entry,
    note_packet,
)
from uinet.tcp.table import Entry
from uinet.tcp.user_timeout import advertised, put_user_timeout
from uinet.units import MASK32, MILLISECOND, SECOND
from uinet.wire.constants import ACE_SHIFT, ACK, ECE, FIN, NO_WSCALE, RST, SYN
from uinet.wire.frame import Frame
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.tcp.protocol import Tcp

ACCURATE_TRIES = 2  # SYN,ACKs with accurate ECN, before others are tried
MAX_OPTIONS = 40
KEPT_SEGMENTS = 8  # of a connection whose SYN is deferred, and that may be watched
KEPT_BYTES = 4 << 20  # the same, of all of them
EMPTY = b""

log = logging.getLogger("uinet")

# a member's name looked up in its class runs Python code, and each SYN would do so five times
ACCEPT = Verdict.ACCEPT
ACCEPT_PASSIVE = Verdict.ACCEPT_PASSIVE
BRIDGE = Verdict.BRIDGE
DEFER = Verdict.DEFER
REJECT_RST = Verdict.REJECT_RST


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


def syn_arrives(tcp: Tcp, listener: Listener, packet: Packet, seg: Segment, floor: int) -> bool:
    """A SYN for a listener (RFC 9293 3.10.7.2); False if the flow is to be bridged.

    `floor`: the lowest ISN that may be used, or -1: a TIME-WAIT gave way (RFC 6191).
    """
    stats = tcp.stats
    interface: Interface = packet.interface
    unbridged = interface.bridge is None
    if seg.flags & RST or (seg.flags & FIN and tcp.settings.drop_syn_fin) or not source_is_sound(packet, seg):
        stats.count("tcp_syn_dropped")
        if tcp.syn_events is not None:
            note_packet(tcp, UNSOUND, packet, seg)
        return unbridged
    auth: Any = None
    if listener.config.keys is not NO_KEYS and not listener.passive:
        probe = Entry()
        path_back(tcp, probe, packet, seg)
        if not keyed_syn(tcp, listener, probe, packet, seg):
            note_entry(tcp, SIGNATURE, probe)
            return unbridged
        auth = probe.auth
    elif seg.signed and tcp.settings.drop_unexpected_signatures and not listener.passive:
        stats.count("tcp_signature_unexpected")
        note_packet(tcp, SIGNATURE, packet, seg)
        return unbridged
    if listener.accepted is not NO_QUEUE and len(listener.accepted) >= listener.backlog:
        stats.count("passive_overflow" if listener.passive else "tcp_listen_overflow")
        if tcp.syn_events is not None:
            note_packet(tcp, BACKLOG, packet, seg)
        return unbridged if listener.passive else True
    syn: Syn | None = None
    verdict = ACCEPT
    if listener.syn_filter is not None:
        syn = Syn(packet, seg)
        verdict = ask_filter(tcp, listener, syn)
        if verdict is BRIDGE and not unbridged:
            return False
    if listener.passive:
        verdict = as_passive(verdict)
    if verdict is ACCEPT_PASSIVE:
        tcp.watching().start(listener, packet, seg, syn)
        return unbridged
    if verdict is not ACCEPT and verdict is not REJECT_RST and verdict is not DEFER:
        stats.count("tcp_syn_rejected_silent")
        if tcp.syn_events is not None:
            note_packet(tcp, FILTERED, packet, seg)
        return unbridged if listener.passive else True
    entry = new_entry(tcp, listener, seg)
    path_back(tcp, entry, packet, seg)
    entry.ttl = hop_limit(listener.config.ttl, entry.interface, packet.version == 6)
    entry.tos = listener.config.tos & ~3  # the ECN field is TCP's own
    entry.auth = auth
    entry.syn = syn
    mark_entry(listener.config, entry)
    if syn is not None:
        redirect(tcp, entry, syn)
    if verdict is REJECT_RST:
        stats.count("tcp_syn_rejected_rst")
        if auth is not None and not auth.stateless:
            stats.count("tcp_rst_unsigned")
        elif tcp.rst_limit.allow(tcp):
            note_entry(tcp, FILTERED_RESET, entry)
            send_reset(tcp, entry, seg)
        else:
            note_entry(tcp, RATE, entry)
    elif syn is None or still_wanted(tcp, entry):
        early = seg.cookie_length >= 0 and may_open_early(tcp, listener, entry, packet, seg)
        if tcp.copies is not None and tcp.copies.begin(listener.config, entry) is not None:
            tcp.copies.came(entry, packet)
        if verdict is DEFER:
            defer(tcp, listener, entry, floor)
        elif early:
            prepare(tcp, entry, floor)
            tcp.open_early(entry, packet, seg)
        elif make_room(tcp, listener, entry):
            prepare(tcp, entry, floor)
            file(tcp, entry)
            send_syn_ack(tcp, entry)
        if entry.marks & COPIED and not entry.listed and not entry.deferred:
            tcp.copies.end(entry)  # nothing is kept of it
    return unbridged if listener.passive else True


def mark_entry(config: Config, entry: Entry) -> None:
    """Gives the answers to a SYN what the listener's user has chosen for them."""
    if config.tx_interface is not None:
        entry.interface = config.tx_interface
        entry.marks |= PINNED
    if config.trivial_isn:
        entry.marks |= TRIVIAL_ISN
    if config.mtu_discover == DISCOVER_DONT:
        entry.marks |= FRAGMENTS


def redirect(tcp: Tcp, entry: Entry, syn: Syn) -> None:
    """Gives the answers to a SYN what its filter has chosen for them."""
    if syn.answer_header is not None:
        entry.link_header = tcp.interned.one(syn.answer_header)
    if syn.answer_interface is not None:
        entry.interface = syn.answer_interface
        entry.marks |= PINNED


def keyed_syn(tcp: Tcp, listener: Listener, entry: Entry, packet: Packet, seg: Segment) -> bool:
    """Whether a SYN for a listener with keys is signed as it should be; `entry`, which has the key of its connection,
    gets what signs the answers (None: the peer has no key)."""
    entry.auth = listener.config.keys.signer(entry.raddr_hi, entry.raddr_lo, entry.rport)
    if entry.auth is None:
        if seg.signed and tcp.settings.drop_unexpected_signatures:
            tcp.stats.count("tcp_signature_unexpected")
            return False
        return True
    if not admitted(tcp, entry, packet, seg):
        return False
    if not entry.auth.accept(packet.data, seg):
        tcp.stats.count("tcp_ao_unknown_key")
        return False
    return True


def as_passive(verdict: Verdict) -> Verdict:
    """What a verdict means to a listener that takes part in nothing and sends nothing."""
    if verdict is Verdict.ACCEPT:
        return Verdict.ACCEPT_PASSIVE
    return Verdict.REJECT_SILENT if verdict is Verdict.REJECT_RST else verdict


def may_complain(tcp: Tcp, listener: Listener) -> bool:
    """Whether a listener's filter may write to the log: once a second, or a peer could fill it."""
    if tcp.now < listener.quiet_until:
        return False
    listener.quiet_until = tcp.now + SECOND
    return True


def ask_filter(tcp: Tcp, listener: Listener, syn: Syn) -> Verdict:
    """The filter's verdict, or what it has delivered already if it says DEFER.

    A filter that raises, or answers nonsense, rejects silently, and the log says so.
    """
    assert listener.syn_filter is not None
    syn.asking = True
    try:
        verdict = listener.syn_filter(syn)
        if verdict is Verdict.DEFER and syn.early is not None:
            verdict = syn.early
        if isinstance(verdict, Verdict):
            return verdict
        if may_complain(tcp, listener):
            log.error("SYN filter answered %r for %r: not a Verdict", verdict, syn)
    except Exception:
        if may_complain(tcp, listener):
            log.exception("SYN filter raised for %r", syn)
    finally:
        syn.asking = False
    tcp.stats.count("tcp_syn_filter_error")
    return Verdict.REJECT_SILENT


def still_wanted(tcp: Tcp, entry: SynEntry) -> bool:
    """Whether the filter, which may call anything, has left the listener open and the SYN's tuple free."""
    assert entry.listener is not None and entry.syn is not None
    if not entry.listener.open:
        tcp.tell_gone(entry.syn, "closed")
        return False
    if tcp.table.find(
        entry.cdom, entry.vids, entry.laddr_hi, entry.laddr_lo, entry.lport, entry.raddr_hi, entry.raddr_lo, entry.rport
    ) is not None:
        tcp.stats.count("tcp_syn_dropped")
        tcp.tell_gone(entry.syn, "evicted")
        return False
    return True


def defer(tcp: Tcp, listener: Listener, entry: SynEntry, floor: int) -> None:
    """Holds a SYN until its filter delivers a verdict, the time runs out, or the peer gives up."""
    syn = entry.syn
    assert syn is not None
    if len(listener.deferred) >= tcp.settings.defer_limit:
        tcp.stats.count("tcp_syn_deferred_full")
        note_entry(tcp, DEFERRED_FULL, entry)
        tcp.tell_gone(syn, "evicted")
        return
    prepare(tcp, entry, floor)
    syn.entry = entry
    syn.decide = tcp.decide_deferred
    entry.deferred = True
    tcp.table.insert(entry)
    listener.defer(entry)
    tcp.deferred += 1
    tcp.stats.count("tcp_syn_deferred")
    tcp.wheel.arm(entry, tcp.now + tcp.settings.defer_timeout)


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


def send_syn_ack(tcp: Tcp, entry: SynEntry) -> None:
    """Sends <SEQ=ISS><ACK=IRS+1><CTL=SYN,ACK> and waits for the answer."""
    at = begin(tcp, entry)
    if at >= 0:
        options = at + headers_length(entry)
        tsval = (tcp.now // MILLISECOND + entry.ts_offset) & MASK32
        wscale = entry.rcv_scale if entry.peer_wscale != NO_WSCALE else -1
        size = put_syn_options(
            tcp.scratch, options, mss_within(entry, segment_limit(entry)), wscale, entry.sack, entry.timestamps, tsval,
            entry.tsval,
        )
        if entry.user_timeout > 0 and entry.auth is None and not entry.gives_cookie:
            size += answer_user_timeout(tcp, entry, options + size)
        if entry.gives_cookie and entry.retries == 0:  # an option may be why the first was lost
            size += put_cookie(tcp.scratch, options + size, cookie_for(tcp, entry))
        window = receive_limit(tcp, entry)
        if window > 0xFFFF:
            window = 0xFFFF
        flags = SYN | ACK | ecn_of_syn_ack(entry)
        if entry.ecn_mode == MODE_ACCURATE and entry.retries == 0 and entry.auth is None:
            if size + 12 <= MAX_OPTIONS:
                size += put_first_option(tcp.scratch, options + size)
        transmit(tcp, entry, at, entry.iss, (entry.irs + 1) & MASK32, flags, window, size, EMPTY, 0, 0)
    elif tcp.syn_events is not None:
        note_entry(tcp, UNREACHABLE, entry)
    entry.sent_at = tcp.now
    tcp.wheel.arm(entry, tcp.now + (tcp.settings.rto_initial << entry.retries))


def ecn_of_syn_ack(entry: SynEntry) -> int:
    """The ECN flags of the entry's SYN,ACK. If the second of them was not answered either, something may swallow them:
    the third goes without (RFC 9768, 3.2.3.2.2)."""
    if entry.ecn_mode == MODE_CLASSIC:
        return ECE
    if entry.ecn_mode != MODE_ACCURATE:
        return 0
    if entry.retries >= ACCURATE_TRIES:
        entry.not_ect = True
        return 0
    return HANDSHAKE_ACE[entry.syn_ecn] << ACE_SHIFT


def answer_user_timeout(tcp: Tcp, entry: SynEntry, at: int) -> int:
    """Writes the user timeout option of a SYN,ACK, where the SYN had one and the listener has asked for it; its
    length."""
    if entry.listener is None or not entry.listener.config.user_timeout_option:
        return 0
    return put_user_timeout(tcp.scratch, at, advertised(entry.listener.config, tcp.settings.user_timeout))


def receive_most(tcp: Tcp, entry: SynEntry) -> int:
    """The largest receive buffer that the connection may come to have."""
    listener = entry.listener
    return largest_buffer(listener.config, tcp.settings) if listener is not None else receive_limit(tcp, entry)


def cookie_for(tcp: Tcp, entry: SynEntry) -> bytes:
    """The Fast Open cookie for the entry's peer."""
    keys = entry.listener.config.fast_open_key if entry.listener is not None else b""
    cookie: bytes = tcp.fast_server.make(entry, tcp.now, keys)
    return cookie


def segment_limit(entry: SynEntry) -> int:
    """The listener's limit of segments (TCP_MAXSEG)."""
    listener = entry.listener
    return listener.config.max_segment if listener is not None else 0


def receive_limit(tcp: Tcp, entry: SynEntry) -> int:
    """The receive buffer that the connection will begin with."""
    listener = entry.listener
    return first_window(listener.config) if listener is not None else tcp.settings.receive_buffer


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


def challenge(tcp: Tcp, entry: SynEntry) -> None:
    """An ACK that tells the peer where we are."""
    if (entry.challenged_at and tcp.now - entry.challenged_at < SECOND // 2) or not tcp.rst_limit.allow(tcp):
        tcp.stats.count("tcp_challenge_ack_limited")
        return
    entry.challenged_at = tcp.now
    at = begin(tcp, entry)
    if at < 0:
        return
    tcp.stats.count("tcp_challenge_ack")
    window = (min(receive_limit(tcp, entry), 0xFFFF) + (1 << entry.rcv_scale) - 1) >> entry.rcv_scale
    transmit(tcp, entry, at, (entry.iss + 1) & MASK32, (entry.irs + 1) & MASK32, ACK, window, 0, b"", 0, 0)


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


def entry_due(tcp: Tcp, entry: SynEntry) -> None:
    """The entry's timer: the SYN,ACK goes again, or the entry has waited long enough."""
    if entry.deferred:
        tcp.stats.count("tcp_syn_deferred_timeout")
        drop(tcp, entry, "timeout")
    elif entry.retries >= tcp.settings.syn_ack_retries:
        tcp.stats.count("tcp_syncache_timeout")
        drop(tcp, entry, "timeout")
    else:
        entry.retries += 1
        tcp.stats.count("tcp_retransmit")
        send_syn_ack(tcp, entry)


def decide(tcp: Tcp, entry: SynEntry, verdict: Verdict) -> None:
    """The verdict on a deferred SYN has come."""
    listener = entry.listener
    syn = entry.syn
    assert listener is not None and syn is not None
    bridge = syn.interface.bridge  # the entry's interface may be another, by which we answer
    kept = entry.kept
    unfile(tcp, entry)
    syn.entry = None
    if listener.passive:
        verdict = as_passive(verdict)
    redirect(tcp, entry, syn)
    if verdict is ACCEPT:
        if make_room(tcp, listener, entry):
            entry.listener = listener
            file(tcp, entry)
            send_syn_ack(tcp, entry)
        elif entry.marks & COPIED:
            tcp.copies.end(entry)
        return
    entry.syn = None
    if entry.marks & COPIED:
        tcp.copies.end(entry)
    if verdict is ACCEPT_PASSIVE:
        watch(tcp, listener, syn.interface, syn, kept)
    elif verdict is REJECT_RST:
        tcp.stats.count("tcp_syn_rejected_rst")
        note_entry(tcp, FILTERED_RESET, entry)
        reject(tcp, entry)
    elif verdict is BRIDGE and bridge is not None and not listener.passive:
        tcp.stats.count("link_bridged")
        bridge.transmit(syn.original)
    else:
        tcp.stats.count("tcp_syn_rejected_silent")
        note_entry(tcp, FILTERED, entry)


def watch(tcp: Tcp, listener: Listener, interface: Interface, syn: Syn, kept: list[Frame] | None) -> None:
    """Watches the connection of a SYN that was deferred, from the SYN on, and lets it pass if it was held back."""
    if interface.bridge is not None and not listener.passive:
        tcp.stats.count("link_bridged")
        interface.bridge.transmit(syn.original)
    watching = tcp.watching()
    found = watching.parsed(interface, syn.original)
    if found is not None and watching.start(listener, found[0], found[1], syn):
        for frame in kept or ():
            watching.replay(interface, frame)


def reject(tcp: Tcp, entry: SynEntry) -> None:
    """Answers a deferred SYN with a RST. With TCP-AO there is none that the peer could check: it knows no ISN of
    ours."""
    if entry.auth is not None and not entry.auth.stateless:
        tcp.stats.count("tcp_rst_unsigned")
        return
    at = begin(tcp, entry)
    if at >= 0:
        tcp.stats.count("tcp_rst_out")
        transmit(tcp, entry, at, 0, (entry.irs + 1) & MASK32, RST | ACK, 0, 0, b"", 0, 0)
