"""A picture of one connection through the proxy: its packets in time order, who sent what to whom.

::

          ms  client                    proxy                     server
       0.000  │─── SYN ────────────────▶│                         │
       0.000  │                         │─── SYN ────────────────▶│
      20.000  │                         │◀──────────── SYN ACK ───│
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from uinet.wire import ethernet, ipv4, ipv6, tcp
from uinet.wire.addresses import IPAddress, L2Info, unpack_address

LANE = 25
"""Columns between two lifelines, unless told otherwise."""
UNICODE, ASCII = ("│", "─", "▶", "◀"), ("|", "-", ">", "<")
NAMES = ((tcp.SYN, "SYN"), (tcp.FIN, "FIN"), (tcp.RST, "RST"))


class Segment(NamedTuple):
    """What a frame that carries TCP shows: who sends to whom, and what."""

    l2: L2Info
    source: tuple[IPAddress, int]
    destination: tuple[IPAddress, int]
    seq: int
    ack: int
    flags: int
    length: int

    @property
    def label(self) -> str:
        """``SYN ACK``, ``1448 bytes``, ``12 bytes, FIN``, ``ACK``."""
        names = [name for bit, name in NAMES if self.flags & bit]
        if self.flags & tcp.ACK and not self.length and not self.flags & tcp.RST:
            names.append("ACK")
        text = " ".join(names)
        if not self.length:
            return text or "no flags"
        size = f"{self.length} byte{'s' if self.length != 1 else ''}"
        return f"{size}, {text}" if text else size


def segment_of(frame: bytes) -> Segment | None:
    """The TCP segment that an Ethernet frame carries, unfragmented; None if it carries none."""
    l3 = ethernet.header_length(frame)
    if l3 <= 0:
        return None
    kind = ethernet.ethertype(frame)
    if kind == ethernet.IPV4 and ipv4.check(frame, l3) and not ipv4.is_fragment(frame, l3):
        protocol, source, destination = ipv4.protocol(frame, l3), ipv4.source, ipv4.destination
        l4, end = l3 + ipv4.header_length(frame, l3), l3 + ipv4.total_length(frame, l3)
    elif kind == ethernet.IPV6 and ipv6.check(frame, l3):
        protocol, source, destination = ipv6.next_header(frame, l3), ipv6.source, ipv6.destination
        l4 = l3 + ipv6.HEADER_LENGTH
        end = l4 + ipv6.payload_length(frame, l3)
    else:
        return None
    if protocol != ipv4.TCP or not tcp.check(frame, l4, end):
        return None
    return Segment(
        L2Info(ethernet.source(frame), ethernet.destination(frame), ethernet.vlans(frame)),
        (unpack_address(source(frame, l3)), tcp.source_port(frame, l4)),
        (unpack_address(destination(frame, l3)), tcp.destination_port(frame, l4)),
        tcp.seq(frame, l4),
        tcp.ack(frame, l4),
        tcp.flags(frame, l4),
        end - l4 - tcp.header_length(frame, l4),
    )


class Step(NamedTuple):
    """One packet of a ladder. `lane`: 0 between client and proxy, 1 between proxy and server."""

    time: int
    lane: int
    rightward: bool
    label: str


def draw(
    steps: Sequence[Step],
    titles: tuple[str, str, str] = ("client", "proxy", "server"),
    *,
    lane: int = LANE,
    ascii_only: bool = False,
) -> list[str]:
    """The lines of the picture; times are in ms from the first step on."""
    if not steps:
        return []
    bar, line, right, left = ASCII if ascii_only else UNICODE
    lines = [f"{'ms':>10}  " + "".join(f"{title[:lane]:<{lane + 1}}" for title in titles).rstrip()]
    for step in steps:
        lanes = [" " * lane, " " * lane]
        text = f" {step.label[: lane - 7]} "
        if step.rightward:
            lanes[step.lane] = f"{line * 3}{text}".ljust(lane - 1, line) + right
        else:
            lanes[step.lane] = left + f"{text}{line * 3}".rjust(lane - 1, line)
        lines.append(f"{(step.time - steps[0].time) / 1e6:10.3f}  {bar}{lanes[0]}{bar}{lanes[1]}{bar}")
    return lines
