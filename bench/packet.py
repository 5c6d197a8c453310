"""Frames through AF_PACKET over a veth pair: in batches (recvmmsg, sendmmsg) and through the ring (TPACKET_V3).

One process sends, one receives, in namespaces of their own. What a C program does with the same calls on one core is in
`BOUND` (on a machine of 2 processors): frames a second.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

from bench.harness import interleave, line, namespaces, read, run, save, serving

PROGRAM = (sys.executable, "-m", "bench.frames")
SECONDS = 1.0
SIZES = (64, 1514, 65226)
RECEIVERS = {
    "batches": "packet:v1?buffer=64M", "ring": "packet:v1?ring=64M",
    "batches, busy_poll": "packet:v1?buffer=64M&busy_poll=1ms", "AF_XDP": "xdp:v1",
}
BOUND = {"send": {64: 0.90e6, 1514: 0.88e6}, "receive": {64: 0.84e6}}


def veth(near: str, far: str) -> None:
    run(["ip", "link", "add", "v0", "netns", near, "type", "veth", "peer", "name", "v1", "netns", far])
    for name, device in ((near, "v0"), (far, "v1")):
        run(["ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"])
        run(["ip", "-n", name, "link", "set", device, "up"])


def measure(direction: str, url: str, size: int, near: str, far: str) -> dict[str, Any]:
    """One run: the record of the process that is measured."""
    if direction == "send":
        with serving(near, *PROGRAM, "send", url, str(size), str(SECONDS)) as sender:
            return read(sender)
    with (
        serving(far, *PROGRAM, "receive", url, str(SECONDS)) as receiver,
        serving(near, *PROGRAM, "send", "packet:v0", str(size), str(SECONDS + 0.3)),
    ):
        return read(receiver)


def main(runs: int = 5) -> None:
    print("packet: frames through AF_PACKET and AF_XDP over veth, one process at each end")
    record: dict[str, Any] = {"bound": BOUND}
    with namespaces(2) as (near, far):
        veth(near, far)
        for size in SIZES:
            cases: dict[str, tuple[str, str]] = {"send, AF_PACKET": ("send", "packet:v0")}
            if size <= 1514:
                cases["send, AF_XDP"] = ("send", "xdp:v0")
            for name, url in RECEIVERS.items():
                if size <= 1514 or not url.startswith("xdp:"):
                    cases[f"receive, {name}"] = ("receive", url)
            details: dict[str, list[dict[str, Any]]] = {name: [] for name in cases}

            def once(name: str, size: int = size, cases: Any = cases, details: Any = details) -> float:
                found = measure(*cases[name], size, near, far)
                details[name].append(found)
                return float(found["frames"] / found["wall"])

            samples = interleave({name: (lambda name=name: once(name)) for name in cases}, runs)
            print(f"{size} bytes")
            for name, values in samples.items():
                cpu = statistics.median(one["cpu"] / max(1, one["frames"]) * 1e9 for one in details[name])
                line(name, values, "frames/s")
                rate = statistics.median(values) * size * 8e-9
                print(f"  {'':<46} {cpu:>10.0f} ns CPU a frame, {rate:.3g} Gbit/s")
            record[str(size)] = details
    save("packet", record)
