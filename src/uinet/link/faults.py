"""Faults on purpose, on any device: loss, corruption, delay, jitter, reordering, duplication, a slow line.

Deterministic: the same frames, polls and seed give the same faults. Chances apply to single packets, as on
a wire, so where there are any, large frames are cut into their segments first.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from random import Random

from uinet.errors import InvalidArgument
from uinet.link.device import Device
from uinet.link.offload import finish
from uinet.link.wrapper import Wrapper
from uinet.units import MILLISECOND, SECOND
from uinet.wire.frame import CHECKSUM_UNKNOWN, Frame

DIRECTIONS = ("both", "in", "out")
LIMIT = 10_000
HOLD = 10 * MILLISECOND  # how long a frame to be overtaken waits for others to pass, if none comes
MOST_OVERTAKING = 3
RETRY = MILLISECOND  # how soon frames that the inner device had no room for are offered again


class Faults(Wrapper):
    """A device with faults.

    `drop`, `corrupt` (one bit), `reorder`, `duplicate`: probabilities, 0 to 1, of each packet. `delay`: in
    nanoseconds, each way; `jitter`: delays differ by up to so much, without reordering. `rate`: of the
    line, in bits per second. With a delay a reordered packet skips it and so overtakes others; without, up
    to three later packets overtake it. `direction`: "both", "in" or "out". `limit`: frames that may be
    delayed in each direction; more are dropped, counted as fault_queue_full.
    """

    def __init__(
        self,
        inner: Device,
        *,
        drop: float = 0.0,
        corrupt: float = 0.0,
        reorder: float = 0.0,
        duplicate: float = 0.0,
        delay: int = 0,
        jitter: int = 0,
        rate: float | None = None,
        seed: int = 0,
        direction: str = "both",
        limit: int = LIMIT,
    ) -> None:
        chances = {"drop": drop, "corrupt": corrupt, "reorder": reorder, "duplicate": duplicate}
        for name, chance in chances.items():
            if not 0 <= chance <= 1:
                raise InvalidArgument(f"{name}={chance}: want a probability from 0 to 1")
        if delay < 0 or jitter < 0:
            raise InvalidArgument(f"delay={delay}, jitter={jitter}: want times of 0 or more")
        if rate is not None and rate <= 0:
            raise InvalidArgument(f"rate={rate}: want bits per second, more than 0")
        if limit < 1:
            raise InvalidArgument(f"limit={limit}: want 1 frame or more")
        if direction not in DIRECTIONS:
            raise InvalidArgument(f"direction={direction}: want one of {', '.join(DIRECTIONS)}")
        if corrupt and not inner.checksums:
            raise InvalidArgument("corrupt: this link has no checksums, so nobody could tell")
        super().__init__(inner)
        self.drop, self.corrupt, self.reorder, self.duplicate = drop, corrupt, reorder, duplicate
        self.delay, self.jitter, self.rate, self.limit = delay, jitter, rate, limit
        self.timed = bool(delay or jitter or rate)
        self._in = None if direction == "out" else Lane(self, Random(f"{seed}/in"))
        self._out = None if direction == "in" else Lane(self, Random(f"{seed}/out"))
        self._ready: deque[Frame] = deque()  # inbound, to be received
        self._backlog: list[Frame] = []  # outbound, that the inner device had no room for
        self._retry_at = 0

    def recv(self, limit: int = 64) -> list[Frame]:
        self.require_open()
        if self._in is None:
            return self.inner.recv(limit)
        ready = self._ready
        if len(ready) < limit:
            ready += self._in.push(self.inner.recv(limit))
        return [ready.popleft() for _ in range(min(limit, len(ready)))]

    def send(self, frames: Sequence[Frame]) -> int:
        self.require_open()
        if self._out is None:
            return self.inner.send(frames)
        if self._backlog:
            self._drain()
            if self._backlog:
                return 0
        self._forward(self._out.push(frames))
        return len(frames)

    def _forward(self, frames: list[Frame]) -> None:
        """Sends what comes out of the outbound lane, behind what is still waiting."""
        if frames:
            self._backlog += frames
            self._drain()

    def _drain(self) -> None:
        taken = self.inner.send(self._backlog)
        del self._backlog[:taken]

    def _inner_writable(self) -> None:
        if self._backlog and not self.closed:
            self._drain()
        if not self._backlog:
            super()._inner_writable()

    def deadline(self) -> int | None:
        deadlines = [self.inner.deadline()]
        deadlines += [lane.deadline() for lane in (self._in, self._out) if lane is not None]
        if self._ready:
            deadlines.append(0)
        if self._backlog:
            deadlines.append(self._retry_at)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll(self, now: int) -> None:
        if self.closed:
            return
        self.inner.poll(now)
        if self._out is not None:
            self._forward(self._out.poll(now))
            if self._backlog:
                self._drain()
                self._retry_at = now + RETRY
        if self._in is not None:
            self._ready += self._in.poll(now)
            if self._ready:
                self._inner_readable()

    @property
    def finished(self) -> bool:
        return self.inner.finished and not self._ready and (self._in is None or not len(self._in))

    def close(self) -> None:
        if self.closed:
            return
        waiting = len(self._ready) + len(self._backlog)
        waiting += sum(len(lane) for lane in (self._in, self._out) if lane is not None)
        self.count("discarded", waiting)
        super().close()


class Lane:
    """One direction: frames in by `push`, out by `push` at once or by `poll` in time.

    A frame's time counts from the first `poll` after it came, for only that tells the time: while frames
    wait for it the deadline is 0.
    """

    def __init__(self, faults: Faults, random: Random) -> None:
        self._faults = faults
        self._random = random
        self._arrived: list[tuple[Frame, bool]] = []  # (frame, skips the delay), not yet stamped
        self._delayed: list[tuple[int, int, Frame]] = []  # heap of (due, serial, frame)
        self._held: list[Held] = []  # to be overtaken
        self._serial = 0
        self._line_free = 0  # when the line has sent all that came before
        self._last_due = 0

    def __len__(self) -> int:
        return len(self._arrived) + len(self._delayed) + len(self._held)

    def push(self, frames: Sequence[Frame]) -> list[Frame]:
        """Puts frames through the faults; those that come out at once."""
        faults = self._faults
        out: list[Frame] = []
        for packet in self._packets(frames):
            if faults.drop and self._random.random() < faults.drop:
                faults.count("fault_dropped")
                continue
            copies = [packet]
            if faults.duplicate and self._random.random() < faults.duplicate:
                faults.count("fault_duplicated")
                copies.append(Frame(packet.data, packet.checksum, packet.gso_size, packet.time))
            for copy in copies:
                self._pass(self._corrupted(copy), out)
        return out

    def _packets(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """`frames`, as single packets if chance rules over them."""
        faults = self._faults
        if not (faults.drop or faults.corrupt or faults.reorder or faults.duplicate):
            return frames
        checksums = faults.checksums
        return [packet for frame in frames for packet in finish(frame, faults.layer, checksums=checksums)]

    def _corrupted(self, frame: Frame) -> Frame:
        """`frame`, or a copy of it with one bit flipped."""
        chance = self._faults.corrupt
        if not chance or not frame.data or self._random.random() >= chance:
            return frame
        self._faults.count("fault_corrupted")
        data = bytearray(frame.data)
        data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)
        return Frame(bytes(data), CHECKSUM_UNKNOWN, frame.gso_size, frame.time)

    def _pass(self, frame: Frame, out: list[Frame]) -> None:
        """On to the delay, the frames held back, or straight to `out`."""
        faults = self._faults
        reordered = bool(faults.reorder) and self._random.random() < faults.reorder
        if reordered:
            faults.count("fault_reordered")
        if len(self) >= faults.limit:
            faults.count("fault_queue_full")
        elif faults.timed:
            self._arrived.append((frame, reordered))
        elif reordered:
            self._held.append(Held(frame, self._random.randint(1, MOST_OVERTAKING)))
        else:
            out.append(frame)
            self._overtaken(out)

    def _overtaken(self, out: list[Frame]) -> None:
        """A frame has passed: those that it was the last to overtake follow it."""
        if self._held:
            for held in self._held:
                held.overtakers -= 1
            out += [held.frame for held in self._held if held.overtakers <= 0]
            self._held = [held for held in self._held if held.overtakers > 0]

    def deadline(self) -> int | None:
        """When `poll` has something to do; 0 for at once."""
        if self._arrived:
            return 0
        times = [held.until for held in self._held]
        if self._delayed:
            times.append(self._delayed[0][0])
        return min(times, default=None)

    def poll(self, now: int) -> list[Frame]:
        """The frames that are due by now."""
        for frame, skips in self._arrived:
            self._serial += 1
            due = now if skips else self._due(now, frame)
            heapq.heappush(self._delayed, (due, self._serial, frame))
        self._arrived.clear()
        out = []
        while self._delayed and self._delayed[0][0] <= now:
            out.append(heapq.heappop(self._delayed)[2])
        for held in self._held:
            held.until = held.until or now + HOLD
        out += [held.frame for held in self._held if held.until <= now]
        self._held = [held for held in self._held if held.until > now]
        return out

    def _due(self, now: int, frame: Frame) -> int:
        """When a frame that enters the line now comes out of it, after all that came before."""
        faults = self._faults
        due = now
        if faults.rate:
            due = max(now, self._line_free) + round(len(frame.data) * 8 * SECOND / faults.rate)
            self._line_free = due
        due += faults.delay
        if faults.jitter:
            due += self._random.randint(-min(faults.jitter, faults.delay), faults.jitter)
        self._last_due = max(due, self._last_due)
        return self._last_due


class Held:
    """A frame that waits to be overtaken by so many others, or until a time (0: not known yet)."""

    __slots__ = ("frame", "overtakers", "until")

    def __init__(self, frame: Frame, overtakers: int) -> None:
        self.frame = frame
        self.overtakers = overtakers
        self.until = 0
