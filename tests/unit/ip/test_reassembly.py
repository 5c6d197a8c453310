"""Reassembly: threats 75 to 80, and section 8, items 6 to 10, of what an IP layer survives."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uinet.ip import reassembly
from uinet.units import SECOND
from uinet.wire import icmp, icmpv6, ipv4, ipv6, ipv6_extensions
from uinet.wire.addresses import pack_address
from uinet.wire.build import fragments, frame, ip, nd_message
from uinet.wire.ipv6_extensions import FragmentHeader, Option, OptionsHeader
from uinet.wire.nd import NeighborSolicitation

if TYPE_CHECKING:
    from tests.unit.ip.conftest import Bench, Transport

BODY = bytes(range(256)) * 8  # 2048 bytes: no two pieces of it are the same


def piece(
    offset: int, length: int, more: bool, *, ident: int = 7, family: int = 4, source: str = "", proto: int = 99,
    body: bytes = BODY, vlans: tuple[int, ...] = (), options: bytes = b"",
) -> bytes:
    """A frame with bytes `offset` to `offset + length` of `body`."""
    payload = body[offset : offset + length].ljust(length, b"\xee")
    if family == 4:
        header = ipv4.Ipv4Header(
            pack_address(source or "10.0.0.1"), pack_address("10.0.0.2"), proto, 64, 0, ident, int(more), offset,
            options,
        )
        return frame(ipv4.emit(header, payload), vlans=vlans)
    extension = FragmentHeader(proto, offset, more, ident)
    return frame(ip(source or "2001:db8::1", "2001:db8::2", proto, payload, extensions=(extension,)), vlans=vlans)


@pytest.fixture(params=[4, 16])
def family(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def transport(ready: Bench) -> Transport:
    return ready.handler(99)


def nothing_left(bench: Bench) -> bool:
    made = bench.network.reassembler
    return (made.cost, made.datagrams, made.sources, made.source_costs, bench.network.wheel.count) == (0, {}, {}, {}, 0)


@pytest.mark.rfc("1122", "3.3.2", "MUST implement reassembly")
@pytest.mark.rfc("815", "3", "pieces fill holes in whatever order they come")
@pytest.mark.rfc("8200", "4.5", "the destination reassembles fragments")
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_pieces_in_any_order_make_the_datagram(
    ready: Bench, transport: Transport, family: int, order: tuple[int, ...]
) -> None:
    pieces = [
        piece(0, 800, True, family=family), piece(800, 800, True, family=family),
        piece(1600, 448, False, family=family),
    ]
    for index in order:
        ready.receive(pieces[index])
    assert transport.segments == [BODY]
    assert ready.stats["frag_rx"] == 3 and ready.stats["frag_reassembled"] == 1
    assert nothing_left(ready)


def test_datagram_is_the_packet_that_was_cut(ready: Bench, transport: Transport) -> None:
    for family, packet in (
        (4, ip("10.0.0.1", "10.0.0.2", 99, BODY, ttl=33, tos=5)),
        (16, ip("2001:db8::1", "2001:db8::2", 99, BODY, ttl=33, tos=5, flow_label=77)),
    ):
        for cut in fragments(packet, 512, 9):
            ready.receive(frame(cut, vlans=(4,)))
        data = ready.whole.pop().data
        assert data[:18] == frame(b"")[:12] + bytes.fromhex("81000004" + ("0800" if family == 4 else "86dd"))
        if family == 4:
            assert ipv4.check(data, 18) and ipv4.checksum_ok(data, 18) and not ipv4.is_fragment(data, 18)
            assert data[38:] == BODY and ipv4.total_length(data, 18) == len(packet)
        else:
            assert data[18:] == packet


def test_ipv4_options_of_the_first_piece_stay(ready: Bench, transport: Transport) -> None:
    ready.receive(piece(800, 8, False))
    ready.receive(piece(0, 800, True, options=b"\x01\x01\x01\x00"))
    data = ready.whole[0].data
    assert ipv4.options(data, 14) == b"\x01\x01\x01\x00" and ipv4.checksum_ok(data, 14)


def test_ipv6_headers_before_the_fragment_header_stay(ready: Bench, transport: Transport) -> None:
    hop_by_hop = OptionsHeader(0, 0, (Option(1, bytes(4)),))
    for offset, length, more in ((0, 800, True), (800, 8, False)):
        extension = FragmentHeader(99, offset, more, 3)
        body = BODY[offset : offset + length]
        ready.receive(frame(ip("2001:db8::1", "2001:db8::2", 99, body, extensions=(hop_by_hop, extension))))
    data = ready.whole[0].data
    chain = ipv6_extensions.walk(data, 14)
    assert (chain.next_header, chain.fragment, chain.problem) == (99, -1, 0)
    assert ipv6.next_header(data, 14) == 0 and data[chain.offset :] == BODY[:808]


def test_same_piece_twice_is_harmless(ready: Bench, transport: Transport, family: int) -> None:
    for _ in range(3):
        ready.receive(piece(0, 800, True, family=family))
    ready.receive(piece(800, 8, False, family=family))
    assert transport.segments == [BODY[:808]] and ready.stats["frag_overlap"] == 0


@pytest.mark.rfc("8200", "4.5", "MUST abandon reassembly where fragments overlap, and discard what else comes")
@pytest.mark.rfc("5722", "4", "a datagram with overlapping fragments MUST be discarded whole, later ones included")
@pytest.mark.parametrize(
    "second",
    [(792, 16, True), (0, 808, True), (8, 8, True), (8, 16, False), (400, 800, True), (0, 800, True)],
)
@pytest.mark.threat(77)
def test_threat_77_overlap_condemns_the_datagram_until_its_time_is_up(
    ready: Bench, transport: Transport, family: int, second: tuple[int, int, bool]
) -> None:
    ready.receive(piece(0, 800, True, family=family))
    ready.receive(piece(*second, family=family, body=b"\xaa" * 2048))  # where it lies the same, its bytes differ
    assert ready.stats["frag_overlap"] == 1
    ready.receive(piece(800, 8, False, family=family))
    ready.receive(piece(0, 800, True, family=family))
    assert transport.segments == [] and ready.stats["frag_overlap"] == 3
    ready.advance(61)
    assert nothing_left(ready) and ready.sent() == []  # what is condemned gets no ICMP error
    ready.receive(piece(0, 800, True, family=family))
    ready.receive(piece(800, 8, False, family=family))
    assert len(transport.segments) == 1


@pytest.mark.threat(77)
@pytest.mark.parametrize(
    "pieces",
    [
        [(800, 8, False), (808, 8, True)],  # beyond the end
        [(800, 8, False), (1600, 8, False)],  # two ends
        [(800, 16, False), (800, 8, False)],
        [(1600, 8, True), (800, 8, False)],  # an end before what is there
        [(800, 8, True), (800, 8, False)],  # the same piece, the last one and not
        [(800, 8, False), (800, 8, True)],
    ],
)
def test_ends_that_contradict_condemn_the_datagram(
    ready: Bench, transport: Transport, family: int, pieces: list[tuple[int, int, bool]]
) -> None:
    for offset, length, more in pieces:
        ready.receive(piece(offset, length, more, family=family))
    ready.receive(piece(0, 800, True, family=family))
    assert transport.segments == [] and ready.stats["frag_overlap"] == 2


@pytest.mark.threat(76)
def test_threat_76_first_and_last_piece_alone_cost_little_and_time_out(
    ready: Bench, transport: Transport, family: int
) -> None:
    ready.receive(piece(0, 8, True, family=family))
    ready.receive(piece(65000, 8, False, family=family))
    assert ready.network.reassembler.cost < 2000
    ready.advance(31 if family == 4 else 61)
    assert nothing_left(ready) and ready.stats["frag_timeout"] == 1


@pytest.mark.rfc("1122", "3.3.2", "MUST send time exceeded when reassembly times out, if the first fragment has come")
@pytest.mark.rfc(
    "8200", "4.5",
    "60 s after the first fragment: discard, and time exceeded code 1 if the first fragment has come",
)
def test_timeout_is_told_if_the_first_piece_has_come(ready: Bench, family: int) -> None:
    ready.receive(piece(0, 1000, True, family=family))
    ready.advance(29 if family == 4 else 59)
    assert ready.sent() == [] and not nothing_left(ready)
    ready.advance(2)
    (sent,) = ready.sent()
    original = piece(0, 1000, True, family=family)[14:]
    if family == 4:
        assert (sent.icmp.type, sent.icmp.code) == (icmp.TIME_EXCEEDED, icmp.REASSEMBLY_TIME_EXCEEDED)
        assert sent.icmp.payload == original[:548] and len(sent.packet) == 576
    else:
        assert (sent.icmpv6.type, sent.icmpv6.code) == (icmpv6.TIME_EXCEEDED, icmpv6.REASSEMBLY_TIME_EXCEEDED)
        assert sent.icmpv6.payload == original and sent.checksums_ok
    assert nothing_left(ready)


def test_blackhole_is_silent_about_missing_pieces(ready: Bench, family: int) -> None:
    ready.network.settings.protocol_blackhole = True
    ready.receive(piece(0, 1000, True, family=family))
    ready.advance(61)
    assert ready.sent() == [] and ready.stats["frag_timeout"] == ready.stats["ip_blackholed"] == 1


@pytest.mark.rfc("792", "3", "no time exceeded without fragment zero")
def test_timeout_without_the_first_piece_is_silent(ready: Bench, family: int) -> None:
    ready.receive(piece(800, 8, True, family=family))
    ready.advance(61)
    assert ready.sent() == [] and ready.stats["frag_timeout"] == 1


def test_timeout_on_a_promiscuous_interface_is_silent(ready: Bench, family: int) -> None:
    wire = ready.network.add_interface("wire", cdom=1)
    ready.receive(piece(0, 800, True, family=family), wire)
    ready.advance(61)
    assert ready.sent(wire) == [] and ready.stats["frag_timeout"] == 1


@pytest.mark.threat(75)
def test_threat_75_fragments_of_a_datagram_are_bounded(ready: Bench, transport: Transport, family: int) -> None:
    for number in range(70):
        ready.receive(piece(number * 16, 8, True, family=family))
    assert ready.stats["frag_too_many"] == 1 and ready.stats["frag_overlap"] == 5
    assert ready.network.reassembler.cost == reassembly.DATAGRAM_COST


@pytest.mark.threat(75)
def test_threat_75_memory_of_one_source_is_bounded(ready: Bench, family: int) -> None:
    ready.receive(piece(0, 800, True, family=family, source="10.0.0.254" if family == 4 else "2001:db8::fe"))
    for ident in range(2000):
        ready.receive(piece(0, 1400, True, ident=ident, family=family))
    made = ready.network.reassembler
    assert made.cost < reassembly.SOURCE_LIMIT + 10_000
    assert ready.stats["frag_evicted"] > 1000
    assert len(made.sources) == 2  # the other's is still there


@pytest.mark.threat(75)
def test_threat_75_memory_of_many_sources_is_bounded_and_the_newest_stay(ready: Bench, transport: Transport) -> None:
    ready.network.reassembler.memory_limit = 100_000
    for number in range(500):
        ready.receive(piece(0, 1400, True, source=f"10.0.{number >> 8}.{number & 255}"))
        assert ready.network.reassembler.cost <= 100_000
    assert ready.stats["frag_evicted"] > 400
    ready.receive(piece(1400, 8, False, source="10.0.1.243"))
    assert transport.segments == [BODY[:1408]]
    ready.advance(61)
    assert nothing_left(ready)


def test_condemned_datagrams_count_against_the_memory_too(ready: Bench) -> None:
    ready.network.reassembler.memory_limit = 20 * reassembly.DATAGRAM_COST
    for ident in range(100):
        ready.receive(piece(0, 16, True, ident=ident))
        ready.receive(piece(8, 16, True, ident=ident))
    assert len(ready.network.reassembler.datagrams) <= 20


@pytest.mark.threat(78)
def test_threat_78_beyond_64_kib_is_dropped(ready: Bench, transport: Transport) -> None:
    ready.receive(piece(65528, 1000, False))
    assert ready.stats["frag_bad"] == 1 and nothing_left(ready)


@pytest.mark.threat(78)
def test_threat_78_beyond_64_kib_with_the_headers_is_dropped(ready: Bench, transport: Transport) -> None:
    """The options of the first piece make the whole longer than the last one could know."""
    last = 65480
    ready.receive(piece(last, 24, False))
    for offset in range(8, last, 1448):
        ready.receive(piece(offset, min(1448, last - offset), True))
    ready.receive(piece(0, 8, True, options=bytes(40)))
    assert transport.segments == [] and ready.stats["frag_bad"] == 1 and ready.stats["frag_reassembled"] == 0
    assert nothing_left(ready)


@pytest.mark.rfc("8200", "4.5", "more than 65,535 bytes: discard, parameter problem code 0 at the fragment offset")
def test_ipv6_beyond_64_kib_is_a_problem_of_the_offset_field(ready: Bench) -> None:
    ready.receive(piece(65528, 1000, False, family=16))
    (sent,) = ready.sent()
    assert (sent.icmpv6.type, sent.icmpv6.code, sent.icmpv6.pointer) == (icmpv6.PARAMETER_PROBLEM, 0, 42)
    assert ready.stats["frag_bad"] == 1


def test_piece_not_in_units_of_8_is_dropped(ready: Bench) -> None:
    ready.receive(piece(0, 801, True))
    assert ready.stats["frag_bad"] == 1 and ready.sent() == [] and nothing_left(ready)


@pytest.mark.rfc(
    "8200", "4.5",
    "a fragment not in units of 8 bytes: discard, parameter problem code 0 at the payload length",
)
def test_ipv6_piece_not_in_units_of_8_is_a_problem_of_the_length_field(ready: Bench) -> None:
    ready.receive(piece(0, 801, True, family=16))
    (sent,) = ready.sent()
    assert (sent.icmpv6.type, sent.icmpv6.code, sent.icmpv6.pointer) == (icmpv6.PARAMETER_PROBLEM, 0, 4)
    assert ready.stats["frag_bad"] == 1 and nothing_left(ready)


def test_piece_of_nothing_is_dropped(ready: Bench, family: int) -> None:
    ready.receive(piece(800, 0, False, family=family))
    ready.receive(piece(800, 0, True, family=family))
    assert ready.stats["frag_bad"] == 2 and nothing_left(ready)


@pytest.mark.rfc("1122", "3.3.2", "fragments are told apart by source, destination, protocol and identification")
@pytest.mark.rfc("8200", "4.5", "fragments are told apart by source, destination and identification")
@pytest.mark.parametrize("other", [{"ident": 8}, {"source": "10.0.0.254"}, {"proto": 98}, {"vlans": (5,)}])
def test_pieces_of_different_datagrams_do_not_mix(ready: Bench, other: dict[str, object]) -> None:
    ready.receive(piece(0, 800, True))
    ready.receive(piece(800, 8, False, **other))
    assert ready.whole == [] and len(ready.network.reassembler.datagrams) == 2


def test_pieces_of_different_interfaces_do_not_mix(ready: Bench) -> None:
    wire = ready.network.add_interface("wire", cdom=1)
    ready.receive(piece(0, 800, True))
    ready.receive(piece(800, 8, False), wire)
    assert ready.whole == [] and len(ready.network.reassembler.datagrams) == 2
    ready.network.remove_interface(wire)
    assert len(ready.network.reassembler.datagrams) == 1


@pytest.mark.threat(84)
def test_threat_84_priority_tag_does_not_part_pieces(ready: Bench, transport: Transport) -> None:
    ready.receive(piece(0, 800, True, vlans=(0,)))
    ready.receive(piece(800, 8, False))
    assert len(transport.segments) == 1


@pytest.mark.rfc("8200", "4.5", "a fragment that is the whole packet is processed by itself")
@pytest.mark.threat(80)
def test_threat_80_atomic_fragment_is_handled_alone(ready: Bench, transport: Transport) -> None:
    ready.receive(piece(0, 800, True, family=16))
    ready.receive(piece(0, 24, False, family=16))  # the same identification: RFC 6946
    assert transport.segments == [BODY[:24]] and ready.stats["frag_rx"] == 1
    ready.receive(piece(800, 8, False, family=16))
    assert len(transport.segments) == 2


def test_frames_are_kept_where_there_is_a_bridge(ready: Bench) -> None:
    wire = ready.network.add_interface("wire", cdom=1)
    other = ready.network.add_interface("other", cdom=2)
    frames = [piece(800, 8, False), piece(0, 800, True)]
    for data in frames:
        ready.receive(data, wire)
    assert ready.whole[0].frames == []
    wire.bridge = other
    for data in frames:
        ready.receive(data, wire)
    assert [kept.data for kept in ready.whole[1].frames] == frames


@pytest.mark.threat(79)
def test_threat_79_fragmented_neighbour_discovery_is_reassembled_and_no_more(ready: Bench) -> None:
    """A control: what is cut small works like any datagram, headers included."""
    whole = nd_message("2001:db8::1", "2001:db8::2", NeighborSolicitation(pack_address("2001:db8::2")), layer=3)
    for cut in fragments(whole, 8, 5):
        ready.receive(frame(cut))
    # the first piece does not hold the whole ICMPv6 header of 8 bytes and more: 8 suffice
    assert len(ready.whole) == 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_arrives_only_true_datagrams_come_out(data: st.DataObject) -> None:
    from uinet.ip.network import Network
    from uinet.wire.frame import Frame
    from uinet.wire.packet import Packet

    network = Network(b"s", now=SECOND)
    eth0 = network.add_interface("eth0")
    packet = Packet()
    packet.interface = eth0
    for _ in range(data.draw(st.integers(1, 40))):
        offset = data.draw(st.integers(0, 12)) * 8
        length = data.draw(st.sampled_from((0, 8, 16, 24, 5)))
        frame_bytes = piece(offset, length, data.draw(st.booleans()), ident=data.draw(st.integers(0, 1)))
        packet.parse_link(Frame(frame_bytes), 2)
        packet.parse_ipv4()
        whole = network.reassembler.add(
            packet, ipv4.identification(frame_bytes, 14), (packet.fragment & 0x1FFF) * 8,
            packet.fragment & 0x2000 != 0, packet.l4, packet.end, packet.proto,
        )
        if whole is not None:
            assert BODY.startswith(whole.data[34:]) and ipv4.check(whole.data, 14)
    made = network.reassembler
    assert made.cost == sum(datagram.cost for datagram in made.datagrams.values())
    assert made.cost == sum(made.source_costs.values())
    network.now += 61 * SECOND
    network.wheel.advance(network.now)
    assert made.cost == 0 and network.wheel.count == 0


def test_ipv6_beyond_64_kib_with_extension_headers_is_dropped(ready: Bench, transport: Transport) -> None:
    padding = OptionsHeader(0, 0, (Option(1, bytes(60)),))
    last = 65520

    def cut(offset: int, body: bytes, more: bool) -> bytes:
        extensions = (padding, FragmentHeader(99, offset, more, 3))
        return frame(ip("2001:db8::1", "2001:db8::2", 99, body, extensions=extensions))

    ready.receive(cut(last, bytes(8), False))
    for offset in range(0, last, 1440):
        ready.receive(cut(offset, bytes(min(1440, last - offset)), True))
    assert transport.segments == [] and ready.stats["frag_bad"] == 1 and nothing_left(ready)
