"""Echo, and ICMP errors that come in: threats 32 to 38, 83, 85, and section 8, items 15 to 20."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from uinet.errors import ConnectionRefused, HostUnreachable, MessageTooLong
from uinet.ip import icmp
from uinet.wire import icmp as v4
from uinet.wire import icmpv6 as v6
from uinet.wire import ipv4
from uinet.wire.addresses import L2Info, pack_address
from uinet.wire.build import fragments, frame, icmp_echo, icmp_message, ip, tcp, udp
from uinet.wire.ipv6_extensions import FragmentHeader
from uinet.wire.packet import Packet

if TYPE_CHECKING:
    from tests.unit.ip.conftest import Bench, Transport

A4, B4, A6, B6 = "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"


def p(address: str) -> bytes:
    return pack_address(address)


# echo


@pytest.mark.rfc("1122", "3.2.2.6", "MUST answer echo requests, with all the data that they carry")
@pytest.mark.rfc(
    "4443", "4.2",
    "MUST answer echo requests; the reply comes from the request's destination, with its data unchanged",
)
@pytest.mark.parametrize("size", [0, 1, 56, 1452])
@pytest.mark.parametrize(("source", "destination"), [(A4, B4), (A6, B6)])
def test_echo_is_answered_with_what_it_carried(ready: Bench, source: str, destination: str, size: int) -> None:
    payload = bytes(number & 255 for number in range(size))
    ready.receive(icmp_echo(source, destination, 0x1234, 0xFFFE, payload))
    (sent,) = ready.sent()
    message = sent.icmp if len(p(source)) == 4 else sent.icmpv6
    assert (message.type, message.code) == ((0, 0) if len(p(source)) == 4 else (129, 0))
    assert (message.identifier, message.sequence, message.payload) == (0x1234, 0xFFFE, payload)
    assert (sent.source, sent.destination, sent.checksums_ok) == (p(destination), p(source), True)
    assert ready.stats["icmp_rx"] == 1 and ready.stats["icmp_tx"] == 1


@pytest.mark.rfc("1122", "3.2.2.6", "an echo request may be as large as reassembly allows")
@pytest.mark.rfc("8200", "5", "reassembly of more than 1500 bytes")
@pytest.mark.parametrize(("source", "destination", "size"), [(A4, B4, 65507), (A6, B6, 65527)])
def test_echo_of_64_kib_in_fragments_is_answered_in_fragments(
    ready: Bench, source: str, destination: str, size: int
) -> None:
    for cut in fragments(icmp_echo(source, destination, payload=bytes(size), layer=3), 1448):
        ready.receive(frame(cut))
    sent = ready.sent()
    assert len(sent) in (45, 46)
    assert ready.stats["frag_reassembled"] == 1 and ready.stats["ip_tx_fragments"] == len(sent)


@pytest.mark.threat(81)
def test_echo_with_options_is_answered_without_them(ready: Bench) -> None:
    message = v4.emit(v4.echo(8, 1, 1, b"abc"))
    ready.receive(frame(ip(A4, B4, 1, message, options=b"\x07\x07\x04\0\0\0\0\0")))
    (sent,) = ready.sent()
    assert sent.ipv4.options == b"" and sent.icmp.payload == b"abc"


@pytest.mark.rfc("1122", "3.2.2.6", "an echo request to a broadcast or multicast address MAY be silently discarded")
@pytest.mark.parametrize(
    ("source", "destination"),
    [
        (A4, "10.0.0.255"), (A4, "255.255.255.255"), (A4, "224.0.0.1"), (A6, "ff02::1"),  # to a group
        ("224.0.0.1", B4), ("10.0.0.255", B4), ("0.0.0.0", B4), ("127.0.0.1", B4), ("240.0.0.1", B4),  # from no host
        ("255.255.255.255", B4), ("::", B6), ("ff02::1", B6), ("::1", B6),
    ],
)
def test_echo_to_a_group_or_from_no_host_is_ignored(ready: Bench, source: str, destination: str) -> None:
    ready.receive(icmp_echo(source, destination))
    assert ready.sent() == [] and ready.stats["icmp_ignored"] == 1


def test_echo_in_a_group_frame_is_ignored(ready: Bench) -> None:
    ready.receive(icmp_echo(A4, B4, l2=L2Info.make("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff")))
    assert ready.sent() == [] and ready.stats["icmp_ignored"] == 1


def test_echo_on_a_promiscuous_interface_is_answered_verbatim(ready: Bench) -> None:
    wire = ready.network.add_interface("wire", cdom=1)
    link = L2Info.make("02:00:00:00:00:0a", "02:00:00:00:00:0b", (100, 200))
    for source, destination in (("192.0.2.1", "198.51.100.1"), ("2001:db8:a::1", "2001:db8:b::1")):
        ready.receive(icmp_echo(source, destination, payload=b"hi", l2=link), wire)
        (sent,) = ready.sent(wire)
        assert sent.l2info == link.reversed() and sent.checksums_ok
        assert (sent.source, sent.destination) == (p(destination), p(source))


def test_echo_on_loopback_is_answered(bench: Bench) -> None:
    bench.network.icmp.send_echo(p("127.0.0.1"), 1, 1, b"self")
    interface, data = bench.network.loopback.pop()
    bench.receive(data, interface)
    ((_, data),) = bench.network.loopback
    assert ipv4.source(data) == p("127.0.0.1") and data[20] == v4.ECHO_REPLY


class Waiter:
    def __init__(self) -> None:
        self.replies: list[tuple[bytes, int, bytes]] = []
        self.errors: list[tuple[int, int, int, bytes, int]] = []

    def echo_reply(self, packet: Packet, sequence: int, payload: bytes) -> None:
        self.replies.append((packet.src, sequence, payload))

    def echo_error(self, kind: int, code: int, info: int, destination: bytes, sequence: int) -> None:
        self.errors.append((kind, code, info, destination, sequence))


@pytest.mark.rfc("1122", "3.2.2.6", "MUST pass echo replies to whoever asked")
@pytest.mark.rfc("4443", "4.2", "MUST pass echo replies to the process that asked")
@pytest.mark.parametrize(("ours", "peer"), [(B4, A4), (B6, A6)])
def test_ping_sends_and_hears_the_reply_for_its_identifier(ready: Bench, ours: str, peer: str) -> None:
    waiter = ready.network.icmp.waiters[77] = Waiter()
    ready.network.icmp.send_echo(p(peer), 77, 5, b"hello", ttl=9)
    (sent,) = ready.sent()
    assert sent.checksums_ok and (sent.source, sent.destination) == (p(ours), p(peer))
    assert sent.packet[8 if "." in peer else 7] == 9
    ready.receive(icmp_echo(peer, ours, 77, 5, b"hello", reply=True))
    ready.receive(icmp_echo(peer, ours, 78, 5, b"hello", reply=True))
    assert waiter.replies == [(p(peer), 5, b"hello")] and ready.stats["icmp_ignored"] == 1


@pytest.mark.rfc("1122", "3.2.4", "errors about requests reach who pings")
@pytest.mark.parametrize(("ours", "peer", "type_code"), [(B4, A4, (3, 1)), (B6, A6, (1, 3))])
def test_ping_hears_errors_about_its_requests(
    ready: Bench, ours: str, peer: str, type_code: tuple[int, int]
) -> None:
    waiter = ready.network.icmp.waiters[77] = Waiter()
    for identifier in (77, 78):
        quote = icmp_echo(ours, peer, identifier, 5, layer=3)
        ready.receive(icmp_message("10.0.0.254" if "." in peer else "2001:db8::fe", ours, *type_code, 0, quote))
    assert waiter.errors == [(icmp.HOST_UNREACHABLE, type_code[1], 0, p(peer), 5)]
    assert ready.stats["icmp_bad_quote"] == 1


def test_ping_to_a_neighbour_that_does_not_answer_hears_it(bench: Bench) -> None:
    waiter = bench.network.icmp.waiters[77] = Waiter()
    bench.network.icmp.send_echo(p("10.0.0.9"), 77, 5, b"")
    bench.advance(4)
    assert waiter.errors == [(icmp.HOST_UNREACHABLE, 1, 0, p("10.0.0.9"), 5)]


def test_reply_quoted_in_an_error_is_no_request_of_ours(ready: Bench) -> None:
    ready.network.icmp.waiters[77] = Waiter()
    quote = icmp_echo(B4, A4, 77, 5, reply=True, layer=3)
    ready.receive(icmp_message("10.0.0.254", B4, 3, 1, 0, quote))
    assert ready.stats["icmp_bad_quote"] == 1


# malformed


@pytest.mark.parametrize(("source", "destination", "proto"), [(A4, B4, 1), (A6, B6, 58)])
@pytest.mark.threat(83)
def test_threat_83_short_message_is_dropped(ready: Bench, source: str, destination: str, proto: int) -> None:
    request = b"\x08\0\xf7\xff\0\0\0\0" if proto == 1 else b"\x80\0\0\0\0\0\0\0"
    for length in range(8):
        ready.receive(frame(ip(source, destination, proto, request[:length])))
    assert ready.stats["icmp_short"] == 8 and ready.sent() == []


@pytest.mark.rfc("4443", "2.3", "the checksum covers the message and a pseudo-header; what fails is dropped")
@pytest.mark.parametrize(("source", "destination"), [(A4, B4), (A6, B6)])
def test_bad_checksum_is_dropped(ready: Bench, source: str, destination: str) -> None:
    data = icmp_echo(source, destination, payload=b"abc")
    ready.receive(data[:-1] + b"d")
    assert ready.stats["icmp_bad_checksum"] == 1 and ready.sent() == []


@pytest.mark.rfc("1122", "3.2.2", "MUST silently discard ICMP messages of an unknown type")
@pytest.mark.rfc("1122", "3.2.2.7", "SHOULD NOT implement information requests and replies")
@pytest.mark.rfc("1122", "3.2.2.9", "MUST NOT answer address mask requests unless it is an agent for that")
@pytest.mark.parametrize("kind", [4, 5, 9, 10, 13, 14, 15, 17, 40, 255])
def test_deprecated_and_unknown_types_are_ignored(ready: Bench, kind: int) -> None:
    quote = udp(B4, A4, 5, 6, layer=3)
    transport = ready.handler(17)
    ready.receive(icmp_message(A4, B4, kind, 0, 0, quote))
    assert transport.errors == [] and ready.sent() == [] and ready.stats["icmp_ignored"] == 1


@pytest.mark.rfc("4443", "2.4", "(b) MUST silently discard informational messages of an unknown type")
@pytest.mark.parametrize("kind", [130, 131, 143, 200, 255])
def test_unknown_types_of_icmpv6_are_ignored(ready: Bench, kind: int) -> None:
    ready.receive(icmp_message(A6, B6, kind, 0, 0, bytes(40)))
    assert ready.sent() == [] and ready.stats["icmp_ignored"] == 1


@pytest.mark.rfc("4443", "2.4", "(a) MUST pass errors of an unknown type to the upper layer")
@pytest.mark.parametrize("kind", [0, 5, 100, 127])
def test_icmpv6_errors_of_unknown_types_reach_the_transport_as_transient(ready: Bench, kind: int) -> None:
    transport = ready.handler(17)
    quote = udp(B6, "2001:db8:9::1", 1000, 53, b"query", layer=3)
    ready.receive(icmp_message("2001:db8::fe", B6, kind, 0, 0, quote))
    assert [error[0] for error in transport.errors] == [icmp.TIME_EXCEEDED]
    ready.receive(icmp_message("2001:db8::fe", B6, kind, 0, 0, bytes(40)))
    assert len(transport.errors) == 1 and ready.stats["icmp_bad_quote"] == 1


def test_icmp_of_the_other_family_is_ignored(ready: Bench) -> None:
    ready.receive(frame(ip(A6, B6, 1, v4.emit(v4.echo(8, 1, 1)))))
    ready.receive(frame(ip(A4, B4, 58, v4.emit(v4.echo(128, 1, 1)))))
    assert ready.sent() == [] and ready.stats["icmp_ignored"] == 2


# errors in


@pytest.fixture
def transport(ready: Bench) -> Transport:
    return ready.handler(17)


V4_CODES = [
    (3, 0, icmp.NET_UNREACHABLE), (3, 1, icmp.HOST_UNREACHABLE), (3, 2, icmp.PROTOCOL_UNREACHABLE),
    (3, 3, icmp.PORT_UNREACHABLE), (3, 5, icmp.HOST_UNREACHABLE), (3, 6, icmp.NET_UNREACHABLE),
    (3, 9, icmp.PROHIBITED), (3, 13, icmp.PROHIBITED), (3, 15, icmp.PROHIBITED), (11, 0, icmp.TIME_EXCEEDED),
    (11, 1, icmp.TIME_EXCEEDED),
]
V6_CODES = [
    (1, 0, icmp.NET_UNREACHABLE), (1, 1, icmp.PROHIBITED), (1, 2, icmp.NET_UNREACHABLE),
    (1, 3, icmp.HOST_UNREACHABLE), (1, 4, icmp.PORT_UNREACHABLE), (1, 6, icmp.PROHIBITED),
    (3, 0, icmp.TIME_EXCEEDED), (4, 1, icmp.PROTOCOL_UNREACHABLE),
]


@pytest.mark.rfc("1122", "3.2.2.1", "MUST report destination unreachable to the transport")
@pytest.mark.rfc("1122", "3.2.2.4", "MUST pass time exceeded to the transport")
@pytest.mark.rfc("1122", "3.2.2", "MUST demultiplex errors by the transport header that they quote")
@pytest.mark.parametrize(("kind", "code", "means"), V4_CODES)
def test_error_reaches_the_transport_it_is_about(
    ready: Bench, transport: Transport, kind: int, code: int, means: int
) -> None:
    quote = udp(B4, "8.8.8.8", 1000, 53, b"query", layer=3)
    ready.receive(icmp_message("10.0.0.254", B4, kind, code, 0, quote))
    assert transport.errors == [(means, code, 0, p(B4), p("8.8.8.8"), quote[20:])]
    assert ready.stats["icmp_bad_quote"] == 0


@pytest.mark.rfc("4443", "3.1", "MUST notify the upper layer of destination unreachable")
@pytest.mark.rfc("4443", "3.3", "MUST notify the upper layer of time exceeded")
@pytest.mark.rfc("4443", "2.4", "(d) the upper layer is found by the next header of the packet that the error quotes")
@pytest.mark.parametrize(("kind", "code", "means"), V6_CODES)
def test_icmpv6_error_reaches_the_transport_it_is_about(
    ready: Bench, transport: Transport, kind: int, code: int, means: int
) -> None:
    quote = udp(B6, "2001:db8:9::1", 1000, 53, b"query", layer=3)
    ready.receive(icmp_message("2001:db8::fe", B6, kind, code, 0, quote))
    assert transport.errors == [(means, code, 0, p(B6), p("2001:db8:9::1"), quote[40:])]


@pytest.mark.rfc("1122", "3.2.2.5", "MUST pass parameter problems to the transport")
@pytest.mark.rfc("4443", "3.4", "MUST notify the upper layer of parameter problems")
def test_error_of_parameters_tells_the_pointer(ready: Bench, transport: Transport) -> None:
    ready.receive(icmp_message("10.0.0.254", B4, 12, 0, 20 << 24, udp(B4, "8.8.8.8", 1, 2, layer=3)))
    ready.receive(icmp_message("2001:db8::fe", B6, 4, 0, 6, udp(B6, "2001:db8:9::1", 1, 2, layer=3)))
    assert [error[:3] for error in transport.errors] == [
        (icmp.PARAMETER_PROBLEM, 0, 20), (icmp.PARAMETER_PROBLEM, 0, 6),
    ]


def test_error_with_an_unknown_code_is_ignored(ready: Bench, transport: Transport) -> None:
    ready.receive(icmp_message("10.0.0.254", B4, 3, 16, 0, udp(B4, "8.8.8.8", 1, 2, layer=3)))
    ready.receive(icmp_message("2001:db8::fe", B6, 1, 7, 0, udp(B6, "2001:db8:9::1", 1, 2, layer=3)))
    assert transport.errors == [] and ready.stats["icmp_ignored"] == 2


@pytest.mark.parametrize("quote", [
    b"", b"\x45" * 10, udp(B4, "8.8.8.8", 1, 2, layer=3)[:27],  # short
    udp("10.0.0.77", "8.8.8.8", 1, 2, layer=3),  # not from here
    udp("127.0.0.2", "8.8.8.8", 1, 2, layer=3),
    tcp(B4, "8.8.8.8", 1, 2, layer=3),  # no such transport
    fragments(ip(B4, "8.8.8.8", 17, bytes(64)), 32)[1],  # not the first piece
    udp(B6, "2001:db8:9::1", 1, 2, layer=3),  # the other family
])  # fmt: skip
def test_threat_16_quote_that_proves_nothing_is_dropped(ready: Bench, transport: Transport, quote: bytes) -> None:
    ready.receive(icmp_message("10.0.0.254", B4, 3, 3, 0, quote))
    assert transport.errors == [] and ready.stats["icmp_bad_quote"] == 1 and ready.sent() == []


@pytest.mark.parametrize("quote", [
    b"", b"\x60" * 39, udp(B6, A6, 1, 2, layer=3)[:47], udp("2001:db8::77", A6, 1, 2, layer=3),
    ip(B6, A6, 17, bytes(8), extensions=(FragmentHeader(0, 8, True, 1),)), udp(B4, A4, 1, 2, layer=3),
])  # fmt: skip
def test_threat_16_icmpv6_quote_that_proves_nothing_is_dropped(
    ready: Bench, transport: Transport, quote: bytes
) -> None:
    ready.receive(icmp_message("2001:db8::fe", B6, 1, 4, 0, quote))
    assert transport.errors == [] and ready.stats["icmp_bad_quote"] == 1


def test_error_that_the_transport_does_not_believe_is_counted(ready: Bench, transport: Transport) -> None:
    transport.believes = False
    ready.receive(icmp_message("10.0.0.254", B4, 3, 3, 0, udp(B4, "8.8.8.8", 1, 2, layer=3)))
    assert ready.stats["icmp_bad_quote"] == 1


def test_error_on_a_promiscuous_interface_reaches_its_transport(ready: Bench, transport: Transport) -> None:
    wire = ready.network.add_interface("wire", cdom=1)
    ready.receive(icmp_message("192.0.2.9", "192.0.2.1", 3, 3, 0, udp("192.0.2.1", "192.0.2.9", 1, 2, layer=3)), wire)
    assert [error[0] for error in transport.errors] == [icmp.PORT_UNREACHABLE]


# too big


def too_big(ready: Bench, mtu: int, size: int = 1500, *, code: int = 4) -> None:
    quote = udp(B4, "8.8.8.8", 1000, 53, bytes(size - 28), layer=3)[:100]
    ready.receive(icmp_message("10.0.0.254", B4, 3, code, mtu, quote))


@pytest.mark.rfc("4443", "3.2", "MUST pass Packet Too Big to the upper layer")
@pytest.mark.parametrize(
    ("mtu", "path"),
    [(1400, 1400), (552, 552), (551, 552), (68, 552), (1, 552), (0, 1492), (1499, 1499), (0xABCD0000 | 1300, 1300)],
)
@pytest.mark.threat(34)
def test_threat_34_too_big_lowers_the_path_mtu_to_the_floor_at_most(
    ready: Bench, transport: Transport, mtu: int, path: int
) -> None:
    route = ready.network.route(p("8.8.8.8"))
    too_big(ready, mtu)
    assert [error[:3] for error in transport.errors] == [(icmp.TOO_BIG, 4, path)]
    assert route.generation != ready.network.generation
    assert ready.network.route(p("8.8.8.8")).mtu == path and ready.network.route(p("8.8.4.4")).mtu == 1500


@pytest.mark.rfc("8201", "4", "MUST NOT raise the path MTU by a Packet Too Big")
@pytest.mark.parametrize("mtu", [1500, 1501, 9000, 65535])
@pytest.mark.threat(34)
def test_threat_34_too_big_never_raises(ready: Bench, transport: Transport, mtu: int) -> None:
    too_big(ready, mtu)
    assert transport.errors == [] and ready.stats["icmp_bad_quote"] == 1
    assert ready.network.route(p("8.8.8.8")).mtu == 1500


@pytest.mark.threat(34)
def test_threat_34_too_big_that_nobody_believes_changes_nothing(ready: Bench, transport: Transport) -> None:
    transport.believes = False
    too_big(ready, 1000)
    assert ready.network.route(p("8.8.8.8")).mtu == 1500


@pytest.mark.rfc("8201", "4", "MUST discard a Packet Too Big of less than 1280")
@pytest.mark.rfc("5927", "7.2", "a reported MTU that the packet would have fitted is ignored")
@pytest.mark.parametrize(("mtu", "path"), [(1400, 1400), (1280, 1280), (1279, 1500), (0, 1500), (1500, 1500)])
@pytest.mark.threat(34)
def test_threat_34_packet_too_big_below_1280_or_not_below_the_packet_is_discarded(
    ready: Bench, transport: Transport, mtu: int, path: int
) -> None:
    quote = udp(B6, "2001:db8:9::1", 1000, 53, bytes(1452), layer=3)[:1200]
    ready.receive(icmp_message("2001:db8::fe", B6, 2, 0, mtu, quote))
    assert ready.network.route(p("2001:db8:9::1")).mtu == path
    assert (transport.errors == []) is (path == 1500)


def test_too_big_on_a_promiscuous_interface_leaves_routed_paths_alone(ready: Bench, transport: Transport) -> None:
    wire = ready.network.add_interface("wire", cdom=1)
    quote = udp("10.0.0.2", "8.8.8.8", 1, 2, bytes(1400), layer=3)[:100]
    ready.receive(icmp_message("10.0.0.254", "10.0.0.2", 3, 4, 1000, quote), wire)
    assert len(transport.errors) == 1 and ready.network.route(p("8.8.8.8")).mtu == 1500


def test_kinds_have_exceptions() -> None:
    assert isinstance(icmp.exception_of(icmp.PORT_UNREACHABLE), ConnectionRefused)
    assert isinstance(icmp.exception_of(icmp.HOST_UNREACHABLE), HostUnreachable)
    assert isinstance(icmp.exception_of(icmp.TOO_BIG), MessageTooLong)
    assert v6.is_error(1)
