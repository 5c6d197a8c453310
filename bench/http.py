"""HTTP requests per second: wrk with 64 connections that stay, against asyncio servers on uinet and on the kernel."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial

from bench.harness import (
    PEERS,
    Side,
    Skipped,
    cable,
    cpu_seconds,
    inside,
    interleave,
    line,
    namespaces,
    ratio,
    save,
    serving,
)

SECONDS = 2
CONNECTIONS = 64
WANTED = 1.0
SERVER = (sys.executable, "-m", "bench.servers")


def measure(side: Side) -> float:
    """Requests per second of one run."""
    with serving(side.server_side, *side.server) as process:
        before = cpu_seconds(process)
        rate, total = wrk(side.client_side)
        side.per_cpu.append(total / (cpu_seconds(process) - before))
    return rate


def wrk(namespace: str) -> tuple[float, int]:
    """Requests per second, and how many in all, of one run of wrk."""
    command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{SECONDS}s", "http://10.9.0.2/"]
    done = subprocess.run(
        inside(namespace, command, PEERS), capture_output=True, text=True, timeout=60, check=True
    )
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    total = re.search(r"(\d+) requests in", done.stdout)
    if rate is None or total is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"wrk: {done.stdout}{done.stderr}")
    return float(rate[1]), int(total[1])


def main(runs: int = 5) -> None:
    if shutil.which("wrk") is None:
        raise Skipped("needs wrk: make bench-deps")
    print(f"http: keep-alive, wrk with {CONNECTIONS} connections")
    kinds = ["http"] + (["aiohttp"] if importlib.util.find_spec("aiohttp") else [])
    with namespaces(3) as (alone, near, far):
        cable(near, far)
        sides: dict[str, Side] = {}
        for kind in kinds:
            for loop in ("asyncio", "uvloop"):
                sides[f"{kind} on {loop}, uinet"] = Side(alone, alone, *SERVER, "uinet", kind, loop)
                sides[f"{kind} on {loop}, kernel"] = Side(near, far, *SERVER, "kernel", kind, loop)
        candidates: dict[str, Callable[[], float]] = {name: partial(measure, side) for name, side in sides.items()}
        rates = interleave(candidates, runs)
    for name, found in rates.items():
        line(name, found, "requests/s")
        line(f"{name}, of its process", sides[name].per_cpu, "/CPU-s")
    ratios = {}
    for kind in kinds:
        for loop in ("asyncio", "uvloop"):
            name = f"{kind} on {loop}"
            ratios[name] = ratio(
                f"{name}: uinet / kernel", rates[f"{name}, uinet"], rates[f"{name}, kernel"], f"at least {WANTED}"
            )
    save("http", {
        "per_second": rates, "per_cpu_second": {name: side.per_cpu for name, side in sides.items()},
        "ratios": ratios, "wanted": WANTED,
    })
