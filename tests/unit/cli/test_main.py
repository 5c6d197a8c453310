"""The command line as a whole: version, usage, one line for each error, exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import uinet
from uinet.cli import main
from uinet.cli.group import COMMANDS, group
from uinet.wire import build
from uinet.wire.pcap import PcapngWriter

SOURCE = Path(uinet.__file__).parents[1]


def uinet_command(*arguments: object, code: str = "import sys; from uinet.cli import main; sys.exit(main())",
                  stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=60,
        check=False, input=stdin, env={"PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
    )


def run_here(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, output and error output of one command line, in this process."""
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def one_line(text: str) -> bool:
    return text.endswith("\n") and text.count("\n") == 1


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A capture of two frames, one of them with VLAN tags."""
    writer = PcapngWriter()
    path = tmp_path / "two.pcapng"
    path.write_bytes(
        writer.header() + writer.interface("eth9")
        + writer.packet(build.arp_request("10.0.0.1", "10.0.0.2"), 1_500_000_000)
        + writer.packet(build.udp("10.0.0.1", "10.0.0.2", 5, 7, b"x", vlans=(100, 200)), 2_500_000_000)
    )
    return path


def test_version_says_which_build_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run_here(capsys, "--version")
    build_name = "compiled" if uinet.compiled() else "pure: interpreted, slow"
    assert (status, out) == (0, f"uinet {uinet.__version__} ({build_name})\n")


def test_version_needs_neither_click_nor_rich_and_the_rest_says_so() -> None:
    code = (
        "import sys; sys.modules['click'] = sys.modules['rich'] = None\n"
        "from uinet.cli import main; sys.exit(main())"
    )
    done = uinet_command("--version", code=code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("uinet ")
    for arguments in (["demo"], ["--help"], []):
        done = uinet_command(*arguments, code=code)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "uinet: the command line needs click and rich: pip install click rich\n"


def test_module_runs_as_a_script() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uinet.cli", "--version"], capture_output=True, text=True, timeout=60,
        check=False, env={"PYTHONPATH": str(SOURCE)},
    )
    assert done.returncode == 0
    assert done.stdout.startswith("uinet ")


def test_help_of_every_command() -> None:
    runner = CliRunner()
    overview = runner.invoke(group, ["--help"])
    assert overview.exit_code == 0
    for name in COMMANDS:
        assert name in overview.output
        result = runner.invoke(group, [name, "--help"])
        assert (result.exit_code, result.exception) == (0, None)
        assert f"uinet {name}" in result.output or f"group {name}" in result.output


def test_no_command_shows_help_and_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run_here(capsys)
    assert (status, out) == (2, "")
    assert "Commands:" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bogus"], "No such command 'bogus' (see uinet --help)"),
        (["--bogus"], "No such option"),
        (["demo", "--clients", "0"], "(see uinet demo --help)"),
        (["demo", "--clients", "many"], "is not a valid integer"),
        (["proxy", "memory:a"], "Missing argument 'SERVER_SIDE'"),
        (["proxy", "memory:a", "memory:a"], "both sides are the same device"),
        (["proxy", "bogus:a", "memory:b"], "bogus"),
        (["proxy", "nonsense", "memory:b"], "nonsense"),
        (["proxy", "memory:a", "memory:b", "--match", "port x"], "--match: match expression, column 6"),
        (["proxy", "memory:a", "memory:b", "--policy", "/no/such/file.py"], "/no/such/file.py: No such file"),
        (["proxy", "memory:a", "memory:b", "--stats", "--json"], "choose one"),
        (["proxy", "memory:a", "memory:b", "--drain", "-1"], "--drain"),
        (["proxy", "memory:a", "memory:b", "--per-flow"], "--per-flow needs --capture DIR"),
        (["proxy", "memory:a", "memory:b", "--capture", "x", "--maybe"], "--maybe and --flow-limit are of --per-flow"),
        (["proxy", "memory:a", "memory:b", "--capture", "x", "--per-flow", "--flow-limit", "much"], "is no size"),
        (["ping", "10.0.0.1"], "Missing option"),
        (["ping", "-d", "memory:a", "-a", "10.0.0.1/24", "example.com"], "not an IP address: 'example.com'"),
        (["ping", "-d", "memory:a", "-a", "10.0.0.1/99", "10.0.0.2"], "10.0.0.1/99"),
        (["ping", "-d", "memory:a", "-a", "10.0.0.1", "10.0.0.2"], "want 10.0.0.1/24 or the like"),
        (["ping", "-d", "memory:a", "-a", "fd00::1", "fd00::2"], "want fd00::1/64 or the like"),
        (["emulate", "tap:a"], "Missing argument 'B'"),
        (["emulate", "tap:a", "tap:b", "--rate", "fast"], "fast: want bits per second, like 64k, 10M or 1.5G"),
        (["emulate", "tap:a", "tap:b", "--rate", "0mbit"], "0mbit: want bits per second"),
        (["emulate", "tap:a", "tap:b", "--delay", "10"], "10: want a time with its unit"),
        (["emulate", "tap:a", "tap:b", "--loss", "1%,2%,3%"], "want one value, or two with a comma between them"),
        (["emulate", "tap:a", "tap:b", "--loss", "101%"], "want a probability from 0 to 1"),
        (["emulate", "tap:a", "tap:b", "--burst", "0.5"], "0.5: want a number of 1 or more"),
        (["emulate", "tap:a", "tap:b", "--queue", "0"], "0: want an integer of 1 or more"),
        (["emulate", "tape:a", "tap:b"], "no device is called 'tape'"),
        (["nc", "-d", "memory:a", "-a", "10.0.0.1/24", "10.0.0.2"], "want IP PORT"),
        (["nc", "-d", "memory:a", "-a", "10.0.0.1/24", "10.0.0.2", "0"], "a port is 1 to 65535, not '0'"),
        (["nc", "-d", "memory:a", "-a", "10.0.0.1/24", "10.0.0.2", "http"], "a port is 1 to 65535"),
        (["nc", "-l", "-d", "memory:a", "-a", "10.0.0.1/24", "1", "2", "3"], "want [IP] PORT with -l"),
        (["serve", "-d", "memory:a", "-a", "10.0.0.1/24", "/no/such/folder"], "does not exist"),
        (["show"], "Missing argument 'PATH'"),
        (["listen", "packet:none0", "10.0.0.0/8", "--log-rate", "nan"], "'nan' is not a number"),
    ],
)
def test_usage_error_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    status, out, err = run_here(capsys, *arguments)
    assert (status, out) == (2, "")
    assert one_line(err), err
    assert err.startswith("uinet")
    assert says in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["proxy", "packet:nosuchif0", "memory:b"], "nosuchif0"),
        (["ping", "-d", "packet:nosuchif0", "-a", "10.0.0.1/24", "10.0.0.2"], "nosuchif0"),
        (["show", "/no/such/file.pcap"], "/no/such/file.pcap: No such file or directory"),
        (["show", "/"], "Is a directory"),
        (["demo", "--out", "/dev/null/x"], "/dev/null"),
    ],
)
def test_failure_is_one_line_and_status_1(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    status, out, err = run_here(capsys, *arguments)
    assert (status, out) == (1, "")
    assert one_line(err), err
    assert says in err


def test_policy_with_a_syntax_error_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "policy.py"
    path.write_text("def decide(syn)\n")
    status, _, err = run_here(capsys, "proxy", "memory:a", "memory:b", "--policy", path)
    assert status == 2
    assert err == f"uinet: {path}:1: expected ':'\n"


def test_bug_in_a_command_is_one_line_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, capture: Path
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("uinet.cli.show.describe", broken)
    status, _, err = run_here(capsys, "show", capture)
    assert status == 1
    assert err == "uinet: internal error: ZeroDivisionError: oops (UINET_DEBUG=1 shows where)\n"
    monkeypatch.setenv("UINET_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["show", str(capture)])


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (KeyboardInterrupt(), 130, "\n"),
        (uinet.DeviceGone("eth0 was deleted"), 1, "uinet: eth0 was deleted\n"),
        (uinet.PermissionDenied("needs CAP_NET_RAW"), 1, "uinet: needs CAP_NET_RAW\n"),
        (uinet.AddressError("not an address: x"), 2, "uinet: not an address: x\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "uinet: /x: Permission denied\n"),
    ],
)
def test_error_of_a_command_has_its_status_and_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, capture: Path, error: BaseException,
    status: int, says: str,
) -> None:
    def broken(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("uinet.cli.show.describe", broken)
    assert run_here(capsys, "show", capture) == (status, "", says)


# uinet show


def test_show_prints_a_line_a_frame(capsys: pytest.CaptureFixture[str], capture: Path) -> None:
    status, out, err = run_here(capsys, "show", capture)
    assert (status, err) == (0, "")
    first, second = out.splitlines()
    assert first.startswith("00:00:01.5")
    assert "10.0.0.2" in first
    assert "vlan 100" in second
    assert "vlan 200" in second


def test_show_options(capsys: pytest.CaptureFixture[str], capture: Path) -> None:
    assert len(run_here(capsys, "show", "-c", 1, capture)[1].splitlines()) == 1
    assert run_here(capsys, "show", "-r", capture)[1].splitlines()[1].startswith("1.000000 ")
    assert "02:00:00:00:00:01 > " in run_here(capsys, "show", "-e", capture)[1]
    _, out, _ = run_here(capsys, "show", "--json", capture)
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["number"] for record in records] == [1, 2]
    assert records[1]["time"] == 2.5
    assert records[0]["interface"] == "eth9"


def test_show_names_the_interface_where_there_are_several(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    writer = PcapngWriter()
    frame = build.arp_request("10.0.0.1", "10.0.0.2")
    path = tmp_path / "two-sides.pcapng"
    path.write_bytes(
        writer.header() + writer.interface("left") + writer.interface("right")
        + writer.packet(frame, 1_000_000_000, 0) + writer.packet(frame, 1_000_000_000, 1)
    )
    left, right = run_here(capsys, "show", "-r", path)[1].splitlines()
    assert left.startswith("0.000000 left ARP, ")
    assert right.startswith("0.000000 right ARP, ")
    _, out, _ = run_here(capsys, "show", "--json", path)
    assert [json.loads(line)["frame"][:4] for line in out.splitlines()] == ["ARP,", "ARP,"]


def test_show_reads_standard_input(capture: Path) -> None:
    code = (
        "import sys; sys.stdin = open(sys.argv.pop(1)); "
        "from uinet.cli import main; sys.exit(main(['show', '-']))"
    )
    done = uinet_command(capture, code=code)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)


def test_show_of_a_damaged_capture_shows_what_is_whole_and_fails(
    capsys: pytest.CaptureFixture[str], capture: Path
) -> None:
    capture.write_bytes(capture.read_bytes()[:-5])
    status, out, err = run_here(capsys, "show", capture)
    assert status == 1
    assert len(out.splitlines()) == 1
    assert one_line(err)
    assert str(capture) in err
    capture.write_bytes(b"not a capture at all")
    status, out, err = run_here(capsys, "show", capture)
    assert (status, out) == (1, "")
    assert one_line(err)


def test_show_into_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    writer = PcapngWriter()
    frame = build.udp("10.0.0.1", "10.0.0.2", 5, 7, bytes(100))
    path = tmp_path / "many.pcapng"
    path.write_bytes(writer.header() + writer.interface() + writer.packet(frame, 0) * 5000)
    code = "import sys; from uinet.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "show", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={"PYTHONPATH": str(SOURCE)},
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 1
