"""Follow a capture: what each side of each connection began with, and what is missing.

    python examples/follow_capture.py
        makes a capture in memory, of which a packet is lost, and follows it
    python examples/follow_capture.py capture.pcapng
    python examples/follow_capture.py packet:eth0
        live, from a network interface (root), until interrupted
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import uinet
from uinet.wire.pcap import PcapWriter, read


async def report(source: str | bytes) -> None:
    """Prints each connection as it ends."""
    async with uinet.aio.follow(source) as connections:
        async for conn in connections:
            (client, cport), (server, sport) = conn.client.endpoint, conn.server.endpoint
            vlans = [tag.vid for tag in conn.vlans]
            print(f"{client} port {cport} to {server} port {sport}, VLANs {vlans}, closed by {conn.close_reason}")
            for side, stream in (("client", conn.client), ("server", conn.server)):
                for chunk in stream:
                    if chunk.hole is None:
                        print(f"  {side} at {chunk.offset}: {chunk.length} bytes, beginning {chunk.data[:30]!r}")
                    else:
                        print(f"  {side} at {chunk.offset}: {chunk.length} bytes are missing ({chunk.hole})")


async def make_capture(path: Path) -> None:
    """A web server and its client on one cable, whose every frame goes to a capture."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"hello, follower\n" * 400)
        writer.close()

    async with uinet.Host() as server, uinet.Host() as client:
        await server.add_device(f"memory:watched?capture={path}", addresses=["10.9.0.2/24"])
        await client.add_device("memory:watched", addresses=["10.9.0.1/24"])
        await server.start_server(answer, "10.9.0.2", 80)
        reader, writer = await client.open_connection("10.9.0.2", 80)
        writer.write(b"GET / HTTP/1.0\r\nHost: example\r\n\r\n")
        await reader.read()
        writer.close()
        await asyncio.sleep(1)


async def in_memory() -> None:
    """Makes a capture, loses its first full-sized packet, and follows the rest."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "watched.pcapng"
        await make_capture(path)
        records = read(path.read_bytes())
    lost = next(record for record in records if len(record.data) > 1000)
    writer = PcapWriter()
    left = [writer.packet(record.data, record.time) for record in records if record is not lost]
    await report(b"".join([writer.header(), *left]))


if __name__ == "__main__":
    try:
        asyncio.run(report(sys.argv[1]) if len(sys.argv) > 1 else in_memory())
    except KeyboardInterrupt:
        pass
    except uinet.Error as error:
        sys.exit(f"{sys.argv[0]}: {error}")
