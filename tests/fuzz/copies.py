"""Copies of connections that went wrong in every way, and a sink that believes nothing.

`attack(seed)` makes a capture of a few conversations (and of the shared captures, where they are), damages it, has a
follower with any options read it, and checks after each packet and at the end what must be true of any input at all.
It answers what the sink was told, in a form that two runs, and two builds, can be compared by.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.unit.passive.copy import EPOCH, Copy, pattern
from uinet.passive.follower import Follower
from uinet.passive.holes import REASONS
from uinet.passive.options import Limits, Options
from uinet.passive.overlap import POLICIES
from uinet.passive.sink import Sink
from uinet.wire.pcap import read

SECOND = 1_000_000_000
LATEST = (1 << 62) - 1
Packet = tuple[int, bytes, int, int]  # link type, captured bytes, length on the wire, time


class Told:
    """What was told of one stream."""

    def __init__(self) -> None:
        self.length = 0
        self.fin = False
        self.holes: list[tuple[int, int, str]] = []
        self.calls = 0


class Strict(Sink):
    """Asserts that it is told what `Sink` promises, and notes everything in `digest`."""

    def __init__(self) -> None:
        self.digest = hashlib.blake2b(digest_size=16)
        self.open: dict[int, Any] = {}
        self.serials = 0
        self.calls = 0
        self.log: list[Any] | None = None

    def note(self, *what: object) -> None:
        self.calls += 1
        self.digest.update(repr(what).encode())
        if self.log is not None:
            self.log.append(what)

    def stream(self, conn: Any, half: Any) -> Told:
        assert conn.serial in self.open, "told of a connection that is not open"
        assert self.open[conn.serial] is conn
        told: tuple[Told, Told] = conn.user
        assert half is conn.client or half is conn.server
        return told[half is conn.server]

    def opened(self, conn: Any) -> None:
        assert conn.serial == self.serials, "serials count"
        assert conn.user is None
        assert conn.client.length == conn.server.length == 0
        self.serials += 1
        self.open[conn.serial] = conn
        conn.user = (Told(), Told())
        self.note("opened", conn.serial, conn.frame, conn.client_address, conn.server_address, conn.vids)

    def data(self, conn: Any, half: Any, offset: int, data: bytes, start: int, length: int, time: int) -> None:
        told = self.stream(conn, half)
        assert type(data) is bytes and start >= 0 and length > 0 and start + length <= len(data)
        assert offset == told.length == half.length, "each byte once, in order"
        assert not told.fin
        told.length += length
        self.note("data", conn.serial, half is conn.server, offset, data[start : start + length], time)

    def hole(self, conn: Any, half: Any, offset: int, length: int, reason: int, time: int) -> None:
        told = self.stream(conn, half)
        assert length > 0 and 1 <= reason < len(REASONS)
        assert offset == told.length == half.length
        assert not told.fin
        told.length += length
        holes = told.holes
        if holes and holes[-1][2] == REASONS[reason] and holes[-1][0] + holes[-1][1] == offset:
            holes[-1] = (holes[-1][0], holes[-1][1] + length, REASONS[reason])
        else:
            holes.append((offset, length, REASONS[reason]))
        self.note("hole", conn.serial, half is conn.server, offset, length, REASONS[reason], time)

    def conflict(self, conn: Any, half: Any, offset: int, length: int, time: int) -> None:
        self.stream(conn, half)
        assert length > 0
        self.note("conflict", conn.serial, half is conn.server, offset, length, time)

    def finished(self, conn: Any, half: Any, time: int) -> None:
        told = self.stream(conn, half)
        assert not told.fin, "ends once"
        told.fin = True
        self.note("finished", conn.serial, half is conn.server, time)

    def closed(self, conn: Any) -> None:
        assert self.open.pop(conn.serial) is conn, "closes once"
        assert conn.close in ("fin", "rst", "timeout", "end")
        for half, told in zip((conn.client, conn.server), conn.user, strict=True):
            assert half.length == told.length
            assert half.fin == told.fin
            assert half.hole_bytes == sum(hole[1] for hole in told.holes)
            listed = half.holes
            assert listed == told.holes[: len(listed)]
            if len(listed) == len(told.holes):
                assert half.hole_count == len(listed)
            assert half.gap is None
            assert half.slot == 0
        self.note("closed", conn.serial, conn.close, conn.notes, conn.midstream, conn.start, conn.end,
                  conn.client.counters, conn.server.counters, conn.vlans, conn.client_mac)


def sound(follower: Follower) -> None:
    """What is true of a follower between two packets: the books are right, and nothing is beyond its limit."""
    held = 0
    linked = 0
    holes = 0
    count = 0
    for head in follower.table.heads:
        conn: Any = head
        while conn is not None:
            count += 1
            assert conn.deadline > 0, "a connection without a timer"
            holes += len(conn.client.holes) + len(conn.server.holes)
            for half in (conn.client, conn.server):
                gap = half.gap
                if gap is None:
                    continue
                pieces = [piece for block in gap.blocks for piece in block]
                assert gap.half is half and gap.conn is conn
                assert gap.count == len(pieces)
                assert all(before.end <= after.off for before, after in pairwise(pieces))
                assert all(piece.off < piece.end for piece in pieces)
                linked += bool(pieces)
                assert bool(pieces) == (gap.newer is not None or gap.older is not None or follower.newest is gap)
                held += gap.size
            conn = conn.hash_next
    assert follower.held == held
    assert follower.listed == holes
    assert count == follower.count == follower.table.count
    assert count <= follower.options.limits.connections
    listed = 0
    gap = follower.oldest
    while gap is not None:
        listed += 1
        gap = gap.newer
    assert listed == linked
    if linked:
        assert held <= follower.options.limits.held


def done(follower: Follower, sink: Strict) -> None:
    """What is true behind the end: nothing is left."""
    assert not sink.open
    assert follower.held == 0 and follower.oldest is None and follower.newest is None
    assert follower.count == 0 and len(follower.table) == 0 and follower.wheel.count == 0
    assert all(ring.half is None for ring in follower.recall.rings)
    assert not follower.lanes[0].fragments.datagrams
    assert follower.serial == follower.closes == sink.serials
    assert not follower.doubted


# captures


def talk(chance: random.Random) -> list[Packet]:
    """Some conversations at once."""
    first = Copy(step=chance.choice((0.00001, 0.001, 0.02)), cisn=chance.getrandbits(32), sisn=chance.getrandbits(32))
    packets = first.collect()
    conversations = []
    for number in range(chance.randint(1, 5)):
        knobs: dict[str, Any] = {"cport": 40_000 + number % 3, "cisn": chance.getrandbits(32)}
        if chance.random() < 0.3:
            knobs["vlans"] = chance.choices((0, 1, 2, 3, (4, 0x88A8)), k=chance.randint(1, 4))
        if chance.random() < 0.3:
            knobs["client"], knobs["server"] = "fd00::1", "fd00::2"
        knobs["stamps"] = chance.random() < 0.3
        knobs["scale"] = chance.choice((None, 0, 7, 14))
        conversations.append(first.other(**knobs))
    for copy in conversations:
        if chance.random() < 0.8:
            copy.handshake()
    for _ in range(chance.randint(1, 60)):
        say(chance, chance.choice(conversations))
    for copy in conversations:
        if chance.random() < 0.7:
            copy.goodbye()
    return [(1, data, length, EPOCH + time) for time, data, length in packets]


def say(chance: random.Random, copy: Copy) -> None:
    """One packet of a conversation, of any kind."""
    size = chance.choice((1, 2, 5, 100, 1460, 3000))
    knobs: dict[str, Any] = {"missed": chance.random() < 0.1}
    kind = chance.randrange(20)
    side = chance.choice((copy.client, copy.server))
    sender = copy.c if side == copy.client else copy.s
    near = max(0, sender.position + chance.choice((-3000, -100, -1, 0, 1, 10, 2000, 70_000, 1 << 29)))
    if kind == 0:
        knobs.update(at=near, forged=True)
    elif kind == 1:
        knobs.update(snap=chance.randint(0, size))
    elif kind == 2:
        knobs.update(fragment=chance.choice((8, 24, 1000)))
    elif kind == 3:
        knobs.update(urgent=chance.randint(0, size + 2), flags="PU.")
    elif kind == 4:
        knobs.update(checksum=chance.choice(("bad", "zero", "unfinished")))
    elif kind == 5:
        return copy.packet(sender, chance.choice(("R", "R.", "S", "S.", "F", "FR.", "SF", "", "FSR.")), forged=True,
                           at=chance.choice((None, near)))
    elif kind == 6:
        return chance.choice((copy.ack, copy.server_ack))(ack=near, forged=True)
    elif kind == 7:
        copy.pause(chance.choice((0.06, 3, 7, 70, 700)))
    elif kind == 8:
        return chance.choice((copy.fin, copy.server_fin))(pattern(size, 9), forged=chance.random() < 0.5, at=near)
    elif kind == 9:
        copy.handshake()
        return None
    return side(pattern(size, chance.randrange(3)), **knobs)


def shared() -> list[Path]:
    """The captures beside the checkout, if they are there."""
    from tests.unit.passive.shared import SHARED

    return sorted((SHARED / "pcaps").glob("*.pcap*"))


def recorded(path: Path) -> list[Packet]:
    """The packets of a file."""
    return [
        (record.link_type, bytes(record.data), record.original_length, record.time)
        for record in read(path.read_bytes())
    ]


# damage


def damage(chance: random.Random, packets: list[Packet]) -> list[Packet]:
    """The capture after some accidents."""
    for _ in range(chance.randint(0, 4)):
        packets = chance.choice(ACCIDENTS)(chance, packets)
    return packets


def some(chance: random.Random, packets: list[Packet]) -> Iterator[tuple[bool, Packet]]:
    share = chance.choice((0.01, 0.1, 0.5))
    for packet in packets:
        yield chance.random() < share, packet


def flipped(chance: random.Random, packets: list[Packet]) -> list[Packet]:
    out = []
    deep = chance.choice((14, 60, 2000))
    for hit, (link, data, length, time) in some(chance, packets):
        if hit and data:
            array = bytearray(data)
            for _ in range(chance.randint(1, 4)):
                array[chance.randrange(min(len(array), deep))] ^= 1 << chance.randrange(8)
            data = bytes(array)
        out.append((link, data, length, time))
    return out


def numbered(chance: random.Random, packets: list[Packet]) -> list[Packet]:
    """Fields of TCP's header changed, of IPv4 behind Ethernet."""
    out = []
    for hit, (link, data, length, time) in some(chance, packets):
        if hit and link == 1 and len(data) >= 54 and data[12:14] == b"\x08\x00":
            at = 14 + (data[14] & 15) * 4
            field = chance.choice(((4, 4), (8, 4), (12, 1), (13, 1), (14, 2), (18, 2)))
            if at + 20 <= len(data):
                old = int.from_bytes(data[at + field[0] : at + sum(field)], "big")
                new = old + chance.choice((-1, 1, 2, 1000, -1000, 1 << 20, 1 << 30, 1 << 31, chance.getrandbits(32)))
                new &= (1 << (8 * field[1])) - 1
                data = data[: at + field[0]] + new.to_bytes(field[1], "big") + data[at + sum(field) :]
        out.append((link, data, length, time))
    return out


def cut(chance: random.Random, packets: list[Packet]) -> list[Packet]:
    snap = chance.choice((0, 14, 40, 54, 60, 68, 96, 200))
    return [
        (link, data[:snap] if hit else data, length, time) for hit, (link, data, length, time) in some(chance, packets)
    ]


def long(chance: random.Random, packets: list[Packet]) -> list[Packet]:
    """Lengths on the wire that can't be, with and without IP's to say otherwise."""
    out = []
    for hit, (link, data, length, time) in some(chance, packets):
        if hit:
            length = chance.choice((0, 1, len(data) + 1, 65_535, 1 << 31, (1 << 32) - 1))
            if len(data) > 20 and chance.random() < 0.5:
                data = data[:16] + b"\0\0" + data[18:]
        out.append((link, data, length, time))
    return out


def shuffled(chance: random.Random, packets: list[Packet]) -> list[Packet]:
    reach = chance.choice((2, 10, 1000))
    places = sorted(range(len(packets)), key=lambda place: place + chance.random() * reach)
    return [packets[place] for place in places]


def doubled(chance: random.Random, packets: list[Packet]) -> list[Packet]:
    return [packet for hit, packet in some(chance, packets) for _ in range(1 + hit)]


def dropped(chance: random.Random, packets: list[Packet]) -> list[Packet]:
    return [packet for hit, packet in some(chance, packets) if not hit]


def spliced(chance: random.Random, packets: list[Packet]) -> list[Packet]:
    """The beginning of one packet and the end of another."""
    out = []
    for hit, (link, data, length, time) in some(chance, packets):
        if hit:
            at = chance.choice((14, 34, 54, chance.randrange(100)))
            data = data[:at] + chance.choice(packets)[1][at:]
            length = max(length, len(data))
        out.append((link, data, length, time))
    return out


def mistimed(chance: random.Random, packets: list[Packet]) -> list[Packet]:
    out = []
    wild = chance.random() < 0.3
    shift = 0
    for hit, (link, data, length, time) in some(chance, packets):
        if hit:
            by = chance.choice((1, 10**6, SECOND, 10 * SECOND, 700 * SECOND, 10**5 * SECOND, 10**9 * SECOND, 1 << 61))
            shift = by * chance.choice((-1, 1))
            time += shift
        elif wild:
            time += shift
        out.append((link, data, length, min(max(time, 0), LATEST)))
    return out


def linked(chance: random.Random, packets: list[Packet]) -> list[Packet]:
    kinds = (0, 1, 12, 101, 108, 113, 228, 229, 276, 9999)
    return [
        (chance.choice(kinds) if hit else link, data[14:] if hit and chance.random() < 0.7 else data, length, time)
        for hit, (link, data, length, time) in some(chance, packets)
    ]


ACCIDENTS = (flipped, numbered, numbered, cut, long, shuffled, doubled, dropped, spliced, mistimed, linked)


def choices(chance: random.Random) -> Options:
    """Any options."""
    small = chance.random() < 0.5
    return Options(
        deadline=chance.choice((0, 1000, SECOND, 5 * SECOND, 10**9 * SECOND)),
        skew=chance.choice((0, 50 * 10**6, 10 * SECOND)),
        idle=chance.choice((1, SECOND, 600 * SECOND, 10**9 * SECOND)),
        midstream=chance.random() < 0.5, overlap=chance.choice(list(POLICIES)),
        checksums=chance.choice(("auto", "verify", "ignore")), urgent=chance.choice(("inline", "hole")),
        ignore_vlans=chance.random() < 0.2,
        limits=Limits(
            connections=chance.choice((1, 2, 5, 1000)), held=chance.choice((1, 1000, 20_000, 1 << 20)),
            held_connection=chance.choice((1, 500, 5000, 1 << 20)), holes=chance.choice((1, 3, 1000)),
            fragments=chance.choice((0, 2000, 1 << 20)), recall=chance.choice((0, 16_384, 1 << 17)),
        ) if small else Limits(),
    )


def capture(chance: random.Random, files: list[Path]) -> list[Packet]:
    """A damaged capture."""
    if files and chance.random() < 0.6:
        packets: list[Packet] = []
        for path in chance.sample(files, chance.choice((1, 1, 2))):
            found = recorded(path)
            begin = chance.randrange(len(found))
            packets += found[begin : begin + 400] if chance.random() < 0.5 else found[:400]
        if chance.random() < 0.5:
            packets += talk(chance)
    else:
        packets = talk(chance)
    if chance.random() < 0.5:
        first = packets[0][3]
        packets = [(link, data, length, first + min(time - first, SECOND)) for link, data, length, time in packets]
    return damage(chance, packets)


def attack(seed: int, files: list[Path] | None = None, *, log: bool = False, every: int = 1) -> tuple[str, int, Any]:
    """One damaged capture through one follower: (digest of what was told, calls, the calls themselves if `log`)."""
    chance = random.Random(seed)
    packets = capture(chance, shared() if files is None else files)
    options = choices(chance)
    sink = Strict()
    if log:
        sink.log = []
    follower = Follower(sink, options, seed=b"%d" % seed)
    live = chance.random() < 0.2
    for number, (link, data, length, time) in enumerate(packets):
        pad = number % 5
        follower.packet(link, b"\xa5" * pad + data + b"\x5a", pad, len(data), length, time)
        if live and chance.random() < 0.1:
            follower.advance(time + chance.choice((0, SECOND, 10 * SECOND, 1000 * SECOND)))
        if number % every == 0:
            sound(follower)
    follower.finish()
    done(follower, sink)
    assert follower.frames == len(packets)
    return sink.digest.hexdigest(), sink.calls, sink.log
