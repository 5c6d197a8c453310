"""One flow that is passed on: who, in which state, and how its numbers are translated."""

from __future__ import annotations

from typing import Any

from uinet.bridging.constants import PASS
from uinet.hashing import Node


class BridgedFlow(Node):
    """A TCP flow of a bridge. `near`: the interface of the side that opened it, as far as that was seen.

    `state`: PASS or TRACK. `track`: what is known of it (TRACK). `translation`: of one that was let go, else None.
    `client_offer`, `server_offer`: what both SYNs have said, None if they were not seen. `client_fin`, `server_fin`:
    where FINs that have passed are, as the near side counts; -1: none has. `ends`: what was seen of its end.
    `connection`: the record of whoever made it. `header`: the link header of its first packet. `waiting`: None, or
    called after each of its segments. `seen`: it had a packet since eviction last looked at it; `last`: when, ns.
    Counts are of packets as the devices gave them, and their bytes, headers included.
    """

    def __init__(self) -> None:
        self.blank_node()
        self.table: Any = None
        self.near: Any = None
        self.far: Any = None
        self.vids = b""
        self.header = b""
        self.client_hi = 0
        self.client_lo = 0
        self.server_hi = 0
        self.server_lo = 0
        self.client_port = 0
        self.server_port = 0
        self.state = PASS
        self.ends = 0
        self.client_fin = -1
        self.server_fin = -1
        self.seen = False  # who has had one packet only gives way first
        self.last = 0
        self.client_frames = 0
        self.client_octets = 0
        self.server_frames = 0
        self.server_octets = 0
        self.track: Any = None
        self.translation: Any = None
        self.client_offer: Any = None
        self.server_offer: Any = None
        self.connection: Any = None
        self.waiting: Any = None
        self.ring_next: BridgedFlow | None = None
        self.ring_previous: BridgedFlow | None = None

    def expire(self, now: int) -> None:
        """The flow has been silent for long, or over for a while."""
        if self.table is not None:
            self.table.due(self, now)
