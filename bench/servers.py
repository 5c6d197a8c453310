"""The servers that the benchmarks of rates measure: ``python -m bench.servers STACK KIND LOOP``.

STACK: ``uinet`` (over the TAP ``bench0``, which is made) or ``kernel``. KIND: ``echo`` and ``http`` are asyncio
protocols, ``aiohttp`` is what its name says, ``engine`` (uinet only) echoes in the engine, without an event loop, and
``proxy`` (uinet only) is the transparent proxy between the interfaces ``m0`` and ``m1``.
LOOP: ``asyncio`` or ``uvloop``. A last argument ``busy``: the TAP is polled for 100 us after a frame. Prints
``{"ready": true}`` and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uinet
from uinet.driver import Driver

OWN = "10.9.0.2"
DEVICE = "tap:bench0?ip=10.9.0.1/24"
PORT = 80
BACKLOG = 4096
BODY = b"Hello, world!"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Http(asyncio.Protocol):
    """The least of an HTTP server: finds the end of each request, answers the same to all, keeps the connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        data = self.rest + data
        *requests, self.rest = data.split(b"\r\n\r\n")
        for request in requests:
            if not request.startswith(b"GET /"):
                self.transport.close()
                return
            self.transport.write(RESPONSE)


PROTOCOLS: dict[str, Callable[[], asyncio.Protocol]] = {"echo": Echo, "http": Http}


async def serve(kind: str) -> None:
    """Serves on the running loop, whatever its network is."""
    loop = asyncio.get_running_loop()
    if kind == "aiohttp":
        await aiohttp_server()
    else:
        await loop.create_server(PROTOCOLS[kind], OWN, PORT, backlog=BACKLOG)
    print(json.dumps({"ready": True}), flush=True)
    await loop.create_future()


async def aiohttp_server() -> None:
    from aiohttp import web

    async def hello(request: web.Request) -> web.Response:
        return web.Response(body=BODY)

    application = web.Application()
    application.router.add_get("/", hello)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, OWN, PORT, backlog=BACKLOG).start()


def device_url() -> str:
    """The TAP, with busy polling if that is asked for."""
    return DEVICE + ("&busy_poll=100us" if "busy" in sys.argv[4:] else "")


async def add_tap(host: uinet.Host) -> None:
    await host.add_device(device_url(), addresses=[f"{OWN}/24"])


def engine() -> None:
    """An echo that is nothing but the engine, on a poll loop."""
    stack = uinet.Stack(b"bench")
    device = uinet.open_device(device_url())
    interface = stack.add_interface("bench0", mtu=device.mtu)
    interface.add_address(f"{OWN}/24")
    listener = stack.listen((OWN, PORT), backlog=BACKLOG)

    def accept(sock: Any, events: int) -> None:
        while sock.readable:
            connection = sock.accept()
            uinet.splice(connection, connection)

    listener.on_event = accept
    with Driver(stack) as driver:
        driver.add_device(device, interface)
        print(json.dumps({"ready": True}), flush=True)
        while True:
            driver.run_once()


async def proxy() -> None:
    """The transparent proxy, until it is killed."""
    from uinet.proxy.runner import Options, Runner

    async with Runner("packet:m0", "packet:m1", Options()) as runner:
        await runner.run()


def loop_of(name: str) -> type[asyncio.AbstractEventLoop]:
    if name == "uvloop":
        import uvloop

        return uvloop.Loop  # type: ignore[no-any-return]
    return asyncio.SelectorEventLoop


def main() -> None:
    stack, kind, loop = sys.argv[1:4]
    if kind == "engine":
        engine()
    elif kind == "proxy":
        with asyncio.Runner(loop_factory=loop_of(loop)) as runner:
            runner.run(proxy())
    elif stack == "uinet":
        setup: Callable[[uinet.Host], Awaitable[None]] = add_tap
        uinet.aio.run(serve(kind), setup=setup, base=loop_of(loop))
    else:
        with asyncio.Runner(loop_factory=loop_of(loop)) as runner:
            runner.run(serve(kind))


if __name__ == "__main__":
    main()
