"""Ends: half-close, close, linger, orphans, TIME-WAIT (RFC 9293 3.6, 3.10.4, 3.10.7.4; RFC 1337, 6191), keepalive."""

from __future__ import annotations

import pytest

import uinet
from tests.unit.tcp.peer import FULL, PLAIN, Peer, error_of, read
from uinet.errors import BadSocket, ConnectionReset, TimedOut
from uinet.events import EV_CLOSED, EV_EOF
from uinet.units import MASK32, SECOND

SO_LINGER, SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT = 13, 9, 4, 5, 6
STATES = ["passive", "active", "close_wait", "fin_wait_1", "fin_wait_2", "closing", "last_ack"]


@pytest.mark.rfc("9293", "MUST-13", "an active close stays in TIME-WAIT for 2 MSL")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_active_close_ends_in_time_wait(v6: bool, options: tuple[object, ...]) -> None:
    peer = Peer(v6=v6)
    sock = peer.active(options)
    sock.send(b"last words")
    sock.close()
    peer.flush()
    seg = peer.expect("FP.", data=b"last words")
    peer.ack = seg.end
    peer.send(".")
    assert sock.state == "FIN-WAIT-2"
    peer.data(b"", "F.")
    peer.expect(".", ack=peer.seq)
    assert sock.state == "CLOSED" and len(peer.stack.tcp.time_wait) == 1
    peer.advance(59)
    assert len(peer.stack.tcp.time_wait) == 1
    peer.gone(2)


def test_passive_close_ends_at_once() -> None:
    peer = Peer()
    sock = peer.last_ack()
    peer.ack += 1
    peer.send(".")
    peer.quiet()
    assert sock.state == "CLOSED" and sock.error is None
    sock.close()
    peer.listener.close()
    peer.gone(0)


def test_fin_wait_1_fin_with_ack_goes_straight_to_time_wait() -> None:
    peer = Peer()
    sock = peer.fin_wait_1()
    peer.ack += 1
    peer.data(b"", "F.")
    peer.expect(".", ack=peer.seq)
    assert sock.state == "CLOSED" and len(peer.stack.tcp.time_wait) == 1


def test_closing_ack_of_fin_needs_no_answer() -> None:
    peer = Peer()
    peer.closing()
    peer.ack += 1
    peer.send(".")
    peer.quiet()
    assert len(peer.stack.tcp.time_wait) == 1


@pytest.mark.parametrize("state", ["fin_wait_1", "closing", "last_ack"])
def test_fin_is_retransmitted(state: str) -> None:
    peer = Peer()
    getattr(peer, state)()
    peer.advance(1.1)
    peer.expect("F.", seq=peer.ack)


@pytest.mark.parametrize("state", ["close_wait", "closing", "last_ack"])
def test_fin_again_is_acknowledged_again(state: str) -> None:
    peer = Peer()
    sock = getattr(peer, state)()
    before = sock.state
    peer.send("F.", peer.seq - 1)
    peer.expect(".", ack=peer.seq)
    assert sock.state == before


def test_established_end_of_stream_is_told_after_the_data() -> None:
    peer = Peer()
    sock = peer.passive()
    peer.data(b"bye", "FP.")
    assert [events & EV_EOF for _, events in peer.stack.events()] == [EV_EOF]
    assert sock.recv(10) == b"bye" and sock.recv(10) == b"" and sock.recv(10) == b""
    sock.send(b"still here")
    peer.flush()
    assert peer.drain()[-1].data == b"still here"


def test_time_wait_unread_data_can_still_be_read() -> None:
    peer = Peer()
    sock = peer.fin_wait_2()
    peer.data(b"tail", "FP.")
    assert sock.state == "CLOSED"
    assert read(sock) == b"tail" and sock.recv(1) == b""
    peer.listener.close()
    peer.gone(70)


@pytest.mark.rfc("9293", "SHLD-3", "RST if data is unread at close")
@pytest.mark.rfc("9293", "MAY-1", "close ends both directions for the user")
@pytest.mark.parametrize("state", ["passive", "active", "close_wait", "fin_wait_2"])
def test_close_with_unread_data_resets(state: str) -> None:
    peer = Peer()
    sock = getattr(peer, state)() if state != "close_wait" else peer.passive()
    peer.data(b"unread", "FP." if state == "close_wait" else "P.")
    peer.drain()
    sock.close()
    peer.flush()
    peer.expect("R.", seq=peer.ack)
    if peer.listener:
        peer.listener.close()
    peer.gone(0)


@pytest.mark.threat(10)
@pytest.mark.rfc("9293", "SHLD-3", "RST if data comes after close")
@pytest.mark.rfc("9293", "MAY-1", "close ends both directions for the user")
@pytest.mark.parametrize("state", ["passive", "fin_wait_1", "fin_wait_2"])
def test_data_after_close_resets(state: str) -> None:
    peer = Peer()
    sock = getattr(peer, state)()
    sock.close()
    peer.flush()
    peer.drain()
    peer.data(b"too late")
    peer.expect("R.")
    peer.listener.close()
    peer.gone(0)


@pytest.mark.parametrize("state", STATES)
def test_abort_resets(state: str) -> None:
    peer = Peer()
    sock = getattr(peer, state)()
    sock.abort()
    peer.flush()
    if state in ("closing", "last_ack"):  # both ends have closed (RFC 9293 3.10.5)
        peer.quiet()
    else:
        peer.expect("R.")
    assert sock.state == "CLOSED"
    assert error_of(sock.send, b"x") is BadSocket
    if peer.listener:
        peer.listener.close()
    peer.gone(0)


@pytest.mark.parametrize("state", ["closing", "last_ack"])
def test_abort_in_the_end_resets_if_data_is_lost(state: str) -> None:
    """Unread data is shown to be lost (RFC 9293 3.6.1, SHLD-3), in every state."""
    peer = Peer()
    sock = peer.passive()
    if state == "closing":
        sock.shutdown(1)
        peer.flush()
        peer.expect("F.")
    peer.data(b"unread", "FP.")
    peer.drain()
    if state == "last_ack":
        sock.shutdown(1)
        peer.flush()
        peer.expect("F.")
    assert sock.state == state.upper().replace("_", "-")
    sock.close()
    peer.flush()
    peer.expect("R.")
    peer.listener.close()
    peer.gone(0)


@pytest.mark.threat(8)
@pytest.mark.threat("h")
@pytest.mark.parametrize("state", STATES)
def test_close_and_silence_leave_nothing(state: str) -> None:
    peer = Peer()
    sock = getattr(peer, state)()
    sock.close()
    sock.close()
    if peer.listener:
        peer.listener.close()
    peer.gone(300)


@pytest.mark.parametrize("state", STATES)
def test_silence_without_close_leaves_nothing_but_what_may_be_idle(state: str) -> None:
    peer = Peer()
    sock = getattr(peer, state)()
    peer.advance(2000)
    idle = state in ("passive", "active", "close_wait", "fin_wait_2")
    assert (sock.state != "CLOSED") is idle
    if not idle:
        assert isinstance(sock.error, TimedOut)
    else:
        assert peer.stack.next_deadline() is None


def test_linger_zero_resets() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.setsockopt(1, SO_LINGER, (1, 0))
    sock.send(b"queued")
    sock.close()
    peer.flush()
    assert peer.drain()[-1].flags == "R."
    peer.listener.close()
    peer.gone(0)


def test_linger_gives_what_is_queued_so_long() -> None:
    peer = Peer()
    sock = peer.passive(window=1000)
    sock.setsockopt(1, SO_LINGER, (1, 5))
    sock.send(bytes(5000))
    sock.close()
    start = peer.now
    for _ in range(20):
        peer.advance(1)
        for seg in peer.drain():
            if "R" in seg.flags:
                assert (seg.time - start) / SECOND == pytest.approx(5, abs=0.01)
                return
            if seg.data and seg.seq == peer.ack:
                peer.ack = (peer.ack + 1) & MASK32  # the peer takes a byte now and then
                peer.send(".")
    raise AssertionError("it lingers")


@pytest.mark.threat(10)
def test_fin_wait_2_orphan_is_forgotten_after_a_minute() -> None:
    peer = Peer()
    sock = peer.fin_wait_2()
    sock.close()
    peer.advance(59)
    assert peer.tcbs() == 1
    peer.advance(2)
    assert peer.tcbs() == 0
    peer.data(b"late")
    peer.expect("R")


def test_shutdown_of_a_connecting_socket_follows_the_handshake() -> None:
    peer = Peer()
    sock, _ = peer.connecting()
    sock.shutdown(1)
    peer.send("S.", options=PLAIN)
    peer.seq += 1
    assert "F" in peer.drain()[-1].flags
    assert sock.state == "FIN-WAIT-1"


def test_closing_the_listener_resets_what_was_not_accepted() -> None:
    peer = Peer()
    peer.listen()
    peer.syn()
    peer.send(".")
    peer.listener.close()
    peer.flush()
    peer.expect("R.")
    peer.gone(0)


# TIME-WAIT


@pytest.mark.rfc("9293", "MUST-13", "FIN again is acknowledged, and the time begins anew")
def test_time_wait_fin_again_is_acknowledged_and_restarts_the_clock() -> None:
    peer = Peer()
    peer.time_wait()
    peer.advance(50)
    peer.send("F.", peer.seq - 1)
    peer.expect(".", seq=peer.ack, ack=peer.seq)
    peer.advance(50)
    assert len(peer.stack.tcp.time_wait) == 1
    peer.listener.close()
    peer.gone(11)


@pytest.mark.threat(37)
@pytest.mark.rfc("1337", "4", "a RST does not end TIME-WAIT")
def test_time_wait_is_not_assassinated() -> None:
    peer = Peer()
    peer.time_wait()
    for seq in (0, 1, 100):
        peer.send("R", peer.seq + seq)
        peer.send("R.", peer.seq + seq)
    peer.quiet()
    assert len(peer.stack.tcp.time_wait) == 1


def test_time_wait_segment_without_ack_is_dropped_in_the_window_and_answered_outside() -> None:
    peer = Peer()
    peer.time_wait()
    for flags, offset in (("F", 0), ("F", 7), ("", 3)):
        peer.send(flags, peer.seq + offset)
    peer.quiet()
    assert peer.count("tcp_no_ack") == 3
    peer.send("F", peer.seq - 1)
    peer.expect(".", ack=peer.seq)


@pytest.mark.threat(37)
def test_time_wait_old_data_is_only_acknowledged() -> None:
    peer = Peer()
    peer.time_wait()
    peer.send("P.", peer.seq - 5, data=b"old")
    peer.expect(".", seq=peer.ack, ack=peer.seq)


@pytest.mark.threat(11)
@pytest.mark.threat(37)
@pytest.mark.rfc("6191", "2", "a SYN with a later timestamp, or a higher number, ends TIME-WAIT")
@pytest.mark.rfc("9293", "MAY-2", "a SYN with a higher number opens anew")
@pytest.mark.rfc("9293", "SHLD-4", "a SYN with a later timestamp opens anew")
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_time_wait_syn_with_higher_numbers_opens_anew(options: tuple[object, ...]) -> None:
    peer = Peer()
    peer.time_wait(options=options)
    peer.advance(1)
    peer.watch = None
    last = peer.ack
    peer.seq = (peer.seq + 1000) & MASK32
    fresh = options if options is PLAIN else (FULL[0], peer.timestamps())
    peer.ts = False
    seg = peer.syn(fresh)
    assert (seg.seq - last) & MASK32 < 1 << 31, "an ISN beyond the old connection's numbers"
    peer.send(".", options=(peer.timestamps(),) if options is not PLAIN else ())
    assert peer.listener.accept().state == "ESTABLISHED"
    assert not peer.stack.tcp.time_wait


@pytest.mark.threat(37)
@pytest.mark.rfc("6191", "2", "a SYN that is neither is answered with an ACK")
def test_time_wait_syn_with_lower_numbers_is_acknowledged() -> None:
    peer = Peer()
    peer.time_wait()
    peer.watch = None
    peer.send("S", peer.seq - 1000, options=PLAIN)
    peer.expect(".", ack=peer.seq)
    assert len(peer.stack.tcp.time_wait) == 1


def test_time_wait_syn_that_nobody_wants_leaves_it_alone() -> None:
    peer = Peer()
    peer.time_wait()
    peer.listener.close()
    peer.watch = None
    peer.send("S", peer.seq + 1000, options=PLAIN)
    assert len(peer.stack.tcp.time_wait) == 1


@pytest.mark.threat(11)
def test_time_wait_is_reused_by_a_connect_with_higher_numbers() -> None:
    peer = Peer()
    sock = peer.active()
    tcb = sock.tcb
    assert tcb is not None
    iss = tcb.iss
    sent = 0
    while sent < 1 << 20:
        sock.send(bytes(1 << 18))
        peer.flush()
        sent += len(peer.take())
    sock.close()
    for _ in range(60):
        peer.flush()
        peer.take()
    peer.data(b"", "F.")
    assert len(peer.stack.tcp.time_wait) == 1
    peer.drain()
    peer.watch = None
    again = peer.stack.socket()
    again.bind((peer.here, peer.port))
    again.connect((peer.there, peer.peer_port))
    peer.flush()
    seg = peer.expect("S")
    assert 1 << 20 < (seg.seq - iss) & MASK32 < 1 << 31


@pytest.mark.threat(11)
def test_time_waits_are_bounded() -> None:
    peer = Peer(time_wait_limit=10)
    peer.listen(backlog=1000)
    for port in range(30):
        peer.watch = None
        peer.peer_port = 1000 + port
        sock = peer.fin_wait_2()
        peer.data(b"", "F.")
        peer.drain()
        sock.close()
    assert len(peer.stack.tcp.time_wait) == 10
    assert peer.count("tcp_time_wait_evicted") == 20
    peer.listener.close()
    peer.gone(70)


# keepalive


def alive(**options: int) -> tuple[Peer, object]:
    peer = Peer()
    sock = peer.passive()
    sock.setsockopt(1, SO_KEEPALIVE, True)
    for name, value in options.items():
        sock.setsockopt(6, {"idle": TCP_KEEPIDLE, "interval": TCP_KEEPINTVL, "count": TCP_KEEPCNT}[name], value)
    peer.flush()
    peer.quiet()
    return peer, sock


@pytest.mark.rfc("9293", "MUST-25", "keepalives are off by default")
def test_keepalive_is_off_unless_asked_for() -> None:
    peer = Peer()
    peer.passive()
    peer.advance(3 * 3600)
    peer.quiet()


@pytest.mark.rfc("9293", "MAY-5", "keepalives")
@pytest.mark.rfc("9293", "MUST-28", "the default is two hours")
@pytest.mark.rfc("9293", "SHLD-12", "a keepalive has no data")
def test_keepalive_first_probe_after_two_hours_and_then_gives_up() -> None:
    peer, sock = alive()
    start = peer.now
    peer.advance(7199)
    peer.quiet()
    peer.advance(7200)
    probes = peer.drain()
    assert probes[0].seq == (peer.ack - 1) & MASK32 and probes[0].data == b""
    assert (probes[0].time - start) // SECOND == 7200
    assert [seg.flags for seg in probes] == ["."] * 9 + ["R."]
    assert isinstance(sock.error, TimedOut)  # type: ignore[attr-defined]


@pytest.mark.rfc("9293", "MUST-29", "one lost probe does not make a connection dead")
@pytest.mark.rfc("9293", "MUST-27", "the interval can be set")
def test_keepalive_one_lost_probe_is_not_the_end() -> None:
    peer, sock = alive(idle=10, interval=5, count=3)
    for _ in range(5):
        peer.advance(15.5)
        assert len(peer.drain()) == 2
        peer.send(".")
        peer.drain()
    assert sock.state == "ESTABLISHED"  # type: ignore[attr-defined]
    peer.advance(9)
    peer.quiet()


@pytest.mark.rfc("9293", "MUST-26", "no keepalive while data is outstanding")
def test_keepalive_waits_while_data_is_outstanding() -> None:
    peer, sock = alive(idle=2, interval=1, count=2)
    sock.send(b"x")  # type: ignore[attr-defined]
    peer.advance(60)
    assert peer.count("tcp_keepalive_probe") == 0
    assert sock.state == "ESTABLISHED"  # type: ignore[attr-defined]


def test_keepalive_peer_that_has_rebooted_resets() -> None:
    peer, sock = alive(idle=10)
    peer.advance(11)
    peer.expect(".")
    peer.send("R")
    assert isinstance(sock.error, ConnectionReset)  # type: ignore[attr-defined]
    assert any(events & EV_CLOSED for _, events in peer.stack.events())


@pytest.mark.rfc("9293", "MUST-21", "the user can set R2 of a connection")
@pytest.mark.parametrize("timeout", [1, 7, 42])
def test_user_timeout_is_kept_to_the_tick(timeout: int) -> None:
    peer = Peer()
    sock = peer.passive()
    sock.setsockopt(uinet.IPPROTO_TCP, uinet.TCP_USER_TIMEOUT, timeout * 1000)
    sock.send(b"nobody hears this")
    peer.flush()
    peer.advance(timeout - 0.01)
    assert sock.state == "ESTABLISHED"
    peer.advance(0.02)
    assert sock.state == "CLOSED" and isinstance(sock.error, TimeoutError)


def test_connect_timeout_is_kept_to_the_tick() -> None:
    peer = Peer()
    sock, _ = peer.connecting()
    peer.advance(189.9)
    assert sock.state == "SYN-SENT"
    peer.advance(0.2)
    assert sock.state == "CLOSED"


@pytest.mark.parametrize("seconds", [0, 1])
@pytest.mark.parametrize("before", [False, True])
def test_fin_wait_2_lasts_as_long_as_its_user_says(seconds: int, before: bool) -> None:
    """TCP_LINGER2, whether the FIN was acknowledged before close or after."""
    peer = Peer()
    sock = peer.fin_wait_2() if before else peer.passive()
    sock.setsockopt(uinet.IPPROTO_TCP, uinet.TCP_LINGER2, seconds)
    sock.close()
    peer.flush()
    if not before:
        peer.expect("F.")
        peer.ack = (peer.ack + 1) & MASK32
        peer.send(".")
    peer.advance(0.9)
    assert peer.tcbs() == 1
    peer.advance(0.2)
    assert peer.tcbs() == (0 if seconds else 1)
    peer.advance(59)
    assert peer.tcbs() == 0
    peer.send(".")
    peer.expect("R")
