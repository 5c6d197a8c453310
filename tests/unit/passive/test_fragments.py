"""Datagrams made whole from fragments: order, overlaps, contradictions, floods, time.

A number in a test's name is that of its case in the list of what passive receive must survive.
"""

from __future__ import annotations

import itertools
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.passive.decoding import A4, A6, B4, B6, SECOND, Decoding
from uinet.passive.codes import BAD, HELD, OTHER, SEGMENT, SUM_BAD, SUM_GOOD, SUM_UNKNOWN
from uinet.passive.overlap import POLICIES
from uinet.wire import build, ipv4
from uinet.wire import ipv6_extensions as ext
from uinet.wire.addresses import pack_address

SEQ = 0xFFFF_FFF0
BODY = bytes(range(200)) * 2
FAMILIES = pytest.mark.parametrize("six", [False, True], ids=["v4", "v6"])


@pytest.fixture
def decoding() -> Decoding:
    return Decoding()


def segment(six: bool = False, body: bytes = BODY) -> bytes:
    """The IP payload of a segment."""
    a, b = (A6, B6) if six else (A4, B4)
    return build.tcp(a, b, 5, 6, "A", seq=SEQ, payload=body, layer=3)[40 if six else 20 :]


def piece(
    offset: int, data: bytes, more: bool = True, ident: int = 1, *, six: bool = False, flags: int = 0, proto: int = 6,
    src: str | None = None,
) -> bytes:
    """One fragment, an IP packet."""
    if six:
        header = ext.FragmentHeader(0, offset, more, ident)
        return build.ip(src or A6, B6, proto, data, extensions=(header,))
    flags |= ipv4.FLAG_MF if more else 0
    addresses = pack_address(src or A4), pack_address(B4)
    return ipv4.emit(ipv4.Ipv4Header(*addresses, proto, 64, 0, ident, flags, offset), data)


def pieces(size: int, six: bool = False, body: bytes = BODY, ident: int = 1) -> list[bytes]:
    """A segment in fragments of `size` bytes."""
    whole = segment(six, body)
    return [
        piece(at, whole[at : at + size], at + size < len(whole), ident, six=six) for at in range(0, len(whole), size)
    ]


def wrong_sum(packet: bytes) -> bytes:
    """An IPv4 packet with another checksum in its header."""
    return packet[:10] + b"\x12\x34" + packet[12:]


def check_whole(decoding: Decoding, body: bytes = BODY) -> None:
    seg = decoding.decoder.seg
    assert (seg.source_port, seg.destination_port, seg.seq, seg.length) == (5, 6, SEQ, len(body))
    assert decoding.payload == body
    assert decoding.decoder.sum == SUM_GOOD
    assert decoding.decoder.packet.fragment == 0


def feed(decoding: Decoding, packets: list[bytes]) -> list[int]:
    return [decoding(packet, 101) for packet in packets]


# 50: fragrouter's ways to cut and to order


@FAMILIES
@pytest.mark.parametrize("size", [8, 24, 200])
def test_50_fragments_of_any_size_make_a_datagram(decoding: Decoding, six: bool, size: int) -> None:
    codes = feed(decoding, pieces(size, six))
    assert codes == [HELD] * (len(codes) - 1) + [SEGMENT]
    check_whole(decoding)
    assert decoding.counts == {"frag_received": len(codes), "frag_reassembled": 1}
    assert decoding.decoder.fragments.cost == 0


@FAMILIES
@pytest.mark.parametrize("order", ["one late", "last first", "backwards", "random"])
def test_50_fragments_in_any_order_make_a_datagram(decoding: Decoding, six: bool, order: str) -> None:
    packets = pieces(24, six)
    if order == "one late":
        packets.append(packets.pop(3))
    elif order == "last first":
        packets.insert(0, packets.pop())
    elif order == "backwards":
        packets.reverse()
    else:
        random.Random(5).shuffle(packets)
    codes = feed(decoding, packets)
    assert codes == [HELD] * (len(codes) - 1) + [SEGMENT]
    check_whole(decoding)


@FAMILIES
def test_50_a_duplicate_penultimate_fragment_changes_nothing(decoding: Decoding, six: bool) -> None:
    packets = pieces(24, six)
    packets.insert(-1, packets[-2])
    assert feed(decoding, packets)[-1] == SEGMENT
    check_whole(decoding)
    assert decoding.counts["frag_duplicate"] == 1
    assert "frag_overlap" not in decoding.counts


@pytest.mark.parametrize(("policy", "wins"), [("first", False), ("last", True)])
def test_50_a_forward_overlap_with_null_data_goes_by_policy(policy: str, wins: bool) -> None:
    decoding = Decoding(overlap=policy)
    packets = pieces(24)
    packets.insert(4, piece(3 * 24, bytes(32)))
    codes = feed(decoding, packets)
    assert codes[-1] == SEGMENT
    assert decoding.decoder.conflict
    whole = segment()
    nulls = whole[:72] + bytes(24) + whole[96:] if wins else whole[:96] + bytes(8) + whole[104:]
    assert decoding.payload == nulls[20:]
    assert decoding.decoder.sum == SUM_BAD


# 51: overlaps

A = b"A" * 8
LAYOUTS = {  # where the older fragment A and the newer B are, in units of 8 bytes
    "same": ((2, 4), (2, 4)),
    "same start, shorter": ((2, 5), (2, 4)),
    "same start, longer": ((2, 4), (2, 5)),
    "inside": ((2, 5), (3, 4)),
    "same end, later start": ((2, 5), (3, 5)),
    "before, ends inside": ((3, 5), (2, 4)),
    "before, same end": ((3, 5), (2, 5)),
    "covers": ((3, 4), (2, 5)),
    "inside, ends after": ((2, 4), (3, 5)),
}
ROWS = {  # the policies whose hosts believe the newer fragment
    "same": {"old-linux", "solaris", "hpux11", "last"},
    "same start, shorter": {"last"},
    "same start, longer": {"linux", "old-linux", "solaris", "hpux11", "last"},
    "inside": {"last"},
    "same end, later start": {"last"},
    "before, ends inside": {
        "bsd", "macos", "irix", "hpux10", "windows", "windows2k3", "linux", "old-linux", "last",
    },
    "before, same end": set(POLICIES) - {"first", "vista"},
    "covers": set(POLICIES) - {"first", "vista"},
    "inside, ends after": {"solaris", "hpux11", "last"},
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("policy", POLICIES)
def test_51_the_table_decides_overlaps(policy: str, name: str) -> None:
    decoding = Decoding(overlap=policy)
    old, new = LAYOUTS[name]
    units = ["." if not (old[0] <= at < old[1] or new[0] <= at < new[1]) else "" for at in range(6)]
    for letter, (start, end) in (("A", old), ("B", new)):
        for at in range(start, end):
            if not units[at] or (letter == "B" and policy in ROWS[name]):
                units[at] = letter
    codes = [
        decoding(piece(8 * start, letter * 8 * (end - start)), 101)
        for letter, (start, end) in ((b"A", old), (b"B", new))
    ]
    assert codes == [HELD, HELD]
    for at in range(2, 6):
        if units[at] == ".":
            assert decoding(piece(8 * at, b"." * 8, at != 5), 101) == HELD
    assert decoding(piece(0, segment(body=b"")[:16]), 101) == SEGMENT
    whole = decoding.decoder.packet.data[20:]
    assert whole[16:] == "".join(unit * 8 for unit in units[2:]).encode()
    assert decoding.decoder.conflict
    assert decoding.counts["frag_conflict"] == decoding.counts["frag_overlap"] == 1


def test_51_an_overlap_with_equal_bytes_is_no_conflict(decoding: Decoding) -> None:
    whole = segment()
    codes = feed(decoding, [piece(0, whole[:64]), piece(32, whole[32:128]), piece(120, whole[120:], False)])
    assert codes == [HELD, HELD, SEGMENT]
    check_whole(decoding)
    assert not decoding.decoder.conflict
    assert decoding.counts == {"frag_received": 3, "frag_overlap": 2, "frag_reassembled": 1}


def test_51_a_fragment_over_many_fills_between_them() -> None:
    for policy, expected in (("first", b"A.A.A."), ("last", b"......")):
        decoding = Decoding(overlap=policy)
        for at in (2, 4, 6):
            assert decoding(piece(8 * at, A), 101) == HELD
        assert decoding(piece(16, b"." * 48, False), 101) == HELD
        assert decoding(piece(0, segment(body=b"")[:16]), 101) == SEGMENT
        assert decoding.decoder.packet.data[36:] == b"".join(bytes((unit,)) * 8 for unit in expected)


@given(order=st.permutations(range(8)), extra=st.lists(st.tuples(st.integers(0, 7), st.integers(1, 8)), max_size=6))
@settings(max_examples=100, deadline=None)
def test_51_overlaps_with_equal_bytes_lose_nothing(order: list[int], extra: list[tuple[int, int]]) -> None:
    body = bytes(range(44))
    whole = segment(body=body)
    assert len(whole) == 64
    for policy in ("first", "linux", "solaris", "last"):
        decoding = Decoding(overlap=policy)
        spans = [(at, at + 1) for at in order]
        for index, (start, length) in enumerate(extra):
            spans.insert(index, (start, min(8, start + length)))
        for start, end in spans:
            code = decoding(piece(8 * start, whole[8 * start : 8 * end], end < 8), 101)
            if code == SEGMENT:
                break
        assert code == SEGMENT
        check_whole(decoding, body)


@FAMILIES
def test_65_a_copy_that_has_each_fragment_twice_makes_each_datagram_once(decoding: Decoding, six: bool) -> None:
    packets = [packet for packet in pieces(64, six) for _ in range(2)]
    codes = feed(decoding, packets)
    assert codes.count(SEGMENT) == 1
    assert codes[-2:] == [SEGMENT, HELD]
    assert decoding.counts["frag_duplicate"] == len(packets) // 2
    assert not decoding.decoder.fragments.datagrams


def test_51_an_overlap_drops_a_datagram_of_ipv6() -> None:
    for policy in POLICIES:
        decoding = Decoding(overlap=policy)
        packets = pieces(64, True)
        packets.insert(2, piece(120, bytes(16), six=True))
        codes = feed(decoding, packets)
        assert codes == [HELD, HELD] + [BAD] * (len(packets) - 2)
        assert decoding.counts["frag_overlap"] == decoding.counts["frag_conflict"] == 1
        assert decoding.counts["frag_dropped"] == len(packets) - 2
        decoding.time += 31 * SECOND
        assert feed(decoding, pieces(64, True))[-1] == SEGMENT
        assert "frag_timeout" not in decoding.counts


def test_51_the_same_place_with_other_bytes_drops_a_datagram_of_ipv6(decoding: Decoding) -> None:
    packets = pieces(64, True)
    packets.insert(1, piece(0, bytes(64), six=True))
    assert feed(decoding, packets)[1:] == [BAD] * (len(packets) - 1)


# 52: contradictions


def test_52_teardrop_ends_before_what_is_there(decoding: Decoding) -> None:
    whole = segment()
    codes = feed(decoding, [piece(0, whole[:64]), piece(24, b"x" * 4, False), piece(64, whole[64:], False)])
    assert codes == [HELD, BAD, SEGMENT]
    check_whole(decoding)
    assert decoding.counts["frag_bad"] == 1


@FAMILIES
def test_52_ping_of_death_is_dropped(decoding: Decoding, six: bool) -> None:
    assert decoding(piece(65528, b"x" * 8, False, six=six), 101) == BAD
    assert decoding(piece(65528 if six else 65512, b"x" * (7 if six else 3), False, six=six), 101) == HELD
    assert decoding.counts == {"frag_received": 2, "frag_bad": 1}


def test_52_the_largest_datagram_is_made_whole(decoding: Decoding) -> None:
    body = bytes(65535 - 40)
    assert feed(decoding, pieces(8192, body=body))[-1] == SEGMENT
    check_whole(decoding, body)
    body = bytes(65535 - 20)
    assert feed(decoding, pieces(8192, True, body=body))[-1] == SEGMENT
    check_whole(decoding, body)


def test_52_a_first_fragment_with_more_headers_than_the_others_makes_no_datagram_too_long(decoding: Decoding) -> None:
    last = piece(65000, b"x" * 515, False)
    assert decoding(last, 101) == HELD
    data = bytes(65000)
    header = bytearray(build.ip(A4, B4, 6, data, identification=1, flags=ipv4.FLAG_MF, options=b"\1" * 40))
    assert decoding(bytes(header), 101) == BAD
    assert decoding.counts["frag_bad"] == 1


@FAMILIES
@pytest.mark.parametrize("more", [False, True])
def test_52_an_empty_fragment_is_dropped(decoding: Decoding, six: bool, more: bool) -> None:
    packets = pieces(64, six)
    packets.insert(1, piece(64, b"", more, six=six))
    codes = feed(decoding, packets)
    assert (codes[1], codes[-1]) == (BAD, SEGMENT)
    check_whole(decoding)


@FAMILIES
def test_52_a_fragment_that_is_no_multiple_of_8_is_the_last(decoding: Decoding, six: bool) -> None:
    assert decoding(piece(0, bytes(65), six=six), 101) == BAD
    assert decoding.counts == {"frag_received": 1, "frag_bad": 1}


@FAMILIES
def test_52_of_two_different_last_fragments_the_first_counts(decoding: Decoding, six: bool) -> None:
    whole = segment(six)
    packets = [
        piece(400, whole[400:], False, six=six), piece(400, whole[400:408], False, six=six),
        piece(416, bytes(80), False, six=six), piece(416, bytes(80), six=six), piece(0, whole[:400], six=six),
    ]
    assert feed(decoding, packets) == [HELD, BAD, BAD, BAD, SEGMENT]
    check_whole(decoding)
    assert decoding.counts["frag_bad"] == 3


@FAMILIES
def test_52_a_fragment_after_the_time_is_up_begins_anew(decoding: Decoding, six: bool) -> None:
    first, last = pieces(400, six)
    assert decoding(first, 101) == HELD
    decoding.time += 30 * SECOND
    assert decoding(piece(0, bytes(8), ident=9, six=six), 101) == HELD
    assert "frag_timeout" not in decoding.counts
    decoding.time += 1
    assert decoding(last, 101) == HELD
    assert decoding.counts["frag_timeout"] == 1
    assert decoding(first, 101) == SEGMENT
    check_whole(decoding)


def test_52_the_same_identification_with_other_data_is_another_datagram(decoding: Decoding) -> None:
    assert feed(decoding, pieces(200))[-1] == SEGMENT
    other = bytes(reversed(BODY))
    codes = feed(decoding, pieces(200, body=other))
    assert codes[-1] == SEGMENT
    check_whole(decoding, other)
    assert decoding.counts["frag_reassembled"] == 2
    assert "frag_duplicate" not in decoding.counts


def test_52_the_same_identification_on_another_vlan_is_another_datagram(decoding: Decoding) -> None:
    bodies = {vid: bytes((vid,)) * 400 for vid in (1, 2)}
    packets = {vid: [build.frame(packet, vlans=(vid,)) for packet in pieces(208, body=bodies[vid])] for vid in (1, 2)}
    for first, second in zip(packets[1], packets[2], strict=True):
        codes = decoding(first), decoding(second)
        assert codes in ((HELD, HELD), (SEGMENT, SEGMENT))
    assert decoding.decoder.packet.vids == b"\0\2"
    check_whole(decoding, bodies[2])


def test_52_vlans_are_ignored_where_they_are_to_be() -> None:
    decoding = Decoding(ignore_vlans=True)
    first, second, third = pieces(152)
    assert decoding(build.frame(second)) == HELD
    assert decoding(build.frame(first, vlans=(7, 8))) == HELD
    assert decoding(build.frame(third, vlans=(3,))) == SEGMENT
    check_whole(decoding)
    decoder = decoding.decoder
    assert (decoder.packet.vids, decoder.packet.tags) == (b"\0\7\0\x08", 2)
    assert decoder.packet.data[: decoder.link_length] == build.frame(first, vlans=(7, 8))[:22]


@pytest.mark.parametrize("what", ["src", "ident", "proto"])
def test_52_fragments_of_different_datagrams_do_not_mix(decoding: Decoding, what: str) -> None:
    whole = segment()
    assert decoding(piece(0, whole[:200]), 101) == HELD
    other = {
        "src": piece(200, whole[200:], False, src="10.0.0.9"), "ident": piece(200, whole[200:], False, 2),
        "proto": piece(200, whole[200:], False, proto=51),
    }[what]
    assert decoding(other, 101) == HELD
    assert len(decoding.decoder.fragments.datagrams) == 2


@FAMILIES
def test_52_a_tiny_first_fragment_is_no_obstacle(decoding: Decoding, six: bool) -> None:
    whole = segment(six)
    assert feed(decoding, [piece(0, whole[:8], six=six), piece(8, whole[8:], False, six=six)]) == [HELD, SEGMENT]
    check_whole(decoding)


def test_52_atomic_fragments_are_not_queued(decoding: Decoding) -> None:
    assert decoding(piece(0, segment(True), False, six=True), 101) == SEGMENT
    check_whole(decoding)
    assert decoding.counts == {"frag_atomic": 1}
    assert decoding.decoder.packet.data is decoding.block


def test_52_atomic_fragments_do_not_meddle_with_fragments(decoding: Decoding) -> None:
    first, last = pieces(400, True)
    assert feed(decoding, [first, piece(0, segment(True, b"x"), False, six=True), last]) == [HELD, SEGMENT, SEGMENT]
    check_whole(decoding)


def test_52_fragments_that_must_not_be_fragmented_are_fragments(decoding: Decoding) -> None:
    whole = segment()
    packets = [
        piece(0, whole[:64], flags=ipv4.FLAG_DF), piece(64, whole[64:], False, flags=ipv4.FLAG_DF),
    ]
    assert feed(decoding, packets) == [HELD, SEGMENT]
    check_whole(decoding)


def test_52_fragments_of_fragments_are_damage(decoding: Decoding) -> None:
    inner = b"\6\0" + struct.pack(">HI", 1, 7) + segment(True)
    codes = feed(decoding, [piece(0, inner[:64], six=True, proto=44), piece(64, inner[64:], False, six=True, proto=44)])
    assert codes == [HELD, BAD]
    assert decoding.counts["ip_bad_extensions"] == 1


@FAMILIES
def test_52_headers_before_and_behind_the_fragment_header_are_stepped_over(decoding: Decoding, six: bool) -> None:
    if not six:
        data = b"\6\4" + bytes(22) + segment()
        codes = feed(decoding, [piece(0, data[:64], proto=51), piece(64, data[64:], False, proto=51)])
    else:
        data = b"\6\0\1\4\0\0\0\0" + segment(True)
        unfragmentable = ext.OptionsHeader(0, 0, (ext.Option(5, b"\0\0"),)), ext.RoutingHeader(0, 0)
        codes = [
            decoding(build.ip(
                A6, B6, 60, part, extensions=(*unfragmentable, ext.FragmentHeader(0, at, more, 5)),
            ), 101)
            for at, part, more in ((0, data[:64], True), (64, data[64:], False))
        ]
    assert codes == [HELD, SEGMENT]
    check_whole(decoding)


def test_fragments_of_other_protocols_are_not_kept(decoding: Decoding) -> None:
    assert decoding(piece(0, bytes(64), proto=17), 101) == OTHER
    assert decoding.counts == {"ip_other": 1}
    udp = build.udp(A6, B6, 1, 2, bytes(100), layer=3)
    assert [decoding(packet, 101) for packet in build.fragments(udp, 64)] == [HELD, OTHER]
    assert decoding.decoder.fragments.cost == 0


def test_a_fragment_longer_than_its_frame_is_damage(decoding: Decoding) -> None:
    for six in (False, True):
        packet = pieces(64, six)[0]
        assert decoding(packet[:-8], 101) == BAD
    assert decoding.counts["ip_bad_length"] == 2


def test_55_fragments_with_wrong_header_sums_are_kept_apart(decoding: Decoding) -> None:
    good = pieces(200)
    false = [wrong_sum(piece(200 * at, bytes(200))) for at in range(2)]
    codes = feed(decoding, [good[0], false[1], false[0], good[1], good[2]])
    assert codes == [HELD, HELD, HELD, HELD, SEGMENT]
    check_whole(decoding)
    spoiled = [wrong_sum(packet) for packet in pieces(200, ident=77)]
    assert feed(decoding, spoiled)[-1] == SEGMENT
    assert decoding.payload == BODY
    assert decoding.decoder.sum == SUM_BAD
    strict = Decoding(checksums="verify")
    assert feed(strict, spoiled) == [BAD] * 3


# Cuts by the snap length


@FAMILIES
@pytest.mark.parametrize("cut", [0, 1])
def test_52_a_datagram_is_there_up_to_where_a_fragment_is_cut(decoding: Decoding, six: bool, cut: int) -> None:
    packets = pieces(208, six)
    codes = [
        decoding(packet, 101, captured=len(packet) - 8 if index == cut else None)
        for index, packet in enumerate(packets)
    ]
    assert codes[-1] == SEGMENT
    there = 208 * (cut + 1) - 8 - 20
    assert decoding.decoder.seg.length == len(BODY)
    assert decoding.payload == BODY[:there]
    assert decoding.decoder.sum == SUM_UNKNOWN
    assert decoding.counts["frag_cut"] == 1


def test_52_a_datagram_whose_tcp_header_is_cut_is_useless(decoding: Decoding) -> None:
    first, last = pieces(400)
    assert decoding(first, 101, captured=30) == HELD
    assert decoding(last, 101) == BAD
    assert decoding.counts == {"frag_received": 2, "frag_cut": 1, "frag_reassembled": 1, "headers_cut": 1}


# The link header


def test_the_link_header_is_that_of_the_first_fragment(decoding: Decoding) -> None:
    for six in (False, True):
        packets = [build.frame(packet, vlans=(7,)) + b"pad" for packet in reversed(pieces(152, six))]
        assert [decoding(packet) for packet in packets] == [HELD, HELD, SEGMENT]
        check_whole(decoding)
        decoder = decoding.decoder
        assert (decoder.link_start, decoder.link_length, decoder.packet.l3) == (0, 18, 18)
        assert decoder.packet.data[:18] == packets[-1][:18]
        assert (decoder.packet.vids, decoder.packet.tags) == (b"\0\7", 1)


def test_a_conflict_is_told_of_its_datagram_alone(decoding: Decoding) -> None:
    packets = pieces(200)
    packets.insert(1, piece(0, bytes(200)))
    assert feed(decoding, packets)[-1] == SEGMENT
    assert decoding.decoder.conflict
    assert feed(decoding, pieces(200, ident=2))[-1] == SEGMENT
    assert not decoding.decoder.conflict


# 53, 54: what does not come, and what comes in masses


@FAMILIES
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_53_a_lost_fragment_is_counted_when_its_time_is_up(decoding: Decoding, six: bool, lost: int) -> None:
    packets = pieces(152, six)
    del packets[lost]
    assert feed(decoding, packets) == [HELD, HELD]
    decoding.time += 31 * SECOND
    assert feed(decoding, pieces(400, six, ident=2))[-1] == SEGMENT
    assert decoding.counts["frag_timeout"] == 1
    assert (decoding.decoder.fragments.cost, len(decoding.decoder.fragments.datagrams)) == (0, 0)


def test_53_what_is_not_whole_at_the_end_is_counted(decoding: Decoding) -> None:
    feed(decoding, [piece(0, bytes(8), ident=ident) for ident in range(3)])
    decoding.decoder.finish()
    assert decoding.counts["frag_end"] == 3
    assert (decoding.decoder.fragments.cost, len(decoding.decoder.fragments.datagrams)) == (0, 0)


def test_63_a_clock_that_jumps_ends_what_waits(decoding: Decoding) -> None:
    for jump in (-1_000_000 * SECOND, 1_000_000 * SECOND):
        assert decoding(pieces(400)[0], 101) == HELD
        decoding.time += jump
        assert decoding(pieces(400)[1], 101) == HELD
        decoding.decoder.finish()
    assert decoding.counts["frag_timeout"] == 2


def test_54_a_flood_of_fragments_stays_within_its_budget() -> None:
    decoding = Decoding(fragments=1 << 20)
    fragments = decoding.decoder.fragments
    for number in range(65_536):
        src = f"10.1.{number >> 8}.{number & 255}"
        assert decoding(piece(8, bytes(8), src=src, ident=number), 101) == HELD
        if number % 4096 == 0:
            assert fragments.cost <= 1 << 20
    assert 500 < len(fragments.datagrams) < (1 << 20) // 600
    assert decoding.counts["frag_evicted"] == 65_536 - len(fragments.datagrams)
    assert feed(decoding, pieces(24))[-1] == SEGMENT
    check_whole(decoding)


def test_54_the_number_of_datagrams_is_bounded_whatever_the_budget() -> None:
    decoding = Decoding(fragments=1 << 30)
    for number in range(20_000):
        decoding(piece(8, bytes(8), src=f"10.1.{number >> 8}.{number & 255}"), 101)
    assert len(decoding.decoder.fragments.datagrams) == 16_384
    assert decoding.counts["frag_evicted"] == 20_000 - 16_384


def test_54_one_greedy_datagram_stays_within_the_budget() -> None:
    decoding = Decoding(fragments=100_000, overlap="last")
    generator = random.Random(3)
    for at in itertools.islice(itertools.cycle(range(0, 8000, 8)), 4000):
        decoding(piece(at, generator.randbytes(8)), 101)
        assert decoding.decoder.fragments.cost <= 100_000
    assert decoding.counts["frag_evicted"] >= 1


def test_54_datagrams_of_late_take_a_part_of_the_budget_only() -> None:
    decoding = Decoding(fragments=100_000)
    for ident in range(200):
        assert feed(decoding, pieces(200, ident=ident))[-1] == SEGMENT
    fragments = decoding.decoder.fragments
    assert 0 < fragments.recent_cost <= 25_000
    assert fragments.recent_cost == sum(datagram.cost for datagram in fragments.recent.values())


def test_54_without_a_budget_nothing_is_kept() -> None:
    decoding = Decoding(fragments=0)
    assert feed(decoding, pieces(200)) == [HELD] * 3
    assert decoding.counts["frag_evicted"] == 3
    assert not decoding.decoder.fragments.recent
