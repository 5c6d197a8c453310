"""RFC 5681, 6582, 3042, 6928: congestion control and recovery without SACK, with NewReno."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.unit.tcp.peer import PLAIN, Peer, Seg
from uinet.socket import Socket
from uinet.units import MASK32
from uinet.wire.tcp_options import Mss, Nop, Timestamps, WindowScale

WIDE = (Mss(1460), WindowScale(7), Nop())
MSS = 1460


def sending(options: Any = WIDE, size: int = 1 << 20, **settings: Any) -> tuple[Peer, Socket, list[Seg]]:
    """A sender with much to send, and its first flight."""
    peer = Peer(congestion="newreno", send_buffer=1 << 21, **settings)
    sock = peer.passive(options)
    sock.send(bytes(size))
    peer.flush()
    return peer, sock, peer.drain()


def acknowledge(peer: Peer, segments: list[Seg]) -> list[Seg]:
    """ACKs for each segment, one after the other; what they let out."""
    for seg in segments:
        peer.ack = seg.end
        peer.send(".")
    return peer.drain()


@pytest.mark.rfc("6928", "2", "the first flight is 10 segments, at most 14,600 bytes or 2 segments")
@pytest.mark.parametrize(
    ("mss", "expected"), [(536, 5360), (1000, 10_000), (1460, 14_600), (8000, 16_000), (4000, 14_600 // 4000 * 4000)]
)
def test_initial_window(mss: int, expected: int) -> None:
    peer = Peer(mtu=9000)
    sock = peer.passive((Mss(mss), WindowScale(7), Nop()))
    sock.send(bytes(100_000))
    peer.flush()
    sent = sum(len(seg.data) for seg in peer.drain())
    assert expected <= sent <= max(10 * mss, 14_600) and sent <= max(14_600, 2 * mss)


@pytest.mark.rfc("5681", "3.1", "slow start: the window grows by what is acknowledged, at most a segment for each")
def test_slow_start_grows_by_a_segment_for_each() -> None:
    peer, sock, flight = sending()
    windows = [sock.info().snd_cwnd]
    for seg in flight:
        acknowledge(peer, [seg])
        windows.append(sock.info().snd_cwnd)
    assert all(b - a == MSS for a, b in itertools.pairwise(windows))


@pytest.mark.rfc("5681", "3.1", "after a timeout: ssthresh is half the flight, the window one segment")
@pytest.mark.rfc("5681", "3.1", "a second timeout of the same segment leaves ssthresh")
def test_timeout_halves_once() -> None:
    peer, sock, flight = sending()
    peer.advance(1.1)
    peer.drain()
    assert sock.info().snd_ssthresh == len(flight) * MSS // 2 and sock.info().snd_cwnd == MSS
    peer.advance(2.1)
    assert sock.info().snd_ssthresh == len(flight) * MSS // 2 and sock.info().snd_cwnd == sock.info().snd_mss


@pytest.mark.rfc("5681", "3.1", "congestion avoidance: a segment in a round trip")
def test_congestion_avoidance_grows_by_one() -> None:
    peer, sock, flight = sending()
    peer.advance(1.1)
    peer.drain()
    news = acknowledge(peer, flight[-1:])
    growth = []
    for _ in range(12):
        before = sock.info().snd_cwnd
        slow_start = before < sock.info().snd_ssthresh
        news = acknowledge(peer, news)
        if not slow_start:
            growth.append(sock.info().snd_cwnd - before)
    assert len(growth) >= 5 and all(0 < step <= MSS for step in growth)


@pytest.mark.rfc("3042", "2", "the first two duplicate ACKs each let out a new segment, beyond the window")
@pytest.mark.rfc("5681", "3.2", "the third duplicate ACK sends the missing segment at once")
def test_duplicate_acks_one_to_three() -> None:
    peer, sock, flight = sending()
    cwnd = sock.info().snd_cwnd
    for count in (1, 2):
        peer.send(".")
        (new,) = peer.drain()
        assert new.seq == (flight[-1].end + (count - 1) * MSS) & MASK32
        assert sock.info().snd_cwnd == cwnd
    peer.send(".")
    assert peer.drain()[0].seq == flight[0].seq


@pytest.mark.rfc("5681", "2", "an ACK with data, FIN, another window or nothing outstanding is no duplicate")
@pytest.mark.parametrize("how", ["data", "window", "idle"])
def test_what_is_no_duplicate_ack(how: str) -> None:
    peer, _, flight = sending(size=14_600)
    if how == "idle":
        acknowledge(peer, flight)
    for index in range(6):
        if how == "data":
            peer.data(b"x")
        else:
            peer.send(".", window=65_000 - index if how == "window" else None)
    assert not [seg for seg in peer.drain() if seg.data]


@pytest.mark.rfc("5681", "3.2", "fast recovery: the window is halved, and grows back to it")
@pytest.mark.rfc("6582", "3.2", "an ACK of all that was outstanding ends recovery with the window at most ssthresh")
def test_fast_recovery_halves_the_window() -> None:
    peer, sock, flight = sending()
    news = acknowledge(peer, flight)  # 20 in flight
    for _ in range(3):
        peer.send(".")
    sent = peer.drain()
    outstanding = (len(news) + 2) * MSS
    assert sent[-1].seq == news[0].seq or sent[0].seq == news[0].seq
    assert sock.info().snd_ssthresh in (outstanding // 2, len(news) * MSS // 2)
    for _ in range(len(news) - 3):
        peer.send(".")
    sent += peer.drain()
    last = max((seg.end for seg in [*news, *sent]), key=lambda end: (end - news[0].seq) & MASK32)
    peer.ack = last
    peer.send(".")
    assert sock.info().snd_cwnd <= sock.info().snd_ssthresh + MSS


@pytest.mark.rfc("6582", "3.2", "a partial ACK sends the next missing segment at once, and recovery goes on")
def test_partial_acks_send_one_segment_after_the_other() -> None:
    peer, sock, flight = sending(size=14_600)
    for _ in range(6):  # the first four were lost
        peer.send(".")
    assert flight[0].seq in [seg.seq for seg in peer.drain()]
    for index in (1, 2, 3):
        peer.ack = flight[index].seq
        peer.send(".")
        again = [seg for seg in peer.drain() if (seg.seq - flight[0].seq) & MASK32 < 14_600]
        assert again and again[0].seq == flight[index].seq
    peer.ack = flight[-1].end
    peer.send(".")
    assert sock.info().unacked == 0 and peer.count("tcp_rto") == 0


@pytest.mark.rfc("6582", "4", "after a timeout duplicate ACKs of what was sent before it start no fast retransmit")
def test_duplicates_after_a_timeout_start_no_recovery() -> None:
    peer, sock, flight = sending(size=14_600)
    peer.advance(1.1)
    peer.drain()
    threshold = sock.info().snd_ssthresh
    peer.ack = flight[1].seq
    peer.send(".")
    for _ in range(5):
        peer.send(".")
    assert sock.info().snd_ssthresh == threshold and peer.count("tcp_fast_retransmit") == 0


@pytest.mark.rfc("5681", "4.1", "after an idle time longer than the timeout the window begins anew")
def test_idle_connection_begins_with_the_initial_window() -> None:
    peer, sock, flight = sending(size=292_000)
    news = flight
    for _ in range(4):
        news = acknowledge(peer, news)
    while news:
        news = acknowledge(peer, news)
    assert sock.info().snd_cwnd > 100_000
    peer.advance(30)
    sock.send(bytes(292_000))
    peer.flush()
    assert sum(len(seg.data) for seg in peer.drain()) == 14_600


@pytest.mark.rfc("5681", "4.2", "a segment beyond a hole is acknowledged at once, and so is one that fills a hole")
@pytest.mark.rfc("5681", "4.2", "no more than one ACK for each segment but to open the window")
def test_receiver_acknowledges_holes_at_once_and_each_segment_once() -> None:
    peer = Peer()
    peer.passive(PLAIN)
    for off in (1000, 2000, 3000):
        peer.send(".", peer.seq + off, data=bytes(500))
        peer.expect(".", ack=peer.seq, length=0)
        peer.quiet()
    for off, ack in ((0, 1500), (1500, 2500), (2500, 3500)):
        size = 1000 if off == 0 else 500
        peer.send(".", peer.seq + off, data=bytes(size))
        peer.expect(".", ack=peer.seq + ack, length=0)
        peer.quiet()


@pytest.mark.rfc("3465", "2.3", "after a timeout an ACK earns one segment at most")
def test_stretch_ack_after_a_timeout_earns_one_segment() -> None:
    peer, sock, flight = sending(size=14_600)
    peer.advance(1.1)
    peer.drain()
    peer.ack = flight[4].end
    peer.send(".")
    assert sock.info().snd_cwnd <= 2 * MSS


@pytest.mark.rfc("6675", "5", "three SACKed segments beyond it make a segment lost")
@pytest.mark.rfc("6675", "5", "what is sent again and anew during recovery keeps within the window")
def test_recovery_with_sack_keeps_within_the_window() -> None:
    from uinet.wire.tcp_options import Sack, SackPermitted

    peer, sock, flight = sending((Mss(1460), SackPermitted(), WindowScale(7), Nop()))
    news = acknowledge(peer, flight)
    base = news[0].seq
    sent = 0
    for index in range(1, len(news)):
        block = Sack((((base + MSS) & MASK32, news[index].end),))
        peer.send(".", options=(Nop(), Nop(), block))
        out = peer.drain()
        if index == 3:
            assert any(seg.seq == base for seg in out)
        sent += sum(len(seg.data) for seg in out)
        held = index * MSS
        assert sock.info().unacked - held <= max(sock.info().snd_cwnd, sock.info().snd_ssthresh) + 4 * MSS or index < 12
    assert sent <= len(news) * MSS
    assert Timestamps not in [type(option) for option in flight[0].options]
