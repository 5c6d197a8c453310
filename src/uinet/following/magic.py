"""How compressed files begin."""

from __future__ import annotations

MAGIC_LENGTH = 6  # bytes that tell every kind from the others

GZIP = b"\x1f\x8b"
BZIP2 = b"BZh"
XZ = b"\xfd7zXZ\0"
ZSTD = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # behind a byte of 50 to 5f: a frame of no data, which pzstd begins with
LZ4 = b"\x04\x22\x4d\x18"


def kind_of(head: bytes) -> str:
    """The compression of a file that begins with these (at least six) bytes; "" if it is not compressed."""
    for magic, kind in ((GZIP, "gzip"), (ZSTD, "zstd"), (BZIP2, "bzip2"), (XZ, "xz"), (LZ4, "lz4")):
        if head.startswith(magic):
            return kind
    return "zstd" if head[1:4] == ZSTD_SKIPPABLE and head[0] & 0xF0 == 0x50 else ""
