"""RFC 6298: when the retransmission timer is started, stopped and restarted. The timeout's value:
tests/conformance/rfc9293/test_sending.py."""

from __future__ import annotations

import pytest

from tests.unit.tcp.peer import FULL, PLAIN, Peer
from uinet.socket import Socket
from uinet.units import MASK32, SECOND


def settled(**more: object) -> tuple[Peer, Socket]:
    """A connection with a round trip of 100 ms, without SACK, so that nothing but the timer sends again."""
    peer = Peer(**more)
    sock, _ = peer.connecting()
    peer.advance(0.1)
    peer.drain()
    peer.send("S.", options=PLAIN)
    peer.seq = (peer.seq + 1) & MASK32
    peer.drain()
    return peer, sock


def times(peer: Peer) -> list[float]:
    return [seg.time / SECOND for seg in peer.drain() if seg.data]


@pytest.mark.rfc("6298", "5.1", "a segment that is sent starts the timer if it does not run, and only then")
def test_timer_runs_from_the_first_segment_outstanding() -> None:
    peer, sock = settled()
    sock.setsockopt(6, 1, True)
    rto, start = sock.info().rto, peer.now / SECOND
    for _ in range(3):
        sock.send(b"x")
        peer.flush()
        peer.advance(0.09)
    assert len(times(peer)) == 3
    peer.advance(rto)
    assert times(peer)[0] == pytest.approx(start + rto, abs=0.01)


@pytest.mark.rfc("6298", "5.2", "when all is acknowledged the timer is off")
def test_timer_is_off_when_nothing_is_outstanding() -> None:
    peer, sock = settled()
    sock.send(b"x")
    peer.flush()
    peer.take()
    peer.advance(100)
    peer.quiet()
    assert peer.stack.next_deadline() is None


@pytest.mark.rfc("6298", "5.3", "an ACK of new data restarts the timer; others do not")
def test_timer_is_restarted_by_acks_of_new_data_alone() -> None:
    peer, sock = settled()
    sock.send(bytes(2920))
    peer.flush()
    first, second = peer.drain()
    peer.advance(0.1)
    peer.ack = first.end
    peer.send(".")
    restarted, rto = peer.now / SECOND, sock.info().rto
    peer.advance(0.1)
    peer.send(".")  # a duplicate
    peer.advance(2)
    again = peer.drain()
    assert again[0].seq == second.seq
    assert again[0].time / SECOND == pytest.approx(restarted + rto, abs=0.01)


@pytest.mark.rfc("6298", "5.4", "the timer sends again the earliest segment that is not acknowledged, and no other")
@pytest.mark.rfc("6298", "5.5", "the timeout doubles each time")
@pytest.mark.rfc("6298", "5.6", "the timer is started anew")
@pytest.mark.rfc("5681", "3.1", "after a timeout the window is one segment")
def test_timeout_sends_the_earliest_segment_and_doubles() -> None:
    peer, sock = settled()
    sock.send(bytes(14_600))
    peer.flush()
    first = peer.drain()[0]
    rto = sock.info().rto
    for index in range(5):
        before = peer.now
        while not peer.out:
            peer.advance(0.05)
        (again,) = peer.drain()
        assert again.seq == first.seq and first.data.startswith(again.data)
        assert sock.info().snd_cwnd == sock.info().snd_mss
        assert (again.time - before) / SECOND <= rto * 2**index + 0.06


@pytest.mark.rfc("6298", "5.7", "RTO is 3 s when data begins if the SYN was sent again, and no round trip is known")
@pytest.mark.parametrize("passive", [False, True])
def test_data_after_a_lost_syn_begins_with_3_seconds(passive: bool) -> None:
    peer = Peer()
    if passive:
        peer.listen()
        peer.syn()
        peer.advance(1.5)
        peer.drain()
        peer.send(".")
        sock = peer.listener.accept()
    else:
        sock, _ = peer.connecting()
        peer.advance(1.5)
        peer.drain()
        peer.send("S.", options=PLAIN)
        peer.seq = (peer.seq + 1) & MASK32
        peer.drain()
    sock.send(b"x")
    peer.flush()
    sent = peer.expect(data=b"x").time
    peer.advance(4)
    assert (peer.expect(data=b"x").time - sent) / SECOND == pytest.approx(3, abs=0.01)


@pytest.mark.rfc("6298", "3", "a round trip is measured at least once for each window of data")
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_each_window_gives_a_round_trip(options: tuple[object, ...]) -> None:
    peer = Peer(send_buffer=1 << 20)
    sock = peer.passive(options)
    trips = []
    sock.send(bytes(1 << 20))
    peer.flush()
    for index in range(6):
        peer.advance(0.02 * (index + 1))
        peer.take()
        trips.append(sock.info().rtt)
    assert all(trips) and len({round(trip, 6) for trip in trips}) == 6


@pytest.mark.rfc("6298", "4", "the clock is finer than 100 ms: round trips of a millisecond are told apart")
def test_round_trips_are_measured_finely() -> None:
    peer, sock = settled()
    for _ in range(100):
        sock.send(b"x")
        peer.flush()
        peer.advance(0.002)
        peer.take()
    assert 0.0015 < sock.info().rtt < 0.004
