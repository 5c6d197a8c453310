"""ARP packets (RFC 826; names are the RFC's without ``ar$``; addresses conflict detection: RFC 5227).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |              hrd              |              pro              |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |      hln      |      pln      |              op               |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  sha (hln bytes), spa (pln bytes), tha (hln), tpa (pln) ...
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from dataclasses import dataclass

from uinet.errors import InvalidArgument
from uinet.wire.addresses import ZERO_MAC
from uinet.wire.fields import limit, malformed, pack
from uinet.wire.kernels import load_u8, load_u16, load_u64

HRD = 0
PRO = 2
HLN = 4
PLN = 5
OP = 6
ADDRESSES = 8
ETHERNET_IPV4_LENGTH = 28

HRD_ETHERNET = 1
PRO_IPV4 = 0x0800
REQUEST = 1
REPLY = 2

_ETHERNET_IPV4 = 0x0001_0800_06_04  # hrd, pro, hln, pln


def check(data: bytes, offset: int = 0, end: int | None = None) -> bool:
    """Whether the packet at `offset` is whole, whatever kinds of address it has; padding may follow."""
    stop = limit(data, end)
    if stop - offset < ADDRESSES:
        return False
    return stop - offset >= ADDRESSES + 2 * (load_u8(data, offset + HLN) + load_u8(data, offset + PLN))


def is_ethernet_ipv4(data: bytes, offset: int = 0) -> bool:
    """Whether a checked packet maps IPv4 addresses to MACs: the only kind that this stack speaks."""
    return load_u64(data, offset) >> 16 == _ETHERNET_IPV4


def op(data: bytes, offset: int = 0) -> int:
    """REQUEST, REPLY or another operation."""
    return load_u16(data, offset + OP)


@dataclass(frozen=True, slots=True)
class ArpPacket:
    """An ARP packet: operation, sender's and target's hardware and protocol addresses, and their kinds."""

    op: int
    sha: bytes
    spa: bytes
    tha: bytes
    tpa: bytes
    hrd: int = HRD_ETHERNET
    pro: int = PRO_IPV4

    @property
    def is_ethernet_ipv4(self) -> bool:
        """Whether it maps IPv4 addresses to MACs."""
        return (self.hrd, self.pro, len(self.sha), len(self.spa)) == (HRD_ETHERNET, PRO_IPV4, 6, 4)


def parse(data: bytes, offset: int = 0, end: int | None = None) -> ArpPacket:
    """The packet at `offset`; InvalidArgument if `check` refuses it."""
    if not check(data, offset, end):
        raise malformed("ARP packet")
    hln, pln = load_u8(data, offset + HLN), load_u8(data, offset + PLN)
    spa = offset + ADDRESSES + hln
    tha = spa + pln
    tpa = tha + hln
    return ArpPacket(
        op=op(data, offset), sha=data[offset + ADDRESSES : spa], spa=data[spa:tha],
        tha=data[tha:tpa], tpa=data[tpa : tpa + pln],
        hrd=load_u16(data, offset + HRD), pro=load_u16(data, offset + PRO),
    )


def emit(packet: ArpPacket) -> bytes:
    """The bytes of a packet, unpadded; InvalidArgument if sender and target differ in address length."""
    hln, pln = len(packet.sha), len(packet.spa)
    if len(packet.tha) != hln or len(packet.tpa) != pln:
        raise InvalidArgument("an ARP packet's sender and target addresses have the same lengths")
    head = pack(">HHBBH", packet.hrd, packet.pro, hln, pln, packet.op)
    return head + packet.sha + packet.spa + packet.tha + packet.tpa


def request(sha: bytes, spa: bytes, tpa: bytes) -> ArpPacket:
    """Who has `tpa`? A probe (RFC 5227, 2.1.1) has an all-zero `spa`; an announcement has spa = tpa."""
    return ArpPacket(REQUEST, bytes(sha), spa, bytes(ZERO_MAC), tpa)


def reply(sha: bytes, spa: bytes, tha: bytes, tpa: bytes) -> ArpPacket:
    """`spa` is at `sha`, told to `tha`, which asked as `tpa`."""
    return ArpPacket(REPLY, bytes(sha), spa, bytes(tha), tpa)
