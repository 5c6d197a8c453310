"""A million connections: what they take, what they cost a busy one, and what each further one costs.

``python -m bench scale [--count N] [--only memory,busy,idle,listeners,flood,exchange]``. Figures are CPU time of this
process, which other programs on the machine disturb less than wall time; both ends are in it.

memory     bytes of RAM a connection takes, each with a socket and a VLAN stack of its own
busy       round trip and throughput of one connection among all the others : alone
curve      the same, and a connect, at 10, 100, 1000, ... connections; ``python -m bench.curves FILE.svg`` draws it
idle       CPU that they cost while they do nothing, with keepalive armed at two hours; the longest poll
listeners  a connect at N listeners : at 10; the longest call while tables grow
flood      a spoofed SYN, answered with a cookie; genuine clients meanwhile
exchange   N listeners and N connections that all exchange, in three distributions (uinet scale)
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import statistics
import subprocess
import sys
from time import thread_time_ns
from typing import Any

import uinet
from bench.harness import interleave, line, ratio, save
from bench.idle import resident
from uinet import ANY, L2Info
from uinet.wire.build import tcp
from uinet.wire.kernels import untrack
from uinet.wire.tcp_options import Mss, SackPermitted, Timestamps, WindowScale

PARTS = ("flood", "listeners", "memory", "busy", "curve", "idle", "exchange")
HOURS = 2
OPTIONS = (Mss(1460), SackPermitted(), Timestamps(1, 0), WindowScale(7))
TRIPS = 1000
DATA = b"x" * 65536
FLOOD = 50_000
DISTRIBUTIONS = {
    "a million IPs": ("--server-ip", "10.128.0.0/9"),
    "a million VLAN stacks three deep": ("--vlan", "1-100:1-100:1-100", "--server-ip", "10.128.0.1"),
    "a mixture": (
        "--vlan", "none", "--vlan", "1-9", "--vlan", "1-9:10-19", "--vlan", "1-9:10-19:20-29", "--server-ip",
        "10.128.0.0/15", "--server-mac", "02:00:00:01:00:00+1000", "--client-mac", "02:00:00:02:00:00+1000",
    ),
}


def l2_of(number: int) -> L2Info:
    """A VLAN stack three deep for each of a million."""
    vlans = (1 + number // 10_000 % 100, 1 + number // 100 % 100, 1 + number % 100)
    return L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02", vlans)


class Pair:
    """Two promiscuous stacks joined in memory; virtual time. `longest`: of the engine's calls so far, ns: a batch is
    of 64 frames."""

    def __init__(self) -> None:
        self.a, self.b = uinet.Stack(b"a"), uinet.Stack(b"b")
        self.ia, self.ib = self.a.add_interface("e0", cdom=1), self.b.add_interface("e0", cdom=1)
        self.a.tcp.settings.send_memory = self.b.tcp.settings.receive_memory = 1 << 40
        self.now = 0
        self.longest = 0
        # out of the collector's sight: a pass over a list of a million sockets is the program's own pause
        self.kept: list[uinet.Socket] = untrack([])
        self.listener: uinet.Socket | None = None

    def move(self) -> None:
        """Moves frames until there are none."""
        while True:
            out, back = self.timed(self.a.output, self.ia), self.timed(self.b.output, self.ib)
            if not out and not back:
                return
            if out:
                self.timed(self.b.input, self.ib, out, self.now)
            if back:
                self.timed(self.a.input, self.ia, back, self.now)

    def timed(self, call: Any, *arguments: Any, **named: Any) -> Any:
        """Calls something and notes how long it took."""
        began = thread_time_ns()
        found = call(*arguments, **named)
        took = thread_time_ns() - began
        if took > self.longest:
            self.longest = took
        return found

    def fill(self, count: int, keepalive: bool) -> None:
        """Opens connections until there are so many; both ends' sockets are kept."""
        if self.listener is None:
            self.listener = self.b.listen((ANY, 80), vlans=ANY, cdom=1, promiscuous=True, backlog=4096)
            self.listener.setsockopt(uinet.SOL_SOCKET, uinet.SO_KEEPALIVE, keepalive)
        for number in range(len(self.kept) // 2, count):
            source = (((11 << 24) + number).to_bytes(4, "big"), 1024)
            sock = self.timed(self.a.connect, (b"\x0a\x02\x00\x01", 80), source=source, l2=l2_of(number), cdom=1)
            if keepalive:
                sock.setsockopt(uinet.SOL_SOCKET, uinet.SO_KEEPALIVE, True)
            self.kept.append(sock)
            if number % 64 == 63 or number == count - 1:
                self.now += 6_400_000  # 10,000 a second
                self.move()
                while self.listener.readable:
                    self.kept.append(self.timed(self.listener.accept))
                self.a.events()
                self.b.events()
        assert len(self.kept) == 2 * count, len(self.kept)
        for sock in self.kept[:: max(1, len(self.kept) // 1000)]:
            assert sock.state == "ESTABLISHED", sock.state

    def busy(self) -> None:
        """Opens one connection more, the one that is measured."""
        listener = self.b.listen((ANY, 81), vlans=ANY, cdom=1, promiscuous=True)
        self.client = self.a.connect(("10.2.0.1", 81), source=("10.1.0.1", 1024), l2=l2_of(0), cdom=1)
        self.move()
        self.server = listener.accept()

    def connect(self, number: int, again: int) -> float:
        """The time of one more connect and accept, in us; the connection is gone again afterwards."""
        assert self.listener is not None
        source = ((14 << 24) + again).to_bytes(4, "big"), 1024
        self.now += 1_000_000
        began = thread_time_ns()
        sock = self.a.connect((b"\x0a\x02\x00\x01", 80), source=source, l2=l2_of(number), cdom=1)
        self.move()
        other = self.listener.accept()
        spent = thread_time_ns() - began
        sock.abort()
        other.close()
        self.move()
        return spent / 1e3

    def trip(self) -> float:
        """The median of many round trips of 64 bytes, in us."""
        samples = []
        for _ in range(TRIPS):
            self.now += 1000
            began = thread_time_ns()
            self.client.send(b"p" * 64)
            self.b.input(self.ib, self.a.output(self.ia), self.now)
            self.server.send(self.server.recv(64))
            self.a.input(self.ia, self.b.output(self.ib), self.now)
            self.client.recv(64)
            samples.append(thread_time_ns() - began)
        return statistics.median(samples) / 1e3

    def bulk(self) -> float:
        """ns a segment of bulk transfer, both ends together."""
        segments = 0
        began = thread_time_ns()
        for _ in range(100):
            self.now += 1000
            try:
                self.client.send(DATA)
                self.client.send(DATA)
            except uinet.WouldBlock:
                pass
            frames = self.a.output(self.ia)
            segments += len(frames)
            self.b.input(self.ib, frames, self.now)
            while self.server.readable:
                self.server.recv(1 << 20)
            self.a.input(self.ia, self.b.output(self.ib), self.now)
        return (thread_time_ns() - began) / segments


def crowd(count: int, found: dict[str, Any], parts: list[str], runs: int) -> None:
    """Memory, the busy one, and idleness: they share a million connections."""
    pair, alone = Pair(), Pair()
    pair.busy()
    for _ in range(40):
        pair.bulk()  # until its window and buffers have grown
    settle()
    before = resident()
    curve = []
    for stage in (stages(count) if "curve" in parts else [count]):
        pair.fill(stage, True)
        if "curve" in parts:
            curve.append(point(pair))
    gc.collect()
    found["bytes"] = (resident() - before) / (2 * count)
    found["longest_connect_ms"] = pair.longest / 1e6
    line("memory of an idle connection, socket and all", [found["bytes"]], "bytes")
    line("longest call while they were opened", [pair.longest / 1e6], "ms")
    if curve:
        found["curve"] = curve
        print(f"  {'connections':>12} {'connect us':>11} {'round trip us':>14} {'ns a segment':>13}")
        for at in curve:
            print(f"  {at['count']:>12,} {at['connect_us']:>11.1f} {at['trip_us']:>14.1f} {at['bulk_ns']:>13.0f}")
    if "busy" in parts:
        alone.busy()
        trips = interleave({"alone": alone.trip, "among": pair.trip}, max(5, runs))
        bulk = interleave({"alone": alone.bulk, "among": pair.bulk}, max(5, runs))
        line("round trip alone", trips["alone"], "us")
        line(f"round trip among {count}", trips["among"], "us")
        found["trip_ratio"] = ratio("round trip: among / alone", trips["among"], trips["alone"], "at most 1.2")
        line("bulk alone", bulk["alone"], "ns a segment")
        line(f"bulk among {count}", bulk["among"], "ns a segment")
        found["bulk_ratio"] = ratio("throughput: among / alone", bulk["alone"], bulk["among"], "at least 0.85")
        found |= {"trips_us": trips, "bulk_ns": bulk}
    if "idle" in parts:
        idle(pair, found)


def stages(count: int) -> list[int]:
    """10, 100, 1000, ... up to `count`."""
    return [10**power for power in range(1, 10) if 10**power < count] + [count]


def point(pair: Pair) -> dict[str, float]:
    """What things cost at as many connections as there are: medians of CPU time, both ends together."""
    number = len(pair.kept) // 2
    connects = [pair.connect(number, again) for again in range(300)]
    return {
        "count": number, "connect_us": statistics.median(connects),
        "trip_us": statistics.median(pair.trip() for _ in range(5)),
        "bulk_ns": statistics.median(pair.bulk() for _ in range(5)),
    }


def idle(pair: Pair, found: dict[str, Any]) -> None:
    """Two hours and a half in which nothing happens but keepalive: every connection is probed once."""
    pair.longest = 0
    polls = 0
    start = pair.now
    began = thread_time_ns()
    while pair.now < start + (HOURS * 3600 + 1800) * 10**9:
        deadlines = [at for at in (pair.a.next_deadline(), pair.b.next_deadline()) if at is not None]
        pair.now = max(pair.now, min(deadlines, default=start + 3 * HOURS * 3600 * 10**9))
        for stack in (pair.a, pair.b):
            pair.timed(stack.poll, pair.now)
            polls += 1
        pair.move()
    spent = (thread_time_ns() - began) / 1e9
    probes = pair.a.stats["tcp_keepalive_probe"] + pair.b.stats["tcp_keepalive_probe"]
    share = 100 * spent / ((pair.now - start) / 1e9) / 2
    found["idle"] = {"percent": share, "probes": probes, "polls": polls, "longest_poll_ms": pair.longest / 1e6}
    line("CPU of an end, idle, keepalive at 2 h", [share], "% of a core")
    print(f"    ({probes} probes, {polls} polls; wanted below 0.5 %)")
    line("longest poll", [pair.longest / 1e6], "ms")


class Target(Pair):
    """Many listeners, each for an address of its own."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.number = 0
        for number in range(count):
            endpoint = ((12 << 24) + number).to_bytes(4, "big"), 80
            self.kept.append(
                self.timed(self.b.listen, endpoint, vlans=ANY, cdom=1, promiscuous=True, backlog=4)
            )

    def connect(self) -> float:
        """The median time of a connect and accept, in us, of connections to listeners here and there."""
        samples = []
        for _ in range(300):
            self.number += 1
            which = self.number * 611_953 % self.count
            there = ((12 << 24) + which).to_bytes(4, "big")
            source = ((13 << 24) + self.number).to_bytes(4, "big"), 1024
            self.now += 1_000_000
            began = thread_time_ns()
            sock = self.a.connect((there, 80), source=source, l2=l2_of(0), cdom=1)
            self.move()
            other = self.kept[which].accept()
            samples.append(thread_time_ns() - began)
            sock.abort()
            other.close()
            self.move()
        return statistics.median(samples) / 1e3


def settle() -> None:
    """Begins anew: the allocator puts together now what earlier parts have left in pieces, not within a call that is
    timed."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


def listeners(count: int, found: dict[str, Any], runs: int) -> None:
    """A connect at many listeners."""
    settle()
    before = resident()
    few, many = Target(10), Target(count)
    found["listener_bytes"] = (resident() - before) / count
    found["longest_listen_ms"] = many.longest / 1e6
    line("memory of a listener", [found["listener_bytes"]], "bytes")
    line("longest call of listen", [many.longest / 1e6], "ms")
    times = interleave({"few": few.connect, "many": many.connect}, max(5, runs))
    line("connect and accept at 10 listeners", times["few"], "us")
    line(f"connect and accept at {count}", times["many"], "us")
    found["connect_ratio"] = ratio("connect: at many / at 10", times["many"], times["few"], "at most 1.2")
    found["connect_us"] = times


def flood(found: dict[str, Any], runs: int) -> None:
    """Spoofed SYNs against one listener whose SYN cache is full, and genuine clients in the middle of them."""
    costs = []
    reached = []
    options = OPTIONS
    frames = [
        tcp(f"11.{i >> 16}.{i >> 8 & 255}.{i & 255}", "10.2.0.1", 1024 + i % 60000, 80, "S", i, 0, 65535, options, b"",
            L2Info.make("02:00:00:00:00:03", "02:00:00:00:00:02", (7,)))
        for i in range(FLOOD)
    ]
    for _ in range(max(3, runs)):
        pair = Pair()
        listener = pair.b.listen((ANY, 80), vlans=ANY, cdom=1, promiscuous=True, backlog=128)
        pair.b.input(pair.ib, frames[:1000], 0)  # fills the cache: cookies from now on
        pair.b.output(pair.ib)
        spent = 0
        clients = []
        for at in range(1000, FLOOD, 64):
            if at < 1000 + 64 * 3:
                source = ("10.1.0.1", 1024 + at)
                clients.append(pair.a.connect(("10.2.0.1", 80), source=source, l2=l2_of(at), cdom=1))
                pair.b.input(pair.ib, pair.a.output(pair.ia), 0)
            began = thread_time_ns()
            pair.b.input(pair.ib, frames[at : at + 64], 0)
            out = pair.b.output(pair.ib)
            spent += thread_time_ns() - began
            if clients:
                pair.a.input(pair.ia, out, 0)
                pair.b.input(pair.ib, pair.a.output(pair.ia), 0)
                while listener.readable:
                    reached.append(listener.accept())
                if at > 1000 + 64 * 4:
                    clients = []
        costs.append(spent / (FLOOD - 1000))
        assert pair.b.stats["tcp_syncookie_sent"] > FLOOD - 2000, "not every SYN got its cookie"
    found["syn_ns"] = costs
    found["genuine"] = [len(reached), 3 * len(costs)]
    line("a spoofed SYN, and its cookie", costs, "ns")
    print(f"    genuine clients that got through at once: {len(reached)} of {3 * len(costs)}")


def exchange(count: int, found: dict[str, Any]) -> None:
    """N listeners and N exchanging connections, in each distribution."""
    found["exchange"] = {}
    for name, ranges in DISTRIBUTIONS.items():
        command = [
            sys.executable, "-m", "uinet.cli", "scale", "--json", "--seed", "1", "-n", str(count), "--listeners",
            str(count), "--duration", "1500", *ranges,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
        if not done.stdout:
            raise RuntimeError(f"uinet scale: {done.stderr.strip()}")
        record = json.loads(done.stdout)
        found["exchange"][name] = record
        client = record["client"]
        print(f"  {name}: {client['established']} connections, {client.get('exchanges', 0)} exchanges")
        line("    all of them at once", [record["memory"] / 1e9], "GB")
        line("    connects, exchanges a second", [record["connects_per_second"], record["exchanges_per_second"]], "1/s")
        print(f"    {'ok' if record['ok'] else 'NOT OK'}; seconds: {record['seconds']}")


def main(runs: int = 5, options: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench scale")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--only", default=",".join(PARTS))
    arguments = parser.parse_args(options or [])
    parts = arguments.only.split(",")
    if set(parts) - set(PARTS) or arguments.count < 10:
        parser.error(f"--only takes {', '.join(PARTS)}; --count 10 or more")
    print(f"scale: {arguments.count} connections")
    gc.collect()
    gc.freeze()  # what is loaded lives on: as a program with a million sockets should say, too (docs/scale.md)
    found: dict[str, Any] = {"count": arguments.count}
    if "flood" in parts:
        flood(found, runs)
    if "listeners" in parts:
        listeners(arguments.count, found, runs)
    if {"memory", "busy", "curve", "idle"} & set(parts):
        crowd(arguments.count, found, parts, runs)
    if "exchange" in parts:
        exchange(arguments.count, found)
    save("scale", found)
