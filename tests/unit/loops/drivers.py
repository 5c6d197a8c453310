"""The worlds without an event loop: drivers, and as many tasks as the program has."""

from __future__ import annotations

import heapq
import inspect
import itertools
import selectors
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any

import uinet
import uinet.anyio
import uinet.gevent
import uinet.trio
from tests.unit.loops.program import Handler, Work
from uinet.errors import Error, WouldBlock
from uinet.link.device import Device
from uinet.readiness import readiness_of, ready


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
