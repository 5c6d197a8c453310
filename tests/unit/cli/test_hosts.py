"""ping, nc, serve and proxy: on memory devices and virtual time, or as processes where it must be."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

import uinet
from uinet.aio.host import Host
from uinet.cli import nc, serve
from uinet.cli.common import HostOptions, console, seed_bytes, si
from uinet.cli.group import Failure
from uinet.cli.group import run as run_command
from uinet.cli.ping import Tally, ping
from uinet.cli.proxy import logging_to
from uinet.cli.proxy_stats import Stats, drops_of, snapshot
from uinet.cli.stdio import Input
from uinet.cli.web import StaticSite
from uinet.errors import DeviceGone, TimedOut
from uinet.link.flow_files import FlowFiles
from uinet.link.memory import MemoryDevice
from uinet.proxy.runner import Options, Runner
from uinet.sim.network import Network

SOURCE = Path(uinet.__file__).parents[1]
HERE = HostOptions("memory:line", ("10.7.0.1/24",), (), None, 1)


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Runs a coroutine function on virtual time."""
    with Network(seed=1, limit=3600) as net, asyncio.Runner(loop_factory=net.asyncio) as runner:
        runner.run(main())


async def other_end(host: Host) -> None:
    """Gives `host` the other end of the line."""
    await host.add_device("memory:line", addresses=["10.7.0.2/24"])


def test_si() -> None:
    assert [si(value, "B") for value in (0, 999, 9999, 10_000, 1_500_000, 2e15)] == [
        "0 B", "999 B", "9999 B", "10.0 kB", "1500.0 kB", "2000.0 TB",
    ]


def test_options_know_our_addresses() -> None:
    options = HostOptions("memory:x", ("fd00::1/64", "10.0.0.1/24"), (), None, None)
    assert (options.address(4), options.address(6)) == ("10.0.0.1", "fd00::1")
    assert seed_bytes(None) is None
    assert HostOptions("memory:x", ("dhcp", "10.0.0.1/24"), (), None, None).address(4) == "10.0.0.1"


def test_serve_without_a_dhcp_server_is_one_line(tmp_path: Path) -> None:
    async def main() -> None:
        options = HostOptions("memory:line", ("dhcp",), (), None, 1)
        with pytest.raises(TimedOut, match="memory:line: no DHCP server has answered within 30 s"):
            await serve.serve(options, StaticSite(tmp_path), 80, print)

    run(main)


def test_serve_tells_an_address_that_it_found_itself(tmp_path: Path) -> None:
    said: list[str] = []

    async def main() -> None:
        options = HostOptions("memory:line", ("link-local",), (), None, 1)
        serving = asyncio.create_task(serve.serve(options, StaticSite(tmp_path), 80, said.append))
        await asyncio.sleep(5)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    run(main)
    (line,) = said
    assert line.startswith(f"serving {tmp_path} on fe80::") and line.endswith("/64, port 80")


# ping


def test_ping_counts_what_answers(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with Host(seed=b"other") as host:
            await other_end(host)
            await ping(HERE, tally, 3, 0.5, 1.0, 100)
            assert 1.0 <= asyncio.get_running_loop().time() - 1.0 < 1.5

    tally = Tally("10.7.0.2", as_json=False)
    run(main)
    tally.print()
    out = capsys.readouterr().out
    assert (tally.sent, len(tally.times)) == (3, 3)
    assert out.count("100 bytes from 10.7.0.2: seq=") == 3
    assert "3 sent, 3 answered, 0% lost" in out


def test_ping_that_nobody_answers_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        await ping(HERE, tally, 2, 0.1, 1.0, 0)

    tally = Tally("10.7.0.9", as_json=True)
    run(main)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["seq"] for line in lines] == [1, 2]
    assert all(line["error"] for line in lines)
    assert tally.times == []


# nc


class Terminal:
    """Standard input and output of nc, in memory: a question, and after a second its end."""

    def __init__(self) -> None:
        self.chunks = [b"question\n", b""]
        self.output = b""

    async def read(self) -> bytes:
        if len(self.chunks) == 1:
            await asyncio.sleep(1.0)
        return self.chunks.pop(0)

    async def write(self, data: bytes) -> None:
        self.output += data


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def test_nc_joins_its_input_and_output_to_a_connection(terminal: Terminal) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()

    async def main() -> None:
        async with Host(seed=b"other") as host:
            await other_end(host)
            await host.start_server(answer, "10.7.0.2", 80)
            await nc.run(HERE, "10.7.0.2", 80, False, 5.0, True, lambda: terminal)

    run(main)
    assert terminal.output == b"QUESTION\n"


def test_nc_listens_for_one_connection(terminal: Terminal) -> None:
    async def main() -> None:
        listening = asyncio.create_task(nc.run(HERE, None, 7000, True, None, False, lambda: terminal))
        async with Host(seed=b"other") as host:
            await other_end(host)
            await asyncio.sleep(0.1)
            reader, writer = await host.open_connection("10.7.0.1", 7000)
            assert await reader.readline() == b"question\n"
            with pytest.raises(ConnectionRefusedError):
                await host.open_connection("10.7.0.1", 7000)
            writer.write(b"answer")
            writer.close()
            await listening

    run(main)
    assert terminal.output == b"answer"


def test_nc_that_nobody_answers_or_that_is_reset_fails(terminal: Terminal) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def main() -> None:
        with pytest.raises(TimedOut, match="nobody answered in 2 s"):
            await nc.run(HERE, "10.7.0.9", 80, False, 2.0, False, lambda: terminal)
        async with Host(seed=b"other") as host:
            await other_end(host)
            with pytest.raises(ConnectionRefusedError):
                await nc.run(HERE, "10.7.0.2", 81, False, 2.0, False, lambda: terminal)
            await host.start_server(cut, "10.7.0.2", 80)
            with pytest.raises(Failure):
                await nc.run(HERE, "10.7.0.2", 80, False, 2.0, False, lambda: terminal)

    run(main)


def test_input_gives_a_pipes_bytes_and_its_end_ever_after() -> None:
    async def main() -> None:
        read, write = os.pipe()
        try:
            source = Input(read)
            os.write(write, b"some bytes")
            assert await source.read() == b"some bytes"
            os.close(write)
            assert await source.read() == b""
            assert await source.read() == b""
        finally:
            os.close(read)

    asyncio.run(main())


def test_input_that_cannot_be_read_raises() -> None:
    async def main() -> None:
        descriptor = os.open("/", os.O_RDONLY)
        try:
            with pytest.raises(IsADirectoryError):
                await Input(descriptor).read()
        finally:
            os.close(descriptor)

    asyncio.run(main())


# serve


def test_serve_answers_over_the_stack(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 4000)
    said: list[str] = []

    async def main() -> None:
        serving = asyncio.create_task(serve.serve(HERE, StaticSite(tmp_path), 80, said.append))
        async with Host(seed=b"other") as host:
            await other_end(host)
            await asyncio.sleep(0.1)
            reader, writer = await host.open_connection("10.7.0.1", 80)
            writer.write(b"GET /file HTTP/1.1\r\nConnection: close\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert body == bytes(range(256)) * 4000
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    run(main)
    assert said == [f"serving {tmp_path} on 10.7.0.1/24, port 80"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_at_a_signal_with_status_0_and_nc_with_130(number: signal.Signals, tmp_path: Path) -> None:
    for arguments, first, status in (
        (["serve", str(tmp_path)], f"serving {tmp_path.resolve()} on 10.7.0.1/24, port 80\n", 0),
        (["nc", "-l", "-v", "7000"], "waiting for a connection to port 7000\n", 130),
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "uinet.cli", *arguments, "-d", "memory:x", "-a", "10.7.0.1/24"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
            env={"PYTHONPATH": str(SOURCE)},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == first
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, out.strip()) == (status, "")


# proxy


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_proxy_ends_at_a_signal_with_status_0(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "uinet.cli", "proxy", "memory:a", "memory:b", "--drain", "5"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={"PYTHONPATH": str(SOURCE)},
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "proxying between memory:a and memory:b\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "0 connections, 0 B\n")


def test_proxy_stats_show_connections_bytes_and_drops(tmp_path: Path) -> None:
    async def main() -> None:
        a, middle_a = MemoryDevice.pair("a")
        middle_b, b = MemoryDevice.pair("b")
        async with Host(seed=b"c") as client, Runner(middle_a, middle_b, Options(seed=b"p")) as runner:
            ticks = iter(range(100))
            view = Stats(partial(snapshot, runner), clock=lambda: next(ticks))
            await client.add_device(a, addresses=["10.7.0.1/24"])
            runner.host.stack.stats.count("tcp_bad_checksum", 3)
            runner.proxy.counts.update(syns=5, opened=4, excluded=1, client_bytes=2_000_000)
            runner.proxy.outcomes["closed"] = 4
            runner.files = FlowFiles(tmp_path)
            runner.files.counters.update(files=7, bytes=12_000, lost=2)
            screen = console()
            with screen.capture() as capture:
                screen.print(view.table())
            text = capture.get()
            assert "4/s new" in text
            assert "2000.0 kB, 16.0 Mbit/s" in text
            assert "4 closed" in text
            assert "5: 1 excluded" in text
            assert "7 files, 0 open, 12.0 kB, 2 packets lost" in text
            assert "3 tcp_bad_checksum" in text
            assert drops_of(runner) == {"tcp_bad_checksum": 3}
            b.close()

    run(main)


def test_log_lines_have_no_traceback_and_leave_the_vanished_device_to_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = logging.getLogger("uinet")
    with logging_to(console(stderr=True)):
        try:
            raise ValueError("two\nlines")
        except ValueError:
            logger.exception("a [bad] thing")
        logger.error("%s is down: %s", "eth0", DeviceGone("eth0 was deleted"))
    assert capsys.readouterr().err == "uinet: a [bad] thing: ValueError: two lines\n"


def test_proxy_workers_need_interfaces_that_can_be_shared(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["proxy", "memory:a", "memory:b", "--workers", "2"]) == 2
    assert "memory devices can't be shared by several workers" in capsys.readouterr().err
    assert run_command(["proxy", "memory:a", "memory:b", "--workers", "0"]) == 2
