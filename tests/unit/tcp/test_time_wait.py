"""TIME-WAIT: when a SYN may end it (RFC 6191), and what may not (RFC 1337). Threats 11 and 37."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.tcp.peer import FULL, PLAIN, Peer, read
from uinet.units import MASK32, SECOND
from uinet.wire.tcp_options import Mss, Timestamps

LATE = 4_294_966 * SECOND  # when the peer's millisecond clock is about to wrap


def waiting(stamped: bool, **settings: Any) -> tuple[Peer, int]:
    """A peer whose connection, with timestamps or without, is in TIME-WAIT, and the last timestamp that it has sent."""
    peer = Peer(now=LATE, **settings)
    peer.ts_ahead = 286  # 10 ms before it wraps
    peer.time_wait(options=(*FULL[:2], peer.timestamps(), *FULL[3:]) if stamped else PLAIN)
    last = peer.timestamps().value
    assert last > 0xFFFFFF00
    peer.watch = None
    peer.ts = False
    return peer, last


@pytest.mark.parametrize("seq", [-1000, -1, 0, 1, 1000])
@pytest.mark.parametrize("tick", [-1000, -1, 0, 1, 1000])
@pytest.mark.rfc("6191", "2", "both with timestamps: a later one is honoured, the same one by its number")
def test_time_wait_with_timestamps_gives_way_to_a_later_one(tick: int, seq: int) -> None:
    peer, last = waiting(True)
    honoured = tick > 0 or (tick == 0 and seq > 0)
    peer.send("S", peer.seq + seq, options=(Mss(1460), Timestamps(last + tick, 0)))
    check(peer, honoured, seq)


@pytest.mark.parametrize("seq", [-1000, -1, 0, 1, 1000])
@pytest.mark.rfc("6191", "2", "the old one without timestamps, the SYN with them: it is honoured")
def test_time_wait_without_timestamps_gives_way_to_a_syn_with_them(seq: int) -> None:
    peer, last = waiting(False)
    peer.send("S", peer.seq + seq, options=(Mss(1460), Timestamps(last, 0)))
    check(peer, True, seq)


@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize("seq", [-1000, -1, 0, 1, 1000])
@pytest.mark.rfc("6191", "2", "a SYN without timestamps is honoured if its number is higher")
def test_time_wait_gives_way_to_a_syn_without_timestamps_by_its_number(seq: int, stamped: bool) -> None:
    peer, _ = waiting(stamped)
    peer.send("S", peer.seq + seq, options=(Mss(1460),))
    check(peer, seq > 0, seq)


def test_time_wait_timestamps_that_are_switched_off_do_not_count() -> None:
    peer, last = waiting(False, timestamps=False)
    peer.send("S", peer.seq - 1, options=(Mss(1460), Timestamps(last + 5, 0)))
    check(peer, False, -1)


def check(peer: Peer, honoured: bool, seq: int) -> None:
    """The SYN was honoured, with an ISN beyond all that the old connection has sent; or acknowledged, and nothing
    changed. (RFC 6191 has it dropped in silence; RFC 9293, 3.10.7.4, has it acknowledged, and so do we.)"""
    assert len(peer.stack.tcp.time_wait) == (not honoured)
    if honoured:
        seg = peer.expect("S.", ack=peer.seq + seq + 1)
        assert 0 < (seg.seq - peer.ack) & MASK32 < 1 << 31
        assert peer.count("tcp_time_wait_recycled") == 1
    else:
        peer.expect(".", seq=peer.ack, ack=peer.seq)
    peer.quiet()


@pytest.mark.threat(11)
def test_fifty_connections_of_one_tuple_follow_each_other_through_time_wait() -> None:
    peer = Peer()
    peer.listen()
    for number in range(50):
        peer.watch = None
        peer.ts = False
        peer.seq = (peer.seq + 100_000) & MASK32
        peer.syn((*FULL[:2], peer.timestamps(), *FULL[3:]))
        peer.send(".")
        sock = peer.listener.accept()
        peer.data(b"%d" % number)
        assert read(sock) == b"%d" % number
        sock.close()
        peer.flush()
        peer.ack = (peer.expect("F.").seq + 1) & MASK32
        peer.data(b"", "F.")
        peer.drain()
        peer.advance(0.01)
    assert peer.count("tcp_time_wait_recycled") == 49 and len(peer.stack.tcp.time_wait) == 1
    assert peer.tcbs() == 0


@pytest.mark.threat(37)
@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.rfc("1337", "3", "RSTs are ignored in TIME-WAIT (fix F1)")
def test_time_wait_takes_no_reset(stamped: bool) -> None:
    peer, last = waiting(stamped)
    for seq in (-1, 0, 1, 1000):
        for flags in ("R", "R."):
            peer.send(flags, peer.seq + seq, options=(Timestamps(last, 0),) if stamped else ())
    peer.quiet()
    assert len(peer.stack.tcp.time_wait) == 1
    peer.advance(59)
    assert len(peer.stack.tcp.time_wait) == 1
    peer.advance(1.1)
    assert len(peer.stack.tcp.time_wait) == 0


@pytest.mark.threat(37)
@pytest.mark.rfc("1337", "2", "old data is acknowledged, and the RST that the ACK provokes does no harm")
def test_time_wait_survives_the_hazard_of_rfc_1337() -> None:
    peer, _ = waiting(False)
    peer.send(".", peer.seq - 100, peer.ack - 100, b"x" * 50)  # a duplicate out of the old connection
    answer = peer.expect(".", seq=peer.ack, ack=peer.seq)
    peer.send("R", answer.ack)  # its sender knows of no connection
    peer.quiet()
    assert len(peer.stack.tcp.time_wait) == 1
