"""Stores: bounded, verified, and kept over a restart."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.unit.codecs.test_session import Pair, noise
from uinet.codecs.constants import MOST
from uinet.codecs.disk import DiskStore, StoreError
from uinet.codecs.store import COST, MemoryStore, Partners, digest_of
from uinet.errors import InvalidArgument

LIMIT = 4 << 20


def fill(store: MemoryStore | DiskStore, count: int, size: int = 8000, seed: int = 1) -> list[bytes]:
    """Puts so many chunks; their digests."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        chunk = rng.randbytes(size)
        found.append(digest_of(chunk))
        store.put(found[-1], chunk)
    return found


def test_memory_is_bounded_and_the_oldest_go() -> None:
    store = MemoryStore(1 << 20)
    digests = fill(store, 300)
    assert store.size <= 1 << 20 and store.size == len(store.chunks) * (8000 + COST)
    assert store.get(digests[0]) is None and store.get(digests[-1]) is not None
    assert store.evicted == 300 - len(store.chunks)


def test_memory_keeps_what_is_used() -> None:
    store = MemoryStore(1 << 20)
    first = fill(store, 100)
    assert store.get(first[0]) is not None
    fill(store, 100, seed=2)
    assert store.get(first[0]) is not None and store.get(first[1]) is None


def test_store_that_is_too_small_is_told(tmp_path: Path) -> None:
    for make in (lambda: MemoryStore(1000), lambda: DiskStore(str(tmp_path), 1000)):
        with pytest.raises(InvalidArgument, match="or more"):
            make()


def test_disk_keeps_chunks_and_name_over_a_restart(tmp_path: Path) -> None:
    store = DiskStore(str(tmp_path / "a" / "b"), LIMIT)
    digests = fill(store, 100)
    store.believe_from(b"x" * 16, 5)
    store.believe_from(b"y" * 16, 50)
    store.close()
    again = DiskStore(str(tmp_path / "a" / "b"), LIMIT)
    assert again.name == store.name and again.serial == 100
    assert all(digest_of(again.get(digest) or b"") == digest for digest in digests)
    assert again.believe_from(b"y" * 16, 99) == 50 and again.believe_from(b"x" * 16, 99) == 0
    again.close()


def test_disk_is_bounded(tmp_path: Path) -> None:
    store = DiskStore(str(tmp_path), LIMIT)
    digests = fill(store, 2000)
    used = sum(file.stat().st_size for file in tmp_path.glob("*.seg"))
    assert used == store.size <= LIMIT and store.evicted == 2000 - len(store.index)
    assert store.get(digests[0]) is None and store.get(digests[-1]) is not None
    store.close()
    smaller = DiskStore(str(tmp_path), 1 << 20)
    assert smaller.size <= 1 << 20 and smaller.get(digests[-1]) is not None
    smaller.close()


def test_disk_keeps_what_passes_again(tmp_path: Path) -> None:
    store = DiskStore(str(tmp_path), LIMIT)
    chunk = noise(9000)
    for turn in range(10):
        store.put(digest_of(chunk), chunk)
        fill(store, 150, seed=turn)
    assert store.get(digest_of(chunk)) == chunk
    store.close()


def test_what_a_crash_left_half_written_is_cut(tmp_path: Path) -> None:
    store = DiskStore(str(tmp_path), LIMIT)
    digests = fill(store, 10)
    store.close()
    (file,) = tmp_path.glob("*.seg")
    with file.open("r+b") as whole:
        whole.truncate(file.stat().st_size - 100)
    again = DiskStore(str(tmp_path), LIMIT)
    assert again.get(digests[9]) is None and again.get(digests[8]) is not None
    more = fill(again, 3, seed=9)
    again.close()
    third = DiskStore(str(tmp_path), LIMIT)
    assert all(third.get(digest) for digest in [*digests[:9], *more])
    third.close()


def test_chunk_that_was_changed_on_disk_is_not_given_out(tmp_path: Path) -> None:
    store = DiskStore(str(tmp_path), LIMIT)
    digests = fill(store, 3)
    (file,) = tmp_path.glob("*.seg")
    with file.open("r+b") as whole:
        whole.seek(30)
        whole.write(b"!!!!")
    assert store.get(digests[0]) is None and store.corrupt == 1 and store.get(digests[1]) is not None
    store.close()


@pytest.mark.parametrize("junk", [b"junk" * 100, bytes(1000), b"UCHK" + (MOST + 1).to_bytes(4, "little") + bytes(99)])
def test_segment_that_is_none_is_emptied(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "00000003.seg").write_bytes(junk)
    (tmp_path / "name").write_text("nonsense")
    (tmp_path / "partners").write_text("more nonsense\n")
    store = DiskStore(str(tmp_path), LIMIT)
    assert store.size == 0 and len(store.name) == 16
    (digest,) = fill(store, 1)
    assert store.get(digest) is not None
    store.close()


def test_folder_in_use_is_told(tmp_path: Path) -> None:
    store = DiskStore(str(tmp_path), LIMIT)
    with pytest.raises(StoreError, match="in use by another process"):
        DiskStore(str(tmp_path), LIMIT)
    store.close()
    DiskStore(str(tmp_path), LIMIT).close()


def test_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="name a folder"):
        DiskStore(str(tmp_path / "file"), LIMIT)


def test_partners_are_bounded() -> None:
    partners = Partners()
    for number in range(1000):
        partners.believe_from(number.to_bytes(16, "big"), number)
    assert len(partners.known) == 64


def test_pair_restarted_in_the_middle_goes_on_with_what_is_on_disk(tmp_path: Path) -> None:
    data = noise(2 << 20)
    stores = [DiskStore(str(tmp_path / name), 32 << 20) for name in "ab"]
    first = Pair(stores=(stores[0], stores[1]))
    first.transfer(data[: 1 << 20])  # and then both proxies die
    for store in stores:
        store.close()
    stores = [DiskStore(str(tmp_path / name), 32 << 20) for name in "ab"]
    second = Pair(stores=(stores[0], stores[1]))
    cost = second.transfer(data)
    second.end()
    assert second.got[second.b] == data and second.b.tally.needed == 0
    assert 1 << 20 < cost < (1 << 20) + 100_000
    for store in stores:
        store.close()
