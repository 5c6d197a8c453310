"""The proxy over memory devices on an event loop on virtual time, between hosts with stacks of their own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from uinet import ANY
from uinet.aio.host import Host
from uinet.errors import DeviceGone
from uinet.link.memory import MemoryDevice
from uinet.proxy.policy import Policy
from uinet.proxy.runner import Options, Runner
from uinet.sim.network import Network
from uinet.wire import build
from uinet.wire.addresses import L2Info
from uinet.wire.pcap import read

L2 = L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02", (100, 200))
SOURCE, TARGET = ("10.0.0.1", 40000), ("10.0.0.2", 80)


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Runs a coroutine function on virtual time."""
    with Network(seed=1, limit=3600) as net, asyncio.Runner(loop_factory=net.asyncio) as runner:
        runner.run(main())


class Town:
    """client host - runner - server host. `handle` serves the server's connections."""

    def __init__(
        self, client: Host, server: Host, runner: Runner, ends: list[MemoryDevice]
    ) -> None:
        self.client = client
        self.server = server
        self.runner = runner
        self.ends = ends
        self.records: list[dict[str, Any]] = []
        runner.options.on_event = self.event
        runner.proxy.on_event = self.event

    def event(self, what: str, connection: Any) -> None:
        if what == "finished":
            self.records.append(connection.as_dict(self.runner.epoch))

    async def connect(self, port: int = 80) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of the client."""
        return await self.client.open_connection(
            TARGET[0], port, source=(SOURCE[0], 40000 + port), l2=L2, cdom=1
        )


@asynccontextmanager
async def town(handle: Callable[..., Any], **options: Any) -> Any:
    """A town; its runner is stopped at the end."""
    async with AsyncExitStack() as stack:
        (near, middle_a), (middle_b, far) = MemoryDevice.pair("near"), MemoryDevice.pair("far")
        client = await stack.enter_async_context(Host(seed=b"client", linger=1.0))
        server = await stack.enter_async_context(Host(seed=b"server", linger=1.0))
        runner = await stack.enter_async_context(Runner(middle_a, middle_b, Options(seed=b"p", **options)))
        await client.add_device(near, promiscuous=True, cdom=1)
        await server.add_device(far, promiscuous=True, cdom=1)
        await server.start_server(handle, ANY, ANY, vlans=ANY, cdom=1)
        yield Town(client, server, runner, [near, middle_a, middle_b, far])


async def until(condition: Callable[[], object]) -> None:
    """Waits for virtual time to make `condition` true."""
    async with asyncio.timeout(300):
        while not condition():
            await asyncio.sleep(0.01)


async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with what it got, when it has got all, in upper case."""
    writer.write((await reader.read()).upper())
    writer.close()


async def ask(place: Town, data: bytes) -> bytes:
    """Sends `data` and the end of the stream; the whole answer."""
    reader, writer = await place.connect()
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await until(lambda: place.records)
    return answer


def test_bytes_pass_by_splice_and_are_counted() -> None:
    async def main() -> None:
        async with town(upper) as place:
            assert await ask(place, b"hello") == b"HELLO"
            record = place.records[0]
            assert record["outcome"] == "closed"
            assert record["vlans"] == [100, 200]
            assert (record["client"]["bytes"], record["server"]["bytes"]) == (5, 5)
            assert record["end"] >= record["start"] > 1_000_000_000  # the time of day

    run(main)


def test_megabytes_pass_both_ways_whole() -> None:
    data = random.Random(5).randbytes(3_000_000)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    async def main() -> None:
        async with town(echo) as place:
            reader, writer = await place.connect()

            async def send() -> None:
                for at in range(0, len(data), 65536):
                    writer.write(data[at : at + 65536])
                    await writer.drain()
                writer.write_eof()

            sending = asyncio.create_task(send())
            digest = hashlib.sha256()
            while chunk := await reader.read(65536):
                digest.update(chunk)
            await sending
            assert digest.digest() == hashlib.sha256(data).digest()

    run(main)


# Policies that read and rewrite.


async def cats(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Any) -> None:
    while data := await reader.read(65536):
        writer.write(data.replace(b"cat", b"dog"))
        await writer.drain()


def test_policy_rewrites_one_direction_and_the_other_is_copied() -> None:
    async def main() -> None:
        async with town(upper, policy=Policy(client_to_server=cats)) as place:
            assert await ask(place, b"a cat") == b"A DOG"
            assert place.records[0]["outcome"] == "closed"
            assert place.records[0]["client"]["bytes"] == 5

    run(main)


def test_policy_rewrites_the_servers_stream_and_may_make_it_longer() -> None:
    async def more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Any) -> None:
        writer.write(f"{connection.flow.source} says: ".encode())
        writer.write(await reader.read())
        writer.close()  # ends this direction only
        await writer.wait_closed()

    async def main() -> None:
        async with town(upper, policy=Policy(server_to_client=more)) as place:
            assert await ask(place, b"hi") == b"10.0.0.1 says: HI"
            assert place.records[0]["outcome"] == "closed"

    run(main)


def test_policy_that_ends_a_direction_early_leaves_the_other_open() -> None:
    async def first_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Any) -> None:
        writer.write(await reader.readline())

    async def main() -> None:
        async with town(upper, policy=Policy(client_to_server=first_line)) as place:
            assert await ask(place, b"one\ntwo\n" * 50_000) == b"ONE\n"
            assert place.records[0]["outcome"] == "closed"

    run(main)


def test_policy_function_that_raises_resets_both_sides_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def bad(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Any) -> None:
        await reader.read(1)
        raise ValueError("no such\nthing")

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        except ConnectionResetError:
            ended.append("reset")

    async def main() -> None:
        async with town(watch, policy=Policy(client_to_server=bad, path=__file__)) as place:
            reader, writer = await place.connect()
            writer.write(b"x")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            await until(lambda: ended and place.records)
            assert place.records[0]["outcome"] == "policy-error"

    with caplog.at_level(logging.ERROR, logger="uinet"):
        run(main)
    messages = [record.getMessage() for record in caplog.records]
    assert any(m.startswith(f"{__file__}:") and m.endswith("ValueError: no such thing") for m in messages)
    assert ended == ["reset"]


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
def test_policy_function_that_exits_or_awaits_what_was_cancelled_costs_its_connection(error: BaseException) -> None:
    async def bad(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Any) -> None:
        if await reader.read(1) == b"x":
            raise error
        writer.write(b"next one")

    async def main() -> None:
        async with town(upper, policy=Policy(client_to_server=bad, path=__file__)) as place:
            reader, writer = await place.connect()
            writer.write(b"x")
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(), 5)
            await until(lambda: place.records)
            assert place.records[0]["outcome"] == "policy-error"
            assert type(error).__name__ in place.records[0]["error"]
            assert await ask(place, b"y") == b"NEXT ONE"

    run(main)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
def test_decide_that_exits_or_awaits_what_was_cancelled_costs_its_syn(error: BaseException, late: bool) -> None:
    def decide(syn: Any) -> str:
        if syn.destination[1] == 81:
            raise error
        return "proxy"

    async def decide_later(syn: Any) -> str:
        await asyncio.sleep(0.1)
        return decide(syn)

    async def main() -> None:
        async with town(upper, policy=Policy(decide=decide_later if late else decide, path=__file__)) as place:
            trying = asyncio.create_task(place.connect(81))
            await until(lambda: place.records)
            assert place.records[0]["outcome"] == "policy-error"
            assert type(error).__name__ in place.records[0]["error"]
            trying.cancel()
            assert await ask(place, b"hi") == b"HI"

    if late or isinstance(error, SystemExit):  # nobody awaits anything in a plain function
        run(main)


@pytest.mark.parametrize("resetter", ["client", "server"])
def test_rst_is_mirrored_while_the_policy_waits_for_something_else(resetter: str) -> None:
    ended: list[str] = []

    async def asleep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Any) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("policy")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if resetter == "server":
            await reader.read(1)
            writer.transport.abort()
            return
        try:
            await reader.read()
        except ConnectionResetError:
            ended.append("server")

    async def main() -> None:
        async with town(serve, policy=Policy(server_to_client=asleep)) as place:
            reader, writer = await place.connect()
            writer.write(b"x")
            if resetter == "client":
                await asyncio.sleep(0.1)
                writer.transport.abort()
            else:
                with pytest.raises(ConnectionResetError):
                    await reader.read()
            await until(lambda: place.records and "policy" in ended)
            assert place.records[0]["outcome"] == "reset"
            if resetter == "client":
                await until(lambda: "server" in ended)

    run(main)


def test_policy_that_does_not_read_makes_the_client_wait() -> None:
    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Any) -> None:
        await asyncio.sleep(1000)

    async def main() -> None:
        async with town(upper, policy=Policy(client_to_server=stuck)) as place:
            _, writer = await place.connect()
            sent = 0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(20):
                    while sent < 50_000_000:
                        writer.write(bytes(65536))
                        sent += 65536
                        await writer.drain()
            assert sent < 10_000_000
            writer.transport.abort()

    run(main)


def test_async_decide_holds_and_decides() -> None:
    async def decide(syn: Any) -> str:
        await asyncio.sleep(0.5)
        return "proxy" if syn.destination[1] == 80 else "reset"

    async def main() -> None:
        async with town(upper, policy=Policy(decide=decide)) as place:
            began = asyncio.get_running_loop().time()
            with pytest.raises(ConnectionRefusedError):
                await place.connect(81)
            assert await ask(place, b"hi") == b"HI"
            assert asyncio.get_running_loop().time() - began >= 1.0

    run(main)


# The end.


def test_stop_resets_what_is_open() -> None:
    async def main() -> None:
        async with town(upper) as place:
            reader, writer = await place.connect()
            running = asyncio.create_task(place.runner.run())
            await asyncio.sleep(0.1)
            place.runner.stop()
            await running
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
            assert place.records[0]["outcome"] == "shutdown"

    run(main)


def test_stop_with_drain_lets_what_is_open_end() -> None:
    async def main() -> None:
        async with town(upper, drain=30.0) as place:
            reader, writer = await place.connect()
            running = asyncio.create_task(place.runner.run())
            await asyncio.sleep(0.1)
            place.runner.stop()
            await asyncio.sleep(5)
            writer.write(b"last words")
            writer.write_eof()
            assert await reader.read() == b"LAST WORDS"
            writer.close()
            await running
            assert place.records[0]["outcome"] == "closed"

    run(main)


def test_drain_ends_in_time_or_at_the_second_signal() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for signals, least, most in ((1, 30.0, 31.0), (2, 0.0, 1.0)):
            async with town(upper, drain=30.0) as place:
                streams = await place.connect()
                running = asyncio.create_task(place.runner.run())
                await asyncio.sleep(0.1)
                began = loop.time()
                for _ in range(signals):
                    place.runner.stop()
                await running
                assert least <= loop.time() - began <= most
                streams[1].close()
                assert place.records[0]["outcome"] == "shutdown"

    run(main)


def test_device_that_vanishes_ends_the_run_with_its_error() -> None:
    async def main() -> None:
        async with town(upper) as place:
            running = asyncio.create_task(place.runner.run())
            await asyncio.sleep(0.1)
            middle = place.ends[1]
            tell = middle.on_readable
            assert tell is not None
            middle.close()
            tell()  # as a descriptor would become readable
            with pytest.raises(DeviceGone):
                await running

    run(main)


def test_capture_has_what_passed_on_each_side(tmp_path: Path) -> None:
    async def main() -> None:
        async with town(upper, capture=tmp_path / "captures") as place:
            assert await ask(place, b"hello") == b"HELLO"

    run(main)
    for side in ("client-side", "server-side"):
        records = read((tmp_path / "captures" / f"{side}.pcapng").read_bytes())
        assert any(b"hello" in record.data for record in records)
        assert any(b"HELLO" in record.data for record in records)


def flow_of(path: Path) -> list[tuple[str, bytes]]:
    """What a capture of one connection has: flags and payload of each segment, and nothing of any other."""
    found = [build.dissect(record.data) for record in read(path.read_bytes())]
    keys = {
        frozenset(((one.source, one.tcp.source_port), (one.destination, one.tcp.destination_port))) for one in found
    }
    assert len(keys) == 1, path
    assert all(one.checksums_ok for one in found)
    return [(one.flags, bytes(one.payload)) for one in found]


def test_per_flow_each_side_of_each_connection_has_a_capture_called_after_its_serial_number(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = []

    async def main() -> None:
        async with town(upper, capture=tmp_path / "captures", per_flow=True) as place:
            for port in (80, 81):
                reader, writer = await place.connect(port)
                writer.write(b"hello %d" % port)
                writer.write_eof()
                assert await reader.read() == b"HELLO %d" % port
                writer.close()
            await until(lambda: len(place.records) == 2)
            records.extend(place.records)

    run(main)
    names = {path.name: path for path in (tmp_path / "captures").iterdir()}
    assert len(names) == 4
    for record in records:
        port = record["server"]["port"]
        for side in ("client", "server"):
            serial = record[side]["serialno"]
            name = f"{serial:08d}-{side}-side-v100.200-10.0.0.1.{40000 + port}-10.0.0.2.{port}.pcapng"
            seen = flow_of(names.pop(name))
            assert [flags for flags, _ in seen[:3]] == ["S", "S.", "."]
            assert sum("F" in flags for flags, _ in seen) >= 2
            text = b"".join(payload for _, payload in seen)
            assert text == b"hello %d" % port + b"HELLO %d" % port
    assert names == {}


def test_per_flow_a_policy_keeps_what_it_wants(tmp_path: Path) -> None:
    async def look(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Any) -> None:
        data = await reader.read()
        if data != b"undecided":
            connection.capture(b"keep" in data)
        writer.write(data)
        await writer.drain()

    async def main() -> None:
        policy = Policy(client_to_server=look)
        async with town(upper, policy=policy, capture=tmp_path, per_flow=True, maybe=True) as place:
            for port, text in ((80, b"keep this"), (81, b"not that"), (82, b"undecided")):
                reader, writer = await place.connect(port)
                writer.write(text)
                writer.write_eof()
                assert await reader.read() == text.upper()
                writer.close()
            await until(lambda: len(place.records) == 3)
            copies = place.runner.host.stack.copies()
            await until(lambda: copies.held_bytes == 0)
            assert copies.entries == {}

    run(main)
    assert len(list(tmp_path.iterdir())) == 2
    for path in tmp_path.iterdir():
        seen = flow_of(path)
        assert [flags for flags, _ in seen[:3]] == ["S", "S.", "."], "what came before the decision"
        assert b"keep this" in b"".join(payload for _, payload in seen)


def test_per_flow_files_end_at_their_limit_and_are_readable_while_they_grow(tmp_path: Path) -> None:
    async def main() -> None:
        async with town(upper, capture=tmp_path, per_flow=True, flow_limit=5000) as place:
            reader, writer = await place.connect()
            await asyncio.sleep(2)
            for path in tmp_path.iterdir():
                assert [flags for flags, _ in flow_of(path)] == ["S", "S.", "."]
            writer.write(bytes(100_000))
            writer.write_eof()
            assert len(await reader.read()) == 100_000
            writer.close()
            await until(lambda: place.records)
            assert place.runner.files is not None
            assert place.runner.files.statistics()["lost"] == 0

    run(main)
    sizes = [sum(len(payload) for _, payload in flow_of(path)) for path in tmp_path.iterdir()]
    assert len(sizes) == 2 and all(3000 < size < 70_000 for size in sizes), sizes


STUBBORN = """
import asyncio
import contextlib
from uinet.proxy.stopping import Stoppable

async def main():
    told = Stoppable()
    told.stop_on_signals()
    print("at work", flush=True)
    for word in ("stopping", "hurry"):
        await getattr(told, word).wait()
        print(word, flush=True)
    while True:
        try:
            await asyncio.sleep(3600)
        except BaseException:
            pass

asyncio.run(main())
"""


def test_third_signal_ends_a_process_that_a_policy_holds() -> None:
    program = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True)
    with program, contextlib.ExitStack() as stack:
        stack.callback(program.kill)
        assert program.stdout is not None
        assert program.stdout.readline() == "at work\n"
        for word in ("stopping\n", "hurry\n"):
            program.send_signal(signal.SIGTERM)
            assert program.stdout.readline() == word
        program.send_signal(signal.SIGTERM)
        assert program.wait(20) == -signal.SIGTERM
