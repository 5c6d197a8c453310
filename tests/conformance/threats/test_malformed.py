"""Threats 39 to 51: headers and options that lie."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.conformance.rfc9293.tape import Tape
from tests.unit.tcp.peer import FULL, ISN, PLAIN, Peer, error_of, read
from uinet.errors import WouldBlock
from uinet.seq import seq_diff
from uinet.units import MASK32
from uinet.wire import build
from uinet.wire.tcp_options import Mss, Nop, Sack, SackPermitted, Timestamps, Unknown, WindowScale

STATES = ["listen", "passive", "fin_wait_2", "close_wait", "time_wait"]


def raw(peer: Peer, flags: str = ".", data: bytes = b"", **more: Any) -> bytearray:
    """A segment of the peer from its TCP header on, without a checksum."""
    packet = build.dissect(peer.frame(flags, data=data, **more)).packet
    segment = bytearray(packet[40 if packet[0] >> 4 == 6 else 20 :])
    segment[16:18] = b"\0\0"
    return segment


def wrapped(peer: Peer, segment: bytes, *, checksum: bool = True) -> bytes:
    """A frame around a segment, with its checksum put right."""
    if checksum:
        source, destination = build.pack_address(peer.there), build.pack_address(peer.here)
        pseudo = source + destination + struct.pack(">II", len(segment), 6)
        padded = pseudo + segment + b"\0" * (len(segment) % 2)
        total = sum(struct.unpack(f">{len(padded) // 2}H", padded))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        segment = segment[:16] + struct.pack(">H", total ^ 0xFFFF) + segment[18:]
    return build.frame(build.ip(peer.there, peer.here, 6, bytes(segment)))


@pytest.mark.threat(39)
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("wrong", [0, 1, 0xFFFF])
def test_wrong_checksum_is_never_answered(v6: bool, state: str, wrong: int) -> None:
    peer = Peer(v6=v6)
    getattr(peer, state)()
    peer.drain()
    for flags in ("S", ".", "P.", "F.", "R", "R.", "", "FPU."):
        segment = raw(peer, flags, b"data")
        segment[16:18] = struct.pack(">H", wrong)
        peer.give(wrapped(peer, segment, checksum=False))
    peer.quiet()
    assert peer.count("tcp_bad_checksum") == 8


@pytest.mark.threat(40)
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("words", [0, 1, 4, 6, 10, 15])
def test_data_offset_beyond_the_segment_is_dropped(v6: bool, state: str, words: int) -> None:
    peer = Peer(v6=v6)
    getattr(peer, state)()
    peer.drain()
    peer.watch = None
    before = peer.stack.stats["tcp_rx"]
    for flags in ("S", ".", "R", "F."):
        segment = raw(peer, flags)
        segment[12] = words << 4 | segment[12] & 15
        peer.give(wrapped(peer, bytes(segment)))
        peer.give(wrapped(peer, bytes(segment[:19]), checksum=False))
        peer.give(wrapped(peer, bytes(segment[:1]), checksum=False))
    peer.quiet()
    assert peer.count("tcp_short") == 12 == peer.stack.stats["tcp_rx"] - before


@pytest.mark.threat(40)
@pytest.mark.parametrize("state", ["listen", "passive"])
@pytest.mark.parametrize("length", [0, 19, 20, 39, 41, 60, 1500, 65_535])
def test_ip_length_that_is_not_the_frames_is_never_believed(state: str, length: int) -> None:
    peer = Peer()
    made = getattr(peer, state)()
    packet = bytearray(build.dissect(peer.frame(".", data=b"")).packet)
    packet[2:4] = struct.pack(">H", length)
    packet[10:12] = b"\0\0"
    total = sum(struct.unpack(">10H", packet[:20]))
    packet[10:12] = struct.pack(">H", (total % 0xFFFF) ^ 0xFFFF)
    peer.give(build.frame(bytes(packet)))
    peer.quiet()
    assert made.state in ("LISTEN", "ESTABLISHED")
    if state == "passive":
        # and what follows the packet in its frame is no data
        peer.seq, seq = (peer.seq + 4) & MASK32, peer.seq
        peer.give(peer.frame("P.", seq, data=b"data") + b"padding behind the packet")
        assert read(made) == b"data"


@pytest.mark.threat(41)
@pytest.mark.threat(46)
@pytest.mark.parametrize("kind", [2, 3, 4, 5, 8, 14, 19, 27, 28, 29, 30, 34, 69, 76, 172, 253, 254, 255])
def test_option_of_any_kind_and_length_ends_the_walk_and_nothing_else(kind: int) -> None:
    for length in (0, 1, 2, 3, 4, 5, 8, 10, 12, 18, 20, 34, 38, 39, 40, 41, 80, 255):
        if (kind, length) == (8, 10):
            continue  # a timestamp as good as any
        area = bytes([kind, length]).ljust(min(max(length, 2), 40), b"\x5a").ljust(40, b"\x01")[:40]
        peer = Peer()
        peer.watch = None
        peer.listen()
        peer.send("S", options=area)
        signed = kind in (19, 29)
        if signed and not peer.out:
            continue
        seg = peer.expect("S.")
        peer.seq, peer.ack = (peer.seq + 1) & MASK32, seg.end
        peer.ts = seg.option(Timestamps) is not None
        peer.send(".")
        sock = peer.listener.accept()
        peer.data(b"data")
        assert read(sock) == b"data"
        peer.send(".", options=area)
        assert sock.state == "ESTABLISHED"


@pytest.mark.threat(42)
@pytest.mark.parametrize(
    ("options", "size"),
    [
        ((Mss(0),), 536), ((Mss(1),), 216), ((Mss(20),), 216), ((Mss(48),), 216), ((Mss(65_535),), 1460),
        ((Unknown(2, b""),), 536), ((Unknown(2, b"\x05"),), 536), ((Unknown(2, b"\x05\xb4\0"),), 536),
        ((Mss(600), Mss(900)), 600),
    ],
)
@pytest.mark.parametrize("active", [False, True])
def test_mss_option_of_any_value_gives_segments_of_a_sane_size(options: Any, size: int, active: bool) -> None:
    peer = Peer()
    sock = peer.active(options) if active else peer.passive(options)
    sock.send(bytes(5000))
    peer.flush()
    sizes = [len(seg.data) for seg in peer.drain()]
    assert sizes[0] == size and max(sizes) == size


@pytest.mark.threat(43)
@pytest.mark.parametrize("shift", [0, 1, 13, 14, 15, 16, 31, 32, 63, 64, 255])
@pytest.mark.parametrize("active", [False, True])
@pytest.mark.rfc("7323", "2.3", "a shift above 14 counts as 14")
def test_window_scale_of_any_value_gives_a_window_of_30_bits(shift: int, active: bool) -> None:
    peer = Peer()
    options = (Mss(1460), WindowScale(shift), WindowScale(3))
    sock = peer.active(options) if active else peer.passive(options)
    peer.send(".", window=65_535)
    assert sock.info().snd_wnd == 65_535 << min(shift, 14)
    peer.send(".", window=100, options=(WindowScale(7), Nop()))
    assert sock.info().snd_wnd == 100 << min(shift, 14)


@pytest.mark.threat(43)
@pytest.mark.rfc("7323", "2.2", "a SYN,ACK may have the option only if the SYN had it")
def test_window_scale_in_a_syn_ack_alone_is_ignored() -> None:
    peer = Peer(window_scaling=False)
    sock, seg = peer.connecting()
    assert seg.option(WindowScale) is None
    peer.watch = None
    peer.send("S.", options=(Mss(1460), WindowScale(9)), window=1000)
    peer.seq = (peer.seq + 1) & MASK32
    peer.send(".", window=1000)
    assert sock.info().snd_wnd == 1000 and sock.info().rcv_wscale == 0


@pytest.mark.threat(44)
@pytest.mark.parametrize("data", [b"", b"\0\0\0\1", b"\0\0\0\1\0\0\0", b"\0\0\0\1\0\0\0\0\0"])
def test_timestamps_of_a_wrong_length_are_none(data: bytes) -> None:
    peer = Peer()
    sock = peer.passive((Mss(1460), Unknown(8, data)))
    assert not sock.info().timestamps
    other = Peer()
    sock = other.passive(FULL)
    other.send("P.", data=b"x", options=(Unknown(8, data),))
    other.quiet()
    assert not sock.readable and other.count("tcp_timestamp_missing") == 1


@pytest.mark.threat(44)
def test_second_timestamps_option_of_a_segment_is_ignored() -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    good = peer.timestamps()
    peer.seq, seq = (peer.seq + 1) & MASK32, peer.seq
    peer.send("P.", seq, data=b"a", options=(good, Timestamps((good.value + (1 << 30)) & MASK32, 0)))
    peer.data(b"b")
    assert read(sock) == b"ab" and peer.count("tcp_paws") == 0


@pytest.mark.threat(45)
@pytest.mark.parametrize("size", [0, 1, 4, 7, 8, 9, 15, 17, 31, 33])
@pytest.mark.parametrize("agreed", [False, True])
def test_sack_of_any_length_is_survived(size: int, agreed: bool) -> None:
    peer = Peer()
    sock = peer.passive((Mss(1460), SackPermitted()) if agreed else PLAIN)
    sock.send(bytes(14_600))
    peer.flush()
    peer.drain()
    edges = struct.pack(">II", (peer.ack + 1460) & MASK32, (peer.ack + 2920) & MASK32) * 5
    for _ in range(5):
        peer.send(".", options=(Unknown(5, edges[:size]), SackPermitted()))
    sent = [seg for seg in peer.drain() if seq_diff(seg.seq, peer.ack) < 14_600]
    assert len(sent) <= 2 and all(seg.seq == peer.ack for seg in sent)
    assert sock.info().sack is agreed


@pytest.mark.threat(48)
@pytest.mark.parametrize(
    "area",
    [
        b"\x02\x00\0\0", b"\x08\x00\0\0", b"\x13\x12" + bytes(16) + b"\1\1", b"\x1d\x04\0\0", b"\x05\x01\1\1",
        b"\xff\xff\xff\xff",
    ],
)
@pytest.mark.parametrize("flags", ["S", "S.", ".", "P.", "F.", "R", "", "FSRPU."])
@pytest.mark.parametrize("off", [-1000, -1, 1, 1000, 1 << 20, 1 << 31])
def test_bad_options_from_somebody_who_guesses_do_not_end_a_connection(area: bytes, flags: str, off: int) -> None:
    peer = Peer()
    sock = peer.passive()
    peer.watch = None
    peer.send(flags, peer.seq + off, peer.ack + off, options=area)
    assert sock.state == "ESTABLISHED"
    assert all(seg.flags == "." for seg in peer.drain())
    peer.data(b"alive")
    assert read(sock) == b"alive"


def placed(ours: int, *, active: bool = False) -> Peer:
    """A peer whose stack's next ISN to it is `ours`."""
    probe = Peer()
    if active:
        _, seg = probe.connecting()
    else:
        probe.listen()
        seg = probe.syn()
    return Peer(now=probe.now + ((ours - seg.seq) & MASK32) * 4000)


@pytest.mark.threat(49)
@pytest.mark.parametrize("options", [PLAIN, (Mss(1460), SackPermitted()), FULL])
@pytest.mark.parametrize("ours", [0xFFFFFFFF, 0xFFFFFFFE, 0, 0x7FFFFFFF, 0xFFFFFFFF - 3000, 0xFFFFFFFF - 10_000])
def test_numbers_wrap_while_data_acks_and_sacks_cross_zero(options: Any, ours: int) -> None:
    peer = placed(ours)
    sock = peer.passive(options)
    assert sock.tcb is not None and sock.tcb.iss == ours
    sock.send(bytes(index % 251 for index in range(14_600 if peer.ts else 13_140)))
    peer.flush()
    sent = peer.drain()
    lost, rest = sent[2], sent[3:]
    peer.ack = lost.seq
    peer.send(".")
    for seg in rest[:4]:
        sacked = Sack(((rest[0].seq, seg.end),))
        stamps = (peer.timestamps(),) if peer.ts else ()
        peer.send(".", options=(Nop(), Nop(), sacked, Nop(), Nop(), *stamps) if SackPermitted() in options else None)
    again = [seg for seg in peer.drain() if seg.seq == lost.seq]
    assert again and again[0].data == lost.data
    peer.ack = rest[-1].end
    peer.send(".")
    for _ in range(3):
        peer.take()
        peer.advance(0.3)
    assert sock.info().unacked == 0


@pytest.mark.threat(49)
@pytest.mark.parametrize("start", [0xFFFFFFFF, 0xFFFFFFF0, 0x7FFFFFFF, 0x80000000, 0])
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_peers_numbers_wrap_in_any_order(start: int, options: Any) -> None:
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)):
        peer = Peer()
        peer.seq = start
        sock = peer.passive(options)
        for index in order:
            peer.send("P.", peer.seq + 10 * index, data=bytes([index]) * 10)
        assert read(sock) == b"".join(bytes([index]) * 10 for index in range(4))
        assert sock.tcb is not None and sock.tcb.rcv_nxt == (start + 41) & MASK32


@pytest.mark.threat(50)
def test_window_of_zero_in_the_handshake_is_waited_for() -> None:
    for active in (False, True):
        peer = Peer()
        peer.window = 0
        sock = peer.active(PLAIN, window=0) if active else peer.passive(PLAIN, window=0)
        sock.send(b"patience")
        peer.flush()
        peer.quiet()
        peer.advance(1.5)
        probe = peer.expect(length=1)
        peer.window, peer.ack = 65_535, probe.end
        peer.send(".")
        assert peer.take() == b"atience"


@pytest.mark.threat(50)
@pytest.mark.parametrize("data", [b"", b"last"])
def test_window_of_zero_with_fin_ends_the_stream_and_leaves_ours_open(data: bytes) -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    peer.data(data, "F.", window=0)
    assert read(sock) == data and sock.recv(1) == b"" and sock.state == "CLOSE-WAIT"
    peer.drain()
    sock.send(b"answer")
    peer.window = 0
    peer.flush()
    peer.advance(10)
    assert all(len(seg.data) == 1 for seg in peer.drain())
    peer.window = 65_535
    peer.send(".")
    assert b"answer".endswith(peer.take()[-5:])


@pytest.mark.threat(50)
def test_largest_window_there_is_overflows_nothing() -> None:
    peer = Peer(send_buffer=1 << 20)
    sock = peer.passive((Mss(1460), WindowScale(14)), window=65_535)
    peer.watch = None
    for _ in range(8):
        while error_of(sock.send, bytes(1 << 18)) is not WouldBlock:
            pass
        peer.flush()
        for seg in peer.out:
            assert seq_diff(seg.end, peer.ack) < 1 << 30
        peer.take()
    assert sock.info().snd_wnd == 65_535 << 14 and sock.info().unacked < 1 << 30


@pytest.mark.threat(51)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("bits", range(1, 16))
def test_reserved_bits_change_nothing(state: str, bits: int) -> None:
    answers = []
    for reserved in (0, bits):
        peer = Tape()
        getattr(peer, state)()
        peer.watch = None
        segment = raw(peer, "S" if state == "listen" else "P.", b"" if state == "listen" else b"data")
        segment[12] |= reserved
        peer.give(wrapped(peer, bytes(segment)))
        answers.append([bytes(seg.frame.packet) for seg in peer.tape])
    assert answers[0] == answers[1] and answers[0]


@pytest.mark.threat(51)
@pytest.mark.parametrize("flags", ["SE", "SW", "E.", "W.", "EWP.", "EWF.", "EWR"])
def test_odd_ecn_bits_open_and_close_as_without(flags: str) -> None:
    peer = Peer()
    if "S" in flags:
        peer.listen()
        peer.send(flags, ISN, options=PLAIN)
        seg = peer.expect("S.")
        peer.seq, peer.ack = (peer.seq + 1) & MASK32, seg.end
        peer.send(".")
        assert peer.listener.accept().state == "ESTABLISHED"
        return
    sock = peer.passive()
    peer.data(b"data" if "P" in flags else b"", flags)
    assert sock.state == ("CLOSE-WAIT" if "F" in flags else "CLOSED" if "R" in flags else "ESTABLISHED")
    if "P" in flags:
        assert read(sock) == b"data"
