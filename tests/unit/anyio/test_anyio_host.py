"""A host on anyio, on both of its backends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.stapled import MultiListener
from anyio.streams.tls import TLSAttribute, TLSListener, TLSStream

from tests.sim.certificate import client_context, server_context
from tests.unit.loops.nameserver import NameServer
from uinet import ANY, EV_READABLE, L2Info, Verdict
from uinet.anyio import Host, NameNotFound, TcpListener, TcpStream, UinetAttribute
from uinet.errors import BadSocket, ConnectionRefused, ConnectionReset, TimedOut
from uinet.link.memory import MemoryDevice

MAC_A, MAC_B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"


@pytest.fixture(params=["asyncio", "trio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[Any]]], None]:
    """Runs a program on a backend, for 20 seconds at most."""
    backend = "trio" if request.param == "trio" else "asyncio"
    options = {"use_uvloop": True} if request.param == "uvloop" else {}

    def run(main: Callable[[], Awaitable[Any]]) -> None:
        done: list[bool] = []

        async def limited() -> None:
            with anyio.fail_after(20):
                await main()
            done.append(True)

        anyio.run(limited, backend=backend, backend_options=options)
        assert done

    return run


@asynccontextmanager
async def two(**options: Any) -> AsyncIterator[tuple[Host, Host]]:
    """10.0.0.1 and 10.0.0.2, joined by ``memory:cable``."""
    async with Host(seed=b"a", linger=0.5, **options) as a, Host(seed=b"b", linger=0.5) as b:
        await a.add_device("memory:cable", addresses=["10.0.0.1/24", "fd00::1/64"])
        await b.add_device("memory:cable", addresses=["10.0.0.2/24", "fd00::2/64"])
        yield a, b


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[TcpStream, TcpStream]]:
    async with two() as (a, b):
        listener = await b.create_tcp_listener("10.0.0.2", 80)
        assert isinstance(listener, TcpListener)
        client = await a.connect_tcp("10.0.0.2", 80)
        yield client, await listener.accept()


def test_stream_ends_as_anyios_streams_do(run: Any) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            await client.send(b"abc")
            assert await server.receive(2) == b"ab"
            await client.send(b"")
            await client.send_eof()
            await client.send_eof()
            with pytest.raises(anyio.ClosedResourceError):
                await client.send(b"x")
            assert await server.receive() == b"c"
            with pytest.raises(anyio.EndOfStream):
                await server.receive()
            with pytest.raises(ValueError, match="positive"):
                await server.receive(0)
            await server.send(b"still there")
            await server.aclose()
            assert b"".join([data async for data in client]) == b"still there"
            await client.aclose()
            await client.aclose()
            for work in (client.receive, lambda: client.send(b"")):
                with pytest.raises(anyio.ClosedResourceError):
                    await work()

    run(main)


def test_broken_stream_has_the_engines_error_as_cause(run: Any) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            server.socket.abort()
            with pytest.raises(anyio.BrokenResourceError) as caught:
                await client.receive()
            assert isinstance(caught.value.__cause__, ConnectionReset)
            with pytest.raises(anyio.BrokenResourceError):
                await client.send(b"x")

    run(main)


def test_two_tasks_collide_and_closing_wakes(run: Any) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            with pytest.raises(ExceptionGroup) as caught:
                async with anyio.create_task_group() as group:
                    group.start_soon(client.receive)
                    group.start_soon(client.receive)
            assert caught.group_contains(anyio.BusyResourceError)

            async def woken() -> None:
                with pytest.raises(anyio.ClosedResourceError):
                    await server.receive()

            async with anyio.create_task_group() as group:
                group.start_soon(woken)
                await anyio.wait_all_tasks_blocked()
                await server.aclose()

    run(main)


def test_cancelled_calls_have_taken_nothing(run: Any) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            for number in range(20):
                with anyio.move_on_after(0.001):
                    await server.receive()
                    raise AssertionError("nothing was sent")
                await client.send(bytes([number]))
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await server.receive()
                assert await server.receive() == bytes([number])

    run(main)


def test_typed_attributes(run: Any) -> None:
    async def main() -> None:
        async with two() as (a, b):
            listener = await b.create_tcp_listener("fd00::2", 0)
            assert listener.extra(SocketAttribute.family) == socket.AF_INET6
            port = listener.extra(SocketAttribute.local_port)
            client = await a.connect_tcp("fd00::2", port)
            assert client.extra(SocketAttribute.remote_address) == ("fd00::2", port)
            assert client.extra(SocketAttribute.remote_port) == port
            assert client.extra(SocketAttribute.local_address)[0] == "fd00::1"
            assert client.extra(UinetAttribute.socket) is client.socket
            assert client.extra(UinetAttribute.cdom) == 0
            assert client.extra(UinetAttribute.serialno) == 1
            assert client.extra(SocketAttribute.raw_socket, None) is None
            with pytest.raises(anyio.TypedAttributeLookupError):
                listener.extra(SocketAttribute.remote_address)

    run(main)


def test_served_over_both_versions_and_tls(run: Any) -> None:
    async def main() -> None:
        async with two(hosts={"server.example": ["fd00::2", "10.0.0.2"]}) as (a, b):

            async def handler(stream: Any) -> None:
                async with stream:
                    line = await BufferedByteReceiveStream(stream).receive_until(b"\n", 100)
                    await stream.send(line.upper())

            plain = await b.create_tcp_listener(["10.0.0.2", "fd00::2"], 80)
            assert isinstance(plain, MultiListener)
            async with anyio.create_task_group() as group:
                group.start_soon(plain.serve, handler)
                secure: Any = TLSListener(await b.create_tcp_listener(None, 443), server_context())
                group.start_soon(secure.serve, handler)
                for address in ("10.0.0.2", "fd00::2", "server.example"):
                    async with await a.connect_tcp(address, 80) as stream:
                        await stream.send(b"hello\n")
                        assert await stream.receive() == b"HELLO"
                stream = await a.connect_tcp("server.example", 443)
                wrapped = await TLSStream.wrap(
                    stream, hostname="server.example", ssl_context=client_context(), standard_compatible=False
                )
                assert wrapped.extra(TLSAttribute.tls_version) == "TLSv1.3"
                assert wrapped.extra(SocketAttribute.remote_address) == ("fd00::2", 443)
                await wrapped.send(b"secret\n")
                assert await wrapped.receive() == b"SECRET"
                await wrapped.aclose()
                group.cancel_scope.cancel()

    run(main)


def test_udp(run: Any) -> None:
    async def main() -> None:
        async with (
            two(hosts={"b.table": "10.0.0.2"}) as (a, b), await b.create_udp_socket(None, 9) as server,
            await a.create_connected_udp_socket("b.table", 9) as client,
        ):
            assert server.extra(SocketAttribute.local_port) == 9
            await client.send(b"hello")
            data, sender = await server.receive()
            assert sender[0] == "10.0.0.1"
            await server.sendto(data.upper(), *sender)
            assert await client.receive() == b"HELLO"
            await server.send((b"again", sender))
            assert await client.receive() == b"again"

    run(main)


def test_names_and_ping(run: Any) -> None:
    async def main() -> None:
        async with two(nameservers=["10.0.0.2"]) as (a, b):
            NameServer(b.stack, {"b.example": ["10.0.0.2"]})
            await b.create_tcp_listener(None, 80)
            await (await a.connect_tcp("b.example", 80)).aclose()
            with pytest.raises(NameNotFound):
                await a.connect_tcp("nobody.example", 80)
            with pytest.raises(ConnectionRefused):
                await a.connect_tcp("b.example", 81)
            (rtt,) = await a.ping("b.example")
            assert rtt is not None and rtt < 5
            assert await a.ping("10.0.0.77", timeout=0.05) == [None]

    run(main)


def test_promiscuous_listener_with_a_filter_that_thinks(run: Any) -> None:
    async def main() -> None:
        ends = MemoryDevice.pair()
        async with Host() as a, Host() as b:
            await a.add_device(ends[0], cdom=1, promiscuous=True)
            await b.add_device(ends[1], cdom=1, promiscuous=True)

            async def decide(syn: Any) -> Verdict:
                await anyio.sleep(0.01)
                return Verdict.ACCEPT if syn.destination[1] == 80 else Verdict.REJECT_RST

            listener = await b.create_tcp_listener(ANY, ANY, vlans=ANY, cdom=1, syn_filter=decide)
            assert isinstance(listener, TcpListener)

            async def impersonate(port: int) -> TcpStream:
                l2 = L2Info.make(MAC_A, MAC_B, (100, 200))
                return await a.connect_tcp("192.0.2.1", port, source=("198.51.100.7", 999), l2=l2, cdom=1)

            client = await impersonate(80)
            server = await listener.accept()
            l2 = server.extra(UinetAttribute.l2info)
            assert l2 is not None and [tag.vid for tag in l2.vlans] == [100, 200]
            await client.send(b"x")
            assert await b.wait(server.socket, EV_READABLE) & EV_READABLE
            with pytest.raises(ConnectionRefused):
                await impersonate(81)

    run(main)


def test_errors_and_cancellation_leave_the_host(run: Any) -> None:
    async def main() -> None:
        with pytest.raises(KeyError):
            async with two() as (a, b):
                listener = await b.create_tcp_listener(None, 80)
                raise KeyError
        with pytest.raises(anyio.ClosedResourceError):
            await listener.accept()
        with pytest.raises(BadSocket):
            await a.connect_tcp("10.0.0.2", 80)
        with anyio.move_on_after(0.1) as scope:
            async with connected() as (client, _):
                await client.send(bytes(1_000_000))
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        async with Host() as host:
            with pytest.raises(TimedOut):
                await host.add_device(MemoryDevice(), addresses="dhcp", address_timeout=0.05)

    run(main)


def test_two_libraries_do_not_share_links(run: Any) -> None:
    """``memory:`` links are those of one event loop, and of one run of it."""

    async def main() -> None:
        async with Host() as host:
            await host.add_device("memory:cable", addresses="10.0.0.1/24")
            assert await host.ping("10.0.0.2", timeout=0.01) == [None]

    run(main)
    run(main)


def test_cancellation_by_asyncio_itself_is_not_swallowed() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            async with two() as (a, _):
                ended.append("entered")
                await a.connect_tcp("10.0.0.77", 80)
        finally:
            ended.append("left")
        ended.append("swallowed")

    async def main() -> None:
        task = asyncio.ensure_future(work())
        while not ended:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await work()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), two():
                await anyio.sleep_forever()

    asyncio.run(main())
    assert ended.count("left") == 2 and "swallowed" not in ended
