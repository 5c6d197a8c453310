"""Runs a stack and its devices without an event loop: one poll over descriptors, one deadline."""

from __future__ import annotations

import select
from collections.abc import Callable
from functools import partial
from time import monotonic_ns, time_ns
from types import TracebackType
from typing import TYPE_CHECKING

from uinet.control.server import Server
from uinet.errors import InvalidArgument
from uinet.hearsay import Service, take_part
from uinet.link.timer import timer_fd
from uinet.pump import Pump
from uinet.units import MILLISECOND, seconds

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.link.device import Device
    from uinet.stack import Stack

LONGEST_WAIT = 3600 * 1000  # ms
READABLE = 1  # of `Driver.descriptors`
WRITABLE = 2


class Driver:
    """Moves the frames and the time of one stack, for programs that have no event loop.

    `clock`: nanoseconds that never run backwards; what `stack` and the devices see as `now`. Leaving a
    ``with`` block, or `close`, closes the devices.
    """

    def __init__(self, stack: Stack, *, clock: Callable[[], int] = monotonic_ns) -> None:
        self.stack = stack
        self.clock = clock
        stack.clock = clock
        if clock is monotonic_ns:
            stack.epoch = time_ns() - monotonic_ns()
        stack.on_control = self.control
        self.services: list[Service] = []
        self._served: dict[int, Service] = {}  # by descriptor
        self.pumps: list[Pump] = []
        self._poll = select.poll()
        self._links: dict[int, Pump] = {}  # by the descriptor of what listens to news of its interface
        self._watched: dict[int, tuple[Pump, int]] = {}  # descriptor -> its pump and the events asked for
        self._deadline: int | None = None
        self._asked: list[Service] = []  # services whose descriptors are readable
        self._errors: list[Exception] = []
        # a poll sleeps in milliseconds: a timer descriptor, where there is one, ends it when TCP wants
        self._timer = timer_fd() if clock is monotonic_ns else None
        if self._timer is not None:
            self._poll.register(self._timer.fileno(), select.POLLIN)

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add_device(self, device: Device, interface: Interface) -> None:
        """Lets `device` carry the frames of `interface`; InvalidArgument if their layers differ."""
        if device.layer != interface.layer:
            raise InvalidArgument(
                f"{device.name} is of layer {device.layer}, {interface.name} of layer {interface.layer}"
            )
        pump = Pump(self.stack, device, interface)
        heard = take_part(self.stack, interface, device)
        if heard is not None:
            self.add_service(heard)
        interface.announce_groups()
        self.pumps.append(pump)
        device.on_readable = partial(_mark_ready, pump)
        device.on_writable = partial(_mark_writable, pump)
        if device.link_watch is not None and device.link_watch.fileno() >= 0:
            self._links[device.link_watch.fileno()] = pump
            self._poll.register(device.link_watch.fileno(), select.POLLIN)

    def remove_device(self, device: Device) -> None:
        """Stops serving `device`, without closing it; its interface is down."""
        for pump in [pump for pump in self.pumps if pump.device is device]:
            self.pumps.remove(pump)
            self._unwatch(pump)
            pump.interface.up = False
            device.on_readable = device.on_writable = None

    def control(self, path: str | None) -> Server:
        """Opens a control socket of the stack at `path`: see `Stack.control`."""
        server = Server(self.stack, path, devices=self.statistics)
        self.add_service(server)
        return server

    def add_service(self, service: Service) -> None:
        """Looks after `service` as well, and closes it in the end: its descriptor, its deadline, one call."""
        self.services.append(service)
        self._served[service.fileno()] = service
        self._poll.register(service.fileno(), select.POLLIN)

    def run_until(self, condition: Callable[[], object], timeout: float | None = None) -> bool:
        """Runs until `condition()` is true: then True; False if `timeout` seconds pass first, or if nothing
        can happen any more. It is asked after each batch of frames. Errors as from `run_once`.
        """
        end = None if timeout is None else self.clock() + seconds(timeout)
        while not condition():
            left = None if end is None else end - self.clock()
            if left is not None and left <= 0:
                return False
            if not self.run_once(None if left is None else left / 1e9):
                return bool(condition())
        return True

    def run_once(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds for something to do, and does it; None: until there is something.

        False if there is nothing to wait for: no device that may still receive, no timer, nothing to send.
        DeviceGone, once for each, when a device has vanished; the others go on with the next call.
        """
        if self._errors:
            raise self._errors.pop(0)
        self._flush()  # what the program's own calls have left to send, and the timers that they have set
        now = self.clock()
        wait = self._wait(now, timeout)
        if wait is None:
            return False
        self._await(wait)
        now = self.clock()
        for pump in self.pumps:
            deadline = pump.deadline()
            if deadline is not None and deadline <= now:
                pump.poll(now)
            if pump.ready:
                pump.receive(now)
        for service in self.services:
            deadline = service.deadline()
            if service in self._asked or (deadline is not None and deadline <= now):
                service.serve(now)
        self._asked = []
        self._flush()
        if self._errors:
            raise self._errors.pop(0)
        return True

    def close(self) -> None:
        """Closes all devices. What the stack has already queued is offered to them once before."""
        self._flush()
        for pump in self.pumps:
            self._unwatch(pump)
            pump.device.close()
        self.pumps = []
        for service in self.services:
            self._poll.unregister(service.fileno())
            service.close()
        self.services, self._served = [], {}
        self.stack.on_control = None
        if self._timer is not None:
            self._poll.unregister(self._timer.fileno())
            self._timer.close()
            self._timer = None

    def descriptors(self) -> dict[int, int]:
        """What an event loop of somebody else's has to wait for: descriptors, each with 1 if for its being readable
        plus 2 if for its being writable, as selectors, libev and libuv count. Worth asking after each `run_once`.
        """
        wanted = {}
        for pump in self.pumps:
            events = (0 if pump.finished else READABLE) | (WRITABLE if pump.blocked else 0)
            if events and pump.device.fileno() >= 0:
                wanted[pump.device.fileno()] = events
        for service in self.services:
            wanted[service.fileno()] = READABLE
        for descriptor in self._links:
            wanted[descriptor] = READABLE
        return wanted

    def deadline(self) -> int | None:
        """When ``run_once(0)`` has something to do even if no descriptor tells, ns of `clock`; None for never. Worth
        asking after each `run_once`, and after calls of the stack or its sockets.
        """
        soonest: int | None = self.stack.next_deadline()
        for pump in self.pumps:
            deadline = self.clock() if pump.ready else pump.deadline()
            if deadline is not None and (soonest is None or deadline < soonest):
                soonest = deadline
        for service in self.services:
            deadline = service.deadline()
            if deadline is not None and (soonest is None or deadline < soonest):
                soonest = deadline
        return soonest

    def statistics(self) -> dict[str, dict[str, int]]:
        """The counters of each device, by the name of its interface."""
        return {pump.interface.name: pump.device.statistics() for pump in self.pumps}

    def _flush(self) -> None:
        self._deadline = self.stack.poll(self.clock())
        for pump in self.pumps:
            if not pump.blocked:
                pump.flush()
            if pump.gone is not None and pump.gone not in self._errors:
                self._surface(pump)

    def _surface(self, pump: Pump) -> None:
        """Takes a pump whose device has vanished out of service and keeps its error for the caller."""
        assert pump.gone is not None
        self._errors.append(pump.gone)
        self._unwatch(pump)
        self.pumps = [other for other in self.pumps if other is not pump]

    def _wait(self, now: int, timeout: float | None) -> int | None:
        """How long to sleep, in ms; None if there is nothing to wait for."""
        soonest = self._deadline
        for pump in self.pumps:
            if pump.ready:
                return 0
            deadline = pump.deadline()
            if deadline is not None and (soonest is None or deadline < soonest):
                soonest = deadline
        if soonest is None and not self._may_wake():
            return None
        for service in self.services:
            deadline = service.deadline()
            if deadline is not None and (soonest is None or deadline < soonest):
                soonest = deadline
        wait = LONGEST_WAIT
        if soonest is not None:
            if soonest <= now:
                return 0
            if self._timer is not None:
                self._timer.arm_before(soonest)
            else:
                wait = min(wait, -(-(soonest - now) // MILLISECOND))  # rounded up: not before the deadline
        if timeout is not None:
            wait = min(wait, -(-max(0, seconds(timeout)) // MILLISECOND))
        return wait

    def _may_wake(self) -> bool:
        """Whether a descriptor can end a sleep: one that is not at its end, or that we want to write to."""
        for pump in self.pumps:  # noqa: SIM110 - no generator expressions in compiled functions
            if pump.device.fileno() >= 0 and (pump.blocked or not pump.finished):
                return True
        return False

    def _await(self, wait: int) -> None:
        """Sleeps for at most `wait` ms and marks the pumps whose descriptors have something for us."""
        for pump in self.pumps:
            self._watch(pump)
        for descriptor, events in self._poll.poll(min(wait, LONGEST_WAIT)):
            if descriptor in self._served:
                self._asked.append(self._served[descriptor])
                continue
            if descriptor in self._links:
                self._links[descriptor].link_changed()
                continue
            if descriptor not in self._watched:
                if self._timer is not None:
                    self._timer.clear()
                continue
            pump = self._watched[descriptor][0]
            if events & ~select.POLLOUT:  # an error as well: recv tells which
                pump.ready = True
            if events & select.POLLOUT:
                pump.blocked = False

    def _watch(self, pump: Pump) -> None:
        descriptor = pump.device.fileno()
        if descriptor < 0:
            return
        events = 0 if pump.finished else select.POLLIN
        if pump.blocked:
            events |= select.POLLOUT
        before = self._watched.get(descriptor)
        if before is None or before != (pump, events):
            self._watched[descriptor] = (pump, events)
            self._poll.register(descriptor, events)

    def _unwatch(self, pump: Pump) -> None:
        for descriptor in [fd for fd, (other, _) in self._watched.items() if other is pump]:
            del self._watched[descriptor]
            self._poll.unregister(descriptor)
        for descriptor in [fd for fd, other in self._links.items() if other is pump]:
            del self._links[descriptor]
            self._poll.unregister(descriptor)


def _mark_ready(pump: Pump) -> None:
    pump.ready = True


def _mark_writable(pump: Pump) -> None:
    pump.blocked = False
