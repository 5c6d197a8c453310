"""CPU seconds and peak memory to rebuild the streams of captures, of uinet and its peers, each program a process."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.harness import Skipped, interleave, ratio, save
from bench.passive.captures import TITLES, Capture, Library
from bench.passive.check import check
from bench.passive.programs import PEERS, Contestant, scratch, uinet_modes

LIMIT = 300  # seconds for one run of one program
SLOW_RUNS = 3
# ratio, the two programs, captures, what is wanted of it
RATIOS = (
    ("CPU, counting: uinet / libtins", "uinet", "libtins", ("A", "B"), "at most", 0.67),
    ("CPU, counting: uinet / libtins", "uinet", "libtins", ("C", "C2"), "at most", 0.5),
    ("CPU, all to Python: tcpflow / uinet", "tcpflow", "uinet callback", ("A", "B"), "at least", 5.0),
    ("CPU, all to Python: dpkt / uinet", "dpkt", "uinet callback", ("A", "B"), "at least", 10.0),
)
MEMORY = {"C": 0.5e9, "C2": 0.5e9, **dict.fromkeys(("A", "B", "D", "E", "F", "G"), 150e6)}


class Run:
    """One program on one capture: what each run took."""

    def __init__(self, contestant: Contestant, capture: Capture) -> None:
        self.contestant, self.capture = contestant, capture
        self.memory: list[float] = []
        self.said: dict[str, Any] = {}
        self.failed = ""
        self.start_up = 0.0
        if contestant.packets:
            self.start_up = self.once([*contestant.command(capture), "0"])["cpu"]

    def once(self, command: list[str]) -> dict[str, Any]:
        """Runs a command apart, and waits for it."""
        address_space = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 4 // 5
        helper = [sys.executable, "-I", "-S", str(Path(__file__).parent / "measure.py"), str(LIMIT), str(address_space)]
        done = subprocess.run([*helper, *command], capture_output=True, text=True, timeout=LIMIT + 60, check=True)
        record: dict[str, Any] = json.loads(done.stdout)
        if record["status"]:
            said = done.stderr.strip().splitlines()
            why = "it took too long" if record["status"] == -9 else f"status {record['status']}"
            self.failed = f"{why}{': ' + said[-1] if said else ''}"
        return record

    def __call__(self) -> float:
        """CPU seconds of one run; a program that has failed once is not run again."""
        if self.failed:
            return float("nan")
        contestant, capture = self.contestant, self.capture
        command = contestant.command(capture)
        if contestant.packets:
            packets = min(contestant.packets, capture.packets)
            record = self.once([*command, str(packets)])
            self.memory.append(record["rss"])
            return float(record["cpu"] - self.start_up) * capture.packets / packets
        if contestant.directory:
            with scratch() as directory:
                record = self.once([word.replace("{}", directory) for word in command])
                files = [entry.stat().st_size for entry in os.scandir(directory) if entry.name != "report.xml"]
            self.said = {"bytes": sum(files), "files": len(files)}
        else:
            record = self.once(command)
            if record["said"].startswith("{"):
                self.said = json.loads(record["said"].splitlines()[0])
        self.memory.append(record["rss"])
        return float(record["cpu"])

    def show(self, samples: list[float], delivered: int | None) -> dict[str, Any]:
        """Prints the line of one program; its record."""
        name, what = self.contestant.name, self.contestant.what
        if self.failed:
            print(f"  {name:<20} failed: {self.failed}")
            return {"failed": self.failed}
        cpu, memory = statistics.median(samples), statistics.median(self.memory)
        text = f"  {name:<20} {cpu:>8.3f} ({min(samples):.3f} to {max(samples):.3f}) {memory / 1e6:>8.0f} MB"
        if "bytes" in self.said and delivered:
            text += f" {100 * self.said['bytes'] / delivered:>7.2f}% of bytes"
        if "connections" in self.said:
            text += f", {self.said['connections']} of {self.capture.connections} connections"
        if self.contestant.packets:
            text += f" extrapolated: {what}"
        print(text)
        return {"what": what, "cpu": samples, "median_cpu": cpu, "rss": self.memory, "median_rss": memory, **self.said,
                "extrapolated_from": self.contestant.packets or None}


def gather(chosen: list[str], library: Library) -> tuple[list[Contestant], dict[str, str]]:
    """uinet and the peers that are to be had; why the others aren't."""
    contestants, missing = uinet_modes(), {}
    for name in chosen:
        try:
            contestants.append(PEERS[name](library.cache))
        except (Skipped, OSError, subprocess.SubprocessError) as why:
            missing[name] = str(why)
            print(f"  {name}: left out: {why}")
    return contestants, missing


def measure(
    library: Library, capture: Capture, contestants: list[Contestant], runs: int, checked: bool
) -> dict[str, Any]:
    """All about one capture."""
    print(f"{capture.name}: {capture.title}; {capture.packets} packets, {capture.connections} connections, "
          f"{capture.stream_bytes / 1e6:.0f} MB in streams")
    record: dict[str, Any] = {"capture": asdict(capture), "title": capture.title}
    delivered = capture.stream_bytes
    if checked:
        verdict, how = check(library, capture)
        delivered = verdict.present
        record["verdict"], record["how"] = {"right": verdict.right, **asdict(verdict)}, how
        print(f"  uinet against the truth: {'right' if verdict.right else 'WRONG'}: {verdict.connections} connections, "
              f"{verdict.holes} holes of {verdict.missing} bytes, {verdict.doubtful} of these a lost FIN's number")
        for name, examples in verdict.examples.items():
            print(f"    {name}: {getattr(verdict, name)}, such as {examples[0]}")
    with open(capture.path, "rb", buffering=0) as file:  # into the page cache
        while file.read(1 << 20):
            pass
    entered = {c.name: Run(c, capture) for c in contestants if capture.name[0] in c.captures}
    samples = interleave(dict(entered), min(runs, SLOW_RUNS))
    quick = {name: run for name, run in entered.items() if not run.contestant.slow and capture.name[0] != "C"}
    if runs > SLOW_RUNS:
        for name, more in interleave(dict(quick), runs - SLOW_RUNS).items():
            samples[name] += more
    print(f"  {'':<20} {'CPU s':>8} {'':<16} peak memory")
    record["programs"] = {name: run.show(samples[name], delivered) for name, run in entered.items()}
    return record


def judge(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The figures that are wanted, and whether they are reached."""
    answers: list[dict[str, Any]] = []

    def answer(name: str, value: float, bound: str, wanted: float) -> None:
        answers.append({"name": name, "value": value, "wanted": f"{bound} {wanted:g}",
                        "reached": value <= wanted if bound == "at most" else value >= wanted})

    for title, first, second, names, bound, wanted in RATIOS:
        for name in names:
            programs = found.get(name, {}).get("programs", {})
            if all("cpu" in programs.get(which, {}) for which in (first, second)):
                samples = programs[first]["cpu"], programs[second]["cpu"]
                value = ratio(f"{title}, {name}", *samples, f"{bound} {wanted:g}")
                answer(f"{title}, {name}", value, bound, wanted)
    for name, limit in MEMORY.items():
        peak = found.get(name, {}).get("programs", {}).get("uinet", {}).get("median_rss")
        if peak is not None:
            print(f"  {'peak memory in MB, ' + name:<46} {peak / 1e6:>10.3g} wanted at most {limit / 1e6:g}")
            answer(f"peak memory, {name}", peak, "at most", limit)
    return answers


def main(runs: int = 5, options: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench passive")
    parser.add_argument("--runs", type=int, default=runs, help="of each program, interleaved; at most 3 of slow ones")
    parser.add_argument("--captures", default=",".join(TITLES), help="some of %(default)s")
    parser.add_argument("--peers", default=",".join(PEERS), help="some of %(default)s, or none")
    parser.add_argument("--quick", action="store_true", help="small captures: shows that all works, not how fast")
    parser.add_argument("--no-check", action="store_true", help="don't hold uinet's findings against the truth")
    chosen = parser.parse_args(options or [])
    names, peers = chosen.captures.split(","), [name for name in chosen.peers.split(",") if name not in ("", "none")]
    unknown = [name for name in names if name not in TITLES] + [name for name in peers if name not in PEERS]
    if unknown:
        parser.error(f"nothing is called {', '.join(unknown)}")
    print("passive: streams rebuilt from captures: CPU seconds (user and system) and peak memory of each process")
    library = Library(chosen.quick)
    contestants, missing = gather(peers, library)
    found: dict[str, dict[str, Any]] = {}
    unmade: dict[str, str] = {}
    for name in names:
        try:
            capture = library.get(name)
        except Skipped as why:
            unmade[name] = str(why)
            print(f"{name}: not made: {why}")
            continue
        found[name] = measure(library, capture, contestants, max(1, chosen.runs), not chosen.no_check)
    answers = judge(found)
    save("passive-quick" if chosen.quick else "passive", {
        "captures": found, "not_made": unmade, "left_out": missing, "wanted": answers,
        "right": all(record["verdict"]["right"] for record in found.values() if "verdict" in record),
    })
