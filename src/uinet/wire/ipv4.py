"""The IPv4 header (RFC 791, 3.1; DSCP and ECN: RFC 2474, 3168; identification: RFC 6864).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |Version|  IHL  |Type of Service|          Total Length         |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |         Identification        |Flags|      Fragment Offset    |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Time to Live |    Protocol   |         Header Checksum       |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                       Source Address                          |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                    Destination Address                        |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                    Options                    |    Padding    |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from dataclasses import dataclass

from uinet.errors import InvalidArgument
from uinet.wire import kernels
from uinet.wire.fields import limit, malformed, pack
from uinet.wire.kernels import load_u8, load_u16

VERSION_IHL = 0
TOS = 1
TOTAL_LENGTH = 2
IDENTIFICATION = 4
FLAGS_FRAGMENT = 6
TTL = 8
PROTOCOL = 9
HEADER_CHECKSUM = 10
SOURCE = 12
DESTINATION = 16
OPTIONS = 20
MIN_HEADER_LENGTH = 20
MAX_HEADER_LENGTH = 60
MAX_TOTAL_LENGTH = 0xFFFF
MIN_MTU = 68  # RFC 791, 3.2: every link carries this much

# Protocol numbers (IANA), shared with IPv6's next header
ICMP = 1
IGMP = 2
TCP = 6
UDP = 17
ICMPV6 = 58
SCTP = 132

FLAG_RESERVED = 4
FLAG_DF = 2
FLAG_MF = 1

OPTION_END = 0
OPTION_NOP = 1
OPTION_RECORD_ROUTE = 7
OPTION_TIMESTAMP = 68
OPTION_LSRR = 131
OPTION_ROUTER_ALERT = 148
OPTION_SSRR = 137


def check_header(data: bytes, offset: int = 0, end: int | None = None) -> bool:
    """Whether a whole IPv4 header is at `offset`, options included. What an ICMP error quotes has no more."""
    available = limit(data, end) - offset
    if available < MIN_HEADER_LENGTH or load_u8(data, offset) >> 4 != 4:
        return False
    return MIN_HEADER_LENGTH <= header_length(data, offset) <= available


def check(data: bytes, offset: int = 0, end: int | None = None) -> bool:
    """Whether a whole IPv4 packet is at `offset`: its header, and all that its total length promises."""
    if not check_header(data, offset, end):
        return False
    return header_length(data, offset) <= total_length(data, offset) <= limit(data, end) - offset


def checksum_ok(data: bytes, offset: int = 0) -> bool:
    """Whether the header checksum is right."""
    return kernels.checksum(data, offset, header_length(data, offset), 0) == 0xFFFF


def header_length(data: bytes, offset: int = 0) -> int:
    """The header's length in bytes, options included."""
    return (load_u8(data, offset) & 0xF) * 4


def tos(data: bytes, offset: int = 0) -> int:
    """DSCP and, in the low two bits, ECN."""
    return load_u8(data, offset + TOS)


def total_length(data: bytes, offset: int = 0) -> int:
    """The packet's length in bytes, header included."""
    return load_u16(data, offset + TOTAL_LENGTH)


def identification(data: bytes, offset: int = 0) -> int:
    """What fragments of one datagram have in common."""
    return load_u16(data, offset + IDENTIFICATION)


def flags(data: bytes, offset: int = 0) -> int:
    """FLAG_RESERVED, FLAG_DF, FLAG_MF."""
    return load_u8(data, offset + FLAGS_FRAGMENT) >> 5


def fragment_offset(data: bytes, offset: int = 0) -> int:
    """Where the payload belongs in its datagram, in bytes."""
    return (load_u16(data, offset + FLAGS_FRAGMENT) & 0x1FFF) * 8


def is_fragment(data: bytes, offset: int = 0) -> bool:
    """Whether this is a part of a datagram: more follow, or it is not the first."""
    return load_u16(data, offset + FLAGS_FRAGMENT) & 0x3FFF != 0


def ttl(data: bytes, offset: int = 0) -> int:
    """Time to live, in hops."""
    return load_u8(data, offset + TTL)


def protocol(data: bytes, offset: int = 0) -> int:
    """What the payload is: TCP, UDP, ICMP, ..."""
    return load_u8(data, offset + PROTOCOL)


def header_checksum(data: bytes, offset: int = 0) -> int:
    """The header checksum as it stands there."""
    return load_u16(data, offset + HEADER_CHECKSUM)


def source(data: bytes, offset: int = 0) -> bytes:
    """The source address, 4 bytes."""
    return data[offset + SOURCE : offset + DESTINATION]


def destination(data: bytes, offset: int = 0) -> bytes:
    """The destination address, 4 bytes."""
    return data[offset + DESTINATION : offset + OPTIONS]


def options(data: bytes, offset: int = 0) -> bytes:
    """The options as they stand there, padding included."""
    return data[offset + OPTIONS : offset + header_length(data, offset)]


@dataclass(frozen=True, slots=True)
class Ipv4Header:
    """An IPv4 header. `fragment_offset` is in bytes. `total_length` and `header_checksum` are what was
    received; `emit` computes them unless it is told to keep them."""

    source: bytes
    destination: bytes
    protocol: int
    ttl: int = 64
    tos: int = 0
    identification: int = 0
    flags: int = 0
    fragment_offset: int = 0
    options: bytes = b""
    total_length: int = 0
    header_checksum: int = 0

    @property
    def dont_fragment(self) -> bool:
        """The DF flag."""
        return bool(self.flags & FLAG_DF)

    @property
    def more_fragments(self) -> bool:
        """The MF flag."""
        return bool(self.flags & FLAG_MF)


def parse(data: bytes, offset: int = 0, end: int | None = None) -> Ipv4Header:
    """The header at `offset`; InvalidArgument if `check_header` refuses it. Its lengths may still lie."""
    if not check_header(data, offset, end):
        raise malformed("IPv4 header")
    return Ipv4Header(
        source=source(data, offset),
        destination=destination(data, offset),
        protocol=protocol(data, offset),
        ttl=ttl(data, offset),
        tos=tos(data, offset),
        identification=identification(data, offset),
        flags=flags(data, offset),
        fragment_offset=fragment_offset(data, offset),
        options=options(data, offset),
        total_length=total_length(data, offset),
        header_checksum=header_checksum(data, offset),
    )


def emit(header: Ipv4Header, payload: bytes = b"", *, keep: bool = False) -> bytes:
    """The packet made of `header` and `payload`; options are padded with zeros to whole words.

    Computes total length and checksum, or writes those of `header` if `keep`. InvalidArgument if it is too
    long, or a field cannot hold its value.
    """
    if len(header.source) != 4 or len(header.destination) != 4:
        raise InvalidArgument("an IPv4 address has 4 bytes")
    if header.fragment_offset % 8:
        raise InvalidArgument("a fragment offset is a multiple of 8 bytes")
    padded = header.options + bytes(-len(header.options) % 4)
    length = MIN_HEADER_LENGTH + len(padded)
    if length > MAX_HEADER_LENGTH:
        raise InvalidArgument("an IPv4 header has at most 40 bytes of options")
    total = header.total_length if keep else length + len(payload)
    if total > MAX_TOTAL_LENGTH:
        raise InvalidArgument(f"an IPv4 packet has at most {MAX_TOTAL_LENGTH} bytes, not {total}")
    fragment = header.flags << 13 | header.fragment_offset // 8
    head = pack(
        ">BBHHHBBH4s4s", 0x40 | length // 4, header.tos, total, header.identification, fragment, header.ttl,
        header.protocol, header.header_checksum if keep else 0, header.source, header.destination,
    ) + padded
    if not keep:
        value = kernels.checksum(head, 0, length, 0) ^ 0xFFFF
        head = head[:HEADER_CHECKSUM] + value.to_bytes(2, "big") + head[SOURCE:]
    return head + payload


def walk_options(area: bytes) -> tuple[list[tuple[int, bytes]], bool]:
    """The options in `area` as (type, data) up to the end of the list, and whether they are all well formed.

    Malformed is an option whose length is under 2 or over what is left, and a route or timestamp option whose
    pointer points before its first entry. What comes before the first malformed one is still told.
    """
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(area):
        kind = area[at]
        if kind == OPTION_END:
            break
        if kind == OPTION_NOP:
            at += 1
            continue
        if at + 2 > len(area) or area[at + 1] < 2 or at + area[at + 1] > len(area):
            return found, False
        data = area[at + 2 : at + area[at + 1]]
        smallest = 5 if kind == OPTION_TIMESTAMP else 4
        if kind in (OPTION_RECORD_ROUTE, OPTION_LSRR, OPTION_SSRR, OPTION_TIMESTAMP):
            if not data or data[0] < smallest:
                return found, False
        found.append((kind, data))
        at += area[at + 1]
    return found, True


def has_source_route(area: bytes) -> bool:
    """Whether the options ask for a route (RFC 7126, 4.3 and 4.4: drop such packets)."""
    return any(kind in (OPTION_LSRR, OPTION_SSRR) for kind, _ in walk_options(area)[0])
