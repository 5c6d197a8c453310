"""Records: what there is to say about a finished connection, ready for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uinet.following.streams import Coalescer

if TYPE_CHECKING:
    from collections.abc import Callable

    from uinet.passive.connection import Connection
    from uinet.passive.half import Half
    from uinet.wire.addresses import IPAddress, Mac

Record = dict[str, Any]
Hole = tuple[int, int, str]
NO_DIGEST = "no-digest"
SIDES = ("client", "server")
EXACT = "exact"


def record(
    connection: Connection, client_digest: str | None, server_digest: str | None,
    overruns: tuple[list[Hole], list[Hole]] = ([], []),
) -> Record:
    """The record of a connection, as ``uinet follow --json`` prints it.

    The digests are those of the streams with zeros for their holes; None, which the notes explain, where the holes are
    too large for that. `overruns`: holes of the client's and the server's stream of which the engine does not know.
    """
    notes = list(connection.notes)
    if client_digest is None or server_digest is None:
        notes.append(NO_DIGEST)
    found: Record = {
        "serial": connection.serial,
        "vlans": [tag.vid for tag in connection.vlans],
        "client": side(
            connection.client_address, connection.client_mac, connection.client, client_digest, overruns[0]
        ),
        "server": side(
            connection.server_address, connection.server_mac, connection.server, server_digest, overruns[1]
        ),
        "start": connection.start / 1e9,
        "end": connection.end / 1e9,
        "close": connection.close,
        "midstream": connection.midstream,
    }
    if notes:
        found["notes"] = notes
    return found


def side(
    address: tuple[IPAddress, int], mac: Mac | None, half: Half, digest: str | None, overruns: list[Hole]
) -> Record:
    """One side of a record: an endpoint and the stream that it sent. Counters are there if they are not zero."""
    found: Record = {
        "ip": str(address[0]),
        "port": address[1],
        "mac": None if mac is None else str(mac),
        "bytes": half.length,
        "holes": [list(hole) for hole in all_holes(half, overruns)],
        "sha256": digest,
    }
    if half.counters.get("holes_unlisted"):
        found["hole_bytes"] = half.hole_bytes  # as the list does not say it
    found.update(half.counters)
    return found


def all_holes(half: Half, overruns: list[Hole]) -> list[Hole]:
    """A stream's holes in their order: those of the copy, and those where there was no room for what it had."""
    return sorted([*half.holes, *overruns]) if overruns else half.holes


def exact_record(connection: Connection, client_digest: str | None, server_digest: str | None) -> Record:
    """A record that also says what its JSON does not, under the key "exact": `start` and `end` in ns, whether VLANs
    count, and of each side the bytes and number of its holes, its packets, and whether its FIN was seen."""
    found = record(connection, client_digest, server_digest)
    exact: dict[str, Any] = {"start": connection.start, "end": connection.end, "tagged": bool(connection.vids)}
    for name, half in zip(SIDES, (connection.client, connection.server), strict=True):
        exact[name] = (half.hole_bytes, half.hole_count, half.packets, half.fin)
    found[EXACT] = exact
    return found


def plain(found: Record) -> Record:
    """An exact record as JSON has it."""
    return {name: value for name, value in found.items() if name != EXACT}


class Recorder:
    """A handler (see :mod:`uinet.following.streams`) that makes a record of each connection and keeps nothing else."""

    def __init__(self, take: Callable[[Record], object]) -> None:
        self.take = take
        self.sink = Coalescer(self, digests=True)

    def closed(self, connection: Connection) -> None:
        """Makes the record, and hands it over."""
        digest = self.sink.digest
        self.take(record(connection, digest(connection, connection.client), digest(connection, connection.server)))
