"""What is known of a connection, as TCP_INFO tells it."""

from __future__ import annotations

from typing import NamedTuple

from uinet.tcp.discovery import path_mtu
from uinet.tcp.layout import mss_within
from uinet.tcp.state import ESTABLISHED, NAMES, SYN_RECEIVED, SYN_SENT
from uinet.tcp.tcb import Tcb
from uinet.tcp.timers import patience
from uinet.tcp.urgent import urgent_left
from uinet.units import MASK32, SECOND

RECOVERY = ("open", "fast", "timeout", "reducing")  # by `Tcb.recovering`


class TcpInfo(NamedTuple):
    """What is known of a connection. Times in seconds, sizes in bytes, counts of segments.

    `unacked`, `unsent`: of what was given to send. `ato`: the delay of ACKs. `idle`: since the peer was last heard.
    `pmtu`: the path's MTU as far as it is known. `advmss`: what our SYN offers. `user_timeout`: after which nothing
    that is not acknowledged ends the connection. `probes`: keepalive or window probes that were not answered.
    `persisting`: the peer's window is shut. `urgent_left`: bytes to read until the end of urgent data. `fast_open`: "",
    or what became of Fast Open: "asked" (for a cookie, or none was known), "taken" (data of the SYN), "refused".
    `signed`: "", "md5" or "ao". Of what was sent: `sacked`, `lost` are the bytes of what is outstanding that the peer
    has told of out of order, or that count as lost and were not sent again yet; `delivered`: bytes that have arrived in
    all, `reordered`: some out of their order; `recovery`: "open", "fast", "timeout", or "reducing" (cwnd, without
    loss). `min_rtt`: the least round trip lately, 0: not known. `pacing_rate`: bytes a second, 0: not paced.
    `congestion`: the name of the congestion control, "" while nothing was to be sent.
    """

    state: str
    rtt: float
    rttvar: float
    rto: float
    snd_cwnd: int
    snd_ssthresh: int
    snd_mss: int
    rcv_mss: int
    snd_wnd: int
    rcv_wnd: int
    unacked: int
    unsent: int
    unread: int
    out_of_order: int
    bytes_sent: int
    bytes_received: int
    segments_out: int
    segments_in: int
    retransmits: int
    snd_wscale: int
    rcv_wscale: int
    timestamps: bool
    sack: bool
    backoff: int
    bytes_acked: int
    ato: float
    idle: float
    pmtu: int
    advmss: int
    user_timeout: float
    probes: int
    persisting: bool
    ecn: bool
    urgent_left: int
    send_buffer: int
    receive_buffer: int
    islands: int
    fast_open: str
    signed: str
    passive_open: bool
    congestion: str
    recovery: str
    min_rtt: float
    pacing_rate: int
    sacked: int
    lost: int
    delivered: int
    reordered: bool


def tcp_info(tcb: Tcb) -> TcpInfo:
    """What is known of `tcb` now."""
    context = tcb.context
    outstanding = (tcb.snd_nxt - tcb.snd_una) & MASK32
    queued = tcb.snd_buf.length if tcb.snd_buf is not None else 0
    flight = tcb.flight
    return TcpInfo(
        state=NAMES[tcb.state], rtt=tcb.srtt / SECOND, rttvar=tcb.rttvar / SECOND, rto=tcb.rto / SECOND,
        snd_cwnd=tcb.cwnd, snd_ssthresh=tcb.ssthresh, snd_mss=tcb.mss, rcv_mss=tcb.rcv_mss, snd_wnd=tcb.snd_wnd,
        rcv_wnd=(tcb.rcv_adv - tcb.rcv_nxt) & MASK32, unacked=outstanding,
        unsent=max(0, queued - outstanding), unread=tcb.rcv_buf.length if tcb.rcv_buf is not None else 0,
        out_of_order=tcb.reassembly.length if tcb.reassembly is not None else 0, bytes_sent=tcb.bytes_out,
        bytes_received=tcb.bytes_in, segments_out=tcb.segments_out, segments_in=tcb.segments_in,
        retransmits=tcb.retransmits, snd_wscale=tcb.snd_scale, rcv_wscale=tcb.rcv_scale, timestamps=bool(tcb.ts_ok),
        sack=bool(tcb.sack_ok), backoff=tcb.backoff, bytes_acked=max(0, tcb.bytes_out - unacked_data(tcb, outstanding)),
        ato=0.0 if tcb.quick_ack else context.settings.delayed_ack / SECOND,
        idle=(context.now - tcb.last_heard) / SECOND if tcb.last_heard else 0.0, pmtu=path_mtu(tcb),
        advmss=mss_within(tcb, tcb.max_segment), user_timeout=patience(tcb) / SECOND,
        probes=tcb.backoff if tcb.persisting else tcb.keep_probes, persisting=bool(tcb.persisting),
        ecn=bool(tcb.ecn_ok),
        urgent_left=urgent_left(tcb), send_buffer=tcb.snd_limit, receive_buffer=tcb.rcv_limit,
        islands=len(tcb.reassembly.islands) if tcb.reassembly is not None else 0, fast_open=fast_open_of(tcb),
        signed="" if tcb.auth is None else tcb.auth.name, passive_open=bool(tcb.passive_open),
        congestion=tcb.congestion.name if tcb.congestion is not None else "", recovery=RECOVERY[tcb.recovering],
        min_rtt=flight.min_rtt / SECOND if flight is not None else 0.0, pacing_rate=tcb.pacing_rate,
        sacked=flight.sacked if flight is not None else 0, lost=flight.lost if flight is not None else 0,
        delivered=flight.delivered if flight is not None else 0,
        reordered=bool(flight.reordered) if flight is not None else False,
    )


def unacked_data(tcb: Tcb, outstanding: int) -> int:
    """Of `outstanding` sequence numbers those that are data: SYN and FIN are not."""
    if tcb.state in (SYN_SENT, SYN_RECEIVED) and outstanding:
        outstanding -= 1
    return outstanding - 1 if tcb.fin_sent and not tcb.fin_acked and outstanding else outstanding


def fast_open_of(tcb: Tcb) -> str:
    """What became of Fast Open."""
    fast = tcb.fast_open
    if fast is None:
        return ""
    if fast.taken:
        return "taken"
    return "refused" if fast.sent and tcb.state >= ESTABLISHED else "asked"
