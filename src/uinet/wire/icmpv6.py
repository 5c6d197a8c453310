"""ICMPv6 (RFC 4443). Neighbour discovery, which rides in it, is in :mod:`uinet.wire.nd`.

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |     Type      |     Code      |          Checksum             |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  info: MTU, pointer, identifier and sequence, flags           |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  payload ...
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-
"""

from __future__ import annotations

from dataclasses import dataclass

from uinet.wire import checksums, ipv4, ipv6, ipv6_extensions
from uinet.wire.fields import limit, malformed, pack
from uinet.wire.icmp import Quote
from uinet.wire.kernels import load_u8, load_u16, load_u32

TYPE = 0
CODE = 1
CHECKSUM = 2
INFO = 4
HEADER_LENGTH = 8

DESTINATION_UNREACHABLE = 1
PACKET_TOO_BIG = 2
TIME_EXCEEDED = 3
PARAMETER_PROBLEM = 4
ECHO_REQUEST = 128
ECHO_REPLY = 129
MLD_QUERY = 130
MLD_REPORT = 131
MLD_DONE = 132
ROUTER_SOLICITATION = 133
ROUTER_ADVERTISEMENT = 134
NEIGHBOR_SOLICITATION = 135
NEIGHBOR_ADVERTISEMENT = 136
REDIRECT = 137
MLDV2_REPORT = 143

# Codes of DESTINATION_UNREACHABLE (3.1)
NO_ROUTE = 0
ADMINISTRATIVELY_PROHIBITED = 1
BEYOND_SCOPE = 2
ADDRESS_UNREACHABLE = 3
PORT_UNREACHABLE = 4
POLICY_FAILED = 5
ROUTE_REJECTED = 6

# Codes of TIME_EXCEEDED (3.3)
HOP_LIMIT_EXCEEDED = 0
REASSEMBLY_TIME_EXCEEDED = 1

# Codes of PARAMETER_PROBLEM (3.4; RFC 7112)
ERRONEOUS_FIELD = 0
UNRECOGNIZED_NEXT_HEADER = 1
UNRECOGNIZED_OPTION = 2
INCOMPLETE_HEADER_CHAIN = 3


def check(data: bytes, offset: int = 0, end: int | None = None) -> bool:
    """Whether the message from `offset` to `end` has a whole header."""
    return limit(data, end) - offset >= HEADER_LENGTH


def checksum_ok(
    data: bytes, source: bytes, destination: bytes, offset: int = 0, end: int | None = None
) -> bool:
    """Whether the checksum over the message from `offset` to `end` between these addresses is right."""
    return checksums.verify(source, destination, ipv4.ICMPV6, data, offset, end)


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
    """Whether messages of this type report on a packet (section 2.1): those under 128, unknown ones too."""
    return kind < 128


@dataclass(frozen=True, slots=True)
class Icmpv6Message:
    """An ICMPv6 message of any type. `checksum` is what came; `emit` computes it unless told not to."""

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
        """Of PACKET_TOO_BIG: the next hop's MTU."""
        return self.info

    @property
    def pointer(self) -> int:
        """Of PARAMETER_PROBLEM: the offset of the offending byte."""
        return self.info


def parse(data: bytes, offset: int = 0, end: int | None = None) -> Icmpv6Message:
    """The message from `offset` to `end`; InvalidArgument if `check` refuses it."""
    if not check(data, offset, end):
        raise malformed("ICMPv6 message")
    return Icmpv6Message(
        type_of(data, offset), code(data, offset), info(data, offset),
        data[offset + HEADER_LENGTH : limit(data, end)], load_u16(data, offset + CHECKSUM),
    )


def emit(
    message: Icmpv6Message, source: bytes = b"", destination: bytes = b"", *, keep: bool = False
) -> bytes:
    """The bytes of a message between two packed addresses, which the checksum covers; or, if `keep`, with the
    checksum that `message` has."""
    value = message.checksum if keep else 0
    data = pack(">BBHI", message.type, message.code, value, message.info) + message.payload
    if keep:
        return data
    value = checksums.transport(source, destination, ipv4.ICMPV6, data)
    return data[:CHECKSUM] + value.to_bytes(2, "big") + data[INFO:]


def echo(kind: int, identifier: int, sequence: int, payload: bytes = b"") -> Icmpv6Message:
    """An echo message: `kind` is ECHO_REQUEST or ECHO_REPLY."""
    return Icmpv6Message(kind, 0, (identifier & 0xFFFF) << 16 | (sequence & 0xFFFF), payload)


def parse_quote(payload: bytes) -> Quote | None:
    """What an error's payload quotes; None if that is no whole header chain, or not a packet's beginning."""
    if not ipv6.check_header(payload):
        return None
    stop = limit(payload, ipv6.HEADER_LENGTH + ipv6.payload_length(payload))
    chain = ipv6_extensions.walk(payload, 0, stop)
    if chain.problem or (chain.fragment >= 0 and ipv6_extensions.fragment_offset(payload, chain.fragment)):
        return None
    transport = payload[chain.offset : stop]
    return Quote(ipv6.source(payload), ipv6.destination(payload), chain.next_header, transport)
