"""Bounded memory and bounded work: cases 58 to 63.

Read first: Dharmapurikar and Paxson 2005. Each limit has the size of a test here; what the follower holds is measured
with tracemalloc, and by what it reports.
Case 64, a reader that stops, belongs to the sockets: a follower hands over what it has at once.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from itertools import product

import pytest

from tests.unit.passive.copy import (
    ACK,
    EPOCH,
    PSH,
    SYN,
    Copy,
    Tally,
    check,
    ethernet,
    ip_packet,
    pattern,
    pieces,
    seconds,
    tcp_segment,
)

SERVER = bytes((10, 0, 0, 2))


def flood(number: int, seq: int, ack: int, flags: int, data: bytes = b"", back: bool = False) -> bytes:
    """A frame of connection `number` of a million, from its client or back to it."""
    client, port = (0x0B000000 + (number >> 4)).to_bytes(4, "big"), 1024 + (number & 15)
    ends = (SERVER, client, 80, port) if back else (client, SERVER, port, 80)
    return ethernet(ip_packet(ends[0], ends[1], tcp_segment(*ends, seq, ack, flags, data)))


def grown(copy: Copy, frames: list[bytes], step: int = 1000) -> int:
    """How many bytes more are allocated after the frames than before."""
    packet = copy.wire.follower.packet
    now = EPOCH + copy.wire.now
    before = tracemalloc.get_traced_memory()[0]
    for frame in frames:
        now += step
        packet(1, frame, 0, len(frame), len(frame), now)
    after = tracemalloc.get_traced_memory()[0]
    copy.wire.now = now - EPOCH
    copy.wire.frames += len(frames)
    return after - before


@pytest.fixture
def traced() -> Iterator[None]:
    """Allocations are counted from the test's beginning on."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
def test_case_58_many_connections_each_with_a_hole_and_a_held_segment_share_one_budget() -> None:
    sink = Tally()
    copy = Copy(sink=sink, held=500_000)
    count, size = 1500, 8000
    frames = []
    for number in range(count):
        frames.append(flood(number, 99, 0, SYN))
        frames.append(flood(number, 999, 100, SYN | ACK, back=True))
        frames.append(flood(number, 150, 1000, ACK | PSH, bytes(size)))
    memory = grown(copy, frames)
    assert memory < 500_000 + count * 5000, f"{memory} bytes held; what came were {count * size}"
    assert sink.bytes >= count * size - 500_000, "what was pushed out is delivered behind its hole"
    copy.finish()
    assert sink.opened_count == sink.closed_count == count
    assert sink.bytes == count * size
    assert sink.holes["budget"] >= count - 500_000 // size
    assert sum(sink.missing.values()) == 50 * count
    assert sink.notes["budget"] == sink.holes["budget"]


def test_case_58_the_oldest_gives_way() -> None:
    copy = Copy(held=10_000, deadline=1000)
    copies = [copy, *(copy.other(cport=50_000 + number) for number in range(9))]
    for one in copies:
        one.handshake()
    for one in copies:
        one.client(bytes(50), missed=True)
        one.client(bytes(2000))
    assert [bool(record.client.events) for record in copy.all[:5]] == [True] * 5
    assert [bool(record.client.events) for record in copy.all[7:]] == [False] * 3
    copy.finish()
    assert [(record.client.holes[0][2] == "budget") == ("budget" in record.notes) for record in copy.all] == [True] * 10


def test_case_58_the_budget_of_one_connection() -> None:
    copy = Copy(held_connection=20_000, deadline=1000)
    quiet = copy.other()
    for one in (copy, quiet):
        one.handshake()
        one.client(bytes(50), missed=True)
    quiet.client(b"held")
    for _ in range(100):
        copy.client(bytes(1000))
    assert copy.all[0].client.events[0] == ("hole", 0, 50, "budget")
    assert copy.all[0].client.length == 100_050, "the hole is behind it, so all else is in order"
    assert copy.all[1].client.events == []
    copy.finish()
    assert copy.all[0].client.holes == [(0, 50, "budget")]
    assert copy.all[1].client.holes == [(0, 50, "end")]
    assert "budget" in copy.all[0].notes
    assert "budget" not in copy.all[1].notes


def test_case_58_a_budget_smaller_than_one_segment_still_delivers() -> None:
    copy = Copy(held=100).handshake()
    copy.client(b"missed", missed=True)
    text = pattern(3000)
    for at, piece in pieces(text, 1000):
        copy.client(piece, at=6 + at)
    copy.server_ack()
    copy.goodbye().finish()
    assert copy.one.client.holes == [(0, 6, "budget")]
    assert copy.one.client.present == text


def test_case_59_thousands_of_islands_in_one_connection() -> None:
    count = 6000
    copy = Copy(step=0.00001, held_connection=100_000, holes=1000, deadline=1000).handshake()
    for number in range(count):
        copy.client(b"x", at=2 * number + 1)
    copy.finish()
    client = copy.one.client
    assert client.present == b"x" * count
    assert client.missing == [(2 * number, 1) for number in range(count)]
    half = copy.one.conn.client
    assert len(half.holes) <= 1000
    assert (half.hole_count, half.hole_bytes) == (count, count)
    assert "budget" in {hole[2] for hole in client.holes}
    assert "budget" in copy.one.notes


def test_case_59_islands_in_the_worst_order() -> None:
    """From the far end to the near one, then the bytes between them, in the same order."""
    count = 2500
    copy = Copy(step=0.00001).handshake()
    text = pattern(2 * count)
    for at in range(2 * count - 1, 0, -2):
        copy.client(text[at : at + 1], at=at)
    for at in range(2 * count - 2, -1, -2):
        copy.client(text[at : at + 1], at=at)
    copy.server_ack()
    copy.goodbye().whole(text)


def test_case_59_the_list_of_holes_is_bounded_and_the_count_is_not() -> None:
    copy = Copy(holes=10).handshake()
    for number in range(30):
        copy.client(b"x", at=3 * number + 2)
        copy.s.received = copy.c.position
        copy.server_ack()
        copy.wait(0.1)
    copy.goodbye().finish()
    half = copy.one.conn.client
    assert list(half.holes) == [(3 * number, 2, "lost") for number in range(10)]
    assert (half.hole_count, half.hole_bytes) == (30, 60)
    assert len(copy.one.client.holes) == 30


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
def test_case_60_a_flood_of_syns_is_bounded_by_the_limit_on_connections() -> None:
    sink = Tally()
    copy = Copy(sink=sink, connections=2000)
    frames = [flood(number, number, 0, SYN) for number in range(10_000)]
    first = grown(copy, frames[:2500])
    rest = grown(copy, frames[2500:])
    assert rest < first / 10, f"{first} bytes for the first 2,500, {rest} more for 7,500 others"
    assert sink.opened_count == 10_000
    assert sink.closed_count >= 8_000
    copy.finish()
    assert sink.closed_count == 10_000
    assert 8_000 <= sink.notes["limit"] < 10_000
    assert copy.stats["connections_given_up"] >= 8_000


def test_case_60_idle_connections_beyond_the_limit_give_way_the_oldest_first() -> None:
    copy = Copy(connections=10)
    copies = [copy, *(copy.other(cport=50_000 + number) for number in range(29))]
    for one in copies:
        one.handshake()
        one.client(b"abc")
    assert [record.closed for record in copy.all] == [True] * 20 + [False] * 10
    for one in copies[20:]:
        one.client(b"def")
        one.server_ack()
        one.goodbye()
    copy.finish()
    assert len(copy.all) == 30
    for record in copy.all[:20]:
        check(record, b"abc", close=None)
        assert "limit" in record.notes
    for record in copy.all[20:]:
        check(record, b"abcdef")
        assert "limit" not in record.notes


def test_case_60_the_oldest_is_who_was_quiet_the_longest() -> None:
    copy = Copy(connections=3)
    copies = [copy, *(copy.other(cport=50_000 + number) for number in range(3))]
    for one in copies[:3]:
        one.handshake()
        one.pause(1)
    copies[0].client(b"still here")
    copies[0].pause(1)
    copies[3].handshake()
    assert [record.closed for record in copy.all] == [False, True, False, False]
    copies[0].server_ack()
    copies[0].goodbye()
    copy.finish()
    check(copy.all[0], b"still here")


@pytest.mark.usefixtures("traced")
def test_case_60_a_flood_of_strays_leaves_no_state() -> None:
    sink = Tally()
    copy = Copy(sink=sink)
    frames = [flood(number, number, 1, ACK | PSH, b"stray") for number in range(5000)]
    first = grown(copy, frames[:2000])
    copy.wait(20)
    rest = grown(copy, frames[2000:], 10_000_000)
    assert rest < max(first, 200_000), f"{first} bytes for the first 2,000, {rest} more for 3,000 others"
    copy.finish()
    assert sink.opened_count == 0


def xor_collisions(count: int) -> list[tuple[str, int]]:
    """Clients whose address and port give one value when they are folded together, as unkeyed hashes do."""
    pairs = list(product(range(8), range(256)))[:count]
    return [(f"10.9.{high}.{low}", 1024 + (high << 8 | low)) for high, low in pairs]


def test_case_61_tuples_that_collide_in_an_unkeyed_hash_are_told_apart() -> None:
    results = []
    for seed in (b"one", b"another"):
        copy = Copy()
        copy.wire.follower = type(copy.wire.follower)(copy.wire.sink, seed=seed)
        copies = [copy.other(client=address, cport=port) for address, port in xor_collisions(600)]
        for one in copies:
            one.handshake()
        for number, one in enumerate(copies):
            one.client(b"%d" % number)
        copy.finish()
        assert len(copy.all) == 600
        results.append([record.client.data for record in copy.all])
    assert results[0] == results[1] == [b"%d" % number for number in range(600)]


def test_case_61_both_directions_of_equal_ends_are_one_connection() -> None:
    """The same address and the same port on both sides."""
    copy = Copy(client="10.0.0.1", server="10.0.0.1", cport=80, sport=80)
    copy.wire.finished = True  # nothing to tell the directions by: only that it does no harm
    copy.handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.wire.follower.finish()
    copy = Copy(client="10.0.0.1", server="10.0.0.1", cport=81, sport=80).handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.goodbye().whole(b"abc", b"ABC")
    copy = Copy(client="10.0.0.1", server="10.0.0.2", cport=80, sport=80).handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.goodbye().whole(b"abc", b"ABC")


def test_case_62_thousands_of_deadlines_in_one_tick() -> None:
    sink = Tally()
    copy = Copy(sink=sink)
    count = 2000
    frames = []
    for number in range(count):
        frames.append(flood(number, 99, 0, SYN))
        frames.append(flood(number, 999, 100, SYN | ACK, back=True))
    grown(copy, frames)
    grown(copy, [flood(number, 150, 1000, ACK | PSH, b"held") for number in range(count)], 0)
    assert sink.events == 0
    copy.wait(4.9)
    assert sink.events == 0
    copy.wait(0.2)
    for _ in range(100):  # each call may do a bounded part
        copy.wait(0.001)
    assert sink.holes == {"deadline": count}
    assert sink.missing == {"deadline": 50 * count}
    assert sink.bytes == 4 * count
    copy.finish()
    assert sink.holes == {"deadline": count}


def test_case_62_deadlines_are_of_packet_time() -> None:
    """The packets of an hour, read as fast as it goes: other connections' packets are what makes time pass."""
    copy = Copy().handshake()
    copy.client(b"missed", missed=True)
    copy.client(b"held")
    ticker = copy.other().handshake()
    for _ in range(4):
        copy.pause(1)
        ticker.client(b"tick")
        assert copy.all[0].client.events == []
    copy.pause(1.5)
    ticker.client(b"tick")
    assert copy.all[0].client.events == [("hole", 0, 6, "deadline"), ("data", 6, b"held")]
    copy.finish()


def dialogue(copy: Copy, rounds: int = 30) -> tuple[bytes, bytes]:
    there, back = pattern(rounds * 50, 1), pattern(rounds * 70, 2)
    for number in range(rounds):
        copy.client(there[number * 50 : number * 50 + 50])
        copy.server(back[number * 70 : number * 70 + 70])
    copy.ack()
    return there, back


@pytest.mark.parametrize("lost", [False, True])
def test_case_63_packets_that_all_have_one_time(lost: bool) -> None:
    copy = Copy(step=0).handshake()
    there, back = dialogue(copy)
    if lost:
        copy.client(b"missed", missed=True)
        copy.client(b"held")
        copy.server_ack()
    copy.goodbye().finish()
    assert copy.one.client.data == there + (bytes(6) + b"held" if lost else b"")
    assert copy.one.client.missing == ([(1500, 6)] if lost else [])
    assert copy.one.server.data == back


CLOCKS: dict[str, Callable[[int], float]] = {
    "backwards by a millisecond a packet": lambda n: 10 - n * 0.001,
    "backwards by a year": lambda n: -31e6 if n > 20 else n * 0.001,
    "two captures merged badly": lambda n: n * 0.001 + (n % 2) * 30,
    "jitter": lambda n: n * 0.001 + (n * 7919 % 13) * 0.01,
    "the beginning of time": lambda n: -EPOCH / 1e9,
}


@pytest.mark.parametrize("name", CLOCKS)
def test_case_63_clocks_that_go_wrong_cost_nothing(name: str) -> None:
    copy = Copy()
    packets = copy.collect()
    copy.handshake()
    there, back = dialogue(copy)
    copy.goodbye()
    copy.wire.collected = None
    for number, (_, data, _) in enumerate(packets):
        copy.wire.feed(data, time=seconds(CLOCKS[name](number)))
    copy.whole(there, back)


@pytest.mark.parametrize("when", [10 * 365 * 86400, 2**31, -10 * 365 * 86400, -1_700_000_000])
def test_case_63_one_packet_of_another_time_leaves_the_others_alone(when: int) -> None:
    """One connection's stamp jumps by years and comes back: that is no reason to end the rest of them."""
    copy = Copy().handshake()
    copy.client(b"abc")
    glitch = copy.other()
    glitch.syn(time=when)
    copy.client(b"def")
    copy.server(b"ABC")
    copy.client(b"ghi")
    copy.server_ack()
    copy.goodbye().finish()
    check(copy.all[0], b"abcdefghi", b"ABC")


def test_case_63_a_capture_with_a_pause_of_years_ends_what_was_before_it() -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.server_ack()
    copy.pause(10 * 365 * 86400)
    later = copy.other().handshake()
    later.client(b"def")
    later.server_ack()
    later.goodbye()
    copy.finish()
    check(copy.all[0], b"abc", close=None)
    assert copy.all[0].close in ("timeout", "end")
    check(copy.all[1], b"def")


def test_the_frames_of_these_tests_are_whole() -> None:
    copy = Copy()
    copy.wire.feed(flood(7, 99, 0, SYN))
    copy.wire.feed(flood(7, 999, 100, SYN | ACK, back=True))
    copy.wire.feed(flood(7, 100, 1000, ACK | PSH, b"abc"))
    copy.finish()
    check(copy.one, b"abc", close="end")
