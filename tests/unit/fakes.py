"""Stand-ins for a stack and for devices, for the tests of what moves frames between them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, cast

from uinet.errors import DeviceGone
from uinet.link.device import Device
from uinet.stats import Stats
from uinet.wire.frame import Frame


class FakeInterface:
    def __init__(self, name: str, layer: int = 2) -> None:
        self.name = name
        self.layer = layer
        self.up = True
        self.promiscuous = False
        self.bridge = self.flows = self.carrier = self.hooks = None
        self.queue: list[Frame] = []

    def announce_groups(self) -> None:
        """It has none."""


class FakeStack:
    """Records its input; `answer`, if set, makes frames of each one, which go out by the same interface."""

    def __init__(self) -> None:
        self.stats = Stats()
        self.on_pending: Callable[[], None] | None = None
        self.clock: Callable[[], int] | None = None
        self.inputs: list[tuple[str, list[bytes], int]] = []
        self.polls: list[int] = []
        self.timer: int | None = None
        self.fired: list[int] = []
        self.answer: Callable[[bytes], list[bytes]] | None = None

    def input(self, interface: Any, frames: Sequence[Frame], now: int) -> int | None:
        self.inputs.append((interface.name, [frame.data for frame in frames], now))
        if self.answer is not None:
            for frame in frames:
                interface.queue += [Frame(data) for data in self.answer(frame.data)]
        return self.timer

    def poll(self, now: int) -> int | None:
        self.polls.append(now)
        if self.timer is not None and self.timer <= now:
            self.fired.append(now)
            self.timer = None
        return self.timer

    def next_deadline(self) -> int | None:
        return self.timer

    def output(self, interface: Any) -> list[Frame]:
        frames: list[Frame] = interface.queue
        interface.queue = []
        return frames

    def received(self) -> list[bytes]:
        return [data for _, frames, _ in self.inputs for data in frames]


class DescriptorDevice(Device):
    """A device with a real descriptor: one end of a socket pair; `other` is what the world holds."""

    def __init__(self, name: str = "descriptor") -> None:
        super().__init__(name)
        self.socket, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.setblocking(False)
        self.other.setblocking(False)

    def fileno(self) -> int:
        return self.socket.fileno()

    def recv(self, limit: int = 64) -> list[Frame]:
        frames: list[Frame] = []
        while len(frames) < limit:
            try:
                data = self.socket.recv(2048)
            except BlockingIOError:
                break
            if not data:
                if frames:
                    break
                raise DeviceGone("the other end is gone")
            frames.append(Frame(data))
        return frames

    def send(self, frames: Sequence[Frame]) -> int:
        for taken, frame in enumerate(frames):
            try:
                self.socket.send(frame.data)
            except BlockingIOError:
                return taken
        return len(frames)

    def close(self) -> None:
        super().close()
        self.socket.close()

    def fill(self) -> int:
        """Sends until the device is full; how many frames that were."""
        count = 0
        while self.send([Frame(bytes(1000))]):
            count += 1
        return count

    def drain(self) -> list[bytes]:
        """What the world has received."""
        found = []
        while True:
            try:
                found.append(self.other.recv(2048))
            except BlockingIOError:
                return found


class BrokenDevice(Device):
    """Fails with an OSError that is no DeviceGone."""

    def recv(self, limit: int = 64) -> list[Frame]:
        raise OSError(5, os.strerror(5))

    def send(self, frames: Sequence[Frame]) -> int:
        raise OSError(5, os.strerror(5))


def as_any(thing: object) -> Any:
    """For handing a stand-in to what wants the real thing."""
    return cast(Any, thing)
