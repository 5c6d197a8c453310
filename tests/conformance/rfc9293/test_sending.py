"""RFC 9293 3.7.4, 3.8.1 to 3.8.3 and 3.9.1.2: what is sent when, again and for how long."""

from __future__ import annotations

import itertools

import pytest

from tests.conformance.rfc9293.tape import Tape
from tests.unit.tcp.peer import PLAIN, Peer, error_of
from uinet.errors import HostUnreachable, TimedOut, WouldBlock
from uinet.events import EV_SOFT_ERROR
from uinet.ip.neighbors import DELAY, REACHABLE
from uinet.units import MASK32, SECOND
from uinet.wire.tcp_options import Nop, WindowScale

TCP_NODELAY, TCP_CORK, USER_TIMEOUT, IP_RECVERR = 1, 3, 18, 11
WIDE = (WindowScale(7), Nop())


@pytest.mark.rfc("9293", "SHLD-7", "small pieces are gathered until all before them is acknowledged")
@pytest.mark.parametrize("v6", [False, True])
def test_small_writes_behind_full_segments_wait(v6: bool) -> None:
    peer = Peer(v6=v6)
    sock = peer.passive(PLAIN)
    mss = sock.info().snd_mss
    sock.send(bytes(mss + 10))
    peer.flush()
    assert [len(seg.data) for seg in peer.drain()] == [mss, 10]
    for _ in range(20):
        sock.send(b"x" * 7)
        peer.flush()
    peer.quiet()
    peer.ack = (peer.ack + mss + 10) & MASK32
    peer.send(".")
    peer.expect("P.", data=b"x" * 140)


@pytest.mark.rfc("9293", "MUST-60", "data is not kept for ever because no PUSH came")
@pytest.mark.parametrize("no_delay", [False, True])
@pytest.mark.parametrize("size", [1, 100, 1459, 1460, 1461, 5000])
def test_a_write_leaves_with_all_its_bytes(no_delay: bool, size: int) -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    sock.setsockopt(6, TCP_NODELAY, no_delay)
    for _ in range(3):
        sock.send(bytes(size))
        peer.flush()
        got = 0
        for _ in range(4):
            got += len(peer.take())
        assert got == size


@pytest.mark.rfc("9293", "SHLD-27", "PSH bits are collapsed when data is packed anew")
@pytest.mark.rfc("9293", "MUST-61", "the last segment of what was written has PSH")
@pytest.mark.rfc("9293", "SHLD-28", "segments are as large as they can be")
def test_small_writes_that_waited_leave_as_full_segments_with_one_psh() -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    sock.send(b"first")
    peer.flush()
    peer.expect("P.", data=b"first")
    for _ in range(10):
        sock.send(bytes(400))
        peer.flush()
    peer.ack = (peer.ack + 5) & MASK32
    peer.send(".")
    sent = peer.drain()
    while sum(len(seg.data) for seg in sent) < 4000:
        peer.ack = sent[-1].end
        peer.send(".")
        sent += peer.drain()
    assert [len(seg.data) for seg in sent] == [1460, 1460, 1080]
    assert [seg.flags for seg in sent] == [".", ".", "P."]


@pytest.mark.rfc("9293", "MAY-16", "data without PUSH may be gathered")
def test_corked_writes_are_gathered_into_full_segments() -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    sock.setsockopt(6, TCP_CORK, True)
    for _ in range(8):
        sock.send(bytes(200))
        peer.flush()
    (seg,) = peer.drain()
    assert len(seg.data) == 1460 and seg.flags == "."
    sock.setsockopt(6, TCP_CORK, False)
    peer.flush()
    assert sum(len(seg.data) for seg in peer.drain()) in (0, 140)  # now, or when the first is acknowledged
    peer.ack = seg.end
    peer.send(".")
    assert peer.tcbs() == 1 and sock.info().unsent == 0


# the retransmission timeout


@pytest.mark.rfc("9293", "MUST-18", "the timeout follows RFC 6298")
@pytest.mark.rfc("6298", "2.1", "until there is a round trip RTO is 1 second")
@pytest.mark.rfc("6298", "2.2", "the first round trip R: SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 RTTVAR")
@pytest.mark.rfc("6298", "2.3", "later ones: RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R'|, then SRTT = 7/8 SRTT + 1/8 R'")
@pytest.mark.parametrize("trips", [(0.5, 0.5, 0.5), (1.0, 0.2, 3.0, 0.4), (0.3, 0.8, 1.2, 1.2, 0.1)])
def test_rto_is_srtt_and_four_variations(trips: tuple[float, ...]) -> None:
    peer = Peer()
    sock, _ = peer.connecting()
    assert sock.info().rto == 1.0
    srtt = rttvar = 0.0
    for index, trip in enumerate(trips):
        if index:
            sock.send(b"x")
            peer.flush()
        peer.advance(trip)
        again = len(peer.drain())
        if index == 0:
            peer.send("S.", options=PLAIN)
            peer.seq = (peer.seq + 1) & MASK32
        else:
            peer.ack = (peer.ack + 1) & MASK32
            peer.send(".")
        peer.drain()
        if again > (1 if index else 0):
            pytest.fail("it was sent again, and is no sample")
        rttvar = trip / 2 if index == 0 else 0.75 * rttvar + 0.25 * abs(srtt - trip)
        srtt = trip if index == 0 else 0.875 * srtt + 0.125 * trip
        info = sock.info()
        assert info.rtt == pytest.approx(srtt, rel=0.01)
        assert info.rttvar == pytest.approx(rttvar, rel=0.01)
        assert info.rto == pytest.approx(max(0.2, srtt + 4 * rttvar), rel=0.01)


@pytest.mark.rfc("9293", "MUST-18", "no sample from what was sent again (Karn)")
@pytest.mark.rfc("6298", "3", "no sample from what was sent again (Karn)")
@pytest.mark.rfc("6298", "5.5", "the timeout doubles each time")
def test_rto_takes_no_sample_from_a_retransmission_and_stays_backed_off() -> None:
    peer = Peer()
    sock = peer.active(PLAIN)
    sock.send(b"x")
    peer.flush()
    before = sock.info()
    peer.advance(before.rto * 3.5)
    peer.drain()
    peer.ack = (peer.ack + 1) & MASK32
    peer.send(".")
    after = sock.info()
    assert (after.rtt, after.rttvar) == (before.rtt, before.rttvar)
    assert after.rto >= 2 * before.rto
    sock.send(b"y")
    peer.flush()
    peer.advance(0.1)
    peer.ack = (peer.ack + 1) & MASK32
    peer.send(".")
    assert sock.info().rtt == pytest.approx(before.rtt * 7 / 8 + 0.1 / 8, rel=0.01)


@pytest.mark.rfc(
    "6298", "2.4", "RTO is at least 1 second", deviation="at least SRTT + 200 ms, as elsewhere: loss is repaired sooner"
)
def test_rto_is_at_least_200_ms_above_the_round_trip() -> None:
    peer = Peer()
    sock = peer.active(PLAIN)
    for _ in range(50):
        sock.send(b"x")
        peer.flush()
        peer.advance(0.001)
        peer.take()
    assert sock.info().rto == pytest.approx(0.2, abs=0.002)


@pytest.mark.rfc("9293", "MUST-19", "exponential backoff")
@pytest.mark.rfc("6298", "2.5", "the largest RTO is at least 60 seconds")
@pytest.mark.rfc("6298", "5.5", "the timeout doubles each time")
@pytest.mark.parametrize("v6", [False, True])
def test_rto_doubles_up_to_60_seconds(v6: bool) -> None:
    peer = Tape(v6=v6)
    sock = peer.passive(PLAIN)
    sock.send(b"x")
    peer.flush()
    peer.advance(700)
    times = [seg.time for seg in peer.tape if seg.data]
    gaps = [(b - a) / SECOND for a, b in itertools.pairwise(times)]
    assert gaps[:8] == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], abs=0.01)


@pytest.mark.rfc("9293", "MUST-19", "slow start: the window doubles in a round trip")
@pytest.mark.rfc("5681", "3.1", "slow start: at most a segment for each acknowledged one")
def test_slow_start_doubles_the_flight_each_round_trip() -> None:
    peer = Peer(send_buffer=1 << 22)
    sock = peer.passive((*PLAIN, *WIDE))
    flights = []
    for _ in range(6):
        while error_of(sock.send, bytes(1 << 20)) is not WouldBlock:
            pass
        peer.flush()
        segments = peer.drain()
        flights.append(len(segments))
        peer.advance(0.1)
        for seg in segments:
            peer.ack = seg.end
            peer.send(".")
    assert flights[0] == 10
    for before, after in itertools.pairwise(flights):
        assert before * 1.2 < after <= 2 * before


@pytest.mark.rfc("9293", "MUST-19", "congestion avoidance: after a loss the window is smaller and grows slowly")
@pytest.mark.rfc("5681", "3.1", "congestion avoidance: about a segment in a round trip")
@pytest.mark.rfc("5681", "3.2", "fast retransmit at the third duplicate ACK")
def test_loss_makes_the_window_smaller_and_its_growth_slow() -> None:
    peer = Peer(send_buffer=1 << 22)
    sock = peer.passive((*PLAIN, *WIDE))
    for _ in range(4):
        while error_of(sock.send, bytes(1 << 20)) is not WouldBlock:
            pass
        peer.flush()
        peer.take(acknowledge=False)
        peer.advance(0.1)
        peer.send(".")
    segments = peer.drain()
    flight = len(segments)
    assert flight > 40
    lost = segments[0]
    for index in range(3):
        peer.quiet() if index == 0 else peer.drain()
        peer.send(".")
    assert peer.drain()[0].seq == lost.seq
    peer.advance(0.1)
    peer.ack = max((seg.end for seg in [*segments, *peer.drain()]), key=lambda end: (end - lost.seq) & MASK32)
    peer.send(".")
    windows = []
    for _ in range(6):
        while error_of(sock.send, bytes(1 << 20)) is not WouldBlock:
            pass
        peer.flush()
        segments = peer.drain()
        windows.append(sock.info().snd_cwnd // 1460)
        peer.advance(0.1)
        for seg in segments:
            peer.ack = seg.end
            peer.send(".")
    assert windows[0] <= 0.75 * flight
    growth = [b - a for a, b in itertools.pairwise(windows[1:])]
    assert all(0 <= step <= 3 for step in growth) and sum(growth) >= 1


@pytest.mark.rfc("9293", "MAY-4", "a retransmission has the same IP identification")
def test_retransmission_is_the_same_packet_but_for_the_time() -> None:
    peer = Tape()
    sock = peer.passive(PLAIN)
    sock.send(b"again and again")
    peer.flush()
    peer.advance(20)
    packets = {bytes(seg.frame.packet) for seg in peer.tape if seg.data}
    assert len(packets) == 1 and len([seg for seg in peer.tape if seg.data]) >= 4
    assert next(iter(packets))[4:6] == b"\0\0"


# R1 and R2


@pytest.mark.rfc("9293", "MUST-20", "excessive retransmission ends the connection")
@pytest.mark.rfc("9293", "SHLD-10", "R1 is at least 3 retransmissions")
@pytest.mark.rfc("9293", "SHLD-11", "R2 is at least 100 s")
@pytest.mark.parametrize("v6", [False, True])
def test_data_that_is_never_acknowledged_ends_the_connection_after_r2(v6: bool) -> None:
    peer = Tape(v6=v6)
    sock = peer.passive(PLAIN)
    start = peer.now
    sock.send(b"hello?")
    peer.flush()
    while sock.state != "CLOSED":
        peer.advance(1)
    assert (peer.now - start) / SECOND > 100
    assert sum(bool(seg.data) for seg in peer.tape) > 1 + 3
    assert isinstance(sock.error, TimedOut)
    with pytest.raises(TimeoutError):
        sock.recv(1)


@pytest.mark.rfc("9293", "MUST-21", "the user can set R2, and change it")
@pytest.mark.parametrize("seconds", [0.5, 20, 3000])
def test_user_timeout_is_r2(seconds: float) -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    sock.setsockopt(6, USER_TIMEOUT, 7)
    sock.setsockopt(6, USER_TIMEOUT, round(seconds * 1000))
    sock.send(b"hello?")
    peer.flush()
    peer.advance(seconds - 0.01)
    assert sock.state == "ESTABLISHED"
    peer.advance(0.02)
    assert sock.state == "CLOSED" and isinstance(sock.error, TimedOut)


@pytest.mark.rfc("9293", "MUST-22", "R1 and R2 count for a SYN too")
@pytest.mark.rfc("9293", "MUST-23", "R2 of a SYN is at least 3 minutes")
@pytest.mark.parametrize("v6", [False, True])
def test_syn_that_is_never_answered_fails_after_three_minutes(v6: bool) -> None:
    peer = Tape(v6=v6)
    sock, seg = peer.connecting()
    while sock.state != "CLOSED":
        peer.advance(1)
    assert 180 <= (peer.now - seg.time) / SECOND < 240
    gaps = [(b.time - a.time) / SECOND for a, b in itertools.pairwise(peer.tape)]
    assert gaps == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], abs=0.01)
    assert isinstance(sock.error, TimedOut)


@pytest.mark.rfc("9293", "MUST-21", "the user can set R2 of a connection that opens")
def test_user_timeout_counts_for_a_syn() -> None:
    peer = Peer()
    sock, _ = peer.connecting(before=lambda sock: sock.setsockopt(6, USER_TIMEOUT, 12_000))
    peer.advance(11.9)
    assert sock.state == "SYN-SENT"
    peer.advance(0.2)
    assert sock.state == "CLOSED" and isinstance(sock.error, TimedOut)


@pytest.mark.rfc("9293", "SHLD-9", "the user is told between R1 and R2")
@pytest.mark.rfc("9293", "MUST-20", "the network layer is told at R1")
def test_retransmissions_without_answer_are_told_before_the_connection_ends() -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    sock.setsockopt(0, IP_RECVERR, True)
    peer.stack.events()
    doubted = []
    hop = peer.stack.neighbors.get(peer.eth0, bytes([10, 0, 0, 1]))
    assert hop is not None
    hop.state, hop.reachable_until = REACHABLE, peer.now + 3600 * SECOND  # as if the peer had answered ARP
    sock.send(b"hello?")
    peer.flush()
    while sock.state != "CLOSED":
        before = sum("R" not in seg.flags for seg in peer.out)
        peer.advance(0.5)
        told = [events for _, events in peer.stack.events() if events & EV_SOFT_ERROR]
        if told:
            doubted.append((before, sock.state, str(sock.soft_error), hop.state))
    assert doubted[0] == (4, "ESTABLISHED", "3 retransmissions were not answered", DELAY)
    assert isinstance(sock.error, HostUnreachable)  # nor does the neighbour answer


@pytest.mark.rfc("9293", "SHLD-9", "what was told is taken back when there is progress")
def test_soft_error_is_forgotten_when_data_is_acknowledged() -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    sock.send(b"hello?")
    peer.flush()
    peer.advance(20)
    assert isinstance(sock.soft_error, TimedOut) and sock.error is None
    peer.take()
    assert sock.soft_error is None and sock.state == "ESTABLISHED"
