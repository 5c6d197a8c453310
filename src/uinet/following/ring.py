"""The blocks of an AF_PACKET ring, TPACKET_V3, walked in place; see packet_mmap.rst of Linux and linux/if_packet.h.

A block is a header, then packets, each with its own. All numbers are in the order of this machine::

    block:   version, offset to private, status, packets, offset to the first, bytes used (4 each), sequence (8), times
    packet:  offset to the next, seconds, nanoseconds, captured, length, status (4 each), MAC header, network header
             (2 each), hash (4), VLAN TCI (4), VLAN TPID (2), 10 unused, then a sockaddr_ll
"""

from __future__ import annotations

import sys

from uinet.following.blocks import half, word
from uinet.following.filtering import Filter
from uinet.passive.follower import Follower
from uinet.units import SECOND
from uinet.wire.kernels import join2, load_u8, store_bytes, store_u16

BLOCK_PACKETS = 12
BLOCK_FIRST = 16
BLOCK_HEADER = 48
PACKET_HEADER = 48
PACKET_KIND = PACKET_HEADER + 10  # sockaddr_ll.sll_pkttype
OUTGOING = 4

CSUM_NOT_READY = 1 << 3
VLAN_VALID = 1 << 4
VLAN_TPID_VALID = 1 << 6

ADDRESSES = 12  # bytes of the two MACs, behind which a VLAN tag stands
VLAN_TAG = 4
TPID = 0x8100


class RingWalk:
    """Hands the packets of blocks to a follower.

    `loopback`: what goes out comes in again and is passed over. The VLAN tag that Linux has taken out is put back: such
    a packet is copied. Counters: `count` packets, of them `passed` the filter, `unfinished` had no checksum yet.
    """

    def __init__(self, link_type: int, filter: Filter | None, loopback: bool) -> None:
        self.link_type = link_type
        self.filter = filter
        self.loopback = loopback
        self.little = sys.byteorder == "little"
        self.count = 0
        self.passed = 0
        self.total = 0
        self.unfinished = 0
        self.time = 0  # of the last packet
        self.head = bytearray(ADDRESSES + VLAN_TAG)

    def walk(self, follower: Follower, block: bytes) -> None:
        """All packets of a copy of a block."""
        little = self.little
        at = word(little, block, BLOCK_FIRST)
        size = len(block)
        for _ in range(word(little, block, BLOCK_PACKETS)):
            if at < BLOCK_HEADER or at > size - PACKET_HEADER - 20:
                break  # no kernel writes that
            start = at + half(little, block, at + 24)
            captured = word(little, block, at + 12)
            if captured > size - start:
                break
            if not self.loopback or load_u8(block, at + PACKET_KIND) != OUTGOING:
                self.packet(follower, block, at, start, captured)
            following = word(little, block, at)
            if following == 0:
                break
            at += following
        follower.flush()

    def packet(self, follower: Follower, block: bytes, at: int, start: int, captured: int) -> None:
        """The packet whose header is at `at`."""
        little = self.little
        status = word(little, block, at + 20)
        length = word(little, block, at + 16)
        time = word(little, block, at + 4) * SECOND + word(little, block, at + 8)
        data = block
        if status & VLAN_VALID and captured >= ADDRESSES:
            data = self.tagged(block, at, start, captured, status)
            start = 0
            captured += VLAN_TAG
            length += VLAN_TAG
        if status & CSUM_NOT_READY:
            self.unfinished += 1
        self.count += 1
        self.total += captured
        self.time = time
        if self.filter is None or self.filter.accepts(self.link_type, data, start, captured, length):
            self.passed += 1
            follower.enqueue(self.link_type, data, start, captured, length, time)
        else:
            follower.frames += 1

    def tagged(self, block: bytes, at: int, start: int, captured: int, status: int) -> bytes:
        """A copy of the packet with its outermost VLAN tag in its place."""
        tpid = half(self.little, block, at + 36) if status & VLAN_TPID_VALID else TPID
        store_bytes(self.head, 0, block, start, ADDRESSES)
        store_u16(self.head, ADDRESSES, tpid)
        store_u16(self.head, ADDRESSES + 2, word(self.little, block, at + 32) & 0xFFFF)
        return join2(self.head, ADDRESSES + VLAN_TAG, block, start + ADDRESSES, captured - ADDRESSES)
