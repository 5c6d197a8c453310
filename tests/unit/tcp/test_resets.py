"""RST and SYN inside and outside the window (RFC 9293 3.5.3, RFC 5961), the ACK field, ACK loops."""

from __future__ import annotations

import pytest

from tests.unit.tcp.peer import FULL, Peer, error_of, read
from uinet.errors import ConnectionReset, WouldBlock
from uinet.wire.tcp_options import Timestamps

STATES = ["passive", "active", "close_wait", "fin_wait_1", "fin_wait_2", "closing", "last_ack"]


@pytest.mark.threat(23)
@pytest.mark.rfc("5961", "3.2", "a RST at exactly RCV.NXT resets")
@pytest.mark.parametrize("state", STATES)
def test_any_state_exact_rst_resets(state: str) -> None:
    peer = Peer()
    sock = getattr(peer, state)()
    peer.send("R", data=b"because")
    peer.quiet()
    assert sock.state == "CLOSED"
    expected = None if state in ("closing", "last_ack") else ConnectionReset
    assert (type(sock.error) if sock.error else None) is expected
    sock.close()
    if peer.listener:
        peer.listener.close()
    peer.gone(0)


@pytest.mark.threat(23)
@pytest.mark.rfc("5961", "3.2", "a RST elsewhere in the window gets a challenge ACK")
@pytest.mark.parametrize("state", STATES)
def test_any_state_rst_elsewhere_in_the_window_is_challenged(state: str) -> None:
    peer = Peer()
    sock = getattr(peer, state)()
    before = sock.state
    peer.advance(1)
    peer.drain()
    peer.send("R", peer.seq + 1)
    peer.expect(".", ack=peer.seq)
    peer.send("R", peer.seq + 2)
    peer.quiet()  # one an interval
    assert sock.state == before and peer.count("tcp_challenge_ack_limited") == 1


def test_challenge_acks_need_not_be_limited() -> None:
    peer = Peer()
    peer.stack.sysctl["net.inet.tcp.challenge_ack_interval"] = 0
    peer.passive()
    for _ in range(3):
        peer.send("R", peer.seq + 1)
        peer.expect(".", ack=peer.seq)


@pytest.mark.threat(23)
@pytest.mark.rfc("5961", "3.2", "a RST out of the window is dropped silently")
@pytest.mark.parametrize("state", STATES)
def test_any_state_rst_out_of_window_is_dropped(state: str) -> None:
    peer = Peer()
    sock = getattr(peer, state)()
    before = sock.state
    for off in (-1, -1000, 1 << 24, 1 << 31):
        peer.send("R", peer.seq + off)
    peer.quiet()
    assert sock.state == before and peer.count("tcp_rst_out_of_window") == 4


@pytest.mark.threat(24)
@pytest.mark.rfc("5961", "4.2", "a SYN gets a challenge ACK, whatever its number")
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("off", [0, 100, -100, 1 << 30])
@pytest.mark.parametrize("flags", ["S", "S."])
def test_any_state_syn_is_challenged(state: str, off: int, flags: str) -> None:
    peer = Peer()
    sock = getattr(peer, state)()
    before = sock.state
    peer.watch = None
    peer.send(flags, peer.seq + off)
    peer.expect(".", ack=peer.seq)
    assert sock.state == before


@pytest.mark.threat(25)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("flags", ["", "F", "P", "FPU"])
def test_any_state_without_ack_is_dropped(state: str, flags: str) -> None:
    peer = Peer()
    sock = getattr(peer, state)()
    before = sock.state
    peer.send(flags, data=b"no")
    assert sock.state == before
    assert error_of(sock.recv, 1) is WouldBlock or sock.recv(1) == b""


@pytest.mark.rfc("9293", "MUST-66", "RST is processed with a closed window")
def test_established_rst_with_closed_window_still_resets() -> None:
    peer = Peer(receive_buffer=2048)
    sock = peer.passive()
    peer.data(bytes(2048))
    peer.advance(0.1)
    assert peer.drain()[-1].window == 0
    peer.send("R", peer.seq + 1)
    assert sock.state == "ESTABLISHED"
    peer.send("R", data=b"payload")
    assert sock.state == "CLOSED"
    assert len(read_all(sock)) == 2048


def read_all(sock: object) -> bytes:
    return sock.recv(1 << 20)  # type: ignore[attr-defined, no-any-return]


@pytest.mark.threat(25)
@pytest.mark.threat(56)
@pytest.mark.rfc("5961", "5.2", "an ACK of what was never sent gets an ACK, and its data is dropped")
def test_established_ack_of_the_future_is_challenged_and_its_data_dropped() -> None:
    peer = Peer()
    sock = peer.passive()
    peer.send("P.", ack=peer.ack + 1, data=b"evil")
    peer.expect(".", ack=peer.seq, data=b"")
    assert error_of(sock.recv, 4) is WouldBlock
    assert peer.count("tcp_ack_too_new") == 1


@pytest.mark.threat(25)
@pytest.mark.rfc("5961", "5.2", "an ACK older than MAX.SND.WND gets an ACK, and its data is dropped")
@pytest.mark.rfc("9293", "MAY-12", "ACKs far in the past: challenge ACK, data dropped")
def test_established_ack_older_than_any_window_is_challenged_and_its_data_dropped() -> None:
    peer = Peer()
    sock = peer.passive(window=1000)
    peer.send("P.", ack=peer.ack - 70_000, data=b"evil")
    peer.expect(".", ack=peer.seq, data=b"")
    assert error_of(sock.recv, 4) is WouldBlock
    assert peer.count("tcp_ack_too_old") == 1


@pytest.mark.threat(25)
@pytest.mark.rfc("5961", "5.2", "an older ACK within MAX.SND.WND is acceptable")
def test_established_old_ack_within_the_window_is_ignored_and_its_data_taken() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.send(b"x" * 10)
    peer.flush()
    peer.take()
    peer.send("P.", ack=peer.ack - 10, data=b"fine")
    assert read(sock) == b"fine"


@pytest.mark.threat(26)
@pytest.mark.rfc("5961", "7", "challenge ACKs are limited")
def test_challenge_acks_of_one_connection_leave_those_of_another_alone() -> None:
    peer = Peer()
    peer.passive()
    first = (peer.seq, peer.ack, peer.peer_port)
    for _ in range(200):
        peer.send("R", peer.seq + 7)
    assert len(peer.drain()) == 1
    peer.watch = None
    peer.peer_port, peer.seq = 40001, 5000
    peer.passive()
    peer.send("R", peer.seq + 7)
    peer.expect(".", ack=peer.seq)
    assert first[2] != peer.peer_port


@pytest.mark.threat(27)
@pytest.mark.rfc("5961", "7", "challenge ACKs are limited")
@pytest.mark.parametrize("shift", [0, -1, 1, -500, 500, 1 << 20])
@pytest.mark.parametrize("state", ["passive", "close_wait", "fin_wait_1", "fin_wait_2", "time_wait"])
def test_desynchronized_ends_do_not_storm(state: str, shift: int) -> None:
    """Both ends think of the other's numbers as wrong (an injected byte each): ACKs die out."""
    peer = Peer()
    getattr(peer, state)()
    peer.drain()
    peer.watch = None
    answers = 0
    for _ in range(50):
        peer.send(".", peer.seq + shift, peer.ack + 1 if state != "time_wait" else None)
        answers += len(peer.drain())
    assert answers <= 2


@pytest.mark.threat(72)
def test_established_keepalive_probe_is_answered() -> None:
    peer = Peer()
    peer.passive(FULL)
    for _ in range(3):
        peer.advance(2)
        peer.send(".", peer.seq - 1)
        peer.expect(".", seq=peer.ack, ack=peer.seq)
        peer.send(".", peer.seq - 1, data=b"\x00")
        peer.expect(".", seq=peer.ack, ack=peer.seq)


def test_established_old_data_is_always_acknowledged() -> None:
    peer = Peer()
    sock = peer.passive()
    start = peer.seq
    for _ in range(10):
        peer.data(bytes(1000))
    read(sock)
    peer.drain()
    for _ in range(3):
        peer.send("P.", start, data=bytes(1000))  # its ACKs were lost
        peer.expect(".", ack=peer.seq)


def test_established_ack_in_a_segment_out_of_window_is_not_believed() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.send(b"x" * 100)
    peer.flush()
    peer.drain()
    peer.send(".", peer.seq - 1, peer.ack + 100, b"\x00")
    assert sock.info().unacked == 100


def test_reset_before_accept_is_told_to_who_accepts() -> None:
    peer = Peer()
    peer.listen()
    peer.syn()
    peer.send(".")
    peer.send("R")
    sock = peer.listener.accept()
    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    sock.close()
    peer.gone(0)


@pytest.mark.threat(3)
def test_rst_to_strangers_is_limited() -> None:
    peer = Peer(rst_rate=10)
    for _ in range(100):
        peer.send(".", ack=1)
    assert len(peer.drain()) == 10
    peer.advance(1)
    peer.send(".", ack=1)
    assert len(peer.drain()) == 1
    assert peer.count("tcp_rst_rate_limited") == 90
    assert len(peer.stack.tcp.table) == 0


def test_established_abort_tells_its_time() -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    sock.abort()
    peer.flush()
    stamp = peer.expect("R.").option(Timestamps)
    assert stamp is not None and stamp.echo == peer.now // 1_000_000 + 1000


# settings from before RFC 5961, and for SYNs with FIN


@pytest.mark.parametrize("state", STATES)
def test_with_insecure_rst_a_rst_resets_anywhere_in_the_window(state: str) -> None:
    peer = Peer(insecure_rst=True)
    sock = getattr(peer, state)()
    before = sock.state
    for off in (-1, 1 << 24):
        peer.send("R", peer.seq + off)
    assert sock.state == before
    peer.send("R", peer.seq + 1000)
    peer.quiet()
    assert sock.state == "CLOSED"


def test_with_insecure_rst_a_rst_in_the_window_ends_a_half_open_connection() -> None:
    for insecure in (False, True):
        peer = Peer(insecure_rst=insecure)
        peer.listen()
        peer.syn()
        peer.send("R", peer.seq + 1000)
        assert [out.flags for out in peer.drain()] == ([] if insecure else ["."])
        assert peer.stack.tcp.syn_count == (not insecure)


@pytest.mark.parametrize("state", STATES)
def test_with_insecure_syn_a_syn_in_the_window_resets(state: str) -> None:
    peer = Peer(insecure_syn=True, challenge_ack_interval=0)
    sock = getattr(peer, state)()
    before = sock.state
    for off in (-1, 1 << 24):
        peer.send("S", peer.seq + off)
        peer.expect(".", ack=peer.seq)
    assert sock.state == before
    peer.send("S", peer.seq + 1000)
    peer.expect("R.", ack=peer.seq)
    assert sock.state == "CLOSED" and isinstance(sock.error, ConnectionReset)


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_syns_with_fin_to_listeners_are_taken_without_it_or_dropped(mode: int) -> None:
    peer = Peer(drop_syn_fin=mode)
    listener = peer.listen()
    peer.send("SF", peer.seq, options=FULL[:1])
    if mode:
        peer.quiet()
        assert peer.count("tcp_syn_dropped") == 1
        peer.syn()
        peer.send("SF", peer.seq - 1)
        assert bool(peer.drain()) == (mode == 1)
        return
    peer.ack = (peer.expect("S.", ack=peer.seq + 1).seq + 1) & 0xFFFFFFFF
    peer.seq = (peer.seq + 1) & 0xFFFFFFFF
    peer.send(".")
    assert listener.accept().state == "ESTABLISHED"


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_syns_with_fin_where_a_connection_is(mode: int) -> None:
    peer = Peer(drop_syn_fin=mode)
    sock, _ = peer.connecting()
    peer.send("SF", peer.seq)
    assert [out.flags for out in peer.drain()] == ([] if mode == 2 else ["S."])
    assert sock.state == ("SYN-SENT" if mode == 2 else "SYN-RECEIVED")
    for state in ("passive", "time_wait"):
        peer = Peer(drop_syn_fin=mode)
        getattr(peer, state)()
        peer.advance(1)
        peer.send("SF", peer.seq)
        assert [out.flags for out in peer.drain()] == ([] if mode == 2 else ["."])


@pytest.mark.rfc("9293", "3.10.7.3", "text of the SYN of a simultaneous open waits until the connection is established")
@pytest.mark.parametrize("shut", ["", "read", "closed"])
def test_data_in_the_syn_of_a_simultaneous_open(shut: str) -> None:
    peer = Peer()
    sock, _ = peer.connecting()
    peer.send("S", peer.seq, data=b"early")
    peer.seq = (peer.seq + 1) & 0xFFFFFFFF
    peer.expect("S.", ack=peer.seq)
    assert sock.state == "SYN-RECEIVED"
    with pytest.raises(WouldBlock):
        sock.recv(100)
    if shut == "read":
        sock.shutdown(0)
    elif shut == "closed":
        sock.close()
    peer.seq = (peer.seq + 5) & 0xFFFFFFFF
    peer.send(".", data=b" and late" if not shut else b"")
    if not shut:
        assert sock.recv(100) == b"early and late"
        assert peer.stack.tcp.received_bytes == 0
    else:
        assert peer.stack.tcp.received_bytes == 0
        peer.advance(1)
        peer.drain()
        peer.send("P.", peer.seq - 5, data=b"early")  # it was not acknowledged
        assert [out.flags for out in peer.drain()] == (["."] if shut == "read" else ["R."])
