"""What the copy does not have: holes as zeros, reads that break at them, deadlines, and a reader that is too slow."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.passive_sockets.lab import Silent, Talk, watched
from tests.unit.promiscuous.lab import MILLISECOND, SECOND
from uinet import (
    IPPROTO_TCP,
    MSG_HOLE_BREAK,
    MSG_PEEK,
    SO_RCVBUF,
    SOL_SOCKET,
    TCP_HOLE,
    TCP_REASSDL,
    Hole,
    InvalidArgument,
    WouldBlock,
)
from uinet.passive.options import Limits, Options


def holed(lab: Silent, pieces: list[bytes | int], **options: Any) -> Any:
    """A client's stream of these pieces, of which the numbers are bytes that the copy lacks; its primary socket."""
    talk = Talk(lab)
    primary, _ = watched(lab, talk, **options)
    for piece in pieces:
        if isinstance(piece, int):
            talk.client.lose("P.", bytes(piece))
        else:
            talk.client.send("P.", piece)
    talk.server.send(".")
    lab.pause()
    return primary


def test_plain_reads_have_zeros_and_say_so_beside() -> None:
    sock = holed(Silent(), [b"abc", 4, b"defg", 2, b"h"])
    assert sock.recv(5) == b"abc\0\0"
    data, ancillary, flags, sender = sock.recvmsg(7)
    assert (data, flags, sender) == (b"\0\0defg\0", 0, sock.getpeername())
    assert ancillary == [
        (IPPROTO_TCP, TCP_HOLE, Hole(5, 2, "lost")), (IPPROTO_TCP, TCP_HOLE, Hole(11, 1, "lost")),
    ]
    assert sock.unread == 2
    assert sock.recv(99) == b"\0h"
    assert not sock.readable
    info = sock.info()
    assert (info.bytes_received, info.missing, info.holes, info.unread) == (14, 6, 2, 0)


def test_reads_that_break_at_holes() -> None:
    """libuinet's meaning: up to the hole; then the hole alone, told by the flag; and then on."""
    sock = holed(Silent(), [b"abc", 4, b"defg"])
    assert sock.recvmsg(99, MSG_HOLE_BREAK)[:3] == (b"abc", [], 0)
    assert sock.next_hole() == Hole(3, 4, "lost")
    assert sock.recvmsg(3, MSG_HOLE_BREAK)[:3] == (
        b"\0\0\0", [(IPPROTO_TCP, TCP_HOLE, Hole(3, 3, "lost"))], MSG_HOLE_BREAK,
    )
    assert sock.recvmsg(99, MSG_HOLE_BREAK)[:3] == (
        b"\0", [(IPPROTO_TCP, TCP_HOLE, Hole(6, 1, "lost"))], MSG_HOLE_BREAK,
    )
    assert sock.next_hole() is None
    assert sock.recv(2, MSG_HOLE_BREAK) == b"de"
    assert sock.recv(99, MSG_HOLE_BREAK) == b"fg"
    with pytest.raises(WouldBlock):
        sock.recv(99, MSG_HOLE_BREAK)


def test_peeking_leaves_everything() -> None:
    sock = holed(Silent(), [b"abc", 4, b"defg"])
    for _ in range(2):
        assert sock.recv(99, MSG_PEEK) == b"abc\0\0\0\0defg"
        assert sock.recv(99, MSG_PEEK | MSG_HOLE_BREAK) == b"abc"
    assert sock.recv(3) == b"abc"
    assert sock.recv(99, MSG_PEEK | MSG_HOLE_BREAK) == bytes(4)
    assert sock.recv(1) == b"\0"
    assert sock.recv(99, MSG_PEEK) == b"\0\0\0defg"
    assert sock.stack.tcp.received_bytes == 4 + 128
    assert sock.recv(99) == b"\0\0\0defg"
    assert sock.stack.tcp.received_bytes == 0


def test_reading_into_a_buffer() -> None:
    sock = holed(Silent(), [b"abc", 4, b"defg"])
    buffer = bytearray(b"?" * 16)
    assert sock.recv_into(buffer, 5) == 5
    assert buffer[:6] == b"abc\0\0?"
    assert sock.recv_into(memoryview(buffer)[5:]) == 6
    assert buffer == b"abc\0\0\0\0defg?????"
    with pytest.raises(WouldBlock):
        sock.recv_into(buffer)


def test_reading_into_a_buffer_breaks_too() -> None:
    sock = holed(Silent(), [b"abc", 4, b"defg"])
    buffer = bytearray(16)
    assert [sock.recv_into(buffer, 0, MSG_HOLE_BREAK) for _ in range(3)] == [3, 4, 4]


def test_a_huge_hole_is_never_made() -> None:
    """A hole is as large as the window lets it be: a read gives 64 KiB of zeros at most, and it can be skipped."""
    lab = Silent()
    lab.stack.tcp.settings.passive = Options(midstream=True)
    talk = Talk(lab)
    primary, _ = watched(lab, talk)
    gap = 1 << 29
    talk.client.seq = (talk.client.seq + gap) & 0xFFFFFFFF
    for _ in range(4):
        talk.client.send("P.", b"far")
    talk.server.send(".")
    lab.pause()
    assert primary.unread == gap + 12
    assert primary.recv(1 << 40) == bytes(65536)
    assert primary.recv(1 << 40, MSG_HOLE_BREAK) == bytes(65536)
    assert primary.skip_hole() == Hole(2 * 65536, gap - 2 * 65536, "lost")
    assert primary.skip_hole() is None
    assert primary.recv(99) == b"far" * 4


def test_a_hole_at_the_end() -> None:
    lab = Silent()
    talk = Talk(lab)
    primary, _ = watched(lab, talk)
    talk.client.send("P.", b"abc")
    talk.client.lose("P.", b"tail")
    talk.server.send(".")
    talk.client.lose("F.")
    talk.server.send("F.")
    talk.client.lose(".")
    lab.pause(1000 * SECOND)
    assert primary.recvmsg(99)[:2] == (b"abc\0\0\0\0", [(IPPROTO_TCP, TCP_HOLE, Hole(3, 4, "lost"))])
    assert primary.recv(1) == b""


def test_reordering_makes_no_holes() -> None:
    lab = Silent()
    talk = Talk(lab)
    primary, _ = watched(lab, talk)
    frames = [talk.client.frame("P.", bytes([i]) * 10) for i in range(100)]
    lab.feed(*reversed(frames))
    lab.feed(*frames)
    assert primary.recv(9999) == b"".join(bytes([i]) * 10 for i in range(100))
    assert primary.info().holes == 0
    assert primary.info().counters["out_of_order"] >= 99
    assert primary.info().counters["retransmitted"] == 1000


@pytest.mark.parametrize("deadline, on_listener", [(100, True), (100, False), (2500.5, False), (0, True)])
def test_reassembly_deadline(deadline: float, on_listener: bool) -> None:
    """How long a gap that nobody has acknowledged is waited for: TCP_REASSDL, in milliseconds as in libuinet."""
    lab = Silent()
    talk = Talk(lab)
    listener = lab.watch()
    assert listener.getsockopt(IPPROTO_TCP, TCP_REASSDL) == 5000
    if on_listener:
        listener.setsockopt(IPPROTO_TCP, TCP_REASSDL, deadline)
    talk.shake()
    primary = listener.accept()
    if not on_listener:
        assert primary.getsockopt(IPPROTO_TCP, TCP_REASSDL) == 5000
        primary.setsockopt(IPPROTO_TCP, TCP_REASSDL, deadline)
    assert primary.getsockopt(IPPROTO_TCP, TCP_REASSDL) == deadline
    assert primary.info().deadline == deadline / 1000  # type: ignore[attr-defined]
    talk.client.lose("P.", b"abc")
    talk.client.send("P.", b"def")
    if deadline:
        lab.pause(int(deadline * MILLISECOND) - 2 * MILLISECOND)
        assert not primary.readable
    lab.pause(4 * MILLISECOND)
    assert primary.next_hole() == Hole(0, 3, "deadline")  # type: ignore[attr-defined]
    assert primary.recv(99) == b"\0\0\0def"


def test_each_direction_has_its_own_deadline() -> None:
    lab = Silent()
    talk = Talk(lab)
    primary, peer = watched(lab, talk)
    peer.setsockopt(IPPROTO_TCP, TCP_REASSDL, 1000)
    for end in (talk.client, talk.server):
        end.lose("P.", b"abc")
        end.send("P.", b"def", ack=end.other.isn + 1)
    lab.pause(1100 * MILLISECOND)
    assert peer.recv(99) == b"\0\0\0def"
    assert not primary.readable
    lab.pause(4 * SECOND)
    assert primary.recv(99) == b"\0\0\0def"


def test_a_shorter_deadline_counts_for_what_waits_already() -> None:
    lab = Silent()
    talk = Talk(lab)
    primary, _ = watched(lab, talk)
    talk.client.lose("P.", b"abc")
    talk.client.send("P.", b"def")
    lab.pause(SECOND)
    primary.setsockopt(IPPROTO_TCP, TCP_REASSDL, 200)
    lab.pause(2 * MILLISECOND)
    assert primary.recv(99) == b"\0\0\0def"
    with pytest.raises(InvalidArgument):
        primary.setsockopt(IPPROTO_TCP, TCP_REASSDL, -1)


def test_acknowledged_and_never_seen() -> None:
    """Evidence shortens the wait to the skew of the copy."""
    lab = Silent()
    talk = Talk(lab)
    primary, _ = watched(lab, talk)
    talk.client.lose("P.", b"abc")
    talk.client.send("P.", b"def")
    talk.server.send(".")
    lab.pause(40 * MILLISECOND)
    assert not primary.readable
    lab.pause(20 * MILLISECOND)
    assert primary.next_hole() == Hole(0, 3, "lost")


def test_a_reader_that_is_too_slow() -> None:
    """Case 64: what does not fit is a hole that says so; nothing vanishes, and memory is bounded."""
    lab = Silent()
    talk = Talk(lab)
    listener = lab.watch()
    listener.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
    talk.shake()
    primary = listener.accept()
    sent = b""
    for i in range(50):
        chunk = bytes([i + 1]) * 1000
        sent += chunk
        talk.client.send("P.", chunk)
    assert lab.stack.tcp.received_bytes <= 4096 + 128
    data = b""
    while primary.readable:
        data += primary.recv(1 << 20)
    assert len(data) == 50_000
    assert data[:4096] == sent[:4096]
    assert data[4096:] == bytes(50_000 - 4096)
    info: Any = primary.info()
    assert (info.overrun, info.missing) == (50_000 - 4096, 50_000 - 4096)
    assert lab.count("passive_overrun_bytes") == 50_000 - 4096
    talk.client.send("P.", b"room again")
    assert primary.recv(99) == b"room again"
    assert lab.stack.tcp.received_bytes == 0


def test_overrun_is_one_hole_with_its_reason() -> None:
    lab = Silent()
    talk = Talk(lab)
    primary, _ = watched(lab, talk)
    primary.setsockopt(SOL_SOCKET, SO_RCVBUF, 2048)
    for _ in range(10):
        talk.client.send("P.", b"x" * 500)
    assert len(primary.recv(4096, MSG_HOLE_BREAK)) == 2048
    assert primary.next_hole() == Hole(2048, 5000 - 2048, "overrun")


def test_many_tiny_holes_are_bounded() -> None:
    """Holes count against the buffer as well: a copy that lacks every other byte fills no memory."""
    lab = Silent()
    talk = Talk(lab)
    primary, _ = watched(lab, talk)
    primary.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
    for _ in range(500):
        talk.client.lose("P.", b"-")
        talk.client.send("P.", b"+")
        talk.server.send(".")
    lab.pause()
    assert lab.stack.tcp.received_bytes <= 4096 + 128
    data, ancillary, _, _ = primary.recvmsg(2000)
    holes = [hole for _, _, hole in ancillary]
    assert len(data) == 1000
    assert data[:20] == b"\0+" * 10
    assert len(holes) < 40
    assert [hole.reason for hole in holes[:-1]] == ["lost"] * (len(holes) - 1)
    assert (holes[-1].reason, holes[-1].offset + holes[-1].length) == ("overrun", 1000)


def test_memory_in_all_is_bounded() -> None:
    lab = Silent()
    lab.stack.tcp.settings.receive_memory = 10_000
    listener = lab.watch()
    talks = [Talk(lab, sport=4000 + i) for i in range(5)]
    for talk in talks:
        talk.shake()
        for _ in range(5):
            talk.client.send("P.", b"x" * 1000)
    assert lab.stack.tcp.received_bytes <= 10_000 + 5 * 128
    total = 0
    for _ in talks:
        sock: Any = listener.accept()
        total += sock.info().bytes_received
        sock.close()
    assert total == 25_000
    assert lab.stack.tcp.received_bytes == 0


def test_held_data_are_bounded() -> None:
    """What waits behind a gap has its own budget; giving up is a hole that says so."""
    lab = Silent()
    lab.stack.tcp.settings.passive = Options(limits=Limits(held_connection=20_000))
    talk = Talk(lab)
    primary, _ = watched(lab, talk)
    talk.client.lose("P.", b"abc")
    for _ in range(30):
        talk.client.send("P.", b"x" * 1000)
    assert primary.next_hole() == Hole(0, 3, "budget")
    assert primary.recv(99_999) == bytes(3) + b"x" * 30_000


def test_large_segments_are_kept_by_reference_and_read_in_order() -> None:
    lab = Silent()
    talk = Talk(lab)
    primary, _ = watched(lab, talk)
    blocks = [bytes([i]) * 9000 for i in range(1, 9)]
    for block in blocks:
        talk.client.send("P.", block)
    assert primary.recv(70_000, MSG_PEEK) == b"".join(blocks)[:70_000]
    assert primary.recv(100_000) == b"".join(blocks)


def test_different_bytes_for_one_place_are_counted() -> None:
    lab = Silent()
    talk = Talk(lab)
    primary, _ = watched(lab, talk)
    seq = talk.client.seq
    talk.client.send("P.", b"genuine")
    talk.client.send("P.", b"evasion", seq=seq)
    assert primary.recv(99) == b"genuine"
    assert lab.count("passive_conflicts") == 1
    assert primary.info().counters["conflicts"] == 1


def test_bad_checksums_are_no_data() -> None:
    lab = Silent()
    talk = Talk(lab)
    primary, _ = watched(lab, talk)
    frame = bytearray(talk.client.frame("P.", b"abc"))
    frame[-1] ^= 1
    lab.feed(bytes(frame))
    assert not primary.readable
    assert lab.count("tcp_bad_checksum") == 1
