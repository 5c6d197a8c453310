"""One packet to one segment: link layers, IP headers, lengths, cuts, checksums.

A number in a test's name is that of its case in the list of what passive receive must survive.
"""

from __future__ import annotations

import struct

import pytest

from tests.unit.passive.decoding import A4, A6, B4, B6, PAD, Decoding
from uinet.passive.codes import BAD, OTHER, SEGMENT, SUM_BAD, SUM_GOOD, SUM_UNFINISHED, SUM_UNKNOWN
from uinet.wire import build
from uinet.wire import ipv6_extensions as ext
from uinet.wire.addresses import VlanTag, pack_address
from uinet.wire.kernels import checksum
from uinet.wire.tcp_options import Mss, Nop, Sack, Timestamps, Unknown, WindowScale

MACS = bytes(range(2, 14))
SEQ = 0xFFFF_FFF0
IP4 = build.tcp(A4, B4, 1000, 80, "PA", seq=SEQ, ack=7, window=99, payload=b"hello", layer=3)
IP6 = build.tcp(A6, B6, 1000, 80, "PA", seq=SEQ, ack=7, window=99, payload=b"hello", layer=3)
BOTH = pytest.mark.parametrize("packet", [IP4, IP6], ids=["v4", "v6"])


@pytest.fixture
def decoding() -> Decoding:
    return Decoding()


def ethertype(packet: bytes) -> bytes:
    return b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"


def check_hello(decoding: Decoding, code: int) -> None:
    seg, packet = decoding.decoder.seg, decoding.decoder.packet
    assert code == SEGMENT, decoding.counts
    assert (seg.source_port, seg.destination_port, seg.seq, seg.ack, seg.flags, seg.window) == (
        1000, 80, SEQ, 7, 0x18, 99,
    )
    assert (seg.length, decoding.payload, decoding.decoder.sum) == (5, b"hello", SUM_GOOD)
    a, b = (A4, B4) if packet.version == 4 else (A6, B6)
    assert packet.src[-len(pack_address(a)) :] == pack_address(a)
    assert packet.dst[-len(pack_address(b)) :] == pack_address(b)


def reseal(packet: bytes) -> bytes:
    """An IPv4 packet with its header's checksum made right."""
    header = bytearray(packet[: (packet[0] & 15) * 4])
    header[10:12] = bytes(2)
    header[10:12] = struct.pack(">H", checksum(header, 0, len(header), 0) ^ 0xFFFF)
    return bytes(header) + packet[len(header) :]


# Link layers


@BOTH
@pytest.mark.parametrize("header", [
    b"", MACS, b"\2\0\0\0", b"\0\0\0\2", bytes(14), b"SLL2",
], ids=["raw", "ethernet", "null", "loop", "sll", "sll2"])
def test_each_link_header_leads_to_the_segment(decoding: Decoding, packet: bytes, header: bytes) -> None:
    six = packet is IP6
    if header == MACS:
        code = decoding(MACS + ethertype(packet) + packet)
        assert decoding.decoder.packet.l3 == PAD + 14
    elif header == b"SLL2":
        code = decoding(ethertype(packet) + bytes(18) + packet, 276)
    elif len(header) == 14:
        code = decoding(header + ethertype(packet) + packet, 113)
    elif header:
        link_type = 108 if header[0] == 0 else 0
        code = decoding(header.replace(b"\2", b"\x1e") + packet if six else header + packet, link_type)
    else:
        code = decoding(packet, 229 if six else 228)
        assert decoding.decoder.link_length == 0
    check_hello(decoding, code)


@BOTH
@pytest.mark.parametrize("link_type", [12, 14, 101])
def test_raw_ip_tells_its_version_itself(decoding: Decoding, packet: bytes, link_type: int) -> None:
    check_hello(decoding, decoding(packet, link_type))


@pytest.mark.parametrize("family", [10, 23, 24, 28, 30])
@pytest.mark.parametrize("order", ["<I", ">I"])
def test_each_systems_number_of_ipv6_is_known_in_either_byte_order(
    decoding: Decoding, family: int, order: str,
) -> None:
    check_hello(decoding, decoding(struct.pack(order, family) + IP6, 0))


def test_an_unknown_family_or_link_type_is_no_tcp(decoding: Decoding) -> None:
    assert decoding(struct.pack("<I", 7) + IP4, 0) == OTHER
    assert decoding(IP4, 4711) == OTHER
    assert decoding(b"\x50" + IP4, 101) == OTHER
    assert decoding(build.arp_request(A4, B4)) == OTHER
    assert decoding.counts == {"link_other": 4}


@BOTH
def test_57_vlan_stacks_of_every_tpid_are_read_and_vid_0_does_not_count(decoding: Decoding, packet: bytes) -> None:
    tags = b"".join(struct.pack(">HH", tpid, tci) for tpid, tci in (
        (0x88A8, 0xE001), (0x8100, 0x6000), (0x9100, 2), (0x9200, 3), (0x9300, 0x0FFF),
    ))
    frame = MACS + tags + ethertype(packet) + packet
    check_hello(decoding, decoding(frame))
    decoder = decoding.decoder
    assert decoder.packet.tags == 5
    assert decoder.packet.vids == b"\0\1\0\2\0\3\x0f\xff"
    assert (decoder.link_start, decoder.link_length) == (PAD, 34)


def test_57_an_untagged_frame_behind_a_tagged_one_has_no_tags(decoding: Decoding) -> None:
    check_hello(decoding, decoding(MACS + b"\x81\0\0\7\x08\0" + IP4))
    assert decoding.decoder.packet.vids == b"\0\7"
    check_hello(decoding, decoding(MACS + b"\x08\0" + IP4))
    assert (decoding.decoder.packet.vids, decoding.decoder.packet.tags) == (b"", 0)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 16])
def test_57_sixteen_tags_are_read_and_equal_stacks_share_their_name(decoding: Decoding, count: int) -> None:
    vids = tuple(range(4000, 4000 + count))
    frame = build.tcp(A4, B4, 1, 2, vlans=vids)
    other = build.tcp(A4, B4, 1, 2, vlans=(*vids[:-1], 9))
    assert decoding(frame) == SEGMENT
    first = decoding.decoder.packet.vids
    assert first == b"".join(vid.to_bytes(2, "big") for vid in vids)
    assert decoding(other) == SEGMENT
    assert decoding.decoder.packet.vids == first[:-2] + b"\0\x09"
    assert decoding(frame) == SEGMENT
    assert decoding.decoder.packet.vids is first


def test_57_a_seventeenth_tag_is_too_much(decoding: Decoding) -> None:
    frame = MACS + b"\x81\0\0\1" * 17 + b"\x08\0" + IP4
    assert decoding(frame) == BAD
    assert decoding.counts == {"link_too_deep": 1}


def test_57_names_of_stacks_do_not_pile_up(decoding: Decoding) -> None:
    for vid in range(1, 4095):
        for vlans in ((vid,), (vid, 4095 - vid), (vid, 1, 1)):
            assert decoding(build.tcp(A4, B4, 1, 2, vlans=vlans), captured=34 + 16 + 4 * len(vlans)) == SEGMENT
            assert decoding.decoder.packet.vids == b"".join(tag.to_bytes(2, "big") for tag in vlans)


@BOTH
@pytest.mark.parametrize("tags", [b"", b"\x88\xa8\0\5\x81\0\0\6"], ids=["plain", "QinQ"])
@pytest.mark.parametrize("compressed", [False, True])
def test_57_pppoe_sessions_are_looked_through(
    decoding: Decoding, packet: bytes, tags: bytes, compressed: bool,
) -> None:
    number = 0x21 if packet is IP4 else 0x57
    ppp = (bytes((number,)) if compressed else bytes((0, number))) + packet
    frame = MACS + tags + b"\x88\x64\x11\0\x12\x34" + struct.pack(">H", len(ppp)) + ppp + b"padding"
    check_hello(decoding, decoding(frame))
    assert decoding.decoder.packet.vids == (b"\0\5\0\6" if tags else b"")
    assert decoding.decoder.link_length == 14 + len(tags)


def test_pppoe_that_is_no_session_data_is_no_tcp(decoding: Decoding) -> None:
    assert decoding(MACS + b"\x88\x64\x11\xa7\0\1\0\x2f\0\x21" + IP4) == OTHER
    assert decoding(MACS + b"\x88\x64\x11\0\0\1\0\x2f\xc0\x21" + IP4) == OTHER


@BOTH
@pytest.mark.parametrize("depth", [1, 2, 40])
@pytest.mark.parametrize("kind", [b"\x88\x47", b"\x88\x48"])
def test_57_mpls_labels_of_any_depth_are_looked_through(
    decoding: Decoding, packet: bytes, depth: int, kind: bytes,
) -> None:
    labels = b"\0\1\0\x40" * (depth - 1) + b"\0\1\1\x40"
    check_hello(decoding, decoding(MACS + b"\x81\0\0\7" + kind + labels + packet))
    assert decoding.decoder.packet.vids == b"\0\7"


@BOTH
@pytest.mark.parametrize("control", [b"", bytes(4)], ids=["plain", "control word"])
def test_57_a_pseudowire_has_a_frame_with_its_own_tags(decoding: Decoding, packet: bytes, control: bytes) -> None:
    inner = bytes((0x02, 9, 9, 9, 9, 9)) + MACS[6:] + b"\x81\0\0\x08" + ethertype(packet) + packet
    frame = MACS + b"\x81\0\0\7\x88\x47\0\1\1\x40" + control + inner
    check_hello(decoding, decoding(frame))
    decoder = decoding.decoder
    assert decoder.packet.vids == b"\0\7\0\x08"
    start = decoder.link_start
    assert decoder.packet.data[start : start + decoder.link_length] == inner[:18]


def test_mpls_that_carries_no_ip_is_no_tcp(decoding: Decoding) -> None:
    assert decoding(MACS + b"\x88\x47\0\1\1\x40\x10\0\0\0" + bytes(60)) == OTHER  # an associated channel
    assert decoding(MACS + b"\x88\x47\0\1\1\x40" + bytes(60)) == OTHER


@BOTH
@pytest.mark.parametrize("organization", [b"\0\0\0", b"\0\0\xf8"])
def test_snap_is_looked_through(decoding: Decoding, packet: bytes, organization: bytes) -> None:
    frame = MACS + struct.pack(">H", 8 + len(packet)) + b"\xaa\xaa\3" + organization + ethertype(packet) + packet
    check_hello(decoding, decoding(frame))
    assert decoding(frame.replace(b"\xaa\xaa\3", b"\x42\x42\3")) == OTHER
    assert decoding(frame.replace(b"\xaa\xaa\3" + organization, b"\xaa\xaa\3\0\0\x0c")) == OTHER


@BOTH
def test_tags_in_a_cooked_capture_are_read(decoding: Decoding, packet: bytes) -> None:
    check_hello(decoding, decoding(bytes(14) + b"\x81\0\0\7" + ethertype(packet) + packet, 113))
    assert decoding.decoder.packet.vids == b"\0\7"
    assert (decoding.decoder.link_start, decoding.decoder.link_length) == (0, 0)


@BOTH
def test_snap_in_a_cooked_capture_is_looked_through(decoding: Decoding, packet: bytes) -> None:
    check_hello(decoding, decoding(bytes(14) + b"\0\4\xaa\xaa\3\0\0\0" + ethertype(packet) + packet, 113))


# Lengths and cuts


@BOTH
def test_55_padding_and_checksum_of_the_frame_are_no_payload(decoding: Decoding, packet: bytes) -> None:
    check_hello(decoding, decoding(MACS + ethertype(packet) + packet + b"padding and FCS"))
    assert decoding.decoder.packet.end == PAD + 14 + len(packet)


@BOTH
def test_55_what_the_snap_length_cut_is_known_by_its_size(decoding: Decoding, packet: bytes) -> None:
    frame = MACS + ethertype(packet) + packet
    assert decoding(frame, captured=len(frame) - 3) == SEGMENT
    assert (decoding.decoder.seg.length, decoding.payload) == (5, b"he")
    assert decoding.decoder.sum == SUM_UNKNOWN
    assert decoding(frame, captured=len(frame) - 5) == SEGMENT
    assert (decoding.decoder.seg.length, decoding.decoder.captured) == (5, 0)
    assert decoding.counts == {}


@pytest.mark.parametrize("there", range(16, 33))
def test_55_a_cut_within_the_tcp_header_leaves_what_is_there(decoding: Decoding, there: int) -> None:
    frame = build.tcp(A4, B4, 1, 2, "A", seq=SEQ, payload=b"hello", options=(Timestamps(3, 4),), urgent_pointer=9)
    assert decoding(frame, captured=34 + there) == SEGMENT
    seg = decoding.decoder.seg
    assert (seg.seq, seg.length, decoding.decoder.captured) == (SEQ, 5, 0)
    assert seg.urgent == (9 if there >= 20 else 0)
    assert seg.has_timestamps == (there >= 30)  # behind them are two bytes of padding


@pytest.mark.parametrize("there", range(50))
def test_55_a_cut_before_the_window_is_counted(decoding: Decoding, there: int) -> None:
    assert decoding(build.tcp(A4, B4, 1, 2, "A"), captured=there) == BAD
    assert decoding.counts == {"headers_cut": 1}


@pytest.mark.parametrize(("there", "name"), [
    (0, "link_short"), (13, "link_short"), (14, "ip_short"), (33, "ip_short"),
])
def test_a_frame_that_was_never_longer_is_damaged(decoding: Decoding, there: int, name: str) -> None:
    assert decoding(build.tcp(A4, B4, 1, 2, "A")[:there]) == BAD
    assert decoding.counts == {name: 1}


def test_55_a_length_of_0_is_that_of_the_frame(decoding: Decoding) -> None:
    packet = reseal(IP4[:2] + b"\0\0" + IP4[4:])
    check_hello(decoding, decoding(MACS + b"\x08\0" + packet))
    assert decoding.counts == {"ip_no_length": 1}
    assert decoding(packet, 101, captured=40) == SEGMENT
    assert (decoding.decoder.seg.length, decoding.decoder.captured) == (5, 0)


def test_55_a_segment_before_segmentation_is_longer_than_64_kib(decoding: Decoding) -> None:
    for packet in (reseal(IP4[:2] + b"\0\0" + IP4[4:]), IP6[:4] + b"\0\0" + IP6[6:]):
        assert decoding(packet + bytes(200_000), 101) == SEGMENT
        assert decoding.decoder.seg.length == decoding.decoder.captured == 200_005


def test_55_a_packet_longer_than_its_frame_ends_with_it(decoding: Decoding) -> None:
    for packet in (IP4, IP6):
        assert decoding(packet[:-2], 101) == SEGMENT
        assert (decoding.decoder.seg.length, decoding.payload) == (3, b"hel")
        assert decoding.decoder.sum == SUM_UNKNOWN
        assert Decoding(checksums="verify")(packet[:-2], 101) == BAD
    assert decoding.counts == {"ip_overlong": 2}


def test_a_packet_longer_than_its_pppoe_payload_ends_with_it(decoding: Decoding) -> None:
    frame = MACS + b"\x88\x64\x11\0\0\1" + struct.pack(">H", len(IP4)) + b"\0\x21" + IP4 + b"\0" * 6
    assert decoding(frame) == SEGMENT
    assert (decoding.decoder.seg.length, decoding.payload) == (3, b"hel")


@pytest.mark.parametrize(("at", "value", "name"), [
    (0, 0x65, "ip_bad_version"), (0, 0x44, "ip_bad_header_length"), (3, 19, "ip_bad_length"),
    (3, 39, "tcp_short"), (32, 0x40, "tcp_short"), (32, 0x70, "tcp_short"),
])
def test_47_impossible_lengths_are_damage(decoding: Decoding, at: int, value: int, name: str) -> None:
    packet = bytearray(IP4)
    packet[at] = value
    sealed = reseal(bytes(packet)) if packet[0] == 0x45 else bytes(packet)
    assert decoding(sealed, 228) == BAD
    assert decoding.counts == {name: 1}


@pytest.mark.parametrize(("start", "captured"), [(-1, 5), (0, -1), (0, 61), (61, 0), (1 << 62, 1 << 62), (50, 11)])
def test_a_packet_outside_its_block_is_refused(decoding: Decoding, start: int, captured: int) -> None:
    assert decoding.decoder.decode(1, bytes(60), start, captured, captured, 0) == BAD
    assert decoding.counts == {"record_bounds": 1}


def test_a_wire_length_less_than_what_was_captured_is_corrected(decoding: Decoding) -> None:
    check_hello(decoding, decoding(IP4, 101, length=0))


# IP


def test_ipv4_options_are_stepped_over(decoding: Decoding) -> None:
    check_hello(decoding, decoding(build.ip(A4, B4, 6, IP4[20:], options=b"\x83\x07\x04\x0a\0\0\1\0"), 101))
    assert decoding.decoder.packet.options


def test_ttl_and_traffic_class_are_told(decoding: Decoding) -> None:
    for a, b in ((A4, B4), (A6, B6)):
        assert decoding(build.tcp(a, b, 1, 2, ttl=7, tos=0xB9)) == SEGMENT
        assert (decoding.decoder.packet.ttl, decoding.decoder.packet.tos) == (7, 0xB9)
        assert decoding.decoder.packet.now == decoding.time


def test_every_extension_header_is_stepped_over(decoding: Decoding) -> None:
    extensions = (
        ext.OptionsHeader(0, 0, (ext.Option(5, b"\0\0"),)), ext.OptionsHeader(60, 0, (ext.Option(0x3E, b"abc"),)),
        ext.RoutingHeader(0, 0), ext.FragmentHeader(0, 0, False, 1), ext.OptionsHeader(60, 0),
    )
    packet = build.ip(A6, B6, 6, IP6[40:], extensions=extensions)
    check_hello(decoding, decoding(packet, 101))
    assert decoding.counts == {"frag_atomic": 1}
    for there in range(len(packet) - len(IP6[40:]) + 16):
        assert Decoding()(packet, 229, captured=there) == BAD
    truncated = packet[:4] + struct.pack(">H", 20) + packet[6:60]
    assert decoding(truncated, 101) == BAD
    assert decoding.counts["ip_bad_extensions"] == 1


@BOTH
def test_an_authentication_header_is_stepped_over(decoding: Decoding, packet: bytes) -> None:
    header = 20 if packet is IP4 else 40
    segment = b"\6\4" + bytes(22) + packet[header:]
    a, b = (A4, B4) if packet is IP4 else (A6, B6)
    check_hello(decoding, decoding(build.ip(a, b, 51, segment), 101))
    assert decoding(build.ip(a, b, 51, b"\6\xff" + segment[2:]), 101) == BAD
    assert decoding.counts == {"ip_bad_extensions": 1}


@pytest.mark.parametrize("proto", [50, 59, 17, 58, 4, 41, 47, 135, 200])
def test_other_protocols_and_tunnels_are_not_looked_into(decoding: Decoding, proto: int) -> None:
    for a, b in ((A4, B4), (A6, B6)):
        assert decoding(build.ip(a, b, proto, IP4), 101) == OTHER
    assert decoding(build.ip(A4, B4, 43, b"\6\0" + bytes(6) + IP4[20:]), 101) == OTHER  # IPv6's alone
    assert decoding.counts == {"ip_other": 3}


@pytest.mark.parametrize("kind", [0, 4])
def test_a_route_that_is_not_done_names_its_end_as_destination(decoding: Decoding, kind: int) -> None:
    end, between = pack_address(B6), pack_address("2001:db8::99")
    stops = between + end if kind == 0 else end + between
    route = ext.RoutingHeader(0, kind, 1, bytes(4) + stops)
    packet = build.ip(A6, "2001:db8::77", 6, IP6[40:], extensions=(route,))
    check_hello(decoding, decoding(packet, 101))


def test_the_sum_behind_an_unknown_route_is_unknown(decoding: Decoding) -> None:
    packet = build.ip(A6, B6, 6, IP6[40:], extensions=(ext.RoutingHeader(0, 99, 1, bytes(20)),))
    assert decoding(packet, 101) == SEGMENT
    assert decoding.decoder.sum == SUM_UNKNOWN


def test_an_ipv4_mapped_address_is_refused(decoding: Decoding) -> None:
    mapped = bytes(10) + b"\xff\xff" + pack_address(A4)
    assert decoding(IP6[:8] + mapped + IP6[24:], 101) == BAD
    assert decoding(IP6[:24] + mapped + IP6[40:], 101) == BAD
    assert decoding.counts == {"ip_martian_source": 2}


# Checksums


def with_sum(packet: bytes, value: int) -> bytes:
    """`packet`, IP, with another TCP checksum."""
    at = (20 if packet[0] >> 4 == 4 else 40) + 16
    return packet[:at] + struct.pack(">H", value) + packet[at + 2 :]


def pseudo_sum(packet: bytes, length: int) -> int:
    addresses = packet[12:20] if packet[0] >> 4 == 4 else packet[8:40]
    return checksum(addresses, 0, len(addresses), 6 + length)


@BOTH
def test_55_sums_are_told_good_bad_and_unfinished(decoding: Decoding, packet: bytes) -> None:
    size = len(packet) - (20 if packet is IP4 else 40)
    for value, expected in (
        (0x1234, SUM_BAD), (pseudo_sum(packet, size), SUM_UNFINISHED), (pseudo_sum(packet, 0), SUM_UNFINISHED),
        (0, SUM_BAD),
    ):
        assert decoding(with_sum(packet, value), 101) == SEGMENT
        assert decoding.decoder.sum == expected
        assert Decoding(checksums="verify")(with_sum(packet, value), 101) == SEGMENT
    assert decoding.counts == {}


@BOTH
@pytest.mark.parametrize("size", [0, 1, 2, 1459, 1460])
def test_55_sums_of_any_length_are_right(decoding: Decoding, packet: bytes, size: int) -> None:
    a, b = (A4, B4) if packet is IP4 else (A6, B6)
    assert decoding(build.tcp(a, b, 1, 2, payload=b"\xff" * size)) == SEGMENT
    assert decoding.decoder.sum == SUM_GOOD


def test_55_a_source_says_that_a_sum_is_unfinished_for_one_packet(decoding: Decoding) -> None:
    decoding.decoder.unfinished = True
    assert decoding(with_sum(IP4, 0x1234), 101) == SEGMENT
    assert decoding.decoder.sum == SUM_UNFINISHED
    assert decoding(with_sum(IP4, 0x1234), 101) == SEGMENT
    assert decoding.decoder.sum == SUM_BAD


def test_55_a_wrong_header_sum_is_a_bad_segment_and_damage_if_verified(decoding: Decoding) -> None:
    packet = IP4[:8] + b"\x01" + IP4[9:]  # another TTL
    assert decoding(packet, 101) == SEGMENT
    assert decoding.decoder.sum == SUM_BAD
    assert decoding(packet, 101, captured=41) == SEGMENT
    assert decoding.decoder.sum == SUM_BAD
    assert decoding.counts == {"ip_bad_checksum": 2}
    strict = Decoding(checksums="verify")
    assert strict(packet, 101) == BAD
    assert strict.counts == {"ip_bad_checksum": 1}
    check_hello(decoding, decoding(IP4, 101))


def test_55_a_header_sum_of_0_is_left_to_the_network_card(decoding: Decoding) -> None:
    packet = IP4[:10] + b"\0\0" + IP4[12:]
    check_hello(decoding, decoding(packet, 101))
    assert decoding.counts == {"ip_no_checksum": 1}
    strict = Decoding(checksums="verify")
    assert strict(packet, 101) == BAD
    assert strict.counts == {"ip_bad_checksum": 1}


def test_55_ignored_sums_are_unknown() -> None:
    decoding = Decoding(checksums="ignore")
    for packet in (IP4, with_sum(IP4, 1), IP4[:8] + b"\x01" + IP4[9:], IP4[:10] + b"\0\0" + IP4[12:]):
        assert decoding(packet, 101) == SEGMENT
        assert decoding.decoder.sum == SUM_UNKNOWN
    assert decoding.counts == {}


def test_55_the_sum_over_header_options_is_checked_too(decoding: Decoding) -> None:
    packet = build.ip(A4, B4, 6, IP4[20:], options=b"\x83\x07\x04\x0a\0\0\1\0")
    assert decoding(packet[:20] + b"\x01" + packet[21:], 101) == SEGMENT
    assert decoding.decoder.sum == SUM_BAD


# TCP options


def test_options_are_read(decoding: Decoding) -> None:
    decoder = decoding.decoder
    assert decoding(build.tcp(A4, B4, 1, 2, "S", options=(Mss(1400), WindowScale(7), Timestamps(3, 4)))) == SEGMENT
    assert (decoder.seg.mss, decoder.seg.wscale, decoder.seg.tsval, decoder.seg.tsecr) == (1400, 7, 3, 4)
    assert decoding(build.tcp(A4, B4, 1, 2, "A", options=(Timestamps(5, 6), Sack(((1, 2),))))) == SEGMENT
    assert (decoder.seg.tsval, decoder.seg.sacks[: 2 * decoder.seg.sack_count]) == (5, [1, 2])
    assert decoding(build.tcp(A4, B4, 1, 2, "A")) == SEGMENT
    assert (decoder.seg.has_timestamps, decoder.seg.sack_count) == (False, 0)


@pytest.mark.parametrize("there", range(26, 34))
def test_aligned_timestamps_are_read_where_they_are_whole(decoding: Decoding, there: int) -> None:
    frame = build.tcp(A4, B4, 1, 2, "A", options=(Nop(), Nop(), Timestamps(SEQ, 4)), payload=b"x")
    assert decoding(frame, captured=34 + there) == SEGMENT
    seg = decoding.decoder.seg
    assert (seg.has_timestamps and (seg.tsval, seg.tsecr)) == (there >= 32 and (SEQ, 4))


@pytest.mark.parametrize("kind", [19, 29])
def test_35_a_signed_segment_is_told(decoding: Decoding, kind: int) -> None:
    aligned = build.tcp(A4, B4, 1, 2, "A", options=(Nop(), Nop(), Timestamps(3, 4)))
    assert decoding(build.tcp(A4, B4, 1, 2, "R", options=(Unknown(kind, bytes(16)),))) == SEGMENT
    assert decoding.decoder.signed
    assert decoding(aligned) == SEGMENT
    assert not decoding.decoder.signed


def test_a_tag_of_the_frame_is_found_in_its_link_header(decoding: Decoding) -> None:
    assert decoding(build.tcp(A4, B4, 1, 2, vlans=(VlanTag(7, 3, 1, 0x88A8),))) == SEGMENT
    decoder = decoding.decoder
    header = decoder.packet.data[decoder.link_start : decoder.link_start + decoder.link_length]
    assert header[12:] == b"\x88\xa8\x70\x07\x08\x00"
