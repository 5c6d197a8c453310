"""What the sources' tests have at the other end: a follower that notes what it is given."""

from __future__ import annotations

from typing import NamedTuple

from uinet.passive.follower import Follower
from uinet.passive.sink import Sink


class Got(NamedTuple):
    """One packet."""

    link_type: int
    data: bytes
    length: int
    time: int


class Recorder(Follower):
    """Notes packets, the objects they lay in, and the times it was told."""

    def __init__(self) -> None:
        super().__init__(Sink())
        self.got: list[Got] = []
        self.lay_in: list[bytes] = []
        self.times: list[int] = []

    def enqueue(self, link_type: int, data: bytes, start: int, captured: int, length: int, time: int) -> None:
        assert type(data) is bytes
        assert 0 <= start <= start + captured <= len(data)
        self.frames += 1
        self.lay_in.append(data)
        self.got.append(Got(link_type, data[start : start + captured], length, time))

    def packet(self, link_type: int, data: bytes, start: int, captured: int, length: int, time: int) -> None:
        self.enqueue(link_type, data, start, captured, length, time)

    def flush(self) -> None:
        """There is nothing left to do."""

    def advance(self, time: int) -> None:
        self.times.append(time)

    @property
    def packets(self) -> list[bytes]:
        return [got.data for got in self.got]
