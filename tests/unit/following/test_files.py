"""Streams into files: names, holes, re-used addresses, few descriptors, and never a file elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import uinet
from tests.unit.following.talk import EPOCH, Talk, capture, whole
from uinet.errors import InvalidArgument
from uinet.following.api import Run, Sources, options
from uinet.following.files import StreamFiles


def write(data: bytes, path: Path, most: int | None = None) -> StreamFiles:
    """Follows `data` into `path`."""
    files = StreamFiles(path)
    if most is not None:
        files._most = most
    run = Run(Sources(data), files.sink, options())
    try:
        while run.step():
            assert len(files._open) <= files._most
    finally:
        files.close()
    return files


def contents(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.iterdir()}


def test_each_direction_has_a_file_named_after_both_ends(tmp_path: Path) -> None:
    files = write(capture(whole(b"ask", b"answer")), tmp_path / "new" / "dir")
    assert contents(tmp_path / "new" / "dir") == {
        "10.0.0.1.1234-10.0.0.2.80.client": b"ask", "10.0.0.1.1234-10.0.0.2.80.server": b"answer",
    }
    assert (files.written, files.files) == (9, 2)


def test_vlan_stack_stands_in_front_and_ipv6_is_written_out(tmp_path: Path) -> None:
    talk = whole(b"ask", b"answer", client=("fd00::1", 5), server=("fd00::2", 65535), vlans=(100, 200))
    write(capture(talk), tmp_path)
    assert contents(tmp_path) == {
        "v100.200-fd00::1.5-fd00::2.65535.client": b"ask", "v100.200-fd00::1.5-fd00::2.65535.server": b"answer",
    }


def test_addresses_used_again_get_a_number_and_both_files_the_same(tmp_path: Path) -> None:
    talks = [
        whole(b"one", b"", start=EPOCH), whole(b"", b"two", start=EPOCH + 10**9, isn=(10**9, 10**9)),
        whole(b"three", b"3", start=EPOCH + 2 * 10**9, isn=(2 * 10**9, 2 * 10**9)),
    ]
    write(capture(*talks), tmp_path)
    stem = "10.0.0.1.1234-10.0.0.2.80"
    assert contents(tmp_path) == {
        f"{stem}.client": b"one", f"{stem}-2.server": b"two", f"{stem}-3.client": b"three", f"{stem}-3.server": b"3",
    }


def test_holes_are_zeros_also_at_the_end(tmp_path: Path) -> None:
    talk = Talk().opened().says(0, bytes(range(1, 101)) * 40, 1000, lost=[1, 3]).closed()
    write(capture(talk), tmp_path)
    part = bytes(range(1, 101)) * 10
    assert contents(tmp_path) == {"10.0.0.1.1234-10.0.0.2.80.client": part + bytes(1000) + part + bytes(1000)}


def test_a_large_hole_takes_no_room(tmp_path: Path) -> None:
    talk = Talk().opened().says(0, b"x" * 1000)
    talk.nxt[0] += 30_000  # never seen, and acknowledged
    talk.send(1, "A").says(0, b"y" * 1000).closed()
    write(capture(talk), tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.read_bytes() == b"x" * 1000 + bytes(30_000) + b"y" * 1000
    assert path.stat().st_blocks * 512 < 32_000


def test_no_more_descriptors_are_open_than_allowed_and_files_go_on_where_they_were(tmp_path: Path) -> None:
    talks = [Talk(client=("10.0.0.1", 2000 + n), start=EPOCH + n).opened() for n in range(10)]
    for turn in range(3):
        for talk in talks:
            talk.says(0, b"%d" % turn * 70_000, 10_000)
    write(capture(*(talk.closed() for talk in talks)), tmp_path, most=2)
    found = contents(tmp_path)
    assert len(found) == 10
    assert set(found.values()) == {b"0" * 70_000 + b"1" * 70_000 + b"2" * 70_000}


def test_directory_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(InvalidArgument, match="is not empty"):
        StreamFiles(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_symbolic_links_put_there_meanwhile_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    files = StreamFiles(tmp_path / "out")
    for number in ("", "-2"):
        os.symlink(victim, tmp_path / "out" / f"10.0.0.1.1234-10.0.0.2.80{number}.client")
    run = Run(Sources(capture(whole(b"ask", b"answer"))), files.sink, options())
    while run.step():
        pass
    files.close()
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "out" / "10.0.0.1.1234-10.0.0.2.80-3.client").read_bytes() == b"ask"


def test_directory_moved_away_keeps_getting_its_files(tmp_path: Path) -> None:
    files = StreamFiles(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "moved")
    (tmp_path / "out").mkdir()
    run = Run(Sources(capture(whole(b"ask", b"answer"))), files.sink, options())
    while run.step():
        pass
    files.close()
    assert contents(tmp_path / "out") == {}
    assert len(contents(tmp_path / "moved")) == 2


def test_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes, place: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("uinet.following.files.os.pwrite", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write(capture(whole(b"ask", b"answer")), tmp_path)
    assert caught.value.filename == str(tmp_path / "10.0.0.1.1234-10.0.0.2.80.client")


def test_files_and_streams_agree(tmp_path: Path) -> None:
    data = capture(Talk().opened().says(0, b"0123456789" * 9000, 1000, lost=[2, 3, 50]).closed())
    write(data, tmp_path)
    (conn,) = uinet.follow(data)
    assert (tmp_path / "10.0.0.1.1234-10.0.0.2.80.client").read_bytes() == conn.client.read()
