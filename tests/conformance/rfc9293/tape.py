"""A peer that keeps every segment that the stack sends, and what tests of RFC 9293 share."""

from __future__ import annotations

import struct
from typing import Any

from tests.unit.tcp.peer import FULL, Peer, Seg, read
from uinet.socket import Socket
from uinet.tcp.info import TcpInfo
from uinet.units import MASK32
from uinet.wire.tcp_options import Nop, Sack


class Tape(Peer):
    """As a `Peer`; `tape` has all segments since the beginning."""

    def __init__(self, **settings: Any) -> None:
        self.tape: list[Seg] = []
        super().__init__(**settings)

    def collect(self) -> None:
        before = len(self.out)
        super().collect()
        self.tape += self.out[before:]


def known(sock: Socket) -> TcpInfo:
    """What is known of a connection, but for how long it has been idle."""
    return sock.info()._replace(idle=0.0)


def checksum_is_right(packet: bytes) -> bool:
    """Whether the sum over pseudo header and segment of an IP packet without extension headers is -0 (RFC 9293 3.1)."""
    if packet[0] >> 4 == 4:
        segment = packet[20 : int.from_bytes(packet[2:4], "big")]
        pseudo = packet[12:20] + struct.pack(">BBH", 0, 6, len(segment))
    else:
        segment = packet[40 : 40 + int.from_bytes(packet[4:6], "big")]
        pseudo = packet[8:40] + struct.pack(">II", len(segment), 6)
    data = pseudo + segment + b"\0" * (len(segment) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def area(seg: Seg) -> bytes:
    """The options of a segment as they stand on the wire."""
    packet = seg.frame.packet
    l4 = 20 if packet[0] >> 4 == 4 else 40
    return bytes(packet[l4 + 20 : l4 + 4 * (packet[l4 + 12] >> 4)])


def life(*, v6: bool = False, active: bool = False, options: Any = FULL) -> list[Seg]:
    """All segments of connections that meet about everything: loss, holes, a closed window, keepalive, both ends."""
    peer = Tape(v6=v6, receive_buffer=8192)
    sock: Socket = peer.active(options) if active else peer.passive(options)
    sock.setsockopt(1, 9, True)
    for index in (4, 2, 0, 1, 3):
        peer.send(".", peer.seq + 100 * index, data=bytes(100))
    peer.seq = (peer.seq + 500) & MASK32
    read(sock)
    sock.send(bytes(range(256)) * 60)
    peer.flush()
    edges = ((peer.ack + 3000) & MASK32, (peer.ack + 9000) & MASK32)
    sacked = (Nop(), Nop(), Sack((edges,)), Nop(), Nop(), peer.timestamps()) if peer.ts else ()
    for _ in range(3):
        peer.send(".", options=sacked)
    peer.advance(3)
    for _ in range(20):
        peer.take()
        peer.advance(0.3)
    peer.window = 0
    peer.send(".")
    sock.send(b"behind a closed window")
    peer.advance(3)
    peer.window = 65535
    peer.send(".")
    peer.take()
    peer.data(bytes(sock.info().rcv_wnd))
    peer.send(".", data=b"into a closed window")
    read(sock)
    peer.flush()
    peer.advance(7300)
    peer.send(".")
    peer.data(b"", "F.")
    sock.close()
    peer.flush()
    peer.take()
    assert sock.state == "CLOSED"
    peer.send(".", peer.seq + 5, ack=peer.ack + 5)  # of no connection: RST
    assert any("R" in seg.flags for seg in peer.tape)
    assert len(peer.tape) > 25
    return peer.tape
