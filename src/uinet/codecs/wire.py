"""The codec protocol on the wire, version 1. Numbers are big-endian.

::

    hello, first of all, from both ends at once: magic "uinetC" (6), version (1), codec of what follows (1), store (16)
    then frames: kind (1), length of the payload (3), payload

    DATA    bytes of the stream (codec plain)
    ZSTD    length decoded (3), whole blocks of one zstd frame that lasts as long as the stream (codec zstd)
    PART    bytes of the chunk under way (codec dedup)
    CHUNK   the rest of the chunk under way, which ends with it: both ends keep it
    REFS    chunks that passed before: digest (16) and length (3) of each
    NEED    to the other end: digests (16 each) of chunks that it referred to, and that are not in this end's store
    REPAIR  a chunk that was needed
    CREDIT  to the other end: so many bytes more of its stream are welcome (4)
    END     the stream is over: BLAKE2b (16) of its bytes, or, with dedup, of its chunks' digests
    REFUSE  why this end gives up, as text: the connection is reset behind it
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from uinet.codecs.constants import DIGEST, LARGEST, MAGIC, NAMES, VERSION
from uinet.errors import Error

DATA, ZSTD_DATA, PART, CHUNK, REFS, NEED, REPAIR, CREDIT_FRAME, END, REFUSE = range(1, 11)
KINDS = {
    DATA: "DATA", ZSTD_DATA: "ZSTD", PART: "PART", CHUNK: "CHUNK", REFS: "REFS", NEED: "NEED", REPAIR: "REPAIR",
    CREDIT_FRAME: "CREDIT", END: "END", REFUSE: "REFUSE",
}
HEADER = 4
STORE_ID = 16
HELLO = len(MAGIC) + 2 + STORE_ID
REFERENCE = DIGEST + 3
MOST_REFERENCES = 512  # in one frame
LONGEST_TEXT = 200

_CREDIT = struct.Struct(">I")


class CodecError(Error):
    """The other end of a pair is none, is of another version, or sends what no sound one would. One line."""

    def __init__(self, text: str, kind: str = "broken") -> None:
        super().__init__(text)
        self.kind = kind  # one of tally.REFUSALS


def hello(codec: int, store: bytes) -> bytes:
    """The first bytes of an end; `store`: 16 bytes that name its store, zeros without one."""
    return MAGIC + bytes((VERSION, codec)) + store


def frame(kind: int, payload: bytes) -> bytes:
    """One frame."""
    return bytes((kind,)) + len(payload).to_bytes(3, "big") + payload


def credit_frame(amount: int) -> bytes:
    """A CREDIT frame."""
    return frame(CREDIT_FRAME, _CREDIT.pack(amount))


def credit_of(payload: bytes) -> int:
    """What a CREDIT frame grants; CodecError."""
    if len(payload) != _CREDIT.size:
        raise CodecError(f"the peer sent a CREDIT frame of {len(payload)} bytes, not {_CREDIT.size}")
    return int(_CREDIT.unpack(payload)[0])


def reference(digest: bytes, length: int) -> bytes:
    """One entry of a REFS frame."""
    return digest + length.to_bytes(3, "big")


def references(payload: bytes) -> Iterator[tuple[bytes, int]]:
    """The entries of a REFS frame: digest and length; CodecError."""
    if not payload or len(payload) % REFERENCE:
        raise CodecError(f"the peer sent a REFS frame of {len(payload)} bytes, no multiple of {REFERENCE}")
    for at in range(0, len(payload), REFERENCE):
        yield payload[at : at + DIGEST], int.from_bytes(payload[at + DIGEST : at + REFERENCE], "big")


def digests(payload: bytes) -> Iterator[bytes]:
    """The entries of a NEED frame; CodecError."""
    if not payload or len(payload) % DIGEST:
        raise CodecError(f"the peer sent a NEED frame of {len(payload)} bytes, no multiple of {DIGEST}")
    for at in range(0, len(payload), DIGEST):
        yield payload[at : at + DIGEST]


class Reader:
    """Takes what comes apart: first the hello, then frames; never keeps more than one frame. `codec`, `store`: of the
    peer, once its hello is there (-1 before)."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.codec = -1
        self.store = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The frames that are whole with `data`: (kind, payload). CodecError at what is no frame."""
        self.held += data
        at = 0
        try:
            if self.codec < 0:
                self._check_hello()
                if len(self.held) < HELLO:
                    return
                self._take_hello()
                at = HELLO
            while len(self.held) - at >= HEADER:
                kind = self.held[at]
                length = int.from_bytes(self.held[at + 1 : at + HEADER], "big")
                if kind not in KINDS:
                    raise CodecError(f"the peer sent a frame of kind {kind}, which there is none of")
                if length > LARGEST:
                    raise CodecError(f"the peer sent a {KINDS[kind]} frame of {length} bytes; {LARGEST} is the most")
                end = at + HEADER + length
                if len(self.held) < end:
                    return
                payload = bytes(self.held[at + HEADER : end])
                at = end
                yield kind, payload
        finally:
            del self.held[:at]

    def _check_hello(self) -> None:
        """CodecError as soon as what has come can't become a hello."""
        seen = bytes(self.held[: len(MAGIC)])
        if not MAGIC.startswith(seen):
            began = bytes(self.held[:16])
            raise CodecError(
                f"the peer speaks no codec protocol (it began with {began!r}): is the other proxy of the pair there?",
                "foreign",
            )
        if len(self.held) > len(MAGIC) and self.held[len(MAGIC)] != VERSION:
            raise CodecError(
                f"the peer speaks version {self.held[len(MAGIC)]} of the codec protocol, and we {VERSION}: "
                "run the same uinet at both ends", "version",
            )

    def _take_hello(self) -> None:
        codec = self.held[len(MAGIC) + 1]
        if codec not in NAMES.values():
            said = f"the peer uses codec {codec}, which we don't know: run the same uinet at both ends"
            raise CodecError(said, "version")
        self.codec = codec
        self.store = bytes(self.held[len(MAGIC) + 2 : HELLO])


def refusal(error: BaseException) -> bytes:
    """A REFUSE frame."""
    text = " ".join(str(error).split())
    return frame(REFUSE, text.encode("utf-8", "replace")[:LONGEST_TEXT])


def refusal_text(payload: bytes) -> str:
    """What a REFUSE frame says, fit to be printed."""
    text = payload[:LONGEST_TEXT].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)
