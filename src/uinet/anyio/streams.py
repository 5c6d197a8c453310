"""Connections, listeners and datagram sockets of a stack as anyio programs know them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
from anyio.abc import (
    ByteStream,
    Listener,
    SocketAttribute,
    TaskGroup,
    UDPPacketType,
    UnreliableObjectStream,
)

from uinet.structured.connection import DEFAULT_RECEIVE_SIZE, Connection, Datagrams, Listening, peer_of
from uinet.structured.words import Words
from uinet.wire.addresses import ANY, L2Info

if TYPE_CHECKING:
    from uinet.socket import Socket

WORDS = Words(
    event=anyio.Event,
    group=anyio.create_task_group,
    scope=anyio.CancelScope,
    move_on_after=anyio.move_on_after,
    sleep=anyio.sleep,
    current_time=anyio.current_time,
    checkpoint=anyio.lowlevel.checkpoint,
    checkpoint_if_cancelled=anyio.lowlevel.checkpoint_if_cancelled,
    cancel_shielded_checkpoint=anyio.lowlevel.cancel_shielded_checkpoint,
    cancelled=anyio.get_cancelled_exc_class,
    busy=anyio.BusyResourceError,
    closed=anyio.ClosedResourceError,
    broken=anyio.BrokenResourceError,
)


class UinetAttribute(anyio.TypedAttributeSet):
    """What is known of a socket of a stack beside anyio's SocketAttribute."""

    socket: Any = anyio.typed_attribute()  # the engine's own: uinet.Socket
    cdom: int = anyio.typed_attribute()
    l2info: L2Info | None = anyio.typed_attribute()
    serialno: int = anyio.typed_attribute()


def attributes_of(sock: Socket) -> Mapping[Any, Callable[[], Any]]:
    """The typed attributes of a socket. There is no `SocketAttribute.raw_socket`: no kernel has it."""

    def local() -> tuple[str, int]:
        address, port = sock.getsockname()
        return ("::" if address is ANY else str(address)), (0 if port is ANY else port)

    def family() -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in local()[0] else socket.AF_INET

    attributes: dict[Any, Callable[[], Any]] = {
        SocketAttribute.family: family,
        SocketAttribute.local_address: local,
        SocketAttribute.local_port: lambda: local()[1],
        UinetAttribute.socket: lambda: sock,
        UinetAttribute.cdom: lambda: sock.cdom,
        UinetAttribute.l2info: lambda: sock.l2info,
        UinetAttribute.serialno: lambda: sock.serialno,
    }
    peer = peer_of(sock)
    if peer is not None:
        attributes[SocketAttribute.remote_address] = lambda: peer
        attributes[SocketAttribute.remote_port] = lambda: peer[1]
    return attributes


class Attributes(anyio.TypedAttributeProvider):
    """Has the typed attributes of its socket."""

    socket: Socket

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """See `attributes_of`."""
        return attributes_of(self.socket)


class TcpStream(Connection, Attributes, ByteStream):
    """A TCP connection: an :class:`anyio.abc.ByteStream`, for ``TLSStream.wrap`` and all else that takes such.

    `socket`: the engine's socket, with `context`, `info()`, `setsockopt` and the rest. The cause of an
    `anyio.BrokenResourceError` is the engine's error.
    """

    _words = WORDS

    async def receive(self, max_bytes: int = DEFAULT_RECEIVE_SIZE) -> bytes:
        """At most `max_bytes` bytes, and at least one; EndOfStream."""
        if max_bytes < 1:
            raise ValueError("max_bytes must be a positive integer")
        data = await self._receive(max_bytes)
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        """Sends all of `item`; returns when the socket has taken it. What was sent of it if this is cancelled is not
        known."""
        await self._send(item)

    async def send_eof(self) -> None:
        """Ends the stream to the peer (FIN); receiving goes on. Again: nothing."""
        await self._send_eof()

    async def aclose(self) -> None:
        """Closes the connection: what was sent is still delivered, then FIN; unread data resets it, as everywhere."""
        await self._close()


class TcpListener(Listening, Attributes, Listener[TcpStream]):
    """A listening socket. `socket`: the engine's."""

    _words = WORDS

    async def accept(self) -> TcpStream:
        """The next connection."""
        return TcpStream(await self._accept(), self._opened)

    async def serve(self, handler: Callable[[TcpStream], Any], task_group: TaskGroup | None = None) -> None:
        """Runs ``handler(stream)`` in a task for each connection, of a group of its own or of `task_group`."""
        async with AsyncExitStack() as exits:
            if task_group is None:
                task_group = await exits.enter_async_context(anyio.create_task_group())
            while True:
                task_group.start_soon(handler, await self.accept())

    async def aclose(self) -> None:
        """Stops listening; connections that were accepted go on."""
        await self._close()


class UdpSocket(Datagrams, Attributes, UnreliableObjectStream[UDPPacketType]):
    """A UDP socket without a peer: what it sends and receives is (data, (address, port))."""

    _words = WORDS

    async def receive(self) -> UDPPacketType:
        """One datagram and who sent it. BrokenResourceError, once, for one that was sent and that an ICMP error
        answers."""
        return await self._receive_from()

    async def send(self, item: UDPPacketType) -> None:
        """Sends one datagram."""
        await self._send_to(*item)

    async def sendto(self, data: bytes, host: str, port: int) -> None:
        """Sends one datagram."""
        await self._send_to(data, (host, port))

    async def aclose(self) -> None:
        """Closes the socket."""
        await self._close()


class ConnectedUdpSocket(Datagrams, Attributes, UnreliableObjectStream[bytes]):
    """A UDP socket with a peer."""

    _words = WORDS

    async def receive(self) -> bytes:
        """One datagram of the peer. BrokenResourceError, once, if an ICMP error answers one that was sent."""
        return (await self._receive_from())[0]

    async def send(self, item: bytes) -> None:
        """Sends one datagram to the peer."""
        await self._send_to(item, None)

    async def aclose(self) -> None:
        """Closes the socket."""
        await self._close()
