"""Pairs over the kernel's sockets, on loopback: client - near - far - server."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.codecs.test_session import noise
from uinet.codecs.disk import DiskStore
from uinet.errors import AddressInUse, InvalidArgument
from uinet.proxy.coding import Coding, make_coding
from uinet.proxy.tcp_mode import TcpOptions, TcpProxy, parse_endpoint

HERE = "127.0.0.1"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())


class Pair:
    """Both proxies; `records`: of connections that are over, near ones and far ones."""

    def __init__(self, near: TcpProxy, far: TcpProxy) -> None:
        self.near = near
        self.far = far
        self.records: dict[str, list[dict[str, Any]]] = {"near": [], "far": []}
        for name, proxy in (("near", near), ("far", far)):
            proxy.options.on_event = lambda what, one, name=name: self.records[name].append(one.as_dict())

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HERE, self.near.port)

    async def over(self, count: int = 1) -> None:
        """Until so many connections are over at both."""
        while len(self.records["near"]) < count or len(self.records["far"]) < count:
            await asyncio.sleep(0.01)


def coding(codec: str, peer: str, folder: Path | None = None) -> Coding:
    made = make_coding(codec, peer, str(folder) if folder is not None else None)
    assert made is not None
    return made


@contextlib.asynccontextmanager
async def pair(
    handle: Handler, codec: str = "dedup", back: str = "", folders: tuple[Path, Path] | None = None
) -> AsyncIterator[Pair]:
    near_folder, far_folder = folders if folders is not None else (None, None)
    handlers: set[asyncio.Task[Any]] = set()

    async def noted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        await handle(reader, writer)

    server = await asyncio.start_server(noted, HERE, 0)
    port = server.sockets[0].getsockname()[1]
    options = TcpOptions(coding(back or codec, "client", far_folder))
    async with contextlib.AsyncExitStack() as stack:
        far = await stack.enter_async_context(TcpProxy((HERE, 0), (HERE, port), options))
        near_options = TcpOptions(coding(codec, "server", near_folder))
        near = await stack.enter_async_context(TcpProxy((HERE, 0), (HERE, far.port), near_options))
        yield Pair(near, far)
    server.close()
    if handlers:  # they see the end of their connections
        await asyncio.wait(handlers)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # the proxy has been reset
    finally:
        writer.close()


@pytest.mark.parametrize("codec", ["plain", "zstd", "dedup"])
def test_stream_passes_both_ways(codec: str) -> None:
    data = noise(500_000)

    async def main() -> None:
        async with pair(echo, codec) as both:
            reader, writer = await both.connect()
            writer.write(data)
            writer.write_eof()
            assert await reader.read(-1) == data
            writer.close()
            await both.over()
            (near,), (far,) = both.records["near"], both.records["far"]
            assert near["outcome"] == far["outcome"] == "closed"
            assert near["client"]["bytes"] == near["server"]["bytes"] == len(data)
            assert near["codec"]["wire_out"] == far["codec"]["wire_in"]
            if codec == "dedup":
                assert far["codec"]["wire_out"] < 0.03 * len(data)  # the server said what the client had said

    run(main)


@pytest.mark.parametrize("codec", ["plain", "zstd", "dedup"])
def test_conversation_is_not_held_up(codec: str) -> None:
    async def main() -> None:
        async with pair(echo, codec) as both:
            reader, writer = await both.connect()
            for number in range(50):
                line = b"line %d\n" % number
                writer.write(line)
                assert await reader.readline() == line
            writer.close()

    run(main)


def test_half_close_leaves_the_other_direction_open() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = await reader.read(-1)
        await asyncio.sleep(0.05)
        writer.write(b"answer to " + seen)
        writer.close()

    async def main() -> None:
        async with pair(slow) as both:
            reader, writer = await both.connect()
            writer.write(b"question")
            writer.write_eof()
            assert await reader.read(-1) == b"answer to question"
            writer.close()
            await both.over()
            assert both.records["near"][0]["outcome"] == "closed"

    run(main)


@pytest.mark.parametrize("who", ["client", "server"])
def test_reset_passes_through(who: str) -> None:
    ended: list[BaseException | bytes] = []
    heard = asyncio.Event()

    def cut(writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(5)
        heard.set()
        if who == "server":
            cut(writer)
            return
        try:
            ended.append(await reader.read(1))
        except OSError as error:
            ended.append(error)
        writer.close()

    async def main() -> None:
        async with pair(handle) as both:
            reader, writer = await both.connect()
            writer.write(b"hello")
            await heard.wait()
            if who == "client":
                cut(writer)
            else:
                with pytest.raises(ConnectionResetError):
                    await reader.read(1)
                writer.close()
            await both.over()
            assert {one["outcome"] for one in both.records["near"] + both.records["far"]} == {"reset"}
            if who == "client":
                assert isinstance(ended[0], ConnectionResetError)

    run(main)


def test_server_that_refuses_resets_the_client() -> None:
    async def main() -> None:
        with socket.socket() as unused:
            unused.bind((HERE, 0))
            async with TcpProxy((HERE, 0), unused.getsockname(), TcpOptions()) as proxy:
                records: list[Any] = []
                proxy.options.on_event = lambda what, one: records.append(one.outcome)
                reader, writer = await asyncio.open_connection(HERE, proxy.port)
                with pytest.raises(ConnectionResetError):
                    await reader.read(1)
                writer.close()
                while not records:
                    await asyncio.sleep(0.01)
                assert records == ["refused"]

    run(main)


def test_foreign_peer_is_one_line_and_a_counter(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uinet.proxy.coding.TELL_EVERY", 60.0)

    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(web, HERE, 0)
        made = coding("dedup", "server")
        async with TcpProxy((HERE, 0), server.sockets[0].getsockname(), TcpOptions(made)) as proxy:
            for _ in range(3):
                reader, writer = await asyncio.open_connection(HERE, proxy.port)
                with pytest.raises(ConnectionResetError):
                    await reader.read(1)
                writer.close()
            assert made.total().foreign == 3
        server.close()

    run(main)
    assert len(caplog.records) == 1 and "is the other proxy of the pair there?" in caplog.text


def test_other_proxy_hears_why_it_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with pair(echo, "dedup", back="zstd") as both:  # the far one has no store
            reader, writer = await both.connect()
            writer.write(noise(50000))
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
            writer.close()
            await both.over()
            far, near = both.far.options.coding, both.near.options.coding
            assert far is not None and far.total().version == 1
            assert near is not None and near.total().refused == 1

    run(main)
    assert "the peer refuses: " in caplog.text and "want --codec dedup here too" in caplog.text


@pytest.mark.parametrize("lose", [None, "near", "far"])
def test_pair_restarted_in_the_middle(tmp_path: Path, lose: str | None) -> None:
    """Both proxies die in a transfer; with what is on disk the second attempt sends the rest, even if one store is
    lost."""
    data = noise(3 << 20)
    folders = tmp_path / "near", tmp_path / "far"

    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        digest = hashlib.sha256()
        while piece := await reader.read(65536):
            digest.update(piece)
        writer.write(digest.hexdigest().encode())
        writer.close()

    async def main() -> None:
        async with pair(sink, folders=folders) as both:
            _, writer = await both.connect()
            writer.write(data[: 2 << 20])
            far = both.far.options.coding
            assert far is not None
            while far.total().plain_in < 2_000_000:
                await asyncio.sleep(0.01)
            writer.close()
        if lose is not None:
            for file in (tmp_path / lose).glob("*"):
                file.unlink()
        async with pair(sink, folders=folders) as both:
            reader, writer = await both.connect()
            writer.write(data)
            writer.write_eof()
            assert (await reader.read(-1)).decode() == hashlib.sha256(data).hexdigest()
            writer.close()
            await both.over()
            sent = both.records["near"][0]["codec"]["wire_out"]
            assert sent < (1.6 if lose is None else 3.3) * (1 << 20)

    run(main)


def test_store_is_closed_with_its_proxy(tmp_path: Path) -> None:
    async def main() -> None:
        async with pair(echo, folders=(tmp_path / "a", tmp_path / "b")):
            pass
        DiskStore(str(tmp_path / "a"), 1 << 20).close()

    run(main)


def test_port_in_use_is_told() -> None:
    async def main() -> None:
        async with TcpProxy((HERE, 0), (HERE, 1), TcpOptions()) as first:
            with pytest.raises(AddressInUse, match=r"can't listen on 127\.0\.0\.1 port"):
                async with TcpProxy((HERE, first.port), (HERE, 1), TcpOptions()):
                    pass

    run(main)


def test_endpoints() -> None:
    assert parse_endpoint("[fd00::1]:80") == ("fd00::1", 80) and parse_endpoint(":80") == ("", 80)
    for text in ("80", "host", "host:", "fd00::1:80", "host:99999", "host:x"):
        with pytest.raises(InvalidArgument, match="HOST:PORT"):
            parse_endpoint(text)


def test_coding_options_that_make_no_sense_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="want one"):
        make_coding(None, "server", str(tmp_path))
    with pytest.raises(InvalidArgument, match="want --codec dedup with it"):
        make_coding("plain", "server", str(tmp_path))
    assert make_coding(None, "server", None) is None
