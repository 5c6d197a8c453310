"""What several workers say, made one answer."""

from __future__ import annotations

import re
from typing import Any

from uinet.control.protocol import MOST_SORTED
from uinet.errors import ControlError

SAME = "hello", "fields"  # every worker would say the same
SUMMED = "counters", "memory", "proxy", "captures"  # tables whose rows are numbers with names

_WORKER = re.compile(r"worker(!?=)([0-9]{1,9}(?:\|[0-9]{1,9})*)", re.A)


def add(joined: dict[str, Any], report: dict[str, Any]) -> None:
    """Adds the numbers of `report` to those of the same name in `joined`; of what is no number the first stays."""
    for name, value in report.items():
        if isinstance(value, dict):
            add(joined.setdefault(name, {}), value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            joined[name] = joined.get(name, 0) + value
        else:
            joined.setdefault(name, value)


class Joint:
    """Joins the rows of `count` workers. `take` is given each, and answers what can be passed on at once; `rest` what
    is left when all have answered. `enough`: no more rows are wanted."""

    enough = False

    def __init__(self, count: int) -> None:
        self.count = count

    def take(self, worker: int, row: dict[str, Any]) -> list[dict[str, Any]]:
        """A row of a worker, with its number."""
        return [{"worker": worker, **row}]

    def rest(self) -> list[dict[str, Any]]:
        """What was kept."""
        return []


class First(Joint):
    """What the first worker says."""

    def take(self, worker: int, row: dict[str, Any]) -> list[dict[str, Any]]:
        return [row] if worker == 0 else []


class Limited(Joint):
    """As many rows as are wanted, of whoever has them."""

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(count)
        self.left = limit

    def take(self, worker: int, row: dict[str, Any]) -> list[dict[str, Any]]:
        if self.left == 0:
            return []
        self.left -= 1
        self.enough = self.left == 0
        return super().take(worker, row)


class Sum(Joint):
    """The sum of all rows of the same name; of totals there is one."""

    def __init__(self, count: int, *, totals: bool) -> None:
        super().__init__(count)
        self.totals = totals
        self.uptime = 0.0
        self.by_name: dict[str, dict[str, Any]] = {}

    def take(self, worker: int, row: dict[str, Any]) -> list[dict[str, Any]]:
        add(self.by_name.setdefault(str(row.get("name", "")), {}), row)
        if self.totals:
            self.uptime = max(self.uptime, row.get("uptime", 0.0))
        return []

    def rest(self) -> list[dict[str, Any]]:
        rows = list(self.by_name.values())
        return [{**row, "uptime": self.uptime, "workers": self.count} for row in rows] if self.totals else rows


class Equal(Joint):
    """A row for each name, where all workers say the same; where they differ, each one's."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.by_name: dict[str, list[tuple[int, dict[str, Any]]]] = {}

    def take(self, worker: int, row: dict[str, Any]) -> list[dict[str, Any]]:
        self.by_name.setdefault(str(row.get("name", "")), []).append((worker, row))
        return []

    def rest(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for rows in self.by_name.values():
            if len(rows) == self.count and all(row == rows[0][1] for _, row in rows):
                found.append(rows[0][1])
            else:
                found += [{"worker": worker, **row} for worker, row in sorted(rows, key=lambda pair: pair[0])]
        return found


class Sorted(Joint):
    """The first `limit` rows in the order of a field. `extra`: the field was not asked for, and goes again."""

    def __init__(self, count: int, order: str, limit: int, extra: bool) -> None:
        super().__init__(count)
        self.name = order.removeprefix("-")
        self.backwards = order.startswith("-")
        self.limit = limit
        self.extra = extra
        self.kept: list[dict[str, Any]] = []

    def take(self, worker: int, row: dict[str, Any]) -> list[dict[str, Any]]:
        if self.name in row:
            self.kept.append({"worker": worker, **row})
            if len(self.kept) >= 2 * self.limit + 64:
                self._cut()
        return []

    def _cut(self) -> None:
        self.kept.sort(key=lambda row: row[self.name], reverse=self.backwards)
        del self.kept[self.limit :]

    def rest(self) -> list[dict[str, Any]]:
        self._cut()
        if self.extra:
            for row in self.kept:
                del row[self.name]
        return self.kept


def asked_of(request: dict[str, Any], count: int) -> tuple[list[int], dict[str, Any]]:
    """Which of `count` workers a request is for, and what to ask them: conditions such as ``worker=1``, ``worker=0|2``
    and ``worker!=1`` say so, and workers do not know of them. ControlError."""
    asked = list(range(count))
    conditions = request.get("filter")
    if not isinstance(conditions, list):
        return asked, request
    rest = []
    for condition in conditions:
        found = _WORKER.fullmatch(condition) if isinstance(condition, str) else None
        if found is None:
            rest.append(condition)
            continue
        named = {int(number) for number in found[2].split("|")}
        asked = [worker for worker in asked if (worker in named) == (found[1] == "=")]
    if not asked:
        raise ControlError(f"there is no such worker: want 0 to {count - 1}")
    return asked, {**request, "filter": rest}


def joint_for(request: dict[str, Any], count: int) -> tuple[Joint, dict[str, Any]]:
    """How the answers to `request` are joined, and what to ask each worker. What is wrong with it they tell."""
    command, what = request["command"], request.get("what")
    if command == "totals":
        return Sum(count, totals=True), request
    if command in SAME:
        return First(count), request
    if command in ("sysctl", "sysctl-set"):
        return Equal(count), request
    if command != "stat":
        return Joint(count), request
    limit, order = request.get("limit"), request.get("sort")
    known = isinstance(limit, int) and not isinstance(limit, bool) and limit > 0
    if isinstance(what, str) and what in SUMMED and order is None and not known:
        return Sum(count, totals=False), request
    if isinstance(order, str) and known and limit is not None and limit <= MOST_SORTED:
        fields, name = request.get("fields"), order.removeprefix("-")
        extra = isinstance(fields, list) and name not in fields
        asked = {**request, "fields": [*fields, name]} if extra and isinstance(fields, list) else request
        return Sorted(count, order, limit, extra), asked
    if known and limit is not None:
        return Limited(count, limit), request
    return Joint(count), request
