"""Threats 52 to 64: a receiver that wants too much of a sender."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.tcp.peer import FULL, PLAIN, Peer, error_of
from uinet.errors import WouldBlock
from uinet.seq import seq_diff
from uinet.socket import Socket
from uinet.units import MASK32
from uinet.wire.tcp_options import Mss, Nop, Sack, SackPermitted, Timestamps, WindowScale

SACKED = (Mss(1460), SackPermitted())
WIDE = (Mss(1460), SackPermitted(), Nop(), WindowScale(10))


def flight(options: Any = SACKED, size: int = 14_600, **more: Any) -> tuple[Peer, Socket]:
    """`size` bytes in flight, none acknowledged."""
    peer = Peer(**more)
    sock = peer.passive(options)
    sock.send(bytes(index % 251 for index in range(size)))
    peer.flush()
    assert sum(len(seg.data) for seg in peer.drain()) == size
    return peer, sock


def sack(peer: Peer, *blocks: tuple[int, int]) -> None:
    edges = tuple(((peer.ack + left) & MASK32, (peer.ack + right) & MASK32) for left, right in blocks)
    peer.send(".", options=(Nop(), Nop(), Sack(edges)))


def grown(size: int, **more: Any) -> tuple[Peer, Socket]:
    """A sender whose window has grown until `size` bytes were in flight, none of the last acknowledged."""
    peer = Peer(send_buffer=4 * size, **more)
    sock = peer.passive(WIDE, window=65_535)
    while True:
        while error_of(sock.send, bytes(size)) is not WouldBlock:
            pass
        peer.flush()
        if sock.info().unacked >= size:
            peer.drain()
            return peer, sock
        peer.take()
        peer.advance(0.001)


@pytest.mark.threat(52)
@pytest.mark.parametrize("mss", [0, 1, 8, 48, 64])
def test_tiny_mss_does_not_make_a_megabyte_into_tiny_segments(mss: int) -> None:
    peer = Peer(send_buffer=1 << 20)
    sock = peer.passive((Mss(mss), SackPermitted(), Timestamps(1, 0), Nop(), WindowScale(8)))
    sock.send(bytes(1 << 20))
    peer.flush()
    count, size = 0, 0
    for _ in range(12):
        for seg in peer.out:
            count, size = count + 1, size + len(seg.data)
        peer.take()
    assert size / count >= 200
    edge = peer.ack
    for index in range(50):  # and every other segment SACKed
        left = (edge + 204 * (2 * index + 1)) & MASK32
        peer.send(".", options=(Nop(), Nop(), Sack(((left, (left + 204) & MASK32),)), Nop(), Nop(), peer.timestamps()))
    assert sock.state == "ESTABLISHED"


@pytest.mark.threat(53)
def test_sacks_of_single_bytes_keep_a_bounded_number_of_blocks_and_get_bounded_answers() -> None:
    peer, sock = grown(1 << 20)
    peer.watch = None
    outstanding = sock.info().unacked
    sent = 0
    for index in range(2000):
        left = (peer.ack + 1000 + 500 * index) & MASK32
        peer.send(".", options=(Nop(), Nop(), Sack(((left, (left + 1) & MASK32),))))
        sent += sum(len(seg.data) for seg in peer.drain())
        flight = sock.tcb.flight if sock.tcb is not None else None
        assert flight is not None and flight.ranges <= max(256, outstanding // 512)
    assert sent <= 2 * outstanding


@pytest.mark.threat(54)
@pytest.mark.rfc("2018", "8", "what is SACKed is kept until it is acknowledged, and a timeout forgets SACKs")
def test_sacked_data_that_is_withdrawn_is_sent_again() -> None:
    peer, sock = flight()
    start = peer.ack
    for _ in range(4):
        sack(peer, (1460, 14_600))
    peer.drain()
    got = b""
    for _ in range(60):  # the receiver has forgotten it all: it takes what comes in order
        peer.advance(2)
        got += peer.take()
        if sock.info().unacked == 0:
            break
    assert got == bytes(index % 251 for index in range(14_600)) and peer.ack == (start + 14_600) & MASK32


@pytest.mark.threat(55)
@pytest.mark.rfc("2018", "5.1", "blocks that can't be true change nothing")
@pytest.mark.parametrize(
    "blocks",
    [
        [(-5000, -100)], [(-100, 100)], [(14_600, 16_000)], [(1 << 30, (1 << 30) + 10)], [(3000, 3000)], [(5000, 3000)],
        [(-(1 << 31), 1 << 30)], [(0, 1460), (0, 1460)], [(20_000, 100)], [(14_599, 14_601)],
    ],
)
def test_sack_blocks_that_can_not_be_true_are_ignored(blocks: list[tuple[int, int]]) -> None:
    peer, sock = flight()
    for _ in range(6):
        sack(peer, *blocks)
    assert sock.state == "ESTABLISHED"
    peer.drain()
    got = b""
    for _ in range(60):
        peer.advance(2)
        got += peer.take()
    assert got[-1460:] and sock.info().unacked == 0
    assert peer.count("tcp_rto") <= 12


@pytest.mark.threat(56)
@pytest.mark.parametrize("off", [1, 1460, 1 << 20, (1 << 31) - 1])
def test_ack_of_what_was_never_sent_moves_nothing(off: int) -> None:
    peer, sock = flight()
    before = sock.info()
    peer.watch = None
    peer.send(".", ack=peer.ack + 14_600 + off)
    after = sock.info()
    assert (after.unacked, after.snd_cwnd, after.rtt) == (before.unacked, before.snd_cwnd, before.rtt)
    assert [seg.flags for seg in peer.drain()] == ["."]
    peer.send(".", ack=peer.ack - 1000)
    assert sock.info().unacked == before.unacked


@pytest.mark.threat(57)
@pytest.mark.parametrize("inside", [1, 100, 1459, 1461, 3000])
def test_ack_inside_a_segment_frees_as_much_and_the_rest_is_sent_again(inside: int) -> None:
    peer, sock = flight()
    whole = bytes(index % 251 for index in range(14_600))
    peer.ack = (peer.ack + inside) & MASK32
    peer.send(".")
    assert sock.info().unacked == 14_600 - inside
    got = whole[:inside]
    for _ in range(20):
        peer.advance(2)
        got += peer.take()
    assert got == whole


@pytest.mark.threat(58)
def test_window_that_oscillates_makes_no_busy_loop() -> None:
    peer = Peer()
    sock = peer.passive(PLAIN, window=0)
    sock.send(bytes(10_000))
    peer.flush()
    for index in range(2000):
        peer.window = index % 2
        peer.send(".")
    assert len(peer.drain()) <= 2
    peer.advance(30)
    assert len(peer.drain()) <= 10 and sock.state == "ESTABLISHED"


@pytest.mark.threat(59)
def test_closed_window_is_probed_once_a_minute_and_the_user_can_end_it() -> None:
    peer = Peer()
    sock = peer.passive(PLAIN, window=0)
    sock.setsockopt(6, 18, 600_000)
    sock.send(bytes(10_000))
    peer.flush()
    probes = 0
    for _ in range(3600):
        peer.advance(1)
        probes += len(peer.drain())
    assert probes <= 20 and sock.state == "CLOSED"
    assert isinstance(sock.error, TimeoutError)


@pytest.mark.threat(60)
def test_acks_ahead_of_their_data_let_out_no_more_than_the_window() -> None:
    peer = Peer(send_buffer=1 << 20)
    sock = peer.passive(PLAIN, window=30_000)
    start = peer.ack
    for _ in range(300):
        while error_of(sock.send, bytes(1 << 18)) is not WouldBlock:
            pass
        peer.flush()
        # acknowledges all that could have been sent by now, before it can have arrived
        peer.ack = max((seg.end for seg in peer.drain()), key=lambda end: (end - start) & MASK32, default=peer.ack)
        peer.send(".")
        assert sock.info().unacked <= 30_000
        assert len(peer.stack.tcp.pending) == 0
    peer.watch = None
    peer.send(".", ack=peer.ack + 30_000 + 1)
    assert sock.info().unacked <= 30_000


@pytest.mark.threat(61)
@pytest.mark.rfc("3465", "2.1", "the window grows by bytes, not by ACKs")
@pytest.mark.parametrize("pieces", [1460, 146, 10])
def test_acks_of_single_bytes_earn_no_more_than_their_bytes(pieces: int) -> None:
    peer, sock = flight(PLAIN)
    before = sock.info().snd_cwnd
    for _ in range(pieces):
        peer.ack = (peer.ack + 1460 // pieces) & MASK32
        peer.send(".")
    assert sock.info().snd_cwnd - before <= 1460


@pytest.mark.threat(62)
@pytest.mark.rfc("5681", "3.2", "duplicate ACKs let out no more than has left the network")
@pytest.mark.parametrize("options", [PLAIN, (Mss(1460), SackPermitted())])
@pytest.mark.parametrize("outstanding", [False, True])
def test_duplicate_acks_without_end_let_out_a_bounded_number_of_segments(options: Any, outstanding: bool) -> None:
    peer = Peer()
    sock = peer.passive(options)
    if outstanding:
        sock.send(bytes(100_000))
        peer.flush()
    first = len(peer.drain())
    for _ in range(1000):
        peer.send(".")
    sent = peer.drain()
    assert len(sent) <= 2 * first + 3
    assert sock.info().snd_cwnd <= (first or 10) * 1460 * 2


@pytest.mark.threat(63)
def test_congestion_marks_that_were_not_agreed_on_do_nothing() -> None:
    peer, sock = flight(PLAIN)
    before = sock.info().snd_cwnd
    for index in range(1, 8):
        peer.ack = (peer.ack + 1460) & MASK32
        peer.send("E." if index % 2 else "EW.")
    assert sock.info().snd_cwnd >= before


@pytest.mark.threat(64)
@pytest.mark.rfc("7323", "4.1", "an echo counts only if it acknowledges new data")
@pytest.mark.parametrize("echo", [0, 1, -1, 1000, 1 << 30, 1 << 31, -(1 << 30), -200_000])
def test_echo_that_lies_gives_no_senseless_timeout(echo: int) -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    for _ in range(30):
        sock.send(b"x" * 100)
        peer.flush()
        peer.advance(0.1)
        sent = peer.drain()
        peer.ack = sent[-1].end
        lie = 0 if echo == 0 else (peer.ts_echo + echo) & MASK32
        peer.send(".", options=(Nop(), Nop(), Timestamps(peer.timestamps().value, lie)))
        info = sock.info()
        assert 0.2 <= info.rto <= 60.0 and 0 <= info.rtt < 120
    assert sock.state == "ESTABLISHED" and seq_diff(peer.ack, peer.ack) == 0
