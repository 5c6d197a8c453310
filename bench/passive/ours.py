"""uinet's side of the comparison, each mode a process of its own.

``count FILE``: bytes are delivered in place, to a sink that counts. ``callback FILE``: every byte goes to a Python
method, in chunks. ``start FILE``: what `count` takes before it opens the file. The fourth mode is the command itself,
``uinet follow --json FILE``. All of these print one line of JSON.
"""

from __future__ import annotations

import json
import sys


def start(name: str, midstream: bool) -> dict[str, int]:
    import uinet.following.source
    import uinet.passive.counting
    import uinet.passive.follower  # noqa: F401

    return {}


def count(name: str, midstream: bool) -> dict[str, int]:
    from uinet.following.source import open_source
    from uinet.passive.counting import Counting
    from uinet.passive.follower import Follower
    from uinet.passive.options import Options

    sink = Counting()
    follower = Follower(sink, Options(midstream=midstream))
    with open_source(name) as source:
        while source.pump(follower):
            pass
    follower.finish()
    return {"bytes": sink.bytes, "connections": sink.connections, "holes": sink.holes, "missing": sink.missing}


class Tally:
    """A handler that looks at every chunk, as a program in Python would."""

    def __init__(self) -> None:
        self.bytes = self.chunks = self.connections = 0

    def opened(self, connection: object) -> None:
        self.connections += 1

    def chunk(self, connection: object, half: object, offset: int, data: bytes, time: int) -> None:
        self.bytes += len(data)
        self.chunks += 1


def callback(name: str, midstream: bool) -> dict[str, int]:
    from uinet.following import deliver

    tally = Tally()
    deliver(name, tally, midstream=midstream)
    return {"bytes": tally.bytes, "connections": tally.connections, "chunks": tally.chunks}


if __name__ == "__main__":
    work = {"count": count, "callback": callback, "start": start}[sys.argv[1]]
    print(json.dumps(work(sys.argv[2], "--midstream" in sys.argv[3:])))
