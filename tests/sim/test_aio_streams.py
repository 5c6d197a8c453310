"""asyncio programs with stream readers and writers, on simulated networks."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.sim.programs import pattern, sha
from tests.sim.worlds import CLIENT, SERVER, World, echo, run
from uinet.errors import AddressError, AddressInUse, BadSocket, ConnectionRefused, NotSupported, TimedOut
from uinet.sockopt import SO_SNDBUF, SOL_SOCKET


async def send_all(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
    writer.write_eof()


def test_echo_on_virtual_time() -> None:
    async def program(world: World) -> None:
        await world.server.start_server(echo, SERVER, 7)
        start = asyncio.get_running_loop().time()
        reader, writer = await world.client.open_connection(SERVER, 7)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        # ARP of both sides, handshake, data and echo: four round trips of 10 ms
        assert asyncio.get_running_loop().time() - start == pytest.approx(0.030)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    run(program)


@pytest.mark.parametrize(
    "conditions",
    [
        {}, {"rate": 50e6, "loss": 0.02}, {"rate": 50e6, "reorder": 0.1}, {"rate": 50e6, "duplicate": 0.1},
        {"rate": 50e6, "corrupt": 0.02},
        {"rate": 50e6, "loss": 0.03, "reorder": 0.1, "duplicate": 0.1, "corrupt": 0.02, "queue": 64},
    ],
    ids=["perfect", "loss", "reorder", "duplicate", "corrupt", "everything"],
)
def test_a_megabyte_comes_back_whole(conditions: dict[str, Any]) -> None:
    async def program(world: World) -> str:
        await world.server.start_server(echo, SERVER, 7)
        reader, writer = await world.client.open_connection(SERVER, 7)
        sending = asyncio.create_task(send_all(writer, pattern(1_000_000)))
        received = await reader.read()
        await sending
        writer.close()
        await writer.wait_closed()
        return sha(received)

    assert run(program, **conditions) == sha(pattern(1_000_000))


def test_many_connections_at_once() -> None:
    async def program(world: World) -> None:
        await world.server.start_server(echo, SERVER, 7)

        async def one(number: int) -> None:
            reader, writer = await world.client.open_connection(SERVER, 7)
            await send_all(writer, pattern(5000, number))
            assert await reader.read() == pattern(5000, number)
            writer.close()
            await writer.wait_closed()

        await asyncio.gather(*(one(number) for number in range(100)))
        await asyncio.sleep(0)
        assert world.client.stats()["connections"] == 0

    run(program, rate=100e6, loss=0.005)


def test_half_close_lets_the_answer_through() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.read()  # up to FIN
        await asyncio.sleep(5)
        writer.write(sha(request).encode())
        writer.close()

    async def program(world: World) -> None:
        await world.server.start_server(handle, SERVER, 80)
        reader, writer = await world.client.open_connection(SERVER, 80)
        await send_all(writer, pattern(100_000))
        assert await reader.read() == sha(pattern(100_000)).encode()
        writer.close()
        await writer.wait_closed()

    run(program)


def test_a_handler_that_raises_resets_its_connection_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(3)
        raise ZeroDivisionError("what a handler may do")

    async def program(world: World) -> None:
        await world.server.start_server(handle, SERVER, 80)
        reader, writer = await world.client.open_connection(SERVER, 80)
        writer.write(b"abc")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        await asyncio.sleep(1)
        assert world.server.stats()["connections"] == 0

    with caplog.at_level(logging.ERROR):
        run(program)
    assert [record.name for record in caplog.records] == ["uinet"]
    assert CLIENT in caplog.text
    assert "what a handler may do" in caplog.text


def test_a_handler_that_is_no_coroutine_and_raises_resets_too(caplog: pytest.LogCaptureFixture) -> None:
    def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise ZeroDivisionError("at once")

    async def program(world: World) -> None:
        await world.server.start_server(handle, SERVER, 80)
        reader, writer = await world.client.open_connection(SERVER, 80)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    run(program)
    assert "at once" in caplog.text


def test_a_reader_that_does_not_read_bounds_everybodys_memory() -> None:
    size = 20_000_000

    async def program(world: World) -> None:
        go_on = asyncio.Event()
        received = 0

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal received
            await go_on.wait()
            while data := await reader.read(65536):
                received += len(data)
            writer.close()

        await world.server.start_server(handle, SERVER, 80)
        _, writer = await world.client.open_connection(SERVER, 80)
        written = 0

        async def produce() -> None:
            nonlocal written
            piece = bytes(50_000)
            while written < size:
                writer.write(piece)
                written += len(piece)
                await writer.drain()
            writer.write_eof()

        producing = asyncio.create_task(produce())
        await asyncio.sleep(30)
        settings = world.client.stack.tcp.settings
        # nothing was read, so the receive buffer is as it began; the send buffer is for twice the window at most
        assert written < 3 * settings.receive_buffer + 4 * 64 * 1024
        sock = writer.transport.get_extra_info("socket")
        assert sock.getsockopt(SOL_SOCKET, SO_SNDBUF) <= 2 * settings.receive_buffer
        assert writer.transport.get_write_buffer_size() < 3 * 64 * 1024
        go_on.set()
        await producing
        while received < size:
            await asyncio.sleep(0.1)
        writer.close()

    run(program, rate=1e9)


def test_nobody_listens() -> None:
    async def program(world: World) -> None:
        with pytest.raises(ConnectionRefused):
            await world.client.open_connection(SERVER, 81)
        with pytest.raises(ConnectionRefusedError):
            await world.client.open_connection(SERVER, 81)

    run(program)


def test_nobody_is_there() -> None:
    async def program(world: World) -> None:
        with pytest.raises(OSError) as caught:
            await world.client.open_connection("10.0.0.99", 80)
        assert isinstance(caught.value, (TimedOut, OSError))
        assert asyncio.get_running_loop().time() < 300

    run(program)


def test_an_attempt_can_be_given_up() -> None:
    async def program(world: World) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(world.client.open_connection("10.0.0.99", 80), 0.5)
        assert world.client.stack.connections() == []
        world.link.set(loss=(0.0, 1.0))
        await world.server.start_server(echo, SERVER, 7)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(world.client.open_connection(SERVER, 7), 0.5)
        world.link.set(loss=0.0)
        await asyncio.sleep(10)
        assert world.client.stack.connections() == []

    run(program)


def test_hosts_are_addresses_and_not_names() -> None:
    async def program(world: World) -> None:
        with pytest.raises(AddressError, match=r"'example.com' is a name: names are not resolved"):
            await world.client.open_connection("example.com", 80)
        with pytest.raises(AddressError, match=r"not an IP address: '10\.0\.0'"):
            await world.client.open_connection("10.0.0", 80)
        with pytest.raises(AddressError, match="name"):
            await world.server.start_server(echo, "localhost", 80)

    run(program)


def test_what_is_not_in_this_version_says_so() -> None:
    async def program(world: World) -> None:
        with pytest.raises(NotSupported, match="simulation"):
            await world.server.add_device("memory:x")
        with pytest.raises(NotSupported, match="simulation"):
            world.server.add_pipe(print)

    run(program)


def test_a_server_on_all_addresses_and_any_free_port() -> None:
    async def program(world: World) -> None:
        server = await world.server.start_server(echo, None, 0)
        port = server.sockets[0].getsockname()[1]
        assert port >= 32768
        reader, writer = await world.client.open_connection(SERVER, port)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()
        with pytest.raises(AddressInUse):
            await world.server.start_server(echo, "", port)

    run(program)


def test_one_server_on_several_addresses() -> None:
    async def program(world: World) -> None:
        world.server.sim.interface.add_address("fd00::2/64")
        world.client.sim.interface.add_address("fd00::1/64")
        server = await world.server.start_server(echo, [SERVER, "fd00::2"], 80)
        assert len(server.sockets) == 2
        for address in (SERVER, "fd00::2"):
            reader, writer = await world.client.open_connection(address, 80)
            assert writer.get_extra_info("peername") == (address, 80)
            await send_all(writer, b"hello")
            assert await reader.read() == b"hello"
            writer.close()

    run(program)


def test_what_was_written_before_close_arrives_through_loss() -> None:
    async def program(world: World) -> None:
        received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received.set_result(await reader.read())
            writer.close()

        await world.server.start_server(handle, SERVER, 80)
        _, writer = await world.client.open_connection(SERVER, 80)
        writer.write(pattern(500_000))
        writer.close()
        assert sha(await received) == sha(pattern(500_000))

    run(program, rate=50e6, loss=0.05)


def test_a_call_after_an_hour_of_silence_works() -> None:
    async def program(world: World) -> None:
        await world.server.start_server(echo, SERVER, 7)
        reader, writer = await world.client.open_connection(SERVER, 7)
        await asyncio.sleep(3600)
        writer.write(b"still there?")
        assert await reader.readexactly(12) == b"still there?"
        await asyncio.sleep(3600)
        second_reader, second_writer = await world.client.open_connection(SERVER, 7)
        second_writer.close()
        assert await second_reader.read() == b""
        await asyncio.sleep(3600)
        writer.close()
        assert await reader.read() == b""
        await asyncio.sleep(1)
        for host in (world.client, world.server):
            assert host.stats()["stack"].get("tcp_rst_out", 0) == 0
            assert host.stats()["stack"].get("tcp_retransmit", 0) == 0

    run(program)


def test_ping() -> None:
    async def program(world: World) -> None:
        times = await world.client.ping(SERVER, 3, interval=0.2)
        assert times[0] == pytest.approx(0.020)  # with ARP
        assert times[1:] == [pytest.approx(0.010)] * 2
        world.link.set(loss=1.0)
        assert await world.client.ping(SERVER, 2, timeout=0.5, interval=0.1) == [None, None]

    run(program)


def test_a_closed_host_takes_no_more_calls() -> None:
    async def program(world: World) -> None:
        world.client.close()
        with pytest.raises(BadSocket, match="closed"):
            await world.client.open_connection(SERVER, 80)

    run(program)


def test_closing_the_host_closes_what_it_has() -> None:
    async def program(world: World) -> None:
        await world.server.start_server(echo, SERVER, 7)
        reader, writer = await world.client.open_connection(SERVER, 7)
        writer.write(b"abc")
        await reader.readexactly(3)
        world.server.close()
        assert await reader.read() == b""
        await world.server.wait_closed()
        with pytest.raises(ConnectionRefused):
            await world.client.open_connection(SERVER, 7)
        writer.close()

    run(program)
