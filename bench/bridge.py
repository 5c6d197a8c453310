"""A bridge between two TAPs whose flows are passed, tracked or intercepted, and a plain relay loop in C in its place.

Two namespaces have a TAP each; one program, in neither, has both of their other ends. uinet's is a Driver and a Proxy
whose policy has one word for every flow, and the flow is that of a bulk connection between two kernels. bench/relay.c
reads and writes frames and does nothing else: no bridge of one thread can be faster. With offloads frames stand for
many segments; without (information only), each is a packet.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from functools import partial

from bench.harness import (
    address,
    ask,
    compiled,
    cpu_seconds,
    interleave,
    line,
    namespaces,
    ratio,
    read,
    run,
    save,
    serving,
    spawn,
    stop,
)

SECONDS = 2.0
WANTED = 0.9
WORDS = ("pass", "track", "intercept")
PORT = "81"
PATIENCE = 10.0


class Place:
    """What bridges, and how fast it does."""

    def __init__(self, load: str, spaces: list[str], plain: bool, *command: str) -> None:
        self.load = load
        self.spaces = spaces
        self.plain = plain
        self.command = (*command, *(["plain"] if plain else []))
        self.cpu: list[float] = []

    def measure(self) -> float:
        """Gbit per second of one run; `cpu` gets the same per CPU-second of the bridge."""
        middle, near, far = self.spaces
        bridge = spawn(middle, *self.command)
        try:
            read(bridge)
            for name, space, prefix in (("b0", near, "10.9.0.1/24"), ("b1", far, "10.9.0.2/24")):
                run(["ip", "-n", middle, "link", "set", name, "netns", space])
                address(space, name, prefix)
                if self.plain:
                    switches = ["tx", "off", "tso", "off", "gso", "off", "gro", "off"]
                    run(["ip", "netns", "exec", space, "ethtool", "-K", name, *switches])
            with serving(far, self.load, "drain", PORT):
                self.wait(near)
                before = cpu_seconds(bridge)
                found = ask(near, self.load, "fill", "10.9.0.2", PORT, str(SECONDS))
                used = cpu_seconds(bridge) - before
        finally:
            stop(bridge)
        amount = found["bytes"] * 8e-9
        self.cpu.append(amount / used)
        return float(amount / found["wall"])

    def wait(self, near: str) -> None:
        """Until frames pass."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                ask(near, "ping", "-c", "1", "-W", "1", "-q", "10.9.0.2")
            except (json.JSONDecodeError, RuntimeError) as error:
                if isinstance(error, json.JSONDecodeError):  # ping has said that it worked, in words
                    return
        raise RuntimeError(f"nothing passes {self.command}")


def main(runs: int = 5) -> None:
    print("bridge: one bulk connection through a bridge of two TAPs, and through a relay loop in C")
    load, relay = compiled("load"), compiled("relay")
    record: dict[str, object] = {"wanted": WANTED}
    with namespaces(3) as spaces:
        for title, plain in (("offloads", False), ("MTU 1500", True)):
            ours = (sys.executable, "-m", "bench.bridge")
            places = {"relay in C": Place(load, spaces, plain, relay, "b0", "b1")}
            for word in WORDS:
                places[word] = Place(load, spaces, plain, *ours, word)
            candidates: dict[str, Callable[[], float]] = {
                name: partial(place.measure) for name, place in places.items()
            }
            samples = interleave(candidates, runs)
            for name, found in samples.items():
                line(f"{title}, {name}", found, "Gbit/s")
                line(f"{title}, {name}, of its process", places[name].cpu, "Gbit/CPU-s")
            value = ratio(
                f"{title}: pass / relay", samples["pass"], samples["relay in C"],
                "" if plain else f"at least {WANTED}",
            )
            record[title] = {
                "rate": samples, "per_cpu_second": {name: place.cpu for name, place in places.items()}, "ratio": value,
            }
    save("bridge", record)


def serve(word: str, plain: bool) -> None:
    """Bridges b0 and b1, every flow in the state `word`, until terminated."""
    import uinet

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    stack = uinet.Stack(b"bench")
    with uinet.Driver(stack) as driver:
        sides = []
        for cdom, name in enumerate(("b0", "b1"), 1):
            device = uinet.open_device(f"tap:{name}?up=0" + ("&offload=0" if plain else ""))
            side = stack.add_interface(name, cdom=cdom, promiscuous=True, mtu=device.mtu)
            driver.add_device(device, side)
            sides.append(side)
        uinet.bridge(*sides, classify=lambda syn: word)
        print('{"ready": true}', flush=True)
        while driver.run_once():
            pass


if __name__ == "__main__":
    serve(sys.argv[1], "plain" in sys.argv[2:])
