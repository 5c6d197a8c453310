"""What the SYNs of others have offered, for whoever may go on as one of them (see `takeover`)."""

from __future__ import annotations

from typing import Any

from uinet.wire.constants import (
    ACE_SHIFT,
    KIND_ACCECN0,
    KIND_ACCECN1,
    KIND_AO,
    KIND_FAST_OPEN,
    KIND_MD5,
    KIND_MSS,
    KIND_SACK_PERMITTED,
    KIND_TIMESTAMPS,
    KIND_USER_TIMEOUT,
    KIND_WSCALE,
)
from uinet.wire.kernels import next_option
from uinet.wire.segment import Segment

KNOWN = frozenset((KIND_MSS, KIND_WSCALE, KIND_SACK_PERMITTED, KIND_TIMESTAMPS, KIND_USER_TIMEOUT, KIND_FAST_OPEN))


class Offer:
    """What an endpoint's SYN has offered. `ace`: its three ECN flags; `options`: kinds that are not known here."""

    __slots__ = ("ace", "mss", "options", "sack", "scale", "timestamps")

    def __init__(self, data: bytes, seg: Segment) -> None:
        self.scale: int = seg.wscale
        self.mss: int = seg.mss
        self.sack: bool = seg.sack_permitted
        self.timestamps: bool = seg.has_timestamps
        self.ace: int = (seg.flags >> ACE_SHIFT) & 7
        self.options = option_kinds(data, seg.options_offset, seg.options_end)

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for offers of the same."""
        return self.scale, self.mss, self.sack, self.timestamps, self.ace, tuple(self.options)


def made_offer(scale: int, mss: int, tcb: Any, answer: bool) -> Offer:
    """What a SYN, or its `answer`, has offered if `tcb` was agreed on by it."""
    offer = Offer.__new__(Offer)
    offer.scale = scale
    offer.mss = mss
    offer.sack = bool(tcb.sack_ok)
    offer.timestamps = bool(tcb.ts_ok)
    offer.ace = 0 if not tcb.ecn_ok else 0b001 if answer else 0b011
    offer.options = []
    return offer


def option_kinds(data: bytes, at: int, end: int) -> list[int]:
    """The kinds of a SYN's options that are not known here."""
    found = []
    while option := next_option(data, at, end):
        kind = (option >> 8) & 0xFF
        if kind not in KNOWN:
            found.append(kind)
        at = (option >> 16) + (option & 0xFF)
    return found


def strange_options(client: Offer, server: Offer) -> str:
    """What both ends have agreed on and is not known here; "" if there is nothing of the kind."""
    for kind in (KIND_MD5, KIND_AO):
        if kind in client.options or kind in server.options:
            return "its segments are signed"
    for kind in client.options:
        if kind in server.options:
            return f"it uses TCP option {kind}, which is not known here"
    if server.ace not in (0, 0b001, 0b111) or any(kind in server.options for kind in (KIND_ACCECN0, KIND_ACCECN1)):
        return "it uses accurate ECN"
    return ""


def uses_ecn(client: Offer, server: Offer) -> bool:
    """Whether both have agreed on classic ECN (RFC 3168, 6.1.1)."""
    return client.ace & 0b011 == 0b011 and server.ace == 0b001
