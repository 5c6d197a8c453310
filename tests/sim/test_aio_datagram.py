"""UDP of asyncio programs, on simulated networks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.sim.programs import pattern
from tests.sim.worlds import CLIENT, SERVER, Complaints, World, run
from uinet.errors import AddressError, AddressInUse, InvalidArgument


class Recorder(asyncio.DatagramProtocol):
    def __init__(self, answer: bool = False) -> None:
        self.answer = answer
        self.received: list[tuple[bytes, Any]] = []
        self.errors: list[Exception] = []
        self.calls: list[str] = []
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("made")
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if data == b"fail":
            raise ZeroDivisionError("a protocol's mistake")
        self.received.append((data, addr))
        if self.answer:
            self.transport.sendto(data.upper(), addr)

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")


def test_question_and_answer() -> None:
    async def program(world: World) -> None:
        _, server = await world.server.create_datagram_endpoint(lambda: Recorder(True), (SERVER, 53))
        transport, client = await world.client.create_datagram_endpoint(Recorder, remote_addr=(SERVER, 53))
        assert isinstance(client, Recorder)
        assert isinstance(server, Recorder)
        transport.sendto(b"question")
        await asyncio.sleep(0.1)
        port = transport.get_extra_info("sockname")[1]
        assert server.received == [(b"question", (CLIENT, port))]
        assert client.received == [(b"QUESTION", (SERVER, 53))]
        assert transport.get_extra_info("peername") == (SERVER, 53)
        with pytest.raises(ValueError, match="Invalid address"):
            transport.sendto(b"x", ("10.0.0.3", 53))
        transport.close()
        assert transport.is_closing()
        await asyncio.sleep(0)
        assert client.calls == ["made", "lost"]
        assert world.client.stats()["datagram_endpoints"] == 0

    run(program)


def test_an_unconnected_endpoint_talks_to_everybody() -> None:
    async def program(world: World) -> None:
        for port in (1001, 1002):
            await world.server.create_datagram_endpoint(lambda: Recorder(True), (SERVER, port))
        transport, client = await world.client.create_datagram_endpoint(Recorder, (CLIENT, 0))
        assert isinstance(client, Recorder)
        for port in (1001, 1002):
            transport.sendto(f"to {port}".encode(), (SERVER, port))
        await asyncio.sleep(0.1)
        assert sorted(client.received) == [(b"TO 1001", (SERVER, 1001)), (b"TO 1002", (SERVER, 1002))]

    run(program)


def test_large_datagrams_are_fragmented_and_whole_again() -> None:
    async def program(world: World) -> None:
        _, server = await world.server.create_datagram_endpoint(Recorder, (SERVER, 53))
        transport, _ = await world.client.create_datagram_endpoint(Recorder, remote_addr=(SERVER, 53))
        assert isinstance(server, Recorder)
        await world.client.ping(SERVER)  # or most fragments would be dropped for want of the server's MAC
        transport.sendto(pattern(20_000))
        await asyncio.sleep(1)
        assert [data for data, _ in server.received] == [pattern(20_000)]

    run(program)


def test_nobody_listens() -> None:
    async def program(world: World) -> None:
        transport, client = await world.client.create_datagram_endpoint(Recorder, remote_addr=(SERVER, 54))
        assert isinstance(client, Recorder)
        transport.sendto(b"anybody?")
        await asyncio.sleep(0.1)
        assert [type(error).__mro__[2] for error in client.errors] == [ConnectionRefusedError]
        transport.sendto(b"nobody")
        transport.close()

    run(program)


def test_a_protocol_that_fails_on_one_datagram_gets_the_next() -> None:
    async def program(world: World) -> None:
        complaints = Complaints()
        _, server = await world.server.create_datagram_endpoint(Recorder, (SERVER, 53))
        transport, _ = await world.client.create_datagram_endpoint(Recorder, remote_addr=(SERVER, 53))
        assert isinstance(server, Recorder)
        for data in (b"one", b"fail", b"two"):
            transport.sendto(data)
        await asyncio.sleep(0.1)
        assert [data for data, _ in server.received] == [b"one", b"two"]
        assert complaints.messages == ["protocol.datagram_received() failed"]

    run(program)


def test_arguments_that_make_no_sense() -> None:
    async def program(world: World) -> None:
        with pytest.raises(InvalidArgument, match="local or a remote"):
            await world.client.create_datagram_endpoint(Recorder)
        with pytest.raises(AddressError, match="name"):
            await world.client.create_datagram_endpoint(Recorder, remote_addr=("dns.example", 53))
        await world.client.create_datagram_endpoint(Recorder, (CLIENT, 53))
        with pytest.raises(AddressInUse):
            await world.client.create_datagram_endpoint(Recorder, (CLIENT, 53))
        transport, _ = await world.client.create_datagram_endpoint(Recorder, (CLIENT, 54))
        with pytest.raises(TypeError, match="bytes-like"):
            transport.sendto("text", (SERVER, 1))  # type: ignore[arg-type]
        transport.abort()
        transport.sendto(b"too late", (SERVER, 1))

    run(program)
