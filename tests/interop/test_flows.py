"""Connections of two kernels, taken over by the proxy in their middle and let go again, at random under load."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from tests.interop.netns import PATIENCE, Namespace, namespace, require, veth
from uinet.errors import Unsafe
from uinet.link import open_device
from uinet.proxy import Policy
from uinet.proxy.runner import Options, Runner

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

ADDRESSES = {4: ("10.51.0.1", "10.51.0.2"), 6: ("fd51::1", "fd51::2")}
MEGABYTE = 1 << 20
PROGRAM = '''
import hashlib, json, random, socket, sys, threading
role, host, port, size, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
if role == "server":
    listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    print("up", flush=True)
    sock, _ = listener.accept()
else:
    sock = socket.create_connection((host, port))
chunk = random.Random(seed).randbytes(1 << 20) if seed else b"a" * (1 << 20)
first = second = 0
in_order = True
sent, got = hashlib.sha256(), hashlib.sha256()
def send():
    left = size
    while left:
        data = chunk[: min(left, len(chunk))]
        sock.sendall(data)
        sent.update(data)
        left -= len(data)
    sock.shutdown(socket.SHUT_WR)
thread = threading.Thread(target=send)
thread.start()
while data := sock.recv(1 << 20):
    got.update(data)
    if not seed:  # "a" as it was sent, then "b" as it was rewritten
        head = len(data) - len(data.lstrip(b"a"))
        in_order = in_order and not (head and second) and not data[head:].strip(b"b")
        first, second = first + head, second + len(data) - head
thread.join()
print(json.dumps({"sent": sent.hexdigest(), "got": got.hexdigest(), "ab": [first, second, in_order]}), flush=True)
'''


class Lab:
    """client -- mid (the proxy, in this process) -- server."""

    def __init__(self, client: Namespace, mid: Namespace, server: Namespace, program: Path) -> None:
        self.client = client
        self.mid = mid
        self.server = server
        self.program = program
        self.ends: list[subprocess.Popen[str]] = []

    def start(self, role: str, side: Namespace, version: int, size: int, seed: int) -> subprocess.Popen[str]:
        """One end, in its namespace."""
        command = [sys.executable, str(self.program), role, ADDRESSES[version][1], "9000", str(size), str(seed)]
        end = subprocess.Popen(["ip", "netns", "exec", side.name, *command], stdout=subprocess.PIPE, text=True)
        self.ends.append(end)
        return end

    def close(self) -> None:
        """Ends what has not come to its end."""
        for end in self.ends:
            end.kill()
            end.communicate(timeout=PATIENCE)

    def resets(self, *, strays: bool = True) -> int:
        """Connections that were reset, at either kernel; with `strays` also RSTs that either has sent, be it to a
        duplicate that came late, after the end."""
        total = 0
        for side in (self.client, self.server):
            found = json.loads(side.run("nstat -asz --json TcpOutRsts TcpEstabResets"))["kernel"]
            total += found["TcpEstabResets"] + (found["TcpOutRsts"] if strays else 0)
        return total


@contextlib.contextmanager
def lab(root: Path):  # type: ignore[no-untyped-def]
    """Three namespaces on two cables."""
    require("nstat")
    program = root / "end.py"
    program.write_text(PROGRAM)
    with ExitStack() as stack:
        client, mid, server = (stack.enter_context(namespace(name)) for name in ("client", "mid", "server"))
        stack.enter_context(veth(client, "c0", mid, "p0"))
        stack.enter_context(veth(server, "s0", mid, "p1"))
        for side, device, index in ((client, "c0", 0), (server, "s0", 1)):
            side.run(f"ip addr add {ADDRESSES[4][index]}/24 dev {device}")
            side.run(f"ip addr add {ADDRESSES[6][index]}/64 dev {device} nodad")
        for device in ("p0", "p1"):
            mid.run(f"sysctl -qw net.ipv6.conf.{device}.disable_ipv6=1")
        with contextlib.closing(Lab(client, mid, server, program)) as made:
            yield made


async def transfer(made: Lab, way: str, faults: str, version: int, size: int, seed: int) -> Counter[str]:
    """Sends `size` bytes both ways while the flow changes its state; what has happened."""
    with made.mid.entered():
        devices = [open_device(f"packet:{name}{faults}") for name in ("p0", "p1")]
    random = Random(seed)
    policy = Policy(decide=lambda syn: way)
    async with Runner(*devices, Options(policy=policy, seed=b"flows")) as runner:
        server = made.start("server", made.server, version, size, seed)
        assert server.stdout is not None
        assert await asyncio.to_thread(server.stdout.readline) == "up\n"
        client = made.start("client", made.client, version, size, seed + 1)
        both = asyncio.gather(*(asyncio.to_thread(end.communicate, None, 240) for end in (client, server)))
        refusals: Counter[str] = Counter()
        while not both.done():
            await asyncio.sleep(random.uniform(0.002, 0.04))
            for connection in [*runner.proxy.active.values(), *runner.proxy.passing.values()]:
                if connection.wanted:
                    continue
                try:
                    here = connection.state == "intercept"
                    connection.change(random.choice(("track", "pass")) if here else "intercept", 5.0)
                except Unsafe as error:
                    refusals[str(error)] += 1
        ends = [json.loads(output) for output, _ in await both]
        assert ends[0]["sent"] == ends[1]["got"]
        assert ends[1]["sent"] == ends[0]["got"]
        async with asyncio.timeout(PATIENCE):
            while runner.proxy.active:  # the last FIN and its ACK pass: what is open when the proxy stops is reset
                await asyncio.sleep(0.05)
        counts = Counter({name: runner.proxy.counts[name] for name in ("taken_over", "let_go")})
    for device in devices:
        device.close()
    print(counts, refusals)
    return counts + refusals


@pytest.mark.parametrize(("way", "version"), [("track", 4), ("intercept", 6)])
def test_200_mb_each_way_taken_over_and_let_go(tmp_path: Path, way: str, version: int) -> None:
    with lab(tmp_path) as made:
        counts = asyncio.run(transfer(made, way, "", version, 200 * MEGABYTE, 1))
        assert counts["let_go"] >= 1
        assert counts["taken_over"] >= 1
        assert made.resets() == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_where_packets_are_lost_and_overtaken(tmp_path: Path, seed: int) -> None:
    with lab(tmp_path) as made:
        faults = f"?drop=0.5%25&reorder=1%25&duplicate=0.5%25&delay=1ms&seed={seed}"
        counts = asyncio.run(transfer(made, "track", faults, 4, 8 * MEGABYTE, seed))
        assert counts["let_go"] >= 1
        assert counts["taken_over"] >= 1
        assert made.resets(strays=False) == 0


def test_streams_are_rewritten_from_the_moment_of_the_takeover(tmp_path: Path) -> None:
    """Nothing that has passed is rewritten, nothing that comes later passes as it was."""

    async def rewrite(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: object) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data.replace(b"a", b"b"))
            await writer.drain()

    async def run(made: Lab) -> list[int]:
        with made.mid.entered():
            devices = [open_device(f"packet:{name}") for name in ("p0", "p1")]
        policy = Policy(decide=lambda syn: "track", client_to_server=rewrite)
        async with Runner(*devices, Options(policy=policy, seed=b"flows")) as runner:
            server = made.start("server", made.server, 4, 0, 0)
            assert server.stdout is not None
            assert await asyncio.to_thread(server.stdout.readline) == "up\n"
            client = made.start("client", made.client, 4, 100 * MEGABYTE, 0)
            both = asyncio.gather(*(asyncio.to_thread(end.communicate, None, 240) for end in (client, server)))
            while not any(connection.client_bytes for connection in runner.proxy.passing.values()):
                await asyncio.sleep(0.001)
            (connection,) = runner.proxy.passing.values()
            connection.change("intercept", float(PATIENCE))
            ends = [json.loads(output) for output, _ in await both]
            assert runner.proxy.counts["taken_over"] == 1
        for device in devices:
            device.close()
        found: list[int] = ends[1]["ab"]
        return found

    with lab(tmp_path) as made:
        before, after, in_order = asyncio.run(run(made))
        assert in_order and before > 0 and after > 0 and before + after == 100 * MEGABYTE
        assert made.resets() == 0
