from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from uinet.errors import (
    AddressError,
    AddressNotAvailable,
    BadSocket,
    ConnectionRefused,
    HostUnreachable,
    MessageTooLong,
    NetworkUnreachable,
    NotConnected,
    PermissionDenied,
    WouldBlock,
)
from uinet.udp.endpoint import UdpEndpoint
from uinet.wire.addresses import pack_address
from uinet.wire.build import dissect, icmp_message, udp

if TYPE_CHECKING:
    from tests.unit.udp.conftest import UdpHost

A4, B4, A6, B6 = "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"


def p(address: str) -> bytes:
    return pack_address(address)


@pytest.mark.parametrize(("peer", "own"), [(A4, B4), (A6, B6)])
def test_send_from_an_unbound_endpoint_binds_it(host: UdpHost, peer: str, own: str) -> None:
    endpoint = host.udp.endpoint()
    assert host.udp.send(endpoint, b"query", p(peer), 53) == 5
    (sent,) = host.sent()
    assert endpoint.bound and 32768 <= endpoint.local_port <= 65535
    assert (sent.source, sent.destination, sent.payload) == (p(own), p(peer), b"query")
    assert (sent.udp.source_port, sent.udp.destination_port) == (endpoint.local_port, 53)
    assert sent.checksums_ok and sent.udp.checksum and host.stats["udp_tx"] == 1
    host.receive(udp(peer, own, 53, endpoint.local_port, b"answer"))
    assert endpoint.receive().data == b"answer"


def test_send_to_the_peer_of_a_connected_endpoint(host: UdpHost) -> None:
    endpoint = host.connected(A4, 53)
    host.udp.send(endpoint, b"1")
    route = endpoint.route
    host.udp.send(endpoint, b"2")
    assert endpoint.route is route is not None
    host.eth0.add_address("10.0.0.3/24")
    host.udp.send(endpoint, b"3")
    assert endpoint.route is not route
    assert [frame.payload for frame in host.sent()] == [b"1", b"2", b"3"]


def test_send_with_a_source_of_its_own(host: UdpHost) -> None:
    host.eth0.add_address("10.0.0.3/24")
    endpoint = host.bound("", 7)
    host.udp.send(endpoint, b"x", p(A4), 9, source=p("10.0.0.3"))
    assert host.sent()[0].source == p("10.0.0.3")
    with pytest.raises(AddressNotAvailable):
        host.udp.send(endpoint, b"x", p(A4), 9, source=p("10.0.0.4"))


def test_reply_comes_from_the_address_that_was_asked(host: UdpHost) -> None:
    host.eth0.add_address("10.0.0.3/24")
    endpoint = host.bound("", 53)
    host.receive(udp(A4, "10.0.0.3", 1000, 53, b"query"))
    host.udp.reply(endpoint, endpoint.receive(), b"answer")
    (sent,) = host.sent()
    assert (sent.source, sent.udp.destination_port) == (p("10.0.0.3"), 1000)


def test_send_options_reach_the_header(host: UdpHost) -> None:
    endpoint = host.bound("", 7, ttl=5, tos=0x10, dont_fragment=True)
    host.udp.send(endpoint, b"x", p(A4), 9)
    (sent,) = host.sent()
    assert (sent.ipv4.ttl, sent.ipv4.tos, sent.ipv4.dont_fragment) == (5, 0x10, True)


def test_send_large_is_fragmented_or_too_long(host: UdpHost) -> None:
    endpoint = host.bound("", 7)
    host.udp.send(endpoint, bytes(4000), p(A4), 9)
    assert len(host.sent()) == 3
    endpoint.dont_fragment = True
    with pytest.raises(MessageTooLong):
        host.udp.send(endpoint, bytes(1473), p(A4), 9)
    assert host.udp.send(endpoint, bytes(1472), p(A4), 9) == 1472


@pytest.mark.parametrize(("peer", "limit"), [(A4, 65507), (A6, 65527)])
def test_send_at_the_limit_of_a_datagram(host: UdpHost, peer: str, limit: int) -> None:
    endpoint = host.bound("", 7)
    assert host.udp.send(endpoint, bytes(limit), p(peer), 9) == limit
    with pytest.raises(MessageTooLong):
        host.udp.send(endpoint, bytes(limit + 1), p(peer), 9)
    assert endpoint.sent == 1


def test_send_without_checksums_where_the_link_needs_none(host: UdpHost) -> None:
    host.eth0.checksums = False
    host.udp.send(host.bound("", 7), b"x", p(A4), 9)
    assert host.sent()[0].udp.checksum == 0


def test_send_checksum_that_comes_out_as_0_is_ffff(host: UdpHost) -> None:
    endpoint = host.bound("", 7)
    seen = set()
    for number in range(0x10000):
        host.udp.send(endpoint, number.to_bytes(2, "big"), p(A4), 9)
        if number % 4000 == 0 or number == 0xFFFF:
            seen.update(frame.data[40:42] for frame in host.eth0.take_output())
    assert b"\0\0" not in seen and b"\xff\xff" in seen and len(seen) == 0xFFFF


def test_send_broadcast_has_to_be_allowed(host: UdpHost) -> None:
    endpoint = host.bound("", 7)
    for destination in ("10.0.0.255", "255.255.255.255"):
        with pytest.raises(PermissionDenied):
            host.udp.send(endpoint, b"x", p(destination), 9)
    endpoint.broadcast = True
    host.udp.send(endpoint, b"x", p("10.0.0.255"), 9)
    assert str(host.sent()[0].ethernet.destination) == "ff:ff:ff:ff:ff:ff"


def test_send_to_a_group_reaches_its_members_here_too(host: UdpHost) -> None:
    sender = host.bound("", 7, multicast_interface=host.eth0)
    member = host.bound("", 5353)
    host.udp.send(sender, b"nobody", p("224.0.0.251"), 5353)
    member.join(p("224.0.0.251"), host.eth0)
    host.udp.send(sender, b"somebody", p("224.0.0.251"), 5353)
    datagram = member.receive()
    assert (datagram.data, datagram.source, datagram.source_port) == (b"somebody", p(B4), 7)
    sender.multicast_loop = False
    sender.multicast_ttl = 4
    host.udp.send(sender, b"others", p("224.0.0.251"), 5353)
    assert not member.readable
    assert [frame.ipv4.ttl for frame in host.sent()] == [1, 1, 4]


def test_send_to_ourselves_goes_round(host: UdpHost) -> None:
    server = host.bound("", 53)
    client = host.connected("127.0.0.1", 53)
    host.udp.send(client, b"query")
    host.loop()
    host.udp.reply(server, server.receive(), b"answer")
    host.loop()
    assert client.receive().data == b"answer" and host.sent() == []


def test_send_to_ourselves_where_nobody_listens_is_refused(host: UdpHost) -> None:
    client = host.connected("::1", 53)
    host.udp.send(client, b"query")
    host.loop()
    with pytest.raises(ConnectionRefused):
        client.receive()


def test_send_with_wrong_arguments_is_refused(host: UdpHost) -> None:
    endpoint = host.bound("", 7, family=4)
    with pytest.raises(NotConnected):
        host.udp.send(endpoint, b"x")
    with pytest.raises(AddressError):
        host.udp.send(endpoint, b"x", p(A4), 0)
    with pytest.raises(AddressError):
        host.udp.send(endpoint, b"x", p(A4))
    with pytest.raises(AddressError):
        host.udp.send(endpoint, b"x", p(A6), 9)
    with pytest.raises(NetworkUnreachable):
        host.udp.send(host.udp.endpoint(), b"x", p("2001:4860::1"), 9)
    host.udp.close(endpoint)
    with pytest.raises(BadSocket):
        host.udp.send(endpoint, b"x", p(A4), 9)
    assert host.sent() == [] and host.stats["udp_tx"] == 0


# errors


@pytest.mark.threat(38)
@pytest.mark.parametrize(
    ("kind", "code", "error"),
    [(3, 3, ConnectionRefused), (3, 1, HostUnreachable), (3, 0, NetworkUnreachable), (3, 13, HostUnreachable)],
)
def test_threat_38_connected_endpoint_hears_errors_about_its_tuple(
    host: UdpHost, kind: int, code: int, error: type[Exception]
) -> None:
    endpoint = host.connected(A4, 53)
    calls: list[UdpEndpoint] = []
    endpoint.notify = calls.append
    quote = udp(B4, A4, endpoint.local_port, 53, b"query", layer=3)
    host.receive(icmp_message(A4, B4, kind, code, 0, quote))
    assert calls == [endpoint] and endpoint.readable
    with pytest.raises(error):
        host.udp.send(endpoint, b"x")
    assert host.udp.send(endpoint, b"x") == 1  # told once


@pytest.mark.threat(38)
@pytest.mark.parametrize(
    "quoted", [(B4, A4, 0, 54), (B4, A4, 1, 53), (B4, "10.0.0.254", 0, 53)], ids=["remote port", "port", "remote"]
)
def test_threat_38_connected_endpoint_ignores_errors_about_other_tuples(
    host: UdpHost, quoted: tuple[str, str, int, int]
) -> None:
    endpoint = host.connected(A4, 53)
    own, remote, more, port = quoted
    quote = udp(own, remote, endpoint.local_port - more, port, b"query", layer=3)
    host.receive(icmp_message(A4, B4, 3, 3, 0, quote))
    assert endpoint.error is None and host.stats["icmp_bad_quote"] == 1


def test_unconnected_endpoint_does_not_hear_errors(host: UdpHost) -> None:
    endpoint = host.bound("", 7)
    host.receive(icmp_message(A4, B4, 3, 3, 0, udp(B4, A4, 7, 53, layer=3)))
    assert endpoint.error is None and host.stats["icmp_bad_quote"] == 1


@pytest.mark.parametrize(("kind", "code"), [(11, 0), (12, 0)])
def test_transient_errors_are_believed_and_not_told(host: UdpHost, kind: int, code: int) -> None:
    endpoint = host.connected(A4, 53)
    host.receive(icmp_message(A4, B4, kind, code, 0, udp(B4, A4, endpoint.local_port, 53, layer=3)))
    assert endpoint.error is None and host.stats["icmp_bad_quote"] == 0


@pytest.mark.parametrize("connected", [True, False])
def test_too_big_lowers_the_path_and_is_told_to_who_may_not_fragment(host: UdpHost, connected: bool) -> None:
    endpoint = host.connected("8.8.8.8", 53) if connected else host.bound("", 7)
    endpoint.dont_fragment = True
    quote = udp(B4, "8.8.8.8", endpoint.local_port, 53, bytes(1472), layer=3)[:60]
    host.receive(icmp_message("10.0.0.254", B4, 3, 4, 1400, quote))
    assert host.network.route(p("8.8.8.8")).mtu == 1400
    if connected:
        with pytest.raises(MessageTooLong):
            endpoint.receive()
    else:
        with pytest.raises(WouldBlock):
            endpoint.receive()
    with pytest.raises(MessageTooLong):
        host.udp.send(endpoint, bytes(1373), p("8.8.8.8"), 53)
    endpoint.dont_fragment = False
    host.udp.send(endpoint, bytes(1373), p("8.8.8.8"), 53)
    assert [len(frame.packet) for frame in host.sent()] == [1396, 25]


def test_neighbour_that_does_not_answer_is_told(host: UdpHost) -> None:
    endpoint = host.connected("10.0.0.9", 53)
    host.udp.send(endpoint, b"x")
    host.advance(8)  # three questions, a second apart, and the steps of this clock
    with pytest.raises(HostUnreachable):
        endpoint.receive()


def test_sent_frames_are_whole_under_dissection(host: UdpHost) -> None:
    endpoint = host.bound("", 7)
    for size in (0, 1, 2, 3, 100, 1472):
        host.udp.send(endpoint, bytes(size), p(A4), 9)
    for frame, size in zip(host.eth0.take_output(), (0, 1, 2, 3, 100, 1472), strict=True):
        taken = dissect(frame.data)
        assert taken.udp.length == 8 + size == 8 + len(taken.payload) and taken.checksums_ok
