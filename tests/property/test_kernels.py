"""The two kernels agree: the compiled one and its interpreted twin on the same bytes. Where only the interpreted one is
installed, it is held against a reference that is written another way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_kernels import COMPILED, pure, siphash13
from uinet.wire import kernels

U64 = st.integers(0, 0xFFFFFFFFFFFFFFFF)
BUFFER = st.one_of(st.binary(max_size=100), st.binary(max_size=100).map(bytearray))
ANYWHERE = st.integers(-3, 103)


class Reference:
    """The kernels, byte by byte."""

    @staticmethod
    def at(data: bytes, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > len(data):
            raise IndexError
        return bytes(data[index] for index in range(offset, offset + length))

    def load(self, data: bytes, offset: int, length: int) -> int:
        value = 0
        for byte in self.at(data, offset, length):
            value = value * 256 + byte
        return value

    def load_u8(self, data: bytes, offset: int) -> int:
        return self.load(data, offset, 1)

    def load_u16(self, data: bytes, offset: int) -> int:
        return self.load(data, offset, 2)

    def load_u32(self, data: bytes, offset: int) -> int:
        return self.load(data, offset, 4)

    def load_u64(self, data: bytes, offset: int) -> int:
        return self.load(data, offset, 8)

    def load_u16_le(self, data: bytes, offset: int) -> int:
        return int.from_bytes(self.at(data, offset, 2), "little")

    def load_u32_le(self, data: bytes, offset: int) -> int:
        return int.from_bytes(self.at(data, offset, 4), "little")

    def next_option(self, data: bytes, at: int, end: int) -> int:
        left = self.at(data, at, end - at) if at < end else b""
        option = left.lstrip(b"\1")
        at += len(left) - len(option)
        if len(option) < 2 or not option[0] or not 2 <= option[1] <= len(option):
            return 0
        return at * 65536 + option[0] * 256 + option[1]

    def store(self, data: bytearray, offset: int, value: int, length: int) -> int:
        self.at(data, offset, length)
        for index in range(length):
            data[offset + length - 1 - index] = value >> (8 * index) & 0xFF
        return 0

    def store_u8(self, data: bytearray, offset: int, value: int) -> int:
        return self.store(data, offset, value, 1)

    def store_u16(self, data: bytearray, offset: int, value: int) -> int:
        return self.store(data, offset, value, 2)

    def store_u32(self, data: bytearray, offset: int, value: int) -> int:
        return self.store(data, offset, value, 4)

    def store_u64(self, data: bytearray, offset: int, value: int) -> int:
        return self.store(data, offset, value, 8)

    def store_bytes(self, target: bytearray, at: int, source: bytes, offset: int, length: int) -> int:
        if length:
            self.at(target, at, length)
            for index, byte in enumerate(self.at(source, offset, length)):
                target[at + index] = byte
        return 0

    def checksum(self, data: bytes, offset: int, length: int, initial: int) -> int:
        piece = self.at(data, offset, length) if length else b""
        total = initial
        for index in range(0, length, 2):
            total += piece[index] << 8 | (piece[index + 1] if index + 1 < length else 0)
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        return total

    def take(self, source: bytes, offset: int, length: int) -> bytes:
        return self.at(source, offset, length)

    def join2(self, head: bytearray, head_length: int, source: bytes, offset: int, length: int) -> bytes:
        return self.at(head, 0, head_length) + self.at(source, offset, length)

    def equal(self, a: bytes, a_offset: int, b: bytes, b_offset: int, length: int) -> bool:
        return self.at(a, a_offset, length) == self.at(b, b_offset, length)

    def extend(self, target: bytearray, source: bytes, offset: int, length: int) -> int:
        for byte in self.at(source, offset, length):
            target.append(byte)
        return 0

    def join(self, hi: int, lo: int) -> bytes:
        packed = bytes((hi << 64 | lo) >> 8 * index & 0xFF for index in reversed(range(16)))
        return packed[12:] if packed.startswith(bytes(10) + b"\xff\xff") else packed

    def summed(
        self, head: bytearray, head_length: int, l4: int, field: int, initial: int, source: bytes, offset: int,
        length: int,
    ) -> bytes:
        joined = bytearray(self.join2(head, head_length, source, offset, length))
        if not 0 <= l4 <= field <= head_length - 2:
            raise IndexError
        self.store_u16(joined, field, self.checksum(bytes(joined), l4, len(joined) - l4, initial) ^ 0xFFFF)
        return bytes(joined)

    def put_v4(
        self, scratch: bytearray, at: int, tos: int, ttl: int, proto: int, source: int, destination: int, size: int
    ) -> int:
        self.at(scratch, at, 20)
        length = (20 + size & 0xFFFF).to_bytes(2, "big")
        header = bytes((0x45, tos)) + length + b"\0\0\x40\0" + bytes((ttl, proto, 0, 0))
        addresses = source.to_bytes(4, "big") + destination.to_bytes(4, "big")
        scratch[at : at + 20] = header + addresses
        self.store_u16(scratch, at + 10, self.checksum(scratch, at, 20, 0) ^ 0xFFFF)
        return self.checksum(addresses, 0, 8, proto + size)

    def put_v6(self, scratch: bytearray, at: int, tos: int, ttl: int, proto: int, *rest: int) -> int:
        self.at(scratch, at, 40)
        *halves, size = rest
        first = (6 << 28 | tos << 20).to_bytes(4, "big")
        addresses = b"".join(half.to_bytes(8, "big") for half in halves)
        scratch[at : at + 40] = first + (size & 0xFFFF).to_bytes(2, "big") + bytes((proto, ttl)) + addresses
        return self.checksum(addresses, 0, 32, proto + size)

    def put_tcp(self, scratch: bytearray, at: int, ports: int, seq: int, ack: int, word: int, urgent: int) -> int:
        self.at(scratch, at, 20)
        for index, value in enumerate((ports, seq, ack, word, urgent & 0xFFFF)):
            self.store_u32(scratch, at + 4 * index, value)
        return 0

    def hash5(self, k0: int, k1: int, *words: int) -> int:
        return siphash13(b"".join(key.to_bytes(8, "little") for key in (k0, k1)),
                         b"".join(word.to_bytes(8, "little") for word in words))


OTHERS = [Reference(), pure()] if COMPILED else [Reference()]


def agree(call: Callable[[Any], Any]) -> None:
    """`call`, which is given a kernel, has the same result with each, or fails with each."""

    def outcome(kernel: Any) -> Any:
        try:
            return call(kernel)
        except IndexError:
            return IndexError

    expected = outcome(kernels)
    for other in OTHERS:
        assert outcome(other) == expected


def after(target: bytearray, call: Callable[[bytearray], Any]) -> bytearray:
    """A copy of `target` after `call` has worked on it."""
    copy = bytearray(target)
    call(copy)
    return copy


def test_which_kernels_are_compared(record_property: Callable[[str, object], None]) -> None:
    record_property("compared", "compiled, interpreted and reference" if COMPILED else "interpreted and reference")
    assert len(OTHERS) == (2 if COMPILED else 1)


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=40), at=st.integers(-3, 43), value=U64)
def test_loads_and_stores(bits: int, data: bytes, at: int, value: int) -> None:
    agree(lambda k: getattr(k, f"load_u{bits}")(data, at))
    if bits in (16, 32):
        agree(lambda k: getattr(k, f"load_u{bits}_le")(data, at))
    value &= (1 << bits) - 1
    agree(lambda k: after(bytearray(data), lambda copy: getattr(k, f"store_u{bits}")(copy, at, value)))


OPTION = st.one_of(
    st.just(b"\1"), st.binary(max_size=4).map(lambda data: bytes([5, len(data) + 2]) + data), st.binary(max_size=3)
)


@settings(max_examples=200, deadline=None)
@given(st.lists(OPTION, max_size=6).map(b"".join), st.integers(-3, 30), st.integers(-3, 30))
def test_tcp_options(data: bytes, at: int, end: int) -> None:
    agree(lambda k: k.next_option(data, at, end))


@settings(max_examples=150, deadline=None)
@given(BUFFER, ANYWHERE, ANYWHERE, st.integers(0, 0xFFFFFFFF))
def test_checksums(data: bytes, offset: int, length: int, initial: int) -> None:
    agree(lambda k: k.checksum(data, offset, length, initial))


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=64), st.integers(1, 1200), st.integers(0, 0xFFFFFFFF), st.integers(0, 7))
def test_checksums_of_large_packets(piece: bytes, times: int, initial: int, offset: int) -> None:
    data = (b"\xff" * 16 + piece * times)[:65600]
    agree(lambda k: k.checksum(data, offset, len(data) - offset, initial))


@settings(max_examples=100, deadline=None)
@given(BUFFER, ANYWHERE, ANYWHERE, BUFFER, ANYWHERE)
def test_copies(source: bytes, offset: int, length: int, target: bytes, at: int) -> None:
    agree(lambda k: k.take(source, offset, length))
    agree(lambda k: after(bytearray(target), lambda copy: k.store_bytes(copy, at, source, offset, length)))
    agree(lambda k: after(bytearray(target), lambda copy: k.extend(copy, source, offset, length)))
    agree(lambda k: k.join2(bytearray(target), at, source, offset, length))
    agree(lambda k: k.equal(bytearray(target), at, source, offset, length))
    agree(lambda k: k.equal(source, 0, source, offset, length))


@settings(max_examples=100, deadline=None)
@given(*[U64] * 7)
def test_hashes(k0: int, k1: int, a: int, b: int, c: int, d: int, e: int) -> None:
    agree(lambda k: k.hash5(k0, k1, a, b, c, d, e))


def put(kernel: Any, name: str, scratch: bytes, at: int, *values: int) -> tuple[bytes, int]:
    """What a header's writer leaves, and its answer: a sum, as far as it counts."""
    copy = bytearray(scratch)
    told = getattr(kernel, name)(copy, at, *values)
    return bytes(copy), kernel.checksum(b"", 0, 0, told)


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=60), st.integers(-3, 43), st.integers(0, 255), st.integers(0, 255), st.integers(0, 255),
    st.tuples(*[st.integers(0, 0xFFFFFFFF)] * 5), st.tuples(*[U64] * 4), st.integers(0, 65600),
)
def test_headers(
    scratch: bytes, at: int, tos: int, ttl: int, proto: int, words: tuple[int, ...], halves: tuple[int, ...], size: int
) -> None:
    agree(lambda k: put(k, "put_v4", scratch, at, tos, ttl, proto, words[0], words[1], size))
    agree(lambda k: put(k, "put_v6", scratch, at, tos, ttl, proto, *halves, size))
    agree(lambda k: put(k, "put_tcp", scratch, at, *words))
    agree(lambda k: k.join(halves[0], halves[1]))
    agree(lambda k: k.join(0, 0xFFFF << 32 | words[0]))


@settings(max_examples=100, deadline=None)
@given(
    st.binary(min_size=40, max_size=100), st.integers(-1, 41), st.integers(-1, 40), st.integers(-1, 40),
    st.integers(0, 0xFFFFFFFF), BUFFER, ANYWHERE, ANYWHERE, st.integers(1, 40),
)
def test_packets_with_their_checksums(
    head: bytes, half: int, l4: int, field: int, initial: int, source: bytes, offset: int, length: int, times: int
) -> None:
    size = l4 + 2 * (half // 2)  # an even number of bytes is summed of the head
    agree(lambda k: k.summed(bytearray(head), size, l4, field, initial, source, offset, length))
    large = bytes(source) * times
    agree(lambda k: k.summed(bytearray(head), 40, 20, 36, initial, large, 0, len(large)))
