"""Which congestion control a connection has: the stack's setting, TCP_CONGESTION, an algorithm of one's own; and
pacing that does not come from the algorithm (SO_MAX_PACING_RATE, the setting `pacing`)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import uinet
from tests.unit.tcp.peer import FULL, PLAIN, Peer
from uinet.errors import InvalidArgument
from uinet.socket import Socket
from uinet.sockopt import IPPROTO_TCP, SO_MAX_PACING_RATE, SOL_SOCKET, TCP_CONGESTION
from uinet.tcp.congestion.base import CongestionControl
from uinet.tcp.congestion.choice import ALGORITHMS, choose
from uinet.tcp.congestion.names import NAMES, check_congestion
from uinet.tcp.settings import Settings
from uinet.units import MASK32, SECOND


class Constant(CongestionControl):
    """An algorithm of one's own, with what it was called."""

    name = "constant"
    owns_window = True

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self, tcb: Any) -> None:
        self.calls.append("start")
        tcb.cwnd = 4 * tcb.mss

    def on_ack(self, tcb: Any, ack: Any) -> None:
        self.calls.append(f"ack {ack.acked}")

    def on_timeout(self, tcb: Any, first: bool) -> None:
        self.calls.append("timeout")

    def on_lost(self, tcb: Any, start: int, length: int, in_flight: int, lost: int, app_limited: bool) -> None:
        self.calls.append(f"lost {length} of {in_flight} with {lost}")


def sent(peer: Peer) -> int:
    return sum(len(seg.data) for seg in peer.drain())


def acknowledge(peer: Peer, octets: int) -> None:
    peer.ack = (peer.ack + octets) & MASK32
    peer.send(".")


def in_use(sock: Socket) -> str:
    return str(sock.getsockopt(IPPROTO_TCP, TCP_CONGESTION))


def test_names_are_those_that_exist() -> None:
    assert set(NAMES) == set(ALGORITHMS)
    for name in NAMES:
        assert choose(name) is ALGORITHMS[name]
        assert ALGORITHMS[name]().name == ("newreno" if name == "reno" else name)


@pytest.mark.parametrize("wrong", ["vegas", "", "CUBIC", None, 5, b"\xff"])
def test_setting_refuses_what_is_no_algorithm_at_once(wrong: Any) -> None:
    settings = Settings()
    with pytest.raises(InvalidArgument):
        settings.congestion = wrong
    assert settings.congestion == "cubic"


def test_setting_takes_names_and_classes() -> None:
    assert check_congestion(b"bbr\0") == "bbr"
    for good in ("bbr", Constant, lambda: Constant()):
        peer = Peer(congestion=good)
        sock = peer.passive()
        assert in_use(sock) == ("bbr" if good == "bbr" else "constant")
        sock.send(b"x")
        peer.flush()
        assert in_use(sock) == ("bbr" if good == "bbr" else "constant")


def test_a_factory_that_makes_something_else_is_refused() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.send(b"x")
    peer.flush()
    with pytest.raises(InvalidArgument):
        sock.setsockopt(IPPROTO_TCP, TCP_CONGESTION, dict)
    assert in_use(sock) == "cubic"


def test_option_before_connect_and_on_a_listener_is_for_what_follows() -> None:
    peer = Peer()
    sock = peer.passive(before=lambda listener: listener.setsockopt(IPPROTO_TCP, TCP_CONGESTION, "newreno"))
    assert in_use(sock) == "newreno"
    sock.send(b"x")
    peer.flush()
    assert sock.tcb is not None and sock.tcb.congestion is not None and sock.tcb.congestion.name == "newreno"
    other = Peer()
    sock = other.active(before=lambda sock: sock.setsockopt(IPPROTO_TCP, TCP_CONGESTION, Constant))
    sock.send(bytes(20_000))
    other.flush()
    assert in_use(sock) == "constant" and sent(other) == 4 * 1460


def test_option_in_mid_connection_changes_the_algorithm_and_keeps_the_window() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.send(bytes(100_000))
    peer.flush()
    acknowledge(peer, sent(peer))
    sent(peer)
    window = sock.info().snd_cwnd
    assert window == 2 * 14_600
    for name in ("bbr", "newreno", "cubic", "bbr"):
        sock.setsockopt(IPPROTO_TCP, TCP_CONGESTION, name)
        assert in_use(sock) == name
        assert sock.info().snd_cwnd == window
    assert sock.tcb is not None and sock.tcb.pacing_rate > 0
    sock.setsockopt(IPPROTO_TCP, TCP_CONGESTION, "cubic")
    assert sock.tcb.pacing_rate == 0, "what BBR has set is gone with it"


def test_option_changed_in_recovery_of_an_owner_s_window_leaves_no_endless_one() -> None:
    peer = Peer(congestion="bbr")
    sock = peer.passive()
    sock.send(bytes(100_000))
    peer.advance(0.05)
    start = peer.ack
    assert sent(peer) >= 5 * 1460
    for _ in range(3):
        peer.send(".")
    assert sock.tcb is not None and sock.tcb.recovering
    sock.setsockopt(IPPROTO_TCP, TCP_CONGESTION, "newreno")
    peer.advance(0.01)
    assert sock.tcb.flight is not None
    peer.ack = sock.tcb.snd_nxt
    peer.send(".")
    assert not sock.tcb.recovering
    assert sock.info().snd_cwnd < 1 << 20 and peer.ack != start


def test_own_algorithm_is_told_of_acks_losses_and_timeouts() -> None:
    peer = Peer(congestion=Constant)
    sock = peer.passive()
    sock.send(bytes(14_600))
    peer.flush()
    assert sent(peer) == 4 * 1460
    acknowledge(peer, 1460)
    assert sent(peer) == 1460
    peer.advance(1.2)
    assert sock.tcb is not None
    control: Any = sock.tcb.congestion
    assert control.calls[:3] == ["start", "ack 1460", "timeout"]
    assert control.calls[3:5] == ["lost 4380 of 5840 with 4380", "lost 1460 of 5840 with 5840"]
    assert sock.info().snd_cwnd == sock.info().snd_mss, "after a timeout it is one segment, whoever owns it"


def test_public_name_is_the_interface() -> None:
    assert uinet.CongestionControl is CongestionControl


# pacing


def paced(peer: Peer, seconds: float) -> list[tuple[int, int]]:
    """(ns since now, bytes) of what goes out within a time."""
    start = peer.now
    peer.advance(seconds)
    return [(seg.time - start, len(seg.data)) for seg in peer.drain() if seg.data]


def test_max_pacing_rate_spaces_what_the_window_would_let_out_at_once() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.setsockopt(SOL_SOCKET, SO_MAX_PACING_RATE, 146_000)  # a segment each 10 ms
    assert sock.getsockopt(SOL_SOCKET, SO_MAX_PACING_RATE) == 146_000
    sock.send(bytes(14_600))
    peer.flush()
    out = [(0, len(seg.data)) for seg in peer.drain()] + paced(peer, 0.2)
    assert sum(size for _, size in out) == 14_600
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(out[1:])]  # the first may be a millisecond early
    assert len(out) == 10
    assert all(abs(gap - 10_000_000) < 600_000 for gap in gaps)
    assert out[-1][0] == pytest.approx(9 * 10_000_000, abs=1_500_000)


def test_max_pacing_rate_can_be_set_and_taken_back_under_way() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.send(bytes(200_000))
    peer.flush()
    acknowledge(peer, sent(peer))
    assert sent(peer) == 2 * 14_600
    sock.setsockopt(SOL_SOCKET, SO_MAX_PACING_RATE, 146_000)
    acknowledge(peer, 2 * 14_600)
    assert sent(peer) <= 2 * 1460
    sock.setsockopt(SOL_SOCKET, SO_MAX_PACING_RATE, 0)
    peer.flush()
    assert sent(peer) > 10 * 1460


def test_max_pacing_rate_bounds_what_bbr_wants() -> None:
    peer = Peer(congestion="bbr")
    sock = peer.passive(FULL)
    sock.setsockopt(SOL_SOCKET, SO_MAX_PACING_RATE, 144_800)
    sock.send(bytes(100_000))
    peer.flush()
    assert sock.tcb is not None and sock.tcb.pacing_rate == 144_800
    assert 9 <= len(paced(peer, 0.1)) + 1 <= 13


@pytest.mark.parametrize(("ssthresh", "factor"), [(1 << 30, 2.0), (29_200, 1.2)])
def test_setting_pacing_spreads_the_window_over_the_round_trip(ssthresh: int, factor: float) -> None:
    peer = Peer(pacing=True, congestion="newreno")
    sock = peer.passive()
    tcb = sock.tcb
    assert tcb is not None
    tcb.ssthresh = ssthresh
    tcb.srtt = 0
    sock.send(bytes(200_000))
    peer.flush()
    assert sent(peer) == 14_600, "without a round trip there is nothing to spread over"
    peer.advance(0.1)
    acknowledge(peer, 14_600)
    window = sock.info().snd_cwnd
    expected = max(window, sock.info().unacked) * factor / (tcb.srtt / SECOND)
    assert tcb.pacing_rate == pytest.approx(expected, rel=0.06)
    first = sent(peer)
    out = paced(peer, 0.2)
    if tcb.srtt > 50_000_000:
        assert first <= 3 * 1460
        rate = sum(size for _, size in out[:-1]) / ((out[-1][0] - out[0][0]) / SECOND)
        assert rate == pytest.approx(tcb.pacing_rate, rel=0.1)


def test_without_the_setting_nothing_is_paced() -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    sock.send(bytes(100_000))
    peer.flush()
    assert sent(peer) == 14_600
    peer.advance(0.05)
    acknowledge(peer, 14_600)
    assert sent(peer) == 29_200
    assert sock.tcb is not None and sock.tcb.pacing_rate == 0
