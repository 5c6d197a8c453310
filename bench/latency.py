"""Round trips of 64 bytes: an echo in the engine and one in an asyncio protocol, over a TAP, beside the kernel's.

A kernel client (bench/load.c) sends 64 bytes and waits for them, again and again. uinet's echo is at the other end of a
TAP, the kernel's at the other end of a veth, in a namespace of its own. Both asyncio programs run on uvloop. With busy
polling uinet asks the TAP for 100 us after each frame before it sleeps.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

from bench.harness import ask, cable, compiled, interleave, line, namespaces, ratio, save, serving

COUNT = 20000
SIZE = 64
WANTED = 1.3  # at most

SERVER = (sys.executable, "-m", "bench.servers")


def measure(load: str, server_side: str, client_side: str, server: tuple[str, ...]) -> float:
    """The median round trip of one run, us."""
    with serving(server_side, *server):
        return float(ask(client_side, load, "rtt", "10.9.0.2", "80", str(COUNT), str(SIZE))["median_us"])


def main(runs: int = 5) -> None:
    print(f"latency: one connection, {SIZE} bytes there and back, median of {COUNT}")
    load = compiled("load")
    with namespaces(3) as (alone, near, far):
        cable(near, far)
        candidates: dict[str, Callable[[], float]] = {
            "engine": partial(measure, load, alone, alone, (*SERVER, "uinet", "engine", "asyncio")),
            "engine, busy polling": partial(
                measure, load, alone, alone, (*SERVER, "uinet", "engine", "asyncio", "busy")
            ),
            "kernel": partial(measure, load, near, far, (load, "echo", "80")),
            "uvloop on uinet": partial(measure, load, alone, alone, (*SERVER, "uinet", "echo", "uvloop")),
            "uvloop on uinet, busy polling": partial(
                measure, load, alone, alone, (*SERVER, "uinet", "echo", "uvloop", "busy")
            ),
            "uvloop on the kernel": partial(measure, load, near, far, (*SERVER, "kernel", "echo", "uvloop")),
        }
        samples = interleave(candidates, runs)
    for name, found in samples.items():
        line(name, found, "us")
    engine = ratio("engine / kernel", samples["engine"], samples["kernel"], f"at most {WANTED}")
    programs = ratio(
        "asyncio: uinet / kernel", samples["uvloop on uinet"], samples["uvloop on the kernel"], f"at most {WANTED}"
    )
    busy_engine = ratio("engine, busy polling / kernel", samples["engine, busy polling"], samples["kernel"])
    busy_programs = ratio(
        "asyncio, busy polling: uinet / kernel", samples["uvloop on uinet, busy polling"],
        samples["uvloop on the kernel"],
    )
    ratios = {
        "engine": engine, "asyncio": programs, "engine, busy polling": busy_engine,
        "asyncio, busy polling": busy_programs,
    }
    save("latency", {
        "median_us": samples, "ratios": ratios, "wanted_at_most": WANTED,
    })
