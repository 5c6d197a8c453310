"""Two ends joined in memory: what one sends the other receives, as it is, offload state included.

A full queue is back-pressure: `send` takes fewer, and `on_writable` of the sender says when there is room
again. While nobody is at the other end frames are dropped and counted, as on a cable that is not plugged
in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from uinet.errors import DeviceError, InvalidArgument
from uinet.link.device import Device
from uinet.wire.addresses import Mac
from uinet.wire.frame import Frame

QUEUE = 1024


class MemoryDevice(Device):
    """One end. `queue`: how many frames may wait here to be received."""

    offload = True

    def __init__(
        self,
        name: str = "memory",
        *,
        layer: int = 2,
        mtu: int = 1500,
        mac: Mac | None = None,
        checksums: bool = True,
        queue: int = QUEUE,
    ) -> None:
        super().__init__(name, layer=layer, mtu=mtu, mac=mac, checksums=checksums)
        if queue < 1:
            raise InvalidArgument(f"queue {queue!r}: want 1 frame or more")
        self.peer: MemoryDevice | None = None
        self._limit = queue
        self._queue: deque[Frame] = deque()
        self._peer_waits = False  # the peer was told to take back frames: it wants on_writable

    @classmethod
    def pair(
        cls,
        name: str = "memory",
        *,
        layer: int = 2,
        mtu: int = 1500,
        checksums: bool = True,
        queue: int = QUEUE,
    ) -> tuple[MemoryDevice, MemoryDevice]:
        """Both ends of a new link, named NAME/a and NAME/b."""
        a = cls(f"{name}/a", layer=layer, mtu=mtu, checksums=checksums, queue=queue)
        b = cls(f"{name}/b", layer=layer, mtu=mtu, checksums=checksums, queue=queue)
        a.join(b)
        return a, b

    def join(self, other: MemoryDevice) -> None:
        """Makes `other` the other end. InvalidArgument if the two can't be joined."""
        if other is self or self.peer is not None or other.peer is not None or self.layer != other.layer:
            raise InvalidArgument(f"{self.name} and {other.name} can't be joined")
        self.peer, other.peer = other, self

    def recv(self, limit: int = 64) -> list[Frame]:
        self.require_open()
        queue = self._queue
        frames = [queue.popleft() for _ in range(min(limit, len(queue)))]
        self.counters["rx_frames"] += len(frames)
        self.counters["rx_bytes"] += sum(len(frame.data) for frame in frames)
        if self._peer_waits and len(queue) <= self._limit // 2:
            self._peer_waits = False
            if self.peer is not None and self.peer.on_writable is not None:
                self.peer.on_writable()
        return frames

    def send(self, frames: Sequence[Frame]) -> int:
        self.require_open()
        peer = self.peer
        if peer is None:
            self.count("tx_down", len(frames))
            return len(frames)
        room = peer._limit - len(peer._queue)
        taken = list(frames if len(frames) <= room else frames[:room])
        peer._peer_waits = len(taken) < len(frames)
        largest = self.largest()
        fitting = [frame for frame in taken if frame.gso_size or len(frame.data) <= largest]
        if len(fitting) < len(taken):
            self.count("tx_oversize", len(taken) - len(fitting))
        self.counters["tx_frames"] += len(fitting)
        self.counters["tx_bytes"] += sum(len(frame.data) for frame in fitting)
        if fitting:
            peer._queue.extend(fitting)
            if peer.on_readable is not None:
                peer.on_readable()
        return len(taken)

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        self.count("discarded", len(self._queue))
        self._queue.clear()
        peer, self.peer = self.peer, None
        if peer is not None:
            peer.peer = None
            if self._peer_waits and peer.on_writable is not None:
                peer.on_writable()


class MemoryRegistry:
    """Where two openers of ``memory:NAME`` meet: the first gets one end, the second the other.

    Whoever opens devices owns one (a Host does); ends opened through different registries never meet. An
    end that is closed is free to be opened again.
    """

    def __init__(self) -> None:
        self._ends: dict[str, list[MemoryDevice]] = {}

    def open(
        self, name: str, *, layer: int = 2, mtu: int = 1500, mac: Mac | None = None, queue: int = QUEUE
    ) -> MemoryDevice:
        """An end of the link `name`.

        DeviceError if both ends are open, or the other end's layer or MTU differs.
        """
        for known in [known for known, ends in self._ends.items() if all(end.closed for end in ends)]:
            del self._ends[known]
        ends = [end for end in self._ends.get(name, ()) if not end.closed]
        if len(ends) > 1:
            raise DeviceError(f"memory:{name} has both its ends in use")
        if ends and (ends[0].layer, ends[0].mtu) != (layer, mtu):
            there = f"layer {ends[0].layer} and MTU {ends[0].mtu}"
            raise DeviceError(f"memory:{name} has {there} at its other end, not {layer} and {mtu}")
        device = MemoryDevice(f"memory:{name}", layer=layer, mtu=mtu, mac=mac, queue=queue)
        if ends:
            ends[0].join(device)
        self._ends[name] = [*ends, device]
        return device
