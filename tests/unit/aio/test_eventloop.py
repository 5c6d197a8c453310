"""`uinet.aio.run` and event loops over a stack, on the platform's loops."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import pytest
import uvloop

from uinet import Host, aio
from uinet.link.memory import MemoryDevice

BASES = [asyncio.SelectorEventLoop, uvloop.Loop]


async def setup(host: Host) -> None:
    near, _ = MemoryDevice.pair()
    await host.add_device(near, addresses=["10.0.0.1/24"])


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.mark.parametrize("base", BASES)
def test_a_program_that_knows_nothing_runs_on_the_stack(base: type[asyncio.AbstractEventLoop]) -> None:
    host = Host()

    async def main() -> int:
        server = await asyncio.start_server(echo, "10.0.0.1", 7)
        reader, writer = await asyncio.open_connection("echo.example", 7)
        writer.write(bytes(100_000))
        assert await reader.readexactly(100_000) == bytes(100_000)
        writer.close()
        await writer.wait_closed()
        server.close()
        assert host.stats()["stack"]["tcp_connected"] == 1
        return 42

    assert aio.run(main(), host=host, setup=setup, base=base, hosts={"echo.example": "10.0.0.1"}) == 42


@pytest.mark.parametrize("base", BASES)
def test_the_rest_is_the_platforms(base: type[asyncio.AbstractEventLoop], tmp_path: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print('hello')", stdout=-1)
        assert (await process.communicate())[0] == b"hello\n"
        path = str(tmp_path / "socket")
        server = await asyncio.start_unix_server(echo, path)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()
        server.close()
        assert await asyncio.to_thread(lambda: 41) == 41
        one, two = socket.socketpair()
        with one, two:
            one.setblocking(False)
            two.setblocking(False)
            await loop.sock_sendall(one, b"ab")
            assert await loop.sock_recv(two, 1) == b"a"
            assert await loop.sock_recv_into(two, bytearray(1)) == 1

    aio.run(main(), base=base)


def test_errors_come_through_and_the_host_is_closed() -> None:
    host = Host()

    async def main() -> None:
        raise ZeroDivisionError

    async def no_setup(host: Host) -> None:
        raise LookupError("no device")

    with pytest.raises(ZeroDivisionError):
        aio.run(main(), host=host, setup=setup)
    with pytest.raises(OSError, match="the host is closed"):
        aio.run(main(), host=host)
    with pytest.raises(LookupError):
        aio.run(main(), setup=no_setup)


def test_a_loop_of_ones_own() -> None:
    host = Host()

    async def main() -> None:
        async with host:
            await setup(host)
            server = await asyncio.start_server(echo, "10.0.0.1", 7)
            _, writer = await asyncio.open_connection("10.0.0.1", 7)
            writer.close()
            server.close()

    with asyncio.Runner(loop_factory=lambda: aio.EventLoop(host)) as runner:
        runner.run(main())
    host_again = aio.loop_class(uvloop.Loop)()
    host_again.close()


def test_sendfile_is_left_to_the_program() -> None:
    async def main() -> None:
        await asyncio.start_server(echo, "10.0.0.1", 7)
        _, writer = await asyncio.open_connection("10.0.0.1", 7)
        with open(__file__, "rb") as file, pytest.raises(NotImplementedError):
            await asyncio.get_running_loop().sendfile(writer.transport, file)
        writer.close()

    aio.run(main(), setup=setup)
