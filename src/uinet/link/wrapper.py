"""Devices that wrap a device: the base of faults and capture."""

from __future__ import annotations

from collections.abc import Sequence

from uinet.link.device import Device
from uinet.wire.frame import Frame


class Wrapper(Device):
    """Passes everything through to `inner`, which belongs to the wrapper from now on: closing it closes both.

    Its counters add to those of the inner device, which keeps counting frames and bytes.
    """

    def __init__(self, inner: Device) -> None:
        super().__init__(
            inner.name, layer=inner.layer, mtu=inner.mtu, mac=inner.mac, checksums=inner.checksums
        )
        self.offload = inner.offload
        self.busy_poll = inner.busy_poll
        self.coalesces = inner.coalesces
        self.timestamps = inner.timestamps
        self.link_watch = inner.link_watch
        self.inner = inner
        inner.on_readable = self._inner_readable
        inner.on_writable = self._inner_writable

    def _inner_readable(self) -> None:
        if self.on_readable is not None:
            self.on_readable()

    def _inner_writable(self) -> None:
        if self.on_writable is not None:
            self.on_writable()

    def recv(self, limit: int = 64) -> list[Frame]:
        return self.inner.recv(limit)

    def send(self, frames: Sequence[Frame]) -> int:
        return self.inner.send(frames)

    def fileno(self) -> int:
        return self.inner.fileno()

    def deadline(self) -> int | None:
        return self.inner.deadline()

    def poll(self, now: int) -> None:
        self.inner.poll(now)

    @property
    def finished(self) -> bool:
        return self.inner.finished

    def follow_mtu(self, mtu: int) -> None:
        super().follow_mtu(mtu)
        self.inner.follow_mtu(mtu)

    def close(self) -> None:
        super().close()
        self.inner.close()

    def begin(self) -> None:
        self.inner.begin()

    def forget(self) -> None:
        super().close()
        self.inner.forget()

    def statistics(self) -> dict[str, int]:
        totals = self.inner.statistics()
        for name, n in self.counters.items():
            if n:
                totals[name] = totals.get(name, 0) + n
        return totals
