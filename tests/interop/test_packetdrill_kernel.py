"""The kernel backend of `uinet pkt`: the same scripts, run against this host's kernel."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.netns import before_all_others, require
from tests.unit.sim.packetdrill.scripts import SERVER
from uinet.sim.packetdrill import FAIL, PASS, SKIP, Result, run

pytestmark = [pytest.mark.interop, pytest.mark.timeout(60)]

SCRIPTS = Path(__file__).parent.parent / "scripts"
SHARED = [  # of our own scripts: what Linux does the same way
    "handshake/closed-port.pkt",
    "handshake/passive-open.pkt",
    "close/our-fin-first.pkt",
    "close/unread-data-resets.pkt",
    "close/blind-reset.pkt",
    "data/nagle.pkt",
    "options/paws.pkt",
    "recovery/fast-retransmit.pkt",
]


@pytest.fixture(autouse=True)
def _on_time() -> Iterator[None]:
    """What a script expects is expected at its time, to within milliseconds."""
    require()
    with before_all_others():
        yield


def told(result: Result) -> str:
    return "\n".join([*result.record[-40:], str(result), result.expected, result.found])


@pytest.mark.parametrize("name", SHARED)
def test_a_kernel_passes_what_our_stack_passes(name: str) -> None:
    result = run(SCRIPTS / name, backend="kernel", leftovers=False)
    assert result.verdict == PASS, told(result)


def test_over_ipv6() -> None:
    result = run(SERVER, backend="kernel", ip_version="ipv6", leftovers=False)
    assert result.verdict == PASS, told(result)


def test_a_segment_larger_than_the_link_arrives() -> None:
    result = run(
        SERVER + "+0 < P. 1:5001(5000) ack 1 win 257\n+.05 ioctl(4, SIOCINQ, [5000]) = 0\n+0 read(4, ..., 9000) = 5000",
        backend="kernel", leftovers=False,
    )
    assert result.verdict == PASS, told(result)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("+0 > P. 1:12(11) ack 1", "length is 10, not 11"),
        ("+0 > P. 1:11(10) ack 2", "ACK number is 1, not 2"),
        ("+0 > . 1:11(10) ack 1 <nop,nop,sack 1:2>", "option"),
        ("+0 write(4, ..., 10) = 11", "returns 10, not 11"),
    ],
)
def test_a_wrong_script_fails(line: str, reason: str) -> None:
    result = run(SERVER + "+0 write(4, ..., 10) = 10\n" + line + "\n", backend="kernel", leftovers=False)
    assert result.verdict == FAIL, told(result)
    assert reason in result.reason


def test_a_packet_that_never_comes_fails() -> None:
    result = run(SERVER + "+0 > P. 1:11(10) ack 1\n", backend="kernel", leftovers=False)
    assert result.verdict == FAIL
    assert "nothing is sent" in result.reason


def test_a_call_that_is_not_there_skips() -> None:
    result = run(SERVER + "+0 fork() = 0\n", backend="kernel")
    assert result.verdict == SKIP


def test_the_host_is_left_alone() -> None:
    home = os.readlink("/proc/thread-self/ns/net")
    links = socket.if_nameindex()
    files = len(os.listdir("/proc/self/fd"))
    run(SERVER, backend="kernel")
    run(SERVER + "+0 fork() = 0\n", backend="kernel")
    run(SERVER + "+0 read(9, ..., 1) = 1\n", backend="kernel")
    assert os.readlink("/proc/thread-self/ns/net") == home
    assert socket.if_nameindex() == links
    assert len(os.listdir("/proc/self/fd")) == files
