"""What copies are like on ordinary days: cases 65 to 72, and every packet of a small connection lost in turn."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations

import pytest

from tests.unit.passive.copy import MACS, MPTCP, Connected, Copy, check, pattern, pieces, seconds

Packet = tuple[int, bytes, int]


def dialogue(copy: Copy, rounds: int = 40, size: int = 100) -> tuple[bytes, bytes]:
    """A conversation with its handshake and its end: the client's bytes and the server's."""
    there, back = pattern(rounds * size, 1), pattern(rounds * size, 2)
    copy.handshake()
    for number in range(rounds):
        copy.client(there[number * size : number * size + size])
        if number % 3 == 0:
            copy.server_ack()
        copy.server(back[number * size : number * size + size])
    copy.ack()
    copy.goodbye()
    return there, back


def recorded(copy: Copy, rounds: int = 40, size: int = 100) -> tuple[list[Packet], bytes, bytes]:
    packets = copy.collect()
    there, back = dialogue(copy, rounds, size)
    copy.wire.collected = None
    return packets, there, back


def in_turn(copy: Copy, packets: list[Packet], step: float) -> Copy:
    """Plays packets in the order of the list, `step` apart."""
    return copy.play([(seconds(number * step), data, length) for number, (_, data, length) in enumerate(packets)])


# 65: every packet twice


def test_case_65_every_packet_twice() -> None:
    copy = Copy()
    packets, there, back = recorded(copy)
    in_turn(copy, [packet for packet in packets for _ in range(2)], 0.0001).whole(there, back)
    assert copy.one.counted("conflicts") == 0
    assert "conflict" not in copy.one.notes


@pytest.mark.parametrize("apart", [1, 3, 8, 30])
def test_case_65_the_second_copy_comes_later(apart: int) -> None:
    copy = Copy()
    packets, there, back = recorded(copy)
    doubled: list[tuple[float, Packet]] = []
    for number, packet in enumerate(packets):
        doubled += [(number, packet), (number + apart + 0.5, packet)]
    in_turn(copy, [packet for _, packet in sorted(doubled, key=lambda item: item[0])], 0.0001).whole(there, back)


def test_case_65_twice_with_other_macs_and_ttls() -> None:
    """A mirror port that sees a packet on its way into the router and on its way out."""
    copy = Copy()
    packets, there, back = recorded(copy)
    routed: list[Packet] = []
    for time, data, length in packets:
        routed.append((time, data, length))
        head = bytearray(data)
        head[0:12] = MACS[0] + bytes.fromhex("02000000ff01")
        head[22] -= 1  # TTL; the header's checksum follows (RFC 1624)
        total = int.from_bytes(head[24:26], "big") + 0x100
        head[24:26] = ((total & 0xFFFF) + (total >> 16)).to_bytes(2, "big")
        routed.append((time, bytes(head), length))
    in_turn(copy, routed, 0.0001).whole(there, back)


@pytest.mark.parametrize("ignore", [False, True])
def test_case_65_twice_on_two_vlans(ignore: bool) -> None:
    copy = Copy(ignore_vlans=ignore)
    packets, there, back = recorded(copy)
    both = [each for time, data, length in packets for each in (
        (time, data, length), (time, data[:12] + bytes.fromhex("81000064") + data[12:], length + 4),
    )]
    in_turn(copy, both, 0.0001).finish()
    assert len(copy.all) == (1 if ignore else 2)
    for record in copy.all:
        check(record, there, back)


# 66: skew


@pytest.mark.parametrize("late", ["client", "server"])
@pytest.mark.parametrize("skew", [0.001, 0.010, 0.040, 0.045])
def test_case_66_one_tap_behind_the_other(skew: float, late: str) -> None:
    """Within the configured skew nothing is a hole, whichever direction comes late."""
    copy = Copy(step=0.002)
    packets, there, back = recorded(copy)
    from_client = [data[26:30] == copy.c.address for _, data, _ in packets]
    shifted = [
        (time + (seconds(skew) if of_client == (late == "client") else 0), data, length)
        for (time, data, length), of_client in zip(packets, from_client, strict=True)
    ]
    copy.play(sorted(shifted, key=lambda packet: packet[0])).whole(there, back)


def test_case_66_a_larger_skew_can_be_said() -> None:
    copy = Copy(step=0.002, skew=0.5)
    packets, there, back = recorded(copy)
    shifted = [
        (time + (seconds(0.4) if data[26:30] == copy.c.address else 0), data, length) for time, data, length in packets
    ]
    copy.play(sorted(shifted, key=lambda packet: packet[0])).whole(there, back)


# 67: local reordering


def shaken(packets: list[Packet], chance: random.Random, share: float, places: int = 8) -> list[Packet]:
    """Some packets are held back 1 to `places` places."""
    keyed = [
        (number + (chance.randint(1, places) + 0.5 if chance.random() < share else 0), packet)
        for number, packet in enumerate(packets)
    ]
    return [packet for _, packet in sorted(keyed, key=lambda item: item[0])]


@pytest.mark.parametrize("share", [0.02, 0.2])
@pytest.mark.parametrize("seed", range(15))
def test_case_67_packets_held_back_a_few_places(seed: int, share: float) -> None:
    copy = Copy()
    packets, there, back = recorded(copy)
    in_turn(copy, shaken(packets, random.Random(seed), share), 0.001).whole(there, back)
    assert copy.one.ports == (40000, 80)


@pytest.mark.parametrize("seed", range(3))
def test_case_67_a_thousand_packets_in_any_order(seed: int) -> None:
    text = pattern(100_000)
    copy = Copy(step=0.00001).handshake()
    packets = copy.collect()
    for at, piece in pieces(text, 100):
        copy.client(piece, at=at)
    copy.wire.collected = None
    random.Random(seed).shuffle(packets)
    in_turn(copy, packets, 0.0001)
    copy.wire.now = seconds(1)
    copy.server_ack()
    copy.goodbye().whole(text)


def test_case_67_one_packet_a_thousand_places_late() -> None:
    text = pattern(100_000)
    copy = Copy(step=0.00001).handshake()
    packets = copy.collect()
    for at, piece in pieces(text, 100):
        copy.client(piece, at=at)
    copy.wire.collected = None
    in_turn(copy, [*packets[1:], packets[0]], 0.001)
    copy.wire.now = seconds(2)
    copy.server_ack()
    copy.goodbye().whole(text)


# 68: loss. A small connection, packet by packet: what the copy misses if it misses just that

CLIENT, SERVER = b"abcdefghij" + b"ABCDEFGHIJ", b"0123456789" * 2 + b"!" * 15
Step = tuple[str, Callable[[Copy, bool], None], tuple[int, int] | None, tuple[int, int] | None]
STEPS: list[Step] = [
    ("SYN", lambda c, m: c.syn(missed=m), None, None),
    ("SYN|ACK", lambda c, m: c.synack(missed=m), None, None),
    ("final ACK", lambda c, m: c.ack(missed=m), None, None),
    ("first data", lambda c, m: c.client(CLIENT[:10], missed=m), (0, 10), None),
    ("ACK of it", lambda c, m: c.server_ack(missed=m), None, None),
    ("answer", lambda c, m: c.server(SERVER[:20], missed=m), None, (0, 20)),
    ("ACK of the answer", lambda c, m: c.ack(missed=m), None, None),
    ("last data", lambda c, m: c.client(CLIENT[10:], missed=m), (10, 10), None),
    ("last answer", lambda c, m: c.server(SERVER[20:], missed=m), None, (20, 15)),
    ("ACK of the last answer", lambda c, m: c.ack(missed=m), None, None),
    ("FIN", lambda c, m: c.fin(missed=m), None, None),
    ("ACK of the FIN", lambda c, m: c.server_ack(missed=m), None, None),
    ("server's FIN", lambda c, m: c.server_fin(missed=m), None, None),
    ("last ACK", lambda c, m: c.ack(missed=m), None, None),
]
NAMES = [step[0] for step in STEPS]


def without(missing: set[str], step: float = 0.01, **options: bool) -> Copy:
    """The small connection, whose copy lacks some packets."""
    copy = Copy(step=step, **options)
    for name, send, _, _ in STEPS:
        send(copy, name in missing)
    return copy


def zeroed(stream: bytes, holes: list[tuple[int, int]]) -> bytes:
    out = bytearray(stream)
    for offset, length in holes:
        out[offset : offset + length] = bytes(length)
    return bytes(out)


def expect(record: Connected, missing: set[str], reason: str | None) -> None:
    """The holes are exactly what was missing; bytes that were there are there; roles are right; the end is known."""
    for stream, sent, column in ((record.client, CLIENT, 2), (record.server, SERVER, 3)):
        holes = [step[column] for step in STEPS if step[0] in missing and step[column] is not None]
        merged: list[tuple[int, int]] = []
        for hole in holes:
            assert isinstance(hole, tuple)
            if merged and sum(merged[-1]) == hole[0]:
                merged[-1] = (merged[-1][0], merged[-1][1] + hole[1])
            else:
                merged.append((hole[0], hole[1]))
        assert stream.missing == merged
        assert stream.data == zeroed(sent, merged)
        if reason is not None:
            assert {hole[2] for hole in stream.holes} <= {reason}
    assert record.ports == (40000, 80)
    if not missing & {"FIN", "server's FIN"}:
        assert record.close == "fin"
        assert record.client.fin
        assert record.server.fin


@pytest.mark.parametrize("missing", NAMES)
def test_case_68_one_packet_missing_while_the_capture_goes_on(missing: str) -> None:
    copy = without({missing})
    copy.wait(2)
    copy.wait(1000)
    copy.finish()
    expect(copy.one, {missing}, "lost")
    assert copy.one.close in ("fin", "timeout")


@pytest.mark.parametrize("missing", NAMES)
def test_case_68_one_packet_missing_and_the_capture_ends_with_the_connection(missing: str) -> None:
    """All of it in a millisecond: what was acknowledged and never came is lost, if no skew has passed either."""
    copy = without({missing}, 0.00005).finish()
    expect(copy.one, {missing}, "lost")


@pytest.mark.parametrize("first, second", list(combinations(NAMES, 2)))
def test_case_68_two_packets_missing(first: str, second: str) -> None:
    missing = {first, second}
    unopened = missing == {"SYN", "SYN|ACK"}
    copy = without(missing, midstream=unopened)
    copy.wait(2)
    copy.finish()
    record = copy.one
    if unopened:
        check(record, CLIENT, SERVER)
        assert record.conn.midstream
    else:
        expect(record, missing, None)


def test_case_68_without_a_handshake_and_without_midstream_there_is_no_connection() -> None:
    copy = without({"SYN", "SYN|ACK"}).finish()
    assert copy.all == []


@pytest.mark.parametrize("kept", ["SYN", "SYN|ACK", "RST"])
def test_case_68_all_but_one_packet_missing(kept: str) -> None:
    copy = Copy()
    copy.syn(missed=kept != "SYN")
    copy.synack(missed=kept != "SYN|ACK")
    copy.rst(missed=kept != "RST")
    copy.finish()
    assert len(copy.all) == (kept != "RST")
    for record in copy.all:
        check(record, close="end")
        assert record.ports == (40000, 80)


def test_case_68_the_rst_is_missing() -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.server_ack()
    copy.wait(700)
    copy.whole(b"abc", b"", "timeout")


@pytest.mark.parametrize("data", [b"a", b"abc"])
def test_case_68_the_end_is_missing_with_the_last_data(data: bytes) -> None:
    """The FIN is there, so the hole's size is known, down to one byte."""
    copy = Copy(step=0.01).handshake()
    copy.client(b"first")
    copy.client(data, missed=True)
    copy.goodbye()
    copy.wait(1)
    copy.finish()
    assert copy.one.client.holes == [(5, len(data), "lost")]
    assert copy.one.client.fin
    assert copy.one.close == "fin"


def test_case_68_a_tail_that_only_acks_tell_of() -> None:
    copy = Copy(step=0.01).handshake()
    copy.client(b"first")
    copy.client(b"second and last", missed=True)
    copy.server_ack()
    copy.server(b"thanks")
    copy.wait(700)
    copy.finish()
    assert copy.one.client.data == b"first" + bytes(15)
    assert copy.one.client.holes == [(5, 15, "lost")]
    assert copy.one.server.data == b"thanks"
    assert copy.one.close == "timeout"


def test_case_68_a_tail_that_only_the_sender_tells_of() -> None:
    """Its later ACKs have the next sequence number: the bytes before it were sent."""
    copy = Copy(step=0.01).handshake()
    copy.client(b"first")
    copy.client(b"second and last", missed=True)
    copy.server(b"thanks", ack=5)
    copy.ack()
    copy.wait(700)
    copy.finish()
    assert copy.one.client.missing == [(5, 15)]
    assert copy.one.server.data == b"thanks"


@pytest.mark.parametrize("seed", range(40))
def test_case_68_random_loss(seed: int) -> None:
    """Any packets but the SYNs and FINs: holes are exactly the bytes of the data packets that are missing."""
    chance = random.Random(seed)
    share = chance.choice((0.0001, 0.005, 0.05, 0.3))
    copy = Copy(step=0.001)
    packets, there, back = recorded(copy, 60)
    kept: list[Packet] = []
    gone: dict[bool, list[int]] = {True: [], False: []}
    for time, data, length in packets:
        of_client = data[26:30] == copy.c.address
        if chance.random() < share and not data[47] & 3:
            if length > 54:
                base = copy.c.isn if of_client else copy.s.isn
                gone[of_client].append((int.from_bytes(data[38:42], "big") - base - 1) & 0xFFFFFFFF)
            continue
        kept.append((time, data, length))
    copy.play(kept)
    copy.wire.now = packets[-1][0]
    copy.wait(1)
    copy.finish()
    for stream, sent, starts in ((copy.one.client, there, gone[True]), (copy.one.server, back, gone[False])):
        assert [at for hole in stream.missing for at in range(hole[0], sum(hole), 100)] == sorted(starts)
        assert stream.data == zeroed(sent, [(start, 100) for start in starts])
        assert {hole[2] for hole in stream.holes} <= {"lost"}
    assert copy.one.close == "fin"


# 69: one direction only


def test_case_69_only_the_client() -> None:
    copy = Copy()
    packets, there, _ = recorded(copy)
    copy.play([packet for packet in packets if packet[1][26:30] == copy.c.address])
    copy.wait(1000)
    copy.finish()
    assert copy.one.client.data == there
    assert copy.one.client.holes == []
    assert copy.one.client.fin
    assert copy.one.server.present == b""
    assert copy.one.ports == (40000, 80)


def test_case_69_only_the_server() -> None:
    copy = Copy()
    packets, _, back = recorded(copy)
    copy.play([packet for packet in packets if packet[1][26:30] == copy.s.address])
    copy.wait(1000)
    copy.finish()
    assert copy.one.server.data == back
    assert copy.one.server.holes == []
    assert copy.one.server.fin
    assert copy.one.client.present == b""
    assert copy.one.ports == (40000, 80)


def test_case_69_the_other_direction_is_a_hole_as_long_as_the_acks_say() -> None:
    """What was acknowledged was there and is not in the copy; of the last number nobody knows whether it was a FIN."""
    copy = Copy()
    packets, there, back = recorded(copy)
    copy.play([packet for packet in packets if packet[1][26:30] == copy.c.address])
    copy.wait(1)
    copy.finish()
    assert copy.one.server.missing == [(0, len(back))]
    assert copy.one.client.data == there


def test_case_69_a_gap_waits_for_the_deadline() -> None:
    copy = Copy(deadline=5)
    copy.syn()
    copy.synack(missed=True)
    copy.ack()
    copy.client(b"abc")
    copy.client(b"missed", missed=True)
    copy.client(b"held")
    copy.wait(4)
    assert copy.one.client.length == 3
    copy.wait(2)
    assert copy.one.client.events[1:] == [("hole", 3, 6, "deadline"), ("data", 9, b"held")]
    copy.finish()


# 70: from the middle


def middle(**options: bool) -> Copy:
    """A copy that begins when 1000 bytes of each direction have gone by."""
    copy = Copy(midstream=True, **options)
    for side in (copy.c, copy.s):
        side.position = side.received = 1000
    return copy


def test_case_70_from_the_middle_on() -> None:
    copy = middle()
    for number in range(20):
        copy.client(b"abc%02d" % number)
        copy.server(b"ABC%02d" % number)
    copy.ack()
    copy.goodbye().finish()
    check(copy.one, b"".join(b"abc%02d" % n for n in range(20)), b"".join(b"ABC%02d" % n for n in range(20)))
    assert copy.one.conn.midstream


def test_case_70_without_midstream_it_is_not_followed() -> None:
    copy = Copy()
    for side in (copy.c, copy.s):
        side.position = side.received = 1000
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.goodbye().finish()
    assert copy.all == []
    assert any(copy.stats.values())


@pytest.mark.parametrize("order", [(1, 0, 2), (1, 2, 0), (2, 1, 0), (2, 0, 1)])
def test_case_70_the_first_packets_may_be_out_of_order(order: tuple[int, ...]) -> None:
    """The base is settled a little later than with the first packet."""
    text = pattern(400)
    copy = middle()
    for number in order:
        copy.client(text[number * 100 : number * 100 + 100], at=1000 + number * 100)
    copy.client(text[300:])
    copy.server_ack()
    copy.goodbye().finish()
    check(copy.one, text)


def test_case_70_the_first_packet_may_be_a_retransmission() -> None:
    text = pattern(400)
    copy = middle()
    copy.client(text[100:200], at=1100)
    copy.server_ack(ack=1000)
    copy.client(text[:100], at=1000)
    copy.server_ack()
    copy.client(text[100:200], at=1100)
    copy.client(text[200:], at=1200)
    copy.server_ack()
    copy.goodbye().finish()
    check(copy.one, text)


@pytest.mark.parametrize("first", ["client", "server"])
def test_case_70_the_first_packet_may_be_a_pure_ack(first: str) -> None:
    copy = middle()
    copy.ack() if first == "client" else copy.server_ack()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.goodbye().finish()
    check(copy.one, b"abc", b"ABC")


def test_case_70_or_a_keepalive() -> None:
    copy = middle()
    copy.client(b"", at=999, forged=True)
    copy.server_ack()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.goodbye().finish()
    assert copy.one.client.present == b"abc"
    assert copy.one.client.holes in ([], [(0, 1, "lost")])
    assert copy.one.server.data == b"ABC"


def test_case_70_from_the_middle_with_a_gap() -> None:
    copy = middle()
    for number in range(20):
        copy.client(b"abc%02d" % number, missed=number in (12, 13))
        copy.server(b"ABC%02d" % number)
    copy.ack()
    copy.wait(1)
    copy.goodbye().finish()
    assert copy.one.client.missing == [(60, 10)]
    assert copy.one.server.data == b"".join(b"ABC%02d" % n for n in range(20))


def test_case_70_a_lone_fin_or_rst_from_the_middle_is_harmless() -> None:
    for flags in ("F.", "R.", "R"):
        copy = middle()
        copy.client(flags=flags)
        copy.server_ack()
        copy.wait(1000)
        copy.finish()
        assert all(record.client.present == b"" for record in copy.all)


# 71: loss of exactly the retransmission


def test_case_71_the_copy_lacks_just_the_retransmission() -> None:
    copy = Copy(step=0.01).handshake()
    copy.client(b"first")
    copy.client(b"second", lost=True)
    for _ in range(3):
        copy.client(b"more")
        copy.server_ack()
    copy.client(b"second", at=5, missed=True)
    copy.server_ack()
    assert copy.one.client.length == 5
    copy.wait(0.1)
    assert copy.one.client.events[1] == ("hole", 5, 6, "lost")
    copy.client(b"and on")
    copy.server_ack()
    copy.goodbye().finish()
    assert copy.one.client.data == b"first" + bytes(6) + b"more" * 3 + b"and on"


def test_case_71_duplicate_acks_are_no_evidence() -> None:
    """They say that something is missing at the receiver, not that it has it."""
    copy = Copy(step=0.01).handshake()
    copy.client(b"first")
    copy.client(b"second", lost=True)
    for _ in range(50):
        copy.client(b"more")
        copy.server_ack()
    copy.pause(1)
    assert copy.one.client.length == 5
    copy.client(b"second", at=5)
    copy.server_ack()
    copy.goodbye().whole(b"first" + b"second" + b"more" * 50)


# 72: the end of the capture


def test_case_72_what_is_held_at_the_end_is_delivered_behind_its_hole() -> None:
    copy = Copy().handshake()
    copy.client(b"first")
    copy.client(b"missed", missed=True)
    copy.client(b"held")
    copy.client(b"missed too", missed=True)
    copy.client(b"held too")
    copy.finish()
    assert copy.one.client.events == [
        ("data", 0, b"first"), ("hole", 5, 6, "end"), ("data", 11, b"held"), ("hole", 15, 10, "end"),
        ("data", 25, b"held too"),
    ]
    assert copy.one.close == "end"


def test_case_72_a_held_fin_too() -> None:
    copy = Copy().handshake()
    copy.client(b"missed", missed=True)
    copy.fin(b"held")
    copy.finish()
    assert copy.one.client.events == [("hole", 0, 6, "end"), ("data", 6, b"held"), ("fin", 10)]


def test_case_72_a_midstream_start_that_was_not_settled_yet() -> None:
    copy = middle()
    copy.client(b"abc")
    copy.finish()
    check(copy.one, b"abc", close="end")


def test_case_72_the_end_comes_twice_to_no_harm() -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.finish()
    copy.wire.follower.finish()
    check(copy.one, b"abc", close="end")


def test_case_72_an_empty_capture() -> None:
    copy = Copy().finish()
    assert copy.all == []
    assert copy.wire.follower.frames == 0


# daily things that are none of the numbered cases


def test_ecn_is_seen_through() -> None:
    """RFC 3168 and 9768: flags on the SYNs, marks in the IP header, ECE and CWR on data."""
    copy = Copy()
    copy.syn(flags="SEW")
    copy.synack(flags="S.E")
    copy.ack()
    copy.client(b"abc", tos=2)
    copy.server(b"ABC", tos=3, flags="P.E")
    copy.client(b"def", flags="P.W", tos=1)
    copy.goodbye().whole(b"abcdef", b"ABC")


def test_mptcp_is_followed_as_tcp() -> None:
    """Each subflow is a connection; options that nobody knows are no reason to lose bytes."""
    copy = Copy()
    copy.syn(options=MPTCP)
    copy.synack(options=MPTCP)
    copy.ack(options=MPTCP)
    copy.client(b"abc", options=MPTCP)
    copy.server(b"ABC", options=MPTCP)
    copy.goodbye().whole(b"abc", b"ABC")


@pytest.mark.parametrize("policy", ["first", "last", "linux", "bsd"])
@pytest.mark.parametrize("seed", range(10))
def test_any_segmentation_of_the_same_bytes_is_the_same_stream(seed: int, policy: str) -> None:
    chance = random.Random(seed)
    text = pattern(600)
    copy = Copy(overlap=policy).handshake()
    for _ in range(60):
        start = chance.randrange(len(text))
        copy.client(text[start : start + chance.choice((1, 5, 50, 200))], at=start)
    copy.client(text, at=0)
    copy.server_ack()
    copy.goodbye().whole(text)
    assert copy.one.counted("conflicts") == 0


def test_connections_side_by_side_do_not_mix() -> None:
    first = Copy()
    copies = [first, *(first.other(cport=50_000 + n, cisn=n << 28, sisn=~n << 24 & 0xFFFFFFFF) for n in range(20))]
    for copy in copies:
        copy.handshake()
    for number in range(10):
        for index, copy in enumerate(copies):
            copy.client(b"%d-%d " % (index, number))
            copy.server(b"%d+%d " % (index, number))
    for copy in copies:
        copy.goodbye()
    first.finish()
    for index, record in enumerate(first.all):
        check(
            record, b"".join(b"%d-%d " % (index, number) for number in range(10)),
            b"".join(b"%d+%d " % (index, number) for number in range(10)),
        )
        assert record.conn.serial == index
        assert record.conn.frame == 1 + 3 * index
    assert [record.conn.client.packets for record in first.all] == [14] * 21
