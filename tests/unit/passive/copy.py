"""A copy of TCP connections made packet by packet, for the tests of passive receive.

``c = Copy(); c.handshake(); c.client(b"abc"); c.goodbye(); c.finish(); assert c.one.client.data == b"abc"``.

Positions (`at`) are stream offsets: 0 is the byte behind the SYN. A side's packets acknowledge by default what it has
really received, whether or not the copy saw it: ``missed=True`` is a packet that the copy lacks, ``lost=True`` one that
nobody got, ``forged=True`` one that the copy has and the endpoints take no notice of. Times are seconds from the
capture's beginning. Sequence numbers begin just under 2**32, so that every connection crosses the wrap.

Frames are made here with struct, not with the library: what it gets wrong both ways would not be seen. Each packet
stands in the middle of a larger buffer, as in a chunk of a file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from heapq import heappop, heappush
from ipaddress import ip_address
from typing import Any

from uinet.passive.follower import Follower
from uinet.passive.options import Limits, Options
from uinet.passive.sink import Sink

ETHERNET = 1
EPOCH = 1_700_000_000 * 10**9
REASONS = ("", "lost", "snaplen", "budget", "deadline", "overrun", "end", "urgent")
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
LETTERS = {"F": FIN, "S": SYN, "R": RST, "P": PSH, ".": ACK, "A": ACK, "U": URG, "E": ECE, "W": CWR}
MACS = (bytes.fromhex("020000000001"), bytes.fromhex("020000000002"))
JUNK = b"\xa5" * 8  # stands before and behind each packet


def seconds(value: float) -> int:
    """Nanoseconds."""
    return round(value * 1e9)


def pattern(size: int, seed: int = 0) -> bytes:
    """`size` bytes of which no 8 in a row come twice, nor among other seeds."""
    mask = (1 << 64) - 1
    words = ((seed << 40 | word) * 0x9E3779B97F4A7C15 & mask for word in range(1, 1 - (-size // 8)))
    return b"".join(word.to_bytes(8, "big") for word in words)[:size]


# frames


def ones(data: bytes) -> int:
    """The ones' complement sum of 16-bit words; an odd last byte counts as if a zero followed."""
    value = int.from_bytes(data + b"\0" if len(data) & 1 else data, "big")
    return (value % 0xFFFF or 0xFFFF) if value else 0


def pack(address: str) -> bytes:
    return ip_address(address).packed


def tcp_segment(
    source: bytes, destination: bytes, sport: int, dport: int, seq: int, ack: int, flags: int, payload: bytes = b"", *,
    window: int = 65535, options: bytes = b"", urgent: int = 0, checksum: str = "good", data_offset: int | None = None,
) -> bytes:
    """`checksum`: good, bad, zero, or unfinished (as offload leaves it: the sum of the pseudo header alone)."""
    options += bytes(-len(options) % 4)
    words = 5 + len(options) // 4 if data_offset is None else data_offset
    head = struct.pack(
        "!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, words << 4, flags, window, 0, urgent,
    ) + options
    pseudo = source + destination + struct.pack("!II", len(head) + len(payload), 6)
    total = {
        "good": ~ones(pseudo + head + payload), "bad": ~ones(pseudo + head + payload) ^ 0x5A5A, "zero": 0,
        "unfinished": ones(pseudo),
    }[checksum] & 0xFFFF
    return head[:16] + total.to_bytes(2, "big") + head[18:] + payload


def ip_packet(
    source: bytes, destination: bytes, payload: bytes, *, ttl: int = 64, tos: int = 0, identification: int = 0,
    fragment: int = 0x4000, total_length: int | None = None, checksum: str = "good", extensions: bytes = b"",
    following: int = 6, protocol: int = 6,
) -> bytes:
    """IPv4 with `fragment` (flags and offset as on the wire), or IPv6 with `extensions`: `following` is the first."""
    if len(source) == 4:
        length = 20 + len(payload) if total_length is None else total_length
        head = struct.pack("!BBHHHBBH", 0x45, tos, length, identification, fragment, ttl, protocol, 0)
        head += source + destination
        total = ~ones(head) & 0xFFFF
        if checksum == "bad":
            total ^= 0x0F0F
        return head[:10] + total.to_bytes(2, "big") + head[12:] + payload
    length = len(extensions) + len(payload) if total_length is None else total_length
    head = struct.pack("!IHBB", 6 << 28 | tos << 20, length, following if extensions else protocol, ttl)
    return head + source + destination + extensions + payload


def fragments(packet: bytes, size: int, identification: int) -> list[bytes]:
    """An IP packet in fragments of `size` bytes of payload, in order."""
    if packet[0] >> 4 == 4:
        body = packet[20:]
        return [
            ip_packet(
                packet[12:16], packet[16:20], body[at : at + size], ttl=packet[8], identification=identification,
                fragment=(0x2000 if at + size < len(body) else 0) | at >> 3, protocol=packet[9],
            )
            for at in range(0, len(body), size)
        ]
    body = packet[40:]
    return [
        ip_packet(
            packet[8:24], packet[24:40], body[at : at + size], following=44,
            extensions=struct.pack("!BBHI", packet[6], 0, at | (at + size < len(body)), identification),
        )
        for at in range(0, len(body), size)
    ]


def tags(vlans: Iterable[int | tuple[int, int]]) -> bytes:
    """VLAN tags, outermost first: VIDs, or (VID, TPID)."""
    pairs = [tag if isinstance(tag, tuple) else (tag, 0x8100) for tag in vlans]
    return b"".join(struct.pack("!HH", tpid, vid) for vid, tpid in pairs)


def ethernet(
    packet: bytes, source: bytes = MACS[0], destination: bytes = MACS[1], vlans: Iterable[int | tuple[int, int]] = (),
    wrap: Callable[[bytes], tuple[int, bytes]] | None = None,
) -> bytes:
    """`wrap`: gives (ethertype, bytes) for the packet, such as `pppoe` or `mpls`."""
    kind, body = wrap(packet) if wrap else (0x86DD if packet[0] >> 4 == 6 else 0x0800, packet)
    return destination + source + tags(vlans) + kind.to_bytes(2, "big") + body


def pppoe(packet: bytes) -> tuple[int, bytes]:
    protocol = 0x57 if packet[0] >> 4 == 6 else 0x21
    return 0x8864, struct.pack("!BBHHH", 0x11, 0, 0x1234, len(packet) + 2, protocol) + packet


def mpls(*labels: int) -> Callable[[bytes], tuple[int, bytes]]:
    def wrap(packet: bytes) -> tuple[int, bytes]:
        entries = [label << 12 | (label is labels[-1]) << 8 | 64 for label in labels]
        return 0x8847, b"".join(entry.to_bytes(4, "big") for entry in entries) + packet

    return wrap


def timestamps(value: int, echo: int = 0) -> bytes:
    return struct.pack("!BBBBII", 1, 1, 8, 10, value & 0xFFFFFFFF, echo & 0xFFFFFFFF)


def window_scale(shift: int) -> bytes:
    return bytes((1, 3, 3, shift))


MD5 = bytes((1, 1, 19, 18)) + bytes(range(16))
MPTCP = bytes((30, 12, 0, 0x81)) + bytes(8)


# what comes out


class Stream:
    """What one direction delivered. The order of calls is checked as they come."""

    def __init__(self) -> None:
        # ("data", offset, bytes) | ("hole", offset, length, reason) | ("fin", offset)
        self.events: list[tuple[Any, ...]] = []
        self.length = 0
        self.fin = False

    @property
    def data(self) -> bytes:
        """The stream, holes as zeros."""
        return b"".join(bytes(event[2]) for event in self.events if event[0] != "fin")

    @property
    def present(self) -> bytes:
        """The bytes that are there."""
        return b"".join(event[2] for event in self.events if event[0] == "data")

    @property
    def holes(self) -> list[tuple[int, int, str]]:
        """(offset, length, reason); those that touch are one if they have one reason."""
        holes: list[tuple[int, int, str]] = []
        for event in self.events:
            if event[0] != "hole":
                continue
            _, offset, length, reason = event
            if holes and holes[-1][2] == reason and holes[-1][0] + holes[-1][1] == offset:
                holes[-1] = (holes[-1][0], holes[-1][1] + length, reason)
            else:
                holes.append((offset, length, reason))
        return holes

    @property
    def missing(self) -> list[tuple[int, int]]:
        """(offset, length) of the holes, whatever their reasons; those that touch are one."""
        missing: list[tuple[int, int]] = []
        for offset, length, _ in self.holes:
            if missing and sum(missing[-1]) == offset:
                missing[-1] = (missing[-1][0], missing[-1][1] + length)
            else:
                missing.append((offset, length))
        return missing

    def took(self, kind: str, offset: int, what: Any, length: int) -> None:
        assert offset == self.length, f"{kind} at {offset}, but the stream is at {self.length}"
        assert length > 0, f"an empty {kind} at {offset}"
        assert not self.fin, f"{kind} at {offset} behind the FIN"
        self.events.append((kind, offset, *what))
        self.length += length


class Connected:
    """What the sink was told of one connection."""

    def __init__(self, conn: Any) -> None:
        self.conn = conn
        self.client = Stream()
        self.server = Stream()
        self.closed = False

    @property
    def close(self) -> str:
        assert self.closed
        return str(self.conn.close)

    @property
    def notes(self) -> list[str]:
        return list(self.conn.notes)

    @property
    def ports(self) -> tuple[int, int]:
        return self.conn.client_address[1], self.conn.server_address[1]

    def counted(self, name: str) -> int:
        """A counter, both directions together."""
        return sum(half.counters.get(name, 0) for half in (self.conn.client, self.conn.server))


class Recorder(Sink):
    """A sink that keeps everything, and fails the test when the calls are out of their order."""

    def __init__(self) -> None:
        self.all: list[Connected] = []

    def _stream(self, conn: Any, half: Any) -> Stream:
        record = conn.user
        assert isinstance(record, Connected), "data of a connection that was not opened"
        assert not record.closed, "data of a connection that is closed"
        if half is conn.client:
            return record.client
        assert half is conn.server
        return record.server

    def opened(self, conn: Any) -> None:
        assert conn.user is None
        conn.user = Connected(conn)
        self.all.append(conn.user)

    def data(self, conn: Any, half: Any, offset: int, data: bytes, start: int, length: int, time: int) -> None:
        piece = bytes(data[start : start + length])
        assert len(piece) == length
        self._stream(conn, half).took("data", offset, (piece,), length)

    def hole(self, conn: Any, half: Any, offset: int, length: int, reason: int, time: int) -> None:
        self._stream(conn, half).took("hole", offset, (length, REASONS[reason]), length)

    def finished(self, conn: Any, half: Any, time: int) -> None:
        stream = self._stream(conn, half)
        assert not stream.fin, "two FINs"
        stream.fin = True
        stream.events.append(("fin", stream.length))

    def closed(self, conn: Any) -> None:
        record = conn.user
        assert isinstance(record, Connected)
        assert not record.closed, "closed twice"
        record.closed = True
        assert conn.close in ("fin", "rst", "timeout", "end"), conn.close
        for half, stream in ((conn.client, record.client), (conn.server, record.server)):
            assert half.length == stream.length
            assert half.fin == stream.fin
            holes = stream.holes
            assert list(half.holes) == holes[: len(half.holes)]
            if len(half.holes) == len(holes):
                assert half.hole_count == len(holes)
            else:  # beyond the limit neighbours are not known to be one
                assert half.hole_count >= len(holes)
            assert half.hole_bytes == sum(hole[1] for hole in holes)


class Tally(Recorder):
    """A sink that only counts, for measuring what the follower itself holds."""

    def __init__(self) -> None:
        super().__init__()
        self.opened_count = self.closed_count = self.bytes = self.events = 0
        self.holes: dict[str, int] = {}
        self.missing: dict[str, int] = {}
        self.notes: dict[str, int] = {}
        self.listed = 0

    def opened(self, conn: Any) -> None:
        self.opened_count += 1

    def data(self, conn: Any, half: Any, offset: int, data: bytes, start: int, length: int, time: int) -> None:
        self.bytes += length
        self.events += 1

    def hole(self, conn: Any, half: Any, offset: int, length: int, reason: int, time: int) -> None:
        self.holes[REASONS[reason]] = self.holes.get(REASONS[reason], 0) + 1
        self.missing[REASONS[reason]] = self.missing.get(REASONS[reason], 0) + length
        self.events += 1

    def finished(self, conn: Any, half: Any, time: int) -> None:
        pass

    def closed(self, conn: Any) -> None:
        self.closed_count += 1
        self.listed = max(self.listed, len(conn.client.holes), len(conn.server.holes))
        for note in conn.notes:
            self.notes[note] = self.notes.get(note, 0) + 1


class Wire:
    """One capture: a follower, what it reported, and the clock."""

    def __init__(self, options: Options, step: float, link_type: int = ETHERNET, sink: Recorder | None = None) -> None:
        self.sink = sink or Recorder()
        self.follower = Follower(self.sink, options, seed=b"a seed for tests")
        self.now = 0
        self.step = seconds(step)
        self.link_type = link_type
        self.frames = 0
        self.collected: list[tuple[int, bytes, int]] | None = None
        self.finished = False

    def feed(
        self, frame: bytes, *, time: int | None = None, snap: int | None = None, length: int | None = None,
        link_type: int | None = None,
    ) -> None:
        """One packet of the copy at `time` (ns from the beginning; else now, and time goes on by a step)."""
        if time is None:
            time = self.now
            self.now += self.step
        packet = (time, frame if snap is None else frame[:snap], len(frame) if length is None else length)
        if self.collected is not None:
            self.collected.append(packet)
            return
        self.play([packet], link_type)

    def play(self, packets: Iterable[tuple[int, bytes, int]], link_type: int | None = None) -> None:
        """Packets (time, captured bytes, length on the wire), as they come."""
        packet = self.follower.packet
        kind = self.link_type if link_type is None else link_type
        for time, captured, length in packets:
            self.frames += 1
            packet(kind, JUNK + captured + JUNK, len(JUNK), len(captured), length, EPOCH + time)

    def finish(self) -> None:
        if not self.finished:
            self.finished = True
            self.follower.finish()
            assert all(record.closed for record in self.sink.all)
            assert self.follower.frames == self.frames


# the connection


class Side:
    """One endpoint: where it is in its own stream, and what it has received of the other's."""

    def __init__(self, address: str, port: int, isn: int, mac: bytes) -> None:
        self.address = pack(address)
        self.port = port
        self.isn = isn
        self.mac = mac
        self.position = 0  # the next byte that it sends; behind its FIN one more
        self.received = -1  # all of the other's stream below this has arrived; -1: not even its SYN
        self.arrived: list[tuple[int, int]] = []
        self.window = 65535
        self.clock = 1000 + isn % 1000

    def gets(self, start: int, end: int) -> None:
        heappush(self.arrived, (start, end))
        while self.arrived and self.arrived[0][0] <= self.received:
            self.received = max(self.received, heappop(self.arrived)[1])


class Copy:
    """A connection's packets, and the copy of them. Keywords that are no argument here are `Options` or `Limits`."""

    def __init__(
        self, *, wire: Wire | None = None, client: str = "10.0.0.1", server: str = "10.0.0.2", cport: int = 40000,
        sport: int = 80, cisn: int = 0xFFFFFFF0, sisn: int = 0xFFFFFFFA, vlans: Iterable[int | tuple[int, int]] = (),
        step: float = 0.0001, stamps: bool = False, scale: int | None = None, link_type: int = ETHERNET,
        sink: Recorder | None = None, **options: Any,
    ) -> None:
        if wire is None:
            names = set(Limits.__slots__)
            limits = {name: options.pop(name) for name in list(options) if name in names}
            for name in ("deadline", "skew", "idle"):
                if name in options:
                    options[name] = seconds(options[name])
            wire = Wire(replace(Options(), limits=replace(Limits(), **limits), **options), step, link_type, sink)
        self.wire = wire
        self.c = Side(client, cport, cisn, MACS[0])
        self.s = Side(server, sport, sisn, MACS[1])
        self.vlans = tuple(vlans)
        self.stamps = stamps
        self.scale = scale
        self.identification = 0

    def other(self, **knobs: Any) -> Copy:
        """Another connection in the same capture; from the client's next port unless told otherwise."""
        knobs.setdefault("cport", self.c.port + 1)
        return Copy(wire=self.wire, **knobs)

    # packets

    def packet(
        self, side: Side, flags: str, data: bytes = b"", *, at: int | None = None, ack: int | None = None,
        window: int | None = None, options: bytes | None = None, urgent: int = 0, checksum: str = "good",
        missed: bool = False, lost: bool = False, forged: bool = False, time: float | None = None,
        seq: int | None = None, raw_ack: int | None = None, vlans: Iterable[int | tuple[int, int]] | None = None,
        snap: int | None = None, ttl: int = 64, tos: int = 0, ip_checksum: str = "good",
        total_length: int | None = None, padding: bytes = b"", data_offset: int | None = None,
        fragment: int | None = None, order: Callable[[list[bytes]], list[bytes]] | None = None,
        macs: tuple[bytes, bytes] | None = None, wrap: Callable[[bytes], tuple[int, bytes]] | None = None,
        twice: bool = False, identification: int | None = None, extensions: bytes = b"", following: int = 6,
        cut: int | None = None,
    ) -> None:
        """One packet of `side`. `at`: stream offset of its first byte (None: the next), `ack`: offset in the other's.

        `seq`, `raw_ack`: the numbers themselves. `snap`: bytes of TCP payload that the copy kept; `cut`: bytes that
        the payload had on the wire, where `data` is what the copy kept of it. `fragment`: payload of each IP fragment;
        `order` puts their frames in another order or drops some.
        """
        other = self.s if side is self.c else self.c
        bits = sum(LETTERS[letter] for letter in set(flags))
        start = side.position if at is None else at
        if bits & SYN and at is None:
            start = -1
        size = len(data) if cut is None else cut
        end = start + size + bool(bits & SYN) + bool(bits & FIN)
        if seq is None:
            seq = side.isn + 1 + start
        if raw_ack is None:
            raw_ack = other.isn + 1 + (side.received if ack is None else ack) if bits & ACK else 0
        if options is None:
            options = self._options(side, other, bits)
        if not forged:
            if not lost:
                other.gets(start, end)
            side.position = max(side.position, end)
        self.identification = (self.identification + 1) & 0xFFFF
        ident = self.identification if identification is None else identification
        segment = tcp_segment(
            side.address, other.address, side.port, other.port, seq, raw_ack, bits, data, options=options,
            urgent=urgent, window=side.window if window is None else window, checksum=checksum, data_offset=data_offset,
        )
        if cut is not None:
            total_length = 20 + len(segment) - len(data) + cut
        packet = ip_packet(
            side.address, other.address, segment, ttl=ttl, tos=tos, identification=ident, checksum=ip_checksum,
            total_length=total_length, extensions=extensions, following=following,
        )
        source, destination = macs or (side.mac, other.mac)
        stack = self.vlans if vlans is None else tuple(vlans)
        packets = [packet] if fragment is None else fragments(packet, fragment, ident)
        frames = [ethernet(piece, source, destination, stack, wrap) + padding for piece in packets]
        if order is not None:
            frames = order(frames)
        if missed or lost:
            self.wire.now += self.wire.step
            return
        for frame in frames * 2 if twice else frames:
            kept = None if snap is None else len(frame) - len(data) - len(padding) + snap
            when = None if time is None else seconds(time)
            self.wire.feed(frame, time=when, snap=kept, length=len(frame) + size - len(data))

    def _options(self, side: Side, other: Side, bits: int) -> bytes:
        area = b""
        if bits & SYN:
            area += bytes((2, 4, 5, 180)) + (window_scale(self.scale) if self.scale is not None else b"")
        if self.stamps:
            side.clock += 1
            area += timestamps(side.clock, other.clock if bits & ACK else 0)
        return area

    def client(self, data: bytes = b"", **knobs: Any) -> None:
        """A data segment (or, without data, an ACK) from the client."""
        self.packet(self.c, knobs.pop("flags", "P." if data else "."), data, **knobs)

    def server(self, data: bytes = b"", **knobs: Any) -> None:
        """The same from the server."""
        self.packet(self.s, knobs.pop("flags", "P." if data else "."), data, **knobs)

    def syn(self, data: bytes = b"", **knobs: Any) -> None:
        self.packet(self.c, knobs.pop("flags", "S"), data, **knobs)

    def synack(self, data: bytes = b"", **knobs: Any) -> None:
        self.packet(self.s, knobs.pop("flags", "S."), data, **knobs)

    def ack(self, **knobs: Any) -> None:
        """A bare ACK from the client."""
        self.packet(self.c, ".", **knobs)

    def server_ack(self, **knobs: Any) -> None:
        """A bare ACK from the server."""
        self.packet(self.s, ".", **knobs)

    def fin(self, data: bytes = b"", **knobs: Any) -> None:
        """The client's FIN, with the data that comes with it."""
        self.packet(self.c, knobs.pop("flags", "F."), data, **knobs)

    def server_fin(self, data: bytes = b"", **knobs: Any) -> None:
        self.packet(self.s, knobs.pop("flags", "F."), data, **knobs)

    def rst(self, **knobs: Any) -> None:
        """A RST from the client, at its next byte unless `at` says otherwise."""
        self.packet(self.c, knobs.pop("flags", "R."), forged=True, **knobs)

    def server_rst(self, **knobs: Any) -> None:
        self.packet(self.s, knobs.pop("flags", "R."), forged=True, **knobs)

    # several packets

    def handshake(self) -> Copy:
        self.syn()
        self.synack()
        self.ack()
        return self

    def goodbye(self) -> Copy:
        """The client's FIN, the server's, and the ACK of it."""
        self.fin()
        self.server_fin()
        self.ack()
        return self

    # time

    def wait(self, duration: float) -> None:
        """Time passes, and the follower is told so, as when live."""
        self.wire.now += seconds(duration)
        self.wire.follower.advance(EPOCH + self.wire.now)

    def pause(self, duration: float) -> None:
        """Time passes; the follower hears of it by the next packet."""
        self.wire.now += seconds(duration)

    # results

    def finish(self) -> Copy:
        """The capture ends."""
        self.wire.finish()
        return self

    @property
    def all(self) -> list[Connected]:
        return self.wire.sink.all

    @property
    def one(self) -> Connected:
        """The only connection there was."""
        found = self.wire.sink.all
        assert len(found) == 1, f"{len(found)} connections: {[record.ports for record in found]}"
        return found[0]

    @property
    def stats(self) -> dict[str, int]:
        return dict(self.wire.follower.stats)

    def collect(self) -> list[tuple[int, bytes, int]]:
        """From now on packets are kept in the list that this returns, for `play`."""
        self.wire.collected = []
        return self.wire.collected

    def play(self, packets: Iterable[tuple[int, bytes, int]]) -> Copy:
        self.wire.play(packets)
        return self

    def whole(self, client: bytes = b"", server: bytes = b"", close: str = "fin") -> None:
        """Ends the capture; there was one connection, and both streams are exactly these, without holes."""
        self.finish()
        check(self.one, client, server, close)


def check(record: Connected, client: bytes = b"", server: bytes = b"", close: str | None = "fin") -> None:
    """Both streams are exactly these, and nothing is missing."""
    assert record.client.holes == []
    assert record.server.holes == []
    assert record.client.data == client
    assert record.server.data == server
    if close is not None:
        assert record.close == close
    if close == "fin":
        assert (record.client.fin, record.server.fin) == (True, True)


def pieces(data: bytes, size: int) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of `data` in pieces of `size`."""
    for at in range(0, len(data), size):
        yield at, data[at : at + size]
