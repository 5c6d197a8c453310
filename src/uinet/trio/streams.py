"""Connections, listeners and datagram sockets of a stack as trio programs know them."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import trio

from uinet.structured.connection import DEFAULT_RECEIVE_SIZE, Connection, Datagrams, Listening
from uinet.structured.words import Words

if TYPE_CHECKING:
    pass

WORDS = Words(
    event=trio.Event,
    group=trio.open_nursery,
    scope=trio.CancelScope,
    move_on_after=trio.move_on_after,
    sleep=trio.sleep,
    current_time=trio.current_time,
    checkpoint=trio.lowlevel.checkpoint,
    checkpoint_if_cancelled=trio.lowlevel.checkpoint_if_cancelled,
    cancel_shielded_checkpoint=trio.lowlevel.cancel_shielded_checkpoint,
    cancelled=lambda: trio.Cancelled,
    busy=trio.BusyResourceError,
    closed=trio.ClosedResourceError,
    broken=trio.BrokenResourceError,
)


class TcpStream(Connection, trio.abc.HalfCloseableStream):
    """A TCP connection: a :class:`trio.HalfCloseableStream`, as trio's own SocketStream, for ``trio.SSLStream`` and all
    else that takes streams.

    `socket`: the engine's socket, with `l2info`, `cdom`, `context`, `info()`, `setsockopt` and the rest. The cause of a
    `trio.BrokenResourceError` is the engine's error.
    """

    _words = WORDS

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Sends all of `data`; returns when the socket has taken it. What was sent of it if this is cancelled is not
        known."""
        await self._send(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Waits until there is room to send, as far as one can tell."""
        await self._wait_writable()

    async def send_eof(self) -> None:
        """Ends the stream to the peer (FIN); receiving goes on. Again: nothing."""
        await self._send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """At most `max_bytes` bytes, and at least one; b"" at the end of the stream."""
        if max_bytes is None:
            max_bytes = DEFAULT_RECEIVE_SIZE
        elif not isinstance(max_bytes, int):
            raise TypeError(f"max_bytes is an int, not {type(max_bytes).__name__}")
        if max_bytes < 1:
            raise ValueError("max_bytes must be >= 1")
        return await self._receive(max_bytes)

    async def aclose(self) -> None:
        """Closes the connection: what was sent is still delivered, then FIN; unread data resets it, as everywhere."""
        await self._close()


class TcpListener(Listening, trio.abc.Listener[TcpStream]):
    """A listening socket, for ``trio.serve_listeners`` and ``trio.SSLListener``. `socket`: the engine's."""

    _words = WORDS

    async def accept(self) -> TcpStream:
        """The next connection."""
        return TcpStream(await self._accept(), self._opened)

    async def aclose(self) -> None:
        """Stops listening; connections that were accepted go on."""
        await self._close()


class DatagramSocket(Datagrams):
    """A UDP socket, in the words of `trio.socket`. `socket`: the engine's, for multicast and other options."""

    _words = WORDS

    async def recvfrom(self) -> tuple[bytes, tuple[str, int]]:
        """One datagram and who sent it, text and port. BrokenResourceError, once, for one that was sent and that an
        ICMP error answers."""
        return await self._receive_from()

    async def sendto(self, data: bytes | bytearray | memoryview, address: tuple[Any, int]) -> None:
        """Sends one datagram to (IP address, port)."""
        await self._send_to(data, address)

    async def recv(self) -> bytes:
        """One datagram."""
        return (await self._receive_from())[0]

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Sends one datagram to the peer that the socket is connected to."""
        await self._send_to(data, None)

    async def aclose(self) -> None:
        """Closes the socket."""
        await self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
