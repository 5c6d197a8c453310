"""``uinet listen`` under a scan: what a SYN costs, and whether real clients get through meanwhile.

``python -m bench honeypot [--rate N] [--seconds S] [--only engine,wire]``

engine  CPU of a spoofed SYN through the whole program in one process (watch, stack, cookie), at 10 and at 200,000
        sources; of a visit, from handshake to record; memory behind the flood
wire    ``uinet listen`` on a veth, a flood of SYNs over AF_PACKET at --rate a second to addresses and ports all over a
        /16, each from a source of its own, and real clients of the kernel that connect, get a banner and close
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from time import thread_time_ns
from typing import Any

import uinet
from bench.harness import address, cpu_seconds, inside, line, namespaces, run, save, spawn, stop
from bench.idle import resident
from uinet import L2Info
from uinet.honeypot.engine import DOMAIN, Honeypot, Options
from uinet.honeypot.watch import Watch
from uinet.link.url import open_device
from uinet.wire.build import tcp
from uinet.wire.frame import Frame
from uinet.wire.tcp_options import Mss, SackPermitted, Timestamps, WindowScale

OPTIONS = (Mss(1460), SackPermitted(), Timestamps(1, 0), WindowScale(7))
PREFIX = "10.66.0.0/16"
FLOOD = 200_000
BATCH = 64
OUR_MAC = "02:00:00:00:00:99"
CLIENT_MAC = "02:00:00:00:00:01"


def syn(number: int, sources: int, to_mac: str = OUR_MAC, rng: random.Random | None = None) -> bytes:
    """SYN `number` of a scan from so many sources."""
    one = number % sources if rng is None else rng.getrandbits(23)
    where = number * 2_654_435_761 & 0xFFFF if rng is None else rng.getrandbits(16)
    source = f"11.{one >> 16 & 255}.{one >> 8 & 255}.{one & 255}"
    target = f"10.66.{where >> 8}.{where & 255}"
    port = 1 + number * 40_503 % 65535
    l2 = L2Info.make(CLIENT_MAC, to_mac)
    return tcp(source, target, 1024 + number % 60000, port, "S", number, 0, 64240, OPTIONS, b"", l2)


class Program:
    """The honeypot without device and clock."""

    def __init__(self) -> None:
        self.now = 1
        self.stack = uinet.Stack(b"bench", self.now)
        self.interface = self.stack.add_interface(
            "listen", mac=OUR_MAC, cdom=DOMAIN, promiscuous=True, answer_any=True
        )
        self.interface.answer_prefixes = [(bytes([10, 66, 0, 0]), 16)]
        self.watch = Watch([PREFIX], mac=self.interface.mac)
        self.records = 0
        self.honeypot = Honeypot(self.stack, self.watch, Options(), self.write)

    def write(self, record: dict[str, Any], now: int) -> None:
        """A record: made, and counted."""
        self.records += 1

    def feed(self, frames: list[Frame]) -> list[Frame]:
        """What it answers to frames."""
        self.now += 640_000  # 100,000 a second
        self.stack.input(self.interface, self.watch.sift(frames, self.now), self.now)
        return self.stack.output(self.interface)


def engine(found: dict[str, Any], runs: int) -> None:
    """The cost of a SYN, and of a visit."""
    for name, sources in (("10 sources", 10), ("200,000 sources", FLOOD)):
        costs = []
        for _ in range(max(3, runs)):
            frames = [Frame(syn(number, sources)) for number in range(FLOOD)]
            program = Program()
            before = resident()
            spent = 0
            for at in range(0, FLOOD, BATCH):
                batch = frames[at : at + BATCH]
                began = thread_time_ns()
                out = program.feed(batch)
                spent += thread_time_ns() - began
                assert out or at == 0
            costs.append(spent / FLOOD)
            assert program.watch.syns == FLOOD
            found.setdefault("memory", []).append(resident() - before)
        found[f"syn_ns, {name}"] = costs
        line(f"a spoofed SYN of {name}, all of the program", costs, "ns")
    line("memory that a flood leaves behind", [one / 1e6 for one in found["memory"]], "MB")
    visits = [visit_cost() for _ in range(max(3, runs))]
    found["visit_us"] = visits
    line("a visit: handshake, banner, data, end, record", visits, "us")


def visit_cost(count: int = 500) -> float:
    """CPU of a connection in the honeypot, us."""
    program = Program()
    client = uinet.Stack(b"client", 1)
    wire = client.add_interface("wire", cdom=1, mac=CLIENT_MAC)
    spent = 0
    l2 = L2Info.make(CLIENT_MAC, OUR_MAC)
    for number in range(count):
        sock = client.connect((f"10.66.1.{number & 255}", 22), source=("192.0.2.1", 2000 + number), l2=l2, cdom=1)
        for turn in range(6):
            frames = client.output(wire)
            began = thread_time_ns()
            back = program.feed(frames)
            spent += thread_time_ns() - began
            client.input(wire, back, program.now)
            if turn == 2:
                sock.send(b"hello there\r\n")
            elif turn == 3:
                sock.close()
    assert program.records == count, program.records
    return spent / count / 1e3


def wire(found: dict[str, Any], rate: int, seconds: float) -> None:
    """The program on a veth, a flood, and clients."""
    with namespaces(2) as (near, far), TemporaryDirectory() as folder:
        run(["ip", "link", "add", "v0", "netns", near, "type", "veth", "peer", "name", "v1", "netns", far])
        run(["ip", "-n", far, "link", "set", "v1", "up"])
        address(near, "v0", "10.66.255.254/16")
        log = Path(folder) / "log"
        errors = (Path(folder) / "err").open("w")
        command = [
            sys.executable, "-m", "uinet.cli", "listen", "packet:v1?buffer=32M", PREFIX, "--log", str(log),
            "--scan-interval", "1", "--sources", "4096",
        ]
        listening = subprocess.Popen(inside(far, command, 0), stderr=errors)
        try:
            time.sleep(2)
            ours = run_text(["ip", "netns", "exec", near, "ping", "-c", "1", "10.66.0.1"])
            assert "1 received" in ours
            mac = next(word for word in run_text(["ip", "-n", near, "neigh"]).split() if word.count(":") == 5)
            quiet = clients(near, min(3.0, seconds))
            before, began = cpu_seconds(listening), time.monotonic()
            seen_before = syns_of(log)
            flood = spawn(near, sys.executable, "-m", "bench.honeypot", "flood", "v0", mac, str(rate), str(seconds))
            busy = clients(near, seconds)
            record = json.loads(flood.stdout.readline()) if flood.stdout is not None else {}
            stop(flood)
            took = time.monotonic() - began
            time.sleep(1.5)
            cpu = cpu_seconds(listening) - before
            seen = syns_of(log) - seen_before
            memory = int(Path(f"/proc/{listening.pid}/statm").read_text().split()[1]) * 4096
        finally:
            listening.terminate()
            listening.wait(timeout=20)
            errors.close()
        found["wire"] = {
            "sent": record["sent"], "rate": record["rate"], "counted": seen, "cpu": cpu, "seconds": took,
            "memory": memory, "quiet": quiet, "busy": busy,
        }
        line("SYNs sent a second", [record["rate"]], "a second")
        line("of them, counted by uinet listen", [100 * seen / max(1, record["sent"])], "%")
        line("its CPU for each", [1e6 * cpu / max(1, seen)], "us")
        line("its memory", [memory / 1e6], "MB")
        for name, one in (("before", quiet), ("meanwhile", busy)):
            line(f"clients {name}: connect and banner", [one["median_ms"]], "ms")
            print(f"    {one['good']} of {one['good'] + one['bad']} got it, 99 % within {one['p99_ms']:.1f} ms")


def run_text(command: list[str]) -> str:
    """What a command writes."""
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout


def syns_of(log: Path) -> int:
    """How many SYNs are in the records of scans."""
    total = 0
    for text in log.read_text().splitlines():
        record = json.loads(text)
        if record["event"] in ("scan", "scans"):
            total += record["syns"]
    return total


def clients(namespace: str, seconds: float) -> dict[str, Any]:
    """Real clients in a namespace, for so long."""
    command = inside(namespace, [sys.executable, "-m", "bench.honeypot", "clients", str(seconds)], 1)
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True,
                          cwd=Path(__file__).parent.parent)
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def be_clients(seconds: float) -> None:
    """One connection after the other, to port 22 of addresses all over the prefix."""
    times, bad = [], 0
    rng = random.Random(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        try:
            with socket.create_connection((f"10.66.{rng.randint(1, 200)}.{rng.randint(1, 20)}", 22), 5) as sock:
                good = sock.recv(100).startswith(b"SSH")
        except OSError:
            good = False
        if good:
            times.append(time.perf_counter() - began)
        else:
            bad += 1
        time.sleep(0.01)
    times.sort()
    print(json.dumps({
        "good": len(times), "bad": bad, "median_ms": statistics.median(times) * 1e3 if times else 0.0,
        "p99_ms": times[int(len(times) * 0.99)] * 1e3 if times else 0.0,
    }))


def be_flood(interface: str, mac: str, rate: int, seconds: float) -> None:
    """SYNs to `mac` at `rate` a second, over AF_PACKET."""
    rng = random.Random(2)
    frames = [Frame(syn(number, 1, mac, rng)) for number in range(65536)]
    sent = at = 0
    with open_device(f"packet:{interface}") as device:
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            while sent < passed * rate:
                sent += device.send(frames[at : at + BATCH])
                at = (at + BATCH) % len(frames)
            time.sleep(0.0002)
        took = time.monotonic() - began
    print(json.dumps({"sent": sent, "rate": sent / took}), flush=True)


def main(runs: int, words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench honeypot")
    parser.add_argument("--rate", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", default="engine,wire")
    arguments = parser.parse_args(words or [])
    print("honeypot")
    found: dict[str, Any] = {}
    parts = arguments.only.split(",")
    if "engine" in parts:
        engine(found, runs)
    if "wire" in parts:
        wire(found, arguments.rate, arguments.seconds)
    save("honeypot", found)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        if sys.argv[1] == "flood":
            be_flood(sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
        else:
            be_clients(float(sys.argv[2]))
