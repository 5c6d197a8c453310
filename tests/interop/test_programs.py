"""``uinet listen`` and ``uinet hosts`` as others' programs see them: nmap, ping, curl."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.interop.netns import Namespace, json_records, namespace, require, veth, wait_for
from tests.interop.vlan import tag

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

HOSTS = """
[defaults]
gateway = "10.9.0.1"
[[hosts]]
name = "web"
count = 1900
ip = ["10.9.4.1/16", "fd09::1/64"]
tcp = { 7 = "echo", 22 = { banner = "host {n}\\n" }, 23 = "filtered", 80 = { http = "{name}" } }
udp = { 7 = "echo" }
[[hosts]]
name = "dark"
count = 100
ip = "10.9.20.1/16"
ping = false
closed = "silent"
"""


class Lab:
    """client == ours (a uinet program), two namespaces on a cable."""

    def __init__(self, client: Namespace, ours: Namespace, root: Path) -> None:
        self.client = client
        self.ours = ours
        self.root = root

    @contextmanager
    def program(self, ready: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A uinet program, once it has said `ready`; it has to end cleanly when it is told to."""
        output, errors = self.root / "out", self.root / "err"
        command = ["ip", "netns", "exec", self.ours.name, sys.executable, "-m", "uinet.cli", *arguments]
        with output.open("w") as out, errors.open("w") as err:
            process = subprocess.Popen(command, stdout=out, stderr=err, text=True)
            try:
                wait_for(lambda: ready in errors.read_text() or process.poll() is not None, ready)
                assert process.poll() is None, errors.read_text()
                yield process
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=20) == 0, errors.read_text()
                assert "Traceback" not in errors.read_text()
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait(timeout=10)

    def records(self) -> list[dict[str, Any]]:
        """The JSON lines of the program."""
        return json_records(self.root / "out")

    def scans(self) -> list[dict[str, Any]]:
        """Of the client: a scan that takes its time is in several reports."""
        return [one for one in self.records() if one["event"] == "scan" and one["source"] == "10.66.255.254"]


@contextmanager
def lab(root: Path, v4: str, v6: str, vids: tuple[int, ...] = ()) -> Iterator[Lab]:
    require("nmap", "ping", "curl")
    with ExitStack() as stack:
        client, ours = (stack.enter_context(namespace(name)) for name in ("client", "ours"))
        stack.enter_context(veth(client, "c0", ours, "p0", mtu=1508 if vids else 1500))
        ours.run("sysctl -qw net.ipv6.conf.p0.disable_ipv6=1")
        client.run(f"ip addr add {v4} dev c0")
        client.run(f"ip addr add {v6} dev c0 nodad")
        if vids:
            tag(client, "c0", vids, root)
        yield Lab(client, ours, root)


@pytest.mark.parametrize("vids", [(), (100, 200)], ids=["untagged", "two-tags"])
def test_nmap_finds_every_port_of_every_address_open(tmp_path: Path, vids: tuple[int, ...]) -> None:
    with lab(tmp_path, "10.66.255.254/16", "fd66::ffff/64", vids) as made:
        arguments = ("packet:p0", "10.66.0.0/16", "fd66::/64", "--scan-interval", "1", "--idle", "2")
        with made.program("answering for", "listen", *arguments):
            for address in ("10.66.3.4", "fd66::abcd"):
                assert " 0% packet loss" in made.client.run(f"ping -c 2 -i 0.2 {address}")
            scan = "-sT" if vids else "-sS"  # what nmap sniffs has its tags still: it would not know its answers
            seen = made.client.run(f"nmap -n -Pn {scan} -p 1-1000 10.66.17.1", timeout=60)
            assert seen.count("/tcp") == seen.count(" open ") == 1000
            for options in ("-sT 10.66.9.1-5", "-6 -sT fd66::7"):
                seen = made.client.run(f"nmap -n -Pn -p 22,80,31337 {options}", timeout=60)
                assert len(re.findall(r"/tcp +open ", seen)) == (15 if "10.66" in options else 3), seen
            page = made.client.run("curl -sS -m 30 -A probe http://10.66.77.1:8080/admin")
            assert "It works!" in page
            if not vids:
                assert made.client.run("nmap -n -sU -Pn -p 53 10.66.9.9", timeout=60).count("open ") == 1
                wait_for(lambda: sum(one["syns"] for one in made.scans()) > 900, "a scan")
        records = made.records()
        assert all(one["vlans"] == list(vids) for one in records)
        if not vids:
            found = max(made.scans(), key=lambda one: int(one["syns"]))
            assert found["fingerprint"]["p0f"].startswith("4:64:0:1460:1024,*:mss:")
        (visit,) = (one for one in records if one.get("port") == 8080)
        assert visit["first"]["text"].startswith("GET /admin HTTP/1.1..Host: 10.66.77.1:8080..User-Agent: probe")
        assert visit["close"] == "fin" and visit["received"] > 50
        assert re.fullmatch(r"4:64:0:14(60|68):[^:]+:mss,sok,ts,nop,ws:df,id\+:0", visit["fingerprint"]["p0f"])
        probes = [one for one in records if one["event"] == "connection" and one.get("port") == 31337]
        assert {one["destination"] for one in probes} == {f"10.66.9.{n}" for n in range(1, 6)} | {"fd66::7"}


def test_nothing_outside_the_prefixes_is_answered(tmp_path: Path) -> None:
    arguments = ("answering for", "listen", "packet:p0", "10.66.0.0/16", "fd66::/64")
    with lab(tmp_path, "10.66.255.254/8", "fd66::ffff/16") as made, made.program(*arguments):
        assert "1 received" in made.client.run("ping -c 1 -W 10 10.66.0.1")
        for address in ("10.67.0.1", "fd66:0:0:1::1"):
            assert "0 received" in made.client.run(f"ping -c 1 -W 1 {address}", check=False)


def test_two_thousand_hosts_are_each_its_own(tmp_path: Path) -> None:
    file = tmp_path / "hosts.toml"
    file.write_text(HOSTS)
    with lab(tmp_path, "10.9.0.1/16", "fd09::ffff/64") as made:
        with made.program("2,000 hosts", "hosts", str(file), "--device", "packet:p0", "--json"):
            assert " 0% packet loss" in made.client.run("ping -c 2 -i 0.2 10.9.4.77")
            assert "0 received" in made.client.run("ping -c 1 -W 1 10.9.20.7", check=False)
            for address, name in (("10.9.11.108", "web-1899"), ("[fd09::100]", "web-255"), ("10.9.4.1", "web-0")):
                assert made.client.run(f"curl -sS -m 30 -g http://{address}/") == name
            seen = made.client.run("nmap -n -sT -p 7,22,23,24 10.9.5.5", timeout=60)
            for port, state in (("7/tcp ", "open"), ("22/tcp", "open"), ("23/tcp", "filtered"), ("24/tcp", "closed")):
                assert re.search(rf"{port} +{state}", seen), seen
            assert re.search(r"7/udp +open +echo", made.client.run("nmap -n -sU -p 7,8 10.9.5.5", timeout=60))
            found = made.client.run("nmap -n -sn -T5 --max-retries 10 10.9.4.1-255 10.9.11.1-255", timeout=120)
            assert "(363 hosts up)" in found, found[-300:]
            macs = re.findall(r"MAC Address: (\S+)", found)
            assert len(set(macs)) == 363 and macs[0] == "02:75:00:00:00:00"
            ask = "import socket; s = socket.create_connection(('10.9.6.1', 7), 30); s.sendall(b'x' * 300000)\n" \
                  "s.shutdown(1); n = 0\nwhile d := s.recv(65536): n += len(d)\nprint(n)"
            program = tmp_path / "ask.py"
            program.write_text(ask)
            assert made.client.run(f"{sys.executable} {program}") == "300000\n"
        (counters,) = made.records()
        assert counters["hosts"] == 2000 and counters["not_sent"] == 0 and counters["awoken"] > 360
