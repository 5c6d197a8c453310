"""What a SYN tells of the system that sent it, as p0f (version 3) writes it.

::

    4:64:0:1460:mss*44,7:mss,sok,ts,nop,ws:df,id+:0
    |  |  |   |    |   |  |               |      | payload: 0 none, + some
    |  |  |   |    |   |  |               | quirks
    |  |  |   |    |   |  | options in their order
    |  |  |   |    |   | window scale, * without one
    |  |  |   |    | window: a multiple of the MSS or of the MTU, or as it is
    |  |  |   | MSS, * without one
    |  |  | bytes of IP options
    |  | TTL to begin with, guessed from the one that arrived
    | IP version
"""

from __future__ import annotations

import struct
from typing import Any

from uinet.wire.constants import (
    ACK,
    CWR,
    ECE,
    KIND_EOL,
    KIND_MSS,
    KIND_NOP,
    KIND_SACK,
    KIND_SACK_PERMITTED,
    KIND_TIMESTAMPS,
    KIND_WSCALE,
    PSH,
    URG,
)
from uinet.wire.packet import is_tpid

FIRST_TTLS = (32, 64, 128, 255)
NAMES = {KIND_MSS: "mss", KIND_WSCALE: "ws", KIND_SACK_PERMITTED: "sok", KIND_SACK: "sack", KIND_TIMESTAMPS: "ts"}
LENGTHS = {KIND_MSS: 4, KIND_WSCALE: 3, KIND_SACK_PERMITTED: 2, KIND_TIMESTAMPS: 10}
MOST_WSCALE = 14


class Options:
    """The TCP options of a SYN, in their order. `mss`, `wscale`: None without one. `quirks`: what is odd about them."""

    def __init__(self, data: bytes) -> None:
        self.layout: list[str] = []
        self.mss: int | None = None
        self.wscale: int | None = None
        self.quirks: list[str] = []
        at = 0
        while at < len(data):
            kind = data[at]
            if kind == KIND_NOP:
                self.layout.append("nop")
                at += 1
                continue
            if kind == KIND_EOL:
                rest = data[at + 1 :]
                self.layout.append(f"eol+{len(rest)}")
                if any(rest):
                    self.quirks.append("opt+")
                return
            length = data[at + 1] if at + 1 < len(data) else 0
            self.layout.append(NAMES.get(kind, f"?{kind}"))
            if length < 2 or at + length > len(data) or length != LENGTHS.get(kind, length):
                self.quirks.append("bad")
                return
            self._take(kind, data[at + 2 : at + length])
            at += length

    def _take(self, kind: int, value: bytes) -> None:
        if kind == KIND_MSS:
            self.mss = int.from_bytes(value, "big")
        elif kind == KIND_WSCALE:
            self.wscale = value[0]
            if self.wscale > MOST_WSCALE:
                self.quirks.append("exws")
        elif kind == KIND_TIMESTAMPS:
            own, echoed = struct.unpack(">II", value)
            if own == 0:
                self.quirks.append("ts1-")
            if echoed:
                self.quirks.append("ts2+")


def first_ttl(ttl: int) -> int:
    """The TTL that a packet probably began with."""
    return next(first for first in FIRST_TTLS if ttl <= first)


def network_header(data: bytes, layer: int) -> int:
    """Where the network header begins in a frame; -1 if it has none."""
    if layer == 3:
        return 0
    at = 12
    while len(data) >= at + 2:
        if not is_tpid(int.from_bytes(data[at : at + 2], "big")):
            return at + 2
        at += 4
    return -1


def window_of(window: int, mss: int | None, headers: int) -> str:
    """The window as a multiple of what a sender has in mind."""
    if mss and window and window % mss == 0:
        return f"mss*{window // mss}"
    if mss and window and window % (mss + headers) == 0:
        return f"mtu*{window // (mss + headers)}"
    return str(window)


def fingerprint(frame: bytes, layer: int = 2) -> dict[str, Any] | None:
    """What the SYN in `frame` tells; None if it is no whole TCP header behind IPv4, or IPv6 without extensions."""
    ip = network_header(frame, layer)
    if ip < 0 or len(frame) < ip + 40:
        return None
    version = frame[ip] >> 4
    if version == 4:
        l4 = ip + (frame[ip] & 15) * 4
        ttl, ip_options, protocol = frame[ip + 8], l4 - ip - 20, frame[ip + 9]
        quirks = quirks_v4(frame, ip)
    elif version == 6:
        l4 = ip + 40
        ttl, ip_options, protocol = frame[ip + 7], 0, frame[ip + 6]
        quirks = ["flow"] if int.from_bytes(frame[ip : ip + 4], "big") & 0xFFFFF else []
        if frame[ip + 1] & 0x30:
            quirks.append("ecn")
    else:
        return None
    if protocol != 6 or l4 < ip + 20 or len(frame) < l4 + 20:
        return None
    header = (frame[l4 + 12] >> 4) * 4
    options = Options(frame[l4 + 20 : l4 + header])
    quirks += quirks_of_tcp(frame, l4) + options.quirks
    window = int.from_bytes(frame[l4 + 14 : l4 + 16], "big")
    size = int.from_bytes(frame[ip + 2 : ip + 4], "big") if version == 4 else 40 + int.from_bytes(
        frame[ip + 4 : ip + 6], "big"
    )
    payload = max(0, size - (l4 - ip) - header)
    first = first_ttl(ttl)
    signature = ":".join((
        str(version), str(first), str(ip_options), "*" if options.mss is None else str(options.mss),
        window_of(window, options.mss, 40 if version == 4 else 60)
        + ("," + ("*" if options.wscale is None else str(options.wscale))),
        ",".join(options.layout), ",".join(quirks), "+" if payload else "0",
    ))
    return {
        "p0f": signature, "ttl": ttl, "distance": first - ttl, "window": window, "mss": options.mss,
        "wscale": options.wscale, "options": options.layout, "df": "df" in quirks, "quirks": quirks,
        "payload": payload,
    }


def quirks_v4(frame: bytes, ip: int) -> list[str]:
    """What is odd about an IPv4 header, and whether it forbids fragments."""
    found = []
    flags = frame[ip + 6]
    number = int.from_bytes(frame[ip + 4 : ip + 6], "big")
    if flags & 0x40:
        found.append("df")
        if number:
            found.append("id+")
    elif not number:
        found.append("id-")
    if frame[ip + 1] & 3:
        found.append("ecn")
    if flags & 0x80:
        found.append("0+")
    return found


def quirks_of_tcp(frame: bytes, l4: int) -> list[str]:
    """What is odd about a SYN's TCP header."""
    flags = frame[l4 + 13]
    found = ["ecn"] if flags & (ECE | CWR) else []
    if not any(frame[l4 + 4 : l4 + 8]):
        found.append("seq-")
    if any(frame[l4 + 8 : l4 + 12]) and not flags & ACK:
        found.append("ack+")
    if flags & URG:
        found.append("urgf+")
    elif any(frame[l4 + 18 : l4 + 20]):
        found.append("uptr+")
    if flags & PSH:
        found.append("pushf+")
    return found
