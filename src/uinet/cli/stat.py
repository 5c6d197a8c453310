"""``uinet stat``: what a running program's stack is doing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import click
from rich import box
from rich.table import Table

from uinet.cli.basics import console, json_option, print_json, si
from uinet.cli.group import DONE
from uinet.cli.looking import (
    control_argument,
    repeated,
    show_table,
    table_of,
    text_of,
    time_of,
    watch_option,
)
from uinet.control.client import Client
from uinet.control.protocol import MOST_SORTED, TABLES
from uinet.stats import COUNTERS

HELP = "\n".join(f"    {name:<13}{help}" for name, help in TABLES.items())


@click.command(help=f"""
Show what the stack of a running program is doing: totals, or a table of it.

\b
TABLE is one of these, or of what the program has added:
{HELP}
    flows        of uinet proxy: connections through it
    proxy        of uinet proxy: its counters

\b
examples:  uinet stat
           uinet stat connections -f state=ESTABLISHED -f 'rtt>20ms' --sort -bytes_in --limit 10
           uinet stat connections -f remote=10.0.0.0/8 -f 'rport=80|443' --fields remote,rport,cwnd
           uinet stat listeners --json
           uinet stat counters --watch
""")
@click.argument("table", required=False, metavar="[TABLE]")
@click.option(
    "-f", "--filter", "conditions", multiple=True, metavar="CONDITION",
    help="Only rows for which it holds: FIELD=VALUE, or != < <= > >= in place of =, or ~ for a part of the text; A|B "
    "is either, an address may be a prefix. May be repeated: all hold.",
)
@click.option("-s", "--sort", metavar="FIELD", help="In the order of that field; -FIELD: the largest first.")
@click.option("-n", "--limit", type=click.IntRange(1), metavar="N", help="At most so many rows.")
@click.option("--fields", metavar="FIELD,FIELD...", help="These fields, in this order.")
@click.option("-a", "--all", "everything", is_flag=True, help="All fields; of counters those at zero too.")
@click.option("--help-fields", is_flag=True, help="List the fields of TABLE, and do nothing else.")
@watch_option
@json_option
@control_argument
def command(
    table: str | None, conditions: tuple[str, ...], sort: str | None, limit: int | None, fields: str | None,
    everything: bool, help_fields: bool, watch: float | None, as_json: bool, path: str,
) -> int:
    if table is None:
        if conditions or sort or limit or fields or help_fields:
            raise click.UsageError("a filter, an order, fields are of a TABLE: say which")
        repeated(path, watch, partial(show_totals, as_json=as_json, everything=everything))
        return DONE
    if fields is not None and everything:
        raise click.UsageError("--all and --fields: choose one")
    names = None if fields is None else [name.strip() for name in fields.split(",")]
    if help_fields:
        repeated(path, None, partial(show_fields, table=table, as_json=as_json))
        return DONE
    if table == "counters" and not everything and not conditions:
        conditions = ("value>0",)
    request: dict[str, Any] = {
        "what": table, "filter": list(conditions), "fields": "all" if everything else names,
    }
    view = partial(show_rows, request=request, names=names, sort=sort, limit=limit, as_json=as_json)
    repeated(path, watch, view)
    return DONE


def rows_of(
    client: Client, request: dict[str, Any], sort: str | None, limit: int | None
) -> Iterator[dict[str, Any]]:
    """The rows, in order. The program sorts a few; of more they are sorted here."""
    if sort is None or (limit is not None and limit <= MOST_SORTED):
        order = {} if sort is None else {"sort": sort}
        yield from client.rows("stat", **request, **order, **({} if limit is None else {"limit": limit}))
        return
    name = sort.removeprefix("-")
    extra = isinstance(request["fields"], list) and name not in request["fields"]
    if request["fields"] is None or extra:
        shown = request["fields"] or [field["name"] for field in client.rows("fields", what=request["what"])
                                      if field["shown"]]
        request = {**request, "fields": [*shown, *([name] if name not in shown else [])]}
        extra = name not in shown
    found = [row for row in client.rows("stat", **request) if name in row]
    found.sort(key=lambda row: row[name], reverse=sort.startswith("-"))
    for row in found[:limit]:
        if extra:
            del row[name]
        yield row


def show_rows(
    client: Client, *, request: dict[str, Any], names: list[str] | None, sort: str | None, limit: int | None,
    as_json: bool,
) -> None:
    """One table."""
    rows = rows_of(client, request, sort, limit)
    if as_json:
        for row in rows:
            print_json(row)
        return
    known = {field["name"]: field for field in client.rows("fields", what=request["what"])}
    if names is None:
        names = [name for name, field in known.items() if request["fields"] == "all" or field["shown"]]
    kinds = {name: field["type"] for name, field in known.items()}
    found = list(rows)
    if request["fields"] == "all" and len(found) == 1:
        show_one(found[0], known, kinds)
        return
    if any("worker" in row for row in found):
        names = ["worker", *names]
        kinds["worker"] = "number"
    if request["fields"] == "all" or not found:
        used = {name for row in found for name in row}
        names = [name for name in names if name in used or not found]
    show_table(table_of(found, names, kinds))
    console(stderr=True).print(f"{len(found)} row{'s' * (len(found) != 1)}")


def show_one(row: dict[str, Any], known: dict[str, dict[str, Any]], kinds: dict[str, str]) -> None:
    """Everything about one thing, a line each."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in row.items():
        meaning = known[name]["help"] if name in known else ""
        table.add_row(name, text_of(value, kinds.get(name, "text"), name), meaning)
    show_table(table)


def show_fields(client: Client, *, table: str, as_json: bool) -> None:
    """What fields a table has."""
    rows = list(client.rows("fields", what=table))
    if as_json:
        for row in rows:
            print_json(row)
        return
    show_table(table_of(rows, ["name", "type", "shown", "help"], {}))


def show_totals(client: Client, *, as_json: bool, everything: bool) -> None:
    """Numbers of everything, and the counters that are not zero."""
    found = client.one("totals")
    if as_json:
        print_json(found)
        return
    screen = console()
    table = Table(box=None, show_header=False, pad_edge=False)
    states = ", ".join(f"{count:,} {name}" for name, count in found["states"].items())
    table.add_row("up", time_of(found["uptime"]))
    if "workers" in found:
        table.add_row("workers", str(found["workers"]))
    table.add_row("connections", f"{found['connections']:,}" + (f": {states}" if states else ""))
    for name, words in WORDS.items():
        table.add_row(words, f"{found[name]:,}")
    memory = found["memory"]
    sizes = ("process", "receive_buffers", "send_buffers", "connections")
    table.add_row("memory", ", ".join(f"{si(memory[name], 'B')} {name.replace('_', ' ')}" for name in sizes))
    screen.print(table)
    traffic = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("interface", "rx_frames", "rx_bytes", "tx_frames", "tx_bytes", "tx_dropped"):
        traffic.add_column(name, justify="left" if name == "interface" else "right")
    for interface, counts in found["traffic"].items():
        traffic.add_row(
            interface, *(text_of(counts[name], "number", name) for name in
                         ("rx_frames", "rx_bytes", "tx_frames", "tx_bytes", "tx_dropped"))
        )
    screen.print(traffic)
    counters = Table(box=None, show_header=False, pad_edge=False)
    counters.add_column(justify="right")
    for name, value in found["counters"].items():
        if value or everything:
            counters.add_row(f"{value:,}", name, COUNTERS.get(name, ""))
    screen.print(counters)


WORDS = {
    "listeners": "listeners", "udp": "datagram sockets", "interfaces": "interfaces", "addresses": "addresses",
    "routes": "routes", "neighbors": "neighbours", "timers": "timers",
}
