"""``uinet sysctl``: the settings of a running program's stack."""

from __future__ import annotations

from typing import Any

import click

from uinet.cli.basics import json_option, print_json
from uinet.cli.group import DONE
from uinet.cli.looking import control_argument
from uinet.control.client import Client


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME[=VALUE]]...")
@click.option("-d", "--describe", is_flag=True, help="What it means: type, range, default, RFC.")
@click.option("-n", "--values", is_flag=True, help="Only the values.")
@click.option("-c", "--changed", is_flag=True, help="Only those that have another value than by default.")
@json_option
@control_argument
def command(
    names: tuple[str, ...], describe: bool, values: bool, changed: bool, as_json: bool, path: str
) -> int:
    """List, read and set the settings of the stack of a running program.

    NAME alone shows a setting, or all whose names begin with it; without any all are shown. NAME=VALUE sets one: a
    value out of range is refused, and the range told. Values are set in the order given, up to the first that is
    refused.

    \b
    examples:  uinet sysctl net.inet.tcp.sack
               uinet sysctl net.inet.tcp.sack.enable=0 net.inet.tcp.rexmit_min=50ms
               uinet sysctl -d net.inet.tcp.msl
    """
    if describe and values:
        raise click.UsageError("--describe and --values: choose one")
    with Client(path) as client:
        for name in names or ("",):
            name, is_set, value = name.partition("=")
            if is_set:
                show_change(client.one("sysctl-set", name=name.strip(), value=value.strip()), values, as_json)
                continue
            for row in client.rows("sysctl", name=name):
                if not changed or (row["writable"] and row["default"] not in (None, row["value"])):
                    show(row, describe, values, as_json)
    return DONE


def show(row: dict[str, Any], describe: bool, values: bool, as_json: bool) -> None:
    """One setting."""
    if as_json:
        print_json(row)
    elif values:
        click.echo(of_worker(row) + row["text"])
    elif not describe:
        click.echo(f"{of_worker(row)}{row['name']}: {row['text']}")
    else:
        rfc = f", RFC {row['rfc']}" if row["rfc"] else ""
        default = f"; default {row['default']}" if row["default"] is not None else ""
        click.echo(f"{of_worker(row)}{row['name']}: {row['text']}")
        click.echo(f"    {row['help']}")
        click.echo(f"    {row['type']}, {row['range']}{default}; applies: {row['applies']}{rfc}")


def show_change(row: dict[str, Any], values: bool, as_json: bool) -> None:
    """What has become of a setting."""
    if as_json:
        print_json(row)
    elif values:
        click.echo(row["text"])
    else:
        click.echo(f"{of_worker(row)}{row['name']}: {row['before_text']} -> {row['text']}")


def of_worker(row: dict[str, Any]) -> str:
    """``worker 1: `` where several differ."""
    return f"worker {row['worker']}: " if "worker" in row else ""
