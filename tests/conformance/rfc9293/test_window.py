"""RFC 9293 3.8.6: windows that shrink, shut and open a little, on both sides."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from tests.conformance.rfc9293.tape import Tape
from tests.unit.tcp.peer import FULL, PLAIN, Peer, read
from uinet.seq import seq_diff
from uinet.socket import Socket
from uinet.units import MASK32, SECOND


@pytest.mark.rfc("9293", "SHLD-14", "the right edge never moves left")
@pytest.mark.threat("a")
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("options", [PLAIN, FULL])
@pytest.mark.parametrize("buffer", [2048, 20_000, 1 << 20])
def test_right_edge_never_moves_left(seed: int, options: Any, buffer: int) -> None:
    chance = random.Random(seed)
    peer = Tape(receive_buffer=buffer)
    sock = peer.passive(options)
    for _ in range(150):
        room = sock.info().rcv_wnd
        what = chance.random()
        if what < 0.5 and room:
            peer.data(bytes(chance.randrange(1, min(room, 1460) + 1)))
        elif what < 0.6 and room > 3000:
            peer.send(".", peer.seq + chance.randrange(1, 1500), data=bytes(chance.randrange(1, 1460)))
        elif what < 0.8 and sock.readable:
            sock.recv(chance.randrange(1, 4000))
            peer.flush()
        elif what < 0.9:
            sock.send(b"x")
            peer.flush()
        else:
            peer.advance(chance.random() / 4)
            peer.send(".", ack=peer.tape[-1].end)
    scale = sock.info().rcv_wscale
    acks = [seg for seg in peer.tape if "S" not in seg.flags]
    edges = [(seg.ack + (seg.window << scale)) & MASK32 for seg in acks]
    assert len(edges) > 20
    assert all(seq_diff(b, a) >= 0 for a, b in itertools.pairwise(edges))


def shrunk(left: int, *, first: int = 10_000, v6: bool = False) -> tuple[Tape, Socket, int]:
    """A sender with 20,000 bytes to send, `first` bytes of window full, which has shrunk to `left`; how much is in
    flight."""
    peer = Tape(v6=v6)
    sock = peer.passive(PLAIN, window=first)
    sock.send(bytes(index % 251 for index in range(20_000)))
    peer.flush()
    flight = sum(len(seg.data) for seg in peer.drain())
    assert flight > first - 1500
    peer.window = left
    peer.send(".")
    return peer, sock, flight


@pytest.mark.rfc("9293", "SHLD-15", "no new data beyond a window that has shrunk")
@pytest.mark.rfc("9293", "MUST-34", "a window that shrinks does no harm")
@pytest.mark.threat(58)
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("left", [0, 1, 500, 3000, 8000])
def test_window_that_shrank_gets_no_new_data_and_no_flood(left: int, v6: bool) -> None:
    peer, sock, flight = shrunk(left, v6=v6)
    for _ in range(60):
        peer.advance(1)
        for seg in peer.drain():
            assert seq_diff(seg.end, peer.ack) <= flight
            peer.send(".")
    assert len(peer.tape) < 100 and sock.state == "ESTABLISHED"
    peer.window = 65535
    for _ in range(12):
        peer.take()
        peer.advance(1)
    assert sock.info().unsent == sock.info().unacked == 0


@pytest.mark.rfc("9293", "SHLD-16", "old data within a window that has shrunk is sent again")
@pytest.mark.rfc("9293", "MAY-7", "old data beyond a window that has shrunk may be sent again")
@pytest.mark.parametrize("left", [1460, 3000, 5000])
def test_window_that_shrank_old_data_within_it_is_sent_again(left: int) -> None:
    peer, _, flight = shrunk(left)
    peer.advance(1.5)
    again = peer.drain()
    assert again[0].seq == peer.ack and 0 < len(again[0].data) <= left
    got = 0
    for _ in range(10):
        for seg in again:
            if seg.seq == peer.ack:
                got += len(seg.data)
                peer.ack = seg.end
        peer.window = max(0, left - got)
        peer.send(".")
        peer.advance(2)
        again = peer.drain()
    assert got >= left - 1460
    assert all(seq_diff(seg.end, peer.ack) <= flight for seg in peer.tape[2:])


@pytest.mark.rfc("9293", "SHLD-17", "no timeout for data beyond the right edge of the window")
@pytest.mark.parametrize("left", [0, 100])
def test_window_that_shrank_is_waited_for(left: int) -> None:
    peer, sock, _ = shrunk(left)
    peer.advance(5)
    peer.drain()
    peer.ack, peer.window = (peer.ack + left) & MASK32, 0
    peer.send(".")
    for _ in range(120):
        peer.advance(60)
        if peer.drain():
            peer.send(".")
    assert sock.state == "ESTABLISHED"
    peer.window = 65535
    peer.send(".")
    for _ in range(40):
        peer.take()
        peer.advance(61)  # the timer has backed off as far as it goes
    assert sock.info().unsent == sock.info().unacked == 0


@pytest.mark.rfc("9293", "MAY-8", "a receiver may keep its window closed for ever")
@pytest.mark.threat(71)
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_unread_data_keeps_the_window_closed_and_probes_are_answered(options: Any) -> None:
    peer = Peer(receive_buffer=4096)
    sock = peer.passive(options)
    while room := sock.info().rcv_wnd:
        peer.data(bytes(min(room, 1000)))
        peer.advance(0.1)
    peer.drain()
    for _ in range(60):
        peer.advance(60)
        peer.quiet()
        peer.send(".", data=b"?")
        peer.expect(".", ack=peer.seq, window=0)
    assert sock.state == "ESTABLISHED" and len(read(sock)) >= 4096
    peer.flush()
    assert peer.expect(".").window > 0


def blocked(size: int = 5000, **settings: Any) -> tuple[Tape, Socket]:
    """A sender with `size` bytes before a closed window."""
    peer = Tape(**settings)
    sock = peer.passive(PLAIN, window=1000)
    sock.send(bytes(1000))
    peer.flush()
    peer.take(acknowledge=False)
    peer.window = 0
    peer.send(".")
    sock.send(bytes(size))
    peer.flush()
    peer.quiet()
    return peer, sock


@pytest.mark.rfc("9293", "MUST-35", "closed windows are probed")
@pytest.mark.rfc("9293", "MUST-36", "a closed window is probed while there is data")
@pytest.mark.rfc("9293", "SHLD-29", "the first probe comes after the retransmission timeout")
@pytest.mark.rfc("9293", "SHLD-30", "the time between probes grows exponentially")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("answered", [False, True])
def test_closed_window_is_probed_after_rto_and_then_ever_later(v6: bool, answered: bool) -> None:
    peer, sock = blocked(v6=v6)
    start, rto = peer.now, sock.info().rto
    before = len(peer.tape)
    for _ in range(150):
        peer.advance(1)
        if peer.drain() and answered:
            peer.send(".")
    probes = peer.tape[before:]
    assert all(seg.seq == peer.ack and len(seg.data) == 1 for seg in probes)
    times = [(seg.time - start) / SECOND for seg in probes]
    gaps = [b - a for a, b in itertools.pairwise([0.0, *times])]
    assert gaps[0] == pytest.approx(rto, abs=0.01)
    for a, b in itertools.pairwise(gaps):
        assert b == pytest.approx(min(2 * a, 60), rel=0.02)


@pytest.mark.rfc("9293", "MUST-37", "probes that are answered keep the connection open")
@pytest.mark.threat(59)
def test_closed_window_that_is_answered_is_open_after_a_day() -> None:
    peer, sock = blocked()
    for _ in range(24 * 60):
        peer.advance(60)
        if peer.drain():
            peer.send(".")
    assert sock.state == "ESTABLISHED"
    assert len(peer.tape) < 24 * 60 + 20
    peer.window = 65535
    peer.send(".")
    for _ in range(5):
        peer.take()
        peer.advance(0.3)
    assert sock.info().unsent == sock.info().unacked == 0


@pytest.mark.rfc("9293", "MUST-38", "the sender avoids silly windows")
@pytest.mark.threat(58)
@pytest.mark.parametrize("step", [1, 10, 400])
def test_window_that_opens_by_little_gets_no_little_segments(step: int) -> None:
    peer = Tape()
    sock = peer.passive(PLAIN, window=4380)
    sock.send(bytes(100_000))
    peer.flush()
    peer.take(acknowledge=False)
    sizes = []
    peer.window = 0
    for _ in range(1460 // step + 1):
        peer.window += step
        peer.send(".")
        for seg in peer.drain():
            sizes.append(len(seg.data))
            peer.ack = seg.end
            peer.window -= len(seg.data)
    assert sizes and min(sizes) >= 1460
    peer.window = 700
    peer.send(".")
    peer.quiet()
    peer.advance(3)
    assert len(peer.expect().data) == 700, "but it is not waited for ever"


@pytest.mark.rfc("9293", "MUST-39", "the receiver avoids silly windows")
@pytest.mark.parametrize("buffer", [2048, 8192, 100_000])
@pytest.mark.parametrize("piece", [1, 13, 200])
def test_reading_in_little_pieces_opens_the_window_in_large_ones(buffer: int, piece: int) -> None:
    peer = Peer(receive_buffer=buffer)
    sock = peer.passive(PLAIN)
    while room := sock.info().rcv_wnd:
        peer.data(bytes(min(room, 1460)))
        peer.advance(0.05)
    assert peer.drain()[-1].window == 0
    windows = [0]
    for _ in range(buffer // piece):
        sock.recv(piece) if sock.readable else None
        peer.flush()
        windows += [seg.window for seg in peer.drain()]
    assert len(windows) > 1
    assert all(b - a >= min(buffer // 2, 1460) for a, b in itertools.pairwise(windows))
