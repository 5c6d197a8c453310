"""RFC 9293 3.4.1: initial sequence numbers."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest

import uinet
from tests.unit.tcp.peer import Peer
from uinet.stack import Stack
from uinet.units import MASK32, SECOND
from uinet.wire import build

TICK = 4000  # ns


def isns(stack: Stack, count: int, *, listener: int = 80) -> list[int]:
    """ISNs of the SYN,ACKs to `count` SYNs of other ports and hosts, all at one time."""
    eth0 = stack.interfaces[0]
    numbers = []
    for index in range(count):
        frame = build.tcp(f"10.0.{1 + index // 250}.{1 + index % 250}", "10.0.0.2", 1024 + index, listener, "S", 7)
        stack.input(eth0, [frame], stack.now)
        numbers += [build.dissect(out.data).tcp.seq for out in stack.output(eth0)]
    return numbers


def listening(seed: bytes, now: int = 10**12) -> Stack:
    stack = Stack(seed, now)
    stack.tcp.settings.syn_cache_limit = 100_000
    eth0 = stack.add_interface("eth0", mac="02:00:00:00:00:02")
    eth0.add_address("10.0.0.2/16")
    for index in range(45):
        for host in range(1, 251):
            stack.neighbors.add(f"10.0.{1 + index}.{host}", "02:00:00:00:00:01")
    stack.listen(("10.0.0.2", 80), backlog=100_000)
    return stack


@pytest.mark.rfc("9293", "MUST-8", "the ISN of a 4-tuple follows a clock of 4 us")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("apart", [TICK, 1_000_000, SECOND, 3600 * SECOND, 17_179 * SECOND, 86_400 * SECOND])
def test_same_tuple_isn_advances_with_the_clock(v6: bool, apart: int) -> None:
    peer = Peer(v6=v6)
    numbers = []
    for _ in range(2):
        sock, seg = peer.connecting()
        numbers.append((seg.time, seg.seq))
        sock.close()
        peer.stack.poll(peer.now + apart)
    (first, a), (second, b) = numbers
    assert second - first == apart
    assert (b - a) & MASK32 == apart // TICK & MASK32


@pytest.mark.rfc("9293", "SHLD-1", "a clock plus a keyed function of the 4-tuple")
@pytest.mark.threat(28)
def test_isns_of_10000_tuples_are_uniform_and_have_no_common_step() -> None:
    numbers = isns(listening(b"secret"), 10_000)
    assert len(numbers) == 10_000
    buckets = Counter(number >> 24 for number in numbers)
    chi2 = sum((buckets[index] - 10_000 / 256) ** 2 / (10_000 / 256) for index in range(256))
    assert 160 < chi2 < 370  # 255 degrees of freedom: five standard deviations
    steps = [(b - a) & MASK32 for a, b in itertools.pairwise(numbers)]
    assert max(Counter(steps).values()) <= 2
    assert math.gcd(*steps) == 1
    assert sum(step < 1 << 31 for step in steps) / len(steps) == pytest.approx(0.5, abs=0.03)


@pytest.mark.rfc("9293", "SHLD-1", "a clock plus a keyed function of the 4-tuple")
@pytest.mark.rfc("9293", "MUST-9", "the function can't be computed from outside")
@pytest.mark.threat(28)
def test_isns_of_another_secret_are_unrelated() -> None:
    one, other = (isns(listening(seed), 2000) for seed in (b"one", b"two"))
    offsets = Counter((b - a) & MASK32 for a, b in zip(one, other, strict=True))
    assert max(offsets.values()) <= 2  # no tuple tells of any other


@pytest.mark.rfc("9293", "MUST-9", "the secret is random, and not the same for any two stacks")
def test_host_has_a_secret_that_nobody_gave_it() -> None:
    keys = set()
    for _ in range(3):
        secrets = uinet.Host().stack.tcp.secrets
        keys.add((secrets.k0, secrets.k1))
    assert len(keys) == 3
    assert all(key.bit_length() > 40 for pair in keys for key in pair)
