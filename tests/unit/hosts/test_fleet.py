"""Hosts at work: a client's stack at the other end of a link in memory, on virtual time."""

from __future__ import annotations

from typing import Any

import pytest

import uinet
from uinet.hosts.directory import Directory
from uinet.hosts.fleet import Fleet, tagged
from uinet.hosts.plan import read_plan
from uinet.hosts.services import CHARGEN
from uinet.hosts.tables import tables
from uinet.link.memory import MemoryDevice
from uinet.wire.addresses import parse_vlans
from uinet.wire.frame import Frame

FILE = """
[[hosts]]
count = 50
ip = ["10.9.4.1/16", "fd00:9::1/64"]
gateway = "10.9.0.1"
[hosts.tcp]
7 = "echo"
9 = "discard"
13 = "daytime"
19 = "chargen"
22 = { banner = "hello from {name} at {ip}\\n", close = true }
23 = "filtered"
80 = { http = "<p>{n}</p>", status = 404 }
[hosts.udp]
7 = "echo"
13 = "daytime"
19 = "chargen"
23 = "filtered"
[[hosts]]
name = "dark"
ip = "10.9.99.1/16"
ping = false
closed = "silent"
"""


class Lab:
    """`client`: 10.9.0.1 and fd00:9::ffff, on the VLANs `vlans`."""

    def __init__(self, text: str = FILE, *, vlans: Any = (), awake: int = 100) -> None:
        self.now = 1_000_000_000
        ours, self.theirs = MemoryDevice.pair(queue=4096)
        self.tags = b"".join(
            tag.tpid.to_bytes(2, "big") + tag.tci.to_bytes(2, "big") for tag in parse_vlans(vlans)
        )
        self.fleet = Fleet(
            ours, Directory(read_plan("x", text).hosts()), seed=b"x", awake=awake, clock=lambda: self.now
        )
        self.client = uinet.Stack(b"client", self.now)
        self.eth0 = self.client.add_interface("eth0", mac="02:00:00:00:00:01")
        self.eth0.add_address("10.9.0.1/16")
        self.eth0.add_address("fd00:9::ffff/64")

    def move(self, seconds: float = 0.0) -> None:
        """Lets time pass, and frames."""
        end = self.now + round(seconds * 1e9)
        while True:
            self.client.poll(self.now)
            busy = True
            while busy:
                out = [tagged(frame, self.tags) for frame in self.client.output(self.eth0)]
                self.theirs.send(out)
                self.fleet.turn(0)
                back = self.theirs.recv(4096)
                size = len(self.tags)
                bare = [Frame(frame.data[:12] + frame.data[12 + size :], frame.checksum) for frame in back
                        if frame.data[12 : 12 + size] == self.tags]
                self.client.input(self.eth0, bare, self.now)
                busy = bool(out or back or self.fleet.readable)
            if self.now >= end:
                return
            self.now = min(end, self.now + 50_000_000)

    def ask(self, address: str, port: int, data: bytes = b"") -> uinet.Socket:
        """A connection that has sent `data`."""
        sock = self.client.connect((address, port))
        self.move(0.2)
        if data and sock.state == "ESTABLISHED":
            sock.send(data)
            self.move(0.2)
        return sock


@pytest.mark.parametrize("address", ["10.9.4.7", "fd00:9::7"])
def test_services(address: str) -> None:
    lab = Lab()
    sock = lab.ask(address, 7, b"abc" * 10000)
    assert sock.recv(100000) == b"abc" * 10000
    assert lab.ask(address, 22).recv(100) == b"hello from hosts0-6 at 10.9.4.7\n"
    assert lab.ask(address, 13).recv(100).endswith(b"UTC\r\n")
    page = lab.ask(address, 80, b"GET / HTTP/1.0\r\n\r\n").recv(1000)
    assert page.startswith(b"HTTP/1.1 404 Not Found\r\nServer: hosts0-6\r\n") and page.endswith(b"\r\n\r\n<p>6</p>")
    quiet = lab.ask(address, 9, b"x" * 1000)
    assert quiet.state == "ESTABLISHED" and not quiet.readable
    assert isinstance(lab.ask(address, 81).error, ConnectionRefusedError)
    assert lab.ask(address, 23).state == "SYN-SENT"


def test_http_wants_no_body_for_head() -> None:
    found = Lab().ask("10.9.4.1", 80, b"HEAD / HTTP/1.0\r\n\r\n").recv(1000)
    assert found.endswith(b"\r\n\r\n") and b"Content-Length: 8" in found


def test_chargen_goes_on_until_its_client_has_enough() -> None:
    lab = Lab()
    sock = lab.ask("10.9.4.1", 19)
    seen = b""
    while len(seen) < 3 * len(CHARGEN):
        if sock.readable:
            seen += sock.recv(65536)
        else:
            lab.move(0.1)
    assert seen == (CHARGEN * (len(seen) // len(CHARGEN) + 1))[: len(seen)]
    sock.close()
    lab.move(1)
    (host,) = lab.fleet.awake.values()
    assert not host.open


def test_datagrams_and_closed_ports() -> None:
    lab = Lab()
    sock = lab.client.socket(kind=uinet.SOCK_DGRAM)
    for port, sent, wanted in ((7, b"ping", b"ping"), (19, b"12345", CHARGEN[:5])):
        sock.sendto(sent, ("10.9.4.2", port))
        lab.move(0.1)
        assert sock.recv(1000) == wanted
    sock.sendto(b"x", ("10.9.4.2", 23))
    lab.move(0.1)
    assert not sock.readable
    closed = lab.client.socket(kind=uinet.SOCK_DGRAM)
    closed.connect(("10.9.4.2", 5))
    closed.send(b"x")
    lab.move(0.1)
    assert isinstance(closed.error, ConnectionRefusedError)


def test_dark_host_answers_arp_alone() -> None:
    lab = Lab()
    replies: list[int] = []
    ping = lab.client.ping("10.9.99.1", on_reply=lambda *seen: replies.append(1))
    ping.send()
    assert lab.ask("10.9.99.1", 80).state == "SYN-SENT"
    assert replies == [] and len(lab.fleet.awake) == 1
    lab.client.ping("10.9.4.1", on_reply=lambda *seen: replies.append(1)).send()
    lab.move(0.2)
    assert replies == [1]


def test_host_in_a_vlan_stack_is_in_no_other() -> None:
    text = '[[hosts]]\nvlan = "100:200"\nip = "10.9.4.1/16"\ntcp = { 7 = "echo" }\n'
    lab = Lab(text, vlans=(100, 200))
    assert lab.ask("10.9.4.1", 7, b"inside").recv(10) == b"inside"
    other = Lab(text, vlans=(100,))
    assert other.ask("10.9.4.1", 7).state == "SYN-SENT" and not other.fleet.awake


def test_one_that_is_idle_goes_to_sleep_and_wakes_again() -> None:
    lab = Lab(awake=3)
    busy = lab.ask("10.9.4.1", 7, b"a")
    for number in range(2, 10):
        lab.ask(f"10.9.4.{number}", 22)
        lab.move(130)  # until nothing is left of the connection
    assert len(lab.fleet.awake) == 3 and lab.fleet.counts["slept"] == 6
    busy.send(b"still there")
    lab.move(0.2)
    assert busy.recv(100) == b"astill there"
    assert lab.ask("10.9.4.2", 22).recv(5) == b"hello"


def test_times_that_nobody_waits_for_do_not_pile_up() -> None:
    lab = Lab()
    plan = next(iter(lab.fleet.directory.by_mac.values()))
    host = lab.fleet.wake(plan, lab.now)
    for sooner in range(5000):
        lab.fleet._after(host, lab.now + 10**9 - sooner)
    assert len(lab.fleet.timers) <= 1024 + 8 + 1
    assert min(lab.fleet.timers)[0] == host.deadline == lab.now + 10**9 - 4999


def test_announcement_tells_of_every_address() -> None:
    lab = Lab()
    lab.fleet.announce(next(iter(lab.fleet.directory.by_mac.values())))
    lab.fleet.turn(0)
    kinds = {frame.data[12:14].hex() for frame in lab.theirs.recv(10)}
    assert kinds == {"0806", "86dd"}


def test_nonsense_is_counted() -> None:
    lab = Lab()
    host = next(iter(lab.fleet.directory.by_mac.values()))
    lab.theirs.send([Frame(b"short"), Frame(bytes(60)), Frame(host.mac + bytes(6) + b"\x08\x00junk" + bytes(40))])
    lab.fleet.turn(0)
    counts = lab.fleet.directory.counts
    assert (counts["unreadable"], counts["unknown"], counts["frames"]) == (2, 1, 0)


def test_a_setting_is_one_of_every_host_awake_or_woken_later_and_connections_are_shown() -> None:
    lab = Lab()
    server = lab.fleet.manager.control(None)
    for name, table in tables(lab.fleet).items():
        server.add_table(name, table)

    def ask(command: str, **arguments: Any) -> list[dict[str, Any]]:
        found = server.commands[command](server.served, arguments)
        return [row for rows in found for row in rows]

    first = lab.client.connect(("10.9.4.1", 7))
    lab.move(0.2)
    assert first.state == "ESTABLISHED"
    for name, value in (
        ("net.inet.tcp.portrange.first", "10"), ("net.inet.tcp.portrange.last", "20"),
        ("net.inet.tcp.portrange.first", "15"),
    ):
        ask("sysctl-set", name=name, value=value)
    lab.client.connect(("10.9.4.2", 7))
    lab.move(0.2)
    for host in lab.fleet.awake.values():
        assert host.stack.sysctl["net.inet.tcp.portrange.first"] == 15
        assert host.stack.sysctl["net.inet.tcp.portrange.last"] == 20
    with pytest.raises(uinet.InvalidArgument, match="out of range"):
        ask("sysctl-set", name="net.inet.tcp.msl", value="1000h")
    rows = ask("stat", what="sessions", fields="all")
    assert [(row["host"], row["local"], row["state"], row["serial"]) for row in rows] == [
        ("hosts0-0", "10.9.4.1", "ESTABLISHED", 1), ("hosts0-1", "10.9.4.2", "ESTABLISHED", 1),
    ]
    assert ask("totals")[0]["uptime"] > 0.3
    lab.fleet.close()
