"""The virtio-net header, which Linux puts before each frame of a TAP or packet socket that asks for it.

Virtual I/O Device specification 1.2, section 5.1.6; struct virtio_net_hdr of linux/virtio_net.h, in host
byte order::

     0        1          2         4          6            8             10
    +--------+----------+---------+----------+------------+-------------+
    | flags  | gso_type | hdr_len | gso_size | csum_start | csum_offset |
    +--------+----------+---------+----------+------------+-------------+

It says which checksum is not computed yet, and for how many segments the frame stands.
"""

from __future__ import annotations

import struct

from uinet.link.constants import CWR, F_NEEDS_CSUM, TCP, TCP_CHECKSUM, UDP, UDP_CHECKSUM
from uinet.link.offload import fill_checksum, finish, locate, pseudo_sum
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID, Frame
from uinet.wire.kernels import load_u8, store_u16

HEADER = struct.Struct("=BBHHHH")
SIZE = 10
PLAIN = bytes(SIZE)  # a frame with nothing to say about it

F_DATA_VALID = 0x02

GSO_NONE = 0
GSO_TCPV4 = 1
GSO_UDP = 3  # one datagram, to be cut into IP fragments
GSO_TCPV6 = 4
GSO_UDP_L4 = 5  # several datagrams
MAX_DATAGRAMS = 128  # UDP_MAX_SEGMENTS: no honest sender puts more into one frame
GSO_ECN = 0x80  # an addition to the TCP types: CWR is set


def decode(header: bytes, data: bytes, layer: int) -> list[Frame]:
    """The frame, or frames, that a header and the bytes behind it stand for.

    A transport checksum that is not TCP's or UDP's own (that of a packet inside a tunnel) is completed at
    once, and a train of UDP datagrams is cut, since neither can be said in a Frame. No frame at all: a train
    of more datagrams than Linux makes, which would cost more to cut than it did to send.
    """
    flags, gso_type, _, gso_size, start, offset = HEADER.unpack(header)
    return decode_fields(flags, gso_type, gso_size, start, offset, data, layer)


def decode_fields(
    flags: int, gso_type: int, gso_size: int, start: int, offset: int, data: bytes, layer: int
) -> list[Frame]:
    """As `decode`, with the header's fields."""
    gso_type &= ~GSO_ECN
    state = CHECKSUM_UNKNOWN
    if flags & F_NEEDS_CSUM:
        if _is_own_checksum(data, layer, start, offset):
            state = CHECKSUM_NEEDED
        elif start + offset + 2 <= len(data):
            data = fill_checksum(data, start, len(data), start + offset)
    elif flags & F_DATA_VALID or gso_type != GSO_NONE:
        state = CHECKSUM_VALID  # what a card has merged it has verified, and the field is the first segment's
    if gso_type in (GSO_TCPV4, GSO_TCPV6):
        return [Frame(data, state, gso_size)]
    frame = Frame(data, state)
    if gso_type == GSO_UDP_L4:
        if gso_size * MAX_DATAGRAMS < len(data):
            return []
        frame.gso_size = gso_size
        return finish(frame, layer)
    return [frame]


def _is_own_checksum(data: bytes, layer: int, start: int, offset: int) -> bool:
    """Whether start and offset name the checksum of the TCP or UDP packet that `data` is."""
    found = locate(data, layer)
    if found is None or start != found[1]:
        return False
    return offset == (TCP_CHECKSUM if found[3] == TCP else UDP_CHECKSUM)


def encode(frame: Frame, layer: int) -> tuple[bytes, bytes] | None:
    """Header and bytes of `frame` as the kernel takes them; None if it has to be finished in software.

    That is: no TCP or UDP packet, or one of UDP that stands for several.
    """
    data = frame.data
    if not frame.gso_size and frame.checksum != CHECKSUM_NEEDED:
        return PLAIN, data
    found = locate(data, layer)
    if found is None:
        return None
    l3, l4, end, protocol = found
    if end < len(data):
        data = data[:end]  # the kernel sums up to the end of what it gets, and pads again by itself
    if protocol == UDP:
        if frame.gso_size:
            return None
        return HEADER.pack(F_NEEDS_CSUM, GSO_NONE, 0, 0, l4, UDP_CHECKSUM), data
    header_end = l4 + (load_u8(data, l4 + 12) >> 4) * 4
    if frame.checksum != CHECKSUM_NEEDED:
        # a complete checksum is of no use for the segments: back to the pseudo header's part
        whole = bytearray(data)
        store_u16(whole, l4 + TCP_CHECKSUM, pseudo_sum(data, l3, l4, protocol, end - l4))
        data = bytes(whole)
    if frame.gso_size and end - header_end > frame.gso_size:
        return segments(data, l3, l4, header_end, min(frame.gso_size, 0xFFFF)), data
    return HEADER.pack(F_NEEDS_CSUM, GSO_NONE, header_end, 0, l4, TCP_CHECKSUM), data


def segments(data: bytes, l3: int, l4: int, header_end: int, gso_size: int) -> bytes:
    """The header of a TCP packet that is to be cut into segments."""
    gso_type = GSO_TCPV4 if load_u8(data, l3) >> 4 == 4 else GSO_TCPV6
    if load_u8(data, l4 + 13) & CWR:
        gso_type |= GSO_ECN
    return HEADER.pack(F_NEEDS_CSUM, gso_type, header_end, gso_size, l4, TCP_CHECKSUM)
