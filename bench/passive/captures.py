"""The captures, made when they are wanted and kept: in $UINET_CAPTURES, or build/captures.

``python -m bench.passive.captures [--quick] [NAME...]`` only makes them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.passive import content, damage, record, synthesize
from bench.passive.truth import Found, Whole, known

VERSION = 1  # of the recipes: a capture of another one is made again
BODY = 8192  # bytes of capture B's response, which makes 20 packets of a connection


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the captures are."""

    bulk: int  # bytes of A
    requests: int  # connections of B
    open: int  # connections of C


FULL = Scale(1_000_000_000, 100_000, 1_000_000)
QUICK = Scale(50_000_000, 5_000, 50_000)
TITLES = {
    "A": "one connection over veth",
    "B": "HTTP from nginx and ab, 4-tuples used again",
    "C": "connections all open at once",
    "C2": "the same in QinQ",
    "D": "A with 0.5% of packets missing",
    "E": "B with 0.5% of packets missing",
    "F": "A, 2% held back 1 to 8 places, 0.1% doubled",
    "G": "B, 2% held back 1 to 8 places, 0.1% doubled",
}
WHOLE = {"D": "A", "E": "B", "F": "A", "G": "B"}  # what a damaged capture is made from
LOST = 0.005
HELD, DOUBLED = 0.02, 0.001


class Wrong(Exception):
    """A capture is not what it was meant to be."""


@dataclass(frozen=True, slots=True)
class Capture:
    """One capture, and what is in it: bytes of streams and connections are those of the whole one."""

    name: str
    path: str
    packets: int
    size: int
    connections: int
    stream_bytes: int
    version: int = VERSION

    @property
    def title(self) -> str:
        return TITLES[self.name]

    @property
    def lossy(self) -> bool:
        return self.name in "DE"


class Library:
    """The directory of captures of one scale."""

    def __init__(self, quick: bool = False) -> None:
        base = os.environ.get("UINET_CAPTURES") or Path(__file__).parents[2] / "build" / "captures"
        self.cache = Path(base).resolve()
        self.scale = QUICK if quick else FULL
        self.directory = self.cache / "quick" if quick else self.cache
        self.directory.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        return self.directory / f"{name}.pcap"

    def get(self, name: str) -> Capture:
        """A capture, made first if need be."""
        note = self.path(name).with_suffix(".json")
        if note.exists():
            found = Capture(**json.loads(note.read_text()))
            if found.version == VERSION and found.path == str(self.path(name)) and self._current(found):
                return found
        if name in WHOLE:
            self.get(WHOLE[name])
        started = time.monotonic()
        print(f"  making capture {name}: {TITLES[name]}", file=sys.stderr, flush=True)
        self.path(name).unlink(missing_ok=True)
        found = self._make(name)
        note.write_text(json.dumps(asdict(found), indent=2) + "\n")
        print(f"  {found.path}: {found.packets} packets, {found.size / 1e6:.0f} MB, "
              f"{time.monotonic() - started:.0f} s", file=sys.stderr)
        return found

    def _current(self, capture: Capture) -> bool:
        """Whether the file is there, whole, and younger than what it was made from."""
        path = Path(capture.path)
        if not path.exists() or path.stat().st_size != capture.size:
            return False
        whole = self.path(WHOLE.get(capture.name, capture.name))
        return whole.exists() and whole.stat().st_mtime <= path.stat().st_mtime

    def _make(self, name: str) -> Capture:
        path = self.path(name)
        if name == "A":
            digest = record.bulk(path, self.scale.bulk)
            if digest != content.digest(self.scale.bulk):
                raise Wrong("capture A: the kernels did not carry what was sent")
            return self._checked_bulk(digest)
        if name == "B":
            return self._checked_http(record.http(path, self.scale.requests, BODY))
        if name in ("C", "C2"):
            count = self.scale.open
            packets = synthesize.write(path, count, vlan=name == "C2")
            return self._capture(name, packets, count, 2 * synthesize.SIZE * count)
        whole = self.get(WHOLE[name])
        seed = ord(name)
        order = (
            damage.lost(whole.packets, seed, LOST) if name in "DE"
            else damage.disordered(whole.packets, seed, HELD, DOUBLED)
        )
        damage.write(Path(whole.path), path, order)
        return self._capture(name, len(order), whole.connections, whole.stream_bytes)

    def _checked_bulk(self, digest: str) -> Capture:
        """Capture A, once it is known to hold every byte that was sent."""
        with Whole(self.path("A")) as whole:
            found = list(whole.expected())
            stream = found[0].streams[0]
            if len(found) != 1 or stream.holes or stream.digest.hex() != digest or stream.length != self.scale.bulk:
                raise Wrong("capture A does not hold what was sent")
            return self._capture("A", len(whole.seq), 1, stream.length)

    def _checked_http(self, complete: int) -> Capture:
        """Capture B, once it is known to hold every response that ab got."""
        body = record.body(BODY)
        responses = stream_bytes = 0
        with Whole(self.path("B")) as whole:
            for flow in whole.flows:
                request, response = whole.text(flow, 0), whole.text(flow, 1)
                stream_bytes += len(request) + len(response)
                if response:
                    responses += 1
                    head, _, rest = response.partition(b"\r\n\r\n")
                    if rest != body or not head.startswith(b"HTTP/1.1 200") or not request.startswith(b"GET /body"):
                        raise Wrong("capture B holds a response that nginx did not send")
            if responses < complete:  # ab opens some connections more at its end, and drops them
                raise Wrong(f"capture B holds {responses} responses, ab got {complete}")
            return self._capture("B", len(whole.seq), len(whole.flows), stream_bytes)

    def _capture(self, name: str, packets: int, connections: int, stream_bytes: int) -> Capture:
        path = self.path(name)
        return Capture(name, str(path), packets, path.stat().st_size, connections, stream_bytes)

    def truth(self, capture: Capture) -> Iterator[Found]:
        """What there is to find in a capture (see `bench.passive.truth`)."""
        if capture.name in ("C", "C2"):
            yield from known(capture.connections, capture.name == "C2")
            return
        with Whole(self.path(WHOLE.get(capture.name, capture.name))) as whole:
            yield from whole.expected(self._order(capture))

    def tell(self, capture: Capture, frame: int) -> Iterator[str]:
        """The packets of one connection of a capture other than C, those that are missing too."""
        with Whole(self.path(WHOLE.get(capture.name, capture.name))) as whole:
            yield from whole.tell(self._order(capture), frame)

    @staticmethod
    def _order(capture: Capture) -> array[int] | None:
        return damage.read_order(Path(capture.path)) if capture.name in WHOLE else None


def main() -> int:
    names = [name for name in sys.argv[1:] if name != "--quick"]
    library = Library("--quick" in sys.argv[1:])
    for name in names or TITLES:
        print(json.dumps(asdict(library.get(name))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
