"""RFC 3168: congestion marks instead of losses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.rfc9293.tape import Tape
from tests.unit.tcp.peer import PLAIN, Peer, Seg, read
from uinet.socket import Socket
from uinet.units import MASK32
from uinet.wire.tcp_options import Mss, Nop, WindowScale

NOT_ECT, ECT_1, ECT_0, CE = range(4)
ASK = 1


def field(seg: Seg) -> int:
    """The ECN field of a segment's packet."""
    packet = seg.frame.packet
    return int(packet[1] if packet[0] >> 4 == 4 else packet[1] >> 4) & 3


def marked(frame: bytes, bits: int) -> bytes:
    """A frame whose packet has these bits in its ECN field."""
    changed = bytearray(frame)
    if frame[12:14] == b"\x86\xdd":
        changed[15] = changed[15] & 0xCF | bits << 4
        return bytes(changed)
    changed[15] = changed[15] & 0xFC | bits
    changed[24:26] = b"\0\0"
    total = sum(int.from_bytes(changed[at : at + 2], "big") for at in range(14, 34, 2))
    changed[24:26] = ((total % 0xFFFF) ^ 0xFFFF).to_bytes(2, "big")
    return bytes(changed)


def agreed(v6: bool = False, options: Any = PLAIN) -> tuple[Tape, Socket]:
    """A connection with ECN, that the peer has opened."""
    peer = Tape(v6=v6)
    peer.listen()
    peer.send("SEW", options=options)
    seg = peer.expect("SE.")
    peer.seq, peer.ack = (peer.seq + 1) & MASK32, seg.end
    peer.send(".")
    return peer, peer.listener.accept()


@pytest.mark.rfc("9293", "SHLD-8", "ECN is negotiated")
@pytest.mark.rfc("3168", "6.1.1", "a SYN with ECE and CWR is answered by a SYN,ACK with ECE alone, any other without")
@pytest.mark.parametrize(("syn", "answer"), [("SEW", "SE."), ("S", "S."), ("SE", "S."), ("SW", "S.")])
@pytest.mark.parametrize("v6", [False, True])
def test_listen_ecn_of_a_syn_is_answered(syn: str, answer: str, v6: bool) -> None:
    peer = Peer(v6=v6)
    peer.listen()
    peer.send(syn, options=PLAIN)
    seg = peer.expect(answer)
    assert field(seg) == NOT_ECT
    peer.send(".", peer.seq + 1, seg.end)
    peer.seq, peer.ack = (peer.seq + 1) & MASK32, seg.end
    sock = peer.listener.accept()
    sock.send(b"data")
    peer.flush()
    assert field(peer.expect()) == (ECT_0 if answer == "SE." else NOT_ECT)


@pytest.mark.rfc("3168", "6.1.1", "who asks sends ECE and CWR with its SYN, and uses ECN if the SYN,ACK has ECE alone")
@pytest.mark.parametrize(("answer", "bits"), [("SE.", ECT_0), ("S.", NOT_ECT), ("SEW.", NOT_ECT), ("SW.", NOT_ECT)])
def test_syn_sent_ecn_is_used_if_the_answer_agrees(answer: str, bits: int) -> None:
    peer = Peer(ecn=ASK)
    sock = peer.stack.socket()
    sock.bind((peer.here, peer.port))
    peer.peer_port = 7
    sock.connect((peer.there, 7))
    peer.flush()
    syn = peer.expect("SEW")
    assert field(syn) == NOT_ECT
    peer.ack = syn.end
    peer.send(answer, options=PLAIN)
    peer.seq = (peer.seq + 1) & MASK32
    assert field(peer.expect(".")) == NOT_ECT
    sock.send(b"data")
    peer.flush()
    assert field(peer.expect("P.")) == bits


@pytest.mark.rfc("3168", "6.1.1.1", "a SYN that is not answered is sent again without ECN")
def test_syn_sent_without_answer_stops_asking() -> None:
    peer = Peer(ecn=ASK)
    sock = peer.stack.socket()
    sock.bind((peer.here, peer.port))
    sock.connect((peer.there, 7))
    peer.advance(20)
    flags = [seg.flags for seg in peer.drain()]
    assert set(flags[0]) == set("SEW") and flags[-1] == "S"


@pytest.mark.rfc("9293", "SHLD-8", "new data may be marked, nothing else may")
@pytest.mark.rfc("3168", "6.1.4", "pure ACKs are not ECT")
@pytest.mark.rfc("3168", "6.1.5", "retransmissions are not ECT")
@pytest.mark.rfc("3168", "6.1.6", "window probes are not ECT")
@pytest.mark.parametrize("v6", [False, True])
def test_established_only_new_data_is_ect(v6: bool) -> None:
    peer, sock = agreed(v6)
    sock.send(bytes(3000))
    peer.flush()
    assert [field(seg) for seg in peer.drain()] == [ECT_0] * 3
    peer.data(b"question")
    peer.advance(0.1)
    assert field(peer.expect(".", length=0)) == NOT_ECT
    peer.advance(3)
    again = [seg for seg in peer.drain() if seg.data]
    assert again and all(field(seg) == NOT_ECT for seg in again)
    peer.ack = (peer.ack + 3000) & MASK32
    peer.window = 0
    peer.send(".")
    sock.send(b"more")
    peer.advance(20)
    probes = [seg for seg in peer.drain() if seg.data]
    assert probes and all(field(seg) == NOT_ECT for seg in probes)


@pytest.mark.rfc("3168", "6.1.4", "a RST is not ECT")
def test_established_rst_behind_data_is_not_ect() -> None:
    peer, sock = agreed()
    sock.send(b"data")
    peer.flush()
    assert field(peer.expect("P.")) == ECT_0
    sock.abort()
    peer.flush()
    assert field(peer.expect("R.")) == NOT_ECT


@pytest.mark.rfc("9293", "SHLD-8", "a mark is echoed until the peer has reduced its window")
@pytest.mark.rfc("3168", "6.1.3", "a mark is echoed with ECE in all ACKs until CWR comes")
@pytest.mark.parametrize("v6", [False, True])
def test_established_mark_is_echoed_until_cwr(v6: bool) -> None:
    peer, sock = agreed(v6)
    peer.data(b"a")
    peer.advance(0.1)
    assert peer.expect().flags == "."
    seq, peer.seq = peer.seq, (peer.seq + 1) & MASK32
    peer.give(marked(peer.frame("P.", seq, data=b"b"), CE))
    assert "E" in peer.expect(ack=peer.seq).flags, "at once"
    for _ in range(3):
        peer.data(b"c")
        peer.advance(0.1)
        assert "E" in peer.expect().flags
    peer.data(b"d", "PW.")
    peer.advance(0.1)
    assert "E" not in peer.expect().flags
    seq, peer.seq = peer.seq, (peer.seq + 1) & MASK32
    peer.give(marked(peer.frame("PW.", seq, data=b"e"), CE))  # reduced, and marked once more
    assert "E" in peer.expect().flags
    assert read(sock) == b"abcccde"


@pytest.mark.rfc("3168", "6.1.3", "marks of connections without ECN are not echoed")
def test_established_mark_without_agreement_is_ignored() -> None:
    peer = Peer()
    peer.passive()
    seq, peer.seq = peer.seq, (peer.seq + 1) & MASK32
    peer.give(marked(peer.frame("P.", seq, data=b"a"), CE))
    peer.advance(0.1)
    assert peer.expect().flags == "."


@pytest.mark.threat(63)
@pytest.mark.rfc("9293", "SHLD-8", "an echo reduces the congestion window, once in a round trip")
@pytest.mark.rfc("3168", "6.1.2", "ECE reduces the window, at most once for a window of data, and CWR says so")
@pytest.mark.parametrize("congestion", ["newreno", "cubic"])
def test_established_echo_reduces_the_window_once_a_round_trip(congestion: str) -> None:
    peer = Tape(congestion=congestion, send_buffer=1 << 21)
    peer.listen()
    peer.send("SEW", options=(Mss(1460), WindowScale(7), Nop()))
    seg = peer.expect("SE.")
    peer.seq, peer.ack = (peer.seq + 1) & MASK32, seg.end
    peer.send(".")
    sock = peer.listener.accept()
    sock.send(bytes(1 << 20))
    peer.flush()
    before = sock.info().snd_cwnd
    sent = peer.drain()
    for seg in sent[:-1]:
        peer.ack = seg.end
        peer.send("E.")
    assert sock.info().snd_cwnd < 0.95 * before, "it comes down while the round trip lasts"
    news = [seg for seg in peer.drain() if seg.data]
    for seg in sent[-1:]:
        peer.ack = seg.end
        peer.send(".")
    after = sock.info().snd_cwnd
    assert 0.4 * before <= after <= 0.9 * before, "once, although every ACK says so"
    news += [seg for seg in peer.drain() if seg.data]
    assert "W" in news[0].flags and not any("W" in seg.flags for seg in news[1:])
    for seg in news:
        peer.ack = seg.end
        peer.send("E.")
    assert sock.info().snd_cwnd < after * 1.01, "another round trip, another reduction"


@pytest.mark.rfc("3168", "6.1.2", "the window is halved, and no more, on a connection without SACK as on any other")
def test_established_echo_without_sack_ends_at_ssthresh() -> None:
    peer = Tape(congestion="newreno")
    peer.listen()
    peer.send("SEW", options=(Mss(1000),))
    seg = peer.expect("SE.")
    peer.seq, peer.ack = (peer.seq + 1) & MASK32, seg.end
    peer.send(".")
    sock = peer.listener.accept()
    sock.send(bytes(10_000))
    peer.flush()
    for seg in peer.drain():
        peer.ack = seg.end
        peer.send("E.")
    info = sock.info()
    assert info.snd_cwnd == info.snd_ssthresh >= 4000
