"""A host on trio from its beginning to its end, and what its devices are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

import uinet
from tests.unit.trio.hosts import connected, run, two
from uinet.errors import (
    AddressConflict,
    BadSocket,
    DeviceURLError,
    TimedOut,
)
from uinet.link.memory import MemoryDevice
from uinet.link.pipe import Pipe
from uinet.trio import Host, TcpStream
from uinet.trio.loop import TrioLoop


def test_error_in_the_block_leaves_the_host_as_it_is() -> None:
    async def main() -> None:
        with pytest.raises(KeyError):  # and not in a group
            async with two() as (a, b):
                (listener,) = await b.open_tcp_listeners(80)
                client = await a.open_tcp_stream("10.0.0.2", 80)
                raise KeyError
        with pytest.raises(trio.ClosedResourceError):
            await client.send_all(b"x")
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()
        with pytest.raises(BadSocket, match="closed"):
            await a.open_tcp_stream("10.0.0.2", 80)
        with pytest.raises(BadSocket, match="once"):
            async with a:
                pass

    run(main)


def test_cancelled_host_is_left_at_once() -> None:
    async def main() -> None:
        with trio.move_on_after(3) as scope:
            async with connected() as (client, _):
                await client.send_all(bytes(1_000_000))
                await trio.sleep_forever()
        assert scope.cancelled_caught and trio.current_time() == 3

    run(main)


def test_callback_that_raises_is_the_hosts_failure() -> None:
    async def main() -> None:
        loops: list[TrioLoop] = []

        class Spying(Host):
            def _make_loop(self, group: Any) -> Any:
                made = super()._make_loop(group)
                loops.append(made[0])  # type: ignore[arg-type]
                return made

        def fail() -> None:
            raise KeyError("callback")

        with pytest.raises(ExceptionGroup) as caught:
            async with Spying():
                loops[0].call_later(1, fail)
                await trio.sleep_forever()
        assert caught.group_contains(KeyError)

    run(main)


def test_leaving_delivers_what_was_sent() -> None:
    async def main() -> None:
        received = bytearray()
        ended = trio.Event()

        async def handler(stream: TcpStream) -> None:
            async for data in stream:
                received.extend(data)
            ended.set()

        async with Host() as server, trio.open_nursery() as nursery:
            await server.add_device("memory:cable", addresses="10.0.0.2/24")
            await nursery.start(lambda task_status: server.serve_tcp(handler, 80, task_status=task_status))
            async with Host() as client:
                await client.add_device("memory:cable", addresses="10.0.0.1/24")
                stream = await client.open_tcp_stream("10.0.0.2", 80)
                await stream.send_all(bytes(150_000))  # and neither closes nor waits
            await ended.wait()
            nursery.cancel_scope.cancel()
        assert len(received) == 150_000

    run(main)


def test_leaving_waits_no_longer_than_it_lingers() -> None:
    async def main() -> None:
        async with two(linger=2.0) as (a, b):
            await b.open_tcp_listeners(80)
            stream = await a.open_tcp_stream("10.0.0.2", 80)
            await stream.send_all(bytes(50_000))
            b.driver.remove(b.driver.pumps[0])  # the peer has vanished
            await stream.send_all(b"never")
            began = trio.current_time()
            a.close()
            await a._settle()
            assert 1.9 < trio.current_time() - began < 2.1

    run(main)


def test_addresses_that_take_time() -> None:
    async def main() -> None:
        async with two() as (a, b):
            before = len(b.stack.interfaces)
            with pytest.raises(TimedOut, match="within 2 s"):
                await b.add_device(MemoryDevice("alone"), addresses="dhcp", address_timeout=2.0)
            assert len(b.stack.interfaces) == before and len(b.driver.pumps) == before
            with pytest.raises(AddressConflict):
                await b.configure(b.stack.interfaces[-1], "10.0.0.1/24", probe=True)
            await b.configure(b.stack.interfaces[-1], "10.0.0.3/24", probe=True)
            assert (await a.ping("10.0.0.3"))[0] is not None

    run(main)


def test_device_that_vanishes_is_told_of() -> None:
    async def main() -> None:
        gone: list[Any] = []
        async with Host() as host:
            host.on_device_gone = lambda interface, error: gone.append(interface.name)

            def send(packet: bytes) -> None:
                raise RuntimeError("unplugged")

            await host.add_device(Pipe(send), name="p0", addresses="10.0.0.1/24")
            await host.ping("10.0.0.2", timeout=0.1)
        assert gone == ["p0"]

    run(main)


def test_pipes_between_two_hosts() -> None:
    """One direction by an ``async`` function, the other by a plain one."""

    async def main() -> None:
        async with Host() as a, Host() as b:

            async def to_b(packet: bytes) -> None:
                await trio.sleep(0.001)
                there.feed(packet)
                await there.drain()

            here = a.add_pipe(to_b, addresses="10.0.0.1/24", gateway="10.0.0.9")
            there = b.add_pipe(lambda packet: here.feed(packet), addresses="10.0.0.2/24")
            (listener,) = await b.open_tcp_listeners(80)
            stream = await a.open_tcp_stream("10.0.0.2", 80)
            server = await listener.accept()
            received = bytearray()

            async def send() -> None:
                await stream.send_all(bytes(range(256)) * 400)
                await stream.aclose()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                async for data in server:
                    received += data
            assert bytes(received) == bytes(range(256)) * 400
            assert trio.current_time() > 0.05

    run(main)


def test_pipe_whose_function_fails_is_gone() -> None:
    async def main() -> None:
        gone: list[Any] = []
        async with Host() as host:
            host.on_device_gone = lambda interface, error: gone.append(str(error))

            async def send(packet: bytes) -> None:
                raise RuntimeError("unplugged")

            pipe = host.add_pipe(send, addresses="10.0.0.1/24")
            await host.ping("10.0.0.2", 2, timeout=0.1, interval=0.1)
            assert len(gone) == 1 and "unplugged" in gone[0]
            with pytest.raises(uinet.DeviceGone):
                await pipe.drain()

    run(main)


def test_pipe_delivers_before_the_host_is_left() -> None:
    async def main() -> None:
        packets: list[bytes] = []
        async with Host() as host:

            async def send(packet: bytes) -> None:
                await trio.sleep(0.5)
                packets.append(packet)

            host.add_pipe(send, addresses="10.0.0.1/24")
            udp = await host.open_udp_socket(("10.0.0.1", 9))
            for number in range(3):
                await udp.sendto(bytes([number]), ("10.0.0.2", 9))
        assert [packet[-1] for packet in packets] == [0, 1, 2]

    run(main)


def test_mistakes() -> None:
    async def main() -> None:
        host = Host()
        with pytest.raises(BadSocket, match="not entered"):
            await host.open_tcp_stream("10.0.0.2", 80)
        async with host:
            with pytest.raises(DeviceURLError):
                await host.add_device("nonsense")
            assert "open" in repr(host)
        assert "closed" in repr(host)

    run(main)


def test_control_socket_is_served_and_closed_with_the_host(tmp_path: Path) -> None:
    path = tmp_path / "control"

    async def main() -> None:
        async with two() as (host, _):
            host.control(str(path))
            stream = await trio.open_unix_socket(str(path))
            async with stream:
                await stream.send_all(b'{"command":"stat","what":"interfaces"}\n')
                answer = bytearray()
                with trio.fail_after(10):
                    while b'"end"' not in answer:
                        answer += await stream.receive_some()
            assert b"memory:cable" in answer
        assert not path.exists()
        with pytest.raises(BadSocket):
            host.control(str(path))

    trio.run(main)
