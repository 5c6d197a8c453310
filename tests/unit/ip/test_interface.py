from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from uinet.errors import AddressError, AddressNotAvailable, InvalidArgument
from uinet.ip.interface import InterfaceAddress
from uinet.ip.network import Network
from uinet.wire.addresses import pack_address
from uinet.wire.frame import Frame

if TYPE_CHECKING:
    from tests.unit.ip.conftest import Bench


def test_interface_first_ipv6_address_brings_the_link_local_one() -> None:
    eth0 = Network(b"s").add_interface("eth0", mac="02:00:5e:10:00:01")
    eth0.add_address("2001:db8::1/64")
    eth0.add_address("2001:db8::2/64")
    link_local = pack_address("fe80::5eff:fe10:1")
    assert [entry.address for entry in eth0.addresses] == [
        link_local, pack_address("2001:db8::1"), pack_address("2001:db8::2"),
    ]
    assert eth0.addresses[0].prefix_length == 64


def test_interface_layer_3_gets_no_link_local_address() -> None:
    tun = Network(b"s").add_interface("tun", layer=3)
    tun.add_address("2001:db8::1/64")
    assert tun.addresses == [InterfaceAddress(pack_address("2001:db8::1"), 64)]
    assert tun.mac == b""


def test_interface_without_mac_gets_a_local_unicast_one_from_the_seed() -> None:
    macs = [Network(seed).add_interface("eth0").mac for seed in (b"1", b"1", b"2")]
    assert macs[0] == macs[1] != macs[2]
    assert macs[0][0] == 0x02 and len(macs[0]) == 6


@pytest.mark.parametrize("prefix", ["0.0.0.0/0", "224.0.0.1/4", "255.255.255.255/32", "ff02::1/16", "::/0"])
def test_interface_add_address_that_is_no_unicast_address_is_refused(prefix: str) -> None:
    eth0 = Network(b"s").add_interface("eth0")
    with pytest.raises(AddressError):
        eth0.add_address(prefix)
    assert eth0.addresses == []


def test_interface_same_address_twice_is_refused(bench: Bench) -> None:
    with pytest.raises(AddressError):
        bench.eth0.add_address("10.0.0.2/8")


def test_interface_remove_address_takes_route_group_and_broadcast_with_it(bench: Bench) -> None:
    network, eth0 = bench.network, bench.eth0
    eth0.add_address("10.0.0.3/24")
    before = network.generation
    eth0.remove_address("10.0.0.2")
    assert network.generation > before
    assert not network.is_local(pack_address("10.0.0.2")) and not eth0.owns(pack_address("10.0.0.2"))
    assert network.is_broadcast(pack_address("10.0.0.255"), eth0)  # 10.0.0.3 still has it
    assert network.routes.lookup(pack_address("10.0.0.9")).connected
    eth0.remove_address("10.0.0.3/24")
    assert not network.is_broadcast(pack_address("10.0.0.255"), eth0)
    assert network.routes.lookup(pack_address("10.0.0.9")).via == pack_address("10.0.0.254")
    with pytest.raises(AddressNotAvailable):
        eth0.remove_address("10.0.0.3")


def test_interface_solicited_node_group_lasts_as_long_as_an_address_needs_it(bench: Bench) -> None:
    eth0 = bench.eth0
    group = pack_address("ff02::1:ff00:77")
    eth0.add_address("2001:db8::77/64")
    eth0.add_address("2001:db8:1::77/64")
    eth0.remove_address("2001:db8::77")
    assert eth0.in_group(group)
    eth0.remove_address("2001:db8:1::77")
    assert not eth0.in_group(group)


def test_interface_promiscuous_has_no_addresses() -> None:
    wire = Network(b"s").add_interface("wire", cdom=3)
    assert wire.promiscuous
    with pytest.raises(InvalidArgument):
        wire.add_address("10.0.0.1/24")


def test_interface_leave_without_join_is_an_error(bench: Bench) -> None:
    group = pack_address("224.0.0.251")
    bench.eth0.join(group)
    bench.eth0.join(group)
    bench.eth0.leave(group)
    assert bench.eth0.in_group(group)
    bench.eth0.leave(group)
    assert not bench.eth0.in_group(group)
    with pytest.raises(AddressNotAvailable):
        bench.eth0.leave(group)


@pytest.mark.parametrize(
    ("prefix", "broadcast"),
    [("10.1.2.3/24", "10.1.2.255"), ("10.1.2.3/30", "10.1.2.3"), ("10.1.2.3/31", None), ("10.1.2.3/32", None)],
)
def test_interface_address_broadcast_of_prefix(prefix: str, broadcast: str | None) -> None:
    address, _, length = prefix.partition("/")
    entry = InterfaceAddress(pack_address(address), int(length))
    assert entry.broadcast == (pack_address(broadcast) if broadcast else None)


def test_interface_transmit_beyond_the_limit_drops_and_counts(bench: Bench) -> None:
    eth0 = bench.eth0
    eth0.output_limit = 2
    for _ in range(5):
        eth0.transmit(Frame(b"12345"))
    assert len(eth0.output) == 2 and eth0.tx_frames == 2 and eth0.tx_bytes == 10 and eth0.tx_dropped == 3
    assert bench.stats["link_output_full"] == 3


def test_interface_take_output_hands_over_and_counts_once(bench: Bench) -> None:
    eth0 = bench.eth0
    eth0.transmit(Frame(b"12345"))
    frames = eth0.take_output()
    assert [frame.data for frame in frames] == [b"12345"]
    assert eth0.take_output() == []
    assert bench.stats["link_tx_frames"] == 1 and bench.stats["link_tx_bytes"] == 5


def test_interface_down_transmits_nothing(bench: Bench) -> None:
    bench.eth0.up = False
    bench.eth0.transmit(Frame(b"12345"))
    assert bench.eth0.take_output() == [] and bench.stats["link_down"] == 1
    assert bench.network.routes.lookup(pack_address("10.0.0.1")) is None


def test_interface_statistics_tell_what_passed(bench: Bench) -> None:
    bench.eth0.transmit(Frame(b"12345"))
    assert bench.eth0.statistics() == {
        "rx_frames": 0, "rx_bytes": 0, "tx_frames": 1, "tx_bytes": 5, "tx_dropped": 0, "output": 1,
    }


def test_output_that_was_taken_is_the_callers_even_where_it_was_empty() -> None:
    eth0 = Network(b"s").add_interface("eth0")
    taken = eth0.take_output()
    eth0.transmit(Frame(bytes(60)))
    assert taken == []
    assert len(eth0.take_output()) == 1
