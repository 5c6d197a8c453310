"""Promiscuous and passive listeners on trio, and SYN filters that are tasks."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.unit.trio.hosts import impersonate, promiscuous, run
from uinet import ANY, Verdict
from uinet.errors import (
    ConnectionRefused,
)
from uinet.link.memory import MemoryDevice
from uinet.link.pipe import Pipe
from uinet.trio import Host, TcpStream


@pytest.mark.parametrize("slow", [False, True])
def test_promiscuous_listener_with_a_filter(slow: bool) -> None:
    async def main() -> None:
        async with promiscuous() as (a, b):

            def decide(syn: Any) -> Verdict:
                syn.context = "seen"
                return Verdict.ACCEPT if syn.destination[1] == 80 else Verdict.REJECT_RST

            async def decide_later(syn: Any) -> Verdict:
                await trio.sleep(0.2)
                return decide(syn)

            (listener,) = await b.open_tcp_listeners(
                ANY, vlans=ANY, cdom=1, syn_filter=decide_later if slow else decide
            )
            began = trio.current_time()
            client = await impersonate(a, 80)
            assert (trio.current_time() - began >= 0.2) == slow
            server = await listener.accept()
            assert server.socket.context == "seen"
            assert [tag.vid for tag in server.socket.l2info.vlans] == [100, 200]  # type: ignore[union-attr]
            await server.send_all(b"hello")
            assert await client.receive_some() == b"hello"
            with pytest.raises(ConnectionRefused):
                await impersonate(a, 81)

    run(main)


def test_closed_listener_cancels_its_filters() -> None:
    async def main() -> None:
        ended: list[bool] = []
        async with promiscuous() as (a, b), trio.open_nursery() as nursery:

            async def think(syn: Any) -> Verdict:
                try:
                    await trio.sleep_forever()
                finally:
                    ended.append(True)
                raise AssertionError

            (listener,) = await b.open_tcp_listeners(ANY, vlans=ANY, cdom=1, syn_filter=think)
            nursery.start_soon(impersonate, a, 80)
            await trio.sleep(0.5)
            assert ended == []
            await listener.aclose()
            await trio.sleep(0.01)
            assert ended == [True]
            nursery.cancel_scope.cancel()

    run(main)


def test_filter_that_raises_rejects(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with promiscuous() as (a, b):

            async def broken(syn: Any) -> Verdict:
                await trio.sleep(0)
                raise KeyError

            await b.open_tcp_listeners(ANY, vlans=ANY, cdom=1, syn_filter=broken)
            with trio.move_on_after(0.5):
                await impersonate(a, 80)
            assert b.stats()["stack"]["tcp_syn_filter_error"] == 1

    run(main)
    assert "SYN filter raised" in caplog.text


def test_passive_listener_has_two_streams() -> None:
    async def main() -> None:
        a, b = MemoryDevice.pair("a"), MemoryDevice.pair("b")
        async with Host() as client, Host() as server, Host() as watcher:
            await client.add_device(a[0], addresses="10.0.0.1/24")
            await server.add_device(b[1], addresses="10.0.0.2/24")
            tap = Pipe(lambda frame: None, layer=2)
            await watcher.add_device(tap, cdom=1, promiscuous=True)
            (watching,) = await watcher.open_tcp_listeners(80, vlans=ANY, cdom=1, passive=True)

            async def bridge(near: MemoryDevice, far: MemoryDevice) -> None:
                while True:
                    frames = near.recv()
                    far.send(frames)
                    for frame in frames:
                        tap.feed(bytes(frame.data))
                    await trio.sleep(0.001)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(bridge, a[1], b[0])
                nursery.start_soon(bridge, b[0], a[1])

                async def answer(stream: TcpStream) -> None:
                    await stream.send_all((await stream.receive_some()).upper())

                await nursery.start(lambda task_status: server.serve_tcp(answer, 80, task_status=task_status))
                stream = await client.open_tcp_stream("10.0.0.2", 80)
                seen = await watching.accept()
                await stream.send_all(b"hello")
                assert await stream.receive_some() == b"HELLO"
                assert await seen.receive_some() == b"hello"
                other = watcher.stream(seen.socket.get_passive_peer())
                assert await other.receive_some() == b"HELLO"
                nursery.cancel_scope.cancel()

    run(main)
