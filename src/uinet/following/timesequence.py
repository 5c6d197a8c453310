"""One connection, segment by segment: what a time-sequence graph is drawn from.

Read first: Shepard, "TCP Packet Trace Analysis" (1991), who drew the first ones; tcptrace and xplot draw them so since.
"""

from __future__ import annotations

import os
import re
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from uinet.errors import CaptureError, Error, InvalidArgument
from uinet.following.inputs import Input, Sources, is_one
from uinet.link.device import Device
from uinet.passive.follower import Follower
from uinet.passive.holes import REASONS
from uinet.passive.options import Options
from uinet.passive.sink import Sink
from uinet.seq import seq_diff
from uinet.units import MASK32
from uinet.wire.addresses import join, unpack_address
from uinet.wire.constants import ACK, FIN, NO_WSCALE, RST, SYN

if TYPE_CHECKING:
    from uinet.passive.connection import Connection
    from uinet.passive.decoder import Decoder
    from uinet.passive.half import Half
    from uinet.wire.addresses import IPAddress

TWICE = (
    "a connection is found by its number only in what can be read twice: name it as client:port-server:port, or give "
    "a file"
)
REORDERED = 3_000_000  # ns within which a segment that comes late was overtaken, where no RTT is known (as Wireshark)
FORGET = 1 << 20  # segments kept of addresses and ports whose connection has not begun
KINDS = ("data", "retransmission", "out of order", "probe", "keepalive")
DATA, RETRANSMISSION, OUT_OF_ORDER, PROBE, KEEPALIVE = range(len(KINDS))

Endpoints = tuple["IPAddress", int, "IPAddress", int]


class NoConnection(Error):
    """The connection is not in the capture."""


class Wanted(NamedTuple):
    """Which connection: its serial number, or its two endpoints, in either order."""

    serial: int | None
    endpoints: Endpoints | None

    def __str__(self) -> str:
        if self.endpoints is None:
            return f"connection {self.serial}"
        client, cport, server, sport = self.endpoints
        return f"connection of {client} port {cport} with {server} port {sport}"


def wanted(text: str | int) -> Wanted:
    """What ``3``, ``10.0.0.1:1234-10.0.0.2:80`` or ``[fd00::1]:1234-[fd00::2]:80`` says. InvalidArgument."""
    text = str(text).strip()
    if text.isascii() and text.isdigit():
        return Wanted(int(text), None)
    found = re.fullmatch(r"\[?([^\s\[\]-]+?)\]?:(\d{1,5})\s*[->]\s*\[?([^\s\[\]-]+?)\]?:(\d{1,5})", text)
    try:
        if found is None:
            raise ValueError
        return Wanted(None, (ip_address(found[1]), int(found[2]), ip_address(found[3]), int(found[4])))
    except ValueError:
        raise InvalidArgument(
            f"{text!r} is no connection: want its number, or client:port-server:port"
        ) from None


class Hole(NamedTuple):
    """A hole as it was declared, at `time`; `since`: when the first byte behind it came."""

    offset: int
    length: int
    reason: str
    time: int
    since: int


class Points:
    """Rows of integers, many of them: iterate for tuples. `kinds`: the columns, letters of the module array."""

    def __init__(self, kinds: str) -> None:
        self.columns: list[array[int]] = [array(kind) for kind in kinds]

    def add(self, *values: int) -> None:
        """A row."""
        for column, value in zip(self.columns, values, strict=True):
            column.append(value)

    def drop(self, count: int) -> None:
        """Forgets the first rows."""
        for column in self.columns:
            del column[:count]

    def __len__(self) -> int:
        return len(self.columns[0])

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        return zip(*self.columns, strict=True)


class Side:
    """One direction. `marks`: (time, start, end, kind) of payloads, the kind as its number in KINDS; `signs`: (time,
    offset, "SYN", "FIN" or "RST"); `holes`.

    What the other side said of it: `acks`, `edges`: (time, offset) of its ACKs and of how far its window reached (edges
    are empty if that can't be known), `sacks`: (time, left, right), `duplicates`: (time, offset) of duplicate ACKs,
    `zeros`: the same of closed windows; `windows`: how large they were. `round_trips`: ns from a segment to the ACK of
    it, seen from where the copy was taken.
    """

    def __init__(self, address: IPAddress, port: int, length: int) -> None:
        self.address = address
        self.port = port
        self.length = length
        self.marks = Points("qqqB")
        self.signs: list[tuple[int, int, str]] = []
        self.holes: list[Hole] = []
        self.acks = Points("qq")
        self.edges = Points("qq")
        self.sacks = Points("qqq")
        self.duplicates = Points("qq")
        self.zeros = Points("qq")
        self.windows: set[int] = set()
        self.round_trips = array("q")

    def count(self, kind: int) -> int:
        """How many of the marks are of a kind."""
        return self.marks.columns[3].count(kind)


class TimeSequence:
    """All that is drawn of a connection: `client` and `server` are what these sent; times are ns since 1970.

    `scaled`: whether window scales are known. `round_trip`: ns from the SYN to the handshake's last ACK, which is a
    round trip wherever the copy was taken; None if there was more than one of them.
    """

    def __init__(self, connection: Connection, trace: Trace) -> None:
        self.serial = connection.serial
        self.vlans = tuple(tag.vid for tag in connection.vlans)
        self.start = connection.start
        self.end = connection.end
        self.close = connection.close
        self.notes = connection.notes + (["midstream"] if connection.midstream else [])
        self.segments = len(trace.rows)
        self.client = Side(*connection.client_address, connection.client.length)
        self.server = Side(*connection.server_address, connection.server.length)
        self.scaled = None not in trace.scales
        Reading(self, connection, trace).read()
        self.round_trip = self._handshake()

    def _handshake(self) -> int | None:
        syns = [time for time, _, sign in self.client.signs if sign == "SYN"]
        answers = [time for time, _, sign in self.server.signs if sign == "SYN"]
        if len(syns) != 1 or len(answers) != 1:
            return None
        after = [time for time in self.server.acks.columns[0][:4] if time >= answers[0]]
        return after[0] - syns[0] if after else None


class Tap(Follower):
    """A follower that keeps the headers of one connection's segments in `trace`."""

    def __init__(self, trace: Trace, chosen: Options, *, seed: bytes) -> None:
        super().__init__(trace, chosen, seed=seed)
        self.trace = trace

    def enqueue(self, link_type: int, data: bytes, start: int, captured: int, length: int, time: int) -> None:
        """One packet, not put off."""
        before = self.segments
        super().enqueue(link_type, data, start, captured, length, time)
        self.flush()
        if self.segments != before:
            lane = next(lane for lane in self.lanes if lane.frame == self.frames)
            if (lane.seg.source_port, lane.seg.destination_port) in self.trace.ports:
                self.trace.segment(self, lane, time)


class Trace(Sink):
    """The headers of the segments between two endpoints, from a connection's first packet to its end.

    `found`: the connection. It is the one numbered `serial`, or the first; `over`: it has ended.
    """

    def __init__(self, endpoints: Endpoints, serial: int | None) -> None:
        client, cport, server, sport = endpoints
        self.ends = {(client, cport, server, sport), (server, sport, client, cport)}
        self.ports = {(cport, sport), (sport, cport)}
        self.serial = serial
        self.found: Connection | None = None
        self.over = False
        self.sources: list[tuple[IPAddress, int]] = []  # the two ends, in order of appearance
        # of each segment: time, seq, ack, length, flags, window, number of its source, number in the capture
        self.rows = Points("qIIIHHBq")
        self.sacks: list[tuple[int, list[int]]] = []  # of a segment, edges
        self.scales: list[int | None] = [None, None]  # of the two ends; None: its SYN was not seen
        self.holes: list[list[int]] = []  # whether it is the client's, offset, length, reason, time
        self.last_holes: dict[bool, list[int]] = {}

    def segment(self, tap: Tap, lane: Decoder, time: int) -> None:
        """Keeps the segment that has just been followed, if it is between the two ends."""
        packet, seg, found = lane.packet, lane.seg, self.found
        if self.over and (seg.flags & SYN or found is None or found.last != tap.now):
            return  # it may be the very segment that ended the connection; later ones are of no concern
        source = unpack_address(join(packet.src_hi, packet.src_lo)), seg.source_port
        destination = unpack_address(join(packet.dst_hi, packet.dst_lo)), seg.destination_port
        if (*source, *destination) not in self.ends or (found is not None and lane.mark != found.mark):
            return
        if source not in self.sources:
            self.sources.append(source)
        sender = self.sources.index(source)
        if seg.flags & SYN:
            self.scales[sender] = 0 if seg.wscale == NO_WSCALE else seg.wscale
        if seg.sack_count:
            self.sacks.append((len(self.rows), list(seg.sacks[: 2 * seg.sack_count])))
        self.rows.add(time, seg.seq, seg.ack, seg.length, seg.flags, seg.window, sender, tap.frames)
        if found is None and len(self.rows) > FORGET:
            self.drop(FORGET // 2)

    def drop(self, count: int) -> None:
        """The first `count` segments belong to no connection, or to others."""
        self.rows.drop(count)
        self.sacks = [(index - count, edges) for index, edges in self.sacks if index >= count]

    def opened(self, conn: Connection) -> None:
        if self.found is None and self.serial in (None, conn.serial):
            if (*conn.client_address, *conn.server_address) in self.ends:
                self.found = conn
                self.drop(sum(number < conn.frame for number in self.rows.columns[-1]))

    def hole(self, conn: Connection, half: Half, offset: int, length: int, reason: int, time: int) -> None:
        if conn is not self.found:
            return
        whose = half is conn.client
        last = self.last_holes.get(whose)
        if last is not None and (last[1] + last[2], last[3]) == (offset, reason):
            last[2] += length  # of a capture that cuts packets, all of a stream is one hole
        else:
            self.last_holes[whose] = [whose, offset, length, reason, time]
            self.holes.append(self.last_holes[whose])

    def closed(self, conn: Connection) -> None:
        if conn is self.found:
            self.over = True


class Finder(Sink):
    """Waits for the connection of a number to begin."""

    def __init__(self, serial: int) -> None:
        self.serial = serial
        self.count = 0
        self.found: Endpoints | None = None

    def opened(self, conn: Connection) -> None:
        self.count += 1
        if conn.serial == self.serial:
            self.found = (*conn.client_address, *conn.server_address)


class Reading:
    """Makes sense of a trace: which segments were new, which were sent again, and what the ACKs tell."""

    def __init__(self, into: TimeSequence, connection: Connection, trace: Trace) -> None:
        self.trace = trace
        self.bases = (connection.client.base, connection.server.base)
        self.sides = (into.client, into.server)
        self.client_is = 0 if not trace.sources or trace.sources[0] == connection.client_address else 1
        self.streams = (Progress(), Progress())
        self.scales: tuple[int, int] | None = None  # RFC 7323 2.2: windows are scaled if both SYNs say so
        if into.scaled:
            ours, theirs = trace.scales[self.client_is], trace.scales[1 - self.client_is]
            self.scales = (ours, theirs) if ours and theirs else (ours or 0, theirs or 0)

    def read(self) -> None:
        """Fills the sides."""
        trace = self.trace
        sacks = dict(trace.sacks)
        for index, (time, seq, ack, length, flags, window, source, _) in enumerate(trace.rows):
            who = int(source != self.client_is)
            self._sent(who, time, seq, length, flags)
            if flags & ACK and not flags & RST:
                self._acked(1 - who, time, ack, window, length, flags)
                for left, right in pairs(sacks.get(index, [])):
                    stream, base = self.streams[1 - who], self.bases[1 - who]
                    self.sides[1 - who].sacks.add(time, stream.place(left, base), stream.place(right, base))
        for of_client in (True, False):
            self._holes(of_client)

    def _sent(self, who: int, time: int, seq: int, length: int, flags: int) -> None:
        """What a segment says of its sender's stream."""
        stream, side = self.streams[who], self.sides[who]
        offset = stream.place(seq, self.bases[who])
        if flags & SYN:
            side.signs.append((time, offset, "SYN"))
            offset += 1
        if flags & RST:
            side.signs.append((time, offset, "RST"))
            return
        kind = stream.kind(time, offset, length, side.round_trips) if length or not flags & (SYN | FIN) else None
        if kind is not None:
            side.marks.add(time, offset, offset + length, kind)
        if flags & FIN:
            side.signs.append((time, offset + length, "FIN"))
            stream.high = max(stream.high, offset + length)

    def _acked(self, whose: int, time: int, ack: int, window: int, length: int, flags: int) -> None:
        """What a segment says of the other side's stream."""
        stream, side = self.streams[whose], self.sides[whose]
        acked = stream.place(ack, self.bases[whose])
        if stream.acknowledged(time, acked, window, length == 0 and not flags & (SYN | FIN), side.round_trips):
            side.duplicates.add(time, acked)
        side.acks.add(time, acked)
        if window == 0:
            side.zeros.add(time, acked)
        if self.scales is not None:
            size = window if flags & SYN else window << self.scales[1 - whose]
            side.edges.add(time, acked + size)
            if not flags & SYN:
                side.windows.add(size)

    def _holes(self, of_client: bool) -> None:
        """The holes of one side, each from when the first byte behind it came."""
        side = self.sides[not of_client]
        times, starts = side.marks.columns[:2]
        reached = list(accumulate(starts, max))
        for whose, offset, length, reason, time in self.trace.holes:
            if whose == of_client:
                behind = bisect_left(reached, offset + length)
                since = min(time, times[behind]) if behind < len(times) else time
                side.holes.append(Hole(offset, length, REASONS[reason], time, since))


def pairs(edges: list[int]) -> Iterator[tuple[int, int]]:
    """Left and right edges of SACK blocks."""
    return zip(edges[::2], edges[1::2], strict=True)


class Progress:
    """How far one stream is: what of it has been seen, and acknowledged."""

    def __init__(self) -> None:
        self.near: int | None = None  # an offset that the next one is close to
        self.starts: list[int] = []  # pieces that were seen, ascending and apart
        self.ends: list[int] = []
        self.high = 0
        self.acked = 0
        self.window = -1  # as the other side said last, not scaled
        self.gap_since = 0
        self.unanswered: deque[tuple[int, int]] = deque()  # (end, time) of what was sent once

    def place(self, seq: int, base: int) -> int:
        """The offset of a sequence number."""
        if self.near is None:
            self.near = seq_diff(seq, base)
            return self.near
        offset = self.near + seq_diff(seq, (base + self.near) & MASK32)
        self.near = max(self.near, offset)
        return offset

    def kind(self, time: int, offset: int, length: int, round_trips: array[int]) -> int | None:
        """What a payload is; None if there is none."""
        if length <= 1 and self.starts and offset == self.high - 1 and self.acked >= self.high:
            return KEEPALIVE if self.window else PROBE
        if length == 0:
            return None
        end = offset + length
        if length == 1 and self.window == 0 and offset == self.acked:
            self._see(offset, end)
            self.high = max(self.high, end)
            return PROBE
        if offset >= self.high or not self.starts:
            if offset > self.high and self.starts:
                self.gap_since = time
            self._see(offset, end)
            self.high = max(self.high, end)
            self.unanswered.append((end, time))
            return DATA
        while self.unanswered and self.unanswered[-1][0] > offset:
            self.unanswered.pop()  # whose ACK will be for one of two
        again = self._see(offset, end)
        self.high = max(self.high, end)
        patience = min(round_trips) if round_trips else REORDERED
        return OUT_OF_ORDER if not again and time - self.gap_since < patience else RETRANSMISSION

    def _see(self, start: int, end: int) -> bool:
        """Adds a piece to those that were seen; whether some of it had been."""
        starts, ends = self.starts, self.ends
        first = bisect_right(ends, start)
        if first and ends[first - 1] == start:
            first -= 1
        last = first
        again = False
        while last < len(starts) and starts[last] <= end:
            again |= starts[last] < end and ends[last] > start
            last += 1
        if first < last:
            start, end = min(start, starts[first]), max(end, ends[last - 1])
        starts[first:last] = [start]
        ends[first:last] = [end]
        return again

    def acknowledged(self, time: int, acked: int, window: int, pure: bool, round_trips: array[int]) -> bool:
        """An ACK of the other side; whether it is a duplicate (RFC 5681, 2)."""
        duplicate = pure and acked == self.acked and window == self.window and self.high > acked
        answered = None
        while self.unanswered and self.unanswered[0][0] <= acked:
            answered = self.unanswered.popleft()
        if answered is not None and answered[0] == acked and time >= answered[1]:  # copies may be out of order
            round_trips.append(time - answered[1])
        self.acked = max(self.acked, acked)
        self.window = window
        return duplicate


def time_sequence(
    source: Input, connection: str | int, chosen: Options, *, filter: str | None = None, seed: bytes | None = None,
    stop: Callable[[], bool] | None = None,
) -> TimeSequence:
    """What there is to draw of one connection of `source`: its serial number, or ``client:port-server:port``.

    By its number it is looked for first, and the source read once more. A live source is read until the connection has
    ended, or `stop` says so. InvalidArgument if the source can't be read twice; NoConnection; errors of the source.
    """
    target = wanted(connection)
    seed = seed if seed is not None else os.urandom(16)
    endpoints = target.endpoints
    if endpoints is None:
        endpoints = find(source, target, chosen, filter, seed)
    trace = Trace(endpoints, target.serial)
    tap = Tap(trace, chosen, seed=seed)
    sources = Sources(source, filter)
    damage = None
    try:
        while not trace.over and sources.pump(tap, stop):
            pass
    except CaptureError as error:
        damage = error
    finally:
        sources.close()
        tap.finish()
    if trace.found is None:
        raise damage or NoConnection(f"there is no {target}{hint(chosen)}")
    found = TimeSequence(trace.found, trace)
    if damage is not None and found.close == "end":
        found.notes.append("the capture is damaged from there on")
    return found


def find(source: Input, target: Wanted, chosen: Options, filter: str | None, seed: bytes) -> Endpoints:
    """The endpoints of the connection with a number."""
    assert target.serial is not None
    finder = Finder(target.serial)
    follower = Follower(finder, chosen, seed=seed)
    require_twice(source)
    sources = Sources(source, filter)
    damage = None
    try:
        more = True
        while more and finder.found is None:
            if sources.live:
                raise InvalidArgument(TWICE)
            more = sources.pump(follower)
    except CaptureError as error:
        damage = error
    finally:
        sources.close()
        follower.finish()
    if finder.found is None:
        if damage is not None:
            raise damage
        count = f"{finder.count:,} connections, numbered from 0" if finder.count else "no connection"
        raise NoConnection(f"there is no {target}: the capture has {count}{hint(chosen)}")
    return finder.found


def require_twice(source: Input) -> None:
    """InvalidArgument if a source can't be read from its beginning again."""
    every: list[Any] = [source] if is_one(source) else list(source)  # type: ignore[arg-type]
    for one in every:
        if isinstance(one, Device) or hasattr(one, "read") or hasattr(one, "pump") or one == "-":
            raise InvalidArgument(TWICE)


def hint(chosen: Options) -> str:
    """Why it may be missing."""
    return "" if chosen.midstream else " (those that began before the capture are there with midstream)"


__all__ = ["NoConnection", "Side", "TimeSequence", "time_sequence", "wanted"]
