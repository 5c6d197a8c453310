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


def measure(kind: str, stack: str, near: str, far: str) -> dict[str, float]:
    """One run: the program's record."""
    program = start(near, f"{stack}-{kind}", str(SECONDS))
    try:
        read(program)
        if stack == "uinet":
            no_offloads(near, "bench0")
        work = "kernel-fill" if kind == "sink" else "kernel-drain"
        peer = start(near if stack == "uinet" else far, work, str(SECONDS))
        try:
            return read(program)
        finally:
            stop(peer)
    finally:
        stop(program)


def veth(near: str, far: str) -> None:
    """A cable between the namespaces, without offloads."""
    cable(near, far)
    no_offloads(near, "v0")
    no_offloads(far, "v1")


def main(runs: int = 5) -> None:
    print("bulk: one connection, MTU 1500, no offloads, a Python asyncio program at our end")
    record: dict[str, object] = {"wanted_gbit_per_cpu_second": WANTED}
    with namespaces(3) as (alone, near, far):
        veth(near, far)
        for kind, title in (("sink", "receive"), ("source", "send")):
            per_cpu: dict[str, list[float]] = {"uinet": [], "stdlib": []}

            def once(stack: str, kind: str = kind, per_cpu: dict[str, list[float]] = per_cpu) -> float:
                near_side = alone if stack == "uinet" else near
                found = measure(kind, stack, near_side, far)
                if found["error"]:
                    raise RuntimeError(f"the connection failed: {found['error']}")
                per_cpu[stack].append(found["bytes"] * 8e-9 / found["cpu"])
                return found["bytes"] * 8e-9 / found["wall"]

            uinet_run, kernel_run = partial(once, "uinet"), partial(once, "stdlib")
            wall = interleave({"uinet": uinet_run, "kernel": kernel_run}, runs)
            line(f"{title}, uinet on TAP", wall["uinet"], "Gbit/s")
            line(f"{title}, kernel over veth", wall["kernel"], "Gbit/s")
            line(f"{title}, uinet", per_cpu["uinet"], "Gbit/CPU-s")
            line(f"{title}, kernel (its process only)", per_cpu["stdlib"], "Gbit/CPU-s")
            value = ratio(f"{title}: uinet / kernel, wall", wall["uinet"], wall["kernel"])
            record[title] = {
                "wall_gbit": wall, "gbit_per_cpu_second": per_cpu, "ratio_wall": value,
                "median_gbit_per_cpu_second": statistics.median(per_cpu["uinet"]),
            }
    save("bulk", record)
