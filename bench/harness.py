"""What the benchmarks share: interleaved runs, medians, ratios, JSON, and a network namespace of their own."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uinet

RESULTS = Path(__file__).parent / "results"
OURS, PEERS = 0, 1  # the processors of what is measured and of its peer, where each has one (`Placement.alone`)


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
        "alone": Placement.alone, "python": platform.python_version(),
        "kernel": platform.release(), "processors": os.cpu_count(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **record,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(whole, indent=2) + "\n")
    print(f"  -> {path}")


def cable(near: str, far: str) -> None:
    """A veth pair between two namespaces: 10.9.0.2 near, 10.9.0.1 far."""
    run(["ip", "link", "add", "v0", "netns", near, "type", "veth", "peer", "name", "v1", "netns", far])
    for name, device, address in ((near, "v0", "10.9.0.2/24"), (far, "v1", "10.9.0.1/24")):
        run(["ip", "-n", name, "addr", "add", address, "dev", device])
        run(["ip", "-n", name, "link", "set", device, "up"])


def address(namespace: str, device: str = "bench0", prefix: str = "10.9.0.1/24") -> None:
    """Sets a device of a namespace up, with an address."""
    run(["ip", "-n", namespace, "addr", "replace", prefix, "dev", device])
    run(["ip", "-n", namespace, "link", "set", device, "up"])


def many_ports(namespace: str) -> None:
    """Lets a namespace open connections without end: all ports, and next to nothing kept in TIME-WAIT."""
    for setting in ("ip_local_port_range=1024 65535", "tcp_max_tw_buckets=16", "tcp_max_syn_backlog=8192"):
        run(["ip", "netns", "exec", namespace, "sysctl", "-qw", f"net.ipv4.{setting}"])
    run(["ip", "netns", "exec", namespace, "sysctl", "-qw", "net.core.somaxconn=8192"])


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


class Placement:
    """Where programs run. `alone`: each end has a processor, before everything else that the machine does."""

    alone = False


def inside(namespace: str, command: Sequence[str], processor: int) -> list[str]:
    """The command that runs `command` in a namespace, on `processor` if each end has its own."""
    turn = ["chrt", "-f", "1", "taskset", "-c", str(processor)] if Placement.alone else []
    return ["ip", "netns", "exec", namespace, *turn, *command]


def start(namespace: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts ``python -m bench.worker ...`` in a namespace; its standard output is JSON lines."""
    processor = PEERS if arguments[0].startswith("kernel-") else OURS
    return spawn(namespace, sys.executable, "-m", "bench.worker", *arguments, processor=processor)


def spawn(namespace: str, *command: str, processor: int = OURS) -> subprocess.Popen[str]:
    """Starts a program in a namespace; its standard output is JSON lines."""
    return subprocess.Popen(
        inside(namespace, command, processor), stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent
    )


@contextmanager
def serving(namespace: str, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A program in a namespace that has said that it is ready; ended afterwards."""
    process = spawn(namespace, *command)
    try:
        read(process)
        yield process
    finally:
        stop(process)


class Side:
    """A server, and the namespaces that it and its client are in. `per_cpu`: of each run, what it did a CPU-second."""

    def __init__(self, server_side: str, client_side: str, *server: str) -> None:
        self.server_side = server_side
        self.client_side = client_side
        self.server = server
        self.per_cpu: list[float] = []


def ask(namespace: str, *command: str, timeout: float = 60) -> dict[str, Any]:
    """What a program in a namespace prints: one JSON object."""
    whole = inside(namespace, command, PEERS)
    done = subprocess.run(whole, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    """The CPU time of all threads of a running process so far, user's and system's."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def compiled(name: str, *flags: str) -> str:
    """Compiles bench/NAME.c with the system's C compiler, if it has changed; the program's path."""
    source = Path(__file__).parent / f"{name}.c"
    target = RESULTS / "bin" / name
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise Skipped("needs a C compiler, for its load generator")
        run([compiler, "-O2", "-o", str(target), str(source), *flags])
    return str(target)


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
