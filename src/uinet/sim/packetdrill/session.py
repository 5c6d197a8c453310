"""One run of one script: its events, one after the other, against a machine."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from uinet.sim.packetdrill.backend import Backend
from uinet.sim.packetdrill.calls import Calls
from uinet.sim.packetdrill.config import Config
from uinet.sim.packetdrill.connections import Connections
from uinet.sim.packetdrill.errors import Mismatch
from uinet.sim.packetdrill.flow import Flow
from uinet.sim.packetdrill.inject import icmp_packets, tcp_packets, udp_packets
from uinet.sim.packetdrill.matcher import Sniffed, check_icmp, check_tcp, check_udp, describe, seen_tcp
from uinet.sim.packetdrill.script import (
    Call,
    Code,
    Command,
    Event,
    IcmpSpec,
    PacketSpec,
    Script,
    TcpSpec,
    UdpSpec,
    When,
)
from uinet.sim.packetdrill.show import seconds, show_event, show_spec
from uinet.sim.packetdrill.snippets import Snippets
from uinet.units import MASK32, MILLISECOND, SECOND
from uinet.wire.tcp import ACK
from uinet.wire.tcp_options import FastOpen, Sack, Timestamps, Unknown

PATIENCE = 2 * SECOND  # for a packet that is late
LATEST_ACK = 500 * MILLISECOND  # RFC 9293 3.8.6.3, MUST-58
ANYTIME = 7200 * SECOND  # for one that may come at any time
MAX_STEPS = 1_000_000  # of time, in one wait


@dataclass
class Pending:
    """A call that blocks."""

    event: Event
    call: Call
    steps: Generator[int | None, None, None]
    began: int
    end: int
    wake: int | None = None


class Session:
    """A run. `told`: called with each line of the record of what happens. `leftovers`: whether packets that were sent
    before the last event, and are not in the script, are wrong."""

    def __init__(
        self, script: Script, config: Config, backend: Backend, told: Callable[[str], None], leftovers: bool = True
    ) -> None:
        self.script = script
        self.config = config
        self.backend = backend
        self.told = told
        self.leftovers = leftovers
        self.connections = Connections(config, backend)
        self.calls = Calls(backend.system, self.connections, config.ip_version != "ipv4")
        self.snippets = Snippets()
        self.pending: Pending | None = None
        self.line = 0
        self.last: Event | None = None
        self.last_at = 0  # when the last event was due

    # the whole

    def run(self) -> None:
        """Runs the script. Mismatch, ScriptError, Unsupported, each about `self.line`."""
        for line, command in self.script.init:
            self.line = line
            self._command(command)
        self.backend.start()
        for event in self.script.events:
            self.line = event.line
            mark = self.connections.count
            self._event(event)
            self.last = event
        self.line = self.script.events[-1].line
        self._settle()
        self._check_leftovers(mark)
        for line, command in self.script.cleanup:
            self.line = line
            self._command(command)

    def finish(self) -> None:
        """Ends what the script has left open, and checks that nothing of it stays. Mismatch."""
        if not self.backend.checked:
            return
        for descriptor in self.calls.descriptors.all():
            if descriptor.handle is not None:
                self.backend.system.close(descriptor.handle)
        self.backend.flush()
        self._pull()
        left = self.backend.finish()
        self._pull()
        if left:
            raise Mismatch(f"{', '.join(left)} are left when all is over")

    def _event(self, event: Event) -> None:
        start, end = self._times(event)
        action = event.action
        if isinstance(action, (TcpSpec, UdpSpec, IcmpSpec)) and not action.inbound:
            self.told(f"{seconds(self.backend.now)}  wanted   {show_event(event)}")
            self._outbound(event, action, start, end)
        else:
            assert start is not None
            self._wait(start)
            self._check_time(event.when, start, start, self.backend.now, "the event")
            if not isinstance(action, (TcpSpec, UdpSpec, IcmpSpec)):
                self.told(f"{seconds(self.backend.now)}  {show_event(event)}")
            self._act(event, start)
        self.last_at = self.backend.now if start is None else start

    def _act(self, event: Event, start: int) -> None:
        action = event.action
        if isinstance(action, Call):
            self._call(event, action, start)
        elif isinstance(action, Command):
            self._command(action)
        elif isinstance(action, Code):
            self._code(action, event.line)
        else:
            self._inbound(action)

    # time

    def _times(self, event: Event) -> tuple[int | None, int | None]:
        """When an event is due, from and to; None: whenever."""
        when = event.when
        if when.anytime:
            return None, None
        base = 0
        if when.relative:
            both = self.last is not None and _inbound(event) and _inbound(self.last)
            base = self.last_at if both else self.backend.now
        return base + when.start, base + (when.end if when.end is not None else when.start)

    def _check_time(self, when: When, start: int, end: int, actual: int, what: str) -> None:
        tolerance = self.config.tolerance
        if self.last is not None:
            tolerance = max(tolerance, int((start - self.last_at) * self.config.percent / 100))
        if start - tolerance <= actual <= end + tolerance:
            return
        wanted = seconds(start) if start == end else f"{seconds(start)} to {seconds(end)}"
        raise Mismatch(
            f"{what} is at {seconds(actual)} s, not {wanted} (tolerance {tolerance / SECOND:g} s)"
        )

    def _wait(self, until: int) -> None:
        """Lets time pass until then."""
        for _ in self._steps(until):
            pass

    def _steps(self, until: int) -> Iterator[None]:
        """Lets time pass until then, step by step."""
        self._pull()
        for _ in range(MAX_STEPS):
            self._resume()
            if self.backend.now >= until:
                return
            limit = until
            if self.pending is not None and self.pending.wake is not None:
                limit = max(self.backend.now, min(limit, self.pending.wake))
            self.backend.advance(limit)
            self._pull()
            yield
        raise Mismatch("the stack asks to be polled without end")

    def _pull(self) -> None:
        """Takes what was sent."""
        for packet in self.backend.take():
            flow = self.connections.sort(packet, self.backend.checked)
            whose = "" if flow is not None else "  (of no socket of the script)"
            self.told(f"{seconds(packet.time)}  sent     {describe(packet, flow)}{whose}")

    # calls

    def _call(self, event: Event, call: Call, start: int) -> None:
        self._settle()
        steps = self.calls.run(call)
        now = self.backend.now
        if call.end is None:
            if not self._finished(steps):
                raise Mismatch(f"{call.name}() blocks", str(call), "")
            return
        end = call.end + (start - event.when.start if event.when.relative else 0)
        self.pending = Pending(event, call, steps, now, end)
        self._resume()

    def _finished(self, steps: Generator[int | None, None, None]) -> bool:
        """Goes on with a call; whether it has returned."""
        try:
            wake = next(steps)
        except StopIteration:
            self._flush()
            return True
        if self.pending is not None:
            self.pending.wake = wake
        self._flush()
        return False

    def _flush(self) -> None:
        self.backend.flush()
        self._pull()

    def _resume(self) -> None:
        """Asks a call that blocks again."""
        pending = self.pending
        if pending is None:
            return
        line, self.line = self.line, pending.event.line
        if self._finished(pending.steps):
            self.pending = None
            now = self.backend.now
            tolerance = max(self.config.tolerance, int((pending.end - pending.began) * self.config.percent / 100))
            if abs(now - pending.end) > tolerance:
                raise Mismatch(
                    f"{pending.call.name}() returns at {seconds(now)} s, not {seconds(pending.end)} "
                    f"(tolerance {tolerance / SECOND:g} s)"
                )
        self.line = line

    def _settle(self) -> None:
        """Waits for a call that blocks."""
        pending = self.pending
        if pending is None:
            return
        for _ in self._steps(max(pending.end, self.backend.now) + PATIENCE):
            if self.pending is None:
                return
        if self.pending is not None:
            self.line = pending.event.line
            raise Mismatch(f"{pending.call.name}() does not return", str(pending.call))

    # the rest

    def _command(self, command: Command) -> None:
        self.backend.command(command.text)
        self._flush()

    def _code(self, code: Code, line: int) -> None:
        descriptor = self.calls.descriptors.of_flow(self.connections.current)
        info: dict[str, int] = {}
        if descriptor is not None and descriptor.kind == "SOCK_STREAM":
            info = self.backend.system.tcp_info(descriptor.handle)
        self.snippets.run(code.text, info, line)

    def _inbound(self, spec: PacketSpec) -> None:
        flow = self.connections.flow_for(spec)
        self.connections.before_inbound(spec, flow)
        if isinstance(spec, TcpSpec):
            packets = tcp_packets(spec, flow, self.connections.signer)
        elif isinstance(spec, UdpSpec):
            packets = udp_packets(spec, flow)
        else:
            packets = icmp_packets(spec, flow, self.config)
        self.told(f"{seconds(self.backend.now)}  injected {show_spec(spec)}")
        before = flow.resets
        self.backend.inject(packets)
        self._pull()
        self._resume()
        if self.backend.checked:
            resets = flow.resets - before
            if resets and (isinstance(spec, IcmpSpec) or (isinstance(spec, TcpSpec) and "R" in spec.flags)):
                raise Mismatch("a RST or an ICMP message is answered with a RST", "", show_spec(spec))
            if resets > len(packets):
                raise Mismatch(f"{resets} RSTs for {len(packets)} packets", "", show_spec(spec))

    def _outbound(self, event: Event, spec: PacketSpec, start: int | None, end: int | None) -> None:
        flow = self.connections.flow_for(spec)
        if isinstance(spec, TcpSpec):
            self.connections.before_outbound(spec, flow)
        limit = (end if end is not None else self.backend.now + ANYTIME) + PATIENCE
        pieces = [self._next(flow, spec, limit)]
        if isinstance(spec, TcpSpec):
            self._rest(flow, spec, pieces, limit)
            wrong = self._judge_tcp(spec, flow, pieces)
            found = "\n".join(describe(piece, flow) for piece in pieces)
        else:
            found = describe(pieces[0], flow)
            if isinstance(spec, UdpSpec):
                wrong = ["it is no datagram"]
                if pieces[0].protocol == "udp":
                    wrong = check_udp(spec, pieces[0], flow)
            else:
                wrong = check_icmp(spec, pieces[0], self.config.v6)
        if wrong:
            raise Mismatch("; ".join(wrong), show_event(event), f"{seconds(pieces[-1].time)} {found}")
        if start is not None and end is not None:
            if isinstance(spec, TcpSpec) and not self.config.rules.acks and self._acknowledges(spec, flow):
                start, end = max(0, start - LATEST_ACK), end + LATEST_ACK
            self._check_time(event.when, start, end, pieces[-1].time, "the packet")
        if isinstance(spec, TcpSpec) and "." in spec.flags:
            flow.told(spec, pieces[-1].frame.tcp.window)

    def _acknowledges(self, spec: TcpSpec, flow: Flow) -> bool:
        """Whether it is the ACK of data in order, which may be delayed."""
        if spec.flags != "." or spec.length:
            return False
        if any(isinstance(option.option, Sack) for option in spec.options or ()):
            return False
        return spec.ack > flow.acked

    def _next(self, flow: Flow, spec: PacketSpec, limit: int) -> Sniffed:
        """The oldest packet of a connection that no event has taken yet."""
        self._pull()
        queue = flow.messages if isinstance(spec, IcmpSpec) else flow.sent
        self._sent_by(queue, limit)
        if not queue:
            raise Mismatch("nothing is sent", show_spec(spec), f"nothing until {seconds(self.backend.now)} s")
        packet = queue.pop(0)
        if isinstance(spec, TcpSpec) and self._superfluous(packet, spec, flow):
            return self._next(flow, spec, limit)
        return packet

    def _sent_by(self, queue: list[Sniffed], limit: int) -> None:
        """Waits until there is something in a queue, and no longer than until `limit`."""
        if not queue:
            for _ in self._steps(limit):
                if queue:
                    return

    def _superfluous(self, packet: Sniffed, spec: TcpSpec, flow: Flow) -> bool:
        """Whether it is an ACK that the rules leave to each stack, and not the one that the script wants: one of data
        in order for fewer segments, or one that only opens the window."""
        if not is_bare_ack(packet):
            return False
        ack = flow.ack_out(packet.frame.tcp.ack, False)
        if not self.config.rules.acks and flow.acked < ack < spec.ack:
            return True
        bare = spec.flags == "." and not spec.length and spec.ack == ack
        return not bare and self._only_opens(packet, flow)

    def _only_opens(self, packet: Sniffed, flow: Flow) -> bool:
        """Whether it is an ACK that only opens the window, and when that is done is left to each stack."""
        if self.config.rules.window or not is_bare_ack(packet):
            return False
        header = packet.frame.tcp
        return flow.ack_out(header.ack, False) == flow.acked and header.window << flow.watch.stack_scale > flow.window

    def _rest(self, flow: Flow, spec: TcpSpec, pieces: list[Sniffed], limit: int) -> None:
        """Takes the segments that make up one which the script has whole."""
        length = len(pieces[0].frame.payload)
        while pieces[0].protocol == "tcp" and 0 < length < spec.length and not self.config.strict_segments:
            self._sent_by(flow.sent, limit)
            if not flow.sent or not follows(flow.sent[0], pieces[-1]):
                return
            piece = self._next(flow, spec, limit)
            pieces.append(piece)
            length += len(piece.frame.payload)

    def _judge_tcp(self, spec: TcpSpec, flow: Flow, pieces: list[Sniffed]) -> list[str]:
        if any(piece.protocol != "tcp" for piece in pieces):
            return ["it is no TCP segment"]
        self._learn(spec, flow, pieces[-1])
        return check_tcp(spec, seen_tcp(pieces, flow), flow, self.config)

    def _learn(self, spec: TcpSpec, flow: Flow, packet: Sniffed) -> None:
        """Notes which values on the wire stand for those of the script: timestamps and cookies."""
        for wanted in spec.options or ():
            for found in packet.frame.tcp.options:
                if isinstance(wanted.option, Timestamps) and isinstance(found, Timestamps):
                    flow.note_stamp(wanted.option.value, found.value)
                elif isinstance(wanted.option, FastOpen) and isinstance(found, FastOpen):
                    if wanted.option.cookie and found.cookie and "." in spec.flags:
                        flow.note_cookie(wanted.option.cookie, found.cookie)
                elif isinstance(wanted.option, Unknown) and isinstance(found, Unknown) and "." in spec.flags:
                    if wanted.option.kind == found.kind == 254 and wanted.option.data[:2] == found.data[:2]:
                        flow.note_cookie(wanted.option.data[2:], found.data[2:])

    def _check_leftovers(self, mark: int) -> None:
        """Whatever was sent before the last event is in the script."""
        if not self.leftovers:
            return
        rest = [
            (packet, flow) for number, packet, flow in self.connections.unclaimed()
            if number < mark and not self._only_opens(packet, flow)
        ]
        if rest:
            lines = "\n".join(f"{seconds(packet.time)} {describe(packet, flow)}" for packet, flow in rest)
            raise Mismatch(f"{len(rest)} packets were sent that the script does not expect", "", lines)


def follows(packet: Sniffed, before: Sniffed) -> bool:
    """Whether it may be the next piece of one segment, cut up: it goes on where the other ends, with the same ACK."""
    if packet.protocol != "tcp":
        return False
    header, other = packet.frame.tcp, before.frame.tcp
    return header.ack == other.ack and header.seq == (other.seq + len(before.frame.payload)) & MASK32


def is_bare_ack(packet: Sniffed) -> bool:
    """Whether it is a segment with nothing but an ACK, and no SACK blocks."""
    if packet.protocol != "tcp" or packet.frame.payload or packet.frame.tcp.flags != ACK:
        return False
    return not any(isinstance(option, Sack) for option in packet.frame.tcp.options)


def _inbound(event: Event) -> bool:
    return isinstance(event.action, (TcpSpec, UdpSpec, IcmpSpec)) and event.action.inbound


