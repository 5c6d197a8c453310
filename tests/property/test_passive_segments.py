"""Segments of one stream in any shape and order, against a model that keeps single bytes; and nonsense.

The model is right for first-wins and last-wins, where each byte is decided on its own: a byte that is in order is
final, one that is held is the first (or the last) that came. For the other policies it says which bytes are there.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.passive.copy import Copy, pattern
from uinet.passive.overlap import POLICIES

Segment = tuple[int, bytes]


class Model:
    """One stream as single bytes."""

    def __init__(self, last: bool) -> None:
        self.last = last
        self.nxt = 0
        self.held: dict[int, int] = {}
        self.out = bytearray()

    def segment(self, at: int, data: bytes) -> None:
        for offset, byte in enumerate(data, at):
            if offset >= self.nxt and (self.last or offset not in self.held):
                self.held[offset] = byte
        while self.nxt in self.held:
            self.out.append(self.held.pop(self.nxt))
            self.nxt += 1

    def finish(self) -> tuple[bytes, list[tuple[int, int]]]:
        """The stream with zeros for holes, and the holes."""
        holes: list[tuple[int, int]] = []
        for offset in sorted(self.held):
            if offset > len(self.out):
                holes.append((len(self.out), offset - len(self.out)))
                self.out += bytes(offset - len(self.out))
            self.out.append(self.held[offset])
        return bytes(self.out), holes


def feed(copy: Copy, segments: list[Segment]) -> None:
    for at, data in segments:
        copy.client(data, at=at, forged=True, ack=0)


@st.composite
def covering(draw: Any, size: int) -> list[tuple[int, int]]:
    """Spans that cover [0, size), overlapping as they like, in any order."""
    spans = []
    at = 0
    while at < size:
        end = draw(st.integers(at + 1, min(size, at + 120)))
        start = draw(st.integers(max(0, at - 60), at))
        spans.append((start, end))
        at = end
    more = draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(1, 150)), max_size=10))
    spans += [(start, min(size, start + length)) for start, length in more]
    return list(draw(st.permutations(spans)))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(spans=covering(400), policy=st.sampled_from(sorted(POLICIES)), isn=st.integers(0, 0xFFFFFFFF))
def test_any_segments_that_cover_a_stream_give_it(spans: list[tuple[int, int]], policy: str, isn: int) -> None:
    """Retransmissions with any boundaries: equal bytes are one stream under every policy."""
    text = pattern(400)
    copy = Copy(overlap=policy, cisn=isn, step=0.00001).handshake()
    feed(copy, [(start, text[start:end]) for start, end in spans])
    copy.c.position = copy.s.received = len(text)
    copy.server_ack()
    copy.goodbye().whole(text)
    assert copy.one.counted("conflicts") == 0


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 25), st.sampled_from(b"abcd")), max_size=25)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(spans=SPANS, policy=st.sampled_from(("first", "last")), isn=st.sampled_from((0, 0xFFFFFFE0, 0x7FFFFFF0)))
def test_first_and_last_decide_byte_by_byte(spans: list[tuple[int, int, int]], policy: str, isn: int) -> None:
    copy = Copy(overlap=policy, cisn=isn, step=0.00001).handshake()
    model = Model(policy == "last")
    segments = [(start, bytes((letter,)) * length) for start, length, letter in spans]
    feed(copy, segments)
    for at, data in segments:
        model.segment(at, data)
    assert copy.one.client.length == model.nxt
    copy.finish()
    data, holes = model.finish()
    assert copy.one.client.data == data
    assert copy.one.client.missing == holes


@settings(max_examples=300, deadline=None, derandomize=True)
@given(spans=SPANS, policy=st.sampled_from(sorted(POLICIES)))
def test_every_byte_is_of_a_segment_that_has_it(spans: list[tuple[int, int, int]], policy: str) -> None:
    """Whatever a policy decides: a byte is there if some segment has it, and is what one of those says."""
    copy = Copy(overlap=policy, step=0.00001).handshake()
    feed(copy, [(start, bytes((letter,)) * length) for start, length, letter in spans])
    copy.finish()
    choices: dict[int, set[int]] = {}
    for start, length, letter in spans:
        for at in range(start, start + length):
            choices.setdefault(at, set()).add(letter)
    client = copy.one.client
    missing = {at for offset, length in client.missing for at in range(offset, offset + length)}
    assert missing == set(range(max(choices, default=-1) + 1)) - set(choices)
    for at, byte in enumerate(client.data):
        assert at in missing or byte in choices[at]
    conflict = any(len(letters) > 1 for letters in choices.values())
    assert conflict or "conflict" not in copy.one.notes


@settings(max_examples=150, deadline=None, derandomize=True)
@given(spans=SPANS, cuts=st.lists(st.integers(0, 30), min_size=25, max_size=25))
def test_cut_segments_have_holes_where_nothing_whole_came(spans: list[tuple[int, int, int]], cuts: list[int]) -> None:
    """A segment's tail may be missing in the copy: its bytes are holes of reason "snaplen" unless others have them."""
    copy = Copy(step=0.00001).handshake()
    copy.wire.now += 1
    have: set[int] = set()
    cut: set[int] = set()
    for (start, length, letter), kept in zip(spans, cuts, strict=False):
        kept = min(kept, length)
        if start == 0:
            continue  # held all of them: in order, a cut tail is final
        copy.client(bytes((letter,)) * kept, at=start, cut=length, forged=True, ack=0)
        have |= set(range(start, start + kept))
        cut |= set(range(start + kept, start + length))
    copy.finish()
    found = {at: reason for offset, length, reason in copy.one.client.holes for at in range(offset, offset + length)}
    top = max(have | cut, default=-1) + 1
    assert found == {at: "snaplen" if at in cut else "end" for at in range(top) if at not in have}


def dialogue(chance: random.Random, v6: bool) -> list[tuple[int, bytes, int]]:
    ends = ("2001:db8::1", "2001:db8::2") if v6 else ("10.0.0.1", "10.0.0.2")
    copy = Copy(client=ends[0], server=ends[1], stamps=chance.random() < 0.5, scale=chance.choice((None, 0, 7)))
    packets = copy.collect()
    copy.handshake()
    for _ in range(chance.randrange(12)):
        copy.client(pattern(chance.randrange(300), chance.randrange(9)), fragment=chance.choice((None, None, 8, 64)))
        copy.server(pattern(chance.randrange(300), chance.randrange(9)))
    copy.goodbye()
    return packets


@pytest.mark.parametrize("midstream", [False, True])
@pytest.mark.parametrize("policy", ["first", "last", "linux", "solaris"])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 32))
def test_damaged_packets_in_any_order_at_any_time_do_no_harm(policy: str, midstream: bool, seed: int) -> None:
    """Bits flipped, packets cut, shuffled, of any time and link type: no exception, and the calls in their order.

    That order, and that the records agree with the calls, is checked by the recorder, as in every test here.
    """
    chance = random.Random(seed)
    packets = dialogue(chance, chance.random() < 0.3) + dialogue(chance, False)
    if chance.random() < 0.5:
        chance.shuffle(packets)
    copy = Copy(
        overlap=policy, midstream=midstream, checksums=chance.choice(("auto", "verify", "ignore")),
        urgent=chance.choice(("inline", "hole")), held=chance.choice((2000, 1 << 20)),
        recall=chance.choice((0, 500, 1 << 20)), connections=chance.choice((1, 2, 100)),
        fragments=chance.choice((500, 1 << 20)), holes=chance.choice((1, 100)),
    )
    for time, frame, length in packets:
        data = bytearray(frame)
        for _ in range(chance.choice((0, 0, 0, 1, 2, 20))):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
        length = max(len(data), length + chance.choice((0, 0, 0, 0, -10, 100, 70_000)))
        when = time + chance.choice((0, 0, 0, 0, 10**6, 10**10, -(10**12), 10**18))
        kind = chance.choice((1, 1, 1, 1, 1, 1, 101, 113, 276, 0, 12, 9999))
        copy.wire.feed(bytes(data), time=when, length=length, link_type=kind)
        if chance.random() < 0.05:
            copy.wait(chance.choice((0.001, 1, 100, 10_000)))
    copy.finish()
    assert all(record.closed for record in copy.all)
    assert copy.wire.follower.held == 0
