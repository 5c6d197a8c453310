"""A UDP socket as an asyncio datagram transport."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uinet.aio.transport import asyncio_address
from uinet.errors import Error, WouldBlock
from uinet.events import EV_CLOSED, EV_ERROR, EV_READABLE, EV_WRITABLE

if TYPE_CHECKING:
    from uinet.socket import Socket

LARGEST = 65_535
HIGH_WATER = 64 * 1024


class DatagramTransport(asyncio.DatagramTransport):
    """A UDP socket of a stack, for one protocol; `on_lost` is called once when it is closed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: Socket,
        protocol: asyncio.DatagramProtocol,
        peer: tuple[Any, int] | None,
        on_lost: Callable[[DatagramTransport], None],
    ) -> None:
        super().__init__()
        self.loop = loop
        self.sock = sock
        self._protocol: asyncio.DatagramProtocol = protocol
        self._connected = peer is not None
        self._on_lost = on_lost
        self._waiting: deque[tuple[bytes, tuple[Any, int] | None]] = deque()
        self._waiting_bytes = 0
        self._paused = False
        self._closing = False
        self._lost = False
        self._extra: dict[str, Any] = {
            "socket": sock,
            "peername": asyncio_address(peer),
            "sockname": asyncio_address(sock.getsockname()),
            "cdom": sock.cdom,
        }

    def start(self) -> None:
        """Tells the protocol that it may begin. Call once."""
        self.sock.on_event = self._on_event
        self._protocol.connection_made(self)
        self.loop.call_soon(self._receive)

    def __repr__(self) -> str:
        return f"<DatagramTransport {self._extra['sockname']} {'closing' if self._closing else 'open'}>"

    def sendto(self, data: bytes | bytearray | memoryview, addr: Any = None) -> None:
        """Sends one datagram to `addr`, (IP address, port); one that does not fit now waits.

        Errors go to the protocol's `error_received`.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._connected and addr is not None and asyncio_address(addr) != self._extra["peername"]:
            raise ValueError(f"Invalid address: must be None or {self._extra['peername']}")
        if self._closing:
            return
        datagram = bytes(data), None if self._connected else addr
        if self._waiting or not self._send(*datagram):
            self._waiting.append(datagram)
            self._waiting_bytes += len(data)
            if self._waiting_bytes > HIGH_WATER and not self._paused:
                self._paused = True
                self._protocol.pause_writing()

    def _send(self, data: bytes, addr: tuple[Any, int] | None) -> bool:
        """Whether the datagram is gone, sent or failed; False if there is no room now."""
        try:
            if addr is None:
                self.sock.send(data)
            else:
                self.sock.sendto(data, addr)
        except WouldBlock:
            return False
        except Error as error:
            self._protocol.error_received(error)
        return True

    def _on_event(self, sock: Socket, events: int) -> None:
        if self._lost:
            return
        if events & EV_WRITABLE:
            self._flush()
        if events & (EV_READABLE | EV_ERROR | EV_CLOSED):
            self._receive()

    def _flush(self) -> None:
        while self._waiting and self._send(*self._waiting[0]):
            self._waiting_bytes -= len(self._waiting.popleft()[0])
        if self._paused and self._waiting_bytes <= HIGH_WATER // 4:
            self._paused = False
            self._protocol.resume_writing()
        if self._closing and not self._waiting:
            self._lose(None)

    def _receive(self) -> None:
        """Gives the protocol every datagram that is there. One that it fails on does not stop the others."""
        while not (self._closing or self._lost):
            try:
                data, addr = self.sock.recvfrom(LARGEST)
            except WouldBlock:
                return
            except Error as error:  # an ICMP error that answers one of our datagrams
                self._protocol.error_received(error)
                continue
            try:
                self._protocol.datagram_received(data, (str(addr[0]), addr[1]))
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self.loop.call_exception_handler(
                    {"message": "protocol.datagram_received() failed", "exception": error, "transport": self,
                     "protocol": self._protocol}
                )

    def get_write_buffer_size(self) -> int:
        """Bytes of the datagrams that wait here."""
        return self._waiting_bytes

    def is_closing(self) -> bool:
        """Whether the transport is closed or closing."""
        return self._closing

    def close(self) -> None:
        """Sends what waits, then closes the socket; `connection_lost(None)` follows."""
        if not self._closing:
            self._closing = True
            if not self._waiting:
                self._lose(None)

    def abort(self) -> None:
        """Closes the socket at once; what waits is lost."""
        self._closing = True
        self._waiting.clear()
        self._waiting_bytes = 0
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self.sock.on_event = None
            self.sock.close()
            self.loop.call_soon(self._call_connection_lost, error)

    def _call_connection_lost(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._on_lost(self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Lets another protocol, an asyncio.DatagramProtocol, take over."""
        assert isinstance(protocol, asyncio.DatagramProtocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The current protocol."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`name`: peername, sockname (text, port), cdom, socket."""
        return self._extra.get(name, default)
