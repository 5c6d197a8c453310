"""Calls that are cancelled, collide, or are woken by a close; time and Control-C."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import uinet
from tests.unit.trio.hosts import connected, run, two
from uinet import ANY, EV_ACCEPT, EV_CLOSED
from uinet.trio import Host


def test_bytes_are_there_after_a_cancelled_receive() -> None:
    async def main() -> None:
        async with connected() as (client, server):
            for number in range(50):
                with trio.move_on_after(0.001):
                    await server.receive_some()
                    raise AssertionError("nothing was sent")
                with trio.CancelScope() as scope:
                    await client.send_all(bytes([number]))
                    scope.cancel()
                    await server.receive_some()
                assert scope.cancelled_caught
                assert await server.receive_some() == bytes([number])

    run(main)


def test_stream_is_whole_however_often_its_reader_is_cancelled() -> None:
    chance = random.Random(11)
    data = chance.randbytes(400_000)

    async def main() -> None:
        async with connected() as (client, server):
            received = bytearray()
            cancelled = 0

            async def send() -> None:
                at = 0
                while at < len(data):
                    size = chance.randrange(1, 20_000)
                    await client.send_all(data[at : at + size])
                    at += size
                    await trio.sleep(chance.random() / 1000)
                await client.send_eof()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                ended = False
                while not ended:
                    with trio.move_on_after(chance.random() / 2000) as scope:
                        while not ended:
                            piece = await server.receive_some(chance.randrange(1, 9000))
                            received += piece
                            ended = not piece
                    cancelled += scope.cancelled_caught
            assert bytes(received) == data and cancelled > 10

    run(main)


def test_connection_is_there_after_a_cancelled_accept() -> None:
    async def main() -> None:
        async with two() as (a, b):
            (listener,) = await b.open_tcp_listeners(80)
            with trio.move_on_after(1) as scope:
                await listener.accept()
            assert scope.cancelled_caught
            client = await a.open_tcp_stream("10.0.0.2", 80)
            with trio.CancelScope() as scope:
                scope.cancel()
                await listener.accept()
            assert (await listener.accept()).socket.getpeername() == client.socket.getsockname()

    run(main)


def test_cancelled_connect_leaves_nothing() -> None:
    async def main() -> None:
        async with two() as (a, _):
            with trio.move_on_after(0.5) as scope:
                await a.open_tcp_stream("10.0.0.77", 80)
            assert scope.cancelled_caught
            assert a.stack.connections() == []

    run(main)


def test_cancelled_sender_may_send_again_once_there_is_room() -> None:
    async def main() -> None:
        async with connected() as (client, server):
            sent = 0
            while True:
                with trio.move_on_after(10) as scope:
                    await client.send_all(bytes(100_000))
                if scope.cancelled_caught:
                    break
                sent += 100_000
            received = 0
            with trio.move_on_after(10):
                while True:
                    received += len(await server.receive_some())
            assert received >= sent
            await client.send_all(b"and more")
            assert await server.receive_some() == b"and more"

    run(main)


def test_two_tasks_that_receive_or_accept_collide() -> None:
    async def main() -> None:
        async with two() as (_, b):
            (listener,) = await b.open_tcp_listeners(80)
            udp = await b.open_udp_socket(("10.0.0.2", 9))
            for work in (listener.accept, udp.recvfrom):
                with pytest.raises(ExceptionGroup) as caught:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(work)
                        nursery.start_soon(work)
                assert caught.group_contains(trio.BusyResourceError)

    run(main)


def test_closing_wakes_who_waits() -> None:
    async def main() -> None:
        async with two() as (a, b):
            (listener,) = await b.open_tcp_listeners(80)
            udp = await b.open_udp_socket(("10.0.0.2", 9))
            raw = b.stack.listen((ANY, 81))
            stream = await a.open_tcp_stream("10.0.0.2", 80)
            woken: list[str] = []

            async def closed(name: str, work: Callable[[], Awaitable[Any]]) -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await work()
                woken.append(name)

            async def raw_closed() -> None:
                assert await b.wait(raw, EV_ACCEPT) == EV_CLOSED
                woken.append("raw")

            async with trio.open_nursery() as nursery:
                await listener.accept()
                nursery.start_soon(closed, "accept", listener.accept)
                nursery.start_soon(closed, "recvfrom", udp.recvfrom)
                nursery.start_soon(closed, "receive", stream.receive_some)
                nursery.start_soon(raw_closed)
                await trio.testing.wait_all_tasks_blocked()
                for one in (listener, udp, stream):
                    await one.aclose()
                b.close_socket(raw)
            assert sorted(woken) == ["accept", "raw", "receive", "recvfrom"]

    run(main)


def test_time_is_trios_clock() -> None:
    clock = MockClock(autojump_threshold=0)

    async def main() -> None:
        async with two() as (a, _):
            began = trio.current_time()
            with pytest.raises(OSError) as caught:
                await a.open_tcp_stream("10.0.0.77", 80)
            assert caught.type in (uinet.HostUnreachable, uinet.TimedOut)
            assert trio.current_time() - began > 1  # address resolution gives up, or TCP
            assert abs(a.stack.now / 1e9 - trio.current_time()) < 0.01

    run(main, clock)


def test_control_c_does_not_interrupt_the_engine() -> None:
    protected: list[bool] = []

    async def main() -> None:
        async with two() as (a, b):
            listener = b.stack.listen((ANY, 80))
            listener.on_event = lambda sock, events: protected.append(trio.lowlevel.currently_ki_protected())
            await a.open_tcp_stream("10.0.0.2", 80)
            assert not trio.lowlevel.currently_ki_protected()

    run(main)
    assert protected == [True]


@pytest.mark.slow
def test_real_time_and_descriptors() -> None:
    """On the system's clock, through a Unix socket: descriptors and the fine timer."""

    async def main() -> None:
        async with Host() as a, Host() as b:
            import os
            import tempfile

            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "link")
                await b.add_device(f"unix:{path}?mode=dgram&listen=1", addresses="10.0.0.2/24")
                await a.add_device(f"unix:{path}?mode=dgram&local={path}.a", addresses="10.0.0.1/24")
                (listener,) = await b.open_tcp_listeners(80)
                stream = await a.open_tcp_stream("10.0.0.2", 80)
                server = await listener.accept()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(stream.send_all, bytes(300_000))
                    count = 0
                    while count < 300_000:
                        count += len(await server.receive_some())
                began = trio.current_time()
                with trio.move_on_after(0.05):
                    await server.receive_some()
                assert 0.04 < trio.current_time() - began < 5

    trio.run(main)
