"""A host on trio: what its calls do when they are cancelled, when things break, and what time it is."""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import uinet
from tests.sim.certificate import client_context, server_context
from tests.unit.loops.nameserver import NameServer
from uinet import ANY, EV_ACCEPT, EV_CLOSED, EV_READABLE, EV_WRITABLE, L2Info, Verdict
from uinet.errors import (
    AddressConflict,
    AddressError,
    AddressInUse,
    BadSocket,
    ConnectionRefused,
    ConnectionReset,
    DeviceURLError,
    InvalidArgument,
    TimedOut,
)
from uinet.link.memory import MemoryDevice
from uinet.link.pipe import Pipe
from uinet.structured.host import in_turns
from uinet.trio import Host, NameNotFound, TcpStream
from uinet.trio.loop import TrioLoop

MAC_A, MAC_B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"


def run(main: Callable[[], Awaitable[Any]], clock: MockClock | None = None) -> None:
    """On virtual time, unless told otherwise."""
    trio.run(main, clock=clock or MockClock(autojump_threshold=0))


@asynccontextmanager
async def two(**options: Any) -> AsyncIterator[tuple[Host, Host]]:
    """10.0.0.1 and 10.0.0.2, joined by ``memory:cable``."""
    async with Host(seed=b"a", **options) as a, Host(seed=b"b") as b:
        await a.add_device("memory:cable", addresses=["10.0.0.1/24", "fd00::1/64"])
        await b.add_device("memory:cable", addresses=["10.0.0.2/24", "fd00::2/64"])
        yield a, b


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[TcpStream, TcpStream]]:
    async with two() as (a, b):
        (listener,) = await b.open_tcp_listeners(80)
        client = await a.open_tcp_stream("10.0.0.2", 80)
        yield client, await listener.accept()


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


def test_what_breaks_a_stream_is_the_cause() -> None:
    async def main() -> None:
        async with connected() as (client, server):
            server.socket.abort()
            with pytest.raises(trio.BrokenResourceError) as caught:
                await client.receive_some()
            assert isinstance(caught.value.__cause__, ConnectionReset)
            with pytest.raises(trio.BrokenResourceError):
                await client.send_all(b"x")
            with pytest.raises(trio.BrokenResourceError):
                await client.send_eof()

    run(main)


def test_refused_connection_is_the_engines_error() -> None:
    async def main() -> None:
        async with two() as (a, _):
            with pytest.raises(ConnectionRefused):
                await a.open_tcp_stream("10.0.0.2", 81)

    run(main)


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


def test_listeners_at_addresses() -> None:
    async def main() -> None:
        async with two() as (a, b):
            made = await b.open_tcp_listeners(80, host=["10.0.0.2", "fd00::2"])
            assert [str(one.socket.getsockname()[0]) for one in made] == ["10.0.0.2", "fd00::2"]
            with pytest.raises(AddressInUse):
                await b.open_tcp_listeners(80, host=["fd00::2"])
            with pytest.raises(AddressError, match="names are not resolved"):
                await b.open_tcp_listeners(80, host="b.example")
            stream = await a.open_tcp_stream("fd00::2", 80)
            assert stream.socket.getpeername()[1] == 80

    run(main)


def test_tls_over_the_stack() -> None:
    async def main() -> None:
        async with two(hosts={"server.example": "10.0.0.2"}) as (a, b), trio.open_nursery() as nursery:

            async def handler(stream: trio.SSLStream[TcpStream]) -> None:
                with suppress(trio.BrokenResourceError):  # the stranger does not shake hands
                    await stream.send_all((await stream.receive_some()).upper())
                await stream.aclose()

            listeners = await b.open_tcp_listeners(443)
            secure = [trio.SSLListener(one, server_context(), https_compatible=True) for one in listeners]
            nursery.start_soon(trio.serve_listeners, handler, secure)
            stream = trio.SSLStream(
                await a.open_tcp_stream("server.example", 443), client_context(),
                server_hostname="server.example", https_compatible=True,
            )
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"HELLO"
            await stream.aclose()
            stranger = trio.SSLStream(
                await a.open_tcp_stream("10.0.0.2", 443), ssl.create_default_context(), server_hostname="10.0.0.2"
            )
            with pytest.raises(trio.BrokenResourceError):
                await stranger.do_handshake()
            await trio.aclose_forcefully(stranger)
            nursery.cancel_scope.cancel()

    run(main)


def test_names_are_asked_for_over_the_stack() -> None:
    async def main() -> None:
        async with (
            two(nameservers=["10.0.0.77", "10.0.0.2"], hosts={"b.table": ["fd00::2"]}) as (a, b)
        ):
            server = NameServer(b.stack, {
                "b.example": ["10.0.0.2"], "both.example": ["10.0.0.2", "fd00::2"],
                "many.example": [f"10.0.0.{last}" for last in range(100, 150)],
            })
            await b.open_tcp_listeners(80)
            assert [str(one) for one in await a.resolve("b.table")] == ["fd00::2"]
            assert server.asked == {"udp": 0, "tcp": 0}
            with trio.fail_after(30):
                stream = await a.open_tcp_stream("B.example.", 80)
            assert str(stream.socket.getpeername()[0]) == "10.0.0.2"
            assert [str(one) for one in await a.resolve("both.example")] == ["fd00::2", "10.0.0.2"]
            assert [str(one) for one in await a.resolve("both.example", (4,))] == ["10.0.0.2"]
            assert len(await a.resolve("many.example")) == 50 and server.asked["tcp"] == 1
            with pytest.raises(NameNotFound, match="no such name"):
                await a.resolve("nobody.example")
            assert a.stack.connections() == [stream.socket]
        async with two() as (a, _):
            with pytest.raises(NameNotFound, match="no nameserver to ask"):
                await a.resolve("b.example")

    run(main)


def test_ping() -> None:
    async def main() -> None:
        async with two() as (a, _):
            (rtt,) = await a.ping("10.0.0.2")
            assert rtt is not None and 0 <= rtt < 0.1
            began = trio.current_time()
            assert await a.ping("10.0.0.2", 3, interval=2.0) != [None] * 3
            assert 4 <= trio.current_time() - began < 4.1
            assert await a.ping("10.0.0.77", timeout=0.5) == [None]

    run(main)


def test_udp_and_its_errors() -> None:
    async def main() -> None:
        async with two() as (a, b):
            async with await a.open_udp_socket(remote=("10.0.0.2", 9)) as udp:
                await udp.send(b"anybody?")
                with pytest.raises(trio.BrokenResourceError) as caught:  # once: nobody has port 9
                    await udp.recv()
                assert isinstance(caught.value.__cause__, ConnectionRefusedError)
                async with await b.open_udp_socket(("10.0.0.2", 9)) as other:
                    await udp.send(b"and now?")
                    data, sender = await other.recvfrom()
                    await other.sendto(data.upper(), sender)
                    assert await udp.recv() == b"AND NOW?"
            with pytest.raises(InvalidArgument, match="needs a local or a remote address"):
                await a.open_udp_socket()

    run(main)


def test_sockets_of_the_engine_can_be_waited_for() -> None:
    async def main() -> None:
        async with two() as (a, b):
            listener = b.stack.listen((ANY, 80))
            client = a.stack.connect(("10.0.0.2", 80))
            assert await b.wait(listener, EV_ACCEPT) == EV_ACCEPT
            server = listener.accept()
            assert await a.wait(client, EV_READABLE | EV_WRITABLE) == EV_WRITABLE
            client.send(b"x")
            assert await b.wait(server, EV_READABLE) & EV_READABLE
            assert server.recv(9) == b"x"
            client.abort()
            assert await b.wait(server, EV_READABLE) & uinet.EV_ERROR
            with pytest.raises(InvalidArgument, match="can be waited for"):
                await b.wait(server, 0)
            with pytest.raises(InvalidArgument, match="another stack"):
                await a.wait(server, EV_READABLE)
            listener.on_event = lambda sock, events: None
            with pytest.raises(InvalidArgument, match="in use"):
                await b.wait(listener, EV_ACCEPT)

    run(main)


@asynccontextmanager
async def promiscuous() -> AsyncIterator[tuple[Host, Host]]:
    ends = MemoryDevice.pair()
    async with Host(seed=b"a") as a, Host(seed=b"b") as b:
        for host, end in ((a, ends[0]), (b, ends[1])):
            await host.add_device(end, cdom=1, promiscuous=True)
        yield a, b


async def impersonate(host: Host, port: int, vlans: tuple[int, ...] = (100, 200)) -> TcpStream:
    return await host.open_tcp_stream(
        "192.0.2.1", port, source=("198.51.100.7", 999), l2=L2Info.make(MAC_A, MAC_B, vlans), cdom=1
    )


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


def test_address_that_does_not_answer_delays_by_a_quarter_of_a_second() -> None:
    async def main() -> None:
        names = {
            "late.example": ["fd00::77", "fd00::78", "10.0.0.2"], "refused.example": ["fd00::2", "10.0.0.2"],
            "nobody.example": ["fd00::77", "10.0.0.77"],
        }
        async with two(hosts=names) as (a, b):
            await b.open_tcp_listeners(80, host="10.0.0.2")
            began = trio.current_time()
            stream = await a.open_tcp_stream("late.example", 80)
            assert str(stream.socket.getpeername()[0]) == "10.0.0.2"
            assert 0.25 <= trio.current_time() - began < 0.26
            assert a.stack.connections() == [stream.socket]  # nothing stays of the other attempts
            began = trio.current_time()
            refused = await a.open_tcp_stream("refused.example", 80)
            assert str(refused.socket.getpeername()[0]) == "10.0.0.2" and trio.current_time() - began < 0.01
            with pytest.raises(ConnectionRefused):
                await a.open_tcp_stream("refused.example", 81)
            with trio.move_on_after(0.3) as scope:
                await a.open_tcp_stream("nobody.example", 80)
            assert scope.cancelled_caught
            assert set(a.stack.connections()) == {stream.socket, refused.socket}
            with pytest.raises(uinet.HostUnreachable):
                await a.open_tcp_stream("nobody.example", 80)
            with pytest.raises(NameNotFound, match="source's kind"):
                await a.open_tcp_stream("10.0.0.2", 80, source=("fd00::1", 0))

    run(main)


def test_order_of_attempts() -> None:
    four, six = (list(map(ip_address, names)) for names in (["10.0.0.1", "10.0.0.2"], ["::1", "::2", "::3"]))
    assert in_turns([*six, *four]) == [six[0], four[0], six[1], six[2], four[1]]
    assert in_turns(six) == six and in_turns([]) == []
