"""Threats 67 to 74: a sender that wants too much of a receiver."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.conformance.rfc9293.tape import Tape
from tests.unit.tcp.peer import FULL, PLAIN, Peer, error_of, read
from uinet.errors import WouldBlock
from uinet.seq import seq_diff
from uinet.units import MASK32
from uinet.wire.tcp_options import Sack

TEXT = bytes(index * 7 % 251 for index in range(60_000))


@pytest.mark.threat(67)
@pytest.mark.parametrize("gap", [2, 3, 100])
def test_one_byte_segments_out_of_order_keep_a_bounded_number_of_pieces(gap: int) -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    for index in range(5000):
        off = 1 + gap * index % 60_000
        peer.send(".", peer.seq + off, data=TEXT[off : off + 1])
    assert sock.tcb is not None and sock.tcb.reassembly is not None
    assert len(sock.tcb.reassembly.islands) <= 256
    assert peer.stack.tcp.received_bytes < 300_000  # what the pieces cost, not only what is in them
    peer.drain()
    peer.data(TEXT[:1400])
    assert read(sock) == TEXT[: len(TEXT)][: sock.info().bytes_received]


@pytest.mark.threat(68)
@pytest.mark.parametrize("seed", range(5))
def test_overlaps_without_end_give_the_stream_and_right_sacks(seed: int) -> None:
    chance = random.Random(seed)
    peer = Tape(receive_buffer=1 << 16)
    sock = peer.passive(FULL)
    start = peer.seq
    held = bytearray(60_000)
    for _ in range(400):
        left = chance.randrange(1, 30_000)
        size = chance.randrange(1, 1448)
        peer.send(".", start + left, data=TEXT[left : left + size])
        held[left : left + size] = b"\1" * size
        for block_left, block_right in peer.tape[-1].option(Sack).blocks:
            a, b = (block_left - start) & MASK32, (block_right - start) & MASK32
            assert all(held[a:b]), "a SACK of what never came"
    assert sock.info().out_of_order <= 30_000 + 1448 and peer.stack.tcp.received_bytes <= 300_000
    peer.seq = start
    got = b""
    for at in range(0, 31_500, 1400):
        peer.send(".", start + at, data=TEXT[at : at + 1400])
        got += read(sock)
    assert got == TEXT[: len(got)] and len(got) >= 31_500


@pytest.mark.threat(69)
@pytest.mark.parametrize("seed", range(20))
def test_overlaps_with_other_bytes_never_change_what_came_first(seed: int) -> None:
    chance = random.Random(seed)
    peer = Peer()
    sock = peer.passive(PLAIN)
    start, model, got = peer.seq, {}, b""
    for round_ in range(1, 200):
        left = chance.randrange(0, 600)
        size = chance.randrange(1, 100)
        peer.send(".", start + left, data=bytes([round_]) * size)
        for at in range(left, left + size):
            model.setdefault(at, round_)  # what came first stays
        got += read(sock)
        assert all(model[at] == octet for at, octet in enumerate(got))
    assert len(got) == 0 or got == bytes(model[at] for at in range(len(got)))


@pytest.mark.threat(70)
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_data_and_fin_beyond_the_window_are_neither_kept_nor_acknowledged(options: Any) -> None:
    peer = Peer(receive_buffer=4096)
    sock = peer.passive(options)
    window = sock.info().rcv_wnd
    for off in (window, window + 1, 2 * window, 1 << 20):
        peer.send("FP.", peer.seq + off, data=b"beyond")
    assert {seg.ack for seg in peer.drain()} == {peer.seq}
    assert peer.stack.tcp.received_bytes == 0
    peer.send("F.", peer.seq + window - 100, data=bytes(200))  # cut at the edge, and so is its FIN
    assert sock.info().out_of_order == 100
    peer.data(bytes(window - 100))
    assert len(read(sock)) == window and sock.state == "ESTABLISHED"


@pytest.mark.threat(70)
def test_fin_that_waits_behind_a_hole_is_forgotten_if_data_comes_beyond_it() -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    start = peer.seq
    peer.send("F.", start + 10, data=b"0123456789")  # FIN at 20
    peer.send("F.", start + 10, data=b"0123456789")
    peer.send("P.", start + 20, data=b"more")
    peer.send("P.", start, data=b"abcdefghij")
    assert read(sock) == b"abcdefghij0123456789more" and sock.state == "ESTABLISHED"
    assert error_of(sock.recv, 1) is WouldBlock


@pytest.mark.threat(71)
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_tiny_segments_that_nobody_reads_are_bounded_and_joined(options: Any) -> None:
    peer = Peer(receive_buffer=8192)
    sock = peer.passive(options)
    peer.watch = None
    for index in range(9000):
        if not sock.info().rcv_wnd:
            break
        peer.data(TEXT[index : index + 1])
    assert peer.stack.tcp.received_bytes <= 8192 * 5 // 4
    got = sock.recv(1 << 20)
    assert len(got) >= 8192 and got == TEXT[: len(got)]


@pytest.mark.threat(72)
def test_garbage_before_the_window_is_answered_and_not_taken() -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    peer.data(b"0123456789")
    read(sock)
    peer.advance(0.1)
    peer.drain()
    for index in range(1, 200):
        peer.send(".", peer.seq - 1 - index % 9, data=b"?")
    answers = peer.drain()
    assert len(answers) <= 199 and {(seg.flags, seg.ack, seg.data) for seg in answers} == {(".", peer.seq, b"")}
    assert not sock.readable
    for _ in range(200):  # those without data may be answers to ours, and are limited
        peer.send(".", peer.seq - 1)
    assert len(peer.drain()) == 1


@pytest.mark.threat(73)
@pytest.mark.parametrize("flags", ["P.", "UP."])
def test_pushed_segments_of_a_batch_wake_the_user_once(flags: str) -> None:
    peer = Peer()
    sock = peer.passive()
    told = []
    sock.on_event = lambda _, events: told.append(events)
    for _ in range(3):
        frames = [peer.frame(flags, peer.seq + index, data=b"x", urgent=len(flags) - 2) for index in range(500)]
        peer.seq = (peer.seq + 500) & MASK32
        peer.give(*frames)
    assert len(told) == 3 and len(read(sock)) == 1500


@pytest.mark.threat(74)
def test_memory_of_all_connections_is_bounded_and_no_edge_moves() -> None:
    peer = Peer(receive_memory=100_000, receive_buffer=65_536)
    socks: list[Any] = []
    watches = []
    for port in range(3000, 3020):
        peer.peer_port, peer.seq, peer.ack = port, 0xFFFFFF00, 0
        peer.watch = type(peer.watch)() if peer.watch is not None else None
        socks.append((peer.passive(PLAIN), port))
        watches.append((peer.watch, peer.seq, peer.ack))
    state = [[watch, seq, ack] for watch, seq, ack in watches]
    for _ in range(60):
        for index, (sock, port) in enumerate(socks):
            peer.peer_port = port
            peer.watch, peer.seq, peer.ack = state[index]
            room = sock.info().rcv_wnd
            if room:
                peer.data(bytes(min(room, 1460)))
                peer.advance(0.05)
            state[index] = [peer.watch, peer.seq, peer.ack]
    held = peer.stack.tcp.received_bytes
    # windows that were told stay open, but what comes once the memory is used up is not taken
    assert 50_000 < held <= 100_000 + 20 * 1460
    for sock, _ in socks:
        assert seq_diff(sock.tcb.rcv_adv, sock.tcb.rcv_nxt) >= 0
        read(sock)
    assert peer.stack.tcp.received_bytes == 0
