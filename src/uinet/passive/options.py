"""What a follower of connections is told: times, policies and limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from uinet.errors import InvalidArgument
from uinet.passive.overlap import POLICIES
from uinet.units import MILLISECOND, SECOND

CHECKSUMS = ("auto", "verify", "ignore")
URGENT = ("inline", "hole")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of memory, in bytes unless said otherwise.

    What gives way is the oldest, is counted, and the connection's record tells of it.
    """

    connections: int = 1_000_000  # tracked at once
    held: int = 80 << 20  # out-of-order data of all connections, overhead included
    held_connection: int = 64 << 20  # the same, of one connection: 50 ms at 10 Gbit/s
    holes: int = 65_536  # listed for one stream; for all 16 times that, and `connections`. More are only counted
    fragments: int = 4 << 20  # IP fragments
    recall: int = 4 << 20  # delivered data remembered, to notice retransmissions that differ; 0: none

    def __post_init__(self) -> None:
        for name in ("connections", "held", "held_connection", "holes"):
            if getattr(self, name) < 1:
                raise InvalidArgument(f"limits: {name} must be at least 1")
        for name in ("fragments", "recall"):
            if getattr(self, name) < 0:
                raise InvalidArgument(f"limits: {name} can't be negative")


@dataclass(frozen=True, slots=True)
class Options:
    """How copies are read. Times are in nanoseconds of packet time.

    `deadline`: how long a gap is waited for. `skew`: how long it is waited for once the other side has acknowledged
    it and later data are there: the copy's two directions may be that much out of step. `idle`: a connection without
    packets for this long is over. `midstream`: follow connections whose handshake was not seen. `overlap`: which of
    two overlapping segments counts while both are held, a name of `POLICIES`. `checksums`: "auto" believes them where
    the capture's checksums are right, "verify" always, "ignore" never. `urgent`: "inline" (RFC 6093), or "hole" for
    hosts that take the urgent byte out of the stream. `ignore_vlans`: connections are the same on every VLAN.
    """

    deadline: int = 5 * SECOND
    skew: int = 50 * MILLISECOND
    idle: int = 600 * SECOND
    midstream: bool = False
    overlap: str = "first"
    checksums: str = "auto"
    urgent: str = "inline"
    ignore_vlans: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.overlap not in POLICIES:
            raise InvalidArgument(f"overlap={self.overlap!r}: want one of {', '.join(POLICIES)}")
        if self.checksums not in CHECKSUMS:
            raise InvalidArgument(f"checksums={self.checksums!r}: want one of {', '.join(CHECKSUMS)}")
        if self.urgent not in URGENT:
            raise InvalidArgument(f"urgent={self.urgent!r}: want one of {', '.join(URGENT)}")
        if self.deadline < 0 or self.skew < 0 or self.idle <= 0:
            raise InvalidArgument("deadline and skew can't be negative, and idle must be positive")
