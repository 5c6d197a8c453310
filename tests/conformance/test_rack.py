"""RFC 8985 (RACK-TLP), RFC 5682 (F-RTO), RFC 9438 and 9406 (CUBIC, HyStart++)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.tcp.peer import Peer, Seg
from uinet.socket import Socket
from uinet.units import MASK32, SECOND
from uinet.wire.tcp_options import Mss, Nop, Sack, SackPermitted, WindowScale

OPTIONS = (Mss(1000), SackPermitted(), WindowScale(7), Nop())
TRIP = 0.1


def warm(**settings: Any) -> tuple[Peer, Socket]:
    """A connection with SACK whose round trip is known: 100 ms, many times measured."""
    peer = Peer(**settings)
    sock = peer.passive(OPTIONS)
    for _ in range(12):
        sock.send(bytes(1000))
        peer.flush()
        peer.advance(TRIP)
        peer.take()
    assert sock.info().rtt == pytest.approx(TRIP, rel=0.05)
    return peer, sock


def flight(count: int = 10, **settings: Any) -> tuple[Peer, Socket, list[Seg]]:
    """`count` full segments in flight, none acknowledged; half of a round trip has passed."""
    peer, sock = warm(**settings)
    sock.send(bytes(1000 * count))
    peer.flush()
    sent = [seg for seg in peer.drain() if seg.data]
    assert len(sent) == count
    peer.advance(TRIP)
    peer.drain()
    return peer, sock, sent


def sack(peer: Peer, *segments: Seg) -> None:
    """A duplicate ACK with a block for each segment, the latest first."""
    blocks = tuple((seg.seq, seg.end) for seg in segments)[:3]
    peer.send(".", options=(Nop(), Nop(), Sack(blocks)))


def again(peer: Peer, sent: list[Seg]) -> list[int]:
    """Which of the segments were sent again, by their place."""
    places = {seg.seq: index for index, seg in enumerate(sent)}
    return [places[seg.seq] for seg in peer.drain() if seg.data and seg.seq in places]


@pytest.mark.rfc("8985", "6.2", "what was sent before a segment that has arrived is lost after the reordering window")
def test_one_sack_makes_its_predecessor_lost_after_a_quarter_of_a_round_trip() -> None:
    peer, sock, sent = flight()
    sack(peer, sent[1])
    assert again(peer, sent) == []
    rto, start = sock.info().rto, peer.now
    while not (found := again(peer, sent)):
        peer.advance(0.002)
    assert found == [0]
    assert TRIP / 4 * 0.8 < (peer.now - start) / SECOND < TRIP / 2 < rto


@pytest.mark.rfc("8985", "6.2", "without reordering three segments beyond it make it lost at once")
def test_three_sacks_make_the_first_lost_at_once() -> None:
    peer, _, sent = flight()
    sack(peer, sent[1])
    sack(peer, sent[2], sent[1])
    assert again(peer, sent) == []
    peer.send(".", options=(Nop(), Nop(), Sack(((sent[1].seq, sent[3].end),))))
    assert again(peer, sent) == [0]


@pytest.mark.rfc("8985", "6.2", "where reordering was seen, three segments beyond are not enough: the time decides")
def test_reordering_that_was_seen_makes_patient() -> None:
    peer, sock, sent = flight()
    sack(peer, sent[4])
    peer.send(".", options=(Nop(), Nop(), Sack(((sent[1].seq, sent[4].end),))))  # arrived later, sent earlier
    peer.ack = sent[4].end
    peer.send(".")
    peer.drain()
    for seg in sent[5:]:
        peer.ack = seg.end
    peer.send(".")
    sock.send(bytes(10_000))
    peer.flush()
    news = [seg for seg in peer.drain() if seg.data]
    peer.advance(TRIP)
    peer.drain()
    peer.send(".", options=(Nop(), Nop(), Sack(((news[1].seq, news[4].end),))))
    assert again(peer, news) == []
    peer.advance(TRIP / 2)
    assert again(peer, news)[:1] == [0]


@pytest.mark.rfc("8985", "6.2", "a retransmission that is lost again is found by time, before the timeout")
def test_lost_retransmission_is_sent_again_before_the_timeout() -> None:
    peer, sock, sent = flight()
    sock.send(bytes(40_000))
    peer.flush()
    peer.drain()
    peer.send(".", options=(Nop(), Nop(), Sack(((sent[1].seq, sent[9].end),))))
    out = peer.drain()
    assert out[0].seq == sent[0].seq
    news = [seg for seg in out[1:] if seg.data]
    assert news, "new data goes out during recovery"
    peer.advance(TRIP)
    peer.drain()
    before = peer.count("tcp_rto")
    peer.send(".", options=(Nop(), Nop(), Sack(((sent[1].seq, news[-1].end),))))
    peer.advance(TRIP / 2)
    assert sent[0].seq in [seg.seq for seg in peer.drain()]
    assert peer.count("tcp_rto") == before


@pytest.mark.rfc("8985", "7.2", "a tail without ACKs is probed after two round trips, before the timeout")
@pytest.mark.rfc("8985", "7.3", "the probe is the last segment if there is nothing new to send")
def test_tail_is_probed_with_its_last_segment() -> None:
    peer, sock = warm()
    sock.send(bytes(5000))
    peer.flush()
    sent = [seg for seg in peer.drain() if seg.data]
    start, rto = peer.now, sock.info().rto
    while not peer.out:
        peer.advance(0.002)
    probe = peer.drain()[0]
    assert probe.end == sent[-1].end
    assert 2 * TRIP * 0.9 < (probe.time - start) / SECOND < rto
    assert peer.count("tcp_rto") == 0


@pytest.mark.rfc("8985", "7.3", "the probe is new data if there is some")
def test_tail_is_probed_with_new_data() -> None:
    peer, sock = warm()
    peer.window = 4000 >> 7
    peer.send(".")
    sock.send(bytes(3000))
    peer.flush()
    peer.drain()
    end = sock.tcb.snd_nxt if sock.tcb is not None else 0
    sock.setsockopt(6, 3, True)  # what follows is held back
    sock.send(bytes(900))
    peer.flush()
    peer.advance(2.5 * TRIP)
    out = [seg for seg in peer.drain() if seg.data]
    assert out and (out[0].seq == end or out[0].end == end)


@pytest.mark.rfc("8985", "7.4", "one probe for a tail; then the timeout decides")
def test_tail_gets_one_probe() -> None:
    peer, sock = warm()
    sock.send(bytes(5000))
    peer.flush()
    peer.drain()
    while peer.count("tcp_rto") == 0:
        peer.advance(0.01)
    out = [seg for seg in peer.drain() if seg.data]
    assert len(out) == 2, "the probe, and what the timeout has sent again"


@pytest.mark.rfc("8985", "7.4", "a probe that has repaired a loss reduces the window")
def test_probe_that_repairs_reduces_the_window() -> None:
    peer, sock = warm()
    sock.send(bytes(10_000))
    peer.flush()
    sent = [seg for seg in peer.drain() if seg.data]
    peer.advance(TRIP)
    peer.ack = sent[-2].end
    peer.send(".")
    window = sock.info().snd_cwnd
    while not peer.out:
        peer.advance(0.01)
    probe = peer.drain()[0]
    assert probe.seq == sent[-1].seq
    peer.advance(TRIP)
    peer.ack = probe.end
    peer.send(".")
    assert sock.info().snd_ssthresh < window


@pytest.mark.rfc("5682", "3.1", "a timeout whose ACKs tell of data that was not sent again was spurious: it is undone")
def test_spurious_timeout_is_undone() -> None:
    peer, sock = warm()
    sock.send(bytes(100_000))
    peer.flush()
    sent = [seg for seg in peer.drain() if seg.data]
    window = sock.info().snd_cwnd
    while peer.count("tcp_rto") == 0:
        peer.advance(0.01)
    peer.drain()
    assert sock.info().snd_cwnd <= 2000
    for seg in sent[:3]:  # they were only late
        peer.ack = seg.end
        peer.send(".")
    assert sock.info().snd_cwnd >= window


@pytest.mark.rfc("9438", "4.6", "a loss leaves 70 percent of the window")
def test_cubic_keeps_seven_tenths() -> None:
    peer, sock, sent = flight()
    outstanding = len(sent) * 1000
    for _ in range(3):
        peer.send(".", options=(Nop(), Nop(), Sack(((sent[1].seq, sent[9].end),))))
    threshold = sock.info().snd_ssthresh
    assert 0.65 * outstanding <= threshold <= 0.75 * max(outstanding, sock.info().snd_cwnd * 2)


@pytest.mark.rfc("9438", "4.2", "concave, then convex: slow near the window of the last loss, fast before and after")
def test_cubic_grows_fast_then_slow_then_fast() -> None:
    peer = Peer(congestion="cubic", hystart=False, send_buffer=1 << 22)
    sock = peer.passive((Mss(1000), SackPermitted(), WindowScale(7), Nop()))
    peer.watch = None
    lost = False
    windows = []
    for _ in range(260):
        while sock.send_space > 100_000:
            sock.send(bytes(100_000))
        peer.flush()
        peer.advance(TRIP)
        sent = [seg for seg in peer.drain() if seg.data]
        if not sent:
            continue
        if not lost and sock.info().snd_cwnd > 200_000:
            lost = True
            for _ in range(3):
                peer.send(".", options=(Nop(), Nop(), Sack(((sent[1].seq, sent[-1].end),))))
            sent += peer.drain()
        peer.ack = max((seg.end for seg in sent if seg.data), key=lambda end: (end - sent[0].seq) & MASK32)
        peer.send(".")
        if lost:
            windows.append(sock.info().snd_cwnd // 1000)
    steps = [b - a for a, b in zip(windows[5::10], windows[15::10], strict=False)]
    slowest = steps.index(min(steps))
    assert 0 < slowest < len(steps) - 1
    assert steps[0] > steps[slowest] and steps[-1] > steps[slowest]


@pytest.mark.rfc("9406", "4.2", "slow start ends when round trips grow, before anything is lost")
@pytest.mark.parametrize("hystart", [False, True])
def test_hystart_leaves_slow_start_when_round_trips_grow(hystart: bool) -> None:
    peer = Peer(congestion="cubic", hystart=hystart, send_buffer=1 << 22)
    sock = peer.passive((Mss(1000), SackPermitted(), WindowScale(7), Nop()))
    peer.watch = None
    trip = 0.05
    for _ in range(9):
        while sock.send_space > 100_000:
            sock.send(bytes(100_000))
        peer.flush()
        sent = [seg for seg in peer.drain() if seg.data]
        peer.advance(trip)
        trip += 0.01
        for seg in sent:
            peer.ack = seg.end
            peer.send(".")
    left = sock.info().snd_ssthresh < 1 << 30
    assert left is hystart
