"""One connection, MTU 1500, no offloads: uinet on a TAP against the kernel, and kernel to kernel over veth.

The same asyncio program receives or sends, on uinet and on the kernel's sockets; the peer is a plain kernel socket.
The firm figure is Gbit per CPU-second of the program's process: for uinet that is the whole stack, for the kernel only
what the kernel accounts to the process.
"""

from __future__ import annotations

import statistics
from functools import partial

from bench.harness import cable, interleave, line, namespaces, ratio, read, run, save, start, stop

SECONDS = 2.0
WANTED = 1.6  # Gbit per CPU-second


def no_offloads(namespace: str, device: str) -> None:
    """Every packet as it would be on a wire."""
    switches = ["tx", "off", "tso", "off", "gso", "off", "gro", "off"]
    run(["ip", "netns", "exec", namespace, "ethtool", "-K", device, *switches])


def measure(kind: str, stack: str, near: str, far: str, *, offloads: bool = False) -> dict[str, float]:
    """One run: the program's record. `stack`: uinet, stdlib (asyncio on kernel sockets) or plain (blocking ones)."""
    program = start(near, f"{stack}-{kind}", str(SECONDS), *([] if offloads else ["plain"]))
    try:
        read(program)
        if stack == "uinet" and not offloads:
            no_offloads(near, "bench0")
        work = "kernel-fill" if kind == "sink" else "kernel-drain"
        peer = start(near if stack == "uinet" else far, work, str(SECONDS))
        try:
            return read(program)
        finally:
            stop(peer)
    finally:
        stop(program)


def veth(near: str, far: str, *, offloads: bool = False) -> None:
    """A cable between the namespaces."""
    cable(near, far)
    if not offloads:
        no_offloads(near, "v0")
        no_offloads(far, "v1")


def compare(kind: str, title: str, stacks: dict[str, str], runs: int, places: dict[str, tuple[str, str]],
            *, offloads: bool = False) -> dict[str, object]:
    """`stacks`: label -> stack; the first is compared with each of the others."""
    per_cpu: dict[str, list[float]] = {label: [] for label in stacks}

    def once(label: str) -> float:
        found = measure(kind, stacks[label], *places[stacks[label]], offloads=offloads)
        if found["error"]:
            raise RuntimeError(f"the connection failed: {found['error']}")
        per_cpu[label].append(found["bytes"] * 8e-9 / found["cpu"])
        return found["bytes"] * 8e-9 / found["wall"]

    wall = interleave({label: partial(once, label) for label in stacks}, runs)
    for label in stacks:
        line(f"{title}, {label}", wall[label], "Gbit/s")
    for label in stacks:
        line(f"{title}, {label}: its process", per_cpu[label], "Gbit/CPU-s")
    first, *others = stacks
    ratios = {other: ratio(f"{title}: {first} / {other}", wall[first], wall[other]) for other in others}
    return {
        "wall_gbit": wall, "gbit_per_cpu_second": per_cpu, "ratio_wall": ratios,
        "median_gbit_per_cpu_second": statistics.median(per_cpu[first]),
    }


def main(runs: int = 5) -> None:
    print("bulk: one connection, MTU 1500, no offloads, a Python asyncio program at our end")
    record: dict[str, object] = {"wanted_gbit_per_cpu_second": WANTED}
    with namespaces(3) as (alone, near, far):
        veth(near, far)
        places = {"uinet": (alone, alone), "stdlib": (near, far)}
        for kind, title in (("sink", "receive"), ("source", "send")):
            stacks = {"uinet on TAP": "uinet", "kernel over veth": "stdlib"}
            record[title] = compare(kind, title, stacks, runs, places)
    save("bulk", record)
