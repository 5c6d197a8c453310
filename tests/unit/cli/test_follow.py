"""``uinet follow``: what it prints and writes, its exit statuses, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import uinet
from tests.unit.following.talk import EPOCH, Talk, capture, whole
from uinet.cli import main

SOURCE = Path(uinet.__file__).parents[1]
LOST = Talk(client=("10.0.0.3", 3333), start=EPOCH + 10**9)
LOST.opened().says(0, b"0123456789" * 300, 1000, lost=[1]).closed()
TWO = capture(whole(b"ask", b"answer" * 10_000, vlans=(100, 200)), LOST)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    path = tmp_path / "two.pcap"
    path.write_bytes(TWO)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main(["follow", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def in_process(*arguments: object, **settings: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "uinet.cli", "follow", *map(str, arguments)], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"], "TZ": "UTC"}, **settings,
    )


def test_text_has_a_line_for_each_connection_and_a_summary(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, two)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["#", "start", "took", "client", "server", "sent", "got", "end"]
    assert lines[1].split()[3:8] == ["10.0.0.1:1234", ">", "10.0.0.2:80", "3", "60000"]
    assert lines[1].endswith("fin     vlan 100:200")
    assert lines[2].endswith("fin     client misses 1000 bytes (lost)")
    assert lines[1].index(">") == lines[2].index(">")
    words = " ".join(out.split())
    for expected in ("connections 2 (2 fin)", "bytes 63,003", "holes: lost 1, 1,000 bytes"):
        assert expected in words


def test_quiet_prints_the_summary_alone(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "-q", two)
    assert status == 0
    assert "10.0.0.1" not in out
    assert "2 (2 fin)" in out


def test_json_is_one_object_a_line(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "--json", two)
    assert (status, err) == (0, "")
    first, second = map(json.loads, out.splitlines())
    assert {name: value for name, value in first.items() if name not in ("client", "server", "end")} == {
        "serial": 0, "vlans": [100, 200], "start": EPOCH / 1e9, "close": "fin", "midstream": False,
    }
    assert first["client"]["mac"].count(":") == 5
    assert first["server"] == {
        "ip": "10.0.0.2", "port": 80, "mac": first["server"]["mac"], "bytes": 60_000, "holes": [],
        "sha256": sha256(b"answer" * 10_000).hexdigest(),
    }
    zeros = b"0123456789" * 100 + bytes(1000) + b"0123456789" * 100
    assert second["client"]["holes"] == [[1000, 1000, "lost"]]
    assert second["client"]["sha256"] == sha256(zeros).hexdigest()


def test_json_is_what_the_library_says(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "--json", two)
    assert [json.loads(line) for line in out.splitlines()] == [conn.as_dict() for conn in uinet.follow(two)]


def test_streams_go_to_files_and_records_name_them(
    two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(capsys, "--json", "-o", tmp_path / "out", two)
    assert status == 0
    for line in out.splitlines():
        record = json.loads(line)
        for side in ("client", "server"):
            if record[side]["bytes"]:
                path = tmp_path / "out" / record[side]["file"]
                assert sha256(path.read_bytes()).hexdigest() == record[side]["sha256"]
            else:
                assert "file" not in record[side]
    assert len(list((tmp_path / "out").iterdir())) == 3
    status, out, _ = run(capsys, "-o", tmp_path / "other", two)
    assert "written 62,003 bytes in 3 files" in " ".join(out.split())
    status, out, err = run(capsys, "-o", tmp_path / "other", two)
    assert (status, out) == (2, "")
    assert err == f"uinet: {tmp_path / 'other'} is not empty: streams go into a directory of their own\n"


def test_several_captures_are_read_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk = whole(b"a" * 5000, b"b")
    for number in range(2):
        part = Talk()
        part.packets = talk.packets[number * 6 : 6 if number == 0 else None]
        (tmp_path / f"{number}.pcap").write_bytes(capture(part))
    status, out, _ = run(capsys, "--json", tmp_path / "0.pcap", tmp_path / "1.pcap")
    (record,) = map(json.loads, out.splitlines())
    assert (status, record["client"]["bytes"], record["close"]) == (0, 5000, "fin")


def test_damage_is_said_after_what_came_before_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.pcap"
    path.write_bytes(TWO[:-200])
    status, out, err = run(capsys, path)
    assert status == 1
    assert "2 (1 end, 1 fin)" in out
    assert err.startswith(f"uinet: {path}: capture cut off")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["none.pcap"], 1, "none.pcap: No such file or directory"),
        ([], 2, "Missing argument 'SOURCE...'"),
        (["--max-memory", "1M", "x"], 2, "too few"),
        (["--max-memory", "much", "x"], 2, "'much' is no size"),
        (["--overlap", "middle", "x"], 2, "'middle' is not one of"),
        (["--deadline", "-1", "x"], 2, "--deadline"),
        (["--deadline", "nan", "x"], 2, "--deadline"),
        (["--json", "--quiet", "x"], 2, "choose one"),
        (["-o", "/dev/null/x", "TWO"], 1, "Not a directory"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str], status: int, says: str, two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out, err = run(capsys, *(two if each == "TWO" else each for each in arguments))
    assert (found, out, err.count("\n")) == (status, "", 1)
    assert says in err


def test_a_file_that_is_no_capture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "text"
    path.write_text("this is not a capture")
    status, _, err = run(capsys, path)
    assert status == 1
    assert err.startswith(f"uinet: {path}: not a capture file")


def test_options_reach_the_follower(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "middle.pcap"
    talk = Talk()
    talk.nxt = [1000, 2000]
    path.write_bytes(capture(talk.says(0, b"from the middle").closed()))
    assert run(capsys, "--json", path)[1] == ""
    (record,) = map(json.loads, run(capsys, "--json", "--midstream", path)[1].splitlines())
    assert (record["midstream"], record["client"]["bytes"]) == (True, 15)
    talk = Talk().opened().send(0, "A", b"a").send(0, "A", b"lost", lost=True).send(0, "A", b"b")
    talk.time += 3 * 10**9
    path.write_bytes(capture(talk.send(0, "A", b"c")))
    chosen = ("--json", "--skew", "10", "--deadline")
    for deadline, reason in (("2.5", "deadline"), ("60", "end")):
        (record,) = map(json.loads, run(capsys, *chosen, deadline, path)[1].splitlines())
        assert [hole[2] for hole in record["client"]["holes"]] == [reason]


def test_connections_on_two_vlans_are_one_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "vlans.pcap"
    there, back = whole(b"ask", b"answer", vlans=(1,)), whole(b"ask", b"answer", vlans=(2,))
    mixed = Talk()
    for one, other in zip(there.packets, back.packets, strict=True):
        from_client = one[1][12 + 4 + 2 + 20 : 12 + 4 + 2 + 22] == (1234).to_bytes(2, "big")
        mixed.packets.append(one if from_client else other)
    path.write_bytes(capture(mixed))
    records = [json.loads(line) for line in run(capsys, "--json", "--ignore-vlans", path)[1].splitlines()]
    assert [(each["client"]["bytes"], each["server"]["bytes"], each["close"]) for each in records] == [(3, 6, "fin")]
    assert len(run(capsys, "--json", path)[1].splitlines()) == 2


def test_count_stops_early(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--json", "--count", "1", two)
    assert (status, out.count("\n")) == (0, 1)


def test_stats_are_counters_where_records_are_not(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "--json", "--stats", two)
    assert status == 0
    counters = json.loads(err)
    assert counters["packets"] == TWO_PACKETS
    assert all(json.loads(line)["serial"] in (0, 1) for line in out.splitlines())
    out = run(capsys, "--stats", two)[1]
    assert f"packets {TWO_PACKETS} " in " ".join(out.split())


TWO_PACKETS = len(whole(b"ask", b"answer" * 10_000).packets) + len(LOST.packets)


def test_limits_of_memory_that_bite_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "many.pcap"
    path.write_bytes(capture(*(
        Talk(client=(f"10.0.{n >> 8}.{n & 255}", 9), start=EPOCH + n).opened() for n in range(8000)
    )))
    status, out, _ = run(capsys, "-q", "--max-memory", "8M", path)
    assert status == 0
    assert "limit" in out


def test_standard_input_is_reported_as_it_comes() -> None:
    """The first record is there before the second connection has been written."""
    with in_process("--json", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        first = capture(whole(b"first", b""))
        os.write(process.stdin.fileno(), first)
        assert json.loads(process.stdout.readline())["client"]["bytes"] == 5
        second = capture(whole(b"second", b"", client=("10.0.0.9", 1), start=EPOCH + 10**9))
        os.write(process.stdin.fileno(), second[24:])
        assert json.loads(process.stdout.readline())["client"]["bytes"] == 6
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_a_live_source_in_good_order(number: signal.Signals) -> None:
    with in_process("-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        os.write(process.stdin.fileno(), capture(whole(b"a", b"b"), Talk(client=("10.0.0.9", 1)).opened()))
        assert process.stdout.readline().split()[0] == "#"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "2 (1 end, 1 fin)" in out


def test_reader_that_leaves_early_is_no_error_worth_a_word(tmp_path: Path) -> None:
    path = tmp_path / "many.pcap"
    path.write_bytes(capture(*(
        whole(b"a", b"b", client=("10.0.0.1", 1024 + n), start=EPOCH + n * 1000) for n in range(3000)
    )))
    with in_process("--json", path) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        process.wait(30)


def test_filter_keeps_the_rest_out(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ctypes")
    from uinet.errors import FilterError
    from uinet.following.filtering import Filter

    try:
        Filter("tcp")
    except FilterError as error:
        pytest.skip(str(error))
    records = [json.loads(line) for line in run(capsys, "--json", "-f", "port 3333", two)[1].splitlines()]
    assert [record["client"]["port"] for record in records] == [3333]
    status, out, err = run(capsys, "-f", "port port", two)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "port port" in err
