"""Two real stacks with a bridging proxy between them, and what they send each other while flows change their state."""

from __future__ import annotations

from random import Random
from typing import Any

from uinet.errors import Unsafe, WouldBlock
from uinet.events import EV_ACCEPT
from uinet.proxy import Policy, Proxy
from uinet.proxy.connection import Connection
from uinet.sim.network import Network
from uinet.sockopt import SHUT_WR
from uinet.wire.addresses import ANY, L2Info, VlanTag

CHUNK = 16384
ADDRESSES = {4: ("10.0.0.1", "10.0.0.2"), 6: ("fd00::1", "fd00::2")}
TAGS = (VlanTag(100, pcp=5, tpid=0x88A8), VlanTag(200, pcp=3))


class End:
    """One end: sends `data`, keeps what comes, and ends its stream when all is sent (and, if `last`, the other's has
    ended)."""

    def __init__(self, socket: Any, data: bytes, last: bool, slow: int = 0) -> None:
        self.socket = socket
        self.data = memoryview(data)
        self.received = bytearray()
        self.last = last
        self.slow = slow  # bytes that it reads at a time
        self.eof = False
        self.shut = False
        self.error: BaseException | None = None
        socket.on_event = self.on_event

    def on_event(self, socket: Any, events: int) -> None:
        if self.error is None and socket.error is not None:
            self.error = socket.error
        if self.error is None:
            self.send()
            if not self.slow:
                self.receive(CHUNK, True)

    def send(self) -> None:
        while self.data and not self.shut:
            try:
                self.data = self.data[self.socket.send(self.data[:CHUNK]) :]
            except WouldBlock:
                return
        if not self.shut and (self.eof or not self.last):
            self.shut = True
            self.socket.shutdown(SHUT_WR)

    def receive(self, size: int, again: bool) -> None:
        while not self.eof:
            try:
                data = self.socket.recv(size)
            except WouldBlock:
                return
            if not data:
                self.eof = True
                self.send()
            self.received += data
            if not again:
                return

    @property
    def done(self) -> bool:
        return self.eof and self.shut and not self.data


class World:
    """client ---- proxy ---- server, each a stack. `link`: conditions of both links. `settings`: of the client's and
    the server's stack. `way`: the policy's word for the connection."""

    def __init__(
        self, seed: int = 1, *, version: int = 4, vlans: bool = False, way: str = "track",
        client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, policy: Policy | None = None,
        link: dict[str, Any] | None = None, **options: Any,
    ) -> None:
        self.net = Network(seed=seed)
        self.random = Random(seed)
        self.version = version
        self.hosts = [self.net.host(promiscuous=True, name=name) for name in ("client", "proxy", "server")]
        a, middle, b = self.hosts
        self.links = [self.net.link(a, middle, **(link or {"delay": 0.002})),
                      self.net.link(middle, b, **(link or {"delay": 0.002}))]
        for host, settings in ((a, client), (b, server)):
            for name, value in (settings or {}).items():
                setattr(host.stack.tcp.settings, name, value)
        self.stack = middle.stack
        self.events: list[str] = []
        self.records: list[dict[str, Any]] = []
        self.proxy = Proxy(
            self.stack, *middle.interfaces, policy=policy or Policy(decide=lambda syn: way), on_event=self.on_event,
            **options,
        )
        self.l2 = L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02", TAGS if vlans else ())
        self.listener = b.stack.listen((ANY, ANY), vlans=ANY, cdom=1)
        self.listener.on_event = self.on_accept
        self.client: End | None = None
        self.server: End | None = None

    def on_event(self, what: str, connection: Connection) -> None:
        self.events.append(what)
        if what == "finished":
            self.records.append(connection.as_dict())

    def on_accept(self, listener: Any, events: int) -> None:
        assert events & EV_ACCEPT
        self.server = End(listener.accept(), self.down, self.server_last, self.slow)

    def start(
        self, up: bytes, down: bytes, *, server_last: bool = False, client_last: bool = False, slow: int = 0,
        port: int = 4000,
    ) -> None:
        """Connects, and lets both ends send."""
        self.up, self.down, self.server_last, self.slow = up, down, server_last, slow
        here, there = ADDRESSES[self.version]
        sock = self.hosts[0].stack.connect((there, 80), source=(here, port), l2=self.l2, cdom=1)
        self.client = End(sock, up, client_last, slow)

    @property
    def connection(self) -> Connection:
        (connection,) = self.proxy.connections()
        return connection

    def run(self, seconds: float) -> None:
        self.net.run(timeout=seconds)

    def finished(self) -> bool:
        for end in (self.client, self.server):
            if end is not None and end.slow:
                end.receive(end.slow, False)
        return self.server is not None and self.client is not None and self.client.done and self.server.done

    def change(self, state: str, wait: float = 30.0) -> str:
        try:
            return self.connection.change(state, wait)
        except Unsafe as error:
            return str(error)

    def check(self) -> None:
        """Both streams have come as they were sent, nobody was reset, and nothing is left."""
        assert self.client is not None and self.server is not None
        assert self.client.error is None and self.server.error is None, (self.client.error, self.server.error)
        assert bytes(self.server.received) == self.up
        assert bytes(self.client.received) == self.down
        for host in self.hosts:
            assert host.stack.stats["tcp_rst_in"] == 0
            assert host.stack.stats["tcp_rst_out"] == 0
        self.client.socket.close()
        self.server.socket.close()
        self.run(8000.0)  # until the last is forgotten that late segments have made known
        assert not self.proxy.active
        assert not self.proxy.passing
        table = self.proxy.flows
        assert table is not None
        assert (len(table), table.tracked, table.translated, table.budget.held) == (0, 0, 0, 0)
        for host in self.hosts:
            tcp = host.stack.tcp
            assert len(tcp.table) == 0, [(host, entry) for entry in tcp.table]
            assert (tcp.received_bytes, tcp.queued_bytes) == (0, 0)
