"""IPv6 extension headers (RFC 8200, section 4) and the walk along their chain.

Options header (hop-by-hop, 4.3; destination options, 4.6) and routing header (4.4)::

    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Next Header  |  Hdr Ext Len  |  options, or routing type and segments left, then data ...
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

Fragment header (4.5)::

    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Next Header  |   Reserved    |      Fragment Offset    |Res|M|
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                         Identification                        |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

Hdr Ext Len counts units of 8 bytes beyond the first 8. The walk advances by at least 8 bytes a header and is
bounded in headers and in options (RFC 8504, 5.3), so no chain makes it loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from uinet.errors import InvalidArgument
from uinet.wire import ipv6
from uinet.wire.fields import limit, malformed, pack
from uinet.wire.kernels import load_u8, load_u16, load_u32

HOP_BY_HOP = 0
ROUTING = 43
FRAGMENT = 44
DESTINATION_OPTIONS = 60
NO_NEXT_HEADER = 59
EXTENSIONS = (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS)

NEXT_HEADER = 0
HDR_EXT_LEN = 1
ROUTING_TYPE = 2
SEGMENTS_LEFT = 3
FRAGMENT_OFFSET = 2
IDENTIFICATION = 4
FRAGMENT_LENGTH = 8

PAD1 = 0
PADN = 1
ROUTER_ALERT = 5

MAX_EXTENSIONS = 16
MAX_OPTIONS = 64

# What an unknown option asks for, the top two bits of its type (RFC 8200, 4.2)
ACTION_SKIP = 0
ACTION_DISCARD = 1
ACTION_DISCARD_ICMP = 2
ACTION_DISCARD_ICMP_UNICAST = 3

# What is wrong with a chain, and what RFC 8200 wants done about it
OK = 0
MALFORMED = 1  # a header or option runs past its end, or a second fragment header: drop
LIMIT = 2  # more headers or options than are walked: drop (RFC 8504, 5.3)
DISCARD = 3  # an unknown option of action 01: drop
BAD_FIELD = 4  # Parameter Problem code 0: a routing header with segments left, of a type unknown here
BAD_NEXT_HEADER = 5  # Parameter Problem code 1: a hop-by-hop header that is not the first
UNKNOWN_OPTION = 6  # Parameter Problem code 2: an unknown option of action 10
UNKNOWN_OPTION_UNICAST = 7  # Parameter Problem code 2 unless sent to a multicast address: action 11
INCOMPLETE_CHAIN = 8  # Parameter Problem code 3 (RFC 7112): a first fragment without all headers

_PROBLEM_OF_ACTION = (OK, DISCARD, UNKNOWN_OPTION, UNKNOWN_OPTION_UNICAST)
# The least that a first fragment must hold of its transport header: TCP, UDP, ICMPv6
_TRANSPORT_MINIMUM = {6: 20, 17: 8, 58: 8}


class Chain(NamedTuple):
    """Where a chain of extension headers ends.

    `next_header`: the protocol behind it; `offset`: where that starts, in the data walked; `next_header_at`:
    the offset of the byte that names it. `fragment`: the offset of the fragment header, -1 if there is none.
    `problem`: OK, or what is wrong; `pointer`: then the offending byte, counted from the IPv6 header, as
    ICMPv6 Parameter Problem wants it.
    """

    next_header: int
    offset: int
    next_header_at: int
    fragment: int = -1
    problem: int = OK
    pointer: int = 0


def walk(data: bytes, offset: int = 0, end: int | None = None) -> Chain:
    """Walks from the (checked) IPv6 header at `offset` to the transport header, at most to `end`.

    The walk stops behind the fragment header of a fragment that is not the first: what follows is no header.
    """
    walker = _Walker(data, offset, limit(data, end))
    problem = walker.run()
    return Chain(
        walker.kind, walker.at, walker.named_at, walker.fragment, problem,
        walker.pointer - offset if problem else 0,
    )


def upper_layer(data: bytes, offset: int = 0, end: int | None = None) -> tuple[int, int]:
    """The protocol behind all extension headers and where it starts, whatever is in them; where that can't be told,
    the last header that can be, and where it starts.
    """
    stop = limit(data, end)
    kind, at = ipv6.next_header(data, offset), offset + ipv6.HEADER_LENGTH
    for _ in range(MAX_EXTENSIONS):
        length = header_length(data, at, stop, kind) if kind in EXTENSIONS else 0
        if length == 0:
            break
        kind, at = load_u8(data, at), at + length
    return kind, at


class _Walker:
    """The state of one walk."""

    __slots__ = (
        "at", "budget", "data", "first_fragment", "fragment", "kind", "named_at", "pointer", "start", "stop",
    )

    def __init__(self, data: bytes, start: int, stop: int) -> None:
        self.data = data
        self.start = start
        self.stop = stop
        self.kind = ipv6.next_header(data, start)
        self.named_at = start + ipv6.NEXT_HEADER
        self.at = start + ipv6.HEADER_LENGTH
        self.fragment = -1
        self.first_fragment = False
        self.budget = MAX_OPTIONS
        self.pointer = start

    def run(self) -> int:
        """Walks to the end of the chain; OK or the problem."""
        for _ in range(MAX_EXTENSIONS):
            if self.kind not in EXTENSIONS:
                return self._arrive()
            length = header_length(self.data, self.at, self.stop, self.kind)
            if length == 0:
                return self._fail(INCOMPLETE_CHAIN if self.first_fragment else MALFORMED, self.at)
            problem = self._visit(length)
            if problem:
                return problem
            self.kind, self.named_at = load_u8(self.data, self.at), self.at
            self.at += length
            if self.fragment >= 0 and fragment_offset(self.data, self.fragment):
                return OK
        return self._arrive() if self.kind not in EXTENSIONS else self._fail(LIMIT, self.at)

    def _arrive(self) -> int:
        if self.first_fragment and self.stop - self.at < _TRANSPORT_MINIMUM.get(self.kind, 0):
            return self._fail(INCOMPLETE_CHAIN, self.at)
        return OK

    def _visit(self, length: int) -> int:
        if self.kind == FRAGMENT:
            return self._visit_fragment()
        if self.kind == ROUTING:
            # Every routing type is unknown here, and type 0 is to be treated as such (RFC 5095, section 3)
            left = load_u8(self.data, self.at + SEGMENTS_LEFT)
            return self._fail(BAD_FIELD, self.at + ROUTING_TYPE) if left else OK
        if self.kind == HOP_BY_HOP and self.at != self.start + ipv6.HEADER_LENGTH:
            return self._fail(BAD_NEXT_HEADER, self.named_at)
        return self._visit_options(self.at + 2, self.at + length)

    def _visit_fragment(self) -> int:
        if self.fragment >= 0:
            return self._fail(MALFORMED, self.at)
        self.fragment = self.at
        self.first_fragment = more_fragments(self.data, self.at) and not fragment_offset(self.data, self.at)
        return OK

    def _visit_options(self, at: int, stop: int) -> int:
        while at < stop:
            self.budget -= 1
            if self.budget < 0:
                return self._fail(LIMIT, at)
            kind = load_u8(self.data, at)
            if kind == PAD1:
                at += 1
                continue
            if at + 2 > stop or at + 2 + load_u8(self.data, at + 1) > stop:
                return self._fail(MALFORMED, at)
            if kind not in (PADN, ROUTER_ALERT) and kind >> 6 != ACTION_SKIP:
                return self._fail(_PROBLEM_OF_ACTION[kind >> 6], at)
            at += 2 + load_u8(self.data, at + 1)
        return OK

    def _fail(self, problem: int, pointer: int) -> int:
        self.pointer = pointer
        return problem


def header_length(data: bytes, offset: int, end: int, kind: int) -> int:
    """The length of the extension header of this `kind` at `offset`; 0 if `end` cuts it."""
    if end - offset < 8:
        return 0
    length = FRAGMENT_LENGTH if kind == FRAGMENT else 8 + load_u8(data, offset + HDR_EXT_LEN) * 8
    return length if length <= end - offset else 0


def check(data: bytes, offset: int, end: int | None, kind: int) -> bool:
    """Whether a whole extension header of this `kind` is at `offset`; its options may still be malformed."""
    return kind in EXTENSIONS and header_length(data, offset, limit(data, end), kind) > 0


def fragment_offset(data: bytes, offset: int) -> int:
    """Of a fragment header: where the payload belongs in its datagram, in bytes."""
    return load_u16(data, offset + FRAGMENT_OFFSET) & 0xFFF8


def more_fragments(data: bytes, offset: int) -> bool:
    """Of a fragment header: the M flag."""
    return load_u16(data, offset + FRAGMENT_OFFSET) & 1 != 0


def identification(data: bytes, offset: int) -> int:
    """Of a fragment header: what the fragments of one datagram have in common."""
    return load_u32(data, offset + IDENTIFICATION)


def is_atomic(data: bytes, offset: int) -> bool:
    """Of a fragment header: whether the packet is whole nevertheless (RFC 6946)."""
    return load_u16(data, offset + FRAGMENT_OFFSET) & 0xFFF9 == 0


@dataclass(frozen=True, slots=True)
class Option:
    """One option of an options header, padding options included. `data` is what follows its length byte."""

    kind: int
    data: bytes = b""

    @property
    def action(self) -> int:
        """What a host that does not know the option does with the packet."""
        return self.kind >> 6


@dataclass(frozen=True, slots=True)
class OptionsHeader:
    """A hop-by-hop (kind 0) or destination options (kind 60) header.

    `trailer`: the bytes from a malformed option on, kept as they are.
    """

    kind: int
    next_header: int
    options: tuple[Option, ...] = ()
    trailer: bytes = b""


@dataclass(frozen=True, slots=True)
class RoutingHeader:
    """A routing header of any type; `data` is what follows the segments left."""

    next_header: int
    routing_type: int
    segments_left: int = 0
    data: bytes = b"\0\0\0\0"
    kind: int = ROUTING


@dataclass(frozen=True, slots=True)
class FragmentHeader:
    """A fragment header; `fragment_offset` is in bytes, `reserved` and `res` are 8 and 2 bits so named."""

    next_header: int
    fragment_offset: int
    more_fragments: bool
    identification: int
    reserved: int = 0
    res: int = 0
    kind: int = FRAGMENT


Extension = OptionsHeader | RoutingHeader | FragmentHeader


def parse(data: bytes, offset: int, end: int | None, kind: int) -> Extension:
    """The extension header of this `kind` at `offset`; InvalidArgument if `check` refuses it."""
    if not check(data, offset, end, kind):
        raise malformed("IPv6 extension header")
    following = load_u8(data, offset)
    if kind == FRAGMENT:
        word = load_u16(data, offset + FRAGMENT_OFFSET)
        return FragmentHeader(
            following, word & 0xFFF8, bool(word & 1), identification(data, offset), load_u8(data, offset + 1),
            word >> 1 & 3,
        )
    stop = offset + header_length(data, offset, limit(data, end), kind)
    if kind == ROUTING:
        return RoutingHeader(
            following, load_u8(data, offset + ROUTING_TYPE), load_u8(data, offset + SEGMENTS_LEFT),
            data[offset + 4 : stop],
        )
    options, trailer = _parse_options(data[offset + 2 : stop])
    return OptionsHeader(kind, following, options, trailer)


def _parse_options(area: bytes) -> tuple[tuple[Option, ...], bytes]:
    found = []
    at = 0
    while at < len(area):
        if area[at] == PAD1:
            found.append(Option(PAD1))
            at += 1
            continue
        if at + 2 > len(area) or at + 2 + area[at + 1] > len(area):
            break
        found.append(Option(area[at], area[at + 2 : at + 2 + area[at + 1]]))
        at += 2 + area[at + 1]
    return tuple(found), area[at:]


def emit(header: Extension) -> bytes:
    """The bytes of an extension header; an options header is padded with Pad1 or PadN to units of 8.

    InvalidArgument if a field cannot hold its value, or a routing header's length is not a multiple of 8.
    """
    if isinstance(header, FragmentHeader):
        if header.fragment_offset % 8 or header.res >> 2:
            raise InvalidArgument("a fragment offset is a multiple of 8 bytes, and the res field has 2 bits")
        word = header.fragment_offset | header.res << 1 | header.more_fragments
        return pack(">BBHI", header.next_header, header.reserved, word, header.identification)
    if isinstance(header, RoutingHeader):
        body = pack(">BB", header.routing_type, header.segments_left) + header.data
    else:
        body = b"".join(_emit_option(option) for option in header.options) + header.trailer
        body += _padding(-(len(body) + 2) % 8)
    if (len(body) + 2) % 8:
        raise InvalidArgument("an IPv6 extension header has a multiple of 8 bytes")
    return pack(">BB", header.next_header, (len(body) + 2) // 8 - 1) + body


def _emit_option(option: Option) -> bytes:
    return b"\0" if option.kind == PAD1 else pack(">BB", option.kind, len(option.data)) + option.data


def _padding(length: int) -> bytes:
    if length < 2:
        return bytes(length)
    return pack(">BB", PADN, length - 2) + bytes(length - 2)
