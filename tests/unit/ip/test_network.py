from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from uinet.errors import AddressError, AddressNotAvailable, InvalidArgument, MessageTooLong, NetworkUnreachable
from uinet.ip.neighbors import LOOPBACK, STATIC
from uinet.ip.network import ROUTE_CACHE_LIMIT, Network
from uinet.wire import ipv4, ipv6
from uinet.wire.addresses import pack_address

if TYPE_CHECKING:
    from tests.unit.ip.conftest import Bench


def p(address: str) -> bytes:
    return pack_address(address)


@pytest.mark.parametrize(
    "wrong",
    [
        {"layer": 1}, {"cdom": -1}, {"promiscuous": True}, {"mtu": 67}, {"mtu": 65536}, {"name": "eth0"},
        {"mac": "01:00:00:00:00:01"},
    ],
)
def test_network_add_interface_with_wrong_arguments_is_refused(bench: Bench, wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        bench.network.add_interface(**{"name": "eth1", **wrong})


def test_network_add_interface_with_a_mac_that_is_none_is_refused(bench: Bench) -> None:
    with pytest.raises(AddressError):
        bench.network.add_interface("eth1", mac="02:00")


def test_network_domain_above_0_has_exactly_one_interface(bench: Bench) -> None:
    wire = bench.network.add_interface("wire", cdom=5)
    assert bench.network.interface_of_domain(5) is wire
    with pytest.raises(InvalidArgument):
        bench.network.add_interface("wire2", cdom=5)


def test_network_remove_interface_leaves_nothing_of_it(bench: Bench) -> None:
    network = bench.network
    bench.neighbors()
    other = network.add_interface("eth1")
    other.bridge = bench.eth0
    network.remove_interface(bench.eth0)
    assert network.interfaces == [other] and other.bridge is None
    assert not network.is_local(p("10.0.0.2")) and list(network.neighbors) == []
    assert [route.interface.name for route in network.routes] == ["lo", "lo"]
    with pytest.raises(NetworkUnreachable):
        network.route(p("10.0.0.1"))
    with pytest.raises(InvalidArgument):
        network.remove_interface(bench.eth0)


def test_network_interface_named_finds_it_or_nothing(bench: Bench) -> None:
    assert bench.network.interface_named("eth0") is bench.eth0
    assert bench.network.interface_named("eth9") is None


@pytest.mark.rfc("1122", "3.2.1.3", "MUST silently discard what is not for this host")
@pytest.mark.parametrize(
    ("address", "ours"),
    [
        ("10.0.0.2", True), ("10.0.0.3", False), ("10.0.0.255", True), ("255.255.255.255", True),
        ("224.0.0.1", True), ("224.0.0.251", False), ("127.0.0.1", False), ("10.9.0.1", True),
        ("2001:db8::2", True), ("2001:db8::3", False), ("ff02::1", True), ("ff01::1", True), ("ff02::2", False),
        ("ff02::1:ff00:2", True), ("ff02::1:ff00:3", False), ("::1", False), ("fe80::ff:fe00:2", True),
        ("fe80::ff:fe00:9", False),
    ],
)
def test_network_is_ours_on_an_ordinary_interface(bench: Bench, address: str, ours: bool) -> None:
    other = bench.network.add_interface("eth1", mac="02:00:00:00:00:09")
    other.add_address("10.9.0.1/24")
    other.add_address("2001:db8:9::1/64")  # and with it fe80::ff:fe00:9, which is of that link alone
    assert bench.network.is_ours(p(address), bench.eth0) is ours


def test_network_is_ours_never_on_a_promiscuous_interface(bench: Bench) -> None:
    wire = bench.network.add_interface("wire", cdom=1)
    assert not bench.network.is_ours(p("10.0.0.2"), wire)
    assert not bench.network.is_ours(p("255.255.255.255"), wire)


def test_network_is_ours_on_loopback_takes_what_was_routed_there(bench: Bench) -> None:
    lo = bench.network.loopback_interface
    assert bench.network.is_ours(p("127.0.0.9"), lo)
    assert bench.network.is_ours(p("10.0.0.2"), lo)


def test_network_joined_group_is_ours(bench: Bench) -> None:
    bench.eth0.join(p("224.0.0.251"))
    assert bench.network.is_ours(p("224.0.0.251"), bench.eth0)


def test_network_address_on_two_interfaces_survives_the_loss_of_one(bench: Bench) -> None:
    other = bench.network.add_interface("eth1")
    other.add_address("10.0.0.2/24")
    bench.eth0.remove_address("10.0.0.2")
    assert bench.network.local[p("10.0.0.2")] is other


# routing


@pytest.mark.rfc("1122", "3.3.1.1", "a destination on a connected network is sent to directly")
def test_route_on_link_goes_to_the_destination_itself(bench: Bench) -> None:
    route = bench.network.route(p("10.0.0.7"))
    assert (route.next_hop.address, route.source, route.interface, route.mtu) == (
        p("10.0.0.7"), p("10.0.0.2"), bench.eth0, 1500,
    )


@pytest.mark.rfc("1122", "3.3.1.1", "any other destination is sent to a gateway")
def test_route_off_link_goes_to_the_gateway(bench: Bench) -> None:
    route = bench.network.route(p("2001:4860::8"))
    assert route.next_hop.address == p("2001:db8::fe") and route.source == p("2001:db8::2")


def test_route_is_cached_until_something_changes(bench: Bench) -> None:
    network = bench.network
    route = network.route(p("10.0.0.7"))
    assert network.route(p("10.0.0.7")) is route and route.generation == network.generation
    bench.eth0.add_address("10.5.0.1/24")
    assert route.generation != network.generation
    fresh = network.route(p("10.0.0.7"))
    assert fresh is not route and fresh.next_hop is route.next_hop


def test_route_cache_is_bounded(bench: Bench) -> None:
    for number in range(ROUTE_CACHE_LIMIT + 10):
        bench.network.route((0x08000000 + number).to_bytes(4, "big"))
    assert len(bench.network.route_cache) <= ROUTE_CACHE_LIMIT


def test_routes_of_two_connections_to_one_host_share_the_next_hop(bench: Bench) -> None:
    bench.eth0.add_address("10.0.0.4/24")
    first = bench.network.route(p("10.0.0.7"), p("10.0.0.2"))
    second = bench.network.route(p("10.0.0.7"), p("10.0.0.4"))
    assert first.next_hop is second.next_hop and second.source == p("10.0.0.4")


def test_route_from_an_address_that_is_not_ours_is_refused(bench: Bench) -> None:
    for source in ("10.0.0.77", "2001:db8::2"):
        with pytest.raises(AddressNotAvailable):
            bench.network.route(p("10.0.0.7"), p(source))


def test_route_from_the_unspecified_address_chooses(bench: Bench) -> None:
    assert bench.network.route(p("10.0.0.7"), bytes(4)).source == p("10.0.0.2")


def test_route_without_a_way_is_unreachable_and_counted() -> None:
    network = Network(b"s")
    for address in ("10.0.0.1", "2001:db8::1", "0.0.0.0", "::", "224.0.0.1"):
        with pytest.raises(NetworkUnreachable):
            network.route(p(address))
    assert network.stats["ip_no_route"] == 5


def test_route_without_an_address_of_the_family_has_no_source() -> None:
    network = Network(b"s")
    tun = network.add_interface("tun", layer=3)
    network.routes.add("0.0.0.0/0", interface=tun)
    with pytest.raises(AddressNotAvailable):
        network.route(p("8.8.8.8"))


def test_route_to_ourselves_is_the_loopback(bench: Bench) -> None:
    route = bench.network.route(p("10.0.0.2"))
    assert route.interface is bench.network.loopback_interface and route.next_hop.state == LOOPBACK
    assert route.source == p("10.0.0.2") and route.mtu == 65535
    route = bench.network.route(p("127.0.0.5"))
    assert route.next_hop.state == LOOPBACK and route.source == p("127.0.0.1")


def test_route_on_a_layer_3_link_needs_no_mac() -> None:
    network = Network(b"s")
    tun = network.add_interface("tun", layer=3)
    tun.add_address("10.0.0.1/24")
    hop = network.route(p("10.0.0.2")).next_hop
    assert hop.state == STATIC and hop.link_header == b""


@pytest.mark.parametrize(
    ("destination", "mac"),
    [
        ("224.0.0.251", "01005e0000fb"), ("239.129.2.3", "01005e010203"), ("ff02::1:3", "333300010003"),
        ("255.255.255.255", "ffffffffffff"), ("10.0.0.255", "ffffffffffff"),
    ],
)
def test_route_to_a_group_has_its_mac(bench: Bench, destination: str, mac: str) -> None:
    hop = bench.network.route(p(destination)).next_hop
    assert hop.state == STATIC and hop.link_header is not None and hop.link_header[:6].hex() == mac


def test_route_to_a_group_takes_the_link_of_its_source_or_the_one_asked_for(bench: Bench) -> None:
    other = bench.network.add_interface("eth1")
    other.add_address("10.9.0.1/24")
    assert bench.network.route(p("224.0.0.251"), p("10.9.0.1")).interface is other
    route = bench.network.route(p("224.0.0.251"), None, other)
    assert route.interface is other and route.source == p("10.9.0.1")


def test_route_by_a_promiscuous_interface_is_refused(bench: Bench) -> None:
    wire = bench.network.add_interface("wire", cdom=1)
    with pytest.raises(NetworkUnreachable):
        bench.network.route(p("10.0.0.1"), None, wire)


def test_route_to_a_link_local_address_takes_the_interface_that_is_named(bench: Bench) -> None:
    other = bench.network.add_interface("eth1", mac="02:00:00:00:00:09")
    other.add_address("2001:db8:9::1/64")
    route = bench.network.route(p("fe80::1"), None, other)
    assert route.interface is other and route.source == p("fe80::ff:fe00:9")


@pytest.mark.parametrize(
    ("destination", "source"),
    [
        ("2001:db8::99", "2001:db8::2"),  # on the link
        ("2001:db8:1::99", "2001:db8::2"),  # the gateway's prefix (RFC 6724, rule 5.5)
        ("2001:db8:1:7::99", "2001:db8:1::5"),  # the longest match (rule 8)
        ("fe80::99", "fe80::ff:fe00:2"),  # the scope (rule 2)
        ("ff02::99", "fe80::ff:fe00:2"),
        ("ff0e::99", "2001:db8::2"),
    ],
)
def test_source_selection_of_ipv6(bench: Bench, destination: str, source: str) -> None:
    bench.eth0.add_address("2001:db8:1::5/128")
    bench.network.routes.add("2001:db8:1:7::/64", via="fe80::1", interface=bench.eth0)
    interface = bench.eth0 if destination.startswith("f") else None
    assert bench.network.route(p(destination), None, interface).source == p(source)


@pytest.mark.rfc("1122", "3.3.4.3", "SHOULD choose the source that belongs to the link of the first hop")
def test_source_selection_of_ipv4_prefers_the_gateways_prefix(bench: Bench) -> None:
    network = Network(b"s")
    eth0 = network.add_interface("eth0")
    eth0.add_address("192.168.1.1/24")
    eth0.add_address("10.0.0.1/24")
    network.routes.add("0.0.0.0/0", via="10.0.0.254")
    assert network.route(p("8.8.8.8")).source == p("10.0.0.1")
    assert network.route(p("192.168.1.7")).source == p("192.168.1.1")


def test_source_selection_borrows_from_another_interface() -> None:
    network = Network(b"s")
    network.add_interface("eth0").add_address("10.0.0.1/24")
    tun = network.add_interface("tun", layer=3)
    network.routes.add("172.16.0.0/12", interface=tun)
    assert network.route(p("172.16.0.1")).source == p("10.0.0.1")


# send_ip


def test_send_ip_small_payload_is_one_packet(ready: Bench) -> None:
    ready.network.send_ip(None, p("10.0.0.1"), 99, b"hello", tos=0x10)
    (frame,) = ready.sent()
    assert (frame.ipv4.ttl, frame.ipv4.tos, frame.ipv4.protocol, frame.payload) == (64, 0x10, 99, b"hello")
    assert frame.ipv4.flags == 0 and ipv4.checksum_ok(frame.packet)
    assert frame.ethernet.destination == bytes.fromhex("020000000001")
    assert frame.ethernet.source == bytes.fromhex("020000000002")


def test_send_ip_large_payload_is_fragmented_and_counted(ready: Bench) -> None:
    payload = bytes(range(256)) * 16
    ready.network.send_ip(None, p("10.0.0.1"), 99, payload)
    frames = ready.sent()
    assert [(f.ipv4.fragment_offset, f.ipv4.flags & 1) for f in frames] == [(0, 1), (1480, 1), (2960, 0)]
    assert b"".join(frame.packet[20:] for frame in frames) == payload
    assert len({frame.ipv4.identification for frame in frames}) == 1
    assert ready.stats["ip_tx_fragments"] == 3


def test_send_ip_that_may_not_be_fragmented_is_too_long(ready: Bench) -> None:
    for destination in ("10.0.0.1", "2001:db8::1"):
        with pytest.raises(MessageTooLong):
            ready.network.send_ip(None, p(destination), 99, bytes(1500), dont_fragment=True)
    assert ready.sent() == []


def test_send_ip_larger_than_any_packet_is_too_long(ready: Bench) -> None:
    for destination, size in (("10.0.0.1", 65516), ("2001:db8::1", 65536)):
        with pytest.raises(MessageTooLong):
            ready.network.send_ip(None, p(destination), 99, bytes(size))


@pytest.mark.rfc("1112", "6.1", "the TTL of multicast is 1 by default")
def test_send_ip_to_a_group_has_ttl_1(ready: Bench) -> None:
    ready.network.send_ip(None, p("224.0.0.251"), 99, b"x")
    ready.network.send_ip(None, p("ff0e::1"), 99, b"x")
    ready.network.send_ip(None, p("224.0.0.251"), 99, b"x", ttl=9)
    sent = ready.sent()
    assert [sent[0].ipv4.ttl, sent[1].ipv6.hop_limit, sent[2].ipv4.ttl] == [1, 1, 9]


def test_send_ip_over_ipv6_has_the_class_and_length(ready: Bench) -> None:
    ready.network.send_ip(None, p("2001:db8::1"), 99, b"hello", tos=0x28)
    (frame,) = ready.sent()
    assert frame.ipv6.traffic_class == 0x28 and ipv6.check(frame.packet) and frame.payload == b"hello"


def test_send_ip_to_ourselves_waits_in_the_loopback_queue(ready: Bench) -> None:
    ready.network.send_ip(None, p("10.0.0.2"), 99, b"hello")
    ((interface, packet),) = ready.network.loopback
    assert interface.name == "lo" and ipv4.check(packet) and packet.endswith(b"hello")
    assert ready.sent() == []


def test_loopback_queue_is_bounded(ready: Bench) -> None:
    for _ in range(1030):
        ready.network.send_ip(None, p("10.0.0.2"), 99, b"hello")
    assert len(ready.network.loopback) == 1024 and ready.stats["loopback_full"] == 6


def test_route_to_a_group_without_any_route_takes_the_first_interface_of_the_family() -> None:
    network = Network(b"s")
    network.add_interface("wire", cdom=1)
    network.add_interface("six").add_address("2001:db8::1/64")
    four = network.add_interface("four")
    four.add_address("10.0.0.1/24")
    assert network.route(p("224.0.0.251")).interface is four


def test_source_selection_never_borrows_a_link_local_address() -> None:
    network = Network(b"s")
    network.add_interface("eth0").add_address("2001:db8::1/64")
    tun = network.add_interface("tun", layer=3)
    network.routes.add("2001:db8:5::/64", interface=tun)
    assert network.route(p("2001:db8:5::1")).source == p("2001:db8::1")
