"""What the benchmarks share: interleaved runs, medians, ratios, JSON, and a network namespace of their own."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uinet

RESULTS = Path(__file__).parent / "results"


class Skipped(Exception):
    """A benchmark can't run here; the message says what it needs."""


def interleave(candidates: dict[str, Callable[[], float]], runs: int) -> dict[str, list[float]]:
    """Runs each candidate `runs` times, in turn, so that the machine's drift hits all alike."""
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(runs):
        for name, run in candidates.items():
            samples[name].append(run())
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return samples


def summary(samples: list[float]) -> dict[str, float]:
    """Minimum, median and maximum."""
    return {"min": min(samples), "median": statistics.median(samples), "max": max(samples), "runs": len(samples)}


def line(name: str, samples: list[float], unit: str) -> None:
    """Prints one figure."""
    found = summary(samples)
    print(f"  {name:<46} {found['median']:>10.3g} {unit:<14} ({found['min']:.3g} to {found['max']:.3g})")


def ratio(name: str, first: list[float], second: list[float], wanted: str = "") -> float:
    """Prints the ratio of two medians."""
    value = statistics.median(first) / statistics.median(second)
    print(f"  {name:<46} {value:>10.3g} {'wanted ' + wanted if wanted else ''}")
    return value


def save(name: str, record: dict[str, Any]) -> None:
    """Writes bench/results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    whole = {
        "benchmark": name, "uinet": uinet.__version__, "compiled": uinet.compiled(),
        "python": platform.python_version(), "kernel": platform.release(), "processors": os.cpu_count(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **record,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(whole, indent=2) + "\n")
    print(f"  -> {path}")


@contextmanager
def namespaces(count: int) -> Iterator[list[str]]:
    """New network namespaces, deleted afterwards. Skipped without root."""
    if os.geteuid() != 0:
        raise Skipped("needs root, for network namespaces and TAP devices")
    names = [f"uinet-bench-{os.getpid()}-{i}" for i in range(count)]
    made: list[str] = []
    try:
        for name in names:
            run(["ip", "netns", "add", name])
            made.append(name)
            run(["ip", "-n", name, "link", "set", "lo", "up"])
        yield names
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False, timeout=20)


def run(command: list[str]) -> None:
    """Runs a command that has to work."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise Skipped(f"{' '.join(command)}: {done.stderr.strip()}")


def start(namespace: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts ``python -m bench.worker ...`` in a namespace; its standard output is JSON lines."""
    command = ["ip", "netns", "exec", namespace, sys.executable, "-m", "bench.worker", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)


def read(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next JSON line of a worker."""
    assert process.stdout is not None
    text = process.stdout.readline()
    if not text:
        raise RuntimeError(f"a benchmark's worker ended early: {process.args}")
    record: dict[str, Any] = json.loads(text)
    return record


def stop(process: subprocess.Popen[str]) -> None:
    """Ends a worker that this benchmark has started."""
    if process.poll() is None:
        process.terminate()
    process.wait(timeout=20)
    if process.stdout is not None:
        process.stdout.close()
