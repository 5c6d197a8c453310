"""The DHCP client, state by state: RFC 2131."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.unit.dhcp.lab import ADDRESS, OTHER_MAC, OURS, SERVER, SERVER_MAC, Lab, lease_options, p, seconds
from uinet.errors import AddressInUse, InvalidArgument
from uinet.ip import notice
from uinet.sockopt import SOCK_DGRAM
from uinet.units import SECOND
from uinet.wire import arp, dhcp
from uinet.wire.addresses import BROADCAST_MAC


@pytest.fixture
def lab() -> Lab:
    return Lab()


def routes(lab: Lab) -> list[str]:
    return [str(route) for route in lab.stack.routes if len(route.prefix) == 4 and not route.interface.loopback]


# discover, offer, request, ack


@pytest.mark.rfc("2131", "4.4.1", "DHCPDISCOVER: broadcast from 0.0.0.0, a random xid, ciaddr 0, the hardware address")
@pytest.mark.rfc("2131", "4.1", "a client that can't take unicast before it has an address sets the broadcast flag")
def test_discover_is_a_broadcast_from_nobody(lab: Lab) -> None:
    message = lab.one(dhcp.DISCOVER)
    (frame,) = lab.last
    assert (frame.source, frame.destination) == (bytes(4), p("255.255.255.255")) and frame.checksums_ok
    assert frame.ethernet.destination == BROADCAST_MAC
    assert (frame.udp.source_port, frame.udp.destination_port) == (68, 67)
    assert message.op == dhcp.BOOTREQUEST and message.flags == dhcp.BROADCAST and message.chaddr == OURS
    assert message.ciaddr == message.yiaddr == message.giaddr == bytes(4) and message.secs == 0
    assert message.options[dhcp.CLIENT_ID] == b"\1" + OURS and len(frame.payload) >= 300
    assert {dhcp.SUBNET_MASK, dhcp.ROUTER, dhcp.CLASSLESS_ROUTES} <= set(message.options[dhcp.PARAMETER_LIST])
    wanted = message.options[dhcp.PARAMETER_LIST]
    assert wanted.index(dhcp.CLASSLESS_ROUTES) < wanted.index(dhcp.ROUTER)  # RFC 3442
    assert message.number(dhcp.MAX_SIZE, 2) == 1500


@pytest.mark.rfc(
    "2131", "4.3.2",
    "DHCPREQUEST in SELECTING: server identifier, requested address, ciaddr 0, the offer's xid",
)
@pytest.mark.rfc("2131", "3.1", "an acknowledged lease is configured: address, mask, routers")
def test_offer_is_requested_and_its_ack_configures(lab: Lab) -> None:
    discover = lab.one(dhcp.DISCOVER)
    lab.answer(dhcp.OFFER)
    request = lab.one(dhcp.REQUEST)
    assert request.xid == discover.xid and request.ciaddr == bytes(4) and request.secs == discover.secs
    assert request.address(dhcp.REQUESTED_ADDRESS) == p(ADDRESS) and request.address(dhcp.SERVER_ID) == p(SERVER)
    assert lab.eth0.addresses == []
    lab.answer(dhcp.ACK)
    (entry,) = lab.eth0.addresses
    assert (entry.address, entry.prefix_length, entry.origin) == (p(ADDRESS), 24, "dhcp")
    assert routes(lab) == ["10.0.0.0/24 dev eth0", f"0.0.0.0/0 via {SERVER} dev eth0 metric 100"]
    assert lab.client.state == "BOUND" and lab.client.lease is not None and str(lab.client.lease.ip) == ADDRESS
    lab.advance(0.1)
    assert lab.kinds == [notice.DHCP_BOUND]


@pytest.mark.rfc("2131", "4.1", "servers may answer to the address that they offer, the BROADCAST bit notwithstanding")
def test_answers_to_the_offered_address_are_taken(lab: Lab) -> None:
    lab.one(dhcp.DISCOVER)
    lab.answer(dhcp.OFFER, to=ADDRESS)
    lab.one(dhcp.REQUEST)
    lab.answer(dhcp.ACK, to=ADDRESS)
    assert lab.client.state == "BOUND"
    lab.receive_udp(b"x", to="10.0.0.77")  # malformed, but for the client
    lab.receive_udp(b"x", to="10.0.0.77", port=66)
    assert lab.stats["ip_not_ours"] == 1
    lab.client.stop()
    lab.receive_udp(b"x", to="10.0.0.77")
    assert lab.stats["ip_not_ours"] == 2


@pytest.mark.rfc("2131", "4.1", "retransmissions back off: 4, 8, 16, 32, 64 s, each randomized by up to a second")
@pytest.mark.rfc("2131", "4.4.1", "secs counts from the beginning of the attempt; xid stays")
def test_discover_is_sent_again_with_back_off(lab: Lab) -> None:
    times, messages = [], []
    while len(times) < 8:
        lab.advance(0.05)
        for message in lab.messages():
            times.append(lab.now)
            messages.append(message)
    gaps = [b - a for a, b in pairwise(times)]
    for gap, expected in zip(gaps, [4, 8, 16, 32, 64, 64, 64], strict=True):
        assert expected - 1.1 <= gap <= expected + 1.1
    assert len({round(gap, 1) for gap in gaps[4:]}) > 1, "not random"
    assert len({message.xid for message in messages}) == 1
    for when, message in zip(times, messages, strict=True):
        assert abs(message.secs - (when - times[0])) <= 1


@pytest.mark.rfc("2131", "3.1", "(5) a request that nobody answers is sent again, and then all begins anew")
def test_request_without_answer_starts_over_after_four(lab: Lab) -> None:
    lab.one(dhcp.DISCOVER)
    lab.answer(dhcp.OFFER)
    kinds = []
    while dhcp.DISCOVER not in kinds:
        lab.advance(0.1)
        kinds += [message.type for message in lab.messages()]
    assert kinds == [dhcp.REQUEST] * 4 + [dhcp.DISCOVER]
    assert lab.client.error == "the DHCP server does not answer requests"


@pytest.mark.rfc("2131", "3.1", "(5) a DHCPNAK: the client begins anew")
def test_nak_starts_over(lab: Lab) -> None:
    first = lab.one(dhcp.DISCOVER)
    lab.answer(dhcp.OFFER)
    lab.one(dhcp.REQUEST)
    lab.nak()
    second = lab.one(dhcp.DISCOVER, within=3)
    assert second.xid != first.xid and lab.stats["dhcp_nak"] == 1 and lab.eth0.addresses == []


@pytest.mark.rfc(
    "2131", "4.4.2",
    "INIT-REBOOT: a request for the known address, without server identifier, is broadcast",
)
def test_known_address_is_asked_for_at_once() -> None:
    lab = Lab(requested=ADDRESS)
    request = lab.one(dhcp.REQUEST)
    assert request.address(dhcp.REQUESTED_ADDRESS) == p(ADDRESS) and dhcp.SERVER_ID not in request.options
    assert lab.last[0].destination == p("255.255.255.255") and request.ciaddr == bytes(4)
    lab.answer(dhcp.ACK)
    assert lab.client.state == "BOUND" and lab.stack.network.is_local(p(ADDRESS))


@pytest.mark.rfc("2131", "4.4.2", "refused in INIT-REBOOT: the client begins with DHCPDISCOVER")
def test_known_address_that_is_refused_is_forgotten() -> None:
    lab = Lab(requested=ADDRESS)
    lab.one(dhcp.REQUEST)
    lab.nak()
    discover = lab.one(dhcp.DISCOVER, within=3)
    assert dhcp.REQUESTED_ADDRESS not in discover.options


def test_host_name_and_client_identifier_are_sent() -> None:
    lab = Lab(host_name="printer", client_id=b"\0label")
    for kind, answer in ((dhcp.DISCOVER, dhcp.OFFER), (dhcp.REQUEST, dhcp.ACK)):
        message = lab.one(kind)
        assert message.options[dhcp.HOST_NAME] == b"printer" and message.options[dhcp.CLIENT_ID] == b"\0label"
        lab.answer(answer)


# what is not an answer


@pytest.mark.rfc("2131", "4.4.1", "messages whose xid is another are silently discarded")
@pytest.mark.parametrize(
    "wrong",
    [
        {"xid": 1}, {"op": dhcp.BOOTREQUEST}, {"chaddr": bytes(OTHER_MAC)}, {"port": 6767}, {"kind": dhcp.ACK},
        {"kind": dhcp.NAK}, {"kind": dhcp.DISCOVER}, {"kind": 0}, {"kind": 200},
    ],
)
def test_answers_to_something_else_are_dropped_while_selecting(lab: Lab, wrong: dict[str, object]) -> None:
    lab.one(dhcp.DISCOVER)
    fields = dict(wrong)
    kind = fields.pop("kind", dhcp.OFFER)
    lab.answer(kind, **fields)  # type: ignore[arg-type]
    assert lab.client.state == "SELECTING" and lab.stats["dhcp_ignored"] == 1 and lab.messages() == []


@pytest.mark.parametrize(
    ("changes", "yiaddr"),
    [
        ({"SERVER_ID": None}, ADDRESS), ({"SERVER_ID": b"\1\2\3"}, ADDRESS), ({"SERVER_ID": bytes(4)}, ADDRESS),
        ({"LEASE_TIME": None}, ADDRESS), ({"LEASE_TIME": bytes(4)}, ADDRESS), ({"LEASE_TIME": b"\1"}, ADDRESS),
        ({"SUBNET_MASK": b"\xff\x00\xff\x00"}, ADDRESS), ({"SUBNET_MASK": bytes(4)}, ADDRESS),
        ({"SUBNET_MASK": b"\xff"}, ADDRESS), ({}, "0.0.0.0"), ({}, "255.255.255.255"), ({}, "224.0.0.1"),
        ({}, "127.0.0.1"),
    ],
)
def test_offers_that_can_not_be_used_are_dropped(lab: Lab, changes: dict[str, bytes | None], yiaddr: str) -> None:
    lab.one(dhcp.DISCOVER)
    lab.answer(dhcp.OFFER, options=lease_options(**changes), yiaddr=yiaddr)
    assert lab.client.state == "SELECTING" and lab.stats["dhcp_bad_offer"] == 1
    lab.answer(dhcp.OFFER)
    assert lab.client.state == "REQUESTING"


def test_request_is_answered_by_its_server_and_with_its_address_alone(lab: Lab) -> None:
    lab.one(dhcp.DISCOVER)
    lab.answer(dhcp.OFFER)
    lab.one(dhcp.REQUEST)
    lab.answer(dhcp.OFFER)  # another one's
    lab.answer(dhcp.ACK, options=lease_options(SERVER_ID=p("10.0.0.66")))
    lab.answer(dhcp.NAK, options={dhcp.SERVER_ID: p("10.0.0.66")})
    lab.answer(dhcp.NAK, options={})
    assert lab.client.state == "REQUESTING" and lab.stats["dhcp_ignored"] == 4
    lab.answer(dhcp.ACK, yiaddr="10.0.0.51")
    assert lab.client.state == "REQUESTING" and lab.stats["dhcp_bad_offer"] == 1
    lab.answer(dhcp.ACK)
    assert lab.client.state == "BOUND"


@pytest.mark.parametrize("cut", [0, 10, 239, 240, 243, 250])
def test_malformed_messages_are_dropped(lab: Lab, cut: int) -> None:
    lab.one(dhcp.DISCOVER)
    message = dhcp.DhcpMessage(
        dhcp.BOOTREPLY, lab.client.xid, {dhcp.MESSAGE_TYPE: b"\2", **lease_options()}, chaddr=bytes(OURS),
        yiaddr=p(ADDRESS),
    )
    whole = dhcp.emit(message)
    lab.receive_udp(whole[:cut])
    assert lab.client.state == "SELECTING"
    assert lab.stats["dhcp_malformed"] + lab.stats["dhcp_ignored"] + lab.stats["dhcp_bad_offer"] == 1
    lab.receive_udp(whole[:236] + b"\0\0\0\0" + whole[240:])  # BOOTP without a cookie
    assert lab.stats["dhcp_malformed"] >= 1 and lab.client.state == "SELECTING"
    lab.receive_udp(whole)
    assert lab.client.state == "REQUESTING"


# duplicates


@pytest.mark.rfc("2131", "2.2", "SHOULD probe an address before it is used")
def test_address_is_tested_before_it_is_used() -> None:
    lab = Lab(probe=True)
    lab.one(dhcp.DISCOVER)
    lab.answer(dhcp.OFFER)
    lab.one(dhcp.REQUEST)
    lab.answer(dhcp.ACK)
    assert lab.client.state == "TESTING" and lab.eth0.addresses == []
    lab.advance(7.5)
    asked = lab.arps()
    assert asked[:3] == [arp.request(OURS, bytes(4), p(ADDRESS))] * 3
    assert asked[3] == arp.request(OURS, p(ADDRESS), p(ADDRESS)) and lab.client.state == "BOUND"


@pytest.mark.rfc("2131", "3.1", "(5) an address that is taken: DHCPDECLINE, and ten seconds until the next attempt")
@pytest.mark.rfc(
    "2131", "4.4.4",
    "DHCPDECLINE is broadcast, with requested address and server identifier, secs and ciaddr 0",
)
def test_address_that_another_host_has_is_declined() -> None:
    lab = Lab(probe=True)
    lab.one(dhcp.DISCOVER)
    lab.answer(dhcp.OFFER)
    lab.one(dhcp.REQUEST)
    lab.answer(dhcp.ACK)
    lab.advance(1)
    frame = arp.emit(arp.reply(OTHER_MAC, p(ADDRESS), OURS, bytes(4)))
    lab.messages()
    lab.receive(bytes(OURS) + OTHER_MAC + b"\x08\x06" + frame)
    (decline,) = lab.messages()
    assert decline.type == dhcp.DECLINE and decline.ciaddr == bytes(4) and decline.secs == 0
    assert decline.address(dhcp.REQUESTED_ADDRESS) == p(ADDRESS) and decline.address(dhcp.SERVER_ID) == p(SERVER)
    assert lab.last[0].destination == p("255.255.255.255") and dhcp.PARAMETER_LIST not in decline.options
    assert lab.stats["dhcp_declined"] == 1 and "another host has the address 10.0.0.50" in lab.client.error
    start = lab.now
    lab.one(dhcp.DISCOVER, within=12)
    assert 9.9 <= lab.now - start <= 10.2


@pytest.mark.rfc(
    "5227", "2.4",
    "(b) one defence; a second conflict within DEFEND_INTERVAL, and the address is given up",
)
def test_second_conflict_in_use_gives_the_address_up(lab: Lab) -> None:
    lab.bound()
    claim = bytes(BROADCAST_MAC) + OTHER_MAC + b"\x08\x06" + arp.emit(arp.request(OTHER_MAC, p(ADDRESS), p(ADDRESS)))
    lab.arps()
    lab.receive(claim)
    assert lab.arps() == [arp.request(OURS, p(ADDRESS), p(ADDRESS))] and lab.client.state == "BOUND"
    lab.advance(11)
    lab.receive(claim)
    assert lab.arps() != [] and lab.client.state == "BOUND"
    lab.advance(1)
    lab.receive(claim)
    (decline,) = lab.messages()
    assert decline.type == dhcp.DECLINE and not lab.stack.network.is_local(p(ADDRESS))
    assert lab.client.state == "INIT" and notice.DHCP_LOST in lab.kinds and routes(lab) == []


# renewing, rebinding, the end


@pytest.mark.rfc(
    "2131", "4.4.5",
    "at T1 the lease is renewed: unicast to its server, ciaddr filled in, no server identifier",
)
def test_lease_is_renewed_at_half_time(lab: Lab) -> None:
    lab.bound()
    begun = lab.now
    lab.messages()
    request = lab.one(dhcp.REQUEST, within=1900)
    assert 1768 <= lab.now - begun <= 1800 and lab.client.state == "RENEWING"
    (frame,) = lab.last
    assert (frame.source, frame.destination) == (p(ADDRESS), p(SERVER)) and frame.ethernet.destination == SERVER_MAC
    assert request.ciaddr == p(ADDRESS) and request.flags == 0
    assert dhcp.SERVER_ID not in request.options and dhcp.REQUESTED_ADDRESS not in request.options
    lab.answer(dhcp.ACK, to=ADDRESS)
    assert lab.client.state == "BOUND"
    lab.advance(2000)
    assert lab.stack.network.is_local(p(ADDRESS)) and lab.client.state == "RENEWING"


@pytest.mark.rfc(
    "2131", "4.4.5",
    "unanswered renewals are repeated after half the time left, not under 60 s; at T2 it is broadcast",
)
@pytest.mark.rfc("2131", "4.4.5", "a lease that is over: all use of the address ends, and all begins anew")
def test_unanswered_renewals_lead_to_rebinding_and_the_end(lab: Lab) -> None:
    lab.bound()
    start = lab.now
    seen = []
    while lab.stack.network.is_local(p(ADDRESS)):
        lab.advance(0.5)
        seen += [(lab.now - start, lab.last[-1].destination, message) for message in lab.messages()]
    assert 3599 <= lab.now - start <= 3602 and lab.stats["dhcp_expired"] == 1
    unicast = [when for when, destination, _ in seen if destination == p(SERVER)]
    broadcast = [when for when, destination, _ in seen if destination == p("255.255.255.255")]
    assert max(unicast) < 3150 <= min(broadcast) <= 3151 and len(unicast) >= 4 and len(broadcast) >= 3
    assert all(b - a >= 59 for a, b in pairwise(unicast)) and all(b - a >= 59 for a, b in pairwise(broadcast))
    assert all(message.ciaddr == p(ADDRESS) and message.type == dhcp.REQUEST for _, _, message in seen)
    assert routes(lab) == [] and notice.DHCP_LOST in lab.kinds
    lab.one(dhcp.REQUEST, within=3)  # of the address that was held: INIT-REBOOT


@pytest.mark.rfc("2131", "4.4.5", "in REBINDING any server may extend the lease")
def test_rebinding_is_answered_by_any_server(lab: Lab) -> None:
    lab.bound()
    lab.advance(3200)
    assert lab.client.state == "REBINDING"
    lab.answer(dhcp.ACK, options=lease_options(SERVER_ID=p("10.0.0.3")), source="10.0.0.3")
    assert lab.client.state == "BOUND" and lab.client.lease is not None and lab.client.lease.server == p("10.0.0.3")


@pytest.mark.rfc("2131", "4.4.5", "a DHCPNAK while renewing: the address is not used any more")
def test_nak_while_renewing_takes_the_address_away(lab: Lab) -> None:
    lab.bound()
    lab.advance(1801)
    lab.nak(to=ADDRESS)
    assert not lab.stack.network.is_local(p(ADDRESS)) and routes(lab) == []
    lab.messages()
    lab.one(dhcp.DISCOVER, within=3)


def test_renewal_by_another_server_or_with_another_address_is_dropped(lab: Lab) -> None:
    lab.bound()
    lab.advance(1801)
    lab.answer(dhcp.ACK, options=lease_options(SERVER_ID=p("10.0.0.3")))
    lab.answer(dhcp.ACK, yiaddr="10.0.0.51")
    assert lab.client.state == "RENEWING"
    assert lab.stats["dhcp_ignored"] == 1 and lab.stats["dhcp_bad_offer"] == 1


@pytest.mark.rfc("2131", "4.4.5", "times that make no sense are replaced by T1 = 0.5 and T2 = 0.875 of the lease")
@pytest.mark.parametrize(
    ("t1", "t2", "expected"),
    [(None, None, (1800, 3150)), (100, 200, (100, 200)), (200, 100, (1800, 3150)), (100, 3600, (1800, 3150))],
)
def test_renewal_times(lab: Lab, t1: int | None, t2: int | None, expected: tuple[int, int]) -> None:
    lab.bound(
        RENEWAL_TIME=None if t1 is None else seconds(t1), REBINDING_TIME=None if t2 is None else seconds(t2)
    )
    assert lab.client.lease is not None and (lab.client.lease.renew, lab.client.lease.rebind) == expected


def test_infinite_lease_is_never_renewed(lab: Lab) -> None:
    lab.bound(LEASE_TIME=b"\xff" * 4)
    lab.messages()
    assert lab.stack.next_deadline() is None
    lab.stack.poll(lab.stack.now + 10**6 * SECOND)
    assert lab.client.state == "BOUND" and lab.stack.network.is_local(p(ADDRESS))


def test_lease_counts_from_the_request_not_from_the_answer(lab: Lab) -> None:
    lab.one(dhcp.DISCOVER)
    lab.answer(dhcp.OFFER)
    lab.one(dhcp.REQUEST)
    asked = lab.client.asked
    lab.advance(3)
    lab.answer(dhcp.ACK)
    assert lab.client.leased == asked and lab.client.lease is not None
    assert lab.client.lease.ends(asked) == asked + 3600 * SECOND


@pytest.mark.rfc("2131", "4.4.6", "DHCPRELEASE is unicast to the server, with ciaddr and server identifier")
def test_release_tells_the_server_and_stops(lab: Lab) -> None:
    lab.bound()
    lab.messages()
    lab.client.release()
    lab.advance(0.1)
    (message,) = lab.messages()
    assert message.type == dhcp.RELEASE and message.ciaddr == p(ADDRESS)
    assert message.address(dhcp.SERVER_ID) == p(SERVER)
    assert lab.last[0].destination == p(SERVER) and dhcp.REQUESTED_ADDRESS not in message.options
    assert lab.client.state == "STOPPED" and lab.eth0.addresses == [] and lab.stack.next_deadline() is None
    lab.advance(5000)
    assert lab.messages() == [] and lab.stack.dhcp.clients == {} and lab.stack.udp.endpoints == {}


# what a lease brings


@pytest.mark.rfc("3442", "2", "classless routes replace the routers; a gateway of 0.0.0.0 is the link itself")
def test_classless_routes_replace_the_routers(lab: Lab) -> None:
    given = [
        (p("192.168.0.0"), 16, p("10.0.0.7")), (bytes(4), 0, p("10.0.0.8")), (p("10.9.0.0"), 16, bytes(4)),
        (p("10.8.0.0"), 16, p("224.0.0.1")),
    ]
    lab.bound(CLASSLESS_ROUTES=dhcp.emit_routes(given))
    assert routes(lab) == [
        "10.0.0.0/24 dev eth0", "192.168.0.0/16 via 10.0.0.7 dev eth0 metric 100", "10.9.0.0/16 dev eth0 metric 102",
        "0.0.0.0/0 via 10.0.0.8 dev eth0 metric 101",
    ]


@pytest.mark.parametrize("value", [b"\x21\1\2\3\4\1\2\3\4", b"\x18\x0a", b"\0\1\2\3"])
def test_malformed_classless_routes_are_ignored_and_the_routers_used(lab: Lab, value: bytes) -> None:
    lab.bound(CLASSLESS_ROUTES=value)
    assert f"0.0.0.0/0 via {SERVER} dev eth0 metric 100" in routes(lab)


def test_names_and_mtu_are_taken(lab: Lab) -> None:
    lab.bound(
        DNS_SERVERS=p("10.0.0.53") + p("10.0.0.54"), DOMAIN_NAME=b"example.org\0", INTERFACE_MTU=b"\x05\x14",
    )
    assert [str(server) for server in lab.stack.name_servers] == ["10.0.0.53", "10.0.0.54"]
    assert lab.stack.search_domains == ["example.org"]
    assert lab.stack.network.route(p("10.0.0.9")).mtu == 1300
    lab.client.stop()
    assert lab.stack.name_servers == [] and lab.stack.search_domains == [] and lab.eth0.mtu_v4 == 0


@pytest.mark.parametrize("value", [b"\x02\x3f", b"\x05\xdd", b"\x05"])
def test_impossible_mtu_is_ignored(lab: Lab, value: bytes) -> None:
    lab.bound(INTERFACE_MTU=value)
    assert lab.stack.network.route(p("10.0.0.9")).mtu == 1500


def test_search_list_is_preferred_to_the_domain(lab: Lab) -> None:
    lab.bound(DOMAIN_NAME=b"example.org", DOMAIN_SEARCH=b"\3eng\5apple\3com\0\4mark\xc0\4")
    assert lab.stack.search_domains == ["eng.apple.com", "mark.apple.com"]


def test_renewal_with_other_routes_replaces_them(lab: Lab) -> None:
    lab.bound()
    lab.advance(1801)
    lab.answer(dhcp.ACK, to=ADDRESS, options=lease_options(ROUTER=p("10.0.0.3") + p("10.0.0.4")))
    assert routes(lab)[1:] == [
        "0.0.0.0/0 via 10.0.0.3 dev eth0 metric 100", "0.0.0.0/0 via 10.0.0.4 dev eth0 metric 101",
    ]


def test_flood_of_routers_routes_and_servers_is_bounded(lab: Lab) -> None:
    many = b"".join(p(f"10.0.0.{n}") for n in range(1, 250))
    listed = [(p(f"10.{n}.0.0"), 16, p("10.0.0.7")) for n in range(1, 250)]
    lab.bound(ROUTER=many, DNS_SERVERS=many, CLASSLESS_ROUTES=dhcp.emit_routes(listed))
    assert len(routes(lab)) == 33 and len(lab.stack.name_servers) == lab.stack.network.settings.name_server_limit


# the client's place in the stack


def test_port_that_is_taken_is_an_error() -> None:
    lab = Lab()
    lab.client.stop()
    sock = lab.stack.socket(kind=SOCK_DGRAM)
    sock.bind(("0.0.0.0", 68))
    with pytest.raises(AddressInUse):
        lab.stack.start_dhcp(lab.eth0)
    sock.close()
    assert lab.stack.start_dhcp(lab.eth0).state == "INIT"


@pytest.mark.parametrize("options", [{"cdom": 1}, {"layer": 3}])
def test_only_ordinary_ethernet_interfaces_have_clients(lab: Lab, options: dict[str, int]) -> None:
    other = lab.stack.add_interface("other", **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="ordinary Ethernet"):
        lab.stack.start_dhcp(other)
    with pytest.raises(InvalidArgument, match="has a DHCP client"):
        lab.stack.start_dhcp(lab.eth0)


@pytest.mark.parametrize(
    "options", [{"host_name": "no name"}, {"host_name": "x" * 300}, {"client_id": b"x"}, {"requested": "::1"}]
)
def test_bad_arguments_are_errors(options: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        Lab(**options)


def test_two_interfaces_have_two_clients_that_do_not_mix(lab: Lab) -> None:
    other = lab.stack.add_interface("eth1", mac="02:00:00:00:01:02")
    second = lab.stack.start_dhcp(other, probe=False)
    lab.bound()
    assert second.state in ("INIT", "SELECTING") and other.addresses == []


def test_removed_interface_and_closed_stack_leave_nothing(lab: Lab) -> None:
    lab.bound()
    lab.stack.remove_interface(lab.eth0)
    lab.stack.poll(lab.stack.now)
    assert lab.client.state == "STOPPED" and lab.stack.dhcp.clients == {} and lab.stack.next_deadline() is None
    again = Lab().bound()
    again.stack.close()
    assert again.client.state == "STOPPED" and again.stack.calls == [] and again.stack.link_watchers == []


def test_same_seed_same_messages() -> None:
    def run() -> list[dhcp.DhcpMessage]:
        lab = Lab(b"same")
        lab.advance(100)
        return lab.messages()

    assert run() == run() and len(run()) > 3
