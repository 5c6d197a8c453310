"""SYN filters that choose what is watched, deferral, and watching on a link that is bridged."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.passive_sockets.lab import Silent, Talk, both
from tests.unit.promiscuous.lab import SECOND, Filter, Lab
from uinet import PassiveSocket, Verdict
from uinet.wire.frame import Frame


def by_port(syn: Any) -> Verdict:
    """Takes part on port 80, watches everything else."""
    syn.context = f"port {syn.destination[1]}"
    return Verdict.ACCEPT if syn.destination[1] == 80 else Verdict.ACCEPT_PASSIVE


def test_one_listener_watches_some_and_takes_part_in_others() -> None:
    lab = Silent()
    listener = lab.listen(syn_filter=by_port)
    peer = Lab.peer(lab, vlans=7)
    peer.connect()
    active = listener.accept()
    assert (active.passive, active.context) == (False, "port 80")
    assert not isinstance(active, PassiveSocket)
    talk = Talk(lab, dport=81, vlans=7)
    talk.shake()
    primary, other = both(listener)
    assert (primary.passive, primary.context, other.context) == (True, "port 81", "port 81")
    talk.client.send("P.", b"seen")
    talk.server.send("P.", b"both ways")
    assert (primary.recv(99), other.recv(99)) == (b"seen", b"both ways")
    assert [answer.flags for answer in peer.send("P.", b"x")] in ([], ["."])
    assert active.recv(9) == b"x"


@pytest.mark.parametrize(
    "verdict, seen", [
        (Verdict.ACCEPT, True), (Verdict.ACCEPT_PASSIVE, True), (Verdict.REJECT_RST, False),
        (Verdict.REJECT_SILENT, False), (Verdict.BRIDGE, False), (ValueError("a bug"), False),
    ],
)
@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("bridge", [False, True])
def test_verdicts_of_a_passive_listener(verdict: Any, seen: bool, deferred: bool, bridge: bool) -> None:
    """It never sends, whatever its filter says, and never holds anything back."""
    lab = Silent(2 if bridge else 1, bridge=bridge)
    decide = Filter(Verdict.DEFER if deferred and isinstance(verdict, Verdict) else verdict)
    listener = lab.watch(syn_filter=decide)
    talk = Talk(lab)
    talk.client.send("S")
    talk.client.send("S", seq=talk.client.isn)  # again
    talk.server.send("S.")
    talk.client.send(".")
    talk.client.send("P.", b"early")
    talk.server.send("P.", b"answer")
    assert len(decide.syns) == (1 if seen or decide.verdict is Verdict.DEFER else 2)
    if decide.verdict is Verdict.DEFER:
        assert not listener.readable
        assert decide.syns[0].deliver(verdict)
        assert lab.out() == lab.out(lab.ports[-1]) == []
    assert listener.readable is seen
    if seen:
        primary, other = both(listener)
        assert (primary.recv(99), other.recv(99)) == (b"early", b"answer")
        talk.finish()
        lab.pause(60 * SECOND)
    assert len(lab.stack.tcp.table) == 0
    assert (lab.stack.tcp.deferred, lab.stack.tcp.kept) == (0, 0)


def test_deferred_then_watched_loses_nothing_that_passed_meanwhile() -> None:
    """An ordinary listener, on a copy: the connection goes on while the filter thinks."""
    lab = Silent()
    decide = Filter(Verdict.DEFER, context="mark")
    listener = lab.listen(syn_filter=decide)
    talk = Talk(lab, vlans=(1, 2), v6=True)
    talk.shake()
    talk.client.send("P.", b"question")
    talk.server.send("P.", b"answer")
    assert lab.stack.tcp.kept > 0
    assert decide.syns[0].deliver(Verdict.ACCEPT_PASSIVE)
    primary, other = both(listener)
    assert (primary.recv(99), other.recv(99), primary.context) == (b"question", b"answer", "mark")
    assert (primary.info().holes, other.info().holes) == (0, 0)
    assert lab.stack.tcp.kept == 0
    assert decide.gone == []


def test_what_is_kept_while_deferred_is_bounded() -> None:
    lab = Silent()
    decide = Filter(Verdict.DEFER)
    listener = lab.listen(syn_filter=decide)
    talk = Talk(lab)
    talk.shake()
    for _ in range(20):
        talk.client.send("P.", b"x" * 100)
    assert lab.count("passive_not_kept") == 20 + 2 - 8
    decide.syns[0].deliver(Verdict.ACCEPT_PASSIVE)
    primary, _ = both(listener)
    talk.client.send("P.", b"y")
    talk.server.send(".")
    lab.pause()
    assert primary.recv(9999) == b"x" * 600 + bytes(1400) + b"y"
    assert primary.info().missing == 1400


def test_a_deferred_syn_runs_out_of_time() -> None:
    lab = Silent()
    decide = Filter(Verdict.DEFER)
    lab.watch(syn_filter=decide)
    talk = Talk(lab)
    talk.shake()
    lab.pause(100 * SECOND)
    assert decide.gone == ["timeout"]
    assert (lab.stack.tcp.deferred, lab.stack.tcp.kept, len(lab.stack.tcp.table)) == (0, 0, 0)


@pytest.mark.parametrize("end", ["reset", "timeout", "closed", "evicted"])
def test_a_filter_hears_of_a_watched_syn_that_comes_to_nothing(end: str) -> None:
    lab = Silent()
    decide = Filter(Verdict.ACCEPT_PASSIVE)
    listener = lab.listen(syn_filter=decide, backlog=1)
    talk = Talk(lab)
    talk.client.send("S")
    if end == "reset":
        talk.server.send("R.", seq=0)
        lab.pause(20 * SECOND)
    elif end == "timeout":
        lab.pause(100 * SECOND)
    elif end == "closed":
        listener.close()
        lab.pause(1)
    else:
        Talk(lab, sport=5).shake()
        talk.server.send("S.")
        talk.client.send(".")
    assert decide.gone == [end]
    assert not lab.stack.tcp.watch.embryos  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["passive", "verdict", "deferred"])
@pytest.mark.parametrize("v6", [False, True])
def test_a_bridged_link_is_watched_and_not_touched(kind: str, v6: bool) -> None:
    """In line: every frame of both directions goes on, the SYN too."""
    lab = Silent(2, bridge=True)
    decide = Filter({"verdict": Verdict.ACCEPT_PASSIVE, "deferred": Verdict.DEFER}.get(kind))
    if kind == "passive":
        listener = lab.watch()
    else:
        listener = lab.listen(syn_filter=decide)
    talk = Talk(lab, v6=v6, vlans=(3, 4))
    if kind == "deferred":  # held back, as for any other verdict
        syn = Frame(talk.client.frame("S"))
        lab.stack.input(lab.p1, [syn], lab.now)
        assert lab.stack.output(lab.p2) == []
        decide.syns[0].deliver(Verdict.ACCEPT_PASSIVE)
        assert lab.stack.output(lab.p2) == [syn]
    else:
        talk.client.send("S")
    # the server is on the other side
    forth, back = lab.p1, lab.p2
    lab.feed(talk.server.frame("S."), port=forth)
    lab.feed(talk.client.frame("."), port=forth)
    lab.feed(talk.client.frame("P.", b"question"), port=forth)
    lab.feed(talk.server.frame("P.", b"answer"), port=forth)
    lab.feed(talk.client.frame("P.", b"bad seq", seq=1), port=forth)
    lab.feed(talk.client.frame("R", seq=12345), port=forth)
    primary, other = both(listener)
    assert (primary.recv(99), other.recv(99)) == (b"question", b"answer")
    talk.finish()
    primary.close()
    other.close()
    talk.client.send(".")
    talk.server.send("R")
    assert lab.stack.output(back) == []


def test_fragments_of_a_watched_connection_pass_as_they_came() -> None:
    lab = Silent(2, bridge=True)
    listener = lab.watch()
    talk = Talk(lab)
    talk.shake()
    primary, _ = both(listener)
    whole = talk.client.frame("P.", bytes(range(256)) * 8)
    fragments = cut(whole)
    for fragment in fragments[:-1]:
        lab.stack.input(lab.p1, [fragment], lab.now)
        assert lab.stack.output(lab.p2) == []
    lab.stack.input(lab.p1, fragments[-1:], lab.now)
    assert lab.stack.output(lab.p2) == fragments
    assert primary.recv(9999) == bytes(range(256)) * 8


def cut(frame: bytes) -> list[Frame]:
    """The two fragments of an untagged IPv4 frame."""
    header, payload = bytearray(frame[14:34]), frame[34:]
    pieces = []
    for offset, data, more in ((0, payload[:1000], 1), (1000, payload[1000:], 0)):
        header[2:4] = (20 + len(data)).to_bytes(2, "big")
        header[6:8] = (more << 13 | offset // 8).to_bytes(2, "big")
        header[10:12] = b"\0\0"
        total = sum(int.from_bytes(header[i : i + 2], "big") for i in range(0, 20, 2))
        total = (total & 0xFFFF) + (total >> 16)
        header[10:12] = (~total & 0xFFFF).to_bytes(2, "big")
        pieces.append(Frame(frame[:14] + bytes(header) + data))
    return pieces


def test_a_verdict_for_each_connection_of_a_tuple() -> None:
    """A tuple that is used again is a new question; what takes part then is not bridged."""
    lab = Silent(2, bridge=True)
    verdicts = [Verdict.ACCEPT_PASSIVE, Verdict.ACCEPT]
    listener = lab.listen(syn_filter=lambda syn: verdicts.pop(0))
    talk = Talk(lab)
    talk.client.send("S")
    lab.feed(talk.server.frame("S."))
    talk.client.send(".")
    talk.client.send("F.")
    lab.feed(talk.server.frame("F."))
    talk.client.send(".")
    primary, _ = both(listener)
    assert primary.info().close == "fin"
    peer = lab.peer(seq=0x2000_0000)
    peer.connect()
    assert lab.stack.output(lab.p2) == []
    assert not listener.accept().passive
