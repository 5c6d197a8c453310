"""``uinet follow``: both streams of every connection in a copy of its packets, and what is missing."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from uinet.cli.basics import Size
from uinet.cli.common import Seconds, console, json_option, seed_bytes, seed_option, si
from uinet.cli.group import DONE, INTERRUPTED
from uinet.errors import DeviceError
from uinet.following.api import Run, options
from uinet.following.budget import LEAST, split
from uinet.following.cluster import Recorded
from uinet.following.drawing import check, draw
from uinet.following.files import StreamFiles
from uinet.following.inputs import Sources
from uinet.following.parquet import ParquetFile
from uinet.following.records import Record, exact_record, plain
from uinet.following.streams import PENDING, Coalescer
from uinet.following.summary import Lines, Totals
from uinet.following.timesequence import time_sequence, wanted
from uinet.passive.connection import Connection
from uinet.passive.options import CHECKSUMS, URGENT, Limits, Options
from uinet.passive.overlap import POLICIES

if TYPE_CHECKING:
    from uinet.cli.follow_cluster import Distant

REFRESH = 0.1
BATCH = 1000  # lines written at once, unless somebody waits for them


@click.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@json_option
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Write each stream to a file there; DIR must be empty, or not exist.",
)
@click.option(
    "--parquet", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write the records as a table too, a row for each connection (needs uinet[parquet]).",
)
@click.option(
    "--plot", metavar="CONNECTION",
    help="Draw that connection's time-sequence graph, and do nothing else: its number in the records, or "
    "client:port-server:port (needs uinet[plot]).",
)
@click.option(
    "--plot-file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Where to: FILE.svg or FILE.png.  [default: connection-CONNECTION.svg]",
)
@click.option(
    "--dask", metavar="ADDRESS",
    help="Let the workers of a Dask cluster read the files, by the same paths; records are printed when all have been "
    "read, in order of their numbers (needs uinet[dask]).",
)
@click.option("-f", "--filter", metavar="EXPRESSION", help="Only these packets: a filter as tcpdump has it.")
@click.option("-q", "--quiet", is_flag=True, help="No line for each connection, only the summary.")
@click.option("-c", "--count", type=click.IntRange(1), metavar="N", help="Stop when N connections have ended.")
@click.option("--midstream", is_flag=True, help="Follow connections that began before the capture, too.")
@click.option(
    "--overlap", type=click.Choice(list(POLICIES)), default="first", show_default=True, metavar="POLICY",
    help=f"Whose bytes count where waiting segments overlap: {', '.join(POLICIES)}.",
)
@click.option(
    "--deadline", type=Seconds(0), default=5.0, show_default=True, metavar="SECONDS",
    help="How long missing bytes are waited for, in the capture's time.",
)
@click.option(
    "--skew", type=Seconds(0), default=0.05, show_default=True, metavar="SECONDS",
    help="How long, when the other side has acknowledged them.",
)
@click.option(
    "--idle", type=Seconds(0.001), default=600.0, show_default=True, metavar="SECONDS",
    help="A connection that is silent for so long has ended.",
)
@click.option(
    "--checksums", type=click.Choice(CHECKSUMS), default="auto", show_default=True,
    help="Whether segments with a wrong TCP checksum are dropped; auto: if the capture's are right otherwise.",
)
@click.option(
    "--urgent", type=click.Choice(URGENT), default="inline", show_default=True,
    help="Whether an urgent byte belongs to the stream, or is a hole in it.",
)
@click.option("--ignore-vlans", is_flag=True, help="Connections are the same on every VLAN.")
@click.option(
    "--max-memory", type=Size(), metavar="SIZE",
    help=f"For all that is kept, such as 512M (at least {LEAST >> 20}M); what gives way is noted in the records.",
)
@click.option("--stats", is_flag=True, help="At the end, the counters of everything that happened.")
@seed_option
def command(
    sources: tuple[str, ...],
    as_json: bool,
    output: Path | None,
    parquet: Path | None,
    plot: str | None,
    plot_file: Path | None,
    dask: str | None,
    filter: str | None,
    quiet: bool,
    count: int | None,
    midstream: bool,
    overlap: str,
    deadline: float,
    skew: float,
    idle: float,
    checksums: str,
    urgent: str,
    ignore_vlans: bool,
    max_memory: int | None,
    stats: bool,
    seed: int | None,
) -> int:
    """Rebuild both streams of every TCP connection from a copy of its packets, and say what is missing.

    SOURCE is a capture (pcap or pcapng, may be compressed with gzip or zstd), "-" for one on standard input, or a
    device to listen on, such as packet:eth0 (root). Several captures are read as one, in the order given.

    \b
    examples:  uinet follow capture.pcapng
               uinet follow --json old.pcap.gz new.pcap.gz | jq .client.bytes
               uinet follow -o streams --filter 'port 80' packet:eth0
    """
    if as_json and quiet:
        raise click.UsageError("--quiet leaves nothing of --json: choose one")
    digests = as_json or parquet is not None
    limits, pending = split(max_memory, digests=digests) if max_memory is not None else (Limits(), PENDING)
    chosen = options(
        deadline=deadline, midstream=midstream, overlap=overlap, limits=limits, skew=skew, idle=idle,
        checksums=checksums, urgent=urgent, ignore_vlans=ignore_vlans,
    )
    if plot is not None:
        if as_json or output or parquet or count or dask:
            raise click.UsageError("--plot draws one connection and does nothing else: give no other kind of output")
        return picture(sources, plot, plot_file, chosen, filter, seed)
    if plot_file is not None:
        raise click.UsageError("--plot-file needs --plot")
    if dask is not None:
        if output is not None or count is not None:
            raise click.UsageError("--dask does not go with --output and --count")
        return spread(dask, sources, chosen, as_json, quiet, parquet, filter, pending, stats, seed)
    with contextlib.closing(Sources(list(sources), filter)) as opened:
        if as_json:
            report: Report = JsonReport(opened.live, count)
        else:
            report = TextReport(opened.live, count, quiet)
        with (
            parquet_file(parquet, sources, chosen) as rows,
            writer(output, report, pending, digests=digests) as (sink, files),
        ):
            report.table = rows
            work = Work(opened, sink, chosen, report, seed)
            status = work.run()
            if work.error is None and files is not None:
                work.error = files.too_large
            report.close()
            complete(rows, work.error)
        if not as_json:
            summarize(work, files)
        if stats:
            show_stats(work, as_json)
        if work.error is not None:
            raise work.error
        return status


def picture(
    sources: Sequence[str], connection: str, path: Path | None, chosen: Options, filter: str | None, seed: int | None
) -> int:
    """Draws one connection; Ctrl-C ends a live one."""
    wanted(connection)
    path = path if path is not None else Path(f"connection-{connection}.svg")
    check(path)
    stopped: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: stopped.append(number))
    try:
        found = time_sequence(
            list(sources), connection, chosen, filter=filter, seed=seed_bytes(seed), stop=lambda: bool(stopped)
        )
    finally:
        signal.signal(signal.SIGINT, before)
    draw(found, path)
    click.echo(f"{path}: connection {found.serial}, {found.segments:,} segments")
    return DONE


def spread(
    address: str, sources: Sequence[str], chosen: Options, as_json: bool, quiet: bool, parquet: Path | None,
    filter: str | None, pending: int, stats: bool, seed: int | None,
) -> int:
    """Has the files followed by a cluster, and reports as if it had been done here."""
    from uinet.cli.follow_cluster import Distant

    report: Report = JsonReport(False, None) if as_json else TextReport(False, None, quiet)
    with (
        Distant(
            address, sources, chosen, report, filter=filter, digests=as_json or parquet is not None, pending=pending,
            seed=seed_bytes(seed),
        ) as work,
        parquet_file(parquet, sources, chosen) as rows,
    ):
        report.table = rows
        status = work.run()
        report.close()
        complete(rows, work.error)
        if not as_json:
            summarize(work, None)
        if stats:
            show_stats(work, as_json)
        if work.error is not None:
            raise work.error
        return status


@contextlib.contextmanager
def parquet_file(path: Path | None, sources: Sequence[str], chosen: Options) -> Iterator[ParquetFile | None]:
    """The Parquet file, if there is to be one; it vanishes if it has not been completed."""
    if path is None:
        yield None
        return
    for source in sources:
        with contextlib.suppress(OSError):
            if path.samefile(source):
                raise click.UsageError(f"--parquet {path} would overwrite the capture")
    rows = ParquetFile(path, {"sources": list(sources), **asdict(chosen)})
    try:
        yield rows
    finally:
        rows.discard()


def complete(rows: ParquetFile | None, error: OSError | None) -> None:
    """Completes the Parquet file, of a capture that is damaged too: it says so."""
    if rows is not None and (error is None or isinstance(error, DeviceError)):
        rows.complete("" if error is None else str(error))


@contextlib.contextmanager
def writer(
    output: Path | None, report: Report, pending: int, *, digests: bool
) -> Iterator[tuple[Coalescer, StreamFiles | None]]:
    """The sink that tells `report` of connections, and the files of streams if there are any."""
    if output is None:
        sink = Coalescer(report, digests=digests, pending=pending)
        report.sink = sink
        yield sink, None
        return
    files = StreamFiles(output, report.closed, digests=digests, pending=pending)
    report.sink = files.sink
    report.files = files
    try:
        yield files.sink, files
    finally:
        files.close()


class Report:
    """What is printed of connections: `closed` is called as each ends, and does nothing any more after `count` of them.

    `live`: somebody may be reading along.
    """

    def __init__(self, live: bool, count: int | None) -> None:
        self.live = live or sys.stdout.isatty()
        self.count = count
        self.totals = Totals()
        self.sink: Coalescer | None = None
        self.files: StreamFiles | None = None
        self.table: ParquetFile | None = None
        self._lines: list[str] = []

    def closed(self, connection: Connection) -> None:
        """Takes note of a connection."""
        if self.complete:
            return
        self.totals.add(connection)
        if self.table is not None:
            self.table.add(self.record(connection))
        line = self.line(connection)
        if line:
            self._lines.append(line)
            if len(self._lines) >= BATCH:
                self.write()

    @property
    def complete(self) -> bool:
        """Whether there have been as many as are wanted."""
        return self.count is not None and self.totals.connections >= self.count

    def line(self, connection: Connection) -> str:
        """What is printed of it; "" for nothing."""
        raise NotImplementedError

    def record(self, connection: Connection) -> Record:
        """Its exact record."""
        if isinstance(connection, Recorded):
            return connection.record
        assert self.sink is not None
        digest = self.sink.digest
        found = exact_record(connection, digest(connection, connection.client), digest(connection, connection.server))
        if self.files is not None:
            name_files(found, self.files.names(connection))
        return found

    def step(self) -> None:
        """Some packets have been read."""
        if self.live:
            self.write()
            sys.stdout.flush()

    def write(self) -> None:
        """Prints the lines that wait."""
        if self._lines:
            self._lines.append("")
            sys.stdout.write("\n".join(self._lines))
            self._lines.clear()

    def close(self) -> None:
        """Prints what is left."""
        self.write()
        sys.stdout.flush()


class TextReport(Report):
    """A line for each connection, in columns."""

    def __init__(self, live: bool, count: int | None, quiet: bool) -> None:
        super().__init__(live, count)
        self.quiet = quiet
        self.lines = Lines()

    def line(self, connection: Connection) -> str:
        if self.quiet:
            return ""
        if self.totals.connections == 1:
            return f"{self.lines.heading()}\n{self.lines.line(connection)}"
        return self.lines.line(connection)


class JsonReport(Report):
    """An object for each connection."""

    def line(self, connection: Connection) -> str:
        return json.dumps(plain(self.record(connection)))


def name_files(found: Record, names: tuple[str, ...]) -> None:
    """Says in a record which files have its streams."""
    for side, name in zip(("client", "server"), names, strict=False):
        if found[side]["bytes"]:
            found[side]["file"] = name


class Work:
    """The reading itself. `error`: what ended it early, to be raised when all else has been said."""

    def __init__(
        self, sources: Sources, sink: Coalescer, chosen: Options, report: Report, seed: int | None
    ) -> None:
        self.sources = sources
        self.report = report
        self.following = Run(sources, sink, chosen, seed=seed_bytes(seed))
        self.error: OSError | None = None
        self.interrupted = False
        self.took = 0.0

    @property
    def follower(self) -> Any:
        return self.following.follower

    def run(self) -> int:
        """Reads to the end; the exit status."""
        began = time.perf_counter()
        with self._signals(), Bar(self) as bar:
            try:
                while self.following.step():
                    self.report.step()
                    bar.update()
                    if self.report.complete:
                        self.following.stop()
            except BrokenPipeError:
                raise
            except OSError as error:
                self.error = error
        self.took = time.perf_counter() - began
        return INTERRUPTED if self.interrupted else DONE

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the capture in an orderly way; the second one at once."""

        def stop(number: int, frame: object) -> None:
            self.interrupted = not self.sources.live  # what is live is meant to be ended so
            self.following.stop()
            restore()

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            restore()


class Bar:
    """The progress bar on standard error; only a terminal gets one."""

    def __init__(self, work: Work) -> None:
        self.work = work
        screen = console(stderr=True)
        self.progress: Progress | None = None
        self.next = 0.0
        self.began = time.perf_counter()
        if screen.is_terminal:
            self.progress = Progress(
                BarColumn(), TextColumn("{task.description}"), console=screen, transient=True, auto_refresh=False,
                redirect_stdout=sys.stdout.isatty(), redirect_stderr=False,
            )
            self.task = self.progress.add_task("", total=work.sources.size)

    def __enter__(self) -> Bar:
        if self.progress is not None:
            self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.progress is not None:
            self.progress.stop()

    def update(self) -> None:
        """Shows where we are, ten times a second at most."""
        now = time.perf_counter()
        if self.progress is None or now < self.next:
            return
        self.next = now + REFRESH
        sources, frames = self.work.sources, self.work.follower.frames
        text = (
            f"{si(sources.position, 'B')}, {frames:,} packets, {si(frames / max(now - self.began, 1e-3))} a second, "
            f"{self.work.report.totals.connections:,} connections"
        )
        if sources.dropped:
            text += f", {sources.dropped:,} dropped"
        self.progress.update(self.task, completed=sources.position, description=text, refresh=True)


def summarize(work: Work | Distant, files: StreamFiles | None) -> None:
    """The table at the end."""
    table = Table(show_header=False, box=box.SIMPLE, pad_edge=False)
    for name, value in work.report.totals.rows():
        table.add_row(name, value)
    frames = work.follower.frames
    table.add_row("packets", f"{frames:,} in {work.took:.2f} s, {si(frames / max(work.took, 1e-3))} a second")
    if work.sources.dropped:
        table.add_row("dropped by the kernel", f"{work.sources.dropped:,} packets")
    if files is not None:
        table.add_row("written", f"{files.written:,} bytes in {files.files:,} files")
    console().print(table)


def show_stats(work: Work | Distant, as_json: bool) -> None:
    """The follower's counters: on standard error as one object if standard output belongs to records."""
    counters = {name: value for name, value in work.follower.stats.items() if value}
    if work.sources.dropped:
        counters["dropped"] = work.sources.dropped  # by the kernel
    if as_json:
        print(json.dumps(counters), file=sys.stderr)
        return
    table = Table(show_header=False, box=box.SIMPLE, pad_edge=False)
    for name, value in counters.items():
        table.add_row(name, f"{value:,}")
    console().print(table)
