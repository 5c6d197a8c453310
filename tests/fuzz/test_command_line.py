"""The command line against its users: numbers that are none, closed streams, lost permissions, devices that vanish."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import uinet
from uinet.cli import main
from uinet.wire import build
from uinet.wire.pcap import PcapngWriter, PcapWriter

HOST = ["-d", "memory:m", "-a", "10.0.0.1/24"]
LIBRARY = str(Path(uinet.__file__).parents[1])
# what may be imported later, when another user may not look there any more, is imported before
AS_NOBODY = """
import os, sys, difflib, encodings.idna, rich.live
import uinet.cli.group, uinet.cli.ping, uinet.cli.proxy, uinet.cli.show
os.setgroups([])
os.setuid(65534)
sys.exit(uinet.cli.main(sys.argv[1:]))
"""


def run(shell: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": LIBRARY, "UINET": f"{sys.executable} -m uinet.cli"}
    return subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60, env=environment)


@pytest.mark.parametrize("arguments", [
    ["nc", *HOST, "-w", "nan", "10.0.0.2", "80"],
    ["nc", *HOST, "-w", "inf", "10.0.0.2", "80"],
    ["ping", *HOST, "-i", "nan", "10.0.0.2"],
    ["ping", *HOST, "-W", "nan", "10.0.0.2"],
    ["proxy", "memory:a", "memory:b", "--drain", "nan"],
    ["proxy", "memory:a", "memory:b", "--connect-timeout", "1e300"],
])
def test_what_is_no_number_of_seconds_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("shell", ["$UINET --version >&-", "$UINET --help >&-", "$UINET show - <&- >&-"])
def test_closed_standard_streams_are_the_null_device(shell: str) -> None:
    done = run(shell)
    assert "internal error" not in done.stderr and "Traceback" not in done.stderr
    assert done.returncode == (1 if "show" in shell else 0)


@pytest.mark.parametrize("arguments", ["--version", "--help"])
def test_output_that_can_not_be_written_is_one_line_and_a_failure(arguments: str) -> None:
    done = run(f"$UINET {arguments} >/dev/full")
    assert (done.returncode, done.stderr) == (1, "uinet: No space left on device\n")


def test_a_reader_that_has_read_enough_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(capture(False, 5000))
    done = run(f"$UINET show {path} | head -1")
    assert (done.stderr, len(done.stdout.splitlines())) == ("", 1)


def capture(next_generation: bool, count: int = 3) -> bytes:
    writer = PcapngWriter() if next_generation else PcapWriter()
    data = writer.header()
    if isinstance(writer, PcapngWriter):
        data += writer.interface("eth0")
    for number in range(count):
        frame = build.udp("10.0.0.1", "10.0.0.2", number, 53, b"x")
        data += writer.packet(frame, number)
    return data


@pytest.mark.parametrize("next_generation", [False, True])
def test_a_capture_cut_anywhere_shows_what_is_whole_and_says_so(
    next_generation: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = capture(next_generation)
    path = tmp_path / "cut.pcap"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        status = main(["show", str(path)])
        said = capsys.readouterr()
        assert "internal error" not in said.err
        assert (status, len(said.err.splitlines())) in ((0, 0), (1, 1))
        assert len(said.out.splitlines()) < 3


@pytest.mark.parametrize("next_generation", [False, True])
def test_a_capture_with_a_wrong_byte_anywhere_is_shown_or_refused(
    next_generation: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = capture(next_generation, 2)
    path = tmp_path / "wrong.pcap"
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        status = main(["show", str(path)])
        said = capsys.readouterr()
        assert "internal error" not in said.err
        assert (status, len(said.err.splitlines())) in ((0, 0), (1, 1))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_without_permission_the_message_says_which_and_how_to_get_it() -> None:
    for device, capability in (("tap:uinetx0", "CAP_NET_ADMIN"), ("packet:lo", "CAP_NET_RAW")):
        arguments = ["ping", "-d", device, "-a", "10.0.0.1/24", "-c", "1", "10.0.0.2"]
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, *arguments], capture_output=True, text=True, timeout=60,
            env={**os.environ, "PYTHONPATH": LIBRARY},
        )
        assert done.returncode == 1
        assert capability in done.stderr or "/dev/net/tun" in done.stderr
        assert len(done.stderr.splitlines()) == 1 and "internal error" not in done.stderr


@pytest.mark.interop
@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/net/tun"), reason="needs root and /dev/net/tun")
def test_a_device_that_vanishes_ends_the_program_with_one_line() -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "uinet.cli", "ping", "-d", "tap:uinetgone", "-a", "10.3.0.1/24", "10.3.0.2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": LIBRARY},
    )
    try:
        assert program.stdout is not None and program.stdout.readline().startswith("seq=1: ")  # nobody has answered
        subprocess.run(["ip", "link", "del", "uinetgone"], check=True, timeout=30)
        _, said = program.communicate(timeout=30)
    finally:
        program.kill()
    assert program.returncode == 1
    assert len(said.splitlines()) == 1 and "uinetgone" in said


def test_a_stream_longer_than_files_can_be_does_not_end_those_of_others(tmp_path: Path) -> None:
    """A hole of a gigabyte costs a packet; a limit of 100 KiB stands for that of file systems."""
    writer = PcapWriter()
    frames = []
    for port in (1000, 1001):
        frames.append(build.tcp("10.0.0.1", "10.0.0.2", port, 80, "S", 9))
        frames.append(build.tcp("10.0.0.2", "10.0.0.1", 80, port, "SA", 99, 10))
    frames.append(build.tcp("10.0.0.1", "10.0.0.2", 1000, 80, "A", 200_000, 100, payload=b"far"))
    frames.append(build.tcp("10.0.0.2", "10.0.0.1", 80, 1000, "A", 100, 200_003))
    times = [10**18 + number for number in range(len(frames))]
    frames.append(build.tcp("10.0.0.1", "10.0.0.2", 1001, 80, "A", 10, 100, payload=b"near"))
    times.append(10**18 + 10**10)
    capture = writer.header() + b"".join(map(writer.packet, frames, times))
    (tmp_path / "x.pcap").write_bytes(capture)
    done = run(f"cd {tmp_path}; ulimit -f 100; $UINET follow -q -o out x.pcap >/dev/null")
    far, near = (f"10.0.0.1.{port}-10.0.0.2.80.client" for port in (1000, 1001))
    assert (done.returncode, done.stderr) == (1, f"uinet: out/{far}: File too large\n")
    assert (tmp_path / "out" / near).read_bytes() == b"near"
