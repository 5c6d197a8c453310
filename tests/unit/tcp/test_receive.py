"""Data in: order, overlaps, window edges, the advertised window, delayed ACKs (RFC 9293 3.8.6, 3.10.7.4; RFC 7323)."""

from __future__ import annotations

import itertools

import pytest

from tests.unit.tcp.peer import FULL, PLAIN, Peer, error_of, read
from uinet.errors import WouldBlock
from uinet.units import MASK32
from uinet.wire.tcp_options import Nop, Sack, Timestamps

TEXT = bytes(range(250))


@pytest.mark.rfc("9293", "SHLD-31", "segments out of order are kept")
@pytest.mark.parametrize("options", [PLAIN, FULL])
@pytest.mark.parametrize("fin", [False, True])
def test_established_five_segments_in_any_order(options: tuple[object, ...], fin: bool) -> None:
    for order in itertools.permutations(range(5)):
        peer = Peer()
        sock = peer.passive(options)
        start = peer.seq
        for index in order:
            last = fin and index == 4
            peer.send("F." if last else ".", start + 50 * index, data=TEXT[50 * index : 50 * index + 50])
        assert read(sock) == TEXT
        peer.advance(0.1)
        assert peer.drain()[-1].ack == (start + 250 + fin) & MASK32
        assert sock.state == ("CLOSE-WAIT" if fin else "ESTABLISHED")
        assert peer.stack.tcp.received_bytes == 0
        if fin:
            assert sock.recv(1) == b""


@pytest.mark.threat(70)
def test_established_bare_fin_behind_a_hole_waits() -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    start = peer.seq
    peer.send("F.", start + 50)
    peer.expect(".", ack=start)
    assert sock.state == "ESTABLISHED"
    peer.send(".", start, data=TEXT[:50])
    assert sock.state == "CLOSE-WAIT"
    peer.expect(".", ack=start + 51)


@pytest.mark.threat(70)
def test_established_fin_beyond_the_window_is_dropped() -> None:
    peer = Peer(receive_buffer=2048)
    sock = peer.passive()
    peer.send("F.", peer.seq + 1000, data=bytes(1048))
    peer.send(".", data=bytes(1000))
    assert sock.state == "ESTABLISHED"
    assert len(read(sock)) == 2048
    peer.flush()
    peer.drain()
    peer.send("F.", peer.seq + 2048)
    assert sock.state == "CLOSE-WAIT"


@pytest.mark.threat(70)
def test_established_data_beyond_the_window_is_cut() -> None:
    peer = Peer(receive_buffer=2048)
    sock = peer.passive()
    peer.send(".", data=bytes(1400))
    peer.send(".", peer.seq + 1400, data=bytes(1400))
    assert peer.drain()[-1].ack == (peer.seq + 2048) & MASK32
    assert len(read(sock)) == 2048


@pytest.mark.threat(69)
def test_established_overlaps_keep_what_came_first() -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    start = peer.seq
    peer.send(".", start + 10, data=b"A" * 10)
    peer.send(".", start + 15, data=b"B" * 10)
    peer.send(".", start + 5, data=b"C" * 30)
    twice, held = peer.drain()[-1].option(Sack).blocks
    assert twice == ((start + 10) & MASK32, (start + 25) & MASK32)  # a D-SACK (RFC 2883)
    assert held == ((start + 5) & MASK32, (start + 35) & MASK32)
    peer.send(".", start, data=b"D" * 12)
    assert read(sock) == b"D" * 5 + b"C" * 5 + b"A" * 10 + b"B" * 5 + b"C" * 10


@pytest.mark.rfc("2018", "4", "the first block is that of the latest segment")
def test_established_sack_tells_the_latest_island_first() -> None:
    peer = Peer()
    peer.passive(FULL)
    for off in (100, 300, 500, 700):
        peer.send(".", peer.seq + off, data=b"x" * 50)
    blocks = peer.drain()[-1].option(Sack).blocks
    assert [(left - peer.seq) & MASK32 for left, _ in blocks] == [700, 500, 300]
    peer.send(".", peer.seq + 150, data=b"x" * 10)
    assert peer.drain()[-1].option(Sack).blocks[0] == ((peer.seq + 100) & MASK32, (peer.seq + 160) & MASK32)


@pytest.mark.threat(67)
def test_established_islands_are_few() -> None:
    peer = Peer()
    peer.passive(FULL)
    for off in range(2, 2000, 2):
        peer.send(".", peer.seq + off, data=b"x")
    peer.drain()
    assert peer.count("tcp_ooo_full") > 700
    assert peer.stack.tcp.received_bytes <= 257 * 1025  # an island is charged what it takes
    peer.send(".", peer.seq + 1, data=b"y" * 1300)  # overlaps them all
    assert peer.stack.tcp.received_bytes <= 1500 + 257 * 1025


@pytest.mark.threat(70)
def test_established_data_after_fin_is_ignored() -> None:
    peer = Peer()
    sock = peer.close_wait()
    peer.send("P.", data=b"more")
    assert sock.recv(10) == b""


def test_fin_wait_2_data_of_a_half_closed_connection_is_read() -> None:
    peer = Peer()
    sock = peer.fin_wait_2()
    peer.data(b"late")
    assert read(sock) == b"late"


@pytest.mark.threat(71)
@pytest.mark.parametrize("options", [PLAIN, FULL])
@pytest.mark.parametrize("size", [1, 33, 1400])
def test_established_unread_data_shuts_the_window(options: tuple[object, ...], size: int) -> None:
    peer = Peer(receive_buffer=20_000)
    sock = peer.passive(options)
    if peer.watch:
        peer.watch.edge = None
    sent = 0
    for _ in range(30_000 // size):
        seg = peer.drain()
        window = (seg[-1].window << sock.info().rcv_wscale) if seg else 1
        if window == 0:
            break
        peer.data(bytes(size))
        sent += size
        peer.advance(0.05)
    held = peer.stack.tcp.received_bytes
    assert 20_000 <= held <= 25_000 + 1400
    assert sock.info().rcv_wnd == 0


def test_established_small_pieces_do_not_open_a_scaled_window_without_end() -> None:
    peer = Peer(receive_buffer=1 << 20)
    sock = peer.passive(FULL)
    peer.watch = None
    assert sock.info().rcv_wscale == 5
    for _ in range(1100):
        for _ in range(2):
            room = sock.info().rcv_wnd
            if room:
                peer.data(bytes(min(room, 1025)))
        peer.advance(0.05)
    assert peer.stack.tcp.received_bytes <= (1 << 20) * 5 // 4 + 32


@pytest.mark.rfc("9293", "MUST-39", "the receiver avoids silly windows")
def test_established_no_window_updates_by_silly_amounts() -> None:
    peer = Peer(receive_buffer=8192)
    sock = peer.passive()
    while sock.info().rcv_wnd:
        peer.data(bytes(min(1024, sock.info().rcv_wnd)))
        peer.advance(0.05)
    peer.drain()
    read_so_far = 0
    while not peer.out:
        assert sock.recv(1)
        read_so_far += 1
        peer.flush()
    seg = peer.expect(".", length=0)
    assert read_so_far >= 1000 and seg.window >= 1000
    assert not peer.out


def test_established_unscaled_window_of_a_large_buffer_makes_no_needless_acks() -> None:
    peer = Peer(receive_buffer=1 << 20)
    sock = peer.passive(PLAIN)
    for _ in range(5):
        peer.data(b"x")
        assert sock.recv(1)
        peer.flush()
    peer.quiet()
    peer.advance(0.1)
    peer.expect(".")
    peer.send("U.")
    peer.quiet()


def test_closed_window_probe_is_answered_and_its_ack_counts() -> None:
    peer = Peer(receive_buffer=2048)
    sock = peer.passive()
    sock.send(b"x" * 100)
    peer.flush()
    peer.data(bytes(2048))
    peer.advance(0.1)
    peer.drain()
    peer.ack = (peer.ack + 100) & MASK32
    peer.send(".", data=b"y")
    peer.expect(".", ack=peer.seq, window=0)
    assert sock.info().unacked == 0


def test_fin_wait_1_probe_into_a_closed_window_acknowledges_our_fin() -> None:
    peer = Peer(receive_buffer=2048)
    sock = peer.passive()
    peer.data(bytes(2048))
    peer.advance(0.1)
    sock.shutdown(1)
    peer.flush()
    peer.drain()
    peer.ack = (peer.ack + 1) & MASK32
    peer.send(".", data=b"y")
    assert sock.state == "FIN-WAIT-2"


# when to acknowledge


@pytest.mark.rfc("9293", "MUST-40", "an ACK is delayed by less than 0.5 s")
@pytest.mark.rfc("9293", "SHLD-18", "delayed ACKs")
def test_established_small_segment_is_acknowledged_late_but_in_time() -> None:
    peer = Peer()
    peer.passive()
    peer.data(b"x")
    peer.quiet()
    start = peer.now
    peer.advance(0.5)
    assert 0 < peer.expect(".", ack=peer.seq).time - start < 500_000_000
    peer.quiet()


@pytest.mark.rfc("9293", "SHLD-19", "every second full-sized segment is acknowledged")
def test_established_every_second_full_segment_is_acknowledged() -> None:
    peer = Peer()
    peer.passive()
    for _ in range(5):
        peer.data(bytes(1460))
        peer.quiet()
        peer.data(bytes(1460))
        peer.expect(".", ack=peer.seq)


@pytest.mark.rfc("9293", "MUST-58", "one ACK for all that came together")
@pytest.mark.rfc("9293", "MUST-59", "all segments are processed before the ACK")
def test_established_batch_is_acknowledged_once() -> None:
    peer = Peer()
    peer.passive()
    frames = [peer.frame(".", peer.seq + 1000 * i, data=bytes(1000)) for i in range(10)]
    peer.give(*frames)
    peer.expect(".", ack=peer.seq + 10_000)
    peer.quiet()


def test_established_segments_after_a_coalesced_one_are_acknowledged_as_before() -> None:
    peer = Peer()
    peer.passive()
    peer.data(bytes(20_000))  # as a device hands over what it has put together
    peer.expect(".", ack=peer.seq)
    peer.data(bytes(1460))
    peer.data(bytes(1460))
    peer.expect(".", ack=peer.seq)


@pytest.mark.rfc("9293", "MAY-13", "a segment out of order is acknowledged at once")
def test_established_hole_is_told_at_once() -> None:
    peer = Peer()
    peer.passive()
    peer.send(".", peer.seq + 100, data=b"x")
    peer.expect(".", ack=peer.seq)
    peer.send(".", data=bytes(100))
    peer.expect(".", ack=peer.seq + 101)


def test_established_quick_ack() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.setsockopt(6, 12, True)
    peer.flush()
    peer.data(b"x")
    peer.expect(".", ack=peer.seq)


# timestamps


@pytest.mark.threat(44)
@pytest.mark.rfc("7323", "5.3", "R1: a segment with an older timestamp is dropped and acknowledged")
def test_established_old_timestamp_is_dropped_and_answered() -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    peer.ts_ahead = -5000
    peer.send("P.", data=b"old")
    peer.expect(".", ack=peer.seq, length=0)
    assert error_of(sock.recv, 3) is WouldBlock and peer.count("tcp_paws") == 1


@pytest.mark.threat(44)
@pytest.mark.rfc("7323", "3.2", "a segment without the option is dropped where it was agreed, but not a RST")
def test_established_missing_timestamp_is_dropped() -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    peer.send("P.", data=b"none", options=())
    peer.quiet()
    assert error_of(sock.recv, 3) is WouldBlock and peer.count("tcp_timestamp_missing") == 1
    peer.send("R", options=())
    assert sock.state == "CLOSED"


@pytest.mark.threat(30)
@pytest.mark.rfc("7323", "4.3", "TS.Recent comes only from segments at or before Last.ACK.sent")
@pytest.mark.parametrize("off", [-5000, 1 << 21, 500])
def test_established_timestamp_of_a_segment_elsewhere_does_not_poison(off: int) -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    far = Timestamps(peer.timestamps().value + (1 << 31) - 1 & MASK32, peer.ts_echo)
    peer.send(".", peer.seq + off, data=b"evil", options=(Nop(), Nop(), far))
    peer.data(b"fine")
    assert read(sock).startswith(b"fine")


@pytest.mark.threat(30)
@pytest.mark.rfc("7323", "5.5", "after 24 days of silence TS.Recent says nothing")
def test_established_timestamp_is_forgotten_after_24_days() -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    peer.ts_ahead = -(1 << 30)
    peer.data(b"no")
    peer.advance(25 * 86400)
    peer.ts_ahead = -(1 << 31)
    peer.seq = (peer.seq - 2) & MASK32
    peer.data(b"yes")
    assert read(sock) == b"yes"


def test_shut_receiving_side_throws_away_and_leaves_nothing() -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    peer.send(".", peer.seq + 10, data=b"island")
    sock.shutdown(0)
    assert peer.stack.tcp.received_bytes == 0
    peer.data(bytes(20))
    assert peer.drain()[-1].ack == peer.seq
    assert sock.recv(1) == b"" and peer.stack.tcp.received_bytes == 0
    peer.data(b"", "F.")
    assert sock.state == "CLOSE-WAIT"


@pytest.mark.threat(47)
@pytest.mark.parametrize("urgent", [0, 1, 3, 65535])
def test_established_urgent_data_is_read_in_line(urgent: int) -> None:
    peer = Peer()
    sock = peer.passive()
    peer.send("U.", data=b"abc", urgent=urgent)
    assert read(sock) == b"abc"


@pytest.mark.threat(74)
@pytest.mark.rfc("9293", "SHLD-14", "the right edge stays even if memory is short")
def test_threat_74_all_memory_taken_drops_what_comes_and_moves_no_edge() -> None:
    peer = Peer(receive_memory=5000)
    sock = peer.passive(FULL)
    for _ in range(20):
        peer.data(bytes(1000))
        peer.advance(0.05)
    window = sock.info().rcv_wnd
    assert peer.stack.tcp.received_bytes == 5000 and window > 200_000
    assert (peer.count("tcp_memory_full"), peer.count("tcp_ooo_full")) == (1, 14)
    peer.seq = (peer.seq - 15_000) & MASK32
    peer.data(bytes(1000))
    assert peer.drain()[-1].ack == (peer.seq - 1000) & MASK32 and sock.info().rcv_wnd == window
    assert len(read(sock)) == 5000
    peer.seq = (peer.seq - 1000) & MASK32
    for _ in range(5):
        peer.data(bytes(1000))  # it comes again, and now there is room
    assert len(read(sock)) == 5000 and peer.stack.tcp.received_bytes == 0


def test_established_data_is_read_into_buffers() -> None:
    peer = Peer()
    sock = peer.passive()
    peer.data(b"0123456789")
    target = bytearray(6)
    assert sock.recv_into(target) == 6 and target == b"012345"
    assert sock.recv_into(target, 2) == 2 and target == b"672345"
    assert sock.recv_into(memoryview(target)[3:]) == 2 and target == b"672895"
    assert peer.stack.tcp.received_bytes == 0
