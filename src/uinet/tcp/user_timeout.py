"""The user timeout option (RFC 5482): two ends tell each other for how long they wait. Only for who asks for it
(TCP_UTO).

::

    |  Kind = 28   |  Length = 4  |G|     User Timeout, 15 bits    |     G: in minutes, else in seconds
"""

from __future__ import annotations

from typing import Any

from uinet.tcp.tcb import Tcb
from uinet.units import MINUTE, SECOND
from uinet.wire.constants import KIND_USER_TIMEOUT
from uinet.wire.kernels import store_u32

LENGTH = 4
MOST = 0x7FFF
MINUTES = 0x8000


def advertised(config: Any, default: int) -> int:
    """The field's value that a socket with these options sends (RFC 5482, 3.1: ADV_UTO is its own timeout)."""
    seconds = max(1, (config.user_timeout or default) // SECOND)
    if seconds <= MOST:
        return int(seconds)
    return MINUTES | int(min(MOST, seconds // 60))


def put_user_timeout(scratch: bytearray, at: int, value: int) -> int:
    """Writes the option; its length."""
    store_u32(scratch, at, (KIND_USER_TIMEOUT << 24) | (LENGTH << 16) | value)
    return LENGTH


def adopt(tcb: Tcb, config: Any, field: int) -> None:
    """Takes the timeout that the peer's SYN tells, -1 if none, into a connection of a socket with these options.

    Only if the socket has asked for the option and has set no timeout of its own (RFC 5482, 3.1: ENABLED and
    CHANGEABLE); within limits, as a peer could have us keep a dead connection for ever, or drop a live one.
    """
    if field <= 0 or field == MINUTES or not config.user_timeout_option or config.user_timeout:
        return
    settings = tcb.context.settings
    remote = (field & MOST) * (MINUTE if field & MINUTES else SECOND)
    timeout = max(settings.user_timeout, remote, settings.user_timeout_low)
    tcb.user_timeout = min(timeout, settings.user_timeout_high)
