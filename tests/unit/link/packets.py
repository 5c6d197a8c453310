"""Packets for the device tests, built and checked by hand: nothing here uses the code under test."""

from __future__ import annotations

import struct
from ipaddress import ip_address

MACS = bytes.fromhex("020000000002020000000001")
TCP, UDP = 6, 17


def csum(data: bytes) -> int:
    """RFC 1071, the plain way."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    return source + destination + struct.pack(">IHBB", length, 0, 0, protocol)


def tags(*tcis: tuple[int, int]) -> bytes:
    """A VLAN stack of (TPID, TCI)."""
    return b"".join(struct.pack(">HH", tpid, tci) for tpid, tci in tcis)


def tcp_header(
    *, seq: int = 0xFFFFFF00, ack: int = 7, flags: int = 0x18, window: int = 500, options: bytes = b"",
    sport: int = 1025, dport: int = 80,
) -> bytes:
    assert len(options) % 4 == 0
    offset = (20 + len(options)) // 4 << 4
    return struct.pack(">HHIIBBHHH", sport, dport, seq, ack, offset, flags, window, 0, 0) + options


def packet(
    transport: bytes,
    payload: bytes,
    *,
    version: int = 4,
    protocol: int = TCP,
    vlans: bytes = b"",
    layer: int = 2,
    state: str = "complete",
    identification: int = 0xFFFE,
    extensions: bytes = b"",
    next_header: int | None = None,
    fragment: int = 0,
) -> bytes:
    """A frame. `state` of its transport checksum: "complete", "partial" (the pseudo header's sum), "zero"."""
    names = ("10.7.0.1", "10.7.0.2") if version == 4 else ("fd00::1", "fd00::2")
    source, destination = (ip_address(name).packed for name in names)
    field = 16 if protocol == TCP else 6
    segment = bytearray(transport + payload)
    head = pseudo(source, destination, protocol, len(segment))
    if state == "partial":
        struct.pack_into(">H", segment, field, csum(head))
    elif state == "complete":
        total = ~csum(head + segment) & 0xFFFF
        struct.pack_into(">H", segment, field, total or 0xFFFF)
    if version == 4:
        length = 20 + len(segment)
        ip = bytearray(struct.pack(">BBHHHBBH", 0x45, 0, length, identification, fragment, 64, protocol, 0))
        ip += source + destination
        struct.pack_into(">H", ip, 10, ~csum(bytes(ip)) & 0xFFFF)
    else:
        first = protocol if next_header is None else next_header
        length = len(extensions) + len(segment)
        ip = bytearray(struct.pack(">IHBB", 6 << 28, length, first, 64) + source + destination + extensions)
    link = MACS + vlans + struct.pack(">H", 0x0800 if version == 4 else 0x86DD) if layer == 2 else b""
    return link + bytes(ip) + bytes(segment)


class Seen:
    """A packet taken apart, its checksums verified: raises AssertionError where one is wrong."""

    def __init__(self, data: bytes, layer: int = 2) -> None:
        at = 0
        if layer == 2:
            at = 12
            while data[at : at + 2] in (b"\x81\x00", b"\x88\xa8", b"\x91\x00"):
                at += 4
            at += 2
        self.link = data[:at]
        self.version = data[at] >> 4
        if self.version == 4:
            header = (data[at] & 15) * 4
            assert csum(data[at : at + header]) == 0xFFFF
            length, self.identification = struct.unpack_from(">HH", data, at + 2)
            self.protocol = data[at + 9]
            source, destination = data[at + 12 : at + 16], data[at + 16 : at + 20]
            segment = data[at + header : at + length]
        else:
            length = 40 + struct.unpack_from(">H", data, at + 4)[0]
            source, destination = data[at + 8 : at + 24], data[at + 24 : at + 40]
            self.protocol, start = data[at + 6], at + 40
            while self.protocol in (0, 43, 60):
                self.protocol, start = data[start], start + (data[start + 1] + 1) * 8
            segment = data[start : at + length]
        assert len(data) >= at + length, "cut short"
        self.padding = data[at + length :]
        self.ip_length = length
        assert csum(pseudo(source, destination, self.protocol, len(segment)) + segment) == 0xFFFF
        self.sport = struct.unpack_from(">H", segment)[0]
        if self.protocol == TCP:
            self.seq = struct.unpack_from(">I", segment, 4)[0]
            self.flags = segment[13]
            self.options = segment[20 : (segment[12] >> 4) * 4]
            self.payload = segment[(segment[12] >> 4) * 4 :]
        else:
            assert struct.unpack_from(">H", segment, 4)[0] == len(segment)
            self.checksum = struct.unpack_from(">H", segment, 6)[0]
            self.payload = segment[8:]
