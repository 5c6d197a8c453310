"""The contract of all devices: what carries frames between a stack and the world.

A device never blocks and never calls into a stack: whoever drives it (an event loop, a Driver) moves the
frames.

- With a descriptor (`fileno` is not -1): readable means that `recv` has something or has an error to
  report; after `send` took fewer frames than it was given, writable means that it is worth trying again.
- Without one: `on_readable` and `on_writable` say the same. They may be called from inside a call of the
  device at the *other* end, so they only note or schedule. Whoever sets `on_readable` calls `recv` once,
  for what came before.
- Time comes in through `poll`: a device that delays or paces has a `deadline`; after `poll`, `recv` may have
  something. Deadlines and `now` are on the driver's clock, in nanoseconds; a deadline of 0 means "at once".

One thread uses a device; the two ends of a memory device belong to the same thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from uinet.errors import DeviceGone, InvalidArgument
from uinet.link.watch import LinkWatch
from uinet.wire.addresses import Mac
from uinet.wire.frame import Frame
from uinet.wire.judge import Judge

ETHERNET_HEADER = 14
VLAN_TAG = 4
MAX_TAGS = 16
MIN_MTU = 68  # RFC 791: every internet module forwards 68 octets without fragmentation
MAX_MTU = 65535

if TYPE_CHECKING:
    from uinet.link.sharing import Part

COUNTERS: dict[str, str] = {
    "rx_frames": "frames received",
    "rx_bytes": "bytes received",
    "tx_frames": "frames sent",
    "tx_bytes": "bytes sent",
    "rx_full": "dropped on the way in: the queue was full",
    "rx_missed": "dropped by the kernel before they were read",
    "rx_truncated": "dropped on the way in: longer than any frame this device takes",
    "rx_unsupported": "dropped on the way in: an offload or link type that this device does not know",
    "rx_damaged": "dropped on the way in: a slot of a shared ring made no sense",
    "rx_short": "dropped on the way in: shorter than a link header",
    "tx_oversize": "dropped on the way out: longer than the link takes",
    "tx_refused": "dropped on the way out: the link takes no such frame",
    "tx_full": "dropped on the way out: the queue of the other end was full",
    "tx_down": "dropped on the way out: the interface is set down, or nobody is at the other end",
    "discarded": "frames still queued here when the device was closed",
    "fault_dropped": "dropped on purpose",
    "fault_corrupted": "corrupted on purpose",
    "fault_duplicated": "duplicated on purpose",
    "fault_reordered": "sent behind a later frame on purpose",
    "fault_queue_full": "dropped: too many frames were being delayed",
    "capture_frames": "frames written to the capture",
    "capture_lost": "frames that could not be written to the capture",
}
ALWAYS_SHOWN = ("rx_frames", "rx_bytes", "tx_frames", "tx_bytes")


class Device:
    """Base of all devices.

    `name`: for people. `layer`: 2 for Ethernet frames, 3 for bare IP packets. `mtu`: the largest IP packet,
    in bytes. `mac`: the address that the stack on this device is told to use, None if it may choose.
    `checksums`: False if the link needs no transport checksums. `offload`: True if the device itself
    carries frames with unfinished checksums and with a gso_size; others finish them in software, so any
    frame may be given to any device. `gathers`: True if it also takes a :class:`LargeFrame`, and large frames are
    cheap for it: a stack then makes them. `splits`: set by whoever takes a :class:`SplitFrame` too; a device that can
    make none, or that wraps another, does nothing with it. `coalesces`: whether TCP segments that come in one batch are
    put together for the stack (:mod:`uinet.link.coalesce`), if `offload` is False. `closed`: after `close`.
    `busy_poll`: for so many nanoseconds after a frame has come whoever drives the device asks for the next one rather
    than sleep: less delay, for a processor. `timestamps`: who tells the `time` of received frames: "hardware",
    "software" (the kernel), "" if nobody does. `link_watch`: what listens to the kernel about the interface below, and
    is closed with the device; None if nothing does. `part`: of the worker that it is opened for, where several share
    an interface by flow.
    """

    offload = False
    gathers = False
    splits = False
    coalesces = True
    busy_poll = 0
    timestamps = ""
    link_watch: LinkWatch | None = None

    def __init__(
        self, name: str, *, layer: int = 2, mtu: int = 1500, mac: Mac | None = None, checksums: bool = True
    ) -> None:
        if layer not in (2, 3):
            raise InvalidArgument(f"layer {layer!r}: want 2 (Ethernet) or 3 (IP)")
        self.name = name
        self.layer = layer
        self.mtu = check_mtu(mtu)
        self.mac = mac
        self.checksums = checksums
        self.closed = False
        self.part: Part | None = None
        self.on_readable: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)

    def recv(self, limit: int = 64) -> list[Frame]:
        """At most `limit` frames, [] if nothing is there now.

        DeviceGone once the device has vanished or is closed.
        """
        raise NotImplementedError

    def passes_to(self, other: Device) -> bool:
        """Whether `pass_on` can write to `other`: both are of one kind that can, and nothing wraps them."""
        return False

    def pass_on(self, limit: int, other: Device, judge: Judge, side: Any, now: int) -> tuple[list[Frame], int, int]:
        """As `recv`, but that frames which `judge` passes go to `other` at once: (the rest, how many, their bytes)."""
        raise NotImplementedError

    def send(self, frames: Sequence[Frame]) -> int:
        """Takes frames from the front and says how many; the rest stays the caller's, to be offered again.

        A frame that can't be carried (too long, refused by the link) is taken, dropped and counted.
        DeviceGone once the device has vanished or is closed.
        """
        raise NotImplementedError

    def fileno(self) -> int:
        """The descriptor to poll; -1 if there is none. It stays the same until the device is closed."""
        return -1

    def deadline(self) -> int | None:
        """When `poll` has something to do, in nanoseconds on the clock of `poll`.

        None for never, 0 for at once.
        """
        return None

    def poll(self, now: int) -> None:
        """Lets time pass. DeviceGone if the device finds that it has vanished."""

    def begin(self) -> None:
        """A device that was opened as one worker's share receives from now on, not before; others do nothing."""

    def forget(self) -> None:
        """Gives up this process's hold on a device that another process goes on with; see `uinet.workers`."""
        self.close()

    @property
    def finished(self) -> bool:
        """True if nothing will ever be received any more: a capture at its end."""
        return False

    def close(self) -> None:
        """Gives everything back; a second call does nothing."""
        self.closed = True
        if self.part is not None:
            self.part.close()
        if self.link_watch is not None:
            self.link_watch.close()

    def statistics(self) -> dict[str, int]:
        """The counters that are not zero (see COUNTERS); frames and bytes of both directions in any case."""
        return {name: n for name, n in self.counters.items() if n or name in ALWAYS_SHOWN}

    def count(self, name: str, n: int = 1) -> None:
        """Adds `n` to a counter; KeyError if there is no such counter."""
        self.counters[name] = self.counters[name] + n

    def require_open(self) -> None:
        """DeviceGone if the device has been closed."""
        if self.closed:
            raise DeviceGone(f"{self.name} is closed")

    def follow_mtu(self, mtu: int) -> None:
        """The MTU of the interface below has changed to `mtu`."""
        self.mtu = mtu

    def largest(self) -> int:
        """The longest single frame that the link takes.

        The MTU and, on layer 2, a header with a full VLAN stack.
        """
        return self.mtu if self.layer == 3 else self.mtu + ETHERNET_HEADER + MAX_TAGS * VLAN_TAG

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{' closed' if self.closed else ''}>"


def check_mtu(mtu: int) -> int:
    """`mtu` if it is a possible one, InvalidArgument otherwise."""
    if not isinstance(mtu, int) or not MIN_MTU <= mtu <= MAX_MTU:
        raise InvalidArgument(f"MTU {mtu!r}: want {MIN_MTU} to {MAX_MTU}")
    return mtu
