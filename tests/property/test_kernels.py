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
