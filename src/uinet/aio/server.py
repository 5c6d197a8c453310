"""Listening sockets as an asyncio server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uinet.aio.acceptor import Acceptor
from uinet.aio.keeper import Keeper
from uinet.aio.watching import PassiveTransport, WatchedPairs
from uinet.passive_socket import PassiveSocket

if TYPE_CHECKING:
    from uinet.filters import FilterRunner
    from uinet.socket import Socket

ProtocolFactory = Callable[[], asyncio.BaseProtocol]
PairFactory = Callable[[], tuple[asyncio.BaseProtocol, asyncio.BaseProtocol]]


class Server(asyncio.AbstractServer):
    """What `Host.create_server` and `Host.start_server` return; used like asyncio's own servers.

    `listen`: makes the listening sockets, when serving starts. `pairs`: makes the two protocols of a watched
    connection, whose two directions are a client each. `view`: what `sockets` shows of each; None for the
    sockets themselves.
    """

    view: Callable[[Socket], object] | None = None

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol_factory: ProtocolFactory,
        listen: Callable[[], list[Socket]],
        keeper: Keeper,
        filter_runner: FilterRunner | None,
        on_closed: Callable[[Server], None],
        pairs: PairFactory,
    ) -> None:
        self._loop = loop
        self._pairs = pairs
        self._listen = listen
        self._keeper = keeper
        self._acceptor = Acceptor(protocol_factory, keeper, self._serve_watched, self._complain, self._wake_if_done)
        self._filter = filter_runner
        self._on_closed = on_closed
        self._sockets: list[Socket] = []
        self._started = False
        self._closed = False
        self._waiters: list[asyncio.Future[None]] = []
        self._forever: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        places = ", ".join(f"{address} port {port}" for address, port in self.addresses)
        return f"<Server {places or 'closed'}>"

    @property
    def sockets(self) -> tuple[Any, ...]:
        """The listening sockets, as `view` shows them; none once the server is closed."""
        return tuple(sock if self.view is None else self.view(sock) for sock in self._sockets)

    @property
    def addresses(self) -> list[tuple[object, int]]:
        """Where it listens: (address or ANY, port) of each socket."""
        return [sock.getsockname() for sock in self._sockets]

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the server belongs to."""
        return self._loop

    def is_serving(self) -> bool:
        """Whether it takes connections."""
        return self._started and not self._closed

    def begin(self) -> None:
        """Starts to listen. AddressInUse and what else a listening socket may raise."""
        if self._started or self._closed:
            return
        self._sockets = self._listen()
        self._started = True
        for sock in self._sockets:
            sock.on_event = self._acceptor.on_event
            self._acceptor.on_event(sock, 0)

    async def start_serving(self) -> None:
        """Starts to listen, if it does not yet."""
        self.begin()

    async def serve_forever(self) -> None:
        """Serves until it is cancelled, or the server is closed; then waits for its connections."""
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._closed:
            raise RuntimeError(f"server {self!r} is closed")
        self.begin()
        self._forever = self._loop.create_future()
        try:
            await self._forever
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise
        finally:
            self._forever = None

    def close(self) -> None:
        """Stops listening; connections that were accepted go on. Filters that still think are cancelled."""
        if self._closed:
            return
        self._closed = self._acceptor.closed = True
        if self._filter is not None:
            self._filter.close()
        for sock in self._sockets:
            sock.on_event = None
            sock.close()
        self._sockets = []
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
        self._on_closed(self)
        self._wake_if_done()

    async def wait_closed(self) -> None:
        """Waits until the server is closed and all its connections are, as asyncio does since Python 3.12."""
        if self._closed and not self._acceptor.clients:
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def close_clients(self) -> None:
        """Closes every connection that the server has accepted."""
        for transport in list(self._acceptor.clients):
            transport.close()

    def abort_clients(self) -> None:
        """Resets every connection that the server has accepted."""
        for transport in list(self._acceptor.clients):
            transport.abort()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()
        await self.wait_closed()

    def _serve_watched(self, sock: PassiveSocket) -> None:
        try:
            protocols = self._pairs()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            sock.close()
            self._complain("protocol factory failed", error)
            return
        first = self._keeper.adopt(sock, protocols[0], self._acceptor.forget)
        second = self._keeper.adopt(sock.get_passive_peer(), protocols[1], self._acceptor.forget)
        assert isinstance(first, PassiveTransport) and isinstance(second, PassiveTransport)
        first.peer, second.peer = second, first
        self._acceptor.clients.update((first, second))
        first.start()
        second.start()
        if isinstance(self._pairs, WatchedPairs):
            self._pairs.started(first)

    def _wake_if_done(self) -> None:
        if self._closed and not self._acceptor.clients:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _complain(self, message: str, error: BaseException) -> None:
        self._loop.call_exception_handler({"message": message, "exception": error, "server": self})
