"""Runs servers and clients: phases, pace, and the turns in which frames move."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from uinet.control.server import Server as ControlServer
from uinet.driver import Driver
from uinet.errors import InvalidArgument
from uinet.link.device import Device
from uinet.link.memory import MemoryDevice
from uinet.pump import Pump
from uinet.scale.ends import DOMAIN, Client, Exchange, Server
from uinet.scale.plan import Plan
from uinet.stack import Stack

OUTSTANDING = 512  # handshakes and exchanges that a client has under way at once
QUEUE = 8192  # frames between both ends in memory
DRAIN = 2.0  # seconds that the last segments get


@dataclass(frozen=True)
class Load:
    """How much: `connections` in all, opened at `rate` a second (0: as fast as can be), each with the exchanges of
    `exchange`; `listeners` of the server (0: one for everything). `hold`: seconds that they stay idle in the end.
    `duration`: seconds after which all ends, done or not (0: when it is done)."""

    connections: int
    exchange: Exchange
    rate: float = 0.0
    listeners: int = 0
    hold: float = 0.0
    duration: float = 0.0


@dataclass
class Report:
    """What was done so far. Times in seconds. `longest`: CPU time of the longest turn in which
    frames moved."""

    phase: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    longest: float = 0.0
    memory: int = 0  # resident bytes of this process, above what it had before the first connection


def resident() -> int:
    """Bytes of memory that this process occupies; 0 where nothing tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return 0


def make_stack(name: str, seed: bytes, device: Device, answer_any: bool = False) -> Stack:
    """A stack with one promiscuous interface, for `device`."""
    if device.layer != 2:
        raise InvalidArgument(f"{device.name} carries bare IP packets: VLANs and MACs need Ethernet")
    stack = Stack(seed + name.encode(), time.monotonic_ns())
    stack.tcp.settings.syn_cache_limit = 1 << 16
    stack.add_interface(name, mac=device.mac, mtu=device.mtu, cdom=DOMAIN, promiscuous=True, answer_any=answer_any)
    return stack


class Link:
    """Both ends in this process: two stacks on a link in memory, served turn by turn."""

    def __init__(self, seed: bytes) -> None:
        near, far = MemoryDevice.pair("scale", queue=QUEUE)
        self.client_stack = make_stack("clients", seed, near)
        self.server_stack = make_stack("servers", seed, far)
        self.stacks = (self.client_stack, self.server_stack)
        self.pumps = (
            Pump(self.client_stack, near, self.client_stack.interfaces[0]),
            Pump(self.server_stack, far, self.server_stack.interfaces[0]),
        )
        for pump in self.pumps:
            pump.device.on_readable = pump.device.on_writable = None
        self.services: list[ControlServer] = []
        for stack in self.stacks:
            stack.on_control = partial(self._open_control, stack)

    def _open_control(self, stack: Stack, path: str | None) -> ControlServer:
        self.services.append(ControlServer(stack, path))
        return self.services[-1]

    def turn(self, wait: float) -> None:
        """Moves what there is to move; sleeps up to `wait` seconds if that is nothing."""
        now = time.monotonic_ns()
        moved = 0
        for pump in self.pumps:
            moved += pump.receive(now)
            pump.stack.poll(now)
            pump.flush()
        for service in self.services:
            service.serve(now)
            if service.deadline() is not None:
                wait = 0.0
        if not moved and wait:
            time.sleep(min(wait, 0.001))

    def close(self) -> None:
        """Ends both stacks, silently."""
        for service in self.services:
            service.close()
        for stack in self.stacks:
            stack.close()


class Wire:
    """One end in this process, the other beyond a device."""

    def __init__(self, seed: bytes, name: str, device: Device, answer_any: bool) -> None:
        self.stack = make_stack(name, seed, device, answer_any)
        self.stacks = (self.stack,)
        self.driver = Driver(self.stack)
        self.driver.add_device(device, self.stack.interfaces[0])

    def turn(self, wait: float) -> None:
        """Moves what there is to move; waits up to `wait` seconds for something."""
        self.driver.run_once(wait)

    def close(self) -> None:
        """Ends the stack and closes the device."""
        self.driver.close()
        self.stack.close()


class Run:
    """One run of a load: `server`, `client` or both, over a `medium`.

    `on_progress`: None, or called now and then with this object.
    """

    def __init__(
        self, load: Load, plan: Plan, medium: Link | Wire, server_stack: Stack | None, client_stack: Stack | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if load.connections > plan.capacity and client_stack is not None:
            raise InvalidArgument(
                f"the ranges have {plan.capacity} connections, and {load.connections} are wanted: widen them"
            )
        if load.listeners > plan.services:
            raise InvalidArgument(
                f"{load.listeners} listeners, and the ranges have {plan.services} services: widen them"
            )
        self.load = load
        self.plan = plan
        self.medium = medium
        self.clock = clock
        self.server = Server(server_stack, plan, load.exchange) if server_stack is not None else None
        self.client = Client(client_stack, plan, load.exchange) if client_stack is not None else None
        self.report = Report()
        self.on_progress: Callable[[Run], None] | None = None
        self.began = 0.0
        self._told = 0.0
        self._memory = 0

    def run(self) -> None:
        """Does all of it: what `report` and the ends' counts tell afterwards."""
        self.began = self.clock()
        self._memory = resident()
        for phase, work in (
            ("listen", self._listen), ("connect", self._connect), ("exchange", self._exchange), ("hold", self._hold),
        ):
            began = self.clock()
            self.report.phase = phase
            for _ in work():
                self._tell(False)
                if self.load.duration and self.clock() - self.began >= self.load.duration:
                    break
            self.report.seconds[phase] = self.clock() - began
        self._tell(True)

    @property
    def ok(self) -> bool:
        """Whether all that was wanted was done, and every byte right."""
        wrong = sum(end.counts["corrupt"] + end.counts["failed"] for end in (self.server, self.client) if end)
        if self.client is None or wrong:
            return not wrong
        done = self.client.counts["exchanges"] == self.load.connections * self.load.exchange.count
        return done and self.client.established == self.load.connections

    def summary(self) -> dict[str, Any]:
        """The whole run as one record."""
        report = self.report
        record: dict[str, Any] = {
            "ok": self.ok, "vlan_stacks": len(self.plan.stacks), "connections": self.load.connections,
            "seconds": {name: round(value, 3) for name, value in report.seconds.items()},
            "longest_turn_ms": round(report.longest * 1e3, 3), "memory": report.memory,
        }
        for name, end in (("server", self.server), ("client", self.client)):
            if end is not None:
                record[name] = dict(sorted(end.counts.items()))
        if self.client is not None:
            connects, exchanges = report.seconds["connect"], report.seconds["exchange"]
            if self.load.exchange.close:
                exchanges = connects
            record["connects_per_second"] = round(self.client.established / connects) if connects else 0
            record["exchanges_per_second"] = round(self.client.counts["exchanges"] / exchanges) if exchanges else 0
            if self.server is not None and self.client.sockets:
                record["bytes_per_connection"] = round(report.memory / len(self.client.sockets))
        return record

    def _tell(self, always: bool) -> None:
        now = self.clock()
        if always or now - self._told >= 0.25:
            self._told = now
            self.report.memory = max(0, resident() - self._memory)
            if self.on_progress is not None:
                self.on_progress(self)

    def _turn(self, wait: float) -> None:
        began = time.thread_time()  # what other programs do on this machine is not counted
        self.medium.turn(wait)
        self.report.longest = max(self.report.longest, time.thread_time() - began)

    def _listen(self) -> Iterator[None]:
        if self.server is None:
            return
        if self.load.listeners == 0:
            self.server.listen_any()
            return
        for _ in self.server.listen_each(self.load.listeners):
            yield

    def _connect(self) -> Iterator[None]:
        client = self.client
        if client is None:
            return
        began = self.clock()
        while client.opened < self.load.connections:
            allowed = self.load.connections
            if self.load.rate:
                allowed = min(allowed, 1 + int((self.clock() - began) * self.load.rate))
            while client.opened < allowed and client.outstanding < OUTSTANDING:
                client.open()
            self._turn(0.0 if client.opened < allowed else 0.001)
            yield
        while client.outstanding:
            self._turn(0.01)
            yield

    def _exchange(self) -> Iterator[None]:
        """`count` rounds over all connections that stay open."""
        client, exchange = self.client, self.load.exchange
        if client is None or exchange.close:
            return
        for _ in range(exchange.count):
            for sock in client.sockets:
                if sock.closed:
                    continue
                client.ask(sock)
                while client.outstanding >= OUTSTANDING:
                    self._turn(0.0)
                    yield
            while client.outstanding:
                self._turn(0.0)
                yield

    def _hold(self) -> Iterator[None]:
        """Idle until the time is over; a server alone serves until then, or for ever."""
        began = self.clock()
        if self.client is None:
            while True:
                self._turn(0.25)
                yield
        while self.clock() - began < self.load.hold:
            self._turn(0.1)
            yield
        if self.load.exchange.close:
            while self.client.stack.tcp.connections and self.clock() - began < DRAIN:
                self._turn(0.01)
                yield


def both_ends(load: Load, plan: Plan, seed: bytes) -> Run:
    """Clients and servers in this process."""
    link = Link(seed)
    return Run(load, plan, link, link.server_stack, link.client_stack)


def one_end(load: Load, plan: Plan, seed: bytes, device: Device, serve: bool, answer_any: bool) -> Run:
    """Servers or clients on a device."""
    wire = Wire(seed, "servers" if serve else "clients", device, answer_any)
    return Run(load, plan, wire, wire.stack if serve else None, None if serve else wire.stack)
