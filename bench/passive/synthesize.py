"""Capture C: connections that are all open at once, written packet by packet; no kernel here would hold a million.

First every handshake, then every request and response, then every close: nine packets a connection, 200 bytes each way,
with timestamps and valid checksums, from many client addresses. Everything about a connection follows from its serial
number (`Connection`), so its streams are known without reading the capture.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import gcd
from pathlib import Path

GROUP = 64  # connections whose packets mix
STEP = 5  # us from packet to packet
START = 1_700_000_000
SIZE = 200
SYN, ACK, SYN_ACK, PSH_ACK, FIN_ACK = 0x02, 0x10, 0x12, 0x18, 0x11
MACS = bytes.fromhex("020000000001020000000002"), bytes.fromhex("020000000002020000000001")
HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
# payloads: the connection's serial number in 16 hexadecimal digits stands between these
REQUEST = b"GET /" + b"-" * 11, b" HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: ".ljust(SIZE - 36, b"u") + b"\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 152\r\n\r\n".ljust(48, b"."), b"r" * (SIZE - 64)
NOTHING = b"", b""


class Connection:
    """One connection of the capture, by its serial number."""

    __slots__ = ("client", "digits", "isn", "port", "serial", "server", "tags", "vids")

    def __init__(self, serial: int) -> None:
        self.serial = serial
        self.digits = b"%016x" % serial
        self.client, self.port = 0x0A400000 | (serial & 0xFFFF), 32768 + 61 * (serial >> 16)
        self.server = 0xC0A80001 + serial % 4
        self.vids = 100 + serial % 16, 1 + (serial >> 4) % 4000  # in the QinQ capture
        self.tags = struct.pack(">HHHH", 0x88A8, self.vids[0], 0x8100, self.vids[1])
        # initial sequence numbers of client and server: all over the space, so that some streams wrap
        self.isn = (serial * 0x9E3779B1 + 0x1234567) & 0xFFFFFFFF, (serial * 0x85EBCA6B + 0x7654321) & 0xFFFFFFFF

    @property
    def request(self) -> bytes:
        return REQUEST[0] + self.digits + REQUEST[1]

    @property
    def response(self) -> bytes:
        return RESPONSE[0] + self.digits + RESPONSE[1]


def total(data: bytes) -> int:
    """The sum of 16-bit words: modulo 65535 a wider big-endian number counts as the sum of its words."""
    return int.from_bytes(data, "big") % 65535


class Kind:
    """All packets of one sort: what is the same in each, and what that adds to the checksums."""

    def __init__(
        self, flags: int, from_client: bool, seq: int, ack: int, payload: tuple[bytes, bytes] = NOTHING
    ) -> None:
        self.from_client, self.seq, self.ack = from_client, seq, ack
        syn, data = bool(flags & SYN), bool(payload[0])
        header = 40 if syn else 32
        size = SIZE if data else 0
        self.length = 14 + 20 + header + size
        self.macs = MACS[0] if from_client else MACS[1]
        self.ip = struct.pack(">HBBHHHBB", 0x0800, 0x45, 0, 20 + header + size, 0, 0x4000, 64, 6)
        self.window = struct.pack(">BBH", header << 2, flags, 64240 if syn else 502)
        self.option = b"\0\0" + (b"\x02\x04\x05\xb4\x04\x02\x08\x0a" if syn else b"\x01\x01\x08\x0a")
        self.before = (b"\x01\x03\x03\x07" if syn else b"") + payload[0]
        self.after = payload[1]
        self.data = data
        self.ip_sum = total(self.ip[2:])
        self.tcp_sum = 6 + header + size + total(self.window + self.option + self.before + self.after)

    def packets(self, group: list[Connection], time: int, vlan: bool) -> Iterator[bytes]:
        """This packet of each connection in the group, `time` us after the start of the capture."""
        length = self.length + 8 * vlan
        stamp = struct.pack("<IIII", START + time // 1_000_000, time % 1_000_000, length, length)
        now = time // 1000 & 0xFFFFFFFF
        for c in group:
            if self.from_client:
                source, target, ports, seq, ack = c.client, c.server, c.port << 16 | 80, *c.isn
            else:
                source, target, ports, ack, seq = c.client, c.server, 80 << 16 | c.port, *c.isn
                source, target = target, source
            seq = (seq + self.seq) & 0xFFFFFFFF
            ack = (ack + self.ack) & 0xFFFFFFFF if self.ack else 0
            echo = now if self.ack else 0
            digits = c.digits if self.data else b""
            addresses = source + target
            ip_sum = 65534 - (self.ip_sum + addresses - 1) % 65535
            tcp_sum = self.tcp_sum + addresses + ports + seq + ack + now + echo + int.from_bytes(digits, "big")
            yield b"".join((
                stamp, self.macs, c.tags if vlan else b"", self.ip,
                FIELDS(ip_sum, source, target, ports, seq, ack, self.window, 65534 - (tcp_sum - 1) % 65535),
                self.option, TIMES(now, echo), self.before, digits, self.after,
            ))


FIELDS = struct.Struct(">HIIIII4sH").pack
TIMES = struct.Struct(">II").pack
# each phase is over for all connections before the next begins: a stride, and the packets of one connection
PHASES = (
    (1, (Kind(SYN, True, 0, 0), Kind(SYN_ACK, False, 0, 1), Kind(ACK, True, 1, 1))),
    (7919, (Kind(PSH_ACK, True, 1, 1, REQUEST), Kind(PSH_ACK, False, 1, 201, RESPONSE), Kind(ACK, True, 201, 201))),
    (104729, (Kind(FIN_ACK, True, 201, 201), Kind(FIN_ACK, False, 201, 202), Kind(ACK, True, 202, 202))),
)


def groups(count: int, stride: int) -> Iterator[list[Connection]]:
    """All connections, group by group, by a stride: not in the order of their opening, unless it is 1."""
    number = -(-count // GROUP)
    while gcd(stride, number) > 1:
        stride += 1
    for i in range(number):
        first = i * stride % number * GROUP
        yield [Connection(serial) for serial in range(first, min(first + GROUP, count))]


def write(path: Path, count: int, vlan: bool = False) -> int:
    """Writes the capture of `count` connections, in two VLANs each if `vlan`. Returns the number of packets."""
    time = written = 0
    with path.open("wb", buffering=1 << 20) as file:
        file.write(HEADER)
        for stride, kinds in PHASES:
            for group in groups(count, stride):
                for kind in kinds:
                    file.write(b"".join(kind.packets(group, time, vlan)))
                    time += STEP * len(group)
                    written += len(group)
    return written
