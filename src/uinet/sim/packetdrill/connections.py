"""The connections of a script: which of them a packet belongs to, and how far each is.

As in packetdrill there is one at a time that packets of the script are about: the one of the latest socket, or the one
that a packet to a listener has begun. Packets with ports of their own may be about others.
"""

from __future__ import annotations

from functools import partial

from uinet.sim.invariants import Violation, segment_of
from uinet.sim.packetdrill.backend import Backend
from uinet.sim.packetdrill.config import Config
from uinet.sim.packetdrill.errors import Mismatch, ScriptError
from uinet.sim.packetdrill.flow import SHIFT, Flow, Stage
from uinet.sim.packetdrill.inject import Signer
from uinet.sim.packetdrill.matcher import Sniffed
from uinet.sim.packetdrill.script import PacketSpec, TcpSpec
from uinet.sim.packetdrill.signatures import sign
from uinet.sim.packetdrill.system import Address
from uinet.wire.addresses import pack_address, unpack_address
from uinet.wire.tcp import ACK, RST, SYN

FIRST_PORT = 40000  # of peers that connect to us


class Connections:
    """All connections of one run. `count`: packets of ours so far. `signer`: puts MD5 signatures in."""

    def __init__(self, config: Config, backend: Backend) -> None:
        self.config = config
        self.backend = backend
        self.flows: list[Flow] = []
        self.current: Flow | None = None
        self.listening = 0  # the port of the latest listener
        self.next_port = FIRST_PORT
        self.count = 0
        self.numbers: dict[int, int] = {}  # of packets, by identity
        self.signer: Signer | None = partial(sign, config.md5_secret) if config.md5_secret is not None else None
        self.cookies: dict[bytes, bytes] = {}
        self.valid_cookie = b""  # which stands in the script for the one that is good
        self.shift = SHIFT if backend.checked else 0

    @property
    def now(self) -> int:
        """The time, ns."""
        return self.backend.now

    # what calls tell

    def opened(self, protocol: str) -> Flow:
        """There is a new socket: what follows is about it."""
        self.current = self._new(protocol)
        return self.current

    def _new(self, protocol: str) -> Flow:
        flow = Flow(protocol, self.shift, self.cookies)
        self.flows.append(flow)
        return flow

    def listens(self, flow: Flow, port: int) -> None:
        """A socket listens."""
        flow.stage = Stage.LISTENING
        self.listening = port or self.config.bind_port

    def connects(self, flow: Flow, address: Address) -> None:
        """A socket begins to connect."""
        flow.stage = Stage.CONNECTING
        flow.remote = (pack_address(address[0]), address[1])

    def accepted(self, peer: Address) -> Flow | None:
        """The connection that an accepted socket is of."""
        wanted = (pack_address(peer[0]), peer[1])
        for flow in reversed(self.flows):
            if flow.remote == wanted:
                return flow
        return None

    def local(self) -> Address:
        """Where ``bind(3, ..., ...)`` binds."""
        return str(unpack_address(self.config.local)), self.config.bind_port

    def remote(self) -> Address:
        """Where ``connect(3, ..., ...)`` connects."""
        return str(unpack_address(self.config.remote)), self.config.connect_port

    def exact_buffers(self) -> bool:
        """Whether buffer sizes are compared."""
        return self.config.rules.buffers

    # packets of the script

    def flow_for(self, spec: PacketSpec) -> Flow:
        """The connection that a packet of the script is about. ScriptError if there is none."""
        if isinstance(spec, TcpSpec) and spec.ports is not None and any(spec.ports):
            found = self._by_ports(spec)
            if found is not None:
                return found
        current = self.current
        if isinstance(spec, TcpSpec) and spec.inbound:
            if current is None or current.stage is Stage.LISTENING:
                return self._begin(spec)
        if current is None:
            if spec.inbound:
                return self._begin_other(spec)
            raise ScriptError("there is no socket that could send this packet")
        return current

    def _by_ports(self, spec: TcpSpec) -> Flow | None:
        assert spec.ports is not None
        source, destination = spec.ports
        remote = source if spec.inbound else destination
        for flow in reversed(self.flows):
            if remote and flow.remote[1] == remote:
                return flow
        opening = spec.inbound and "S" in spec.flags and "." not in spec.flags
        return self._begin(spec) if opening and self.listening else None

    def _begin(self, spec: TcpSpec) -> Flow:
        """A packet that comes to a listener, or out of the blue, begins a connection."""
        ports = spec.ports or (0, 0)
        flow = self._new("tcp")
        self.current = flow
        flow.stage = Stage.PACKET_IN
        flow.remote = (self.config.remote, ports[0] or self._port())
        flow.local = (self.config.local, ports[1] or self.listening or self.config.bind_port)
        flow.remote_isn = spec.seq + self.shift
        if self.valid_cookie:
            given = self.backend.fast_open_cookie(flow.remote[0], flow.local[0])
            flow.cookies[self.valid_cookie] = given or self.valid_cookie
        return flow

    def _port(self) -> int:
        port, self.next_port = self.next_port, self.next_port + 1
        return port

    def _begin_other(self, spec: PacketSpec) -> Flow:
        flow = self._new("udp")
        self.current = flow
        flow.remote = (self.config.remote, self._port())
        flow.local = (self.config.local, self.config.bind_port)
        return flow

    def before_inbound(self, spec: PacketSpec, flow: Flow) -> None:
        """Notes what a packet of the peer does to its connection."""
        if not flow.remote[0]:
            flow.remote = (self.config.remote, flow.remote[1] or self.config.connect_port)
        if not flow.local[0]:
            flow.local = (self.config.local, flow.local[1] or self.config.bind_port)
        if not isinstance(spec, TcpSpec):
            return
        if flow.stage is Stage.SYN_ACK_OUT and "." in spec.flags:
            flow.stage = Stage.ACKED
        elif flow.stage is Stage.SYN_ACK_OUT and spec.flags == "R":
            flow.over = True
        elif flow.stage is Stage.SYN_OUT and "S" in spec.flags:
            flow.remote_isn = spec.seq + self.shift
            if "." in spec.flags:
                flow.stage = Stage.ACKED

    def before_outbound(self, spec: TcpSpec, flow: Flow) -> None:
        """Notes what a packet that the script wants from us tells of its connection."""
        if "S" not in spec.flags:
            return
        if (flow.stage is Stage.PACKET_IN and "." in spec.flags) or (
            flow.stage is Stage.CONNECTING and "." not in spec.flags
        ):
            flow.script_local_isn = spec.seq
            flow.stage = Stage.SYN_ACK_OUT if "." in spec.flags else Stage.SYN_OUT

    # packets of ours

    def sort(self, packet: Sniffed, checked: bool) -> Flow | None:
        """Puts a packet that was sent to those of its connection, and checks the invariants of every trace."""
        flow = self._owner(packet)
        if flow is None:
            return None
        self.numbers[id(packet)] = self.count
        self.count += 1
        if packet.protocol == "icmp":
            flow.messages.append(packet)
            return flow
        flow.sent.append(packet)
        if packet.protocol != "tcp":
            return flow
        header = packet.frame.tcp
        if header.flags & SYN and (not flow.known or flow.is_new(header.seq)):
            flow.local_isn = header.seq
            flow.known = True
        if header.flags & RST:
            flow.resets += 1
        if checked:
            try:
                flow.watch.from_stack(segment_of(packet.frame, packet.time))
            except Violation as error:
                raise Mismatch(f"an invariant of every trace is broken: {error}") from None
        return flow

    def _owner(self, packet: Sniffed) -> Flow | None:
        protocol = packet.protocol
        if not protocol:
            return None
        source, destination = packet.source, packet.destination
        for flow in reversed(self.flows):
            if protocol == "icmp":
                if flow is self.current and flow.remote[0] == destination[0]:
                    return flow
            elif protocol == flow.protocol and flow.remote == destination:
                if flow.local == source:
                    return flow
                if not flow.local[0] and self._is_first(packet):
                    flow.local = source
                    return flow
        return None

    def _is_first(self, packet: Sniffed) -> bool:
        """Whether it may be the first of a connection."""
        return packet.protocol == "udp" or packet.frame.tcp.flags & (SYN | ACK) == SYN

    def unclaimed(self) -> list[tuple[int, Sniffed, Flow]]:
        """Packets that no event of the script has taken: (number, packet, connection), oldest first."""
        rest = [(self.numbers[id(packet)], packet, flow) for flow in self.flows for packet in flow.sent]
        return sorted(rest, key=lambda entry: entry[0])
