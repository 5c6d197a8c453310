"""A honeypot and a client's stack on virtual time, frame by frame."""

from __future__ import annotations

from typing import Any

import pytest

import uinet
from uinet import L2Info
from uinet.honeypot.engine import DOMAIN, Honeypot, Options
from uinet.honeypot.watch import Watch
from uinet.wire.frame import Frame

MAC = "02:00:00:00:00:99"
CLIENT_MAC = "02:00:00:00:00:01"
PREFIXES = ["10.66.0.0/16", "fd66::/64"]


class Lab:
    """`client`: a stack that is anybody, in domain 1. `records`: what was logged."""

    def __init__(self, options: Options, *, remember: int = 65536, sources: int = 8192) -> None:
        self.now = 1_000_000_000
        self.records: list[dict[str, Any]] = []
        self.client = uinet.Stack(b"client", self.now)
        self.wire = self.client.add_interface("wire", cdom=1, mac=CLIENT_MAC)
        self.stack = uinet.Stack(b"honeypot", self.now)
        self.interface = self.stack.add_interface("listen", mac=MAC, cdom=DOMAIN, promiscuous=True, answer_any=True)
        self.interface.answer_prefixes = [(bytes([10, 66, 0, 0]), 16), (bytes.fromhex("fd66") + bytes(14), 64)]
        self.watch = Watch(PREFIXES, mac=self.interface.mac, remember=remember, sources=sources)
        self.honeypot = Honeypot(self.stack, self.watch, options, self.write)
        self.sent: list[bytes] = []  # by the honeypot

    def write(self, record: dict[str, Any], now: int) -> None:
        self.records.append(record)

    def of(self, event: str) -> list[dict[str, Any]]:
        """The records of a kind."""
        return [record for record in self.records if record["event"] == event]

    def feed(self, *frames: bytes) -> list[bytes]:
        """Frames that come to the honeypot, and what it sends."""
        passed = self.watch.sift([Frame(data) for data in frames], self.now)
        self.stack.input(self.interface, passed, self.now)
        out = [frame.data for frame in self.stack.output(self.interface)]
        self.sent += out
        return out

    def move(self) -> None:
        """Moves frames until there are none."""
        while True:
            out = [frame.data for frame in self.client.output(self.wire)]
            back = self.feed(*out)
            if not out and not back:
                return
            self.client.input(self.wire, back, self.now)

    def wait(self, seconds: float) -> None:
        """Lets time pass."""
        end = self.now + round(seconds * 1e9)
        while self.now < end:
            self.now = min(end, self.now + 250_000_000)
            self.client.poll(self.now)
            self.stack.poll(self.now)
            self.move()

    def connect(self, source: tuple[str, int], destination: tuple[str, int], vlans: Any = ()) -> uinet.Socket:
        """A client's connection, established."""
        l2 = L2Info.make(CLIENT_MAC, MAC, vlans)
        sock = self.client.connect(destination, source=source, l2=l2, cdom=1)
        self.move()
        return sock


@pytest.fixture
def lab() -> Lab:
    return Lab(Options(idle=5.0, scans=4.0))
