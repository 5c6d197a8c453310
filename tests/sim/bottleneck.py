"""Bulk transfers through one bottleneck, and what can be seen of them: rates, queue, gaps between packets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uinet.errors import WouldBlock
from uinet.sim.link import Link
from uinet.sim.network import Network
from uinet.socket import Socket
from uinet.tcp.tcb import Tcb
from uinet.units import SECOND

BLOCK = bytes(1 << 16)
BIG = {"receive_buffer": 1 << 23, "send_buffer": 1 << 22, "timestamps": True}


class Flow:
    """One connection from `a` to `b` that sends without end, or what `feed` says, under `algorithm`."""

    def __init__(self, world: Bottleneck, port: int, algorithm: Any, endless: bool) -> None:
        self.world = world
        self.got = 0
        self.endless = endless
        listener = world.b.stack.listen(("10.0.0.2", port))
        listener.on_event = self._accept
        self.listener = listener
        self.peer: Any = None
        self.sock: Socket = world.a.stack.connect(("10.0.0.2", port))
        self.sock.on_event = self._write
        self.tcb.algorithm = algorithm

    @property
    def tcb(self) -> Tcb:
        assert self.sock.tcb is not None
        return self.sock.tcb

    @property
    def control(self) -> Any:
        """The congestion control."""
        return self.tcb.congestion

    def _accept(self, listener: Any, events: int) -> None:
        self.peer = listener.accept()
        self.peer.on_event = self._read

    def _read(self, sock: Any, events: int) -> None:
        try:
            while data := sock.recv(1 << 20):
                self.got += len(data)
        except WouldBlock:
            return

    def _write(self, sock: Any, events: int) -> None:
        try:
            while self.endless:
                sock.send(BLOCK)
        except WouldBlock:
            return

    def feed(self, size: int) -> None:
        """Sends `size` bytes now."""
        self.sock.send(bytes(size))


class Bottleneck:
    """Two hosts and the link between them. `rate`: bit/s; `delay`: seconds one way; `rtt` and `bdp` follow."""

    def __init__(self, *, rate: float, delay: float, seed: int = 1, settings: dict[str, Any] | None = None, **link: Any
                 ) -> None:
        self.net = Network(seed=seed)
        self.a, self.b = self.net.host("10.0.0.1/24"), self.net.host("10.0.0.2/24")
        for host in (self.a, self.b):
            for name, value in {**BIG, **(settings or {})}.items():
                setattr(host.stack.tcp.settings, name, value)
        self.rate = rate
        self.link: Link = self.net.link(self.a, self.b, rate=(rate, None), delay=delay, **link)
        self.bdp = rate / 8 * 2 * delay
        self.flows: list[Flow] = []
        self.queues: list[int] = []
        self.goodputs: list[list[float]] = []
        self.end = self.net.now

    def flow(self, algorithm: Any, *, endless: bool = True) -> Flow:
        flow = Flow(self, 80 + len(self.flows), algorithm, endless)
        self.flows.append(flow)
        return flow

    def run(self, seconds: float, step: float = 0.05, look: Callable[[], None] | None = None) -> list[float]:
        """Lets `seconds` pass; what each flow delivered meanwhile, in bit/s. `queues`: frames in the queue, sampled
        every `step` seconds, when `look` is called as well."""
        before = [flow.got for flow in self.flows]
        self.queues = []
        start = self.net.now
        for index in range(round(seconds / step)):
            self.net.run(timeout=(start + round((index + 1) * step * SECOND) - self.net.now) / SECOND)
            self.queues.append(self.link.ab.queued())
            if look is not None:
                look()
        return [(flow.got - then) * 8 / seconds for flow, then in zip(self.flows, before, strict=True)]

    @property
    def mean_queue(self) -> float:
        """Frames, on average of the last run."""
        return sum(self.queues) / len(self.queues)

    def departures(self) -> list[tuple[int, int]]:
        """From now on: (time, bytes) of each frame that `a` sends."""
        times: list[tuple[int, int]] = []

        def note(frame: Any) -> bool:
            times.append((self.net.now, len(frame.data)))
            return False

        self.link.ab.drop = note
        return times
