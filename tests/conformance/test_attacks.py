"""RFC 4987, 5927, 5961, 6056, 6528: what the tests of threats do not hold to already."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conformance.rfc9293.tape import Tape, known
from tests.unit.tcp.peer import FULL, ISN, PLAIN, Peer, read
from tests.unit.tcp.test_icmp_errors import report
from uinet.stack import Stack
from uinet.units import MASK32
from uinet.wire.tcp_options import Mss, SackPermitted, Timestamps, WindowScale

STATES = ["passive", "active", "close_wait", "fin_wait_1", "fin_wait_2", "closing", "last_ack"]
# where a RST is, whether it is answered, whether the connection lives
RSTS = [(1, True, True), (60_000, True, True), (-1, False, True), (70_000, False, True), (0, False, False)]

# RFC 5961


@pytest.mark.rfc("5961", "3.2", "a RST with the next sequence number resets")
@pytest.mark.rfc("5961", "3.2", "one elsewhere in the window is answered with an ACK")
@pytest.mark.rfc("5961", "3.2", "one outside the window is dropped silently")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("state", STATES)
def test_rst_in_every_synchronized_state(state: str, v6: bool) -> None:
    for off, answered, lives in RSTS:
        peer = Peer(v6=v6)
        sock = getattr(peer, state)()
        before = sock.state
        peer.send("R", peer.seq + off)
        assert bool(peer.drain()) is answered
        assert (sock.state == before) is lives


@pytest.mark.rfc("5961", "3.2", "in SYN-RECEIVED too a RST has to be exact")
def test_rst_of_a_half_open_connection_has_to_be_exact() -> None:
    peer = Peer()
    peer.listen()
    peer.syn()
    for off in (1, 1000, -1, 70_000):
        peer.send("R", peer.seq + off)
        assert peer.stack.tcp.syn_count == 1
    peer.drain()
    peer.send("R")
    assert peer.stack.tcp.syn_count == 0
    peer.quiet()


@pytest.mark.rfc("5961", "4.2", "the ACK that answers a SYN makes a peer that has restarted reset the old connection")
def test_peer_that_has_restarted_gets_through_by_its_own_rst() -> None:
    peer = Peer()
    sock = peer.passive()
    peer.watch = None
    peer.send("S", 5_000_000, options=PLAIN)
    challenge = peer.expect(".", ack=peer.seq)
    peer.send("R", challenge.ack)  # <SEQ=SEG.ACK><CTL=RST>, as RFC 9293 3.10.7.1 says
    assert sock.state == "CLOSED"
    peer.send("S", 5_000_000, options=PLAIN)
    peer.expect("S.", ack=5_000_001)


@pytest.mark.rfc("5961", "7", "challenge ACKs are limited, for each connection alone")
def test_challenge_acks_are_limited() -> None:
    peer = Peer()
    peer.passive()
    for _ in range(1000):
        peer.advance(0.001)
        peer.send("R", peer.seq + 7)
    assert 2 <= len(peer.drain()) <= 5


# RFC 4987


@pytest.mark.rfc("4987", "3.4", "a half-open connection costs a fraction of an open one: no buffers, no TCB")
def test_half_open_connections_have_no_tcb() -> None:
    peer = Peer()
    peer.listen(backlog=1000)
    for port in range(500):
        peer.peer_port = 1000 + port
        peer.send("S", ISN, options=FULL)
    assert peer.stack.tcp.syn_count == 500 and peer.tcbs() == 0 and peer.stack.tcp.connections == 0


@pytest.mark.rfc("4987", "3.6", "cookies begin when the backlog is full, and what fits is kept with all its options")
def test_cookies_are_sent_only_beyond_the_backlog() -> None:
    peer = Peer()
    peer.listen(backlog=5)
    peer.watch = None
    for port in range(10):
        peer.peer_port = 1000 + port
        peer.send("S", ISN, options=(Mss(1400), WindowScale(7)))
    assert peer.stack.tcp.syn_count == 5 and peer.count("tcp_syncookie_sent") == 5
    answers = peer.drain()
    assert [seg.option(WindowScale) is not None for seg in answers] == [True] * 5 + [False] * 5
    assert all(seg.flags == "S." for seg in answers)


@pytest.mark.rfc("4987", "3.6", "where the application wants none, the oldest half-open connection gives way")
def test_without_cookies_the_oldest_gives_way() -> None:
    peer = Peer(syn_cookies=False)
    peer.listen(backlog=5)
    peer.watch = None
    for port in range(10):
        peer.peer_port = 1000 + port
        peer.send("S", ISN, options=PLAIN)
    assert peer.stack.tcp.syn_count == 5 and peer.count("tcp_syncookie_sent") == 0
    assert peer.count("tcp_syncache_evicted") == 5


@pytest.mark.rfc("4987", "3.6", "a cookie carries the MSS, rounded down to one of eight")
@pytest.mark.parametrize(
    ("mss", "got"), [(100, 216), (536, 536), (1000, 536), (1460, 1460), (1459, 1440), (9000, 1460)]
)
def test_cookie_carries_the_mss(mss: int, got: int) -> None:
    peer = Peer(syn_cache_limit=0)
    peer.listen()
    peer.watch = None
    peer.send("S", ISN, options=(Mss(mss),))
    seg = peer.expect("S.")
    peer.seq, peer.ack = (ISN + 1) & MASK32, seg.end
    peer.data(b"GET")
    sock = peer.listener.accept()
    assert sock.info().snd_mss == got and read(sock) == b"GET"


@pytest.mark.rfc("4987", "3.6", "timestamps carry what a cookie has no room for: scale and SACK")
@pytest.mark.parametrize("shift", [0, 7, 14])
@pytest.mark.parametrize("sack", [False, True])
def test_cookie_with_timestamps_carries_scale_and_sack(shift: int, sack: bool) -> None:
    peer = Peer(syn_cache_limit=0)
    peer.listen()
    peer.watch = None
    options = (Mss(1460), *((SackPermitted(),) if sack else ()), Timestamps(1000, 0), WindowScale(shift))
    peer.send("S", ISN, options=options)
    seg = peer.expect("S.")
    peer.seq, peer.ack, peer.ts = (ISN + 1) & MASK32, seg.end, True
    peer.send(".", window=1000)
    info = peer.listener.accept().info()
    assert (info.snd_wscale, info.sack, info.timestamps, info.snd_wnd) == (shift, sack, True, 1000 << shift)


# RFC 6056 and 6528


def connecting(seed: bytes, *, now: int = 10**12) -> Stack:
    stack = Stack(seed, now)
    eth0 = stack.add_interface("eth0", mac="02:00:00:00:00:02")
    eth0.add_address("10.0.0.2/16")
    return stack


@pytest.mark.rfc("6056", "3.2", "ephemeral ports are taken from a range that can be set", deviation=(
    "32768 to 60999 by default, not 1024 to 65535, as services have the lower ones"
))
def test_ports_are_of_the_range_that_was_set() -> None:
    stack = connecting(b"range")
    ports = {stack.connect(("10.0.1.1", 80)).getsockname()[1] for _ in range(300)}
    assert min(ports) >= 32_768 and max(ports) <= 60_999
    stack.tcp.settings.port_low, stack.tcp.settings.port_high = 1024, 65_535
    ports = {stack.connect(("10.0.2.1", port)).getsockname()[1] for port in range(1, 300)}
    assert min(ports) >= 1024 and max(ports) - min(ports) > 20_000


@pytest.mark.rfc("6056", "3.3.3", "the first port to each peer is unpredictable, and differs from stack to stack")
@pytest.mark.threat(13)
def test_first_ports_are_spread_evenly() -> None:
    stack = connecting(b"spread")
    ports = [stack.connect((f"10.0.{index >> 8}.{index & 255}", 443)).getsockname()[1] for index in range(256, 1280)]
    buckets = Counter((port - 32_768) * 16 // 28_232 for port in ports)
    chi2 = sum((buckets[index] - 64) ** 2 / 64 for index in range(16))
    assert chi2 < 50  # 15 degrees of freedom
    other = connecting(b"another")
    theirs = [other.connect((f"10.0.{index >> 8}.{index & 255}", 443)).getsockname()[1] for index in range(256, 1280)]
    assert sum(a == b for a, b in zip(ports, theirs, strict=True)) < 10


@pytest.mark.rfc("6056", "2.2", "all ports can be in use at once, one for each peer: only the tuple is unique")
def test_one_port_serves_connections_to_many_peers() -> None:
    stack = connecting(b"same port")
    stack.tcp.settings.port_low = stack.tcp.settings.port_high = 50_000
    for host in range(1, 50):
        assert stack.connect((f"10.0.3.{host}", 80)).getsockname()[1] == 50_000


@pytest.mark.rfc("6528", "3", "F depends on both addresses, both ports and the secret")
def test_isn_depends_on_every_part_of_the_tuple() -> None:
    def isn(local: tuple[str, int], remote: tuple[str, int], seed: bytes = b"isn") -> int:
        stack = connecting(seed)
        stack.interfaces[0].add_address("10.0.0.3/16")
        sock = stack.connect(remote, source=local)
        assert sock.tcb is not None
        return sock.tcb.iss

    base = isn(("10.0.0.2", 1000), ("10.0.1.1", 80))
    assert isn(("10.0.0.2", 1000), ("10.0.1.1", 80)) == base
    others = [
        isn(("10.0.0.3", 1000), ("10.0.1.1", 80)), isn(("10.0.0.2", 1001), ("10.0.1.1", 80)),
        isn(("10.0.0.2", 1000), ("10.0.1.2", 80)), isn(("10.0.0.2", 1000), ("10.0.1.1", 81)),
        isn(("10.0.0.2", 1000), ("10.0.1.1", 80), b"another"),
    ]
    assert len({base, *others}) == 6


# RFC 5927, 5461


@pytest.mark.rfc("5927", "4.1", "an ICMP error counts only if the quoted number is between SND.UNA and SND.NXT")
@pytest.mark.parametrize("kind", [(3, 1), (3, 3), (11, 0), (12, 0)])
def test_icmp_errors_have_to_quote_what_is_in_flight(kind: tuple[int, int]) -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    sock.send(bytes(4380))
    peer.flush()
    start = peer.drain()[0].seq
    for off in (-1, 4380, 5000, 1 << 31):
        report(peer, *kind, start + off)
        assert sock.soft_error is None
    report(peer, *kind, start + 1460)
    assert sock.soft_error is not None and sock.state == "ESTABLISHED"


@pytest.mark.rfc("5927", "5.2", "ICMP errors about an established connection cost it nothing: no window, no timer")
def test_icmp_errors_do_not_slow_an_established_connection() -> None:
    peer = Tape()
    sock = peer.passive(PLAIN)
    sock.send(bytes(4380))
    peer.flush()
    start = peer.drain()[0].seq
    before = known(sock)
    for _ in range(100):
        report(peer, 3, 1, start)
    assert known(sock) == before
    peer.quiet()


@pytest.mark.rfc("5461", "4", "in SYN-SENT a soft error does not end the attempt; the application can", deviation=(
    "the attempt is not given up early (section 4.1 lets a stack do so): addresses are tried side by side above TCP"
))
def test_syn_sent_goes_on_after_soft_errors() -> None:
    peer = Peer()
    sock, seg = peer.connecting()
    for _ in range(5):
        report(peer, 3, 1, seg.seq)
        peer.advance(1)
    assert sock.state == "SYN-SENT" and sock.soft_error is not None
    peer.drain()
    peer.send("S.", options=PLAIN)
    assert sock.state == "ESTABLISHED" and sock.soft_error is None
