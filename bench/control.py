"""The control socket of a stack with a million connections: how long totals take, and how long the stack waits for it.

``python -m bench control [--count N] [--only totals,filter,sorted,all,fields]``. A client in a process of its own asks;
between any two slices of control work the stack moves one round trip. A slice is CPU time of the stack's thread, which
is how long the data path stands still.

totals  numbers of everything     filter  one connection of all, by a condition that only it meets
sorted  the first ten of all      all     every connection     fields  every connection with all fields
"""

from __future__ import annotations

import argparse
import gc
import json
import select
import statistics
import subprocess
import sys
import tempfile
import time
from time import thread_time_ns
from typing import Any

from bench.harness import save
from bench.scale import Pair
from uinet.control.server import Server

ASK = """
import json, sys, time
from uinet.control.client import Client
path, command, arguments, times = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
took, rows = [], 0
with Client(path, timeout=600.0) as client:
    for _ in range(times):
        began = time.perf_counter()
        rows = sum(1 for _ in client.rows(command, **arguments))
        took.append(time.perf_counter() - began)
print(json.dumps([sorted(took)[len(took) // 2], rows]))
"""
QUESTIONS: dict[str, tuple[str, dict[str, Any], int]] = {
    "totals": ("totals", {}, 21),
    "filter": ("stat", {"what": "connections", "filter": ["serial=7"]}, 1),
    "sorted": ("stat", {"what": "connections", "sort": "-bytes_in", "limit": 10}, 1),
    "all": ("stat", {"what": "connections"}, 1),
    "fields": ("stat", {"what": "connections", "fields": "all"}, 1),
}


def ask(pair: Pair, server: Server, path: str, question: tuple[str, dict[str, Any], int]) -> dict[str, float]:
    """Has the question asked, and serves meanwhile."""
    command, arguments, times = question
    client = subprocess.Popen(
        [sys.executable, "-c", ASK, path, command, json.dumps(arguments), str(times)], stdout=subprocess.PIPE, text=True
    )
    slices: list[int] = []
    trips: list[int] = []
    while client.poll() is None:
        began = thread_time_ns()
        trip(pair)
        between = thread_time_ns()
        server.serve(time.monotonic_ns())
        ended = thread_time_ns()
        trips.append(between - began)
        slices.append(ended - between)
        if server.deadline() is None:
            select.select([server], [], [], 0.001)
    assert client.stdout is not None
    took, rows = json.loads(client.stdout.read())
    client.stdout.close()
    return {
        "seconds": took, "rows": rows, "longest_slice_ms": max(slices) / 1e6, "control_cpu_s": sum(slices) / 1e9,
        "trip_us": statistics.median(trips) / 1e3, "trips": len(trips),
    }


def trip(pair: Pair) -> None:
    """One round trip of 64 bytes on one connection among all."""
    pair.now += 1000
    pair.client.send(b"p" * 64)
    pair.b.input(pair.ib, pair.a.output(pair.ia), pair.now)
    pair.server.send(pair.server.recv(64))
    pair.a.input(pair.ia, pair.b.output(pair.ib), pair.now)
    pair.client.recv(64)


def main(runs: int = 1, options: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench control")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--only", default=",".join(QUESTIONS), metavar="QUESTION,...")
    arguments = parser.parse_args(options or [])
    count, only = arguments.count, arguments.only.split(",")
    if not set(only) <= set(QUESTIONS):
        parser.error(f"questions are {', '.join(QUESTIONS)}")
    pair = Pair()
    pair.fill(count, False)
    pair.busy()
    gc.collect()
    gc.freeze()  # what is loaded lives on: as a program with a million sockets should say, too (docs/scale.md)
    found: dict[str, Any] = {"count": count, "questions": {}}
    print(f"control socket of a stack with {count:,} connections")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/control"
        server = Server(pair.b, path)
        for name in only:
            one = found["questions"][name] = ask(pair, server, path, QUESTIONS[name])
            print(
                f"  {name:<8} {one['seconds'] * 1e3:>10,.1f} ms  {one['rows']:>9,} rows   longest slice "
                f"{one['longest_slice_ms']:.2f} ms   CPU {one['control_cpu_s']:.2f} s, "
                f"{one['trips']:,} round trips meanwhile",
                flush=True,
            )
        server.close()
    save("control", found)


if __name__ == "__main__":
    main(options=sys.argv[1:])
