"""What the golden tables are made of: transfers between two simulated hosts, or many, measured in virtual time.

Everything is a function of the arguments: two stacks, a link whose queue holds one bandwidth-delay product, buffers
that never limit, faults on the sender's way only.
"""

from __future__ import annotations

import socket
import statistics
from dataclasses import dataclass
from typing import Any

from uinet.errors import TimedOut, WouldBlock
from uinet.events import EV_ERROR
from uinet.sim.network import Network
from uinet.sim.nodes import Host

PORT = 80
BLOCK = bytes(1 << 18)
FRAME_BITS = 1514 * 8
BUFFER = 1 << 26
STAGGER = 100_000_000  # ns between the beginnings of two flows
SAMPLE = 10_000_000  # ns between two looks at the queue
NAMES = ("newreno", "cubic", "bbr")


def available(congestion: str) -> bool:
    """Whether this build knows a congestion control of that name."""
    net = Network()
    try:
        configure(net.host("10.0.0.1/24"), congestion)
    except (AttributeError, OSError):
        return False
    return True


def configure(host: Host, congestion: str) -> None:
    """Large buffers, and the congestion control of that name; AttributeError or OSError if there is none."""
    settings: Any = host.stack.tcp.settings
    settings.send_buffer = settings.receive_buffer = BUFFER
    if hasattr(settings, "congestion"):
        settings.congestion = congestion
    elif congestion != "newreno":
        raise AttributeError(congestion)


class Sender:
    """Sends `left` bytes, then ends; None: for as long as it lives."""

    def __init__(self, sock: Any, left: int | None) -> None:
        self.left = left
        self.sock = sock
        sock.on_event = self.on_event
        self.on_event(sock, 0)

    def on_event(self, sock: Any, events: int) -> None:
        if events & EV_ERROR:
            return
        try:
            while self.left is None or self.left > 0:
                piece = BLOCK if self.left is None or self.left >= len(BLOCK) else BLOCK[: self.left]
                sent = sock.send(piece)
                if self.left is not None:
                    self.left -= sent
        except WouldBlock:
            return
        sock.shutdown(1)


class Receiver:
    """Counts what comes, and when the last of it did."""

    def __init__(self, host: Host, address: str) -> None:
        self.net_clock = host.clock
        self.bytes = 0
        self.last = 0
        self.ended = False
        self.sock = host.stack.connect((address, PORT))
        self.sock.on_event = self.on_event

    def on_event(self, sock: Any, events: int) -> None:
        try:
            while not self.ended:
                data = sock.recv(1 << 20)
                self.ended = not data
                self.bytes += len(data)
                self.last = self.net_clock.now
        except (WouldBlock, OSError):
            pass


@dataclass(frozen=True)
class Path:
    """The conditions of a link; `delay` each way, in seconds."""

    rate: float
    delay: float
    loss: float = 0.0
    reorder: float = 0.0

    def options(self) -> dict[str, Any]:
        queue = max(10, round(self.rate * 2 * self.delay / FRAME_BITS))
        return {
            "rate": self.rate, "delay": self.delay, "queue": queue, "loss": (self.loss, 0.0),
            "reorder": (self.reorder, 0.0),
        }


def serve(host: Host, address: str, size: int | None, senders: list[Sender]) -> None:
    """Answers every connection to `host` with `size` bytes."""
    listener = host.stack.listen((address, PORT))
    listener.on_event = lambda sock, events: senders.append(Sender(sock.accept(), size))


def bulk(congestion: str, path: Path, seconds: float, seed: int) -> float:
    """Mbit/s of payload that one connection carries in `seconds`, its start included."""
    net = Network(seed=seed)
    server, client = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
    for host in (server, client):
        configure(host, congestion)
    net.link(server, client, **path.options())
    serve(server, "10.0.0.1", None, senders := [])
    receiver = Receiver(client, "10.0.0.1")
    run_until(net, net.now + round(seconds * 1e9))
    assert senders
    return receiver.bytes * 8e-6 / seconds


def completion(congestion: str, path: Path, size: int, seed: int, patience: float = 300.0) -> float | None:
    """Milliseconds from connect until the last of `size` bytes is there; None if they take more than `patience` s."""
    net = Network(seed=seed)
    server, client = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
    for host in (server, client):
        configure(host, congestion)
    net.link(server, client, **path.options())
    serve(server, "10.0.0.1", size, [])
    start = net.now
    receiver = Receiver(client, "10.0.0.1")
    try:
        net.run(lambda: receiver.ended or receiver.bytes == size, patience)
    except TimedOut:
        return None
    return (receiver.last - start) / 1e6


@dataclass(frozen=True)
class Share:
    """How flows share a bottleneck: Jain's index of their bytes, the wire's use, drops, queue, Mbit/s of each."""

    jain: float
    utilization: float
    drops: float
    queue: float
    mbits: tuple[float, ...]


def fairness(congestions: list[str], path: Path, seconds: float, seed: int) -> Share:
    """A flow for each name through one bottleneck, begun 100 ms apart, over the second half of `seconds`.

    `drops`: of the frames that came to the bottleneck. `queue`: mean length, as a part of what it holds.
    """
    net = Network(seed=seed)
    server, client = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
    for host in (server, client):
        configure(host, congestions[0])
    options = path.options()
    link = net.link(server, client, **options)
    flows: list[Sender] = []

    def accept(sock: Any, events: int) -> None:
        accepted = sock.accept()
        choose(accepted, congestions[len(flows)])
        flows.append(Sender(accepted, None))

    server.stack.listen(("10.0.0.1", PORT)).on_event = accept
    receivers: list[Receiver] = []
    for number in range(len(congestions)):
        net.clock.after(number * STAGGER, lambda: receivers.append(Receiver(client, "10.0.0.1")))
    run_until(net, net.now + round(seconds * 5e8))
    before = [receiver.bytes for receiver in receivers]
    counters = dict(link.ab.counters)
    lengths: list[int] = []
    end = net.now + round(seconds * 5e8)
    while net.now < end:
        run_until(net, net.now + SAMPLE)
        lengths.append(link.ab.queued())
    shares = [receiver.bytes - was for receiver, was in zip(receivers, before, strict=True)]
    total = sum(shares)
    sent = link.ab.counters["sent"] - counters["sent"]
    return Share(
        jain=total**2 / (len(shares) * sum(share**2 for share in shares)) if total else 0.0,
        utilization=total * 16 / seconds / path.rate,
        drops=(link.ab.counters["queue_full"] - counters["queue_full"]) / max(1, sent),
        queue=statistics.mean(lengths) / options["queue"],
        mbits=tuple(share * 16e-6 / seconds for share in shares),
    )


def choose(sock: Any, congestion: str) -> None:
    """Sets the congestion control of one connection, if it is not what its stack chooses."""
    settings = sock.stack.tcp.settings if hasattr(sock, "stack") else None
    if getattr(settings, "congestion", congestion) != congestion:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())


def run_until(net: Network, time: int) -> None:
    """Lets things happen until the clock shows `time`."""
    net.clock.at(time, lambda: None)
    net.run(lambda: net.now >= time)
