"""What few connections have: the variables of a TCB that most never need, in an object that most never get.

A TCB reaches them through properties of the same names (`tcb`), so that a million idle connections do not pay for what
a handful uses. Code that runs for every segment asks for `tcb.extras` first.
"""

from __future__ import annotations

from typing import Any

from uinet.tcp.path import Path
from uinet.wire.kernels import untrack


class Extras:
    """Times in ns, 0 for "off"; sequence numbers modulo 2**32; sizes in bytes."""

    def __init__(self) -> None:
        self.path: Path | None = None  # made when the path is found to carry less than the interface
        self.algorithm: Any = None  # what makes the congestion control; None: the stack's
        self.error: BaseException | None = None
        self.soft_error: BaseException | None = None  # until there is progress again
        self.user_context: Any = None
        self.splice: Any = None
        self.corked: Any = None  # a cork.Corked, while TCP_CORK holds something back
        self.fast_open: Any = None  # a fast_open.FastOpen, where that was asked for
        self.copy: Any = None  # a copying.FlowCopy, while its packets are copied, or may be
        self.early = b""  # the text of the SYN of a simultaneous open
        self.max_pacing_rate = 0  # SO_MAX_PACING_RATE; 0: none
        self.close_at = 0  # FIN-WAIT-2 and orphans
        self.challenge_after = 0
        self.keep_idle = 0
        self.keep_interval = 0
        self.keep_count = 0
        self.fin_wait_2 = 0  # how long FIN-WAIT-2 lasts, if its user has said so (TCP_LINGER2)
        self.user_timeout = 0
        self.max_segment = 0  # the user's limit of segments (TCP_MAXSEG); 0: none
        self.fin_at = 0
        # of one that was taken over in the middle (`takeover`)
        self.taken = False
        self.passed = False  # the peer may have octets up to `passed_end`, which were never sent from here
        self.passed_end = 0
        self.passed_ack = 0  # up to there it has them: what it takes begins there
        # urgent data (RFC 9293 3.8.5); the pointers count only while the TCB's flags are set
        self.snd_up = 0
        self.rcv_up = 0
        # what came twice, for the next ACK to tell (RFC 2883); equal: nothing
        self.dsack_left = 0
        self.dsack_right = 0
        untrack(self)
