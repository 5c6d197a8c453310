"""Copies of flows: each packet of a connection, as it came and went, to an interface or to who else takes them.

A connection is copied, or *maybe* is: then its packets are kept, so many bytes of them at most, until somebody decides.
`Entry.marks` has a bit for each direction, and that is all that other connections pay. The state of a connection is in
its extras; that of an entry that has none (of the SYN cache, or a watched direction) is here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from uinet.errors import InvalidArgument
from uinet.ip.interface import Interface
from uinet.ip.neighbors import NextHop
from uinet.tcp.constants import COPIED, COPY_RX, COPY_TX
from uinet.tcp.table import Entry
from uinet.tcp.tcb import Tcb
from uinet.wire.addresses import IPAddress, unpack_address
from uinet.wire.frame import Frame, gathered
from uinet.wire.kernels import join
from uinet.wire.packet import Packet, is_mapped

if TYPE_CHECKING:
    from uinet.tcp.config import Config
    from uinet.tcp.context import Context

OFF = 0
MAYBE = 1
ON = 2
MODES = {OFF: "off", MAYBE: "maybe", ON: "on"}
RX = 4
TX = 8
BOTH = RX | TX
COST = 128  # bytes that a kept packet takes beside its own

log = logging.getLogger("uinet")


class CopyTarget(Protocol):
    """What takes the packets of copied flows. None of these may call into the stack; one that raises ends the copy of
    its flow."""

    def packet(self, flow: FlowCopy, frame: Frame, outbound: bool) -> object:
        """The flow's next packet, as it came from the link or went there: `frame.time` is when (ns since 1970, or on
        the stack's clock if nobody has said what its times are); its checksum may be unfinished. `flow.missing`
        packets before it are not there."""

    def end(self, flow: FlowCopy) -> object:
        """The flow is over, or its copy is."""


class FlowCopy:
    """The copy of one flow.

    `mode`: OFF, MAYBE or ON; `directions`: RX, TX or both. `target`: a `CopyTarget`. `limit`: bytes after which it
    ends, 0 for none. `serial`: the connection's number (IP_SERIALNO), 0 until it has one: nothing is copied before
    that. `packets`, `bytes`: copied so far. `held_bytes`: kept for the decision. `missing`: packets that were not kept,
    since the last one copied. `layer`: of its frames. `passive_open`: the peer, `remote`, has begun it; of a watched
    one too.
    """

    def __init__(self, entry: Entry, mode: int, limit: int, target: CopyTarget) -> None:
        self.mode = mode & (MAYBE | ON)
        self.directions = mode & BOTH or BOTH
        self.limit = limit
        self.target = target
        self.serial = 0
        self.packets = 0
        self.bytes = 0
        self.missing = 0
        self.held: list[tuple[Frame, bool]] = []
        self.held_bytes = 0
        self.over = False
        self.began = False  # the target has heard of it
        self.passive_open = True
        self.watched = False
        self.note: Any = None  # the target's own
        self.interface = entry.interface
        self.layer = entry.interface.layer if entry.interface is not None else 2
        self.vids = entry.vids
        self.cdom = entry.cdom
        self._addresses = (entry.laddr_hi, entry.laddr_lo, entry.raddr_hi, entry.raddr_lo)
        self.local_port = entry.lport
        self.remote_port = entry.rport

    @property
    def local(self) -> IPAddress:
        """Our address; of a watched flow, that of who got the SYN."""
        return unpack_address(join(*self._addresses[:2]))

    @property
    def remote(self) -> IPAddress:
        """The peer's."""
        return unpack_address(join(*self._addresses[2:]))

    def __repr__(self) -> str:
        ends = f"{self.local}.{self.local_port} {self.remote}.{self.remote_port}"
        return f"<FlowCopy {self.serial} {ends} {MODES[self.mode]}>"


class Copies:
    """The copies of a stack.

    `plan`: (mode, limit, target) of every new connection whose socket says nothing else, or None. `held_bytes`: kept of
    all flows. `count`: flows that are copied, or maybe.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.plan: tuple[int, int, CopyTarget] | None = None
        self.held_bytes = 0
        self.count = 0
        self.entries: dict[Entry, FlowCopy] = {}  # of what has no extras

    # which flows

    def wanted(self, config: Config) -> tuple[int, int, CopyTarget] | None:
        """What a connection with that configuration is to be copied with; None if it is not."""
        if config.copy_mode < 0:
            return self.plan
        if config.copy_mode & (MAYBE | ON) and config.copy_target is not None:
            return config.copy_mode, config.copy_limit, as_target(config.copy_target)
        return None

    def begin(self, config: Config, entry: Entry) -> FlowCopy | None:
        """A connection begins, its key and path are set: whether and how it is copied."""
        wanted = self.wanted(config)
        if wanted is None or not wanted[0] & (MAYBE | ON):
            return None
        return self._attach(entry, FlowCopy(entry, *wanted))

    def _attach(self, entry: Entry, flow: FlowCopy) -> FlowCopy:
        self.count += 1
        self.context.stats.count("copy_flows")
        self._put(entry, flow)
        return flow

    def _put(self, entry: Entry, flow: FlowCopy) -> None:
        if isinstance(entry, Tcb):
            entry.more().copy = flow
        else:
            self.entries[entry] = flow
        marks = (COPY_RX if flow.directions & RX else 0) | (COPY_TX if flow.directions & TX else 0)
        entry.marks = (entry.marks & ~COPIED) | marks

    def of(self, entry: Entry) -> FlowCopy | None:
        """The copy of a connection, if there is one."""
        if isinstance(entry, Tcb):
            return entry.extras.copy if entry.extras is not None else None
        return self.entries.get(entry)

    def adopt(self, entry: Entry, tcb: Tcb) -> None:
        """A half-open connection has become one."""
        flow = self.entries.pop(entry, None)
        entry.marks &= ~COPIED
        if flow is not None:
            self._put(tcb, flow)

    def share(self, entry: Entry, other: Entry) -> None:
        """The other direction of a watched connection, that of `entry`, is copied with it."""
        flow = self.of(entry)
        if flow is not None:
            flow.watched = True
            self._put(other, flow)

    def named(self, entry: Entry, serial: int, passive_open: bool) -> None:
        """A connection has got its number: what was kept because it had none goes out."""
        flow = self.of(entry)
        if flow is not None:
            flow.serial = serial
            flow.passive_open = passive_open
            if flow.mode == ON:
                self._release(flow, entry)

    def choose(self, entry: Entry, config: Config, attribute: str, serial: int, passive_open: bool) -> None:
        """The user has set one of the options, `attribute`, of a connection that is there. Once packets were copied
        their target stays, and so does ON, but for OFF."""
        flow = self.of(entry)
        chosen = max(OFF, config.copy_mode)
        mode = chosen & (MAYBE | ON)
        if flow is None:
            if mode and config.copy_target is not None:
                flow = self.begin(config, entry)
                assert flow is not None
                flow.serial = serial
                flow.passive_open = passive_open
        elif attribute == "copy_limit":
            flow.limit = config.copy_limit
        elif attribute == "copy_target":
            if not flow.began and config.copy_target is not None:
                flow.target = as_target(config.copy_target)
        elif mode == OFF:
            self.end(entry)
        else:
            flow.directions = chosen & BOTH or flow.directions
            self._put(entry, flow)
            if mode != flow.mode and not flow.began:
                flow.mode = mode
                if mode == ON and flow.serial:
                    self._release(flow, entry)

    def mode_of(self, entry: Entry) -> int:
        """IP_COPY_MODE as it is now."""
        flow = self.of(entry)
        return OFF if flow is None else flow.mode | flow.directions

    # packets

    def came(self, entry: Entry, packet: Packet) -> None:
        """A segment of a connection has come."""
        flow = self.of(entry)
        if flow is None or not flow.directions & RX:
            return
        frame = gathered(packet.frame)
        size = packet.end if packet.end < len(frame.data) else len(frame.data)  # less the link's padding
        data = frame.data[:size]
        self._take(flow, entry, Frame(data, frame.checksum, frame.gso_size, frame.time or self._now()), False)

    def sent(self, entry: Entry, frame: Frame, hop: NextHop | None) -> None:
        """A segment of a connection is sent. `hop`: whose link header it does not have yet."""
        flow = self.of(entry)
        if flow is None:
            return
        data = frame.data
        if hop is not None and entry.interface is not None and entry.interface.layer == 2:
            header = hop.link_header
            if header is None:  # being asked for
                kind = b"\x08\x00" if is_mapped(entry.raddr_hi, entry.raddr_lo) else b"\x86\xdd"
                header = bytes(6) + entry.interface.mac + kind
            data = header + data
        self._take(flow, entry, Frame(data, frame.checksum, frame.gso_size, self._now()), True)

    def _now(self) -> int:
        return self.context.now + self.context.network.epoch

    def _take(self, flow: FlowCopy, entry: Entry, frame: Frame, outbound: bool) -> None:
        if flow.mode == ON and flow.serial:
            self._give(flow, entry, frame, outbound)
            return
        cost = len(frame.data) + COST
        settings = self.context.settings
        if flow.held_bytes + cost > settings.copy_held or self.held_bytes + cost > settings.copy_memory:
            flow.missing += 1
            self.context.stats.count("copy_not_held")
        elif flow.missing == 0:  # what is kept has no gaps
            flow.held.append((frame, outbound))
            flow.held_bytes += cost
            self.held_bytes += cost
        else:
            flow.missing += 1

    def _release(self, flow: FlowCopy, entry: Entry) -> None:
        """What was kept goes out."""
        held, flow.held = flow.held, []
        missing, flow.missing = flow.missing, 0
        self.held_bytes -= flow.held_bytes
        flow.held_bytes = 0
        for frame, outbound in held:
            if flow.over:
                return
            self._give(flow, entry, frame, outbound)
        flow.missing = missing

    def _give(self, flow: FlowCopy, entry: Entry, frame: Frame, outbound: bool) -> None:
        stats = self.context.stats
        size = len(frame.data)
        flow.began = True
        try:
            flow.target.packet(flow, frame, outbound)
        except Exception:
            log.exception("copying %r failed: its copy ends", flow)
            stats.count("copy_error")
            self.end(entry)
            return
        flow.missing = 0
        flow.packets += 1
        flow.bytes += size
        stats.count("copy_packets")
        stats.count("copy_bytes", size)
        if flow.limit and flow.bytes >= flow.limit:
            stats.count("copy_limited")
            self.end(entry)

    # the end

    def end(self, entry: Entry) -> None:
        """A connection is over, or its copy is; again: nothing."""
        flow = self.of(entry)
        entry.marks &= ~COPIED
        if isinstance(entry, Tcb):
            if entry.extras is not None:
                entry.extras.copy = None
        else:
            self.entries.pop(entry, None)
        if flow is None or flow.over:
            return
        flow.over = True
        self.count -= 1
        self.held_bytes -= flow.held_bytes
        flow.held, flow.held_bytes = [], 0
        if flow.began:
            try:
                flow.target.end(flow)
            except Exception:
                log.exception("ending the copy of %r failed", flow)
                self.context.stats.count("copy_error")


class ToInterface:
    """A target: another interface, by which the packets go out, on layer 2 with the link header that they had."""

    def __init__(self, interface: Interface) -> None:
        self.interface = interface

    def packet(self, flow: FlowCopy, frame: Frame, outbound: bool) -> None:
        """Sends a packet."""
        data = frame.data
        if flow.layer == 3 and self.interface.layer == 2:
            kind = b"\x86\xdd" if data[:1] and data[0] >> 4 == 6 else b"\x08\x00"
            data = bytes(6) + self.interface.mac + kind + data
        elif flow.layer == 2 and self.interface.layer == 3:
            parsed = Packet()
            if parsed.parse_link(frame, 2):
                return
            data = data[parsed.l3 :]
        self.interface.transmit(Frame(data, frame.checksum, frame.gso_size, frame.time))

    def end(self, flow: FlowCopy) -> None:
        """Nothing is left to do."""


def as_target(target: Any) -> CopyTarget:
    """`target` as something that takes packets: an interface is one."""
    return ToInterface(target) if isinstance(target, Interface) else target


def check_target(network: Any, target: Any) -> Any:
    """`target` if it is an interface of that network, or has the methods of a `CopyTarget`, or is None; else
    InvalidArgument."""
    if target is None or (isinstance(target, Interface) and target.network is network and not target.loopback):
        return target
    if not isinstance(target, Interface) and callable(getattr(target, "packet", None)) and callable(
        getattr(target, "end", None)
    ):
        return target
    raise InvalidArgument(f"{target!r} takes no copies: want an interface of this stack, or packet() and end()")


def check_mode(value: Any) -> int:
    """`value` if it is one of the modes with any directions; InvalidArgument."""
    if isinstance(value, bool) or not isinstance(value, int) or value & ~(MAYBE | ON | BOTH) or value & 3 == 3:
        raise InvalidArgument(
            f"IP_COPY_MODE is {value!r}: want IP_COPY_MODE_OFF, _MAYBE or _ON, with _RX and _TX for one direction"
        )
    return value
