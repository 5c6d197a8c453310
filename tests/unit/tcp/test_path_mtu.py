"""Path MTU discovery of connections: ICMP reports and whom they convince, black holes, probes (RFC 1191, 8201, 5927,
4821, 8899)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.unit.tcp.peer import FULL, PEER, PLAIN, Peer, error_of
from tests.unit.tcp.test_icmp_errors import report
from uinet.errors import InvalidArgument
from uinet.socket import Socket
from uinet.sockopt import (
    IP_MTU,
    IP_MTU_DISCOVER,
    IP_PMTUDISC_DO,
    IP_PMTUDISC_DONT,
    IP_PMTUDISC_PROBE,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPV6_MTU_DISCOVER,
    TCP_MTU_PROBING,
)
from uinet.units import MASK32
from uinet.wire import build
from uinet.wire.addresses import pack_address
from uinet.wire.tcp_options import Mss, Nop, Sack, SackPermitted, WindowScale

SACKED = (Mss(1460), SackPermitted(), Nop(), WindowScale(7))  # no timestamps: sizes are easy to reckon
V6 = {False: (3, 4), True: (2, 0)}
TABLE_V4 = pack_address(PEER)


def sizes(peer: Peer) -> list[int]:
    """Bytes of the IP packets that were sent."""
    return [len(seg.frame.packet) for seg in peer.out]


def proven(sock: Socket, peer: Peer, size: int = 20_000) -> None:
    """Full segments have been acknowledged."""
    sock.send(bytes(size))
    peer.flush()
    while sock.info().unacked:
        peer.advance(0.02)
        peer.take()


def mss(sock: Socket) -> int:
    return sock.info().snd_mss


# reports: RFC 1191, 8201 and 5927, section 7


@pytest.mark.rfc("5927", "7.2", "a report about the first full packets is acted on at once")
@pytest.mark.parametrize("v6", [False, True])
def test_established_report_before_a_full_segment_was_acknowledged_acts_at_once(v6: bool) -> None:
    peer = Peer(v6=v6)
    sock = peer.passive(PLAIN)
    sock.send(bytes(100))
    peer.flush()
    peer.take()  # a small segment proves nothing
    sock.send(bytes(5000))
    peer.flush()
    start = peer.drain()[0].seq
    report(peer, *V6[v6], start, info=1300)
    assert mss(sock) == 1300 - (60 if v6 else 40) and max(sizes(peer)) == 1300
    assert peer.out[0].seq == start and peer.count("icmp_bad_quote") == 0


@pytest.mark.rfc("5927", "7.2", "a report that contradicts what was acknowledged waits for a timeout of its segment")
@pytest.mark.parametrize("v6", [False, True])
def test_established_report_after_full_segments_were_acknowledged_waits_for_a_timeout(v6: bool) -> None:
    peer = Peer(v6=v6)
    sock = peer.passive(SACKED)
    proven(sock, peer)
    full = mss(sock)
    sock.send(bytes(5000))
    peer.flush()
    start = peer.drain()[0].seq
    report(peer, *V6[v6], start, info=1300)
    assert mss(sock) == full and peer.count("tcp_mtu_held") == 1 and not peer.out
    cached = peer.stack.network.pmtu.get(pack_address(peer.there))
    assert cached == 0  # others don't hear of it either
    peer.advance(0.45)
    assert peer.count("tcp_rto") == 1 and mss(sock) == 1300 - (60 if v6 else 40)
    assert peer.stack.network.pmtu.get(pack_address(peer.there)) == 1300


@pytest.mark.rfc("5927", "7.2", "progress of the connection refutes a report")
def test_threat_34_report_about_what_is_acknowledged_afterwards_is_forgotten() -> None:
    peer = Peer()
    sock = peer.passive(SACKED)
    proven(sock, peer)
    for _ in range(50):
        sock.send(bytes(5000))
        peer.flush()
        report(peer, 3, 4, peer.ack, info=552)
        while peer.out:
            peer.take()
    assert mss(sock) == 1460 and peer.count("tcp_mtu_refuted") == peer.count("tcp_mtu_held") == 50
    sock.send(bytes(5000))
    peer.flush()
    peer.drain()
    peer.advance(0.5)
    assert mss(sock) == 1460  # a timeout now is none of theirs


@pytest.mark.rfc("5927", "7.2", "of two reports that wait, the milder is kept")
def test_established_two_reports_the_milder_is_believed_first() -> None:
    peer = Peer()
    sock = peer.passive(SACKED)
    proven(sock, peer)
    sock.send(bytes(5000))
    peer.flush()
    for mtu in (552, 1400, 600):
        report(peer, 3, 4, peer.ack, info=mtu)
    peer.advance(0.5)
    assert mss(sock) == 1360


@pytest.mark.rfc("5927", "7.2", "the quoted sequence number has to be of data in flight")
@pytest.mark.parametrize("off", [-1, 5000, 100_000])
def test_established_report_with_wrong_numbers_never_counts(off: int) -> None:
    peer = Peer()
    sock = peer.passive(SACKED)
    proven(sock, peer)
    sock.send(bytes(5000))
    peer.flush()
    report(peer, 3, 4, peer.ack + off, info=600)
    assert peer.count("icmp_bad_quote") >= 1 and peer.count("tcp_mtu_held") == 0
    assert mss(sock) == 1460


@pytest.mark.rfc("5927", "7.2", "a claimed MTU not smaller than the packet in question is ignored")
def test_established_report_about_a_segment_that_was_small_is_ignored() -> None:
    peer = Peer()
    sock = peer.passive(SACKED)
    sock.send(bytes(300))
    peer.flush()
    report(peer, 3, 4, peer.ack, info=552, size=1500)  # its quote lies about the length
    assert mss(sock) == 1460 and peer.count("icmp_bad_quote") == 1


@pytest.mark.rfc("5927", "7.2", "what was SACKed was not too large")
def test_established_report_about_what_is_sacked_is_ignored() -> None:
    peer = Peer()
    sock = peer.passive(SACKED)
    sock.send(bytes(6000))
    peer.flush()
    first = peer.drain()[0]
    edge = (first.end, (first.end + 1460) & MASK32)
    peer.send(".", options=(Nop(), Nop(), Sack((edge,))))
    report(peer, 3, 4, first.end, info=600)
    assert mss(sock) == 1460 and peer.count("icmp_bad_quote") == 1


@pytest.mark.rfc("5927", "7.2", "a report about a SYN is no report about large packets")
def test_syn_sent_report_is_ignored() -> None:
    peer = Peer()
    sock, seg = peer.connecting()
    report(peer, 3, 4, seg.seq, info=552)
    peer.send("S.", peer.seq, options=SACKED)
    assert sock.state == "ESTABLISHED" and mss(sock) == 1460


@pytest.mark.rfc("1191", "3", "a host never raises its estimate because of a report")
@pytest.mark.rfc("8201", "4", "a Packet Too Big message must not increase the estimate")
@pytest.mark.parametrize("v6", [False, True])
def test_established_report_of_more_raises_nothing(v6: bool) -> None:
    peer = Peer(v6=v6)
    sock = peer.passive(PLAIN)
    sock.send(bytes(5000))
    peer.flush()
    report(peer, *V6[v6], peer.ack, info=1300)
    report(peer, *V6[v6], peer.ack, info=1400)
    assert mss(sock) == 1300 - (60 if v6 else 40)


@pytest.mark.rfc("8201", "4", "the estimate is never below the IPv6 minimum link MTU")
def test_established_v6_report_below_1280_is_ignored() -> None:
    peer = Peer(v6=True)
    sock = peer.passive(PLAIN)
    sock.send(bytes(5000))
    peer.flush()
    report(peer, 2, 0, peer.ack, info=1279)
    assert mss(sock) == 1440


@pytest.mark.rfc("1191", "3", "an estimate is never below 68 bytes; here 552 (CVE-2004-1060)")
def test_threat_34_report_of_nothing_lowers_to_the_floor() -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    sock.send(bytes(5000))
    peer.flush()
    report(peer, 3, 4, peer.ack, info=68)
    assert mss(sock) == 512


@pytest.mark.rfc("1191", "5", "a router that names no MTU: the next plateau below the packet's length")
def test_established_report_without_mtu_goes_to_the_plateau() -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    sock.send(bytes(5000))
    peer.flush()
    report(peer, 3, 4, peer.ack, info=0)
    assert mss(sock) == 1492 - 40


@pytest.mark.rfc("1191", "6.5", "what is lost is sent again without slow start, as nothing was congested")
@pytest.mark.rfc("8201", "5.4", "retransmission after a report is no matter of congestion control")
def test_established_report_leaves_the_congestion_window() -> None:
    peer = Peer()
    sock = peer.passive(SACKED)
    before = sock.info().snd_cwnd
    sock.send(bytes(10_000))
    peer.flush()
    peer.drain()
    report(peer, 3, 4, peer.ack, info=1300)
    assert sock.info().snd_cwnd == before and sum(len(seg.data) for seg in peer.out) == 10_000


@pytest.mark.rfc("8201", "5.2", "all connections that use a path learn of its MTU")
@pytest.mark.rfc("1191", "6.2", "all connections that use a path learn of its MTU")
def test_established_other_connection_to_the_same_host_learns_too() -> None:
    peer = Peer()
    first = peer.passive(PLAIN)
    peer.peer_port, peer.watch = peer.peer_port + 1, None
    second = peer.passive(PLAIN)
    peer.peer_port -= 1
    peer.ack = (first.tcb.snd_una) & MASK32  # type: ignore[union-attr]
    first.send(bytes(5000))
    peer.flush()
    report(peer, 3, 4, peer.ack, info=1300)
    peer.drain()
    second.send(bytes(5000))
    peer.flush()
    assert max(sizes(peer)) == 1300 and mss(first) == mss(second) == 1260


@pytest.mark.rfc("1191", "6.3", "after ten minutes the larger size is tried again")
@pytest.mark.rfc("8201", "5.3", "an increase is not tried before ten minutes, and then is")
@pytest.mark.parametrize("options", [SACKED, FULL])
def test_established_ten_minutes_after_a_report_the_link_mtu_is_used_again_without_probes(options: Any) -> None:
    peer = Peer(mtu_probing=0)
    sock = peer.passive(options)
    sock.send(bytes(5000))
    peer.flush()
    full = mss(sock)
    report(peer, 3, 4, peer.ack, info=1300)
    for _ in range(10):
        peer.take()
    peer.advance(590)
    sock.send(bytes(5000))
    peer.flush()
    assert max(sizes(peer)) == 1300
    while peer.out:
        peer.take()
    peer.advance(20)
    sock.send(bytes(5000))
    peer.flush()
    assert mss(sock) == full and max(sizes(peer)) == 1500


@pytest.mark.rfc("8899", "4.6.1", "an application may forbid that reports count")
@pytest.mark.rfc("4821", "2", "works without any ICMP")
def test_established_pmtudisc_probe_ignores_reports_and_cache() -> None:
    peer = Peer()
    peer.stack.network.pmtu.update(TABLE_V4, 1300)

    def ask(listener: Socket) -> None:
        listener.setsockopt(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)

    sock = peer.passive(SACKED, before=ask)
    assert mss(sock) == 1460
    sock.send(bytes(5000))
    peer.flush()
    report(peer, 3, 4, peer.ack, info=1200)
    assert mss(sock) == 1460 and sock.getsockopt(IPPROTO_IP, IP_MTU) == 1500


def test_syn_cached_path_mtu_is_what_a_connection_begins_with() -> None:
    peer = Peer()
    peer.stack.network.pmtu.update(TABLE_V4, 1300)
    sock = peer.passive(SACKED)
    assert mss(sock) == 1260 and sock.getsockopt(IPPROTO_IP, IP_MTU) == 1300


# black holes


def stall(peer: Peer, sock: Socket, limit: int, seconds: float) -> None:
    """For that long packets larger than `limit` vanish; smaller ones are acknowledged."""
    end = peer.now + round(seconds * 1e9)
    while peer.now < end:
        swallow(peer, limit)
        peer.advance(0.05)


def swallow(peer: Peer, limit: int, *, drop: Any = None) -> int:
    """A path that loses what is larger than `limit`: takes the rest, and acknowledges it; what was swallowed."""
    lost = 0
    for seg in peer.drain():
        if not seg.data:
            continue
        if len(seg.frame.packet) > limit or (drop is not None and drop(seg)):
            lost += 1
            continue
        held.setdefault(id(peer), {})[seg.seq] = seg.end
        advance(peer)
    return lost


held: dict[int, dict[int, int]] = {}


def advance(peer: Peer) -> None:
    """Acknowledges what has arrived, with SACK for what lies beyond a hole."""
    ranges = held.setdefault(id(peer), {})
    while peer.ack in ranges:
        peer.ack = ranges.pop(peer.ack)
    beyond = sorted(((start - peer.ack) & MASK32, end) for start, end in ranges.items())
    for distance, _ in beyond:
        if distance > 1 << 31:
            del ranges[(peer.ack + distance) & MASK32]
    blocks: list[tuple[int, int]] = []
    for distance, end in beyond:
        if distance < 1 << 31:
            start = (peer.ack + distance) & MASK32
            if blocks and blocks[-1][1] == start:
                blocks[-1] = (blocks[-1][0], end)
            else:
                blocks.append((start, end))
    sock = peer.stack.tcp
    del sock
    options: Any = (Nop(), Nop(), Sack(tuple(blocks[:3]))) if blocks and sacks.get(id(peer), True) else ()
    peer.send(".", options=options)


sacks: dict[int, bool] = {}


def black_hole(limit: int, size: int = 30_000, *, v6: bool = False, options: Any = SACKED, **settings: int) -> Any:
    """A connection whose path swallows what is larger than `limit` from the beginning, some time later."""
    peer = Peer(v6=v6, **settings)
    held.pop(id(peer), None)
    sacks[id(peer)] = options is SACKED
    sock = peer.passive(options, window=60_000)
    sock.send(bytes(size))
    peer.flush()
    stall(peer, sock, limit, 40)
    return peer, sock


@pytest.mark.rfc("4821", "7.7", "a full-stop timeout lowers the size of segments")
@pytest.mark.rfc("8899", "4.3", "a black hole is detected by packets that are not acknowledged")
@pytest.mark.parametrize(("limit", "v6", "least"), [(1100, False, 1064), (700, False, 552), (1300, True, 1280)])
def test_established_full_segments_that_vanish_make_smaller_ones(limit: int, v6: bool, least: int) -> None:
    peer, sock = black_hole(limit, v6=v6)
    assert sock.info().unacked == 0 and peer.count("tcp_black_hole") == (2 if least == 552 else 1)
    assert least <= sock.getsockopt(IPPROTO_IP, IP_MTU) <= limit


def test_established_black_hole_of_a_connection_without_sack() -> None:
    _peer, sock = black_hole(1300, options=PLAIN)
    assert sock.info().unacked == 0 and 1064 <= mss(sock) + 40 <= 1300


def test_established_black_hole_is_not_looked_for_if_probing_is_off() -> None:
    peer, sock = black_hole(1300, mtu_probing=0)
    assert sock.info().unacked > 0 and mss(sock) == 1460 and peer.count("tcp_black_hole") == 0


@pytest.mark.rfc("8899", "4.3", "loss of small packets is no black hole")
def test_established_small_segments_that_vanish_are_no_black_hole() -> None:
    peer, sock = black_hole(100, 500)
    assert sock.info().unacked == 500 and mss(sock) == 1460 and peer.count("tcp_black_hole") == 0


@pytest.mark.rfc("4821", "7.6.1", "after an outage the first probe restores the size")
def test_established_outage_that_swallows_everything_leaves_the_size_as_it_was() -> None:
    peer, sock = black_hole(100)
    assert mss(sock) == 512 and sock.info().unacked > 0
    stall(peer, sock, 1500, 60)
    for _ in range(30):
        sock.send(bytes(20_000))
        peer.flush()
        stall(peer, sock, 1500, 0.5)
    assert mss(sock) == 1460 and sock.info().unacked == 0 and peer.count("tcp_mtu_probe_ok") == 1


# probes


def search(limit: int, rounds: int = 120, **more: Any) -> Any:
    """A path of which `limit` is the MTU: a search after a black hole, or with `mtu_probing` 2 from the beginning."""
    peer, sock = black_hole(limit, **more)
    peer.watch = None  # what it does with each octet takes long
    for _ in range(rounds):
        while sock.writable and sock.info().unsent < 60_000:
            sock.send(bytes(20_000))
        peer.flush()
        stall(peer, sock, limit, 0.25)
    return peer, sock


@pytest.mark.rfc("4821", "7.3", "the search ends close to the path's MTU")
@pytest.mark.rfc("8899", "5.3", "the search finds the largest size that the path carries")
@pytest.mark.parametrize("limit", [1100, 1280, 1333, 1400, 1480, 1499])
def test_established_search_after_a_black_hole_finds_the_mtu(limit: int) -> None:
    peer, sock = search(limit)
    found = sock.getsockopt(IPPROTO_IP, IP_MTU)
    assert limit - 8 < found <= limit
    assert peer.count("tcp_mtu_probe_ok") + peer.count("tcp_mtu_probe_lost") == peer.count("tcp_mtu_probe")
    assert peer.stack.network.pmtu.get(TABLE_V4) == found


def test_established_search_v6_finds_the_mtu() -> None:
    _peer, sock = search(1400, v6=True)
    assert 1392 < mss(sock) + 60 <= 1400


def test_established_search_without_sack_finds_the_mtu() -> None:
    _peer, sock = search(1400, options=PLAIN)
    assert 1392 < mss(sock) + 40 <= 1400


@pytest.mark.rfc("4821", "7.2", "a connection may begin with 1024 bytes and search from there")
@pytest.mark.rfc("8899", "5.2", "BASE, SEARCHING, SEARCH_COMPLETE")
@pytest.mark.parametrize("limit", [1500, 1400])
def test_established_probing_always_begins_with_the_base(limit: int) -> None:
    peer = Peer(mtu_probing=2)
    sock = peer.passive(SACKED, window=60_000)
    sock.send(bytes(3000))
    peer.flush()
    assert max(sizes(peer)) == 1064
    peer, sock = search(limit, mtu_probing=2)
    assert limit - 8 < sock.getsockopt(IPPROTO_IP, IP_MTU) <= limit and peer.count("tcp_black_hole") == 0


def searching(limit: int = 1400, *, options: Any = SACKED, **more: int) -> Any:
    """A connection whose base is confirmed, and enough data for a probe."""
    peer = Peer(mtu_probing=2, **more)
    held.pop(id(peer), None)
    sacks[id(peer)] = options is SACKED
    sock = peer.passive(options, window=60_000)
    for _ in range(3):
        proven(sock, peer, 3000)  # too little for a probe
    assert sock.tcb.flight.full == 2 and peer.count("tcp_mtu_probe") == 0
    return peer, sock


def probe_of(peer: Peer) -> Any:
    """The probe among what was sent, which is larger than all else."""
    most = max(peer.out, key=lambda seg: len(seg.data))
    return most if len(most.data) > 1024 else None


@pytest.mark.rfc("4821", "7.6.2", "a probe lost alone brings search_high down, and is no congestion")
@pytest.mark.rfc("8899", "4.4", "loss of a probe is no congestion signal")
@pytest.mark.parametrize("options", [SACKED, PLAIN], ids=["sack", "plain"])
def test_established_probe_lost_alone_is_sent_again_in_pieces_and_leaves_cwnd(options: Any) -> None:
    peer, sock = searching(options=options)
    sock.send(bytes(20_000))
    cwnd = sock.info().snd_cwnd
    peer.flush()
    probe = probe_of(peer)
    assert probe and len(probe.frame.packet) == 1500
    peer.advance(0.02)
    assert swallow(peer, 1400) == 1  # the acknowledgments of the rest tell of it
    peer.advance(0.02)
    pieces = [seg for seg in peer.out if seg.seq == probe.seq or seg.seq == (probe.seq + 1024) & MASK32]
    assert [len(seg.data) for seg in pieces[:2]] == [1024, 436]
    assert peer.count("tcp_rto") == 0 and peer.count("tcp_mtu_probe_lost") == 1
    assert peer.count("tcp_fast_retransmit") == 0 and sock.info().snd_cwnd >= cwnd
    stall(peer, sock, 1400, 1)
    assert sock.info().unacked == 0 and sock.info().snd_cwnd >= cwnd and mss(sock) == 1024


@pytest.mark.rfc("4821", "7.6.4", "a probe that is lost with others tells nothing, and others are congestion")
def test_established_probe_lost_with_others_is_inconclusive() -> None:
    peer, sock = searching()
    sock.send(bytes(20_000))
    cwnd = sock.info().snd_cwnd
    peer.flush()
    probe = probe_of(peer)
    others = {(probe.end + 1024) & MASK32}
    assert swallow(peer, 1400, drop=lambda seg: seg.seq in others) == 2
    peer.advance(0.3)
    assert peer.count("tcp_mtu_probe_lost") == 0 and peer.count("tcp_fast_retransmit") == 1
    assert sock.info().snd_cwnd < cwnd
    stall(peer, sock, 1400, 1)
    tcb = sock.tcb
    assert tcb is not None and tcb.path is not None and (tcb.path.failures, tcb.path.high) == (0, 1500)


@pytest.mark.rfc("4821", "7.4", "no probe without data behind it that tells of its loss")
@pytest.mark.rfc("8899", "3", "a probe is sent only when there is data to send")
def test_established_too_little_data_makes_no_probe() -> None:
    peer, sock = searching()
    for _ in range(20):
        sock.send(bytes(4000))
        peer.flush()
        assert probe_of(peer) is None
        swallow(peer, 1500)
        peer.advance(0.1)
    assert peer.count("tcp_mtu_probe") == 0


@pytest.mark.rfc("4821", "7.4", "no probe beyond the window")
def test_established_too_small_a_window_makes_no_probe() -> None:
    peer, sock = searching()
    peer.window = 4000 >> 7
    swallow(peer, 1500)
    peer.send(".")
    peer.drain()
    for _ in range(10):
        sock.send(bytes(20_000))
        peer.flush()
        swallow(peer, 1500)
        peer.advance(0.1)
    assert peer.count("tcp_mtu_probe") == 0


@pytest.mark.rfc("4821", "7.4", "one probe at a time")
def test_established_one_probe_at_a_time() -> None:
    peer, sock = searching()
    sock.send(bytes(60_000))
    peer.flush()
    assert sum(len(seg.data) > 1024 for seg in peer.out) == 1


@pytest.mark.rfc("8899", "5.1.2", "MAX_PROBES probes of a size have to be lost before it counts as too large")
@pytest.mark.rfc("4821", "7.6.2", "lost probes are spaced")
def test_established_three_probes_of_a_size_have_to_be_lost() -> None:
    peer, sock = searching()
    peer.watch = None
    seen: list[tuple[int, int]] = []
    for _ in range(60):
        if sock.info().unsent < 20_000:
            sock.send(bytes(40_000))
        peer.flush()
        probe = probe_of(peer)
        if probe is not None:
            seen.append((peer.now, len(probe.frame.packet)))
        swallow(peer, 1400)
        peer.advance(0.01)
    assert [size for _, size in seen[:3]] == [1500] * 3 and seen[3][1] < 1500
    rtt = sock.info().rtt
    assert all(after - before >= 5 * rtt * 1e9 * 0.5 for (before, _), (after, _) in itertools.pairwise(seen))


@pytest.mark.rfc("4821", "7.6.1", "a probe that arrives raises search_low and the size in use")
def test_established_probe_that_arrives_makes_larger_segments() -> None:
    peer, sock = searching()
    sock.send(bytes(20_000))
    peer.flush()
    swallow(peer, 1500)
    assert mss(sock) == 1460 and peer.count("tcp_mtu_probe_ok") == 1
    sock.send(bytes(10_000))
    peer.flush()
    assert max(sizes(peer)) == 1500


@pytest.mark.rfc("8899", "5.1.1", "PMTU_RAISE_TIMER: a larger size is tried again after ten minutes")
@pytest.mark.rfc("4821", "7.5", "the search begins anew after a while")
def test_established_ten_minutes_after_a_search_a_larger_path_is_found() -> None:
    peer, sock = search(1400)
    low = mss(sock)
    probes = peer.count("tcp_mtu_probe")
    for _ in range(5):
        sock.send(bytes(30_000))
        peer.flush()
        stall(peer, sock, 1500, 1)
    assert peer.count("tcp_mtu_probe") == probes and mss(sock) == low
    peer.advance(601)
    for _ in range(10):
        sock.send(bytes(30_000))
        peer.flush()
        stall(peer, sock, 1500, 1)
    assert mss(sock) == 1460 and peer.stack.network.pmtu.get(TABLE_V4) == 0


@pytest.mark.rfc("8899", "4.6.1", "a report about a probe ends the probing of its size")
def test_established_report_about_a_probe_says_what_to_try_next() -> None:
    peer, sock = searching()
    sock.send(bytes(20_000))
    cwnd = sock.info().snd_cwnd
    peer.flush()
    probe = probe_of(peer)
    peer.out = [seg for seg in peer.out if seg is not probe]
    report(peer, 3, 4, probe.seq, info=1400)
    assert sock.info().snd_cwnd == cwnd and peer.count("tcp_mtu_probe_lost") == 1
    for _ in range(5):
        stall(peer, sock, 1400, 0.5)
        sock.send(bytes(20_000))
        peer.flush()
    assert mss(sock) == 1360 and peer.count("tcp_mtu_probe") == 2 and peer.count("tcp_rto") == 0


@pytest.mark.parametrize("mtu", [552, 1500, 1600])
def test_established_report_about_a_probe_that_cant_be_true_is_ignored(mtu: int) -> None:
    peer, sock = searching()
    sock.send(bytes(20_000))
    peer.flush()
    probe = probe_of(peer)
    report(peer, 3, 4, probe.seq, info=mtu)
    assert peer.count("tcp_mtu_probe_lost") == 0 and mss(sock) == 1024
    swallow(peer, 1500)
    assert mss(sock) == 1460


@pytest.mark.rfc("4821", "7.6.3", "a timeout with a probe in flight says nothing of its size")
def test_established_timeout_with_a_probe_in_flight_is_a_timeout() -> None:
    peer, sock = searching()
    sock.send(bytes(20_000))
    peer.flush()
    assert probe_of(peer)
    peer.drain()
    peer.advance(1.2)
    tcb = sock.tcb
    assert peer.count("tcp_rto") >= 1 and peer.count("tcp_mtu_probe_lost") == 0
    assert tcb is not None and tcb.path is not None and tcb.path.high == 1500
    stall(peer, sock, 1500, 5)
    assert sock.info().unacked == 0


@pytest.mark.rfc("4821", "7.2", "search_high is what interface and peer allow")
def test_established_probes_are_never_larger_than_the_peer_takes() -> None:
    peer = Peer(mtu_probing=2, mtu=9000)
    held.pop(id(peer), None)
    sock = peer.passive((Mss(2000), SackPermitted(), Nop(), WindowScale(7)), window=60_000)
    for _ in range(30):
        sock.send(bytes(40_000))
        peer.flush()
        assert max(sizes(peer), default=0) <= 2040
        stall(peer, sock, 9000, 0.2)
    assert mss(sock) == 2000


@pytest.mark.rfc("8899", "5.1.2", "BASE_PLPMTU is never above what the peer takes")
def test_established_peer_that_takes_less_than_the_base_is_not_probed() -> None:
    peer = Peer(mtu_probing=2)
    held.pop(id(peer), None)
    sock = peer.passive((Mss(600), SackPermitted(), Nop(), WindowScale(7)), window=60_000)
    for _ in range(10):
        sock.send(bytes(40_000))
        peer.flush()
        stall(peer, sock, 9000, 0.2)
    assert mss(sock) == 600 and peer.count("tcp_mtu_probe") == 0
    assert sock.tcb is not None and sock.tcb.path is None


def test_threat_66_peer_that_acknowledges_probes_only_gains_what_it_has_offered() -> None:
    peer = Peer(mtu_probing=2)
    held.pop(id(peer), None)
    sock = peer.passive((Mss(65535), SackPermitted(), Nop(), WindowScale(7)), window=60_000)
    for _ in range(30):
        sock.send(bytes(40_000))
        peer.flush()
        stall(peer, sock, 9000, 0.2)
    assert mss(sock) == 1460  # the interface's


# the options


def test_options_of_a_socket() -> None:
    peer = Peer()
    sock = peer.passive(SACKED)
    assert sock.getsockopt(IPPROTO_TCP, TCP_MTU_PROBING) == -1
    assert sock.getsockopt(IPPROTO_IP, IP_MTU_DISCOVER) == 1
    assert sock.getsockopt(IPPROTO_IP, IP_MTU) == 1500
    assert sock.tcb is not None and sock.tcb.mtu_probing == 1
    sock.setsockopt(IPPROTO_TCP, TCP_MTU_PROBING, 0)
    assert sock.tcb.mtu_probing == 0
    assert error_of(sock.setsockopt, IPPROTO_TCP, TCP_MTU_PROBING, 3) is InvalidArgument
    assert error_of(sock.setsockopt, IPPROTO_IP, IP_MTU_DISCOVER, 4) is InvalidArgument


def test_idle_connection_has_no_path() -> None:
    peer = Peer()
    sock = peer.passive(SACKED)
    proven(sock, peer)
    assert sock.tcb is not None and sock.tcb.path is None


@pytest.mark.rfc("1191", "6.1", "TCP sends with DF")
def test_established_segments_have_df() -> None:
    peer = Peer()
    sock = peer.passive(SACKED)
    sock.send(bytes(5000))
    peer.flush()
    assert all(seg.frame.ipv4.flags == 2 for seg in peer.drain())
    assert build.ipv4.FLAG_DF == 2


# IP_PMTUDISC_DONT


def header_of(seg: Any) -> tuple[bool, int, bool]:
    """Whether DF is set, the identification, and whether the header's checksum is right."""
    packet = seg.frame.packet
    total = sum(int.from_bytes(packet[at : at + 2], "big") for at in range(0, 20, 2))
    return bool(packet[6] & 0x40), int.from_bytes(packet[4:6], "big"), total % 0xFFFF == 0


def dont(sock: Socket) -> None:
    sock.setsockopt(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)


@pytest.mark.rfc("6864", "4.2", "packets that may be fragmented have identifications of their own")
@pytest.mark.rfc("1191", "3", "without discovery DF is not set")
@pytest.mark.parametrize("passive", [False, True])
@pytest.mark.parametrize("gathers", [False, True])
def test_pmtudisc_dont_lets_routers_fragment_every_packet(passive: bool, gathers: bool) -> None:
    peer = Peer(gathers=gathers)
    heard: list[Any] = []
    collect = peer.collect

    def listening() -> None:
        before = len(peer.out)
        collect()
        heard.extend(peer.out[before:])

    peer.collect = listening  # type: ignore[method-assign]
    sock = peer.passive(SACKED, before=dont) if passive else peer.active(SACKED, before=dont)
    sock.send(bytes(100_000))
    peer.flush()
    for _ in range(3):
        peer.take()
        peer.flush()
    sock.close()
    peer.flush()
    peer.take()
    assert len(heard) > 40
    headers = [header_of(seg) for seg in heard]
    assert not any(df for df, _, _ in headers) and all(right for _, _, right in headers)
    assert len({ident for _, ident, _ in headers}) == len(headers)


def test_pmtudisc_dont_discovers_nothing() -> None:
    peer = Peer(mtu_probing=2)
    peer.stack.network.pmtu.update(TABLE_V4, 1300)
    sock = peer.passive(SACKED, before=dont)
    assert mss(sock) == 1460 and sock.getsockopt(IPPROTO_IP, IP_MTU_DISCOVER) == IP_PMTUDISC_DONT
    sock.send(bytes(5000))
    peer.flush()
    report(peer, 3, 4, peer.ack, info=1200)
    assert mss(sock) == 1460 and sock.getsockopt(IPPROTO_IP, IP_MTU) == 1500
    assert peer.count("tcp_mtu_probe") == 0


def test_pmtudisc_dont_can_be_taken_back() -> None:
    peer = Peer()
    sock = peer.passive(SACKED, before=dont)
    sock.setsockopt(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    sock.send(bytes(2000))
    peer.flush()
    assert {header_of(seg)[:2] for seg in peer.out} == {(True, 0)}
    report(peer, 3, 4, peer.ack, info=1200)
    assert mss(sock) == 1160


@pytest.mark.rfc("8200", "5", "packets longer than the path's MTU are not sent")
def test_pmtudisc_dont_is_for_ipv4() -> None:
    peer = Peer(v6=True)
    sock = peer.passive(SACKED, before=lambda sock: sock.setsockopt(IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_DONT))
    sock.send(bytes(5000))
    peer.flush()
    report(peer, 2, 0, peer.ack, info=1300)
    assert mss(sock) == 1240
