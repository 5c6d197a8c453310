"""uinet's findings in a capture, held against the truth: ``python -m bench.passive.check [--quick] NAME...``"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from dataclasses import asdict
from typing import Any

from bench.passive.captures import TITLES, Capture, Library
from bench.passive.truth import Found, Stream, Verdict, compare
from uinet.following.source import open_source
from uinet.passive.connection import Connection
from uinet.passive.follower import Follower
from uinet.passive.half import Half
from uinet.passive.holes import REASONS
from uinet.passive.options import Options
from uinet.passive.sink import Sink


class Digests(Sink):
    """Keeps, of each stream, its length, holes and a digest of its bytes."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.broken = 0  # calls at another offset than the last one ended at
        self.twice = 0  # connections opened or closed twice
        self.reasons: dict[str, int] = {}
        self.closes: dict[str, int] = {}
        self.open: dict[int, dict[str, Any]] = {}

    def opened(self, conn: Connection) -> None:
        self.twice += conn.serial in self.open
        self.open[conn.serial] = {name: [0, [], hashlib.sha256()] for name in ("client", "server")}

    def _of(self, conn: Connection, half: Half) -> Any:
        return self.open[conn.serial]["client" if half is conn.client else "server"]

    def data(self, conn: Connection, half: Half, offset: int, data: bytes, start: int, length: int, time: int) -> None:
        kept = self._of(conn, half)
        self.broken += offset != kept[0]
        kept[0] = offset + length
        with memoryview(data) as view:
            kept[2].update(view[start : start + length])

    def hole(self, conn: Connection, half: Half, offset: int, length: int, reason: int, time: int) -> None:
        kept = self._of(conn, half)
        self.broken += offset != kept[0]
        kept[0] = offset + length
        holes = kept[1]
        if holes and sum(holes[-1]) == offset:
            holes[-1] = (holes[-1][0], holes[-1][1] + length)
        else:
            holes.append((offset, length))
        name = REASONS[reason]
        self.reasons[name] = self.reasons.get(name, 0) + 1

    def closed(self, conn: Connection) -> None:
        kept = self.open.pop(conn.serial, None)
        self.closes[conn.close] = self.closes.get(conn.close, 0) + 1
        if kept is None:
            self.twice += 1
            return
        streams = [Stream(length, holes, digest.digest()) for length, holes, digest in kept.values()]
        for stream, half in zip(streams, (conn.client, conn.server), strict=True):
            self.broken += stream.length != half.length
        client, server = ((int(ip), port) for ip, port in (conn.client_address, conn.server_address))
        self.found.append(Found(conn.frame, client, server, (streams[0], streams[1]), vids=conn.vids))


def findings(capture: Capture) -> tuple[Digests, dict[str, int]]:
    """Everything uinet finds in a capture."""
    sink = Digests()
    follower = Follower(sink, Options(midstream=capture.lossy))
    with open_source(capture.path) as source:
        while source.pump(follower):
            pass
    follower.finish()
    return sink, follower.stats


def check(library: Library, capture: Capture) -> tuple[Verdict, dict[str, Any]]:
    """The verdict, and how the holes and ends came about."""
    sink, stats = findings(capture)
    verdict = compare(library.truth(capture), sink.found, sink.broken + sink.twice + len(sink.open))
    return verdict, {"reasons": sink.reasons, "closes": sink.closes, "stats": stats}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.passive.check")
    parser.add_argument("names", nargs="*", default=list(TITLES), metavar="NAME", help="captures (default: all)")
    parser.add_argument("--quick", action="store_true", help="the small captures")
    parser.add_argument("--tell", type=int, metavar="FRAME", help="only tell of the packets of one frame's connection")
    arguments = parser.parse_args()
    library = Library(arguments.quick)
    right = True
    for name in arguments.names:
        started = time.monotonic()
        capture = library.get(name)
        if arguments.tell:
            print("\n".join(library.tell(capture, arguments.tell)))
            continue
        verdict, how = check(library, capture)
        right &= verdict.right
        print(f"{name}: {'right' if verdict.right else 'WRONG'} ({time.monotonic() - started:.1f} s)")
        print(json.dumps({**asdict(verdict), **how}, indent=2))
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
