"""Addresses of advertised prefixes: RFC 4862 section 5.5, temporary ones of RFC 8981."""

from __future__ import annotations

import pytest

from tests.unit.ip.links import PREFIX, Lan, p
from uinet.ip import iid, notice
from uinet.ip.interface import InterfaceAddress
from uinet.units import SECOND
from uinet.wire import nd
from uinet.wire.build import nd_message

HOUR = 3600
OUTSIDE = p("2001:db8:99::1")


@pytest.fixture
def lan() -> Lan:
    return Lan().up()


def only(lan: Lan) -> InterfaceAddress:
    (address,) = lan.global_addresses()
    return lan.eth0.owned[address]


def left(lan: Lan, until: int) -> int:
    """Seconds, rounded."""
    return round((until - lan.network.now) / SECOND)


@pytest.mark.rfc("4862", "5.5.3", "(d) a prefix with the A flag and lifetimes makes an address, which is tested")
def test_prefix_makes_an_address_that_is_tested_first(lan: Lan) -> None:
    lan.prefix(valid=1000, preferred=500)
    (address,) = lan.eth0.tentative
    assert address.startswith(p(PREFIX)[:8]) and not lan.network.is_local(address)
    lan.advance(2.5)
    entry = only(lan)
    assert entry.address == address and lan.kinds[-1] == notice.ADDRESS_ADDED
    assert abs(left(lan, entry.valid_until) - 997) <= 1 and abs(left(lan, entry.preferred_until) - 497) <= 1
    assert lan.network.route(OUTSIDE).source == address


@pytest.mark.rfc(
    "4862", "5.5.3",
    "(a) (c) (d) prefixes that make no address: A clear, preferred > valid, valid 0, length not 64",
)
@pytest.mark.parametrize(
    "fields",
    [
        {"flags": 0x80}, {"valid": 100, "preferred": 101}, {"valid": 0, "preferred": 0}, {"length": 48},
        {"length": 65}, {"length": 128},
    ],
)
def test_prefixes_that_make_no_address(lan: Lan, fields: dict[str, int]) -> None:
    lan.prefix(**fields)  # type: ignore[arg-type]
    lan.advance(4)
    assert lan.global_addresses() == [] and lan.eth0.tentative == {}


@pytest.mark.rfc("4862", "5.5.3", "(e) 1: a valid lifetime of more than two hours, or more than what is left, is taken")
@pytest.mark.rfc("4862", "5.5.3", "(e) 2: with two hours or less left a shorter one is ignored")
@pytest.mark.rfc("4862", "5.5.3", "(e) 3: otherwise it becomes two hours")
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (10 * HOUR, 5 * HOUR, 5 * HOUR),
        (10 * HOUR, 20 * HOUR, 20 * HOUR),
        (10 * HOUR, 60, 2 * HOUR),
        (10 * HOUR, 0, 2 * HOUR),
        (HOUR, 60, HOUR),
        (HOUR, 0, HOUR),
        (HOUR, HOUR + 600, HOUR + 600),
        (10 * HOUR, 0xFFFFFFFF, None),
        (0xFFFFFFFF, 60, 2 * HOUR),
        (0xFFFFFFFF, 10 * HOUR, 10 * HOUR),
    ],
)
def test_two_hour_rule(lan: Lan, first: int, second: int, expected: int | None) -> None:
    lan.prefix(valid=first, preferred=min(first, 600))
    lan.advance(3)
    lan.prefix(valid=second, preferred=min(second, 600))
    entry = only(lan)
    if expected is None:
        assert entry.valid_until == 0
    else:
        assert abs(left(lan, entry.valid_until) - expected) <= 3


@pytest.mark.rfc("4862", "5.5.4", "a deprecated address is not used for new communication if another one will do")
@pytest.mark.rfc("6724", "5", "rule 3: deprecated addresses are avoided")
def test_deprecated_address_is_used_for_nothing_new(lan: Lan) -> None:
    lan.prefix(valid=10 * HOUR, preferred=60)
    lan.prefix("2001:db8:2::", valid=10 * HOUR, preferred=HOUR)
    lan.advance(3)
    first, second = sorted(lan.global_addresses())
    near = p("2001:db8:1:0:8000::1")  # the first would be chosen for its prefix
    assert lan.network.route(near).source == first
    lan.advance(60)
    assert lan.eth0.owned[first].deprecated and notice.ADDRESS_DEPRECATED in lan.kinds
    assert lan.network.route(near).source == second
    assert lan.network.route(near, first).source == first and lan.network.is_local(first)
    lan.prefix(valid=10 * HOUR, preferred=60)
    assert not lan.eth0.owned[first].deprecated and lan.network.route(near).source == first
    lan.prefix(valid=10 * HOUR, preferred=0)
    assert lan.eth0.owned[first].deprecated and lan.network.route(near).source == second


@pytest.mark.rfc("4862", "5.5.4", "MUST NOT use an address whose valid lifetime is over")
def test_address_is_removed_when_its_time_is_over(lan: Lan) -> None:
    lan.prefix(valid=100, preferred=60)
    lan.advance(3)
    address = only(lan).address
    lan.advance(90)
    assert lan.network.is_local(address)
    lan.advance(10)
    assert not lan.network.is_local(address) and lan.kinds[-1] == notice.ADDRESS_REMOVED
    assert nd.solicited_node(address) not in lan.eth0.groups


def test_infinite_lifetimes_never_end(lan: Lan) -> None:
    lan.prefix(valid=0xFFFFFFFF, preferred=0xFFFFFFFF)
    lan.advance(3)
    entry = only(lan)
    assert (entry.valid_until, entry.preferred_until) == (0, 0)


@pytest.mark.rfc("7217", "5", "another prefix has an unrelated identifier")
def test_identifiers_differ_by_prefix(lan: Lan) -> None:
    lan.prefix()
    lan.prefix("2001:db8:2::")
    lan.advance(3)
    first, second = lan.global_addresses()
    assert first[8:] != second[8:] and first[8:] != (lan.eth0.link_local() or b"")[8:]


@pytest.mark.rfc("7217", "6", "a duplicate gives another identifier")
def test_duplicate_is_replaced_and_after_four_given_up(lan: Lan) -> None:
    lan.prefix()
    tried = []
    while lan.eth0.tentative:
        (address,) = lan.eth0.tentative
        tried.append(address)
        lan.receive(nd_message(address, "ff02::1", nd.NeighborAdvertisement(address, nd.FLAG_OVERRIDE)))
    assert len(set(tried)) == 4 and all(address.startswith(p(PREFIX)[:8]) for address in tried)
    lan.prefix()
    assert lan.eth0.tentative == {} and lan.stats["dad_duplicate"] == 4


def test_address_that_was_configured_by_hand_is_not_made_again() -> None:
    lan = Lan()
    lan.network.settings.interface_identifier = "eui64"
    lan.up()
    lan.eth0.add_address("2001:db8:1::ff:fe00:2/64")
    lan.prefix()
    lan.advance(3)
    assert lan.global_addresses() == [p("2001:db8:1::ff:fe00:2")]
    assert lan.eth0.owned[p("2001:db8:1::ff:fe00:2")].valid_until == 0


@pytest.mark.rfc("5453", "3", "reserved identifiers are not made")
@pytest.mark.parametrize(
    ("identifier", "reserved"),
    [
        ("0000000000000000", True), ("02005efffe000001", True), ("fdffffffffffff80", True),
        ("fdffffffffffffff", True), ("fdffffffffffff7f", False), ("0000000000000001", False),
    ],
)
def test_reserved_identifiers(identifier: str, reserved: bool) -> None:
    assert iid.is_reserved(bytes.fromhex(identifier)) == reserved


# temporary addresses


@pytest.fixture
def private() -> Lan:
    lan = Lan()
    lan.network.settings.temporary_addresses = True
    return lan.up()


def temporary(lan: Lan) -> list[InterfaceAddress]:
    return [entry for entry in lan.eth0.addresses if entry.temporary]


@pytest.mark.rfc("8981", "3.4", "each prefix gets a temporary address beside the public one")
@pytest.mark.rfc("6724", "5", "rule 7: temporary addresses are preferred where they are asked for")
def test_temporary_address_is_made_and_preferred(private: Lan) -> None:
    private.prefix(valid=7 * 24 * HOUR, preferred=3 * 24 * HOUR)
    private.advance(3)
    (entry,) = temporary(private)
    assert len(private.global_addresses()) == 2 and entry.address.startswith(p(PREFIX)[:8])
    assert private.network.route(OUTSIDE).source == entry.address
    assert 0.55 * 24 * HOUR <= left(private, entry.preferred_until) <= 24 * HOUR
    assert left(private, entry.valid_until) <= 48 * HOUR


@pytest.mark.rfc("8981", "3.4", "its lifetimes are never longer than the prefix's")
def test_temporary_address_does_not_outlive_its_prefix(private: Lan) -> None:
    private.prefix(valid=2 * HOUR + 600, preferred=HOUR)
    private.advance(3)
    (entry,) = temporary(private)
    assert left(private, entry.preferred_until) <= HOUR and left(private, entry.valid_until) <= 2 * HOUR + 600
    private.prefix(valid=2 * HOUR, preferred=600)
    assert left(private, entry.preferred_until) <= 600


@pytest.mark.rfc("8981", "3.6", "a successor is made before the preferred lifetime is over")
def test_temporary_address_has_a_successor_in_time(private: Lan) -> None:
    private.network.settings.temporary_preferred = 100 * SECOND
    private.network.settings.temporary_valid = 300 * SECOND
    private.prefix(valid=7 * 24 * HOUR, preferred=3 * 24 * HOUR)
    private.advance(3)
    (first,) = temporary(private)
    while not first.deprecated:
        assert private.network.route(OUTSIDE).source == temporary(private)[0].address
        private.advance(1)
    assert len(temporary(private)) == 2
    assert private.network.route(OUTSIDE).source == temporary(private)[1].address
    private.advance(1000)
    assert 1 <= len(temporary(private)) <= 6 and first.address not in private.eth0.owned


@pytest.mark.rfc("8981", "3.4", "(5) none is made that would be deprecated at once")
def test_no_temporary_address_for_a_prefix_that_is_about_to_be_deprecated(private: Lan) -> None:
    private.prefix(valid=HOUR, preferred=3)
    private.advance(3)
    assert temporary(private) == [] and len(private.global_addresses()) == 1


def test_temporary_duplicate_is_replaced(private: Lan) -> None:
    private.prefix(valid=7 * 24 * HOUR, preferred=3 * 24 * HOUR)
    first = next(address for address, test in private.eth0.tentative.items() if test.entry.temporary)
    private.receive(nd_message(first, "ff02::1", nd.NeighborAdvertisement(first, nd.FLAG_OVERRIDE)))
    private.advance(3)
    (entry,) = temporary(private)
    assert entry.address != first
