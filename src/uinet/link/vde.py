"""A port of a VDE switch (Virtual Distributed Ethernet): what vde_switch, QEMU's ``-netdev vde`` and others speak.

Read first: vde_switch(1), vde_plug(1); the protocol is that of the data sockets of VDE 2 (request version 3). A program
connects to the switch's control socket, ``DIRECTORY/ctl``, and sends the name of a datagram socket of its own; the
switch answers with the name of one of its, and frames go between the two, one a datagram. The control connection stays
open as long as the port is wanted. Numbers are in the order of this machine::

    request:  magic, version, kind and port (4 each), sockaddr_un (110), description (128)
    answer:   sockaddr_un
"""

from __future__ import annotations

import itertools
import os
import select
import selectors
import socket
import struct
import tempfile

from uinet.errors import DeviceError, DeviceGone
from uinet.link.unix import DatagramDevice
from uinet.link.unix_socket import bound, connected, failure, unbind
from uinet.wire.addresses import Mac
from uinet.wire.frame import Frame

MAGIC = 0xFEEDFACE
VERSION = 3
ANY_PORT = 0  # REQ_NEW_CONTROL; the number of a port that is wanted stands 8 bits higher
REQUEST = struct.Struct("=IIIH108s128s")
NAME = struct.Struct("=H108s")
PATIENCE = 2.0  # seconds for the switch to answer: it says nothing where it refuses
MOST_PORTS = 1 << 16
_serial = itertools.count()


class VdeDevice(DatagramDevice):
    """A port of the switch at `path`: its directory, or its control socket. `port`: its number, 0 for any.

    Raises DeviceError (no switch, no such port), PermissionDenied. DeviceGone once the switch has ended.
    What is sent while the switch does not keep up is dropped, counted as tx_full.
    """

    def __init__(self, path: str, *, port: int = 0, mtu: int = 1500, mac: Mac | None = None) -> None:
        if not 0 <= port < MOST_PORTS:
            raise DeviceError(f"vde:{path}: port {port}: want 1 to {MOST_PORTS - 1}")
        self._control = connected(os.path.join(path, "ctl") if os.path.isdir(path) else path, socket.SOCK_STREAM)
        self._selector = selectors.DefaultSelector()
        made: socket.socket | None = None
        try:
            made = _data_socket(path)
            peer = self._ask(path, port, made)
            made.connect(peer)
        except OSError as error:
            self._control.close()
            self._selector.close()
            if made is not None:
                unbind(made)
            raise failure(path, error) from None
        # its descriptor tells when there is something to read, so nobody can wait for room
        super().__init__(f"vde:{path}", made, drops=True, mtu=mtu, mac=mac)
        self._selector.register(made, selectors.EVENT_READ)
        self._selector.register(self._control, selectors.EVENT_READ)

    def _ask(self, path: str, port: int, made: socket.socket) -> str:
        """Where the switch wants the frames. DeviceError, OSError."""
        name = made.getsockname()
        who = f"uinet, process {os.getpid()}".encode()
        self._control.sendall(
            REQUEST.pack(MAGIC, VERSION, ANY_PORT | port << 8, socket.AF_UNIX, os.fsencode(name), who)
        )
        if not select.select([self._control], [], [], PATIENCE)[0]:
            raise DeviceError(f"vde:{path}: no answer: this is no VDE switch, or it has no port {port or 'left'}")
        answer = self._control.recv(NAME.size)
        if not answer:
            raise DeviceError(f"vde:{path}: the switch refuses")
        _, peer = NAME.unpack(answer.ljust(NAME.size, b"\0"))
        return os.fsdecode(peer.split(b"\0", 1)[0])

    def recv(self, limit: int = 64) -> list[Frame]:
        frames = super().recv(limit)
        if not frames:
            try:
                data = self._control.recv(1)
            except BlockingIOError:
                return frames
            except OSError as error:
                raise DeviceGone(f"{self.name}: {error.strerror}") from None
            if not data:
                raise DeviceGone(f"{self.name}: the switch has ended")
        return frames

    def fileno(self) -> int:
        return -1 if self.closed else self._selector.fileno()

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._selector.close()
            self._control.close()


def _data_socket(path: str) -> socket.socket:
    """A datagram socket that the switch can find: beside its own, or where temporary files are."""
    name = f".uinet-{os.getpid()}-{next(_serial)}"
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    try:
        return bound(os.path.join(folder, name), socket.SOCK_DGRAM)
    except DeviceError:
        return bound(os.path.join(tempfile.gettempdir(), name), socket.SOCK_DGRAM)
