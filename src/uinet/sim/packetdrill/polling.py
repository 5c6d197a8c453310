"""poll and epoll, made of what a system says of one socket."""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator

from uinet.sim.packetdrill.descriptors import Descriptor, Descriptors, Watched, failure
from uinet.sim.packetdrill.errors import Mismatch, ScriptError
from uinet.sim.packetdrill.script import Call, Expression, Items
from uinet.sim.packetdrill.system import System
from uinet.sim.packetdrill.values import fields, integer, items, word, words
from uinet.units import MILLISECOND

Steps = Generator[int | None, None, int]
ALWAYS = {"POLLERR", "POLLHUP", "POLLNVAL"}
SAME = {"POLLRDNORM": "POLLIN", "POLLWRNORM": "POLLOUT"}


class Polling:
    """poll and epoll. `clock`: the time, ns."""

    def __init__(self, system: System, descriptors: Descriptors, clock: Callable[[], int]) -> None:
        self.system = system
        self.descriptors = descriptors
        self.clock = clock

    def _deadline(self, milliseconds: int) -> int | None:
        return None if milliseconds < 0 else self.clock() + milliseconds * MILLISECOND

    def _ready(self, descriptor: Descriptor, interest: set[str]) -> set[str]:
        if descriptor.handle is None:
            return set()
        return self.system.poll(descriptor.handle) & (interest | ALWAYS)

    # poll

    def poll(self, call: Call) -> Steps:
        """poll(fds, count, milliseconds): how many are ready. Mismatch if they are not what the script says."""
        entries = [fields(entry) for entry in items(call.arguments[0])]
        deadline = self._deadline(integer(call.arguments[2]))
        while True:
            found = [self._poll_one(entry) for entry in entries]
            count = sum(bool(events) for events in found)
            if count or (deadline is not None and self.clock() >= deadline):
                break
            yield deadline
        for entry, events in zip(entries, found, strict=True):
            wanted = normal(words(entry["revents"])) if "revents" in entry else set()
            if wanted != events:
                raise Mismatch(f"poll() says {show(events)} of descriptor {integer(entry['fd'])}, not {show(wanted)}")
        return count

    def _poll_one(self, entry: dict[str, Expression]) -> set[str]:
        try:
            descriptor = self.descriptors.get(integer(entry["fd"]))
        except OSError:
            return {"POLLNVAL"}
        return self._ready(descriptor, normal(words(entry["events"])))

    # epoll

    def _epoll(self, call: Call) -> Descriptor:
        descriptor = self.descriptors.get(integer(call.arguments[0]))
        if descriptor.kind != "epoll":
            raise failure(errno.EINVAL)
        return descriptor

    def control(self, call: Call) -> int:
        """epoll_ctl(epfd, operation, fd, event)"""
        epoll = self._epoll(call)
        operation, number = word(call.arguments[1]), integer(call.arguments[2])
        self.descriptors.get(number)
        if operation == "EPOLL_CTL_ADD" and number in epoll.watched:
            raise failure(errno.EEXIST)
        if operation in ("EPOLL_CTL_MOD", "EPOLL_CTL_DEL") and number not in epoll.watched:
            raise failure(errno.ENOENT)
        if operation == "EPOLL_CTL_DEL":
            del epoll.watched[number]
            return 0
        if operation not in ("EPOLL_CTL_ADD", "EPOLL_CTL_MOD"):
            raise ScriptError(f"{operation} is no operation of epoll_ctl()")
        event = fields(call.arguments[3])
        data = {name: integer(value) for name, value in event.items() if name != "events"}
        epoll.watched[number] = Watched(words(event["events"]), data)
        return 0

    def forget(self, number: int) -> None:
        """A descriptor is closed."""
        for descriptor in self.descriptors.all():
            descriptor.watched.pop(number, None)

    def wait(self, call: Call) -> Steps:
        """epoll_wait(epfd, events, count, milliseconds): how many are ready."""
        epoll = self._epoll(call)
        deadline = self._deadline(integer(call.arguments[3]))
        limit = integer(call.arguments[2])
        while True:
            found = self._events(epoll, limit)
            if found or (deadline is not None and self.clock() >= deadline):
                break
            yield deadline
        self._compare(call.arguments[1], found)
        return len(found)

    def _events(self, epoll: Descriptor, limit: int) -> list[tuple[set[str], dict[str, int]]]:
        found: list[tuple[set[str], dict[str, int]]] = []
        for number, watched in epoll.watched.items():
            if watched.spent or len(found) == limit:
                continue
            descriptor = self.descriptors.get(number)
            ready = self._ready(descriptor, {name.removeprefix("E") for name in watched.events})
            if not ready:
                continue
            activity = self.system.activity(descriptor.handle)
            if "EPOLLET" in watched.events and watched.seen == activity:
                continue
            watched.seen = activity
            watched.spent = "EPOLLONESHOT" in watched.events
            found.append(({"E" + name for name in ready}, watched.data))
        return found

    def _compare(self, wanted: Expression, found: list[tuple[set[str], dict[str, int]]]) -> None:
        entries = wanted.items if isinstance(wanted, Items) else (wanted,)
        for entry, (events, data) in zip(entries, found, strict=False):
            event = fields(entry)
            expected = words(event["events"])
            if expected != events:
                raise Mismatch(f"epoll_wait() says {show(events)}, not {show(expected)}")
            for name, value in event.items():
                if name != "events" and name in data and data[name] != integer(value):
                    raise Mismatch(f"epoll_wait() gives {name}={data[name]}, not {integer(value)}")


def normal(events: set[str]) -> set[str]:
    """Events of poll under one name each."""
    return {SAME.get(name, name) for name in events}


def show(events: set[str]) -> str:
    """Events for people."""
    return "|".join(sorted(events)) or "nothing"
