"""What one of several workers hears of the others: a stack on an interface whose flows they share.

Packets of no flow (ARP, neighbour discovery) come to worker 0. It answers for all, as they have the same addresses, and
passes them on, so that each learns where its neighbours are; the others keep quiet. Connections that a worker opens get
a port that makes their packets its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.link.device import Device
    from uinet.link.sharing import Part
    from uinet.stack import Stack


class Service(Protocol):
    """What a driver looks after beside devices: a descriptor to wait for, a deadline, and one call for both."""

    def fileno(self) -> int: ...

    def deadline(self) -> int | None: ...

    def serve(self, now: int) -> None: ...

    def close(self) -> None: ...


class Hearsay:
    """Hands a stack what worker 0 passes on; drivers look after it as after a control socket."""

    def __init__(self, stack: Stack, interface: Interface, part: Part) -> None:
        self.stack = stack
        self.interface = interface
        self.part = part
        part.heard = True

    def fileno(self) -> int:
        return self.part.fileno()

    def deadline(self) -> None:
        return None

    def serve(self, now: int) -> None:
        frames = self.part.hear()
        if frames:
            self.stack.input(self.interface, frames, now)

    def close(self) -> None:
        self.part.deafen()


def take_part(stack: Stack, interface: Interface, device: Device) -> Hearsay | None:
    """Makes `stack` one of the several that share the interface behind `device`, if they do. What a driver has to look
    after, too; None if there is nothing to hear."""
    part = device.part
    if part is None:
        return None
    stack.network.owns = part.owns
    if interface.promiscuous:
        return None  # it has no neighbours
    if part.index == 0:
        interface.relay = part.tell
        return None
    interface.quiet = True
    return Hearsay(stack, interface, part)
