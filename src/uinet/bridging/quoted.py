"""ICMP errors about packets of flows whose numbers are translated: what they quote has the far numbers (as with NAT,
RFC 5508), and its sender would not believe it (RFC 5927)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uinet.bridging.translate import folded
from uinet.units import MASK32
from uinet.wire.constants import PROTO_TCP, V4_MAPPED
from uinet.wire.frame import CHECKSUM_UNKNOWN, Frame
from uinet.wire.kernels import checksum, load_u8, load_u16, load_u32, load_u64, store_u16, store_u32
from uinet.wire.packet import Packet

if TYPE_CHECKING:
    from uinet.bridging.table import FlowTable

ICMP_HEADER = 8
ICMP_CHECKSUM = 2
QUOTED = 8  # bytes of the transport header that every error quotes: ports and sequence number


def translated_error(table: FlowTable, interface: Any, packet: Packet) -> Frame | None:
    """The frame of an ICMP error, as whom it is for is to see it; None if it is about no translated flow."""
    data = packet.data
    at = packet.l4 + ICMP_HEADER
    if packet.end - at < 20 + QUOTED:
        return None
    if packet.version == 4:
        l4 = at + (load_u8(data, at) & 15) * 4
        protocol = load_u8(data, at + 9)
        source, target = (0, V4_MAPPED | load_u32(data, at + 12)), (0, V4_MAPPED | load_u32(data, at + 16))
    else:
        l4 = at + 40
        if packet.end < l4 + QUOTED:
            return None
        protocol = load_u8(data, at + 6)
        source = load_u64(data, at + 8), load_u64(data, at + 16)
        target = load_u64(data, at + 24), load_u64(data, at + 32)
    if protocol != PROTO_TCP or l4 < at + 20 or packet.end < l4 + QUOTED:
        return None
    flow = table.lookup(*source, load_u16(data, l4), *target, load_u16(data, l4 + 2), packet.vids)
    if flow is None or flow.translation is None:
        return None
    # it comes from the side that the quoted packet went to
    if interface is not (flow.far if table.from_client else flow.near):
        return None
    added: int = flow.translation.client_seq if table.from_client else flow.translation.server_seq
    whole = bytearray(data)
    store_u32(whole, l4 + 4, (load_u32(data, l4 + 4) - added) & MASK32)
    old, new = checksum(data, l4 + 4, 4, 0), checksum(whole, l4 + 4, 4, 0)
    field = load_u16(data, packet.l4 + ICMP_CHECKSUM) ^ 0xFFFF
    store_u16(whole, packet.l4 + ICMP_CHECKSUM, folded(field + (old ^ 0xFFFF) + new) ^ 0xFFFF)
    return Frame(bytes(whole), CHECKSUM_UNKNOWN)
