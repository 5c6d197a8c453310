"""Sequence space, windows, options: cases 42 to 49.

Read first: RFC 9293, 3.4; RFC 7323; RFC 6093 for urgent data.
"""

from __future__ import annotations

import pytest

from tests.unit.passive.copy import Copy, pattern, pieces, timestamps

GIB = 1 << 30
FOUR_GIB = 1 << 32


# the wrap


@pytest.mark.parametrize(
    "cisn", [0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFF0, 0xFFFFFF00, 0, 0x7FFFFFFF, 0x7FFFFFF0, 0x80000000]
)
def test_case_42_sequence_numbers_wrap_in_order(cisn: int) -> None:
    text = pattern(500)
    copy = Copy(cisn=cisn, sisn=cisn ^ 0x80000000).handshake()
    for at, piece in pieces(text, 7):
        copy.client(piece, at=at)
        copy.server(piece.upper(), at=at)
    copy.ack()
    copy.goodbye().whole(text, b"".join(piece.upper() for _, piece in pieces(text, 7)))


@pytest.mark.parametrize("cisn", [0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFF0, 0xFFFFFF00, 0x7FFFFFF0])
def test_case_42_sequence_numbers_wrap_out_of_order(cisn: int) -> None:
    text = pattern(500)
    copy = Copy(cisn=cisn).handshake()
    segments = list(pieces(text, 7))
    for at, piece in segments[1::2] + segments[::-2]:
        copy.client(piece, at=at)
    for at, piece in segments:
        copy.client(piece, at=at)
    copy.server_ack()
    copy.goodbye().whole(text)


def test_case_42_a_hole_across_the_wrap() -> None:
    copy = Copy(cisn=0xFFFFFFF0).handshake()
    copy.client(b"before....", at=0)
    copy.client(b"-" * 20, at=10, missed=True)
    copy.client(b"behind", at=30)
    copy.server_ack()
    copy.wait(1)
    copy.goodbye().finish()
    assert copy.one.client.events == [
        ("data", 0, b"before...."), ("hole", 10, 20, "lost"), ("data", 30, b"behind"), ("fin", 36),
    ]


def past_four_gib(**knobs: int) -> Copy:
    """A connection whose client is at 4.2 GiB, by six jumps that the copy missed and the server acknowledged."""
    copy = Copy(scale=14, **knobs).handshake()
    at = 0
    for _ in range(6):
        at += 700 << 20
        copy.client(b"island", at=at)
        copy.s.received = at + 6
        copy.server_ack()
        copy.wait(1)
    return copy


def test_case_42_offsets_beyond_four_gib() -> None:
    copy = past_four_gib()
    copy.client(b"the end")
    copy.server_ack()
    copy.goodbye().finish()
    client = copy.one.client
    assert client.length == 6 * (700 << 20) + 6 + 7 > FOUR_GIB
    jump = 700 << 20
    assert client.holes == [(0, jump, "lost")] + [(n * jump + 6, jump - 6, "lost") for n in range(1, 6)]
    assert client.events[-2:] == [("data", 6 * jump + 6, b"the end"), ("fin", 6 * jump + 13)]
    assert copy.one.conn.client.length == client.length
    assert copy.one.close == "fin"


def test_case_42_held_data_and_retransmissions_beyond_four_gib() -> None:
    copy = past_four_gib()
    at = copy.c.position
    text = pattern(3000)
    for offset, piece in reversed(list(pieces(text, 100))):
        copy.client(piece, at=at + offset)
    for offset, piece in pieces(text, 130):
        copy.client(piece, at=at + offset)
    copy.server_ack()
    copy.goodbye().finish()
    assert b"".join(event[2] for event in copy.one.client.events if event[0] == "data" and event[1] >= at) == text
    assert all(hole[0] + hole[1] <= at for hole in copy.one.client.holes)


def test_case_42_four_gib_in_packets_that_the_snap_length_cut() -> None:
    """The server's side stands still meanwhile: it must not take an old number for a new one."""
    copy = Copy(scale=14).handshake()
    size = 64_000
    near = FOUR_GIB - 30 * size
    for at in range(600 << 20, near, 600 << 20):
        copy.client(b"i", at=at)
        copy.s.received = at + 1
        copy.server_ack()
        copy.wait(1)
    copy.client(b"i", at=near - 1)
    copy.s.received = near
    copy.server_ack()
    copy.wait(1)
    for at in range(near, FOUR_GIB + 20 * size, size):
        copy.client(b"head", at=at, cut=size)
    copy.server(b"done")
    copy.goodbye().finish()
    client = copy.one.client
    assert client.length == near + 50 * size
    assert [hole for hole in client.holes if hole[2] == "snaplen"] == [
        (at + 4, size - 4, "snaplen") for at in range(near, FOUR_GIB + 20 * size, size)
    ]
    assert copy.one.server.data == b"done"
    assert copy.one.server.holes == []


# windows


def test_case_43_of_a_segment_partly_left_of_the_window_the_rest_counts() -> None:
    text = pattern(40)
    copy = Copy().handshake()
    copy.client(text[:20])
    copy.server_ack()
    copy.client(text[5:40], at=5)
    copy.server_ack()
    copy.client(text[:20], at=0)
    copy.client(text[1:40], at=1)
    copy.goodbye().whole(text)


def test_case_43_a_segment_across_the_right_edge() -> None:
    """The receiver takes what fits; the rest comes again when there is room. Whoever takes all of it has the same."""
    text = pattern(40)
    copy = Copy(scale=0)
    copy.s.window = 10
    copy.handshake()
    copy.packet(copy.c, "P.", text[:30], forged=True)
    copy.s.gets(0, 10)
    copy.c.position = 10
    copy.server_ack(window=0)
    copy.server_ack(window=1000)
    copy.client(text[10:40], at=10)
    copy.server_ack()
    copy.goodbye().whole(text)


@pytest.mark.parametrize("distance", [1 << 20, 1 << 24, 1 << 28, 1 << 30, -(1 << 20), -(1 << 30)])
@pytest.mark.parametrize("scale", [None, 0])
def test_case_43_data_far_outside_the_window_is_ignored(scale: int | None, distance: int) -> None:
    """The window is known: both SYNs were seen, and no scale was agreed on."""
    copy = Copy(scale=scale)
    copy.s.window = 8000
    copy.handshake()
    copy.client(b"abc")
    for _ in range(3):
        copy.server(b"ABC")
        copy.ack()
    copy.client(b"far away", at=distance, forged=True)
    copy.client(b"def")
    copy.server_ack()
    copy.wait(100)
    copy.client(b"ghi")
    copy.server_ack()
    copy.goodbye().whole(b"abcdefghi", b"ABC" * 3)
    counters = copy.one.conn.client.counters
    assert counters.get("ignored", 0) + (distance < 0) * counters.get("retransmitted", 0) >= 1


@pytest.mark.parametrize("missed", ["SYN", "SYN|ACK"])
def test_case_43_without_a_syn_the_scale_is_unknown_and_no_window_is_enforced(missed: str) -> None:
    text = pattern(400_000)
    copy = Copy(scale=7)
    copy.s.window = 8000
    copy.syn(missed=missed == "SYN")
    copy.synack(missed=missed == "SYN|ACK")
    copy.ack()
    segments = list(pieces(text, 10_000))
    for at, piece in segments[1:] + segments[:1]:
        copy.client(piece, at=at)
    copy.server_ack()
    copy.goodbye().whole(text)


def test_case_43_with_the_scale_known_the_whole_window_counts() -> None:
    text = pattern(600_000)
    copy = Copy(scale=7)
    copy.s.window = 8000
    copy.syn(window=65535)
    copy.synack(window=65535)
    copy.server_ack()
    segments = list(pieces(text, 10_000))
    for at, piece in segments[1:] + segments[:1]:
        copy.client(piece, at=at)
    copy.server_ack()
    copy.goodbye().whole(text)


def test_case_43_window_updates_that_the_copy_lacks_cost_nothing() -> None:
    """The copy's view of the window is old: data that the receiver has taken is beyond it."""
    text = pattern(300_000)
    copy = Copy(scale=0)
    copy.s.window = 20_000
    copy.handshake()
    for at, piece in pieces(text, 10_000):
        copy.client(piece, at=at)
        copy.server_ack(missed=True)
    copy.server_ack()
    copy.goodbye().whole(text)


# zero windows and keepalives


def test_case_44_a_window_probe_that_is_not_taken_is_sent_again() -> None:
    copy = Copy().handshake()
    copy.client(b"abcdef")
    copy.server_ack(window=0)
    for _ in range(3):
        copy.pause(1)
        copy.packet(copy.c, "P.", b"g", forged=True)
        copy.server_ack(window=0)
    copy.server_ack(window=1000)
    copy.client(b"ghi")
    copy.server_ack()
    copy.goodbye().whole(b"abcdefghi")


def test_case_44_a_window_probe_that_is_taken_is_data() -> None:
    copy = Copy().handshake()
    copy.client(b"abcdef")
    copy.server_ack(window=0)
    copy.pause(1)
    copy.client(b"g")
    copy.server_ack(window=0)
    copy.pause(2)
    copy.client(b"h")
    copy.server_ack(window=1000)
    copy.client(b"ijk")
    copy.server_ack()
    copy.goodbye().whole(b"abcdefghijk")


def test_case_44_windows_may_be_closed_for_an_hour() -> None:
    copy = Copy().handshake()
    copy.client(b"abcdef")
    copy.server_ack(window=0)
    for _ in range(60):
        copy.pause(60)
        copy.packet(copy.c, "P.", b"g", forged=True)
        copy.server_ack(window=0)
    copy.client(b"ghi")
    copy.server_ack(window=1000)
    copy.goodbye().whole(b"abcdefghi")


@pytest.mark.parametrize("garbage", [b"", b"\0", b"f", b"\xff"])
def test_case_45_a_keepalive_adds_nothing(garbage: bytes) -> None:
    copy = Copy().handshake()
    copy.client(b"abcdef")
    copy.server(b"ABC")
    copy.ack()
    for _ in range(5):
        copy.pause(60)
        copy.client(garbage, at=5, forged=True)
        copy.server_ack()
        copy.server(garbage, at=2, forged=True)
        copy.ack()
    copy.client(b"ghi")
    copy.server_ack()
    copy.goodbye().whole(b"abcdefghi", b"ABC")


@pytest.mark.parametrize("garbage", [b"", b"\0"])
def test_case_45_a_keepalive_before_any_data_adds_nothing(garbage: bytes) -> None:
    """Its byte stands where the SYN was."""
    copy = Copy().handshake()
    copy.pause(60)
    copy.client(garbage, at=-1, forged=True)
    copy.server_ack()
    copy.server(garbage, at=-1, forged=True)
    copy.ack()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.goodbye().whole(b"abc", b"ABC")


# timestamps


def test_case_46_linux_drops_data_with_an_old_timestamp() -> None:
    copy = Copy(stamps=True, overlap="linux").handshake()
    copy.client(b"abc")
    copy.server_ack()
    copy.client(b"EVIL", options=timestamps(1), forged=True)
    copy.client(b"good")
    copy.server_ack()
    copy.goodbye().whole(b"abcgood")
    assert copy.one.counted("ignored") + copy.one.counted("doubtful") >= 1


@pytest.mark.parametrize("policy", ["first", "linux"])
def test_case_46_a_timestamp_one_behind_is_taken(policy: str) -> None:
    """Linux allows for one tick (TCP_PAWS_WINDOW)."""
    copy = Copy(stamps=True, overlap=policy).handshake()
    copy.client(b"abc")
    copy.server_ack()
    copy.client(b"def", options=timestamps(copy.c.clock - 1, copy.s.clock))
    copy.server_ack()
    copy.goodbye().whole(b"abcdef")


@pytest.mark.parametrize("policy", ["first", "linux", "bsd"])
def test_case_46_reordered_segments_have_older_timestamps_and_count(policy: str) -> None:
    text = pattern(3000)
    copy = Copy(stamps=True, overlap=policy).handshake()
    packets = copy.collect()
    for at, piece in pieces(text, 100):
        copy.client(piece, at=at)
        copy.c.clock += 10
    copy.wire.collected = None
    for at in range(0, 30, 10):
        packets.insert(at, packets.pop(at + 9))
        packets.insert(at + 8, packets.pop(at + 1))
    copy.play(packets)
    copy.server_ack()
    copy.goodbye().whole(text)


@pytest.mark.parametrize("policy", ["first", "linux"])
def test_case_46_timestamps_wrap(policy: str) -> None:
    copy = Copy(stamps=True, overlap=policy)
    copy.c.clock = 0xFFFFFFFC
    copy.s.clock = 0x7FFFFFFC
    copy.handshake()
    text = pattern(200)
    for at, piece in pieces(text, 10):
        copy.client(piece, at=at)
        copy.server(piece, at=at)
    copy.ack()
    copy.goodbye().whole(text, text)


# damaged headers


@pytest.mark.parametrize("data_offset", [0, 1, 4, 15])
def test_case_47_a_wrong_data_offset_is_a_counted_drop(data_offset: int) -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    before = copy.stats
    copy.client(b"evil", data_offset=data_offset, forged=True)
    grown = {name for name, value in copy.stats.items() if value > before.get(name, 0)}
    assert grown - {"packets", "bytes"}, "nothing counts the drop"
    copy.client(b"def")
    copy.server_ack()
    copy.goodbye().whole(b"abcdef")


@pytest.mark.parametrize(
    "area",
    [
        bytes((8, 10, 0, 0)), bytes((2, 4, 5)), bytes((2, 0, 5, 5)), bytes((3, 1, 3, 3)), bytes((19, 40, 1, 1)),
        bytes((254, 255, 1, 1)), bytes((1, 1, 1, 8)), b"\xff" * 40, bytes((5, 2, 0, 0)), bytes((5, 3, 1, 0)),
    ],
    ids=lambda area: area[:4].hex(),
)
def test_case_47_truncated_options_do_no_harm(area: bytes) -> None:
    copy = Copy()
    copy.syn(options=area)
    copy.synack(options=area)
    copy.ack(options=area)
    copy.client(b"abc", options=area)
    copy.server(b"ABC", options=area)
    copy.goodbye().whole(b"abc", b"ABC")


@pytest.mark.parametrize("length", range(1, 40))  # 0 says that segmentation was left to the card: case 55
def test_case_47_an_ip_packet_shorter_than_its_tcp_header_is_a_drop(length: int) -> None:
    """`length`: what the IP header says; the bytes behind it are padding as far as anyone can tell."""
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.client(b"evil", total_length=length, forged=True)
    copy.client(b"def")
    copy.server_ack()
    copy.goodbye().whole(b"abcdef")


def test_case_47_every_prefix_of_a_packet_is_harmless() -> None:
    """What the snap length leaves of a packet may be anything down to nothing."""
    probe = Copy()
    packets = probe.collect()
    probe.client(b"abc", forged=True, ack=0)
    (_, frame, length), = packets
    copy = Copy().handshake()
    copy.client(b"abc")
    for end in range(54):
        copy.play([(copy.wire.now, frame[:end], length)])
    copy.client(b"def")
    copy.server_ack()
    copy.goodbye().whole(b"abcdef")


# urgent data


def urgent(policy: str) -> Copy:
    copy = Copy(urgent=policy).handshake()
    copy.client(b"abc")
    copy.client(b"!", flags="PU.", urgent=1)
    copy.client(b"def")
    copy.client(b"gh?", flags="PU.", urgent=3)
    copy.client(b"ijk")
    copy.server_ack()
    return copy.goodbye().finish()


def test_case_48_urgent_bytes_are_in_line() -> None:
    copy = urgent("inline")
    assert copy.one.client.data == b"abc!defgh?ijk"
    assert copy.one.client.holes == []


def test_case_48_urgent_bytes_may_be_holes() -> None:
    copy = urgent("hole")
    assert copy.one.client.data == b"abc\0defgh\0ijk"
    assert copy.one.client.holes == [(3, 1, "urgent"), (9, 1, "urgent")]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_case_48_urgent_bytes_out_of_order(order: tuple[int, ...]) -> None:
    copy = Copy(urgent="hole").handshake()
    segments = [(b"abc", "P.", 0, 0), (b"de!", "PU.", 3, 3), (b"ghi", "P.", 6, 0)]
    for number in order:
        data, flags, at, pointer = segments[number]
        copy.client(data, flags=flags, at=at, urgent=pointer)
    copy.server_ack()
    copy.goodbye().finish()
    assert copy.one.client.data == b"abcde\0ghi"
    assert copy.one.client.holes == [(5, 1, "urgent")]


# ACKs of what the copy has not seen


def test_case_49_an_ack_that_comes_before_its_data_makes_no_hole() -> None:
    text = pattern(4000)
    copy = Copy().handshake()
    for at, piece in pieces(text, 500):
        copy.server_ack(ack=at + len(piece))
        copy.pause(0.04)
        copy.client(piece, at=at)
    copy.goodbye().whole(text)


def test_case_49_nor_does_one_with_data_behind_it() -> None:
    text = pattern(4000)
    copy = Copy().handshake()
    for at in range(0, 4000, 1000):
        copy.server_ack(ack=at + 1000)
        copy.client(text[at + 500 : at + 1000], at=at + 500)
        copy.pause(0.04)
        copy.client(text[at : at + 500], at=at)
    copy.goodbye().whole(text)


def test_case_49_an_ack_shortens_the_wait_to_the_skew() -> None:
    copy = Copy(skew=0.05, deadline=5).handshake()
    copy.client(b"missed", missed=True)
    copy.client(b"held")
    copy.server_ack()
    copy.wait(0.04)
    assert copy.one.client.events == []
    copy.wait(0.02)
    assert copy.one.client.events == [("hole", 0, 6, "lost"), ("data", 6, b"held")]
    copy.goodbye().finish()


def test_case_49_without_an_ack_the_deadline_holds() -> None:
    copy = Copy(skew=0.05, deadline=5).handshake()
    copy.client(b"missed", missed=True)
    copy.client(b"held")
    copy.server_ack(ack=0)
    copy.wait(4.9)
    assert copy.one.client.events == []
    copy.wait(0.2)
    assert copy.one.client.events == [("hole", 0, 6, "deadline"), ("data", 6, b"held")]
    copy.server_ack()
    copy.goodbye().finish()
    assert copy.one.close == "fin"


def test_case_49_what_comes_behind_its_hole_is_late_and_counted() -> None:
    copy = Copy().handshake()
    copy.client(b"missed", at=0, lost=True)
    copy.client(b"held", at=6)
    copy.wait(6)
    copy.client(b"missed", at=0)
    copy.server_ack()
    copy.goodbye().finish()
    assert copy.one.client.data == bytes(6) + b"held"
    assert copy.one.client.holes == [(0, 6, "deadline")]
    assert copy.one.conn.client.counters, "nothing counts what came too late"


def test_case_49_the_deadline_counts_from_the_hole_not_from_the_last_packet() -> None:
    """More held data must not put the deadline off for ever."""
    copy = Copy(deadline=5).handshake()
    copy.client(b"missed", missed=True)
    for _ in range(12):
        copy.client(b"held")
        copy.server_ack(ack=0)
        copy.wait(0.5)
    assert copy.one.client.holes == [(0, 6, "deadline")]
    copy.finish()


def test_case_49_each_hole_has_its_own_deadline() -> None:
    copy = Copy(deadline=5).handshake()
    copy.client(b"one", missed=True)
    copy.client(b"two")
    copy.wait(4)
    copy.client(b"three", missed=True)
    copy.client(b"four")
    copy.wait(1.5)
    assert copy.one.client.events == [("hole", 0, 3, "deadline"), ("data", 3, b"two")]
    copy.wait(2)
    assert copy.one.client.length == 6
    copy.wait(2)
    assert copy.one.client.events[2:] == [("hole", 6, 5, "deadline"), ("data", 11, b"four")]
    copy.finish()
