"""Data out: Nagle, silly windows, PSH, windows that shrink or shut, probes (RFC 9293 3.7.4, 3.8.6)."""

from __future__ import annotations

import itertools

import pytest

from tests.unit.tcp.peer import FULL, Peer, error_of
from uinet.errors import BrokenPipe, TimedOut, WouldBlock
from uinet.events import EV_WRITABLE
from uinet.seq import seq_diff
from uinet.units import SECOND

TCP_NODELAY, TCP_CORK, USER_TIMEOUT = 1, 3, 18


@pytest.mark.rfc("9293", "SHLD-7", "Nagle's algorithm")
def test_established_small_writes_wait_for_the_ack() -> None:
    peer = Peer()
    sock = peer.passive()
    for _ in range(5):
        sock.send(b"ab")
        peer.flush()
    peer.expect("P.", data=b"ab")
    peer.quiet()
    peer.ack = (peer.ack + 2) & 0xFFFFFFFF
    peer.send(".")
    peer.expect("P.", data=b"ab" * 4)


@pytest.mark.rfc("9293", "MUST-17", "the user can turn Nagle's algorithm off")
def test_established_no_delay_sends_each_write() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.setsockopt(6, TCP_NODELAY, True)
    for _ in range(5):
        sock.send(b"ab")
        peer.flush()
        peer.expect("P.", data=b"ab")


@pytest.mark.rfc("9293", "MAY-16", "data may be gathered")
def test_established_cork_holds_until_it_is_drawn() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.setsockopt(6, TCP_CORK, True)
    sock.send(b"a" * 1500)
    peer.flush()
    peer.expect(".", length=1460)
    peer.quiet()
    sock.setsockopt(6, TCP_CORK, False)
    peer.ack = (peer.ack + 1460) & 0xFFFFFFFF
    peer.send(".")
    peer.expect("P.", length=40)


@pytest.mark.rfc("9293", "MUST-61", "the last segment of what was written has PSH")
def test_established_last_segment_of_a_write_has_psh() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.send(bytes(4000))
    peer.flush()
    assert [seg.flags for seg in peer.drain()] == [".", ".", "P."]


@pytest.mark.parametrize(
    ("options", "window", "expected"), [((), 65535, 5360), (FULL, 1000, 14480), (FULL, 65535, 14480)]
)
def test_established_first_flight_is_the_initial_window(
    options: tuple[object, ...], window: int, expected: int
) -> None:
    peer = Peer()
    sock = peer.passive(options, window=window)
    sock.send(bytes(100_000))
    peer.flush()
    assert sum(len(seg.data) for seg in peer.drain()) == expected


def test_established_scaled_windows_beyond_64k_are_used() -> None:
    peer = Peer()
    sock = peer.passive(FULL, window=65535)
    sent = 0
    for _ in range(12):
        while True:
            try:
                sock.send(bytes(1 << 20))
            except WouldBlock:
                break
        peer.flush()
        sent += len(peer.take())
        peer.advance(0.01)
    assert sent > 1 << 20


@pytest.mark.rfc("9293", "MUST-38", "the sender avoids silly windows")
def test_established_window_that_opens_by_a_byte_is_not_used() -> None:
    peer = Peer()
    sock = peer.passive(window=4000)
    sock.send(bytes(10_000))
    peer.flush()
    assert len(peer.drain()) == 2  # and not the 1080 bytes that would fit
    peer.ack = (peer.ack + 2920) & 0xFFFFFFFF
    peer.send(".", window=1)
    peer.quiet()
    peer.send(".", window=2)
    peer.quiet()
    peer.advance(5)
    assert len(peer.expect().data) == 2  # the override timer has fired


@pytest.mark.parametrize("left", [0, 500])
def test_established_window_that_shrinks_is_borne(left: int) -> None:
    peer = Peer()
    sock = peer.passive(window=10_000)
    sock.send(bytes(20_000))
    peer.flush()
    assert sum(len(seg.data) for seg in peer.drain()) == 8760
    peer.window = left
    peer.send(".")
    peer.quiet()
    peer.advance(3)
    again = peer.drain()
    assert 1 <= len(again) <= 4 and all(seq_diff(seg.end, peer.ack) <= 10_000 for seg in again)
    peer.window = 65535
    for _ in range(10):
        peer.take()
        peer.advance(1)
    assert sock.info().unsent == sock.info().unacked == 0


# the closed window


def blocked(size: int = 5000, **settings: int) -> tuple[Peer, object]:
    peer = Peer(**settings)
    sock = peer.passive(window=1000)
    sock.send(bytes(1000))
    peer.flush()
    peer.ack = (peer.ack + len(b"".join(seg.data for seg in peer.drain()))) & 0xFFFFFFFF
    peer.window = 0
    peer.send(".")
    sock.send(bytes(range(256)) * (size // 256) + bytes(size % 256))
    peer.flush()
    peer.quiet()
    return peer, sock


@pytest.mark.rfc("9293", "MUST-36", "a closed window is probed")
@pytest.mark.rfc("9293", "SHLD-29", "the first probe comes after the timeout")
@pytest.mark.rfc("9293", "SHLD-30", "the time between probes doubles")
def test_closed_window_is_probed_with_exponential_backoff() -> None:
    peer, sock = blocked()
    start = peer.now
    rto = sock.info().rto  # type: ignore[attr-defined]
    times = []
    for _ in range(12):
        while not peer.out:
            peer.advance(0.1)
        seg = peer.expect(length=1, seq=peer.ack)
        times.append((seg.time - start) / SECOND)
        peer.send(".")
        start = seg.time
    assert times[0] == pytest.approx(rto, abs=0.01)
    for before, after in itertools.pairwise(times):
        assert after == pytest.approx(min(2 * before, 60), rel=0.01)


@pytest.mark.rfc("9293", "MUST-37", "probes that are answered keep it open")
@pytest.mark.rfc("9293", "MUST-35", "closed windows are probed")
def test_closed_window_that_is_answered_stays_open_for_hours() -> None:
    peer, sock = blocked()
    for _ in range(200):
        peer.advance(60)
        for _ in peer.drain():
            peer.send(".")
    assert sock.state == "ESTABLISHED"  # type: ignore[attr-defined]
    peer.window = 65535
    peer.send(".")
    got = b""
    for _ in range(5):
        got += peer.take()
        peer.advance(0.3)
    assert len(got) == 5000


def test_closed_window_that_is_not_answered_times_out() -> None:
    peer, sock = blocked()
    peer.advance(1500)
    assert isinstance(sock.error, TimedOut)  # type: ignore[attr-defined]
    sock.close()  # type: ignore[attr-defined]
    peer.listener.close()
    peer.gone(0)


@pytest.mark.parametrize("size", [1, 2, 5000])
@pytest.mark.parametrize("taken", [False, True])
def test_closed_window_opens_after_a_probe(size: int, taken: bool) -> None:
    peer, sock = blocked(size)
    peer.advance(0.3)
    peer.expect(length=1)
    if taken:
        peer.ack = (peer.ack + 1) & 0xFFFFFFFF
        size -= 1
    peer.window = 65535
    peer.send(".")
    got = b"".join(seg.data for seg in peer.out)
    assert len(got) == size
    peer.take()
    assert sock.info().unacked == sock.info().unsent == 0  # type: ignore[attr-defined]


def test_closed_window_opens_a_little_while_the_probe_is_taken() -> None:
    """The window update and the probe cross: the ACK of the probe's octet is good all the same."""
    peer, sock = blocked()
    peer.advance(0.3)
    peer.expect(length=1)
    peer.window = 100
    peer.send(".")
    peer.quiet()
    peer.ack = (peer.ack + 1) & 0xFFFFFFFF
    peer.window = 65535
    peer.send(".")
    assert peer.count("tcp_ack_too_new") == 0
    assert len(peer.take()) == 4999
    assert sock.info().unacked == 0  # type: ignore[attr-defined]


def test_closed_window_writes_do_not_put_the_probe_off() -> None:
    peer, sock = blocked()
    peer.window = 10
    peer.send(".")
    for _ in range(20):
        peer.advance(0.1)
        sock.send(b"x")  # type: ignore[attr-defined]
        peer.flush()
    assert peer.drain()


def test_closed_window_ack_for_the_peer_is_in_its_window() -> None:
    peer, _ = blocked()
    peer.advance(0.3)
    peer.expect(length=1)
    peer.data(b"x")
    peer.advance(0.1)
    peer.expect(".", seq=peer.ack)


def test_closed_window_fin_waits_behind_the_data() -> None:
    peer, sock = blocked(1)
    sock.close()  # type: ignore[attr-defined]
    peer.advance(2)
    assert all("F" not in seg.flags and len(seg.data) == 1 for seg in peer.drain())
    peer.window = 1000
    peer.send(".")
    assert any("F" in seg.flags for seg in peer.drain())


@pytest.mark.threat(8)
@pytest.mark.threat(9)
@pytest.mark.parametrize("answered", [False, True])
def test_closed_window_for_ever_does_not_keep_an_orphan(answered: bool) -> None:
    peer, sock = blocked()
    sock.close()  # type: ignore[attr-defined]
    peer.listener.close()
    for _ in range(40):
        peer.advance(10)
        for seg in peer.drain():
            if answered and "R" not in seg.flags:
                peer.send(".")
    assert peer.tcbs() == 0
    peer.gone(0)


@pytest.mark.threat(59)
def test_user_timeout_ends_what_is_not_acknowledged() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.setsockopt(6, USER_TIMEOUT, 5000)
    sock.send(b"x")
    peer.advance(20)
    assert isinstance(sock.error, TimedOut)
    assert peer.drain()[-1].flags == "R."
    with pytest.raises(TimeoutError):
        sock.send(b"x")


def test_write_that_fills_the_buffer_exactly_is_told_of_room() -> None:
    peer = Peer(send_buffer=4096)
    sock = peer.passive()
    assert sock.send(bytes(4096)) == 4096
    assert error_of(sock.send, b"x") is WouldBlock
    peer.flush()
    peer.take()
    assert any(events & EV_WRITABLE for _, events in peer.stack.events())


def test_write_that_fills_the_buffer_is_told_of_room_without_asking_again() -> None:
    peer = Peer(send_buffer=4096)
    sock = peer.passive()
    assert sock.send(bytes(4096)) == 4096 and sock.send_space == 0
    peer.flush()
    peer.take()
    assert any(events & EV_WRITABLE for _, events in peer.stack.events())


def test_write_after_shutdown_is_refused() -> None:
    peer = Peer()
    sock = peer.fin_wait_2()
    assert error_of(sock.send, b"x") is BrokenPipe
