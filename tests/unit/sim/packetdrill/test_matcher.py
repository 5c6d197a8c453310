"""Each field of a packet: the script that is right passes, the same with another value fails and says why."""

from __future__ import annotations

import pytest

from tests.unit.sim.packetdrill.scripts import CLIENT, SERVER, fails, passes

WRITE = SERVER + "+0 write(4, ..., 1000) = 1000\n"


def test_the_beginnings_pass() -> None:
    passes(SERVER)
    passes(CLIENT)


@pytest.mark.parametrize(("segment", "reason"), [
    ("+0 > P. 1:1001(1000) ack 1", None),
    ("+0 > . 1:1001(1000) ack 1", None),  # where PSH stands is each stack's own choice
    ("+0 > F. 1:1001(1000) ack 1", "flags are P."),
    ("+0 > PE. 1:1001(1000) ack 1", "flags are P."),
    ("+0 > P.0 1:1001(1000) ack 1", None),
    ("+0 > P.5 1:1001(1000) ack 1", "AccECN field is 0"),
    ("+0 > P. 2:1002(1000) ack 1", "sequence number is 1"),
    ("+0 > P. ...(1000) ack 1", None),
    ("+0 > P. 1:1000(999) ack 1", "length is 1000"),
    ("+0 > P. 1:1001(1000) ack 2", "ACK number is 1"),
    ("+0 > P. 1:1001(1000) ack 1 win 1", None),  # exact windows are for personas
    ("+0 > P. 1:1001(1000) ack 1 win 0", "only one of them is closed"),
    ("+0 > P. 1:1001(1000) ack 1 urg 5", "urgent pointer is 0"),
    ("+0 > P. 1:1001(1000) ack 1 <nop,nop,TS val 1 ecr 1>", "options are none"),
    ("+0 > P. 1:1001(1000) ack 1 <...>", None),
    ("+0 > [noecn] P. 1:1001(1000) ack 1", None),
    ("+0 > [ect0] P. 1:1001(1000) ack 1", "ECN is noecn"),
    ("+0 > [ect01] P. 1:1001(1000) ack 1", "ECN is noecn"),
    ("+0 > (tos 0x0) P. 1:1001(1000) ack 1", None),
    ("+0 > (tos 0x10) P. 1:1001(1000) ack 1", "type of service is 0x0"),
    ("+0 > [dscp 0x1] P. 1:1001(1000) ack 1", "DSCP is 0x0"),
    ("+0 > [ttl 64] P. 1:1001(1000) ack 1", None),
    ("+0 > [ttl 63] P. 1:1001(1000) ack 1", "TTL is 64"),
    ("+.1 > P. 1:1001(1000) ack 1", "the packet is at"),
    ("+0~+.1 > P. 1:1001(1000) ack 1", None),
    ("+.05~+.1 > P. 1:1001(1000) ack 1", "the packet is at"),
    ("* > P. 1:1001(1000) ack 1", None),
    ("+0 > udp (1000)", "no datagram"),
    ("+0 > icmp echo_request", "nothing is sent"),
    ("+0 > P. 1:1001(1000) ack 1\n+0 > P. 1001:2001(1000) ack 1", "sequence number is 1, not 1001"),
])
def test_segment_of_ours(segment: str, reason: str | None) -> None:
    if reason is None:
        passes(WRITE + segment)
    else:
        assert fails(WRITE + segment, reason).line > 9


@pytest.mark.parametrize(("options", "reason"), [
    ("mss 1460,nop,nop,sackOK,nop,wscale 8", None),
    ("nop,wscale 2,mss 1460,sackOK,eol", None),  # neither order nor padding nor the scale are fixed
    ("mss 1461,nop,nop,sackOK,nop,wscale 8", "option is mss 1460"),
    ("mss 1460,nop,wscale 8", "options are"),
    ("mss 1460,nop,nop,sackOK,nop,wscale 8,FO", "options are"),
    ("mss 1460,mss 1460,nop,nop,sackOK,nop,wscale 8", "options are"),
])
def test_options_of_our_syn(options: str, reason: str | None) -> None:
    script = SERVER.replace("mss 1460,nop,nop,sackOK,nop,wscale 8", options)
    if reason is None:
        passes(script)
    else:
        fails(script, reason)


def test_personas_compare_order_and_scale() -> None:
    fails(SERVER.replace("mss 1460,nop,nop,sackOK", "sackOK,nop,nop,mss 1460"), "options are", persona="linux")


def test_timestamps_are_echoed_as_the_script_has_them() -> None:
    more = """
    +0  write(3, ..., 100) = 100
    +0  > P. 1:101(100) ack 1 <nop,nop,TS val 300 ecr {echo}>
    +.1 < . 1:1(0) ack 101 win 100 <nop,nop,TS val 800 ecr 300>
    """
    passes(CLIENT + more.format(echo=700))
    fails(CLIENT + more.format(echo=701), "TS ecr is 700")


def test_timestamps_of_ours_count_where_a_tick_is_given() -> None:
    passes("--tcp_ts_tick_usecs=1000" + CLIENT)
    fails("--tcp_ts_tick_usecs=1000" + CLIENT.replace("TS val 200", "TS val 250"), "TS val is 200, not 250")


def test_sack_blocks_are_in_the_script_s_numbers_and_order() -> None:
    holes = SERVER + """
    +0 < . 1001:2001(1000) ack 1 win 257
    +0 > . 1:1(0) ack 1 <nop,nop,sack 1001:2001>
    +0 < . 3001:4001(1000) ack 1 win 257
    +0 > . 1:1(0) ack 1 <nop,nop,sack {blocks}>
    """
    passes(holes.format(blocks="3001:4001 1001:2001"))
    fails(holes.format(blocks="1001:2001 3001:4001"), "in the order")
    fails(holes.format(blocks="3001:4001 1001:2002"), "option is sack")


def test_one_segment_of_a_script_may_be_several_on_the_wire() -> None:
    script = SERVER + "+0 write(4, ..., 3000) = 3000\n+0 > P. 1:3001(3000) ack 1\n"
    passes(script)
    fails("--strict_segments\n" + script, "length is 1000, not 3000")
    fails(script.replace("1:3001(3000) ack", "1:2501(2500) ack"), "length is 3000, not 2500")


def test_acks_of_data_in_order_may_be_late_but_duplicates_may_not() -> None:
    passes(SERVER + "+0 < P. 1:101(100) ack 1 win 257\n+0 > . 1:1(0) ack 101\n")
    fails(SERVER + "+0 < P. 1:101(100) ack 1 win 257\n+.6 > . 1:1(0) ack 101\n", "the packet is at")
    fails(SERVER + "+0 < P. 2:102(100) ack 1 win 257\n+.1 > . 1:1(0) ack 1 <nop,nop,sack 2:102>\n", "the packet is at")


def test_payload_is_what_was_written() -> None:
    """The interpreter knows what its program has written: a stack that sends other bytes is found out."""
    from uinet.sim.packetdrill.config import Rules
    from uinet.sim.packetdrill.flow import Flow, pattern
    from uinet.sim.packetdrill.matcher import Seen, Sniffed, _check_payload
    from uinet.wire import build

    flow = Flow("tcp", 0)
    flow.written += pattern(100, 50)
    last = Sniffed.of(0, build.tcp("10.0.0.1", "10.0.0.2", 1, 2, "P.", payload=b"x", layer=3))

    def wrong(payload: bytes, seq: int = 1, flags: str = "P.", push: bool = True) -> list[str]:
        return _check_payload(Seen(0, flags, 0, seq, 0, 0, 0, (), payload, last), flow, Rules(last_push=push))

    assert wrong(pattern(100, 50)) == []
    assert wrong(pattern(110, 10), 11, ".") == []
    assert "byte 49" in wrong(pattern(100, 49) + b"x")[0]
    assert "nobody has written" in wrong(pattern(100, 51))[0]
    assert "PSH is missing" in wrong(pattern(100, 50), flags=".")[0]
    assert wrong(pattern(100, 50), flags=".", push=False) == []


def test_rst_and_silence_of_a_closed_port() -> None:
    closed = "0 < S 0:0(0) win 100 <mss 1460>\n"
    passes(closed + "+0 > R. 0:0(0) ack 1\n")
    fails(closed + "+0 > S. 0:0(0) ack 1 <mss 1460>\n", "flags are R.")
    fails("0 < R 0:0(0) win 100\n+0 > R 0:0(0)\n", "nothing is sent")


def test_datagrams() -> None:
    talk = """
    0  socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
    +0 bind(3, ..., ...) = 0
    +0 connect(3, ..., ...) = 0
    +0 write(3, ..., 100) = 100
    +0 > udp ({length})
    +0 < udp (50)
    +0 read(3, ..., 1000) = {read}
    """
    passes(talk.format(length=100, read=50))
    fails(talk.format(length=99, read=50), "length is 100")
    fails(talk.format(length=100, read=49), "read() returns 50")


def test_icmp_of_ours_is_only_looked_at_where_it_is_asked_for() -> None:
    ping = SERVER + "+0 < icmp echo_request id 7\n"
    passes(ping)
    passes(ping + "+0 > icmp echo_reply\n")
    fails(ping + "+0 > icmp unreachable\n", "type is 0, not 3")


def test_ipv6() -> None:
    passes("--ip_version=ipv6\n" + SERVER.replace("mss 1460", "mss 1440"))
    fails("--ip_version=ipv6\n" + SERVER, "option is mss 1440")
    passes(SERVER, ip_version="ipv6")  # a script that does not say counts with IPv4's MSS
    refused = "0 < S 0:0(0) win 1\n+0 > R. 0:0(0) ack 1\n"
    passes("--ip_version=ipv6\n" + refused + "+0 < icmp echo_request\n+0 > icmp echo_reply\n")


def test_record_tells_expected_and_found() -> None:
    result = fails(WRITE + "+0 > P. 1:1001(1000) ack 2", "ACK number")
    assert result.expected == "+0 > P. 1:1001(1000) ack 2"
    assert "> P. 1:1001(1000) ack 1 win" in result.found
    assert any("injected < . 1:1(0) ack 1 win 257" in line for line in result.record)
    assert str(result).startswith("FAIL <text> (line 11: ")


def test_a_signature_has_to_be_that_of_the_secret() -> None:
    """`md5 valid` (RFC 2385): a digest with another key, or of another segment, is found out."""
    from uinet.sim.packetdrill.signatures import is_valid, sign
    from uinet.wire import checksums, tcp, tcp_options

    here, there = b"\x0a\0\0\1", b"\x0a\0\0\2"
    area = (tcp_options.Mss(1460), tcp_options.Unknown(tcp_options.KIND_MD5, bytes(16)))
    plain = tcp.emit(tcp.TcpHeader(1, 2, 3, 4, tcp.ACK, 100, 0, area), b"data", here, there)
    signed = sign(b"secret", here, there, plain)
    assert is_valid(b"secret", here, there, signed)
    assert checksums.transport(here, there, 6, signed[:16] + bytes(2) + signed[18:]).to_bytes(2, "big") == signed[16:18]
    assert not is_valid(b"other", here, there, signed)
    assert not is_valid(b"secret", there, there, signed)
    assert not is_valid(b"secret", here, there, signed[:-1] + b"!")
    assert not is_valid(b"secret", here, there, plain)
    unsigned = tcp.emit(tcp.TcpHeader(1, 2, 3, 4, tcp.ACK, 100, 0, area[:1]), b"data", here, there)
    assert sign(b"secret", here, there, unsigned) == unsigned
    assert not is_valid(b"secret", here, there, unsigned)


def test_an_md5_option_that_is_wanted_and_missing() -> None:
    wanted = SERVER.replace("0:0(0) ack 1 <mss 1460,", "0:0(0) ack 1 <md5 valid,mss 1460,")
    fails("--tcp_md5_secret=secret" + wanted, "options are")
