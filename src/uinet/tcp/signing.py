"""Signed segments: what MD5 signatures and TCP-AO have in common, on the way out and in.

A connection (or a half-open one, or its TIME-WAIT) that signs has a :class:`Signer` in `Entry.auth`. `layout.transmit`
lets it add its option to each segment, and whoever takes segments in asks `admitted` before anything else of them
counts.
"""

from __future__ import annotations

import struct

from uinet.tcp.context import Context
from uinet.tcp.table import Entry
from uinet.units import MASK32
from uinet.wire.constants import PROTO_TCP
from uinet.wire.kernels import store_bytes, take
from uinet.wire.packet import Packet, is_mapped
from uinet.wire.segment import Segment

MAX_OPTIONS = 40

# what `Signer.check` answers
GOOD = 0
MISSING = 1
MALFORMED = 2
UNKNOWN = 3
WRONG = 4


class Signer:
    """Signs and checks the segments of one connection.

    `overhead`: bytes of options that each segment gives to it, a multiple of 4. `stateless`: it can sign a RST to who
    has no connection here. `counters`: the counter of each answer of `check`. `ignores_icmp`: hard errors do not count.
    """

    __slots__ = ()

    name = ""
    overhead = 0
    stateless = True
    counters: tuple[str, ...] = ()

    @property
    def ignores_icmp(self) -> bool:
        return False

    def accept(self, data: bytes, seg: Segment) -> bool:
        """A listener takes this SYN, which was checked; False if it can't be answered."""
        return True

    def begin(self, iss: int, irs: int) -> None:
        """The connection's initial sequence numbers are known; `irs` -1: the peer's is not."""

    def option(
        self, entry: Entry, header: bytes, options: bytes, payload: bytes, seq: int, flags: int
    ) -> bytes:
        """The option of a segment, `overhead` bytes with padding in front.

        `header`: the 20 bytes of the TCP header with a zero checksum; `options`: those that stand before this one.
        """
        raise NotImplementedError

    def check(self, entry: Entry, packet: Packet, seg: Segment) -> int:
        """What a received segment is worth: GOOD, or why it is dropped."""
        raise NotImplementedError


def sign(
    entry: Entry, scratch: bytearray, at: int, options: int, seq: int, ack: int, flags: int, window: int,
    urgent: int, source: bytes | bytearray, offset: int, length: int,
) -> int:
    """Adds the signature of a segment behind its `options` bytes of options, which begin at `at` of the scratch buffer;
    the length of all options. The arguments are those of `layout.transmit`; `urgent`: the urgent pointer."""
    signer: Signer = entry.auth
    total = options + signer.overhead
    assert total <= MAX_OPTIONS
    header = struct.pack(
        ">HHIIHHHH", entry.lport, entry.rport, seq, ack, (20 + total) // 4 << 12 | flags, window, 0, urgent
    )
    option = signer.option(
        entry, header, take(scratch, at, options), take(source, offset, length), seq, flags
    )
    store_bytes(scratch, at + options, option, 0, len(option))
    return total


def admitted(context: Context, entry: Entry, packet: Packet, seg: Segment) -> bool:
    """Whether a segment for `entry`, which signs, is what it says it is; if not it is counted, and dropped."""
    signer: Signer = entry.auth
    answer = signer.check(entry, packet, seg)
    if answer == GOOD:
        return True
    context.stats.count(signer.counters[answer])
    return False


def pseudo_header(entry: Entry, outbound: bool, size: int) -> bytes:
    """The pseudo-header of a segment of `size` bytes (RFC 9293, 3.1; RFC 8200, 8.1)."""
    here, there = packed(entry.laddr_hi, entry.laddr_lo), packed(entry.raddr_hi, entry.raddr_lo)
    addresses = here + there if outbound else there + here
    if len(here) == 4:
        return addresses + struct.pack(">BBH", 0, PROTO_TCP, size)
    return addresses + struct.pack(">II", size, PROTO_TCP)


def packed(high: int, low: int) -> bytes:
    """An address in its 4 or 16 bytes."""
    if is_mapped(high, low):
        return (low & MASK32).to_bytes(4, "big")
    return (high << 64 | low).to_bytes(16, "big")


def header_of(packet: Packet) -> bytes:
    """The 20 bytes of a received segment's TCP header, with a zero checksum."""
    data = packet.data
    return take(data, packet.l4, 16) + b"\0\0" + take(data, packet.l4 + 18, 2)
