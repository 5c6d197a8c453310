"""Unix sockets that carry frames: QEMU (``-netdev stream`` and ``dgram``), passt, another uinet.

A stream carries each frame behind its length, 4 bytes big-endian; a datagram socket carries one frame a
datagram. A path that begins with "@" is a name in Linux's abstract namespace.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import stat
import struct
import sys
from collections import deque

from uinet.errors import DeviceError, DeviceGone, DeviceURLError, PermissionDenied
from uinet.link.writing import WritingDevice
from uinet.units import MILLISECOND
from uinet.wire.addresses import Mac
from uinet.wire.frame import Frame

PREFIX = struct.Struct(">I")
LONGEST = 65535 + 14 + 16 * 4  # a length beyond this means that the stream is out of step, or no frame stream
CHUNK = 64 * 1024
UNSENT = 1 << 20  # bytes that may wait for the peer of a listening device
FLUSH = MILLISECOND  # how often the rest of a frame is tried again
_PATH_LENGTH = 107  # sizeof(sockaddr_un.sun_path), less the final zero
_PEER_GONE = (errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE)


class UnixStreamDevice(WritingDevice):
    """One end of a stream of frames.

    `path`: connected to, or, with `listen`, bound: then one peer at a time is served, and the next one
    after it. `connection`: a connected socket instead of a path. Frames for nobody are dropped, counted as
    tx_down. Without `listen`, a peer that hangs up means DeviceGone. A listening device never takes fewer
    frames than it is given: what does not fit into its queue of 1 MiB is dropped, counted as tx_full.

    Raises DeviceURLError (bad path), PermissionDenied, DeviceError.
    """

    def __init__(
        self,
        path: str = "",
        *,
        listen: bool = False,
        connection: socket.socket | None = None,
        layer: int = 2,
        mtu: int = 1500,
        mac: Mac | None = None,
    ) -> None:
        super().__init__(f"unix:{path}", layer=layer, mtu=mtu, mac=mac)
        self._path = path
        self._connection = connection
        self._listener: socket.socket | None = None
        # a listening device changes its socket with every peer, and its descriptor must stay the same
        self._selector: selectors.DefaultSelector | None = None
        self._input = bytearray()
        self._ready: deque[Frame] = deque()
        self._unsent = bytearray()
        self._flush_at = 0
        if connection is not None:
            connection.setblocking(False)
        elif listen:
            self._listener = _bound(path, socket.SOCK_STREAM)
            self._listener.listen(8)
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._listener, selectors.EVENT_READ)
        else:
            self._connection = _connected(path, socket.SOCK_STREAM)

    # in

    def recv(self, limit: int = 64) -> list[Frame]:
        self.require_open()
        if self._connection is None:
            self._accept()
        elif self._unsent:
            self._flush()
        if len(self._ready) < limit:
            self._read()
        ready = self._ready
        frames = [ready.popleft() for _ in range(min(limit, len(ready)))]
        self.counters["rx_frames"] += len(frames)
        self.counters["rx_bytes"] += sum(len(frame.data) for frame in frames)
        return frames

    def _accept(self) -> None:
        assert self._listener is not None and self._selector is not None
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        connection.setblocking(False)
        self._connection = connection
        self._selector.unregister(self._listener)
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self) -> None:
        if self._connection is None:
            return
        try:
            data = self._connection.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._hung_up(error.strerror or "failed")
            return
        if not data:
            self._hung_up("closed by its peer")
            return
        self._input += data
        self._parse()

    def _parse(self) -> None:
        """Moves whole frames from the input to the queue."""
        data, at, end = self._input, 0, len(self._input)
        while end - at >= PREFIX.size:
            (length,) = PREFIX.unpack_from(data, at)
            if length > LONGEST:
                self._hung_up(f"its peer announced a frame of {length} bytes")
                return
            if end - at - PREFIX.size < length:
                break
            at += PREFIX.size
            if length:
                self._ready.append(Frame(bytes(data[at : at + length])))
            at += length
        del data[:at]

    def _hung_up(self, why: str) -> None:
        """The peer is gone: wait for the next one, or give up; frames that are whole are still delivered."""
        self._input.clear()
        self._unsent.clear()
        connection, self._connection = self._connection, None
        assert connection is not None
        if self._selector is None or self._listener is None:
            self._connection = connection  # for close
            if not self._ready:
                raise DeviceGone(f"{self.name}: {why}")
            return
        self._selector.unregister(connection)
        connection.close()
        self._selector.register(self._listener, selectors.EVENT_READ)

    # out

    def write(self, packet: bytes) -> bool:
        if len(packet) > self.largest():
            self.count("tx_oversize")
            return True
        if self._connection is None:
            self._accept()
        elif self._unsent:
            self._flush()
        data = PREFIX.pack(len(packet)) + packet
        if self._connection is None:
            self.count("tx_down")
        elif not self._unsent:
            return self._write(data)
        elif self._selector is None:
            return False
        elif len(self._unsent) > UNSENT:
            self.count("tx_full")
        else:
            self._unsent += data
            self.sent(len(packet))
        return True

    def _write(self, data: bytes) -> bool:
        assert self._connection is not None
        try:
            written = self._connection.send(data)
        except BlockingIOError:
            if self._selector is None:
                return False
            written = 0
        except OSError as error:
            self._hung_up(error.strerror or "failed")
            self.count("tx_down")
            return True
        self.sent(len(data) - PREFIX.size)
        if written < len(data):
            self._unsent += data[written:]
            self._wake_when_writable(True)
        return True

    def _flush(self) -> None:
        """Sends what is left of earlier frames, as far as that goes."""
        assert self._connection is not None
        try:
            written = self._connection.send(self._unsent)
        except BlockingIOError:
            return
        except OSError as error:
            self._hung_up(error.strerror or "failed")
            return
        del self._unsent[:written]
        if not self._unsent:
            self._wake_when_writable(False)

    def _wake_when_writable(self, wanted: bool) -> None:
        """A listening device becomes readable when the rest of its frames can be sent.

        Others have a timer.
        """
        if self._selector is not None and self._connection is not None:
            write = selectors.EVENT_WRITE if wanted else 0
            self._selector.modify(self._connection, selectors.EVENT_READ | write)

    def deadline(self) -> int | None:
        if self._ready:
            return 0
        return self._flush_at if self._unsent and self._selector is None else None

    def poll(self, now: int) -> None:
        if self._unsent and self._connection is not None and not self.closed and now >= self._flush_at:
            self._flush()
            self._flush_at = now + FLUSH

    def fileno(self) -> int:
        if self.closed:
            return -1
        if self._selector is not None:
            return self._selector.fileno()
        assert self._connection is not None
        return self._connection.fileno()

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        self.count("discarded", len(self._ready))
        if self._selector is not None:
            self._selector.close()
        if self._connection is not None:
            self._connection.close()
        if self._listener is not None:
            _unbind(self._listener)


class UnixDatagramDevice(WritingDevice):
    """Frames as datagrams.

    `path`: of the peer's socket, which must exist. With `listen`: of this one; the peer is whoever sent
    last, and what is sent while its queue is full is dropped, counted as tx_full. `local`: a path of our
    own for the peer to answer to, where `path` is the peer's; without it Linux makes up a name.

    Raises DeviceURLError (bad path), PermissionDenied, DeviceError.
    """

    def __init__(
        self,
        path: str,
        *,
        listen: bool = False,
        local: str = "",
        layer: int = 2,
        mtu: int = 1500,
        mac: Mac | None = None,
    ) -> None:
        super().__init__(f"unix:{path}", layer=layer, mtu=mtu, mac=mac)
        self._path = path
        self._listen = listen
        self._peer: str | bytes | None = None  # of a listening device: who sent last
        if listen:
            self._socket = _bound(path, socket.SOCK_DGRAM)
        else:
            self._socket = _connected(path, socket.SOCK_DGRAM, local)

    def recv(self, limit: int = 64) -> list[Frame]:
        self.require_open()
        frames: list[Frame] = []
        for _ in range(limit):
            try:
                data, peer = self._socket.recvfrom(LONGEST + 1)
            except BlockingIOError:
                break
            except ConnectionError:
                continue  # the peer closed its socket; it may come back
            except OSError as error:
                raise DeviceGone(f"{self.name}: {error.strerror}") from None
            if peer:
                self._peer = peer
            if len(data) > LONGEST:
                self.count("rx_truncated")
            elif data:
                frames.append(Frame(data))
        self.counters["rx_frames"] += len(frames)
        self.counters["rx_bytes"] += sum(len(frame.data) for frame in frames)
        return frames

    def write(self, packet: bytes) -> bool:
        if len(packet) > self.largest():
            self.count("tx_oversize")
            return True
        try:
            self._transmit(packet)
        except BlockingIOError:
            if not self._listen:
                return False
            self.count("tx_full")  # an unconnected socket is always writable, so waiting would be spinning
        except OSError as error:
            self.count("tx_oversize" if error.errno == errno.EMSGSIZE else "tx_down")
        else:
            self.sent(len(packet))
        return True

    def _transmit(self, packet: bytes) -> None:
        if self._listen:
            if self._peer is None:
                raise ConnectionRefusedError
            self._socket.sendto(packet, self._peer)
            return
        try:
            self._socket.send(packet)
        except OSError as error:
            if error.errno not in _PEER_GONE:
                raise
            self._socket.connect(_address(self._path))  # the peer may have been started anew
            self._socket.send(packet)

    def fileno(self) -> int:
        return -1 if self.closed else self._socket.fileno()

    def close(self) -> None:
        if not self.closed:
            super().close()
            _unbind(self._socket)


def _address(path: str) -> str | bytes:
    """`path` as the socket module takes it; DeviceURLError if no socket can have that name."""
    raw = os.fsencode(path)
    if not raw:
        raise DeviceURLError("unix: the path of a socket is missing")
    if len(raw) > _PATH_LENGTH:
        raise DeviceURLError(f"unix:{path} is too long: at most {_PATH_LENGTH} bytes")
    return b"\0" + raw[1:] if raw[:1] == b"@" else raw


def _new(kind: int) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise DeviceError("this system has no Unix sockets")
    made = socket.socket(socket.AF_UNIX, kind)
    made.setblocking(False)
    return made


def _connected(path: str, kind: int, local: str = "") -> socket.socket:
    address = _address(path)
    made = _bound(local, kind) if local else _new(kind)
    try:
        if kind == socket.SOCK_DGRAM and not local and sys.platform == "linux":
            made.bind("")  # Linux makes up an abstract name, to which the peer can answer
        made.connect(address)
    except OSError as error:
        _unbind(made)
        raise _failure(path, error) from None
    return made


def _bound(path: str, kind: int) -> socket.socket:
    """A socket at `path`; one that is left over there from a program that has died is replaced."""
    address = _address(path)
    made = _new(kind)
    try:
        try:
            made.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_left_over(path, kind):
                raise
            os.unlink(path)
            made.bind(address)
    except OSError as error:
        made.close()
        raise _failure(path, error) from None
    return made


def _is_left_over(path: str, kind: int) -> bool:
    """Whether the file at `path` is a socket that nobody has open."""
    if path.startswith("@") or not stat.S_ISSOCK(os.stat(path).st_mode):
        return False
    with _new(kind) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _unbind(bound: socket.socket) -> None:
    """Closes a socket and takes its name out of the file system."""
    with contextlib.suppress(OSError):
        name = bound.getsockname()
        if isinstance(name, str) and name:
            os.unlink(name)
    bound.close()


def _failure(path: str, error: OSError) -> DeviceError:
    if isinstance(error, DeviceError):
        return error
    if isinstance(error, PermissionError):
        return PermissionDenied(f"unix:{path}: permission denied")
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return DeviceError(f"unix:{path}: nobody listens there (listen=1 makes this side wait for a peer)")
    if error.errno == errno.EADDRINUSE:
        return DeviceError(f"unix:{path} is in use")
    if error.errno == errno.EPROTOTYPE:
        return DeviceError(f"unix:{path} is a socket of the other mode (stream or dgram)")
    return DeviceError(f"unix:{path}: {error.strerror}")
