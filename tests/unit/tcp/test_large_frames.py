"""Frames of many segments for devices that cut them (see docs/packet-out.md)."""

from __future__ import annotations

import itertools

import pytest

from tests.unit.tcp.peer import FULL, Peer
from uinet.units import MASK32
from uinet.wire.frame import CHECKSUM_NEEDED, LargeFrame, gathered

TCP_NODELAY, TCP_CORK, SO_MAX_PACING_RATE = 1, 3, 47
MSS = 1448  # with timestamps
DATA = bytes(itertools.islice(itertools.cycle(range(251)), 300_000))


def acknowledge(peer: Peer, count: int) -> None:
    peer.ack = (peer.ack + count) & MASK32
    peer.send(".")


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("chunk", [700, 5000, 65536, 300_000])
def test_stream_is_the_same_and_frames_are_few(v6: bool, chunk: int) -> None:
    segments = []
    for gathers in (True, False):
        peer = Peer(v6=v6, gathers=gathers, send_buffer=1 << 20)
        sock = peer.passive(FULL, window=65535)
        for at in range(0, len(DATA), chunk):
            assert sock.send(DATA[at : at + chunk]) == len(DATA[at : at + chunk])
        peer.flush()
        got = b""
        sent = []
        while len(got) < len(DATA):
            taken = peer.drain()
            assert taken, "it stalls"
            sent += [(seg.flags, len(seg.data), seg.seq) for seg in taken]
            got += b"".join(seg.data for seg in taken)
            acknowledge(peer, sum(len(seg.data) for seg in taken))
        assert got == DATA
        segments.append(sent)
        assert bool(peer.large) == gathers
        for frame in peer.large:
            assert isinstance(frame, LargeFrame) and frame.checksum == CHECKSUM_NEEDED
            assert frame.gso_size == (MSS - 20 if v6 else MSS) < len(frame) - len(frame.data)
            assert len(gathered(frame).data) == len(frame) <= 65535 + 14
        assert sock.info().segments_out == len(sent)
    assert segments[0] == segments[1]


def test_last_bytes_go_with_the_frame_if_nagle_lets_them() -> None:
    peer = Peer(gathers=True)
    sock = peer.passive(FULL)
    sock.setsockopt(6, TCP_NODELAY, True)
    sock.send(bytes(3 * MSS + 100))
    peer.flush()
    (frame,) = peer.large
    assert len(frame) - len(frame.data) == 3 * MSS + 100
    assert [(seg.flags, len(seg.data)) for seg in peer.drain()] == [(".", MSS)] * 3 + [("P.", 100)]


def test_last_bytes_wait_if_nagle_says_so() -> None:
    peer = Peer(gathers=True)
    sock = peer.passive(FULL)
    sock.send(b"x")
    peer.flush()
    peer.expect("P.", length=1)
    sock.send(bytes(3 * MSS + 100))
    peer.flush()
    assert [len(seg.data) for seg in peer.drain()] == [MSS] * 3
    acknowledge(peer, 1 + 3 * MSS)
    peer.expect("P.", length=100)


def test_cork_holds_the_last_bytes() -> None:
    peer = Peer(gathers=True)
    sock = peer.passive(FULL)
    sock.setsockopt(6, TCP_CORK, True)
    sock.send(bytes(2 * MSS + 100))
    peer.flush()
    assert [len(seg.data) for seg in peer.drain()] == [MSS] * 2
    peer.advance(0.1)
    peer.quiet()
    sock.setsockopt(6, TCP_CORK, False)
    peer.flush()
    peer.expect("P.", length=100)


def test_fin_goes_with_the_last_frame() -> None:
    peer = Peer(gathers=True)
    sock = peer.passive(FULL)
    sock.send(bytes(4 * MSS))
    sock.shutdown(1)
    peer.flush()
    assert len(peer.large) == 1
    assert [seg.flags for seg in peer.drain()] == [".", ".", ".", "FP."]
    assert sock.state == "FIN-WAIT-1"


def test_window_bounds_a_frame() -> None:
    peer = Peer(gathers=True)
    sock = peer.passive((), window=4000)
    sock.send(bytes(20_000))
    peer.flush()
    assert [len(seg.data) for seg in peer.drain()] == [536] * 7
    acknowledge(peer, 7 * 536)


def test_pacing_bounds_a_frame_by_a_millisecond() -> None:
    peer = Peer(gathers=True)
    sock = peer.passive(FULL, window=65535)
    sock.setsockopt(1, SO_MAX_PACING_RATE, 4_000_000)  # 4,000 bytes a millisecond
    sock.send(bytes(80_000))
    peer.flush()
    peer.advance(0.05)
    assert [len(frame) - len(frame.data) for frame in peer.large] == [2 * MSS] * 5
    first, *_, last = peer.drain()
    assert last.time > first.time


def test_retransmissions_are_single_segments() -> None:
    peer = Peer(gathers=True)
    sock = peer.passive(FULL)
    sock.send(bytes(10 * MSS))
    peer.flush()
    assert len(peer.drain()) == 10
    peer.large.clear()
    peer.advance(1.5)
    again = peer.drain()
    assert again and all(len(seg.data) <= MSS for seg in again)
    assert peer.large == []


def test_buffer_may_be_acknowledged_while_its_frame_waits() -> None:
    peer = Peer(gathers=True)
    sock = peer.passive(FULL)
    sock.send(bytearray(DATA[:5000]))
    sock.send(DATA[5000:10_000])
    peer.stack.poll(peer.now)
    (frame,) = peer.stack.output(peer.eth0)
    acknowledge(peer, 10_000)
    sock.send(bytes(5000))
    peer.flush()
    assert gathered(frame).data.endswith(DATA[:10_000])


def test_unresolved_neighbour_gets_the_whole_frame_later() -> None:
    peer = Peer(gathers=True)
    sock = peer.passive(FULL)
    peer.stack.neighbors.remove(peer.there, peer.eth0)
    sock.send(DATA[:5000])
    peer.flush()
    peer.quiet()
    assert len(peer.other) == 1, "it asks who has the address"
