"""Answers to segments that belong to no connection (RFC 9293 3.10.7.1), and the way back to whoever sent one."""

from __future__ import annotations

from typing import Any

from uinet.tcp.context import Context
from uinet.tcp.layout import begin, transmit
from uinet.tcp.table import Entry
from uinet.wire.constants import ACK, FIN, RST, SYN
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

SECOND = 1_000_000_000


def path_back(context: Context, entry: Entry, packet: Packet, seg: Segment) -> None:
    """Gives `entry` the key and path of the connection that `seg` would belong to, as seen from here.

    On a promiscuous interface the answer takes the segment's own link header with the MACs exchanged.
    """
    interface = packet.interface
    context.table.set_key(
        entry, interface.cdom, packet.vids, packet.dst_hi, packet.dst_lo, seg.destination_port, packet.src_hi,
        packet.src_lo, seg.source_port,
    )
    entry.interface = interface
    if interface.promiscuous:
        entry.link_header = packet.reply_header()


class RstLimit:
    """A token bucket for RSTs to strangers: `Settings.rst_rate` a second, as many in a burst."""

    def __init__(self) -> None:
        self.tokens = -1
        self.filled_at = 0

    def allow(self, context: Context) -> bool:
        """Whether one more may go out now."""
        rate = context.settings.rst_rate
        if self.tokens < 0:
            self.tokens = rate
            self.filled_at = context.now
        gained = (context.now - self.filled_at) * rate // SECOND
        if gained > 0:
            self.tokens = min(rate, self.tokens + gained)
            self.filled_at = context.now
        if self.tokens == 0:
            context.stats.count("tcp_rst_rate_limited")
            return False
        self.tokens -= 1
        return True


def reset_for(context: Context, packet: Packet, seg: Segment, auth: Any = None) -> None:
    """Sends the RST that `seg`, which is not acceptable, calls for; none for a RST. `auth`: what signs it."""
    if seg.flags & RST or not context.rst_limit.allow(context):
        return
    entry = Entry()
    path_back(context, entry, packet, seg)
    entry.auth = auth
    send_reset(context, entry, seg)


def send_reset(context: Context, entry: Entry, seg: Segment) -> None:
    """Sends a RST along `entry` in answer to `seg` (RFC 9293 3.10.7.1)."""
    at = begin(context, entry)
    if at < 0:
        return
    context.stats.count("tcp_rst_out")
    if seg.flags & ACK:
        transmit(context, entry, at, seg.ack, 0, RST, 0, 0, b"", 0, 0)
        return
    length = seg.length + (1 if seg.flags & SYN else 0) + (1 if seg.flags & FIN else 0)
    transmit(context, entry, at, 0, (seg.seq + length) & 0xFFFFFFFF, RST | ACK, 0, 0, b"", 0, 0)
