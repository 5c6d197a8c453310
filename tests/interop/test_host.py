"""The plain stack on a TAP against the host's kernel: ping, curl, nginx, iperf3; IPv4 and IPv6."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

import uinet
from tests.interop.iperf3 import IperfServer
from tests.interop.netns import PATIENCE, Namespace, namespace, require
from uinet.link import open_device

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

KERNEL, OURS = "10.51.0.1", "10.51.0.2"
KERNEL6, OURS6 = "fd51::1", "fd51::2"


@contextmanager
def kernel() -> Iterator[Namespace]:
    """A namespace whose kernel will see our TAP or TUN as u0."""
    require("ping", "curl", "iperf3", "nginx")
    with namespace("kernel") as made:
        yield made


@asynccontextmanager
async def host(space: Namespace, kind: str = "tap", options: str = "") -> AsyncIterator[uinet.Host]:
    """A uinet host on one end of a TAP or TUN, the namespace's kernel on the other."""
    with space.entered():
        device = open_device(f"{kind}:u0{options}")
    space.run("sysctl -qw net.ipv6.conf.u0.accept_dad=0")
    space.run(f"ip addr add {KERNEL}/24 dev u0")
    space.run(f"ip addr add {KERNEL6}/64 dev u0 nodad")
    async with uinet.Host() as made:
        await made.add_device(device, addresses=[f"{OURS}/24", f"{OURS6}/64"])
        yield made


async def command(space: Namespace, *words: str, timeout: float = 60) -> tuple[int, bytes, bytes]:
    """Runs a program in the namespace beside our event loop: its status, output and errors."""
    process = await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", space.name, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), timeout)
    assert process.returncode is not None
    return process.returncode, output, errors


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 100))


@pytest.mark.parametrize("kind", ["tap", "tun"])
def test_ping_both_ways_any_size(kind: str) -> None:
    async def work(space: Namespace) -> None:
        async with host(space, kind) as made:
            for address in (OURS, OURS6):
                for size in ("56", "1400", "8000"):
                    status, output, _ = await command(
                        space, "ping", "-c", "3", "-i", "0.1", "-W", "10", "-s", size, address
                    )
                    assert status == 0 and b" 0% packet loss" in output, output
            for address in (KERNEL, KERNEL6):
                assert await made.ping(address, count=2, timeout=PATIENCE)

    with kernel() as space:
        run(work(space))


@pytest.mark.parametrize(("kind", "options"), [("tap", ""), ("tap", "?offload=0"), ("tun", "")])
def test_curl_fetches_20_mb_from_a_server_on_uinet(kind: str, options: str) -> None:
    data = os.urandom(1 << 20) * 20
    digest = hashlib.sha256(data).hexdigest()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(data))
        writer.write(data)
        await writer.drain()
        writer.close()

    async def work(space: Namespace) -> None:
        async with host(space, kind, options) as made:
            await made.start_server(serve, None, 80)
            for address in (OURS, f"[{OURS6}]"):
                status, output, errors = await command(space, "curl", "-sS", f"http://{address}/")
                assert status == 0, errors
                assert hashlib.sha256(output).hexdigest() == digest
            status, _, errors = await command(space, "curl", "-sSv", f"http://{OURS}:81/")
            assert status == 7 and b"refused" in errors

    with kernel() as space:
        run(work(space))


def test_uinet_client_fetches_from_nginx(tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 20
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "big").write_bytes(data)
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"user root; daemon off; worker_processes 1; pid {tmp_path}/pid; error_log {tmp_path}/error.log;"
        "events { worker_connections 64; } http { access_log off;"
        f"client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f;"
        f"uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;"
        f"server {{ listen 80; listen [::]:80; root {tmp_path}/www; }} }}"
    )

    async def fetch(made: uinet.Host, address: str) -> bytes:
        reader, writer = await made.open_connection(address, 80)
        writer.write(b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        body = await reader.read()
        writer.close()
        await writer.wait_closed()
        return body

    async def work(space: Namespace) -> None:
        async with host(space) as made:
            nginx = await asyncio.create_subprocess_exec(
                "ip", "netns", "exec", space.name, "nginx", "-c", str(config)
            )
            try:
                while not (tmp_path / "pid").exists():  # written once it listens
                    await asyncio.sleep(0.02)
                assert await fetch(made, KERNEL) == data
                assert await fetch(made, KERNEL6) == data
                with pytest.raises(ConnectionRefusedError):
                    await made.open_connection(KERNEL, 81)
            finally:
                nginx.terminate()
                await nginx.wait()

    with kernel() as space:
        run(work(space))


@pytest.mark.parametrize("reverse", [False, True], ids=["to-uinet", "from-uinet"])
@pytest.mark.parametrize("options", ["", "?offload=0"], ids=["offload", "plain"])
def test_iperf3_runs_without_stall(reverse: bool, options: str) -> None:
    async def work(space: Namespace) -> None:
        async with host(space, options=options) as made:
            server = IperfServer()
            await made.start_server(server.handle, OURS, 5201)
            extra = ["-R"] if reverse else []
            status, output, errors = await command(
                space, "iperf3", "-c", OURS, "-t", "3", "-P", "2", "-J", *extra, timeout=30
            )
            report = json.loads(output)
            assert status == 0, report.get("error", errors)
            intervals = [each["sum"] for each in report["intervals"]]  # of about a second; the last may be a moment
            rates = [each["bytes"] / each["seconds"] for each in intervals if each["seconds"] > 0.5]
            assert sum(each["seconds"] for each in intervals) > 2.5 and min(rates) > 1_000_000, intervals
            assert server.bytes > 10_000_000
            assert server.longest_gap < 1.0, "the transfer stood still"

    with kernel() as space:
        run(work(space))
