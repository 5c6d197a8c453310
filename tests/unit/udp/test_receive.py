"""Who gets a datagram, and which ones nobody gets: section 8, item 23, of what an IP layer survives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from uinet.errors import WouldBlock
from uinet.udp.endpoint import DATAGRAM_COST, UdpEndpoint
from uinet.wire.addresses import L2Info, pack_address
from uinet.wire.build import fragments, frame, ip, udp
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_VALID

if TYPE_CHECKING:
    from tests.unit.udp.conftest import UdpHost

A4, B4, A6, B6 = "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"


def p(address: str) -> bytes:
    return pack_address(address)


def raw(source: str, destination: str, datagram: bytes) -> bytes:
    """A frame with `datagram`, whatever it is, as UDP."""
    return frame(ip(source, destination, 17, datagram))


def texts(endpoint: UdpEndpoint) -> list[bytes]:
    """Everything that waits in an endpoint."""
    found = []
    while endpoint.queue:
        found.append(endpoint.receive().data)
    return found


@pytest.mark.parametrize(("source", "destination"), [(A4, B4), (A6, B6)])
def test_bound_endpoint_gets_the_datagram_and_all_that_is_known_of_it(
    host: UdpHost, source: str, destination: str
) -> None:
    endpoint = host.bound(destination, 53)
    host.receive(udp(source, destination, 1000, 53, b"query", ttl=9, tos=3))
    datagram = endpoint.receive()
    assert (datagram.data, datagram.source, datagram.source_port) == (b"query", p(source), 1000)
    assert (datagram.destination, datagram.destination_port) == (p(destination), 53)
    assert (datagram.ttl, datagram.tos, datagram.time) == (9, 3, host.network.now)
    assert datagram.interface is host.eth0 and datagram.l2info is None
    assert host.stats["udp_rx"] == 1 and endpoint.received == 1
    with pytest.raises(WouldBlock):
        endpoint.receive()


def test_bound_endpoint_gets_an_empty_datagram(host: UdpHost) -> None:
    endpoint = host.bound(B4, 53)
    host.receive(udp(A4, B4, 1000, 53, b""))
    assert endpoint.readable and endpoint.receive().data == b"" and not endpoint.readable


def test_datagram_in_fragments_is_whole(host: UdpHost) -> None:
    endpoint = host.bound(B4, 53)
    body = bytes(range(256)) * 20
    for cut in fragments(udp(A4, B4, 1000, 53, body, layer=3), 1480):
        host.receive(frame(cut))
    assert texts(endpoint) == [body]


# length


@pytest.mark.parametrize("length", range(8))
def test_short_header_is_dropped(host: UdpHost, length: int) -> None:
    host.bound(B4, 53)
    host.receive(raw(A4, B4, b"\0\1\0\x35\0\x08\0\0"[:length]))
    assert host.stats["udp_short"] == 1 and host.sent() == []


@pytest.mark.parametrize("length", [0, 7, 13, 0xFFFF])
def test_length_that_lies_is_dropped(host: UdpHost, length: int) -> None:
    endpoint = host.bound(B4, 53)
    host.receive(raw(A4, B4, b"\0\1\0\x35" + length.to_bytes(2, "big") + b"\0\0data"))
    assert host.stats["udp_short"] == 1 and not endpoint.readable and host.sent() == []


def test_length_below_the_payload_trims_it(host: UdpHost) -> None:
    endpoint = host.bound(B4, 53)
    host.receive(raw(A4, B4, b"\0\1\0\x35\0\x0a\0\0data"))
    assert texts(endpoint) == [b"da"]


# checksum


def spoilt(source: str, destination: str, checksum: bytes) -> bytes:
    datagram = udp(source, destination, 1, 53, b"data", layer=3)[40 if ":" in source else 20 :]
    return raw(source, destination, datagram[:6] + checksum + datagram[8:])


@pytest.mark.parametrize(("source", "destination"), [(A4, B4), (A6, B6)])
def test_checksum_wrong_is_dropped_silently(host: UdpHost, source: str, destination: str) -> None:
    endpoint = host.bound("", 53)
    host.receive(spoilt(source, destination, b"\x12\x34"))
    assert host.stats["udp_bad_checksum"] == 1 and not endpoint.readable and host.sent() == []


def test_checksum_0_is_none_over_ipv4_and_wrong_over_ipv6(host: UdpHost) -> None:
    endpoint = host.bound("", 53)
    host.receive(spoilt(A4, B4, b"\0\0"))
    host.receive(spoilt(A6, B6, b"\0\0"))
    assert texts(endpoint) == [b"data"] and host.stats["udp_bad_checksum"] == 1


@pytest.mark.parametrize("state", [CHECKSUM_VALID, CHECKSUM_NEEDED])
def test_checksum_that_the_device_vouches_for_is_not_looked_at(host: UdpHost, state: int) -> None:
    endpoint = host.bound("", 53)
    host.receive(spoilt(A6, B6, b"\x12\x34"), checksum=state)
    assert texts(endpoint) == [b"data"]


def test_checksum_of_a_link_that_needs_none_is_not_looked_at(host: UdpHost) -> None:
    endpoint = host.bound("", 53)
    host.eth0.checksums = False
    host.receive(spoilt(A6, B6, b"\0\0"))
    assert texts(endpoint) == [b"data"]


# nobody


@pytest.mark.parametrize(("source", "destination", "type_code"), [(A4, B4, (3, 3)), (A6, B6, (1, 4))])
def test_no_port_is_answered_with_port_unreachable(
    host: UdpHost, source: str, destination: str, type_code: tuple[int, int]
) -> None:
    host.receive(udp(source, destination, 1000, 53, b"query"))
    (sent,) = host.sent()
    message = sent.icmp if ":" not in source else sent.icmpv6
    assert (message.type, message.code) == type_code and host.stats["udp_no_port"] == 1


def test_no_port_is_answered_once_per_rate_limit(host: UdpHost) -> None:
    for _ in range(50):
        host.receive(udp(A4, B4, 1000, 53, b"query"))
    assert len(host.sent()) == 6 and host.stats["icmp_rate_limited"] == 44


@pytest.mark.parametrize("destination", ["10.0.0.255", "255.255.255.255", "224.0.0.1", "ff02::1"])
def test_no_port_of_a_group_is_not_answered(host: UdpHost, destination: str) -> None:
    host.receive(udp(A6 if ":" in destination else A4, destination, 1000, 53))
    assert host.sent() == [] and host.stats["udp_no_port"] == 1


def test_unicast_address_in_a_group_frame_is_dropped(host: UdpHost) -> None:
    endpoint = host.bound("", 53)
    host.receive(udp(A4, B4, 1000, 53, l2=L2Info.make("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff")))
    assert host.sent() == [] and not endpoint.readable and host.stats["ip_not_ours"] == 1


@pytest.mark.threat(85)
@pytest.mark.parametrize(
    ("source", "destination"),
    [("224.0.0.9", B4), ("10.0.0.255", B4), ("255.255.255.255", B4), ("127.0.0.1", B4), (B4, B4), ("ff02::9", B6)],
)
def test_threat_85_source_that_is_no_peer_is_dropped(host: UdpHost, source: str, destination: str) -> None:
    endpoint = host.bound("", 53)
    host.receive(udp(source, destination, 1000, 53))
    assert host.sent() == [] and not endpoint.readable and host.stats["ip_martian_source"] == 1


def test_group_that_was_not_joined_is_dropped(host: UdpHost) -> None:
    endpoint = host.bound("", 5353)
    host.receive(udp(A4, "224.0.0.251", 5353, 5353, b"1"))
    assert not endpoint.readable and host.stats["ip_not_ours"] == 1
    endpoint.join(p("224.0.0.251"), host.eth0)
    host.receive(udp(A4, "224.0.0.251", 5353, 5353, b"2"))
    assert texts(endpoint) == [b"2"]
    endpoint.leave(p("224.0.0.251"), host.eth0)
    host.receive(udp(A4, "224.0.0.251", 5353, 5353, b"3"))
    assert not endpoint.readable


# who of several


def test_connected_comes_before_address_before_any(host: UdpHost) -> None:
    wildcard = host.bound("", 53, reuse_port=True)
    specific = host.bound(B4, 53, reuse_port=True)
    connected = host.bound(B4, 53, reuse_port=True)
    host.udp.connect(connected, p(A4), 1000)
    host.receive(udp(A4, B4, 1000, 53, b"connected"))
    host.receive(udp(A4, B4, 1001, 53, b"specific"))
    host.receive(udp("10.0.0.254", B4, 1000, 53, b"specific"))
    host.receive(udp(A6, B6, 1000, 53, b"wildcard"))
    assert (texts(connected), texts(specific), texts(wildcard)) == (
        [b"connected"], [b"specific", b"specific"], [b"wildcard"],
    )


def test_newest_of_equals_wins(host: UdpHost) -> None:
    first = host.bound(B4, 53, reuse_port=True)
    second = host.bound(B4, 53, reuse_port=True)
    host.receive(udp(A4, B4, 1000, 53, b"1"))
    host.udp.close(second)
    host.receive(udp(A4, B4, 1000, 53, b"2"))
    assert texts(first) == [b"2"] and second.queued == 0


def test_families_share_a_port_and_stay_apart(host: UdpHost) -> None:
    four, six = host.bound("0.0.0.0", 53), host.bound("::", 53)
    host.receive(udp(A4, B4, 1000, 53, b"4"))
    host.receive(udp(A6, B6, 1000, 53, b"6"))
    assert (texts(four), texts(six), four.family, six.family) == ([b"4"], [b"6"], 4, 16)


def test_group_and_broadcast_go_to_everybody(host: UdpHost) -> None:
    first = host.bound("", 5353, reuse_port=True)
    second = host.bound("", 5353, reuse_port=True)
    group = host.bound("224.0.0.251", 5353, reuse_port=True)
    six = host.bound("::", 5353, reuse_port=True)
    other = host.bound(B4, 5353, reuse_port=True)
    first.join(p("224.0.0.251"), host.eth0)
    host.receive(udp(A4, "224.0.0.251", 5353, 5353, b"group"))
    host.receive(udp(A4, "10.0.0.255", 5353, 5353, b"broadcast"))
    assert texts(first) == texts(second) == [b"group", b"broadcast"]
    assert texts(group) == [b"group"] and texts(six) == texts(other) == []


# bounds and notices


def test_buffer_full_drops_the_new_and_counts(host: UdpHost) -> None:
    endpoint = host.bound("", 53, receive_limit=3 * (DATAGRAM_COST + 10))
    for number in range(5):
        host.receive(udp(A4, B4, 1000, 53, bytes([number]) * 10))
    assert host.stats["udp_buffer_full"] == 2 and endpoint.dropped == 2
    assert [data[0] for data in texts(endpoint)] == [0, 1, 2] and endpoint.queued == 0


def test_buffer_of_tiny_datagrams_is_bounded_by_what_they_cost(host: UdpHost) -> None:
    endpoint = host.bound("", 53, receive_limit=100 * DATAGRAM_COST)
    for _ in range(300):
        host.receive(udp(A4, B4, 1000, 53, b""))
    assert len(endpoint.queue) == 100


def test_notify_is_called_when_it_becomes_readable(host: UdpHost) -> None:
    endpoint = host.bound("", 53)
    calls: list[UdpEndpoint] = []
    endpoint.notify = calls.append
    for _ in range(3):
        host.receive(udp(A4, B4, 1000, 53, b"x"))
    assert calls == [endpoint]
    endpoint.receive()
    host.receive(udp(A4, B4, 1000, 53, b"x"))
    assert calls == [endpoint]  # something waited all the time
    texts(endpoint)
    host.receive(udp(A4, B4, 1000, 53, b"x"))
    assert calls == [endpoint, endpoint]


def test_peek_leaves_the_datagram(host: UdpHost) -> None:
    endpoint = host.bound("", 53)
    with pytest.raises(WouldBlock):
        endpoint.peek()
    host.receive(udp(A4, B4, 1000, 53, b"x"))
    assert endpoint.peek() is endpoint.peek() is endpoint.receive()


@pytest.mark.parametrize("length", range(60))
def test_every_truncation_is_survived(host: UdpHost, length: int) -> None:
    host.bound("", 53)
    host.receive(udp(A4, B4, 1000, 53, b"0123456789")[:length])
    host.receive(udp(A6, B6, 1000, 53, b"0123456789")[:length])
    assert host.stats["udp_rx"] <= 1
