"""Path MTUs that routers have told us, or that transports have found by probes (RFC 1191, RFC 8201, RFC 4821).

Who reports one has to prove that it saw a packet of ours before it gets here; even so a value never goes
below a floor, never rises by a message, and is forgotten after ten minutes, when the larger size is tried
again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.units import MINUTE
from uinet.wheel import Timer

if TYPE_CHECKING:
    from uinet.ip.network import Network

FLOOR_V4 = 552  # as much as anybody's link carries today; below it fragments are the attack (CVE-2004-1060)
FLOOR_V6 = 1280  # RFC 8201, section 4
AGE = 10 * MINUTE  # RFC 1191 section 6.3, RFC 8201 section 5.3
LIMIT = 1024  # destinations
# RFC 1191, section 7.1: sizes to try where the router does not say its own
PLATEAUS = (65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68)


def plateau_below(size: int) -> int:
    """The largest usual MTU that is less than `size` bytes."""
    for plateau in PLATEAUS:
        if plateau < size:
            return plateau
    return PLATEAUS[-1]


class Pmtu(Timer):
    """Path MTUs by destination."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.table: dict[bytes, tuple[int, int]] = {}  # destination -> (MTU, forgotten at); oldest first

    def get(self, destination: bytes) -> int:
        """The path MTU to the packed `destination`, bytes of IP packet; 0 if nobody has told one."""
        entry = self.table.get(destination)
        return entry[0] if entry is not None and entry[1] > self.network.now else 0

    def update(self, destination: bytes, mtu: int) -> bool:
        """A router's word for it, already found credible; whether the path MTU is lower now.

        Routes in use become stale then.
        """
        floor = FLOOR_V4 if len(destination) == 4 else FLOOR_V6
        mtu = max(mtu, floor)
        known = self.get(destination)
        if known == 0:
            entry = self.network.routes.lookup(destination)
            known = entry.interface.mtu if entry is not None else 65535
        if mtu >= known:
            return False
        self.table.pop(destination, None)
        self._remember(destination, mtu)
        self.network.changed()
        return True

    def learn(self, destination: bytes, mtu: int) -> None:
        """What a transport has found out by itself, by probes or by what is swallowed: unlike a router's word it may be
        more than was known.
        """
        entry = self.network.routes.lookup(destination)
        most = entry.interface.mtu if entry is not None else 65535
        known = self.get(destination) or most
        self.table.pop(destination, None)
        if mtu < most:
            self._remember(destination, mtu)
        if mtu != known:
            self.network.changed()

    def _remember(self, destination: bytes, mtu: int) -> None:
        if len(self.table) >= LIMIT:
            del self.table[next(iter(self.table))]
        expiry = self.network.now + AGE
        self.table[destination] = (mtu, expiry)
        if self.deadline == 0:
            self.network.wheel.arm(self, expiry)

    def expire(self, now: int) -> None:
        """Forgets what is too old, so that routes are looked up anew with the link's own MTU."""
        for destination, (_, expiry) in list(self.table.items()):
            if expiry > now:
                self.network.wheel.arm(self, expiry)
                break
            del self.table[destination]
        self.network.changed()
