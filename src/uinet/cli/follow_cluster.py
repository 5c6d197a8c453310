"""``uinet follow --dask``: the reading is done elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from uinet.cli.common import console
from uinet.cli.group import DONE
from uinet.following.cluster import Cluster
from uinet.passive.options import Options


class Report(Protocol):
    """Who is told of connections."""

    totals: Any

    def closed(self, connection: Any) -> None:
        """A connection has ended."""


class Counted:
    """What a follower's counters are asked for here."""

    def __init__(self) -> None:
        self.stats: dict[str, int] = {}
        self.frames = 0


class Nothing:
    """Files lose no packets."""

    dropped = 0


class Distant:
    """The work of a cluster, as `uinet.cli.follow.Work`."""

    def __init__(
        self, address: str, sources: Sequence[str], chosen: Options, report: Report, *, filter: str | None,
        digests: bool, pending: int, seed: bytes | None,
    ) -> None:
        if "-" in sources:
            raise click.UsageError("--dask reads files, by their paths: standard input has none")
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters comes as an error, in one line
        self.report = report
        self.follower = Counted()
        self.sources = Nothing()
        self.error: OSError | None = None
        self.took = 0.0
        self.screen = console(stderr=True)
        self.bar = Progress(
            BarColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), console=self.screen, transient=True,
            auto_refresh=False, redirect_stdout=False, redirect_stderr=False, disable=not self.screen.is_terminal,
        )
        self.task = self.bar.add_task("", total=None)
        self.cluster = Cluster(
            address, sources, chosen, filter=filter, digests=digests, pending=pending, seed=seed, progress=self.show,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cluster.close()

    def show(self, what: str, done: int, of: int) -> None:
        """Moves the bar."""
        self.bar.update(self.task, description=what, completed=done, total=of, refresh=True)

    def run(self) -> int:
        """All of it; the exit status."""
        began = time.perf_counter()
        with self.bar:
            try:
                for found in self.cluster:
                    self.report.closed(found)
            except BrokenPipeError:
                raise
            except OSError as error:
                self.error = error
        self.took = time.perf_counter() - began
        self.follower.stats = dict(self.cluster.stats)
        self.follower.frames = self.cluster.stats["packets"]
        return DONE
