"""One connection, MTU 1500, no offloads: uinet beside lwIP (Debian's liblwip), each on a TAP against the kernel.

The firm figure is Gbit per CPU-second of the stack's process. lwIP's end is a C program on its raw API (bench/lwip.c),
which counts what comes without looking at it and sends the same bytes by reference; uinet's is the asyncio program of
`bench bulk`, which gets every byte as bytes objects.
"""

from __future__ import annotations

from functools import partial

from bench.bulk import no_offloads
from bench.harness import address, compiled, interleave, line, namespaces, ratio, read, save, spawn, start, stop

SECONDS = 2.0
WANTED = 1.0
LINK = ("-I/usr/include/lwip", "-llwip")


class Side:
    """One of the stacks; what it did per second is kept in `wall`."""

    def __init__(self, stack: str, namespace: str, program: str) -> None:
        self.stack = stack
        self.namespace = namespace
        self.program = program
        self.wall: list[float] = []

    def measure(self, kind: str) -> float:
        """Gbit per CPU-second of one run."""
        if self.stack == "lwip":
            process = spawn(self.namespace, self.program, kind, "bench0", "10.9.0.2", "10.9.0.1", str(SECONDS))
        else:
            process = start(self.namespace, f"uinet-{kind}", str(SECONDS), "plain")
        try:
            read(process)
            if self.stack == "lwip":
                address(self.namespace)
            no_offloads(self.namespace, "bench0")
            peer = start(self.namespace, "kernel-fill" if kind == "sink" else "kernel-drain", str(SECONDS))
            try:
                found = read(process)
            finally:
                stop(peer)
        finally:
            stop(process)
        self.wall.append(found["bytes"] * 8e-9 / found["wall"])
        return float(found["bytes"] * 8e-9 / found["cpu"])


def main(runs: int = 5) -> None:
    program = compiled("lwip", *LINK)
    print("lwip: one connection, MTU 1500, no offloads, uinet beside lwIP")
    record: dict[str, object] = {"wanted": WANTED}
    with namespaces(1) as (alone,):
        for kind, title in (("sink", "receive"), ("source", "send")):
            sides = {"uinet": Side("uinet", alone, ""), "lwIP": Side("lwip", alone, program)}
            per_cpu = interleave({name: partial(side.measure, kind) for name, side in sides.items()}, runs)
            for name, side in sides.items():
                line(f"{title}, {name}", per_cpu[name], "Gbit/CPU-s")
                line(f"{title}, {name}", side.wall, "Gbit/s")
            value = ratio(f"{title}: uinet / lwIP", per_cpu["uinet"], per_cpu["lwIP"], f"at least {WANTED}")
            record[title] = {
                "gbit_per_cpu_second": per_cpu, "wall_gbit": {name: side.wall for name, side in sides.items()},
                "ratio": value,
            }
    save("lwip", record)
