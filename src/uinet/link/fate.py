"""What becomes of a device's network interface while it is open: it is set down, comes back, or is deleted."""

from __future__ import annotations

import errno
import os
import socket

from uinet.errors import DeviceGone
from uinet.link import interface
from uinet.link.device import Device
from uinet.link.watch import watch_link
from uinet.units import MILLISECOND

RECHECK = 100 * MILLISECOND  # how often an interface that is down is looked at


class InterfaceDevice(Device):
    """A device on an interface of the kernel that is there without it.

    `down`: the interface is set down; it is looked at every RECHECK until it is up again.
    """

    down = False
    _recheck_at = 0
    _asked: socket.socket
    _index: int

    def watch(self, sock: socket.socket, index: int) -> None:
        """Says which interface it is, and the socket to ask through, in the interface's namespace."""
        self._asked = sock
        self._index = index
        self.link_watch = watch_link(index)

    def notice_down(self, code: int) -> None:
        """The interface is down, or on its way out: the kernel says both in the same words, and only once.

        DeviceGone if it is gone, or if the errno `code` means something else.
        """
        if not interface.current_name(self._asked, self._index):
            raise DeviceGone(f"{self.name} was deleted")
        if code != errno.ENETDOWN:
            raise DeviceGone(f"{self.name}: {os.strerror(code)}")
        self.down = True
        self._recheck_at = 0

    def look(self) -> None:
        """Notices what the socket has to tell beside frames, if anything."""
        code = self._asked.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # reading it clears it
        if code:
            self.notice_down(code)

    def deadline(self) -> int | None:
        return self._recheck_at if self.down else None

    def poll(self, now: int) -> None:
        if not self.down or now < self._recheck_at or self.closed:
            return
        name = interface.current_name(self._asked, self._index)
        if not name:
            raise DeviceGone(f"{self.name} was deleted")
        try:
            self.down = not interface.is_up(self._asked, name)
        except OSError:
            raise DeviceGone(f"{self.name} was deleted") from None
        self._recheck_at = now + RECHECK
