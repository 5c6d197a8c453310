from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uinet.errors import AddressError, InvalidArgument, NetworkUnreachable
from uinet.ip.address import in_prefix
from uinet.ip.network import Network
from uinet.wire.addresses import network_of, pack_address, unpack_address

if TYPE_CHECKING:
    from tests.unit.ip.conftest import Bench


def p(address: str) -> bytes:
    return pack_address(address)


def test_lookup_takes_the_longest_prefix(bench: Bench) -> None:
    routes = bench.network.routes
    for prefix, via in (("172.16.0.0/12", "10.0.0.10"), ("172.16.5.0/24", "10.0.0.11"), ("172.16.5.7", "10.0.0.12")):
        routes.add(prefix, via=via)
    found = [routes.lookup(p(a)) for a in ("172.16.5.7", "172.16.5.8", "172.17.0.1", "8.8.8.8", "10.0.0.9")]
    assert [entry.via for entry in found] == [
        p("10.0.0.12"), p("10.0.0.11"), p("10.0.0.10"), p("10.0.0.254"), None,
    ]


def test_lookup_takes_the_lowest_metric_that_is_up(bench: Bench) -> None:
    network = bench.network
    other = network.add_interface("eth1")
    other.add_address("10.9.0.1/24")
    network.routes.add("0.0.0.0/0", via="10.9.0.254", metric=-1)
    assert network.routes.lookup(p("8.8.8.8")).interface is other
    other.up = False
    assert network.routes.lookup(p("8.8.8.8")).interface is bench.eth0


def test_lookup_by_an_interface_takes_its_routes_only(bench: Bench) -> None:
    other = bench.network.add_interface("eth1")
    other.add_address("10.9.0.1/24")
    assert bench.network.routes.lookup(p("10.0.0.1"), other) is None
    bench.network.routes.add("0.0.0.0/0", via="10.9.0.254", metric=5)
    assert bench.network.routes.lookup(p("10.0.0.1"), other).via == p("10.9.0.254")


def test_add_bumps_the_generation(bench: Bench) -> None:
    before = bench.network.generation
    bench.network.routes.add("172.16.0.0/12", via="10.0.0.10")
    assert bench.network.generation > before


def test_add_through_a_gateway_on_no_link_is_unreachable(bench: Bench) -> None:
    for gateway in ("172.16.0.1", "127.0.0.1"):  # one behind the default gateway, one that is us
        with pytest.raises(NetworkUnreachable):
            bench.network.routes.add("172.20.0.0/16", via=gateway)


def test_add_with_wrong_arguments_is_refused(bench: Bench) -> None:
    routes = bench.network.routes
    with pytest.raises(AddressError):
        routes.add("172.16.0.1/12", via="10.0.0.10")
    with pytest.raises(AddressError):
        routes.add("172.16.0.0/12", via="2001:db8::1")
    with pytest.raises(InvalidArgument):
        routes.add("172.16.0.0/12")
    with pytest.raises(InvalidArgument):
        routes.add("0.0.0.0/0", via="10.0.0.254")
    with pytest.raises(InvalidArgument):
        routes.add("172.16.0.0/12", interface=bench.network.add_interface("wire", cdom=1))


def test_remove_takes_what_matches_and_leaves_connected_ones(bench: Bench) -> None:
    routes = bench.network.routes
    routes.add("10.0.0.0/24", via="10.0.0.10", metric=3)
    routes.remove("10.0.0.0/24")
    assert [str(route) for route in routes][:2] == ["10.0.0.0/24 dev eth0", "127.0.0.0/8 dev lo"]
    with pytest.raises(NetworkUnreachable):
        routes.remove("10.0.0.0/24")
    with pytest.raises(NetworkUnreachable):
        routes.remove("0.0.0.0/0", via="10.0.0.1")
    with pytest.raises(NetworkUnreachable):
        routes.remove("0.0.0.0/0", interface=bench.network.loopback_interface)
    routes.remove("0.0.0.0/0", via="10.0.0.254")
    assert routes.lookup(p("8.8.8.8")) is None


def test_listing_shows_gateway_and_metric(bench: Bench) -> None:
    bench.network.routes.add("2001:db8:5::/48", via="2001:db8::9", metric=7)
    listed = [str(route) for route in bench.network.routes]
    assert "2001:db8:5::/48 via 2001:db8::9 dev eth0 metric 7" in listed
    assert len(bench.network.routes) == len(listed) == 8


@given(
    st.lists(st.tuples(st.binary(min_size=4, max_size=4), st.integers(0, 32)), max_size=30),
    st.lists(st.binary(min_size=4, max_size=4), min_size=1, max_size=10),
)
def test_lookup_agrees_with_a_linear_search(prefixes: list[tuple[bytes, int]], wanted: list[bytes]) -> None:
    network = Network(b"s")
    tun = network.add_interface("tun", layer=3)
    table = {(network_of(address, length), length) for address, length in prefixes} - {(p("127.0.0.0"), 8)}
    for prefix, length in sorted(table):
        network.routes.add(f"{unpack_address(prefix)}/{length}", interface=tun)
    table.add((p("127.0.0.0"), 8))
    for address in [*wanted, *(prefix for prefix, _ in table)]:
        best = max((length for prefix, length in table if in_prefix(address, prefix, length)), default=-1)
        found = network.routes.lookup(address)
        assert (found.length if found else -1) == best
