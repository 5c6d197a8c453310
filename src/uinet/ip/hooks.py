"""First looks and packet filters: a program's hands on the frames of an interface, before the stack and behind it.

Both see a batch at a time, at its edge: what comes in before the first of it is taken in, what goes out when the driver
fetches it. Nothing of the stack is half done then, so they may call anything. An interface without them pays one test
for each batch.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any

from uinet.errors import InvalidArgument
from uinet.units import SECOND
from uinet.wire.addresses import IPAddress, L2Info, unpack_address
from uinet.wire.checksums import CHECKSUM_AT, fill_packet, pseudo_header
from uinet.wire.constants import ETHERTYPE_IPV4, ETHERTYPE_IPV6, PROTO_TCP, PROTO_UDP
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, Frame, gathered
from uinet.wire.kernels import load_u16
from uinet.wire.packet import Packet

if TYPE_CHECKING:
    from uinet.ip.interface import Interface

log = logging.getLogger("uinet")


class Mark(Enum):
    """What becomes of a frame or a packet."""

    STACK = "stack"  # goes on its way: into the stack, or, going out, to the device
    BRIDGE = "bridge"  # goes out by the interface's bridge peer; dropped if there is none
    DROP = "drop"


class FrameBatch:
    """What came in by `interface` at `now` (ns, of the stack), for a first look.

    `frames` may be replaced one by one. `marks`: what becomes of each: a :class:`Mark`, another interface by which it
    goes out, or a tuple of several of these (a copy for each); STACK to begin with.
    """

    __slots__ = ("frames", "interface", "marks", "now")

    def __init__(self, interface: Interface, frames: list[Frame], now: int) -> None:
        self.interface = interface
        self.frames = frames
        self.now = now
        self.marks: list[Any] = [Mark.STACK] * len(frames)

    def __len__(self) -> int:
        return len(self.frames)


class FilteredPacket:
    """An IP packet on its way through `interface`, as a packet filter sees it.

    `outbound`: it is about to leave. `frame`: the whole frame, its link header included; what stands for several
    segments has a `gso_size`. `fragment`: it is not a whole datagram.
    """

    __slots__ = ("_packet", "frame", "interface", "outbound")

    def __init__(self, interface: Interface, packet: Packet, outbound: bool) -> None:
        self.interface = interface
        self.outbound = outbound
        self.frame = packet.frame
        self._packet = packet

    @property
    def data(self) -> bytes:
        """The packet, from its IP header on, without link padding."""
        return self._packet.data[self._packet.l3 : self._packet.end]

    @property
    def link_header(self) -> bytes:
        """The link header, verbatim; empty on layer 3."""
        return self._packet.link_header

    @property
    def l2info(self) -> L2Info | None:
        """MACs and VLAN stack; None on layer 3."""
        return self._packet.l2info

    @property
    def version(self) -> int:
        """4 or 6."""
        return self._packet.version

    @property
    def protocol(self) -> int:
        """The number of the protocol in the IP header; of IPv6 that of the first extension header, if there is one."""
        return self._packet.proto

    @property
    def fragment(self) -> bool:
        """Whether it is an IPv4 fragment."""
        return bool(self._packet.fragment)

    @property
    def source(self) -> IPAddress:
        """The source address."""
        return unpack_address(self._packet.src)

    @property
    def destination(self) -> IPAddress:
        """The destination address."""
        return unpack_address(self._packet.dst)

    @property
    def ports(self) -> tuple[int, int]:
        """Source and destination port of TCP and UDP; zeros of anything else, and of fragments."""
        packet = self._packet
        if packet.fragment or packet.proto not in (PROTO_TCP, PROTO_UDP) or packet.end < packet.l4 + 4:
            return 0, 0
        return load_u16(packet.data, packet.l4), load_u16(packet.data, packet.l4 + 2)


FirstLook = Callable[[FrameBatch], object]
PacketFilter = Callable[[FilteredPacket], "Mark | bytes | Frame | None"]


class Hooks:
    """What looks at the frames of one interface.

    `first_look`: see :class:`FrameBatch`. `filters`: this interface's own; those of the whole stack
    (`Network.filters`) come before them on the way in, and after them on the way out. `stamps`: frames whose device
    tells no time get the stack's. `taken`, `taken_bytes`: of the batch that came last, what the stack will not see.
    """

    def __init__(self, interface: Interface) -> None:
        self.interface = interface
        self.first_look: FirstLook | None = None
        self.filters: list[PacketFilter] = []
        self.stamps = False
        self.taken = 0
        self.taken_bytes = 0
        self._exempt: dict[int, Frame] = {}  # injected, waiting, by identity: the way out does not look at them
        self._packet = Packet()
        self._quiet_until = 0

    @property
    def idle(self) -> bool:
        """Whether nothing looks."""
        return (
            self.first_look is None and not self.filters and not self.stamps and not self._exempt
            and not self.interface.network.filters
        )

    # the way in

    def incoming(self, frames: Iterable[Frame], now: int) -> list[Frame]:
        """What of `frames` is for the stack."""
        before = [gathered(frame) for frame in frames]
        if self.stamps:
            stamp = now + self.interface.network.epoch
            for frame in before:
                if frame.time == 0:
                    frame.time = stamp
        after = before if self.first_look is None else self._look(self.first_look, before, now)
        if self.filters or self.interface.network.filters:
            after = self._filter(after, [*self.interface.network.filters, *self.filters], False)
        self.taken = len(before) - len(after)
        self.taken_bytes = 0
        if self.taken:
            self.taken_bytes = max(0, sum(map(len, before)) - sum(map(len, after)))
        return after

    def _look(self, handler: FirstLook, frames: list[Frame], now: int) -> list[Frame]:
        stats = self.interface.network.stats
        batch = FrameBatch(self.interface, frames.copy(), now)
        try:
            handler(batch)
        except Exception:
            self._complain("first look of %s raised: its batch is dropped", self.interface.name)
            stats.count("first_look_error")
            stats.count("first_look_dropped", len(frames))
            return []
        if len(batch.marks) != len(batch.frames):
            self._complain("first look of %s: %d marks for %d frames: the batch is dropped", self.interface.name,
                           len(batch.marks), len(batch.frames))
            stats.count("first_look_error")
            stats.count("first_look_dropped", len(frames))
            return []
        kept: list[Frame] = []
        for item, mark in zip(batch.frames, batch.marks, strict=True):
            frame = sound(item)
            if frame is None:
                self._complain("first look of %s left %r in its batch: dropped", self.interface.name, item)
                stats.count("first_look_error")
                stats.count("first_look_dropped")
                continue
            for one in mark if isinstance(mark, (tuple, list)) else (mark,):
                self._obey(frame, one, kept)
        return kept

    def _obey(self, frame: Frame, mark: object, kept: list[Frame]) -> None:
        """Does with a frame what its mark says."""
        stats = self.interface.network.stats
        if mark is Mark.STACK:
            kept.append(frame)
        elif mark is Mark.DROP:
            stats.count("first_look_dropped")
        elif mark is Mark.BRIDGE:
            if self.interface.bridge is None:
                stats.count("first_look_dropped")
            else:
                stats.count("link_bridged")
                self.interface.bridge.transmit(frame)
        elif is_peer(self.interface, mark):
            stats.count("first_look_sent")
            mark.transmit(frame)  # type: ignore[attr-defined]
        else:
            self._complain("first look of %s: %r is no mark: the frame is dropped", self.interface.name, mark)
            stats.count("first_look_error")
            stats.count("first_look_dropped")

    # the way out

    def exempt(self, frame: Frame) -> None:
        """`frame`, which is about to be queued, goes out without being looked at."""
        self._exempt[id(frame)] = frame

    def outgoing(self, frames: list[Frame]) -> list[Frame]:
        """What of `frames` goes to the device."""
        network = self.interface.network
        if not self.filters and not network.filters:
            for frame in frames:
                self._exempt.pop(id(frame), None)
            return frames
        hooks = [*reversed(self.filters), *reversed(network.filters)]
        octets = sum(map(len, frames))
        sent: list[Frame] = []
        for frame in frames:
            if self._exempt.pop(id(frame), None) is not None:
                sent.append(frame)
            else:
                sent += self._filter([gathered(frame)], hooks, True)
        interface = self.interface
        interface.tx_frames = max(interface.counted_frames, interface.tx_frames + len(sent) - len(frames))
        interface.tx_bytes = max(interface.counted_bytes, interface.tx_bytes + sum(map(len, sent)) - octets)
        return sent

    # filters

    def _filter(self, frames: list[Frame], hooks: list[PacketFilter], outbound: bool) -> list[Frame]:
        """The frames that pass, as the filters have made them. What carries no sound IP packet passes unseen."""
        passed: list[Frame] = []
        for frame in frames:
            current: Frame | None = frame
            for hook in hooks:
                if current is None or not self._parse(current, outbound):
                    break
                current = self._ask(hook, current, outbound)
            if current is not None:
                passed.append(current)
        return passed

    def _parse(self, frame: Frame, outbound: bool) -> bool:
        """Whether a frame has an IP packet that is for a filter to see; `_packet` has it then."""
        packet, interface = self._packet, self.interface
        packet.interface = interface
        if packet.parse_link(frame, interface.layer):
            return False
        if not outbound and not interface.promiscuous and interface.layer == 2:
            if packet.tags or not packet.for_me(interface.mac):
                return False  # not for this host: the stack will say so
        if packet.ethertype == ETHERTYPE_IPV4:
            return packet.parse_ipv4() == 0
        return packet.ethertype == ETHERTYPE_IPV6 and packet.parse_ipv6() == 0

    def _ask(self, hook: PacketFilter, frame: Frame, outbound: bool) -> Frame | None:
        """What a filter leaves of a frame; None if it drops it, or raises, or answers nonsense."""
        stats = self.interface.network.stats
        try:
            answer = hook(FilteredPacket(self.interface, self._packet, outbound))
        except Exception:
            self._complain("packet filter of %s raised: its packet is dropped", self.interface.name)
            stats.count("filter_error")
            return None
        if answer is None or answer is Mark.STACK:
            return frame
        if isinstance(answer, Frame) and sound(answer) is not None:
            stats.count("filter_replaced")
            return gathered(answer)
        if isinstance(answer, (bytes, bytearray, memoryview)):
            stats.count("filter_replaced")
            return replaced(frame, self._packet.link_header, bytes(answer))
        if answer is not Mark.DROP:
            self._complain("packet filter of %s answered %r: its packet is dropped", self.interface.name, answer)
            stats.count("filter_error")
            return None
        stats.count("filter_dropped_out" if outbound else "filter_dropped_in")
        return None

    def _complain(self, text: str, *arguments: object) -> None:
        """Writes to the log, once a second at most: peers decide how often there is something to say."""
        now = self.interface.network.now
        if now >= self._quiet_until:
            self._quiet_until = now + SECOND
            log.error(text, *arguments, exc_info=sys.exc_info()[0] is not None)


def replaced(frame: Frame, link_header: bytes, packet: bytes) -> Frame:
    """`packet` in the place of the one in `frame`, its checksums computed: those of a large frame as far as who cuts it
    wants them."""
    whole = fill_packet(packet)
    state, segment = CHECKSUM_UNKNOWN, 0
    if frame.gso_size and len(packet) > frame.gso_size:
        state, segment = CHECKSUM_NEEDED, frame.gso_size
        whole = unfinished(whole)
    if link_header and whole[:1]:
        link_header = link_header[:-2] + (b"\x86\xdd" if whole[0] >> 4 == 6 else b"\x08\x00")
    return Frame(link_header + whole, state, segment, frame.time)


def unfinished(packet: bytes) -> bytes:
    """An IP packet whose transport checksum is only the sum of its pseudo header: the rest is for who cuts it."""
    parsed = Packet()
    if parsed.parse_link(Frame(packet), 3):
        return packet
    if parsed.parse_ipv4() if parsed.ethertype == ETHERTYPE_IPV4 else parsed.parse_ipv6():
        return packet
    field = CHECKSUM_AT.get(parsed.proto)
    if field is None or parsed.l4 + field + 2 > parsed.end:
        return packet
    value = pseudo_header(parsed.src, parsed.dst, parsed.proto, parsed.end - parsed.l4)
    at = parsed.l4 + field
    return packet[:at] + value.to_bytes(2, "big") + packet[at + 2 :]


def sound(item: object) -> Frame | None:
    """A frame that may go on, from what a handler has left: a Frame, or the bytes of one."""
    if isinstance(item, Frame):
        whole = gathered(item)
        return whole if type(whole.data) is bytes else None
    return Frame(bytes(item)) if isinstance(item, (bytes, bytearray, memoryview)) else None


def is_peer(interface: Interface, other: object) -> bool:
    """Whether frames of `interface` can go out by `other`: an interface of the same stack and layer."""
    return (
        isinstance(other, type(interface)) and other.network is interface.network and other.layer == interface.layer
        and not other.loopback
    )


def check_handler(what: str, handler: object) -> None:
    """InvalidArgument for what can't be called."""
    if handler is not None and not callable(handler):
        raise InvalidArgument(f"{what} is {handler!r}: want a callable, or None")
