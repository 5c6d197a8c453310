"""Runs a stack and its devices on an event loop, asyncio's or one with its words: descriptors, one timer, one flush an
iteration.

Every entry does a bounded amount of work, one batch of frames of one device, and leaves the rest to the next
iteration of the loop, so that other tasks of the program get their turn however fast frames arrive.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING

from uinet.control.server import Server
from uinet.errors import NotSupported
from uinet.hearsay import Service, take_part
from uinet.link.timer import TimerFd, timer_fd
from uinet.pump import BATCH, Pump
from uinet.units import MILLISECOND

if TYPE_CHECKING:
    from uinet.hosting import Handle, Loop
    from uinet.ip.interface import Interface
    from uinet.link.device import Device
    from uinet.stack import Stack

ROUNDS = 8  # of one entry at most

logger = logging.getLogger("uinet")


class LoopDriver:
    """Moves the frames and the time of `stack` on `loop`.

    `clock`: nanoseconds; the loop's own where it has one (``time_ns``: simulated loops), else monotonic.
    `on_gone`: called with the pump whose device has vanished, once, after the error is logged.
    """

    def __init__(self, stack: Stack, loop: Loop) -> None:
        self.stack = stack
        self.loop = loop
        self.virtual = hasattr(loop, "time_ns")
        self.clock: Callable[[], int] = getattr(loop, "time_ns", monotonic_ns)
        self.pumps: list[Pump] = []
        self.services: list[Service] = []
        self.on_gone: Callable[[Pump], None] | None = None
        self.on_progress: Callable[[], None] | None = None
        self._reading: dict[Pump, int] = {}  # with a reader in the loop, and its descriptor
        self._writing: dict[Pump, int] = {}
        self._links: dict[Pump, int] = {}  # whose interface's news are listened to
        self._deadline: int | None = None
        self._timer: Handle | None = None
        self._timer_at = 0
        self._fine = None if self.virtual else self._fine_timer()
        self._scheduled = False
        self._closed = False
        self._serve: Callable[[], None] = self._service
        stack.on_pending = self.wake
        stack.clock = self.clock
        if self.clock is monotonic_ns:
            stack.epoch = time_ns() - monotonic_ns()
        stack.on_control = self.control

    def _fine_timer(self) -> TimerFd | None:
        """A timer that is finer than the loop's milliseconds, where platform and loop have such."""
        timer = timer_fd()
        if timer is not None:
            try:
                self.loop.add_reader(timer.fileno(), self._fine_expired)
            except NotImplementedError:
                timer.close()
                return None
        return timer

    def add(self, device: Device, interface: Interface) -> Pump:
        """Lets `device` carry the frames of `interface` from now on."""
        pump = Pump(self.stack, device, interface)
        heard = take_part(self.stack, interface, device)
        if heard is not None:
            self.add_service(heard)
        self.pumps.append(pump)
        device.on_readable = partial(self._ready, pump)
        device.on_writable = partial(self._writable, pump)
        if device.fileno() >= 0:
            self._reading[pump] = device.fileno()
            self.loop.add_reader(device.fileno(), self._readable, pump)
        self._watch_link(pump)
        self.wake()
        return pump

    def remove(self, pump: Pump) -> None:
        """Stops serving a device, and leaves it open."""
        if pump in self.pumps:
            self.pumps.remove(pump)
            self._unwatch(pump)
            pump.device.on_readable = pump.device.on_writable = None

    def control(self, path: str | None) -> Server:
        """Opens a control socket of the stack at `path`: see `Stack.control`."""
        server = Server(self.stack, path, devices=self.statistics)
        try:
            self.add_service(server)
        except NotSupported:
            server.close()
            raise
        return server

    def add_service(self, service: Service) -> None:
        """Looks after `service` as well, and closes it in the end; NotSupported on a loop without descriptors."""
        try:
            self.loop.add_reader(service.fileno(), self._attend, service)
        except NotImplementedError:
            raise NotSupported("this event loop watches no descriptors") from None
        self.services.append(service)

    def statistics(self) -> dict[str, dict[str, int]]:
        """The counters of each device, by the name of its interface."""
        return {pump.interface.name: pump.device.statistics() for pump in self.pumps}

    def wake(self) -> None:
        """Sees to it that the stack is flushed in the loop's next iteration."""
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self.loop.call_soon(self._serve)

    def flush(self) -> None:
        """Runs what is due and sends what there is to send, now."""
        soonest = self.stack.poll(self.clock())
        for pump in list(self.pumps):
            if not pump.blocked:
                pump.flush()
            self._watch_writing(pump)
            if pump.gone is not None:
                self._vanished(pump)
            deadline = pump.deadline()
            if deadline is not None and (soonest is None or deadline < soonest):
                soonest = deadline
        for service in self.services:
            deadline = service.deadline()
            if deadline is not None and (soonest is None or deadline < soonest):
                soonest = deadline
        self._deadline = soonest
        self._arm()
        if self.on_progress is not None:
            self.on_progress()

    def close(self) -> None:
        """Sends what there is to send, takes everything out of the loop, and closes the devices."""
        if self._closed:
            return
        self.on_progress = None
        self.flush()
        self._closed = True
        self._serve = _nothing  # else this object and its own method would keep each other alive
        self.stack.on_pending = self.stack.clock = self.stack.on_control = None
        for service in self.services:
            self.loop.remove_reader(service.fileno())
            service.close()
        self.services = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._fine is not None:
            self.loop.remove_reader(self._fine.fileno())
            self._fine.close()
        for pump in list(self.pumps):
            self.remove(pump)
            pump.device.close()

    # what the loop calls

    def _readable(self, pump: Pump) -> None:
        """A descriptor has frames. It stays readable, so what is left after one batch comes round again.

        What the peers send at once as an answer to our answers is there before the loop could tell, and counts to the
        same batch. Not where other devices have their turn between: what one brings goes out by the other, and small
        batches cost more there than the loop does.
        """
        taken = 0
        for _ in range(ROUNDS if len(self.pumps) == 1 else 1):
            count = pump.receive(self.clock())
            if not pump.device.busy_poll:
                pump.ready = False
            elif pump.ready:
                self.wake()
            if pump.finished:
                self._stop_reading(pump)
            self.flush()
            taken += count
            if count == 0 or taken >= BATCH or pump.gone is not None or self._closed:
                return

    def _ready(self, pump: Pump) -> None:
        """A device without a descriptor has frames; this may run inside of another stack's flush."""
        pump.ready = True
        self.wake()

    def _writable(self, pump: Pump) -> None:
        pump.blocked = False
        self.wake()

    def _service(self) -> None:
        """One batch of every device that has something, then all there is to send."""
        self._scheduled = False
        if self._closed:
            return
        now = self.clock()
        for pump in list(self.pumps):
            if pump.ready:
                pump.receive(now)
        self.flush()
        for pump in self.pumps:
            if pump.ready:
                self.wake()

    def _attend(self, service: Service) -> None:
        """The descriptor of a control socket is readable."""
        service.serve(self.clock())
        self.flush()

    def _fine_expired(self) -> None:
        assert self._fine is not None
        self._fine.clear()
        self._due()

    def _expired(self) -> None:
        self._timer = None
        self._due()

    def _due(self) -> None:
        if self._closed or self._deadline is None:
            return
        now = self.clock()
        if self._deadline > now:
            self._arm()
            return
        for pump in self.pumps:
            deadline = pump.deadline()
            if deadline is not None and deadline <= now:
                pump.poll(now)
        for service in self.services:
            deadline = service.deadline()
            if deadline is not None and deadline <= now:
                service.serve(now)
        self._service()

    # timer and descriptors

    def _watch_link(self, pump: Pump) -> None:
        """Listens to what the kernel tells of the interface below a device."""
        watch = pump.device.link_watch
        if watch is None or watch.fileno() < 0:
            return
        try:
            self.loop.add_reader(watch.fileno(), self._link_readable, pump)
        except NotImplementedError:
            return
        self._links[pump] = watch.fileno()

    def _link_readable(self, pump: Pump) -> None:
        pump.link_changed()
        self.wake()

    def _arm(self) -> None:
        """Sets the timer for the deadline. One that is too early stays: it costs a look at the clock."""
        deadline = self._deadline
        if self._fine is not None:
            if deadline is not None:
                self._fine.arm_before(deadline)
            return
        if deadline is None or (self._timer is not None and self._timer_at <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        wait = max(0, deadline - self.clock())
        if not self.virtual:  # loops sleep in milliseconds, and uvloop rounds down: it would spin
            wait = max(1, -(-wait // MILLISECOND)) * MILLISECOND
        self._timer_at = deadline
        self._timer = self.loop.call_later(wait / 1e9, self._expired)

    def _watch_writing(self, pump: Pump) -> None:
        """Waits for a full device's descriptor to become writable, for as long as it is full."""
        if pump.blocked and pump not in self._writing and pump.device.fileno() >= 0:
            self._writing[pump] = pump.device.fileno()
            self.loop.add_writer(pump.device.fileno(), self._writable, pump)
        elif not pump.blocked and pump in self._writing:
            self.loop.remove_writer(self._writing.pop(pump))

    def _stop_reading(self, pump: Pump) -> None:
        if pump in self._reading:
            self.loop.remove_reader(self._reading.pop(pump))

    def _unwatch(self, pump: Pump) -> None:
        self._stop_reading(pump)
        if pump in self._links:
            self.loop.remove_reader(self._links.pop(pump))
        if pump in self._writing:
            self.loop.remove_writer(self._writing.pop(pump))

    def _vanished(self, pump: Pump) -> None:
        self.remove(pump)
        logger.error("%s is down: %s", pump.interface.name, pump.gone)
        if self.on_gone is not None:
            self.on_gone(pump)


def _nothing() -> None:
    """What a closed driver does."""
