"""Times, blocking calls, what is left over, invariants and snippets: what a run does with its events."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.sim.packetdrill.scripts import CLIENT, SERVER, fails, passes
from uinet.sim.packetdrill import SKIP, run


def test_absolute_times_and_relative_ones() -> None:
    passes("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n1.5 close(3) = 0\n")
    fails("1 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n0.5 close(3) = 0\n", "the event is at")


def test_tolerance_is_the_script_s() -> None:
    late = SERVER + "+0 write(4, ..., 10) = 10\n+{wait} > P. 1:11(10) ack 1\n"
    passes(late.format(wait=".003"))
    fails(late.format(wait=".005"), "tolerance 0.004")
    passes("--tolerance_usecs=5000\n" + late.format(wait=".005"))


def test_retransmission_is_where_the_timer_puts_it() -> None:
    lost = SERVER + "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n+{first} > P. 1:11(10) ack 1\n"
    passes(lost.format(first="0~+1"))
    fails(lost.format(first="2"), "the packet is at")


def test_time_goes_on_with_the_packets_of_both_sides() -> None:
    """Packets of the peer one after the other count from the last one's time, whatever was late in between."""
    passes(SERVER + """
    +.1 < . 1:1001(1000) ack 1 win 257
    +.1 < . 1001:2001(1000) ack 1 win 257
    +0  > . 1:1(0) ack 2001
    """)


# blocking


def test_blocking_accept_returns_when_there_is_a_connection() -> None:
    script = SERVER.replace("+0  accept(3, ..., ...) = 4\n", "").replace(
        "+0  listen(3, 1) = 0\n", "+0  listen(3, 1) = 0\n+0...{end} accept(3, ..., ...) = 4\n"
    )
    passes(script.format(end="0.1"))
    fails(script.format(end="0.2"), "accept() returns at 0.100000")
    fails(SERVER + "+0 accept(3, ..., ...) = 5\n", "accept() blocks")


def test_blocking_read_and_write() -> None:
    read = SERVER + "+0...0.1 read(4, ..., 100) = {count}\n+.1 < P. 1:11(10) ack 1 win 257\n+0 > . 1:1(0) ack 11\n"
    passes(read.format(count=10))
    fails(read.format(count=100), "read() returns 10, not 100")
    write = SERVER + """
    +0 setsockopt(4, SOL_SOCKET, SO_SNDBUF, [4000], 4) = 0
    +0...{end} write(4, ..., 8000) = 8000
    +0 > . 1:4001(4000) ack 1
    +.1 < . 1:1(0) ack 4001 win 257
    +0 > P. 4001:8001(4000) ack 1
    """
    passes(write.format(end="0.1"))
    fails(write.format(end="0.2"), "write() returns at 0.2")
    fails(write.format(end="0.1").replace("+0...0.1 write", "+0 write"), "write() blocks")


def test_blocking_connect() -> None:
    connect = """
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +.1...{end} connect(3, ..., ...) = {result}
    +0 > S 0:0(0) <...>
    +.1 < {answer}
    """
    passes(connect.format(end="0.2", result="0", answer="S. 0:0(0) ack 1 win 100 <mss 1460>"))
    passes(connect.format(end="0.2", result="-1 ECONNREFUSED (Connection refused)", answer="R. 0:0(0) ack 1 win 0"))
    fails(connect.format(end="0.2", result="0", answer="R. 0:0(0) ack 1 win 0"), "connect() returns -1 ECONNREFUSED")
    fails(connect.format(end="0.2", result="0", answer=". 0:0(0) ack 0 win 0"), "connect() does not return")


def test_a_second_call_waits_for_the_first() -> None:
    passes(SERVER + """
    +0...0.1 read(4, ..., 10) = 10
    +.1 < P. 1:21(20) ack 1 win 257
    +0 > . 1:1(0) ack 21
    +0 read(4, ..., 10) = 10
    """)


# what is left over


def test_packets_that_the_script_does_not_expect_are_wrong() -> None:
    script = SERVER + "+0 write(4, ..., 10) = 10\n+.1 close(4) = 0\n"
    fails(script, "1 packets were sent that the script does not expect")
    passes(script, leftovers=False)
    passes(SERVER + "+0 write(4, ..., 10) = 10\n")  # what the last event sends is nobody's business


def test_whatever_is_left_open_ends() -> None:
    passes(SERVER)
    passes("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n"
           "+0 < S 0:0(0) win 100 <mss 1000>\n+0 > S. 0:0(0) ack 1 <mss 1460>\n")


# snippets


def test_snippets_assert_over_tcp_info() -> None:
    code = SERVER + "+0 %{{ assert {what} }}%\n"
    for right in ("tcpi_state == TCP_ESTABLISHED", "tcpi_snd_mss == 1000, 'mss'", "tcpi_options == TCPI_OPT_SACK | 4"):
        passes(code.format(what=right))
    failed = fails(code.format(what="tcpi_unacked == 5, 'why'"), "assertion failed (why)")
    assert failed.found == "tcpi_unacked=0"
    fails(code.format(what="nothing_of_the_kind"), "NameError")
    fails(code.format(what="1 ==").replace("assert", ""), "SyntaxError")
    assert run(code.format(what="tcpi_no_such_field == 1")).verdict == SKIP


def test_snippets_share_names_and_may_have_several_lines() -> None:
    passes(SERVER + """
    +0 %{
    before = tcpi_snd_cwnd
    if before > 3:
        grown = before
    }%
    +0 %{ assert grown == tcpi_snd_cwnd }%
    +0 %{ assert 1; \\
    }%
    """)


def test_a_snippet_that_exits_does_not_end_the_process() -> None:
    fails(SERVER + "+0 %{ import sys; sys.exit(3) }%\n", "exits with 3")


# commands


@pytest.mark.parametrize("command", [
    "sysctl -q net.ipv4.tcp_timestamps=0", "sysctl -w net.inet.tcp.rfc1323=2", "../common/defaults.sh",
    "../common/set_sysctls.py /proc/sys/net/ipv4/tcp_timestamps=0", "ip tcp_metrics flush all > /dev/null 2>&1",
    "tc qdisc replace dev tun0 root fq", "ethtool -K tun0 tso off gso off",
    "echo 3 > /sys/module/tcp_cubic/parameters/hystart_detect", "sysctl -w net.inet.tcp.insecure_syn=1",
])
def test_commands_that_mean_something(command: str) -> None:
    passes(f"`{command}`\n{SERVER}")


def test_sysctls_set_what_they_say() -> None:
    passes("`sysctl -q net.ipv4.tcp_sack=0 net.ipv4.tcp_window_scaling=0`\n" + SERVER.replace(
        "> S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 8>", "> S. 0:0(0) ack 1 <mss 1460>"
    ))
    fails("`sysctl -q net.ipv4.tcp_sack=0`\n" + SERVER, "options are")


def test_sysctls_of_freebsd_that_take_back_rfc_5961() -> None:
    script = SERVER + "+0 < R 100:100(0) win 0\n+0 %{ assert tcpi_state == TCP_CLOSE, tcpi_state }%\n"
    passes("`sysctl -w net.inet.tcp.insecure_rst=1`\n" + script)
    fails("`sysctl -w net.inet.tcp.insecure_rst=0`\n" + script, "assertion")
    script = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n"
    script += "+0 < SF 0:0(0) win 1000 <mss 1000>\n+0 > S. 0:0(0) ack 1 <...>\n"
    passes("`sysctl -w net.inet.tcp.drop_synfin=0`\n" + script)
    fails("`sysctl -w net.inet.tcp.drop_synfin=1`\n" + script, "")


def test_what_commands_of_linux_mean_to_our_stack() -> None:
    from uinet.sim.packetdrill.commands import Commands
    from uinet.stack import Stack

    stack = Stack(b"commands", 0)
    commands = Commands(stack, lambda clients, servers, unasked: None)
    commands.run("tc qdisc replace dev tun0 root fq\necho 1 > /sys/module/tcp_cubic/parameters/hystart_detect")
    settings = stack.tcp.settings
    assert settings.pacing and settings.hystart_train and not settings.hystart


@pytest.mark.parametrize(("command", "reason"), [
    ("rm -rf /", "the command 'rm -rf /'"), ("sysctl -q net.ipv4.no_such=1", "net.ipv4.no_such"),
    ("sysctl net.ipv4.tcp_sack", "reading"), ("sysctl -w net.ipv4.tcp_ecn=7", "ECN set to 7"),
    ("echo 'open", "the command"),
])
def test_commands_that_mean_nothing_here_skip_the_script(command: str, reason: str) -> None:
    result = run(f"`{command}`\n{SERVER}")
    assert result.verdict == SKIP
    assert reason in result.reason


def test_connections_can_be_counted() -> None:
    count = "+0 `sockstat -4 -P tcp -s | grep packetdril | grep -c {state} | grep {number}`\n"
    passes(SERVER + count.format(state="ESTABLISHED", number=1))
    fails(SERVER + count.format(state="ESTABLISHED", number=0), "1 connections are in ESTABLISHED, not 0")
    passes(CLIENT + count.format(state="SYN_SENT", number=0))


# invariants


@pytest.mark.parametrize(("sent", "reason"), [
    ("R.", "a RST or an ICMP message is answered with a RST"), (".", ""),
])
def test_a_rst_for_a_rst_is_wrong_whatever_the_script_says(sent: str, reason: str) -> None:
    """No stack of ours does so: the machine under test here answers everything with the RST that it is told to send."""
    from uinet.sim.packetdrill import parse
    from uinet.sim.packetdrill.config import Rules, configure
    from uinet.sim.packetdrill.errors import Mismatch
    from uinet.sim.packetdrill.session import Session

    script = parse(f"0 < {sent} 1:1(0) ack 1 win 1\n")
    machine = Answering(configure(script, Rules()))
    session = Session(script, machine.config, machine, lambda line: None)
    if reason:
        with pytest.raises(Mismatch, match=reason):
            session.run()
    else:
        session.run()


class Answering:
    """A machine that answers each packet with a RST."""

    checked = True
    system = None

    def __init__(self, config: Any) -> None:
        self.config = config
        self.sent: list[Any] = []
        self.now = 0

    def start(self) -> None:
        pass

    def flush(self) -> None:
        pass

    def advance(self, limit: int) -> None:
        self.now = limit

    def inject(self, packets: list[bytes]) -> None:
        from uinet.sim.packetdrill.matcher import Sniffed
        from uinet.wire import build
        from uinet.wire.dissection import dissect

        for packet in packets:
            came = dissect(packet, 3)
            answer = build.tcp(
                came.destination, came.source, came.tcp.destination_port, came.tcp.source_port, "R", came.tcp.ack,
                layer=3,
            )
            self.sent.append(Sniffed.of(self.now, answer))

    def take(self) -> list[Any]:
        sent, self.sent = self.sent, []
        return sent
