"""What a connection knows of its path's MTU, once there is more to know than the interface's (see `discovery`)."""

from __future__ import annotations

# states, under the names of RFC 8899, 5.2 (without a Path: DISABLED; at the floor nothing is left that ERROR could do)
BASE = 1  # a size that is safe is in use, and not confirmed yet
SEARCHING = 2
COMPLETE = 3

# who probes (`Settings.mtu_probing`, TCP_MTU_PROBING)
PROBING_OFF = 0
PROBING_BLACK_HOLE = 1  # where full segments have vanished without a word, or a smaller MTU was reported a while ago
PROBING_ALWAYS = 2  # every connection begins with the base and searches from there

# what ICMP may do (IP_MTU_DISCOVER)
DISCOVER_DONT = 0  # over IPv4 routers fragment, nothing is discovered; IPv6 has no such routers, there it is WANT
DISCOVER_WANT = 1  # these two are the same for TCP
DISCOVER_DO = 2
DISCOVER_PROBE = 3  # nothing, and the cache of path MTUs neither


class Path:
    """The path MTU of one connection. Sizes are those of IP packets, in bytes; times in ns.

    `low`: what is in use. `high`: the largest that may be possible. `size`: what is probed, with the octets
    [`start`, `end`) while `probing`; `failures`: probes of that size that were lost. `fresh`: no probe of this search
    has failed. `next_at`: before that nothing is probed. `claimed`: an MTU that a router has reported for the segment
    at `claimed_seq`, to be believed if that gets no answer; 0: none.
    """

    def __init__(self, low: int, high: int) -> None:
        self.state = COMPLETE
        self.low = low
        self.high = high
        self.size = 0
        self.probing = False
        self.start = 0
        self.end = 0
        self.failures = 0
        self.fresh = True
        self.next_at = 0
        self.claimed = 0
        self.claimed_seq = 0
