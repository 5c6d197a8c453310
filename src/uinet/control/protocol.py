"""What goes over a control socket: lines of JSON, one object each, in both directions.

A request names a command, has its arguments beside it, and may have an ``id``, which every line of the answer repeats::

    {"id": 1, "command": "stat", "what": "connections", "filter": ["rport=443"], "limit": 10}

An answer is any number of rows, then its end, or an error instead::

    {"id": 1, "row": {"serial": 7, ...}}
    {"id": 1, "end": {"rows": 1}}
    {"id": 1, "error": "there is no field colour: ..."}

Where looking takes long a line ``{"id": 1, "wait": 0}`` says now and then that somebody is at it, with the number of
rows so far. One request of a connection is answered at a time, in order. Nobody can make the other side keep more than
these limits.
"""

from __future__ import annotations

import json
from typing import Any

from uinet.errors import ControlError

VERSION = 1
REQUEST_LIMIT = 16 * 1024  # bytes of a request, and of requests that wait
OUTPUT_LIMIT = 256 * 1024  # bytes of an answer that wait for their reader, beyond which no more are made
MOST_SORTED = 1000  # rows of a sorted answer
SOONEST = 1000  # timers that are listed
TABLES = {
    "connections": "TCP connections, half-open and watched ones too", "listeners": "listening sockets",
    "udp": "datagram sockets", "interfaces": "interfaces and their traffic",
    "devices": "counters of the devices behind the interfaces", "addresses": "addresses of interfaces",
    "routes": "the routing table", "neighbors": "neighbours (ARP and ND)",
    "timers": f"timers that wait, the {SOONEST} that are due next", "memory": "what takes memory, and how much may",
    "counters": "every counter with its meaning",
}
"""What can be shown of every stack."""


def encode(record: dict[str, Any]) -> bytes:
    """One line."""
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes | bytearray) -> dict[str, Any]:
    """The object of one line; ControlError if it is none."""
    try:
        found = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ControlError("a line that is no JSON") from None
    if not isinstance(found, dict):
        raise ControlError("a line that is no object")
    return found


def request_of(line: bytes | bytearray) -> dict[str, Any]:
    """A request: its command is a word, and its ``id`` a word or a number; ControlError."""
    found = decode(line)
    if not isinstance(found.get("command"), str):
        raise ControlError('a request without "command"')
    if not isinstance(found.get("id"), str | int | float | None):
        raise ControlError('the "id" of a request is a word or a number')
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(word)
