"""A TCP connection as an asyncio transport.

The socket's own send buffer comes first; what does not fit there waits here, and the protocol is told to
pause (`pause_writing`) once that is more than the high-water mark. Reading stops where the protocol asks
for it; the socket's receive buffer fills then, TCP's window closes, and the peer waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from uinet.errors import Error, WouldBlock
from uinet.events import EV_CLOSED, EV_EOF, EV_ERROR, EV_READABLE, EV_WRITABLE
from uinet.sockopt import SHUT_WR

if TYPE_CHECKING:
    from uinet.socket import Socket

READ_SIZE = 256 * 1024
HIGH_WATER = 64 * 1024
IGNORED_WRITES = 5  # writes after the connection is lost before a warning, as asyncio does it

def asyncio_address(address: tuple[Any, int] | None) -> tuple[str, int] | None:
    """A socket's address as asyncio programs expect it: text and port, for IPv6 as well."""
    return None if address is None else (str(address[0]), address[1])


# asked of the socket when somebody wants to know: most programs never do
EXTRA_INFO: dict[str, Callable[[Any], Any]] = {
    "socket": lambda sock: sock,
    "peername": lambda sock: asyncio_address(sock.getpeername()),
    "sockname": lambda sock: asyncio_address(sock.getsockname()),
    "l2info": lambda sock: sock.l2info,
    "cdom": lambda sock: sock.cdom,
    "serialno": lambda sock: sock.serialno,
    "passive": lambda sock: sock.passive,
}


class Transport(asyncio.Transport):
    """A connected socket of a stack, for one protocol.

    `on_lost` is called once when everything is over, after the protocol's `connection_lost`.
    """

    _start_tls_compatible = True  # asyncio's own TLS works on top of it

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: Socket,
        protocol: asyncio.BaseProtocol,
        on_lost: Callable[[Transport], None],
    ) -> None:
        super().__init__()
        self.loop = loop
        self.sock = sock
        self._on_lost = on_lost
        self._waiting: deque[memoryview] = deque()  # written, and not yet taken by the socket
        self._waiting_bytes = 0
        self._high = HIGH_WATER
        self._low = HIGH_WATER // 4
        self._protocol_paused = False
        self._reading_paused = False
        self._read_eof = False
        self._write_eof = False
        self._closing = False
        self._lost = False  # connection_lost is scheduled or has run
        self._ignored_writes = 0
        self.set_protocol(protocol)

    def start(self) -> None:
        """Tells the protocol that it is connected, and begins to read. Call once."""
        self.sock.on_event = self._on_event
        try:
            self._protocol.connection_made(self)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal(error, "protocol.connection_made() failed")
            return
        self.loop.call_soon(self._catch_up)

    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self._closing else "open"
        return f"<Transport {self.get_extra_info('sockname')} - {self.get_extra_info('peername')} {state}>"

    # the socket's events

    def _on_event(self, sock: Socket, events: int) -> None:
        if self._lost:
            return
        if events & EV_WRITABLE and self._waiting:
            self._flush()
        if events & (EV_READABLE | EV_EOF | EV_ERROR | EV_CLOSED):
            self._read()  # what came before an error is read first; recv raises the error
        if events & EV_ERROR and not self._lost:
            self._lose(sock.error)

    def _catch_up(self) -> None:
        """Reads what came, and sees what happened, while nobody listened."""
        if not self._lost:
            self._read()
        if not self._lost and self.sock.error is not None:
            self._lose(self.sock.error)

    # reading

    def _read(self) -> None:
        """Gives the protocol what the socket has, until it has nothing or the protocol wants no more."""
        sock = self.sock
        while sock.readable and not (self._reading_paused or self._read_eof or self._closing or self._lost):
            try:
                ended = self._read_into_buffer() if self._buffered else self._read_once()
            except WouldBlock:
                return
            except Error as error:
                self._lose(error)
                return
            if ended:
                self._receive_eof()

    def _read_once(self) -> bool:
        """Reads once; whether the stream has ended."""
        return self._hand_over(self.sock.recv_piece(READ_SIZE))

    def _hand_over(self, data: bytes) -> bool:
        """Gives the protocol what was read; whether that is the stream's end."""
        if not data:
            return True
        try:
            self._data_received(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal(error, "protocol.data_received() failed")
        return False

    def _read_into_buffer(self) -> bool:
        """Reads once into the buffer of a BufferedProtocol; whether the stream has ended."""
        try:
            buffer = self._get_buffer(-1)
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal(error, "protocol.get_buffer() failed")
            return False
        count = self._receive(buffer)
        if not count:
            return True
        try:
            self._buffer_updated(count)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal(error, "protocol.buffer_updated() failed")
        return False

    def _receive(self, buffer: Any) -> int:
        return self.sock.recv_into(buffer)

    def _receive_eof(self) -> None:
        self._read_eof = True
        try:
            keep_open = self._protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal(error, "protocol.eof_received() failed")
            return
        if not keep_open:
            self.close()

    def is_reading(self) -> bool:
        """Whether data goes to the protocol as it comes."""
        return not self._reading_paused and not self._closing

    def pause_reading(self) -> None:
        """Lets data wait in the socket, and so closes the window to the peer in the end."""
        self._reading_paused = True

    def resume_reading(self) -> None:
        """Undoes `pause_reading`."""
        if self._reading_paused:
            self._reading_paused = False
            self.loop.call_soon(self._catch_up)

    # writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queues `data`. After the connection is lost it is ignored, as asyncio's own transports do."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._write_eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data:
            return
        if self._lost or self._closing:
            self._ignore_write()
            return
        if not isinstance(data, bytes):
            data = bytes(data)  # the caller may change it as soon as we return
        if not self._waiting:
            sent = self._send(data)
            if self._lost or sent == len(data):
                return
            rest = memoryview(data)[sent:]
        else:
            rest = memoryview(data)
        self._waiting.append(rest)
        self._waiting_bytes += len(rest)
        self._maybe_pause_protocol()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Queues all of `list_of_data`, in order."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Sends FIN after what is queued; reading goes on."""
        if self._write_eof or self._closing:
            return
        self._write_eof = True
        if not self._waiting:
            self._shutdown()

    def can_write_eof(self) -> bool:
        """True: TCP has a half-close."""
        return True

    def _send(self, data: bytes | memoryview) -> int:
        """How many bytes the socket took; 0 as well if it failed, and then the connection is lost."""
        try:
            sent: int = self.sock.send(data)
            return sent
        except WouldBlock:
            return 0
        except Error as error:
            self._lose(error)
            return 0

    def _flush(self) -> None:
        """Gives the socket what waits, for as long as it takes it."""
        while self._waiting:
            chunk = self._waiting[0]
            # the socket copies what it is given: no more than fits, and a byte so that it tells of room again
            sent = self._send(chunk[: self.sock.send_space + 1])
            if self._lost:
                return
            self._waiting_bytes -= sent
            if sent < len(chunk):
                self._waiting[0] = chunk[sent:]
                break
            self._waiting.popleft()
        self._maybe_resume_protocol()
        if not self._waiting and not self._lost:
            if self._closing:
                self._close_socket()
            elif self._write_eof:
                self._shutdown()

    def _shutdown(self) -> None:
        try:
            self.sock.shutdown(SHUT_WR)
        except Error as error:
            self._lose(error)

    def _ignore_write(self) -> None:
        self._ignored_writes += 1
        if self._ignored_writes == IGNORED_WRITES:
            self.loop.call_exception_handler(
                {"message": "write() was called on a connection that is closed or lost", "transport": self}
            )

    # flow control of the protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """At more than `high` bytes waiting the protocol is paused, at `low` or fewer resumed."""
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        self._maybe_pause_protocol()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """(low, high)."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Bytes that wait here; those that the socket has taken are not counted."""
        return self._waiting_bytes

    def _maybe_pause_protocol(self) -> None:
        if self._waiting_bytes > self._high and not self._protocol_paused:
            self._protocol_paused = True
            self._tell("pause_writing")

    def _maybe_resume_protocol(self) -> None:
        if self._protocol_paused and self._waiting_bytes <= self._low:
            self._protocol_paused = False
            self._tell("resume_writing")

    def _tell(self, what: str) -> None:
        try:
            getattr(self._protocol, what)()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.loop.call_exception_handler(
                {"message": f"protocol.{what}() failed", "exception": error, "transport": self,
                 "protocol": self._protocol}
            )

    # the end

    def is_closing(self) -> bool:
        """Whether the transport is closed or closing."""
        return self._closing or self._lost

    def close(self) -> None:
        """Sends what waits, then FIN; nothing more is read. `connection_lost(None)` follows."""
        if self._closing or self._lost:
            return
        self._closing = True
        if not self._waiting:
            self._close_socket()

    def abort(self) -> None:
        """Resets the connection: what waits is lost, the peer gets a RST. `connection_lost(None)` follows."""
        self._force_close(None)

    def _close_socket(self) -> None:
        """All is written: the stack sees to its delivery and to the FIN from here on."""
        self.sock.close()
        self._lose(None)

    def _fatal(self, error: BaseException, message: str) -> None:
        """A protocol's method failed: the connection is reset, so that the peer does not wait for nothing."""
        self.loop.call_exception_handler(
            {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
        )
        self._force_close(error)

    def _force_close(self, error: BaseException | None) -> None:
        """Resets the connection because of `error`. Of this name because asyncio's TLS calls it so."""
        if not self._lost:
            self._closing = True
            self.sock.abort()
            self._lose(error)

    def _lose(self, error: BaseException | None) -> None:
        """Nothing more will come or go; `connection_lost` is called in the loop's next iteration, once."""
        if self._lost:
            return
        self._lost = self._closing = True
        self._waiting.clear()
        self._waiting_bytes = 0
        self.loop.call_soon(self._call_connection_lost, error)

    def _call_connection_lost(self, error: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(error if error is None or isinstance(error, Exception) else None)
        finally:
            self.sock.on_event = None
            self.sock.close()
            self._on_lost(self)

    # the protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Lets another protocol take over."""
        self._protocol: Any = protocol
        self._buffered = False
        if isinstance(protocol, asyncio.BufferedProtocol):
            self._buffered = True
            self._get_buffer: Callable[[int], Any] = protocol.get_buffer
            self._buffer_updated: Callable[[int], None] = protocol.buffer_updated
        else:
            self._data_received: Callable[[bytes], None] = getattr(protocol, "data_received", _no_data)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The current protocol."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`name`: peername, sockname (text, port), l2info, cdom, socket, serialno, passive."""
        knows = EXTRA_INFO.get(name)
        return default if knows is None else knows(self.sock)


def _no_data(data: bytes) -> None:
    """For a protocol that has no `data_received` (a bare BaseProtocol): what comes is dropped."""
