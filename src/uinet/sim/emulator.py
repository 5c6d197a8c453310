"""A link of the simulator between two real devices, on real time: as slow, long and lossy as a test wants it.

    with Emulator(open_device("tap:left?offload=0"), open_device("tap:right?offload=0"),
                  rate=100e6, delay=0.010, loss=0.01, seed=7) as link:
        link.run(until=lambda: finished)

When a frame arrives is reckoned from when it was read, exactly as in the simulator, so an emulator that wakes up late
does not change the rate or the order, only that frame's moment; how late each frame came out is counted (`lateness`).
What is lost, held back or damaged depends on the seed and on how many frames went before, not on time.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from random import Random
from time import monotonic_ns
from types import TracebackType
from typing import Any

from uinet.errors import InvalidArgument
from uinet.link.device import Device
from uinet.link.offload import finish
from uinet.sim.clock import Clock
from uinet.sim.lateness import Lateness, sharp_sleep
from uinet.sim.link import Channel, Conditions, both_ways
from uinet.units import MILLISECOND, SECOND, seconds
from uinet.wire.frame import CHECKSUM_NEEDED, Frame

BATCH = 64
SPIN = 30_000  # ns; a sleep is not worth while for less, and would end late
RETRY = MILLISECOND  # how soon a device that was full is offered its frames again
BACKLOG = 10_000  # frames that wait for a device that is full, at most
LONGEST_SLEEP = 0.5  # seconds between two looks at `until`


class Side:
    """One end of the emulated link: its device, the channel that its frames enter, and what waits to leave by it."""

    def __init__(self, name: str, device: Device) -> None:
        if device.fileno() < 0:
            raise InvalidArgument(f"{device.name} has no descriptor to wait for, as the emulator's devices must")
        self.name = name
        self.device = device
        self.channel: Channel
        self.outbox: list[tuple[int, Frame]] = []  # (when it was due, frame)
        self.retry_at: int | None = None
        self.overrun = 0
        self.on_frame: Callable[[Frame, bool], object] | None = None  # (frame, whether it comes out here)

    def deliver(self, frame: Frame) -> None:
        """Takes a frame that has come through the link; `frame.time` is when it was due."""
        if len(self.outbox) >= BACKLOG:
            self.overrun += 1
        else:
            self.outbox.append((frame.time, frame))

    def flush(self, now: Callable[[], int], lateness: Lateness) -> None:
        """Hands what is due to the device, as far as it takes it."""
        outbox = self.outbox
        taken = self.device.send([frame for _, frame in outbox])
        time = now()
        for due, frame in outbox[:taken]:
            lateness.add(time - due)
            if self.on_frame is not None:
                self.on_frame(frame, True)
        del outbox[:taken]
        self.retry_at = time + RETRY if outbox else None


class Emulator:
    """Joins devices `a` and `b`, both with a descriptor and of one layer, by a link with faults.

    Closing it closes them.
    The conditions are those of :class:`uinet.sim.Conditions`, for both directions or as a pair (a to b, b to a), and
    hold until `reset`. `spin`: seconds before a frame is due from which on the emulator watches the clock instead of
    sleeping: what a processor's wakeup takes, or 0 to spare the processor. Frames that stand for several (GSO) are cut
    first: each packet has its own fate. Open a TAP with ``offload=0``, and the kernel cuts them.
    """

    def __init__(
        self,
        a: Device,
        b: Device,
        *,
        seed: int = 0,
        spin: float = SPIN / SECOND,
        clock: Callable[[], int] = monotonic_ns,
        **conditions: Any,
    ) -> None:
        if a.layer != b.layer:
            raise InvalidArgument(f"{a.name} is of layer {a.layer}, but {b.name} of layer {b.layer}")
        self.now = clock
        self.spin = seconds(spin)
        self.sides = Side("a", a), Side("b", b)
        self.stopped = False
        self.reset(seed=seed, **conditions)

    def reset(self, *, seed: int = 0, **conditions: Any) -> None:
        """A new link between the same devices: empty, with these conditions, and counting from zero."""
        self.clock = Clock(self.now())
        self.lateness = Lateness()
        mtu = conditions.pop("mtu", None)
        for (side, other), settings in zip((self.sides, self.sides[::-1]), both_ways(conditions), strict=True):
            carried = mtu or max(side.device.mtu for side in self.sides)
            side.channel = Channel(
                self.clock, Random(f"{seed}/{side.name}"), other.deliver, Conditions(mtu=carried, **settings),
                side.device.layer,
            )
            side.outbox.clear()
            side.retry_at, side.overrun = None, 0

    def set(self, **changes: Any) -> None:
        """Changes conditions on the way, for frames that enter from now on; a pair means (a to b, b to a)."""
        for side, settings in zip(self.sides, both_ways(changes), strict=True):
            side.channel.set(**settings)

    def run(self, until: Callable[[], object] | None = None, timeout: float | None = None) -> bool:
        """Emulates until `until()` is true or `stop` is called: True; until `timeout` seconds have passed: False.

        DeviceGone when one of the devices has vanished.
        """
        self.stopped = False
        end = None if timeout is None else self.now() + seconds(timeout)
        with sharp_sleep():
            while not self.stopped:
                if until is not None and until():
                    return True
                left = LONGEST_SLEEP if end is None else min(LONGEST_SLEEP, (end - self.now()) / SECOND)
                if left <= 0:
                    return False
                self.step(left)
        return True

    def stop(self) -> None:
        """Makes `run` return, from a signal handler for example."""
        self.stopped = True

    def step(self, longest: float) -> None:
        """Sleeps for at most `longest` seconds, and moves what there is to move then."""
        readable = self._sleep(longest)
        self._deliver()
        for side in self.sides:
            device = side.device
            deadline = device.deadline()
            if deadline is not None and deadline <= self.clock.now:
                device.poll(self.clock.now)
            if side in readable or deadline is not None:
                self._receive(side)

    def _sleep(self, longest: float) -> list[Side]:
        """The sides whose devices are readable, as soon as one is or something is due, or after `longest` seconds."""
        descriptors = {side.device.fileno(): side for side in self.sides}
        end = self.now() + seconds(longest)
        due = self._next_due()
        if due is not None:
            end = min(end, due)
        while True:
            left = end - self.now()
            readable, _, _ = select.select(descriptors, (), (), max(0, left - self.spin) / SECOND)
            if readable or left <= 0:
                return [descriptors[descriptor] for descriptor in readable]

    def _next_due(self) -> int | None:
        times = [self.clock.next_time()]
        for side in self.sides:
            times += [side.retry_at, side.device.deadline()]
        return min((time for time in times if time is not None), default=None)

    def _deliver(self) -> None:
        """Lets the link's time pass until now, and sends what has come out of it."""
        clock, now = self.clock, self.now()
        due = clock.next_time()
        while due is not None and due <= now:
            clock.step()
            due = clock.next_time()
        clock.advance(now)
        for side in self.sides:
            if side.outbox:
                side.flush(self.now, self.lateness)

    def _receive(self, side: Side) -> None:
        """One batch of frames into the link."""
        device, channel = side.device, side.channel
        for frame in device.recv(BATCH):
            whole = not frame.gso_size and frame.checksum != CHECKSUM_NEEDED
            for packet in (frame,) if whole else finish(frame, device.layer, checksums=device.checksums):
                if side.on_frame is not None:
                    side.on_frame(packet, False)
                channel.send(packet)

    def statistics(self) -> dict[str, Any]:
        """Counters of both directions by "ab" and "ba", and how late frames came out, in microseconds."""
        a, b = self.sides
        return {
            "ab": {**a.channel.statistics(), "overrun": b.overrun},
            "ba": {**b.channel.statistics(), "overrun": a.overrun},
            "lateness_us": self.lateness.summary(),
        }

    def close(self) -> None:
        """Closes both devices; what is on its way is lost."""
        for side in self.sides:
            side.device.close()

    def __enter__(self) -> Emulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
