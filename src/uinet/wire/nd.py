"""Neighbour discovery (RFC 4861, section 4): messages, their options, and when they are valid.

All ride in ICMPv6 with code 0; after the 8 bytes of its header come::

    router solicitation      options
    router advertisement     Reachable Time (4), Retrans Timer (4), options
    neighbour solicitation   Target Address (16), options
    neighbour advertisement  Target Address (16), options
    redirect                 Target Address (16), Destination Address (16), options

An option::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |     Type      |    Length     |  ... Length units of 8 bytes in all
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from uinet.errors import InvalidArgument
from uinet.wire import icmpv6
from uinet.wire.addresses import Mac, is_multicast
from uinet.wire.fields import limit, malformed, pack
from uinet.wire.icmpv6 import (
    NEIGHBOR_ADVERTISEMENT,
    NEIGHBOR_SOLICITATION,
    REDIRECT,
    ROUTER_ADVERTISEMENT,
    ROUTER_SOLICITATION,
)
from uinet.wire.kernels import load_u8

HOP_LIMIT = 255  # both sent and required: proof that no router has forwarded it

SOURCE_LINK_LAYER = 1
TARGET_LINK_LAYER = 2
PREFIX_INFORMATION = 3
REDIRECTED_HEADER = 4
MTU = 5
NONCE = 14  # RFC 3971, section 5.3.2; RFC 7527
ROUTE_INFORMATION = 24  # RFC 4191, section 2.3
RDNSS = 25  # RFC 8106
DNSSL = 31  # RFC 8106

FLAG_ROUTER = 0x80000000
FLAG_SOLICITED = 0x40000000
FLAG_OVERRIDE = 0x20000000

FLAG_MANAGED = 0x80
FLAG_OTHER = 0x40

# router and route preferences (RFC 4191, section 2.1), the two bits as a signed number
HIGH = 1
MEDIUM = 0
LOW = -1
RESERVED_PREFERENCE = -2

_FIXED_LENGTH = {  # ICMPv6 header and fixed part
    ROUTER_SOLICITATION: 8,
    ROUTER_ADVERTISEMENT: 16,
    NEIGHBOR_SOLICITATION: 24,
    NEIGHBOR_ADVERTISEMENT: 24,
    REDIRECT: 40,
}
_UNSPECIFIED = bytes(16)
_SOLICITED_NODE = bytes.fromhex("ff0200000000000000000001ff")


def check(data: bytes, offset: int = 0, end: int | None = None) -> bool:
    """Whether a whole ND message is there: type, code 0, fixed part, options whole and not empty."""
    stop = limit(data, end)
    if not icmpv6.check(data, offset, stop) or icmpv6.code(data, offset):
        return False
    length = _FIXED_LENGTH.get(icmpv6.type_of(data, offset), 0)
    if not length or stop - offset < length:
        return False
    at = offset + length
    while at < stop:
        if stop - at < 8:
            return False
        size = load_u8(data, at + 1) * 8
        if size == 0 or size > stop - at:
            return False
        at += size
    return True


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its type and what follows its length byte, 6 bytes or 8n more."""

    kind: int
    data: bytes


@dataclass(frozen=True, slots=True)
class RouterSolicitation:
    """Asks routers to say who they are (4.1)."""

    options: tuple[Option, ...] = ()
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class RouterAdvertisement:
    """A router says who it is (4.2). Its lifetime is in seconds, the other times in milliseconds."""

    cur_hop_limit: int = 0
    flags: int = 0
    router_lifetime: int = 0
    reachable_time: int = 0
    retrans_timer: int = 0
    options: tuple[Option, ...] = ()

    @property
    def preference(self) -> int:
        """HIGH, MEDIUM or LOW; the reserved value is MEDIUM (RFC 4191, section 2.2)."""
        value = preference_of(self.flags)
        return MEDIUM if value == RESERVED_PREFERENCE else value


@dataclass(frozen=True, slots=True)
class NeighborSolicitation:
    """Asks for the MAC of `target` (4.3)."""

    target: bytes
    options: tuple[Option, ...] = ()
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class NeighborAdvertisement:
    """Tells the MAC of `target` (4.4); `flags` are FLAG_ROUTER, FLAG_SOLICITED, FLAG_OVERRIDE."""

    target: bytes
    flags: int = 0
    options: tuple[Option, ...] = ()

    @property
    def router(self) -> bool:
        """The R flag."""
        return bool(self.flags & FLAG_ROUTER)

    @property
    def solicited(self) -> bool:
        """The S flag."""
        return bool(self.flags & FLAG_SOLICITED)

    @property
    def override(self) -> bool:
        """The O flag."""
        return bool(self.flags & FLAG_OVERRIDE)


@dataclass(frozen=True, slots=True)
class Redirect:
    """A router tells a better first hop, `target`, for `destination` (4.5)."""

    target: bytes
    destination: bytes
    options: tuple[Option, ...] = ()
    reserved: int = 0


Message = RouterSolicitation | RouterAdvertisement | NeighborSolicitation | NeighborAdvertisement | Redirect


def parse(data: bytes, offset: int = 0, end: int | None = None) -> Message:
    """The ND message from `offset` to `end`; InvalidArgument if `check` refuses it."""
    stop = limit(data, end)
    if not check(data, offset, stop):
        raise malformed("neighbour discovery message")
    kind, info = icmpv6.type_of(data, offset), icmpv6.info(data, offset)
    body = offset + icmpv6.HEADER_LENGTH
    options = _parse_options(data, offset + _FIXED_LENGTH[kind], stop)
    if kind == ROUTER_SOLICITATION:
        return RouterSolicitation(options, info)
    if kind == ROUTER_ADVERTISEMENT:
        reachable, retrans = struct.unpack_from(">II", data, body)
        return RouterAdvertisement(info >> 24, info >> 16 & 0xFF, info & 0xFFFF, reachable, retrans, options)
    target = data[body : body + 16]
    if kind == NEIGHBOR_SOLICITATION:
        return NeighborSolicitation(target, options, info)
    if kind == NEIGHBOR_ADVERTISEMENT:
        return NeighborAdvertisement(target, info, options)
    return Redirect(target, data[body + 16 : body + 32], options, info)


def _parse_options(data: bytes, at: int, stop: int) -> tuple[Option, ...]:
    found = []
    while at < stop:
        size = load_u8(data, at + 1) * 8
        found.append(Option(load_u8(data, at), data[at + 2 : at + size]))
        at += size
    return tuple(found)


def to_icmpv6(message: Message) -> icmpv6.Icmpv6Message:
    """The ICMPv6 message that carries `message`; options are padded with zeros to units of 8 bytes."""
    options = _emit_options(message.options)
    if isinstance(message, RouterSolicitation):
        return icmpv6.Icmpv6Message(ROUTER_SOLICITATION, 0, message.reserved, options)
    if isinstance(message, RouterAdvertisement):
        info = pack(">BBH", message.cur_hop_limit, message.flags, message.router_lifetime)
        times = pack(">II", message.reachable_time, message.retrans_timer)
        return icmpv6.Icmpv6Message(ROUTER_ADVERTISEMENT, 0, int.from_bytes(info, "big"), times + options)
    if len(message.target) != 16 or (isinstance(message, Redirect) and len(message.destination) != 16):
        raise InvalidArgument("an IPv6 address has 16 bytes")
    if isinstance(message, NeighborSolicitation):
        return icmpv6.Icmpv6Message(NEIGHBOR_SOLICITATION, 0, message.reserved, message.target + options)
    if isinstance(message, NeighborAdvertisement):
        return icmpv6.Icmpv6Message(NEIGHBOR_ADVERTISEMENT, 0, message.flags, message.target + options)
    return icmpv6.Icmpv6Message(
        REDIRECT, 0, message.reserved, message.target + message.destination + options
    )


def _emit_options(options: Iterable[Option]) -> bytes:
    parts = []
    for option in options:
        size = -(-(len(option.data) + 2) // 8)
        parts.append(pack(">BB", option.kind, size) + option.data.ljust(size * 8 - 2, b"\0"))
    return b"".join(parts)


def emit(message: Message, source: bytes, destination: bytes) -> bytes:
    """The bytes of the ICMPv6 message between two packed addresses, checksum included."""
    return icmpv6.emit(to_icmpv6(message), source, destination)


def valid(message: Message, source: bytes, destination: bytes, hop_limit: int) -> bool:
    """Whether a host may act on a whole message (RFC 4861, 6.1.1, 6.1.2, 7.1.1, 7.1.2, 8.1).

    `source`, `destination` and `hop_limit` are those of its IPv6 header. That a redirect comes from the
    present first hop is the caller's to see.
    """
    if hop_limit != HOP_LIMIT:
        return False
    if isinstance(message, RouterSolicitation):
        return source != _UNSPECIFIED or link_layer(message.options, SOURCE_LINK_LAYER) is None
    if isinstance(message, RouterAdvertisement):
        return is_link_local(source)
    if is_multicast(message.target):
        return False
    if isinstance(message, NeighborSolicitation):
        return source != _UNSPECIFIED or (
            destination.startswith(_SOLICITED_NODE) and link_layer(message.options, SOURCE_LINK_LAYER) is None
        )
    if isinstance(message, NeighborAdvertisement):
        return not (message.solicited and is_multicast(destination))
    return (
        is_link_local(source)
        and not is_multicast(message.destination)
        and (message.target == message.destination or is_link_local(message.target))
    )


def is_link_local(address: bytes) -> bool:
    """Whether a packed IPv6 address is in fe80::/10."""
    return len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80


def solicited_node(address: bytes) -> bytes:
    """The multicast address that the owner of `address` listens to (RFC 4291, 2.7.1)."""
    return _SOLICITED_NODE + address[13:]


def link_layer_option(kind: int, mac: bytes) -> Option:
    """A SOURCE_LINK_LAYER or TARGET_LINK_LAYER option (4.6.1)."""
    return Option(kind, bytes(mac))


def link_layer(options: Iterable[Option], kind: int) -> Mac | None:
    """The MAC in the first option of this `kind`; None if there is none, or it is no MAC."""
    for option in options:
        if option.kind == kind:
            return Mac(option.data) if len(option.data) == 6 else None
    return None


def mtu_option(mtu: int) -> Option:
    """An MTU option (4.6.4)."""
    return Option(MTU, pack(">HI", 0, mtu))


def mtu(options: Iterable[Option]) -> int | None:
    """The link's MTU; None if no well-formed option tells it."""
    for option in options:
        if option.kind == MTU and len(option.data) == 6:
            return int.from_bytes(option.data[2:], "big")
    return None


@dataclass(frozen=True, slots=True)
class PrefixInformation:
    """A prefix information option (4.6.2); lifetimes in seconds, 2**32 - 1 for ever."""

    prefix: bytes
    prefix_length: int
    flags: int = 0xC0
    valid_lifetime: int = 0xFFFFFFFF
    preferred_lifetime: int = 0xFFFFFFFF

    @property
    def on_link(self) -> bool:
        """The L flag."""
        return bool(self.flags & 0x80)

    @property
    def autonomous(self) -> bool:
        """The A flag."""
        return bool(self.flags & 0x40)

    def option(self) -> Option:
        """The option that says this."""
        return Option(PREFIX_INFORMATION, pack(
            ">BBIII16s", self.prefix_length, self.flags, self.valid_lifetime, self.preferred_lifetime, 0,
            self.prefix,
        ))


def prefixes(options: Iterable[Option]) -> list[PrefixInformation]:
    """All well-formed prefix information options."""
    found = []
    for option in options:
        if option.kind == PREFIX_INFORMATION and len(option.data) == 30 and option.data[0] <= 128:
            length, flags, lifetime, preferred, _, prefix = struct.unpack(">BBIII16s", option.data)
            found.append(PrefixInformation(prefix, length, flags, lifetime, preferred))
    return found


def preference_of(flags: int) -> int:
    """The preference in a flags byte: HIGH, MEDIUM, LOW or RESERVED_PREFERENCE."""
    value = flags >> 3 & 3
    return value - 4 if value & 2 else value


def preference_flags(preference: int) -> int:
    """The flags byte that says `preference`."""
    return (preference & 3) << 3


def nonce_option(nonce: bytes) -> Option:
    """A Nonce option (RFC 7527, section 4.1): 6 bytes, or 8n more."""
    return Option(NONCE, nonce)


def nonce(options: Iterable[Option]) -> bytes:
    """The first nonce; b"" without one."""
    for option in options:
        if option.kind == NONCE:
            return option.data
    return b""


@dataclass(frozen=True, slots=True)
class RouteInformation:
    """A route information option (RFC 4191, 2.3); `lifetime` in seconds, 2**32 - 1 for ever."""

    prefix: bytes
    prefix_length: int
    preference: int = MEDIUM
    lifetime: int = 0xFFFFFFFF

    def option(self) -> Option:
        """The option that says this."""
        size = 0 if self.prefix_length == 0 else 8 if self.prefix_length <= 64 else 16
        head = pack(">BBI", self.prefix_length, preference_flags(self.preference), self.lifetime)
        return Option(ROUTE_INFORMATION, head + self.prefix[:size])


def route_informations(options: Iterable[Option]) -> list[RouteInformation]:
    """All well-formed route information options; those of the reserved preference are none (RFC 4191, 2.3)."""
    found = []
    for option in options:
        if option.kind != ROUTE_INFORMATION or len(option.data) not in (6, 14, 22):
            continue
        length, preference = option.data[0], preference_of(option.data[1])
        if length > 128 or (length + 63) // 64 * 8 > len(option.data) - 6 or preference == RESERVED_PREFERENCE:
            continue
        prefix = option.data[6:].ljust(16, b"\0")
        found.append(RouteInformation(prefix, length, preference, int.from_bytes(option.data[2:6], "big")))
    return found


def recursive_dns_server_option(servers: Iterable[bytes], lifetime: int) -> Option:
    """An RDNSS option (RFC 8106, 5.1)."""
    return Option(RDNSS, pack(">HI", 0, lifetime) + b"".join(servers))


def dns_search_list_option(domains: Iterable[str], lifetime: int) -> Option:
    """A DNSSL option (RFC 8106, 5.2)."""
    names = b""
    for domain in domains:
        for part in domain.split("."):
            names += pack(">B", len(part)) + part.encode("ascii")
        names += b"\0"
    return Option(DNSSL, pack(">HI", 0, lifetime) + names)


def dns_search_list(options: Iterable[Option]) -> list[tuple[str, int]]:
    """(domain, lifetime in seconds) of all search lists (RFC 8106, 5.2); a malformed option gives none."""
    found: list[tuple[str, int]] = []
    for option in options:
        if option.kind == DNSSL and len(option.data) >= 14:
            lifetime = int.from_bytes(option.data[2:6], "big")
            found += [(name, lifetime) for name in domain_names(option.data[6:])]
    return found


def domain_names(data: bytes) -> list[str]:
    """The domain names in `data` (RFC 1035, 3.1, uncompressed), zeros behind the last; [] if any is malformed."""
    names = []
    labels: list[str] = []
    at = 0
    while at < len(data):
        size = data[at]
        at += 1
        if size == 0:
            if labels:
                names.append(".".join(labels))
                labels = []
            elif any(data[at:]):
                return []  # an empty name, and no padding
            continue
        label = data[at : at + size]
        if size > 63 or len(label) < size or not all(is_name_byte(byte) for byte in label):
            return []
        labels.append(label.decode("ascii"))
        if sum(map(len, labels)) + len(labels) > 254:
            return []
        at += size
    return [] if labels else names


def is_name_byte(byte: int) -> bool:
    """Whether a byte may be in a host name: a letter, a digit, a hyphen or an underscore."""
    return (chr(byte).isalnum() and byte < 128) or byte in b"-_"


def recursive_dns_servers(options: Iterable[Option]) -> list[tuple[bytes, int]]:
    """(address, lifetime in seconds) of all recursive DNS servers (RFC 8106, 5.1).

    An option of an even length is malformed (5.3.1): half an address is no address.
    """
    found = []
    for option in options:
        if option.kind == RDNSS and len(option.data) >= 22 and len(option.data) % 16 == 6:
            lifetime = int.from_bytes(option.data[2:6], "big")
            found += [(option.data[at : at + 16], lifetime) for at in range(6, len(option.data), 16)]
    return found
