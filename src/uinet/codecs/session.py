"""Both directions of one connection between two proxies of a pair, without I/O.

What a program gives to `send` comes out of the other end's `read`; `take` is what to put on the wire, `receive` what
came from there. An end sends at most CREDIT bytes of its stream beyond what the other has delivered, so nothing here
grows without bound, and whoever does not read makes whoever writes wait. Requests for repairs and repairs don't wait:
so an end always takes what comes.
"""

from __future__ import annotations

from uinet.codecs import decoders, encoders
from uinet.codecs.constants import CREDIT, NAMES, PIECE
from uinet.codecs.store import Store
from uinet.codecs.tally import Tally
from uinet.codecs.wire import (
    CREDIT_FRAME,
    NEED,
    REFUSE,
    REPAIR,
    CodecError,
    Reader,
    credit_frame,
    credit_of,
    digests,
    hello,
    refusal,
    refusal_text,
)
from uinet.errors import InvalidArgument

NO_STORE = bytes(16)


class Session:
    """One connection's. `codec`: "plain", "zstd" or "dedup", of what we send; the peer chooses for itself. `store`: for
    dedup, either way. `tally`: counts. `error`: the CodecError that has ended it, or None."""

    def __init__(self, codec: str, store: Store | None = None, tally: Tally | None = None, level: int = 3) -> None:
        if codec not in NAMES:
            raise InvalidArgument(f"{codec!r} is no codec: want {', '.join(NAMES)}")
        if codec == "dedup" and store is None:
            raise InvalidArgument("the codec dedup needs a store")
        self.codec = codec
        self.store = store
        self.tally = tally if tally is not None else Tally()
        self.encoder: encoders.Encoder = encoders.make(NAMES[codec], store, self.tally, level)
        self.decoder: decoders.Decoder | None = None
        self.reader = Reader()
        self.error: CodecError | None = None
        self.ended = False  # we have sent END
        self.sent = 0  # bytes of our stream
        self.confirmed = 0  # of them, those that the other end has delivered
        self.came = 0  # bytes of the peer's stream, those that are missing too
        self.delivered = 0
        self.credited = 0  # of them, those that the peer knows of
        self.out: list[bytes] = [hello(NAMES[codec], store.name if store is not None else NO_STORE)]

    # our stream

    @property
    def room(self) -> int:
        """How many bytes `send` takes now."""
        return CREDIT - (self.sent - self.confirmed)

    def send(self, data: bytes) -> int:
        """Takes as much as the other end has room for; how many bytes."""
        if self.ended:
            raise InvalidArgument("the stream has been ended")
        taken = min(len(data), self.room)
        for at in range(0, taken, PIECE):
            self.out.append(self.encoder.encode(data[at : min(taken, at + PIECE)]))
        self.sent += taken
        self.tally.plain_out += taken
        return taken

    @property
    def holds(self) -> bool:
        """Whether something waits for more to come, or for `flush`."""
        return self.encoder.holds

    def flush(self) -> None:
        """Sends what was held back."""
        self.out.append(self.encoder.flush())

    def end(self) -> None:
        """Our stream is over; again: nothing."""
        if not self.ended:
            self.ended = True
            self.out.append(self.encoder.end())

    # the peer's stream

    @property
    def readable(self) -> bool:
        """Whether `read` has something."""
        return self.decoder is not None and bool(self.decoder.ready)

    @property
    def at_end(self) -> bool:
        """Whether the peer's stream is over, and all of it was read."""
        return self.decoder is not None and self.decoder.done and not self.decoder.ready

    def read(self) -> bytes:
        """Some bytes of the peer's stream, b"" if there are none now; reading them lets the peer send more."""
        if self.decoder is None or not self.decoder.ready:
            return b""
        ready = self.decoder.ready
        data = ready.popleft()
        if ready and len(data) + len(ready[0]) <= PIECE:  # many small ones cost whoever takes them more than a copy
            pieces, size = [data], len(data)
            while ready and size + len(ready[0]) <= PIECE:
                pieces.append(ready.popleft())
                size += len(pieces[-1])
            data = b"".join(pieces)
        self.delivered += len(data)
        self._credit()
        return data

    def _credit(self) -> None:
        fresh = self.delivered - self.credited
        if fresh and (fresh >= CREDIT // 4 or self.at_end):
            self.credited = self.delivered
            self.out.append(credit_frame(fresh))

    # the wire

    @property
    def finished(self) -> bool:
        """Whether both streams are over and delivered, and both ends know."""
        return self.ended and self.sent == self.confirmed and self.at_end

    def close(self) -> None:
        """Lets go of all that takes memory: nothing more is sent or received. The tally stays."""
        self.encoder.close()
        self.encoder = encoders.Plain()
        self.decoder = None
        self.reader = Reader()
        self.out.clear()

    def take(self) -> bytes:
        """What is to be sent to the other end."""
        data = b"".join(self.out)
        self.out.clear()
        self.tally.wire_out += len(data)
        return data

    def receive(self, data: bytes) -> None:
        """Bytes from the other end. CodecError at anything that no sound one sends: the connection is to be reset then,
        behind what `take` still has."""
        self.tally.wire_in += len(data)
        try:
            for kind, payload in self.reader.feed(data):
                if self.decoder is None:
                    self._greeted()
                self._frame(kind, payload)
            if self.decoder is None and self.reader.codec >= 0:
                self._greeted()
        except CodecError as error:
            self._fail(error)
            raise

    def receive_eof(self) -> None:
        """The other end closed its connection; CodecError if it owed us something."""
        if not self.finished:
            error = CodecError("the peer closed the connection in the middle of a stream", "truncated")
            self._fail(error)
            raise error

    def _fail(self, error: CodecError) -> None:
        if self.error is None:
            self.error = error
            setattr(self.tally, error.kind, getattr(self.tally, error.kind) + 1)
            if error.kind != "refused":
                self.out.append(refusal(error))

    def _greeted(self) -> None:
        self.decoder = decoders.make(self.reader.codec, self.store, self.tally)
        self.encoder.peer_store(self.reader.store)

    def _frame(self, kind: int, payload: bytes) -> None:
        assert self.decoder is not None
        if kind == CREDIT_FRAME:
            self.confirmed += credit_of(payload)
            if self.confirmed > self.sent:
                raise CodecError("the peer confirms bytes that were never sent")
            self.encoder.confirmed(self.confirmed)
        elif kind == NEED:
            for digest in digests(payload):
                self.out.append(self.encoder.needed(digest))
        elif kind == REPAIR:
            self.decoder.repair(payload)
        elif kind == REFUSE:
            raise CodecError(f"the peer refuses: {refusal_text(payload)}", "refused")
        else:
            size = self.decoder.take(kind, payload)
            self.came += size
            self.tally.plain_in += size
            if self.came - self.credited > CREDIT:
                raise CodecError("the peer sent more than it was allowed to")
            self._credit()
        if self.decoder.asks:
            self.out += self.decoder.asks
            self.decoder.asks.clear()
