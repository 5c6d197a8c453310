"""Opening: active, passive and simultaneous (RFC 9293 3.5, 3.10.7.2, 3.10.7.3), and what the SYNs agree on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.tcp.peer import FULL, ISN, PLAIN, Peer, error_of, read
from uinet.errors import ConnectionRefused, TimedOut, WouldBlock
from uinet.units import MASK32
from uinet.wire import build
from uinet.wire.tcp_options import (
    End,
    Mss,
    Nop,
    Sack,
    SackPermitted,
    Timestamps,
    Unknown,
    WindowScale,
)


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("options", [(), PLAIN, FULL])
def test_passive_open_then_data_both_ways(v6: bool, options: Any) -> None:
    peer = Peer(v6=v6)
    sock = peer.passive(options)
    peer.data(b"0123456789abcdef")
    assert read(sock) == b"0123456789abcdef"
    sock.send(b"hello")
    peer.flush()
    peer.expect("P.", data=b"hello", ack=peer.seq)
    info = sock.info()
    assert info.timestamps == info.sack == (options == FULL)
    assert info.snd_wscale == (7 if options == FULL else 0)


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("options", [(), PLAIN, FULL])
def test_active_open_then_data_both_ways(v6: bool, options: Any) -> None:
    peer = Peer(v6=v6)
    sock = peer.active(options)
    sock.send(b"hello")
    peer.flush()
    peer.expect("P.", data=b"hello", ack=peer.seq)
    peer.data(b"0123456789abcdef")
    assert read(sock) == b"0123456789abcdef"


@pytest.mark.parametrize(
    ("mtu", "v6", "mss"), [(1500, False, 1460), (1500, True, 1440), (9000, False, 8960), (9000, True, 8940)]
)
def test_syn_sent_mss_option_is_that_of_the_mtu(mtu: int, v6: bool, mss: int) -> None:
    peer = Peer(mtu=mtu, v6=v6)
    _, seg = peer.connecting()
    assert seg.option(Mss) == Mss(mss)
    other = Peer(mtu=mtu, v6=v6)
    other.listen()
    assert other.syn().option(Mss) == Mss(mss)


@pytest.mark.threat(42)
@pytest.mark.parametrize(
    ("v6", "options", "expected"),
    [
        (False, (), 536), (True, (), 1220), (False, (Mss(1000),), 1000), (False, (Mss(65535),), 1460),
        (False, (Mss(1000), Timestamps(1, 0)), 988), (False, (Mss(0),), 536), (False, (Mss(1),), 216),
        (False, (Mss(48),), 216), (False, (Mss(700), Mss(900)), 700), (False, (Unknown(2, b"\x01"),), 536),
        (False, (Unknown(2, b"\x01\x02\x03"),), 536),
    ],
)
def test_established_segment_size_obeys_the_peers_mss(v6: bool, options: Any, expected: int) -> None:
    peer = Peer(v6=v6)
    sock = peer.passive(options)
    sock.send(bytes(5000))
    peer.flush()
    peer.expect(".", length=expected)


def test_established_segment_size_allows_for_sack() -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    peer.send(".", peer.seq + 100, data=b"x")
    peer.drain()
    sock.send(bytes(5000))
    peer.flush()
    seg = peer.expect(".")
    assert seg.option(Sack) and len(seg.frame.packet) <= 1500


@pytest.mark.threat(43)
@pytest.mark.rfc("7323", "2.3", "a shift above 14 counts as 14")
@pytest.mark.parametrize("shift", [0, 7, 14, 15, 255])
def test_listen_syn_window_scale_is_clamped_to_14(shift: int) -> None:
    peer = Peer()
    sock = peer.passive((Mss(1460), WindowScale(shift)), window=1000)
    assert sock.info().snd_wscale == min(shift, 14)
    assert sock.info().snd_wnd == 1000 << min(shift, 14)


@pytest.mark.threat(43)
@pytest.mark.rfc("7323", "2.2", "windows are scaled only if both SYNs have the option")
def test_syn_sent_scale_is_not_used_unless_both_offer_it() -> None:
    peer = Peer()
    sock = peer.active(PLAIN)
    assert sock.info().snd_wscale == sock.info().rcv_wscale == 0
    assert peer.stack.stats["tcp_connected"] == 1


@pytest.mark.threat(43)
@pytest.mark.rfc("7323", "2.1", "the option counts in a SYN only")
def test_established_window_scale_outside_a_syn_is_ignored() -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    peer.send(".", window=100, options=(WindowScale(3), Nop()))
    assert sock.info().snd_wnd == 100


@pytest.mark.threat(41)
@pytest.mark.threat(46)
@pytest.mark.rfc("9293", "MUST-7", "an option with an impossible length is ignored")
@pytest.mark.parametrize(
    "area",
    [
        b"\x02\x00\x00\x00", b"\x02\x01\x00\x00", b"\x02\x03\x00\x00", b"\x02\xff\x00\x00", b"\x01\x01\x01\x02",
        b"\xfd\x04\x00\x00", b"\x4d\xff\x00\x00", b"\x01" * 40, b"\x00\xff\xff\xff", b"\x08\x03\x00\x00",
        b"\x05\x03\x01\x01", b"\x05\x02\x01\x01", b"\x03\x02\x01\x01", b"\x22\x01\x01\x01",
    ],
)
def test_listen_malformed_options_are_ignored(area: bytes) -> None:
    peer = Peer()
    peer.listen()
    peer.send("S", options=area)
    seg = peer.expect("S.")
    peer.send(".", peer.seq + 1, seg.seq + 1)
    sock = peer.listener.accept()
    peer.send("P.", peer.seq + 1, seg.seq + 1, b"data", options=area)
    assert read(sock) == b"data"


def test_listen_options_need_no_alignment() -> None:
    peer = Peer()
    peer.listen()
    options = (Mss(1000), WindowScale(2), Timestamps(5, 0), SackPermitted(), End())
    seg = peer.syn(options)
    assert seg.option(Timestamps).echo == 5 and seg.option(WindowScale) and seg.option(SackPermitted)


# SYN-SENT


@pytest.mark.threat(20)
@pytest.mark.parametrize("off", [-1, 1, 1000])
@pytest.mark.parametrize("flags", [".", "S.", "F.", "P."])
def test_syn_sent_wrong_ack_is_reset_and_state_stays(off: int, flags: str) -> None:
    peer = Peer()
    sock, _ = peer.connecting()
    peer.send(flags, ack=peer.ack + off)
    peer.expect("R", seq=peer.ack + off)
    assert sock.state == "SYN-SENT"


@pytest.mark.threat(23)
@pytest.mark.rfc("5961", "3.2", "in SYN-SENT a RST has to acknowledge the SYN")
def test_syn_sent_rst_needs_the_right_ack() -> None:
    peer = Peer()
    sock, _ = peer.connecting()
    peer.send("R")
    peer.send("R.", ack=peer.ack + 1)
    assert sock.state == "SYN-SENT"
    peer.quiet()
    peer.send("R.")
    assert sock.state == "CLOSED" and isinstance(sock.error, ConnectionRefused)
    with pytest.raises(ConnectionRefusedError):
        sock.recv(1)
    peer.quiet()
    sock.close()
    peer.gone(1)


def test_syn_sent_bare_ack_of_the_syn_is_dropped() -> None:
    peer = Peer()
    sock, _ = peer.connecting()
    peer.send(".")
    assert sock.state == "SYN-SENT"
    peer.quiet()


def test_syn_sent_syn_ack_with_data_and_fin_is_taken() -> None:
    peer = Peer()
    sock, _ = peer.connecting()
    peer.send("SF.", data=b"bye")
    assert sock.state == "CLOSE-WAIT"
    peer.expect(".", ack=ISN + 5)
    assert read(sock) == b"bye" and sock.recv(1) == b""


def test_syn_sent_write_has_to_wait() -> None:
    peer = Peer()
    sock, _ = peer.connecting()
    assert error_of(sock.send, b"x") is WouldBlock
    sock.close()
    peer.gone(0)


@pytest.mark.rfc("9293", "MUST-22", "a SYN is sent again with backoff")
@pytest.mark.rfc("9293", "MUST-23", "and given up after three minutes")
def test_syn_sent_unanswered_backs_off_and_fails_after_three_minutes() -> None:
    peer = Peer()
    sock, first = peer.connecting()
    peer.advance(179)
    times = [(seg.time - first.time) // 10**9 for seg in peer.drain()]
    assert times == [1, 3, 7, 15, 31, 63, 123]
    assert sock.state == "SYN-SENT"
    peer.advance(100)
    assert isinstance(sock.error, TimedOut)
    sock.close()
    peer.gone(0)


@pytest.mark.rfc("6298", "5.7", "RTO is 3 s if the SYN was sent again")
def test_syn_sent_rto_is_3_s_after_a_lost_syn() -> None:
    peer = Peer()
    sock, _ = peer.connecting()
    peer.advance(1.5)
    peer.expect("S")
    peer.send("S.", options=PLAIN)
    peer.seq += 1
    peer.expect(".")
    assert sock.info().rto == 3.0  # RFC 6298, 5.7


def test_syn_sent_close_leaves_nothing() -> None:
    peer = Peer()
    sock, _ = peer.connecting()
    sock.close()
    peer.flush()
    peer.quiet()
    peer.gone(0)
    peer.send("S.")
    peer.expect("R", seq=peer.ack)


# simultaneous open


def simultaneous(options: Any = PLAIN) -> tuple[Peer, Any]:
    peer = Peer()
    sock, seg = peer.connecting()
    peer.send("S", options=options)
    peer.expect("S.", seq=seg.seq, ack=peer.seq + 1)
    assert sock.state == "SYN-RECEIVED"
    return peer, sock


def test_simultaneous_open_completes_with_syn_ack() -> None:
    peer, sock = simultaneous()
    peer.send("S.", options=PLAIN)
    assert sock.state == "ESTABLISHED"
    peer.expect(".", ack=peer.seq + 1)
    peer.seq += 1
    peer.data(b"data")
    assert read(sock) == b"data"


def test_simultaneous_open_completes_with_ack() -> None:
    peer, sock = simultaneous()
    peer.seq = (peer.seq + 1) & MASK32
    peer.data(b"data")
    assert sock.state == "ESTABLISHED" and read(sock) == b"data"


def test_simultaneous_open_keeps_the_scale_offer_if_only_the_peers_is_above_zero() -> None:
    peer = Peer(receive_buffer=60000)
    _, seg = peer.connecting()
    assert seg.option(WindowScale) == WindowScale(0)
    peer.send("S", options=(Mss(1460), WindowScale(5)))
    assert peer.expect("S.").option(WindowScale) == WindowScale(0)


def test_syn_received_active_rst_refuses() -> None:
    peer, sock = simultaneous()
    peer.send("R", peer.seq + 1)
    assert sock.state == "CLOSED" and isinstance(sock.error, ConnectionRefused)


def test_syn_received_wrong_ack_is_reset() -> None:
    peer, sock = simultaneous()
    peer.send(".", peer.seq + 1, peer.ack + 5)
    peer.expect("R", seq=peer.ack + 5)
    assert sock.state == "SYN-RECEIVED"


def test_syn_received_old_ack_segment_does_not_half_establish() -> None:
    peer, sock = simultaneous()
    peer.send(".", peer.seq)  # one before the window, acknowledging our SYN
    peer.drain()
    assert sock.state == "SYN-RECEIVED"
    peer.advance(1.5)
    assert any(seg.flags == "S." for seg in peer.drain()), "the SYN,ACK is retransmitted all the same"
    peer.send(".", peer.seq + 1)
    assert sock.state == "ESTABLISHED"


def test_syn_received_retransmits_and_gives_up() -> None:
    peer, sock = simultaneous()
    peer.advance(300)
    assert sum(seg.flags == "S." for seg in peer.drain()) >= 5
    assert isinstance(sock.error, TimedOut)
    sock.close()
    peer.gone(0)


# the listener's side


@pytest.mark.threat(16)
def test_listen_syn_data_is_not_acknowledged() -> None:
    peer = Peer()
    peer.listen()
    peer.send("S", data=b"early", options=PLAIN)
    seg = peer.expect("S.", ack=ISN + 1)
    peer.send(".", ISN + 1, seg.seq + 1)
    assert error_of(peer.listener.accept().recv, 10) is WouldBlock


@pytest.mark.threat(18)
def test_half_open_ack_with_data_and_fin_is_processed() -> None:
    peer = Peer()
    peer.listen()
    peer.syn()
    peer.data(b"request", "FP.")
    sock = peer.listener.accept()
    assert sock.state == "CLOSE-WAIT" and read(sock) == b"request" and sock.recv(1) == b""
    peer.expect(".", ack=peer.seq)


@pytest.mark.parametrize("off", [-1, 1, 12345])
def test_half_open_wrong_ack_is_reset_and_entry_stays(off: int) -> None:
    peer = Peer()
    peer.listen()
    peer.syn()
    peer.send(".", ack=peer.ack + off)
    peer.expect("R", seq=peer.ack + off)
    peer.send(".")
    assert peer.listener.accept().state == "ESTABLISHED"


@pytest.mark.threat(18)
def test_half_open_out_of_window_ack_is_not_taken() -> None:
    peer = Peer()
    peer.listen()
    peer.syn()
    peer.advance(0.6)
    peer.send("P.", peer.seq + (1 << 24), data=b"evil")
    peer.expect(".", ack=peer.seq, data=b"")
    assert not peer.listener.readable


def test_half_open_rst_empties_the_cache_silently() -> None:
    peer = Peer()
    peer.listen()
    peer.syn()
    peer.send("R", peer.seq - 1)
    peer.send("R", peer.seq + 65535)
    peer.quiet()
    assert peer.count("tcp_rst_out_of_window") == 2
    assert peer.stack.tcp.syn_count == 1
    peer.send("R")
    assert peer.stack.tcp.syn_count == 0
    peer.quiet()
    assert not peer.listener.readable
    peer.gone(0)


def test_half_open_rst_elsewhere_in_the_window_is_challenged() -> None:
    peer = Peer()
    peer.listen()
    syn_ack = peer.syn()
    peer.send("R", peer.seq + 5)
    peer.expect(".", seq=syn_ack.seq + 1, ack=peer.seq, length=0)
    peer.send("R", peer.seq + 6)
    peer.quiet()
    assert peer.count("tcp_challenge_ack_limited") == 1
    assert peer.stack.tcp.syn_count == 1


def test_half_open_that_took_a_while_gives_the_first_round_trip() -> None:
    peer = Peer()
    peer.listen()
    peer.syn()
    peer.advance(0.1)
    peer.send(".")
    info = peer.listener.accept().info()
    assert (info.rtt, info.rto) == (0.1, 0.3)


def test_half_open_whose_syn_ack_went_twice_gives_none() -> None:
    peer = Peer()
    peer.listen()
    peer.syn()
    peer.advance(1.1)
    peer.expect("S.")
    peer.send(".")
    assert peer.listener.accept().info().rtt == 0


@pytest.mark.threat(19)
def test_half_open_same_syn_is_answered_again_and_another_is_challenged() -> None:
    peer = Peer()
    peer.listen()
    first = peer.syn()
    peer.send("S", ISN, options=PLAIN)
    assert peer.expect("S.").seq == first.seq
    peer.advance(0.6)
    peer.watch = None
    peer.send("S", ISN + 77, options=PLAIN)
    peer.expect(".", ack=ISN + 1)
    peer.send("R", ISN + 1)
    peer.send("S", ISN + 77, options=PLAIN)
    peer.expect("S.", ack=ISN + 78)


@pytest.mark.threat(1)
def test_half_open_syn_ack_is_retransmitted_five_times() -> None:
    peer = Peer()
    peer.listen()
    peer.syn()
    peer.advance(200)
    assert [seg.flags for seg in peer.drain()] == ["S."] * 5
    assert peer.count("tcp_syncache_timeout") == 1
    peer.gone(0)


@pytest.mark.parametrize("flags", ["", "F", "P", "U", "FPU"])
def test_listen_segments_without_syn_and_ack_are_dropped(flags: str) -> None:
    peer = Peer()
    peer.listen()
    peer.send(flags, data=b"x")
    peer.quiet()


@pytest.mark.parametrize("flags", [".", "F.", "S.", "P.", "FPU."])
def test_listen_ack_is_reset(flags: str) -> None:
    peer = Peer()
    peer.listen()
    peer.send(flags, ack=5000)
    peer.expect("R", seq=5000)


@pytest.mark.threat(4)
@pytest.mark.parametrize("flags", ["SF", "SR", "R", "R.", "SFR", "FSRPU."])
def test_listen_nonsense_is_dropped(flags: str) -> None:
    peer = Peer()
    peer.listen()
    peer.watch = None
    peer.send(flags, data=b"abc")
    peer.quiet()
    assert peer.stack.tcp.syn_count == 0


@pytest.mark.threat(4)
@pytest.mark.parametrize(
    ("flags", "answer", "seq", "ack"),
    [
        ("S", "R.", 0, ISN + 4), ("", "R.", 0, ISN + 3), ("F", "R.", 0, ISN + 4), (".", "R", 99, 0), ("F.", "R", 99, 0),
        ("S.", "R", 99, 0),
    ],
)
def test_closed_answers_with_rst(flags: str, answer: str, seq: int, ack: int) -> None:
    peer = Peer()
    peer.send(flags, ack=99, data=b"abc")
    peer.expect(answer, seq=seq, ack=ack)
    peer.send("R", data=b"abc")
    peer.send("R.", ack=1)
    peer.quiet()


@pytest.mark.parametrize("zero", ["peer_port", "port"])
def test_port_zero_is_dropped(zero: str) -> None:
    peer = Peer()
    peer.listen()
    setattr(peer, zero, 0)
    peer.send("S", options=PLAIN)
    peer.send(".", ack=1)
    peer.quiet()
    assert peer.count("tcp_bad_port") == 2


@pytest.mark.threat(22)
@pytest.mark.parametrize("destination", ["255.255.255.255", "10.0.0.255", "224.0.0.1"])
@pytest.mark.parametrize("flags", ["S", ".", "F"])
def test_group_destination_is_never_answered(destination: str, flags: str) -> None:
    peer = Peer()
    peer.stack.listen(("0.0.0.0", 80))
    peer.here = destination
    peer.send(flags)
    peer.quiet()


@pytest.mark.threat(22)
@pytest.mark.parametrize(
    "source", ["0.0.0.0", "127.0.0.1", "224.0.0.5", "240.0.0.1", "255.255.255.255", "10.0.0.2", "10.0.0.255"]
)
def test_martian_source_is_never_answered(source: str) -> None:
    peer = Peer()
    peer.stack.listen(("0.0.0.0", 80))
    peer.there = source
    peer.send("S")
    peer.send(".")
    peer.quiet()
    assert peer.stack.tcp.syn_count == 0


@pytest.mark.parametrize("source", ["::", "::1", "ff02::1", "2001:db8::2"])
def test_martian_source_v6_is_never_answered(source: str) -> None:
    peer = Peer(v6=True)
    peer.stack.listen(("::", 80))
    peer.there = source
    peer.send("S")
    peer.quiet()


@pytest.mark.threat(6)
def test_land_is_dropped() -> None:
    peer = Peer()
    peer.listen()
    peer.there, peer.peer_port = peer.here, peer.port
    peer.send("S", options=PLAIN)
    peer.quiet()
    assert peer.stack.tcp.syn_count == 0


def test_frame_to_a_group_mac_is_never_answered() -> None:
    peer = Peer()
    peer.listen()
    for flags in ("S", "."):
        frame = peer.frame(flags)
        peer.give(b"\xff\xff\xff\xff\xff\xff" + frame[6:])
    peer.quiet()


@pytest.mark.threat(39)
def test_bad_checksum_is_dropped_silently() -> None:
    peer = Peer()
    peer.listen()
    frame = bytearray(peer.frame("S", options=PLAIN))
    frame[-1] ^= 1
    peer.give(bytes(frame))
    peer.quiet()
    assert peer.count("tcp_bad_checksum") == 1


@pytest.mark.threat(40)
@pytest.mark.parametrize("nibble", [0, 4, 7, 15])
def test_data_offset_out_of_bounds_is_dropped(nibble: int) -> None:
    peer = Peer()
    peer.listen()
    packet = build.dissect(peer.frame("S")).packet
    header = bytearray(packet[20:])
    header[12] = nibble << 4
    peer.give(build.frame(build.ip(peer.there, peer.here, 6, bytes(header))))
    peer.give(build.frame(build.ip(peer.there, peer.here, 6, bytes(header[:19]))))
    peer.quiet()
    assert peer.count("tcp_short") == 2
