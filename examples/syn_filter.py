"""A SYN filter: look at each SYN before there is any state, and decide; at once, or after asking somebody.

    python examples/syn_filter.py
        in memory: clients that are accepted, refused, ignored, and kept waiting for a verdict
    python examples/syn_filter.py --device tap:uinet0
        on a TAP device (root): try nc to any address of 10.9.0.0/24 there
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress

import uinet
from uinet import Verdict

NETWORK = ipaddress.ip_network("10.9.0.0/24")


async def reputation(address: str) -> bool:
    """Asks a slow database whether this client is welcome; meanwhile its SYN is held."""
    await asyncio.sleep(0.1)
    return not address.endswith(".66")


async def decide(syn: uinet.Syn) -> Verdict:
    """By port: 23 is refused, 24 is silent, and the rest depends on who asks."""
    source, port = str(syn.source[0]), syn.destination[1]
    print(f"SYN from {source} to port {port}, options {syn.options}")
    if port == 23:
        return Verdict.REJECT_RST
    if port == 24:
        return Verdict.REJECT_SILENT
    syn.context = f"checked {source}"  # the accepted socket has it
    return Verdict.ACCEPT if await reputation(source) else Verdict.REJECT_RST


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says what the filter has noted."""
    writer.write(f"welcome, {writer.get_extra_info('socket').context}\n".encode())
    writer.close()


async def serve(device: str) -> None:
    """The server, until interrupted."""
    async with uinet.Host() as host:
        interface = await host.add_device(device, promiscuous=True, cdom=1, answer_any=True)
        interface.answer_prefixes = [(NETWORK.network_address.packed, NETWORK.prefixlen)]  # and for nobody else
        server = await host.start_server(
            greet, uinet.ANY, uinet.ANY, vlans=uinet.ANY, cdom=1, syn_filter=decide
        )
        await server.serve_forever()


async def in_memory() -> None:
    """The server and three clients on another stack, joined by a memory device."""
    server = asyncio.create_task(serve("memory:filter"))
    async with uinet.Host() as host:
        await host.add_device("memory:filter", addresses=["10.9.0.1/24", "10.9.0.66/24"])
        for source, port in (("10.9.0.1", 80), ("10.9.0.1", 23), ("10.9.0.1", 24), ("10.9.0.66", 80)):
            try:
                async with asyncio.timeout(0.5):
                    connecting = host.open_connection("10.9.0.9", port, source=(source, 0))
                    reader, writer = await connecting
                print(f"{source} to port {port}:", (await reader.read()).decode().strip())
                writer.close()
            except ConnectionRefusedError:
                print(f"{source} to port {port}: refused")
            except TimeoutError:
                print(f"{source} to port {port}: silence")
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", metavar="URL", help="tap:NAME, packet:IFNAME, ...")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.device) if arguments.device else in_memory())
