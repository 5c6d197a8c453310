"""TCP_CORK and TCP_NOPUSH: segments that are not full wait, but for no longer than 200 ms, as Linux documents it."""

from __future__ import annotations

from uinet.tcp.tcb import Tcb
from uinet.units import MILLISECOND
from uinet.wheel import Timer

CEILING = 200 * MILLISECOND


class Corked(Timer):
    """The timer of a connection that holds something back. There is one only while it does."""

    def __init__(self, tcb: Tcb) -> None:
        super().__init__()
        self.tcb = tcb
        self.due = False

    def expire(self, now: int) -> None:
        """The 200 ms are over."""
        self.tcb.context.timeout(self, now)


def held_long_enough(tcb: Tcb) -> bool:
    """Whether what the cork holds back may go nevertheless; else the time begins, if it has not yet."""
    corked = tcb.corked
    if corked is None:
        tcb.corked = Corked(tcb)
        tcb.context.wheel.arm(tcb.corked, tcb.context.now + CEILING)
        return False
    if not corked.due:
        return False
    tcb.corked = None
    return True


def pull(tcb: Tcb) -> None:
    """The cork is pulled: what it has held back goes, Nagle or not."""
    forget(tcb)
    tcb.small_sent = tcb.snd_una


def forget(tcb: Tcb) -> None:
    """Nothing is held back any more."""
    if tcb.corked is not None:
        tcb.context.wheel.disarm(tcb.corked)
        tcb.corked = None
