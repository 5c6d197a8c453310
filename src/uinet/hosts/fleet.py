"""All hosts on one device: frames, time, and which of them have a stack.

A host's stack is made when the first frame for it comes, and at most `awake` have one at a time: then the one to which
nothing has happened for the longest is put to sleep, one without connections if there is any among the oldest. It keeps
nothing but what its clients would find out anew.
"""

from __future__ import annotations

import heapq
import select
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from uinet.control.commands import sysctl_set
from uinet.control.server import Server as ControlServer
from uinet.errors import InvalidArgument
from uinet.hosts.directory import Directory
from uinet.hosts.host import Awake
from uinet.hosts.plan import HostPlan
from uinet.link.device import Device
from uinet.stack import Stack
from uinet.wire.frame import Frame, new_frame

if TYPE_CHECKING:
    from uinet.control.served import Served
    from uinet.control.session import Rows

BATCH = 64
MOST_WAITING = 8192  # frames that the device has not taken yet
CANDIDATES = 64  # that are asked whether they have connections when one has to sleep
LONGEST_WAIT = 3600.0
SLACK = 1024  # times in the heap that nobody waits for

COUNTERS: dict[str, str] = {
    "awoken": "stacks made for hosts that something came for",
    "slept": "stacks put to sleep again: too many were awake",
    "connections": "connections accepted",
    "evicted": "connections reset: their host had too many",
    "datagrams": "datagrams that came to services",
    "sent": "frames sent",
    "not_sent": "frames dropped: the device takes no more",
}


class Fleet:
    """The hosts of `directory` on `device`. `manager`: a stack without interfaces, for a control socket."""

    def __init__(
        self, device: Device, directory: Directory, *, seed: bytes, awake: int = 2048,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if device.layer != 2:
            raise InvalidArgument(f"{device.name} carries bare IP packets: hosts with MACs need Ethernet")
        self.device = device
        self.directory = directory
        self.seed = seed
        self.most = awake
        self.clock = clock
        self.awake: OrderedDict[HostPlan, Awake] = OrderedDict()  # the one that was used last is last
        self.counts: Counter[str] = Counter()
        self.waiting: list[Frame] = []
        self.timers: list[tuple[int, int, HostPlan]] = []
        self.serial = 0
        self.readable = True
        device.on_readable = self._on_readable
        self.poll = select.poll()
        self.manager = Stack(seed, clock())
        self.manager.clock = clock
        self.settings: dict[str, Any] = {}  # those that were set, of every host
        self.manager.on_control = self._open_control
        self.services: list[ControlServer] = []

    def _on_readable(self) -> None:
        self.readable = True

    def _open_control(self, path: str | None) -> ControlServer:
        server = ControlServer(self.manager, path, devices=lambda: {"device": self.device.statistics()})
        server.commands["sysctl-set"] = self._set
        self.services.append(server)
        return server

    def _set(self, served: Served, request: dict[str, Any]) -> Iterator[Rows]:
        """Sets a setting of every host: of those that are awake now, of the others when they wake."""
        for rows in sysctl_set(served, request):  # checked, and noted, by the manager
            name, value = rows[0]["name"], rows[0]["value"]
            self.settings.pop(name, None)
            self.settings[name] = value
            yield rows
        for host in list(self.awake.values()):
            host.set(self.settings)
            yield []

    def _count(self, name: str) -> None:
        self.counts[name] += 1

    # hosts

    def wake(self, plan: HostPlan, now: int) -> Awake:
        """The host with its stack."""
        host = self.awake.get(plan)
        if host is not None:
            self.awake.move_to_end(plan)
            host.last = now
            return host
        if len(self.awake) >= self.most:
            self._put_one_to_sleep()
        host = Awake(plan, self.seed + plan.mac + plan.vids, now, self.device.checksums, self._count)
        host.set(self.settings)
        self.awake[plan] = host
        self.counts["awoken"] += 1
        return host

    def _put_one_to_sleep(self) -> None:
        oldest = list(islice(self.awake.items(), CANDIDATES))
        plan, host = next(((plan, host) for plan, host in oldest if host.idle), oldest[0])
        host.close()
        del self.awake[plan]
        self.counts["slept"] += 1

    def _after(self, host: Awake, deadline: int | None) -> None:
        """Takes what the host's stack has to send, and notes when it has to be asked again."""
        frames = host.stack.output(host.interface)
        if frames:
            tags = b"".join(tag.tpid.to_bytes(2, "big") + tag.tci.to_bytes(2, "big") for tag in host.plan.tags)
            for frame in frames:
                self._send(tagged(frame, tags) if tags else frame)
        due = deadline or 0
        if due and (host.deadline == 0 or due < host.deadline):
            self.serial += 1
            heapq.heappush(self.timers, (due, self.serial, host.plan))
            host.deadline = due
            if len(self.timers) > SLACK + 8 * len(self.awake):
                self._tidy()

    def _tidy(self) -> None:
        """Leaves out the times that no host waits for any more."""
        wanted = [(host.deadline, number, plan) for number, (plan, host) in enumerate(self.awake.items())]
        self.timers = [entry for entry in wanted if entry[0]]
        self.serial = len(wanted)
        heapq.heapify(self.timers)

    def _send(self, frame: Frame) -> None:
        if len(self.waiting) >= MOST_WAITING:
            self.counts["not_sent"] += 1
            return
        self.waiting.append(frame)

    def announce(self, plan: HostPlan) -> None:
        """Tells the link of the host's addresses, unasked."""
        now = self.clock()
        host = self.wake(plan, now)
        for address in plan.addresses:
            host.stack.network.announce(host.interface, address)
        self._after(host, host.stack.poll(now))

    # turns

    def turn(self, wait: float) -> None:
        """Moves what there is to move, after waiting up to `wait` seconds for something. DeviceGone."""
        self._flush()
        self._wait(wait)
        now = self.clock()
        self._receive(now)
        self._run_timers(now)
        self._flush()
        for service in self.services:
            service.serve(now)

    def _wait(self, wait: float) -> None:
        now = self.clock()
        if self.timers:
            wait = min(wait, max(0.0, (self.timers[0][0] - now) / 1e9))
        deadline = self.device.deadline()
        if deadline is not None:
            wait = min(wait, max(0.0, (deadline - now) / 1e9))
        if any(service.deadline() is not None for service in self.services):
            wait = 0.0
        if self.readable:
            wait = 0.0
        descriptors = {service.fileno() for service in self.services}
        for descriptor in descriptors:
            self.poll.register(descriptor, select.POLLIN)
        own = self.device.fileno()
        if own >= 0:
            self.poll.register(own, select.POLLIN | (select.POLLOUT if self.waiting else 0))
        ready = self.poll.poll(min(wait, LONGEST_WAIT) * 1e3)
        if own >= 0:
            self.readable = self.readable or any(descriptor == own for descriptor, _ in ready)
            self.poll.unregister(own)
        for descriptor in descriptors:
            self.poll.unregister(descriptor)

    def _receive(self, now: int) -> None:
        deadline = self.device.deadline()
        if deadline is not None and deadline <= now:
            self.device.poll(now)
            self.readable = True
        if not self.readable:
            return
        frames = self.device.recv(BATCH)
        self.readable = len(frames) == BATCH
        mail: dict[HostPlan, list[Frame]] = {}
        for frame in frames:
            plan = self.directory.find(frame)
            if plan is not None:
                mail.setdefault(plan, []).append(untagged(frame, self.directory.packet.tags))
        for plan, letters in mail.items():
            host = self.wake(plan, now)
            self._after(host, host.stack.input(host.interface, letters, now))

    def _run_timers(self, now: int) -> None:
        while self.timers and self.timers[0][0] <= now:
            due, _, plan = heapq.heappop(self.timers)
            host = self.awake.get(plan)
            if host is None or host.deadline != due:
                continue  # it sleeps, or an earlier time was noted since
            host.deadline = 0
            self._after(host, host.stack.poll(now))

    def _flush(self) -> None:
        while self.waiting:
            taken = self.device.send(self.waiting)
            if taken < len(self.waiting):
                self.counts["sent"] += taken
                del self.waiting[:taken]
                return
            self.counts["sent"] += taken
            self.waiting = []

    def close(self) -> None:
        """Ends every stack, and closes the device."""
        for service in self.services:
            service.close()
        for host in self.awake.values():
            host.close()
        self.awake.clear()
        self.manager.close()
        self.device.close()

    def summary(self) -> dict[str, Any]:
        """The counters, by name."""
        return {
            "hosts": len(self.directory), "awake": len(self.awake),
            **{name: self.counts[name] for name in COUNTERS}, **self.directory.counts,
        }


def untagged(frame: Frame, tags: int) -> Frame:
    """The frame without its `tags` VLAN tags (priority tags among them)."""
    if tags == 0:
        return frame
    bare = new_frame(frame.data[:12] + frame.data[12 + 4 * tags :], frame.checksum)
    bare.gso_size = frame.gso_size
    bare.time = frame.time
    return bare


def tagged(frame: Frame, tags: bytes) -> Frame:
    """The frame with tags behind its MACs."""
    whole = new_frame(frame.data[:12] + tags + frame.data[12:], frame.checksum)
    whole.gso_size = frame.gso_size
    whole.time = frame.time
    return whole
