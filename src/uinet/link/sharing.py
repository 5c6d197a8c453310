"""One interface for several workers: each gets a device of its own, and the kernel gives a flow always to the same one.

Which one :mod:`uinet.link.steering` says, for ``packet:``, ``tap:`` and ``tun:``; with ``xdp:`` the card does. The
devices are opened one after the other, in the same order for every interface, since the order is what numbers them.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

from uinet.link.steering import flow_owner
from uinet.wire.addresses import Mac
from uinet.wire.frame import Frame

if TYPE_CHECKING:
    from uinet.link.device import Device
    from uinet.link.xdp import Redirect


BY_FLOW = ("packet", "tap", "tun")  # schemes; with the others a card shares flows out, and does not say how


class Share:
    """What the devices of one interface have in common while they are opened: for worker `index` of `count`.

    `group`: the number under which packet sockets are joined. `name`: the interface's real one. `redirect`: its XDP
    program.
    """

    def __init__(self, count: int) -> None:
        self.index = 0
        self.count = count
        self.group: int | None = None
        self.name = ""
        self.redirect: Redirect | None = None


class Part:
    """One worker's part in an interface whose flows are shared: it is number `index` of `count`.

    Packets that are of no flow (ARP, neighbour discovery) come to worker 0, which tells the others. `heard`: somebody
    listens to that, and calls `deafen` in the end; `close` does not then.
    """

    def __init__(self, index: int, count: int, others: list[socket.socket], ear: socket.socket | None) -> None:
        self.index = index
        self.count = count
        self.heard = False
        self._others = others
        self._ear = ear

    def owns(self, address: bytes, port: int, remote: bytes, remote_port: int) -> bool:
        """Whether the packets of a TCP or UDP flow come to this worker."""
        return flow_owner(address, remote, port, remote_port) % self.count == self.index

    def tell(self, frame: Frame) -> None:
        """Passes a frame on to the others. One that does not keep up misses it, as it might have on the wire."""
        for other in self._others:
            with contextlib.suppress(OSError):
                other.send(frame.data)

    def hear(self, limit: int = 64) -> list[Frame]:
        """Frames that worker 0 has passed on, at most `limit`."""
        frames: list[Frame] = []
        while self._ear is not None and len(frames) < limit:
            try:
                data = self._ear.recv(1 << 16)
            except OSError:  # nothing is there now
                break
            if not data:
                break
            frames.append(Frame(data))
        return frames

    def fileno(self) -> int:
        """The descriptor that is readable when there is something to hear; -1 for worker 0."""
        return -1 if self._ear is None else self._ear.fileno()

    def deafen(self) -> None:
        """Closes the descriptor; a second time does nothing."""
        if self._ear is not None:
            self._ear.close()

    def close(self) -> None:
        """Lets go of this process's ends; a second time does nothing."""
        for other in self._others:
            other.close()
        if not self.heard:
            self.deafen()


def parts(count: int) -> list[Part]:
    """What joins `count` workers on one interface."""
    told: list[socket.socket] = []
    ears: list[socket.socket | None] = [None]
    for _ in range(count - 1):
        mouth, ear = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        mouth.setblocking(False)
        ear.setblocking(False)
        told.append(mouth)
        ears.append(ear)
    return [Part(index, count, told if index == 0 else [], ears[index]) for index in range(count)]


def open_shares(url: str, count: int, *, mtu: int | None = None) -> list[Device]:
    """A device for each of `count` workers on the interface that `url` names. They receive nothing before `begin`.

    DeviceURLError if the device can't be shared (memory, files, Unix sockets), and what `open_device` raises.
    """
    from uinet.link.url import open_device

    share = Share(count)
    devices: list[Device] = []
    try:
        for index in range(count):
            share.index = index
            devices.append(open_device(url, mtu=mtu, share=share))
        if count > 1 and url.partition(":")[0] in BY_FLOW:
            mac = devices[0].mac or (Mac(b"\x02" + os.urandom(5)) if devices[0].layer == 2 else None)
            for device, part in zip(devices, parts(count), strict=True):
                device.mac = mac  # a stack has one of its own otherwise
                device.part = part
    except BaseException:
        for device in devices:
            device.close()
        raise
    return devices
