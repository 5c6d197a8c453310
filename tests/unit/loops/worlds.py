"""The event systems that the program runs on, each in its own words."""

from __future__ import annotations

import asyncio
import heapq
import inspect
import itertools
import selectors
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
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
from tests.unit.loops.program import Handler, Work
from uinet.errors import Error, WouldBlock
from uinet.link.device import Device
from uinet.readiness import readiness_of, ready

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


# no event loop at all: drivers, and as many tasks as the program has


class Wait:
    """What a task of `Scheduler` waits for: a socket's events, or nothing but time."""

    def __init__(self, sock: uinet.Socket | None, events: int, until: int | None = None) -> None:
        self.sock, self.events, self.until = sock, events, until

    def __await__(self) -> Generator[Wait, None, None]:
        yield self


class Task:
    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self.work = work
        self.deadlines: list[int] = []
        self.done = False
        self.error: BaseException | None = None
        self.turn = 0  # grows whenever it goes on: what was to wake it before does not any more


class Scheduler:
    """Runs coroutines over drivers: `run_once` of each in turn, until a task can go on."""

    def __init__(self) -> None:
        self.drivers: list[uinet.Driver] = []
        self.ready: deque[tuple[Task, int, type[Exception] | None]] = deque()
        self.timers: list[tuple[int, int, Task, int, type[Exception] | None]] = []
        self.numbers = itertools.count()
        self.current: Task | None = None

    def now(self) -> int:
        return self.drivers[0].clock()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> Task:
        task = Task(work)
        self.ready.append((task, 0, None))
        return task

    def run(self, task: Task) -> None:
        while not task.done:
            if not self.ready:
                self.turn()
            while self.ready:
                self.step(*self.ready.popleft())
        if task.error is not None:
            raise task.error

    def turn(self) -> None:
        for driver in self.drivers:
            driver.run_once(0.0005)
        self.expire()

    def expire(self) -> None:
        while self.timers and self.timers[0][0] <= self.now():
            _, _, task, turn, error = heapq.heappop(self.timers)
            self.ready.append((task, turn, error))

    def step(self, task: Task, turn: int, error: type[Exception] | None) -> None:
        if task.done or turn != task.turn:
            return
        task.turn += 1
        self.current = task
        try:
            wait = task.work.throw(error()) if error is not None else task.work.send(None)
        except StopIteration:
            task.done = True
            return
        except BaseException as raised:
            task.done, task.error = True, raised
            return
        self.arrange(task, wait)

    def arrange(self, task: Task, wait: Wait) -> None:
        turn = task.turn
        if wait.sock is not None:
            readiness_of(wait.sock).add(wait.sock, wait.events, lambda: self.ready.append((task, turn, None)))
        if wait.until is not None:
            heapq.heappush(self.timers, (wait.until, next(self.numbers), task, turn, None))
        if task.deadlines:
            heapq.heappush(self.timers, (min(task.deadlines), next(self.numbers), task, turn, TimeoutError))


async def retried(sock: uinet.Socket, call: Callable[[], Any], events: int) -> Any:
    while True:
        try:
            return call()
        except WouldBlock:
            await Wait(sock, events)


class DriverConnection:
    def __init__(self, sock: uinet.Socket) -> None:
        self.sock = sock

    async def send(self, data: bytes) -> None:
        while data:
            data = data[await retried(self.sock, lambda: self.sock.send(data), uinet.EV_WRITABLE) :]  # noqa: B023

    async def recv(self, limit: int) -> bytes:
        data: bytes = await retried(self.sock, lambda: self.sock.recv(limit), uinet.EV_READABLE)
        return data

    async def send_eof(self) -> None:
        self.sock.shutdown(uinet.SHUT_WR)

    async def close(self) -> None:
        self.sock.close()

    def abort(self) -> None:
        self.sock.abort()


class DriverUdp:
    def __init__(self, sock: uinet.Socket) -> None:
        self.sock = sock

    async def send(self, data: bytes, address: tuple[Any, int]) -> None:
        self.sock.sendto(data, address)

    async def recv(self) -> tuple[bytes, Any]:
        received: tuple[bytes, Any] = await retried(
            self.sock, lambda: self.sock.recvfrom(65535), uinet.EV_READABLE
        )
        return received

    async def close(self) -> None:
        self.sock.close()


class DriverHost:
    def __init__(self, device: Device, addresses: tuple[str, ...]) -> None:
        self.stack = uinet.Stack(seed=device.name.encode())
        self.driver = uinet.Driver(self.stack)
        interface = self.stack.add_interface("u0", mac=device.mac, mtu=device.mtu)
        for address in addresses:
            interface.add_address(address)
        self.driver.add_device(device, interface)


class PlainDriver:
    name = "driver"
    scheduling: type[Scheduler] = Scheduler

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.scheduler = self.scheduling()
        self.scheduler.run(self.scheduler.spawn(main()))

    @asynccontextmanager
    async def host(self, device: Device, *addresses: str) -> AsyncIterator[DriverHost]:
        host = DriverHost(device, addresses)
        self.scheduler.drivers.append(host.driver)
        yield host
        host.driver.close()

    async def connect(self, host: DriverHost, address: str, port: int) -> DriverConnection:
        sock = host.stack.connect((address, port))
        try:
            while not ready(sock, uinet.EV_CONNECTED):
                await Wait(sock, uinet.EV_CONNECTED)
        except BaseException:
            sock.abort()
            raise
        if sock.error is not None:
            raise sock.error
        return DriverConnection(sock)

    async def listen(
        self, host: DriverHost, address: str, port: int, handler: Handler
    ) -> Callable[[], Awaitable[Any]]:
        listener = host.stack.listen((address, port))

        async def serve() -> None:
            while not listener.closed:
                try:
                    accepted = await retried(listener, listener.accept, uinet.EV_ACCEPT)
                except Error:
                    return
                self.scheduler.spawn(handler(DriverConnection(accepted)))  # type: ignore[arg-type]

        self.scheduler.spawn(serve())

        async def close() -> None:
            listener.close()

        return close

    async def udp(self, host: DriverHost, address: str, port: int) -> DriverUdp:
        sock = host.stack.socket(uinet.AF_INET, uinet.SOCK_DGRAM)
        sock.bind((address, port))
        return DriverUdp(sock)

    async def ping(self, host: DriverHost, address: str) -> float | None:
        times: list[int] = []
        pinger = host.stack.ping(address, on_reply=lambda pinger, sequence, rtt: times.append(rtt))
        pinger.send()
        for _ in range(5000):
            if times:
                break
            await self.sleep(0.001)
        pinger.close()
        return times[0] / 1e9 if times else None

    async def sleep(self, seconds: float) -> None:
        await Wait(None, 0, self.scheduler.now() + int(seconds * 1e9))

    async def within(self, seconds: float, work: Work) -> Any:
        task = self.scheduler.current
        assert task is not None
        deadline = self.scheduler.now() + int(seconds * 1e9)
        task.deadlines.append(deadline)
        try:
            return await work()
        finally:
            task.deadlines.remove(deadline)

    async def together(self, *works: Work) -> None:
        tasks = []
        for work in works:
            coroutine = work()
            assert inspect.iscoroutine(coroutine)
            tasks.append(self.scheduler.spawn(coroutine))
        while not all(task.done for task in tasks):
            await self.sleep(0.001)
        for task in tasks:
            if task.error is not None:
                raise task.error


class SelectorScheduler(Scheduler):
    """Waits in a selector of its own for what the drivers say, as any event loop could."""

    def __init__(self) -> None:
        super().__init__()
        self.selector = selectors.DefaultSelector()
        self.watched: dict[int, int] = {}

    def turn(self) -> None:
        wanted = {fd: events for driver in self.drivers for fd, events in driver.descriptors().items()}
        for fd in self.watched.keys() - wanted.keys():
            self.selector.unregister(fd)
        for fd, events in wanted.items():
            if fd not in self.watched:
                self.selector.register(fd, events)
            elif events != self.watched[fd]:
                self.selector.modify(fd, events)
        self.watched = wanted
        deadlines = [deadline for driver in self.drivers if (deadline := driver.deadline()) is not None]
        if self.timers:
            deadlines.append(self.timers[0][0])
        now = self.now()
        self.selector.select(max(0, min(deadlines, default=now + 10**9) - now) / 1e9)
        for driver in self.drivers:
            driver.run_once(0)
        self.expire()


class Selectors(PlainDriver):
    name = "selectors"
    scheduling = SelectorScheduler


WORLDS = (Asyncio, Uvloop, Trio, Anyio, AnyioOnTrio, Gevent, PlainDriver, Selectors)
