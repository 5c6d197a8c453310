"""Loads, stores, checksum, copy: the interpreted twin of ``kernels.pyx``.

The compiled module is the only code of the package that touches raw memory. Every access, here as there, stands
behind a length check that raises ``IndexError``: callers check lengths first, so an ``IndexError`` from here is a
bug in the caller and never the answer to a malformed packet.
"""

from __future__ import annotations

import struct
from typing import Any, TypeVar

T = TypeVar("T")
Buffer = bytes | bytearray

MASK64 = 0xFFFFFFFFFFFFFFFF

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_U16_LE = struct.Struct("<H")
_U32_LE = struct.Struct("<I")


def _check(size: int, offset: int, length: int) -> None:
    if offset < 0 or length < 0 or offset > size - length:
        raise IndexError(f"{length} bytes at {offset} of {size}")


def load_u8(data: bytes, offset: int) -> int:
    """The byte at `offset`."""
    _check(len(data), offset, 1)
    return data[offset]


def load_u16(data: bytes, offset: int) -> int:
    """The big-endian 16-bit integer at `offset`."""
    _check(len(data), offset, 2)
    return int(_U16.unpack_from(data, offset)[0])


def load_u32(data: bytes, offset: int) -> int:
    """The big-endian 32-bit integer at `offset`."""
    _check(len(data), offset, 4)
    return int(_U32.unpack_from(data, offset)[0])


def load_u64(data: bytes, offset: int) -> int:
    """The big-endian 64-bit integer at `offset`."""
    _check(len(data), offset, 8)
    return int(_U64.unpack_from(data, offset)[0])


def load_u16_le(data: bytes, offset: int) -> int:
    """The little-endian 16-bit integer at `offset`."""
    _check(len(data), offset, 2)
    return int(_U16_LE.unpack_from(data, offset)[0])


def load_u32_le(data: bytes, offset: int) -> int:
    """The little-endian 32-bit integer at `offset`."""
    _check(len(data), offset, 4)
    return int(_U32_LE.unpack_from(data, offset)[0])


def next_option(data: bytes, at: int, end: int) -> int:
    """The first TCP option that is no padding (RFC 9293, 3.2), from `at` on, of a list that ends at `end`: its place
    << 16, its kind << 8 and its length in one number. 0 if there is none, or it is malformed: nothing after it can be
    read then."""
    if at >= end:
        return 0
    _check(len(data), at, end - at)
    while data[at] == 1:  # NOP
        at += 1
        if at == end:
            return 0
    if data[at] == 0 or end - at < 2:  # the end of the list; no room for a length
        return 0
    length = data[at + 1]
    if length < 2 or length > end - at:
        return 0
    return at << 16 | data[at] << 8 | length


def store_u8(data: bytearray, offset: int, value: int) -> int:
    """Stores the low 8 bits of `value` at `offset`."""
    _check(len(data), offset, 1)
    data[offset] = value & 0xFF
    return 0


def store_u16(data: bytearray, offset: int, value: int) -> int:
    """Stores the low 16 bits of `value`, big-endian, at `offset`."""
    _check(len(data), offset, 2)
    _U16.pack_into(data, offset, value & 0xFFFF)
    return 0


def store_u32(data: bytearray, offset: int, value: int) -> int:
    """Stores `value`, 32 bits big-endian, at `offset`."""
    _check(len(data), offset, 4)
    _U32.pack_into(data, offset, value)
    return 0


def store_u64(data: bytearray, offset: int, value: int) -> int:
    """Stores `value`, 64 bits big-endian, at `offset`."""
    _check(len(data), offset, 8)
    _U64.pack_into(data, offset, value)
    return 0


def store_bytes(target: bytearray, at: int, source: Buffer, offset: int, length: int) -> int:
    """Copies `length` bytes from `source` (bytes or bytearray) at `offset` over those of `target` at `at`."""
    if length == 0:
        return 0
    _check(len(target), at, length)
    _check(len(source), offset, length)
    target[at : at + length] = source[offset : offset + length]
    return 0


def checksum(data: Buffer, offset: int, length: int, initial: int) -> int:
    """The 16-bit ones' complement sum (RFC 1071) of `length` bytes at `offset`, added to `initial`.

    Not inverted. An odd last byte counts as the high half of a word, so only the last piece of a sum may
    have an odd length. `initial` may be any 32-bit sum of 16-bit words.
    """
    total = initial
    if length:
        _check(len(data), offset, length)
        piece = bytes(data[offset : offset + length])
        if length & 1:
            piece += b"\0"
        # 2**16 is 1 modulo 65535, so the whole piece as one big number has the sum's value: no loop needed
        value = int.from_bytes(piece, "big")
        if value:
            total += value % 0xFFFF or 0xFFFF
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def take(source: Buffer, offset: int, length: int) -> bytes:
    """A copy of `length` bytes at `offset`; `source` itself if it is a bytes object and all of it is wanted."""
    _check(len(source), offset, length)
    return bytes(source[offset : offset + length])


def join(hi: int, lo: int) -> bytes:
    """The packed address of two 64-bit halves: 4 bytes if it is IPv4-mapped, else 16."""
    if hi == 0 and lo >> 32 == 0xFFFF:
        return (lo & 0xFFFFFFFF).to_bytes(4, "big")
    return (hi << 64 | lo).to_bytes(16, "big")


def turned(data: bytes, length: int) -> bytes:
    """The first `length` bytes of `data`, an Ethernet header, with its two MACs exchanged."""
    _check(len(data), 0, length)
    _check(length, 0, 12)
    return data[6:12] + data[:6] + data[12:length]


def vids(data: bytes, tags: int) -> bytes:
    """The VIDs of the first `tags` VLAN tags (at most 16) of an Ethernet header, 2 bytes each; those of 0 left out."""
    _check(16, 0, tags)
    _check(len(data), 14, 4 * tags)
    found = [load_u16(data, 14 + 4 * index) & 0x0FFF for index in range(tags)]
    return b"".join(_U16.pack(vid) for vid in found if vid)


def join2(head: bytearray, head_length: int, source: Buffer, offset: int, length: int) -> bytes:
    """The first `head_length` bytes of `head` followed by `length` bytes of `source` at `offset`."""
    _check(len(head), 0, head_length)
    _check(len(source), offset, length)
    return bytes(head[:head_length]) + source[offset : offset + length]


def collect(pieces: list[bytes], offset: int, each: int, total: int) -> bytes:
    """`total` bytes in one allocation: `each` bytes at `offset` of every one of `pieces`, of the last what is left."""
    if total < 0 or each < 0 or total > each * len(pieces):
        raise IndexError(f"{total} bytes at {each} of {each * len(pieces)}")
    found = []
    for piece in pieces:
        length = min(each, total)
        _check(len(piece), offset, length)
        found.append(piece[offset : offset + length])
        total -= length
    return b"".join(found)


def summed(
    head: bytearray, head_length: int, l4: int, field: int, initial: int, source: Buffer, offset: int, length: int
) -> bytes:
    """As `join2`, with the checksum of all from `l4` on, inverted, at `field`, where there are zeros in `head`.

    `initial` is added to the sum. What stands between `l4` and `head_length` has an even length.
    """
    joined = join2(head, head_length, source, offset, length)
    if l4 < 0 or l4 > head_length or field < l4 or field > head_length - 2:
        raise IndexError(f"2 bytes at {field} of {head_length}")
    total = checksum(joined, l4, len(joined) - l4, initial)
    return joined[:field] + _U16.pack(total ^ 0xFFFF) + joined[field + 2 :]


def put_v4(
    scratch: bytearray, at: int, tos: int, ttl: int, proto: int, source: int, destination: int, size: int
) -> int:
    """Writes an IPv4 header at `at`, of an atomic datagram (RFC 6864, 4.1: ID 0, DF) with `size` bytes of payload.

    The sum of the pseudo header of its transport protocol.
    """
    _check(len(scratch), at, 20)
    tos, ttl, proto = tos & 0xFF, ttl & 0xFF, proto & 0xFF
    struct.pack_into(
        ">IIBBHII", scratch, at, 0x45000000 | tos << 16 | (20 + size) & 0xFFFF, 0x4000, ttl, proto, 0, source,
        destination,
    )
    _U16.pack_into(scratch, at + 10, checksum(scratch, at, 20, 0) ^ 0xFFFF)
    addresses = (source >> 16) + (source & 0xFFFF) + (destination >> 16) + (destination & 0xFFFF)
    return addresses + proto + size


def put_v6(
    scratch: bytearray, at: int, tos: int, ttl: int, proto: int, source_hi: int, source_lo: int, destination_hi: int,
    destination_lo: int, size: int,
) -> int:
    """Writes an IPv6 header at `at`, with `size` bytes of payload. The sum of the pseudo header, as `put_v4`."""
    _check(len(scratch), at, 40)
    tos, ttl, proto = tos & 0xFF, ttl & 0xFF, proto & 0xFF
    struct.pack_into(
        ">IHBBQQQQ", scratch, at, 0x60000000 | tos << 20, size & 0xFFFF, proto, ttl, source_hi, source_lo,
        destination_hi, destination_lo,
    )
    return checksum(scratch, at + 8, 32, 0) + proto + size


def put_tcp(scratch: bytearray, at: int, ports: int, seq: int, ack: int, word: int, urgent: int) -> int:
    """Writes the 20 bytes of a TCP header at `at`, with a checksum of 0. `word`: data offset, flags and window."""
    _check(len(scratch), at, 20)
    struct.pack_into(">IIIII", scratch, at, ports, seq, ack, word, urgent & 0xFFFF)
    return 0


def extend(target: bytearray, source: Buffer, offset: int, length: int) -> int:
    """Appends `length` bytes of `source` at `offset` to `target` (another object)."""
    _check(len(source), offset, length)
    if length and source is target:
        raise ValueError("a buffer can't be added to itself")
    target += source[offset : offset + length]
    return 0


def equal(a: Buffer, a_offset: int, b: Buffer, b_offset: int, length: int) -> bool:
    """Whether the `length` bytes of `a` at `a_offset` are those of `b` at `b_offset`."""
    _check(len(a), a_offset, length)
    _check(len(b), b_offset, length)
    return a[a_offset : a_offset + length] == b[b_offset : b_offset + length]


def prefetch(objects: list[Any], index: int) -> int:
    """Begins to bring the object at `index` into the cache; interpreted, only checks that it is there."""
    _check(len(objects), index, 1)
    return 0


def prefetch_slot(objects: list[Any], index: int) -> int:
    """Begins to bring the slot of a list at `index` into the cache; interpreted, only checks that it is there."""
    _check(len(objects), index, 1)
    return 0


def _rotl(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & MASK64


def _sipround(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    v0 = (v0 + v1) & MASK64
    v1 = _rotl(v1, 13) ^ v0
    v0 = _rotl(v0, 32)
    v2 = (v2 + v3) & MASK64
    v3 = _rotl(v3, 16) ^ v2
    v0 = (v0 + v3) & MASK64
    v3 = _rotl(v3, 21) ^ v0
    v2 = (v2 + v1) & MASK64
    v1 = _rotl(v1, 17) ^ v2
    return v0, v1, _rotl(v2, 32), v3


def hash5(k0: int, k1: int, a: int, b: int, c: int, d: int, e: int) -> int:
    """SipHash-1-3 of five 64-bit words under the key (k0, k1) (Aumasson and Bernstein 2012)."""
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    for word in (a, b, c, d, e, 40 << 56):
        v3 ^= word
        v0, v1, v2, v3 = _sipround(v0, v1, v2, v3)
        v0 ^= word
    v2 ^= 0xFF
    for _ in range(3):
        v0, v1, v2, v3 = _sipround(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


def hash_short(k0: int, k1: int, data: bytes) -> int:
    """SipHash-1-3 of the length of `data`, at most 32 bytes, and of `data` with zeros behind it."""
    _check(32, 0, len(data))
    return hash5(k0, k1, len(data), *struct.unpack(">QQQQ", data.ljust(32, b"\0")))


def keep_heap() -> int:
    """Lets the allocator keep what the packets of a batch leave when they go; interpreted, does nothing."""
    return 0


def untrack(value: T) -> T:
    """Takes `value` out of the cyclic collector's sight and returns it; interpreted, does nothing.

    For objects that live long and number millions: whoever calls this breaks their cycles by hand.
    """
    return value


def track(value: T) -> T:
    """Hands `value`, which may have been untracked, to the cyclic collector, and returns it; interpreted, does
    nothing."""
    return value
