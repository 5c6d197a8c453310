"""RFC 9293 3.8.4: keepalives."""

from __future__ import annotations

import pytest

from tests.conformance.rfc9293.tape import Tape
from tests.unit.tcp.peer import FULL, PLAIN, Peer
from uinet.errors import TimedOut
from uinet.socket import Socket
from uinet.units import MASK32, SECOND

SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT = 9, 4, 5, 6


def alive(v6: bool = False, **times: float) -> tuple[Tape, Socket]:
    """A connection with keepalives."""
    peer = Tape(v6=v6)
    sock = peer.passive()
    sock.setsockopt(1, SO_KEEPALIVE, True)
    for name, value in times.items():
        sock.setsockopt(6, {"idle": TCP_KEEPIDLE, "interval": TCP_KEEPINTVL, "count": TCP_KEEPCNT}[name], value)
    peer.flush()
    return peer, sock


@pytest.mark.rfc("9293", "MUST-24", "the user switches keepalives of a connection on and off")
@pytest.mark.parametrize("v6", [False, True])
def test_keepalives_are_switched_for_one_connection(v6: bool) -> None:
    peer, sock = alive(v6=v6, idle=10)
    other_peer = Peer(v6=v6)
    other_peer.passive()
    peer.advance(10.1)
    peer.expect(".", seq=peer.ack - 1)
    peer.send(".")
    sock.setsockopt(1, SO_KEEPALIVE, False)
    peer.advance(100_000)
    peer.quiet()
    sock.setsockopt(1, SO_KEEPALIVE, True)
    peer.advance(10.1)
    peer.expect(".", seq=peer.ack - 1)
    other_peer.advance(100_000)
    other_peer.quiet()


@pytest.mark.rfc("9293", "MUST-25", "keepalives are off by default")
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_idle_connection_sends_nothing_for_days(options: tuple[object, ...]) -> None:
    peer = Peer()
    sock = peer.passive(options)
    peer.advance(10 * 86_400)
    peer.quiet()
    assert sock.state == "ESTABLISHED" and peer.stack.next_deadline() is None


@pytest.mark.rfc("9293", "MUST-26", "keepalives are sent only when nothing has come for the interval")
def test_keepalive_begins_when_data_and_acks_have_stopped() -> None:
    peer, sock = alive(idle=10)
    for _ in range(5):
        peer.advance(9)
        peer.data(b"x")
        peer.advance(0.1)
        peer.expect(".")
        peer.advance(9)
        sock.send(b"y")
        peer.flush()
        peer.take()
    assert peer.count("tcp_keepalive_probe") == 0
    start = peer.now
    peer.advance(12)
    (probe,) = peer.drain()
    assert 9.9 < (probe.time - start) / SECOND <= 10.1


@pytest.mark.rfc("9293", "MUST-27", "the keepalive interval can be set")
@pytest.mark.parametrize(("idle", "interval", "count"), [(5, 1, 3), (100, 20, 1), (0.5, 0.25, 9), (86_400, 3600, 4)])
def test_keepalive_times_are_those_that_were_set(idle: float, interval: float, count: int) -> None:
    peer, sock = alive(idle=idle, interval=interval, count=count)
    start = peer.now
    peer.advance(idle + interval * (count + 1))
    times = [(seg.time - start) / SECOND for seg in peer.drain()]
    expected = [idle + index * interval for index in range(count + 1)]  # the last one is the RST
    assert times == pytest.approx(expected, abs=0.01)
    assert isinstance(sock.error, TimedOut)


@pytest.mark.rfc("9293", "MUST-28", "the default is at least two hours")
@pytest.mark.rfc("9293", "MAY-5", "keepalives")
@pytest.mark.rfc("9293", "SHLD-12", "a keepalive has no data")
def test_keepalive_default_is_two_hours() -> None:
    peer, _ = alive()
    start = peer.now
    peer.advance(7300)
    probe = peer.expect(".", seq=peer.ack - 1, length=0)
    assert (probe.time - start) / SECOND == pytest.approx(7200, abs=0.01)


@pytest.mark.rfc("9293", "MUST-29", "one lost probe does not make a connection dead")
@pytest.mark.parametrize("lost", [1, 2, 8])
def test_keepalive_that_is_answered_late_keeps_the_connection(lost: int) -> None:
    peer, sock = alive(idle=10, interval=5)
    for _ in range(3):
        peer.advance(10 + 5 * lost + 1)
        assert len(peer.drain()) == lost + 1
        peer.send(".")
        assert sock.state == "ESTABLISHED"
    sock.send(b"data")
    peer.flush()
    assert peer.take() == b"data" and peer.seq == (sock.tcb.rcv_nxt if sock.tcb else 0) & MASK32
