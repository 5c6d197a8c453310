"""Who gets a SYN on a promiscuous interface: the order of precedence, VLAN stacks, domains."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

import uinet
from tests.unit.promiscuous.lab import CLIENT, CLIENT6, SERVER, SERVER6, Lab, Peer, l2, serve
from uinet import ANY, AddressInUse, InvalidArgument, L2Info, VlanError, VlanTag, WouldBlock
from uinet.wire import build
from uinet.wire.addresses import TPIDS

# every kind of listener that a SYN to 10.2.0.9 port 80 with tags (7, 8) may meet, the preferred first
PATTERNS: list[tuple[Any, Any, Any]] = [
    (ip, port, vlans)
    for vlans in ((7, 8), ANY)
    for ip, port in (
        (SERVER, 80), ("0.0.0.0", 80), (ANY, 80), (SERVER, ANY), ("0.0.0.0", ANY), (ANY, ANY),
    )
]


def accepted(listener: uinet.Socket) -> bool:
    try:
        listener.accept()
    except WouldBlock:
        return False
    return True


@pytest.mark.parametrize("newer_first", [False, True])
@pytest.mark.parametrize("preferred, other", list(combinations(range(len(PATTERNS)), 2)))
def test_the_more_specific_listener_wins(preferred: int, other: int, newer_first: bool) -> None:
    lab = Lab()
    made = {}
    for index in sorted((preferred, other), reverse=newer_first):
        ip, port, vlans = PATTERNS[index]
        made[index] = lab.listen(ip, port, vlans=vlans)
    lab.peer(vlans=(7, 8)).connect()
    assert accepted(made[preferred])
    assert not accepted(made[other])


def test_an_exact_connection_comes_before_every_listener() -> None:
    lab = Lab()
    listener = lab.listen(SERVER, 80, vlans=(7,))
    peer = lab.peer(vlans=7)
    peer.connect()
    sock = listener.accept()
    newer = lab.listen(ANY, ANY, vlans=ANY)
    peer.send("P.", b"hello")
    assert sock.recv(100) == b"hello"
    assert not newer.readable


@pytest.mark.parametrize(
    "client, server, other",
    [(CLIENT, SERVER, SERVER6), (CLIENT6, SERVER6, SERVER)],
)
def test_both_families(client: str, server: str, other: str) -> None:
    wildcard = "0.0.0.0" if ":" in server else "::"
    lab = Lab()
    wrong = [lab.listen(other, 80), lab.listen(wildcard, 80)]
    both = lab.listen(ANY, 80)
    lab.peer(src=client, dst=server).connect()
    assert accepted(both)
    assert not any(accepted(listener) for listener in wrong)
    own = lab.listen("::" if ":" in server else "0.0.0.0", ANY)
    lab.peer(src=client, dst=server, dport=81).connect()
    assert accepted(own)
    assert not accepted(both)


@pytest.mark.parametrize("depth", range(17))
def test_a_stack_of_tags_is_matched_exactly(depth: int) -> None:
    tags = tuple(range(100, 100 + depth))
    lab = Lab()
    exact = lab.listen(vlans=tags)
    near = [lab.listen(vlans=tags[:-1])] if depth else []
    if depth < 16:
        near.append(lab.listen(vlans=(*tags, 99)))
    if depth > 1:
        near.append(lab.listen(vlans=tags[::-1]))
    answer = lab.peer(vlans=tags).connect()
    sock = exact.accept()
    assert answer.l2info == l2(tags).reversed()
    assert sock.l2info == l2(tags)
    assert not any(accepted(listener) for listener in near)


def test_no_tags_is_the_default_of_a_listener() -> None:
    lab = Lab()
    listener = lab.stack.listen((ANY, ANY), cdom=1)
    assert lab.peer(vlans=5).send("S") == []
    lab.peer().connect()
    assert accepted(listener)


def test_seventeen_tags_are_too_deep() -> None:
    lab = Lab()
    lab.listen()
    header = build.tcp(CLIENT, SERVER, 4000, 80, "S", l2=l2(tuple(range(1, 17))))
    deeper = header[:12] + b"\x81\x00\x00\x64" + header[12:]
    assert lab.put(deeper) == []
    assert lab.count("eth_vlan_too_deep") == 1
    with pytest.raises(VlanError):
        lab.listen(vlans=tuple(range(1, 18)))


@pytest.mark.parametrize("tpid", TPIDS)
def test_only_the_vid_matters(tpid: int) -> None:
    lab = Lab()
    listener = lab.listen(vlans=(42, 43))
    tags = (VlanTag(42, 5, 1, tpid), VlanTag(43, 3, 0, 0x8100))
    peer = lab.peer(vlans=tags)
    assert peer.connect().l2info.vlans == tags
    sock = listener.accept()
    assert sock.l2info is not None
    assert sock.l2info.vlans == tags
    sock.send(b"x")
    (data,) = lab.out()
    assert data.l2info.vlans == tags
    # the same connection whatever the priority: the answer keeps the tags of the handshake
    peer.hear([data])
    assert peer.send("P.", b"y", link=l2((VlanTag(42, 0, 0, 0x9100), 43))) == []
    assert sock.recv(10) == b"y"


def test_vid_zero_does_not_count() -> None:
    lab = Lab()
    untagged = lab.listen(vlans=())
    tagged = lab.listen(vlans=(9,))
    answer = lab.peer(vlans=(VlanTag(0, 6),)).connect()
    assert answer.l2info.vlans == (VlanTag(0, 6),)
    assert accepted(untagged)
    lab.peer(vlans=(VlanTag(0, 6), 9, 0)).connect()
    assert accepted(tagged)


def test_the_newest_of_equals_wins_and_gives_way_when_closed() -> None:
    lab = Lab()
    oldest = lab.listen(SERVER, 80, reuse_port=True)
    middle = lab.listen(SERVER, 80, reuse_port=True)
    newest = lab.listen(SERVER, 80, reuse_port=True)
    lab.peer(sport=1).connect()
    assert accepted(newest)
    middle.close()
    newest.close()
    lab.peer(sport=2).connect()
    assert accepted(oldest)
    oldest.close()
    assert lab.peer(sport=3).send("S") == []
    assert lab.stack.tcp.listeners.count == 0
    assert len(lab.stack.tcp.listeners.table) == 0


@pytest.mark.parametrize("first, second", [(False, False), (True, False), (False, True)])
def test_equals_need_reuseport_on_both(first: bool, second: bool) -> None:
    lab = Lab()
    lab.listen(SERVER, 80, reuse_port=first)
    with pytest.raises(AddressInUse):
        lab.listen(SERVER, 80, reuse_port=second)
    lab.listen(SERVER, 81, reuse_port=second)


def test_domains_are_apart() -> None:
    lab = Lab(2)
    routed = lab.stack.add_interface("eth0", mac="02:aa:00:00:00:99")
    routed.add_address(f"{SERVER}/24")
    first, second = lab.listen(cdom=1), lab.listen(cdom=2)
    zero = lab.stack.listen((ANY, 80))
    one, two = lab.peer(), lab.peer(port=lab.p2, seq=77)
    one.connect()
    assert [accepted(listener) for listener in (first, second, zero)] == [True, False, False]
    two.connect()
    assert [accepted(listener) for listener in (first, second, zero)] == [False, True, False]
    assert len(lab.stack.tcp.table) == 2


def test_a_listener_of_another_domain_never_answers() -> None:
    lab = Lab(2)
    lab.listen(cdom=2)
    assert lab.peer().send("S") == []
    assert lab.out(lab.p2) == []


def test_a_domain_above_zero_has_one_interface() -> None:
    lab = Lab()
    with pytest.raises(InvalidArgument, match="already has its interface, p1"):
        lab.stack.add_interface("other", cdom=1)
    with pytest.raises(InvalidArgument, match="domain above 0"):
        lab.stack.add_interface("other", promiscuous=True)
    with pytest.raises(InvalidArgument, match="domain 7 has no interface"):
        lab.listen(cdom=7)
    with pytest.raises(InvalidArgument, match="domain above 0"):
        lab.stack.listen((ANY, 80), promiscuous=True)
    with pytest.raises(InvalidArgument, match="VLAN"):
        lab.stack.listen((ANY, 80), vlans=(5,))


def test_domain_zero_refuses_tags() -> None:
    stack = uinet.Stack()
    eth = stack.add_interface("eth0", mac="02:00:00:00:00:5e")
    eth.add_address(f"{SERVER}/24")
    stack.listen((ANY, 80))
    stack.input(eth, [build.tcp(CLIENT, SERVER, 4000, 80, "S", l2=l2(5))], 1)
    assert stack.output(eth) == []
    assert stack.stats["eth_vlan_unexpected"] == 1


def test_the_same_tuple_on_two_vlan_stacks_coexists() -> None:
    lab = Lab()
    listener = lab.listen()
    peers = [lab.peer(vlans=tags, seq=100 + index) for index, tags in enumerate(((), (5,), (5, 5), (6,)))]
    for peer in peers:
        peer.connect()
    socks = [listener.accept() for _ in peers]
    for index, peer in enumerate(peers):
        peer.send("P.", b"%d" % index)
    assert [sock.recv(10) for sock in socks] == [b"0", b"1", b"2", b"3"]


def test_the_final_ack_tells_the_link_header() -> None:
    """SYN|ACK goes where the SYN came from; from then on it is where the final ACK came from."""
    lab = Lab()
    listener = lab.listen()
    peer = lab.peer(link=l2((VlanTag(5, 1),)))
    (answer,) = peer.send("S")
    assert answer.l2info == l2((VlanTag(5, 1),)).reversed()
    other = L2Info.make("02:00:00:00:00:c2", "02:00:00:00:00:5f", (VlanTag(0, 3), VlanTag(5, 7, 1, 0x88A8)))
    peer.send(".", link=other)
    sock = listener.accept()
    assert sock.l2info == other
    assert sock.getsockopt(uinet.SOL_SOCKET, uinet.SO_L2INFO) == other
    sock.send(b"data")
    (data,) = lab.out()
    assert data.l2info == other.reversed()
    assert data.ethernet.ethertype == 0x0800


def test_a_routed_connection_has_no_l2info() -> None:
    stack = uinet.Stack()
    listener = stack.listen(("127.0.0.1", 80))
    sock = stack.connect(("127.0.0.1", 80))
    stack.poll(1)
    assert sock.l2info is None
    assert listener.accept().l2info is None


def test_bare_packets_of_a_promiscuous_tun() -> None:
    lab = Lab(layer=3)
    peer = Peer(lab)
    sock = serve(lab, peer)
    assert sock.l2info is None
    peer.send("P.", b"abc")
    assert sock.recv(9) == b"abc"
    active = lab.stack.connect((CLIENT, 9), source=(SERVER, 8), cdom=1)
    syn = lab.out()[0]
    assert (syn.flags, syn.tcp.source_port, syn.tcp.destination_port) == ("S", 8, 9)
    assert active.l2info is None
