"""Hosts on real event loops: devices in memory, pipes, and what becomes of them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from uinet import Host, Stack
from uinet.errors import BadSocket, DeviceError, DeviceURLError, InvalidArgument, NotSupported
from uinet.events import EV_ACCEPT, EV_CONNECTED, EV_ERROR, EV_READABLE
from uinet.link.memory import MemoryDevice
from uinet.sim.clock import Clock
from uinet.sim.loop import VirtualLoop
from uinet.sim.network import Network

LOOPS: list[Any] = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(uvloop.new_event_loop, id="uvloop"),
    pytest.param(lambda: VirtualLoop(Clock()), id="virtual"),
]
Loop = Callable[[], asyncio.AbstractEventLoop]
DATA = hashlib.shake_256(b"uinet").digest(1_000_000)


def run(factory: Loop, program: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(program(), 60)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def virtual() -> VirtualLoop:
    return VirtualLoop(Clock())


async def join(a: Host, b: Host, **options: Any) -> None:
    """Two hosts on one memory link, 10.0.0.1 and 10.0.0.2."""
    ends = MemoryDevice.pair(**options)
    await a.add_device(ends[0], addresses="10.0.0.1/24")
    await b.add_device(ends[1], addresses=["10.0.0.2/24"])


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def round_trip(client: Host, address: str, port: int, data: bytes = DATA) -> None:
    """Sends `data`, half-closes, and expects it back."""
    reader, writer = await client.open_connection(address, port)

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    assert await reader.read() == data
    await sending
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("factory", LOOPS)
@pytest.mark.parametrize("options", [{}, {"layer": 3}, {"queue": 3}, {"mtu": 9000}], ids=str)
def test_a_megabyte_there_and_back(factory: Loop, options: dict[str, Any]) -> None:
    async def program() -> None:
        async with Host() as a, Host() as b:
            await join(a, b, **options)
            await b.start_server(echo, "10.0.0.2", 7)
            await round_trip(a, "10.0.0.2", 7)
            stats = a.stats()
            assert stats["interfaces"].keys() == stats["devices"].keys()
            assert stats["stack"]["tcp_connected"] == 1

    run(factory, program)


@pytest.mark.parametrize("factory", LOOPS)
def test_memory_urls_of_one_loop_meet(factory: Loop) -> None:
    async def program() -> None:
        async with Host() as a, Host() as b:
            await a.add_device("memory:wire", name="eth0", addresses=["10.0.0.1/24"])
            await b.add_device("memory:wire", addresses=["10.0.0.2/24"], mac="02:00:00:00:00:77")
            assert str(b.stack.interfaces[0].mac.hex(":")) == "02:00:00:00:00:77"
            await b.start_server(echo, None, 7)
            await round_trip(a, "10.0.0.2", 7, b"hello")
            with pytest.raises(DeviceError, match="in use"):
                await a.add_device("memory:wire")

    run(factory, program)


@pytest.mark.parametrize("factory", LOOPS)
def test_a_host_talks_to_itself(factory: Loop) -> None:
    async def program() -> None:
        async with Host() as host:
            near, _ = MemoryDevice.pair()
            await host.add_device(near, addresses="10.0.0.1/24")
            await host.start_server(echo, "10.0.0.1", 7)
            await round_trip(host, "10.0.0.1", 7, DATA[:100_000])

    run(factory, program)


@pytest.mark.parametrize("factory", LOOPS)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("options", [{}, {"checksums": False}, {"layer": 2}, {"mtu": 16000}], ids=str)
def test_two_hosts_joined_by_pipes(factory: Loop, asynchronous: bool, options: dict[str, Any]) -> None:
    async def program() -> None:
        async with Host() as a, Host() as b:
            if asynchronous:

                async def to_b(packet: bytes) -> None:
                    await asyncio.sleep(0)
                    pipe_b.feed(packet)

                async def to_a(packet: bytes) -> None:
                    await pipe_a.drain()
                    pipe_a.feed_many([packet])

                pipe_a = a.add_pipe(to_b, addresses=["10.0.0.1/24"], **options)
                pipe_b = b.add_pipe(to_a, addresses=["10.0.0.2/24"], **options)
            else:
                pipe_a = a.add_pipe(lambda packet: pipe_b.feed(packet), addresses=["10.0.0.1/24"], **options)
                pipe_b = b.add_pipe(lambda packet: pipe_a.feed(packet), addresses=["10.0.0.2/24"], **options)
            assert pipe_a.interface.mtu == options.get("mtu", 1500)
            await b.start_server(echo, "10.0.0.2", 7)
            await round_trip(a, "10.0.0.2", 7)

    run(factory, program)


def test_two_pipes_of_one_host_have_names_of_their_own() -> None:
    async def program() -> None:
        async with Host() as host:
            pipes = [host.add_pipe(print, addresses=f"10.0.{i}.1/24") for i in range(3)]
            assert len({pipe.interface.name for pipe in pipes}) == 3

    run(virtual, program)


def test_a_device_that_vanishes_takes_its_interface_down_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    async def program() -> None:
        async with Host() as a, Host() as b:
            await join(a, b)
            gone: list[tuple[str, Exception]] = []
            a.on_device_gone = lambda interface, error: gone.append((interface.name, error))

            async def broken(packet: bytes) -> None:
                raise ValueError("the tunnel is closed")

            pipe = a.add_pipe(broken, addresses="10.9.0.1/24", name="tunnel")
            await b.start_server(echo, "10.0.0.2", 7)
            attempt = asyncio.create_task(a.open_connection("10.9.0.2", 80))
            while not gone:
                await asyncio.sleep(0.01)
            assert gone[0][0] == "tunnel"
            assert "the tunnel is closed" in str(gone[0][1])
            assert not pipe.interface.up
            assert a.stats()["stack"]["link_device_gone"] == 1
            attempt.cancel()
            await round_trip(a, "10.0.0.2", 7, b"still here")

    with caplog.at_level(logging.ERROR, "uinet"):
        run(virtual, program)
    assert len([record for record in caplog.records if "tunnel" in record.getMessage()]) == 1


def test_closing_delivers_what_was_written() -> None:
    async def program() -> None:
        received: list[bytes] = []
        async with Host() as b:
            async with Host() as a:
                await join(a, b)

                async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                    received.append(await reader.read())
                    writer.close()

                await b.start_server(handle, "10.0.0.2", 80)
                _, writer = await a.open_connection("10.0.0.2", 80)
                writer.write(DATA)
            assert received == [DATA]

    run(virtual, program)


def test_closing_does_not_wait_for_ever_for_a_peer_that_is_gone() -> None:
    async def program() -> None:
        loop = asyncio.get_running_loop()
        near, far = MemoryDevice.pair()
        async with Host() as b:
            await b.add_device(far, addresses="10.0.0.2/24")
            await b.start_server(echo, "10.0.0.2", 80)
            async with Host(linger=2.0) as a:
                await a.add_device(near, addresses="10.0.0.1/24")
                _, writer = await a.open_connection("10.0.0.2", 80)
                far.close()  # and nobody tells
                writer.write(b"x")
                start = loop.time()
            assert 1.9 < loop.time() - start < 2.3
            assert near.closed

    run(virtual, program)


def test_an_exception_closes_without_waiting() -> None:
    async def program() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        async with Host() as b:
            with pytest.raises(ZeroDivisionError):
                async with Host() as a:
                    await join(a, b)
                    lost: asyncio.Future[BaseException | None] = loop.create_future()

                    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                        try:
                            await reader.read()
                        except OSError as error:
                            lost.set_result(error)

                    await b.start_server(handle, "10.0.0.2", 80)
                    _, writer = await a.open_connection("10.0.0.2", 80)
                    writer.write(DATA)
                    await asyncio.sleep(0.1)
                    raise ZeroDivisionError
            assert isinstance(await lost, ConnectionResetError)
        assert loop.time() - start < 1

    run(virtual, program)


def test_a_closed_host_says_so() -> None:
    async def program() -> None:
        host = Host()
        host.close()
        await host.wait_closed()
        await host.wait_closed()
        with pytest.raises(BadSocket, match="the host is closed"):
            await host.add_device("memory:x")

    run(virtual, program)


def test_a_host_belongs_to_one_loop() -> None:
    host = Host()

    async def use() -> None:
        await host.start_server(echo, None, 80)

    async def close() -> None:
        host.close()
        await host.wait_closed()

    with asyncio.Runner(loop_factory=virtual) as first, asyncio.Runner(loop_factory=virtual) as second:
        first.run(use())
        with pytest.raises(RuntimeError, match="another event loop"):
            second.run(use())
        first.run(close())


def test_wrong_devices_leave_nothing_behind() -> None:
    async def program() -> None:
        async with Host() as host:
            with pytest.raises(DeviceURLError, match="nonsense"):
                await host.add_device("nonsense:x")
            with pytest.raises(InvalidArgument):
                await host.add_device("memory:x", cdom=-1)
            await host.add_device("memory:x", addresses="10.0.0.1/24")  # its end is free again
            with pytest.raises(InvalidArgument):
                Host(driven=True)

    run(virtual, program)


def test_an_interface_that_cannot_be_configured_is_taken_away_again() -> None:
    async def program() -> None:
        async with Host() as host:
            with pytest.raises(OSError, match="not an IP address"):
                await host.add_device("memory:x", addresses="nonsense")
            assert host.stack.interfaces == []
            await host.add_device("memory:x", addresses="10.0.0.1/24")

    run(virtual, program)


def test_a_gateway_leads_elsewhere() -> None:
    async def program() -> None:
        async with Host() as a, Host() as b:
            near, far = MemoryDevice.pair(layer=3)
            await a.add_device(near, addresses=["10.0.0.1/24", "fd00::1/64"], gateway=["10.0.0.2", "fd00::2"])
            await b.add_device(far, addresses=["192.0.2.9/24", "2001:db8::9/64"], gateway=("192.0.2.1", "2001:db8::1"))
            await b.start_server(echo, None, 7)
            await round_trip(a, "192.0.2.9", 7, b"IPv4")
            await round_trip(a, "2001:db8::9", 7, b"IPv6")

    run(virtual, program)


def test_a_stack_of_ones_own() -> None:
    async def program() -> None:
        stack = Stack(seed=b"my own")
        async with Host(stack) as a, Host(seed=b"seed") as b:
            assert a.stack is stack
            await join(a, b)
            assert await a.ping("10.0.0.2") != [None]

    run(virtual, program)


@pytest.mark.parametrize("factory", LOOPS)
def test_a_busy_stack_leaves_other_tasks_their_turn(factory: Loop) -> None:
    async def program() -> None:
        async with Host() as a, Host() as b:
            await join(a, b)
            await b.start_server(echo, "10.0.0.2", 7)
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.create_task(other())
            await round_trip(a, "10.0.0.2", 7)
            task.cancel()
            frames = a.stats()["interfaces"]["memory/a"]["rx_frames"]
            assert turns > frames // 64

    run(factory, program)


@pytest.mark.parametrize("factory", LOOPS)
def test_sockets_of_the_engine_can_be_waited_for(factory: Loop) -> None:
    async def program() -> None:
        async with Host() as a, Host() as b:
            await join(a, b)
            listener = b.stack.listen(("10.0.0.2", 80))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await b.wait(listener, EV_ACCEPT)
            client = a.stack.connect(("10.0.0.2", 80))
            assert await b.wait(listener, EV_ACCEPT) == EV_ACCEPT
            server = listener.accept()
            assert await a.wait(client, EV_CONNECTED) == EV_CONNECTED
            client.send(b"x")
            assert await b.wait(server, EV_READABLE) == EV_READABLE
            assert server.recv(9) == b"x"
            client.abort()
            assert await b.wait(server, EV_READABLE) & EV_ERROR
            with pytest.raises(InvalidArgument, match="can be waited for"):
                await b.wait(server, 0)
            await a.adopt(a.stack.connect(("10.0.0.2", 80)), asyncio.Protocol)
            with pytest.raises(InvalidArgument, match="in use"):
                await a.wait(a.stack.connections()[0], EV_READABLE)

    run(factory, program)


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_control_socket_is_served_by_the_loop_and_closed_with_the_host(
    factory: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path
) -> None:
    path = tmp_path / "control"

    async def ask(request: bytes) -> list[Any]:
        reader, writer = await asyncio.open_unix_connection(str(path), limit=1 << 20)
        writer.write(request + b"\n")
        lines = [json.loads(await reader.readline())]
        while "row" in lines[-1]:
            lines.append(json.loads(await reader.readline()))
        writer.close()
        await writer.wait_closed()
        return lines

    async def main() -> None:
        async with Host() as server, Host() as client:
            await server.add_device("memory:control", name="eth0", addresses=["10.7.0.1/24"])
            await client.add_device("memory:control", addresses=["10.7.0.2/24"])
            await server.create_server(asyncio.Protocol, "10.7.0.1", 7)
            await asyncio.gather(*(client.create_connection(asyncio.Protocol, "10.7.0.1", 7) for _ in range(40)))
            server.control(str(path))
            *rows, end = await ask(b'{"command":"stat","what":"connections"}')
            assert len(rows) == 40 and end == {"end": {"rows": 40}}
            rows, _ = await ask(b'{"command":"stat","what":"devices","filter":["name=rx_frames"]}')
            assert rows["row"]["value"] > 40
            await ask(b'{"command":"sysctl-set","name":"net.inet.tcp.msl","value":"1s"}')
            assert server.stack.tcp.settings.msl == 1_000_000_000
        assert not path.exists()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def test_control_socket_on_virtual_time_is_refused(tmp_path: Path) -> None:
    network = Network(seed=1)
    node = network.host("10.0.0.1/24")
    with pytest.raises(NotSupported, match="a Driver or a Host first"):
        node.stack.control(str(tmp_path / "control"))
    assert not (tmp_path / "control").exists()
