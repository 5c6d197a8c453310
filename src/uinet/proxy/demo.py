"""The demonstration: many clients on many VLANs, through the proxy, to servers that see them as they are.

Three hosts on virtual time, in memory::

    clients ---- proxy ---- servers

All clients are sockets of one stack, each with a VLAN stack, MAC, address and port of its own; all servers
are one promiscuous listener of another. Both ends note whom they saw and what they received; taps on both
links note the identity of every frame. `Demo.differences` is what was not as planned.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from uinet.errors import ConnectionRefused, InvalidArgument, WouldBlock
from uinet.events import EV_ACCEPT, EV_ERROR
from uinet.proxy.engine import Proxy
from uinet.proxy.ladder import Segment, Step, segment_of
from uinet.sim.network import Network
from uinet.sockopt import SHUT_WR
from uinet.tcp.syn import Syn, Verdict
from uinet.wire import arp, ethernet
from uinet.wire.addresses import ANY, BROADCAST_MAC, IPAddress, L2Info, Mac, VlanTag, link_header
from uinet.wire.frame import Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uinet.sim.link import Capture
    from uinet.socket import Socket

PORTS = (50080, 50443)
"""Of the servers: ports in which no dissector sees a protocol that isn't there."""
CLOSED_PORT = 50081
REFUSED_EVERY = 25
"""Every so many clients one asks for a closed port."""
TWIN_EVERY = 10
"""Every so many clients one has addresses and port of the one before it: only VLANs and MAC differ."""
SMALL = 2
"""The client whose packets are drawn: two tags, and few bytes."""
MAX_CLIENTS = 16_000
CHUNK = 65536


class Endpoint(NamedTuple):
    """An address and a port."""

    ip: IPAddress
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.ip.version == 6 else f"{self.ip}:{self.port}"


class Identity(NamedTuple):
    """Who talks to whom, on all layers: both MACs, the VLAN tags verbatim, addresses and ports."""

    l2: L2Info
    source: Endpoint
    destination: Endpoint

    def reversed(self) -> Identity:
        """The identity of an answer."""
        return Identity(self.l2.reversed(), self.destination, self.source)

    def __str__(self) -> str:
        vlans = ":".join(str(tag.vid) for tag in self.l2.vlans) or "none"
        return f"{self.source} > {self.destination} vlan {vlans} mac {self.l2.source} > {self.l2.destination}"


class Plan(NamedTuple):
    """What one client is to do: `sends` and `receives` are numbers of bytes."""

    number: int
    identity: Identity
    sends: int
    receives: int

    @property
    def refused(self) -> bool:
        """Whether it asks for a closed port."""
        return self.identity.destination.port == CLOSED_PORT


def make_plan(number: int, seed: int, size: int) -> Plan:
    """The plan of client `number`; `size`: about how many bytes go each way."""
    random = Random(f"{seed} {number}")
    twin = number % TWIN_EVERY == TWIN_EVERY - 1
    host = number - 1 if twin else number
    if host % 3 == 2:
        source, server = ipaddress.ip_address(f"fd00:1::{host + 1:x}"), ipaddress.ip_address("fd00:2::80")
    else:
        source = ipaddress.ip_address("10.1.0.0") + host + 1
        server = ipaddress.ip_address("192.0.2.0") + 80 + host % 4
    port = CLOSED_PORT if number % REFUSED_EVERY == REFUSED_EVERY - 1 else PORTS[host % 2]
    return Plan(
        number,
        Identity(
            L2Info.make(
                Mac(b"\x02\x10" + number.to_bytes(4, "big")),
                Mac(b"\x02\x20\0\0\0" + bytes([host % 4])),
                vlan_stack(number),
            ),
            Endpoint(source, 40000 + host % 20000),
            Endpoint(server, port),
        ),
        340 if number == SMALL else random.randint(size // 2, size),
        720 if number == SMALL else random.randint(size // 2, size),
    )


def vlan_stack(number: int) -> tuple[VlanTag, ...]:
    """0 to 3 tags, another stack for each client that has any; twins, whose numbers are odd, do have some."""
    inner = VlanTag(1 + number % 4094, pcp=number % 8)
    outer = VlanTag(1 + number // 4094, tpid=0x88A8)
    return ((), (inner,), (outer, inner), (outer, VlanTag(7), inner))[number % 4]


def stream(seed: int, number: int, way: str, size: int) -> bytes:
    """The bytes that client `number` sends ("up") or receives ("down").

    Random hexadecimal digits: in plain random bytes dissectors now and then see protocols that aren't there.
    """
    return Random(f"{seed} {number} {way}").randbytes(size // 2 + 1).hex()[:size].encode()


class Side:
    """One end of one connection: sends what it has to, counts and digests what comes."""

    def __init__(self, socket: Socket, data: bytes, on_end: Callable[[Side], None]) -> None:
        self.socket = socket
        self.data = memoryview(data)
        self.on_end = on_end
        self.digest = sha256()
        self.received = 0
        self.sent_all = False
        self.error: BaseException | None = None
        self.ended = False
        socket.on_event = self.on_event

    def on_event(self, socket: Socket, events: int) -> None:
        """The socket's upcall."""
        if self.ended:
            return
        if events & EV_ERROR:
            self._end(socket.error)
            return
        try:
            self._send()
            self._receive()
        except WouldBlock:
            pass  # the next event goes on

    def _send(self) -> None:
        while self.data:
            try:
                self.data = self.data[self.socket.send(self.data[:CHUNK]) :]
            except WouldBlock:
                return
        if not self.sent_all:
            self.sent_all = True
            self.socket.shutdown(SHUT_WR)

    def _receive(self) -> None:
        while True:
            data = self.socket.recv(CHUNK)
            if not data:
                self._end(None)
                return
            self.digest.update(data)
            self.received += len(data)

    def _end(self, error: BaseException | None) -> None:
        self.ended = True
        self.error = error
        self.socket.on_event = None
        self.socket.close()
        self.on_end(self)


class Watch:
    """A tap on a link: the identities of all TCP frames, and everything else verbatim."""

    def __init__(self) -> None:
        self.identities: dict[Identity, int] = {}
        self.others: list[bytes] = []

    def write(self, data: bytes, time: int, outbound: bool | None = None) -> None:
        """Takes one frame."""
        segment = segment_of(data)
        if segment is None:
            self.others.append(data)
            return
        identity = identity_of(segment)
        self.identities[identity] = self.identities.get(identity, 0) + 1


def identity_of(segment: Segment) -> Identity:
    """Who talks to whom in `segment`."""
    return Identity(segment.l2, Endpoint(*segment.source), Endpoint(*segment.destination))


class Sketch:
    """A tap on one of the proxy's links that keeps one connection's packets for its picture."""

    def __init__(self, identity: Identity, lane: int, steps: list[Step]) -> None:
        self.identity = identity
        self.lane = lane
        self.steps = steps

    def write(self, data: bytes, time: int, outbound: bool | None = None) -> None:
        """Takes one frame."""
        segment = segment_of(data)
        if segment is None:
            return
        identity = identity_of(segment)
        if identity in (self.identity, self.identity.reversed()):
            self.steps.append(Step(time, self.lane, identity == self.identity, segment.label))


class Demo:
    """One run. `captures`: what is told of every frame at the proxy's client side and at its server side.

    `on_progress` is called with the number of clients that have ended, each time one has.
    """

    def __init__(
        self,
        clients: int = 120,
        size: int = 20_000,
        seed: int = 1,
        *,
        captures: tuple[Sequence[Capture], Sequence[Capture]] = ((), ()),
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        if not 1 <= clients <= MAX_CLIENTS:
            raise InvalidArgument(f"1 to {MAX_CLIENTS} clients, not {clients}")
        self.seed = seed
        self.plans = [make_plan(number, seed, size) for number in range(clients)]
        self.by_identity = {plan.identity: plan for plan in self.plans}
        self.on_progress = on_progress
        self.client_sides: dict[int, Side] = {}
        self.server_sides: dict[int, Side] = {}
        self.client_saw: dict[int, Identity] = {}
        self.strangers: list[Identity] = []
        self.ended = 0
        self.steps: list[Step] = []
        self._build(captures)

    def _build(self, captures: tuple[Sequence[Capture], Sequence[Capture]]) -> None:
        net = self.network = Network(seed=self.seed)
        self.clients = net.host(name="clients", promiscuous=True)
        middle = net.host(name="proxy", promiscuous=True)
        self.servers = net.host(name="servers", promiscuous=True, answer_any=True)
        near = net.link(self.clients, middle, delay=0.005, rate=1e9)
        far = net.link(middle, self.servers, delay=0.010, rate=1e9)
        self.near, self.far = Watch(), Watch()
        near.a.captures.append(self.near)
        far.b.captures.append(self.far)
        for port, lane, more in ((near.b, 0, captures[0]), (far.a, 1, captures[1])):
            port.captures.extend(more)
            if len(self.plans) > SMALL:
                port.captures.append(Sketch(self.plans[SMALL].identity, lane, self.steps))
        self.proxy = Proxy(middle.stack, *middle.interfaces)
        listener = self.servers.stack.listen(
            (ANY, ANY), backlog=len(self.plans), vlans=ANY, cdom=1, promiscuous=True, syn_filter=self._filter
        )
        listener.on_event = self._accept

    def run(self) -> None:
        """Lets everything happen; virtual time, so it takes what computing it takes."""
        self._ask_who_has()
        for plan in self.plans:
            # not all in one instant: a handshake a tenth of a millisecond, as a busy link would have it
            self.network.clock.after(100_000 * plan.number, self._start, plan)
        self.network.run(until=lambda: self.ended == len(self.plans))
        self.network.run(timeout=10.0)  # the last FINs, and what lossy links make of them

    def _start(self, plan: Plan) -> None:
        identity = plan.identity
        socket = self.clients.stack.connect(
            identity.destination, source=identity.source, l2=identity.l2, cdom=1
        )
        side = Side(socket, stream(self.seed, plan.number, "up", plan.sends), self._client_ended)
        self.client_sides[plan.number] = side

    def _client_ended(self, side: Side) -> None:
        self.ended += 1
        if self.on_progress is not None:
            self.on_progress(self.ended)

    def _filter(self, syn: Syn) -> Verdict:
        return Verdict.REJECT_RST if syn.destination[1] == CLOSED_PORT else Verdict.ACCEPT

    def _accept(self, listener: Socket, events: int) -> None:
        while events & EV_ACCEPT:
            try:
                socket = listener.accept()
            except WouldBlock:
                return
            assert socket.l2info is not None
            saw = Identity(socket.l2info, Endpoint(*socket.getpeername()), Endpoint(*socket.getsockname()))
            plan = self.by_identity.get(saw)
            if plan is None or plan.number in self.server_sides:
                self.strangers.append(saw)
                socket.abort()
                continue
            data = stream(self.seed, plan.number, "down", plan.receives)
            self.server_sides[plan.number] = Side(socket, data, lambda side: None)

    def _ask_who_has(self) -> None:
        """An ARP request from the clients' side: the proxy bridges it, and the answer too."""
        sender = self.plans[0].identity
        request = arp.request(sender.l2.source, bytes([10, 1, 0, 1]), bytes([192, 0, 2, 80]))
        header = link_header(L2Info.make(sender.l2.source, BROADCAST_MAC), ethernet.ARP)
        self.clients.interface.transmit(Frame(header + arp.emit(request)))
        self.clients.stack.poll(self.network.now)

    @property
    def bridged(self) -> int:
        """Frames that passed the proxy untouched."""
        return len(self.far.others)

    def differences(self) -> list[str]:
        """What was not as planned, a line each: nobody and no byte may be missing, changed or new."""
        found = [f"the servers saw somebody whom no client is: {saw}" for saw in self.strangers]
        for plan in self.plans:
            found += self.differences_of(plan)
        expected = {plan.identity for plan in self.plans}
        expected |= {identity.reversed() for identity in expected}
        for name, watch in (("clients'", self.near), ("servers'", self.far)):
            saw = watch.identities.keys()
            found += [f"a frame on the {name} link is nobody's: {identity}" for identity in saw - expected]
            found += [f"no frame on the {name} link: {identity}" for identity in expected - saw]
        if self.near.others != self.far.others or len(self.far.others) < 2:
            found.append("what was to be bridged did not pass the proxy untouched")
        return found

    def differences_of(self, plan: Plan) -> list[str]:
        who = f"client {plan.number} ({plan.identity})"
        client, server = self.client_sides.get(plan.number), self.server_sides.get(plan.number)
        if client is None or not client.ended:
            return [f"{who} has not ended"]
        if plan.refused:
            refused = isinstance(client.error, ConnectionRefused) and server is None
            return [] if refused else [f"{who} was not refused: {client.error}"]
        if server is None or not server.ended:
            return [f"{who}: the server has not seen it, or not its end"]
        found = []
        ends = (("server", server, "up", plan.sends), ("client", client, "down", plan.receives))
        for end, side, way, size in ends:
            if side.error is not None:
                found.append(f"{who}: the {end} had an error: {side.error}")
            elif side.digest.digest() != sha256(stream(self.seed, plan.number, way, size)).digest():
                found.append(f"{who}: the {end} received {side.received} bytes that are not the {size} sent")
        return found
