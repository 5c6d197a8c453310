"""The layers below: fragments, checksums, tags: cases 50 to 57.

Read first: RFC 791, 3.2; RFC 5722; RFC 6946 (atomic fragments). The decoder has its own tests: here is what the
streams show of it.
"""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.passive.copy import (
    Copy,
    Wire,
    check,
    ethernet,
    ip_packet,
    mpls,
    pack,
    pattern,
    pieces,
    pppoe,
    tcp_segment,
)
from tests.unit.passive.test_case_overlap import GROUPS, PAIRS, of_group

Order = Callable[[list[bytes]], list[bytes]]
FAMILIES = [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")]
MORE = 0x2000
DONT = 0x4000


def shuffled(frames: list[bytes]) -> list[bytes]:
    order = list(frames)
    random.Random(50).shuffle(order)
    return order


def one_late(frames: list[bytes]) -> list[bytes]:
    return [*frames[:1], *frames[2:], frames[1]]


ORDERS: dict[str, tuple[int, Order]] = {
    "frag-1: 8 bytes": (8, lambda frames: frames),
    "frag-2: 24 bytes": (24, lambda frames: frames),
    "frag-3: one out of order": (8, one_late),
    "frag-4: the last but one twice": (8, lambda frames: [*frames[:-1], *frames[-2:]]),
    "frag-5: random, the last but one twice": (8, lambda frames: shuffled([*frames, frames[-2]])),
    "frag-6: the last first": (8, lambda frames: [frames[-1], *frames[:-1]]),
    "all twice": (16, lambda frames: [frame for frame in frames for _ in range(2)]),
    "backwards": (8, lambda frames: frames[::-1]),
}


@pytest.mark.parametrize("addresses", FAMILIES, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("name", ORDERS)
def test_case_50_fragments_in_every_order(name: str, addresses: tuple[str, str]) -> None:
    size, order = ORDERS[name]
    text = pattern(600)
    copy = Copy(client=addresses[0], server=addresses[1]).handshake()
    for at, piece in pieces(text, 100):
        copy.client(piece, at=at, fragment=size, order=order)
        copy.server(piece[:10])
    copy.ack()
    copy.goodbye().whole(text, b"".join(piece[:10] for _, piece in pieces(text, 100)))


def datagram(copy: Copy, data: bytes, at: int, header: int = 24) -> tuple[bytes, bytes]:
    """(fragments' payload, data) of a segment whose data begins at a multiple of 8 bytes of the IP payload."""
    segment = tcp_segment(
        copy.c.address, copy.s.address, copy.c.port, copy.s.port, copy.c.isn + 1 + at, copy.s.isn + 1, 0x18, data,
        options=bytes((1,)) * (header - 20),
    )
    return segment, data


def piece_of(
    copy: Copy, payload: bytes, at: int, more: bool, identification: int = 77, dont: bool = False, **knobs: int
) -> bytes:
    """One fragment of the client's, an IP packet."""
    field = (MORE if more else 0) | (DONT if dont else 0) | at >> 3
    if len(copy.c.address) == 16:
        extension = struct.pack("!BBHI", 6, 0, at | more, identification)
        return ip_packet(copy.c.address, copy.s.address, payload, extensions=extension, following=44)
    return ip_packet(
        copy.c.address, copy.s.address, payload, identification=identification, fragment=field, **knobs
    )


@pytest.mark.parametrize("policy", [policies[0] for policies in GROUPS.values()])
@pytest.mark.parametrize("number", PAIRS)
def test_case_51_overlapping_fragments_follow_the_policy(number: int, policy: str) -> None:
    """The table of pairs again, in units of 8 bytes; the checksum is that of what the policy makes of it."""
    _, old, new, answers = PAIRS[number]
    text = b"".join(bytes((letter,)) * 8 for letter in b".." + of_group(policy, answers).encode() + b"Z")
    copy = Copy(overlap=policy).handshake()
    segment, data = datagram(copy, text, 0)
    end = 24 + 8 * max(old[1], new[1])
    for letter, span in ((b"A", old), (b"B", new)):
        copy.wire.feed(ethernet(piece_of(copy, letter * 8 * (span[1] - span[0]), 24 + 8 * span[0], True)))
    copy.wire.feed(ethernet(piece_of(copy, b"Z" * 8, end, False)))
    copy.wire.feed(ethernet(piece_of(copy, segment[:40], 0, True)))
    copy.c.position = copy.s.received = len(data)
    copy.server_ack()
    copy.goodbye().whole(text)


def test_case_50_frag_7_forward_overlap_with_null_data() -> None:
    """Each fragment is preceded by a null one over its second half: first-wins reads the nulls."""
    for policy in ("first", "linux", "last"):
        text = b"attack at dawn!!" * 4
        want = b"".join(piece[:8] + bytes(8) for _, piece in pieces(text, 16)) if policy == "first" else text
        copy = Copy(overlap=policy).handshake()
        segment, _ = datagram(copy, want, 0)
        head = segment[:24]
        for at, piece in pieces(text, 16):
            copy.wire.feed(ethernet(piece_of(copy, bytes(8), 24 + at + 8, True)))
            copy.wire.feed(ethernet(piece_of(copy, piece, 24 + at, at + 16 < len(text))))
        copy.wire.feed(ethernet(piece_of(copy, head, 0, True)))
        copy.c.position = copy.s.received = len(text)
        copy.server_ack()
        copy.goodbye().whole(want)


def test_case_51_overlapping_ipv6_fragments_drop_the_datagram() -> None:
    """RFC 5722: all of it, what comes later too; the stream shows it as a hole once the server has acknowledged."""
    copy = Copy(client=FAMILIES[1][0], server=FAMILIES[1][1]).handshake()
    segment, data = datagram(copy, pattern(72), 0)
    copy.wire.feed(ethernet(piece_of(copy, segment[:48], 0, True)))
    copy.wire.feed(ethernet(piece_of(copy, b"B" * 24, 40, True)))
    copy.wire.feed(ethernet(piece_of(copy, segment[48:], 48, False)))
    copy.c.position = copy.s.received = len(data)
    copy.server_ack()
    copy.wait(1)
    copy.goodbye().finish()
    assert copy.one.client.holes == [(0, 72, "lost")]


# damaged fragments: whatever becomes of them, the connection that goes on is whole


def hostile(copy: Copy) -> dict[str, list[bytes]]:
    segment, _ = datagram(copy, b"evil" * 30, 0)
    return {
        "teardrop": [piece_of(copy, segment[:40], 0, True), piece_of(copy, segment[24:28], 24, False)],
        "ping of death": [piece_of(copy, bytes(1400), 65_528 - 8, True), piece_of(copy, bytes(1000), 65_528, False)],
        "an empty last one": [piece_of(copy, segment[:40], 0, True), piece_of(copy, b"", 40, False)],
        "an empty one in the middle": [piece_of(copy, segment[:40], 0, True), piece_of(copy, b"", 40, True)],
        "two ends": [
            piece_of(copy, segment[:40], 0, True), piece_of(copy, segment[80:88], 80, False),
            piece_of(copy, segment[48:56], 48, False),
        ],
        "data behind the end": [piece_of(copy, segment[40:48], 40, False), piece_of(copy, segment[80:88], 80, True)],
        "a length that is no multiple of 8": [piece_of(copy, segment[:43], 0, True), piece_of(copy, b"x", 48, False)],
        "no room for a TCP header": [piece_of(copy, segment[:8], 0, True), piece_of(copy, b"", 8, False)],
        "never the first": [piece_of(copy, segment[40:], 40, False)] * 5,
    }


@pytest.mark.parametrize("addresses", FAMILIES, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("name", hostile(Copy()))
def test_case_52_hostile_fragments_leave_the_connection_alone(name: str, addresses: tuple[str, str]) -> None:
    copy = Copy(client=addresses[0], server=addresses[1])
    attack = copy.other(client=addresses[0], server=addresses[1])
    copy.handshake()
    copy.client(b"abc")
    for packet in hostile(attack)[name]:
        copy.wire.feed(ethernet(packet))
    text = pattern(100)
    copy.client(text, fragment=16)
    copy.server_ack()
    copy.goodbye().finish()
    check(copy.all[0], b"abc" + text)
    assert len(copy.all) == 1


def test_case_52_fragments_of_other_ages_are_not_put_together() -> None:
    copy = Copy(checksums="ignore").handshake()
    segment, data = datagram(copy, pattern(72), 0)
    copy.wire.feed(ethernet(piece_of(copy, segment[:40], 0, True)))
    copy.pause(300)
    copy.wire.feed(ethernet(piece_of(copy, segment[40:], 40, False)))
    copy.client(data)
    copy.server_ack()
    events = [event[0] for event in copy.one.client.events]
    copy.goodbye().whole(data)
    assert events == ["data"]
    assert copy.one.counted("retransmitted") == 0


def test_case_52_the_same_id_with_other_data_is_another_datagram() -> None:
    text = pattern(200)
    copy = Copy().handshake()
    for at, piece in pieces(text, 50):
        copy.client(piece, at=at, fragment=16, identification=7)
    copy.server_ack()
    copy.goodbye().whole(text)


def test_case_52_the_same_id_on_two_vlans_does_not_mix() -> None:
    one = Copy(vlans=(10,))
    two = Copy(wire=one.wire, vlans=(20,), cisn=1, sisn=2)
    one.handshake()
    two.handshake()
    packets = one.collect()
    for copy, letter in ((one, b"1"), (two, b"2")):
        copy.client(letter * 100, fragment=16, identification=7)
    one.wire.collected = None
    half = len(packets) // 2
    for pair in zip(packets[:half], packets[half:], strict=True):
        one.play(pair)
    for copy in (one, two):
        copy.server_ack()
        copy.goodbye()
    one.finish()
    check(one.all[0], b"1" * 100)
    check(one.all[1], b"2" * 100)


@pytest.mark.parametrize("addresses", FAMILIES, ids=["IPv4", "IPv6"])
def test_case_52_a_first_fragment_without_the_whole_tcp_header(addresses: tuple[str, str]) -> None:
    copy = Copy(client=addresses[0], server=addresses[1])
    copy.syn(fragment=8)
    copy.synack(fragment=8)
    copy.ack(fragment=16)
    copy.client(b"abc", fragment=8)
    copy.server(b"ABC", fragment=16)
    copy.goodbye().whole(b"abc", b"ABC")


def test_case_52_atomic_fragments_are_whole_packets() -> None:
    """RFC 6946: a fragment header with offset 0 and nothing to follow; it must not meet other fragments of its ID."""
    atom = struct.pack("!BBHI", 6, 0, 0, 5)
    copy = Copy(client=FAMILIES[1][0], server=FAMILIES[1][1])
    copy.syn(extensions=atom, following=44)
    copy.synack()
    copy.ack(extensions=atom, following=44)
    copy.wire.feed(ethernet(piece_of(copy, b"?" * 40, 0, True, 5)))
    copy.client(b"abc", extensions=atom, following=44)
    copy.server(b"ABC", extensions=atom, following=44)
    copy.goodbye().whole(b"abc", b"ABC")


def test_case_52_fragments_that_say_dont_fragment_are_put_together() -> None:
    copy = Copy().handshake()
    segment, data = datagram(copy, pattern(72), 0)
    copy.wire.feed(ethernet(piece_of(copy, segment[:40], 0, True, dont=True)))
    copy.wire.feed(ethernet(piece_of(copy, segment[40:], 40, False, dont=True)))
    copy.c.position = copy.s.received = len(data)
    copy.server_ack()
    copy.goodbye().whole(data)


@pytest.mark.parametrize("addresses", FAMILIES, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("missing", [0, 3, -1])
def test_case_53_a_lost_fragment_is_a_hole_of_its_segment(missing: int, addresses: tuple[str, str]) -> None:
    def drop(frames: list[bytes]) -> list[bytes]:
        return [frame for frame in frames if frame is not frames[missing]]

    copy = Copy(client=addresses[0], server=addresses[1]).handshake()
    copy.client(b"abc")
    copy.client(pattern(100), fragment=16, order=drop)
    copy.client(b"def")
    copy.server_ack()
    copy.wait(1)
    copy.goodbye().finish()
    assert copy.one.client.holes == [(3, 100, "lost")]
    assert copy.one.client.data == b"abc" + bytes(100) + b"def"


def test_case_53_or_at_the_deadline() -> None:
    copy = Copy().handshake()
    copy.client(pattern(100), fragment=16, order=lambda frames: frames[1:])
    copy.client(b"def")
    copy.wait(6)
    assert copy.one.client.holes == [(0, 100, "deadline")]
    copy.finish()


def test_case_54_a_flood_of_fragments_is_bounded_and_counted() -> None:
    copy = Copy(fragments=100_000).handshake()
    copy.client(b"abc")
    feed = copy.wire.follower.packet
    frames = [
        ethernet(ip_packet(
            (0x0A010000 + number).to_bytes(4, "big"), copy.s.address, bytes(800), identification=number & 0xFFFF,
            fragment=MORE | number % 7,
        ))
        for number in range(4000)
    ]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number, frame in enumerate(frames):
        feed(1, frame, 0, len(frame), len(frame), 1_700_000_000 * 10**9 + number * 1000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    copy.wire.frames += len(frames)
    assert grown < 1_500_000, f"{grown} bytes for a limit of 100,000 and 3.2 MB of fragments"
    assert any("frag" in name and value >= 3000 for name, value in copy.stats.items()), copy.stats
    text = pattern(100)
    copy.client(text, fragment=16)
    copy.server_ack()
    copy.goodbye().whole(b"abc" + text)


# checksums


@pytest.mark.parametrize("checksums", ["auto", "verify"])
@pytest.mark.parametrize("knob", [{"checksum": "bad"}, {"ip_checksum": "bad"}], ids=["TCP", "IP"])
def test_case_55_ins_2_a_bad_checksum_among_good_ones_is_ignored(knob: dict[str, Any], checksums: str) -> None:
    copy = Copy(checksums=checksums).handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.client(b"EVIL", forged=True, **knob)
    copy.client(b"def")
    copy.server_ack()
    copy.goodbye().whole(b"abcdef", b"ABC")


def test_case_55_or_taken_if_so_told() -> None:
    copy = Copy(checksums="ignore").handshake()
    copy.client(b"abc", checksum="bad")
    copy.server(b"ABC", checksum="zero")
    copy.goodbye().whole(b"abc", b"ABC")


@pytest.mark.parametrize("kind", ["unfinished", "bad", "zero"])
@pytest.mark.parametrize("side", ["client", "server", "both"])
def test_case_55_checksums_that_the_card_was_to_fill_in_cost_nothing(side: str, kind: str) -> None:
    """A capture taken on the sender: all that one side sends (both, over loopback) has a sum that is not right yet."""
    ours = kind if side in ("client", "both") else "good"
    theirs = kind if side in ("server", "both") else "good"
    copy = Copy()
    copy.syn(checksum=ours)
    copy.synack(checksum=theirs)
    copy.ack(checksum=ours)
    for number in range(5):
        copy.client(b"abc%d" % number, checksum=ours)
        copy.server(b"ABC%d" % number, checksum=theirs)
    copy.fin(checksum=ours)
    copy.server_fin(checksum=theirs)
    copy.ack(checksum=ours)
    copy.whole(b"abc0abc1abc2abc3abc4", b"ABC0ABC1ABC2ABC3ABC4")
    assert ("checksums-unfinished" in copy.one.notes) == (kind == "unfinished")


def test_case_55_an_unfinished_checksum_is_right_whenever_it_comes() -> None:
    """The pseudo header's sum alone is no accident: a sender that offloads now and then is not lying."""
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.client(b"def", checksum="unfinished")
    copy.server(b"DEF")
    copy.goodbye().whole(b"abcdef", b"ABCDEF")


def test_case_55_an_ip_length_of_zero_means_the_length_of_the_capture() -> None:
    """Segmentation was left to the card: the packet is longer than any the wire carries."""
    text = pattern(9000)
    copy = Copy().handshake()
    copy.client(text[:4500], total_length=0, checksum="unfinished")
    copy.client(text[4500:], total_length=0, checksum="unfinished")
    copy.server_ack()
    copy.goodbye().whole(text)


def test_case_55_padding_is_no_data() -> None:
    copy = Copy()
    copy.syn(padding=b"\xee" * 6)
    copy.synack(padding=b"\xee" * 2)
    copy.ack(padding=b"\xee" * 6)
    copy.client(b"a", padding=b"\xee" * 5)
    copy.server(b"A", padding=b"\xee" * 5)
    copy.client(b"", padding=b"\xee" * 6)
    copy.server_ack(padding=b"\xee" * 6)
    copy.fin(padding=b"\xee" * 6)
    copy.server_fin(padding=b"\xee" * 6)
    copy.ack(padding=b"\xee" * 6)
    copy.whole(b"a", b"A")


def test_case_55_what_the_snap_length_cut_is_a_hole_of_known_size() -> None:
    text = pattern(300)
    copy = Copy().handshake()
    copy.client(text[:100], snap=40)
    copy.client(text[100:200])
    copy.client(text[200:300], snap=0)
    copy.server(b"ABC")
    copy.goodbye().finish()
    assert copy.one.client.holes == [(40, 60, "snaplen"), (200, 100, "snaplen")]
    assert copy.one.client.data == text[:40] + bytes(60) + text[100:200] + bytes(100)
    assert copy.one.close == "fin"
    assert copy.one.client.fin


def test_case_55_cut_packets_out_of_order() -> None:
    text = pattern(300)
    copy = Copy().handshake()
    copy.client(text[200:300], at=200, snap=10)
    copy.client(text[100:200], at=100, snap=20)
    copy.client(text[:100], at=0, snap=30)
    copy.server_ack()
    copy.goodbye().finish()
    assert copy.one.client.holes == [(30, 70, "snaplen"), (120, 80, "snaplen"), (210, 90, "snaplen")]
    assert copy.one.client.present == text[:30] + text[100:120] + text[200:210]


def test_case_55_a_whole_retransmission_of_a_held_cut_packet_counts() -> None:
    text = pattern(300)
    copy = Copy().handshake()
    copy.client(text[100:200], at=100, snap=20)
    copy.client(text[100:200], at=100)
    copy.client(text[:100], at=0)
    copy.server_ack()
    copy.goodbye().whole(text[:200])


def test_case_56_other_ttls_of_one_sender_are_counted() -> None:
    """Low-TTL insertion can't be decided from the copy; that it may have been is counted."""
    copy = Copy().handshake()
    for number in range(10):
        copy.client(b"abc%d" % number)
    copy.client(b"EVIL", ttl=3, forged=True)
    copy.client(b"good")
    copy.server_ack()
    copy.goodbye().finish()
    assert any("ttl" in name for name in copy.one.conn.client.counters), copy.one.conn.client.counters
    assert not any("ttl" in name for name in copy.one.conn.server.counters)


# tags and tunnels

STACKS = [(10,), (20,), (10, 20), (20, 10), (10, 20, 30), ((10, 0x88A8), (20, 0x8100)), tuple(range(1, 9))]


def test_case_57_the_same_tuple_on_several_stacks_is_several_connections() -> None:
    first = Copy()
    copies = [first]
    for number, stack in enumerate(STACKS[:5]):
        copies.append(Copy(wire=first.wire, vlans=stack, cisn=number, sisn=~number & 0xFFFFFFFF))
    for copy in copies:
        copy.handshake()
    for number, copy in enumerate(copies):
        copy.client(b"request %d" % number)
    for number, copy in enumerate(copies):
        copy.server(b"answer %d" % number)
        copy.goodbye()
    first.finish()
    assert len(first.all) == len(copies)
    for number, record in enumerate(first.all):
        check(record, b"request %d" % number, b"answer %d" % number)
        assert tuple(tag.vid for tag in record.conn.vlans) == copies[number].vlans


@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_case_57_any_stack_of_tags(stack: tuple[int | tuple[int, int], ...]) -> None:
    copy = Copy(vlans=stack).handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.goodbye().whole(b"abc", b"ABC")
    assert [tag.vid for tag in copy.one.conn.vlans] == [tag if isinstance(tag, int) else tag[0] for tag in stack]


def test_case_57_a_priority_tag_is_no_vlan() -> None:
    copy = Copy()
    copy.syn(vlans=(0,))
    copy.synack()
    copy.ack(vlans=(0,))
    copy.client(b"abc")
    copy.server(b"ABC", vlans=(0,))
    copy.goodbye().whole(b"abc", b"ABC")


@pytest.mark.parametrize("stacks", [((10,), ()), ((10,), (20,)), ((10, 20), (10,))], ids=str)
def test_case_57_directions_with_other_tags_are_one_connection_if_vlans_are_ignored(
    stacks: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    out, back = stacks
    copy = Copy(ignore_vlans=True)
    copy.syn(vlans=out)
    copy.synack(vlans=back)
    copy.ack(vlans=out)
    copy.client(b"abc", vlans=out)
    copy.server(b"ABC", vlans=back)
    copy.fin(vlans=out)
    copy.server_fin(vlans=back)
    copy.ack(vlans=out)
    copy.whole(b"abc", b"ABC")


@pytest.mark.parametrize("addresses", FAMILIES, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("stack", [(), (10,), (10, 20)], ids=str)
@pytest.mark.parametrize("wrap", [pppoe, mpls(100), mpls(100, 200, 300)], ids=["PPPoE", "MPLS", "MPLS of three"])
def test_case_57_pppoe_and_mpls_are_looked_through(
    wrap: object, stack: tuple[int, ...], addresses: tuple[str, str]
) -> None:
    copy = Copy(client=addresses[0], server=addresses[1], vlans=stack)
    knobs: dict[str, Any] = {"wrap": wrap}
    copy.syn(**knobs)
    copy.synack(**knobs)
    copy.ack(**knobs)
    copy.client(b"abc", **knobs)
    copy.server(b"ABC", **knobs)
    copy.fin(**knobs)
    copy.server_fin(**knobs)
    copy.ack(**knobs)
    copy.whole(b"abc", b"ABC")


def link_frames(kind: int, packet: bytes) -> bytes:
    """`packet` under another link header: DLT_NULL, raw IP, Linux cooked v1 and v2."""
    v6 = packet[0] >> 4 == 6
    ethertype = 0x86DD if v6 else 0x0800
    if kind == 0:
        return struct.pack("<I", 30 if v6 else 2) + packet
    if kind == 113:
        return struct.pack("!HHH8sH", 0, 1, 6, bytes(8), ethertype) + packet
    if kind == 276:
        return struct.pack("!HHIHBB8s", ethertype, 0, 3, 1, 0, 6, bytes(8)) + packet
    return packet


@pytest.mark.parametrize("addresses", FAMILIES, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("kind", [0, 101, 113, 276], ids=["loopback", "raw", "cooked v1", "cooked v2"])
def test_other_link_types(kind: int, addresses: tuple[str, str]) -> None:
    copy = Copy(client=addresses[0], server=addresses[1])
    packets = copy.collect()
    copy.handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.goodbye()
    copy.wire.collected = None
    for time, frame, _ in packets:
        data = link_frames(kind, frame[14:])
        copy.wire.feed(data, time=time, link_type=kind)
    copy.whole(b"abc", b"ABC")
    assert copy.one.conn.client_mac is None or kind in (113, 276)


def test_ethernet_addresses_are_reported() -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.goodbye().whole(b"abc", b"ABC")
    conn = copy.one.conn
    assert (str(conn.client_mac), str(conn.server_mac)) == ("02:00:00:00:00:01", "02:00:00:00:00:02")
    assert (str(conn.client_address[0]), conn.client_address[1]) == ("10.0.0.1", 40000)
    assert (str(conn.server_address[0]), conn.server_address[1]) == ("10.0.0.2", 80)
    assert conn.frame == 1
    assert conn.serial == 0
    assert conn.end > conn.start == 1_700_000_000 * 10**9


def test_an_unknown_link_type_is_counted_and_nothing_else() -> None:
    copy = Copy().handshake()
    copy.wire.play([(0, bytes(60), 60)], 9999)
    copy.client(b"abc")
    copy.server_ack()
    copy.goodbye().whole(b"abc")


def test_ip_addresses_of_both_families_do_not_meet() -> None:
    """Mapped addresses have no business on the wire (RFC 4038): dropped or a connection of its own, both will do."""
    four = Copy()
    six = Copy(wire=four.wire, client="::ffff:10.0.0.1", server="::ffff:10.0.0.2")
    for copy in (four, six):
        copy.handshake()
    four.client(b"four")
    six.client(b"six")
    for copy in (four, six):
        copy.server_ack()
        copy.goodbye()
    four.finish()
    check(four.all[0], b"four")
    assert [record.client.data for record in four.all[1:]] in ([], [b"six"])


def test_the_helpers_make_what_they_say() -> None:
    """The pieces that the tests above are made of, against known numbers."""
    assert pack("10.0.0.1") == bytes((10, 0, 0, 1))
    assert isinstance(Copy().wire, Wire)
    packet = ip_packet(pack("192.168.0.1"), pack("192.168.0.199"), bytes(95), protocol=17, fragment=0x4000)
    assert packet[10:12].hex() == "b861"  # the example of many textbooks: 4500 0073 0000 4000 4011 b861 ...
