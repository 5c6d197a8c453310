"""The transparent proxy between two kernels, and HAProxy in TCP mode in the same place.

Three namespaces in a row, veth between them. uinet joins the middle one's two interfaces (AF_PACKET, frames of many
segments as they come) and the client connects to the server's own address; HAProxy (one thread) listens in the middle
and connects onward. New connections per second, each with 64 bytes there and back, and one bulk connection.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.harness import (
    Skipped,
    address,
    ask,
    compiled,
    cpu_seconds,
    interleave,
    line,
    many_ports,
    namespaces,
    ratio,
    run,
    save,
    serving,
    spawn,
    stop,
)

SECONDS = 2.0
AT_ONCE = 64
SIZE = 64
WANTED = 1.0
PATIENCE = 10.0  # seconds that a proxy may take to begin
ANSWERS, DRAINS = "80", "81"  # ports
HAPROXY = """
global
    maxconn 4000
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen answers
    bind 10.9.1.1:80
    server one 10.9.2.2:80
listen drains
    bind 10.9.1.1:81
    server one 10.9.2.2:81
"""


def cables(client: str, middle: str, server: str) -> None:
    """client c0 - m0 middle m1 - s0 server; the outer two share a subnet, and each has one with the middle."""
    for near, one, far, other in ((client, "c0", middle, "m0"), (middle, "m1", server, "s0")):
        run(["ip", "link", "add", one, "netns", near, "type", "veth", "peer", "name", other, "netns", far])
    for namespace, device, prefix in (
        (client, "c0", "10.9.0.1/24"), (client, "c0", "10.9.1.2/24"), (middle, "m0", "10.9.1.1/24"),
        (middle, "m1", "10.9.2.1/24"), (server, "s0", "10.9.0.2/24"), (server, "s0", "10.9.2.2/24"),
    ):
        address(namespace, device, prefix)


class Place:
    """A proxy in the middle, and the address that the client connects to."""

    def __init__(self, load: str, client: str, middle: str, target: str, *command: str) -> None:
        self.load = load
        self.client = client
        self.middle = middle
        self.target = target
        self.command = command
        self.cpu: dict[str, list[float]] = {"connect": [], "fill": []}

    def measure(self, work: str, *arguments: str) -> float:
        """Connections or Gbit per second of one run; `cpu` gets the same per CPU-second of the proxy."""
        proxy = spawn(self.middle, *self.command)
        try:
            self.wait()
            before = cpu_seconds(proxy)
            found = ask(self.client, self.load, work, self.target, *arguments)
            used = cpu_seconds(proxy) - before
        finally:
            stop(proxy)
        amount = found["connections"] if work == "connect" else found["bytes"] * 8e-9
        if found.get("failed", 0) > amount / 1000:
            raise RuntimeError(f"{found['failed']} of {amount} connections failed")
        self.cpu[work].append(amount / used)
        return float(amount / found["wall"])

    def wait(self) -> None:
        """Until connections pass."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = ask(self.client, self.load, "connect", self.target, ANSWERS, "0.1", "1", str(SIZE))
            if found["connections"]:
                return
            time.sleep(0.05)
        raise RuntimeError(f"no connection passes {self.command[0]}")


def main(runs: int = 5) -> None:
    haproxy = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if haproxy is None:
        raise Skipped("needs haproxy: make bench-deps")
    print("proxy: uinet's transparent proxy and HAProxy in TCP mode, between two kernels")
    load = compiled("load")
    with namespaces(3) as (client, middle, server), tempfile.TemporaryDirectory() as folder:
        cables(client, middle, server)
        for namespace in (client, middle, server):
            many_ports(namespace)
        configuration = Path(folder) / "haproxy.cfg"
        configuration.write_text(HAPROXY)
        ours = (sys.executable, "-m", "bench.servers", "uinet", "proxy", "uvloop")
        places = {
            "uinet": Place(load, client, middle, "10.9.0.2", *ours),
            "HAProxy": Place(load, client, middle, "10.9.1.1", haproxy, "-db", "-f", str(configuration)),
        }
        record: dict[str, object] = {"wanted": WANTED}
        with serving(server, load, "answer", ANSWERS, str(SIZE)), serving(server, load, "drain", DRAINS):
            for title, unit, work, arguments in (
                ("new connections", "/s", "connect", (ANSWERS, str(SECONDS), str(AT_ONCE), str(SIZE))),
                ("bulk", "Gbit/s", "fill", (DRAINS, str(SECONDS))),
            ):
                candidates: dict[str, Callable[[], float]] = {
                    name: partial(place.measure, work, *arguments) for name, place in places.items()
                }
                samples = interleave(candidates, runs)
                for name, found in samples.items():
                    line(f"{title}, {name}", found, unit)
                    line(f"{title}, {name}, of its process", places[name].cpu[work], f"{unit} CPU")
                value = ratio(
                    f"{title}: uinet / HAProxy", samples["uinet"], samples["HAProxy"], f"at least {WANTED}"
                )
                record[title] = {
                    "rate": samples, "per_cpu_second": {name: place.cpu[work] for name, place in places.items()},
                    "ratio": value,
                }
    save("proxy", record)
