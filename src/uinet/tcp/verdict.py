"""What a SYN filter may answer, and what it is told of options."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Verdict(enum.Enum):
    """What a SYN filter decides."""

    ACCEPT = "accept"  # go on with the handshake
    ACCEPT_PASSIVE = "accept-passive"  # watch the connection without taking part: the accepted socket is passive
    REJECT_RST = "reject-rst"  # answer with a RST
    REJECT_SILENT = "reject-silent"  # drop it without a word
    DEFER = "defer"  # decide later, with Syn.deliver
    BRIDGE = "bridge"  # hand the SYN to the interface's bridge peer, untouched; without one it is dropped


# a member's name looked up in its class runs Python code, and each SYN would do so five times
ACCEPT = Verdict.ACCEPT
ACCEPT_PASSIVE = Verdict.ACCEPT_PASSIVE
BRIDGE = Verdict.BRIDGE
DEFER = Verdict.DEFER
REJECT_RST = Verdict.REJECT_RST


class SynOptions(NamedTuple):
    """The options of a SYN. `mss` and `window_scale` are None, `timestamp` is None, if absent."""

    mss: int | None
    window_scale: int | None
    sack_permitted: bool
    timestamp: int | None
    window: int
    raw: bytes
