"""A stack's sockets as asyncio's ``loop.sock_*`` methods use them: calls that wait until they can be done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from uinet.aio.transport import asyncio_address
from uinet.errors import InvalidArgument, WouldBlock
from uinet.events import EV_CLOSED, EV_CONNECTED, EV_ERROR
from uinet.kernel_like import KernelLike

if TYPE_CHECKING:
    from uinet.socket import Socket

T = TypeVar("T")


class SocketView(KernelLike):
    """A stack's socket as programs expect a kernel's: addresses of IPv6 have flow and scope too."""

    def getsockname(self) -> tuple[Any, ...]:
        """The local address as text, "0.0.0.0" for all; and port (and for IPv6 flow and scope)."""
        return with_scope(super().getsockname())

    def getpeername(self) -> tuple[Any, ...]:
        """The peer's address as text, and port (and for IPv6 flow and scope). NotConnected."""
        return with_scope(super().getpeername())

    def __repr__(self) -> str:
        return f"<SocketView of {self.sock!r}>"


def with_scope(address: tuple[Any, ...]) -> tuple[Any, ...]:
    """An address as text and port with what the socket module has behind them for IPv6."""
    return (*address, 0, 0) if ":" in address[0] else address


class Waiters:
    """The `on_event` of a socket that tasks wait for: whatever happens, all of them try again."""

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[None]] = []
        self.connected = False

    def __call__(self, sock: Socket, events: int) -> None:
        if events & (EV_CONNECTED | EV_ERROR | EV_CLOSED):
            self.connected = True
        futures, self.futures = self.futures, []
        for future in futures:
            if not future.done():
                future.set_result(None)


def waiters_of(sock: Socket) -> Waiters:
    """Those of `sock`; InvalidArgument if something else, a transport say, takes its events."""
    waiters = sock.on_event
    if waiters is None:
        waiters = sock.on_event = Waiters()
    if not isinstance(waiters, Waiters):
        raise InvalidArgument(f"{sock!r} is in use by {waiters!r}")
    return waiters


async def retried(sock: Socket, call: Callable[[], T]) -> T:
    """What ``call()`` returns, once it does not raise WouldBlock."""
    waiters = waiters_of(sock)
    while True:
        try:
            return call()
        except WouldBlock:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiters.futures.append(future)
            await future


async def recv(sock: Socket, limit: int) -> bytes:
    """As `Socket.recv`, and waits."""
    return await retried(sock, lambda: sock.recv(limit))


async def recv_into(sock: Socket, buffer: Any) -> int:
    """As `Socket.recv_into`, and waits."""
    return await retried(sock, lambda: sock.recv_into(buffer))


async def recvfrom(sock: Socket, limit: int) -> tuple[bytes, tuple[str, int] | None]:
    """One datagram and who sent it: text and port."""
    data, address = await retried(sock, lambda: sock.recvfrom(limit))
    return data, asyncio_address(address)


async def sendall(sock: Socket, data: bytes | bytearray | memoryview) -> None:
    """Sends all of `data`."""
    view = memoryview(data).cast("B")
    while view:
        piece = view[: max(1, sock.send_space) + 1]  # a byte more than fits, so that it tells of room again
        sent = await retried(sock, lambda piece=piece: sock.send(piece))  # type: ignore[misc]
        view = view[sent:]


async def sendto(sock: Socket, data: bytes | bytearray | memoryview, address: Any) -> int:
    """As `Socket.sendto`, and waits."""
    return await retried(sock, lambda: sock.sendto(data, address))


async def accept(sock: Socket) -> tuple[Socket, tuple[str, int] | None]:
    """A new connection's socket and its peer: text and port."""
    accepted = await retried(sock, sock.accept)
    return accepted, asyncio_address(accepted.getpeername())


async def connect(sock: Socket, address: Any) -> None:
    """Connects, and waits until that has succeeded or failed; who is cancelled meanwhile resets the attempt."""
    waiters = waiters_of(sock)
    sock.connect((address[0], address[1]))
    if sock.tcb is None:
        return
    try:
        while not waiters.connected:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiters.futures.append(future)
            await future
    except BaseException:
        sock.abort()
        raise
    if sock.error is not None:
        raise sock.error
