"""Two transparent proxies with codecs between client and server, on memory devices and virtual time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.proxy.test_runner import L2, SOURCE, TARGET, run, until
from uinet import ANY
from uinet.aio.host import Host
from uinet.link.memory import MemoryDevice
from uinet.proxy.coding import Coding, make_coding
from uinet.proxy.policy import Policy, PolicyError
from uinet.proxy.runner import Options, Runner

DATA = bytes(range(256)) * 4000


class Town:
    """client - near - far - server. `records`: of connections that are over."""

    def __init__(self, client: Host, near: Runner, far: Runner, server: Host) -> None:
        self.client = client
        self.server = server
        self.proxies = {"near": near, "far": far}
        self.records: dict[str, list[dict[str, Any]]] = {"near": [], "far": []}
        self.seen: list[Any] = []
        for name, runner in self.proxies.items():
            runner.proxy.on_event = lambda what, one, name=name: (
                self.records[name].append(one.as_dict()) if what == "finished" else None
            )

    async def connect(self, port: int = 80) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await self.client.open_connection(
            TARGET[0], port, source=(SOURCE[0], 40000 + port), l2=L2, cdom=1
        )

    async def over(self, count: int = 1) -> None:
        await until(lambda: all(len(records) >= count for records in self.records.values()))


def coding(codec: str, peer: str, choose: Any = None) -> Coding:
    made = make_coding(codec, peer, None, choose=choose)
    assert made is not None
    return made


@asynccontextmanager
async def town(handle: Any, codec: str, policy: Policy | None = None, far: bool = True) -> Any:
    """The town; without `far` the second proxy has no codec."""
    async with AsyncExitStack() as stack:
        links = [MemoryDevice.pair(name) for name in ("first", "second", "third")]
        client = await stack.enter_async_context(Host(seed=b"client", linger=1.0))
        server = await stack.enter_async_context(Host(seed=b"server", linger=1.0))
        choose = policy.choose_codec if policy is not None and policy.codec is not None else None
        near = await stack.enter_async_context(Runner(
            links[0][1], links[1][0], Options(seed=b"n", coding=coding(codec, "server", choose), policy=policy)
        ))
        away = await stack.enter_async_context(Runner(
            links[1][1], links[2][0], Options(seed=b"f", coding=coding(codec, "client") if far else None)
        ))
        await client.add_device(links[0][0], promiscuous=True, cdom=1)
        await server.add_device(links[2][1], promiscuous=True, cdom=1)
        await server.start_server(handle, ANY, ANY, vlans=ANY, cdom=1)
        yield Town(client, near, away, server)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        pass  # the proxy has been reset


@pytest.mark.parametrize("codec", ["plain", "zstd", "dedup"])
def test_pair_is_transparent_and_saves(codec: str) -> None:
    peers: list[Any] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append((writer.get_extra_info("peername"), writer.get_extra_info("l2info").vlans))
        await echo(reader, writer)

    async def main() -> None:
        async with town(handle, codec) as both:
            reader, writer = await both.connect()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"  # nothing is held back
            writer.write(DATA)
            writer.write_eof()
            assert await reader.read(-1) == DATA
            writer.close()
            await both.over()
            near, far = both.records["near"][0], both.records["far"][0]
            assert near["outcome"] == far["outcome"] == "closed"
            assert near["client"]["bytes"] == far["client"]["bytes"] == len(DATA) + 5
            assert near["codec"]["wire_out"] == far["codec"]["wire_in"] > 0
            if codec != "plain":
                assert near["codec"]["saved"] > 0.8
            total = both.proxies["near"].options.coding.total()
            assert total.plain_out == len(DATA) + 5 and not both.proxies["near"].options.coding.live

    run(main)
    (peer, port), vlans = peers[0]
    assert (str(peer), port) == ("10.0.0.1", 40080) and [tag.vid for tag in vlans] == [100, 200]


def test_ended_connections_keep_no_memory_of_codecs() -> None:
    async def main() -> None:
        async with town(echo, "zstd") as both:
            made: list[Any] = []
            for runner in both.proxies.values():
                coding = runner.options.coding
                session = coding.session
                coding.session = lambda connection, session=session: made.append(session(connection)) or made[-1]
            for port in (80, 81):
                reader, writer = await both.connect(port)
                writer.write(DATA)
                if port == 81:
                    await reader.readexactly(1)
                    writer.transport.abort()
                else:
                    writer.write_eof()
                    assert await reader.read(-1) == DATA
                    writer.close()
            await both.over(2)
            assert len(made) == 4 and all(one.decoder is None and one.encoder.codec == 0 for one in made)
            assert all(one["codec"]["plain_out"] > 0 for one in both.records["near"])

    run(main)


def test_reset_passes_through_the_pair() -> None:
    async def main() -> None:
        async with town(echo, "dedup") as both:
            reader, writer = await both.connect()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.transport.abort()
            await both.over()
            assert both.records["near"][0]["outcome"] == both.records["far"][0]["outcome"] == "reset"

    run(main)


def test_connection_from_the_servers_side_is_coded_on_the_same_link() -> None:
    async def main() -> None:
        async with town(echo, "zstd") as both:
            await both.client.start_server(echo, ANY, ANY, vlans=ANY, cdom=1)
            reader, writer = await both.server.open_connection(
                SOURCE[0], 8080, source=(TARGET[0], 5000), l2=L2.reversed(), cdom=1
            )
            writer.write(DATA)
            writer.write_eof()
            assert await reader.read(-1) == DATA
            writer.close()
            await both.over()
            near, far = both.records["near"][0], both.records["far"][0]
            assert near["from"] == far["from"] == "server" and near["client"]["bytes"] == len(DATA)
            assert near["codec"]["wire_in"] == far["codec"]["wire_out"] < len(DATA) // 10

    run(main)


def test_policy_chooses_the_codec_and_rewrites_what_passes() -> None:
    async def louder(reader: Any, writer: Any, connection: Any) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()

    async def softer(reader: Any, writer: Any, connection: Any) -> None:
        while line := await reader.readline():
            writer.write(line.replace(b"HELLO", b"goodbye"))
            await writer.drain()

    def choose(connection: Any) -> str | None:
        return "plain" if connection.flow.destination_port == 81 else None

    policy = Policy(client_to_server=louder, server_to_client=softer, codec=choose)

    async def main() -> None:
        async with town(echo, "dedup", policy) as both:
            for port in (80, 81):
                reader, writer = await both.connect(port)
                writer.write(b"hello\n" * 1000)
                writer.write_eof()
                assert await reader.read(-1) == b"goodbye\n" * 1000
                writer.close()
            await both.over(2)
            assert [one["codec"]["name"] for one in both.records["near"]] == ["dedup", "plain"]

    run(main)


def test_peer_without_codec_is_refused_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def main() -> None:
        async with town(web, "zstd", far=False) as both:
            reader, _writer = await both.connect()
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
            await both.over()
            assert "is the other proxy of the pair there?" in both.records["near"][0]["error"]
            assert both.proxies["near"].options.coding.total().foreign == 1

    run(main)
    assert caplog.text.count("is the other proxy of the pair there?") == 1


def test_what_is_no_codec_is_a_policy_error() -> None:
    policy = Policy(codec=lambda connection: "gzip", path="p.py")

    async def main() -> None:
        async with town(echo, "zstd", policy) as both:
            reader, _writer = await both.connect()
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
            await until(lambda: both.records["near"])
            assert both.records["near"][0]["outcome"] == "policy-error"

    run(main)


def test_codec_that_raises_is_a_policy_error_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "policy.py"
    file.write_text("def codec(connection):\n    return {}['none']\n")

    async def main() -> None:
        async with town(echo, "zstd", Policy.load(file)) as both:
            reader, _writer = await both.connect()
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
            await until(lambda: both.records["near"])
            assert both.records["near"][0]["outcome"] == "policy-error"
            assert both.records["near"][0]["error"] == f"{file}:2: KeyError: 'none'"

    run(main)


def test_codec_of_a_policy_file(tmp_path: Path) -> None:
    file = tmp_path / "policy.py"
    file.write_text("def codec(connection):\n    return 'zstd'\n")
    found = Policy.load(file)
    assert found.codec is not None and not found.rewrites and not found.needs_loop
    file.write_text("def codec():\n    return 'zstd'\n")
    with pytest.raises(PolicyError, match=r"policy.py:1: codec must take \(connection\)"):
        Policy.load(file)
