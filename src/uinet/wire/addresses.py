"""Addresses: MACs, VLAN tags, IP addresses and ports, from what people write to what the wire carries.

Read first: IEEE 802.1Q-2022, 9.6 (VLAN tags); RFC 4291, 2.5.5.2 (IPv4-mapped addresses).

An IP address is packed ``bytes``, 4 or 16 of them. The hot path keeps it as two 64-bit integers (hi, lo)
instead; there an IPv4 address is IPv4-mapped, so that one table holds both families.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple, Self

from uinet.errors import AddressError, VlanError
from uinet.wire.kernels import join as join

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
AddressLike = str | bytes | IPAddress
MacLike = str | bytes
PrefixLike = str | IPAddress | ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_VLAN_TAGS = 16
MAX_VID = 4095
TPIDS = (0x8100, 0x88A8, 0x9100, 0x9200, 0x9300)

V4_MAPPED = 0x0000FFFF_00000000
MASK32 = 0xFFFFFFFF

_MAC_TEXT = re.compile(r"[0-9a-fA-F]{2}([:-])[0-9a-fA-F]{2}(?:\1[0-9a-fA-F]{2}){4}")
_PREFIX_LENGTH = re.compile(r"[0-9]{1,3}")


class Mac(bytes):
    """A MAC address: 6 bytes that print as ``02:00:00:00:00:01``.

    Takes text with colons or hyphens, or 6 bytes; AddressError for anything else. Equal to its bytes.
    """

    __slots__ = ()

    def __new__(cls, value: MacLike | bytearray | memoryview) -> Self:
        if isinstance(value, str):
            if not _MAC_TEXT.fullmatch(value):
                raise AddressError(f"not a MAC address: {value!r}")
            return super().__new__(cls, bytes.fromhex(value.replace(value[2], "")))
        if not isinstance(value, (bytes, bytearray, memoryview)) or len(value) != 6:
            raise AddressError(f"a MAC address is text or 6 bytes, not {value!r}")
        return super().__new__(cls, value)

    @classmethod
    def parse(cls, value: MacLike) -> Self:
        """The address that `value`, text or 6 bytes, stands for; AddressError if none."""
        return cls(value)

    @property
    def is_group(self) -> bool:
        """Whether it stands for more than one station: multicast or broadcast."""
        return bool(self[0] & 1)

    def __str__(self) -> str:
        return self.hex(":")

    def __repr__(self) -> str:
        return f"Mac('{self}')"


BROADCAST_MAC: Final = Mac(b"\xff" * 6)
ZERO_MAC: Final = Mac(bytes(6))


class VlanTag(NamedTuple):
    """One 802.1Q tag: VLAN identifier, priority, drop eligibility, and the ethertype that announces it."""

    vid: int
    pcp: int = 0
    dei: int = 0
    tpid: int = 0x8100

    @property
    def tci(self) -> int:
        """The 16 bits that follow the TPID."""
        return self.pcp << 13 | self.dei << 12 | self.vid


class L2Info(NamedTuple):
    """What a frame's link header says: both MACs and the VLAN stack, outermost tag first."""

    source: Mac
    destination: Mac
    vlans: tuple[VlanTag, ...] = ()

    @classmethod
    def make(
        cls, source: MacLike, destination: MacLike, vlans: int | VlanTag | Iterable[int | VlanTag] = ()
    ) -> L2Info:
        """From MACs as text or bytes and VLANs as :func:`parse_vlans` takes them; AddressError, VlanError."""
        return cls(Mac(source), Mac(destination), parse_vlans(vlans))

    def reversed(self) -> L2Info:
        """The link header of an answer: MACs swapped, the same VLANs."""
        return L2Info(self.destination, self.source, self.vlans)


class Any:
    """The wildcard: any address, any port, any VLAN stack. There is one, `ANY`."""

    __slots__ = ()
    _instance: Any | None = None

    def __new__(cls) -> Any:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __reduce__(self) -> str:
        return "ANY"

    def __repr__(self) -> str:
        return "uinet.ANY"


ANY: Final = Any()


def pack_address(address: AddressLike) -> bytes:
    """The packed form, 4 or 16 bytes, of an IP address given as text, ipaddress object or packed bytes.

    AddressError if it is none, or has a zone (``fe80::1%eth0``): a stack's interfaces are named otherwise.
    """
    if isinstance(address, str):
        try:
            address = ipaddress.ip_address(address)
        except ValueError:
            raise AddressError(f"not an IP address: {address!r}") from None
    if isinstance(address, ipaddress.IPv4Address):
        return address.packed
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise AddressError(f"an IPv6 zone means nothing here: {str(address)!r}")
        return address.packed
    if not isinstance(address, (bytes, bytearray, memoryview)) or len(address) not in (4, 16):
        raise AddressError(f"an IP address is text, an ipaddress object or 4 or 16 bytes, not {address!r}")
    return bytes(address)


def unpack_address(packed: bytes) -> IPAddress:
    """The ipaddress object of 4 or 16 packed bytes; AddressError for another length."""
    if len(packed) == 4:
        return ipaddress.IPv4Address(bytes(packed))
    if len(packed) == 16:
        return ipaddress.IPv6Address(bytes(packed))
    raise AddressError(f"a packed IP address has 4 or 16 bytes, not {len(packed)}")


def split(packed: bytes) -> tuple[int, int]:
    """A packed address as (hi, lo), two 64-bit integers, IPv4 IPv4-mapped; AddressError for another length.

    An IPv6 packet whose own addresses are IPv4-mapped would look like IPv4 afterwards. Such addresses never
    belong on a wire (RFC 4038, 4.2), and the IP layer drops those packets.
    """
    if len(packed) == 4:
        return 0, V4_MAPPED | int.from_bytes(packed, "big")
    if len(packed) == 16:
        return int.from_bytes(packed[:8], "big"), int.from_bytes(packed[8:], "big")
    raise AddressError(f"a packed IP address has 4 or 16 bytes, not {len(packed)}")


def is_multicast(packed: bytes) -> bool:
    """Whether a packed address is a multicast address: 224.0.0.0/4 or ff00::/8."""
    return packed[0] >> 4 == 0xE if len(packed) == 4 else packed[0] == 0xFF


def multicast_mac(packed: bytes) -> Mac:
    """The MAC that a multicast address is sent to (RFC 1112, 6.4; RFC 2464, section 7)."""
    if len(packed) == 4:
        return Mac(b"\x01\x00\x5e" + bytes((packed[1] & 0x7F,)) + packed[2:])
    return Mac(b"\x33\x33" + packed[12:])


def parse_prefix(prefix: PrefixLike) -> tuple[bytes, int]:
    """``"10.0.0.1/24"`` as (packed address, prefix length), host bits kept; no length is all bits.

    Takes ipaddress interfaces and networks too. AddressError if it is not valid.
    """
    text, slash, length_text = str(prefix).partition("/")
    packed = pack_address(text)
    bits = len(packed) * 8
    if not slash:
        return packed, bits
    if not _PREFIX_LENGTH.fullmatch(length_text) or int(length_text) > bits:
        raise AddressError(f"a prefix length is 0 to {bits}: {str(prefix)!r}")
    return packed, int(length_text)


def network_of(packed: bytes, length: int) -> bytes:
    """`packed` with all bits after the first `length` set to zero."""
    bits = len(packed) * 8
    value = int.from_bytes(packed, "big") >> (bits - length) << (bits - length)
    return value.to_bytes(len(packed), "big")


def check_port(port: int) -> int:
    """`port` itself if it is an int from 0 to 65535, else AddressError."""
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 0xFFFF:
        raise AddressError(f"a port is 0 to 65535, not {port!r}")
    return int(port)


def _parse_tag(tag: int | VlanTag) -> VlanTag:
    if isinstance(tag, int) and not isinstance(tag, bool):
        tag = VlanTag(tag)
    if not isinstance(tag, VlanTag):
        raise VlanError(f"a VLAN is a VID or a VlanTag, not {tag!r}")
    if not 0 <= tag.vid <= MAX_VID:
        raise VlanError(f"a VID is 0 to {MAX_VID}, not {tag.vid}")
    if not 0 <= tag.pcp <= 7:
        raise VlanError(f"a VLAN priority is 0 to 7, not {tag.pcp}")
    if tag.dei not in (0, 1):
        raise VlanError(f"a VLAN's DEI is 0 or 1, not {tag.dei}")
    if tag.tpid not in TPIDS:
        known = ", ".join(f"0x{tpid:04x}" for tpid in TPIDS)
        raise VlanError(f"0x{tag.tpid:04x} is no VLAN TPID: want one of {known}")
    return tag


def parse_vlans(vlans: int | VlanTag | Iterable[int | VlanTag]) -> tuple[VlanTag, ...]:
    """A VLAN stack, outermost tag first, from a VID, a VlanTag or several; VlanError if it is not valid.

    ``()`` is untagged. A plain tuple is a stack: ``(100, 3)`` are two VIDs, not a VID and its priority.
    """
    if isinstance(vlans, (int, VlanTag)):
        return (_parse_tag(vlans),)
    if isinstance(vlans, (str, bytes)) or not isinstance(vlans, Iterable):
        raise VlanError(f"a VLAN stack is VIDs or VlanTags, not {vlans!r}")
    tags = tuple(_parse_tag(tag) for tag in vlans)
    if len(tags) > MAX_VLAN_TAGS:
        raise VlanError(f"a VLAN stack has at most {MAX_VLAN_TAGS} tags, not {len(tags)}")
    return tags


def vids(vlans: Iterable[VlanTag]) -> bytes:
    """What VLAN matching compares: 2 bytes a VID, outermost first; VID 0 is a priority tag and left out."""
    return b"".join(tag.vid.to_bytes(2, "big") for tag in vlans if tag.vid)


def link_header(l2: L2Info, ethertype: int) -> bytes:
    """The Ethernet header of a frame: both MACs, every tag of the stack verbatim, then `ethertype`."""
    tags = b"".join(struct.pack(">HH", tag.tpid, tag.tci) for tag in l2.vlans)
    return bytes(l2.destination) + bytes(l2.source) + tags + struct.pack(">H", ethertype)
