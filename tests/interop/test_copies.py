"""Copies of flows, with other people's programs: curl through the proxy, and tshark reads each connection's file."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.interop.netns import require
from tests.interop.test_proxy_hosts import CLIENT, CLIENT6, SERVER, SERVER6, lab
from uinet.link.flow_files import RETRY
from uinet.units import SECOND

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

PAGE = b"<p>hello</p>\n"
ON = ("1", "True")  # what versions of tshark call a flag that is set


def tshark(path: Path, *options: str) -> list[str]:
    """The lines that tshark prints of a capture."""
    done = subprocess.run(["tshark", "-n", "-r", str(path), *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "cut short" not in done.stderr and "damaged" not in done.stderr, done.stderr
    return [line for line in done.stdout.splitlines() if line]


def fields(path: Path, *names: str) -> list[tuple[str, ...]]:
    """Fields of each frame, checksums verified."""
    options = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-T", "fields"]
    lines = tshark(path, *options, *(word for name in names for word in ("-e", name)))
    return [tuple(line.split("\t")) for line in lines]


@pytest.mark.parametrize("vids", [(), (100, 200)], ids=["untagged", "two-tags"])
def test_each_file_is_one_whole_conversation_to_tshark(tmp_path: Path, vids: tuple[int, ...]) -> None:
    require("tshark")
    with lab(tmp_path, vids) as made:
        for side in (made.client, made.server):  # no probes for what is only late: they would be in the files
            side.run("sysctl -qw net.ipv4.tcp_early_retrans=0")
        captures = tmp_path / "captures"
        with made.proxy("--capture", str(captures), "--per-flow"):
            for url in (f"http://{SERVER}/", f"http://[{SERVER6}]/", f"http://{SERVER}/none"):
                assert made.curl(url).returncode == 0
            assert made.curl(f"http://{SERVER}:81/").returncode == 7, "refused"
        records = made.records()
        assert [record["outcome"] for record in records] == ["closed"] * 3 + ["refused"]  # as they were opened
        *whole_ones, refusal = records
        files = {int(path.name[:8]): path for path in captures.iterdir()}
        named = {serial for record in records for side in ("client", "server")
                 if (serial := record[side]["serialno"])}  # type: ignore[index]
        assert files.keys() == named, "every file is a flow of a record, and every flow has one"
        for record in whole_ones:
            for side in ("client", "server"):
                whole(files[record[side]["serialno"]], vids)  # type: ignore[index]
        refused = files[refusal["server"]["serialno"]]  # type: ignore[index]
        assert [(syn in ON, reset in ON) for syn, reset in fields(refused, "tcp.flags.syn", "tcp.flags.reset")] == [
            (True, False), (False, True)
        ]


def whole(path: Path, vids: tuple[int, ...]) -> None:
    """One connection, from SYN to the FINs of both, nothing missing, and the page that curl got."""
    rows = fields(path, "tcp.stream", "tcp.flags.syn", "tcp.flags.fin", "tcp.checksum.status", "vlan.id", "ip.src",
                  "ipv6.src", "tcp.analysis.flags")
    assert {row[0] for row in rows} == {"0"}, "one conversation"
    syns = [row for row in rows if row[1] in ON]
    fins = [row for row in rows if row[2] in ON]
    assert len(syns) == 2 and rows[:2] == syns
    assert len(fins) == 2
    assert {row[3] for row in rows} == {"1"}, "tshark finds every checksum right"
    assert {row[4] for row in rows} == {str(vid) for vid in vids[-1:]} or not vids  # the outer one is an 802.1ad tag
    assert {row[5] or row[6] for row in rows} in ({CLIENT, SERVER}, {CLIENT6, SERVER6})
    assert {row[7] for row in rows} == {""}, "nothing lost, nothing out of order"
    text = "\n".join(tshark(path, "-q", "-z", "follow,tcp,ascii,0"))
    assert "GET /" in text
    assert "HTTP/1.1 404" in text or PAGE.decode() in text


def test_a_disk_that_is_full_costs_packets_and_one_line_not_the_traffic(tmp_path: Path) -> None:
    """One line each time that it is: what was left of a flow when it ended may find room again."""
    require("tshark", "mount")
    with lab(tmp_path) as made:
        captures = tmp_path / "captures"
        captures.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(captures)], check=True)
        try:
            begin = time.monotonic()
            with made.proxy("--capture", str(captures), "--per-flow"):
                done = made.curl(f"http://{SERVER}/big")
                assert len(done.stdout) == 100 << 20
                assert made.curl(f"http://{SERVER}/").stdout == PAGE
            took = time.monotonic() - begin
            said = (tmp_path / "proxy.err").read_text()
            told = re.findall(r"No space left|flows are written again", said)
            both = ["No space left", "flows are written again"]
            assert told == (both * len(told))[: len(told)] and told, said
            assert told.count("No space left") <= 1 + took * SECOND / RETRY
            assert list(captures.iterdir())
            for path in captures.iterdir():
                assert tshark(path, "-T", "fields", "-e", "frame.number"), path
        finally:
            subprocess.run(["umount", str(captures)], check=True)
