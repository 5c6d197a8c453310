"""Numbers of the codec protocol, version 1."""

from __future__ import annotations

# chunks, bytes
LEAST = 2048  # but for the last one
WANTED = 8192
MOST = 65536
DIGEST = 16  # bytes of a chunk's BLAKE2b

MAGIC = b"uinetC"
VERSION = 1
CREDIT = 4 << 20  # bytes of its stream that an end may send before the other asks for more
PIECE = 65536  # of a stream in one frame
LARGEST = PIECE + 4096  # payload of a frame: what zstd can not compress becomes a little longer, and REFS are many

ZSTD_WINDOW_LOG = 20  # 2 ** that many bytes of a stream are what zstd looks back; both ends keep them

PLAIN, ZSTD, DEDUP = 0, 1, 2
NAMES = {"plain": PLAIN, "zstd": ZSTD, "dedup": DEDUP}
