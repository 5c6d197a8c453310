"""Two helpers that every protocol file shares."""

from __future__ import annotations

import struct

from uinet.errors import InvalidArgument


def pack(layout: str, *values: int | bytes) -> bytes:
    """``struct.pack``; a value that its field cannot hold raises InvalidArgument."""
    try:
        return struct.pack(layout, *values)
    except struct.error as error:
        raise InvalidArgument(f"a header field cannot hold its value: {error}") from None


def limit(data: bytes, end: int | None) -> int:
    """Where reading has to stop: at `end`, or at the end of `data` if that comes first or `end` is None."""
    size = len(data)
    return size if end is None or end > size else end


def malformed(what: str) -> InvalidArgument:
    """The error of a `parse` that was given what its `check` refuses."""
    return InvalidArgument(f"not a whole {what}")
