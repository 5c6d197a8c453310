"""Floods: what strangers, and peers that never play along, can make a stack keep. Numbers are those of the threat list:
1 SYN flood, 3 ACK flood, 7 connections nobody accepts, 8 peers that shut their window, 15 neighbours, 67 and 71 tiny
segments, 75 and 76 fragments.
"""

from __future__ import annotations

import gc
import struct
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest

import uinet
from tests.fuzz.world import SYN_OPTIONS, fix, raw_tcp
from uinet.wire import build
from uinet.wire.addresses import pack_address
from uinet.wire.tcp import TcpHeader

SECOND = 1_000_000_000
OURS = pack_address("10.0.0.2")
MASK32 = 0xFFFFFFFF
START = 0xFFFFFF00  # sequence numbers of peers: they wrap soon


def stranger(number: int) -> bytes:
    return struct.pack(">I", 0x0B000000 + number)


def tcp(source: bytes, sport: int, dport: int, flags: str, seq: int, ack: int = 0, payload: bytes = b"",
        window: int = 65535, options: bytes = b"") -> bytes:
    segment = raw_tcp(source, OURS, sport, dport, seq & MASK32, ack & MASK32, flags, window, options, payload, 0)
    return build.frame(build.ip(source, OURS, 6, segment))


class Victim:
    """A stack with a listener on port 80, everybody behind one gateway whose MAC it knows."""

    def __init__(self, backlog: int = 128) -> None:
        self.stack = uinet.Stack(seed=b"victim")
        self.eth = self.stack.add_interface("eth", mac="02:00:00:00:00:02")
        self.eth.add_address("10.0.0.2/24")
        self.stack.neighbors.add("10.0.0.1", "02:00:00:00:00:01", self.eth)
        self.stack.routes.add("0.0.0.0/0", via="10.0.0.1")
        self.listener = self.stack.listen((uinet.ANY, 80), backlog=backlog)
        self.now = 0

    def feed(self, frames: Iterable[bytes], step: int = 1000) -> list[Any]:
        """One frame after the other, `step` ns apart; what came out, taken apart."""
        out = []
        for frame in frames:
            self.now += step
            self.stack.input(self.eth, [frame], self.now)
            out += self.out()
        return out

    def out(self) -> list[Any]:
        return [build.dissect(frame.data) for frame in self.stack.output(self.eth)]

    def handshake(self, number: int, sport: int = 1000, window: int = 65535, options: bytes = b"") -> tuple[int, int]:
        """A genuine client's; (its SND.NXT, its RCV.NXT)."""
        source = stranger(number)
        answers = self.feed([tcp(source, sport, 80, "S", START, options=options)])
        answer = answers[-1].get(TcpHeader)
        assert answer is not None and answer.flags & 18 == 18
        self.feed([tcp(source, sport, 80, ".", START + 1, answer.seq + 1, window=window)])
        return START + 1, answer.seq + 1

    def pass_time(self, seconds: int) -> None:
        end = self.now + seconds * SECOND
        while self.now < end:
            deadline = self.stack.next_deadline()
            self.now = end if deadline is None else min(end, max(self.now, deadline))
            self.stack.poll(self.now)
            self.stack.output(self.eth)


def growth(victim: Victim, frames: list[bytes]) -> int:
    """Bytes that the stack keeps after the second half of `frames` beyond what it kept after the first."""
    middle = len(frames) // 2
    tracemalloc.start()
    try:
        victim.feed(frames[:middle])
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        victim.feed(frames[middle:])
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.threat(1)
def test_1_syn_flood_is_bounded_and_clients_connect_during_and_after_it() -> None:
    victim = Victim()
    flood = [tcp(stranger(i), 1024 + i, 80, "S", i * 7919, options=SYN_OPTIONS) for i in range(4000)]
    answers = victim.feed(flood)
    assert len(answers) == len(flood)  # one answer each, no larger than what came
    assert victim.stack.tcp.table.count == victim.stack.tcp.syn_count == 128
    victim.handshake(50_000)
    assert victim.listener.accept().getpeername()[1] == 1000
    retransmitted = victim.stack.stats["tcp_retransmit"]
    victim.pass_time(300)
    assert victim.stack.stats["tcp_retransmit"] - retransmitted <= 5 * 128
    assert victim.stack.tcp.syn_count == 0
    victim.handshake(50_001)
    victim.listener.accept()


@pytest.mark.threat(3)
def test_3_ack_flood_keeps_nothing_and_is_answered_at_a_limited_rate() -> None:
    victim = Victim()
    flood = [tcp(stranger(i), 1024 + i, 80 if i & 1 else 9, ".P"[: 1 + i % 2], i * 31, i * 77) for i in range(3000)]
    answers = victim.feed(flood)
    assert len(answers) <= 1010
    assert victim.stack.tcp.table.count == 0


@pytest.mark.threat(3)
def test_3_ack_flood_while_cookies_are_believed_makes_no_connection() -> None:
    victim = Victim(backlog=2)
    victim.feed(tcp(stranger(i), 1024, 80, "S", i) for i in range(5))
    assert victim.stack.stats["tcp_syncookie_sent"] == 3
    victim.feed(tcp(stranger(100 + i), 1024 + i, 80, ".", i * 31, i * 0x01000193) for i in range(2000))
    assert victim.stack.stats["tcp_syncookie_bad"] == 2000
    assert victim.stack.tcp.connections == 0


@pytest.mark.threat(7)
def test_7_connections_that_nobody_accepts_stop_at_the_backlog() -> None:
    victim = Victim(backlog=16)
    for number in range(16):
        victim.handshake(number)
    for number in range(16, 1000):
        assert victim.feed([tcp(stranger(number), 1000, 80, "S", START)]) == []
    assert victim.stack.tcp.connections == 16 and victim.stack.tcp.table.count == 16
    assert victim.stack.stats["tcp_listen_overflow"] == 984
    victim.listener.accept()
    victim.handshake(5000)


@pytest.mark.threat(8)
@pytest.mark.parametrize("window", [0, 4])
def test_8_a_closed_connection_whose_peer_shuts_its_window_dies(window: int) -> None:
    victim = Victim()
    peers = [(stranger(number), *victim.handshake(number, window=window)) for number in range(20)]
    for _ in peers:
        sock = victim.listener.accept()
        sock.send(bytes(100_000))
        sock.close()
    for _ in range(60):  # the peers stay alive: they acknowledge what they have, and take nothing more
        victim.pass_time(10)
        victim.feed(tcp(source, 1000, 80, ".", seq, ack, window=0) for source, seq, ack in peers)
    assert victim.stack.tcp.connections == 0
    assert victim.stack.tcp.table.count == 0


@pytest.mark.threat(67)
@pytest.mark.threat(71)
def test_67_and_71_tiny_segments_cost_about_what_they_carry() -> None:
    victim = Victim()
    seq, ack = victim.handshake(1, options=SYN_OPTIONS)
    sock = victim.listener.accept()
    flood = [tcp(stranger(1), 1000, 80, ".", seq + 1 + 2 * i, ack, b"x", options=STAMPS) for i in range(2000)]
    assert growth(victim, flood) < 20_000
    assert victim.stack.stats["tcp_ooo_full"] > 1500
    assert sock.info().out_of_order <= victim.stack.tcp.settings.out_of_order_islands


@pytest.mark.threat(67)
def test_67_islands_larger_than_their_first_block_cost_no_multiple_of_it() -> None:
    victim = Victim()
    seq, ack = victim.handshake(1, options=SYN_OPTIONS)
    sock = victim.listener.accept()
    tracemalloc.start()
    try:
        for number in range(200):
            start = seq + 1 + 1000 * number
            frames = [tcp(stranger(1), 1000, 80, ".", start + at, ack, bytes(size), options=STAMPS)
                      for at, size in ((0, 512), (512, 1))]
            victim.feed(frames)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    held = sock.info().out_of_order
    assert held > 30_000
    assert kept < 8 * held


STAMPS = b"\x01\x01\x08\x0a\x00\x00\x10\x00\x00\x00\x00\x00"


def fragment(source: bytes, identification: int, offset: int, more: bool, size: int = 8) -> bytes:
    packet = bytearray(build.ip(source, OURS, 17, bytes(size), identification=identification & 0xFFFF, flags=0))
    packet[6:8] = struct.pack(">H", (0x2000 if more else 0) | offset)
    return build.frame(fix(bytes(packet), 0))


@pytest.mark.threat(75)
@pytest.mark.parametrize("flood", [
    pytest.param([fragment(stranger(i), i, i * 13 % 8000, True) for i in range(9000)], id="75-many-sources"),
    pytest.param([fragment(stranger(1), 1, i * 2 % 8000, True) for i in range(3000)], id="75-one-datagram"),
    pytest.param([fragment(stranger(1), i // 20, i * 2 % 8000, True) for i in range(4000)], id="75-one-source"),
    pytest.param([fragment(stranger(i // 2), i, 0 if i & 1 else 8000, bool(i & 1)) for i in range(9000)], id="76"),
])
def test_fragments_are_bounded_and_forgotten(flood: list[bytes]) -> None:
    victim = Victim()
    assert growth(victim, flood) < 4_000_000
    victim.pass_time(120)
    echo = build.icmp_echo("10.0.0.1", "10.0.0.2", payload=bytes(2000), layer=3)
    whole = build.ip("10.0.0.1", "10.0.0.2", 1, echo[20:])
    answers = victim.feed(build.frame(piece) for piece in build.fragments(whole, 1024, 77))
    assert answers  # and an honest datagram is put together


@pytest.mark.threat(15)
def test_15_strangers_on_the_link_do_not_fill_the_neighbour_table() -> None:
    stack = uinet.Stack(seed=b"x")
    eth = stack.add_interface("eth")
    eth.add_address("10.0.0.2/8")
    eth.add_address("fd00::2/64")
    victim = Victim()
    victim.stack, victim.eth = stack, eth
    l2 = uinet.L2Info.make("02:00:00:00:00:01", eth.mac, ())
    flood = [build.icmp_echo(f"10.1.{i >> 8}.{i & 255}", "10.0.0.2", l2=l2) for i in range(1, 3000)]
    flood += [build.icmp_echo(f"fd00::1:{i:x}", "fd00::2", l2=l2) for i in range(1, 3000)]
    flood += [build.arp_reply(f"10.2.{i >> 8}.{i & 255}", "10.0.0.2", l2=l2) for i in range(1, 1000)]
    victim.feed(flood)
    assert stack.stats["neighbor_evicted"] > 3000
    assert len(stack.neighbors.table) <= 2048
