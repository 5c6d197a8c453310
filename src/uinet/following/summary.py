"""Connections for people: a line each, and what all of them come to."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uinet.passive.connection import Connection
    from uinet.passive.half import Half
    from uinet.wire.addresses import IPAddress

HEADING = ("#", "start", "took", "client", "server", "sent", "got", "end", "")


class Lines:
    """Makes the lines of a table that nobody knows the end of: its columns grow when they have to, and stay so."""

    def __init__(self) -> None:
        self.serial, self.took, self.client, self.server, self.sent, self.got = 5, 8, 19, 19, 9, 9

    def heading(self) -> str:
        """The names of the columns."""
        number, start, took, client, server, sent, got, end, _ = HEADING
        return (
            f"{number:>{self.serial}} {start:<15} {took:>{self.took}} {client:>{self.client}}   "
            f"{server:<{self.server}} {sent:>{self.sent}} {got:>{self.got}} {end:<7}"
        ).rstrip()

    def line(self, connection: Connection) -> str:
        """One connection; bytes are those of the streams, holes included."""
        client, server = endpoint(connection.client_address), endpoint(connection.server_address)
        serial = str(connection.serial)
        took = f"{max(0, connection.end - connection.start) / 1e9:.3f}"  # clocks may be set back
        sent, got = str(connection.client.length), str(connection.server.length)
        self.serial = max(self.serial, len(serial))
        self.took = max(self.took, len(took))
        self.client = max(self.client, len(client))
        self.server = max(self.server, len(server))
        self.sent = max(self.sent, len(sent))
        self.got = max(self.got, len(got))
        text = (
            f"{serial:>{self.serial}} {clock(connection.start)} {took:>{self.took}} {client:>{self.client}} > "
            f"{server:<{self.server}} {sent:>{self.sent}} {got:>{self.got}} {connection.close:<7} {remarks(connection)}"
        )
        return text.rstrip()


def endpoint(address: tuple[IPAddress, int]) -> str:
    """``10.0.0.1:80``, ``[fd00::1]:80``."""
    ip, port = address
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"


def clock(stamp: int) -> str:
    """The time of day, to microseconds."""
    seconds, rest = divmod(stamp, 1_000_000_000)
    return f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest // 1000:06d}"


def remarks(connection: Connection) -> str:
    """What is not plain about a connection, in a few words."""
    words = []
    if connection.vids:
        words.append("vlan " + ":".join(str(tag.vid) for tag in connection.vlans))
    if connection.midstream:
        words.append("midstream")
    for name, half in (("client", connection.client), ("server", connection.server)):
        if half.hole_bytes:
            words.append(f"{name} misses {missing(half)}")
    words += connection.notes
    return ", ".join(words)


def missing(half: Half) -> str:
    """``1448 bytes lost``, ``3000 bytes in 2 holes: lost, deadline``."""
    reasons = ", ".join(dict.fromkeys(reason for _, _, reason in half.holes))
    if half.hole_count == 1:
        return f"{half.hole_bytes} bytes ({reasons})"
    return f"{half.hole_bytes} bytes in {half.hole_count} holes ({reasons})"


class Totals:
    """What all connections come to."""

    def __init__(self) -> None:
        self.connections = 0
        self.closes: Counter[str] = Counter()
        self.bytes = 0
        self.holes: Counter[str] = Counter()
        self.hole_bytes: Counter[str] = Counter()
        self.unlisted = 0
        self.notes: Counter[str] = Counter()
        self.conflicts = 0
        self.midstream = 0

    def add(self, connection: Connection) -> None:
        """Counts a connection that has ended."""
        self.connections += 1
        self.closes[connection.close] += 1
        self.midstream += connection.midstream
        for note in connection.notes:
            self.notes[note] += 1
        for half in (connection.client, connection.server):
            self.bytes += half.length
            if half.hole_bytes:
                for _, length, reason in half.holes:
                    self.holes[reason] += 1
                    self.hole_bytes[reason] += length
                self.unlisted += half.hole_count - len(half.holes)
            counters = half.counters
            if counters:
                self.conflicts += counters.get("conflicts", 0)

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of everything that is not zero, and of connections and bytes."""
        rows = [
            ("connections", f"{self.connections:,}" + listed(self.closes)),
            ("bytes", f"{self.bytes:,}"),
        ]
        for reason, number in sorted(self.holes.items()):
            rows.append((f"holes: {reason}", f"{number:,}, {self.hole_bytes[reason]:,} bytes"))
        if self.unlisted:
            rows.append(("holes beyond the list", f"{self.unlisted:,}"))
        if self.conflicts:
            rows.append(("conflicting segments", f"{self.conflicts:,}"))
        if self.midstream:
            rows.append(("midstream", f"{self.midstream:,}"))
        if self.notes:
            rows.append(("notes", ", ".join(f"{number:,} {note}" for note, number in sorted(self.notes.items()))))
        return rows


def listed(counts: Counter[str]) -> str:
    """`` (3 fin, 1 rst)``."""
    text = ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items()))
    return f" ({text})" if text else ""
