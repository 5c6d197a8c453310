"""Hosts on trio for the tests, on virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import MockClock

from uinet import L2Info
from uinet.link.memory import MemoryDevice
from uinet.trio import Host, TcpStream

MAC_A, MAC_B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"


def run(main: Callable[[], Awaitable[Any]], clock: MockClock | None = None) -> None:
    """On virtual time, unless told otherwise."""
    trio.run(main, clock=clock or MockClock(autojump_threshold=0))


@asynccontextmanager
async def two(**options: Any) -> AsyncIterator[tuple[Host, Host]]:
    """10.0.0.1 and 10.0.0.2, joined by ``memory:cable``."""
    async with Host(seed=b"a", **options) as a, Host(seed=b"b") as b:
        await a.add_device("memory:cable", addresses=["10.0.0.1/24", "fd00::1/64"])
        await b.add_device("memory:cable", addresses=["10.0.0.2/24", "fd00::2/64"])
        yield a, b


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[TcpStream, TcpStream]]:
    async with two() as (a, b):
        (listener,) = await b.open_tcp_listeners(80)
        client = await a.open_tcp_stream("10.0.0.2", 80)
        yield client, await listener.accept()


@asynccontextmanager
async def promiscuous() -> AsyncIterator[tuple[Host, Host]]:
    ends = MemoryDevice.pair()
    async with Host(seed=b"a") as a, Host(seed=b"b") as b:
        for host, end in ((a, ends[0]), (b, ends[1])):
            await host.add_device(end, cdom=1, promiscuous=True)
        yield a, b


async def impersonate(host: Host, port: int, vlans: tuple[int, ...] = (100, 200)) -> TcpStream:
    return await host.open_tcp_stream(
        "192.0.2.1", port, source=("198.51.100.7", 999), l2=L2Info.make(MAC_A, MAC_B, vlans), cdom=1
    )
