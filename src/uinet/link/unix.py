"""Unix sockets that carry frames: QEMU (``-netdev stream`` and ``dgram``), passt, another uinet.

A stream carries each frame behind its length, 4 bytes big-endian; a datagram socket carries one frame a
datagram. A path that begins with "@" is a name in Linux's abstract namespace.
"""

from __future__ import annotations

import errno
import selectors
import socket
import struct
from collections import deque

from uinet.errors import DeviceError, DeviceGone, DeviceURLError, PermissionDenied
from uinet.link.unix_socket import ABSENT, address_of, bound, connected, unbind
from uinet.link.writing import WritingDevice
from uinet.units import MILLISECOND
from uinet.wire.addresses import Mac
from uinet.wire.frame import Frame

PREFIX = struct.Struct(">I")
LONGEST = 65535 + 14 + 16 * 4  # a length beyond this means that the stream is out of step, or no frame stream
CHUNK = 64 * 1024
UNSENT = 1 << 20  # bytes that may wait for the peer of a listening device
FLUSH = MILLISECOND  # how often the rest of a frame is tried again
_PEER_GONE = (errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE, errno.EDESTADDRREQ)


class UnixStreamDevice(WritingDevice):
    """One end of a stream of frames.

    `path`: connected to, or, with `listen`, bound: then one peer at a time is served, and the next one
    after it. `connection`: a connected socket instead of a path. `reconnect`: nanoseconds between attempts to connect
    again to a peer that hung up, or is not there yet; 0: then it is DeviceGone, or DeviceError. Frames for nobody are
    dropped, counted as tx_down. A device that listens or reconnects never takes fewer frames than it is given: what
    does not fit into its queue of 1 MiB is dropped, counted as tx_full.

    Raises DeviceURLError (bad path), PermissionDenied, DeviceError.
    """

    def __init__(
        self,
        path: str = "",
        *,
        listen: bool = False,
        connection: socket.socket | None = None,
        reconnect: int = 0,
        layer: int = 2,
        mtu: int = 1500,
        mac: Mac | None = None,
    ) -> None:
        super().__init__(f"unix:{path}", layer=layer, mtu=mtu, mac=mac)
        self._path = path
        self._connection = connection
        self._listener: socket.socket | None = None
        # whoever changes its socket with every peer has a descriptor of its own, which must stay the same
        self._selector: selectors.DefaultSelector | None = None
        self._input = bytearray()
        self._ready: deque[Frame] = deque()
        self._unsent = bytearray()
        self._flush_at = 0
        self._reconnect = 0 if listen or connection is not None else reconnect
        self._retry_at: int | None = None  # when to connect again
        self._tried_at: int | None = None
        if connection is not None:
            connection.setblocking(False)
        elif listen:
            self._listener = bound(path, socket.SOCK_STREAM)
            self._listener.listen(8)
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._listener, selectors.EVENT_READ)
        else:
            self._connect()
            if self._reconnect:
                self._selector = selectors.DefaultSelector()
                if self._connection is not None:
                    self._selector.register(self._connection, selectors.EVENT_READ)

    def _connect(self) -> None:
        """Connects, or says when to try again. DeviceError if there is no second try."""
        try:
            self._connection = connected(self._path, socket.SOCK_STREAM)
        except DeviceError as error:
            if not self._reconnect or isinstance(error, (DeviceURLError, PermissionDenied)):
                raise
            self._retry_at = 0
        else:
            self._retry_at = None

    def _connect_again(self, now: int) -> None:
        """Never more often than every `reconnect`, even if the peer hangs up at once each time."""
        assert self._selector is not None
        if self._tried_at is not None and now < self._tried_at + self._reconnect:
            self._retry_at = self._tried_at + self._reconnect
            return
        self._tried_at = now
        try:
            self._connect()
        except DeviceError as error:
            raise DeviceGone(str(error)) from None
        if self._connection is not None:
            self._selector.register(self._connection, selectors.EVENT_READ)
        else:
            self._retry_at = now + self._reconnect

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
        """Takes the next peer, where this side waits for one."""
        if self._listener is None or self._selector is None:
            return
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
        if self._selector is None:
            self._connection = connection  # for close
            if not self._ready:
                raise DeviceGone(f"{self.name}: {why}")
            return
        self._selector.unregister(connection)
        connection.close()
        if self._listener is not None:
            self._selector.register(self._listener, selectors.EVENT_READ)
        else:
            self._retry_at = 0

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
        """A device with a descriptor of its own becomes readable when the rest of its frames can be sent.

        Others have a timer.
        """
        if self._selector is not None and self._connection is not None:
            write = selectors.EVENT_WRITE if wanted else 0
            self._selector.modify(self._connection, selectors.EVENT_READ | write)

    def deadline(self) -> int | None:
        if self._ready:
            return 0
        if self._retry_at is not None:
            return self._retry_at
        return self._flush_at if self._unsent and self._selector is None else None

    def poll(self, now: int) -> None:
        if self._retry_at is not None and not self.closed and now >= self._retry_at:
            self._connect_again(now)
        by_timer = self._unsent and self._selector is None and self._connection is not None
        if by_timer and not self.closed and now >= self._flush_at:
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
            unbind(self._listener)


class DatagramDevice(WritingDevice):
    """Frames as the datagrams of a socket, `made`, which belongs to it from now on.

    `drops`: nobody can wait for room in it, so what finds none is dropped, counted as tx_full.
    """

    def __init__(
        self, name: str, made: socket.socket, *, drops: bool, layer: int = 2, mtu: int = 1500, mac: Mac | None = None
    ) -> None:
        self._socket = made
        self._drops = drops
        try:
            super().__init__(name, layer=layer, mtu=mtu, mac=mac)
        except BaseException:
            unbind(made)
            raise

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
            self._came_from(peer)
            if len(data) > LONGEST:
                self.count("rx_truncated")
            elif data:
                frames.append(Frame(data))
        self.counters["rx_frames"] += len(frames)
        self.counters["rx_bytes"] += sum(len(frame.data) for frame in frames)
        return frames

    def _came_from(self, peer: str | bytes | None) -> None:
        """Notes who has sent something."""

    def write(self, packet: bytes) -> bool:
        if len(packet) > self.largest():
            self.count("tx_oversize")
            return True
        try:
            self._transmit(packet)
        except BlockingIOError:
            if not self._drops:
                return False
            self.count("tx_full")
        except OSError as error:
            self.count("tx_oversize" if error.errno == errno.EMSGSIZE else "tx_down")
        else:
            self.sent(len(packet))
        return True

    def _transmit(self, packet: bytes) -> None:
        """Sends one packet. OSError."""
        self._socket.send(packet)

    def fileno(self) -> int:
        return -1 if self.closed else self._socket.fileno()

    def close(self) -> None:
        if not self.closed:
            super().close()
            unbind(self._socket)


class UnixDatagramDevice(DatagramDevice):
    """Frames as datagrams of a Unix socket.

    `path`: of the peer's socket. With `listen`: of this one; the peer is whoever sent last, and what is sent while its
    queue is full is dropped, counted as tx_full. `local`: a path of our own for the peer to answer to, where `path` is
    the peer's; without it Linux makes up a name. `wait`: the peer need not be there yet; one that goes away and comes
    back is found again in any case.

    Raises DeviceURLError (bad path), PermissionDenied, DeviceError.
    """

    def __init__(
        self,
        path: str,
        *,
        listen: bool = False,
        local: str = "",
        wait: bool = False,
        layer: int = 2,
        mtu: int = 1500,
        mac: Mac | None = None,
    ) -> None:
        self._path = path
        self._peer: str | bytes | None = None  # of a listening device: who sent last
        kind = socket.SOCK_DGRAM
        made = bound(path, kind) if listen else connected(path, kind, local, absent=wait)
        # an unconnected socket is always writable, so waiting for room would be spinning
        super().__init__(f"unix:{path}", made, drops=listen, layer=layer, mtu=mtu, mac=mac)

    def _came_from(self, peer: str | bytes | None) -> None:
        if peer:
            self._peer = peer

    def _transmit(self, packet: bytes) -> None:
        if self._drops:
            if self._peer is None:
                raise ConnectionRefusedError
            self._socket.sendto(packet, self._peer)
            return
        try:
            self._socket.send(packet)
        except OSError as error:
            if error.errno not in _PEER_GONE and error.errno not in ABSENT:
                raise
            self._socket.connect(address_of(self._path))  # the peer may have been started anew
            self._socket.send(packet)
