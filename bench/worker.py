"""The processes at both ends of a benchmark, each started inside a network namespace.

``uinet-sink``, ``uinet-source``, ``stdlib-sink`` and ``stdlib-source`` are asyncio programs, on uinet over a TAP or on
the kernel's sockets, ``plain-sink`` and ``plain-source`` use blocking ones; ``kernel-fill`` and ``kernel-drain`` are
the plain peers at the other end. A last argument ``plain``: the TAP has no offloads.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from typing import Any

import uinet

CHUNK = b"z" * 262144
OWN = "10.9.0.2"
DEVICE = "tap:bench0?ip=10.9.0.1/24"


def say(**record: Any) -> None:
    print(json.dumps(record), flush=True)


class Meter(asyncio.Protocol):
    """Counts bytes, wall time and this process's CPU time from the connection's first to its last moment."""

    def __init__(self, done: asyncio.Future[None]) -> None:
        self.done = done
        self.bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.wall = time.perf_counter()
        self.cpu = time.process_time()

    def connection_lost(self, error: Exception | None) -> None:
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        say(bytes=self.bytes, wall=wall, cpu=cpu, error=str(error or ""))
        if not self.done.done():
            self.done.set_result(None)


class Sink(Meter):
    """Takes every byte as bytes objects."""

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)


class Source(Meter):
    """Writes for some seconds, as the transport lets it."""

    seconds = 2.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.paused = False
        self.ended = False
        self.pump()

    def pump(self) -> None:
        while not self.paused and not self.ended:
            if time.perf_counter() - self.wall > self.seconds:
                self.ended = True
                # later: asyncio would shut the socket down twice inside of resume_writing, and complain
                asyncio.get_running_loop().call_soon(self.transport.write_eof)
                return
            self.transport.write(CHUNK)
            self.bytes += len(CHUNK)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.pump()


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def on_uinet(kind: str, seconds: float) -> None:
    """One connection on uinet over the TAP that the caller has made room for."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    Source.seconds = seconds
    factory = Sink if kind == "sink" else Source
    async with uinet.Host() as host:
        await host.add_device(DEVICE + ("&offload=0" if "plain" in sys.argv else ""), addresses=[f"{OWN}/24"])
        await host.create_server(lambda: factory(done), OWN, 80)
        say(ready=True)
        await done


async def on_kernel(kind: str, seconds: float) -> None:
    """The same program on the kernel's sockets."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    Source.seconds = seconds
    factory = Sink if kind == "sink" else Source
    server = await loop.create_server(lambda: factory(done), OWN, 80)
    say(ready=True)
    await done
    server.close()


def on_plain_sockets(kind: str, seconds: float) -> None:
    """The same work by blocking calls: what the kernel does at its best."""
    with socket.create_server((OWN, 80)) as server:
        say(ready=True)
        sock, _ = server.accept()
    with sock:
        wall, cpu = time.perf_counter(), time.process_time()
        count = drain(sock) if kind == "sink" else fill(sock, seconds)
        say(bytes=count, wall=time.perf_counter() - wall, cpu=time.process_time() - cpu, error="")


def drain(sock: socket.socket) -> int:
    """Receives until the end of the stream; how many bytes."""
    count = 0
    while data := sock.recv(1 << 18):
        count += len(data)
    return count


def fill(sock: socket.socket, seconds: float) -> int:
    """Sends for some seconds, and until the peer has it all; how many bytes."""
    data = b"y" * (1 << 20)
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        sock.sendall(data)
        count += len(data)
    sock.shutdown(socket.SHUT_WR)
    sock.recv(1)
    return count


def kernel_source(seconds: float) -> None:
    """Sends for some seconds."""
    with socket.create_connection((OWN, 80), timeout=20) as sock:
        fill(sock, seconds)


def kernel_sink() -> None:
    """Receives until the end of the stream."""
    with socket.create_connection((OWN, 80), timeout=20) as sock:
        drain(sock)


def main() -> None:
    what, seconds = sys.argv[1], float(sys.argv[2])
    side, _, kind = what.partition("-")
    if what == "kernel-fill":
        kernel_source(seconds)
    elif what == "kernel-drain":
        kernel_sink()
    elif side == "plain":
        on_plain_sockets(kind, seconds)
    else:
        asyncio.run(on_uinet(kind, seconds) if side == "uinet" else on_kernel(kind, seconds))


if __name__ == "__main__":
    main()
