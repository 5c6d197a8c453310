"""trio's own conformance tests of streams, on connections of the stack."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import (
    MockClock,
    check_half_closeable_stream,
    check_one_way_stream,
    check_two_way_stream,
)

from uinet.errors import WouldBlock
from uinet.events import EV_CONNECTED
from uinet.link.memory import MemoryDevice
from uinet.sockopt import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from uinet.trio import Host, TcpStream

Pair = tuple[TcpStream, TcpStream]
SMALL = 8192


@asynccontextmanager
async def two_hosts() -> AsyncIterator[tuple[Host, Host]]:
    """Hosts on one memory link, 10.0.0.1 and 10.0.0.2."""
    ends = MemoryDevice.pair()
    async with Host(seed=b"a", linger=0.5) as a, Host(seed=b"b", linger=0.5) as b:
        await a.add_device(ends[0], addresses="10.0.0.1/24")
        await b.add_device(ends[1], addresses="10.0.0.2/24")
        yield a, b


def makers(a: Host, b: Host) -> tuple[Callable[[], Awaitable[Pair]], Callable[[], Awaitable[Pair]]]:
    """trio's stream_maker and clogged_stream_maker."""

    async def pair() -> Pair:
        return await connected(0)

    async def connected(buffers: int) -> Pair:
        (listener,) = await b.open_tcp_listeners(0, host="10.0.0.2")
        sock = a.stack.socket()
        if buffers:
            for option in (SO_RCVBUF, SO_SNDBUF):
                listener.socket.setsockopt(SOL_SOCKET, option, buffers)
                sock.setsockopt(SOL_SOCKET, option, buffers)
        sock.connect(("10.0.0.2", listener.socket.getsockname()[1]))
        assert await a.wait(sock, EV_CONNECTED) == EV_CONNECTED
        server = await listener.accept()
        await listener.aclose()
        return a.stream(sock), server

    async def clogged() -> Pair:
        client, server = await connected(SMALL)
        for sock in (client.socket, server.socket):
            refused = 0
            while refused < 5:  # until neither buffer takes more, the probes of the closed window included
                try:
                    sock.send(bytes(4096))
                    refused = 0
                except WouldBlock:
                    refused += 1
                    await trio.sleep(60)
        return client, server

    return pair, clogged


@pytest.mark.parametrize("check", [check_one_way_stream, check_two_way_stream, check_half_closeable_stream])
def test_stream_passes_trios_checks(check: Any) -> None:
    async def main() -> None:
        async with two_hosts() as (a, b):
            await check(*makers(a, b))

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_stream_passes_trios_checks_on_the_systems_clock() -> None:
    async def main() -> None:
        async with two_hosts() as (a, b):
            pair, _ = makers(a, b)
            await check_half_closeable_stream(pair, None)

    trio.run(main)
