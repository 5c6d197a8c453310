"""RFC 7323: window scale, timestamps, PAWS; what tests of RFC 9293 and of the threats do not hold to already."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.conformance.rfc9293.tape import Tape, life
from tests.unit.tcp.peer import FULL, ISN, PLAIN, Peer, error_of, read
from uinet.errors import WouldBlock
from uinet.units import MASK32
from uinet.wire.tcp_options import Mss, Nop, Timestamps, WindowScale

STAMPED = (Mss(1460), Timestamps(1000, 0), Nop(), Nop())


# windows


@pytest.mark.rfc("7323", "2.2", "the window of a SYN is never scaled, ours nor the peer's")
@pytest.mark.parametrize("active", [False, True])
def test_window_of_a_syn_is_not_scaled(active: bool) -> None:
    peer = Tape(receive_buffer=1 << 22)
    options = (Mss(1460), WindowScale(7), Nop())
    if active:
        sock, _ = peer.connecting()
        peer.send("S.", options=options, window=1000)
        assert sock.info().snd_wnd == 1000
        assert peer.tape[0].window == 65_535
        peer.seq = (peer.seq + 1) & MASK32
    else:
        peer.listen()
        assert peer.syn(options, window=1000).window == 65_535
    peer.send(".", window=1000)
    sock = sock if active else peer.listener.accept()
    assert sock.info().snd_wnd == 1000 << 7


@pytest.mark.rfc("7323", "2.2", "the option is in the SYN,ACK only if it was in the SYN")
@pytest.mark.rfc("7323", "3.2", "timestamps are in the SYN,ACK only if they were in the SYN")
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("stamps", [False, True])
@pytest.mark.parametrize("v6", [False, True])
def test_syn_ack_answers_only_what_was_offered(scale: bool, stamps: bool, v6: bool) -> None:
    peer = Peer(v6=v6)
    peer.listen()
    options = (Mss(1400), *((WindowScale(3),) if scale else ()), *((Timestamps(77, 0),) if stamps else ()))
    seg = peer.syn(options)
    assert (seg.option(WindowScale) is not None) is scale
    assert (seg.option(Timestamps) is not None) is stamps
    if stamps:
        assert seg.option(Timestamps).echo == 77


@pytest.mark.rfc("7323", "2.3", "our shift is the least with which the receive buffer can be told")
@pytest.mark.parametrize(("buffer", "shift"), [(65_535, 0), (65_536, 1), (1 << 20, 5), (1 << 26, 11)])
def test_window_scale_that_is_offered_fits_the_buffer(buffer: int, shift: int) -> None:
    peer = Peer(receive_buffer=buffer)
    _, seg = peer.connecting()
    assert seg.option(WindowScale) == WindowScale(shift)


@pytest.mark.rfc("7323", "2.4", "the right edge is not retracted by the granularity of the scale")
@pytest.mark.parametrize("piece", [1, 31, 33, 1000])
def test_right_edge_does_not_move_left_by_the_scale(piece: int) -> None:
    peer = Peer(receive_buffer=1 << 22)
    sock = peer.passive(FULL)
    for _ in range(200):  # the watch of the trace looks at every edge
        peer.data(bytes(piece))
        peer.advance(0.05)
    assert peer.watch is not None and sock.info().rcv_wscale == 7


@pytest.mark.rfc("7323", "2.4", "a segment beyond a window that was retracted is sent again all the same, once")
def test_first_retransmission_does_not_mind_a_window_that_was_retracted() -> None:
    peer = Peer()
    sock = peer.passive((Mss(1460), WindowScale(7), Nop()), window=100)
    sock.send(bytes(2920))
    peer.flush()
    start = peer.drain()[0].seq
    peer.send(".", window=10)  # 1280 bytes
    peer.advance(1.1)
    again = peer.drain()
    assert again and again[0].seq == start and len(again[0].data) in (1280, 1460)


# timestamps


@pytest.mark.rfc("7323", "3.2", "once agreed on the option is in every segment, RSTs too")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("active", [False, True])
def test_every_segment_of_a_connection_has_timestamps(v6: bool, active: bool) -> None:
    for seg in life(v6=v6, active=active)[:-1]:  # the last one belongs to no connection
        assert seg.option(Timestamps) is not None, seg
    peer = Peer(v6=v6)
    sock = peer.passive(FULL)
    sock.abort()
    peer.flush()
    assert peer.expect("R.").option(Timestamps) is not None


@pytest.mark.rfc("7323", "3.2", "where it was not agreed on the option is ignored, and not sent")
def test_timestamps_without_agreement_are_ignored() -> None:
    peer = Tape()
    sock = peer.passive(PLAIN)
    for value in (1 << 31, 5, 1 << 30, 0):
        peer.data(b"x", options=(Timestamps(value, 99), Nop(), Nop()))
    assert read(sock) == b"xxxx"
    peer.advance(0.1)
    assert all(seg.option(Timestamps) is None for seg in peer.tape)


@pytest.mark.rfc("7323", "3.2", "a segment without the option is dropped, and the connection lives")
@pytest.mark.parametrize("flags", [".", "P.", "F."])
def test_segment_without_timestamps_is_dropped_and_does_not_abort(flags: str) -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    for _ in range(10):
        peer.send(flags, data=b"x" if "P" in flags else b"", options=())
    assert sock.state == "ESTABLISHED" and error_of(sock.recv, 1) is WouldBlock
    peer.data(b"with")
    assert read(sock) == b"with"


@pytest.mark.rfc("7323", "3.2", "without ACK the echo is zero")
def test_echo_of_our_syn_is_zero() -> None:
    peer = Peer()
    _, seg = peer.connecting()
    assert seg.option(Timestamps).echo == 0


@pytest.mark.rfc("7323", "4.3", "a delayed ACK echoes the timestamp of the first segment that it acknowledges")
def test_delayed_ack_echoes_the_earliest_segment() -> None:
    peer = Peer()
    peer.passive(FULL)
    first = peer.timestamps().value
    peer.data(b"one")
    peer.advance(0.02)
    peer.data(b"two")
    assert peer.timestamps().value > first
    peer.advance(0.1)
    assert peer.expect(".", ack=peer.seq).option(Timestamps).echo == first


@pytest.mark.rfc("7323", "4.3", "beyond a hole the last segment in sequence is echoed, then what fills the hole")
def test_ack_of_a_hole_echoes_the_last_in_sequence_and_then_what_fills_it() -> None:
    peer = Peer()
    peer.passive(FULL)
    peer.data(b"in order")
    peer.advance(0.1)
    before = peer.drain()[-1].option(Timestamps).echo
    peer.advance(0.5)
    peer.send(".", peer.seq + 100, data=b"beyond")
    assert peer.expect(".").option(Timestamps).echo == before
    peer.advance(0.5)
    filling = peer.timestamps().value
    peer.send(".", data=bytes(100))
    assert peer.expect(".", ack=peer.seq + 106).option(Timestamps).echo == filling


@pytest.mark.rfc("7323", "4.1", "each ACK of new data gives a round trip, even of what was sent again")
def test_echo_tells_the_round_trip_of_a_retransmission() -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    sock.send(b"x")
    peer.flush()
    peer.advance(0.1)
    peer.take()
    sock.send(b"y")
    peer.flush()
    peer.drain()
    peer.advance(0.35)  # sent again
    again = peer.drain()
    assert again and again[-1].data == b"y"
    peer.advance(0.1)
    assert peer.ts_echo == again[-1].option(Timestamps).value
    peer.ack = again[-1].end
    peer.send(".")
    assert sock.info().rtt < 0.25


@pytest.mark.rfc("7323", "5.3", "R1: an older timestamp is answered with an ACK; R3: an equal or later one is taken")
@pytest.mark.parametrize(
    ("ahead", "taken"),
    [(-1, False), (-1000, False), (-(1 << 31) + 1, False), (0, True), (1, True), ((1 << 31) - 1, True)],
)
def test_paws_takes_what_is_not_older(ahead: int, taken: bool) -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    recent = sock.tcb.ts_recent if sock.tcb is not None else 0
    peer.send("P.", data=b"x", options=(Nop(), Nop(), Timestamps((recent + ahead) & MASK32, peer.ts_echo)))
    assert sock.readable is taken
    if not taken:
        peer.expect(".", ack=peer.seq)
        assert peer.count("tcp_paws") == 1


@pytest.mark.rfc("7323", "5.2", "a RST is not subject to PAWS")
@pytest.mark.parametrize("options", [(), (Nop(), Nop(), Timestamps(1, 0))])
def test_rst_with_an_old_timestamp_or_none_resets(options: Any) -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    peer.send("R", options=options)
    assert sock.state == "CLOSED"


@pytest.mark.rfc("7323", "5.5", "before 24 days of silence are over an old timestamp is still old")
@pytest.mark.parametrize(("days", "taken"), [(1, False), (23, False), (25, True)])
def test_paws_forgets_after_24_days(days: int, taken: bool) -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    old = Timestamps((peer.timestamps().value - 5000) & MASK32, peer.ts_echo)
    peer.advance(days * 86_400)
    peer.send("P.", data=b"x", options=(Nop(), Nop(), old))
    assert sock.readable is taken


@pytest.mark.rfc("7323", "5.4", "the timestamp clock never goes back, between 1 ms and 1 s a tick")
def test_timestamp_clock_goes_on_by_milliseconds() -> None:
    peer = Tape()
    sock = peer.passive(FULL)
    for _ in range(20):
        peer.advance(0.123)
        sock.send(b"x")
        peer.flush()
        peer.take()
    stamps = [(seg.time, seg.option(Timestamps).value) for seg in peer.tape if seg.data]
    for (early, a), (late, b) in itertools.pairwise(stamps):
        assert (b - a) & MASK32 == late // 10**6 - early // 10**6


@pytest.mark.rfc("7323", "A", "the send MSS allows for the option: the packet fits the path")
def test_full_segments_with_timestamps_fit_the_mtu() -> None:
    for v6 in (False, True):
        peer = Peer(v6=v6)
        sock = peer.passive(FULL)
        sock.send(bytes(10_000))
        peer.flush()
        assert {len(seg.frame.packet) for seg in peer.drain()[:-1]} == {1500}


@pytest.mark.rfc("7323", "3.2", "the SYN of a listener's answer echoes the SYN that it answers")
def test_syn_again_is_answered_with_its_own_timestamp() -> None:
    peer = Peer()
    peer.listen()
    peer.syn(STAMPED)
    peer.advance(0.5)
    peer.send("S", ISN, options=(Mss(1460), Timestamps(1500, 0), Nop(), Nop()))
    assert peer.expect("S.").option(Timestamps).echo == 1500
