"""Links that are as slow, long and lossy as a test wants them, each direction on its own.

A frame's way through one direction: the queue in front of the wire (`queue` frames, `queue_bytes`; a full one drops
the newest), the wire's `rate`, then `delay` and `jitter`. What goes wrong goes wrong on the wire, after the
queue: `loss`, `corrupt`, `duplicate`, `reorder`. All chance comes from one seeded generator per direction.
The emulator (`uinet.sim.emulator`) puts the same links between real devices, on real time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Protocol

from uinet.errors import InvalidArgument
from uinet.sim.capture import CaptureFile
from uinet.sim.clock import Clock
from uinet.sim.router import too_big
from uinet.units import MILLISECOND, seconds
from uinet.wire.addresses import TPIDS
from uinet.wire.constants import ETHERTYPE_IPV4, ETHERTYPE_IPV6
from uinet.wire.frame import CHECKSUM_UNKNOWN, Frame
from uinet.wire.kernels import checksum


class Capture(Protocol):
    """Where a port's frames are recorded; `time` in ns of virtual time."""

    def write(self, data: bytes, time: int) -> None:
        """Records one frame."""


COUNTERS = (
    "sent", "bytes", "delivered", "queue_full", "too_long", "dropped", "lost", "corrupted", "duplicated",
    "reordered", "marked",
)
LONGEST = 1e6  # seconds; about eleven days
PROBABILITIES = ("loss", "reorder", "duplicate", "corrupt")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What one direction of a link is like. Times in seconds, probabilities from 0 to 1, per frame.

    `rate`: bit/s, None for no limit. `jitter`: up to this much is added to `delay`; it never reorders.
    `loss`: how many are lost in the long run; with a `burst` of more than 1 they are lost in bursts of that many on
    average (Gilbert's model: a good state, and a bad one in which every frame is lost). `lose_every`: each frame whose
    number, from 1, is a multiple of this is lost as well; 0 for none.
    `reorder`: a frame is held back for up to `reorder_delay` more, so that later ones overtake it (None: the
    link's own delay, at least 1 ms). `corrupt`: one bit of the IP packet flips; a frame that is no IP packet
    is lost instead, as an Ethernet checksum would have it. `queue`: frames that wait for the wire at most;
    `queue_bytes`: their bytes at most, None for no limit. `mark`: an ECN-capable packet (RFC 3168) that finds this many
    frames waiting, or more, is marked "congestion experienced"; None for never, 0 for all.
    `mtu`: longest IP packet in bytes; a longer one is dropped without a word. `path_mtu`: the longest that a router
    half way carries (None: the same); with `icmp` it answers longer ones that may not be fragmented.
    """

    rate: float | None = None
    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    queue: int = 1000
    mtu: int = 1500
    reorder_delay: float | None = None
    burst: float = 1.0
    lose_every: int = 0
    queue_bytes: int | None = None
    mark: int | None = None
    path_mtu: int | None = None
    icmp: bool = False

    def __post_init__(self) -> None:
        if self.rate is not None and not self.rate > 0:
            raise InvalidArgument(f"a link's rate is in bit/s and more than 0 (or None), not {self.rate!r}")
        for name in ("delay", "jitter"):
            if not 0 <= getattr(self, name) <= LONGEST:
                raise InvalidArgument(f"a link's {name} is seconds, 0 or more, not {getattr(self, name)!r}")
        for name in PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidArgument(f"a link's {name} is a probability, not {getattr(self, name)!r}")
        if not 1 <= self.burst < float("inf"):
            raise InvalidArgument(f"a link's bursts are of one frame or more on average, not {self.burst!r}")
        if self.burst > 1 and self.loss > self.burst / (1 + self.burst):
            raise InvalidArgument(f"bursts of {self.burst:g} frames can't lose {self.loss:g} of all: raise burst")
        if self.lose_every < 0:
            raise InvalidArgument(f"a link loses every so many frames, or 0 for none, not {self.lose_every!r}")
        if self.queue < 1:
            raise InvalidArgument(f"a link's queue holds at least one frame, not {self.queue!r}")
        if self.queue_bytes is not None and self.queue_bytes < 1:
            raise InvalidArgument(f"a link's queue holds at least one byte (or None), not {self.queue_bytes!r}")
        if self.mark is not None and self.mark < 0:
            raise InvalidArgument(f"a link marks from so many frames in its queue on (or None), not {self.mark!r}")
        for mtu in (self.mtu, self.path_mtu):
            if mtu is not None and mtu < 68:  # RFC 791, 3.2: what every IPv4 link carries
                raise InvalidArgument(f"a link's MTU is at least 68 bytes, not {mtu!r}")


def network_header(data: bytes, layer: int) -> tuple[int, int]:
    """(offset of the network header, ethertype) of a frame; the ethertype is 0 where there is none."""
    if layer == 3:
        version = data[0] >> 4 if data else 0
        return 0, ETHERTYPE_IPV4 if version == 4 else ETHERTYPE_IPV6 if version == 6 else 0
    offset = 12
    while len(data) >= offset + 2:
        ethertype = data[offset] << 8 | data[offset + 1]
        if ethertype not in TPIDS:
            return offset + 2, ethertype
        offset += 4
    return len(data), 0


def marked_copy(frame: Frame, layer: int) -> Frame | None:
    """`frame` with its packet marked "congestion experienced"; None if the packet is not ECN-capable, or none."""
    at, ethertype = network_header(frame.data, layer)
    if ethertype == ETHERTYPE_IPV4 and len(frame.data) >= at + 20:
        if not frame.data[at + 1] & 3:
            return None
        data = bytearray(frame.data)
        data[at + 1] |= 3
        data[at + 10 : at + 12] = bytes(2)
        length = (data[at] & 0xF) * 4
        data[at + 10 : at + 12] = (checksum(data, at, length, 0) ^ 0xFFFF).to_bytes(2, "big")
    elif ethertype == ETHERTYPE_IPV6 and len(frame.data) >= at + 40:
        if not frame.data[at + 1] & 0x30:
            return None
        data = bytearray(frame.data)
        data[at + 1] |= 0x30
    else:
        return None
    return Frame(bytes(data), frame.checksum, 0, frame.time)


class Channel:
    """One direction of a link. `send` takes a frame now; `deliver` is called with it when it arrives.

    `drop`, if set, is asked about each frame first, in the order sent: a true answer loses that frame. So a
    test says exactly which frame is lost.
    """

    def __init__(
        self,
        clock: Clock,
        random: Random,
        deliver: Callable[[Frame], None],
        conditions: Conditions,
        layer: int = 2,
    ) -> None:
        self.clock = clock
        self.random = random
        self.deliver = deliver
        self.layer = layer
        self.drop: Callable[[Frame], bool] | None = None
        self.refuse: Callable[[Frame], None] | None = None  # takes what the router answers, to the sender
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._departures: deque[int] = deque()  # of the frames that wait for the wire or are on it
        self._sizes: deque[int] = deque()  # theirs, in bytes
        self._queued = 0  # the sum of the sizes
        self._last_arrival = 0
        self._wired = 0  # frames that have left the queue for the wire
        self._bad = False  # Gilbert's bad state
        self._adopt(conditions)

    def _adopt(self, conditions: Conditions) -> None:
        """Notes what each frame needs of `conditions`; times in ns."""
        self.conditions = conditions
        self._mtu = min(conditions.mtu, conditions.path_mtu or conditions.mtu)
        self._byte_time = 0.0 if conditions.rate is None else 8e9 / conditions.rate
        self._delay = seconds(conditions.delay)
        self._mark = -1 if conditions.mark is None else conditions.mark
        self._loss, self._corrupt_chance = conditions.loss, conditions.corrupt
        self._duplicate, self._reorder = conditions.duplicate, conditions.reorder

    def set(self, **changes: Any) -> None:
        """Changes conditions, by the names of :class:`Conditions`, for frames sent from now on."""
        self._adopt(replace(self.conditions, **changes))

    def send(self, frame: Frame) -> None:
        """Puts `frame`, which must be complete (no checksum to fill in, no GSO), on its way."""
        counters = self.counters
        size = len(frame.data)
        counters["sent"] += 1
        counters["bytes"] += size
        if size > self._mtu and size - network_header(frame.data, self.layer)[0] > self._mtu:
            counters["too_long"] += 1
            if self.conditions.icmp and self.refuse is not None:
                self._refuse(frame)
            return
        if self.drop is not None and self.drop(frame):
            counters["dropped"] += 1
            return
        departure = self._departure(size)
        if departure < 0:
            counters["queue_full"] += 1
            return
        if self._mark >= 0 and (self._mark == 0 or len(self._departures) - 2 >= self._mark):  # itself, and the wire's
            marked = marked_copy(frame, self.layer)
            if marked is not None:
                counters["marked"] += 1
                frame = marked
        self._propagate(frame, departure)

    def _refuse(self, frame: Frame) -> None:
        """The router on the way can't carry `frame`, and says so."""
        offset, ethertype = network_header(frame.data, self.layer)
        answer = too_big(frame.data, offset, ethertype, self._mtu)
        if answer is not None and self.refuse is not None:
            self.clock._schedule(self.clock.now + self._delay, self.refuse, (Frame(answer),))

    def _departure(self, size: int) -> int:
        """When the last bit of a frame of `size` bytes leaves the sender; -1 if the queue is full."""
        now = self.clock.now
        if not self._byte_time:
            return now
        departures, sizes = self._departures, self._sizes
        while departures and departures[0] <= now:
            departures.popleft()
            self._queued -= sizes.popleft()
        if departures and self._is_full(size):
            return -1
        start = departures[-1] if departures else now
        departure = start + int(size * self._byte_time + 0.5)
        departures.append(departure)
        sizes.append(size)
        self._queued += size
        return departure

    def _is_full(self, size: int) -> bool:
        """Whether the queue has no room for a frame of `size` bytes; what the wire carries is not in the queue."""
        if len(self._departures) > self.conditions.queue:
            return True
        limit = self.conditions.queue_bytes
        return limit is not None and self._queued - self._sizes[0] + size > limit

    def queued(self) -> int:
        """How many frames wait for the wire now, or are on it."""
        now = self.clock.now
        return sum(departure > now for departure in self._departures)

    def _propagate(self, frame: Frame, departure: int) -> None:
        counters = self.counters
        self._wired += 1
        if self._is_lost():
            counters["lost"] += 1
            return
        if self._corrupt_chance and self.random.random() < self._corrupt_chance:
            counters["corrupted"] += 1
            corrupted = self._corrupt(frame)
            if corrupted is None:
                return
            frame = corrupted
        arrival = self._arrival(departure)
        self.clock._schedule(arrival, self._arrive, (frame,))
        if self._duplicate and self.random.random() < self._duplicate:
            counters["duplicated"] += 1
            self.clock._schedule(arrival, self._arrive, (frame,))

    def _arrival(self, departure: int) -> int:
        """When a frame that left at `departure` arrives."""
        conditions, random = self.conditions, self.random
        arrival = departure + self._delay
        if conditions.jitter:
            arrival += seconds(conditions.jitter * random.random())
        if self._reorder and random.random() < self._reorder:
            self.counters["reordered"] += 1
            longest = conditions.reorder_delay
            span = seconds(longest) if longest is not None else max(self._delay, MILLISECOND)
            return arrival + round(span * random.random())
        if arrival < self._last_arrival:
            arrival = self._last_arrival
        self._last_arrival = arrival
        return arrival

    def _is_lost(self) -> bool:
        """Whether the wire loses the next frame."""
        conditions = self.conditions
        if not self._loss:
            lost = False
        elif conditions.burst <= 1:
            lost = self.random.random() < self._loss
        else:
            # mean burst length 1 / P(leave); in the long run P(bad) = P(enter) / (P(enter) + P(leave)) = loss
            leave = 1 / conditions.burst
            change = leave if self._bad else leave * conditions.loss / (1 - conditions.loss)
            if self.random.random() < change:
                self._bad = not self._bad
            lost = self._bad
        every = conditions.lose_every
        return lost or (every > 0 and self._wired % every == 0)

    def _corrupt(self, frame: Frame) -> Frame | None:
        """`frame` with one bit of its IP packet flipped; None if there is none to damage."""
        offset, ethertype = network_header(frame.data, self.layer)
        if ethertype not in (ETHERTYPE_IPV4, ETHERTYPE_IPV6) or offset >= len(frame.data):
            return None
        data = bytearray(frame.data)
        bit = int(self.random.random() * (len(data) - offset) * 8)
        data[offset + bit // 8] ^= 1 << bit % 8
        return Frame(bytes(data))

    def _arrive(self, frame: Frame) -> None:
        self.counters["delivered"] += 1
        # what the sender knew of the checksum stays behind: the receiver verifies it
        self.deliver(Frame(frame.data, CHECKSUM_UNKNOWN, 0, self.clock.now))

    def statistics(self) -> dict[str, int]:
        """Frames by what became of them, and `bytes` sent."""
        return dict(self.counters)


class Port:
    """One end of a link, or a place at a segment: where a node's interface is plugged in.

    Frames of both ways go to `captures`, and to `files` with their direction: outbound ones when they are
    sent, before anything can go wrong with them, inbound ones when they arrive, as tcpdump on that node
    would see them.
    """

    def __init__(self, clock: Clock, name: str, layer: int, receive: Callable[[Frame], None]) -> None:
        self.clock = clock
        self.name = name
        self.layer = layer
        self.channel: Channel | None = None
        self.captures: list[Capture] = []
        self.files: list[CaptureFile] = []
        self._receive = receive

    def send(self, frame: Frame) -> None:
        """Sends `frame` into the link; without a link it goes nowhere."""
        self._record(frame, True)
        if self.channel is not None:
            self.channel.send(frame)

    def receive(self, frame: Frame) -> None:
        """Hands an arriving `frame` to the node."""
        self._record(frame, False)
        self._receive(frame)

    def _record(self, frame: Frame, outbound: bool) -> None:
        for file in self.files:
            file.write(frame.data, self.clock.now, outbound)
        for capture in self.captures:
            capture.write(frame.data, self.clock.now)


class Link:
    """A cable between two ports. `ab` is the direction from `a` to `b`, `ba` the other one."""

    def __init__(self, a: Port, b: Port, ab: Channel, ba: Channel) -> None:
        self.a = a
        self.b = b
        self.ab = ab
        self.ba = ba

    def set(self, **changes: Any) -> None:
        """Changes conditions of both directions from now on; a pair means (a to b, b to a)."""
        forward, backward = both_ways(changes)
        self.ab.set(**forward)
        self.ba.set(**backward)

    def statistics(self) -> dict[str, dict[str, int]]:
        """The counters of both directions, by "ab" and "ba"."""
        return {"ab": self.ab.statistics(), "ba": self.ba.statistics()}

    def __repr__(self) -> str:
        return f"<Link {self.a.name} - {self.b.name}>"


class Segment:
    """A wire that all its ports share: what one sends reaches every other one. Nothing is learned."""

    def __init__(self) -> None:
        self.ports: list[Port] = []
        self.captures: list[Capture] = []

    def channel_from(self, port: Port) -> Callable[[Frame], None]:
        """What a channel from `port` delivers to."""

        def deliver(frame: Frame) -> None:
            for capture in self.captures:
                capture.write(frame.data, frame.time)
            for other in self.ports:
                if other is not port:
                    other.receive(frame)

        return deliver

    def set(self, **changes: Any) -> None:
        """Changes the conditions of every port's way into the segment from now on."""
        for port in self.ports:
            if port.channel is not None:
                port.channel.set(**changes)

    def statistics(self) -> dict[str, dict[str, int]]:
        """The counters of each port's way into the segment, by the port's name."""
        return {port.name: port.channel.statistics() for port in self.ports if port.channel is not None}


def both_ways(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits settings whose values may be pairs, one for each direction, into those of both directions."""
    forward, backward = {}, {}
    for name, value in settings.items():
        if isinstance(value, tuple):
            if len(value) != 2:
                raise InvalidArgument(f"{name} is one value or a pair, one for each direction, not {value!r}")
            forward[name], backward[name] = value
        else:
            forward[name] = backward[name] = value
    return forward, backward
