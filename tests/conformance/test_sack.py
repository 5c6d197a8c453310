"""RFC 2018 and RFC 2883: what a receiver tells of what it holds, and what a sender makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.rfc9293.tape import Tape, life
from tests.unit.tcp.peer import FULL, PLAIN, Peer
from uinet.units import MASK32
from uinet.wire.tcp_options import Mss, Nop, Sack, SackPermitted

SACKED = (Mss(1460), SackPermitted())


def offsets(peer: Peer) -> list[tuple[int, int]]:
    """The blocks of the last segment, from the peer's SND.NXT on."""
    sack = peer.drain()[-1].option(Sack)
    if sack is None:
        return []
    return [((left - peer.seq) & MASK32, (right - peer.seq) & MASK32) for left, right in sack.blocks]


@pytest.mark.rfc("2018", "2", "SACK-permitted is in SYNs only, and in a SYN,ACK only if the SYN had it")
@pytest.mark.parametrize("options", [PLAIN, SACKED, FULL])
@pytest.mark.parametrize("active", [False, True])
def test_sack_permitted_is_a_syns(options: Any, active: bool) -> None:
    for seg in life(active=active, options=options):
        permitted = any(isinstance(option, SackPermitted) for option in seg.options)
        assert permitted is ("S" in seg.flags and (active or options is not PLAIN))


@pytest.mark.rfc("2018", "4", "no SACK without SACK-permitted")
def test_hole_is_not_told_by_sack_without_agreement() -> None:
    peer = Tape()
    peer.passive(PLAIN)
    for off in (100, 300):
        peer.send(".", peer.seq + off, data=bytes(50))
    assert all(seg.option(Sack) is None for seg in peer.tape)


@pytest.mark.rfc("2018", "3", "every ACK while something is held beyond the ACK has the option")
@pytest.mark.parametrize("options", [SACKED, FULL])
def test_every_ack_tells_what_is_held(options: Any) -> None:
    peer = Peer()
    sock = peer.passive(options)
    peer.send(".", peer.seq + 100, data=bytes(50))
    assert offsets(peer) == [(100, 150)]
    peer.data(bytes(10))
    peer.advance(0.1)
    assert offsets(peer) == [(90, 140)]
    sock.send(b"data of ours")
    peer.flush()
    assert peer.out[-1].data and offsets(peer) == [(90, 140)]
    peer.send(".", data=bytes(90))
    assert offsets(peer) == []


@pytest.mark.rfc("2018", "4", "the first block is that of the latest segment, others repeat what was told lately")
@pytest.mark.rfc("2018", "4", "as many blocks as fit: four, or three with timestamps")
@pytest.mark.parametrize(("options", "most"), [(SACKED, 4), (FULL, 3)])
def test_blocks_are_the_latest_first_and_as_many_as_fit(options: Any, most: int) -> None:
    peer = Peer()
    peer.passive(options)
    order = [500, 100, 900, 300, 700, 1100]
    for count, off in enumerate(order, 1):
        peer.send(".", peer.seq + off, data=bytes(50))
        told = offsets(peer)
        assert told == [(at, at + 50) for at in reversed(order[max(0, count - most) : count])]


@pytest.mark.rfc("2018", "4", "each block is told at least three times")
def test_each_block_is_told_three_times() -> None:
    peer = Peer()
    peer.passive(FULL)
    told: dict[int, int] = {}
    for index in range(20):
        peer.send(".", peer.seq + 100 + 200 * index, data=bytes(50))
        for left, _ in offsets(peer):
            told[left] = told.get(left, 0) + 1
    assert all(count >= 3 for left, count in told.items() if left < 100 + 200 * 17)


@pytest.mark.rfc("2018", "4", "a block is the whole contiguous piece")
def test_block_is_the_whole_piece() -> None:
    peer = Peer()
    peer.passive(SACKED)
    for off, expected in ((100, (100, 150)), (150, (100, 200)), (50, (50, 200)), (300, (300, 350)), (200, (50, 350))):
        size = 100 if off == 200 else 50
        peer.send(".", peer.seq + off, data=bytes(size))
        assert offsets(peer)[0] == expected


def flight(size: int = 14_600) -> tuple[Peer, Any]:
    peer = Peer()
    sock = peer.passive(SACKED)
    sock.send(bytes(index % 251 for index in range(size)))
    peer.flush()
    assert sum(len(seg.data) for seg in peer.drain()) == size
    return peer, sock


def sack(peer: Peer, *blocks: tuple[int, int]) -> None:
    edges = tuple(((peer.ack + left) & MASK32, (peer.ack + right) & MASK32) for left, right in blocks)
    peer.send(".", options=(Nop(), Nop(), Sack(edges)))


@pytest.mark.rfc("2018", "5", "what is SACKed is not sent again")
def test_only_the_holes_are_sent_again() -> None:
    peer, _ = flight()
    start = peer.ack
    for right in (4380, 5840, 7300):
        sack(peer, (1460, 2920), (2920 + 1460, right)) if right > 4380 else sack(peer, (1460, 2920))
    sack(peer, (1460, 2920), (4380, 14_600))
    for _ in range(4):
        peer.advance(0.01)
    again = {(seg.seq - start) & MASK32 for seg in peer.drain() if (seg.seq - start) & MASK32 < 14_600}
    assert again == {0, 2920}


@pytest.mark.rfc("2018", "8", "after a timeout SACKs count for nothing: all from the first on is sent again")
def test_timeout_sends_again_what_was_sacked() -> None:
    peer, sock = flight(7300)
    start = peer.ack
    sack(peer, (1460, 7300))
    peer.drain()
    seen = set()
    for _ in range(200):
        peer.advance(0.5)
        for seg in peer.drain():
            if seg.data:
                seen.add((seg.seq - start) & MASK32)
                if seg.seq == peer.ack:
                    peer.ack = seg.end
                    peer.send(".")
        if sock.info().unacked == 0:
            break
    assert sock.info().unacked == 0 and seen >= {0, 1460, 2920, 4380, 5840}


# duplicates


@pytest.mark.rfc("2883", "4", "the first block tells of a segment that came twice, once")
@pytest.mark.parametrize("options", [SACKED, FULL])
def test_duplicate_below_the_ack_is_told_once(options: Any) -> None:
    peer = Peer()
    peer.passive(options)
    start = peer.seq
    peer.data(bytes(1000))
    peer.advance(0.1)
    peer.drain()
    peer.send(".", start, data=bytes(500))
    seg = peer.expect(".", ack=peer.seq)
    assert seg.option(Sack) == Sack(((start, (start + 500) & MASK32),))
    peer.data(bytes(10))
    peer.advance(0.1)
    assert peer.drain()[-1].option(Sack) is None


@pytest.mark.rfc("2883", "4.1", "a duplicate beyond a hole comes before the block that covers it")
def test_duplicate_beyond_a_hole_is_told_before_its_block() -> None:
    peer = Peer()
    peer.passive(SACKED)
    peer.send(".", peer.seq + 1000, data=bytes(1000))
    peer.drain()
    peer.send(".", peer.seq + 1200, data=bytes(300))
    assert offsets(peer) == [(1200, 1500), (1000, 2000)]


@pytest.mark.rfc("2883", "4.2", "of a segment that came twice in part only that part is told")
def test_partial_duplicate_tells_the_part() -> None:
    peer = Peer()
    peer.passive(SACKED)
    start = peer.seq
    peer.data(bytes(1000))
    peer.advance(0.1)
    peer.drain()
    peer.send(".", start + 500, data=bytes(1000))
    peer.advance(0.1)
    blocks = [seg.option(Sack) for seg in peer.drain()]
    assert Sack((((start + 500) & MASK32, (start + 1000) & MASK32),)) in blocks
