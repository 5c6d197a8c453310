"""What ICMP errors do to connections (RFC 5927, 5461, 1191, 8201; RFC 9293 3.9.2.2)."""

from __future__ import annotations

import pytest

import uinet
from tests.unit.tcp.peer import FULL, PLAIN, Peer
from uinet.errors import ConnectionRefused, HostUnreachable
from uinet.ip.icmp import HOST_UNREACHABLE
from uinet.units import MASK32, SECOND
from uinet.wire import build

V4_HARD, V4_SOFT = [(3, 2), (3, 3)], [(3, 0), (3, 1), (3, 5), (11, 0), (11, 1), (12, 0)]


def report(
    peer: Peer, kind: int, code: int, seq: int, *, info: int = 0, size: int = 1500, port: int | None = None
) -> None:
    """An ICMP error of the router about a segment of the stack."""
    packet = build.tcp(
        peer.here, peer.there, peer.port, peer.peer_port if port is None else port, ".", seq & MASK32, 0,
        payload=bytes(size - (60 if ":" in peer.here else 40)), layer=3,
    )
    quote = packet[:1000] if ":" in peer.here else packet[:68]
    peer.give(build.icmp_message(peer.there, peer.here, kind, code, info, quote))


@pytest.mark.threat(32)
@pytest.mark.rfc("9293", "MUST-54", "errors reach the connection that they quote")
@pytest.mark.rfc("9293", "SHLD-26", "hard errors end a connection that is being opened")
@pytest.mark.parametrize(("kind", "code"), V4_HARD)
def test_syn_sent_hard_error_needs_the_right_numbers(kind: int, code: int) -> None:
    peer = Peer()
    sock, seg = peer.connecting()
    report(peer, kind, code, seg.seq + 1)
    report(peer, kind, code, seg.seq - 1)
    report(peer, kind, code, seg.seq, port=8)
    assert sock.state == "SYN-SENT"
    report(peer, kind, code, seg.seq)
    assert sock.state == "CLOSED" and sock.error is not None
    assert isinstance(sock.error, ConnectionRefused) or code == 2


@pytest.mark.rfc("5461", "2.2", "a soft error does not end a connection that is being opened")
@pytest.mark.parametrize(("kind", "code"), V4_SOFT)
def test_syn_sent_soft_error_is_kept_for_the_end(kind: int, code: int) -> None:
    peer = Peer()
    sock, seg = peer.connecting()
    report(peer, kind, code, seg.seq)
    assert sock.state == "SYN-SENT"
    peer.advance(300)
    assert sock.state == "CLOSED" and sock.error is not None
    assert sock.error is sock.tcb.soft_error  # type: ignore[union-attr]


@pytest.mark.rfc("9293", "MUST-56", "soft errors don't abort")
@pytest.mark.parametrize(("kind", "code"), V4_HARD + V4_SOFT)
def test_established_errors_are_soft(kind: int, code: int) -> None:
    peer = Peer()
    sock = peer.passive()
    sock.send(b"data")
    peer.flush()
    report(peer, kind, code, peer.ack)
    assert sock.state == "ESTABLISHED" and sock.tcb is not None and sock.tcb.soft_error is not None


@pytest.mark.rfc("9293", "MUST-55", "source quench is discarded silently")
def test_established_source_quench_is_ignored() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.send(b"data")
    peer.flush()
    before = sock.info()
    report(peer, 4, 0, peer.ack)
    assert sock.info() == before


@pytest.mark.threat(34)
@pytest.mark.parametrize("v6", [False, True])
def test_established_path_mtu_is_learnt_and_what_is_lost_sent_again(v6: bool) -> None:
    peer = Peer(v6=v6)
    sock = peer.passive(PLAIN)
    sock.send(bytes(5000))
    peer.flush()
    start = peer.drain()[0].seq
    report(peer, *((2, 0) if v6 else (3, 4)), start, info=1300)
    assert sock.info().snd_mss == 1300 - (60 if v6 else 40)
    again = peer.drain()
    assert again[0].seq == start and all(len(seg.frame.packet) <= 1300 for seg in again)
    got = 0
    for _ in range(20):
        peer.out = again + peer.out
        again = []
        got += len(peer.take())
    assert got == 5000


@pytest.mark.threat(34)
@pytest.mark.rfc("5927", "7.2", "the quoted sequence number has to be in flight")
@pytest.mark.parametrize("off", [-1, 5000, 100_000])
def test_established_path_mtu_with_wrong_numbers_is_ignored(off: int) -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    sock.send(bytes(5000))
    peer.flush()
    report(peer, 3, 4, peer.ack + off, info=600)
    assert sock.info().snd_mss == 1460


@pytest.mark.threat(34)
@pytest.mark.parametrize("mtu", [0, 1, 68, 500])
def test_established_path_mtu_has_a_floor(mtu: int) -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    sock.send(bytes(5000))
    peer.flush()
    report(peer, 3, 4, peer.ack, info=mtu)
    assert sock.info().snd_mss >= 552 - 52
    peer.drain()


@pytest.mark.threat(34)
def test_established_path_mtu_is_never_raised() -> None:
    peer = Peer()
    sock = peer.passive((build.tcp_options.Mss(1000),))
    sock.send(bytes(5000))
    peer.flush()
    report(peer, 3, 4, peer.ack, info=1400)
    assert sock.info().snd_mss == 1000


@pytest.mark.threat(34)
def test_established_path_mtu_v6_below_the_minimum_is_ignored() -> None:
    peer = Peer(v6=True)
    sock = peer.passive(PLAIN)
    sock.send(bytes(5000))
    peer.flush()
    report(peer, 2, 0, peer.ack, info=600)
    assert sock.info().snd_mss == 1440


def test_syn_sent_neighbour_that_does_not_answer_fails_soon() -> None:
    stack = uinet.Stack(b"alone")
    interface = stack.add_interface("eth0")
    interface.add_address("10.0.0.1/24")
    sock = stack.connect(("10.0.0.9", 80))
    stack.output(interface)  # who has 10.0.0.9?
    for second in range(1, 10):
        stack.poll(second * SECOND)
        stack.output(interface)
    assert sock.state == "CLOSED" and isinstance(sock.error, HostUnreachable)
    assert stack.tcp.table.count == 0 and stack.wheel.count == 0


def test_established_neighbour_that_falls_silent_is_a_soft_error() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.send(b"data")
    peer.flush()
    assert sock.tcb is not None
    peer.stack.tcp.unreachable(sock.tcb, HOST_UNREACHABLE, True)
    assert sock.state == "ESTABLISHED" and isinstance(sock.tcb.soft_error, HostUnreachable)
