"""struct tcp_info, as Linux gives it (include/uapi/linux/tcp.h)."""

from __future__ import annotations

import struct

_OCTETS = ("tcpi_state", "tcpi_ca_state", "tcpi_retransmits", "tcpi_probes", "tcpi_backoff", "tcpi_options")
_FIELDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("I", (
        "tcpi_rto", "tcpi_ato", "tcpi_snd_mss", "tcpi_rcv_mss", "tcpi_unacked", "tcpi_sacked", "tcpi_lost",
        "tcpi_retrans", "tcpi_fackets", "tcpi_last_data_sent", "tcpi_last_ack_sent", "tcpi_last_data_recv",
        "tcpi_last_ack_recv", "tcpi_pmtu", "tcpi_rcv_ssthresh", "tcpi_rtt", "tcpi_rttvar", "tcpi_snd_ssthresh",
        "tcpi_snd_cwnd", "tcpi_advmss", "tcpi_reordering", "tcpi_rcv_rtt", "tcpi_rcv_space", "tcpi_total_retrans",
    )),
    ("Q", ("tcpi_pacing_rate", "tcpi_max_pacing_rate", "tcpi_bytes_acked", "tcpi_bytes_received")),
    ("I", (
        "tcpi_segs_out", "tcpi_segs_in", "tcpi_notsent_bytes", "tcpi_min_rtt", "tcpi_data_segs_in",
        "tcpi_data_segs_out",
    )),
    ("Q", ("tcpi_delivery_rate", "tcpi_busy_time", "tcpi_rwnd_limited", "tcpi_sndbuf_limited")),
    ("I", ("tcpi_delivered", "tcpi_delivered_ce")),
    ("Q", ("tcpi_bytes_sent", "tcpi_bytes_retrans")),
    ("I", ("tcpi_dsack_dups", "tcpi_reord_seen", "tcpi_rcv_ooopack", "tcpi_snd_wnd", "tcpi_rcv_wnd", "tcpi_rehash")),
)


def unpack_info(data: bytes) -> dict[str, int]:
    """The fields by their names, as many as there are."""
    info = {name: data[index] for index, name in enumerate(_OCTETS)}
    info["tcpi_snd_wscale"], info["tcpi_rcv_wscale"] = data[6] & 15, data[6] >> 4
    at = 8
    for kind, names in _FIELDS:
        size = struct.calcsize(kind)
        for name in names:
            if at + size > len(data):
                return info
            info[name] = struct.unpack_from(f"={kind}", data, at)[0]
            at += size
    return info
