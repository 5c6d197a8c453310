"""What a control socket answers: a command each. An answer is a generator of rows; see `session`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from uinet.control.connections import FIELDS, find
from uinet.control.fields import Best
from uinet.control.protocol import MOST_SORTED, VERSION
from uinet.control.tables import HANDFUL
from uinet.control.totals import totals
from uinet.errors import ControlError, InvalidArgument
from uinet.settings.kinds import short
from uinet.version import __version__, compiled

if TYPE_CHECKING:
    from uinet.control.fields import Field
    from uinet.control.served import Served

AT_ONCE = 4  # rows made in one step
Rows = list[dict[str, Any]]
Command = Callable[["Served", dict[str, Any]], Iterator[Rows]]


def hello(served: Served, request: dict[str, Any]) -> Iterator[Rows]:
    """Who is there."""
    yield [{
        "protocol": VERSION, "uinet": __version__, "compiled": compiled(), "commands": list(COMMANDS),
        "tables": {name: table.help for name, table in served.tables.items()},
    }]


def fields(served: Served, request: dict[str, Any]) -> Iterator[Rows]:
    """The fields of the table ``what``."""
    table = _table(served, request)
    yield [
        {"name": field.name, "type": field.kind, "help": field.help, "shown": field.shown}
        for field in table.fields.by_name.values()
    ]


def summary(served: Served, request: dict[str, Any]) -> Iterator[Rows]:
    """How the stack is doing, in one row."""
    served.refresh()
    yield [totals(served)]


def stat(served: Served, request: dict[str, Any]) -> Iterator[Rows]:
    """The rows of the table ``what``: those that meet all conditions of ``filter``, a list; in the order of the field
    ``sort`` ("-" before its name: the largest first), at most ``limit``; with ``fields`` only, or "all" of them."""
    table = _table(served, request)
    chosen = table.fields.chosen(request.get("fields"))
    test = table.fields.test(request.get("filter"))
    limit = _limit(request)
    order = request.get("sort")
    best = None
    if order is not None:
        if not isinstance(order, str) or limit is None or limit > MOST_SORTED:
            raise ControlError(f'"sort" is the name of a field, and wants a "limit" of at most {MOST_SORTED}')
        best = Best(table.fields.named(order.removeprefix("-")), order.startswith("-"), limit)
    served.refresh()
    for subjects in table.source(served):
        found = subjects if test is None else [subject for subject in subjects if test(subject)]
        if best is not None:
            _keep(best, found, chosen)
            yield []
            continue
        if limit is not None:
            found = found[:limit]
            limit -= len(found)
        if not found:
            yield []
        for at in range(0, len(found), AT_ONCE):
            yield [row_of(subject, chosen) for subject in found[at : at + AT_ONCE]]
        if limit == 0:
            return
    if best is not None:
        rows = best.rows()
        for at in range(0, len(rows), HANDFUL):
            yield rows[at : at + HANDFUL]


def connection(served: Served, request: dict[str, Any]) -> Iterator[Rows]:
    """Everything about one connection, found by its key: no row if there is none."""
    served.refresh()
    entry = find(served, request)
    yield [] if entry is None else [row_of(entry, FIELDS.chosen(request.get("fields", "all")))]


def sysctl(served: Served, request: dict[str, Any]) -> Iterator[Rows]:
    """Settings, described: those under ``name``, or all."""
    settings = served.stack.sysctl
    prefix = request.get("name", "")
    if not isinstance(prefix, str):
        raise ControlError('"name" is the name of a setting, or what names begin with')
    names = settings.under(prefix)
    if not names:
        raise InvalidArgument(f"there is no setting {short(prefix)}")
    for at in range(0, len(names), HANDFUL):
        yield [settings.describe(name) for name in names[at : at + HANDFUL] if name in settings]


def sysctl_set(served: Served, request: dict[str, Any]) -> Iterator[Rows]:
    """Sets ``name`` to ``value``; one row with what it was before."""
    name = request.get("name")
    if not isinstance(name, str) or "value" not in request:
        raise ControlError('wants a "name" and a "value"')
    settings = served.stack.sysctl
    text = settings.text(name)
    before, after = settings.set(name, request["value"])
    yield [{"name": name, "before": before, "value": after, "before_text": text, "text": settings.text(name)}]


def row_of(subject: Any, fields: list[Field]) -> dict[str, Any]:
    """A row: the fields that have a value."""
    row = {}
    for field in fields:
        value = field.get(subject)
        if value is not None:
            row[field.name] = value
    return row


def _keep(best: Best, subjects: list[Any], fields: list[Field]) -> None:
    for subject in subjects:
        value = best.wants(subject)
        if value is not None:
            best.add(value, row_of(subject, fields))


def _table(served: Served, request: dict[str, Any]) -> Any:
    what = request.get("what")
    table = served.tables.get(what) if isinstance(what, str) else None
    if table is None:
        raise ControlError(f"there is no table {short(what)}: there are {', '.join(served.tables)}")
    return table


def _limit(request: dict[str, Any]) -> int | None:
    limit = request.get("limit")
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ControlError('"limit" is a number of rows, 1 or more')
    return limit


COMMANDS: dict[str, Command] = {
    "hello": hello, "fields": fields, "totals": summary, "stat": stat, "connection": connection, "sysctl": sysctl,
    "sysctl-set": sysctl_set,
}


def start(served: Served, commands: dict[str, Command], request: dict[str, Any]) -> Iterator[Rows]:
    """Begins the answer to a request; ControlError for a command that is not there."""
    command = commands.get(request["command"])
    if command is None:
        raise ControlError(f"there is no command {short(request['command'])}: there are {', '.join(commands)}")
    return command(served, request)
