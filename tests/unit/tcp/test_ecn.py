"""Explicit congestion notification (RFC 3168): who asks for it, what may be marked, what a mark does."""

from __future__ import annotations

import pytest

from tests.unit.tcp.ecn import CE, CLASSIC, ECT0, ECT1, EcnPeer, ace, ecn
from uinet.sockopt import IP_TOS, IPPROTO_IP
from uinet.units import MASK32


def outgoing(peer: EcnPeer) -> list[tuple[int, int, int]]:
    """(bytes, ECN field, flags) of what was sent."""
    return [(len(seg.data), ecn(seg), ace(seg)) for seg in peer.drain()]


@pytest.mark.rfc("3168", "6.1.1", "a server answers an ECN-setup SYN with ECE, and no other SYN")
@pytest.mark.rfc("3168", "6.1.1", "SYN and SYN,ACK are not ECN-capable")
@pytest.mark.threat(51)
@pytest.mark.parametrize(
    ("setting", "syn", "answer"),
    [
        (0, 0b011, 0), (1, 0b011, 1), (2, 0b011, 1), (2, 0b001, 0), (2, 0b010, 0), (2, 0b100, 0), (2, 0b111, 1),
        (2, 0, 0),
    ],
)
def test_server_answers_by_the_flags_of_the_syn(setting: int, syn: int, answer: int) -> None:
    peer = EcnPeer(setting)
    sock, reply = peer.server(syn)
    assert (ace(reply), ecn(reply)) == (answer, 0)
    assert sock.info().ecn == bool(answer)
    sock.send(b"x")
    peer.flush()
    assert outgoing(peer) == [(1, ECT0 if answer else 0, 0)]


@pytest.mark.rfc("3168", "6.1.1", "a client that asks uses ECN only if the SYN,ACK has ECE and not CWR")
@pytest.mark.parametrize(
    ("setting", "answer", "agreed"), [(1, 0b001, True), (1, 0b011, False), (1, 0b010, False), (1, 0, False),
                                      (1, 0b101, True), (2, 0b001, False), (0, 0b001, False)],
)
def test_client_goes_by_the_flags_of_the_answer(setting: int, answer: int, agreed: bool) -> None:
    peer = EcnPeer(setting)
    sock, syn, first = peer.client(answer)
    assert ace(syn) == (CLASSIC if setting == 1 else 0)
    assert ecn(syn) == ecn(first) == 0 and ace(first) == 0
    assert sock.info().ecn is agreed
    sock.send(b"x")
    peer.flush()
    assert outgoing(peer) == [(1, ECT0 if agreed else 0, 0)]


@pytest.mark.rfc("3168", "6.1.1.1", "after ECN-setup SYNs that nobody answers, one without ECN")
def test_client_whose_syns_are_swallowed_tries_without() -> None:
    peer = EcnPeer(1)
    sock = peer.stack.socket()
    sock.connect((peer.there, 7))
    peer.flush()
    peer.advance(8.0)
    assert [ace(seg) for seg in peer.drain()] == [CLASSIC, CLASSIC, 0, 0]


@pytest.mark.rfc("3168", "6.1.3", "CE is echoed with ECE in every ACK until a segment with CWR comes")
def test_mark_is_echoed_until_the_peer_has_reduced() -> None:
    peer = EcnPeer(2)
    peer.server(CLASSIC)
    peer.data(b"a", ecn=ECT0)
    peer.advance(0.1)
    assert outgoing(peer) == [(0, 0, 0)]
    peer.data(b"b", ecn=CE)
    assert outgoing(peer) == [(0, 0, 1)], "at once"
    for octet in (b"c", b"d", b"e"):
        peer.data(octet, ecn=ECT1)
        peer.advance(0.1)
        assert outgoing(peer) == [(0, 0, 1)]
    peer.data(b"f", ecn=ECT0, ace=0b010)  # CWR
    peer.advance(0.1)
    assert outgoing(peer) == [(0, 0, 0)]
    peer.data(b"g", ecn=CE, ace=0b010)
    assert outgoing(peer) == [(0, 0, 1)], "marked again"
    assert peer.count("tcp_ce_in") == 2


@pytest.mark.rfc("3168", "6.1.2", "ECE halves the window, once for a window of data")
@pytest.mark.rfc("3168", "6.1.2", "the first new segment after that has CWR")
@pytest.mark.threat(63)
def test_echo_reduces_once_a_window_and_is_answered_with_cwr() -> None:
    peer = EcnPeer(2)
    sock, _ = peer.server(CLASSIC)
    sock.send(bytes(100_000))
    peer.flush()
    assert outgoing(peer) == [(1460, ECT0, 0)] * 10
    for _ in range(10):
        peer.ack = (peer.ack + 1460) & MASK32
        peer.send(".", ace=1)
    sent = outgoing(peer)
    assert sock.info().snd_ssthresh == 7300  # half of what was in flight before the first ACK
    assert sent[0] == (1460, ECT0, 2) and {flags for _, _, flags in sent[1:]} <= {0}
    assert sock.info().snd_cwnd <= 6570 + 1460
    assert sock.info().retransmits == 0
    window = sock.info().snd_cwnd
    for _ in range(30):  # whatever the peer says, it is once a round trip
        peer.ack = (peer.ack + 1460) & MASK32
        peer.send(".", ace=1)
    assert sock.info().snd_ssthresh >= 2 * 1460
    assert sock.info().snd_cwnd >= window // 8


@pytest.mark.rfc("3168", "6.1.2", "ECE counts only where ECN was agreed on")
@pytest.mark.threat(51)
def test_echo_without_agreement_is_ignored() -> None:
    peer = EcnPeer(2)
    sock, _ = peer.server(0)
    sock.send(bytes(30_000))
    peer.flush()
    assert len(outgoing(peer)) == 10
    for _ in range(5):
        peer.ack = (peer.ack + 1460) & MASK32
        peer.send(".", ace=0b111)
    assert sock.info().snd_cwnd > 14_600 and sock.info().snd_ssthresh > 1 << 20
    peer.data(b"x", ecn=CE)
    peer.advance(0.1)
    assert all(flags == 0 for _, _, flags in outgoing(peer))


@pytest.mark.rfc("3168", "6.1.5", "retransmissions are not ECN-capable")
@pytest.mark.rfc("3168", "6.1.2", "a timeout reduces the window: the next new segment has CWR")
def test_retransmission_is_not_ecn_capable() -> None:
    peer = EcnPeer(2, frto=False)
    sock, _ = peer.server(CLASSIC)
    sock.send(bytes(14_600))
    peer.flush()
    assert len(outgoing(peer)) == 10
    peer.advance(1.1)
    again = outgoing(peer)
    assert again and {field for _, field, _ in again} == {0} and {flags for _, _, flags in again} == {0}
    peer.ack = (peer.ack + 14_600) & MASK32
    peer.send(".")
    peer.drain()
    sock.send(b"new")
    peer.flush()
    assert outgoing(peer) == [(3, ECT0, 2)]


@pytest.mark.rfc("3168", "6.1.6", "window probes are not ECN-capable")
@pytest.mark.rfc("3168", "6.1.4", "bare ACKs are not ECN-capable")
def test_window_probe_is_not_ecn_capable() -> None:
    peer = EcnPeer(2)
    sock, _ = peer.server(CLASSIC)
    peer.send(".", window=0)
    sock.send(b"waiting")
    peer.advance(3.0)
    probes = outgoing(peer)
    assert probes and set(probes) == {(1, 0, 0)}
    peer.data(b"x")
    peer.advance(0.1)
    assert all(field == 0 for size, field, _ in outgoing(peer) if size <= 1)


@pytest.mark.rfc("3168", "6.1.3", "a SYN,ACK that is sent again is the same")
def test_syn_ack_again_still_agrees() -> None:
    peer = EcnPeer(2)
    peer.listen()
    peer.send("S", peer.seq, options=(), ace=CLASSIC)
    peer.advance(3.5)
    assert [ace(seg) for seg in peer.drain()] == [1, 1, 1]


def test_users_type_of_service_leaves_the_ecn_field_alone() -> None:
    peer = EcnPeer(2)
    sock, _ = peer.server(0)
    sock.setsockopt(IPPROTO_IP, IP_TOS, 0xBB)
    sock.send(b"x")
    peer.flush()
    (seg,) = peer.drain()
    assert ecn(seg) == 0
