"""libuinet's smaller knobs: blackholes, catch-all listeners, IP_TXIF, TCP_NOTIMEWAIT, TCP_TRIVIAL_ISN."""

from __future__ import annotations

from typing import Any

import pytest

import uinet
from tests.unit.promiscuous.lab import CLIENT, SERVER, Lab, l2
from tests.unit.promiscuous.lab import Peer as Client
from tests.unit.tcp.peer import HOST, PEER, Peer
from uinet import (
    ANY,
    IP_TXIF,
    IPPROTO_IP,
    IPPROTO_TCP,
    SO_CATCHALL,
    SOL_SOCKET,
    TCP_NOTIMEWAIT,
    TCP_TRIVIAL_ISN,
    AddressInUse,
    InvalidArgument,
    NetworkUnreachable,
)
from uinet.units import MASK32
from uinet.wire import build

# blackholes


@pytest.mark.parametrize("mode, syn, ack", [(0, True, True), (1, False, True), (2, False, False)])
def test_strangers_meet_silence_as_far_as_that_is_wanted(mode: int, syn: bool, ack: bool) -> None:
    peer = Peer()
    peer.stack.sysctl["net.inet.tcp.blackhole"] = mode
    peer.give(build.tcp(PEER, HOST, 1, 80, "S"))
    assert len(peer.drain()) == syn
    peer.give(build.tcp(PEER, HOST, 1, 80, ".", 5, 6))
    assert len(peer.drain()) == ack
    assert peer.count("tcp_blackholed") == 2 - syn - ack


def test_a_blackhole_changes_nothing_for_listeners_and_connections() -> None:
    peer = Peer(blackhole=2)
    sock = peer.passive()
    peer.data(b"request")
    assert sock.recv(100) == b"request"
    peer.send("S.", 5, 6)
    peer.expect(".")


def test_a_promiscuous_interface_that_answers_for_all_can_be_a_blackhole() -> None:
    lab = Lab(answer_any=True)
    link = l2(destination="02:aa:00:00:00:01")
    stranger = build.tcp(CLIENT, SERVER, 1, 80, "S", l2=link)
    assert [out.flags for out in lab.put(stranger)] == ["R."]
    lab.stack.tcp.settings.blackhole = 1
    assert lab.put(stranger) == []


def test_no_icmp_for_ports_and_protocols_that_nobody_has() -> None:
    peer = Peer()
    datagram = build.udp(PEER, HOST, 1, 9, b"x")
    unknown = build.frame(build.ip(PEER, HOST, 254, b"x" * 20))
    peer.give(datagram, unknown)
    assert len(peer.other) == 2
    peer.stack.sysctl["net.inet.udp.blackhole"] = 1
    peer.stack.sysctl["net.inet.ip.blackhole"] = 1
    peer.give(datagram, unknown)
    assert len(peer.other) == 2
    assert peer.count("udp_blackholed") == peer.count("ip_blackholed") == 1


# catch-all listeners


def catch_all(lab: Lab, **options: Any) -> uinet.Socket:
    sock = lab.stack.socket()
    for level, name, value in (
        (SOL_SOCKET, uinet.SO_PROMISC, True), (SOL_SOCKET, uinet.SO_SETFIB, 1), (SOL_SOCKET, SO_CATCHALL, True),
    ):
        sock.setsockopt(level, name, value)
    for name, value in options.items():
        sock.setsockopt(SOL_SOCKET, getattr(uinet, name), value)
    sock.listen()
    return sock


def test_a_catch_all_listener_takes_every_syn_before_any_other() -> None:
    lab = Lab(2)
    exact = lab.listen(SERVER, 80, vlans=())
    sock = catch_all(lab)
    for port, vlans in ((80, ()), (81, (5, 6))):
        Client(lab, dport=port, vlans=vlans).connect()
    assert [sock.accept().getsockname()[1] for _ in range(2)] == [80, 81]
    assert not exact.readable
    assert lab.put(Client(lab).segment("S"), port=lab.p2) == [], "its domain, and no other"
    sock.close()
    Client(lab, dport=80, sport=9).connect()
    assert exact.accept().getsockname()[1] == 80


def test_two_catch_all_listeners_share_a_domain_only_if_both_say_so() -> None:
    lab = Lab()
    first = catch_all(lab, SO_REUSEPORT=True)
    with pytest.raises(AddressInUse):
        catch_all(lab)
    second = catch_all(lab, SO_REUSEPORT=True)
    Client(lab).connect()
    assert second.readable and not first.readable
    second.close()
    assert [out.flags for out in lab.out()] == ["R."], "nobody accepted it"
    Client(lab, sport=2).connect()
    assert first.readable
    lab.stack.close()
    assert lab.stack.tcp.listeners.count == 0


def test_a_catch_all_listener_is_promiscuous_and_bound_to_nothing() -> None:
    lab = Lab()
    sock = lab.stack.socket()
    sock.setsockopt(SOL_SOCKET, SO_CATCHALL, True)
    with pytest.raises(InvalidArgument, match="SO_CATCHALL"):
        sock.listen()
    sock = lab.stack.socket()
    sock.setsockopt(SOL_SOCKET, uinet.SO_PROMISC, True)
    sock.setsockopt(SOL_SOCKET, uinet.SO_SETFIB, 1)
    sock.setsockopt(SOL_SOCKET, SO_CATCHALL, True)
    sock.bind((ANY, 80))
    with pytest.raises(InvalidArgument, match="SO_CATCHALL"):
        sock.listen()


# IP_TXIF


class Two:
    """A host with two links to the same prefix, the first of which routes prefer."""

    def __init__(self) -> None:
        self.stack = uinet.Stack(b"two", 10**9)
        self.links = []
        for number in (0, 1):
            link = self.stack.add_interface(f"eth{number}", mac=f"02:00:00:00:00:0{number}")
            link.add_address(f"10.0.0.{number + 2}/24")
            self.stack.neighbors.add(PEER, "02:00:00:00:00:99", link)
            self.links.append(link)

    def sent(self) -> tuple[int, int]:
        return tuple(len(self.stack.output(link)) for link in self.links)  # type: ignore[return-value]


def test_a_socket_sends_by_the_interface_that_it_asks_for() -> None:
    two = Two()
    for value, where in ((None, (1, 0)), ("eth1", (0, 1)), (two.links[1], (0, 1)), ("eth0", (1, 0))):
        sock = two.stack.socket(uinet.AF_INET, uinet.SOCK_DGRAM)
        sock.setsockopt(IPPROTO_IP, IP_TXIF, value)
        sock.sendto(b"x", (PEER, 9))
        assert two.sent() == where
        stream = two.stack.socket()
        stream.setsockopt(IPPROTO_IP, IP_TXIF, value)
        stream.connect((PEER, 80))
        assert two.sent() == where
        assert stream.getsockname()[0].packed[3] == (3 if where[1] else 2)
        two.stack.network.changed()  # routes are looked up anew
        two.stack.poll(two.stack.now + 2 * 10**9)
        assert two.sent() == where, "its retransmission too"
        stream.abort()
        two.sent()


def test_a_connection_moves_to_another_interface_and_back() -> None:
    two = Two()
    listener = two.stack.listen(("10.0.0.2", 80))
    link = uinet.L2Info.make("02:00:00:00:00:99", "02:00:00:00:00:00")
    two.stack.input(two.links[0], [build.tcp(PEER, "10.0.0.2", 5, 80, "S", 100, l2=link)], 10**9)
    (answer,) = two.stack.output(two.links[0])
    seq = int.from_bytes(answer.data[38:42], "big") + 1
    two.stack.input(two.links[0], [build.tcp(PEER, "10.0.0.2", 5, 80, ".", 101, seq, l2=link)], 10**9)
    sock = listener.accept()
    sock.setsockopt(IPPROTO_TCP, uinet.TCP_NODELAY, True)
    for value, where in (("eth1", (0, 1)), (None, (1, 0))):
        sock.setsockopt(IPPROTO_IP, IP_TXIF, value)
        sock.send(b"x")
        two.stack.poll(10**9)
        assert two.sent() == where
        assert sock.getsockopt(IPPROTO_IP, IP_TXIF) is (two.links[1] if value else None)


def test_a_listener_answers_by_it_from_the_first_segment_on() -> None:
    two = Two()
    sock = two.stack.socket()
    sock.setsockopt(IPPROTO_IP, IP_TXIF, "eth1")
    sock.bind(("10.0.0.2", 80))
    sock.listen()
    link = uinet.L2Info.make("02:00:00:00:00:99", "02:00:00:00:00:00")
    two.stack.input(two.links[0], [build.tcp(PEER, "10.0.0.2", 5, 80, "S", 100, l2=link)], 10**9)
    (answer,) = two.stack.output(two.links[1])
    seq = int.from_bytes(answer.data[38:42], "big") + 1
    two.stack.input(two.links[0], [build.tcp(PEER, "10.0.0.2", 5, 80, "P.", 101, seq, payload=b"x", l2=link)], 10**9)
    two.stack.poll(2 * 10**9)
    assert two.sent() == (0, 1)
    two.stack.remove_interface(two.links[1])
    conn = sock.accept()
    conn.send(b"nowhere to go")
    two.stack.poll(2 * 10**9)
    assert two.stack.output(two.links[0]) == []


def test_what_can_not_be_sent_by_is_refused() -> None:
    two = Two()
    promiscuous = two.stack.add_interface("p", cdom=1)
    for value in ("eth7", promiscuous, 5):
        with pytest.raises(InvalidArgument):
            two.stack.socket().setsockopt(IPPROTO_IP, IP_TXIF, value)
    lonely = two.stack.add_interface("lonely")
    sock = two.stack.socket()
    sock.setsockopt(IPPROTO_IP, IP_TXIF, lonely)
    with pytest.raises(NetworkUnreachable):
        sock.connect((PEER, 80))


def test_a_promiscuous_socket_can_send_by_another_promiscuous_interface() -> None:
    lab = Lab(2)
    sock = lab.stack.socket()
    sock.setsockopt(SOL_SOCKET, uinet.SO_PROMISC, True)
    sock.setsockopt(SOL_SOCKET, uinet.SO_SETFIB, 1)
    sock.setsockopt(SOL_SOCKET, uinet.SO_VLANS, ANY)
    sock.setsockopt(IPPROTO_IP, IP_TXIF, "p2")
    sock.listen()
    client = Client(lab)
    assert client.send("S") == []
    client.hear(lab.out(lab.p2))
    client.send(".")
    sock.accept().send(b"hello")
    lab.stack.poll(lab.now)
    assert lab.out() == []
    assert [out.payload for out in lab.out(lab.p2)] == [b"hello"]


# TCP_NOTIMEWAIT


def test_no_time_wait_where_it_is_not_wanted() -> None:
    peer = Peer()
    sock = peer.fin_wait_2(before=lambda listener: listener.setsockopt(IPPROTO_TCP, TCP_NOTIMEWAIT, True))
    peer.data(b"", "F.")
    peer.expect(".", ack=peer.seq)
    assert sock.state == "CLOSED"
    assert len(peer.stack.tcp.time_wait) == 0
    assert peer.count("tcp_time_wait_skipped") == 1
    peer.gone(0)


def test_no_time_wait_after_closing_at_the_same_time() -> None:
    peer = Peer()
    sock = peer.closing(before=lambda listener: listener.setsockopt(IPPROTO_TCP, TCP_NOTIMEWAIT, True))
    peer.ack = (peer.ack + 1) & MASK32
    peer.send(".")
    assert sock.state == "CLOSED"
    assert len(peer.stack.tcp.time_wait) == 0


# TCP_TRIVIAL_ISN


def test_trivial_isns_are_the_clocks() -> None:
    peer = Peer()
    peer.stack.simulated = True
    peer.listen()
    peer.listener.setsockopt(IPPROTO_TCP, TCP_TRIVIAL_ISN, 1)
    assert peer.syn().seq == peer.now // 4000 & MASK32
    active = Peer()
    _, syn = active.connecting(before=lambda sock: sock.setsockopt(IPPROTO_TCP, TCP_TRIVIAL_ISN, 2))
    assert syn.seq == active.now // 4000 & MASK32


def test_trivial_isns_belong_to_simulations() -> None:
    net = uinet.sim.Network(seed=1)
    host = net.host("10.0.0.1/24")
    host.stack.socket().setsockopt(IPPROTO_TCP, TCP_TRIVIAL_ISN, 1)
    with pytest.raises(InvalidArgument, match="FORCE"):
        uinet.Stack().socket().setsockopt(IPPROTO_TCP, TCP_TRIVIAL_ISN, 1)
