"""Kernels' sysctls, as far as our stack has something that they set."""

from __future__ import annotations

from collections.abc import Callable

from uinet.errors import InvalidArgument
from uinet.sim.packetdrill.errors import Unsupported
from uinet.stack import Stack
from uinet.tcp.congestion.choice import choose
from uinet.units import MILLISECOND

Setter = Callable[[Stack, str], None]

# of no effect on what is sent here: how a kernel schedules, caches or accounts
IRRELEVANT = {
    "net.ipv4.tcp_min_tso_segs", "net.ipv4.tcp_tso_win_divisor", "net.ipv4.tcp_tso_rtt_log", "net.ipv4.tcp_frto",
    "net.ipv4.tcp_fack", "net.ipv4.tcp_metrics_save", "net.ipv4.tcp_no_metrics_save", "net.ipv4.tcp_autocorking",
    "net.ipv4.tcp_fastopen_key", "net.ipv4.tcp_pacing_ss_ratio", "net.ipv4.tcp_pacing_ca_ratio",
    "net.ipv4.tcp_moderate_rcvbuf", "net.core.optmem_max", "net.core.wmem_max", "net.core.rmem_max",
    "net.inet.tcp.hostcache.purgenow", "kern.ipc.maxsockbuf", "net.inet.tcp.sendspace",
    "net.inet.tcp.rexmit_drop_options", "net.ipv4.tcp_early_retrans", "net.ipv4.tcp_recovery",
    "net.ipv4.tcp_reordering", "net.ipv4.tcp_dsack",
    "net.ipv4.tcp_syn_retries", "net.ipv4.tcp_notsent_lowat", "net.inet.tcp.udp_tunneling_overhead",
}


def _setting(name: str, unit: int = 1) -> Setter:
    """Sets one of the TCP settings to a number."""

    def apply(stack: Stack, value: str) -> None:
        setattr(stack.tcp.settings, name, int(value, 0) * unit)

    return apply


def _flag(name: str) -> Setter:
    """Switches one of the TCP settings."""

    def apply(stack: Stack, value: str) -> None:
        setattr(stack.tcp.settings, name, value not in ("0", ""))

    return apply


def _congestion(stack: Stack, value: str) -> None:
    """The congestion control of sockets to come."""
    try:
        choose(value)
    except InvalidArgument:
        raise Unsupported(f"the congestion control {value}") from None
    stack.tcp.settings.congestion = value


def _only(*values: str) -> Setter:
    """What has no other value here than these."""

    def apply(stack: Stack, value: str) -> None:
        if value not in values:
            raise ValueError(value)

    return apply


def _default_of_three(name: str) -> Setter:
    """The middle one of minimum, default and maximum."""

    def apply(stack: Stack, value: str) -> None:
        parts = value.split()
        setattr(stack.tcp.settings, name, int(parts[1] if len(parts) > 1 else parts[0]))

    return apply


def _ecn(stack: Stack, value: str) -> None:
    """0 never, 1 ask for it, 2 agree to it; more is AccECN."""
    if value not in ("0", "1", "2"):
        raise Unsupported(f"ECN set to {value}")
    stack.tcp.settings.ecn = int(value)


def _rfc1323(stack: Stack, value: str) -> None:
    """FreeBSD's: both extensions, or with 2 and 3 one of them."""
    number = int(value)
    stack.tcp.settings.window_scaling = number in (1, 2)
    stack.tcp.settings.timestamps = number in (1, 3)


def _drop_syn_fin(stack: Stack, value: str) -> None:
    """0 nowhere, 1 in every state; listeners alone is ours."""
    stack.tcp.settings.drop_syn_fin = 2 if int(value) else 0


SYSCTLS: dict[str, Setter] = {
    "net.ipv4.tcp_timestamps": _flag("timestamps"),
    "net.ipv4.tcp_window_scaling": _flag("window_scaling"),
    "net.ipv4.tcp_sack": _flag("sack"),
    "net.ipv4.tcp_slow_start_after_idle": _flag("slow_start_after_idle"),
    "net.ipv4.tcp_congestion_control": _congestion,
    "net.ipv4.tcp_synack_retries": _setting("syn_ack_retries"),
    "net.ipv4.tcp_rmem": _default_of_three("receive_buffer"),
    "net.ipv4.tcp_wmem": _default_of_three("send_buffer"),
    "net.ipv4.tcp_syncookies": _flag("syn_cookies"),
    "net.ipv4.tcp_mtu_probing": _setting("mtu_probing"),
    "net.ipv4.tcp_ecn": _ecn,
    "net.inet.tcp.ecn.enable": _ecn,
    "net.inet.tcp.rfc1323": _rfc1323,
    "net.inet.tcp.sack.enable": _flag("sack"),
    "net.inet.tcp.recvspace": _setting("receive_buffer"),
    "net.inet.tcp.rexmit_slop": _only("0", "200"),
    "net.inet.tcp.ecn.maxretries": _only("1"),
    "net.inet.tcp.syncookies_only": _only("0"),
    "net.inet.tcp.delacktime": _setting("delayed_ack", MILLISECOND),
    "net.inet.tcp.rexmit_initial": _setting("rto_initial", MILLISECOND),
    "net.inet.tcp.keepinit": _setting("connect_timeout", MILLISECOND),
    "net.inet.tcp.keepidle": _setting("keepalive_idle", MILLISECOND),
    "net.inet.tcp.keepintvl": _setting("keepalive_interval", MILLISECOND),
    "net.inet.tcp.keepcnt": _setting("keepalive_count"),
    "net.inet.tcp.syncookies": _flag("syn_cookies"),
    "net.inet.tcp.insecure_rst": _flag("insecure_rst"),
    "net.inet.tcp.insecure_syn": _flag("insecure_syn"),
    "net.inet.tcp.blackhole": _setting("blackhole"),
    "net.inet.tcp.icmp_may_rst": _only("1"),
    "net.inet.tcp.drop_synfin": _drop_syn_fin,
}
