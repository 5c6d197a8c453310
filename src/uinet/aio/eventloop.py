"""An asyncio event loop whose network is a stack, so that programs which know nothing of it run on it.

`create_connection`, `create_server`, `create_datagram_endpoint`, ``sock_*``, `start_tls` and `getaddrinfo` go through
a :class:`Host`; all the rest is the platform's loop: timers, subprocesses, signals, pipes, Unix sockets.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from uinet import sockopt
from uinet.aio import sockets
from uinet.aio.datagram import DatagramTransport
from uinet.aio.host import Host
from uinet.aio.resolver import Resolver
from uinet.aio.tls import Tls, start_tls
from uinet.aio.transport import Transport
from uinet.dns import NameNotFound
from uinet.endpoints import ip_address
from uinet.errors import AddressError, InvalidArgument
from uinet.socket import Socket

T = TypeVar("T")
INTERNET = (socket.AF_INET, socket.AF_INET6)


class StackNetwork:
    """The methods that go through `host`; mixed into a loop class by :func:`loop_class`."""

    host: Host
    resolver: Resolver
    _stand_ins: weakref.WeakKeyDictionary[socket.socket, tuple[Socket, weakref.finalize[..., Any]]]

    def use(
        self,
        host: Host,
        nameservers: Iterable[str] = (),
        hosts: Mapping[str, str | Iterable[str]] | None = None,
    ) -> None:
        """Makes `host` the network of this loop. `nameservers`, `hosts`: see :class:`Resolver`."""
        self.host = host
        self.resolver = Resolver(host, nameservers, hosts)
        self._stand_ins = weakref.WeakKeyDictionary()

    # connections

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,
        port: Any = None,
        *,
        ssl: Any = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: Any = None,
        local_addr: tuple[str, int] | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> Any:
        """As asyncio's, through the stack: each address of `host` is tried in turn."""
        secure: dict[str, Any] = {
            "ssl": ssl, "server_hostname": server_hostname, "ssl_handshake_timeout": ssl_handshake_timeout,
            "ssl_shutdown_timeout": ssl_shutdown_timeout,
        }
        if sock is not None:
            return await self._adopt(protocol_factory, sock, **secure)
        addresses = await self._addresses(host, port, family)
        if ssl and server_hostname is None:
            secure["server_hostname"] = str(host)
        errors: list[Exception] = []
        for address in addresses:
            if local_addr is not None and ip_address(local_addr[0]).version != address.version:
                continue
            try:
                return await self.host.create_connection(
                    protocol_factory, address, int(port), source=local_addr, **secure
                )
            except OSError as error:
                errors.append(error)
        if all_errors:
            raise ExceptionGroup("create_connection failed", errors)
        raise errors[0] if errors else AddressError(f"{host!r} has no address of the family of {local_addr!r}")

    async def _adopt(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], sock: Any, **secure: Any
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """A transport for a connected socket, which belongs to it from now on."""
        ours = self._stack_socket(sock)
        if ours is not sock:
            self._stand_ins.pop(sock)[1].detach()
        ours.on_event = None
        return await self.host.adopt(ours, protocol_factory, **secure)

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,
        port: Any = None,
        *,
        family: int = socket.AF_UNSPEC,
        flags: int = socket.AI_PASSIVE,
        sock: Any = None,
        backlog: int = 100,
        ssl: Any = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Any:
        """As asyncio's, through the stack. Of a kernel's socket only the address that it is bound to counts."""
        if sock is not None:
            host, port = sock.getsockname()[:2]
        if isinstance(host, str) or host is None:
            host = [host]
        listening: list[Any] = []
        for one in host:
            listening += [None] if one in (None, "") else await self._addresses(one, port, family)
        server = await self.host.create_server(
            protocol_factory, listening, port, backlog=backlog, ssl=ssl,
            ssl_handshake_timeout=ssl_handshake_timeout, ssl_shutdown_timeout=ssl_shutdown_timeout,
            start_serving=start_serving,
        )
        server.view = sockets.SocketView
        return server

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], asyncio.DatagramProtocol],
        local_addr: Any = None,
        remote_addr: Any = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: Any = None,
    ) -> tuple[DatagramTransport, asyncio.DatagramProtocol]:
        """As asyncio's, through the stack."""
        if sock is not None:
            raise InvalidArgument("a datagram endpoint of a stack takes addresses, not a kernel's socket")
        remote = None
        if remote_addr is not None:
            remote = (await self._addresses(remote_addr[0], remote_addr[1], family))[0], remote_addr[1]
        local = None
        if local_addr is not None:
            wildcard = "::" if family == socket.AF_INET6 else "0.0.0.0"
            local = (await self._addresses(local_addr[0] or wildcard, local_addr[1], family))[0], local_addr[1]
        return await self.host.create_datagram_endpoint(protocol_factory, local, remote)

    async def start_tls(
        self,
        transport: Any,
        protocol: Any,
        sslcontext: Any,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Any:
        """As asyncio's."""
        tls = Tls(sslcontext, server_side, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
        return await start_tls(asyncio.get_running_loop(), transport, protocol, tls)

    async def sendfile(self, transport: Any, file: Any, offset: int = 0, count: int | None = None, **more: Any) -> int:
        """The platform's for its own transports; for ours NotImplementedError, on which programs write themselves."""
        if isinstance(transport, Transport):
            raise NotImplementedError("a stack has no sendfile: read the file and write it")
        return await super().sendfile(transport, file, offset, count, **more)  # type: ignore[misc,no-any-return]

    # names

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[tuple[Any, ...]]:
        """As `socket.getaddrinfo`: addresses as they are, names by the loop's resolver."""
        number = 0 if port in (None, "") else int(port)
        if host in (None, ""):
            wildcard = ("0.0.0.0", "::") if flags & socket.AI_PASSIVE else ("127.0.0.1", "::1")
            addresses = [ip_address(text) for text in wildcard]
        else:
            addresses = await self._addresses(host, port, family)
        kinds = [kind for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM) if type in (0, kind)]
        protocols = {socket.SOCK_STREAM: socket.IPPROTO_TCP, socket.SOCK_DGRAM: socket.IPPROTO_UDP}
        return [
            (socket.AF_INET, kind, protocols[kind], "", (str(address), number)) if address.version == 4
            else (socket.AF_INET6, kind, protocols[kind], "", (str(address), number, 0, 0))
            for address in addresses
            if family in (0, socket.AF_INET if address.version == 4 else socket.AF_INET6)
            for kind in kinds
        ]

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """The address and port as text: a stack asks nobody for names."""
        return str(sockaddr[0]), str(sockaddr[1])

    async def _addresses(self, host: Any, port: Any, family: int) -> list[Any]:
        """The addresses of `host`; socket.gaierror as programs expect it."""
        versions = {socket.AF_INET: (4,), socket.AF_INET6: (6,)}.get(socket.AddressFamily(family), (6, 4))
        if isinstance(host, bytes):
            host = host.decode("ascii")
        try:
            address = ip_address(host)
        except AddressError:
            try:
                return list(await self.resolver.resolve(str(host), versions))
            except NameNotFound as error:
                raise socket.gaierror(socket.EAI_NONAME, str(error)) from error
        if address.version not in versions:
            raise socket.gaierror(socket.EAI_NONAME, f"{host} is not of the address family asked for")
        return [address]

    # sockets

    def _stack_socket(self, sock: Any) -> Socket:
        """A stack's socket as it is; for a kernel's the one of the stack that stands in for it."""
        if isinstance(sock, Socket):
            return sock
        found = self._stand_ins.get(sock)
        if found is None:
            raise InvalidArgument(f"{sock!r} is the kernel's, and not connected through this loop")
        return found[0]

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """Connects. An Internet socket of the kernel stays unused: one of the stack stands in for it from now on."""
        if isinstance(sock, Socket):
            return await sockets.connect(sock, address)
        if sock.family not in INTERNET:
            return await super().sock_connect(sock, address)  # type: ignore[misc,no-any-return]
        kind = sockopt.SOCK_STREAM if sock.type == socket.SOCK_STREAM else sockopt.SOCK_DGRAM
        stand_in = self.host.stack.socket(kind=kind)
        host = (await self._addresses(address[0], address[1], sock.family))[0]
        await sockets.connect(stand_in, (host, address[1]))
        self._stand_ins[sock] = stand_in, weakref.finalize(sock, stand_in.close)
        return None

    def _ours(self, sock: Any) -> bool:
        return isinstance(sock, Socket) or sock in self._stand_ins

    async def sock_recv(self, sock: Any, nbytes: int) -> bytes:
        """As asyncio's."""
        if self._ours(sock):
            return await sockets.recv(self._stack_socket(sock), nbytes)
        return await super().sock_recv(sock, nbytes)  # type: ignore[misc,no-any-return]

    async def sock_recv_into(self, sock: Any, buf: Any) -> int:
        """As asyncio's."""
        if self._ours(sock):
            return await sockets.recv_into(self._stack_socket(sock), buf)
        return await super().sock_recv_into(sock, buf)  # type: ignore[misc,no-any-return]

    async def sock_recvfrom(self, sock: Any, bufsize: int) -> Any:
        """As asyncio's."""
        if self._ours(sock):
            return await sockets.recvfrom(self._stack_socket(sock), bufsize)
        return await super().sock_recvfrom(sock, bufsize)  # type: ignore[misc]

    async def sock_sendall(self, sock: Any, data: Any) -> None:
        """As asyncio's."""
        if self._ours(sock):
            return await sockets.sendall(self._stack_socket(sock), data)
        return await super().sock_sendall(sock, data)  # type: ignore[misc,no-any-return]

    async def sock_sendto(self, sock: Any, data: Any, address: Any) -> int:
        """As asyncio's."""
        if self._ours(sock):
            return await sockets.sendto(self._stack_socket(sock), data, address)
        return await super().sock_sendto(sock, data, address)  # type: ignore[misc,no-any-return]

    async def sock_accept(self, sock: Any) -> Any:
        """As asyncio's; what a stack's socket accepts is a stack's socket."""
        if self._ours(sock):
            return await sockets.accept(self._stack_socket(sock))
        return await super().sock_accept(sock)  # type: ignore[misc]


def loop_class(base: type[asyncio.AbstractEventLoop]) -> type[Any]:
    """A class of event loops like `base` (`uvloop.Loop`, say) whose network is a stack: call `use` on its loops."""
    return type("EventLoop", (StackNetwork, base), {"__doc__": StackNetwork.__doc__})


class EventLoop(StackNetwork, asyncio.SelectorEventLoop):  # type: ignore[misc]
    """The platform's event loop, with the network of `host`.

    `nameservers`: DNS servers that the stack reaches. `hosts`: addresses by name.
    """

    def __init__(
        self,
        host: Host,
        nameservers: Iterable[str] = (),
        hosts: Mapping[str, str | Iterable[str]] | None = None,
    ) -> None:
        super().__init__()
        self.use(host, nameservers, hosts)


def run(
    main: Coroutine[Any, Any, T],
    *,
    host: Host | None = None,
    setup: Callable[[Host], Coroutine[Any, Any, object]] | None = None,
    nameservers: Iterable[str] = (),
    hosts: Mapping[str, str | Iterable[str]] | None = None,
    base: type[asyncio.AbstractEventLoop] = asyncio.SelectorEventLoop,
    debug: bool | None = None,
) -> T:
    """Runs `main` as `asyncio.run` does, on a loop whose network is `host`, and closes the host afterwards.

    `setup`: ``async`` function of the host, run first: where devices are added. `base`: another kind of loop,
    `uvloop.Loop`. `nameservers`, `hosts`: as of :class:`EventLoop`. Errors of `main` come through.
    """
    served = host if host is not None else Host()

    def factory() -> Any:
        loop = loop_class(base)()
        loop.use(served, nameservers, hosts)
        return loop

    async def whole() -> T:
        try:
            async with served:
                if setup is not None:
                    await setup(served)
                return await main
        finally:
            main.close()

    with asyncio.Runner(debug=debug, loop_factory=factory) as runner:
        return runner.run(whole())
