"""Walks over a table that grows and shrinks meanwhile."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from uinet.hashing import MINIMUM, Buckets, Node, Walk, reverse

FIRST = 1 << 63


def node(key: int) -> Node:
    made = Node()
    made.hash = key
    return made


@given(st.integers(0, (1 << 64) - 1))
def test_reversing_reverses(bits: int) -> None:
    assert reverse(bits) == int(f"{bits:064b}"[::-1], 2)
    assert reverse(reverse(bits)) == bits


def test_an_empty_table_is_walked_in_as_many_steps_as_it_has_buckets() -> None:
    walk = Walk(Buckets(1, 2))
    for _ in range(MINIMUM - 1):
        assert walk.step(1) == [] and not walk.done
    assert walk.step(1) == [] and walk.done
    assert walk.step(1) == []


def test_a_step_is_bounded() -> None:
    table = Buckets(1, 2)
    for key in range(1000):
        table.insert(node(key * 0x9E3779B97F4A7C15 % (1 << 64)))
    walk, steps = Walk(table), 0
    while not walk.done:
        assert len(walk.step(8)) < 100
        steps += 1
    assert steps == -(-len(table.heads) // 8)


def test_nodes_with_the_same_hash_are_all_met() -> None:
    table = Buckets(1, 2)
    nodes = [node(FIRST + 5) for _ in range(10)]
    for one in nodes:
        table.insert(one)
    assert {id(one) for one in Walk(table).step(1 << 20)} == {id(one) for one in nodes}


KEYS = st.integers(0, (1 << 64) - 1)
# what happens between two steps: so many nodes come, so many of those that came last go
CHANGES = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 300), st.integers(1, 40)), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1500), st.randoms(use_true_random=False), CHANGES)
def test_who_stays_is_met_once_and_nobody_is_met_twice(
    count: int, random: Random, changes: list[tuple[int, int, int]]
) -> None:
    draw = random.getrandbits
    table = Buckets(1, 2)
    stays = [node(draw(64)) for _ in range(count // 3)]
    goes = [node(draw(64)) for _ in range(count)]
    for one in (*stays, *goes):
        table.insert(one)
    walk = Walk(table)
    met: list[Node] = []
    for come, go, buckets in changes:
        met += walk.step(buckets)
        for _ in range(min(go, len(goes))):
            assert table.remove(goes.pop())
        for _ in range(come):
            goes.append(node(draw(64)))
            table.insert(goes[-1])
    while not walk.done:
        met += walk.step(64)
    assert len({id(one) for one in met}) == len(met)
    assert {id(one) for one in stays} <= {id(one) for one in met}


def test_a_table_that_grows_a_hundredfold_and_shrinks_again_meanwhile_is_walked_to_its_end() -> None:
    table = Buckets(1, 2)
    key = 1
    stays, others = [], []
    for _ in range(300):
        key = key * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        stays.append(node(key))
        table.insert(stays[-1])
    walk = Walk(table)
    met = walk.step(100)
    for _ in range(30_000):
        key = key * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        others.append(node(key))
        table.insert(others[-1])
    met += walk.step(1000)
    for one in others:
        table.remove(one)
    assert len(table.heads) < 5000
    while not walk.done:
        met += walk.step(7)
    found = [id(one) for one in met]
    assert len(set(found)) == len(found) and {id(one) for one in stays} <= set(found)
