"""RFC 9293 3.9.1 and 3.9.2: what the user sets of IP, what IP brings, and what ICMP reports."""

from __future__ import annotations

from typing import Any

import pytest

import uinet
from tests.conformance.rfc9293.tape import Tape, known
from tests.unit.tcp.peer import FULL, MAC, PEER_MAC, PLAIN, Peer, read
from tests.unit.tcp.test_icmp_errors import report
from uinet.errors import ConnectionRefused, HostUnreachable, NetworkUnreachable, NotSupported, ProtocolUnreachable
from uinet.events import EV_SOFT_ERROR
from uinet.units import MASK32
from uinet.wire import build

IP_OPTIONS = 4
SOFT_V4 = [(3, 0, NetworkUnreachable), (3, 1, HostUnreachable), (3, 5, HostUnreachable), (11, 0, HostUnreachable),
           (11, 1, HostUnreachable), (12, 0, ProtocolUnreachable)]
HARD_V4 = [(3, 2, ProtocolUnreachable), (3, 3, ConnectionRefused)]
SOFT_V6 = [(1, 0, NetworkUnreachable), (1, 3, HostUnreachable), (3, 0, HostUnreachable), (3, 1, HostUnreachable),
           (4, 0, ProtocolUnreachable)]
HARD_V6 = [(1, 4, ConnectionRefused), (4, 1, ProtocolUnreachable)]


def traffic_class(seg: Any) -> int:
    packet = seg.frame.packet
    return int(packet[1]) if packet[0] >> 4 == 4 else (packet[0] & 15) << 4 | packet[1] >> 4


def hops(seg: Any) -> int:
    packet = seg.frame.packet
    return int(packet[8] if packet[0] >> 4 == 4 else packet[7])


def setter(v6: bool) -> tuple[int, int, int]:
    """Level, and the options for traffic class and hop limit."""
    if v6:
        return uinet.IPPROTO_IPV6, uinet.IPV6_TCLASS, uinet.IPV6_UNICAST_HOPS
    return uinet.IPPROTO_IP, uinet.IP_TOS, uinet.IP_TTL


# what the user sets


@pytest.mark.rfc("9293", "MUST-48", "the user sets the DiffServ field")
@pytest.mark.rfc("9293", "SHLD-22", "the DiffServ field goes to IP unchanged")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("passive", [False, True])
def test_every_dscp_reaches_every_segment(v6: bool, passive: bool) -> None:
    level, tclass, _ = setter(v6)
    for dscp in range(64):
        peer = Tape(v6=v6)

        def mark(sock: Any, dscp: int = dscp) -> None:
            sock.setsockopt(level, tclass, dscp << 2)

        sock = peer.passive(before=mark) if passive else peer.active(before=mark)
        sock.send(b"data")
        peer.flush()
        peer.take()
        sock.shutdown(1)
        peer.flush()
        assert len(peer.tape) == (3 if passive else 4)
        assert {traffic_class(seg) >> 2 for seg in peer.tape} == {dscp}


@pytest.mark.rfc("9293", "SHLD-21", "the DiffServ field can be changed while the connection lasts")
@pytest.mark.parametrize("v6", [False, True])
def test_established_dscp_changes(v6: bool) -> None:
    level, tclass, _ = setter(v6)
    peer = Peer(v6=v6)
    sock = peer.passive()
    for dscp in (0, 46, 8, 0):
        sock.setsockopt(level, tclass, dscp << 2)
        sock.send(b"data")
        peer.flush()
        assert {traffic_class(seg) >> 2 for seg in peer.out} == {dscp}
        peer.take()


@pytest.mark.rfc("9293", "MUST-49", "TTL and hop limit can be set")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("limit", [1, 64, 255])
def test_hop_limit_reaches_every_segment(v6: bool, limit: int) -> None:
    level, _, ttl = setter(v6)
    peer = Tape(v6=v6)
    sock = peer.active(before=lambda sock: sock.setsockopt(level, ttl, limit))
    sock.send(b"data")
    peer.flush()
    peer.take()
    sock.setsockopt(level, ttl, 77)
    sock.send(b"data")
    peer.flush()
    assert {hops(seg) for seg in peer.tape[:-1]} == {limit} and hops(peer.tape[-1]) == 77


# what comes with IP


def with_options(peer: Peer, options: bytes, flags: str, data: bytes = b"") -> bytes:
    """A segment of the peer behind an IP header with options."""
    packet = build.dissect(peer.frame(flags, data=data, options=PLAIN if "S" in flags else ())).packet
    return build.frame(build.ip(peer.there, peer.here, 6, bytes(packet[20:]), options=options))


@pytest.mark.rfc("9293", "MUST-50", "IP options that are not known are ignored")
@pytest.mark.threat(81)
@pytest.mark.parametrize("words", range(1, 11))
@pytest.mark.parametrize("kind", [0x82, 0x94, 0x44, 0x07, 0x9E, 0x5E])
def test_any_state_ip_options_are_passed_over(words: int, kind: int) -> None:
    size = 4 * words
    options = bytes([kind, size, *([5] if kind in (0x44, 0x07) else [0]), *bytes(size - 3)])
    peer = Peer()
    peer.listen()
    peer.give(with_options(peer, options, "S"))
    answer = peer.expect("S.")
    assert answer.frame.packet[0] == 0x45, "none of the options comes back"
    peer.seq, peer.ack = (peer.seq + 1) & MASK32, answer.end
    peer.give(with_options(peer, options, "."))
    sock = peer.listener.accept()
    peer.give(with_options(peer, options, "P.", b"data"))
    assert read(sock) == b"data"


NO_ROUTES = "source routes are dropped and can't be set: RFC 7126 (section 4.3, 4.4) and RFC 6274 advise so"


@pytest.mark.rfc("9293", "MUST-51", "the user can set a source route", deviation=NO_ROUTES)
@pytest.mark.rfc("9293", "MUST-52", "a source route of the user's comes first", deviation=NO_ROUTES)
def test_source_route_can_not_be_set() -> None:
    peer = Peer()
    sock = peer.stack.socket()
    with pytest.raises(NotSupported):
        sock.setsockopt(uinet.IPPROTO_IP, IP_OPTIONS, bytes([0x83, 7, 4, 10, 0, 0, 1, 0]))


@pytest.mark.rfc("9293", "MUST-53", "the return route of a source-routed open is used", deviation=NO_ROUTES)
@pytest.mark.rfc("9293", "SHLD-24", "a later source route replaces an earlier one", deviation=NO_ROUTES)
@pytest.mark.threat(81)
@pytest.mark.parametrize("kind", [0x83, 0x89])
def test_any_state_source_route_is_dropped(kind: int) -> None:
    route = bytes([kind, 7, 8, 10, 0, 0, 1, 0])
    peer = Peer()
    peer.listen()
    peer.give(with_options(peer, route, "S"))
    peer.quiet()
    assert peer.stack.tcp.syn_count == 0 and peer.count("ip_source_route") == 1
    sock = peer.passive()
    peer.give(with_options(peer, route, "P.", b"data"))
    assert not sock.readable and peer.count("ip_source_route") == 2


# what ICMP reports


@pytest.mark.rfc("9293", "MUST-47", "soft errors are reported to the user")
@pytest.mark.rfc("9293", "SHLD-25", "unreachable 0, 1, 5 are told to the user")
@pytest.mark.rfc("9293", "SHLD-20", "reports can be turned off: they are off until they are asked for")
@pytest.mark.parametrize(
    ("v6", "kind", "code", "error"), [(False, *row) for row in SOFT_V4 + HARD_V4] + [(True, *row) for row in SOFT_V6]
)
@pytest.mark.parametrize("asked", [False, True])
def test_established_soft_error_is_told_if_asked_for(v6: bool, kind: int, code: int, error: Any, asked: bool) -> None:
    peer = Peer(v6=v6)
    sock = peer.passive()
    sock.setsockopt(*((uinet.IPPROTO_IPV6, uinet.IPV6_RECVERR) if v6 else (uinet.IPPROTO_IP, uinet.IP_RECVERR)), asked)
    sock.send(b"data")
    peer.flush()
    peer.stack.events()
    report(peer, kind, code, peer.ack)
    assert [events & EV_SOFT_ERROR for _, events in peer.stack.events()] == ([EV_SOFT_ERROR] if asked else [])
    assert isinstance(sock.soft_error, error) and sock.error is None and sock.state == "ESTABLISHED"
    peer.take()
    assert sock.soft_error is None, "there is progress"


@pytest.mark.rfc("9293", "MUST-56", "soft ICMP errors don't abort a connection")
@pytest.mark.rfc("5461", "4", "in synchronized states all ICMP errors are soft")
@pytest.mark.threat(32)
@pytest.mark.parametrize(
    ("v6", "kind", "code"),
    [(False, *row[:2]) for row in SOFT_V4 + HARD_V4] + [(True, *row[:2]) for row in SOFT_V6 + HARD_V6],
)
@pytest.mark.parametrize("state", ["passive", "active", "close_wait", "fin_wait_1", "closing", "last_ack"])
def test_synchronized_icmp_errors_change_nothing(v6: bool, kind: int, code: int, state: str) -> None:
    peer = Peer(v6=v6)
    sock = getattr(peer, state)()
    if state in ("passive", "active", "close_wait"):
        sock.send(b"data")
        peer.flush()
    before = known(sock)
    for _ in range(5):
        report(peer, kind, code, peer.drain()[0].seq if peer.out else peer.ack)
    assert known(sock) == before and sock.soft_error is not None
    peer.ack = (sock.tcb.snd_nxt) & MASK32
    peer.send(".")
    assert sock.info().unacked == 0


@pytest.mark.rfc("9293", "MUST-54", "ICMP errors reach the connection that they quote")
@pytest.mark.rfc("9293", "SHLD-26", "hard ICMP errors end a connection that is being opened")
@pytest.mark.rfc("5927", "4.1", "the quoted sequence number has to be in flight")
@pytest.mark.threat(32)
@pytest.mark.parametrize(
    ("v6", "kind", "code", "error"), [(False, *row) for row in HARD_V4] + [(True, *row) for row in HARD_V6]
)
def test_syn_sent_hard_error_of_its_own_syn_ends_it(v6: bool, kind: int, code: int, error: Any) -> None:
    peer = Peer(v6=v6)
    sock, seg = peer.connecting()
    for off in (-1, 1, 70_000, 1 << 31):
        report(peer, kind, code, seg.seq + off)
    report(peer, kind, code, seg.seq, port=8)
    here, peer.here = peer.here, "10.0.0.3" if not v6 else "2001:db8::3"
    report(peer, kind, code, seg.seq)
    peer.here = here
    assert sock.state == "SYN-SENT" and sock.soft_error is None
    report(peer, kind, code, seg.seq)
    assert sock.state == "CLOSED" and isinstance(sock.error, error)
    peer.quiet()


@pytest.mark.rfc("9293", "SHLD-25", "what a SYN met is the reason that is told when it fails")
@pytest.mark.parametrize(
    ("v6", "kind", "code", "error"), [(False, *row) for row in SOFT_V4] + [(True, *row) for row in SOFT_V6]
)
def test_syn_sent_soft_error_is_the_reason_in_the_end(v6: bool, kind: int, code: int, error: Any) -> None:
    peer = Peer(v6=v6)
    sock, seg = peer.connecting()
    report(peer, kind, code, seg.seq)
    assert sock.state == "SYN-SENT" and isinstance(sock.soft_error, error)
    peer.advance(200)
    assert sock.state == "CLOSED" and isinstance(sock.error, error)


@pytest.mark.rfc("9293", "SHLD-26", "hard ICMP errors abort a connection", deviation=(
    "only one that is being opened: RFC 5461 and RFC 5927 ask for soft errors afterwards, as anybody can forge them"
))
@pytest.mark.rfc("5927", "5.2", "hard errors are soft in synchronized states")
@pytest.mark.threat(32)
@pytest.mark.parametrize(("kind", "code"), [(3, 2), (3, 3), (3, 4)])
def test_established_hard_error_is_soft(kind: int, code: int) -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    sock.send(bytes(3000))
    peer.flush()
    report(peer, kind, code, peer.drain()[0].seq, info=1000)
    assert sock.state == "ESTABLISHED" and sock.error is None


@pytest.mark.rfc("9293", "MUST-55", "source quench is discarded silently")
@pytest.mark.rfc("6633", "3", "TCP ignores source quench")
@pytest.mark.threat(33)
def test_source_quench_slows_nobody_down() -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    sock.send(bytes(50_000))
    peer.flush()
    before = known(sock)
    for seg in peer.drain():
        report(peer, 4, 0, seg.seq)
    assert known(sock) == before and sock.soft_error is None
    peer.quiet()
    assert not peer.other


@pytest.mark.rfc("9293", "MUST-54", "an error about another host's connection reaches nobody")
def test_icmp_error_by_another_interface_is_about_the_same_connection() -> None:
    peer = Peer()
    other = peer.stack.add_interface("eth1", mac=MAC)
    other.add_address("10.0.1.2/24")
    peer.stack.neighbors.add("10.0.1.1", PEER_MAC)
    sock, seg = peer.connecting()
    packet = build.tcp(peer.here, peer.there, peer.port, peer.peer_port, "S", seg.seq, layer=3)
    stranger = build.tcp("10.9.9.9", peer.there, peer.port, peer.peer_port, "S", seg.seq, layer=3)
    peer.stack.input(other, [build.icmp_message("10.0.1.1", "10.0.1.2", 3, 3, 0, stranger)], peer.now)
    assert sock.state == "SYN-SENT"
    peer.stack.input(other, [build.icmp_message("10.0.1.1", "10.0.1.2", 3, 3, 0, packet)], peer.now)
    assert sock.state == "CLOSED"
