"""A transparent TCP proxy in about 30 lines: what `uinet proxy` is made of.

    python examples/transparent_proxy.py
        in memory: a client and a server that see each other through it, VLANs, MACs, addresses and ports
    python examples/transparent_proxy.py --client-side packet:eth0 --server-side packet:eth1
        a bump in the wire between two real links (root)
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib

import uinet
from uinet import ANY, Verdict
from uinet.events import EV_CONNECTED, EV_ERROR
from uinet.socket import Socket


async def proxy(client_side: str, server_side: str) -> None:
    """Proxies TCP between two devices, and bridges everything else, until cancelled."""
    async with uinet.Host() as host:
        inside = await host.add_device(client_side, promiscuous=True, cdom=1)
        outside = await host.add_device(server_side, promiscuous=True, cdom=2)
        inside.bridge, outside.bridge = outside, inside  # what nobody here wants passes untouched

        def on_syn(syn: uinet.Syn) -> Verdict:
            """Holds the client's SYN, and connects onward as the client."""
            server = host.stack.connect(syn.destination, source=syn.source, l2=syn.l2info, cdom=2)
            syn.context = server
            syn.on_gone = lambda syn, why: server.abort()

            def answered(server: Socket, events: int) -> None:
                if events & EV_CONNECTED:
                    syn.deliver(Verdict.ACCEPT)
                elif events & EV_ERROR:
                    syn.deliver(Verdict.REJECT_RST)

            server.on_event = answered
            return Verdict.DEFER

        def on_accept(listener: Socket, events: int) -> None:
            """The client's handshake is complete: joins the two connections."""
            with contextlib.suppress(BlockingIOError):
                while True:
                    client = listener.accept()
                    print(f"{client.getpeername()} > {client.getsockname()}, {client.l2info}")
                    uinet.splice(client, client.context)

        listener = host.stack.listen((ANY, ANY), vlans=ANY, cdom=1, promiscuous=True, syn_filter=on_syn)
        listener.on_event = on_accept
        await asyncio.Event().wait()


async def in_memory() -> None:
    """The proxy between a client and a server, three stacks in this process."""

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        l2 = writer.get_extra_info("l2info")
        vlans = [tag.vid for tag in l2.vlans]
        writer.write(f"{writer.get_extra_info('peername')}, {l2.source}, VLANs {vlans}: ".encode())
        writer.write((await reader.read()).upper())
        writer.close()

    middle = asyncio.create_task(proxy("memory:left", "memory:right"))
    async with uinet.Host() as client, uinet.Host() as server:
        await client.add_device("memory:left", promiscuous=True, cdom=1)
        await server.add_device("memory:right", promiscuous=True, cdom=1)
        await server.start_server(shout, ANY, ANY, vlans=ANY, cdom=1)
        l2 = uinet.L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02", (100, 200))
        reader, writer = await client.open_connection(
            "192.0.2.80", 80, source=("10.1.2.3", 4567), l2=l2, cdom=1
        )
        writer.write(b"hello, through the proxy")
        writer.write_eof()
        print("the server saw", (await reader.read()).decode())
        writer.close()
    middle.cancel()
    await asyncio.gather(middle, return_exceptions=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--client-side", metavar="URL", help="packet:IFNAME, tap:NAME, ...")
    parser.add_argument("--server-side", metavar="URL")
    arguments = parser.parse_args()
    if bool(arguments.client_side) != bool(arguments.server_side):
        parser.error("give both sides, or none")
    asyncio.run(
        proxy(arguments.client_side, arguments.server_side) if arguments.client_side else in_memory()
    )
