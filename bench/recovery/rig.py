"""The rig: a kernel and a uinet sender, one kernel receiver, and the emulated link between one of them and it.

    namespace K                namespace U                                    namespace R
    kernel sender -- k0 --+    uinet on u0 == bridge == e0 --+                r0 -- kernel receiver
                          +----------------------------------+-- emulator --+

k0, e0 and r0 are TAPs without offloads, whose other ends the emulator holds.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.harness import namespaces, run
from bench.recovery.control import difference
from bench.recovery.ends import CLIENT, CLIENT_MAC, KERNEL, KERNEL_MAC, OUR_MAC, OURS

SETTLE = 0.05
ROOT = Path(__file__).parents[2]
LEFTS = {"kernel": "k0", "uinet": "e0"}
ADDRESSES = {"kernel": KERNEL, "uinet": OURS}


class Worker:
    """A process of this benchmark that takes orders."""

    def __init__(self, namespace: str, *words: str) -> None:
        command = ["ip", "netns", "exec", namespace, sys.executable, "-m", *words]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1
        )
        self.hear()

    def tell(self, **order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended early: {self.process.args}")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, **order: Any) -> dict[str, Any]:
        self.tell(**order)
        return self.hear()

    def close(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)
        for file in (self.process.stdin, self.process.stdout):
            if file is not None:
                with contextlib.suppress(BrokenPipeError):
                    file.close()


class Rig:
    """Measures one transfer after the other."""

    def __init__(self, wire: Worker, senders: dict[str, Worker], client: Worker) -> None:
        self.wire = wire
        self.senders = senders
        self.client = client

    def measure(
        self, stack: str, size: int, seconds: float, seed: int, conditions: dict[str, Any], capture: str | None = None
    ) -> dict[str, Any]:
        """Fetches `size` bytes (0: what comes in `seconds`) from `stack` through a link of these conditions.

        Only the sender's direction has faults of the kinds in `conditions`; both have its rate and delay.
        """
        order = {"left": LEFTS[stack], "seed": seed, "seconds": seconds + 30, "capture": capture, **conditions}
        before = self.senders[stack].ask(what="counters")
        self.wire.ask(**order)
        fetched = self.client.ask(address=ADDRESSES[stack], bytes=size, seconds=seconds)
        time.sleep(2 * conditions["delay"] + SETTLE)  # the client's RST has to arrive, or the next run would see more
        link = self.wire.ask(end=True)
        sent = difference(self.senders[stack].ask(what="counters"), before)
        return {"stack": stack, "seed": seed, **fetched, "link": link, "sender": sent}


def wire_up(wire: str, ends: dict[str, str]) -> None:
    """Moves the emulator's TAPs to where they belong and sets everything up; `ends`: namespace by TAP."""
    for device, namespace in ends.items():
        run(["ip", "-n", wire, "link", "set", device, "netns", namespace])
        run(["ip", "-n", namespace, "link", "set", device, "txqueuelen", "20000"])
        run(["ip", "-n", namespace, "link", "set", device, "up"])
    kernel, ours, receiver = ends["k0"], ends["e0"], ends["r0"]
    run(["ip", "-n", ours, "link", "add", "br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0"])
    run(["ip", "-n", ours, "link", "set", "e0", "master", "br0"])
    run(["ip", "-n", ours, "link", "set", "br0", "up"])
    for namespace in (kernel, ours, receiver):
        for setting in ("net.ipv6.conf.all.disable_ipv6=1", "net.ipv4.tcp_no_metrics_save=1"):
            run(["ip", "netns", "exec", namespace, "sysctl", "-qw", setting])
    run(["ip", "-n", kernel, "addr", "add", f"{KERNEL}/24", "dev", "k0"])
    run(["ip", "-n", receiver, "addr", "add", f"{CLIENT}/24", "dev", "r0"])


def fix_neighbours(kernel: str, receiver: str) -> None:
    """No ARP on the link, where it would take part in the faults."""
    for namespace, device, mac in ((kernel, "k0", KERNEL_MAC), (receiver, "r0", CLIENT_MAC)):
        run(["ip", "-n", namespace, "link", "set", device, "address", mac])
    for namespace, device, address, mac in (
        (kernel, "k0", CLIENT, CLIENT_MAC), (receiver, "r0", KERNEL, KERNEL_MAC), (receiver, "r0", OURS, OUR_MAC),
    ):
        run(["ip", "-n", namespace, "neigh", "replace", address, "lladdr", mac, "dev", device, "nud", "permanent"])


@contextlib.contextmanager
def rig(congestion: str, send_buffer: int, receive_buffer: int = 0) -> Iterator[Rig]:
    """The rig, in namespaces of its own; gone at the end. Skipped without root."""
    with contextlib.ExitStack() as stack:
        emulator, kernel, ours, receiver = stack.enter_context(namespaces(4))

        def worker(namespace: str, *words: str) -> Worker:
            made = Worker(namespace, *words)
            stack.callback(made.close)
            return made

        wire = worker(emulator, "bench.recovery.wire", "k0", "e0", "r0")
        wire_up(emulator, {"k0": kernel, "e0": ours, "r0": receiver})
        fix_neighbours(kernel, receiver)
        if receive_buffer:
            setting = f"net.ipv4.tcp_rmem=4096 {receive_buffer} {receive_buffer}"
            run(["ip", "netns", "exec", receiver, "sysctl", "-qw", setting])
        senders = {
            "uinet": worker(ours, "bench.recovery.ends", "uinet", congestion, str(send_buffer)),
            "kernel": worker(kernel, "bench.recovery.ends", "kernel", congestion),
        }
        run(["ip", "-n", ours, "link", "set", "u0", "txqueuelen", "20000", "master", "br0"])
        client = worker(receiver, "bench.recovery.ends", "client")
        yield Rig(wire, senders, client)
