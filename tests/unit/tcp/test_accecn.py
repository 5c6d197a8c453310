"""Accurate ECN feedback (RFC 9768): its negotiation with all kinds of peers, the ACE counter, the option."""

from __future__ import annotations

import pytest

from tests.unit.tcp.ecn import (
    ACC,
    CE,
    CLASSIC,
    ECT0,
    ECT1,
    NOT_ECT,
    EcnPeer,
    accecn,
    ace,
    counters,
    ecn,
)
from tests.unit.tcp.peer import FULL, PLAIN
from uinet.socket import Socket
from uinet.units import MASK32
from uinet.wire.tcp_options import Mss, Nop, SackPermitted

SACKED = (Mss(1460), SackPermitted())


def mode(sock: Socket) -> str:
    tcb = sock.tcb
    assert tcb is not None
    if tcb.accecn is not None:
        return "accurate"
    return "classic" if tcb.ecn_ok else "none"


def may_mark(peer: EcnPeer, sock: Socket) -> bool:
    """Whether new data is ECN-capable."""
    sock.send(b"data")
    peer.flush()
    fields = [ecn(seg) for seg in peer.drain() if seg.data]
    peer.ack = (peer.ack + 4) & MASK32
    return fields == [ECT0]


def talking(options: object = PLAIN, **settings: object) -> tuple[EcnPeer, Socket]:
    """The stack as an accurate server; the peer's segments carry the ACE that tells of no mark."""
    peer = EcnPeer(3, **settings)
    sock, _ = peer.server(ACC, last=0b010, options=options)
    peer.ace = 5
    return peer, sock


# the handshake


@pytest.mark.rfc("9768", "3.1.1", "an AccECN SYN is answered with how it arrived (table 2)")
@pytest.mark.parametrize(("field", "answer"), [(NOT_ECT, 0b010), (ECT1, 0b011), (ECT0, 0b100), (CE, 0b110)])
def test_server_tells_how_the_syn_arrived(field: int, answer: int) -> None:
    peer = EcnPeer(3)
    sock, reply = peer.server(ACC, syn_ecn=field, last=0b010)
    assert (ace(reply), ecn(reply)) == (answer, NOT_ECT)
    assert counters(reply) == (172, [1, 0, 1])
    assert mode(sock) == "accurate" and may_mark(peer, sock)


@pytest.mark.rfc("9768", "3.1.2", "a server falls back to what the SYN asks for (table 2)")
@pytest.mark.rfc("9768", "3.1.3", "flags that nobody knows on a SYN ask for AccECN")
@pytest.mark.parametrize(
    ("setting", "syn", "answer", "agreed"),
    [
        (3, CLASSIC, 0b001, "classic"), (3, 0, 0, "none"), (2, ACC, 0b001, "classic"), (1, ACC, 0b001, "classic"),
        (0, ACC, 0, "none"), (3, 0b001, 0b010, "accurate"), (3, 0b010, 0b010, "accurate"),
        (3, 0b100, 0b010, "accurate"), (3, 0b101, 0b010, "accurate"), (3, 0b110, 0b010, "accurate"),
    ],
)
def test_server_by_the_flags_of_the_syn(setting: int, syn: int, answer: int, agreed: str) -> None:
    peer = EcnPeer(setting)
    sock, reply = peer.server(syn, last=0b010)
    assert (ace(reply), mode(sock)) == (answer, agreed)


@pytest.mark.rfc("9768", "3.1.2", "a client enters the mode that the SYN,ACK says (table 2)")
@pytest.mark.rfc("9768", "3.2.2.3", "what the network does to the ECN field of a SYN it may do to others: no ECT then")
@pytest.mark.parametrize(
    ("answer", "agreed", "capable"),
    [
        (0b010, "accurate", True), (0b011, "accurate", False), (0b100, "accurate", False), (0b110, "accurate", False),
        (0b101, "accurate", True), (0b001, "classic", True), (0b000, "none", False), (0b111, "none", False),
    ],
)
def test_client_by_the_flags_of_the_answer(answer: int, agreed: str, capable: bool) -> None:
    peer = EcnPeer(3)
    sock, syn, _ = peer.client(answer)
    assert (ace(syn), ecn(syn), counters(syn)) == (ACC, NOT_ECT, None)
    assert mode(sock) == agreed
    assert may_mark(peer, sock) is capable


@pytest.mark.rfc("9768", "3.2.2.1", "the ACK of a SYN,ACK tells how that arrived (table 3)")
@pytest.mark.parametrize(("field", "told", "cep"), [(NOT_ECT, 2, 5), (ECT1, 3, 5), (ECT0, 4, 5), (CE, 6, 6)])
def test_client_tells_how_the_answer_arrived(field: int, told: int, cep: int) -> None:
    peer = EcnPeer(3)
    sock, _, first = peer.client(0b010, answer_ecn=field)
    assert (ace(first), len(first.data), counters(first)) == (told, 0, (172, [1]))
    assert sock.tcb is not None and sock.tcb.accecn is not None and sock.tcb.accecn.r_cep == cep
    peer.send("S.", peer.seq - 1, options=PLAIN, ace=0b010, ecn=field)
    assert [ace(seg) for seg in peer.drain()] == [told], "again, as the ACK was lost"
    peer.ace = 5
    peer.data(b"x", ecn=ECT0)
    peer.advance(0.1)
    assert [ace(seg) for seg in peer.drain()] == [cep & 7]


@pytest.mark.rfc("9768", "3.2.2.1", "what a server makes of the handshake's last ACK (table 4)")
@pytest.mark.parametrize(
    ("last", "capable", "cep", "window"),
    [(0, False, 5, 10), (1, True, 5, 10), (2, True, 5, 10), (3, False, 5, 10), (4, False, 5, 10), (5, True, 5, 10),
     (6, False, 6, 1), (7, True, 5, 10)],
)
def test_server_by_the_last_ack(last: int, capable: bool, cep: int, window: int) -> None:
    peer = EcnPeer(3)
    sock, _ = peer.server(ACC, last=last)
    assert sock.tcb is not None and sock.tcb.accecn is not None
    assert sock.tcb.accecn.s_cep == cep
    assert sock.tcb.accecn.respond is (last != 0)
    assert sock.info().snd_cwnd == window * 1460
    assert may_mark(peer, sock) is capable


@pytest.mark.rfc("9768", "3.1.4.1", "two SYNs ask for AccECN, then one without ECN")
def test_client_whose_syns_are_swallowed_tries_without() -> None:
    peer = EcnPeer(3)
    sock = peer.stack.socket()
    sock.connect((peer.there, 7))
    peer.flush()
    peer.advance(8.0)
    assert [ace(seg) for seg in peer.drain()] == [ACC, ACC, 0, 0]


@pytest.mark.rfc("9768", "3.2.3.2.2", "a SYN,ACK is sent again without the option, then without ECN; no ECT after that")
def test_server_whose_answers_are_swallowed() -> None:
    peer = EcnPeer(3)
    peer.listen()
    peer.send("S", peer.seq, options=PLAIN, ace=ACC)
    peer.advance(3.5)
    answers = peer.drain()
    assert [(ace(seg), counters(seg) is not None) for seg in answers] == [(2, True), (2, False), (0, False)]
    peer.seq = (peer.seq + 1) & MASK32
    peer.ack = (answers[0].seq + 1) & MASK32
    peer.send(".", ace=0b010)
    sock = peer.listener.accept()
    assert mode(sock) == "accurate" and not may_mark(peer, sock)


@pytest.mark.rfc("9768", "3.1.5", "a SYN without ECN after one with it: feedback goes on, but nothing is ECN-capable")
def test_server_that_gets_a_plain_syn_as_well() -> None:
    peer = EcnPeer(3)
    peer.listen()
    peer.send("S", peer.seq, options=PLAIN, ace=ACC)
    peer.send("S", peer.seq, options=PLAIN, ace=0, ecn=ECT0)
    answers = peer.drain()
    assert [ace(seg) for seg in answers] == [0b010, 0b100], "each tells how the last SYN came"
    peer.seq = (peer.seq + 1) & MASK32
    peer.ack = (answers[0].seq + 1) & MASK32
    peer.send(".", ace=0b010)
    assert not may_mark(peer, peer.listener.accept())


@pytest.mark.rfc("9768", "3.1.5", "SYNs that ask for different kinds of ECN reset the connection")
@pytest.mark.parametrize(("first", "second"), [(ACC, CLASSIC), (CLASSIC, ACC)])
def test_server_resets_mixed_handshakes(first: int, second: int) -> None:
    peer = EcnPeer(3)
    peer.listen()
    peer.send("S", peer.seq, options=PLAIN, ace=first)
    peer.drain()
    peer.send("S", peer.seq, options=PLAIN, ace=second)
    assert "R" in peer.out.pop(0).flags
    assert peer.count("tcp_ecn_mixed") == 1
    assert peer.stack.tcp.syn_count == 0


@pytest.mark.rfc("9768", "3.1.2", "in a simultaneous open the answer is a server's")
def test_simultaneous_open() -> None:
    peer = EcnPeer(3)
    sock = peer.stack.socket()
    sock.bind((peer.here, 5080))
    peer.port, peer.peer_port = 5080, 7
    sock.connect((peer.there, 7))
    peer.flush()
    assert ace(peer.out.pop(0)) == ACC
    peer.send("S", peer.seq, options=PLAIN, ace=ACC, ecn=ECT1)
    (answer,) = peer.drain()
    assert (set(answer.flags) >= {"S", "."}, ace(answer)) == (True, 0b011)
    assert mode(sock) == "accurate"


def test_cookies_know_nothing_of_ecn() -> None:
    peer = EcnPeer(3)
    peer.listen(backlog=1)
    peer.send("S", peer.seq, options=PLAIN, ace=ACC)
    peer.drain()
    peer.peer_port += 1
    peer.watch = None
    peer.send("S", peer.seq, options=PLAIN, ace=ACC)
    (cookie,) = peer.drain()
    assert peer.count("tcp_syncookie_sent") == 1 and ace(cookie) == 0


# the receiver's side


@pytest.mark.rfc("9768", "3.2.2.2", "ACE is the low three bits of the packets that came marked, which begin at 5")
@pytest.mark.rfc("9768", "3.2.2.5.1", "a mark after an unmarked packet is acknowledged at once; then every second")
def test_marks_are_counted_and_told() -> None:
    peer, _ = talking()
    peer.drain()
    peer.data(b"a", ecn=ECT0)
    peer.quiet()
    told = []
    for _ in range(9):
        peer.data(b"m", ecn=CE)
        told.append([ace(seg) for seg in peer.drain()])
    assert told == [[6], [], [0], [], [2], [], [4], [], [6]]
    assert peer.count("tcp_ce_in") == 9


@pytest.mark.rfc("9768", "3.2.2.5.1", "three marked packets without data are acknowledged")
def test_marks_on_bare_acks_are_told() -> None:
    peer, _ = talking()
    for index in range(3):
        peer.quiet()
        peer.send(".", ecn=CE, window=60_000 + index)
    assert [ace(seg) for seg in peer.drain()] == [0]


@pytest.mark.rfc("9768", "3.2.3", "the option has the bytes by mark, and no field that never changed")
def test_option_tells_of_bytes() -> None:
    peer, _ = talking()
    seen = []
    for size, field in ((10, ECT0), (20, CE), (30, ECT1), (40, NOT_ECT)):
        peer.data(bytes(size), ecn=field)
        peer.advance(0.1)
        seen.append([counters(seg) for seg in peer.drain()])
    assert seen == [[(172, [11])], [(172, [11, 20])], [(172, [11, 20, 31])], [None]]


def test_option_in_the_other_order() -> None:
    peer, _ = talking()
    peer.data(bytes(7), ecn=ECT1)
    peer.advance(0.1)
    assert [counters(seg) for seg in peer.drain()] == [(174, [8])]


@pytest.mark.rfc("9768", "3.2.3.3", "SACK comes before the option where both have no room")
def test_option_gives_way_to_sack_and_to_full_segments() -> None:
    peer, sock = talking(options=FULL)
    for at in (2, 4, 6):
        peer.send("P.", peer.seq + at, None, b"x", ecn=ECT0)
    assert [counters(seg) is None for seg in peer.drain()] == [False, False, True]
    sock.send(bytes(1448))
    peer.flush()
    (full,) = [seg for seg in peer.drain() if seg.data]
    assert counters(full) is None and len(full.frame.packet) == 1500


def test_retransmissions_bare_acks_and_probes_are_not_ecn_capable() -> None:
    peer, sock = talking(frto=False)
    sock.send(bytes(4000))
    peer.flush()
    assert {ecn(seg) for seg in peer.drain()} == {ECT0}
    peer.advance(1.5)
    again = peer.drain()
    assert again and {ecn(seg) for seg in again} == {NOT_ECT}


# the sender's side


def sending(options: object = SACKED, segments: int = 30) -> tuple[EcnPeer, Socket]:
    """Much in flight, none of it acknowledged."""
    peer, sock = talking(options)
    assert sock.tcb is not None
    sock.tcb.cwnd = 40 * 1460
    sock.send(bytes(segments * 1460))
    peer.flush()
    assert len(peer.drain()) == segments
    return peer, sock


def told(peer: EcnPeer, sock: Socket, packets: int, value: int, *option: object) -> int:
    """The peer acknowledges `packets` with that ACE; how many marks the stack makes of it."""
    tcb = sock.tcb
    assert tcb is not None and tcb.accecn is not None
    before = tcb.accecn.s_cep
    peer.ack = (peer.ack + packets * 1460) & MASK32
    peer.send(".", ace=value, options=(Nop(), *option) if option else ())
    peer.drain()
    return int(tcb.accecn.s_cep - before)


@pytest.mark.rfc("9768", "3.2.2.2", "the counter's growth is what ACE has gained, modulo 8")
@pytest.mark.rfc("3168", "6.1.2", "marks reduce the window once a round trip; CWR is not sent in AccECN")
def test_marks_reduce_the_window_once() -> None:
    peer, sock = sending()
    assert told(peer, sock, 2, 5) == 0
    window = sock.info().snd_cwnd
    assert told(peer, sock, 2, 6) == 1
    reduced = sock.info().snd_ssthresh
    assert reduced < window
    assert told(peer, sock, 2, 0) == 2 and told(peer, sock, 2, 1) == 1
    assert sock.info().snd_ssthresh == reduced
    assert told(peer, sock, 2, 1) == 0
    sock.send(bytes(100_000))
    peer.flush()
    assert {ace(seg) for seg in peer.drain()} <= {5}, "r.cep, and no CWR"


@pytest.mark.rfc("9768", "3.2.2.5.2", "where ACE may have wrapped, the most that can have been is taken for true")
@pytest.mark.parametrize(("packets", "value", "marks"), [(7, 5, 0), (9, 7, 2), (10, 7, 10), (8, 5, 8), (1, 0, 3)])
def test_ace_that_may_have_wrapped(packets: int, value: int, marks: int) -> None:
    peer, sock = sending()
    assert told(peer, sock, packets, value) == marks


def test_rare_acks_are_not_taken_for_lost_ones() -> None:
    peer, sock = sending(segments=35)
    assert sock.tcb is not None and sock.tcb.accecn is not None
    sock.tcb.accecn.stretch = 64
    assert told(peer, sock, 16, 5) == 0


@pytest.mark.rfc("9768", "A.2.2", "the option says whether ACE has wrapped")
@pytest.mark.parametrize(("packets", "value", "marked", "marks"), [(10, 7, 1460, 2), (8, 5, 0, 0), (10, 7, 10_000, 10)])
def test_option_settles_what_ace_leaves_open(packets: int, value: int, marked: int, marks: int) -> None:
    peer = EcnPeer(3)
    sock, _ = peer.server(ACC, last=0b010, options=SACKED)
    assert sock.tcb is not None and sock.tcb.accecn is not None
    sock.tcb.accecn.options = True
    sock.tcb.cwnd = 40 * 1460
    sock.send(bytes(30 * 1460))
    peer.flush()
    peer.drain()
    assert told(peer, sock, packets, value, accecn(172, 1 + packets * 1460, marked)) == marks
    assert sock.tcb.accecn.s_ceb == marked


@pytest.mark.rfc("9768", "3.2.3.1", "counters of the option are 24 bits of longer ones")
def test_option_counters_wrap() -> None:
    peer, sock = sending()
    assert sock.tcb is not None and sock.tcb.accecn is not None
    accurate = sock.tcb.accecn
    accurate.options = True
    accurate.s_ceb = 0x2FFFFF0
    told(peer, sock, 2, 6, accecn(174, 1, 0x10, 5))
    assert accurate.s_ceb == 0x3000010
    assert accurate.s_e0b == 5


@pytest.mark.rfc("9768", "3.2.3.2.4", "an option whose counters were zeroed is not believed")
def test_zeroed_option_is_ignored() -> None:
    peer, sock = sending()
    assert sock.tcb is not None and sock.tcb.accecn is not None and not sock.tcb.accecn.options
    assert told(peer, sock, 8, 5, accecn(172, 0, 0, 0)) == 8
    assert not sock.tcb.accecn.options
    assert told(peer, sock, 8, 5, accecn(172, 20_000, 0, 1)) == 0, "one that came through later is believed"
    for option, believed in ((accecn(172, 1, 0, 1), True), (accecn(172, 0, 0, 0), False), (accecn(172), True)):
        other = EcnPeer(3)
        other.listen()
        other.send("S", other.seq, options=PLAIN, ace=ACC)
        answer = other.out.pop(0)
        other.seq, other.ack = (other.seq + 1) & MASK32, (answer.seq + 1) & MASK32
        other.send(".", ace=0b010, options=(Nop(), option))
        accepted = other.listener.accept().tcb
        assert accepted is not None and accepted.accecn is not None
        assert accepted.accecn.options is believed


@pytest.mark.rfc("9768", "3.2.2.4", "a first ACE of zero: something clears it, and nothing is ECN-capable any more")
def test_zeroed_ace() -> None:
    peer, sock = sending(segments=10)
    told(peer, sock, 2, 0)
    assert sock.tcb is not None and sock.tcb.accecn is not None and not sock.tcb.accecn.respond
    assert sock.info().snd_ssthresh > 1 << 20
    assert not may_mark(peer, sock)


@pytest.mark.rfc("9768", "A.1", "an ACK that was overtaken says nothing")
def test_overtaken_ack_is_ignored() -> None:
    peer, sock = sending()
    told(peer, sock, 2, 5)
    told(peer, sock, 2, 6)
    before = sock.tcb.accecn.s_cep if sock.tcb is not None and sock.tcb.accecn is not None else 0
    peer.send(".", None, peer.ack - 2920, ace=5)
    assert sock.tcb is not None and sock.tcb.accecn is not None and sock.tcb.accecn.s_cep == before


def test_a_connection_without_marks_takes_the_predicted_path() -> None:
    peer, sock = talking()
    assert sock.tcb is not None and sock.tcb.ace_in == 5 << 6
    peer.data(b"x" * 100, ecn=ECT0)
    assert sock.recv(200) == b"x" * 100
