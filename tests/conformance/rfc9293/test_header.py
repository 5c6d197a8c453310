"""RFC 9293 3.1 and 3.2: the header and its options."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.rfc9293.tape import Tape, area, checksum_is_right, known, life
from tests.unit.tcp.peer import FULL, PLAIN, Peer, read
from uinet.errors import ConnectionReset, WouldBlock
from uinet.socket import Socket
from uinet.units import MASK32
from uinet.wire.tcp_options import End, Malformed, Mss, Nop, SackPermitted, Unknown, WindowScale


def fill(peer: Peer, sock: Socket, rounds: int = 12) -> int:
    """Sends all that the stack is let to, then acknowledges no more: bytes in flight in the end."""
    for index in range(rounds):
        while True:
            try:
                sock.send(bytes(1 << 20))
            except WouldBlock:
                break
        peer.flush()
        if index < rounds - 1:
            peer.take()
            peer.advance(0.01)
    return sock.info().unacked


@pytest.mark.rfc("9293", "MUST-1", "the window is an unsigned number")
@pytest.mark.parametrize("window", [0x7FFF, 0x8000, 0xFFFF])
def test_established_window_of_16_bits_is_used_to_its_end(window: int) -> None:
    peer = Peer()
    sock = peer.passive(PLAIN, window=window)
    assert window - 1460 < fill(peer, sock) <= window
    assert sock.info().snd_wnd == window


@pytest.mark.rfc("9293", "REC-1", "windows are kept as 32-bit numbers")
def test_established_windows_have_30_bits_both_ways() -> None:
    peer = Peer(receive_buffer=1 << 25, send_buffer=1 << 21)
    sock = peer.passive((Mss(1460), WindowScale(14)), window=65535)
    peer.watch = None
    assert sock.info().snd_wnd == 65535 << 14
    assert fill(peer, sock, 8) > 4 * 65535
    for _ in range(100):
        peer.data(bytes(1400))
    read(sock)
    peer.advance(0.1)
    seg = peer.drain()[-1]
    assert seg.window << sock.info().rcv_wscale > 1 << 24


@pytest.mark.rfc("9293", "MUST-2", "the sender computes the checksum")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("active", [False, True])
def test_any_state_every_segment_has_the_right_checksum(v6: bool, active: bool) -> None:
    for seg in life(v6=v6, active=active):
        assert checksum_is_right(seg.frame.packet), seg


def damaged(frame: bytes, at: int) -> bytes:
    """A frame with one bit turned, `at` counted from the end of the IP header; or from the end, if negative."""
    turned = bytearray(frame)
    turned[14 + 40 + at if at >= 0 and frame[12] == 0x86 else 14 + 20 + at if at >= 0 else at] ^= 0x10
    return bytes(turned)


@pytest.mark.rfc("9293", "MUST-3", "the receiver verifies the checksum")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("at", [1, 3, 5, 8, 13, 14, 16, 18, -1])
def test_any_state_segment_with_one_wrong_bit_is_dropped_silently(v6: bool, at: int) -> None:
    peer = Peer(v6=v6)
    peer.listen()
    peer.give(damaged(peer.frame("S", options=PLAIN), at))
    assert peer.stack.tcp.syn_count == 0
    sock = peer.passive()
    before = known(sock)
    for flags, data in ((".", b"data"), ("F.", b""), ("R", b""), ("S", b""), (".", b"")):
        peer.give(damaged(peer.frame(flags, data=data), at))
    peer.advance(1)
    peer.quiet()
    assert peer.count("tcp_bad_checksum") == 6
    assert known(sock) == before and sock.state == "ESTABLISHED"


@pytest.mark.rfc("9293", "MUST-4", "end of list, no operation and MSS are supported")
@pytest.mark.rfc("9293", "MUST-64", "options need not begin at a word boundary")
@pytest.mark.parametrize(
    "options",
    [
        (Mss(1000),), (Nop(), Mss(1000), End()), (Nop(), Nop(), Nop(), Mss(1000), Nop()), (Mss(1000), End(b"\0\0\0")),
        (SackPermitted(), Nop(), Mss(1000)), (WindowScale(0), Mss(1000), End()), (Unknown(77, b"abc"), Mss(1000)),
    ],
)
def test_listen_mss_is_found_wherever_it_stands(options: Any) -> None:
    peer = Peer()
    sock = peer.passive(options)
    assert sock.info().snd_mss == 1000


@pytest.mark.rfc("9293", "MUST-4", "what follows the end of the list is no option")
def test_listen_option_behind_the_end_of_the_list_is_ignored() -> None:
    peer = Peer()
    sock = peer.passive((Mss(1000), End(b"\x02\x04\x01\xf4\x00\x00\x00")))
    assert sock.info().snd_mss == 1000
    other = Peer()
    sock = other.passive((End(b"\x02\x04\x03\xe8\x00\x00\x00"),))
    assert sock.info().snd_mss == 536


@pytest.mark.rfc("9293", "MUST-5", "an option may come in any segment")
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_established_options_in_data_ack_fin_and_rst(options: Any) -> None:
    def decorated(peer: Peer) -> tuple[Any, ...]:
        stamps = (peer.timestamps(),) if peer.ts else ()
        return (Unknown(253, b"\0\1"), Mss(700), *stamps, Nop(), Unknown(77, b""), SackPermitted())

    peer = Peer()
    sock = peer.passive(options)
    peer.data(b"data", options=decorated(peer))
    assert read(sock) == b"data"
    sock.send(b"answer")
    peer.flush()
    peer.ack = (peer.ack + 6) & MASK32
    peer.send(".", options=decorated(peer))
    assert sock.info().unacked == 0
    assert sock.info().snd_mss == (1448 if peer.ts else 1460), "the MSS is a SYN's alone"
    peer.data(b"", "F.", options=decorated(peer))
    assert sock.state == "CLOSE-WAIT"
    peer.send("R", options=decorated(peer))
    assert isinstance(sock.error, ConnectionReset)


@pytest.mark.rfc("9293", "MUST-6", "options that are not known are passed over")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("kind", [6, 77, 253, 254, 255])
def test_any_state_unknown_option_changes_nothing(v6: bool, kind: int) -> None:
    tapes = []
    for extra in ((), (Unknown(kind, b"\x02\x04"),)):
        peer = Tape(v6=v6)
        peer.listen()
        peer.syn((*extra, Mss(1400), *extra, WindowScale(2)))
        peer.send(".", options=extra)
        sock = peer.listener.accept()
        peer.data(b"question", options=extra)
        sock.send(read(sock)[::-1])
        peer.flush()
        peer.take()
        peer.data(b"", "F.", options=(*extra, Nop(), Nop(), Nop(), Nop(), *extra))
        sock.close()
        peer.flush()
        tapes.append([seg.frame.packet for seg in peer.tape])
    assert tapes[0] == tapes[1] and len(tapes[0]) >= 3


@pytest.mark.rfc("9293", "MUST-7", "an option with an impossible length does no harm")
@pytest.mark.parametrize("kind", [0x02, 0x03, 0x04, 0x05, 0x08, 0x22, 0xFD])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 5, 41, 255])
def test_any_state_option_with_a_wrong_length_is_survived(kind: int, length: int) -> None:
    bad = bytes([kind, length, 0xFF, 0xFF])
    for options in (bad, b"\x01" * 37 + bad[:3], b"\x01" * 39 + bad[:1], bad * 10):
        peer = Peer()
        peer.watch = None  # a scale of windows may be among them
        sock = peer.passive(options)
        peer.data(b"data", options=options)
        peer.data(b"", "F.", options=options)
        assert read(sock) == b"data" and sock.recv(1) == b""
        assert 216 <= sock.info().snd_mss <= 1460


@pytest.mark.rfc("9293", "MUST-65", "the MSS option is sent with SYN only")
@pytest.mark.rfc("9293", "MUST-68", "every option but end of list and no operation has a length")
@pytest.mark.rfc("9293", "MUST-69", "padding is zero")
@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("options", [(), PLAIN, FULL, (*FULL[:3], Nop())])
def test_any_state_own_options_are_well_formed(active: bool, options: Any) -> None:
    for seg in life(active=active, options=options):
        assert not any(isinstance(option, Malformed) for option in seg.options)
        assert ("S" in seg.flags) == any(isinstance(option, Mss) for option in seg.options)
        rest = area(seg)
        while rest and rest[0] != 0:
            if rest[0] == 1:
                rest = rest[1:]
                continue
            assert 2 <= rest[1] <= len(rest)
            rest = rest[rest[1] :]
        assert not any(rest)
