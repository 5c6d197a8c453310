"""What happens to SYNs and half-open connections, told to who asks (`Stack.on_syn_event`).

While nobody does `Context.syn_events` is None, and that is all it costs. A flood can't make more of it than a bounded
list for each batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from uinet.tcp.context import Context
from uinet.tcp.reset import path_back
from uinet.tcp.table import Entry
from uinet.wire.addresses import IPAddress, L2Info, unpack_address
from uinet.wire.kernels import join
from uinet.wire.packet import Packet, l2info_of
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.ip.interface import Interface

MOST = 4096  # events of one batch; more are only counted (syn_events_lost)

# SYNs
UNSOUND = "unsound"  # its flags, or where it comes from: no listener takes such
SIGNATURE = "signature"  # not signed, or not as it should be
BACKLOG = "backlog"  # too many connections wait to be accepted, or the SYN cache is full of other listeners'
FILTERED = "filtered"  # the SYN filter rejected it silently, or raised
FILTERED_RESET = "filtered-reset"  # with a RST
RATE = "rate"  # a RST that the filter asked for was not sent: more than net.inet.tcp.rst_rate
DEFERRED_FULL = "deferred-full"  # too many SYNs wait for their verdict
UNREACHABLE = "unreachable"  # there is no way back to who has sent it
COOKIE_SENT = "cookie-sent"  # nothing is kept of it: the SYN,ACK is a cookie
# ACKs of nothing that is kept
COOKIE_ACCEPTED = "cookie-accepted"
COOKIE_BAD = "cookie-bad"
# half-open connections
EVICTED = "evicted"  # a newer one took its place
RESET = "reset"  # by who has begun it
TIMEOUT = "timeout"  # its SYN,ACKs were not answered, or its filter did not decide in time
CLOSED = "closed"  # the listener was closed
BAD_ACK = "bad-ack"  # an ACK that acknowledges something else, or is out of the window: not the end of it

REASONS: dict[str, str] = {
    UNSOUND: "the SYN's flags, or its source: no listener takes such",
    SIGNATURE: "the SYN is not signed as its listener wants",
    BACKLOG: "too many connections wait to be accepted, or the SYN cache is full",
    FILTERED: "the SYN filter rejected it silently, or raised",
    FILTERED_RESET: "the SYN filter rejected it with a RST",
    RATE: "the RST that the filter asked for was over the rate limit",
    DEFERRED_FULL: "too many SYNs wait for their verdict",
    UNREACHABLE: "there is no way back to who sent the SYN",
    COOKIE_SENT: "the SYN was answered with a cookie",
    COOKIE_ACCEPTED: "an ACK brought a good cookie: a connection",
    COOKIE_BAD: "an ACK brought a bad cookie",
    EVICTED: "a half-open connection gave way to a newer one",
    RESET: "who began the handshake reset it",
    TIMEOUT: "the handshake timed out, or its filter did not decide in time",
    CLOSED: "the listener was closed",
    BAD_ACK: "an ACK that does not complete the handshake",
}


class SynEvent(NamedTuple):
    """`reason`: one of `REASONS`. `source`, `destination`: (address, port) of who sent the SYN and whom it asked for.
    `l2info`: MACs and VLAN stack of what it sent, None on layer 3 and on ordinary interfaces. `time`: ns."""

    reason: str
    source: tuple[IPAddress, int]
    destination: tuple[IPAddress, int]
    interface: Interface | None
    l2info: L2Info | None
    time: int

    def __str__(self) -> str:
        return (
            f"{self.reason}: {self.source[0]}.{self.source[1]} > {self.destination[0]}.{self.destination[1]}"
        )


def note_entry(context: Context, reason: str, entry: Entry) -> None:
    """Something has happened to the SYN or half-open connection with the key of `entry`."""
    events = context.syn_events
    if events is None:
        return
    if len(events) >= MOST:
        context.stats.count("syn_events_lost")
        return
    info = l2info_of(entry.link_header) if entry.link_header else None
    events.append(SynEvent(
        reason, (unpack_address(join(entry.raddr_hi, entry.raddr_lo)), entry.rport),
        (unpack_address(join(entry.laddr_hi, entry.laddr_lo)), entry.lport), entry.interface,
        info.reversed() if info is not None else None, context.now,
    ))


def note_packet(context: Context, reason: str, packet: Packet, seg: Segment) -> None:
    """The same, of a segment for which there is no entry."""
    if context.syn_events is not None:
        entry = Entry()
        path_back(context, entry, packet, seg)
        note_entry(context, reason, entry)
