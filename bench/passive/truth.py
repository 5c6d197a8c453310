"""What there is to find in a capture, computed without any code of uinet.passive, and uinet's findings held against it.

The reference reads the *whole* capture, in which every connection has its SYN, and the order in which the damaged one
holds its packets (`bench.passive.damage`). With that it need not guess anything that a follower of the damaged capture
has to: initial sequence numbers, where one connection on a 4-tuple ends and the next begins, where streams end.

What is knowable from the copy, and therefore demanded:

- A connection of which one packet that is not a RST is in the copy is found, once; with the same client if a SYN or a
  SYN|ACK is in the copy, else the two sides may be exchanged.
- A stream begins at the lowest number in evidence: that of its own segments (SYN included), and acknowledgment numbers
  of the other side. If that isn't its first byte, offsets count from there: nobody can know better.
- It reaches as far as the highest number in evidence: the end of its own segments, the sequence number of its own bare
  ACKs, and the other side's acknowledgment numbers. All bytes in the copy are delivered; all others between these
  limits, and nothing else, are holes. Bytes beyond the highest number left no trace and are not missed.
- A FIN takes a number like a byte. If its packet is not in the copy, but a number behind it is in evidence, that
  number may have been the FIN's or a byte's: a stream with one missing byte at its end is counted as `doubtful`, and
  accepted, beside the true one. If the FIN is in the copy, the length is exact.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from bench.passive import synthesize
from bench.passive.damage import records

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
PLAUSIBLE = 1 << 30  # no stream here is longer: numbers further away are of another connection
EXAMPLES = 6  # of each kind of difference
Address = tuple[int, int]
Hole = tuple[int, int]
Key = tuple[bytes, Address, Address]  # VLANs and both ends


@dataclass(slots=True)
class Stream:
    """One direction: its length, its holes as (offset, length), and SHA-256 of the bytes that are there."""

    length: int = 0
    holes: list[Hole] = field(default_factory=list)
    digest: bytes = b""
    doubtful: bool = False  # one more byte, missing, may be believed at the end

    def __str__(self) -> str:
        more = ", ..." if len(self.holes) > 3 else ""
        return f"{self.length} bytes, holes ({', '.join(map(str, self.holes[:3]))}{more}), {self.digest.hex()[:8]}"


@dataclass(slots=True)
class Found:
    """One connection: its first packet's number in the capture from 1, who, and what each side sent."""

    frame: int
    client: Address
    server: Address
    streams: tuple[Stream, Stream]  # the client's, the server's
    sides_known: bool = True
    vids: bytes = b""

    def __str__(self) -> str:
        (client, server), ports = self.streams, (self.client[1], self.server[1])
        return f"frame {self.frame}, ports {ports[0]} and {ports[1]}, {client} and {server}"

    @property
    def key(self) -> Key:
        one, other = sorted((self.client, self.server))
        return self.vids, one, other


class Flow:
    """The packets of one connection in the whole capture."""

    __slots__ = ("client", "isn", "packets", "server")

    def __init__(self, client: Address, server: Address, isn: int) -> None:
        self.client, self.server = client, server
        self.isn: list[int | None] = [isn, None]
        self.packets: list[int] = []


class Whole:
    """An undamaged capture of IPv4 over Ethernet, taken apart."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        self.data = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        self.flows: list[Flow] = []
        # of each packet: whether the server sent it, numbers, flags, where its payload begins and how long it is
        self.side, self.flags = bytearray(), bytearray()
        self.seq, self.ack, self.size = array("I"), array("I"), array("I")
        self.at = array("Q")
        self._read()

    def __enter__(self) -> Whole:
        return self

    def __exit__(self, *_: object) -> None:
        self.data.close()
        self.file.close()

    def _read(self) -> None:
        header = struct.Struct(">HBBHIBBHIIHHIIBB").unpack_from
        latest: dict[tuple[Address, Address], Flow] = {}
        for number, (start, end) in enumerate(records(self.data)):
            kind, version, _, total, _, _, protocol, _, source, target, sport, dport, seq, ack, offset, flags = header(
                self.data, start + 28
            )
            if kind != 0x0800 or version != 0x45 or protocol != 6:
                raise ValueError(f"packet {number + 1} is no plain TCP over IPv4")
            head = 20 + 4 * (offset >> 4)
            if start + 30 + total > end:
                raise ValueError(f"packet {number + 1} is cut off")
            near, far = (source, sport), (target, dport)
            flow, side = self._flow_of(latest, near, far, flags, seq, ack)
            flow.packets.append(number)
            self.side.append(side)
            self.flags.append(flags)
            self.seq.append(seq)
            self.ack.append(ack)
            self.size.append(total - head)
            self.at.append(start + 30 + head)

    def _flow_of(
        self, latest: dict[tuple[Address, Address], Flow], near: Address, far: Address, flags: int, seq: int, ack: int
    ) -> tuple[Flow, int]:
        """The connection a packet belongs to, and 1 if it came from the server. A new initial number is a new one."""
        if flags & SYN:
            client, server, isn = (far, near, (ack - 1) & 0xFFFFFFFF) if flags & ACK else (near, far, seq)
            flow = latest.get((client, server))
            if flow is None or flow.isn[0] != isn:
                flow = latest[client, server] = Flow(client, server, isn)
                self.flows.append(flow)
            if flags & ACK:
                if flow.isn[1] not in (None, seq):
                    raise ValueError("two SYN|ACKs with different numbers")
                flow.isn[1] = seq
            return flow, int(bool(flags & ACK))
        side = 0 if (near, far) in latest else 1
        flow = latest[(far, near) if side else (near, far)]
        isn_known = flow.isn[side]
        if isn_known is not None and (seq - isn_known) & 0xFFFFFFFF > PLAUSIBLE:
            raise ValueError("a packet that fits no connection")
        return flow, side

    def expected(self, order: array[int] | None = None) -> Iterator[Found]:
        """What a copy with its packets in that `order` shows of each connection; None: the capture as it is."""
        if order is None:
            order = array("I", range(len(self.seq)))
        place = array("I", bytes(4 * len(self.seq)))  # first place in the copy, from 1; 0: not in it
        for i in range(len(order) - 1, -1, -1):
            place[order[i]] = i + 1
        for flow in self.flows:
            kept = [i for i in flow.packets if place[i]]
            if not any(not self.flags[i] & RST for i in kept):
                continue
            streams = self.stream(flow, 0, kept), self.stream(flow, 1, kept)
            known = any(self.flags[i] & SYN for i in kept)
            yield Found(min(place[i] for i in kept), flow.client, flow.server, streams, known)

    def text(self, flow: Flow, side: int) -> bytes:
        """What one side sent, in the whole capture and without looking for holes: pieces by their offsets."""
        isn = flow.isn[side]
        carrying = [i for i in flow.packets if self.side[i] == side and self.size[i] and isn is not None]
        found = bytearray()
        for i in sorted(carrying, key=lambda i: self._offset(self.seq[i], isn or 0)):
            start = self._offset(self.seq[i], isn or 0)
            found[start : start + self.size[i]] = self.data[self.at[i] : self.at[i] + self.size[i]]
        return bytes(found)

    def tell(self, order: array[int] | None, frame: int) -> Iterator[str]:
        """A line for each packet of the connection that has packet `frame` (from 1) of a copy, in the whole capture's
        order: its frame numbers in the copy, who sent it, what it carries."""
        places: dict[int, list[int]] = {}
        order = order if order is not None else array("I", range(len(self.seq)))
        for place, i in enumerate(order, 1):
            places.setdefault(i, []).append(place)
        flow = next(flow for flow in self.flows if order[frame - 1] in flow.packets)
        for i in flow.packets:
            own, other = flow.isn[self.side[i]] or 0, flow.isn[1 - self.side[i]] or 0
            flags = "".join(letter for bit, letter in enumerate("FSRPA") if self.flags[i] >> bit & 1)
            frames = "/".join(map(str, places.get(i, ["lost"])))
            ack = self._offset(self.ack[i], other) if self.flags[i] & ACK else "-"
            yield (f"{frames:>8} {'server' if self.side[i] else 'client'} {flags:<3} "
                   f"seq {self._offset(self.seq[i], own)} size {self.size[i]} ack {ack}")

    def stream(self, flow: Flow, side: int, kept: list[int]) -> Stream:
        """One direction of a connection, of which the packets `kept` are there."""
        isn = flow.isn[side]
        if isn is None:
            return Stream(digest=hashlib.sha256().digest())
        pieces: list[tuple[int, int, int]] = []  # first offset, offset behind, where in the file
        low, high, end = PLAUSIBLE, -1, -1
        for i in kept:
            flags = self.flags[i]
            if flags & RST:
                continue
            if self.side[i] == side:
                start = 0 if flags & SYN else self._offset(self.seq[i], isn)
                behind = start + self.size[i]
                if behind > start:
                    pieces.append((start, behind, self.at[i]))
                if flags & FIN:
                    end = behind
            elif flags & ACK:
                start = behind = self._offset(self.ack[i], isn)
            else:
                continue
            low, high = min(low, max(start, 0)), max(high, behind)
        if high < 0:
            return Stream(digest=hashlib.sha256().digest())
        doubtful = False
        if end >= 0:
            high = end
        else:
            whole = self._length(flow, side, isn)
            doubtful, high = high > whole, min(high, whole)
        found = self._assemble(pieces, min(low, high), high)
        found.doubtful = doubtful
        return found

    @staticmethod
    def _offset(number: int, isn: int) -> int:
        """A sequence number as an offset in the stream; -1 for a keepalive's before the first byte."""
        distance = (number - isn - 1) & 0xFFFFFFFF
        return distance if distance <= PLAUSIBLE else distance - (1 << 32)

    def _length(self, flow: Flow, side: int, isn: int) -> int:
        """The stream's true length, of a connection in the whole capture."""
        ends = (self._offset(self.seq[i], isn) + self.size[i] for i in flow.packets if self._carries(i, side))
        return max(ends, default=0)

    def _carries(self, i: int, side: int) -> bool:
        """Whether a packet has bytes or the end of that side's stream."""
        flags = self.flags[i]
        return self.side[i] == side and not flags & (SYN | RST) and (self.size[i] > 0 or flags & FIN > 0)

    def _assemble(self, pieces: list[tuple[int, int, int]], low: int, high: int) -> Stream:
        """Pieces in order of their offsets, and what lies between them."""
        pieces.sort()
        found, holes, cursor = hashlib.sha256(), [], low
        for start, behind, at in pieces:
            if behind <= cursor:
                continue
            if start > cursor:
                holes.append((cursor - low, start - cursor))
                cursor = start
            found.update(self.data[at + cursor - start : at + behind - start])
            cursor = behind
        if cursor < high:
            holes.append((cursor - low, high - cursor))
        return Stream(high - low, holes, found.digest())


def known(count: int, vlan: bool) -> Iterator[Found]:
    """What there is in capture C: everything about a connection follows from its serial number."""
    for serial in range(count):
        c = synthesize.Connection(serial)
        streams = [Stream(len(text), [], hashlib.sha256(text).digest()) for text in (c.request, c.response)]
        vids = b"".join(vid.to_bytes(2, "big") for vid in c.vids) if vlan else b""
        yield Found(0, (c.client, c.port), (c.server, 80), (streams[0], streams[1]), vids=vids)


@dataclass
class Verdict:
    """How findings differ from the truth; right if all are zero from `unfound` on."""

    connections: int = 0
    present: int = 0  # bytes of streams that are in the copy
    holes: int = 0
    missing: int = 0  # bytes in holes
    doubtful: int = 0  # streams that end in a missing byte that was the FIN's
    unfound: int = 0
    invented: int = 0  # connections found that there are not, or twice
    wrong_sides: int = 0
    wrong_vlans: int = 0
    wrong_length: int = 0
    wrong_holes: int = 0
    wrong_bytes: int = 0
    broken_order: int = 0  # calls of the sink that left out or repeated an offset
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        return not any((
            self.unfound, self.invented, self.wrong_sides, self.wrong_vlans, self.wrong_length, self.wrong_holes,
            self.wrong_bytes, self.broken_order,
        ))

    def note(self, name: str, example: str) -> None:
        setattr(self, name, getattr(self, name) + 1)
        examples = self.examples.setdefault(name, [])
        if len(examples) < EXAMPLES:
            examples.append(example)


def compare(truth: Iterable[Found], findings: Iterable[Found], broken: int = 0) -> Verdict:
    """Holds findings against the truth, which comes in order of first packets.

    Connections on one 4-tuple are told apart by their first packets: to a true one belongs what was found to begin at
    its first packet or later, but before the first packet of the next one on the same 4-tuple.
    """
    verdict = Verdict(broken_order=broken)
    pending: dict[Key, list[Found]] = {}
    for found in sorted(findings, key=lambda found: -found.frame):
        pending.setdefault(found.key, []).append(found)
    latest: dict[Key, Found] = {}

    def settle(true: Found, behind: float) -> None:
        """Everything that began before `behind` on the 4-tuple of `true` should be `true`."""
        candidates, matched = pending.get(true.key, []), False
        while candidates and candidates[-1].frame < behind:
            found = candidates.pop()
            if matched or found.frame < true.frame:
                verdict.note("invented", str(found))
            else:
                _compare_one(verdict, true, found)
                matched = True
        if not matched:
            verdict.note("unfound", str(true))

    for true in truth:
        verdict.connections += 1
        verdict.present += sum(stream.length - sum(length for _, length in stream.holes) for stream in true.streams)
        if before := latest.get(true.key):
            settle(before, true.frame)
        latest[true.key] = true
    for true in latest.values():
        settle(true, inf)
    for left in pending.values():
        for found in left:
            verdict.note("invented", str(found))
    return verdict


def _compare_one(verdict: Verdict, true: Found, found: Found) -> None:
    streams = found.streams
    if (found.client, found.server) != (true.client, true.server):
        streams = streams[1], streams[0]
        if true.sides_known:
            verdict.note("wrong_sides", f"{true} found as {found}")
    for wanted, got in zip(true.streams, streams, strict=True):
        verdict.holes += len(got.holes)
        verdict.missing += sum(length for _, length in got.holes)
        if wanted.doubtful and got.length == wanted.length + 1:
            verdict.doubtful += 1
            wanted = Stream(wanted.length + 1, _with_last_byte(wanted), wanted.digest)
        for name in ("length", "holes", "digest"):
            if getattr(wanted, name) != getattr(got, name):
                label = {"length": "wrong_length", "holes": "wrong_holes", "digest": "wrong_bytes"}[name]
                verdict.note(label, f"frame {true.frame}: {wanted}; found in frame {found.frame}: {got}")


def _with_last_byte(stream: Stream) -> list[Hole]:
    """Its holes, if one more byte is missing at the end."""
    if stream.holes and sum(stream.holes[-1]) == stream.length:
        return [*stream.holes[:-1], (stream.holes[-1][0], stream.holes[-1][1] + 1)]
    return [*stream.holes, (stream.length, 1)]

