"""Fragments of what is larger than its path (RFC 791 section 3.2, RFC 8200 section 4.5), and their
identifications.

An IPv4 datagram that may not be fragmented has identification 0 (RFC 6864, section 4.1). Other
identifications come from a counter and an offset, each chosen by a keyed hash of the addresses (RFC 7739,
section 5.3; the counter moves by a random step), so that neither the next one nor how many were sent to
somebody else can be read from them.
"""

from __future__ import annotations

import struct

from uinet.errors import MessageTooLong
from uinet.ip.randomness import Random
from uinet.wire import ipv4
from uinet.wire.addresses import split
from uinet.wire.ipv6_extensions import FRAGMENT, FRAGMENT_LENGTH
from uinet.wire.kernels import checksum, hash5

COUNTERS = 256
STEP = 8  # a counter moves by 1 to this

HEADER_V4 = 20
HEADER_V6 = 40
MAX_PACKET_V4 = 65535
MAX_PAYLOAD_V6 = 65535
DONT_FRAGMENT = 0x4000
MORE_FRAGMENTS = 0x2000

_V4 = struct.Struct(">BBHHHBBH4s4s")
_V6 = struct.Struct(">IHBB16s16s")
_FRAGMENT = struct.Struct(">BBHI")


class Identifications:
    """The identifications of one stack's datagrams."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.k0, self.k1 = random.secret_pair("ip identification offset")
        self.c0, self.c1 = random.secret_pair("ip identification counter")
        self.counters = [random.u32() for _ in range(COUNTERS)]

    def next(self, source: bytes, destination: bytes, proto: int, count: int = 1) -> int:
        """A 32-bit identification for a datagram; IPv4 takes its low 16 bits. The `count` - 1 after it are taken too.
        """
        source_hi, source_lo = split(source)
        destination_hi, destination_lo = split(destination)
        offset = hash5(self.k0, self.k1, source_hi, source_lo, destination_hi, destination_lo, proto)
        index = hash5(self.c0, self.c1, source_hi, source_lo, destination_hi, destination_lo, 0) % COUNTERS
        self.counters[index] = (self.counters[index] + 1 + self.random.below(STEP)) & 0xFFFFFFFF
        identification = (offset + self.counters[index]) & 0xFFFFFFFF
        self.counters[index] = (self.counters[index] + count - 1) & 0xFFFFFFFF
        return identification


def ipv4_header(
    source: bytes,
    destination: bytes,
    proto: int,
    length: int,
    ttl: int,
    tos: int,
    identification: int,
    fragment: int,
) -> bytes:
    """An IPv4 header without options. `length`: of the payload; `fragment`: flags and offset field."""
    total = HEADER_V4 + length
    head = _V4.pack(0x45, tos, total, identification, fragment, ttl, proto, 0, source, destination)
    value = checksum(head, 0, HEADER_V4, 0) ^ 0xFFFF
    return head[: ipv4.HEADER_CHECKSUM] + value.to_bytes(2, "big") + head[ipv4.SOURCE :]


def ipv6_header(source: bytes, destination: bytes, proto: int, length: int, ttl: int, tos: int) -> bytes:
    """An IPv6 header. `length`: of what follows; flow label 0."""
    return _V6.pack(6 << 28 | tos << 20, length, proto, ttl, source, destination)


def ipv4_packets(
    identifications: Identifications,
    source: bytes,
    destination: bytes,
    proto: int,
    payload: bytes,
    *,
    mtu: int,
    ttl: int,
    tos: int,
    dont_fragment: bool,
) -> list[bytes]:
    """The packets, none larger than `mtu`, that carry `payload`.

    MessageTooLong if that takes more than one and `dont_fragment`, or if no packet is that large.
    """
    size = len(payload)
    if HEADER_V4 + size > MAX_PACKET_V4:
        raise MessageTooLong(f"{size} bytes are more than an IPv4 packet carries")
    if dont_fragment:
        if HEADER_V4 + size > mtu:
            raise MessageTooLong(f"{HEADER_V4 + size} bytes are more than the path's MTU of {mtu}")
        return [ipv4_header(source, destination, proto, size, ttl, tos, 0, DONT_FRAGMENT) + payload]
    ident = identifications.next(source, destination, proto) & 0xFFFF
    if HEADER_V4 + size <= mtu:
        return [ipv4_header(source, destination, proto, size, ttl, tos, ident, 0) + payload]
    step = (mtu - HEADER_V4) // 8 * 8
    packets = []
    for offset in range(0, size, step):
        piece = payload[offset : offset + step]
        more = MORE_FRAGMENTS if offset + step < size else 0
        head = ipv4_header(source, destination, proto, len(piece), ttl, tos, ident, more | offset >> 3)
        packets.append(head + piece)
    return packets


def ipv6_packets(
    identifications: Identifications,
    source: bytes,
    destination: bytes,
    proto: int,
    payload: bytes,
    *,
    mtu: int,
    ttl: int,
    tos: int,
    dont_fragment: bool,
) -> list[bytes]:
    """The packets, none larger than `mtu`, that carry `payload`. MessageTooLong as for IPv4."""
    size = len(payload)
    if size > MAX_PAYLOAD_V6:
        raise MessageTooLong(f"{size} bytes are more than an IPv6 packet carries")
    if HEADER_V6 + size <= mtu:
        return [ipv6_header(source, destination, proto, size, ttl, tos) + payload]
    if dont_fragment:
        raise MessageTooLong(f"{HEADER_V6 + size} bytes are more than the path's MTU of {mtu}")
    ident = identifications.next(source, destination, proto)
    step = (mtu - HEADER_V6 - FRAGMENT_LENGTH) // 8 * 8
    packets = []
    for offset in range(0, size, step):
        piece = payload[offset : offset + step]
        more = 1 if offset + step < size else 0
        head = ipv6_header(source, destination, FRAGMENT, FRAGMENT_LENGTH + len(piece), ttl, tos)
        packets.append(head + _FRAGMENT.pack(proto, 0, offset | more, ident) + piece)
    return packets
