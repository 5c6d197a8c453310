"""What is set on a socket; the names and meanings of the options are in `sockopt`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uinet.ip.interface import Interface, hop_limit
from uinet.tcp.constants import FRAGMENTS, NO_TIME_WAIT, TRIVIAL_ISN
from uinet.tcp.keys import NO_KEYS
from uinet.tcp.layout import is_v4
from uinet.tcp.path import DISCOVER_DONT
from uinet.tcp.settings import Settings
from uinet.tcp.state import ESTABLISHED
from uinet.tcp.tcb import Tcb
from uinet.units import SECOND
from uinet.wire.addresses import Any as AnyType
from uinet.wire.addresses import VlanTag

ATTRIBUTES = (
    "active_reset", "bind_any", "broadcast", "catch_all", "cdom", "congestion", "copy_limit", "copy_mode",
    "copy_target", "cork", "defer_accept", "fast_open",
    "fast_open_connect", "fast_open_key", "fin_wait_2", "keep_count", "keep_idle", "keep_interval", "keepalive", "keys",
    "linger", "max_buffer", "max_pacing_rate", "max_segment", "mtu_discover", "mtu_probing",
    "no_delay", "no_time_wait", "not_sent_low", "oob_inline", "passive", "promiscuous", "quick_ack",
    "reassembly_deadline", "receive_auto", "receive_buffer", "receive_errors", "receive_low", "reuse_address",
    "reuse_port", "send_auto", "send_buffer", "syn_filter", "timestamps", "tos", "trivial_isn", "ttl", "tx_interface",
    "user_timeout", "user_timeout_option", "vlans", "window_clamp",
)


class Config:
    """What is set on a socket. Accepted sockets share their listener's until one of them sets something."""

    # a dictionary of so many shares no keys with others, and takes a kilobyte more a socket
    __slots__ = (*ATTRIBUTES, "variants")

    def __init__(self, receive_buffer: int, send_buffer: int, max_buffer: int) -> None:
        self.receive_buffer = receive_buffer
        self.send_buffer = send_buffer
        self.receive_auto = True  # until the user sets a size
        self.send_auto = True
        self.max_buffer = max_buffer
        self.promiscuous = False
        self.passive = False
        self.active_reset = False
        self.reassembly_deadline = 5 * SECOND
        self.cdom = 0
        self.vlans: tuple[VlanTag, ...] | AnyType = ()
        self.bind_any = False
        self.reuse_port = False
        self.reuse_address = False  # nothing to do: TIME-WAIT never keeps a listener from its port
        self.broadcast = False
        self.catch_all = False
        self.no_time_wait = False
        self.trivial_isn = 0
        self.timestamps = False  # with datagrams, when they came
        self.tx_interface: Interface | None = None  # IP_TXIF
        self.copy_mode = -1  # IP_COPY_MODE (-1: as the stack), IP_COPY_LIMIT (bytes of a flow) and IP_COPY_TARGET
        self.copy_limit = 0
        self.copy_target: Any = None
        self.syn_filter: Callable[[Any], Any] | None = None
        self.fast_open = 0
        self.fast_open_connect = False
        self.fast_open_key = b""
        self.keys = NO_KEYS
        self.user_timeout_option = False
        self.max_segment = 0
        self.window_clamp = 0
        self.defer_accept = 0
        self.receive_low = 1
        self.not_sent_low = 0
        self.oob_inline = False
        self.no_delay = False
        self.cork = False
        self.quick_ack = False
        self.keepalive = False
        self.keep_idle = 0
        self.keep_interval = 0
        self.keep_count = 0
        self.fin_wait_2 = 0
        self.user_timeout = 0
        self.congestion: Any = None  # None: the stack's
        self.max_pacing_rate = 0
        self.linger = -1  # ns; negative: not asked for
        self.mtu_discover = 1  # IP_PMTUDISC_WANT
        self.mtu_probing = -1  # as the stack's settings say
        self.ttl = 64
        self.tos = 0
        self.receive_errors = False
        self.variants: dict[tuple[int, int, Any], Config] = {}  # shared ones that differ by one option

    def copy(self) -> Config:
        """One of its own for a socket that is about to set something."""
        fresh = Config(self.receive_buffer, self.send_buffer, self.max_buffer)
        for name in ATTRIBUTES:
            setattr(fresh, name, getattr(self, name))
        return fresh


def first_window(config: Config) -> int:
    """The largest window to advertise to begin with: the receive buffer's size, or TCP_WINDOW_CLAMP."""
    size = config.receive_buffer
    return config.window_clamp if 0 < config.window_clamp < size else size


def largest_buffer(config: Config, settings: Settings) -> int:
    """How large the receive buffer may become."""
    if not config.receive_auto or config.window_clamp:
        return first_window(config)
    size = config.receive_buffer
    return size if size > settings.receive_buffer_max else settings.receive_buffer_max


def configure(tcb: Tcb, config: Config) -> None:
    """Gives a connection the options of its socket."""
    tcb.no_delay = config.no_delay
    tcb.cork = config.cork
    tcb.quick_ack = config.quick_ack
    tcb.keepalive = config.keepalive
    if tcb.state < ESTABLISHED or not config.send_auto:
        tcb.snd_limit = config.send_buffer
    tcb.send_auto = config.send_auto
    window = first_window(config)
    if tcb.state < ESTABLISHED or window > tcb.rcv_limit or config.window_clamp:
        tcb.rcv_limit = window  # a window that was offered is not taken back
    tcb.receive_auto = config.receive_auto and not config.window_clamp
    tcb.ttl = hop_limit(config.ttl, tcb.interface, not is_v4(tcb))
    tcb.tos = config.tos & ~3  # the ECN field is TCP's own (RFC 3168, 6.1)
    tcb.report_soft = config.receive_errors
    marks = tcb.marks & ~(FRAGMENTS | NO_TIME_WAIT | TRIVIAL_ISN)
    if config.mtu_discover == DISCOVER_DONT:
        marks |= FRAGMENTS
    if config.no_time_wait:
        marks |= NO_TIME_WAIT
    if config.trivial_isn:
        marks |= TRIVIAL_ISN
    tcb.marks = marks
    tcb.mtu_discover = config.mtu_discover
    tcb.mtu_probing = config.mtu_probing if config.mtu_probing >= 0 else tcb.context.settings.mtu_probing
    if tcb.extras is not None or is_special(config):
        configure_extras(tcb, config)


def is_special(config: Config) -> bool:
    """Whether a socket has options that few have."""
    return (
        config.keep_idle != 0 or config.keep_interval != 0 or config.keep_count != 0 or config.user_timeout != 0
        or config.fin_wait_2 != 0 or config.max_segment != 0 or config.max_pacing_rate != 0
        or config.congestion is not None
    )


def configure_extras(tcb: Tcb, config: Config) -> None:
    """Gives it those that few have."""
    extras = tcb.more()
    extras.keep_idle = config.keep_idle
    extras.keep_interval = config.keep_interval
    extras.keep_count = config.keep_count
    extras.fin_wait_2 = config.fin_wait_2
    if config.user_timeout or not config.user_timeout_option:
        extras.user_timeout = config.user_timeout  # else what was agreed on stays
    extras.max_segment = config.max_segment
    extras.algorithm = config.congestion
    extras.max_pacing_rate = config.max_pacing_rate
