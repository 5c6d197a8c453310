"""``uinet flow``: changes the state of flows of a running proxy."""

from __future__ import annotations

import time
from typing import Any

import click

from uinet.bridging.constants import STATES
from uinet.cli.basics import Seconds, json_option, print_json
from uinet.cli.group import DONE, FAILED, Failure
from uinet.cli.looking import control_argument, show_table, table_of
from uinet.control.client import Client

POLL = 0.05
COLUMNS = ["serial", "before", "state", "wanted", "why"]


@click.command()
@click.argument("state", type=click.Choice(STATES))
@click.option(
    "-f", "--filter", "conditions", multiple=True, required=True, metavar="CONDITION",
    help="Which flows: as for uinet stat flows. May be repeated: all hold.",
)
@click.option(
    "--wait", type=Seconds(0), default=5.0, show_default=True, metavar="SECONDS",
    help="How long to try where the change is not safe at once.",
)
@json_option
@control_argument
def command(state: str, conditions: tuple[str, ...], wait: float, as_json: bool, path: str) -> int:
    """Bring flows of a running uinet proxy to another state, in their middle.

    \b
    pass       bridged untouched: the cheapest
    track      bridged and read passively
    hold       the SYN is kept (only a SYN that is held is in this state)
    intercept  proxied

    A flow that is bridged is taken over, an intercepted one let go; where that is not safe the flow stays what it is,
    and the reason is told. Exit status 1 if not all came to the state.

    \b
    examples:  uinet stat flows
               uinet flow intercept -f serial=7
               uinet flow pass -f server=10.0.0.0/8 -f server_port=443 --wait 0
    """
    with Client(path) as client:
        rows = list(client.rows("flow", state=state, filter=list(conditions), wait=wait))
        if not rows:
            raise Failure(f"no flow meets {' and '.join(conditions)} (uinet stat flows shows those that there are)")
        deadline = time.monotonic() + wait + 1.0
        waiting = [row for row in rows if "wanted" in row]
        while waiting and time.monotonic() < deadline:
            time.sleep(POLL)
            waiting = [row for row in waiting if not settled(client, row)]
    if as_json:
        for row in rows:
            print_json(row)
    else:
        columns = (["worker"] if any("worker" in row for row in rows) else []) + COLUMNS
        show_table(table_of(rows, columns, {"worker": "number", "serial": "number"}))
    return DONE if all(row["state"] == state for row in rows) else FAILED


def settled(client: Client, row: dict[str, Any]) -> bool:
    """Whether a change that was waited for has come about or was given up; `row` learns how."""
    which = [f"serial={row['serial']}"]
    if "worker" in row:  # each has numbers of its own
        which.append(f"worker={row['worker']}")
    found = list(client.rows("stat", what="flows", filter=which, fields="all"))
    if not found:
        row.update(state="over")
    elif found[0].get("wanted"):
        return False
    else:
        row.update(state=found[0]["state"])
        row.pop("why", None)
        if found[0].get("refusal"):
            row["why"] = found[0]["refusal"]
    row.pop("wanted", None)
    return True
