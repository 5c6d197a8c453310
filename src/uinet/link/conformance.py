"""What every device has to do, as checks that any device can be put to, with pytest or without.

A check takes a function that makes a new :class:`Subject` each time it is called: an open device, and what is at its
other end. It returns nothing, or raises :class:`ConformanceError`, which says what was wanted and what was there. All
of them, with pytest::

    @pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
    def test_my_device(check):
        check(make_subject)

They take real time, a second in all: a device may need the kernel, or another program. See docs/write-a-device.md.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from uinet.errors import DeviceGone
from uinet.link.device import COUNTERS, MAX_MTU, MIN_MTU, Device
from uinet.link.offload import finish
from uinet.wire.frame import CHECKSUM_NEEDED, Frame

PATIENCE = 20.0  # seconds for what has to happen: the machine may be busy
QUIET = 0.05  # and for what must not
TRIES = 3  # at what takes no time, unless others have the processor
ADDRESSES = bytes((192, 0, 2, 1, 192, 0, 2, 2))  # of RFC 5737: nobody's
_DESCRIPTORS = "/dev/fd"


class ConformanceError(AssertionError):
    """A device that does not do what the contract (link/device.py) says."""


@dataclass
class Subject:
    """A device, and its other end.

    `put`: hands frames to the other end, so that the device receives them; `take`: what the device has sent, so far,
    as the bytes of single packets. None where there is no such thing: checks that need it do nothing then. `settle`:
    called while something is waited for: what an other end without a thread of its own has to do. `close`: takes the
    other end away, after the device. `lossy`: drops, and counts, what finds no room, instead of taking fewer.
    `noisy`: others send too (a kernel): frames that are not ours are left out.
    """

    device: Device
    put: Callable[[Sequence[bytes]], None] | None = None
    take: Callable[[], list[bytes]] | None = None
    settle: Callable[[], None] = lambda: None
    close: Callable[[], None] = lambda: None
    lossy: bool = False
    noisy: bool = False
    taken: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Subject:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.device.close()
        self.close()


Make = Callable[[], Subject]
Check = Callable[[Make], None]


def frame(device: Device, number: int, size: int = 0) -> bytes:
    """A packet that a device carries as it is, and that can be told from others: UDP over IPv4, `size` bytes in all."""
    link = b"\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00" if device.layer == 2 else b""
    size = max(size, len(link) + 46)
    length = size - len(link)
    header = bytearray(b"\x45\x00" + length.to_bytes(2, "big") + number.to_bytes(2, "big"))
    header += b"\x40\x00\x40\x11\x00\x00" + ADDRESSES
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, 20, 2))
    header[10:12] = _folded(total, inverted=True)
    udp = b"\x30\x39\x00\x09" + (length - 20).to_bytes(2, "big") + b"\x00\x00"
    body = number.to_bytes(4, "big")
    return link + bytes(header) + udp + body.ljust(length - 28, bytes((number % 251,)))


def want(condition: object, what: str) -> None:
    """ConformanceError unless `condition` holds."""
    if not condition:
        raise ConformanceError(what)


# how a driver works, in short


class _Driver:
    """Moves frames as whoever drives a device would: by its descriptor or its upcall, its deadline and its `poll`."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.device = subject.device
        self.called = False
        self.device.on_readable = self._note
        self.got: list[bytes] = []

    def _note(self) -> None:
        self.called = True

    def step(self, limit: int = 64) -> int:
        """One turn: waits for a moment, lets time pass, receives; how many frames came."""
        device = self.device
        self.subject.settle()
        now = time.monotonic_ns()
        deadline = device.deadline()
        want(deadline is None or isinstance(deadline, int), f"deadline() is {deadline!r}: want an int or None")
        if deadline is not None and deadline <= now:
            device.poll(now)
        elif device.fileno() >= 0:
            select.select([device.fileno()], [], [], 0.01)
        elif not self.called:
            time.sleep(0.001)
        self.called = False
        frames = device.recv(limit)
        want(len(frames) <= limit, f"recv({limit}) gave {len(frames)} frames")
        for one in frames:
            for packet in finish(one, device.layer, checksums=device.checksums):
                if not self.subject.noisy or _ours(device, packet.data):
                    self.got.append(packet.data)
        return len(frames)

    def receive(self, count: int, limit: int = 64) -> list[bytes]:
        """Frames until there are `count` of ours. ConformanceError if they don't come."""
        end = time.monotonic() + PATIENCE
        while len(self.got) < count:
            want(time.monotonic() < end, f"{len(self.got)} frames received of {count}")
            self.step(limit)
        found, self.got = self.got, []
        return found

    def send(self, frames: Sequence[Frame]) -> None:
        """Sends all, offering again what was not taken, while the other end takes them."""
        device = self.device
        end = time.monotonic() + PATIENCE
        left = list(frames)
        while left:
            taken = device.send(left)
            want(0 <= taken <= len(left), f"send() of {len(left)} frames took {taken}")
            del left[:taken]
            self.drain()
            if left and not taken:
                want(time.monotonic() < end, f"{len(left)} frames were never taken")
                self.step()

    def drain(self) -> None:
        """What the other end has by now."""
        assert self.subject.take is not None
        self.subject.settle()
        for data in self.subject.take():
            if not self.subject.noisy or _ours(self.device, data):
                self.subject.taken.append(data)

    def arrived(self, count: int) -> list[bytes]:
        """What has reached the other end, once `count` frames have. ConformanceError if they don't."""
        end = time.monotonic() + PATIENCE
        while len(self.subject.taken) < count:
            self.drain()
            if len(self.subject.taken) < count:
                want(time.monotonic() < end, f"{len(self.subject.taken)} frames of {count} reached the other end")
                self.step()
        return self.subject.taken


def _ours(device: Device, data: bytes) -> bool:
    """Whether it is one of the checks' own, by its addresses."""
    at = 14 if device.layer == 2 else 0
    return data[at + 12 : at + 20] == ADDRESSES


def _numbers(device: Device, packets: Sequence[bytes]) -> list[int]:
    at = 28 + (14 if device.layer == 2 else 0)
    return [int.from_bytes(data[at : at + 4], "big") for data in packets]


# the checks


def says_what_it_is(make: Make) -> None:
    """Its name, layer, MTU, and the longest frame that the link takes."""
    with make() as subject:
        device = subject.device
        want(isinstance(device.name, str) and device.name, f"name is {device.name!r}")
        want(device.layer in (2, 3), f"layer is {device.layer!r}: want 2 or 3")
        want(MIN_MTU <= device.mtu <= MAX_MTU, f"mtu is {device.mtu!r}: want {MIN_MTU} to {MAX_MTU}")
        least = device.mtu + (14 if device.layer == 2 else 0)
        want(device.largest() >= least, f"largest() is {device.largest()} at an MTU of {device.mtu}: want {least}")
        want(not device.closed, "closed, before close()")
        want(device.name in repr(device), f"its name is not in {device!r}")


def closes_for_good(make: Make) -> None:
    """After `close` nothing works, DeviceGone says so, and a second `close` does nothing."""
    subject = make()
    device = subject.device
    try:
        device.close()
        device.close()
        want(device.closed, "not closed, after close()")
        want(device.fileno() == -1, f"fileno() is {device.fileno()} after close(): want -1")
        for what, call in (("recv", device.recv), ("send", lambda: device.send([Frame(frame(device, 1))]))):
            try:
                call()
            except DeviceGone:
                continue
            raise ConformanceError(f"{what}() after close() did not raise DeviceGone")
        device.poll(time.monotonic_ns())
        device.statistics()
    finally:
        subject.close()


def gives_descriptors_back(make: Make) -> None:
    """Opened and closed, it leaves no descriptor behind."""
    if not os.path.isdir(_DESCRIPTORS):
        return
    with make() as subject:
        want(subject.device.fileno() >= -1, f"fileno() is {subject.device.fileno()}")
    before = _descriptors()
    for _ in range(3):
        with make():
            pass
    left = _descriptors() - before
    want(not left, f"descriptors left open: {sorted(left)}")


def _descriptors() -> set[str]:
    return set(os.listdir(_DESCRIPTORS))


def has_nothing_when_it_is_quiet(make: Make) -> None:
    """`recv` gives nothing, at once, while nobody sends."""
    with make() as subject:
        if subject.put is None:
            return
        driver = _Driver(subject)
        took: list[float] = []
        while len(took) < TRIES and (not took or took[-1] >= 1):
            begun = time.monotonic()
            driver.step()
            took.append(time.monotonic() - begun)
        want(driver.got == [], "frames without a sender")
        want(min(took) < 1, "recv() waits")


def receives_in_order(make: Make) -> None:
    """Frames come as they were put: all their bytes, in order, and counted."""
    with make() as subject:
        if subject.put is None:
            return
        device, driver = subject.device, _Driver(subject)
        sizes = (0, 100, 60, device.mtu + (14 if device.layer == 2 else 0))
        sent = [frame(device, n, sizes[n % 4]) for n in range(40)]
        before = device.statistics()
        for start in range(0, 40, 8):
            subject.put(sent[start : start + 8])
            got = driver.receive(8)
            want(_numbers(device, got) == list(range(start, start + 8)), f"frames {_numbers(device, got)} from {start}")
            want(got == sent[start : start + 8], "frames came with other bytes")
        after = device.statistics()
        if not subject.noisy:
            frames, octets = (after[name] - before[name] for name in ("rx_frames", "rx_bytes"))
            want(frames == 40, f"rx_frames counts {frames} of 40")
            want(octets == sum(map(len, sent)), f"rx_bytes counts {octets} of {sum(map(len, sent))}")


def receives_no_more_than_asked(make: Make) -> None:
    """`recv(limit)` leaves the rest for the next call, which is announced: by the descriptor, upcall or deadline."""
    with make() as subject:
        if subject.put is None:
            return
        device, driver = subject.device, _Driver(subject)
        subject.put([frame(device, n) for n in range(10)])
        got: list[bytes] = []
        for limit in (1, 3, *[64] * 10):
            if len(got) < 10:
                got += driver.receive(1, limit)
        want(_numbers(device, got) == list(range(10)), f"frames {_numbers(device, got)}: want 0 to 9, in order")


def announces_frames(make: Make) -> None:
    """A driver that only waits is told: the descriptor is readable, `on_readable` is called, or a deadline passes."""
    with make() as subject:
        if subject.put is None:
            return
        device, driver = subject.device, _Driver(subject)
        driver.step()  # whoever sets on_readable calls recv once
        driver.called = False
        subject.put([frame(device, 1)])
        subject.settle()
        end = time.monotonic() + PATIENCE
        while not _ready(driver):
            want(time.monotonic() < end, "a frame waits, and neither descriptor, on_readable nor deadline tells")
            subject.settle()
        number = device.fileno()
        driver.receive(1)
        want(device.fileno() == number, "fileno() has changed")
        if number >= 0 and not subject.noisy:
            driver.step()
            want(not select.select([number], [], [], QUIET)[0], "readable with nothing to receive: a driver would spin")


def _ready(driver: _Driver) -> bool:
    device = driver.device
    deadline = device.deadline()
    if driver.called or (deadline is not None and deadline <= time.monotonic_ns()):
        return True
    return device.fileno() >= 0 and bool(select.select([device.fileno()], [], [], 0.01)[0])


def sends_in_order(make: Make) -> None:
    """Frames reach the other end as they were sent: all their bytes, in order, and counted."""
    with make() as subject:
        if subject.take is None:
            return
        device, driver = subject.device, _Driver(subject)
        sizes = (0, 100, 60, device.mtu + (14 if device.layer == 2 else 0))
        sent = [frame(device, n, sizes[n % 4]) for n in range(40)]
        for start in range(0, 40, 8):
            driver.send([Frame(data) for data in sent[start : start + 8]])
            driver.arrived(start + 8)
        want(_numbers(device, subject.taken) == list(range(40)), f"frames {_numbers(device, subject.taken)}")
        want(subject.taken == sent, "frames arrived with other bytes")
        statistics = device.statistics()
        want(statistics["tx_frames"] == 40, f"tx_frames counts {statistics['tx_frames']} of 40")
        want(statistics["tx_bytes"] == sum(map(len, sent)), f"tx_bytes counts {statistics['tx_bytes']}")


def loses_nothing_when_it_is_full(make: Make) -> None:
    """A flood: what it takes arrives in order, what it does not take can be offered again, what it drops it counts."""
    with make() as subject:
        if subject.take is None:
            return
        device, driver = subject.device, _Driver(subject)
        count = 3000
        sent = [Frame(frame(device, n, device.mtu)) for n in range(count)]
        taken = device.send(sent)
        want(0 <= taken <= count, f"send() of {count} frames took {taken}")
        again = device.send(sent[taken:])
        want(0 <= again <= count - taken, f"send() of {count - taken} frames took {again}")
        driver.drain()
        driver.send(sent[taken + again :])
        end = time.monotonic() + PATIENCE
        while (counters := device.statistics())["tx_frames"] + _dropped(counters) < count and time.monotonic() < end:
            driver.drain()
            driver.step()
        dropped = _dropped(counters)
        want(not dropped or subject.lossy, f"{dropped} frames dropped, where fewer should be taken: {counters}")
        want(counters["tx_frames"] + dropped == count, f"{counters['tx_frames']} sent, {dropped} dropped, of {count}")
        numbers = _numbers(device, driver.arrived(counters["tx_frames"]))
        want(numbers == sorted(set(numbers)), "frames arrived out of order, or twice")
        want(len(numbers) == counters["tx_frames"], f"{len(numbers)} arrived of {counters['tx_frames']}")


def _dropped(counters: dict[str, int]) -> int:
    return sum(n for name, n in counters.items() if name.startswith("tx_") and name not in ("tx_frames", "tx_bytes"))


def refuses_oversize_frames(make: Make) -> None:
    """A frame longer than the link takes is taken, dropped and counted; those around it go."""
    with make() as subject:
        if subject.take is None:
            return
        device, driver = subject.device, _Driver(subject)
        size = device.largest() + 1
        if size > MAX_MTU:
            return  # no IP packet is that long
        driver.send([Frame(frame(device, 1)), Frame(frame(device, 2, size)), Frame(frame(device, 3))])
        numbers = _numbers(device, driver.arrived(2))
        want(numbers == [1, 3], f"frames {numbers} arrived: want the two that fit, 1 and 3")
        counters = device.statistics()
        want(_dropped(counters) == 1, f"the oversize frame is not counted: {counters}")


def finishes_what_is_unfinished(make: Make) -> None:
    """A frame that stands for several, without its checksum, leaves as packets that the link can carry."""
    with make() as subject:
        if subject.take is None or subject.device.offload:
            return
        device, driver = subject.device, _Driver(subject)
        large = _large(device, 5 * 1000, 1000)
        driver.send([large])
        expected = [one.data for one in finish(large, device.layer, checksums=device.checksums)]
        found = driver.arrived(len(expected))
        want(found == expected, "segments arrived in another order, or twice")


def _large(device: Device, payload: int, segment: int) -> Frame:
    """A TCP segment of `payload` bytes whose checksum is left to the device: RFC 9293 3.1."""
    at = 14 if device.layer == 2 else 0
    header = bytearray(frame(device, 7)[: at + 20])
    header[at + 9] = 6
    length = 20 + payload
    header[at + 2 : at + 4] = (20 + length).to_bytes(2, "big")
    header[at + 10 : at + 12] = b"\0\0"
    total = sum(int.from_bytes(header[n : n + 2], "big") for n in range(at, at + 20, 2))
    header[at + 10 : at + 12] = _folded(total, inverted=True)
    pseudo = sum(int.from_bytes(header[n : n + 2], "big") for n in range(at + 12, at + 20, 2)) + 6 + length
    tcp = b"\x30\x39\x00\x50" + bytes(8) + b"\x50\x10\xff\xff" + _folded(pseudo) + b"\0\0"
    body = bytes(n * 7 % 251 for n in range(payload))
    return Frame(bytes(header) + tcp + body, CHECKSUM_NEEDED, segment)


def _folded(total: int, *, inverted: bool = False) -> bytes:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ((total ^ 0xFFFF) if inverted else total).to_bytes(2, "big")


def closes_while_frames_wait(make: Make) -> None:
    """`close` in mid traffic, in both directions, raises nothing."""
    with make() as subject:
        device = subject.device
        if subject.put is not None:
            subject.put([frame(device, n) for n in range(8)])
            subject.settle()
            device.recv(1)
        if subject.take is not None:
            device.send([Frame(frame(device, n)) for n in range(8)])
        device.close()
        want(device.closed, "not closed, after close()")


def counts_by_known_names(make: Make) -> None:
    """`statistics` has the counters that documents and dashboards know."""
    with make() as subject:
        counters = subject.device.statistics()
        unknown = set(counters) - set(COUNTERS)
        want(not unknown, f"counters that link/device.py does not explain: {sorted(unknown)}")
        always = {"rx_frames", "rx_bytes", "tx_frames", "tx_bytes"}
        want(always <= set(counters), f"counters missing: {sorted(always - set(counters))}")
        want(all(isinstance(n, int) and n >= 0 for n in counters.values()), f"counters that are no counts: {counters}")


CHECKS: tuple[Check, ...] = (
    says_what_it_is,
    closes_for_good,
    gives_descriptors_back,
    counts_by_known_names,
    has_nothing_when_it_is_quiet,
    receives_in_order,
    receives_no_more_than_asked,
    announces_frames,
    sends_in_order,
    loses_nothing_when_it_is_full,
    refuses_oversize_frames,
    finishes_what_is_unfinished,
    closes_while_frames_wait,
)


def check_all(make: Make) -> None:
    """All the checks, one after the other. ConformanceError names the first that fails."""
    for check in CHECKS:
        try:
            check(make)
        except ConformanceError as error:
            raise ConformanceError(f"{check.__name__}: {error}") from None
