"""Connections that a promiscuous socket opens: any VLAN stack, MACs, address and port."""

from __future__ import annotations

import gc

import pytest

import uinet
from tests.unit.promiscuous.lab import CLIENT, CLIENT6, SERVER, SERVER6, Lab, connected, l2
from uinet import ANY, AddressError, AddressInUse, InvalidArgument, L2Info, Mac, VlanTag
from uinet.wire.addresses import TPIDS


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 16])
@pytest.mark.parametrize("client, server", [(CLIENT, SERVER), (CLIENT6, SERVER6)])
def test_the_syn_is_just_as_asked_for(client: str, server: str, depth: int) -> None:
    lab = Lab()
    tags = tuple(VlanTag(100 + i, i % 8, i % 2, TPIDS[i % 5]) for i in range(depth))
    link = l2(tags)
    sock = lab.stack.connect((server, 443), source=(client, 7), l2=link, cdom=1)
    (syn,) = lab.out()
    assert syn.flags == "S"
    assert syn.l2info == link
    assert (str(sock.getsockname()[0]), sock.getsockname()[1]) == (client, 7)
    assert (str(sock.getpeername()[0]), sock.getpeername()[1]) == (server, 443)
    assert (syn.tcp.source_port, syn.tcp.destination_port) == (7, 443)
    assert sock.l2info == link
    peer = lab.peer(src=server, dst=client, sport=443, dport=7, link=link.reversed())
    (ack,) = peer.accept(syn)
    assert (ack.flags, ack.l2info) == (".", link)
    assert sock.state == "ESTABLISHED"
    peer.send("P.", b"hi")
    assert sock.recv(5) == b"hi"
    assert sock.cdom == 1


def test_what_the_peer_changes_in_its_link_header_is_not_taken_over() -> None:
    lab = Lab()
    peer = lab.peer(vlans=5)
    sock = connected(lab, peer)
    other = L2Info.make("02:00:00:00:00:77", "02:00:00:00:00:78", (VlanTag(5, 7),))
    peer.send("P.", b"x", link=other)
    sock.send(b"y")
    assert lab.out()[-1].l2info == l2(5).reversed()
    assert sock.l2info == l2(5).reversed()


def test_every_port_of_an_address_at_once() -> None:
    ports = list(range(1, 0x10000, 1 if uinet.compiled() else 9))  # all of them take 8 s interpreted
    lab = Lab()
    lab.p1.output_limit = 70_000
    link = l2(9)
    gc.disable()  # 65,535 live sockets: the collector would walk them over and over
    try:
        for port in ports:
            lab.stack.connect((SERVER, 80), source=(CLIENT, port), l2=link, cdom=1)
        assert len(lab.stack.tcp.table) == len(ports)
        seen = [(frame.data[18 + 20] << 8) | frame.data[18 + 21] for frame in lab.stack.output(lab.p1)]
        assert seen == ports
        with pytest.raises(AddressInUse):
            lab.stack.connect((SERVER, 80), source=(CLIENT, ports[4711]), l2=link, cdom=1)
        lab.stack.connect((SERVER, 80), source=(CLIENT, ports[4711]), l2=l2(10), cdom=1)
        lab.stack.connect((SERVER, 81), source=(CLIENT, ports[4711]), l2=link, cdom=1)
        lab.stack.close()
    finally:
        gc.enable()


def test_a_port_is_chosen_where_none_was_asked_for() -> None:
    lab = Lab()
    for source in ((CLIENT, ANY), (CLIENT, 0), (CLIENT, None)):
        sock = lab.stack.connect((SERVER, 80), source=source, l2=l2(), cdom=1)
        assert 32768 <= sock.getsockname()[1] <= 60999
    assert len({syn.tcp.source_port for syn in lab.out()}) == 3


def test_the_same_tuple_on_two_vlan_stacks_and_in_two_domains() -> None:
    lab = Lab(2)
    socks = [
        lab.stack.connect((SERVER, 80), source=(CLIENT, 5), l2=l2(vlans), cdom=cdom)
        for cdom, vlans in ((1, ()), (1, (4,)), (1, (4, 4)), (2, ()))
    ]
    first = [syn.l2info.vlans for syn in lab.out()]
    assert first == [(), (VlanTag(4),), (VlanTag(4), VlanTag(4))]
    assert len(lab.out(lab.p2)) == 1
    peer = lab.peer(src=SERVER, dst=CLIENT, sport=80, dport=5, vlans=4)
    peer.ack = (socks[1].tcb.iss + 1) & 0xFFFFFFFF  # type: ignore[union-attr]
    peer.send("S.")
    assert [sock.state for sock in socks] == ["SYN-SENT", "ESTABLISHED", "SYN-SENT", "SYN-SENT"]


@pytest.mark.parametrize(
    "options, error, words",
    [
        ({"source": (CLIENT, 5)}, InvalidArgument, "MACs and VLANs: l2= or SO_L2INFO"),
        ({"l2": l2()}, AddressError, "needs a local address"),
        ({"l2": l2(), "source": (ANY, 5)}, AddressError, "needs a local address"),
        ({"l2": l2(), "source": (CLIENT6, 5)}, AddressError, "of the peer's family"),
        ({"l2": l2(), "source": (CLIENT, 65536)}, AddressError, "port"),
        ({"l2": l2(), "source": (CLIENT,)}, AddressError, "an address is \\(ip, port\\)"),
        ({"l2": l2(), "source": ("10.0.0.300", 5)}, AddressError, "not an IP address"),
        ({"l2": "02:00:00:00:00:01", "source": (CLIENT, 5)}, InvalidArgument, "want an L2Info"),
        ({"l2": L2Info("zz", "02:00:00:00:00:01", ()), "source": (CLIENT, 5)}, AddressError, "not a MAC"),  # type: ignore[arg-type]
        ({"l2": l2()._replace(vlans=(5000,)), "source": (CLIENT, 5)}, uinet.VlanError, "VID"),  # type: ignore[arg-type]
        ({"l2": l2()._replace(destination=Mac("ff:ff:ff:ff:ff:ff")), "source": (CLIENT, 5)}, InvalidArgument, "group"),
        ({"l2": l2(), "source": (CLIENT, 5), "cdom": 9}, InvalidArgument, "domain 9 has no interface"),
        ({"l2": l2(), "source": (CLIENT, 5), "cdom": 0}, InvalidArgument, "domain above 0"),
        ({"l2": l2(), "source": (CLIENT, 5), "cdom": -1}, InvalidArgument, "connection domain"),
    ],
)
def test_what_is_missing_is_told(options: dict[str, object], error: type[Exception], words: str) -> None:
    lab = Lab()
    with pytest.raises(error, match=words) as caught:
        lab.stack.connect((SERVER, 80), **{"cdom": 1, **options})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert len(lab.stack.tcp.table) == 0
    assert lab.out() == []


@pytest.mark.parametrize(
    "target", [("224.0.0.1", 80), ("0.0.0.0", 80), ("255.255.255.255", 80), (SERVER, 0), ("x", 1), 7]
)
def test_where_nobody_can_connect_to(target: object) -> None:
    lab = Lab()
    with pytest.raises(AddressError):
        lab.stack.connect(target, source=(CLIENT, 5), l2=l2(), cdom=1)  # type: ignore[arg-type]


def test_macs_and_tags_as_text_and_numbers() -> None:
    lab = Lab()
    link = L2Info("02:00:00:00:00:c1", b"\x02\0\0\0\0\x5e", (5, 6))  # type: ignore[arg-type]
    lab.stack.connect((SERVER, 80), source=(CLIENT, 5), l2=link, cdom=1)
    assert lab.out()[0].l2info == l2((5, 6))


def test_a_refused_connection() -> None:
    lab = Lab()
    sock = lab.stack.connect((SERVER, 80), source=(CLIENT, 5), l2=l2(3), cdom=1)
    (syn,) = lab.out()
    peer = lab.peer(src=SERVER, dst=CLIENT, sport=80, dport=5, link=l2(3).reversed())
    peer.ack = (syn.tcp.seq + 1) & 0xFFFFFFFF
    assert peer.send("R.") == []
    assert isinstance(sock.error, ConnectionRefusedError)
    assert lab.stack.events() == [(sock, uinet.EV_ERROR | uinet.EV_READABLE | uinet.EV_WRITABLE | uinet.EV_CLOSED)]
    assert len(lab.stack.tcp.table) == 0


def test_another_vlan_can_not_answer() -> None:
    lab = Lab()
    sock = lab.stack.connect((SERVER, 80), source=(CLIENT, 5), l2=l2(3), cdom=1)
    (syn,) = lab.out()
    peer = lab.peer(src=SERVER, dst=CLIENT, sport=80, dport=5, link=l2(4).reversed())
    peer.accept(syn)
    assert sock.state == "SYN-SENT"
