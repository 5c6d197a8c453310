"""What holds on every trace, whatever the peer does (section 7 of the threats, a to i).

`Peer` checks a to e of every segment that the stack sends, in all tests that use it (`Watch`); here a peer that loses,
repeats, reorders and trickles makes traces that meet about everything, and the checks are made again by hand.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.conformance.rfc9293.tape import Tape, checksum_is_right
from tests.unit.tcp.peer import FULL, HOST, PLAIN, Peer
from tests.unit.tcp.test_icmp_errors import report
from uinet.errors import Error
from uinet.seq import seq_diff, seq_geq, seq_leq
from uinet.sim.invariants import is_dsack
from uinet.socket import Socket
from uinet.units import MASK32
from uinet.wire.tcp_options import Malformed, Mss, Nop, Sack

TEXT = bytes(index * 11 % 253 for index in range(400_000))


class Wild:
    """A peer that misbehaves within the rules, by a seed; it never says what is not true of itself."""

    def __init__(self, seed: int, options: Any, v6: bool) -> None:
        self.chance = random.Random(seed)
        self.peer = Tape(v6=v6, receive_buffer=self.chance.choice((4096, 60_000)))
        self.sock: Socket = self.peer.passive(options)
        self.start = self.peer.seq  # of our stream
        self.sent = 0  # bytes of TEXT that were sent at least once
        self.got: dict[int, int] = {}  # octets of the stack's stream, by sequence number
        self.limits: list[tuple[int, int]] = []  # (how many segments there were, the edge that was offered then)
        self.edge = (self.peer.ack + 65_535) & MASK32
        self.written = 0

    def step(self) -> None:
        what = self.chance.randrange(8)
        if what == 0:
            self.say_new()
        elif what == 1 and self.sent:
            self.say_again()
        elif what in (2, 3):
            self.answer()
        elif what == 4:
            self.write()
        elif what == 5 and self.sock.readable:
            self.sock.recv(self.chance.randrange(1, 5000))
            self.peer.flush()
        elif what == 6:
            self.peer.advance(self.chance.choice((0.01, 0.05, 0.3, 1.5)))

    def say_new(self) -> None:
        room = self.sock.info().rcv_wnd - self.chance.randrange(3)
        held = self.sock.tcb.rcv_nxt if self.sock.tcb is not None else 0
        ahead = (self.start + self.sent - held) & MASK32
        size = min(self.chance.choice((1, 100, 1000, 1400)), room - ahead)
        if size > 0:
            if self.chance.random() < 0.7:
                self.peer.send("P.", self.start + self.sent, data=TEXT[self.sent : self.sent + size])
            self.sent += size

    def say_again(self) -> None:
        at = self.chance.randrange(max(0, self.sent - 8000), self.sent)
        missing = ((self.sock.tcb.rcv_nxt if self.sock.tcb is not None else 0) - self.start) & MASK32
        if missing < self.sent and self.chance.random() < 0.5:
            at = missing
        size = min(self.chance.randrange(1, 1400), self.sent - at)
        self.peer.send("P.", self.start + at, data=TEXT[at : at + size])

    def answer(self) -> None:
        """Takes what arrived, acknowledges some of it, and offers another window."""
        for seg in self.peer.drain():
            if self.chance.random() < 0.8:
                for index, octet in enumerate(seg.data):
                    self.got[(seg.seq + index) & MASK32] = octet
        while self.peer.ack in self.got:
            self.peer.ack = (self.peer.ack + 1) & MASK32
        window = self.chance.choice((0, 1, 500, 5000, 65_535))
        edge = (self.peer.ack + window) & MASK32
        if seq_diff(edge, self.edge) > 0:
            self.edge = edge
        options: tuple[Any, ...] = (Nop(), Nop(), self.peer.timestamps()) if self.peer.ts else ()
        beyond = [at for at in self.got if 0 < seq_diff(at, self.peer.ack) < 100_000]
        if beyond and self.sock.info().sack:
            left = right = min(beyond, key=lambda at: seq_diff(at, self.peer.ack))
            while right in self.got:
                right = (right + 1) & MASK32
            options += (Nop(), Nop(), Sack(((left, right),)))
        self.limits.append((len(self.peer.tape), self.edge))
        self.peer.send(".", self.start + self.sent, window=window, options=options)

    def write(self) -> None:
        try:
            size = self.chance.choice((1, 300, 5000))
            self.written += self.sock.send(TEXT[self.written : self.written + size])
        except Error:
            return
        self.peer.flush()


def check(wild: Wild) -> None:
    """b to e, by hand."""
    scale = wild.sock.info().rcv_wscale
    bytes_sent: dict[int, int] = {}
    acked = wild.start
    for index, seg in enumerate(wild.peer.tape):
        assert checksum_is_right(seg.frame.packet)
        assert not any(isinstance(option, Malformed) for option in seg.options)
        assert "S" in seg.flags or seg.option(Mss) is None
        if "S" in seg.flags:
            continue
        assert seq_geq(seg.ack, acked) and seq_leq(seg.ack, (wild.start + wild.sent) & MASK32)
        acked = seg.ack
        edge = (seg.ack + (seg.window << scale)) & MASK32
        blocks = list(seg.option(Sack).blocks) if seg.option(Sack) else []
        if blocks and (seq_leq(blocks[0][1], seg.ack) or is_dsack(blocks)):
            left, right = blocks.pop(0)  # what came twice (RFC 2883)
            assert 0 < seq_diff(right, left) <= 1460 and seq_leq(wild.start, left)
        for left, right in blocks:
            assert 0 < seq_diff(left, seg.ack) < seq_diff(right, seg.ack) <= seq_diff(edge, seg.ack)
        for at, octet in enumerate(seg.data):
            assert bytes_sent.setdefault((seg.seq + at) & MASK32, octet) == octet
        limit = [edge for count, edge in wild.limits if count <= index]
        if limit and len(seg.data) > 1:
            assert seq_leq(seg.end, limit[-1])


@pytest.mark.threat("b")
@pytest.mark.threat("c")
@pytest.mark.threat("d")
@pytest.mark.threat("e")
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_acks_windows_bytes_and_options_of_a_wild_exchange_are_sound(seed: int, options: Any) -> None:
    wild = Wild(seed, options, v6=seed % 2 == 1)
    for _ in range(250):
        wild.step()
    assert len(wild.peer.tape) > 40 and wild.sent > 5000
    check(wild)


@pytest.mark.threat("e")
@pytest.mark.parametrize("seed", range(6))
def test_first_sack_block_is_that_of_the_segment_that_came_last(seed: int) -> None:
    chance = random.Random(seed)
    peer = Peer()
    peer.passive(FULL)
    for _ in range(200):
        off = chance.randrange(1, 60_000)
        peer.send(".", peer.seq + off, data=b"x" * chance.randrange(1, 50))
        seg = peer.drain()[-1]
        blocks = list(seg.option(Sack).blocks)
        (left, right), *_ = blocks[1:] if is_dsack(blocks) else blocks
        assert seq_leq(left, (peer.seq + off) & MASK32) and seq_leq((peer.seq + off + 1) & MASK32, right)


@pytest.mark.threat("f")
@pytest.mark.threat("i")
def test_one_rst_for_a_segment_and_none_for_a_rst_an_icmp_error_or_a_group() -> None:
    peer = Peer()
    for flags in ("S", ".", "F.", "P.", "S.", ""):
        peer.send(flags, ack=77, data=b"x" if "P" in flags else b"")
        assert len(peer.drain()) == 1
    for flags in ("R", "R.", "RS", "RF.", "RSF.P"):
        peer.send(flags, ack=77)
        peer.quiet()
    report(peer, 3, 3, 12345)
    peer.quiet()
    peer.here = "10.0.0.255"
    peer.send(".", ack=5)
    peer.here = "224.0.0.1"
    peer.send("S")
    peer.quiet()
    peer.here = HOST
    frame = peer.frame(".", ack=5)
    peer.give(b"\xff" * 6 + frame[6:])
    peer.quiet()


@pytest.mark.threat("h")
@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_left_of_a_wild_exchange(seed: int) -> None:
    wild = Wild(seed, FULL if seed % 2 else PLAIN, v6=False)
    for _ in range(100):
        wild.step()
    peer = wild.peer
    if seed % 4 == 0:
        wild.sock.close()
    elif seed % 4 == 1:
        peer.send("R", wild.sock.tcb.rcv_nxt if wild.sock.tcb is not None else 0)
        wild.sock.close()
    elif seed % 4 == 2:
        wild.sock.abort()
    else:
        wild.sock.close()
        peer.advance(1)
        peer.send("F.", wild.sock.tcb.rcv_nxt if wild.sock.tcb is not None else 0)
    peer.listener.close()
    peer.gone(2000)


@pytest.mark.threat("i")
@pytest.mark.parametrize("state", ["listen", "passive", "connecting", "fin_wait_1", "time_wait"])
def test_stack_that_is_closed_sends_nothing_whatever_it_had_to_say(state: str) -> None:
    peer = Peer()
    made = getattr(peer, state)()
    if state == "passive":
        made.send(bytes(100_000))
    peer.drain()
    peer.stack.close()
    for frame in peer.stack.output(peer.eth0):
        raise AssertionError(f"a closed stack sends {frame.data!r}")
    assert peer.stack.next_deadline() is None
    with pytest.raises(Error):
        peer.give(peer.frame("P.", data=b"hello?"))
    assert peer.stack.output(peer.eth0) == []
