"""The transparent proxy between kernels that don't know it is there: curl <-> uinet proxy <-> nginx."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.interop.netns import Namespace, json_records, namespace, require, veth, wait_for, whole_lines
from tests.interop.vlan import tag

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

CLIENT, SERVER = "10.50.0.1", "10.50.0.2"
CLIENT6, SERVER6 = "fd50::1", "fd50::2"
MEGABYTE = 1 << 20


class Lab:
    """client -- mid (the proxy) -- server, three namespaces on two cables; nginx runs in `server`."""

    def __init__(self, client: Namespace, mid: Namespace, server: Namespace, root: Path) -> None:
        self.client = client
        self.mid = mid
        self.server = server
        self.root = root
        self.log = root / "access.log"
        self.events = root / "proxy.jsonl"
        self.digest = ""  # of /big

    def curl(self, url: str, *options: str, timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
        """curl in the client's namespace."""
        command = ["ip", "netns", "exec", self.client.name, "curl", "-sS", "--max-time", str(timeout), *options, url]
        return subprocess.run(command, capture_output=True, timeout=timeout + 10)

    @contextmanager
    def proxy(self, *options: str) -> Iterator[subprocess.Popen[str]]:
        """``uinet proxy`` between the two cables; has to end cleanly when it is told to."""
        command = [
            "ip", "netns", "exec", self.mid.name, sys.executable, "-m", "uinet.cli", "proxy", "--json", *options,
            "packet:p0", "packet:p1",
        ]
        with self.events.open("w") as output, (self.root / "proxy.err").open("w") as errors:
            process = subprocess.Popen(command, stdout=output, stderr=errors, text=True)
            try:
                self.wait_for_bridge(process)
                yield process
                process.send_signal(signal.SIGINT)
                status = process.wait(timeout=20)
                said = (self.root / "proxy.err").read_text()
                assert status == 0, f"the proxy ended with {status}: {said}"
                assert "Traceback" not in said, said
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait(timeout=10)

    def wait_for_bridge(self, process: subprocess.Popen[str]) -> None:
        """Until a ping passes: the proxy bridges ARP and ICMP."""

        def passes() -> bool:
            if process.poll() is not None:
                pytest.fail(f"the proxy ended: {(self.root / 'proxy.err').read_text()}")
            return self.client.run(f"ping -c 1 -W 1 {SERVER}", check=False).find(" 0% packet loss") >= 0

        wait_for(passes, "a ping through the proxy")

    def records(self) -> list[dict[str, object]]:
        """What the proxy has said of the connections that are over, as they were opened (of each worker).

        One that was closed before the next was opened may yet end, and be written, after it.
        """
        return sorted(json_records(self.events), key=lambda record: record["serial"])


NGINX = """
user root; worker_processes 1; daemon off; pid {root}/nginx.pid; error_log {root}/error.log;
events {{ worker_connections 2048; }}
http {{
    log_format who '$remote_addr $remote_port $server_addr $server_port $status $body_bytes_sent';
    access_log {root}/access.log who; client_body_temp_path {root}/b; proxy_temp_path {root}/p;
    fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
    client_max_body_size 500m; keepalive_timeout 5;
    server {{ listen 0.0.0.0:80; listen [::]:80; root {root}/www; }}
}}
"""


@contextmanager
def lab(root: Path, vids: tuple[int, ...] = ()) -> Iterator[Lab]:
    require("nginx", "curl", "tc", "ping", "ethtool")
    with ExitStack() as stack:
        client, mid, server = (stack.enter_context(namespace(name)) for name in ("client", "mid", "server"))
        mtu = 1500 + 8 if len(vids) > 1 else 1500
        stack.enter_context(veth(client, "c0", mid, "p0", mtu=mtu))
        stack.enter_context(veth(server, "s0", mid, "p1", mtu=mtu))
        for side, device, v4, v6 in ((client, "c0", CLIENT, CLIENT6), (server, "s0", SERVER, SERVER6)):
            side.run(f"ip addr add {v4}/24 dev {device}")
            side.run(f"ip addr add {v6}/64 dev {device} nodad")
            if mtu != 1500:  # the cable has room for two tags that the hosts don't know of
                side.run(f"ip route change 10.50.0.0/24 dev {device} src {v4} mtu 1500")
                side.run(f"ip -6 route replace fd50::/64 dev {device} proto kernel metric 256 mtu 1500")
        for device in ("p0", "p1"):
            mid.run(f"sysctl -qw net.ipv6.conf.{device}.disable_ipv6=1")
        if vids:
            tag(client, "c0", vids, root)
            tag(server, "s0", vids, root)
        www = root / "www"
        www.mkdir()
        (www / "index.html").write_text("<p>hello</p>\n")
        data = os.urandom(MEGABYTE) * 100
        (www / "big").write_bytes(data)
        made = Lab(client, mid, server, root)
        made.digest = hashlib.sha256(data).hexdigest()
        config = root / "nginx.conf"
        config.write_text(NGINX.format(root=root))
        nginx = subprocess.Popen(["ip", "netns", "exec", server.name, "nginx", "-c", str(config)])
        try:
            wait_for(lambda: ":80" in server.run("ss -Htln"), "nginx")
            yield made
        finally:
            nginx.terminate()
            nginx.wait(timeout=10)
            shutil.rmtree(www)


def download(made: Lab, url: str) -> str:
    """The SHA-256 of what curl gets."""
    done = made.curl(url)
    assert done.returncode == 0, done.stderr
    return hashlib.sha256(done.stdout).hexdigest()


@pytest.mark.parametrize("vids", [(), (100,), (100, 200)], ids=["untagged", "one-tag", "two-tags"])
def test_downloads_of_100_mb_agree_and_addresses_pass_unchanged(tmp_path: Path, vids: tuple[int, ...]) -> None:
    with lab(tmp_path, vids) as made, made.proxy():
        assert download(made, f"http://{SERVER}/big") == made.digest
        assert download(made, f"http://[{SERVER6}]/big") == made.digest
        done = made.curl(f"http://{SERVER}/", "--local-port", "40123")
        assert done.returncode == 0 and done.stdout == b"<p>hello</p>\n", done
        wait_for(lambda: len(whole_lines(made.log)) == 3, "nginx's log")
        lines = [text.split() for text in whole_lines(made.log)]
        assert [text[0] for text in lines] == [CLIENT, CLIENT6, CLIENT]
        assert lines[2][1] == "40123"
        wait_for(lambda: len(made.records()) == 3, "the proxy's records")
        for record in made.records():
            assert record["vlans"] == list(vids)


def test_upload_of_100_mb_arrives_whole(tmp_path: Path) -> None:
    with lab(tmp_path) as made, made.proxy():
        code = (
            "import socket,hashlib,sys; l=socket.create_server(('10.50.0.2',9000)); print('up',flush=True);"
            "c,_=l.accept(); h=hashlib.sha256();\nwhile True:\n d=c.recv(1<<20)\n if not d: break\n h.update(d)\n"
            "c.sendall(h.hexdigest().encode()); c.close()"
        )
        program = tmp_path / "sink.py"
        program.write_text(code)
        with made.server.popen(f"{sys.executable} {program}") as server:
            assert server.stdout is not None and server.stdout.readline() == "up\n"
            sender = tmp_path / "send.py"
            sender.write_text(
                "import socket,sys; s=socket.create_connection(('10.50.0.2',9000)); d=open(sys.argv[1],'rb').read();"
                "s.sendall(d); s.shutdown(1); print(s.recv(100).decode())"
            )
            got = made.client.run(f"{sys.executable} {sender} {tmp_path / 'www' / 'big'}", timeout=60)
        assert got.strip() == made.digest


def test_a_thousand_short_connections_all_succeed(tmp_path: Path) -> None:
    with lab(tmp_path) as made, made.proxy():
        config = tmp_path / "curl.cfg"
        one = f'url = "http://{SERVER}/"\nheader = "Connection: close"\noutput = "/dev/null"\n'
        one += 'write-out = "%{http_code}\\n"\n'
        config.write_text("next\n".join([one] * 1000))
        started = time.monotonic()
        done = subprocess.run(
            ["ip", "netns", "exec", made.client.name, "curl", "-sS", "--parallel", "--parallel-max", "50", "-K",
             config],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["200"] * 1000
        assert time.monotonic() - started < 60
        wait_for(lambda: len(made.records()) >= 1000, "the proxy's records")


def test_closed_port_is_refused_and_ping_passes(tmp_path: Path) -> None:
    with lab(tmp_path) as made, made.proxy():
        for host in (SERVER, f"[{SERVER6}]"):
            done = made.curl(f"http://{host}:81/", "-v", timeout=30)
            assert done.returncode == 7 and b"Connection refused" in done.stderr, done
        assert " 0% packet loss" in made.client.run(f"ping -c 3 -i 0.2 {SERVER}")
        assert " 0% packet loss" in made.client.run(f"ping -c 3 -i 0.2 {SERVER6}")
        assert " 0% packet loss" in made.server.run(f"ping -c 3 -i 0.2 -s 4000 {CLIENT}")


def test_silent_host_stays_silent(tmp_path: Path) -> None:
    with lab(tmp_path) as made, made.proxy():
        made.server.run("nft add table inet t")
        made.server.run("nft add chain inet t i '{ type filter hook input priority 0 ; }'")
        made.server.run("nft add rule inet t i tcp dport 82 drop")
        done = made.curl(f"http://{SERVER}:82/", "--connect-timeout", "3", timeout=30)
        assert done.returncode == 28, done


def test_excluded_traffic_is_bridged_and_existing_connections_survive(tmp_path: Path) -> None:
    with lab(tmp_path) as made, made.proxy("--match", "not port 80"):
        assert download(made, f"http://{SERVER}/big") == made.digest
        assert made.records() == []
