"""One interface for several workers: each gets a device of its own, and the kernel gives a flow always to the same one.

Which one :mod:`uinet.link.steering` says, for ``packet:``, ``tap:`` and ``tun:``; with ``xdp:`` the card does. The
devices are opened one after the other, in the same order for every interface, since the order is what numbers them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uinet.link.device import Device
    from uinet.link.xdp import Redirect


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
    except BaseException:
        for device in devices:
            device.close()
        raise
    return devices
