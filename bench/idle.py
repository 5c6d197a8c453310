"""Idle connections: their memory, and what 10,000 of them do to the round trip and throughput of a busy one."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import uinet
from bench.harness import interleave, line, ratio, save
from bench.receive_path import Pair
from uinet import ANY, L2Info
from uinet.wire.build import tcp

COUNT = 10_000
TRIPS = 2000


def resident() -> int:
    """Bytes of memory that this process occupies."""
    for text in Path("/proc/self/status").read_text().splitlines():
        if text.startswith("VmRSS"):
            return int(text.split()[1]) * 1024
    return 0


def promiscuous_memory() -> float:
    """Bytes a promiscuous connection, each on its own VLAN and address; both ends are in this process."""
    a, b = uinet.Stack(b"a"), uinet.Stack(b"b")
    ia, ib = a.add_interface("e0", cdom=1), b.add_interface("e0", cdom=1)
    listener = b.listen((ANY, ANY), vlans=ANY, cdom=1, backlog=COUNT)
    gc.collect()
    before = resident()
    kept = []
    for i in range(COUNT):
        l2 = L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02", (1 + i % 4094,))
        source = (f"10.1.{i // 250}.{i % 250 + 1}", 1024 + i)
        kept.append(a.connect(("10.2.0.1", 80), source=source, l2=l2, cdom=1))
        if i % 100 == 99:
            for _ in range(2):
                b.input(ib, a.output(ia), 0)
                a.input(ia, b.output(ib), 0)
            while listener.readable:
                kept.append(listener.accept())
            a.events()
            b.events()
    gc.collect()
    assert len(kept) == 2 * COUNT, len(kept)
    return (resident() - before) / len(kept)


def watched_memory() -> float:
    """Bytes a watched connection, each on its own VLAN and address, with a socket for each direction."""
    stack = uinet.Stack(b"w")
    interface = stack.add_interface("e0", cdom=1)
    listener = stack.listen((ANY, ANY), vlans=ANY, cdom=1, backlog=COUNT, passive=True)
    handshakes = []
    for i in range(COUNT):
        there = L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02", (1 + i % 4094,))
        client, port = f"10.1.{i // 250}.{i % 250 + 1}", 1024 + i
        handshakes.append([
            tcp(client, "10.2.0.1", port, 80, "S", i, 0, 65535, (), b"", there),
            tcp("10.2.0.1", client, 80, port, "S.", ~i & 0xFFFFFFFF, i + 1, 65535, (), b"", there.reversed()),
            tcp(client, "10.2.0.1", port, 80, ".", i + 1, -i & 0xFFFFFFFF, 65535, (), b"", there),
        ])
    gc.collect()
    before = resident()
    kept = []
    for frames in handshakes:
        stack.input(interface, frames, 0)
        primary = listener.accept()
        kept += [primary, primary.get_passive_peer()]
        stack.events()
    gc.collect()
    assert len(kept) == 2 * COUNT and stack.tcp.table.count == 2 * COUNT, len(kept)
    return (resident() - before) / COUNT


class Crowd(Pair):
    """A busy connection, and the idle ones beside it."""

    def __init__(self, idle: int) -> None:
        super().__init__()
        self.others = []
        listener = self.b.listen((ANY, 81), backlog=1024)
        for i in range(idle):
            self.others.append(self.a.connect(("10.0.0.2", 81)))
            if i % 100 == 99 or i == idle - 1:
                for _ in range(3):
                    self.b.input(self.ib, self.a.output(self.ia), 0)
                    self.a.input(self.ia, self.b.output(self.ib), 0)
                while listener.readable:
                    self.others.append(listener.accept())
                self.a.events()
                self.b.events()
        assert len(self.others) == 2 * idle, len(self.others)
        for sock in self.others[:: max(1, len(self.others) // 100)]:
            assert sock.state == "ESTABLISHED", sock.state

    def trip(self) -> float:
        """The median of many round trips of 64 bytes, in us of work."""
        samples = []
        for _ in range(TRIPS):
            self.now += 1000
            t0 = time.perf_counter()
            self.client.send(b"p" * 64)
            self.b.input(self.ib, self.a.output(self.ia), self.now)
            self.server.send(self.server.recv(64))
            self.a.input(self.ia, self.b.output(self.ib), self.now)
            self.client.recv(64)
            samples.append(time.perf_counter() - t0)
        samples.sort()
        return samples[len(samples) // 2] * 1e6

    def bulk(self) -> float:
        """ns a segment of bulk transfer, both ends together."""
        return sum(self.run().values())


def main(runs: int = 5) -> None:
    print(f"idle: memory of idle connections, and what {COUNT} of them cost a busy one")
    memory = [promiscuous_memory() for _ in range(1)]
    line("memory of an idle promiscuous connection", memory, "bytes")
    watched = [watched_memory() for _ in range(1)]
    line("memory of an idle watched connection, both sockets", watched, "bytes")
    alone, crowd = Crowd(0), Crowd(COUNT)
    trips = interleave({"alone": alone.trip, "crowd": crowd.trip}, max(5, runs))
    bulk = interleave({"alone": alone.bulk, "crowd": crowd.bulk}, max(5, runs))
    line("round trip alone", trips["alone"], "us")
    line(f"round trip among {COUNT}", trips["crowd"], "us")
    trip_ratio = ratio("round trip: among / alone", trips["crowd"], trips["alone"], "below 1.1")
    line("bulk alone", bulk["alone"], "ns a segment")
    line(f"bulk among {COUNT}", bulk["crowd"], "ns a segment")
    bulk_ratio = ratio("throughput: among / alone", bulk["alone"], bulk["crowd"], "above 0.9")
    ratios = {"trip_ratio": trip_ratio, "bulk_ratio": bulk_ratio}
    save("idle", {"bytes": memory, "watched_bytes": watched, "trips_us": trips, "bulk_ns": bulk, **ratios})
