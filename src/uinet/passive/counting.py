"""The sink that only counts: bytes are delivered in place and nothing is kept."""

from __future__ import annotations

from uinet.passive.connection import Connection
from uinet.passive.half import Half
from uinet.passive.sink import Sink


class Counting(Sink):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.connections = 0
        self.closes = 0
        self.bytes = 0
        self.holes = 0
        self.missing = 0
        self.conflicts = 0
        self.fins = 0

    def opened(self, conn: Connection) -> None:
        self.connections += 1

    def data(self, conn: Connection, half: Half, offset: int, data: bytes, start: int, length: int, time: int) -> None:
        self.bytes += length

    def hole(self, conn: Connection, half: Half, offset: int, length: int, reason: int, time: int) -> None:
        self.holes += 1
        self.missing += length

    def conflict(self, conn: Connection, half: Half, offset: int, length: int, time: int) -> None:
        self.conflicts += 1

    def finished(self, conn: Connection, half: Half, time: int) -> None:
        self.fins += 1

    def closed(self, conn: Connection) -> None:
        self.closes += 1
