"""One direction's receiving half: frames in, bytes of the stream out, in order, each verified.

`take(kind, payload)`: a frame of the stream, CodecError if it can't be one; how many bytes of the stream it stands for.
`ready`: bytes that can be delivered. `done`: whether END has come and everything is in `ready`.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import Any, Protocol

from uinet.codecs.constants import DEDUP, DIGEST, LEAST, MOST, PIECE, ZSTD, ZSTD_WINDOW_LOG
from uinet.codecs.encoders import zstandard
from uinet.codecs.store import Store, digest_of
from uinet.codecs.tally import Tally
from uinet.codecs.wire import CHUNK, DATA, END, KINDS, NEED, PART, REFS, ZSTD_DATA, CodecError, frame, references

JOINED = 4096
MOST_BLOCKS = 64  # of one piece: a sound compressor makes a handful
BLOCK_MAGIC = b"\x28\xb5\x2f\xfd"


class Decoder(Protocol):
    """See the module. `asks`: frames for the other end."""

    ready: deque[bytes]
    asks: list[bytes]

    @property
    def done(self) -> bool: ...

    def take(self, kind: int, payload: bytes) -> int: ...

    def repair(self, chunk: bytes) -> None: ...


def push(queue: deque[Any], data: bytes) -> None:
    """Puts bytes behind others; small pieces are joined, or a byte each would take forty."""
    if queue and type(queue[-1]) is bytes and len(queue[-1]) + len(data) <= JOINED:
        queue[-1] += data
    else:
        queue.append(data)


class Plain:
    """Bytes as they are."""

    frames: tuple[int, ...] = (DATA,)
    name = "plain"

    def __init__(self) -> None:
        self.ready: deque[bytes] = deque()
        self.asks: list[bytes] = []
        self.hash = blake2b(digest_size=DIGEST)
        self.ended = False

    @property
    def done(self) -> bool:
        """See the module."""
        return self.ended

    def take(self, kind: int, payload: bytes) -> int:
        """See the module."""
        if self.ended:
            raise CodecError(f"the peer sent a {KINDS[kind]} frame behind the end of its stream")
        if kind == END:
            self.end(payload)
            return 0
        if kind not in self.frames:
            raise CodecError(f"the peer sent a {KINDS[kind]} frame, which the codec {self.name} has none of")
        return self.piece(kind, payload)

    def end(self, digest: bytes) -> None:
        """The stream is over; CodecError if it is not what the other end has sent."""
        if self.hash.digest() != digest:
            raise CodecError("the stream's digest is not the peer's: bytes were changed on the way")
        self.ended = True

    def piece(self, kind: int, payload: bytes) -> int:
        """Bytes of the stream."""
        if not payload:
            raise CodecError("the peer sent an empty frame")
        self.hash.update(payload)
        push(self.ready, payload)
        return len(payload)

    def repair(self, chunk: bytes) -> None:
        """CodecError: nothing was missing."""
        raise CodecError("the peer sent a chunk that we have not asked for")


class Zstd(Plain):
    """One zstd frame for the whole stream. A piece's blocks are counted before any of them is unpacked, so that
    no few bytes can become many."""

    frames = (ZSTD_DATA,)
    name = "zstd"

    def __init__(self) -> None:
        super().__init__()
        self.library = zstandard()
        self.decompressor: Any = None

    def piece(self, kind: int, payload: bytes) -> int:
        """See `Plain`."""
        length = int.from_bytes(payload[:3], "big")
        packed = payload[3:]
        if not 0 < length <= PIECE:
            raise CodecError(f"the peer sent a piece of {length} bytes; 1 to {PIECE} are allowed")
        self._check(packed)
        try:
            data = bytes(self.decompressor.decompress(packed))
        except (self.library.ZstdError, EOFError) as error:
            raise CodecError(f"the peer sent what is no zstd stream: {error}") from None
        if len(data) != length:
            raise CodecError(f"the peer sent a piece that unpacks to {len(data)} bytes and not {length}")
        return super().piece(kind, data)

    def _check(self, packed: bytes) -> None:
        """CodecError unless `packed` is whole blocks, few of them, behind a header in the beginning."""
        at = 0
        if self.decompressor is None:
            self.decompressor = self.library.ZstdDecompressor(max_window_size=1 << ZSTD_WINDOW_LOG).decompressobj()
            if packed[:4] != BLOCK_MAGIC:
                raise CodecError("the peer sent what is no zstd stream: it does not begin as one")
            try:
                at = self.library.frame_header_size(packed)
            except self.library.ZstdError as error:
                raise CodecError(f"the peer sent what is no zstd stream: {error}") from None
        blocks = 0
        while at < len(packed):
            head = int.from_bytes(packed[at : at + 3], "little")
            kind, size = head >> 1 & 3, head >> 3
            blocks += 1
            if head & 1 or kind == 3 or blocks > MOST_BLOCKS or len(packed) < at + 3:
                raise CodecError("the peer sent zstd blocks that no sound compressor makes of one piece")
            at += 3 + (1 if kind == 1 else size)
        if at != len(packed):
            raise CodecError("the peer sent a zstd block that is cut off")


class Missing:
    """A chunk that is referred to and not there yet."""

    __slots__ = ("chunk", "length")

    def __init__(self, length: int) -> None:
        self.length = length
        self.chunk = b""


class Dedup(Plain):
    """Chunks, whole or by reference. What is missing is asked for; what is behind it waits, as the stream's credit
    allows."""

    frames = (PART, CHUNK, REFS)
    name = "dedup"

    def __init__(self, store: Store, tally: Tally) -> None:
        super().__init__()
        self.store = store
        self.tally = tally
        self.chunk = bytearray()  # the one under way
        self.last = False  # whether the stream's last chunk was there: it may be shorter than LEAST
        self.waiting: deque[bytes | Missing] = deque()  # the first of them is missing, if there are any
        self.missing: dict[bytes, list[Missing]] = {}

    @property
    def done(self) -> bool:
        """See the module."""
        return self.ended and not self.waiting

    def end(self, digest: bytes) -> None:
        """See `Plain`."""
        if self.chunk:
            raise CodecError("the peer ended its stream in the middle of a chunk")
        super().end(digest)

    def piece(self, kind: int, payload: bytes) -> int:
        """See `Plain`."""
        if self.last:
            raise CodecError(f"the peer sent chunks behind one of less than {LEAST} bytes: that is the last one")
        if kind == REFS:
            return self._references(payload)
        size = len(self.chunk) + len(payload)
        if size > MOST or not (payload or (kind == CHUNK and self.chunk)):
            raise CodecError(f"the peer sent a chunk of {size} bytes; 1 to {MOST} are allowed")
        self.chunk += payload
        if payload:
            self._deliver(payload)
        if kind == CHUNK:
            chunk = bytes(self.chunk)
            self.chunk.clear()
            digest = digest_of(chunk)
            self.hash.update(digest)
            self.store.put(digest, chunk)
            self.tally.chunks += 1
            self.last = size < LEAST
        return len(payload)

    def _deliver(self, data: bytes | Missing) -> None:
        if isinstance(data, Missing):
            self.waiting.append(data)
        else:
            push(self.waiting if self.waiting else self.ready, data)

    def _references(self, payload: bytes) -> int:
        if self.chunk:
            raise CodecError("the peer sent a reference in the middle of a chunk")
        total = 0
        asked: list[bytes] = []
        for digest, length in references(payload):
            if not 0 < length <= MOST:
                raise CodecError(f"the peer referred to a chunk of {length} bytes; 1 to {MOST} are allowed")
            if self.last:
                raise CodecError(f"a reference behind a chunk of less than {LEAST} bytes: that is the last one")
            self.last = length < LEAST
            self.hash.update(digest)
            total += length
            chunk = None if digest in self.missing else self.store.get(digest)
            if chunk is None:
                hole = Missing(length)
                self._deliver(hole)
                if digest not in self.missing:
                    asked.append(digest)
                    self.tally.needed += 1
                self.missing.setdefault(digest, []).append(hole)
            elif len(chunk) != length:
                raise CodecError(f"the peer referred to a chunk of {length} bytes that has {len(chunk)}")
            else:
                self.tally.references += 1
                self.store.put(digest, chunk)  # it is the newest now, here and there
                self._deliver(chunk)
        if asked:
            self.asks.append(frame(NEED, b"".join(asked)))
        return total

    def repair(self, chunk: bytes) -> None:
        """A chunk that was missing; CodecError for another one."""
        digest = digest_of(chunk)
        holes = self.missing.pop(digest, None)
        if holes is None:
            super().repair(chunk)
            return
        self.store.put(digest, chunk)
        for hole in holes:
            if hole.length != len(chunk):
                raise CodecError(f"the peer referred to a chunk of {hole.length} bytes that has {len(chunk)}")
            hole.chunk = chunk
        while self.waiting:
            first = self.waiting[0]
            data = first.chunk if isinstance(first, Missing) else first
            if not data:
                break
            push(self.ready, data)
            self.waiting.popleft()


def make(codec: int, store: Store | None, tally: Tally) -> Decoder:
    """The decoder of a codec; CodecError if the other end uses one that this end has no store for."""
    if codec == DEDUP:
        if store is None:
            raise CodecError("the peer sends references, and we have no store: want --codec dedup here too", "version")
        return Dedup(store, tally)
    return Zstd() if codec == ZSTD else Plain()
