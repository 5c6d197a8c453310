"""Options, personas, symbols, files: how a script is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.sim.packetdrill.scripts import CLIENT, SERVER, fails, passes
from uinet.errors import InvalidArgument
from uinet.sim.packetdrill import FAIL, PASS, SKIP, Result, find, run, run_many


@pytest.mark.parametrize(("option", "reason"), [
    ("--mtu=1400", "option is mss 1360"),
    ("--no_such_option", "--no_such_option is no option"),
    ("--mtu=abc", "want a number"),
    ("--ip_version=ipv5", "want one of"),
    ("--local_ip=1.2.3", "1.2.3"),
    ("--local_ip=1.2.3.4 --remote_ip=fd00::1", "different families"),
])
def test_options_that_change_the_verdict(option: str, reason: str) -> None:
    fails(option + SERVER, reason)


def test_options_that_are_taken() -> None:
    passes("--local_ip=10.1.1.1 --remote_ip=10.2.2.2/24 --bind_port=99 --tolerance_percent=5 --verbose" + SERVER)
    passes('--remote_ip="10.2.2.2"' + CLIENT)
    passes("--mtu=1400" + SERVER.replace("mss 1460", "mss 1360"))
    assert run("--udp_encapsulation=tcp" + SERVER).verdict == SKIP


def test_options_are_wrong_where_they_stand() -> None:
    assert fails("\n--mtu=1400\n--mtu=x" + SERVER, "want a number").line == 3


def test_symbols_of_the_caller_and_of_the_persona() -> None:
    script = SERVER + "#ifdef MINE\n+0 close(4) = 5\n#endif\n#ifdef FreeBSD\n+0 close(4) = 6\n#endif\n"
    passes(script)
    fails(script, "close() returns 0, not 5", defines={"MINE": "1"})
    fails(script, "close() returns 0, not 6", persona="freebsd")


def test_persona_linux_acknowledges_at_once_and_tells_twice_the_buffer() -> None:
    passes(SERVER + "+0 < P. 1:11(10) ack 1 win 257\n+0 > . 1:1(0) ack 11\n", persona="linux")
    script = SERVER + "+0 setsockopt(4, SOL_SOCKET, SO_RCVBUF, [4096], 4) = 0\n"
    script += "+0 getsockopt(4, SOL_SOCKET, SO_RCVBUF, [{}], [4]) = 0\n"
    passes(script.format(8192), persona="linux")
    fails(script.format(4096), "SO_RCVBUF is 8192", persona="linux")
    passes(script.format(1))  # without a persona no size is compared


def test_persona_freebsd_rounds_the_buffer_up() -> None:
    script = """
    0  socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
    +0 getsockopt(3, SOL_SOCKET, SO_RCVBUF, [65536], [4]) = 0
    +0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
    +0 > S 0:0(0) win 65535 <mss 1460,nop,wscale 6,sackOK,TS val 100 ecr 0>
    +.1 < S. 0:0(0) ack 1 win 32767 <mss 1460,sackOK,eol,eol>
    +0 > . 1:1(0) ack 1 win 65535
    +0 getsockopt(3, SOL_SOCKET, SO_RCVBUF, [{}], [4]) = 0
    """
    passes(script.format(65700), persona="freebsd")
    fails(script.format(65536), "SO_RCVBUF is 65700", persona="freebsd")


def test_persona_rfc_waits_a_second_at_least() -> None:
    passes(SERVER + "+0 %{ assert tcpi_rto >= 1000000 }%", persona="rfc")
    passes(SERVER + "+0 %{ assert tcpi_rto == 300000 }%")


def test_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.pkt").write_text(SERVER)
    (tmp_path / "sub" / "a.pkt").write_text(SERVER + "+0 close(4) = 1\n")
    (tmp_path / "sub" / "c.pkt").write_bytes(b"\xff\xfe nonsense")
    (tmp_path / "sub" / "other.txt").write_text("")
    assert [path.name for path in find([tmp_path])] == ["b.pkt", "a.pkt", "c.pkt"]
    results = run_many([tmp_path], persona="linux")
    assert [result.verdict for result in results] == [PASS, FAIL, FAIL]
    assert results[1].path == str(tmp_path / "sub" / "a.pkt")
    assert (results[1].line, results[2].line) == (10, 1)


def test_arguments_that_are_not_valid() -> None:
    for options in ({"persona": "plan9"}, {"backend": "moon"}, {"defines": {"TFO_COOKIE": "x"}}):
        with pytest.raises(InvalidArgument):
            run(SERVER, **options)
    with pytest.raises(FileNotFoundError):
        run(Path("/no/such/file.pkt"))


def test_a_run_is_the_same_every_time() -> None:
    assert passes(CLIENT).record == passes(CLIENT).record


def test_results_print_and_go_to_json() -> None:
    result = fails(SERVER + "+0 close(4) = 1\n", "close()")
    assert str(result) == "FAIL <text> (line 10: close() returns 0, not 1)"
    assert Result(**result.as_dict()) == result
    assert str(passes(SERVER)) == "PASS <text>"
    skipped = run(SERVER + "+0 fork() = 0\n")
    assert str(skipped) == "SKIP <text> (line 10: the system call fork())"
