"""``uinet listen``: a honeypot for whole prefixes."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click
from rich.live import Live
from rich.table import Table

from uinet.cli.common import Number, Seconds, console, seed_bytes, seed_option, si
from uinet.cli.group import DONE
from uinet.cli.inside import Inside, inside_options
from uinet.honeypot.engine import Options
from uinet.honeypot.journal import Journal
from uinet.honeypot.lures import BANNERS, parse_banner
from uinet.honeypot.running import Running, check_prefixes
from uinet.honeypot.tables import tables
from uinet.link.url import open_device

MOST = 1 << 20


@click.command()
@click.argument("device")
@click.argument("prefixes", nargs=-1, required=True, metavar="PREFIX...")
@click.option("--log", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Append the records there instead of to standard output; SIGHUP opens it anew.")
@click.option("--max-connections", type=click.IntRange(1, MOST), default=10000, show_default=True, metavar="N",
              help="Open at once; of more, the longest idle is reset.")
@click.option("--idle", type=Seconds(0.5), default=30.0, show_default=True, metavar="S",
              help="A connection or conversation that is silent for so long is over.")
@click.option("--longest", type=Seconds(0.5), default=300.0, show_default=True, metavar="S",
              help="No connection lasts longer.")
@click.option("--first-bytes", type=click.IntRange(0, 65536), default=512, show_default=True, metavar="N",
              help="How much of what comes is logged.")
@click.option("--most-bytes", type=click.IntRange(1, 1 << 40), default=1 << 20, show_default=True, metavar="N",
              help="A connection that sends more is closed.")
@click.option("--scan-interval", type=Seconds(0.5), default=10.0, show_default=True, metavar="S",
              help="How often scanning sources are reported, each on a line.")
@click.option("--scan-lines", type=click.IntRange(1, 100_000), default=100, show_default=True, metavar="N",
              help="In each report; the rest is one line.")
@click.option("--sources", type=click.IntRange(1, MOST), default=8192, show_default=True, metavar="N",
              help="Told apart between two reports; the rest is counted as one.")
@click.option("--remember", type=click.IntRange(64, 1 << 24), default=65536, show_default=True, metavar="N",
              help="SYNs kept for the fingerprints of connections that come of them.")
@click.option("--log-rate", type=Number(1, 1e6), default=2000.0, show_default=True, metavar="N",
              help="Records a second; of more a line tells how many were left out.")
@click.option("--banner", "banners", multiple=True, metavar="PORT=TEXT",
              help=r"Said first on that port (\r \n \xHH are understood); PORT= for none. May be repeated.")
@click.option("--udp", type=click.Choice(["echo", "silent"]), default="echo", show_default=True,
              help="What a datagram gets.")
@click.option("--stats", is_flag=True, help="A live table on standard error.")
@inside_options
@seed_option
def command(
    device: str, prefixes: tuple[str, ...], log: Path | None, max_connections: int, idle: float, longest: float,
    first_bytes: int, most_bytes: int, scan_interval: float, scan_lines: int, sources: int, remember: int,
    log_rate: float, banners: tuple[str, ...], udp: str, stats: bool, seed: int | None, inside: Inside,
) -> int:
    """Answer on every address and port of the PREFIXes, on any VLAN, and log each who comes as a line of JSON.

    ARP, neighbour solicitations, pings, TCP and UDP are answered for all of the prefixes, and for nothing else; DEVICE
    is a device URL such as packet:eth1 or tap:darknet. SIGINT and SIGTERM end it.

    \b
    uinet listen packet:eth1 10.66.0.0/16 fd66::/64 --log visits.jsonl
    """
    check_prefixes(prefixes)
    chosen = dict(BANNERS)
    chosen.update(parse_banner(text) for text in banners)
    options = Options(
        connections=max_connections, first=first_bytes, idle=idle, longest=longest, most=most_bytes,
        scans=scan_interval, scan_lines=scan_lines, echo_udp=udp == "echo", banners=chosen,
    )
    opened = open_device(device)
    try:
        journal = Journal(None if log is None else str(log), log_rate, 0)
    except BaseException:
        opened.close()
        raise
    running = Running(
        opened, prefixes, options, journal, seed=seed_bytes(seed), remember=remember, sources=sources
    )
    screen = console(stderr=True)
    try:
        with inside.open(running.stack, tables(running)), signals(running):
            screen.print(f"answering for {', '.join(prefixes)} on {device}", markup=False, soft_wrap=True)
            if stats:
                with Live(table_of(running), console=screen, auto_refresh=False) as live:
                    running.run(lambda: live.update(table_of(running), refresh=True))
            else:
                running.run()
    except KeyboardInterrupt:
        pass  # the way to end it
    finally:
        running.close()
        journal.close()
    return DONE


@contextlib.contextmanager
def signals(running: Running) -> Iterator[None]:
    """SIGTERM and SIGINT stop it meanwhile, SIGHUP opens its log anew."""

    def stop(number: int, frame: FrameType | None) -> None:
        running.stop()

    def reopen(number: int, frame: FrameType | None) -> None:
        running.reopening = True

    wanted = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if hasattr(signal, "SIGHUP"):
        wanted[signal.SIGHUP] = reopen
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def table_of(running: Running) -> Table:
    """How it is doing."""
    counts, watch = running.honeypot.counts, running.watch
    table = Table(title="uinet listen", box=None, show_header=False, pad_edge=False, title_justify="left")
    table.add_column(justify="right")
    table.add_column()
    table.add_row(f"{len(running.honeypot.visits):,}", "connections open")
    table.add_row(f"{counts['connections']:,}", f"connections, {si(counts['received'], 'B')} received")
    table.add_row(f"{watch.syns:,}", "SYNs")
    table.add_row(f"{len(watch.sources):,}", "sources since the last report")
    table.add_row(f"{counts['datagrams']:,}", "datagrams")
    table.add_row(f"{watch.elsewhere:,}", "frames for others")
    journal = running.journal
    trouble = f": {journal.failed}" if journal.failed else ""
    table.add_row(f"{journal.lines:,}", f"records, {journal.suppressed:,} left out{trouble}")
    return table
