"""Kinds of settings: what their values are, how they are written, and what is out of range.

A value has two forms. Inside, an attribute holds what the engine wants (ns, bytes, a flag). Outside, in JSON and in
Python, it is what people say: a duration is seconds as a number. Text, from a command line, is taken for either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from uinet.errors import InvalidArgument
from uinet.units import MICROSECOND, MILLISECOND, MINUTE, SECOND

DURATIONS = {
    "ns": 1, "us": MICROSECOND, "ms": MILLISECOND, "s": SECOND, "": SECOND, "min": MINUTE, "m": MINUTE,
    "h": 60 * MINUTE, "d": 24 * 60 * MINUTE,
}
SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
MOST_SECONDS = 10**18  # beyond any range, and short of what a float can't hold as ns
YES, NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_NUMBER = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?) ?([a-z]*)")


class Kind:
    """What a setting's values are. `name`: the word for it."""

    name = ""
    writable = True

    def load(self, value: Any) -> Any:
        """What the attribute is to hold, from text or from what JSON has; InvalidArgument says what is wanted."""
        raise NotImplementedError

    def dump(self, held: Any) -> Any:
        """What JSON shows of what the attribute holds."""
        return held

    def show(self, held: Any) -> str:
        """The same as text, in a form that `load` takes."""
        return str(self.dump(held))

    @property
    def range(self) -> str:
        """What may be set, for people."""
        raise NotImplementedError

    def refuse(self, value: Any) -> InvalidArgument:
        """The error for a value that can't be."""
        return InvalidArgument(f"{short(value)} is out of range: want {self.range}")


class Flag(Kind):
    """On or off."""

    name = "flag"
    range = "0 or 1"

    def load(self, value: Any) -> bool:
        word = value.strip().lower() if isinstance(value, str) else value
        if word is True or word is False:
            return bool(word)
        if isinstance(word, int) and word in (0, 1):
            return bool(word)
        if word in YES or word in NO:
            return word in YES
        raise self.refuse(value)

    def show(self, held: Any) -> str:
        return "1" if held else "0"


class Whole(Kind):
    """An integer from `low` to `high`. `meanings`: of its values, where each has one."""

    name = "integer"

    def __init__(self, low: int, high: int, unit: str = "") -> None:
        self.low = low
        self.high = high
        self.unit = unit

    def load(self, value: Any) -> int:
        number = self.number(value)
        if number is None or not self.low <= number <= self.high:
            raise self.refuse(value)
        return number

    def number(self, value: Any) -> int | None:
        """The integer that `value` is, in range or not; None if it is none."""
        if isinstance(value, str):
            text = value.strip()
            return int(text) if re.fullmatch(r"[+-]?[0-9]{1,20}", text) else None
        if isinstance(value, float):
            return int(value) if value.is_integer() else None
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @property
    def range(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.low} to {self.high}{unit}"


class Size(Whole):
    """Bytes; text may say 256k, 16M, 1G."""

    name = "size"

    def __init__(self, low: int, high: int) -> None:
        super().__init__(low, high, "bytes")

    def number(self, value: Any) -> int | None:
        if not isinstance(value, str):
            return super().number(value)
        found = _NUMBER.fullmatch(value.strip().lower().removesuffix("ib").removesuffix("b"))
        if found is None or found[2] not in SIZES:
            return None
        size = float(found[1]) * SIZES[found[2]] if "." in found[1] else int(found[1]) * SIZES[found[2]]
        return super().number(size)


class Duration(Kind):
    """Time: nanoseconds inside, seconds outside; text may say 200ms, 2h. `low`, `high` in ns."""

    name = "duration"

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high

    def load(self, value: Any) -> int:
        held = self.nanoseconds(value)
        if held is None or not self.low <= held <= self.high:
            raise self.refuse(value)
        return held

    def nanoseconds(self, value: Any) -> int | None:
        """What `value` says, in range or not; None if it is no time."""
        if isinstance(value, str):
            found = _NUMBER.fullmatch(value.strip().lower())
            if found is None or found[2] not in DURATIONS:
                return None
            unit = DURATIONS[found[2]]
            return round(float(found[1]) * unit) if "." in found[1] else int(found[1]) * unit
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MOST_SECONDS:
            return None  # "nan" is not less than anything
        return round(value * SECOND)

    def dump(self, held: Any) -> float:
        return int(held) / SECOND

    def show(self, held: Any) -> str:
        return duration(int(held))

    @property
    def range(self) -> str:
        return f"{duration(self.low)} to {duration(self.high)}"


class Choice(Kind):
    """One of some words."""

    name = "word"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)

    def load(self, value: Any) -> str:
        if value not in self.words:
            raise self.refuse(value)
        return str(value)

    @property
    def range(self) -> str:
        return f"one of {', '.join(self.words)}"


class Named(Choice):
    """One of some words; a program may have set something of its own, whose name is shown."""

    def dump(self, held: Any) -> str:
        return held if isinstance(held, str) else str(getattr(held, "__name__", type(held).__name__))


class Secret(Kind):
    """Bytes that are written, as hexadecimal digits, and never shown: a dump says whether there are any."""

    name = "secret"

    def __init__(self, longest: int) -> None:
        self.longest = longest

    def load(self, value: Any) -> bytes:
        if not isinstance(value, str) or not re.fullmatch(r"(?:[0-9a-fA-F]{2})*", value.strip()):
            raise InvalidArgument(f"a secret that is no hexadecimal digits: want {self.range}")
        found = bytes.fromhex(value.strip())
        if len(found) > self.longest:
            raise InvalidArgument(f"a secret of {len(found)} bytes is out of range: want {self.range}")
        return found

    def dump(self, held: Any) -> bool:
        return bool(held)

    def show(self, held: Any) -> str:
        return "(set)" if held else ""

    @property
    def range(self) -> str:
        return f"up to {self.longest} bytes in hexadecimal"


class Fact(Kind):
    """What can be read and not be set. `render`: makes of it what JSON shows."""

    writable = False
    range = "read-only"

    def __init__(self, name: str, render: Callable[[Any], Any] = lambda held: held) -> None:
        self.name = name
        self.render = render

    def load(self, value: Any) -> Any:
        raise InvalidArgument("it can only be read")

    def dump(self, held: Any) -> Any:
        return self.render(held)


def duration(nanoseconds: int) -> str:
    """``200ms``: a time in the largest unit in which it is a whole number."""
    for unit in ("d", "h", "min", "s", "ms", "us"):
        if nanoseconds and nanoseconds % DURATIONS[unit] == 0:
            return f"{nanoseconds // DURATIONS[unit]}{unit}"
    return f"{nanoseconds}ns" if nanoseconds else "0s"


def short(value: Any) -> str:
    """A value as an error message shows it: whoever sent it may have sent a lot."""
    if isinstance(value, int | float | str):
        if isinstance(value, int) and abs(value) >= 10**30:
            return f"an integer of {value.bit_length()} bits"
        text = str(value) or "nothing"
        text = text if text.isprintable() else ascii(text)
        return text if len(text) <= 40 else f"{text[:37]}..."
    return f"a {type(value).__name__}"
