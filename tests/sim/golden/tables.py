"""The golden tables: what rows each has, and how a row is computed and written.

A row is one line of a text file beside this one; computing it gives that very line, or the stack behaves differently.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path as File

from tests.sim.golden.transfers import NAMES, Path, available, bulk, completion, fairness

HERE = File(__file__).parent
LOSSES = (0.0, 0.001, 0.01, 0.03, 0.10)
DELAYS = (0.010, 0.050, 0.200)
REORDERS = (0.0, 0.05)
SIZES = {"10 KB": 10_000, "100 KB": 100_000, "1 MB": 1_000_000}
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Row:
    """One line of the table `table`. `quick`: cheap enough for every test run. `compute` gives the line's figures."""

    table: str
    label: str
    quick: bool
    compute: Callable[[], str]

    def line(self) -> str:
        """The line as it is to be in the file."""
        return f"{self.label}{self.compute()}".rstrip()


@dataclass(frozen=True)
class Throughput:
    """Mbit/s of one connection, for each loss."""

    congestion: str
    rate: float
    delay: float
    reorder: float

    def __call__(self) -> str:
        return "".join(f"{self.cell(loss):>9.4g}" for loss in LOSSES)

    def cell(self, loss: float) -> float:
        """The median over some seeds, where chance has a say; BBR hears little of chance, and costs the most."""
        path = Path(self.rate, self.delay, loss, self.reorder)
        seeds = SEEDS if (loss or self.reorder) and self.congestion != "bbr" else SEEDS[:1]
        return statistics.median(bulk(self.congestion, path, self.seconds, seed) for seed in seeds)

    @property
    def seconds(self) -> float:
        """At least 50 round trips, or 10 of the fast link, where they cost more to compute."""
        return max(10.0, 100 * self.delay) if self.rate < 5e8 else max(1.5, 20 * self.delay)


@dataclass(frozen=True)
class Completion:
    """Milliseconds that a transfer of `size` bytes takes from connect on, for each loss."""

    congestion: str
    size: int
    delay: float
    reorder: float

    def __call__(self) -> str:
        return "".join(f"{self.cell(loss):>9}" for loss in LOSSES)

    def cell(self, loss: float) -> str:
        path = Path(100e6, self.delay, loss, self.reorder)
        seeds = range(1, 8) if loss or self.reorder else range(1, 2)
        times = [completion(self.congestion, path, self.size, seed) for seed in seeds]
        if None in times:
            return "never"
        return f"{statistics.median(time for time in times if time is not None):.1f}"


@dataclass(frozen=True)
class Sharing:
    """How flows share 100 Mbit/s."""

    congestions: tuple[str, ...]
    delay: float

    def __call__(self) -> str:
        seconds = 10.0 if self.delay < 0.050 else 30.0
        found = fairness(list(self.congestions), Path(100e6, self.delay), seconds, SEEDS[0])
        figures = f"{found.jain:>9.3f}{found.utilization * 100:>9.1f}{found.drops * 100:>9.3f}{found.queue * 100:>9.1f}"
        each = " ".join(f"{share:.1f}" for share in found.mbits)
        return f"{figures}   {each if len(found.mbits) <= 4 else ''}"


HEADS = {
    "throughput-100mbit": (
        "Mbit/s of payload that one connection carries over 100 Mbit/s, by loss; one BDP of queue.\n"
        "10 s, at 200 ms 20 s; medians of 3 seeds (BBR: 1). Delays are each way; faults are on the sender's way.",
        ("congestion", "delay", "reorder"), [f"{loss:.1%}" for loss in LOSSES],
    ),
    "throughput-1gbit": (
        "Mbit/s of payload that one connection carries over 1 Gbit/s, by loss; one BDP of queue.\n"
        "20 delays, at least 1.5 s; medians of 3 seeds (BBR: 1). Delays are each way; faults are on the sender's way.",
        ("congestion", "delay", "reorder"), [f"{loss:.1%}" for loss in LOSSES],
    ),
    "completion": (
        "Milliseconds from connect to the last byte over 100 Mbit/s, by loss; one BDP of queue.\n"
        "Medians of 7 seeds. The delay is that of each way; faults are on the sender's way.",
        ("congestion", "size", "delay", "reorder"), [f"{loss:.1%}" for loss in LOSSES],
    ),
    "fairness": (
        "Flows that share 100 Mbit/s, each begun 100 ms after the other: the second half of 10 s, at 50 ms of 30 s.\n"
        "Jain's index, the wire's use by payload in %, frames dropped by the queue in %, its mean length in % of the\n"
        "BDP that it holds; Mbit/s of each flow.",
        ("flows", "delay"), ["Jain", "use", "drops", "queue"],
    ),
}
WIDTHS = {"flows": 24}


def label(table: str, *words: str) -> str:
    """The beginning of a row: one column for each word."""
    columns = HEADS[table][1]
    return "".join(f"{word:<{WIDTHS.get(column, 11)}}" for column, word in zip(columns, words, strict=True))


def head(table: str) -> str:
    """The lines above the rows."""
    text, columns, figures = HEADS[table]
    comment = "".join(f"# {line}\n" for line in text.splitlines())
    return f"{comment}{label(table, *columns)}{''.join(f'{figure:>9}' for figure in figures)}\n"


def names() -> list[str]:
    """The congestion controls that this build has."""
    return [name for name in NAMES if available(name)]


def rows() -> Iterator[Row]:
    """All rows of all tables, in order."""
    found = names()
    for table, rate in (("throughput-100mbit", 100e6), ("throughput-1gbit", 1e9)):
        for name, delay, reorder in product(found, DELAYS, REORDERS):
            quick = rate < 5e8 and delay == 0.050 and not reorder
            words = name, f"{delay * 1e3:.0f} ms", f"{reorder:.0%}"
            yield Row(table, label(table, *words), quick, Throughput(name, rate, delay, reorder))
    for name, (size, octets), delay, reorder in product(found, SIZES.items(), DELAYS, REORDERS):
        words = name, size, f"{delay * 1e3:.0f} ms", f"{reorder:.0%}"
        work = Completion(name, octets, delay, reorder)
        yield Row("completion", label("completion", *words), delay < 0.200, work)
    mixes = [(name,) * count for name in found for count in (2, 4, 16)]
    mixes += [(one, other) for i, one in enumerate(found) for other in found[i + 1 :]]
    for mix, delay in product(mixes, (0.010, 0.050)):
        flows = f"{len(mix)} {mix[0]}" if len(set(mix)) == 1 else " + ".join(mix)
        quick = delay == 0.010 and len(mix) == 2
        yield Row("fairness", label("fairness", flows, f"{delay * 1e3:.0f} ms"), quick, Sharing(mix, delay))


def file(table: str) -> File:
    """Where a table is kept."""
    return HERE / f"{table}.txt"
