"""What the two SYNs agree on (RFC 7323, RFC 2018, RFC 9293 3.7.1), and what begins when a connection is established."""

from __future__ import annotations

from uinet.tcp.congestion.growth import initial_window
from uinet.tcp.discovery import begin, overhead, path_mtu
from uinet.tcp.layout import headers_length, is_v4
from uinet.tcp.state import ESTABLISHED, FIN_WAIT_1, change
from uinet.tcp.tcb import Tcb
from uinet.tcp.timers import start_keepalive
from uinet.tcp.user_timeout import adopt
from uinet.wire.constants import NO_WSCALE
from uinet.wire.segment import Segment

DEFAULT_MSS_V4 = 536  # RFC 9293 3.7.1, MUST-15
DEFAULT_MSS_V6 = 1220


def scale_for(limit: int) -> int:
    """The smallest window scale with which a receive buffer of `limit` bytes can be advertised."""
    scale = 0
    while scale < 14 and (0xFFFF << scale) < limit:
        scale += 1
    return scale


def agree_on_options(tcb: Tcb, seg: Segment) -> None:
    """Takes the options of the peer's SYN into a connection whose own SYN has offered what the settings say."""
    settings = tcb.context.settings
    agree(
        tcb, seg.mss, seg.wscale if settings.window_scaling else NO_WSCALE,
        seg.sack_permitted and settings.sack, seg.has_timestamps and settings.timestamps, seg.tsval,
    )
    if seg.user_timeout >= 0 and tcb.owner is not None:
        adopt(tcb, tcb.owner.config, seg.user_timeout)


def agree(tcb: Tcb, mss: int, wscale: int, sack: bool, timestamps: bool, tsval: int) -> None:
    """Sets what both sides have offered. `mss` 0: the peer named none; `wscale` NO_WSCALE: no scaling."""
    tcb.sack_ok = sack
    tcb.ts_ok = timestamps
    if timestamps:
        tcb.ts_recent = tsval
        tcb.ts_recent_age = tcb.context.now
    if wscale == NO_WSCALE:
        tcb.snd_scale = 0
        tcb.rcv_scale = 0
    else:
        tcb.snd_scale = wscale
    if mss == 0:
        mss = DEFAULT_MSS_V4 if is_v4(tcb) else DEFAULT_MSS_V6
    set_mss(tcb, mss)


def set_mss(tcb: Tcb, peer_mss: int) -> None:
    """The effective send MSS (RFC 9293 3.7.1, MUST-16): what the peer takes and the path carries, less our options."""
    settings = tcb.context.settings
    floor = settings.min_mss
    tcb.peer_mss = peer_mss if peer_mss > floor else floor
    limit = tcb.extras.max_segment if tcb.extras is not None else 0
    if limit and tcb.peer_mss > limit:
        tcb.peer_mss = limit
    headers = headers_length(tcb)
    mss = path_mtu(tcb) - headers
    if mss > tcb.peer_mss:
        mss = tcb.peer_mss
    tcb.mss = mss - (overhead(tcb) - headers)
    tcb.rcv_mss = tcb.mss if tcb.mss < 536 else 536


def established(tcb: Tcb) -> None:
    """The connection has become ESTABLISHED: congestion control and keepalive begin."""
    if tcb.extras is not None:
        tcb.extras.soft_error = None
    begin(tcb)
    tcb.cwnd = initial_window(tcb.mss, tcb.context.settings.initial_window_segments)
    if tcb.accecn is not None and tcb.accecn.ce_on_syn:
        tcb.cwnd = tcb.mss  # the path was congested already when it had only the SYN (RFC 5562, 3)
    tcb.small_sent = tcb.snd_una
    if tcb.keepalive:
        start_keepalive(tcb)
    if tcb.closing and tcb.state == ESTABLISHED:
        change(tcb, FIN_WAIT_1)  # closed before it was established (RFC 9293 3.10.4, SYN-RECEIVED)
