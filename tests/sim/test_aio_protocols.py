"""The contract of asyncio's transports and protocols, kept by ours."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from tests.sim.programs import pattern, sha
from tests.sim.worlds import CLIENT, SERVER, Complaints, World, echo, run
from uinet.aio.transport import HIGH_WATER, Transport
from uinet.errors import ConnectionReset, HostUnreachable, TimedOut


class Recorder(asyncio.Protocol):
    """Writes down everything that its transport calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.data = bytearray()
        self.error: BaseException | None = None
        self.keep_open = False
        self.transport: Any = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("made")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.calls[-1] != "data":
            self.calls.append("data")
        self.data += data

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")
        self.error = exc
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")


async def pair(world: World, port: int = 80) -> tuple[Recorder, Recorder]:
    """A client's protocol and the server's, connected."""
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[0]

    await world.server.create_server(factory, SERVER, port)
    _, client = await world.client.create_connection(Recorder, SERVER, port)
    while not made:
        await asyncio.sleep(0.001)
    assert isinstance(client, Recorder)
    return client, made[0]


def test_the_life_of_a_connection() -> None:
    async def program(world: World) -> None:
        client, server = await pair(world)
        client.transport.write(b"request")
        await asyncio.sleep(0.1)
        assert bytes(server.data) == b"request"
        server.transport.writelines([b"ans", bytearray(b"w"), memoryview(b"er")])
        server.transport.close()
        assert server.transport.is_closing()
        await client.lost
        await server.lost
        assert bytes(client.data) == b"answer"
        assert client.calls == ["made", "data", "eof", "lost"]
        assert server.calls == ["made", "data", "lost"]
        assert client.error is server.error is None
        await asyncio.sleep(200)
        assert client.calls[-1] == "lost"  # once

    run(program)


def test_nothing_of_a_connection_waits_for_the_collector() -> None:
    async def program(world: World) -> None:
        client, server = await pair(world)
        client.transport.close()
        await client.lost
        await server.lost
        await asyncio.sleep(200)
        left = [weakref.ref(one) for one in (client, client.transport, server.transport)]
        server.transport = None  # its factory keeps this protocol
        del client
        assert [one() for one in left] == [None, None, None]

    gc.disable()
    try:
        run(program)
    finally:
        gc.enable()


def test_what_a_transport_knows() -> None:
    async def program(world: World) -> None:
        client, server = await pair(world)
        info = server.transport.get_extra_info
        port = client.transport.get_extra_info("sockname")[1]
        assert info("peername") == (CLIENT, port)
        assert info("sockname") == (SERVER, 80)
        assert info("socket").getpeername()[1] == port
        assert info("cdom") == 0
        assert info("l2info") is None
        assert info("serialno") == 1
        assert info("nonsense", 42) == 42
        assert "open" in repr(server.transport)
        assert server.transport.get_protocol() is server
        client.transport.close()

    run(program)


def test_eof_received_may_keep_the_other_direction_open() -> None:
    async def program(world: World) -> None:
        client, server = await pair(world)
        server.keep_open = True
        assert client.transport.can_write_eof()
        client.transport.write(b"question")
        client.transport.write_eof()
        client.transport.write_eof()
        with pytest.raises(RuntimeError, match="after write_eof"):
            client.transport.write(b"more")
        await asyncio.sleep(0.1)
        assert server.calls == ["made", "data", "eof"]
        server.transport.write(pattern(300_000))
        await asyncio.sleep(5)
        assert sha(client.data) == sha(pattern(300_000))
        server.transport.close()
        await client.lost
        assert client.calls == ["made", "data", "eof", "lost"]
        assert client.error is server.error is None

    run(program)


def test_abort_resets_the_peer_and_loses_what_waits() -> None:
    async def program(world: World) -> None:
        client, server = await pair(world)
        client.transport.write(bytes(5_000_000))
        client.transport.abort()
        client.transport.abort()
        await client.lost
        await server.lost
        assert client.error is None
        assert isinstance(server.error, ConnectionReset)
        assert isinstance(server.error, ConnectionResetError)
        assert server.calls[-1] == "lost"
        assert world.client.stack.connections() == []

    run(program)


def test_writing_pauses_above_the_high_water_mark_and_resumes_below_the_low_one() -> None:
    async def program(world: World) -> None:
        client, server = await pair(world)
        transport: Transport = client.transport
        assert transport.get_write_buffer_limits() == (HIGH_WATER // 4, HIGH_WATER)
        server.transport.pause_reading()
        transport.write(bytes(transport.sock.send_space))
        assert transport.get_write_buffer_size() == 0
        transport.write(bytes(HIGH_WATER))
        assert client.calls == ["made"]
        transport.write(b"x")
        assert client.calls == ["made", "pause"]
        assert transport.get_write_buffer_size() == HIGH_WATER + 1
        await asyncio.sleep(60)
        server.transport.resume_reading()
        await asyncio.sleep(60)
        assert client.calls == ["made", "pause", "resume"]
        assert transport.get_write_buffer_size() == 0
        transport.set_write_buffer_limits(high=10)
        assert transport.get_write_buffer_limits() == (2, 10)
        transport.set_write_buffer_limits(low=10)
        assert transport.get_write_buffer_limits() == (10, 40)
        with pytest.raises(ValueError, match="must be >="):
            transport.set_write_buffer_limits(high=1, low=2)
        transport.close()

    run(program)


def test_a_big_write_arrives_whole_and_is_not_copied_again_and_again() -> None:
    async def program(world: World) -> None:
        client, server = await pair(world)
        data = bytearray(pattern(8_000_000))
        client.transport.write(data)
        digest = sha(data)
        data[:] = bytes(len(data))  # the transport has its own copy
        client.transport.close()
        await server.lost
        assert sha(server.data) == digest

    run(program, rate=1e9)


def test_paused_reading_closes_the_window() -> None:
    async def program(world: World) -> None:
        client, server = await pair(world)
        server.transport.pause_reading()
        server.transport.pause_reading()
        assert not server.transport.is_reading()
        client.transport.write(bytes(10_000_000))
        await asyncio.sleep(30)
        assert not server.data
        unread = server.transport.sock.info().unread
        # a scaled window is rounded up with each ACK: a little more than the buffer may come in (RFC 7323, 2.4)
        assert 200_000 < unread <= world.server.stack.tcp.settings.receive_buffer * 5 // 4 * 5 // 4
        server.transport.resume_reading()
        client.transport.close()
        await server.lost
        assert len(server.data) == 10_000_000

    run(program, rate=1e9)


def test_pausing_inside_data_received_holds_at_once() -> None:
    class OneAtATime(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(1, self.transport.resume_reading)

    async def program(world: World) -> None:
        made: list[OneAtATime] = []

        def factory() -> OneAtATime:
            made.append(OneAtATime())
            return made[0]

        await world.server.create_server(factory, SERVER, 80)
        _, client = await world.client.create_connection(Recorder, SERVER, 80)
        assert isinstance(client, Recorder)
        client.transport.write(bytes(700_000))
        client.transport.write_eof()
        await client.lost
        assert len(made[0].data) == 700_000

    run(program, rate=1e9)


class Buffered(asyncio.BufferedProtocol):
    """Keeps what comes, read through a small buffer of its own."""

    def __init__(self) -> None:
        self.buffer = bytearray(1000)
        self.data = bytearray()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.buffer[:nbytes]

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


def test_buffered_protocols_read_into_their_own_buffer() -> None:
    async def program(world: World) -> None:
        made: list[Buffered] = []

        def factory() -> Buffered:
            made.append(Buffered())
            return made[0]

        await world.server.create_server(factory, SERVER, 80)
        _, client = await world.client.create_connection(Recorder, SERVER, 80)
        assert isinstance(client, Recorder)
        client.transport.write(pattern(100_000))
        client.transport.write_eof()
        await client.lost
        await made[0].ended
        assert sha(made[0].data) == sha(pattern(100_000))

    run(program)


@pytest.mark.parametrize("method", ["connection_made", "data_received", "eof_received", "get_buffer", "buffer_updated"])
def test_a_protocol_that_fails_costs_its_connection_and_nothing_else(method: str) -> None:
    base: type[asyncio.BaseProtocol] = Buffered if "buffer" in method else asyncio.Protocol

    def fail(self: object, *arguments: object) -> None:
        raise ZeroDivisionError(method)

    broken = type("Broken", (base,), {method: fail})

    async def program(world: World) -> None:
        complaints = Complaints()
        await world.server.create_server(broken, SERVER, 80)
        await world.server.start_server(echo, SERVER, 7)
        _, client = await world.client.create_connection(Recorder, SERVER, 80)
        assert isinstance(client, Recorder)
        client.transport.write(b"x")
        client.transport.write_eof()
        await client.lost
        assert isinstance(client.error, ConnectionReset)
        assert complaints.messages == [f"protocol.{method}() failed"]
        assert isinstance(complaints.contexts[0]["exception"], ZeroDivisionError)
        reader, writer = await world.client.open_connection(SERVER, 7)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()

    run(program)


def test_a_factory_that_fails_resets_the_peer() -> None:
    def factory() -> asyncio.Protocol:
        raise ZeroDivisionError("no protocol")

    async def program(world: World) -> None:
        complaints = Complaints()
        await world.server.create_server(factory, SERVER, 80)
        _, client = await world.client.create_connection(Recorder, SERVER, 80)
        assert isinstance(client, Recorder)
        await client.lost
        assert isinstance(client.error, ConnectionReset)
        assert complaints.messages == ["protocol factory failed"]
        with pytest.raises(ZeroDivisionError):
            await world.client.create_connection(factory, SERVER, 80)

    run(program)


def test_writes_after_the_end_are_ignored_and_in_the_end_complained_of() -> None:
    async def program(world: World) -> None:
        complaints = Complaints()
        client, server = await pair(world)
        server.transport.abort()
        await client.lost
        for _ in range(10):
            client.transport.write(b"nobody reads this")
        assert len(complaints.messages) == 1
        with pytest.raises(TypeError, match="bytes-like"):
            client.transport.write("text")
        client.transport.close()
        client.transport.abort()
        await asyncio.sleep(1)
        assert client.calls == ["made", "lost"]

    run(program)


def test_a_link_that_dies_ends_in_an_error() -> None:
    async def program(world: World) -> None:
        client, server = await pair(world)
        client.transport.write(b"x")
        await asyncio.sleep(1)
        world.link.set(loss=1.0)
        client.transport.write(b"y")
        await client.lost
        assert isinstance(client.error, (TimedOut, HostUnreachable))
        assert asyncio.get_running_loop().time() < 1800
        assert server.calls == ["made", "data"]

    run(program)


def test_another_protocol_can_take_over() -> None:
    async def program(world: World) -> None:
        client, server = await pair(world)
        second = Recorder()
        second.calls.append("taken over")
        client.transport.write(b"one")
        await asyncio.sleep(0.1)
        server.transport.set_protocol(second)
        client.transport.write(b"two")
        await asyncio.sleep(0.1)
        assert bytes(server.data) == b"one"
        assert bytes(second.data) == b"two"
        client.transport.close()
        await second.lost

    run(program)


# servers


def test_a_closed_server_takes_no_more_and_waits_for_those_it_has() -> None:
    async def program(world: World) -> None:
        server = await world.server.create_server(Recorder, SERVER, 80)
        assert server.is_serving()
        assert server.sockets[0].state == "LISTEN"
        _, client = await world.client.create_connection(Recorder, SERVER, 80)
        assert isinstance(client, Recorder)
        await asyncio.sleep(0.1)
        server.close()
        server.close()
        assert not server.is_serving()
        assert server.sockets == ()
        waiting = asyncio.create_task(server.wait_closed())
        await asyncio.sleep(1)
        assert not waiting.done()
        with pytest.raises(ConnectionRefusedError):
            await world.client.create_connection(Recorder, SERVER, 80)
        client.transport.close()
        await waiting
        await server.wait_closed()
        assert world.server.stats()["servers"] == 0

    run(program)


@pytest.mark.parametrize(("how", "error"), [("close_clients", None), ("abort_clients", ConnectionReset)])
def test_a_server_can_end_its_connections(how: str, error: type[Exception] | None) -> None:
    async def program(world: World) -> None:
        async with await world.server.create_server(Recorder, SERVER, 80) as server:
            clients = []
            for _ in range(3):
                _, client = await world.client.create_connection(Recorder, SERVER, 80)
                assert isinstance(client, Recorder)
                clients.append(client)
            await asyncio.sleep(0.1)
            getattr(server, how)()
            for client in clients:
                await client.lost
                assert isinstance(client.error, error) if error else client.error is None

    run(program)


def test_serving_starts_when_it_is_told_to() -> None:
    async def program(world: World) -> None:
        server = await world.server.create_server(Recorder, SERVER, 80, start_serving=False)
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await world.client.create_connection(Recorder, SERVER, 80)
        await server.start_serving()
        transport, _ = await world.client.create_connection(Recorder, SERVER, 80)
        transport.close()
        assert server.get_loop() is asyncio.get_running_loop()

    run(program)


def test_serve_forever_ends_when_it_is_cancelled() -> None:
    async def program(world: World) -> None:
        server = await world.server.create_server(Recorder, SERVER, 80, start_serving=False)
        serving = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0.1)
        assert server.is_serving()
        with pytest.raises(RuntimeError, match="already"):
            await server.serve_forever()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not server.is_serving()
        with pytest.raises(RuntimeError, match="closed"):
            await server.serve_forever()

    run(program)


def test_connections_that_nobody_has_accepted_are_reset_with_the_server() -> None:
    async def program(world: World) -> None:
        server = await world.server.create_server(Recorder, SERVER, 80)
        server.sockets[0].on_event = None  # accepts nothing from here on
        _, client = await world.client.create_connection(Recorder, SERVER, 80)
        assert isinstance(client, Recorder)
        await asyncio.sleep(0.1)
        server.close()
        await client.lost
        assert isinstance(client.error, ConnectionReset)

    run(program)
