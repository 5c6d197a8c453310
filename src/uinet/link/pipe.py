"""A packet pipe: the program itself moves the packets (WireGuard, an iOS tunnel, a test).

No descriptor, no privilege, any platform. Outbound packets go to a function of the program, inbound ones
come through `feed`. Both directions push back: `writable` tells the program to pause feeding, and a sender
that is full makes the stack wait.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable

from uinet.errors import DeviceGone, InvalidArgument, MessageTooLong
from uinet.link.device import MAX_MTU
from uinet.link.writing import WritingDevice
from uinet.wire.addresses import Mac
from uinet.wire.frame import CHECKSUM_UNKNOWN, CHECKSUM_VALID, Frame

QUEUE = 1024


class Sender:
    """How a pipe hands packets to the program's function. This one calls a plain function.

    An event loop derives its own for `async` functions: `send` then queues the packet and returns False
    while its queue is full, and whoever empties the queue calls ``self.pipe.resume()``.
    """

    def __init__(self, function: Callable[[bytes], object]) -> None:
        if inspect.iscoroutinefunction(function):
            raise InvalidArgument("an async send function needs an event loop: use Host.add_pipe")
        self.function = function
        self.pipe: Pipe | None = None  # set by the pipe that owns this sender

    def send(self, packet: bytes) -> bool:
        """Hands one packet over: True. False if there is no room now.

        A plain function says that there is none by raising BlockingIOError; the program calls `Pipe.resume`
        later.
        """
        try:
            result = self.function(packet)
        except BlockingIOError:
            return False
        if result is not None and inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise InvalidArgument("an async send function needs an event loop: use Host.add_pipe")
        return True

    def close(self) -> None:
        """The pipe is closed: no call of `send` follows."""


class Pipe(WritingDevice):
    """A device whose other end is the program.

    `send`: called with each outbound packet as bytes, finished (checksums complete, no larger than the
    MTU). If it raises, the pipe is broken: DeviceGone, with the exception as its cause; BlockingIOError
    only means "not now". `layer`: 3 for bare IP packets, 2 for Ethernet frames. `checksums`: False if the
    link needs none in either direction. `queue`: how many inbound packets may wait for the stack. `sender`:
    another way to hand packets over, instead of `send`.
    """

    def __init__(
        self,
        send: Callable[[bytes], object] | None = None,
        *,
        layer: int = 3,
        mtu: int = 1500,
        mac: Mac | None = None,
        checksums: bool = True,
        queue: int = QUEUE,
        name: str = "pipe",
        sender: Sender | None = None,
    ) -> None:
        super().__init__(name, layer=layer, mtu=mtu, mac=mac, checksums=checksums)
        if queue < 1:
            raise InvalidArgument(f"queue {queue!r}: want 1 packet or more")
        if (send is None) == (sender is None):
            raise InvalidArgument("a pipe takes either a send function or a sender")
        if sender is None:
            if not callable(send):
                raise InvalidArgument(f"send is {send!r}: want a function that takes a packet")
            sender = Sender(send)
        self.sender = sender
        sender.pipe = self
        self.on_drained: Callable[[], None] | None = None  # writable again, after it was not
        self._limit = queue
        self._queue: deque[Frame] = deque()
        self._full = False
        self._state = CHECKSUM_UNKNOWN if checksums else CHECKSUM_VALID
        self._longest = MAX_MTU + self.largest() - self.mtu

    # the program's side

    @property
    def writable(self) -> bool:
        """False from the moment that the inbound queue is full until half of it has been received."""
        return not self._full

    def feed(self, packet: bytes | bytearray | memoryview) -> bool:
        """Hands an inbound packet to the stack: True. False if the queue was full: it is dropped and counted.

        What the packet holds is the stack's business, malformed or not. InvalidArgument for anything but
        bytes, MessageTooLong for what is longer than any IP packet (65535 bytes, plus the link header on
        layer 2), DeviceGone once the pipe is closed.
        """
        taken = self._queue_packet(packet)
        if taken and self.on_readable is not None:
            self.on_readable()
        return taken

    def feed_many(self, packets: Iterable[bytes | bytearray | memoryview]) -> int:
        """As `feed`, for several packets with one wake-up of the stack; how many were taken."""
        taken = 0
        try:
            for packet in packets:
                taken += self._queue_packet(packet)
        finally:
            if taken and self.on_readable is not None:
                self.on_readable()
        return taken

    def resume(self) -> None:
        """The sender has room again, after it had none."""
        if self.on_writable is not None and not self.closed:
            self.on_writable()

    def _queue_packet(self, packet: bytes | bytearray | memoryview) -> bool:
        self.require_open()
        if not isinstance(packet, bytes):
            if not isinstance(packet, (bytearray, memoryview)):
                raise InvalidArgument(f"a packet is bytes, not {type(packet).__name__}")
            packet = bytes(packet)
        if len(packet) > self._longest:
            raise MessageTooLong(f"a packet of {len(packet)} bytes: no packet is longer than {self._longest}")
        if len(self._queue) >= self._limit:
            self.count("rx_full")
            return False
        self._queue.append(Frame(packet, self._state))
        self._full = len(self._queue) >= self._limit
        return True

    # the stack's side

    def recv(self, limit: int = 64) -> list[Frame]:
        self.require_open()
        queue = self._queue
        frames = [queue.popleft() for _ in range(min(limit, len(queue)))]
        self.counters["rx_frames"] += len(frames)
        self.counters["rx_bytes"] += sum(len(frame.data) for frame in frames)
        if self._full and len(queue) <= self._limit // 2:
            self._full = False
            if self.on_drained is not None:
                self.on_drained()
        return frames

    def write(self, packet: bytes) -> bool:
        if len(packet) > self.largest():
            self.count("tx_oversize")
            return True
        try:
            if not self.sender.send(packet):
                return False
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise DeviceGone(f"{self.name}: its send function failed: {reason}") from error
        self.sent(len(packet))
        return True

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        self.count("discarded", len(self._queue))
        self._queue.clear()
        self.sender.close()
        if self._full and self.on_drained is not None:
            self.on_drained()  # whoever waits for room learns that the pipe is closed
        self._full = False
