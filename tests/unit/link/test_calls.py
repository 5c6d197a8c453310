"""Batches of messages and the ring of blocks: both twins say the same, and read nothing that isn't there."""

from __future__ import annotations

import errno
import random
import socket
import struct
import sys
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.unit.link.twins import compiled, interpreted
from uinet.link import calls, vnet
from uinet.wire.build import tcp
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID, Frame

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux packet sockets")

TWINS = [calls, interpreted(calls)] if compiled(calls) else [calls]
twins = pytest.mark.parametrize(
    "twin", TWINS, ids=lambda twin: "compiled" if compiled(calls) and twin is calls else "pure"
)

PLAIN = bytes(10)
VLAN, TPID, NOT_READY, CSUM_VALID = 1 << 4, 1 << 6, 1 << 3, 1 << 7
BLOCK = 1 << 16


def seen(found: list[Any]) -> list[Any]:
    """What was found, for comparison."""
    return [item if isinstance(item, tuple) else (item.data, item.checksum, item.gso_size) for item in found]


# messages


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        for one in (ours, theirs):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        yield ours, theirs


@twins
def test_messages_come_as_frames_in_order(twin: ModuleType, pair: tuple[socket.socket, socket.socket]) -> None:
    batches = twin.Batches(pair[0], True)
    assert batches.receive(64) == []
    assert (batches.error, batches.specials) == (0, 0)
    payloads = [bytes([n]) * size for n, size in enumerate((0, 1, 60, 4095, 4096, 4097, 65_000))]
    for limit in (64, 7, 64):
        for data in payloads:
            pair[1].send(PLAIN + data)
        found = batches.receive(limit)
        assert seen(found) == [(data, CHECKSUM_UNKNOWN, 0) for data in payloads]
        assert (batches.octets, batches.specials) == (sum(map(len, payloads)), 0)
        assert (batches.error, batches.truncated) == (0, 0)


@twins
def test_limit_of_messages_is_kept(twin: ModuleType, pair: tuple[socket.socket, socket.socket]) -> None:
    batches = twin.Batches(pair[0], False)
    for n in range(9):
        pair[1].send(bytes([n]))
    assert [frame.data for frame in batches.receive(4)] == [b"\0", b"\1", b"\2", b"\3"]
    assert batches.receive(0) == []
    assert [frame.data for frame in batches.receive(200)] == [b"\4", b"\5", b"\6", b"\7", b"\10"]


@twins
def test_what_a_header_says_is_handed_on(twin: ModuleType, pair: tuple[socket.socket, socket.socket]) -> None:
    batches = twin.Batches(pair[0], True)
    unfinished = struct.pack("=BBHHHH", 1, 1, 54, 1448, 34, 16)
    pair[1].send(unfinished + b"a" * 5000)
    pair[1].send(struct.pack("=BBHHHH", 2, 0, 0, 0, 0, 0) + b"b")
    pair[1].send(struct.pack("=BBHHHH", 2, 1, 0, 0, 0, 0) + b"c")
    found = batches.receive(64)
    assert seen(found) == [
        (unfinished, b"a" * 5000, b"", 0),
        (b"b", CHECKSUM_VALID, 0),
        (struct.pack("=BBHHHH", 2, 1, 0, 0, 0, 0), b"c", b"", 0),
    ]
    assert (batches.specials, batches.octets) == (2, 1)


@twins
def test_messages_that_are_cut_or_too_short_are_counted(
    twin: ModuleType, pair: tuple[socket.socket, socket.socket]
) -> None:
    batches = twin.Batches(pair[0], True)
    pair[1].send(bytes(10 + 65535 + 14 + 64 + 1))
    pair[1].send(bytes(9))
    pair[1].send(PLAIN + b"x")
    assert seen(batches.receive(64)) == [(b"x", CHECKSUM_UNKNOWN, 0)]
    assert batches.truncated == 2


@twins
def test_error_of_the_socket_is_told(twin: ModuleType, pair: tuple[socket.socket, socket.socket]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        sock.connect(("127.0.0.1", 9))
        batches = twin.Batches(sock, False)
        assert batches.send(None, [b"x"], 0) == 1
        assert batches.receive(64) == []
        assert batches.error == errno.ECONNREFUSED  # an ICMP error, on loopback it has come at once
        assert batches.receive(64) == []
        assert batches.error == 0


def unfinished(rng: random.Random) -> tuple[bytes, bytes]:
    """A TCP segment whose checksum is still to be computed, and its header; mostly with something wrong."""
    vlans = tuple(range(1, 1 + rng.choice((0, 0, 1, 3, 16))))
    ends = rng.choice((("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")))
    data = bytearray(tcp(*ends, 1, 2, "A", options=bytes(4 * rng.randrange(3)), payload=bytes(9), vlans=vlans))
    l3 = 14 + 4 * len(vlans)
    l4 = l3 + (20 if ends[0] == "10.0.0.1" else 40)
    start, offset = l4, 16
    wrong = rng.randrange(9)
    if wrong == 0:
        data[rng.randrange(12, len(data))] = rng.randrange(256)
    elif wrong == 1:
        data[rng.randrange(l3, l3 + 20)] ^= 1 << rng.randrange(8)
    elif wrong == 2:
        data[l4 + 12] = rng.randrange(256)
    elif wrong == 3:
        start += rng.choice((-1, 1, 20))
    elif wrong == 4:
        offset = rng.choice((6, 15, 17))
    elif wrong == 5:
        del data[rng.randrange(len(data)) :]
    gso = (1, 1448) if rng.randrange(6) == 0 else (0, 0)
    return struct.pack("=BBHHHH", rng.choice((1, 1, 1, 3)), gso[0], l4 + 20, gso[1], start, offset), bytes(data)


@twins
def test_checksum_of_a_segments_own_is_seen_at_once_or_left_to_be_looked_at(
    twin: ModuleType, pair: tuple[socket.socket, socket.socket]
) -> None:
    batches = twin.Batches(pair[0], True)
    rng = random.Random(7)
    frames = 0
    for _ in range(2000):
        header, data = unfinished(rng)
        pair[1].send(header + data)
        found = batches.receive(1)
        if isinstance(found[0], tuple):
            assert found == [(header, data, b"", 0)]
            continue
        frames += 1
        assert seen(found) == seen(vnet.decode(header, data, 2)) == [(data, CHECKSUM_NEEDED, 0)]
        assert batches.octets == len(data)
    assert (frames > 200) == (twin is calls and compiled(calls))


@twins
@pytest.mark.parametrize("headers", [True, False])
def test_packets_are_sent_behind_their_headers(
    twin: ModuleType, pair: tuple[socket.socket, socket.socket], headers: bool
) -> None:
    batches = twin.Batches(pair[0], headers)
    packets = [bytes([n % 256]) * (n + 1) for n in range(150)]
    heads = [bytes([n]) * 10 for n in range(150)] if headers else None
    at, got = 0, []
    while at < len(packets):
        done = batches.send(heads, packets, at)
        assert 0 < done <= 64
        at += done
        got += [pair[1].recv(70_000) for _ in range(done)]
    assert got == [(heads[n] if heads else b"") + data for n, data in enumerate(packets)]
    assert batches.send(heads, packets, len(packets)) == 0


@twins
def test_send_says_why_nothing_went(twin: ModuleType, pair: tuple[socket.socket, socket.socket]) -> None:
    batches = twin.Batches(pair[0], False)
    total = 0
    while (done := batches.send(None, [bytes(1000)] * 64, 0)) > 0:
        total += done
        assert total < 100_000
    assert done == -errno.EAGAIN
    while True:
        try:
            pair[1].recv(2000)
        except BlockingIOError:
            break
    assert batches.send(None, [b"x", bytes(8 << 20), b"y"], 0) == 1
    assert batches.send(None, [b"x", bytes(8 << 20), b"y"], 1) == -errno.EMSGSIZE


@twins
def test_send_of_what_is_not_there_is_an_error(twin: ModuleType, pair: tuple[socket.socket, socket.socket]) -> None:
    batches = twin.Batches(pair[0], True)
    with pytest.raises(IndexError):
        batches.send([], [b"x"], 0)
    with pytest.raises(IndexError):
        batches.send([b""], [b"x"], -1)
    with pytest.raises(TypeError):
        batches.send([None], [7], 0)


@twins
@pytest.mark.parametrize("headers", [True, False])
def test_frames_are_sent_up_to_the_first_that_is_not_finished(
    twin: ModuleType, pair: tuple[socket.socket, socket.socket], headers: bool
) -> None:
    batches = twin.Batches(pair[0], headers)
    frames = [Frame(bytes([n]) * (n + 1)) for n in range(100)]
    frames[70].checksum = CHECKSUM_NEEDED
    frames[71].gso_size = 10
    assert batches.send_frames(frames, 0) == 64
    assert batches.octets == sum(range(1, 65))
    assert batches.send_frames(frames, 64) == 6
    assert batches.send_frames(frames, 70) == batches.send_frames(frames, 71) == 0
    assert batches.octets == 0
    assert batches.send_frames(frames, 72) == 28
    got = [pair[1].recv(70_000) for _ in range(98)]
    assert got == [(PLAIN if headers else b"") + frame.data for frame in frames[:70] + frames[72:]]
    assert batches.send_frames(frames, 100) == 0
    for start in (-1, 101):
        with pytest.raises(IndexError):
            batches.send_frames(frames, start)


@twins
def test_send_frames_says_why_nothing_went(twin: ModuleType, pair: tuple[socket.socket, socket.socket]) -> None:
    batches = twin.Batches(pair[0], False)
    frames = [Frame(b"x"), Frame(bytes(8 << 20)), Frame(b"y")]
    assert batches.send_frames(frames, 0) == 1
    assert batches.send_frames(frames, 1) == -errno.EMSGSIZE


# the ring


def entry(
    data: bytes, *, header: bytes = PLAIN, status: int = 0, tci: int = 0, tpid: int = 0, kind: int = 0,
    length: int | None = None, last: bool = False, offset: int | None = None, captured: int | None = None,
) -> bytes:
    """A packet in a block, its header first."""
    start = 48 + 20 + 10
    size = -(-(start + len(data)) // 8) * 8
    head = struct.pack(
        "=IIIIIIHHIIH10xHHiHBB8s", 0 if last else size, 1, 2, len(data) if captured is None else captured,
        len(data) if length is None else length, status, start if offset is None else offset, start + 14, 0, tci, tpid,
        17, 0x0300, 7, 1, kind, 6, bytes(8),
    )
    return (head + header + data).ljust(size, b"\0")


def block(
    *entries: bytes, count: int | None = None, status: int = 1, first: int = 48, used: int | None = None
) -> bytes:
    body = b"".join(entries)
    size = 48 + len(body) if used is None else used
    count = len(entries) if count is None else count
    head = struct.pack("=IIIIIIQIIII", 1, 0, status, count, first, size, 1, 0, 0, 0, 0)
    return (head + body).ljust(BLOCK, b"\0")


def status_of(memory: bytearray, index: int) -> int:
    return int(struct.unpack_from("=I", memory, index * BLOCK + 8)[0])


@twins
def test_ring_gives_packets_of_blocks_in_turn(twin: ModuleType) -> None:
    memory = bytearray(
        block(entry(b"a" * 60), entry(b"b" * 60, last=True)) + block(entry(b"c" * 3000, last=True)) + block(status=0)
    )
    ring = twin.BlockRing(memory, BLOCK, 3, True)
    assert [frame.data for frame in ring.receive(1)] == [b"a" * 60]
    assert status_of(memory, 0) == 1  # not yet read to its end
    assert [frame.data for frame in ring.receive(64)] == [b"b" * 60, b"c" * 3000]
    assert (ring.octets, ring.specials, ring.error) == (3060, 0, 0)
    assert [status_of(memory, n) for n in range(3)] == [0, 0, 0]
    assert ring.receive(64) == []
    memory[2 * BLOCK : 3 * BLOCK] = block(entry(b"d" * 60, last=True))
    memory[:BLOCK] = block(entry(b"e" * 60, last=True))
    assert [frame.data for frame in ring.receive(64)] == [b"d" * 60, b"e" * 60]
    ring.release()
    assert ring.receive(64) == []
    memory.clear()  # nobody holds it any more


@twins
def test_ring_tells_times_where_it_is_asked_to(twin: ModuleType) -> None:
    special = struct.pack("=BBHHHH", 1, 0, 0, 0, 34, 16)
    memory = bytearray(block(entry(b"a" * 60), entry(b"b" * 60, header=special, last=True)))
    ring = twin.BlockRing(bytearray(memory), BLOCK, 1, True)
    assert [getattr(one, "time", None) for one in ring.receive(64)] == [0, None]
    assert ring.times == [0]
    ring = twin.BlockRing(memory, BLOCK, 1, True)
    ring.stamps = True
    assert [getattr(one, "time", None) for one in ring.receive(64)] == [1_000_000_002, None]
    assert ring.times == [1_000_000_002]


@twins
@pytest.mark.skipif(sys.platform != "linux", reason="timestamps of Linux")
def test_messages_have_the_kernels_times_where_it_is_asked_for_them(twin: ModuleType) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours, socket.socket(
        socket.AF_INET, socket.SOCK_DGRAM
    ) as theirs:
        ours.bind(("127.0.0.1", 0))
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
        stamp, asked = 1, 0  # the kernel begins with it when it has time; until then it tells when it is asked
        while stamp > asked:
            theirs.sendto(b"", ours.getsockname())
            asked = time.time_ns()
            seconds, nanoseconds = struct.unpack("=qq", ours.recvmsg(1, 100)[1][0][2])
            stamp = seconds * 1_000_000_000 + nanoseconds
        batches = twin.Batches(ours, False)
        for stamps in (False, True):
            batches.stamps = stamps
            before = time.time_ns()
            for text in (b"one", b"two"):
                theirs.sendto(text, ours.getsockname())
            found = batches.receive(64)
            assert [frame.data for frame in found] == [b"one", b"two"]
            if stamps:
                assert before <= found[0].time <= found[1].time <= time.time_ns()
            else:
                assert [frame.time for frame in found] == [0, 0]


@twins
def test_ring_puts_tags_back_and_hands_on_the_rest(twin: ModuleType) -> None:
    frame = bytes(range(60))
    special = struct.pack("=BBHHHH", 1, 0, 0, 0, 34, 16)
    memory = bytearray(block(
        entry(frame, status=VLAN | TPID, tci=0x6064, tpid=0x88A8), entry(frame, status=VLAN, tci=5),
        entry(b"short", status=VLAN, tci=5), entry(frame, tci=9), entry(frame, kind=4),
        entry(frame, length=61), entry(frame, header=special, status=VLAN, tci=3),
        entry(frame, header=b"\2" + bytes(9), last=True),
    ))
    ring = twin.BlockRing(memory, BLOCK, 1, True)
    assert seen(ring.receive(64)) == [
        (frame[:12] + b"\x88\xa8\x60\x64" + frame[12:], 0, 0), (frame[:12] + b"\x81\x00\x00\x05" + frame[12:], 0, 0),
        (b"short", 0, 0), (frame, 0, 0), (special, frame, b"\x81\x00\x00\x03", VLAN), (frame, CHECKSUM_VALID, 0),
    ]
    assert (ring.specials, ring.truncated) == (1, 1)


@twins
def test_ring_without_headers_tells_from_the_status(twin: ModuleType) -> None:
    memory = bytearray(block(
        entry(b"a" * 60, status=NOT_READY), entry(b"b" * 60, status=CSUM_VALID), entry(b"c" * 60, last=True)
    ))
    ring = twin.BlockRing(memory, BLOCK, 1, False)
    assert seen(ring.receive(64)) == [
        (b"", b"a" * 60, b"", NOT_READY), (b"b" * 60, CHECKSUM_VALID, 0), (b"c" * 60, CHECKSUM_UNKNOWN, 0)
    ]


@twins
def test_block_can_be_taken_whole(twin: ModuleType) -> None:
    whole = block(entry(b"a" * 60, last=True))
    memory = bytearray(whole + block(status=0))
    ring = twin.BlockRing(memory, BLOCK, 2, True)
    assert ring.take_block() == whole[: 48 + 144]
    assert ring.take_block() is None
    assert status_of(memory, 0) == 0


BAD = {
    "first beyond": block(entry(b"a" * 60), first=BLOCK),
    "first within the header": block(entry(b"a" * 60), first=12),
    "used beyond": block(entry(b"a" * 60), used=1 << 31, count=1 << 31, first=BLOCK - 60),
    "captured beyond": block(entry(b"a" * 60, captured=1 << 31)),
    "start beyond": block(entry(b"a" * 60, offset=0xFFFF)),
    "start too early for a header": block(entry(b"a" * 60, offset=50)),
    "next beyond": block(struct.pack("=I", 0xFFFFFFFF) + entry(b"a" * 60)[4:], entry(b"b" * 60)),
    "more packets than there are": block(entry(b"a" * 60), count=1 << 31),
}


@twins
@pytest.mark.parametrize("name", BAD)
def test_what_no_kernel_writes_is_left_alone(twin: ModuleType, name: str) -> None:
    memory = bytearray(BAD[name] + block(entry(b"z" * 60, last=True)))
    ring = twin.BlockRing(memory, BLOCK, 2, True)
    found = ring.receive(64)
    assert found[-1].data == b"z" * 60
    assert [status_of(memory, n) for n in range(2)] == [0, 0]


@twins
def test_ring_larger_than_its_memory_is_refused(twin: ModuleType) -> None:
    for size, blocks in ((BLOCK, 2), (BLOCK, 0), (100, 1), (0, 1), (-BLOCK, 1), (5000, 1)):
        with pytest.raises(IndexError):
            twin.BlockRing(bytearray(BLOCK), size, blocks, True)


@pytest.mark.skipif(len(TWINS) < 2, reason="there is one only")
@pytest.mark.parametrize("headers", [True, False])
def test_twins_agree_on_damaged_rings(headers: bool) -> None:
    rng = random.Random(7)
    for _ in range(2000):
        entries = [
            entry(rng.randbytes(rng.randrange(100)), status=rng.choice((0, VLAN, VLAN | TPID, NOT_READY, CSUM_VALID)),
                  tci=rng.getrandbits(16), tpid=0x88A8, kind=rng.choice((0, 0, 0, 4)),
                  header=rng.choice((PLAIN, PLAIN, b"\2" + bytes(9), rng.randbytes(10))), last=n == 5)
            for n in range(6)
        ]
        good = bytearray(block(*entries) + block(entry(b"z" * 60, last=True)) + block(status=0))
        for _ in range(rng.randrange(6)):
            at = rng.randrange(48 + 150 * 6)
            good[at] = rng.choice((0, 1, 0xFF, 0x7F, rng.getrandbits(8)))
        rings = [(twin.BlockRing(memory := bytearray(good), BLOCK, 3, headers), memory) for twin in TWINS]
        for limit in (1, 4, 64, 64):
            first, second = (
                (seen(ring.receive(limit)), ring.octets, ring.specials, ring.truncated) for ring, _ in rings
            )
            assert first == second
        assert rings[0][1] == rings[1][1]


def test_frames_are_frames(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].send(b"x")
    (frame,) = calls.Batches(pair[0], False).receive(1)
    assert isinstance(frame, Frame)
    assert (frame.time, frame.gso_size) == (0, 0)
