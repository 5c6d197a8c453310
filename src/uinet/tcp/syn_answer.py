"""What is sent of a half-open connection: SYN,ACK, again when it is not answered, challenge ACK, RST."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.tcp.accecn import HANDSHAKE_ACE
from uinet.tcp.constants import MODE_ACCURATE, MODE_CLASSIC
from uinet.tcp.fast_open import put_cookie
from uinet.tcp.feedback import put_first_option
from uinet.tcp.layout import begin, headers_length, mss_within, put_syn_options, transmit
from uinet.tcp.syn_cache import SynEntry, drop, receive_limit, segment_limit
from uinet.tcp.syn_events import UNREACHABLE, note_entry
from uinet.tcp.user_timeout import advertised, put_user_timeout
from uinet.units import MASK32, MILLISECOND, SECOND
from uinet.wire.constants import ACE_SHIFT, ACK, ECE, NO_WSCALE, RST, SYN

if TYPE_CHECKING:
    from uinet.tcp.protocol import Tcp

ACCURATE_TRIES = 2  # SYN,ACKs with accurate ECN, before others are tried
MAX_OPTIONS = 40
EMPTY = b""


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


def cookie_for(tcp: Tcp, entry: SynEntry) -> bytes:
    """The Fast Open cookie for the entry's peer."""
    keys = entry.listener.config.fast_open_key if entry.listener is not None else b""
    cookie: bytes = tcp.fast_server.make(entry, tcp.now, keys)
    return cookie


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
