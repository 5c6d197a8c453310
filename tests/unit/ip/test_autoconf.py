"""IPv6 autoconfiguration of an interface: link-local address, router solicitations, router advertisements."""

from __future__ import annotations

import itertools

import pytest

from tests.unit.ip.links import OURS, PREFIX, ROUTER, ROUTER2, ROUTER_MAC, Lan, p
from uinet.errors import InvalidArgument
from uinet.ip import notice
from uinet.ip.address import link_local_of
from uinet.units import MILLISECOND, SECOND
from uinet.wire import nd
from uinet.wire.addresses import Mac
from uinet.wire.build import icmp_message, nd_message

MAC2 = Mac("02:00:00:00:00:03")


@pytest.fixture
def lan() -> Lan:
    return Lan().up()


def defaults(lan: Lan) -> list[bytes]:
    """The gateways of default routes, the best first."""
    return [route.via for route in lan.network.routes if route.length == 0 and route.via is not None]


# the link-local address and solicitations


@pytest.mark.rfc("4862", "5.3", "a link-local address is formed when an interface is enabled, and tested")
@pytest.mark.rfc(
    "4861", "6.3.7",
    "SHOULD send up to MAX_RTR_SOLICITATIONS to all routers, RTR_SOLICITATION_INTERVAL apart",
)
@pytest.mark.rfc("4861", "4.1", "a solicitation has hop limit 255 and, from an address, the source link-layer option")
def test_starts_with_a_link_local_address_and_then_solicits() -> None:
    lan = Lan()
    lan.eth0.autoconfigure()
    assert len(lan.eth0.tentative) == 1 and lan.eth0.addresses == []
    lan.advance(1.0)
    frames = lan.sent()
    assert len(lan.solicitations(frames)) == 1 and lan.router_solicitations(frames) == []
    lan.advance(1.5)
    own = lan.eth0.link_local()
    (solicitation,) = lan.router_solicitations()
    assert own is not None and (solicitation.source, solicitation.destination) == (own, p("ff02::2"))
    assert solicitation.ipv6.hop_limit == 255 and solicitation.checksums_ok
    assert nd.link_layer(solicitation.nd.options, nd.SOURCE_LINK_LAYER) == Mac(OURS)


@pytest.mark.rfc("7559", "2.1", "without an answer solicitations go on, at intervals that double up to an hour")
def test_solicitations_back_off_and_never_stop_without_an_answer() -> None:
    lan = Lan()
    lan.eth0.autoconfigure()
    times = []
    while len(times) < 6:
        lan.advance(0.2)
        times += [lan.network.now] * len(lan.router_solicitations())
    gaps = [(b - a) / SECOND for a, b in itertools.pairwise(times)]
    assert 3.4 <= gaps[0] <= 4.6 and all(1.7 <= b / a <= 2.3 for a, b in itertools.pairwise(gaps))


@pytest.mark.rfc("4861", "6.3.7", "a router advertisement ends the solicitations")
def test_advertisement_ends_the_solicitations() -> None:
    lan = Lan().up()
    lan.advertise()
    lan.sent()
    lan.advance(100)
    assert lan.router_solicitations() == []


def test_link_local_address_that_is_there_is_used() -> None:
    lan = Lan()
    lan.eth0.add_address("2001:db8::2/64")
    lan.eth0.autoconfigure()
    lan.advance(1.2)
    (solicitation,) = lan.router_solicitations()
    assert solicitation.source == link_local_of(Mac(OURS)) and lan.eth0.autoconfigure() is lan.eth0.autoconf


@pytest.mark.rfc("7217", "5", "the identifier is a function of prefix, interface, DAD counter and secret")
def test_stable_identifiers_depend_on_the_secret_and_on_nothing_that_changes() -> None:
    own = Lan(b"one").up().eth0.link_local()
    again = Lan(b"one").up().eth0.link_local()
    other = Lan(b"two").up().eth0.link_local()
    assert own == again and own != other and own != link_local_of(Mac(OURS))
    lan = Lan(b"three")
    lan.network.settings.stable_secret = b"secret"
    same = Lan(b"four")
    same.network.settings.stable_secret = b"secret"
    assert lan.up().eth0.link_local() == same.up().eth0.link_local()


@pytest.mark.rfc("4291", "2.5.1", "modified EUI-64 identifiers, where they are chosen")
def test_eui64_is_a_choice() -> None:
    lan = Lan()
    lan.network.settings.interface_identifier = "eui64"
    lan.up()
    assert lan.eth0.link_local() == link_local_of(Mac(OURS))
    lan.prefix()
    lan.advance(3)
    assert lan.global_addresses() == [p("2001:db8:1::ff:fe00:2")]


@pytest.mark.rfc("7217", "6", "a duplicate is answered with another identifier, up to IDGEN_RETRIES times")
def test_duplicate_link_local_address_is_replaced_and_after_four_given_up() -> None:
    lan = Lan()
    autoconf = lan.eth0.autoconfigure()
    tried = []
    while lan.eth0.tentative:
        (address,) = lan.eth0.tentative
        tried.append(address)
        lan.receive(nd_message(address, "ff02::1", nd.NeighborAdvertisement(address, nd.FLAG_OVERRIDE)))
    assert len(set(tried)) == 4 and autoconf.failed
    assert lan.kinds == [notice.ADDRESS_DUPLICATE] * 4 + [notice.AUTOCONF_FAILED]
    lan.advance(10)
    assert lan.router_solicitations() == []


@pytest.mark.rfc("4862", "5.4.5", "IPv6 is not operated where the address made of the MAC is a duplicate")
def test_duplicate_eui64_link_local_address_ends_autoconfiguration() -> None:
    lan = Lan()
    lan.network.settings.interface_identifier = "eui64"
    autoconf = lan.eth0.autoconfigure()
    own = link_local_of(Mac(OURS))
    lan.receive(nd_message(own, "ff02::1", nd.NeighborAdvertisement(own, nd.FLAG_OVERRIDE)))
    lan.advance(10)
    assert autoconf.failed and lan.eth0.addresses == [] and lan.router_solicitations() == []


def test_promiscuous_and_layer_3_interfaces_refuse() -> None:
    lan = Lan()
    for interface in (lan.network.add_interface("wire", cdom=1), lan.network.add_interface("tun", layer=3)):
        with pytest.raises(InvalidArgument, match="ordinary Ethernet"):
            interface.autoconfigure()


# router advertisements


@pytest.mark.rfc("4861", "6.3.4", "a router with a lifetime is a default router until that is over; 0 takes it away")
def test_default_router_comes_is_refreshed_and_goes(lan: Lan) -> None:
    lan.advertise(router_lifetime=60)
    assert defaults(lan) == [p(ROUTER)] and notice.ROUTER_ADDED in lan.kinds
    lan.advance(50)
    lan.advertise(router_lifetime=60)
    lan.advance(50)
    assert defaults(lan) == [p(ROUTER)]
    lan.advance(11)
    assert defaults(lan) == [] and lan.kinds[-1] == notice.ROUTER_REMOVED
    lan.advertise(router_lifetime=60)
    lan.advertise(router_lifetime=0)
    assert defaults(lan) == []


@pytest.mark.rfc(
    "4191", "3.2",
    "routers of a higher preference come first; the reserved value is medium; lifetime 0 has none",
)
def test_preferred_routers_come_first(lan: Lan) -> None:
    lan.advertise(source=ROUTER)
    lan.advertise(source=ROUTER2, mac=MAC2, flags=nd.preference_flags(nd.LOW))
    lan.advertise(source="fe80::3", flags=nd.preference_flags(nd.HIGH))
    lan.advertise(source="fe80::4", flags=nd.preference_flags(nd.RESERVED_PREFERENCE))
    assert defaults(lan) == [p("fe80::3"), p(ROUTER), p("fe80::4"), p(ROUTER2)]
    lan.advertise(source=ROUTER2, mac=MAC2, flags=nd.preference_flags(nd.HIGH))
    assert defaults(lan)[:2] == [p("fe80::3"), p(ROUTER2)] and len(defaults(lan)) == 4


@pytest.mark.rfc("4861", "6.3.4", "hop limit, reachable time and retransmission timer are taken; 0 is unspecified")
def test_parameters_are_taken_within_bounds(lan: Lan) -> None:
    lan.advertise(cur_hop_limit=60, reachable_time=10_000, retrans_timer=2_000)
    assert lan.eth0.hop_limit == 60 and lan.eth0.retrans_time == 2 * SECOND
    assert lan.eth0.base_reachable_time == 10 * SECOND
    lan.advertise()
    assert lan.eth0.hop_limit == 60 and lan.eth0.retrans_time == 2 * SECOND
    assert lan.eth0.base_reachable_time == 10 * SECOND
    lan.advertise(cur_hop_limit=3, reachable_time=3_600_001, retrans_timer=1)
    assert lan.eth0.hop_limit == 60 and lan.eth0.base_reachable_time == 10 * SECOND
    assert lan.eth0.retrans_time == 100 * MILLISECOND and lan.stats["nd_ra_refused"] == 1
    lan.advertise(retrans_timer=0xFFFFFFFF)
    assert lan.eth0.retrans_time == 60 * SECOND


@pytest.mark.rfc("4861", "6.3.4", "the hop limit is that of packets sent from then on")
def test_hop_limit_is_what_packets_carry(lan: Lan) -> None:
    lan.prefix(cur_hop_limit=99)
    lan.advance(3)
    lan.sent()
    lan.network.send_ip(None, p("2001:db8:99::1"), 99, b"x")
    assert [frame.ipv6.hop_limit for frame in lan.sent() if frame.ipv6.next_header == 99] == [99]


@pytest.mark.rfc("4861", "6.3.4", "an MTU option is taken from 1280 to the link's own; others are ignored")
def test_mtu_option_lowers_what_is_sent_by_ipv6(lan: Lan) -> None:
    lan.prefix()
    lan.advance(3)
    lan.eth0.add_address("10.0.0.2/24")
    destination = p("2001:db8:99::1")
    for said, taken in ((1400, 1400), (1279, 1400), (1501, 1400), (1280, 1280), (1500, 1500)):
        lan.advertise(nd.mtu_option(said))
        assert lan.network.route(destination).mtu == taken
    assert lan.stats["nd_ra_refused"] == 2
    lan.advertise(nd.mtu_option(1300))
    assert lan.network.route(p("10.0.0.9")).mtu == 1500


@pytest.mark.rfc("4861", "6.3.4", "a source link-layer address makes a neighbour, stale, that is a router")
def test_routers_mac_is_known_from_its_advertisement(lan: Lan) -> None:
    lan.prefix()
    lan.advance(3)
    lan.sent()
    lan.network.send_ip(None, p("2001:db8:99::1"), 99, b"x")
    (frame,) = lan.sent()
    assert frame.ethernet.destination == ROUTER_MAC and frame.ipv6.next_header == 99


@pytest.mark.rfc("4861", "7.2.5", "a neighbour that no longer says that it is a router is no default router any more")
def test_router_that_becomes_a_host_is_no_gateway(lan: Lan) -> None:
    lan.advertise()
    lan.answer_for(ROUTER, router=True)
    assert defaults(lan) == [p(ROUTER)]
    lan.answer_for(ROUTER, router=False)
    assert defaults(lan) == []


@pytest.mark.rfc(
    "4861", "6.3.4",
    "a prefix with the L flag is on the link while its lifetime lasts; without it nothing is said",
)
def test_on_link_prefix_makes_and_ends_a_route(lan: Lan) -> None:
    address = p("2001:db8:1::99")
    lan.prefix(flags=0x40)
    assert not lan.eth0.on_link(address)
    lan.prefix(flags=0x80, valid=100, preferred=100)
    assert lan.eth0.on_link(address)
    entry = lan.network.routes.lookup(address)
    assert entry is not None and entry.via is None
    lan.prefix(flags=0x40)  # clear: no statement
    lan.advance(90)
    assert lan.eth0.on_link(address)
    lan.advance(20)
    entry = lan.network.routes.lookup(address)
    assert not lan.eth0.on_link(address) and entry is not None and entry.via == p(ROUTER)
    lan.prefix(flags=0x80)
    lan.prefix(flags=0x80, valid=0, preferred=0)
    assert not lan.eth0.on_link(address)


@pytest.mark.rfc("5942", "4", "an address does not make its prefix on-link")
@pytest.mark.rfc("4861", "5.2", "what is not on-link goes to a router")
def test_autoconfigured_address_alone_makes_no_neighbours(lan: Lan) -> None:
    lan.prefix(flags=0x40)
    lan.advance(3)
    assert len(lan.global_addresses()) == 1
    route = lan.network.route(p("2001:db8:1::99"))
    assert route.next_hop.address == p(ROUTER)


@pytest.mark.rfc("4861", "6.3.4", "the link-local prefix is ignored in prefix options")
@pytest.mark.parametrize("prefix", ["fe80::", "ff02::"])
def test_link_local_and_multicast_prefixes_are_ignored(lan: Lan, prefix: str) -> None:
    lan.prefix(prefix, valid=0, preferred=0)
    lan.prefix(prefix, valid=100, preferred=100)
    lan.advance(3)
    assert lan.global_addresses() == [] and lan.eth0.on_link(p("fe80::77"))
    assert len(lan.eth0.addresses) == 1


@pytest.mark.rfc("4191", "3.1", "routes to prefixes (type C host): longest first, by preference, until they are over")
def test_route_information_makes_routes(lan: Lan) -> None:
    lan.advertise(source=ROUTER)
    info = nd.RouteInformation(p("2001:db8:7::"), 48, nd.MEDIUM, 100)
    lan.advertise(info.option(), source=ROUTER2, mac=MAC2, router_lifetime=0)
    inside = p("2001:db8:7::1")

    def via() -> bytes | None:
        entry = lan.network.routes.lookup(inside)
        return entry.via if entry is not None else None

    assert via() == p(ROUTER2) and defaults(lan) == [p(ROUTER)]
    lan.advance(101)
    assert via() == p(ROUTER)
    lan.advertise(info.option(), source=ROUTER2, mac=MAC2, router_lifetime=0)
    gone = nd.RouteInformation(p("2001:db8:7::"), 48, nd.MEDIUM, 0)
    lan.advertise(gone.option(), source=ROUTER2, mac=MAC2, router_lifetime=0)
    assert via() == p(ROUTER)


@pytest.mark.rfc("8106", "5.3.1", "name servers and search lists are known for their lifetime")
def test_name_servers_and_domains_are_offered(lan: Lan) -> None:
    servers = [p("2001:db8::53"), p("2001:db8::54")]
    lan.advertise(
        nd.recursive_dns_server_option(servers, 100), nd.dns_search_list_option(["example.org", "a.example"], 50)
    )
    known = lan.network.name_servers
    assert known.servers() == servers and known.domains() == ["example.org", "a.example"]
    lan.advance(60)
    assert known.servers() == servers and known.domains() == []
    lan.advertise(nd.recursive_dns_server_option(servers[:1], 0))
    assert known.servers() == servers[1:]


NAMES = p("2001:db8::53")


@pytest.mark.rfc("8106", "5.3.1", "malformed RDNSS and DNSSL options are ignored")
@pytest.mark.parametrize(
    "option",
    [
        nd.Option(nd.RDNSS, bytes(2) + b"\0\0\1\0" + NAMES[:8]),  # of an even length: half an address
        nd.Option(nd.RDNSS, bytes(6)),  # none at all
        nd.Option(nd.DNSSL, bytes(2) + b"\0\0\1\0" + b"\x3fabcdefg"),  # a label that runs out
        nd.Option(nd.DNSSL, bytes(2) + b"\0\0\1\0" + b"\xc0\x00abcdef"),  # a pointer
        nd.Option(nd.DNSSL, bytes(2) + b"\0\0\1\0" + b"\x01\xff\0" + bytes(5)),
        nd.Option(nd.DNSSL, bytes(2) + b"\0\0\1\0" + b"\0" + b"\1a\0" + bytes(4)),
        nd.Option(nd.DNSSL, bytes(2) + b"\0\0\1\0" + b"\3abc\3abc"),
    ],
)
@pytest.mark.threat(83)
def test_threat_83_malformed_name_options_are_ignored_and_the_rest_is_taken(lan: Lan, option: nd.Option) -> None:
    lan.advertise(option)
    assert lan.network.name_servers.servers() == [] and lan.network.name_servers.domains() == []
    assert defaults(lan) == [p(ROUTER)]


def test_dns_names_longer_than_a_name_may_be_are_ignored(lan: Lan) -> None:
    lan.advertise(nd.dns_search_list_option([".".join(["a" * 63] * 5)], 100))
    assert lan.network.name_servers.domains() == []


@pytest.mark.rfc("4861", "6.1.2", "an advertisement that is not valid MUST be silently discarded")
@pytest.mark.parametrize(
    ("source", "ttl", "tail"),
    [
        ("2001:db8::1", 255, b""),  # not link-local
        (ROUTER, 254, b""),
        (ROUTER, 255, b"\x01\x00" + bytes(6)),  # an option of length 0
        (ROUTER, 255, b"\x01\x02" + bytes(6)),  # an option that runs out
    ],
)
def test_invalid_advertisement_is_dropped(lan: Lan, source: str, ttl: int, tail: bytes) -> None:
    body = bytes(8) + tail
    lan.receive(icmp_message(source, "ff02::1", 134, 0, 64 << 24 | 1800, body, ttl=ttl))
    assert defaults(lan) == [] and lan.stats["nd_malformed"] == 1


@pytest.mark.rfc("4861", "6.1.2", "unknown options MUST be ignored, and reserved fields too")
def test_unknown_options_and_flags_are_ignored(lan: Lan) -> None:
    lan.advertise(nd.Option(200, bytes(14)), flags=0x27)
    assert defaults(lan) == [p(ROUTER)]


@pytest.mark.rfc("4862", "5.5", "without autoconfiguration advertisements change nothing")
def test_interface_that_is_not_autoconfigured_ignores_routers() -> None:
    lan = Lan()
    lan.eth0.add_address("2001:db8::2/64")
    lan.prefix()
    assert defaults(lan) == [] and lan.stats["nd_ignored"] == 1 and len(lan.eth0.addresses) == 2


@pytest.mark.rfc("6104", "1", "a flood of rogue advertisements is bounded")
@pytest.mark.threat(15)
def test_threat_15_flood_of_routers_prefixes_and_servers_is_bounded(lan: Lan) -> None:
    for number in range(300):
        prefix = nd.PrefixInformation(p(f"2001:db8:{number:x}::"), 64, 0xC0, 86400, 14400)
        route = nd.RouteInformation(p(f"2001:db9:{number:x}::"), 48)
        lan.advertise(
            prefix.option(), route.option(), nd.recursive_dns_server_option([p(f"2001:db8::{number:x}")], 600),
            nd.dns_search_list_option([f"d{number}.example"], 600), source=f"fe80::1:{number:x}",
        )
    lan.advance(4)
    settings = lan.network.settings
    autoconf = lan.eth0.autoconf
    assert autoconf is not None
    assert len(autoconf.routers) == settings.router_limit and lan.stats["nd_router_limit"] > 0
    assert len(autoconf.on_link) == len(autoconf.routes) == settings.prefix_limit
    assert len(lan.global_addresses()) == settings.address_limit and lan.stats["nd_address_limit"] > 0
    assert len(lan.network.name_servers.known) == settings.name_server_limit + settings.search_domain_limit
    assert lan.stats["nd_dns_limit"] > 0 and lan.stats["nd_prefix_limit"] > 0
    assert len(list(lan.network.routes)) < 50 and len(lan.network.neighbors.table) <= lan.network.neighbors.limit


def test_stop_takes_everything_back(lan: Lan) -> None:
    before = [str(route) for route in lan.network.routes]
    lan.prefix()
    lan.advertise(
        nd.RouteInformation(p("2001:db8:7::"), 48).option(), nd.recursive_dns_server_option([NAMES], 600),
        nd.mtu_option(1300),
    )
    lan.advance(3)
    assert lan.eth0.autoconf is not None
    lan.eth0.autoconf.stop()
    assert [str(route) for route in lan.network.routes] == before and lan.global_addresses() == []
    assert lan.network.name_servers.servers() == [] and lan.eth0.mtu_v6 == 0 and lan.eth0.autoconf is None
    lan.advertise()
    assert defaults(lan) == []


def test_removing_the_interface_leaves_nothing_behind(lan: Lan) -> None:
    lan.prefix()
    lan.advertise(nd.recursive_dns_server_option([NAMES], 600))
    lan.network.remove_interface(lan.eth0)
    assert lan.network.wheel.count == 0 and lan.network.name_servers.known == {}
    assert [str(route) for route in lan.network.routes if not route.interface.loopback] == []


def test_same_seed_same_run() -> None:
    def run() -> list[bytes]:
        lan = Lan(b"again")
        frames = []
        lan.eth0.autoconfigure()
        for _ in range(50):
            lan.advance(0.1)
            frames += [frame.data for frame in lan.eth0.take_output()]
        lan.prefix(PREFIX)
        lan.advance(3)
        return frames + [frame.data for frame in lan.eth0.take_output()]

    assert run() == run()


def test_link_local_address_under_test_is_the_one_that_is_used() -> None:
    lan = Lan()
    lan.eth0.add_address("2001:db8::2/64", probe=True)
    lan.eth0.autoconfigure()
    lan.advance(8)
    assert [entry.address for entry in lan.eth0.addresses if entry.origin == "link-local"] == [link_local_of(Mac(OURS))]
    assert lan.router_solicitations()[-1].source == link_local_of(Mac(OURS))
