"""What a router on a link's way says about packets that it can't carry (RFC 1191, 4; RFC 4443, 3.2)."""

from __future__ import annotations

from uinet.wire import build, icmp, icmpv6, ipv4
from uinet.wire.constants import ETHERTYPE_IPV4, ETHERTYPE_IPV6

QUOTE_V4 = 548  # RFC 1812, 4.3.2.3
QUOTE_V6 = 1232  # RFC 4443, 2.4 (c)


def too_big(data: bytes, offset: int, ethertype: int, mtu: int) -> bytes | None:
    """The frame that answers `data`, whose IP packet at `offset` is longer than `mtu`; None if nothing is said: it may
    be fragmented, or is no IP packet.

    Comes from the address that the packet was for, as if that were the router's.
    """
    packet = data[offset:]
    if ethertype == ETHERTYPE_IPV4 and ipv4.flags(packet) & ipv4.FLAG_DF:
        source, destination = packet[12:16], packet[16:20]
        kind, code, quote = icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, packet[:QUOTE_V4]
    elif ethertype == ETHERTYPE_IPV6:
        source, destination = packet[8:24], packet[24:40]
        kind, code, quote = icmpv6.PACKET_TOO_BIG, 0, packet[:QUOTE_V6]
    else:
        return None
    answer = build.icmp_message(destination, source, kind, code, mtu, quote, layer=3)
    return data[6:12] + data[:6] + data[12:offset] + answer if offset else answer
