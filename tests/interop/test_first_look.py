"""First looks, packet filters and blackholes, as the host's kernel and its programs see them over a TAP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

import uinet
from tests.interop.netns import Namespace, namespace, require
from tests.interop.test_host import OURS, OURS6, command, host, run
from uinet import FilteredPacket, FrameBatch, Mark
from uinet.wire import build

pytestmark = [pytest.mark.interop, pytest.mark.timeout(60)]


def over_a_tap(work: Callable[[Namespace, uinet.Host], Any], kind: str = "tap", options: str = "") -> None:
    require("ping", "curl")
    with namespace("kernel") as space:

        async def main() -> None:
            async with host(space, kind, options) as made:
                await work(space, made)

        run(main())


async def serve(made: uinet.Host, body: bytes) -> None:
    """An HTTP server of one page."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        writer.write(head + body)
        await writer.drain()
        writer.close()

    await made.start_server(answer, None, 80)


def test_a_first_look_takes_pings_away_and_leaves_the_rest() -> None:
    async def work(space: Namespace, made: uinet.Host) -> None:
        await serve(made, b"hello")
        interface = made.stack.interfaces[0]
        assert (await command(space, "ping", "-c", "1", "-W", "10", OURS))[0] == 0

        def look(batch: FrameBatch) -> None:
            for number, frame in enumerate(batch.frames):
                if build.dissect(frame.data).get(build.icmp.IcmpMessage) is not None:
                    batch.marks[number] = Mark.DROP

        interface.first_look = look
        assert (await command(space, "ping", "-c", "1", "-W", "1", OURS))[0] == 1
        assert await command(space, "curl", "-sS", f"http://{OURS}/") == (0, b"hello", b"")
        assert made.stack.stats["first_look_dropped"] == 1

    over_a_tap(work)


@pytest.mark.parametrize("options", ["", "?offload=0"])
def test_what_a_filter_rewrites_has_the_checksums_that_the_kernel_wants(options: str) -> None:
    async def work(space: Namespace, made: uinet.Host) -> None:
        await serve(made, b"a cat sat. " * 5000)

        def hook(packet: FilteredPacket) -> bytes | None:
            data = packet.data
            return data.replace(b"cat", b"dog") if packet.outbound and b"cat" in data else None

        made.stack.add_packet_filter(hook)
        for url in (f"http://{OURS}/", f"http://[{OURS6}]/"):
            status, output, errors = await command(space, "curl", "-sS", "--max-time", "60", url)
            assert status == 0, errors
            assert len(output) == 55000 and output.count(b"dog") > 4900  # one that two segments share stays a cat
        assert made.stack.stats["filter_replaced"] > 0

    over_a_tap(work, options=options)


def test_a_blackhole_lets_programs_wait_where_others_are_refused() -> None:
    async def work(space: Namespace, made: uinet.Host) -> None:
        url = f"http://{OURS}:81/"
        begun = time.monotonic()
        assert (await command(space, "curl", "-sS", "--max-time", "30", url))[0] == 7, "refused"
        assert time.monotonic() - begun < 20
        made.stack.sysctl["net.inet.tcp.blackhole"] = 1
        begun = time.monotonic()
        assert (await command(space, "curl", "-sS", "--max-time", "1", url))[0] == 28, "timed out"
        assert time.monotonic() - begun >= 1
        with space.open_socket(kind=2) as sock:
            sock.settimeout(30)
            sock.connect((OURS, 9))

            def ask() -> str:
                sock.send(b"?")
                try:
                    sock.recv(10)
                except OSError as error:
                    return type(error).__name__
                return "an answer"

            assert await asyncio.to_thread(ask) == "ConnectionRefusedError"
            made.stack.sysctl["net.inet.udp.blackhole"] = 1
            sock.settimeout(0.3)
            assert await asyncio.to_thread(ask) == "TimeoutError"

    over_a_tap(work)
