"""The options of a device URL: taken one by one, each by a parser that says in its ValueError what is wanted.

For the packages that add devices too: see docs/write-a-device.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

from uinet.errors import AddressError, DeviceURLError, InvalidArgument
from uinet.link.device import check_mtu
from uinet.units import MICROSECOND, MILLISECOND, SECOND
from uinet.wire.addresses import Mac, parse_prefix

if TYPE_CHECKING:
    from uinet.link.memory import MemoryRegistry
    from uinet.link.sharing import Share

T = TypeVar("T")

_NUMBER = r"(\d{1,15}(?:\.\d*)?|\.\d+)"
_PROBABILITY = re.compile(_NUMBER + r"(%?)")
_DURATION = re.compile(_NUMBER + r"(ns|us|ms|s)")
_SCALED = re.compile(_NUMBER + r"([kKMG]?)")
_TIME_UNITS = {"ns": 1, "us": MICROSECOND, "ms": MILLISECOND, "s": SECOND}
_SCALES = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_FLAGS = {
    **dict.fromkeys(("1", "yes", "true", "on"), True),
    **dict.fromkeys(("0", "no", "false", "off"), False),
}


class Options:
    """The query of a URL, taken option by option; what is left over at the end is an error."""

    def __init__(self, url: str, query: str) -> None:
        self._url = url
        self._known: list[str] = []
        self._values: dict[str, str] = {}
        for part in query.split("&") if query else ():
            key, equals, value = part.partition("=")
            if not equals or not key:
                raise DeviceURLError(f"{url!r}: option {part!r}: want NAME=VALUE")
            if key in self._values:
                raise DeviceURLError(f"{url!r}: option {key!r} is there twice")
            self._values[key] = unquote(value)

    def take(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """The value of option `name`, or the default; DeviceURLError if `parse` does not like it."""
        self._known.append(name)
        value = self._values.pop(name, None)
        if value is None:
            return default
        try:
            return parse(value)
        except (AddressError, InvalidArgument) as error:
            raise DeviceURLError(f"{self._url!r}: option {name}: {error}") from None
        except ValueError as error:
            raise DeviceURLError(f"{self._url!r}: option {name}={value}: want {error}") from None

    def finish(self, scheme: str) -> None:
        """DeviceURLError if there are options that nobody has taken."""
        if self._values:
            unknown = next(iter(self._values))
            known = ", ".join(sorted(self._known))
            raise DeviceURLError(f"{self._url!r}: {scheme} has no option {unknown!r}: there are {known}")


class Common:
    """What all kinds of devices take. `mtu`, `mac`: None if they are not given. `registry`: where memory links meet.
    `share`: the device is one worker's; schemes that say nothing of it are never asked for one.
    """

    def __init__(
        self,
        mtu: int | None = None,
        mac: Mac | None = None,
        registry: MemoryRegistry | None = None,
        share: Share | None = None,
    ) -> None:
        self.mtu = mtu
        self.mac = mac
        self.registry = registry
        self.share = share


def parse_probability(text: str) -> float:
    """From 0 to 1, or a percentage: ``0.01``, ``1%``."""
    match = _PROBABILITY.fullmatch(text)
    value = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= value <= 1:
        raise ValueError("a probability from 0 to 1, or a percentage like 1%")
    return value


def parse_duration(text: str) -> int:
    """Nanoseconds: ``5ms``, ``1.5s``, ``200us``."""
    match = _DURATION.fullmatch(text)
    if match:
        return round(float(match[1]) * _TIME_UNITS[match[2]])
    if text == "0":
        return 0
    raise ValueError("a time with its unit, like 5ms, 1.5s or 200us")


def parse_rate(text: str) -> float:
    """Bits per second: ``64k``, ``10M``, ``1.5G``."""
    match = _SCALED.fullmatch(text)
    value = float(match[1]) * _SCALES[match[2]] if match else 0.0
    if value <= 0:
        raise ValueError("bits per second, like 64k, 10M or 1.5G")
    return value


def parse_size(text: str) -> int:
    """Bytes: ``8M``, ``512k``."""
    match = _SCALED.fullmatch(text)
    value = round(float(match[1]) * _SCALES[match[2]]) if match else 0
    if not 1 <= value < 1 << 30:
        raise ValueError("bytes, like 8M, less than 1G")
    return value


def parse_integer(text: str) -> int:
    """An integer."""
    if not re.fullmatch(r"-?\d{1,18}", text):
        raise ValueError("an integer")
    return int(text)


def parse_positive(text: str) -> int:
    """An integer of 1 or more."""
    if not re.fullmatch(r"\d{1,9}", text) or int(text) < 1:
        raise ValueError("an integer of 1 or more")
    return int(text)


def parse_number(most: int) -> Callable[[str], int]:
    """A parser of integers from 0 to `most`."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or int(text) > most:
            raise ValueError(f"a number from 0 to {most}")
        return int(text)

    return parse


def parse_fanout(text: str) -> int | None:
    """The number of a group of packet sockets."""
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > 0xFFFF:
        raise ValueError("a number from 0 to 65535")
    return int(text)


def parse_queue(text: str) -> int | None:
    """The number of a queue, from 0."""
    if not re.fullmatch(r"\d{1,5}", text):
        raise ValueError("the number of a queue, from 0")
    return int(text)


def parse_mtu(text: str) -> int | None:
    """An MTU."""
    return check_mtu(parse_positive(text))


def parse_layer(text: str) -> int:
    """2 or 3."""
    if text not in ("2", "3"):
        raise ValueError("2 (Ethernet) or 3 (IP)")
    return int(text)


def parse_flag(text: str) -> bool:
    """1 or 0, yes or no, true or false, on or off."""
    if text.lower() not in _FLAGS:
        raise ValueError("1 or 0")
    return _FLAGS[text.lower()]


def parse_path(text: str) -> str:
    """A path."""
    if not text or "\0" in text:
        raise ValueError("a path")
    return text


def parse_prefixes(text: str) -> tuple[str, ...]:
    """Addresses with their prefix lengths, between commas."""
    prefixes = tuple(text.split(","))
    for prefix in prefixes:
        parse_prefix(prefix)
        if "/" not in prefix:
            raise ValueError("addresses with their prefix length, like 10.7.0.1/24")
    return prefixes


def one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    """A parser that takes one of `choices`."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(" or ".join(choices))
        return text

    return parse
