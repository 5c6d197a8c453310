"""Lost segments: timeout and backoff (RFC 6298), fast retransmit and recovery (RFC 5681, 6582, 6675), and receivers
that lie."""

from __future__ import annotations

import random

import pytest

from tests.unit.tcp.peer import FULL, PLAIN, Peer
from uinet.errors import TimedOut
from uinet.socket import Socket
from uinet.tcp.flight import Flight
from uinet.tcp.sent import Ack
from uinet.units import MASK32, SECOND
from uinet.wire.tcp_options import Mss, Nop, Sack, SackPermitted

SACKED = (Mss(1460), SackPermitted())


def flight(options: tuple[object, ...] = PLAIN, size: int = 14_600, **settings: object) -> tuple[Peer, Socket]:
    """`size` bytes in flight, none acknowledged."""
    peer = Peer(congestion="newreno", **settings)
    sock = peer.passive(options)
    sock.send(bytes(index % 251 for index in range(size)) * (2 if size == 14_600 else 1))
    peer.flush()
    assert sum(len(seg.data) for seg in peer.drain()) == size
    return peer, sock


def sack(peer: Peer, *blocks: tuple[int, int], window: int | None = None) -> None:
    edges = tuple(((peer.ack + left) & MASK32, (peer.ack + right) & MASK32) for left, right in blocks)
    peer.send(".", options=(Nop(), Nop(), Sack(edges)), window=window)


def offsets(peer: Peer, since: int) -> list[int]:
    return [(seg.seq - since) & MASK32 for seg in peer.drain() if seg.data]


def test_rto_doubles_to_a_minute_and_gives_up() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.send(b"x")
    peer.flush()
    first = peer.expect(data=b"x").time
    peer.advance(1200)
    sent = peer.drain()
    times = [(seg.time - first) / SECOND for seg in sent if "R" not in seg.flags]
    gaps = [b - a for a, b in zip([0.0, *times], times, strict=False)]
    for gap, expected in zip(gaps, [min(2.0**n, 60) for n in range(len(gaps))], strict=True):
        assert gap == pytest.approx(expected, abs=0.01)
    assert len(times) >= 3 and sent[-1].flags == "R."
    assert isinstance(sock.error, TimedOut) and times[-1] > 100
    peer.listener.close()
    sock.close()
    peer.gone(0)


def test_rto_no_sample_from_what_was_sent_again() -> None:
    peer = Peer()
    sock = peer.active()
    sock.send(b"x")
    peer.flush()
    srtt = sock.info().rtt
    peer.advance(1)
    assert len(peer.drain()) > 1
    peer.ack = (peer.ack + 1) & MASK32
    rto = sock.info().rto
    peer.send(".")
    assert sock.info().rtt == srtt
    assert sock.info().rto > rto, "Karn: the backed-off timeout stays until there is a sample"
    sock.send(b"y")
    peer.flush()
    peer.advance(0.05)
    peer.take()
    assert sock.info().rtt > srtt and sock.info().rto == pytest.approx(0.2, abs=0.15)


def test_rto_sends_again_from_the_first_and_slow_starts() -> None:
    peer, sock = flight(frto=False)
    start = peer.ack
    peer.advance(1.01)
    assert offsets(peer, start) == [0]
    assert sock.info().snd_cwnd == 1460
    assert sock.info().snd_ssthresh == 7300
    peer.ack = (start + 1460) & MASK32
    peer.send(".")
    assert offsets(peer, start) == [1460, 2920]
    peer.ack = (start + 14_600) & MASK32
    peer.send(".")
    assert offsets(peer, start)[0] == 14_600


def test_three_duplicates_retransmit_at_once() -> None:
    peer, sock = flight()
    start = peer.ack
    peer.send(".")
    peer.send(".")
    assert offsets(peer, start) == [14_600, 16_060]  # limited transmit (RFC 3042)
    peer.send(".")
    assert offsets(peer, start) == [0]
    assert sock.info().snd_ssthresh == 7300, "what limited transmit has sent does not count (RFC 5681 3.2)"
    for _ in range(4):
        peer.send(".")
    peer.drain()
    peer.ack = (start + 4380) & MASK32
    peer.send(".")
    assert offsets(peer, start)[0] == 4380  # a partial ACK: the next hole
    peer.ack = (start + 17_520) & MASK32
    peer.send(".")
    assert sock.info().snd_cwnd <= sock.info().snd_ssthresh


def test_duplicates_with_another_window_or_data_do_not_count() -> None:
    peer, _ = flight()
    start = peer.ack
    for window in (65535, 60000, 50000, 40000, 30000):
        peer.send(".", window=window)
    for _ in range(4):
        peer.data(b"d")
    assert 0 not in offsets(peer, start)


@pytest.mark.parametrize("outstanding", [False, True])
def test_duplicates_without_end_do_not_inflate_without_end(outstanding: bool) -> None:
    peer = Peer()
    sock = peer.passive((Mss(1460), *FULL[4:]), window=65535)
    peer.drain()
    if outstanding:
        sock.send(bytes(200_000))
        peer.flush()
        assert sum(len(seg.data) for seg in peer.drain()) == 14_600
    for _ in range(1000):
        peer.send(".")
    sent = sum(len(seg.data) for seg in peer.drain())
    assert sent <= (14_600 + 2 * 1460 + 7300 + 1460 if outstanding else 0)


def test_sack_holes_are_filled_in_order() -> None:
    peer, sock = flight(SACKED)
    start = peer.ack
    sack(peer, (1460, 2920))
    sack(peer, (1460, 2920), (4380, 5840))
    assert 0 not in offsets(peer, start)
    sack(peer, (1460, 2920), (4380, 5840), (7300, 14_600))
    assert offsets(peer, start)[:3] == [0, 2920, 5840]
    peer.ack = (start + 14_600) & MASK32
    peer.send(".")
    assert sock.info().unacked < 15_000 and sock.info().snd_cwnd <= 14_600


def test_info_tells_what_recovery_knows() -> None:
    peer = Peer(congestion="newreno")
    sock = peer.passive(SACKED)
    info = sock.info()
    assert (info.congestion, info.recovery, info.sacked, info.lost, info.delivered) == ("", "open", 0, 0, 0)
    sock.send(bytes(14_600))
    peer.flush()
    peer.drain()
    peer.advance(0.02)
    sack(peer, (10_220, 14_600))
    info = sock.info()
    assert (info.congestion, info.recovery, info.pacing_rate) == ("newreno", "fast", 0)
    assert info.sacked == info.delivered == 4380 and not info.reordered
    assert info.unacked == 14_600 and 1460 <= info.lost < 10_220 and info.min_rtt == pytest.approx(0.02, rel=0.1)
    peer.ack = (peer.ack + 14_600) & MASK32
    peer.send(".")
    info = sock.info()
    assert (info.recovery, info.sacked, info.lost, info.delivered) == ("open", 0, 0, 14_600)


def test_sack_reneging_is_survived() -> None:
    peer, _ = flight(SACKED)
    start = peer.ack
    sack(peer, (1460, 14_600))
    peer.drain()
    peer.ack = (start + 1460) & MASK32
    peer.send(".")  # and now it has forgotten the rest
    peer.drain()
    got = 1460
    for _ in range(60):
        peer.advance(0.5)
        for seg in peer.drain():
            if (seg.seq - start) & MASK32 == got:
                got += len(seg.data)
        peer.ack = (start + got) & MASK32
        peer.send(".")
    assert got == 29_200


@pytest.mark.parametrize(
    "blocks",
    [
        [(-5000, -100)], [(0, 0)], [(100, 50)], [(14_600, 20_000)], [(-100, 100)], [(1, (1 << 31) + 5)],
        [(20_000, 30_000)], [(5, 5), (7, 3)], [(-(1 << 31), 1 << 31)],
    ],
)
def test_sack_that_can_not_be_true_is_ignored(blocks: list[tuple[int, int]]) -> None:
    peer, sock = flight(SACKED)
    start = peer.ack
    for _ in range(5):
        sack(peer, *blocks)
    assert 0 not in offsets(peer, start)
    assert sock.state == "ESTABLISHED"


def test_sack_without_agreement_is_ignored() -> None:
    peer, _ = flight(PLAIN)
    start = peer.ack
    for right in (3000, 4000, 5000):
        block = ((start + 1460) & MASK32, (start + right) & MASK32)
        peer.send(".", window=50000 + right, options=(Nop(), Nop(), Sack((block,))))
    assert 0 not in offsets(peer, start)


def test_sack_of_every_other_byte_is_bounded() -> None:
    peer = Peer()
    sock = peer.passive((Mss(48), SackPermitted(), Nop(), FULL[4]))
    sent = 0
    while sent < 40_000:
        sock.send(bytes(5000))
        peer.flush()
        piece = len(b"".join(seg.data for seg in peer.drain()))
        if not piece:
            break
        sent += piece
        if sent < 35_000:
            peer.ack = (peer.ack + piece) & MASK32
            peer.send(".")
    assert sock.info().snd_mss >= 216
    for off in range(1, 2000, 8):
        sack(peer, (off, off + 1), (off + 2, off + 3), (off + 4, off + 5))
    assert sock.state == "ESTABLISHED"
    assert len(peer.drain()) < 3000
    tcb = sock.tcb
    assert tcb is not None and tcb.flight is not None and tcb.flight.ranges <= 256 and len(tcb.flight.runs) <= 600


def test_ack_division_earns_no_more_than_its_bytes() -> None:
    for ssthresh in (1 << 30, 1460):
        peer, sock = flight()
        tcb = sock.tcb
        assert tcb is not None
        tcb.ssthresh = ssthresh
        before = sock.info().snd_cwnd
        for _ in range(1460):
            peer.ack = (peer.ack + 1) & MASK32
            peer.send(".")
            peer.drain()
        assert sock.info().snd_cwnd - before <= 1460


def test_congestion_avoidance_grows_a_segment_a_window() -> None:
    peer, sock = flight()
    tcb = sock.tcb
    assert tcb is not None
    tcb.ssthresh = 1460
    for _ in range(5):
        peer.ack = (peer.ack + 2920) & MASK32
        peer.send(".")
        sock.send(bytes(2920))
        peer.flush()
    peer.drain()
    assert sock.info().snd_cwnd == 14_600 + 1460


def test_partial_ack_inside_a_segment_sends_the_rest_again() -> None:
    peer, _ = flight(PLAIN, 1460)
    start = peer.ack
    peer.drain()
    peer.ack = (start + 100) & MASK32
    peer.send(".")
    peer.drain()
    peer.advance(1.5)
    assert 100 in offsets(peer, start)


def test_flight_agrees_with_a_set_of_bytes() -> None:
    chance = random.Random(1)
    for _ in range(300):
        base = chance.choice((0, MASK32 - 100, 1 << 31))
        flight, ack = Flight(0), Ack()
        time = 0
        at = 0
        while at < 200:  # bursts of several sizes at several times
            size = min(chance.choice((10, 20, 50)), 200 - at)
            flight.add((base + at) & MASK32, (base + at + size) & MASK32, time, at + size)
            at += size
            time += chance.choice((0, 1, 5))
        held: set[int] = set()
        lost: set[int] = set()
        una = 0
        for _ in range(chance.randrange(14)):
            left, right = sorted((chance.randrange(una, 201), chance.randrange(una, 201)))
            step = chance.randrange(5)
            if step < 2 and left < right:
                news = flight.sack((base + left) & MASK32, (base + right) & MASK32, time, ack)
                assert news == len(set(range(left, right)) - held)
                held |= set(range(left, right))
                lost -= held
            elif step == 2:
                una = left
                flight.acknowledge((base + una) & MASK32, time, ack)
                held = {n for n in held if n >= una}
                lost = {n for n in lost if n >= una}
            elif step == 3:
                flight.mark_all(ack)
                lost = set(range(una, 200)) - held
            else:
                run = flight.next_lost()
                assert (run is None) == (not lost)
                if run is not None:
                    first = min(lost)
                    assert run.start == (base + first) & MASK32
                    end = (flight.lost_end(run, 30) - run.start) & MASK32
                    size = min(end, 30)
                    assert set(range(first, first + size)) <= lost
                    flight.resent(run.start, (run.start + size) & MASK32, time, 0)
                    lost -= set(range(first, first + size))
            time += chance.choice((0, 1, 5))
            check(flight, base, una, held, lost)


def check(flight: Flight, base: int, una: int, held: set[int], lost: set[int]) -> None:
    """The runs cover [una, 200) without gap, and are marked as `held` and `lost` say; the order of time is right."""
    assert (flight.sacked, flight.lost) == (len(held), len(lost))
    again = [run for run in flight.runs[flight.first :] if run.again and not run.sacked and not run.lost]
    assert flight.again_out == sum((run.end - run.start) & MASK32 for run in again)
    at = una
    ranges = 0
    waiting = []
    for run in flight.runs[flight.first :]:
        begin, end = ((edge - base) & MASK32 for edge in (run.start, run.end))
        assert begin == at < end
        octets = set(range(begin, end))
        assert octets <= held if run.sacked else not octets & held
        assert octets <= lost if run.lost else not octets & lost
        ranges += run.sacked
        if not run.sacked and not run.lost:
            waiting.append(run)
        at = end
    assert at == 200 and ranges == flight.ranges
    linked = []
    node = flight.oldest
    while node is not None:
        linked.append(node)
        node = node.newer
    assert set(map(id, linked)) == set(map(id, waiting))
    assert [run.sent_at for run in linked] == sorted(run.sent_at for run in linked)
