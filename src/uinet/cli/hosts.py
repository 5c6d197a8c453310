"""``uinet hosts``: thousands of hosts from a file."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import FrameType

import click
from rich.live import Live
from rich.table import Table

from uinet.cli.common import console, json_option, print_json, seed_bytes, seed_option
from uinet.cli.group import DONE
from uinet.cli.inside import Inside, inside_options
from uinet.errors import InvalidArgument
from uinet.hosts.directory import Directory
from uinet.hosts.fleet import COUNTERS, Fleet
from uinet.hosts.plan import Plan, read_plan
from uinet.hosts.tables import tables
from uinet.link.url import open_device
from uinet.wire.addresses import unpack_address

REFRESH = 0.5
SHOWN = 3
ANNOUNCED_A_TURN = 16


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("-d", "--device", metavar="URL", help="Instead of the file's: packet:IFNAME, tap:NAME, ...")
@click.option("--check", is_flag=True, help="Only read the file, and show what hosts it makes.")
@click.option("--awake", type=click.IntRange(1, 1 << 20), default=2048, show_default=True, metavar="N",
              help="Hosts that have a stack at a time (a quarter of a megabyte each).")
@click.option("--announce", is_flag=True, help="Tell the link of every address at the beginning.")
@click.option("--stats", is_flag=True, help="A live table on standard error.")
@inside_options
@seed_option
@json_option
def command(
    file: Path, device: str | None, check: bool, awake: int, announce: bool, stats: bool, seed: int | None,
    as_json: bool, inside: Inside,
) -> int:
    """Bring up the hosts that FILE describes, each with its own MAC, VLAN stack, addresses, routes and services.

    FILE is TOML: see docs/hosts.md. SIGINT and SIGTERM end it; --json prints the counters then.

    \b
    [[hosts]]
    count = 2000
    ip = "10.9.4.1/16"
    tcp = { 22 = { banner = "SSH-2.0-x\\r\\n" }, 80 = "http" }
    """
    plan = read_plan(str(file))
    directory = Directory(plan.hosts())
    if check:
        show_plan(plan, as_json)
        return DONE
    url = device or plan.device
    if not url:
        raise InvalidArgument(f"no device: want --device URL, or in {file} a line such as device = \"packet:eth1\"")
    fleet = Fleet(open_device(url), directory, seed=seed_bytes(seed) or os.urandom(32), awake=awake)
    screen = console(stderr=True)
    stopping: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.append(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with inside.open(fleet.manager, tables(fleet)):
            tagged = len(directory.stacks - {b""})
            where = f" in {tagged:,} VLAN{'s' if tagged > 1 else ''}" if tagged else ""
            screen.print(f"{len(directory):,} hosts{where} on {url}", markup=False, soft_wrap=True)
            run(fleet, plan, announce, lambda: bool(stopping), screen if stats else None)
        if as_json:
            print_json(fleet.summary())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        fleet.close()
    return DONE


def run(fleet: Fleet, plan: Plan, announce: bool, stopping: Callable[[], bool], screen: object) -> None:
    """Serves until it is told to stop."""
    announced = iter(plan.hosts()) if announce else iter(())
    live = Live(table_of(fleet), console=screen, auto_refresh=False) if screen is not None else None  # type: ignore[arg-type]
    if live is not None:
        live.start()
    try:
        while not stopping():
            some = list(islice(announced, ANNOUNCED_A_TURN))
            for host in some:
                fleet.announce(host)
            fleet.turn(0.0 if some else REFRESH)
            if live is not None:
                live.update(table_of(fleet), refresh=True)
    finally:
        if live is not None:
            live.stop()


def show_plan(plan: Plan, as_json: bool) -> None:
    """What hosts there are: each group's first and last."""
    table = Table(title=f"{plan.size:,} hosts", box=None, pad_edge=False, title_justify="left")
    for name in ("name", "mac", "vlans", "addresses", "tcp", "udp"):
        table.add_column(name)
    for group in plan.groups:
        for number in sorted({0, group.size - 1}):
            host = group.host(number)
            addresses = [str(unpack_address(address)) for address in host.addresses]
            vlans = ":".join(str(tag.vid) for tag in host.tags)
            services = [
                [f"{port} {service.kind}" for port, service in islice(ports.items(), SHOWN)]
                for ports in (group.tcp, group.udp)
            ]
            if as_json:
                print_json({
                    "name": host.name, "mac": host.mac.hex(":"), "vlans": [tag.vid for tag in host.tags],
                    "addresses": addresses, "hosts": group.size,
                    "tcp": {port: service.kind for port, service in group.tcp.items()},
                    "udp": {port: service.kind for port, service in group.udp.items()},
                })
            else:
                more = [
                    ", ".join(shown) + (", ..." if len(ports) > SHOWN else "")
                    for shown, ports in zip(services, (group.tcp, group.udp), strict=True)
                ]
                table.add_row(host.name, host.mac.hex(":"), vlans or "none", ", ".join(addresses), *more)
    if not as_json:
        console().print(table)


def table_of(fleet: Fleet) -> Table:
    """How it is doing."""
    table = Table(title="uinet hosts", box=None, show_header=False, pad_edge=False, title_justify="left")
    table.add_column(justify="right")
    table.add_column()
    table.add_row(f"{len(fleet.directory):,}", "hosts")
    table.add_row(f"{len(fleet.awake):,}", "awake")
    for name, help in COUNTERS.items():
        table.add_row(f"{fleet.counts[name]:,}", help)
    table.add_row(f"{fleet.directory.counts['unknown']:,}", "frames for nobody here")
    return table
