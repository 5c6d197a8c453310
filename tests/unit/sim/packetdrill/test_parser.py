"""Scripts as values."""

from __future__ import annotations

from typing import Any

import pytest

from uinet.sim.packetdrill import ScriptError, Unsupported, parse
from uinet.sim.packetdrill.script import (
    Anything,
    Apply,
    Call,
    Code,
    Command,
    Either,
    Fields,
    IcmpSpec,
    Items,
    Name,
    Number,
    Text,
    UdpSpec,
    When,
)
from uinet.units import MILLISECOND, SECOND
from uinet.wire.tcp_options import FastOpen, Mss, Nop, Sack, SackPermitted, Timestamps, Unknown, WindowScale


def event(text: str) -> Any:
    (only,) = parse(text).events
    return only


def action(text: str) -> Any:
    return event("0 " + text).action


@pytest.mark.parametrize(("text", "when"), [
    ("1", When(SECOND)),
    ("0.000001", When(1000)),
    ("+.5", When(500 * MILLISECOND, relative=True)),
    ("*", When(0, anytime=True)),
    ("1~1.5", When(SECOND, 1500 * MILLISECOND)),
    ("+0~+.1", When(0, 100 * MILLISECOND, relative=True)),
])
def test_times(text: str, when: When) -> None:
    assert event(f"{text} > . 1:1(0) ack 1").when == when


def test_segment_with_everything() -> None:
    spec = action(
        "< (ce) 5678>80 FP.E 1:11(10) ack 7 win 100 urg 3 "
        "<mss 1460,nop,wscale 7,sackOK,sack 1:2 3:4,TS val 1 ecr 2,FO 01020304,md5 00ff,gen-99 aa>"
    )
    assert (spec.inbound, spec.flags, spec.seq, spec.length, spec.ack) == (True, "FP.E", 1, 10, 7)
    assert (spec.window, spec.urgent, spec.ports, spec.ip.ecn) == (100, 3, (5678, 80), 3)
    assert [option.option for option in spec.options] == [
        Mss(1460), Nop(), WindowScale(7), SackPermitted(), Sack(((1, 2), (3, 4))), Timestamps(1, 2),
        FastOpen(b"\1\2\3\4"), Unknown(19, b"\0\xff"), Unknown(99, b"\xaa"),
    ]


@pytest.mark.parametrize(("text", "flags", "ace"), [
    (".", ".", None), ("S", "S", None), ("S.", "S.", None), ("F.", "F.", None), ("SEW", "SEW", None),
    ("SE.", "SE.", None), ("S.E", "S.E", None), ("-", "", None), (".5", ".", 5), ("P.6", "P.", 6), ("PA.", "PA.", None),
])
def test_flags(text: str, flags: str, ace: int | None) -> None:
    spec = action(f"> {text} 1:1(0)")
    assert (spec.flags, spec.ace) == (flags, ace)


@pytest.mark.parametrize("text", ["[ect0]", "(ect0)"])
def test_ip_header_in_either_bracket(text: str) -> None:
    assert action(f"> {text} . 1:1(0) ack 1").ip.ecn == 2


def test_ip_header_fields() -> None:
    ip = action("> [ttl 5,dscp af11,ecn ect1] . 1:1(0) ack 1").ip
    assert (ip.ttl, ip.dscp, ip.ecn) == (5, 10, 1)
    assert action("> (tos 0x10) . 1:1(0) ack 1").ip.tos == 16
    assert action("> [ect01] . 1:1(0) ack 1").ip.ecn == "ect01"


def test_freebsd_dialect() -> None:
    spec = action("> . 1:1(0)! ack 1 <TS val ... ecr 5!>")
    assert spec.absolute
    assert (spec.options[0].any_value, spec.options[0].absolute_echo) == (True, True)
    assert action("> . ...(10) ack 1").any_seq
    assert action("< S 0:0(0) win 1 <0204>").raw_options == b"\2\4"
    assert action("< S 0:0(0) win 1 <md5 valid>").options[0].signed


def test_options_that_do_not_matter() -> None:
    assert action("> S 0:0(0) <...>").options is None


def test_acc_ecn_counters() -> None:
    assert action("< . 1:1(0) ack 1 win 1 <ECN e1b 1 ceb 2 e0b 3>").options[0].option == Unknown(
        174, bytes((0, 0, 1, 0, 0, 2, 0, 0, 3))
    )


def test_datagrams_and_icmp() -> None:
    assert action("< udp (100)") == UdpSpec(True, 100)
    assert action("< icmp unreachable frag_needed mtu 1200 [1:1001(1000)]") == IcmpSpec(
        True, "unreachable", "frag_needed", 1200, 0, ("tcp", 1, 1000)
    )
    assert action("< [1:1001(1000)] icmp unreachable frag_needed mtu 1200").about == ("tcp", 1, 1000)
    assert action("< icmp echo_request id 7").echo_id == 7


def test_call_with_all_kinds_of_arguments() -> None:
    call = action(
        'f(..., 3, 0x10, "a\\n" "b", "c"..., A|B, [1, 2], {fd=4, events=POLLIN}, htons(80), []) = -1 EINVAL (Invalid x)'
    )
    assert call == Call("f", (
        Anything(), Number(3), Number(16), Text("a\nb"), Text("c", True), Either((Name("A"), Name("B"))),
        Items((Number(1), Number(2))), Fields({"fd": Number(4), "events": Name("POLLIN")}),
        Apply("htons", (Number(80),)), Items(()),
    ), Number(-1), "EINVAL")


def test_call_with_note_and_structs_in_structs() -> None:
    assert action("fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)").result == Number(2)
    message = action(
        "recvmsg(3, {msg_name(...)=..., msg_iov(1)=[{..., 5}], msg_flags=0}, 0) = 5"
    ).arguments[1]
    assert message.fields["msg_iov"] == Items((Items((Anything(), Number(5))),))


def test_blocking_call_has_an_end() -> None:
    assert event("+.1...0.25 read(3, ..., 1) = 1").action.end == 250 * MILLISECOND


def test_options_commands_and_code() -> None:
    script = parse('--mtu=1400 --define=FD=3\n`a`\n0 close(FD) = 0\n+0 `b`\n+0 %{ x = 1 }%\n`c`')
    assert script.options == [("mtu", "1400", 1)]
    assert [command.text for _, command in script.init] == ["a"]
    assert [command.text for _, command in script.cleanup] == ["c"]
    assert [event.action for event in script.events] == [
        Call("close", (Number(3),), Number(0)), Command("b"), Code("x = 1"),
    ]


@pytest.mark.parametrize(("text", "line", "message"), [
    ("", 0, "no event"),
    ("0 > . 1:5(3) ack 1", 1, "3 bytes"),
    ("0 > X 1:1(0)", 1, "TCP flags"),
    ("\n0 > . 1:1(0) ack 99999999999", 2, "not from"),
    ("0 close(3 = 0", 1, "','"),
    ("0 close(3)", 1, "'='"),
    ("0\n> . 1:1(0) <mss>", 2, "MSS"),
    ("0 < . 1:1(0) ack 1 win 1 <...>", 1, "only for packets that are sent"),
    ("0 < . 1:1(0) <sack>", 1, "one to four"),
    ("0 < . 1:1(0) <FO abc>", 1, "hex"),
    ("* close(3) = 0", 1, "any time"),
    ("1~2 close(3) = 0", 1, "range"),
    ("2~1 > . 1:1(0) ack 1", 1, "backwards"),
    ("-1 close(3) = 0", 1, "negative"),
    ("0 close(3) = 0\n`a`\n0 close(4) = 0", 3, "first or last"),
    ("0 f(((((((((((((((((((1", 1, "a value"),
    ("0 f(" + "[" * 30, 1, "too deep"),
    ("0 read(3, ..., 1) = 1 EAGAIN (never closed", 1, "never closed"),
    ("0 f({a=1, 2}) = 0", 1, "all or none"),
    ("0 5", 1, "is wanted"),
])
def test_what_is_wrong_is_said_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse(text)
    assert caught.value.line == line
    assert message in caught.value.message


@pytest.mark.parametrize("text", [
    "0 < sctp: INIT[]", "0 > udplite (5)", "0 > gre: . 1:1(0)", "0 < . 1:1(0) ack 1 win 1 /udp(1 > 2)",
])
def test_what_no_machine_here_can_do_is_not_supported(text: str) -> None:
    with pytest.raises(Unsupported):
        parse(text)
