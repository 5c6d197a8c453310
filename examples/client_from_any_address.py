"""One program that is many clients: each connection has its own VLAN, MAC, address and port.

    python examples/client_from_any_address.py
        in memory: a server that sees three strangers
    python examples/client_from_any_address.py --device packet:eth1 --server 10.8.0.1 --mac 02:00:00:00:00:80
        on a real link (root), as client 10.8.1.1, and with --clients 3 all three, of a web server there. Nobody
        is asked for a MAC on a promiscuous interface: it has to be said
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress

import uinet

CLIENTS = [  # address, port, MAC, VLANs
    ("10.8.1.1", 1111, "02:00:00:00:01:01", ()),
    ("10.8.1.2", 2222, "02:00:00:00:01:02", (100,)),
    ("10.8.1.2", 2222, "02:00:00:00:01:03", (100, 200)),  # the same address and port, on other VLANs
]


async def ask(host: uinet.Host, number: int, server: str, port: int, mac: str, request: bytes) -> bytes:
    """What the server answers to client `number`."""
    address, source_port, own_mac, vlans = CLIENTS[number]
    reader, writer = await host.open_connection(
        server, port, source=(address, source_port), l2=uinet.L2Info.make(own_mac, mac, vlans), cdom=1
    )
    writer.write(request)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def ask_all(device: str, server: str, port: int, mac: str, request: bytes, clients: int) -> None:
    """All clients, at once."""
    async with uinet.Host() as host:
        # whoever asks for the MAC of one of our addresses gets an answer; other addresses are other hosts'
        interface = await host.add_device(device, promiscuous=True, cdom=1, answer_any=True)
        interface.answer_prefixes = [(ipaddress.ip_address(address).packed, 32) for address, *_ in CLIENTS]
        numbers = range(clients)
        answers = await asyncio.gather(*(ask(host, n, server, port, mac, request) for n in numbers))
        for (address, source_port, _, vlans), answer in zip(CLIENTS, answers, strict=False):
            first = answer.splitlines()[0].decode(errors="replace") if answer else "nothing"
            print(f"{address} port {source_port}, VLANs {vlans or 'none'}: {first}")


async def in_memory() -> None:
    """The clients, and a server on another stack that tells each whom it sees."""

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        ip, port = writer.get_extra_info("peername")
        l2 = writer.get_extra_info("l2info")
        vlans = [tag.vid for tag in l2.vlans]
        writer.write(f"you are {ip} port {port}, MAC {l2.source}, VLANs {vlans}\n".encode())
        writer.close()

    async with uinet.Host() as server:
        await server.add_device("memory:clients", promiscuous=True, cdom=1)
        await server.start_server(tell, "10.8.0.1", 80, vlans=uinet.ANY, cdom=1)
        await ask_all("memory:clients", "10.8.0.1", 80, "02:00:00:00:00:80", b"who am I?\n", len(CLIENTS))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", metavar="URL", help="packet:IFNAME, tap:NAME, ...")
    parser.add_argument("--server", default="10.8.0.1", help="its address")
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--mac", help="the server's MAC, or its router's; needed with --device")
    parser.add_argument("--clients", type=int, default=1, help="how many of CLIENTS (the first is untagged)")
    options = parser.parse_args()
    if options.device and not options.mac:
        parser.error("--device needs --mac: the server's MAC, or that of the router to it (ip neigh shows it)")
    get = f"GET / HTTP/1.0\r\nHost: {options.server}\r\n\r\n".encode()
    asyncio.run(
        ask_all(options.device, options.server, options.port, options.mac, get, options.clients)
        if options.device
        else in_memory()
    )
