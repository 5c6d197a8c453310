"""A stack on trio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import trio

from uinet.endpoints import HostLike, IPAddress, PortLike
from uinet.structured.host import StructuredHost
from uinet.trio.loop import make_loop, memory_of_run
from uinet.trio.streams import WORDS, DatagramSocket, TcpListener, TcpStream

if TYPE_CHECKING:
    from uinet.filters import SynFilter
    from uinet.hosting import Loop
    from uinet.link.memory import MemoryRegistry
    from uinet.socket import Socket
    from uinet.structured.words import Group
    from uinet.wire.addresses import L2Info


class Host(StructuredHost):
    """One stack on trio: ``async with Host() as host``. Its tasks are those of a nursery of its own, its time is trio's
    clock, a ``trio.testing.MockClock`` as well.

    Leaving the block closes what is open and waits, at most `linger` seconds, until it is delivered; an error or a
    cancellation resets it. Otherwise as :class:`uinet.hosting.BaseHost`, which has the arguments.
    """

    _words = WORDS

    def _make_loop(self, group: Group) -> tuple[Loop, MemoryRegistry]:
        return make_loop(group.start_soon), memory_of_run()

    async def open_tcp_stream(
        self,
        host: str | bytes | IPAddress,
        port: int,
        *,
        source: tuple[Any, Any] | None = None,
        l2: L2Info | None = None,
        cdom: int = 0,
        fast_open: bytes | None = None,
    ) -> TcpStream:
        """Connects to `host`, an address or a name, whose addresses are tried as RFC 8305 has it: whichever
        answers first.

        `source`, `l2`, `cdom`, `fast_open` and errors: as of `uinet.Host.create_connection`; NameNotFound.
        """
        return self.stream(await self._connected(host, port, source, l2, cdom, fast_open))

    async def open_tcp_listeners(
        self,
        port: PortLike | None,
        *,
        host: HostLike | Iterable[HostLike] = None,
        backlog: int = 128,
        vlans: Any = (),
        cdom: int = 0,
        syn_filter: SynFilter | None = None,
        passive: bool = False,
        reuse_port: bool = False,
        fast_open: int = 0,
    ) -> list[TcpListener]:
        """A listener for each address of `host`: IP addresses, or None for all of both versions, which is one listener.

        The other arguments and errors: as of `uinet.Host.create_server`. The streams of a `passive` one receive what
        the client has sent; `stream` makes one of ``stream.socket.get_passive_peer()``, of what the server has.
        """
        await trio.lowlevel.checkpoint()
        made = self._listen(host, port, backlog, vlans, cdom, syn_filter, passive, reuse_port, fast_open)
        return [TcpListener(sock, self._opened, runner) for sock, runner in made]

    async def serve_tcp(
        self,
        handler: Callable[[TcpStream], Awaitable[object]],
        port: PortLike | None,
        *,
        host: HostLike | Iterable[HostLike] = None,
        backlog: int = 128,
        vlans: Any = (),
        cdom: int = 0,
        syn_filter: SynFilter | None = None,
        fast_open: int = 0,
        handler_nursery: trio.Nursery | None = None,
        task_status: trio.TaskStatus[list[TcpListener]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listens, and runs ``handler(stream)`` in a task for each connection, until it is cancelled: `trio.serve_tcp`.

        ``await nursery.start(host.serve_tcp, handler, port)`` returns the listeners.
        """
        listeners = await self.open_tcp_listeners(
            port, host=host, backlog=backlog, vlans=vlans, cdom=cdom, syn_filter=syn_filter, fast_open=fast_open
        )
        await trio.serve_listeners(handler, listeners, handler_nursery=handler_nursery, task_status=task_status)

    async def open_udp_socket(
        self, local: tuple[Any, int] | None = None, remote: tuple[Any, int] | None = None
    ) -> DatagramSocket:
        """A UDP socket bound to `local`, connected to `remote`, or both: (IP address, port)."""
        await trio.lowlevel.checkpoint()
        return DatagramSocket(self._datagram_socket(local, remote), self._opened)

    def stream(self, sock: Socket) -> TcpStream:
        """A stream of a connected socket of `host.stack`."""
        self._readiness(sock)
        return TcpStream(sock, self._opened)
