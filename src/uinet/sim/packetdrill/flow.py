"""One connection of a script: how its numbers in the script and on the wire belong together.

In a script, sequence numbers of segments with SYN are absolute, all others are relative to the SYN's, as tcpdump prints
them. On the wire the peer's begin near 2**32, so that every script crosses the wrap.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import TYPE_CHECKING

from uinet.sim.invariants import Watch
from uinet.units import MASK32
from uinet.wire.tcp_options import FastOpen, Option, Sack, Timestamps, Unknown

if TYPE_CHECKING:
    from uinet.sim.packetdrill.matcher import Sniffed
    from uinet.sim.packetdrill.script import TcpSpec

SHIFT = 0xFFFFFE00  # of the peer's sequence numbers on the wire
PERIOD = 251  # of the payload's pattern, a prime: no two segments of a usual size look alike
_CYCLE = bytes(range(PERIOD))


def pattern(offset: int, length: int) -> bytes:
    """`length` bytes of a stream from `offset` on."""
    begin = offset % PERIOD
    return (_CYCLE * ((begin + length) // PERIOD + 1))[begin : begin + length]


class Stage(enum.Enum):
    """How far a connection is, as the script has told it."""

    NEW = enum.auto()
    LISTENING = enum.auto()
    PACKET_IN = enum.auto()  # passive: the first packet has come
    SYN_ACK_OUT = enum.auto()
    ACKED = enum.auto()  # of either kind
    CONNECTING = enum.auto()
    SYN_OUT = enum.auto()


class Flow:
    """One connection, or one conversation over UDP."""

    def __init__(self, protocol: str, shift: int = SHIFT, cookies: dict[bytes, bytes] | None = None) -> None:
        self.protocol = protocol
        self.shift = shift
        self.stage = Stage.NEW
        self.local: tuple[bytes, int] = (b"", 0)
        self.remote: tuple[bytes, int] = (b"", 0)
        self.script_local_isn = 0
        self.local_isn = 0  # on the wire, as is the next
        self.remote_isn = shift
        self.known = False  # whether the local ISN is
        self.over = False  # a RST has ended it before it was established: the next SYN begins another one
        self.stamps: dict[int, int] = {}  # TS val in the script -> on the wire
        self.first_stamp: tuple[int, int] | None = None  # the first such pair
        # Fast Open cookies: in the script -> on the wire; all connections of a run share them
        self.cookies: dict[bytes, bytes] = cookies if cookies is not None else {}
        self.watch = Watch()
        self.written = bytearray()  # what our side's program has written
        self.read = 0  # bytes of the peer's stream that it has read
        self.datagrams: list[bytes] = []  # written, and not seen on the wire yet
        self.sent: list[Sniffed] = []  # what no event of the script has taken yet
        self.messages: list[Sniffed] = []  # the same, ICMP: only scripts that ask for it are told
        self.resets = 0  # sent by us
        self.acked = 0  # our highest ACK that the script has told of, in its numbers
        self.window = 0  # the window that came with our last segment which it has told of

    def is_new(self, isn: int) -> bool:
        """Whether a SYN of ours with this number is another connection's, on the same ports."""
        return self.over and isn != self.local_isn

    # the peer's packets: from the script to the wire

    def seq_in(self, seq: int, syn: bool) -> int:
        """A sequence number of the peer."""
        return (seq + (self.shift if syn else self.remote_isn)) & MASK32

    def ack_in(self, ack: int, syn: bool) -> int:
        """The peer's ACK, or an edge of its SACK blocks."""
        return (ack + self.local_isn - (self.script_local_isn if syn else 0)) & MASK32

    def payload_offset(self, seq: int, syn: bool) -> int:
        """Where in the peer's stream the byte at `seq` (of the script) is; -1 for the SYN itself."""
        return (seq + self.shift - self.remote_isn if syn else seq - 1) & MASK32

    def echo_in(self, echo: int) -> int:
        """The timestamp that the peer echoes: that of our segment which the script wrote down with this one."""
        if echo in self.stamps:
            return self.stamps[echo]
        if self.first_stamp is None or echo == 0:
            return echo
        return (echo - self.first_stamp[0] + self.first_stamp[1]) & MASK32

    # our packets: from the wire to the script

    def seq_out(self, seq: int, syn: bool) -> int:
        """A sequence number of ours."""
        return (seq - self.local_isn + (self.script_local_isn if syn else 0)) & MASK32

    def ack_out(self, ack: int, syn: bool) -> int:
        """Our ACK, or an edge of our SACK blocks."""
        return (ack - (self.shift if syn else self.remote_isn)) & MASK32

    def options_out(self, options: Iterable[Option], syn: bool) -> tuple[Option, ...]:
        """Our options, as the script would write them; timestamps relative to the first."""
        mapped: list[Option] = []
        for option in options:
            if isinstance(option, Sack):
                option = Sack(tuple((self.ack_out(a, syn), self.ack_out(b, syn)) for a, b in option.blocks))
            elif isinstance(option, Timestamps) and self.first_stamp is not None:
                script, wire = self.first_stamp
                option = Timestamps((option.value - wire + script) & MASK32, option.echo)
            mapped.append(option)
        return tuple(mapped)

    def note_stamp(self, script: int, wire: int) -> None:
        """Our segment has this TS val in the script and on the wire."""
        self.stamps[script] = wire
        if self.first_stamp is None:
            self.first_stamp = (script, wire)

    def note_cookie(self, script: bytes, wire: bytes) -> None:
        """Our SYN,ACK has this Fast Open cookie in the script and on the wire."""
        self.cookies[script] = wire

    def cookie_in(self, option: Option) -> Option:
        """The peer's Fast Open option, its cookie replaced by the one that we have really given."""
        if isinstance(option, FastOpen) and option.cookie in self.cookies:
            return FastOpen(self.cookies[option.cookie])
        if isinstance(option, Unknown) and option.kind == 254 and option.data[2:] in self.cookies:
            return Unknown(254, option.data[:2] + self.cookies[option.data[2:]])
        return option

    def told(self, spec: TcpSpec, window: int) -> None:
        """The script has told of a segment of ours, which has this window field."""
        self.acked = max(self.acked, spec.ack)
        self.window = window << (0 if "S" in spec.flags else self.watch.stack_scale)

    def is_last(self, seq: int) -> bool:
        """Whether `seq` (of the script) comes behind all that was written."""
        return (seq - 1) & MASK32 == len(self.written)

    def expected_payload(self, seq: int, length: int, syn: bool) -> bytes | None:
        """What `length` bytes of ours at `seq` (of the script) have to be; None if that was never written."""
        offset = (seq - self.script_local_isn if syn else seq - 1) & MASK32
        if offset + length > len(self.written):
            return None
        return bytes(self.written[offset : offset + length])
