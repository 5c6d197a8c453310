"""Long fat paths: buffers grow until one flow fills them, and not for a user that is slow."""

from __future__ import annotations

from typing import Any

import pytest

from uinet.errors import WouldBlock
from uinet.sim.network import Network
from uinet.sockopt import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from uinet.units import MILLISECOND

DATA = bytes(1 << 20)
GIGABIT = 1e9


class Flow:
    """One connection from `a` to `b`: `a` writes what its socket takes, `b` reads all that comes, or what a slow reader
    would: `rate` bytes a second, every 20 ms."""

    def __init__(self, net: Network, *, reader: int = 0, options: tuple[int, ...] = (), **link: Any) -> None:
        self.net = net
        self.a, self.b = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
        self.link = net.link(self.a, self.b, **link)
        self.rate = reader
        self.read = 0
        self.server: Any = None
        listener = self.b.stack.listen(("10.0.0.2", 80))
        for option in options:
            listener.setsockopt(SOL_SOCKET, option, 500_000)
        listener.on_event = self.accept
        self.client = self.a.stack.socket()
        for option in options:
            self.client.setsockopt(SOL_SOCKET, option, 500_000)
        self.client.on_event = self.write
        self.client.connect(("10.0.0.2", 80))

    def accept(self, listener: Any, events: int) -> None:
        self.server = listener.accept()
        if self.rate:
            self.take_slowly()
        else:
            self.server.on_event = self.take

    def write(self, sock: Any, events: int) -> None:
        try:
            while True:
                sock.send(DATA)
        except WouldBlock:
            pass

    def take(self, sock: Any, events: int) -> None:
        try:
            while True:
                self.read += len(sock.recv(1 << 20))
        except WouldBlock:
            pass

    def take_slowly(self) -> None:
        try:
            self.read += len(self.server.recv(self.rate // 50))
        except WouldBlock:
            pass
        self.net.clock.after(20 * MILLISECOND, self.take_slowly)

    def rate_from_to(self, begin: float, end: float) -> float:
        """bit/s that are read between two times, in seconds from now."""
        self.net.run(timeout=begin)
        before = self.read
        self.net.run(timeout=end - begin)
        return (self.read - before) * 8 / (end - begin)


@pytest.mark.parametrize("timestamps", [True, False], ids=["timestamps", "plain"])
def test_one_flow_fills_a_path_of_a_gigabit_and_100_ms_with_defaults(timestamps: bool) -> None:
    with Network(seed=1) as net:
        flow = Flow(net, rate=GIGABIT, delay=0.050, queue=5000, mtu=9000)
        if not timestamps:
            flow.b.stack.tcp.settings.timestamps = False
        assert flow.rate_from_to(2.0, 2.4) > 0.95 * GIGABIT
        assert flow.server.info().timestamps is timestamps
        assert 12_500_000 < flow.server.getsockopt(SOL_SOCKET, SO_RCVBUF) <= 1 << 24
        assert 12_500_000 < flow.client.getsockopt(SOL_SOCKET, SO_SNDBUF) <= 1 << 24
        assert flow.link.statistics()["ab"]["queue_full"] == 0


def test_buffers_that_the_user_has_chosen_stay_so() -> None:
    with Network(seed=1) as net:
        flow = Flow(net, rate=GIGABIT, delay=0.050, mtu=9000, options=(SO_RCVBUF, SO_SNDBUF))
        rate = flow.rate_from_to(2.0, 4.0)
        assert 0.8 * 500_000 * 8 / 0.1 < rate <= 500_000 * 8 / 0.1 * 1.01
        assert flow.server.getsockopt(SOL_SOCKET, SO_RCVBUF) == 500_000
        assert flow.client.getsockopt(SOL_SOCKET, SO_SNDBUF) == 500_000


@pytest.mark.parametrize("rate", [100_000, 1_000_000])
def test_a_slow_reader_gets_no_larger_a_buffer(rate: int) -> None:
    with Network(seed=1) as net:
        flow = Flow(net, reader=rate, rate=GIGABIT, delay=0.050)
        net.run(timeout=10)
        settings = flow.b.stack.tcp.settings
        assert flow.server.getsockopt(SOL_SOCKET, SO_RCVBUF) <= max(settings.receive_buffer, 4 * rate // 10)
        assert flow.read >= 9 * rate
        # and the sender's buffer is for what may be in flight
        in_flight = max(settings.receive_buffer, flow.server.getsockopt(SOL_SOCKET, SO_RCVBUF))
        assert flow.client.getsockopt(SOL_SOCKET, SO_SNDBUF) <= 2 * in_flight


def test_a_short_path_needs_little() -> None:
    with Network(seed=1) as net:
        flow = Flow(net, rate=100e6, delay=0.0002)
        assert flow.rate_from_to(0.5, 1.0) > 0.94 * 100e6
        assert flow.server.getsockopt(SOL_SOCKET, SO_RCVBUF) <= 1 << 18
