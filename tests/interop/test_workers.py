"""Several workers on the same interfaces, against kernels: a connection is served whole, by the worker that owns it."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

import uinet
from tests.interop.netns import namespace, require, veth, wait_for
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
            wait_for(lambda: len(made.records()) >= 101, "the proxy's records", timeout=20)
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
        wait_for(lambda: len(made.records()) >= 8, "the proxy's records", timeout=20)
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
            for sock in list(conversations):
                if sock.readable:
                    data = sock.recv(65536)
                    if data:
                        sock.send(data)
                    else:
                        sock.close()
                        conversations.remove(sock)
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
                        sock.settimeout(10)
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
