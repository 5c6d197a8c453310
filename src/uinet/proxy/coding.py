"""What a proxy's codecs share: which one is used, where the other proxy of the pair is, the store, the counters."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from uinet.codecs.constants import NAMES
from uinet.codecs.disk import DiskStore
from uinet.codecs.encoders import zstandard
from uinet.codecs.session import Session
from uinet.codecs.store import MemoryStore, Store
from uinet.codecs.tally import Tally
from uinet.codecs.wire import CodecError
from uinet.errors import InvalidArgument
from uinet.proxy.policy import PolicyError

log = logging.getLogger("uinet")

SIDES = ("server", "client")
STORE_SIZE = 256 << 20
TELL_EVERY = 1.0  # s: no peer can fill the log


@dataclass
class Coding:
    """`codec`: "plain", "zstd" or "dedup", what is sent to the other proxy; that may use another one. `peer`: the side
    on which it is, "server" or "client". `store`: for dedup, ours or the peer's. `level`: of zstd. `choose`: a policy's
    function, which is given the connection, and names its codec or returns None. `tally`: of all connections."""

    codec: str
    peer: str = "server"
    store: Store | None = None
    level: int = 3
    choose: Callable[[Any], Any] | None = None
    tally: Tally = field(default_factory=Tally)
    live: set[Session] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)
    told: float = 0.0

    def session(self, connection: Any) -> Session:
        """A session for a connection. PolicyError if the policy names what is no codec."""
        name = self.choose(connection) if self.choose is not None else None
        if name is None:
            name = self.codec
        if name not in NAMES:
            raise PolicyError(f"codec returned {name!r}: want {', '.join(map(repr, NAMES))} or None")
        if name == "dedup" and self.store is None:
            raise PolicyError("codec returned 'dedup', for which there is no store: want --codec dedup")
        session = Session(name, self.store, level=self.level)
        self.live.add(session)
        return session

    def over(self, session: Session) -> None:
        """A session has ended: its counters are added up."""
        if session in self.live:
            self.live.discard(session)
            self.tally.add(session.tally)
            session.close()  # whatever still holds it: megabytes would wait for the collector

    def failed(self, error: BaseException, who: Any) -> None:
        """Tells of what ended a session, one line, and not too often."""
        now = time.monotonic()
        if isinstance(error, CodecError) and now - self.told >= TELL_EVERY:
            self.told = now
            log.error("%s: %s", who, error)

    def total(self) -> Tally:
        """The counters of all sessions so far."""
        total = Tally()
        total.add(self.tally)
        for session in self.live:
            total.add(session.tally)
        return total

    def close(self) -> None:
        """Closes the store."""
        if self.store is not None:
            self.store.close()


def make_coding(
    codec: str | None, peer: str, folder: str | None, size: int = STORE_SIZE, level: int = 3,
    choose: Callable[[Any], Any] | None = None,
) -> Coding | None:
    """What a command line says, None if it says nothing. InvalidArgument, NotSupported, StoreError."""
    if codec is None:
        if folder is not None or choose is not None:
            raise InvalidArgument("a codec's store, or a policy that names codecs, and no --codec: want one")
        return None
    if codec == "zstd":
        zstandard()  # said now, and not with the first connection
    store: Store | None = None
    if codec == "dedup":
        store = DiskStore(folder, size) if folder is not None else MemoryStore(size)
    elif folder is not None:
        raise InvalidArgument("--codec-store is where dedup keeps chunks: want --codec dedup with it")
    return Coding(codec, peer, store, level, choose)


def coded_record(session: Session) -> dict[str, Any]:
    """What a connection's record says of its codec."""
    tally = session.tally
    return {
        "name": session.codec, "plain_out": tally.plain_out, "wire_out": tally.wire_out, "plain_in": tally.plain_in,
        "wire_in": tally.wire_in, "references": tally.references, "repaired": tally.repaired,
        "needed": tally.needed, "saved": round(tally.saved(), 4),
    }
