"""Connections per second: connect, 64 bytes there, 64 bytes back, close.

A kernel client (bench/load.c, epoll) has so many connections open at a time. The same asyncio program serves them on
uinet, over a TAP, and on the kernel's sockets, over a veth. The engine's echo without an event loop, and lwIP's if its
library is installed, are measured per CPU-second of their process, which has all the work of the TAP in it: what a
write brings about in the kernel, up to the client's socket, is charged to the writer.
"""

from __future__ import annotations

import statistics
import sys
from functools import partial

from bench.harness import (
    Side,
    Skipped,
    address,
    ask,
    cable,
    compiled,
    cpu_seconds,
    interleave,
    line,
    many_ports,
    namespaces,
    ratio,
    save,
    serving,
)

SECONDS = 2.0
AT_ONCE = 64
SIZE = 64
WANTED = 1.5
WANTED_PER_CPU = 40_000
SERVER = (sys.executable, "-m", "bench.servers")


def measure(side: Side, load: str) -> float:
    """Connections per second of one run; `per_cpu` gets those per CPU-second of the server."""
    work = "10.9.0.2", "80"
    with serving(side.server_side, *side.server) as process:
        if side.server[1] == "echo" and "lwip" in side.server[0]:
            address(side.server_side)
        ask(side.client_side, load, "connect", *work, "0.2", str(AT_ONCE), str(SIZE))
        before = cpu_seconds(process)
        found = ask(side.client_side, load, "connect", *work, str(SECONDS), str(AT_ONCE), str(SIZE))
        used = cpu_seconds(process) - before
    if found["failed"] > found["connections"] / 1000:
        raise RuntimeError(f"{found['failed']} of {found['connections']} connections failed")
    side.per_cpu.append(found["connections"] / used)
    return float(found["connections"] / found["wall"])


def sides(alone: str, near: str, far: str, load: str) -> dict[str, Side]:
    """What is compared."""
    compared = {
        "asyncio on uinet": Side(alone, alone, *SERVER, "uinet", "echo", "asyncio"),
        "asyncio on the kernel": Side(near, far, *SERVER, "kernel", "echo", "asyncio"),
        "uvloop on uinet": Side(alone, alone, *SERVER, "uinet", "echo", "uvloop"),
        "uvloop on the kernel": Side(near, far, *SERVER, "kernel", "echo", "uvloop"),
        "engine": Side(alone, alone, *SERVER, "uinet", "engine", "asyncio"),
        "C on the kernel": Side(near, far, load, "answer", "80", str(SIZE)),
    }
    try:
        lwip = compiled("lwip", "-I/usr/include/lwip", "-llwip")
    except Skipped:
        print("  (no liblwip-dev here: lwIP is left out)")
    else:
        compared["lwIP"] = Side(alone, alone, lwip, "echo", "bench0", "10.9.0.2", "10.9.0.1", "0")
    return compared


def main(runs: int = 5) -> None:
    print(f"connections: connect, {SIZE} bytes, {SIZE} bytes, close; {AT_ONCE} at a time")
    load = compiled("load")
    with namespaces(3) as (alone, near, far):
        cable(near, far)
        many_ports(alone)
        many_ports(near)
        many_ports(far)
        compared = sides(alone, near, far, load)
        rates = interleave({name: partial(measure, side, load) for name, side in compared.items()}, runs)
    for name, found in rates.items():
        line(name, found, "/s")
        line(f"{name}, of its process", compared[name].per_cpu, "/CPU-s")
    ratios = {
        loop: ratio(f"{loop}: uinet / kernel", rates[f"{loop} on uinet"], rates[f"{loop} on the kernel"],
                    f"at least {WANTED}")
        for loop in ("asyncio", "uvloop")
    }
    engine = statistics.median(compared["engine"].per_cpu)
    print(f"  {'engine':<46} {engine:>10.0f} per CPU-second, wanted at least {WANTED_PER_CPU}")
    save("connections", {
        "per_second": rates, "per_cpu_second": {name: side.per_cpu for name, side in compared.items()},
        "ratios": ratios, "engine_per_cpu_second": engine,
        "wanted": {"ratio": WANTED, "engine_per_cpu_second": WANTED_PER_CPU},
    })
