"""The transmission control block: all variables of one connection, under the names of RFC 9293, 3.3.1.

Nothing happens here; `arrive`, `calls`, `send`, `receive`, `timers` and `recovery` are the verbs.
"""

from __future__ import annotations

from typing import Any

from uinet.tcp.accecn import AccEcn
from uinet.tcp.buffer import ByteQueue
from uinet.tcp.congestion.base import CongestionControl
from uinet.tcp.context import Context
from uinet.tcp.extras import Extras
from uinet.tcp.flight import Flight
from uinet.tcp.path import Path
from uinet.tcp.reassembly import Reassembly
from uinet.tcp.table import Entry
from uinet.tcp.tuning import Tuning
from uinet.wire.kernels import untrack


class Tcb(Entry):
    """One connection. Times in ns, 0 for "off"; sequence numbers modulo 2**32; sizes in bytes."""

    def __init__(self, context: Context) -> None:
        self.blank(context)

    def blank(self, context: Context) -> None:
        """What a new one is: CLOSED, with the defaults of the stack's settings."""
        self.blank_entry()
        settings = context.settings
        self.context = context
        self.owner: Any = None  # the Socket, or what else is told of events
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
        self.mtu_probing = settings.mtu_probing
        self.mtu_discover = 1  # IP_MTU_DISCOVER
        # receive sequence space
        self.irs = 0
        self.rcv_nxt = 0
        self.rcv_adv = 0  # right edge of the window that the peer was told
        self.rcv_scale = 0
        self.rcv_mss = 536  # largest segment the peer has sent
        self.last_ack_sent = 0
        self.urgent_out = False  # there is urgent data (RFC 9293 3.8.5): `snd_up` and `rcv_up` count
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
        self.snd_limit = settings.send_buffer
        self.rcv_limit = settings.receive_buffer
        self.send_auto = True  # the limit grows with what the connection can use (`autotune`)
        self.receive_auto = True
        self.tuning: Tuning | None = None
        # congestion and recovery (RFC 5681, 6675, 8985)
        self.congestion: CongestionControl | None = None  # made, as `flight`, when there is something to send
        self.flight: Flight | None = None  # what was sent and is not acknowledged, and what ACKs have taught
        self.cwnd = 0
        self.ssthresh = 0x7FFFFFFF
        self.pacing_rate = 0  # bytes a second; 0: not paced
        self.pacing = False  # something waits for `flight.paced_until`
        self.dup_acks = 0
        self.recovering = 0  # the state of recovery (`recovery`: OPEN, FAST, ...); until snd_una reaches `recover`
        self.recover = 0
        # explicit congestion notification (RFC 3168)
        self.ecn_ok = False  # of either kind
        self.accecn: AccEcn | None = None  # accurate feedback (RFC 9768) is in use
        self.ace_in = 0  # the flags of ACE in a segment that brings no news of marks
        self.ecn_echo = False  # a mark came: ACKs say so until the peer has heard
        self.ecn_reduced = False  # cwnd was reduced: the next new segment says so
        # round trips and retransmission timer (RFC 6298)
        self.srtt = 0
        self.rttvar = 0
        self.rto = settings.rto_initial
        self.backoff = 0
        self.timing = False  # our SYN, sent once at `unanswered_since`
        self.unanswered_since = 0  # when what is now unacknowledged (or the zero window) began; 0: nothing is
        # timers
        self.rexmt_at = 0  # retransmission or, with `persisting`, window probe
        self.loss_at = 0  # reordering window or tail loss probe (RFC 8985)
        self.persisting = False
        self.delack_at = 0
        self.keep_at = 0
        self.keep_probes = 0
        self.last_heard = 0
        # acknowledgment of what came
        self.ack_now = False
        # what the user has asked for, and how it ended
        self.closing = False  # no more SENDs: FIN follows the buffer
        self.fin_sent = False
        self.fin_acked = False
        self.fin_received = False
        self.fin_held = False  # a FIN at `fin_at` waits for what is missing before it
        self.receive_shut = False
        self.orphan = False  # the user has let go of it
        self.lingering = False  # and has said for how long at most
        self.no_delay = False
        self.cork = False
        self.keepalive = False
        self.quick_ack = False
        self.small_sent = 0  # end of the last segment sent that was not full (Minshall's variant of Nagle)
        self.report_soft = False  # the user wants to be told
        self.events = 0
        self.ready_queued = False
        self.pending_queued = False
        self.wants_write = False  # send was refused for want of room: tell when there is some
        self.serial = 0
        self.passive_open = False
        self.ack_held = False  # the ACK of the peer's SYN may wait, as other ACKs may
        self.extras: Extras | None = None  # what the properties below are about, once one of them is set
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

    def more(self) -> Extras:
        """The extras, made if there are none yet."""
        if self.extras is None:
            self.extras = Extras()
        return self.extras

    @property
    def path(self) -> Path | None:
        """What is known of the path's MTU, where it is less than the interface's."""
        return self.extras.path if self.extras is not None else None

    @path.setter
    def path(self, value: Path | None) -> None:
        if value is not None or self.extras is not None:
            self.more().path = value

    @property
    def algorithm(self) -> Any:
        """What makes the congestion control; None: the stack's."""
        return self.extras.algorithm if self.extras is not None else None

    @algorithm.setter
    def algorithm(self, value: Any) -> None:
        if value is not None or self.extras is not None:
            self.more().algorithm = value

    @property
    def error(self) -> BaseException | None:
        """How it ended."""
        return self.extras.error if self.extras is not None else None

    @error.setter
    def error(self, value: BaseException | None) -> None:
        if value is not None or self.extras is not None:
            self.more().error = value

    @property
    def soft_error(self) -> BaseException | None:
        """What may pass, until there is progress again."""
        return self.extras.soft_error if self.extras is not None else None

    @soft_error.setter
    def soft_error(self, value: BaseException | None) -> None:
        if value is not None or self.extras is not None:
            self.more().soft_error = value

    @property
    def user_context(self) -> Any:
        """What the SYN filter has left."""
        return self.extras.user_context if self.extras is not None else None

    @user_context.setter
    def user_context(self, value: Any) -> None:
        if value is not None or self.extras is not None:
            self.more().user_context = value

    @property
    def splice(self) -> Any:
        """What pumps between this and another connection."""
        return self.extras.splice if self.extras is not None else None

    @splice.setter
    def splice(self, value: Any) -> None:
        if value is not None or self.extras is not None:
            self.more().splice = value

    @property
    def corked(self) -> Any:
        """A cork.Corked, while TCP_CORK holds something back."""
        return self.extras.corked if self.extras is not None else None

    @corked.setter
    def corked(self, value: Any) -> None:
        if value is not None or self.extras is not None:
            self.more().corked = value

    @property
    def fast_open(self) -> Any:
        """A fast_open.FastOpen, where that was asked for."""
        return self.extras.fast_open if self.extras is not None else None

    @fast_open.setter
    def fast_open(self, value: Any) -> None:
        if value is not None or self.extras is not None:
            self.more().fast_open = value

    @property
    def max_pacing_rate(self) -> int:
        """SO_MAX_PACING_RATE in bytes a second; 0: none."""
        return self.extras.max_pacing_rate if self.extras is not None else 0

    @max_pacing_rate.setter
    def max_pacing_rate(self, value: int) -> None:
        if value or self.extras is not None:
            self.more().max_pacing_rate = value

    @property
    def close_at(self) -> int:
        """When FIN-WAIT-2 or an orphan ends."""
        return self.extras.close_at if self.extras is not None else 0

    @close_at.setter
    def close_at(self, value: int) -> None:
        if value or self.extras is not None:
            self.more().close_at = value

    @property
    def challenge_after(self) -> int:
        """No challenge ACK before."""
        return self.extras.challenge_after if self.extras is not None else 0

    @challenge_after.setter
    def challenge_after(self, value: int) -> None:
        if value or self.extras is not None:
            self.more().challenge_after = value

    @property
    def keep_idle(self) -> int:
        """TCP_KEEPIDLE in ns; 0: the stack's."""
        return self.extras.keep_idle if self.extras is not None else 0

    @keep_idle.setter
    def keep_idle(self, value: int) -> None:
        if value or self.extras is not None:
            self.more().keep_idle = value

    @property
    def keep_interval(self) -> int:
        """TCP_KEEPINTVL in ns; 0: the stack's."""
        return self.extras.keep_interval if self.extras is not None else 0

    @keep_interval.setter
    def keep_interval(self, value: int) -> None:
        if value or self.extras is not None:
            self.more().keep_interval = value

    @property
    def keep_count(self) -> int:
        """TCP_KEEPCNT; 0: the stack's."""
        return self.extras.keep_count if self.extras is not None else 0

    @keep_count.setter
    def keep_count(self, value: int) -> None:
        if value or self.extras is not None:
            self.more().keep_count = value

    @property
    def user_timeout(self) -> int:
        """In ns; 0: the stack's."""
        return self.extras.user_timeout if self.extras is not None else 0

    @user_timeout.setter
    def user_timeout(self, value: int) -> None:
        if value or self.extras is not None:
            self.more().user_timeout = value

    @property
    def max_segment(self) -> int:
        """The user's limit of segments (TCP_MAXSEG); 0: none."""
        return self.extras.max_segment if self.extras is not None else 0

    @max_segment.setter
    def max_segment(self, value: int) -> None:
        if value or self.extras is not None:
            self.more().max_segment = value

    @property
    def fin_at(self) -> int:
        """The sequence number of the FIN, while `fin_held`."""
        return self.extras.fin_at if self.extras is not None else 0

    @fin_at.setter
    def fin_at(self, value: int) -> None:
        if value or self.extras is not None:
            self.more().fin_at = value

    @property
    def snd_up(self) -> int:
        """The end of urgent data that is sent, while `urgent_out`."""
        return self.extras.snd_up if self.extras is not None else 0

    @snd_up.setter
    def snd_up(self, value: int) -> None:
        if value or self.extras is not None:
            self.more().snd_up = value

    @property
    def rcv_up(self) -> int:
        """The end of urgent data that comes, while `urgent_in`."""
        return self.extras.rcv_up if self.extras is not None else 0

    @rcv_up.setter
    def rcv_up(self, value: int) -> None:
        if value or self.extras is not None:
            self.more().rcv_up = value


def new_tcb(context: Context) -> Tcb:
    """A connection with no key yet."""
    tcb = Tcb.__new__(Tcb)
    tcb.blank(context)
    return tcb
