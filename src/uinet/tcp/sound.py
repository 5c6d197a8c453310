"""Where a connection may come from."""

from __future__ import annotations

from uinet.units import MASK32
from uinet.wire.kernels import join
from uinet.wire.packet import Packet, is_mapped
from uinet.wire.segment import Segment

MULTICAST_V4 = 0xE


def source_is_sound(packet: Packet, seg: Segment) -> bool:
    """Whether a connection may come from there and go there (RFC 9293 3.9.2.3, MUST-57 and MUST-63)."""
    if packet.group or seg.source_port == 0:
        return False
    if packet.src_hi == packet.dst_hi and packet.src_lo == packet.dst_lo and seg.source_port == seg.destination_port:
        return False  # LAND
    interface = packet.interface
    if not interface.promiscuous and interface.broadcasts:
        if join(packet.dst_hi, packet.dst_lo) in interface.broadcasts:
            return False
    return is_single(packet.src_hi, packet.src_lo) and is_single(packet.dst_hi, packet.dst_lo)


def is_single(high: int, low: int) -> bool:
    """Whether an address is one host's: neither a group's nor none at all."""
    if not is_mapped(high, low):
        return high >> 56 != 0xFF and (high != 0 or low != 0)
    address = low & MASK32
    return address >> 28 != MULTICAST_V4 and address != 0 and address != MASK32
