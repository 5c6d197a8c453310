"""An echo server on a stack of its own, with asyncio's streams.

    python examples/echo_server.py
        in memory: a server, a client, and what the client got back
    python examples/echo_server.py --device tap:uinet0 --address 10.7.0.2/24
        on a TAP device (root): ip address add 10.7.0.1/24 dev uinet0; nc 10.7.0.2 7
"""

from __future__ import annotations

import argparse
import asyncio

import uinet

PORT = 7


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends back what comes, until the client ends its stream."""
    print("connection from", writer.get_extra_info("peername"))
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve(device: str, address: str) -> None:
    """The server, until interrupted."""
    async with uinet.Host() as host:
        await host.add_device(device, addresses=[address])
        server = await host.start_server(echo, address.partition("/")[0], PORT)
        print(f"echo server on {address} port {PORT}")
        await server.serve_forever()


async def in_memory() -> None:
    """The server and a client, two stacks in this process, joined by a memory device."""
    server = asyncio.create_task(serve("memory:example", "10.7.0.2/24"))
    async with uinet.Host() as host:
        await host.add_device("memory:example", addresses=["10.7.0.1/24"])
        reader, writer = await host.open_connection("10.7.0.2", PORT)
        writer.write(b"hello, stack\n")
        writer.write_eof()
        print("echoed:", (await reader.read()).decode().strip())
        writer.close()
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", metavar="URL", help="tap:NAME, packet:IFNAME, ...")
    parser.add_argument("--address", default="10.7.0.2/24")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.device, arguments.address) if arguments.device else in_memory())
