"""The SYN as a filter sees it, and the verdicts it may answer with (libuinet's SYN filters)."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from uinet.errors import InvalidArgument
from uinet.wire.addresses import L2Info, join, unpack_address
from uinet.wire.constants import NO_WSCALE
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from uinet.tcp.listen import SynEntry


class Verdict(enum.Enum):
    """What a SYN filter decides."""

    ACCEPT = "accept"  # go on with the handshake
    ACCEPT_PASSIVE = "accept-passive"  # watch the connection without taking part: the accepted socket is passive
    REJECT_RST = "reject-rst"  # answer with a RST
    REJECT_SILENT = "reject-silent"  # drop it without a word
    DEFER = "defer"  # decide later, with Syn.deliver
    BRIDGE = "bridge"  # hand the SYN to the interface's bridge peer, untouched; without one it is dropped


class SynOptions(NamedTuple):
    """The options of a SYN. `mss` and `window_scale` are None, `timestamp` is None, if absent."""

    mss: int | None
    window_scale: int | None
    sack_permitted: bool
    timestamp: int | None
    window: int
    raw: bytes


class Syn:
    """A SYN before there is any state for it.

    `context` is the filter's own and becomes `Socket.context` of the connection. `frame`: the raw bytes. `on_gone`:
    called with this object and a word ("reset", "timeout", "evicted", "closed"), once and after the batch, if a SYN
    that the filter has deferred or accepted comes to nothing.
    """

    def __init__(self, packet: Packet, seg: Segment) -> None:
        self.source: tuple[IPv4Address | IPv6Address, int] = (
            unpack_address(join(packet.src_hi, packet.src_lo)), seg.source_port,
        )
        self.destination: tuple[IPv4Address | IPv6Address, int] = (
            unpack_address(join(packet.dst_hi, packet.dst_lo)), seg.destination_port,
        )
        self.l2info: L2Info | None = packet.l2info
        self.interface: Any = packet.interface
        self.cdom: int = packet.interface.cdom
        self.frame: bytes = packet.data
        self.original = packet.frame  # as the device gave it, to be bridged
        self.options = SynOptions(
            seg.mss or None, None if seg.wscale == NO_WSCALE else seg.wscale, seg.sack_permitted,
            seg.tsval if seg.has_timestamps else None, seg.window,
            packet.data[seg.options_offset : seg.options_end],
        )
        self.context: Any = None
        self.on_gone: Callable[[Syn, str], None] | None = None
        self.entry: SynEntry | None = None
        self.decide: Callable[[SynEntry, Verdict], None] | None = None
        self.asking = False  # the filter is being asked
        self.early: Verdict | None = None  # what was delivered meanwhile

    def __repr__(self) -> str:
        return f"<Syn {self.source[0]}.{self.source[1]} > {self.destination[0]}.{self.destination[1]}>"

    @property
    def waiting(self) -> bool:
        """Whether the SYN is deferred and waits for its verdict."""
        return self.entry is not None and self.entry.deferred

    def deliver(self, verdict: Verdict) -> bool:
        """Decides a deferred SYN, with any verdict but DEFER; False if it no longer waits (it timed out, say).

        A filter may do so before it returns DEFER. InvalidArgument for what is no such verdict.
        """
        if verdict is Verdict.DEFER or not isinstance(verdict, Verdict):
            raise InvalidArgument(f"{verdict!r} does not decide a deferred SYN")
        if self.asking and self.early is None:
            self.early = verdict
            return True
        if self.entry is None or not self.entry.deferred or self.decide is None:
            return False
        self.decide(self.entry, verdict)
        return True

    def gone(self, why: str) -> None:
        """Tells who asked that this SYN has come to nothing."""
        if self.on_gone is not None:
            told, self.on_gone = self.on_gone, None
            told(self, why)
