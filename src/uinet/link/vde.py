"""A port of a VDE switch (Virtual Distributed Ethernet): what vde_switch, QEMU's ``-netdev vde`` and others speak.

Read first: vde_switch(1), vde_plug(1); the protocol is that of the data sockets of VDE 2 (request version 3). A program
connects to the switch's control socket, ``DIRECTORY/ctl``, and sends the name of a datagram socket of its own; the
switch answers with the name of one of its, and frames go between the two, one a datagram. The control connection stays
open as long as the port is wanted. Numbers are in the order of this machine::

    request:  magic, version, kind and port (4 each), sockaddr_un (110), description (128)
    answer:   sockaddr_un
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import selectors
import socket
import struct
import tempfile

from uinet.errors import DeviceError, DeviceGone
from uinet.link.unix import DatagramDevice
from uinet.link.unix_socket import bound, connected, failure, new_socket, unbind
from uinet.wire.addresses import Mac
from uinet.wire.frame import Frame

MAGIC = 0xFEEDFACE
VERSION = 3
ANY_PORT = 0  # REQ_NEW_CONTROL; the number of a port that is wanted stands 8 bits higher
REQUEST = struct.Struct("=IIIH108s128s")
NAME = struct.Struct("=H108s")
PATIENCE = 2.0  # seconds for the switch to answer: it says nothing where it refuses
MOST_PORTS = 1 << 16
DESCRIPTION = 128  # bytes of it at most; programs send as many as they need
_serial = itertools.count()


class VdeDevice(DatagramDevice):
    """A port of the switch at `path`: its directory, or its control socket. `port`: its number, 0 for any.

    Raises DeviceError (no switch, no such port), PermissionDenied. DeviceGone once the switch has ended.
    What is sent while the switch does not keep up is dropped, counted as tx_full.
    """

    def __init__(self, path: str, *, port: int = 0, mtu: int = 1500, mac: Mac | None = None) -> None:
        if not 0 <= port < MOST_PORTS:
            raise DeviceError(f"vde:{path}: port {port}: want 1 to {MOST_PORTS - 1}")
        control = os.path.join(path, "ctl") if os.path.isdir(path) else path
        self._control = connected(control, socket.SOCK_STREAM, scheme="vde")
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
            raise failure(path, error, "vde") from None
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


class VdeSwitchDevice(DatagramDevice):
    """The switch's side, for one program at a time: `path` becomes a directory (of this user alone) with its control
    socket. Whoever asks for a port, whichever, is the peer until it hangs up, and then the next one is.

    Frames for nobody are dropped, counted as tx_down; what the peer has no room for is tx_full. Raises DeviceURLError
    (bad path), PermissionDenied, DeviceError.
    """

    def __init__(self, path: str, *, mtu: int = 1500, mac: Mac | None = None) -> None:
        self._folder = path
        self._made_folder = _make_folder(path)
        self._control: socket.socket | None = None
        self._request = b""
        self._peer = b""
        try:
            self._listener = bound(os.path.join(path, "ctl"), socket.SOCK_STREAM, scheme="vde")
        except BaseException:
            self._remove_folder()
            raise
        try:
            self._listener.listen(8)
            super().__init__(f"vde:{path}", new_socket(socket.SOCK_DGRAM), drops=True, mtu=mtu, mac=mac)
        except BaseException:
            unbind(self._listener)
            self._remove_folder()
            raise
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    def recv(self, limit: int = 64) -> list[Frame]:
        frames = super().recv(limit)
        if len(frames) < limit:  # whoever hangs up has its last frames read before
            self._serve()
        return frames

    def write(self, packet: bytes) -> bool:
        self._serve()
        return super().write(packet)

    def _serve(self) -> None:
        """Accepts a program, reads its request, answers it, and notices when it has gone."""
        if self._control is None:
            try:
                self._control, _ = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            self._control.setblocking(False)
            self._selector.unregister(self._listener)
            self._selector.register(self._control, selectors.EVENT_READ)
        try:
            data = self._control.recv(REQUEST.size)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._request += data
        if not data or (not self._peer and not self._answered()):
            self._hang_up()

    def _answered(self) -> bool:
        """Whether the request is none to complain of, so far; a whole one is answered."""
        whole = REQUEST.size - DESCRIPTION
        if len(self._request) < whole:
            return True
        magic, version, kind, _, name, _ = REQUEST.unpack(self._request[: REQUEST.size].ljust(REQUEST.size, b"\0"))
        peer = name.split(b"\0", 1)[0]
        if (magic, version, kind & 0xFF) != (MAGIC, VERSION, ANY_PORT) or not peer:
            return False
        assert self._control is not None
        name = os.path.join(self._folder, f"port.{os.getpid()}")
        data = bound(name, socket.SOCK_DGRAM, scheme="vde")
        try:
            data.connect(peer)  # before it hears of us: programs take their names away once they have
            self._control.send(NAME.pack(socket.AF_UNIX, os.fsencode(name)))
        except OSError:
            unbind(data)
            return False
        self._use(data)
        self._selector.register(data, selectors.EVENT_READ)
        self._peer = peer
        return True

    def _use(self, data: socket.socket) -> None:
        """From now on frames go by `data`."""
        unbind(self._socket)
        self._socket = data

    def _hang_up(self) -> None:
        assert self._control is not None
        self._selector.unregister(self._control)
        self._control.close()
        if self._peer:
            self._selector.unregister(self._socket)
            self._use(new_socket(socket.SOCK_DGRAM))
        self._control, self._request, self._peer = None, b"", b""
        self._selector.register(self._listener, selectors.EVENT_READ)

    def _transmit(self, packet: bytes) -> None:
        if not self._peer:
            raise ConnectionRefusedError
        self._socket.send(packet)

    def fileno(self) -> int:
        return -1 if self.closed else self._selector.fileno()

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        self._selector.close()
        if self._control is not None:
            self._control.close()
        unbind(self._listener)
        self._remove_folder()

    def _remove_folder(self) -> None:
        if self._made_folder:
            with contextlib.suppress(OSError):  # somebody has put something into it
                os.rmdir(self._folder)


def _make_folder(path: str) -> bool:
    """Makes the directory if there is none: whether it did. DeviceError, PermissionDenied."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise DeviceError(f"vde:{path} is in use: want a directory, or a name that is free") from None
        return False
    except OSError as error:
        raise failure(path, error, "vde") from None
    return True


def _data_socket(path: str) -> socket.socket:
    """A datagram socket that the switch can find: beside its own, or where temporary files are."""
    name = f".uinet-{os.getpid()}-{next(_serial)}"
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    try:
        return bound(os.path.join(folder, name), socket.SOCK_DGRAM, scheme="vde")
    except DeviceError:
        return bound(os.path.join(tempfile.gettempdir(), name), socket.SOCK_DGRAM, scheme="vde")
