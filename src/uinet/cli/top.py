"""``uinet top``: a running program's stack on the full screen."""

from __future__ import annotations

import click

from uinet.cli.basics import Seconds
from uinet.cli.group import DONE, Failure
from uinet.cli.looking import control_argument
from uinet.control.client import Client

NEEDS = "uinet top needs textual: pip install uinet[top]"


@click.command()
@click.option("-f", "--filter", "conditions", multiple=True, metavar="CONDITION",
              help="List only connections for which it holds, as of uinet stat.")
@click.option("-s", "--sort", default="-bytes_in", show_default=True, metavar="FIELD",
              help="In that order to begin with.")
@click.option("-i", "--interval", type=Seconds(0.1), default=1.0, show_default=True, metavar="SECONDS",
              help="Time between two looks.")
@control_argument
def command(conditions: tuple[str, ...], sort: str, interval: float, path: str) -> int:
    """Show throughput, connections and drops of a running program's stack, live.

    Enter shows one connection: its state, and a time-sequence plot. s sorts by the next field, f filters, q ends.
    """
    with Client(path) as client:  # what is wrong is said on a line, before there is a screen
        list(client.rows("stat", what="connections", filter=list(conditions), sort=sort, limit=1))
    try:
        from uinet.cli.top_screen import Top
    except ImportError:
        raise Failure(NEEDS) from None
    app = Top(lambda: Client(path), list(conditions), sort, interval)
    app.run()
    if app.failed:
        raise Failure(app.failed)
    return DONE
