"""SYN filters: each verdict, at once and later, and every way in which a held SYN ends."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import uinet
from tests.unit.promiscuous.lab import CLIENT, SECOND, SERVER, Filter, Lab, checked, l2
from uinet import ANY, InvalidArgument, Verdict, VlanTag, WouldBlock
from uinet.wire import build
from uinet.wire.build import dissect
from uinet.wire.frame import CHECKSUM_NEEDED, Frame
from uinet.wire.tcp_options import Mss, SackPermitted, Timestamps, WindowScale


def raise_error(syn: Any) -> Verdict:
    raise ValueError("a filter's bug")


def test_accept_and_what_the_filter_sees() -> None:
    lab = Lab()
    mark = object()
    decide = Filter(Verdict.ACCEPT, context=mark)
    listener = lab.listen(syn_filter=decide)
    peer = lab.peer(vlans=(VlanTag(5, 3), 6), seq=0xFFFFFFFF)
    options = [Mss(1400), SackPermitted(), Timestamps(77, 0), WindowScale(9)]
    frame = peer.segment("S", window=4321, options=options)
    (answer,) = peer.hear(lab.put(frame))
    assert answer.flags == "S."
    assert answer.tcp.ack == 0
    (syn,) = decide.syns
    assert (str(syn.source[0]), syn.source[1]) == (CLIENT, 4000)
    assert (str(syn.destination[0]), syn.destination[1]) == (SERVER, 80)
    assert syn.l2info == l2((VlanTag(5, 3), 6))
    assert syn.interface is lab.p1
    assert syn.cdom == 1
    assert syn.frame == frame
    assert syn.options[:5] == (1400, 9, True, 77, 4321)
    assert not syn.waiting
    peer.seq = 0
    peer.send(".")
    sock = listener.accept()
    assert sock.context is mark
    assert decide.gone == []
    assert syn.deliver(Verdict.ACCEPT) is False


def test_absent_options_are_none() -> None:
    lab = Lab()
    decide = Filter(Verdict.REJECT_SILENT)
    lab.listen(syn_filter=decide)
    lab.peer().send("S")
    assert decide.syns[0].options == (None, None, False, None, 65535, b"")


def test_reject_with_a_rst() -> None:
    lab = Lab()
    lab.listen(syn_filter=Filter(Verdict.REJECT_RST))
    (rst,) = lab.peer(vlans=(VlanTag(5, 7),), seq=0xFFFFFFFF).send("S")
    assert (rst.flags, rst.tcp.seq, rst.tcp.ack, rst.tcp.window) == ("R.", 0, 0, 0)
    assert rst.l2info == l2((VlanTag(5, 7),)).reversed()
    assert lab.count("tcp_syn_rejected_rst") == 1
    assert len(lab.stack.tcp.table) == 0


def test_a_rst_for_a_syn_with_data_acknowledges_all_of_it() -> None:
    lab = Lab()
    lab.listen(syn_filter=Filter(Verdict.REJECT_RST))
    (rst,) = lab.peer(seq=10).send("S", b"abc")
    assert rst.tcp.ack == 14


@pytest.mark.parametrize(
    "verdict, errors",
    [(Verdict.REJECT_SILENT, 0), (Verdict.BRIDGE, 0), ("nonsense", 1), (None, 1), (True, 1),
     (ValueError("a bug"), 1)],
)
def test_silence(verdict: Any, errors: int, caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab()
    decide = Filter(verdict)
    listener = lab.listen(syn_filter=decide)
    with caplog.at_level(logging.ERROR, "uinet"):
        assert lab.peer().send("S") == []
    assert lab.count("tcp_syn_rejected_silent") == 1
    assert lab.count("tcp_syn_filter_error") == errors
    assert len(caplog.records) == errors
    assert len(lab.stack.tcp.table) == 0
    assert lab.wait(100 * SECOND) == []
    # the next SYN is a new question
    assert lab.peer().send("S") == []
    assert len(decide.syns) == 2
    assert decide.gone == []
    assert not listener.readable


def test_bridge_passes_the_frame_itself_on() -> None:
    lab = Lab(2, bridge=True)
    decide = Filter(Verdict.BRIDGE)
    lab.listen(syn_filter=decide)
    peer = lab.peer(vlans=9)
    frame = Frame(peer.segment("S"), CHECKSUM_NEEDED, 0)
    assert lab.put(frame) == []
    assert lab.stack.output(lab.p2) == [frame]
    # so does everything else of that flow
    later = [Frame(peer.segment(flags)) for flags in (".", "P.", "F.", "R")]
    assert lab.put(*later) == []
    assert lab.stack.output(lab.p2) == later
    assert len(decide.syns) == 1
    assert len(lab.stack.tcp.table) == 0


def test_deferred_then_accepted() -> None:
    lab = Lab()
    mark = object()
    decide = Filter(Verdict.DEFER, mark)
    listener = lab.listen(syn_filter=decide)
    peer = lab.peer(vlans=3)
    frame = peer.segment("S", options=[Mss(1000), WindowScale(7)])
    assert lab.put(frame) == []
    for _ in range(5):
        assert lab.put(frame) == []
    assert len(decide.syns) == 1
    assert lab.count("tcp_syn_deferred_again") == 5
    (syn,) = decide.syns
    assert syn.waiting
    assert syn.deliver(Verdict.ACCEPT) is True
    (answer,) = peer.hear(lab.out())
    assert answer.flags == "S."
    assert answer.l2info == l2(3).reversed()
    assert not syn.waiting
    assert syn.deliver(Verdict.REJECT_RST) is False
    peer.seq = (peer.seq + 1) & 0xFFFFFFFF
    peer.send("P.", b"first")
    sock = listener.accept()
    assert sock.recv(10) == b"first"
    assert sock.context is mark
    assert decide.gone == []
    assert lab.stack.tcp.syn_count == 0


def test_the_syn_ack_of_an_accepted_syn_is_sent_again() -> None:
    lab = Lab()
    decide = Filter(Verdict.DEFER)
    lab.listen(syn_filter=decide)
    lab.peer().send("S")
    decide.syns[0].deliver(Verdict.ACCEPT)
    assert len(lab.out()) == 1
    again = lab.wait(100 * SECOND)
    assert [answer.flags for answer in again] == ["S."] * 5
    assert decide.gone == ["timeout"]
    assert len(lab.stack.tcp.table) == 0


def test_deferred_then_reset() -> None:
    lab = Lab()
    decide = Filter(Verdict.DEFER)
    lab.listen(syn_filter=decide)
    lab.peer(seq=0xFFFFFFFF, vlans=8).send("S")
    assert decide.syns[0].deliver(Verdict.REJECT_RST)
    (rst,) = lab.out()
    assert (rst.flags, rst.tcp.seq, rst.tcp.ack) == ("R.", 0, 0)
    assert rst.l2info == l2(8).reversed()
    assert len(lab.stack.tcp.table) == 0
    assert decide.gone == []


@pytest.mark.parametrize("verdict", [Verdict.REJECT_SILENT, Verdict.BRIDGE])
def test_deferred_then_silence(verdict: Verdict) -> None:
    lab = Lab()
    decide = Filter(Verdict.DEFER)
    lab.listen(syn_filter=decide)
    lab.peer().send("S")
    assert decide.syns[0].deliver(verdict)
    assert lab.wait(200 * SECOND) == []
    assert lab.count("tcp_syn_rejected_silent") == 1
    assert lab.count("tcp_syn_filter_error") == 0
    assert len(lab.stack.tcp.table) == 0
    lab.peer().send("S")
    assert len(decide.syns) == 2


def test_deferred_then_bridged() -> None:
    lab = Lab(2, bridge=True)
    decide = Filter(Verdict.DEFER)
    lab.listen(syn_filter=decide)
    frame = Frame(lab.peer().segment("S"), CHECKSUM_NEEDED, 0)
    lab.put(frame)
    assert lab.stack.output(lab.p2) == []
    assert decide.syns[0].deliver(Verdict.BRIDGE)
    assert lab.stack.output(lab.p2) == [frame]
    assert lab.count("link_bridged") == 1


@pytest.mark.parametrize("verdict", [Verdict.DEFER, None, "accept", 1])
def test_no_verdict(verdict: Any) -> None:
    lab = Lab()
    decide = Filter(Verdict.DEFER)
    lab.listen(syn_filter=decide)
    lab.peer().send("S")
    with pytest.raises(InvalidArgument):
        decide.syns[0].deliver(verdict)
    assert decide.syns[0].waiting


def test_a_verdict_from_inside_the_filter() -> None:
    lab = Lab()

    def decide(syn: Any) -> Verdict:
        assert syn.deliver(early[syn.source[1]]) is True
        assert syn.deliver(Verdict.REJECT_RST) is False
        return Verdict.DEFER

    early = {1: Verdict.ACCEPT, 2: Verdict.REJECT_RST, 3: Verdict.REJECT_SILENT}
    listener = lab.listen(syn_filter=decide)
    lab.peer(sport=1).connect()
    assert listener.accept().state == "ESTABLISHED"
    assert [answer.flags for answer in lab.peer(sport=2).send("S")] == ["R."]
    assert lab.peer(sport=3).send("S") == []
    assert len(lab.stack.tcp.table) == 1


def test_a_filter_that_answers_overrules_what_it_delivered() -> None:
    lab = Lab()

    def decide(syn: Any) -> Verdict:
        syn.deliver(Verdict.ACCEPT)
        return Verdict.REJECT_RST

    lab.listen(syn_filter=decide)
    assert [answer.flags for answer in lab.peer().send("S")] == ["R."]


def test_a_held_syn_times_out() -> None:
    lab = Lab()
    decide = Filter(Verdict.DEFER)
    lab.listen(syn_filter=decide)
    lab.peer().send("S")
    lab.wait(74 * SECOND)
    assert decide.gone == []
    assert lab.wait(2 * SECOND) == []
    assert decide.gone == ["timeout"]
    assert lab.count("tcp_syn_deferred_timeout") == 1
    assert decide.syns[0].deliver(Verdict.ACCEPT) is False
    assert lab.out() == []
    assert len(lab.stack.tcp.table) == 0


@pytest.mark.parametrize("offset", [0, 1])
def test_the_peer_resets_while_its_syn_is_held(offset: int) -> None:
    lab = Lab()
    decide = Filter(Verdict.DEFER)
    lab.listen(syn_filter=decide)
    peer = lab.peer(seq=0xFFFFFFFF)
    peer.send("S")
    assert peer.send("R", seq=77) == []
    assert decide.gone == []
    assert lab.count("tcp_rst_out_of_window") == 1
    assert peer.send("R", seq=(0xFFFFFFFF + offset) & 0xFFFFFFFF) == []
    assert decide.gone == ["reset"]
    assert decide.syns[0].deliver(Verdict.ACCEPT) is False
    assert lab.wait(100 * SECOND) == []
    assert decide.gone == ["reset"]


def test_the_peer_resets_after_the_syn_ack() -> None:
    lab = Lab()
    decide = Filter(Verdict.ACCEPT)
    lab.listen(syn_filter=decide)
    peer = lab.peer()
    peer.send("S")
    peer.send("R")
    assert decide.gone == ["reset"]
    assert lab.stack.tcp.syn_count == 0


@pytest.mark.parametrize("verdict", [Verdict.DEFER, Verdict.ACCEPT])
def test_closing_the_listener_lets_go(verdict: Verdict) -> None:
    lab = Lab()
    decide = Filter(verdict)
    listener = lab.listen(syn_filter=decide)
    for port in (1, 2, 3):
        lab.peer(sport=port).send("S")
    listener.close()
    lab.stack.poll(lab.now)
    assert decide.gone == ["closed"] * 3
    assert len(lab.stack.tcp.table) == 0
    assert lab.stack.tcp.syn_count == 0
    assert not any(syn.deliver(Verdict.ACCEPT) for syn in decide.syns)
    assert lab.wait(100 * SECOND) == []


def test_closing_the_stack_lets_go() -> None:
    lab = Lab()
    decide = Filter(Verdict.DEFER)
    lab.listen(syn_filter=decide)
    lab.peer().send("S")
    lab.stack.close()
    assert decide.gone == ["closed"]
    assert decide.syns[0].deliver(Verdict.ACCEPT) is False


def test_held_syns_are_bounded() -> None:
    lab = Lab()
    lab.stack.tcp.settings.defer_limit = 3
    decide = Filter(Verdict.DEFER)
    listener = lab.listen(syn_filter=decide, backlog=1)
    other = lab.listen(SERVER, 81, syn_filter=decide)
    for port in range(1, 6):
        assert lab.peer(sport=port).send("S") == []
    assert lab.count("tcp_syn_deferred") == 3
    assert lab.count("tcp_syn_deferred_full") == 2
    assert decide.gone == ["evicted"] * 2
    assert len(lab.stack.tcp.table) == 3
    lab.peer(dport=81).send("S")  # the bound is the listener's own
    assert lab.count("tcp_syn_deferred") == 4
    decide.syns[0].deliver(Verdict.REJECT_SILENT)
    lab.peer(sport=9).send("S")
    assert lab.count("tcp_syn_deferred") == 5
    listener.close()
    other.close()


def test_half_open_connections_behind_a_filter_are_bounded() -> None:
    """However many SYNs are held: the oldest handshake gives way."""
    lab = Lab()
    decide = Filter(Verdict.DEFER)
    lab.listen(syn_filter=decide, backlog=4)
    lab.peer(sport=1).send("S")
    decide.verdict = Verdict.ACCEPT
    for port in range(10, 20):
        assert len(lab.peer(sport=port).send("S")) == 1
    assert lab.stack.tcp.syn_count == 4
    assert decide.gone == ["evicted"] * 6
    assert lab.count("tcp_syncache_evicted") == 6
    assert decide.syns[0].waiting
    assert decide.syns[0].deliver(Verdict.ACCEPT)
    assert len(lab.out()) == 1
    assert lab.stack.tcp.syn_count == 4
    assert len(lab.stack.tcp.table) == 4


def test_held_syns_leave_room_for_handshakes_elsewhere() -> None:
    lab = Lab()
    lab.stack.tcp.settings.syn_cache_limit = 2
    lab.listen(SERVER, 80, syn_filter=Filter(Verdict.DEFER))
    plain = lab.listen(SERVER, 81)
    for port in range(1, 10):
        lab.peer(sport=port).send("S")
    lab.peer(dport=81).connect()
    assert lab.count("tcp_syncookie_sent") == 0
    assert plain.readable


def test_no_cookies_behind_a_filter() -> None:
    """A cookie would forget what the filter has said."""
    lab = Lab()
    listener = lab.listen(backlog=1, syn_filter=Filter(Verdict.ACCEPT))
    for port in range(1, 5):
        lab.peer(sport=port).send("S")
    assert lab.count("tcp_syncookie_sent") == 0
    peer = lab.peer(sport=77)
    peer.ack = 12345
    peer.send(".")
    assert not listener.readable


def test_a_full_accept_queue_drops_before_the_filter_is_asked() -> None:
    lab = Lab()
    decide = Filter(Verdict.ACCEPT)
    listener = lab.listen(backlog=1, syn_filter=decide)
    lab.peer(sport=1).connect()
    assert lab.peer(sport=2).send("S") == []
    assert len(decide.syns) == 1
    assert lab.count("tcp_listen_overflow") == 1
    listener.accept()
    lab.peer(sport=2).connect()
    listener.accept()


def test_a_cookie_does_not_get_past_a_full_accept_queue() -> None:
    lab = Lab()
    listener = lab.listen(backlog=1)
    peers = [lab.peer(sport=port, seq=port) for port in range(1, 6)]
    for peer in peers:
        peer.send("S")
    assert lab.count("tcp_syncookie_sent") == 4
    for peer in peers:
        peer.send(".")
    assert len(listener.listener.accepted) == 1  # type: ignore[union-attr]
    listener.accept()
    with pytest.raises(WouldBlock):
        listener.accept()
    peers[3].send(".")
    assert listener.accept().getpeername()[1] == 4


@pytest.mark.parametrize("verdict", [Verdict.ACCEPT, Verdict.DEFER, Verdict.REJECT_SILENT])
def test_the_filter_closes_the_listener(verdict: Verdict) -> None:
    lab = Lab()
    gone: list[str] = []

    def decide(syn: Any) -> Verdict:
        syn.on_gone = lambda _, why: gone.append(why)
        listener.close()
        return verdict

    listener = lab.listen(syn_filter=decide)
    assert lab.peer().send("S") == []
    assert len(lab.stack.tcp.table) == 0
    assert lab.stack.tcp.syn_count == 0
    assert gone == ([] if verdict is Verdict.REJECT_SILENT else ["closed"])


def test_the_filter_connects_and_holds_on() -> None:
    lab = Lab(2)
    opened: list[uinet.Socket] = []

    def decide(syn: Any) -> Verdict:
        opened.append(
            lab.stack.connect(syn.destination, source=syn.source, l2=syn.l2info, cdom=2)
        )
        return Verdict.DEFER

    lab.listen(syn_filter=decide)
    peer = lab.peer(vlans=(VlanTag(7, 2),))
    assert peer.send("S") == []
    (syn,) = lab.out(lab.p2)
    assert syn.l2info == l2((VlanTag(7, 2),))
    assert syn.flags == "S"


def test_the_filter_takes_the_tuple_itself() -> None:
    lab = Lab()

    def decide(syn: Any) -> Verdict:
        lab.stack.connect(syn.source, source=syn.destination, l2=syn.l2info.reversed(), cdom=1)
        return Verdict.ACCEPT

    lab.listen(syn_filter=decide)
    (answer,) = lab.peer().send("S")
    assert answer.flags == "S"
    assert len(lab.stack.tcp.table) == 1


def test_the_filter_calls_into_the_engine() -> None:
    """The frame under parse is the engine's one scratch object: a batch inside a batch would write over it."""
    lab = Lab()
    other = lab.peer(src="10.9.9.9", sport=9, dport=99, vlans=(1, 2, 3))

    def decide(syn: Any) -> Verdict:
        if syn.destination[1] == 80:
            lab.stack.input(lab.p1, [other.segment("S")], lab.now + SECOND)
            lab.stack.poll(lab.now + SECOND)
            frames.extend(lab.stack.output(lab.p1))
        return Verdict.ACCEPT

    frames: list[Frame] = []
    lab.listen(syn_filter=decide)
    answers = lab.put(lab.peer(vlans=5).segment("S"))
    assert frames == []
    assert [(answer.l2info, answer.tcp.source_port) for answer in answers] == [
        (l2(5).reversed(), 80), (l2((1, 2, 3)).reversed(), 99),
    ]


def test_the_filter_closes_the_stack() -> None:
    lab = Lab()

    def decide(syn: Any) -> Verdict:
        lab.stack.close()
        return Verdict.ACCEPT

    lab.listen(syn_filter=decide)
    peer = lab.peer()
    assert lab.stack.input(lab.p1, [peer.segment("S"), peer.segment("S")], lab.now) is None
    assert lab.stack.closed
    assert len(lab.stack.tcp.table) == 0


def test_on_gone_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab()

    def decide(syn: Any) -> Verdict:
        def gone(_: Any, why: str) -> None:
            raise ValueError(why)

        syn.on_gone = gone
        return Verdict.DEFER

    listener = lab.listen(syn_filter=decide)
    lab.peer().send("S")
    with caplog.at_level(logging.ERROR, "uinet"):
        listener.close()
        lab.stack.poll(lab.now)
    assert lab.count("upcall_error") == 1
    assert "ValueError: closed" in caplog.text


def test_delivering_from_on_gone_and_from_a_timer_of_its_own() -> None:
    lab = Lab()
    late: list[bool] = []

    def decide(syn: Any) -> Verdict:
        syn.on_gone = lambda it, why: late.append(it.deliver(Verdict.ACCEPT))
        return Verdict.DEFER

    lab.listen(syn_filter=decide)
    lab.peer().send("S")
    lab.wait(80 * SECOND)
    assert late == [False]


def test_delivery_tells_the_event_loop() -> None:
    lab = Lab()
    decide = Filter(Verdict.DEFER)
    lab.listen(syn_filter=decide)
    lab.peer().send("S")
    told: list[int] = []
    lab.stack.on_pending = lambda: told.append(1)
    decide.syns[0].deliver(Verdict.ACCEPT)
    assert told


def test_another_filter_by_option() -> None:
    lab = Lab()
    first, second = Filter(Verdict.REJECT_RST), Filter(Verdict.ACCEPT)
    listener = lab.listen(syn_filter=first)
    lab.peer().send("S")
    listener.setsockopt(uinet.IPPROTO_IP, uinet.IP_SYNFILTER, second)
    assert listener.getsockopt(uinet.IPPROTO_IP, uinet.IP_SYNFILTER) is second
    assert lab.peer().connect().flags == "S."
    listener.setsockopt(uinet.IPPROTO_IP, uinet.IP_SYNFILTER, None)
    lab.peer(sport=9).connect()
    assert (len(first.syns), len(second.syns)) == (1, 1)
    with pytest.raises(InvalidArgument, match="want a callable"):
        lab.listen(SERVER, 1, syn_filter="no")


def test_a_new_syn_of_the_same_tuple_while_one_is_held() -> None:
    """The peer has started anew: it resets the SYN|ACK that it can't know, and its next SYN is a new question."""
    lab = Lab()
    decide = Filter(Verdict.DEFER)
    lab.listen(syn_filter=decide)
    lab.peer(seq=1000).send("S")
    anew = lab.peer(seq=5000)
    assert anew.send("S") == []
    decide.syns[0].deliver(Verdict.ACCEPT)
    (answer,) = lab.out()
    assert answer.tcp.ack == 1001
    anew.send("R", seq=answer.tcp.ack)
    assert decide.gone == ["reset"]
    decide.verdict = Verdict.ACCEPT
    assert anew.send("S", seq=5000)[0].tcp.ack == 5001


def test_what_else_comes_while_a_syn_is_held_is_dropped() -> None:
    lab = Lab()
    lab.listen(syn_filter=Filter(Verdict.DEFER))
    peer = lab.peer()
    peer.send("S")
    assert peer.send(".", ack=1) == []
    assert peer.send("F.", ack=1) == []
    assert len(lab.stack.tcp.table) == 1


@pytest.mark.parametrize("flags", ["SF", "SR"])
def test_a_syn_that_no_listener_takes(flags: str) -> None:
    for bridge in (False, True):
        lab = Lab(2, bridge=bridge)
        decide = Filter()
        lab.listen(syn_filter=decide)
        frame = Frame(lab.peer().segment(flags))
        assert lab.put(frame) == []
        assert lab.stack.output(lab.p2) == ([frame] if bridge else [])
        assert decide.syns == []


def test_sources_that_can_not_be() -> None:
    for bridge in (False, True):
        lab = Lab(2, bridge=bridge)
        lab.listen()
        frames = [
            Frame(frame) for frame in (
                build.tcp("224.0.0.1", SERVER, 1, 80, "S"), build.tcp(CLIENT, "255.255.255.255", 1, 80, "S"),
                build.tcp("ff02::1", "2001:db8::1", 1, 80, "S"), build.tcp("::", "2001:db8::1", 1, 80, "S"),
                build.tcp(SERVER, SERVER, 80, 80, "S"), build.tcp(CLIENT, SERVER, 0, 80, "S"),
                build.tcp(CLIENT, SERVER, 5, 80, "S", l2=l2(destination="ff:ff:ff:ff:ff:ff")),
            )
        ]
        assert lab.put(*frames) == []
        assert lab.count("tcp_syn_dropped") + lab.count("tcp_bad_port") == len(frames)
        assert lab.stack.output(lab.p2) == (frames if bridge else [])
        assert len(lab.stack.tcp.table) == 0


def test_the_listeners_ttl_and_tos_are_on_the_syn_ack() -> None:
    lab = Lab()
    listener = lab.listen()
    listener.setsockopt(uinet.IPPROTO_IP, uinet.IP_TTL, 33)
    listener.setsockopt(uinet.IPPROTO_IP, uinet.IP_TOS, 0x28)
    peer = lab.peer()
    answer = peer.connect()
    assert (answer.ipv4.ttl, answer.ipv4.tos) == (33, 0x28)
    listener.accept().send(b"x")
    (data,) = lab.out()
    assert (data.ipv4.ttl, data.ipv4.tos) == (33, 0x28)


def test_a_wildcard_listener_is_not_told_of_segments_without_syn() -> None:
    lab = Lab()
    lab.listen(ANY, ANY, syn_filter=raise_error)
    peer = lab.peer()
    for flags in (".", "F.", "R", "S.", "P."):
        assert peer.send(flags) == []
    assert lab.count("tcp_syn_filter_error") == 0


def test_where_every_address_is_answered_stray_segments_are_reset() -> None:
    lab = Lab(answer_any=True)
    stray = build.tcp(CLIENT, SERVER, 1, 2, ".", 5, 77, l2=l2(4, destination=str(uinet.Mac(lab.p1.mac))))
    (rst,) = lab.put(stray)
    assert (rst.flags, rst.tcp.seq, rst.l2info.vlans) == ("R", 77, (VlanTag(4),))
    assert dissect(stray).l2info.destination == rst.l2info.source
    assert lab.put(build.tcp(CLIENT, SERVER, 1, 2, "R", 5)) == []
    assert lab.put(build.tcp(CLIENT, SERVER, 1, 2, ".", 5, 77, l2=l2(4))) == []  # between others
    assert checked(Frame(stray)).checksums_ok
