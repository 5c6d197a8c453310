"""ICMP for IPv4 (RFC 792; host requirements: RFC 1122, 3.2.2; deprecated types: RFC 6633, 6918).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |     Type      |     Code      |          Checksum             |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  info: identifier and sequence, next-hop MTU, gateway, pointer |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  payload: data, or the packet that an error is about ...
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from uinet.wire import ipv4, kernels
from uinet.wire.fields import limit, malformed, pack
from uinet.wire.kernels import load_u8, load_u16, load_u32

TYPE = 0
CODE = 1
CHECKSUM = 2
INFO = 4
HEADER_LENGTH = 8

ECHO_REPLY = 0
DESTINATION_UNREACHABLE = 3
SOURCE_QUENCH = 4
REDIRECT = 5
ECHO_REQUEST = 8
ROUTER_ADVERTISEMENT = 9
ROUTER_SOLICITATION = 10
TIME_EXCEEDED = 11
PARAMETER_PROBLEM = 12
TIMESTAMP_REQUEST = 13
TIMESTAMP_REPLY = 14
ERRORS = (DESTINATION_UNREACHABLE, SOURCE_QUENCH, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM)

# Codes of DESTINATION_UNREACHABLE (RFC 792, 1122 3.2.2.1, 1812 5.2.7.1)
NETWORK_UNREACHABLE = 0
HOST_UNREACHABLE = 1
PROTOCOL_UNREACHABLE = 2
PORT_UNREACHABLE = 3
FRAGMENTATION_NEEDED = 4
SOURCE_ROUTE_FAILED = 5
ADMINISTRATIVELY_PROHIBITED = 13

# Codes of TIME_EXCEEDED
TTL_EXCEEDED = 0
REASSEMBLY_TIME_EXCEEDED = 1

MIN_QUOTE = 8  # transport bytes that every error quotes (RFC 792): both ports, and TCP's sequence number


def check(data: bytes, offset: int = 0, end: int | None = None) -> bool:
    """Whether the message from `offset` to `end` has a whole header."""
    return limit(data, end) - offset >= HEADER_LENGTH


def checksum_ok(data: bytes, offset: int = 0, end: int | None = None) -> bool:
    """Whether the checksum over the message from `offset` to `end` is right."""
    return kernels.checksum(data, offset, limit(data, end) - offset, 0) == 0xFFFF


def type_of(data: bytes, offset: int = 0) -> int:
    """The type."""
    return load_u8(data, offset)


def code(data: bytes, offset: int = 0) -> int:
    """The code."""
    return load_u8(data, offset + CODE)


def info(data: bytes, offset: int = 0) -> int:
    """The second word of the header, which each type uses in its own way."""
    return load_u32(data, offset + INFO)


def is_error(kind: int) -> bool:
    """Whether messages of this type report on a packet. None is ever sent about one (RFC 1122, 3.2.2)."""
    return kind in ERRORS


@dataclass(frozen=True, slots=True)
class IcmpMessage:
    """An ICMP message of any type. `checksum` is what came; `emit` computes it unless told not to."""

    type: int
    code: int = 0
    info: int = 0
    payload: bytes = b""
    checksum: int = 0

    @property
    def identifier(self) -> int:
        """Of an echo: whom it belongs to."""
        return self.info >> 16

    @property
    def sequence(self) -> int:
        """Of an echo: which it is."""
        return self.info & 0xFFFF

    @property
    def mtu(self) -> int:
        """Of FRAGMENTATION_NEEDED: the next hop's MTU (RFC 1191); 0 from routers older than that."""
        return self.info & 0xFFFF

    @property
    def pointer(self) -> int:
        """Of PARAMETER_PROBLEM: the offset of the offending byte."""
        return self.info >> 24

    @property
    def gateway(self) -> bytes:
        """Of REDIRECT: the better first hop, 4 bytes."""
        return self.info.to_bytes(4, "big")


def parse(data: bytes, offset: int = 0, end: int | None = None) -> IcmpMessage:
    """The message from `offset` to `end`; InvalidArgument if `check` refuses it."""
    if not check(data, offset, end):
        raise malformed("ICMP message")
    return IcmpMessage(
        type_of(data, offset), code(data, offset), info(data, offset),
        data[offset + HEADER_LENGTH : limit(data, end)], load_u16(data, offset + CHECKSUM),
    )


def emit(message: IcmpMessage, *, keep: bool = False) -> bytes:
    """The bytes of a message; the checksum is computed, or that of `message` if `keep`."""
    value = message.checksum if keep else 0
    data = pack(">BBHI", message.type, message.code, value, message.info) + message.payload
    if keep:
        return data
    value = kernels.checksum(data, 0, len(data), 0) ^ 0xFFFF
    return data[:CHECKSUM] + value.to_bytes(2, "big") + data[INFO:]


def echo(kind: int, identifier: int, sequence: int, payload: bytes = b"") -> IcmpMessage:
    """An echo message: `kind` is ECHO_REQUEST or ECHO_REPLY."""
    return IcmpMessage(kind, 0, (identifier & 0xFFFF) << 16 | (sequence & 0xFFFF), payload)


class Quote(NamedTuple):
    """The packet that an ICMP error is about, as far as it is quoted; `transport` may be cut anywhere."""

    source: bytes
    destination: bytes
    protocol: int
    transport: bytes


def parse_quote(payload: bytes) -> Quote | None:
    """What an error's payload quotes; None if that is no whole IPv4 header, or not a datagram's beginning.

    `transport` ends where the quoted packet ended: extensions behind it (RFC 4884) are no part of it.
    """
    if not ipv4.check_header(payload) or ipv4.fragment_offset(payload):
        return None
    start = ipv4.header_length(payload)
    stop = max(ipv4.total_length(payload), start)
    return Quote(
        ipv4.source(payload), ipv4.destination(payload), ipv4.protocol(payload), payload[start:stop]
    )
