"""A honeypot that is a whole network: it answers on every address and every port of a prefix.

The interface is promiscuous and answers ARP and ND for any address of the prefix; one listener takes every
connection to it, on any VLAN. Each one is logged with its VLANs, MAC and first bytes.

    python examples/honeypot.py
        in memory: a scanner knocks at a few addresses
    python examples/honeypot.py --device packet:eth1 --prefix 10.66.0.0/16
        on a real link (root), whose router sends that prefix here
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress

import uinet

BANNERS = {22: b"SSH-2.0-OpenSSH_9.2\r\n", 25: b"220 mail ESMTP\r\n"}
PATIENCE = 10.0


async def lure(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Plays the service that the scanner hopes for, and writes down what it does."""
    address, port = writer.get_extra_info("sockname")
    l2 = writer.get_extra_info("l2info")
    writer.write(BANNERS.get(port, b""))
    said = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            said = await reader.read(1024)
    vlans = ":".join(str(tag.vid) for tag in l2.vlans) or "none"
    scanner = writer.get_extra_info("peername")[0]
    print(f"{scanner} ({l2.source}, vlan {vlans}) at {address} port {port}: {said!r}", flush=True)
    writer.close()


async def serve(device: str, prefix: str) -> None:
    """The honeypot, until interrupted."""
    network = ipaddress.ip_network(prefix)

    def only_the_prefix(syn: uinet.Syn) -> uinet.Verdict:
        inside = syn.destination[0] in network
        return uinet.Verdict.ACCEPT if inside else uinet.Verdict.REJECT_SILENT

    async with uinet.Host() as host:
        interface = await host.add_device(device, promiscuous=True, cdom=1, answer_any=True)
        interface.answer_prefixes = [(network.network_address.packed, network.prefixlen)]  # and for nobody else
        server = await host.start_server(
            lure, uinet.ANY, uinet.ANY, vlans=uinet.ANY, cdom=1, syn_filter=only_the_prefix
        )
        print(f"{network.num_addresses} addresses with 65535 ports each")
        await server.serve_forever()


async def in_memory() -> None:
    """The honeypot and a scanner, two stacks in this process, joined by a memory device."""
    honeypot = asyncio.create_task(serve("memory:darknet", "10.66.0.0/16"))
    async with uinet.Host() as host:
        await host.add_device("memory:darknet", addresses=["10.66.255.254/16"])
        for address, port in (("10.66.0.1", 22), ("10.66.17.4", 25), ("10.66.200.200", 31337)):
            reader, writer = await host.open_connection(address, port)
            writer.write(b"anybody there?\r\n")
            print(f"scanner: {address} port {port} says {await reader.read()!r}")
            writer.close()
    honeypot.cancel()
    await asyncio.gather(honeypot, return_exceptions=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", metavar="URL", help="packet:IFNAME, tap:NAME, ...")
    parser.add_argument("--prefix", default="10.66.0.0/16")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.device, arguments.prefix) if arguments.device else in_memory())
