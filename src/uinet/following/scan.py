"""Captures in parts: which connections a file has packets of, and those that other files have too, set apart.

What the workers of a cluster do for each packet (see :mod:`uinet.following.shares`), hence compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from uinet.passive.codes import SEGMENT, SUM_BAD, SUM_GOOD
from uinet.passive.connection import Connection
from uinet.passive.constants import LEAP
from uinet.passive.decoder import Decoder
from uinet.passive.follower import Follower
from uinet.passive.options import Options
from uinet.passive.sink import Sink
from uinet.wire.kernels import take
from uinet.wire.segment import Segment

BELIEVED = 255  # good checksums of one direction that count, as in Half.good
HEAD_STAMPS = 8  # time stamps after which a clock that leaps has leapt
FAR = 1 << 62

# a frame that goes elsewhere: time; the clock's time, shift and strange stamps with it; its number in the capture;
# good and bad checksums before it; link type, bytes captured, length on the wire; strange stamps
FRAME = Struct("<qqqqqqIIIB")
ONLY_TIME = 0xFFFFFFFF  # link type of a time stamp without a packet


class Timed(Follower):
    """A follower that says whether a timer is under work: `expiring`."""

    def __init__(self, sink: Sink, options: Options, *, seed: bytes) -> None:
        super().__init__(sink, options, seed=seed)
        self.expiring = False

    def due(self, conn: Connection, now: int) -> None:
        """The timer of `conn`."""
        self.expiring = True
        Follower.due(self, conn, now)
        self.expiring = False


class Scanner(Follower):
    """Follows nothing, and notes what there is to follow: keys and address pairs, time stamps, checksums.

    `keys`: the keyed hash of each connection's addresses, ports and VLANs, and how many good checksums it had, up to
    BELIEVED each way. `pairs`: that of their addresses and VLANs alone; `fragmented`: of pairs with fragments.
    `head`: the first time stamps; `first`, `least`, `most`: of the rest. `steady`: no time stamp of the rest is further
    than a day from the latest before it.
    """

    def __init__(self, options: Options, *, seed: bytes) -> None:
        super().__init__(Sink(), options, seed=seed)
        self.unported = Segment()
        self.keys: dict[int, int] = {}
        self.pairs: set[int] = set()
        self.fragmented: set[int] = set()
        self.good = 0
        self.bad = 0
        self.head: list[int] = []
        self.first = 0
        self.least = FAR
        self.most = -FAR
        self.steady = True

    def enqueue(self, link_type: int, data: bytes, start: int, captured: int, length: int, time: int) -> None:
        """One packet."""
        self.frames += 1
        self.stamped(time)
        decoder: Decoder = self.lanes[0]
        packet = decoder.packet
        packet.fragment = 0
        code = decoder.decode(link_type, data, start, captured, length, time)
        if code != SEGMENT and not packet.fragment:
            return
        if decoder.mark:
            self.look_at_vlans(decoder)
        if packet.fragment or packet.data is not data:
            pair = self.hash_of(packet, self.unported, decoder.mark)
            self.pairs.add(pair)
            self.fragmented.add(pair)
        if code == SEGMENT:
            decoder.verify()
            self.noted(decoder)

    def noted(self, decoder: Decoder) -> None:
        """A segment."""
        key = self.hash_of(decoder.packet, decoder.seg, decoder.mark)
        good = self.keys.get(key, -1)
        if good < 0:
            self.pairs.add(self.hash_of(decoder.packet, self.unported, decoder.mark))
            good = 0
            self.keys[key] = 0
        if decoder.sum == SUM_GOOD:
            if good < 2 * BELIEVED:
                self.keys[key] = good + 1
                self.good += 1
        elif decoder.sum == SUM_BAD:
            self.bad += 1

    def stamped(self, time: int) -> None:
        """Takes note of a time stamp."""
        if len(self.head) < HEAD_STAMPS:
            self.head.append(time)
            return
        if self.most == -FAR:
            self.first = time
        elif time - self.most > LEAP or self.most - time > LEAP:
            self.steady = False
        if time > self.most:
            self.most = time
        if time < self.least:
            self.least = time


class Splitter(Follower):
    """Follows what only this file has with `inner`, and gives the rest to `ship`: (number of the part, bytes).

    `shared`: keys of connections, and `pairs` of addresses, that other files have too. The part of a connection is its
    key modulo `parts`, or if its addresses are shared, theirs.
    """

    def __init__(
        self, inner: Timed, options: Options, seed: bytes, shared: set[int], pairs: set[int], parts: int,
        ship: Callable[[int, bytes], object],
    ) -> None:
        super().__init__(Sink(), options, seed=seed)
        self.inner = inner
        self.shared = shared
        self.shared_pairs = pairs
        self.pairing = bool(pairs)
        self.parts = parts
        self.ship = ship
        self.unported = Segment()
        self.known: dict[int, int] = {}  # good checksums of shared connections
        self.shipped = 0
        self.doubtful = inner.clock.strange != 0  # the clock is in doubt: when that ends is to be told

    def enqueue(self, link_type: int, data: bytes, start: int, captured: int, length: int, time: int) -> None:
        """One packet."""
        inner = self.inner
        if self.frames:
            inner.frames += self.frames  # those that a filter has kept back
            self.frames = 0
        decoder: Decoder = self.lanes[0]
        packet = decoder.packet
        packet.fragment = 0
        code = decoder.decode(link_type, data, start, captured, length, time)
        part = -1
        if code == SEGMENT or packet.fragment:
            if decoder.mark:
                self.look_at_vlans(decoder)
            part = self.part_of(code, decoder)
        if part < 0:
            inner.enqueue(link_type, data, start, captured, length, time)
            if inner.clock.strange or self.doubtful:
                inner.flush()
                self.decided(data)
            return
        inner.flush()
        inner.frames += 1
        inner.at(time)
        self.decided(data)
        self.send(part, link_type, data, start, captured, length, time)
        if code == SEGMENT:
            decoder.verify()
            self.judged(decoder)

    def decided(self, data: bytes) -> None:
        """Tells all parts if the clock was in doubt, and is no longer."""
        clock = self.inner.clock
        if self.doubtful and not clock.strange:
            for number in range(self.parts):
                self.send(number, ONLY_TIME, data, 0, 0, 0, clock.now - clock.shift)
        self.doubtful = clock.strange != 0

    def flush(self) -> None:
        """What is put off is that of `inner`."""
        self.inner.flush()

    def part_of(self, code: int, decoder: Decoder) -> int:
        """The part of a segment or fragment; -1 if only this file has it."""
        if self.pairing:
            pair = self.hash_of(decoder.packet, self.unported, decoder.mark)
            if pair in self.shared_pairs:
                return pair % self.parts
        if code == SEGMENT:
            decoder.key = self.hash_of(decoder.packet, decoder.seg, decoder.mark)
            if decoder.key in self.shared:
                return decoder.key % self.parts
        return -1

    def send(
        self, part: int, link_type: int, data: bytes, start: int, captured: int, length: int, time: int
    ) -> None:
        """Hands over a packet, with what was known when it came."""
        inner = self.inner
        clock = inner.clock
        head = FRAME.pack(
            time, clock.now, clock.shift, inner.frames, inner.good_sums, inner.bad_sums, link_type, captured, length,
            clock.strange,
        )
        self.shipped += 1
        self.ship(part, head + take(data, start, captured))

    def judged(self, decoder: Decoder) -> None:
        """The checksum of a segment that goes elsewhere: it says something of this file's."""
        if decoder.sum == SUM_GOOD:
            key = self.hash_of(decoder.packet, decoder.seg, decoder.mark)
            good = self.known.get(key, 0)
            if good < 2 * BELIEVED:
                self.known[key] = good + 1
                self.inner.good_sums += 1
        elif decoder.sum == SUM_BAD:
            self.inner.bad_sums += 1


__all__ = ["FRAME", "ONLY_TIME", "Scanner", "Splitter", "Timed"]
