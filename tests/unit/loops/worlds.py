"""The event systems that the program runs on, each in its own words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
import gevent
import trio
import uvloop

import uinet
import uinet.anyio
import uinet.gevent
import uinet.trio
from tests.unit.loops.drivers import PlainDriver, Selectors
from tests.unit.loops.program import Handler, Work
from uinet.link.device import Device

# asyncio, uvloop


class AsyncioConnection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def recv(self, limit: int) -> bytes:
        return await self.reader.read(limit)

    async def send_eof(self) -> None:
        self.writer.write_eof()

    async def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        self.writer.transport.abort()


class AsyncioUdp(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.put_nowait((data, addr))

    async def send(self, data: bytes, address: tuple[str, int]) -> None:
        self.transport.sendto(data, address)

    async def recv(self) -> tuple[bytes, tuple[str, int]]:
        return await self.received.get()

    async def close(self) -> None:
        self.transport.close()


class Asyncio:
    name = "asyncio"
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with asyncio.Runner(loop_factory=type(self).factory) as runner:
            runner.run(main())

    @asynccontextmanager
    async def host(self, device: Device, *addresses: str) -> AsyncIterator[uinet.Host]:
        async with uinet.Host(linger=1) as host:
            await host.add_device(device, addresses=addresses)
            yield host

    async def connect(self, host: uinet.Host, address: str, port: int) -> AsyncioConnection:
        return AsyncioConnection(*await host.open_connection(address, port))

    async def listen(
        self, host: uinet.Host, address: str, port: int, handler: Handler
    ) -> Callable[[], Awaitable[Any]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await handler(AsyncioConnection(reader, writer))

        server = await host.start_server(serve, address, port)

        async def close() -> None:
            server.close()

        return close

    async def udp(self, host: uinet.Host, address: str, port: int) -> AsyncioUdp:
        _, protocol = await host.create_datagram_endpoint(AsyncioUdp, (address, port))
        assert isinstance(protocol, AsyncioUdp)
        return protocol

    async def ping(self, host: uinet.Host, address: str) -> float | None:
        return (await host.ping(address, timeout=5))[0]

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def within(self, seconds: float, work: Work) -> Any:
        async with asyncio.timeout(seconds):
            return await work()

    async def together(self, *works: Work) -> None:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work())  # type: ignore[arg-type]


class Uvloop(Asyncio):
    name = "uvloop"
    factory = uvloop.new_event_loop


# trio, anyio


async def plain(work: Work, broken: type[Exception]) -> Any:
    """What `work` returns; what broke the stream is raised as it is."""
    try:
        return await work()
    except broken as error:
        assert error.__cause__ is not None
        raise error.__cause__ from None


class StreamConnection:
    """On a stream of trio's or anyio's."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    async def send_eof(self) -> None:
        await self.stream.send_eof()

    async def close(self) -> None:
        await self.stream.aclose()

    def abort(self) -> None:
        self.stream.socket.abort()


class TrioConnection(StreamConnection):
    async def send(self, data: bytes) -> None:
        await plain(lambda: self.stream.send_all(data), trio.BrokenResourceError)

    async def recv(self, limit: int) -> bytes:
        data: bytes = await plain(lambda: self.stream.receive_some(limit), trio.BrokenResourceError)
        return data


class TrioUdp:
    def __init__(self, sock: uinet.trio.DatagramSocket) -> None:
        self.send, self.recv, self.close = sock.sendto, sock.recvfrom, sock.aclose


class Trio:
    name = "trio"

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        trio.run(main)

    @asynccontextmanager
    async def host(self, device: Device, *addresses: str) -> AsyncIterator[uinet.trio.Host]:
        async with uinet.trio.Host(linger=1) as host:
            await host.add_device(device, addresses=addresses)
            async with trio.open_nursery() as self.nursery:
                yield host
                self.nursery.cancel_scope.cancel()

    async def connect(self, host: uinet.trio.Host, address: str, port: int) -> TrioConnection:
        return TrioConnection(await host.open_tcp_stream(address, port))

    async def listen(
        self, host: uinet.trio.Host, address: str, port: int, handler: Handler
    ) -> Callable[[], Awaitable[Any]]:
        async def serve(stream: uinet.trio.TcpStream) -> None:
            await handler(TrioConnection(stream))

        scope = trio.CancelScope()

        async def run(*, task_status: Any) -> None:
            with scope:
                await host.serve_tcp(serve, port, host=address, task_status=task_status)

        await self.nursery.start(run)

        async def close() -> None:
            scope.cancel()
            await trio.sleep(0)

        return close

    async def udp(self, host: uinet.trio.Host, address: str, port: int) -> TrioUdp:
        return TrioUdp(await host.open_udp_socket((address, port)))

    async def ping(self, host: uinet.trio.Host, address: str) -> float | None:
        return (await host.ping(address, timeout=5))[0]

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def within(self, seconds: float, work: Work) -> Any:
        try:
            with trio.fail_after(seconds):
                return await work()
        except trio.TooSlowError:
            raise TimeoutError from None

    async def together(self, *works: Work) -> None:
        async with trio.open_nursery() as nursery:
            for work in works:
                nursery.start_soon(work)


class AnyioConnection(StreamConnection):
    async def send(self, data: bytes) -> None:
        await plain(lambda: self.stream.send(data), anyio.BrokenResourceError)

    async def recv(self, limit: int) -> bytes:
        try:
            data: bytes = await plain(lambda: self.stream.receive(limit), anyio.BrokenResourceError)
        except anyio.EndOfStream:
            return b""
        return data


class AnyioUdp:
    def __init__(self, sock: uinet.anyio.UdpSocket) -> None:
        self.sock = sock
        self.recv, self.close = sock.receive, sock.aclose

    async def send(self, data: bytes, address: tuple[str, int]) -> None:
        await self.sock.send((data, address))


class Anyio:
    backend = "asyncio"

    @property
    def name(self) -> str:
        return f"anyio-{self.backend}"

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        anyio.run(main, backend=self.backend)

    @asynccontextmanager
    async def host(self, device: Device, *addresses: str) -> AsyncIterator[uinet.anyio.Host]:
        async with uinet.anyio.Host(linger=1) as host:
            await host.add_device(device, addresses=addresses)
            async with anyio.create_task_group() as self.group:
                yield host
                self.group.cancel_scope.cancel()

    async def connect(self, host: uinet.anyio.Host, address: str, port: int) -> AnyioConnection:
        return AnyioConnection(await host.connect_tcp(address, port))

    async def listen(
        self, host: uinet.anyio.Host, address: str, port: int, handler: Handler
    ) -> Callable[[], Awaitable[Any]]:
        async def serve(stream: uinet.anyio.TcpStream) -> None:
            async with stream:
                await handler(AnyioConnection(stream))

        listener = await host.create_tcp_listener(address, port)

        async def run() -> None:
            try:
                await listener.serve(serve)
            except* anyio.ClosedResourceError:
                pass

        self.group.start_soon(run)
        return listener.aclose

    async def udp(self, host: uinet.anyio.Host, address: str, port: int) -> AnyioUdp:
        return AnyioUdp(await host.create_udp_socket(address, port))

    async def ping(self, host: uinet.anyio.Host, address: str) -> float | None:
        return (await host.ping(address, timeout=5))[0]

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def within(self, seconds: float, work: Work) -> Any:
        with anyio.fail_after(seconds):
            return await work()

    async def together(self, *works: Work) -> None:
        async with anyio.create_task_group() as group:
            for work in works:
                group.start_soon(work)


class AnyioOnTrio(Anyio):
    backend = "trio"


# gevent: its calls block the greenlet, so these coroutines never wait


def finished(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("that waits")


class GeventConnection:
    def __init__(self, sock: uinet.gevent.Socket) -> None:
        self.sock = sock

    async def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    async def recv(self, limit: int) -> bytes:
        return self.sock.recv(limit)

    async def send_eof(self) -> None:
        self.sock.shutdown(uinet.SHUT_WR)

    async def close(self) -> None:
        self.sock.close()

    def abort(self) -> None:
        self.sock.sock.abort()


class GeventUdp:
    def __init__(self, sock: uinet.gevent.Socket) -> None:
        self.sock = sock

    async def send(self, data: bytes, address: tuple[str, int]) -> None:
        self.sock.sendto(data, address)

    async def recv(self) -> tuple[bytes, tuple[str, int]]:
        return self.sock.recvfrom(65535)

    async def close(self) -> None:
        self.sock.close()


class Gevent:
    name = "gevent"

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        finished(main())

    @asynccontextmanager
    async def host(self, device: Device, *addresses: str) -> AsyncIterator[uinet.gevent.Host]:
        with uinet.gevent.Host(linger=1) as host:
            host.add_device(device, addresses=addresses)
            yield host

    async def connect(self, host: uinet.gevent.Host, address: str, port: int) -> GeventConnection:
        return GeventConnection(host.connect((address, port)))

    async def listen(
        self, host: uinet.gevent.Host, address: str, port: int, handler: Handler
    ) -> Callable[[], Awaitable[Any]]:
        def serve(sock: uinet.gevent.Socket, peer: tuple[str, int]) -> None:
            finished(handler(GeventConnection(sock)))  # type: ignore[arg-type]

        server = uinet.gevent.StreamServer(host, (address, port), serve)
        server.start()

        async def close() -> None:
            server.stop()

        return close

    async def udp(self, host: uinet.gevent.Host, address: str, port: int) -> GeventUdp:
        return GeventUdp(host.udp_socket((address, port)))

    async def ping(self, host: uinet.gevent.Host, address: str) -> float | None:
        return host.ping(address, timeout=5)[0]

    async def sleep(self, seconds: float) -> None:
        gevent.sleep(seconds)

    async def within(self, seconds: float, work: Work) -> Any:
        with gevent.Timeout(seconds, TimeoutError()):
            return await work()

    async def together(self, *works: Work) -> None:
        gevent.joinall([gevent.spawn(finished, work()) for work in works], raise_error=True)


WORLDS = (Asyncio, Uvloop, Trio, Anyio, AnyioOnTrio, Gevent, PlainDriver, Selectors)
