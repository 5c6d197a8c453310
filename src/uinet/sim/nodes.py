"""What a link connects: hosts, which own a stack, and taps, which are a test's own hands on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from uinet.errors import InvalidArgument
from uinet.link.offload import finish
from uinet.sim.clock import Clock, Event
from uinet.sim.link import Port
from uinet.wire.addresses import Mac
from uinet.wire.frame import Frame, gathered

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.stack import Stack


class Host:
    """A simulated host: one stack whose frames and time the simulation moves.

    `stack`: do with it what you like; what calls leave to be sent goes out at the same virtual instant.
    `interface`: the first one, there from the beginning; each further link adds another to `interfaces`.
    On a promiscuous host the interfaces are in the connection domains `cdom`, `cdom` + 1, and so on.
    """

    def __init__(
        self,
        clock: Clock,
        stack: Stack,
        name: str,
        *,
        macs: Callable[[int], Mac],
        mtu: int = 1500,
        layer: int = 2,
        cdom: int = 0,
        promiscuous: bool = False,
        answer_any: bool = False,
    ) -> None:
        self.clock = clock
        self.stack = stack
        self.name = name
        self.layer = layer
        self.mtu = mtu
        self.cdom = cdom
        self.promiscuous = promiscuous
        self.answer_any = answer_any
        self.interfaces: list[Interface] = []
        self.ports: list[Port] = []
        self._macs = macs
        self._inbox: list[tuple[Interface, Frame]] = []
        self._deadline: int | None = None
        self._wakeup: Event | None = None
        self._flushing = False
        self._add_interface(mtu)
        stack.simulated = True
        stack.on_pending = self._pending
        stack.clock = lambda: clock.now

    @property
    def interface(self) -> Interface:
        """The first interface."""
        return self.interfaces[0]

    def __repr__(self) -> str:
        return f"<Host {self.name}>"

    def free_port(self, mtu: int | None = None) -> Port:
        """A port without a link, on a new interface if need be; `mtu`: what to set its interface to."""
        if self.ports[-1].channel is not None:
            self._add_interface(mtu or self.mtu)
        elif mtu is not None:
            self.interfaces[-1].mtu = mtu
        return self.ports[-1]

    def _add_interface(self, mtu: int) -> None:
        index = len(self.interfaces)
        interface = self.stack.add_interface(
            f"eth{index}",
            mac=self._macs(index) if self.layer == 2 else None,
            mtu=mtu,
            cdom=self.cdom + index if self.promiscuous else self.cdom,
            promiscuous=self.promiscuous,
            layer=self.layer,
        )
        interface.answer_any = self.answer_any
        port = Port(
            self.clock, f"{self.name}.eth{index}", self.layer, lambda frame: self._receive(interface, frame)
        )
        self.interfaces.append(interface)
        self.ports.append(port)

    def _receive(self, interface: Interface, frame: Frame) -> None:
        """Collects what arrives in one instant: a stack eats frames in batches, as from a device."""
        if not self._inbox:
            self.clock.after(0, self._eat)
        self._inbox.append((interface, frame))

    def _eat(self) -> None:
        inbox, self._inbox = self._inbox, []
        if self.stack.closed:
            return
        now = self.clock.now
        batch: list[Frame] = []
        for position, (interface, frame) in enumerate(inbox):
            batch.append(frame)
            if position + 1 == len(inbox) or inbox[position + 1][0] is not interface:
                self._deadline = self.stack.input(interface, batch, now)
                batch = []
        self._send()

    def _pending(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.clock.after(0, self._poll)

    def _poll(self) -> None:
        self._flushing = False
        if not self.stack.closed:
            self._deadline = self.stack.poll(self.clock.now)
            self._send()

    def _send(self) -> None:
        """Puts on the wire what the stack has to send, and sees to it that its next deadline is kept."""
        for interface, port in zip(self.interfaces, self.ports, strict=True):
            for frame in self.stack.output(interface):
                for packet in finish(gathered(frame), self.layer, checksums=interface.checksums):
                    port.send(packet)
        self._arm()

    def _arm(self) -> None:
        deadline, wakeup = self._deadline, self._wakeup
        if deadline is None:
            if wakeup is not None:
                wakeup.cancel()
                self._wakeup = None
        elif wakeup is None or wakeup.time > deadline:
            if wakeup is not None:
                wakeup.cancel()
            # a deadline that has passed already: the next instant, so that time moves
            self._wakeup = self.clock.at(max(deadline, self.clock.now + 1), self._wake)

    def _wake(self) -> None:
        """The wakeup is not moved where the deadline moves later, so there may be nothing to do yet."""
        self._wakeup = None
        if self._deadline is not None and self._deadline > self.clock.now:
            self._arm()
        else:
            self._poll()


class Tap:
    """Test code with one end of a link in its hands, or with two: a bump in the wire.

    `frames`: what has arrived, oldest first, with its time. `handler`: called as ``handler(frame, port)``
    with each arriving frame and the number of the link that it came by; the frames that it returns go out,
    with two links by the other one, with one link back. Without a handler a tap on two links passes
    everything on, one on a single link nothing.
    """

    def __init__(self, clock: Clock, name: str, layer: int = 2) -> None:
        self.clock = clock
        self.name = name
        self.layer = layer
        self.ports: list[Port] = []
        self.frames: list[Frame] = []
        self.handler: Callable[[Frame, int], Iterable[Frame | bytes] | None] | None = None

    def __repr__(self) -> str:
        return f"<Tap {self.name}>"

    def free_port(self, mtu: int | None = None) -> Port:
        """A port for another link; a tap has at most two."""
        number = len(self.ports)
        if number == 2:
            raise InvalidArgument(f"{self.name} has two links already")
        port = Port(
            self.clock, f"{self.name}.{number}", self.layer, lambda frame: self._receive(frame, number)
        )
        self.ports.append(port)
        return port

    def send(self, frame: Frame | bytes, port: int = 0) -> None:
        """Injects a frame, as it is, into the link with that number; InvalidArgument without such a link."""
        if port >= len(self.ports):
            raise InvalidArgument(f"{self.name} has no link {port}")
        self.ports[port].send(frame if isinstance(frame, Frame) else Frame(frame))

    def send_all(self, frames: Sequence[Frame | bytes], port: int = 0) -> None:
        """Injects several frames, in order."""
        for frame in frames:
            self.send(frame, port)

    def take(self) -> list[Frame]:
        """What has arrived since the last call."""
        frames, self.frames = self.frames, []
        return frames

    def _receive(self, frame: Frame, port: int) -> None:
        self.frames.append(frame)
        two = len(self.ports) == 2
        if self.handler is not None:
            answer = self.handler(frame, port)
        else:
            answer = (frame,) if two else None
        for outgoing in answer or ():
            self.send(outgoing, 1 - port if two else port)
