"""Signed connections between two stacks, over links that lose, reorder and repeat; and somebody who forges."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.sim.programs import pattern, sha
from tests.sim.worlds import CLIENT, SERVER, World, echo, run
from uinet import AoInfo, AoKey, L2Info, Md5Key
from uinet.sockopt import IPPROTO_TCP, TCP_AO_ADD_KEY, TCP_AO_INFO, TCP_MD5SIG
from uinet.wire import build

KEY = b"a master key"


async def opened(world: World, name: int, *keys: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Any]:
    """A connection to the server's port 7 whose segments are signed."""
    loop = asyncio.get_running_loop()
    sock = world.client.stack.socket()
    for key in keys:
        sock.setsockopt(IPPROTO_TCP, name, key)
    sock.connect((SERVER, 7))
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    while sock.state == "SYN-SENT":
        await asyncio.sleep(0.001)
    transport, _ = await world.client.adopt(sock, lambda: protocol)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop), sock


def pair(kind: str) -> tuple[int, Any, Any]:
    """The option, the client's key and the server's."""
    if kind == "md5":
        return TCP_MD5SIG, Md5Key(SERVER, KEY), Md5Key("10.0.0.0/24", KEY)
    return TCP_AO_ADD_KEY, AoKey(SERVER, KEY, 1, 2, kind), AoKey("10.0.0.0/24", KEY, 2, 1, kind)


@pytest.mark.parametrize("kind", ["md5", "hmac-sha-1-96", "aes-128-cmac-96"])
def test_a_stream_comes_back_whole_over_a_bad_link(kind: str) -> None:
    async def program(world: World) -> None:
        name, mine, theirs = pair(kind)
        server = await world.server.start_server(echo, SERVER, 7)
        server.sockets[0].setsockopt(IPPROTO_TCP, name, theirs)
        reader, writer, sock = await opened(world, name, mine)
        data = pattern(60_000)
        writer.write(data)
        writer.write_eof()
        assert sha(await reader.read()) == sha(data)
        assert sock.info().signed == ("md5" if kind == "md5" else "ao")
        writer.close()
        await writer.wait_closed()
        for host in (world.client, world.server):
            stats = host.stack.stats
            assert stats["tcp_md5_wrong"] == stats["tcp_ao_wrong"] == stats["tcp_ao_missing"] == 0
            assert stats["tcp_retransmit"] > 0

    run(program, rate=50e6, loss=0.03, reorder=0.1, duplicate=0.1)


def test_keys_are_changed_in_the_middle_of_a_stream() -> None:
    async def program(world: World) -> None:
        server = await world.server.start_server(echo, SERVER, 7)
        for number in (1, 11):
            server.sockets[0].setsockopt(
                IPPROTO_TCP, TCP_AO_ADD_KEY, AoKey("10.0.0.0/24", KEY + bytes([number]), number + 1, number)
            )
        keys = [AoKey(SERVER, KEY + bytes([number]), number, number + 1) for number in (1, 11)]
        reader, writer, sock = await opened(world, TCP_AO_ADD_KEY, *keys)
        for turn in range(6):
            writer.write(pattern(5000))
            assert sha(await reader.readexactly(5000)) == sha(pattern(5000))
            wanted = 2 if turn % 2 else 12
            sock.setsockopt(IPPROTO_TCP, TCP_AO_INFO, AoInfo(current=wanted - 1, rnext=wanted))
        writer.write(b"x")
        await reader.readexactly(1)
        info = sock.getsockopt(IPPROTO_TCP, TCP_AO_INFO)
        assert info.rnext == 2 and info.bad == info.unknown_key == 0
        writer.close()
        await writer.wait_closed()

    run(program, loss=0.02)


@pytest.mark.threat(23)
def test_forged_resets_and_data_in_the_window_do_nothing() -> None:
    async def program(world: World) -> None:
        name, mine, theirs = pair("hmac-sha-1-96")
        server = await world.server.start_server(echo, SERVER, 7)
        server.sockets[0].setsockopt(IPPROTO_TCP, name, theirs)
        reader, writer, sock = await opened(world, name, mine)
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        tcb, port = sock.tcb, sock.getsockname()[1]
        stack = world.client.stack
        link = stack.interfaces[0]
        l2 = L2Info.make("02:00:00:00:00:66", link.mac, ())
        for flags, data in (("R", b""), ("R.", b""), ("P.", b"evil"), ("S", b""), ("F.", b"")):
            # by somebody who knows every number
            frame = build.tcp(SERVER, CLIENT, 7, port, flags, tcb.rcv_nxt, tcb.snd_nxt, 65535, (), data, l2)
            stack.input(link, [frame], stack.now)
        assert stack.stats["tcp_ao_missing"] == 5
        writer.write(b"after")
        assert await reader.readexactly(5) == b"after"
        writer.close()
        await writer.wait_closed()

    run(program)
