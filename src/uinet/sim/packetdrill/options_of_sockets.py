"""Values of socket options, as scripts write them and as systems have them."""

from __future__ import annotations

from uinet.sim.packetdrill.script import Anything, Expression, Fields, Items, Name, Text
from uinet.sim.packetdrill.values import integer

Value = int | bytes | str | dict[str, int]


def option_value(value: Expression) -> Value:
    """What setsockopt is given: an int, bytes, a name (of a congestion control), or the fields of a struct."""
    if isinstance(value, Text):
        return value.value.encode("latin-1")
    if isinstance(value, Fields):
        return {name: _field(part) for name, part in value.fields.items()}
    if isinstance(value, Items):
        if not value.items:
            return b""
        if isinstance(value.items[0], Text):
            return value.items[0].value.encode("latin-1")
        if isinstance(value.items[0], Fields):
            return option_value(value.items[0])
    if isinstance(value, Name) and value.name == "NULL":
        return b""
    return integer(value)


def _field(part: Expression) -> int:
    if isinstance(part, (Text, Anything)):
        return 0
    return integer(part)


def expected_option(value: Expression) -> Value | None:
    """What getsockopt is expected to give; None: anything."""
    if isinstance(value, Items) and len(value.items) == 1:
        value = value.items[0]
    if isinstance(value, Anything):
        return None
    return option_value(value)


def same_option(wanted: Value, found: object) -> bool:
    """Whether they are the same; a name may be followed by zeros."""
    if isinstance(wanted, bytes) and isinstance(found, (bytes, str)):
        text = found.encode() if isinstance(found, str) else found
        return text.rstrip(b"\0") == wanted.rstrip(b"\0")
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(found.get(name) == value for name, value in wanted.items())
    if isinstance(wanted, int) and isinstance(found, int):
        return wanted & 0xFFFFFFFF == found & 0xFFFFFFFF
    return wanted == found
