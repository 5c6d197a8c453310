"""SYN filters: what they are asked, SYNs that wait for their verdict, and the verdict that comes later."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from uinet.ip.interface import Interface
from uinet.tcp.constants import COPIED, PINNED
from uinet.tcp.listener import Listener
from uinet.tcp.syn import Syn, Verdict
from uinet.tcp.syn_answer import reject, send_syn_ack
from uinet.tcp.syn_cache import SynEntry, file, make_room, prepare, unfile
from uinet.tcp.syn_events import DEFERRED_FULL, FILTERED, FILTERED_RESET, note_entry
from uinet.tcp.table import Entry
from uinet.tcp.verdict import ACCEPT, ACCEPT_PASSIVE, BRIDGE, REJECT_RST
from uinet.units import SECOND
from uinet.wire.frame import Frame

if TYPE_CHECKING:
    from uinet.tcp.protocol import Tcp

log = logging.getLogger("uinet")


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


def redirect(tcp: Tcp, entry: Entry, syn: Syn) -> None:
    """Gives the answers to a SYN what its filter has chosen for them."""
    if syn.answer_header is not None:
        entry.link_header = tcp.interned.one(syn.answer_header)
    if syn.answer_interface is not None:
        entry.interface = syn.answer_interface
        entry.marks |= PINNED


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
