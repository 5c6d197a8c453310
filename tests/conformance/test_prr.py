"""RFC 9937 (proportional rate reduction; RFC 6937 before it), RFC 3522 and 4015 (Eifel), and the validation of cwnd."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.test_rack import TRIP, sack, warm
from tests.unit.tcp.peer import FULL, Peer
from uinet.sim.invariants import Segment
from uinet.socket import Socket
from uinet.wire.tcp_options import Nop, Sack


def flight(**settings: Any) -> tuple[Peer, Socket, list[Segment]]:
    """Twenty segments in flight, which is what cwnd allows, for a round trip."""
    peer, sock = warm(**settings)
    assert sock.tcb is not None
    sock.tcb.cwnd = 20_000
    sock.send(bytes(20_000))
    peer.flush()
    sent = [seg for seg in peer.drain() if seg.data]
    assert len(sent) == 20
    peer.advance(TRIP)
    peer.drain()
    return peer, sock, sent


@pytest.mark.rfc("6937", "3", "while more than ssthresh is in flight, sending is in proportion to what is delivered")
@pytest.mark.rfc("9937", "6", "while more than ssthresh is in flight, sending is in proportion to what is delivered")
@pytest.mark.parametrize(("congestion", "share"), [("newreno", 0.5), ("cubic", 0.7)])
def test_sending_is_in_proportion_to_what_is_delivered(congestion: str, share: float) -> None:
    peer, sock, sent = flight(congestion=congestion)
    sock.send(bytes(60_000))  # new data waits
    peer.flush()
    peer.drain()
    out = []
    for index in range(1, 20):
        blocks = ((sent[1].seq, sent[index].end),)
        peer.send(".", options=(Nop(), Nop(), Sack(blocks)))
        out.append(sum(len(seg.data) for seg in peer.drain()))
    first = next(index for index, size in enumerate(out) if size)
    assert out[first] == 1000, "the fast retransmit"
    recovery = out[first:]
    assert sum(recovery) == pytest.approx(share * 1000 * len(recovery), abs=3000)
    assert max(recovery) <= 2000, "no burst and no silence of half a round trip"
    assert sock.info().snd_ssthresh == pytest.approx(share * 20_000, rel=0.1)


@pytest.mark.rfc("6937", "3", "the fast retransmit is sent whatever the proportion says")
@pytest.mark.rfc("9937", "6", "the fast retransmit is sent whatever the proportion says")
def test_the_fast_retransmit_goes_at_once() -> None:
    peer, _, sent = flight()
    sack(peer, sent[3], sent[2], sent[1])
    retransmitted = [seg.seq for seg in peer.drain() if seg.data]
    assert retransmitted[:1] == [sent[0].seq]


@pytest.mark.rfc("9937", "6", "below ssthresh: as much as is delivered, and a segment more for an ACK that is safe")
def test_below_ssthresh_a_segment_more_goes_for_each_safe_ack() -> None:
    peer, sock, sent = flight(congestion="newreno")

    def sizes(*blocks: tuple[int, int]) -> int:
        peer.send(".", options=(Nop(), Nop(), Sack(blocks)))
        return sum(len(seg.data) for seg in peer.drain())

    assert sizes((sent[15].seq, sent[17].end)) == 3000, "what has arrived, no burst, though ssthresh is far"
    assert sizes((sent[15].seq, sent[19].end)) == 2000
    peer.advance(TRIP)
    peer.drain()
    peer.ack = sent[0].end
    assert sizes((sent[15].seq, sent[19].end)) == 2000, "SND.UNA has moved and nothing more is lost: safe"
    assert sock.info().snd_cwnd < sock.info().snd_ssthresh


@pytest.mark.rfc("6937", "3", "at the end of recovery cwnd is ssthresh")
@pytest.mark.rfc("9937", "6", "at the end of recovery cwnd is ssthresh")
def test_recovery_ends_at_ssthresh() -> None:
    peer, sock, sent = flight()
    sack(peer, sent[3], sent[2], sent[1])
    peer.drain()
    peer.advance(TRIP)
    peer.drain()
    peer.ack = sent[-1].end
    peer.send(".")
    assert sock.info().snd_cwnd == sock.info().snd_ssthresh


@pytest.mark.rfc("3522", "3.2", "an echo of a timestamp from before the retransmission: the original has arrived")
@pytest.mark.rfc("4015", "3.2", "after a spurious recovery cwnd and ssthresh are what they were")
def test_eifel_undoes_a_recovery_that_was_not_needed() -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    for _ in range(12):
        sock.send(bytes(1448))
        peer.flush()
        peer.advance(TRIP)
        peer.take()
    before = sock.info()
    sock.send(bytes(14_480))
    peer.flush()
    sent = [seg for seg in peer.drain() if seg.data]
    early = peer.ts_echo
    peer.advance(TRIP)
    for index in (1, 2, 3):
        peer.ts_echo = early
        blocks = ((sent[1].seq, sent[index].end),)
        peer.send(".", options=(Nop(), Nop(), peer.timestamps(), Nop(), Nop(), Sack(blocks)))
    assert sent[0].seq in [seg.seq for seg in peer.drain()], "it was sent again"
    peer.advance(0.02)
    peer.drain()
    assert sock.info().snd_ssthresh < before.snd_ssthresh
    peer.ack = sent[3].end
    peer.ts_echo = early
    peer.send(".")  # the original was only late
    assert peer.count("tcp_spurious_recovery") == 1
    assert sock.info().snd_ssthresh == before.snd_ssthresh and sock.info().snd_cwnd >= before.snd_cwnd


@pytest.mark.rfc("7661", "4.1", "a window that was not used for long is not trusted (as RFC 2861 does it)")
def test_a_window_that_is_not_used_shrinks_towards_what_is() -> None:
    peer, sock = warm()
    tcb = sock.tcb
    assert tcb is not None
    tcb.cwnd = 100_000
    for _ in range(30):
        sock.send(bytes(1000))
        peer.flush()
        peer.advance(TRIP)
        peer.take()
    assert sock.info().snd_cwnd < 50_000, "one segment a round trip never needed it"
    assert sock.info().snd_ssthresh >= 75_000, "and slow start leads back"


@pytest.mark.rfc("5681", "4.1", "after an idle time of more than a timeout no burst of the old window is sent")
def test_idle_time_halves_the_window_for_each_timeout() -> None:
    peer, sock = warm()
    tcb = sock.tcb
    assert tcb is not None
    tcb.cwnd = 64_000
    peer.advance(2.5 * sock.info().rto)
    sock.send(bytes(60_000))
    peer.flush()
    sent = sum(len(seg.data) for seg in peer.drain())
    assert 8_000 <= sent <= 16_000
