"""Pairs of proxies with codecs: curl and nginx on their far sides, and a restart in the middle."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.interop.netns import PATIENCE, Namespace, json_records, namespace, require, veth, wait_for

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

SIZE = 8 << 20
SERVER, SERVER6 = "10.51.0.2", "fd51::2"
NGINX = """
user root; worker_processes 1; daemon off; pid {root}/nginx.pid; error_log {root}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p;
    fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
    server {{ listen 0.0.0.0:80; listen [::]:80; root {root}/www; }}
}}
"""


@contextmanager
def site(root: Path, server: Namespace) -> Iterator[dict[str, str]]:
    """nginx; the digests of its files."""
    www = root / "www"
    www.mkdir()
    files = {"noise": os.urandom(SIZE), "text": b"".join(b"line %d of the text\n" % n for n in range(200_000))}
    for name, data in files.items():
        (www / name).write_bytes(data)
    config = root / "nginx.conf"
    config.write_text(NGINX.format(root=root))
    nginx = subprocess.Popen(["ip", "netns", "exec", server.name, "nginx", "-c", str(config)])
    try:
        wait_for(lambda: ":80" in server.run("ss -Htln"), "nginx")
        yield {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    finally:
        nginx.terminate()
        nginx.wait(timeout=10)


def digest(client: Namespace, url: str, *options: str) -> str:
    """The SHA-256 of what curl gets."""
    command = ["ip", "netns", "exec", client.name, "curl", "-sS", "-g", "--max-time", "60", *options, url]
    done = subprocess.run(command, capture_output=True, timeout=70)
    assert done.returncode == 0, done.stderr
    return hashlib.sha256(done.stdout).hexdigest()


def taken(sock: socket.socket, most: int) -> int:
    """How many bytes come, about `most` at most, until the stream ends or is reset."""
    total = 0
    with suppress(ConnectionResetError):
        while total < most and (data := sock.recv(65536)):
            total += len(data)
    return total


class Proxy:
    """``uinet proxy`` in a namespace; `records` are of connections that are over, as they were opened.

    One that was closed before the next was opened may yet end, and be written, after it.
    """

    def __init__(self, space: Namespace, root: Path, name: str, *arguments: str) -> None:
        self.output, self.errors = root / f"{name}.jsonl", root / f"{name}.err"
        command = ["ip", "netns", "exec", space.name, sys.executable, "-m", "uinet.cli", "proxy", "--json", *arguments]
        with self.output.open("w") as out, self.errors.open("w") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err)

    @property
    def records(self) -> list[dict[str, Any]]:
        return sorted(json_records(self.output), key=lambda row: int(row["serial"]))

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ends it; in peace it ends cleanly."""
        self.process.send_signal(number)
        status = self.process.wait(timeout=20)
        assert number == signal.SIGKILL or (status == 0 and "Traceback" not in self.errors.read_text())


@contextmanager
def proxies(*made: Proxy) -> Iterator[None]:
    try:
        yield
        for proxy in made:
            proxy.stop()
    finally:
        for proxy in made:
            if proxy.process.poll() is None:
                proxy.process.kill()
                proxy.process.wait(timeout=10)


@pytest.mark.parametrize("codec", ["zstd", "dedup"])
def test_transparent_pair_saves_and_every_byte_is_right(tmp_path: Path, codec: str) -> None:
    require("nginx", "curl", "ping")
    with ExitStack() as stack:
        client, near, far, server = (stack.enter_context(namespace(name)) for name in ("c", "near", "far", "s"))
        stack.enter_context(veth(client, "c0", near, "p0"))
        stack.enter_context(veth(near, "p1", far, "q0"))
        stack.enter_context(veth(server, "s0", far, "q1"))
        for space, device in ((near, "p0"), (near, "p1"), (far, "q0"), (far, "q1")):
            space.run(f"sysctl -qw net.ipv6.conf.{device}.disable_ipv6=1")
        for space, device, number in ((client, "c0", 1), (server, "s0", 2)):
            space.run(f"ip addr add 10.51.0.{number}/24 dev {device}")
            space.run(f"ip addr add fd51::{number}/64 dev {device} nodad")
        digests = stack.enter_context(site(tmp_path, server))
        ends = (
            Proxy(near, tmp_path, "near", "--codec", codec, "packet:p0", "packet:p1"),
            Proxy(far, tmp_path, "far", "--codec", codec, "--codec-peer", "client", "packet:q0", "packet:q1"),
        )
        with proxies(*ends):
            wait_for(lambda: "1 received" in client.run(f"ping -c 1 -W 1 {SERVER}", check=False), "a ping")
            wanted = ["text", "text", "noise", "noise"]
            for address, name in zip([SERVER, f"[{SERVER6}]"] * 2, wanted, strict=True):
                assert digest(client, f"http://{address}/{name}") == digests[name]
            wait_for(lambda: len(ends[0].records) == 4, "the records")
            came = [record["codec"]["wire_in"] / record["codec"]["plain_in"] for record in ends[0].records]
            if codec == "zstd":
                assert came[0] < 0.2 and came[1] < 0.2 and came[2] < 1.01
            else:
                assert came[0] > 0.97 and came[1] < 0.02 and came[2] > 0.97 and came[3] < 0.02
        assert [record["outcome"] for record in ends[1].records] == ["closed"] * 4


def test_dedup_pair_killed_in_the_middle_goes_on_where_it_was(tmp_path: Path) -> None:
    require("nginx", "curl", "tc")
    with ExitStack() as stack:
        client, server = (stack.enter_context(namespace(name)) for name in ("c", "s"))
        stack.enter_context(veth(client, "c0", server, "s0"))
        for space, device, number in ((client, "c0", 1), (server, "s0", 2)):
            space.run(f"ip addr add 10.51.0.{number}/24 dev {device}")
        for buffer in ("tcp_rmem", "tcp_wmem"):  # else the kernel may have all of the file when the proxy dies
            client.run(f"sysctl -qw net.ipv4.{buffer}='4096 65536 65536'")
        digests = stack.enter_context(site(tmp_path, server))

        def pair() -> tuple[Proxy, Proxy]:
            near, far = str(tmp_path / "near"), str(tmp_path / "far")
            made = (
                Proxy(client, tmp_path, "near", "--mode", "tcp", "--codec", "dedup", "--codec-store", near,
                      "127.0.0.1:8080", f"{SERVER}:9000"),
                Proxy(server, tmp_path, "far", "--mode", "tcp", "--codec", "dedup", "--codec-store", far,
                      "--codec-peer", "client", f"{SERVER}:9000", "127.0.0.1:80"),
            )
            for space, port in ((client, 8080), (server, 9000)):
                wait_for(lambda space=space, port=port: f":{port}" in space.run("ss -ltn"), "the proxy")
            return made

        first = pair()
        with client.open_socket() as half:  # takes a part of the file, and no more before both proxies are dead
            half.settimeout(PATIENCE)
            half.connect(("127.0.0.1", 8080))
            half.sendall(b"GET /noise HTTP/1.0\r\n\r\n")
            got = taken(half, SIZE // 4)
            for proxy in first:
                proxy.stop(signal.SIGKILL)
            assert SIZE // 4 <= got + taken(half, SIZE) < SIZE  # it was cut off
        ends = pair()
        with proxies(*ends):
            assert digest(client, "http://127.0.0.1:8080/noise") == digests["noise"]
            wait_for(lambda: len(ends[0].records) == 1, "the record")
            codec = ends[0].records[0]["codec"]
            assert codec["references"] > 0 and codec["wire_in"] < 0.8 * codec["plain_in"] < 0.8 * (SIZE + 1000)
