"""SYNs of strangers: what becomes of each, by its listener's backlog, keys and filter.

An answer makes a half-open connection (`syn_cache`), whose last ACK (`half_open`) makes the connection; only a listener
whose user accepts gets one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uinet.ip.interface import Interface, hop_limit
from uinet.tcp.constants import COPIED
from uinet.tcp.fast_listen import may_open_early
from uinet.tcp.keys import NO_KEYS
from uinet.tcp.listener import NO_QUEUE, Listener
from uinet.tcp.reset import path_back, send_reset
from uinet.tcp.signing import admitted
from uinet.tcp.sound import source_is_sound
from uinet.tcp.syn import Syn
from uinet.tcp.syn_answer import send_syn_ack
from uinet.tcp.syn_cache import SynEntry, file, make_room, mark_entry, new_entry, prepare
from uinet.tcp.syn_events import BACKLOG, FILTERED, FILTERED_RESET, RATE, SIGNATURE, UNSOUND, note_entry, note_packet
from uinet.tcp.syn_filter import as_passive, ask_filter, defer, redirect, still_wanted
from uinet.tcp.table import Entry
from uinet.tcp.verdict import ACCEPT, ACCEPT_PASSIVE, BRIDGE, DEFER, REJECT_RST
from uinet.wire.constants import FIN, RST
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.tcp.protocol import Tcp

WRONG = object()  # see `signer_of`


def syn_arrives(tcp: Tcp, listener: Listener, packet: Packet, seg: Segment, floor: int) -> bool:
    """A SYN for a listener (RFC 9293 3.10.7.2); False if the flow is to be bridged.

    `floor`: the lowest ISN that may be used, or -1: a TIME-WAIT gave way (RFC 6191).
    """
    interface: Interface = packet.interface
    unbridged = interface.bridge is None
    if seg.flags & RST or (seg.flags & FIN and tcp.settings.drop_syn_fin) or not source_is_sound(packet, seg):
        tcp.stats.count("tcp_syn_dropped")
        if tcp.syn_events is not None:
            note_packet(tcp, UNSOUND, packet, seg)
        return unbridged
    auth: Any = None
    if (seg.signed or listener.config.keys is not NO_KEYS) and not listener.passive:
        auth = signer_of(tcp, listener, packet, seg)
        if auth is WRONG:
            return unbridged
    if listener.accepted is not NO_QUEUE and len(listener.accepted) >= listener.backlog:
        tcp.stats.count("passive_overflow" if listener.passive else "tcp_listen_overflow")
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
    if verdict is ACCEPT or verdict is REJECT_RST or verdict is DEFER:
        entry = entry_of(tcp, listener, packet, seg)
        entry.auth = auth
        entry.syn = syn
        if syn is not None:
            redirect(tcp, entry, syn)
        if verdict is REJECT_RST:
            refuse(tcp, entry, seg)
        elif syn is None or still_wanted(tcp, entry):
            take_syn(tcp, listener, entry, packet, seg, verdict is DEFER, floor)
    else:
        tcp.stats.count("tcp_syn_rejected_silent")
        if tcp.syn_events is not None:
            note_packet(tcp, FILTERED, packet, seg)
    return unbridged if listener.passive else True


def entry_of(tcp: Tcp, listener: Listener, packet: Packet, seg: Segment) -> SynEntry:
    """An entry for a SYN, with what its answers need; it is nowhere yet."""
    entry = new_entry(tcp, listener, seg)
    path_back(tcp, entry, packet, seg)
    entry.ttl = hop_limit(listener.config.ttl, entry.interface, packet.version == 6)
    entry.tos = listener.config.tos & ~3  # the ECN field is TCP's own
    mark_entry(listener.config, entry)
    return entry


def refuse(tcp: Tcp, entry: SynEntry, seg: Segment) -> None:
    """Answers a SYN with the RST that its filter wants."""
    tcp.stats.count("tcp_syn_rejected_rst")
    if entry.auth is not None and not entry.auth.stateless:
        tcp.stats.count("tcp_rst_unsigned")
    elif tcp.rst_limit.allow(tcp):
        note_entry(tcp, FILTERED_RESET, entry)
        send_reset(tcp, entry, seg)
    else:
        note_entry(tcp, RATE, entry)


def take_syn(
    tcp: Tcp, listener: Listener, entry: SynEntry, packet: Packet, seg: Segment, deferred: bool, floor: int
) -> None:
    """Answers a SYN that is wanted: with a SYN,ACK, a cookie, a connection where Fast Open allows it, or `deferred`."""
    early = seg.cookie_length >= 0 and may_open_early(tcp, listener, entry, packet, seg)
    if tcp.copies is not None and tcp.copies.begin(listener.config, entry) is not None:
        tcp.copies.came(entry, packet)
    if deferred:
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


def signer_of(tcp: Tcp, listener: Listener, packet: Packet, seg: Segment) -> Any:
    """What signs the answers to a SYN that is signed, or for a listener with keys; None if nothing does, WRONG if it is
    not signed as it should be."""
    if listener.config.keys is NO_KEYS:
        if not tcp.settings.drop_unexpected_signatures:
            return None
        tcp.stats.count("tcp_signature_unexpected")
        note_packet(tcp, SIGNATURE, packet, seg)
        return WRONG
    probe = Entry()
    path_back(tcp, probe, packet, seg)
    if keyed_syn(tcp, listener, probe, packet, seg):
        return probe.auth
    note_entry(tcp, SIGNATURE, probe)
    return WRONG


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
