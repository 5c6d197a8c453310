"""The transmission control block: all variables of one connection, under the names of RFC 9293, 3.3.1.

Nothing happens here; `arrive`, `calls`, `send`, `receive`, `timers` and `recovery` are the verbs.
"""

from __future__ import annotations

from typing import Any

from uinet.tcp.accecn import AccEcn
from uinet.tcp.buffer import ByteQueue
from uinet.tcp.congestion.base import CongestionControl
from uinet.tcp.context import Context
from uinet.tcp.flight import Flight
from uinet.tcp.path import Path
from uinet.tcp.reassembly import Reassembly
from uinet.tcp.table import Entry
from uinet.tcp.tuning import Tuning
from uinet.wire.kernels import untrack


class Tcb(Entry):
    """One connection. Times in ns, 0 for "off"; sequence numbers modulo 2**32; sizes in bytes."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.owner: Any = None  # the Socket, or what else is told of events
        self.listener: Any = None  # of a connection that was not accepted yet
        self.state = 0
        # send sequence space
        self.iss = 0
        self.snd_una = 0
        self.snd_nxt = 0
        self.snd_wnd = 0
        self.snd_wl1 = 0
        self.snd_wl2 = 0
        self.snd_scale = 0
        self.max_snd_wnd = 0
        self.mss = 536  # effective send MSS: payload bytes of a full segment, options allowed for
        self.peer_mss = 536  # what the peer takes, options not allowed for
        self.path: Path | None = None  # made when the path is found to carry less than the interface
        self.mtu_probing = context.settings.mtu_probing
        self.mtu_discover = 1  # IP_MTU_DISCOVER
        # receive sequence space
        self.irs = 0
        self.rcv_nxt = 0
        self.rcv_adv = 0  # right edge of the window that the peer was told
        self.rcv_scale = 0
        self.rcv_mss = 536  # largest segment the peer has sent
        self.last_ack_sent = 0
        # urgent data (RFC 9293 3.8.5); the pointers count only while their flags are set
        self.snd_up = 0
        self.rcv_up = 0
        self.urgent_out = False
        self.urgent_in = False
        # options in use
        self.ts_ok = False
        self.sack_ok = False
        self.ts_recent = 0
        self.ts_recent_age = 0
        self.ts_offset = 0
        # buffers; made when first needed
        self.snd_buf: ByteQueue | None = None  # from snd_una on, SYN and FIN not counted
        self.rcv_buf: ByteQueue | None = None
        self.reassembly: Reassembly | None = None
        self.snd_limit = context.settings.send_buffer
        self.rcv_limit = context.settings.receive_buffer
        self.send_auto = True  # the limit grows with what the connection can use (`autotune`)
        self.receive_auto = True
        self.tuning: Tuning | None = None
        # congestion and recovery (RFC 5681, 6675, 8985)
        self.congestion: CongestionControl | None = None  # made, as `flight`, when there is something to send
        self.algorithm: Any = None  # what makes it; None: the stack's
        self.flight: Flight | None = None  # what was sent and is not acknowledged, and what ACKs have taught
        self.cwnd = 0
        self.ssthresh = 0x7FFFFFFF
        self.pacing_rate = 0  # bytes a second; 0: not paced
        self.max_pacing_rate = 0  # SO_MAX_PACING_RATE; 0: none
        self.paced_until = 0  # nothing is sent before
        self.pacing = False  # something waits for that
        self.dup_acks = 0
        self.recovering = 0  # the state of recovery (`recovery`: OPEN, FAST, ...); until snd_una reaches `recover`
        self.recover = 0
        self.dsack_left = 0  # what came twice, for the next ACK to tell (RFC 2883); equal to dsack_right: nothing
        self.dsack_right = 0
        # explicit congestion notification (RFC 3168)
        self.ecn_ok = False  # of either kind
        self.accecn: AccEcn | None = None  # accurate feedback (RFC 9768) is in use
        self.ace_in = 0  # the flags of ACE in a segment that brings no news of marks
        self.ecn_echo = False  # a mark came: ACKs say so until the peer has heard
        self.ecn_reduced = False  # cwnd was reduced: the next new segment says so
        # round trips and retransmission timer (RFC 6298)
        self.srtt = 0
        self.rttvar = 0
        self.rto = context.settings.rto_initial
        self.backoff = 0
        self.timing = False  # our SYN, sent once at `timed_at`
        self.timed_at = 0
        self.unanswered_since = 0  # when what is now unacknowledged (or the zero window) began; 0: nothing is
        # timers
        self.rexmt_at = 0  # retransmission or, with `persisting`, window probe
        self.loss_at = 0  # reordering window or tail loss probe (RFC 8985)
        self.persisting = False
        self.delack_at = 0
        self.keep_at = 0
        self.keep_probes = 0
        self.close_at = 0  # FIN-WAIT-2 and orphans
        self.last_heard = 0
        self.challenge_after = 0
        # acknowledgment of what came
        self.ack_now = False
        # what the user has asked for, and how it ended
        self.closing = False  # no more SENDs: FIN follows the buffer
        self.fin_sent = False
        self.fin_acked = False
        self.fin_received = False
        self.fin_held = False  # a FIN at `fin_at` waits for what is missing before it
        self.fin_at = 0
        self.receive_shut = False
        self.orphan = False  # the user has let go of it
        self.lingering = False  # and has said for how long at most
        self.no_delay = False
        self.cork = False
        self.keepalive = False
        self.quick_ack = False
        self.keep_idle = 0
        self.keep_interval = 0
        self.keep_count = 0
        self.user_timeout = 0
        self.small_sent = 0  # end of the last segment sent that was not full (Minshall's variant of Nagle)
        self.error: BaseException | None = None
        self.soft_error: BaseException | None = None  # until there is progress again
        self.report_soft = False  # the user wants to be told
        self.events = 0
        self.ready_queued = False
        self.pending_queued = False
        self.wants_write = False  # send was refused for want of room: tell when there is some
        self.user_context: Any = None
        self.serial = 0
        self.passive_open = False
        self.splice: Any = None
        self.corked: Any = None  # a cork.Corked, while TCP_CORK holds something back
        self.max_segment = 0  # the user's limit of segments (TCP_MAXSEG); 0: none
        self.fast_open: Any = None  # a fast_open.FastOpen, where that was asked for
        # counters for info()
        self.bytes_in = 0
        self.bytes_out = 0
        self.segments_in = 0
        self.segments_out = 0
        self.retransmits = 0
        untrack(self)

    def expire(self, now: int) -> None:
        """The earliest of this connection's timers is due."""
        self.context.timeout(self, now)
