"""Connections, datagrams and scans, as the honeypot logs them."""

from __future__ import annotations

import base64

import uinet
from tests.unit.honeypot.conftest import CLIENT_MAC, MAC, Lab
from uinet import L2Info, VlanTag
from uinet.honeypot.engine import Options
from uinet.wire.build import dissect, tcp, udp
from uinet.wire.tcp_options import Mss, SackPermitted, Timestamps, WindowScale

OPTIONS = (Mss(1460), SackPermitted(), Timestamps(1, 0), WindowScale(7))


def syn(number: int, port: int = 80, vlans: object = (), source: str = "") -> bytes:
    """A spoofed SYN."""
    address = source or f"11.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    l2 = L2Info.make(CLIENT_MAC, MAC, vlans)  # type: ignore[arg-type]
    return tcp(address, "10.66.1.1", 1024 + number % 60000, port, "S", number, 0, 65535, OPTIONS, b"", l2)


def test_connection_is_logged_with_link_fingerprint_and_bytes(lab: Lab) -> None:
    sock = lab.connect(("192.0.2.7", 40000), ("10.66.3.4", 31337), (VlanTag(100, pcp=3), 7))
    sock.send(b"hello\x00there" * 100)
    lab.move()
    sock.close()
    lab.wait(1)
    (record,) = lab.of("connection")
    assert record["source"] == "192.0.2.7" and record["source_port"] == 40000
    assert record["destination"] == "10.66.3.4" and record["port"] == 31337
    assert record["mac"] == CLIENT_MAC and record["to_mac"] == MAC and record["vlans"] == [100, 7]
    assert record["tags"][0] == {"vid": 100, "pcp": 3, "dei": 0, "tpid": "0x8100"}
    assert record["received"] == 1100 and record["close"] == "fin" and record["serial"] == 1
    assert base64.b64decode(record["first"]["base64"]) == (b"hello\x00there" * 100)[:512]
    assert record["first"]["text"].startswith("hello.there")
    assert record["fingerprint"]["p0f"].startswith("4:64:0:1460:") and record["fingerprint"]["mss"] == 1460


def test_ipv6_connection_gets_its_banner(lab: Lab) -> None:
    sock = lab.connect(("2001:db8::9", 1234), ("fd66::22", 22))
    lab.move()
    assert sock.recv(100).startswith(b"SSH-2.0-")
    sock.abort()
    lab.wait(1)
    (record,) = lab.of("connection")
    assert record["close"] == "rst" and record["sent"] > 0 and record["fingerprint"]["p0f"].startswith("6:64:0:1440:")


def test_http_is_answered_on_any_port(lab: Lab) -> None:
    sock = lab.connect(("192.0.2.7", 40000), ("10.66.3.4", 8123))
    sock.send(b"GET / HTTP/1.1\r\n")
    lab.move()
    sock.send(b"Host: x\r\n\r\n")  # waits for the ACK of what went before (Nagle)
    lab.wait(0.01)
    assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_idle_connection_ends(lab: Lab) -> None:
    lab.connect(("192.0.2.7", 40000), ("10.66.3.4", 9))
    lab.wait(7)
    (record,) = lab.of("connection")
    assert record["close"] == "idle" and 5 <= record["duration"] <= 6.5


def test_longest_idle_connection_makes_room() -> None:
    lab = Lab(Options(connections=3))
    socks = [lab.connect(("192.0.2.7", 40000 + number), ("10.66.3.4", 9)) for number in range(3)]
    socks[0].send(b"still here")
    lab.move()
    lab.connect(("192.0.2.7", 50000), ("10.66.3.4", 9))
    assert [record["source_port"] for record in lab.of("connection")] == [40001]
    assert lab.of("connection")[0]["close"] == "evicted"
    assert socks[1].state == "CLOSED" and socks[0].state == "ESTABLISHED"
    assert len(lab.honeypot.visits) == 3


def test_whoever_sends_without_end_is_cut_off() -> None:
    lab = Lab(Options(most=100_000))
    sock = lab.connect(("192.0.2.7", 40000), ("10.66.3.4", 9))
    for _ in range(40):
        try:
            sock.send(b"x" * 10000)
        except uinet.Error:
            break
        lab.move()
    lab.wait(1)
    (record,) = lab.of("connection")
    assert record["close"] == "limit" and 100_000 < record["received"] < 300_000


def test_scan_is_one_record_a_source(lab: Lab) -> None:
    lab.feed(*[syn(1, port, (5,), "198.51.100.1") for port in range(1, 101)])
    lab.connect(("198.51.100.2", 1000), ("10.66.0.1", 80))
    lab.wait(5)
    (record,) = lab.of("scan")  # the other source's only SYN came to a connection
    assert record["source"] == "198.51.100.1" and record["syns"] == 100 and record["connections"] == 0
    assert record["vlans"] == [5] and record["mac"] == CLIENT_MAC
    assert record["ports"] == list(range(1, 33)) and record["ports_tried"] == 64
    assert record["fingerprint"]["mss"] == 1460


def test_flood_gets_cookies_and_a_client_gets_through() -> None:
    lab = Lab(Options(backlog=128, scan_lines=5, scans=1.0), sources=1000)
    for start in range(0, 5000, 64):
        lab.feed(*[syn(number) for number in range(start, start + 64)])
    assert lab.stack.stats["tcp_syncookie_sent"] > 4500
    sock = lab.connect(("192.0.2.7", 40000), ("10.66.3.4", 22))
    assert sock.state == "ESTABLISHED" and sock.recv(100).startswith(b"SSH")
    sock.close()
    lab.wait(2)
    (record,) = lab.of("connection")
    assert record["fingerprint"]["mss"] == 1460  # remembered, though the stack kept nothing of its SYN
    assert len(lab.of("scan")) == 5
    (rest,) = lab.of("scans")
    told = sum(record["syns"] for record in lab.of("scan"))
    assert rest["syns"] + told == lab.watch.syns and lab.watch.unlisted > 4000


def test_what_is_remembered_stays_bounded() -> None:
    lab = Lab(Options(backlog=16), remember=100, sources=10)
    for start in range(0, 2000, 50):
        lab.feed(*[syn(number) for number in range(start, start + 50)])
    assert len(lab.watch.young) + len(lab.watch.old) <= 200 and len(lab.watch.sources) == 10


def test_datagrams_are_answered_a_few_times_and_logged_once(lab: Lab) -> None:
    frame = udp("192.0.2.9", "10.66.9.9", 5000, 53, b"query", L2Info.make(CLIENT_MAC, MAC, (9,)))
    answers = [out for _ in range(20) for out in lab.feed(frame)]
    assert len(answers) == 8
    seen = dissect(answers[0])
    assert (seen.udp.source_port, seen.udp.destination_port, seen.payload) == (53, 5000, b"query")
    lab.wait(7)
    (record,) = lab.of("datagrams")
    assert record["datagrams"] == 20 and record["received"] == 100 and record["answers"] == 8
    assert record["vlans"] == [9] and record["first"]["text"] == "query"


def test_conversations_stay_bounded() -> None:
    lab = Lab(Options(conversations=10))
    l2 = L2Info.make(CLIENT_MAC, MAC)
    lab.feed(*[udp("192.0.2.9", "10.66.9.9", 5000 + number, 53, b"q", l2) for number in range(50)])
    assert len(lab.honeypot.talks) == 10 and len(lab.of("datagrams")) == 40


def test_end_logs_what_is_open(lab: Lab) -> None:
    lab.connect(("192.0.2.7", 40000), ("10.66.3.4", 9))
    lab.honeypot.close()
    assert [record["close"] for record in lab.of("connection")] == ["stop"]
