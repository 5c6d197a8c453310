"""One connection, MTU 1500 with offloads: uinet on a TAP against the kernel, and kernel to kernel over veth with TSO.

At our end is a Python asyncio protocol on uinet. The kernel's own figure is taken twice: with the same asyncio program
on kernel sockets, and with plain blocking sockets (1 MiB sends, 256 KiB reads), its best.
"""

from __future__ import annotations

from bench.bulk import compare, veth
from bench.harness import namespaces, save


def main(runs: int = 5) -> None:
    print("offload: one connection, MTU 1500 with offloads, an asyncio protocol at our end; wanted: 1.0 of the kernel")
    record: dict[str, object] = {}
    with namespaces(3) as (alone, near, far):
        veth(near, far, offloads=True)
        places = {"uinet": (alone, alone), "stdlib": (near, far), "plain": (near, far)}
        for kind, title in (("sink", "receive"), ("source", "send")):
            stacks = {"uinet on TAP": "uinet", "kernel, plain sockets": "plain", "kernel, asyncio": "stdlib"}
            record[title] = compare(kind, title, stacks, runs, places, offloads=True)
    save("offload", record)
