"""The SYN as a filter sees it, and the verdicts it may answer with (libuinet's SYN filters)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uinet.errors import InvalidArgument
from uinet.ip.interface import Interface
from uinet.tcp.verdict import SynOptions as SynOptions
from uinet.tcp.verdict import Verdict as Verdict
from uinet.units import MILLISECOND
from uinet.wire.addresses import L2Info, Mac, link_header, unpack_address
from uinet.wire.constants import ETHERTYPE_IPV4, ETHERTYPE_IPV6, NO_WSCALE
from uinet.wire.kernels import join, take
from uinet.wire.packet import Packet, is_mapped, l2info_of
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from uinet.tcp.syn_cache import SynEntry

MOST_PATIENCE = 60_000  # ms: no longer than an unanswered SYN is watched


class Syn:
    """A SYN before there is any state for it.

    What it says is taken apart when somebody asks. `context` is the filter's own and becomes `Socket.context` of the
    connection. `frame`: the raw bytes. `on_gone`: called with this object and a word ("reset", "timeout", "evicted",
    "closed"), once and after the batch, if a SYN that the filter has deferred or accepted comes to nothing.
    """

    def __init__(self, packet: Packet, seg: Segment) -> None:
        interface: Interface = packet.interface
        self.interface = interface
        self.cdom = interface.cdom
        self.frame = packet.data
        self.original = packet.frame  # as the device gave it, to be bridged
        self.source_hi = packet.src_hi
        self.source_lo = packet.src_lo
        self.source_port = seg.source_port
        self.destination_hi = packet.dst_hi
        self.destination_lo = packet.dst_lo
        self.destination_port = seg.destination_port
        self.vids = packet.vids
        self.header_end = packet.l3  # of the link header
        self.mss = seg.mss
        self.wscale = seg.wscale
        self.sack_permitted = seg.sack_permitted
        self.has_timestamps = seg.has_timestamps
        self.tsval = seg.tsval
        self.window = seg.window
        self.options_offset = seg.options_offset
        self.options_end = seg.options_end
        self.context: Any = None
        self.on_gone: Callable[[Syn, str], None] | None = None
        self.entry: SynEntry | None = None
        self.decide: Callable[[SynEntry, Verdict], None] | None = None
        self.asking = False  # the filter is being asked
        self.early: Verdict | None = None  # what was delivered meanwhile
        self.active_after = 0  # ns: see `go_active_on_timeout`
        self.patience: Any = None  # the timer of that
        self.answer_header: bytes | None = None  # see `answer`
        self.answer_interface: Interface | None = None

    @property
    def source(self) -> tuple[IPv4Address | IPv6Address, int]:
        """Who opens the connection: address and port."""
        return unpack_address(join(self.source_hi, self.source_lo)), self.source_port

    @property
    def destination(self) -> tuple[IPv4Address | IPv6Address, int]:
        """With whom."""
        return unpack_address(join(self.destination_hi, self.destination_lo)), self.destination_port

    @property
    def link_header(self) -> bytes:
        """The link header, verbatim; empty on layer 3."""
        return take(self.frame, 0, self.header_end)

    @property
    def l2info(self) -> L2Info | None:
        """MACs and VLAN stack; None on layer 3."""
        return l2info_of(self.link_header)

    @property
    def options(self) -> SynOptions:
        """The options of the SYN, and its window."""
        return SynOptions(
            self.mss or None, None if self.wscale == NO_WSCALE else self.wscale, self.sack_permitted,
            self.tsval if self.has_timestamps else None, self.window,
            take(self.frame, self.options_offset, self.options_end - self.options_offset),
        )

    def __repr__(self) -> str:
        source, destination = self.source, self.destination
        return f"<Syn {source[0]}.{source[1]} > {destination[0]}.{destination[1]}>"

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

    def go_active_on_timeout(self, milliseconds: float) -> None:
        """Before ACCEPT_PASSIVE: if whom the SYN asks for has not answered it after so long, we answer in its place,
        and the connection that comes of it is an ordinary one (libuinet's uinet_synfilter_go_active_on_timeout).
        InvalidArgument for what is no time.
        """
        if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float) or not (
            0 < milliseconds <= MOST_PATIENCE
        ):
            raise InvalidArgument(f"{milliseconds!r}: want milliseconds, more than 0 and at most {MOST_PATIENCE}")
        self.active_after = max(1, int(milliseconds * MILLISECOND))

    def answer(self, l2: L2Info | None = None, interface: Interface | None = None) -> None:
        """Before the verdict: what we send of the connection, or the RST, has the MACs (the source is ours) and VLAN
        stack `l2` instead of those of the SYN turned round, and leaves by `interface` instead of the one by which the
        SYN came (libuinet's uinet_synfilter_setl2info and _set_txif). What the peer sends is known by its own tags, as
        ever. Both for SYNs of promiscuous interfaces; InvalidArgument for what can't be sent with.
        """
        own = self.interface
        if not own.promiscuous:
            raise InvalidArgument("on an ordinary interface routes say how to answer: IP_TXIF of the listener chooses")
        if interface is not None and (
            not isinstance(interface, Interface) or not interface.promiscuous or interface.layer != own.layer
        ):
            raise InvalidArgument(f"{interface!r}: want a promiscuous interface of the SYN's layer")
        if l2 is not None:
            if own.layer != 2:
                raise InvalidArgument("there are no MACs and VLANs on layer 3")
            if not isinstance(l2, L2Info) or Mac(l2.destination).is_group:
                raise InvalidArgument(f"{l2!r}: want an L2Info whose destination is one host's MAC")
            mapped = is_mapped(self.source_hi, self.source_lo)
            self.answer_header = link_header(l2, ETHERTYPE_IPV4 if mapped else ETHERTYPE_IPV6)
        if interface is not None:
            self.answer_interface = interface

    def gone(self, why: str) -> None:
        """Tells who asked that this SYN has come to nothing."""
        if self.on_gone is not None:
            told, self.on_gone = self.on_gone, None
            told(self, why)
