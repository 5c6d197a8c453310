"""Runs the grid of conditions, uinet and the kernel in turn through the same link and seeds, and compares medians."""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.harness import save
from bench.recovery.rig import Rig, rig

STACKS = ("uinet", "kernel")
SIZES = {"10 KB": 10_000, "100 KB": 100_000, "1 MB": 1_000_000}
LOSSES, DELAYS, REORDERS = (0.0, 0.001, 0.01, 0.03), (0.010, 0.050), (0.0, 0.05)
MTU_BITS = 1514 * 8
PATIENCE = 60.0  # seconds that a transfer may take
WANTED = 1.10  # uinet may be this much worse

Run = dict[str, Any]


def options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench recovery", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each bulk transfer (default 4)")
    parser.add_argument("--rate", type=float, default=100.0, help="of the link, in Mbit/s (default 100)")
    parser.add_argument("--congestion", default="cubic", help="of both (default cubic)")
    parser.add_argument("--loss", help="only these, in percent: 0,1")
    parser.add_argument("--delay", help="only these, in milliseconds each way: 10,50")
    parser.add_argument("--reorder", help="only these, in percent: 0,5")
    parser.add_argument("--burst", type=float, default=1.0, help="frames lost in a row on average (default 1)")
    parser.add_argument("--work", help="only these: bulk, 10 KB, 100 KB, 1 MB")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; each further run has the next one")
    parser.add_argument("--send-buffer", type=int, default=0, help="of uinet, in bytes (default: its own)")
    parser.add_argument("--capture", type=Path, help="a directory for a pcapng file of each run, as its sender sees it")
    return parser.parse_args(words)


def numbers(text: str | None, scale: float, default: tuple[float, ...]) -> tuple[float, ...]:
    return default if text is None else tuple(float(word) / scale for word in text.split(","))


def cells(chosen: argparse.Namespace) -> Iterator[dict[str, float]]:
    delays = numbers(chosen.delay, 1000, DELAYS)
    reorders = numbers(chosen.reorder, 100, REORDERS)
    for delay, reorder, loss in itertools.product(delays, reorders, numbers(chosen.loss, 100, LOSSES)):
        yield {"delay": delay, "reorder": reorder, "loss": loss}


def link_of(cell: dict[str, float], rate: float, burst: float) -> dict[str, Any]:
    """The emulator's conditions: faults on the sender's way only, a queue of one bandwidth-delay product."""
    return {
        "rate": rate, "delay": cell["delay"], "queue": round(rate * 2 * cell["delay"] / MTU_BITS),
        "loss": (cell["loss"], 0.0), "reorder": (cell["reorder"], 0.0), "burst": (burst, 1.0),
    }


def run_cell(bench: Rig, cell: dict[str, float], works: list[str], chosen: argparse.Namespace, runs: int) -> list[Run]:
    """All runs of one cell, the stacks in turn."""
    found = []
    conditions = link_of(cell, chosen.rate * 1e6, chosen.burst)
    for number, work in itertools.product(range(runs), works):
        size = SIZES.get(work, 0)
        for stack in STACKS:
            seed = chosen.seed + number
            capture = None
            if chosen.capture is not None:
                name = f"{work}-{cell['delay'] * 1e3:g}ms-{cell['loss']:g}-{cell['reorder']:g}-{seed}-{stack}.pcapng"
                capture = str(chosen.capture / name.replace(" ", ""))
            seconds = PATIENCE if size else chosen.seconds
            run = bench.measure(stack, size, seconds, seed, conditions, capture)
            found.append({**cell, "work": work, **run})
            print("." if run.get("complete") else "!", end="", file=sys.stderr, flush=True)
    return found


def goodness(run: Run) -> float:
    """Mbit/s of a bulk transfer, milliseconds of another."""
    if run["work"] == "bulk":
        return float(run.get("bytes", 0) * 8e-6 / run["elapsed"]) if "elapsed" in run else 0.0
    return float(run["elapsed"] * 1e3) if run.get("complete") else PATIENCE * 1e3


def retransmits(run: Run) -> int:
    sender = run["sender"]
    return int(sender.get("RetransSegs", 0) + sender.get("tcp_retransmit", 0))


def timeouts(run: Run) -> int:
    sender = run["sender"]
    return int(sender.get("TCPTimeouts", 0) + sender.get("tcp_rto", 0))


def dsacks(run: Run) -> int:
    """Segments that arrived twice: retransmissions that were for nothing."""
    return int(run.get("TCPDSACKOldSent", 0) + run.get("TCPDSACKOfoSent", 0))


def compare(work: str, runs: list[Run]) -> dict[str, Any]:
    """What became of one kind of transfer under one cell's conditions. `ratio`: uinet / kernel, 1 and more is good."""
    row: dict[str, Any] = {"work": work}
    for stack in STACKS:
        own = [run for run in runs if run["stack"] == stack and run["work"] == work]
        row[stack] = {
            "values": [round(goodness(run), 2) for run in own], "median": statistics.median(map(goodness, own)),
            "retransmits": sum(map(retransmits, own)), "timeouts": sum(map(timeouts, own)),
            "dsacks": sum(map(dsacks, own)),
            "frames": sum(run["link"]["ab"]["sent"] for run in own),
            "lost": sum(run["link"]["ab"]["lost"] for run in own),
            "queue_full": sum(run["link"]["ab"]["queue_full"] for run in own),
            "failed": sum(not run.get("complete") for run in own),
        }
    ours, theirs = row["uinet"]["median"], row["kernel"]["median"]
    row["ratio"] = (ours / theirs if work == "bulk" else theirs / ours) if ours and theirs else 0.0
    row["paired"] = paired(row["uinet"]["values"], row["kernel"]["values"], work)
    return row


def paired(ours: list[float], theirs: list[float], work: str) -> float:
    """The ratio as the geometric mean over the seeds: each pair of runs met the same link.

    Where a few losses decide between 40 and 400 ms, this one moves less than the ratio of two medians.
    """
    pairs = zip(ours, theirs, strict=True) if work == "bulk" else zip(theirs, ours, strict=True)
    ratios = [first / second for first, second in pairs if first and second]
    return statistics.geometric_mean(ratios) if ratios else 0.0


def show(cell: dict[str, float], row: dict[str, Any]) -> None:
    ours, theirs = row["uinet"], row["kernel"]
    unit = "Mbit/s" if row["work"] == "bulk" else "ms"
    mark = "" if row["ratio"] * WANTED >= 1 else "  <-- worse"
    print(
        f"  {cell['delay'] * 1e3:>4.0f} ms {cell['loss'] * 100:>4.1f} % {cell['reorder'] * 100:>3.0f} %  "
        f"{row['work']:>6} {ours['median']:>9.1f} {theirs['median']:>9.1f} {unit:<6} {row['ratio']:>5.2f} "
        f"{row['paired']:>6.2f}   "
        f"{ours['retransmits']:>5}/{ours['timeouts']}/{ours['dsacks']:<6} "
        f"{theirs['retransmits']:>5}/{theirs['timeouts']}/{theirs['dsacks']:<6}{mark}",
        flush=True,
    )


def lateness(runs: list[Run]) -> dict[str, float]:
    """The emulator's own: the medians of all runs, and the worst."""
    found = [run["link"]["lateness_us"] for run in runs]
    return {
        "p50_us": statistics.median(late["p50"] for late in found),
        "p99_us": statistics.median(late["p99"] for late in found),
        "max_us": max(late["max"] for late in found),
    }


def main(runs: int, words: list[str]) -> None:
    chosen = options(words)
    works = chosen.work.split(",") if chosen.work else ["bulk", *SIZES]
    if chosen.capture is not None:
        chosen.capture.mkdir(parents=True, exist_ok=True)
    print(f"recovery: {chosen.congestion} over {chosen.rate:.0f} Mbit/s; uinet or the kernel sends to the kernel")
    columns = "  each way   loss  reord    work     uinet    kernel        ratio paired"
    print(f"{columns}   retransmits/timeouts/DSACKs of each")
    rows, everything = [], []
    with rig(chosen.congestion, chosen.send_buffer) as bench:
        for cell in cells(chosen):
            found = run_cell(bench, cell, works, chosen, runs)
            print(file=sys.stderr)
            everything += found
            for work in works:
                row = compare(work, found)
                rows.append({**cell, **row})
                show(cell, row)
    late = lateness(everything)
    marks = ", ".join(f"{name[:-3]} {late[name]:.0f} us" for name in late)
    print(f"  how late the emulator's frames came out: {marks}")
    worse = [row for row in rows if row["ratio"] * WANTED < 1]
    print(f"  uinet is within 10 % of the kernel or better in {len(rows) - len(worse)} of {len(rows)} rows")
    save("recovery", {"options": {k: str(v) for k, v in vars(chosen).items()}, "lateness": late, "rows": rows})
