"""Becoming an endpoint in the middle of a connection: a live TCB from what was learned by watching.

Whoever has watched both directions of a connection (a bridge that tracks it, a passive socket) knows what an endpoint
of it would know. :class:`Learned` is that knowledge, for one endpoint; `establish` makes the TCB that goes on as that
endpoint, so that the other end notices nothing: the same sequence space, windows that never shrink, timestamps that go
on from the last, and the bytes in flight kept for retransmission.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uinet.errors import AddressInUse
from uinet.ip.interface import Interface
from uinet.seq import seq_diff, seq_geq, seq_gt, seq_leq, seq_lt
from uinet.tcp.acknowledge import acknowledge
from uinet.tcp.arrive import closing_states
from uinet.tcp.buffer import ByteQueue
from uinet.tcp.config import Config, configure
from uinet.tcp.layout import begin, headers_length, put_timestamps, transmit
from uinet.tcp.negotiate import agree, established
from uinet.tcp.passed import count_as_sent
from uinet.tcp.reassembly import Reassembly
from uinet.tcp.rtt import sample
from uinet.tcp.send import wants_output
from uinet.tcp.state import CLOSE_WAIT, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, change
from uinet.tcp.tcb import Tcb, new_tcb
from uinet.tcp.telling import timestamp_now
from uinet.tcp.timers import rearm, start_keepalive, start_retransmit
from uinet.tcp.window import begin_flight
from uinet.units import MASK32, MILLISECOND
from uinet.wire.constants import ACK, NO_WSCALE
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.tcp.protocol import Tcp


class Learned:
    """What is known of one endpoint, which is about to be played ("we"), and of its peer. Sequence numbers as the peer
    sees them, sizes in bytes, times in ns.

    `una`, `nxt`: what we have sent is acknowledged, and was seen without a gap, up to there; `unacked` has the bytes
    between them. `passed`: how far the peer may have received (beyond `nxt` behind gaps). `fin`: our FIN is at `nxt`;
    `fin_acked`: and was acknowledged. `rcv_nxt`: what the peer has sent was seen without a gap up to there; `islands`
    is what was seen beyond. `peer_fin`: its FIN is at `rcv_nxt`; `peer_fin_at`: it is there, behind a gap (-1: none).
    `acked`: how far we have acknowledged. `edge`: the right edge of the window that we have told. `window`, `wl1`,
    `wl2`: the peer's window, and the segment that it is from. `peer_mss`: 0 if its SYN named none.
    `scale`, `peer_scale`: shift counts of both windows, NO_WSCALE for both without scaling. `tsval`: the last timestamp
    that we have sent, `tsval_at` when; `ts_recent`: the last of the peer that we have echoed. `rtt`: 0 if not known.
    `ttl`: of our packets.
    """

    def __init__(self) -> None:
        self.una = 0
        self.nxt = 0
        self.passed = 0
        self.unacked: ByteQueue | None = None
        self.fin = False
        self.fin_acked = False
        self.rcv_nxt = 0
        self.islands: Reassembly | None = None
        self.peer_fin = False
        self.peer_fin_at = -1
        self.acked = 0
        self.edge = 0
        self.window = 0
        self.max_window = 0
        self.wl1 = 0
        self.wl2 = 0
        self.peer_mss = 0
        self.scale = NO_WSCALE
        self.peer_scale = NO_WSCALE
        self.sack = False
        self.sacks: list[int] = []  # blocks of ours that the peer holds: left and right edges in turn
        self.timestamps = False
        self.tsval = 0
        self.tsval_at = 0
        self.ts_recent = 0
        self.ecn = False
        self.rtt = 0
        self.ttl = 64
        # where the peer is, and how it is reached
        self.interface: Interface | None = None
        self.vids = b""
        self.link_header = b""
        self.local: tuple[int, int, int] = (0, 0, 0)  # address in two halves, and port: ours
        self.remote: tuple[int, int, int] = (0, 0, 0)


def establish(tcp: Tcp, learned: Learned, config: Config) -> Tcb:
    """The TCB that goes on as the endpoint of `learned`, in the table, with its timers running; nobody owns it yet.

    What `learned` holds is its own from then on. AddressInUse if its tuple is taken.
    """
    if is_taken(tcp, learned):
        raise AddressInUse("this connection exists already")
    tcb = new_tcb(tcp)
    interface = learned.interface
    assert interface is not None
    tcb.interface = interface
    tcb.link_header = tcp.interned.one(learned.link_header) if interface.promiscuous else None
    tcp.table.set_key(
        tcb, interface.cdom, tcp.interned.one(learned.vids), learned.local[0], learned.local[1], learned.local[2],
        learned.remote[0], learned.remote[1], learned.remote[2],
    )
    configure(tcb, config)
    if learned.ttl:
        tcb.ttl = learned.ttl
    take_agreement(tcb, learned)
    if tcp.copies is not None:
        tcp.copies.begin(config, tcb)
    tcp.admit(tcb)
    change(tcb, ESTABLISHED)
    established(tcb)
    take_receiver(tcb, learned)
    take_sender(tcb, learned)
    tcb.more().taken = True
    tcb.last_heard = tcp.now
    if tcb.keepalive:
        start_keepalive(tcb)
    tcp.stats.count("tcp_taken_over")
    if tcb.rcv_nxt != tcb.last_ack_sent or tcb.reassembly is not None:
        tcb.ack_now = True
    wants_output(tcb)
    rearm(tcb)
    return tcb


def is_taken(tcp: Tcp, learned: Learned) -> bool:
    """Whether a connection has the key that this endpoint's would have."""
    assert learned.interface is not None
    return tcp.table.find(learned.interface.cdom, learned.vids, *learned.local, *learned.remote) is not None


def take_agreement(tcb: Tcb, learned: Learned) -> None:
    """What both SYNs have agreed on, and the clock of the timestamps."""
    scaled = learned.scale != NO_WSCALE and learned.peer_scale != NO_WSCALE
    tcb.rcv_scale = learned.scale if scaled else 0
    agree(
        tcb, learned.peer_mss, learned.peer_scale if scaled else NO_WSCALE, learned.sack, learned.timestamps,
        learned.ts_recent,
    )
    tcb.ecn_ok = learned.ecn
    if learned.timestamps:
        elapsed = (tcb.context.now - learned.tsval_at) // MILLISECOND + 1
        tcb.ts_offset = (learned.tsval + elapsed - tcb.context.now // MILLISECOND) & MASK32
    if learned.rtt > 0:
        sample(tcb, learned.rtt, 0)


def take_receiver(tcb: Tcb, learned: Learned) -> None:
    """The receive sequence space: what has come, what lies beyond gaps, and what was told of it."""
    tcb.rcv_nxt = learned.rcv_nxt
    tcb.irs = (learned.rcv_nxt - 1) & MASK32
    tcb.last_ack_sent = learned.acked
    tcb.rcv_adv = learned.edge if seq_gt(learned.edge, learned.rcv_nxt) else learned.rcv_nxt
    if learned.islands is not None and learned.islands.length:
        tcb.reassembly = learned.islands
        tcb.context.received_bytes += learned.islands.charge()
        learned.islands = None
    if learned.peer_fin:
        tcb.fin_received = True
        tcb.rcv_nxt = (tcb.rcv_nxt + 1) & MASK32
        if seq_lt(tcb.rcv_adv, tcb.rcv_nxt):
            tcb.rcv_adv = tcb.rcv_nxt
        change(tcb, CLOSE_WAIT)
    elif learned.peer_fin_at >= 0:
        tcb.fin_held = True
        tcb.fin_at = learned.peer_fin_at


def take_sender(tcb: Tcb, learned: Learned) -> None:
    """The send sequence space: what is in flight goes on being so, kept to be sent again."""
    context = tcb.context
    tcb.iss = (learned.una - 1) & MASK32
    tcb.snd_una = learned.una
    tcb.snd_nxt = learned.nxt
    tcb.small_sent = learned.nxt
    tcb.snd_wnd = learned.window
    tcb.max_snd_wnd = learned.max_window if learned.max_window > learned.window else learned.window
    tcb.snd_wl1 = learned.wl1
    tcb.snd_wl2 = learned.wl2
    queue = learned.unacked
    learned.unacked = None
    if queue is not None and queue.length:
        tcb.snd_buf = queue
        context.queued_bytes += queue.length
    if learned.fin:
        tcb.closing = True
        tcb.fin_sent = True
        tcb.snd_nxt = (tcb.snd_nxt + 1) & MASK32
        change(tcb, FIN_WAIT_1)
        if learned.fin_acked:
            tcb.fin_acked = True
            tcb.snd_una = tcb.snd_nxt
            change(tcb, FIN_WAIT_2)
    outstanding = seq_diff(tcb.snd_nxt, tcb.snd_una)
    if seq_gt(learned.passed, tcb.snd_nxt):
        extras = tcb.more()
        extras.passed = True
        extras.passed_end = learned.passed
        extras.passed_ack = tcb.snd_nxt
    if outstanding == 0:
        return
    if tcb.cwnd < outstanding:
        tcb.cwnd = outstanding  # the path carries that much, or at least its sender has thought so
    flight = begin_flight(tcb)
    flight.add(tcb.snd_una, tcb.snd_nxt, context.now, outstanding)
    if learned.sack:
        note_sacks(tcb, flight, learned.sacks)
    if tcb.snd_wnd == 0 and outstanding == 1:
        tcb.persisting = True  # that octet is a window probe
    start_retransmit(tcb)


def note_sacks(tcb: Tcb, flight: Any, sacks: list[int]) -> None:
    """What the peer has said last that it holds, beyond what it acknowledges."""
    ack = tcb.context.ack
    ack.begin(0, 0)
    ack.recovering = False
    for index in range(0, len(sacks) - 1, 2):
        left, right = sacks[index], sacks[index + 1]
        if seq_geq(left, tcb.snd_una) and seq_lt(left, right) and seq_leq(right, tcb.snd_nxt):
            flight.sack(left, right, tcb.context.now, ack)


def acknowledge_passed(tcb: Tcb) -> None:
    """New bytes, or the end of them, have come to be sent: if the peer has acknowledged them already, as they had
    passed before, they are not sent."""
    extras = tcb.more()
    if not seq_gt(extras.passed_ack, tcb.snd_nxt) or not count_as_sent(tcb, extras.passed_ack):
        return
    seg = Segment()
    seg.flags = ACK
    seg.ack = tcb.snd_nxt
    acknowledge(tcb, seg, False)
    closing_states(tcb)
    if tcb.state:
        rearm(tcb)


def tell_window(tcb: Tcb, window: int) -> None:
    """A bare ACK of all that has come, which offers `window` bytes: the last word of an endpoint that steps aside."""
    context = tcb.context
    at = begin(context, tcb)
    if at < 0:
        return
    size = 0
    if tcb.ts_ok:
        size = put_timestamps(context.scratch, at + headers_length(tcb), timestamp_now(tcb), tcb.ts_recent)
    field = window >> tcb.rcv_scale
    tcb.ecn = 0
    transmit(
        context, tcb, at, tcb.snd_nxt, tcb.rcv_nxt, ACK, field if field < 0xFFFF else 0xFFFF, size, b"", 0, 0
    )
