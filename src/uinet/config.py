"""What is set on a socket; the names and meanings of the options are in `sockopt`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uinet.tcp.keys import NO_KEYS
from uinet.units import SECOND
from uinet.wire.addresses import Any as AnyType
from uinet.wire.addresses import VlanTag

ATTRIBUTES = (
    "bind_any", "broadcast", "cdom", "congestion", "cork", "defer_accept", "fast_open",
    "fast_open_connect", "fast_open_key", "keep_count", "keep_idle", "keep_interval", "keepalive", "keys",
    "linger", "max_buffer", "max_pacing_rate", "max_segment", "mtu_discover", "mtu_probing",
    "no_delay", "not_sent_low", "oob_inline", "passive", "promiscuous", "quick_ack", "reassembly_deadline",
    "receive_auto", "receive_buffer", "receive_errors", "receive_low", "reuse_address", "reuse_port",
    "send_auto", "send_buffer", "syn_filter", "tos", "ttl", "user_timeout", "user_timeout_option", "vlans",
    "window_clamp",
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
        self.reassembly_deadline = 5 * SECOND
        self.cdom = 0
        self.vlans: tuple[VlanTag, ...] | AnyType = ()
        self.bind_any = False
        self.reuse_port = False
        self.reuse_address = False  # nothing to do: TIME-WAIT never keeps a listener from its port
        self.broadcast = False
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
