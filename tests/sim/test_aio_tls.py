"""TLS over stacks in a simulation, with asyncio's own implementation of it."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from tests.sim.certificate import client_context, server_context
from tests.sim.programs import pattern, sha
from tests.sim.worlds import SERVER, Complaints, World, echo, run
from uinet.aio.tls import Tls, start_tls
from uinet.errors import InvalidArgument


@pytest.mark.parametrize("name", [None, "server.example"])
def test_streams_over_tls(name: str | None) -> None:
    async def program(world: World) -> None:
        await world.server.start_server(echo, SERVER, 443, ssl=server_context())
        reader, writer = await world.client.open_connection(SERVER, 443, ssl=client_context(), server_hostname=name)
        assert writer.get_extra_info("peername") == (SERVER, 443)
        assert writer.get_extra_info("cipher")

        async def send() -> None:
            for start in range(0, 500_000, 50_000):
                writer.write(pattern(500_000)[start : start + 50_000])
                await writer.drain()

        sending = asyncio.create_task(send())
        assert sha(await reader.readexactly(500_000)) == sha(pattern(500_000))
        await sending
        writer.close()
        await writer.wait_closed()

    run(program, rate=50e6, loss=0.01)


def test_a_certificate_of_somebody_else_is_refused() -> None:
    async def program(world: World) -> None:
        complaints = Complaints()
        await world.server.start_server(echo, SERVER, 443, ssl=server_context())
        with pytest.raises(ssl.SSLCertVerificationError):
            await world.client.open_connection(SERVER, 443, ssl=client_context(), server_hostname="other.example")
        with pytest.raises(ssl.SSLCertVerificationError):
            await world.client.open_connection(SERVER, 443, ssl=True)
        await asyncio.sleep(1)
        assert world.client.stats()["connections"] == world.server.stats()["connections"] == 0
        assert all("SSL" in message for message in complaints.messages)

    run(program)


def test_a_server_without_a_certificate_is_a_mistake() -> None:
    async def program(world: World) -> None:
        with pytest.raises(InvalidArgument, match="certificate"):
            await world.server.start_server(echo, SERVER, 443, ssl=True)  # type: ignore[arg-type]

    run(program)


def test_a_handshake_with_nobody_times_out() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def program(world: World) -> None:
        await world.server.start_server(silent, SERVER, 443)
        with pytest.raises(ConnectionAbortedError):
            await world.client.open_connection(SERVER, 443, ssl=client_context(), ssl_handshake_timeout=3)
        assert asyncio.get_running_loop().time() < 6

    run(program)


def test_a_peer_that_leaves_in_the_middle_of_the_handshake() -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        while not reader._buffer:  # type: ignore[attr-defined]
            await asyncio.sleep(0.001)
        await reader.read(65536)
        writer.close()

    async def program(world: World) -> None:
        await world.server.start_server(leave, SERVER, 443)
        with pytest.raises(ConnectionResetError):
            await world.client.open_connection(SERVER, 443, ssl=client_context())

    run(program)


def test_an_open_connection_can_be_secured() -> None:
    class Collector(asyncio.Protocol):
        def __init__(self) -> None:
            self.data = bytearray()
            self.enough: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def data_received(self, data: bytes) -> None:
            self.data += data
            if len(self.data) >= 5 and not self.enough.done():
                self.enough.set_result(None)

    async def program(world: World) -> None:
        loop = asyncio.get_running_loop()

        async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readline() == b"STARTTLS\n"
            writer.write(b"OK\n")
            await writer.start_tls(server_context())
            assert await reader.readline() == b"hello\n"
            writer.write(b"world")
            await writer.drain()
            writer.close()

        await world.server.start_server(upgrade, SERVER, 25)
        reader, writer = await world.client.open_connection(SERVER, 25)
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"OK\n"
        collector = Collector()
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        secure = await start_tls(loop, transport, collector, Tls(client_context(), False, "server.example"))
        secure.write(b"hello\n")
        await collector.enough
        assert bytes(collector.data) == b"world"
        secure.close()
        writer.close()

    run(program)
