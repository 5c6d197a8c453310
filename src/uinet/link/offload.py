"""What network cards do, in software: transport checksums, and cutting large frames into segments.

For devices that can't carry a frame as it is. Nothing here raises for any bytes: what is no TCP or UDP
packet comes back as it went in. Headers: RFC 791, 8200 (with the extension headers that a first packet can
have), 9293, 768; segmentation as in Linux: Documentation/networking/segmentation-offloads.rst.
"""

from __future__ import annotations

from uinet.link.constants import (
    CWR,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    FIN,
    PSH,
    TCP,
    TCP_CHECKSUM,
    UDP,
    UDP_CHECKSUM,
)
from uinet.link.device import ETHERNET_HEADER, MAX_TAGS
from uinet.units import MASK32
from uinet.wire.addresses import TPIDS
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_VALID, Frame
from uinet.wire.kernels import checksum, join2, load_u8, load_u16, load_u32, store_u8, store_u16, store_u32

_SKIPPED_HEADERS = frozenset((0, 43, 60))  # hop-by-hop, routing, destination options
_MAX_EXTENSION_HEADERS = 16


def finish(frame: Frame, layer: int, *, checksums: bool = True) -> list[Frame]:
    """`frame` as packets that any link can carry: checksum complete, none larger than its gso_size asks.

    `checksums`: False if the link needs none: packets are cut, and their checksum fields are left as they
    are.
    """
    if not frame.gso_size and (frame.checksum != CHECKSUM_NEEDED or not checksums):
        return [frame]
    found = locate(frame.data, layer)
    if found is None:
        return [frame]
    l3, l4, end, protocol = found
    start = l4 + (8 if protocol == UDP else (load_u8(frame.data, l4 + 12) >> 4) * 4)  # of the payload
    if frame.gso_size and end - start > frame.gso_size:
        return _cut(frame, l3, l4, start, end, protocol, checksums)
    if frame.checksum != CHECKSUM_NEEDED or not checksums:
        return [Frame(frame.data, frame.checksum, 0, frame.time)]
    field = l4 + (UDP_CHECKSUM if protocol == UDP else TCP_CHECKSUM)
    return [Frame(fill_checksum(frame.data, l4, end, field), CHECKSUM_VALID, 0, frame.time)]


def complete(frame: Frame, layer: int) -> Frame:
    """`frame` with its transport checksum computed if that was left to the device; its size stays."""
    if frame.checksum != CHECKSUM_NEEDED:
        return frame
    found = locate(frame.data, layer)
    if found is None:
        return frame
    _, l4, end, protocol = found
    field = l4 + (UDP_CHECKSUM if protocol == UDP else TCP_CHECKSUM)
    return Frame(fill_checksum(frame.data, l4, end, field), CHECKSUM_VALID, frame.gso_size, frame.time)


def fill_checksum(data: bytes, start: int, end: int, field: int) -> bytes:
    """`data` with the sum over [start, end) stored at `field`, which held the pseudo header's part."""
    total = ~checksum(data, start, end - start, 0) & 0xFFFF
    whole = bytearray(data)
    if not total and field - start == UDP_CHECKSUM:
        total = 0xFFFF  # RFC 768: 0 would say that there is none
    store_u16(whole, field, total)
    return bytes(whole)


def locate(data: bytes, layer: int) -> tuple[int, int, int, int] | None:
    """(offset of the IP header, of the transport header, end of the packet, protocol) of TCP and UDP.

    None for anything else: another protocol, a fragment, a malformed or truncated header. On return the whole
    fixed transport header, and with TCP its options, lie before the end.
    """
    l3 = skip_link_header(data) if layer == 2 else 0
    size = len(data)
    if l3 < 0 or l3 >= size:
        return None
    version = load_u8(data, l3) >> 4
    if version == 4:
        return _locate_ipv4(data, l3, size)
    if version == 6:
        return _locate_ipv6(data, l3, size)
    return None


def locate_tcp(data: bytes, layer: int) -> int:
    """The offset of the TCP header of an ordinary packet, of which `data` need not have more than the headers; -1 for
    anything else: VLAN tags, a fragment, an extension header. On return its fixed part is in `data`."""
    size = len(data)
    l3 = 0
    if layer == 2:
        if size < ETHERNET_HEADER:
            return -1
        l3 = ETHERNET_HEADER
        ethertype = load_u16(data, 12)
        if ethertype != ETHERTYPE_IPV4 and ethertype != ETHERTYPE_IPV6:
            return -1
    if size < l3 + 40:
        return -1
    version = load_u8(data, l3) >> 4
    if version == 4:
        l4 = l3 + (load_u8(data, l3) & 0x0F) * 4
        if load_u8(data, l3 + 9) != TCP or load_u16(data, l3 + 6) & 0x3FFF:
            return -1
    elif version == 6:
        l4 = l3 + 40
        if load_u8(data, l3 + 6) != TCP:
            return -1
    else:
        return -1
    return l4 if l4 + 20 <= size else -1


def skip_link_header(data: bytes) -> int:
    """The offset behind the Ethernet header and its VLAN tags if IP follows there, -1 otherwise."""
    size = len(data)
    offset = ETHERNET_HEADER - 2
    for _ in range(MAX_TAGS + 1):
        if offset + 2 > size:
            return -1
        ethertype = load_u16(data, offset)
        if ethertype in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
            return offset + 2
        if ethertype not in TPIDS:
            return -1
        offset += 4
    return -1


def _locate_ipv4(data: bytes, l3: int, size: int) -> tuple[int, int, int, int] | None:
    if size - l3 < 20:
        return None
    header = (load_u8(data, l3) & 0x0F) * 4
    # kernels leave the length at 0 where a frame stands for more than 64 KiB
    end = l3 + (load_u16(data, l3 + 2) or size - l3)
    fragment = load_u16(data, l3 + 6) & 0x3FFF  # MF and the offset
    if header < 20 or fragment or end > size:
        return None
    return _locate_transport(data, l3, l3 + header, end, load_u8(data, l3 + 9))


def _locate_ipv6(data: bytes, l3: int, size: int) -> tuple[int, int, int, int] | None:
    if size - l3 < 40:
        return None
    end = l3 + 40 + (load_u16(data, l3 + 4) or size - l3 - 40)
    if end > size:
        return None
    protocol = load_u8(data, l3 + 6)
    l4 = l3 + 40
    for _ in range(_MAX_EXTENSION_HEADERS):
        if protocol not in _SKIPPED_HEADERS:
            return _locate_transport(data, l3, l4, end, protocol)
        if l4 + 8 > end:
            return None
        protocol = load_u8(data, l4)
        l4 += (load_u8(data, l4 + 1) + 1) * 8
    return None


def _locate_transport(
    data: bytes, l3: int, l4: int, end: int, protocol: int
) -> tuple[int, int, int, int] | None:
    if protocol == TCP:
        if l4 + 20 > end:
            return None
        header = (load_u8(data, l4 + 12) >> 4) * 4
        if header < 20 or l4 + header > end:
            return None
    elif protocol != UDP or l4 + 8 > end:
        return None
    return l3, l4, end, protocol


def pseudo_sum(data: bytes, l3: int, l4: int, protocol: int, length: int) -> int:
    """The sum of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1) of `length` bytes.

    The destination is the IP header's, so that of a packet still on its way along a routing header is not
    right.
    """
    if load_u8(data, l3) >> 4 == 4:
        addresses = checksum(data, l3 + 12, 8, 0)
    else:
        addresses = checksum(data, l3 + 8, 32, 0)
    return fold(addresses + protocol + (length >> 16) + (length & 0xFFFF))


def fold(total: int) -> int:
    """A sum of 16-bit words as a 16-bit one."""
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _cut(
    frame: Frame, l3: int, l4: int, start: int, end: int, protocol: int, checksums: bool
) -> list[Frame]:
    """The segments that a frame stands for; each has all headers and at most gso_size bytes of payload."""
    data, size = frame.data, frame.gso_size
    header = bytearray(data[:start])
    ipv4 = load_u8(data, l3) >> 4 == 4
    identification = load_u16(data, l3 + 4) if ipv4 else 0
    field = l4 + (TCP_CHECKSUM if protocol == TCP else UDP_CHECKSUM)
    # the pseudo header without its length, which differs from segment to segment
    if frame.checksum == CHECKSUM_NEEDED:
        length = end - l4
        pseudo = fold(load_u16(data, field) + (~fold((length >> 16) + (length & 0xFFFF)) & 0xFFFF))
    else:
        pseudo = pseudo_sum(data, l3, l4, protocol, 0)
    state = CHECKSUM_VALID if checksums else frame.checksum
    frames = []
    offset = start
    while offset < end:
        piece = min(size, end - offset)
        if protocol == TCP:
            _tcp_header(header, data, l4, offset - start, offset + piece == end)
        else:
            store_u16(header, l4 + 4, 8 + piece)
        if ipv4:
            _ipv4_header(header, l3, start - l3 + piece, identification)
            identification += 1
        else:
            store_u16(header, l3 + 4, start - l3 - 40 + piece)
        length = start - l4 + piece
        if checksums:
            store_u16(header, field, 0)
            total = checksum(header, l4, start - l4, pseudo + length)
            total = ~checksum(data, offset, piece, total) & 0xFFFF
            store_u16(header, field, 0xFFFF if protocol == UDP and not total else total)
        else:
            store_u16(header, field, fold(pseudo + length))
        frames.append(Frame(join2(header, start, data, offset, piece), state, 0, frame.time))
        offset += piece
    return frames


def _tcp_header(header: bytearray, data: bytes, l4: int, sent: int, last: bool) -> None:
    """Sequence number and flags of the segment that starts `sent` bytes into the payload of `data`."""
    store_u32(header, l4 + 4, (load_u32(data, l4 + 4) + sent) & MASK32)
    flags = load_u8(data, l4 + 13)
    if not last:
        flags &= ~(FIN | PSH)
    if sent:
        flags &= ~CWR  # RFC 3168 section 6.1.2: on the first new data only
    store_u8(header, l4 + 13, flags & 0xFF)


def _ipv4_header(header: bytearray, l3: int, length: int, identification: int) -> None:
    """Total length, identification and header checksum of one segment."""
    store_u16(header, l3 + 2, length)
    store_u16(header, l3 + 4, identification & 0xFFFF)
    store_u16(header, l3 + 10, 0)
    store_u16(header, l3 + 10, ~checksum(header, l3, (header[l3] & 0x0F) * 4, 0) & 0xFFFF)
