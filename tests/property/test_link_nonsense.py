"""Whatever a link says to a host that takes its addresses from it: no exception, and what is kept stays bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uinet.errors import InvalidArgument
from uinet.stack import Stack
from uinet.units import SECOND
from uinet.wire import arp, build, dhcp, icmpv6, igmp, mld, nd
from uinet.wire.addresses import BROADCAST_MAC, L2Info, Mac, multicast_mac, pack_address
from uinet.wire.checksums import fill_packet
from uinet.wire.ipv6_extensions import Option, OptionsHeader

MAC, PEER = Mac("02:00:00:00:00:02"), Mac("02:00:00:00:00:01")
ALERT = OptionsHeader(0, 58, (Option(5, b"\0\0"),))


def p(address: str) -> bytes:
    return pack_address(address)


addresses4 = st.binary(min_size=4, max_size=4)
addresses6 = st.binary(min_size=16, max_size=16)
codes = st.integers(1, 254).filter(lambda code: code != dhcp.OVERLOAD)
options = st.dictionaries(codes, st.binary(max_size=600), max_size=8)
messages = st.builds(
    dhcp.DhcpMessage, st.integers(0, 255), st.integers(0, 0xFFFFFFFF), options, st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFF), addresses4, addresses4, addresses4, addresses4, st.binary(max_size=16),
    st.integers(0, 255), st.integers(0, 255),
)


@given(messages)
def test_dhcp_emit_and_parse_are_inverse(message: dhcp.DhcpMessage) -> None:
    assert dhcp.parse(dhcp.emit(message)) == message


@given(st.lists(st.tuples(addresses4, st.integers(0, 32), addresses4), max_size=20))
def test_classless_routes_emit_and_parse_are_inverse(routes: list[tuple[bytes, int, bytes]]) -> None:
    parsed = dhcp.parse_routes(dhcp.emit_routes(routes))
    assert parsed is not None and [route[1:] for route in parsed] == [route[1:] for route in routes]
    assert dhcp.parse_routes(dhcp.emit_routes(parsed)) == parsed


def groups(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size - 1, max_size=size - 1).map(lambda rest: (b"\xe1" if size == 4 else b"\xff") + rest)


def records(size: int) -> st.SearchStrategy[list[mld.Record]]:
    sources = st.lists(st.binary(min_size=size, max_size=size), max_size=5).map(tuple)
    return st.lists(st.builds(mld.Record, st.integers(0, 255), groups(size), sources), max_size=8)


@given(records(16), records(4))
def test_reports_emit_and_parse_are_inverse(six: list[mld.Record], four: list[mld.Record]) -> None:
    assert list(mld.parse_report(icmpv6.emit(mld.report(six), bytes(16), bytes(16)))) == six
    assert list(igmp.parse_report(igmp.report(four))) == four


PARSERS: list[Callable[[bytes], Any]] = [
    dhcp.parse, mld.parse_query, mld.parse_report, mld.parse_v1, igmp.parse_query, igmp.parse_report,
]


@given(st.sampled_from(PARSERS), st.binary(max_size=400))
def test_parsers_refuse_nonsense_in_one_way(parse: Callable[[bytes], Any], data: bytes) -> None:
    try:
        parse(data)
    except InvalidArgument:
        pass
    dhcp.parse_search(data)
    dhcp.parse_routes(data)
    nd.domain_names(data)
    mld.has_router_alert(data, 0, len(data))


nd_options = st.lists(
    st.builds(
        nd.Option, st.sampled_from([1, 2, 3, 5, 14, 24, 25, 31, 99]),
        st.integers(0, 6).flatmap(lambda n: st.binary(min_size=8 * n + 6, max_size=8 * n + 6)),
    ),
    max_size=12,
).map(tuple)
advertisements = st.builds(
    nd.RouterAdvertisement, st.integers(0, 255), st.integers(0, 255), st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), nd_options,
)


class World:
    """A stack whose one interface is configured by whatever its link says."""

    def __init__(self) -> None:
        self.stack = Stack(seed=b"nonsense", now=SECOND)
        self.stack.network.settings.temporary_addresses = True
        self.eth0 = self.stack.add_interface("eth0", mac=str(MAC))
        self.eth0.accept_redirects = True
        self.eth0.autoconfigure()
        self.client = self.stack.start_dhcp(self.eth0)
        self.advance(3)

    def advance(self, seconds: int) -> None:
        for _ in range(seconds * 4):
            self.stack.poll(self.stack.now + SECOND // 4)
            self.stack.output(self.eth0)

    def feed(self, frame: bytes) -> None:
        self.stack.input(self.eth0, [frame], self.stack.now)
        self.stack.output(self.eth0)

    def check(self) -> None:
        limits = self.stack.network.settings
        autoconf = self.eth0.autoconf
        assert autoconf is not None and len(autoconf.routers) <= limits.router_limit
        assert len(autoconf.on_link) <= limits.prefix_limit and len(autoconf.routes) <= limits.prefix_limit
        assert len(self.eth0.addresses) + len(self.eth0.tentative) <= limits.address_limit + 4
        assert len(self.stack.network.name_servers.known) <= 2 * (limits.name_server_limit + limits.search_domain_limit)
        assert len(list(self.stack.routes)) < 120 and self.stack.network.wheel.count < 2000


def frame_of(draw: st.DataObject, world: World) -> bytes:
    """A frame of one of the protocols, with a body that is right, or nearly."""
    kind = draw.draw(st.sampled_from(["ra", "dhcp", "mld", "igmp", "na", "ns", "redirect", "arp"]))
    source = draw.draw(st.sampled_from(["fe80::1", "fe80::2", "2001:db8::1"]))
    link = L2Info(PEER, multicast_mac(p("ff02::1")))
    own = [address for address in (*world.eth0.tentative, *world.eth0.owned) if len(address) == 16]
    target = draw.draw(st.sampled_from([*own, p("fe80::1"), p("2001:db8::9")]))
    if kind == "ra":
        return build.nd_message(source, "ff02::1", draw.draw(advertisements), link)
    if kind == "na":
        flags = draw.draw(st.integers(0, 7)) << 29
        return build.nd_message(source, "ff02::1", nd.NeighborAdvertisement(target, flags), link)
    if kind == "ns":
        return build.nd_message("::", nd.solicited_node(target), nd.NeighborSolicitation(target), link)
    if kind == "redirect":
        return build.nd_message(source, "ff02::1", nd.Redirect(target, p("2001:db8:7::7"), draw.draw(nd_options)), link)
    if kind == "mld":
        kind6, info = draw.draw(st.integers(130, 132)), draw.draw(st.integers(0, 1 << 31))
        body = icmpv6.Icmpv6Message(kind6, 0, info, draw.draw(st.binary(max_size=80)))
        packet = build.ip(source, "ff02::1", 58, icmpv6.emit(body, p(source), p("ff02::1")), ttl=1, extensions=(ALERT,))
        return build.frame(packet, link)
    if kind == "igmp":
        data = draw.draw(st.binary(min_size=8, max_size=40))
        message4 = igmp.message(draw.draw(st.sampled_from([17, 18, 22, 34])), data[0], data[1:])
        packet = build.ip("10.0.0.9", "224.0.0.1", 2, message4, ttl=1, options=igmp.ROUTER_ALERT)
        return build.frame(packet, L2Info(PEER, multicast_mac(p("224.0.0.1"))))
    if kind == "arp":
        four = draw.draw(st.sampled_from([p("10.0.0.50"), bytes(4), p("10.0.0.1")]))
        return bytes(BROADCAST_MAC) + PEER + b"\x08\x06" + arp.emit(arp.request(PEER, four, four))
    message = draw.draw(messages)
    chosen = dhcp.DhcpMessage(
        dhcp.BOOTREPLY, world.client.xid,
        {
            **message.options, dhcp.MESSAGE_TYPE: bytes([draw.draw(st.sampled_from([2, 5, 6]))]),
            dhcp.SERVER_ID: p("10.0.0.1"),
            dhcp.LEASE_TIME: draw.draw(st.sampled_from([b"\0\0\0\1", b"\0\0\x0e\x10", b"\xff" * 4])),
        },
        yiaddr=draw.draw(st.sampled_from([p("10.0.0.50"), message.yiaddr])), chaddr=bytes(MAC),
    )
    return build.udp("10.0.0.1", "255.255.255.255", 67, 68, dhcp.emit(chosen), l2=L2Info(PEER, BROADCAST_MAC))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_the_link_says_is_survived_and_bounded(data: st.DataObject) -> None:
    world = World()
    for _ in range(data.draw(st.integers(1, 25))):
        frame = frame_of(data, world)
        if data.draw(st.booleans()):
            spoilt = bytearray(frame)
            spoilt[data.draw(st.integers(14, len(frame) - 1))] ^= data.draw(st.integers(1, 255))
            frame = bytes(spoilt)
            if spoilt[12:14] != b"\x08\x06":
                frame = frame[:14] + fill_packet(frame[14:])
        world.feed(frame)
        if data.draw(st.booleans()):
            world.advance(data.draw(st.sampled_from([1, 8])))
    world.check()
    world.stack.remove_interface(world.eth0)
    world.stack.poll(world.stack.now)
    assert world.stack.network.wheel.count == 0 and world.stack.dhcp.clients == {}


@pytest.mark.threat(15)
def test_flood_of_everything_is_bounded() -> None:
    world = World()
    for number in range(500):
        options6 = (
            nd.PrefixInformation(p(f"2001:{number:x}::"), 64).option(),
            nd.RouteInformation(p(f"2002:{number:x}::"), 48).option(),
            nd.recursive_dns_server_option([p(f"2001:db8::{number:x}")], 600),
        )
        message = nd.RouterAdvertisement(64, 0, 1800, options=options6)
        world.feed(build.nd_message(f"fe80::{number:x}", "ff02::1", message, L2Info(PEER, multicast_mac(p("ff02::1")))))
    world.advance(5)
    world.check()
