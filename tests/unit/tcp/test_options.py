"""Socket options of TCP and what they change on the wire: corks, segment sizes, windows, low-water marks, deferral."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.tcp.peer import FULL, ISN, PLAIN, Peer, error_of, read
from uinet.errors import WouldBlock
from uinet.events import EV_READABLE, EV_WRITABLE
from uinet.sockopt import (
    IPPROTO_TCP,
    MSG_OOB,
    SHUT_WR,
    SO_OOBINLINE,
    SO_RCVLOWAT,
    SOL_SOCKET,
    TCP_CORK,
    TCP_DEFER_ACCEPT,
    TCP_MAXSEG,
    TCP_NODELAY,
    TCP_NOTSENT_LOWAT,
    TCP_WINDOW_CLAMP,
)
from uinet.units import MASK32
from uinet.wire.tcp_options import Mss


def sizes(peer: Peer) -> list[int]:
    return [len(seg.data) for seg in peer.drain()]


def corked(peer: Peer) -> Any:
    sock = peer.passive()
    sock.setsockopt(IPPROTO_TCP, TCP_CORK, True)
    return sock


# corks


def test_cork_holds_what_is_not_full_and_sends_what_is() -> None:
    peer = Peer()
    sock = corked(peer)
    sock.send(bytes(100))
    peer.flush()
    peer.quiet()
    sock.send(bytes(3000))
    peer.flush()
    assert sizes(peer) == [1460, 1460]


def test_cork_pulled_sends_what_it_held_though_nagle_would_wait() -> None:
    peer = Peer()
    sock = corked(peer)
    sock.send(bytes(1500))
    peer.flush()
    assert sizes(peer) == [1460]
    sock.setsockopt(IPPROTO_TCP, TCP_CORK, False)
    peer.flush()
    peer.expect("P.", length=40)
    sock.send(b"x")  # and Nagle again
    peer.flush()
    peer.quiet()
    peer.ack = (peer.ack + 1500) & MASK32
    peer.send(".")
    peer.expect("P.", length=1)


@pytest.mark.parametrize("outstanding", [False, True])
def test_cork_holds_for_200_ms_at_most(outstanding: bool) -> None:
    peer = Peer()
    sock = corked(peer)
    sock.send(bytes(1460 + 10 if outstanding else 10))
    peer.flush()
    assert sizes(peer) == ([1460] if outstanding else [])
    if outstanding:
        peer.ack = (peer.ack + 1460) & MASK32
        peer.send(".")
    start = peer.now
    peer.advance(0.199)
    peer.quiet()
    peer.advance(0.01)
    seg = peer.expect("P.", length=10)
    assert 200 <= (seg.time - start) / 1e6 <= 202
    peer.ack = seg.end
    peer.send(".")
    sock.send(bytes(10))  # the next piece waits as long
    peer.flush()
    peer.advance(0.19)
    peer.quiet()
    peer.advance(0.02)
    peer.expect("P.", length=10)


def test_cork_does_not_hold_the_end_and_leaves_nothing_behind() -> None:
    peer = Peer()
    sock = corked(peer)
    sock.send(b"end")
    peer.flush()
    sock.shutdown(SHUT_WR)
    peer.flush()
    peer.expect("FP.", data=b"end")
    sock.abort()
    peer.collect()
    peer.listener.close()
    peer.drain()
    peer.gone(1)


def test_no_delay_sends_what_nagle_has_held() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.send(b"a")
    peer.flush()
    peer.expect("P.", data=b"a")
    sock.send(b"b")
    peer.flush()
    peer.quiet()
    sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, True)
    peer.flush()
    peer.expect("P.", data=b"b")


# segments and windows


def test_maxseg_limits_what_is_offered_and_what_is_sent() -> None:
    peer = Peer()
    peer.listen().setsockopt(IPPROTO_TCP, TCP_MAXSEG, 700)
    sock = peer.passive(before=None)
    assert sock.info().snd_mss == 700 and sock.getsockopt(IPPROTO_TCP, TCP_MAXSEG) == 700
    sock.send(bytes(1500))
    peer.flush()
    assert sizes(peer) == [700, 700, 100]
    other = Peer()
    _, seg = other.connecting(lambda sock: sock.setsockopt(IPPROTO_TCP, TCP_MAXSEG, 600))
    assert seg.option(Mss) == Mss(600)


def test_maxseg_is_offered_by_the_listener_and_by_its_cookies() -> None:
    peer = Peer()
    peer.listen(backlog=1).setsockopt(IPPROTO_TCP, TCP_MAXSEG, 700)
    for _ in range(2):
        peer.send("S", ISN, options=PLAIN)
        assert peer.expect("S.").option(Mss) == Mss(700)
        peer.peer_port += 1
    assert peer.count("tcp_syncookie_sent") == 1


def test_maxseg_of_an_established_connection_only_shrinks() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.setsockopt(IPPROTO_TCP, TCP_MAXSEG, 500)
    sock.send(bytes(500))
    sock.send(bytes(500))
    peer.flush()
    assert sizes(peer) == [500, 500]
    sock.setsockopt(IPPROTO_TCP, TCP_MAXSEG, 1400)
    assert sock.info().snd_mss == 500


@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_window_clamp_bounds_the_window_from_the_syn_on(options: Any) -> None:
    peer = Peer()
    peer.listen().setsockopt(IPPROTO_TCP, TCP_WINDOW_CLAMP, 4096)
    seg = peer.syn(options)
    assert seg.window == 4096
    peer.send(".")
    sock = peer.listener.accept()
    peer.data(bytes(3000))
    peer.advance(0.1)
    assert peer.drain()[-1].window <= 1100
    assert len(read(sock)) == 3000
    assert sock.info().rcv_wnd <= 4096


def test_window_clamp_later_takes_no_window_back() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.setsockopt(IPPROTO_TCP, TCP_WINDOW_CLAMP, 2048)
    for _ in range(100):  # what was offered is taken; the Watch sees to it that the right edge stays
        peer.data(bytes(700))
        read(sock)
        peer.advance(0.05)
        peer.drain()
    assert sock.info().rcv_wnd <= 2048


# low-water marks


def test_rcvlowat_makes_readable_only_from_so_many_bytes_on() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.setsockopt(SOL_SOCKET, SO_RCVLOWAT, 10)
    told: list[int] = []
    peer.flush()
    sock.on_event = lambda _, events: told.append(events)
    peer.data(b"123456789")
    assert not sock.readable and not told
    peer.data(b"0")
    assert sock.readable and told == [EV_READABLE]
    assert sock.recv(4) == b"1234" and not sock.readable  # but what is there can be read
    assert sock.recv(4) == b"5678"
    peer.data(b"", "F.")
    assert sock.readable and read(sock) == b"90"


def test_rcvlowat_beyond_the_buffer_does_not_wait_for_ever() -> None:
    peer = Peer(receive_buffer=4096)
    sock = peer.passive()
    sock.setsockopt(SOL_SOCKET, SO_RCVLOWAT, 100_000)
    peer.data(bytes(1400))
    assert not sock.readable
    peer.data(bytes(1400))
    assert sock.readable


def test_notsent_lowat_stops_the_writer_until_little_waits() -> None:
    peer = Peer()
    sock = peer.passive(window=2000)
    peer.window = 2000
    sock.setsockopt(IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1000)
    assert sock.send(bytes(5000)) == 5000
    assert not sock.writable and sock.send_space == 0 and error_of(sock.send, b"x") is WouldBlock
    peer.flush()
    assert sock.unsent == 5000 - sum(sizes(peer)) and sock.unacknowledged == 5000
    peer.stack.events()
    for _ in range(6):
        sent = 5000 - sock.unsent - (5000 - sock.unacknowledged)
        peer.ack = (peer.ack + sent) & MASK32
        peer.send(".")
        peer.drain()
        told = [events for _, events in peer.stack.events()]
        if sock.unsent < 1000:
            assert told == [EV_WRITABLE] and sock.writable
            break
        assert told == []
    assert sock.unsent < 1000
    assert sock.send(b"x") == 1


def test_counts_of_bytes_that_wait() -> None:
    peer = Peer()
    sock = peer.passive()
    peer.data(b"12345")
    assert (sock.unread, sock.unacknowledged, sock.unsent) == (5, 0, 0)
    sock.send(b"123")
    assert (sock.unacknowledged, sock.unsent) == (3, 3)
    peer.flush()
    assert (sock.unacknowledged, sock.unsent) == (3, 0)
    fresh = peer.stack.socket()
    assert (fresh.unread, fresh.unacknowledged, fresh.unsent, fresh.at_mark) == (0, 0, 0, False)


# deferral


def deferring(seconds: float = 5) -> Peer:
    peer = Peer()
    peer.listen().setsockopt(IPPROTO_TCP, TCP_DEFER_ACCEPT, seconds)
    return peer


def test_defer_accept_waits_for_data() -> None:
    peer = deferring()
    peer.syn()
    peer.send(".")
    peer.send(".")
    peer.quiet()
    assert error_of(peer.listener.accept) is WouldBlock and peer.count("tcp_accept_deferred") == 2
    peer.advance(4)
    peer.quiet()
    peer.data(b"GET /")
    sock = peer.listener.accept()
    assert read(sock) == b"GET /"


def test_defer_accept_without_data_accepts_after_its_time() -> None:
    peer = deferring()
    peer.syn()
    peer.send(".")
    peer.advance(5.1)
    peer.expect("S.")
    assert error_of(peer.listener.accept) is WouldBlock
    peer.send(".")
    assert peer.listener.accept().state == "ESTABLISHED"


def test_defer_accept_fin_is_told() -> None:
    peer = deferring()
    peer.syn()
    peer.data(b"", "F.")
    peer.expect(".")
    assert peer.listener.accept().state == "CLOSE-WAIT"


def test_defer_accept_silent_peer_is_forgotten() -> None:
    peer = deferring(1)
    peer.syn()
    peer.send(".")
    peer.listener.setsockopt(IPPROTO_TCP, TCP_DEFER_ACCEPT, 1)
    peer.advance(200)
    assert len(peer.drain()) == 5 and peer.stack.tcp.syn_count == 0


# urgent data in line


@pytest.mark.rfc("6093", "2", "reads with SO_OOBINLINE stop at the mark, which can be asked for")
def test_oobinline_reads_stop_before_the_last_urgent_byte() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.setsockopt(SOL_SOCKET, SO_OOBINLINE, True)
    peer.data(b"beforeMafter", "PU.", urgent=7)
    assert not sock.at_mark and sock.urgent_left == 7
    assert sock.recv(100) == b"before"
    assert sock.at_mark
    buffer = bytearray(100)
    assert sock.recv_into(buffer) == 6 and buffer[:6] == b"Mafter"
    assert not sock.at_mark


@pytest.mark.rfc("6093", "3.1", "without it all is read in line, and none is lost")
def test_without_oobinline_reads_go_on() -> None:
    peer = Peer()
    sock = peer.passive()
    peer.data(b"beforeMafter", "PU.", urgent=7)
    assert sock.recv(100) == b"beforeMafter"


def test_urgent_byte_is_sent_through_a_shut_window_as_a_pointer() -> None:
    peer = Peer()
    sock = peer.passive()
    peer.window = 0
    peer.send(".")
    sock.send(b"!", MSG_OOB)
    peer.flush()
    peer.advance(2)
    probes = peer.drain()
    assert probes and all("U" in seg.flags for seg in probes)


# TCP_INFO


def test_info_tells_what_the_connection_knows() -> None:
    peer = Peer()
    peer.listen().setsockopt(IPPROTO_TCP, TCP_MAXSEG, 1000)
    sock = peer.passive(FULL)
    info = sock.info()
    assert (info.pmtu, info.advmss, info.snd_mss) == (1500, 1000, 988)
    assert (info.bytes_acked, info.probes, info.persisting, info.urgent_left) == (0, 0, False, 0)
    assert (info.fast_open, info.signed, info.passive_open, info.ecn) == ("", "", True, False)
    assert info.user_timeout == 900 and info.ato == 0.04
    sock.send(bytes(5000))
    peer.flush()
    sent = sum(sizes(peer))
    assert (sock.info().bytes_sent, sock.info().bytes_acked) == (sent, 0)
    peer.ack = (peer.ack + 988) & MASK32
    peer.send(".")
    assert sock.info().bytes_acked == 988
    peer.advance(0.01)
    assert 0.009 < sock.info().idle < 0.02
    peer.drain()
    peer.send(".", peer.seq + 100, data=b"x")
    assert sock.info().islands == 1 and sock.info().out_of_order == 1
    sock.shutdown(SHUT_WR)
    peer.advance(1)
    peer.ack = (peer.ack + 5000 - 988 + 1) & MASK32
    peer.send(".")
    assert sock.info().bytes_acked == 5000


def test_info_of_a_shut_window_counts_probes() -> None:
    peer = Peer()
    sock = peer.passive()
    peer.window = 0
    peer.send(".")
    sock.send(b"wait")
    peer.flush()
    peer.advance(3.5)
    info = sock.info()
    assert info.persisting and info.probes == len(peer.drain()) > 0
