"""The IPv6 header (RFC 8200, section 3). Its extension headers are in :mod:`uinet.wire.ipv6_extensions`.

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |Version| Traffic Class |           Flow Label                  |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |         Payload Length        |  Next Header  |   Hop Limit   |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                     Source Address (16 bytes)                 |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                  Destination Address (16 bytes)               |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from dataclasses import dataclass

from uinet.errors import InvalidArgument
from uinet.wire.fields import limit, malformed, pack
from uinet.wire.kernels import load_u8, load_u16, load_u32

VERSION_CLASS_LABEL = 0
PAYLOAD_LENGTH = 4
NEXT_HEADER = 6
HOP_LIMIT = 7
SOURCE = 8
DESTINATION = 24
HEADER_LENGTH = 40
MAX_PAYLOAD_LENGTH = 0xFFFF
MIN_MTU = 1280  # RFC 8200, section 5


def check_header(data: bytes, offset: int = 0, end: int | None = None) -> bool:
    """Whether a whole IPv6 header is at `offset`. What an ICMPv6 error quotes may have no more."""
    return limit(data, end) - offset >= HEADER_LENGTH and load_u8(data, offset) >> 4 == 6


def check(data: bytes, offset: int = 0, end: int | None = None) -> bool:
    """Whether a whole IPv6 packet is at `offset`: its header, and all that its payload length promises."""
    return check_header(data, offset, end) and (
        payload_length(data, offset) <= limit(data, end) - offset - HEADER_LENGTH
    )


def traffic_class(data: bytes, offset: int = 0) -> int:
    """DSCP and, in the low two bits, ECN."""
    return load_u16(data, offset) >> 4 & 0xFF


def flow_label(data: bytes, offset: int = 0) -> int:
    """The flow label, 20 bits (RFC 6437)."""
    return load_u32(data, offset) & 0xFFFFF


def payload_length(data: bytes, offset: int = 0) -> int:
    """Bytes that follow the header, extension headers included."""
    return load_u16(data, offset + PAYLOAD_LENGTH)


def next_header(data: bytes, offset: int = 0) -> int:
    """What follows the header: a protocol number or an extension header."""
    return load_u8(data, offset + NEXT_HEADER)


def hop_limit(data: bytes, offset: int = 0) -> int:
    """Hops that are left."""
    return load_u8(data, offset + HOP_LIMIT)


def source(data: bytes, offset: int = 0) -> bytes:
    """The source address, 16 bytes."""
    return data[offset + SOURCE : offset + DESTINATION]


def destination(data: bytes, offset: int = 0) -> bytes:
    """The destination address, 16 bytes."""
    return data[offset + DESTINATION : offset + HEADER_LENGTH]


@dataclass(frozen=True, slots=True)
class Ipv6Header:
    """An IPv6 header. `payload_length` is what was received; `emit` computes it unless told not to."""

    source: bytes
    destination: bytes
    next_header: int
    hop_limit: int = 64
    traffic_class: int = 0
    flow_label: int = 0
    payload_length: int = 0


def parse(data: bytes, offset: int = 0, end: int | None = None) -> Ipv6Header:
    """The header at `offset`; InvalidArgument if `check_header` refuses it. Its length may still lie."""
    if not check_header(data, offset, end):
        raise malformed("IPv6 header")
    return Ipv6Header(
        source=source(data, offset),
        destination=destination(data, offset),
        next_header=next_header(data, offset),
        hop_limit=hop_limit(data, offset),
        traffic_class=traffic_class(data, offset),
        flow_label=flow_label(data, offset),
        payload_length=payload_length(data, offset),
    )


def emit(header: Ipv6Header, payload: bytes = b"", *, keep: bool = False) -> bytes:
    """The packet made of `header` and `payload`, which begins with the extension headers if there are any.

    Computes the payload length, or writes that of `header` if `keep`. InvalidArgument if it is too long, or a
    field cannot hold its value.
    """
    if len(header.source) != 16 or len(header.destination) != 16:
        raise InvalidArgument("an IPv6 address has 16 bytes")
    if header.flow_label >> 20 or header.traffic_class >> 8:
        raise InvalidArgument("a flow label has 20 bits and a traffic class 8")
    length = header.payload_length if keep else len(payload)
    if length > MAX_PAYLOAD_LENGTH:
        raise InvalidArgument(f"an IPv6 payload has at most {MAX_PAYLOAD_LENGTH} bytes, not {length}")
    return pack(
        ">IHBB16s16s", 6 << 28 | header.traffic_class << 20 | header.flow_label, length, header.next_header,
        header.hop_limit, header.source, header.destination,
    ) + payload
