"""Code that touches raw memory, under AddressSanitizer: the kernels, and a ring that others write into.

`asan.py` does it for all modules.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import asan

KERNELS = r"""
import random
from uinet.wire import kernels
assert kernels.__file__.endswith(".so"), kernels.__file__
chance = random.Random(1)
EDGES = (-2**63, -2**31, -9, -1, 0, 1, 2, 7, 8, 31, 32, 33, 64, 2**31, 2**62, 2**63 - 1)
calls = 0
for _ in range(25_000):
    size = chance.choice((0, 1, 2, 3, 8, 32, 33))
    data, array = bytes(size), bytearray(size)
    source = chance.choice((data, array, bytearray(size), None, "text"))
    a, b, c = (chance.choice(EDGES) for _ in range(3))
    if chance.random() < 0.7:
        a, b, c = a % 40, b % 40, c % 40
    thing = chance.choice((data, data, None))
    target = chance.choice((array, array, None))
    for call in (
        lambda: kernels.load_u8(thing, a), lambda: kernels.load_u16(thing, a), lambda: kernels.load_u32(thing, a),
        lambda: kernels.load_u64(thing, a), lambda: kernels.load_u16_le(thing, a),
        lambda: kernels.load_u32_le(thing, a), lambda: kernels.store_u8(target, a, 1),
        lambda: kernels.store_u16(target, a, 1), lambda: kernels.store_u32(target, a, 1),
        lambda: kernels.store_u64(target, a, 1), lambda: kernels.store_bytes(target, a, source, b, c),
        lambda: kernels.checksum(source, a, b, 1), lambda: kernels.take(source, a, b),
        lambda: kernels.join2(target, a, source, b, c), lambda: kernels.extend(target, source, a, b),
        lambda: kernels.equal(target, a, source, b, c),
    ):
        try:
            call()
        except (IndexError, TypeError, ValueError):
            pass
        calls += 1
print(calls)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if asan.runtime() is None:
        pytest.skip("gcc, or its libasan, is not here")
    pytest.importorskip("Cython")
    return asan.build(tmp_path_factory.mktemp("asan"), only=["wire/kernels", "wire/frame", "link/slots"])


@pytest.mark.slow
def test_no_call_of_the_kernels_leaves_its_buffers(library: Path) -> None:
    done = asan.run(library, KERNELS, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == str(25_000 * 16)
    done = asan.run(library, asan.FUZZ, "2", "600", timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]


RINGS = """
import sys
from tests.fuzz import rings
from uinet.link import slots
assert slots.__file__.endswith(".so"), slots.__file__
print(sum(rings.attack(seed, 300) for seed in range(3)))
"""


@pytest.mark.slow
def test_no_word_of_a_shared_ring_leads_out_of_its_memory(library: Path) -> None:
    done = asan.run(library, RINGS, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 30_000
