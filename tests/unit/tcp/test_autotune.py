"""Buffers that grow with what a connection can use, and what keeps them small (threats 67, 71, 74)."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import pytest

from tests.unit.tcp.peer import FULL, PLAIN, Peer, read
from uinet.seq import seq_diff
from uinet.socket import Socket
from uinet.sockopt import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from uinet.tcp.buffer import ByteQueue
from uinet.units import MASK32
from uinet.wire.tcp_options import Mss, Nop, SackPermitted, WindowScale

SCALED = (Mss(1460), SackPermitted(), Nop(), WindowScale(7))  # no timestamps
STAMPED = FULL
RTT = 0.050
DEFAULT, MOST = 1 << 18, 1 << 24


def receive_buffer(sock: Socket) -> int:
    return int(sock.getsockopt(SOL_SOCKET, SO_RCVBUF))


def send_buffer(sock: Socket) -> int:
    return int(sock.getsockopt(SOL_SOCKET, SO_SNDBUF))


def windows(peer: Peer, sock: Socket, rounds: int, *, reads: bool = True) -> list[int]:
    """A sender that fills the window in each round trip, and a user that reads all; the buffer after each."""
    sizes = []
    for _ in range(rounds):
        room = sock.info().rcv_wnd
        peer.advance(RTT)
        while room > 0:
            peer.data(bytes(min(room, 64_000)))
            room -= min(room, 64_000)
        if reads:
            read(sock)
        peer.flush()
        peer.drain()
        sizes.append(receive_buffer(sock))
    return sizes


@pytest.mark.parametrize("options", [STAMPED, SCALED], ids=["timestamps", "plain"])
def test_established_full_windows_that_are_read_grow_the_buffer_to_the_maximum(options: Any) -> None:
    peer = Peer()
    sock = peer.passive(options)
    sizes = windows(peer, sock, 12)
    assert sizes == sorted(sizes) and sizes[0] == DEFAULT and sizes[-1] == MOST
    assert all(after <= 6 * size for size, after in itertools.pairwise(sizes))
    assert sock.info().rcv_wnd > MOST - 2 * 65536


@pytest.mark.parametrize("options", [STAMPED, SCALED], ids=["timestamps", "plain"])
def test_established_full_windows_that_are_not_read_grow_nothing(options: Any) -> None:
    peer = Peer()
    sock = peer.passive(options)
    assert set(windows(peer, sock, 12, reads=False)) == {DEFAULT}
    assert sock.info().rcv_wnd == 0 and sock.tcb is not None and sock.tcb.tuning is None


def test_established_steady_rate_below_half_a_buffer_a_round_trip_grows_nothing() -> None:
    peer = Peer()
    sock = peer.passive(STAMPED)
    for _ in range(50):
        peer.advance(RTT)
        peer.data(bytes(50_000))
        peer.data(bytes(50_000))
        read(sock)
        peer.flush()
        peer.drain()
    assert receive_buffer(sock) == DEFAULT


def test_established_few_bytes_are_not_measured() -> None:
    peer = Peer()
    sock = peer.passive(STAMPED)
    for _ in range(10):
        peer.data(bytes(6000))
        peer.advance(RTT)
        read(sock)
    assert sock.tcb is not None and sock.tcb.tuning is None


def test_established_maximum_is_a_setting() -> None:
    peer = Peer(receive_buffer_max=500_000)
    sock = peer.passive(STAMPED)
    assert windows(peer, sock, 12)[-1] == 500_000
    assert sock.info().rcv_wscale == 3


def test_syn_offers_a_scale_for_the_maximum_and_for_a_chosen_size() -> None:
    assert Peer().connecting()[1].option(WindowScale) == WindowScale(9)
    peer = Peer()
    peer.listen()
    assert peer.syn(FULL).option(WindowScale) == WindowScale(9)
    peer = Peer()
    peer.listen().setsockopt(SOL_SOCKET, SO_RCVBUF, 100_000)
    assert peer.syn(FULL).option(WindowScale) == WindowScale(1)
    seg = Peer().connecting(lambda sock: sock.setsockopt(SOL_SOCKET, SO_RCVBUF, 30_000))[1]
    assert seg.option(WindowScale) == WindowScale(0) and seg.window == 30_000


def test_established_chosen_size_stays() -> None:
    peer = Peer()
    sock = peer.passive(STAMPED, before=lambda listener: listener.setsockopt(SOL_SOCKET, SO_RCVBUF, 100_000))
    assert set(windows(peer, sock, 10)) == {100_000}
    peer = Peer()
    sock = peer.passive(STAMPED)
    grown = windows(peer, sock, 4)[-1]
    assert DEFAULT < grown < MOST
    sock.setsockopt(SOL_SOCKET, SO_RCVBUF, 100_000)  # what was offered is not taken back
    assert set(windows(peer, sock, 5)) == {grown}


def test_established_other_options_leave_what_has_grown() -> None:
    peer = Peer()
    sock = peer.passive(STAMPED)
    grown = windows(peer, sock, 4)[-1]
    sock.setsockopt(6, 1, True)
    assert receive_buffer(sock) == grown


def test_threat_74_no_buffer_grows_while_half_of_all_memory_is_taken() -> None:
    peer = Peer(receive_memory=2 * DEFAULT + 200_000)
    hoarder = peer.passive(STAMPED)
    windows(peer, hoarder, 3, reads=False)
    assert peer.stack.tcp.received_bytes >= DEFAULT
    peer.peer_port, peer.watch = peer.peer_port + 1, None
    sock = peer.passive(STAMPED)
    assert set(windows(peer, sock, 8)) == {DEFAULT}
    assert read(hoarder)
    assert windows(peer, sock, 8)[-1] > DEFAULT


@pytest.mark.parametrize("tsecr", [0, 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_threat_64_echoes_that_lie_are_bounded_by_the_maximum(tsecr: int) -> None:
    peer = Peer(receive_buffer_max=1 << 20)
    sock = peer.passive(STAMPED)
    for _ in range(60):
        peer.ts_echo = tsecr
        room = sock.info().rcv_wnd
        peer.advance(RTT)
        peer.ts_echo = tsecr
        peer.data(bytes(min(room, 64_000)))
        read(sock)
        peer.flush()
    assert receive_buffer(sock) <= 1 << 20


# the window under growth (RFC 9293 3.8.6.2.2, RFC 7323 2.4); `Watch` checks every ACK's right edge


@pytest.mark.parametrize("size", [1, 511, 513, 1448])
def test_established_right_edge_never_moves_left_while_the_buffer_grows(size: int) -> None:
    peer = Peer(receive_buffer_max=1 << 24)
    sock = peer.passive(STAMPED)
    assert sock.info().rcv_wscale == 9 and peer.watch is not None
    for turn in range(60):
        for _ in range(3):
            room = sock.info().rcv_wnd
            if room:
                peer.data(bytes(min(room, size)))
        if turn % 7 == 0:
            windows(peer, sock, 1, reads=turn % 3 == 0)
        if turn % 10 == 0:
            read(sock)
            peer.flush()
    assert receive_buffer(sock) > DEFAULT
    assert peer.stack.tcp.received_bytes <= receive_buffer(sock) * 5 // 4 + 512


def test_established_growth_is_told_by_window_updates_of_at_least_a_segment() -> None:
    peer = Peer()
    sock = peer.passive(STAMPED)
    windows(peer, sock, 3)
    before = sock.info().rcv_wnd
    for _ in range(200):
        peer.data(b"x")
        assert sock.recv(1)
        peer.flush()
    told = [seg for seg in peer.drain() if not seg.data]
    edges = [(seg.ack + (seg.window << 9)) & MASK32 for seg in told]
    assert all(seq_diff(after, first) >= 0 for first, after in itertools.pairwise(edges))
    assert len(told) <= 5 and sock.info().rcv_wnd >= before - 512


# the send buffer


def acknowledge(peer: Peer, window: int) -> int:
    """Acknowledges all that was sent, with a window; how many bytes."""
    peer.window = window
    peer.advance(RTT)
    return len(peer.take())


def fill(sock: Socket) -> None:
    while sock.writable:
        sock.send(bytes(100_000))


def test_established_waiting_writer_gets_twice_the_windows() -> None:
    peer = Peer()
    sock = peer.passive(SCALED)
    for _ in range(12):
        fill(sock)
        peer.flush()
        acknowledge(peer, 8000)  # 1 MB
    window = min(sock.info().snd_cwnd, 8000 << 7)
    assert DEFAULT < send_buffer(sock) <= 2 * (8000 << 7) and send_buffer(sock) >= window


def test_established_writer_that_does_not_wait_gets_nothing() -> None:
    peer = Peer()
    sock = peer.passive(SCALED)
    for _ in range(30):
        sock.send(bytes(100_000))
        peer.flush()
        while sock.info().unacked or sock.info().unsent:
            acknowledge(peer, 65535)
    assert send_buffer(sock) == DEFAULT


def test_established_peer_that_takes_little_grows_nothing() -> None:
    peer = Peer()
    sock = peer.passive(SCALED)
    for _ in range(30):
        fill(sock)
        peer.flush()
        acknowledge(peer, 500)  # 64 kB
    assert send_buffer(sock) == DEFAULT


def test_established_chosen_send_buffer_stays() -> None:
    peer = Peer()
    sock = peer.passive(SCALED, before=lambda listener: listener.setsockopt(SOL_SOCKET, SO_SNDBUF, 50_000))
    for _ in range(20):
        fill(sock)
        peer.flush()
        acknowledge(peer, 8000)
    assert send_buffer(sock) == 50_000


def test_threat_74_no_send_buffer_grows_while_half_of_all_memory_is_queued() -> None:
    peer = Peer(send_memory=2 * DEFAULT)
    hoarder = peer.passive(SCALED)
    fill(hoarder)
    peer.peer_port, peer.watch = peer.peer_port + 1, None
    peer.flush()
    peer.drain()
    sock = peer.passive(SCALED)
    for _ in range(6):
        fill(sock)
        peer.flush()
        peer.out = [seg for seg in peer.out if seg.frame.tcp.destination_port == peer.peer_port]
        acknowledge(peer, 8000)
    assert send_buffer(sock) == DEFAULT
    assert peer.stack.tcp.queued_bytes == DEFAULT + sock.info().unsent + sock.info().unacked
    hoarder.abort()
    assert peer.stack.tcp.queued_bytes == sock.info().unsent + sock.info().unacked
    sock.abort()
    assert peer.stack.tcp.queued_bytes == 0


# what is charged is what is taken


def test_threat_71_tiny_segments_that_nobody_reads_take_the_memory_that_is_charged() -> None:
    peer = Peer(receive_buffer=40_000)
    peer.passive(PLAIN)
    peer.watch = None
    frames = []
    for _ in range(5_000):
        frames.append(peer.frame(".", data=b"x"))
        peer.seq = (peer.seq + 1) & MASK32
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        peer.stack.input(peer.eth0, frames, peer.now)
        peer.stack.output(peer.eth0)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert peer.stack.tcp.received_bytes == 5_000
    assert taken < 3 * 5_000 + 16_384


def test_threat_67_islands_take_the_memory_that_is_charged() -> None:
    peer = Peer()
    peer.passive(FULL)
    peer.watch = None
    frames = [peer.frame(".", peer.seq + 2 * off, data=b"x") for off in range(1, 256)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        peer.stack.input(peer.eth0, frames, peer.now)
        peer.stack.output(peer.eth0)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    charged = peer.stack.tcp.received_bytes
    assert charged >= 255 * 1024 and taken < 1.5 * charged


def test_queue_does_not_keep_a_large_object_for_a_small_part_of_it() -> None:
    queue = ByteQueue()
    whole = bytes(1 << 20)
    queue.append(whole, 0, 5000)
    queue.locate(0, 5000)
    assert queue.source is not whole
    queue = ByteQueue()
    queue.append(whole, 1000, len(whole) - 1000)
    queue.locate(0, 5000)
    assert queue.source is whole
