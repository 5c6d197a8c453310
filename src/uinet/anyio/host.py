"""A stack on anyio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import anyio.lowlevel

from uinet.aio.devices import memory_of
from uinet.anyio.streams import WORDS, ConnectedUdpSocket, TcpListener, TcpStream, UdpSocket
from uinet.endpoints import HostLike, IPAddress, PortLike
from uinet.structured.host import StructuredHost

if TYPE_CHECKING:
    from uinet.filters import SynFilter
    from uinet.hosting import Loop
    from uinet.link.memory import MemoryRegistry
    from uinet.socket import Socket
    from uinet.structured.words import Group
    from uinet.wire.addresses import L2Info


class Host(StructuredHost):
    """One stack on anyio: ``async with Host() as host``, with asyncio or trio underneath.

    Leaving the block closes what is open and waits, at most `linger` seconds, until it is delivered; an error or a
    cancellation resets it. Otherwise as :class:`uinet.hosting.BaseHost`, which has the arguments.
    """

    _words = WORDS

    def _make_loop(self, group: Group) -> tuple[Loop, MemoryRegistry]:
        if issubclass(anyio.get_cancelled_exc_class(), asyncio.CancelledError):
            loop = asyncio.get_running_loop()
            return loop, memory_of(loop)
        from uinet.trio.loop import make_loop, memory_of_run  # only who has trio gets here

        return make_loop(group.start_soon), memory_of_run()

    async def connect_tcp(
        self,
        remote_host: str | bytes | IPAddress,
        remote_port: int,
        *,
        source: tuple[Any, Any] | None = None,
        l2: L2Info | None = None,
        cdom: int = 0,
        fast_open: bytes | None = None,
    ) -> TcpStream:
        """Connects to `remote_host`, an address or a name, whose addresses are tried as RFC 8305 has it: whichever
        answers first.

        `source`, `l2`, `cdom`, `fast_open` and errors: as of `uinet.Host.create_connection`; NameNotFound.
        """
        return self.stream(await self._connected(remote_host, remote_port, source, l2, cdom, fast_open))

    async def create_tcp_listener(
        self,
        local_host: HostLike | Iterable[HostLike] = None,
        local_port: PortLike | None = 0,
        *,
        backlog: int = 128,
        vlans: Any = (),
        cdom: int = 0,
        syn_filter: SynFilter | None = None,
        passive: bool = False,
        reuse_port: bool = False,
        fast_open: int = 0,
    ) -> anyio.abc.Listener[TcpStream]:
        """A listener at `local_host`: IP addresses, or None for all of both versions. With several addresses it is a
        `MultiListener`, as anyio's own.

        The other arguments and errors: as of `uinet.Host.create_server`. The streams of a `passive` one receive what
        the client has sent; `stream` makes one of ``stream.socket.get_passive_peer()``, of what the server has.
        """
        await anyio.lowlevel.checkpoint()
        made = self._listen(
            local_host, local_port, backlog, vlans, cdom, syn_filter, passive, reuse_port, fast_open
        )
        listeners = [TcpListener(sock, self._opened, runner) for sock, runner in made]
        if len(listeners) == 1:
            return listeners[0]
        from anyio.streams.stapled import MultiListener

        return MultiListener(listeners)

    async def create_udp_socket(
        self, local_host: str | IPAddress | None = None, local_port: int = 0
    ) -> UdpSocket:
        """A UDP socket at an address of this host, or at all of them."""
        await anyio.lowlevel.checkpoint()
        family = None if local_host is not None else 0
        return UdpSocket(self._datagram_socket((local_host, local_port), None, family), self._opened)

    async def create_connected_udp_socket(
        self, remote_host: str | bytes | IPAddress, remote_port: int, *, local_host: str | IPAddress | None = None,
        local_port: int = 0,
    ) -> ConnectedUdpSocket:
        """A UDP socket with a peer, an address or a name."""
        (address, *_) = await self.resolve(remote_host)
        local = None if local_host is None and not local_port else (local_host, local_port)
        return ConnectedUdpSocket(self._datagram_socket(local, (address, remote_port)), self._opened)

    def stream(self, sock: Socket) -> TcpStream:
        """A stream of a connected socket of `host.stack`."""
        self._readiness(sock)
        return TcpStream(sock, self._opened)
