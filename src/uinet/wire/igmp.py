"""IGMP: versions 1 (RFC 1112), 2 (RFC 2236) and 3 (RFC 3376).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |      Type     | Max Resp Code |           Checksum            |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Group Address; in a version 3 report: reserved, number of records
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  version 3: Resv, S, QRV, QQIC, sources; or records, as MLD's
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-

Queries and records are the classes of :mod:`uinet.wire.mld`, with addresses of 4 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

from uinet.errors import InvalidArgument
from uinet.wire import kernels
from uinet.wire.addresses import is_multicast
from uinet.wire.fields import limit, malformed, pack
from uinet.wire.kernels import load_u8, load_u16
from uinet.wire.mld import Query, Record, code_of, value_of

PROTOCOL = 2
HEADER_LENGTH = 8
V3_QUERY_LENGTH = 12

QUERY = 0x11
V1_REPORT = 0x12
V2_REPORT = 0x16
LEAVE = 0x17
V3_REPORT = 0x22

ALL_V3_ROUTERS = b"\xe0\x00\x00\x16"  # 224.0.0.22
ALL_ROUTERS = b"\xe0\x00\x00\x02"
ROUTER_ALERT = b"\x94\x04\x00\x00"  # RFC 2113: an IPv4 option

TENTH = 100  # ms: the unit of response times


def check(data: bytes, offset: int = 0, end: int | None = None) -> bool:
    """Whether a message with a whole header and the right checksum is there."""
    size = limit(data, end) - offset
    return size >= HEADER_LENGTH and kernels.checksum(data, offset, size, 0) == 0xFFFF


def kind_of(data: bytes, offset: int = 0) -> int:
    """The type."""
    return load_u8(data, offset)


def group_of(data: bytes, offset: int = 0) -> bytes:
    """The group of any message but a version 3 report."""
    return data[offset + 4 : offset + 8]


def parse_query(data: bytes, offset: int = 0, end: int | None = None) -> Query:
    """The query from `offset` to `end`; its version is told by its length and code (RFC 3376, section 7.1).

    InvalidArgument if it is malformed.
    """
    stop = limit(data, end)
    size = stop - offset
    group = group_of(data, offset)
    if size < HEADER_LENGTH or HEADER_LENGTH < size < V3_QUERY_LENGTH or (any(group) and not is_multicast(group)):
        raise malformed("IGMP query")
    code = load_u8(data, offset + 1)
    if size == HEADER_LENGTH:
        return Query(group, code * TENTH or 100 * TENTH, 2 if code else 1, 0, 0)  # version 1 means 10 s
    count = load_u16(data, offset + 10)
    if V3_QUERY_LENGTH + 4 * count > size or (count and not any(group)):
        raise malformed("IGMP query")
    at = offset + V3_QUERY_LENGTH
    flags = load_u8(data, offset + 8)
    return Query(
        group, value_of(code, 8) * TENTH, 3, flags & 7, value_of(load_u8(data, offset + 9), 8),
        tuple(data[at + 4 * i : at + 4 * i + 4] for i in range(count)), bool(flags & 8),
    )


def parse_report(data: bytes, offset: int = 0, end: int | None = None) -> tuple[Record, ...]:
    """The records of a version 3 report; InvalidArgument."""
    stop = limit(data, end)
    if stop - offset < HEADER_LENGTH:
        raise malformed("IGMP report")
    found = []
    at = offset + HEADER_LENGTH
    for _ in range(load_u16(data, offset + 6)):
        if stop - at < 8:
            raise malformed("IGMP report")
        count, aux = load_u16(data, at + 2), load_u8(data, at + 1) * 4
        if stop - at < 8 + 4 * count + aux:
            raise malformed("IGMP report")
        sources = tuple(data[at + 8 + 4 * i : at + 12 + 4 * i] for i in range(count))
        found.append(Record(load_u8(data, at), data[at + 4 : at + 8], sources))
        at += 8 + 4 * count + aux
    return tuple(found)


def query(asked: Query) -> bytes:
    """The bytes of a query, of the version that it says."""
    if not 0 <= asked.robustness <= 7:
        raise InvalidArgument("the robustness of a query is 0 to 7")
    group = asked.group or bytes(4)
    if asked.version < 3:
        return message(QUERY, asked.response // TENTH if asked.version == 2 else 0, group)
    tail = pack(
        ">BBH", asked.suppress << 3 | asked.robustness, code_of(asked.interval, 8), len(asked.sources)
    )
    return message(QUERY, code_of(asked.response // TENTH, 8), group + tail + b"".join(asked.sources))


def report(records: Iterable[Record]) -> bytes:
    """The bytes of a version 3 report."""
    parts = [
        pack(">BBH", record.kind, 0, len(record.sources)) + record.group + b"".join(record.sources)
        for record in records
    ]
    return message(V3_REPORT, 0, pack(">HH", 0, len(parts)) + b"".join(parts))


def about(kind: int, group: bytes) -> bytes:
    """The bytes of a V1_REPORT, V2_REPORT or LEAVE."""
    return message(kind, 0, group)


def message(kind: int, code: int, body: bytes) -> bytes:
    """The bytes of any message; `body`: what follows the checksum."""
    data = pack(">BBH", kind, code, 0) + body
    value = kernels.checksum(data, 0, len(data), 0) ^ 0xFFFF
    return data[:2] + value.to_bytes(2, "big") + data[4:]
