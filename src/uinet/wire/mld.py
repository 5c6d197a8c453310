"""Multicast listener discovery: MLDv1 (RFC 2710) and MLDv2 (RFC 3810). Both ride in ICMPv6.

After the 8 bytes of the ICMPv6 header, of which the second word holds the Maximum Response Code (or, in a version 2
report, the number of records)::

    query, MLDv1 report and done   Multicast Address (16)
    MLDv2 query, further           Resv, S, QRV (1), QQIC (1), Number of Sources (2), Source Addresses (16 each)
    MLDv2 report                   records: Record Type (1), Aux Data Len (1), Number of Sources (2), Multicast Address
                                   (16), Source Addresses (16 each), auxiliary data (4 bytes a unit)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from uinet.errors import InvalidArgument
from uinet.wire import icmpv6
from uinet.wire.addresses import is_multicast
from uinet.wire.fields import limit, malformed, pack
from uinet.wire.kernels import load_u8, load_u16

ALL_MLDV2_ROUTERS = bytes.fromhex("ff020000000000000000000000000016")
HOP_BY_HOP = bytes.fromhex("3a00050200000100")  # a header with a Router Alert (RFC 2711), ICMPv6 behind it

# record types of reports (RFC 3810 section 5.2.12, RFC 3376 section 4.2.12)
MODE_IS_INCLUDE = 1
MODE_IS_EXCLUDE = 2
CHANGE_TO_INCLUDE = 3
CHANGE_TO_EXCLUDE = 4
ALLOW_NEW_SOURCES = 5
BLOCK_OLD_SOURCES = 6

V1_LENGTH = 24  # bytes of the whole ICMPv6 message
V2_QUERY_LENGTH = 28


def code_of(value: int, bits: int) -> int:
    """The Max Response Code (`bits` 16) or QQIC (8) for `value`, rounded down (RFC 3810, sections 5.1.3 and 5.1.9)."""
    mantissa = 12 if bits == 16 else 4
    if value < 1 << (bits - 1):
        return value
    for exponent in range(8):
        if value >> (exponent + 3) < 1 << (mantissa + 1):
            return 1 << (bits - 1) | exponent << mantissa | (value >> (exponent + 3) & (1 << mantissa) - 1)
    return (1 << bits) - 1


def value_of(code: int, bits: int) -> int:
    """What a Max Response Code or QQIC stands for."""
    mantissa = 12 if bits == 16 else 4
    if code < 1 << (bits - 1):
        return code
    exponent = code >> mantissa & 7
    return (code & (1 << mantissa) - 1 | 1 << mantissa) << (exponent + 3)


@dataclass(frozen=True, slots=True)
class Query:
    """A query: for everything if `group` is zeros, for one group, or for sources of it. `response`: milliseconds.

    `version` 1 has neither sources, robustness nor interval. `interval`: seconds; 0 and a `robustness` of 0: not said.
    """

    group: bytes = bytes(16)
    response: int = 10_000
    version: int = 2
    robustness: int = 2
    interval: int = 125
    sources: tuple[bytes, ...] = ()
    suppress: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """What a report says of one group: one of the record types above, and source addresses."""

    kind: int
    group: bytes
    sources: tuple[bytes, ...] = ()


def parse_query(data: bytes, offset: int = 0, end: int | None = None) -> Query:
    """The query from `offset` to `end`, of either version by its length (RFC 3810, section 8.1); InvalidArgument."""
    stop = limit(data, end)
    size = stop - offset
    if size < V1_LENGTH or V1_LENGTH < size < V2_QUERY_LENGTH or icmpv6.code(data, offset):
        raise malformed("MLD query")
    group = data[offset + 8 : offset + 24]
    if any(group) and not is_multicast(group):
        raise malformed("MLD query")
    response = icmpv6.info(data, offset) >> 16
    if size == V1_LENGTH:
        return Query(group, response, 1, 0, 0)
    count = load_u16(data, offset + 26)
    if V2_QUERY_LENGTH + 16 * count > size or (count and not any(group)):
        raise malformed("MLD query")
    at = offset + V2_QUERY_LENGTH
    flags = load_u8(data, offset + 24)
    return Query(
        group, value_of(response, 16), 2, flags & 7, value_of(load_u8(data, offset + 25), 8),
        tuple(data[at + 16 * i : at + 16 * i + 16] for i in range(count)), bool(flags & 8),
    )


def parse_v1(data: bytes, offset: int = 0, end: int | None = None) -> bytes:
    """The group of an MLDv1 report or done message; InvalidArgument."""
    group = data[offset + 8 : min(offset + 24, limit(data, end))]
    if len(group) != 16 or icmpv6.code(data, offset) or not is_multicast(group):
        raise malformed("MLD message")
    return group


def parse_report(data: bytes, offset: int = 0, end: int | None = None) -> tuple[Record, ...]:
    """The records of an MLDv2 report; InvalidArgument."""
    stop = limit(data, end)
    if stop - offset < 8 or icmpv6.code(data, offset):
        raise malformed("MLD report")
    found = []
    at = offset + 8
    for _ in range(icmpv6.info(data, offset) & 0xFFFF):
        if stop - at < 20:
            raise malformed("MLD report")
        count, aux = load_u16(data, at + 2), load_u8(data, at + 1) * 4
        if stop - at < 20 + 16 * count + aux:
            raise malformed("MLD report")
        sources = tuple(data[at + 20 + 16 * i : at + 36 + 16 * i] for i in range(count))
        found.append(Record(load_u8(data, at), data[at + 4 : at + 20], sources))
        at += 20 + 16 * count + aux
    return tuple(found)


def query(message: Query) -> icmpv6.Icmpv6Message:
    """The ICMPv6 message of a query."""
    if message.version == 1:
        return icmpv6.Icmpv6Message(icmpv6.MLD_QUERY, 0, message.response << 16, message.group)
    if not 0 <= message.robustness <= 7:
        raise InvalidArgument("the robustness of a query is 0 to 7")
    tail = pack(
        ">BBH", message.suppress << 3 | message.robustness, code_of(message.interval, 8), len(message.sources)
    )
    return icmpv6.Icmpv6Message(
        icmpv6.MLD_QUERY, 0, code_of(message.response, 16) << 16, message.group + tail + b"".join(message.sources)
    )


def report(records: Iterable[Record]) -> icmpv6.Icmpv6Message:
    """The ICMPv6 message of an MLDv2 report."""
    parts = [
        pack(">BBH", record.kind, 0, len(record.sources)) + record.group + b"".join(record.sources)
        for record in records
    ]
    return icmpv6.Icmpv6Message(icmpv6.MLDV2_REPORT, 0, len(parts), b"".join(parts))


def report_v1(group: bytes) -> icmpv6.Icmpv6Message:
    """The ICMPv6 message of an MLDv1 report."""
    return icmpv6.Icmpv6Message(icmpv6.MLD_REPORT, 0, 0, group)


def done(group: bytes) -> icmpv6.Icmpv6Message:
    """The ICMPv6 message that says that nobody here listens to `group` any more."""
    return icmpv6.Icmpv6Message(icmpv6.MLD_DONE, 0, 0, group)


def has_router_alert(data: bytes, offset: int, end: int) -> bool:
    """Whether the IPv6 packet at `offset` has a hop-by-hop header with a Router Alert for MLD (RFC 2711)."""
    if end - offset < 48 or load_u8(data, offset + 6) != 0:
        return False
    at = offset + 42
    stop = min(end, offset + 48 + load_u8(data, offset + 41) * 8)
    while at + 1 < stop:
        kind = load_u8(data, at)
        if kind == 0:
            at += 1
            continue
        if kind == 5:
            return at + 4 <= stop and load_u8(data, at + 1) == 2 and load_u16(data, at + 2) == 0
        at += 2 + load_u8(data, at + 1)
    return False
