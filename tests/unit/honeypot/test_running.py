"""The whole program on a device: frames through the gate, records through the journal."""

from __future__ import annotations

import errno
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import uinet
from uinet.cli import main
from uinet.driver import Driver
from uinet.errors import InvalidArgument
from uinet.honeypot.engine import Options
from uinet.honeypot.journal import SECOND, Journal
from uinet.honeypot.lures import answer_to, parse_banner, unescape
from uinet.honeypot.running import Gate, Running
from uinet.honeypot.tables import tables
from uinet.honeypot.watch import Watch
from uinet.link.memory import MemoryDevice
from uinet.wire.build import udp
from uinet.wire.frame import Frame


@pytest.mark.parametrize("layer", [2, 3])
def test_visitor_of_a_device_is_in_the_log(tmp_path: Path, layer: int) -> None:
    ours, theirs = MemoryDevice.pair(layer=layer)
    log = tmp_path / "log"
    journal = Journal(str(log), 100, 0)
    running = Running(ours, ["10.66.0.0/16"], Options(), journal, seed=b"x")
    client = uinet.Stack(b"client")
    eth0 = client.add_interface("eth0", layer=layer)
    eth0.add_address("10.66.255.254/16")
    with Driver(client) as driver:
        driver.add_device(theirs, eth0)
        sock = client.connect(("10.66.1.2", 22))

        def move(until: Any) -> None:
            for _ in range(10000):
                if until():
                    return
                driver.run_once(0.001)
                running.driver.run_once(0.0)
            pytest.fail("nothing has come of it")

        move(lambda: sock.readable)
        assert sock.recv(100).startswith(b"SSH-2.0-")
        sock.send(b"hello")
        sock.close()
        move(lambda: not running.honeypot.visits)
        found = tables(running)
        assert found["honeypot"].help
        running.close()
        journal.close()
    (visit,) = (one for one in map(json.loads, log.read_text().splitlines()) if one["event"] == "connection")
    assert visit["first"]["text"] == "hello" and visit["close"] == "fin"
    assert ("mac" in visit) == (layer == 2) and visit["fingerprint"]["p0f"].startswith("4:64:0:")


def test_gate_goes_on_behind_frames_for_others() -> None:
    ours, theirs = MemoryDevice.pair(queue=4096)
    gate = Gate(ours, Watch(["10.66.0.0/16"]), clock=lambda: 5)
    told: list[int] = []
    gate.on_readable = lambda: told.append(1)
    other, wanted = Frame(udp("1.2.3.4", "10.1.1.1", 1, 2, b"x")), Frame(udp("1.2.3.4", "10.66.1.1", 1, 2, b"x"))
    theirs.send([other] * 100 + [wanted])
    assert gate.recv(64) == [wanted]
    theirs.send([other] * 2000)
    told.clear()
    assert gate.recv(64) == [] and told  # there is more, and nobody else would say so
    assert gate.watch.elsewhere == 100 + 8 * 64


def test_journal_keeps_its_rate_and_tells_what_it_left_out(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "log"), 10, 0)
    assert [journal.write({"n": n}, SECOND) for n in range(30)].count(True) == 20
    assert [journal.write({"n": n}, 2 * SECOND) for n in range(30)].count(True) == 10
    journal.close()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert lines[-1] == {"event": "suppressed", "lines": 30} and len(lines) == 31


def test_journal_is_opened_anew(tmp_path: Path) -> None:
    log = tmp_path / "log"
    journal = Journal(str(log), 10, 0)
    journal.write({"n": 1}, 1)
    journal.flush()
    log.rename(tmp_path / "old")
    journal.reopen()
    journal.write({"n": 2}, 1)
    journal.close()
    assert (tmp_path / "old").read_text() == '{"n":1}\n' and log.read_text() == '{"n":2}\n'


def test_full_disk_does_not_end_the_service(tmp_path: Path) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    journal = Journal(str(tmp_path / "log"), 10, 0)
    journal.file.close()
    journal.file = Full()
    assert not journal.write({"n": 1}, 1)
    assert journal.failed == "No space left on device" and journal.suppressed == 1
    journal.file = io.StringIO()
    assert journal.write({"n": 2}, 1) and journal.failed == ""


def test_log_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="name a file"):
        Journal(str(tmp_path / "no" / "log"), 10, 0)


def test_standard_output_stays_open() -> None:
    journal = Journal(None, 10, 0)
    journal.close()
    assert not sys.stdout.closed


def test_banners() -> None:
    assert parse_banner(r"22=SSH-2.0-x\r\n") == (22, b"SSH-2.0-x\r\n") and parse_banner("80=") == (80, b"")
    assert unescape(r"a\x41\\\t\0é") == b"aA\\\t\0\xc3\xa9"
    for text in ("22", "x=y", "0=x", "70000=x", r"22=\q", r"22=\x4", "22=\\", r"22=\xzz"):
        with pytest.raises(InvalidArgument):
            parse_banner(text)


def test_answers_to_http_wait_for_the_whole_head() -> None:
    assert answer_to(b"GET / HTTP/1.1\r\nHost: x\r\n") == b"" and answer_to(b"hello\r\n\r\n") == b""
    page, head = answer_to(b"GET / HTTP/1.0\r\n\r\n"), answer_to(b"HEAD / HTTP/1.0\r\n\r\n")
    assert page.startswith(head) and page.endswith(b"</html>\n")
    assert f"Content-Length: {len(page) - len(head)}\r\n".encode() in head


@pytest.mark.parametrize(("arguments", "says"), [
    (["memory:x", "10.0.0.1/8"], "want 10.0.0.0/8"),
    (["memory:x", "nonsense"], "not an IP address"),
    (["memory:x", "10.0.0.0/8", "--banner", "x"], "want PORT=TEXT"),
    (["nothing:x", "10.0.0.0/8"], "no device is called"),
    (["memory:x"], "Missing argument"),
])
def test_usage_errors_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    assert main(["listen", *arguments]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
