"""iperf3, curl and nginx of the host against uinet, through a link that loses, reorders, repeats, damages."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import uinet
from tests.interop.iperf3 import IperfServer
from tests.interop.lossy import (
    BAD,
    KERNEL,
    KERNEL6,
    MEDIUM,
    OURS,
    OURS6,
    Link,
    check_faults,
    command,
    emulated,
    host,
    web_server,
)
from tests.interop.netns import Namespace, namespace, require

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

DATA = os.urandom(1 << 20) * 4
DIGEST = hashlib.sha256(DATA).hexdigest()
BOTH = pytest.mark.parametrize("family", ["IPv4", "IPv6"])


def run(tmp_path: Path, work: Callable[[Namespace, uinet.Host, Link], Coroutine[Any, Any, None]]) -> None:
    """Runs ``work(namespace, host, link)`` over a bad link, and sees to it that it was one."""

    async def inside(space: Namespace, link: Link) -> None:
        async with host(tmp_path / "link") as made:
            await work(space, made, link)

    require("curl", "iperf3", "nginx")
    with namespace("lossy") as space, emulated(space, tmp_path / "link", *BAD, *MEDIUM) as link:
        asyncio.run(asyncio.wait_for(inside(space, link), 100))
        check_faults(link)


def peers(family: str) -> tuple[str, str, str]:
    """(the kernel's address, ours, ours in a URL)."""
    return (KERNEL, OURS, OURS) if family == "IPv4" else (KERNEL6, OURS6, f"[{OURS6}]")


@BOTH
def test_curl_fetches_and_uploads_the_same_bytes(family: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(DATA)

    async def work(space: Namespace, made: uinet.Host, link: Link) -> None:
        await made.start_server(web_server(DATA), None, 80)
        url = f"http://{peers(family)[2]}/"
        assert hashlib.sha256(await command(space, "curl", "-sS", url)).hexdigest() == DIGEST
        told = await command(space, "curl", "-sS", "-H", "Expect:", "-T", str(tmp_path / "data"), url)
        assert told.decode() == DIGEST

    run(tmp_path, work)


@BOTH
def test_uinet_fetches_the_same_bytes_from_nginx(family: str, tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "big").write_bytes(DATA)
    config = tmp_path / "nginx.conf"
    kinds = "client_body", "proxy", "fastcgi", "uwsgi", "scgi"
    paths = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
    config.write_text(
        f"user root; daemon off; worker_processes 1; pid {tmp_path}/pid; error_log {tmp_path}/error.log;"
        f"events {{ worker_connections 64; }} http {{ access_log off; {paths}"
        f"server {{ listen 80; listen [::]:80; root {tmp_path}/www; }} }}"
    )

    async def fetch(made: uinet.Host) -> str:
        reader, writer = await made.open_connection(peers(family)[0], 80)
        writer.write(b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        digest = hashlib.sha256(await reader.read()).hexdigest()
        writer.close()
        return digest

    async def work(space: Namespace, made: uinet.Host, link: Link) -> None:
        words = "ip", "netns", "exec", space.name, "nginx", "-c", str(config)
        nginx = await asyncio.create_subprocess_exec(*words)
        try:
            while not (tmp_path / "pid").exists():
                await asyncio.sleep(0.02)
            assert await asyncio.gather(*(fetch(made) for _ in range(4))) == [DIGEST] * 4
        finally:
            nginx.terminate()
            await nginx.wait()

    run(tmp_path, work)


@BOTH
@pytest.mark.parametrize("reverse", [False, True], ids=["to-uinet", "from-uinet"])
def test_iperf3_runs_without_a_long_stall(family: str, reverse: bool, tmp_path: Path) -> None:
    async def work(space: Namespace, made: uinet.Host, link: Link) -> None:
        server = IperfServer()
        address = peers(family)[1]
        await made.start_server(server.handle, address, 5201)
        # so many bytes rather than seconds; and of those sent only some wait in the kernel when it has sent the last
        words = ["iperf3", "-c", address, "-n", "8M", "-w", "256K", "-P", "2", "-J", "-C", "cubic"]
        words += ["-R"] if reverse else []
        report = json.loads(await command(space, *words))
        assert "error" not in report, report["error"]
        assert server.bytes > 6_000_000
        assert server.longest_gap < 2.0, "the transfer stood still"

    run(tmp_path, work)
