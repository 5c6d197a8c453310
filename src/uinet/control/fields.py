"""Fields of rows, and what is asked of them: conditions, order, a selection.

A condition is a field, an operator and a value: ``rport=443``, ``state=ESTABLISHED|CLOSE-WAIT``, ``remote=10.0.0.0/8``,
``rtt>20ms``, ``unsent>=1M``, ``interface~eth``, ``vlans=100:200``. All conditions of a request have to hold.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any

from uinet.errors import ControlError
from uinet.settings.kinds import Duration, Size, short

NUMBER, SECONDS, TEXT, FLAG, ADDRESS = "number", "seconds", "text", "flag", "address"
MOST_CONDITIONS = 16
ORDERS: dict[str, Callable[[Any, Any], Any]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_CONDITION = re.compile(r"\s*([a-z_0-9]+)\s*(!=|<=|>=|=|<|>|~)\s*(.*?)\s*", re.DOTALL)
_SIZE, _DURATION = Size(0, 1 << 63), Duration(0, 1 << 63)

Get = Callable[[Any], Any]
Test = Callable[[Any], bool]


@dataclass(frozen=True)
class Field:
    """One column: `get` takes what a row is about and answers a value for JSON; None if it has none."""

    name: str
    kind: str
    get: Get
    help: str
    shown: bool = True  # without being asked for


class Fields:
    """The columns of one table, by name."""

    def __init__(self, *fields: Field) -> None:
        self.by_name = {field.name: field for field in fields}

    def named(self, name: Any) -> Field:
        """That field; ControlError."""
        field = self.by_name.get(name) if isinstance(name, str) else None
        if field is None:
            raise ControlError(f"there is no field {short(name)}: there are {', '.join(self.by_name)}")
        return field

    def chosen(self, names: Any) -> list[Field]:
        """Those that `names`, a list, asks for: "all" is every one, None those that are shown anyway."""
        if names is None:
            return [field for field in self.by_name.values() if field.shown]
        if names == "all":
            return list(self.by_name.values())
        if not isinstance(names, list):
            raise ControlError('"fields" is a list of names, or "all"')
        return [self.named(name) for name in names]

    def test(self, conditions: Any) -> Test | None:
        """Whether something meets all of the conditions, a list of text; None if there are none."""
        if not conditions:
            return None
        if not isinstance(conditions, list) or len(conditions) > MOST_CONDITIONS:
            raise ControlError(f'"filter" is a list of at most {MOST_CONDITIONS} conditions')
        tests = [self._condition(text) for text in conditions]
        if len(tests) == 1:
            return tests[0]
        return lambda subject: all(test(subject) for test in tests)

    def _condition(self, text: Any) -> Test:
        found = _CONDITION.fullmatch(text) if isinstance(text, str) and len(text) <= 1000 else None
        if found is None:
            raise ControlError(f"{short(text)} is no condition: want FIELD=VALUE, or != < <= > >= ~ in place of =")
        field, operator, values = self.named(found[1]), found[2], found[3]
        tests = [_compare(field, operator, value) for value in values.split("|")]
        if len(tests) == 1:
            return tests[0]
        if operator == "!=":
            return lambda subject: all(test(subject) for test in tests)
        return lambda subject: any(test(subject) for test in tests)


def _compare(field: Field, operator: str, text: str) -> Test:
    """The test of one field against one value."""
    get = field.get
    if operator == "~":
        wanted = text.lower()
        return lambda subject: wanted in str(get(subject) or "").lower()
    if field.kind == ADDRESS and "/" in text:
        return _in_prefix(field, operator, text)
    value = _value(field, text)
    if operator == "=":
        return lambda subject: bool(get(subject) == value)
    if operator == "!=":
        return lambda subject: bool(get(subject) != value)
    if field.kind in (FLAG, ADDRESS):
        raise ControlError(f"{field.name} has no order: want = or !=")
    order = ORDERS[operator]

    def test(subject: Any) -> bool:
        held = get(subject)
        return held is not None and bool(order(held, value))

    return test


def _value(field: Field, text: str) -> Any:
    """What `text` says for that field; ControlError."""
    if field.kind == NUMBER:
        negative = text.startswith("-")
        number = _SIZE.number(text.removeprefix("-"))
        if number is None:
            raise ControlError(f"{field.name}: {short(text)} is no number")
        return -number if negative else number
    if field.kind == SECONDS:
        time = _DURATION.nanoseconds(text)
        if time is None:
            raise ControlError(f"{field.name}: {short(text)} is no time: want 20ms, 1.5s or the like")
        return time / 1e9
    if field.kind == FLAG:
        if text.lower() not in ("0", "1", "true", "false", "yes", "no"):
            raise ControlError(f"{field.name}: {short(text)} is neither true nor false")
        return text.lower() in ("1", "true", "yes")
    if field.kind == ADDRESS and text not in ("", "*"):
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            raise ControlError(f"{field.name}: {short(text)} is no IP address") from None
    return text


def _in_prefix(field: Field, operator: str, text: str) -> Test:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ControlError(f"{field.name}: {short(text)} is no prefix") from None
    if operator not in ("=", "!="):
        raise ControlError(f"{field.name} has no order: want = or !=")
    get, inside = field.get, operator == "="

    def test(subject: Any) -> bool:
        held = get(subject)
        if not held or held == "*":
            return not inside
        return (ipaddress.ip_address(held.partition("/")[0]) in network) == inside

    return test


class Best:
    """The first `limit` of what it is given, in the order of a field: it keeps a few more, never many."""

    def __init__(self, field: Field, backwards: bool, limit: int) -> None:
        self.get = field.get
        self.backwards = backwards
        self.limit = limit
        self.kept: list[tuple[Any, dict[str, Any]]] = []
        self._worst: Any = None  # of the first `limit`, once there are as many: what is no better is not kept

    def wants(self, subject: Any) -> tuple[Any] | None:
        """The value to `add` a row with; None if it is not among the first, or has no value."""
        value = self.get(subject)
        if value is None:
            return None
        if self._worst is not None and (value <= self._worst if self.backwards else value >= self._worst):
            return None
        return (value,)

    def add(self, value: tuple[Any], row: dict[str, Any]) -> None:
        """Keeps a row that is wanted."""
        self.kept.append((value[0], row))
        if len(self.kept) >= 2 * self.limit + 64:
            self._cut()
            self._worst = self.kept[-1][0]

    def _cut(self) -> None:
        self.kept.sort(key=lambda pair: pair[0], reverse=self.backwards)
        del self.kept[self.limit :]

    def rows(self) -> list[dict[str, Any]]:
        """The rows, in order."""
        self._cut()
        return [row for _, row in self.kept]
