"""Kinds of IP addresses, packed: scopes, groups, and the addresses that others are made into."""

from __future__ import annotations

from uinet.wire.addresses import network_of
from uinet.wire.nd import is_link_local

LIMITED_BROADCAST = b"\xff\xff\xff\xff"
ALL_SYSTEMS = b"\xe0\x00\x00\x01"  # 224.0.0.1, RFC 1112
ALL_NODES_LINK = b"\xff\x02" + bytes(13) + b"\x01"  # ff02::1, RFC 4291 section 2.7.1
ALL_NODES_INTERFACE = b"\xff\x01" + bytes(13) + b"\x01"  # ff01::1
LOOPBACK_V6 = bytes(15) + b"\x01"

ALL_ROUTERS_LINK = b"\xff\x02" + bytes(13) + b"\x02"  # ff02::2
LINK_LOCAL_PREFIX = b"\xfe\x80" + bytes(14)

SCOPE_LINK_LOCAL = 2
SCOPE_SITE_LOCAL = 5
SCOPE_GLOBAL = 14


def is_one_host(address: bytes) -> bool:
    """Whether `address` names one host on a network, so that it may be answered (RFC 1122, 3.2.1.3)."""
    if len(address) == 4:
        return 0 < address[0] < 224 and address[0] != 127
    return any(address) and address[0] != 0xFF and address != LOOPBACK_V6


def link_local_of(mac: bytes) -> bytes:
    """fe80::/64 with the modified EUI-64 of `mac` (RFC 4291, appendix A)."""
    return b"\xfe\x80" + bytes(6) + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:6]


def in_prefix(address: bytes, prefix: bytes, length: int) -> bool:
    """Whether `address` is of the family of `prefix` and shares its first `length` bits."""
    return len(address) == len(prefix) and network_of(address, length) == network_of(prefix, length)


def scope(address: bytes) -> int:
    """The scope of an IPv6 address (RFC 6724, section 3.1); for a multicast address the one it says."""
    if address[0] == 0xFF:
        return address[1] & 0x0F
    if is_link_local(address) or address == LOOPBACK_V6:
        return SCOPE_LINK_LOCAL
    if address[0] == 0xFE and address[1] & 0xC0 == 0xC0:
        return SCOPE_SITE_LOCAL  # fec0::/10, deprecated, and still ranked so
    return SCOPE_GLOBAL
