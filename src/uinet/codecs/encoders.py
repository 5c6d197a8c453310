"""One direction's sending half: bytes of the stream in, frames out. Each has what a `Session` calls.

`encode(data)`: frames for at most PIECE bytes; `flush()`: those for what was held back; `end()`: the last ones, END
among them. `holds`: whether a flush would send something.
"""

from __future__ import annotations

import importlib
from collections import OrderedDict
from hashlib import blake2b
from typing import Any, Protocol

from uinet.codecs.chunker import Chunker
from uinet.codecs.constants import DEDUP, DIGEST, PLAIN, ZSTD, ZSTD_WINDOW_LOG
from uinet.codecs.store import Store, digest_of
from uinet.codecs.tally import Tally
from uinet.codecs.wire import (
    CHUNK,
    DATA,
    END,
    MOST_REFERENCES,
    PART,
    REFS,
    REPAIR,
    ZSTD_DATA,
    CodecError,
    frame,
    reference,
)
from uinet.errors import NotSupported

MOST_SPARE = 32
SPARE: dict[int, list[Any]] = {}  # compressors by level, to be used again: making one costs more than a small stream
NEEDED_A_LOT = 16  # repairs of one session, from which on their share counts


class Encoder(Protocol):
    """See the module."""

    codec: int

    @property
    def holds(self) -> bool: ...

    def encode(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...

    def end(self) -> bytes: ...

    def needed(self, digest: bytes) -> bytes: ...

    def confirmed(self, offset: int) -> None: ...

    def peer_store(self, name: bytes) -> None: ...

    def close(self) -> None: ...


class Plain:
    """Bytes as they are."""

    codec = PLAIN

    def __init__(self) -> None:
        self.hash = blake2b(digest_size=DIGEST)

    @property
    def holds(self) -> bool:
        """See the module."""
        return False

    def encode(self, data: bytes) -> bytes:
        """See the module."""
        self.hash.update(data)
        return frame(DATA, data)

    def flush(self) -> bytes:
        """Nothing is held back."""
        return b""

    def end(self) -> bytes:
        """END."""
        return frame(END, self.hash.digest())

    def needed(self, digest: bytes) -> bytes:
        """CodecError: nothing was referred to."""
        raise CodecError("the peer asks for a chunk that we never referred to")

    def confirmed(self, offset: int) -> None:
        """The peer has delivered so many bytes of the stream."""

    def peer_store(self, name: bytes) -> None:
        """The peer's hello has come."""

    def close(self) -> None:
        """Nothing more will be asked of it."""


def zstandard() -> Any:
    """The library; NotSupported, with what to do, where it is not installed."""
    try:
        return importlib.import_module("zstandard")
    except ImportError:
        raise NotSupported("the codec zstd needs zstandard: pip install 'uinet[codec]'") from None


class Zstd(Plain):
    """One zstd frame for the whole stream; each piece ends with a whole block, so that none waits."""

    codec = ZSTD

    def __init__(self, level: int = 3) -> None:
        super().__init__()
        self.library = zstandard()
        self.level = level
        self.context: Any = None  # until there is something: it takes two megabytes
        self.compressor: Any = None

    def encode(self, data: bytes) -> bytes:
        """See the module."""
        self.hash.update(data)
        if self.compressor is None:
            spare = SPARE.get(self.level)
            self.context = spare.pop() if spare else self.library.ZstdCompressor(
                compression_params=self.library.ZstdCompressionParameters.from_level(
                    self.level, window_log=ZSTD_WINDOW_LOG, write_content_size=False
                )
            )
            self.compressor = self.context.compressobj()  # begins anew, with nothing of what it was used for before
        packed = self.compressor.compress(data) + self.compressor.flush(self.library.COMPRESSOBJ_FLUSH_BLOCK)
        return frame(ZSTD_DATA, len(data).to_bytes(3, "big") + packed)

    def close(self) -> None:
        """Leaves what takes memory to the next one."""
        spare = SPARE.setdefault(self.level, [])
        if self.context is not None and len(spare) < MOST_SPARE:
            spare.append(self.context)
        self.context = self.compressor = None


class Dedup(Plain):
    """Chunks: those that passed before as references.

    What was flushed in the middle of a chunk goes as it is, and the chunk is kept all the same: its next occurrence is
    a reference. A chunk that was referred to is at hand until the peer has delivered it.
    """

    codec = DEDUP

    def __init__(self, store: Store, tally: Tally) -> None:
        super().__init__()
        self.store = store
        self.tally = tally
        self.chunker = Chunker()
        self.chunk = bytearray()  # the one under way
        self.parted = 0  # bytes of it that were sent
        self.offset = 0  # of the chunk's beginning in the stream
        self.refs: list[bytes] = []
        self.sent: OrderedDict[bytes, tuple[int, bytes]] = OrderedDict()  # referred to: where it ends, and the chunk
        self.references = self.misses = 0
        self.began = store.serial
        self.believe_from = 0

    @property
    def holds(self) -> bool:
        """See the module."""
        return len(self.chunk) > self.parted

    def encode(self, data: bytes) -> bytes:
        """See the module."""
        out: list[bytes] = []
        at = 0
        while True:
            end = self.chunker.cut(data, at)
            if end < 0:
                self.chunk += data[at:]
                break
            if self.chunk:
                self.chunk += data[at:end]
                self._finish(bytes(self.chunk), out)
                self.chunk.clear()
            else:
                self._finish(data[at:end], out)
            at = end
        self._emit_references(out)
        return b"".join(out)

    def _finish(self, chunk: bytes, out: list[bytes]) -> None:
        """The chunk under way is whole."""
        digest = digest_of(chunk)
        self.hash.update(digest)
        self.offset += len(chunk)
        if self.parted == 0 and self.store.number_of(digest) >= self.believe_from:
            self.references += 1
            self.tally.references += 1
            self.sent.pop(digest, None)
            self.sent[digest] = self.offset, chunk
            self.store.put(digest, chunk)  # it is the newest now, here and there
            self.refs.append(reference(digest, len(chunk)))
            if len(self.refs) >= MOST_REFERENCES:
                self._emit_references(out)
            return
        self._emit_references(out)
        out.append(frame(CHUNK, chunk[self.parted :]))
        self.tally.chunks += 1
        self.parted = 0
        self.store.put(digest, chunk)

    def _emit_references(self, out: list[bytes]) -> None:
        if self.refs:
            out.append(frame(REFS, b"".join(self.refs)))
            self.refs.clear()

    def flush(self) -> bytes:
        """See the module."""
        rest = bytes(self.chunk[self.parted :])
        self.parted = len(self.chunk)
        return frame(PART, rest) if rest else b""

    def end(self) -> bytes:
        """The last chunk, and END."""
        out: list[bytes] = []
        if self.chunk:
            self._finish(bytes(self.chunk), out)
            self.chunk.clear()
        self._emit_references(out)
        return b"".join(out) + super().end()

    def needed(self, digest: bytes) -> bytes:
        """The repair of a chunk that the peer does not have; each reference is repaired once."""
        _, chunk = self.sent.pop(digest, (0, b""))
        if not chunk:
            return super().needed(digest)
        self.misses += 1
        self.tally.repaired += 1
        if self.misses >= NEEDED_A_LOT and 2 * self.misses >= self.references:
            self.believe_from = max(self.believe_from, self.store.serial)  # it has lost what passed before
            self.misses = 0
        self.store.put(digest, chunk)
        return frame(REPAIR, chunk)

    def confirmed(self, offset: int) -> None:
        """See `Plain`."""
        while self.sent:
            digest, (end, _) = next(iter(self.sent.items()))
            if end > offset:
                break
            del self.sent[digest]

    def peer_store(self, name: bytes) -> None:
        """See `Plain`."""
        self.believe_from = max(self.believe_from, self.store.believe_from(name, self.began))


def make(codec: int, store: Store | None, tally: Tally, level: int) -> Encoder:
    """The encoder of a codec."""
    if codec == DEDUP:
        assert store is not None
        return Dedup(store, tally)
    return Zstd(level) if codec == ZSTD else Plain()


