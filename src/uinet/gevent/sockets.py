"""A stack's sockets as gevent programs know sockets: calls that block the greenlet, and time out."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from gevent.event import Event

from uinet.errors import BadSocket, ConnectionAborted, InvalidArgument, TimedOut, WouldBlock
from uinet.events import EV_ACCEPT, EV_CONNECTED, EV_READABLE, EV_WRITABLE
from uinet.kernel_like import KernelLike, text_address
from uinet.readiness import readiness_of, ready
from uinet.tcp.calls import failure
from uinet.units import SECOND

if TYPE_CHECKING:
    from uinet.gevent.host import Host
    from uinet.socket import Socket as EngineSocket

T = TypeVar("T")


def wait_ready(sock: EngineSocket, events: int, timeout: float | None) -> int:
    """Waits until one of `events` is so; which. EV_CLOSED or EV_ERROR if that is the end; TimedOut."""
    clock = sock.stack.clock
    end = None if timeout is None or clock is None else clock() + int(timeout * SECOND)
    while not (now := ready(sock, events)):
        left = timeout
        if end is not None and clock is not None:
            left = (end - clock()) / SECOND
            if left <= 0:
                raise TimedOut("timed out")
            left = max(left, 0.001)  # libuv knows no less
        event = Event()
        readiness, wake = readiness_of(sock), event.set
        readiness.add(sock, events, wake)
        try:
            event.wait(left)
        finally:
            readiness.discard(wake)
    return now


class Socket(KernelLike):
    """A socket of a stack with the calls of `gevent.socket`. Made by `Host.socket`, `connect`, `listen` and `accept`.

    `sock`: the engine's own. The errors are those of the engine, and so Python's: ConnectionResetError and the like,
    and TimeoutError (`socket.timeout`) when a call takes longer than `settimeout` allows.
    """

    def __init__(self, host: Host, sock: EngineSocket) -> None:
        super().__init__(sock)
        self.host = host
        self.timeout: float | None = None
        self._readiness = readiness_of(sock)
        self._files = 0
        self._closing = False
        host._opened.add(self)

    def __repr__(self) -> str:
        return f"<uinet.gevent.Socket {self.sock!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # time

    def settimeout(self, value: float | None) -> None:
        """Seconds that a call may block; 0: none, None: for ever."""
        if value is not None and value < 0:
            raise ValueError("Timeout value out of range")
        self.timeout = value

    def gettimeout(self) -> float | None:
        """As it was set."""
        return self.timeout

    def setblocking(self, flag: bool) -> None:
        """As ``settimeout(None)`` or ``settimeout(0)``."""
        self.timeout = None if flag else 0.0

    def _retry(self, call: Callable[[], T], events: int) -> T:
        """What ``call()`` returns, once it does not raise WouldBlock."""
        while True:
            try:
                return call()
            except WouldBlock:
                if self.timeout == 0:
                    raise
            wait_ready(self.sock, events, self.timeout)

    # opening

    def bind(self, address: tuple[Any, Any]) -> None:
        """As `uinet.Socket.bind`."""
        self.sock.bind((address[0], address[1]))

    def listen(self, backlog: int = 128) -> None:
        """As `uinet.Socket.listen`."""
        self.sock.listen(backlog)

    def accept(self) -> tuple[Socket, tuple[str, int]]:
        """A new connection's socket and its peer."""
        made = Socket(self.host, self._retry(self.sock.accept, EV_ACCEPT))
        return made, made.getpeername()

    def connect(self, address: tuple[Any, int]) -> None:
        """Connects; a datagram socket gets its peer. What becomes of the attempt, or TimedOut: the attempt is over.

        `address`: an IP address, or a name, of which the first address is tried.
        """
        (target, *_) = self.host.resolve(address[0])
        self.sock.connect((target, address[1]))
        if self.sock.tcb is None:
            return
        if self.timeout == 0:
            raise WouldBlock("the connection attempt goes on")
        self.wait_connected()

    def connect_ex(self, address: tuple[Any, int]) -> int:
        """As `connect`, but returns the errno of what goes wrong; 0."""
        try:
            self.connect(address)
        except OSError as error:
            return error.errno or -1
        return 0

    def wait_connected(self) -> None:
        """Waits until the attempt that has begun succeeds, or raises its error; it is taken back on a timeout and if
        the greenlet is killed."""
        try:
            events = wait_ready(self.sock, EV_CONNECTED, self.timeout)
        except BaseException:
            self._drop(self.sock.abort)
            raise
        if self.sock.error is not None:
            error = failure(self.sock.error)
            self.close()
            raise error
        if not events & EV_CONNECTED:
            raise ConnectionAborted()

    # data

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """At most `bufsize` bytes, or one datagram; b"" at the end of the stream."""
        return self._retry(lambda: self.sock.recv(bufsize, flags), EV_READABLE)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As `recv`, into a buffer; how many bytes."""
        return self._retry(lambda: self.sock.recv_into(buffer, nbytes, flags), EV_READABLE)

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, tuple[str, int]]:
        """One datagram, and who sent it."""
        data, address = self._retry(lambda: self.sock.recvfrom(bufsize, flags), EV_READABLE)
        return data, text_address(address)

    def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """As much of `data` as there is room for; how many bytes."""
        return self._send(data, flags)

    def _send(self, data: bytes | bytearray | memoryview, flags: int) -> int:
        return self._retry(lambda: self.sock.send(data, flags), EV_WRITABLE)

    def sendall(self, data: bytes | bytearray | memoryview, flags: int = 0) -> None:
        """All of `data`; the timeout is that of each step of it."""
        at = self._send(data, flags) if data else 0
        with memoryview(data) as view, view.cast("B") as octets:
            while at < len(octets):
                # the socket copies what it is given: no more than fits, and a byte so that it tells of room again
                at += self._send(octets[at : at + self.sock.send_space + 1], flags)

    def sendto(self, data: bytes | bytearray | memoryview, *more: Any) -> int:
        """One datagram: ``sendto(data, address)`` or ``sendto(data, flags, address)``."""
        if not 1 <= len(more) <= 2:
            raise TypeError("sendto takes data, perhaps flags, and an address")
        address, flags = more[-1], more[0] if len(more) == 2 else 0
        return self._retry(lambda: self.sock.sendto(data, (address[0], address[1]), flags), EV_WRITABLE)

    def makefile(
        self, mode: str = "r", buffering: int | None = None, *, encoding: str | None = None,
        errors: str | None = None, newline: str | None = None,
    ) -> Any:
        """A file over the socket, as ``socket.makefile``: the connection is closed when it and all files are."""
        if not set(mode) <= {"r", "w", "b"} or not set(mode) & {"r", "w"}:
            raise ValueError(f"invalid mode {mode!r} (only r, w, b allowed)")
        raw = SocketFile(self, "r" in mode, "w" in mode)
        self._files += 1
        size = io.DEFAULT_BUFFER_SIZE if buffering is None or buffering < 0 else buffering
        if size == 0:
            if "b" not in mode:
                raise ValueError("unbuffered streams must be binary")
            return raw
        buffered: Any
        if "r" in mode and "w" in mode:
            buffered = io.BufferedRWPair(raw, raw, size)
        else:
            buffered = io.BufferedReader(raw, size) if "r" in mode else io.BufferedWriter(raw, size)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    # the end

    def shutdown(self, how: int) -> None:
        """As `uinet.Socket.shutdown`: SHUT_WR ends the stream to the peer."""
        self.sock.shutdown(how)

    def close(self) -> None:
        """Closes the socket, once its files are closed too; what was sent is still delivered."""
        self._closing = True
        if self._files == 0:
            self._drop(self.sock.close)

    def close_now(self) -> None:
        """Closes the socket, whatever files there are; who waits for it gets BadSocket."""
        self._closing = True
        self._drop(self.sock.close)

    def detach(self) -> EngineSocket:
        """The engine's socket, which this one has no more to do with."""
        self.host._opened.discard(self)
        self.sock.on_event = None
        return self.sock

    def file_closed(self) -> None:
        """One of the files is closed."""
        self._files -= 1
        if self._closing and self._files == 0:
            self._drop(self.sock.close)

    def _drop(self, end: Callable[[], object]) -> None:
        self.host._opened.discard(self)
        if not self.sock.closed:
            end()
        self._readiness.wake_all()


class SocketFile(io.RawIOBase):
    """What `Socket.makefile` puts its buffers on."""

    def __init__(self, sock: Socket, reads: bool, writes: bool) -> None:
        super().__init__()
        self._sock: Socket | None = sock
        self._reads = reads
        self._writes = writes

    def readable(self) -> bool:
        return self._reads

    def writable(self) -> bool:
        return self._writes

    def readinto(self, buffer: Any) -> int | None:
        return self._open().recv_into(buffer)

    def write(self, data: Any) -> int | None:
        return self._open().send(data)

    def _open(self) -> Socket:
        if self._sock is None:
            raise ValueError("I/O operation on closed file")
        return self._sock

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.file_closed()


def engine_socket(sock: Socket | EngineSocket) -> EngineSocket:
    """The engine's socket of either. InvalidArgument, BadSocket."""
    inner = sock.sock if isinstance(sock, Socket) else sock
    if inner is None:
        raise InvalidArgument(f"{sock!r} is no socket")
    if inner.closed:
        raise BadSocket()
    return inner
