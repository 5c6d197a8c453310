"""uinet pkt: what is printed, and the exit status."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.unit.sim.packetdrill.scripts import SERVER
from uinet.cli.group import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.pkt").write_text(SERVER)
    (tmp_path / "bad.pkt").write_text(SERVER + "+0 write(4, ..., 10) = 10\n+0 > P. 1:12(11) ack 1\n")
    (tmp_path / "other.pkt").write_text(SERVER + "+0 fork() = 0\n")
    (tmp_path / "torn.pkt").write_text("0 close(3 = 0\n")
    return tmp_path


def test_verdicts_a_line_each_and_a_sum(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pkt", str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"FAIL {folder}/bad.pkt (line 11: length is 10, not 11)",
        f"PASS {folder}/good.pkt",
        f"SKIP {folder}/other.pkt (line 10: the system call fork())",
        f"FAIL {folder}/torn.pkt (line 1: ',' is wanted, not '=')",
        "1 passed, 2 failed, 1 skipped",
    ]


def test_status_is_0_where_none_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pkt", str(folder / "good.pkt"), str(folder / "other.pkt")]) == 0
    assert capsys.readouterr().out.endswith("1 passed, 0 failed, 1 skipped\n")


def test_verbose_shows_what_was_expected_and_what_came(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pkt", "-v", str(folder / "bad.pkt")]) == 1
    text = capsys.readouterr().out
    assert "injected < . 1:1(0) ack 1 win 257" in text
    assert "  expected +0 > P. 1:12(11) ack 1\n" in text
    assert "  found    0.100000 > P. 1:11(10) ack 1 win" in text
    assert len(text.splitlines()) <= 40


def test_json_is_an_object_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pkt", "--json", str(folder)]) == 1
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [result["verdict"] for result in results] == ["FAIL", "PASS", "SKIP", "FAIL"]
    assert results[0]["line"] == 11


@pytest.mark.parametrize("arguments", [
    ["pkt"], ["pkt", "/no/such/path"], ["pkt", "-p", "plan9", "."], ["pkt", "--ip-version", "ipv5", "."],
])
def test_wrong_usage_is_said_on_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1


def test_a_folder_without_scripts_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pkt", str(tmp_path)]) == 2
    assert "no *.pkt files" in capsys.readouterr().err


def test_kernel_wants_root(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run(["pkt", "-b", "kernel", str(folder)]) == 2
    assert "needs root" in capsys.readouterr().err


def test_symbols_and_personas_reach_the_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.pkt").write_text(SERVER + "+0 close(FD) = 0\n#ifdef Linux\n+0 close(9) = 0\n#endif\n")
    assert run(["pkt", "-D", "FD=4", str(tmp_path)]) == 0
    assert run(["pkt", "-D", "FD=4", "-p", "linux", str(tmp_path)]) == 1
    assert "close() returns -1 EBADF" in capsys.readouterr().out
