"""Copies of flows: which packets go where, from when on, and what it costs who does not copy."""

from __future__ import annotations

from typing import Any

import pytest

import uinet
from tests.unit.passive_sockets.lab import Silent, Talk
from tests.unit.promiscuous.lab import Lab
from tests.unit.promiscuous.lab import Peer as Client
from tests.unit.tcp.peer import HOST, HOST6, PEER, Peer
from uinet import (
    IP_COPY_LIMIT,
    IP_COPY_MODE,
    IP_COPY_MODE_MAYBE,
    IP_COPY_MODE_OFF,
    IP_COPY_MODE_ON,
    IP_COPY_MODE_RX,
    IP_COPY_MODE_TX,
    IP_COPY_TARGET,
    IPPROTO_IP,
    FlowCopy,
    Frame,
    Verdict,
)
from uinet.wire import build

ON, MAYBE, OFF = IP_COPY_MODE_ON, IP_COPY_MODE_MAYBE, IP_COPY_MODE_OFF


class Target:
    """Writes down what it is given."""

    def __init__(self) -> None:
        self.log: list[tuple[int, str, str, bytes]] = []  # serial, direction, flags, payload
        self.frames: list[Frame] = []
        self.ended: list[int] = []
        self.missing: list[int] = []

    def packet(self, flow: FlowCopy, frame: Frame, outbound: bool) -> None:
        seen = build.dissect(frame.data, flow.layer)
        self.log.append((flow.serial, ">" if outbound else "<", seen.flags, bytes(seen.payload)))
        self.frames.append(frame)
        self.missing.append(flow.missing)

    def end(self, flow: FlowCopy) -> None:
        self.ended.append(flow.serial)

    @property
    def flags(self) -> list[str]:
        return [way + flags for _, way, flags, _ in self.log]


def copied(target: Any, mode: int = ON, limit: int = 0) -> Any:
    """What sets the options of a socket."""

    def before(sock: Any) -> None:
        sock.setsockopt(IPPROTO_IP, IP_COPY_TARGET, target)
        sock.setsockopt(IPPROTO_IP, IP_COPY_LIMIT, limit)
        sock.setsockopt(IPPROTO_IP, IP_COPY_MODE, mode)

    return before


WHOLE = ["<S", ">S.", "<.", "<P.", ">.", ">P.", "<.", ">F.", "<.", "<F.", ">."]


def converse(peer: Peer, sock: uinet.Socket) -> None:
    """A request, an answer, and the end, which the stack begins."""
    peer.data(b"request")
    peer.advance(0.1)
    peer.expect(".")
    assert sock.recv(100) == b"request"
    sock.send(b"answer")
    peer.flush()
    assert peer.take() == b"answer"
    sock.shutdown(1)
    peer.flush()
    peer.expect("F.")
    peer.ack += 1
    peer.send(".")
    peer.data(b"", "F.")
    peer.expect(".")


def test_a_copied_connection_is_whole_from_its_syn_to_its_last_ack() -> None:
    peer, target = Peer(), Target()
    sock = peer.passive(before=copied(target))
    converse(peer, sock)
    assert target.flags == WHOLE
    assert b"".join(text for _, way, _, text in target.log if way == "<") == b"request"
    assert b"".join(text for _, way, _, text in target.log if way == ">") == b"answer"
    assert {serial for serial, *_ in target.log} == {sock.serialno} == {1}
    assert target.ended == [1]
    assert peer.count("copy_flows") == 1
    assert peer.count("copy_packets") == len(WHOLE)
    assert peer.count("copy_bytes") == sum(len(frame.data) for frame in target.frames)
    assert sock.getsockopt(IPPROTO_IP, IP_COPY_MODE) == OFF
    assert peer.stack.copies().held_bytes == peer.stack.copies().count == 0
    assert peer.stack.copies().entries == {}


def test_each_copied_frame_is_what_was_on_the_wire() -> None:
    peer, target = Peer(), Target()
    peer.listen()
    copied(target)(peer.listener)
    syn = peer.frame("S", options=())
    peer.stack.input(peer.eth0, [syn + b"\0" * 6], peer.now)  # padding of the link
    sent = peer.stack.output(peer.eth0)
    peer.seq, peer.ack = peer.seq + 1, int.from_bytes(sent[0].data[38:42], "big") + 1
    peer.give(peer.frame("."))
    assert [frame.data for frame in target.frames] == [syn, sent[0].data, peer.frame(".")]
    assert [frame.time for frame in target.frames] == [peer.now] * 3


def test_an_active_connection_is_copied_from_its_syn_on() -> None:
    peer, target = Peer(), Target()
    sock = peer.active(before=copied(target))
    assert target.flags == [">S", "<S.", ">."]
    assert sock.getsockopt(IPPROTO_IP, IP_COPY_MODE) == ON | IP_COPY_MODE_RX | IP_COPY_MODE_TX


@pytest.mark.parametrize("way, wanted", [(IP_COPY_MODE_RX, "<"), (IP_COPY_MODE_TX, ">")])
def test_one_direction_alone(way: int, wanted: str) -> None:
    peer, target = Peer(), Target()
    converse(peer, peer.passive(before=copied(target, ON | way)))
    assert target.flags == [one for one in WHOLE if one[0] == wanted]


def test_maybe_keeps_what_comes_before_the_decision_on() -> None:
    peer, target = Peer(), Target()
    sock = peer.passive(before=copied(target, MAYBE))
    peer.data(b"request")
    assert target.log == []
    assert peer.stack.copies().held_bytes > 0
    sock.setsockopt(IPPROTO_IP, IP_COPY_MODE, ON)
    assert target.flags == ["<S", ">S.", "<.", "<P."]
    assert peer.stack.copies().held_bytes == 0
    sock.send(b"more")
    peer.flush()
    assert target.flags[4:] == [">P."]


def test_maybe_and_off_frees_what_was_kept() -> None:
    peer, target = Peer(), Target()
    sock = peer.passive(before=copied(target, MAYBE))
    sock.setsockopt(IPPROTO_IP, IP_COPY_MODE, OFF)
    assert peer.stack.copies().held_bytes == peer.stack.copies().count == 0
    assert sock.tcb is not None and sock.tcb.marks == 0 and sock.tcb.extras is not None
    peer.data(b"request")
    assert target.log == [] and target.ended == []


def test_maybe_without_a_decision_is_forgotten_with_the_connection() -> None:
    peer, target = Peer(), Target()
    peer.passive(before=copied(target, MAYBE))
    peer.send("R")
    assert target.log == [] and target.ended == []
    assert peer.stack.copies().held_bytes == peer.stack.copies().count == 0


def test_what_is_kept_is_bounded_for_each_flow_and_has_no_gap() -> None:
    peer, target = Peer(), Target()
    peer.stack.sysctl["net.inet.tcp.copy.held"] = 1100
    sock = peer.passive(before=copied(target, MAYBE))
    for _ in range(5):
        peer.data(b"x" * 300)
    peer.data(b"")
    assert peer.stack.copies().held_bytes <= 1100
    kept = peer.count("copy_not_held")
    assert kept > 0
    sock.setsockopt(IPPROTO_IP, IP_COPY_MODE, ON)
    before = len(target.log)
    assert [len(text) for *_, text in target.log if text] == [300]
    assert target.missing[-1] == 0
    peer.data(b"next")
    assert target.missing[before] > 0, "the target is told that there is a gap"


def test_what_is_kept_is_bounded_for_all_flows_together() -> None:
    lab, target = Lab(), Target()
    lab.stack.copy_flows(target, mode=MAYBE)
    lab.stack.sysctl["net.inet.tcp.copy.held"] = 500
    lab.stack.sysctl["net.inet.tcp.copy.memory"] = 1500
    lab.listen()
    for port in range(1, 11):
        Client(lab, sport=port).connect()
    copies = lab.stack.copies()
    assert copies.held_bytes <= 1500
    assert copies.count == 10
    assert lab.count("copy_not_held") > 0
    lab.stack.close()
    assert copies.held_bytes == copies.count == 0


def test_a_limit_ends_the_copy_of_its_flow() -> None:
    peer, target = Peer(), Target()
    sock = peer.passive(before=copied(target, ON, 300))
    for _ in range(5):
        peer.data(b"x" * 100)
    sizes = [len(frame.data) for frame in target.frames]
    assert sum(sizes) >= 300 and sum(sizes[:-1]) < 300
    assert target.ended == [1]
    assert peer.count("copy_limited") == 1
    assert sock.getsockopt(IPPROTO_IP, IP_COPY_MODE) == OFF
    assert sock.getsockopt(IPPROTO_IP, IP_COPY_LIMIT) == 300


def test_a_connection_that_is_open_can_be_copied_from_now_on() -> None:
    peer, target = Peer(), Target()
    sock = peer.passive()
    copied(target)(sock)
    peer.data(b"request")
    peer.send("R")
    assert target.flags == ["<P.", "<R"]
    assert target.ended == [1]


def test_a_target_that_raises_costs_the_copy_not_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Target):
        def packet(self, flow: FlowCopy, frame: Frame, outbound: bool) -> None:
            raise OSError("broken")

    peer = Peer()
    sock = peer.passive(before=copied(Broken()))
    peer.data(b"request")
    assert sock.recv(100) == b"request"
    assert peer.count("copy_error") == 1
    assert len(caplog.records) == 1


def test_packets_go_out_by_another_interface() -> None:
    peer = Peer()
    mirror = peer.stack.add_interface("mirror", mac="02:00:00:00:00:07")
    sock = peer.passive(before=copied(mirror))
    converse(peer, sock)
    seen = [build.dissect(frame.data) for frame in peer.stack.output(mirror)]
    assert [one.flags for one in seen] == [flags[1:] for flags in WHOLE]
    assert all(one.checksums_ok for one in seen)


def test_a_mirror_of_another_layer_gets_headers_or_loses_them() -> None:
    peer = Peer()
    tunnel = peer.stack.add_interface("tun", layer=3)
    peer.passive(before=copied(tunnel))
    assert [build.dissect(frame.data, 3).flags for frame in peer.stack.output(tunnel)] == ["S", "S.", "."]
    lab = Lab(layer=3)
    mirror = lab.stack.add_interface("mirror", mac="02:00:00:00:00:07")
    listener = lab.listen()
    copied(mirror)(listener)
    Client(lab).connect()
    assert [build.dissect(frame.data).flags for frame in lab.stack.output(mirror)] == ["S", "S.", "."]


def test_promiscuous_flows_are_copied_with_their_tags() -> None:
    lab, target = Lab(), Target()
    listener = lab.listen()
    copied(target)(listener)
    Client(lab, vlans=(7, 8)).connect()
    assert target.flags == ["<S", ">S.", "<."]
    for frame in target.frames:
        assert [tag.vid for tag in build.dissect(frame.data).l2info.vlans] == [7, 8]


def test_a_deferred_syn_is_in_the_copy() -> None:
    lab, target = Lab(), Target()
    lab.stack.copy_flows(target)
    waiting: list[Any] = []

    def decide(syn: Any) -> Verdict:
        waiting.append(syn)
        return Verdict.DEFER

    listener = lab.listen(syn_filter=decide)
    client = Client(lab)
    assert client.send("S") == []
    waiting[0].deliver(Verdict.ACCEPT)
    client.hear(lab.wait(1))
    client.send(".")
    assert listener.accept().serialno == 1
    assert target.flags == ["<S", ">S.", "<."]


@pytest.mark.parametrize("how", ["reset", "timeout", "close", "reject", "silent", "evict"])
def test_syns_that_come_to_nothing_leave_nothing(how: str) -> None:
    lab, target = Lab(), Target()
    lab.stack.copy_flows(target)
    verdict = {"reject": Verdict.REJECT_RST, "silent": Verdict.REJECT_SILENT}.get(how, Verdict.ACCEPT)
    listener = lab.listen(syn_filter=lambda syn: verdict, backlog=1)
    client = Client(lab)
    client.send("S")
    if how == "reset":
        client.send("R")
    elif how == "timeout":
        lab.wait(300 * 10**9)
    elif how == "close":
        listener.close()
    elif how == "evict":
        Client(lab, sport=5).send("S")
        listener.close()
    copies = lab.stack.copies()
    assert copies.entries == {} and copies.held_bytes == copies.count == 0
    assert target.log == []


def test_a_syn_cookies_connection_is_copied_from_its_ack_on() -> None:
    peer, target = Peer(syn_cache_limit=1), Target()
    peer.stack.copy_flows(target)
    peer.listen()
    peer.give(build.tcp(PEER, HOST, 1, 80, "S"))
    peer.drain()
    peer.syn()
    peer.send(".")
    assert target.flags == ["<."]
    assert peer.count("tcp_syncookie_ok") == 1


def test_the_first_packet_to_an_unknown_neighbour_is_copied_behind_a_header_of_zeros() -> None:
    peer, target = Peer(), Target()
    peer.stack.copy_flows(target)
    peer.stack.connect(("10.0.0.77", 80))
    peer.flush()
    assert target.flags == [">S"]
    assert target.frames[0].data[:14] == bytes(6) + bytes(peer.eth0.mac) + b"\x08\x00"
    peer.stack.connect(("2001:db8::77", 80), source=(HOST6, 0))
    peer.flush()
    assert target.frames[1].data[12:14] == b"\x86\xdd"


def test_large_frames_are_copied_as_one() -> None:
    peer, target = Peer(gathers=True), Target()
    sock = peer.passive(before=copied(target))
    sock.send(b"a" * 8000)
    peer.flush()
    assert target.frames[-1].gso_size == 1460
    assert target.log[-1][3] == b"a" * 8000


def test_a_watched_connection_is_copied_too_both_its_directions() -> None:
    lab, target = Silent(), Target()
    lab.stack.copy_flows(target)
    listener = lab.watch()
    talk = Talk(lab)
    talk.shake()
    talk.client.send("P.", b"request")
    talk.server.send("P.", b"answer")
    sock = listener.accept()
    assert {serial for serial, *_ in target.log} == {sock.serialno}
    assert [text for *_, text in target.log if text] == [b"request", b"answer"]
    assert target.flags[:3] == ["<S", "<S.", "<."]
    sock.close()
    lab.stack.close()
    copies = lab.stack.copies()
    assert copies.entries == {} and copies.count == 0


def test_a_watched_connection_may_be_decided_on_later() -> None:
    lab, target = Silent(), Target()
    listener = lab.watch()
    copied(target, MAYBE)(listener)
    talk = Talk(lab)
    talk.shake()
    sock = listener.accept()
    assert target.log == []
    sock.setsockopt(IPPROTO_IP, IP_COPY_MODE, ON)
    assert target.flags == ["<S", "<S.", "<."]
    assert sock.getsockopt(IPPROTO_IP, IP_COPY_MODE) & ON


def test_a_plan_is_for_connections_to_come() -> None:
    peer, target = Peer(), Target()
    peer.passive()
    peer.stack.copy_flows(target, limit=10**6)
    peer.data(b"request")
    assert target.log == []
    peer.stack.copy_flows(None)
    assert peer.stack.copies().plan is None
    for wrong in (5, print, peer.stack.network.loopback_interface):
        with pytest.raises(uinet.InvalidArgument):
            peer.stack.copy_flows(wrong)
    with pytest.raises(uinet.InvalidArgument):
        peer.stack.copy_flows(target, limit=-1)


def test_a_socket_that_says_off_is_not_in_the_plan() -> None:
    peer, target = Peer(), Target()
    peer.stack.copy_flows(target)
    sock = peer.passive(before=lambda listener: listener.setsockopt(IPPROTO_IP, IP_COPY_MODE, OFF))
    assert target.log == []
    assert peer.listener.getsockopt(IPPROTO_IP, IP_COPY_MODE) == sock.getsockopt(IPPROTO_IP, IP_COPY_MODE) == OFF


def test_a_connection_that_is_not_copied_has_no_marks_and_no_extras() -> None:
    peer = Peer()
    sock = peer.passive()
    assert sock.tcb is not None
    assert sock.tcb.marks == 0 and sock.tcb.extras is None
    assert peer.stack.tcp.copies is None
