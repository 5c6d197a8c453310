"""``uinet demo``: it works, its capture is sound, and it notices whatever is not as planned."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from uinet.cli import main
from uinet.cli.demo import recorders
from uinet.proxy.demo import MAX_CLIENTS, Demo, make_plan
from uinet.proxy.following import Followed
from uinet.wire.build import dissect
from uinet.wire.pcap import read
from uinet.wire.pcapng import PcapngWriter


def test_plans_are_all_different_and_as_the_issue_wants_them() -> None:
    plans = [make_plan(number, 1, 1000) for number in range(200)]
    assert len({plan.identity for plan in plans}) == 200
    assert len({plan.identity.l2.source for plan in plans}) == 200
    tagged = [plan.identity.l2.vlans for plan in plans if plan.identity.l2.vlans]
    assert len(set(tagged)) == len(tagged)
    assert {len(plan.identity.l2.vlans) for plan in plans} == {0, 1, 2, 3}
    assert {plan.identity.source.ip.version for plan in plans} == {4, 6}
    twins = [plan for plan in plans if plan.number % 10 == 9]
    assert all(plan.identity.source == plans[plan.number - 1].identity.source for plan in twins)
    assert any(plan.refused for plan in plans)
    many = {make_plan(number, 1, 1000).identity for number in range(0, MAX_CLIENTS, 7)}
    assert len(many) == len(range(0, MAX_CLIENTS, 7))


def test_demo_runs_and_finds_nothing_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--clients", "30", "--bytes", "3000", "--out", str(tmp_path / "new")]) == 0
    out = capsys.readouterr().out
    assert "Both ends saw each other's VLANs, MACs, addresses and ports, and every byte." in out
    assert "Following the capture found every connection, and every byte of both its streams." in out
    assert "SYN ACK" in out
    assert f"uinet show {tmp_path / 'new' / 'uinet-demo.pcapng'} | head" in out
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["uinet-demo.pcapng"]
    records = read((tmp_path / "new" / "uinet-demo.pcapng").read_bytes())
    assert len(records) > 30 * 2 * 8
    assert {record.interface for record in records} == {0, 1}
    assert all(dissect(record.data).checksums_ok is not False for record in records)


def test_demo_notices_what_its_capture_lacks(tmp_path: Path) -> None:
    path = tmp_path / "demo.pcapng"
    with path.open("wb") as file:
        demo = Demo(5, 3000, captures=tuple([each] for each in recorders(file)))  # type: ignore[arg-type]
        demo.run()
    assert Followed(demo, path).differences == []
    writer = PcapngWriter()
    records = read(path.read_bytes())
    largest = max(records, key=lambda record: len(record.data))
    header = writer.header() + writer.interface("client-side") + writer.interface("server-side")
    path.write_bytes(header + b"".join(
        writer.packet(record.data, record.time, record.interface)
        for record in records if record.data != largest.data or record.interface != largest.interface
    ))
    (difference,) = Followed(demo, path).differences
    assert difference.startswith("client ")
    assert "of them missing" in difference
    path.write_bytes(header)
    assert len(Followed(demo, path).differences) == 2 * 5


def test_next_steps_name_the_command_as_it_can_be_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / ".venv" / "bin" / "uinet"
    command.parent.mkdir(parents=True)
    command.touch(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(command), "demo"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["demo", "--clients", "3", "--bytes", "100"]) == 0
    assert "  .venv/bin/uinet show uinet-demo.pcapng | head" in capsys.readouterr().out
    monkeypatch.setenv("PATH", str(command.parent))
    assert main(["demo", "--clients", "3", "--bytes", "100"]) == 0
    assert "  uinet show uinet-demo.pcapng | head" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
def test_demo_capture_is_sound_to_tshark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--clients", "30", "--bytes", "3000", "--out", str(tmp_path)]) == 0
    checks = [f"-o{protocol}.check_checksum:TRUE" for protocol in ("ip", "tcp", "udp")]
    checksums = "tcp.checksum.status == 0 || ip.checksum.status == 0"
    bad = f"_ws.malformed || {checksums} || _ws.expert.severity == Error"
    done = subprocess.run(
        ["tshark", "-n", *checks, "-r", str(tmp_path / "uinet-demo.pcapng"), "-Y", bad],
        capture_output=True, text=True, timeout=120, check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_demo_with_the_same_seed_is_the_same_to_the_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    captures = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        options = ["--clients", "5", "--bytes", "500", "--json", "--out", str(tmp_path / name)]
        assert main(["demo", *options, "--seed", str(seed)]) == 0
        captures.append((tmp_path / name / "uinet-demo.pcapng").read_bytes())
    assert captures[0] == captures[1] != captures[2]


def test_demo_json_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--clients", "26", "--bytes", "100", "--json", "--out", str(tmp_path)]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["clients"] == 26
    assert record["refused"] == 1
    assert record["outcomes"] == {"closed": 25, "refused": 1}
    assert record["differences"] == []


@pytest.fixture
def demo() -> Demo:
    ran = Demo(4, 200)
    ran.run()
    assert ran.differences() == []
    return ran


def test_demo_notices_a_changed_byte(demo: Demo) -> None:
    demo.server_sides[1].digest.update(b"!")
    (line,) = demo.differences()
    assert line.startswith("client 1 ")
    assert "the server received" in line


def test_demo_notices_a_stranger_and_a_missing_client(demo: Demo) -> None:
    identity = demo.plans[2].identity
    demo.near.identities[identity._replace(l2=identity.l2._replace(vlans=()))] = 1
    del demo.server_sides[3]
    lines = demo.differences()
    assert len(lines) == 2
    assert "client 3" in lines[0]
    assert "nobody's" in lines[1]


def test_demo_with_a_difference_exits_1_and_says_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Demo.differences

    def differ(self: Any) -> list[str]:
        return [*plain(self), "client 1 was eaten"]

    monkeypatch.setattr(Demo, "differences", differ)
    assert main(["demo", "--clients", "3", "--bytes", "100", "--out", str(tmp_path)]) == 1
    assert "client 1 was eaten" in capsys.readouterr().out
