"""Multicast options of datagram sockets."""

from __future__ import annotations

from typing import Any

import pytest

import uinet
from uinet.units import SECOND
from uinet.wire import build, icmpv6, igmp
from uinet.wire.addresses import L2Info, multicast_mac, pack_address

V4 = (uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, uinet.IP_DROP_MEMBERSHIP, "239.1.2.3", "10.0.0.9")
V6 = (uinet.IPPROTO_IPV6, uinet.IPV6_JOIN_GROUP, uinet.IPV6_LEAVE_GROUP, "ff05::1234", "2001:db8::9")
PEER = "02:00:00:00:00:09"


@pytest.fixture
def stack() -> uinet.Stack:
    made = uinet.Stack(seed=b"groups", now=SECOND)
    for number, name in enumerate(("eth0", "eth1"), 1):
        interface = made.add_interface(name, mac=f"02:00:00:00:00:0{number}")
        interface.add_address(f"10.0.{number - 1}.2/24")
        interface.add_address(f"2001:db8:{number - 1}::2/64")
    made.add_interface("wire", cdom=3)
    return made


def sock(stack: uinet.Stack, port: int = 5000) -> uinet.Socket:
    made = stack.socket(kind=uinet.SOCK_DGRAM)
    made.bind((uinet.ANY, port))
    return made


def deliver(stack: uinet.Stack, group: str, source: str, index: int = 0, port: int = 5000) -> None:
    link = L2Info.make(PEER, multicast_mac(pack_address(group)))
    stack.input(stack.interfaces[index], [build.udp(source, group, 1234, port, b"hello", l2=link)], stack.now)


@pytest.mark.rfc("1112", "7.2", "datagrams to a group that is not joined are not delivered")
@pytest.mark.rfc("3493", "5.2", "IPV6_JOIN_GROUP and IPV6_LEAVE_GROUP")
@pytest.mark.parametrize("family", [V4, V6], ids=["ipv4", "ipv6"])
def test_group_is_received_from_join_to_leave(stack: uinet.Stack, family: tuple[Any, ...]) -> None:
    level, join, leave, group, source = family
    made = sock(stack)
    deliver(stack, group, source)
    assert not made.readable and stack.stats["ip_not_ours"] == 1
    made.setsockopt(level, join, (group, "eth0"))
    deliver(stack, group, source)
    data, address = made.recvfrom(100)
    assert data == b"hello" and address == (uinet.wire.addresses.unpack_address(pack_address(source)), 1234)
    deliver(stack, group, source, index=1)  # on another link
    assert not made.readable
    made.setsockopt(level, leave, (group, "eth0"))
    deliver(stack, group, source)
    assert not made.readable and stack.interfaces[0].groups.get(pack_address(group)) is None


@pytest.mark.parametrize("family", [V4, V6], ids=["ipv4", "ipv6"])
def test_group_is_left_with_its_last_socket(stack: uinet.Stack, family: tuple[Any, ...]) -> None:
    level, join, _, group, _ = family
    one, two = sock(stack, 1), sock(stack, 2)
    for made in (one, two):
        made.setsockopt(level, join, (group, "eth0"))
    one.close()
    assert stack.interfaces[0].in_group(pack_address(group))
    two.close()
    assert not stack.interfaces[0].in_group(pack_address(group))


def test_joining_tells_the_link(stack: uinet.Stack) -> None:
    eth0 = stack.interfaces[0]
    eth0.announce_groups()
    stack.output(eth0)
    made = sock(stack)
    made.setsockopt(uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, ("239.1.2.3", "eth0"))
    made.setsockopt(uinet.IPPROTO_IPV6, uinet.IPV6_JOIN_GROUP, ("ff05::1234", "eth0"))
    four, six = [build.dissect(frame.data) for frame in stack.output(eth0)]
    assert four.payload[0] == igmp.V3_REPORT and six.icmpv6.type == icmpv6.MLDV2_REPORT


@pytest.mark.parametrize("where", ["eth1", "10.0.1.2", "2001:db8:1::2"])
def test_interface_is_named_by_name_or_address(stack: uinet.Stack, where: str) -> None:
    made = sock(stack)
    made.setsockopt(uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, ("239.1.2.3", where))
    made.setsockopt(uinet.IPPROTO_IP, uinet.IP_MULTICAST_IF, where)
    eth1 = stack.interfaces[1]
    assert made.getsockopt(uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP) == [(pack_address("239.1.2.3"), eth1)]
    assert made.getsockopt(uinet.IPPROTO_IP, uinet.IP_MULTICAST_IF) is eth1
    made.sendto(b"x", ("239.1.2.3", 7))
    assert len(stack.output(eth1)) == 1 and stack.output(stack.interfaces[0]) == []


def test_without_an_interface_the_route_or_the_first_is_taken(stack: uinet.Stack) -> None:
    made = sock(stack)
    made.setsockopt(uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, "239.1.2.3")
    stack.routes.add("239.9.0.0/16", interface=stack.interfaces[1])
    made.setsockopt(uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, "239.9.2.3")
    found = made.getsockopt(uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP)
    assert [interface.name for _, interface in found] == ["eth0", "eth1"]


@pytest.mark.rfc(
    "1112", "6.1",
    "the TTL of multicast is 1 unless set; what is sent is looped back unless that is turned off",
)
def test_hops_and_loop(stack: uinet.Stack) -> None:
    made = sock(stack)
    made.setsockopt(uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, ("239.1.2.3", "eth0"))
    made.setsockopt(uinet.IPPROTO_IP, uinet.IP_MULTICAST_IF, "eth0")
    made.sendto(b"one", ("239.1.2.3", 5000))
    assert made.recv(10) == b"one"
    made.setsockopt(uinet.IPPROTO_IP, uinet.IP_MULTICAST_LOOP, 0)
    made.setsockopt(uinet.IPPROTO_IP, uinet.IP_MULTICAST_TTL, 9)
    made.sendto(b"two", ("239.1.2.3", 5000))
    assert not made.readable
    ttls = [build.dissect(frame.data).ipv4.ttl for frame in stack.output(stack.interfaces[0])]
    assert ttls == [1, 9]
    assert made.getsockopt(uinet.IPPROTO_IPV6, uinet.IPV6_MULTICAST_HOPS) == 9
    assert made.getsockopt(uinet.IPPROTO_IP, uinet.IP_MULTICAST_LOOP) == 0


@pytest.mark.parametrize(
    ("level", "name", "value", "error"),
    [
        (uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, "10.0.0.1", uinet.AddressError),
        (uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, "ff05::1", uinet.AddressError),
        (uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, ("239.1.2.3", "eth9"), uinet.AddressNotAvailable),
        (uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, ("239.1.2.3", "wire"), uinet.AddressNotAvailable),
        (uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, ("239.1.2.3", 7), uinet.AddressNotAvailable),
        (uinet.IPPROTO_IP, uinet.IP_DROP_MEMBERSHIP, "239.1.2.3", uinet.AddressError),
        (uinet.IPPROTO_IPV6, uinet.IPV6_JOIN_GROUP, "239.1.2.3", uinet.AddressError),
        (uinet.IPPROTO_IP, uinet.IP_MULTICAST_TTL, 256, uinet.InvalidArgument),
        (uinet.IPPROTO_IP, uinet.IP_MULTICAST_IF, "127.0.0.1", uinet.AddressNotAvailable),
    ],
)
def test_bad_values_are_errors(stack: uinet.Stack, level: int, name: int, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        sock(stack).setsockopt(level, name, value)


def test_twice_the_same_group_and_too_many_are_errors(stack: uinet.Stack) -> None:
    made = sock(stack)
    made.setsockopt(uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, "239.1.2.3")
    with pytest.raises(uinet.AddressError):
        made.setsockopt(uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, "239.1.2.3")
    for number in range(63):
        made.setsockopt(uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, f"239.2.0.{number}")
    with pytest.raises(uinet.InvalidArgument, match="at most 64"):
        made.setsockopt(uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, "239.3.0.1")


def test_streams_and_promiscuous_sockets_have_no_groups(stack: uinet.Stack) -> None:
    with pytest.raises(uinet.NotSupported):
        stack.socket().setsockopt(uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, "239.1.2.3")
    wild = stack.socket(kind=uinet.SOCK_DGRAM)
    wild.setsockopt(uinet.SOL_SOCKET, uinet.SO_PROMISC, 1)
    wild.setsockopt(uinet.SOL_SOCKET, uinet.SO_SETFIB, 3)
    with pytest.raises(uinet.NotSupported):
        wild.setsockopt(uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, "239.1.2.3")
