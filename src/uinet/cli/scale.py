"""``uinet scale``: connections by the million, opened, served, or both."""

from __future__ import annotations

import os
from typing import Any

import click
from rich.live import Live
from rich.table import Table

from uinet.cli.common import Number, Seconds, console, json_option, print_json, seed_bytes, seed_option, si
from uinet.cli.group import DONE, FAILED
from uinet.cli.inside import Inside, inside_options
from uinet.errors import InvalidArgument
from uinet.link.url import open_device
from uinet.scale.ends import MOST_PAYLOAD, Exchange
from uinet.scale.plan import Plan, Ranges
from uinet.scale.running import Load, Run, both_ends, one_end

MOST_CONNECTIONS = 100_000_000


@click.command()
@click.option("--server", "serve", is_flag=True, help="Only listen and answer, on --device, until interrupted.")
@click.option("--client", "connect", is_flag=True, help="Only open connections, on --device.")
@click.option("-d", "--device", metavar="URL", help="Where one end is: tap:NAME, packet:IFNAME, xdp:IFNAME, ...")
@click.option(
    "-n", "--connections", type=click.IntRange(1, MOST_CONNECTIONS), default=1000, show_default=True, metavar="N",
    help="How many to open.",
)
@click.option(
    "--rate", type=Number(0, 1e9), default=0.0, metavar="N", help="New ones a second; default: all it can.",
)
@click.option(
    "--listeners", type=click.IntRange(0, MOST_CONNECTIONS), default=0, metavar="N",
    help="Listen on each of the first N services by itself; default: one listener for everything.",
)
@click.option(
    "--vlan", "vlans", multiple=True, metavar="STACK",
    help="VLAN IDs, outermost first, each one or a range: 1:10:100-200. none: untagged. May be repeated.",
)
@click.option("--server-ip", "server_ips", default=Ranges.server_ips, show_default=True, metavar="RANGE",
              help="IP/LEN, IP-IP or IP.")
@click.option("--server-port", "server_ports", default=Ranges.server_ports, show_default=True, metavar="RANGE")
@click.option("--client-ip", "client_ips", default=Ranges.client_ips, show_default=True, metavar="RANGE")
@click.option("--client-port", "client_ports", default=Ranges.client_ports, show_default=True, metavar="RANGE")
@click.option("--server-mac", "server_macs", default=Ranges.server_macs, show_default=True, metavar="MAC[+N]")
@click.option("--client-mac", "client_macs", default=Ranges.client_macs, show_default=True, metavar="MAC[+N]",
              help="N MACs from that one on.")
@click.option(
    "--request", type=click.IntRange(0, MOST_PAYLOAD), default=64, show_default=True, metavar="BYTES",
    help="What a client sends in an exchange.",
)
@click.option(
    "--response", type=click.IntRange(0, MOST_PAYLOAD), default=64, show_default=True, metavar="BYTES",
    help="What a server answers. 0: nothing.",
)
@click.option(
    "--exchanges", type=click.IntRange(0, 1_000_000), default=1, show_default=True, metavar="N",
    help="How many each connection makes: in rounds over all of them once they are open.",
)
@click.option("--close", is_flag=True, help="Each connection exchanges when it is open, and closes; none stay.")
@click.option("--keepalive", is_flag=True, help="Both ends probe idle connections, every two hours.")
@click.option("--hold", type=Seconds(0), default=0.0, metavar="S", help="Stay open and idle for so long in the end.")
@click.option("--duration", type=Seconds(0), default=0.0, metavar="S", help="End after so long, done or not.")
@click.option("--answer-any", is_flag=True, help="Answer ARP and ND for every address on the device.")
@inside_options
@seed_option
@json_option
def command(
    serve: bool, connect: bool, device: str | None, connections: int, rate: float, listeners: int, request: int,
    response: int, exchanges: int, close: bool, keepalive: bool, hold: float, duration: float, answer_any: bool,
    seed: int | None, as_json: bool, inside: Inside, **ranges: Any,
) -> int:
    """Open and serve connections by the million, over ranges of VLAN stacks, MACs, addresses and ports.

    Without --server or --client both ends are in this process, on a link in memory: no root. Every byte that arrives is
    compared with what was sent. --control PATH is the servers' stack then, PATH.clients the clients'. Exit status 1 if
    a connection failed, a byte was wrong, or something was left undone.
    """
    if serve and connect:
        raise InvalidArgument("--server and --client: want one, or neither for both ends in this process")
    if (serve or connect) != (device is not None):
        raise InvalidArgument("--device goes with --server or --client, and they with it")
    plan = Plan(Ranges(**ranges))
    exchange = Exchange(request, response, exchanges, close, keepalive)
    load = Load(connections, exchange, rate, listeners, hold, duration)
    secret = seed_bytes(seed) or os.urandom(32)
    if device is None:
        run = both_ends(load, plan, secret)
    else:
        run = one_end(load, plan, secret, open_device(device), serve, answer_any)
    try:
        stacks = run.medium.stacks
        with inside.open(stacks[-1]):
            if len(stacks) > 1 and inside.control is not None:
                stacks[0].control(f"{inside.control}.clients")
            interrupted = show_run(run, quiet=as_json)
        good = run.ok or (interrupted and serve)
        if as_json:
            print_json(run.summary())
        else:
            console().print(table_of(run))
    finally:
        run.medium.close()
    return DONE if good else FAILED


def show_run(run: Run, *, quiet: bool) -> bool:
    """Runs it, with a live table on a terminal; whether somebody has interrupted it."""
    screen = console(stderr=True)
    try:
        if quiet or not screen.is_terminal:
            run.run()
            return False
        with Live(table_of(run), console=screen, transient=True, auto_refresh=False) as live:
            run.on_progress = lambda now: live.update(table_of(now), refresh=True)
            run.run()
    except KeyboardInterrupt:
        return True
    return False


def table_of(run: Run) -> Table:
    """What was done so far."""
    table = Table(title=f"uinet scale: {run.report.phase or 'begin'}", box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column()
    load, report = run.load, run.report
    if run.server is not None:
        counts = run.server.counts
        table.add_row(f"{counts['listeners']:,}", "listeners")
        table.add_row(f"{counts['accepted']:,}", "connections accepted")
        table.add_row(f"{counts['exchanges']:,}", "requests answered")
    if run.client is not None:
        counts = run.client.counts
        table.add_row(f"{counts['established']:,}", f"of {load.connections:,} connections established")
        table.add_row(f"{counts['exchanges']:,}", f"of {load.connections * load.exchange.count:,} exchanges done")
        exchanging = "connect" if load.exchange.close else "exchange"
        for phase, what in (("connect", "established"), (exchanging, "exchanges")):
            took = report.seconds.get(phase, 0.0)
            if took and counts[what]:
                table.add_row(si(counts[what] / took), f"{what} a second")
    for name, end in (("server", run.server), ("client", run.client)):
        if end is not None:
            table.add_row(f"{end.counts['failed']:,}", f"failed ({name})")
            table.add_row(f"{end.counts['corrupt']:,}", f"reads with wrong bytes ({name})")
    table.add_row(si(report.memory, "B"), "memory of it all")
    table.add_row(f"{report.longest * 1e3:.1f} ms", "longest turn")
    return table
