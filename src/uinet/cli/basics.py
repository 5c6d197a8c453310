"""What every command has: options, numbers as people read them, and where output goes. Nothing here needs a stack."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.console import Console

F = TypeVar("F", bound=Callable[..., Any])

PREFIXES = ("", "k", "M", "G", "T")


def console(stderr: bool = False) -> Console:
    """Where tables go; as wide as they need where nobody's terminal sets a width."""
    file = sys.stderr if stderr else sys.stdout
    return Console(file=file, width=None if file.isatty() else 120, highlight=False)


def print_json(record: dict[str, Any]) -> None:
    """One object on a line of its own, at once: somebody may be reading along."""
    sys.stdout.write(json.dumps(record) + "\n")  # in one: workers write to the same file
    sys.stdout.flush()


def si(value: float, unit: str = "") -> str:
    """``1.5 MB``: a number with three digits or four and an SI prefix."""
    power = 0
    while abs(value) >= 9999.5 and power < len(PREFIXES) - 1:
        value /= 1000
        power += 1
    text = f"{value:.0f}" if power == 0 else f"{value:.1f}"
    return f"{text} {PREFIXES[power]}{unit}".rstrip()


class Number(click.FloatRange):
    """A number of a range; "nan", which no range keeps out, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class Seconds(Number):
    """Seconds on a command line: from `min` up to ten years."""

    def __init__(self, min: float) -> None:
        super().__init__(min, 10 * 365 * 86400)


def seed_option(function: F) -> F:
    """``--seed N``."""
    return click.option("--seed", type=int, metavar="N", help="Makes what is random repeatable.")(function)


def json_option(function: F) -> F:
    """``--json``."""
    option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for machines.")
    return option(function)


class Size(click.ParamType[int]):
    """Bytes on a command line: ``512M``, ``2G``."""

    name = "size"
    units = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

    def convert(self, value: object, param: click.Parameter | None, context: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+)([kmgt]?)(?:i?b)?", str(value).strip().lower())
        if found is None:
            self.fail(f"{value!r} is no size: want 512M, 2G or the like", param, context)
        return int(found[1]) * self.units[found[2]]
