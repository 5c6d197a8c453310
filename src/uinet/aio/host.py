"""A stack on an asyncio event loop: devices, servers, connections.

What a `Host` returns are asyncio's own kinds of things: transports, protocols, servers, stream readers and
writers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from uinet.aio import streams
from uinet.aio.addressing import Addressing
from uinet.aio.connecting import connected
from uinet.aio.datagram import DatagramTransport
from uinet.aio.devices import memory_of
from uinet.aio.filters import tasks_of
from uinet.aio.keeper import Keeper
from uinet.aio.pinging import ping
from uinet.aio.pipe import Pipe, SendFunction
from uinet.aio.server import PairFactory, ProtocolFactory, Server
from uinet.aio.tls import Tls, app_transport
from uinet.aio.watching import WatchedPairs, WatchHandler
from uinet.endpoints import HostLike, PortLike, ip_address, listening_addresses, listening_port
from uinet.errors import BadSocket, InvalidArgument, NotSupported
from uinet.filters import FilterRunner, SynFilter
from uinet.hosting import DeviceHost, add_gateways, attach, owes
from uinet.link.device import Device
from uinet.readiness import check_waitable, readiness_of, ready
from uinet.sockopt import AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DGRAM, TCP_NODELAY
from uinet.stack import Stack
from uinet.wire.addresses import Any as AnyType
from uinet.wire.addresses import L2Info, VlanTag

if TYPE_CHECKING:
    from uinet.control.server import Server as ControlServer
    from uinet.ip.interface import Interface
    from uinet.socket import Socket

Vlans = int | VlanTag | Iterable[int | VlanTag] | AnyType
Endpoint = tuple[Any, int]


class Host(DeviceHost):
    """One stack on the running event loop; ``async with`` closes it, its connections and its devices.

    `stack`: an existing one, else one is made from `seed` (bytes; fresh ones if None). `driven`: somebody
    else moves the stack's frames and time, a simulation; there are no devices then, and `close` leaves the
    stack alone. `linger`: seconds for which closing waits until what was written is delivered. `sim`: the
    simulated host of a driven one.
    """

    _addressing = Addressing

    def __init__(
        self,
        stack: Stack | None = None,
        *,
        seed: bytes | None = None,
        driven: bool = False,
        linger: float = 5.0,
        sim: Any = None,
    ) -> None:
        if driven and stack is None:
            raise InvalidArgument("a driven host needs the stack that somebody drives")
        super().__init__(stack, seed, linger)
        self.sim = sim
        self._watch_links(True)
        self._driven = driven
        self._loop: asyncio.AbstractEventLoop | None = None
        self._servers: set[Server] = set()
        self._keeper = Keeper()
        self._datagrams: set[DatagramTransport] = set()
        self._progress: asyncio.Event | None = None
        self._closing = False
        self._closed = False

    async def __aenter__(self) -> Host:
        self._attach()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()
        await self.wait_closed()

    def _attach(self) -> asyncio.AbstractEventLoop:
        """Belongs to the running loop from now on."""
        loop = asyncio.get_running_loop()
        if self._closing:
            raise BadSocket("the host is closed")
        if self._loop is None:
            self._loop = self._keeper.loop = loop
            if not self._driven:
                self._drive(loop, memory_of(loop))
        elif self._loop is not loop:
            raise RuntimeError("the host belongs to another event loop")
        return loop

    # devices

    async def add_device(
        self,
        device: str | Device,
        *,
        name: str | None = None,
        addresses: str | Sequence[str] = (),
        gateway: str | Sequence[str] | None = None,
        mtu: int | None = None,
        mac: str | bytes | None = None,
        cdom: int = 0,
        promiscuous: bool = False,
        answer_any: bool = False,
        probe: bool = False,
        host_name: str = "",
        address_timeout: float = 30.0,
    ) -> Interface:
        """Adds an interface whose frames `device`, an open one or a URL, carries; the host closes it.

        `addresses`: one or several of "10.7.0.2/24" and the like, "dhcp" (IPv4 by DHCP), "slaac" (IPv6 from routers),
        "link-local" (the IPv6 link-local address alone) and "auto" (DHCP and routers both, whichever is first). They
        are there when this returns; TimedOut after `address_timeout` seconds, AddressConflict if another host has one.
        `probe`: test given addresses for duplicates too before they are used. `host_name`: told to the DHCP server.
        `gateway`: next hop of a default route, or several, one of each IP version. `mtu`, `mac`: the device's own
        unless given. `promiscuous`: in domain `cdom` > 0, all frames are this interface's. `answer_any`: a promiscuous
        interface answers ARP and ND for every address. DeviceError and its kinds if the device can't be opened.
        """
        self._attach()
        if self._driver is None:
            raise NotSupported("a simulation moves this host's frames: it takes no devices")
        interface, addressing, undo = self._begin_device(
            self._driver, device, name, addresses, mtu, mac, cdom, promiscuous, answer_any, probe, host_name
        )
        try:
            if addressing.waits:
                await addressing.wait(address_timeout)
            add_gateways(self.stack, gateway)
        except BaseException:
            undo()
            raise
        return interface

    async def configure(
        self, interface: Interface, addresses: str | Sequence[str], *, timeout: float = 30.0, probe: bool = False,
        host_name: str = "",
    ) -> None:
        """Gives an interface more addresses, and returns when they are there: as the arguments of `add_device`.

        TimedOut and AddressConflict; what was set going goes on all the same.
        """
        self._attach()
        addressing = self._begin_addresses(interface, addresses, probe, host_name)
        if addressing.waits:
            await addressing.wait(timeout)

    def add_pipe(
        self,
        send: SendFunction,
        *,
        layer: int = 3,
        mtu: int = 1500,
        addresses: str | Sequence[str] = (),
        gateway: str | Sequence[str] | None = None,
        checksums: bool = True,
        name: str | None = None,
        mac: str | bytes | None = None,
        cdom: int = 0,
        promiscuous: bool = False,
        answer_any: bool = False,
    ) -> Pipe:
        """Adds an interface whose packets the program moves; see :class:`Pipe`.

        `send`: a plain or ``async`` function that takes each outbound packet (`layer` 3: from the IP header
        on; 2: Ethernet frames). `checksums`: False if the link needs none. The rest as in `add_device`.
        """
        loop = self._attach()
        if self._driver is None:
            raise NotSupported("a simulation moves this host's packets: it takes no pipes")
        pipe = Pipe(
            send, loop, layer=layer, mtu=mtu, checksums=checksums,
            name=name or f"pipe{len(self.stack.interfaces)}",
        )
        pipe.interface = attach(
            self._driver, pipe, name, addresses, gateway, None, mac, cdom, promiscuous, answer_any
        )
        return pipe

    # TCP

    async def create_server(
        self,
        protocol_factory: ProtocolFactory,
        host: HostLike | Sequence[HostLike] = None,
        port: PortLike | None = None,
        *,
        vlans: Vlans = (),
        cdom: int = 0,
        syn_filter: SynFilter | None = None,
        passive: bool = False,
        backlog: int = 128,
        fast_open: int = 0,
        start_serving: bool = True,
        ssl: SSLContext | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Server:
        """Listens, and makes a protocol for each connection.

        `host`: an IP address, several, or None for all; in a domain `cdom` > 0 the listener is promiscuous,
        and `host`, `port` and `vlans` may each be ANY. `vlans`: the VLAN stack to listen on, () is
        untagged. `syn_filter`: a plain or ``async`` function of a SYN that returns a Verdict; the latter
        defers the SYN until it returns, and one that raises rejects it. `passive`: watches the connections that
        match and sends nothing; the factory is called for each direction, the client's bytes first, and its protocols
        get a :class:`uinet.aio.PassiveTransport`. So do those of a connection that a filter answers with
        ACCEPT_PASSIVE. `fast_open`: so many connections may be served before their handshake is complete, with data
        that came in the SYN (TCP Fast Open, RFC 7413): only for protocols that take a request that comes twice.
        AddressError for a host name, AddressInUse.
        """
        return await self._create_server(
            protocol_factory, lambda: (protocol_factory(), protocol_factory()), host, port, vlans, cdom, syn_filter,
            passive, backlog, fast_open, start_serving, ssl, ssl_handshake_timeout, ssl_shutdown_timeout,
        )

    async def _create_server(
        self,
        protocol_factory: ProtocolFactory,
        pairs: PairFactory,
        host: HostLike | Sequence[HostLike],
        port: PortLike | None,
        vlans: Vlans,
        cdom: int,
        syn_filter: SynFilter | None,
        passive: bool,
        backlog: int,
        fast_open: int,
        start_serving: bool,
        ssl: SSLContext | None,
        ssl_handshake_timeout: float | None,
        ssl_shutdown_timeout: float | None,
    ) -> Server:
        loop = self._attach()
        if ssl is not None and passive:
            raise InvalidArgument("a watched connection has its own TLS, which nobody here can read")
        if ssl is not None:
            tls = Tls(ssl, True, None, ssl_handshake_timeout, ssl_shutdown_timeout)
            protocol_factory = tls.factory(loop, protocol_factory)
        promiscuous = cdom > 0
        hosts, number = listening_addresses(host), listening_port(port, promiscuous)
        runner = None if syn_filter is None else FilterRunner(syn_filter, tasks_of(loop), self.stack)

        def listen() -> list[Socket]:
            sockets: list[Socket] = []
            try:
                for address in hosts:
                    sockets.append(  # noqa: PERF401 - those that exist are closed if one fails
                        self.stack.listen(
                            (address, number), backlog=backlog, vlans=vlans, cdom=cdom,
                            promiscuous=promiscuous, syn_filter=runner, passive=passive, fast_open=fast_open,
                        )
                    )
            except BaseException:
                for sock in sockets:
                    sock.close()
                raise
            for sock in sockets:
                sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, True)  # for its connections, as asyncio does
            return sockets

        server = Server(loop, protocol_factory, listen, self._keeper, runner, self._servers.discard, pairs)
        if start_serving:
            server.begin()
        self._servers.add(server)
        return server

    async def start_server(
        self,
        handler: streams.StreamHandler | WatchHandler,
        host: HostLike | Sequence[HostLike] = None,
        port: PortLike | None = None,
        *,
        vlans: Vlans = (),
        cdom: int = 0,
        syn_filter: SynFilter | None = None,
        passive: bool = False,
        backlog: int = 128,
        fast_open: int = 0,
        limit: int = streams.LIMIT,
        start_serving: bool = True,
        ssl: SSLContext | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Server:
        """Listens, and runs ``handler(reader, writer)`` for each connection; otherwise as `create_server`.

        A handler that raises resets its connection, and the error is logged. `limit`: of the reader's buffer.
        `passive`: the handler is called as ``handler(reader, peer)``, both :class:`uinet.aio.WatchedReader`: what the
        client sent, and what the server did. Both are closed when it returns.
        """
        loop = self._attach()
        pairs: PairFactory
        if passive:
            pairs = WatchedPairs(cast(WatchHandler, handler), loop, limit)
            factory: ProtocolFactory = asyncio.Protocol
        else:
            factory = made = streams.protocol_factory(cast(streams.StreamHandler, handler), loop, limit)
            pairs = lambda: (made(), made())  # noqa: E731 - of connections that a filter has watched
        return await self._create_server(
            factory, pairs, host, port, vlans, cdom, syn_filter, passive, backlog, fast_open, start_serving, ssl,
            ssl_handshake_timeout, ssl_shutdown_timeout,
        )

    async def create_connection(
        self,
        protocol_factory: ProtocolFactory,
        host: str | bytes | Any,
        port: int,
        *,
        source: Endpoint | None = None,
        l2: L2Info | None = None,
        cdom: int = 0,
        fast_open: bytes | None = None,
        ssl: SSLContext | bool | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connects, and returns (transport, protocol).

        `source`: (address, port) to connect from; with `l2` and `cdom` > 0 anybody's, promiscuously. `fast_open`:
        the first bytes to send, which go in the SYN if the peer has given a Fast Open cookie before (RFC 7413); a SYN
        may arrive twice, so they should do no harm if they do. Not with `ssl`. AddressError for a host name;
        ConnectionRefused, TimedOut and what else may become of an attempt.
        """
        loop = self._attach()
        address = ip_address(host)
        if ssl and fast_open is not None:
            raise InvalidArgument("fast_open sends bytes before the TLS handshake: not with ssl")
        sock = self.stack.connect((address, port), source=source, l2=l2, cdom=cdom, fast_open=fast_open)
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, True)  # as asyncio does for every connection
        await connected(loop, sock)
        return await self.adopt(
            sock, protocol_factory, ssl=ssl, server_hostname=server_hostname or str(address),
            ssl_handshake_timeout=ssl_handshake_timeout, ssl_shutdown_timeout=ssl_shutdown_timeout,
        )

    async def adopt(
        self,
        sock: Socket,
        protocol_factory: ProtocolFactory,
        *,
        ssl: SSLContext | bool | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Makes a transport of a connected socket of this stack; (transport, protocol). It is reset on errors."""
        loop = self._attach()
        try:
            protocol = protocol_factory()
        except BaseException:
            sock.abort()
            raise
        if not ssl:
            transport = self._keeper.adopt(sock, protocol, None)
            transport.start()
            return transport, protocol
        tls = Tls(ssl, False, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
        waiter: asyncio.Future[Any] = loop.create_future()
        secured = tls.protocol(loop, protocol, waiter)
        transport = self._keeper.adopt(sock, secured, None)
        transport.start()
        try:
            await waiter
        except BaseException:
            transport.abort()
            raise
        return app_transport(secured), protocol

    async def open_connection(
        self,
        host: str | bytes | Any,
        port: int,
        *,
        source: Endpoint | None = None,
        l2: L2Info | None = None,
        cdom: int = 0,
        fast_open: bytes | None = None,
        limit: int = streams.LIMIT,
        ssl: SSLContext | bool | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connects, and returns (reader, writer); otherwise as `create_connection`."""
        loop = self._attach()
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await self.create_connection(
            lambda: protocol, host, port, source=source, l2=l2, cdom=cdom, fast_open=fast_open, ssl=ssl,
            server_hostname=server_hostname, ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    # UDP, ICMP

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], asyncio.DatagramProtocol],
        local_addr: Endpoint | None = None,
        remote_addr: Endpoint | None = None,
    ) -> tuple[DatagramTransport, asyncio.DatagramProtocol]:
        """A UDP socket bound to `local_addr`, connected to `remote_addr`, or both: (IP address, port)."""
        loop = self._attach()
        local = None if local_addr is None else (ip_address(local_addr[0]), local_addr[1])
        remote = None if remote_addr is None else (ip_address(remote_addr[0]), remote_addr[1])
        either = local or remote
        if either is None:
            raise InvalidArgument("a datagram endpoint needs a local or a remote address")
        sock = self.stack.socket(AF_INET if either[0].version == 4 else AF_INET6, SOCK_DGRAM)
        try:
            if local is not None:
                sock.bind(local)
            if remote is not None:
                sock.connect(remote)
            protocol = protocol_factory()
        except BaseException:
            sock.close()
            raise
        transport = DatagramTransport(loop, sock, protocol, remote, self._datagrams.discard)
        self._datagrams.add(transport)
        transport.start()
        return transport, protocol

    async def ping(
        self, host: str | bytes | Any, count: int = 1, timeout: float = 1.0, *, interval: float = 1.0,
        payload: bytes = bytes(56),
    ) -> list[float | None]:
        """Sends `count` ICMP echo requests, `interval` seconds apart; the round trip of each in seconds.

        None stands for a request that is not answered within `timeout` seconds.
        """
        return await ping(self.stack, self._attach(), ip_address(host), count, timeout, interval, payload)

    async def wait(self, sock: Socket, events: int) -> int:
        """Waits until one of `events` (EV_READABLE, EV_WRITABLE, EV_ACCEPT, EV_CONNECTED) is so of a socket of
        `host.stack`; which. EV_ERROR or EV_CLOSED besides, or instead, if there is nothing more to wait for.

        InvalidArgument for a socket whose events something else takes, a transport say.
        """
        loop = self._attach()
        check_waitable(events)
        readiness = readiness_of(sock)
        while not (now := ready(sock, events)):
            waiter: asyncio.Future[None] = loop.create_future()
            wake = partial(_resolve, waiter)
            readiness.add(sock, events, wake)
            try:
                await waiter
            finally:
                readiness.discard(wake)
        return now

    # the host itself

    def control(self, path: str | None) -> ControlServer:
        """Opens a control socket at `path` (Unix, mode 0600) for ``uinet stat``, ``sysctl`` and ``top``; it is closed
        with the host. See `Stack.control`."""
        self._attach()
        server: ControlServer = self.stack.control(path)
        return server

    def stats(self) -> dict[str, Any]:
        """Counters that are not zero: "stack" of all, "interfaces" and "devices" by interface name, and the
        numbers of open "connections", "servers" and "datagram_endpoints"."""
        return {
            **super().stats(),
            "connections": len(self._keeper.transports),
            "servers": len(self._servers),
            "datagram_endpoints": len(self._datagrams),
        }

    def close(self) -> None:
        """Closes all servers and connections: what was written is still sent; see `wait_closed`."""
        self._closing = True
        for server in list(self._servers):
            server.close()
        for transport in list(self._keeper.transports):
            transport.close()
        for datagram in list(self._datagrams):
            datagram.close()

    def abort(self) -> None:
        """Closes all servers and resets all connections; what was written may be lost, nothing is waited for."""
        self.linger = 0.0
        for transport in list(self._keeper.transports):
            transport.abort()
        self.close()

    async def wait_closed(self) -> None:
        """Closes the host if `close` has not, and waits until what was written before is delivered, at most for
        `linger` seconds; what still owes something then is reset. Then the devices are closed.
        """
        loop = asyncio.get_running_loop()
        self.close()
        if self._closed:
            return
        self._closed = True
        self._watch_links(False)
        self._progress = asyncio.Event()
        self._keeper.on_left = self._progressed
        if self._driver is not None:
            self._driver.on_progress = self._progressed
        end = loop.time() + self.linger
        while self._owes():
            self._progress.clear()
            try:
                await asyncio.wait_for(self._progress.wait(), end - loop.time())
            except TimeoutError:
                break
        self.abort()
        await asyncio.sleep(0)  # connection_lost of those that were reset
        if self._driver is not None:
            self._driver.flush()
            await self._drain_pipes(max(0.1, end - loop.time()))
            self._driver.close()
            self.stack.close()

    def _owes(self) -> bool:
        """Whether something that was written, or a FIN, has not been delivered yet."""
        if self._keeper.transports or self._datagrams:
            return True
        if self._driver is None:
            return False
        return owes(self._driver)

    def _progressed(self) -> None:
        if self._progress is not None:
            self._progress.set()

    async def _drain_pipes(self, timeout: float) -> None:
        """Gives slow ``async`` senders the time to take the last packets."""
        assert self._driver is not None
        pipes = [pump.device for pump in self._driver.pumps if isinstance(pump.device, Pipe)]
        waiting = [asyncio.ensure_future(pipe.wait_sent()) for pipe in pipes]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=timeout)
            for task in late:
                task.cancel()


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
