"""Events of SYNs and half-open connections: each reason has its story; a flood makes no more than a bounded list."""

from __future__ import annotations

from typing import Any

import pytest

import uinet
from tests.unit.promiscuous.lab import CLIENT, SECOND, SERVER, Lab
from tests.unit.promiscuous.lab import Peer as Client
from tests.unit.tcp.peer import HOST, PEER, Peer
from uinet import SynEvent, Verdict
from uinet.tcp import syn_events
from uinet.wire import build


def listening(peer: Peer, **options: Any) -> list[SynEvent]:
    """The events of a listener's SYNs from now on."""
    events: list[SynEvent] = []
    peer.listen(**options)
    peer.stack.on_syn_event = events.append
    return events


def reasons(events: list[SynEvent]) -> list[str]:
    return [event.reason for event in events]


def test_an_event_says_who_and_why() -> None:
    peer = Peer()
    events = listening(peer)
    peer.syn()
    peer.send("R")
    (event,) = events
    assert event.reason == "reset"
    assert (str(event.source[0]), event.source[1]) == (PEER, peer.peer_port)
    assert (str(event.destination[0]), event.destination[1]) == (HOST, 80)
    assert event.interface is peer.eth0
    assert event.l2info is None
    assert event.time == peer.now
    assert str(event) == f"reset: {PEER}.{peer.peer_port} > {HOST}.80"


def test_a_handshake_that_is_not_completed_times_out() -> None:
    peer = Peer()
    events = listening(peer)
    peer.syn()
    peer.advance(300)
    assert reasons(events) == ["timeout"]


def test_a_handshake_that_completes_is_no_event() -> None:
    peer = Peer()
    events: list[SynEvent] = []
    peer.stack.on_syn_event = events.append
    peer.passive()
    assert events == []


def test_a_wrong_ack_and_a_closed_listener() -> None:
    peer = Peer()
    events = listening(peer)
    peer.syn()
    peer.send(".", ack=5)
    peer.drain()
    peer.listener.close()
    assert reasons(events) == ["bad-ack"], "what happened in a call is told by the next poll"
    peer.flush()
    assert reasons(events) == ["bad-ack", "closed"]


def test_a_full_backlog() -> None:
    peer = Peer()
    events = listening(peer, backlog=1)
    peer.syn()
    peer.send(".")
    for port in (7, 8):
        peer.give(build.tcp(PEER, HOST, port, 80, "S"))
    assert reasons(events) == ["backlog", "backlog"]
    assert [event.source[1] for event in events] == [7, 8]


def test_cookies_sent_accepted_and_bad() -> None:
    peer = Peer(syn_cache_limit=1)
    events = listening(peer)
    peer.give(build.tcp(PEER, HOST, 1, 80, "S"))
    peer.drain()
    peer.syn()
    peer.give(build.tcp(PEER, HOST, 9, 80, ".", 100, 12345))
    peer.send(".")
    assert reasons(events) == ["cookie-sent", "cookie-bad", "cookie-accepted"]


def test_an_entry_that_gives_way_where_cookies_are_off() -> None:
    peer = Peer(syn_cache_limit=1, syn_cookies=False)
    events = listening(peer)
    for port in (1, 2):
        peer.give(build.tcp(PEER, HOST, port, 80, "S"))
    assert [(event.reason, event.source[1]) for event in events] == [("evicted", 1)]


def test_a_source_that_no_listener_takes() -> None:
    peer = Peer()
    events = listening(peer)
    peer.give(build.tcp(PEER, HOST, 1, 80, "SF"))
    assert reasons(events) == ["unsound"]


@pytest.mark.parametrize("verdict, reason", [
    (Verdict.REJECT_RST, "filtered-reset"), (Verdict.REJECT_SILENT, "filtered"), (None, "filtered"),
])
def test_a_filter_that_rejects(verdict: Any, reason: str) -> None:
    lab = Lab()
    lab.listen(syn_filter=lambda syn: verdict)
    events: list[SynEvent] = []
    lab.stack.on_syn_event = events.append
    Client(lab, vlans=(5,)).send("S")
    (event,) = events
    assert event.reason == reason
    assert event.l2info is not None
    assert [tag.vid for tag in event.l2info.vlans] == [5]
    assert str(event.l2info.source) == "02:00:00:00:00:c1"


def test_resets_over_the_rate_limit() -> None:
    lab = Lab()
    lab.stack.tcp.settings.rst_rate = 1
    lab.listen(syn_filter=lambda syn: Verdict.REJECT_RST)
    events: list[SynEvent] = []
    lab.stack.on_syn_event = events.append
    for port in (1, 2):
        Client(lab, sport=port).send("S")
    assert reasons(events) == ["filtered-reset", "rate"]


def test_deferred_syns() -> None:
    lab = Lab()
    lab.stack.tcp.settings.defer_limit = 1
    lab.listen(syn_filter=lambda syn: Verdict.DEFER)
    events: list[SynEvent] = []
    lab.stack.on_syn_event = events.append
    for port in (1, 2):
        Client(lab, sport=port).send("S")
    lab.wait(100 * SECOND)
    assert [(event.reason, event.source[1]) for event in events] == [("deferred-full", 2), ("timeout", 1)]


def test_a_syn_that_nobody_can_be_answered() -> None:
    peer = Peer()
    events = listening(peer)
    peer.give(build.tcp("192.0.2.1", HOST, 1, 80, "S"))
    assert reasons(events) == ["unreachable"]


def test_an_unsigned_syn_where_signatures_are_wanted() -> None:
    peer = Peer()
    peer.listener = peer.stack.socket()
    peer.listener.setsockopt(uinet.IPPROTO_TCP, uinet.TCP_MD5SIG, uinet.Md5Key(PEER, b"secret"))
    peer.listener.bind((HOST, 80))
    peer.listener.listen()
    events: list[SynEvent] = []
    peer.stack.on_syn_event = events.append
    peer.give(build.tcp(PEER, HOST, 1, 80, "S"))
    assert reasons(events) == ["signature"]


def test_a_flood_makes_no_more_events_than_a_batch_may() -> None:
    peer = Peer()
    events = listening(peer, backlog=1)
    peer.watch = None
    flood = [build.tcp(PEER, HOST, port, 80, "SF") for port in range(1, syn_events.MOST + 101)]
    peer.give(*flood)
    assert len(events) == syn_events.MOST
    assert peer.count("syn_events_lost") == 100
    peer.give(*flood[:5])
    assert len(events) == syn_events.MOST + 5


def test_a_callback_that_raises_costs_its_event(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer()
    listening(peer)

    def broken(event: SynEvent) -> None:
        raise ValueError("broken")

    peer.stack.on_syn_event = broken
    peer.syn()
    peer.send("R")
    assert peer.count("upcall_error") == 1
    peer.stack.on_syn_event = None
    assert peer.stack.tcp.syn_events is None


def test_every_reason_has_its_words() -> None:
    words = {value for name, value in vars(syn_events).items() if name.isupper() and isinstance(value, str)}
    assert words == set(syn_events.REASONS)
    assert CLIENT and SERVER
