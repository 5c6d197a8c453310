"""Source address selection: RFC 6724 section 5, rule by rule."""

from __future__ import annotations

import pytest

from tests.unit.ip.links import Lan, p
from uinet.ip.source import label


def chosen(destination: str, *addresses: str, gateway: str = "fe80::1") -> str:
    lan = Lan()
    for address in sorted(addresses, key=lambda address: not address.startswith("fe80")):
        lan.eth0.add_address(address)
    lan.network.routes.add("::/0", via=gateway, interface=lan.eth0)
    source = lan.network.route(p(destination)).source
    return next(address for address in addresses if p(address.partition("/")[0]) == source)


@pytest.mark.rfc("6724", "5", "rules 1, 2, 6 and 8")
@pytest.mark.parametrize(
    ("destination", "addresses", "expected"),
    [  # the examples of RFC 6724, section 10.1, as far as they are about global and local unicast
        ("2001:db8:1::1", ["2001:db8:3::1/64", "fe80::a/64"], "2001:db8:3::1/64"),
        ("ff05::1", ["2001:db8:3::1/64", "fe80::a/64"], "2001:db8:3::1/64"),
        ("fe80::99", ["2001:db8:2::1/64", "fe80::a/64"], "fe80::a/64"),
        ("2001:db8:1::d5e3", ["2001:db8:1::2/64", "2001:db8:3::2/64"], "2001:db8:1::2/64"),
        ("2002:c633:6401::d5e3", ["2002:c633:6401::1/64", "2001:db8:1::2/64"], "2002:c633:6401::1/64"),
        ("2001:db8:1::d5e3", ["2002:c633:6401::1/64", "2001:db8:1:2::2/64"], "2001:db8:1:2::2/64"),
        ("fd00:9::1", ["2001:db8:1::2/64", "fd00:1::2/64"], "fd00:1::2/64"),
        ("fec0::99", ["2001:db8:1::2/64", "fec0:0:0:1::2/64"], "fec0:0:0:1::2/64"),
        ("ff02::5", ["2001:db8:1::2/64", "fe80::a/64"], "fe80::a/64"),
    ],
)
def test_rfc_6724_examples(destination: str, addresses: list[str], expected: str) -> None:
    assert chosen(destination, *addresses) == expected
    assert chosen(destination, *reversed(addresses)) == expected


@pytest.mark.rfc("6724", "5", "rule 5: addresses of the outgoing interface come first")
def test_outgoing_interface_comes_first() -> None:
    lan = Lan()
    lan.eth0.add_address("2001:db8:7::1/64")
    other = lan.network.add_interface("eth1")
    other.add_address("2001:db8:9::1/64")
    lan.network.routes.add("2001:db8:9:9::/64", via="fe80::1", interface=lan.eth0)
    assert lan.network.route(p("2001:db8:9:9::5")).source == p("2001:db8:7::1")


@pytest.mark.rfc("6724", "5", "rule 5.5: a prefix that the next hop has advertised comes first")
def test_prefix_of_the_next_hop_comes_first() -> None:
    lan = Lan().up()
    lan.prefix("2001:db8:1::", source="fe80::1")
    lan.prefix("2001:db8:2::", source="fe80::2", router_lifetime=0)
    lan.advance(3)
    assert lan.network.route(p("2001:db8:2:5::1")).source.startswith(p("2001:db8:1::")[:8])


@pytest.mark.rfc("6724", "2.1", "the default policy table")
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("::1", 0), ("2001:db8::1", 1), ("2002::1", 2), ("2001:0:1::", 5), ("fd00::1", 13), ("fec0::1", 11),
        ("3ffe::1", 12),
    ],
)
def test_labels(address: str, expected: int) -> None:
    assert label(p(address)) == expected
