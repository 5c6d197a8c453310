"""Overlapping and inconsistent segments: cases 1 to 16, 18, 20 and 21.

Read first: Ptacek and Newsham 1998, Shankar and Paxson 2003, Novak and Sturges 2007, arXiv 2508.00735 (PYROLYSE).
A byte that was delivered is final under every policy; what policies decide is which of two held segments counts.
"""

from __future__ import annotations

import json
import random
import tracemalloc
from itertools import product

import pytest

import uinet
from tests.unit.passive.copy import Copy, pattern
from tests.unit.passive.shared import capture_path
from uinet.wire.pcap import read

# policies that agree on all pairs
GROUPS = {
    "first": ("first", "vista"),
    "bsd": ("bsd", "macos", "irix", "hpux10", "windows", "windows2k3"),
    "linux": ("linux",),
    "old-linux": ("old-linux",),
    "solaris": ("solaris", "hpux11"),
    "last": ("last",),
}
POLICIES = [policy for group in GROUPS.values() for policy in group]
GROUP_OF = {policy: group for group, policies in GROUPS.items() for policy in policies}

# relation of the new segment B to A, spans, and the stream behind two bytes that come last; in the order of GROUPS
PAIRS = {
    3: ("same", (2, 6), (2, 6), ("AAAA", "AAAA", "AAAA", "BBBB", "BBBB", "BBBB")),
    4: ("starts, shorter", (2, 6), (2, 4), ("AAAA", "AAAA", "AAAA", "AAAA", "AAAA", "BBAA")),
    5: ("started by, longer", (2, 4), (2, 6), ("AABB", "AABB", "BBBB", "BBBB", "BBBB", "BBBB")),
    6: ("inside", (2, 7), (3, 5), ("AAAAA", "AAAAA", "AAAAA", "AAAAA", "AAAAA", "ABBAA")),
    7: ("covers", (3, 5), (2, 7), ("BAABB", "BBBBB", "BBBBB", "BBBBB", "BBBBB", "BBBBB")),
    8: ("finishes", (2, 6), (4, 6), ("AAAA", "AAAA", "AAAA", "AAAA", "AAAA", "AABB")),
    9: ("finished by", (4, 6), (2, 6), ("BBAA", "BBBB", "BBBB", "BBBB", "BBBB", "BBBB")),
    10: ("starts before, ends inside", (4, 8), (2, 6), ("BBAAAA", "BBBBAA", "BBBBAA", "BBBBAA", "BBAAAA", "BBBBAA")),
    11: ("starts inside, ends after", (2, 6), (4, 8), ("AAAABB", "AAAABB", "AAAABB", "AAAABB", "AABBBB", "AABBBB")),
}


def of_group(policy: str, answers: tuple[str, ...]) -> str:
    return answers[list(GROUPS).index(GROUP_OF[policy])]


def segment(copy: Copy, letter: str, span: tuple[int, int]) -> None:
    copy.client(letter.encode() * (span[1] - span[0]), at=span[0])


def held(policy: str, segments: list[tuple[str, tuple[int, int]]], first: int = 1) -> Copy:
    """The segments while a hole is before them; then the `first` bytes that were missing, as dots."""
    copy = Copy(overlap=policy).handshake()
    for letter, span in segments:
        segment(copy, letter, (span[0], span[1]))
    copy.client(b"." * first, at=0)
    copy.server_ack()
    return copy.goodbye()


def test_case_01_the_same_segment_twice_is_delivered_once() -> None:
    copy = Copy().handshake()
    copy.client(b"abcdef")
    copy.client(b"abcdef", at=0)
    copy.server_ack()
    copy.goodbye().whole(b"abcdef")
    assert copy.one.counted("retransmitted") >= 1
    assert copy.one.counted("conflicts") == 0
    assert "conflict" not in copy.one.notes


@pytest.mark.parametrize("policy", POLICIES)
def test_case_02_other_bytes_for_what_was_delivered_change_nothing_and_are_reported(policy: str) -> None:
    copy = Copy(overlap=policy).handshake()
    copy.client(b"GET /good")
    copy.client(b"GET /evil", at=0)
    copy.server_ack()
    copy.goodbye().whole(b"GET /good")
    assert copy.one.counted("conflicts") >= 1
    assert "conflict" in copy.one.notes


def test_case_02_the_answer_that_came_second_is_reported() -> None:
    """QUANTUM INSERT: a forged answer wins the race against the real one, which is longer."""
    copy = Copy().handshake()
    copy.client(b"GET / HTTP/1.1\r\n\r\n")
    copy.server(b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\n\r\n", forged=True)
    copy.server(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nthe true answer is 42")
    copy.ack()
    copy.goodbye()
    copy.finish()
    forged = b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\n\r\n"
    true = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nthe true answer is 42"
    assert copy.one.server.data == forged + true[len(forged) :]
    assert copy.one.conn.server.counters["conflicts"] >= 1
    assert "conflict" in copy.one.notes


def test_case_02_without_memory_of_delivered_bytes_conflicts_with_them_go_unseen() -> None:
    copy = Copy(recall=0).handshake()
    copy.client(b"GET /good")
    copy.client(b"GET /evil", at=0)
    copy.server_ack()
    copy.goodbye().whole(b"GET /good")
    assert copy.one.counted("conflicts") == 0


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("number", PAIRS, ids=lambda number: f"case_{number:02}")
def test_case_03_to_11_each_pair_relation_while_held(number: int, policy: str) -> None:
    _, old, new, answers = PAIRS[number]
    copy = held(policy, [("A", old), ("B", new)], 2)
    copy.whole(b".." + of_group(policy, answers).encode())
    assert copy.one.counted("conflicts") >= 1
    assert "conflict" in copy.one.notes


@pytest.mark.parametrize("number", PAIRS, ids=lambda number: f"case_{number:02}")
def test_case_03_to_11_each_pair_relation_with_equal_bytes_is_no_conflict(number: int) -> None:
    _, old, new, _ = PAIRS[number]
    text = b"0123456789"
    for policy in POLICIES:
        copy = Copy(overlap=policy).handshake()
        copy.client(text[slice(*old)], at=old[0])
        copy.client(text[slice(*new)], at=new[0])
        copy.client(text[:2], at=0)
        copy.server_ack()
        copy.goodbye().whole(text[: max(old[1], new[1])])
        assert copy.one.counted("conflicts") == 0, policy
        assert "conflict" not in copy.one.notes, policy


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("number", PAIRS, ids=lambda number: f"case_{number:02}")
def test_case_12_what_was_in_order_is_final(number: int, policy: str) -> None:
    _, old, new, _ = PAIRS[number]
    copy = Copy(overlap=policy).handshake()
    copy.client(b"." * old[0], at=0)
    segment(copy, "A", old)
    segment(copy, "B", new)
    copy.server_ack()
    copy.goodbye().whole(b"." * old[0] + b"A" * (old[1] - old[0]) + b"B" * (new[1] - old[1]))
    assert "conflict" in copy.one.notes


@pytest.mark.parametrize("policy", POLICIES)
def test_case_03_to_12_the_capture_of_all_pairs_as_a_linux_kernel_answered(policy: str) -> None:
    records = read(capture_path("adv_overlap_pairs.pcap").read_bytes())
    expected = json.loads(capture_path("adv_expected.json").read_text())
    copy = Copy(overlap=policy)
    for record in records:
        copy.wire.feed(record.data, time=record.time)
    copy.finish()
    found = {record.ports[0]: record.client.data.decode() for record in copy.all}
    assert found == {int(name.split()[0]): answers[policy] for name, answers in expected.items()}
    assert all(record.client.holes == [] and record.close == "fin" for record in copy.all)
    if policy == "linux":
        assert found == {int(name.split()[0]): answers["linux-6.18(measured)"] for name, answers in expected.items()}


# A and C are held, B comes over both; the stream from 2 on, in the order of GROUPS
TRIPLETS = {
    "ends of both and the gap": (
        (2, 6), (8, 12), (4, 10),
        ("AAAABBCCCC", "AAAABBBBCC", "AAAABBBBCC", "AAAABBBBCC", "AABBBBCCCC", "AABBBBBBCC"),
    ),
    "all of both": (
        (3, 5), (7, 9), (2, 10), ("BAABBCCB", "BBBBBBBB", "BBBBBBBB", "BBBBBBBB", "BBBBBBBB", "BBBBBBBB"),
    ),
    "all of one, some of the next": (
        (3, 5), (7, 10), (2, 8), ("BAABBCCC", "BBBBBBCC", "BBBBBBCC", "BBBBBBCC", "BBBBBCCC", "BBBBBBCC"),
    ),
    "the end of one, all of the next": (
        (2, 5), (7, 9), (4, 10), ("AAABBCCB", "AAABBBBB", "AAABBBBB", "AAABBBBB", "AABBBBBB", "AABBBBBB"),
    ),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", TRIPLETS)
def test_case_13_a_segment_over_two_held_ones_fills_between_them(name: str, policy: str) -> None:
    first, second, new, answers = TRIPLETS[name]
    copy = held(policy, [("A", first), ("C", second), ("B", new)], 2)
    copy.whole(b".." + of_group(policy, answers).encode())


# (first unit, last unit) of each segment, in the order of sending
NOVAK = [
    (0, 2), (4, 5), (6, 8), (10, 10), (13, 14), (15, 17), (18, 19), (20, 21), (22, 22),
    (1, 4), (6, 8), (9, 11), (12, 14), (16, 16), (19, 19), (20, 20), (22, 23),
]
NOVAK_ANSWERS = (
    "AAAJBBCCCLDLMEEFFFGGHHIQ", "AAAJJBCCCLLLMMMFFFGGHHIQ", "AAAJJBCCCLLLMMMFFFGGHHQQ", "AAAJJBKKKLLLMMMFFFGGHHQQ",
    "AJJJBBKKKLLLMMMFFFGGHHQQ", "AJJJJBKKKLLLMMMFNFGOPHQQ",
)
SHANKAR = [(0, 2), (4, 5), (6, 8), (1, 4), (6, 8), (9, 11)]
SHANKAR_ANSWERS = (
    "AAADBBCCCFFF", "AAADDBCCCFFF", "AAADDBCCCFFF", "AAADDBEEEFFF", "ADDDBBEEEFFF", "ADDDDBEEEFFF",
)


@pytest.mark.parametrize("unit", [1, 8])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "model, answers", [(NOVAK, NOVAK_ANSWERS), (SHANKAR, SHANKAR_ANSWERS)], ids=["Novak", "Shankar"]
)
def test_case_14_the_model_strings_of_novak_and_of_shankar(
    model: list[tuple[int, int]], answers: tuple[str, ...], policy: str, unit: int
) -> None:
    segments = [
        (chr(ord("A") + number), (unit * (first + 1), unit * (last + 2))) for number, (first, last) in enumerate(model)
    ]
    copy = held(policy, segments, unit)
    text = of_group(policy, answers)
    copy.whole(b"." * unit + b"".join(letter.encode() * unit for letter in text))


def test_case_15_a_retransmission_at_other_boundaries_leaves_no_stall() -> None:
    text = pattern(20)
    for policy in POLICIES:
        copy = Copy(overlap=policy).handshake()
        copy.client(text[10:20], at=10)
        copy.client(text[5:15], at=5)
        copy.client(text[:5], at=0)
        assert copy.one.client.data == text, policy
        copy.server_ack()
        copy.goodbye().whole(text)


def test_case_16_of_a_longer_retransmission_only_the_tail_is_new() -> None:
    text = pattern(30)
    copy = Copy().handshake()
    copy.client(text[:10])
    copy.client(text[:25], at=0)
    copy.client(text[20:30], at=20)
    copy.server_ack()
    copy.goodbye().whole(text)
    assert [event[:2] for event in copy.one.client.events] == [("data", 0), ("data", 10), ("data", 25), ("fin", 30)]


def test_case_16_a_longer_retransmission_of_a_held_segment_fills_to_its_end() -> None:
    text = pattern(30)
    copy = Copy().handshake()
    copy.client(text[10:15], at=10)
    copy.client(text[10:30], at=10)
    copy.client(text[:10], at=0)
    copy.server_ack()
    copy.goodbye().whole(text)


def test_case_18_tcp_3_one_byte_segments_with_the_last_but_one_twice() -> None:
    text = pattern(60)
    copy = Copy().handshake()
    for base in range(0, 60, 12):
        for at in range(base, base + 12):
            copy.client(text[at : at + 1], at=at)
            if at == base + 10:
                copy.client(text[at : at + 1], at=at)
    copy.server_ack()
    copy.goodbye().whole(text)
    assert copy.one.counted("retransmitted") == 5
    assert "conflict" not in copy.one.notes


@pytest.mark.parametrize("null_first", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
def test_case_18_tcp_4_a_null_byte_in_place_of_the_last_but_one(policy: str, null_first: bool) -> None:
    """Whichever of the two came first was in order, so it is final under every policy."""
    text = b"attack at dawn"
    copy = Copy(overlap=policy).handshake()
    for at in range(len(text)):
        if at == 12 and null_first:
            copy.client(b"\0", at=at)
        copy.client(text[at : at + 1], at=at)
        if at == 12 and not null_first:
            copy.client(b"\0", at=at)
    copy.server_ack()
    copy.goodbye().whole(b"attack at da\0n" if null_first else text)
    assert "conflict" in copy.one.notes


@pytest.mark.parametrize("policy", POLICIES)
def test_case_18_tcp_5_a_null_byte_before_each_pair_over_its_second_half(policy: str) -> None:
    text = b"attack at dawn"
    copy = Copy(overlap=policy).handshake()
    for at in range(0, len(text), 2):
        copy.client(b"\0", at=at + 1)
        copy.client(text[at : at + 2], at=at)
    copy.server_ack()
    nulls = b"".join(text[at : at + 1] + b"\0" for at in range(0, len(text), 2))
    copy.goodbye().whole(nulls if GROUP_OF[policy] == "first" else text)
    assert "conflict" in copy.one.notes


@pytest.mark.parametrize("policy", sorted(GROUPS))
def test_case_19_tcp_7_wild_sequence_numbers_between_the_data_are_rejected(policy: str) -> None:
    text = b"attack at dawn, as agreed"
    chance = random.Random(19)
    copy = Copy(overlap=policy, scale=0).handshake()
    copy.server(b"go on")
    copy.ack()
    copy.server_ack()
    for at in range(len(text)):
        copy.client(text[at : at + 1], at=at)
        copy.client(b"\0", at=at + chance.choice((-1, 1)) * chance.randrange(1 << 20, 1 << 31), forged=True)
        if at % 5 == 0:
            copy.server_ack()
    copy.wait(60)
    copy.goodbye().whole(text, b"go on")
    assert copy.one.counted("ignored") + copy.one.counted("retransmitted") >= len(text)


def test_case_19_nor_is_memory_of_their_distance_taken() -> None:
    """Where no window is known, nothing can be rejected; a hole of a gigabyte costs as much as one of a byte."""
    copy = Copy(midstream=True)
    copy.c.received = copy.s.received = 0
    for number in range(20):
        copy.client(b"abc%02d" % number)
    tracemalloc.start()
    for at in (1 << 27, 1 << 28, 1 << 29, (1 << 30) - 100):
        copy.client(b"far", at=at, forged=True)
    copy.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000
    assert [event[2] for event in copy.one.client.events if event[0] == "data"][:20] == [
        b"abc%02d" % number for number in range(20)
    ]


def test_case_20_tcp_8_one_byte_out_of_order() -> None:
    text = pattern(40)
    copy = Copy().handshake()
    for at in [*range(17), *range(18, 40), 17]:
        copy.client(text[at : at + 1], at=at)
    copy.server_ack()
    copy.goodbye().whole(text)
    assert copy.one.counted("out_of_order") >= 1


def test_case_20_tcp_9_every_byte_on_its_own_in_random_order() -> None:
    text = pattern(3000)
    order = list(range(len(text)))
    random.Random(20).shuffle(order)
    copy = Copy(step=0.00001).handshake()
    for at in order:
        copy.client(text[at : at + 1], at=at)
    copy.server_ack()
    copy.goodbye().whole(text)


def test_case_20_a_thousand_segments_in_reverse() -> None:
    text = pattern(100_000)
    copy = Copy(step=0.00001).handshake()
    for at in reversed(range(0, len(text), 100)):
        copy.client(text[at : at + 100], at=at)
    copy.server_ack()
    copy.goodbye().whole(text)


def test_case_21_a_window_of_bytes_in_descending_order() -> None:
    size = 65_535 if uinet.compiled() else 6_000
    text = pattern(size)
    copy = Copy(step=0.00001).handshake()
    for at in reversed(range(size)):
        copy.client(text[at : at + 1], at=at)
    copy.server_ack()
    copy.goodbye().whole(text)


def test_case_21_what_a_held_segment_costs_beside_its_bytes_counts_against_the_budget() -> None:
    """6,000 bytes would fit into 60,000; 6,000 segments of one byte do not."""
    copy = Copy(step=0.00001, held_connection=60_000).handshake()
    size = 6_000
    for at in reversed(range(1, size)):
        copy.client(b"x", at=at)
    copy.finish()
    assert "budget" in {hole[2] for hole in copy.one.client.holes}
    assert "budget" in copy.one.notes


@pytest.mark.parametrize("policy", sorted(GROUPS))
def test_every_pair_of_pairs_of_segments_is_delivered_in_full(policy: str) -> None:
    """Whoever wins: each byte that came is there once, and no byte is of neither segment."""
    spans = [(first, last) for first in range(2, 6) for last in range(first + 1, 7)]
    for old, new in product(spans, spans):
        copy = Copy(overlap=policy).handshake()
        segment(copy, "A", old)
        segment(copy, "B", new)
        copy.finish()
        covered = {at for span in (old, new) for at in range(*span)}
        data = copy.one.client.data
        assert len(data) == max(old[1], new[1])
        for at, byte in enumerate(data):
            choices = {letter for letter, span in (("A", old), ("B", new)) if span[0] <= at < span[1]} or {"\0"}
            assert chr(byte) in choices
        assert sum(length for _, length in copy.one.client.missing) == len(data) - len(covered)
