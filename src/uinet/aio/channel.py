"""What lies between a connected socket and an asyncio protocol: all that a transport does for each event.

asyncio's transports are Python classes, which programs derive from; what runs for every segment is here.

The socket's own send buffer comes first; what does not fit there waits here, and the protocol is told to
pause (`pause_writing`) once that is more than the high-water mark. Reading stops where the protocol asks
for it; the socket's receive buffer fills then, TCP's window closes, and the peer waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uinet.errors import Error, WouldBlock
from uinet.events import EV_CLOSED, EV_EOF, EV_ERROR, EV_READABLE, EV_WRITABLE
from uinet.socket_data import read_piece, send_on
from uinet.socket_state import is_readable
from uinet.sockopt import SHUT_WR

if TYPE_CHECKING:
    from uinet.aio.keeper import Keeper
    from uinet.aio.transport import Transport
    from uinet.socket import Socket

MOST = 256 * 1024  # bytes of one read
HIGH_WATER = 64 * 1024


class Channel:
    """One connected socket and the protocol of its `transport`.

    `lost`: connection_lost is scheduled or has run. `waiting_bytes`: written, and not yet taken by the socket; the
    protocol is paused above `high`, and resumed at `low`. `on_lost`, `keeper`: see :class:`Transport`.
    """

    def __init__(
        self, transport: Transport, loop: asyncio.AbstractEventLoop, sock: Socket,
        on_lost: Callable[[Transport], None] | None = None, keeper: Keeper | None = None,
    ) -> None:
        self.transport: Transport | None = transport  # until everything is over
        self.loop = loop
        self.sock = sock
        self.on_lost = on_lost
        self.keeper = keeper
        self.waiting: deque[memoryview] | None = None
        self.waiting_bytes = 0
        self.high = HIGH_WATER
        self.low = HIGH_WATER // 4
        self.protocol: Any = None
        self.buffered = False
        self.data_received: Any = None
        self.get_buffer: Any = None
        self.buffer_updated: Any = None
        self.protocol_paused = False
        self.reading_paused = False
        self.read_eof = False
        self.ended = False  # write_eof was called
        self.closing = False
        self.lost = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Lets another protocol take over."""
        self.protocol = protocol
        self.buffered = isinstance(protocol, asyncio.BufferedProtocol)
        if self.buffered:
            self.get_buffer = self.protocol.get_buffer
            self.buffer_updated = self.protocol.buffer_updated
        else:
            self.data_received = getattr(protocol, "data_received", no_data)

    def start(self) -> None:
        """Tells the protocol that it is connected, and begins to read."""
        self.sock.on_event = self.on_event
        try:
            self.protocol.connection_made(self.transport)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.fatal(error, "protocol.connection_made() failed")
            return
        if self.readable() or self.sock.error is not None:
            self.loop.call_soon(self.catch_up)  # else there is nothing that the socket would not tell of

    # the socket's events

    def on_event(self, sock: Socket, events: int) -> None:
        """What the socket calls."""
        if self.lost:
            return
        if events & EV_WRITABLE and self.waiting_bytes:
            self.flush()
        if events & (EV_READABLE | EV_EOF | EV_ERROR | EV_CLOSED):
            self.read()  # what came before an error is read first; recv raises the error
        if events & EV_ERROR and not self.lost:
            self.lose(sock.error)

    def catch_up(self) -> None:
        """Reads what came, and sees what happened, while nobody listened."""
        if not self.lost:
            self.read()
        if not self.lost and self.sock.error is not None:
            self.lose(self.sock.error)

    # reading

    def read(self) -> None:
        """Gives the protocol what the socket has, until it has nothing or the protocol wants no more."""
        while not (self.reading_paused or self.read_eof or self.closing or self.lost) and self.readable():
            try:
                ended = self.read_into_buffer() if self.buffered else self.read_once()
            except WouldBlock:
                return
            except Error as error:
                self.lose(error)
                return
            if ended:
                self.receive_eof()

    def readable(self) -> bool:
        """Whether the socket has something to say."""
        return is_readable(self.sock)

    def read_once(self) -> bool:
        """Reads once; whether the stream has ended."""
        return self.hand_over(read_piece(self.sock, MOST))

    def hand_over(self, data: bytes) -> bool:
        """Gives the protocol what was read; whether that is the stream's end."""
        if not data:
            return True
        try:
            self.data_received(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.fatal(error, "protocol.data_received() failed")
        return False

    def read_into_buffer(self) -> bool:
        """Reads once into the buffer of a BufferedProtocol; whether the stream has ended."""
        try:
            buffer = self.get_buffer(-1)
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.fatal(error, "protocol.get_buffer() failed")
            return False
        count = self.receive_into(buffer)
        if not count:
            return True
        try:
            self.buffer_updated(count)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.fatal(error, "protocol.buffer_updated() failed")
        return False

    def receive_into(self, buffer: Any) -> int:
        """Reads from the socket into `buffer`; how many bytes."""
        return self.sock.recv_into(buffer)

    def receive_eof(self) -> None:
        """The stream has ended."""
        self.read_eof = True
        try:
            keep_open = self.protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.fatal(error, "protocol.eof_received() failed")
            return
        if not keep_open:
            self.close()

    def resume_reading(self) -> None:
        """Reads again what comes."""
        if self.reading_paused:
            self.reading_paused = False
            self.loop.call_soon(self.catch_up)

    # writing

    def write(self, data: bytes | bytearray | memoryview) -> bool:
        """Queues `data`; False if it is ignored, as the connection is closed or lost."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self.ended:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data:
            return True
        if self.lost or self.closing:
            return False
        if not isinstance(data, bytes):
            data = bytes(data)  # the caller may change it as soon as we return
        sent = 0
        if not self.waiting_bytes:
            sent = self.send(data)
            if self.lost or sent == len(data):
                return True
        if self.waiting is None:
            self.waiting = deque()
        self.waiting.append(memoryview(data)[sent:])
        self.waiting_bytes += len(data) - sent
        self.maybe_pause()
        return True

    def send(self, data: Any) -> int:
        """How many bytes the socket took; 0 as well if it failed, and then the connection is lost."""
        try:
            return send_on(self.sock, data, 0)
        except WouldBlock:
            return 0
        except Error as error:
            self.lose(error)
            return 0

    def flush(self) -> None:
        """Gives the socket what waits, for as long as it takes it."""
        while self.waiting_bytes:
            assert self.waiting is not None
            chunk = self.waiting[0]
            # the socket copies what it is given: no more than fits, and a byte so that it tells of room again
            sent = self.send(chunk[: self.sock.send_space + 1])
            if self.lost:
                return
            self.waiting_bytes -= sent
            if sent < len(chunk):
                self.waiting[0] = chunk[sent:]
                break
            self.waiting.popleft()
        if self.protocol_paused and self.waiting_bytes <= self.low:
            self.protocol_paused = False
            self.tell("resume_writing")
        if not self.waiting_bytes and not self.lost:
            if self.closing:
                self.close_socket()
            elif self.ended:
                self.shutdown()

    def write_eof(self) -> None:
        """Sends FIN after what waits; reading goes on."""
        if self.ended or self.closing:
            return
        self.ended = True
        if not self.waiting_bytes:
            self.shutdown()

    def shutdown(self) -> None:
        """Ends the stream that we send."""
        try:
            self.sock.shutdown(SHUT_WR)
        except Error as error:
            self.lose(error)

    def maybe_pause(self) -> None:
        """Pauses the protocol if too much waits."""
        if self.waiting_bytes > self.high and not self.protocol_paused:
            self.protocol_paused = True
            self.tell("pause_writing")

    def tell(self, what: str) -> None:
        """Calls one of the protocol's two methods of flow control."""
        try:
            getattr(self.protocol, what)()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.complain(f"protocol.{what}() failed", error)

    # the end

    def close(self) -> None:
        """Sends what waits, then FIN; nothing more is read."""
        if self.closing or self.lost:
            return
        self.closing = True
        if not self.waiting_bytes:
            self.close_socket()

    def close_socket(self) -> None:
        """All is written: the stack sees to its delivery and to the FIN from here on."""
        self.sock.close()
        self.lose(None)

    def fatal(self, error: BaseException, message: str) -> None:
        """A protocol's method failed: the connection is reset, so that the peer does not wait for nothing."""
        self.complain(message, error)
        self.force_close(error)

    def complain(self, message: str, error: BaseException) -> None:
        """Tells the loop's exception handler what a protocol has raised."""
        self.loop.call_exception_handler(
            {"message": message, "exception": error, "transport": self.transport, "protocol": self.protocol}
        )

    def force_close(self, error: BaseException | None) -> None:
        """Resets the connection because of `error`."""
        if not self.lost:
            self.closing = True
            self.sock.abort()
            self.lose(error)

    def lose(self, error: BaseException | None) -> None:
        """Nothing more will come or go; `connection_lost` is called in the loop's next iteration, once."""
        if self.lost:
            return
        self.lost = self.closing = True
        self.waiting = None
        self.waiting_bytes = 0
        self.loop.call_soon(self.call_connection_lost, error)

    def call_connection_lost(self, error: BaseException | None) -> None:
        """The last word to the protocol."""
        try:
            self.protocol.connection_lost(error if error is None or isinstance(error, Exception) else None)
        finally:
            self.sock.on_event = None
            self.sock.close()
            transport, self.transport = self.transport, None
            # each of them would keep the others alive, until the collector comes; asyncio's do the same
            self.protocol = self.data_received = self.get_buffer = self.buffer_updated = None
            assert transport is not None
            if self.keeper is not None:
                self.keeper.left(transport)
            if self.on_lost is not None:
                self.on_lost(transport)


def no_data(data: bytes) -> None:
    """For a protocol that has no `data_received` (a bare BaseProtocol): what comes is dropped."""
