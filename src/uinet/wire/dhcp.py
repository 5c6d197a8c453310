"""DHCP for IPv4 (RFC 2131; options: RFC 2132, 3396, 3397, 3442).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |      op       |     htype     |     hlen      |     hops      |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                              xid                              |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |             secs              |             flags             |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  ciaddr, yiaddr, siaddr, giaddr (4 each)                      |
    |  chaddr (16), sname (64), file (128)                          |
    |  magic cookie (4), options: code, length, that many bytes ... |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

Options 0 (pad) and 255 (end) are one byte. Option 52 says that `file`, `sname` or both hold options as well.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from uinet.errors import InvalidArgument
from uinet.wire.fields import limit, malformed, pack
from uinet.wire.kernels import load_u8, load_u32
from uinet.wire.nd import is_name_byte

OP = 0
HTYPE = 1
HLEN = 2
XID = 4
SNAME = 44
FILE = 108
COOKIE = 236
OPTIONS = 240
SHORTEST = 300  # bytes of a message: BOOTP's, which some relays insist on (RFC 1542, section 2.1)

CLIENT_PORT = 68
SERVER_PORT = 67

BOOTREQUEST = 1
BOOTREPLY = 2
MAGIC = 0x63825363
BROADCAST = 0x8000  # of flags: answer by broadcast

# message types (RFC 2132, section 9.6)
DISCOVER = 1
OFFER = 2
REQUEST = 3
DECLINE = 4
ACK = 5
NAK = 6
RELEASE = 7
INFORM = 8
NAMES = {
    DISCOVER: "discover", OFFER: "offer", REQUEST: "request", DECLINE: "decline", ACK: "ack", NAK: "nak",
    RELEASE: "release", INFORM: "inform",
}

PAD = 0
END = 255
SUBNET_MASK = 1
ROUTER = 3
DNS_SERVERS = 6
HOST_NAME = 12
DOMAIN_NAME = 15
INTERFACE_MTU = 26
BROADCAST_ADDRESS = 28
REQUESTED_ADDRESS = 50
LEASE_TIME = 51
OVERLOAD = 52
MESSAGE_TYPE = 53
SERVER_ID = 54
PARAMETER_LIST = 55
MESSAGE = 56
MAX_SIZE = 57
RENEWAL_TIME = 58
REBINDING_TIME = 59
CLIENT_ID = 61
DOMAIN_SEARCH = 119
CLASSLESS_ROUTES = 121

_HEADER = struct.Struct(">BBBBIHH4s4s4s4s16s64s128sI")


def check(data: bytes, offset: int = 0, end: int | None = None) -> bool:
    """Whether a message with a whole header and the DHCP cookie is there; its options may still be malformed."""
    return limit(data, end) - offset >= OPTIONS and load_u32(data, offset + COOKIE) == MAGIC


@dataclass(frozen=True, slots=True)
class DhcpMessage:
    """A DHCP message. `options`: by code, long ones put together (RFC 3396); `chaddr`: as long as `hlen` says."""

    op: int
    xid: int
    options: Mapping[int, bytes] = field(default_factory=dict)
    secs: int = 0
    flags: int = 0
    ciaddr: bytes = bytes(4)
    yiaddr: bytes = bytes(4)
    siaddr: bytes = bytes(4)
    giaddr: bytes = bytes(4)
    chaddr: bytes = bytes(6)
    htype: int = 1
    hops: int = 0

    @property
    def type(self) -> int:
        """The message type; 0 if there is none, or it is malformed."""
        value = self.options.get(MESSAGE_TYPE, b"")
        return value[0] if len(value) == 1 else 0

    def address(self, code: int) -> bytes:
        """The option that is one address; b"" without it."""
        value = self.options.get(code, b"")
        return value if len(value) == 4 else b""

    def addresses(self, code: int) -> list[bytes]:
        """The option that is a list of addresses; [] without it, or if it is malformed."""
        value = self.options.get(code, b"")
        return [value[at : at + 4] for at in range(0, len(value), 4)] if len(value) % 4 == 0 else []

    def number(self, code: int, size: int) -> int | None:
        """The option that is a number of `size` bytes; None without it."""
        value = self.options.get(code, b"")
        return int.from_bytes(value, "big") if len(value) == size else None


def parse(data: bytes, offset: int = 0, end: int | None = None) -> DhcpMessage:
    """The message from `offset` to `end`; InvalidArgument if `check` refuses it or its options are malformed."""
    stop = limit(data, end)
    if not check(data, offset, stop):
        raise malformed("DHCP message")
    op, htype, hlen, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, *_ = _HEADER.unpack_from(
        data, offset
    )
    if hlen > 16:
        raise malformed("DHCP message")
    options: dict[int, bytes] = {}
    _read(data, offset + OPTIONS, stop, options)
    overload = options.pop(OVERLOAD, b"\0")
    if len(overload) != 1:
        raise malformed("DHCP message")
    if overload[0] & 1:
        _read(data, offset + FILE, offset + COOKIE, options)
    if overload[0] & 2:
        _read(data, offset + SNAME, offset + FILE, options)
    return DhcpMessage(
        op, xid, options, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr[:hlen], htype, hops
    )


def _read(data: bytes, at: int, stop: int, options: dict[int, bytes]) -> None:
    """Adds the options from `at` on to those that are known."""
    while at < stop:
        code = load_u8(data, at)
        at += 1
        if code == PAD:
            continue
        if code == END:
            return
        if at >= stop or at + 1 + load_u8(data, at) > stop:
            raise malformed("DHCP option")
        size = load_u8(data, at)
        options[code] = options.get(code, b"") + data[at + 1 : at + 1 + size]
        at += 1 + size


def emit(message: DhcpMessage) -> bytes:
    """The bytes of a message, its type first, padded to what BOOTP wants; InvalidArgument for what does not fit."""
    if len(message.chaddr) > 16 or any(not 0 < code < END or code == OVERLOAD for code in message.options):
        raise InvalidArgument("a hardware address has at most 16 bytes, an option a code from 1 to 254 but 52")
    head = pack(
        ">BBBBIHH4s4s4s4s16s64s128sI", message.op, message.htype, len(message.chaddr), message.hops, message.xid,
        message.secs, message.flags, message.ciaddr, message.yiaddr, message.siaddr, message.giaddr, message.chaddr,
        b"", b"", MAGIC,
    )
    parts = [head]
    for code in sorted(message.options, key=lambda code: (code != MESSAGE_TYPE, code)):
        value = message.options[code]
        for at in range(0, max(1, len(value)), 255):
            piece = value[at : at + 255]
            parts.append(pack(">BB", code, len(piece)) + piece)
    parts.append(bytes([END]))
    return b"".join(parts).ljust(SHORTEST, b"\0")


def prefix_length(mask: bytes) -> int | None:
    """The prefix length of a subnet mask; None if its ones are not all in front."""
    value = int.from_bytes(mask, "big")
    if len(mask) != 4 or (~value & 0xFFFFFFFF) & ((~value & 0xFFFFFFFF) + 1):
        return None
    return value.bit_count()


def emit_routes(routes: list[tuple[bytes, int, bytes]]) -> bytes:
    """The value of a CLASSLESS_ROUTES option: (prefix, its length, gateway) each."""
    return b"".join(bytes([length]) + prefix[: (length + 7) // 8] + gateway for prefix, length, gateway in routes)


def parse_routes(data: bytes) -> list[tuple[bytes, int, bytes]] | None:
    """(prefix, its length, gateway) of a CLASSLESS_ROUTES option (RFC 3442); None if it is malformed.

    A gateway of 0.0.0.0 says that the prefix is on the link.
    """
    found = []
    at = 0
    while at < len(data):
        length = data[at]
        size = (length + 7) // 8
        if length > 32 or at + 1 + size + 4 > len(data):
            return None
        prefix = data[at + 1 : at + 1 + size].ljust(4, b"\0")
        kept = (int.from_bytes(prefix, "big") >> (32 - length) << (32 - length)).to_bytes(4, "big")
        found.append((kept, length, data[at + 1 + size : at + 5 + size]))
        at += 5 + size
    return found


def parse_search(data: bytes) -> list[str]:
    """The domains of a DOMAIN_SEARCH option (RFC 3397), compression included; [] if any is malformed."""
    names = []
    at = 0
    while at < len(data):
        name, at = _read_name(data, at)
        if not name:
            return []
        names.append(name)
    return names


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    """The name at `at`, and what follows it; ("", 0) if it is malformed. Pointers lead backwards only."""
    labels: list[str] = []
    after = 0
    lowest = at
    total = 0
    while at < len(data):
        size = data[at]
        if size == 0:
            return ".".join(labels), after or at + 1
        if size >= 0xC0:
            if at + 2 > len(data):
                return "", 0
            after = after or at + 2
            target = (size & 0x3F) << 8 | data[at + 1]
            if target >= lowest:
                return "", 0
            at = lowest = target
            continue
        label = data[at + 1 : at + 1 + size]
        total += size + 1
        if size > 63 or len(label) < size or total > 254 or not all(is_name_byte(byte) for byte in label):
            return "", 0
        labels.append(label.decode("ascii"))
        at += 1 + size
    return "", 0


def host_name(value: bytes) -> str:
    """The text of a DOMAIN_NAME or HOST_NAME option; "" if it is no name. Servers end it with a zero byte, some."""
    stripped = value.rstrip(b"\0").rstrip(b".")
    if not 0 < len(stripped) < 255 or not all(is_name_byte(byte) or byte == 0x2E for byte in stripped):
        return ""
    return stripped.decode("ascii")
