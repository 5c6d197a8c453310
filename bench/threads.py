"""Two stacks in two threads beside one in one: what a CPython without a GIL (3.13t and newer) is worth.

Each thread has two stacks of its own, joined in memory, and moves 1448-byte segments through them. Counted are segments
in all threads together, a second of wall time, in short bursts; the ratio is the scaling. With a GIL it says so, and
measures what that costs. As root on a busy machine set UINET_BENCH_REALTIME=1: each thread gets a processor of its own
then, ahead of what else runs.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from functools import partial

from bench.harness import interleave, line, ratio, save
from bench.receive_path import Pair
from uinet.crew import without_gil

SECONDS = 0.3
WANTED = 1.8


class Loader:
    """Moves segments until it is told to stop."""

    def __init__(self, pair: Pair, processor: int, gate: threading.Barrier) -> None:
        self.pair = pair
        self.processor = processor
        self.gate = gate
        self.segments = 0
        self.cpu = 0.0
        self.wall = 0.0

    def run(self) -> None:
        if os.environ.get("UINET_BENCH_REALTIME"):
            os.sched_setaffinity(0, {self.processor})
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        self.gate.wait()
        begin, cpu = time.perf_counter(), time.thread_time()
        while time.perf_counter() - begin < SECONDS:
            self.segments += self.pair.burst(10)
        self.wall, self.cpu = time.perf_counter() - begin, time.thread_time() - cpu


def measure(count: int, pairs: list[Pair], cpu: dict[int, list[float]]) -> float:
    """Segments a second of `count` threads together."""
    gate = threading.Barrier(count)
    processors = sorted(os.sched_getaffinity(0))
    loaders = [Loader(pairs[n], processors[n % len(processors)], gate) for n in range(count)]
    threads = [threading.Thread(target=loader.run) for loader in loaders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cpu[count].append(sum(loader.cpu for loader in loaders) / sum(loader.segments for loader in loaders) * 1e9)
    return sum(loader.segments / loader.wall for loader in loaders)


def main(runs: int = 5) -> None:
    free = without_gil()
    print(f"threads: two stacks in two threads, CPython {sys.version.split()[0]}, {'no GIL' if free else 'with a GIL'}")
    if not free:
        print("  run it with a free-threaded interpreter (python3.13t and newer): with a GIL threads take turns")
    if len(os.sched_getaffinity(0)) < 2:
        print("  one processor only: nothing can scale here")
    pairs = [Pair(), Pair()]
    for pair in pairs:
        pair.burst(50)
    cpu: dict[int, list[float]] = {1: [], 2: []}
    wall = interleave({str(n): partial(measure, n, pairs, cpu) for n in (1, 2)}, runs)
    line("one thread", wall["1"], "segments/s")
    line("two threads", wall["2"], "segments/s")
    line("one thread, CPU", cpu[1], "ns/segment")
    line("two threads, CPU", cpu[2], "ns/segment")
    value = ratio("two threads / one", wall["2"], wall["1"], f">= {WANTED}")
    save("threads", {"free_threaded": free, "wanted": WANTED, "segments": wall, "cpu_ns": cpu, "ratio": value})
