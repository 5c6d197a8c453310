"""Any device as a source of packets; it is only read from."""

from __future__ import annotations

import select
import time

from uinet.following.filtering import Filter
from uinet.following.reading import WAIT
from uinet.following.source import Source, Stop
from uinet.link.device import Device
from uinet.passive.follower import Follower
from uinet.units import MILLISECOND
from uinet.wire.capture import LINKTYPE_ETHERNET, LINKTYPE_RAW

BATCH = 256  # frames a pump
LOOK = 1  # ms after which a device that has no descriptor is looked at again


class DeviceSource(Source):
    """The frames of a device, timed by it, or by when they are seen here. `owned`: closed with the source.

    While nothing comes the follower's time goes on, if the device's frames have no times of their own.
    """

    def __init__(self, device: Device, filter: Filter | None = None, *, owned: bool = False) -> None:
        super().__init__(device.name)
        self._device = device
        self._filter = filter
        self._owned = owned
        self._link_type = LINKTYPE_ETHERNET if device.layer == 2 else LINKTYPE_RAW
        self._count = 0
        self._filtered = 0
        self._bytes = 0
        self._live = False  # frames have come, and none had a time
        self._poll = select.poll()
        if device.fileno() >= 0:
            self._poll.register(device.fileno(), select.POLLIN)

    def pump(self, follower: Follower, stop: Stop | None = None) -> bool:
        if stop is not None and stop():
            return False
        device = self._device
        frames = device.recv(BATCH)
        if not frames:
            if device.finished:
                return False
            self._wait()
            device.poll(time.monotonic_ns())
            frames = device.recv(BATCH)
        now = time.time_ns()
        for frame in frames:
            data, at = frame.data, frame.time or now
            self._live = not frame.time
            self._count += 1
            self._bytes += len(data)
            if self._filter is None or self._filter.accepts(self._link_type, data, 0, len(data), len(data)):
                follower.packet(self._link_type, data, 0, len(data), len(data), at)
            else:
                follower.frames += 1
                self._filtered += 1
        if self._live and not frames:
            follower.advance(now)
        self.dropped = device.statistics().get("rx_missed", 0)
        return bool(frames) or not device.finished

    def _wait(self) -> None:
        """Until there may be something, for 0.1 s at most."""
        wait = WAIT if self._device.fileno() >= 0 else LOOK
        deadline = self._device.deadline()
        if deadline is not None:
            wait = max(0, min(WAIT, (deadline - time.monotonic_ns() + MILLISECOND - 1) // MILLISECOND))
        if wait:
            self._poll.poll(wait)

    def statistics(self) -> dict[str, int]:
        return {"packets": self._count, "filtered": self._filtered, "bytes": self._bytes, "dropped": self.dropped}

    def close(self) -> None:
        if self._owned:
            self._device.close()
