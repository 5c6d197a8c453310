"""Threats 1 to 21: handshakes, floods, resources."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from tests.conformance.rfc9293.tape import Tape
from tests.unit.tcp.peer import FULL, ISN, PLAIN, Peer, error_of, read
from uinet.errors import WouldBlock
from uinet.stack import Stack
from uinet.tcp.table import Entry
from uinet.units import MASK32
from uinet.wire import build
from uinet.wire.tcp_options import Mss, Timestamps

ALL_FLAGS = ["".join(letters) for count in range(7) for letters in itertools.combinations("FSRP.U", count)]
STATES = ["passive", "active", "close_wait", "fin_wait_1", "fin_wait_2", "closing", "last_ack", "time_wait"]


@pytest.mark.threat(4)
@pytest.mark.parametrize("flags", ALL_FLAGS)
def test_any_flags_to_a_closed_port_are_answered_with_a_rst_at_most(flags: str) -> None:
    for v6 in (False, True):
        peer = Peer(v6=v6)
        peer.watch = None
        peer.send(flags, ISN, 5000, b"data")
        if "R" in flags:
            peer.quiet()
        else:
            seg = peer.expect("R" if "." in flags else "R.")
            assert (seg.seq == 5000) is ("." in flags)
        assert list(peer.stack.tcp.table) == []


@pytest.mark.threat(4)
@pytest.mark.parametrize("flags", ALL_FLAGS)
def test_any_flags_to_a_listener_make_no_more_than_a_half_open_connection(flags: str) -> None:
    peer = Peer()
    peer.listen()
    peer.watch = None
    peer.send(flags, ISN, 5000, b"data")
    opens = "S" in flags and not set("RF.") & set(flags)
    if opens:
        peer.expect("S.", ack=ISN + 1)
    elif "R" not in flags and "." in flags:
        peer.expect("R", seq=5000)
    else:
        peer.quiet()
    assert peer.stack.tcp.syn_count == opens and peer.tcbs() == 0
    assert not peer.listener.readable


@pytest.mark.threat(4)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("flags", ALL_FLAGS)
def test_any_flags_in_any_state_end_it_by_an_exact_rst_or_fin_alone(state: str, flags: str) -> None:
    for off in (-70_000, -1, 1, 100, 1 << 20):
        peer = Peer()
        sock = getattr(peer, state)()
        if state == "time_wait":
            peer.listener.close()
        before = sock.state
        peer.watch = None
        if off == -1 and "F" in flags:
            continue  # the FIN itself is in place
        peer.send(flags, peer.seq + off, peer.ack, b"x" if state == "passive" and off != -1 else b"")
        answers = peer.drain()
        assert sock.state == before, "no segment out of place changes the state"
        assert len(answers) <= 1 and all(seg.flags == "." and not seg.data for seg in answers)
        if "R" in flags and off != 1 and off != 100:
            assert not answers
        assert not sock.readable or state in ("close_wait", "closing", "last_ack", "time_wait")


@pytest.mark.threat(5)
@pytest.mark.threat("g")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("options", [(), FULL])
def test_forged_syn_is_answered_by_six_small_segments_at_most(v6: bool, options: Any) -> None:
    peer = Tape(v6=v6)
    peer.listen()
    sent = peer.frame("S", options=options)
    peer.give(sent)
    peer.advance(600)
    assert len(peer.tape) == 6 and all(not seg.data for seg in peer.tape)
    assert all(len(seg.frame.packet) <= len(sent) + 8 for seg in peer.tape)
    peer.gone(0)


@pytest.mark.threat(5)
@pytest.mark.threat("g")
@pytest.mark.parametrize("flags", ["P.", ".", "P", "FP.", "U."])
@pytest.mark.parametrize("listening", [False, True])
def test_data_without_a_connection_is_answered_by_less_than_it_was(flags: str, listening: bool) -> None:
    peer = Tape()
    if listening:
        peer.listen()
    for size in (0, 1, 500, 1460):
        before = len(peer.tape)
        frame = peer.frame(flags, 77, 88, b"GET / HTTP/1.0\r\n"[:size].ljust(size, b"x"))
        peer.give(frame)
        assert sum(len(seg.frame.packet) for seg in peer.tape[before:]) <= len(frame) - 14


@pytest.mark.threat(6)
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("port", [80, 81])
def test_land_leaves_nothing_and_is_not_answered(v6: bool, port: int) -> None:
    peer = Peer(v6=v6)
    peer.listen()
    peer.there, peer.peer_port = peer.here, port
    for flags in ("S", "S.", "."):
        peer.send(flags, options=PLAIN)
    peer.advance(10)
    peer.quiet()
    assert not peer.other and list(peer.stack.tcp.table) == []


@pytest.mark.threat(6)
@pytest.mark.threat(85)
def test_loopback_connection_of_a_port_to_itself_does_not_loop() -> None:
    stack = Stack(b"self", 10**9)
    eth0 = stack.add_interface("eth0", mac="02:00:00:00:00:02")
    eth0.add_address("10.0.0.2/24")
    listener = stack.listen(("10.0.0.2", 80))
    sock = stack.connect(("10.0.0.2", 80), source=("10.0.0.2", 80))
    for _ in range(400):
        deadline = stack.next_deadline()
        if deadline is None:
            break
        stack.poll(deadline)
    assert stack.tcp.segments_out < 400
    assert sock.state in ("ESTABLISHED", "CLOSED")
    assert error_of(listener.accept) is WouldBlock
    stack.close()


def starving(kind: str) -> Peer:
    """A peer with a request that was answered, and that lets nothing of the answer drain; the socket is closed."""
    peer = Peer()
    sock = peer.passive(PLAIN, window={"zero": 0, "tiny": 4, "silent": 65535, "fin": 65535}[kind])
    peer.data(b"GET /")
    assert read(sock) == b"GET /"
    if kind != "fin":
        sock.send(bytes(100_000))
    sock.close()
    peer.listener.close()
    return peer


@pytest.mark.threat(8)
@pytest.mark.threat(9)
@pytest.mark.parametrize("kind", ["zero", "tiny", "silent", "fin"])
@pytest.mark.parametrize("answers", [False, True])
def test_peer_that_starves_a_closed_connection_loses_it(kind: str, answers: bool) -> None:
    peer = starving(kind)
    window = peer.window
    for _ in range(100):
        peer.advance(10)
        for seg in peer.drain():
            if answers and "R" not in seg.flags and kind in ("zero", "tiny"):
                peer.window = window
                peer.send(".")
    assert peer.tcbs() == 0
    peer.gone(0)


@pytest.mark.threat(8)
def test_unsent_data_of_a_starved_connection_is_bounded() -> None:
    peer = Peer(send_buffer=10_000)
    sock = peer.passive(PLAIN, window=0)
    sent = 0
    for _ in range(100):
        if error_of(sock.send, bytes(1000)) is None:
            sent += 1000
    assert sent == 10_000


@pytest.mark.threat(9)
@pytest.mark.parametrize("state", ["LAST-ACK", "FIN-WAIT-1"])
def test_closed_window_with_data_before_fin_has_its_end(state: str) -> None:
    peer = Peer()
    sock = peer.passive(PLAIN, window=0)
    if state == "LAST-ACK":
        peer.data(b"", "F.")
        peer.drain()
    sock.send(b"never read")
    sock.close()
    peer.listener.close()
    peer.flush()
    assert sock.state == state
    for _ in range(30):
        peer.advance(10)
        if peer.drain():
            peer.send(".")
    assert sock.state == "CLOSED"
    peer.gone(0)


@pytest.mark.threat(10)
@pytest.mark.parametrize("talks", [False, True])
def test_fin_wait_2_of_a_closed_socket_ends_after_a_minute_whatever_comes(talks: bool) -> None:
    peer = Peer()
    sock = peer.fin_wait_2()
    sock.close()
    peer.listener.close()
    for _ in range(61):
        peer.advance(1)
        if talks:
            peer.send(".")
    assert peer.tcbs() == 0
    peer.drain()
    peer.send("P.", data=b"late")
    peer.expect("R")
    peer.gone(0)


@pytest.mark.threat(13)
def test_connecting_to_one_peer_28000_times_does_not_spin() -> None:
    stack = Stack(b"many", 10**9)
    eth0 = stack.add_interface("eth0", mac="02:00:00:00:00:02")
    eth0.add_address("10.0.0.2/24")
    stack.neighbors.add("10.0.0.1", "02:00:00:00:00:01")
    settings = stack.tcp.settings
    settings.port_low, settings.port_high = 50_000, 52_047
    ports = [stack.connect(("10.0.0.1", 80)).getsockname()[1] for _ in range(2048)]
    assert sorted(ports) == list(range(50_000, 52_048))
    assert error_of(stack.connect, ("10.0.0.1", 80)) is not None
    assert stack.stats["tcp_port_exhausted"] == 1


@pytest.mark.threat(14)
def test_keys_that_collide_in_an_unkeyed_hash_do_not_share_a_bucket() -> None:
    """A thousand tuples of one value under Python's hash of integers, and a thousand that differ in one word."""
    by_hash: dict[int, list[tuple[int, int]]] = {}
    chance = random.Random(5)
    for _ in range(200_000):
        pair = chance.getrandbits(32), chance.getrandbits(16)
        by_hash.setdefault(hash(pair) & 0x3FF, []).append(pair)
    colliding = max(by_hash.values(), key=len)[:190]
    for pairs in (colliding, [(0x0A000000 + index, 80) for index in range(1000)]):
        stack = Stack(b"table", 0)
        table = stack.tcp.table
        for address, port in pairs:
            entry = Entry()
            table.set_key(entry, 0, b"", 0, 0xFFFF0A000002, 80, 0, 0xFFFF00000000 | address, port)
            table.insert(entry)
        longest = 0
        for head in table.heads:
            length, entry = 0, head
            while entry is not None:
                length, entry = length + 1, entry.hash_next
            longest = max(longest, length)
        assert longest <= 8


@pytest.mark.threat(16)
@pytest.mark.parametrize("size", [1, 1000, 1400])
def test_data_of_a_syn_is_not_acknowledged_and_comes_with_the_connection(size: int) -> None:
    peer = Peer()
    peer.listen()
    peer.send("S", ISN, data=bytes(size), options=PLAIN)
    seg = peer.expect("S.", ack=ISN + 1)
    peer.seq, peer.ack = (ISN + 1) & MASK32, seg.end
    assert not peer.listener.readable and peer.stack.tcp.received_bytes == 0
    peer.data(bytes(size))
    assert len(read(peer.listener.accept())) == size


@pytest.mark.threat(18)
@pytest.mark.parametrize(
    ("flags", "data", "state"),
    [
        (".", b"", "ESTABLISHED"), ("P.", b"hello", "ESTABLISHED"), ("F.", b"", "CLOSE-WAIT"),
        ("FP.", b"bye", "CLOSE-WAIT"),
    ],
)
def test_last_ack_of_the_handshake_with_data_and_fin(flags: str, data: bytes, state: str) -> None:
    peer = Peer()
    peer.listen()
    peer.syn()
    peer.data(data, flags)
    sock = peer.listener.accept()
    assert sock.state == state and read(sock) == data


@pytest.mark.threat(19)
@pytest.mark.parametrize("off", [-1000, -1, 1, 77, 1 << 31])
def test_half_open_another_syn_does_not_mix_the_numbers(off: int) -> None:
    peer = Peer()
    peer.listen()
    peer.syn()
    peer.advance(0.6)
    peer.watch = None
    peer.send("S", ISN + off, options=PLAIN)
    assert all(seg.flags == "." and seg.ack == peer.seq for seg in peer.drain())
    peer.send(".", ISN + off + 1)  # acceptable if it lies in the first SYN's window
    peer.drain()
    peer.send(".")
    sock = peer.listener.accept()
    assert error_of(peer.listener.accept) is WouldBlock
    assert sock.state == "ESTABLISHED" and sock.tcb is not None and sock.tcb.irs == ISN


@pytest.mark.threat(20)
def test_split_handshake_ends_in_a_simultaneous_open() -> None:
    peer = Peer()
    sock, seg = peer.connecting()
    peer.send(".", 99, peer.ack + 7)  # "I have acknowledged something"
    peer.expect("R", seq=peer.ack + 7)
    peer.send(".")
    peer.quiet()
    assert sock.state == "SYN-SENT"
    peer.send("S", options=PLAIN)
    peer.expect("S.", seq=seg.seq, ack=peer.seq + 1)
    peer.seq = (peer.seq + 1) & MASK32
    peer.send(".")
    assert sock.state == "ESTABLISHED" and sock.getpeername()[1] == peer.peer_port
    sock.send(b"I called")
    peer.flush()
    assert peer.take() == b"I called"


@pytest.mark.threat(20)
@pytest.mark.parametrize("off", [-1, 1, 100, 1 << 31])
def test_syn_sent_syn_ack_of_another_number_is_reset(off: int) -> None:
    peer = Peer()
    sock, _ = peer.connecting()
    peer.send("S.", ack=peer.ack + off, options=PLAIN)
    peer.expect("R", seq=peer.ack + off)
    assert sock.state == "SYN-SENT"


@pytest.mark.threat(21)
@pytest.mark.parametrize("v6", [False, True])
def test_fins_that_cross_end_both_in_time_wait(v6: bool) -> None:
    peer = Peer(v6=v6)
    sock = peer.passive()
    sock.close()
    peer.flush()
    fin = peer.expect("F.", seq=peer.ack)
    peer.data(b"", "F.")
    peer.expect(".", ack=peer.seq, seq=fin.seq + 1)
    peer.ack = fin.end
    peer.send(".")
    peer.quiet()
    assert len(peer.stack.tcp.time_wait) == 1
    peer.listener.close()
    peer.gone(61)


@pytest.mark.threat(21)
def test_syns_that_cross_open_one_connection_with_all_options() -> None:
    peer = Peer()
    sock, _ = peer.connecting()
    peer.send("S", options=FULL)
    peer.expect("S.")
    echo = tuple(Timestamps(o.value, peer.ts_echo) if isinstance(o, Timestamps) else o for o in FULL)
    peer.ts = True
    peer.send("S.", options=echo)
    peer.seq = (peer.seq + 1) & MASK32
    info = sock.info()
    assert sock.state == "ESTABLISHED" and info.timestamps and info.sack and info.snd_wscale == 7


@pytest.mark.threat(2)
def test_cookies_of_ten_minutes_ago_and_of_others_are_refused() -> None:
    peer = Peer(syn_cache_limit=0)
    peer.listen()
    peer.watch = None
    answers = []
    for port in range(1000, 1010):
        peer.peer_port = port
        peer.send("S", ISN, options=(Mss(1400),))
        answers.append(peer.expect("S."))
    assert peer.count("tcp_syncookie_sent") == 10
    for index, seg in enumerate(answers):
        peer.peer_port = 1000 + (index + 1) % 10
        peer.send(".", ISN + 1, seg.seq + 1)
        peer.expect("R")
    peer.advance(100)
    peer.send("S", 5, options=(Mss(1400),))  # cookies are still being sent
    peer.drain()
    peer.advance(100)
    for index, seg in enumerate(answers):
        peer.peer_port = 1000 + index
        peer.send(".", ISN + 1, seg.seq + 1)
        peer.expect("R")
    assert peer.tcbs() == 0 and not peer.listener.readable


@pytest.mark.threat(3)
def test_ack_flood_from_everywhere_gets_a_limited_number_of_resets() -> None:
    peer = Peer(rst_rate=50)
    peer.stack.routes.add("0.0.0.0/0", via=peer.there)
    peer.listen()
    entries = len(list(peer.stack.neighbors))
    frames = []
    for index in range(3000):
        source = f"198.18.{index >> 8}.{index & 255}"
        frames.append(build.tcp(source, peer.here, 1000 + index, 80 + index % 2, "P.", index, index, payload=b"x"))
    peer.give(*frames)
    assert len(peer.drain()) <= 51
    assert peer.count("tcp_rst_rate_limited") >= 2949
    assert list(peer.stack.tcp.table) == [] and len(list(peer.stack.neighbors)) == entries
