"""What a capture file tells, whichever its format: records, interfaces, link types.

Read first: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng; the registry of link types at tcpdump.org.
The formats themselves are in :mod:`uinet.wire.pcap` and :mod:`uinet.wire.pcapng`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from uinet.wire import ethernet

LINKTYPE_NULL = 0  # 4 bytes of address family in the byte order of the capturing host
LINKTYPE_ETHERNET = 1
LINKTYPE_RAW = 101
LINKTYPE_LOOP = 108  # as NULL, in network byte order
LINKTYPE_LINUX_SLL = 113
LINKTYPE_IPV4 = 228
LINKTYPE_IPV6 = 229
LINKTYPE_LINUX_SLL2 = 276
# 12 and 14 are DLT_RAW, which some programs write by mistake
_RAW_LINKTYPES = (LINKTYPE_RAW, LINKTYPE_IPV4, LINKTYPE_IPV6, 12, 14)

# The direction bits of epb_flags
DIRECTION_UNKNOWN = 0
INBOUND = 1
OUTBOUND = 2

MAX_RECORD = 262144  # libpcap's MAXIMUM_SNAPLEN: a longer packet is a damaged file


@dataclass(frozen=True, slots=True)
class CaptureInterface:
    """One interface of a capture. `ticks` of its clock make a second; `offset` is added, in seconds."""

    link_type: int
    snap_length: int = 0
    name: str = ""
    description: str = ""
    ticks: int = 1_000_000
    offset: int = 0


class Record(NamedTuple):
    """One packet of a capture.

    `interface` is an index into the reader's interfaces, `time` in nanoseconds since 1970 (0 where the format
    tells none), `data` what was kept of a packet of `original_length` bytes, `flags` pcapng's epb_flags or 0.
    """

    interface: int
    time: int
    data: bytes
    original_length: int
    link_type: int
    flags: int = 0
    comments: tuple[str, ...] = ()

    @property
    def direction(self) -> int:
        """INBOUND, OUTBOUND or DIRECTION_UNKNOWN."""
        return self.flags & 3

    @property
    def truncated(self) -> bool:
        """Whether the capture kept only a part of the packet."""
        return len(self.data) < self.original_length


def decapsulate(link_type: int, data: bytes) -> tuple[int, bytes] | None:
    """(2, Ethernet frame) or (3, IP packet) in a packet of this link type; None if there is neither."""
    if link_type == LINKTYPE_ETHERNET:
        return 2, data
    if link_type in _RAW_LINKTYPES:
        packet, protocol = data, 0
    elif link_type in (LINKTYPE_NULL, LINKTYPE_LOOP):
        packet, protocol = data[4:], 0  # the family's number varies by system; the IP version does not
    elif link_type == LINKTYPE_LINUX_SLL and len(data) >= 16:
        packet, protocol = data[16:], struct.unpack_from(">H", data, 14)[0]
    elif link_type == LINKTYPE_LINUX_SLL2 and len(data) >= 20:
        packet, protocol = data[20:], struct.unpack_from(">H", data, 0)[0]
    else:
        return None
    version = packet[0] >> 4 if packet else 0
    if version not in (4, 6) or protocol not in (0, ethernet.IPV4 if version == 4 else ethernet.IPV6):
        return None
    return 3, packet
