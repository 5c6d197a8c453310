"""TCP Fast Open, the server's end (RFC 7413): threats 16 and 17."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.tcp.peer import FULL, ISN, PLAIN, Peer, Seg, error_of, read
from uinet.errors import ConnectionReset, InvalidArgument, TimedOut, WouldBlock
from uinet.sockopt import IPPROTO_TCP, TCP_FASTOPEN, TCP_FASTOPEN_KEY
from uinet.tcp.state import SYN_RECEIVED
from uinet.units import MASK32
from uinet.wire.tcp_options import FastOpen, Mss, Unknown

DATA = b"GET / HTTP/1.0\r\n\r\n"


def server(**settings: int) -> Peer:
    peer = Peer(**settings)
    peer.listen(fast_open=4)
    return peer


def ask(peer: Peer, options: Any = PLAIN) -> bytes:
    """Asks for a cookie with a connection of its own port, which is reset; the cookie."""
    port, peer.peer_port = peer.peer_port, 39999
    peer.send("S", ISN, options=(*options, FastOpen()))
    seg = peer.expect("S.", ack=ISN + 1)
    peer.send("R", ISN + 1)
    peer.peer_port = port
    if peer.watch is not None:
        peer.watch.__init__()  # type: ignore[misc]
    given = seg.option(FastOpen)
    return given.cookie if given else b""


def fast(peer: Peer, cookie: bytes, data: bytes = DATA, options: Any = PLAIN, *, taken: bool = True) -> Seg:
    """Sends a SYN with a cookie and data; the SYN,ACK, which acknowledges the data or not."""
    peer.send("S", ISN, data=data, options=(*options, FastOpen(cookie)))
    seg = peer.expect("S.", ack=ISN + 1 + (len(data) if taken else 0), length=0)
    peer.seq = seg.ack
    peer.ack = (seg.seq + 1) & MASK32
    return seg


@pytest.mark.rfc("7413", "4.1.2", "the server gives a cookie, in the SYN,ACK, to whoever asks for one")
def test_listen_cookie_request_is_answered_with_a_cookie_and_the_data_waits() -> None:
    peer = server()
    peer.send("S", ISN, data=b"early", options=(*PLAIN, FastOpen()))
    seg = peer.expect("S.", ack=ISN + 1, length=0)
    cookie = seg.option(FastOpen).cookie
    assert 4 <= len(cookie) <= 16 and len(cookie) % 2 == 0
    assert peer.count("tcp_fastopen_cookie_asked") == 1
    assert error_of(peer.listener.accept) is WouldBlock


@pytest.mark.parametrize("options", [PLAIN, FULL])
@pytest.mark.rfc("7413", "4.2.2", "data of a SYN with a valid cookie is acknowledged and given to the application")
def test_listen_syn_with_cookie_is_accepted_with_its_data_before_the_handshake(options: Any) -> None:
    peer = server()
    cookie = ask(peer, options)
    seg = fast(peer, cookie, options=options)
    assert seg.option(FastOpen) is None
    sock = peer.listener.accept()
    assert sock.state == "SYN-RECEIVED" and sock.readable and sock.writable
    assert read(sock) == DATA
    assert peer.count("tcp_fastopen_passive") == 1
    peer.ts = options == FULL
    peer.send(".")
    assert sock.state == "ESTABLISHED"
    peer.data(b"more")
    assert read(sock) == b"more"


@pytest.mark.rfc("7413", "4.2.2", "the server may send data before the client's ACK, within the initial window")
def test_syn_received_server_answers_before_the_handshake_is_complete() -> None:
    peer = server()
    fast(peer, ask(peer))
    sock = peer.listener.accept()
    assert read(sock) == DATA
    sock.send(bytes(40_000))
    peer.flush()
    sent = peer.drain()
    assert sum(len(seg.data) for seg in sent) == 14600  # 10 segments of 1460 (RFC 6928)
    assert sent[0].seq == peer.ack and sent[0].ack == peer.seq and sent[0].flags == "."
    peer.send(".", ack=peer.ack + 14600)
    assert sock.state == "ESTABLISHED"
    assert sum(len(seg.data) for seg in peer.drain()) >= 14600


def test_syn_received_ack_of_the_syn_alone_completes_and_early_data_is_sent_again() -> None:
    peer = server()
    fast(peer, ask(peer))
    sock = peer.listener.accept()
    sock.send(b"answer")
    peer.flush()
    peer.expect("P.", data=b"answer")
    peer.send(".")  # acknowledges our SYN only
    assert sock.state == "ESTABLISHED"
    peer.quiet()
    peer.advance(1.5)
    peer.expect("P.", data=b"answer", seq=peer.ack)


def test_syn_received_early_data_is_not_sent_again_before_the_handshake_is_complete() -> None:
    peer = server()
    fast(peer, ask(peer))
    sock = peer.listener.accept()
    sock.send(bytes(range(256)) * 20)
    peer.flush()
    peer.drain()
    peer.advance(10)
    assert [(seg.flags, len(seg.data)) for seg in peer.drain()] == [("S.", 0)] * 3
    peer.send(".")
    peer.advance(10)
    again = {seg.seq: seg.data for seg in peer.drain()}
    assert again[peer.ack][:256] == bytes(range(256))  # and the Watch compares every byte with what was sent before
    peer.ack = (peer.ack + 256 * 20) & MASK32
    peer.send(".")
    assert sock.state == "ESTABLISHED" and sock.unacknowledged == 0


def test_syn_received_close_lets_data_go_first_and_fin_once_established() -> None:
    peer = server()
    fast(peer, ask(peer))
    sock = peer.listener.accept()
    assert read(sock) == DATA
    sock.send(b"answer")
    sock.close()
    peer.flush()
    peer.expect("P.", data=b"answer")
    peer.quiet()
    peer.ack = (peer.ack + 6) & MASK32
    peer.send(".")
    peer.expect("F.", seq=peer.ack)
    peer.ack = (peer.ack + 1) & MASK32
    peer.data(b"", "F.")
    peer.expect(".", ack=peer.seq)
    peer.gone()


@pytest.mark.threat(17)
@pytest.mark.parametrize("change", ["bit", "short", "long", "other address"])
@pytest.mark.rfc("7413", "4.2.2", "with an invalid cookie only the SYN is acknowledged, and a new cookie is given")
def test_listen_wrong_cookie_falls_back_to_the_handshake(change: str) -> None:
    peer = server()
    cookie = ask(peer)
    if change == "bit":
        cookie = bytes([cookie[0] ^ 1]) + cookie[1:]
    elif change == "short":
        cookie = cookie[:4]
    elif change == "long":
        cookie += b"\0\0"
    else:
        peer.there = "10.0.0.77"
        peer.stack.neighbors.add("10.0.0.77", "02:00:00:00:00:01")
    seg = fast(peer, cookie, taken=False)
    assert len(seg.option(FastOpen).cookie) == 8
    assert peer.count("tcp_fastopen_bad_cookie") == 1
    assert error_of(peer.listener.accept) is WouldBlock
    peer.data(DATA)
    assert read(peer.listener.accept()) == DATA


@pytest.mark.threat(17)
@pytest.mark.rfc("7413", "4.1.2", "cookies expire, and the server changes its key")
def test_listen_cookie_ages_by_periods_of_the_key() -> None:
    peer = server(fast_open_period=100 * 10**9)
    cookie = ask(peer)
    peer.advance(100)
    seg = fast(peer, cookie)
    renewed = seg.option(FastOpen).cookie
    assert renewed != cookie
    peer.send("R", ISN + 1 + len(DATA))
    peer.peer_port += 1
    peer.advance(100)
    fast(peer, cookie, taken=False)
    assert peer.count("tcp_fastopen_bad_cookie") == 1
    peer.send("R", ISN + 1)
    peer.peer_port += 1
    assert fast(peer, renewed).option(FastOpen).cookie not in (cookie, renewed)


@pytest.mark.rfc("7413", "4.1.2", "a farm of servers may share a key")
def test_listen_own_key_is_shared_by_stacks_and_the_one_before_still_counts() -> None:
    one, two = Peer(seed=b"one"), Peer(seed=b"two")
    for peer, keys in ((one, b"k" * 16), (two, b"n" * 16 + b"k" * 16)):
        peer.listen(fast_open=4)
        peer.listener.setsockopt(IPPROTO_TCP, TCP_FASTOPEN_KEY, keys)
    cookie = ask(one)
    fresh = fast(two, cookie).option(FastOpen).cookie
    assert fresh != cookie
    assert error_of(one.listener.setsockopt, IPPROTO_TCP, TCP_FASTOPEN_KEY, b"short") is InvalidArgument


@pytest.mark.threat(17)
@pytest.mark.rfc("7413", "5.1", "the number of pending Fast Open connections is limited; beyond, the handshake is used")
def test_listen_pending_limit_falls_back_to_the_handshake() -> None:
    peer = server()
    cookie = ask(peer)
    for _ in range(4):
        fast(peer, cookie)
        peer.peer_port += 1
    last = peer.ack
    fast(peer, cookie, taken=False)
    assert peer.count("tcp_fastopen_overflow") == 1 and peer.count("tcp_fastopen_passive") == 4
    assert peer.listener.listener.fast_pending == 4
    # one handshake completes: there is room for one more
    peer.peer_port -= 1
    peer.send(".", ISN + 1 + len(DATA), last)
    peer.peer_port += 2
    fast(peer, cookie)
    assert peer.count("tcp_fastopen_passive") == 5


@pytest.mark.threat(17)
@pytest.mark.rfc("7413", "5.1", "a RST does not free a place among the pending connections at once")
def test_syn_received_reset_stays_pending_for_a_minute() -> None:
    peer = server()
    cookie = ask(peer)
    for _ in range(4):
        fast(peer, cookie)
        peer.send("R")
        peer.peer_port += 1
    assert peer.tcbs() == 0
    for _ in range(4):
        sock = peer.listener.accept()
        assert isinstance(sock.error, ConnectionReset)
        sock.close()
    fast(peer, cookie, taken=False)
    assert peer.count("tcp_fastopen_overflow") == 1
    peer.send("R", ISN + 1)
    peer.peer_port += 1
    peer.advance(60)
    fast(peer, cookie)
    assert peer.count("tcp_fastopen_passive") == 5


def test_syn_received_silent_client_times_out_after_six_syn_acks() -> None:
    peer = server()
    fast(peer, ask(peer))
    sock = peer.listener.accept()
    peer.advance(120)
    again = peer.drain()
    assert [seg.flags for seg in again] == ["S."] * 5 and all(not seg.data for seg in again)
    assert all(seg.option(FastOpen) is None for seg in again)
    assert sock.recv(1000) == DATA
    with pytest.raises(TimedOut):
        sock.recv(1)
    assert peer.listener.listener.fast_pending == 0
    sock.close()
    peer.gone()


def test_syn_received_syn_again_without_data_is_answered_alike() -> None:
    peer = server()
    cookie = ask(peer)
    first = fast(peer, cookie)
    peer.send("S", ISN, options=PLAIN)
    again = peer.expect("S.", seq=first.seq, ack=first.ack)
    assert again.option(Mss) and not again.option(FastOpen)
    peer.send("S", ISN, data=DATA, options=(*PLAIN, FastOpen(cookie)))
    peer.expect("S.", seq=first.seq, ack=first.ack)
    peer.send(".")
    assert read(peer.listener.accept()) == DATA


def test_syn_received_wrong_ack_is_reset_and_the_state_stays() -> None:
    peer = server()
    fast(peer, ask(peer))
    for off in (-1, 1, 100):
        peer.send(".", ack=peer.ack + off)
        peer.expect("R", seq=peer.ack + off)
    sock = peer.listener.accept()
    assert sock.state == "SYN-RECEIVED"


@pytest.mark.rfc("7413", "4.2.2", "a valid cookie without data opens the connection early as well")
def test_listen_syn_with_cookie_and_no_data_lets_the_server_speak_first() -> None:
    peer = server()
    fast(peer, ask(peer), b"")
    sock = peer.listener.accept()
    assert sock.state == "SYN-RECEIVED" and not sock.readable
    sock.send(b"220 ready")
    peer.flush()
    peer.expect("P.", data=b"220 ready")


def test_listen_syn_data_beyond_the_buffer_is_cut_and_not_acknowledged() -> None:
    peer = Peer(receive_buffer=4096, mtu=9000)
    peer.listen(fast_open=4)
    cookie = ask(peer, (Mss(8960),))
    peer.send("S", ISN, data=bytes(5000), options=(Mss(8960), FastOpen(cookie)))
    seg = peer.expect("S.", ack=ISN + 1 + 4096, window=0)
    peer.seq, peer.ack = seg.ack, (seg.seq + 1) & MASK32
    sock = peer.listener.accept()
    peer.send(".")
    assert len(read(sock)) == 4096


# threat 16, and listeners that have not asked


@pytest.mark.threat(16)
@pytest.mark.rfc("7413", "6.1", "Fast Open is off unless the application asks for it")
@pytest.mark.parametrize("option", [FastOpen(), FastOpen(b"12345678"), None])
def test_listen_without_fast_open_ignores_option_and_data(option: Any) -> None:
    peer = Peer()
    peer.listen()
    peer.send("S", ISN, data=DATA, options=(*PLAIN, option) if option else PLAIN)
    seg = peer.expect("S.", ack=ISN + 1, length=0)
    assert seg.option(FastOpen) is None
    assert error_of(peer.listener.accept) is WouldBlock
    peer.ack, peer.seq = (seg.seq + 1) & MASK32, (ISN + 1) & MASK32
    peer.send(".")
    sock = peer.listener.accept()
    assert read(sock) == b""


@pytest.mark.threat(16)
def test_listen_data_without_the_option_waits_for_the_handshake() -> None:
    peer = server()
    peer.send("S", ISN, data=DATA, options=PLAIN)
    seg = peer.expect("S.", ack=ISN + 1)
    assert seg.option(FastOpen) is None
    assert error_of(peer.listener.accept) is WouldBlock


@pytest.mark.rfc("7413", "4.1.1", "a cookie has 4 to 16 bytes of even number: any other length is ignored")
@pytest.mark.parametrize("data", [b"1", b"12", b"12345", b"1" * 17, b"1" * 18])
def test_listen_malformed_cookie_option_is_ignored(data: bytes) -> None:
    peer = server()
    peer.send("S", ISN, data=DATA, options=(*PLAIN, Unknown(34, data)))
    seg = peer.expect("S.", ack=ISN + 1)
    assert seg.option(FastOpen) is None
    assert peer.count("tcp_fastopen_bad_cookie") == 0


@pytest.mark.threat(17)
def test_listen_guessed_cookies_all_fail() -> None:
    peer = server()
    for guess in range(2000):
        peer.peer_port = 1024 + guess
        peer.send("S", ISN, data=DATA, options=(*PLAIN, FastOpen(guess.to_bytes(8, "big"))))
        peer.drain()
    assert peer.count("tcp_fastopen_passive") == 0 and peer.count("tcp_fastopen_bad_cookie") == 2000
    assert error_of(peer.listener.accept) is WouldBlock


def test_listen_close_resets_connections_that_fast_open_has_made() -> None:
    peer = server()
    fast(peer, ask(peer))
    assert next(entry for entry in peer.stack.tcp.table).state == SYN_RECEIVED  # type: ignore[attr-defined]
    peer.listener.close()
    peer.flush()
    peer.expect("R.")
    peer.gone(1)


def test_listen_full_accept_queue_takes_no_fast_open() -> None:
    peer = Peer()
    peer.listen(fast_open=100, backlog=2)
    cookie = ask(peer)
    for _ in range(2):
        fast(peer, cookie)
        peer.peer_port += 1
    peer.send("S", ISN, data=DATA, options=(*PLAIN, FastOpen(cookie)))
    peer.quiet()
    assert peer.count("tcp_listen_overflow") == 1


def test_option_of_a_listener_is_read_back() -> None:
    peer = server()
    assert peer.listener.getsockopt(IPPROTO_TCP, TCP_FASTOPEN) == 4
    peer.listener.setsockopt(IPPROTO_TCP, TCP_FASTOPEN, 0)
    assert ask(peer) == b""
