"""``uinet proxy``: options that contradict each other, in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from uinet.cli import main
from uinet.cli.proxy_stats import Stats, summed_up
from uinet.codecs.tally import Tally


@pytest.mark.parametrize(("arguments", "says"), [
    (["--mode", "tcp", "8080", "x:1"], "wants HOST:PORT"),
    (["--mode", "tcp", "--no-bridge", "a:1", "b:1"], "are of devices"),
    (["--mode", "tcp", "--workers", "2", "a:1", "b:1"], "are of devices"),
    (["--codec-store", "x", "memory:a", "memory:b"], "no --codec"),
    (["--codec", "plain", "--codec-store", "x", "memory:a", "memory:b"], "want --codec dedup with it"),
    (["--codec", "dedup", "--workers", "2", "memory:a", "memory:b"], "a store each"),
    (["--codec", "gzip", "memory:a", "memory:b"], "'zstd', 'dedup', 'plain'"),
])
def test_what_makes_no_sense_is_told(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    assert main(["proxy", *arguments]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_policy_over_tcp_chooses_codecs_only(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "policy.py"
    file.write_text("def decide(syn):\n    return 'proxy'\n")
    assert main(["proxy", "--mode", "tcp", "--policy", str(file), "a:1", "b:1"]) == 2
    assert "a policy defines codec" in capsys.readouterr().err
    file.write_text("def codec(connection):\n    return 'zstd'\n")
    assert main(["proxy", "--policy", str(file), "memory:a", "memory:b"]) == 2
    assert "no --codec" in capsys.readouterr().err


def test_table_and_last_line_say_what_was_saved() -> None:
    tally = Tally(plain_out=500_000, wire_out=50_000, plain_in=500_000, wire_in=50_000, references=70, foreign=2)
    seen: dict[str, Any] = {
        "counts": {"opened": 1}, "outcomes": {},
        "codec": {**tally.as_dict(), "name": "dedup", "store": {"chunks": 9, "bytes": 81_000}},
    }
    time = iter((0.0, 1.0, 2.0))
    stats = Stats(lambda: seen, clock=lambda: next(time))
    stats.table()
    seen["codec"] = {**seen["codec"], "plain_in": 1_500_000}
    table = stats.table()
    rows = dict(zip(*(list(column.cells) for column in table.columns), strict=True))
    assert rows["codec dedup"] == "2000.0 kB as 100.0 kB, 95.0 % saved, 1000.0 kB/s"
    assert rows["store"] == "9 chunks, 81.0 kB; 70 referred to, 0 repaired" and rows["pair"] == "2 foreign"
    assert "frames" not in rows  # it has no devices
    assert summed_up(seen).endswith("codec dedup: 2000.0 kB as 100.0 kB, 95.0 % saved")
