"""Endpoints of a domain above 0: any address, any port, chosen VLANs, answers verbatim."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from uinet.errors import AddressInUse, AddressNotAvailable, InvalidArgument
from uinet.udp.endpoint import UdpEndpoint
from uinet.wire.addresses import L2Info, VlanTag, pack_address, parse_vlans, vids
from uinet.wire.build import frame, ip, udp
from uinet.wire.checksums import verify_packet

if TYPE_CHECKING:
    from tests.unit.udp.conftest import UdpHost

A, B = "192.0.2.1", "198.51.100.2"
TAGS = (VlanTag(100, 3, 1, 0x88A8), VlanTag(0), VlanTag(7))
LINK = L2Info.make("02:00:00:00:00:0a", "02:00:00:00:00:0b", TAGS)
STACK = vids(parse_vlans((100, 7)))


def p(address: str) -> bytes:
    return pack_address(address)


def got(endpoint: UdpEndpoint) -> bool:
    """Whether a datagram waits; takes it."""
    if endpoint.queue:
        endpoint.receive()
        return True
    return False


def test_wildcard_of_everything_gets_any_datagram_with_its_link_header(host: UdpHost) -> None:
    endpoint = host.bound("", 0, cdom=1, vids=None)
    host.receive(udp(A, B, 1234, 53, b"query", LINK), host.wire)
    datagram = endpoint.receive()
    assert datagram.l2info == LINK and datagram.data == b"query"
    assert (datagram.destination, datagram.destination_port) == (p(B), 53)
    assert host.sent(host.wire) == []


@pytest.mark.parametrize(("source", "destination"), [(A, B), ("2001:db8:a::1", "2001:db8:b::2")])
def test_reply_has_everything_turned_round(host: UdpHost, source: str, destination: str) -> None:
    endpoint = host.bound("", 0, cdom=1, vids=None)
    host.receive(udp(source, destination, 1234, 53, b"query", LINK), host.wire)
    assert host.udp.reply(endpoint, endpoint.receive(), b"answer") == 6
    (sent,) = host.sent(host.wire)
    assert sent.l2info == LINK.reversed() and sent.checksums_ok and sent.payload == b"answer"
    assert (sent.source, sent.destination) == (p(destination), p(source))
    assert (sent.udp.source_port, sent.udp.destination_port) == (53, 1234)


def test_precedence_is_tags_then_connected_address_and_port(host: UdpHost) -> None:
    made = [
        host.bound(address, port, cdom=1, vids=stack)
        for stack in (STACK, None)
        for address, port in ((B, 53), ("", 53), (B, 0), ("", 0))
    ]
    for expected in made:
        host.receive(udp(A, B, 1234, 53, b"x", LINK), host.wire)
        assert [got(endpoint) for endpoint in made] == [endpoint is expected for endpoint in made]
        host.udp.close(expected)
    host.receive(udp(A, B, 1234, 53, b"x", LINK), host.wire)
    assert host.stats["udp_rx"] == len(made)  # the last is wanted by nobody


def test_exactly_no_tags_does_not_match_a_tag_and_priority_tags_do_not_count(host: UdpHost) -> None:
    endpoint = host.bound("", 53, cdom=1)
    host.receive(udp(A, B, 1, 53, b"x", vlans=(5,)), host.wire)
    assert not got(endpoint)
    host.receive(udp(A, B, 1, 53, b"x", vlans=(0,)), host.wire)
    assert got(endpoint)


def test_connected_comes_first(host: UdpHost) -> None:
    specific = host.bound(B, 53, cdom=1, reuse_port=True)
    connected = host.bound(B, 53, cdom=1, reuse_port=True, l2=LINK)
    host.udp.connect(connected, p(A), 1234)
    host.receive(udp(A, B, 1234, 53, b"x"), host.wire)
    host.receive(udp(A, B, 1235, 53, b"x"), host.wire)
    assert got(connected) and not got(connected) and got(specific)
    host.udp.send(connected, b"hello")
    (sent,) = host.sent(host.wire)
    assert sent.l2info == LINK and sent.udp.source_port == 53 and sent.destination == p(A)


def test_domains_do_not_mix(host: UdpHost) -> None:
    other = host.network.add_interface("wire2", cdom=2)
    routed, promiscuous = host.bound("", 53), host.bound("", 53, cdom=1, vids=None)
    host.receive(udp("10.0.0.1", "10.0.0.2", 1, 53), other)
    assert not got(routed) and not got(promiscuous)
    host.receive(udp("10.0.0.1", "10.0.0.2", 1, 53), host.wire)
    assert not got(routed) and got(promiscuous)
    host.receive(udp("10.0.0.1", "10.0.0.2", 1, 53))
    assert got(routed) and not got(promiscuous)


def test_what_nobody_wants_is_not_answered(host: UdpHost) -> None:
    host.receive(udp(A, B, 1234, 53, b"x", LINK), host.wire)
    assert host.sent(host.wire) == []


def test_what_nobody_wants_is_bridged_untouched(host: UdpHost) -> None:
    other = host.network.add_interface("wire2", cdom=2)
    host.wire.bridge = other
    endpoint = host.bound("", 53, cdom=1, vids=None)
    data = udp(A, B, 1234, 54, b"x", LINK)
    host.receive(data, host.wire)
    host.receive(udp(A, B, 1234, 53, b"x", LINK), host.wire)
    assert [frame.data for frame in other.take_output()] == [data] and got(endpoint)


def test_equal_endpoints_need_reuse_port(host: UdpHost) -> None:
    first = host.bound(B, 53, cdom=1)
    with pytest.raises(AddressInUse):
        host.bound(B, 53, cdom=1)
    host.bound(B, 53, cdom=1, vids=None)
    host.bound(B, 0, cdom=1)
    host.bound("", 53, cdom=1)
    assert len(host.udp.endpoints) == 4
    host.udp.close(first)
    newest = [host.bound(B, 53, cdom=1, reuse_port=True) for _ in range(2)][-1]
    host.receive(udp(A, B, 1, 53), host.wire)
    assert got(newest)


def test_send_chooses_every_field(host: UdpHost) -> None:
    endpoint = host.bound("", 0, cdom=1, vids=None)
    endpoint.ttl, endpoint.tos = 3, 0x20
    host.udp.send(endpoint, b"hi", p(A), 9, source=p(B), source_port=7, l2=LINK)
    (sent,) = host.sent(host.wire)
    assert sent.l2info == LINK and (sent.ipv4.ttl, sent.ipv4.tos) == (3, 0x20)
    assert (sent.source, sent.udp.source_port, sent.udp.destination_port) == (p(B), 7, 9)
    assert host.stats["udp_tx"] == 1


def test_send_takes_a_link_header_as_bytes_too(host: UdpHost) -> None:
    endpoint = host.bound(B, 7, cdom=1)
    header = bytes.fromhex("0200000000aa0200000000bb0800")
    host.udp.send(endpoint, b"hi", p(A), 9, l2=header)
    (frame,) = host.wire.take_output()
    assert frame.data.startswith(header) and verify_packet(frame.data[14:])


def test_send_without_what_it_needs_is_refused(host: UdpHost) -> None:
    wildcard = host.bound("", 0, cdom=1, vids=None)
    with pytest.raises(AddressNotAvailable):
        host.udp.send(wildcard, b"hi", p(A), 9, source_port=7, l2=LINK)
    with pytest.raises(AddressNotAvailable):
        host.udp.send(wildcard, b"hi", p(A), 9, source=p(B), l2=LINK)
    with pytest.raises(InvalidArgument):
        host.udp.send(wildcard, b"hi", p(A), 9, source=p(B), source_port=7)
    with pytest.raises(InvalidArgument):
        host.udp.send(host.bound(B, 7, cdom=9), b"hi", p(A), 9, l2=LINK)
    with pytest.raises(InvalidArgument):
        host.udp.connect(wildcard, p(A), 9)
    assert host.sent(host.wire) == [] and host.stats["udp_tx"] == 0


def test_send_on_a_layer_3_domain_needs_no_link_header(host: UdpHost) -> None:
    tun = host.network.add_interface("tun", cdom=3, layer=3)
    host.udp.send(host.bound(B, 7, cdom=3), b"hi", p(A), 9)
    (sent,) = host.sent(tun)
    assert sent.udp.source_port == 7


def test_send_beyond_the_mtu_is_fragmented_under_the_same_link_header(host: UdpHost) -> None:
    host.udp.send(host.bound(B, 7, cdom=1), bytes(4000), p(A), 9, l2=LINK)
    frames = host.sent(host.wire)
    assert len(frames) == 3 and {frame.l2info for frame in frames} == {LINK}


def test_source_that_is_a_group_is_dropped(host: UdpHost) -> None:
    endpoint = host.bound("", 0, cdom=1, vids=None)
    host.receive(udp("224.0.0.1", B, 1234, 53, b"x", LINK), host.wire)
    assert not got(endpoint) and host.stats["ip_martian_source"] == 1


def test_short_datagram_is_wanted_by_nobody(host: UdpHost) -> None:
    host.bound("", 0, cdom=1, vids=None)
    host.receive(frame(ip(A, B, 17, b"1234567"), LINK), host.wire)
    assert host.stats["udp_rx"] == 0
