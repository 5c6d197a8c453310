"""How a SYN filter has its connection answered: other MACs and VLANs, another interface."""

from __future__ import annotations

from typing import Any

import pytest

import uinet
from uinet import ANY, IP_TXIF, IPPROTO_IP, InvalidArgument, L2Info, Verdict
from uinet.wire import build
from uinet.wire.packet import l2info_of

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
CAME = L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02", (100, 200))
OTHER = L2Info.make("02:00:00:00:00:aa", "02:00:00:00:00:bb", (7,))
SECOND = 10**9


class Middle:
    """Two promiscuous interfaces, each the other's bridge peer; a listener in the domain of the first."""

    def __init__(self, **options: Any) -> None:
        self.stack = uinet.Stack(b"middle", SECOND)
        self.links = [self.stack.add_interface(name, cdom=cdom, promiscuous=True)
                      for cdom, name in enumerate(("left", "right"), 1)]
        self.links[0].bridge, self.links[1].bridge = self.links[1], self.links[0]
        self.syns: list[Any] = []
        self.verdict = Verdict.ACCEPT
        self.choice: dict[str, Any] = {}
        self.sock = self.stack.socket()
        self.listener = self.stack.listen((ANY, ANY), vlans=ANY, cdom=1, syn_filter=self.decide, **options)

    def decide(self, syn: Any) -> Verdict:
        self.syns.append(syn)
        if self.verdict is not Verdict.DEFER:
            syn.answer(**self.choice)
        return self.verdict

    def put(self, flags: str, seq: int, ack: int = 0, payload: bytes = b"") -> None:
        frame = build.tcp(CLIENT, SERVER, 4000, 80, flags, seq, ack, payload=payload, l2=CAME)
        self.stack.input(self.links[0], [frame], self.stack.now)

    def out(self, link: int) -> list[Any]:
        """What goes out by a link: each segment, and the MACs and VLANs that it has."""
        out = []
        for frame in self.stack.output(self.links[link]):
            at = 12
            while frame.data[at : at + 2] == b"\x81\x00":
                at += 4
            out.append((build.dissect(frame.data), l2info_of(frame.data[: at + 2])))
        return out


@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("by", [0, 1])
def test_connection_is_answered_with_what_the_filter_has_chosen(deferred: bool, by: int) -> None:
    middle = Middle()
    middle.choice = {"l2": OTHER, "interface": middle.links[by]}
    middle.verdict = Verdict.DEFER if deferred else Verdict.ACCEPT
    middle.put("S", 99)
    if deferred:
        middle.syns[0].answer(**middle.choice)
        assert middle.syns[0].deliver(Verdict.ACCEPT)
        middle.stack.poll(middle.stack.now)
    assert middle.out(1 - by) == []
    ((answer, link),) = middle.out(by)
    assert (answer.flags, link) == ("S.", OTHER)
    middle.put(".", 100, answer.tcp.seq + 1)  # the peer's own tags are what its packets are known by
    sock = middle.listener.accept()
    assert sock.l2info == OTHER.reversed()
    sock.send(b"hello")
    middle.stack.poll(middle.stack.now)
    assert middle.out(1 - by) == []
    assert [(seen.payload, link) for seen, link in middle.out(by)] == [(b"hello", OTHER)]


def test_rst_of_the_filter_is_answered_so_too() -> None:
    middle = Middle()
    middle.choice, middle.verdict = {"l2": OTHER}, Verdict.REJECT_RST
    middle.put("S", 99)
    assert [(seen.flags, link) for seen, link in middle.out(0)] == [("R.", OTHER)]


@pytest.mark.parametrize("by_option", [False, True])
def test_deferred_syn_is_bridged_to_the_peer_of_where_it_came_in(by_option: bool) -> None:
    middle = Middle()
    if by_option:
        middle.listener.setsockopt(IPPROTO_IP, IP_TXIF, "right")
    middle.verdict = Verdict.DEFER
    middle.put("S", 99)
    if not by_option:
        middle.syns[0].answer(interface=middle.links[1])
    assert middle.syns[0].deliver(Verdict.BRIDGE)
    middle.stack.poll(middle.stack.now)
    assert middle.out(0) == []
    assert [(seen.flags, link) for seen, link in middle.out(1)] == [("S", CAME)]


def test_what_can_not_be_answered_with_is_refused() -> None:
    middle = Middle()
    middle.put("S", 99)
    (syn,) = middle.syns
    ordinary = middle.stack.add_interface("eth0", mac="02:00:00:00:00:09")
    group = L2Info.make("02:00:00:00:00:aa", "01:00:00:00:00:bb")
    for choice in ({"interface": ordinary}, {"interface": "right"}, {"l2": group}, {"l2": b"x"}):
        with pytest.raises(InvalidArgument):
            syn.answer(**choice)


def test_on_an_ordinary_interface_there_is_nothing_to_choose() -> None:
    stack = uinet.Stack(b"s", SECOND)
    eth0 = stack.add_interface("eth0", mac="02:00:00:00:00:02")
    eth0.add_address("10.0.0.2/24")
    told: list[str] = []

    def decide(syn: Any) -> Verdict:
        with pytest.raises(InvalidArgument) as caught:
            syn.answer(l2=OTHER)
        told.append(str(caught.value))
        return Verdict.ACCEPT

    stack.listen(("10.0.0.2", 80), syn_filter=decide)
    link = L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02")
    stack.input(eth0, [build.tcp(CLIENT, SERVER, 4000, 80, "S", 99, l2=link)], SECOND)
    assert "IP_TXIF" in told[0]
