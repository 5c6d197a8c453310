"""Captures A and B: kernels, nginx and ab over a veth in namespaces of their own, recorded by tcpdump without loss."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.harness import Skipped, namespaces, run

HERE = Path(__file__).parent
CLIENT, SERVER = "10.9.0.2", "10.9.0.1"
BULK_PORT = "47001"
PORTS = "20000 27999"  # the client's: fewer than connections, so that 4-tuples are used again
ATTEMPTS = 4

NGINX = """
daemon off; master_process off; error_log stderr crit; pid {root}/pid; events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_timeout 0; sendfile off; output_buffers 1 128k;
  client_body_temp_path {root}/1; proxy_temp_path {root}/2; fastcgi_temp_path {root}/3;
  uwsgi_temp_path {root}/4; scgi_temp_path {root}/5;
  server {{ listen {address}:80 backlog=4096; root {root}; }}
}}
"""


class Lossy(Exception):
    """The kernel dropped packets on their way to the capture."""


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None and shutil.which(program, path="/usr/sbin:/sbin") is None:
            raise Skipped(f"recording a capture needs {program} (make deps)")


@contextmanager
def cable() -> Iterator[tuple[str, str]]:
    """Two namespaces, the client's and the server's, with a veth between them that carries plain 1514-byte frames."""
    need("tcpdump", "ethtool")
    with namespaces(2) as (client, server):
        run(["ip", "link", "add", "v0", "netns", client, "type", "veth", "peer", "name", "v1", "netns", server])
        for name, device, address in ((client, "v0", CLIENT), (server, "v1", SERVER)):
            switches = ["tx", "off", "tso", "off", "gso", "off", "gro", "off"]
            run(["ip", "netns", "exec", name, "ethtool", "-K", device, *switches])
            run(["ip", "-n", name, "addr", "add", f"{address}/24", "dev", device])
            run(["ip", "-n", name, "link", "set", device, "up"])
        yield client, server


@contextmanager
def tcpdump(namespace: str, path: Path, ring: int) -> Iterator[None]:
    """Records the TCP packets of the namespace's veth through a ring of `ring` MiB. Lossy if one was dropped."""
    command = ["ip", "netns", "exec", namespace, "tcpdump", "-i", "v0", "-n", "-s", "1600", "-B", str(ring * 1024)]
    process = subprocess.Popen([*command, "-Z", "root", "-w", str(path), "tcp"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = ""
        while "listening on" not in said:
            said = process.stderr.readline()
            if not said:
                raise Skipped("tcpdump did not start")
        yield
        drained(path)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
        dropped = re.search(r"(\d+) packets? dropped by kernel", said)
        if process.returncode or dropped is None:
            raise RuntimeError(f"tcpdump: {said.strip()}")
        if int(dropped[1]):
            raise Lossy(f"{dropped[1]} packets dropped with a ring of {ring} MiB")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(timeout=20)


def drained(path: Path) -> None:
    """Waits until the file no longer grows: tcpdump would leave behind what still lies in the ring."""
    size, quiet = -1, 0
    while quiet < 15:
        time.sleep(0.1)
        quiet = quiet + 1 if path.stat().st_size == size else 0
        size = path.stat().st_size


def lossless(path: Path, attempt: Callable[[Path, int], None]) -> None:
    """Calls attempt(path, ring) with ever larger rings until nothing is dropped."""
    for i in range(ATTEMPTS):
        try:
            attempt(path, 256 << i)
        except Lossy as why:
            print(f"  recording again: {why}", file=sys.stderr)
            continue
        return
    raise Skipped(f"{path.name}: the kernel dropped packets in {ATTEMPTS} attempts")


def bulk(path: Path, size: int) -> str:
    """Capture A: one connection, `size` bytes from the client. The SHA-256 that the receiver computed."""
    answer = ""

    def attempt(path: Path, ring: int) -> None:
        nonlocal answer
        with cable() as (client, server):
            def end(namespace: str, what: str) -> list[str]:
                program = [sys.executable, str(HERE / "content.py"), what, SERVER, BULK_PORT, str(size)]
                return ["ip", "netns", "exec", namespace, *program]

            receiver = subprocess.Popen(end(server, "receive"), stdout=subprocess.PIPE, text=True)
            assert receiver.stdout is not None
            try:
                receiver.stdout.readline()
                with tcpdump(client, path, ring):
                    subprocess.run(end(client, "send"), check=True, timeout=120)
                    answer, _ = receiver.communicate(timeout=60)
            finally:
                if receiver.poll() is None:
                    receiver.kill()
                    receiver.wait(timeout=20)

    lossless(path, attempt)
    return answer.split()[1]


def body(size: int) -> bytes:
    """What nginx serves for capture B."""
    line = b"".join(b"%07d\n" % i for i in range(size // 8 + 1))
    return line[:size]


def http(path: Path, requests: int, size: int, at_once: int = 32) -> int:
    """Capture B: ab fetches `size` bytes from nginx, a connection each. Requests that ab counts as complete."""
    need("nginx", "ab", "curl")
    complete = 0

    def attempt(path: Path, ring: int) -> None:
        nonlocal complete
        with cable() as (client, server), tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            root.chmod(0o755)
            (root / "body").write_bytes(body(size))
            (root / "nginx.conf").write_text(NGINX.format(root=root, address=SERVER))
            inside = ["ip", "netns", "exec", client]
            run([*inside, "sysctl", "-q", "-w", f"net.ipv4.ip_local_port_range={PORTS}", "net.ipv4.tcp_tw_reuse=1"])
            run(["ip", "netns", "exec", server, "sysctl", "-q", "-w", "net.core.somaxconn=4096"])
            nginx = subprocess.Popen(["ip", "netns", "exec", server, "nginx", "-c", str(root / "nginx.conf")])
            try:
                url = f"http://{SERVER}/body"
                patient = ["--retry", "20", "--retry-connrefused", "--retry-delay", "1"]
                run([*inside, "curl", "-sf", *patient, "-o", "/dev/null", url])
                with tcpdump(client, path, ring):
                    found = subprocess.run(
                        [*inside, "ab", "-q", "-r", "-n", str(requests), "-c", str(at_once), url],
                        capture_output=True, text=True, timeout=300, check=True,
                    ).stdout
            finally:
                nginx.terminate()
                nginx.wait(timeout=20)
        counts = dict(re.findall(r"(Complete|Failed) requests:\s+(\d+)", found))
        if int(counts["Failed"]):
            raise RuntimeError(f"ab: {counts['Failed']} requests failed")
        complete = int(counts["Complete"])

    lossless(path, attempt)
    return complete
