"""TCP Fast Open, the client's end (RFC 7413, 4.1.3 and 4.2.1)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.tcp.peer import FULL, HOST, PLAIN, PORT, Peer, Seg, error_of, read
from uinet.errors import ConnectionRefused, InvalidArgument, TimedOut, WouldBlock
from uinet.events import EV_WRITABLE
from uinet.socket import Socket
from uinet.sockopt import IPPROTO_TCP, MSG_FASTOPEN, SHUT_WR, TCP_FASTOPEN_CONNECT
from uinet.tcp.fast_open import MISSES
from uinet.units import MASK32
from uinet.wire import build
from uinet.wire.tcp_options import FastOpen, Mss, Timestamps

COOKIE = b"C00kie!!"
REQUEST = b"GET / HTTP/1.0\r\n\r\n"


def opening(peer: Peer, data: bytes = REQUEST, *, port: int = 7) -> tuple[Socket, Seg]:
    """A socket that opens with `data`, and its SYN."""
    sock = peer.stack.socket()
    peer.port = peer.port + 1 if peer.port > PORT else PORT + 5000
    sock.bind((peer.here, peer.port))
    peer.peer_port = port
    if peer.watch is not None:
        peer.watch.__init__()  # type: ignore[misc]
    assert sock.sendto(data, (peer.there, port), MSG_FASTOPEN) == len(data)
    peer.flush()
    seg = peer.expect("S")
    peer.ack = (seg.seq + 1) & MASK32
    return sock, seg


def answer(peer: Peer, taken: int, options: Any = PLAIN, data: bytes = b"", **more: Any) -> None:
    """Sends the SYN,ACK that acknowledges `taken` bytes of data."""
    stamped = any(isinstance(option, Timestamps) for option in options)
    options = tuple(Timestamps(o.value, peer.ts_echo) if isinstance(o, Timestamps) else o for o in options)
    peer.ack = (peer.ack + taken) & MASK32
    peer.send("S.", options=options, data=data, **more)
    peer.seq = (peer.seq + 1 + len(data)) & MASK32
    peer.ts = stamped


def drop(peer: Peer, sock: Socket) -> None:
    """Resets a connection."""
    sock.abort()
    peer.collect()
    peer.drain()


def met(peer: Peer, options: Any = PLAIN, cookie: bytes = COOKIE) -> None:
    """A first connection, which fetches a cookie and is reset."""
    sock, _ = opening(peer)
    answer(peer, 0, (*options, FastOpen(cookie)))
    peer.drain()
    drop(peer, sock)
    peer.ts = False


@pytest.mark.rfc("7413", "4.1.2", "without a cookie the client asks for one, and the SYN carries no data")
def test_connect_without_cookie_asks_for_one_and_sends_data_after_the_handshake() -> None:
    peer = Peer()
    sock, seg = opening(peer)
    assert seg.option(FastOpen) == FastOpen() and not seg.data
    answer(peer, 0, (*PLAIN, FastOpen(COOKIE)))
    peer.expect("P.", data=REQUEST)
    assert sock.state == "ESTABLISHED"


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("options", [PLAIN, FULL])
@pytest.mark.rfc("7413", "4.2.1", "with a cookie the data goes in the SYN")
def test_connect_with_cookie_sends_data_in_the_syn(v6: bool, options: Any) -> None:
    peer = Peer(v6=v6)
    met(peer, options)
    sock, seg = opening(peer)
    assert seg.option(FastOpen) == FastOpen(COOKIE) and seg.data == REQUEST
    answer(peer, len(REQUEST), options)
    peer.expect(".", length=0, ack=peer.seq)
    assert sock.state == "ESTABLISHED"
    assert peer.count("tcp_fastopen_active") == 1
    peer.data(b"200 OK")
    assert read(sock) == b"200 OK"
    sock.send(b"next")
    peer.flush()
    peer.expect("P.", data=b"next", seq=peer.ack)


def test_connect_with_cookie_takes_data_of_the_syn_ack() -> None:
    peer = Peer()
    met(peer)
    sock, _ = opening(peer)
    answer(peer, len(REQUEST), data=b"200 OK")
    assert read(sock) == b"200 OK"
    peer.expect(".", ack=peer.seq)


@pytest.mark.rfc("7413", "4.2.1", "data that the SYN,ACK does not acknowledge is sent again")
@pytest.mark.parametrize("taken", [0, 4])
def test_syn_sent_data_not_acknowledged_goes_again_at_once(taken: int) -> None:
    peer = Peer()
    met(peer)
    sock, _ = opening(peer)
    answer(peer, taken)
    peer.expect("P.", data=REQUEST[taken:], seq=peer.ack)
    assert sock.state == "ESTABLISHED"
    assert peer.count("tcp_fastopen_refused") == (taken == 0)


@pytest.mark.rfc("7413", "4.1.3.1", "negative responses are remembered: who takes no data gets none for a while")
def test_connect_after_refused_data_is_plain_for_a_minute_then_longer() -> None:
    peer = Peer()
    met(peer)
    for pause in (60, 120, 240):
        sock, seg = opening(peer)
        assert seg.data
        answer(peer, 0)
        drop(peer, sock)
        sock, seg = opening(peer)
        assert not seg.data and seg.option(FastOpen) is None
        drop(peer, sock)
        peer.advance(pause + 1)
        peer.drain()
    # another port of the same server is not concerned (its cookies are asked for by port)
    assert opening(peer, port=8)[1].option(FastOpen) == FastOpen()


@pytest.mark.rfc("7413", "4.2.1", "a SYN with data that is not answered goes again without data and option")
def test_syn_sent_timeout_falls_back_to_a_plain_syn() -> None:
    peer = Peer()
    met(peer)
    sock, seg = opening(peer)
    peer.advance(1.1)
    again = peer.expect("S", seq=seg.seq, length=0)
    assert again.option(FastOpen) is None and again.option(Mss)
    answer(peer, 0)
    peer.expect("P.", data=REQUEST, seq=peer.ack)
    assert sock.state == "ESTABLISHED" and peer.count("tcp_fastopen_lost") == 1
    assert not opening(peer)[1].data  # and the path rests


def test_syn_sent_late_answer_to_the_data_is_taken_after_a_plain_syn() -> None:
    peer = Peer()
    met(peer)
    sock, _ = opening(peer)
    peer.advance(1.1)
    peer.drain()
    answer(peer, len(REQUEST))  # the first SYN was only slow
    peer.expect(".", length=0)
    assert sock.state == "ESTABLISHED"


@pytest.mark.rfc("7413", "4.1.3.1", "an ICMP error that answers the SYN is a negative response")
def test_syn_sent_icmp_error_is_remembered() -> None:
    peer = Peer()
    met(peer)
    sock, seg = opening(peer)
    peer.give(build.icmp_message(peer.there, peer.here, 3, 3, 0, seg.frame.packet))
    assert isinstance(sock.error, ConnectionRefused)
    assert not opening(peer)[1].data


@pytest.mark.rfc("7413", "4.1.3.1", "Fast Open rests where SYNs with data are swallowed")
def test_three_swallowed_syns_in_a_row_stop_fast_open_everywhere() -> None:
    peer = Peer()
    for port in range(10, 10 + MISSES):
        sock, _ = opening(peer, port=port)
        answer(peer, 0, (*PLAIN, FastOpen(COOKIE)))
        drop(peer, sock)
    for port in range(10, 10 + MISSES):
        assert opening(peer, port=port)[1].data
        peer.advance(1.1)
        peer.drain()
        answer(peer, 0)
        peer.drain()
    assert opening(peer, port=99)[1].option(FastOpen) is None
    peer.advance(3600)
    peer.drain()
    assert opening(peer, port=98)[1].option(FastOpen) == FastOpen()


def test_established_silence_after_data_was_taken_counts_against_the_path() -> None:
    peer = Peer()
    met(peer)
    sock, _ = opening(peer)
    answer(peer, len(REQUEST))
    peer.drain()
    sock.send(b"x")
    peer.advance(5)
    assert peer.count("tcp_fastopen_lost") == 1
    assert not peer.drain()[-1].option(FastOpen)
    assert not opening(peer)[1].data


@pytest.mark.rfc("7413", "4.1.3", "the client remembers the server's MSS with the cookie, and sends no more in a SYN")
@pytest.mark.parametrize(("mss", "data"), [(1460, 1428), (500, 468), (None, 504)])
def test_connect_data_in_the_syn_fits_the_mss_remembered(mss: int | None, data: int) -> None:
    peer = Peer()
    met(peer, (Mss(mss),) if mss else ())
    sock, seg = opening(peer, bytes(3000))
    assert len(seg.data) == data  # 32 bytes of options
    answer(peer, len(seg.data))
    rest = sum(len(seg.data) for seg in peer.drain())
    assert len(seg.data) + rest == 3000 and sock.state == "ESTABLISHED"


@pytest.mark.rfc("7413", "4.1.3", "cookies are cached by client and server address; the cache is bounded")
def test_cookie_cache_forgets_who_was_used_longest_ago() -> None:
    peer = Peer(fast_open_cache=2)
    for port in (10, 11):
        sock, _ = opening(peer, port=port)
        answer(peer, 0, (*PLAIN, FastOpen(bytes([port]) * 8)))
        drop(peer, sock)
    assert opening(peer, port=10)[1].option(FastOpen) == FastOpen(bytes([10]) * 8)
    sock, _ = opening(peer, port=12)
    answer(peer, 0, (*PLAIN, FastOpen(bytes([12]) * 8)))
    peer.drain()
    assert opening(peer, port=11)[1].option(FastOpen) == FastOpen()
    assert opening(peer, port=10)[1].option(FastOpen) == FastOpen(bytes([10]) * 8)
    assert len(peer.stack.tcp.fast_client.known) == 2


def test_connect_new_cookie_of_a_syn_ack_replaces_the_old_one() -> None:
    peer = Peer()
    met(peer)
    opening(peer)
    answer(peer, len(REQUEST), (*PLAIN, FastOpen(b"16 bytes of them")))
    peer.drain()
    _, seg = opening(peer)
    assert seg.option(FastOpen) == FastOpen(b"16 bytes of them") and seg.data == REQUEST


def held(peer: Peer) -> Socket:
    """A socket with TCP_FASTOPEN_CONNECT, connected to who is known: nothing was sent."""
    met(peer)
    sock = peer.stack.socket()
    sock.setsockopt(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, True)
    peer.port += 1
    sock.bind((peer.here, peer.port))
    sock.connect((peer.there, 7))
    peer.flush()
    peer.quiet()
    if peer.watch is not None:
        peer.watch.__init__()  # type: ignore[misc]
    assert sock.writable and (sock, EV_WRITABLE) in peer.stack.events()
    return sock


def test_fastopen_connect_waits_for_the_first_send() -> None:
    peer = Peer()
    sock = held(peer)
    iss = sock.tcb.iss  # type: ignore[union-attr]
    for ack in (iss, iss + 1, iss + 2):  # nothing is acceptable before there is a SYN
        peer.send(".", ack=ack)
        peer.expect("R", seq=ack)
    peer.watch.__init__()  # type: ignore[misc]
    sock.send(b"one ")
    sock.send(b"two")
    peer.flush()
    seg = peer.expect("S", data=b"one two")
    assert not sock.writable and error_of(sock.send, b"x") is WouldBlock
    peer.ack = (seg.seq + 1) & MASK32
    answer(peer, 7)
    peer.expect(".", length=0)
    assert sock.state == "ESTABLISHED" and sock.writable


@pytest.mark.parametrize("how", ["recv", "shutdown"])
def test_fastopen_connect_recv_or_shutdown_sends_the_syn(how: str) -> None:
    peer = Peer()
    sock = held(peer)
    if how == "recv":
        assert error_of(sock.recv, 1) is WouldBlock
    else:
        sock.shutdown(SHUT_WR)
    peer.flush()
    assert peer.expect("S", length=0).option(FastOpen) == FastOpen(COOKIE)


def test_fastopen_connect_closed_unsent_leaves_nothing() -> None:
    peer = Peer()
    sock = held(peer)
    sock.close()
    peer.flush()
    peer.quiet()
    peer.gone(0)


def test_fastopen_connect_without_cookie_connects_at_once() -> None:
    peer = Peer()
    sock = peer.stack.socket()
    sock.setsockopt(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, True)
    sock.bind((HOST, 5555))
    sock.connect((peer.there, 7))
    peer.flush()
    assert peer.expect("S").option(FastOpen) == FastOpen()


def test_connect_unanswered_with_data_fails_after_three_minutes() -> None:
    peer = Peer()
    met(peer)
    sock, _ = opening(peer)
    peer.advance(200)
    with pytest.raises(TimedOut):
        sock.recv(1)
    sock.close()
    peer.drain()
    peer.gone(1)


def test_msg_fastopen_wants_an_address_and_the_stack_limits_the_first_bytes() -> None:
    peer = Peer()
    assert error_of(peer.stack.socket().sendmsg, [b"x"], (), MSG_FASTOPEN) is InvalidArgument
    with pytest.raises(InvalidArgument):
        peer.stack.connect((peer.there, 7), fast_open=bytes(2 << 20))
    sock = peer.stack.connect((peer.there, 7), fast_open=b"")
    peer.flush()
    assert peer.expect("S").option(FastOpen) == FastOpen() and sock.state == "SYN-SENT"


def test_simultaneous_open_keeps_the_data_of_the_syn() -> None:
    peer = Peer()
    met(peer)
    sock, seg = opening(peer)
    peer.send("S", options=PLAIN)
    peer.seq = (peer.seq + 1) & MASK32
    peer.expect("S.", seq=seg.seq, length=0)
    peer.send(".")
    assert sock.state == "ESTABLISHED"
    peer.advance(2)
    peer.expect("P.", data=REQUEST, seq=peer.ack)
