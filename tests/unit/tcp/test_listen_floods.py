"""The SYN cache, cookies and the accept queue under pressure (RFC 4987)."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from tests.unit.tcp.peer import FULL, ISN, PLAIN, Peer, Seg, error_of, read
from uinet.errors import AddressInUse, WouldBlock
from uinet.stack import Stack
from uinet.tcp.syn import Verdict
from uinet.tcp.table import Entry
from uinet.units import MASK32
from uinet.wire.tcp_options import Mss, SackPermitted, Timestamps, WindowScale


def flood(peer: Peer, count: int, options: Any = PLAIN) -> list[Seg]:
    """SYNs of `count` strangers; the answers."""
    watch, peer.watch = peer.watch, None
    port, address = peer.peer_port, peer.there
    answers = []
    for number in range(count):
        peer.there = f"10.0.1.{1 + number % 250}" if ":" not in address else f"2001:db8:1::{1 + number:x}"
        peer.peer_port = 1 + number % 60000
        peer.send("S", number * 7919, options=options)
        answers += peer.drain()
    peer.there, peer.peer_port, peer.watch = address, port, watch
    return answers


def routed(**settings: int) -> Peer:
    peer = Peer(**settings)
    peer.stack.routes.add("0.0.0.0/0", via="10.0.0.1")
    peer.stack.routes.add("::/0", via="2001:db8::1")
    return peer


@pytest.mark.threat(1)
@pytest.mark.rfc("4987", "3.4", "the SYN cache keeps little of each half-open connection, in a bounded number")
@pytest.mark.parametrize("cookies", [True, False])
def test_syn_flood_is_bounded_and_a_genuine_client_gets_through(cookies: bool) -> None:
    peer = routed(syn_cookies=cookies)
    peer.listen(backlog=16)
    answers = flood(peer, 300)
    assert len(answers) == 300
    assert peer.stack.tcp.syn_count <= 17
    sock = peer.passive(FULL)
    peer.data(b"hello")
    assert read(sock) == b"hello"
    assert peer.count("tcp_syncookie_ok" if cookies else "tcp_syncache_evicted") >= 1
    sock.abort()
    peer.listener.close()
    peer.flush()
    peer.drain()
    peer.gone(0)


@pytest.mark.threat(2)
@pytest.mark.rfc("4987", "3.6", "a SYN cookie restores MSS, window scale, SACK and timestamps")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        (), (Mss(1400),), FULL, (Mss(1460), SackPermitted(), Timestamps(9, 0)),
        (Mss(1300), Timestamps(9, 0), WindowScale(0)),
    ],
)
def test_cookie_restores_what_was_offered(options: Any, v6: bool) -> None:
    peer = Peer(v6=v6)
    peer.listen(backlog=1)
    other, peer.peer_port, peer.watch = peer.peer_port, 5, None
    peer.send("S", options=PLAIN)
    peer.drain()
    peer.peer_port = other
    seg = peer.syn(options)
    assert peer.count("tcp_syncookie_sent") == 1 and peer.stack.tcp.syn_count == 1
    peer.ts_echo = seg.option(Timestamps).value if peer.ts else 0
    peer.send(".")
    info = peer.listener.accept().info()
    stamped = any(isinstance(option, Timestamps) for option in options)
    scale = [option.shift for option in options if isinstance(option, WindowScale)]
    assert info.timestamps is stamped
    assert info.snd_wscale == (scale[0] if scale and stamped else 0)
    assert info.sack == (stamped and SackPermitted() in options)
    offered = next((option.value for option in options if isinstance(option, Mss)), 1220 if v6 else 536)
    assert info.snd_mss == min(offered, 1440 if v6 else 1460) - (12 if stamped else 0)


def under_cookies() -> Peer:
    peer = Peer()
    peer.listen(backlog=1)
    peer.watch = None
    peer.peer_port = 5
    peer.send("S", options=PLAIN)
    peer.drain()
    peer.peer_port = 40000
    peer.syn()
    return peer


@pytest.mark.threat(2)
@pytest.mark.rfc("4987", "3.6", "a cookie that is wrong, old, or another tuple's makes no connection")
@pytest.mark.parametrize("what", ["one more", "one less", "other port", "other seq", "old", "other address"])
def test_cookie_that_is_wrong_is_reset(what: str) -> None:
    peer = under_cookies()
    if what == "one more":
        peer.ack += 1
    elif what == "one less":
        peer.ack -= 1
    elif what == "other port":
        peer.peer_port += 1
    elif what == "other seq":
        peer.seq += 1
    elif what == "old":
        peer.advance(129)
        peer.drain()
        peer.peer_port = 6
        for port in (5, 6, 7):  # the listener overflows again
            peer.peer_port = port
            peer.send("S", ISN, options=PLAIN)
        peer.drain()
        peer.peer_port = 40000
    else:
        peer.there = "10.0.0.9"
        peer.stack.neighbors.add("10.0.0.9", "02:00:00:00:00:09")
    peer.send(".")
    peer.expect("R", seq=peer.ack)
    assert not peer.listener.readable and peer.count("tcp_syncookie_bad") == 1


@pytest.mark.threat(2)
@pytest.mark.rfc("4987", "3.6", "a cookie counts only if cookies were sent lately")
def test_cookie_is_not_believed_when_none_was_sent_lately() -> None:
    peer = under_cookies()
    peer.advance(121)
    peer.drain()
    peer.send(".")
    peer.expect("R")
    assert peer.count("tcp_syncookie_bad") == 0


@pytest.mark.threat(7)
def test_cookies_do_not_overfill_the_accept_queue() -> None:
    peer = Peer()
    peer.listen(backlog=2)
    peer.watch = None
    answers = {}
    for port in range(100, 150):
        peer.peer_port = port
        peer.send("S", ISN, options=PLAIN)
        answers[port] = peer.expect("S.")
    for port, seg in answers.items():
        peer.peer_port = port
        peer.send(".", ISN + 1, seg.seq + 1)
    accepted = 0
    while error_of(peer.listener.accept) is not WouldBlock:
        accepted += 1
    assert accepted <= 2


@pytest.mark.threat(7)
def test_full_accept_queue_ignores_acks_and_drops_syns() -> None:
    peer = Peer()
    peer.listen(backlog=2)
    peer.watch = None
    for port in range(100, 110):
        peer.peer_port = port
        peer.send("S", ISN, options=PLAIN)
        for seg in peer.drain():
            peer.send(".", ISN + 1, seg.seq + 1)
    assert peer.tcbs() == 2 and peer.count("tcp_listen_overflow") == 8
    peer.listener.accept()
    peer.send("S", ISN, options=PLAIN)
    peer.expect("S.")


@pytest.mark.threat(1)
@pytest.mark.rfc("4987", "3.4", "the SYN cache of all listeners together is bounded")
def test_syn_cache_of_all_listeners_is_bounded() -> None:
    peer = routed(syn_cache_limit=20, syn_cookies=False)
    peer.listen(backlog=15)
    other = peer.stack.listen((peer.here, 81), backlog=15)
    flood(peer, 40)
    peer.port = 81
    flood(peer, 40)
    assert peer.stack.tcp.syn_count <= 31
    assert other.listener is not None and other.listener.half_open <= 16


@pytest.mark.threat(3)
def test_ack_flood_allocates_nothing() -> None:
    peer = Peer()
    peer.listen()
    for number in range(3000):
        peer.peer_port = 1 + number
        peer.send("P.", data=b"x", ack=number)
    assert len(peer.drain()) == 1000
    assert len(peer.stack.tcp.table) == 0


def test_deferred_syn_is_absorbed_and_decided_once() -> None:
    asked = []

    def ask(syn: Any) -> Verdict:
        asked.append(syn)
        return Verdict.DEFER

    peer = Peer()
    peer.listen(syn_filter=ask)
    for _ in range(3):
        peer.send("S", options=PLAIN)
    peer.quiet()
    assert len(asked) == 1 and peer.count("tcp_syn_deferred_again") == 2
    asked[0].context = "mine"
    assert asked[0].deliver(Verdict.ACCEPT) and not asked[0].deliver(Verdict.ACCEPT)
    peer.flush()
    seg = peer.expect("S.")
    peer.send(".", ISN + 1, seg.seq + 1)
    assert peer.listener.accept().context == "mine"


@pytest.mark.parametrize(("verdict", "answer"), [(Verdict.REJECT_RST, "R."), (Verdict.REJECT_SILENT, "")])
@pytest.mark.parametrize("later", [False, True])
def test_syn_filter_rejects(verdict: Verdict, answer: str, later: bool) -> None:
    asked = []

    def ask(syn: Any) -> Verdict:
        asked.append(syn)
        return Verdict.DEFER if later else verdict

    peer = Peer()
    peer.listen(syn_filter=ask)
    peer.send("S", options=PLAIN)
    if later:
        asked[0].deliver(verdict)
        peer.flush()
    if answer:
        peer.expect(answer, ack=ISN + 1)
    peer.quiet()
    peer.gone(0)


def test_deferred_syn_times_out_and_closing_releases() -> None:
    gone = []

    def ask(syn: Any) -> Verdict:
        syn.on_gone = lambda _, why: gone.append(why)
        return Verdict.DEFER

    peer = Peer()
    peer.listen(syn_filter=ask)
    peer.send("S", options=PLAIN)
    peer.advance(80)
    peer.send("S", options=PLAIN)
    peer.listener.close()
    peer.flush()
    assert gone == ["timeout", "closed"]
    peer.gone(0)


# numbers that nobody can guess


@pytest.mark.threat(28)
@pytest.mark.rfc("6528", "3", "ISNs of different tuples are unrelated")
def test_isns_of_many_tuples_are_uniform() -> None:
    peer = routed(syn_cache_limit=100_000)
    peer.listen(backlog=100_000)
    numbers = [seg.seq for seg in flood(peer, 2000)]
    buckets = [0] * 64
    for number in numbers:
        buckets[number >> 26] += 1
    chi2 = sum((count - 2000 / 64) ** 2 / (2000 / 64) for count in buckets)
    assert chi2 < 120  # 63 degrees of freedom: one in 10**5
    steps = {(b - a) & MASK32 for a, b in itertools.pairwise(numbers)}
    assert len(steps) > 1990


@pytest.mark.threat(28)
@pytest.mark.threat(29)
@pytest.mark.rfc("6528", "3", "another secret gives other ISNs")
@pytest.mark.rfc("7323", "5.4", "the timestamp's offset is another for each connection")
def test_isns_of_another_secret_differ() -> None:
    numbers = set()
    for seed in (b"a", b"b", b"c"):
        peer = Peer(seed=seed)
        peer.listen()
        seg = peer.syn(FULL)
        numbers.add((seg.seq, seg.option(Timestamps).value))
    assert len({seq for seq, _ in numbers}) == len({stamp for _, stamp in numbers}) == 3


@pytest.mark.rfc("6528", "3", "ISN = M + F(tuple, secret), M a clock of 4 us")
@pytest.mark.parametrize("seconds", [1, 100, 5000])
def test_isn_of_a_tuple_follows_the_clock(seconds: int) -> None:
    first = Peer()
    second = Peer(now=first.now + seconds * 10**9)
    numbers = []
    for peer in (first, second):
        peer.listen()
        numbers.append(peer.syn().seq)
    assert (numbers[1] - numbers[0]) & MASK32 == seconds * 250_000 & MASK32


@pytest.mark.threat(49)
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_our_isn_near_the_wrap_carries_a_whole_stream(options: Any) -> None:
    probe = Peer()
    sock = probe.active(PLAIN)
    assert sock.tcb is not None
    wait = ((MASK32 + 1 - 3000 - sock.tcb.iss) & MASK32) * 4000
    peer = Peer(now=probe.now + wait)
    sock = peer.active(options)
    assert sock.tcb is not None and sock.tcb.iss > MASK32 - 4000
    text = random.Random(1).randbytes(20_000)
    sent, got = 0, b""
    for _ in range(20):
        if sent < len(text):
            sent += sock.send(text[sent:])
        peer.flush()
        got += peer.take()
    assert got == text


# ports


@pytest.mark.threat(13)
@pytest.mark.rfc("6056", "3.3.3", "ports follow a keyed hash of the addresses and a counter")
def test_ephemeral_ports_are_neither_sequential_across_peers_nor_shared() -> None:
    stack = Stack(b"ports", 10**9)
    eth0 = stack.add_interface("eth0", mac="02:00:00:00:00:02")
    eth0.add_address("10.0.0.2/24")
    starts = []
    for host in range(10, 30):
        stack.neighbors.add(f"10.0.0.{host}", "02:00:00:00:00:09")
        ports = [stack.connect((f"10.0.0.{host}", 80)).getsockname()[1] for _ in range(20)]
        assert len(set(ports)) == 20
        starts.append(ports[0])
    assert len({(b - a) % 28232 for a, b in itertools.pairwise(starts)}) > 15


@pytest.mark.threat(13)
@pytest.mark.rfc("6056", "3.3.3", "a full range is reported")
def test_ephemeral_ports_that_are_all_taken_are_reported() -> None:
    stack = Stack(b"ports", 10**9)
    stack.tcp.settings.port_low, stack.tcp.settings.port_high = 50000, 50099
    eth0 = stack.add_interface("eth0", mac="02:00:00:00:00:02")
    eth0.add_address("10.0.0.2/24")
    assert len({stack.connect(("10.0.0.1", 80)).getsockname()[1] for _ in range(100)}) == 100
    assert error_of(stack.connect, ("10.0.0.1", 80)) is AddressInUse
    stack.connect(("10.0.0.1", 81))


def test_isn_and_timestamp_differ_between_vlans_and_domains() -> None:
    stack = Stack(b"seed")
    found = set()
    a, b = b"\x00\x64", b"\x00\xc8"
    for cdom, vids in ((1, b""), (1, a), (1, b), (1, a + b), (1, b + a), (2, b"")):
        entry = Entry()
        stack.tcp.table.set_key(entry, cdom, vids, 0, 0xFFFF_0A000001, 80, 0, 0xFFFF_0A000002, 4000)
        found.add((stack.tcp.secrets.isn(entry, 0), stack.tcp.secrets.timestamp_offset(entry)))
    assert len({isn for isn, _ in found}) == len({offset for _, offset in found}) == 6
