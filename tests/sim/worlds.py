"""Two asyncio hosts in a simulation, and what tests of programs on them need."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from uinet.aio import Host
from uinet.sim.link import Link
from uinet.sim.network import Network

T = TypeVar("T")

CLIENT = "10.0.0.1"
SERVER = "10.0.0.2"


class World:
    """`client` and `server`, joined by `link`."""

    def __init__(self, net: Network, client: Host, server: Host, link: Link) -> None:
        self.net = net
        self.client = client
        self.server = server
        self.link = link


def run(
    program: Callable[[World], Awaitable[T]], *, seed: int = 7, hosts: dict[str, Any] | None = None, **conditions: Any
) -> T:
    """Runs ``program(world)`` on virtual time and returns its result; a link of 5 ms unless told otherwise.

    Whatever the loop is told of (an exception that nobody took) fails the test, unless the program takes
    `world.complaints`.
    """
    conditions.setdefault("delay", 0.005)
    with Network(seed=seed) as net, asyncio.Runner(loop_factory=net.asyncio) as runner:
        client = net.aio_host(f"{CLIENT}/24", **(hosts or {}))
        server = net.aio_host(f"{SERVER}/24", **(hosts or {}))
        world = World(net, client, server, net.link(client, server, **conditions))

        async def main() -> T:
            async with client, server:
                return await program(world)

        return runner.run(main())


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends back what comes, until the peer's FIN."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


class Complaints:
    """What a loop's exception handler was told."""

    def __init__(self) -> None:
        self.contexts: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.contexts.append(context))

    @property
    def messages(self) -> list[str]:
        return [context["message"] for context in self.contexts]
