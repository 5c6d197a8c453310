"""Gateways that do not answer: others are used instead (RFC 1122 section 3.3.1, RFC 4861 section 6.3.6).

A neighbour that answers no probe makes the routes through it suspect. `Routes.lookup` passes those over while the same
prefix has another way; where all are suspect it takes the one that failed longest ago, so that each gets its turn. A
suspect is asked once a minute (RFC 4191, section 3.1) and is trusted again as soon as it answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.ip.notice import ROUTER_REACHABLE, ROUTER_UNREACHABLE
from uinet.units import SECOND
from uinet.wheel import Timer

if TYPE_CHECKING:
    from uinet.ip.neighbors import NextHop
    from uinet.ip.network import Network

RETRY = 60 * SECOND

Key = tuple[int, bytes]  # interface's index, address


class Gateways(Timer):
    """The suspect gateways of a stack."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.suspects: dict[Key, int] = {}  # -> when it failed, a count
        self.failures = 0

    def failed(self, hop: NextHop) -> None:
        """`hop` does not answer."""
        key = (hop.interface.index, hop.address)
        entries = self.network.routes.through.get(key)
        if not entries:
            return
        self.failures += 1
        news = key not in self.suspects
        self.suspects[key] = self.failures
        for entry in entries:
            entry.suspect = self.failures
        self.network.changed()
        if news:
            self.network.stats.count("router_unreachable")
            self.network.tell(hop.interface, ROUTER_UNREACHABLE, hop.address)
        if self.deadline == 0:
            self.network.wheel.arm(self, self.network.now + RETRY)

    def answered(self, hop: NextHop) -> None:
        """`hop` answers, perhaps again."""
        key = (hop.interface.index, hop.address)
        if key in self.suspects:
            self.forget(key)
            for entry in self.network.routes.through.get(key, ()):
                entry.suspect = 0
            self.network.changed()
            self.network.tell(hop.interface, ROUTER_REACHABLE, hop.address)

    def forget(self, key: Key) -> None:
        """No route leads through that gateway any more."""
        self.suspects.pop(key, None)
        if not self.suspects:
            self.network.wheel.disarm(self)

    def probe(self, key: Key) -> None:
        """Asks for a gateway if it is suspect."""
        entries = self.network.routes.through.get(key)
        if key in self.suspects and entries:
            self.network.neighbors.probe(self.network.neighbors.lookup(entries[0].interface, key[1]))

    def expire(self, now: int) -> None:
        """Asks for each suspect anew."""
        for key in list(self.suspects):
            self.probe(key)
        if self.suspects:
            self.network.wheel.arm(self, now + RETRY)
