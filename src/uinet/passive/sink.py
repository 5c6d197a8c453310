"""Where streams go: what a follower tells of its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uinet.passive.connection import Connection
    from uinet.passive.half import Half


class Sink:
    """Told of everything, in order; a subclass overrides what it wants to know.

    Methods are called in the middle of a packet: they may not call the follower, and have to copy what they want to
    keep of `data`. `time` is that of the packet that carried the bytes, or, of holes, when they were declared; ns.
    A stream's `data` and `hole` calls follow each other without gap or overlap: each offset exactly once.
    """

    def opened(self, conn: Connection) -> None:
        """A connection, before anything else of it: who is client and who server is settled."""

    def data(self, conn: Connection, half: Half, offset: int, data: bytes, start: int, length: int, time: int) -> None:
        """The `length` stream bytes at `offset` are those of `data` at `start`."""

    def hole(self, conn: Connection, half: Half, offset: int, length: int, reason: int, time: int) -> None:
        """The `length` stream bytes at `offset` are missing; `reason` as in :mod:`uinet.passive.holes`."""

    def conflict(self, conn: Connection, half: Half, offset: int, length: int, time: int) -> None:
        """Of the `length` bytes at `offset` two different versions were seen."""

    def finished(self, conn: Connection, half: Half, time: int) -> None:
        """The stream has ended with its FIN, and all before it has been told."""

    def closed(self, conn: Connection) -> None:
        """The connection is over, `conn.close` says how. Nothing more of it will come."""
