"""What the decoder's tests share: one packet decoded in the middle of poison, and nonsense to decode."""

from __future__ import annotations

import hashlib
import random
import struct
import sys
from typing import Any

from uinet.passive.codes import HELD, OTHER, SEGMENT
from uinet.passive.decoder import Decoder
from uinet.passive.options import Limits, Options
from uinet.passive.tally import NAMES
from uinet.stats import Stats
from uinet.wire import build
from uinet.wire import ipv6_extensions as ext
from uinet.wire.tcp_options import Mss, Sack, SackPermitted, Timestamps, WindowScale

A4, B4 = "10.0.0.1", "10.0.0.2"
A6, B6 = "2001:db8::1", "2001:db8::2"
SECOND = 1_000_000_000
PAD = 37
LINK_TYPES = (0, 1, 12, 14, 101, 108, 113, 228, 229, 276, 9, 4711)


class Decoding:
    """A decoder that is given packets one at a time, each surrounded by bytes that are not of it."""

    def __init__(self, fragments: int = 4 << 20, **options: Any) -> None:
        self.stats = Stats(NAMES)
        self.decoder = Decoder(Options(limits=Limits(fragments=fragments), **options), self.stats)
        self.block = b""
        self.time = 1_700_000_000 * SECOND

    def __call__(
        self, packet: bytes, link_type: int = 1, *, captured: int | None = None, length: int | None = None,
        poison: bytes = b"\x45",
    ) -> int:
        captured = len(packet) if captured is None else captured
        self.block = poison * PAD + packet[:captured] + poison * PAD
        code = self.decoder.decode(
            link_type, self.block, PAD, captured, len(packet) if length is None else length, self.time,
        )
        if code == SEGMENT:
            self.decoder.verify()
            self.decoder.name_stack()
        return code

    @property
    def payload(self) -> bytes:
        """What is there of the segment's payload."""
        start = self.decoder.seg.offset
        return self.decoder.packet.data[start : start + self.decoder.captured]

    @property
    def counts(self) -> dict[str, int]:
        return self.stats.as_dict()

    def outcome(self, code: int) -> tuple[object, ...]:
        """All that the packet decoded last says, with offsets counted from where it begins."""
        if code != SEGMENT:
            return (code,)
        decoder, packet, seg = self.decoder, self.decoder.packet, self.decoder.seg
        base = PAD if packet.data is self.block else 0
        return (
            code, packet.l3 - base, packet.l4 - base, packet.end - base, packet.version, packet.proto, packet.ttl,
            packet.tos, packet.fragment, packet.src, packet.dst, packet.vids, packet.tags, packet.now,
            seg.source_port, seg.destination_port, seg.seq, seg.ack, seg.flags, seg.window, seg.urgent,
            seg.offset - base, seg.length, seg.has_timestamps and (seg.tsval, seg.tsecr),
            tuple(seg.sacks[: 2 * seg.sack_count]), seg.options_end - base,
            decoder.captured, decoder.sum, decoder.signed, decoder.conflict,
            packet.data[decoder.link_start : decoder.link_start + decoder.link_length], self.payload,
        )


def samples() -> list[tuple[int, bytes]]:
    """(link type, packet) of every kind that the decoder looks into."""
    options = (Mss(1460), SackPermitted(), Timestamps(1, 2), WindowScale(7))
    extensions = (
        ext.OptionsHeader(0, 0, (ext.Option(5, b"\0\0"),)), ext.RoutingHeader(0, 4, 1, bytes(4) + b"\x20" * 16),
        ext.OptionsHeader(60, 0, (ext.Option(0x3E, b"abc"),)),
    )
    plain4 = build.tcp(A4, B4, 1, 2, "S", options=options, layer=3)
    plain6 = build.tcp(A6, B6, 3, 4, "A", options=(Timestamps(1, 2), Sack(((1, 2), (3, 4)))), payload=b"data", layer=3)
    extended = build.ip(A6, B6, 6, plain6[40:], extensions=extensions)
    tagged = build.tcp(A4, B4, 1, 2, "PA", payload=b"data" * 9, vlans=(5, 0, 6))
    mac = bytes(range(2, 14))
    found = [
        (1, build.tcp(A4, B4, 1, 2, "A", options=(Timestamps(1, 2),), payload=b"data")), (1, tagged),
        (1, build.tcp(A4, B4, 1, 2, "A", vlans=tuple(range(1, 17)))),
        (1, mac + b"\x88\x64\x11\0\0\1" + struct.pack(">H", 2 + len(plain4)) + b"\0\x21" + plain4),
        (1, mac + b"\x88\x64\x11\0\0\1" + struct.pack(">H", 1 + len(plain6)) + b"\x57" + plain6),
        (1, mac + b"\x88\x47" + b"\0\1\0\x40\0\2\1\x40" + plain6),
        (1, mac + b"\x88\x48" + b"\0\2\1\x40" + bytes(4) + tagged),
        (1, mac + struct.pack(">H", 8 + len(plain4)) + b"\xaa\xaa\3\0\0\0\x08\0" + plain4),
        (1, mac + b"\x86\xdd" + extended), (1, build.udp(A4, B4, 1, 2, b"data")), (1, build.arp_request(A4, B4)),
        (101, plain4), (12, plain6), (228, plain4), (229, extended), (14, plain4),
        (0, b"\2\0\0\0" + plain4), (0, b"\0\0\0\x1e" + plain6), (108, b"\0\0\0\2" + plain4),
        (113, bytes(14) + b"\x81\0\0\7\x08\0" + plain4), (276, b"\x86\xdd" + bytes(18) + plain6),
        (101, build.ip(A4, B4, 6, plain4[20:], options=b"\x83\x07\x04\x0a\0\0\1\0")),
        (101, build.ip(A4, B4, 51, b"\6\4" + bytes(22) + plain4[20:])),
    ]
    whole4 = build.tcp(A4, B4, 5, 6, "A", payload=bytes(range(100)), layer=3)
    whole6 = build.tcp(A6, B6, 5, 6, "A", payload=bytes(range(100)), layer=3)
    found += [(101, piece) for piece in build.fragments(whole4, 48)]
    found += [(1, mac + b"\x86\xdd" + piece) for piece in build.fragments(whole6, 96)]
    return found


def mutate(generator: random.Random, packet: bytes) -> bytes:
    """`packet` with a few bytes changed, mostly among its headers, and perhaps cut or longer."""
    data = bytearray(packet)
    for _ in range(generator.randrange(4)):
        if data:
            data[generator.randrange(min(len(data), generator.choice((20, 60, 2000))))] = generator.randrange(256)
    if generator.random() < 0.3:
        del data[generator.randrange(len(data) + 1) :]
    if generator.random() < 0.2:
        data += generator.randbytes(generator.randrange(30))
    return bytes(data)


def digest(seed: int, rounds: int) -> str:
    """The outcome of `rounds` packets of nonsense as one number: equal in both builds."""
    generator = random.Random(seed)
    known = samples()
    summary = hashlib.sha256()
    for checksums in ("auto", "verify", "ignore"):
        decoding = Decoding(checksums=checksums, overlap=generator.choice(("first", "last", "linux", "solaris")))
        for _ in range(rounds):
            link_type, packet = generator.choice(known)
            if generator.random() < 0.1:
                link_type = generator.choice(LINK_TYPES)
            packet = mutate(generator, packet)
            decoding.time += generator.choice((0, 1, SECOND))
            length = len(packet) + generator.choice((0, 0, 0, 20))
            code = decoding(packet, link_type, length=length, poison=generator.randbytes(1))
            assert code in (SEGMENT, HELD, OTHER, 3)
            summary.update(repr(decoding.outcome(code)).encode())
        summary.update(repr(decoding.counts).encode())
    return summary.hexdigest()


if __name__ == "__main__":
    import uinet

    print(uinet.compiled(), digest(int(sys.argv[1]), int(sys.argv[2])))
