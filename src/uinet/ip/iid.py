"""Interface identifiers: the lower 64 bits of an IPv6 address, stable and opaque, from the MAC, or random."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uinet.ip.interface import Interface

STABLE = "stable"
EUI64 = "eui64"
KINDS = (STABLE, EUI64)

_RESERVED_MIDDLE = bytes.fromhex("02005efffe")  # IANA's Ethernet block, RFC 5453
_RESERVED_ANYCAST = bytes.fromhex("fdffffffffffff")  # with 80 to ff behind it, RFC 2526


def is_reserved(identifier: bytes) -> bool:
    """Whether 8 bytes may not be made into an address by chance (RFC 5453)."""
    if not any(identifier) or identifier.startswith(_RESERVED_MIDDLE):
        return True
    return identifier.startswith(_RESERVED_ANYCAST) and identifier[7] >= 0x80


def eui64(mac: bytes) -> bytes:
    """The modified EUI-64 of a MAC (RFC 4291, appendix A)."""
    return bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:6]


def stable(interface: Interface, prefix: bytes, counter: int) -> bytes:
    """The identifier of `interface` under `prefix` (16 bytes), the same each time and unlike that of any other prefix.

    RFC 7217, section 5: F(prefix, interface, DAD counter, secret). `counter`: duplicates found so far.
    """
    network = interface.network
    key = network.settings.stable_secret or network.random.secret("stable interface identifiers")
    attempt = 0
    while True:
        name = interface.name.encode()
        text = prefix[:8] + len(name).to_bytes(2, "big") + name + counter.to_bytes(4, "big") + bytes([attempt])
        identifier = blake2b(text, digest_size=8, key=key[:64], person=b"uinet rfc 7217").digest()
        if not is_reserved(identifier):
            return identifier
        attempt += 1


def random(interface: Interface) -> bytes:
    """One that is good for a while (RFC 8981, section 3.3.1)."""
    while True:
        identifier: bytes = interface.network.random.bytes(8)
        if not is_reserved(identifier):
            return identifier
