"""What commands share that look into a running program: where its control socket is, filters, refreshing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from uinet.cli.basics import Seconds, si
from uinet.control.client import Client


def control_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--control PATH`` of a command that looks into a program: ``path``."""
    return click.option(
        "--control", "path", envvar="UINET_CONTROL", required=True, metavar="PATH", show_envvar=True,
        help="Where that program has its control socket: the path that it was given with --control.",
    )(function)


def watch_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--watch [SECONDS]``."""
    return click.option(
        "-w", "--watch", type=Seconds(0.05), is_flag=False, flag_value=1.0, metavar="[SECONDS]",
        help="Again and again, until interrupted, with so much time between.  [default: 1]",
    )(function)


def repeated(path: str, interval: float | None, show: Callable[[Client], None]) -> None:
    """Shows once, or again and again over one connection; Ctrl-C ends that."""
    with Client(path) as client:
        while True:
            if interval is not None and sys.stdout.isatty():
                click.clear()
            show(client)
            if interval is None:
                return
            time.sleep(interval)


def table_of(rows: Iterable[dict[str, Any]], names: list[str], kinds: dict[str, str]) -> Table:
    """Rows as people read them: numbers to the right, times and bytes with their units."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(
            name, justify="right" if kinds.get(name) in ("number", "seconds") else "left", no_wrap=name != "help"
        )
    for row in rows:
        table.add_row(*(text_of(row.get(name), kinds.get(name, "text"), name) for name in names))
    return table


def text_of(value: Any, kind: str, name: str = "") -> str:
    """One value."""
    if value is None:
        return "-"
    if value is True or value is False:
        return "yes" if value else "no"
    if kind == "seconds":
        return time_of(float(value))
    if kind == "number" and ("bytes" in name or name in BYTES) and value >= 10_000:
        return si(value, "B")
    return str(value) if value != "" else "-"


BYTES = frozenset(("unread", "queued", "unacked", "pipe", "cwnd", "ssthresh", "snd_wnd", "rcv_wnd", "out_of_order",
                   "snd_buffer", "rcv_buffer"))


def time_of(seconds: float) -> str:
    """``1.5 ms``: a time with three digits."""
    for unit, name in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}" if seconds < 1000 * unit else f"{seconds / unit:.0f} {name}"
    return f"{seconds * 1e6:.0f} us" if seconds else "0"


def show_table(table: Table) -> None:
    """Prints a table; where no terminal sets a width, as wide as it is."""
    Console(highlight=False, width=None if sys.stdout.isatty() else 1000).print(table)
