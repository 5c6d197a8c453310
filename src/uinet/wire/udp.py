"""UDP datagrams (RFC 768; over IPv6: RFC 8200, 8.1).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |          Source Port          |       Destination Port        |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |            Length             |           Checksum            |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from dataclasses import dataclass

from uinet.errors import InvalidArgument
from uinet.wire import checksums, ipv4
from uinet.wire.fields import limit, malformed, pack
from uinet.wire.kernels import load_u16

SOURCE_PORT = 0
DESTINATION_PORT = 2
LENGTH = 4
CHECKSUM = 6
HEADER_LENGTH = 8
MAX_LENGTH = 0xFFFF


def check(data: bytes, offset: int = 0, end: int | None = None) -> bool:
    """Whether a whole datagram is at `offset`: its header, and all that its length promises."""
    available = limit(data, end) - offset
    return available >= HEADER_LENGTH and HEADER_LENGTH <= length(data, offset) <= available


def checksum_ok(data: bytes, source: bytes, destination: bytes, offset: int = 0) -> bool:
    """Whether the checksum of a checked datagram between these addresses is right; 0 is right over IPv4."""
    return checksums.verify(source, destination, ipv4.UDP, data, offset, offset + length(data, offset))


def source_port(data: bytes, offset: int = 0) -> int:
    """The source port."""
    return load_u16(data, offset)


def destination_port(data: bytes, offset: int = 0) -> int:
    """The destination port."""
    return load_u16(data, offset + DESTINATION_PORT)


def length(data: bytes, offset: int = 0) -> int:
    """The datagram's length in bytes, header included."""
    return load_u16(data, offset + LENGTH)


def checksum(data: bytes, offset: int = 0) -> int:
    """The checksum as it stands there; 0 is none."""
    return load_u16(data, offset + CHECKSUM)


@dataclass(frozen=True, slots=True)
class UdpHeader:
    """A UDP header; `length` and `checksum` are what came; `emit` computes them unless told not to."""

    source_port: int
    destination_port: int
    length: int = 0
    checksum: int = 0


def parse(data: bytes, offset: int = 0, end: int | None = None) -> UdpHeader:
    """The header at `offset`; InvalidArgument if it is cut off. Its length may still lie: see `check`."""
    if limit(data, end) - offset < HEADER_LENGTH:
        raise malformed("UDP header")
    return UdpHeader(
        source_port(data, offset), destination_port(data, offset), length(data, offset),
        checksum(data, offset),
    )


def emit(
    header: UdpHeader, payload: bytes = b"", source: bytes = b"", destination: bytes = b"",
    *, keep: bool = False,
) -> bytes:
    """The datagram made of `header` and `payload` between two packed addresses, which the checksum covers.

    Computes length and checksum, or writes those of `header` if `keep`; then the addresses are not needed.
    """
    size = header.length if keep else HEADER_LENGTH + len(payload)
    if size > MAX_LENGTH:
        raise InvalidArgument(f"a UDP datagram has at most {MAX_LENGTH} bytes, not {size}")
    value = header.checksum if keep else 0
    data = pack(">HHHH", header.source_port, header.destination_port, size, value) + payload
    if keep:
        return data
    value = checksums.transport(source, destination, ipv4.UDP, data) or 0xFFFF
    return data[:CHECKSUM] + value.to_bytes(2, "big") + payload
