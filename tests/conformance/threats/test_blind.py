"""Threats 23 to 37: an attacker who sees nothing and guesses."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from tests.conformance.rfc9293.tape import Tape
from tests.unit.tcp.peer import FULL, PLAIN, Peer, read
from tests.unit.tcp.test_icmp_errors import report
from uinet.units import MASK32
from uinet.wire.tcp_options import Nop, Timestamps


@pytest.mark.threat(23)
@pytest.mark.rfc("5961", "3.2", "a RST elsewhere in the window gets one challenge ACK, and the connection lives")
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_blind_rsts_all_over_the_window_reset_nothing(options: tuple[object, ...]) -> None:
    peer = Peer()
    sock = peer.passive(options)
    window = sock.info().rcv_wnd
    for off in range(1, window, window // 97):
        peer.send("R", peer.seq + off, options=())
    assert sock.state == "ESTABLISHED"
    (answer,) = peer.drain()
    assert (answer.flags, answer.seq, answer.ack) == (".", peer.ack, peer.seq)
    for off in (-1, -1000, window + 1, 1 << 30, 1 << 31):
        peer.send("R", peer.seq + off, options=())
    peer.quiet()
    peer.send("R", options=())
    assert sock.state == "CLOSED"


@pytest.mark.threat(23)
@pytest.mark.parametrize("edge", [100, 200])
def test_blind_rst_at_a_sacked_edge_is_no_exact_one(edge: int) -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    peer.send(".", peer.seq + 100, data=bytes(100))
    peer.drain()
    peer.send("R", peer.seq + edge)
    peer.expect(".", ack=peer.seq)
    assert sock.state == "ESTABLISHED"


@pytest.mark.threat(24)
@pytest.mark.rfc("5961", "4.2", "a SYN in a synchronized state gets a challenge ACK")
@pytest.mark.parametrize("flags", ["S", "S.", "SF", "SP.U"])
def test_blind_syns_reset_nothing_whatever_their_numbers(flags: str) -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    peer.watch = None
    for off in (-(1 << 30), -1000, -1, 0, 1, 100, 1 << 20, 1 << 31):
        for options in ((), (peer.timestamps(), Nop(), Nop())):
            peer.advance(2)
            peer.send(flags, peer.seq + off, options=options)
            assert [(seg.flags, seg.ack) for seg in peer.drain()] in ([(".", peer.seq)], [])
    assert sock.state == "ESTABLISHED" and not sock.readable


@pytest.mark.threat(25)
@pytest.mark.rfc("5961", "5.2", "data with an ACK that can't be is dropped")
@pytest.mark.parametrize("off", [1, 1000, 1 << 30, -70_000, -(1 << 30)])
def test_blind_data_with_an_impossible_ack_is_not_taken(off: int) -> None:
    peer = Peer()
    sock = peer.passive()
    peer.watch = None
    peer.send("P.", peer.seq, peer.ack + off, b"injected")
    assert not sock.readable
    peer.expect(".", ack=peer.seq, seq=peer.ack)
    peer.data(b"genuine!")
    assert read(sock) == b"genuine!"


@pytest.mark.threat(26)
def test_challenge_acks_have_no_limit_that_connections_share() -> None:
    peer = Peer()
    first = peer.passive()
    ports = [(peer.peer_port, peer.seq, peer.ack)]
    peer.watch = None
    for port in range(41_000, 41_020):
        peer.peer_port, peer.seq = port, 9000
        peer.passive()
        ports.append((peer.peer_port, peer.seq, peer.ack))
    for _ in range(200):  # exhausts whatever there is on all but the first
        for peer.peer_port, peer.seq, peer.ack in ports[1:]:
            peer.send("R", peer.seq + 7)
    assert len(peer.drain()) == 20
    peer.peer_port, peer.seq, peer.ack = ports[0]
    peer.send("R", peer.seq + 7)
    peer.expect(".", ack=peer.seq)
    assert first.state == "ESTABLISHED"


@pytest.mark.threat(26)
@pytest.mark.rfc("5961", "7", "the limit on challenge ACKs varies")
def test_challenge_acks_of_one_connection_come_at_times_that_vary() -> None:
    peer = Tape()
    peer.passive()
    before = len(peer.tape)
    for _ in range(4000):
        peer.advance(0.01)
        peer.send("R", peer.seq + 7)
    times = [seg.time for seg in peer.tape[before:]]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert len(gaps) > 40 and len(set(gaps)) > 15
    assert min(gaps) > 0.24e9 and max(gaps) < 0.8e9


@pytest.mark.threat(27)
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_two_ends_out_of_step_fall_silent(v6: bool, options: tuple[object, ...]) -> None:
    """Each end is told of a byte that the other has not sent; what one sends the other gets."""
    one, other = Peer(v6=v6), Peer(v6=v6)
    one.passive(options)
    other.passive(options)
    exchanged = 0
    for peer in (one, other):
        peer.watch = None
    frames_one, frames_other = 1, 1
    for _ in range(50):
        for _ in range(frames_one):
            one.send(".", one.seq, one.ack + 5)
        for _ in range(frames_other):
            other.send(".", other.seq, other.ack + 5)
        frames_other, frames_one = len(one.drain()), len(other.drain())
        exchanged += frames_one + frames_other
        if not frames_one + frames_other:
            break
    assert exchanged <= 4


@pytest.mark.threat(29)
@pytest.mark.rfc("7323", "5.4", "the timestamp clock ticks once a millisecond")
@pytest.mark.rfc("7323", "7.1", "timestamps of different connections do not tell of one another")
def test_timestamps_are_offset_by_connection_and_tick_by_milliseconds() -> None:
    peer = Peer()
    peer.listen()
    peer.watch = None
    values = []
    for port in range(2000, 2100):
        peer.peer_port = port
        peer.send("S", 7, options=FULL)
        values.append(peer.expect("S.").option(Timestamps).value)
    steps = Counter((b - a) & MASK32 for a, b in itertools.pairwise(values))
    assert max(steps.values()) == 1 and len({value >> 28 for value in values}) == 16
    peer.peer_port = 2000
    first = values[0]
    peer.advance(0.6)
    peer.drain()
    peer.send("S", 7, options=FULL)
    assert (peer.expect("S.").option(Timestamps).value - first) & MASK32 == 600


@pytest.mark.threat(30)
@pytest.mark.rfc("7323", "4.3", "TS.Recent comes only from segments at or before Last.ACK.sent")
@pytest.mark.parametrize("ahead", [1, 1 << 20, (1 << 31) - 1])
@pytest.mark.parametrize("off", [-100_000, -2000, 200, 60_000, 1 << 21])
@pytest.mark.parametrize("flags", [".", "P.", "F.", "S", "R", ""])
def test_forged_timestamp_out_of_place_does_not_shut_the_peer_out(ahead: int, off: int, flags: str) -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    peer.data(bytes(1000))
    read(sock)
    far = Timestamps((peer.timestamps().value + ahead) & MASK32, peer.ts_echo)
    peer.watch = None
    peer.send(flags, peer.seq + off, data=b"evil" if flags == "P." else b"", options=(Nop(), Nop(), far))
    peer.data(b"genuine")
    assert read(sock).startswith(b"genuine") and peer.count("tcp_paws") == 0


@pytest.mark.threat(31)
@pytest.mark.rfc("6864", "4.1", "an atomic datagram's identification says nothing: DF, and 0")
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_segments_have_no_identification_that_counts(options: tuple[object, ...]) -> None:
    peer = Tape()
    sock = peer.passive(options)
    sock.send(bytes(10_000))
    peer.flush()
    peer.advance(10)
    sock.abort()
    peer.flush()
    peer.send(".", ack=5)
    assert len(peer.tape) > 8
    assert {bytes(seg.frame.packet[4:8]) for seg in peer.tape} == {b"\0\0\x40\0"}


@pytest.mark.threat(34)
@pytest.mark.rfc("1191", "3", "the send MSS follows a path MTU that is reported")
@pytest.mark.rfc("5927", "7.2", "what does not quote data in flight is ignored")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("mtu", [0, 67, 68, 296, 551, 1279, 1501, 9000, 65_535])
def test_forged_path_mtu_has_a_floor_and_never_raises(v6: bool, mtu: int) -> None:
    peer = Peer(v6=v6)
    sock = peer.passive(PLAIN)
    mss = sock.info().snd_mss
    sock.send(bytes(20_000))
    peer.flush()
    quoted = peer.drain()[0].seq
    for off in (-1, 20_000, 1 << 31):
        report(peer, *((2, 0) if v6 else (3, 4)), quoted + off, info=mtu)
        assert sock.info().snd_mss == mss
    report(peer, *((2, 0) if v6 else (3, 4)), quoted, info=mtu)
    assert (1220 if v6 else 512) <= sock.info().snd_mss <= mss


@pytest.mark.threat(37)
@pytest.mark.rfc("1337", "4", "a RST does not end TIME-WAIT, nor does old data")
@pytest.mark.parametrize("options", [PLAIN, FULL])
@pytest.mark.parametrize("off", [-1000, -1, 0, 1, 1000, 1 << 31])
def test_time_wait_lasts_whatever_is_forged(options: tuple[object, ...], off: int) -> None:
    peer = Peer()
    peer.time_wait(options=options)
    peer.listener.close()
    peer.watch = None
    for flags in ("R", "R.", ".", "P.", "S", "S.", "", "F"):
        peer.send(flags, peer.seq + off, data=b"old" if "P" in flags else b"")
    assert len(peer.drain()) <= 5  # RSTs and what has no ACK are not answered
    peer.advance(59)
    assert len(peer.stack.tcp.time_wait) == 1
    peer.gone(61)
