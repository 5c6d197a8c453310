"""Promiscuous connections of asyncio programs: any address, any port, any VLAN stack, and SYN filters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import uinet
from tests.sim.programs import pattern, sha
from tests.sim.worlds import World, echo
from uinet import ANY, L2Info, Verdict, VlanTag
from uinet.errors import AddressError, ConnectionRefused, ConnectionReset
from uinet.sim.network import Network

CLIENT_MAC = "02:00:00:00:aa:01"
SERVER_MAC = "02:00:00:00:bb:02"
STACKS: list[tuple[int | VlanTag, ...]] = [(), (100,), (100, 200), (VlanTag(7, pcp=5, tpid=0x88A8), 8, 9)]


def run(program: Callable[[World], Awaitable[None]], **conditions: Any) -> None:
    """Two promiscuous hosts, both in domain 1, on a link of 5 ms unless told otherwise."""
    conditions.setdefault("delay", 0.005)
    with Network(seed=7) as net, asyncio.Runner(loop_factory=net.asyncio) as runner:
        client, server = (net.aio_host(promiscuous=True, cdom=1) for _ in range(2))
        world = World(net, client, server, net.link(client, server, **conditions))

        async def main() -> None:
            async with client, server:
                await program(world)

        runner.run(main())


async def connect(
    world: World, vlans: Any = (), source: tuple[str, int] = ("198.51.100.7", 12345), port: int = 80,
    destination: str = "203.0.113.9",
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await world.client.open_connection(
        destination, port, source=source, l2=L2Info.make(CLIENT_MAC, SERVER_MAC, vlans), cdom=1
    )


@pytest.mark.parametrize("vlans", STACKS, ids=["untagged", "one tag", "QinQ", "three tags"])
@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
def test_any_to_any_with_the_peers_identity_on_both_sides(vlans: tuple[Any, ...], v6: bool) -> None:
    source = ("2001:db8::7" if v6 else "198.51.100.7", 12345)
    destination = ("2001:db8:1::9" if v6 else "203.0.113.9", 81)

    async def program(world: World) -> None:
        seen: list[dict[str, Any]] = []

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append({name: writer.get_extra_info(name) for name in ("peername", "sockname", "l2info", "cdom")})
            await echo(reader, writer)

        await world.server.start_server(handle, ANY, ANY, vlans=ANY, cdom=1)
        reader, writer = await connect(world, vlans, source, destination[1], destination[0])
        writer.write(pattern(50_000))
        writer.write_eof()
        assert sha(await reader.read()) == sha(pattern(50_000))
        l2 = L2Info.make(CLIENT_MAC, SERVER_MAC, vlans)
        assert seen == [{"peername": source, "sockname": destination, "l2info": l2, "cdom": 1}]
        assert writer.get_extra_info("l2info") == l2
        assert writer.get_extra_info("sockname") == source
        writer.close()

    run(program)


def test_listeners_take_exactly_the_vlans_they_ask_for() -> None:
    async def program(world: World) -> None:
        hits: list[str] = []

        def handler(name: str) -> Any:
            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                hits.append(name)
                writer.close()

            return handle

        await world.server.start_server(handler("untagged"), ANY, ANY, cdom=1)
        await world.server.start_server(handler("100"), ANY, ANY, vlans=100, cdom=1)
        await world.server.start_server(handler("100.200 port 80"), ANY, 80, vlans=(100, 200), cdom=1)
        await world.server.start_server(handler("any"), ANY, ANY, vlans=ANY, cdom=1)
        tried: list[tuple[tuple[int, ...], int]] = [
            ((), 80), ((100,), 80), ((100, 200), 80), ((100, 200), 81), ((5,), 80),
        ]
        for number, (vlans, port) in enumerate(tried):
            reader, writer = await connect(world, vlans, ("198.51.100.7", 1000 + number), port)
            assert await reader.read() == b""
            writer.close()
        assert hits == ["untagged", "100", "100.200 port 80", "any", "any"]

    run(program)


def test_one_address_uses_one_port_for_many_servers() -> None:
    async def program(world: World) -> None:
        await world.server.start_server(echo, ANY, ANY, cdom=1)

        async def one(number: int) -> None:
            reader, writer = await connect(world, (), ("198.51.100.7", 443), 1000 + number)
            writer.write(pattern(100, number))
            assert await reader.readexactly(100) == pattern(100, number)
            writer.close()

        await asyncio.gather(*(one(number) for number in range(50)))

    run(program)


def test_any_port_needs_a_domain() -> None:
    async def program(world: World) -> None:
        with pytest.raises(AddressError, match="promiscuous"):
            await world.server.start_server(echo, ANY, ANY)

    run(program)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
def test_filters_accept_reject_and_stay_silent(asynchronous: bool) -> None:
    def decide(syn: uinet.Syn) -> Verdict:
        assert syn.cdom == 1
        assert syn.l2info == L2Info.make(CLIENT_MAC, SERVER_MAC, 42)
        assert str(syn.source[0]) == "198.51.100.7"
        assert syn.options.mss == 1460
        syn.context = f"port {syn.destination[1]}"
        return {80: Verdict.ACCEPT, 81: Verdict.REJECT_RST}.get(syn.destination[1], Verdict.REJECT_SILENT)

    async def decide_later(syn: uinet.Syn) -> Verdict:
        await asyncio.sleep(0.1)
        return decide(syn)

    async def program(world: World) -> None:
        contexts: list[str] = []

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            contexts.append(writer.get_extra_info("socket").context)
            writer.close()

        await world.server.start_server(
            handle, ANY, ANY, vlans=ANY, cdom=1, syn_filter=decide_later if asynchronous else decide
        )
        start = world.net.now
        reader, writer = await connect(world, 42)
        assert await reader.read() == b""
        assert contexts == ["port 80"]
        assert (world.net.now - start > 100_000_000) == asynchronous
        writer.close()
        with pytest.raises(ConnectionRefused):
            await connect(world, 42, port=81)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connect(world, 42, port=82), 20)

    run(program)


def test_an_async_filter_is_asked_once_however_often_the_syn_comes_again() -> None:
    async def program(world: World) -> None:
        asked: list[uinet.Syn] = []

        async def think(syn: uinet.Syn) -> Verdict:
            asked.append(syn)
            await asyncio.sleep(10)
            return Verdict.ACCEPT

        await world.server.start_server(echo, ANY, ANY, cdom=1, syn_filter=think)
        _, writer = await connect(world)
        assert len(asked) == 1
        assert world.server.stats()["stack"]["tcp_syn_deferred_again"] >= 3
        assert world.server.stats()["stack"].get("tcp_retransmit", 0) == 0
        writer.close()

    run(program)


async def raises(syn: uinet.Syn) -> Verdict:
    raise ZeroDivisionError("a filter's mistake")


async def nonsense(syn: uinet.Syn) -> Any:
    return True


async def defers_twice(syn: uinet.Syn) -> Verdict:
    return Verdict.DEFER


@pytest.mark.parametrize("broken", [raises, nonsense, defers_twice, lambda syn: raises(syn), lambda syn: 1 / 0])
def test_a_filter_that_fails_rejects_silently_and_is_logged(broken: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def program(world: World) -> None:
        await world.server.start_server(echo, ANY, ANY, cdom=1, syn_filter=broken)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connect(world), 0.5)
        stats = world.server.stats()["stack"]
        assert stats["tcp_syn_filter_error"] == 1
        assert stats["tcp_syn_rejected_silent"] == 1
        assert "tcp_rst_out" not in stats
        # the stack lives on
        await world.server.start_server(echo, ANY, 7, cdom=1)
        reader, writer = await connect(world, source=("198.51.100.8", 1), port=7)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()

    with caplog.at_level(logging.ERROR, "uinet"):
        run(program)
    assert len(caplog.records) == 1
    assert "SYN filter" in caplog.text


def test_closing_the_server_cancels_its_filters() -> None:
    async def program(world: World) -> None:
        ended: list[str] = []

        async def think(syn: uinet.Syn) -> Verdict:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise
            return Verdict.ACCEPT

        server = await world.server.start_server(echo, ANY, ANY, cdom=1, syn_filter=think)
        attempt = asyncio.create_task(connect(world))
        await asyncio.sleep(1)
        server.close()
        await asyncio.sleep(1)
        assert ended == ["cancelled"]
        attempt.cancel()

    run(program)


def test_a_filter_hears_that_its_client_has_gone_away() -> None:
    async def program(world: World) -> None:
        ended: list[str] = []

        async def think(syn: uinet.Syn) -> Verdict:
            try:
                await asyncio.sleep(1000)
            finally:
                ended.append("cancelled")
            return Verdict.ACCEPT

        def told(syn: uinet.Syn, why: str) -> None:
            ended.append(why)

        async def think_and_listen(syn: uinet.Syn) -> Verdict:
            syn.on_gone = told
            await asyncio.sleep(500)
            return Verdict.ACCEPT

        await world.server.start_server(echo, ANY, 80, cdom=1, syn_filter=think)
        await world.server.start_server(echo, ANY, 81, cdom=1, syn_filter=think_and_listen)
        attempts = [asyncio.create_task(connect(world, port=port)) for port in (80, 81)]
        await asyncio.sleep(100)
        assert sorted(ended) == ["cancelled", "timeout"]
        for attempt in attempts:
            attempt.cancel()
        await asyncio.sleep(500)  # the second filter's verdict comes too late, and does no harm
        assert world.server.stats()["connections"] == 0

    run(program)


def test_a_middlebox_joins_two_domains() -> None:
    """Client and server never learn of the host between them, which has one domain on each side."""
    with Network(seed=7) as net, asyncio.Runner(loop_factory=net.asyncio) as runner:
        client, middle, server = (net.aio_host(promiscuous=True) for _ in range(3))
        near = net.link(client, middle, delay=0.005)
        far = net.link(middle, server, delay=0.005)
        assert [interface.cdom for interface in middle.sim.interfaces] == [1, 2]

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            info = writer.get_extra_info
            onward_reader, onward_writer = await middle.open_connection(
                *info("sockname"), source=info("peername"), l2=info("l2info"), cdom=2
            )

            async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
                while data := await source.read(65536):
                    target.write(data)
                    await target.drain()
                target.write_eof()

            await asyncio.gather(copy(reader, onward_writer), copy(onward_reader, writer))
            writer.close()
            onward_writer.close()

        async def main() -> None:
            world = World(net, client, server, near)
            async with client, middle, server:
                await middle.start_server(relay, ANY, ANY, vlans=ANY, cdom=1)
                seen: list[Any] = []

                async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                    seen.append(writer.get_extra_info("l2info"))
                    seen.append(writer.get_extra_info("peername"))
                    await echo(reader, writer)

                await server.start_server(handle, ANY, ANY, vlans=ANY, cdom=1)
                reader, writer = await connect(world, (5, 6))
                writer.write(pattern(100_000))
                writer.write_eof()
                assert sha(await reader.read()) == sha(pattern(100_000))
                assert seen == [L2Info.make(CLIENT_MAC, SERVER_MAC, (5, 6)), ("198.51.100.7", 12345)]
                writer.close()
                far.set(loss=0.0)

        runner.run(main())


def test_an_abort_travels_with_the_right_tags() -> None:
    async def program(world: World) -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        await world.server.start_server(handle, ANY, ANY, vlans=ANY, cdom=1)
        reader, writer = await connect(world, (5, 6))
        with pytest.raises(ConnectionReset):
            await reader.read()
        writer.close()

    run(program)
