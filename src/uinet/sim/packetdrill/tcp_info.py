"""struct tcp_info of our stack: Linux's names, units and numbers for what the stack knows of a connection."""

from __future__ import annotations

from uinet.seq import seq_diff
from uinet.socket import Socket
from uinet.tcp.constants import DUP_THRESH, FAST, OPEN, REDUCING, TIMEOUT
from uinet.tcp.state import NAMES
from uinet.tcp.tcb import Tcb
from uinet.units import MASK32, MICROSECOND, MILLISECOND, SECOND

STATES = {
    "ESTABLISHED": 1, "SYN-SENT": 2, "SYN-RECEIVED": 3, "FIN-WAIT-1": 4, "FIN-WAIT-2": 5, "TIME-WAIT": 6, "CLOSED": 7,
    "CLOSE-WAIT": 8, "LAST-ACK": 9, "LISTEN": 10, "CLOSING": 11,
}
SYMBOLS = {
    "TCP_ESTABLISHED": 1, "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3, "TCP_FIN_WAIT1": 4, "TCP_FIN_WAIT2": 5,
    "TCP_TIME_WAIT": 6, "TCP_CLOSE": 7, "TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9, "TCP_LISTEN": 10, "TCP_CLOSING": 11,
    "TCP_CA_Open": 0, "TCP_CA_Disorder": 1, "TCP_CA_CWR": 2, "TCP_CA_Recovery": 3, "TCP_CA_Loss": 4,
    "TCPI_OPT_TIMESTAMPS": 1, "TCPI_OPT_SACK": 2, "TCPI_OPT_WSCALE": 4, "TCPI_OPT_ECN": 8, "TCPI_OPT_ECN_SEEN": 16,
    "TCPI_OPT_SYN_DATA": 32, "TCPI_OPT_USEC_TS": 64, "TCPI_OPT_TFO_CHILD": 128,
}
for _name, _bsd in (
    ("TCP_ESTABLISHED", "ESTABLISHED"), ("TCP_SYN_SENT", "SYN_SENT"), ("TCP_SYN_RECV", "SYN_RECEIVED"),
    ("TCP_FIN_WAIT1", "FIN_WAIT_1"), ("TCP_FIN_WAIT2", "FIN_WAIT_2"), ("TCP_TIME_WAIT", "TIME_WAIT"),
    ("TCP_CLOSE", "CLOSED"), ("TCP_CLOSE_WAIT", "CLOSE_WAIT"), ("TCP_LAST_ACK", "LAST_ACK"), ("TCP_LISTEN", "LISTEN"),
    ("TCP_CLOSING", "CLOSING"),
):
    SYMBOLS[f"TCPI_{_bsd}"] = SYMBOLS[_name]  # the FreeBSD dialect's names
INFINITE = 0x7FFFFFFF


def linux_info(sock: Socket) -> dict[str, int]:
    """The fields by their names: sizes of windows in segments, times in microseconds or (`last_...`) milliseconds."""
    tcb = sock.tcb
    if tcb is None:
        return {"tcpi_state": STATES["LISTEN"] if sock.listener is not None else STATES["CLOSED"]}
    known = sock.info()
    mss = max(1, tcb.mss)
    outstanding = (tcb.snd_nxt - tcb.snd_una) & MASK32
    queued = tcb.snd_buf.length if tcb.snd_buf is not None else 0
    options = tcb.ts_ok * 1 | tcb.sack_ok * 2 | (4 if tcb.snd_scale or tcb.rcv_scale else 0) | tcb.ecn_ok * 8
    info = {
        "tcpi_state": STATES[NAMES[tcb.state]], "tcpi_options": options, "tcpi_snd_wscale": tcb.snd_scale,
        "tcpi_rcv_wscale": tcb.rcv_scale, "tcpi_backoff": tcb.backoff, "tcpi_retransmits": tcb.backoff,
        "tcpi_rto": tcb.rto // MICROSECOND, "tcpi_rtt": tcb.srtt // MICROSECOND,
        "tcpi_rttvar": tcb.rttvar // MICROSECOND, "tcpi_snd_mss": tcb.mss, "tcpi_rcv_mss": tcb.rcv_mss,
        "tcpi_snd_cwnd": tcb.cwnd // mss, "tcpi_unacked": -(-outstanding // mss), "tcpi_snd_wnd": tcb.snd_wnd,
        "tcpi_rcv_wnd": (tcb.rcv_adv - tcb.rcv_nxt) & MASK32, "tcpi_notsent_bytes": max(0, queued - outstanding),
        "tcpi_total_retrans": tcb.retransmits, "tcpi_segs_out": tcb.segments_out, "tcpi_segs_in": tcb.segments_in,
        "tcpi_bytes_received": tcb.bytes_in, "tcpi_bytes_sent": tcb.bytes_out,
        "tcpi_snd_ssthresh": INFINITE if tcb.ssthresh >= INFINITE else tcb.ssthresh // mss,
        "tcpi_probes": known.probes, "tcpi_advmss": known.advmss, "tcpi_pmtu": known.pmtu,
        "tcpi_reordering": DUP_THRESH, "tcpi_bytes_acked": known.bytes_acked,
        "tcpi_rcv_rtt": tcb.tuning.rtt // MICROSECOND if tcb.tuning is not None else 0,
        "tcpi_ato": round(known.ato * SECOND) // MICROSECOND,
    }
    fast = tcb.fast_open
    if fast is not None:
        info["tcpi_options"] |= (SYMBOLS["TCPI_OPT_SYN_DATA"] if fast.taken else 0) | (
            SYMBOLS["TCPI_OPT_TFO_CHILD"] if fast.listener is not None else 0
        )
    info.update(_flight_info(tcb, mss))
    if tcb.persisting:
        info["tcpi_retransmits"] = 0
    info["tcpi_ca_state"] = ca_state(tcb)
    if tcb.last_heard:
        info["tcpi_last_ack_recv"] = (tcb.context.now - tcb.last_heard) // MILLISECOND
    return info


def _flight_info(tcb: Tcb, mss: int) -> dict[str, int]:
    """What the scoreboard tells, in segments."""
    flight = tcb.flight
    if flight is None:
        return {"tcpi_sacked": 0, "tcpi_lost": 0, "tcpi_retrans": 0, "tcpi_delivered": 1}
    again = 0  # sent again, and not known to have arrived: Linux counts them as lost still
    for run in flight.runs[flight.first :]:
        if run.again and not run.sacked and not run.lost:
            again += seq_diff(run.end, run.start)
    return {
        "tcpi_sacked": -(-flight.sacked // mss), "tcpi_lost": -(-(flight.lost + again) // mss),
        "tcpi_retrans": -(-again // mss), "tcpi_delivered": 1 + -(-flight.delivered // mss),  # the SYN counts
        "tcpi_min_rtt": flight.min_rtt // MICROSECOND, "tcpi_reord_seen": int(flight.reordered),
    }


def ca_state(tcb: Tcb) -> int:
    """Linux's state of congestion avoidance: Open, Disorder, Recovery or Loss."""
    if tcb.recovering != OPEN:
        return {TIMEOUT: 4, FAST: 3, REDUCING: 2}[tcb.recovering]
    if tcb.dup_acks or (tcb.flight is not None and tcb.flight.sacked):
        return SYMBOLS["TCP_CA_Disorder"]
    return SYMBOLS["TCP_CA_Open"]
