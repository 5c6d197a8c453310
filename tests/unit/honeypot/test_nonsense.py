"""Frames that somebody has damaged: whatever they are, the program goes on, and its records are JSON."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.honeypot.conftest import CLIENT_MAC, MAC, Lab
from uinet import L2Info
from uinet.honeypot.engine import Options
from uinet.hosts.directory import Directory
from uinet.hosts.plan import read_plan
from uinet.wire.build import arp_request, icmp_echo, tcp, udp
from uinet.wire.frame import Frame
from uinet.wire.tcp_options import Mss, SackPermitted, Timestamps, WindowScale

L2 = L2Info.make(CLIENT_MAC, MAC, (7,))
OPTIONS = (Mss(1460), SackPermitted(), Timestamps(1, 0), WindowScale(7))
FRAMES = [
    tcp("192.0.2.1", "10.66.0.1", 1000, 80, "S", 1, 0, 65535, OPTIONS, b"", L2),
    tcp("2001:db8::1", "fd66::1", 1000, 80, "S", 1, 0, 65535, OPTIONS, b"data", L2),
    tcp("192.0.2.1", "10.66.0.1", 1000, 80, "FPU", 1, 0, 65535, (), b"", L2),
    udp("192.0.2.1", "10.66.0.1", 1000, 53, b"query", L2),
    udp("2001:db8::1", "fd66::1", 1000, 53, b"query", L2),
    icmp_echo("192.0.2.1", "10.66.0.1", 1, 1, b"ping", l2=L2),
    arp_request("10.66.255.254", "10.66.0.1", l2=L2),
]
DAMAGE = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=6)


def damaged(number: int, changes: list[tuple[int, int]], cut: int) -> bytes:
    """One of the frames, with bytes changed and its end cut off."""
    data = bytearray(FRAMES[number])
    for at, value in changes:
        data[at % len(data)] = value
    return bytes(data[: len(data) - cut % len(data)] if cut else data)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(FRAMES) - 1), DAMAGE, st.integers(0, 30)), min_size=1, max_size=20))
def test_honeypot_goes_on(what: list[tuple[int, list[tuple[int, int]], int]]) -> None:
    lab = Lab(Options(idle=1.0, scans=1.0))
    for number, changes, cut in what:
        # good sums, as far as the frame has them: what is damaged is to come further than the first check
        frame = Frame(damaged(number, changes, cut), 1)
        lab.stack.input(lab.interface, lab.watch.sift([frame], lab.now), lab.now)
        lab.stack.output(lab.interface)
    lab.wait(3)
    lab.honeypot.close()
    json.dumps(lab.records)


HOSTS = """
[[hosts]]
vlan = 7
mac = "02:00:00:00:00:99"
ip = ["10.66.0.1/16", "fd66::1/64"]
tcp = { 80 = "filtered" }
"""


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(FRAMES) - 1), DAMAGE, st.integers(0, 120))
def test_directory_finds_a_host_or_nobody(number: int, changes: list[tuple[int, int]], cut: int) -> None:
    directory = Directory(read_plan("x", HOSTS).hosts())
    found = directory.find(Frame(damaged(number, changes, cut)))
    assert found is None or found.name == "hosts0-0"
    assert sum(directory.counts.values()) == 1
