"""What is noted for each transmission, and what one ACK has told.

Read first: RFC 8985 (RACK needs the time of each transmission), and section 4.1 of draft-ietf-ccwg-bbr (delivery rate
samples). `flight.py` keeps them in order.
"""

from __future__ import annotations

from uinet.seq import seq_diff
from uinet.wire.kernels import untrack


class Sent:
    """Octets [start, end) that were sent, for the last time, at `sent_at`.

    `sacked`: the peer holds them. `lost`: they count as lost and were not sent again yet. `again`: some of their
    transmissions was a retransmission. The rest is the connection's state when they were sent, for rate samples.
    """

    def __init__(self, start: int, end: int, sent_at: int) -> None:
        self.blank(start, end, sent_at)

    def blank(self, start: int, end: int, sent_at: int) -> None:
        """What a new one is."""
        self.start = start
        self.end = end
        self.sent_at = sent_at
        self.sacked = False
        self.lost = False
        self.again = False
        self.app_limited = False
        self.delivered = 0
        self.delivered_at = 0
        self.first_sent_at = 0
        self.in_flight = 0
        self.lost_before = 0
        self.older: Sent | None = None
        self.newer: Sent | None = None
        untrack(self)

    def tail(self, at: int) -> Sent:
        """Splits this run at `at`, which lies inside; the new run behind it."""
        rest = new_sent(at, self.end, self.sent_at)
        rest.sacked = self.sacked
        rest.lost = self.lost
        rest.again = self.again
        rest.app_limited = self.app_limited
        rest.delivered = self.delivered
        rest.delivered_at = self.delivered_at
        rest.first_sent_at = self.first_sent_at
        rest.in_flight = self.in_flight
        rest.lost_before = self.lost_before
        self.in_flight -= seq_diff(self.end, at)
        self.end = at
        return rest


def new_sent(start: int, end: int, sent_at: int) -> Sent:
    """A run that was sent once."""
    run = Sent.__new__(Sent)
    run.blank(start, end, sent_at)
    return run


class Ack:
    """What one ACK has told; a scratch object, filled again for each. Sizes in bytes, times in ns.

    `acked`: by how much SND.UNA moved. `delivered`: what is newly known to have arrived. `lost`: what newly counts as
    lost. `prior_in_flight`: what was believed to be in the network before. `rtt`: of the latest transmission among what
    was delivered and never sent again, -1 if there is none; `first_rtt`: of the earliest, which includes the peer's
    delay of ACKs. `rate`: bytes a second (0: no sample) over `interval`, in which `rate_delivered` bytes arrived; it
    is a lower bound if `app_limited`. `in_flight`: what was in flight when the sample's packet was sent,
    `lost_since`: what was lost since then, `prior_delivered`: all that had been delivered then. `round`: a round trip
    has ended. `original`: of what was outstanding when recovery began something arrived that was never sent again.
    `ece`: the peer echoes a congestion mark; `marked`: bytes that it says were marked, as far as it can tell.
    `dsack`: it says that something came twice.
    """

    def __init__(self) -> None:
        self.begin(0, 0)
        # under way: of the packet that the sample is taken from
        self.sample_end = 0
        self.sample_sent_at = 0
        self.sample_delivered_at = 0
        self.sample_first_sent_at = 0
        self.sample_lost = 0
        self.recover = 0
        self.recovering = False

    def begin(self, acked: int, in_flight: int) -> None:
        """Starts with a new ACK."""
        self.acked = acked
        self.delivered = 0
        self.lost = 0
        self.prior_in_flight = in_flight
        self.rtt = -1
        self.first_rtt = -1
        self.rate = 0
        self.interval = 0
        self.rate_delivered = 0
        self.app_limited = False
        self.in_flight = 0
        self.lost_since = 0
        self.prior_delivered = 0
        self.round = False
        self.original = False
        self.ece = False
        self.marked = 0
        self.dsack = False
        self.sampled = False
        self.tsecr_age = -1
