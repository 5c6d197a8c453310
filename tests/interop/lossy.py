"""A uinet host and a namespace's kernel with an emulated link between them: lossy, slow, out of order, damaged.

The emulator is ``uinet emulate`` in a process of its own: a TAP of the namespace at one end, at the other a Unix socket
that the host in the test's process takes for its device.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uinet
from tests.interop.netns import Namespace, cannot, listens, wait_for

KERNEL, OURS = "10.52.0.1", "10.52.0.2"
KERNEL6, OURS6 = "fd52::1", "fd52::2"
SOURCE = Path(uinet.__file__).parents[1]
BAD = ("--loss", "1%", "--reorder", "2%", "--duplicate", "1%", "--corrupt", "0.5%")
MEDIUM = ("--rate", "200mbit", "--delay", "2ms", "--reorder-delay", "3ms", "--queue", "200", "--seed", "7")


class Link:
    """The emulator's process; `statistics` once it has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.statistics: dict[str, Any] = {}

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        output, errors = self.process.communicate(timeout=20)
        assert output, errors
        self.statistics = json.loads(output)


@contextmanager
def emulated(space: Namespace, path: Path, *options: str) -> Iterator[Link]:
    """A link between TAP u0 of `space`, with addresses, and the Unix socket `path`. Counts what happened at its end."""
    near = f"tap:u0?ip={KERNEL}/24,{KERNEL6}/64"
    space.run("sysctl -qw net.ipv6.conf.default.accept_dad=0")
    command = [sys.executable, "-m", "uinet.cli", "emulate", near, f"unix:{path}?listen=1", *options, "--json"]
    process = subprocess.Popen(
        ["ip", "netns", "exec", space.name, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={"PYTHONPATH": str(SOURCE), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    link = Link(process)
    try:
        wait_for(lambda: listens(path, space) or process.poll() is not None, "the emulator")
        yield link
    finally:
        if process.poll() is None and not link.statistics:
            process.kill()
        process.wait(timeout=10)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@asynccontextmanager
async def host(path: Path, made: uinet.Host | None = None, options: str = "") -> AsyncIterator[uinet.Host]:
    """A uinet host at the other end of the link; `options` of its device, as in a URL."""
    async with made or uinet.Host() as here:
        await here.add_device(f"unix:{path}{options}", addresses=[f"{OURS}/24", f"{OURS6}/64"])
        yield here


async def command(space: Namespace, *words: str, timeout: float = 60, status: int = 0) -> bytes:
    """What a program in the namespace writes; it has to end with `status`."""
    process = await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", space.name, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), timeout)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise AssertionError(f"{' '.join(words)}: not done in {timeout} s") from None
    assert process.returncode == status, (words, process.returncode, errors.decode(errors="replace"))
    return output


def web_server(data: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]:
    """Answers GET with `data`, and PUT with the digest of what came."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        body = data
        if head.startswith("put"):
            length = int(head.split("content-length:")[1].split("\r\n")[0])
            body = hashlib.sha256(await reader.readexactly(length)).hexdigest().encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body))
        writer.write(body)
        await writer.drain()
        writer.close()

    return serve


def check_faults(link: Link) -> None:
    """Every kind of fault that is asked for in BAD has happened, on both ways."""
    link.end()
    for way in ("ab", "ba"):
        found = link.statistics[way]
        assert all(found[name] for name in ("lost", "reordered", "duplicated", "corrupted")), found
        assert not found["overrun"], found


def require_module(name: str) -> Any:
    """A Python module that a test needs and the library does not."""
    try:
        return importlib.import_module(name)
    except ImportError:
        cannot(f"needs the Python module {name}")
