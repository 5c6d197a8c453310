"""Internet checksums (RFC 1071) over pseudo headers (RFC 9293, 3.1; RFC 8200, 8.1) and whole packets.

A sum here is folded to 16 bits and not inverted; a checksum is inverted, as it stands in a header.
"""

from __future__ import annotations

from uinet.errors import InvalidArgument
from uinet.wire import ipv4, ipv6, ipv6_extensions, kernels
from uinet.wire.fields import limit
from uinet.wire.kernels import load_u8, load_u16

# Where the checksum stands in each transport header, and the least length of that header
CHECKSUM_AT = {ipv4.TCP: 16, ipv4.UDP: 6, ipv4.ICMP: 2, ipv4.ICMPV6: 2}
_LEAST = {ipv4.TCP: 20, ipv4.UDP: 8, ipv4.ICMP: 4, ipv4.ICMPV6: 4}


def pseudo_header(source: bytes, destination: bytes, protocol: int, length: int) -> int:
    """The sum of the pseudo header, IPv4's or IPv6's by the addresses' length; `length` is the transport's.

    ICMP over IPv4 has none: its sum is 0.
    """
    if len(source) != len(destination) or len(source) not in (4, 16):
        raise InvalidArgument("a pseudo header has two packed addresses of one family")
    if protocol == ipv4.ICMP:
        return 0
    both = source + destination
    return kernels.checksum(both, 0, len(both), protocol + (length & 0xFFFF) + (length >> 16))


def transport(
    source: bytes, destination: bytes, protocol: int, data: bytes, offset: int = 0, end: int | None = None
) -> int:
    """The checksum over `data[offset:end]`, a transport header and its payload, and its pseudo header.

    If the header's own checksum field is zero, this belongs there; if it is filled in rightly, this is 0.
    """
    length = limit(data, end) - offset
    initial = pseudo_header(source, destination, protocol, length)
    return kernels.checksum(data, offset, length, initial) ^ 0xFFFF


def verify(
    source: bytes, destination: bytes, protocol: int, data: bytes, offset: int = 0, end: int | None = None
) -> bool:
    """Whether the checksum in a transport header is right. UDP's zero, none, is right over IPv4 only."""
    if protocol == ipv4.UDP and limit(data, end) - offset >= 8 and load_u16(data, offset + 6) == 0:
        return len(source) == 4
    return transport(source, destination, protocol, data, offset, end) == 0


def _locate(packet: bytes) -> tuple[bytes, bytes, int, int, int] | None:
    """(source, destination, protocol, offset, end) of the transport header; None if it can't be told."""
    if ipv4.check(packet):
        if ipv4.is_fragment(packet):
            return None
        protocol, at, end = ipv4.protocol(packet), ipv4.header_length(packet), ipv4.total_length(packet)
        source, destination = ipv4.source(packet), ipv4.destination(packet)
    elif ipv6.check(packet):
        end = ipv6.HEADER_LENGTH + ipv6.payload_length(packet)
        chain = ipv6_extensions.walk(packet, 0, end)
        if chain.problem or (chain.fragment >= 0 and not ipv6_extensions.is_atomic(packet, chain.fragment)):
            return None
        protocol, at = chain.next_header, chain.offset
        source, destination = ipv6.source(packet), ipv6.destination(packet)
    else:
        return None
    if end - at < _LEAST.get(protocol, 0x10000):
        return None
    return source, destination, protocol, at, end


def verify_packet(packet: bytes) -> bool | None:
    """Whether the checksums of an IP packet are right: IPv4's own, and that of TCP, UDP, ICMP or ICMPv6.

    None if there is nothing to verify: a fragment, another protocol, or a packet that is not whole.
    """
    if ipv4.check(packet) and not ipv4.checksum_ok(packet):
        return False
    found = _locate(packet)
    return None if found is None else verify(*found[:3], packet, *found[3:])


def fill_packet(packet: bytes) -> bytes:
    """`packet`, an IP packet, with the checksums that :func:`verify_packet` looks at computed anew.

    UDP's zero is filled in as well. What cannot be located stays as it is.
    """
    result = bytearray(packet)
    found = _locate(packet)
    if found is not None:
        source, destination, protocol, at, end = found
        field = at + CHECKSUM_AT[protocol]
        result[field : field + 2] = b"\0\0"
        value = transport(source, destination, protocol, bytes(result), at, end)
        result[field : field + 2] = (value or (0xFFFF if protocol == ipv4.UDP else 0)).to_bytes(2, "big")
    if ipv4.check_header(packet):
        result[ipv4.HEADER_CHECKSUM : ipv4.SOURCE] = b"\0\0"
        value = kernels.checksum(result, 0, (load_u8(packet, 0) & 0xF) * 4, 0) ^ 0xFFFF
        result[ipv4.HEADER_CHECKSUM : ipv4.SOURCE] = value.to_bytes(2, "big")
    return bytes(result)
