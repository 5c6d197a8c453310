"""The hosts at both ends of the link, each in a process and network namespace of its own.

``python -m bench.recovery.ends kernel|uinet|client``. The senders answer a request line, ``N\\n`` for so many bytes
or ``0\\n`` for as many as the client takes. Each says its TCP counters when it is asked, and the client fetches.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import threading
import time
from typing import Any

import uinet
from bench.recovery.control import kernel_counters, orders, realtime, say

PRIORITY = 10
PORT = 80
BLOCK = b"y" * 65536
KERNEL, OURS, CLIENT = "10.60.0.1", "10.60.0.2", "10.60.0.9"
KERNEL_MAC, OUR_MAC, CLIENT_MAC = "02:00:00:00:60:01", "02:00:00:00:60:02", "02:00:00:00:60:09"
FOREVER = 1 << 62


def kernel_sender(congestion: str) -> None:
    """A plain server on the kernel's sockets."""
    server = socket.create_server((KERNEL, PORT), backlog=64)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())

    def serve(sock: socket.socket) -> None:
        with sock:
            left = int(sock.makefile("rb").readline()) or FOREVER
            try:
                while left > 0:
                    sock.sendall(BLOCK[:left])
                    left -= len(BLOCK)
            except ConnectionError:
                pass  # the client has what it wants

    def accept() -> None:
        while True:
            threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    say(ready=True)
    for _ in orders():
        say(**kernel_counters())


async def uinet_sender(congestion: str, send_buffer: int) -> None:
    """The same server on uinet, over the TAP u0."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = int(await reader.readline()) or FOREVER
        try:
            while left > 0:
                writer.write(BLOCK[:left])
                left -= len(BLOCK)
                await writer.drain()
            writer.close()
        except ConnectionError:
            pass  # the client has what it wants

    async with uinet.Host(seed=b"recovery") as host:
        settings = host.stack.tcp.settings
        if hasattr(settings, "congestion"):
            settings.congestion = congestion
        elif congestion != "newreno":
            print(f"note: uinet has no choice of congestion control yet: newreno, not {congestion}", file=sys.stderr)
        if send_buffer:
            settings.send_buffer = send_buffer
        await host.add_device("tap:u0", addresses=[f"{OURS}/24"], mac=OUR_MAC)
        host.stack.neighbors.add(CLIENT, CLIENT_MAC)
        await host.start_server(serve, OURS, PORT)
        say(ready=True)
        loop = asyncio.get_running_loop()
        commands = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        while await commands.readline():
            say(**host.stack.stats.as_dict())


def client() -> None:
    """Fetches: ``{"address": IP, "bytes": N, "seconds": S}``. So many bytes, or what comes in so many seconds.

    The clock starts when the connection stands and the request is sent. The answer: bytes, seconds, the moments (in
    seconds) at which each tenth of the bytes was there, and what the namespace has counted.
    """
    say(ready=True)
    for order in orders():
        try:
            say(**fetch(order))
        except OSError as error:
            say(error=str(error))


def fetch(order: dict[str, Any]) -> dict[str, Any]:
    before = kernel_counters()
    wanted, limit = order["bytes"], order["seconds"]
    with socket.create_connection((order["address"], PORT), timeout=limit) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        start = time.perf_counter()
        sock.sendall(b"%d\n" % wanted)
        received, last = 0, start
        while True:
            left = start + limit - time.perf_counter()
            if left <= 0:
                break
            sock.settimeout(left)
            try:
                data = sock.recv(1 << 18)
            except TimeoutError:
                break
            if not data:
                break
            received += len(data)
            last = time.perf_counter()
            if wanted and received >= wanted:
                break
    elapsed = last - start if wanted else limit
    after = kernel_counters()
    names = ("TCPDSACKOldSent", "TCPDSACKOfoSent", "TCPOFOQueue", "InCsumErrors", "InErrs")
    return {
        "bytes": received, "elapsed": elapsed, "complete": not wanted or received == wanted,
        **{name: after.get(name, 0) - before.get(name, 0) for name in names},
    }


def main() -> None:
    what = sys.argv[1]
    realtime(PRIORITY)
    if what == "client":
        client()
    elif what == "kernel":
        kernel_sender(sys.argv[2])
    else:
        asyncio.run(uinet_sender(sys.argv[2], int(sys.argv[3])))


if __name__ == "__main__":
    main()


