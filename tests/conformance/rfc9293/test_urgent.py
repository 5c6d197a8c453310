"""RFC 9293 3.8.5 and RFC 6093: urgent data, in line."""

from __future__ import annotations

import pytest

import uinet
from tests.unit.tcp.peer import ISN, PLAIN, Peer, read
from uinet.errors import InvalidArgument
from uinet.events import EV_URGENT
from uinet.units import MASK32
from uinet.wire.tcp_options import Mss

TCP_NODELAY = 1


def told(peer: Peer) -> int:
    """How often the user was told of urgent data since the last call."""
    return sum(bool(events & EV_URGENT) for _, events in peer.stack.events())


@pytest.mark.rfc("9293", "MUST-30", "urgent data is supported: nothing of it is lost, and its end is known")
@pytest.mark.rfc("6093", "3.1", "urgent data is delivered in line")
@pytest.mark.parametrize("v6", [False, True])
def test_established_urgent_data_is_read_in_line_with_its_end_known(v6: bool) -> None:
    peer = Peer(v6=v6)
    sock = peer.passive()
    peer.data(b"plain")
    peer.data(b"URGENT!tail", "U.", urgent=7)
    assert told(peer) == 1 and sock.urgent_left == 12
    assert sock.recv(5) == b"plain" and sock.urgent_left == 7
    assert sock.recv(sock.urgent_left) == b"URGENT!" and sock.urgent_left == 0
    assert read(sock) == b"tail" and sock.urgent_left == 0
    with pytest.raises(InvalidArgument):
        sock.recv(1, uinet.MSG_OOB)


@pytest.mark.rfc("9293", "MUST-31", "a sequence of urgent data has any length")
@pytest.mark.parametrize("size", [1, 2, 1460, 60_000, 65_535, 200_000])
def test_established_urgent_data_of_any_length(size: int) -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    start = peer.seq
    got = 0
    for at in range(0, size, 1000):
        ahead = min(size - at, 65_535)
        peer.data(bytes(min(1000, size - at)), "U.", urgent=ahead)
        assert sock.urgent_left == ahead or at + ahead == size
        got += len(sock.recv(1000))
        assert got + sock.urgent_left == min(at + 65_535, size)
    assert got == size == (peer.seq - start) & MASK32 and sock.urgent_left == 0


@pytest.mark.rfc("9293", "MUST-32", "the user is told when the pointer comes, and when it advances, and else not")
def test_established_user_is_told_of_each_advance_of_the_pointer() -> None:
    peer = Peer()
    sock = peer.passive()
    assert told(peer) == 0
    peer.send("U.", urgent=100)  # announced before it comes
    assert told(peer) == 1 and sock.urgent_left == 100 and not sock.readable
    peer.send("U.", urgent=100)
    peer.data(b"x" * 50, "U.", urgent=100)
    assert told(peer) == 0 or sock.urgent_left == 100
    peer.stack.events()
    peer.data(b"x" * 50, "U.", urgent=50)
    assert told(peer) == 0
    peer.data(b"", "U.", urgent=10)
    assert told(peer) == 1 and sock.urgent_left == 110
    read(sock)
    assert sock.urgent_left == 10
    peer.data(b"0123456789")
    assert told(peer) == 0
    read(sock)
    assert sock.urgent_left == 0
    peer.data(b"again", "U.", urgent=5)
    assert told(peer) == 1


@pytest.mark.rfc("9293", "MUST-33", "the user can learn how much urgent data is left")
def test_established_amount_of_urgent_data_counts_down_to_the_byte() -> None:
    peer = Peer()
    sock = peer.passive()
    peer.data(b"abcdefgh", "U.", urgent=6)
    assert [(sock.urgent_left, sock.recv(1)) for _ in range(8)] == [
        (6, b"a"), (5, b"b"), (4, b"c"), (3, b"d"), (2, b"e"), (1, b"f"), (0, b"g"), (0, b"h"),
    ]


@pytest.mark.rfc("9293", "MUST-62", "the pointer points behind the last octet of urgent data")
@pytest.mark.rfc("6093", "4", "the pointer points behind the last octet of urgent data")
@pytest.mark.parametrize("v6", [False, True])
def test_established_urgent_data_is_sent_with_a_pointer_behind_it(v6: bool) -> None:
    peer = Peer(v6=v6)
    sock = peer.passive((Mss(1000),))
    sock.setsockopt(6, TCP_NODELAY, True)
    sock.send(b"plain")
    peer.flush()
    seg = peer.expect("P.", data=b"plain")
    assert seg.frame.tcp.urgent_pointer == 0
    sock.send(b"!" * 2500, uinet.MSG_OOB)
    sock.send(b"plain again")
    peer.flush()
    sent = peer.drain()
    end = (peer.ack + 5 + 2500) & MASK32
    for seg in sent:
        urgent = (end - seg.seq) & MASK32 < 1 << 31 and seg.seq != end
        assert ("U" in seg.flags) is urgent
        assert seg.frame.tcp.urgent_pointer == ((end - seg.seq) & MASK32 if urgent else 0)
    assert sum("U" in seg.flags for seg in sent) == 3
    peer.ack = sent[-1].end
    peer.send(".")
    sock.send(b"plain for good")
    peer.flush()
    assert "U" not in peer.expect(data=b"plain for good").flags


@pytest.mark.rfc("9293", "MUST-30", "urgent data is announced through a closed window, and not held back by Nagle")
def test_established_urgent_data_is_announced_although_it_can_not_be_sent() -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    sock.send(b"in flight")
    peer.flush()
    peer.expect("P.")
    sock.send(b"small, but urgent", uinet.MSG_OOB)
    peer.flush()
    seg = peer.expect("UP.", data=b"small, but urgent")
    assert seg.frame.tcp.urgent_pointer == len(seg.data)
    peer.ack, peer.window = seg.end, 0
    peer.send(".")
    sock.send(b"more", uinet.MSG_OOB)
    peer.flush()
    peer.advance(1.2)
    probe = peer.expect(data=b"m")
    assert "U" in probe.flags and probe.frame.tcp.urgent_pointer == 4
    peer.advance(10)
    assert all("U" in seg.flags for seg in peer.drain())
    peer.data(b"", ".")


@pytest.mark.rfc("9293", "MUST-31", "urgent data of any length is sent")
def test_established_pointer_of_far_urgent_data_is_the_largest() -> None:
    peer = Peer(send_buffer=1 << 20)
    sock = peer.passive(PLAIN)
    size = 150_000
    assert sock.send(bytes(size), uinet.MSG_OOB) == size
    start, got, ends = peer.ack, 0, set()
    peer.flush()
    while got < size:
        for seg in peer.out:
            ahead = size - ((seg.seq - start) & MASK32)
            assert "U" in seg.flags and seg.frame.tcp.urgent_pointer == min(ahead, 65_535)
            ends.add((seg.seq - start + seg.frame.tcp.urgent_pointer) & MASK32)
        got += len(peer.take())
    assert max(ends) == size
    peer.advance(1)
    assert not any("U" in seg.flags for seg in peer.drain())


@pytest.mark.rfc("9293", "MUST-66", "URG is processed with a closed window")
def test_closed_window_urgent_pointer_is_taken() -> None:
    peer = Peer(receive_buffer=2048)
    sock = peer.passive()
    peer.data(bytes(2048))
    peer.advance(0.1)
    peer.drain()
    told(peer)
    peer.send("U.", data=b"x" * 10, urgent=10)
    assert told(peer) == 1 and sock.urgent_left == 2058
    peer.send("U.", urgent=12)
    assert told(peer) == 1 and sock.urgent_left == 2060
    assert peer.drain()[-1].window == 0
    assert len(read(sock)) == 2048 and sock.urgent_left == 12


@pytest.mark.threat(47)
@pytest.mark.rfc("9293", "MUST-30", "a pointer to anywhere does no harm")
@pytest.mark.parametrize("pointer", [0, 1, 3, 4, 5, 1000, 65_535])
@pytest.mark.parametrize("fin", [False, True])
def test_established_urgent_pointer_to_anywhere_is_survived(pointer: int, fin: bool) -> None:
    peer = Peer()
    sock = peer.passive()
    peer.data(b"abc", "U.", urgent=pointer)
    assert sock.urgent_left == pointer
    peer.send("U.", peer.seq - 3, data=b"abc", urgent=2)
    peer.send("U.", peer.seq - 1000, urgent=1)
    peer.send("U.", peer.seq + 70_000, data=b"far", urgent=5)
    peer.data(b"d", "FU." if fin else "U.", urgent=0)
    pointer = max(pointer, 3)  # the last one says that what came before it is urgent
    assert sock.urgent_left == (min(pointer, 4) if fin else pointer)
    assert read(sock) == b"abcd"
    assert sock.urgent_left == (0 if fin else max(0, pointer - 4))
    if fin:
        assert sock.recv(1) == b""


@pytest.mark.threat(47)
def test_urg_in_states_without_data_says_nothing() -> None:
    peer = Peer()
    sock, _ = peer.connecting()
    peer.send("SU.", ISN, urgent=9, options=PLAIN)
    peer.expect(".")
    assert sock.state == "ESTABLISHED" and sock.urgent_left == 0
    other = Peer()
    sock = other.close_wait()
    other.send("U.", urgent=50)
    assert sock.urgent_left == 0 and told(other) <= 1
