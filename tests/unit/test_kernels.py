"""The kernels' bounds: nothing outside the buffer is ever read or written."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from uinet.wire import kernels


def pure() -> ModuleType:
    """The interpreted twin, whichever of the two is installed as uinet.wire.kernels."""
    path = Path(kernels.__file__).with_name("kernels.py")
    if not path.exists():
        path = Path(__file__).resolve().parents[2] / "src/uinet/wire/kernels.py"
    spec = importlib.util.spec_from_file_location("interpreted_kernels", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


COMPILED = not kernels.__file__.endswith(".py")
TWINS = [kernels, pure()] if COMPILED else [kernels]
twins = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: "compiled" if COMPILED and twin is kernels else "pure")

LARGE = sys.maxsize
DATA = bytes(range(16))

# name -> (call with an offset and a length, length if it is fixed)
AT: dict[str, tuple[Callable[[Any, Any, int, int], Any], int | None]] = {
    "load_u8": (lambda k, data, at, length: k.load_u8(data, at), 1),
    "load_u16": (lambda k, data, at, length: k.load_u16(data, at), 2),
    "load_u32": (lambda k, data, at, length: k.load_u32(data, at), 4),
    "load_u64": (lambda k, data, at, length: k.load_u64(data, at), 8),
    "load_u16_le": (lambda k, data, at, length: k.load_u16_le(data, at), 2),
    "load_u32_le": (lambda k, data, at, length: k.load_u32_le(data, at), 4),
    "store_u8": (lambda k, data, at, length: k.store_u8(bytearray(data), at, 1), 1),
    "store_u16": (lambda k, data, at, length: k.store_u16(bytearray(data), at, 1), 2),
    "store_u32": (lambda k, data, at, length: k.store_u32(bytearray(data), at, 1), 4),
    "store_u64": (lambda k, data, at, length: k.store_u64(bytearray(data), at, 1), 8),
    "store_bytes to": (lambda k, data, at, length: k.store_bytes(bytearray(data), at, bytes(99), 0, length), None),
    "store_bytes from": (lambda k, data, at, length: k.store_bytes(bytearray(99), 0, data, at, length), None),
    "checksum": (lambda k, data, at, length: k.checksum(data, at, length, 0), None),
    "take": (lambda k, data, at, length: k.take(data, at, length), None),
    "join2": (lambda k, data, at, length: k.join2(bytearray(2), 2, data, at, length), None),
    "extend": (lambda k, data, at, length: k.extend(bytearray(2), data, at, length), None),
}
OUTSIDE = [
    (-1, 1), (16, 1), (17, 1), (-16, 4), (0, 17), (9, 8), (LARGE, 1), (-LARGE - 1, 1), (1, LARGE), (LARGE, LARGE),
    (4, -1), (0, -LARGE - 1), (-1, LARGE),
]


@twins
@pytest.mark.parametrize("name", AT)
@pytest.mark.parametrize("at, length", OUTSIDE)
def test_outside_the_buffer(twin: Any, name: str, at: int, length: int) -> None:
    call, fixed = AT[name]
    if fixed is not None:
        at, length = (at, fixed) if at < 0 or at > 16 - fixed else (17 - fixed, fixed)
    with pytest.raises(IndexError):
        call(twin, DATA, at, length)


@twins
@pytest.mark.parametrize("name", AT)
def test_up_to_the_last_byte(twin: Any, name: str) -> None:
    call, fixed = AT[name]
    length = fixed or 5
    call(twin, DATA, 0, length)
    call(twin, DATA, 16 - length, length)
    if fixed is None:
        call(twin, DATA, 0, 16)
        call(twin, DATA, 16, 0)
        call(twin, b"", 0, 0)


@twins
@pytest.mark.parametrize("name", [name for name in AT if name.startswith(("load", "store_u"))])
def test_an_empty_buffer(twin: Any, name: str) -> None:
    with pytest.raises(IndexError):
        AT[name][0](twin, b"", 0, 1)


@twins
def test_the_head_of_a_join_has_bounds_too(twin: Any) -> None:
    for head in (-1, 3, LARGE):
        with pytest.raises(IndexError):
            twin.join2(bytearray(2), head, DATA, 0, 4)
    assert twin.join2(bytearray(b"ab"), 1, DATA, 1, 2) == b"a\1\2"
    assert twin.join2(bytearray(), 0, b"", 0, 0) == b""


@twins
def test_byte_orders(twin: Any) -> None:
    data = bytes(range(0xF0, 0x100))
    assert twin.load_u8(data, 15) == 0xFF
    assert twin.load_u16(data, 1) == 0xF1F2
    assert twin.load_u32(data, 1) == 0xF1F2F3F4
    assert twin.load_u64(data, 1) == 0xF1F2F3F4F5F6F7F8
    assert twin.load_u16_le(data, 1) == 0xF2F1
    assert twin.load_u32_le(data, 1) == 0xF4F3F2F1
    into = bytearray(16)
    twin.store_u8(into, 0, 0xFE)
    twin.store_u16(into, 1, 0xF1F2)
    twin.store_u32(into, 3, 0xF1F2F3F4)
    twin.store_u64(into, 7, 0xF1F2F3F4F5F6F7F8)
    assert into == bytes.fromhex("fe f1f2 f1f2f3f4 f1f2f3f4f5f6f7f8 00")


@twins
def test_values_that_a_sentinel_could_be_mistaken_for(twin: Any) -> None:
    """0xA5...: what the compiled functions return together with an exception, and may return without one."""
    data = b"\xa5" * 8
    assert twin.load_u8(data, 0) == 0xA5
    assert twin.load_u16(data, 0) == 0xA5A5
    assert twin.load_u32(data, 0) == 0xA5A5A5A5
    assert twin.load_u64(data, 0) == 0xA5A5A5A5A5A5A5A5
    assert twin.load_u16_le(data, 0) == 0xA5A5
    assert twin.load_u32_le(data, 0) == 0xA5A5A5A5


@twins
def test_a_whole_bytes_object_is_taken_without_copying_and_a_bytearray_is_not(twin: Any) -> None:
    assert twin.take(DATA, 0, 16) is DATA
    source = bytearray(DATA)
    taken = twin.take(source, 0, 16)
    source[0] = 99
    assert taken == DATA
    assert type(taken) is bytes


@twins
def test_what_is_no_buffer(twin: Any) -> None:
    for wrong in (None, "text", 5):
        with pytest.raises(TypeError):
            twin.take(wrong, 0, 1)
        with pytest.raises(TypeError):
            twin.checksum(wrong, 0, 1, 0)


@twins
def test_siphash_of_known_words(twin: Any) -> None:
    """SipHash-1-3 under the key 00..0f of the 40 bytes 00..27, from a separate implementation of the paper."""
    words = [int.from_bytes(bytes(range(at, at + 8)), "little") for at in range(0, 40, 8)]
    keys = [int.from_bytes(bytes(range(at, at + 8)), "little") for at in (0, 8)]
    assert twin.hash5(*keys, *words) == siphash13(bytes(range(16)), bytes(range(40)))


def siphash13(key: bytes, message: bytes) -> int:
    """SipHash as the paper (Aumasson, Bernstein 2012, section 2) describes it, with c = 1 and d = 3."""
    mask = (1 << 64) - 1
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def turn(value: int, bits: int) -> int:
        return (value << bits | value >> (64 - bits)) & mask

    def mix() -> None:
        for first, second, bits, half in ((0, 1, 13, True), (2, 3, 16, False)):
            v[first] = (v[first] + v[second]) & mask
            v[second] = turn(v[second], bits) ^ v[first]
            if half:
                v[first] = turn(v[first], 32)
        for first, second, bits, half in ((2, 1, 17, True), (0, 3, 21, False)):
            v[first] = (v[first] + v[second]) & mask
            v[second] = turn(v[second], bits) ^ v[first]
            if half:
                v[first] = turn(v[first], 32)

    whole = len(message) // 8 * 8
    blocks = [int.from_bytes(message[at : at + 8], "little") for at in range(0, whole, 8)]
    blocks.append(int.from_bytes(message[whole:], "little") | (len(message) & 0xFF) << 56)
    for block in blocks:
        v[3] ^= block
        mix()
        v[0] ^= block
    v[2] ^= 0xFF
    for _ in range(3):
        mix()
    return v[0] ^ v[1] ^ v[2] ^ v[3]


@twins
def test_untrack_gives_the_object_back(twin: Any) -> None:
    value = [1, 2]
    assert twin.untrack(value) is value
    assert twin.untrack(5) == 5
