"""Compressed captures: every kind, several streams in a file, cut and damaged ones."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from uinet.errors import CaptureError
from uinet.following import compressed
from uinet.following.compressed import CHUNK, Expander, expander
from uinet.following.magic import kind_of


def zstd(data: bytes) -> bytes:
    """Compressed with a checksum, if there is what does that."""
    module: Any = compressed._module("compression.zstd")
    if module is not None:
        return bytes(module.compress(data, options={module.CompressionParameter.checksum_flag: 1}))
    package: Any = compressed._module("zstandard")
    if package is None:
        pytest.skip("needs Python 3.14 or the package zstandard: pip install 'uinet[follow]'")
    return bytes(package.ZstdCompressor(write_checksum=True).compress(data))


KINDS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd,
}
kinds = pytest.mark.parametrize("kind", KINDS)
DATA = b"".join(struct.pack(">I", number * 2654435761 & 0xFFFFFFFF) for number in range(60_000))


def pour(made: Expander, data: bytes, size: int) -> bytes:
    """All that `data`, fed in pieces, expands to."""
    got = bytearray()
    for at in range(0, len(data), size):
        made.feed(data[at : at + size])
        while True:
            piece = made.read()
            if not piece:
                break
            got += piece
    return bytes(got)


def expand(kind: str, data: bytes, size: int = 1 << 16) -> bytes:
    made = expander(kind)
    got = pour(made, data, size)
    made.finish()
    return got


@kinds
def test_kind_is_known_by_its_first_bytes(kind: str) -> None:
    assert kind_of(KINDS[kind](b"")[:6]) == kind
    assert kind_of(KINDS[kind](DATA)[:6]) == kind


@pytest.mark.parametrize("head", [
    b"\xd4\xc3\xb2\xa1\x02\0", b"\x0a\x0d\x0d\x0a\x1c\0", b"\x60\x2a\x4d\x18\0\0", b"PK\3\4\0\0",
])
def test_other_files_are_not_compressed(head: bytes) -> None:
    assert kind_of(head) == ""


def test_lz4_is_known_and_refused() -> None:
    assert kind_of(b"\x04\x22\x4d\x18\x64\x40") == "lz4"
    with pytest.raises(CaptureError, match="an lz4-compressed capture can't be read: decompress it first"):
        expander("lz4")


@kinds
@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
def test_any_pieces_expand_to_the_same(kind: str, size: int) -> None:
    data = DATA[:3000] if size == 1 else DATA
    assert expand(kind, KINDS[kind](data), size) == data


@kinds
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_streams_one_behind_the_other_and_empty_ones(kind: str, size: int) -> None:
    compress = KINDS[kind]
    data = compress(b"one") + compress(b"") + compress(b"two" * 1000) + compress(b"")
    assert expand(kind, data, size) == b"one" + b"two" * 1000


@pytest.mark.parametrize("kind", ["gzip", "xz"])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_padding_between_and_behind_streams(kind: str, size: int) -> None:
    compress = KINDS[kind]
    assert expand(kind, compress(b"one") + bytes(8) + compress(b"two") + bytes(512), size) == b"onetwo"


@kinds
def test_something_else_behind_a_stream(kind: str) -> None:
    data = KINDS[kind](b"one")
    made = expander(kind)
    made.feed(data + b"#!/bin/sh")
    assert made.read() == b"one"
    with pytest.raises(CaptureError, match=f"something else follows the {kind} data"):
        made.read()


@kinds
def test_a_few_bytes_behind_a_stream(kind: str) -> None:
    data = KINDS[kind](b"one")
    made = expander(kind)
    made.feed(data + b"ab")
    assert made.read() == b"one"
    assert made.read() == b""
    with pytest.raises(CaptureError, match=f"{kind} data cut off"):
        made.finish()


@kinds
def test_cut_anywhere_gives_a_beginning_and_says_so(kind: str) -> None:
    data = KINDS[kind](DATA)
    for length in (0, 3, 9, len(data) // 2, len(data) - 9, len(data) - 1):
        made = expander(kind)
        got = pour(made, data[:length], 1000)
        assert DATA.startswith(got)
        if length > len(data) // 2 and kind in ("gzip", "zstd"):
            assert len(got) > len(DATA) // 3
        with pytest.raises(CaptureError, match=f"^{kind} data cut off$"):
            made.finish()


@kinds
def test_damage_is_one_line(kind: str) -> None:
    data = bytearray(KINDS[kind](" ".join(map(str, range(50_000))).encode()))
    for at in range(len(data) // 2, len(data) // 2 + 40):
        data[at] ^= 0x5A
    with pytest.raises(CaptureError, match=f"damaged {kind} data: ") as caught:
        expand(kind, bytes(data))
    assert "\n" not in str(caught.value)


@kinds
def test_a_bomb_is_expanded_piece_by_piece(kind: str) -> None:
    data = KINDS[kind](bytes(200 << 20))
    made, total, largest = expander(kind), 0, 0
    tracemalloc.start()
    try:
        for at in range(0, len(data), 1 << 18):
            made.feed(data[at : at + (1 << 18)])
            while True:
                piece = len(made.read())
                if not piece:
                    break
                total += piece
                largest = max(largest, piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    made.finish()
    assert total == 200 << 20
    assert largest <= CHUNK
    assert peak < 16 << 20


def skippable(data: bytes, nibble: int = 0) -> bytes:
    return bytes([0x50 | nibble]) + b"\x2a\x4d\x18" + struct.pack("<I", len(data)) + data


@pytest.mark.parametrize("size", [1, 5, 1 << 20])
def test_zstd_frames_of_no_data_are_skipped(size: int) -> None:
    data = skippable(b"") + skippable(bytes(1000), 15) + zstd(b"one") + skippable(b"abc") + zstd(b"two")
    data += skippable(b"")
    assert kind_of(data[:6]) == "zstd"
    assert expand("zstd", data, size) == b"onetwo"
    made = expander("zstd")
    assert pour(made, data[:-1] + b"\7", size) == b"onetwo"
    with pytest.raises(CaptureError, match="zstd data cut off"):
        made.finish()


@pytest.mark.parametrize("options", [
    {"write_checksum": True}, {"write_content_size": False}, {"level": 19}, {"write_checksum": True, "level": -5},
])
def test_zstd_headers_of_all_kinds(options: dict[str, Any]) -> None:
    package = compressed._module("zstandard")
    if package is None:
        pytest.skip("needs the package zstandard: pip install 'uinet[follow]'")
    for length in (0, 1, 255, 256, 70_000, 240_000):
        plain = DATA[:length] + b"\0" * 200_000
        data = package.ZstdCompressor(**options).compress(plain)
        for size in (1, 1 << 20):
            assert expand("zstd", data if size > 1 else data[:0] + data, max(size, len(data) // 5000)) == plain
    stream = package.ZstdCompressor(**options).compressobj()
    data = stream.compress(DATA) + stream.flush()  # without knowing its length beforehand
    assert expand("zstd", data, 999) == DATA


def test_zstd_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "_module", lambda name: None)
    said = r"needs Python 3\.14 or the package zstandard: pip install 'uinet\[follow\]'"
    with pytest.raises(CaptureError, match=said):
        expander("zstd")


def test_pythons_own_zstd_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    class Module:
        """compression.zstd has the words of bz2."""

        ZstdDecompressor = bz2.BZ2Decompressor
        ZstdError = zlib.error

    monkeypatch.setattr(compressed, "_module", lambda name: Module if name == "compression.zstd" else None)
    made = expander("zstd")
    assert pour(made, bz2.compress(DATA), 4096) == DATA
    made.finish()
