"""Captures of many connections that do all that connections do, and are cut into files anywhere."""

from __future__ import annotations

import random
import struct
from pathlib import Path

from uinet.wire import build
from uinet.wire.pcap import PcapWriter

SECOND = 1_000_000_000
START = 1_500_000_000 * SECOND
CLIENTS = [f"10.0.0.{n}" for n in range(1, 5)] + ["fd00::1", "fd00::2"]
Packet = tuple[int, bytes]


class Chatter:
    """One connection's packets, made at random."""

    def __init__(self, rng: random.Random, start: int) -> None:
        self.rng = rng
        client = rng.choice(CLIENTS)
        self.ends = ((client, rng.choice([1024, 1025, 1026, 40_000])), ("fd00::9" if ":" in client else "10.0.0.9", 80))
        self.vlans = rng.choice([(), (), (), (7,), (7, 8)])
        self.time = start
        # near to each other or far apart, but not so that a stream would have a hole of gigabytes
        self.isn = [rng.choice([2**31, 2**32 - 50_000]) + rng.randrange(100_000) for _ in range(2)]
        self.nxt = [0, 0]
        self.packets: list[Packet] = []
        self.pace = rng.choice([200_000, 3_000_000, 80_000_000, 2 * SECOND, 9 * SECOND])
        self.loss = rng.choice([0, 0, 0.05, 0.2])
        self.fragments = rng.random() < 0.1
        self.spoils = rng.random() < 0.08

    def send(self, who: int, flags: str, payload: bytes = b"", seq: int | None = None) -> None:
        """A segment, which the copy may miss, have late, twice, in fragments or damaged."""
        rng = self.rng
        (src, sport), (dst, dport) = self.ends[who], self.ends[1 - who]
        at = self.nxt[who] if seq is None else seq
        ack = self.isn[1 - who] + self.nxt[1 - who] if "A" in flags else 0
        frame = build.tcp(
            src, dst, sport, dport, flags, (self.isn[who] + at) % 2**32, ack % 2**32, payload=payload, vlans=self.vlans
        )
        if seq is None:
            self.nxt[who] += len(payload) + ("S" in flags) + ("F" in flags)
        self.time += rng.randrange(1, self.pace)
        if rng.random() < self.loss:
            return
        if self.spoils and rng.random() < 0.3:
            frame = frame[:-1] + bytes((frame[-1] ^ 0x55,))
        time = self.time + (rng.randrange(60_000_000) if rng.random() < 0.1 else 0)
        pieces = fragments(frame, len(self.vlans), rng) if self.fragments and ":" not in src else [frame]
        for _ in range(1 + (rng.random() < 0.05)):
            for piece in pieces:
                self.packets.append((time, piece))
                time += rng.randrange(1, 500_000)

    def talk(self) -> None:
        """Data both ways, some of it again."""
        rng = self.rng
        for _ in range(rng.randrange(12)):
            who = rng.randrange(2)
            before = self.nxt[who]
            self.send(who, "A", rng.randbytes(rng.choice([1, 10, 300, 1400])))
            if rng.random() < 0.1:
                self.send(who, "A", rng.randbytes(20), before)
            if rng.random() < 0.7:
                self.send(1 - who, "A")

    def all(self) -> list[Packet]:
        """The whole of it, with or without its beginning and end."""
        rng = self.rng
        if rng.random() < 0.85:
            self.send(0, "S")
            if rng.random() < 0.9:
                self.send(1, "SA")
                self.send(0, "A")
        self.talk()
        if rng.random() < 0.2:
            self.time += rng.choice([7, 70, 650, 1300]) * SECOND
            self.talk()
        end = rng.random()
        if end < 0.6:
            self.send(0, "FA")
            self.send(1, "FA")
            self.send(0, "A")
        elif end < 0.75:
            self.send(rng.randrange(2), "RA")
            if rng.random() < 0.5:
                self.talk()
        return self.packets


def fragments(frame: bytes, tags: int, rng: random.Random) -> list[bytes]:
    """An IPv4 packet in pieces, sometimes out of order."""
    at = 14 + 4 * tags
    link, header, rest = frame[:at], bytearray(frame[at : at + 20]), frame[at + 20 :]
    size = rng.choice([8, 24, 512])
    if len(rest) <= size:
        return [frame]
    header[4:6] = rng.randbytes(2)
    out = []
    for offset in range(0, len(rest), size) if len(rest) < 20 * size else [0]:
        piece = rest[offset : offset + size] if len(rest) < 20 * size else rest
        struct.pack_into("!H", header, 2, 20 + len(piece))
        struct.pack_into("!H", header, 6, offset // 8 | (0x2000 if offset + len(piece) < len(rest) else 0))
        struct.pack_into("!H", header, 10, 0)
        total = sum(struct.unpack("!10H", header))
        total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into("!H", header, 10, (total & 0xFFFF) + (total >> 16) ^ 0xFFFF)
        out.append(link + bytes(header) + piece)
    if rng.random() < 0.2:
        rng.shuffle(out)
    return out


def packets(seed: int, connections: int, *, span: int = 400) -> list[Packet]:
    """The packets of that many connections, of which several use the same addresses and ports."""
    rng = random.Random(seed)
    found: list[Packet] = []
    for _ in range(connections):
        found += Chatter(rng, START + rng.randrange(span * SECOND)).all()
    found.sort(key=lambda packet: packet[0])
    return found


def files(directory: Path, capture: list[Packet], cuts: list[int]) -> list[str]:
    """Writes a capture into files, cut before the packets of these numbers."""
    paths = []
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(capture)], strict=True)):
        writer = PcapWriter(nanoseconds=True)
        data = writer.header() + b"".join(writer.packet(frame, time) for time, frame in capture[first:last])
        path = directory / f"{number:03}.pcap"
        path.write_bytes(data)
        paths.append(str(path))
    return paths
