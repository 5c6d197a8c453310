"""Records as a Parquet file: the same as the JSON ones, typed, all or nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import uinet
from tests.unit.following.talk import EPOCH, MILLISECOND, Talk, capture, whole
from uinet.cli import main
from uinet.errors import InvalidArgument
from uinet.following import parquet
from uinet.following.parquet import ParquetFile
from uinet.following.records import SIDES
from uinet.passive.half import COUNTERS

pyarrow = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

HOLES = Talk(client=("fd00::3", 3333), server=("fd00::4", 443), start=EPOCH + 10**9 + 123)
HOLES.opened().says(0, b"0123456789" * 300, 1000, lost=[1]).closed()
MIDDLE = Talk(client=("10.0.0.5", 5555), start=EPOCH + 2 * 10**9).says(1, b"answer" * 100)
CAPTURE = capture(whole(b"ask", b"answer" * 10_000, vlans=(100, 200)), HOLES, MIDDLE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "capture.pcap"
    path.write_bytes(CAPTURE)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main(["follow", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the JSON record has it."""
    found: dict[str, Any] = {"serial": row["serial"], "vlans": row["vlans"]}
    for side in SIDES:
        told = {name: row[f"{side}_{name}"] for name in ("ip", "port", "mac", "bytes")}
        holes = row[f"{side}_holes"]
        told["holes"] = [[hole["offset"], hole["length"], hole["reason"]] for hole in holes]
        told["sha256"] = row[f"{side}_sha256"]
        told |= {name: row[f"{side}_{name}"] for name in COUNTERS if row[f"{side}_{name}"]}
        if row[f"{side}_file"] is not None:
            told["file"] = row[f"{side}_file"]
        found[side] = told
    found |= {"start": row["start_ns"] / 1e9, "end": row["end_ns"] / 1e9, "close": row["close"]}
    found["midstream"] = row["midstream"]
    if row["notes"]:
        found["notes"] = row["notes"]
    return found


def test_rows_are_the_json_records(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "x.parquet"
    status, out, err = run(capsys, "--midstream", "--json", "--parquet", target, path)
    assert (status, err) == (0, "")
    records = [json.loads(line) for line in out.splitlines()]
    assert len(records) == 3
    assert [as_json(row) for row in pq.read_table(target).to_pylist()] == records


def test_columns_have_types_that_say_what_they_hold(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "x.parquet"
    assert run(capsys, "--parquet", target, path)[0] == 0
    table = pq.read_table(target)
    types = {field.name: str(field.type) for field in table.schema}
    assert types["serial"] == "int64"
    assert types["start"] == types["end"] == "timestamp[us, tz=UTC]"
    assert types["close"].startswith("dictionary<values=string")
    assert types["client_port"] == "uint16"
    assert types["client_holes"].startswith("list<element: struct<offset: int64, length: int64, reason: string")
    assert types["vlans"] == "list<element: uint16>"
    second = table.to_pylist()[1]
    assert second["start_ns"] == EPOCH + 10**9 + 123
    assert second["client_holes"] == [{"offset": 1000, "length": 1000, "reason": "lost"}]
    assert (second["client_hole_bytes"], second["client_hole_count"], second["client_fin"]) == (1000, 1, True)
    assert second["client_packets"] == 6  # SYN, ACK, two of three with data, FIN, ACK


def test_text_and_stream_files_are_written_too(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, streams = tmp_path / "x.parquet", tmp_path / "streams"
    status, out, _ = run(capsys, "-o", streams, "--parquet", target, path)
    assert status == 0
    assert "10.0.0.1:1234" in out
    first = pq.read_table(target).to_pylist()[0]
    assert (streams / first["client_file"]).read_bytes() == b"ask"
    assert len((streams / first["server_file"]).read_bytes()) == first["server_bytes"]


def test_metadata_say_how_it_was_made(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "x.parquet"
    run(capsys, "--parquet", target, "--deadline", 2, "--overlap", "last", path)
    metadata = pq.read_metadata(target).metadata
    assert metadata[b"uinet.version"].decode() == uinet.__version__
    options = json.loads(metadata[b"uinet.options"])
    assert (options["sources"], options["deadline"], options["overlap"]) == ([str(path)], 2 * 10**9, "last")
    assert pq.read_metadata(target).row_group(0).column(0).compression == "ZSTD"


def test_a_damaged_capture_gives_the_rows_before_the_damage_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, target = tmp_path / "cut.pcap", tmp_path / "x.parquet"
    path.write_bytes(CAPTURE[:-7])
    status, _, err = run(capsys, "-q", "--parquet", target, path)
    assert status == 1
    assert "cut off" in err
    assert pq.read_table(target).num_rows == 2
    assert b"cut off" in pq.read_metadata(target).metadata[b"uinet.error"]


def record(serial: int) -> dict[str, Any]:
    side = {"ip": "10.0.0.1", "port": 1, "mac": None, "bytes": 0, "holes": [], "sha256": None}
    return {
        "serial": serial, "vlans": [], "client": side, "server": side, "close": "fin", "midstream": False,
        "exact": {
            "tagged": False, "start": serial * MILLISECOND, "end": serial * MILLISECOND, "client": (0, 0, 1, True),
            "server": (0, 0, 1, True),
        },
    }


def test_rows_are_written_in_groups_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP", 100)
    monkeypatch.setattr(parquet, "BATCH", 10)
    target = tmp_path / "x.parquet"
    rows = ParquetFile(target)
    for serial in range(205):
        rows.add(record(serial))
        assert len(rows._waiting) < 10
    assert not target.exists()
    rows.complete()
    found = pq.ParquetFile(target)
    assert [found.metadata.row_group(n).num_rows for n in range(found.num_row_groups)] == [100, 100, 5]
    assert found.read().column("serial").to_pylist() == list(range(205))


def test_many_holes_make_a_group_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MOST_HOLES", 4)
    rows = ParquetFile(tmp_path / "x.parquet")
    for serial in range(3):
        found = record(serial)
        found["client"] = {**found["client"], "holes": [[0, 1, "lost"], [2, 1, "end"]]}
        rows.add(found)
    rows.complete()
    assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == 2


def test_what_is_not_complete_is_no_file(tmp_path: Path) -> None:
    target = tmp_path / "x.parquet"
    target.write_bytes(b"the one before")
    rows = ParquetFile(target)
    rows.add(record(0))
    assert target.read_bytes() == b"the one before"
    rows.discard()
    assert list(tmp_path.iterdir()) == [target]
    rows = ParquetFile(target)
    rows.complete()
    rows.discard()
    assert list(tmp_path.iterdir()) == [target]
    assert pq.read_table(target).num_rows == 0


@pytest.mark.parametrize(
    ("target", "told"), [("missing/x.parquet", "No such file or directory"), (".", "is a directory")]
)
def test_a_place_that_cannot_be_written_is_one_line(
    target: str, told: str, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "--parquet", tmp_path / target, path)
    assert status in (1, 2)
    assert told in err
    assert (out, err.count("\n")) == ("", 1)


def test_the_capture_is_not_overwritten(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "--parquet", path, path)
    assert (status, err.count("\n")) == (2, 1)
    assert path.read_bytes() == CAPTURE


def test_without_pyarrow_one_line_says_what_to_install(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidArgument, match="pip install 'uinet"):
        ParquetFile(tmp_path / "x.parquet")
    status, out, err = run(capsys, "--parquet", tmp_path / "x.parquet", path)
    assert (status, out) == (2, "")
    assert err == "uinet: a Parquet file needs the package pyarrow: pip install 'uinet[parquet]'\n"
    assert list(tmp_path.iterdir()) == [path]
