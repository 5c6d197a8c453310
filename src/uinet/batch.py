"""Batches: what a stack does with frames and the time that it is given, and what it has to tell and to send then.

One batch goes like this: timers that are due, then every frame, then the events that they have made (upcalls run here,
and may call anything), then what there is to send.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from uinet.errors import BadSocket, InvalidArgument
from uinet.events import EV_CLOSED, EV_ERROR
from uinet.ip.input import Receiver, as_frame
from uinet.ip.interface import Interface
from uinet.ip.network import Network
from uinet.socket import Socket
from uinet.splicing import Splice
from uinet.stats import Stats
from uinet.tcp.protocol import Tcp, TcpInput
from uinet.tcp.state import CLOSED
from uinet.tcp.tcb import Tcb
from uinet.udp.protocol import Udp
from uinet.wheel import Wheel
from uinet.wire.frame import CHECKSUM_VALID, Frame
from uinet.wire.kernels import track

if TYPE_CHECKING:
    from uinet.tcp.syn_events import SynEvent

LATEST = 1 << 62  # ns: no time is later than this, so that every deadline fits 64 bits
ROUNDS = 64  # of events and output after one batch; what is left then waits for the next poll

log = logging.getLogger("uinet")


class Batches:
    """What of :class:`uinet.Stack` is done in batches. `seed`, `now`: as there."""

    def __init__(self, seed: bytes, now: int) -> None:
        if not isinstance(seed, (bytes, bytearray)):
            raise InvalidArgument("a seed is bytes: os.urandom(32), or any fixed value to repeat a run")
        check_time(now)
        self.stats = Stats()
        self.wheel = Wheel(now)
        self.network = Network(bytes(seed), self.wheel, self.stats, now)
        self.tcp = Tcp(self.network)
        self.udp = Udp(self.network)
        self.network.handlers[6] = self.tcp
        self.network.handlers[17] = self.udp
        self.receiver = Receiver(self.network, TcpInput(self.tcp))
        self.receiver.udp = self.udp
        self.tcp.now = now
        self.closed = False
        self.stats.refresh = self._count
        self._on_syn_event: Callable[[SynEvent], None] | None = None
        self.waiting: list[Socket] = []  # sockets with events for `events`
        self.later: list[tuple[Interface, list[Frame], bool]] = []  # what came in inside a batch; whether to look at it
        self.calls: list[tuple[Callable[..., object], tuple[Any, ...]]] = []  # upcalls that wait for its end

    @property
    def now(self) -> int:
        """The time as this stack knows it, ns."""
        return self.tcp.now

    def input(self, interface: Interface, frames: Iterable[Frame | bytes], now: int) -> int | None:
        """Eats frames that came in by `interface` at `now` (ns; never goes back). The next deadline, or None.

        Called inside a batch (from an upcall or a SYN filter) it leaves the frames for the end of that batch.
        """
        if isinstance(frames, (bytes, bytearray, memoryview, str, Frame)):
            raise InvalidArgument("input takes a list of frames: for a single one, [frame]")
        if not isinstance(interface, Interface) or interface.network is not self.network:
            raise InvalidArgument(f"{interface!r} is no interface of this stack")
        if self.tcp.busy:
            self.later.append((interface, [as_frame(frame) for frame in frames], True))
            return self.next_deadline()
        try:
            self._begin(now)
            self.receiver.receive_all(interface, frames, self.now)
        finally:
            self._finish()
        return self.next_deadline()

    def inject_input(self, interface: Interface, frames: Iterable[Frame | bytes], *, hooks: bool = False) -> None:
        """Gives the stack frames as if they had come in by `interface` now: behind first looks and packet filters,
        which don't see them, or, with `hooks`, before these. From inside a batch, at its end. InvalidArgument,
        BadSocket.
        """
        mine = self._frames_for(interface, frames)
        self.tcp.refresh()
        self.later.append((interface, mine, hooks))
        self.kick()

    def inject_output(self, interface: Interface, frames: Iterable[Frame | bytes], *, hooks: bool = False) -> None:
        """Sends frames by `interface` as they are, behind what waits there; packet filters don't see them, unless with
        `hooks`. What there is no room for is dropped, and counted, as any frame. InvalidArgument, BadSocket.
        """
        for frame in self._frames_for(interface, frames):
            waiting = len(interface.output)
            interface.transmit(frame)
            if interface.hooks is not None and not hooks and len(interface.output) > waiting:
                interface.hooks.exempt(frame)
        self.kick()

    def _frames_for(self, interface: Interface, frames: Iterable[Frame | bytes]) -> list[Frame]:
        if self.closed:
            raise BadSocket("the stack is closed")
        if isinstance(frames, (bytes, bytearray, memoryview, str, Frame)):
            raise InvalidArgument("injecting takes a list of frames: for a single one, [frame]")
        if not isinstance(interface, Interface) or interface.network is not self.network:
            raise InvalidArgument(f"{interface!r} is no interface of this stack")
        return [as_frame(frame) for frame in frames]

    def poll(self, now: int) -> int | None:
        """Runs the timers that are due at `now` and does what calls have left to do. The next deadline, or None.

        Inside a batch (from an upcall, say) this does nothing: the batch will.
        """
        if not self.tcp.busy:
            try:
                self._begin(now)
            finally:
                self._finish()
        return self.next_deadline()

    def output(self, interface: Interface) -> list[Frame]:
        """The frames to send by `interface`, oldest first; they are the caller's now."""
        if not self.closed and self._has_work():
            self.poll(self.now)
        return interface.take_output()

    def events(self) -> list[tuple[Socket, int]]:
        """The sockets without upcall to which something has happened since the last call, each with its EV bits."""
        waiting = self.waiting
        self.waiting = []
        happened = []
        for sock in waiting:
            events = sock.events
            sock.events = 0
            sock.listed = False
            if not sock.closed:
                happened.append((sock, events))
        return happened

    def next_deadline(self) -> int | None:
        """The time, ns, at which poll has something to do; None if nothing waits."""
        if self.closed:
            return None
        if self._has_work():
            return self.now
        deadline = self.wheel.next_deadline()
        return None if deadline < 0 else deadline

    def _has_work(self) -> bool:
        tcp = self.tcp
        return bool(
            tcp.pending or tcp.ready or tcp.gone or self.network.loopback or self.later or self.calls or tcp.syn_events
        )

    def _begin(self, now: int) -> None:
        if self.closed:
            raise BadSocket("the stack is closed")
        if type(now) is not int or now > LATEST:
            check_time(now)
        time: int = now
        tcp = self.tcp
        if time > tcp.now:
            self.network.now = time
            tcp.now = time
        tcp.busy = True
        self.wheel.advance(tcp.now)

    def _finish(self) -> None:
        tcp = self.tcp
        network = self.network
        try:
            for _ in range(ROUNDS):
                if self.closed or not self._has_work():
                    break
                if self.later:
                    later, self.later = self.later, []
                    for interface, frames, look in later:
                        if look:
                            self.receiver.receive_all(interface, frames, self.now)
                        else:
                            self.receiver.receive_each(interface, frames, self.now)
                if self.calls:
                    self._call()
                if tcp.gone:
                    self._tell_gone()
                if tcp.syn_events:
                    self._tell_syn_events()
                if tcp.ready:
                    self._deliver()
                if tcp.pending:
                    tcp.flush()
                if network.loopback:
                    self._loop_back()
        finally:
            tcp.busy = False

    def _count(self) -> None:
        """Brings the counters up to date that the hot path keeps as plain integers."""
        values = self.stats.values
        values["link_rx_frames"] = self.receiver.frames
        values["link_rx_bytes"] = self.receiver.octets
        tcp = self.tcp
        values["tcp_rx"] = tcp.rx
        values["tcp_tx"] = tcp.segments_out
        values["tcp_syncookie_sent"] = tcp.cookies_sent
        values["tcp_syncache_added"] = tcp.entries_added
        values["tcp_accepted"] = tcp.accepted
        values["tcp_closed"] = tcp.ended

    def _loop_back(self) -> None:
        """Takes in what this stack has sent to itself."""
        packets = self.network.loopback
        self.network.loopback = []
        for interface, packet in packets:
            if self.closed:
                return
            self.receiver.receive_all(interface, [Frame(packet, CHECKSUM_VALID)], self.now)

    def _deliver(self) -> None:
        """Delivers the events of a batch."""
        ready = self.tcp.ready
        self.tcp.ready = []
        told = 0
        try:
            for item in ready:
                told += 1
                self._deliver_one(item)
        finally:
            if told < len(ready):  # an upcall has raised what ends a program; if it goes on, so do the others
                self.tcp.ready = ready[told:] + self.tcp.ready

    def _deliver_one(self, item: Any) -> None:
        """Delivers what has happened to one socket or connection."""
        if not isinstance(item, Tcb):  # a listening or datagram socket, or what watches
            item.ready_queued = False
            events = item.events
            item.events = 0
            self._tell(item, events)
            return
        tcb: Tcb = item
        tcb.ready_queued = False
        events = tcb.events
        tcb.events = 0
        extras = tcb.extras
        if extras is not None and extras.splice is not None:
            joined: Splice = extras.splice
            joined.pump()
        elif tcb.owner is not None:
            self._tell(tcb.owner, events)
        if tcb.state == CLOSED and not tcb.ready_queued:
            owner = tcb.owner
            tcb.owner = None  # the last word: connection and socket would keep each other alive
            track(owner)

    def _tell(self, sock: Socket, events: int) -> None:
        """Tells one socket, by upcall or by the list. An upcall that raises costs its connection, not the stack.

        Who has closed a socket is only told how that ends.
        """
        if sock.closed:
            events &= EV_CLOSED | EV_ERROR
        config = sock.config
        if config.receive_low > 1 or config.not_sent_low:
            events = sock.above_low_water(events)
        if events == 0:
            return
        if sock.on_event is None:
            if not sock.closed:
                sock.events |= events
                if not sock.listed:
                    sock.listed = True
                    self.waiting.append(sock)
            return
        try:
            sock.on_event(sock, events)
        except Exception:
            self.stats.count("upcall_error")
            if sock.tcb is None:
                log.exception("upcall of %r raised", sock)
                return
            log.exception("upcall of %r raised: its connection is reset", sock)
            sock.on_event = None
            sock.abort()

    def call_later(self, upcall: Callable[..., object] | None, *arguments: Any) -> None:
        """Has a user's function called at the end of the batch; None: nothing."""
        if upcall is not None:
            self.calls.append((upcall, arguments))

    def _call(self) -> None:
        calls, self.calls = self.calls, []
        for upcall, arguments in calls:
            try:
                upcall(*arguments)
            except Exception:
                log.exception("upcall %r raised", upcall)
                self.stats.count("upcall_error")

    def _tell_gone(self) -> None:
        """Tells SYN filters of SYNs that came to nothing."""
        gone = self.tcp.gone
        self.tcp.gone = []
        for syn, why in gone:
            try:
                syn.gone(why)
            except Exception:
                log.exception("on_gone of %r raised", syn)
                self.stats.count("upcall_error")

    def _tell_syn_events(self) -> None:
        """Tells what has happened to SYNs."""
        events, self.tcp.syn_events = self.tcp.syn_events, []
        told = self._on_syn_event
        for event in events or ():
            if told is not None:
                try:
                    told(event)
                except Exception:
                    log.exception("on_syn_event raised for %s", event)
                    self.stats.count("upcall_error")

    def kick(self) -> None:
        """Tells whoever drives this stack that a poll has something to do; inside a batch there is no need."""
        if not self.tcp.busy and self.tcp.on_pending is not None:
            self.tcp.on_pending()


def check_time(now: object) -> None:
    """InvalidArgument for what is no time: an integer, in ns, and at most `LATEST`."""
    if isinstance(now, bool) or not isinstance(now, int) or not -LATEST <= now <= LATEST:
        raise InvalidArgument(f"a time is an integer of nanoseconds, at most 2**62, not {now!r}")
