"""The system calls of a tunnel: both builds' module against a pair of sockets."""

from __future__ import annotations

import errno
import importlib.util
import os
import socket
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from uinet.link import vectors
from uinet.wire.frame import CHECKSUM_NEEDED, Frame

TWIN = Path(__file__).parents[3] / "src/uinet/link/vectors.py"
Pair = tuple[socket.socket, socket.socket]


def twin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vectors_twin", TWIN)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=[vectors, twin()], ids=["installed", "interpreted"])
def module(request: pytest.FixtureRequest) -> ModuleType:
    found: ModuleType = request.param
    return found


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.setblocking(False)
    right.setblocking(False)
    for end in (left, right):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    with left, right:
        yield left, right


@pytest.mark.parametrize("size", [0, 1, 60, 1514, 8192, 8193, 65000, 65535])
def test_packet_comes_whole(module: ModuleType, pair: Pair, size: int) -> None:
    left, right = pair
    data = os.urandom(size)
    reader = module.FrameReader(left.fileno(), 65535, False)
    for _ in range(3):
        right.send(data)
        assert reader.read() == data
    assert reader.read() is None


@pytest.mark.parametrize("size", [0, 60, 9000, 65535])
def test_header_is_told_apart(module: ModuleType, pair: Pair, size: int) -> None:
    left, right = pair
    data = os.urandom(size)
    reader = module.FrameReader(left.fileno(), 65535, True)
    right.send(struct.pack("=BBHHHH", 1, 4, 66, 1448, 34, 16) + data)
    right.send(bytes(10) + data)
    assert reader.read() == data
    assert (reader.flags, reader.gso_type, reader.gso_size, reader.start, reader.offset) == (1, 4, 1448, 34, 16)
    assert reader.read() == data
    assert (reader.flags, reader.gso_type, reader.gso_size, reader.start, reader.offset) == (0, 0, 0, 0, 0)


def test_packet_shorter_than_its_header_is_empty(module: ModuleType, pair: Pair) -> None:
    left, right = pair
    reader = module.FrameReader(left.fileno(), 65535, True)
    right.send(b"short")
    assert reader.read() == b""


def test_what_was_read_stays_as_it_was(module: ModuleType, pair: Pair) -> None:
    left, right = pair
    reader = module.FrameReader(left.fileno(), 65535, False)
    sent = [bytes([n]) * (1 + n * 4001) for n in range(16)]
    found = []
    for data in sent:
        right.send(data)
        found.append(reader.read())
    assert found == sent


@pytest.mark.parametrize("size", [0, 60, 66, 67, 8192 + 66, 8192 + 67, 65000, 65535])
@pytest.mark.parametrize("gso_type", [0, 1, 4, 0x81, 5])
def test_large_segments_are_read_into_two_places(module: ModuleType, pair: Pair, size: int, gso_type: int) -> None:
    left, right = pair
    data = os.urandom(size)
    reader = module.FrameReader(left.fileno(), 65535, True)
    reader.split_at(66)
    for _ in range(3):
        right.send(struct.pack("=BBHHHH", 1, gso_type, 66, 1448, 34, 16) + data)
        found = reader.read()
        if size > 8192 + 66 and gso_type & 0x7F in (1, 4):
            assert (found, reader.payload) == (data[:66], data[66:])
        else:
            assert (found, reader.payload) == (data, None)
    reader.split_at(0)
    right.send(struct.pack("=BBHHHH", 1, 1, 66, 1448, 34, 16) + data)
    assert (reader.read(), reader.payload) == (data, None)
    assert (reader.read(), reader.payload) == (None, None)


def test_only_headers_are_split_off(module: ModuleType, pair: Pair) -> None:
    reader = module.FrameReader(pair[0].fileno(), 65535, True)
    for head in (-1, 257):
        with pytest.raises(ValueError, match=f"after {head} bytes"):
            reader.split_at(head)


def test_errors_of_reading_have_their_number(module: ModuleType) -> None:
    descriptor = os.open(".", os.O_RDONLY)
    try:
        with pytest.raises(IsADirectoryError):
            module.FrameReader(descriptor, 100, False).read()
    finally:
        os.close(descriptor)
    with pytest.raises(ValueError, match="at most 0 bytes"):
        module.FrameReader(0, 0, False)


@pytest.mark.parametrize("header", [b"", bytes(10)])
@pytest.mark.parametrize("count", [0, 1, 2, 62])
def test_pieces_are_gathered(module: ModuleType, pair: Pair, header: bytes, count: int) -> None:
    left, right = pair
    payload = bytearray(os.urandom(count * 100))
    pieces = [memoryview(payload)[at : at + 100] for at in range(0, len(payload), 100)]
    assert module.write_packet(left.fileno(), header, b"headers", pieces or None) == 0
    assert right.recv(70000) == header + b"headers" + payload
    del pieces
    payload.clear()  # nothing holds on to the buffer


def test_more_pieces_than_a_call_takes(module: ModuleType, pair: Pair) -> None:
    with pytest.raises(ValueError, match="63 pieces"):
        module.write_packet(pair[0].fileno(), b"", b"headers", [memoryview(b"x")] * 63)


def test_piece_that_is_not_contiguous(module: ModuleType, pair: Pair) -> None:
    with pytest.raises(BufferError):
        module.write_packet(pair[0].fileno(), b"", b"", [memoryview(b"ok"), memoryview(b"abcdef")[::2]])


def test_errors_of_writing_are_numbers(module: ModuleType, pair: Pair) -> None:
    left, _ = pair
    assert module.write_packet(-1, b"", b"x", None) == errno.EBADF
    while not (error := module.write_packet(left.fileno(), b"", bytes(1000), None)):
        pass
    assert error == errno.EAGAIN


@pytest.mark.parametrize("header", [b"", bytes(10)])
def test_finished_frames_are_written_in_a_row(module: ModuleType, pair: Pair, header: bytes) -> None:
    left, right = pair
    frames = [Frame(bytes([n]) * (n + 1)) for n in range(100)]
    frames[70].checksum = CHECKSUM_NEEDED
    frames[72].gso_size = 10
    write = partial(module.write_frames, left.fileno(), header, frames)
    assert write(0, 1514) == 64
    assert write(64, 1514) == 6
    assert write(70, 1514) == write(72, 1514) == 0
    assert write(71, 1514) == 1
    assert write(73, 90) == 17  # the frame after these is longer
    assert write(100, 1514) == 0
    written = [*frames[:70], frames[71], *frames[73:90]]
    assert [right.recv(2000) for _ in written] == [header + frame.data for frame in written]
    with pytest.raises(BlockingIOError):
        right.recv(2000)
    for index in (-1, 101):
        with pytest.raises(IndexError):
            write(index, 1514)


def test_frames_are_written_as_long_as_there_is_room(module: ModuleType, pair: Pair) -> None:
    left, right = pair
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
    frames = [Frame(bytes(2000))] * 64
    count = module.write_frames(left.fileno(), b"", frames, 0, 2000)
    assert 0 < count < 64
    assert module.write_frames(left.fileno(), b"", frames, count, 2000) == 0
    assert module.write_packet(left.fileno(), b"", frames[0].data, None) == errno.EAGAIN
    assert len([right.recv(3000) for _ in range(count)]) == count


@pytest.mark.parametrize("vnet", [False, True])
@pytest.mark.parametrize("size", [1, 60, 8192, 8193, 65000])
def test_packet_is_looked_at_and_passed_on_or_kept(module: ModuleType, pair: Pair, size: int, vnet: bool) -> None:
    left, right = pair
    data, head = os.urandom(size), struct.pack("=BBHHHH", 1, 4, 74, 1440, 54, 16) if vnet else b""
    reader = module.FrameReader(left.fileno(), 65535, vnet)
    there, back = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with there, back:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        back.setblocking(False)
        for _ in range(2):
            right.send(head + data)
            assert reader.fetch() == size
            assert reader.buffer()[:size] == data
            assert reader.pass_on(there.fileno(), size) == 0
            assert back.recv(70000) == head + data
            right.send(head + data)
            assert reader.fetch() == size
            kept = reader.keep(size)
            assert kept == data
            if vnet:
                assert (reader.flags, reader.gso_type, reader.gso_size, reader.start) == (1, 4, 1440, 54)
        assert reader.fetch() == -1
        right.send(head + b"another")
        assert reader.fetch() == 7
        assert kept == data
        assert reader.pass_on(-1, 7) == errno.EBADF
