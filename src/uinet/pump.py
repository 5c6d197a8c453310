"""Moves frames between one device and one interface of a stack: what every driver does, in one place.

A pump decides nothing about time or waiting. Whoever drives it calls `receive` when the device may have
frames, `flush` when the stack may have some, and `poll` at the device's deadline, and asks it what to wait
for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.errors import DeviceGone
from uinet.ip.interface import MIN_MTU_V6
from uinet.link.coalesce import Coalescer
from uinet.link.device import MAX_MTU, MIN_MTU
from uinet.wire.frame import Frame
from uinet.wire.kernels import keep_heap

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.link.device import Device
    from uinet.stack import Stack

BATCH = 64  # frames a turn: enough to spread the cost of a wakeup, few enough to leave others their share


class Pump:
    """One device and the interface that it serves.

    `blocked`: the device took fewer frames than there were; the rest waits here, the stack keeps its own,
    and `flush` is worth a call once the device is writable. `ready`: the device may have more to receive
    right now, or is to be asked without waiting (Device.busy_poll). `gone`: the error with which the device
    vanished, or None; a pump whose device is gone does nothing.
    """

    def __init__(self, stack: Stack, device: Device, interface: Interface) -> None:
        self.stack = stack
        self.device = device
        self.interface = interface
        self.blocked = False
        interface.gathers = device.gathers
        interface.carrier = self
        device.splits = not interface.promiscuous  # a bridge, or a program that asks for whole SYNs, would join them
        self._coalescer = Coalescer(device.layer, device.checksums) if self._coalesces() else None
        self.ready = True  # whoever starts to drive a device calls recv once, for what came before
        self.gone: Exception | None = None
        self._awake_until = 0  # a device with busy_poll is asked until then, whether or not it says that it has frames
        keep_heap()
        self._waiting: list[Frame] = []  # taken from the stack, not yet by the device

    def _coalesces(self) -> bool:
        """Whether segments are put together here: not for a bridge, which passes packets as they are."""
        return self.device.coalesces and not self.device.offload and not self.interface.promiscuous

    @property
    def finished(self) -> bool:
        """Whether nothing will ever come from the device: it has vanished, or it is a source at its end."""
        return self.gone is not None or (self.device.finished and not self.ready)

    def receive(self, now: int) -> int:
        """Hands at most `BATCH` frames to the stack; says how many there were."""
        if self.gone is not None:
            return 0
        passed = 0
        try:
            other = self._other_side()
            if other is None:
                frames = self.device.recv(BATCH)
            else:
                flows = self.interface.flows
                assert flows is not None
                frames, passed, octets = self.device.pass_on(BATCH, other.device, flows, self.interface, now)
                if passed:
                    flows.passed(self.interface, passed, octets)
        except OSError as error:  # DeviceGone, or a failure that the device's author has not thought of
            self._vanish(error)
            return 0
        count = len(frames) + passed
        self.ready = count == BATCH
        if self.device.busy_poll:
            if count:
                self._awake_until = now + self.device.busy_poll
            self.ready = now < self._awake_until
        if frames and self._coalescer is not None and self.interface.hooks is None:  # who looks wants what came
            frames = self._coalescer.coalesce(frames)
        if frames:
            self.stack.input(self.interface, frames, now)
        return count

    def _other_side(self) -> Pump | None:
        """The pump of the interface that this one is bridged to, if frames may go to its device without a detour:
        nothing waits there that came before them."""
        interface = self.interface
        bridge = interface.bridge
        if bridge is None or interface.flows is None or interface.hooks is not None or bridge.hooks is not None:
            return None
        other: Pump | None = bridge.carrier
        if other is None or other.gone is not None or other._waiting or bridge.output or not bridge.up:
            return None
        return other if self.device.passes_to(other.device) else None

    def flush(self) -> None:
        """Offers the device what waits, then what the stack has, until nothing is left or it is full."""
        if self.gone is not None:
            self.stack.output(self.interface)  # calls of a program may still queue frames: nobody takes them
            return
        try:
            while True:
                frames = self._waiting or self.stack.output(self.interface)
                if not frames:
                    self.blocked = False
                    return
                taken = self.device.send(frames)
                if taken < len(frames):
                    self._waiting = frames[taken:]
                    self.blocked = True
                    return
                self._waiting = []
        except OSError as error:
            self._vanish(error)

    def poll(self, now: int) -> None:
        """Lets time pass for the device; it may have frames afterwards."""
        if self.gone is not None:
            return
        try:
            self.device.poll(now)
        except OSError as error:
            self._vanish(error)
        self.ready = True

    def link_changed(self) -> None:
        """The kernel has something to tell of the interface below the device (`Device.link_watch`)."""
        watch = self.device.link_watch
        if watch is None or self.gone is not None:
            return
        before = watch.mtu
        for change in watch.read():
            detail = ""
            if change.mtu:
                detail = str(change.mtu)
                self._follow_mtu(before, change.mtu)
                before = change.mtu
            elif change.address:
                detail = f"/{change.prefix_length}"
            self.stack.network.tell(self.interface, change.kind, change.address or None, detail)

    def _follow_mtu(self, before: int, mtu: int) -> None:
        """The interface's MTU follows the kernel's, unless its user has chosen another: as far as that can be."""
        interface = self.interface
        if interface.mtu != min(before, MAX_MTU) or not mtu >= MIN_MTU:
            return
        mtu = min(mtu, MAX_MTU)
        if mtu < MIN_MTU_V6:
            for entry in interface.addresses:
                if len(entry.address) == 16:
                    mtu = MIN_MTU_V6
        self.device.follow_mtu(mtu)
        interface.mtu = mtu
        self.stack.network.changed()

    def deadline(self) -> int | None:
        """When the device wants `poll`, in ns; None for never."""
        return None if self.gone is not None else self.device.deadline()

    def _vanish(self, error: Exception) -> None:
        """The device is gone: its interface is down, its frames are lost, its error waits for the driver."""
        self.gone = error if isinstance(error, DeviceGone) else DeviceGone(f"{self.device.name}: {error}")
        self.gone.__cause__ = None if self.gone is error else error
        self.interface.up = False
        self.stack.stats.count("link_device_gone")
        self.blocked = self.ready = False
        self._waiting = []
        self.device.close()
