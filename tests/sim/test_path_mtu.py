"""Paths whose middle carries less than their ends, with routers that say so and with those that don't."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.programs import Conversation, pattern, run_conversation
from uinet import ANY, L2Info
from uinet.errors import MessageTooLong
from uinet.sim.network import Network
from uinet.sockopt import (
    AF_INET,
    IP_MTU,
    IP_MTU_DISCOVER,
    IP_PMTUDISC_DO,
    IP_PMTUDISC_PROBE,
    IPPROTO_IP,
    SOCK_DGRAM,
)

SIZE = 400_000


def conversation(net: Network, v6: bool = False, *, probing: int = 1, size: int = SIZE, **link: Any) -> Conversation:
    one, two = ("fd00::1/64", "fd00::2/64") if v6 else ("10.0.0.1/24", "10.0.0.2/24")
    a, b = net.host(one), net.host(two)
    for host in (a, b):
        host.stack.tcp.settings.mtu_probing = probing
    net.link(a, b, **{"rate": 50e6, "delay": 0.01, **link})
    return Conversation(a, b, two.split("/")[0], pattern(size, 1), pattern(size, 2))


def count(net: Network, name: str) -> int:
    return sum(host.stack.stats[name] for host in net.hosts)


@pytest.mark.rfc("1191", "4", "routers' reports are enough")
@pytest.mark.rfc("8201", "4", "routers' reports are enough")
@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("path_mtu", [1280, 1400, 1499])
def test_a_router_that_says_so_costs_no_timeout(v6: bool, path_mtu: int) -> None:
    with Network(seed=5) as net:
        talk = conversation(net, v6, path_mtu=path_mtu, icmp=True)
        start = net.now
        run_conversation(net, talk)
        assert (net.now - start) / 1e9 < 2
        assert count(net, "tcp_rto") == count(net, "tcp_black_hole") == 0
        assert talk.client.sock.getsockopt(IPPROTO_IP, IP_MTU) == path_mtu


@pytest.mark.rfc("4821", "2", "path MTU discovery works without ICMP")
@pytest.mark.rfc("8899", "1.2", "path MTU discovery works without ICMP")
@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("loss", [0.0, 0.01])
@pytest.mark.parametrize(("path_mtu", "probing"), [(1280, 1), (1400, 1), (1400, 2), (1499, 2)])
def test_a_path_that_swallows_what_is_too_large(v6: bool, loss: float, path_mtu: int, probing: int) -> None:
    with Network(seed=5) as net:
        talk = conversation(net, v6, path_mtu=path_mtu, probing=probing, loss=loss)
        run_conversation(net, talk, 60)
        assert 1064 <= talk.client.sock.getsockopt(IPPROTO_IP, IP_MTU) <= path_mtu
        assert (count(net, "tcp_black_hole") > 0) is (probing == 1)


def test_a_path_that_swallows_what_is_too_large_stalls_without_probing() -> None:
    with Network(seed=5) as net:
        talk = conversation(net, path_mtu=1400, probing=0)
        net.run(timeout=60)
        assert not talk.done and len(talk.server.received) == 0


def test_a_path_of_552_bytes() -> None:
    with Network(seed=5) as net:
        talk = conversation(net, path_mtu=552, size=50_000)
        run_conversation(net, talk, 120)
        assert talk.client.sock.getsockopt(IPPROTO_IP, IP_MTU) == 552


def test_a_path_as_large_as_its_ends_costs_a_probing_connection_nothing() -> None:
    with Network(seed=5) as net:
        talk = conversation(net, probing=2)
        run_conversation(net, talk)
        assert count(net, "tcp_retransmit") == 0 and count(net, "tcp_mtu_probe_ok") == 2
        assert talk.client.sock.getsockopt(IPPROTO_IP, IP_MTU) == 1500


@pytest.mark.parametrize("icmp", [False, True])
def test_jumbo_frames_meet_ethernet(icmp: bool) -> None:
    with Network(seed=5) as net:
        talk = conversation(net, mtu=9000, path_mtu=1500, icmp=icmp, size=3_000_000)
        run_conversation(net, talk, 60)
        assert 1492 <= talk.client.sock.getsockopt(IPPROTO_IP, IP_MTU) <= 1500


@pytest.mark.parametrize("icmp", [False, True])
def test_a_path_that_becomes_smaller_during_a_transfer(icmp: bool) -> None:
    with Network(seed=5) as net:
        talk = conversation(net, size=3_000_000)
        net.run(timeout=0.2)
        assert 0 < len(talk.server.received) < 2_000_000
        net.links[0].set(path_mtu=1300, icmp=icmp)
        run_conversation(net, talk, 60)
        assert talk.client.sock.getsockopt(IPPROTO_IP, IP_MTU) <= 1300
        # with reports one timeout each way, as full segments had arrived before (RFC 5927, 7.2); else two
        assert count(net, "tcp_mtu_held") == (2 if icmp else 0) or icmp
        assert count(net, "tcp_black_hole") == (0 if icmp else 2)


@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
def test_promiscuous_connections_find_their_paths_too(v6: bool) -> None:
    client, server = ("2001:db8::1", "2001:db8::2") if v6 else ("192.0.2.1", "192.0.2.2")
    with Network(seed=5) as net:
        a, b = net.host(promiscuous=True), net.host(promiscuous=True)
        net.link(a, b, rate=50e6, delay=0.01, path_mtu=1400)
        data = pattern(SIZE, 3)
        listener = b.stack.listen((ANY, ANY), vlans=ANY, cdom=1)
        l2 = L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02", (7, 8))
        sock = a.stack.connect((server, 80), source=(client, 4000), l2=l2, cdom=1)
        net.run(until=lambda: listener.readable)
        taken = listener.accept()
        got = bytearray()
        sent = 0
        for _ in range(3000):
            if sent < len(data) and sock.writable:
                sent += sock.send(data[sent : sent + 65536])
            net.run(timeout=0.01)
            if taken.readable:
                got += taken.recv(1 << 20)
            if len(got) == len(data):
                break
        assert got == data
        assert 1280 <= sock.getsockopt(IPPROTO_IP, IP_MTU) <= 1400
        assert not a.stack.network.pmtu.table


def test_a_new_connection_begins_with_what_another_has_found() -> None:
    with Network(seed=5) as net:
        talk = conversation(net, path_mtu=1400, size=2_000_000)
        run_conversation(net, talk, 60)
        found = talk.client.sock.getsockopt(IPPROTO_IP, IP_MTU)
        assert 1300 < found <= 1400
        before = count(net, "tcp_rto")
        listener = net.hosts[1].stack.listen(("10.0.0.2", 81))
        sock = net.hosts[0].stack.connect(("10.0.0.2", 81))
        net.run(until=lambda: listener.readable)
        sock.send(bytes(100_000))
        taken = listener.accept()
        net.run(timeout=1)
        assert len(taken.recv(1 << 20)) == 100_000 and count(net, "tcp_rto") == before


def test_datagrams_that_may_not_be_fragmented() -> None:
    with Network(seed=5) as net:
        a, b = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
        link = net.link(a, b, path_mtu=1400, icmp=True)
        there = b.stack.socket(AF_INET, SOCK_DGRAM)
        there.bind(("10.0.0.2", 9))
        sock = a.stack.socket(AF_INET, SOCK_DGRAM)
        sock.setsockopt(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        sock.connect(("10.0.0.2", 9))
        sock.send(bytes(1472))
        net.run(timeout=1)
        assert isinstance(sock.error, MessageTooLong)
        for size, option in ((1373, IP_PMTUDISC_DO), (1473, IP_PMTUDISC_PROBE)):
            other = a.stack.socket(AF_INET, SOCK_DGRAM)
            other.setsockopt(IPPROTO_IP, IP_MTU_DISCOVER, option)
            with pytest.raises(MessageTooLong):
                other.sendto(bytes(size), ("10.0.0.2", 9))
            other.sendto(bytes(size - 1), ("10.0.0.2", 9))
        net.run(timeout=1)
        assert len(there.recv(2000)) == 1372  # the other was the link's size, whatever is known of the path
        assert not there.readable and link.statistics()["ab"]["too_long"] == 2
