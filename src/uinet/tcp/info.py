"""What is known of a connection, as TCP_INFO tells it."""

from __future__ import annotations

from typing import NamedTuple

from uinet.tcp.state import NAMES
from uinet.tcp.tcb import Tcb
from uinet.units import MASK32, SECOND


class TcpInfo(NamedTuple):
    """What is known of a connection. Times in seconds, sizes in bytes, counts of segments."""

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


def tcp_info(tcb: Tcb) -> TcpInfo:
    """What is known of `tcb` now."""
    outstanding = (tcb.snd_nxt - tcb.snd_una) & MASK32
    queued = tcb.snd_buf.length if tcb.snd_buf is not None else 0
    return TcpInfo(
        state=NAMES[tcb.state], rtt=tcb.srtt / SECOND, rttvar=tcb.rttvar / SECOND, rto=tcb.rto / SECOND,
        snd_cwnd=tcb.cwnd, snd_ssthresh=tcb.ssthresh, snd_mss=tcb.mss, rcv_mss=tcb.rcv_mss, snd_wnd=tcb.snd_wnd,
        rcv_wnd=(tcb.rcv_adv - tcb.rcv_nxt) & MASK32, unacked=outstanding,
        unsent=max(0, queued - outstanding), unread=tcb.rcv_buf.length if tcb.rcv_buf is not None else 0,
        out_of_order=tcb.reassembly.length if tcb.reassembly is not None else 0, bytes_sent=tcb.bytes_out,
        bytes_received=tcb.bytes_in, segments_out=tcb.segments_out, segments_in=tcb.segments_in,
        retransmits=tcb.retransmits, snd_wscale=tcb.snd_scale, rcv_wscale=tcb.rcv_scale, timestamps=tcb.ts_ok,
        sack=tcb.sack_ok, backoff=tcb.backoff,
    )
