"""TCP options (RFC 9293, 3.2; RFC 7323, 2018, 7413, 2385, 5925).

::

    kind 0                end of the option list; what follows is padding
    kind 1                no operation
    kind, length, data    all others; `length` counts all three

`parse` takes whatever arrives: it always ends, keeps everything that it has seen, in order, and `emit` gives
the same bytes again. An option of a known kind with a wrong length is `Unknown`, that is: ignored by those
who look for it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from uinet.errors import InvalidArgument
from uinet.wire.fields import pack

KIND_END = 0
KIND_NOP = 1
KIND_MSS = 2
KIND_WINDOW_SCALE = 3
KIND_SACK_PERMITTED = 4
KIND_SACK = 5
KIND_TIMESTAMPS = 8
KIND_MD5 = 19
KIND_AO = 29
KIND_FAST_OPEN = 34

MAX_LENGTH = 40
MAX_SACK_BLOCKS = 4


@dataclass(frozen=True, slots=True)
class End:
    """The end of the list; `padding` is what follows, zeros as a rule (RFC 9293, 3.1) but not always."""

    padding: bytes = b""


@dataclass(frozen=True, slots=True)
class Nop:
    """No operation: aligns the next option."""


@dataclass(frozen=True, slots=True)
class Mss:
    """The largest segment that the sender of a SYN takes (RFC 9293, 3.7.1), as it stands there: even 0."""

    value: int


@dataclass(frozen=True, slots=True)
class WindowScale:
    """The shift of the sender's windows (RFC 7323, 2.2), as it stands there: even over 14."""

    shift: int


@dataclass(frozen=True, slots=True)
class SackPermitted:
    """The sender of this SYN takes SACK (RFC 2018, section 2)."""


@dataclass(frozen=True, slots=True)
class Sack:
    """Received blocks [left, right) of sequence numbers (RFC 2018, section 3), one to four, not validated."""

    blocks: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Timestamps:
    """TSval and TSecr (RFC 7323, 3.2)."""

    value: int
    echo: int


@dataclass(frozen=True, slots=True)
class FastOpen:
    """A Fast Open cookie (RFC 7413, 4.1.1), 4 to 16 bytes of even number; empty asks for one."""

    cookie: bytes = b""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Any other option, MD5 and AO signatures too, and known kinds of a wrong length."""

    kind: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Malformed:
    """The rest of the list from an option on whose length is missing, under 2, or over what is left."""

    rest: bytes


Option = (
    End | Nop | Mss | WindowScale | SackPermitted | Sack | Timestamps | FastOpen | Unknown | Malformed
)
OptionT = TypeVar("OptionT", bound=Option)


def parse(area: bytes) -> tuple[Option, ...]:
    """All options in `area`, in order, whatever it holds."""
    found: list[Option] = []
    at = 0
    while at < len(area):
        kind = area[at]
        if kind == KIND_END:
            found.append(End(area[at + 1 :]))
            break
        if kind == KIND_NOP:
            found.append(Nop())
            at += 1
            continue
        if at + 2 > len(area) or area[at + 1] < 2 or at + area[at + 1] > len(area):
            found.append(Malformed(area[at:]))
            break
        found.append(_parse_one(kind, area[at + 2 : at + area[at + 1]]))
        at += area[at + 1]
    return tuple(found)


def _parse_one(kind: int, data: bytes) -> Option:
    """The option of this kind with this data; Unknown if the length is not one of the kind's own."""
    size = len(data)
    if kind == KIND_MSS and size == 2:
        return Mss(int.from_bytes(data, "big"))
    if kind == KIND_WINDOW_SCALE and size == 1:
        return WindowScale(data[0])
    if kind == KIND_SACK_PERMITTED and size == 0:
        return SackPermitted()
    if kind == KIND_TIMESTAMPS and size == 8:
        return Timestamps(*struct.unpack(">II", data))
    if kind == KIND_SACK and size and size % 8 == 0 and size // 8 <= MAX_SACK_BLOCKS:
        edges = struct.unpack(f">{size // 4}I", data)
        return Sack(tuple(zip(edges[::2], edges[1::2], strict=True)))
    if kind == KIND_FAST_OPEN and (size == 0 or (4 <= size <= 16 and size % 2 == 0)):
        return FastOpen(data)
    return Unknown(kind, data)


def emit_one(option: Option) -> bytes:
    """The bytes of one option, unpadded; InvalidArgument if a field cannot hold its value."""
    if isinstance(option, End):
        return b"\0" + option.padding
    if isinstance(option, Nop):
        return b"\1"
    if isinstance(option, Malformed):
        return option.rest
    if isinstance(option, Mss):
        return pack(">BBH", KIND_MSS, 4, option.value)
    if isinstance(option, WindowScale):
        return pack(">BBB", KIND_WINDOW_SCALE, 3, option.shift)
    if isinstance(option, SackPermitted):
        return pack(">BB", KIND_SACK_PERMITTED, 2)
    if isinstance(option, Timestamps):
        return pack(">BBII", KIND_TIMESTAMPS, 10, option.value & 0xFFFFFFFF, option.echo & 0xFFFFFFFF)
    if isinstance(option, Sack):
        blocks = b"".join(pack(">II", left & 0xFFFFFFFF, right & 0xFFFFFFFF) for left, right in option.blocks)
        return pack(">BB", KIND_SACK, 2 + len(blocks)) + blocks
    if isinstance(option, FastOpen):
        return pack(">BB", KIND_FAST_OPEN, 2 + len(option.cookie)) + option.cookie
    return pack(">BB", option.kind, 2 + len(option.data)) + option.data


def emit(options: Iterable[Option]) -> bytes:
    """The bytes of options, padded with zeros to whole words; InvalidArgument over 40 bytes."""
    area = b"".join(emit_one(option) for option in options)
    area += bytes(-len(area) % 4)
    if len(area) > MAX_LENGTH:
        raise InvalidArgument(f"TCP options have at most {MAX_LENGTH} bytes, not {len(area)}")
    return area


def find(options: Iterable[Option], kind: type[OptionT]) -> OptionT | None:
    """The last option of a class, None without one. That the last counts is what Linux and the BSDs do."""
    found = None
    for option in options:
        if isinstance(option, kind):
            found = option
    return found
