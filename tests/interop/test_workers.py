"""Several workers on the same interfaces, against kernels: a connection is served whole, by the worker that owns it."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

import uinet
from tests.interop.netns import PATIENCE, namespace, require, veth, wait_for
from tests.interop.test_proxy_hosts import SERVER, download, lab
from uinet.control.client import Client
from uinet.crew import Crew, Worker
from uinet.link import steering
from uinet.wire.pcap import read

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


@pytest.mark.parametrize("vids", [(), (100, 200)], ids=["untagged", "two-tags"])
def test_proxy_workers_share_connections_and_each_sees_both_sides(tmp_path: Path, vids: tuple[int, ...]) -> None:
    captures = tmp_path / "captures"
    with lab(tmp_path, vids) as made:
        with made.proxy("--workers", "2", "--capture", str(captures)):
            config = tmp_path / "curl.cfg"
            one = f'url = "http://{SERVER}/"\nheader = "Connection: close"\noutput = "/dev/null"\n'
            one += 'write-out = "%{http_code}\\n"\n'
            config.write_text("next\n".join([one] * 100))
            done = subprocess.run(
                ["ip", "netns", "exec", made.client.name, "curl", "-sS", "--parallel", "--parallel-max", "20", "-K",
                 config],
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert done.stdout.split() == ["200"] * 100
            assert download(made, f"http://{SERVER}/big") == made.digest
            wait_for(lambda: len(made.records()) >= 101, "the proxy's records")
            assert {tuple(record["vlans"]) for record in made.records()} == {vids}  # type: ignore[arg-type]
        for side in ("client-side", "server-side"):
            flows = [0, 0]
            for index in range(2):
                capture = captures / f"worker-{index}" / f"{side}.pcapng"
                tcp = [record.data for record in read(capture.read_bytes()) if ip_protocol(record.data) == 6]
                assert {steering.owner(data, 2) % 2 for data in tcp} == {index}
                flows[index] = len({data[12:50] for data in tcp})
            assert min(flows) > 0


def test_one_control_socket_reaches_all_workers_of_a_proxy(tmp_path: Path) -> None:
    path = str(tmp_path / "control")
    with lab(tmp_path, ()) as made, made.proxy("--workers", "2", "--control", path):
        for _ in range(8):
            assert download(made, f"http://{SERVER}/big") == made.digest
        wait_for(lambda: len(made.records()) >= 8, "the proxy's records")
        with Client(path) as client:
            totals = client.one("totals")
            assert totals["workers"] == 2 and totals["counters"]["tcp_accepted"] == 8
            rows = list(client.rows("stat", what="interfaces", fields=["name", "rx_frames"]))
            assert sorted((row["worker"], row["name"]) for row in rows) == [
                (worker, side) for worker in range(2) for side in ("client-side", "server-side")
            ]
            assert client.one("sysctl-set", name="net.inet.tcp.keepcnt", value=3)["text"] == "3"
        for worker in range(2):
            with Client(f"{path}.{worker}") as client:
                assert client.one("sysctl", name="net.inet.tcp.keepcnt")["value"] == 3
    assert not any(tmp_path.glob("control*"))


def ip_protocol(data: bytes) -> int:
    """The protocol of an IPv4 packet behind any tags; 0 for others."""
    at = 12
    while data[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    return data[at + 11] if data[at : at + 2] == b"\x08\x00" else 0


def answer(talking: list[uinet.Socket]) -> None:
    """Sends back what has come, and closes and leaves out those that have ended."""
    for sock in list(talking):
        if sock.readable:
            data = sock.recv(65536)
            if data:
                sock.send(data)
            else:
                sock.close()
                talking.remove(sock)


def echo(worker: Worker) -> int:
    """A promiscuous echo server; how many connections it has served."""
    served = 0
    conversations: list[uinet.Socket] = []
    stack = uinet.Stack()
    interface = stack.add_interface("wire", cdom=1, promiscuous=True, mtu=1500)
    listener = stack.listen((uinet.ANY, 7), cdom=1)
    with uinet.Driver(stack) as driver:
        driver.add_device(worker.devices[0], interface)
        while not worker.stopping:
            driver.run_once(0.05)
            while listener.readable:
                served += 1
                conversations.append(listener.accept())
            answer(conversations)
            worker.report({"served": served})
    return served


def received(sock: socket.socket, size: int) -> bytes:
    """So many bytes, or what came before the end."""
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data


@pytest.mark.parametrize("threads", [False, True], ids=["processes", "threads"])
@pytest.mark.parametrize("kind", ["packet", "tap"])
def test_server_workers_share_connections_to_a_promiscuous_listener(kind: str, threads: bool) -> None:
    require()
    with namespace("server", ipv6=False) as server, namespace("client", ipv6=False) as client:
        if kind == "packet":
            cable = veth(server, "s0", client, "c0")
            url, device, peer = "packet:s0", "c0", client
        else:
            cable = namespace("unused")  # type: ignore[assignment]
            url, device, peer = "tap:c0", "c0", server
        with cable:
            with server.entered():
                crew = Crew(echo, 2, [url], threads=threads)
                crew.start()
            try:
                peer.run(f"ip addr add 10.60.0.1/24 dev {device}")
                peer.run(f"ip neigh add 10.60.0.2 lladdr 02:00:00:00:00:02 dev {device}")
                for n in range(40):
                    with peer.open_socket() as sock:
                        sock.settimeout(PATIENCE)
                        sock.connect(("10.60.0.2", 7))
                        message = os.urandom(3000)
                        sock.sendall(message)
                        assert received(sock, 3000) == message, n
                wait_for(lambda: not crew.wait(0.01) and crew.total().get("served") == 40, "40 connections")
                assert min(report["served"] for report in crew.reports) > 5
            finally:
                crew.close()
            crew.check()
            assert sum(crew.results) == 40
    assert threading.active_count() == 1


ADDRESSES = ["10.61.0.2/24", "fd61::2/64"]


def host_work(worker: Worker) -> dict[str, int]:
    """An ordinary host, with an echo server, that also opens connections, and asks the peer's UDP echo."""
    stack = uinet.Stack()
    device = worker.devices[0]
    interface = stack.add_interface("wire", mac=device.mac)
    for prefix in ADDRESSES:
        interface.add_address(prefix, announce=True)
    counts = dict.fromkeys(("served", "opened", "asked"), 0)
    listeners = [stack.listen(("0.0.0.0", 7)), stack.listen(("::", 7))]
    talking: list[uinet.Socket] = []
    with uinet.Driver(stack) as driver:
        driver.add_device(device, interface)
        while not worker.stopping:
            driver.run_once(0.05)
            for listener in listeners:
                while listener.readable:
                    counts["served"] += 1
                    talking.append(listener.accept())
            answer(talking)
            if counts["served"] and counts["opened"] < 10:
                target = (("10.61.0.1", "fd61::1")[counts["opened"] % 2], 9)
                mine = stack.connect(target)
                assert driver.run_until(lambda mine=mine: mine.writable or mine.error is not None, PATIENCE), target
                assert mine.error is None, mine.error
                mine.send(b"hello")
                assert driver.run_until(lambda mine=mine: mine.readable, PATIENCE)
                assert mine.recv(100) == b"hello"
                mine.close()
                counts["opened"] += 1
                asking = stack.socket(uinet.AF_INET, uinet.SOCK_DGRAM)
                asking.connect(("10.61.0.1", 9))
                asking.send(b"what?")
                assert driver.run_until(lambda asking=asking: asking.readable, PATIENCE)
                assert asking.recv(100) == b"what?"
                asking.close()
                counts["asked"] += 1
            worker.report(counts)
    return counts


def echo_program() -> str:
    """A kernel's echo on port 9, TCP and UDP, of both families."""
    return (
        "import socket, threading\n"
        "def serve(conn):\n"
        "    while data := conn.recv(4096): conn.sendall(data)\n"
        "    conn.close()\n"
        "udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('', 9))\n"
        "def answers():\n"
        "    while True: udp.sendto(*udp.recvfrom(4096))\n"
        "threading.Thread(target=answers, daemon=True).start()\n"
        "with socket.create_server(('::', 9), family=socket.AF_INET6, dualstack_ipv6=True) as server:\n"
        "    print('ready', flush=True)\n"
        "    while True: threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()\n"
    )


@pytest.mark.parametrize("threads", [False, True], ids=["processes", "threads"])
@pytest.mark.parametrize("kind", ["packet", "tap"])
def test_workers_of_an_ordinary_host_serve_and_connect_as_one(
    tmp_path: Path, kind: str, threads: bool
) -> None:
    require("ping")
    with namespace("server") as server, namespace("client") as client:
        if kind == "packet":
            cable = veth(server, "s0", client, "c0")
            url, device, peer = "packet:s0", "c0", client
            server.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
        else:
            cable = namespace("unused")  # type: ignore[assignment]
            url, device, peer = "tap:c0", "c0", server
        with cable:
            with server.entered():
                crew = Crew(host_work, 2, [url], threads=threads)
                crew.start()
            try:
                peer.run(f"ip addr add 10.61.0.1/24 dev {device}")
                peer.run(f"ip addr add fd61::1/64 dev {device} nodad")
                program = tmp_path / "echo.py"
                program.write_text(echo_program())
                with peer.popen(f"python3 {program}") as answering:
                    assert answering.stdout is not None
                    assert answering.stdout.readline() == "ready\n"
                    wait_for(lambda: not crew.wait(0.01) and len(crew.reports) == 2, "the workers")
                    for n in range(30):
                        family, address = ((socket.AF_INET, "10.61.0.2"), (socket.AF_INET6, "fd61::2"))[n % 2]
                        with peer.open_socket(family) as sock:
                            sock.settimeout(PATIENCE)
                            sock.connect((address, 7))
                            message = os.urandom(3000)
                            sock.sendall(message)
                            assert received(sock, 3000) == message, n
                    wait_for(
                        lambda: not crew.wait(0.01) and crew.total() == {"served": 30, "opened": 20, "asked": 20},
                        "all connections",
                    )
                    assert min(report["served"] for report in crew.reports) > 3
                    assert " 0% packet loss" in peer.run("ping -c 3 -i 0.05 -W 10 10.61.0.2")
                    assert " 0% packet loss" in peer.run("ping -c 3 -i 0.05 -W 10 fd61::2")
                    # one MAC speaks for all of them, and nobody else asks or answers
                    assert "FAILED" not in peer.run("ip neigh")
            finally:
                crew.close()
            crew.check()
    assert threading.active_count() == 1
